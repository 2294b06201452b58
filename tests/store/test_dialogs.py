"""Dialogs on the real engine and real databases: commits that fail, happen unnoticed or late, kills, slow commits."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast

import pytest
from sqlalchemy import Connection, select

from appservice.database import Database, DatabaseError
from appservice.media import Media
from appservice.sealing import Sealer
from appservice.unit import UnitOfWork
from bots.framework import Context, Dialog, Plugin, command, dialog, timer
from bots.framework.bot import BotUser
from bots.framework.clock import ManualClock
from bots.framework.consumer import PluginConsumer
from bots.framework.i18n import Catalogues
from bots.framework.people import People
from bots.framework.permissions import Permissions
from bots.framework.schedules import Scheduler
from bots.framework.services import HomeserverView, Services
from bots.framework.state import Store
from bots.store import dialogs as sql
from bots.store.tables import DialogState, dialog_journal, dialog_people, dialogs
from tests.store.harness import ALICE, BOT, Engine, FakeRooms, FlakyDatabase, config, message, rows, until

KEY = "a pickle key for tests"
T = TypeVar("T")


class Painter(Plugin):
    """Does something outside, something inside and asks, twice."""

    def __init__(self) -> None:
        self.keys: Counter[str] = Counter()
        self.swallowed = 0

    @command("go", help="Begin")
    async def go(self, ctx: Context) -> None:
        ctx.say("Here we go.")
        ctx.plugin_state.add(f"begun {ctx.room_id}")
        ctx.start(self.paint)

    @dialog
    async def paint(self, d: Dialog) -> None:
        first = await d.step("first", self.outside)
        await d.do("one", self.inside, first)
        await d.do("two", self.inside, first)
        colour = await d.ask("Which colour?")
        second = await d.step("second", self.outside)
        await d.do("three", self.inside, second)
        await d.say(f"Painted {colour}.")

    async def outside(self, idempotency_key: str) -> str:
        self.keys[idempotency_key] += 1
        await asyncio.sleep(0)
        return "done"

    async def inside(self, ctx: Context, what: str) -> None:
        ctx.say(f"inside {what}")
        ctx.plugin_state.add(f"inside {ctx.room_id}")
        ctx.later(ctx.now() + timedelta(days=1), "later", what)

    @timer("later")
    async def later(self, ctx: Context, data: Any) -> None:
        """Never due here."""

    @command("careless", help="Catches what is not its own")
    async def careless(self, ctx: Context) -> None:
        ctx.say("careless")
        ctx.plugin_state.add(f"careless {ctx.room_id}")
        try:
            await ctx.unit.checkpoint()
        except Exception:  # noqa: BLE001 - what a careless plugin does
            self.swallowed += 1
        ctx.say("went on")


class Rooms(FakeRooms):
    """What handlers ask of rooms."""

    async def humans(self, _room_id: str) -> Sequence[str]:
        return [ALICE]

    async def members(self, _room_id: str) -> dict[str, str]:
        return {ALICE: "join", BOT: "join"}

    async def display_name(self, _room_id: str, _user_id: str) -> str | None:
        return None

    async def sender_of(self, _room_id: str, _event_id: str, _user_id: str) -> str | None:
        return None


def services(database: Database, rooms: Rooms) -> Services:
    """What consumers are made with."""
    clock = ManualClock()

    async def raise_events(_work: Any) -> None:
        raise AssertionError("nothing is due here")

    scheduler = Scheduler(database, raise_events, Sealer(KEY, "schedules"), clock, list)
    return Services(
        database=database,
        rooms=rooms,
        media=cast(Media, None),
        homeserver=cast(HomeserverView, None),
        sealer=Sealer(KEY, "dialogs"),
        clock=clock,
        people=People(database, clock, scheduler),
        catalogues=Catalogues("en"),
        permissions=Permissions.model_validate({}),
        scheduler=scheduler,
        store=Store(database, Sealer(KEY, "state"), clock.now_ms),
        server_name="localhost",
    )


class Stage:
    """The service with one plugin; it can be killed and started again."""

    def __init__(self, database: Database, **settings: Any) -> None:
        self.database = database
        self.plugin = Painter()
        self.settings = settings
        self.engine: Engine | None = None
        self.numbers = 0

    async def start(self) -> Engine:
        rooms = Rooms([BOT])
        self.services = services(self.database, rooms)
        bot = BotUser(BOT, "Painter")
        consumer = PluginConsumer("painter", self.plugin, bot, self.services)
        bot.consumers.append(consumer)
        bot.rebuild()
        before = self.engine
        homeserver = before.homeserver if before is not None else None
        self.engine = Engine(self.database, config(**self.settings), [cast(Any, consumer)], homeserver, rooms)
        return await self.engine.start()

    async def says(self, text: str, room_id: str) -> None:
        """Deliver a text as the homeserver does: again until it is taken."""
        assert self.engine is not None
        self.numbers += 1
        event = message(f"${room_id[1:4]}{self.numbers}", room_id, text)
        while True:
            try:
                await self.engine.deliver(event, txn_id=event["event_id"])
                break
            except DatabaseError:
                await asyncio.sleep(0.01)
        await self.engine.worker.reconcile()  # as the service does after a failure: it may have been kept
        await self.engine.settled()

    async def count(self, key: str) -> int:
        """A counter of the plugin's."""
        unit = UnitOfWork("$look", "painter:" + BOT, BOT)
        return await self.services.store.open("painter", unit).plugin.count(key)

    async def planned(self, room_id: str) -> int:
        """How many timers the plugin has set in a room."""
        unit = UnitOfWork("$look", "painter:" + BOT, BOT)
        found = await self.services.scheduler.of("painter:" + BOT, unit, room_id).list()
        return sum(each.kind == "rialto.timer" and each.room_id == room_id for each in found)

    async def check(self, room_id: str) -> None:
        """Everything has happened once."""
        assert self.engine is not None
        assert self.engine.homeserver.bodies(room_id) == [
            "Here we go.",
            "inside done",
            "inside done",
            "Which colour?",
            "inside done",
            "Painted blue.",
        ]
        assert await self.count(f"begun {room_id}") == 1
        assert await self.count(f"inside {room_id}") == 3
        assert await self.planned(room_id) == 3
        mine = [row for row in await rows(self.database, dialogs) if row["room_id"] == room_id]
        assert [row["state"] for row in mine] == [DialogState.ENDED]
        assert sum(key.startswith(mine[0]["id"]) for key in self.plugin.keys) == 2


