"""SQL of the orders of groups."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, RowMapping, select, update

from appservice.database import insert_ignore
from bots.store.busy import TradeBusy
from bots.store.courier_tables import group_orders


@dataclass(frozen=True, slots=True)
class GroupRow:
    """The order of a group as it is stored. Times: ms since the epoch.

    Attributes:
        active: the room, while this is its order; one for a room.
        body: JSON.
        settled: whether all money is where it belongs.
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
    settled: bool
    opened_at: int
    updated_at: int
    revision: int = 0


def add(connection: Connection, row: GroupRow) -> None:
    """Store a new one.

    Raises:
        TradeBusy: the room has one already.
    """
    values = {**asdict(row), "settled": int(row.settled)}
    if connection.execute(insert_ignore(connection, group_orders, "bot", "active"), values).rowcount != 1:
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


def of_rooms(connection: Connection, bot: str, rooms: Collection[str]) -> list[GroupRow]:
    """Those that these rooms have now."""
    query = select(group_orders).where(group_orders.c.bot == bot, group_orders.c.active.in_(rooms))
    return [_row(row) for row in connection.execute(query.order_by(group_orders.c.opened_at)).mappings()]


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


def unsettled(connection: Connection, bot: str, before: int, limit: int) -> list[GroupRow]:
    """Those whose money was to be moved before a moment and was not."""
    query = select(group_orders).where(
        group_orders.c.bot == bot, group_orders.c.settled == 0, group_orders.c.updated_at < before
    )
    rows = connection.execute(query.order_by(group_orders.c.updated_at).limit(limit))
    return [_row(row) for row in rows.mappings()]


def change(connection: Connection, before: GroupRow, after: GroupRow) -> None:
    """Write one that is still as it was read.

    Raises:
        TradeBusy: it is not.
    """
    where = (group_orders.c.id == before.id, group_orders.c.revision == before.revision)
    kept = {"id", "bot", "room_id", "opened_at"}
    values = {name: value for name, value in asdict(after).items() if name not in kept}
    values |= {"settled": int(after.settled), "revision": before.revision + 1}
    if connection.execute(update(group_orders).where(*where).values(values)).rowcount != 1:
        raise TradeBusy("a group order was changed meanwhile", group=before.id)


def _row(row: RowMapping) -> GroupRow:
    return GroupRow(**{**row, "settled": bool(row["settled"])})
