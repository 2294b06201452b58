"""SQL of surges that operators have set by hand."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, select

from appservice.store.upsert import upsert
from bots.store.surge_tables import surge_overrides as table

__all__ = ["OverrideRow", "drop", "of_bot", "put"]


@dataclass(frozen=True, slots=True)
class OverrideRow:
    """One as it is stored."""

    bot: str
    zone: str
    multiplier: int
    until: int
    person: str
    set_at: int


def put(connection: Connection, row: OverrideRow) -> None:
    """Set one, in place of the zone's before."""
    whole = asdict(row)
    upsert(connection, table, whole, {name: whole[name] for name in ("multiplier", "until", "person", "set_at")})


def drop(connection: Connection, bot: str, zone: str) -> None:
    """What is counted counts again."""
    connection.execute(delete(table).where(table.c.bot == bot, table.c.zone == zone))


def of_bot(connection: Connection, bot: str, now: int) -> list[OverrideRow]:
    """Those that count at a moment, by their zones."""
    query = select(table).where(table.c.bot == bot, table.c.until > now).order_by(table.c.zone)
    return [OverrideRow(**row) for row in connection.execute(query).mappings()]
