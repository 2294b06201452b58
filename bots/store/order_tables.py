"""The tables of buying: stock, carts, orders, cases, coupons, addresses, wishes, price lists, ratings. What people
write, where they live and what they buy lies sealed; states, amounts, keys and user ids are in clear."""

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
    "addresses",
    "carts",
    "coupon_uses",
    "coupons",
    "metadata",
    "order_cases",
    "order_steps",
    "orders",
    "price_list_buyers",
    "rating_sums",
    "ratings",
    "stock",
    "stock_holds",
    "wishes",
]

stock = Table(
    "stock",
    metadata,
    Column("merchant", Text, nullable=False, comment="Id."),
    Column("product", Text, nullable=False, comment="Key."),
    Column("variant", Text, nullable=False, comment="Key."),
    Column("slot", Text, nullable=False, server_default=text("''"), comment="Its beginning, ISO 8601; empty: none."),
    Column("count", BigInteger, nullable=False, comment="On the shelf, held or not."),
    Column("held", BigInteger, nullable=False, server_default=text("0"), comment="Promised."),
    Column("changed_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("merchant", "product", "variant", "slot"),
)
"""What there is without end has no row."""

stock_holds = Table(
    "stock_holds",
    metadata,
    Column("order_id", Text, nullable=False),
    Column("merchant", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("slot", Text, nullable=False, server_default=text("''")),
    Column("quantity", BigInteger, nullable=False),
    Column("state", Text, nullable=False, comment="bots.domain.stock.HoldState"),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("order_id", "product", "variant", "slot"),
    Index("ix_stock_holds_of", "merchant", "product", "variant", "slot", "state"),
)

carts = Table(
    "carts",
    metadata,
    Column("bot", Text, nullable=False, comment="The plugin instance."),
    Column("owner", Text, nullable=False, comment="A user id, or group:ROOM."),
    Column("version", BigInteger, nullable=False, comment="Of the cart: compare-and-set."),
    Column("sealed", LargeBinary, nullable=False, comment="JSON: the lines."),
    Column("updated_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("bot", "owner"),
    Index("ix_carts_updated_at", "updated_at"),
)

orders = Table(
    "orders",
    metadata,
    Column("id", Text, nullable=False),
    Column("bot", Text, nullable=False, comment="The plugin instance."),
    Column("number", Text, nullable=False, comment="As people say it."),
    Column("checkout", Text, nullable=False, comment="The same for all orders of one cart."),
    Column("merchant", Text, nullable=False),
    Column("buyer", Text, nullable=False),
    Column("room_id", Text, nullable=False, comment="Where the buyer is told."),
    Column("state", Text, nullable=False, comment="bots.domain.orders.OrderState"),
    Column("kind", Text, nullable=False, comment="bots.domain.orders.Fulfilment"),
    Column("currency", Text, nullable=False),
    Column("goods", BigInteger, nullable=False, comment="The lines together, before discount."),
    Column("total", BigInteger, nullable=False, comment="What is paid."),
    Column("coupon", Text, nullable=False, server_default=text("''"), comment="Its code; empty: none."),
    Column("revision", Integer, nullable=False, comment="Of what was ordered: amendments count it up."),
    Column("payment", Text, nullable=False, server_default=text("''"), comment="The id of the revision's payment."),
    Column("split", Text, nullable=False, server_default=text("''"), comment="The group whose people pay it."),
    Column("courier", Text, nullable=False, server_default=text("''")),
    Column("settled", SmallInteger, nullable=False, comment="0: the money is still to be brought where it belongs."),
    Column("wanted_at", BigInteger, comment="When it is wanted; null: as soon as possible."),
    Column("deadline", BigInteger, comment="Until when the state waits; null: it waits for nothing."),
    Column("placed_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False, comment="Counts the changes: compare-and-set."),
    Column("sealed", LargeBinary, nullable=False, comment="JSON: lines, delivery, words of people."),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("merchant", "number"),
    Index("ix_orders_bot_buyer", "bot", "buyer", "placed_at"),
    Index("ix_orders_merchant_state", "merchant", "state", "placed_at"),
    Index("ix_orders_bot_state", "bot", "state"),
    Index("ix_orders_checkout", "checkout"),
    Index("ix_orders_payment", "payment"),
    Index("ix_orders_bot_settled", "bot", "settled", "updated_at"),
    Index("ix_orders_bot_deadline", "bot", "deadline"),
)

order_steps = Table(
    "order_steps",
    metadata,
    Column("order_id", Text, nullable=False),
    Column("version", BigInteger, nullable=False, comment="Of the order, after the step."),
    Column("action", Text, nullable=False, comment="bots.domain.orders.Action, or place"),
    Column("state", Text, nullable=False, comment="After the step."),
    Column("person", Text, nullable=False, server_default=text("''"), comment="Who did it; empty: nobody did."),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("order_id", "version"),
)
"""What happened to an order, in order: each once."""

order_cases = Table(
    "order_cases",
    metadata,
    Column("id", Text, nullable=False),
    Column("bot", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("merchant", Text, nullable=False),
    Column("person", Text, nullable=False, comment="The buyer."),
    Column("kind", Text, nullable=False, comment="bots.domain.cases.CaseKind"),
    Column("state", Text, nullable=False, comment="bots.domain.cases.CaseState"),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, comment="What is given back; null: nothing, or not known yet."),
    Column("settled", SmallInteger, nullable=False, comment="0: a refund is still to be made."),
    Column("deadline", BigInteger),
    Column("opened_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False, comment="Counts the changes: compare-and-set."),
    Column("sealed", LargeBinary, nullable=False, comment="JSON: text, lines, photos, answer."),
    PrimaryKeyConstraint("id"),
    Index("ix_order_cases_order", "order_id"),
    Index("ix_order_cases_merchant", "merchant", "state", "opened_at"),
    Index("ix_order_cases_bot", "bot", "state", "deadline"),
    Index("ix_order_cases_bot_settled", "bot", "settled", "updated_at"),
)

coupons = Table(
    "coupons",
    metadata,
    Column("merchant", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("terms", Text, nullable=False, comment="JSON: what it takes off, when and for whom."),
    Column("most", BigInteger, comment="How often it counts; null: without end."),
    Column("each", Integer, nullable=False, comment="How often for one person."),
    Column("used", BigInteger, nullable=False, server_default=text("0")),
    Column("active", SmallInteger, nullable=False, server_default=text("1")),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("merchant", "code"),
)

coupon_uses = Table(
    "coupon_uses",
    metadata,
    Column("order_id", Text, nullable=False),
    Column("merchant", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("order_id"),
    Index("ix_coupon_uses_of", "merchant", "code", "person"),
)

addresses = Table(
    "addresses",
    metadata,
    Column("id", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("name", Text, nullable=False, comment="A keyed digest of the name: one of each."),
    Column("usual", SmallInteger, nullable=False, comment="1: offered first."),
    Column("sealed", LargeBinary, nullable=False, comment="JSON: name, address, coordinates, hint."),
    Column("created_at", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False, comment="Counts the changes: compare-and-set."),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("person", "name"),
)

wishes = Table(
    "wishes",
    metadata,
    Column("bot", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("merchant", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("room_id", Text, nullable=False, comment="Where the person is told."),
    Column("currency", Text, nullable=False),
    Column("price", BigInteger, nullable=False, comment="As the person knows it."),
    Column("there", SmallInteger, nullable=False, comment="1: it could be had when the person heard of it last."),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("bot", "person", "merchant", "product", "variant"),
    Index("ix_wishes_of", "bot", "merchant", "product"),
)

price_list_buyers = Table(
    "price_list_buyers",
    metadata,
    Column("merchant", Text, nullable=False),
    Column("person", Text, nullable=False, comment="The buyer: on one list of a merchant at most."),
    Column("name", Text, nullable=False, comment="Of the price list, as names are compared."),
    Column("added_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("merchant", "person"),
    Index("ix_price_list_buyers_person", "person"),
)

ratings = Table(
    "ratings",
    metadata,
    Column("order_id", Text, nullable=False),
    Column("product", Text, nullable=False, comment="Key; empty: the order as a whole."),
    Column("merchant", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("stars", SmallInteger, nullable=False, comment="1 to 5"),
    Column("sealed", LargeBinary, nullable=False, comment="JSON: text, photos."),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("order_id", "product"),
    Index("ix_ratings_of", "merchant", "product", "at"),
    Index("ix_ratings_person", "person"),
)

rating_sums = Table(
    "rating_sums",
    metadata,
    Column("merchant", Text, nullable=False),
    Column("product", Text, nullable=False, comment="Key; empty: the merchant."),
    Column("stars", BigInteger, nullable=False, comment="All together."),
    Column("ratings", BigInteger, nullable=False, comment="How many."),
    PrimaryKeyConstraint("merchant", "product"),
)
