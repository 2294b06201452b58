"""Rides: surges that operators set by hand

Revision ID: 0024
Revises: 0023
Create Date: 2026-11-29 07:10:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "surge_overrides",
        sa.Column("bot", sa.Text(), nullable=False, comment="The plugin instance of rides."),
        sa.Column("zone", sa.Text(), nullable=False, comment="Of the tariff; empty: everywhere else."),
        sa.Column("multiplier", sa.Integer(), nullable=False, comment="In hundredths; 100: no surge."),
        sa.Column("until", sa.BigInteger(), nullable=False, comment="ms since the epoch."),
        sa.Column("person", sa.Text(), nullable=False, comment="The operator who set it."),
        sa.Column("set_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bot", "zone", name=op.f("pk_surge_overrides")),
        comment="What an operator says instead of what is counted; at most the cap of the tariff.",
    )


def downgrade() -> None:
    op.drop_table("surge_overrides")
