"""Schedules: what is to happen later, or again and again. They survive restarts, and each firing counts once.

A schedule is a row; a firing is an internal event in the inbox. The scheduler stores the events of what is due and
moves the rows on in one commit, so that a crash at any moment leaves either both or neither. What was missed while the
service or the consumer did not run follows the schedule's policy, see :func:`bots.framework.recurrence.plan`.

The content of a firing: ``{"schedule": key, "due": ms, "data": …}``, its type is the schedule's ``kind``.

Bounds: a key has :data:`MAX_KEY` characters, data :data:`MAX_DATA` bytes of JSON, and one handler makes
:data:`MAX_AT_ONCE` schedules at most.
"""

from __future__ import annotations

import asyncio
import logging
from base64 import b32encode
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection

from appservice import json
from appservice.database import Database, DatabaseError
from appservice.errors import RialtoError
from appservice.events import InternalEvent
from appservice.sealing import Sealer
from appservice.unit import UnitOfWork
from bots.framework.clock import Clock, from_ms, to_ms
from bots.framework.recurrence import (
    CATCH_UP,
    At,
    CatchUp,
    Cron,
    Every,
    Rule,
    RuleError,
    decode,
    encode,
    local,
    plan,
    zone_named,
)
from bots.store import people as people_sql
from bots.store import schedules as sql
from bots.store.schedules import ScheduleRow

log = logging.getLogger(__name__)

RaiseEvents = Callable[[Callable[[Connection], Iterable[InternalEvent]]], Awaitable[object]]
"""Runs the function in a commit and stores the events that it returns in it: ``Service.raise_events``."""

MAX_KEY: Final = 200
MAX_DATA: Final = 64 * 1024
MAX_AT_ONCE: Final = 1_000
MAX_LISTED: Final = 1_000
BATCH: Final = 100
LOOK_MS: Final = 15_000
"""How long the scheduler sleeps at most. A commit whose answer was lost brings a row that nobody has told it of."""
PAUSE_S: Final = 1.0
"""Seconds until it tries again what failed."""
BROKEN_MS: Final = 3_600_000
"""When a row that cannot be read (another pickle key) is tried again."""


class ScheduleError(RialtoError):
    """A schedule that cannot be kept: its key, its data, or there are too many."""

    code = "schedule_invalid"


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is to happen, and when next."""

    key: str
    kind: str
    rule: Rule
    catch_up: CatchUp
    room_id: str
    person: str
    due: datetime
    fired: int
    """How often it has happened."""
    data: Any


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A schedule that a unit is going to store."""

    key: str
    kind: str
    rule: Rule
    catch_up: CatchUp
    room_id: str
    person: str
    data: Any
    follows: bool
    """By the wall clock of wherever the person is."""
    incarnation: str
    bare: bool = False
    """The data is the whole content of a firing."""


