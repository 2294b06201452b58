"""The ledger's tables. Amounts are minor units of the row's currency, times ms since the epoch, UTC.

The journal is the truth and only grows. Accounts, pending transfers and the head are what it adds up to: they could be
made from it anew, and ``rialto ledger verify`` does so.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

from appservice.store.tables import metadata

__all__ = ["ledger_accounts", "ledger_head", "ledger_journal", "ledger_pending"]

ledger_accounts = Table(
    "ledger_accounts",
    metadata,
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="AccountKind"),
    Column("owner", Text, nullable=False, comment="A user id, 'bot:INSTANCE[/SUB]', 'provider:NAME', or a pseudonym."),
    Column("currency", Text, nullable=False),
    Column("floor", BigInteger, comment="Null: no limit."),
    Column("ceiling", BigInteger, comment="Null: no limit."),
    Column("frozen", SmallInteger, nullable=False),
    Column("closed", SmallInteger, nullable=False),
    Column("debits", BigInteger, nullable=False),
    Column("credits", BigInteger, nullable=False),
    Column("pending_debits", BigInteger, nullable=False),
    Column("pending_credits", BigInteger, nullable=False),
    Column("postings", BigInteger, nullable=False, comment="The number of the account's last posting."),
    Column("opened_at", BigInteger, nullable=False),
    Column("salt", LargeBinary, nullable=False, comment="Of the owner's hash in the journal."),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("owner", "currency", "kind"),
)

ledger_journal = Table(
    "ledger_journal",
    metadata,
    # On SQLite only an INTEGER is the row's own number, and needs no index beside the table.
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), nullable=False, autoincrement=False),
    Column("at", BigInteger, nullable=False, comment="Never goes back."),
    Column("type", Text, nullable=False, comment="EntryType"),
    Column("chain", BigInteger, nullable=False, comment="seq of the first entry of the linked chain."),
    Column("id", Text, comment="The command's, its idempotency key."),
    Column("subject", Text, comment="What is resolved; the account that was opened or changed."),
    Column("debit", Text),
    Column("credit", Text),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("reverses", Text),
    Column("expires_at", BigInteger),
    Column("refusal", Text, comment="Why: the id is burned."),
    Column("debit_posting", BigInteger, comment="The posting's number in its account."),
    Column("credit_posting", BigInteger),
    Column("debit_after", BigInteger, comment="The account's balance after it."),
    Column("credit_after", BigInteger),
    Column("details", Text, nullable=False, comment="JSON: the terms of an account."),
    Column("fingerprint", LargeBinary, nullable=False, comment="SHA-256 of the command's content."),
    Column("memo_hash", LargeBinary, comment="SHA-256; null: there was none."),
    Column("memo", LargeBinary, comment="Sealed; null: erased."),
    Column("hash", LargeBinary, nullable=False, comment="SHA-256 of the previous hash and this entry."),
    PrimaryKeyConstraint("seq"),
    UniqueConstraint("id"),
)

Index(
    "ix_ledger_journal_debit_at_seq",
    *(ledger_journal.c[name] for name in ("debit", "at", "seq")),
    sqlite_where=ledger_journal.c.debit_posting.is_not(None),
    postgresql_where=ledger_journal.c.debit_posting.is_not(None),
)
Index(
    "ix_ledger_journal_credit_at_seq",
    *(ledger_journal.c[name] for name in ("credit", "at", "seq")),
    sqlite_where=ledger_journal.c.credit_posting.is_not(None),
    postgresql_where=ledger_journal.c.credit_posting.is_not(None),
)
Index(
    "ix_ledger_journal_subject",
    ledger_journal.c.subject,
    sqlite_where=ledger_journal.c.subject.is_not(None),
    postgresql_where=ledger_journal.c.subject.is_not(None),
)
Index(
    "ix_ledger_journal_reverses",
    ledger_journal.c.reverses,
    sqlite_where=ledger_journal.c.reverses.is_not(None),
    postgresql_where=ledger_journal.c.reverses.is_not(None),
)

ledger_pending = Table(
    "ledger_pending",
    metadata,
    Column("id", Text, nullable=False, comment="Of the pending transfer; the row goes when it is resolved."),
    Column("debit", Text, nullable=False),
    Column("credit", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("expires_at", BigInteger, comment="Null: never."),
    PrimaryKeyConstraint("id"),
    Index("ix_ledger_pending_expires_at", "expires_at"),
)

ledger_head = Table(
    "ledger_head",
    metadata,
    Column("id", SmallInteger, nullable=False, autoincrement=False, comment="1: there is one head."),
    Column("seq", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("id"),
)
