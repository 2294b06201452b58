"""Price lists of a merchant: other prices for some buyers, such as staff, regulars or resellers."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

from bots.commerce.desk.base import DeskBase, env_of, refused
from bots.commerce.desk.goods import Goods, with_variant
from bots.commerce.desk.goods_words import with_amount
from bots.commerce.price_lists import with_rule
from bots.domain.catalogue import CatalogueError, Product, Variant, price_list_name
from bots.domain.merchants import Merchant, Staff
from bots.domain.money import Money
from bots.framework import Context, InvalidValue, RateLimit, Rest, UserID, command
from bots.framework.i18n import _
from bots.framework.own_chat import known_chat

LISTS_MAX: Final = 20
BUYERS_MAX: Final = 5_000
"""On one list."""
ADDED: Final = RateLimit(200, per=3600)
"""Who is put on a list is told so: nobody is to be written to without end."""
SHOWN_MAX: Final = 30
READ: Final = 200
"""Products that are read in one go, to see what stands on lists."""


class PriceListing(Goods, DeskBase):
    """The commands about price lists, for the plugin to inherit."""

    @command("price lists", help=_("Staff room: other prices for some buyers"), hidden=True)
    async def desk_price_lists(self, ctx: Context) -> None:
        """Your price lists: how many prices stand on each, and how many buyers are on it."""
        merchant = await self.at_desk(ctx)
        if merchant is None:
            return
        prices = await self._desk_listed(ctx, merchant)
        people = await self.desk.price_lists.counts(ctx, merchant.id)
        lines = [
            ctx.t(
                "• {name}: {prices}, {buyers}",
                name=name,
                prices=ctx.n("{count} price", "{count} prices", prices[name]),
                buyers=ctx.n("{count} buyer", "{count} buyers", people.get(name, 0)),
            )
            for name in sorted({*prices, *people})
        ]
        if not lines:
            lines.append(
                ctx.t(
                    "There are no price lists. “price list set staff: Margherita 7.50” makes one, “price list add @bob "
                    "staff” puts somebody on it."
                )
            )
        ctx.say("\n".join(lines))

    @command("price list", help=_("Staff room: what and who is on a price list: price list staff"), hidden=True)
    async def desk_price_list(self, ctx: Context, name: Rest) -> None:
        """Which prices stand on a list, and who is on it."""
        merchant = await self.at_desk(ctx)
        wanted = None if merchant is None else self._desk_list_name(ctx, name)
        if merchant is None or wanted is None:
            return
        prices = (await self._desk_prices_on(ctx, merchant, wanted))[: SHOWN_MAX + 1]
        people = await self.desk.price_lists.buyers(ctx, merchant.id, wanted, limit=SHOWN_MAX + 1)
        if not prices and not people:
            ctx.say(ctx.t("There is no price list “{name}”. “price lists” shows them.", name=wanted))
            return
        lines = [ctx.t("Price list “{name}”:", name=wanted)]
        lines += [ctx.t("• {name}: {amount}", name=label, amount=amount) for label, amount in prices[:SHOWN_MAX]]
        lines.append(ctx.t("On it: {people}", people=people[:SHOWN_MAX]) if people else ctx.t("Nobody is on it."))
        if len(prices) > SHOWN_MAX or len(people) > SHOWN_MAX:
            lines.append(ctx.t("There are more; “export” gives all prices."))
        ctx.say("\n".join(lines))

    @command("price list set", help=_("Staff room: a price on a list: price list set staff: Margherita 7.50"),
             hidden=True)  # fmt: skip
    async def desk_price_list_set(self, ctx: Context, text: Rest) -> None:
        """What something costs who is on a list: “price list set staff: Margherita 7.50”, “price list set staff:
        Margherita, Large 9”, “price list set staff: Margherita off”. The lowest price that applies counts."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        name, colon, words = text.partition(":")
        if not colon or not words.strip():
            ctx.say(ctx.t("Please write the list, a colon, the product and its price."))
            return
        wanted = self._desk_list_name(ctx, name)
        if wanted is None or not await self._desk_room_for(ctx, merchant, wanted):
            return
        env = env_of(ctx, merchant)
        label, _space, last = words.strip().rpartition(" ")
        amount: Money | None = None
        if not label or last.casefold() not in {"off", env.translator.t("off").casefold()}:
            try:
                label, amount = with_amount(words, merchant.currency, env)
            except InvalidValue as error:
                ctx.say(error.say(ctx.translator))
                return

        def listed(product: Product, variant: Variant | None) -> Product | None:
            return None if variant is None else with_variant(product, with_rule(variant, wanted, amount))

        def words_for(label: str) -> str:
            if amount is None:
                return ctx.t("{name} is not on the list “{list}” any more.", name=label, list=wanted)
            return ctx.t("{name}: {amount} for who is on the list “{list}”", name=label, amount=amount, list=wanted)

        await self._desk_change(ctx, merchant, label, listed, words_for)

    @command(
        "price list add",
        help=_("Staff room: put a buyer on a list: price list add @bob staff"),
        hidden=True,
        limit=ADDED,
    )
    async def desk_price_list_add(self, ctx: Context, person: UserID, name: Rest) -> None:
        """Put a buyer on a price list, by their user id. They see their prices from now on, and are told so if they
        have written to me before. A buyer is on one of your lists at most."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        wanted = None if merchant is None else self._desk_list_name(ctx, name)
        if merchant is None or wanted is None or not await self._desk_room_for(ctx, merchant, wanted):
            return
        who, lists = str(person), self.desk.price_lists
        before = (await lists.of(ctx, who, [merchant.id])).get(merchant.id, "")
        if before == wanted:
            ctx.say(ctx.t("{person} is on the list “{list}” already.", person=who, list=wanted))
            return
        full = (await lists.counts(ctx, merchant.id)).get(wanted, 0) >= BUYERS_MAX
        if who == ctx.user_id or full:
            ctx.say(ctx.t("That is not possible."))
            return
        lists.put(ctx, merchant.id, who, wanted)
        self.desk_audited(ctx, "merchant.price_list", who, "added", merchant=merchant.id, list=wanted)
        ctx.say(ctx.t("{person} is on the list “{list}” now.", person=who, list=wanted))
        if not (await self._desk_prices_on(ctx, merchant, wanted)):
            ctx.say(ctx.t("No price stands on it yet: “price list set {list}: Margherita 7.50”", list=wanted))
        room_id = await known_chat(ctx, who)
        if room_id and room_id != ctx.room_id:
            say = await self.desk_words_of(ctx, who)
            ctx.say(say.t("{merchant} has prices of your own for you.", merchant=merchant.name), room_id=room_id)

    @command("price list remove", help=_("Staff room: take a buyer off their list: price list remove @bob"),
             hidden=True)  # fmt: skip
    async def desk_price_list_remove(self, ctx: Context, person: UserID) -> None:
        """Take a buyer off the price list that they are on. What they have ordered keeps its price; what is in their
        cart is shown to them with the usual one before they can order it."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        who = str(person)
        before = (await self.desk.price_lists.of(ctx, who, [merchant.id])).get(merchant.id)
        if before is None:
            ctx.say(ctx.t("{person} is on none of your price lists.", person=who))
            return
        self.desk.price_lists.drop(ctx, merchant.id, who)
        self.desk_audited(ctx, "merchant.price_list", who, "removed", merchant=merchant.id, list=before)
        ctx.say(ctx.t("{person} is not on the list “{list}” any more.", person=who, list=before))

    # Inside

    def _desk_list_name(self, ctx: Context, text: str) -> str | None:
        """The name of a list as names are compared; None: it is none, and the person is told."""
        try:
            return price_list_name(text)
        except CatalogueError as error:
            ctx.say(refused(error, ctx))
            return None

    async def _desk_room_for(self, ctx: Context, merchant: Merchant, name: str) -> bool:
        """Whether there may be a list of this name beside the others; otherwise the person is told."""
        there = {*await self._desk_listed(ctx, merchant), *await self.desk.price_lists.counts(ctx, merchant.id)}
        if name in there or len(there) < LISTS_MAX:
            return True
        ctx.say(ctx.t("A merchant has at most {most} price lists.", most=LISTS_MAX))
        return False

    async def _desk_all_products(self, ctx: Context, merchant: Merchant) -> AsyncIterator[Product]:
        after = ""
        while True:
            page, after = await self.desk.shelf.all(ctx, merchant.id, after, READ)
            for product in page:
                yield product
            if not after:
                return

    async def _desk_listed(self, ctx: Context, merchant: Merchant) -> Counter[str]:
        """How many prices stand on each list."""
        found: Counter[str] = Counter()
        async for product in self._desk_all_products(ctx, merchant):
            found.update(name for variant in product.variants for name in {rule.tier for rule in variant.rules})
        del found[""]
        return found

    async def _desk_prices_on(self, ctx: Context, merchant: Merchant, name: str) -> list[tuple[str, Money]]:
        """What costs how much on a list: the lowest there is, where it depends on time or count."""
        found = []
        async for product in self._desk_all_products(ctx, merchant):
            for variant in product.variants:
                prices = [rule.price for rule in variant.rules if rule.tier == name]
                if prices:
                    found.append((product.label(variant), min(prices)))
        return found
