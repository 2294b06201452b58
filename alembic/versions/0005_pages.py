"""Money: links, PINs

Revision ID: 0005
Revises: 0004
Create Date: 2026-11-28 18:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "page_links",
        sa.Column(
            "digest", sa.Text(), nullable=False, comment="SHA-256 of the token, in hex: the token itself is not kept."
        ),
        sa.Column("purpose", sa.Text(), nullable=False, comment="Which page."),
        sa.Column("person", sa.Text(), nullable=False, comment="Whom it was given to."),
        sa.Column(
            "subject", sa.Text(), nullable=False, comment="What it is about: the id of a payment; '' for the person."
        ),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True, comment="When it was redeemed; null: not yet."),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_page_links")),
    )
    with op.batch_alter_table("page_links", schema=None) as batch_op:
        batch_op.create_index("ix_page_links_expires_at", ["expires_at"], unique=False)
        batch_op.create_index("ix_page_links_person_purpose_subject", ["person", "purpose", "subject"], unique=False)
    op.create_table(
        "pins",
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False, comment="Argon2id of what the pickle key makes of the PIN."),
        sa.Column(
            "failures",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Attempts since the last lock.",
        ),
        sa.Column(
            "locks",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Locks since the last right PIN.",
        ),
        sa.Column("locked_until", sa.BigInteger(), nullable=True, comment="Null: not locked."),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_pins")),
    )


def downgrade() -> None:
    op.drop_table("pins")
    op.drop_table("page_links")
