"""Money: accounts, transfers, journal

Revision ID: 0003
Revises: 0002
Create Date: 2026-11-28 18:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ledger_accounts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="AccountKind"),
        sa.Column(
            "owner",
            sa.Text(),
            nullable=False,
            comment="A user id, 'bot:INSTANCE[/SUB]', 'provider:NAME', or a pseudonym.",
        ),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("floor", sa.BigInteger(), nullable=True, comment="Null: no limit."),
        sa.Column("ceiling", sa.BigInteger(), nullable=True, comment="Null: no limit."),
        sa.Column("frozen", sa.SmallInteger(), nullable=False),
        sa.Column("closed", sa.SmallInteger(), nullable=False),
        sa.Column("debits", sa.BigInteger(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("pending_debits", sa.BigInteger(), nullable=False),
        sa.Column("pending_credits", sa.BigInteger(), nullable=False),
        sa.Column("postings", sa.BigInteger(), nullable=False, comment="The number of the account's last posting."),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False, comment="Of the owner's hash in the journal."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_accounts")),
        sa.UniqueConstraint("owner", "currency", "kind", name=op.f("uq_ledger_accounts_owner_currency_kind")),
    )
    op.create_table(
        "ledger_head",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False, comment="1: there is one head."),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_head")),
    )
    op.create_table(
        "ledger_pending",
        sa.Column(
            "id",
            sa.Text(),
            nullable=False,
            comment="Of the pending transfer; the row goes when it is resolved.",
        ),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True, comment="Null: never."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_pending")),
    )
    with op.batch_alter_table("ledger_pending", schema=None) as batch_op:
        batch_op.create_index("ix_ledger_pending_expires_at", ["expires_at"], unique=False)
    _create_journal()


def _create_journal() -> None:
    op.create_table(
        "ledger_journal",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="Never goes back."),
        sa.Column("type", sa.Text(), nullable=False, comment="EntryType"),
        sa.Column("chain", sa.BigInteger(), nullable=False, comment="seq of the first entry of the linked chain."),
        sa.Column("id", sa.Text(), nullable=True, comment="The command's, its idempotency key."),
        sa.Column(
            "subject", sa.Text(), nullable=True, comment="What is resolved; the account that was opened or changed."
        ),
        sa.Column("debit", sa.Text(), nullable=True),
        sa.Column("credit", sa.Text(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("reverses", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True, comment="Why: the id is burned."),
        sa.Column("debit_posting", sa.BigInteger(), nullable=True, comment="The posting's number in its account."),
        sa.Column("credit_posting", sa.BigInteger(), nullable=True),
        sa.Column("debit_after", sa.BigInteger(), nullable=True, comment="The account's balance after it."),
        sa.Column("credit_after", sa.BigInteger(), nullable=True),
        sa.Column("details", sa.Text(), nullable=False, comment="JSON: the terms of an account."),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False, comment="SHA-256 of the command's content."),
        sa.Column("memo_hash", sa.LargeBinary(), nullable=True, comment="SHA-256; null: there was none."),
        sa.Column("memo", sa.LargeBinary(), nullable=True, comment="Sealed; null: erased."),
        sa.Column("hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the previous hash and this entry."),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_ledger_journal")),
        sa.UniqueConstraint("id", name=op.f("uq_ledger_journal_id")),
    )
    with op.batch_alter_table("ledger_journal", schema=None) as batch_op:
        for name, columns, condition in (
            ("ix_ledger_journal_debit_at_seq", ["debit", "at", "seq"], "debit_posting IS NOT NULL"),
            ("ix_ledger_journal_credit_at_seq", ["credit", "at", "seq"], "credit_posting IS NOT NULL"),
            ("ix_ledger_journal_subject", ["subject"], "subject IS NOT NULL"),
            ("ix_ledger_journal_reverses", ["reverses"], "reverses IS NOT NULL"),
        ):
            batch_op.create_index(
                name, columns, unique=False, sqlite_where=sa.text(condition), postgresql_where=sa.text(condition)
            )


def downgrade() -> None:
    op.drop_table("ledger_journal")
    op.drop_table("ledger_pending")
    op.drop_table("ledger_head")
    op.drop_table("ledger_accounts")
