"""Webhooks and their deliveries in the database. Plain functions on a connection; times are ms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, case, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.engine import RowMapping

from appservice.database import insert_ignore
from bridge.domain.hooks import DeliveryState
from bridge.store.product_tables import webhook_deliveries, webhooks

PURPOSE: Final = "webhooks"
"""Of the key that seals secrets and what is to be told."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where a product is told what happens. Secrets are sealed."""

    id: str
    product: str
    url: str
    secret: bytes
    events: frozenset[str]
    cause: str
    created_at: int
    old_secret: bytes | None = None
    old_until: int | None = None
    paused_at: int | None = None
    pause_reason: str = ""
    resting_until: int | None = None
    taken_at: int | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing to tell a webhook. ``payload``: sealed; empty when it is done with."""

    id: str
    webhook: str
    seq: int
    type: str
    payload: bytes
    state: DeliveryState
    due_at: int
    created_at: int
    attempts: int = 0
    last_status: int | None = None
    finished_at: int | None = None


def add(connection: Connection, webhook: Webhook) -> None:
    """Keep a new webhook."""
    row = {name: getattr(webhook, name) for name in Webhook.__slots__}
    connection.execute(insert(webhooks), row | {"events": " ".join(sorted(webhook.events))})


def find(connection: Connection, product: str, webhook_id: str) -> Webhook | None:
    """A webhook of a product."""
    where = (webhooks.c.id == webhook_id, webhooks.c.product == product)
    row = connection.execute(select(webhooks).where(*where)).mappings().first()
    return None if row is None else _webhook(row)


def by_cause(connection: Connection, cause: str) -> Webhook | None:
    """The webhook that a request made."""
    row = connection.execute(select(webhooks).where(webhooks.c.cause == cause)).mappings().first()
    return None if row is None else _webhook(row)


def every(connection: Connection) -> list[Webhook]:
    """All webhooks."""
    return [_webhook(row) for row in connection.execute(select(webhooks).order_by(webhooks.c.id)).mappings()]


def page(connection: Connection, product: str, after: str, limit: int) -> list[Webhook]:
    """A page of a product's webhooks, in the order they were made."""
    query = select(webhooks).where(webhooks.c.product == product, webhooks.c.id > after)
    return [_webhook(row) for row in connection.execute(query.order_by(webhooks.c.id).limit(limit)).mappings()]


def count(connection: Connection, product: str) -> int:
    """How many webhooks a product has."""
    query = select(func.count()).select_from(webhooks).where(webhooks.c.product == product)
    return int(connection.execute(query).scalar_one())


def change(connection: Connection, webhook_id: str, **values: Any) -> None:
    """Set columns of a webhook."""
    if "events" in values:
        values["events"] = " ".join(sorted(values["events"]))
    connection.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(**values))


def remove(connection: Connection, webhook_id: str) -> None:
    """A webhook and all that was to be told to it are gone."""
    connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.webhook == webhook_id))
    connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id))


# Deliveries


def enqueue(connection: Connection, delivery: Delivery) -> bool:
    """Have something told; False when it was enqueued before."""
    row = {name: getattr(delivery, name) for name in Delivery.__slots__}
    return connection.execute(insert_ignore(connection, webhook_deliveries, "id"), row).rowcount == 1


def due(connection: Connection, now: int, limit: int) -> list[tuple[Delivery, Webhook]]:
    """What is to be told now, the oldest first."""
    table = webhook_deliveries.c
    query = (
        select(webhook_deliveries)
        .join(webhooks, webhooks.c.id == table.webhook)
        .where(
            table.state == DeliveryState.PENDING,
            table.due_at <= now,
            webhooks.c.paused_at.is_(None),
            or_(webhooks.c.resting_until.is_(None), webhooks.c.resting_until <= now),
        )
        .order_by(table.seq)
        .limit(limit)
    )
    found = [_delivery(row) for row in connection.execute(query).mappings()]
    ids = {delivery.webhook for delivery in found}
    hooks = {
        row["id"]: _webhook(row)
        for row in connection.execute(select(webhooks).where(webhooks.c.id.in_(ids))).mappings()
    }
    return [(delivery, hooks[delivery.webhook]) for delivery in found]


