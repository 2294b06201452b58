"""The day itself: what happens when, in order. Every step of a trip, a driver and an offer goes through the tables of
``bots.domain``, which refuse what does not follow; who is asked is what the dispatcher says."""

from __future__ import annotations

import heapq
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from benchmarks.city.world import DAY, MIDNIGHT, Behaviour, City
from bots.domain.dispatch import (
    FreeDriver,
    Policy,
    Request,
    assign,
    offer_deadline,
    prepare,
    request_of,
)
from bots.domain.drivers import (
    Driver,
    DriverAction,
    DriverState,
    Offer,
    OfferAction,
    OfferState,
    Vehicle,
    advance_driver,
    advance_offer,
)
from bots.domain.money import Money
from bots.domain.places import Place, Point
from bots.domain.trips import Trip, TripAction, TripKind, TripState, advance

__all__ = ["Day", "Ended", "Tick"]

FARE: Final = Money(1_200, "EUR")
SERVICES: Final = frozenset({"standard"})
CAR: Final = Vehicle("Saloon", "yellow", "X 1", 4)
TICK: Final = 300
BEGIN: Final = MIDNIGHT.timestamp()


@dataclass(frozen=True, slots=True)
class Ended:
    """A trip that is over. Seconds of the day; None: it did not come to that."""

    state: TripState
    asked: float
    pickup: Point
    arrived: float | None
    driven_s: float | None
    """To the pickup, by the driver who came."""
    way_s: float
    offers: int


@dataclass(slots=True)
class Tick:
    """Five minutes: how many cars did what at their end, and what rounds there were."""

    at: float
    asked: int = 0
    with_rider: int = 0
    to_pickup: int = 0
    asked_just_now: int = 0
    idle: int = 0
    resting: int = 0
    waiting: int = 0
    rounds: int = 0
    compute_s: float = 0.0


@dataclass(slots=True)
class _Car:
    """A car with whoever drives it now."""

    driver: Driver
    at: Point
    since: float
    """When it came to stand there."""
    goal: Point | None = None
    arrives: float = 0.0
    leaves: bool = False
    """Its driver goes home, or rests, after the trip at hand."""
    rests: bool = False


@dataclass(slots=True)
class _Ride:
    """A trip with what the day knows of it."""

    trip: Trip
    way_s: float
    asked: float
    offers: int = 0
    offer: Offer | None = None
    driven_s: float = 0.0
    version: int = 0
    """What was meant for another one does not happen."""


