"""From a cart to orders that wait for their payment: one order for each merchant, each with an invoice of its own.

Everything is worked out anew at each look: prices, stock, delivery, coupons. What is not as the buyer saw it last is
shown again and has to be confirmed again; only orders that are exactly those on the screen are placed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NoReturn

from bots.commerce.buying.base import OFFERED, ROUNDS
from bots.commerce.buying.coupons import Couponing, goods_of
from bots.commerce.buying.delivering import Delivering, Part, Ways, kinds_of
from bots.commerce.buying.shown import changes_of
from bots.commerce.buying.words import QUESTION_MAX, explain, joined, read_amount, sentence, short
from bots.commerce.engines.base import EngineFailed
from bots.commerce.telling import WAYS, lines_text
from bots.domain.carts import Cart, CartError
from bots.domain.catalogue import CatalogueError
from bots.domain.coupons import CouponError
from bots.domain.invoices import InvoiceError
from bots.domain.merchants import WORDS, Merchant, MerchantError, MerchantState
from bots.domain.money import Money
from bots.domain.orders import TEXT_MAX, Order, OrderRefused
from bots.domain.places import Place
from bots.framework import Context, Dialog, Option, ParseEnv, command, dialog
from bots.framework.i18n import Translator, _

REFUSALS: Final = (CartError, CatalogueError, CouponError, EngineFailed, InvoiceError, MerchantError, OrderRefused)
"""What a draft raises: the sentence says what is not as the buyer saw it."""
CHANGED: Final = frozenset({"cart.price", "cart.gone", "cart.unknown"})
"""What the buyer has to see and confirm before it goes on."""
NOTHING: Final = "-"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the buyer says beside the goods.

    Attributes:
        place: where to, when that is known before; None: they are asked.
        wanted: when (aware); None: as soon as possible.
        tips: whether a tip can be given.
    """

    place: Place | None = None
    wanted: datetime | None = None
    tips: bool = False
    gift: str = ""
    note: str = ""
    tip: Money | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """A cart before it is bought, as a dialog keeps it.

    Attributes:
        refusal: why nothing of it can be bought now; empty: it can.
        changes: what is not as the buyer saw it.
        aside: what stays in the cart, and why.
    """

    version: int
    parts: tuple[Part, ...] = ()
    refusal: str = ""
    changes: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Quote:
    """Orders as they would be placed, in the person's words.

    Attributes:
        refusal: why they cannot be; empty: they can. ``code``: for programs.
        same: equal for the same orders at the same prices.
    """

    refusal: str = ""
    code: str = ""
    text: str = ""
    totals: tuple[Money, ...] = ()
    same: str = ""


