"""Trips: requested, moved from state to state, told of; their money is brought after them.

The state is stored first, in one commit with what people are told; then the timer "fleet_settle" brings the money
where the state says (:mod:`bots.fleet.settling`). Everything is compare-and-set: who was slower finds that in the
commit (TradeBusy), and the handler is run again on how things stand then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from appservice.clock import to_ms
from bots.domain.drivers import Driver, DriverError, DriverState
from bots.domain.money import Money
from bots.domain.trips import (
    ENDED,
    HAS_DRIVER,
    NEXT,
    WORDS,
    Hold,
    Stop,
    Trip,
    TripAction,
    TripKind,
    TripMoney,
    TripRefused,
    TripState,
    Way,
    advance,
    dropped,
    tried,
)
from bots.fleet.news import News, TripNews
from bots.fleet.settling import Settling
from bots.fleet.terms import Charge
from bots.fleet.trip_book import Step
from bots.fleet.wanted import Wanted
from bots.framework import Context

__all__ = ["Charge", "Step", "Trips", "Wanted"]

ULID_LENGTH: Final = 26
ALPHABET: Final = "23456789CFGHJMPQRVWX"
"""Of trips' numbers: no letters that make words, and none that are taken for others."""
NUMBER_LENGTH: Final = 6
A, S = TripAction, TripState


