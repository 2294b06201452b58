"""What writes of the API came to, by their idempotency keys. Plain functions on a connection; times are ms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, select, tuple_, update

from appservice.database import insert_ignore
from bridge.store.product_tables import api_requests

PURPOSE: Final = "api-requests"
"""Of the key that seals answers."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A request that was made before. ``status``: None while somebody works on it."""

    fingerprint: str
    status: int | None
    answer: bytes | None
    lease: int


def claim(connection: Connection, product: str, key: str, fingerprint: str, now: int, lease: int) -> Kept | None:
    """Take a request on; what it came to, or who works on it, when it was made before.

    A claim whose lease is over is taken over: whoever had it has died or given up.

    Returns:
        None: it is the caller's to work on until ``lease``.
    """
    row = {
        "product": product,
        "key": key,
        "fingerprint": fingerprint,
        "lease": lease,
        "created_at": now,
    }
    if connection.execute(insert_ignore(connection, api_requests, "product", "key"), row).rowcount == 1:
        return None
    table = api_requests.c
    mine = (table.product == product, table.key == key)
    over = update(api_requests).where(*mine, table.fingerprint == fingerprint, table.status.is_(None))
    if connection.execute(over.where(table.lease <= now).values(lease=lease)).rowcount == 1:
        return None
    found = connection.execute(select(api_requests).where(*mine)).mappings().one_or_none()
    if found is None:  # released just now
        return Kept(fingerprint, None, None, now)
    answer = None if found["answer"] is None else bytes(found["answer"])
    return Kept(found["fingerprint"], found["status"], answer, found["lease"])


def finish(connection: Connection, product: str, key: str, status: int, answer: bytes) -> None:
    """Keep what a request came to, unless that is kept already."""
    where = (api_requests.c.product == product, api_requests.c.key == key, api_requests.c.status.is_(None))
    connection.execute(update(api_requests).where(*where).values(status=status, answer=answer))


def settle(connection: Connection, product: str, key: str, status: int, answer: bytes) -> None:
    """Keep another answer in the place of what a request came to."""
    where = (api_requests.c.product == product, api_requests.c.key == key)
    connection.execute(update(api_requests).where(*where).values(status=status, answer=answer))


def release(connection: Connection, product: str, key: str) -> None:
    """A request came to nothing: it may be made again, with this key or another."""
    where = (api_requests.c.product == product, api_requests.c.key == key, api_requests.c.status.is_(None))
    connection.execute(delete(api_requests).where(*where))


def release_all(connection: Connection) -> int:
    """Nobody works on anything: the process that did is gone. How many were left."""
    where = (api_requests.c.status.is_(None), api_requests.c.lease > 0)
    return connection.execute(update(api_requests).where(*where).values(lease=0)).rowcount


def purge(connection: Connection, before: int, limit: int = 1000) -> int:
    """Forget up to ``limit`` requests that were made before a time; how many."""
    table = api_requests.c
    old = select(table.product, table.key).where(table.created_at < before).limit(limit)
    rows = connection.execute(old).all()
    for row in rows:
        connection.execute(delete(api_requests).where(table.product == row.product, table.key == row.key))
    return len(rows)


def answered(connection: Connection, after: tuple[str, str], limit: int) -> list[tuple[str, str, bytes]]:
    """Answers that are kept, by product and key: those after a product and key."""
    table = api_requests.c
    query = (
        select(table.product, table.key, table.answer)
        .where(table.answer.is_not(None), tuple_(table.product, table.key) > after)
        .order_by(table.product, table.key)
        .limit(limit)
    )
    return [(row.product, row.key, bytes(row.answer)) for row in connection.execute(query)]


def forget_product(connection: Connection, product: str) -> None:
    """Nothing of a product is left here."""
    connection.execute(delete(api_requests).where(api_requests.c.product == product))
