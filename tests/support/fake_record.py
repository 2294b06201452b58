"""What the fake homeserver knows: rooms, every event the service sent, and the count of lost, repeated, disordered."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any


def now_ms() -> int:
    """Milliseconds since the epoch, as ``origin_server_ts`` wants them."""
    return int(time.time() * 1000)


@dataclass(slots=True)
class Faults:
    """What goes wrong. A count n means every n-th; 0 means never. Times in seconds unless they say otherwise."""

    send_delay: float = 0
    limit_every: int = 0  # sends answered 429 with retry_after_ms, not stored
    retry_after_ms: int = 50
    fail_every: int = 0  # sends answered 502, not stored
    lose_every: int = 0  # sends stored, then the connection is cut instead of an answer
    drop_ack_every: int = 0  # transactions whose 200 does not arrive: they come again
    status: int = 0  # every client request is answered with this status


@dataclass(slots=True)
class Room:
    """A room: its state by (type, state key), each value an event as a client sees it."""

    room_id: str
    state: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def members(self, membership: str = "join") -> list[str]:
        """The users with this membership."""
        return [
            key
            for (kind, key), event in self.state.items()
            if kind == "m.room.member" and event["content"].get("membership") == membership
        ]

    def is_joined(self, user_id: str) -> bool:
        """Whether the user may send here."""
        event = self.state.get(("m.room.member", user_id))
        return event is not None and event["content"].get("membership") == "join"


@dataclass(slots=True)
class Sent:
    """One event that the service made in a room (resends that were recognised are not counted here)."""

    event_id: str
    room_id: str
    user_id: str
    device_id: str | None
    event_type: str
    txn_id: str
    content: dict[str, Any]
    at: float


@dataclass(slots=True)
class Expected:
    """A message that was pushed and wants one answer with the same body."""

    room_id: str
    order: int
    pushed_at: float
    answers: int = 0


@dataclass(slots=True)
class Report:
    """Counts of a run. ``out_of_order``: answers that came after the answer to a later message of their room."""

    pushed: int
    accepted: int
    answered: int
    lost: int
    repeated: int
    out_of_order: int
    recognised_resends: int
    collisions: int
    other: int
    transactions: int
    redelivered: int
    pings: int

    @property
    def clean(self) -> bool:
        """Nothing lost, nothing twice, nothing out of order."""
        return not (self.lost or self.repeated or self.out_of_order or self.collisions)


@dataclass(slots=True)
class Record:
    """Everything that reached the homeserver. It outlives the service under test."""

    sent: list[Sent] = field(default_factory=list)
    expected: dict[str, Expected] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    answered: int = 0
    repeated: int = 0
    out_of_order: int = 0
    other: int = 0
    recognised_resends: int = 0
    collisions: int = 0
    puts: int = 0
    first_answer_at: float = 0
    last_answer_at: float = 0
    _highest: dict[str, int] = field(default_factory=dict)

    def expect(self, room_id: str, body: str) -> None:
        """A message with this body was pushed; bodies are unique in a run."""
        assert body not in self.expected, f"body used twice: {body}"
        self.expected[body] = Expected(room_id, len(self.expected), time.perf_counter())

    def add(self, sent: Sent) -> None:
        """Count a new event of the service."""
        self.sent.append(sent)
        body = sent.content.get("body")
        expected = self.expected.get(body) if isinstance(body, str) else None
        if expected is None or expected.room_id != sent.room_id:
            self.other += 1
            return
        expected.answers += 1
        if expected.answers > 1:
            self.repeated += 1
            return
        self.answered += 1
        self.latencies.append(sent.at - expected.pushed_at)
        self.first_answer_at = self.first_answer_at or sent.at
        self.last_answer_at = sent.at
        if expected.order < self._highest.get(sent.room_id, -1):
            self.out_of_order += 1
        else:
            self._highest[sent.room_id] = expected.order

    def missing(self) -> list[str]:
        """Bodies that were pushed and have no answer."""
        return [body for body, expected in self.expected.items() if not expected.answers]
