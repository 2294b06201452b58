"""What the hub's pages share: they are open to whoever has the link, without anybody's account."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from aiohttp import web

from appservice.database import DatabaseError
from bots.framework.i18n import Catalogues, Translation
from bots.framework.limits import Limited, RateLimit, RateLimiter
from bots.pages import Page
from bots.pages.app import accepted_languages
from bots.pages.forms import FormRefused, Origin
from bots.pages.notices import limited, refused, unavailable
from bots.pages.rendering import Renderer
from bridge.errors import BridgeError

log = logging.getLogger(__name__)

DOMAIN: Final = "hub"
"""Whose catalogue the texts are in."""


class OpenPage(ABC):
    """A page with one form at ``/{token}``. Every refusal is a page too."""

    def __init__(
        self,
        catalogues: Catalogues,
        looks: RateLimit,
        sends: RateLimit,
        *,
        pickle_key: str,
        public_url: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            looks: how often the page of one link may be looked at.
            sends: how often its form may be sent.
            public_url: of the listener (``web.public_url``).
            monotonic: seconds, for rate limits.
        """
        catalogues.add_package(DOMAIN, "bots.hub")
        self._monotonic = monotonic
        self._renderer = Renderer(catalogues, public_url)
        self._origin = Origin(pickle_key, public_url)
        self._looks, self._sends = RateLimiter(looks), RateLimiter(sends)

    def app(self) -> web.Application:
        """The routes below the prefix."""
        app = web.Application()
        app.router.add_get("/{token}", self._handle)
        app.router.add_post("/{token}", self._handle)
        return app

    @abstractmethod
    async def _get(self, request: web.Request, words: Translation, common: Translation) -> web.StreamResponse: ...

    @abstractmethod
    async def _post(self, request: web.Request, words: Translation, common: Translation) -> web.StreamResponse: ...

    @abstractmethod
    def _ended(self, error: BridgeError, words: Translation) -> Page:
        """The page that says why there is no other."""

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        words, common = self._words(request)
        try:
            if request.method == "POST":
                return await self._post(request, words, common)
            return await self._get(request, words, common)
        except BridgeError as error:
            return self._renderer.render(self._ended(error, words), common)
        except FormRefused as error:
            log.info("a form was not taken: %s", error.code)
            return self._renderer.render(refused(error, common), common)
        except _TooOften as often:
            return self._renderer.render(limited(often.verdict, common), common)
        except DatabaseError as error:
            log.error("a page waits for the database: %s", error)
            return self._renderer.render(unavailable(common), common)

    def _shown(self, request: web.Request, page: Page, common: Translation, subject: str) -> web.StreamResponse:
        """A page whose form is about ``subject``, for the browser that asks."""
        visitor = self._origin.visitor(request)
        response = self._renderer.render(page, common, self._origin.secret(visitor, subject))
        self._origin.remember(request, response, visitor)
        return response

    def _limit(self, limiter: RateLimiter, name: str) -> None:
        verdict = limiter.check(name, self._monotonic())
        if isinstance(verdict, Limited):
            raise _TooOften(verdict)

    def _words(self, request: web.Request) -> tuple[Translation, Translation]:
        """This page's texts, and those of all pages, in a language that the browser asks for."""
        wanted = accepted_languages(request)
        return self._renderer.translation(wanted, DOMAIN), self._renderer.translation(wanted)


class _TooOften(Exception):
    def __init__(self, verdict: Limited) -> None:
        self.verdict = verdict
