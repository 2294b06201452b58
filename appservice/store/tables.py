"""The engine's tables. Times are milliseconds since the epoch, UTC; a ``seq`` counts up within its shard.

Each table carries its shard: a room belongs to one, and a shard has one writer (DESIGN, "Growing past one machine").
"""

from __future__ import annotations

from enum import IntEnum

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


class InboxState(IntEnum):
    """Where an event stands."""

    PENDING = 0
    DONE = 1
    DEAD = 2
    PARKED = 3
    DROPPED = 4
    REPLAY = 5


class OutboxState(IntEnum):
    """Where a message to the homeserver stands."""

    PENDING = 0
    SENT = 1
    FAILED = 2


class OutboxKind(IntEnum):
    """Which endpoint a row is sent by."""

    EVENT = 0
    STATE = 1
    REDACTION = 2


transactions = Table(
    "transactions",
    metadata,
    Column("shard", SmallInteger, nullable=False),
    Column("txn_id", Text, nullable=False, comment="The homeserver's transaction id."),
    Column("received_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("shard", "txn_id"),
)

inbox = Table(
    "inbox",
    metadata,
    Column("shard", SmallInteger, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="Order of arrival."),
    Column("event_id", Text, nullable=False),
    Column("room_id", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False, comment="The event as JSON; empty once it is done."),
    Column("state", SmallInteger, nullable=False, comment="InboxState"),
    Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
    Column(
        "done_by",
        Text,
        nullable=False,
        server_default=text("''"),
        comment="Consumers that are done, one a line.",
    ),
    Column("session_id", Text, comment="The Megolm session that a parked event waits for."),
    Column("error", Text, comment="Why the last attempt failed."),
    Column("received_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    PrimaryKeyConstraint("shard", "seq"),
    Index("uq_inbox_event_id", "event_id", unique=True),
    Index(
        "ix_inbox_unfinished",
        "shard",
        "seq",
        sqlite_where=text("state <> 1"),
        postgresql_where=text("state <> 1"),
    ),
)

outbox = Table(
    "outbox",
    metadata,
    Column("shard", SmallInteger, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="Order of sending within the room."),
    Column("txn_id", Text, nullable=False, comment="Derived from event, consumer and ordinal."),
    Column("room_id", Text, nullable=False),
    Column("user_id", Text, nullable=False, comment="The bot that sends."),
    Column("kind", SmallInteger, nullable=False, comment="OutboxKind"),
    Column("event_type", Text, nullable=False),
    Column("target", Text, comment="State key, or the event that is redacted."),
    Column("content", LargeBinary, nullable=False, comment="JSON, sealed in an encrypted room; empty once sent."),
    Column("sealed", SmallInteger, nullable=False, comment="1: content is sealed with the pickle key."),
    Column("ciphertext", LargeBinary, comment="The encrypted event's content, stored before it is sent."),
    Column("state", SmallInteger, nullable=False, comment="OutboxState"),
    Column("event_id", Text, comment="What the homeserver answered."),
    Column("error", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    PrimaryKeyConstraint("shard", "seq"),
    Index("uq_outbox_txn_id", "txn_id", unique=True),
    Index(
        "ix_outbox_unfinished",
        "shard",
        "seq",
        sqlite_where=text("state = 0"),
        postgresql_where=text("state = 0"),
    ),
)

rooms = Table(
    "rooms",
    metadata,
    Column("shard", SmallInteger, nullable=False),
    Column(
        "key",
        Text,
        nullable=False,
        comment="What the room is for, made before it was made: its idempotency key.",
    ),
    Column("room_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("shard", "key"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("shard", SmallInteger, nullable=False),
    Column("user_id", Text, nullable=False, comment="The bot."),
    Column("token", Text, nullable=False, comment="A sync token before which everything was received."),
    Column("taken_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("shard", "user_id"),
)
