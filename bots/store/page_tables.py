"""Tables of pages: links, PINs. Times are milliseconds since the epoch, UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, Table, Text, text

from appservice.store.tables import metadata

page_links = Table(
    "page_links",
    metadata,
    Column("digest", Text, nullable=False, comment="SHA-256 of the token, in hex: the token itself is not kept."),
    Column("purpose", Text, nullable=False, comment="Which page."),
    Column("person", Text, nullable=False, comment="Whom it was given to."),
    Column("subject", Text, nullable=False, comment="What it is about: the id of a payment; '' for the person."),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, comment="When it was redeemed; null: not yet."),
    PrimaryKeyConstraint("digest"),
    Index("ix_page_links_expires_at", "expires_at"),
    Index("ix_page_links_person_purpose_subject", "person", "purpose", "subject"),
)

pins = Table(
    "pins",
    metadata,
    Column("person", Text, nullable=False),
    Column("hash", Text, nullable=False, comment="Argon2id of what the pickle key makes of the PIN."),
    Column("failures", Integer, nullable=False, server_default=text("0"), comment="Attempts since the last lock."),
    Column("locks", Integer, nullable=False, server_default=text("0"), comment="Locks since the last right PIN."),
    Column("locked_until", BigInteger, comment="Null: not locked."),
    Column("changed_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("person"),
)
