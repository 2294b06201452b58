"""Price lists: other prices for some buyers. What stands on a list is a rule of a product's variant
(:class:`bots.domain.catalogue.PriceRule`); who is on it is here.

A buyer is on one list of a merchant at most. The lowest price that applies counts, so a list makes nothing dearer, and
nobody has to agree to be on one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from bots.commerce.hand import Hand, Reader
from bots.commerce.trade import Trade
from bots.domain.catalogue import PriceRule, Product, Variant
from bots.domain.money import Money
from bots.store import price_lists as sql
from bots.store.price_lists import ListedRow

__all__ = ["PriceList", "PriceLists", "with_rule"]

MINE_MAX = 50


@dataclass(frozen=True, slots=True)
class PriceList:
    """One of a person's: of a merchant (by id), by its name."""

    merchant: str
    name: str


class PriceLists:
    """Who is on which list. One for a plugin."""

    def __init__(self, trade: Trade) -> None:
        self._trade = trade

    # For buyers

    async def of(self, reader: Reader, person: str, merchants: Collection[str]) -> dict[str, str]:
        """The list of each of these merchants that a person is on, by the merchant's id; who is on none is missing.

        Args:
            person: a user id. What is no user id, as the owner of a group's cart, is on none.
        """
        if not merchants or not person.startswith("@"):
            return {}
        return await reader.query(lambda connection: sql.of_person(connection, person, merchants))

    async def of_products(
        self, reader: Reader, person: str, products: Mapping[tuple[str, str], Product]
    ) -> dict[str, str]:
        """The same for the merchants of products, by merchant and key; asked only where a list makes a difference."""
        return await self.of(reader, person, {merchant for (merchant, _), each in products.items() if each.price_lists})

    async def mine(self, reader: Reader, person: str) -> list[PriceList]:
        """Every list that a person is on, the newest first."""
        rows = await reader.query(lambda connection: sql.all_of_person(connection, person, MINE_MAX))
        return [PriceList(row.merchant, row.name) for row in rows]

    # For merchants

    async def counts(self, reader: Reader, merchant_id: str) -> dict[str, int]:
        """How many buyers are on each list of a merchant."""
        return await reader.query(lambda connection: sql.counts(connection, merchant_id))

    async def buyers(self, reader: Reader, merchant_id: str, name: str, after: str = "", limit: int = 50) -> list[str]:
        """Who is on a list, by their user ids, from behind ``after``."""
        return await reader.query(lambda connection: sql.buyers(connection, merchant_id, name, after, limit))

    def put(self, hand: Hand, merchant_id: str, person: str, name: str) -> None:
        """Put a buyer on a list; they leave the one of the merchant that they were on."""
        row = ListedRow(merchant_id, person, name, hand.now_ms())
        hand.store(lambda connection: sql.put(connection, row))

    def drop(self, hand: Hand, merchant_id: str, person: str) -> None:
        """Take a buyer off the merchant's list. What they have ordered keeps its price; their cart does not."""
        hand.store(lambda connection: sql.drop(connection, merchant_id, person))


def with_rule(variant: Variant, name: str, price: Money | None) -> Variant:
    """The variant with its price on a list, always and from one on; None takes it off the list altogether."""
    if price is None:
        return replace(variant, rules=tuple(rule for rule in variant.rules if rule.tier != name))
    plain = PriceRule(price, tier=name)
    kept = tuple(rule for rule in variant.rules if replace(rule, price=price) != plain)
    return replace(variant, rules=(*kept, plain))
