"""Carts and orders as they lie in the database: rows, with what is private in a seal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from appservice.clock import from_ms, to_ms
from bots.commerce.trade import Trade
from bots.domain.carts import Cart, CartLine
from bots.domain.catalogue import Choice
from bots.domain.money import Money
from bots.domain.orders import Delivery, Fulfilment, Order, OrderLine, OrderState
from bots.domain.places import Place, Point
from bots.store.carts import CartRow
from bots.store.orders import OrderRow

__all__ = ["cart_of", "cart_row", "order_of", "order_row", "place_in", "place_out"]

CARTS: Final = "carts"
ORDERS: Final = "orders"


def money_out(money: Money | None) -> list[Any] | None:
    """An amount as JSON."""
    return None if money is None else [money.minor, money.currency]


def money_in(value: Any) -> Money | None:
    """The amount again."""
    return None if value is None else Money(int(value[0]), str(value[1]))


def _amount(value: Any) -> Money:
    return Money(int(value[0]), str(value[1]))


def place_out(place: Place | None) -> Any:
    """A place as JSON."""
    if place is None:
        return None
    point = place.point
    return [place.text, None if point is None else [point.latitude, point.longitude]]


def place_in(value: Any) -> Place | None:
    """The place again."""
    if value is None:
        return None
    text, point = value
    return Place(text, None if point is None else Point(point[0], point[1]))


def _moment(value: int | None) -> datetime | None:
    return None if value is None else from_ms(value)


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)


def _choices(value: Any) -> tuple[Choice, ...]:
    return tuple(Choice(group, modifier) for group, modifier in value)


# Carts


def cart_row(trade: Trade, bot: str, owner: str, cart: Cart, at: int) -> CartRow:
    """A cart as it is stored."""
    lines = [
        {
            "merchant": line.merchant,
            "product": line.product,
            "variant": line.variant,
            "quantity": line.quantity,
            "choices": [[each.group, each.modifier] for each in line.choices],
            "person": line.person,
            "note": line.note,
            "shown": money_out(line.shown),
        }
        for line in cart.lines
    ]
    return CartRow(cart.version, trade.seal(CARTS, f"{bot}:{owner}", {"lines": lines}), at)


def cart_of(trade: Trade, bot: str, owner: str, row: CartRow | None) -> Cart:
    """The cart of a row; an empty one where there is none. Raises SealBroken."""
    if row is None:
        return Cart()
    lines = trade.open(CARTS, f"{bot}:{owner}", row.sealed)["lines"]
    return Cart(tuple(_cart_line(line) for line in lines), row.version)


def _cart_line(line: Mapping[str, Any]) -> CartLine:
    return CartLine(
        line["merchant"],
        line["product"],
        line["variant"],
        line["quantity"],
        _choices(line["choices"]),
        line["person"],
        line["note"],
        money_in(line["shown"]),
    )


# Orders


def order_row(trade: Trade, bot: str, order: Order, settled: bool) -> OrderRow:
    """An order as it is stored."""
    delivery = order.delivery
    held = {
        "lines": [_line_out(line) for line in order.lines],
        "was": [_line_out(line) for line in order.was],
        "fee": money_out(delivery.fee),
        "place": place_out(delivery.place),
        "option": delivery.option,
        "discount": money_out(order.discount),
        "tip": money_out(order.tip),
        "gift": order.gift,
        "note": order.note,
        "prepared_at": _ms(order.prepared_at),
        "tracking": order.tracking,
        "reason": order.reason,
        "pin_tries": order.pin_tries,
    }
    return OrderRow(
        id=order.id,
        bot=bot,
        number=order.number,
        checkout=order.checkout,
        merchant=order.merchant,
        buyer=order.buyer,
        room_id=order.room_id,
        state=order.state.value,
        kind=delivery.kind.value,
        currency=order.currency,
        goods=order.goods.minor,
        total=order.total.minor,
        coupon=order.coupon,
        revision=order.revision,
        payment=order.payment,
        split=order.split,
        courier=order.courier,
        settled=int(settled),
        wanted_at=_ms(delivery.wanted),
        deadline=_ms(order.deadline),
        placed_at=to_ms(order.placed_at),
        updated_at=to_ms(order.updated_at),
        version=order.version,
        sealed=trade.seal(ORDERS, order.id, held),
    )


def order_of(trade: Trade, row: OrderRow) -> Order:
    """The order of a row. Raises SealBroken."""
    held = trade.open(ORDERS, row.id, row.sealed)
    delivery = Delivery(
        Fulfilment(row.kind), _amount(held["fee"]), place_in(held["place"]), _moment(row.wanted_at), held["option"]
    )
    return Order(
        id=row.id,
        number=row.number,
        checkout=row.checkout,
        merchant=row.merchant,
        buyer=row.buyer,
        room_id=row.room_id,
        state=OrderState(row.state),
        lines=tuple(_line_in(line) for line in held["lines"]),
        delivery=delivery,
        placed_at=from_ms(row.placed_at),
        updated_at=from_ms(row.updated_at),
        discount=money_in(held["discount"]),
        coupon=row.coupon,
        tip=money_in(held["tip"]),
        gift=held["gift"],
        note=held["note"],
        revision=row.revision,
        payment=row.payment,
        deadline=_moment(row.deadline),
        prepared_at=_moment(held["prepared_at"]),
        tracking=held["tracking"],
        courier=row.courier,
        reason=held["reason"],
        was=tuple(_line_in(line) for line in held["was"]),
        split=row.split,
        pin_tries=held.get("pin_tries", 0),
        version=row.version,
    )


def _line_out(line: OrderLine) -> dict[str, Any]:
    return {
        "product": line.product,
        "variant": line.variant,
        "name": line.name,
        "quantity": line.quantity,
        "price": money_out(line.price),
        "tax": str(line.tax),
        "choices": [[each.group, each.modifier] for each in line.choices],
        "extras": list(line.extras),
        "person": line.person,
        "note": line.note,
        "slot": line.slot,
        "price_list": line.price_list,
    }


def _line_in(line: Mapping[str, Any]) -> OrderLine:
    return OrderLine(
        product=line["product"],
        variant=line["variant"],
        name=line["name"],
        quantity=line["quantity"],
        price=_amount(line["price"]),
        tax=Decimal(line["tax"]),
        choices=_choices(line["choices"]),
        extras=tuple(line["extras"]),
        person=line["person"],
        note=line["note"],
        slot=line["slot"],
        price_list=line.get("price_list", ""),
    )
