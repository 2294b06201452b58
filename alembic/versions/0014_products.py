"""The messenger: embedding products

Revision ID: 0014
Revises: 0013
Create Date: 2026-11-28 22:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_requests",
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="SHA-256 of the Idempotency-Key."),
        sa.Column("fingerprint", sa.Text(), nullable=False, comment="SHA-256 of method, path and body."),
        sa.Column("status", sa.SmallInteger(), nullable=True, comment="Of the answer; null: it is worked on."),
        sa.Column("answer", sa.LargeBinary(), nullable=True, comment="The answer's body, sealed."),
        sa.Column("lease", sa.BigInteger(), nullable=False, comment="Whoever works on it has given up by then."),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("product", "key", name=op.f("pk_api_requests")),
    )
    with op.batch_alter_table("api_requests", schema=None) as batch_op:
        batch_op.create_index("ix_api_requests_created_at", ["created_at"], unique=False)

    op.create_table(
        "message_counts",
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("span", sa.BigInteger(), nullable=False, comment="Beginning of the span of time that is counted."),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("room_id", "span", name=op.f("pk_message_counts")),
    )
    with op.batch_alter_table("message_counts", schema=None) as batch_op:
        batch_op.create_index("ix_message_counts_span", ["span"], unique=False)

    op.create_table(
        "product_keys",
        sa.Column("id", sa.Text(), nullable=False, comment="The part of the key that may be shown."),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column(
            "hash", sa.LargeBinary(), nullable=False, comment="HMAC-SHA256 of the key: the key itself is not kept."
        ),
        sa.Column("scopes", sa.Text(), nullable=False, comment="Separated by spaces."),
        sa.Column("label", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True, comment="Set by a rotation: good until then."),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("used_at", sa.BigInteger(), nullable=True, comment="About when it was used last."),
        sa.Column("successor", sa.Text(), nullable=True, comment="The id of the key that a rotation put in its place."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product_keys")),
    )
    with op.batch_alter_table("product_keys", schema=None) as batch_op:
        batch_op.create_index("ix_product_keys_product", ["product"], unique=False)

    op.create_table(
        "product_messages",
        sa.Column("id", sa.Text(), nullable=False, comment="A ULID."),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False, comment="Who says it: the steward, or a bot."),
        sa.Column("txn_id", sa.Text(), nullable=False, comment="Of its row in the outbox."),
        sa.Column("event_id", sa.Text(), nullable=True, comment="Null: not sent yet, as far as is known."),
        sa.Column("error", sa.Text(), nullable=True, comment="Why it was not sent and will not be."),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product_messages")),
    )
    with op.batch_alter_table("product_messages", schema=None) as batch_op:
        batch_op.create_index("ix_product_messages_room_id_created_at", ["room_id", "created_at"], unique=False)
        batch_op.create_index(
            "ix_product_messages_unsettled",
            ["created_at"],
            unique=False,
            sqlite_where=sa.text("event_id IS NULL AND error IS NULL"),
            postgresql_where=sa.text("event_id IS NULL AND error IS NULL"),
        )
        batch_op.create_index("uq_product_messages_txn_id", ["txn_id"], unique=True)

    op.create_table(
        "product_people",
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False, comment="What the product calls the person."),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column(
            "managed", sa.Boolean(), nullable=False, comment="The account was made for the product; else it was linked."
        ),
        sa.Column("display_name", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("ready", sa.Boolean(), nullable=False, comment="The account is there."),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deactivated_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("product", "external_id", name=op.f("pk_product_people")),
    )
    with op.batch_alter_table("product_people", schema=None) as batch_op:
        batch_op.create_index("ix_product_people_product_created_at", ["product", "created_at"], unique=False)
        batch_op.create_index("ix_product_people_product_user_id", ["product", "user_id"], unique=True)
        batch_op.create_index("ix_product_people_user_id", ["user_id"], unique=False)

    op.create_table(
        "products",
        sa.Column("name", sa.Text(), nullable=False, comment="Of its workspace too."),
        sa.Column("title", sa.Text(), nullable=False, comment="What people see."),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True, comment="None of its keys is good any more."),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_products")),
    )
    op.create_table(
        "sign_in_tokens",
        sa.Column(
            "digest", sa.Text(), nullable=False, comment="SHA-256 of the token, in hex: the token itself is not kept."
        ),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sign_in_tokens")),
    )
    with op.batch_alter_table("sign_in_tokens", schema=None) as batch_op:
        batch_op.create_index("ix_sign_in_tokens_expires_at", ["expires_at"], unique=False)
        batch_op.create_index("ix_sign_in_tokens_user_id", ["user_id"], unique=False)

    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Text(), nullable=False, comment="Made from the cause and the webhook: one of each."),
        sa.Column("webhook", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="The order in which they were put down."),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column(
            "payload", sa.LargeBinary(), nullable=False, comment="JSON, sealed; empty once it is delivered or given up."
        ),
        sa.Column("state", sa.SmallInteger(), nullable=False, comment="DeliveryState"),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column(
            "last_status",
            sa.SmallInteger(),
            nullable=True,
            comment="HTTP status of the last answer; 0: there was none.",
        ),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
    )
    with op.batch_alter_table("webhook_deliveries", schema=None) as batch_op:
        batch_op.create_index("ix_webhook_deliveries_finished_at", ["finished_at"], unique=False)
        batch_op.create_index("ix_webhook_deliveries_state_due_at", ["state", "due_at"], unique=False)
        batch_op.create_index("ix_webhook_deliveries_webhook_created_at", ["webhook", "created_at"], unique=False)

    op.create_table(
        "webhooks",
        sa.Column("id", sa.Text(), nullable=False, comment="A ULID."),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False, comment="What deliveries are signed with, sealed."),
        sa.Column(
            "old_secret", sa.LargeBinary(), nullable=True, comment="The one before, sealed: signs too until old_until."
        ),
        sa.Column("old_until", sa.BigInteger(), nullable=True),
        sa.Column("events", sa.Text(), nullable=False, comment="Types of events, separated by spaces."),
        sa.Column("cause", sa.Text(), nullable=False, comment="Of the request that made it: one makes one."),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("paused_at", sa.BigInteger(), nullable=True, comment="By the product, or after too many failures."),
        sa.Column("pause_reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column(
            "resting_until",
            sa.BigInteger(),
            nullable=True,
            comment="It took something not: nothing else is tried before.",
        ),
        sa.Column("taken_at", sa.BigInteger(), nullable=True, comment="When it last took something."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    with op.batch_alter_table("webhooks", schema=None) as batch_op:
        batch_op.create_index("ix_webhooks_product", ["product"], unique=False)
        batch_op.create_index("uq_webhooks_cause", ["cause"], unique=True)


def downgrade() -> None:
    op.drop_table("webhooks")
    op.drop_table("webhook_deliveries")
    op.drop_table("sign_in_tokens")
    op.drop_table("products")
    op.drop_table("product_people")
    op.drop_table("product_messages")
    op.drop_table("product_keys")
    op.drop_table("message_counts")
    op.drop_table("api_requests")
