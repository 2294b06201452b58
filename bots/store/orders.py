"""SQL of orders, and of what happened to them. What an order means, and its seal, is whoever's who calls."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, Select, func, insert, or_, select, update

from appservice.database import insert_ignore
from bots.store.busy import TradeBusy
from bots.store.order_tables import order_steps, orders


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order as it is stored. Times: ms since the epoch."""

    id: str
    bot: str
    number: str
    checkout: str
    merchant: str
    buyer: str
    room_id: str
    state: str
    kind: str
    currency: str
    goods: int
    total: int
    coupon: str
    revision: int
    payment: str
    split: str
    courier: str
    settled: int
    wanted_at: int | None
    deadline: int | None
    placed_at: int
    updated_at: int
    version: int
    sealed: bytes


@dataclass(frozen=True, slots=True)
class StepRow:
    """Something that happened to an order."""

    order_id: str
    version: int
    action: str
    state: str
    person: str
    at: int


FIXED: Final = frozenset({"id", "bot", "number", "checkout", "merchant", "buyer", "placed_at", "payment", "settled"})
"""What a change does not reach: the last two are brought up to date by :func:`asked` and :func:`settled`."""


def add(connection: Connection, row: OrderRow, step: StepRow) -> bool:
    """Store an order; whether it is new.

    Raises:
        TradeBusy: the merchant has another order of this number.
    """
    there = connection.execute(select(orders.c.id).where(orders.c.id == row.id)).first()
    if there is not None:
        return False
    if connection.execute(insert_ignore(connection, orders, "merchant", "number"), asdict(row)).rowcount != 1:
        raise TradeBusy("the merchant has an order of this number", order=row.id)
    connection.execute(insert(order_steps), asdict(step))
    return True


def change(connection: Connection, row: OrderRow, before: int, step: StepRow, *, unsettled: bool) -> None:
    """Write an order that is still of the version that was read, and what happened to it.

    Args:
        unsettled: the money is to be brought to another place now.

    Raises:
        TradeBusy: it is not.
    """
    values = {name: value for name, value in asdict(row).items() if name not in FIXED}
    if unsettled:
        values["settled"] = 0
    where = (orders.c.id == row.id, orders.c.version == before)
    if connection.execute(update(orders).where(*where).values(values)).rowcount != 1:
        raise TradeBusy("an order was changed meanwhile", order=row.id)
    connection.execute(insert(order_steps), asdict(step))


def asked(connection: Connection, order_id: str, payment: str) -> None:
    """The wallet knows of the order's payment."""
    connection.execute(update(orders).where(orders.c.id == order_id).values(payment=payment))


def settled(connection: Connection, order_id: str, version: int) -> None:
    """The money of an order is where it belongs; if the order was changed meanwhile, that is to be seen anew."""
    connection.execute(update(orders).where(orders.c.id == order_id, orders.c.version == version).values(settled=1))


def unsettled(connection: Connection, order_id: str) -> None:
    """The money of an order is to be looked at again."""
    connection.execute(update(orders).where(orders.c.id == order_id).values(settled=0))


def get(connection: Connection, bot: str, order_id: str) -> OrderRow | None:
    """An order by its id."""
    return _one(connection, select(orders).where(orders.c.bot == bot, orders.c.id == order_id))


def of_number(connection: Connection, bot: str, number: str, *, buyer: str = "", merchant: str = "") -> OrderRow | None:
    """The newest order of a number, of a buyer or a merchant."""
    query = select(orders).where(orders.c.bot == bot, orders.c.number == number)
    if buyer:
        query = query.where(orders.c.buyer == buyer)
    if merchant:
        query = query.where(orders.c.merchant == merchant)
    return _one(connection, query.order_by(orders.c.placed_at.desc()).limit(1))


def numbers_taken(connection: Connection, merchant: str, numbers: Collection[str]) -> set[str]:
    """Which of some numbers a merchant has orders of."""
    query = select(orders.c.number).where(orders.c.merchant == merchant, orders.c.number.in_(sorted(numbers)))
    return set(connection.execute(query).scalars())


def of_buyer(connection: Connection, bot: str, person: str, before: str, limit: int) -> list[OrderRow]:
    """A person's orders, the newest first, of those that are older than the order ``before``."""
    query = select(orders).where(orders.c.bot == bot, orders.c.buyer == person)
    if before:  # ids sort by time
        query = query.where(orders.c.id < before)
    return _all(connection, query.order_by(orders.c.id.desc()).limit(limit))


def of_merchant(connection: Connection, bot: str, merchant: str, states: Collection[str], limit: int) -> list[OrderRow]:
    """A merchant's orders in some states, the oldest first; without states the newest first."""
    query = select(orders).where(orders.c.bot == bot, orders.c.merchant == merchant)
    if states:
        query = query.where(orders.c.state.in_(sorted(states))).order_by(orders.c.placed_at, orders.c.id)
    else:
        query = query.order_by(orders.c.placed_at.desc(), orders.c.id.desc())
    return _all(connection, query.limit(limit))


def placed_between(
    connection: Connection, bot: str, merchant: str, since: int, until: int, limit: int
) -> list[OrderRow]:
    """A merchant's orders that were placed from a moment on and before another (ms), the oldest first."""
    query = select(orders).where(
        orders.c.bot == bot, orders.c.merchant == merchant, orders.c.placed_at >= since, orders.c.placed_at < until
    )
    return _all(connection, query.order_by(orders.c.placed_at, orders.c.id).limit(limit))


def of_checkout(connection: Connection, bot: str, checkout: str) -> list[OrderRow]:
    """The orders of one cart."""
    query = select(orders).where(orders.c.bot == bot, orders.c.checkout == checkout)
    return _all(connection, query.order_by(orders.c.id))


def late(connection: Connection, bot: str, due: int, unsettled: int, limit: int) -> list[OrderRow]:
    """Orders whose deadline was before ``due``, or whose money was to be moved since before ``unsettled`` (ms)."""
    query = select(orders).where(
        orders.c.bot == bot,
        or_(orders.c.deadline < due, (orders.c.settled == 0) & (orders.c.updated_at < unsettled)),
    )
    return _all(connection, query.order_by(orders.c.updated_at).limit(limit))


def by_state(connection: Connection, bot: str, states: Collection[str]) -> dict[str, int]:
    """How many orders are in each of some states."""
    query = select(orders.c.state, func.count().label("number")).where(
        orders.c.bot == bot, orders.c.state.in_(sorted(states))
    )
    query = query.group_by(orders.c.state)
    return {str(row.state): int(row.number) for row in connection.execute(query)}


def had(connection: Connection, merchant: str, person: str, without: Collection[str]) -> int:
    """How many orders a person has had of a merchant, not counting those in some states."""
    query = select(func.count()).select_from(orders).where(orders.c.merchant == merchant, orders.c.buyer == person)
    return int(connection.execute(query.where(orders.c.state.not_in(sorted(without)))).scalar_one())


def steps(connection: Connection, order_id: str) -> list[StepRow]:
    """What happened to an order, in order."""
    query = select(order_steps).where(order_steps.c.order_id == order_id).order_by(order_steps.c.version)
    return [StepRow(**row) for row in connection.execute(query).mappings()]


def _one(connection: Connection, query: Select[Any]) -> OrderRow | None:
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _order(row)


def _all(connection: Connection, query: Select[Any]) -> list[OrderRow]:
    return [_order(row) for row in connection.execute(query).mappings()]


def _order(row: RowMapping) -> OrderRow:
    return OrderRow(**{**row, "sealed": bytes(row["sealed"])})
