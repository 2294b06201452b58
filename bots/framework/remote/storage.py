"""State, dialogs and schedules of a plugin outside Rialto's process: named operations in place of SQL."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar, cast

from sqlalchemy import Connection

from appservice import json
from appservice.database import Database
from appservice.sealing import Sealer
from appservice.unit import UnitOfWork
from bots.framework.clock import Clock, from_ms
from bots.framework.recurrence import decode, encode
from bots.framework.remote.link import Link
from bots.framework.remote.protocol import Fields
from bots.framework.remote.unit import Named, NotHere
from bots.framework.remote.values import (
    change_out,
    dialog_in,
    entry_in,
    next_due,
    schedule_in,
    scope_out,
)
from bots.framework.schedules import MAX_LISTED, Schedule, Scheduler, Schedules, _Wanted
from bots.framework.state import Key, Scope, State, StateConflict, States, Store, _key, _Pending, _positive
from bots.store.dialogs import Change, DialogRow, EntryRow
from bots.store.state import Place

T = TypeVar("T")


class NoDatabase(Database):
    """There is none on this side."""

    dialect = "none"

    @property
    def sync_url(self) -> str:
        raise NotHere("the database is Rialto's")

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Nothing to do."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        raise NotHere("the database is Rialto's: use ctx.state, or a database of its own")

    async def read(self, work: Callable[[Connection], T]) -> T:
        raise NotHere("the database is Rialto's: use ctx.state, or a database of its own")


def no_sealer() -> Sealer:
    """What is sealed is sealed by Rialto."""
    return Sealer(secrets.token_hex(16), "nothing")


# Dialogs


class RemoteDialogs:
    """Where the dialogs of a plugin outside lie: a ``DialogStorage``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def active(self, consumer: str, room_id: str, person: str | None = None) -> list[DialogRow]:
        """The open dialogs of a room that a person may answer (None: all of the room), the newest first."""
        rows = await self._link.call("dialog.active", {"room_id": room_id, "person": person})
        return [dialog_in(Fields(row, "a dialog"), consumer) for row in rows]

    async def get(self, dialog_id: str) -> DialogRow | None:
        """One dialog."""
        row = await self._link.call("dialog.get", {"id": dialog_id})
        return None if row is None else dialog_in(Fields(row, "a dialog"), "")

    async def beside(
        self, dialog_id: str, consumer: str, room_id: str, person: str
    ) -> tuple[DialogRow | None, list[DialogRow]]:
        """What :meth:`get` and :meth:`active` give."""
        return await self.get(dialog_id), await self.active(consumer, room_id, person)

    async def journal(self, dialog_id: str) -> list[EntryRow]:
        """A dialog's journal, in order."""
        entries = await self._link.call("dialog.journal", {"id": dialog_id})
        return [entry_in(Fields(entry, "an entry")) for entry in entries]

    async def event_ids(self, txn_ids: Iterable[str]) -> dict[str, str]:
        """The events that messages of ours became."""
        wanted = list(txn_ids)
        if not wanted:
            return {}
        return cast(dict[str, str], await self._link.call("dialog.event_ids", {"txn_ids": wanted}))

    def save(self, unit: UnitOfWork, change: Change) -> None:
        """Make or change a dialog in the commit of a unit."""
        frozen = change_out(replace(change, row=replace(change.row)))
        unit.store(Named("dialog.save", frozen))


# State


class RemoteStore(Store):
    """The values of a plugin outside."""

    def __init__(self, link: Link, clock: Clock) -> None:
        super().__init__(NoDatabase(), no_sealer(), clock.now_ms)
        self.link = link

    def open(self, plugin: str, unit: UnitOfWork) -> States:
        """The values of the plugin, for one unit."""
        return _RemoteStates(self, plugin, unit)


class _RemoteStates(States):
    def __init__(self, store: RemoteStore, plugin: str, unit: UnitOfWork) -> None:
        super().__init__(store, plugin, unit)
        self.link = store.link
        self._instead: Named | None = None

    @contextmanager
    def instead(self, named: Named) -> Iterator[None]:
        """What is to be written meanwhile is this, whatever the write inside Rialto would be."""
        self._instead = named
        try:
            yield
        finally:
            self._instead = None

    def effect(self, place: Place, done: _Pending, operation: Callable[[Connection], None]) -> None:
        super().effect(place, done, self._instead or operation)

    @property
    def plugin(self) -> State:
        return _RemoteState(self, Scope.plugin())

    def room(self, room_id: str) -> State:
        return _RemoteState(self, Scope.room(room_id))

    def user(self, user_id: str) -> State:
        return _RemoteState(self, Scope.user(user_id))

    def member(self, room_id: str, user_id: str) -> State:
        return _RemoteState(self, Scope.member(room_id, user_id))


