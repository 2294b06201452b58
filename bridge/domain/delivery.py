"""What a chat's numbered timeline holds, and how far a message has come: sent, delivered, read, or failed.

A number is the server's and has no gaps: who holds number 41 and is handed number 43 knows that 42 is missing. Clients'
clocks order nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

MAX_ID: Final = 255
LONGEST_REL_TYPE: Final = 64
REDACTS: Final = "redacts"
"""The relation of a redaction to what it redacts, beside those of ``m.relates_to``."""


class State(IntEnum):
    """How far a message has come; each includes those before it, but for the last."""

    SENDING = 0
    """It is kept here, and not at the homeserver yet."""
    SENT = 1
    """The homeserver has it."""
    DELIVERED = 2
    """At least one recipient has it: a client said so, or a bot has answered it."""
    READ = 3
    """At least one recipient has read it."""
    FAILED = 4
    """It could not be sent, or the bot that it was for could not make anything of it."""

    @property
    def word(self) -> str:
        """``sent``, ``failed``, …: as the API writes it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Entry:
    """An event of a chat's timeline, without its content.

    Attributes:
        at: ms, by the sender's homeserver.
        relation: how it belongs to another event (``m.replace``, ``m.annotation``, ``redacts``, …); '' for none.
        target: that other event; ''.
    """

    event_id: str
    room_id: str
    type: str
    sender: str
    at: int
    state_key: str | None = None
    relation: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Numbered:
    """An entry with its number."""

    seq: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Mark:
    """How far somebody has come in a chat: all up to these numbers is delivered, and read. Times in ms; 0: never."""

    user_id: str
    delivered: int = 0
    delivered_at: int = 0
    read: int = 0
    read_at: int = 0

    def __post_init__(self) -> None:
        if self.read > self.delivered:
            raise ValueError("what was read was delivered")


def relation_of(event_type: str, content: Mapping[str, Any], redacts: str | None) -> tuple[str, str]:
    """How an event belongs to another one, and to which; two empty texts when it does not.

    Encrypted events say so in the clear (specification, "Forming relationships between events"). What is no Matrix
    identifier is none.
    """
    if event_type == "m.room.redaction":
        return (REDACTS, redacts) if redacts and _identifier(redacts) else ("", "")
    relates = content.get("m.relates_to")
    if not isinstance(relates, Mapping):
        return "", ""
    kind, target = relates.get("rel_type"), relates.get("event_id")
    if not (isinstance(kind, str) and isinstance(target, str) and 0 < len(kind) <= LONGEST_REL_TYPE):
        return "", ""
    return (kind, target) if kind.isprintable() and _identifier(target) else ("", "")


def merged(before: Mark, delivered: int, read: int, at: int) -> Mark:
    """A mark after news of it: it never goes back, and what was read was delivered."""
    delivered = max(delivered, read)
    return Mark(
        before.user_id,
        max(before.delivered, delivered),
        at if delivered > before.delivered else before.delivered_at,
        max(before.read, read),
        at if read > before.read else before.read_at,
    )


def furthest(*, delivered: int, read: int, failed: bool = False) -> State:
    """The state of a message that the homeserver has, by how many have it and how many have read it.

    Args:
        failed: the only one that it was for could not make anything of it.
    """
    if read:
        return State.READ
    if delivered:
        return State.DELIVERED
    return State.FAILED if failed else State.SENT


def _identifier(text: str) -> bool:
    return 0 < len(text) <= MAX_ID and text.isprintable()
