"""What the host of a group order decides in their own chat: where to, when, who pays, and what becomes of the items of
who does not pay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeGuard

from bots.commerce.buying.browsing import Browsing
from bots.commerce.buying.checkout import REFUSALS, CheckingOut
from bots.commerce.buying.coupons import goods_of
from bots.commerce.buying.delivering import Part, Ways, kinds_of
from bots.commerce.buying.words import QUESTION_MAX, joined, read_amount, sentence, short
from bots.commerce.telling import lines_text
from bots.domain.group_orders import GroupError, GroupOrder, GroupState, shares_of
from bots.domain.merchants import MerchantError
from bots.domain.money import Money
from bots.domain.orders import Order, OrderRefused
from bots.food.groups import texts
from bots.food.groups.book import Stored
from bots.food.groups.service import CHECKOUT, STUCK, Groups, missing_of, owner_of
from bots.food.scheduling import Scheduling
from bots.framework import Context, Dialog, Option, ParseEnv, dialog, timer
from bots.framework.i18n import Translator

__all__ = ["GroupCheckout"]

ASKED_FOR: Final = timedelta(minutes=30)
ROUNDS: Final = 20


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed group order, as the host's dialog keeps it.

    Attributes:
        owner: whose the cart is.
        refusal: why it cannot be ordered.
    """

    checkout: str = ""
    text: str = ""
    part: Part | None = None
    refusal: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the host has decided so far."""

    ways: Ways
    wanted: datetime | None = None
    tip: Money | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Quoted:
    """The order as it would be placed. ``total``: None with a ``refusal``."""

    text: str = ""
    total: Money | None = None
    people: int = 1
    refusal: str = ""


class GroupCheckout(Browsing, CheckingOut, Scheduling):
    """The host's side, for :class:`bots.food.groups.chat.Grouping` to inherit."""

    groups: Groups

    @timer(CHECKOUT)
    async def group_closed(self, ctx: Context, data: dict[str, Any]) -> None:
        """Ask the host, in their own chat."""
        stored = await self.groups.book.get(ctx, data["group"])
        if stored is not None and stored.group.state is GroupState.CLOSED and stored.group.host == ctx.sender:
            ctx.start(self.group_checkout, stored.group.id)

    @dialog(timeout=ASKED_FOR)
    async def group_checkout(self, d: Dialog, group_id: str) -> None:
        """From a closed group order to an order that waits for its payment."""
        closed = await d.do("closed", self._group_closed, group_id)
        if closed.refusal or closed.part is None:
            await d.end(closed.refusal)
        await d.say(closed.text)
        decided = Asked(await self.choose_ways(d, [closed.part]))
        for _round in range(ROUNDS):
            quoted = await d.do("quote", self._group_quoted, group_id, closed.checkout, decided)
            picked = (await d.choose(short(quoted.text, QUESTION_MAX), self._group_options(d, quoted))).value
            if picked in {"alone", "split"}:
                refusal = await d.do("place", self._group_orders, group_id, closed.checkout, decided, quoted.total,
                                     picked == "split")  # fmt: skip
                if not refusal:
                    return
                await d.say(refusal)
            elif picked == "ways":
                decided = Asked(await self.choose_ways(d, [closed.part]), decided.wanted, decided.tip, decided.note)
            elif picked == "coupon":
                await d.say(await self.ask_for_coupon(d, closed.owner))
            elif picked == "when":
                wanted = await self.ask_when(d, closed.part.merchant)
                decided = Asked(decided.ways, wanted, decided.tip, decided.note)
            elif picked == "tip":
                tip = await self._group_tip(d, closed.part.goods.currency)
                decided = Asked(decided.ways, decided.wanted, tip, decided.note)
            else:
                await d.end(await d.do(picked, self._group_undecided, group_id, picked))
        await d.end(d.t("Nothing was ordered. “group close” asks you again."))

    async def _group_closed(self, ctx: Context, group_id: str) -> Closed:
        say = ctx.translator
        stored = await self.groups.book.get(ctx, group_id)
        if not _asks(stored, ctx.sender):
            return Closed(refusal=say.t("This group order is not waiting for you any more."))
        group = stored.group
        merchant = await self.groups.merchant(ctx, group)
        lines = await self.market.baskets.priced(ctx, await self.groups.cart(ctx, group), group.host)
        totals = [each.total for each in lines if each.total is not None]
        if not totals:
            return Closed(refusal=say.t("Nothing of it can be ordered now."))
        goods = sum(totals, Money.zero(totals[0].currency))
        part = Part(merchant.id, merchant.name, goods, kinds_of(merchant))
        card, owner = await self.groups.card(ctx, group, say), owner_of(group.room_id)
        return Closed(self.market.trade.new_id(), card, part, owner=owner)

    async def _group_quoted(self, ctx: Context, group_id: str, checkout: str, decided: Asked) -> Quoted:
        """The order as it would be placed, with what each would pay."""
        say = ctx.translator
        stored = await self.groups.book.get(ctx, group_id)
        if not _asks(stored, ctx.sender):
            return Quoted(say.t("This group order is not waiting for you any more."))
        group = stored.group
        try:
            order, gone = await self._group_draft(ctx, group, checkout, decided, split=True)
        except REFUSALS as error:
            return Quoted(sentence(say, error), refusal=error.code)
        shares = shares_of(order.lines, order.delivery.fee, order.tip, group.host, order.discount)
        names = await self.groups.names(ctx, group, [each.payer for each in shares])
        each_pays = say.t("If everybody pays their share:")
        people = [say.t("{person}: {amount}", person=names[each.payer], amount=each.amount) for each in shares]
        when = say.t("Wanted at {value}", value=decided.wanted) if decided.wanted is not None else ""
        text = joined([*gone, *lines_text(order, say), when, "", each_pays if len(shares) > 1 else "",
                       *(people if len(shares) > 1 else [])], "\n")  # fmt: skip
        return Quoted(text, order.total, len(shares))

    async def _group_draft(
        self, ctx: Context, group: GroupOrder, checkout: str, decided: Asked, *, split: bool
    ) -> tuple[Order, list[str]]:
        """The order as it would be placed now, with the coupon that the host has entered, and what is to be said of one
        that does not count any more. Raises one of :data:`REFUSALS`."""
        cart = await self.groups.cart(ctx, group)
        coupons, gone = await self.coupons_for(ctx, goods_of(await self.market.baskets.priced(ctx, cart, group.host)))
        delivery = decided.ways.delivery(group.merchant, decided.wanted)
        order = await self.groups.draft(
            ctx, group, checkout, delivery, decided.tip, decided.note, split=split, coupons=coupons
        )
        return order, gone

    def _group_options(self, d: Dialog, quoted: Quoted) -> list[Option]:
        options = []
        if quoted.total is not None:
            options.append(Option("alone", d.t("I pay {amount}", amount=quoted.total), key="✅"))
            if quoted.people > 1:
                options.append(Option("split", d.t("Everybody pays their share"), key="👥"))
        return [
            *options,
            Option("ways", d.t("Deliver otherwise")),
            Option("when", d.t("At another time"), key="🕒"),
            Option("coupon", d.t("Enter a coupon")),
            Option("tip", d.t("Give a tip")),
            Option("open", d.t("Let everybody add again")),
            Option("cancel", d.t("Cancel the group order"), key="❌"),
        ]

    async def _group_tip(self, d: Dialog, currency: str) -> Money | None:
        def read(text: str, env: ParseEnv) -> Money:
            return read_amount(text, currency, env)

        tip = await d.ask(d.t("How much? 0 means none."), parse=read)
        return tip if tip.minor else None

    async def _group_orders(
        self, ctx: Context, group_id: str, checkout: str, decided: Asked, seen: Money | None, split: bool
    ) -> str:
        """Place it as the host has seen it; why that cannot be, or nothing."""
        stored = await self.groups.book.get(ctx, group_id)
        if not _asks(stored, ctx.sender):
            return ctx.t("This group order is not waiting for you any more.")
        try:
            order, _gone = await self._group_draft(ctx, stored.group, checkout, decided, split=split)
            if order.total != seen:
                return ctx.t("Something has changed meanwhile. Please look at it again.")
            await self.groups.place(ctx, stored, order)
        except GroupError as error:
            return texts.sentence(ctx.translator, error)
        except REFUSALS as error:
            return sentence(ctx.translator, error)
        await self.coupons_used(ctx, [order.merchant] if order.coupon else [])
        ctx.say(ctx.t("Order {number} waits for its payment: the wallet asks in its own chat.", number=order.number))
        return ""

    async def _group_undecided(self, ctx: Context, group_id: str, what: str) -> str:
        stored = await self.groups.book.get(ctx, group_id)
        if not _asks(stored, ctx.sender):
            return ctx.t("This group order is not waiting for you any more.")
        if what == "open":
            await self.groups.reopen(ctx, stored, ctx.now() + ASKED_FOR)
            return ctx.t("Everybody can add again.")
        await self.groups.cancel(ctx, stored, ctx.sender)
        return ctx.t("The group order is cancelled.")

    # Who does not pay

    @timer(STUCK)
    async def share_missing(self, ctx: Context, data: dict[str, Any]) -> None:
        """Ask the host what becomes of the items of who does not pay."""
        stored = await self.groups.book.get(ctx, data["group"])
        if stored is None or missing_of(stored.group) is None or stored.group.host != ctx.sender:
            return
        if not await ctx.running(self.group_stuck):
            ctx.start(self.group_stuck, stored.group.id)

    @dialog(timeout=ASKED_FOR)
    async def group_stuck(self, d: Dialog, group_id: str) -> None:
        """One after the other of those who do not pay."""
        for _round in range(ROUNDS):
            await self.stored(d)
            number, question, droppable = await d.do("missing", self._group_missing, group_id)
            if not number:
                await d.end(question)
            options = [Option("take", d.t("I pay it too"), key="✅")]
            if droppable:
                options.append(Option("drop", d.t("Leave their items out")))
            options.append(Option("cancel", d.t("Cancel the group order"), key="❌"))
            picked = (await d.choose(question, options)).value
            said = await d.do("decide", self._group_decides, group_id, number, picked)
            await d.say(said)

    async def _group_missing(self, ctx: Context, group_id: str) -> tuple[int, str, bool]:
        stored = await self.groups.book.get(ctx, group_id)
        share = None if stored is None else missing_of(stored.group)
        if stored is None or share is None:
            return 0, ctx.t("Nothing more is to be decided."), False
        names = await self.groups.names(ctx, stored.group, [share.payer])
        question = ctx.t("{person} does not pay {amount}. What shall I do?", person=names[share.payer],
                         amount=share.amount)  # fmt: skip
        return share.number, question, bool(share.goods) and share.payer != stored.group.host

    async def _group_decides(self, ctx: Context, group_id: str, number: int, what: str) -> str:
        stored = await self.groups.book.get(ctx, group_id)
        if stored is None:
            return ctx.t("Nothing more is to be decided.")
        try:
            if what == "take":
                await self.groups.take_over(ctx, stored, number)
                return ctx.t("The wallet asks you for it.")
            if what == "drop":
                await self.groups.drop(ctx, stored, number)
                return ctx.t("It is left out.")
            await self.groups.cancel(ctx, stored, ctx.sender)
        except GroupError as error:
            return texts.sentence(ctx.translator, error)
        except (MerchantError, OrderRefused) as error:
            return _refused(ctx.translator, error)
        return ctx.t("The group order is cancelled. Everybody's money comes back.")


def _asks(stored: Stored | None, person: str) -> TypeGuard[Stored]:
    """Whether a group order waits for somebody to order it: who has left its room is not asked any more."""
    return stored is not None and stored.group.state is GroupState.CLOSED and stored.group.host == person


def _refused(say: Translator, error: MerchantError | OrderRefused) -> str:
    return sentence(say, error)