class CheckingOut(Delivering, Couponing):
    """The checkout, for the plugin to inherit."""

    @command("checkout", help=_("Order what is in your cart"), aliases=("check out", "buy"))
    async def checkout_now(self, ctx: Context) -> None:
        """Order what is in your cart: delivery, coupon, gift message, and the payment by your wallet."""
        if await self.private(ctx):
            await self.begin_checkout(ctx, ctx.sender)

    async def begin_checkout(self, ctx: Context, person: str) -> None:
        """Begin to pay a cart in the room of the event. ``person``: whose: a user id, or ``group:ROOM``."""
        ctx.start(self.checkout, person, Wishes())

    @dialog(timeout=OFFERED)
    async def checkout(self, d: Dialog, owner: str, wishes: Wishes) -> None:
        """From a cart to its orders. ``owner``: whose cart: a user id, or ``group:ROOM``."""
        checkout_id = await d.do("begin", self._new_checkout)
        review = await self._reviewed(d, owner)
        ways = await self.choose_ways(d, review.parts, wishes.place)
        for _round in range(ROUNDS):
            quote = await d.do("quote", self._quote, owner, checkout_id, ways, wishes)
            if quote.refusal:
                ways = await self._mended(d, owner, quote, ways)
                continue
            picked = await self._last_answer(d, quote, wishes)
            if picked == "order":
                refusal = await d.do("place", self._place, owner, checkout_id, ways, wishes, quote.same)
                if not refusal:
                    return
                await d.say(refusal)
            elif picked == "no":
                await d.end(d.t("Nothing was ordered. Your cart stays as it is."))
            elif picked == "ways":
                ways = await self.choose_ways(d, await d.do("parts", self._parts, owner))
            elif picked == "coupon":
                await d.say(await self.ask_for_coupon(d, owner))
            else:
                wishes = await self._said(d, picked, wishes, quote)
        await self._to_cart(d, owner, "")

    async def _last_answer(self, d: Dialog, quote: Quote, wishes: Wishes) -> str:
        """What the buyer says to the orders as they would be placed."""
        question = quote.text
        if len(question) > QUESTION_MAX:
            await d.say(question)
            question = d.t("Shall I order this?")
        return (await d.choose(question, self._last_options(d, quote, wishes))).value

    async def _mended(self, d: Dialog, owner: str, quote: Quote, ways: Ways) -> Ways:
        """How it is delivered after the buyer has seen what is not as they saw it before; when that cannot be mended
        here, they see their cart."""
        if quote.code in CHANGED or quote.code.startswith("catalogue."):
            await self._reviewed(d, owner)
            return ways
        if quote.code.startswith("delivery."):
            await d.say(quote.refusal)
            return await self.choose_ways(d, await d.do("parts", self._parts, owner), ways.place)
        return await self._to_cart(d, owner, quote.refusal)

    async def _to_cart(self, d: Dialog, owner: str, lead: str) -> NoReturn:
        await d.do("cart", self._cart_with, owner, lead)
        await d.end()

    async def _cart_with(self, ctx: Context, owner: str, lead: str) -> None:
        await self.show_cart(ctx, owner, lead=lead)

    async def _new_checkout(self, ctx: Context) -> str:
        return self.market.trade.new_id()

    # What there is to buy

    async def _reviewed(self, d: Dialog, owner: str) -> Review:
        """The cart once the buyer knows of everything that has changed in it."""
        lead = ""
        for _round in range(ROUNDS):
            await self.stored(d)
            review = await d.do("review", self._review, owner)
            if review.refusal:
                await d.end(joined([lead, review.refusal], "\n"))
            if not review.changes:
                first = joined([lead, *review.aside], "\n")
                if first:
                    await d.say(first)
                return review
            text = joined([lead, *review.changes], "\n")
            options = [Option("on", d.t("Go on with it so"), key="✅"), Option("cart", d.t("Show the cart"))]
            if (await d.choose(short(text, QUESTION_MAX), options)).value == "cart":
                await self._to_cart(d, owner, "")
            lead = await d.do("take", self._take_changes, owner, review.version)
        return await self._to_cart(d, owner, lead)

    async def _parts(self, ctx: Context, owner: str) -> tuple[Part, ...]:
        return (await self._review(ctx, owner)).parts

    async def _review(self, ctx: Context, owner: str) -> Review:
        say = ctx.translator
        cart = await self.market.baskets.get(ctx, owner)
        if not cart.lines:
            return Review(cart.version, refusal=sentence(say, CartError("cart.empty")))
        try:
            priced = await self.market.baskets.priced(ctx, cart, ctx.sender)
        except EngineFailed as error:
            return Review(cart.version, refusal=sentence(say, error))
        parts, aside = [], []
        for merchant_id, goods in goods_of(priced).items():
            merchant = await self.market.sellers.get(ctx, merchant_id)
            if merchant is not None and merchant.state is MerchantState.ACTIVE:
                parts.append(Part(merchant_id, merchant.name, goods, kinds_of(merchant)))
            else:
                aside.append(_left_out(say, merchant))
        changes = changes_of(say, priced)
        if not parts:
            refusal = joined([*changes, *aside, say.t("Nothing in the cart can be ordered now.")], "\n")
            return Review(cart.version, refusal=refusal)
        return Review(cart.version, tuple(parts), "", tuple(changes), tuple(aside))

    async def _take_changes(self, ctx: Context, owner: str, version: int) -> str:
        """What is gone leaves the cart, and the prices of now are those that the buyer has seen."""
        cart = await self.market.baskets.get(ctx, owner)
        try:
            priced = await self.market.baskets.priced(ctx, cart.at(version), ctx.sender)
        except (CartError, EngineFailed) as error:
            return sentence(ctx.translator, error)
        kept = tuple(replace(each.line, shown=each.price) for each in priced if each.price is not None)
        self.market.baskets.put(ctx, owner, cart, Cart(kept, cart.version + 1))
        return ""

    # The last look

    def _last_options(self, d: Dialog, quote: Quote, wishes: Wishes) -> list[Option]:
        total = d.t("Order for {total}", total=list(quote.totals))
        options = [Option("order", short(total, 100), key="✅"), Option("ways", d.t("Deliver otherwise"))]
        options += [Option("coupon", d.t("Enter a coupon")), Option("gift", d.t("Put a message with it"))]
        options.append(Option("note", d.t("Write a note to the merchant")))
        if wishes.tips:
            options.append(Option("tip", d.t("Give a tip")))
        return [*options, Option("no", d.t("Not now"), key="❌")]

    async def _said(self, d: Dialog, what: str, wishes: Wishes, quote: Quote) -> Wishes:
        """The wishes with one more."""
        if what == "gift":
            words = await d.ask(d.t("Which words should go with it? “-” means none."), parse=_words)
            return replace(wishes, gift=words)
        if what == "note":
            words = await d.ask(d.t("What should the merchant know? “-” takes the note away."), parse=_words)
            return replace(wishes, note=words)
        currency = quote.totals[0].currency

        def read(text: str, env: ParseEnv) -> Money:
            return read_amount(text, currency, env)

        return replace(wishes, tip=await d.ask(d.t("How much? 0 means none."), parse=read))

    async def _quote(self, ctx: Context, owner: str, checkout_id: str, ways: Ways, wishes: Wishes) -> Quote:
        """The orders as they would be placed now."""
        cart = await self.market.baskets.get(ctx, owner)
        try:
            goods = goods_of(await self.market.baskets.priced(ctx, _ordered(cart, ways), ctx.sender))
            coupons, gone = await self.coupons_for(ctx, goods)
            orders = await self._drafted(ctx, cart, checkout_id, ways, wishes, coupons)
        except REFUSALS as error:
            return Quote(sentence(ctx.translator, error), error.code)
        names = {}
        for order in orders:
            merchant = await self.market.sellers.get(ctx, order.merchant)
            names[order.merchant] = "" if merchant is None else merchant.name
        texts = [_order_text(ctx.translator, order, names[order.merchant]) for order in orders]
        words = _wishes_text(ctx.translator, orders[0], ways)
        left_out = [line for line in cart.lines if line.merchant not in ways.chosen]
        stays = ctx.n("{count} line stays in the cart.", "{count} lines stay in the cart.", len(left_out))
        whole = joined([*gone, *texts, *words, stays if left_out else ""], "\n\n")
        return Quote("", "", whole, tuple(_totals(orders)), _same(orders))

    async def _drafted(
        self, ctx: Context, cart: Cart, checkout_id: str, ways: Ways, wishes: Wishes, coupons: dict[str, str]
    ) -> list[Order]:
        ordered = _ordered(cart, ways)
        deliveries = {each: ways.delivery(each, wishes.wanted) for each in ordered.merchants}
        tip = wishes.tip if len(deliveries) == 1 else None
        return await self.market.orders.draft(
            ctx, ordered, ctx.sender, ctx.room_id, deliveries, checkout=checkout_id, coupons=coupons, tip=tip,
            gift=wishes.gift, note=wishes.note, needs_open=self.market.when_open,
        )  # fmt: skip

    async def _place(self, ctx: Context, owner: str, checkout_id: str, ways: Ways, wishes: Wishes, seen: str) -> str:
        """Place the orders that the buyer has seen; why that is not possible, or nothing. What was ordered leaves the
        cart in the same commit."""
        cart = await self.market.baskets.get(ctx, owner)
        try:
            goods = goods_of(await self.market.baskets.priced(ctx, _ordered(cart, ways), ctx.sender))
            coupons, gone = await self.coupons_for(ctx, goods)
            orders = await self._drafted(ctx, cart, checkout_id, ways, wishes, coupons)
        except REFUSALS as error:
            return sentence(ctx.translator, error)
        if _same(orders) != seen:
            return joined([*gone, ctx.t("Something has changed meanwhile. Please look at it again.")], "\n")
        placed = await self.market.orders.place(ctx, orders)
        after = cart
        for merchant_id in ways.chosen:
            after = after.without(merchant_id)
        self.market.baskets.put(ctx, owner, cart, after)
        await self.coupons_used(ctx, list(coupons))
        numbers = [each.number for each in placed]
        ctx.say(
            ctx.n(
                "Order {numbers} waits for your payment: the wallet asks you in its own chat.",
                "Orders {numbers} wait for your payment: the wallet asks you for each in its own chat.",
                len(numbers),
                numbers=numbers,
            )
        )
        return ""


