"""Delivery states and changes: what has happened in a chat since a number, and how far a message has come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.store.tables import InboxState, OutboxState
from appservice.unit import UNSENT
from bridge.actor import Actor
from bridge.domain import pages
from bridge.domain.delivery import Mark, Numbered, State, furthest
from bridge.domain.kinds import PLANS
from bridge.domain.pages import Page
from bridge.domain.roles import Role
from bridge.errors import Conflict, NotFound, Refused
from bridge.permissions import Permissions
from bridge.registry import Registry
from bridge.store import chats as chat_store
from bridge.store import delivery as store
from bridge.store.chats import Chat
from bridge.store.delivery import Kept, Sending

MOST_WAITING: Final = 20_000
"""Receipts that wait to be written, at most; the oldest go first."""
MOST_AT_ONCE: Final = 500
UNKNOWN_FOR_MS: Final = 60_000
"""A receipt may come before its event was worked; for so long it waits for that."""
LONGEST_WAIT_S: Final = 60.0
NOT_HANDLED: Final = "The service could not handle the message."

NumberedHook = Callable[[Connection, Chat, Sequence[Numbered]], None]
MarkedHook = Callable[[Connection, Chat, Mark, Mark], None]


@dataclass(frozen=True, slots=True)
class Changes:
    """A part of what has happened in a chat.

    Attributes:
        head: the last number there is.
        next: the number to ask on from.
        more: whether there is more already.
    """

    items: Sequence[Kept]
    head: int
    next: int
    more: bool


@dataclass(frozen=True, slots=True)
class Status:
    """What became of a message.

    Attributes:
        event_id: '' as long as it is not sent.
        seq: None before it has a number, which it gets when the homeserver hands it back.
        at: ms; when it was sent, by the homeserver.
        recipients: who is in the chat but for the sender.
        delivered, read: of how many of them that is known. Who opted out of read receipts is not among the latter.
        reason: why it failed.
    """

    state: State
    event_id: str = ""
    seq: int | None = None
    at: int | None = None
    recipients: int = 0
    delivered: int = 0
    read: int = 0
    redacted: bool = False
    reason: str | None = None


@dataclass(slots=True)
class _Receipt:
    event_id: str
    at: int
    came_at: int


async def _nobody(_user_id: str) -> bool:
    return False


class DeliveryService:
    """Reads what :class:`bridge.delivery.feature.DeliveryFeature` numbers, and keeps who has what."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        registry: Registry,
        permissions: Permissions,
        bots_in: Callable[[str], Iterable[str]],
        steward: str,
    ) -> None:
        """
        Args:
            bots_in: the bots (and the steward) that are in a room.
        """
        self._database = database
        self._clock = clock
        self._registry = registry
        self._permissions = permissions
        self._bots_in = bots_in
        self._steward = steward
        self.hides_receipts: Callable[[str], Awaitable[bool]] = _nobody
        """Whether somebody does not want it known what they have read."""
        self.numbered: list[NumberedHook] = []
        """Called in the commit that gives numbers."""
        self.marked: list[MarkedHook] = []
        """Called in the commit that takes in how far somebody has come: their mark before and after."""
        self._waiting: dict[tuple[str, str], _Receipt] = {}
        self._news = asyncio.Event()
        self._listeners: dict[str, set[asyncio.Event]] = {}

    # What has happened

    async def head(self, chat: Chat) -> int:
        """The last number that was given in a chat; 0 before the first."""
        found = await self._database.read(lambda connection: store.head(connection, chat.id))
        return 0 if found is None else found.last

    async def changes(
        self, actor: Actor, chat: Chat, after: int = 0, limit: int = pages.USUAL, wait: float = 0.0
    ) -> Changes:
        """What has happened in a chat since a number, in order and without gaps.

        A person sees of a chat with a hidden history what came since they are in it.

        Args:
            after: the last number that is known.
            wait: seconds to wait for something new when there is nothing, 60 at most.

        Raises:
            NotFound: the chat is not for the eyes of who asks.
            Refused: ``no_such_number``: this number was not given yet.
            Conflict: ``changes_gone``: what came after it is not kept any more; ``first`` is the first that is.
        """
        since = await self._since(actor, chat)
        limit = pages.bounded(limit)

        def read(connection: Connection) -> Changes:
            head = store.head(connection, chat.id)
            first, last = (1, 0) if head is None else (head.first, head.last)
            if not 0 <= after <= last:
                raise Refused("no_such_number", "This number was not given yet.", head=last)
            start = max(after, 0 if since is None else store.last_before(connection, chat.id, since))
            if start + 1 < first:
                raise Conflict("changes_gone", "What came then is not kept any more.", first=first, head=last)
            items = store.changes(connection, chat.id, start, limit)
            reached = items[-1].numbered.seq if items else start
            return Changes(items, last, reached, reached < last)

        if wait <= 0:
            return await self._database.read(read)
        news = asyncio.Event()
        self._listeners.setdefault(chat.id, set()).add(news)
        try:
            found = await self._database.read(read)
            if not found.items:
                try:
                    async with asyncio.timeout(min(wait, LONGEST_WAIT_S)):
                        await news.wait()
                except TimeoutError:
                    return found
                found = await self._database.read(read)
            return found
        finally:
            self._listeners[chat.id].discard(news)
            if not self._listeners[chat.id]:
                del self._listeners[chat.id]

    def came(self, chat_id: str) -> None:
        """Something new was numbered."""
        for news in self._listeners.get(chat_id, ()):
            news.set()
        if self._waiting:
            self._news.set()  # perhaps what a receipt waits for

    # How far messages and people have come

    async def acknowledge(self, user_id: str, chat: Chat, event_id: str) -> int:
        """A client of somebody's has everything up to an event; its number.

        Raises:
            NotFound: they are not in the chat, or it has no such event.
        """
        await self._since(Actor.person(user_id), chat)
        now = self._clock.now_ms()

        def put(connection: Connection) -> int:
            kept = _must(store.find(connection, chat.id, event_id))
            self._mark(connection, chat, user_id, delivered=kept.numbered.seq, read=0, at=now)
            return kept.numbered.seq

        return await self._database.write(put)

    async def status(self, actor: Actor, chat: Chat, event_id: str) -> Status:
        """What became of a message.

        Args:
            event_id: or the reference that a unit of work gave for it, before it was sent.

        Raises:
            NotFound: there is no such message in the chat, or not for who asks.
        """
        since = await self._since(actor, chat)

        def read(connection: Connection) -> Status:
            if not event_id.startswith(UNSENT):
                kept = _must(store.find(connection, chat.id, event_id), since)
                return self._numbered(connection, chat, kept)
            sending = store.sending(connection, event_id.removeprefix(UNSENT))
            if sending is None or sending.room_id != chat.room_id:
                raise _no_message()
            kept_one = None if sending.event_id is None else store.find(connection, chat.id, sending.event_id)
            return _on_its_way(sending) if kept_one is None else self._numbered(connection, chat, kept_one)

        return await self._database.read(read)

    async def recipients(
        self, actor: Actor, chat: Chat, event_id: str, *, after: str | None = None, limit: int = pages.USUAL
    ) -> Page[Mark]:
        """A page of those who have a message, and which of them have read it.

        Raises:
            NotFound: as above.
            Refused: ``bad_cursor``.
        """
        since = await self._since(actor, chat)
        try:
            start = "" if after is None else str(pages.key_of(after, str)[0])
        except pages.BadCursor as error:
            raise Refused("bad_cursor", "The cursor is none of this list.") from error
        limit = pages.bounded(limit)

        def read(connection: Connection) -> Page[Mark]:
            kept = _must(store.find(connection, chat.id, event_id), since)
            found = store.marks(connection, chat.id, kept.numbered.seq, after=start, limit=limit + 1)
            items = [mark for mark in found[:limit] if mark.user_id != kept.numbered.entry.sender]
            return Page(items, pages.cursor(found[limit - 1].user_id) if len(found) > limit else None)

        return await self._database.read(read)

    async def hide(self, user_id: str) -> None:
        """Somebody does not want it known what they have read: what is known is forgotten."""
        await self._database.write(lambda connection: store.hide_reads(connection, user_id))

    def receipts(self, event: Mapping[str, Any]) -> None:
        """Take in an ``m.receipt`` (specification, "Receipts"); written a moment later, by :meth:`flush`."""
        room_id, content = event.get("room_id"), event.get("content")
        if not isinstance(room_id, str) or not isinstance(content, Mapping) or room_id not in self._registry:
            return
        now = self._clock.now_ms()
        for event_id, kinds in content.items():
            readers = kinds.get("m.read") if isinstance(kinds, Mapping) else None
            for user_id in readers if isinstance(readers, Mapping) else ():
                if len(self._waiting) >= MOST_WAITING:
                    self._waiting.pop(next(iter(self._waiting)))
                self._waiting.pop((room_id, user_id), None)
                self._waiting[room_id, user_id] = _Receipt(event_id, now, now)
        if self._waiting:
            self._news.set()

    def hurry(self) -> None:
        """There is something to write."""
        self._news.set()

    async def wait(self) -> None:
        """Until there is something to :meth:`flush`."""
        await self._news.wait()
        self._news.clear()

    async def flush(self) -> None:
        """Write the receipts that wait.

        Raises:
            DatabaseError: they wait on.
        """
        todo = list(self._waiting)
        for start in range(0, len(todo), MOST_AT_ONCE):
            keys = todo[start : start + MOST_AT_ONCE]
            batch = [(key, receipt) for key in keys if (receipt := self._waiting.get(key)) is not None]
            hidden = {user_id for user_id in {key[1] for key, _ in batch} if await self.hides_receipts(user_id)}
            unknown = await self._database.write(partial(self._written, batch=batch, hidden=hidden))
            now = self._clock.now_ms()
            for key, receipt in batch:
                late = key not in unknown or now - receipt.came_at >= UNKNOWN_FOR_MS
                if late and self._waiting.get(key) is receipt:
                    del self._waiting[key]

    def _written(
        self, connection: Connection, *, batch: Sequence[tuple[tuple[str, str], _Receipt]], hidden: set[str]
    ) -> set[tuple[str, str]]:
        """Write receipts; those whose event has no number are returned."""
        known = store.numbers(connection, {receipt.event_id for _, receipt in batch})
        unknown = set()
        for (room_id, user_id), receipt in batch:
            chat = self._registry.get(room_id)
            found = known.get(receipt.event_id)
            if found is None:
                unknown.add((room_id, user_id))
            elif chat is not None and found[0] == chat.id:
                read = 0 if user_id in hidden else found[1]
                self._mark(connection, chat, user_id, delivered=found[1], read=read, at=receipt.at)
        return unknown

    def _mark(self, connection: Connection, chat: Chat, user_id: str, *, delivered: int, read: int, at: int) -> None:
        before = store.mark_of(connection, chat.id, user_id) or Mark(user_id)
        after = store.mark(connection, chat.id, user_id, delivered=delivered, read=read, at=at)
        if after != before:
            for hook in self.marked:
                hook(connection, chat, before, after)

    def _numbered(self, connection: Connection, chat: Chat, kept: Kept) -> Status:
        seq, entry = kept.numbered.seq, kept.numbered.entry
        apart = {entry.sender, self._steward}
        people, delivered, read = store.counts(connection, chat.id, chat.room_id, seq, apart)
        failed = False
        bots = [bot for bot in self._bots_in(chat.room_id) if bot not in apart]
        if bots:
            # The bot whose chat it is is not among the members that are kept.
            people += sum(chat_store.member(connection, chat.room_id, bot) is None for bot in bots)
            state, gave_up = store.answering(connection, entry.event_id)
            quiet = [bot for bot in bots if (store.mark_of(connection, chat.id, bot) or Mark(bot)).delivered < seq]
            failed = bool(gave_up) and people <= len(bots)
            if state in {InboxState.DONE, InboxState.DEAD, InboxState.DROPPED}:
                delivered += len([bot for bot in quiet if bot not in gave_up])
        state_now = furthest(delivered=delivered, read=read, failed=failed)
        return Status(
            state=state_now,
            event_id=entry.event_id,
            seq=seq,
            at=entry.at,
            recipients=people,
            delivered=delivered,
            read=read,
            redacted=kept.redacted,
            reason=NOT_HANDLED if state_now is State.FAILED else None,
        )

    async def _since(self, actor: Actor, chat: Chat) -> int | None:
        """From when on (ms) somebody may see what happened in a chat; None: all of it.

        Raises:
            NotFound: nothing of it.
        """
        if not actor.user_id:
            await self._permissions.require(actor, chat, Role.READER)
            return None
        user_id = actor.user_id
        member = await self._database.read(lambda connection: chat_store.member(connection, chat.room_id, user_id))
        if member is None or member.membership != "join":
            # The homeserver's word is never late; what is known here may be.
            await self._permissions.require(actor, chat, Role.READER)
            return self._clock.now_ms() if _hidden(chat) else None
        return member.since if _hidden(chat) else None


def _hidden(chat: Chat) -> bool:
    """Whether members see only what came since they are there: also where it is not known what the room says."""
    plan = PLANS.get((chat.kind, chat.public))
    return not chat.public and (chat.adopted or plan is None or plan.history in {"invited", "joined"})


def _on_its_way(sending: Sending) -> Status:
    if sending.state is OutboxState.FAILED:
        return Status(State.FAILED, reason=sending.error or "The homeserver did not take it.")
    if sending.event_id is None:
        return Status(State.SENDING)
    return Status(State.SENT, event_id=sending.event_id)


def _must(kept: Kept | None, since: int | None = None) -> Kept:
    if kept is None or (since is not None and kept.numbered_at < since):
        raise _no_message()
    return kept


def _no_message() -> NotFound:
    return NotFound("no_such_message", "There is no such message.")
