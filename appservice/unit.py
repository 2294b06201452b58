"""The unit of work: what a handler wants to happen, collected while it runs and committed in one piece after it."""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection

from appservice import json
from appservice.errors import RialtoError
from appservice.events import InternalEvent
from appservice.store.tables import OutboxKind

# A message that is not sent yet has no event id; this prefix and its transaction id stand for it until then.
UNSENT = "rialto-txn:"


class TooManyEffects(RialtoError):
    """A handler sends more than it may in answer to one event."""

    code = "too_many_effects"


def transaction_id(event_id: str, consumer: str, ordinal: int) -> str:
    """The deterministic transaction id of a consumer's ``ordinal``-th message in answer to an event.

    The consumer is part of it, for the homeserver's cache collides for two bots that use one id in one room.
    """
    digest = sha256(f"{event_id}\0{consumer}\0{ordinal}".encode()).digest()
    return "r" + b32encode(digest[:20]).decode().lower()


@dataclass(frozen=True, slots=True)
class Message:
    """One row of the outbox to be."""

    txn_id: str
    room_id: str
    user_id: str
    kind: OutboxKind
    event_type: str
    target: str | None
    content: bytes

    @property
    def reference(self) -> str:
        """Stands for the event id wherever one is expected, before the message is sent and after."""
        return UNSENT + self.txn_id


