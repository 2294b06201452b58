"""Tables of what comes from and goes to providers. Times are milliseconds since the epoch, UTC; amounts minor units.

Sealed with the pickle key: addresses of payment pages, names, account numbers and texts of transfers, files for the
bank.
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
    text,
)

from appservice.store.tables import metadata

__all__ = [
    "bank_lines",
    "bank_statements",
    "exchange_rates",
    "funding_batches",
    "funding_credits",
    "funding_differences",
    "funding_events",
    "funding_payouts",
    "funding_refunds",
    "funding_top_ups",
    "sandbox_payments",
]

_ZERO = text("0")
_EMPTY = text("''")

funding_top_ups = Table(
    "funding_top_ups",
    metadata,
    Column("id", Text, nullable=False, comment="A ULID."),
    Column("key", Text, nullable=False, comment="The caller's: the same one is the same top-up."),
    Column("person", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False, comment="That was asked for."),
    Column("state", Text, nullable=False, comment="TopUpState"),
    Column("idempotency_key", Text, nullable=False, comment="Of the call that makes the payment at the provider."),
    Column("provider_id", Text, comment="Of the payment at the provider; null until it has answered."),
    Column("link", LargeBinary, comment="Where the person pays, sealed."),
    Column("credited", BigInteger, nullable=False, server_default=_ZERO, comment="In the wallet."),
    Column("suspended", BigInteger, nullable=False, server_default=_ZERO, comment="On the suspense account."),
    Column("refunded", BigInteger, nullable=False, server_default=_ZERO, comment="From the wallet, or held for it."),
    Column("returned", BigInteger, nullable=False, server_default=_ZERO, comment="The same from suspense."),
    Column("reason", Text, nullable=False, server_default=_EMPTY, comment="A code."),
    Column("attempts", Integer, nullable=False, server_default=_ZERO),
    Column("next_at", BigInteger, comment="When the provider is asked; null: no more."),
    Column("expires_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("changes", BigInteger, nullable=False, server_default=_ZERO),
    Column("told", BigInteger, nullable=False, server_default=_ZERO, comment="The last change that was announced."),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("key"),
    UniqueConstraint("provider", "provider_id", name="uq_funding_top_ups_provider_provider_id"),
    Index("ix_funding_top_ups_next_at", "next_at"),
    Index("ix_funding_top_ups_person_created_at", "person", "created_at"),
    Index("ix_funding_top_ups_provider_state", "provider", "state"),
    # Few at a time: looked for again and again.
    Index(
        "ix_funding_top_ups_untold", "id", sqlite_where=text("told < changes"), postgresql_where=text("told < changes")
    ),
    Index(
        "ix_funding_top_ups_suspended", "id", sqlite_where=text("suspended > 0"), postgresql_where=text("suspended > 0")
    ),
)

funding_credits = Table(
    "funding_credits",
    metadata,
    Column("provider", Text, nullable=False),
    Column("movement", Text, nullable=False, comment="What the provider calls the money that came in."),
    Column("top_up", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("transfer", Text, nullable=False, comment="The ledger's id."),
    Column("held", SmallInteger, nullable=False, comment="1: on the suspense account."),
    Column("releases", Integer, nullable=False, server_default=_ZERO, comment="Attempts to move it to the wallet."),
    Column("release", SmallInteger, nullable=False, server_default=_ZERO, comment="1: the operator has asked for it."),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("provider", "movement"),
    Index("ix_funding_credits_top_up", "top_up"),
    Index("ix_funding_credits_release", "at", sqlite_where=text("release = 1"), postgresql_where=text("release = 1")),
)

funding_payouts = Table(
    "funding_payouts",
    metadata,
    Column("id", Text, nullable=False, comment="The payment's id, or of a return the line's."),
    Column("kind", Text, nullable=False, comment="cash_out or return."),
    Column("person", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("state", Text, nullable=False, comment="PayoutState"),
    Column("destination", LargeBinary, nullable=False, comment="JSON, sealed."),
    Column("idempotency_key", Text, nullable=False),
    Column("provider_id", Text),
    Column("batch", Text, comment="The file that it is in."),
    Column("settled", SmallInteger, nullable=False, server_default=_ZERO, comment="1: the ledger knows the outcome."),
    Column("reason", Text, nullable=False, server_default=_EMPTY),
    Column("attempts", Integer, nullable=False, server_default=_ZERO),
    Column("next_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("changes", BigInteger, nullable=False, server_default=_ZERO),
    Column("told", BigInteger, nullable=False, server_default=_ZERO),
    PrimaryKeyConstraint("id"),
    Index("ix_funding_payouts_next_at", "next_at"),
    Index("ix_funding_payouts_batch", "batch"),
    Index("ix_funding_payouts_provider_provider_id", "provider", "provider_id"),
    Index("ix_funding_payouts_provider_state", "provider", "state"),
    Index(
        "ix_funding_payouts_untold", "id", sqlite_where=text("told < changes"), postgresql_where=text("told < changes")
    ),
    Index(
        "ix_funding_payouts_unsettled",
        "state",
        "id",
        sqlite_where=text("settled = 0"),
        postgresql_where=text("settled = 0"),
    ),
)

funding_refunds = Table(
    "funding_refunds",
    metadata,
    Column("id", Text, nullable=False, comment="A ULID."),
    Column("key", Text, nullable=False),
    Column("top_up", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("state", Text, nullable=False, comment="RefundState"),
    Column("idempotency_key", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("provider_id", Text),
    Column("suspense", SmallInteger, nullable=False, comment="1: from the suspense account."),
    Column("movement", Text, nullable=False, comment="What the provider calls the money that came in."),
    Column("reason", Text, nullable=False, server_default=_EMPTY),
    Column("attempts", Integer, nullable=False, server_default=_ZERO),
    Column("next_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("key"),
    Index("ix_funding_refunds_next_at", "next_at"),
    Index("ix_funding_refunds_top_up", "top_up"),
    Index("ix_funding_refunds_provider_provider_id", "provider", "provider_id"),
)

funding_events = Table(
    "funding_events",
    metadata,
    Column("provider", Text, nullable=False),
    Column("event_id", Text, nullable=False, comment="Of a message of the provider that was taken."),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("provider", "event_id"),
    Index("ix_funding_events_at", "at"),
)

funding_batches = Table(
    "funding_batches",
    metadata,
    Column("id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("orders", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False, comment="The file, sealed."),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("id"),
)

bank_statements = Table(
    "bank_statements",
    metadata,
    Column("id", Text, nullable=False, comment="SHA-256 of the file."),
    Column("format", Text, nullable=False),
    Column("statements", Integer, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("imported_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("id"),
)

bank_lines = Table(
    "bank_lines",
    metadata,
    Column("id", Text, nullable=False, comment="Made of what the bank says of it."),
    Column("file", Text, nullable=False, comment="The file that it came in first."),
    Column("line", Integer, nullable=False, comment="In that file."),
    Column("statement", Text, nullable=False, comment="The bank's number of the statement."),
    Column("booked_on", Text, nullable=False, comment="ISO 8601."),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False, comment="Above nought when money came in."),
    Column("end_to_end", Text, nullable=False, server_default=_EMPTY),
    Column("batch", Text, nullable=False, server_default=_EMPTY),
    Column("reversal", SmallInteger, nullable=False, server_default=_ZERO),
    Column("state", Text, nullable=False, comment="LineState"),
    Column("matched_to", Text, comment="A top-up, a payout or a batch."),
    Column("reason", Text, nullable=False, server_default=_EMPTY, comment="Why it is not matched: a code."),
    Column("booked", SmallInteger, nullable=False, server_default=_ZERO, comment="1: it is in the ledger."),
    Column("details", LargeBinary, nullable=False, comment="Name, IBAN and text as JSON, sealed."),
    Column("imported_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("id"),
    Index("ix_bank_lines_state", "state"),
    Index("ix_bank_lines_matched_to", "matched_to"),
    Index("ix_bank_lines_imported_at", "imported_at"),
)

sandbox_payments = Table(
    "sandbox_payments",
    metadata,
    Column("id", Text, nullable=False),
    Column("key", Text, nullable=False, comment="The idempotency key that it was made with."),
    Column("kind", Text, nullable=False, comment="payment, payout or refund."),
    Column("reference", Text, nullable=False, comment="What our side calls it; of a refund the payment."),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("state", Text, nullable=False, comment="Seen"),
    Column("due_at", BigInteger, comment="When it becomes due_state by itself."),
    Column("due_state", Text, nullable=False, server_default=_EMPTY),
    Column("expires_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("moved_at", BigInteger, comment="When its money moved."),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("key"),
    Index("ix_sandbox_payments_due_at", "due_at"),
    Index("ix_sandbox_payments_moved_at", "moved_at"),
    Index("ix_sandbox_payments_reference", "reference"),
)

funding_differences = Table(
    "funding_differences",
    metadata,
    Column("provider", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="Difference"),
    Column("subject", Text, nullable=False, comment="The movement's id there, or the transfer's here."),
    Column("currency", Text, nullable=False),
    Column("ours", BigInteger),
    Column("theirs", BigInteger),
    Column("detail", Text, nullable=False, server_default=_EMPTY, comment="Kinds and states, never words of people."),
    Column("at", BigInteger, nullable=False, comment="When the money moved."),
    Column("first_seen", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("resolved_at", BigInteger),
    PrimaryKeyConstraint("provider", "kind", "subject"),
    Index("ix_funding_differences_resolved_at", "resolved_at"),
)

exchange_rates = Table(
    "exchange_rates",
    metadata,
    Column("source", Text, nullable=False, comment="The address that they came from."),
    Column("day", Text, nullable=False, comment="ISO 8601."),
    Column("rates", Text, nullable=False, comment="JSON: currency to rate as text; of EUR."),
    Column("fetched_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("source"),
)
