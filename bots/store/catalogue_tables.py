"""The tables of merchants and of what they sell. All of it is public, but for who works for whom: nothing is sealed.

Times are milliseconds since the epoch, UTC. Why the index of words is one of our own stands in
:mod:`bots.store.catalogue_search`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from appservice.store.tables import metadata

__all__ = [
    "catalogue_categories",
    "catalogue_imports",
    "catalogue_postings",
    "catalogue_products",
    "catalogue_shelves",
    "catalogue_spellings",
    "catalogue_words",
    "merchant_areas",
    "merchant_staff",
    "merchants",
    "metadata",
]

merchants = Table(
    "merchants",
    metadata,
    Column("number", Integer, nullable=False, comment="What the index of words calls them."),
    Column("id", Text, nullable=False, comment="ULID."),
    Column("bot", Text, nullable=False, comment="The plugin instance that they sell through."),
    Column("slug", Text, nullable=False),
    Column("owner", Text, nullable=False, comment="User id; empty: nobody's, as of a demo."),
    Column("state", Text, nullable=False, comment="bots.domain.merchants.MerchantState"),
    Column("room_id", Text, nullable=False, server_default=text("''"), comment="Of the staff."),
    Column("document", LargeBinary, nullable=False, comment="JSON: the whole merchant."),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False, comment="Counts the changes: compare-and-set."),
    PrimaryKeyConstraint("number"),
    UniqueConstraint("id"),
    UniqueConstraint("bot", "slug"),
    Index("ix_merchants_bot_state", "bot", "state", "id"),
    Index("ix_merchants_owner", "owner"),
    Index("ix_merchants_room_id", "room_id"),
)

merchant_areas = Table(
    "merchant_areas",
    metadata,
    Column("merchant_id", Text, nullable=False),
    Column("position", SmallInteger, nullable=False, comment="Of the zone."),
    Column("south", Float, nullable=False, comment="Degrees: the zone lies within."),
    Column("north", Float, nullable=False),
    Column("west", Float, nullable=False),
    Column("east", Float, nullable=False, comment="Beyond 180 where the zone lies across the date line."),
    PrimaryKeyConstraint("merchant_id", "position"),
    Index("ix_merchant_areas_south_north", "south", "north"),
)

merchant_staff = Table(
    "merchant_staff",
    metadata,
    Column("merchant_id", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("role", Text, nullable=False, comment="bots.domain.merchants.Staff"),
    PrimaryKeyConstraint("merchant_id", "person"),
    Index("ix_merchant_staff_person", "person"),
)

catalogue_categories = Table(
    "catalogue_categories",
    metadata,
    Column("merchant_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("parent", Text, nullable=False, server_default=text("''")),
    Column("position", Integer, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("merchant_id", "key"),
)

catalogue_products = Table(
    "catalogue_products",
    metadata,
    Column("number", Integer, nullable=False, comment="What the index of words calls it."),
    Column("merchant_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("position", Integer, nullable=False, comment="In the order of the merchant's menu."),
    Column("name", Text, nullable=False),
    Column("language", Text, nullable=False, server_default=text("''"), comment="BCP 47."),
    Column("active", SmallInteger, nullable=False, comment="1: it is sold."),
    Column("document", LargeBinary, nullable=False, comment="JSON: the whole product."),
    Column("words", LargeBinary, nullable=False, comment="JSON: the words that it is found by, and their ranks."),
    Column("updated_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("number"),
    UniqueConstraint("merchant_id", "key"),
    Index("ix_catalogue_products_merchant_id_position", "merchant_id", "active", "position", "key"),
)

catalogue_shelves = Table(
    "catalogue_shelves",
    metadata,
    Column("merchant_id", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("position", Integer, nullable=False, comment="Of the product."),
    Column("key", Text, nullable=False, comment="Of the product, which is sold."),
    PrimaryKeyConstraint("merchant_id", "category", "key"),
    Index("ix_catalogue_shelves_position", "merchant_id", "category", "position", "key"),
)
"""Which products stand in which category."""

catalogue_postings = Table(
    "catalogue_postings",
    metadata,
    Column("word", BigInteger, nullable=False, autoincrement=False, comment="A hash of bot and word."),
    Column("product", Integer, nullable=False, autoincrement=False, comment="Its number."),
    Column("merchant", Integer, nullable=False, comment="Its number."),
    Column("rank", SmallInteger, nullable=False, comment="How much it stands for: the least stand first."),
    PrimaryKeyConstraint("word", "product"),
    Index("ix_catalogue_postings_rank", "word", "rank", "product"),
    Index("ix_catalogue_postings_merchant", "merchant", "word", "rank", "product"),
    sqlite_with_rowid=False,
)

catalogue_words = Table(
    "catalogue_words",
    metadata,
    Column("word", BigInteger, nullable=False, autoincrement=False, comment="A hash of bot and word."),
    Column("text", Text, nullable=False),
    PrimaryKeyConstraint("word"),
    sqlite_with_rowid=False,
)

catalogue_spellings = Table(
    "catalogue_spellings",
    metadata,
    Column("spelling", BigInteger, nullable=False, autoincrement=False, comment="A hash of bot and spelling."),
    Column("word", BigInteger, nullable=False, autoincrement=False, comment="A word that may be meant by it."),
    PrimaryKeyConstraint("spelling", "word"),
    sqlite_with_rowid=False,
)

catalogue_imports = Table(
    "catalogue_imports",
    metadata,
    Column("merchant_id", Text, nullable=False),
    Column("before", LargeBinary, nullable=False, comment="JSON, packed: what the last import changed, as it was."),
    Column("after", LargeBinary, nullable=False, comment="JSON, packed: digests of what it made of that."),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("merchant_id"),
)
"""The last import of each merchant: what undoing it takes."""
