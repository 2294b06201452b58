"""SQL of the sandbox: what its bank, which there is not, would know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from appservice.database import insert_ignore
from bots.domain.funding import Seen
from bots.domain.money import Money
from bots.store.funding_tables import sandbox_payments


@dataclass(frozen=True, slots=True)
class SandboxRow:
    """A payment, a payout or a refund in play money."""

    id: str
    key: str
    kind: str
    reference: str
    amount: Money
    state: Seen
    due_at: int | None
    due_state: str
    expires_at: int | None
    created_at: int
    moved_at: int | None


def add(connection: Connection, row: SandboxRow) -> SandboxRow:
    """Store one; that which is there when its key was used before."""
    values = {
        "id": row.id,
        "key": row.key,
        "kind": row.kind,
        "reference": row.reference,
        "currency": row.amount.currency,
        "amount": row.amount.minor,
        "state": row.state.value,
        "due_at": row.due_at,
        "due_state": row.due_state,
        "expires_at": row.expires_at,
        "created_at": row.created_at,
        "moved_at": row.moved_at,
    }
    connection.execute(insert_ignore(connection, sandbox_payments, "key").values(values))
    return _row(connection.execute(select(sandbox_payments).where(sandbox_payments.c.key == row.key)).one())


def get(connection: Connection, payment_id: str, *, lock: bool = False) -> SandboxRow | None:
    """One of them."""
    query = select(sandbox_payments).where(sandbox_payments.c.id == payment_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _row(row)


def of_reference(connection: Connection, reference: str, kind: str) -> list[SandboxRow]:
    """Those that our side calls so."""
    query = select(sandbox_payments).where(sandbox_payments.c.reference == reference, sandbox_payments.c.kind == kind)
    return [_row(row) for row in connection.execute(query.order_by(sandbox_payments.c.id))]


def change(connection: Connection, payment_id: str, **values: Any) -> None:
    """Set columns of one."""
    connection.execute(update(sandbox_payments).where(sandbox_payments.c.id == payment_id).values(values))


def due(connection: Connection, now: int, limit: int = 100) -> list[SandboxRow]:
    """Those that are to become something else by now."""
    query = select(sandbox_payments).where(sandbox_payments.c.due_at <= now).order_by(sandbox_payments.c.due_at)
    return [_row(row) for row in connection.execute(query.limit(limit).with_for_update())]


def next_due(connection: Connection) -> int | None:
    """When the next one is due."""
    return connection.execute(select(func.min(sandbox_payments.c.due_at))).scalar()


def moved(connection: Connection, since: int, until: int) -> list[SandboxRow]:
    """Those whose money moved in a time."""
    query = select(sandbox_payments).where(sandbox_payments.c.moved_at >= since, sandbox_payments.c.moved_at < until)
    return [_row(row) for row in connection.execute(query.order_by(sandbox_payments.c.moved_at, sandbox_payments.c.id))]


def _row(row: Row[Any]) -> SandboxRow:
    return SandboxRow(
        id=row.id,
        key=row.key,
        kind=row.kind,
        reference=row.reference,
        amount=Money(row.amount, row.currency),
        state=Seen(row.state),
        due_at=row.due_at,
        due_state=row.due_state,
        expires_at=row.expires_at,
        created_at=row.created_at,
        moved_at=row.moved_at,
    )
