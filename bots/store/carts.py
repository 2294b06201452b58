"""SQL of carts. What lies in one, and its seal, is whoever's who calls."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, select, update

from appservice.database import insert_ignore
from bots.store.busy import TradeBusy
from bots.store.order_tables import carts

# Made once: to put one together takes longer than to run it.
_OF = (carts.c.bot == bindparam("of"), carts.c.owner == bindparam("whose"))
_GET = select(carts).where(*_OF)
_PUT = (
    update(carts)
    .where(*_OF, carts.c.version == bindparam("seen"))
    .values({name: bindparam(name) for name in ("version", "sealed", "updated_at")})
)


@dataclass(frozen=True, slots=True)
class CartRow:
    """One cart as it is stored."""

    version: int
    sealed: bytes
    updated_at: int


def get(connection: Connection, bot: str, owner: str) -> CartRow | None:
    """The cart of a person or a group."""
    row = connection.execute(_GET, {"of": bot, "whose": owner}).mappings().one_or_none()
    return None if row is None else CartRow(row["version"], bytes(row["sealed"]), row["updated_at"])


def put(connection: Connection, bot: str, owner: str, before: int, after: CartRow) -> None:
    """Write a cart that is still of the version that was seen; 0: there was none.

    Raises:
        TradeBusy: it is not.
    """
    values = {"version": after.version, "sealed": after.sealed, "updated_at": after.updated_at}
    if connection.execute(_PUT, {"of": bot, "whose": owner, "seen": before, **values}).rowcount == 1:
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
