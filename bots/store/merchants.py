"""SQL of merchants, of who works for them, and of where they deliver."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, Row, Select, bindparam, delete, insert, or_, select, update

from appservice.database import insert_ignore
from appservice.store.upsert import upsert
from bots.domain.merchants import Merchant, MerchantState, Staff
from bots.domain.places import EARTH_M, Circle, Point, Shape
from bots.store import documents
from bots.store.busy import TradeBusy
from bots.store.catalogue_tables import merchant_areas, merchant_staff, merchants

MARGIN: Final = 1e-6
"""Degrees, a tenth of a metre: the areas are a first sieve and must lose nothing by rounding."""


def apply(connection: Connection, merchant: Merchant, now: int) -> Merchant:
    """Store a new merchant, whose owner works for it.

    Raises:
        TradeBusy: the slug is taken.
    """
    row = _row(merchant, now) | {"id": merchant.id, "bot": merchant.bot, "created_at": now, "revision": 0}
    if connection.execute(insert_ignore(connection, merchants, "bot", "slug"), row).rowcount != 1:
        raise TradeBusy("the short name is taken", merchant=merchant.id)
    _cover(connection, merchant)
    if merchant.owner:
        hire(connection, merchant.id, merchant.owner, Staff.OWNER)
    return replace(merchant, revision=0)


def change(connection: Connection, before: Merchant, after: Merchant, now: int) -> None:
    """Write a merchant that is still as it was read.

    Raises:
        TradeBusy: it is not, or its new slug is taken.
    """
    if after.slug != before.slug and by_slug(connection, after.bot, after.slug) is not None:
        raise TradeBusy("the short name is taken", merchant=before.id)
    where = (merchants.c.id == before.id, merchants.c.revision == before.revision)
    values = _row(after, now) | {"revision": before.revision + 1}
    if connection.execute(update(merchants).where(*where).values(values)).rowcount != 1:
        raise TradeBusy("a merchant was changed meanwhile", merchant=before.id)
    if after.zones != before.zones:
        connection.execute(delete(merchant_areas).where(merchant_areas.c.merchant_id == before.id))
        _cover(connection, after)


def changed(before: Merchant, after: Merchant) -> Merchant:
    """What :func:`change` leaves behind."""
    return replace(after, revision=before.revision + 1)


def get(connection: Connection, bot: str, merchant_id: str) -> Merchant | None:
    """A merchant by its id."""
    return _one(connection, _BY_ID, {"of": bot, "is": merchant_id})


def by_slug(connection: Connection, bot: str, slug: str) -> Merchant | None:
    """A merchant by its short name."""
    return _one(connection, _BY_SLUG, {"of": bot, "is": slug})


def of_room(connection: Connection, bot: str, room_id: str) -> Merchant | None:
    """The merchant whose staff room this is."""
    if not room_id:
        return None
    return _one(connection, _BY_ROOM, {"of": bot, "is": room_id})


def many(connection: Connection, bot: str, ids: Collection[str]) -> dict[str, Merchant]:
    """Merchants by their ids."""
    if not ids:
        return {}
    rows = connection.execute(_MANY, {"of": bot, "ids": list(ids)})
    return {each.id: each for each in map(_merchant, rows)}


def listed(
    connection: Connection, bot: str, states: Collection[MerchantState], after: str, limit: int
) -> list[Merchant]:
    """Merchants in these states, by their ids, which come after ``after``."""
    query = _all().where(merchants.c.bot == bot, merchants.c.state.in_([each.value for each in states]))
    rows = connection.execute(query.where(merchants.c.id > after).order_by(merchants.c.id).limit(limit))
    return [_merchant(row) for row in rows]


def around(connection: Connection, bot: str, state: MerchantState, point: Point, limit: int) -> list[Merchant]:
    """Merchants of a state with a zone that may hold a point: a first sieve, whether one does the caller has to see."""
    area = merchant_areas.c
    turns = [area.west <= point.longitude + turn for turn in (0.0, 360.0)]
    ends = [area.east >= point.longitude + turn for turn in (0.0, 360.0)]
    inside = select(area.merchant_id).where(
        area.south <= point.latitude,
        area.north >= point.latitude,
        or_(*(begin & end for begin, end in zip(turns, ends, strict=True))),
    )
    query = _all().where(merchants.c.bot == bot, merchants.c.state == state.value, merchants.c.id.in_(inside))
    return [_merchant(row) for row in connection.execute(query.order_by(merchants.c.id).limit(limit))]


# Who works for them


def hire(connection: Connection, merchant_id: str, person: str, role: Staff) -> None:
    """Let somebody work for a merchant, or give them another role."""
    upsert(connection, merchant_staff, {"merchant_id": merchant_id, "person": person, "role": role.value})


def dismiss(connection: Connection, merchant_id: str, person: str) -> None:
    """Let somebody not work for a merchant any more."""
    where = (merchant_staff.c.merchant_id == merchant_id, merchant_staff.c.person == person)
    connection.execute(delete(merchant_staff).where(*where))


def staff(connection: Connection, merchant_id: str) -> dict[str, Staff]:
    """Who works for a merchant."""
    query = select(merchant_staff).where(merchant_staff.c.merchant_id == merchant_id)
    return {row.person: Staff(row.role) for row in connection.execute(query.order_by(merchant_staff.c.person))}


def of_person(connection: Connection, bot: str, person: str) -> list[tuple[Merchant, Staff]]:
    """Whom somebody works for, the oldest first."""
    query = (
        _all()
        .add_columns(merchant_staff.c.role)
        .join(merchant_staff, merchant_staff.c.merchant_id == merchants.c.id)
        .where(merchants.c.bot == bot, merchant_staff.c.person == person)
    )
    return [(_merchant(row), Staff(row.role)) for row in connection.execute(query.order_by(merchants.c.id))]


# Where they deliver


def areas(shape: Shape) -> Iterator[tuple[float, float, float, float]]:
    """South, north, west, east in degrees of what a shape lies within; east of west, up to a turn beyond 180."""
    if isinstance(shape, Circle):
        centre = shape.centre
        high = math.degrees(shape.radius_m / EARTH_M) + MARGIN
        south, north = centre.latitude - high, centre.latitude + high
        if north >= 90 or south <= -90:
            yield max(south, -90.0), min(north, 90.0), -180.0, 180.0
            return
        # The widest part of a circle on a sphere lies nearer to the pole than its centre.
        reach = math.sin(shape.radius_m / EARTH_M) / math.cos(math.radians(centre.latitude))
        wide = math.degrees(math.asin(min(reach, 1.0))) + MARGIN
        west = centre.longitude - wide
        yield south, north, *_turned(west, west + 2 * wide)
        return
    first = shape.corners[0].longitude
    across = [first]
    for corner in shape.corners[1:]:
        across.append(across[-1] + (corner.longitude - across[-1] + 180) % 360 - 180)
    up = [corner.latitude for corner in shape.corners]
    yield min(up) - MARGIN, max(up) + MARGIN, *_turned(min(across) - MARGIN, max(across) + MARGIN)


def _turned(west: float, east: float) -> tuple[float, float]:
    """With its west from −180 to 180."""
    turn = math.floor((west + 180) / 360) * 360
    return west - turn, east - turn


def _cover(connection: Connection, merchant: Merchant) -> None:
    rows = [
        {"merchant_id": merchant.id, "position": position, "south": south, "north": north, "west": west, "east": east}
        for position, zone in enumerate(merchant.zones)
        for south, north, west, east in areas(zone.shape)
    ]
    if rows:
        connection.execute(insert(merchant_areas), rows)


def _row(merchant: Merchant, now: int) -> dict[str, object]:
    return {
        "slug": merchant.slug,
        "owner": merchant.owner,
        "state": merchant.state.value,
        "room_id": merchant.room_id,
        "document": documents.merchant_document(merchant),
        "updated_at": now,
    }


def _all() -> Select[tuple[bytes, int]]:
    return select(merchants.c.document, merchants.c.revision)


def _merchant(row: Row[tuple[bytes, int]]) -> Merchant:
    return documents.merchant(bytes(row.document), int(row.revision))


def _one(connection: Connection, query: Select[tuple[bytes, int]], values: Mapping[str, str]) -> Merchant | None:
    row = connection.execute(query, values).first()
    return None if row is None else _merchant(row)


# Made once: to put one together takes longer than to run it.
_MINE = _all().where(merchants.c.bot == bindparam("of"))
_BY_ID = _MINE.where(merchants.c.id == bindparam("is")).limit(1)
_BY_SLUG = _MINE.where(merchants.c.slug == bindparam("is")).limit(1)
_BY_ROOM = _MINE.where(merchants.c.room_id == bindparam("is")).limit(1)
_MANY = _MINE.where(merchants.c.id.in_(bindparam("ids", expanding=True)))
