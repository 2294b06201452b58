"""Money: payments, codes, subscriptions

Revision ID: 0004
Revises: 0003
Create Date: 2026-11-28 18:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "payment_codes",
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="1 for the first of the payment."),
        sa.Column("payer", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False, comment="The room that it was shown in."),
        sa.Column("way", sa.Text(), nullable=False, comment="code, or page: the page that asks for the PIN."),
        sa.Column(
            "digest", sa.LargeBinary(), nullable=False, comment="Keyed hash of the code and what it is bound to."
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="open, used, replaced"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("payment_id", "number", name=op.f("pk_payment_codes")),
    )
    with op.batch_alter_table("payment_codes", schema=None) as batch_op:
        batch_op.create_index("ix_payment_codes_expires_at", ["expires_at"], unique=False)
        batch_op.create_index("ix_payment_codes_payer_created_at", ["payer", "created_at"], unique=False)
        batch_op.create_index("ix_payment_codes_room_id_created_at", ["room_id", "created_at"], unique=False)

    op.create_table(
        "payment_confirmations",
        sa.Column("event_id", sa.Text(), nullable=False, comment="The message that the person confirmed with."),
        sa.Column("payer", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False, comment="Empty where it is not clear which."),
        sa.Column("outcome", sa.Text(), nullable=False, comment="ConfirmOutcome"),
        sa.Column("details", sa.LargeBinary(), nullable=False, comment="JSON, sealed: what was answered."),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_payment_confirmations")),
    )
    with op.batch_alter_table("payment_confirmations", schema=None) as batch_op:
        batch_op.create_index("ix_payment_confirmations_at", ["at"], unique=False)

    op.create_table(
        "payment_people",
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column(
            "failures",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Wrong codes since the last lock.",
        ),
        sa.Column(
            "level",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="How often confirming has locked.",
        ),
        sa.Column("failed_at", sa.BigInteger(), nullable=True, comment="The last wrong code."),
        sa.Column("locked_until", sa.BigInteger(), nullable=True, comment="Confirming by code is locked."),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_payment_people")),
    )
    op.create_table(
        "payment_refunds",
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="One refund for a key."),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=False, comment="What the platform gave back of its fee."),
        sa.Column("asked", sa.Text(), nullable=False, comment="Keyed hash of what was asked for under the key."),
        sa.Column("transfer", sa.Text(), nullable=False, comment="Its transfer in the ledger."),
        sa.Column("reason", sa.LargeBinary(), nullable=False, comment="Sealed."),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("payment_id", "key", name=op.f("pk_payment_refunds")),
    )
    op.create_table(
        "payments",
        sa.Column("id", sa.Text(), nullable=False, comment="A ULID."),
        sa.Column("kind", sa.Text(), nullable=False, comment="PaymentKind"),
        sa.Column("state", sa.Text(), nullable=False, comment="PaymentState"),
        sa.Column("payer", sa.Text(), nullable=False, comment="Empty: whoever claims it."),
        sa.Column("payee", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=False, comment="What the platform took when it was captured."),
        sa.Column("received_currency", sa.Text(), nullable=True, comment="Of an exchange."),
        sa.Column("received", sa.BigInteger(), nullable=True, comment="Of an exchange."),
        sa.Column("captured", sa.BigInteger(), nullable=False),
        sa.Column("refunded", sa.BigInteger(), nullable=False),
        sa.Column("details", sa.LargeBinary(), nullable=False, comment="JSON, sealed: memo, lines, discount, tip."),
        sa.Column("key", sa.Text(), nullable=False, comment="One payment for a key."),
        sa.Column("fingerprint", sa.Text(), nullable=False, comment="Keyed hash of what was proposed under the key."),
        sa.Column("initiator", sa.Text(), nullable=False),
        sa.Column("group_id", sa.Text(), nullable=False, comment="Of the shares of a split; empty otherwise."),
        sa.Column("origin_room", sa.Text(), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False, comment="Who hears of it beside the wallet; empty: nobody."),
        sa.Column("dialog", sa.Text(), nullable=False, comment="The dialog that waits for its outcome; empty: none."),
        sa.Column("reply_room", sa.Text(), nullable=False, comment="The room of that dialog."),
        sa.Column(
            "mandate", sa.Text(), nullable=False, comment="The payment under whose mandate it is charged; empty: none."
        ),
        sa.Column("capture", sa.Text(), nullable=False, comment="Capture"),
        sa.Column(
            "accept_within",
            sa.BigInteger(),
            nullable=True,
            comment="How long the merchant has from the confirmation on.",
        ),
        sa.Column("accept_by", sa.BigInteger(), nullable=True, comment="When what is held goes back by itself."),
        sa.Column("reason", sa.Text(), nullable=False, comment="A word that says why it ended."),
        sa.Column(
            "paid_before",
            sa.SmallInteger(),
            nullable=True,
            comment="Whether the payer had paid the payee before; null: not known yet.",
        ),
        sa.Column(
            "attempts", sa.Integer(), nullable=False, comment="How often the ledger was asked: part of the ids there."
        ),
        sa.Column("hold", sa.Text(), nullable=False, comment="The pending transfer."),
        sa.Column("moved", sa.Text(), nullable=False, comment="The transfer to the payee."),
        sa.Column("fee_moved", sa.Text(), nullable=False, comment="The transfer of the fee."),
        sa.Column("changes", sa.Integer(), nullable=False, comment="Counts the changes that are told."),
        sa.Column("revision", sa.Integer(), nullable=False, comment="Counts all changes: compare-and-set."),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False, comment="Until when it can be confirmed."),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=True),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True, comment="Since when nobody wants it any more."),
        sa.Column("due_at", sa.BigInteger(), nullable=True, comment="When something is to be done about it by itself."),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("captured >= 0 AND captured <= amount", name=op.f("ck_payments_captured")),
        sa.CheckConstraint("refunded >= 0 AND refunded <= captured", name=op.f("ck_payments_refunded")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
        sa.UniqueConstraint("key", name="uq_payments_key"),
    )
    with op.batch_alter_table("payments", schema=None) as batch_op:
        batch_op.create_index("ix_payments_due_at", ["due_at"], unique=False)
        batch_op.create_index("ix_payments_group_id", ["group_id"], unique=False)
        batch_op.create_index("ix_payments_initiator_state", ["initiator", "state"], unique=False)
        batch_op.create_index("ix_payments_payee_id", ["payee", "id"], unique=False)
        batch_op.create_index("ix_payments_payee_state", ["payee", "state"], unique=False)
        batch_op.create_index("ix_payments_payer_id", ["payer", "id"], unique=False)
        batch_op.create_index("ix_payments_payer_state", ["payer", "state"], unique=False)

    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Text(), nullable=False, comment="The payment that is its mandate."),
        sa.Column("state", sa.Text(), nullable=False, comment="SubscriptionState"),
        sa.Column("payer", sa.Text(), nullable=False),
        sa.Column("payee", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False, comment="Of each charge."),
        sa.Column(
            "every", sa.Integer(), nullable=False, comment="So many units; 0: charged on the merchant's word only."
        ),
        sa.Column("unit", sa.Text(), nullable=False, comment="day, week, month, year"),
        sa.Column(
            "anchor_at", sa.BigInteger(), nullable=False, comment="Of the first charge: the others are counted from it."
        ),
        sa.Column("period", sa.Integer(), nullable=False, comment="The next one to be charged, from 0."),
        sa.Column("next_at", sa.BigInteger(), nullable=False, comment="When that is charged."),
        sa.Column("remind_before", sa.BigInteger(), nullable=False, comment="How long before; 0: never."),
        sa.Column("reminded", sa.Integer(), nullable=False, comment="The period that was reminded of last; -1: none."),
        sa.Column("failures", sa.Integer(), nullable=False, comment="Of the period at hand."),
        sa.Column("memo", sa.LargeBinary(), nullable=False, comment="Sealed."),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True, comment="When something is to be done about it by itself."),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
    )
    with op.batch_alter_table("subscriptions", schema=None) as batch_op:
        batch_op.create_index("ix_subscriptions_due_at", ["due_at"], unique=False)
        batch_op.create_index("ix_subscriptions_payee", ["payee"], unique=False)
        batch_op.create_index("ix_subscriptions_payer", ["payer"], unique=False)

    op.create_table(
        "wallets",
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=True, comment="Null: it is not open."),
        sa.Column(
            "behind", sa.SmallInteger(), nullable=False, comment="1: what was held for it may not be posted yet."
        ),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_wallets")),
    )
    with op.batch_alter_table("wallets", schema=None) as batch_op:
        batch_op.create_index("ix_wallets_behind", ["behind"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("wallets", schema=None) as batch_op:
        batch_op.drop_index("ix_wallets_behind")

    op.drop_table("wallets")
    with op.batch_alter_table("subscriptions", schema=None) as batch_op:
        batch_op.drop_index("ix_subscriptions_payer")
        batch_op.drop_index("ix_subscriptions_payee")
        batch_op.drop_index("ix_subscriptions_due_at")

    op.drop_table("subscriptions")
    with op.batch_alter_table("payments", schema=None) as batch_op:
        batch_op.drop_index("ix_payments_payer_state")
        batch_op.drop_index("ix_payments_payer_id")
        batch_op.drop_index("ix_payments_payee_state")
        batch_op.drop_index("ix_payments_payee_id")
        batch_op.drop_index("ix_payments_initiator_state")
        batch_op.drop_index("ix_payments_group_id")
        batch_op.drop_index("ix_payments_due_at")

    op.drop_table("payments")
    op.drop_table("payment_refunds")
    op.drop_table("payment_people")
    with op.batch_alter_table("payment_confirmations", schema=None) as batch_op:
        batch_op.drop_index("ix_payment_confirmations_at")

    op.drop_table("payment_confirmations")
    with op.batch_alter_table("payment_codes", schema=None) as batch_op:
        batch_op.drop_index("ix_payment_codes_room_id_created_at")
        batch_op.drop_index("ix_payment_codes_payer_created_at")
        batch_op.drop_index("ix_payment_codes_expires_at")

    op.drop_table("payment_codes")
