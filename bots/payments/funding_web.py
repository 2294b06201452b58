"""What the outside sees of providers: the address of their messages, and where people come back from their pages."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from aiohttp import web

from appservice.database import DatabaseError
from bots.framework.i18n import Catalogues
from bots.framework.limits import Limited, RateLimit, RateLimiter
from bots.framework.web import json_answer, json_error
from bots.pages.app import accepted_languages
from bots.pages.page import Mark, Page
from bots.pages.rendering import Renderer
from bots.payments.funding import Funding
from bots.payments.providers.base import WebhookRefused

log = logging.getLogger(__name__)

PREFIX: Final = "/providers"
MAX_BODY: Final = 256 * 1024
BODY_S: Final = 10.0
READING: Final = 32
"""Bodies that are read at the same time."""
CALLS: Final = RateLimit(600, 60)
COMPLAINTS: Final = RateLimit(1, 60)
RETRY_S: Final = 5
RETURNS: Final = frozenset({"done", "cancelled"})


class FundingWeb:
    """``server.mount(PREFIX, funding_web.app())``.

    ``POST /providers/{name}/webhook`` takes a provider's messages: 200 once it is stored that there is something to ask
    about, 400 for what is not proven to be the provider's, 503 for what must come again.
    """

    def __init__(
        self,
        funding: Funding,
        catalogues: Catalogues,
        public_url: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._funding = funding
        self._renderer = Renderer(catalogues, public_url)
        self._monotonic = monotonic
        self._calls, self._complaints = RateLimiter(CALLS), RateLimiter(COMPLAINTS)
        self._reading = 0

    def app(self) -> web.Application:
        """The routes below :data:`PREFIX`."""
        app = web.Application()
        app.router.add_post("/{provider}/webhook", self._webhook)
        app.router.add_get("/return/{how}", self._returned)
        return app

    async def _webhook(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["provider"]
        # The sandbox tells itself: nobody outside has anything to tell it.
        if name not in self._funding.providers or name == "sandbox":
            raise web.HTTPNotFound
        if isinstance(verdict := self._calls.check(name, self._monotonic()), Limited):
            return json_error(429, "too_many", "too many calls", retry_after=round(verdict.retry_after) + 1)
        if (request.content_length or 0) > MAX_BODY:
            return json_error(413, "too_large", f"a message has {MAX_BODY} bytes at most")
        if self._reading >= READING:
            return json_error(503, "busy", "too many requests are under way", retry_after=1)
        self._reading += 1
        try:
            async with asyncio.timeout(BODY_S):
                body = await request.read()
        except TimeoutError:
            return json_error(408, "too_slow", "the body did not arrive in time")
        finally:
            self._reading -= 1
        if len(body) > MAX_BODY:
            return json_error(413, "too_large", f"a message has {MAX_BODY} bytes at most")
        try:
            await self._funding.webhook(name, body, request.headers)
        except WebhookRefused:
            if not isinstance(self._complaints.check(name, self._monotonic()), Limited):
                log.warning("somebody sends messages of a provider without its signature", extra={"provider": name})
            return json_error(400, "refused", "the message is not signed as it must be")
        except DatabaseError as error:
            log.error("a message of a provider could not be stored: %s", error, extra={"provider": name})
            return json_error(503, "not_stored", "not stored, send it again", retry_after=RETRY_S)
        return json_answer(200, {"status": "accepted"})

    async def _returned(self, request: web.Request) -> web.StreamResponse:
        """Where a provider's page sends people back to. It knows nobody, and says nothing of what was paid."""
        how = request.match_info["how"]
        if how not in RETURNS:
            raise web.HTTPNotFound
        words = self._renderer.translation(accepted_languages(request))
        page = Page(
            title=words.t("Thank you") if how == "done" else words.t("Nothing was paid"),
            mark=Mark.WAITING if how == "done" else Mark.STOPPED,
            lead=words.t("You can go back to your chat: the wallet says there how it went."),
        )
        return self._renderer.render(page, words)
