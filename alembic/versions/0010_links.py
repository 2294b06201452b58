"""The messenger: invite links, channels

Revision ID: 0010
Revises: 0009
Create Date: 2026-11-28 22:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "channel_groups",
        sa.Column("group_room", sa.Text(), nullable=False, comment="The discussion group."),
        sa.Column("channel_room", sa.Text(), nullable=False, comment="Whose it is, as both rooms say it."),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group_room", name=op.f("pk_channel_groups")),
    )
    with op.batch_alter_table("channel_groups", schema=None) as batch_op:
        batch_op.create_index("ix_channel_groups_channel_room", ["channel_room"], unique=False)

    op.create_table(
        "channel_posts",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("chat_id", sa.Text(), nullable=False, comment="The channel."),
        sa.Column("seq", sa.BigInteger(), nullable=True, comment="Its number in the channel; null: not known yet."),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column(
            "root_id",
            sa.Text(),
            nullable=True,
            comment="The event in the discussion group below which its comments stand.",
        ),
        sa.Column("root_room", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_channel_posts")),
    )
    with op.batch_alter_table("channel_posts", schema=None) as batch_op:
        batch_op.create_index("ix_channel_posts_chat_id_at", ["chat_id", "at"], unique=False)
        batch_op.create_index("uq_channel_posts_root_id", ["root_id"], unique=True)

    op.create_table(
        "channel_readers",
        sa.Column("chat_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column(
            "start", sa.BigInteger(), nullable=False, comment="They count for posts with a higher number than this."
        ),
        sa.PrimaryKeyConstraint("chat_id", "user_id", name=op.f("pk_channel_readers")),
    )
    with op.batch_alter_table("channel_readers", schema=None) as batch_op:
        batch_op.create_index("ix_channel_readers_user_id", ["user_id"], unique=False)

    op.create_table(
        "chat_links",
        sa.Column(
            "id", sa.Text(), nullable=False, comment="A ULID; the code is made of it with a key that is not here."
        ),
        sa.Column("chat_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False, comment="SHA-256 of the code."),
        sa.Column("title", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("approval", sa.Boolean(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=True, comment="How many may come by it; null: any number."),
        sa.Column("used", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chat_links")),
    )
    with op.batch_alter_table("chat_links", schema=None) as batch_op:
        batch_op.create_index("ix_chat_links_chat_id_created_at", ["chat_id", "created_at"], unique=False)
        batch_op.create_index("uq_chat_links_digest", ["digest"], unique=True)

    op.create_table(
        "join_requests",
        sa.Column("chat_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="open, declined."),
        sa.Column("link_id", sa.Text(), nullable=True, comment="The link by which they came."),
        sa.Column(
            "knocked", sa.Boolean(), nullable=False, comment="They knocked in their client; else only we know of it."
        ),
        sa.Column("tell", sa.Boolean(), nullable=False, comment="They asked @rialto, who tells them how it ended."),
        sa.Column(
            "reason", sa.Text(), server_default=sa.text("''"), nullable=False, comment="What they wrote, in the clear."
        ),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("chat_id", "user_id", name=op.f("pk_join_requests")),
    )
    with op.batch_alter_table("join_requests", schema=None) as batch_op:
        batch_op.create_index("ix_join_requests_chat_id_state_since", ["chat_id", "state", "since"], unique=False)
        batch_op.create_index("ix_join_requests_decided_at", ["decided_at"], unique=False)
        batch_op.create_index("ix_join_requests_user_id", ["user_id"], unique=False)

    op.create_table(
        "link_uses",
        sa.Column("link_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("chat_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="asked, due, invited, joined."),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="Of the state."),
        sa.Column(
            "due_at",
            sa.BigInteger(),
            nullable=True,
            comment="When the homeserver is asked (again) to invite them; null: not to be.",
        ),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("link_id", "user_id", name=op.f("pk_link_uses")),
    )
    with op.batch_alter_table("link_uses", schema=None) as batch_op:
        batch_op.create_index("ix_link_uses_chat_id_user_id", ["chat_id", "user_id"], unique=False)
        batch_op.create_index("ix_link_uses_due_at", ["due_at"], unique=False)
        batch_op.create_index("ix_link_uses_user_id", ["user_id"], unique=False)

    op.create_table(
        "post_answers",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("post_id", sa.Text(), nullable=False),
        sa.Column("chat_id", sa.Text(), nullable=False, comment="The channel."),
        sa.Column("room_id", sa.Text(), nullable=False, comment="The channel's room, or the discussion group's."),
        sa.Column("kind", sa.Text(), nullable=False, comment="comment, reaction."),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("reaction", sa.Text(), server_default=sa.text("''"), nullable=False, comment="Of a reaction: which."),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_post_answers")),
    )
    with op.batch_alter_table("post_answers", schema=None) as batch_op:
        batch_op.create_index("ix_post_answers_chat_id", ["chat_id"], unique=False)
        batch_op.create_index("ix_post_answers_post_id_kind_at", ["post_id", "kind", "at", "event_id"], unique=False)
        batch_op.create_index("ix_post_answers_sender", ["sender"], unique=False)


def downgrade() -> None:
    op.drop_table("post_answers")
    op.drop_table("link_uses")
    op.drop_table("join_requests")
    op.drop_table("chat_links")
    op.drop_table("channel_readers")
    op.drop_table("channel_posts")
    op.drop_table("channel_groups")
