"""Plugins outside the process: the engine on a real database, a real socket, processes that are killed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from appservice.database import Database, DatabaseError
from bots.framework.remote import Server
from bots.framework.remote import connection as connections
from bots.framework.remote import session as sessions
from bots.framework.remote.link import Link
from bots.framework.remote.protocol import LinkLost
from tests.store.harness import ALICE, BOT, ROOM, FlakyDatabase, inbox_row, message, until
from tests.support.remote import TOKEN, Process, Rialto, served

Start = Callable[..., Awaitable["Served"]]


class Served:
    """A plugin served from a task of this process."""

    def __init__(self, rialto: Rialto) -> None:
        self.server = Server(served(), rialto.url, TOKEN, backoff=0.01, backoff_max=0.05, heartbeat=5)
        self.task = asyncio.create_task(self.server.run())

    async def stop(self) -> None:
        self.server.stop()
        with suppress(Exception):
            await asyncio.wait_for(self.task, 10)


@pytest.fixture
async def rialto(database: Database, tmp_path: Path) -> AsyncIterator[Rialto]:
    """A running Rialto with a gateway; its plugin is not connected yet."""
    settings = {"effects": str(tmp_path / "effects"), "hold": str(tmp_path / "hold")}
    running = await Rialto(database, settings=settings).start()
    yield running
    await running.stop()


@pytest.fixture
async def plugin(rialto: Rialto) -> AsyncIterator[Served]:
    """The plugin, connected."""
    one = Served(rialto)
    await until(lambda: rialto.consumer.connected or one.task.done(), "the plugin connects")
    if one.task.done():
        one.task.result()
    yield one
    await one.stop()


ORDER = ("order", "2", "three", "3", "yes")


async def order(rialto: Rialto, room: str = ROOM) -> None:
    """A whole conversation; one answer is none."""
    for text in ORDER:
        await rialto.says(text, room)


def effects(folder: Path) -> list[str]:
    """What the step did outside, a line each."""
    file = folder / "effects"
    return file.read_text().splitlines() if file.exists() else []


async def test_handlers(rialto: Rialto, plugin: Served) -> None:
    """Messages, edits, reactions, state, in order and committed like those of a plugin inside."""
    await rialto.says("hello")
    await rialto.says("something")
    await rialto.says("keep tea")
    await rialto.says("keep coffee")
    assert rialto.transcript() == [
        ("m.room.message", "Hello Alice, number 1"),
        ("m.room.message", "* Hello again"),
        ("m.reaction", "👋"),
        ("m.room.message", "re: something"),
        ("m.room.message", "None -> tea; word"),
        ("m.room.message", "tea -> coffee; word"),
    ]
    first, edit = rialto.homeserver.in_room(ROOM)[:2]
    assert edit.content["m.relates_to"] == {"rel_type": "m.replace", "event_id": first.event_id}
    assert {sent.user_id for sent in rialto.homeserver.events} == {BOT}


async def test_dialog(rialto: Rialto, plugin: Served, tmp_path: Path) -> None:
    """A conversation, with a word that is none, and a step outside."""
    await order(rialto)
    bodies = rialto.bodies()
    assert bodies[0].startswith("What would you like?")
    assert "How many?" in bodies
    assert bodies[-1] == "Ticket for 3 Coffee, 3 so far."
    assert len(effects(tmp_path)) == 1
    await rialto.says("hi")
    assert rialto.bodies()[-1] == "re: hi"


async def test_help_is_of_the_framework(rialto: Rialto, plugin: Served) -> None:
    """What is wrong with a command is said by the framework, on the plugin's side."""
    await rialto.says("keep")
    assert "keep" in rialto.bodies()[-1]
    assert "word" in rialto.bodies()[-1]


async def test_language_holds_for_every_bot(rialto: Rialto, plugin: Served) -> None:
    """What a person says of themselves lies in Rialto, and comes with their next event."""
    await rialto.says("language de")
    await rialto.says("keep")
    assert "Wort" in rialto.bodies()[-1] or "fehlt" in rialto.bodies()[-1]
    assert (await rialto.consumer.services.people.get(ALICE)).language == "de"


async def test_timer(rialto: Rialto, plugin: Served) -> None:
    """What is to happen later is Rialto's to remember."""
    await rialto.says("later")
    await until(lambda: "Ring, from later" in rialto.bodies(), "the timer")


