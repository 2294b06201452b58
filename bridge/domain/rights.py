"""What people may ask for about their data, and how far it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Kind(StrEnum):
    """What was asked for."""

    EXPORT = "export"
    """A copy of all that is held."""
    ERASE = "erase"
    """To be forgotten."""


class State(StrEnum):
    """Where a request stands."""

    WAITING = "waiting"
    RUNNING = "running"
    SWEEPING = "sweeping"
    """Of an erasure: all is erased, and what late events bring back is looked for a while."""
    DONE = "done"
    FAILED = "failed"


class Step(StrEnum):
    """What happens to a request."""

    BEGIN = "begin"
    FINISH = "finish"
    """All is done, but for what comes late."""
    END = "end"
    FAIL = "fail"


NEXT: Final[Mapping[tuple[State, Step], State]] = MappingProxyType(
    {
        (State.WAITING, Step.BEGIN): State.RUNNING,
        (State.RUNNING, Step.BEGIN): State.RUNNING,  # after a crash
        (State.RUNNING, Step.FINISH): State.SWEEPING,
        (State.RUNNING, Step.END): State.DONE,
        (State.RUNNING, Step.FAIL): State.FAILED,
        (State.SWEEPING, Step.END): State.DONE,
    }
)


def advance(state: State, step: Step) -> State:
    """The state after a step; ValueError for one that cannot be."""
    found = NEXT.get((state, step))
    if found is None:
        raise ValueError(f"{step} of a request that is {state}")
    return found


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why somebody cannot be erased now. ``human``: a sentence in English."""

    code: str
    human: str


SWEEPS_MS: Final = (600_000, 3_600_000, 86_400_000)
"""How long after an erasure it is looked again: the homeserver tells of departures late, and after an outage later."""
EVENTS: Final = frozenset({"m.room.redaction", "m.room.member"})
"""Of these nothing but the name is a person's own words: redactions hold none, memberships are treated apart."""
NAMES: Final = frozenset({"displayname", "avatar_url", "reason"})
"""What a membership event holds of a person beside that they were there."""
