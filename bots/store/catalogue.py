"""SQL of categories and products."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Row, and_, bindparam, delete, func, insert, select, tuple_, update

from appservice import json
from appservice.database import insert_ignore
from appservice.store.upsert import upsert
from bots.domain.catalogue import Category, Product, StockKind, below
from bots.domain.searching import indexed
from bots.domain.stock import OutOfStock
from bots.store import documents, ratings, stock
from bots.store.busy import TradeBusy
from bots.store.catalogue_search import Indexer
from bots.store.catalogue_tables import catalogue_categories, catalogue_products, catalogue_shelves, merchants
from bots.store.order_tables import stock as levels
from bots.store.stock import StockKey

T = TypeVar("T")

Key = tuple[str, str]
"""Of a product: the merchant's id and its own key."""

KEYS_AT_ONCE: Final = 400
"""Bound parameters of one statement are few on SQLite."""

# Made once: to put one together takes longer than to run it.
_DOCUMENTS = select(catalogue_products.c.key, catalogue_products.c.document).where(
    catalogue_products.c.merchant_id == bindparam("of"),
    catalogue_products.c.key.in_(bindparam("keys", expanding=True)),
)


@dataclass(frozen=True, slots=True)
class Placed:
    """A product, and where it stands in its merchant's order."""

    product: Product
    position: int

    @property
    def cursor(self) -> str:
        """Stands for its place in a list."""
        return f"{self.position}:{self.product.key}"


# Products


def put(connection: Connection, merchant_id: str, product: Product, now: int, *, before: Product | None = None) -> None:
    """Store a product, new or changed.

    Args:
        before: as it was read; None: whatever stands there counts for nothing.

    Raises:
        TradeBusy: it is not as it was read, or there is no such merchant.
    """
    if before is not None and get(connection, merchant_id, product.key) != before:
        raise TradeBusy("a product was changed meanwhile", merchant=merchant_id)
    put_many(connection, merchant_id, [product], now)


def put_many(
    connection: Connection,
    merchant_id: str,
    products: Sequence[Product],
    now: int,
    *,
    counted: Collection[tuple[str, str]] | None = None,
) -> None:
    """Store products, new ones behind the others in their order.

    What is on the shelf is counted anew where a product says something else than it said when it was stored last: what
    has been sold since then is not forgotten by changing a price.

    Args:
        counted: product and variant of what is counted anew instead.

    Raises:
        TradeBusy: there is no such merchant.
    """
    indexer = _indexer(connection, merchant_id)
    names = {each.key: each.name for each in categories(connection, merchant_id)}
    table = catalogue_products.c
    last = select(func.coalesce(func.max(table.position), 0)).where(table.merchant_id == merchant_id)
    place = int(connection.execute(last).scalar_one())
    for part in _parts(products):
        rows = {row.key: row for row in _rows(connection, merchant_id, [each.key for each in part])}
        fresh = {}
        for product in part:
            row = rows.get(product.key)
            words = indexed(product, [names[key] for key in product.categories if key in names])
            values = _values(product, words, now)
            if row is None:
                place += 1
                fresh[product.key] = values | {"merchant_id": merchant_id, "key": product.key, "position": place}
                continue
            connection.execute(update(catalogue_products).where(table.number == row.number).values(values))
            indexer.change(int(row.number), json.loads(row.words), words)
            _count(connection, merchant_id, documents.product(bytes(row.document)), product, counted, now)
            shelf = (catalogue_shelves.c.merchant_id == merchant_id, catalogue_shelves.c.key == product.key)
            connection.execute(delete(catalogue_shelves).where(*shelf))
            _shelve(connection, merchant_id, {product.key: int(row.position)}, [product])
        if fresh:
            made = insert(catalogue_products).returning(table.number, table.key)
            for number, key in connection.execute(made, list(fresh.values())).all():
                indexer.change(int(number), {}, json.loads(fresh[key]["words"]))
            new = [product for product in part if product.key in fresh]
            _begin_count(connection, merchant_id, new, now)
            _shelve(connection, merchant_id, {key: values["position"] for key, values in fresh.items()}, new)
    indexer.write()


def _values(product: Product, words: Mapping[str, int], now: int) -> dict[str, Any]:
    return {
        "name": product.name,
        "language": product.language,
        "active": int(product.active),
        "document": documents.product_document(product),
        "words": json.dumps(words),
        "updated_at": now,
    }


def rewrite(
    connection: Connection,
    merchant_id: str,
    key: str,
    change: Callable[[Product], Product],
    now: int,
    counted: str = "",
) -> None:
    """Change a product as it stands at the moment; one that is not there is not missed.

    Args:
        counted: the variant that is counted anew, even if it comes to the same as last time.
    """
    table = catalogue_products.c
    query = select(table.document).where(table.merchant_id == merchant_id, table.key == key).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is not None:
        product = change(documents.product(bytes(row.document)))
        put_many(connection, merchant_id, [product], now, counted=[(key, counted)] if counted else None)


