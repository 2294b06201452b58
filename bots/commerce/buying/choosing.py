"""A product's card, and what is chosen of it: variant, extras, how many; into the cart or onto the wish list."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from appservice.media import MediaError
from bots.commerce.buying.carts import CartKeeping
from bots.commerce.buying.extras import choose_extras
from bots.commerce.buying.words import Speaking, counting, joined, left_of, own_price, price_of, short, stars_of
from bots.commerce.desk.photos import redrawn
from bots.commerce.engines.base import EngineFailed
from bots.commerce.hand import Glance
from bots.domain.carts import QUANTITY_MAX, CartLine
from bots.domain.catalogue import Variant, price_at
from bots.domain.merchants import MerchantState
from bots.domain.money import Money
from bots.framework import Context, Dialog, Key, Option
from bots.framework.i18n import Translator

log = logging.getLogger(__name__)

DESCRIPTION: Final = 400
"""Characters of a description on the card; the rest is an option."""
OPEN_TO_BUYERS: Final = (MerchantState.ACTIVE, MerchantState.PAUSED)
"""What others have for sale is not shown."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A variant on a card.

    Attributes:
        left: None where there is no end of it.
        usual: what others pay, where a price list makes it cheaper for this buyer.
    """

    key: str
    name: str
    price: Money
    left: int | None
    usual: Money | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """A product as a dialog keeps it.

    Attributes:
        takes_orders: whether its merchant does at the moment.
        elsewhere: where its picture lies on the web, when it does not lie on the homeserver.
    """

    merchant: str
    seller: str
    product: str
    name: str
    description: str
    image: str
    variants: tuple[Offered, ...]
    stars: float | None
    ratings: int
    takes_orders: bool
    elsewhere: str = ""

    @property
    def left(self) -> int | None:
        """Of all variants; None: without end."""
        counts = [each.left for each in self.variants]
        return None if None in counts else sum(count for count in counts if count is not None)


class Choosing(CartKeeping):
    """The card and the way into the cart, for the plugin to inherit."""

    async def card(self, d: Dialog, merchant: str, product: str, owner: str, person: str = "") -> bool:
        """Show a product, and put it into a cart; whether the list that it came from is done with.

        Args:
            merchant: id.
            product: key.
            owner: whose cart: a user id or ``group:ROOM``.
            person: who wants it, in the cart of a group.
        """
        shown = await self.look(d, "card", self.read_card, merchant, product, owner)
        if shown is None:
            await d.say(d.t("This is not sold any more."))
            return False
        image = shown.image
        if not image and shown.elsewhere:
            image = await d.do("picture", self._picture_here, shown)
        if image:
            await d.send({"msgtype": "m.image", "body": shown.name, "url": image, "info": {}})
        wanted = await self._wanted(d, shown)
        if wanted == "back":
            return False
        if wanted == "wish":
            variant = await self._variant(d, shown, sold_out=True)
            if variant is not None:
                await d.do("wish", self._wish, shown, variant)
                await d.say(d.t("On your wish list. I tell you when its price falls, or when it is there again."))
            return False
        return await self._take(d, shown, owner, person, several=wanted == "several")

    async def _wanted(self, d: Dialog, shown: Card) -> str:
        while True:
            wanted = await d.choose(card_text(Speaking(d), shown), self._options(d, shown))
            if wanted.value != "all":
                return wanted.value
            await d.say(shown.description)

    def _options(self, d: Dialog, shown: Card) -> list[Option]:
        options = []
        if shown.takes_orders and shown.left != 0:
            options += [Option("one", d.t("Into the cart"), key="🛒"), Option("several", d.t("Several of it"))]
        options.append(Option("wish", d.t("Onto the wish list"), key="⭐"))
        if len(shown.description) > DESCRIPTION:
            options.append(Option("all", d.t("Read all of the description")))
        options.append(Option("back", d.t("Back to the list"), key="⬅️"))
        return options

    async def _take(self, d: Dialog, shown: Card, owner: str, person: str, *, several: bool) -> bool:
        variant = await self._variant(d, shown)
        if variant is None:
            return False
        groups = await self.look(d, "extras", self.extras_of, shown.merchant, shown.product)
        missing = next((each.name for each in groups if each.impossible), None)
        if missing is not None:
            await d.say(d.t("This cannot be ordered now: there is not enough left of “{group}”.", group=missing))
            return False
        choices = await choose_extras(d, groups)
        count = 1
        if several:
            most = QUANTITY_MAX if variant.left is None else min(variant.left, QUANTITY_MAX)
            count = await d.ask(d.t("How many?"), parse=counting(most))
        line = CartLine(shown.merchant, shown.product, variant.key, count, choices, person)
        added = await d.do("add", self.put_in, owner, [line])
        if added.refusals:
            await d.say("\n".join(added.refusals))
            return False
        things = d.n("There is {count} thing in the cart.", "There are {count} things in the cart.", added.things)
        options = {d.t("Go on"): "on", d.t("Show the cart"): "cart"}
        if not person:
            options[d.t("Check out")] = "checkout"
        following = await d.choose(d.t("In the cart: {what}", what=added.labels[0]) + "\n" + things, options)
        if following == "on":
            return False
        await d.do("leave", self._leave_card, following, owner, person)
        return True

    async def _leave_card(self, ctx: Context, to: str, owner: str, person: str) -> None:
        if to == "checkout":
            await self.begin_checkout(ctx, owner)
        else:
            ctx.start(self.cart_at_hand, owner, person)

    async def _picture_here(self, ctx: Context, shown: Card) -> str:
        """The picture of a catalogue that is kept elsewhere as a file of the homeserver, brought there once; empty: it
        cannot be had, and the card goes without."""
        known = Key(f"picture/{sha256(shown.elsewhere.encode()).hexdigest()}", str, default="")
        there = await ctx.plugin_state.get(known)
        if there:
            return there
        try:
            data = await self.market.shelf.engine.picture(ctx, shown.merchant, shown.product)
            if data is None:
                return ""
            drawn, kind = await asyncio.to_thread(redrawn, data)
            stored = await ctx.services.media.upload(ctx.user_id, drawn, kind, encrypted=False)
        except (EngineFailed, MediaError) as error:
            log.info("a picture is left out of a card: %s", error.code)
            return ""
        url = str(stored.content["url"])
        ctx.plugin_state.set(known, url)
        return url

    async def _wish(self, ctx: Context, shown: Card, variant: Offered) -> None:
        self.market.wishes.add(
            ctx, ctx.sender, shown.merchant, shown.product, variant.key, variant.price, there=variant.left != 0
        )

    async def _variant(self, d: Dialog, shown: Card, *, sold_out: bool = False) -> Offered | None:
        """Which variant is meant; None when it is sold out, and they have been told so.

        Args:
            sold_out: whether it may be one that is.
        """
        chosen = shown.variants[0]
        if len(shown.variants) > 1:
            say = Speaking(d)
            options = [
                Option(
                    each.key,
                    short(each.name, 100),
                    joined([price_of(say, [each.price]), own_price(say, each.usual), left_of(say, each.left)]),
                )
                for each in shown.variants
            ]
            picked = await d.choose(d.t("{name}: which one?", name=shown.name), options)
            chosen = next(each for each in shown.variants if each.key == picked.value)
        if chosen.left == 0 and not sold_out:
            await d.say(d.t("{name} is sold out. “Onto the wish list” tells you when it is there again.",
                            name=chosen.name))  # fmt: skip
            return None
        return chosen

    async def read_card(self, reader: Glance, merchant_id: str, key: str, owner: str) -> Card | None:
        """A product as it stands, with the prices of the owner of a cart; None when it is not sold, or its merchant
        sells nothing here."""
        merchant = await self.market.sellers.get(reader, merchant_id)
        product = await self.market.shelf.product(reader, merchant_id, key)
        if merchant is None or product is None or not product.active or merchant.state not in OPEN_TO_BUYERS:
            return None
        left = await self.market.shelf.left(reader, merchant_id, key)
        lists = await self.market.price_lists.of_products(reader, owner, {(merchant_id, key): product})
        average, ratings = await self.market.ratings.average(reader, merchant_id, key)
        return Card(
            merchant_id,
            merchant.name,
            key,
            product.name,
            product.description,
            product.images[0] if product.images else "",
            tuple(_offered(each, reader.now(), lists.get(merchant_id, ""), left.get(each.key))
                  for each in product.variants),
            average,
            ratings,
            merchant.state is MerchantState.ACTIVE,
            product.picture,
        )  # fmt: skip


def _own(say: Translator, shown: Card) -> str:
    """Of several variants each says what others pay when it is chosen."""
    if len(shown.variants) == 1:
        return own_price(say, shown.variants[0].usual)
    return say.t("your price") if any(each.usual is not None for each in shown.variants) else ""


def _offered(variant: Variant, at: datetime, tier: str, left: int | None) -> Offered:
    price, usual = price_at(variant, at, tier=tier), price_at(variant, at)
    return Offered(variant.key, variant.name, price, left, usual if price < usual else None)


def card_text(say: Translator, shown: Card) -> str:
    """A product as people read it."""
    facts = [
        price_of(say, [each.price for each in shown.variants]),
        _own(say, shown),
        left_of(say, shown.left),
        stars_of(say, shown.stars, shown.ratings),
    ]
    paused = "" if shown.takes_orders else say.t("{merchant} takes no orders at the moment.", merchant=shown.seller)
    lines = [shown.name, joined(facts), say.t("From {merchant}", merchant=shown.seller),
             short(shown.description, DESCRIPTION), paused]  # fmt: skip
    return joined(lines, "\n")
