"""Makes HTML of the pages of rides: their own templates, in the look of all pages, and no script at all.

A page that changes asks to be loaded again by itself after some seconds (``meta refresh``); everything that it shows is
in it. Nothing comes from anywhere else, but for map tiles where the operator names a server of them.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bots.framework.i18n import Catalogues, Translation, best, is_right_to_left
from bots.framework.recurrence import zone_named
from bots.rides.pages.map import Tiles

__all__ = ["DOMAIN", "Renderer"]

DOMAIN: Final = "rides"
"""Of the texts."""


class Renderer:
    """Renders pages in the language of a reader."""

    def __init__(self, catalogues: Catalogues, public_url: str, tiles: Tiles | None = None) -> None:
        """
        Args:
            public_url: of the listener, as browsers know it.
            tiles: where maps have tiles from; None: they are drawn without.
        """
        catalogues.add_package(DOMAIN, "bots.rides")
        self._catalogues = catalogues
        self._host = urlsplit(public_url).netloc
        self.tiles = tiles
        self._templates = Environment(
            loader=PackageLoader("bots.rides.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        style = (files("bots.pages") / "templates" / "look.css").read_text("utf-8")
        style += (files("bots.rides.pages") / "templates" / "rides.css").read_text("utf-8")
        self._style = Markup(style)  # noqa: S704 - our own files
        digest = base64.b64encode(sha256(style.encode()).digest()).decode()
        self.policy: Final = "; ".join(
            (
                "default-src 'none'",
                f"style-src 'sha256-{digest}'",
                *(() if tiles is None else (f"img-src {tiles.origin}",)),
                "form-action 'self'",
                "base-uri 'none'",
                "frame-ancestors 'none'",
            )
        )
        """The Content-Security-Policy: no script, no style but ours, no image but tiles."""

    def tiled(self, tiles: Tiles | None) -> Renderer:
        """The same with other tiles below its maps."""
        return self if tiles == self.tiles else Renderer(self._catalogues, f"//{self._host}", tiles)

    def translation(self, wanted: Sequence[str], zone: str = "") -> Translation:
        """Texts for somebody who reads ``wanted``, best first, in a time zone (IANA)."""
        there = self._catalogues.languages(DOMAIN)
        language = next((tag for tag in wanted if best([tag], there) is not None), None)
        return self._catalogues.translator(language, DOMAIN, zone_named(zone) if zone else dt.UTC)

    def page(
        self, template: str, view: Mapping[str, Any], words: Translation, *, status: int = 200, refresh: int = 0
    ) -> web.Response:
        """The answer that is a page.

        Args:
            view: what the template shows; ``title`` and ``name`` are of every page.
            refresh: seconds until it is loaded again; 0: it is not.
        """
        html = self._templates.get_template(template).render(
            view=view,
            language=words.language,
            direction="rtl" if is_right_to_left(words.language) else "ltr",
            style=self._style,
            host=self._host,
            refresh=refresh,
        )
        response = web.Response(status=status, text=html, content_type="text/html", charset="utf-8")
        response.headers["Content-Security-Policy"] = self.policy
        # Who serves the tiles does not hear the address of the page, which is all that protects it. Not no-referrer:
        # with it browsers call the origin of our own forms “null”.
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["X-Robots-Tag"] = "noindex, nofollow"
        response.headers["Vary"] = "Accept-Language, Cookie"
        return response
