"""The messenger: accounts that products suspend

Revision ID: 0020
Revises: 0019
Create Date: 2026-11-29 01:30:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "moderation_suspensions",
        sa.Column(
            "product", sa.Text(), nullable=False, comment="Who has suspended the account, which was made for it."
        ),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="suspending, suspended, lifting."),
        sa.Column("reason", sa.LargeBinary(), nullable=True, comment="Sealed."),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "due_at", sa.BigInteger(), nullable=True, comment="When the homeserver is told (again); null: it was."
        ),
        sa.PrimaryKeyConstraint("product", "user_id", name=op.f("pk_moderation_suspensions")),
        comment="Suspensions by products. Those by moderators are decisions about reports.",
    )
    with op.batch_alter_table("moderation_suspensions", schema=None) as batch_op:
        batch_op.create_index("ix_moderation_suspensions_due_at", ["due_at"], unique=False)
        batch_op.create_index("ix_moderation_suspensions_user_id", ["user_id"], unique=False)


def downgrade() -> None:
    op.drop_table("moderation_suspensions")