class Trips(Settling):
    """The trips of a fleet. Writes happen in the commit of the handler at hand.

    Raises TripRefused for what does not follow on where a trip stands.
    """

    # Requesting

    async def request(self, ctx: Context, wanted: Wanted) -> Trip:
        """Order a trip. The same cause again is the same trip, as it stands by now.

        A rider's trip waits for its payment (AUTHORISING: the wallet asks them), a client's is searched for at once;
        what is wanted later is SCHEDULED, and woken in time.

        Raises:
            TripRefused: it cannot be at all.
        """
        if len(wanted.cause) != ULID_LENGTH:
            raise ValueError("a trip's cause is a ULID")
        trip_id = self.fleet.trade.id_for(wanted.cause, "trip")
        there = await self.get(ctx, trip_id)
        if there is not None:
            return there
        trip = self._made(ctx, trip_id, wanted)
        self._add(ctx, trip, wanted.rider)
        if trip.money is TripMoney.ASKED:
            self.settle_soon(ctx, trip)
        self._wait(ctx, trip)
        if trip.state is S.SEARCHING:
            self._searched(ctx)
        await self.tell(ctx, TripNews(News.REQUESTED, trip, trip, by=wanted.rider))
        return trip

    def _made(self, ctx: Context, trip_id: str, wanted: Wanted) -> Trip:
        now, terms = ctx.now(), self.fleet.terms
        wakes = self._wakes(wanted.wanted, wanted.ready_at, bool(wanted.client))
        paid = not wanted.client and bool(wanted.quoted)
        hold = wanted.hold or (wanted.quote.hold if wanted.quote is not None else wanted.quoted)
        if wakes is not None and wakes > now:
            state, deadline = S.SCHEDULED, wakes
        elif paid:
            state, deadline = S.AUTHORISING, now + terms.pay
        else:
            state, deadline = S.SEARCHING, now + (terms.client_search if wanted.client else terms.search)
        number = self._number(trip_id)
        return Trip(
            id=trip_id,
            number=number,
            kind=wanted.kind,
            state=state,
            service=wanted.service,
            pickup=wanted.pickup,
            dropoff=wanted.dropoff,
            quoted=wanted.quoted,
            earning=wanted.earning,
            opened_at=now,
            updated_at=now,
            metres=wanted.metres,
            seconds=wanted.seconds,
            client=wanted.client,
            reference=wanted.reference,
            rider=wanted.rider,
            room_id=wanted.room_id,
            stops=tuple(Stop(each) for each in wanted.stops),
            surge=wanted.surge,
            wanted=wanted.wanted,
            ready_at=wanted.ready_at,
            latest=wanted.latest,
            declined=tuple(dict.fromkeys((*wanted.never, *([wanted.rider] if wanted.rider else [])))),
            searching_since=now if state is S.SEARCHING else None,
            deadline=deadline,
            pin=self._digits() if wanted.pin else "",
            dropoff_pin=self._digits() if wanted.dropoff_pin else "",
            passenger=wanted.passenger,
            note=wanted.note,
            holds=(Hold(f"{trip_id}/0", hold),) if paid else (),
            memo=wanted.memo or number,
            quote=wanted.quote,
        )

    def _wakes(self, wanted: datetime | None, ready_at: datetime | None, client: bool) -> datetime | None:
        """When the search for a trip that is wanted later begins; None: now."""
        moments = [each for each in (wanted, ready_at) if each is not None]
        ahead = self.fleet.terms.client_ahead if client else self.fleet.terms.ahead
        return max(moments) - ahead if moments else None

    def _number(self, trip_id: str) -> str:
        left, found = int(self.fleet.trade.digest("number", trip_id), 16), ""
        for _digit in range(NUMBER_LENGTH):
            left, index = divmod(left, len(ALPHABET))
            found += ALPHABET[index]
        return found

    def _digits(self) -> str:
        return f"{int.from_bytes(self.fleet.trade.randomness(8)) % 10_000:04}"

    def _searched(self, ctx: Context) -> None:
        """A trip searches: the next round need not be waited for."""
        ctx.unit.after_commit(self.fleet.wake)

    # Moving on

    async def act(
        self,
        ctx: Context,
        trip: Trip,
        action: TripAction,
        *,
        by: str = "",
        within: timedelta | None = None,
        **changes: Any,
    ) -> Trip:
        """Have something happen to a trip: state, driver, offers, listeners, deadlines and the order to move its money,
        in the commit of the handler at hand. Use the methods below where there is one.

        Args:
            by: user id of who does it. Empty: it happens by itself.
            within: when the new state ends by itself; what the terms say unless told.
            changes: fields of the trip that change with it.
        """
        wait = self._within(trip, action) if within is None else within
        after = advance(trip, action, ctx.now(), within=wait, **changes)
        if after.state in ENDED:  # who was asked for it is nobody's affair any more
            after = replace(after, declined=())
        moves = after.money is not trip.money or after.due != trip.due or after.dropped != trip.dropped or after.owed
        after = self._write(ctx, trip, after, action.value, by, unsettled=moves and not trip.client)
        if trip.state in HAS_DRIVER and after.state not in HAS_DRIVER:
            await self.fleet.drivers.set_free(ctx, trip.driver, trip.id)
        if trip.state is S.SEARCHING and after.state is not S.SEARCHING:
            await self.fleet.offers.lose(ctx, trip.id)
        if after.state is S.SEARCHING and trip.state is not S.SEARCHING:
            self._searched(ctx)
        self._wait(ctx, after)
        if moves and not trip.client:
            self.settle_soon(ctx, after)
        await self.tell(ctx, TripNews(News.MOVED, trip, after, action, by))
        self._count(ctx, trip, after, action)
        return after

    def _within(self, trip: Trip, action: TripAction) -> timedelta | None:
        """How long the state that follows waits until something happens by itself."""
        terms, state = self.fleet.terms, NEXT.get((trip.state, action))
        if action is A.CHANGE:
            return None  # the deadline of before stays
        waits: Mapping[TripState | None, timedelta] = {
            S.AUTHORISING: terms.pay,
            S.SEARCHING: terms.client_search if trip.client else terms.search,
            S.MATCHED: terms.approach,
            S.ARRIVED: terms.longest,
            S.UNDER_WAY: terms.longest,
        }
        return waits.get(state)

    async def arrive(self, ctx: Context, trip: Trip, by: str) -> Trip:
        """The driver is at the pickup."""
        return await self.act(ctx, trip, A.ARRIVE, by=by)

    async def start(self, ctx: Context, trip: Trip, pin: str, by: str) -> Trip | None:
        """The driver has typed the PIN of the pickup. None: it is wrong, which counts. Raises TripRefused (locked)."""
        if (trip.state, A.START) not in NEXT:
            raise TripRefused("trip.refused", state=WORDS[trip.state])
        if trip.pin:
            counted, right = tried(trip, pin)
            if not right:
                self.change(ctx, trip, "wrong pin", by, tries=counted.tries)
                return None
        return await self.act(ctx, trip, A.START, by=by)

    async def leave_stop(self, ctx: Context, trip: Trip, by: str) -> Trip:
        """The driver goes on from the next stop on the way. Raises TripRefused: there is none."""
        left = next((number for number, each in enumerate(trip.stops) if each.left_at is None), None)
        if trip.state is not S.UNDER_WAY or left is None:
            raise TripRefused("trip.refused", state=WORDS[trip.state])
        stops = tuple(replace(each, left_at=ctx.now()) if n == left else each for n, each in enumerate(trip.stops))
        after = self.change(ctx, trip, "leave stop", by, stops=stops)
        await self.tell(ctx, TripNews(News.LEFT_STOP, trip, after, by=by))
        return after

    async def complete(
        self, ctx: Context, trip: Trip, by: str, *, pin: str = "", proof: str = "", charge: Charge | None = None
    ) -> Trip | None:
        """The end. None: the PIN of the drop-off is wrong, which counts.

        Args:
            pin: of the drop-off, where one is asked for; ``proof``: the event id of a photo instead of it.
            charge: what is due, and earned; unless told what the quote's terms say. Never more than is held.
        """
        if (trip.state, A.COMPLETE) not in NEXT:
            raise TripRefused("trip.refused", state=WORDS[trip.state])
        if trip.dropoff_pin and not proof:
            if not pin:
                raise TripRefused("trip.proof")
            counted, right = tried(trip, pin)
            if not right:
                self.change(ctx, trip, "wrong pin", by, tries=counted.tries)
                return None
        due = charge or self.fleet.quotes.final(trip)
        return await self.act(ctx, trip, A.COMPLETE, by=by, proof=proof, **self._charged(trip, due))

    @staticmethod
    def _charged(trip: Trip, charge: Charge) -> dict[str, Any]:
        """What is due changes in a trip that ends with it. A client pays the driver itself."""
        due = charge.due if trip.client else min(charge.due, trip.held)
        return {"due": due, "earning": charge.earning, "owed": bool(charge.earning) and bool(trip.driver)}

    async def fail(self, ctx: Context, trip: Trip, by: str, reason: str) -> Trip:
        """What is brought cannot be handed over: the trip back, that its driver is on now; the earlier one has ended.

        The driver gets for the way back what the way there earned, unless ``earning`` of the trip is changed.
        """
        back = self._back(ctx, trip)
        charge = Charge(trip.quoted, trip.earning)
        after = await self.act(ctx, trip, A.FAIL, by=by, reason=reason, **self._charged(trip, charge))
        self._add(ctx, back, by)
        await self.fleet.drivers.bind(ctx, trip.driver, back.id)
        self._wait(ctx, back)
        await self.tell(ctx, TripNews(News.REQUESTED, after, back, by=by))
        return back

    def _back(self, ctx: Context, trip: Trip) -> Trip:
        if (trip.state, A.FAIL) not in NEXT or trip.kind is not TripKind.COURIER:
            raise TripRefused("trip.refused", state=WORDS[trip.state])
        trip_id, now = self.fleet.trade.id_for(trip.id, "return"), ctx.now()
        return replace(
            trip,
            id=trip_id,
            number=self._number(trip_id),
            kind=TripKind.RETURN,
            pickup=trip.dropoff,
            dropoff=trip.pickup,
            stops=(),
            quoted=Money.zero(trip.quoted.currency),
            quote=None,
            holds=(),
            dropped=(),
            payment="",
            due=None,
            tip=None,
            tip_key="",
            proof="",
            batch="",
            opened_at=now,
            updated_at=now,
            started_at=now,
            searching_since=None,
            deadline=now + self.fleet.terms.longest,
            pin="",
            dropoff_pin=self._digits(),
            tries=0,
            reason="",
            of=trip.id,
            waves=0,
            revision=0,
        )

    async def lose_driver(self, ctx: Context, trip: Trip, by: str, reason: str) -> Trip:
        """The driver cannot come (or was suspended): it is matched again, first in line."""
        return await self.act(ctx, trip, A.LOSE_DRIVER, by=by, reason=reason)

    async def cancel(self, ctx: Context, trip: Trip, by: str, reason: str, charge: Charge | None = None) -> Trip:
        """By the rider, or by a client. ``charge``: the fee that was shown before; without one it costs nothing."""
        if charge is None or not charge.due:
            return await self.act(ctx, trip, A.CANCEL, by=by, reason=reason)
        return await self.act(ctx, trip, A.CANCEL_LATE, by=by, reason=reason, **self._charged(trip, charge))

    async def miss(self, ctx: Context, trip: Trip, by: str, charge: Charge | None = None) -> Trip:
        """The rider did not come. Raises TripRefused ("trip.wait") before :meth:`missed_at`."""
        until = self.missed_at(trip)
        if until is not None and ctx.now() < until:
            raise TripRefused("trip.wait", until=until)
        fee = charge or self.fleet.quotes.miss_charge(trip, ctx.now())
        return await self.act(ctx, trip, A.MISS, by=by, **self._charged(trip, fee))

    def missed_at(self, trip: Trip) -> datetime | None:
        """From when on a driver who waits may say that nobody came; None: they do not wait."""
        if trip.state is not S.ARRIVED or trip.arrived_at is None:
            return None
        begin = trip.arrived_at if trip.wanted is None else max(trip.arrived_at, trip.wanted)
        minutes = None if trip.quote is None else trip.quote.terms.fees.miss.grace_minutes
        return begin + (self.fleet.terms.grace if minutes is None else timedelta(minutes=minutes))

    async def stop(self, ctx: Context, trip: Trip, by: str, reason: str, charge: Charge | None = None) -> Trip:
        """By the operator. Everything goes back; a ``charge`` pays the driver all the same."""
        earned: dict[str, Any] = {}
        if charge is not None:
            earned = {"earning": charge.earning, "owed": bool(charge.earning) and bool(trip.driver)}
        return await self.act(ctx, trip, A.STOP, by=by, reason=reason, **earned)

    async def match(
        self, ctx: Context, trips: Sequence[Trip], driver: Driver, *, by: str, pickup_seconds: int, pickup_metres: int
    ) -> list[Trip]:
        """A driver has them: what accepting and assigning stand on. Raises DriverError ("driver.busy")."""
        refused = next((each for each in trips if (each.state, A.MATCH) not in NEXT), None)
        if refused is not None:
            raise TripRefused("trip.refused", state=WORDS[refused.state])
        if driver.trip:
            raise DriverError("driver.busy")
        batch = trips[0].id if len(trips) > 1 else ""
        await self.fleet.drivers.bind(ctx, driver.person, *(each.id for each in trips))
        promised = ctx.now() + timedelta(seconds=pickup_seconds)
        changes: dict[str, Any] = {"batch": batch, "promised_at": promised, "pickup_metres": pickup_metres}
        within = timedelta(seconds=2 * pickup_seconds) + self.fleet.terms.approach
        return [
            await self.act(ctx, each, A.MATCH, by=by, within=within, driver=driver.person, **changes) for each in trips
        ]

    async def assign(self, ctx: Context, trip: Trip, driver: Driver, by: str, pickup_seconds: int = 0) -> Trip:
        """By the operator: this driver has it, asked or not. Raises DriverError: they are not free, or not fit."""
        if driver.state is not DriverState.ONLINE or trip.service not in driver.services or driver.person == trip.rider:
            raise DriverError("driver.unfit")
        await self.fleet.offers.lose_of_driver(ctx, driver.person)
        (after,) = await self.match(ctx, [trip], driver, by=by, pickup_seconds=pickup_seconds, pickup_metres=0)
        return after

    async def ready(self, ctx: Context, trip: Trip, at: datetime) -> Trip:
        """By a client: it can be picked up at another time than was said."""
        if trip.state in ENDED or trip.ready_at == at:
            return trip
        changes: dict[str, Any] = {"ready_at": at}
        if trip.state is S.SCHEDULED:
            changes["deadline"] = self._wakes(trip.wanted, at, bool(trip.client))
        after = self.change(ctx, trip, "ready", **changes)
        self._wait(ctx, after)
        return after

    # Changing

    async def propose(self, ctx: Context, trip: Trip, way: Way, by: str) -> Trip:
        """The rider has confirmed another way. Where it costs more than is held, the difference is asked for first, by
        a payment of its own (CHANGE_ASKED; then MOVED with CHANGE, or CHANGE_DROPPED); otherwise it is the trip's at
        once."""
        if (trip.state, A.CHANGE) not in NEXT:
            raise TripRefused("trip.refused", state=WORDS[trip.state])
        asked = dropped(trip)  # an earlier proposal is given up for this one
        more = (way.hold or way.quoted) - trip.held
        if trip.client or more.minor <= 0:
            return await self._changed(ctx, trip, way, by, **asked)
        way = replace(way, key=f"{trip.id}/{to_ms(ctx.now())}")
        after = self.change(ctx, trip, "propose", by, unsettled=True, **(asked | {"proposed": way}))
        await self.tell(ctx, TripNews(News.CHANGE_ASKED, trip, after, by=by, amount=more))
        return after

    async def drop_change(self, ctx: Context, trip: Trip, by: str = "") -> Trip:
        """The old way stands after all; where nothing was proposed that changes nothing."""
        if trip.proposed is None:
            return trip
        after = self.change(ctx, trip, "drop change", by, unsettled=True, **dropped(trip))
        await self.tell(ctx, TripNews(News.CHANGE_DROPPED, trip, after, by=by))
        return after

    async def _changed(self, ctx: Context, trip: Trip, way: Way, by: str, **changes: Any) -> Trip:
        fields = ("dropoff", "stops", "quoted", "earning", "metres", "seconds")
        changes = {"proposed": None, **{name: getattr(way, name) for name in fields}, **changes}
        if way.quote is not None:
            changes["quote"] = way.quote
        return await self.act(ctx, trip, A.CHANGE, by=by, **changes)

    # What happens by itself

    async def deadline(self, ctx: Context, trip_id: str) -> None:
        """The time of a state is over. The timer "fleet_deadline"; too early or too late, it does no harm."""
        trip = await self.get(ctx, trip_id)
        if trip is None or trip.deadline is None:
            return
        if trip.deadline > ctx.now():
            self._wait(ctx, trip)
            return
        if trip.state is S.MATCHED and self._comes(ctx, trip):
            within = self.fleet.terms.approach
            self._wait(ctx, self.change(ctx, trip, "comes", deadline=ctx.now() + within))
            return
        action = _AT_DEADLINE.get(trip.state)
        if trip.state is S.SCHEDULED and not trip.holds:
            action = A.SEARCH
        if trip.state is S.AUTHORISING and await self.is_held(ctx, trip):
            action = A.SEARCH  # confirmed in the last moment
        if action is not None:
            await self.act(ctx, trip, action)

    def _comes(self, ctx: Context, trip: Trip) -> bool:
        """Whether something was heard of the driver lately."""
        seen = self.fleet.positions.last(trip.driver)
        return seen is not None and ctx.now_ms() - seen.heard_at < to_ms_of(self.fleet.terms.silent)

    def _count(self, ctx: Context, before: Trip, after: Trip, action: TripAction) -> None:
        metrics = self.fleet.trade.metrics
        if metrics is None:
            return
        counter = metrics.trip_actions.labels(self.fleet.name, action.value)
        ctx.unit.after_commit(counter.inc)
        if action is A.MATCH and before.searching_since is not None:
            seconds = (after.updated_at - before.searching_since).total_seconds()
            histogram = metrics.trip_match_seconds.labels(self.fleet.name)
            ctx.unit.after_commit(lambda: histogram.observe(seconds))


def to_ms_of(duration: timedelta) -> int:
    """A duration in ms."""
    return duration // timedelta(milliseconds=1)


_AT_DEADLINE: Final[Mapping[TripState, TripAction]] = MappingProxyType(
    {
        S.SCHEDULED: A.ASK_PAYMENT,
        S.AUTHORISING: A.DECLINE_PAYMENT,
        S.SEARCHING: A.GIVE_UP,
        S.MATCHED: A.LOSE_DRIVER,
        S.ARRIVED: A.CANCEL,
        S.UNDER_WAY: A.STOP,
    }
)