def next_due(connection: Connection) -> int | None:
    """When something is to be told next."""
    table = webhook_deliveries.c
    rest = func.coalesce(webhooks.c.resting_until, 0)
    query = (
        select(func.min(case((rest > table.due_at, rest), else_=table.due_at)))
        .join(webhooks, webhooks.c.id == table.webhook)
        .where(table.state == DeliveryState.PENDING, webhooks.c.paused_at.is_(None))
    )
    return connection.execute(query).scalar()


def delivered(connection: Connection, delivery: Delivery, status: int, now: int) -> None:
    """It was taken; its payload is forgotten."""
    _finish(connection, delivery.id, DeliveryState.DELIVERED, status, now)
    change(connection, delivery.webhook, taken_at=now, resting_until=None)


def give_up(connection: Connection, delivery_id: str, status: int, now: int) -> None:
    """It was not taken for so long; its payload is forgotten."""
    _finish(connection, delivery_id, DeliveryState.FAILED, status, now)


def postpone(connection: Connection, delivery: Delivery, status: int, due_at: int, rest_until: int) -> None:
    """It was not taken: try it again at a time, and nothing else of the webhook before another."""
    table = webhook_deliveries.c
    values = {"attempts": table.attempts + 1, "last_status": status, "due_at": due_at}
    connection.execute(update(webhook_deliveries).where(table.id == delivery.id).values(**values))
    change(connection, delivery.webhook, resting_until=rest_until)


def drop_pending(connection: Connection, webhook_id: str, now: int) -> None:
    """Nothing that waits for a webhook is told any more."""
    table = webhook_deliveries.c
    where = (table.webhook == webhook_id, table.state == DeliveryState.PENDING)
    values = {"state": DeliveryState.FAILED, "payload": b"", "finished_at": now}
    connection.execute(update(webhook_deliveries).where(*where).values(**values))


def deliveries(
    connection: Connection,
    webhook_id: str,
    *,
    state: DeliveryState | None,
    after: tuple[int, str] | None,
    limit: int,
) -> list[Delivery]:
    """A page of a webhook's deliveries, the newest first."""
    table = webhook_deliveries.c
    query = select(webhook_deliveries).where(table.webhook == webhook_id)
    if state is not None:
        query = query.where(table.state == state)
    if after is not None:
        query = query.where(tuple_(table.created_at, table.id) < after)
    query = query.order_by(table.created_at.desc(), table.id.desc()).limit(limit)
    return [_delivery(row) for row in connection.execute(query).mappings()]


def find_delivery(connection: Connection, webhook_id: str, delivery_id: str) -> Delivery | None:
    """One delivery of a webhook."""
    table = webhook_deliveries.c
    query = select(webhook_deliveries).where(table.id == delivery_id, table.webhook == webhook_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else _delivery(row)


def pending(connection: Connection, after: int, limit: int) -> list[Delivery]:
    """What waits to be told, in its order: those after a number."""
    table = webhook_deliveries.c
    query = select(webhook_deliveries).where(table.state == DeliveryState.PENDING, table.seq > after)
    return [_delivery(row) for row in connection.execute(query.order_by(table.seq).limit(limit)).mappings()]


def purge(connection: Connection, before: int, limit: int = 1000) -> int:
    """Forget up to ``limit`` deliveries that were finished before a time; how many."""
    table = webhook_deliveries.c
    old = select(table.id).where(table.finished_at < before).limit(limit)
    return connection.execute(delete(webhook_deliveries).where(table.id.in_(old))).rowcount


def _finish(connection: Connection, delivery_id: str, state: DeliveryState, status: int, now: int) -> None:
    table = webhook_deliveries.c
    values = {
        "state": state,
        "attempts": table.attempts + 1,
        "last_status": status,
        "payload": b"",
        "finished_at": now,
    }
    connection.execute(update(webhook_deliveries).where(table.id == delivery_id).values(**values))


def _webhook(row: RowMapping) -> Webhook:
    values = {name: row[name] for name in Webhook.__slots__}
    old = row["old_secret"]
    values |= {
        "events": frozenset(row["events"].split()),
        "secret": bytes(row["secret"]),
        "old_secret": None if old is None else bytes(old),
    }
    return Webhook(**values)


def _delivery(row: RowMapping) -> Delivery:
    values = {name: row[name] for name in Delivery.__slots__}
    return Delivery(**values | {"payload": bytes(row["payload"]), "state": DeliveryState(row["state"])})
