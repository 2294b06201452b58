"""SQL of wish lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, Connection, RowMapping, delete, select, tuple_, update

from appservice.store.upsert import upsert
from bots.store.order_tables import wishes


@dataclass(frozen=True, slots=True)
class WishRow:
    """One wish as it is stored. ``price``, ``there``: as the person heard of it last."""

    bot: str
    person: str
    merchant: str
    product: str
    variant: str
    room_id: str
    currency: str
    price: int
    there: int
    created_at: int


def put(connection: Connection, row: WishRow, most: int) -> None:
    """Store a wish; one that is there already gets what the person knows now. Of more than ``most`` the oldest go."""
    known = {"room_id": row.room_id, "currency": row.currency, "price": row.price, "there": row.there}
    upsert(connection, wishes, asdict(row), known)
    for old in of_person(connection, row.bot, row.person)[:-most]:
        drop(connection, old.bot, old.person, old.merchant, old.product, old.variant)


def drop(connection: Connection, bot: str, person: str, merchant: str, product: str, variant: str) -> None:
    """Forget a wish."""
    connection.execute(delete(wishes).where(_is(bot, person, merchant, product, variant)))


def of_person(connection: Connection, bot: str, person: str) -> list[WishRow]:
    """A person's wishes, the oldest first."""
    query = select(wishes).where(wishes.c.bot == bot, wishes.c.person == person)
    query = query.order_by(wishes.c.created_at, wishes.c.merchant, wishes.c.product, wishes.c.variant)
    return [_wish(row) for row in connection.execute(query).mappings()]


def page(connection: Connection, bot: str, after: Sequence[str], limit: int) -> list[WishRow]:
    """Everybody's wishes, in the order of their keys, from behind ``after``: person, merchant, product, variant."""
    place = tuple_(wishes.c.person, wishes.c.merchant, wishes.c.product, wishes.c.variant)
    query = select(wishes).where(wishes.c.bot == bot)
    if after:
        query = query.where(place > tuple_(*after))
    query = query.order_by(wishes.c.person, wishes.c.merchant, wishes.c.product, wishes.c.variant)
    return [_wish(row) for row in connection.execute(query.limit(limit)).mappings()]


def heard(connection: Connection, row: WishRow, currency: str, price: int, there: int) -> bool:
    """The person hears how it stands now; False when somebody has told them meanwhile."""
    where = (_is(row.bot, row.person, row.merchant, row.product, row.variant),)
    same = (wishes.c.price == row.price, wishes.c.there == row.there, wishes.c.currency == row.currency)
    values = {"currency": currency, "price": price, "there": there}
    return connection.execute(update(wishes).where(*where, *same).values(values)).rowcount == 1


def _is(bot: str, person: str, merchant: str, product: str, variant: str) -> ColumnElement[bool]:
    c = wishes.c
    return (
        (c.bot == bot)
        & (c.person == person)
        & (c.merchant == merchant)
        & (c.product == product)
        & (c.variant == variant)
    )


def _wish(row: RowMapping) -> WishRow:
    return WishRow(**row)