def _ordered(cart: Cart, ways: Ways) -> Cart:
    """The part of a cart that is ordered now."""
    for merchant_id in cart.merchants:
        if merchant_id not in ways.chosen:
            cart = cart.without(merchant_id)
    return cart


def _left_out(say: Translator, merchant: Merchant | None) -> str:
    if merchant is None:
        return say.t("⚠️ One of the merchants does not sell here any more.")
    return say.t("⚠️ {merchant} takes no orders now ({state}): that stays in the cart.", merchant=merchant.name,
                 state=say.t(WORDS[merchant.state]))  # fmt: skip


def _order_text(say: Translator, order: Order, merchant: str) -> str:
    way = say.t(WAYS[order.delivery.kind])
    place = order.delivery.place
    where = way if place is None else say.t("{way} to: {place}", way=way, place=short(place.text, 80))
    return joined([say.t("{merchant}:", merchant=merchant), *lines_text(order, say), where], "\n")


def _wishes_text(say: Translator, order: Order, ways: Ways) -> list[str]:
    gift = say.t("With these words: {value}", value=short(order.gift, 120)) if order.gift else ""
    note = say.t("Note: {value}", value=short(order.note, 120)) if order.note else ""
    wanted = order.delivery.wanted
    when = "" if wanted is None else say.t("Wanted at {value}", value=wanted)
    return [when, gift, note]


def _totals(orders: Sequence[Order]) -> list[Money]:
    """What is paid in each currency."""
    sums: dict[str, Money] = {}
    for order in orders:
        sums[order.currency] = sums.get(order.currency, Money.zero(order.currency)) + order.total
    return list(sums.values())


def _same(orders: Sequence[Order]) -> str:
    """Equal for orders of the same things at the same prices."""
    return repr([(each.merchant, each.lines, each.delivery.fee, each.discount, each.tip) for each in orders])


def _words(text: str) -> str:
    words = " ".join(text.split())
    if len(words) > TEXT_MAX:
        raise explain(OrderRefused("order.text", most=TEXT_MAX))
    return "" if words == NOTHING else words
