"""The page of an invite link: ``GET /join/{code}`` says where it leads and takes a Matrix id, which is then invited.

Nobody proves here who they are: whoever is named is invited as if the link's maker added them, and only as often as
nobody is bothered by it. Who wants to prove it knocks at the room, or writes to ``@rialto``, with the code.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from aiohttp import web

from appservice.clock import Clock
from appservice.homeserver import HomeserverError
from bots.framework.clock import from_ms
from bots.framework.i18n import Catalogues, Translation
from bots.framework.limits import RateLimit, RateLimiter
from bots.hub.open_page import OpenPage
from bots.pages import Button, Fact, Field, Form, Mark, Page, Picture, Way
from bots.pages.forms import read_form
from bridge.domain.kinds import Kind
from bridge.domain.permalinks import permalink
from bridge.domain.texts import BadText, user_id
from bridge.errors import BridgeError, NotAllowed, NotFound
from bridge.links.service import Invitation, LinkService, Redeemed

LOOKS: Final = RateLimit(120, 60)
"""How often the page of one link may be looked at."""
SENDS: Final = RateLimit(20, 60)
"""How often its form may be sent."""
PEOPLE: Final = RateLimit(5, 3600)
"""How often one person may be named, on the pages of whichever links."""
ALL: Final = RateLimit(300, 60)
"""How often forms are taken of everybody together: each may ask another homeserver."""
PERSON: Final = "person"
LONGEST_PATH: Final = 200


class JoinPage(OpenPage):
    """``server.mount(PREFIX, page.app())``, with :data:`bridge.links.wiring.PREFIX`."""

    def __init__(
        self,
        links: LinkService,
        catalogues: Catalogues,
        clock: Clock,
        *,
        pickle_key: str,
        public_url: str,
        server_name: str,
        hub: str = "",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            hub: user id of ``@rialto``, who takes codes; '' where there is none.
        """
        super().__init__(catalogues, LOOKS, SENDS, pickle_key=pickle_key, public_url=public_url, monotonic=monotonic)
        self._links = links
        self._clock = clock
        self._server_name = server_name
        self._hub = hub
        self._people, self._all = RateLimiter(PEOPLE), RateLimiter(ALL)

    def _ended(self, error: BridgeError, words: Translation) -> Page:
        return _ended(error, words)

    async def _get(self, request: web.Request, words: Translation, common: Translation) -> web.StreamResponse:
        token = self._token(request)
        self._limit(self._looks, token)
        found = await self._links.look(token)
        return self._shown(request, self._form(found, words), common, found.link.id)

    async def _post(self, request: web.Request, words: Translation, common: Translation) -> web.StreamResponse:
        self._origin.check_headers(request)
        token = self._token(request)
        self._limit(self._all, "")
        self._limit(self._sends, token)
        form = await read_form(request)
        found = await self._links.look(token)
        secret = self._origin.check(request, form, found.link.id)
        return self._renderer.render(await self._submit(found, form, words), common, secret)

    async def _submit(self, found: Invitation, form: Form, words: Translation) -> Page:
        written = form[PERSON]
        try:
            # Who leaves the first letter out means the same.
            person = user_id(written if written.startswith("@") or ":" not in written else f"@{written}")
        except BadText:
            return self._form(found, words, error=words.t("A Matrix id looks like @alice:example.org."), value=written)
        self._limit(self._people, person)
        try:
            outcome = await self._links.redeem(person, found.link.token, proven=False)
        except NotAllowed:
            return self._elsewhere(found, words, person)
        except HomeserverError as error:
            if not error.temporary:
                return self._elsewhere(found, words, person)
            return _waiting(found, words, person)
        except BridgeError as error:
            if error.code in {"is_banned", "not_invitable", "not_a_person", "declined_recently"}:
                # Nobody learns here how somebody else stands with the chat.
                return self._elsewhere(found, words, person)
            raise
        return self._done(outcome, words, person)

    # What stands there

    def _form(self, found: Invitation, words: Translation, *, error: str = "", value: str = "") -> Page:
        chat, link = found.chat, found.link
        lead = words.t("Write your Matrix id, and the invitation comes to your Matrix app.")
        button = words.t("Invite me")
        if link.approval:
            lead = words.t("Write your Matrix id to ask. If you are let in, the invitation comes to your Matrix app.")
            button = words.t("Ask to join")
        hint = words.t("Like {example}", example=f"@alice:{self._server_name}")
        return Page(
            words.t("Join “{chat}”", chat=chat.name or chat.alias or chat.room_id),
            lead,
            facts=self._facts(found, words),
            fields=[Field(PERSON, words.t("Your Matrix id"), hint=hint, error=error, value=value)],
            buttons=[Button("join", button)],
            ways=[Way(words.t("Open it in your Matrix app"), self._room(found))],
            picture=Picture(self._links.qr_svg(link), words.t("This link as a QR code")),
            closing=self._other_ways(found, words),
            status=422 if error else 200,
        )

    def _facts(self, found: Invitation, words: Translation) -> list[Fact]:
        chat, link = found.chat, found.link
        kind = words.t("Channel") if chat.kind is Kind.CHANNEL else words.t("Group")
        secret = words.t("End-to-end encrypted") if chat.encrypted else words.t("Everybody may read it")
        if not chat.encrypted and not chat.public:
            secret = words.t("Not encrypted")
        facts = [Fact(kind, words.n("{count} member", "{count} members", found.members), secret)]
        if chat.topic:
            facts.append(Fact(words.t("About"), chat.topic))
        if link.expires_at is not None:
            when = words.formats.datetime(from_ms(link.expires_at), "short")
            facts.append(Fact(words.t("Link works until"), f"{when} UTC"))
        return facts

    def _other_ways(self, found: Invitation, words: Translation) -> str:
        """How to come in and prove who one is."""
        token = found.link.token
        if self._hub:
            return words.t(
                "You can also ask to join in your Matrix app with the code {code} as the reason, or write “join {code}”"
                " to {hub}.",
                code=token,
                hub=self._hub,
            )
        return words.t("You can also ask to join in your Matrix app with the code {code} as the reason.", code=token)

    def _elsewhere(self, found: Invitation, words: Translation, person: str) -> Page:
        return Page(
            words.t("This person cannot be invited here"),
            words.t("If it is you: ask for it yourself, so that we know that it is."),
            mark=Mark.STOPPED,
            facts=[Fact(words.t("For"), person)],
            ways=[Way(words.t("Open it in your Matrix app"), self._room(found))],
            closing=self._other_ways(found, words),
            status=409,
        )

    def _done(self, outcome: Redeemed, words: Translation, person: str) -> Page:
        chat = outcome.chat
        name = chat.name or chat.alias or chat.room_id
        facts = [Fact(words.t("For"), person)]
        if outcome.asked:
            return Page(
                words.t("You have asked to join"),
                words.t("Somebody of “{chat}” decides. If you are let in, the invitation is in your app.", chat=name),
                mark=Mark.WAITING,
                facts=facts,
                closing=words.t("You can close this page."),
            )
        return Page(
            words.t("You are invited"),
            words.t("Accept the invitation to “{chat}” in your Matrix app: it is there now.", chat=name),
            mark=Mark.DONE,
            facts=facts,
            ways=[Way(words.t("Open it in your Matrix app"), permalink(chat.room_id, via=[self._server_name]))],
            closing=words.t("You can close this page."),
        )

    def _room(self, found: Invitation) -> str:
        return permalink(found.chat.room_id, via=[self._server_name])

    # Requests

    def _token(self, request: web.Request) -> str:
        token = self._links.codes.read(request.match_info["token"][:LONGEST_PATH])
        if token is None:
            raise NotFound("no_such_link", "There is no such invite link.")
        return token


