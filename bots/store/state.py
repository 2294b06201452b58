"""SQL of the plugins' key-value store. What a value means, and its seal, is the framework's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, or_, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from appservice.database import insert_ignore
from bots.store.tables import plugin_state


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value lies: ``scope`` is written as the table says."""

    plugin: str
    scope: str
    key: str


@dataclass(frozen=True, slots=True)
class Stored:
    """One value. ``expires_at``: ms since the epoch."""

    value: bytes
    sealed: bool
    expires_at: int | None


def read(connection: Connection, place: Place, now: int) -> Stored | None:
    """A value that has not expired."""
    row = connection.execute(_READ, _named(place) | {"now": now}).one_or_none()
    return None if row is None else Stored(bytes(row.value), bool(row.sealed), row.expires_at)


def lock(connection: Connection, place: Place, now: int) -> Stored | None:
    """A value that has not expired, and nobody else changes it, or sets it first, until the transaction ends."""
    # A row that is not there cannot be locked: one that has always been expired is made for that.
    blank = {"value": b"", "sealed": 0, "version": 0, "updated_at": now, "expires_at": 0}
    connection.execute(
        insert_ignore(connection, plugin_state, "plugin", "scope", "key"),
        {"plugin": place.plugin, "scope": place.scope, "key": place.key} | blank,
    )
    row = connection.execute(select(*_VALUE).where(*_at(place)).with_for_update()).one()
    if row.expires_at is not None and row.expires_at <= now:
        return None
    return Stored(bytes(row.value), bool(row.sealed), row.expires_at)


def keys(connection: Connection, plugin: str, scope: str, prefix: str, now: int, limit: int) -> list[str]:
    """The keys of a scope that begin with ``prefix``, in the order of their code points."""
    # Not LIKE: SQLite's knows no case.
    query = select(plugin_state.c.key).where(
        *_in(plugin, scope), _alive(now), func.substr(plugin_state.c.key, 1, len(prefix)) == prefix
    )
    return sorted(connection.execute(query.limit(limit)).scalars())


def write(connection: Connection, place: Place, stored: Stored, now: int) -> None:
    """Put a value in its place, whatever is there."""
    values = {
        "value": stored.value,
        "sealed": int(stored.sealed),
        "updated_at": now,
        "expires_at": stored.expires_at,
    }
    connection.execute(_write(connection.dialect.name), _named(place) | values)


def exists(connection: Connection, place: Place) -> bool:
    """Whether there is a row, expired or not."""
    return connection.execute(_EXISTS, _named(place)).scalar() is not None


def count(connection: Connection, plugin: str, scope: str, now: int, limit: int) -> int:
    """How many values a scope has; counts up to ``limit``."""
    some = select(plugin_state.c.key).where(*_in(plugin, scope), _alive(now)).limit(limit).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


def remove(connection: Connection, place: Place) -> None:
    """Forget a value."""
    connection.execute(delete(plugin_state).where(*_at(place)))


def purge(connection: Connection, now: int, limit: int) -> int:
    """Forget up to ``limit`` values that have expired; how many."""
    primary = tuple_(plugin_state.c.plugin, plugin_state.c.scope, plugin_state.c.key)
    old = select(plugin_state.c.plugin, plugin_state.c.scope, plugin_state.c.key).where(
        plugin_state.c.expires_at <= now
    )
    return connection.execute(delete(plugin_state).where(primary.in_(old.limit(limit)))).rowcount


_VALUE = (plugin_state.c.value, plugin_state.c.sealed, plugin_state.c.expires_at)


def _in(plugin: str, scope: str) -> tuple[ColumnElement[bool], ...]:
    return plugin_state.c.plugin == plugin, plugin_state.c.scope == scope


def _at(place: Place) -> tuple[ColumnElement[bool], ...]:
    return (*_in(place.plugin, place.scope), plugin_state.c.key == place.key)


def _alive(now: Any) -> ColumnElement[bool]:
    return or_(plugin_state.c.expires_at.is_(None), plugin_state.c.expires_at > now)


def _named(place: Place) -> dict[str, Any]:
    """A place, as the statements that are made once know it."""
    return {"at_plugin": place.plugin, "at_scope": place.scope, "at_key": place.key}


# Made once: to put one together takes longer than to run it.
_HERE = (
    plugin_state.c.plugin == bindparam("at_plugin"),
    plugin_state.c.scope == bindparam("at_scope"),
    plugin_state.c.key == bindparam("at_key"),
)
_READ = select(*_VALUE).where(*_HERE, _alive(bindparam("now")))
_EXISTS = select(plugin_state.c.version).where(*_HERE)


@cache
def _write(dialect: str) -> Any:
    """Puts a value in its place, and counts how often."""
    place: dict[str, Any] = {name: bindparam(f"at_{name}") for name in ("plugin", "scope", "key")}
    values: dict[str, Any] = {name: bindparam(name) for name in ("value", "sealed", "updated_at", "expires_at")}
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    made = insert(plugin_state).values(place | values | {"version": 1})
    changes: dict[str, Any] = {name: made.excluded[name] for name in values}
    return made.on_conflict_do_update(
        index_elements=list(place), set_=changes | {"version": plugin_state.c.version + 1}
    )
