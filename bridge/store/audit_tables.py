"""Tables of the audit log. Times are milliseconds since the epoch, UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, PrimaryKeyConstraint, SmallInteger, Table, Text

from appservice.store.tables import metadata

audit_log = Table(
    "audit_log",
    metadata,
    Column("seq", BigInteger, nullable=False, autoincrement=False, comment="From 1, without gaps."),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False, comment="Who; a pseudonym once the person is erased. Not in the digest."),
    Column("actor_mark", LargeBinary, nullable=False, comment="SHA-256 of the actor with the person's salt."),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False, comment="Whom or what; like actor."),
    Column("subject_mark", LargeBinary, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("details", LargeBinary, comment="JSON, sealed; null: dropped when a person was erased. Not in the digest."),
    Column("details_mark", LargeBinary, nullable=False, comment="SHA-256 of the sealed details."),
    Column("previous", LargeBinary, nullable=False, comment="The digest of the entry before."),
    Column(
        "digest", LargeBinary, nullable=False, comment="SHA-256 of all of the above but what is said to be left out."
    ),
    PrimaryKeyConstraint("seq"),
    Index("ix_audit_log_subject_seq", "subject", "seq"),
    Index("ix_audit_log_actor_seq", "actor", "seq"),
    Index("ix_audit_log_at", "at"),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", SmallInteger, nullable=False, autoincrement=False, comment="1: there is one row."),
    Column("seq", BigInteger, nullable=False, comment="Of the last entry; 0: there is none."),
    Column("digest", LargeBinary, nullable=False, comment="Of the last entry."),
    PrimaryKeyConstraint("id"),
)

audit_people = Table(
    "audit_people",
    metadata,
    Column("person", Text, nullable=False, comment="A user id; the row goes when the person is erased."),
    Column("salt", LargeBinary, nullable=False, comment="Without it no mark leads back to the person."),
    PrimaryKeyConstraint("person"),
)

audit_mentions = Table(
    "audit_mentions",
    metadata,
    Column("person", Text, nullable=False, comment="Whom the sealed details name."),
    Column("seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("person", "seq"),
    Index("ix_audit_mentions_seq", "seq"),
)
