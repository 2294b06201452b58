"""SQL of what the ledger and the providers do not agree about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from appservice.store.upsert import upsert
from bots.domain.funding import Difference
from bots.store.funding_tables import funding_differences as table


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """One difference. ``ours`` and ``theirs``: minor units; None: there is no such movement. ``at``: of the money."""

    provider: str
    kind: Difference
    subject: str
    currency: str
    ours: int | None
    theirs: int | None
    detail: str
    at: int
    first_seen: int = 0
    last_seen: int = 0
    resolved_at: int | None = None


def note(connection: Connection, provider: str, found: Iterable[DifferenceRow], now: int) -> int:
    """Keep what a comparison found, all of a provider's; what it found no more is resolved. How many are open."""
    seen = set()
    for row in found:
        seen.add((row.kind.value, row.subject))
        values = {
            "provider": provider,
            "kind": row.kind.value,
            "subject": row.subject,
            "currency": row.currency,
            "ours": row.ours,
            "theirs": row.theirs,
            "detail": row.detail,
            "at": row.at,
            "last_seen": now,
            "resolved_at": None,
        }
        kept = {name: values[name] for name in ("ours", "theirs", "detail", "at", "last_seen", "resolved_at")}
        upsert(connection, table, values | {"first_seen": now}, kept)
    for row in open_of(connection, provider):
        if (row.kind.value, row.subject) not in seen:
            connection.execute(
                update(table)
                .where(table.c.provider == provider, table.c.kind == row.kind.value, table.c.subject == row.subject)
                .values(resolved_at=now)
            )
    return len(seen)


def open_of(connection: Connection, provider: str | None = None) -> list[DifferenceRow]:
    """Those that are open, the oldest first."""
    query = select(table).where(table.c.resolved_at.is_(None))
    if provider is not None:
        query = query.where(table.c.provider == provider)
    return [_row(row) for row in connection.execute(query.order_by(table.c.at, table.c.provider, table.c.subject))]


def oldest(connection: Connection, provider: str) -> int | None:
    """When the money of the oldest open difference moved."""
    query = select(func.min(table.c.at)).where(table.c.provider == provider, table.c.resolved_at.is_(None))
    return connection.execute(query).scalar()


def _row(row: Row[Any]) -> DifferenceRow:
    return DifferenceRow(
        provider=row.provider,
        kind=Difference(row.kind),
        subject=row.subject,
        currency=row.currency,
        ours=row.ours,
        theirs=row.theirs,
        detail=row.detail,
        at=row.at,
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        resolved_at=row.resolved_at,
    )
