"""Carts that survive restarts: of a person, or of a group that orders together."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from bots.commerce import records
from bots.commerce.hand import Hand, Reader
from bots.commerce.price_lists import PriceLists
from bots.commerce.shelf import Shelf
from bots.commerce.trade import Trade
from bots.domain.carts import Cart, Priced, priced
from bots.domain.catalogue import Product
from bots.store import carts as sql

__all__ = ["Baskets"]

KEPT: Final = timedelta(days=90)
"""A cart that nobody touches for so long is forgotten."""
PURGED_MAX: Final = 200


class Baskets:
    """One for a plugin. An owner is a user id, or ``group:ROOM``."""

    def __init__(self, trade: Trade, bot: str, shelf: Shelf) -> None:
        """
        Args:
            bot: the plugin instance.
        """
        self._trade = trade
        self._bot = bot
        self._shelf = shelf
        self.lists = PriceLists(trade)
        """Who is on which price list."""

    async def get(self, reader: Reader, owner: str) -> Cart:
        """The cart as it stands; an empty one where there is none."""
        row = await reader.query(lambda connection: sql.get(connection, self._bot, owner))
        return records.cart_of(self._trade, self._bot, owner, row)

    def put(self, hand: Hand, owner: str, before: Cart, after: Cart) -> None:
        """Write a cart in the commit, if it is still as it was seen; otherwise the commit raises TradeBusy."""
        row = records.cart_row(self._trade, self._bot, owner, after, hand.now_ms())
        hand.store(lambda connection: sql.put(connection, self._bot, owner, before.version, row))

    async def priced(self, reader: Reader, cart: Cart, buyer: str) -> list[Priced]:
        """The lines of a cart with their prices now.

        Args:
            buyer: the user id of who pays. What a group has put together costs what it costs everybody: the others are
                not on the price list of whoever pays.
        """
        keys = {(line.merchant, line.product) for line in cart.lines}
        products = await self._shelf.products(reader, keys)

        def find(merchant: str, key: str) -> Product | None:
            return products.get((merchant, key))

        alone = not any(line.person for line in cart.lines)
        lists = await self.lists.of_products(reader, buyer, products) if alone else {}
        return priced(cart, find, self._trade.clock.now(), tier=lambda merchant: lists.get(merchant, ""))

    def purge(self, hand: Hand) -> None:
        """Forget carts that nobody has touched for long."""
        before = hand.now_ms() - KEPT // timedelta(milliseconds=1)
        hand.store(lambda connection: sql.purge(connection, self._bot, before, PURGED_MAX))
