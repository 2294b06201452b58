"""Merchants' coupons: made, stopped, and looked at by who wants to use one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from appservice import json
from appservice.clock import from_ms, to_ms
from bots.commerce.hand import Hand, Reader
from bots.commerce.records import money_in, money_out
from bots.commerce.trade import Trade
from bots.domain.coupons import Coupon, CouponError, Uses, canonical_code
from bots.domain.money import Money
from bots.domain.orders import OrderState
from bots.store import coupons as sql
from bots.store import orders as orders_sql
from bots.store.coupons import CouponRow

__all__ = ["CAME_TO_NOTHING", "Coupons", "Listed"]

CAME_TO_NOTHING: Final = frozenset({OrderState.UNPAID, OrderState.REJECTED, OrderState.TIMED_OUT, OrderState.CANCELLED})
"""Such an order was none: its coupon can be used again, and the next order is the first."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A coupon with how often it was used, and whether it still counts."""

    coupon: Coupon
    used: int
    active: bool


class Coupons:
    """One for a plugin."""

    def __init__(self, trade: Trade) -> None:
        self._trade = trade

    def put(self, hand: Hand, merchant_id: str, coupon: Coupon) -> None:
        """Offer a coupon; one of the same code gets these terms."""
        row = CouponRow(merchant_id, coupon.code, _terms(coupon), coupon.uses, coupon.uses_each, 0, 1, hand.now_ms())
        hand.store(lambda connection: sql.put(connection, row))

    def drop(self, hand: Hand, merchant_id: str, code: str) -> None:
        """It counts no more; orders that have used it stay as they are."""
        hand.store(lambda connection: sql.stop(connection, merchant_id, code))

    async def list(self, reader: Reader, merchant_id: str) -> list[Listed]:
        """A merchant's coupons, the newest first."""
        rows = await reader.query(lambda connection: sql.of_merchant(connection, merchant_id))
        return [Listed(_coupon(row), row.used, bool(row.active)) for row in rows]

    async def get(self, reader: Reader, merchant_id: str, code: str) -> Coupon | None:
        """A coupon by its code, also one that counts no more; None: there is none."""
        try:
            canonical = canonical_code(code)
        except CouponError:
            return None
        row = await reader.query(lambda connection: sql.get(connection, merchant_id, canonical))
        return None if row is None else _coupon(row)

    async def check(self, reader: Reader, merchant_id: str, code: str, goods: Money, buyer: str) -> Money:
        """What a coupon takes off goods of this worth now.

        Raises:
            CouponError: it does not count for this person, or there is none.
        """
        canonical = canonical_code(code)

        def read(connection: Connection) -> tuple[CouponRow | None, Uses]:
            row = sql.get(connection, merchant_id, canonical)
            if row is None:
                return None, Uses()
            person = sql.used_by(connection, merchant_id, canonical, buyer)
            nothing = [each.value for each in CAME_TO_NOTHING]
            return row, Uses(row.used, person, orders_sql.had(connection, merchant_id, buyer, nothing))

        row, uses = await reader.query(read)
        if row is None:
            raise CouponError("coupon.unknown")
        if not row.active:
            raise CouponError("coupon.over")
        return _coupon(row).discount(goods, self._trade.clock.now(), uses)


def _terms(coupon: Coupon) -> str:
    terms = {
        "percent": coupon.percent,
        "amount": money_out(coupon.amount),
        "most": money_out(coupon.most),
        "minimum": money_out(coupon.minimum),
        "since": None if coupon.since is None else to_ms(coupon.since),
        "until": None if coupon.until is None else to_ms(coupon.until),
        "first_order": coupon.first_order,
    }
    return json.dumps(terms).decode()


def _coupon(row: CouponRow) -> Coupon:
    terms: dict[str, Any] = json.loads(row.terms)
    return Coupon(
        row.code,
        terms["percent"],
        money_in(terms["amount"]),
        money_in(terms["most"]),
        money_in(terms["minimum"]),
        _moment(terms["since"]),
        _moment(terms["until"]),
        row.most,
        row.each,
        terms["first_order"],
    )


def _moment(value: int | None) -> datetime | None:
    return None if value is None else from_ms(value)
