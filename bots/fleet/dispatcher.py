"""Couriers of a fleet for bots that sell: a :class:`bots.commerce.couriers.dispatch.Dispatcher` over the trips of
@rides.

The seller's bot keeps its trips as with its own pool (:class:`CourierJob`: what is shown to staff and buyers, what the
courier is paid, by whom); each of them **follows** a trip of the fleet of the same id, which drivers are offered, drive
and end. Both lie in one database:

- What staff does (an order is withdrawn, picked up, handed over) happens to the trip of the fleet and to the job in the
  commit of the handler at hand, by compare-and-set: who was slower runs again on how things stand then.
- What a driver or a round does is told to the seller's bot by an event in its own consumer, raised in the commit in
  which it happens and handled exactly once (:meth:`bots.fleet.trip_book.TripBook.tell`). The handler reads the trip as
  it is by then, and has the job follow it step by step (:meth:`FleetCouriers.follow`). So an event that comes twice,
  late, or after a staff's own change finds nothing to do; and one that was given up is made up for by the next, or by
  the sweep of each minute.

What is owed to the courier is paid by the seller's bot from the merchant's account, as with the pool: the fee once the
trip has ended, the tip when it was handed over.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from bots.commerce.couriers import texts
from bots.commerce.couriers.dispatch import NEWS, Listener, Moved, Trip, job_of
from bots.commerce.couriers.pool import STUCK, WORRY, Pool
from bots.commerce.couriers.settings import FleetSettings
from bots.commerce.trade import Trade
from bots.domain.couriers import (
    ENDED,
    WORDS,
    Courier,
    CourierError,
    CourierJob,
    JobAction,
    JobKind,
    JobState,
    Proof,
    advance,
)
from bots.domain.money import Money
from bots.domain.places import PlaceError
from bots.domain.trips import Trip as FleetTrip
from bots.domain.trips import TripAction, TripKind, TripRefused, TripState
from bots.fleet import calling, news_events
from bots.fleet.fleet import Fleet, Fleets
from bots.fleet.hand import Pending
from bots.fleet.jobs import SHOWN, UNFOUND, as_courier, of_trip, photo_of
from bots.fleet.news import News, TripNews
from bots.fleet.trips import Wanted
from bots.framework import Context, Setup
from bots.routing.base import RoutingError
from bots.store import couriers as sql

__all__ = ["FleetCouriers"]

log = logging.getLogger(__name__)

JOB: Final = "job"
ORDER: Final = "order"
"""Kinds of what a handler at hand has changed."""
TEXT_MAX: Final = 500


class FleetCouriers(Pool):
    """One for a plugin instance that has its orders brought by a fleet. What belongs to a pool's own couriers (signing
    up, offers in turn) is not used: drivers do that with the bot of rides."""

    def __init__(
        self,
        trade: Trade,
        bot: str,
        user_id: str,
        listener: Listener,
        fleet: Fleet,
        *,
        service: str = "courier",
        pays_failed: bool = False,
    ) -> None:
        """
        Args:
            bot: the plugin instance that sells; ``user_id``: its bot's.
            listener: is told of everything that happens to trips.
            service: name of the fleet's class that brings things.
            pays_failed: whether who pays the courier does so for a trip that failed, and for the way back.
        """
        super().__init__(trade, bot, listener, pays_failed=pays_failed)
        self._client = f"{bot}:{user_id}"
        self._fleet = fleet
        self._service = service
        assert NEWS == calling.CLIENT, "what the fleet raises, plugins hear"
        fleet.listen(self._client, self.news)

        self.elsewhere = fleet.consumer.partition(":")[2]
        self._pending = Pending()

    @classmethod
    def of(
        cls, setup: Setup, settings: FleetSettings, trade: Trade, listener: Listener, *, pays_failed: bool = False
    ) -> FleetCouriers:
        """Those that a plugin's settings name; the plugin has the scope ``fleet``.

        Raises:
            LookupError: there is no such bot of rides.
        """
        fleets = setup.services.get(Fleets)
        if fleets is None:
            raise LookupError("couriers: fleet needs a bot of rides, and none is configured")
        fleet, service = fleets.of(settings.fleet), settings.courier_class
        return cls(trade, setup.instance, setup.user_id, listener, fleet, service=service, pays_failed=pays_failed)

    async def heard(self, ctx: Context, data: Mapping[str, Any]) -> None:
        """A driver, a round or an operator has moved a trip of ours."""
        await self._fleet.trips.hear_client(ctx, news_events.trip_in(data))

    # Jobs, as the handler at hand has left them: one step follows on another in one commit

    async def job(self, ctx: Context, job_id: str) -> CourierJob | None:
        """A trip by its id."""
        changed: CourierJob | None = self._pending.get(ctx, JOB, job_id)
        return changed if changed is not None else await super().job(ctx, job_id)

    async def of_order(self, ctx: Context, order_id: str) -> CourierJob | None:
        """The newest trip of an order."""
        rows = await ctx.query(lambda connection: sql.of_order(connection, self._bot, order_id))
        found = self._pending.over(ctx, JOB, [self._book.job(row) for row in rows], lambda job: job.id)
        made = self._pending.get(ctx, ORDER, order_id)
        newest = None if made is None else await self.job(ctx, made)
        return newest if newest is not None else next(iter(found), None)

    def _add(self, ctx: Context, job: CourierJob) -> None:
        row = self._book.job_row(job)
        self._pending.put(ctx, JOB, job.id, job, lambda connection: sql.add(connection, row))
        self._pending.put(ctx, ORDER, job.order, job.id, _nothing)

    def _write(self, ctx: Context, before: CourierJob, after: CourierJob) -> CourierJob:
        was, row = self._book.job_row(before), self._book.job_row(after)
        after = replace(after, revision=before.revision + 1)
        self._pending.put(ctx, JOB, after.id, after, lambda connection: sql.change(connection, was, row))
        return after

    # Trips, for who has something brought

    async def request(self, ctx: Context, trip: Trip, again: str = "") -> CourierJob:
        """Have something brought; for an order that has a trip already, that one is the answer.

        A place that nobody can drive to (it is not known where it is) has no trip of the fleet: the staff is told that
        nobody brings it.
        """
        there = None if again else await self.of_order(ctx, trip.order)
        if there is not None and there.state is not JobState.WITHDRAWN:
            return there
        before = again if there is None else there.id
        job = job_of(trip, self._trade.id_for(trip.order, "trip", before), ctx.now())
        asked = await self._ask(ctx, job)
        job = replace(job, rounds=WORRY) if asked is None else of_trip(job, asked)
        self._add(ctx, job)
        if asked is None:
            await self._listener(ctx, Moved(JobAction.LAPSE, job, job))
        return job

    async def _ask(self, ctx: Context, job: CourierJob) -> FleetTrip | None:
        """The trip of the fleet; None: there can be none."""
        pickup, dropoff = job.pickup.point, job.dropoff.point
        if pickup is None or dropoff is None:
            return None
        if not self._fleet.attached.is_set():
            log.error("no courier can be asked: the bot of rides does not run", extra={"order": job.order})
            return None
        if self._service not in self._fleet.tariff.classes:
            log.error("no courier can be asked: the tariff has no such class", extra={"class": self._service})
            return None
        # Who fetches it has to say whose and which order it is.
        shown = replace(job.pickup, text=f"{job.seller}, {job.number}: {job.pickup.text}"[:TEXT_MAX])
        try:
            way = await self._fleet.router.route([pickup, dropoff], ctx.now())
            return await self._fleet.trips.request(
                ctx,
                Wanted(
                    cause=job.id,
                    kind=TripKind.COURIER,
                    service=self._service,
                    pickup=shown,
                    dropoff=job.dropoff,
                    quoted=job.fee,
                    earning=job.fee,
                    metres=round(way.metres),
                    seconds=round(way.seconds),
                    client=self._client,
                    reference=job.order,
                    ready_at=job.ready_at,
                    passenger=job.buyer,
                    note=job.note[:TEXT_MAX],
                    never=job.never,
                    dropoff_pin=True,
                ),
            )
        except (TripRefused, PlaceError, RoutingError) as error:
            log.warning("no courier can be asked", extra={"order": job.order, "reason": error.code})
            return None

    async def ready(self, ctx: Context, job_id: str, at: datetime) -> None:
        """It can be picked up at another time than was said."""
        job, trip = await self.job(ctx, job_id), await self._fleet.trips.get(ctx, job_id)
        if job is None or job.state in ENDED or job.ready_at == at:
            return
        self._write(ctx, job, replace(job, ready_at=at))
        if trip is not None:
            await self._fleet.trips.ready(ctx, trip, at)

    async def withdraw(self, ctx: Context, job_id: str, reason: str) -> None:
        """It need not be brought any more; a driver who was on the way is told by the bot of rides."""
        job, trip = await self.job(ctx, job_id), await self._fleet.trips.get(ctx, job_id)
        if job is None or job.state in ENDED:
            return
        # The job first: what the trip's end is told of finds it withdrawn.
        after = self._write(ctx, job, advance(job, JobAction.WITHDRAW, ctx.now(), failure=reason))
        if trip is not None and SHOWN.get(trip.state) in {JobState.SEARCHING, JobState.TAKEN}:
            await self._act(ctx, trip, TripAction.CANCEL, reason=reason)
        await self._listener(ctx, Moved(JobAction.WITHDRAW, job, after))

    async def picked_up(self, ctx: Context, job_id: str) -> None:
        """The merchant says that the courier has it. Raises CourierError."""
        trip = await self._driven(ctx, job_id)
        if trip.state is TripState.MATCHED:
            trip = await self._act(ctx, trip, TripAction.ARRIVE)
        await self._act(ctx, trip, TripAction.START)

    async def handed_over(self, ctx: Context, job_id: str) -> None:
        """The merchant says that it is where it belongs. Raises CourierError."""
        trip = await self._driven(ctx, job_id)
        await self._act(ctx, trip, TripAction.COMPLETE, due=trip.quoted, owed=bool(trip.earning))

    async def failed(self, ctx: Context, job_id: str, why: str) -> None:
        """The merchant says that it cannot be handed over. Raises CourierError."""
        trip = await self._driven(ctx, job_id)
        try:
            await self._fleet.trips.fail(ctx, trip, "", why)
        except TripRefused as error:
            raise self._refused(trip) from error

    async def leave_at_door(self, ctx: Context, job_id: str, wanted: bool) -> bool:
        """The buyer wants it left at the door, or handed over after all; whether that can still be. Its driver sees it
        in the note."""
        job, trip = await self.job(ctx, job_id), await self._fleet.trips.get(ctx, job_id)
        if job is None or job.state in ENDED or job.kind is not JobKind.DELIVERY:
            return False
        if job.leave is not wanted:
            self._write(ctx, job, replace(job, leave=wanted, updated_at=ctx.now()))
            if trip is not None:
                asked = texts.at_door(ctx.translator, wanted=wanted)
                note = f"{asked} {job.note}".strip()[:TEXT_MAX]
                after = self._fleet.trips.change(ctx, trip, "note", note=note)
                await self._fleet.trips.tell(ctx, TripNews(News.MOVED, trip, after))
        return True

    async def _driven(self, ctx: Context, job_id: str) -> FleetTrip:
        trip = await self._fleet.trips.get(ctx, job_id)
        if trip is None:
            raise CourierError("courier.gone")
        return trip

    async def _act(self, ctx: Context, trip: FleetTrip, action: TripAction, **changes: Any) -> FleetTrip:
        try:
            return await self._fleet.trips.act(ctx, trip, action, **changes)
        except TripRefused as error:
            raise self._refused(trip) from error

    @staticmethod
    def _refused(trip: FleetTrip) -> CourierError:
        state = SHOWN.get(trip.state, JobState.WITHDRAWN)
        return CourierError("courier.job_refused", state=WORDS[state])

    # What drivers and rounds do

    async def news(self, ctx: Context, news: TripNews) -> None:
        """Something happened to a trip of ours. A hook of the fleet."""
        await self.follow(ctx, news.after, by=news.by)

    async def follow(self, ctx: Context, trip: FleetTrip, *, by: str = "") -> None:
        """Have a job stand where its trip stands; what happens to it on the way there is told to the listener.

        Args:
            by: user id of who did it; only a driver counts as one.
        """
        trip = await self._fleet.trips.get(ctx, trip.id) or trip
        if trip.kind is TripKind.RETURN and await self.job(ctx, trip.id) is None:
            await self._comes_back(ctx, trip, by)
            return
        job = await self.job(ctx, trip.id)
        if job is None or trip.state is TripState.FAILED:
            return  # it is being requested by this handler; or its return comes next
        while job is not None and job.state not in ENDED:
            job = await self._step(ctx, job, trip, by if by and by == (trip.driver or job.courier) else "")

    async def _step(self, ctx: Context, job: CourierJob, trip: FleetTrip, by: str) -> CourierJob | None:
        """One step of a job towards where its trip stands; None: it stands there, or has come to its end."""
        goal = SHOWN.get(trip.state, JobState.WITHDRAWN)
        if job.state is JobState.SEARCHING and goal in {JobState.TAKEN, JobState.CARRIED, JobState.DONE}:
            asked = advance(job, JobAction.OFFER, ctx.now(), courier=trip.driver, offers=job.offers + 1)
            # Whoever answered, it is the driver who has taken it.
            return await self._moved(ctx, JobAction.ACCEPT, job, advance(asked, JobAction.ACCEPT, ctx.now()),
                                     trip.driver)  # fmt: skip
        if job.state is JobState.TAKEN and (goal is JobState.SEARCHING or trip.driver not in {"", job.courier}):
            lost = advance(job, JobAction.GIVE_UP, ctx.now())
            return await self._moved(ctx, JobAction.GIVE_UP, job, lost, job.courier)
        if job.state is JobState.TAKEN and goal in {JobState.CARRIED, JobState.DONE}:
            return await self._moved(ctx, JobAction.PICK_UP, job, advance(job, JobAction.PICK_UP, ctx.now()), by)
        if job.state is JobState.CARRIED and goal is JobState.DONE:
            await self._handed_over(ctx, job, trip, by)
            return None
        if goal is JobState.WITHDRAWN:
            await self._came_to_nothing(ctx, job, trip)
        return None

    async def _moved(
        self, ctx: Context, action: JobAction, before: CourierJob, after: CourierJob, by: str, **told: Any
    ) -> CourierJob:
        after = self._write(ctx, before, after)
        await self._listener(ctx, Moved(action, before, after, by, **told))
        return after

    async def _handed_over(self, ctx: Context, job: CourierJob, trip: FleetTrip, by: str) -> None:
        proof = Proof.PHOTO if trip.proof else Proof.PIN if by else Proof.STAFF
        after = advance(job, JobAction.HAND_OVER, ctx.now(), proof=proof)
        after = await self._moved(ctx, JobAction.HAND_OVER, job, after, by, photo=photo_of(trip.proof))
        self.pay_soon(ctx, after, ctx.now())

    async def _comes_back(self, ctx: Context, trip: FleetTrip, by: str) -> None:
        """What could not be handed over is on its way back: the job has failed, and there is one for the way back."""
        job, failed = await self.job(ctx, trip.of), await self._fleet.trips.get(ctx, trip.of)
        if job is None or failed is None or job.state in ENDED:
            return
        while job.state is not JobState.CARRIED:  # what came before has not been heard of
            state = {JobState.SEARCHING: TripState.MATCHED}.get(job.state, TripState.UNDER_WAY)
            moved = await self._step(ctx, job, replace(failed, state=state), trip.driver)
            if moved is None:
                return
            job = moved
        fee = job.fee if self._pays_failed else Money.zero(job.fee.currency)
        if fee != failed.earning:
            self._fleet.trips.change(ctx, failed, "earning", earning=fee, owed=bool(fee))
            self._fleet.trips.change(ctx, trip, "earning", earning=fee)
        after = advance(job, JobAction.FAIL, ctx.now(), failure=failed.reason, fee=fee)
        back = replace(
            after,
            id=trip.id,
            kind=JobKind.RETURN,
            state=JobState.CARRIED,
            pickup=job.dropoff,
            dropoff=job.pickup,
            tip=None,
            of=job.id,
            pickup_code="",
            leave=False,
            waits_from=None,
            pin=trip.dropoff_pin,
            failure="",
            opened_at=ctx.now(),
            revision=0,
        )
        self._add(ctx, back)
        who = by if by == trip.driver else ""
        after = await self._moved(ctx, JobAction.FAIL, job, after, who, back=back)
        self.pay_soon(ctx, after, ctx.now())

    async def _came_to_nothing(self, ctx: Context, job: CourierJob, trip: FleetTrip) -> None:
        """The trip has ended and nothing was handed over: nobody was found, or the operator has stopped it."""
        if job.state is JobState.CARRIED:
            # Whoever has it, it does not come: the order has failed, and nothing is paid for that.
            after = advance(job, JobAction.FAIL, ctx.now(), failure=trip.reason, paid=True)
            await self._moved(ctx, JobAction.FAIL, job, after, job.courier)
            return
        after, stopped = advance(job, JobAction.WITHDRAW, ctx.now(), failure=trip.reason), trip.state not in UNFOUND
        await self._moved(ctx, JobAction.WITHDRAW, job, after, "", stopped=stopped)
        if stopped:
            return
        wanted = Trip(
            order=job.order,
            number=job.number,
            merchant=job.merchant,
            seller=job.seller,
            account=job.account,
            pickup=job.pickup,
            dropoff=job.dropoff,
            buyer=job.buyer,
            never=job.never,
            fee=job.fee,
            tip=job.tip,
            ready_at=job.ready_at or ctx.now(),
            note=job.note,
        )
        again = await self.request(ctx, wanted, again=job.id)
        if again.rounds < WORRY:
            await self._listener(ctx, Moved(JobAction.LAPSE, again, replace(again, rounds=WORRY)))

    # Couriers, and what they earn

    async def courier(self, ctx: Context, person: str) -> Courier | None:
        """A driver of the fleet as who brings something."""
        driver = await self._fleet.drivers.get(ctx, person)
        return None if driver is None else as_courier(driver)

    async def paid(self, ctx: Context, job: CourierJob) -> CourierJob:
        """The courier has got it: their bot tells them, tip and all."""
        trip = await self._fleet.trips.get(ctx, job.id)
        if trip is not None:
            if trip.earning != job.earned and trip.owed:
                trip = self._fleet.trips.change(ctx, trip, "tip", earning=job.earned)
            await self._fleet.trips.paid_by_client(ctx, trip)
        return await super().paid(ctx, job)

    # What was forgotten

    async def sweep(self, ctx: Context) -> None:
        """Follow trips whose news were lost, and begin payouts again."""
        limit = int((ctx.now() - STUCK).timestamp() * 1000)

        def read(connection: Any) -> tuple[list[sql.JobRow], list[sql.JobRow]]:
            open_ = [state.value for state in JobState if state not in ENDED]
            return sql.in_state(connection, self._bot, open_, 200), sql.owed(connection, self._bot, limit, 200)

        rows, owed = await ctx.query(read)
        for row in rows:
            trip = await self._fleet.trips.get(ctx, row.id) if row.updated_at < limit else None
            if trip is not None and trip.state is TripState.FAILED:
                back = await self._fleet.trips.of_reference(ctx, self._client, trip.reference)
                trip = back if back is not None and back.of == trip.id else None
            if trip is None:
                continue
            if trip.id != row.id or SHOWN.get(trip.state, JobState.WITHDRAWN).value != row.state:
                await self.follow(ctx, trip, by=trip.driver)
        there = {each.key for each in await ctx.schedules.list("paytrip/")} if owed else set()
        for row in owed:
            if f"paytrip/{row.id}" not in there:
                self.pay_soon(ctx, self._book.job(row), ctx.now())


def _nothing(_connection: object) -> None:
    """What was made in a handler is noted beside its row."""
