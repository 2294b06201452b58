"""Commerce: who is on which price list

Revision ID: 0021
Revises: 0020
Create Date: 2026-11-29 06:45:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "price_list_buyers",
        sa.Column("merchant", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False, comment="The buyer: on one list of a merchant at most."),
        sa.Column("name", sa.Text(), nullable=False, comment="Of the price list, as names are compared."),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant", "person", name=op.f("pk_price_list_buyers")),
    )
    with op.batch_alter_table("price_list_buyers", schema=None) as batch_op:
        batch_op.create_index("ix_price_list_buyers_person", ["person"], unique=False)


def downgrade() -> None:
    op.drop_table("price_list_buyers")