class _RemoteState(State):
    """Keys, types, defaults and what is pending are as inside; only reading and writing is Rialto's."""

    def __init__(self, states: _RemoteStates, scope: Scope) -> None:
        super().__init__(states, scope)
        self._remote = states
        self._link = states.link

    def set(self, key: Key[Any] | str, value: Any, *, as_: Any = Any, ttl: timedelta | None = None) -> None:
        wanted = _key(key, as_)
        data = self._written(wanted, value)
        args = {**self._args(wanted), "value": data.decode(), "ttl": _ms(wanted, ttl)}
        self._states.effect(self._place(wanted), _Pending(True, data), Named("state.set", args))

    def delete(self, key: Key[Any] | str) -> None:
        wanted = _key(key)
        self._states.effect(self._place(wanted), _Pending(True), Named("state.delete", self._args(wanted)))

    async def keys(self, prefix: str = "") -> list[str]:
        names = set(await self._link.call("state.keys", {"scope": scope_out(self.scope), "prefix": prefix}))
        for name, done in self._states.pending_in(self.scope.text).items():
            if name.startswith(prefix):
                (names.discard if done.known and done.data is None else names.add)(name)
        return sorted(names)

    def add(self, key: Key[int] | str, amount: int = 1, *, ttl: timedelta | None = None) -> None:
        wanted = _key(key)
        named = Named("state.add", {**self._args(wanted), "amount": amount, "ttl": _ms(wanted, ttl)})
        with self._remote.instead(named):
            super().add(wanted, amount, ttl=ttl)

    def _guarded(self, key: Key[Any], same: Callable[[bytes | None], bool], value: Any, ttl: timedelta | None) -> None:
        place, data = self._place(key), self._written(key, value)
        done = self._states.pending(place)

        async def args() -> Mapping[str, Any]:
            # What lies there is judged here, by the type of the key; Rialto checks that it is still that in the commit.
            stored = await self._with(key, done)
            if not same(stored):
                raise StateConflict(f"{self._where(key.name)} was changed by somebody else", **self._fields(key.name))
            expected = None if stored is None else stored.decode()
            return {**self._args(key), "expected": expected, "value": data.decode(), "ttl": _ms(key, ttl)}

        self._states.effect(place, _Pending(True, data), Named("state.guard", args))

    async def _read(self, key: Key[Any]) -> str | None:
        return cast(str | None, await self._link.call("state.read", self._args(key)))

    async def _data(self, key: Key[Any]) -> bytes | None:
        return await self._with(key, self._states.pending(self._place(key)))

    async def _with(self, key: Key[Any], done: _Pending | None) -> bytes | None:
        """The value as JSON, with what the unit has done to it."""
        if done is not None and done.known:
            return done.data
        stored = await self._read(key)
        data = None if stored is None else stored.encode()
        return data if done is None else str(self._count(self._place(key), data) + done.delta).encode()

    def _args(self, key: Key[Any]) -> dict[str, Any]:
        return {"scope": scope_out(self.scope), "key": key.name}


def _ms(key: Key[Any], ttl: timedelta | None) -> int | None:
    ttl = _positive(ttl) or key.ttl
    return None if ttl is None else ttl // timedelta(milliseconds=1)


# Schedules


class RemoteScheduler(Scheduler):
    """The schedules of a plugin outside. Rialto fires them."""

    def __init__(self, link: Link, clock: Clock, zone: str) -> None:
        super().__init__(NoDatabase(), _nobody, no_sealer(), clock, tuple, zone=zone)
        self.link = link

    def of(self, consumer: str, unit: UnitOfWork, room_id: str, person: str = "") -> Schedules:
        """What a handler does with schedules."""
        return _RemoteSchedules(self, consumer, unit, room_id, person)

    def store(self, unit: UnitOfWork, consumer: str, wanted: _Wanted) -> None:
        """Have Rialto store a schedule in the commit of a unit."""
        args = {
            "key": wanted.key,
            "kind": wanted.kind,
            "rule": encode(wanted.rule),
            "catch_up": wanted.catch_up,
            "room_id": wanted.room_id,
            "person": wanted.person,
            "data": json.dumps(wanted.data).decode(),
            "follows": wanted.follows,
            "incarnation": wanted.incarnation,
        }
        unit.store(Named("schedule.put", args))

    def cancel(self, unit: UnitOfWork, *, consumer: str, key: str) -> None:
        """Have Rialto forget a schedule in the commit."""
        unit.store(Named("schedule.cancel", {"key": key}))


class _RemoteSchedules(Schedules):
    async def list(self, prefix: str = "") -> list[Schedule]:
        scheduler = cast(RemoteScheduler, self._scheduler)
        pending = dict(self._pending)
        rows = await scheduler.link.call("schedule.list", {"prefix": prefix})
        found = {row["key"]: schedule_in(row, decode(row["rule"])) for row in rows}
        now = scheduler.clock.now_ms()
        for key, wanted in pending.items():
            found.pop(key, None)
            if wanted is not None and key.startswith(prefix):
                found[key] = Schedule(
                    key=key,
                    kind=wanted.kind,
                    rule=wanted.rule,
                    catch_up=wanted.catch_up,
                    room_id=wanted.room_id,
                    person=wanted.person,
                    due=from_ms(next_due(wanted.rule, now)),
                    fired=0,
                    data=wanted.data,
                )
        return sorted(found.values(), key=lambda each: (each.due, each.key))[:MAX_LISTED]


async def _nobody(_work: object) -> None:
    raise NotHere("Rialto fires schedules")
