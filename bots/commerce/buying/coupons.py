"""Coupons of a buyer: entered once, and counted at the checkout where their terms hold."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from bots.commerce.buying.base import Buyer
from bots.commerce.buying.words import sentence
from bots.commerce.engines.base import EngineFailed
from bots.domain.carts import Priced
from bots.domain.coupons import CouponError, canonical_code
from bots.domain.money import Money
from bots.framework import Context, Dialog, Key, Rest, command
from bots.framework.i18n import _

COUPONS: Final = Key("coupons", dict[str, str], default={}, secret=True, ttl=timedelta(days=30))
"""The code that a person has entered, by the merchant that it is of."""
LONGEST: Final = 60


class Couponing(Buyer):
    """Coupons, for the plugin to inherit."""

    @command("coupon", help=_("Enter a coupon"), aliases=("voucher",))
    async def coupon_now(self, ctx: Context, code: Rest) -> None:
        """Enter a coupon for what is in your cart; it is taken off when you check out."""
        if await self.private(ctx):
            ctx.say(await self.enter_coupon(ctx, ctx.sender, code))

    async def ask_for_coupon(self, d: Dialog, owner: str) -> str:
        """Have a coupon entered; what became of it."""
        code = await d.ask(d.t("What is its code?"))
        return await d.do("coupon", self.enter_coupon, owner, code)

    async def enter_coupon(self, ctx: Context, owner: str, text: str) -> str:
        """Keep a coupon for the merchant of the cart that it is of; what is said of it."""
        try:
            code = canonical_code(text[:LONGEST])
        except CouponError as error:
            return sentence(ctx.translator, error)
        cart = await self.market.baskets.get(ctx, owner)
        if not cart.lines:
            return ctx.t("The cart is empty: put something into it first.")
        try:
            goods = goods_of(await self.market.baskets.priced(ctx, cart, ctx.sender))
        except EngineFailed as error:
            return sentence(ctx.translator, error)
        refusal: CouponError | None = None
        for merchant_id, worth in goods.items():
            try:
                off = await self.market.coupons.check(ctx, merchant_id, code, worth, ctx.sender)
            except CouponError as error:
                if refusal is None or refusal.code == "coupon.unknown":
                    refusal = error
                continue
            known = await ctx.user_state.get(COUPONS)
            ctx.user_state.set(COUPONS, {**known, merchant_id: code})
            merchant = await self.market.sellers.get(ctx, merchant_id)
            name = "" if merchant is None else merchant.name
            return ctx.t("Coupon {code}: {amount} off at {merchant}.", code=code, amount=off, merchant=name)
        return sentence(ctx.translator, refusal or CouponError("coupon.unknown"))

    async def coupons_for(self, ctx: Context, goods: dict[str, Money]) -> tuple[dict[str, str], list[str]]:
        """The codes that count for these goods now, by merchant, and what is to be said of those that do not any more:
        they are forgotten."""
        known, kept, words = await ctx.user_state.get(COUPONS), {}, []
        for merchant_id, worth in goods.items():
            code = known.get(merchant_id, "")
            if not code:
                continue
            try:
                await self.market.coupons.check(ctx, merchant_id, code, worth, ctx.sender)
                kept[merchant_id] = code
            except CouponError as error:
                words.append(ctx.t("Coupon {code}: {reason}", code=code, reason=sentence(ctx.translator, error)))
        gone = [each for each in goods if each in known and each not in kept]
        if gone:
            ctx.user_state.set(COUPONS, {each: code for each, code in known.items() if each not in gone})
        return kept, words

    async def coupons_used(self, ctx: Context, merchants: list[str]) -> None:
        """They were used: they are not offered again."""
        known = await ctx.user_state.get(COUPONS)
        left = {each: code for each, code in known.items() if each not in merchants}
        if left != known:
            ctx.user_state.set(COUPONS, left)


def goods_of(lines: list[Priced]) -> dict[str, Money]:
    """What the goods of each merchant come to, by id."""
    sums: dict[str, Money] = {}
    for each in lines:
        total = each.total
        if total is not None:
            sums[each.line.merchant] = sums.get(each.line.merchant, Money.zero(total.currency)) + total
    return sums
