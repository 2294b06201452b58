"""Commerce: merchants, catalogue

Revision ID: 0016
Revises: 0015
Create Date: 2026-11-29 01:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "catalogue_categories",
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("parent", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "key", name=op.f("pk_catalogue_categories")),
    )
    op.create_table(
        "catalogue_imports",
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column(
            "before", sa.LargeBinary(), nullable=False, comment="JSON, packed: what the last import changed, as it was."
        ),
        sa.Column("after", sa.LargeBinary(), nullable=False, comment="JSON, packed: digests of what it made of that."),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", name=op.f("pk_catalogue_imports")),
    )
    op.create_table(
        "catalogue_postings",
        sa.Column("word", sa.BigInteger(), autoincrement=False, nullable=False, comment="A hash of bot and word."),
        sa.Column("product", sa.Integer(), autoincrement=False, nullable=False, comment="Its number."),
        sa.Column("merchant", sa.Integer(), nullable=False, comment="Its number."),
        sa.Column("rank", sa.SmallInteger(), nullable=False, comment="How much it stands for: the least stand first."),
        sa.PrimaryKeyConstraint("word", "product", name=op.f("pk_catalogue_postings")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("catalogue_postings", schema=None) as batch_op:
        batch_op.create_index("ix_catalogue_postings_merchant", ["merchant", "word", "rank", "product"], unique=False)
        batch_op.create_index("ix_catalogue_postings_rank", ["word", "rank", "product"], unique=False)

    op.create_table(
        "catalogue_products",
        sa.Column("number", sa.Integer(), nullable=False, comment="What the index of words calls it."),
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="In the order of the merchant's menu."),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), server_default=sa.text("''"), nullable=False, comment="BCP 47."),
        sa.Column("active", sa.SmallInteger(), nullable=False, comment="1: it is sold."),
        sa.Column("document", sa.LargeBinary(), nullable=False, comment="JSON: the whole product."),
        sa.Column(
            "words", sa.LargeBinary(), nullable=False, comment="JSON: the words that it is found by, and their ranks."
        ),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_catalogue_products")),
        sa.UniqueConstraint("merchant_id", "key", name=op.f("uq_catalogue_products_merchant_id_key")),
    )
    with op.batch_alter_table("catalogue_products", schema=None) as batch_op:
        batch_op.create_index(
            "ix_catalogue_products_merchant_id_position", ["merchant_id", "active", "position", "key"], unique=False
        )

    op.create_table(
        "catalogue_shelves",
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="Of the product."),
        sa.Column("key", sa.Text(), nullable=False, comment="Of the product, which is sold."),
        sa.PrimaryKeyConstraint("merchant_id", "category", "key", name=op.f("pk_catalogue_shelves")),
    )
    with op.batch_alter_table("catalogue_shelves", schema=None) as batch_op:
        batch_op.create_index(
            "ix_catalogue_shelves_position", ["merchant_id", "category", "position", "key"], unique=False
        )

    op.create_table(
        "catalogue_spellings",
        sa.Column(
            "spelling", sa.BigInteger(), autoincrement=False, nullable=False, comment="A hash of bot and spelling."
        ),
        sa.Column(
            "word", sa.BigInteger(), autoincrement=False, nullable=False, comment="A word that may be meant by it."
        ),
        sa.PrimaryKeyConstraint("spelling", "word", name=op.f("pk_catalogue_spellings")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "catalogue_words",
        sa.Column("word", sa.BigInteger(), autoincrement=False, nullable=False, comment="A hash of bot and word."),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("word", name=op.f("pk_catalogue_words")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "merchant_areas",
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False, comment="Of the zone."),
        sa.Column("south", sa.Float(), nullable=False, comment="Degrees: the zone lies within."),
        sa.Column("north", sa.Float(), nullable=False),
        sa.Column("west", sa.Float(), nullable=False),
        sa.Column("east", sa.Float(), nullable=False, comment="Beyond 180 where the zone lies across the date line."),
        sa.PrimaryKeyConstraint("merchant_id", "position", name=op.f("pk_merchant_areas")),
    )
    with op.batch_alter_table("merchant_areas", schema=None) as batch_op:
        batch_op.create_index("ix_merchant_areas_south_north", ["south", "north"], unique=False)

    op.create_table(
        "merchant_staff",
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False, comment="bots.domain.merchants.Staff"),
        sa.PrimaryKeyConstraint("merchant_id", "person", name=op.f("pk_merchant_staff")),
    )
    with op.batch_alter_table("merchant_staff", schema=None) as batch_op:
        batch_op.create_index("ix_merchant_staff_person", ["person"], unique=False)

    op.create_table(
        "merchants",
        sa.Column("number", sa.Integer(), nullable=False, comment="What the index of words calls them."),
        sa.Column("id", sa.Text(), nullable=False, comment="ULID."),
        sa.Column("bot", sa.Text(), nullable=False, comment="The plugin instance that they sell through."),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False, comment="User id; empty: nobody's, as of a demo."),
        sa.Column("state", sa.Text(), nullable=False, comment="bots.domain.merchants.MerchantState"),
        sa.Column("room_id", sa.Text(), server_default=sa.text("''"), nullable=False, comment="Of the staff."),
        sa.Column("document", sa.LargeBinary(), nullable=False, comment="JSON: the whole merchant."),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False, comment="Counts the changes: compare-and-set."),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_merchants")),
        sa.UniqueConstraint("id", name=op.f("uq_merchants_id")),
        sa.UniqueConstraint("bot", "slug", name=op.f("uq_merchants_bot_slug")),
    )
    with op.batch_alter_table("merchants", schema=None) as batch_op:
        batch_op.create_index("ix_merchants_bot_state", ["bot", "state", "id"], unique=False)
        batch_op.create_index("ix_merchants_owner", ["owner"], unique=False)
        batch_op.create_index("ix_merchants_room_id", ["room_id"], unique=False)


def downgrade() -> None:
    op.drop_table("merchants")
    op.drop_table("merchant_staff")
    op.drop_table("merchant_areas")
    op.drop_table("catalogue_words")
    op.drop_table("catalogue_spellings")
    op.drop_table("catalogue_shelves")
    op.drop_table("catalogue_products")
    op.drop_table("catalogue_postings")
    op.drop_table("catalogue_imports")
    op.drop_table("catalogue_categories")
