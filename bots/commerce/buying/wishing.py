"""The wish list: kept from a card, shown, and told of when a price falls or something is there again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bots.commerce.buying.base import OFFERED, ROUNDS
from bots.commerce.buying.browsing import CARD, Browsing, Where
from bots.commerce.buying.words import joined, short
from bots.domain.catalogue import price_at
from bots.domain.money import Money
from bots.framework import Context, Dialog, Option, command, dialog
from bots.framework.i18n import _

SHOWN_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Wished:
    """Something on a wish list, as a dialog keeps it. ``price``: of now; None: it is not sold any more."""

    merchant: str
    product: str
    variant: str
    name: str
    price: Money | None
    left: int | None


class Wishing(Browsing):
    """The wish list, for the plugin to inherit."""

    @command("wish", help=_("Show your wish list"), aliases=("wishes", "wish list", "wishlist"))
    async def wish_list(self, ctx: Context) -> None:
        """Show what you have put onto your wish list. I tell you when a price falls, or something is there again."""
        if await self.private(ctx):
            ctx.start(self.wishes_at_hand)

    @dialog(timeout=OFFERED)
    async def wishes_at_hand(self, d: Dialog) -> None:
        """The list, and what to do about one thing of it."""
        for _round in range(ROUNDS):
            await self.stored(d)
            wished = await d.do("wishes", self._wished)
            if not wished:
                await d.end(d.t("Your wish list is empty. A product's card offers “Onto the wish list”."))
            options = [Option(f"{number}.", each.name, self._of_wish(d, each)) for number, each in enumerate(wished)]
            picked = wished[int((await d.choose(d.t("Your wish list:"), options)).value.removesuffix("."))]
            doing = [Option("card", d.t("Show it")), Option("drop", d.t("Take it off the list"), key="🗑️"),
                     Option("back", d.t("Back to the list"), key="⬅️")]  # fmt: skip
            what = (await d.choose(picked.name, doing if picked.price is not None else doing[1:])).value
            if what == "card":
                await d.do("open", self._open_wish, picked)
                return
            if what == "drop":
                await d.do("drop", self._drop_wish, picked)

    def _of_wish(self, d: Dialog, wished: Wished) -> str:
        if wished.price is None:
            return d.t("not sold any more")
        left = d.t("sold out") if wished.left == 0 else ""
        return joined([d.t("{price}", price=wished.price), left])

    async def _wished(self, ctx: Context) -> list[Wished]:
        found = await self.market.wishes.list(ctx, ctx.sender)
        products = await self.market.shelf.products(ctx, {(each.merchant, each.product) for each in found})
        lists = await self.market.price_lists.of_products(ctx, ctx.sender, products)
        rows = []
        for each in found[:SHOWN_MOST]:
            product = products.get((each.merchant, each.product))
            variant = None if product is None else product.variant(each.variant)
            if product is None or variant is None or not product.active:
                gone = ctx.t("Something that is not sold any more") if product is None else product.name
                rows.append(Wished(each.merchant, each.product, each.variant, short(gone, 100), None, None))
                continue
            left = (await self.market.shelf.left(ctx, each.merchant, each.product)).get(each.variant)
            label = short(product.label(variant), 100)
            price = price_at(variant, ctx.now(), tier=lists.get(each.merchant, ""))
            rows.append(Wished(each.merchant, each.product, each.variant, label, price, left))
        return rows

    async def _open_wish(self, ctx: Context, wished: Wished) -> None:
        ctx.start(self.browsing, Where(CARD, wished.merchant, product=wished.product), ctx.sender)

    async def _drop_wish(self, ctx: Context, wished: Wished) -> None:
        self.market.wishes.drop(ctx, ctx.sender, wished.merchant, wished.product, wished.variant)
