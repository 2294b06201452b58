"""Orders: drafted, placed, moved from state to state, their money brought after them.

The state is stored first, in one commit with what people are told; then the timer "settle" brings the payment where
the state says, however often that is tried (:mod:`bots.commerce.cashier`). Everything is compare-and-set: who was
slower finds that in the commit, and the handler is run again on how things stand then.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from appservice.clock import to_ms
from bots.commerce import records, telling
from bots.commerce.cashier import Brought, Cashier, Purse
from bots.commerce.coupons import CAME_TO_NOTHING, Coupons
from bots.commerce.drafting import Drafting
from bots.commerce.hand import Reader
from bots.commerce.order_book import OrderBook, Step
from bots.commerce.sellers import Sellers
from bots.commerce.shelf import Shelf
from bots.commerce.telling import Happened
from bots.commerce.trade import Trade
from bots.domain.carts import Cart
from bots.domain.merchants import Merchant
from bots.domain.money import Money
from bots.domain.orders import (
    ENDED,
    MONEY,
    PIN_TRIES,
    STOCK_SOLD,
    Action,
    Delivery,
    Fulfilment,
    MoneyGoal,
    Order,
    OrderRefused,
    OrderState,
    advance,
    amended,
)
from bots.domain.payments import ENDED as PAYMENT_ENDED
from bots.domain.payments import PaymentState
from bots.framework import Context, Setup
from bots.framework.context import TIMER_FIRED
from bots.framework.payment_changes import PaymentChange
from bots.store import coupons as coupon_sql
from bots.store import orders as sql
from bots.store import stock as stock_sql
from bots.store.orders import OrderRow, StepRow
from bots.store.stock import Claim, StockKey

__all__ = ["Happened", "Hook", "Orders", "Step", "Terms", "order_room"]

log = logging.getLogger(__name__)

SETTLE: Final = "settle"
DEADLINE: Final = "order_deadline"
BY_ITSELF: Final = "order_by_itself"
LATE: Final = timedelta(minutes=1)
"""A deadline that was missed by so much was lost."""
UNSETTLED: Final = timedelta(minutes=10)
"""Money that was to move so long ago, and has not, is moved again."""
SWEPT_MAX: Final = 100
AGAIN: Final = timedelta(minutes=10)
"""When the money of an order is tried to be moved again that could not be."""
DEMO_STEP: Final = timedelta(seconds=5)
"""Between two things that happen by themselves to an order of a merchant that accepts by itself."""
OPEN: Final = frozenset(OrderState) - ENDED

Hook = Callable[[Context, Happened], Awaitable[None]]
"""Told of every action, in the handler that does it: what it does through the context is in the same commit."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long orders wait.

    Attributes:
        pay: for the buyer's confirmation in the wallet.
        agree: for the buyer's answer to an amendment.
        conclude: after the delivery, for complaints.
        answer: for the merchant's answer; None: what each merchant says.
    """

    pay: timedelta = timedelta(minutes=15)
    agree: timedelta = timedelta(minutes=10)
    conclude: timedelta = timedelta(days=14)
    answer: timedelta | None = None


class Orders(OrderBook):
    """One for a plugin."""

    def __init__(self, trade: Trade, setup: Setup, sellers: Sellers, shelf: Shelf, terms: Terms | None = None) -> None:
        super().__init__(trade, setup.instance)
        self.terms = terms or Terms()
        self.cashier = Cashier(setup)
        self.split: Purse | None = None
        """Where the money of orders is that a group splits."""
        self.hooks: list[Hook] = []
        """Told of every action, in order: see :data:`Hook`."""
        self.tell: Hook = telling.tell
        """Tells buyer and staff."""
        self._sellers = sellers
        self._drafting = Drafting(trade, setup.instance, sellers, shelf)
        self._coupons = Coupons(trade)

    # Placing

    async def draft(
        self,
        reader: Reader,
        cart: Cart,
        buyer: str,
        room_id: str,
        deliveries: Mapping[str, Delivery],
        *,
        checkout: str,
        coupons: Mapping[str, str] | None = None,
        tip: Money | None = None,
        gift: str = "",
        note: str = "",
        split: str = "",
        needs_open: bool = False,
    ) -> list[Order]:
        """The orders that a cart makes, one of each merchant, priced now. Nothing is stored.

        Args:
            buyer: the user id of who pays.
            room_id: where the buyer is told.
            deliveries: how, by the merchant's id, with the fee that the buyer has seen.
            checkout: a ULID, the same in every attempt: so are the orders' ids, and they are placed once.
            coupons: codes by the merchant's id.
            tip: where there is one merchant.
            split: the group whose people pay their shares.
            needs_open: whether merchants are to be open then: now, or when it is wanted.

        Raises:
            CartError, CatalogueError, MerchantError, CouponError, OrderRefused: it cannot be, or is not as the buyer
                saw it (a price that was :meth:`bots.domain.carts.Cart.seen`, a fee, the stock); the sentence says why.
        """
        return await self._drafting.draft(
            reader,
            cart,
            buyer,
            room_id,
            deliveries,
            checkout=checkout,
            coupons=coupons or {},
            tip=tip,
            gift=gift,
            note=note,
            split=split,
            needs_open=needs_open,
        )

    async def place(self, ctx: Context, orders: Sequence[Order]) -> list[Order]:
        """Store drafted orders, hold their stock, use their coupons and have the buyer asked to pay; one commit.

        The commit raises StockGone or TradeBusy when that cannot be any more: the handler is run again, drafts again,
        and is told why. So draft in the same handler (in a dialog: in the same ``d.do``). Placed twice is placed once.
        """
        now = ctx.now_ms()
        placed = [replace(each, deadline=ctx.now() + self.terms.pay, version=1) for each in orders]
        claims = {each.id: await self._drafting.claims(ctx, each) for each in placed}
        rows = [records.order_row(self._trade, self.bot, each, settled=False) for each in placed]

        def write(connection: Connection) -> None:
            new = [
                row
                for row in rows
                if sql.add(connection, row, StepRow(row.id, row.version, "place", row.state, row.buyer, now))
            ]
            stock_sql.hold(connection, {row.id: claims[row.id] for row in new}, now)
            for row in sorted(new, key=lambda each: (each.merchant, each.coupon)):
                if row.coupon:
                    coupon_sql.use(connection, row.merchant, row.coupon, row.id, row.buyer, now)

        ctx.store(write)
        for each in placed:
            self.settle_soon(ctx, each)
            self._wait(ctx, each)
        return placed

    # Moving on

    async def act(
        self,
        ctx: Context,
        order: Order,
        action: Action,
        *,
        within: timedelta | None = None,
        by: str = "",
        spoilt: bool = False,
        **changes: Any,
    ) -> Order:
        """Have something happen to an order: state, stock, people told, deadlines and the order to move its money, in
        the commit of the handler at hand.

        Args:
            within: how long the new state waits for an answer, instead of what :class:`Terms` and the merchant say.
            by: the user id of who does it; they are not told. Empty: it happens by itself.
            spoilt: what was sold does not go back to the shelf where the order comes to nothing.
            changes: fields of the order that change with it.

        Raises:
            OrderRefused: it does not follow on the state; say how the order stands.
        """
        merchant = await self.merchant(ctx, order)
        wait = self._within(order, action, merchant) if within is None else within
        after = advance(order, action, ctx.now(), within=wait, **{"version": order.version + 1, **changes})
        self._write(ctx, order, after, action, by, spoilt=spoilt)
        self._wait(ctx, after)
        if MONEY[after.state] is not MONEY[order.state] or action is Action.AGREE:
            self.settle_soon(ctx, after)
        if merchant.auto_accept and after.state in OPEN:
            self._by_itself(ctx, after)
        what = Happened(order, after, action, merchant, by, self.pickup_pin(after))
        await self.tell(ctx, what)
        for hook in self.hooks:
            await hook(ctx, what)
        self._count(ctx, order, after, action)
        return after

    async def amend(self, ctx: Context, order: Order, quantities: Mapping[int, int], by: str) -> Order:
        """The merchant cannot do it all: of some lines (by number, from 1) there are only so many. The buyer is asked.

        Raises:
            OrderRefused: nothing would be left, nothing changes, or the order is past that.
        """
        lines = amended(order, quantities)
        goods = sum((line.total for line in lines), Money.zero(order.currency))
        discount = await self._discount(ctx, order, goods)
        return await self.act(ctx, order, Action.AMEND, by=by, lines=lines, was=order.lines, discount=discount)

    def pickup_pin(self, order: Order) -> str:
        """What a buyer says at the counter when they fetch an order; empty: it is not fetched. It is made of the key of
        the installation, and lies nowhere."""
        if order.delivery.kind is not Fulfilment.PICKUP:
            return ""
        return f"{int(self._trade.digest('pickup', order.id)[:12], 16) % 10_000:04d}"

    async def say_pin(self, ctx: Context, order: Order, said: str, by: str) -> bool:
        """Whether a PIN that somebody has told at the counter is that of the order; a wrong one is counted.

        Raises:
            OrderRefused: too many were wrong.
        """
        if order.pin_tries >= PIN_TRIES:
            raise OrderRefused("order.pin_locked", number=order.number)
        pin = self.pickup_pin(order)
        if pin and hmac.compare_digest(said.encode(errors="replace"), pin.encode()):
            return True
        after = replace(order, pin_tries=order.pin_tries + 1, version=order.version + 1, updated_at=ctx.now())
        row = records.order_row(self._trade, self.bot, after, settled=False)
        step = StepRow(after.id, after.version, "wrong_pin", after.state.value, by, ctx.now_ms())
        ctx.store(lambda connection: sql.change(connection, row, order.version, step, unsettled=False))
        return False

    async def agree(self, ctx: Context, order: Order) -> Order:
        """The buyer wants what is left, and is asked to pay it. Raises OrderRefused."""
        revision = order.revision + 1
        return await self.act(ctx, order, Action.AGREE, by=order.buyer, revision=revision, payment="")

    async def _discount(self, ctx: Context, order: Order, goods: Money) -> Money | None:
        """What the coupon takes off what is left. That it is for larger orders only is not held against the buyer."""
        if order.discount is None:
            return None
        coupon = await self._coupons.get(ctx, order.merchant, order.coupon)
        if coupon is None or coupon.percent is None:
            return min(order.discount, goods) or None
        part = order.discount.minor * goods.minor // max(order.goods.minor, 1)
        return Money(min(part, goods.minor), goods.currency) or None

    def _within(self, order: Order, action: Action, merchant: Merchant) -> timedelta | None:
        """How long the state that follows waits for somebody."""
        if action is Action.PAY:
            now = self._trade.clock.now()
            opens = merchant.hours.opens_at(now) or now
            return max(opens - now, timedelta()) + (self.terms.answer or merchant.answer_time)
        waits = {Action.AMEND: self.terms.agree, Action.AGREE: self.terms.pay, Action.DELIVER: self.terms.conclude}
        return waits.get(action)

    def _write(self, ctx: Context, before: Order, after: Order, action: Action, by: str, *, spoilt: bool) -> None:
        row = records.order_row(self._trade, self.bot, after, settled=False)
        at = to_ms(after.updated_at)
        step = StepRow(after.id, after.version, action.value, after.state.value, by, at)
        moves = MONEY[after.state] is not MONEY[before.state] or action is Action.AGREE

        def write(connection: Connection) -> None:
            sql.change(connection, row, before.version, step, unsettled=moves)
            if action is Action.PAY:
                stock_sql.sell(connection, after.id, at)
            elif action is Action.AGREE:
                stock_sql.unsell(connection, after.id, at)
            elif action is Action.AMEND:
                stock_sql.lessen(connection, after.id, _left(after), at)
            elif after.state not in STOCK_SOLD:
                if spoilt:
                    stock_sql.spoil(connection, after.id, at)
                stock_sql.give_back(connection, after.id, at)
            if after.state in CAME_TO_NOTHING:
                coupon_sql.give_back(connection, after.id)

        ctx.store(write)

    async def merchant(self, ctx: Context, order: Order) -> Merchant:
        """The merchant of an order."""
        merchant = await self._sellers.get(ctx, order.merchant)
        if merchant is None:
            raise LookupError(f"an order has its merchant: {order.id}")
        return merchant

    # Schedules

    def settle_soon(self, ctx: Context, order: Order) -> None:
        """Have the money of an order brought where it belongs, in the order of what happens to it."""
        self._settle_at(ctx, order, ctx.now())

    def _settle_at(self, ctx: Context, order: Order, at: datetime) -> None:
        self._at(ctx, SETTLE, order, at)

    def _wait(self, ctx: Context, order: Order) -> None:
        if order.deadline is None:
            ctx.schedules.cancel(f"{DEADLINE}/{order.id}")
        else:
            self._at(ctx, DEADLINE, order, order.deadline)

    def _by_itself(self, ctx: Context, order: Order) -> None:
        self._at(ctx, BY_ITSELF, order, ctx.now() + DEMO_STEP)

    def _at(self, ctx: Context, name: str, order: Order, at: datetime) -> None:
        call = {"name": name, "data": {"order": order.id}}
        key, room = f"{name}/{order.id}", order_room(order.id)
        ctx.schedules.at(at, TIMER_FIRED, call, key=key, room=room, person=order.buyer)

    # What happens by itself

    def purse(self, order: Order) -> Purse:
        """Where the money of an order is."""
        return self.cashier if not order.split or self.split is None else self.split

    async def settle(self, ctx: Context, order_id: str) -> None:
        """Bring the money of an order where its state says. The timer "settle"; may be repeated for ever."""
        order = await self.get(ctx, order_id)
        if order is None:
            return
        merchant = await self.merchant(ctx, order)
        brought = await self.purse(order).bring(ctx, order, merchant)
        if brought.payment != order.payment and brought.payment:
            payment = brought.payment
            ctx.store(lambda connection: sql.asked(connection, order.id, payment))
        if brought.done and brought.action is None:
            ctx.store(lambda connection: sql.settled(connection, order.id, order.version))
        elif not brought.done:
            self._settle_at(ctx, order, ctx.now() + AGAIN)
        if brought.asked and not order.split:
            words = ctx.t("Please confirm {amount} in your chat with the wallet.", amount=order.total)
            ctx.say(words, room_id=order.room_id)
        if brought.action is not None:
            await self._moved(ctx, order, brought)

    async def _moved(self, ctx: Context, order: Order, brought: Brought) -> None:
        """The order follows its money."""
        assert brought.action is not None
        try:
            await self.act(ctx, order, brought.action)
        except OrderRefused:
            log.error("the money of an order is gone, and the order goes on", extra={"order": order.id})
            return
        if brought.refused is not None:
            words = await telling.buyer_words(ctx, order)
            ctx.say(words.t(brought.refused.msgid, **brought.refused.values), room_id=order.room_id)

    async def payment_changed(self, ctx: Context, change: PaymentChange) -> None:
        """A payment has changed in the wallet: the order follows, or its money is brought where it belongs."""
        if change.about != "state":
            return
        payment = await self.cashier.payment(ctx, change.payment)
        order = None if payment is None else await self.get(ctx, self.cashier.order_of(payment))
        if payment is None or order is None or order.split:
            return
        if payment.state in _CONCERNS[MONEY[order.state]]:
            self.settle_soon(ctx, order)

    async def deadline(self, ctx: Context, order_id: str) -> None:
        """The time of a state is over. The timer "order_deadline"; too early or too late, it does no harm."""
        order = await self.get(ctx, order_id)
        if order is None or order.deadline is None or order.deadline > ctx.now():
            if order is not None:
                self._wait(ctx, order)
            return
        action = _AT_DEADLINE.get(order.state)
        if action is None:
            return
        if action is Action.LAPSE and not order.split:
            payment = await self.cashier.of_order(ctx, order)
            if payment is not None and payment.state is PaymentState.HELD:
                action = Action.PAY  # confirmed in the last moment
        await self.act(ctx, order, action)

    async def by_itself(self, ctx: Context, order_id: str) -> None:
        """The next thing that happens to an order of a merchant that accepts by itself: a demo."""
        order = await self.get(ctx, order_id)
        merchant = None if order is None else await self.merchant(ctx, order)
        if order is None or merchant is None or not merchant.auto_accept:
            return
        action = _BY_ITSELF.get(order.state)
        if order.state is OrderState.READY and order.delivery.kind in {Fulfilment.PICKUP, Fulfilment.DIGITAL}:
            action = Action.DELIVER
        if action is not None:
            await self.act(ctx, order, action)

    async def sweep(self, ctx: Context) -> None:
        """Find deadlines and money that were forgotten, by a handler that was given up; count what there is."""
        now = ctx.now()
        due, unsettled = to_ms(now - LATE), to_ms(now - UNSETTLED)

        def read(connection: Connection) -> tuple[list[OrderRow], dict[str, int]]:
            open_states = [each.value for each in OPEN]
            late = sql.late(connection, self.bot, due, unsettled, SWEPT_MAX)
            return late, sql.by_state(connection, self.bot, open_states)

        rows, counts = await ctx.query(read)
        there = {each.key for name in (SETTLE, DEADLINE) for each in await ctx.schedules.list(f"{name}/")}
        for order in self._all(rows):
            if order.deadline is not None and order.deadline <= now - LATE and f"{DEADLINE}/{order.id}" not in there:
                self._at(ctx, DEADLINE, order, now)
            if f"{SETTLE}/{order.id}" not in there:
                self._settle_at(ctx, order, now)
        metrics = self._trade.metrics
        if metrics is not None:
            for state in OPEN:
                metrics.orders_open.labels(self.bot, state.value).set(counts.get(state.value, 0))

    def _count(self, ctx: Context, before: Order, after: Order, action: Action) -> None:
        metrics = self._trade.metrics
        if metrics is None:
            return
        counter = metrics.order_actions.labels(self.bot, action.value)
        ctx.unit.after_commit(counter.inc)
        if action is Action.ACCEPT:
            seconds = (after.updated_at - before.updated_at).total_seconds()
            histogram = metrics.order_accept_seconds.labels(self.bot)
            ctx.unit.after_commit(lambda: histogram.observe(seconds))


_CONCERNS: Final[Mapping[MoneyGoal, frozenset[PaymentState]]] = {
    MoneyGoal.ASKED: frozenset(PaymentState) - {PaymentState.PROPOSED},
    MoneyGoal.HELD: PAYMENT_ENDED,
    MoneyGoal.TAKEN: PAYMENT_ENDED,
    MoneyGoal.BACK: frozenset({PaymentState.HELD}),
}
"""What a payment can become that an order has to be looked at for; the rest is done by whoever looks at it already."""
_AT_DEADLINE: Final[Mapping[OrderState, Action]] = {
    OrderState.PLACED: Action.LAPSE,
    OrderState.PAID: Action.TIME_OUT,
    OrderState.AMENDED: Action.TIME_OUT,
    OrderState.DELIVERED: Action.CONCLUDE,
}
_BY_ITSELF: Final[Mapping[OrderState, Action]] = {
    OrderState.PAID: Action.ACCEPT,
    OrderState.ACCEPTED: Action.MAKE_READY,
    OrderState.READY: Action.DISPATCH,
    OrderState.DISPATCHED: Action.DELIVER,
}


def order_room(order_id: str) -> str:
    """What takes the place of a room for what happens to one order by itself: in order."""
    return f"~orders/{order_id}"


def _left(order: Order) -> list[Claim]:
    return [
        Claim(StockKey(order.merchant, line.product, line.variant, line.slot), line.quantity) for line in order.lines
    ]
