"""SQL of offers. What an offer means is the caller's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, RowMapping, Select, func, insert, or_, select, update

from bots.store.busy import TradeBusy
from bots.store.fleet_tables import trip_offers


@dataclass(frozen=True, slots=True)
class OfferRow:
    """One offer as it is stored. Times: ms since the epoch."""

    id: str
    bot: str
    driver: str
    open_for: str | None
    trip_id: str
    second_id: str
    state: str
    wave: int
    pickup_seconds: int
    pickup_metres: int
    currency: str
    earning: int
    made_at: int
    deadline: int
    revision: int = 0


def add(connection: Connection, rows: Sequence[OfferRow]) -> None:
    """Store offers. One is open for a driver at most: a second is an error of the database."""
    if rows:
        connection.execute(insert(trip_offers), [asdict(row) for row in rows])


def get(connection: Connection, bot: str, offer_id: str) -> OfferRow | None:
    """An offer by its id."""
    found = _all(connection, select(trip_offers).where(trip_offers.c.bot == bot, trip_offers.c.id == offer_id))
    return found[0] if found else None


def open_of_driver(connection: Connection, bot: str, person: str) -> OfferRow | None:
    """What a driver has before them."""
    found = _all(connection, select(trip_offers).where(trip_offers.c.bot == bot, trip_offers.c.open_for == person))
    return found[0] if found else None


def of_trip(connection: Connection, trip_id: str, *, only_open: bool = False) -> list[OfferRow]:
    """The offers of a trip, the newest first."""
    query = select(trip_offers).where(or_(trip_offers.c.trip_id == trip_id, trip_offers.c.second_id == trip_id))
    if only_open:
        query = query.where(trip_offers.c.open_for.is_not(None))
    return _all(connection, query.order_by(trip_offers.c.made_at.desc(), trip_offers.c.id.desc()))


def all_open(connection: Connection, bot: str) -> list[OfferRow]:
    """Every offer that is open, the one that lapses next first."""
    query = select(trip_offers).where(trip_offers.c.bot == bot, trip_offers.c.open_for.is_not(None))
    return _all(connection, query.order_by(trip_offers.c.deadline, trip_offers.c.id))


def change(connection: Connection, row: OfferRow, before: int) -> None:
    """Write an offer that is still as it was read.

    Raises:
        TradeBusy: it is not.
    """
    values = {"state": row.state, "open_for": row.open_for, "revision": before + 1}
    where = (trip_offers.c.id == row.id, trip_offers.c.revision == before)
    if connection.execute(update(trip_offers).where(*where).values(values)).rowcount != 1:
        raise TradeBusy("an offer was answered meanwhile", offer=row.id)


def outcomes(connection: Connection, bot: str, since: int) -> dict[str, int]:
    """How many offers since a moment came to what."""
    query = select(trip_offers.c.state, func.count()).where(trip_offers.c.bot == bot, trip_offers.c.made_at >= since)
    return {row[0]: row[1] for row in connection.execute(query.group_by(trip_offers.c.state))}


def _all(connection: Connection, query: Select[tuple[object, ...]]) -> list[OfferRow]:
    return [_offer(row) for row in connection.execute(query).mappings()]


def _offer(row: RowMapping) -> OfferRow:
    return OfferRow(**row)
