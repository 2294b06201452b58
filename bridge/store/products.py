"""Embedding products and their keys in the database. Plain functions on a connection; times are ms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update
from sqlalchemy.engine import RowMapping

from appservice.database import insert_ignore
from bridge.store.product_tables import product_keys, products


@dataclass(frozen=True, slots=True)
class Product:
    """A product; its workspace has the same name."""

    name: str
    title: str
    created_at: int
    disabled_at: int | None = None


@dataclass(frozen=True, slots=True)
class ProductKey:
    """A key without its secret. ``hash``: what is compared."""

    id: str
    product: str
    hash: bytes
    scopes: frozenset[str]
    label: str
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    used_at: int | None = None
    successor: str | None = None

    def good(self, now: int) -> bool:
        """Whether it may be used."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


def add(connection: Connection, product: Product) -> bool:
    """Keep a new product; False when there is one of this name."""
    row = {name: getattr(product, name) for name in Product.__slots__}
    return connection.execute(insert_ignore(connection, products, "name"), row).rowcount == 1


def find(connection: Connection, name: str) -> Product | None:
    """The product of a name."""
    row = connection.execute(select(products).where(products.c.name == name)).mappings().first()
    return None if row is None else Product(**row)


def every(connection: Connection) -> list[Product]:
    """All of them, by name."""
    return [Product(**row) for row in connection.execute(select(products).order_by(products.c.name)).mappings()]


def change(connection: Connection, name: str, **values: Any) -> bool:
    """Set columns of a product; whether there is one."""
    return connection.execute(update(products).where(products.c.name == name).values(**values)).rowcount == 1


def add_key(connection: Connection, key: ProductKey) -> None:
    """Keep a new key."""
    row = {name: getattr(key, name) for name in ProductKey.__slots__}
    connection.execute(insert(product_keys), row | {"scopes": " ".join(sorted(key.scopes))})


def find_key(connection: Connection, key_id: str) -> tuple[ProductKey, Product] | None:
    """A key and its product."""
    query = (
        select(product_keys, products.c.title, products.c.created_at.label("since"), products.c.disabled_at)
        .join(products, products.c.name == product_keys.c.product)
        .where(product_keys.c.id == key_id)
    )
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    return _key(row), Product(row["product"], row["title"], row["since"], row["disabled_at"])


def keys_of(connection: Connection, product: str) -> list[ProductKey]:
    """The keys of a product, the newest first."""
    query = select(product_keys).where(product_keys.c.product == product)
    query = query.order_by(product_keys.c.created_at.desc(), product_keys.c.id)
    return [_key(row) for row in connection.execute(query).mappings()]


def revoke_key(connection: Connection, key_id: str, now: int) -> bool:
    """A key is good no more; False when it was not."""
    where = (product_keys.c.id == key_id, product_keys.c.revoked_at.is_(None))
    return connection.execute(update(product_keys).where(*where).values(revoked_at=now)).rowcount == 1


def replace_key(connection: Connection, key_id: str, successor: str, expires_at: int) -> bool:
    """A key ends at a time, as another one was made in its place; False when it has ended or was replaced already.

    One that ends earlier anyway still does.
    """
    table = product_keys.c
    where = (
        table.id == key_id,
        table.revoked_at.is_(None),
        table.successor.is_(None),
    )
    earlier = (or_(table.expires_at.is_(None), table.expires_at > expires_at),)
    if connection.execute(update(product_keys).where(*where).values(successor=successor)).rowcount != 1:
        return False
    connection.execute(update(product_keys).where(table.id == key_id, *earlier).values(expires_at=expires_at))
    return True


def touch_key(connection: Connection, key_id: str, now: int) -> None:
    """It was used."""
    connection.execute(update(product_keys).where(product_keys.c.id == key_id).values(used_at=now))


def _key(row: RowMapping) -> ProductKey:
    values = {name: row[name] for name in ProductKey.__slots__}
    values |= {"scopes": frozenset(row["scopes"].split()), "hash": bytes(row["hash"])}
    return ProductKey(**values)
