"""Rides: tokens of drivers' apps

Revision ID: 0022
Revises: 0021
Create Date: 2026-11-29 06:55:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "driver_tokens",
        sa.Column("id", sa.Text(), nullable=False, comment="The part of the token that finds it; no secret."),
        sa.Column("bot", sa.Text(), nullable=False, comment="The plugin instance that the driver drives for."),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column(
            "digest", sa.Text(), nullable=False, comment="SHA-256 of the token, in hex: the token itself is not kept."
        ),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_driver_tokens")),
        sa.UniqueConstraint("bot", "person", name="uq_driver_tokens_bot_person"),
        comment="One token for a driver: a new one takes the place of the old one.",
    )


def downgrade() -> None:
    op.drop_table("driver_tokens")
