"""Tables of search. Times are milliseconds since the epoch, UTC.

The full-text index is the database's own: on SQLite an FTS5 table beside ``search_documents`` (it keeps no text of its
own), on PostgreSQL a GIN index on its terms. Neither sees a word: terms are digests (:mod:`bridge.domain.search`).
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from appservice.store.tables import metadata

search_documents = Table(
    "search_documents",
    metadata,
    Column(
        "id",
        # SQLite's own row number, so that the newest are together.
        BigInteger().with_variant(Integer(), "sqlite"),
        nullable=False,
        autoincrement=False,
        comment="The time in ms, and 20 bits: newest last.",
    ),
    Column("event_id", Text, nullable=False),
    Column("room_id", Text, nullable=False),
    Column("chat_id", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="text, image, …"),
    Column("body", Text, nullable=False, server_default=text("''"), comment="Of an unencrypted chat; '' if hidden."),
    Column("sealed", LargeBinary, comment="The body, sealed, of an encrypted chat."),
    Column("edited_by", Text, comment="The event that the text is from, if not the first one."),
    Column("terms", TSVECTOR().with_variant(Text(), "sqlite"), nullable=False),
    PrimaryKeyConstraint("id"),
    Index("uq_search_documents_event_id", "event_id", unique=True),
    Index("ix_search_documents_chat_id", "chat_id", "id"),
    Index("ix_search_documents_sender", "sender", "id"),
    Index(
        "ix_search_documents_edited_by",
        "edited_by",
        sqlite_where=text("edited_by IS NOT NULL"),
        postgresql_where=text("edited_by IS NOT NULL"),
    ),
    # Not filled from a pending list, whose length every question would pay for. On SQLite, where FTS5 does this, it is
    # an index of no row.
    Index(
        "ix_search_documents_terms",
        "terms",
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
        sqlite_where=text("id < 0"),
    ),
)

search_leave = Table(
    "search_leave",
    metadata,
    Column(
        "chat_id", Text, nullable=False, comment="An encrypted chat with a service, searched with its person's leave."
    ),
    Column("user_id", Text, nullable=False, comment="Who gave it."),
    Column("given_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("chat_id"),
    Index("ix_search_leave_user_id", "user_id"),
)

search_history = Table(
    "search_history",
    metadata,
    Column("chat_id", Text, nullable=False, comment="An adopted chat, whose past is taken in bit by bit."),
    Column("room_id", Text, nullable=False),
    Column("token", Text, nullable=False, comment="Where its timeline goes on, into the past; '' at the beginning."),
    Column("taken", BigInteger, nullable=False, comment="Messages so far."),
    Column("done_at", BigInteger),
    PrimaryKeyConstraint("chat_id"),
)

FTS = "search_terms"
"""The FTS5 table on SQLite."""

# Terms are words of ASCII already. No positions (nobody looks for phrases), no lengths (nobody ranks).
CREATE_FTS = (
    f"CREATE VIRTUAL TABLE {FTS} USING fts5(terms, content='search_documents', content_rowid='id', "
    "tokenize='ascii', detail=none, columnsize=0)"
)
DROP_FTS = f"DROP TABLE {FTS}"

event.listen(search_documents, "after_create", DDL(CREATE_FTS).execute_if(dialect="sqlite"))  # type: ignore[no-untyped-call]
event.listen(search_documents, "before_drop", DDL(DROP_FTS).execute_if(dialect="sqlite"))  # type: ignore[no-untyped-call]
