"""The messenger: privacy settings

Revision ID: 0012
Revises: 0011
Create Date: 2026-11-28 22:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "privacy_blocks",
        sa.Column("user_id", sa.Text(), nullable=False, comment="Who blocks."),
        sa.Column("other", sa.Text(), nullable=False, comment="Who is blocked."),
        sa.Column(
            "blocked",
            sa.Boolean(),
            nullable=False,
            comment="False: it is lifted, and the homeserver does not know yet.",
        ),
        sa.Column("synced", sa.Boolean(), nullable=False, comment="The homeserver's ignore list says the same."),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "other", name=op.f("pk_privacy_blocks")),
    )
    with op.batch_alter_table("privacy_blocks", schema=None) as batch_op:
        batch_op.create_index("ix_privacy_blocks_other", ["other"], unique=False)
        batch_op.create_index("ix_privacy_blocks_synced", ["synced"], unique=False)

    op.create_table(
        "privacy_contacts",
        sa.Column("user_id", sa.Text(), nullable=False, comment="Whose contact it is."),
        sa.Column("other", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "other", name=op.f("pk_privacy_contacts")),
    )
    with op.batch_alter_table("privacy_contacts", schema=None) as batch_op:
        batch_op.create_index("ix_privacy_contacts_other", ["other"], unique=False)

    op.create_table(
        "privacy_exceptions",
        sa.Column("user_id", sa.Text(), nullable=False, comment="Whose setting it is."),
        sa.Column("other", sa.Text(), nullable=False, comment="For whom it is otherwise."),
        sa.Column("what", sa.Text(), nullable=False, comment="write, add, call, presence, last_seen, receipts."),
        sa.Column("allowed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "other", "what", name=op.f("pk_privacy_exceptions")),
    )
    with op.batch_alter_table("privacy_exceptions", schema=None) as batch_op:
        batch_op.create_index("ix_privacy_exceptions_other", ["other"], unique=False)

    op.create_table(
        "privacy_requests",
        sa.Column("user_id", sa.Text(), nullable=False, comment="Who is asked."),
        sa.Column("other", sa.Text(), nullable=False, comment="Who asks."),
        sa.Column("what", sa.Text(), nullable=False, comment="write, add."),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column(
            "room_id", sa.Text(), nullable=False, comment="Into which they were to be invited, of the last time."
        ),
        sa.Column("name", sa.Text(), server_default=sa.text("''"), nullable=False, comment="Of the room, sealed."),
        sa.Column(
            "state", sa.Text(), nullable=False, comment="open, accepted (the invitation is to be made), done, declined."
        ),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("user_id", "other", "what", name=op.f("pk_privacy_requests")),
    )
    with op.batch_alter_table("privacy_requests", schema=None) as batch_op:
        batch_op.create_index("ix_privacy_requests_id", ["id"], unique=True)
        batch_op.create_index("ix_privacy_requests_other", ["other"], unique=False)
        batch_op.create_index("ix_privacy_requests_state", ["state"], unique=False)

    op.create_table(
        "privacy_screenshots",
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=False, comment="When the chat was told of the burst."),
        sa.Column("last_at", sa.BigInteger(), nullable=False, comment="The last screenshot of the burst."),
        sa.PrimaryKeyConstraint("room_id", "user_id", name=op.f("pk_privacy_screenshots")),
    )
    with op.batch_alter_table("privacy_screenshots", schema=None) as batch_op:
        batch_op.create_index("ix_privacy_screenshots_last_at", ["last_at"], unique=False)

    op.create_table(
        "privacy_settings",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False, comment="write, add, call, presence, last_seen, receipts."),
        sa.Column("audience", sa.Text(), nullable=False, comment="contacts, nobody; what has no row is for everybody."),
        sa.PrimaryKeyConstraint("user_id", "what", name=op.f("pk_privacy_settings")),
    )


def downgrade() -> None:
    op.drop_table("privacy_screenshots")
    op.drop_table("privacy_requests")
    op.drop_table("privacy_blocks")
    op.drop_table("privacy_exceptions")
    op.drop_table("privacy_contacts")
    op.drop_table("privacy_settings")
