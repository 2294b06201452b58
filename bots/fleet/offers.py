"""Offers: made by rounds, answered by drivers. Of two who take one trip, one has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bots.commerce.hand import Reader
from bots.domain.drivers import (
    OFFER_WORDS,
    Driver,
    DriverError,
    DriverState,
    Offer,
    OfferAction,
    OfferState,
    advance_offer,
)
from bots.domain.drivers import WORDS as DRIVER_WORDS
from bots.domain.trips import Trip, TripState
from bots.fleet import calling, news_events
from bots.fleet.news import OfferHook, OfferNews
from bots.framework import Context
from bots.store import offers as sql
from bots.store.offers import OfferRow

if TYPE_CHECKING:
    from bots.fleet.fleet import Fleet

__all__ = ["Offers"]

KIND: Final = "offer"


class Offers:
    """The offers of a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.hooks: list[OfferHook] = []
        """Told of everything, in order; of one that was made in the driver's room and order."""

    # Reading

    async def get(self, reader: Reader, offer_id: str) -> Offer | None:
        """An offer by its id."""
        changed: Offer | None = self.fleet.pending.get(reader, KIND, offer_id)
        if changed is not None:
            return changed
        row = await reader.query(lambda connection: sql.get(connection, self.fleet.name, offer_id))
        return None if row is None else self.fleet.book.offer(row)

    async def of_driver(self, reader: Reader, person: str) -> Offer | None:
        """The offer that a driver has before them; None: none that is open."""
        row = await reader.query(lambda connection: sql.open_of_driver(connection, self.fleet.name, person))
        found = None if row is None else self._over(reader, [row])[0]
        return found if found is not None and found.state is OfferState.OPEN else None

    async def of_trip(self, reader: Reader, trip_id: str) -> list[Offer]:
        """All offers of a trip, the newest first."""
        return self._over(reader, await reader.query(lambda connection: sql.of_trip(connection, trip_id)))

    def _over(self, reader: Reader, rows: Sequence[OfferRow]) -> list[Offer]:
        found = [self.fleet.book.offer(row) for row in rows]
        return self.fleet.pending.over(reader, KIND, found, lambda each: each.id)

    # Answers

    async def accept(self, ctx: Context, person: str, offer_id: str) -> list[Trip]:
        """The driver takes it: the trips that are theirs now.

        Raises DriverError: "offer.gone" (lapsed, or another driver was faster: the state says which), "driver.busy",
        "driver.refused" (they are not online any more), "offer.none" (there is no such offer to them).
        """
        offer, driver = await self._open(ctx, person, offer_id)
        if driver.state is not DriverState.ONLINE:
            raise DriverError("driver.refused", state=DRIVER_WORDS[driver.state])
        trips = await self._trips(ctx, offer)
        if len(trips) < len(offer.trips) or any(each.state is not TripState.SEARCHING for each in trips):
            raise DriverError("offer.gone", state=OFFER_WORDS[OfferState.LOST])
        after = self._write(ctx, offer, advance_offer(offer, OfferAction.ACCEPT))
        taken = await self.fleet.trips.match(
            ctx,
            trips,
            driver,
            by=person,
            pickup_seconds=offer.pickup_seconds,
            pickup_metres=offer.pickup_metres,
        )
        await self.tell(ctx, after, OfferAction.ACCEPT)
        return taken

    async def decline(self, ctx: Context, person: str, offer_id: str) -> Driver:
        """They do not: they are not asked for these trips again. Raises DriverError ("offer.gone", "offer.none")."""
        offer, driver = await self._open(ctx, person, offer_id)
        after = self._write(ctx, offer, advance_offer(offer, OfferAction.DECLINE))
        for trip in await self._trips(ctx, offer):
            if trip.state is TripState.SEARCHING and person not in trip.declined:
                self.fleet.trips.change(ctx, trip, "declined", person, declined=(*trip.declined, person))
        written = self.fleet.drivers.unoffered(ctx, driver, lapses=0)
        await self.tell(ctx, after, OfferAction.DECLINE)
        ctx.unit.after_commit(self.fleet.wake)
        return written

    async def _open(self, ctx: Context, person: str, offer_id: str) -> tuple[Offer, Driver]:
        offer, driver = await self.get(ctx, offer_id), await self.fleet.drivers.get(ctx, person)
        if offer is None or driver is None or offer.driver != person:
            raise DriverError("offer.none")
        if offer.state is not OfferState.OPEN:
            raise DriverError("offer.gone", state=OFFER_WORDS[offer.state])
        if offer.deadline <= ctx.now():  # the next round says so
            raise DriverError("offer.gone", state=OFFER_WORDS[OfferState.LAPSED])
        return offer, driver

    async def _trips(self, ctx: Context, offer: Offer) -> list[Trip]:
        found = [await self.fleet.trips.get(ctx, each) for each in offer.trips]
        return [each for each in found if each is not None]

    # By trips, drivers and rounds

    async def lose(self, ctx: Context, trip_id: str) -> None:
        """A trip is not to be had any more: those who are asked still are told."""
        for offer in self._over(ctx, await ctx.query(lambda c: sql.of_trip(c, trip_id, only_open=True))):
            if offer.state is OfferState.OPEN:
                await self._end(ctx, offer, OfferAction.LOSE)

    async def lose_of_driver(self, ctx: Context, person: str) -> None:
        """What a driver has before them is gone."""
        offer = await self.of_driver(ctx, person)
        if offer is not None:
            await self._end(ctx, offer, OfferAction.LOSE)

    async def _end(self, ctx: Context, offer: Offer, action: OfferAction) -> None:
        after = self._write(ctx, offer, advance_offer(offer, action))
        driver = await self.fleet.drivers.get(ctx, offer.driver)
        if driver is not None and driver.offer == offer.id:
            self.fleet.drivers.unoffered(ctx, driver)
        await self.tell(ctx, after, action)

    def _write(self, ctx: Context, before: Offer, after: Offer) -> Offer:
        after = replace(after, revision=before.revision + 1)
        row = self.fleet.book.offer_row(after)
        self.fleet.pending.put(
            ctx, KIND, after.id, after, lambda connection: sql.change(connection, row, before.revision)
        )
        self._count(ctx, after)
        return after

    def _count(self, ctx: Context, offer: Offer) -> None:
        metrics = self.fleet.trade.metrics
        if metrics is not None:
            ctx.unit.after_commit(metrics.trip_offers.labels(self.fleet.name, offer.state.value).inc)

    async def tell(self, ctx: Context, offer: Offer, action: OfferAction | None) -> None:
        """Tell who listens."""
        driver = await self.fleet.drivers.get(ctx, offer.driver)
        if driver is None:
            return
        news = OfferNews(offer, tuple(await self._trips(ctx, offer)), driver, action)
        if ctx.consumer == self.fleet.consumer:
            await self.hear(ctx, news)
            return
        data = news_events.offer_out(news) | {"fleet": self.fleet.name}
        key = f"{calling.OFFER}:{offer.id}:{offer.state.value}"
        room, person = driver.room_id, driver.person
        ctx.unit.emit(calling.event(self.fleet.consumer, key, calling.OFFER, data, room=room, person=person))

    async def hear(self, ctx: Context, news: OfferNews) -> None:
        """Run the hooks."""
        for hook in self.hooks:
            await hook(ctx, news)
