"""Drivers: approved by the operator, online and offline, rated."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection

from appservice.clock import to_ms
from bots.commerce.hand import Reader
from bots.domain.drivers import Driver, DriverAction, DriverError, DriverState, advance_driver
from bots.domain.trips import HAS_DRIVER, TripState
from bots.fleet import calling, news_events
from bots.fleet.news import DriverHook, DriverNews
from bots.framework import Context
from bots.store import drivers as sql
from bots.store.drivers import DriverRow, RatingRow

if TYPE_CHECKING:
    from bots.fleet.fleet import Fleet

__all__ = ["Drivers"]

KIND: Final = "driver"
RATING: Final = "trip_ratings"
SWEPT_MAX: Final = 100
ON: Final = frozenset({DriverState.ONLINE, DriverState.BREAK})


class Drivers:
    """The drivers of a fleet. Writes are compare-and-set, in the commit of the handler at hand. Raises DriverError."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.hooks: list[DriverHook] = []
        """Told of everything, in order."""

    # Reading

    async def get(self, reader: Reader, person: str) -> Driver | None:
        """Somebody who has applied, by their user id."""
        changed: Driver | None = self.fleet.pending.get(reader, KIND, person)
        if changed is not None:
            return changed
        row = await reader.query(lambda connection: sql.get(connection, self.fleet.name, person))
        return None if row is None else self.fleet.book.driver(row)

    async def known(self, reader: Reader, person: str) -> Driver:
        """A driver who is there. Raises LookupError: they are not."""
        driver = await self.get(reader, person)
        if driver is None:
            raise LookupError("who has a trip is a driver")
        return driver

    async def in_states(
        self, reader: Reader, states: Collection[DriverState], limit: int = 100, after: str = ""
    ) -> list[Driver]:
        """Drivers in these states by their user ids, from behind ``after``."""
        wanted = [each.value for each in states]
        rows = await reader.query(lambda c: sql.in_states(c, self.fleet.name, wanted, limit, after))
        found = [self.fleet.book.driver(row) for row in rows]
        return self.fleet.pending.over(reader, KIND, found, lambda each: each.person)

    async def counts(self, reader: Reader) -> dict[DriverState, int]:
        """How many drivers are in each state."""
        found = await reader.query(lambda connection: sql.counts(connection, self.fleet.name))
        return {state: found.get(state.value, 0) for state in DriverState}

    # What they and the operator do

    async def apply(self, ctx: Context, driver: Driver) -> Driver:
        """Somebody wants to drive (state APPLIED), or wants to again who was rejected. Raises DriverError: they are
        waiting, or drive, already."""
        there = await self.get(ctx, driver.person)
        if there is None:
            made = replace(driver, state=DriverState.APPLIED, revision=0)
            row = self.fleet.book.driver_row(made)
            self.fleet.pending.put(ctx, KIND, driver.person, made, lambda connection: sql.apply(connection, row))
            await self._tell(ctx, DriverNews(made, made, by=driver.person))
            return made
        again = advance_driver(there, DriverAction.APPLY_AGAIN)
        made = replace(
            again,
            name=driver.name,
            vehicle=driver.vehicle,
            services=driver.services,
            documents=driver.documents,
            room_id=driver.room_id,
            reason="",
        )
        after = self._write(ctx, there, made)
        await self._tell(ctx, DriverNews(there, after, DriverAction.APPLY_AGAIN, driver.person))
        return after

    async def act(self, ctx: Context, driver: Driver, action: DriverAction, by: str = "", **changes: Any) -> Driver:
        """Any action: what the methods below stand on."""
        after = self._write(ctx, driver, replace(advance_driver(driver, action), **changes))
        await self._tell(ctx, DriverNews(driver, after, action, by))
        return after

    async def approve(self, ctx: Context, driver: Driver, by: str) -> Driver:
        """The operator lets them drive."""
        return await self.act(ctx, driver, DriverAction.APPROVE, by, reason="")

    async def reject(self, ctx: Context, driver: Driver, by: str, reason: str) -> Driver:
        """The operator does not."""
        return await self.act(ctx, driver, DriverAction.REJECT, by, reason=reason)

    async def suspend(self, ctx: Context, driver: Driver, by: str, reason: str) -> Driver:
        """The operator has them drive no more: a trip that they are on the way to is matched again, first in line; one
        that is under way they bring to its end (the operator can stop it)."""
        advance_driver(driver, DriverAction.SUSPEND)  # refuses before anything happens
        await self.fleet.offers.lose_of_driver(ctx, driver.person)
        for trip in await self.fleet.trips.current_of_driver(ctx, driver.person):
            if trip.state in HAS_DRIVER and trip.state is not TripState.UNDER_WAY:
                await self.fleet.trips.lose_driver(ctx, trip, by, "")
        now = await self.known(ctx, driver.person)
        return await self.act(ctx, now, DriverAction.SUSPEND, by, reason=reason, online_until=None)

    async def reinstate(self, ctx: Context, driver: Driver, by: str) -> Driver:
        """The operator lets them drive again."""
        return await self.act(ctx, driver, DriverAction.REINSTATE, by, reason="")

    async def go_online(self, ctx: Context, driver: Driver, zones: Collection[str] | None = None) -> Driver:
        """They want trips, in these zones or in those of before.

        Raises DriverError ("driver.nowhere"): their position is not known, or is old.
        """
        advance_driver(driver, DriverAction.GO_ONLINE)
        seen = self.fleet.positions.last(driver.person)
        if seen is None or ctx.now_ms() - seen.heard_at > self.fleet.terms.silent.total_seconds() * 1000:
            raise DriverError("driver.nowhere")
        wanted = driver.zones if zones is None else frozenset(zones)
        now = ctx.now()
        after = await self.act(
            ctx,
            driver,
            DriverAction.GO_ONLINE,
            driver.person,
            zones=wanted,
            lapses=0,
            online_until=now + self.fleet.terms.silent,
            idle_since=now,
        )
        ctx.unit.after_commit(self.fleet.wake)
        return after

    async def take_break(self, ctx: Context, driver: Driver) -> Driver:
        """They want no trips just now; an offer that is open is lost."""
        advance_driver(driver, DriverAction.TAKE_BREAK)
        await self.fleet.offers.lose_of_driver(ctx, driver.person)
        return await self.act(ctx, await self.known(ctx, driver.person), DriverAction.TAKE_BREAK, driver.person)

    async def go_offline(self, ctx: Context, driver: Driver, by: str | None = None) -> Driver:
        """They stop. Raises DriverError ("driver.busy"): they have a trip.

        Args:
            by: who has them stop; themselves unless told. Empty: nothing was heard of them.
        """
        if driver.trip:
            raise DriverError("driver.busy")
        advance_driver(driver, DriverAction.GO_OFFLINE)
        await self.fleet.offers.lose_of_driver(ctx, driver.person)
        now = await self.known(ctx, driver.person)
        who = driver.person if by is None else by
        return await self.act(ctx, now, DriverAction.GO_OFFLINE, who, online_until=None)

    async def change(self, ctx: Context, before: Driver, **changes: Any) -> Driver:
        """Write what somebody says of themselves: name, vehicle, services, zones, documents, room."""
        return self._write(ctx, before, replace(before, **changes))

    async def heard(self, ctx: Context, person: str) -> None:
        """Something was heard of them, a message say: they stay online. Positions do that by themselves."""
        until = to_ms(ctx.now() + self.fleet.terms.silent)
        states = [each.value for each in ON]
        ctx.store(lambda connection: sql.heard(connection, self.fleet.name, [person], states, until))

    # Ratings

    async def rate(self, ctx: Context, person: str, trip_id: str, stars: int, text: str = "", *, by: str = "") -> bool:
        """Stars, 1 to 5, of a driver by a rider or the other way round, once for a trip; whether they count now.

        Raises DriverError ("driver.stars").
        """
        if type(stars) is not int or not 1 <= stars <= 5:
            raise DriverError("driver.stars")
        if await ctx.query(lambda connection: sql.rating(connection, trip_id, person)) is not None:
            return False
        sealed = self.fleet.trade.seal(RATING, f"{trip_id} {person}", {"text": text})
        row = RatingRow(trip_id, person, self.fleet.name, by or ctx.sender, stars, ctx.now_ms(), sealed)
        ctx.store(lambda connection: sql.rate(connection, row))
        return True

    async def words_about(self, reader: Reader, rated: str, limit: int = 20) -> list[tuple[int, str, datetime]]:
        """What was said of somebody, the newest first: stars, words, when."""
        rows = await reader.query(lambda connection: sql.ratings_of(connection, self.fleet.name, rated, limit))
        opened = [(row, self.fleet.trade.open(RATING, f"{row.trip_id} {rated}", row.sealed)) for row in rows]
        clock = self.fleet.book.moment
        return [(row.stars, str(held.get("text", "")), clock(row.at)) for row, held in opened]

    async def stars_of(self, reader: Reader, person: str) -> float | None:
        """What a rider (or a driver) is rated on average; None: nobody has."""
        count, stars = await reader.query(lambda connection: sql.stars_of(connection, self.fleet.name, person))
        return stars / count if count else None

    # By trips and offers

    async def bind(self, ctx: Context, person: str, *trips: str) -> Driver:
        """They have a trip now, or two; what was offered to them is answered by it."""
        driver = await self.known(ctx, person)
        second = trips[1] if len(trips) > 1 else ""
        after = replace(driver, trip=trips[0], batched=second, offer="", lapses=0)
        if driver.trip and driver.batched and len(trips) == 1:  # a trip back in place of one of two
            raise DriverError("driver.busy")
        return self._write(ctx, driver, after)

    async def set_free(self, ctx: Context, person: str, trip_id: str) -> None:
        """They have a trip no more."""
        driver = await self.get(ctx, person)
        if driver is None or trip_id not in {driver.trip, driver.batched}:
            return
        left = [each for each in (driver.trip, driver.batched) if each and each != trip_id]
        idle = driver.idle_since if left else ctx.now()
        self._write(ctx, driver, replace(driver, trip=left[0] if left else "", batched="", idle_since=idle))
        if not left:
            ctx.unit.after_commit(self.fleet.wake)

    def unoffered(self, ctx: Context, driver: Driver, **changes: Any) -> Driver:
        """They have no offer before them any more."""
        return self._write(ctx, driver, replace(driver, offer="", **changes))

    def _write(self, ctx: Context, before: Driver, after: Driver) -> Driver:
        book = self.fleet.book
        was, row = book.driver_row(before), book.driver_row(after)
        written = replace(after, revision=before.revision + 1)
        self.fleet.pending.put(ctx, KIND, after.person, written, lambda connection: sql.change(connection, was, row))
        return written

    async def _tell(self, ctx: Context, news: DriverNews) -> None:
        if ctx.consumer == self.fleet.consumer:
            await self.hear(ctx, news)
            return
        data = news_events.driver_out(news) | {"fleet": self.fleet.name}
        key = f"{calling.DRIVER}:{news.after.person}:{news.after.revision}"
        room, person = news.after.room_id, news.after.person
        ctx.unit.emit(calling.event(self.fleet.consumer, key, calling.DRIVER, data, room=room, person=person))

    async def hear(self, ctx: Context, news: DriverNews) -> None:
        """Run the hooks."""
        for hook in self.hooks:
            await hook(ctx, news)

    # What happens by itself

    async def sweep(self, ctx: Context) -> None:
        """Who has not been heard of for long is offline; those whose trip is gone are free."""
        now = ctx.now_ms()

        def read(connection: Connection) -> Sequence[DriverRow]:
            return sql.silent(connection, self.fleet.name, now, SWEPT_MAX)

        for row in await ctx.query(read):
            driver = self.fleet.book.driver(row)
            if driver.state in ON:
                await self.go_offline(ctx, driver, by="")
