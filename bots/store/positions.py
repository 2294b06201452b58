"""SQL of where drivers were last. The seal is the caller's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from bots.store.fleet_tables import driver_positions


@dataclass(frozen=True, slots=True)
class PositionRow:
    """Where a driver was, as it is stored. ``heard_at``: ms since the epoch, by our clock."""

    bot: str
    person: str
    heard_at: int
    sealed: bytes


def put(connection: Connection, rows: Sequence[PositionRow]) -> None:
    """Write where some are now."""
    if not rows:
        return
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = make(driver_positions)
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=["bot", "person"], set_={"heard_at": new.heard_at, "sealed": new.sealed}
    )
    connection.execute(statement, [asdict(row) for row in rows])


def load(connection: Connection, bot: str, since: int) -> list[PositionRow]:
    """Where those were of whom something was heard since a moment."""
    query = select(driver_positions).where(driver_positions.c.bot == bot, driver_positions.c.heard_at >= since)
    rows = connection.execute(query).mappings()
    return [PositionRow(**{**row, "sealed": bytes(row["sealed"])}) for row in rows]


def forget(connection: Connection, bot: str, people: Sequence[str]) -> None:
    """Some want to be known no more."""
    for person in people:
        where = (driver_positions.c.bot == bot, driver_positions.c.person == person)
        connection.execute(delete(driver_positions).where(*where))


def forget_before(connection: Connection, bot: str, moment: int) -> None:
    """Where those were of whom nothing was heard since."""
    where = (driver_positions.c.bot == bot, driver_positions.c.heard_at < moment)
    connection.execute(delete(driver_positions).where(*where))
