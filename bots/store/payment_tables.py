"""Payments' tables. Times are milliseconds since the epoch, UTC; amounts are minor units.

What people wrote (memos, names of goods) lies sealed; codes lie as keyed hashes only.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
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
    "payment_codes",
    "payment_confirmations",
    "payment_people",
    "payment_refunds",
    "payments",
    "subscriptions",
    "wallets",
]

payments = Table(
    "payments",
    metadata,
    Column("id", Text, nullable=False, comment="A ULID."),
    Column("kind", Text, nullable=False, comment="PaymentKind"),
    Column("state", Text, nullable=False, comment="PaymentState"),
    Column("payer", Text, nullable=False, comment="Empty: whoever claims it."),
    Column("payee", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("fee", BigInteger, nullable=False, comment="What the platform took when it was captured."),
    Column("received_currency", Text, comment="Of an exchange."),
    Column("received", BigInteger, comment="Of an exchange."),
    Column("captured", BigInteger, nullable=False),
    Column("refunded", BigInteger, nullable=False),
    Column("details", LargeBinary, nullable=False, comment="JSON, sealed: memo, lines, discount, tip."),
    Column("key", Text, nullable=False, comment="One payment for a key."),
    Column("fingerprint", Text, nullable=False, comment="Keyed hash of what was proposed under the key."),
    Column("initiator", Text, nullable=False),
    Column("group_id", Text, nullable=False, comment="Of the shares of a split; empty otherwise."),
    Column("origin_room", Text, nullable=False),
    Column("consumer", Text, nullable=False, comment="Who hears of it beside the wallet; empty: nobody."),
    Column("dialog", Text, nullable=False, comment="The dialog that waits for its outcome; empty: none."),
    Column("reply_room", Text, nullable=False, comment="The room of that dialog."),
    Column("mandate", Text, nullable=False, comment="The payment under whose mandate it is charged; empty: none."),
    Column("capture", Text, nullable=False, comment="Capture"),
    Column("accept_within", BigInteger, comment="How long the merchant has from the confirmation on."),
    Column("accept_by", BigInteger, comment="When what is held goes back by itself."),
    Column("reason", Text, nullable=False, comment="A word that says why it ended."),
    Column("paid_before", SmallInteger, comment="Whether the payer had paid the payee before; null: not known yet."),
    Column("attempts", Integer, nullable=False, comment="How often the ledger was asked: part of the ids there."),
    Column("hold", Text, nullable=False, comment="The pending transfer."),
    Column("moved", Text, nullable=False, comment="The transfer to the payee."),
    Column("fee_moved", Text, nullable=False, comment="The transfer of the fee."),
    Column("changes", Integer, nullable=False, comment="Counts the changes that are told."),
    Column("revision", Integer, nullable=False, comment="Counts all changes: compare-and-set."),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, comment="Until when it can be confirmed."),
    Column("confirmed_at", BigInteger),
    Column("withdrawn_at", BigInteger, comment="Since when nobody wants it any more."),
    Column("due_at", BigInteger, comment="When something is to be done about it by itself."),
    Column("updated_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("key", name="uq_payments_key"),
    # Whatever the code does: no more is taken than was confirmed, and no more goes back than was taken.
    CheckConstraint("captured >= 0 AND captured <= amount", name="captured"),
    CheckConstraint("refunded >= 0 AND refunded <= captured", name="refunded"),
    Index("ix_payments_payer_state", "payer", "state"),
    Index("ix_payments_payer_id", "payer", "id"),
    Index("ix_payments_payee_state", "payee", "state"),
    Index("ix_payments_payee_id", "payee", "id"),
    Index("ix_payments_initiator_state", "initiator", "state"),
    Index("ix_payments_group_id", "group_id"),
    Index("ix_payments_due_at", "due_at"),
)

payment_codes = Table(
    "payment_codes",
    metadata,
    Column("payment_id", Text, nullable=False),
    Column("number", Integer, nullable=False, comment="1 for the first of the payment."),
    Column("payer", Text, nullable=False),
    Column("room_id", Text, nullable=False, comment="The room that it was shown in."),
    Column("way", Text, nullable=False, comment="code, or page: the page that asks for the PIN."),
    Column("digest", LargeBinary, nullable=False, comment="Keyed hash of the code and what it is bound to."),
    Column("state", Text, nullable=False, comment="open, used, replaced"),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("payment_id", "number"),
    Index("ix_payment_codes_payer_created_at", "payer", "created_at"),
    Index("ix_payment_codes_room_id_created_at", "room_id", "created_at"),
    Index("ix_payment_codes_expires_at", "expires_at"),
)

payment_confirmations = Table(
    "payment_confirmations",
    metadata,
    Column("event_id", Text, nullable=False, comment="The message that the person confirmed with."),
    Column("payer", Text, nullable=False),
    Column("payment_id", Text, nullable=False, comment="Empty where it is not clear which."),
    Column("outcome", Text, nullable=False, comment="ConfirmOutcome"),
    Column("details", LargeBinary, nullable=False, comment="JSON, sealed: what was answered."),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("event_id"),
    Index("ix_payment_confirmations_at", "at"),
)

payment_people = Table(
    "payment_people",
    metadata,
    Column("person", Text, nullable=False),
    Column("failures", Integer, nullable=False, server_default=text("0"), comment="Wrong codes since the last lock."),
    Column("level", Integer, nullable=False, server_default=text("0"), comment="How often confirming has locked."),
    Column("failed_at", BigInteger, comment="The last wrong code."),
    Column("locked_until", BigInteger, comment="Confirming by code is locked."),
    PrimaryKeyConstraint("person"),
)

wallets = Table(
    "wallets",
    metadata,
    Column("person", Text, nullable=False),
    Column("opened_at", BigInteger, comment="Null: it is not open."),
    Column("behind", SmallInteger, nullable=False, comment="1: what was held for it may not be posted yet."),
    PrimaryKeyConstraint("person"),
    Index("ix_wallets_behind", "behind"),
)

payment_refunds = Table(
    "payment_refunds",
    metadata,
    Column("payment_id", Text, nullable=False),
    Column("key", Text, nullable=False, comment="One refund for a key."),
    Column("amount", BigInteger, nullable=False),
    Column("fee", BigInteger, nullable=False, comment="What the platform gave back of its fee."),
    Column("asked", Text, nullable=False, comment="Keyed hash of what was asked for under the key."),
    Column("transfer", Text, nullable=False, comment="Its transfer in the ledger."),
    Column("reason", LargeBinary, nullable=False, comment="Sealed."),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("payment_id", "key"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", Text, nullable=False, comment="The payment that is its mandate."),
    Column("state", Text, nullable=False, comment="SubscriptionState"),
    Column("payer", Text, nullable=False),
    Column("payee", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False, comment="Of each charge."),
    Column("every", Integer, nullable=False, comment="So many units; 0: charged on the merchant's word only."),
    Column("unit", Text, nullable=False, comment="day, week, month, year"),
    Column("anchor_at", BigInteger, nullable=False, comment="Of the first charge: the others are counted from it."),
    Column("period", Integer, nullable=False, comment="The next one to be charged, from 0."),
    Column("next_at", BigInteger, nullable=False, comment="When that is charged."),
    Column("remind_before", BigInteger, nullable=False, comment="How long before; 0: never."),
    Column("reminded", Integer, nullable=False, comment="The period that was reminded of last; -1: none."),
    Column("failures", Integer, nullable=False, comment="Of the period at hand."),
    Column("memo", LargeBinary, nullable=False, comment="Sealed."),
    Column("consumer", Text, nullable=False),
    Column("changes", Integer, nullable=False),
    Column("due_at", BigInteger, comment="When something is to be done about it by itself."),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("id"),
    Index("ix_subscriptions_payer", "payer"),
    Index("ix_subscriptions_payee", "payee"),
    Index("ix_subscriptions_due_at", "due_at"),
)
