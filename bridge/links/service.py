"""Invite links: made, used by people who come in, ended; and the requests of those who ask to be let in.

What a link lets in is decided in the database, and counted there; the homeserver is told after it, and again until it
has been told. A link that somebody has to approve, and a knock, become a request.
"""

from __future__ import annotations

import builtins
import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.events import InternalEvent
from bridge.actor import Actor
from bridge.chats import consent as consents
from bridge.chats.consent import Consent
from bridge.chats.plans import checked
from bridge.chats.service import ChatService
from bridge.domain import texts
from bridge.domain.kinds import Kind
from bridge.domain.links import LONGEST_S, MOST_TITLE, MOST_USES, SHORTEST_S, Codes, Link, UseState
from bridge.domain.permalinks import permalink
from bridge.domain.roles import MODERATOR, Role
from bridge.domain.ulids import ENTROPY_BYTES, ulid
from bridge.errors import NotFound, Refused, TooMany
from bridge.links.door import Door, end, give_back, move
from bridge.links.looks import qr_png, qr_svg, qr_svg_file
from bridge.notices import Notices
from bridge.permissions import Permissions
from bridge.steward import Steward, within_power
from bridge.store import chats as chat_store
from bridge.store import links as store
from bridge.store.chats import Chat
from bridge.store.links import Request

ASK_AGAIN_MS: Final = 24 * 3_600_000
"""Who was declined does not ask again before."""
TELL_EVERY_MS: Final = 600_000
"""Moderators hear of requests to a chat once in that time."""
MOST_TOLD: Final = 20
MOST_PENDING: Final = 100
"""People whom others have invited by a link's page, and who have not come yet."""
MOST_LISTED: Final = 1_000
ULID_LENGTH: Final = 26
WITH_LINKS: Final = frozenset({Kind.GROUP, Kind.CHANNEL})

RaiseEvents = Callable[[Callable[[Connection], Iterable[InternalEvent]]], Any]