def drop(connection: Connection, merchant_id: str, keys: Collection[str]) -> None:
    """Remove products; those that are not there are not missed."""
    indexer = _indexer(connection, merchant_id)
    for part in _parts(list(keys)):
        rows = _rows(connection, merchant_id, part)
        for row in rows:
            stock.drop(connection, merchant_id, row.key)
            indexer.change(int(row.number), json.loads(row.words), {})
        shelves = catalogue_shelves.c
        connection.execute(delete(catalogue_shelves).where(shelves.merchant_id == merchant_id, shelves.key.in_(part)))
        numbers = [row.number for row in rows]
        connection.execute(delete(catalogue_products).where(catalogue_products.c.number.in_(numbers)))
    indexer.write()


def get(connection: Connection, merchant_id: str, key: str) -> Product | None:
    """A product by its key."""
    return many(connection, [(merchant_id, key)]).get((merchant_id, key))


def many(connection: Connection, keys: Collection[Key]) -> dict[Key, Product]:
    """Products by their keys; those that are not there are missing."""
    by_merchant: dict[str, list[str]] = {}
    for merchant_id, key in keys:
        by_merchant.setdefault(merchant_id, []).append(key)
    found: dict[Key, Product] = {}
    for merchant_id, wanted in by_merchant.items():
        for part in _parts(wanted):
            for row in connection.execute(_DOCUMENTS, {"of": merchant_id, "keys": list(part)}):
                found[merchant_id, row.key] = documents.product(bytes(row.document))
    return found


def page(
    connection: Connection,
    merchant_id: str,
    shelves: Collection[str],
    after: str,
    limit: int,
    *,
    hidden: bool = False,
) -> list[Placed]:
    """Products in their merchant's order, those behind a cursor.

    Args:
        shelves: keys of categories: what stands in any of them; none: everything.
        hidden: what is not sold at the moment too; only without categories.
    """
    products, shelf = catalogue_products.c, catalogue_shelves.c
    behind = _cursor(after)
    if shelves:
        stands = select(shelf.position, shelf.key).where(shelf.merchant_id == merchant_id)
        if len(shelves) == 1:
            stands = stands.where(shelf.category == next(iter(shelves)))
        else:
            stands = stands.where(shelf.category.in_(sorted(shelves))).distinct()
        if behind is not None:
            stands = stands.where(tuple_(shelf.position, shelf.key) > tuple_(*behind))
        keys = stands.order_by(shelf.position, shelf.key).limit(limit).subquery()
        query = select(products.position, products.document).join(
            keys, and_(products.merchant_id == merchant_id, products.key == keys.c.key)
        )
    else:
        query = select(products.position, products.document).where(products.merchant_id == merchant_id)
        if not hidden:
            query = query.where(products.active == 1)
        if behind is not None:
            # As a pair: of two comparisons joined by OR PostgreSQL reads all there is.
            query = query.where(tuple_(products.position, products.key) > tuple_(*behind))
    rows = connection.execute(query.order_by(products.position, products.key).limit(limit))
    return [Placed(documents.product(bytes(row.document)), int(row.position)) for row in rows]


def everything(connection: Connection, merchant_id: str) -> list[Product]:
    """All products of a merchant in their order, also those that are not sold."""
    table = catalogue_products.c
    query = select(table.document).where(table.merchant_id == merchant_id).order_by(table.position, table.key)
    return [documents.product(bytes(row.document)) for row in connection.execute(query)]


def count(connection: Connection, merchant_id: str) -> int:
    """How many products a merchant has, also those that are not sold."""
    query = select(func.count()).select_from(catalogue_products)
    return int(connection.execute(query.where(catalogue_products.c.merchant_id == merchant_id)).scalar_one())


def stars(connection: Connection, keys: Collection[Key]) -> dict[Key, tuple[float, int]]:
    """What people think of products, from 1 to 5 on average, and how many do."""
    found = ratings.sums(connection, keys)
    return {key: (stars / number, number) for key, (stars, number) in found.items() if number > 0}


# Categories


def categories(connection: Connection, merchant_id: str) -> list[Category]:
    """A merchant's categories in their order."""
    table = catalogue_categories.c
    query = select(catalogue_categories).where(table.merchant_id == merchant_id)
    rows = connection.execute(query.order_by(table.position, table.key))
    return [Category(row.key, row.name, row.parent, int(row.position)) for row in rows]