class Schedules:
    """The schedules of one consumer, for one handler. What it does happens in the commit; lists show it at once."""

    def __init__(self, scheduler: Scheduler, consumer: str, unit: UnitOfWork, room_id: str, person: str) -> None:
        self._scheduler = scheduler
        self._consumer = consumer
        self._unit = unit
        self._room_id = room_id
        self._person = person
        self._pending: dict[str, _Wanted | None] = {}
        self._ordinal = 0

    def at(
        self,
        when: datetime,
        kind: str,
        data: Any = None,
        *,
        key: str | None = None,
        zone: str | None = None,
        person: str | None = None,
        room: str | None = None,
        catch_up: CatchUp = "once",
    ) -> str:
        """Have it happen once; at once when ``when`` is past.

        Args:
            when: a point in time with its zone, or without one by the wall clock of ``zone``.
            kind: the type of the event that a firing is.
            data: JSON that comes back with it.
            key: one that is known under it is replaced; made up unless told.
            person: whom it is about; the person of the event at hand unless told.
            room: whose order a firing keeps; the room at hand unless told.
            zone: of a ``when`` that has none.
            catch_up: what to do about a firing that was missed, see :func:`bots.framework.recurrence.plan`.

        Returns:
            The key.

        Raises:
            RuleError: the rule cannot be.
            ScheduleError: key or data cannot.
        """
        if when.tzinfo is None and zone is not None:
            when = local(when, zone_named(zone))
        return self._put(At(when), kind, data, key, person, room, catch_up)

    def every(
        self,
        interval: timedelta,
        kind: str,
        data: Any = None,
        *,
        start: datetime | None = None,
        key: str | None = None,
        person: str | None = None,
        room: str | None = None,
        catch_up: CatchUp = "once",
    ) -> str:
        """Have it happen at ``start`` and after each ``interval`` again; from now on, after the first, unless told.

        Arguments, result and errors like :meth:`at`.
        """
        rule = Every(interval, start or self._scheduler.clock.now())
        return self._put(rule, kind, data, key, person, room, catch_up)

    def cron(
        self,
        expression: str,
        kind: str,
        data: Any = None,
        *,
        zone: str | None = None,
        key: str | None = None,
        person: str | None = None,
        room: str | None = None,
        catch_up: CatchUp = "once",
    ) -> str:
        """Have it happen by the wall clock: ``0 9 * * mon-fri``, see :class:`bots.framework.recurrence.Cron`.

        The time zone is an IANA name; without one it is that of the person, and follows when they say another. Other
        arguments, result and errors like :meth:`at`.
        """
        rule = Cron(expression, zone or self._scheduler.zone)
        return self._put(rule, kind, data, key, person, room, catch_up, follows=zone is None)

    def cancel(self, key: str) -> None:
        """Forget a schedule; what has fired already happens."""
        self._pending[_checked_key(key)] = None
        self._scheduler.cancel(self._unit, consumer=self._consumer, key=key)
        self._unit.after_commit(self._pending.clear)

    def discard(self) -> None:
        """The unit was emptied: what it was going to do is not going to happen."""
        self._pending.clear()

    async def list(self, prefix: str = "") -> list[Schedule]:
        """Those whose key begins with ``prefix``, the earliest first, 1,000 at most.

        Raises:
            DatabaseError: they cannot be read now.
        """
        scheduler, consumer = self._scheduler, self._consumer

        def read(connection: Connection) -> dict[str, Schedule]:
            rows = sql.of_consumer(connection, consumer, prefix, MAX_LISTED)
            found = {row.key: scheduler.opened(row) for row in rows}
            for key, wanted in pending.items():
                found.pop(key, None)
                if wanted is not None and key.startswith(prefix):
                    found[key] = scheduler.opened(scheduler.row(connection, consumer, wanted))
            return found

        pending = dict(self._pending)
        found = await scheduler.database.read(read)
        return sorted(found.values(), key=lambda each: (each.due, each.key))[:MAX_LISTED]

    def _put(
        self,
        rule: Rule,
        kind: str,
        data: Any,
        key: str | None,
        person: str | None,
        room: str | None,
        catch_up: CatchUp,
        *,
        follows: bool = False,
    ) -> str:
        # The same of every attempt of the handler, and another one when the key is used again later: two firings of
        # two schedules under one key must not be taken for one.
        incarnation = _digest(self._unit.cause, self._consumer, str(self._ordinal))
        self._ordinal += 1
        key = incarnation if key is None else _checked_key(key)
        if self._ordinal > MAX_AT_ONCE:
            raise ScheduleError(f"one handler makes {MAX_AT_ONCE} schedules at most", consumer=self._consumer)
        if catch_up not in CATCH_UP:
            raise ScheduleError(f"a schedule catches up by one of {', '.join(CATCH_UP)}, not {str(catch_up)[:40]!r}")
        if not kind or len(kind) > 255 or not kind.isprintable():
            raise ScheduleError("the kind of a schedule is the type of an event", key=key)
        wanted = _Wanted(
            key,
            kind,
            rule,
            catch_up,
            self._room_id if room is None else room,
            self._person if person is None else person,
            _plain(data, key),
            follows,
            incarnation,
        )
        self._pending[key] = wanted
        self._scheduler.store(self._unit, self._consumer, wanted)
        self._unit.after_commit(self._pending.clear)
        return key


