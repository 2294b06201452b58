"""SQL of imports: what is changed together, and what undoing the last one takes."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, delete, select, update

from appservice import json
from appservice.store.upsert import upsert
from bots.domain.catalogue import Category, Product, Stock, StockKind
from bots.store import catalogue, documents, stock
from bots.store.busy import TradeBusy
from bots.store.catalogue_tables import catalogue_imports, catalogue_products, catalogue_shelves

UNDO_MAX: Final = 64 * 1024 * 1024
"""Bytes of a stored undo, unpacked."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be changed together.

    Attributes:
        products: before and after, by key, with what is on the shelf; None: it is not there.
        categories: the same.
        counted: product and variant of what is counted anew.
        order: keys of all products as they will stand; empty: as they do.
    """

    products: Mapping[str, tuple[Product | None, Product | None]] = field(default_factory=dict)
    categories: Mapping[str, tuple[Category | None, Category | None]] = field(default_factory=dict)
    counted: frozenset[tuple[str, str]] = frozenset()
    order: tuple[str, ...] = ()


def live(connection: Connection, merchant_id: str) -> list[Product]:
    """All products of a merchant in their order, each with what is on the shelf now."""
    products = catalogue.everything(connection, merchant_id)
    levels = stock.of_products(connection, [(merchant_id, each.key) for each in products])
    counts = {(product, variant): level.count for (_, product, variant), level in levels.items()}

    def now(product: Product) -> Product:
        variants = tuple(
            replace(each, stock=Stock.of(counts.get((product.key, each.key), each.stock.count)))
            if each.stock.kind is StockKind.FINITE
            else each
            for each in product.variants
        )
        return product if variants == product.variants else replace(product, variants=variants)

    return [now(product) for product in products]


def apply(connection: Connection, merchant_id: str, change: Change, now: int, *, undoable: bool = True) -> None:
    """Change all of it.

    Args:
        undoable: remember what undoing it takes, in the place of what was remembered; otherwise nothing is remembered.

    Raises:
        TradeBusy: a product or a category is not as it was read.
        CatalogueError: a category would lie in itself.
    """
    before = catalogue.everything(connection, merchant_id)
    there = {each.key: each for each in before}
    for key, (was, _) in change.products.items():
        if digest(there.get(key)) != digest(was):
            raise TradeBusy("the catalogue was changed meanwhile", merchant=merchant_id)
    shelves = {each.key: each for each in catalogue.categories(connection, merchant_id)}
    for key, (shelf, _) in change.categories.items():
        if shelves.get(key) != shelf:
            raise TradeBusy("the catalogue was changed meanwhile", merchant=merchant_id)
    _categories(connection, merchant_id, change, now)
    put = [after for _, after in change.products.values() if after is not None]
    catalogue.put_many(connection, merchant_id, put, now, counted=change.counted)
    catalogue.drop(connection, merchant_id, [key for key, (_, after) in change.products.items() if after is None])
    if change.order:
        reorder(connection, merchant_id, change.order)
    connection.execute(delete(catalogue_imports).where(catalogue_imports.c.merchant_id == merchant_id))
    if undoable:
        _remember(connection, merchant_id, change, [each.key for each in before], now)


def _categories(connection: Connection, merchant_id: str, change: Change, now: int) -> None:
    # All of them first without what they lie in: the order in which they stand in a file says nothing.
    made = [after for _, after in change.categories.values() if after is not None]
    for category in made:
        if change.categories[category.key][0] is None:
            catalogue.put_category(connection, merchant_id, replace(category, parent=""), now)
    for category in made:
        catalogue.put_category(connection, merchant_id, category, now)
    for key, (_, left) in change.categories.items():
        if left is None:
            catalogue.drop_category(connection, merchant_id, key, now)


def reorder(connection: Connection, merchant_id: str, keys: Sequence[str]) -> None:
    """Let products stand in this order."""
    table, shelf = catalogue_products.c, catalogue_shelves.c
    query = select(table.key, table.position).where(table.merchant_id == merchant_id)
    stands = {row.key: int(row.position) for row in connection.execute(query)}
    wanted = [key for key in dict.fromkeys(keys) if key in stands]
    wanted += sorted(stands.keys() - set(wanted), key=lambda key: (stands[key], key))
    for position, key in enumerate(wanted, 1):
        if stands[key] != position:
            of_product = (table.merchant_id == merchant_id, table.key == key)
            connection.execute(update(catalogue_products).where(*of_product).values(position=position))
            on_shelf = (shelf.merchant_id == merchant_id, shelf.key == key)
            connection.execute(update(catalogue_shelves).where(*on_shelf).values(position=position))


# Undoing


@dataclass(frozen=True, slots=True)
class Undo:
    """What the last import changed.

    Attributes:
        products: as they were, by key; None: not there.
        made: digests of what they were made.
        counts: of product and variant that were counted: before and after.
        categories: as they were; None: not there.
        made_categories: what they were made; None: not there.
        order: keys as they stood.
    """

    products: Mapping[str, Product | None]
    made: Mapping[str, str]
    counts: Mapping[tuple[str, str], tuple[int, int]]
    categories: Mapping[str, Category | None]
    made_categories: Mapping[str, Category | None]
    order: tuple[str, ...]


def last(connection: Connection, merchant_id: str) -> Undo | None:
    """What undoing the last import takes; None: there was none, or it is undone."""
    table = catalogue_imports.c
    row = connection.execute(select(table.before, table.after).where(table.merchant_id == merchant_id)).one_or_none()
    if row is None:
        return None
    before, after = _unpacked(bytes(row.before)), _unpacked(bytes(row.after))
    return Undo(
        {
            key: None if held is None else documents.product(json.dumps(held))
            for key, held in before["products"].items()
        },
        after["products"],
        {(product, variant): (was, made) for product, variant, was, made in before["counts"]},
        {key: None if held is None else Category(*held) for key, held in before["categories"].items()},
        {key: None if held is None else Category(*held) for key, held in after["categories"].items()},
        tuple(before["order"]),
    )


def forget(connection: Connection, merchant_id: str) -> None:
    """Nothing is left to undo."""
    connection.execute(delete(catalogue_imports).where(catalogue_imports.c.merchant_id == merchant_id))


def digest(product: Product | None) -> str:
    """Tells whether a product is still what it was made; what is sold of it does not count. Empty: not there."""
    if product is None:
        return ""
    kept = tuple(
        replace(each, stock=Stock.of(0)) if each.stock.kind is StockKind.FINITE else each for each in product.variants
    )
    return sha256(documents.product_document(replace(product, variants=kept))).hexdigest()


def _remember(connection: Connection, merchant_id: str, change: Change, order: Iterable[str], now: int) -> None:
    counts = []
    for key, variant in sorted(change.counted):
        pair = change.products.get(key, (None, None))
        was, made = (None if each is None else each.variant(variant) for each in pair)
        if was is not None and made is not None:
            counts.append([key, variant, was.stock.count, made.stock.count])
    before = {
        "products": {key: _held(was) for key, (was, _) in change.products.items()},
        "categories": {key: _shelf(was) for key, (was, _) in change.categories.items()},
        "counts": counts,
        "order": list(order),
    }
    after = {
        "products": {key: digest(made) for key, (_, made) in change.products.items()},
        "categories": {key: _shelf(made) for key, (_, made) in change.categories.items()},
    }
    row = {"merchant_id": merchant_id, "before": _packed(before), "after": _packed(after), "created_at": now}
    upsert(connection, catalogue_imports, row)


def _held(product: Product | None) -> Any:
    return None if product is None else json.loads(documents.product_document(product))


def _shelf(category: Category | None) -> list[Any] | None:
    return None if category is None else [category.key, category.name, category.parent, category.position]


def _packed(value: Any) -> bytes:
    return zlib.compress(json.dumps(value))


def _unpacked(data: bytes) -> Any:
    return json.loads(zlib.decompressobj().decompress(data, UNDO_MAX))
