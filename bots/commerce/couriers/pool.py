"""Couriers who sign up, and are offered trips in turn: who waits longest is asked first, and has 25 seconds.

Each trip has an order of its own (``~trips/ID``), in which the next courier is looked for; what a courier answers
happens in the order of their chat. Both write by compare-and-set: of two who accept, one does.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from bots.commerce.couriers.book import Book
from bots.commerce.couriers.dispatch import Listener, Moved, Trip, job_of
from bots.commerce.trade import Trade
from bots.domain.couriers import (
    ENDED,
    HAS_COURIER,
    OFFERED_FOR,
    PIN_DIGITS,
    WORDS,
    Courier,
    CourierAction,
    CourierError,
    CourierJob,
    CourierState,
    JobAction,
    JobKind,
    JobState,
    Proof,
    advance,
    advance_courier,
    next_courier,
    return_of,
    tried,
)
from bots.domain.money import Money
from bots.framework import Context
from bots.framework.context import TIMER_FIRED
from bots.store import couriers as sql

__all__ = ["CHANGED", "LAPSE", "OFFER", "PAY", "SEARCH", "TAKEN_AWAY", "Pool"]

log = logging.getLogger(__name__)

SEARCH: Final = "trip search"
LAPSE: Final = "trip lapse"
OFFER: Final = "trip offer"
PAY: Final = "trip pay"
TAKEN_AWAY: Final = "trip withdrawn"
CHANGED: Final = "trip changed"
"""Names of timers, which :class:`bots.commerce.couriers.chat.Couriering` hears."""
PAUSE: Final = timedelta(seconds=30)
"""Between two rounds in which nobody took it."""
AHEAD: Final = timedelta(minutes=10)
"""So long before it is ready a courier is looked for."""
DOOR: Final = timedelta(minutes=5)
"""So long a courier waits at a door to which nobody comes."""
WORRY: Final = 10
"""After so many rounds the merchant hears that nobody is found."""
POOL_MAX: Final = 500
"""Couriers who are looked at for one offer."""
STUCK: Final = timedelta(minutes=2)
"""A search or a payout that has not gone on for so long was lost, and is begun again."""


class Pool:
    """A dispatcher (:class:`bots.commerce.couriers.dispatch.Dispatcher`); one for a plugin instance."""

    elsewhere: str = ""
    """User id of the bot that couriers talk with, where it is another one; empty: this one."""

    def __init__(
        self,
        trade: Trade,
        bot: str,
        listener: Listener,
        *,
        offered_for: timedelta = OFFERED_FOR,
        pause: timedelta = PAUSE,
        ahead: timedelta = AHEAD,
        door: timedelta = DOOR,
        pays_failed: bool = False,
        digits: Callable[[], str] | None = None,
    ) -> None:
        """
        Args:
            bot: the plugin instance.
            listener: is told of everything that happens to trips.
            offered_for: how long a courier has to answer.
            pause: between two rounds.
            ahead: so long before it is ready a courier is looked for.
            door: after so long at a door to which nobody comes a photo counts.
            pays_failed: whether who pays the courier does so for a trip that failed, and for the way back.
            digits: makes PINs and codes; by the system's randomness unless told.
        """
        self._trade = trade
        self._bot = bot
        self._book = Book(trade, bot)
        self._listener = listener
        self._offered_for = offered_for
        self._pause = pause
        self._ahead = ahead
        self.door = door
        self._pays_failed = pays_failed
        self._digits = digits or _digits

    # Trips, for who has something brought

    async def request(self, ctx: Context, trip: Trip, again: str = "") -> CourierJob:
        """Have something brought; for an order that has a trip already, that one is the answer.

        Args:
            again: the id of the trip before, which has come to its end: there is to be another one.
        """
        there = None if again else await self.of_order(ctx, trip.order)
        if there is not None and there.state is not JobState.WITHDRAWN:
            return there
        now = ctx.now()
        job_id = self._trade.id_for(trip.order, "trip", again if there is None else there.id)
        job = job_of(trip, job_id, now, pickup_code=self._digits(), pin=self._digits())
        row = self._book.job_row(job)
        ctx.store(lambda connection: sql.add(connection, row))
        self._search(ctx, job, max(now, trip.ready_at - self._ahead))
        return job

    async def ready(self, ctx: Context, job_id: str, at: datetime) -> None:
        """It can be picked up at another time than was said."""
        job = await self.job(ctx, job_id)
        if job is None or job.state in ENDED or job.ready_at == at:
            return
        after = self._write(ctx, job, replace(job, ready_at=at))
        if after.state is JobState.SEARCHING:
            self._search(ctx, after, max(ctx.now(), at - self._ahead))

    async def withdraw(self, ctx: Context, job_id: str, reason: str) -> None:
        """It need not be brought any more; who was on the way is told."""
        job = await self.job(ctx, job_id)
        if job is None or job.state in ENDED:
            return
        after = self._write(ctx, job, advance(job, JobAction.WITHDRAW, ctx.now(), failure=reason))
        for key in (_search_key(job.id), _lapse_key(job.id)):
            ctx.schedules.cancel(key)
        if job.state is JobState.TAKEN:
            await self._set_free(ctx, job)
            await self._tell(ctx, job, TAKEN_AWAY)
        await self._listener(ctx, Moved(JobAction.WITHDRAW, job, after))

    async def leave_at_door(self, ctx: Context, job_id: str, wanted: bool) -> bool:
        """The buyer wants it left at the door, or handed over after all; whether that can still be."""
        job = await self.job(ctx, job_id)
        if job is None or job.state in ENDED or job.kind is not JobKind.DELIVERY:
            return False
        if job.leave is not wanted:
            self._write(ctx, job, replace(job, leave=wanted, updated_at=ctx.now()))
            if job.state in HAS_COURIER:
                await self._tell(ctx, job, CHANGED)
        return True

    async def picked_up(self, ctx: Context, job_id: str) -> None:
        """The merchant says that the courier has it. Raises CourierError."""
        job = await self._known(ctx, job_id)
        await self._move(ctx, job, JobAction.PICK_UP, "")
        await self._tell(ctx, job, CHANGED)

    async def handed_over(self, ctx: Context, job_id: str) -> None:
        """The merchant says that it is where it belongs. Raises CourierError."""
        job = await self._known(ctx, job_id)
        await self._end(ctx, job, advance(job, JobAction.HAND_OVER, ctx.now(), proof=Proof.STAFF), "")
        await self._tell(ctx, job, CHANGED)

    async def failed(self, ctx: Context, job_id: str, why: str) -> None:
        """The merchant says that it cannot be handed over. Raises CourierError."""
        job = await self._known(ctx, job_id)
        await self._brings_back(ctx, job, why, "")
        await self._tell(ctx, job, CHANGED)

    async def job(self, ctx: Context, job_id: str) -> CourierJob | None:
        """A trip by its id."""
        row = await ctx.query(lambda connection: sql.job(connection, self._bot, job_id))
        return None if row is None else self._book.job(row)

    async def of_order(self, ctx: Context, order_id: str) -> CourierJob | None:
        """The newest trip of an order."""
        rows = await ctx.query(lambda connection: sql.of_order(connection, self._bot, order_id))
        return self._book.job(rows[0]) if rows else None

    # The search

    async def search(self, ctx: Context, job_id: str) -> None:
        """Offer a trip to who is next; when nobody is, all are asked again after a pause."""
        job = await self.job(ctx, job_id)
        if job is None or job.state is not JobState.SEARCHING:
            return
        now = ctx.now()
        free = await self._in_turn(ctx)
        busy = await self._asked_now(ctx)
        courier = next_courier(free, job, busy)
        if courier is None:
            after = self._write(ctx, job, replace(job, asked=(), rounds=job.rounds + 1, updated_at=now))
            self._search(ctx, after, now + self._pause)
            if after.rounds == WORRY:
                await self._listener(ctx, Moved(JobAction.LAPSE, job, after))
            return
        offers = job.offers + 1
        after = advance(job, JobAction.OFFER, now, within=self._offered_for, courier=courier.person, offers=offers)
        after = self._write(ctx, job, after)
        self._write_courier(ctx, courier, replace(courier, asked_at=now))
        assert after.deadline is not None
        self._at(ctx, after.deadline, LAPSE, after, key=_lapse_key(job.id), offer=offers)
        call = {"name": OFFER, "data": {"trip": job.id, "offer": offers}}
        ctx.schedules.at(now, TIMER_FIRED, call, key=f"offer/{job.id}", room=courier.room_id, person=courier.person)

    async def lapse(self, ctx: Context, job_id: str, offer: int) -> None:
        """Nobody has answered an offer: it passes on."""
        job = await self.job(ctx, job_id)
        if job is None or job.state is not JobState.OFFERED or job.offers != offer:
            return
        self._pass_on(ctx, job, JobAction.LAPSE)

    def _pass_on(self, ctx: Context, job: CourierJob, action: JobAction) -> CourierJob:
        after = self._write(ctx, job, advance(job, action, ctx.now()))
        ctx.schedules.cancel(_lapse_key(job.id))
        self._search(ctx, after, ctx.now())
        return after

    async def _in_turn(self, ctx: Context) -> list[Courier]:
        def read(connection: Any) -> list[sql.CourierRow]:
            return sql.waiting(connection, self._bot, CourierState.ONLINE.value, POOL_MAX)

        return [self._book.courier(row) for row in await ctx.query(read)]

    async def _asked_now(self, ctx: Context) -> set[str]:
        def read(connection: Any) -> list[sql.JobRow]:
            return sql.in_state(connection, self._bot, [JobState.OFFERED.value], POOL_MAX)

        return {row.courier for row in await ctx.query(read)}

    # Trips, for who brings them

    async def accept(self, ctx: Context, job_id: str, offer: int, person: str) -> CourierJob:
        """Take a trip that is offered. Raises CourierError: it is not any more, or there is another one."""
        job, courier = await self._known(ctx, job_id), await self.courier(ctx, person)
        if job.offers != offer or job.courier != person or courier is None:
            raise CourierError("courier.gone")
        if courier.job:
            raise CourierError("courier.busy")
        after = advance(job, JobAction.ACCEPT, ctx.now())
        after = self._write(ctx, job, after)
        self._write_courier(ctx, courier, replace(courier, job=job.id))
        ctx.schedules.cancel(_lapse_key(job.id))
        await self._listener(ctx, Moved(JobAction.ACCEPT, job, after, person))
        return after

    async def decline(self, ctx: Context, job_id: str, offer: int, person: str) -> None:
        """Let a trip pass on. One that is not offered any more is nobody's affair."""
        job = await self._known(ctx, job_id)
        if job.state is JobState.OFFERED and job.offers == offer and job.courier == person:
            self._pass_on(ctx, job, JobAction.DECLINE)

    async def give_up(self, ctx: Context, job_id: str, person: str) -> None:
        """Leave a trip to somebody else, before it is picked up. Raises CourierError."""
        job = (await self._known(ctx, job_id)).of_courier(person)
        after = self._pass_on(ctx, job, JobAction.GIVE_UP)
        await self._set_free(ctx, job)
        await self._listener(ctx, Moved(JobAction.GIVE_UP, job, after, person))

    async def say_code(self, ctx: Context, job_id: str, person: str, said: str) -> CourierJob | None:
        """What the merchant has told the courier at the pickup: the trip when it is right, None when it is wrong.

        Raises:
            CourierError: too many were wrong, or it is not the time for it.
        """
        job = self._at_stage(await self._known(ctx, job_id), JobState.TAKEN, person)
        counted, right = tried(job, said)
        if not right:
            self._write(ctx, job, counted)
            return None
        return await self._move(ctx, job, JobAction.PICK_UP, person)

    async def say_pin(self, ctx: Context, job_id: str, person: str, said: str) -> CourierJob | None:
        """What the buyer has told the courier, or the merchant where it is brought back: as :meth:`say_code`."""
        job = self._at_stage(await self._known(ctx, job_id), JobState.CARRIED, person)
        counted, right = tried(job, said)
        if not right:
            self._write(ctx, job, counted)
            return None
        return await self._end(ctx, job, advance(job, JobAction.HAND_OVER, ctx.now(), proof=Proof.PIN), person)

    async def show_photo(self, ctx: Context, job_id: str, person: str) -> CourierJob:
        """A photo shows where it was left. Raises CourierError: it is not the time for one."""
        job = await self.may_leave(ctx, job_id, person)
        return await self._end(ctx, job, advance(job, JobAction.HAND_OVER, ctx.now(), proof=Proof.PHOTO), person)

    async def may_leave(self, ctx: Context, job_id: str, person: str) -> CourierJob:
        """The trip, if a photo counts instead of the PIN now. Raises CourierError."""
        job = self._at_stage(await self._known(ctx, job_id), JobState.CARRIED, person)
        if not job.may_leave(ctx.now(), self.door):
            raise CourierError("courier.no_photo", minutes=self.door // timedelta(minutes=1))
        return job

    async def nobody_comes(self, ctx: Context, job_id: str, person: str) -> CourierJob:
        """The courier is at the door, and nobody comes: from the first time that they say so the time counts. Raises
        CourierError."""
        job = self._at_stage(await self._known(ctx, job_id), JobState.CARRIED, person)
        if job.waits_from is not None:
            return job
        after = self._write(ctx, job, advance(job, JobAction.WAIT, ctx.now(), waits_from=ctx.now()))
        await self._listener(ctx, Moved(JobAction.WAIT, job, after, person))
        return after

    async def fail(self, ctx: Context, job_id: str, person: str, why: str) -> CourierJob:
        """It cannot be handed over: the trip that brings it back. Raises CourierError."""
        job = self._at_stage(await self._known(ctx, job_id), JobState.CARRIED, person)
        return await self._brings_back(ctx, job, why, person)

    async def _brings_back(self, ctx: Context, job: CourierJob, why: str, by: str) -> CourierJob:
        now = ctx.now()
        fee = job.fee if self._pays_failed else Money.zero(job.fee.currency)
        after = advance(job, JobAction.FAIL, now, failure=why, fee=fee)
        back = return_of(after, self._trade.id_for(job.id, "return"), self._digits(), now, fee)
        after = self._write(ctx, job, after)
        row = self._book.job_row(back)
        ctx.store(lambda connection: sql.add(connection, row))
        courier = await self.courier(ctx, job.courier)
        if courier is not None:
            self._write_courier(ctx, courier, replace(courier, job=back.id))
        self.pay_soon(ctx, after, now)
        await self._listener(ctx, Moved(JobAction.FAIL, job, after, by, back))
        return back

    @staticmethod
    def _at_stage(job: CourierJob, state: JobState, person: str) -> CourierJob:
        if job.state is not state:
            raise CourierError("courier.job_refused", state=WORDS[job.state])
        return job.of_courier(person)

    async def _move(self, ctx: Context, job: CourierJob, action: JobAction, by: str) -> CourierJob:
        after = self._write(ctx, job, advance(job, action, ctx.now()))
        await self._listener(ctx, Moved(action, job, after, by))
        return after

    async def _end(self, ctx: Context, job: CourierJob, after: CourierJob, by: str) -> CourierJob:
        after = self._write(ctx, job, after)
        await self._set_free(ctx, job)
        self.pay_soon(ctx, after, ctx.now())
        await self._listener(ctx, Moved(JobAction.HAND_OVER, job, after, by))
        return after

    async def _set_free(self, ctx: Context, job: CourierJob) -> None:
        courier = await self.courier(ctx, job.courier)
        if courier is not None and courier.job == job.id:
            self._write_courier(ctx, courier, replace(courier, job=""))

    # What they earn

    def pay_soon(self, ctx: Context, job: CourierJob, at: datetime) -> None:
        """Have the courier paid, in the order of the trip."""
        self._at(ctx, at, PAY, job, key=f"paytrip/{job.id}")

    async def paid(self, ctx: Context, job: CourierJob) -> CourierJob:
        """The courier has got it."""
        return self._write(ctx, job, replace(job, paid=True))

    async def trips_of(self, ctx: Context, person: str, limit: int) -> list[CourierJob]:
        """What somebody has brought, or tried to, the newest first."""
        states = [JobState.DONE.value, JobState.FAILED.value]
        rows = await ctx.query(lambda connection: sql.of_courier(connection, self._bot, person, states, limit))
        return [self._book.job(row) for row in rows]

    # Couriers

    async def courier(self, ctx: Context, person: str) -> Courier | None:
        """Somebody who has signed up."""
        row = await ctx.query(lambda connection: sql.courier(connection, self._bot, person))
        return None if row is None else self._book.courier(row)

    async def couriers(
        self, ctx: Context, states: Collection[CourierState], limit: int, after: str = ""
    ) -> Sequence[Courier]:
        """Couriers in these states, by their user ids."""
        wanted = [each.value for each in states]
        rows = await ctx.query(lambda connection: sql.couriers_in(connection, self._bot, wanted, limit, after))
        return [self._book.courier(row) for row in rows]

    def apply(self, ctx: Context, courier: Courier) -> None:
        """Somebody wants to bring things; the commit raises TradeBusy when they are known already."""
        row = self._book.courier_row(courier)
        ctx.store(lambda connection: sql.apply(connection, row))

    def change_courier(self, ctx: Context, before: Courier, after: Courier) -> Courier:
        """Write what a courier says of themselves."""
        return self._write_courier(ctx, before, after)

    def act(self, ctx: Context, courier: Courier, action: CourierAction) -> Courier:
        """Something happens to a courier. Raises CourierError."""
        return self._write_courier(ctx, courier, advance_courier(courier, action))

    async def heard(self, ctx: Context, data: Mapping[str, Any]) -> None:
        """Somebody else has moved a trip (:data:`bots.commerce.couriers.dispatch.NEWS`); of a pool nobody does."""

    # What was forgotten

    async def sweep(self, ctx: Context) -> None:
        """Begin searches and payouts again that were lost, by a handler that was given up."""
        before = ctx.now() - STUCK

        def read(connection: Any) -> tuple[list[sql.JobRow], list[sql.JobRow]]:
            open_ = [JobState.SEARCHING.value, JobState.OFFERED.value]
            limit = int(before.timestamp() * 1000)
            return sql.in_state(connection, self._bot, open_, 200), sql.owed(connection, self._bot, limit, 200)

        searching, owed = await ctx.query(read)
        if not searching and not owed:
            return
        there = {each.key for each in await ctx.schedules.list()}
        for row in searching:
            job = self._book.job(row)
            if job.updated_at > before:
                continue
            if job.state is JobState.OFFERED and _lapse_key(job.id) not in there:
                self._at(ctx, ctx.now(), LAPSE, job, key=_lapse_key(job.id), offer=job.offers)
            elif job.state is JobState.SEARCHING and _search_key(job.id) not in there:
                self._search(ctx, job, ctx.now())
        for row in owed:
            if f"paytrip/{row.id}" not in there:
                self.pay_soon(ctx, self._book.job(row), ctx.now())

    # Inside

    async def _known(self, ctx: Context, job_id: str) -> CourierJob:
        job = await self.job(ctx, job_id)
        if job is None:
            raise CourierError("courier.gone")
        return job

    def _write(self, ctx: Context, before: CourierJob, after: CourierJob) -> CourierJob:
        was, row = self._book.job_row(before), self._book.job_row(after)
        ctx.store(lambda connection: sql.change(connection, was, row))
        return replace(after, revision=before.revision + 1)

    def _write_courier(self, ctx: Context, before: Courier, after: Courier) -> Courier:
        was, row = self._book.courier_row(before), self._book.courier_row(after)
        ctx.store(lambda connection: sql.change_courier(connection, was, row))
        return replace(after, revision=before.revision + 1)

    def _search(self, ctx: Context, job: CourierJob, at: datetime) -> None:
        self._at(ctx, at, SEARCH, job, key=_search_key(job.id))

    def _at(self, ctx: Context, at: datetime, name: str, job: CourierJob, *, key: str, offer: int = 0) -> None:
        call = {"name": name, "data": {"trip": job.id, "offer": offer}}
        ctx.schedules.at(at, TIMER_FIRED, call, key=key, room=f"~trips/{job.id}", person=job.courier or ctx.sender)

    async def _tell(self, ctx: Context, job: CourierJob, name: str) -> None:
        """Have the courier of a trip told something in their own chat, in their language."""
        courier = await self.courier(ctx, job.courier)
        if courier is not None:
            call = {"name": name, "data": {"trip": job.id}}
            ctx.schedules.at(
                ctx.now(), TIMER_FIRED, call, key=f"{name}/{job.id}", room=courier.room_id, person=courier.person
            )


def minimum(fee: Money, least: Money | None) -> Money:
    """What a courier gets of what the delivery cost: not less than the operator promises."""
    return fee if least is None or least.currency != fee.currency else max(fee, least)


def _digits() -> str:
    return "".join(secrets.choice("0123456789") for _ in range(PIN_DIGITS))


def _search_key(job_id: str) -> str:
    return f"trip/{job_id}"


def _lapse_key(job_id: str) -> str:
    return f"lapse/{job_id}"
