"""Tables of limits. Times are milliseconds since the epoch, UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, Table, Text, text

from appservice.store.tables import metadata

__all__ = [
    "guard_movements",
    "guard_people",
    "guard_usage",
]

guard_people = Table(
    "guard_people",
    metadata,
    Column("person", Text, nullable=False),
    Column("tier", Integer, nullable=False, server_default=text("0")),
    Column("frozen_at", BigInteger, comment="When the person froze the wallet; null: it is not frozen."),
    Column("held_at", BigInteger, comment="When somebody else did; null: nobody holds it."),
    Column("held_by", Text, comment="Who did."),
    Column("changed_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("person"),
)

guard_usage = Table(
    "guard_usage",
    metadata,
    Column("person", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("span", Text, nullable=False, comment="day:2026-11-28 or month:2026-11, UTC."),
    Column("spent", BigInteger, nullable=False, comment="Minor units."),
    Column("ends_at", BigInteger, nullable=False, comment="When the day or month is over."),
    PrimaryKeyConstraint("person", "currency", "span"),
    Index("ix_guard_usage_ends_at", "ends_at"),
)

guard_movements = Table(
    "guard_movements",
    metadata,
    Column("id", Text, nullable=False),
    Column("direction", Text, nullable=False, comment="out or in"),
    Column("person", Text, nullable=False),
    Column("counterpart", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False, comment="Minor units."),
    Column("counted", BigInteger, nullable=False, comment="What of it counts: less once a hold is voided."),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("id", "direction"),
    Index("ix_guard_movements_person_at", "person", "at"),
    Index("ix_guard_movements_counterpart", "counterpart"),
    Index("ix_guard_movements_at", "at"),
)
