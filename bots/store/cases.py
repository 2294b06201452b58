"""SQL of cases. What a case means, and its seal, is whoever's who calls."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, RowMapping, insert, or_, select, update

from bots.store.busy import TradeBusy
from bots.store.order_tables import order_cases, orders


@dataclass(frozen=True, slots=True)
class CaseRow:
    """One case as it is stored. Times: ms since the epoch; ``settled``: 0: a refund is still to be made."""

    id: str
    bot: str
    order_id: str
    merchant: str
    person: str
    kind: str
    state: str
    currency: str
    amount: int | None
    settled: int
    deadline: int | None
    opened_at: int
    updated_at: int
    version: int
    sealed: bytes


def add(connection: Connection, row: CaseRow, order_version: int) -> None:
    """Store a case about an order that is still as it was read.

    Raises:
        TradeBusy: it is not, or there is one like it by now.
    """
    c = order_cases.c
    # Whoever else opens a case about this order waits here: what is looked for after it stays so.
    claimed = update(orders).where(orders.c.id == row.order_id, orders.c.version == order_version)
    if connection.execute(claimed.values(version=orders.c.version)).rowcount != 1:
        raise TradeBusy("an order was changed meanwhile", order=row.order_id)
    like = select(c.id).where(c.order_id == row.order_id, c.kind == row.kind, c.state.in_(("open", "approved")))
    if connection.execute(like.limit(1)).first() is not None:
        raise TradeBusy("there is a case like it", order=row.order_id)
    connection.execute(insert(order_cases), asdict(row))


def change(connection: Connection, row: CaseRow, before: int) -> None:
    """Write a case that is still of the version that was read.

    Raises:
        TradeBusy: it is not.
    """
    values = asdict(row)
    for fixed in ("id", "bot", "order_id", "merchant", "person", "opened_at"):
        del values[fixed]
    where = (order_cases.c.id == row.id, order_cases.c.version == before)
    if connection.execute(update(order_cases).where(*where).values(values)).rowcount != 1:
        raise TradeBusy("a case was changed meanwhile", case=row.id)


def settled(connection: Connection, case_id: str, version: int) -> None:
    """What was to be given back is."""
    where = (order_cases.c.id == case_id, order_cases.c.version == version)
    connection.execute(update(order_cases).where(*where).values(settled=1))


def get(connection: Connection, bot: str, case_id: str) -> CaseRow | None:
    """A case by its id."""
    query = select(order_cases).where(order_cases.c.bot == bot, order_cases.c.id == case_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _case(row)


def of_order(connection: Connection, order_id: str) -> list[CaseRow]:
    """The cases of an order, the oldest first."""
    query = select(order_cases).where(order_cases.c.order_id == order_id).order_by(order_cases.c.id)
    return [_case(row) for row in connection.execute(query).mappings()]


def of_merchant(connection: Connection, bot: str, merchant: str, states: Collection[str], limit: int) -> list[CaseRow]:
    """A merchant's cases in some states, the oldest first; of all merchants where none is named."""
    query = select(order_cases).where(order_cases.c.bot == bot, order_cases.c.state.in_(sorted(states)))
    if merchant:
        query = query.where(order_cases.c.merchant == merchant)
    query = query.order_by(order_cases.c.opened_at, order_cases.c.id).limit(limit)
    return [_case(row) for row in connection.execute(query).mappings()]


def of_person(connection: Connection, bot: str, person: str, limit: int) -> list[CaseRow]:
    """A buyer's cases, the newest first."""
    query = select(order_cases).where(order_cases.c.bot == bot, order_cases.c.person == person)
    rows = connection.execute(query.order_by(order_cases.c.id.desc()).limit(limit)).mappings()
    return [_case(row) for row in rows]


def given_back(connection: Connection, merchant: str, since: int, until: int) -> list[tuple[str, str, int, int]]:
    """Order, currency, amount and time (ms) of what a merchant gave back by cases that were settled from a moment on
    and before another."""
    c = order_cases.c
    query = select(c.order_id, c.currency, c.amount, c.updated_at).where(
        c.merchant == merchant, c.state == "settled", c.amount.is_not(None), c.updated_at >= since, c.updated_at < until
    )
    rows = connection.execute(query.order_by(c.updated_at))
    return [(str(row.order_id), str(row.currency), int(row.amount), int(row.updated_at)) for row in rows]


def late(connection: Connection, bot: str, due: int, unsettled: int, limit: int) -> list[CaseRow]:
    """Cases whose deadline was before ``due``, or whose refund was to be made since before ``unsettled`` (ms)."""
    c = order_cases.c
    query = select(order_cases).where(
        c.bot == bot, or_(c.deadline < due, (c.settled == 0) & (c.updated_at < unsettled))
    )
    return [_case(row) for row in connection.execute(query.order_by(c.updated_at).limit(limit)).mappings()]


def _case(row: RowMapping) -> CaseRow:
    return CaseRow(**{**row, "sealed": bytes(row["sealed"])})