@pytest.mark.parametrize("fault", ["before", "after", "late"])
async def test_a_commit_that_fails_or_seems_to(flaky: FlakyDatabase, fault: str) -> None:
    stage = Stage(flaky)
    engine = await stage.start()
    try:
        for position in range(9):
            room_id = f"!{fault}{position}:localhost"
            flaky.fail(*[None] * position, fault)
            await stage.says("go", room_id)
            await stage.says("blue", room_id)
            flaky.fault = lambda: None
            await flaky.write(lambda _connection: None)  # a late one comes true now
            await engine.settled()
            await stage.check(room_id)
    finally:
        flaky.fault = lambda: None
        await engine.stop()


async def test_a_kill_after_any_write(flaky: FlakyDatabase) -> None:
    stage = Stage(flaky)
    await stage.start()
    for position in range(9):
        room_id = f"!kill{position}:localhost"
        for text in ("go", "blue"):
            assert stage.engine is not None
            stage.numbers += 1
            event = message(f"$k{stage.numbers}", room_id, text)
            goal = flaky.writes + position
            delivered = asyncio.create_task(stage.engine.deliver(event, txn_id=event["event_id"]))
            await asyncio.wait([delivered])
            if position < 5 or text == "blue":
                await _until_written(flaky, goal)
                await stage.engine.crash()
                await stage.start()
                await stage.engine.deliver(event, txn_id=event["event_id"])
            await stage.engine.settled()
        await stage.check(room_id)
    assert stage.engine is not None
    await stage.engine.stop()


async def _until_written(flaky: FlakyDatabase, goal: int) -> None:
    """Wait for so many writes, or until nothing more is written."""
    for _ in range(100):
        if flaky.writes >= goal:
            return
        await asyncio.sleep(0.001)


