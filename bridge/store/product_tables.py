"""Tables of embedding products: their keys, people, requests and webhooks. Times are ms since the epoch, UTC."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)

from appservice.store.tables import metadata

products = Table(
    "products",
    metadata,
    Column("name", Text, nullable=False, comment="Of its workspace too."),
    Column("title", Text, nullable=False, comment="What people see."),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger, comment="None of its keys is good any more."),
    PrimaryKeyConstraint("name"),
)

product_keys = Table(
    "product_keys",
    metadata,
    Column("id", Text, nullable=False, comment="The part of the key that may be shown."),
    Column("product", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False, comment="HMAC-SHA256 of the key: the key itself is not kept."),
    Column("scopes", Text, nullable=False, comment="Separated by spaces."),
    Column("label", Text, nullable=False, server_default=text("''")),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, comment="Set by a rotation: good until then."),
    Column("revoked_at", BigInteger),
    Column("used_at", BigInteger, comment="About when it was used last."),
    Column("successor", Text, comment="The id of the key that a rotation put in its place."),
    PrimaryKeyConstraint("id"),
    Index("ix_product_keys_product", "product"),
)

product_people = Table(
    "product_people",
    metadata,
    Column("product", Text, nullable=False),
    Column("external_id", Text, nullable=False, comment="What the product calls the person."),
    Column("user_id", Text, nullable=False),
    Column("managed", Boolean, nullable=False, comment="The account was made for the product; else it was linked."),
    Column("display_name", Text, nullable=False, server_default=text("''")),
    Column("ready", Boolean, nullable=False, comment="The account is there."),
    Column("created_at", BigInteger, nullable=False),
    Column("deactivated_at", BigInteger),
    PrimaryKeyConstraint("product", "external_id"),
    Index("ix_product_people_product_created_at", "product", "created_at"),
    Index("ix_product_people_product_user_id", "product", "user_id", unique=True),
    Index("ix_product_people_user_id", "user_id"),
)

sign_in_tokens = Table(
    "sign_in_tokens",
    metadata,
    Column("digest", Text, nullable=False, comment="SHA-256 of the token, in hex: the token itself is not kept."),
    Column("product", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    PrimaryKeyConstraint("digest"),
    Index("ix_sign_in_tokens_expires_at", "expires_at"),
    Index("ix_sign_in_tokens_user_id", "user_id"),
)

api_requests = Table(
    "api_requests",
    metadata,
    Column("product", Text, nullable=False),
    Column("key", Text, nullable=False, comment="SHA-256 of the Idempotency-Key."),
    Column("fingerprint", Text, nullable=False, comment="SHA-256 of method, path and body."),
    Column("status", SmallInteger, comment="Of the answer; null: it is worked on."),
    Column("answer", LargeBinary, comment="The answer's body, sealed."),
    Column("lease", BigInteger, nullable=False, comment="Whoever works on it has given up by then."),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("product", "key"),
    Index("ix_api_requests_created_at", "created_at"),
)

product_messages = Table(
    "product_messages",
    metadata,
    Column("id", Text, nullable=False, comment="A ULID."),
    Column("product", Text, nullable=False),
    Column("room_id", Text, nullable=False),
    Column("user_id", Text, nullable=False, comment="Who says it: the steward, or a bot."),
    Column("txn_id", Text, nullable=False, comment="Of its row in the outbox."),
    Column("event_id", Text, comment="Null: not sent yet, as far as is known."),
    Column("error", Text, comment="Why it was not sent and will not be."),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("id"),
    Index("ix_product_messages_room_id_created_at", "room_id", "created_at"),
    Index("uq_product_messages_txn_id", "txn_id", unique=True),
    Index(
        "ix_product_messages_unsettled",
        "created_at",
        sqlite_where=text("event_id IS NULL AND error IS NULL"),
        postgresql_where=text("event_id IS NULL AND error IS NULL"),
    ),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Text, nullable=False, comment="A ULID."),
    Column("product", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False, comment="What deliveries are signed with, sealed."),
    Column("old_secret", LargeBinary, comment="The one before, sealed: signs too until old_until."),
    Column("old_until", BigInteger),
    Column("events", Text, nullable=False, comment="Types of events, separated by spaces."),
    Column("cause", Text, nullable=False, comment="Of the request that made it: one makes one."),
    Column("created_at", BigInteger, nullable=False),
    Column("paused_at", BigInteger, comment="By the product, or after too many failures."),
    Column("pause_reason", Text, nullable=False, server_default=text("''")),
    Column("resting_until", BigInteger, comment="It took something not: nothing else is tried before."),
    Column("taken_at", BigInteger, comment="When it last took something."),
    PrimaryKeyConstraint("id"),
    Index("ix_webhooks_product", "product"),
    Index("uq_webhooks_cause", "cause", unique=True),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", Text, nullable=False, comment="Made from the cause and the webhook: one of each."),
    Column("webhook", Text, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="The order in which they were put down."),
    Column("type", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False, comment="JSON, sealed; empty once it is delivered or given up."),
    Column("state", SmallInteger, nullable=False, comment="DeliveryState"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("due_at", BigInteger, nullable=False),
    Column("last_status", SmallInteger, comment="HTTP status of the last answer; 0: there was none."),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    PrimaryKeyConstraint("id"),
    Index("ix_webhook_deliveries_state_due_at", "state", "due_at"),
    Index("ix_webhook_deliveries_webhook_created_at", "webhook", "created_at"),
    Index("ix_webhook_deliveries_finished_at", "finished_at"),
)

message_counts = Table(
    "message_counts",
    metadata,
    Column("room_id", Text, nullable=False),
    Column("span", BigInteger, nullable=False, comment="Beginning of the span of time that is counted."),
    Column("count", Integer, nullable=False),
    PrimaryKeyConstraint("room_id", "span"),
    Index("ix_message_counts_span", "span"),
)
