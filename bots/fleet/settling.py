"""The money of trips, brought to where their state says: asked for, held, taken, given back; and what drivers get.

Each call may be repeated for ever: payments are found by their keys, which are in the trip before they are asked for,
and what is taken is always brought to :attr:`Trip.due`, whatever was taken or given back before.

A way that costs more is a second hold, of the difference: the rider confirms only what comes on top, their first hold
stays untouched, and nobody needs to have the whole fare twice. At the end what is due is taken of the holds in order,
and the rest of each goes back.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from bots.domain.invoices import Line
from bots.domain.money import Money
from bots.domain.payments import ENDED, Payment, PaymentRefused, PaymentState
from bots.domain.trips import ENDED as TRIP_ENDED
from bots.domain.trips import (
    Hold,
    Trip,
    TripAction,
    TripMoney,
    TripRefused,
    TripState,
    Way,
)
from bots.fleet.news import News, TripNews
from bots.fleet.trip_book import TripBook
from bots.framework import Context
from bots.framework.payment_changes import PaymentChange
from bots.store import trips as sql

if TYPE_CHECKING:
    from bots.payments.merchants import MerchantPayouts, Merchants

__all__ = ["Settling"]

log = logging.getLogger(__name__)

HOLD: Final = timedelta(days=7)
"""Money that is held goes back by itself after so long, whatever becomes of the trip."""
SHORTEST: Final = timedelta(seconds=1)
AGAIN: Final = timedelta(minutes=10)
"""When money is tried to be moved again that could not be."""
BACK: Final = "trip"
"""Why money went back, as the payment keeps it: its trip did not take place, or cost less."""
PAID: Final = frozenset({PaymentState.PAID, PaymentState.PARTLY_REFUNDED, PaymentState.REFUNDED})


@dataclass(slots=True)
class _Moved:
    """What an attempt has come to: whether all is where it belongs."""

    done: bool = True


class Settling(TripBook):
    """For :class:`bots.fleet.trips.Trips` to inherit."""

    # Asked for by people

    async def tip(self, ctx: Context, trip: Trip, amount: Money) -> Trip:
        """The rider gives a tip: a payment of its own, all of which is the driver's.

        Raises TripRefused: before the end, or where there was one already (one that was not confirmed does not count).
        """
        if trip.client or trip.state is not TripState.COMPLETED or not trip.driver or amount.minor <= 0:
            raise TripRefused("trip.no_tip")
        if trip.tip is not None:
            raise TripRefused("trip.tipped")
        return self.change(
            ctx, trip, "tip", trip.rider, unsettled=True, tip=amount, tip_key=f"{trip.id}/tip/{ctx.now_ms()}"
        )

    async def give_back(self, ctx: Context, trip: Trip, amount: Money, by: str, reason: str) -> Trip:
        """By the operator: of what is due so much less, whether it was taken or is still held. What the driver earns
        stays. Raises TripRefused: the trip has not ended, or there is not so much."""
        due = trip.due
        if trip.client or trip.state not in TRIP_ENDED or due is None or trip.money is not TripMoney.TAKEN:
            raise TripRefused("trip.unpaid")
        if amount.minor <= 0 or amount > due:
            raise TripRefused("trip.too_much", left=due)
        after = self.change(ctx, trip, "give back", by, unsettled=True, due=due - amount, reason=reason or trip.reason)
        await self.tell(ctx, TripNews(News.GIVEN_BACK, trip, after, by=by, amount=amount))
        return after

    async def paid_by_client(self, ctx: Context, trip: Trip) -> Trip:
        """The client has paid the driver of its trip (:attr:`Trip.owed`)."""
        if not trip.owed:
            return trip
        after = self.change(ctx, trip, "paid", owed=False)
        await self.tell(ctx, TripNews(News.PAID_OUT, trip, after, amount=trip.earning))
        return after

    # By itself

    async def is_held(self, ctx: Context, trip: Trip) -> bool:
        """Whether the rider has confirmed the first payment."""
        payment = await self._merchants.by_key(ctx, trip.holds[0].key) if trip.holds else None
        return payment is not None and payment.state is PaymentState.HELD

    async def payment_changed(self, ctx: Context, change: PaymentChange) -> None:
        """A payment has changed in the wallet: the trip follows, or its money is brought where it belongs."""
        payment = await self._merchants.payment(ctx, change.payment)
        if change.about != "state" or payment is None:
            return
        trip = await self.get(ctx, payment.key.removeprefix(f"bot:{ctx.instance}:").partition("/")[0])
        if trip is not None and not trip.client:
            self.settle_soon(ctx, trip)

    async def settle(self, ctx: Context, trip_id: str) -> None:
        """Bring the money of a trip where its state says. The timer "fleet_settle"; may be repeated for ever."""
        trip = await self.get(ctx, trip_id)
        if trip is None:
            return
        if trip.client:
            self._settled(ctx, trip)
            return
        moved = _Moved()
        await self._bring(ctx, [(key, 0) for key in trip.dropped], trip, moved)
        goal = trip.money
        if goal is TripMoney.ASKED:
            await self._ask_for_trip(ctx, trip)
        elif goal is TripMoney.HELD:
            await self._while_held(ctx, trip, moved)
        elif goal is TripMoney.BACK:
            await self._bring(ctx, [(each.key, 0) for each in trip.holds], trip, moved)
            if trip.owed:  # stopped by the operator, who pays
                trip = await self._pay(ctx, trip, moved)
            await self._end(ctx, trip, moved)
        elif goal is TripMoney.TAKEN:
            await self._take(ctx, trip, moved)

    @property
    def _merchants(self) -> Merchants:
        return self.fleet.merchants

    @property
    def _payouts(self) -> MerchantPayouts:
        return self.fleet.payouts

    def _settled(self, ctx: Context, trip: Trip) -> None:
        ctx.store(lambda connection: sql.settled(connection, trip.id, trip.revision))

    # Before and during the trip

    async def _hold(self, ctx: Context, trip: Trip, hold: Hold, within: timedelta) -> Payment | PaymentRefused:
        tax = Decimal(0) if trip.quote is None else Decimal(trip.quote.terms.tax.rate) / 10_000
        line = Line(trip.memo, hold.amount, tax=tax)
        found = await self._merchants.by_key(ctx, hold.key)
        if found is not None:
            return found
        try:
            return await self._merchants.hold(
                ctx, trip.rider, [line], key=hold.key, memo=trip.memo, expires=max(within, SHORTEST), accept_within=HOLD
            )
        except PaymentRefused as error:
            return error

    async def _ask_for_trip(self, ctx: Context, trip: Trip) -> None:
        within = self.fleet.terms.pay if trip.deadline is None else trip.deadline - ctx.now()
        payment = await self._hold(ctx, trip, trip.holds[0], within)
        if isinstance(payment, PaymentRefused):
            after = await self.act(ctx, trip, TripAction.DECLINE_PAYMENT)
            await self._refused(ctx, after, payment)
            return
        if payment.state is PaymentState.PROPOSED:
            # What was said of it is in one commit with the payment's id: without the id nothing was said.
            if not trip.payment:
                ctx.store(lambda connection: sql.asked(connection, trip.id, payment.id))
                await self.tell(ctx, TripNews(News.PAYMENT_ASKED, trip, trip, amount=payment.amount))
            return
        if not trip.payment:
            ctx.store(lambda connection: sql.asked(connection, trip.id, payment.id))
        ended = payment.state in ENDED
        await self.act(ctx, trip, TripAction.DECLINE_PAYMENT if ended else TripAction.SEARCH)

    async def _while_held(self, ctx: Context, trip: Trip, moved: _Moved) -> None:
        """A trip under way: is its money still there, and is there another way to be paid for?"""
        for hold in trip.holds:
            payment = await self._merchants.by_key(ctx, hold.key)
            if payment is None or payment.state in ENDED:
                log.error("the money of a trip is gone, and it goes on", extra={"trip": trip.id})
                if trip.state is not TripState.UNDER_WAY and hold is trip.holds[0]:
                    await self.act(ctx, trip, TripAction.CANCEL, reason="payment")
                    return
        if trip.proposed is not None:
            await self._ask_for_way(ctx, trip, trip.proposed)
            return
        await self._end(ctx, trip, moved)

    async def _ask_for_way(self, ctx: Context, trip: Trip, way: Way) -> None:
        more = (way.hold or way.quoted) - trip.held
        payment = await self._hold(ctx, trip, Hold(way.key, more), self.fleet.terms.change)
        if isinstance(payment, PaymentRefused):
            after = await self.drop_change(ctx, trip)
            await self._refused(ctx, after, payment)
        elif payment.state is PaymentState.HELD:
            await self._changed(ctx, trip, way, trip.rider, holds=(*trip.holds, Hold(way.key, more)))
        elif payment.state in ENDED:
            await self.drop_change(ctx, trip)
        elif not way.told:
            after = self.change(ctx, trip, "asked", proposed=replace(way, told=True))
            await self.tell(ctx, TripNews(News.PAYMENT_ASKED, trip, after, amount=more))

    async def _refused(self, ctx: Context, trip: Trip, why: PaymentRefused) -> None:
        log.info("a trip is not paid", extra={"trip": trip.id, "reason": why.code})
        news = TripNews(News.PAYMENT_REFUSED, trip, trip, refused=why.msgid, values=why.values)
        await self.tell(ctx, news)

    # After the trip

    async def _take(self, ctx: Context, trip: Trip, moved: _Moved) -> None:
        """What is due is taken; later than a dispute could still leave it held."""
        assert trip.due is not None and trip.ended_at is not None, "what ended has a time and an amount"
        if trip.disputed:
            self._settled(ctx, trip)  # the operator's decision goes on with it
            return
        begin = trip.ended_at + self.fleet.terms.capture
        if ctx.now() < begin:
            self.settle_soon(ctx, trip, begin)
            await self._tip(ctx, trip)
            return
        left, targets = trip.due.minor, []
        for hold in trip.holds:
            targets.append((hold.key, min(left, hold.amount.minor)))
            left -= targets[-1][1]
        await self._bring(ctx, targets, trip, moved)
        if moved.done and trip.taken is None:
            # Not what has moved just now: a crash may have come between that and this.
            before, trip = trip, self.change(ctx, trip, "taken", taken=trip.due)
            if trip.due:
                await self.tell(ctx, TripNews(News.TAKEN, before, trip, amount=trip.due))
        trip = await self._tip(ctx, trip)
        if moved.done and trip.owed:
            trip = await self._pay(ctx, trip, moved)
        await self._end(ctx, trip, moved)

    async def _end(self, ctx: Context, trip: Trip, moved: _Moved) -> None:
        if moved.done:
            self._settled(ctx, trip)
        else:
            self.settle_soon(ctx, trip, ctx.now() + AGAIN)

    async def _bring(self, ctx: Context, targets: Sequence[tuple[str, int]], trip: Trip, moved: _Moved) -> None:
        """Have so much of each payment taken, and no more: what is held is captured or voided, what was taken beyond it
        is refunded."""
        for key, wanted in targets:
            payment = await self._merchants.by_key(ctx, key)
            if payment is None or (payment.state in ENDED and not wanted):
                continue
            try:
                await self._bring_one(ctx, payment, key, wanted)
            except PaymentRefused as error:
                log.error("the money of a trip cannot be moved", extra={"trip": trip.id, "reason": error.code})
                # What went back by itself in the meantime does not come again.
                now = await self._merchants.payment(ctx, payment.id)
                moved.done &= now is not None and now.state in ENDED

    async def _bring_one(self, ctx: Context, payment: Payment, key: str, wanted: int) -> None:
        currency = payment.amount.currency
        if payment.state in PAID:
            more = (payment.captured - payment.refunded).minor - wanted
            if more > 0:
                # The key is made of what is to be left: the same again is the same refund.
                await self._merchants.refund(
                    ctx, payment.id, Money(more, currency), reason=BACK, key=f"{key}/left/{wanted}"
                )
        elif payment.state in ENDED:
            log.error("the money of a trip is not there any more", extra={"payment": payment.id})
        elif wanted and payment.state is PaymentState.HELD:
            await self._merchants.capture(ctx, payment.id, Money(wanted, currency))
        else:
            await self._merchants.void(ctx, payment.id, BACK)

    async def _pay(self, ctx: Context, trip: Trip, moved: _Moved) -> Trip:
        """The driver gets what they have earned: once, however often it is tried."""
        try:
            await self._payouts.pay(ctx, trip.driver, trip.earning, key=f"{trip.id}/earning", memo=trip.number)
        except PaymentRefused as error:
            log.warning("a driver could not be paid yet", extra={"trip": trip.id, "reason": error.code})
            moved.done = False
            return trip
        after = self.change(ctx, trip, "paid", owed=False)
        await self.tell(ctx, TripNews(News.PAID_OUT, trip, after, amount=trip.earning))
        return after

    async def _tip(self, ctx: Context, trip: Trip) -> Trip:
        """The tip: asked of the rider, and given to the driver."""
        if trip.tip is None or trip.tipped:
            return trip
        payment = await self._merchants.by_key(ctx, trip.tip_key)
        try:
            if payment is None:
                line = Line(trip.memo, trip.tip)
                payment = await self._merchants.invoice(
                    ctx, trip.rider, [line], key=trip.tip_key, memo=trip.memo, expires=self.fleet.terms.pay
                )
            if payment.state in ENDED:
                return self.change(ctx, trip, "no tip", tip=None, tip_key="")
            if payment.state not in PAID:
                return trip
            await self._payouts.pay(ctx, trip.driver, trip.tip, key=f"{trip.tip_key}/driver", memo=trip.number)
        except PaymentRefused as error:
            log.warning("a tip was not paid", extra={"trip": trip.id, "reason": error.code})
            if payment is None:
                after = self.change(ctx, trip, "no tip", tip=None, tip_key="")
                await self._refused(ctx, after, error)
                return after
            self.settle_soon(ctx, trip, ctx.now() + AGAIN)
            return trip
        after = self.change(ctx, trip, "tipped", tipped=True)
        await self.tell(ctx, TripNews(News.TIPPED, trip, after, amount=trip.tip))
        return after

    # What the whole has

    async def act(self, ctx: Context, trip: Trip, action: TripAction, **more: Any) -> Trip:
        """As of :class:`bots.fleet.trips.Trips`."""
        raise NotImplementedError

    async def drop_change(self, ctx: Context, trip: Trip, by: str = "") -> Trip:
        """As of :class:`bots.fleet.trips.Trips`."""
        raise NotImplementedError

    async def _changed(self, ctx: Context, trip: Trip, way: Way, by: str, **changes: Any) -> Trip:
        raise NotImplementedError
