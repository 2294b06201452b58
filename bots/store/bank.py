"""SQL of bank statements, their lines, and the files of orders for the bank."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from appservice.database import insert_ignore
from appservice.sealing import Sealer
from bots.domain.funding import LineState
from bots.domain.money import Money
from bots.store.funding_tables import bank_lines, bank_statements, funding_batches


@dataclass(frozen=True, slots=True)
class LineRow:
    """A line of a statement. ``details``: ``name``, ``iban``, ``text``, ``reference`` as far as the bank gave them."""

    id: str
    file: str
    line: int
    statement: str
    booked_on: str
    amount: Money
    end_to_end: str
    batch: str
    reversal: bool
    state: LineState
    matched_to: str | None
    reason: str
    booked: bool
    details: Mapping[str, str]
    imported_at: int


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A file of orders for the bank."""

    id: str
    provider: str
    total: Money
    orders: int
    content: bytes
    created_at: int


def add_statement(connection: Connection, file: str, *, format: str, statements: int, entries: int, now: int) -> bool:
    """Note that a file is imported; False: it was."""
    values = {
        "id": file,
        "format": format,
        "statements": statements,
        "entries": entries,
        "imported_at": now,
    }
    return bool(connection.execute(insert_ignore(connection, bank_statements, "id").values(values)).rowcount)


def add_line(connection: Connection, sealer: Sealer, row: LineRow) -> bool:
    """Store a line; False: it is there."""
    values = {
        "id": row.id,
        "file": row.file,
        "line": row.line,
        "statement": row.statement,
        "booked_on": row.booked_on,
        "currency": row.amount.currency,
        "amount": row.amount.minor,
        "end_to_end": row.end_to_end,
        "batch": row.batch,
        "reversal": int(row.reversal),
        "state": row.state.value,
        "matched_to": row.matched_to,
        "reason": row.reason,
        "details": sealer.seal(json.dumps(dict(row.details)).encode(), f"bank_lines:{row.id}"),
        "imported_at": row.imported_at,
    }
    return bool(connection.execute(insert_ignore(connection, bank_lines, "id").values(values)).rowcount)


def line(connection: Connection, sealer: Sealer, line_id: str, *, lock: bool = False) -> LineRow | None:
    """One line, by its id or the beginning of it when that is enough."""
    query = select(bank_lines).where(func.substr(bank_lines.c.id, 1, len(line_id)) == line_id).limit(2)
    rows = connection.execute(query.with_for_update() if lock else query).all()
    return _line(sealer, rows[0]) if len(rows) == 1 and len(line_id) >= 6 else None


def lines_in(connection: Connection, sealer: Sealer, states: Sequence[LineState], limit: int = 1_000) -> list[LineRow]:
    """Lines in these states, the oldest first."""
    query = select(bank_lines).where(bank_lines.c.state.in_([state.value for state in states]))
    query = query.order_by(bank_lines.c.booked_on, bank_lines.c.id).limit(limit)
    return [_line(sealer, row) for row in connection.execute(query)]


def lines_of(connection: Connection, sealer: Sealer, matched_to: str) -> list[LineRow]:
    """The lines that belong to a top-up, a payout or a batch."""
    query = select(bank_lines).where(
        bank_lines.c.matched_to == matched_to, bank_lines.c.state == LineState.MATCHED.value
    )
    return [_line(sealer, row) for row in connection.execute(query.order_by(bank_lines.c.booked_on, bank_lines.c.id))]


def lines_between(connection: Connection, sealer: Sealer, since: int, until: int) -> list[LineRow]:
    """The lines that were imported in a time and count."""
    query = select(bank_lines).where(
        bank_lines.c.imported_at >= since,
        bank_lines.c.imported_at < until,
        bank_lines.c.state != LineState.DISMISSED.value,
    )
    return [_line(sealer, row) for row in connection.execute(query.order_by(bank_lines.c.imported_at, bank_lines.c.id))]


def to_book(connection: Connection, sealer: Sealer, limit: int) -> list[LineRow]:
    """Lines that the operator has decided about, which are not in the ledger yet."""
    states = [LineState.RETURN.value, LineState.BOOKED.value]
    query = select(bank_lines).where(bank_lines.c.state.in_(states), bank_lines.c.booked == 0).limit(limit)
    return [_line(sealer, row) for row in connection.execute(query)]


def change_line(connection: Connection, line_id: str, **values: Any) -> None:
    """Set columns of one."""
    connection.execute(update(bank_lines).where(bank_lines.c.id == line_id).values(values))


def unmatched(connection: Connection) -> int:
    """How many lines nobody knows the meaning of."""
    query = select(func.count()).where(bank_lines.c.state == LineState.UNMATCHED.value)
    return int(connection.execute(query).scalar_one())


def add_batch(connection: Connection, sealer: Sealer, row: BatchRow) -> None:
    """Store a file for the bank."""
    values = {
        "id": row.id,
        "provider": row.provider,
        "currency": row.total.currency,
        "total": row.total.minor,
        "orders": row.orders,
        "content": sealer.seal(row.content, f"funding_batches:{row.id}"),
        "created_at": row.created_at,
    }
    connection.execute(funding_batches.insert().values(values))


def batch(connection: Connection, sealer: Sealer, batch_id: str) -> BatchRow | None:
    """One file."""
    row = connection.execute(select(funding_batches).where(funding_batches.c.id == batch_id)).one_or_none()
    return None if row is None else _batch(sealer, row)


def batches(connection: Connection, sealer: Sealer, limit: int = 100) -> list[BatchRow]:
    """The files, the newest first."""
    query = select(funding_batches).order_by(funding_batches.c.created_at.desc(), funding_batches.c.id.desc())
    return [_batch(sealer, row) for row in connection.execute(query.limit(limit))]


def _line(sealer: Sealer, row: Row[Any]) -> LineRow:
    sealed = bytes(row.details)
    return LineRow(
        id=row.id,
        file=row.file,
        line=row.line,
        statement=row.statement,
        booked_on=row.booked_on,
        amount=Money(row.amount, row.currency),
        end_to_end=row.end_to_end,
        batch=row.batch,
        reversal=bool(row.reversal),
        state=LineState(row.state),
        matched_to=row.matched_to,
        reason=row.reason,
        booked=bool(row.booked),
        details=json.loads(sealer.open(sealed, f"bank_lines:{row.id}")) if sealed else {},
        imported_at=row.imported_at,
    )


def _batch(sealer: Sealer, row: Row[Any]) -> BatchRow:
    content = sealer.open(bytes(row.content), f"funding_batches:{row.id}")
    return BatchRow(row.id, row.provider, Money(row.total, row.currency), row.orders, content, row.created_at)
