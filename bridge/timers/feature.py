"""Hears which messages have a timer, and notes when they are to go.

Everything that people and bots send goes, whatever its type: messages, edits, reactions. State stays, and redactions,
which say nothing. What was sent before a timer was set keeps the one that it had.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.consumer import EXPIRED
from appservice.database import Database
from appservice.events import Event
from appservice.unit import UnitOfWork
from bridge.audit import Audit
from bridge.domain.delivery import Mark, relation_of
from bridge.domain.kinds import Kind
from bridge.domain.timers import (
    MEDIA,
    TIMER,
    Start,
    Timer,
    deadline,
    in_words,
    media_of,
    message_timer,
    moment_sent,
)
from bridge.feature import Feature
from bridge.registry import Registry
from bridge.steward import Steward
from bridge.store import timers as store
from bridge.store.chats import Chat
from bridge.store.timers import Timed

log = logging.getLogger(__name__)

NAME: Final = "bridge:timers"
REDACTION: Final = "m.room.redaction"
NOTICE: Final = "chat.rialto.notice"
"""Field of what is announced in a chat (:meth:`bridge.notices.Notices.announce`)."""
REASONS: Final = {store.TIMER: "message timer", store.RETENTION: "retention"}
"""What redactions of ours say, by why a message goes: :data:`appservice.consumer.EXPIRED`."""
MOST_BY: Final = 255


class Places:
    """Numbers that go up, also over restarts, as far as the clock does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0

    def next(self) -> int:
        """The next one."""
        self._last = max(self._last + 1, self._clock.now_ms() * 1_000)
        return self._last


