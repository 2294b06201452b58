"""Commerce: sessions of mini apps

Revision ID: 0019
Revises: 0018
Create Date: 2026-11-29 01:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "app_sessions",
        sa.Column(
            "digest", sa.Text(), nullable=False, comment="SHA-256 of the cookie, in hex: the cookie itself is not kept."
        ),
        sa.Column("bot", sa.Text(), nullable=False, comment="The plugin instance whose page it is."),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False, comment="The chat that the page belongs to."),
        sa.Column(
            "framed", sa.SmallInteger(), server_default=sa.text("0"), nullable=False, comment="1: opened as a widget."
        ),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_app_sessions")),
    )
    with op.batch_alter_table("app_sessions", schema=None) as batch_op:
        batch_op.create_index("ix_app_sessions_expires_at", ["expires_at"], unique=False)
        batch_op.create_index("ix_app_sessions_person", ["person"], unique=False)


def downgrade() -> None:
    op.drop_table("app_sessions")
