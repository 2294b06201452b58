"""The catalogue in Rialto's own database."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from bots.commerce.engines.base import Listed, Page, free
from bots.commerce.hand import Reader
from bots.domain.catalogue import Category, Product, StockKind, below
from bots.store import catalogue as sql
from bots.store import catalogue_search, stock

__all__ = ["BuiltIn"]


class BuiltIn:
    """Reads the catalogue of one bot's merchants."""

    def __init__(self, instance: str) -> None:
        """
        Args:
            instance: the plugin instance that they sell through.
        """
        self._instance = instance

    async def product(self, reader: Reader, merchant_id: str, key: str) -> Product | None:
        """A product by its key."""
        return await reader.query(lambda connection: sql.get(connection, merchant_id, key))

    async def products(self, reader: Reader, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Product]:
        """Products by merchant and key."""
        return await reader.query(lambda connection: sql.many(connection, keys))

    async def categories(self, reader: Reader, merchant_id: str) -> list[Category]:
        """A merchant's categories."""
        return await reader.query(lambda connection: sql.categories(connection, merchant_id))

    async def browse(
        self, reader: Reader, merchant_id: str, category: str = "", after: str = "", limit: int = 10
    ) -> Page:
        """What a merchant sells."""

        def read(connection: Connection) -> Page:
            shelves = below(category, sql.categories(connection, merchant_id)) if category else ()
            placed = sql.page(connection, merchant_id, shelves, after, limit + 1)
            shown = placed[:limit]
            items = listed(connection, [(merchant_id, each.product) for each in shown])
            return Page(items, shown[-1].cursor if len(placed) > limit else "")

        return await reader.query(read)

    async def search(
        self,
        reader: Reader,
        text: str,
        *,
        merchant_id: str = "",
        language: str = "",
        after: str = "",
        limit: int = 10,
    ) -> Page:
        """What answers a search."""
        skip = int(after) if after.isascii() and after.isdecimal() and len(after) < 6 else 0

        def read(connection: Connection) -> Page:
            hits = catalogue_search.search(
                connection,
                self._instance,
                text,
                merchant_id=merchant_id,
                language=language,
                skip=skip,
                limit=limit + 1,
            )
            items = listed(connection, [(hit.merchant_id, hit.product) for hit in hits[:limit]])
            return Page(items, str(skip + limit) if len(hits) > limit else "")

        return await reader.query(read)

    async def picture(self, reader: Reader, merchant_id: str, key: str) -> bytes | None:
        """Pictures lie on the homeserver: :attr:`bots.domain.catalogue.Product.images`."""
        return None

    async def left(self, reader: Reader, merchant_id: str, key: str) -> dict[str, int | None]:
        """How much of each variant can still be bought."""

        def read(connection: Connection) -> dict[str, int | None]:
            product = sql.get(connection, merchant_id, key)
            levels = stock.of_products(connection, [(merchant_id, key)])
            own = {variant: level for (_, _, variant), level in levels.items()}
            return {} if product is None else free(product, own)

        return await reader.query(read)


def listed(connection: Connection, products: Sequence[tuple[str, Product]]) -> tuple[Listed, ...]:
    """Products with what is left of them and what people think of them."""
    keys = [(merchant_id, product.key) for merchant_id, product in products]
    if not keys:
        return ()
    # Of what is made when it is ordered, nothing is counted: most menus need no question.
    counted = [
        (merchant_id, product.key)
        for merchant_id, product in products
        if any(each.stock.kind is StockKind.FINITE for each in product.variants)
    ]
    levels = stock.of_products(connection, counted) if counted else {}
    stars = sql.stars(connection, keys)
    found = []
    for (merchant_id, product), key in zip(products, keys, strict=True):
        own = {variant: level for (merchant, name, variant), level in levels.items() if (merchant, name) == key}
        counts = free(product, own).values()
        left = None if None in counts else sum(count for count in counts if count is not None)
        average, number = stars.get(key, (None, 0))
        found.append(Listed(merchant_id, product, left, average, number))
    return tuple(found)
