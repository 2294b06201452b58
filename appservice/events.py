"""Events as the engine hands them on, and transactions as the homeserver pushes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from appservice.errors import RialtoError

# The specification limits an event to 65,536 bytes and each of its ids to 255; what is longer is no event.
MAX_ID = 255
INTERNAL = "~"
"""Begins the ids of events that are our own: a timer that is due, a webhook. No Matrix event id begins so."""


class MalformedTransaction(RialtoError):
    """The body of a transaction is not what the specification says (application service API, transactions)."""

    code = "malformed_transaction"


@dataclass(frozen=True, slots=True)
class Event:
    """A room event in plaintext. ``raw`` is the event as the homeserver sent it; never write into it."""

    event_id: str
    room_id: str
    sender: str
    type: str
    content: Mapping[str, Any]
    timestamp: int
    """Milliseconds since the epoch, by the sender's server."""
    state_key: str | None = None
    unsigned: Mapping[str, Any] = field(default_factory=dict)
    encrypted: bool = False
    """Whether it came encrypted and was decrypted for the consumer at hand."""
    redacts: str | None = None
    consumer: str | None = None
    """Of an internal event: the consumer that it is for."""

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Event:
        """Read an event that :func:`defect` finds nothing wrong with."""
        content = raw["content"]
        unsigned = raw.get("unsigned")
        redacts = raw.get("redacts", content.get("redacts"))
        timestamp = raw.get("origin_server_ts")
        return cls(
            event_id=raw["event_id"],
            room_id=raw["room_id"],
            sender=raw["sender"],
            type=raw["type"],
            content=content,
            timestamp=timestamp if isinstance(timestamp, int) else 0,
            state_key=raw.get("state_key"),
            unsigned=unsigned if isinstance(unsigned, dict) else {},
            redacts=redacts if isinstance(redacts, str) else None,
        )

    @property
    def internal(self) -> bool:
        """Whether it is an event of our own, see :class:`InternalEvent`."""
        return self.consumer is not None

    @property
    def membership(self) -> str | None:
        """``join``, ``leave``, … of an ``m.room.member`` event."""
        if self.type != "m.room.member":
            return None
        value = self.content.get("membership")
        return value if isinstance(value, str) else None

    @property
    def previous_membership(self) -> str | None:
        """What the membership was before, as far as the homeserver said."""
        previous = self.unsigned.get("prev_content")
        value = previous.get("membership") if isinstance(previous, dict) else None
        return value if isinstance(value, str) else None


def defect(raw: object) -> str | None:
    """What makes ``raw`` unusable as a room event, or None."""
    if not isinstance(raw, dict):
        return f"an event is an object, got {type(raw).__name__}"
    for key in ("event_id", "room_id", "sender", "type"):
        value = raw.get(key)
        if not isinstance(value, str) or not value:
            return f"{key} is missing or no text"
        # PostgreSQL's text holds no NUL and no lone surrogate; no Matrix id does either.
        if len(value) > MAX_ID or "\0" in value or not value.isprintable():
            return f"{key} is no Matrix identifier"
    if raw["event_id"].startswith(INTERNAL):
        return "event_id is not the homeserver's to give"
    if not isinstance(raw.get("content"), dict):
        return "content is missing or no object"
    state_key = raw.get("state_key")
    if state_key is not None and not isinstance(state_key, str):
        return "state_key is no text"
    return None


@dataclass(frozen=True, slots=True)
class InternalEvent:
    """Something of our own that a consumer must answer: it goes through the inbox like a room's event, in its order."""

    key: str
    """Unique and stable for its cause: a second one with the same key is not stored."""
    consumer: str
    """The name of the consumer that it is for."""
    room_id: str
    """The room whose order it keeps; any other text for what belongs to no room."""
    type: str
    content: Mapping[str, Any]
    """Sealed while it is stored."""
    sender: str = ""
    """The person it is about."""

    @property
    def event_id(self) -> str:
        """Its id in the inbox."""
        return INTERNAL + self.key


@dataclass(frozen=True, slots=True)
class Transaction:
    """What the homeserver pushes at once."""

    txn_id: str
    events: tuple[Any, ...]
    ephemeral: tuple[dict[str, Any], ...] = ()

    @classmethod
    def parse(cls, txn_id: str, body: object) -> Transaction:
        """Check the outer shape; single events are checked by :func:`defect` and stored whatever they are.

        Raises:
            MalformedTransaction: no object, or ``events`` is missing or no list.
        """
        if not isinstance(body, dict):
            raise MalformedTransaction("a transaction is a JSON object")
        events = body.get("events")
        if not isinstance(events, list):
            raise MalformedTransaction("'events' is missing or no list")
        ephemeral = body.get("ephemeral", body.get("de.sorunome.msc2409.ephemeral", []))
        if not isinstance(ephemeral, list):
            raise MalformedTransaction("'ephemeral' is no list")
        return cls(txn_id, tuple(events), tuple(edu for edu in ephemeral if isinstance(edu, dict)))


def shard_of(room_id: str, shards: int) -> int:
    """The shard a room belongs to: stable across processes and versions."""
    return crc32(room_id.encode()) % shards
