"""Rounds of dispatch, in the background: while trips wait, every few seconds the best of the free drivers are asked.

A round reads who waits, who is free and which offers are open; offers whose time is over lapse; the plan is computed
in a thread; the offers are written in one commit together with the events from which the plugin asks the drivers. In
that commit every trip and every driver is looked at again, locked: who has changed meanwhile is left to the next
round. So a kill at any moment leaves an offer with its event, or neither.

While nothing waits a round is one look at an index every 15 seconds; whoever has a trip searched for wakes it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import Connection

from appservice.database import DatabaseError
from appservice.events import InternalEvent
from bots.domain import dispatch
from bots.domain.dispatch import FreeDriver, Match, Request
from bots.domain.drivers import (
    DRIVER_NEXT,
    Driver,
    DriverAction,
    Offer,
    OfferAction,
    OfferState,
    advance_driver,
    advance_offer,
)
from bots.domain.money import Money
from bots.domain.trips import Trip, TripState
from bots.fleet import calling, news_events
from bots.fleet.news import OfferNews
from bots.routing.base import RoutingError
from bots.store import drivers as driver_sql
from bots.store import offers as offer_sql
from bots.store import trips as trip_sql
from bots.store.busy import TradeBusy

if TYPE_CHECKING:
    from bots.fleet.fleet import Fleet

__all__ = ["Rounds"]

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_MS: Final = 15_000
"""How long it sleeps at most: a trip may be there that nobody has told it of."""
PAUSE_S: Final = 1.0
"""Until it tries again what failed."""
ROUTER_S: Final = 10.0
"""A router that takes longer is not waited for: nobody is asked in this round."""
AGAIN_MS: Final = 120_000
"""A driver who has let a trip lapse is not asked for it again for so long."""


class Rounds:
    """The rounds of one fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._wake = asyncio.Event()
        self._lapsed: dict[tuple[str, str], int] = {}
        """Trip and driver, until when the one is not asked for the other (ms)."""

    def wake(self) -> None:
        """Something has changed that a round could make use of."""
        self._wake.set()

    async def query(self, work: Callable[[Connection], T]) -> T:
        """Read: a round is what services read through."""
        return await self.fleet.trade.database.read(work)

    async def run(self) -> None:
        """Go on for ever; errors do not end it."""
        clock = self.fleet.trade.clock
        while True:
            self._wake.clear()
            try:
                waits = await self.once()
            except DatabaseError as error:
                log.warning("rounds wait for the database: %s", error)
                await asyncio.sleep(PAUSE_S)
                continue
            except Exception:  # whatever it is, later rounds must not be lost for it
                log.exception("a round of dispatch failed")
                await asyncio.sleep(PAUSE_S)
                continue
            now, every = clock.now_ms(), self.fleet.terms.every // timedelta(milliseconds=1)
            # While trips wait, rounds keep their pace: what comes meanwhile is weighed together.
            await clock.wait_until(now + (every if waits else LOOK_MS), None if waits else self._wake)

    async def once(self) -> bool:
        """One round; whether there will be something to do in the next.

        Raises:
            DatabaseError: it could not be finished; to do it again does no harm.
        """
        begun = time.perf_counter()
        offers = [self.fleet.book.offer(row) for row in await self.query(self._open)]
        trips = await self.fleet.free.read_trips(self)
        metrics, name = self.fleet.trade.metrics, self.fleet.name
        if metrics is not None:
            metrics.trips_waiting.labels(name).set(len(trips))
        if not offers and not trips:
            self._lapsed.clear()
            return False
        ended = await self._end_offers(offers, trips)
        asked = {trip_id for offer in offers if offer.id not in ended for trip_id in offer.trips}
        drivers = await self.fleet.free.read_drivers(self)
        located = await self.fleet.free.drivers(self)
        now = self.fleet.now()
        pickups = [each.pickup.point for each in trips.values() if each.pickup.point is not None]
        self.fleet.surges.count(pickups, [each.point for each in located], now)
        requests = [self._request(each, located, drivers) for each in trips.values() if each.id not in asked]
        requests = [each for each in requests if not self._ends_soon(trips[each.id])]
        if requests and located:
            matches = await self._plan(requests, located)
            await self._ask(matches, trips, drivers)
        if metrics is not None:
            metrics.round_seconds.labels(name).observe(time.perf_counter() - begun)
        return True

    def _open(self, connection: Connection) -> list[offer_sql.OfferRow]:
        return offer_sql.all_open(connection, self.fleet.name)

    def _ends_soon(self, trip: Trip) -> bool:
        """Whether no time is left for an answer."""
        left = None if trip.deadline is None else (trip.deadline - self.fleet.now()).total_seconds()
        return left is not None and left < self.fleet.policy.offer_least

    # Who is asked

    def _request(self, trip: Trip, located: Sequence[FreeDriver], drivers: Mapping[str, Driver]) -> Request:
        """A trip with all who are not to be asked: who has said so, let it lapse, or drives elsewhere."""
        request = dispatch.request_of(trip)
        now = self.fleet.trade.clock.now_ms()
        never = {person for (trip_id, person), until in self._lapsed.items() if trip_id == trip.id and until > now}
        assert trip.pickup.point is not None, "a trip goes from a point"
        zone = self.fleet.tariff.zone_at(trip.pickup.point)
        for each in located:
            zones = drivers[each.person].zones
            if zones and zone not in zones:
                never.add(each.person)
        return replace(request, declined=request.declined | never) if never else request

    async def _plan(self, requests: Sequence[Request], located: Sequence[FreeDriver]) -> Sequence[Match]:
        fleet, now = self.fleet, self.fleet.now()
        seconds = now.timestamp()
        pool = await asyncio.to_thread(dispatch.prepare, requests, located, seconds, fleet.policy)
        if not len(pool.origins):
            return ()
        try:
            async with asyncio.timeout(ROUTER_S):
                legs = await fleet.router.legs(pool.origins, pool.destinations, now)
        except (RoutingError, TimeoutError) as error:
            log.warning("no router answers, nobody is asked: %s", type(error).__name__)
            return ()
        seed = int(seconds)
        plan = await asyncio.to_thread(
            lambda: dispatch.assign(pool, legs.seconds, legs.metres, seed=seed, clock=time.monotonic)
        )
        return plan.matches

    async def _ask(self, matches: Sequence[Match], trips: Mapping[str, Trip], drivers: Mapping[str, Driver]) -> None:
        offers = [self._offer(match, trips) for match in matches]
        if not offers:
            return
        made: list[int] = [0]

        def work(connection: Connection) -> list[InternalEvent]:
            ids = sorted({trip_id for offer in offers for trip_id in offer.trips})
            people = sorted({offer.driver for offer in offers})
            rows = trip_sql.locked(connection, self.fleet.name, ids)
            held = driver_sql.locked(connection, self.fleet.name, people)
            good = [each for each in offers if self._stands(each, trips, drivers, rows, held)]
            offer_sql.add(connection, [self.fleet.book.offer_row(each) for each in good])
            trip_sql.waved(connection, sorted({each for offer in good for each in offer.trips}))
            driver_sql.offered(connection, self.fleet.name, [(each.driver, each.id) for each in good])
            made[0] = len(good)  # the writer may run this twice, and keeps the last
            return [self._asks(each, trips, drivers) for each in good]

        await self.fleet.trade.raise_events(work)
        metrics = self.fleet.trade.metrics
        if metrics is not None:
            metrics.trip_offers.labels(self.fleet.name, OfferState.OPEN.value).inc(made[0])

    def _offer(self, match: Match, trips: Mapping[str, Trip]) -> Offer:
        first, now = trips[match.requests[0]], self.fleet.now()
        ends = [trips[each].deadline for each in match.requests]
        earning = sum((trips[each].earning for each in match.requests), Money.zero(first.earning.currency))
        return Offer(
            id=self.fleet.trade.new_id(),
            driver=match.driver,
            trips=match.requests,
            state=OfferState.OPEN,
            wave=first.waves + 1,
            pickup_seconds=round(match.seconds),
            pickup_metres=round(match.metres),
            earning=earning,
            made_at=now,
            deadline=min([now + self.fleet.terms.offered, *(each for each in ends if each is not None)]),
        )

    @staticmethod
    def _stands(
        offer: Offer,
        trips: Mapping[str, Trip],
        drivers: Mapping[str, Driver],
        rows: Mapping[str, trip_sql.TripRow],
        held: Mapping[str, driver_sql.DriverRow],
    ) -> bool:
        """Whether nobody has changed the trips or the driver since the round has read them."""
        driver = held.get(offer.driver)
        if driver is None or driver.revision != drivers[offer.driver].revision or driver.offer or driver.trip:
            return False
        found = [rows.get(each) for each in offer.trips]
        return all(
            row is not None and row.state == TripState.SEARCHING.value and row.revision == trips[row.id].revision
            for row in found
        )

    def _asks(self, offer: Offer, trips: Mapping[str, Trip], drivers: Mapping[str, Driver]) -> InternalEvent:
        found = tuple(replace(trips[each], waves=trips[each].waves + 1) for each in offer.trips)
        return self._event(OfferNews(offer, found, replace(drivers[offer.driver], offer=offer.id)))

    def _event(self, news: OfferNews) -> InternalEvent:
        offer, driver = news.offer, news.driver
        data: dict[str, Any] = news_events.offer_out(news) | {"fleet": self.fleet.name}
        key = f"{calling.OFFER}:{offer.id}:{offer.state.value}"
        return calling.event(self.fleet.consumer, key, calling.OFFER, data, room=driver.room_id, person=driver.person)

    # Offers that have come to their end

    async def _end_offers(self, offers: Sequence[Offer], trips: Mapping[str, Trip]) -> set[str]:
        """Offers lapse, and those that nobody needs are lost; the ids of those that are open no more."""
        now = self.fleet.now()
        ending = [
            (each, OfferAction.LOSE if any(trip not in trips for trip in each.trips) else OfferAction.LAPSE)
            for each in offers
            if each.deadline <= now or any(trip not in trips for trip in each.trips)
        ]
        if not ending:
            return set()
        done: dict[str, OfferNews] = {}

        def work(connection: Connection) -> list[InternalEvent]:
            done.clear()
            for offer, action in ending:
                try:
                    with connection.begin_nested():
                        done[offer.id] = self._end(connection, offer, action)
                except TradeBusy:
                    continue  # it was answered in the last moment
            return [self._event(each) for each in done.values()]

        await self.fleet.trade.raise_events(work)
        self._note(done.values())
        return {each.id for each, _action in ending}

    def _end(self, connection: Connection, offer: Offer, action: OfferAction) -> OfferNews:
        book = self.fleet.book
        rows = trip_sql.locked(connection, self.fleet.name, sorted(offer.trips))
        if action is OfferAction.LOSE and all(row.state == TripState.SEARCHING.value for row in rows.values()):
            raise TradeBusy("it is needed after all", offer=offer.id)
        held = driver_sql.locked(connection, self.fleet.name, [offer.driver])[offer.driver]
        ended = replace(advance_offer(offer, action), revision=offer.revision + 1)
        offer_sql.change(connection, book.offer_row(ended), offer.revision)
        driver, broke = book.driver(held), False
        if driver.offer == offer.id:
            lapses = driver.lapses + (action is OfferAction.LAPSE)
            after = replace(driver, offer="", lapses=lapses)
            most = self.fleet.terms.lapses
            if most and lapses >= most and (after.state, DriverAction.TAKE_BREAK) in DRIVER_NEXT:
                after, broke = replace(advance_driver(after, DriverAction.TAKE_BREAK), lapses=0), True
            driver_sql.change(connection, held, book.driver_row(after))
            driver = replace(after, revision=driver.revision + 1)
        found = tuple(book.trip(row) for row in rows.values())
        return OfferNews(ended, found, driver, action, broke)

    def _note(self, ended: Any) -> None:
        now, metrics = self.fleet.trade.clock.now_ms(), self.fleet.trade.metrics
        self._lapsed = {pair: until for pair, until in self._lapsed.items() if until > now}
        for news in ended:
            if news.action is OfferAction.LAPSE:
                self._lapsed |= {(trip_id, news.offer.driver): now + AGAIN_MS for trip_id in news.offer.trips}
            if metrics is not None:
                metrics.trip_offers.labels(self.fleet.name, news.offer.state.value).inc()
