"""The messenger: message timers, retention

Revision ID: 0011
Revises: 0010
Create Date: 2026-11-28 22:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "chat_timers",
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column(
            "seconds",
            sa.Integer(),
            nullable=True,
            comment="How long messages stay from here on, as the room's timeline says; null: off.",
        ),
        sa.Column("start", sa.Text(), nullable=False, comment="sent, read."),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("room_id", name=op.f("pk_chat_timers")),
    )
    op.create_table(
        "legal_holds",
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="Who holds it."),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column(
            "levels",
            sa.Text(),
            nullable=True,
            comment="The powers that redacting needed before, JSON; null: not yet noted.",
        ),
        sa.Column(
            "released_at",
            sa.BigInteger(),
            nullable=True,
            comment="It is over, but the powers have still to be given back.",
        ),
        sa.PrimaryKeyConstraint("room_id", name=op.f("pk_legal_holds")),
    )
    with op.batch_alter_table("legal_holds", schema=None) as batch_op:
        batch_op.create_index("ix_legal_holds_workspace", ["workspace"], unique=False)

    op.create_table(
        "media_removals",
        sa.Column("media", sa.Text(), nullable=False, comment="mxc:// address of a file whose message is gone."),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column(
            "sender", sa.Text(), nullable=False, comment="Whose message it was: only a file of theirs is removed."
        ),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("media", "sender", name=op.f("pk_media_removals")),
    )
    with op.batch_alter_table("media_removals", schema=None) as batch_op:
        batch_op.create_index("ix_media_removals_due_at", ["due_at"], unique=False)
        batch_op.create_index("ix_media_removals_sender", ["sender"], unique=False)

    op.create_table(
        "message_files",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("media", sa.Text(), nullable=False, comment="mxc:// address of a file that the message refers to."),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", "media", name=op.f("pk_message_files")),
        comment="The files of messages, to be removed with them.",
    )
    with op.batch_alter_table("message_files", schema=None) as batch_op:
        batch_op.create_index("ix_message_files_media", ["media"], unique=False)
        batch_op.create_index("ix_message_files_room_id", ["room_id"], unique=False)
        batch_op.create_index("ix_message_files_sender", ["sender"], unique=False)

    op.create_table(
        "retention_policies",
        sa.Column(
            "scope",
            sa.Text(),
            nullable=False,
            comment="chat:ROOM, workspace:NAME; workspace: alone is people's own chats.",
        ),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", name=op.f("pk_retention_policies")),
    )
    op.create_table(
        "retention_sweeps",
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column(
            "cursor",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="All before it in the room is removed.",
        ),
        sa.Column("due_at", sa.BigInteger(), nullable=False, comment="When to go through the room again."),
        sa.PrimaryKeyConstraint("room_id", name=op.f("pk_retention_sweeps")),
    )
    with op.batch_alter_table("retention_sweeps", schema=None) as batch_op:
        batch_op.create_index("ix_retention_sweeps_due_at", ["due_at"], unique=False)

    op.create_table(
        "timed_messages",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="Order among those that are due at the same moment."),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True, comment="It is to be removed; null: not yet known when."),
        sa.Column(
            "read_seconds",
            sa.Integer(),
            nullable=True,
            comment="To be removed so long after its first reading; null: read, or never.",
        ),
        sa.Column(
            "target", sa.Text(), server_default=sa.text("''"), nullable=False, comment="The event that it goes with."
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="timer, retention."),
        sa.Column(
            "tried",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Perhaps it is redacted already.",
        ),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_timed_messages")),
        comment="Messages that are to be removed, without what they say.",
    )
    with op.batch_alter_table("timed_messages", schema=None) as batch_op:
        batch_op.create_index("ix_timed_messages_due_at_seq", ["due_at", "seq"], unique=False)
        batch_op.create_index("ix_timed_messages_room_id_due_at", ["room_id", "due_at"], unique=False)
        batch_op.create_index("ix_timed_messages_sender", ["sender"], unique=False)
        batch_op.create_index(
            "ix_timed_messages_target",
            ["target"],
            unique=False,
            sqlite_where=sa.text("target <> ''"),
            postgresql_where=sa.text("target <> ''"),
        )
        batch_op.create_index(
            "ix_timed_messages_unread",
            ["room_id"],
            unique=False,
            sqlite_where=sa.text("read_seconds IS NOT NULL"),
            postgresql_where=sa.text("read_seconds IS NOT NULL"),
        )


def downgrade() -> None:
    op.drop_table("timed_messages")
    op.drop_table("retention_sweeps")
    op.drop_table("retention_policies")
    op.drop_table("message_files")
    op.drop_table("media_removals")
    op.drop_table("legal_holds")
    op.drop_table("chat_timers")