class TimerFeature(Feature):
    """The consumer. It is to stand before the one that numbers events: a reading is known by their numbers."""

    name = NAME

    def __init__(
        self,
        steward: Steward,
        database: Database,
        registry: Registry,
        audit: Audit,
        clock: Clock,
        service_users: frozenset[str],
        soon: Callable[[int], None],
    ) -> None:
        """
        Args:
            service_users: our own users. Among people their reading does not count.
            soon: told of each time (ms) at which something is to be removed.
        """
        super().__init__(steward.user_id)
        self._steward = steward
        self._database = database
        self._registry = registry
        self._audit = audit
        self._clock = clock
        self._service_users = service_users | {steward.user_id}
        self._soon = soon
        self._places = Places(clock)
        self._timers: dict[str, Timer | None] = {}
        """By room, for rooms in which one was ever set: the one that holds at this place of the timeline."""
        self._tracked: set[str] = set()
        """Rooms of which a message is to be removed, or was since the start."""
        self._unread: set[str] = set()
        """Rooms in which one waits for its first reading, or did since the start."""

    async def start(self) -> None:
        """Load which rooms have timers."""
        self._timers = await self._database.read(store.timers)
        self._tracked = await self._database.read(store.rooms_with_messages)
        self._unread = await self._database.read(store.rooms_unread)

    def timed(self, room_id: str) -> bool:
        """Whether messages that are sent to a room now have a timer."""
        return self._timers.get(room_id) is not None

    def wants(self, event: Event) -> bool:
        """Timers that are set, messages that have one or belong to one that has, files, and redactions."""
        room_id = event.room_id
        chat = self._registry.get(room_id)
        if chat is None or event.consumer is not None:
            return False
        if event.state_key is not None:
            return event.type == TIMER and event.state_key == ""
        if NOTICE in event.content and event.sender in self._service_users:
            return False  # what the chat itself has to say stays: that there is a timer, for one
        if event.type == REDACTION:
            # Of what we have removed ourselves everything is known.
            return not (event.sender in self._service_users and event.content.get("reason") in EXPIRED)
        return (
            self._timers.get(room_id) is not None
            or room_id in self._tracked
            or TIMER in event.content
            or MEDIA in event.content
            or "url" in event.content
            or "m.new_content" in event.content
            or (chat.adopted and room_id not in self._timers)
        )

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Note it."""
        chat = self._registry.get(event.room_id)
        if chat is None:
            return
        if event.state_key is not None:
            self._set(chat, event, unit)
        elif event.type == REDACTION:
            await self._redacted(chat, event, unit)
        else:
            if chat.adopted and chat.room_id not in self._timers:
                await self._adopted(chat, unit)
            self._message(chat, event, unit)

    # Timers

    def _set(self, chat: Chat, event: Event, unit: UnitOfWork) -> None:
        """From here on another timer holds. This is where it is decided, whoever's client has set it."""
        room_id, timer, now = chat.room_id, Timer.of(event.content), self._clock.now_ms()
        before = self._timers.get(room_id)
        by = event.content.get("by")
        ours = event.sender in self._service_users and isinstance(by, str) and 0 < len(by) <= MOST_BY
        actor = str(by) if ours else event.sender
        changed = timer != before

        def work(connection: Connection) -> None:
            store.set_timer(connection, room_id, timer, actor, now)
            if changed:
                self._audit.append(
                    connection,
                    at=now,
                    actor=actor,
                    action="chat.timer",
                    subject=f"chat:{chat.id}",
                    outcome="done",
                    details={"seconds": timer and timer.seconds, "start": timer and timer.start.value},
                )

        unit.store(work)
        unit.after_commit(lambda: self._timers.__setitem__(room_id, timer))
        if changed:
            content = {
                "msgtype": "m.notice",
                "body": _announcement(timer),
                "m.mentions": {},
                NOTICE: {"code": "chat.timer"},
            }
            unit.send(room_id, content, user_id=self._steward.of(chat).user_id)

    async def _adopted(self, chat: Chat, unit: UnitOfWork) -> None:
        """A room that was a chat once, or one whose timer was set before it was: its state is asked for once.

        Raises:
            HomeserverError: it cannot be asked now.
        """
        room_id, now = chat.room_id, self._clock.now_ms()
        timer = Timer.of(await self._steward.state(room_id, TIMER))
        unit.store(lambda connection: store.set_timer(connection, room_id, timer, self.user_id, now))
        self._timers[room_id] = timer

    # Messages

    def _message(self, chat: Chat, event: Event, unit: UnitOfWork) -> None:
        room_id, content = event.room_id, event.content
        timer = self._timers.get(room_id)
        sent_at = moment_sent(event.timestamp, self._clock.now_ms())
        when = deadline(sent_at, timer, message_timer(content, timer))
        target = relation_of(event.type, content, None)
        # Replies and threads are messages of their own.
        follows = target[1] if target[0] in {"m.replace", "m.annotation", "m.reference"} else ""
        message = Timed(
            event.event_id,
            room_id,
            event.sender,
            sent_at,
            when.due_at,
            self._places.next(),
            when.read_seconds,
            follows,
        )
        if room_id in self._unread and self._counts(chat, event.sender):
            unit.store(lambda connection: store.spoken(connection, room_id, event.sender, sent_at))
            unit.after_commit(self._look)
        if when:
            unit.store(lambda connection: store.add(connection, [message]))
            unit.after_commit(lambda: self._noted(message))
        elif follows and room_id in self._tracked:
            unit.store(lambda connection: store.add_following(connection, message))
        files = media_of(content)
        if files:
            sender, event_id = event.sender, event.event_id
            unit.store(lambda connection: store.add_files(connection, event_id, room_id, sender, files))

    def _noted(self, message: Timed) -> None:
        self._tracked.add(message.room_id)
        if message.read_seconds is not None:
            self._unread.add(message.room_id)
        if message.due_at is not None:
            self._soon(message.due_at)

    def _look(self) -> None:
        self._soon(self._clock.now_ms())

    async def _redacted(self, chat: Chat, event: Event, unit: UnitOfWork) -> None:
        """Somebody else was quicker: nothing is left to do, but for what belongs to the message.

        A redaction that somebody had no power for comes too, and changes nothing: what it says of others' messages is
        not believed before it is seen.

        Raises:
            HomeserverError: it cannot be looked at now.
        """
        target, room_id, now = event.redacts, event.room_id, self._clock.now_ms()
        if target is None:
            return
        sender = await self._database.read(lambda connection: store.sender_of(connection, room_id, target))
        if sender is None:
            return
        if sender != event.sender and not redacted(await self._steward.of(chat).event(room_id, target)):
            return
        unit.store(lambda connection: store.gone(connection, [target], now))
        unit.after_commit(self._look)

    # The first reading

    def _counts(self, chat: Chat, reader: str) -> bool:
        """Whether somebody's reading is one: bots read everything, which among people nobody has read by that."""
        return chat.kind is Kind.SERVICE or reader not in self._service_users

    def marked(self, connection: Connection, chat: Chat, before: Mark, after: Mark) -> None:
        """Somebody has read a chat up to a number, says the commit at hand (:mod:`bridge.delivery`)."""
        if after.read <= before.read or chat.room_id not in self._unread or not self._counts(chat, after.user_id):
            return
        at = after.read_at or self._clock.now_ms()
        first = store.read_up_to(connection, chat.id, chat.room_id, after.user_id, after.read, at)
        if first is not None:
            self._soon(first)

    # For chats that move and end

    def moved(self, connection: Connection, old: Chat, new: Chat) -> None:
        """A new room takes the place of one: what holds in it was written into its state before it was known here."""
        store.take_along(connection, old.room_id, new.room_id)
        # Chats move in a transaction that may yet fail: the timer is then one of a room that nobody writes in.
        self._timers[new.room_id] = self._timers.get(old.room_id)

    def deleting(self, connection: Connection, chat: Chat) -> None:
        """A chat is deleted for everybody."""
        store.forget_room(connection, chat.room_id, self._clock.now_ms())


def redacted(event: Mapping[str, object] | None) -> bool:
    """Whether an event, as the homeserver shows it, is redacted."""
    if event is None:
        return False
    unsigned = event.get("unsigned")
    return "redacted_because" in event or (isinstance(unsigned, Mapping) and "redacted_because" in unsigned)


def _announcement(timer: Timer | None) -> str:
    if timer is None:
        return "Message timer is off: new messages stay."
    since = "after they were sent" if timer.start is Start.SENT else "after they were first read"
    return f"Message timer: new messages disappear {in_words(timer.seconds)} {since}."
