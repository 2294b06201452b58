"""Money: bills, saved accounts, autopay

Revision ID: 0008
Revises: 0007
Create Date: 2026-11-28 18:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bill_accounts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("bot", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False, comment="Where the person is reminded."),
        sa.Column("biller", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False, comment="A keyed digest of biller and fields."),
        sa.Column("nickname", sa.Text(), nullable=False, comment="A keyed digest of the nickname: one of each."),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="JSON: nickname, fields."),
        sa.Column("remind_days", sa.Integer(), nullable=True, comment="Days before a bill is due; null: no reminders."),
        sa.Column(
            "cap",
            sa.BigInteger(),
            nullable=True,
            comment="Bills up to this amount are paid by themselves; null: none are.",
        ),
        sa.Column("currency", sa.Text(), server_default=sa.text("''"), nullable=False, comment="Of the cap."),
        sa.Column(
            "mandate", sa.Text(), nullable=True, comment="The key of what the person is asked to allow; null: nothing."
        ),
        sa.Column(
            "mandate_id",
            sa.Text(),
            nullable=True,
            comment="Of the wallet's payment that allows it; null: it does not yet.",
        ),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False, comment="Counts the changes: compare-and-set."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bill_accounts")),
        sa.UniqueConstraint("bot", "person", "nickname", name=op.f("uq_bill_accounts_bot_person_nickname")),
    )
    with op.batch_alter_table("bill_accounts", schema=None) as batch_op:
        batch_op.create_index("ix_bill_accounts_mandate", ["mandate"], unique=False)
    op.create_table(
        "bill_claims",
        sa.Column("bot", sa.Text(), nullable=False),
        sa.Column("claim", sa.Text(), nullable=False, comment="A keyed digest of biller, fields and period: one bill."),
        sa.Column("bill_id", sa.Text(), nullable=False, comment="Whose payment it is, or the last was."),
        sa.Column(
            "settled", sa.SmallInteger(), nullable=False, comment="1: nobody pays it any more; 0: it is being paid."
        ),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bot", "claim", name=op.f("pk_bill_claims")),
    )
    op.create_table(
        "bill_notices",
        sa.Column("account_id", sa.Text(), nullable=False, comment="The saved account."),
        sa.Column("claim", sa.Text(), nullable=False, comment="The bill."),
        sa.Column("kind", sa.Text(), nullable=False, comment="reminded, told, asked or paid: once for a bill."),
        sa.Column("day", sa.Text(), nullable=False, comment="ISO 8601, the person's."),
        sa.PrimaryKeyConstraint("account_id", "claim", "kind", name=op.f("pk_bill_notices")),
    )
    op.create_table(
        "bills",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("bot", sa.Text(), nullable=False, comment="The plugin instance."),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False, comment="Where the person is told."),
        sa.Column("biller", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False, comment="person, autopay or top_up"),
        sa.Column(
            "saved_id",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="The saved account, if it is one.",
        ),
        sa.Column("account", sa.Text(), nullable=False, comment="A keyed digest of biller and fields."),
        sa.Column(
            "claim",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="The same with the period, once known.",
        ),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="JSON: fields, period, reference, receipt."),
        sa.Column("state", sa.Text(), nullable=False, comment="bots.domain.bills.State"),
        sa.Column(
            "reason", sa.Text(), server_default=sa.text("''"), nullable=False, comment="Why it ended: a stable code."
        ),
        sa.Column("currency", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column(
            "amount", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="What the biller asks for."
        ),
        sa.Column("minimum", sa.BigInteger(), nullable=True, comment="Parts from this amount on; null: the whole."),
        sa.Column(
            "paying",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="What the person pays of it.",
        ),
        sa.Column("due_on", sa.Text(), nullable=True, comment="ISO 8601."),
        sa.Column("payment_id", sa.Text(), nullable=True, comment="Of the wallet's payment."),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="Answers of the biller to the question at hand."),
        sa.Column("asked_at", sa.BigInteger(), nullable=False, comment="When the question at hand was asked first."),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False, comment="Counts the changes: compare-and-set."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bills")),
    )
    with op.batch_alter_table("bills", schema=None) as batch_op:
        batch_op.create_index("ix_bills_bot_claim", ["bot", "claim", "state"], unique=False)
        batch_op.create_index("ix_bills_bot_person", ["bot", "person", "created_at"], unique=False)
        batch_op.create_index("ix_bills_bot_state", ["bot", "state"], unique=False)
        batch_op.create_index("ix_bills_payment_id", ["payment_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("bills", schema=None) as batch_op:
        batch_op.drop_index("ix_bills_payment_id")
        batch_op.drop_index("ix_bills_bot_state")
        batch_op.drop_index("ix_bills_bot_person")
        batch_op.drop_index("ix_bills_bot_claim")
    op.drop_table("bills")
    op.drop_table("bill_notices")
    op.drop_table("bill_claims")
    with op.batch_alter_table("bill_accounts", schema=None) as batch_op:
        batch_op.drop_index("ix_bill_accounts_mandate")
    op.drop_table("bill_accounts")
