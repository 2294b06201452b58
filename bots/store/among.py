"""Rows of some products."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, and_, false, or_

__all__ = ["among"]


def among(
    merchant: ColumnElement[str], product: ColumnElement[str], wanted: Iterable[tuple[str, str]]
) -> ColumnElement[bool]:
    """Whether a row is of one of these products, each a merchant and a key.

    SQLite reads a whole table for ``(merchant, product) IN (VALUES …)``; of this it reads the rows, by their index.
    """
    keys: dict[str, set[str]] = {}
    for owner, key in wanted:
        keys.setdefault(owner, set()).add(key)
    return or_(false(), *(and_(merchant == owner, product.in_(sorted(own))) for owner, own in sorted(keys.items())))