class Day:
    """One day."""

    def __init__(
        self,
        city: City,
        *,
        requests: int,
        cars: int,
        seed: int,
        policy: Policy,
        behaviour: Behaviour,
        every: float,
        until: float = DAY,
    ) -> None:
        """
        Args:
            every: seconds between two rounds.
            until: seconds of the day after which nobody asks any more.
        """
        self.city, self.policy, self.behaviour = city, policy, behaviour
        self._every, self._until = every, until
        self._chance = random.Random(seed)
        self._demand = city.demand(requests)
        self._strolls = city.places(50_000)
        self._now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._rides: dict[str, _Ride] = {}
        self._open: dict[str, Request] = {}
        """Those that wait and have no offer open."""
        self._free: dict[str, FreeDriver] = {}
        self._strolling: set[str] = set()
        self._cars: dict[str, _Car] = {}
        self._asked = 0
        self.ended: list[Ended] = []
        self.ticks: list[Tick] = []
        self.rounds: list[tuple[float, int, int, float]] = []
        """Of each round: when, requests, free drivers, seconds of computing."""
        self.greedy = 0
        for number, place in enumerate(city.places(cars)):
            self._starts(number, place)

    # The clock

    def run(self, told: Callable[[float], None]) -> None:
        """From midnight until the last trip is over. ``told``: called each virtual hour."""
        tick = Tick(TICK)
        self._later(0.0, self._next_request)
        next_round, hour = self._every, 1
        while self._events or self._open:
            due = self._events[0][0] if self._events else math.inf
            if due > next_round:
                self._now = next_round
                next_round += self._every
                if self._open:
                    self._round(tick)
                elif not self._rides and self._asked == len(self._demand.at):
                    break
                while self._now >= tick.at:
                    self._count(tick)
                    tick = Tick(tick.at + TICK)
                if self._now >= hour * 3600:
                    told(self._now)
                    hour += 1
                continue
            self._now, _, happens = heapq.heappop(self._events)
            happens()
        self._count(tick)

    def _later(self, seconds: float, happens: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (self._now + seconds, self._order, happens))

    def _time(self) -> datetime:
        return MIDNIGHT + timedelta(seconds=self._now)

    def _spread(self, mean: float) -> float:
        """Seconds around a mean, never none of them (Gamma of shape 2)."""
        return self._chance.gammavariate(2.0, mean / 2) if mean else 0.0

    def _count(self, tick: Tick) -> None:
        for car in self._cars.values():
            driver = car.driver
            if driver.state is not DriverState.ONLINE and not driver.trip:
                tick.resting += 1
            elif driver.trip:
                under_way = self._rides[driver.trip].trip.state is TripState.UNDER_WAY
                tick.with_rider += under_way
                tick.to_pickup += not under_way
            elif driver.offer:
                tick.asked_just_now += 1
            else:
                tick.idle += 1
        tick.waiting = len(self._open)
        self.ticks.append(tick)

    # Riders

    def _next_request(self) -> None:
        if self._asked == len(self._demand.at):
            return
        at = float(self._demand.at[self._asked])
        if at > self._until:
            self._asked = len(self._demand.at)
            return
        self._later(max(at - self._now, 0.0), self._asks)

    def _asks(self) -> None:
        number = self._asked
        self._asked += 1
        pickup, dropoff = (Point(*map(float, each[number])) for each in (self._demand.pickups, self._demand.dropoffs))
        metres = float(self._demand.metres[number])
        way = self.city.seconds(metres, self._time())
        trip = Trip(
            id=f"T{number:07}",
            number=str(number),
            kind=TripKind.RIDE,
            state=TripState.AUTHORISING,
            service="standard",
            pickup=Place("pickup", pickup),
            dropoff=Place("drop-off", dropoff),
            quoted=FARE,
            earning=FARE,
            metres=round(metres),
            seconds=round(way),
            opened_at=self._time(),
            updated_at=self._time(),
        )
        ride = _Ride(trip, way, self._now)
        self._rides[trip.id] = ride
        self._moves(ride, TripAction.SEARCH)
        self._opens(ride)
        self._later(self.policy.search_seconds, lambda: self._gives_up(ride, ride.trip.searching_since))
        if math.isfinite(self.behaviour.patience):
            patience = self._chance.expovariate(1 / self.behaviour.patience)
            if patience < self.policy.search_seconds:
                self._later(patience, lambda: self._loses_patience(ride))
        self._next_request()

    def _opens(self, ride: _Ride) -> None:
        self._open[ride.trip.id] = request_of(ride.trip)

    def _moves(self, ride: _Ride, action: TripAction, **changes: object) -> None:
        ride.trip = advance(ride.trip, action, self._time(), **changes)  # type: ignore[arg-type]

    def _gives_up(self, ride: _Ride, since: datetime | None) -> None:
        if ride.trip.state is TripState.SEARCHING and ride.trip.searching_since == since:
            self._ends(ride, TripAction.GIVE_UP)

    def _loses_patience(self, ride: _Ride) -> None:
        if ride.trip.state is TripState.SEARCHING:
            self._ends(ride, TripAction.CANCEL)

    def _ends(self, ride: _Ride, action: TripAction) -> None:
        """The trip is over; whoever was asked or bound is free."""
        person = ride.trip.driver
        if ride.offer is not None:
            person = ride.offer.driver
            advance_offer(ride.offer, OfferAction.LOSE)
            ride.offer = None
        self._moves(ride, action)
        trip = ride.trip
        arrived = None if trip.arrived_at is None else trip.arrived_at.timestamp() - BEGIN
        point = trip.pickup.point
        assert point is not None
        self.ended.append(
            Ended(
                trip.state,
                ride.asked,
                point,
                arrived,
                None if arrived is None else ride.driven_s,
                ride.way_s,
                ride.offers,
            )
        )
        self._open.pop(trip.id, None)
        del self._rides[trip.id]
        if person:
            self._released(self._cars[person])

    # Rounds and offers

    def _round(self, tick: Tick) -> None:
        for person in self._strolling:
            free = self._free.get(person)
            if free is not None:
                where = self._where(self._cars[person])
                self._free[person] = FreeDriver(person, where, SERVICES, free.idle_since)
        began = time.process_time()
        requests, drivers = list(self._open.values()), list(self._free.values())
        pool = prepare(requests, drivers, self._now + BEGIN, self.policy)
        legs = self.city.router.legs_now(pool.origins, pool.destinations, self._time())
        plan = assign(pool, legs.seconds, legs.metres)
        took = time.process_time() - began
        self.greedy += plan.greedy
        self.rounds.append((self._now, len(requests), len(drivers), took))
        tick.rounds += 1
        tick.compute_s += took
        for match in plan.matches:
            self._offered(self._rides[match.requests[0]], match.driver, match.seconds, match.metres)

    def _offered(self, ride: _Ride, person: str, seconds: float, metres: float) -> None:
        car = self._cars[person]
        self._stops(car)
        request = self._open.pop(ride.trip.id)
        del self._free[person]
        deadline = offer_deadline(request, self._now + BEGIN, self.policy)
        ride.offers += 1
        ride.trip = replace(ride.trip, waves=ride.trip.waves + 1)
        offer = Offer(
            f"O{ride.trip.id}{ride.offers}",
            person,
            (ride.trip.id,),
            state=OfferState.OPEN,
            wave=ride.trip.waves,
            pickup_seconds=round(seconds),
            pickup_metres=round(metres),
            earning=FARE,
            made_at=self._time(),
            deadline=datetime.fromtimestamp(deadline, MIDNIGHT.tzinfo),
        )
        ride.offer = offer
        car.driver = replace(car.driver, offer=offer.id)
        left = deadline - self._now - BEGIN
        answer, what = self._spread(self.behaviour.answer), self._chance.random()
        if answer >= left or what < self.behaviour.ignore:
            self._later(left, lambda: self._answers(ride, offer, OfferAction.LAPSE, seconds))
        elif what < self.behaviour.ignore + self.behaviour.decline:
            self._later(answer, lambda: self._answers(ride, offer, OfferAction.DECLINE, seconds))
        else:
            self._later(answer, lambda: self._answers(ride, offer, OfferAction.ACCEPT, seconds))

    def _answers(self, ride: _Ride, offer: Offer, action: OfferAction, seconds: float) -> None:
        if ride.offer is not offer:
            return  # the rider is gone
        advance_offer(offer, action)
        ride.offer = None
        car = self._cars[offer.driver]
        if action is not OfferAction.ACCEPT:
            ride.trip = replace(ride.trip, declined=(*ride.trip.declined, offer.driver))
            self._released(car)
            self._opens(ride)
            return
        self._moves(ride, TripAction.MATCH, driver=offer.driver)
        car.driver = replace(car.driver, offer="", trip=ride.trip.id)
        ride.version += 1
        ride.driven_s = seconds
        car.goal, car.arrives, car.since = ride.trip.pickup.point, self._now + seconds, self._now
        version, what, part = ride.version, self._chance.random(), self._chance.random()
        if what < self.behaviour.lose:
            self._later(seconds * part, lambda: self._loses_driver(ride, version))
        elif what < self.behaviour.lose + self.behaviour.regret:
            self._later(seconds * part, lambda: self._regrets(ride, version))
        else:
            self._later(seconds, lambda: self._arrives(ride, version))

    def _loses_driver(self, ride: _Ride, version: int) -> None:
        if ride.version != version or ride.trip.state is not TripState.MATCHED:
            return
        car = self._cars[ride.trip.driver]
        self._stops(car)
        self._moves(ride, TripAction.LOSE_DRIVER)
        self._released(car)
        self._opens(ride)
        since = ride.trip.searching_since
        self._later(self.policy.search_seconds, lambda: self._gives_up(ride, since))

    def _regrets(self, ride: _Ride, version: int) -> None:
        if ride.version == version and ride.trip.state is TripState.MATCHED:
            self._stops(self._cars[ride.trip.driver])
            late = self._now - ride.asked > 60
            self._ends(ride, TripAction.CANCEL_LATE if late else TripAction.CANCEL)

    def _arrives(self, ride: _Ride, version: int) -> None:
        if ride.version != version:
            return
        self._stops(self._cars[ride.trip.driver])
        self._moves(ride, TripAction.ARRIVE)
        if self._chance.random() < self.behaviour.miss:
            self._later(self.behaviour.grace, lambda: self._ends(ride, TripAction.MISS))
        else:
            self._later(self._spread(self.behaviour.boarding), lambda: self._starts_off(ride))

    def _starts_off(self, ride: _Ride) -> None:
        self._moves(ride, TripAction.START)
        car = self._cars[ride.trip.driver]
        way = ride.way_s + self._spread(self.behaviour.leaving)
        car.goal, car.arrives, car.since = ride.trip.dropoff.point, self._now + way, self._now
        self._later(way, lambda: self._completes(ride))

    def _completes(self, ride: _Ride) -> None:
        self._stops(self._cars[ride.trip.driver])
        self._ends(ride, TripAction.COMPLETE)

    # Cars and drivers

    def _starts(self, number: int, place: Point) -> None:
        """A car with its first driver, and the changes of the day: each car's at another time."""
        driver = Driver(
            f"@d{number:05}:city",
            f"Driver {number}",
            CAR,
            SERVICES,
            "!room:city",
            DriverState.APPLIED,
            MIDNIGHT,
            MIDNIGHT,
        )
        driver = advance_driver(advance_driver(driver, DriverAction.APPROVE), DriverAction.GO_ONLINE)
        car = _Car(driver, place, 0.0)
        self._cars[driver.person] = car
        self._released(car)
        shift = self.behaviour.shift * 3600
        if not math.isfinite(shift):
            return
        first = self._chance.random() * shift
        for turn in range(math.ceil(DAY / shift) + 1):
            for at, rests in ((first + turn * shift, False), (first + (turn - 0.5) * shift, True)):
                if 0 < at < DAY:
                    self._later(at, lambda rests=rests: self._pauses(car, rests))  # type: ignore[misc]

    def _pauses(self, car: _Car, rests: bool) -> None:
        """A break, or another driver: after the trip at hand."""
        if car.driver.state is not DriverState.ONLINE or car.leaves:
            return
        car.leaves, car.rests = True, rests
        if not car.driver.trip and not car.driver.offer:
            self._released(car)

    def _comes_back(self, car: _Car) -> None:
        car.driver = advance_driver(car.driver, DriverAction.GO_ONLINE)
        self._released(car)

    def _released(self, car: _Car) -> None:
        """The driver has nothing to do: is free, or goes if it is time."""
        car.driver = replace(car.driver, trip="", offer="", idle_since=self._time())
        person = car.driver.person
        if car.leaves:
            self._stops(car)
            self._free.pop(person, None)
            self._strolling.discard(person)
            car.leaves = False
            action = DriverAction.TAKE_BREAK if car.rests else DriverAction.GO_OFFLINE
            car.driver = advance_driver(car.driver, action)
            self._later(self.behaviour.pause if car.rests else self.behaviour.change, lambda: self._comes_back(car))
            return
        if not car.driver.free:
            raise AssertionError("who is released is free")
        since = self._now
        self._free[person] = FreeDriver(person, self._where(car), SERVICES, since + BEGIN)
        self._later(self.behaviour.stroll, lambda: self._strolls_off(car, since))

    def _strolls_off(self, car: _Car, since: float) -> None:
        """Whoever has waited long goes somewhere where trips begin, and can be asked all along."""
        free = self._free.get(car.driver.person)
        if free is None or free.idle_since != since + BEGIN or car.goal is not None:
            return
        goal = min((self._chance.choice(self._strolls) for _ in range(3)), key=lambda each: _rough(car.at, each))
        seconds = float(self.city.router.legs_now([car.at], [goal], self._time()).seconds[0])
        car.goal, car.since, car.arrives = goal, self._now, self._now + seconds
        self._strolling.add(car.driver.person)

    def _where(self, car: _Car) -> Point:
        if car.goal is None:
            return car.at
        part = 1.0 if car.arrives <= car.since else min((self._now - car.since) / (car.arrives - car.since), 1.0)
        return Point(
            car.at.latitude + part * (car.goal.latitude - car.at.latitude),
            car.at.longitude + part * (car.goal.longitude - car.at.longitude),
        )

    def _stops(self, car: _Car) -> None:
        car.at, car.goal = self._where(car), None
        self._strolling.discard(car.driver.person)


def _rough(one: Point, other: Point) -> float:
    return math.hypot(one.latitude - other.latitude, (one.longitude - other.longitude) * 0.76)
