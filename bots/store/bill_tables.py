"""The bills' tables. What people wrote and what billers say of them lies sealed; accounts and bills are told apart by
keyed digests."""

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
    text,
)

from appservice.store.tables import metadata

__all__ = ["bill_accounts", "bill_claims", "bill_notices", "bills", "metadata"]

bills = Table(
    "bills",
    metadata,
    Column("id", Text, nullable=False),
    Column("bot", Text, nullable=False, comment="The plugin instance."),
    Column("person", Text, nullable=False),
    Column("room_id", Text, nullable=False, comment="Where the person is told."),
    Column("biller", Text, nullable=False),
    Column("origin", Text, nullable=False, comment="person, autopay or top_up"),
    Column("saved_id", Text, nullable=False, server_default=text("''"), comment="The saved account, if it is one."),
    Column("account", Text, nullable=False, comment="A keyed digest of biller and fields."),
    Column("claim", Text, nullable=False, server_default=text("''"), comment="The same with the period, once known."),
    Column("sealed", LargeBinary, nullable=False, comment="JSON: fields, period, reference, receipt."),
    Column("state", Text, nullable=False, comment="bots.domain.bills.State"),
    Column("reason", Text, nullable=False, server_default=text("''"), comment="Why it ended: a stable code."),
    Column("currency", Text, nullable=False, server_default=text("''")),
    Column("amount", BigInteger, nullable=False, server_default=text("0"), comment="What the biller asks for."),
    Column("minimum", BigInteger, comment="Parts from this amount on; null: the whole."),
    Column("paying", BigInteger, nullable=False, server_default=text("0"), comment="What the person pays of it."),
    Column("due_on", Text, comment="ISO 8601."),
    Column("payment_id", Text, comment="Of the wallet's payment."),
    Column("attempts", Integer, nullable=False, comment="Answers of the biller to the question at hand."),
    Column("asked_at", BigInteger, nullable=False, comment="When the question at hand was asked first."),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False, comment="Counts the changes: compare-and-set."),
    PrimaryKeyConstraint("id"),
    Index("ix_bills_bot_person", "bot", "person", "created_at"),
    Index("ix_bills_bot_state", "bot", "state"),
    Index("ix_bills_bot_claim", "bot", "claim", "state"),
    Index("ix_bills_payment_id", "payment_id"),
)

bill_claims = Table(
    "bill_claims",
    metadata,
    Column("bot", Text, nullable=False),
    Column("claim", Text, nullable=False, comment="A keyed digest of biller, fields and period: one bill."),
    Column("bill_id", Text, nullable=False, comment="Whose payment it is, or the last was."),
    Column("settled", SmallInteger, nullable=False, comment="1: nobody pays it any more; 0: it is being paid."),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("bot", "claim"),
)

bill_accounts = Table(
    "bill_accounts",
    metadata,
    Column("id", Text, nullable=False),
    Column("bot", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("room_id", Text, nullable=False, comment="Where the person is reminded."),
    Column("biller", Text, nullable=False),
    Column("account", Text, nullable=False, comment="A keyed digest of biller and fields."),
    Column("nickname", Text, nullable=False, comment="A keyed digest of the nickname: one of each."),
    Column("sealed", LargeBinary, nullable=False, comment="JSON: nickname, fields."),
    Column("remind_days", Integer, comment="Days before a bill is due; null: no reminders."),
    Column("cap", BigInteger, comment="Bills up to this amount are paid by themselves; null: none are."),
    Column("currency", Text, nullable=False, server_default=text("''"), comment="Of the cap."),
    Column("mandate", Text, comment="The key of what the person is asked to allow; null: nothing."),
    Column("mandate_id", Text, comment="Of the wallet's payment that allows it; null: it does not yet."),
    Column("created_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False, comment="Counts the changes: compare-and-set."),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("bot", "person", "nickname"),
    Index("ix_bill_accounts_mandate", "mandate"),
)

bill_notices = Table(
    "bill_notices",
    metadata,
    Column("account_id", Text, nullable=False, comment="The saved account."),
    Column("claim", Text, nullable=False, comment="The bill."),
    Column("kind", Text, nullable=False, comment="reminded, told, asked or paid: once for a bill."),
    Column("day", Text, nullable=False, comment="ISO 8601, the person's."),
    PrimaryKeyConstraint("account_id", "claim", "kind"),
)
