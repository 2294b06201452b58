"""SQL of coupons, and of who has used them."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, RowMapping, delete, func, select, update

from appservice.database import insert_ignore
from appservice.store.upsert import upsert
from bots.store.busy import TradeBusy
from bots.store.order_tables import coupon_uses, coupons


@dataclass(frozen=True, slots=True)
class CouponRow:
    """One coupon as it is stored. ``terms``: JSON; ``most``: None: without end."""

    merchant: str
    code: str
    terms: str
    most: int | None
    each: int
    used: int
    active: int
    created_at: int


def put(connection: Connection, row: CouponRow) -> None:
    """Store a coupon; one of the same code gets these terms, and keeps how often it was used."""
    values = asdict(row)
    kept = {"used", "created_at", "merchant", "code"}
    upsert(connection, coupons, values, {name: value for name, value in values.items() if name not in kept})


def get(connection: Connection, merchant: str, code: str) -> CouponRow | None:
    """A coupon by its code."""
    query = select(coupons).where(coupons.c.merchant == merchant, coupons.c.code == code)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _coupon(row)


def of_merchant(connection: Connection, merchant: str) -> list[CouponRow]:
    """A merchant's coupons, the newest first."""
    query = select(coupons).where(coupons.c.merchant == merchant)
    rows = connection.execute(query.order_by(coupons.c.created_at.desc(), coupons.c.code)).mappings()
    return [_coupon(row) for row in rows]


def stop(connection: Connection, merchant: str, code: str) -> None:
    """It counts no more."""
    where = (coupons.c.merchant == merchant, coupons.c.code == code)
    connection.execute(update(coupons).where(*where).values(active=0))


def used_by(connection: Connection, merchant: str, code: str, person: str) -> int:
    """How often a person has used a coupon."""
    query = select(func.count()).where(
        coupon_uses.c.merchant == merchant, coupon_uses.c.code == code, coupon_uses.c.person == person
    )
    return int(connection.execute(query).scalar_one())


def use(connection: Connection, merchant: str, code: str, order_id: str, person: str, at: int) -> None:
    """Use a coupon for an order.

    Raises:
        TradeBusy: it counts no more, is used up, or this person has used it.
    """
    c = coupons.c
    where = (c.merchant == merchant, c.code == code, c.active == 1, (c.most.is_(None)) | (c.used < c.most))
    if connection.execute(update(coupons).where(*where).values(used=c.used + 1)).rowcount != 1:
        raise TradeBusy("a coupon counts no more", order=order_id)
    # Whoever else uses this coupon waits for this commit: what is counted now stays so.
    each = connection.execute(select(c.each).where(c.merchant == merchant, c.code == code)).scalar_one()
    if used_by(connection, merchant, code, person) >= each:
        raise TradeBusy("the person has used this coupon", order=order_id)
    row = {"order_id": order_id, "merchant": merchant, "code": code, "person": person, "at": at}
    if connection.execute(insert_ignore(connection, coupon_uses, "order_id"), row).rowcount != 1:
        raise TradeBusy("an order uses one coupon", order=order_id)


def give_back(connection: Connection, order_id: str) -> None:
    """The order came to nothing: its coupon was not used. Twice is the same as once."""
    found = connection.execute(select(coupon_uses).where(coupon_uses.c.order_id == order_id)).mappings().one_or_none()
    if found is None:
        return
    if connection.execute(delete(coupon_uses).where(coupon_uses.c.order_id == order_id)).rowcount == 1:
        where = (coupons.c.merchant == found["merchant"], coupons.c.code == found["code"], coupons.c.used > 0)
        connection.execute(update(coupons).where(*where).values(used=coupons.c.used - 1))


def _coupon(row: RowMapping) -> CouponRow:
    return CouponRow(**row)
