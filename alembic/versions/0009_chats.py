"""The messenger: chats and their members

Revision ID: 0009
Revises: 0008
Create Date: 2026-11-28 22:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "chat_jobs",
        sa.Column("id", sa.Text(), nullable=False, comment="Made of what is to be done: it is to be done once."),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="invite, publish, delete."),
        sa.Column("user_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chat_jobs")),
    )
    with op.batch_alter_table("chat_jobs", schema=None) as batch_op:
        batch_op.create_index("ix_chat_jobs_due_at", ["due_at"], unique=False)
        batch_op.create_index("ix_chat_jobs_room_id", ["room_id"], unique=False)

    op.create_table(
        "chat_members",
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column(
            "membership", sa.Text(), nullable=False, comment="join, invite, knock, ban; leave: only while muted."
        ),
        sa.Column(
            "power", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="By m.room.power_levels."
        ),
        sa.Column("display_name", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column(
            "folded",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="Name and user id, to be looked for.",
        ),
        sa.Column("since", sa.BigInteger(), nullable=False, comment="Of this membership."),
        sa.Column("spoke_at", sa.BigInteger(), nullable=True, comment="Of the last message, where slow mode is on."),
        sa.Column(
            "muted_until",
            sa.BigInteger(),
            nullable=True,
            comment="Not a writer until then; null: not muted. 0: for ever.",
        ),
        sa.Column("muted_power", sa.Integer(), nullable=True, comment="What they get back."),
        sa.PrimaryKeyConstraint("room_id", "user_id", name=op.f("pk_chat_members")),
    )
    with op.batch_alter_table("chat_members", schema=None) as batch_op:
        batch_op.create_index("ix_chat_members_muted_until", ["muted_until"], unique=False)
        batch_op.create_index(
            "ix_chat_members_room_id_membership_power_user_id",
            ["room_id", "membership", "power", "user_id"],
            unique=False,
        )
        batch_op.create_index("ix_chat_members_user_id", ["user_id"], unique=False)

    op.create_table(
        "chats",
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column(
            "id", sa.Text(), nullable=False, comment="A ULID: the chat's name outside of Matrix, also after an upgrade."
        ),
        sa.Column("kind", sa.Text(), nullable=False, comment="direct, group, channel, service."),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("encrypted", sa.Boolean(), nullable=False),
        sa.Column("workspace", sa.Text(), nullable=False, comment="The product whose chat it is; '' for people's own."),
        sa.Column("external_id", sa.Text(), nullable=True, comment="The product's own id of it."),
        sa.Column("name", sa.Text(), server_default=sa.text("''"), nullable=False, comment="As the room's state says."),
        sa.Column("topic", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("avatar_url", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("alias", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("parent", sa.Text(), nullable=True, comment="room_id of the channel whose discussion group it is."),
        sa.Column(
            "adopted",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Rialto did not make the room.",
        ),
        sa.Column(
            "slow_mode",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Seconds between messages; 0: off.",
        ),
        sa.Column("archived_at", sa.BigInteger(), nullable=True, comment="Nobody writes any more."),
        sa.Column(
            "deleted_at",
            sa.BigInteger(),
            nullable=True,
            comment="Deleted for all; the row stays so that the id is not given again.",
        ),
        sa.Column(
            "successor", sa.Text(), nullable=True, comment="room_id of the room that took its place in an upgrade."
        ),
        sa.Column("levels", sa.Text(), nullable=True, comment="m.room.power_levels as last seen, JSON."),
        sa.Column(
            "filled_at",
            sa.BigInteger(),
            nullable=True,
            comment="chat_members holds every member since; null: they are still being read.",
        ),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("room_id", name=op.f("pk_chats")),
    )
    with op.batch_alter_table("chats", schema=None) as batch_op:
        batch_op.create_index("ix_chats_id", ["id"], unique=False)
        batch_op.create_index("ix_chats_workspace_created_at", ["workspace", "created_at"], unique=False)
        batch_op.create_index("ix_chats_workspace_external_id", ["workspace", "external_id"], unique=True)


def downgrade() -> None:
    op.drop_table("chats")
    op.drop_table("chat_members")
    op.drop_table("chat_jobs")
