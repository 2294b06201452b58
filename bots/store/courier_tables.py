"""The tables of bringing: couriers, their trips, orders of groups. Names, addresses, codes and words of people lie
sealed; states, amounts, keys and user ids are in clear."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from appservice.store.tables import metadata

__all__ = ["courier_jobs", "couriers", "group_orders", "metadata"]

couriers = Table(
    "couriers",
    metadata,
    Column("bot", Text, nullable=False, comment="The plugin instance."),
    Column("person", Text, nullable=False),
    Column("state", Text, nullable=False, comment="bots.domain.couriers.CourierState"),
    Column("room_id", Text, nullable=False, comment="Where trips are offered to them."),
    Column("job", Text, nullable=False, server_default=text("''"), comment="The trip that they have; empty: none."),
    Column("applied_at", BigInteger, nullable=False),
    Column("asked_at", BigInteger, nullable=False, comment="When they were offered a trip last."),
    Column("revision", BigInteger, nullable=False, comment="Counts the changes: compare-and-set."),
    Column("sealed", LargeBinary, nullable=False, comment="JSON: name, vehicle."),
    PrimaryKeyConstraint("bot", "person"),
    Index("ix_couriers_bot_state", "bot", "state", "asked_at"),
)

courier_jobs = Table(
    "courier_jobs",
    metadata,
    Column("id", Text, nullable=False),
    Column("bot", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("merchant", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="bots.domain.couriers.JobKind"),
    Column("state", Text, nullable=False, comment="bots.domain.couriers.JobState"),
    Column("courier", Text, nullable=False, server_default=text("''"), comment="Who is asked, or has it."),
    Column("currency", Text, nullable=False),
    Column("fee", BigInteger, nullable=False, comment="What the courier gets."),
    Column("tip", BigInteger, comment="On top, when it is handed over; null: none."),
    Column("owed", SmallInteger, nullable=False, server_default=text("0"), comment="1: the courier is to be paid."),
    Column("deadline", BigInteger, comment="Of the offer; null: none is open."),
    Column("opened_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False, comment="Counts the changes: compare-and-set."),
    Column("sealed", LargeBinary, nullable=False, comment="JSON: places, codes, names, words of people."),
    PrimaryKeyConstraint("id"),
    Index("ix_courier_jobs_order", "bot", "order_id", "opened_at"),
    Index("ix_courier_jobs_state", "bot", "state", "updated_at"),
    Index("ix_courier_jobs_courier", "bot", "courier", "updated_at"),
    Index("ix_courier_jobs_owed", "bot", "owed", "updated_at"),
)

group_orders = Table(
    "group_orders",
    metadata,
    Column("id", Text, nullable=False),
    Column("bot", Text, nullable=False),
    Column("room_id", Text, nullable=False),
    Column("active", Text, comment="The room, while it is its order; null: it has ended. One for a room."),
    Column("merchant", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("state", Text, nullable=False, comment="bots.domain.group_orders.GroupState"),
    Column("order_id", Text, nullable=False, server_default=text("''"), comment="Once there is one."),
    Column("deadline", BigInteger, comment="Until when people add, or pay; null: none."),
    Column("body", Text, nullable=False, comment="JSON: who is done, the shares with amounts and payments."),
    Column("opened_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False, comment="Counts the changes: compare-and-set."),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("bot", "active"),
    Index("ix_group_orders_order", "bot", "order_id"),
    Index("ix_group_orders_state", "bot", "state", "deadline"),
)
