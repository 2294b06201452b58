"""Accounts that products have suspended. Plain functions on a connection; times are ms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.engine import RowMapping

from appservice.store.upsert import upsert
from bridge.domain.moderation import Action, AppealState, State, SuspensionState
from bridge.store.moderation_tables import moderation_appeals as appeals
from bridge.store.moderation_tables import moderation_reports as reports
from bridge.store.moderation_tables import moderation_suspensions as suspensions


@dataclass(frozen=True, slots=True)
class Suspension:
    """An account that a product has suspended.

    Attributes:
        reason: sealed.
        due_at: when the homeserver is told (again); None: it was.
        attempts: how often that was in vain.
    """

    product: str
    user_id: str
    state: SuspensionState
    reason: bytes | None
    since: int
    attempts: int = 0
    due_at: int | None = None


def find(connection: Connection, product: str, user_id: str) -> Suspension | None:
    """A product's suspension of somebody."""
    query = select(suspensions).where(suspensions.c.product == product, suspensions.c.user_id == user_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else _must(row)


def put(connection: Connection, suspension: Suspension) -> None:
    """Keep a suspension; one by the same product of the same person is replaced."""
    row = {name: getattr(suspension, name) for name in Suspension.__slots__}
    upsert(connection, suspensions, row | {"state": suspension.state.value})


def change(connection: Connection, suspension: Suspension, /, **values: Any) -> bool:
    """Set columns of a suspension, if it is still in its state."""
    plain = {name: value.value if isinstance(value, SuspensionState) else value for name, value in values.items()}
    return connection.execute(update(suspensions).where(*_as_it_is(suspension)).values(**plain)).rowcount > 0


def remove(connection: Connection, suspension: Suspension) -> bool:
    """It is over, if it is still in its state."""
    return connection.execute(delete(suspensions).where(*_as_it_is(suspension))).rowcount > 0


def due(connection: Connection, now: int, limit: int) -> list[Suspension]:
    """Those that the homeserver is to be told of now."""
    query = select(suspensions).where(suspensions.c.due_at <= now).order_by(suspensions.c.due_at).limit(limit)
    return [_must(row) for row in connection.execute(query).mappings()]


def next_due(connection: Connection) -> int | None:
    """When the next one is."""
    return connection.execute(select(func.min(suspensions.c.due_at))).scalar_one_or_none()


def by_product(connection: Connection, user_id: str, besides: str = "") -> bool:
    """Whether a product, another than ``besides``, has suspended an account."""
    wanted = (suspensions.c.user_id == user_id, suspensions.c.product != besides)
    query = select(suspensions.c.product).where(*wanted, suspensions.c.state != SuspensionState.LIFTING.value)
    return connection.execute(query.limit(1)).first() is not None


def by_moderators(connection: Connection, user_id: str) -> bool:
    """Whether moderators have suspended an account, and no appeal has undone it."""
    undone = (AppealState.UNDOING.value, AppealState.GRANTED.value)
    granted = select(appeals.c.report_id).where(appeals.c.user_id == user_id, appeals.c.state.in_(undone))
    query = select(reports.c.id).where(
        reports.c.subject == user_id,
        reports.c.action == Action.SUSPEND.value,
        reports.c.state.in_([State.ACTING.value, State.DONE.value]),
        reports.c.id.not_in(granted),
    )
    return connection.execute(query.limit(1)).first() is not None


def about(connection: Connection, person: str) -> list[Suspension]:
    """All of somebody."""
    query = select(suspensions).where(suspensions.c.user_id == person).order_by(suspensions.c.product)
    return [_must(row) for row in connection.execute(query).mappings()]


def erase(connection: Connection, person: str) -> None:
    """Nothing of somebody is left here."""
    connection.execute(delete(suspensions).where(suspensions.c.user_id == person))


def _as_it_is(suspension: Suspension) -> tuple[Any, ...]:
    table = suspensions.c
    whose = (table.product == suspension.product, table.user_id == suspension.user_id)
    return (*whose, table.state == suspension.state.value, table.since == suspension.since)


def _must(row: RowMapping) -> Suspension:
    reason = None if row["reason"] is None else bytes(row["reason"])
    values = {name: row[name] for name in Suspension.__slots__}
    return Suspension(**values | {"state": SuspensionState(row["state"]), "reason": reason})
