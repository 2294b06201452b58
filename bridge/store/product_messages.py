"""Notices of products, and how many messages chats have. Plain functions on a connection; times are ms."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.engine import RowMapping

from appservice.database import insert_ignore
from appservice.store.tables import OutboxState, outbox
from appservice.store.upsert import upsert
from bridge.store.product_tables import message_counts, product_messages


@dataclass(frozen=True, slots=True)
class ProductMessage:
    """A notice of a product's. ``error``: why it will not be sent. What it says is not kept here."""

    id: str
    product: str
    room_id: str
    user_id: str
    txn_id: str
    created_at: int
    event_id: str | None = None
    error: str | None = None


def add(connection: Connection, message: ProductMessage) -> ProductMessage:
    """Keep a new notice; the one that was made before with the same transaction id, if there is one."""
    row = {name: getattr(message, name) for name in ProductMessage.__slots__}
    if connection.execute(insert_ignore(connection, product_messages, "txn_id"), row).rowcount == 1:
        return message
    query = select(product_messages).where(product_messages.c.txn_id == message.txn_id)
    return _message(connection.execute(query).mappings().one())


def find(connection: Connection, room_id: str, message_id: str) -> ProductMessage | None:
    """A notice by its id."""
    where = (product_messages.c.id == message_id, product_messages.c.room_id == room_id)
    row = connection.execute(select(product_messages).where(*where)).mappings().first()
    return None if row is None else _message(row)


def any_unsettled(connection: Connection) -> bool:
    """Whether something waits to be sent."""
    table = product_messages.c
    query = select(table.id).where(table.event_id.is_(None), table.error.is_(None)).limit(1)
    return connection.execute(query).first() is not None


def settle(connection: Connection, limit: int = 200) -> list[ProductMessage]:
    """Take over from the outbox what became of notices; those that are settled now."""
    table = product_messages.c
    query = (
        select(product_messages, outbox.c.event_id.label("sent"), outbox.c.error.label("why"))
        .join(outbox, outbox.c.txn_id == table.txn_id)
        .where(table.event_id.is_(None), table.error.is_(None), outbox.c.state != OutboxState.PENDING)
        .order_by(table.created_at)
        .limit(limit)
    )
    settled = []
    for row in connection.execute(query).mappings().all():
        error = None if row["sent"] is not None else (row["why"] or "not sent")[:300]
        values = {"event_id": row["sent"], "error": error}
        connection.execute(update(product_messages).where(table.id == row["id"]).values(**values))
        settled.append(_message({**row, **values}))
    return settled


def move(connection: Connection, old: str, new: str) -> None:
    """A room took another's place."""
    connection.execute(update(product_messages).where(product_messages.c.room_id == old).values(room_id=new))


def forget_room(connection: Connection, room_id: str) -> None:
    """Nothing of a room is left here."""
    connection.execute(delete(product_messages).where(product_messages.c.room_id == room_id))
    connection.execute(delete(message_counts).where(message_counts.c.room_id == room_id))


def count(connection: Connection, room_id: str, span: int) -> None:
    """One more message in a span of time."""
    row = {"room_id": room_id, "span": span, "count": 1}
    upsert(connection, message_counts, row, {"count": message_counts.c.count + 1})


def counted(connection: Connection, before: int, limit: int = 500) -> list[tuple[str, int, int]]:
    """Take out the counts of spans that began before a time: room, span, count."""
    table = message_counts.c
    query = select(table.room_id, table.span, table.count).where(table.span < before).order_by(table.span).limit(limit)
    found = [(row[0], row[1], row[2]) for row in connection.execute(query)]
    for room_id, span, _ in found:
        connection.execute(delete(message_counts).where(table.room_id == room_id, table.span == span))
    return found


def _message(row: RowMapping | dict[str, object]) -> ProductMessage:
    return ProductMessage(**{name: row[name] for name in ProductMessage.__slots__})  # type: ignore[arg-type]
