"""The table of the tokens of driver apps. Times are milliseconds since the epoch, UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint, Table, Text, UniqueConstraint

from appservice.store.tables import metadata

__all__ = ["driver_tokens", "metadata"]

driver_tokens = Table(
    "driver_tokens",
    metadata,
    Column("id", Text, nullable=False, comment="The part of the token that finds it; no secret."),
    Column("bot", Text, nullable=False, comment="The plugin instance that the driver drives for."),
    Column("person", Text, nullable=False),
    Column("digest", Text, nullable=False, comment="SHA-256 of the token, in hex: the token itself is not kept."),
    Column("made_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("bot", "person", name="uq_driver_tokens_bot_person"),
    comment="One token for a driver: a new one takes the place of the old one.",
)