async def test_a_checkpoint_that_is_slower_than_the_handler_may_be(database: Database) -> None:
    slow = _Slow(database)
    stage = Stage(slow, handler_timeout=0.5, attempts=5)
    engine = await stage.start()
    room_id = "!slow:localhost"
    slow.hold = True
    stage.numbers += 1
    delivered = asyncio.create_task(stage.says("go", room_id))
    await until(lambda: slow.held, "the first write waits")
    slow.release.set()  # the event is stored; the checkpoint waits for longer than the handler may take
    slow.release = asyncio.Event()
    slow.held = 0
    await until(lambda: slow.held, "the checkpoint waits")
    await asyncio.sleep(0.7)
    slow.hold = False
    slow.release.set()
    await delivered
    await stage.says("blue", room_id)
    await stage.check(room_id)
    await engine.stop()


class _Slow(FlakyDatabase):
    """Its writes wait for the test."""

    def __init__(self, inner: Database) -> None:
        super().__init__(inner)
        self.hold = False
        self.held = 0
        self.release = asyncio.Event()

    async def write(self, work: Callable[[Connection], T]) -> T:
        if self.hold:
            self.held += 1
            await self.release.wait()
        return await super().write(work)


async def test_a_database_error_that_a_plugin_swallows_is_not_lost(flaky: FlakyDatabase) -> None:
    stage = Stage(flaky)
    engine = await stage.start()
    room_id = "!careless:localhost"
    flaky.fail(None, "before")
    await stage.says("careless", room_id)
    assert stage.plugin.swallowed == 1
    assert engine.homeserver.bodies(room_id) == ["careless", "went on"]
    assert await stage.count(f"careless {room_id}") == 1
    await engine.stop()


async def test_nothing_that_people_said_lies_readable(database: Database) -> None:
    stage = Stage(FlakyDatabase(database))
    engine = await stage.start()
    room_id = "!sealed:localhost"
    await stage.says("go", room_id)
    await stage.says("a very private colour", room_id)
    found = [*await rows(database, dialogs), *await rows(database, dialog_journal)]
    assert any(row.get("kind") == "ask" for row in found)
    assert "private" not in repr(found)
    assert "done" not in repr([row.get("value") for row in found])
    await engine.stop()
    # A journal of another dialog, or at another place, does not open.
    sealer = Sealer(KEY, "dialogs")

    def swapped(connection: Connection) -> None:
        ids = connection.execute(select(dialogs.c.id)).scalars().all()
        connection.execute(
            dialog_journal.update().where(dialog_journal.c.position == 0).values(position=99, dialog_id=ids[0])
        )
        sql.journal(connection, sealer, ids[0])

    with pytest.raises(Exception, match=r"seal|key|open"):
        await database.write(swapped)


async def test_who_may_answer_is_forgotten_with_the_dialog_and_ended_ones_are_purged(database: Database) -> None:
    stage = Stage(FlakyDatabase(database))
    engine = await stage.start()
    await stage.says("go", "!purge:localhost")
    assert [row["user_id"] for row in await rows(database, dialog_people)] == [ALICE]
    await stage.says("cancel", "!purge:localhost")
    assert await rows(database, dialog_people) == []
    await stage.says("go", "!purge:localhost")
    later = stage.services.clock.now_ms() + 1
    assert await database.write(lambda connection: sql.purge(connection, later)) == 1
    left = await rows(database, dialogs)
    assert [row["state"] for row in left] == [DialogState.WAITING]
    assert {row["dialog_id"] for row in await rows(database, dialog_journal)} == {left[0]["id"]}
    await engine.stop()


async def test_a_change_made_from_an_old_revision_is_refused(database: Database) -> None:
    stage = Stage(FlakyDatabase(database))
    engine = await stage.start()
    await stage.says("go", "!old:localhost")
    await engine.stop()
    sealer = Sealer(KEY, "dialogs")
    row = (await database.read(lambda connection: sql.active(connection, sealer, "painter:" + BOT, "!old:localhost")))[
        0
    ]
    await database.write(lambda connection: sql.save(connection, sealer, sql.Change(row, row.entries)))
    with pytest.raises(sql.DialogConflict):
        await database.write(lambda connection: sql.save(connection, sealer, sql.Change(row, row.entries)))
