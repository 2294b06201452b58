"""Tables of what people ask for: their data, and to be forgotten. Times are milliseconds since the epoch, UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text, text

from appservice.store.tables import metadata

rights_requests = Table(
    "rights_requests",
    metadata,
    Column("id", Text, nullable=False, comment="A ULID."),
    Column("person", Text, nullable=False, comment="Who asked; their pseudonym once they are erased."),
    Column("kind", Text, nullable=False, comment="export, erase."),
    Column("state", Text, nullable=False, comment="waiting, running, sweeping, done, failed."),
    Column("asked_by", Text, nullable=False, comment="Who asked for it: the person, a product, operator."),
    Column("stage", Text, nullable=False, server_default=text("''"), comment="What is being done."),
    Column("done", Integer, nullable=False, server_default=text("0"), comment="Of total."),
    Column("total", Integer, nullable=False, server_default=text("0")),
    Column("sealed", LargeBinary, comment="Of an erasure: user id and pseudonym, until nothing more comes of them."),
    Column("problem", Text, comment="Codes of why it failed, or what could not be done."),
    Column("size", BigInteger, comment="Bytes of the archive."),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("due_at", BigInteger, comment="When it goes on; null: it is over."),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    PrimaryKeyConstraint("id"),
    Index("ix_rights_requests_person", "person"),
    Index("ix_rights_requests_due_at", "due_at"),
    Index("ix_rights_requests_finished_at", "finished_at"),
)

rights_files = Table(
    "rights_files",
    metadata,
    Column("request_id", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False, comment="A piece of the archive, sealed."),
    PrimaryKeyConstraint("request_id", "seq"),
)
