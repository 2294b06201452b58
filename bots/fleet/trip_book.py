"""Trips as they are read, and how every change of one is written: compare-and-set, with a step and who is told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection

from appservice.clock import from_ms, to_ms
from bots.commerce.hand import Reader
from bots.domain.trips import DRIVEN, ENDED, HAS_DRIVER, Trip, TripState
from bots.fleet import calling, news_events
from bots.fleet.news import TripHook, TripNews
from bots.framework import Context
from bots.store import trips as sql
from bots.store.trips import StepRow, TripRow

if TYPE_CHECKING:
    from bots.fleet.fleet import Fleet

__all__ = ["KIND", "Step", "TripBook"]

KIND: Final = "trip"
OPEN: Final = frozenset(TripState) - ENDED
LATE: Final = timedelta(minutes=1)
"""A deadline that was missed by so much was lost."""
UNSETTLED: Final = timedelta(minutes=30)
"""Money that was to move so long ago, and has not, is looked at again."""
SWEPT_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to a trip. ``action``: of :class:`bots.domain.trips.TripAction`, or ``request``."""

    action: str
    state: TripState
    by: str
    at: datetime


class TripBook:
    """The trips of one fleet, to be read and written."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.hooks: list[TripHook] = []
        """Told of everything, in order: see :mod:`bots.fleet.news`."""
        self.clients: dict[str, list[TripHook]] = {}
        """Told of what happens to their own trips, by consumer."""

    # Reading

    async def get(self, reader: Reader, trip_id: str) -> Trip | None:
        """A trip by its id."""
        changed: Trip | None = self.fleet.pending.get(reader, KIND, trip_id)
        if changed is not None:
            return changed
        return self._opened(await reader.query(lambda c: sql.get(c, self.fleet.name, trip_id)))

    async def by_number(self, reader: Reader, number: str, *, rider: str = "", driver: str = "") -> Trip | None:
        """The newest trip of a number as people type it, of a rider or of a driver, or anybody's."""
        wanted = number.strip().lstrip("#").upper()[:40]
        name = self.fleet.name
        found = self._opened(await reader.query(lambda c: sql.of_number(c, name, wanted, rider=rider, driver=driver)))
        return None if found is None else self._over(reader, [found])[0]

    async def of_rider(self, reader: Reader, person: str, *, before: str = "", limit: int = 10) -> list[Trip]:
        """A rider's trips, the newest first. ``before``: the id of the last one of the page before."""
        rows = await reader.query(lambda c: sql.of_rider(c, self.fleet.name, person, before, limit))
        return self._all(reader, rows)

    async def open_of_rider(self, reader: Reader, person: str) -> list[Trip]:
        """A rider's trips that have not ended, the newest first."""
        states = [each.value for each in OPEN]
        rows = await reader.query(lambda c: sql.of_rider(c, self.fleet.name, person, "", 50, states))
        return [each for each in self._all(reader, rows) if each.state not in ENDED]

    async def of_driver(
        self, reader: Reader, person: str, *, since: datetime | None = None, before: str = "", limit: int = 10
    ) -> list[Trip]:
        """A driver's trips that have ended, the newest first: what they have earned."""
        states = [each.value for each in (DRIVEN - HAS_DRIVER) | {TripState.STOPPED}]
        begin = None if since is None else to_ms(since)

        def read(connection: Connection) -> list[TripRow]:
            return sql.of_driver(connection, self.fleet.name, person, states, limit, since=begin, before=before)

        return self._all(reader, await reader.query(read))

    async def current_of_driver(self, reader: Reader, person: str) -> list[Trip]:
        """What a driver is bound to now: none, one, or two that are brought in one go."""
        driver = await self.fleet.drivers.get(reader, person)
        ids = [] if driver is None else [each for each in (driver.trip, driver.batched) if each]
        found = [await self.get(reader, each) for each in ids]
        return [each for each in found if each is not None and each.state in HAS_DRIVER]

    async def of_reference(self, reader: Reader, client: str, reference: str) -> Trip | None:
        """The newest trip of a client's order, returns included."""
        rows = await reader.query(lambda c: sql.of_reference(c, self.fleet.name, client, reference))
        found = self._all(reader, rows)
        return found[0] if found else None

    async def in_states(self, reader: Reader, states: Collection[TripState], limit: int = 200) -> list[Trip]:
        """Everybody's trips in these states, what was touched longest ago first."""
        wanted = [each.value for each in states]
        return self._all(reader, await reader.query(lambda c: sql.in_states(c, self.fleet.name, wanted, limit)))

    async def counts(self, reader: Reader) -> dict[TripState, int]:
        """How many trips are in each state that is not an end."""
        states = [each.value for each in OPEN]
        found = await reader.query(lambda c: sql.counts(c, self.fleet.name, states))
        return {state: found.get(state.value, 0) for state in OPEN}

    async def steps(self, reader: Reader, trip_id: str) -> list[Step]:
        """What happened to a trip, in order."""
        rows = await reader.query(lambda connection: sql.steps(connection, trip_id))
        return [Step(row.action, TripState(row.state), row.person, from_ms(row.at)) for row in rows]

    def _opened(self, row: TripRow | None) -> Trip | None:
        return None if row is None else self.fleet.book.trip(row)

    def _all(self, reader: Reader, rows: Sequence[TripRow]) -> list[Trip]:
        return self._over(reader, [self.fleet.book.trip(row) for row in rows])

    def _over(self, reader: Reader, found: list[Trip]) -> list[Trip]:
        return self.fleet.pending.over(reader, KIND, found, lambda each: each.id)

    # Writing

    def _add(self, ctx: Context, trip: Trip, by: str) -> None:
        """Store a new trip; the commit raises TradeBusy where it is there already."""
        row = self.fleet.book.trip_row(trip, settled=False)
        step = StepRow(trip.id, 0, "request", trip.state.value, by, ctx.now_ms())
        self.fleet.pending.put(ctx, KIND, trip.id, trip, lambda connection: sql.add(connection, row, step))

    def _write(self, ctx: Context, before: Trip, after: Trip, what: str, by: str, *, unsettled: bool = False) -> Trip:
        """Write a trip; the commit raises TradeBusy where it is not as it was read."""
        after = replace(after, revision=before.revision + 1)
        row = self.fleet.book.trip_row(after, settled=not unsettled)
        step = StepRow(after.id, after.revision, what, after.state.value, by, ctx.now_ms())

        def write(connection: Connection) -> None:
            sql.change(connection, row, before.revision, step, unsettled=unsettled)

        self.fleet.pending.put(ctx, KIND, after.id, after, write)
        return after

    def change(
        self, ctx: Context, trip: Trip, what: str, by: str = "", *, unsettled: bool = False, **changes: Any
    ) -> Trip:
        """Write something of a trip that is no action; nobody is told.

        Args:
            what: a word for the journal.
            unsettled: its money is to be looked at.
        """
        after = replace(trip, updated_at=ctx.now(), **changes)
        after = self._write(ctx, trip, after, what, by, unsettled=unsettled)
        if unsettled:
            self.settle_soon(ctx, after)
        return after

    # Telling

    async def tell(self, ctx: Context, news: TripNews) -> None:
        """Tell who listens: at once where the handler at hand is theirs, in one of their own otherwise."""
        trip, mine = news.after, self.fleet.consumer
        if ctx.consumer == mine:
            await self.hear(ctx, news)
        else:
            self._raise(ctx, mine, calling.TRIP, news)
        if trip.client and trip.client != mine:
            if ctx.consumer == trip.client:
                await self.hear_client(ctx, news)
            else:
                self._raise(ctx, trip.client, calling.CLIENT, news)

    async def hear(self, ctx: Context, news: TripNews) -> None:
        """Run the hooks of the plugin of rides."""
        for hook in self.hooks:
            await hook(ctx, news)

    async def hear_client(self, ctx: Context, news: TripNews) -> None:
        """Run the hooks of the client at hand."""
        for hook in self.clients.get(ctx.consumer, ()):
            await hook(ctx, news)

    def _raise(self, ctx: Context, consumer: str, name: str, news: TripNews) -> None:
        trip = news.after
        data = news_events.trip_out(news) | {"fleet": self.fleet.name}
        key = f"{name}:{trip.id}:{trip.revision}:{news.news.value}"
        room = calling.trip_room(trip.id)
        ctx.unit.emit(calling.event(consumer, key, name, data, room=room, person=trip.rider))

    # Later

    def settle_soon(self, ctx: Context, trip: Trip, at: datetime | None = None) -> None:
        """Have the money of a trip brought where it belongs, in the order of what happens to it."""
        self._at(ctx, calling.SETTLE, trip, at or ctx.now())

    def _wait(self, ctx: Context, trip: Trip) -> None:
        if trip.deadline is not None:
            self._at(ctx, calling.DEADLINE, trip, trip.deadline)
        else:
            ctx.services.scheduler.cancel(ctx.unit, consumer=self.fleet.consumer, key=f"{calling.DEADLINE}/{trip.id}")

    def _at(self, ctx: Context, name: str, trip: Trip, when: datetime) -> None:
        data = {"trip": trip.id, "revision": trip.revision}
        key, room = f"{name}/{trip.id}", calling.trip_room(trip.id)
        calling.at(ctx, self.fleet.consumer, when, name, data, key=key, room=room, person=trip.rider)

    # What was forgotten

    async def sweep(self, ctx: Context) -> None:
        """Find deadlines and money that were forgotten, by a handler that was given up; count what there is."""
        now = ctx.now()
        due, unsettled = to_ms(now - LATE), to_ms(now - UNSETTLED)

        def read(connection: Connection) -> tuple[list[TripRow], list[TripRow], dict[str, int]]:
            late, loose = sql.late(connection, self.fleet.name, due, unsettled, SWEPT_MAX)
            return late, loose, sql.counts(connection, self.fleet.name, [each.value for each in OPEN])

        late, loose, counts = await ctx.query(read)
        there = {
            each.key for name in (calling.SETTLE, calling.DEADLINE) for each in await ctx.schedules.list(f"{name}/")
        }
        for name, rows in ((calling.DEADLINE, late), (calling.SETTLE, loose)):
            for trip in self._all(ctx, rows):
                if f"{name}/{trip.id}" not in there:
                    self._at(ctx, name, trip, now)
        metrics = self.fleet.trade.metrics
        if metrics is not None:
            for state in OPEN:
                metrics.trips_open.labels(self.fleet.name, state.value).set(counts.get(state.value, 0))
