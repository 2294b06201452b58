"""Commerce: stock, carts, orders, cases

Revision ID: 0017
Revises: 0016
Create Date: 2026-11-29 01:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "addresses",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="A keyed digest of the name: one of each."),
        sa.Column("usual", sa.SmallInteger(), nullable=False, comment="1: offered first."),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="JSON: name, address, coordinates, hint."),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="Counts the changes: compare-and-set."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_addresses")),
        sa.UniqueConstraint("person", "name", name=op.f("uq_addresses_person_name")),
    )
    op.create_table(
        "carts",
        sa.Column("bot", sa.Text(), nullable=False, comment="The plugin instance."),
        sa.Column("owner", sa.Text(), nullable=False, comment="A user id, or group:ROOM."),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="Of the cart: compare-and-set."),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="JSON: the lines."),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bot", "owner", name=op.f("pk_carts")),
    )
    with op.batch_alter_table("carts", schema=None) as batch_op:
        batch_op.create_index("ix_carts_updated_at", ["updated_at"], unique=False)
    op.create_table(
        "coupon_uses",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("merchant", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_coupon_uses")),
    )
    with op.batch_alter_table("coupon_uses", schema=None) as batch_op:
        batch_op.create_index("ix_coupon_uses_of", ["merchant", "code", "person"], unique=False)
    op.create_table(
        "coupons",
        sa.Column("merchant", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False, comment="JSON: what it takes off, when and for whom."),
        sa.Column("most", sa.BigInteger(), nullable=True, comment="How often it counts; null: without end."),
        sa.Column("each", sa.Integer(), nullable=False, comment="How often for one person."),
        sa.Column("used", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("active", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant", "code", name=op.f("pk_coupons")),
    )
    op.create_table(
        "order_cases",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("bot", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("merchant", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False, comment="The buyer."),
        sa.Column("kind", sa.Text(), nullable=False, comment="bots.domain.cases.CaseKind"),
        sa.Column("state", sa.Text(), nullable=False, comment="bots.domain.cases.CaseState"),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column(
            "amount", sa.BigInteger(), nullable=True, comment="What is given back; null: nothing, or not known yet."
        ),
        sa.Column("settled", sa.SmallInteger(), nullable=False, comment="0: a refund is still to be made."),
        sa.Column("deadline", sa.BigInteger(), nullable=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="Counts the changes: compare-and-set."),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="JSON: text, lines, photos, answer."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_cases")),
    )
    with op.batch_alter_table("order_cases", schema=None) as batch_op:
        batch_op.create_index("ix_order_cases_bot", ["bot", "state", "deadline"], unique=False)
        batch_op.create_index("ix_order_cases_bot_settled", ["bot", "settled", "updated_at"], unique=False)
        batch_op.create_index("ix_order_cases_merchant", ["merchant", "state", "opened_at"], unique=False)
        batch_op.create_index("ix_order_cases_order", ["order_id"], unique=False)
    op.create_table(
        "order_steps",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="Of the order, after the step."),
        sa.Column("action", sa.Text(), nullable=False, comment="bots.domain.orders.Action, or place"),
        sa.Column("state", sa.Text(), nullable=False, comment="After the step."),
        sa.Column(
            "person",
            sa.Text(),
            server_default=sa.text("('')"),
            nullable=False,
            comment="Who did it; empty: nobody did.",
        ),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "version", name=op.f("pk_order_steps")),
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("bot", sa.Text(), nullable=False, comment="The plugin instance."),
        sa.Column("number", sa.Text(), nullable=False, comment="As people say it."),
        sa.Column("checkout", sa.Text(), nullable=False, comment="The same for all orders of one cart."),
        sa.Column("merchant", sa.Text(), nullable=False),
        sa.Column("buyer", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False, comment="Where the buyer is told."),
        sa.Column("state", sa.Text(), nullable=False, comment="bots.domain.orders.OrderState"),
        sa.Column("kind", sa.Text(), nullable=False, comment="bots.domain.orders.Fulfilment"),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("goods", sa.BigInteger(), nullable=False, comment="The lines together, before discount."),
        sa.Column("total", sa.BigInteger(), nullable=False, comment="What is paid."),
        sa.Column(
            "coupon", sa.Text(), server_default=sa.text("('')"), nullable=False, comment="Its code; empty: none."
        ),
        sa.Column("revision", sa.Integer(), nullable=False, comment="Of what was ordered: amendments count it up."),
        sa.Column(
            "payment",
            sa.Text(),
            server_default=sa.text("('')"),
            nullable=False,
            comment="The id of the revision's payment.",
        ),
        sa.Column(
            "split", sa.Text(), server_default=sa.text("('')"), nullable=False, comment="The group whose people pay it."
        ),
        sa.Column("courier", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.Column(
            "settled",
            sa.SmallInteger(),
            nullable=False,
            comment="0: the money is still to be brought where it belongs.",
        ),
        sa.Column("wanted_at", sa.BigInteger(), nullable=True, comment="When it is wanted; null: as soon as possible."),
        sa.Column(
            "deadline",
            sa.BigInteger(),
            nullable=True,
            comment="Until when the state waits; null: it waits for nothing.",
        ),
        sa.Column("placed_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="Counts the changes: compare-and-set."),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="JSON: lines, delivery, words of people."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint("merchant", "number", name=op.f("uq_orders_merchant_number")),
    )
    with op.batch_alter_table("orders", schema=None) as batch_op:
        batch_op.create_index("ix_orders_bot_buyer", ["bot", "buyer", "placed_at"], unique=False)
        batch_op.create_index("ix_orders_bot_deadline", ["bot", "deadline"], unique=False)
        batch_op.create_index("ix_orders_bot_settled", ["bot", "settled", "updated_at"], unique=False)
        batch_op.create_index("ix_orders_bot_state", ["bot", "state"], unique=False)
        batch_op.create_index("ix_orders_checkout", ["checkout"], unique=False)
        batch_op.create_index("ix_orders_merchant_state", ["merchant", "state", "placed_at"], unique=False)
        batch_op.create_index("ix_orders_payment", ["payment"], unique=False)
    op.create_table(
        "rating_sums",
        sa.Column("merchant", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False, comment="Key; empty: the merchant."),
        sa.Column("stars", sa.BigInteger(), nullable=False, comment="All together."),
        sa.Column("ratings", sa.BigInteger(), nullable=False, comment="How many."),
        sa.PrimaryKeyConstraint("merchant", "product", name=op.f("pk_rating_sums")),
    )
    op.create_table(
        "ratings",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False, comment="Key; empty: the order as a whole."),
        sa.Column("merchant", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("stars", sa.SmallInteger(), nullable=False, comment="1 to 5"),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="JSON: text, photos."),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "product", name=op.f("pk_ratings")),
    )
    with op.batch_alter_table("ratings", schema=None) as batch_op:
        batch_op.create_index("ix_ratings_of", ["merchant", "product", "at"], unique=False)
        batch_op.create_index("ix_ratings_person", ["person"], unique=False)
    op.create_table(
        "stock",
        sa.Column("merchant", sa.Text(), nullable=False, comment="Id."),
        sa.Column("product", sa.Text(), nullable=False, comment="Key."),
        sa.Column("variant", sa.Text(), nullable=False, comment="Key."),
        sa.Column(
            "slot",
            sa.Text(),
            server_default=sa.text("('')"),
            nullable=False,
            comment="Its beginning, ISO 8601; empty: none.",
        ),
        sa.Column("count", sa.BigInteger(), nullable=False, comment="On the shelf, held or not."),
        sa.Column("held", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="Promised."),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant", "product", "variant", "slot", name=op.f("pk_stock")),
    )
    op.create_table(
        "stock_holds",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("merchant", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("slot", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="bots.domain.stock.HoldState"),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "product", "variant", "slot", name=op.f("pk_stock_holds")),
    )
    with op.batch_alter_table("stock_holds", schema=None) as batch_op:
        batch_op.create_index("ix_stock_holds_of", ["merchant", "product", "variant", "slot", "state"], unique=False)
    op.create_table(
        "wishes",
        sa.Column("bot", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("merchant", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("room_id", sa.Text(), nullable=False, comment="Where the person is told."),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False, comment="As the person knows it."),
        sa.Column(
            "there", sa.SmallInteger(), nullable=False, comment="1: it could be had when the person heard of it last."
        ),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bot", "person", "merchant", "product", "variant", name=op.f("pk_wishes")),
    )
    with op.batch_alter_table("wishes", schema=None) as batch_op:
        batch_op.create_index("ix_wishes_of", ["bot", "merchant", "product"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("wishes", schema=None) as batch_op:
        batch_op.drop_index("ix_wishes_of")
    op.drop_table("wishes")
    with op.batch_alter_table("stock_holds", schema=None) as batch_op:
        batch_op.drop_index("ix_stock_holds_of")
    op.drop_table("stock_holds")
    op.drop_table("stock")
    with op.batch_alter_table("ratings", schema=None) as batch_op:
        batch_op.drop_index("ix_ratings_person")
        batch_op.drop_index("ix_ratings_of")
    op.drop_table("ratings")
    op.drop_table("rating_sums")
    with op.batch_alter_table("orders", schema=None) as batch_op:
        batch_op.drop_index("ix_orders_payment")
        batch_op.drop_index("ix_orders_merchant_state")
        batch_op.drop_index("ix_orders_checkout")
        batch_op.drop_index("ix_orders_bot_state")
        batch_op.drop_index("ix_orders_bot_settled")
        batch_op.drop_index("ix_orders_bot_deadline")
        batch_op.drop_index("ix_orders_bot_buyer")
    op.drop_table("orders")
    op.drop_table("order_steps")
    with op.batch_alter_table("order_cases", schema=None) as batch_op:
        batch_op.drop_index("ix_order_cases_order")
        batch_op.drop_index("ix_order_cases_merchant")
        batch_op.drop_index("ix_order_cases_bot_settled")
        batch_op.drop_index("ix_order_cases_bot")
    op.drop_table("order_cases")
    op.drop_table("coupons")
    with op.batch_alter_table("coupon_uses", schema=None) as batch_op:
        batch_op.drop_index("ix_coupon_uses_of")
    op.drop_table("coupon_uses")
    with op.batch_alter_table("carts", schema=None) as batch_op:
        batch_op.drop_index("ix_carts_updated_at")
    op.drop_table("carts")
    op.drop_table("addresses")
