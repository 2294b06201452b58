"""Makes HTML of pages: one template, one style sheet inside the page, nothing from anywhere else."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bots.framework.i18n import Catalogues, Translation, best, is_right_to_left
from bots.pages.forms import ACTION, CSRF
from bots.pages.page import Page

DOMAIN: Final = "pages"
"""Of the pages' own texts."""


class Renderer:
    """Renders pages in the language of a reader."""

    def __init__(self, catalogues: Catalogues, public_url: str) -> None:
        catalogues.add_package(DOMAIN, "bots.pages")
        self._catalogues = catalogues
        self._host = urlsplit(public_url).netloc
        environment = Environment(
            loader=PackageLoader("bots.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._template = environment.get_template("page.html")
        style = (files("bots.pages") / "templates" / "look.css").read_text("utf-8")
        self._style = Markup(style)  # noqa: S704 - our own file
        self.policy: Final = "; ".join(
            (
                "default-src 'none'",
                f"style-src 'sha256-{base64.b64encode(sha256(style.encode()).digest()).decode()}'",
                "form-action 'self'",
                "base-uri 'none'",
                "frame-ancestors 'none'",
            )
        )
        """The Content-Security-Policy of every page: no script, no image, no style but ours."""

    def translation(self, wanted: Sequence[str], domain: str = DOMAIN, zone: dt.tzinfo = dt.UTC) -> Translation:
        """Texts of a domain for somebody who reads ``wanted``, best first."""
        there = self._catalogues.languages(DOMAIN)
        # As they say it, and not as the catalogue is named: an Austrian reads German texts with Austrian dates.
        language = next((tag for tag in wanted if best([tag], there) is not None), None)
        return self._catalogues.translator(language, domain, zone)

    def render(self, page: Page, words: Translation, secret: str = "") -> web.Response:
        """The answer that is a page.

        Args:
            words: the pages' own texts, for what stands on every page.
            secret: of the form.
        """
        html = self._template.render(
            page=page,
            language=words.language,
            direction="rtl" if is_right_to_left(words.language) else "ltr",
            style=self._style,
            host=self._host,
            secret=secret,
            csrf=CSRF,
            action=ACTION,
            words=_words(words),
        )
        response = web.Response(status=page.status, text=html, content_type="text/html", charset="utf-8")
        response.headers["Content-Security-Policy"] = self.policy
        # Not no-referrer: with it browsers call the origin of our own forms “null”.
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["X-Robots-Tag"] = "noindex, nofollow"
        response.headers["Vary"] = "Accept-Language, Cookie"
        if page.retry_after is not None:
            response.headers["Retry-After"] = str(page.retry_after)
        return response


def _words(words: Translation) -> dict[str, str]:
    """The texts that stand on every page."""
    return {
        "error": words.t("Error"),
        "summary": words.t("Something is not right yet"),
        "promise": words.t("Nobody from Rialto ever asks you for your PIN, in a chat or on the phone."),
    }
