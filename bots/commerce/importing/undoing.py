"""What taking an import back would do: as far as nobody has changed since what it made. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bots.commerce.importing.plan import Changed, ImportPlan
from bots.domain.catalogue import Category, Product, Stock, StockKind, Variant
from bots.store.imports import Undo, digest

__all__ = ["undone"]


def undone(undo: Undo, products: Sequence[Product], categories: Sequence[Category]) -> ImportPlan:
    """The plan that brings back what was.

    Args:
        products: as they are, with what is on the shelf.
    """
    there = {each.key: each for each in products}
    added: list[Product] = []
    changed: list[Changed] = []
    removed: list[Product] = []
    kept: list[str] = []
    for key, was in undo.products.items():
        now = there.get(key)
        if digest(now) != undo.made[key]:
            named = now or was
            kept.append(key if named is None else named.name)
        elif was is None and now is not None:
            removed.append(now)
        elif was is not None and now is None:
            added.append(was)
        elif was is not None and now is not None:
            changed.append(Changed(now, _with_counts(undo, was, now)))
    shelves = {each.key: each for each in categories}
    same = {key for key, made in undo.made_categories.items() if shelves.get(key) == made}
    used = {category for key, each in there.items() if key not in undo.products for category in each.categories}
    return ImportPlan(
        added=tuple(added),
        changed=tuple(changed),
        removed=tuple(removed),
        categories=tuple(was for key, was in undo.categories.items() if was is not None and key in same),
        no_categories=tuple(
            key for key, was in undo.categories.items() if was is None and key in same and key not in used
        ),
        counted=frozenset(undo.counts),
        order=undo.order,
        kept=tuple(kept),
    )


def _with_counts(undo: Undo, was: Product, now: Product) -> Product:
    """As it was, and with as much on the shelf as there would be without the import."""

    def variant(each: Variant) -> Variant:
        current = now.variant(each.key)
        if each.stock.kind is not StockKind.FINITE or current is None or current.stock.kind is not StockKind.FINITE:
            return each
        before, made = undo.counts.get((was.key, each.key), (current.stock.count, current.stock.count))
        return replace(each, stock=Stock.of(max(0, before + current.stock.count - made)))

    return replace(was, variants=tuple(variant(each) for each in was.variants))
