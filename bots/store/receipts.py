"""SQL of receipts and statements: when money moved, and what payments say of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, RowMapping, or_, select

from bots.store.ledger_tables import ledger_journal
from bots.store.payment_tables import payments


def moved_at(connection: Connection, transfer_id: str) -> int | None:
    """When a transfer moved money (ms): at once, or when it was posted. None: it has not."""
    column = ledger_journal.c
    mine = or_(column.id == transfer_id, column.subject == transfer_id)
    query = select(column.at).where(mine, column.debit_posting.is_not(None)).order_by(column.seq).limit(1)
    return connection.execute(query).scalar_one_or_none()


def last_paid(connection: Connection, person: str) -> str | None:
    """The last payment of a person of which something was captured."""
    mine = or_(payments.c.payer == person, payments.c.payee == person)
    query = select(payments.c.id).where(mine, payments.c.captured > 0).order_by(payments.c.id.desc()).limit(1)
    return connection.execute(query).scalar_one_or_none()


def payments_by_id(connection: Connection, ids: Collection[str]) -> Sequence[RowMapping]:
    """The payments of some ids."""
    if not ids:
        return []
    return connection.execute(select(payments).where(payments.c.id.in_(sorted(ids)))).mappings().all()
