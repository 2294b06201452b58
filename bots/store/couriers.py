"""SQL of couriers and their trips. What a trip means, and its seal, is the caller's."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, RowMapping, Select, select, update

from appservice.database import insert_ignore
from bots.store.busy import TradeBusy
from bots.store.courier_tables import courier_jobs, couriers


@dataclass(frozen=True, slots=True)
class CourierRow:
    """One courier as they are stored. Times: ms since the epoch."""

    bot: str
    person: str
    state: str
    room_id: str
    job: str
    applied_at: int
    asked_at: int
    sealed: bytes
    revision: int = 0


@dataclass(frozen=True, slots=True)
class JobRow:
    """One trip as it is stored. Times: ms since the epoch. ``owed``: the courier is still to be paid for it."""

    id: str
    bot: str
    order_id: str
    merchant: str
    kind: str
    state: str
    courier: str
    currency: str
    fee: int
    tip: int | None
    owed: bool
    deadline: int | None
    opened_at: int
    updated_at: int
    sealed: bytes
    revision: int = 0


# Couriers


def apply(connection: Connection, row: CourierRow) -> None:
    """Store somebody who wants to bring things.

    Raises:
        TradeBusy: they are stored already.
    """
    if connection.execute(insert_ignore(connection, couriers, "bot", "person"), asdict(row)).rowcount != 1:
        raise TradeBusy("the courier is known already")


def courier(connection: Connection, bot: str, person: str) -> CourierRow | None:
    """A courier by their user id."""
    query = select(couriers).where(couriers.c.bot == bot, couriers.c.person == person)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _courier(row)


def couriers_in(
    connection: Connection, bot: str, states: Collection[str], limit: int, after: str = ""
) -> list[CourierRow]:
    """Couriers in these states by their user ids, from behind ``after``."""
    query = select(couriers).where(couriers.c.bot == bot, couriers.c.state.in_(states), couriers.c.person > after)
    return [_courier(row) for row in connection.execute(query.order_by(couriers.c.person).limit(limit)).mappings()]


def waiting(connection: Connection, bot: str, state: str, limit: int) -> list[CourierRow]:
    """Couriers in a state who have no trip, who waits longest first."""
    query = select(couriers).where(couriers.c.bot == bot, couriers.c.state == state, couriers.c.job == "")
    rows = connection.execute(query.order_by(couriers.c.asked_at, couriers.c.person).limit(limit))
    return [_courier(row) for row in rows.mappings()]


def change_courier(connection: Connection, before: CourierRow, after: CourierRow) -> None:
    """Write a courier who is still as they were read.

    Raises:
        TradeBusy: they are not.
    """
    table = couriers.c
    where = (table.bot == before.bot, table.person == before.person, table.revision == before.revision)
    values = _values(after, before.revision, {"bot", "person", "applied_at"})
    if connection.execute(update(couriers).where(*where).values(values)).rowcount != 1:
        raise TradeBusy("a courier was changed meanwhile")


# Trips


def add(connection: Connection, row: JobRow) -> bool:
    """Store a trip; whether it is new."""
    values = {**asdict(row), "owed": int(row.owed)}
    return connection.execute(insert_ignore(connection, courier_jobs, "id"), values).rowcount == 1


def job(connection: Connection, bot: str, job_id: str) -> JobRow | None:
    """A trip by its id."""
    query = select(courier_jobs).where(courier_jobs.c.bot == bot, courier_jobs.c.id == job_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _job(row)


def of_order(connection: Connection, bot: str, order_id: str) -> list[JobRow]:
    """The trips of an order, the newest first."""
    query = select(courier_jobs).where(courier_jobs.c.bot == bot, courier_jobs.c.order_id == order_id)
    return _jobs(connection, query.order_by(courier_jobs.c.opened_at.desc(), courier_jobs.c.id.desc()))


def in_state(connection: Connection, bot: str, states: Collection[str], limit: int) -> list[JobRow]:
    """Everybody's trips in these states, what waits longest first."""
    query = select(courier_jobs).where(courier_jobs.c.bot == bot, courier_jobs.c.state.in_(states))
    return _jobs(connection, query.order_by(courier_jobs.c.updated_at, courier_jobs.c.id).limit(limit))


def of_courier(connection: Connection, bot: str, person: str, states: Collection[str], limit: int) -> list[JobRow]:
    """A courier's trips in these states, the newest first."""
    query = select(courier_jobs).where(
        courier_jobs.c.bot == bot, courier_jobs.c.courier == person, courier_jobs.c.state.in_(states)
    )
    return _jobs(connection, query.order_by(courier_jobs.c.updated_at.desc(), courier_jobs.c.id).limit(limit))


def owed(connection: Connection, bot: str, before: int, limit: int) -> list[JobRow]:
    """Trips that were to be paid before a moment and are not."""
    query = select(courier_jobs).where(
        courier_jobs.c.bot == bot, courier_jobs.c.owed == 1, courier_jobs.c.updated_at < before
    )
    return _jobs(connection, query.order_by(courier_jobs.c.updated_at).limit(limit))


def change(connection: Connection, before: JobRow, after: JobRow) -> None:
    """Write a trip that is still as it was read.

    Raises:
        TradeBusy: it is not.
    """
    where = (courier_jobs.c.id == before.id, courier_jobs.c.revision == before.revision)
    values = _values(after, before.revision, {"id", "bot", "order_id", "opened_at"})
    values["owed"] = int(after.owed)
    if connection.execute(update(courier_jobs).where(*where).values(values)).rowcount != 1:
        raise TradeBusy("a trip was changed meanwhile", trip=before.id)


def _values(row: CourierRow | JobRow, revision: int, kept: set[str]) -> dict[str, object]:
    values = {name: value for name, value in asdict(row).items() if name not in kept}
    return {**values, "revision": revision + 1}


def _jobs(connection: Connection, query: Select[tuple[object, ...]]) -> list[JobRow]:
    return [_job(row) for row in connection.execute(query).mappings()]


def _job(row: RowMapping) -> JobRow:
    return JobRow(**{**row, "sealed": bytes(row["sealed"]), "owed": bool(row["owed"])})


def _courier(row: RowMapping) -> CourierRow:
    return CourierRow(**{**row, "sealed": bytes(row["sealed"])})
