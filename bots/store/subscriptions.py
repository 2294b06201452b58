"""SQL of subscriptions. What a row means is the service's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, select, update

from bots.store.payment_tables import subscriptions


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """A subscription as it is stored."""

    id: str
    state: str
    payer: str
    payee: str
    currency: str
    amount: int
    every: int
    unit: str
    anchor_at: int
    period: int
    next_at: int
    remind_before: int
    reminded: int
    failures: int
    memo: bytes
    consumer: str
    changes: int
    due_at: int | None
    created_at: int
    updated_at: int


def add(connection: Connection, row: SubscriptionRow) -> None:
    """Add a subscription."""
    connection.execute(subscriptions.insert().values(asdict(row)))


def get(connection: Connection, subscription_id: str, *, lock: bool = False) -> SubscriptionRow | None:
    """One subscription; with ``lock`` nobody else changes it until the transaction ends."""
    query = select(subscriptions).where(subscriptions.c.id == subscription_id)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    return None if row is None else _row(row)


def change(connection: Connection, subscription_id: str, values: Mapping[str, Any]) -> None:
    """Change a subscription, which is locked."""
    connection.execute(update(subscriptions).where(subscriptions.c.id == subscription_id).values(**values))


def of_payer(connection: Connection, payer: str, states: Sequence[str]) -> list[SubscriptionRow]:
    """A person's subscriptions in some states, the oldest first."""
    query = select(subscriptions).where(subscriptions.c.payer == payer, subscriptions.c.state.in_(states))
    return [_row(row) for row in connection.execute(query.order_by(subscriptions.c.id)).mappings()]


def due(connection: Connection, now: int, limit: int) -> Sequence[str]:
    """The ids of those about which something is to be done, the longest due first."""
    query = select(subscriptions.c.id).where(subscriptions.c.due_at <= now)
    return connection.execute(query.order_by(subscriptions.c.due_at, subscriptions.c.id).limit(limit)).scalars().all()


def next_due(connection: Connection) -> int | None:
    """When something is to be done next."""
    query = select(subscriptions.c.due_at).where(subscriptions.c.due_at.is_not(None))
    return connection.execute(query.order_by(subscriptions.c.due_at).limit(1)).scalar()


def rename(connection: Connection, name: str, pseudonym: str) -> None:
    """Put a pseudonym in a person's place."""
    connection.execute(update(subscriptions).where(subscriptions.c.payer == name).values(payer=pseudonym))


def _row(row: RowMapping) -> SubscriptionRow:
    return SubscriptionRow(**{**row, "memo": bytes(row["memo"])})
