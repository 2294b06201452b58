"""SQL of what the bot platform holds about a person: settings, conversations, notes, timers, links."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, or_, select

from bots.store.tables import dialog_journal, dialog_people, dialogs, people, plugin_state, plugin_switches, schedules

__all__ = ["dialogs_of", "erase", "notes_of", "schedules_of", "settings_of"]


def settings_of(connection: Connection, person: str) -> dict[str, Any] | None:
    """Language and time zone."""
    row = connection.execute(select(people).where(people.c.user_id == person)).mappings().first()
    return None if row is None else dict(row)


def dialogs_of(connection: Connection, person: str) -> list[dict[str, Any]]:
    """Conversations with bots that they began, without what was said."""
    columns = (dialogs.c.id, dialogs.c.consumer, dialogs.c.room_id, dialogs.c.name, dialogs.c.state)
    query = select(*columns, dialogs.c.started_at, dialogs.c.updated_at).where(dialogs.c.owner == person)
    return [dict(row) for row in connection.execute(query.order_by(dialogs.c.id)).mappings()]


def journal_of(connection: Connection, person: str) -> Iterator[Mapping[str, Any]]:
    """What was asked and answered in them; the values are sealed."""
    mine = select(dialogs.c.id).where(dialogs.c.owner == person)
    query = select(dialog_journal).where(dialog_journal.c.dialog_id.in_(mine))
    for row in connection.execute(query.order_by(*dialog_journal.primary_key.columns)).mappings().all():
        yield dict(row)


def schedules_of(connection: Connection, person: str) -> list[dict[str, Any]]:
    """What bots will do for them, without what they were told."""
    columns = (schedules.c.consumer, schedules.c.key, schedules.c.room_id, schedules.c.rule, schedules.c.due_at)
    query = select(*columns).where(schedules.c.person == person)
    return [dict(row) for row in connection.execute(query.order_by(schedules.c.consumer, schedules.c.key)).mappings()]


def notes_of(connection: Connection, person: str) -> list[dict[str, Any]]:
    """What bots have noted of them: as a user, and as a member of rooms."""
    query = select(plugin_state).where(_scoped(person)).order_by(*plugin_state.primary_key.columns)
    return [dict(row) for row in connection.execute(query).mappings()]


def erase(connection: Connection, person: str, pseudonym: str) -> None:
    """Forget all of it."""
    mine = select(dialogs.c.id).where(dialogs.c.owner == person)
    connection.execute(delete(dialog_journal).where(dialog_journal.c.dialog_id.in_(mine)))
    connection.execute(delete(dialog_people).where(dialog_people.c.dialog_id.in_(mine)))
    connection.execute(delete(dialog_people).where(dialog_people.c.user_id == person))
    connection.execute(delete(dialogs).where(dialogs.c.owner == person))
    connection.execute(delete(schedules).where(schedules.c.person == person))
    connection.execute(delete(schedules).where(schedules.c.room_id == f"person:{person}"))
    connection.execute(delete(plugin_state).where(_scoped(person)))
    connection.execute(delete(people).where(people.c.user_id == person))
    changed = plugin_switches.c.changed_by == person
    connection.execute(plugin_switches.update().where(changed).values(changed_by=pseudonym))


def _scoped(person: str) -> ColumnElement[bool]:
    member = plugin_state.c.scope.like("member:%")
    return or_(
        plugin_state.c.scope == f"user:{person}",
        member & plugin_state.c.scope.endswith(f" {person}", autoescape=True),
    )
