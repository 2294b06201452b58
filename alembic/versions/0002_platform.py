"""The bot platform: state of plugins, switches, people, schedules, dialogs and their journals

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-22 00:31:02.724458
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dialog_journal",
        sa.Column("dialog_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="ask, choose, say, step, …"),
        sa.Column(
            "name", sa.Text(), nullable=False, comment="Of a step; of the others what they must match on a replay."
        ),
        sa.Column("value", sa.LargeBinary(), nullable=False, comment="JSON, sealed."),
        sa.Column("prompt", sa.Text(), nullable=True, comment="The message that was answered, by its reference."),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("dialog_id", "position", name=op.f("pk_dialog_journal")),
    )
    op.create_table(
        "dialog_people",
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False, comment="Who may answer; '*' for everybody in the room."),
        sa.Column("dialog_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("consumer", "room_id", "user_id", "dialog_id", name=op.f("pk_dialog_people")),
    )
    with op.batch_alter_table("dialog_people", schema=None) as batch_op:
        batch_op.create_index("ix_dialog_people_dialog_id", ["dialog_id"], unique=False)
    op.create_table(
        "dialogs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False, comment="The person who began it."),
        sa.Column("name", sa.Text(), nullable=False, comment="The dialog's function."),
        sa.Column("version", sa.Text(), nullable=False, comment="What the function was when it began."),
        sa.Column("arguments", sa.LargeBinary(), nullable=False, comment="JSON, sealed."),
        sa.Column("state", sa.SmallInteger(), nullable=False, comment="DialogState"),
        sa.Column("cause", sa.Text(), nullable=False, comment="The event that it was last worked for."),
        sa.Column(
            "prompt", sa.Text(), nullable=True, comment="The message that waits for an answer, by its reference."
        ),
        sa.Column(
            "waiting", sa.LargeBinary(), nullable=True, comment="What the open question needs to know, as JSON, sealed."
        ),
        sa.Column(
            "epoch",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="How often it was taken back.",
        ),
        sa.Column("entries", sa.Integer(), nullable=False, comment="Length of the journal."),
        sa.Column("size", sa.Integer(), nullable=False, comment="Bytes of the journal."),
        sa.Column("revision", sa.BigInteger(), nullable=False, comment="Counts the changes: compare-and-set."),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dialogs")),
    )
    with op.batch_alter_table("dialogs", schema=None) as batch_op:
        batch_op.create_index("ix_dialogs_consumer_cause", ["consumer", "cause"], unique=False)
        batch_op.create_index("ix_dialogs_state_updated_at", ["state", "updated_at"], unique=False)
    op.create_table(
        "people",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=True, comment="BCP 47; null: not said."),
        sa.Column("zone", sa.Text(), nullable=True, comment="IANA time zone; null: not said."),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_people")),
    )
    op.create_table(
        "plugin_state",
        sa.Column("plugin", sa.Text(), nullable=False, comment="The plugin instance."),
        sa.Column("scope", sa.Text(), nullable=False, comment="'', 'room:ID', 'user:ID' or 'member:ROOM USER'."),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False, comment="JSON, sealed when secret."),
        sa.Column("sealed", sa.SmallInteger(), nullable=False, comment="1: value is sealed with the pickle key."),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="Counts the changes: compare-and-set."),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("plugin", "scope", "key", name=op.f("pk_plugin_state")),
    )
    with op.batch_alter_table("plugin_state", schema=None) as batch_op:
        batch_op.create_index("ix_plugin_state_expires_at", ["expires_at"], unique=False)
    op.create_table(
        "plugin_switches",
        sa.Column("plugin", sa.Text(), nullable=False, comment="The plugin instance."),
        sa.Column("scope", sa.Text(), nullable=False, comment="'' for everywhere, 'room:ID' or 'server:NAME'."),
        sa.Column("enabled", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False, comment="A user id, or 'operator'."),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("plugin", "scope", name=op.f("pk_plugin_switches")),
    )
    op.create_table(
        "schedules",
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="Unique for the consumer."),
        sa.Column("room_id", sa.Text(), nullable=False, comment="The room whose order a firing keeps."),
        sa.Column("person", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="The type of the internal event that a firing is."),
        sa.Column("rule", sa.Text(), nullable=False, comment="JSON: once, every or cron, time zone, catch-up policy."),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="JSON, sealed."),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column(
            "fired", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="How often it has fired."
        ),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("consumer", "key", name=op.f("pk_schedules")),
    )
    with op.batch_alter_table("schedules", schema=None) as batch_op:
        batch_op.create_index("ix_schedules_due_at", ["due_at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("schedules", schema=None) as batch_op:
        batch_op.drop_index("ix_schedules_due_at")
    op.drop_table("schedules")
    op.drop_table("plugin_switches")
    with op.batch_alter_table("plugin_state", schema=None) as batch_op:
        batch_op.drop_index("ix_plugin_state_expires_at")
    op.drop_table("plugin_state")
    op.drop_table("people")
    with op.batch_alter_table("dialogs", schema=None) as batch_op:
        batch_op.drop_index("ix_dialogs_state_updated_at")
        batch_op.drop_index("ix_dialogs_consumer_cause")
    op.drop_table("dialogs")
    with op.batch_alter_table("dialog_people", schema=None) as batch_op:
        batch_op.drop_index("ix_dialog_people_dialog_id")
    op.drop_table("dialog_people")
    op.drop_table("dialog_journal")
