"""SQL of trips, of what happened to them, and of cases about them. What they mean, and their seals, is the caller's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, RowMapping, Select, func, insert, or_, select, update

from appservice.database import insert_ignore
from bots.store.busy import TradeBusy
from bots.store.fleet_tables import trip_cases, trip_steps, trips

IN_MOST = 500
"""Values in one IN."""
FIXED = frozenset({"id", "bot", "number", "kind", "client", "reference", "opened_at", "settled", "payment", "waves"})
"""What a change does not reach: the last three have functions of their own, which are no change that others see."""


@dataclass(frozen=True, slots=True)
class TripRow:
    """One trip as it is stored. Times: ms since the epoch."""

    id: str
    bot: str
    number: str
    kind: str
    state: str
    client: str
    reference: str
    active: str | None
    rider: str
    room_id: str
    service: str
    driver: str
    batch: str
    of_trip: str
    payment: str
    currency: str
    quoted: int
    earning: int
    due: int | None
    tip: int | None
    surge: int
    waves: int
    priority: int
    disputed: int
    owed: int
    settled: int
    deadline: int | None
    opened_at: int
    updated_at: int
    ended_at: int | None
    sealed: bytes
    revision: int = 0


@dataclass(frozen=True, slots=True)
class StepRow:
    """Something that happened to a trip; ``revision``: of the trip after it."""

    trip_id: str
    revision: int
    action: str
    state: str
    person: str
    at: int


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case about a trip as it is stored."""

    id: str
    bot: str
    trip_id: str
    kind: str
    active: str | None
    state: str
    person: str
    currency: str
    back: int | None
    opened_at: int
    updated_at: int
    sealed: bytes
    revision: int = 0


def add(connection: Connection, row: TripRow, step: StepRow) -> None:
    """Store a trip.

    Raises:
        TradeBusy: it is there already, or the client has another one under way for this reference.
    """
    taken = trips.c.id == row.id
    if row.active is not None:
        taken = or_(taken, (trips.c.bot == row.bot) & (trips.c.active == row.active))
    if connection.execute(select(trips.c.id).where(taken)).first() is not None:
        raise TradeBusy("there is such a trip already", trip=row.id)
    connection.execute(insert(trips), asdict(row))
    connection.execute(insert(trip_steps), asdict(step))


def change(connection: Connection, row: TripRow, before: int, step: StepRow, *, unsettled: bool) -> None:
    """Write a trip that is still of the revision that was read, and what happened to it.

    Args:
        unsettled: the money is to be brought to another place now.

    Raises:
        TradeBusy: it is not.
    """
    values = {name: value for name, value in asdict(row).items() if name not in FIXED}
    values["revision"] = before + 1
    if unsettled:
        values["settled"] = 0
    where = (trips.c.id == row.id, trips.c.revision == before)
    if connection.execute(update(trips).where(*where).values(values)).rowcount != 1:
        raise TradeBusy("a trip was changed meanwhile", trip=row.id)
    connection.execute(insert(trip_steps), asdict(step))


def settled(connection: Connection, trip_id: str, revision: int) -> None:
    """The money of a trip is where it belongs; if it was changed meanwhile, that is to be seen anew."""
    connection.execute(update(trips).where(trips.c.id == trip_id, trips.c.revision == revision).values(settled=1))


def asked(connection: Connection, trip_id: str, payment: str) -> None:
    """The wallet knows of the trip's payment."""
    connection.execute(update(trips).where(trips.c.id == trip_id, trips.c.payment == "").values(payment=payment))


def get(connection: Connection, bot: str, trip_id: str) -> TripRow | None:
    """A trip by its id."""
    return _one(connection, select(trips).where(trips.c.bot == bot, trips.c.id == trip_id))


def of_number(connection: Connection, bot: str, number: str, *, rider: str = "", driver: str = "") -> TripRow | None:
    """The newest trip of a number, of a rider or a driver, or anybody's."""
    query = select(trips).where(trips.c.bot == bot, trips.c.number == number)
    if rider:
        query = query.where(trips.c.rider == rider)
    if driver:
        query = query.where(trips.c.driver == driver)
    return _one(connection, query.order_by(trips.c.id.desc()).limit(1))


def of_rider(
    connection: Connection, bot: str, person: str, before: str, limit: int, states: Collection[str] = ()
) -> list[TripRow]:
    """A rider's trips, the newest first, of those that are older than the trip ``before``; in some states only."""
    query = select(trips).where(trips.c.bot == bot, trips.c.rider == person)
    if before:  # ids sort by time
        query = query.where(trips.c.id < before)
    if states:
        query = query.where(trips.c.state.in_(sorted(states)))
    return _all(connection, query.order_by(trips.c.id.desc()).limit(limit))


def of_driver(
    connection: Connection,
    bot: str,
    person: str,
    states: Collection[str],
    limit: int,
    *,
    since: int | None = None,
    before: str = "",
) -> list[TripRow]:
    """A driver's trips in some states, the newest first."""
    query = select(trips).where(trips.c.bot == bot, trips.c.driver == person, trips.c.state.in_(sorted(states)))
    if since is not None:
        query = query.where(trips.c.ended_at >= since)
    if before:
        query = query.where(trips.c.id < before)
    return _all(connection, query.order_by(trips.c.id.desc()).limit(limit))


def of_reference(connection: Connection, bot: str, client: str, reference: str) -> list[TripRow]:
    """A client's trips for a reference, the newest first."""
    query = select(trips).where(trips.c.bot == bot, trips.c.client == client, trips.c.reference == reference)
    return _all(connection, query.order_by(trips.c.opened_at.desc(), trips.c.id.desc()).limit(20))


