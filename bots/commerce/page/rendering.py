"""Makes HTML of the mini app: its own templates, in the look of all pages."""

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

__all__ = ["DOMAIN", "Renderer"]

DOMAIN: Final = "commerce"
"""Of the texts."""


class Renderer:
    """Renders pages in the language of a reader."""

    def __init__(self, catalogues: Catalogues, public_url: str, clients: Sequence[str] = ()) -> None:
        """
        Args:
            public_url: of the listener, as browsers know it.
            clients: origins of the clients that may show the page as a widget.
        """
        catalogues.add_package(DOMAIN, "bots.commerce")
        self._catalogues = catalogues
        self._host = urlsplit(public_url).netloc
        self._templates = Environment(
            loader=PackageLoader("bots.commerce.page"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        templates = files("bots.commerce.page") / "templates"
        look = (files("bots.pages") / "templates" / "look.css").read_text("utf-8")
        style = look + (templates / "app.css").read_text("utf-8")
        self._style = Markup(style)  # noqa: S704 - our own files
        self._script = (templates / "page.js").read_bytes()
        digest = base64.b64encode(sha256(style.encode()).digest()).decode()
        self._policy = {framed: _policy(digest, clients if framed else ()) for framed in (False, True)}

    def translation(self, wanted: Sequence[str], zone: str | None = None) -> Translation:
        """Texts for somebody who reads ``wanted``, best first, in their time zone (IANA)."""
        there = self._catalogues.languages(DOMAIN)
        language = next((tag for tag in wanted if best([tag], there) is not None), None)
        return self._catalogues.translator(language, DOMAIN, zone_named(zone) if zone else dt.UTC)

    def page(
        self,
        template: str,
        view: Mapping[str, Any],
        words: Translation,
        *,
        base: str,
        name: str,
        framed: bool = False,
        status: int = 200,
    ) -> web.Response:
        """The answer that is a page. ``framed``: a client may show it as a widget."""
        html = self._templates.get_template(template).render(
            view=view,
            language=words.language,
            direction="rtl" if is_right_to_left(words.language) else "ltr",
            style=self._style,
            script=True,
            host=self._host,
            base=base,
            name=name,
        )
        response = web.Response(status=status, text=html, content_type="text/html", charset="utf-8")
        response.headers["Content-Security-Policy"] = self._policy[framed]
        # Not no-referrer: with it browsers call the origin of our own forms “null”.
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["X-Robots-Tag"] = "noindex, nofollow"
        response.headers["Vary"] = "Accept-Language, Cookie"
        return response

    def told(self, words: Translation, name: str, text: str, *, status: int) -> web.Response:
        """A page that says one thing."""
        view = {"title": name, "lead": text, "button": "", "notice": ""}
        return self.page("enter.html", view, words, base="", name=name, status=status)

    def over(self, words: Translation, name: str, *, used: bool) -> web.Response:
        """A link that opens nothing any more, or never did."""
        if used:
            text = words.t("This link was used already. Write “app” in the chat for a new one.")
        else:
            text = words.t("This link has expired. Write “app” in the chat for a new one.")
        return self.told(words, name, text, status=410)

    def script(self) -> web.Response:
        """The little that needs a script."""
        headers = {"Cache-Control": "public, max-age=3600"}
        return web.Response(body=self._script, content_type="text/javascript", charset="utf-8", headers=headers)


def _policy(style: str, ancestors: Sequence[str]) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src 'sha256-{style}'",
            "script-src 'self'",
            "connect-src 'self'",
            "img-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            f"frame-ancestors {' '.join(ancestors) or chr(39) + 'none' + chr(39)}",
        )
    )
