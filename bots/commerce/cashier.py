"""The money of an order, brought to where its state says: asked for, held, taken, given back.

Each call may be repeated for ever. Payments are found by their keys, which are made of the order and its revision
before the first attempt; what an earlier revision was asked for goes back.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol

from bots.domain.merchants import Merchant
from bots.domain.money import Money
from bots.domain.orders import MONEY, Action, MoneyGoal, Order
from bots.domain.payments import ENDED, Payment, PaymentRefused, PaymentState
from bots.framework import Context, Setup
from bots.payments.merchants import Merchants

__all__ = ["Brought", "Cashier", "Purse", "Refused"]

log = logging.getLogger(__name__)

HOLD: Final = timedelta(days=30)
"""Money that is held goes back by itself after so long, whatever becomes of the order: a merchant answers, or the
deadlines of the order end it, long before."""
SHORTEST: Final = timedelta(seconds=1)
BACK: Final = "order"
"""Why money went back, as the payment keeps it: its order came to nothing."""
PAID: Final = frozenset({PaymentState.PAID, PaymentState.PARTLY_REFUNDED, PaymentState.REFUNDED})


@dataclass(frozen=True, slots=True)
class Refused:
    """Why the wallet does not do it. ``msgid`` with ``values`` is for people; ``code`` is for logs."""

    code: str
    msgid: str
    values: Any


@dataclass(frozen=True, slots=True)
class Brought:
    """What became of an attempt to bring the money where it belongs.

    Attributes:
        payment: the id of the order's payment; empty: there is none.
        done: it is there. Otherwise it is tried again later.
        action: what happens to the order by it: it is paid, will not be, or its money is not there any more.
        refused: what the wallet says against it.
        asked: the payer is asked to confirm, and has not heard of it from the order yet.
    """

    payment: str = ""
    done: bool = True
    action: Action | None = None
    refused: Refused | None = None
    asked: bool = False


class Purse(Protocol):
    """Where the money of orders is. :class:`Cashier` asks the buyer; a group that splits brings its own."""

    async def bring(self, ctx: Context, order: Order, merchant: Merchant) -> Brought:
        """Bring it to where the order's state says. May be repeated for ever."""

    async def give(self, ctx: Context, order: Order, amount: Money, key: str, reason: str) -> Brought:
        """Give a part of what was taken back, once for a key."""