def put_category(connection: Connection, merchant_id: str, category: Category, now: int) -> None:
    """Store a category, new or changed.

    Raises:
        TradeBusy: there is no such merchant.
        CatalogueError: it would lie in itself.
    """
    before = {each.key: each for each in categories(connection, merchant_id)}
    below(category.key, [*(each for each in before.values() if each.key != category.key), category])
    row = {
        "merchant_id": merchant_id,
        "key": category.key,
        "name": category.name,
        "parent": category.parent,
        "position": category.position,
    }
    upsert(connection, catalogue_categories, row)
    was = before.get(category.key)
    if was is not None and was.name != category.name:
        # Products are found by the names of their categories.
        put_many(connection, merchant_id, _standing(connection, merchant_id, category.key), now)


def drop_category(connection: Connection, merchant_id: str, key: str, now: int) -> None:
    """Remove a category: what stands in it stays, and what lies in it comes to lie where it lay."""
    found = next((each for each in categories(connection, merchant_id) if each.key == key), None)
    if found is None:
        return
    table = catalogue_categories.c
    inside = update(catalogue_categories).where(table.merchant_id == merchant_id, table.parent == key)
    connection.execute(inside.values(parent=found.parent))
    connection.execute(delete(catalogue_categories).where(table.merchant_id == merchant_id, table.key == key))
    left = [
        replace(product, categories=tuple(each for each in product.categories if each != key))
        for product in _standing(connection, merchant_id, key)
    ]
    put_many(connection, merchant_id, left, now)


# What both need


def _standing(connection: Connection, merchant_id: str, category: str) -> list[Product]:
    """All products in a category, also those that are not sold."""
    return [each for each in everything(connection, merchant_id) if category in each.categories]


def _shelve(
    connection: Connection, merchant_id: str, positions: Mapping[str, int], products: Sequence[Product]
) -> None:
    rows = [
        {"merchant_id": merchant_id, "category": category, "position": positions[product.key], "key": product.key}
        for product in products
        if product.active
        for category in dict.fromkeys(product.categories)
    ]
    if rows:
        connection.execute(insert(catalogue_shelves), rows)


def _begin_count(connection: Connection, merchant_id: str, products: Sequence[Product], now: int) -> None:
    """So many of products that are new, in one statement: a menu may have thousands."""
    place = {"merchant": merchant_id, "slot": "", "held": 0, "changed_at": now}
    rows = [
        place | {"product": product.key, "variant": variant.key, "count": variant.stock.count}
        for product in products
        for variant in product.variants
        if variant.stock.kind is StockKind.FINITE
    ]
    if rows:
        ignoring = insert_ignore(connection, levels, "merchant", "product", "variant", "slot")
        connection.execute(ignoring, rows)


def _count(
    connection: Connection,
    merchant_id: str,
    was: Product,
    product: Product,
    counted: Collection[tuple[str, str]] | None,
    now: int,
) -> None:
    for variant in product.variants:
        before = was.variant(variant.key)
        if before is None:
            changed = variant.stock.kind is StockKind.FINITE
        elif before.stock.kind is not variant.stock.kind or counted is None:
            changed = before.stock != variant.stock
        else:
            changed = (product.key, variant.key) in counted
        if changed:
            number = variant.stock.count if variant.stock.kind is StockKind.FINITE else None
            counted_anew(connection, StockKey(merchant_id, product.key, variant.key), number, now)
    for gone in was.variants:
        if product.variant(gone.key) is None:
            stock.drop(connection, merchant_id, product.key, gone.key)


def counted_anew(connection: Connection, key: StockKey, number: int | None, now: int) -> None:
    """So much is there, and at least what is promised: orders that stand are not broken by counting."""
    try:
        stock.count(connection, key, number, now)
    except OutOfStock as promised:
        stock.count(connection, key, promised.left, now)


def _indexer(connection: Connection, merchant_id: str) -> Indexer:
    query = select(merchants.c.number, merchants.c.bot).where(merchants.c.id == merchant_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise TradeBusy("there is no such merchant", merchant=merchant_id)
    return Indexer(connection, str(row.bot), int(row.number))


def _rows(connection: Connection, merchant_id: str, keys: Collection[str]) -> Sequence[Row[Any, Any, Any, Any, Any]]:
    table = catalogue_products.c
    query = select(table.key, table.number, table.position, table.words, table.document)
    return connection.execute(query.where(table.merchant_id == merchant_id, table.key.in_(keys))).all()


def _cursor(after: str) -> tuple[int, str] | None:
    """Position and key of a cursor; None for one that is none, which stands before everything."""
    place, _, key = after.partition(":")
    return (int(place), key) if place.isascii() and place.isdecimal() and len(place) < 10 else None


def _parts(all_of: Sequence[T]) -> Iterator[Sequence[T]]:
    return (all_of[first : first + KEYS_AT_ONCE] for first in range(0, len(all_of), KEYS_AT_ONCE))
