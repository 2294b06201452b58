"""SQL of carts. What lies in one, and its seal, is whoever's who calls."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from appservice.database import insert_ignore
from bots.store.busy import TradeBusy
from bots.store.order_tables import carts


@dataclass(frozen=True, slots=True)
class CartRow:
    """One cart as it is stored."""

    version: int
    sealed: bytes
    updated_at: int


def get(connection: Connection, bot: str, owner: str) -> CartRow | None:
    """The cart of a person or a group."""
    query = select(carts).where(carts.c.bot == bot, carts.c.owner == owner)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else CartRow(row["version"], bytes(row["sealed"]), row["updated_at"])


def put(connection: Connection, bot: str, owner: str, before: int, after: CartRow) -> None:
    """Write a cart that is still of the version that was seen; 0: there was none.

    Raises:
        TradeBusy: it is not.
    """
    values = {"version": after.version, "sealed": after.sealed, "updated_at": after.updated_at}
    where = (carts.c.bot == bot, carts.c.owner == owner, carts.c.version == before)
    if connection.execute(update(carts).where(*where).values(values)).rowcount == 1:
        return
    row = {"bot": bot, "owner": owner, **values}
    made = before == 0 and connection.execute(insert_ignore(connection, carts, "bot", "owner"), row).rowcount == 1
    if not made:
        raise TradeBusy("a cart was changed meanwhile", owner=owner)


def drop(connection: Connection, bot: str, owner: str) -> None:
    """Forget a cart."""
    connection.execute(delete(carts).where(carts.c.bot == bot, carts.c.owner == owner))


def purge(connection: Connection, bot: str, before: int, limit: int) -> int:
    """Forget up to ``limit`` carts that nobody has touched for so long; how many."""
    old = select(carts.c.owner).where(carts.c.bot == bot, carts.c.updated_at < before).limit(limit)
    return connection.execute(delete(carts).where(carts.c.bot == bot, carts.c.owner.in_(old))).rowcount