class Cashier:
    """The wallet of one payer: of the buyer. One for a plugin."""

    def __init__(self, setup: Setup) -> None:
        self._merchants = setup.service(Merchants)
        self._keys = f"bot:{setup.instance}:"

    # Reading

    def order_of(self, payment: Payment) -> str:
        """The id of the order that a payment was asked for."""
        return payment.key.removeprefix(self._keys).partition("/")[0]

    async def payment(self, ctx: Context, payment_id: str) -> Payment | None:
        """A payment of the bot's, as it stands."""
        return await self._merchants.payment(ctx, payment_id)

    async def of_order(self, ctx: Context, order: Order) -> Payment | None:
        """The payment of the order's revision, as it stands."""
        return await self._merchants.by_key(ctx, order.payment_key)

    # Moving

    async def bring(self, ctx: Context, order: Order, merchant: Merchant) -> Brought:
        """Bring the money to where the order's state says."""
        for revision in range(order.revision):
            before = await self._merchants.by_key(ctx, f"{order.id}/{revision}")
            if before is not None and not (await self._back(ctx, before, f"{order.id}/back/{revision}")).done:
                return Brought(before.id, done=False)
        goal = MONEY[order.state]
        if not order.total:
            return Brought(action=Action.PAY if goal is MoneyGoal.ASKED else None)
        payment = await self.of_order(ctx, order)
        if goal is MoneyGoal.ASKED:
            return await self._ask(ctx, order, merchant, payment)
        if payment is None:
            return Brought(done=goal is MoneyGoal.BACK, action=None if goal is MoneyGoal.BACK else _lost(order))
        if goal is MoneyGoal.HELD:
            return Brought(payment.id, action=_lost(order) if payment.state in ENDED else None)
        if goal is MoneyGoal.TAKEN:
            return await self._take(ctx, order, payment)
        return await self._back(ctx, payment, f"{order.id}/back")

    async def give(self, ctx: Context, order: Order, amount: Money, key: str, reason: str) -> Brought:
        """Give a part of what was paid back, once for a key: of more than is left, what is left."""
        payment = await self.of_order(ctx, order)
        if payment is None or payment.state not in PAID:
            return Brought(done=payment is None or payment.state in ENDED)
        try:
            await self._merchants.refund(ctx, payment.id, amount, reason=reason, key=key)
        except PaymentRefused as error:
            left = payment.refundable
            if error.code != "payments.exceeds_paid":
                return _refused(payment, error)
            if not left:
                return Brought(payment.id)
            try:
                await self._merchants.refund(ctx, payment.id, left, reason=reason, key=f"{key}/rest")
            except PaymentRefused as again:
                return _refused(payment, again)
        return Brought(payment.id)

    async def _ask(self, ctx: Context, order: Order, merchant: Merchant, payment: Payment | None) -> Brought:
        if payment is None:
            left = SHORTEST if order.deadline is None else max(order.deadline - ctx.now(), SHORTEST)
            invoice = order.invoice(order.delivery.option or merchant.name)
            try:
                payment = await self._merchants.hold(
                    ctx,
                    order.buyer,
                    invoice.lines,
                    key=order.payment_key,
                    memo=f"{merchant.name} {order.number}",
                    discount=invoice.discount,
                    tip=invoice.tip,
                    expires=left,
                    accept_within=HOLD,
                    sub=merchant.slug,
                )
            except PaymentRefused as error:
                return Brought(action=Action.LAPSE, refused=Refused(error.code, error.msgid, error.values))
        if payment.state is PaymentState.PROPOSED:
            # What was said of it is in one commit with the payment's id: without the id nothing was said.
            return Brought(payment.id, asked=payment.id != order.payment)
        return Brought(payment.id, action=Action.LAPSE if payment.state in ENDED else Action.PAY)

    async def _take(self, ctx: Context, order: Order, payment: Payment) -> Brought:
        if payment.state in PAID:
            return Brought(payment.id)
        try:
            await self._merchants.capture(ctx, payment.id)
        except PaymentRefused as error:
            now = await self._merchants.payment(ctx, payment.id)
            if now is not None and now.state in ENDED:
                return Brought(payment.id, action=_lost(order))
            return _refused(payment, error)
        return Brought(payment.id)

    async def _back(self, ctx: Context, payment: Payment, key: str) -> Brought:
        """All that is left of a payment."""
        try:
            if payment.state in ENDED:
                return Brought(payment.id)
            if payment.state not in PAID:
                await self._merchants.void(ctx, payment.id, BACK)
            elif payment.refundable:
                await self._merchants.refund(ctx, payment.id, reason=BACK, key=key)
        except PaymentRefused as error:
            now = await self._merchants.payment(ctx, payment.id)
            if now is not None and now.state in PAID and not now.refundable:
                return Brought(payment.id)
            return _refused(payment, error)
        return Brought(payment.id)


def _lost(order: Order) -> Action | None:
    """What happens to an order whose money is not there any more."""
    goal = MONEY[order.state]
    if goal is MoneyGoal.HELD:
        return Action.TIME_OUT
    return Action.CALL_OFF if goal is MoneyGoal.TAKEN else None


def _refused(payment: Payment, error: PaymentRefused) -> Brought:
    log.error("the money of an order cannot be moved", extra={"payment": payment.id, "reason": error.code})
    return Brought(payment.id, done=False, refused=Refused(error.code, error.msgid, error.values))
