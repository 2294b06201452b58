"""The table of surges that operators have set by hand."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, Table, Text

from appservice.store.tables import metadata

__all__ = ["metadata", "surge_overrides"]

surge_overrides = Table(
    "surge_overrides",
    metadata,
    Column("bot", Text, nullable=False, comment="The plugin instance of rides."),
    Column("zone", Text, nullable=False, comment="Of the tariff; empty: everywhere else."),
    Column("multiplier", Integer, nullable=False, comment="In hundredths; 100: no surge."),
    Column("until", BigInteger, nullable=False, comment="ms since the epoch."),
    Column("person", Text, nullable=False, comment="The operator who set it."),
    Column("set_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("bot", "zone"),
    comment="What an operator says instead of what is counted; at most the cap of the tariff.",
)