def in_states(connection: Connection, bot: str, states: Collection[str], limit: int) -> list[TripRow]:
    """Everybody's trips in some states, what was not touched for longest first."""
    query = select(trips).where(trips.c.bot == bot, trips.c.state.in_(sorted(states)))
    return _all(connection, query.order_by(trips.c.updated_at, trips.c.id).limit(limit))


def counts(connection: Connection, bot: str, states: Collection[str]) -> dict[str, int]:
    """How many trips are in each of some states."""
    query = select(trips.c.state, func.count()).where(trips.c.bot == bot, trips.c.state.in_(sorted(states)))
    return {row[0]: row[1] for row in connection.execute(query.group_by(trips.c.state))}


def waiting(connection: Connection, bot: str, state: str, limit: int) -> list[tuple[str, int, int]]:
    """Ids, revisions and waves of trips in a state: those that lost a driver first, then the oldest."""
    query = select(trips.c.id, trips.c.revision, trips.c.waves).where(trips.c.bot == bot, trips.c.state == state)
    query = query.order_by(trips.c.priority.desc(), trips.c.id).limit(limit)
    return [(trip_id, revision, waves) for trip_id, revision, waves in connection.execute(query)]


def named(connection: Connection, bot: str, ids: Sequence[str]) -> list[TripRow]:
    """Trips by their ids."""
    found: list[TripRow] = []
    for begin in range(0, len(ids), IN_MOST):
        some = ids[begin : begin + IN_MOST]
        found += _all(connection, select(trips).where(trips.c.bot == bot, trips.c.id.in_(some)))
    return found


def locked(connection: Connection, bot: str, ids: Sequence[str]) -> dict[str, TripRow]:
    """Trips by their ids, which nobody else changes before the end of the transaction."""
    found: dict[str, TripRow] = {}
    for begin in range(0, len(ids), IN_MOST):
        some = ids[begin : begin + IN_MOST]
        query = select(trips).where(trips.c.bot == bot, trips.c.id.in_(some)).order_by(trips.c.id)
        found |= {row.id: row for row in _all(connection, query.with_for_update())}
    return found


def waved(connection: Connection, ids: Sequence[str]) -> None:
    """One more wave of offers for trips whose rows are locked. Only rounds count waves: no revision."""
    for begin in range(0, len(ids), IN_MOST):
        some = ids[begin : begin + IN_MOST]
        connection.execute(update(trips).where(trips.c.id.in_(some)).values(waves=trips.c.waves + 1))


def late(connection: Connection, bot: str, due: int, unsettled: int, limit: int) -> tuple[list[TripRow], list[TripRow]]:
    """Trips whose deadline has passed before ``due``, and those whose money has not settled since ``unsettled``."""
    first = select(trips).where(trips.c.bot == bot, trips.c.deadline < due).order_by(trips.c.deadline)
    second = select(trips).where(trips.c.bot == bot, trips.c.settled == 0, trips.c.updated_at < unsettled)
    return _all(connection, first.limit(limit)), _all(connection, second.order_by(trips.c.updated_at).limit(limit))


def steps(connection: Connection, trip_id: str) -> list[StepRow]:
    """What happened to a trip, in order."""
    query = select(trip_steps).where(trip_steps.c.trip_id == trip_id).order_by(trip_steps.c.revision)
    return [StepRow(**row) for row in connection.execute(query).mappings()]


# Cases


def open_case(connection: Connection, row: CaseRow) -> None:
    """Store a case.

    Raises:
        TradeBusy: one of its kind is open for the trip.
    """
    if connection.execute(insert_ignore(connection, trip_cases, "trip_id", "active"), asdict(row)).rowcount != 1:
        raise TradeBusy("such a case is open", trip=row.trip_id)


def case(connection: Connection, bot: str, case_id: str) -> CaseRow | None:
    """A case by its id."""
    found = _cases(connection, select(trip_cases).where(trip_cases.c.bot == bot, trip_cases.c.id == case_id))
    return found[0] if found else None


def cases_of(connection: Connection, bot: str, trip_id: str) -> list[CaseRow]:
    """The cases of a trip, the newest first."""
    query = select(trip_cases).where(trip_cases.c.bot == bot, trip_cases.c.trip_id == trip_id)
    return _cases(connection, query.order_by(trip_cases.c.opened_at.desc(), trip_cases.c.id.desc()))


def cases_in(connection: Connection, bot: str, state: str, limit: int) -> list[CaseRow]:
    """Cases in a state, the oldest first."""
    query = select(trip_cases).where(trip_cases.c.bot == bot, trip_cases.c.state == state)
    return _cases(connection, query.order_by(trip_cases.c.opened_at, trip_cases.c.id).limit(limit))


def change_case(connection: Connection, row: CaseRow, before: int) -> None:
    """Write a case that is still as it was read.

    Raises:
        TradeBusy: it is not.
    """
    values = {name: value for name, value in asdict(row).items() if name not in {"id", "bot", "trip_id", "opened_at"}}
    values["revision"] = before + 1
    where = (trip_cases.c.id == row.id, trip_cases.c.revision == before)
    if connection.execute(update(trip_cases).where(*where).values(values)).rowcount != 1:
        raise TradeBusy("a case was changed meanwhile", case=row.id)


def _cases(connection: Connection, query: Select[tuple[object, ...]]) -> list[CaseRow]:
    return [CaseRow(**{**row, "sealed": bytes(row["sealed"])}) for row in connection.execute(query).mappings()]


def _one(connection: Connection, query: Select[tuple[object, ...]]) -> TripRow | None:
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _trip(row)


def _all(connection: Connection, query: Select[tuple[object, ...]]) -> list[TripRow]:
    return [_trip(row) for row in connection.execute(query).mappings()]


def _trip(row: RowMapping) -> TripRow:
    return TripRow(**{**row, "sealed": bytes(row["sealed"])})
