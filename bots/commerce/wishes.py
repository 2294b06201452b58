"""Wish lists: what people would like, and a word when its price falls or it can be had again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

from bots.commerce.hand import Reader
from bots.commerce.price_lists import PriceLists
from bots.commerce.shelf import Shelf
from bots.commerce.telling import DOMAIN
from bots.commerce.trade import Trade
from bots.domain.catalogue import price_at
from bots.domain.money import Money
from bots.framework import Context
from bots.framework.context import TIMER_FIRED
from bots.store import wishes as sql
from bots.store.wishes import WishRow

__all__ = ["Wish", "WishList"]

WISHES_MAX: Final = 100
LOOK: Final = "wish_look"
PAGE: Final = 20
"""Wishes that are looked at in one go: no handler says more than it may."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One wish. ``price`` and ``there`` (whether it could be had): as the person heard of it last."""

    merchant: str
    product: str
    variant: str
    price: Money
    there: bool


class WishList:
    """One for a plugin."""

    def __init__(self, trade: Trade, bot: str, shelf: Shelf, every: timedelta = timedelta(hours=6)) -> None:
        """
        Args:
            bot: the plugin instance.
            every: how often it is looked whether somebody is to be told something; whole hours.
        """
        self._trade = trade
        self._bot = bot
        self._shelf = shelf
        self._lists = PriceLists(trade)
        self._hours = max(every // timedelta(hours=1), 1)

    async def list(self, reader: Reader, person: str) -> list[Wish]:
        """A person's wishes, the oldest first."""
        rows = await reader.query(lambda connection: sql.of_person(connection, self._bot, person))
        return [_wish(row) for row in rows]

    def add(
        self, ctx: Context, person: str, merchant: str, product: str, variant: str, price: Money, *, there: bool = True
    ) -> None:
        """Keep a wish; the person is told where they are now. Of more than :data:`WISHES_MAX` the oldest goes.

        Args:
            price: as the person sees it.
            there: whether it can be had.
        """
        row = WishRow(
            self._bot,
            person,
            merchant,
            product,
            variant,
            ctx.room_id,
            price.currency,
            price.minor,
            int(there),
            ctx.now_ms(),
        )

        ctx.store(lambda connection: sql.put(connection, row, WISHES_MAX))

    def drop(self, ctx: Context, person: str, merchant: str, product: str, variant: str) -> None:
        """Forget a wish."""
        ctx.store(lambda connection: sql.drop(connection, self._bot, person, merchant, product, variant))

    # Telling people

    async def hourly(self, ctx: Context) -> None:
        """Begin to look through all wishes, when it is time to."""
        if ctx.now_ms() // 3_600_000 % self._hours == 0:
            await self.look(ctx)

    async def look(self, ctx: Context, after: Sequence[str] = ()) -> None:
        """Look at some wishes, and have the following ones looked at. The timer "wish_look"."""
        rows = await ctx.query(lambda connection: sql.page(connection, self._bot, after, PAGE))
        products = await self._shelf.products(ctx, {(row.merchant, row.product) for row in rows})
        for row in rows:
            product = products.get((row.merchant, row.product))
            variant = None if product is None else product.variant(row.variant)
            if product is None or variant is None or not product.active:
                self._heard(ctx, row, Money(row.price, row.currency), there=False)
                continue
            left = (await self._shelf.left(ctx, row.merchant, row.product)).get(row.variant)
            lists = await self._lists.of_products(ctx, row.person, {(row.merchant, row.product): product})
            tier = lists.get(row.merchant, "")
            price, there = price_at(variant, self._trade.clock.now(), tier=tier), left is None or left > 0
            before = Money(row.price, row.currency)
            same = price.currency == before.currency
            if there and (not row.there or (same and price < before)):
                known = await ctx.services.people.get(row.person)
                words = ctx.services.catalogues.translator(known.language, DOMAIN, ZoneInfo(known.zone or "UTC"))
                name = product.label(variant)
                text = words.t("“{name}” from your wish list can be had again: {price}.", name=name, price=price)
                if row.there:
                    text = words.t(
                        "“{name}” from your wish list costs less now: {price} instead of {before}.",
                        name=name,
                        price=price,
                        before=before,
                    )
                ctx.say(text, room_id=row.room_id)
            self._heard(ctx, row, price, there=there)
        if len(rows) == PAGE:
            last = rows[-1]
            data = {"after": [last.person, last.merchant, last.product, last.variant]}
            call = {"name": LOOK, "data": data}
            ctx.schedules.at(self._trade.clock.now(), TIMER_FIRED, call, key=LOOK, room="~wishes", person="")

    def _heard(self, ctx: Context, row: WishRow, price: Money, *, there: bool) -> None:
        if (row.currency, row.price, bool(row.there)) != (price.currency, price.minor, there):
            ctx.store(lambda connection: sql.heard(connection, row, price.currency, price.minor, int(there)))


def _wish(row: WishRow) -> Wish:
    return Wish(row.merchant, row.product, row.variant, Money(row.price, row.currency), bool(row.there))