async def test_files(rialto: Rialto, plugin: Served) -> None:
    """A file of several pieces, there and back."""
    data = bytes(range(256)) * 3_000
    rialto.homeserver.media["file"] = data
    await rialto.says("picture mxc://localhost/file")
    assert rialto.homeserver.media["file1"] == data[::-1]
    assert rialto.homeserver.events[-1].content["url"] == "mxc://localhost/file1"


async def test_waits_for_the_plugin(rialto: Rialto) -> None:
    """Events wait in the order of their room while the plugin is away, and no other bot's do."""
    first = await rialto.hears("one")
    await rialto.hears("two")
    await rialto.hears("three", "!second:localhost")
    await until(lambda: rialto.engine.worker.pending == 3)
    assert (await inbox_row(rialto.database, first))["attempts"] == 0
    one = Served(rialto)
    await rialto.engine.settled()
    assert rialto.bodies() == ["re: one", "re: two"]
    assert rialto.bodies("!second:localhost") == ["re: three"]
    await one.stop()


async def test_failing_handler_is_given_up(rialto: Rialto, plugin: Served) -> None:
    """A handler that raises has its attempts; then the sender hears of it from Rialto."""
    await rialto.says("break")
    assert rialto.bodies() == ["Sorry, something went wrong on my side and I could not answer. The operator knows."]


async def test_rialto_restarts(rialto: Rialto, plugin: Served) -> None:
    """The plugin connects again and goes on in the middle of a dialog."""
    await rialto.says("order")
    await rialto.says("2")
    await rialto.crash()
    await rialto.start()
    for text in ORDER[2:]:
        await rialto.says(text)
    assert rialto.bodies()[-1] == "Ticket for 3 Coffee, 3 so far."
    assert not plugin.task.done()


class Away(FlakyDatabase):
    """A database that cannot be read when a test says so."""

    failures = 0

    async def read(self, work: Any) -> Any:
        if self.failures > 0:
            self.failures -= 1
            raise DatabaseError("the database is gone (test)")
        return await super().read(work)


