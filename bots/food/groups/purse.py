"""The money of an order that a group splits. To the wallet each share is an order of its own, of whoever pays it: it is
asked for, held, taken and given back as any other (:class:`bots.commerce.cashier.Cashier`)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from bots.commerce.cases import Cases
from bots.commerce.cashier import Brought, Cashier
from bots.domain.group_orders import (
    GroupOrder,
    GroupState,
    Share,
    ShareAction,
    ShareState,
    goal_of,
    share_moved,
)
from bots.domain.merchants import Merchant
from bots.domain.money import Money
from bots.domain.orders import MONEY, Action, MoneyGoal, Order, OrderLine, OrderState
from bots.food.groups.book import GroupBook
from bots.framework import Context

__all__ = ["GroupPurse", "Listener"]

log = logging.getLogger(__name__)

STATES: Final = {
    MoneyGoal.ASKED: OrderState.PLACED,
    MoneyGoal.HELD: OrderState.PAID,
    MoneyGoal.TAKEN: OrderState.ACCEPTED,
    MoneyGoal.BACK: OrderState.CANCELLED,
}
"""A state whose money belongs there."""

Listener = Callable[[Context, GroupOrder, GroupOrder], Awaitable[None]]
"""Is told of an order of a group before and after shares of it have moved, in the commit in which they do."""


class GroupPurse:
    """A :class:`bots.commerce.cashier.Purse`; one for a plugin."""

    def __init__(self, book: GroupBook, cashier: Cashier, cases: Cases, listener: Listener) -> None:
        self._book = book
        self._cashier = cashier
        self._cases = cases
        self._listener = listener

    async def bring(self, ctx: Context, order: Order, merchant: Merchant) -> Brought:
        """Bring every share to where it belongs. May be repeated for ever."""
        stored = await self._book.get(ctx, order.split)
        if stored is None or stored.group.order != order.id:
            log.error("an order is split by a group that is not there", extra={"order": order.id})
            return Brought(action=Action.LAPSE if MONEY[order.state] is MoneyGoal.ASKED else None)
        goal, group, done, lost = MONEY[order.state], stored.group, True, None
        for share in stored.group.shares:
            wanted = goal_of(share, goal, group.state)
            brought = await self._cashier.bring(ctx, share_as_order(order, stored.group, share, wanted), merchant)
            done &= brought.done
            group = self._followed(ctx, group, share, wanted, brought)
            if wanted in {MoneyGoal.HELD, MoneyGoal.TAKEN} and brought.action is not None:
                lost = brought.action
        if group is not stored.group:
            self._book.write(ctx, stored, group)
            await self._listener(ctx, stored.group, group)
        if goal is MoneyGoal.ASKED:
            return Brought(done=done, action=Action.PAY if group.state is GroupState.ORDERED else None)
        return Brought(done=done, action=lost if goal in {MoneyGoal.HELD, MoneyGoal.TAKEN} else None)

    def _followed(
        self, ctx: Context, group: GroupOrder, share: Share, wanted: MoneyGoal, brought: Brought
    ) -> GroupOrder:
        """The group as the wallet has it."""
        if brought.payment and brought.payment != share.payment:
            known = replace(group.share(share.number), payment=brought.payment)
            group = replace(
                group, shares=tuple(known if each.number == share.number else each for each in group.shares)
            )
        if brought.action is None or wanted is MoneyGoal.BACK:
            return group
        held = brought.action is Action.PAY
        if held and share.state is ShareState.ASKED:
            return share_moved(group, share.number, ShareAction.HOLD, ctx.now())
        if not held and share.state in {ShareState.ASKED, ShareState.HELD} and share.amount:
            return share_moved(group, share.number, ShareAction.MISS, ctx.now())
        return group

    async def give(self, ctx: Context, order: Order, amount: Money, key: str, reason: str) -> Brought:
        """Give a part of what was taken back, once for a key: to those whose items the case is about, in proportion;
        to everybody when it is about all of it."""
        stored = await self._book.get(ctx, order.split)
        if stored is None:
            return Brought()
        shares = [each for each in stored.group.counting if each.amount]
        weights = await self._concerned(ctx, order, shares, key)
        done = True
        for share, part in zip(shares, amount.allocate(weights), strict=True):
            if part:
                as_order = share_as_order(order, stored.group, share, MoneyGoal.TAKEN)
                done &= (await self._cashier.give(ctx, as_order, part, f"{key}/{share.number}", reason)).done
        return Brought(done=done)

    async def _concerned(self, ctx: Context, order: Order, shares: list[Share], key: str) -> list[int]:
        """How much of a refund each share gets. By what they paid, not by what is left: the same in each attempt."""
        case = await self._cases.get(ctx, key)
        worth: dict[str, int] = {}
        for number, quantity in ({} if case is None else case.lines).items():
            line = order.line(number)
            person = line.person or order.buyer
            worth[person] = worth.get(person, 0) + (line.price * quantity).minor
        weights = [worth.get(each.person, 0) if each.goods else 0 for each in shares]
        return weights if any(weights) else [each.amount.minor for each in shares]


def share_as_order(order: Order, group: GroupOrder, share: Share, goal: MoneyGoal) -> Order:
    """What the wallet is asked for: the items of one person with their part of fee and tip, as an order that stands
    where its money belongs."""
    lines = tuple(
        line for line in (*order.lines, *order.was) if (line.person or order.buyer) == share.person
    ) if share.goods else ()  # fmt: skip
    if sum(line.total.minor for line in lines) != share.goods.minor:
        # Lines that were dropped or amended since: what it was asked for stands in the wallet, and stays so.
        lines = ()
    fee = share.fee
    if not lines:
        name = order.delivery.option or order.lines[0].name
        rest = share.goods if share.goods else fee
        fee = fee if share.goods else Money.zero(fee.currency)
        lines = (OrderLine("share", "share", name, 1, rest, order.lines[0].tax),)
    return replace(
        order,
        id=f"{order.id}/share/{share.number}",
        buyer=share.payer,
        state=STATES[goal],
        lines=lines,
        was=(),
        delivery=replace(order.delivery, fee=fee),
        discount=share.discount,
        coupon=order.coupon if share.discount else "",
        tip=share.tip or None,
        revision=0,
        payment="",
        deadline=group.deadline if goal is MoneyGoal.ASKED else None,
        split="",
    )
