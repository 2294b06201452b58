"""Tables of numbered timelines and of how far people have come in them. Times are milliseconds since the epoch, UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, PrimaryKeyConstraint, Table, Text, text

from appservice.store.tables import metadata

chat_heads = Table(
    "chat_heads",
    metadata,
    Column("chat_id", Text, nullable=False),
    Column("room_id", Text, nullable=False, comment="The room whose events are numbered now."),
    Column("head", BigInteger, nullable=False, comment="The last number given; goes on when the room is upgraded."),
    Column("first", BigInteger, nullable=False, server_default=text("1"), comment="The first number that is kept."),
    Column("updated_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("chat_id"),
)

chat_timeline = Table(
    "chat_timeline",
    metadata,
    Column("chat_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="From 1, without gaps."),
    Column("event_id", Text, nullable=False),
    Column("room_id", Text, nullable=False),
    Column("type", Text, nullable=False, comment="As the homeserver sees it: m.room.encrypted."),
    Column("sender", Text, nullable=False),
    Column("at", BigInteger, nullable=False, comment="By the sender's homeserver."),
    Column("state_key", Text, comment="Null: no state event."),
    Column("relation", Text, nullable=False, server_default=text("''"), comment="rel_type, or redacts."),
    Column("target", Text, nullable=False, server_default=text("''"), comment="The event that it belongs to."),
    Column("redacted", Boolean, nullable=False, server_default=text("false")),
    Column("numbered_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("chat_id", "seq"),
    Index("uq_chat_timeline_event_id", "event_id", unique=True),
    Index("ix_chat_timeline_sender", "sender"),
    Index("ix_chat_timeline_chat_id_numbered_at", "chat_id", "numbered_at"),
)

chat_marks = Table(
    "chat_marks",
    metadata,
    Column("chat_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("delivered", BigInteger, nullable=False, comment="All up to this number has arrived at them."),
    Column("delivered_at", BigInteger, nullable=False),
    Column("read", BigInteger, nullable=False, comment="They have read up to this number."),
    Column("read_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("chat_id", "user_id"),
    Index("ix_chat_marks_user_id", "user_id"),
    Index("ix_chat_marks_chat_id_delivered", "chat_id", "delivered"),
    Index("ix_chat_marks_chat_id_read", "chat_id", "read"),
)
