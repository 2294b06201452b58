"""SQL of the orders of groups."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, RowMapping, and_, delete, select, update

from appservice.database import insert_ignore
from bots.domain.stock import HoldState
from bots.store.busy import TradeBusy
from bots.store.courier_tables import group_orders
from bots.store.order_tables import stock, stock_holds


@dataclass(frozen=True, slots=True)
class GroupRow:
    """The order of a group as it is stored. Times: ms since the epoch.

    Attributes:
        active: the room, while this is its order; one for a room.
        body: JSON.
    """

    id: str
    bot: str
    room_id: str
    active: str | None
    merchant: str
    host: str
    state: str
    order_id: str
    deadline: int | None
    body: str
    opened_at: int
    updated_at: int
    revision: int = 0


def add(connection: Connection, row: GroupRow) -> None:
    """Store a new one.

    Raises:
        TradeBusy: the room has one already.
    """
    if connection.execute(insert_ignore(connection, group_orders, "bot", "active"), asdict(row)).rowcount != 1:
        raise TradeBusy("the room has a group order already")


def get(connection: Connection, bot: str, group_id: str) -> GroupRow | None:
    """One by its id."""
    query = select(group_orders).where(group_orders.c.bot == bot, group_orders.c.id == group_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _row(row)


def of_room(connection: Connection, bot: str, room_id: str) -> GroupRow | None:
    """The one that a room has now."""
    query = select(group_orders).where(group_orders.c.bot == bot, group_orders.c.active == room_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _row(row)


def in_states(connection: Connection, bot: str, states: Collection[str], limit: int) -> list[GroupRow]:
    """Those in these states, whose deadline is nearest first."""
    query = select(group_orders).where(group_orders.c.bot == bot, group_orders.c.state.in_(states))
    rows = connection.execute(query.order_by(group_orders.c.deadline, group_orders.c.id).limit(limit))
    return [_row(row) for row in rows.mappings()]


def of_order(connection: Connection, bot: str, order_id: str) -> GroupRow | None:
    """The one whose people pay an order."""
    query = select(group_orders).where(group_orders.c.bot == bot, group_orders.c.order_id == order_id).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _row(row)


def change(connection: Connection, before: GroupRow, after: GroupRow) -> None:
    """Write one that is still as it was read.

    Raises:
        TradeBusy: it is not.
    """
    where = (group_orders.c.id == before.id, group_orders.c.revision == before.revision)
    kept = {"id", "bot", "room_id", "opened_at"}
    values = {name: value for name, value in asdict(after).items() if name not in kept}
    values["revision"] = before.revision + 1
    if connection.execute(update(group_orders).where(*where).values(values)).rowcount != 1:
        raise TradeBusy("a group order was changed meanwhile", group=before.id)


def _row(row: RowMapping) -> GroupRow:
    return GroupRow(**row)


def require(connection: Connection, group_id: str, state: str) -> None:
    """Somebody changes what belongs to a group order: it has to be in this state in the commit.

    Raises:
        TradeBusy: it is not any more.
    """
    # The row is written, so that of a change and an end to all changes that come at once, one waits for the other.
    where = (group_orders.c.id == group_id, group_orders.c.state == state)
    if connection.execute(update(group_orders).where(*where).values(state=state)).rowcount != 1:
        raise TradeBusy("a group order was changed meanwhile", group=group_id)


def promise_less(connection: Connection, order_id: str, left: Mapping[tuple[str, str, str, str], int], at: int) -> None:
    """Of what an order that is not paid yet was promised, only so much is wanted: the rest is free again.

    Args:
        left: how many, by merchant, product, variant and slot.
    """
    held = HoldState.HELD.value
    query = select(stock_holds).where(stock_holds.c.order_id == order_id, stock_holds.c.state == held)
    for row in connection.execute(query).mappings().all():
        key = (row["merchant"], row["product"], row["variant"], row["slot"])
        keep = min(left.get(key, 0), row["quantity"])
        if keep == row["quantity"]:
            continue
        mine = and_(*(stock_holds.c[name] == row[name] for name in ("order_id", "product", "variant", "slot")))
        if keep:
            connection.execute(update(stock_holds).where(mine).values(quantity=keep, at=at))
        else:
            connection.execute(delete(stock_holds).where(mine))
        there = and_(*(stock.c[name] == row[name] for name in ("merchant", "product", "variant", "slot")))
        freed = row["quantity"] - keep
        connection.execute(update(stock).where(there, stock.c.held >= freed).values(held=stock.c.held - freed))
