"""Money: top-ups, cash-outs, provider movements

Revision ID: 0007
Revises: 0006
Create Date: 2026-11-28 18:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bank_lines",
        sa.Column("id", sa.Text(), nullable=False, comment="Made of what the bank says of it."),
        sa.Column("file", sa.Text(), nullable=False, comment="The file that it came in first."),
        sa.Column("line", sa.Integer(), nullable=False, comment="In that file."),
        sa.Column("statement", sa.Text(), nullable=False, comment="The bank's number of the statement."),
        sa.Column("booked_on", sa.Text(), nullable=False, comment="ISO 8601."),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False, comment="Above nought when money came in."),
        sa.Column("end_to_end", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("batch", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("reversal", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="LineState"),
        sa.Column("matched_to", sa.Text(), nullable=True, comment="A top-up, a payout or a batch."),
        sa.Column(
            "reason", sa.Text(), server_default=sa.text("''"), nullable=False, comment="Why it is not matched: a code."
        ),
        sa.Column(
            "booked", sa.SmallInteger(), server_default=sa.text("0"), nullable=False, comment="1: it is in the ledger."
        ),
        sa.Column("details", sa.LargeBinary(), nullable=False, comment="Name, IBAN and text as JSON, sealed."),
        sa.Column("imported_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_lines")),
    )
    with op.batch_alter_table("bank_lines", schema=None) as batch_op:
        batch_op.create_index("ix_bank_lines_imported_at", ["imported_at"], unique=False)
        batch_op.create_index("ix_bank_lines_matched_to", ["matched_to"], unique=False)
        batch_op.create_index("ix_bank_lines_state", ["state"], unique=False)
    op.create_table(
        "bank_statements",
        sa.Column("id", sa.Text(), nullable=False, comment="SHA-256 of the file."),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("statements", sa.Integer(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("imported_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_statements")),
    )
    op.create_table(
        "exchange_rates",
        sa.Column("source", sa.Text(), nullable=False, comment="The address that they came from."),
        sa.Column("day", sa.Text(), nullable=False, comment="ISO 8601."),
        sa.Column("rates", sa.Text(), nullable=False, comment="JSON: currency to rate as text; of EUR."),
        sa.Column("fetched_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_exchange_rates")),
    )
    op.create_table(
        "funding_batches",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("orders", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="The file, sealed."),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_funding_batches")),
    )
    op.create_table(
        "funding_credits",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("movement", sa.Text(), nullable=False, comment="What the provider calls the money that came in."),
        sa.Column("top_up", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("transfer", sa.Text(), nullable=False, comment="The ledger's id."),
        sa.Column("held", sa.SmallInteger(), nullable=False, comment="1: on the suspense account."),
        sa.Column(
            "releases",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Attempts to move it to the wallet.",
        ),
        sa.Column(
            "release",
            sa.SmallInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="1: the operator has asked for it.",
        ),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "movement", name=op.f("pk_funding_credits")),
    )
    with op.batch_alter_table("funding_credits", schema=None) as batch_op:
        batch_op.create_index("ix_funding_credits_top_up", ["top_up"], unique=False)
    op.create_table(
        "funding_differences",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="Difference"),
        sa.Column("subject", sa.Text(), nullable=False, comment="The movement's id there, or the transfer's here."),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("ours", sa.BigInteger(), nullable=True),
        sa.Column("theirs", sa.BigInteger(), nullable=True),
        sa.Column(
            "detail",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="Kinds and states, never words of people.",
        ),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="When the money moved."),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("resolved_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("provider", "kind", "subject", name=op.f("pk_funding_differences")),
    )
    with op.batch_alter_table("funding_differences", schema=None) as batch_op:
        batch_op.create_index("ix_funding_differences_resolved_at", ["resolved_at"], unique=False)
    op.create_table(
        "funding_events",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False, comment="Of a message of the provider that was taken."),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "event_id", name=op.f("pk_funding_events")),
    )
    with op.batch_alter_table("funding_events", schema=None) as batch_op:
        batch_op.create_index("ix_funding_events_at", ["at"], unique=False)
    op.create_table(
        "funding_payouts",
        sa.Column("id", sa.Text(), nullable=False, comment="The payment's id, or of a return the line's."),
        sa.Column("kind", sa.Text(), nullable=False, comment="cash_out or return."),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="PayoutState"),
        sa.Column("destination", sa.LargeBinary(), nullable=False, comment="JSON, sealed."),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=True),
        sa.Column("batch", sa.Text(), nullable=True, comment="The file that it is in."),
        sa.Column(
            "settled",
            sa.SmallInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="1: the ledger knows the outcome.",
        ),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("changes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("told", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_funding_payouts")),
    )
    with op.batch_alter_table("funding_payouts", schema=None) as batch_op:
        batch_op.create_index("ix_funding_payouts_batch", ["batch"], unique=False)
        batch_op.create_index("ix_funding_payouts_next_at", ["next_at"], unique=False)
        batch_op.create_index("ix_funding_payouts_provider_provider_id", ["provider", "provider_id"], unique=False)
        batch_op.create_index("ix_funding_payouts_provider_state", ["provider", "state"], unique=False)
    op.create_table(
        "funding_refunds",
        sa.Column("id", sa.Text(), nullable=False, comment="A ULID."),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("top_up", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="RefundState"),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=True),
        sa.Column("suspense", sa.SmallInteger(), nullable=False, comment="1: from the suspense account."),
        sa.Column("movement", sa.Text(), nullable=False, comment="What the provider calls the money that came in."),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_funding_refunds")),
        sa.UniqueConstraint("key", name=op.f("uq_funding_refunds_key")),
    )
    with op.batch_alter_table("funding_refunds", schema=None) as batch_op:
        batch_op.create_index("ix_funding_refunds_next_at", ["next_at"], unique=False)
        batch_op.create_index("ix_funding_refunds_provider_provider_id", ["provider", "provider_id"], unique=False)
        batch_op.create_index("ix_funding_refunds_top_up", ["top_up"], unique=False)
    op.create_table(
        "funding_top_ups",
        sa.Column("id", sa.Text(), nullable=False, comment="A ULID."),
        sa.Column("key", sa.Text(), nullable=False, comment="The caller's: the same one is the same top-up."),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False, comment="That was asked for."),
        sa.Column("state", sa.Text(), nullable=False, comment="TopUpState"),
        sa.Column(
            "idempotency_key", sa.Text(), nullable=False, comment="Of the call that makes the payment at the provider."
        ),
        sa.Column(
            "provider_id",
            sa.Text(),
            nullable=True,
            comment="Of the payment at the provider; null until it has answered.",
        ),
        sa.Column("link", sa.LargeBinary(), nullable=True, comment="Where the person pays, sealed."),
        sa.Column("credited", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="In the wallet."),
        sa.Column(
            "suspended",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="On the suspense account.",
        ),
        sa.Column(
            "refunded",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="From the wallet, or held for it.",
        ),
        sa.Column(
            "returned", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="The same from suspense."
        ),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False, comment="A code."),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True, comment="When the provider is asked; null: no more."),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("changes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "told",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="The last change that was announced.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_funding_top_ups")),
        sa.UniqueConstraint("key", name=op.f("uq_funding_top_ups_key")),
        sa.UniqueConstraint("provider", "provider_id", name=op.f("uq_funding_top_ups_provider_provider_id")),
    )
    with op.batch_alter_table("funding_top_ups", schema=None) as batch_op:
        batch_op.create_index("ix_funding_top_ups_next_at", ["next_at"], unique=False)
        batch_op.create_index("ix_funding_top_ups_person_created_at", ["person", "created_at"], unique=False)
        batch_op.create_index("ix_funding_top_ups_provider_state", ["provider", "state"], unique=False)
    op.create_table(
        "sandbox_payments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="The idempotency key that it was made with."),
        sa.Column("kind", sa.Text(), nullable=False, comment="payment, payout or refund."),
        sa.Column("reference", sa.Text(), nullable=False, comment="What our side calls it; of a refund the payment."),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="Seen"),
        sa.Column("due_at", sa.BigInteger(), nullable=True, comment="When it becomes due_state by itself."),
        sa.Column("due_state", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("moved_at", sa.BigInteger(), nullable=True, comment="When its money moved."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sandbox_payments")),
        sa.UniqueConstraint("key", name=op.f("uq_sandbox_payments_key")),
    )
    with op.batch_alter_table("sandbox_payments", schema=None) as batch_op:
        batch_op.create_index("ix_sandbox_payments_due_at", ["due_at"], unique=False)
        batch_op.create_index("ix_sandbox_payments_moved_at", ["moved_at"], unique=False)
        batch_op.create_index("ix_sandbox_payments_reference", ["reference"], unique=False)
    for table, name, columns, condition in (
        ("funding_credits", "ix_funding_credits_release", ["at"], "release = 1"),
        ("funding_payouts", "ix_funding_payouts_unsettled", ["state", "id"], "settled = 0"),
        ("funding_payouts", "ix_funding_payouts_untold", ["id"], "told < changes"),
        ("funding_top_ups", "ix_funding_top_ups_suspended", ["id"], "suspended > 0"),
        ("funding_top_ups", "ix_funding_top_ups_untold", ["id"], "told < changes"),
    ):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.create_index(
                name, columns, unique=False, sqlite_where=sa.text(condition), postgresql_where=sa.text(condition)
            )


def downgrade() -> None:
    op.drop_table("sandbox_payments")
    op.drop_table("funding_top_ups")
    op.drop_table("funding_refunds")
    op.drop_table("funding_payouts")
    op.drop_table("funding_events")
    op.drop_table("funding_differences")
    op.drop_table("funding_credits")
    op.drop_table("funding_batches")
    op.drop_table("exchange_rates")
    op.drop_table("bank_statements")
    op.drop_table("bank_lines")
