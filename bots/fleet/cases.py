"""Disputes and lost items: what riders complain of, and what the operator decides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from bots.commerce.hand import Reader
from bots.domain.money import Money
from bots.domain.trips import Trip, TripMoney, TripRefused
from bots.fleet.news import News, TripNews
from bots.fleet.plain import into, out
from bots.framework import Context
from bots.framework.clock import to_ms
from bots.store import trips as sql
from bots.store.trips import CaseRow

if TYPE_CHECKING:
    from bots.fleet.fleet import Fleet

__all__ = ["TripCase", "TripCaseKind", "TripCaseState", "TripCases"]

SEAL: Final = "trip_cases"
PENDING: Final = "case"


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

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet

    # Reading

    async def get(self, reader: Reader, case_id: str) -> TripCase | None:
        """A case by its id."""
        changed: TripCase | None = self.fleet.pending.get(reader, PENDING, case_id)
        if changed is not None:
            return changed
        row = await reader.query(lambda connection: sql.case(connection, self.fleet.name, case_id))
        return None if row is None else self._opened(row)

    async def of_trip(self, reader: Reader, trip_id: str) -> list[TripCase]:
        """The cases of a trip, the newest first."""
        rows = await reader.query(lambda connection: sql.cases_of(connection, self.fleet.name, trip_id))
        found = {row.id: self._opened(row) for row in rows}
        found |= {each.id: each for each in self.fleet.pending.made(reader, PENDING) if each.trip == trip_id}
        return sorted(found.values(), key=lambda each: (each.opened_at, each.id), reverse=True)

    async def queue(self, reader: Reader, limit: int = 50) -> list[TripCase]:
        """What waits for the operator, the oldest first."""
        state = TripCaseState.OPEN.value
        rows = await reader.query(lambda connection: sql.cases_in(connection, self.fleet.name, state, limit))
        return [self._opened(row) for row in rows]

    # Writing

    async def open(self, ctx: Context, trip: Trip, kind: TripCaseKind, person: str, text: str) -> TripCase:
        """Somebody complains. One of a kind is open for a trip: asked again, it is the answer.

        Raises:
            TripRefused: of a dispute: nothing is due for the trip.
        """
        for case in await self.of_trip(ctx, trip.id):
            if case.kind is kind and case.state is TripCaseState.OPEN:
                return case
        if kind is TripCaseKind.DISPUTE and (trip.money is not TripMoney.TAKEN or trip.due is None):
            raise TripRefused("trip.unpaid")
        now = ctx.now()
        number = len(await self.of_trip(ctx, trip.id))
        made = TripCase(
            self.fleet.trade.id_for(trip.id, "case", kind.value, str(number)),
            trip.id,
            kind,
            TripCaseState.OPEN,
            person,
            text,
            now,
            now,
        )
        row = self._row(made, trip)
        self.fleet.pending.put(ctx, PENDING, made.id, made, lambda connection: sql.open_case(connection, row))
        if kind is TripCaseKind.DISPUTE:
            after = self.fleet.trips.change(ctx, trip, "dispute", person, disputed=True)
            await self.fleet.trips.tell(ctx, TripNews(News.DISPUTED, trip, after, by=person))
        else:
            await self.fleet.trips.tell(ctx, TripNews(News.LOST_ITEM, trip, trip, by=person))
        return made

    async def decide(
        self, ctx: Context, case: TripCase, by: str, answer: str, back: Money | None = None
    ) -> tuple[TripCase, Trip]:
        """By the operator: what goes back to the rider, and why. Then the money of the ride goes on; what the driver
        has earned stays theirs.

        Raises:
            TripRefused: it is decided already, or not so much is due.
        """
        trip = await self.fleet.trips.get(ctx, case.trip)
        if trip is None:
            raise LookupError("a case is about a trip")
        if case.state is not TripCaseState.OPEN:
            raise TripRefused("trip.decided")
        if back is not None and (back.minor < 0 or trip.due is None or back > trip.due):
            raise TripRefused("trip.too_much", left=trip.due or Money.zero(trip.quoted.currency))
        decided = replace(case, state=TripCaseState.DECIDED, answer=answer, back=back or None, updated_at=ctx.now())
        row = self._row(decided, trip)
        written = replace(decided, revision=case.revision + 1)
        self.fleet.pending.put(
            ctx, PENDING, case.id, written, lambda connection: sql.change_case(connection, row, case.revision)
        )
        if case.kind is not TripCaseKind.DISPUTE:
            if back:
                trip = await self.fleet.trips.give_back(ctx, trip, back, by, "")
            return written, trip
        due = trip.due if back is None or trip.due is None else trip.due - back
        after = self.fleet.trips.change(ctx, trip, "decide", by, unsettled=True, disputed=False, due=due)
        await self.fleet.trips.tell(ctx, TripNews(News.DECIDED, trip, after, by=by, amount=back or None))
        return written, after

    def _row(self, case: TripCase, trip: Trip) -> CaseRow:
        return CaseRow(
            id=case.id,
            bot=self.fleet.name,
            trip_id=case.trip,
            kind=case.kind.value,
            active=case.kind.value if case.state is TripCaseState.OPEN else None,
            state=case.state.value,
            person=case.person,
            currency=trip.quoted.currency,
            back=None if case.back is None else case.back.minor,
            opened_at=to_ms(case.opened_at),
            updated_at=to_ms(case.updated_at),
            sealed=self.fleet.trade.seal(SEAL, case.id, out(case)),
            revision=case.revision,
        )

    def _opened(self, row: CaseRow) -> TripCase:
        held = self.fleet.trade.open(SEAL, row.id, row.sealed)
        return into(TripCase, held | {"revision": row.revision})
