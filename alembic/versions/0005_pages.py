"""Money: links, PINs

Revision ID: 0005
Revises: 0004
Create Date: 2026-11-28 18:00:00
"""

from __future__ import annotations

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
