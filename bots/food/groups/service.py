"""What happens to the orders of groups: each in one commit with what the room is told."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from bots.commerce import records, telling
from bots.commerce.buying.base import Market
from bots.commerce.hand import Hand, Reader
from bots.commerce.orders import Happened, Orders
from bots.domain.carts import Cart
from bots.domain.group_orders import (
    ACTIVE,
    WORDS,
    GroupAction,
    GroupError,
    GroupOrder,
    GroupState,
    Share,
    ShareState,
    advance,
    asked,
    dropped,
    shares_of,
    taken_over,
)
from bots.domain.merchants import Merchant
from bots.domain.money import Money
from bots.domain.orders import ENDED, Action, Delivery, Order, OrderState
from bots.food.groups import texts
from bots.food.groups.book import GroupBook, Stored
from bots.framework import Context
from bots.framework.context import TIMER_FIRED
from bots.framework.i18n import Translator
from bots.framework.own_chat import own_chat
from bots.store import group_orders as sql
from bots.store import orders as order_sql
from bots.store.orders import StepRow

__all__ = ["CHECKOUT", "DEADLINE", "STUCK", "Groups", "owner_of"]

DEADLINE: Final = "group deadline"
CHECKOUT: Final = "group checkout"
STUCK: Final = "group stuck"
"""Names of timers, which :class:`bots.food.groups.chat.Grouping` hears."""
CLOSING_REST: Final = timedelta(minutes=30)
"""How long the host has to order what was closed."""
LATE: Final = timedelta(minutes=2)
SWEPT_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class GroupTerms:
    """How long groups wait.

    Attributes:
        pay: for everybody's confirmation of their share.
    """

    pay: timedelta = timedelta(minutes=10)


class Groups:
    """One for a plugin."""

    def __init__(self, market: Market, orders: Orders, book: GroupBook, terms: GroupTerms) -> None:
        self.book = book
        self.terms = terms
        self._market = market
        self._orders = orders

    # Reading

    async def merchant(self, ctx: Context, group: GroupOrder) -> Merchant:
        """Where a group orders."""
        found = await self._market.sellers.get(ctx, group.merchant)
        if found is None:
            raise LookupError(f"a group order has its merchant: {group.id}")
        return found

    async def cart(self, ctx: Reader, group: GroupOrder) -> Cart:
        """What everybody wants."""
        return await self._market.baskets.get(ctx, owner_of(group.room_id))

    async def card(self, ctx: Context, group: GroupOrder, say: Translator) -> str:
        """The order of a group as its room sees it."""
        lines = await self._market.baskets.priced(ctx, await self.cart(ctx, group), group.host)
        names = await self.names(ctx, group, {group.host, *(each.line.person for each in lines)})
        return texts.card(say, group, await self.merchant(ctx, group), lines, names)

    async def names(self, ctx: Context, group: GroupOrder, people: Collection[str]) -> dict[str, str]:
        """What people are called in the room, by user id."""
        found = {}
        for person in people:
            shown = await ctx.services.rooms.display_name(group.room_id, person)
            found[person] = shown or person[1:].partition(":")[0]
        return found

    async def of_person(self, ctx: Context, person: str) -> list[Stored]:
        """The open ones of rooms that somebody is in."""
        found = []
        for stored in await self.book.in_states(ctx, [GroupState.OPEN], SWEPT_MAX):
            members = await ctx.members(stored.group.room_id)
            if members.get(person) == "join":
                found.append(stored)
        return found

    async def words(self, ctx: Context, group: GroupOrder) -> Translator:
        """Texts in the language of the host: what a room is told by itself."""
        known = await ctx.services.people.get(group.host)
        return ctx.services.catalogues.translator(known.language, telling.DOMAIN, ZoneInfo(known.zone or "UTC"))

    # While it is open

    async def begin(self, ctx: Context, room_id: str, merchant: Merchant, host: str, until: datetime) -> GroupOrder:
        """Begin one. The commit raises TradeBusy when the room has one already."""
        now = ctx.now()
        group = GroupOrder(
            self._market.trade.new_id(), room_id, merchant.id, host, GroupState.OPEN, now, now, deadline=until
        )
        self.book.add(ctx, group)
        cart = await self.cart(ctx, group)
        if cart.lines:  # of one that came to nothing
            self._market.baskets.put(ctx, owner_of(room_id), cart, Cart((), cart.version + 1))
        self._wait(ctx, group)
        return group

    async def adding(self, ctx: Hand, stored: Stored, person: str) -> None:
        """Somebody changes what they want, in the commit at hand. Raises GroupError: it is closed."""
        cart = await self.cart(ctx, stored.group)
        people = {line.person for line in cart.lines}
        after = stored.group.adding(person, ctx.now(), people)
        if after is stored.group:
            self.book.require(ctx, stored.group)
        else:
            self.book.write(ctx, stored, after)

    async def finished(self, ctx: Context, stored: Stored, person: str) -> bool:
        """Somebody has all they want; whether everybody has. Raises GroupError: it is closed."""
        after = stored.group.finished(person, ctx.now())
        if after is not stored.group:
            self.book.write(ctx, stored, after)
        cart = await self.cart(ctx, after)
        return after.all_done({line.person for line in cart.lines})

    async def close(self, ctx: Context, stored: Stored) -> None:
        """Nobody adds any more; the host is asked in their own chat. Raises GroupError."""
        cart = await self.cart(ctx, stored.group)
        if not cart.lines:
            raise GroupError("group.empty")
        after = advance(stored.group, GroupAction.CLOSE, ctx.now(), within=CLOSING_REST)
        self.book.write(ctx, stored, after)
        self._wait(ctx, after)
        await self._ask_host(ctx, CHECKOUT, after)

    async def ask_again(self, ctx: Context, group: GroupOrder) -> None:
        """Ask the host once more what they have not answered."""
        await self._ask_host(ctx, CHECKOUT, group)

    async def left(self, ctx: Context, stored: Stored, person: str) -> None:
        """Somebody has left the room: what they wanted is taken out while nothing is ordered. A host who leaves is
        followed by whoever has wanted something first; without anybody it is off."""
        group = stored.group
        if group.state not in {GroupState.OPEN, GroupState.CLOSED}:
            return
        cart = await self.cart(ctx, group)
        kept = tuple(line for line in cart.lines if line.person != person)
        members = await ctx.members(group.room_id)
        heirs = [each for each in dict.fromkeys(line.person for line in kept) if members.get(each) == "join"]
        was_host = person == group.host
        if kept == cart.lines and not was_host:
            return
        if kept != cart.lines:
            self._market.baskets.put(ctx, owner_of(group.room_id), cart, Cart(kept, cart.version + 1))
        if (was_host and not heirs) or (not kept and group.state is GroupState.CLOSED):
            await self._off(ctx, stored, None)
            return
        after = group.without(person, heirs[0] if heirs else group.host, ctx.now())
        if after is group:
            self.book.require(ctx, group)
        else:
            self.book.write(ctx, stored, after)
        names = await self.names(ctx, group, [person, after.host])
        say = await self.words(ctx, after)
        lines = [say.t("{person} has left: what they wanted is taken out.", person=names[person])]
        if was_host:
            lines.append(say.t("{host} decides about the group order now.", host=names[after.host]))
            self._wait(ctx, after)
            if after.state is GroupState.CLOSED:
                await self._ask_host(ctx, CHECKOUT, after)
        ctx.say("\n".join(lines), room_id=group.room_id)

    async def reopen(self, ctx: Context, stored: Stored, until: datetime) -> None:
        """Everybody can add again. Raises GroupError."""
        after = advance(stored.group, GroupAction.REOPEN, ctx.now(), within=until - ctx.now(), done=())
        self.book.write(ctx, stored, after)
        self._wait(ctx, after)
        say = await self.words(ctx, after)
        ctx.say(say.t("The group order is open again, until {time}.", time=until), room_id=after.room_id)

    async def cancel(self, ctx: Context, stored: Stored, by: str) -> None:
        """Call it off: what was asked for is not paid, what is held goes back. Raises GroupError, OrderRefused."""
        group = stored.group
        order = await self._orders.get(ctx, group.order) if group.order else None
        if order is not None and order.state not in ENDED:
            await self._orders.act(ctx, order, Action.CANCEL, by=by)  # the group follows its order
            return
        await self._off(ctx, stored, Action.CANCEL if group.order else None)

    async def _off(self, ctx: Context, stored: Stored, action: Action | None) -> None:
        after = advance(stored.group, GroupAction.CANCEL, ctx.now())
        self.book.write(ctx, stored, after)
        self._wait(ctx, after)
        say = await self.words(ctx, after)
        merchant = await self.merchant(ctx, after)
        lines = [say.t(texts.TOLD[action or Action.CANCEL], merchant=merchant.name)]
        if stored.group.shares:
            lines.append(say.t("Everybody's money comes back."))
        ctx.say("\n".join(lines), room_id=after.room_id)

    # Ordering

    async def draft(
        self, ctx: Context, group: GroupOrder, checkout: str, delivery: Delivery, tip: Money | None, note: str,
        *, split: bool, coupons: Mapping[str, str],
    ) -> Order:  # fmt: skip
        """The order as it would be placed now; the errors of :meth:`bots.commerce.orders.Orders.draft`.

        Args:
            coupons: the host's, by the merchant's id.
        """
        (order,) = await self._orders.draft(
            ctx,
            await self.cart(ctx, group),
            group.host,
            await own_chat(ctx, group.host),
            {group.merchant: delivery},
            checkout=checkout,
            coupons=coupons,
            tip=tip,
            note=note,
            split=group.id if split else "",
            needs_open=self._market.when_open,
        )
        return order

    async def place(self, ctx: Context, stored: Stored, order: Order) -> None:
        """Place it: one pays, or each is asked for their share. Raises GroupError."""
        (placed,) = await self._orders.place(ctx, [order])
        group = stored.group
        if order.split:
            shares = shares_of(order.lines, order.delivery.fee, order.tip, group.host, order.discount)
            within = min(self.terms.pay, self._orders.terms.pay)
            after = asked(group, placed.id, placed.revision, shares, ctx.now(), within)
        else:
            after = advance(group, GroupAction.ORDER, ctx.now(), order=placed.id)
        self.book.write(ctx, stored, after)
        self._wait(ctx, after)
        cart = await self.cart(ctx, group)
        self._market.baskets.put(ctx, owner_of(group.room_id), cart, Cart((), cart.version + 1))
        say = await self.words(ctx, after)
        text = say.t("{host} orders and pays.", host=(await self.names(ctx, group, [group.host]))[group.host])
        if order.split:
            text = say.t("Everybody pays their share: the wallet asks each of you in its own chat.")
        ctx.say(text, room_id=group.room_id)

    # Who does not pay

    async def take_over(self, ctx: Context, stored: Stored, number: int) -> None:
        """The host pays what somebody does not. Raises GroupError."""
        order = await self._open_order(ctx, stored.group)
        after = taken_over(stored.group, number, ctx.now(), self._left(ctx, order))
        self.book.write(ctx, stored, after)
        self._orders.settle_soon(ctx, order)

    async def drop(self, ctx: Context, stored: Stored, number: int) -> None:
        """What somebody does not pay is not ordered. Raises GroupError, MerchantError."""
        group = stored.group
        order, share = await self._open_order(ctx, group), group.share(number)
        after = dropped(group, number, ctx.now(), self._left(ctx, order))
        lines = tuple(line for line in order.lines if (line.person or order.buyer) != share.person)
        goods = sum((line.total for line in lines), Money.zero(order.currency))
        merchant = await self.merchant(ctx, group)
        refusals = [
            offer.refusal
            for offer in merchant.offers(goods, order.delivery.place)
            if offer.kind is order.delivery.kind and offer.refusal is not None
        ]
        if refusals:
            raise refusals[0]
        self.book.write(ctx, stored, after)
        # What the coupon took off the others' items stays: nobody who has confirmed an amount is asked for another.
        off = order.discount
        left = off - share.discount if off is not None and share.discount is not None else off
        fewer = replace(order, lines=lines, discount=left or None, version=order.version + 1, updated_at=ctx.now())
        self._write_less(ctx, order, fewer)
        say = await self.words(ctx, group)
        names = await self.names(ctx, group, [share.person])
        text = say.t("What {person} wanted is left out.", person=names[share.person])
        ctx.say(text, room_id=group.room_id)

    async def _open_order(self, ctx: Context, group: GroupOrder) -> Order:
        order = await self._orders.get(ctx, group.order)
        if order is None or order.state is not OrderState.PLACED:
            raise GroupError("group.refused", state=WORDS[GroupState.CANCELLED])
        return order

    def _left(self, ctx: Context, order: Order) -> timedelta:
        """How long somebody who is asked now has to pay: not longer than the order waits."""
        left = self.terms.pay if order.deadline is None else order.deadline - ctx.now()
        return max(min(left, self.terms.pay), timedelta(seconds=1))

    def _write_less(self, ctx: Context, before: Order, after: Order) -> None:
        row = records.order_row(self._market.trade, self._orders.bot, after, settled=False)
        at = ctx.now_ms()
        step = StepRow(after.id, after.version, "drop", after.state.value, before.buyer, at)
        left: dict[tuple[str, str, str, str], int] = {}
        for line in after.lines:
            key = (after.merchant, line.product, line.variant, line.slot)
            left[key] = left.get(key, 0) + line.quantity

        def write(connection: Any) -> None:
            order_sql.change(connection, row, before.version, step, unsettled=True)
            sql.promise_less(connection, after.id, left, at)

        ctx.store(write)
        self._orders.settle_soon(ctx, after)

    # What follows by itself

    async def shares_moved(self, ctx: Context, before: GroupOrder, after: GroupOrder) -> None:
        """Shares were paid, or will not be: the room and the host are told."""
        say = await self.words(ctx, after)
        was = {each.number: each.state for each in before.shares}
        moved = [each for each in after.counting if was.get(each.number) is not each.state]
        names = await self.names(ctx, after, [each.payer for each in moved])
        lines = [
            say.t("{person} has paid.", person=names[each.payer])
            if each.state is ShareState.HELD
            else say.t("{person} has not paid.", person=names[each.payer])
            for each in moved
            if each.state is not ShareState.ASKED
        ]
        if not lines:
            return
        if after.state in {GroupState.PAYING, GroupState.STUCK}:
            lines.append(texts.progress(say, after))
        ctx.say("\n".join(lines), room_id=after.room_id)
        if after.state is GroupState.STUCK and any(each.state is ShareState.MISSING for each in moved):
            await self._ask_host(ctx, STUCK, after)

    async def order_moved(self, ctx: Context, what: Happened) -> None:
        """Something happened to an order: the group that it is of follows, and hears it."""
        stored = await self.book.of_order(ctx, what.after.id)
        if stored is None:
            return
        group, order = stored.group, what.after
        if order.state in ENDED - {OrderState.CONCLUDED, OrderState.RETURNED}:
            if group.state is not GroupState.CANCELLED:
                await self._off(ctx, stored, what.action)
            return
        if what.action is Action.AGREE and order.split:
            shares = shares_of(order.lines, order.delivery.fee, order.tip, group.host, order.discount)
            within = min(self.terms.pay, self._orders.terms.pay)
            after = asked(group, order.id, order.revision, shares, ctx.now(), within)
            self.book.write(ctx, stored, after)
        if what.action in texts.TOLD:
            say = await self.words(ctx, group)
            lines = [say.t(texts.TOLD[what.action], merchant=what.merchant.name)]
            if what.action is Action.ACCEPT and order.prepared_at is not None:
                lines.append(say.t("It is ready at {time}.", time=order.prepared_at))
            ctx.say("\n".join(lines), room_id=group.room_id)

    async def payment_changed(self, ctx: Context, payment_id: str) -> None:
        """A payment has changed: where it is a share of an order, that is looked at."""
        payment = await self._orders.cashier.payment(ctx, payment_id)
        order = None if payment is None else await self._orders.get(ctx, self._orders.cashier.order_of(payment))
        if order is not None and order.split:
            self._orders.settle_soon(ctx, order)

    async def deadline(self, ctx: Context, stored: Stored) -> None:
        """The time is over: what there is, is ordered; where there is nothing, nothing is."""
        group = stored.group
        if group.deadline is None or group.deadline > ctx.now():
            self._wait(ctx, group)
        elif group.state is GroupState.OPEN and (await self.cart(ctx, group)).lines:
            await self.close(ctx, stored)
            say = await self.words(ctx, group)
            ctx.say(say.t("The time is over: {host} orders now.",
                          host=(await self.names(ctx, group, [group.host]))[group.host]),
                    room_id=group.room_id)  # fmt: skip
        elif group.state in {GroupState.OPEN, GroupState.CLOSED}:
            await self._off(ctx, stored, None)

    async def sweep(self, ctx: Context) -> None:
        """Find deadlines that were forgotten."""
        there = {each.key for each in await ctx.schedules.list(f"{DEADLINE}/")}
        for stored in await self.book.in_states(ctx, [GroupState.OPEN, GroupState.CLOSED], SWEPT_MAX):
            group = stored.group
            late = group.deadline is not None and group.deadline < ctx.now() - LATE
            if late and f"{DEADLINE}/{group.id}" not in there:
                self._at(ctx, DEADLINE, group, ctx.now(), room=group.room_id)

    def _wait(self, ctx: Context, group: GroupOrder) -> None:
        """Shares have deadlines of their own, in the wallet."""
        if group.deadline is None or group.state not in {GroupState.OPEN, GroupState.CLOSED}:
            ctx.schedules.cancel(f"{DEADLINE}/{group.id}")
        else:
            self._at(ctx, DEADLINE, group, group.deadline, room=group.room_id)

    async def _ask_host(self, ctx: Context, name: str, group: GroupOrder) -> None:
        self._at(ctx, name, group, ctx.now(), room=await own_chat(ctx, group.host))

    def _at(self, ctx: Context, name: str, group: GroupOrder, at: datetime, *, room: str) -> None:
        call = {"name": name, "data": {"group": group.id}}
        ctx.schedules.at(at, TIMER_FIRED, call, key=f"{name}/{group.id}", room=room, person=group.host)


def owner_of(room_id: str) -> str:
    """Whose the cart of a group is."""
    return f"group:{room_id}"


def missing_of(group: GroupOrder) -> Share | None:
    """The first share that somebody does not pay; None: there is none, or the order has come to its end."""
    return group.missing[0] if group.state in ACTIVE and group.missing else None
