"""SQL of drivers. What a driver means, and their seal, is the caller's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, RowMapping, Select, func, select, update

from appservice.database import insert_ignore
from bots.store.busy import TradeBusy
from bots.store.fleet_tables import drivers, trip_ratings

IN_MOST = 500
"""Values in one IN."""


@dataclass(frozen=True, slots=True)
class DriverRow:
    """One driver as they are stored. Times: ms since the epoch."""

    bot: str
    person: str
    state: str
    room_id: str
    trip: str
    batched: str
    offer: str
    applied_at: int
    idle_since: int
    online_until: int | None
    lapses: int
    ratings: int
    stars: int
    sealed: bytes
    revision: int = 0


@dataclass(frozen=True, slots=True)
class RatingRow:
    """What somebody says of somebody else after a trip."""

    trip_id: str
    rated: str
    bot: str
    person: str
    stars: int
    at: int
    sealed: bytes


def apply(connection: Connection, row: DriverRow) -> None:
    """Store somebody who wants to drive.

    Raises:
        TradeBusy: they are stored already.
    """
    if connection.execute(insert_ignore(connection, drivers, "bot", "person"), asdict(row)).rowcount != 1:
        raise TradeBusy("the driver is known already")


def get(connection: Connection, bot: str, person: str) -> DriverRow | None:
    """A driver by their user id."""
    query = select(drivers).where(drivers.c.bot == bot, drivers.c.person == person)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _driver(row)


def in_states(
    connection: Connection, bot: str, states: Collection[str], limit: int, after: str = ""
) -> list[DriverRow]:
    """Drivers in these states by their user ids, from behind ``after``."""
    query = select(drivers).where(drivers.c.bot == bot, drivers.c.state.in_(sorted(states)), drivers.c.person > after)
    return _all(connection, query.order_by(drivers.c.person).limit(limit))


def counts(connection: Connection, bot: str) -> dict[str, int]:
    """How many are in each state."""
    query = select(drivers.c.state, func.count()).where(drivers.c.bot == bot).group_by(drivers.c.state)
    return {row[0]: row[1] for row in connection.execute(query)}


def free(connection: Connection, bot: str, state: str, limit: int) -> list[tuple[str, int]]:
    """User ids and revisions of drivers in a state who have neither a trip nor an offer."""
    query = (
        select(drivers.c.person, drivers.c.revision)
        .where(drivers.c.bot == bot, drivers.c.state == state, drivers.c.trip == "", drivers.c.offer == "")
        .order_by(drivers.c.person)
        .limit(limit)
    )
    return [(person, revision) for person, revision in connection.execute(query)]


def named(connection: Connection, bot: str, people: Sequence[str]) -> list[DriverRow]:
    """Drivers by their user ids."""
    found: list[DriverRow] = []
    for begin in range(0, len(people), IN_MOST):
        some = people[begin : begin + IN_MOST]
        found += _all(connection, select(drivers).where(drivers.c.bot == bot, drivers.c.person.in_(some)))
    return found


def locked(connection: Connection, bot: str, people: Sequence[str]) -> dict[str, DriverRow]:
    """Drivers by their user ids, whom nobody else changes before the end of the transaction."""
    found: dict[str, DriverRow] = {}
    for begin in range(0, len(people), IN_MOST):
        some = people[begin : begin + IN_MOST]
        query = select(drivers).where(drivers.c.bot == bot, drivers.c.person.in_(some)).order_by(drivers.c.person)
        found |= {row.person: row for row in _all(connection, query.with_for_update())}
    return found


def offered(connection: Connection, bot: str, offers: Sequence[tuple[str, str]]) -> None:
    """Drivers whose rows are locked have offers before them: (person, offer)."""
    for person, offer in offers:
        where = (drivers.c.bot == bot, drivers.c.person == person)
        connection.execute(update(drivers).where(*where).values(offer=offer, revision=drivers.c.revision + 1))


def silent(connection: Connection, bot: str, before: int, limit: int) -> list[DriverRow]:
    """Drivers of whom nothing was heard in time, and who have no trip."""
    query = select(drivers).where(drivers.c.bot == bot, drivers.c.online_until < before, drivers.c.trip == "")
    return _all(connection, query.order_by(drivers.c.online_until).limit(limit))


def heard(connection: Connection, bot: str, people: Sequence[str], states: Collection[str], until: int) -> None:
    """Something was heard of some: no change that others have to know of."""
    for begin in range(0, len(people), IN_MOST):
        some = people[begin : begin + IN_MOST]
        where = (drivers.c.bot == bot, drivers.c.person.in_(some), drivers.c.state.in_(sorted(states)))
        connection.execute(update(drivers).where(*where).values(online_until=until))


def change(connection: Connection, before: DriverRow, after: DriverRow) -> None:
    """Write a driver who is still as they were read.

    Raises:
        TradeBusy: they are not.
    """
    where = (drivers.c.bot == before.bot, drivers.c.person == before.person, drivers.c.revision == before.revision)
    values = {name: value for name, value in asdict(after).items() if name not in {"bot", "person", "applied_at"}}
    values["revision"] = before.revision + 1
    if connection.execute(update(drivers).where(*where).values(values)).rowcount != 1:
        raise TradeBusy("a driver was changed meanwhile")


def rate(connection: Connection, row: RatingRow) -> bool:
    """Store what somebody says of somebody; whether they have not said it before. A driver's stars count at once."""
    if connection.execute(insert_ignore(connection, trip_ratings, "trip_id", "rated"), asdict(row)).rowcount != 1:
        return False
    where = (drivers.c.bot == row.bot, drivers.c.person == row.rated)
    values = {
        "ratings": drivers.c.ratings + 1,
        "stars": drivers.c.stars + row.stars,
        "revision": drivers.c.revision + 1,
    }
    connection.execute(update(drivers).where(*where).values(values))
    return True


def ratings_of(connection: Connection, bot: str, rated: str, limit: int) -> list[RatingRow]:
    """What was said of somebody, the newest first."""
    query = select(trip_ratings).where(trip_ratings.c.bot == bot, trip_ratings.c.rated == rated)
    rows = connection.execute(query.order_by(trip_ratings.c.at.desc()).limit(limit)).mappings()
    return [RatingRow(**{**row, "sealed": bytes(row["sealed"])}) for row in rows]


def rating(connection: Connection, trip_id: str, rated: str) -> RatingRow | None:
    """What was said of somebody after a trip."""
    query = select(trip_ratings).where(trip_ratings.c.trip_id == trip_id, trip_ratings.c.rated == rated)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else RatingRow(**{**row, "sealed": bytes(row["sealed"])})


def stars_of(connection: Connection, bot: str, rated: str) -> tuple[int, int]:
    """How often somebody was rated, and the sum of the stars."""
    query = select(func.count(), func.sum(trip_ratings.c.stars)).where(
        trip_ratings.c.bot == bot, trip_ratings.c.rated == rated
    )
    count, stars = connection.execute(query).one()
    return int(count), int(stars or 0)


def _all(connection: Connection, query: Select[tuple[object, ...]]) -> list[DriverRow]:
    return [_driver(row) for row in connection.execute(query).mappings()]


def _driver(row: RowMapping) -> DriverRow:
    return DriverRow(**{**row, "sealed": bytes(row["sealed"])})


__all__ = [
    "DriverRow", "RatingRow", "apply", "change", "counts", "free", "get", "heard", "in_states", "locked",
    "named", "offered", "rate", "rating", "ratings_of", "silent", "stars_of",
]  # fmt: skip