@dataclass(frozen=True, slots=True)
class Redeemed:
    """Somebody has used a link. ``joined``: they are invited (or in it already); else they have asked to be."""

    chat: Chat
    joined: bool
    link: Link

    @property
    def asked(self) -> bool:
        """Somebody has to let them in."""
        return not self.joined


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a link leads to, for who has it."""

    link: Link
    chat: Chat
    members: int


class LinkService:
    """What can be done with links. ``actor`` is who asks."""

    def __init__(
        self,
        chats: ChatService,
        steward: Steward,
        database: Database,
        permissions: Permissions,
        notices: Notices,
        raise_events: RaiseEvents,
        clock: Clock,
        key: bytes,
        *,
        consent: Consent,
        url: Callable[[str], str] | None,
        hub: str = "",
        service_users: Collection[str] = (),
        most_links: int = 100,
        most_requests: int = 1_000,
        most_members: int = 100_000,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """
        Args:
            key: of the codes: 32 bytes.
            consent: what people let others do with them.
            url: the address of the page of a code; None: there are no pages, and people write the code to ``hub``.
        """
        self._chats = chats
        self._steward = steward
        self._database = database
        self._permissions = permissions
        self._notices = notices
        self._raise_events = raise_events
        self._clock = clock
        self._consent = consent
        self._url = url
        self._hub = hub or steward.user_id
        self._service_users = frozenset(service_users) | {steward.user_id}
        self._most_links = most_links
        self._most_requests = most_requests
        self._entropy = entropy
        self._door = Door(steward, database, clock, most_members)
        self.codes = Codes(key)
        self.background = self._door.background
        self.run_due = self._door.run_due
        chats.deleting.append(lambda connection, chat: store.forget_chat(connection, chat.id))

    # Making and ending

    async def create(
        self,
        actor: Actor,
        chat: Chat,
        *,
        expires_in: int | None = None,
        uses: int | None = None,
        approval: bool = False,
        title: str = "",
        also: Callable[[Connection, Link], None] = lambda _connection, _link: None,
    ) -> Link:
        """Make a link.

        Args:
            expires_in: seconds, from a minute to a year; None: it works until it is ended.
            uses: how many people may come by it; None: any number.
            approval: each who comes by it is a request, which somebody answers.
            title: for those who look after the links.
            also: done in the same transaction.

        Raises:
            Refused: a value cannot be, or the chat is of two people.
            NotAllowed, NotFound: only admins and above.
            TooMany: the chat has as many links as it may.
        """
        await self._permissions.require(actor, chat, Role.ADMIN)
        if chat.kind not in WITH_LINKS:
            raise Refused("kind_has_no_links", "Only groups and channels have invite links.")
        if expires_in is not None and not SHORTEST_S <= expires_in <= LONGEST_S:
            raise Refused("time_invalid", "A link works from a minute to a year, or until it is ended.")
        if uses is not None and not 1 <= uses <= MOST_USES:
            raise Refused("uses_invalid", f"A link is for 1 to {MOST_USES} people, or for any number.")
        with checked():
            title = texts.line(title, "title", most=MOST_TITLE, empty=True)
        now = self._clock.now_ms()
        link_id = ulid(now, self._entropy(ENTROPY_BYTES))
        link = Link(
            id=link_id,
            chat_id=chat.id,
            created_by=actor.name,
            created_at=now,
            title=title,
            approval=approval,
            uses=uses,
            expires_at=None if expires_in is None else now + expires_in * 1000,
            token=self.codes.of(link_id),
        )

        def work(connection: Connection) -> None:
            if store.count(connection, chat.id, now) >= self._most_links:
                raise TooMany("too_many_links", f"A chat has {self._most_links} invite links at most; end some.")
            store.add(connection, link)
            also(connection, link)
            details = {"link": link_id, "expires_in": expires_in, "uses": uses, "approval": approval}
            self._chats.note(connection, actor, "chat.link", chat, details)

        await self._database.write(work)
        return link

    async def get(self, actor: Actor, chat: Chat, link_id: str) -> Link:
        """A link of a chat by its id, whether it works or has ended.

        Raises:
            NotFound: the chat has no such link.
            NotAllowed: only admins and above.
        """
        await self._permissions.require(actor, chat, Role.ADMIN)
        found = await self._database.read(lambda connection: store.by_id(connection, chat.id, link_id))
        if found is None:
            raise _no_link()
        return self._coded(found)

    async def list(self, actor: Actor, chat: Chat) -> builtins.list[Link]:
        """The links that let somebody in, the newest first."""
        await self._permissions.require(actor, chat, Role.ADMIN)
        now = self._clock.now_ms()
        found = await self._database.read(
            lambda connection: store.of_chat(connection, chat.id, now, limit=self._most_links)
        )
        return [self._coded(link) for link in found]

    async def revoke(self, actor: Actor, chat: Chat, link: str) -> None:
        """End a link: it lets nobody in any more. Nothing happens to one that has ended so.

        Args:
            link: its id, or its code.

        Raises:
            NotFound: the chat has no such link.
        """
        await self._permissions.require(actor, chat, Role.ADMIN)
        token, now = self.codes.read(link), self._clock.now_ms()

        def work(connection: Connection) -> None:
            found = store.by_token(connection, token) if token else None
            if found is None and len(link) == ULID_LENGTH and link.isalnum():
                found = store.by_id(connection, chat.id, link)
            if found is None or found.chat_id != chat.id:
                raise _no_link()
            if store.revoke(connection, found.id, now):
                self._chats.note(connection, actor, "chat.link_end", chat, {"link": found.id})

        await self._database.write(work)

    # What it looks like

    def url(self, link: Link) -> str:
        """The address to give to people: of its page, or of who takes the code where there are no pages."""
        token = link.token or self.codes.of(link.id)
        return permalink(self._hub) if self._url is None else self._url(token)

    def qr_svg(self, link: Link) -> str:
        """The address as a QR code: an ``<svg>`` element."""
        return qr_svg(self._scanned(link))

    def qr_svg_file(self, link: Link) -> bytes:
        """The address as a QR code: an SVG file."""
        return qr_svg_file(self._scanned(link))

    def qr_png(self, link: Link) -> bytes:
        """The address as a QR code: a PNG image."""
        return qr_png(self._scanned(link))

    def _scanned(self, link: Link) -> str:
        return self.url(link) if self._url is not None else link.token or self.codes.of(link.id)

    async def by_token(self, token: str) -> Link | None:
        """The link of a code, as somebody wrote it; whether it works or has ended."""
        word = self.codes.read(token)
        return None if word is None else await self._database.read(lambda it: store.by_token(it, word))

    async def look(self, token: str) -> Invitation:
        """What a code leads to. It uses nothing up.

        Raises:
            NotFound: there is no such link.
            Refused: it has ended.
        """
        link, chat = await self._found(token)
        ended = link.ended(self._clock.now_ms())
        if ended is not None:
            end(ended)
        counts = await self._database.read(lambda it: chat_store.count_members(it, [chat.room_id]))
        return Invitation(link, chat, counts.get(chat.room_id, 0))

    # Coming in

    async def redeem(
        self,
        user_id: str,
        token: str,
        *,
        proven: bool = True,
        within: Chat | None = None,
        knocked: bool = False,
    ) -> Redeemed:
        """Have somebody come in by a code. The same person may do it again, and counts once.

        Args:
            proven: whether it is they who ask. If anybody may have named them, the settings of the named one are asked
                whether the link's maker may add them.
            within: the chat that they are before: a code of another one is none.
            knocked: they have knocked at its room.

        Raises:
            NotFound: there is no such link.
            Refused: the link has ended, the chat is full, or they are banned from it.
            NotAllowed: they were named by somebody, and do not want to be added.
            TooMany: they were declined not long ago, or too many wait already.
            HomeserverError: it does not answer. They have their place, and are invited when it does.
        """
        with checked():
            user_id = texts.user_id(user_id)
        link, chat = await self._found(token)
        if within is not None and within.id != chat.id:
            raise _no_link()
        if user_id in self._service_users:
            raise Refused("not_a_person", "Only people come by an invite link.")
        membership = await self._steward.of(chat).membership(chat.room_id, user_id)
        if membership in chat_store.IN:
            return Redeemed(chat, True, link)
        if membership == "ban":
            raise Refused("is_banned", "They are banned from this chat.")
        if not proven:
            await self._named(link, user_id)
        await self._door.room_for_one(chat)
        if link.approval:
            request = Request(
                chat.id, user_id, store.OPEN, self._clock.now_ms(), link.id, knocked, tell=proven and not knocked
            )
            await self._ask(chat, link, request)
            return Redeemed(chat, False, link)
        await self._database.write(lambda connection: self._door.take(connection, link, user_id, UseState.DUE))
        await self._door.invite(chat, user_id)
        return Redeemed(chat, True, link)

    async def _found(self, token: str) -> tuple[Link, Chat]:
        word = self.codes.read(token)
        if word is None:
            raise _no_link()

        def read(connection: Connection) -> tuple[Link, Chat] | None:
            link = store.by_token(connection, word)
            chat = None if link is None else chat_store.by_id(connection, link.chat_id)
            return None if link is None or chat is None or not chat.alive else (link, chat)

        found = await self._database.read(read)
        if found is None:
            raise _no_link()
        return found

    async def _named(self, link: Link, user_id: str) -> None:
        """Somebody has named a person on a page: as if the link's maker added them."""
        maker = link.created_by if link.created_by.startswith("@") else self._steward.user_id
        await consents.ask(self._consent, maker, user_id, "add")
        if await self._database.read(lambda connection: store.count_pending(connection, link.id)) >= MOST_PENDING:
            raise TooMany("too_many_pending", "Too many people who were invited by this link have not come yet.")

    async def _ask(self, chat: Chat, link: Link, request: Request) -> None:
        """Keep a request that came by a link, and tell those who answer it."""

        def work(connection: Connection) -> Iterable[InternalEvent]:
            before = store.request_of(connection, chat.id, request.user_id)
            if before is not None and before.state == store.DECLINED:
                left = (before.decided_at or 0) + ASK_AGAIN_MS - request.since
                if left > 0:
                    human = "They were declined not long ago; ask again later."
                    raise TooMany("declined_recently", human, retry_after=left / 1000)
                before = None
            if before is None and store.count_requests(connection, chat.id) >= self._most_requests:
                raise TooMany("too_many_requests", "Too many people wait to be let in.")
            self._door.take(connection, link, request.user_id, UseState.ASKED)
            store.ask(connection, request)
            return [] if before is not None else self.asked(connection, chat, request.user_id)

        await self._raise_events(work)

    def asked(self, connection: Connection, chat: Chat, user_id: str) -> builtins.list[InternalEvent]:
        """What tells those who look after a chat that somebody asks to join. A product hears of it by its webhooks."""
        if chat.workspace:
            return []
        found = chat_store.members(connection, chat.room_id, least=MODERATOR, limit=MOST_TOLD)
        values = {"person": user_id, "chat": chat.name or chat.room_id}
        burst = self._clock.now_ms() // TELL_EVERY_MS
        return [
            event
            for each in found
            if each.user_id not in self._service_users
            for event in self._notices.event(
                f"join {chat.id} {each.user_id} {burst}", each.user_id, "join.requested", values
            )
        ]

    # Requests

    async def requests(self, actor: Actor, chat: Chat) -> builtins.list[Request]:
        """Who asks to join, the first first; 1,000 at most.

        Raises:
            NotAllowed, NotFound: only moderators and above.
        """
        await self._permissions.require(actor, chat, Role.MODERATOR)
        return await self._database.read(
            lambda connection: store.requests(connection, chat.id, chat.room_id, MOST_LISTED)
        )

    async def answer(self, actor: Actor, chat: Chat, user_id: str, accept: bool) -> None:
        """Let somebody in who asks, or not.

        Raises:
            NotFound: they do not ask (any more).
            Refused: they are banned, or the chat is full.
            NotAllowed: only moderators and above.
        """
        await self._permissions.require(actor, chat, Role.MODERATOR)
        hand = self._steward.of(chat)
        request = await self._database.read(lambda connection: store.request_of(connection, chat.id, user_id))
        membership = await hand.membership(chat.room_id, user_id)
        if request is None or request.state != store.OPEN:
            if membership != "knock":
                raise NotFound("no_such_request", "They do not ask to join.")
            request = Request(chat.id, user_id, store.OPEN, self._clock.now_ms(), knocked=True)
        if accept and membership == "ban":
            raise Refused("is_banned", "They are banned from this chat.")
        if accept and membership not in chat_store.IN:
            await self._door.room_for_one(chat)
            with within_power():
                await hand.invite(chat.room_id, user_id)
        if not accept and membership == "knock":
            with within_power():
                await hand.kick(chat.room_id, user_id, "The request to join was declined.")
        await self._answered(actor, chat, request, accept)

    async def _answered(self, actor: Actor, chat: Chat, request: Request, accept: bool) -> None:
        now, user_id = self._clock.now_ms(), request.user_id
        values = {"chat": chat.name or chat.room_id, "link": permalink(chat.room_id, via=[self._steward.server_name])}
        code = "join.accepted" if accept else "join.declined"

        def work(connection: Connection) -> Iterable[InternalEvent]:
            store.knock_over(connection, chat.room_id, user_id)
            if accept:
                store.forget_request(connection, chat.id, user_id)
                move(connection, chat.id, user_id, UseState.INVITED, now)
            else:
                store.decline(connection, request, actor.name, now)
                give_back(connection, chat.id, user_id)
            self._chats.note(connection, actor, "chat.request", chat, {"user": user_id, "accept": accept})
            # Who knocked sees it in their client; who was named by somebody on a page has never heard of us.
            key = f"joined {chat.id} {user_id} {request.since}"
            return self._notices.event(key, user_id, code, values) if request.tell else []

        await self._raise_events(work)

    def _coded(self, link: Link) -> Link:
        return replace(link, token=self.codes.of(link.id))


def _no_link() -> NotFound:
    return NotFound("no_such_link", "There is no such invite link.")
