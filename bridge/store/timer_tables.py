"""Tables of message timers, retention and legal holds. Times are milliseconds since the epoch, UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, PrimaryKeyConstraint, Table, Text, text

from appservice.store.tables import metadata

chat_timers = Table(
    "chat_timers",
    metadata,
    Column("room_id", Text, nullable=False),
    Column("seconds", Integer, comment="How long messages stay from here on, as the room's timeline says; null: off."),
    Column("start", Text, nullable=False, comment="sent, read."),
    Column("set_by", Text, nullable=False),
    Column("set_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("room_id"),
)

timed_messages = Table(
    "timed_messages",
    metadata,
    Column("event_id", Text, nullable=False),
    Column("room_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="Order among those that are due at the same moment."),
    Column("sender", Text, nullable=False),
    Column("sent_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, comment="It is to be removed; null: not yet known when."),
    Column("read_seconds", Integer, comment="To be removed so long after its first reading; null: read, or never."),
    Column("target", Text, nullable=False, server_default=text("''"), comment="The event that it goes with."),
    Column("reason", Text, nullable=False, comment="timer, retention."),
    Column("tried", Boolean, nullable=False, server_default=text("false"), comment="Perhaps it is redacted already."),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("event_id"),
    Index("ix_timed_messages_due_at_seq", "due_at", "seq"),
    Index("ix_timed_messages_room_id_due_at", "room_id", "due_at"),
    Index(
        "ix_timed_messages_target",
        "target",
        sqlite_where=text("target <> ''"),
        postgresql_where=text("target <> ''"),
    ),
    Index(
        "ix_timed_messages_unread",
        "room_id",
        sqlite_where=text("read_seconds IS NOT NULL"),
        postgresql_where=text("read_seconds IS NOT NULL"),
    ),
    Index("ix_timed_messages_sender", "sender"),
    comment="Messages that are to be removed, without what they say.",
)

message_files = Table(
    "message_files",
    metadata,
    Column("event_id", Text, nullable=False),
    Column("media", Text, nullable=False, comment="mxc:// address of a file that the message refers to."),
    Column("room_id", Text, nullable=False),
    Column("sender", Text, nullable=False),
    PrimaryKeyConstraint("event_id", "media"),
    Index("ix_message_files_media", "media"),
    Index("ix_message_files_room_id", "room_id"),
    Index("ix_message_files_sender", "sender"),
    comment="The files of messages, to be removed with them.",
)

media_removals = Table(
    "media_removals",
    metadata,
    Column("media", Text, nullable=False, comment="mxc:// address of a file whose message is gone."),
    Column("room_id", Text, nullable=False),
    Column("sender", Text, nullable=False, comment="Whose message it was: only a file of theirs is removed."),
    Column("due_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("media", "sender"),
    Index("ix_media_removals_due_at", "due_at"),
    Index("ix_media_removals_sender", "sender"),
)

retention_policies = Table(
    "retention_policies",
    metadata,
    Column("scope", Text, nullable=False, comment="chat:ROOM, workspace:NAME; workspace: alone is people's own chats."),
    Column("days", Integer, nullable=False),
    Column("set_by", Text, nullable=False),
    Column("set_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("scope"),
)

retention_sweeps = Table(
    "retention_sweeps",
    metadata,
    Column("room_id", Text, nullable=False),
    Column("cursor", Text, nullable=False, server_default=text("''"), comment="All before it in the room is removed."),
    Column("due_at", BigInteger, nullable=False, comment="When to go through the room again."),
    PrimaryKeyConstraint("room_id"),
    Index("ix_retention_sweeps_due_at", "due_at"),
)

legal_holds = Table(
    "legal_holds",
    metadata,
    Column("room_id", Text, nullable=False),
    Column("workspace", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False, comment="Who holds it."),
    Column("since", BigInteger, nullable=False),
    Column("levels", Text, comment="The powers that redacting needed before, JSON; null: not yet noted."),
    Column("released_at", BigInteger, comment="It is over, but the powers have still to be given back."),
    PrimaryKeyConstraint("room_id"),
    Index("ix_legal_holds_workspace", "workspace"),
)