class UnitOfWork:
    """Collects the effects of one consumer on one event. Nothing happens before the commit."""

    __slots__ = (
        "_after",
        "_flush",
        "_ordinal",
        "_user_id",
        "added",
        "broken",
        "consumer",
        "event_id",
        "events",
        "limit",
        "messages",
        "operations",
        "place",
    )

    def __init__(
        self,
        event_id: str,
        consumer: str,
        user_id: str,
        flush: Callable[[UnitOfWork], Awaitable[None]] | None = None,
    ) -> None:
        """
        Args:
            event_id: the event that is answered, or any other stable id of the cause.
            consumer: the consumer's stable name.
            user_id: whose messages these are, when a call does not say otherwise.
            flush: commits what is collected, see :meth:`checkpoint`.
        """
        self.event_id = event_id
        self.place = ""
        """Where in answering the event it goes on after a crash, see :meth:`go_on_from`."""
        self.consumer = consumer
        self.messages: list[Message] = []
        self.operations: list[Callable[[Connection], object]] = []
        self.events: list[InternalEvent] = []
        self.added = 0
        """Messages so far, those that a checkpoint has committed included."""
        self.limit: int | None = None
        """Messages at most; one more raises TooManyEffects."""
        self.broken: BaseException | None = None
        """What a checkpoint has failed with: nothing more is committed, whatever the handler made of it."""
        self._flush = flush
        self._after: list[Callable[[], None]] = []
        self._user_id = user_id
        self._ordinal = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not (self.messages or self.operations or self.events or self._after)

    def send(
        self,
        room_id: str,
        content: Mapping[str, Any],
        *,
        event_type: str = "m.room.message",
        user_id: str | None = None,
        key: str | None = None,
    ) -> str:
        """Send a message event; returns a reference that stands for its event id in later calls.

        Args:
            key: what the message is instead of the next one of this unit: one is sent for a key, ever, whichever
                event it is that causes it.
        """
        return self._add(OutboxKind.EVENT, room_id, event_type, None, content, user_id, self._keyed(key))

    def edit(
        self,
        room_id: str,
        event_id: str,
        content: Mapping[str, Any],
        *,
        user_id: str | None = None,
        key: str | None = None,
    ) -> str:
        """Replace the content of a message of ours (specification, "Event replacements")."""
        fallback = {key: value for key, value in content.items() if key != "m.relates_to"}
        if isinstance(body := fallback.get("body"), str):
            fallback["body"] = f"* {body}"
        fallback["m.new_content"] = dict(content)
        fallback["m.relates_to"] = {"rel_type": "m.replace", "event_id": event_id}
        return self._add(OutboxKind.EVENT, room_id, "m.room.message", None, fallback, user_id, self._keyed(key))

    def react(
        self, room_id: str, event_id: str, reaction: str, *, user_id: str | None = None, key: str | None = None
    ) -> str:
        """React to an event with ``reaction``."""
        relation = {"m.relates_to": {"rel_type": "m.annotation", "event_id": event_id, "key": reaction}}
        return self._add(OutboxKind.EVENT, room_id, "m.reaction", None, relation, user_id, self._keyed(key))

    def redact(
        self,
        room_id: str,
        event_id: str,
        *,
        reason: str | None = None,
        user_id: str | None = None,
        key: str | None = None,
    ) -> str:
        """Redact an event."""
        content = {"reason": reason} if reason else {}
        return self._add(
            OutboxKind.REDACTION, room_id, "m.room.redaction", event_id, content, user_id, self._keyed(key)
        )

    def set_state(
        self,
        room_id: str,
        event_type: str,
        content: Mapping[str, Any],
        *,
        state_key: str = "",
        user_id: str | None = None,
    ) -> str:
        """Set a state event. State is never encrypted: nothing private belongs into it."""
        return self._add(OutboxKind.STATE, room_id, event_type, state_key, content, user_id, self._keyed(None))

    def store(self, operation: Callable[[Connection], object]) -> None:
        """Write to the database in the commit. When ``operation`` raises, nothing of the unit happens."""
        self.operations.append(operation)

    def emit(self, event: InternalEvent) -> None:
        """Have a consumer answer an event of our own, after this commit and in the order of its room."""
        self.events.append(event)

    async def checkpoint(self) -> None:
        """Commit what is collected so far, without the mark that the event is done, and go on with an empty unit.

        After a crash the event is handled again from its start: what was committed must be found again there.

        Raises:
            DatabaseError: nothing was kept, or the outcome is unknown.
            RuntimeError: this unit has no writer.
        """
        if self._flush is None:
            raise RuntimeError("a unit without a writer has no checkpoints")
        if self.empty:
            return
        try:
            await self._flush(self)
        except BaseException as error:
            self.broken = error
            raise

    def go_on_from(self, place: str) -> None:
        """The event was answered up to ``place`` before a crash, and the rest follows: ids begin anew there.

        Otherwise the rest would be taken for what was committed before under the same number.
        """
        self.place = place
        self._ordinal = 0

    @property
    def cause(self) -> str:
        """What the ids of effects are made with, beside their number."""
        return f"{self.event_id}\0{self.place}" if self.place else self.event_id

    def cleared(self) -> None:
        """The writer says that a checkpoint is durable."""
        self.messages, self.operations, self.events, self._after = [], [], [], []

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call back once the unit is committed, in this process only: for caches, never for effects."""
        self._after.append(callback)

    @property
    def callbacks(self) -> list[Callable[[], None]]:
        """What to call once the unit is durable."""
        return list(self._after)

    def _keyed(self, key: str | None) -> str | None:
        """The key of a message: after a crash each has one."""
        if key is not None or not self.place:
            return key
        self._ordinal += 1
        return f"{self.cause}\0{self._ordinal - 1}"

    def _add(
        self,
        kind: OutboxKind,
        room_id: str,
        event_type: str,
        target: str | None,
        content: Mapping[str, Any],
        user_id: str | None,
        key: str | None = None,
    ) -> str:
        self.added += 1
        if self.limit is not None and self.added > self.limit:
            raise TooManyEffects(f"a handler sends {self.limit} messages at most in answer to one event")
        if key is None:
            txn_id = transaction_id(self.event_id, self.consumer, self._ordinal)
            self._ordinal += 1
        else:
            txn_id = transaction_id(key, self.consumer, 0)
        message = Message(
            txn_id=txn_id,
            room_id=room_id,
            user_id=user_id or self._user_id,
            kind=kind,
            event_type=event_type,
            target=target,
            content=_written(content),
        )
        self.messages.append(message)
        return message.reference


def _written(content: Mapping[str, Any]) -> bytes:
    written = json.dumps(content)
    # orjson refuses lone surrogates; the standard library, which takes its place then, writes them as escapes.
    return json.dumps(json.without_surrogates(content)) if b"\\ud" in written else written