class Scheduler:
    """Fires what is due. One for the service; ``start`` it when the consumers are there, ``stop`` it before them."""

    def __init__(
        self,
        database: Database,
        raise_events: RaiseEvents,
        sealer: Sealer,
        clock: Clock,
        consumers: Callable[[], Collection[str]],
        *,
        zone: str = "UTC",
    ) -> None:
        """
        Args:
            sealer: with the purpose ``schedules``.
            consumers: the names of those that run. The schedules of others stay until theirs do again: call
                :meth:`wake` then.
            zone: the wall clock of people who have said none.
        """
        self.database = database
        self.clock = clock
        self.zone = zone_named(zone).key
        self._raise_events = raise_events
        self._sealer = sealer
        self._consumers = consumers
        self._wake = asyncio.Event()
        self._until: int | None = None
        """When it wakes by itself; None while it is looking."""
        self._task: asyncio.Task[None] | None = None

    def of(self, consumer: str, unit: UnitOfWork, room_id: str, person: str = "") -> Schedules:
        """What a handler does with schedules: one for each unit."""
        return Schedules(self, consumer, unit, room_id, person)

    async def start(self) -> None:
        """Begin to fire."""
        self._task = asyncio.create_task(self._run(), name="scheduler")

    async def stop(self) -> None:
        """Fire nothing more. What is due stays in the database."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def wake(self) -> None:
        """Look again: a schedule was stored, a consumer has started, a time zone has changed."""
        self._wake.set()

    def set(
        self,
        unit: UnitOfWork,
        *,
        consumer: str,
        key: str,
        room_id: str,
        person: str,
        kind: str,
        due_at: int,
        content: Mapping[str, Any],
    ) -> None:
        """Have an internal event with exactly this content raised once, at ``due_at`` (ms); replaces one of this key.

        Raises:
            ScheduleError: key or content cannot be kept.
        """
        data = _plain(dict(content), _checked_key(key))
        # Two timers under one key are two: what they are and when tells them apart.
        incarnation = _digest(unit.event_id, consumer, key, str(due_at), json.dumps(data).decode())
        rule = At(from_ms(due_at))
        wanted = _Wanted(key, kind, rule, "once", room_id, person, data, False, incarnation, bare=True)
        self.store(unit, consumer, wanted)

    def cancel(self, unit: UnitOfWork, *, consumer: str, key: str) -> None:
        """Forget the schedule or timer of this key, in the commit."""
        unit.store(lambda connection: sql.remove(connection, consumer, key))

    def store(self, unit: UnitOfWork, consumer: str, wanted: _Wanted) -> None:
        """Store a schedule in the commit of a unit, and be there when it is due."""
        due: list[int] = []

        def operation(connection: Connection) -> None:
            row = self.row(connection, consumer, wanted)
            sql.put(connection, row)
            due.append(row.due_at)

        def committed() -> None:
            if self._until is None or min(due, default=0) < self._until:
                self.wake()

        unit.store(operation)
        unit.after_commit(committed)

    async def next_due(self) -> int | None:
        """When the next firing is due (ms), or None."""
        consumers = tuple(self._consumers())
        if not consumers:
            return None
        return await self.database.read(lambda connection: sql.earliest(connection, consumers))

    async def run_due(self) -> int:
        """Fire everything that is due now; how many events that were.

        Raises:
            DatabaseError: some are left, or that is unknown. To do it again does no harm.
        """
        total = 0
        while (due := await self.next_due()) is not None and due <= (now := self.clock.now_ms()):
            consumers, fired = tuple(self._consumers()), [0]

            def work(
                connection: Connection,
                now: int = now,
                consumers: tuple[str, ...] = consumers,
                fired: list[int] = fired,
            ) -> list[InternalEvent]:
                events = self._fire(connection, now, consumers)
                fired[0] = len(events)  # the writer may run this twice, and keeps the last
                return events

            await self._raise_events(work)
            total += fired[0]
        return total

    def _fire(self, connection: Connection, now: int, consumers: Collection[str]) -> list[InternalEvent]:
        """Move what is due on, and return its events: both are one commit."""
        events: list[InternalEvent] = []
        for row in sql.due(connection, now, consumers, BATCH):
            try:
                stored = json.loads(row.rule)
                todo = plan(decode(stored), row.due_at, now, stored["catch_up"])
                data = self._open(row)
            except RialtoError as error:
                log.error("a schedule cannot be read: %s", error, extra={"consumer": row.consumer, "key": row.key})
                sql.change(connection, replace(row, due_at=now + BROKEN_MS))
                continue
            events += [
                InternalEvent(
                    key=f"timer:{row.consumer}:{row.key}:{stored['id']}.{row.fired + index}",
                    consumer=row.consumer,
                    room_id=row.room_id,
                    type=row.kind,
                    content=data if stored.get("bare") else {"schedule": row.key, "due": due, "data": data},
                    sender=row.person,
                )
                for index, due in enumerate(todo.fire)
            ]
            if todo.due is None:
                sql.remove(connection, row.consumer, row.key)
            else:
                sql.change(connection, replace(row, due_at=todo.due, fired=row.fired + len(todo.fire)))
        return events

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self._until = None
            try:
                await self.run_due()
                due = await self.next_due()
            except DatabaseError as error:
                log.warning("schedules wait for the database: %s", error)
                await asyncio.sleep(PAUSE_S)
                continue
            except Exception:  # whatever it is, later firings must not be lost for it
                log.exception("schedules could not be fired")
                await asyncio.sleep(PAUSE_S)
                continue
            latest = self.clock.now_ms() + LOOK_MS
            self._until = latest if due is None else min(due, latest)
            await self.clock.wait_until(self._until, self._wake)

    def row(self, connection: Connection, consumer: str, wanted: _Wanted) -> ScheduleRow:
        """The row of a schedule that is stored now."""
        now = self.clock.now_ms()
        rule = wanted.rule
        if wanted.follows and isinstance(rule, Cron):
            said = people_sql.read(connection, wanted.person).zone if wanted.person else None
            rule = _in_zone(rule, said or self.zone)
        due = to_ms(rule.when) if isinstance(rule, At) else rule.after(now)
        if due is None:
            raise RuleError("this schedule never happens")
        stored = encode(rule) | {"catch_up": wanted.catch_up, "id": wanted.incarnation}
        if wanted.follows:
            stored["follows"] = True
        if wanted.bare:
            stored["bare"] = True
        content = self._sealer.seal(json.dumps(wanted.data), _context(consumer, wanted.key))
        return ScheduleRow(
            consumer=consumer,
            key=wanted.key,
            room_id=wanted.room_id,
            person=wanted.person,
            kind=wanted.kind,
            rule=json.dumps(stored).decode(),
            content=content,
            due_at=due,
            fired=0,
            created_at=now,
        )

    def opened(self, row: ScheduleRow) -> Schedule:
        """A row as people who write plugins see it."""
        stored = json.loads(row.rule)
        return Schedule(
            key=row.key,
            kind=row.kind,
            rule=decode(stored),
            catch_up=stored["catch_up"],
            room_id=row.room_id,
            person=row.person,
            due=from_ms(row.due_at),
            fired=row.fired,
            data=self._open(row),
        )

    def _open(self, row: ScheduleRow) -> Any:
        return json.loads(self._sealer.open(row.content, _context(row.consumer, row.key)))

    def follow(self, connection: Connection, person: str, zone: str | None) -> None:
        """In the commit that sets a person's time zone: what follows them is due by the new one.

        What is due already, and not fired yet, stays due.
        """
        now = self.clock.now_ms()
        for row in sql.of_person(connection, person):
            stored = json.loads(row.rule)
            if not stored.get("follows") or row.due_at <= now:
                continue
            rule = _in_zone(decode(stored), zone or self.zone)
            due = rule.after(now)
            if due is not None:
                text = json.dumps(stored | encode(rule)).decode()
                sql.change(connection, replace(row, rule=text, due_at=due))


def _in_zone(rule: Rule, zone: str) -> Rule:
    return replace(rule, zone=zone) if isinstance(rule, Cron) else rule


def _checked_key(key: str) -> str:
    if not 0 < len(key) <= MAX_KEY or not key.isprintable():
        raise ScheduleError(f"the key of a schedule is a printable text of 1 to {MAX_KEY} characters")
    return key


def _plain(data: Any, key: str) -> Any:
    """``data`` as it will come back."""
    try:
        written = json.dumps(data)
        again = json.loads(written)
    except json.JSONError:
        raise ScheduleError("the data of a schedule is plain JSON", key=key) from None
    if again != data:
        raise ScheduleError("the data of a schedule is plain JSON", key=key)
    if len(written) > MAX_DATA:
        raise ScheduleError(f"the data of a schedule has {MAX_DATA} bytes at most, not {len(written)}", key=key)
    return again


def _digest(*parts: str) -> str:
    return b32encode(sha256("\0".join(parts).encode()).digest()[:10]).decode().lower()


def _context(consumer: str, key: str) -> str:
    return f"{consumer}\0{key}"
