"""Between orders and couriers: an accepted order gets a trip, and what happens to the trip happens to the order.

What a courier does goes on to the order; what the staff does, to the trip. Who has done it says which way it goes, so
that nothing comes back to where it began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from bots.commerce import telling
from bots.commerce.buying.following import Following, ShownOrder
from bots.commerce.couriers.dispatch import Moved, Trip
from bots.commerce.couriers.keeping import CourierKeeping
from bots.commerce.couriers.pool import WORRY, minimum
from bots.commerce.orders import Happened, Orders
from bots.domain import couriers
from bots.domain.couriers import CourierJob, JobAction, JobKind, JobState, masked
from bots.domain.merchants import Merchant
from bots.domain.money import Money
from bots.domain.orders import ENDED, MONEY, Action, Fulfilment, MoneyGoal, Order, OrderState
from bots.domain.payments import ENDED as PAYMENT_ENDED
from bots.domain.payments import PaymentState
from bots.domain.places import Place, distance_m
from bots.framework import Attachment, Context, Dialog
from bots.framework.own_chat import own_chat

__all__ = ["Bringing"]

AT_DOOR: Final = "at door"
IN_HAND: Final = "in hand"
"""What a buyer can do with an order that is being brought."""
SHOWS_PIN: Final = frozenset({JobState.TAKEN, JobState.CARRIED})


class Bringing(CourierKeeping, Following):
    """For the plugin to inherit. Its constructor sets :attr:`pool` and :attr:`keeping`.

    Attributes:
        least: what a trip earns at least, by currency.
    """

    keeping: Orders
    least: dict[str, Money]

    # From the order to the trip

    async def bring_order(self, ctx: Context, what: Happened) -> None:
        """Something happened to an order: its trip follows. A hook of the orders."""
        order = what.after
        if order.delivery.kind is not Fulfilment.COURIER or what.merchant.auto_accept:
            return
        if what.action is Action.ACCEPT:
            await self.pool.request(ctx, await self._trip_for(ctx, what))
            return
        job = await self.pool.of_order(ctx, order.id)
        if job is None or (what.by and what.by == job.courier):
            return  # the courier did it
        if what.action is Action.MAKE_READY:
            await self.pool.ready(ctx, job.id, ctx.now())
        elif what.action is Action.DISPATCH:
            await self._trip_dispatched(ctx, job)
        elif what.action is Action.DELIVER and job.state is JobState.CARRIED and job.kind is JobKind.DELIVERY:
            await self.pool.handed_over(ctx, job.id)
        elif what.action is Action.FAIL and job.state is JobState.CARRIED and job.kind is JobKind.DELIVERY:
            await self.pool.failed(ctx, job.id, order.reason)
        elif what.action in {Action.BRING_BACK, Action.TRY_AGAIN}:
            if job.kind is JobKind.RETURN and job.state is JobState.CARRIED:
                await self.pool.handed_over(ctx, job.id)
            if what.action is Action.TRY_AGAIN:
                await self.pool.request(ctx, await self._trip_for(ctx, what), again=job.id)
        elif order.state in ENDED:
            await self.pool.withdraw(ctx, job.id, what.action.value)

    async def _trip_dispatched(self, ctx: Context, job: CourierJob) -> None:
        """The staff says that it is on its way: the courier has it, or they bring it themselves."""
        if job.state is JobState.TAKEN:
            await self.pool.picked_up(ctx, job.id)
        else:
            await self.pool.withdraw(ctx, job.id, "merchant")

    async def _trip_for(self, ctx: Context, what: Happened) -> Trip:
        order, merchant = what.after, what.merchant
        assert order.delivery.place is not None, "what a courier brings goes to a place"
        shown = await ctx.services.rooms.display_name(order.room_id, order.buyer)
        fee = minimum(_fee_of(order, merchant), self.least.get(order.currency))
        ready = order.prepared_at or ctx.now() + timedelta(minutes=merchant.prepare)
        if order.delivery.wanted is not None:
            ready = max(ready, order.delivery.wanted - timedelta(minutes=merchant.prepare))
        return Trip(
            order=order.id,
            number=order.number,
            merchant=merchant.id,
            seller=merchant.name,
            account=merchant.slug,
            pickup=merchant.where or Place(merchant.name),
            dropoff=order.delivery.place,
            buyer=masked(shown or order.buyer[1:].partition(":")[0]),
            never=(order.buyer,),
            fee=fee,
            tip=order.tip,
            ready_at=ready,
            note=order.note,
        )

    # From the trip to the order

    async def trip_moved(self, ctx: Context, moved: Moved) -> None:
        """Something happened to a trip: its order follows, and people are told. The listener of the pool."""
        job = moved.after
        order = await self.keeping.get(ctx, job.order)
        if order is None:
            return
        if moved.action is JobAction.ACCEPT:
            await self._trip_has_courier(ctx, order, job)
        elif moved.action is JobAction.GIVE_UP:
            await self._trip_to_staff(ctx, order, "given up", job)
        elif moved.action is JobAction.LAPSE and job.rounds == WORRY:
            await self._trip_to_staff(ctx, order, "nobody", job)
        elif moved.action is JobAction.WITHDRAW and moved.stopped:
            await self._trip_to_staff(ctx, order, "stopped", job)
        elif moved.action is JobAction.WAIT:
            await self._trip_waits(ctx, order, job)
        elif moved.action is JobAction.FAIL and moved.back is not None:
            await self._trip_to_staff(ctx, order, "back", moved.back)
        if moved.photo is not None:
            await self._photo_to_buyer(ctx, order, moved.photo)
        if moved.by:
            await self._trip_order(ctx, order, moved)

    async def _trip_order(self, ctx: Context, order: Order, moved: Moved) -> None:
        job, by = moved.after, moved.by
        if moved.action is JobAction.PICK_UP and order.state in {OrderState.ACCEPTED, OrderState.READY}:
            courier = await self.pool.courier(ctx, by)
            name = "" if courier is None else courier.name
            await self.keeping.act(ctx, order, Action.DISPATCH, by=by, courier=name)
        elif moved.action is JobAction.FAIL and order.state is OrderState.DISPATCHED:
            say = telling.staff_words(ctx, await self._trip_merchant(ctx, order))
            await self.keeping.act(ctx, order, Action.FAIL, by=by, reason=say.t(job.failure))
        elif moved.action is JobAction.HAND_OVER and job.kind is JobKind.RETURN:
            if order.state is OrderState.FAILED:
                await self.keeping.act(ctx, order, Action.BRING_BACK, by=by)
        elif moved.action is JobAction.HAND_OVER and order.state in {OrderState.DISPATCHED, OrderState.FAILED}:
            await self.keeping.act(ctx, order, Action.DELIVER, by=by)

    async def may_pay(self, ctx: Context, job: CourierJob) -> bool:
        """Whether what a trip earned can be paid now. What a buyer is to get back goes first: it is the merchant's
        account that pays both."""
        order = await self.keeping.get(ctx, job.order)
        if order is None or MONEY[order.state] is MoneyGoal.TAKEN:
            return order is None or order.state is not OrderState.FAILED
        payment = await self.keeping.cashier.payment(ctx, order.payment) if order.payment else None
        return payment is None or payment.state is PaymentState.REFUNDED or payment.state in PAYMENT_ENDED

    # What people are told

    async def _trip_has_courier(self, ctx: Context, order: Order, job: CourierJob) -> None:
        courier = await self.pool.courier(ctx, job.courier)
        if courier is None:
            return
        say = await telling.buyer_words(ctx, order)
        words = say.t(
            "{courier} brings order {number} ({vehicle}). When you have it in your hands, tell them this PIN: {pin}",
            courier=courier.name,
            number=order.number,
            vehicle=courier.vehicle,
            pin=job.pin,
        )
        # Where the order was made others may read; the PIN is the buyer's alone.
        ctx.say(words, room_id=await own_chat(ctx, order.buyer), notice=False)
        merchant = await self._trip_merchant(ctx, order)
        if merchant.room_id:
            staff = telling.staff_words(ctx, merchant)
            words = staff.t(
                "{courier} ({vehicle}) fetches order {number}. When you hand it over, tell them this code: {code}",
                courier=courier.name,
                vehicle=courier.vehicle,
                number=order.number,
                code=job.pickup_code,
            )
            ctx.say(words, room_id=merchant.room_id)

    async def _trip_waits(self, ctx: Context, order: Order, job: CourierJob) -> None:
        say = await telling.buyer_words(ctx, order)
        words = say.t(
            "The courier is at your door with order {number}, and nobody comes. Your PIN: {pin}. At {time} they may "
            "leave it there, with a photo; “order {number}” says so at once.",
            number=order.number,
            pin=job.pin,
            time=(job.waits_from or ctx.now()) + self.pool.door,
        )
        ctx.say(words, room_id=await own_chat(ctx, order.buyer), notice=False)

    async def _trip_to_staff(self, ctx: Context, order: Order, what: str, job: CourierJob) -> None:
        merchant = await self._trip_merchant(ctx, order)
        if not merchant.room_id:
            return
        say = telling.staff_words(ctx, merchant)
        words = {
            "given up": say.t("The courier cannot fetch order {number}: I ask another one.", number=order.number),
            "nobody": say.t(
                "No courier is free for order {number} yet. I go on asking; if you bring it yourselves, say that it is "
                "on its way.",
                number=order.number,
            ),
            "stopped": say.t(
                "The operator has ended the trip of order {number}, and nobody else is asked: please bring it "
                "yourselves, or call it off.",
                number=order.number,
            ),
            "back": say.t(
                "Order {number} comes back to you. When you have it, tell the courier this code: {code}",
                number=order.number,
                code=job.pin,
            ),
        }
        ctx.say(words[what], room_id=merchant.room_id, notice=False)

    async def photo_left(self, ctx: Context, job: CourierJob, photo: Attachment) -> None:
        """Show the buyer where it was left."""
        order = await self.keeping.get(ctx, job.order)
        if order is not None:
            await self._photo_to_buyer(ctx, order, _plain(photo))

    async def _photo_to_buyer(self, ctx: Context, order: Order, content: Mapping[str, object]) -> None:
        say = await telling.buyer_words(ctx, order)
        room_id = await own_chat(ctx, order.buyer)
        ctx.send(content, room_id=room_id)
        ctx.say(say.t("The courier has left order {number} there.", number=order.number), room_id=room_id)

    async def _trip_merchant(self, ctx: Context, order: Order) -> Merchant:
        found = await self.market.sellers.get(ctx, order.merchant)
        assert found is not None, "an order has its merchant"
        return found

    # Where it is

    async def _shown_order(self, ctx: Context, order_id: str) -> ShownOrder | None:
        """An order in its buyer's words, with where the courier is."""
        shown = await super()._shown_order(ctx, order_id)
        job = None if shown is None else await self.pool.of_order(ctx, order_id)
        if shown is None or job is None or job.state in couriers.ENDED or job.kind is JobKind.RETURN:
            return shown
        lines = [shown.text, ctx.t("Courier: {state}", state=ctx.t(couriers.WORDS[job.state]))]
        if job.state in SHOWS_PIN:
            courier = await self.pool.courier(ctx, job.courier)
            if courier is not None:
                lines.append(ctx.t("{courier} brings it ({vehicle}).", courier=courier.name, vehicle=courier.vehicle))
            lines.append(ctx.t("Your PIN, for when you have it in your hands: {pin}", pin=job.pin))
        if job.leave:
            lines.append(ctx.t("It is left at your door; the courier sends a photo of it."))
        actions = (*shown.actions, IN_HAND if job.leave else AT_DOOR)
        return ShownOrder(shown.number, "\n".join(lines), actions, shown.case)

    def order_labels(self, d: Dialog) -> dict[str, str]:
        """What a buyer can do with an order, as they read it."""
        return {
            **super().order_labels(d),
            AT_DOOR: d.t("Leave it at my door"),
            IN_HAND: d.t("Hand it to me after all"),
        }

    async def _act(self, ctx: Context, order_id: str, what: str) -> None:
        if what not in {AT_DOOR, IN_HAND}:
            await super()._act(ctx, order_id, what)
            return
        order = await self.keeping.get(ctx, order_id)
        job = None if order is None or order.buyer != ctx.sender else await self.pool.of_order(ctx, order_id)
        if job is None or not await self.pool.leave_at_door(ctx, job.id, what == AT_DOOR):
            ctx.say(ctx.t("That is too late: nobody is bringing it any more."))
        elif what == AT_DOOR:
            ctx.say(
                ctx.t("The courier leaves it at your door, and I show you their photo. Nobody asks you for the PIN.")
            )
        else:
            ctx.say(ctx.t("The courier hands it to you, and asks for your PIN."))


def _fee_of(order: Order, merchant: Merchant) -> Money:
    """What a delivery earns its courier: what the buyer pays for it. Where the restaurant gives it for nothing, as its
    zone says, it is the zone's fee."""
    place, fee = order.delivery.place, order.delivery.fee
    zone = None if fee or place is None or place.point is None else merchant.zone_of(place.point)
    if zone is None or place is None or place.point is None:
        return fee
    begin = None if merchant.where is None else merchant.where.point
    metres = 0.0 if begin is None else distance_m(begin, place.point)
    return replace(zone, free_from=None).fee_for(order.goods, metres)


def _plain(photo: Attachment) -> dict[str, object]:
    """The file alone: no relation to other messages, and no words of the courier's."""
    kept = {key: photo.content[key] for key in ("url", "file", "info") if key in photo.content}
    return {"msgtype": "m.image", "body": "photo", **kept}
