"""Schedules fire once, whenever the process dies or the database fails, and catch up as they were told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event

from appservice.database import Database, DatabaseError
from appservice.events import Event, InternalEvent
from appservice.sealing import Sealer
from appservice.unit import UnitOfWork
from appservice.writer import Job
from bots.framework import schedules as framework
from bots.framework.clock import ManualClock, from_ms
from bots.framework.people import People
from bots.framework.recurrence import At, Cron, Every, RuleError
from bots.framework.schedules import LOOK_MS, ScheduleError, Scheduler, Schedules
from bots.store import schedules as sql
from bots.store.tables import schedules
from tests.store.conftest import MakeEngine
from tests.store.harness import ALICE, BOT, ROOM, Engine, FakeConsumer, FlakyDatabase, config, message, rows, until

START = datetime(2026, 1, 1, tzinfo=UTC)
CONSUMER = "bot:" + BOT
TIMER = "rialto.timer"


class World:
    """An engine, its scheduler and one consumer, which says aloud what fires. ``restart`` makes new ones of all."""

    def __init__(self, make: MakeEngine, flaky: FlakyDatabase) -> None:
        self.make = make
        self.flaky = flaky
        self.clock = ManualClock(START)
        self.running = [CONSUMER]
        self.on_message: Callable[[Schedules], Any] = lambda _schedules: None
        self.on_timer: Callable[[Schedules, Event], Any] = lambda _schedules, _event: None
        self.fired: list[Event] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.engine: Engine
        self.scheduler: Scheduler
        self.people: People

    async def start(self) -> World:
        self.engine = await self.make(
            config(attempts=100, backoff=0.002), [FakeConsumer(CONSUMER, handler=self.handle)]
        )
        self.scheduler = Scheduler(
            self.flaky,
            self.raise_events,
            Sealer("a pickle key for tests", "schedules"),
            self.clock,
            lambda: self.running,
            zone="Europe/Berlin",
        )
        self.people = People(self.flaky, self.clock, self.scheduler)
        return self

    async def raise_events(self, work: Callable[[Connection], Iterable[InternalEvent]]) -> None:
        """As the service does."""
        try:
            items = await self.engine.inbox.raise_events(work)
        except DatabaseError:
            self.tasks.append(asyncio.create_task(self.reconcile()))
            raise
        self.engine.worker.dispatch(items)

    async def reconcile(self) -> None:
        while True:
            await asyncio.sleep(0.005)
            try:
                await self.engine.writer.submit(Job())
                await self.engine.worker.reconcile()
            except DatabaseError:
                continue
            return

    async def crash(self) -> None:
        """Both end without finishing anything."""
        await self.scheduler.stop()
        for task in self.tasks:
            task.cancel()
        await self.engine.crash()

    async def restart(self) -> None:
        await self.crash()
        await self.flaky.write(lambda _connection: None)  # what was under way when it died comes to its end
        sent = self.engine.homeserver
        self.engine = await self.make(
            config(attempts=100, backoff=0.002), [FakeConsumer(CONSUMER, handler=self.handle)], sent
        )

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        mine = self.scheduler.of(CONSUMER, unit, event.room_id, event.sender)
        if event.internal:
            self.fired.append(event)
            unit.send(event.room_id or ROOM, {"msgtype": "m.notice", "body": said(event)})
            result = self.on_timer(mine, event)
        else:
            result = self.on_message(mine)
        if isinstance(result, Awaitable):
            await result

    async def tell(self, event_id: str, what: Callable[[Schedules], Any], room: str = ROOM) -> None:
        """Have a handler do something with its schedules."""
        self.on_message = what
        await self.engine.deliver(message(event_id, room))
        await self.engine.settled()

    async def pass_time(self, **parts: float) -> None:
        """Step from one thing that is due to the next, as time would."""
        end = self.clock.now_ms() + timedelta(**parts) // timedelta(milliseconds=1)
        while (due := await self.scheduler.next_due()) is not None and due <= end:
            self.clock.set(max(due, self.clock.now_ms()))
            await self.fire()
        self.clock.set(end)

    async def fire(self) -> None:
        await self.scheduler.run_due()
        await self.engine.settled()

    @property
    def said(self) -> list[str]:
        """What the rooms heard: once for each firing, however often its handler ran."""
        return self.engine.homeserver.bodies()


def said(event: Event) -> str:
    due = from_ms(event.content["due"])
    return f"{event.content['schedule']} {due:%d %H:%M} {event.content['data']}"


@pytest.fixture
async def world(engine: MakeEngine, flaky: FlakyDatabase) -> AsyncIterator[World]:
    made = await World(engine, flaky).start()
    yield made
    flaky.fault = lambda: None
    await made.scheduler.stop()
    for task in made.tasks:
        task.cancel()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framework, "PAUSE_S", 0.005)


# --- what fires


async def test_once(world: World) -> None:
    await world.tell("$e1", lambda s: s.at(START + timedelta(hours=1), TIMER, {"n": 1}, key="tea"))
    await world.pass_time(minutes=59)
    assert world.fired == []
    await world.pass_time(hours=5)
    assert world.said == ["tea 01 01:00 {'n': 1}"]
    (event,) = world.fired
    assert (event.type, event.room_id, event.sender, event.consumer) == (TIMER, ROOM, ALICE, CONSUMER)
    assert await rows(world.flaky, schedules) == []


async def test_again_and_again(world: World) -> None:
    def begin(s: Schedules) -> None:
        s.every(timedelta(hours=2), TIMER, key="every")
        s.every(timedelta(hours=24), TIMER, key="anchored", start=START - timedelta(hours=21))
        s.cron("30 4 * * *", TIMER, key="cron", zone="UTC")

    await world.tell("$e1", begin)
    await world.pass_time(hours=5)
    assert world.said == ["every 01 02:00 None", "anchored 01 03:00 None", "every 01 04:00 None", "cron 01 04:30 None"]
    assert {row["key"]: row["fired"] for row in await rows(world.flaky, schedules)} == {
        "anchored": 1,
        "cron": 1,
        "every": 2,
    }


async def test_the_same_key_replaces_and_cancel_forgets(world: World) -> None:
    await world.tell("$e1", lambda s: s.at(START + timedelta(hours=1), TIMER, "old", key="tea"))
    await world.tell("$e2", lambda s: s.at(START + timedelta(hours=2), TIMER, "new", key="tea"))
    await world.tell("$e3", lambda s: s.at(START + timedelta(hours=3), TIMER, key="coffee"))
    await world.tell("$e4", lambda s: s.cancel("coffee"))
    await world.pass_time(hours=5)
    assert world.said == ["tea 01 02:00 new"]


async def test_a_key_that_has_fired_can_be_used_again(world: World) -> None:
    """Also at the same moment: the second firing is not taken for the first, which the inbox still knows."""

    def again(s: Schedules, event: Event) -> None:
        if len(world.said) < 2:
            s.at(world.clock.now(), TIMER, len(world.said) + 1, key="tea")

    world.on_timer = again
    await world.tell("$e1", lambda s: s.at(START, TIMER, 0, key="tea"))
    for _ in range(5):
        await world.fire()
    assert world.said == ["tea 01 00:00 0", "tea 01 00:00 1", "tea 01 00:00 2"]


async def test_lists_show_what_the_handler_has_done(world: World) -> None:
    listed: list[list[tuple[str, datetime]]] = []

    async def change(s: Schedules) -> None:
        s.at(START + timedelta(hours=9), TIMER, key="r:tea")
        s.cron("0 7 * * *", TIMER, key="r:news")
        s.cancel("r:old")
        listed.append([(each.key, each.due) for each in await s.list("r:")])

    await world.tell("$e1", lambda s: (s.at(START, TIMER, key="r:old"), s.at(START, TIMER, key="other"))[0] and None)
    await world.tell("$e2", change)
    mine = [("r:news", START + timedelta(hours=6)), ("r:tea", START + timedelta(hours=9))]
    assert listed == [mine]
    schedules = world.scheduler.of(CONSUMER, UnitOfWork("$e", CONSUMER, BOT), ROOM)
    found = await schedules.list()
    assert [(each.key, each.due) for each in found] == [("other", START), *mine]
    assert [type(each.rule) for each in found] == [At, Cron, At]
    assert (found[1].kind, found[1].room_id, found[1].person, found[1].catch_up) == (TIMER, ROOM, ALICE, "once")


async def test_a_made_up_key_is_the_same_for_each_attempt(world: World) -> None:
    def keys(event_id: str) -> tuple[str, str]:
        s = world.scheduler.of(CONSUMER, UnitOfWork(event_id, CONSUMER, BOT), ROOM)
        return s.at(START, TIMER), s.at(START, TIMER)

    assert keys("$e1") == keys("$e1")
    assert len({*keys("$e1"), *keys("$e2")}) == 4


def test_what_cannot_be_scheduled(world: World) -> None:
    s = world.scheduler.of(CONSUMER, UnitOfWork("$e", CONSUMER, BOT), ROOM)
    for arguments in ({"key": ""}, {"key": "a\nb"}, {"key": "k" * 201}, {"catch_up": "never"}):
        with pytest.raises(ScheduleError):
            s.at(START, TIMER, **arguments)  # type: ignore[arg-type]
    for data in ((1, 2), START, {1: 2}, "x" * 65_536, object()):
        with pytest.raises(ScheduleError, match="data of a schedule"):
            s.at(START, TIMER, data)
    with pytest.raises(ScheduleError, match="kind"):
        s.at(START, "")
    with pytest.raises(RuleError, match="needs its time zone"):
        s.at(START.replace(tzinfo=None), TIMER)
    with pytest.raises(RuleError, match="there is no time zone"):
        s.cron("0 9 * * *", TIMER, zone="Europe/Atlantis")
    with pytest.raises(ScheduleError, match="1000 schedules at most"):
        for _ in range(1001):
            s.at(START, TIMER)


async def test_a_wall_time_needs_a_zone(world: World) -> None:
    wall = datetime.fromisoformat("2026-01-01T09:00")
    await world.tell("$e1", lambda s: s.at(wall, TIMER, key="tea", zone="America/New_York"))
    await world.pass_time(days=1)
    assert world.said == ["tea 01 14:00 None"]


async def test_what_lies_in_the_database_is_sealed(world: World) -> None:
    await world.tell("$e1", lambda s: s.at(START, TIMER, "call the doctor", key="k"))
    (row,) = await rows(world.flaky, schedules)
    assert b"doctor" not in b"".join(str(value).encode() for value in row.values())
    assert b"doctor" not in row["content"]


async def test_timers_bring_their_content_as_it_is(world: World) -> None:
    def begin(s: Schedules) -> None:
        unit = s._unit
        due = world.clock.now_ms() + 60_000
        for key in ("dialog:1", "dialog:2"):
            world.scheduler.set(
                unit,
                consumer=CONSUMER,
                key=key,
                room_id=ROOM,
                person=ALICE,
                kind="rialto.dialog.timer",
                due_at=due,
                content={"schedule": key, "due": due, "data": "whole", "what": "expire"},
            )
        world.scheduler.cancel(unit, consumer=CONSUMER, key="dialog:2")

    await world.tell("$e1", begin)
    await world.pass_time(minutes=2)
    (event,) = world.fired
    assert (event.type, event.sender) == ("rialto.dialog.timer", ALICE)
    due = START + timedelta(minutes=1)
    assert event.content == {
        "schedule": "dialog:1",
        "due": int(due.timestamp() * 1000),
        "data": "whole",
        "what": "expire",
    }


# --- catching up


async def outage(world: World, catch_up: Any) -> None:
    def begin(s: Schedules) -> None:
        s.every(timedelta(hours=1), TIMER, key="hourly", catch_up=catch_up)
        s.at(START + timedelta(hours=2), TIMER, key="once", catch_up=catch_up)

    await world.tell("$e1", begin)
    world.clock.advance(hours=4, minutes=30)
    await world.fire()
    missed = list(world.said)
    await world.pass_time(hours=1)
    assert world.said[len(missed) :] == ["hourly 01 05:00 None"]
    world.engine.homeserver.events = world.engine.homeserver.events[: len(missed)]


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        ("skip", []),
        ("once", ["hourly 01 04:00 None", "once 01 02:00 None"]),
        ("all", [*(f"hourly 01 0{each}:00 None" for each in (1, 2, 3, 4)), "once 01 02:00 None"]),
    ],
)
async def test_after_an_outage(world: World, catch_up: str, expected: list[str]) -> None:
    await outage(world, catch_up)
    assert world.said == expected


async def test_a_consumer_that_does_not_run_keeps_its_schedules(world: World) -> None:
    await world.tell("$e1", lambda s: s.every(timedelta(hours=1), TIMER, key="hourly"))
    world.running = []
    await world.pass_time(hours=3)
    assert (world.said, await world.scheduler.next_due()) == ([], None)
    assert len(await rows(world.flaky, schedules)) == 1
    world.running = [CONSUMER]
    await world.fire()
    assert world.said == ["hourly 01 03:00 None"]


# --- the zone of the person


async def test_a_wall_clock_follows_the_person(world: World) -> None:
    unit = UnitOfWork("$z", CONSUMER, BOT)

    async def commit() -> None:
        operations = list(unit.operations)
        await world.flaky.write(lambda connection: [operation(connection) for operation in operations])
        unit.cleared()

    world.people.set_zone(unit, ALICE, "America/New_York")
    await commit()

    def begin(s: Schedules) -> None:
        s.cron("0 9 * * *", TIMER, key="theirs")
        s.cron("0 9 * * *", TIMER, key="fixed", zone="UTC")
        s.cron("0 9 * * *", TIMER, key="nobody", person="")

    await world.tell("$e1", begin)

    async def dues() -> dict[str, str]:
        return {row["key"]: f"{from_ms(row['due_at']):%d %H:%M}" for row in await rows(world.flaky, schedules)}

    assert await dues() == {"theirs": "01 14:00", "fixed": "01 09:00", "nobody": "01 08:00"}
    world.people.set_zone(unit, ALICE, "Asia/Tokyo")
    await commit()
    # Nine o'clock in Tokyo is now: it has just been.
    assert await dues() == {"theirs": "02 00:00", "fixed": "01 09:00", "nobody": "01 08:00"}
    await world.pass_time(days=2)
    assert [each for each in world.said if each.startswith("theirs")] == [
        "theirs 02 00:00 None",
        "theirs 03 00:00 None",
    ]
    world.people.set_zone(unit, ALICE, None)
    await commit()
    assert (await dues())["theirs"] == "03 08:00"


# --- crashes

FAULTS = [
    ("before",),
    ("after",),
    ("late",),
    ("before", "late", "after"),
    ("after", "after", "before"),
    ("late", "late", None, "after"),
    (None, "after", "late"),
    (None, "before", None, "late", "after"),
]


@pytest.mark.parametrize("faults", FAULTS, ids=lambda faults: "-".join(str(each) for each in faults))
async def test_a_failing_database_neither_loses_nor_doubles_a_firing(world: World, faults: tuple[str | None]) -> None:
    def begin(s: Schedules) -> None:
        for number in range(3):
            s.every(timedelta(minutes=1), TIMER, number, key=f"t{number}", catch_up="all", room=f"!r{number}:localhost")

    await world.tell("$e1", begin)
    await world.scheduler.start()
    for _ in range(4):
        await until(lambda: world.clock.waiting, "the scheduler sleeps")
        world.flaky.fail(*faults)
        world.clock.advance(minutes=1)
        expected = 3 * ((world.clock.now_ms() - int(START.timestamp() * 1000)) // 60_000)
        await until(lambda expected=expected: len(world.said) >= expected, f"{expected} firings")  # type: ignore[misc]
        await world.engine.settled()
    wanted = [f"t{number} 01 00:0{minute} {number}" for minute in range(1, 5) for number in range(3)]
    assert Counter(world.said) == Counter(wanted)
    for number in range(3):  # each room in its order
        heard = world.engine.homeserver.bodies(f"!r{number}:localhost")
        assert heard == sorted(heard)


@pytest.mark.parametrize("fault", ["before", "after", "late"])
@pytest.mark.parametrize("step", range(1, 6))
async def test_killed_at_any_write(world: World, fault: str, step: int) -> None:
    """The process dies at its n-th write after a firing was due: before it, after it, or while it is under way."""
    await world.tell("$e1", lambda s: s.every(timedelta(minutes=1), TIMER, key="t", catch_up="all"))
    world.clock.advance(minutes=2)
    died = asyncio.Event()
    writes = 0

    def kill() -> str | None:
        nonlocal writes
        if died.is_set():
            return "before"  # a dead process writes nothing
        writes += 1
        if writes == step:
            died.set()
            return fault
        return None

    world.flaky.fault = kill
    await world.scheduler.start()
    alive = asyncio.create_task(world.engine.settled())
    dying = asyncio.create_task(died.wait())
    await asyncio.wait({dying}, timeout=1)
    dying.cancel()
    alive.cancel()
    await asyncio.wait({dying, alive})
    await world.scheduler.stop()
    world.flaky.fault = lambda: None
    await world.restart()
    await world.scheduler.start()
    await until(lambda: len(world.said) >= 2, "both firings")
    await world.pass_time(minutes=1)
    # The running scheduler may have taken it, and be about to hand it on.
    await until(lambda: len(world.said) >= 3, "the next firing")
    await world.engine.settled()
    assert world.said == ["t 01 00:01 None", "t 01 00:02 None", "t 01 00:03 None"]


# --- the task


async def test_the_scheduler_sleeps_until_the_earliest_and_is_woken_for_an_earlier_one(world: World) -> None:
    await world.scheduler.start()
    await until(lambda: world.clock.waiting, "it sleeps")
    await world.tell("$e1", lambda s: s.at(START + timedelta(seconds=9), TIMER, key="later"))
    await world.tell("$e2", lambda s: s.at(START + timedelta(seconds=3), TIMER, key="earlier"))
    await until(lambda: world.scheduler._until == int(START.timestamp() * 1000) + 3000, "it sleeps less")
    world.clock.advance(seconds=3)
    await until(lambda: len(world.said) == 1, "the earlier one")
    await until(lambda: world.scheduler._until == int(START.timestamp() * 1000) + 9000, "it sleeps again")
    world.clock.advance(seconds=6)
    await until(lambda: len(world.said) == 2, "the later one")
    assert world.said == ["earlier 01 00:00 None", "later 01 00:00 None"]


async def test_a_row_that_nobody_told_of_is_found(world: World) -> None:
    """A commit whose answer was lost calls nobody back."""
    await world.scheduler.start()
    await until(lambda: world.clock.waiting, "it sleeps")
    unit = UnitOfWork("$e", CONSUMER, BOT)
    world.scheduler.of(CONSUMER, unit, ROOM).at(START + timedelta(seconds=1), TIMER, key="lost")
    (operation,) = unit.operations
    await world.flaky.write(operation)
    world.clock.advance(milliseconds=LOOK_MS)
    await until(lambda: len(world.said) == 1, "found")


async def test_a_row_that_cannot_be_read_does_not_stop_the_others(world: World) -> None:
    await world.tell("$e1", lambda s: s.at(START, TIMER, key="broken"))
    await world.tell("$e2", lambda s: s.at(START, TIMER, key="sound"))
    (broken, _) = await rows(world.flaky, schedules)
    await world.flaky.write(
        lambda connection: connection.execute(
            schedules.update().where(schedules.c.key == "broken").values(content=b"\0" * 40)
        )
    )
    await world.fire()
    assert world.said == ["sound 01 00:00 None"]
    await world.flaky.write(
        lambda connection: connection.execute(
            schedules.update().where(schedules.c.key == "broken").values(content=broken["content"])
        )
    )
    await world.pass_time(hours=2)
    assert world.said == ["sound 01 00:00 None", "broken 01 01:00 None"]


async def test_many_that_are_due_at_once_come_in_batches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framework, "BATCH", 7)

    def begin(s: Schedules) -> None:
        for number in range(30):
            s.at(START, TIMER, key=f"{number:02}")

    await world.tell("$e1", begin)
    assert await world.scheduler.run_due() == 30
    await world.engine.settled()
    assert world.said == [f"{number:02} 01 00:00 None" for number in range(30)]


async def test_the_earliest_is_found_without_a_look_at_the_rest(database: Database) -> None:
    if database.dialect != "sqlite":
        pytest.skip("PostgreSQL chooses by its statistics")
    seen: list[str] = []

    def explain(connection: Connection) -> None:
        for work in (
            lambda: sql.earliest(connection, [CONSUMER, "other"]),
            lambda: sql.due(connection, 5, [CONSUMER, "other"], 10),
        ):
            statements: list[tuple[str, Any]] = []

            def note(
                _c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any, into: Any = statements
            ) -> None:
                into.append((statement, parameters))

            event.listen(connection, "before_cursor_execute", note)
            work()
            event.remove(connection, "before_cursor_execute", note)
            statement, parameters = statements[-1]
            plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters)
            seen.append(" / ".join(row[3] for row in plan))

    await database.read(explain)
    assert all("ix_schedules_due_at" in each for each in seen), seen
    assert "TEMP B-TREE FOR ORDER BY" not in seen[0]


def test_intervals_begin_with_the_clock(world: World) -> None:
    s = world.scheduler.of(CONSUMER, UnitOfWork("$e", CONSUMER, BOT), ROOM)
    s.every(timedelta(hours=1), TIMER, key="k")
    wanted = s._pending["k"]
    assert wanted is not None and wanted.rule == Every(timedelta(hours=1), START)
