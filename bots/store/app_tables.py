"""The table of mini app sessions. Times are milliseconds since the epoch, UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, PrimaryKeyConstraint, SmallInteger, Table, Text, text

from appservice.store.tables import metadata

app_sessions = Table(
    "app_sessions",
    metadata,
    Column("digest", Text, nullable=False, comment="SHA-256 of the cookie, in hex: the cookie itself is not kept."),
    Column("bot", Text, nullable=False, comment="The plugin instance whose page it is."),
    Column("person", Text, nullable=False),
    Column("room_id", Text, nullable=False, comment="The chat that the page belongs to."),
    Column("framed", SmallInteger, nullable=False, server_default=text("0"), comment="1: opened as a widget."),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("digest"),
    Index("ix_app_sessions_expires_at", "expires_at"),
    Index("ix_app_sessions_person", "person"),
)
