"""The page of an appeal: ``GET /appeal/{token}`` shows a decision, and takes what the person says against it.

Whoever is suspended can write to nobody, so the link that came with the decision is how they are heard.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from aiohttp import web

from bots.framework.clock import from_ms
from bots.framework.i18n import Catalogues, Translation
from bots.framework.limits import RateLimit
from bots.hub.open_page import OpenPage
from bots.pages import Button, Fact, Field, Mark, Page
from bots.pages.forms import read_form
from bridge.domain.moderation import AppealState
from bridge.errors import BridgeError, NotFound
from bridge.moderation.cases import Decision
from bridge.moderation.service import ModerationService

LOOKS: Final = RateLimit(60, 60)
"""How often one link may be looked at."""
SENDS: Final = RateLimit(10, 60)
WHY: Final = "why"


class AppealPage(OpenPage):
    """``server.mount(PREFIX, page.app())``, with :data:`bridge.moderation.appeal_links.PREFIX`."""

    def __init__(
        self,
        moderation: ModerationService,
        catalogues: Catalogues,
        *,
        pickle_key: str,
        public_url: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(catalogues, LOOKS, SENDS, pickle_key=pickle_key, public_url=public_url, monotonic=monotonic)
        self._moderation = moderation

    def _ended(self, error: BridgeError, words: Translation) -> Page:
        return _ended(error, words)

    async def _get(self, request: web.Request, words: Translation, common: Translation) -> web.StreamResponse:
        token = request.match_info["token"][:100]
        self._limit(self._looks, token)
        _, decision = await self._moderation.decision_of(token)
        page = _form(decision, words) if decision.appealed is None else _answered(decision, words)
        return self._shown(request, page, common, decision.id)

    async def _post(self, request: web.Request, words: Translation, common: Translation) -> web.StreamResponse:
        self._origin.check_headers(request)
        token = request.match_info["token"][:100]
        self._limit(self._sends, token)
        form = await read_form(request)
        person, decision = await self._moderation.decision_of(token)
        secret = self._origin.check(request, form, decision.id)
        if not form[WHY]:
            page = _form(decision, words, error=words.t("Say why the decision was wrong."))
            return self._renderer.render(page, common, secret)
        try:
            decision = await self._moderation.appeal(person, decision.id, form[WHY])
        except BridgeError as error:
            if error.code not in {"reason_too_long", "reason_invalid"}:
                raise
            page = _form(decision, words, error=words.t("That is too long, or cannot be shown."), value=form[WHY])
            return self._renderer.render(page, common, secret)
        return self._renderer.render(_answered(decision, words), common)


def _facts(decision: Decision, words: Translation) -> list[Fact]:
    when = words.formats.datetime(from_ms(decision.decided_at), "short")
    facts = [Fact(words.t("Decided"), f"{when} UTC"), Fact(words.t("Number"), decision.short)]
    if decision.note:
        facts.append(Fact(words.t("They write"), decision.note))
    return facts


def _form(decision: Decision, words: Translation, *, error: str = "", value: str = "") -> Page:
    return Page(
        words.t("Appeal a decision"),
        words.t("Moderators have decided something about you. Another one looks at it if you say why it was wrong."),
        facts=_facts(decision, words),
        fields=[Field(WHY, words.t("Why was it wrong?"), error=error, value=value)],
        buttons=[Button("appeal", words.t("Appeal"))],
        status=422 if error else 200,
    )


def _answered(decision: Decision, words: Translation) -> Page:
    """Where an appeal stands."""
    facts = _facts(decision, words)
    if decision.answer:
        facts.append(Fact(words.t("Answer"), decision.answer))
    if decision.appealed in {AppealState.GRANTED, AppealState.UNDOING}:
        return Page(words.t("Your appeal was granted"), mark=Mark.DONE, facts=facts)
    if decision.appealed is AppealState.REFUSED:
        return Page(words.t("Your appeal was refused"), mark=Mark.STOPPED, facts=facts)
    return Page(
        words.t("Your appeal waits for a moderator"),
        words.t("Come back to this page to see what was decided."),
        mark=Mark.WAITING,
        facts=facts,
    )


def _ended(error: BridgeError, words: Translation) -> Page:
    if isinstance(error, NotFound):
        title, status = words.t("There is no such decision"), 404
    elif error.code == "appealed":
        title, status = words.t("This decision was appealed already"), 409
    else:
        title, status = words.t("It is too late to appeal this decision"), 410
    return Page(title, mark=Mark.STOPPED, status=status)
