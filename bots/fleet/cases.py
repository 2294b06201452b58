"""Disputes and lost items: what riders complain of, and what the operator decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bots.commerce.hand import Reader
from bots.domain.money import Money
from bots.domain.trips import Trip
from bots.framework import Context

__all__ = ["TripCase", "TripCaseKind", "TripCaseState", "TripCases"]


class TripCaseKind(StrEnum):
    """What it is about."""

    DISPUTE = "dispute"
    """The fare, the driver, the way: the money stays held until the operator has decided."""
    LOST_ITEM = "lost_item"


class TripCaseState(StrEnum):
    """Where it stands."""

    OPEN = "open"
    DECIDED = "decided"


@dataclass(frozen=True, slots=True)
class TripCase:
    """A case.

    Attributes:
        id: a ULID; ``trip``: id.
        person: user id of who opened it: the rider, or the driver.
        text: in their words; ``answer``: in the operator's.
        back: what goes back to the rider by the decision; None: nothing.
        revision: counts the changes of what is stored.
    """

    id: str
    trip: str
    kind: TripCaseKind
    state: TripCaseState
    person: str
    text: str
    opened_at: datetime
    updated_at: datetime
    answer: str = ""
    back: Money | None = None
    revision: int = 0


class TripCases:
    """The cases of a fleet."""

    async def get(self, reader: Reader, case_id: str) -> TripCase | None:
        """A case by its id."""
        raise NotImplementedError

    async def of_trip(self, reader: Reader, trip_id: str) -> list[TripCase]:
        """The cases of a trip, the newest first."""
        raise NotImplementedError

    async def queue(self, reader: Reader, limit: int = 50) -> list[TripCase]:
        """What waits for the operator, the oldest first."""
        raise NotImplementedError

    async def open(self, ctx: Context, trip: Trip, kind: TripCaseKind, person: str, text: str) -> TripCase:
        """Somebody complains. One of a kind is open for a trip: asked again, it is the answer."""
        raise NotImplementedError

    async def decide(
        self, ctx: Context, case: TripCase, by: str, answer: str, back: Money | None = None
    ) -> tuple[TripCase, Trip]:
        """By the operator: what goes back, and why. Then the money of the ride goes on. Raises TripRefused."""
        raise NotImplementedError