def _waiting(found: Invitation, words: Translation, person: str) -> Page:
    return Page(
        words.t("Your invitation is on its way"),
        words.t("A server does not answer at the moment. You are invited as soon as it does."),
        mark=Mark.WAITING,
        facts=[Fact(words.t("For"), person)],
        closing=words.t("You can close this page."),
    )


def _ended(error: BridgeError, words: Translation) -> Page:
    """Why a link lets nobody in."""
    status = 404 if isinstance(error, NotFound) else 410
    lead = words.t("Ask whoever gave it to you for a new one.")
    retry: int | None = None
    match error.code:
        case "no_such_link":
            title = words.t("There is no such invite link")
            lead = words.t("Maybe it was copied without its end.")
        case "link_expired":
            title = words.t("This invite link has expired")
        case "link_used_up":
            title = words.t("This invite link is used up")
        case "link_revoked":
            title = words.t("This invite link was ended")
        case "chat_full":
            title, status = words.t("The chat is full"), 409
            lead = words.t("Nobody can join it at the moment.")
        case _:
            title, status = words.t("Not at the moment"), 429
            lead = words.t("Too many people want to join at once. Please try again later.")
            retry = max(60, math.ceil(getattr(error, "retry_after", 0)))
    return Page(title, lead, mark=Mark.STOPPED, status=status, retry_after=retry)
