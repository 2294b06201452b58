"""The engine: transactions, inbox, outbox, rooms, checkpoints

Revision ID: 0001
Revises:
Create Date: 2026-11-21 21:30:49.738265
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "inbox",
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="Order of arrival."),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False, comment="The event as JSON; empty once it is done."),
        sa.Column("state", sa.SmallInteger(), nullable=False, comment="InboxState"),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "done_by",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="Consumers that are done, one a line.",
        ),
        sa.Column("session_id", sa.Text(), nullable=True, comment="The Megolm session that a parked event waits for."),
        sa.Column("error", sa.Text(), nullable=True, comment="Why the last attempt failed."),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("shard", "seq", name=op.f("pk_inbox")),
    )
    op.create_index(
        "ix_inbox_unfinished",
        "inbox",
        ["shard", "seq"],
        unique=False,
        sqlite_where=sa.text("state <> 1"),
        postgresql_where=sa.text("state <> 1"),
    )
    op.create_index("uq_inbox_event_id", "inbox", ["event_id"], unique=True)

    op.create_table(
        "outbox",
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="Order of sending within the room."),
        sa.Column("txn_id", sa.Text(), nullable=False, comment="Derived from event, consumer and ordinal."),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False, comment="The bot that sends."),
        sa.Column("kind", sa.SmallInteger(), nullable=False, comment="OutboxKind"),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=True, comment="State key, or the event that is redacted."),
        sa.Column(
            "content", sa.LargeBinary(), nullable=False, comment="JSON, sealed in an encrypted room; empty once sent."
        ),
        sa.Column("sealed", sa.SmallInteger(), nullable=False, comment="1: content is sealed with the pickle key."),
        sa.Column(
            "ciphertext",
            sa.LargeBinary(),
            nullable=True,
            comment="The encrypted event's content, stored before it is sent.",
        ),
        sa.Column("state", sa.SmallInteger(), nullable=False, comment="OutboxState"),
        sa.Column("event_id", sa.Text(), nullable=True, comment="What the homeserver answered."),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("shard", "seq", name=op.f("pk_outbox")),
    )
    op.create_index(
        "ix_outbox_unfinished",
        "outbox",
        ["shard", "seq"],
        unique=False,
        sqlite_where=sa.text("state = 0"),
        postgresql_where=sa.text("state = 0"),
    )
    op.create_index("uq_outbox_txn_id", "outbox", ["txn_id"], unique=True)

    op.create_table(
        "rooms",
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column(
            "key",
            sa.Text(),
            nullable=False,
            comment="What the room is for, made before it was made: its idempotency key.",
        ),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "key", name=op.f("pk_rooms")),
    )
    op.create_table(
        "transactions",
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("txn_id", sa.Text(), nullable=False, comment="The homeserver's transaction id."),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "txn_id", name=op.f("pk_transactions")),
    )
    op.create_table(
        "checkpoints",
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False, comment="The bot."),
        sa.Column("token", sa.Text(), nullable=False, comment="A sync token before which everything was received."),
        sa.Column("taken_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "user_id", name=op.f("pk_checkpoints")),
    )


def downgrade() -> None:
    op.drop_table("checkpoints")
    op.drop_table("transactions")
    op.drop_table("rooms")
    op.drop_index("uq_outbox_txn_id", "outbox")
    op.drop_index(
        "ix_outbox_unfinished", "outbox", sqlite_where=sa.text("state = 0"), postgresql_where=sa.text("state = 0")
    )

    op.drop_table("outbox")
    op.drop_index("uq_inbox_event_id", "inbox")
    op.drop_index(
        "ix_inbox_unfinished", "inbox", sqlite_where=sa.text("state <> 1"), postgresql_where=sa.text("state <> 1")
    )

    op.drop_table("inbox")