async def test_database_away(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a handler cannot read because the database is away is no fault of its: the event waits."""
    monkeypatch.setattr(connections, "PAUSE_S", 0.01)
    away = Away(database)
    rialto = await Rialto(away).start()
    one = Served(rialto)
    await until(lambda: rialto.consumer.connected)
    await rialto.says("keep tea")
    away.failures = 4
    event_id = await rialto.hears("keep coffee")
    await rialto.engine.settled()
    assert away.failures == 0
    assert rialto.bodies()[-1] == "tea -> coffee; word"
    assert (await inbox_row(database, event_id))["attempts"] == 0
    await one.stop()
    await rialto.stop()


async def test_commits_that_fail(flaky: FlakyDatabase, tmp_path: Path) -> None:
    """Commits that do not happen, or whose answer is lost, in the middle of steps and at the end."""
    rialto = await Rialto(flaky, settings={"effects": str(tmp_path / "effects")}).start()
    one = Served(rialto)
    await until(lambda: rialto.consumer.connected)
    await order(rialto)
    assert len(rialto.transcript()) > 8
    expected = rialto.transcript()
    faults = itertools.cycle([None, "before", None, "after", None, None, "before"])
    flaky.fault = lambda: next(faults)
    for text in ORDER:
        await deliver(rialto, text)
        await rialto.engine.settled()
    flaky.fault = lambda: None
    await rialto.engine.settled()
    second = rialto.transcript("!second:localhost")
    assert [(kind, shown.replace(", 6 so far", ", 3 so far")) for kind, shown in second] == expected
    assert len({line.split()[0] for line in effects(tmp_path)}) == 2
    await one.stop()
    await rialto.stop()


async def deliver(rialto: Rialto, text: str) -> None:
    """As the homeserver does: again and again until it was taken; what was stored unheard is found."""
    while True:
        try:
            await rialto.engine.deliver(message(f"$alice-{text}", "!second:localhost", text))
        except DatabaseError:
            await rialto.engine.worker.reconcile()
            continue
        return


# Cut off at any moment


class Scissors:
    """Cuts the connection at the plugin's ``at``-th frame: before it leaves, or when Rialto has it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at: int | None = None
        self.after = False
        self.frames = 0
        scissors = self

        class Cut(Link):
            async def send(self, frame: Any) -> None:
                scissors.frames += 1
                if scissors.frames != scissors.at:
                    await super().send(frame)
                    return
                if scissors.after:
                    await super().send(frame)
                    await scissors.arrived(frame)
                transport = self._socket.get_extra_info("socket")
                assert transport is not None
                self._socket._response.connection.transport.abort()  # type: ignore[union-attr]
                raise LinkLost("cut")

        monkeypatch.setattr(sessions, "Link", Cut)

    async def arrived(self, frame: Any) -> None:
        """What Rialto has is worked whatever becomes of the connection; an abort may overtake it, which is the other
        case.
        """
        await asyncio.sleep(0.002)


@pytest.fixture
def scissors(monkeypatch: pytest.MonkeyPatch) -> Scissors:
    """Cut nothing until told."""
    return Scissors(monkeypatch)


async def conversation(rialto: Rialto, room: str) -> list[tuple[str, str]]:
    """A conversation with everything in it."""
    await rialto.says("hello", room)
    await order(rialto, room)
    await rialto.says("keep tea", room)
    return rialto.transcript(room)


async def back(rialto: Rialto, before: int) -> None:
    """Wait until the plugin has connected again."""
    await until(lambda: rialto.connects > before, "it is back")


@pytest.mark.parametrize("after", [False, True], ids=["lost", "unheard"])
async def test_cut_at_every_frame(rialto: Rialto, scissors: Scissors, tmp_path: Path, *, after: bool) -> None:
    """Wherever the connection ends, the transcript is the same and each effect happens once."""
    one = Served(rialto)
    await until(lambda: rialto.consumer.connected)
    begun = scissors.frames
    whole = await conversation(rialto, ROOM)
    frames = scissors.frames - begun
    assert frames > 25
    hello, rest = whole[0], whole[1:]
    assert hello == ("m.room.message", "Hello Alice, number 1")
    scissors.after = after
    # PostgreSQL's commits are the slower ones, and the protocol is the same.
    every = 1 if rialto.database.dialect == "sqlite" else 5
    cuts = range(1, frames + 1, every)
    for number, cut in enumerate(cuts, 1):
        room = f"!cut{cut}:localhost"
        rialto.rooms.rooms.add(room)
        before = rialto.connects
        scissors.at = scissors.frames + cut
        again = await conversation(rialto, room)
        assert again[0] == ("m.room.message", f"Hello Alice, number {number + 1}"), cut
        total = 3 * (number + 1)
        expected = [(kind, shown.replace(", 3 so far", f", {total} so far")) for kind, shown in rest]
        assert again[1:] == expected, cut
        await back(rialto, before)
    keys = [line.split()[0] for line in effects(tmp_path)]
    assert len(set(keys)) == len(cuts) + 1
    assert len(keys) <= len(set(keys)) + 3  # run again, under the same key, where its record did not arrive
    await one.stop()


# Processes


async def test_killed_in_the_middle_of_a_step(rialto: Rialto, tmp_path: Path) -> None:
    """``kill -9`` while a step runs: it runs again under the same key, and the conversation goes on."""
    hold = tmp_path / "hold"
    process = await Process(rialto, tmp_path).start()
    try:
        for text in ORDER[:3]:
            await rialto.says(text)
        hold.touch()
        await rialto.hears(ORDER[3])
        await until(lambda: len(effects(tmp_path)) == 1, "the step")
        await process.kill()
        hold.unlink()
        await until(lambda: not rialto.consumer.connected)
        await rialto.hears("meanwhile", "!second:localhost")
        await process.start()
        await rialto.engine.settled()
        await rialto.says(ORDER[4])
    finally:
        await process.kill()
    killed = rialto.transcript()
    assert len(effects(tmp_path)) == 2
    assert len({line.split()[0] for line in effects(tmp_path)}) == 1
    assert rialto.bodies("!second:localhost") == ["re: meanwhile"]
    process = await Process(rialto, tmp_path).start()
    try:
        await order(rialto, "!third:localhost")
        undisturbed = rialto.transcript("!third:localhost")
        assert await process.terminate() == 0
    finally:
        await process.kill()
    assert [(kind, shown.replace(", 6 so far", ", 3 so far")) for kind, shown in undisturbed] == killed


async def test_rialto_killed_while_a_process_is_connected(rialto: Rialto, tmp_path: Path) -> None:
    """The process connects again to the Rialto that comes after."""
    process = await Process(rialto, tmp_path).start()
    try:
        await rialto.says("order")
        await rialto.says("2")
        before = rialto.connects
        await rialto.crash()
        await rialto.start()
        await until(lambda: rialto.connects > before, "it is back", 30)
        for text in ORDER[2:]:
            await rialto.says(text)
        assert rialto.bodies()[-1] == "Ticket for 3 Coffee, 3 so far."
    finally:
        await process.kill()
