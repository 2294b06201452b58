"""Money: top-ups, cash-outs, provider movements

Revision ID: 0007
Revises: 0006
Create Date: 2026-11-28 18:00:00
"""

from __future__ import annotations

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
