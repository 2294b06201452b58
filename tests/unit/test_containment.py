"""A plugin that fails, hangs, floods or blocks is paused, counted and named; others do not notice."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appservice.consumer import Consumer
from appservice.events import Event
from appservice.homeserver import HomeserverError
from appservice.unit import TooManyEffects, UnitOfWork
from bots.framework.breaker import Breaker, BreakerSettings, State
from bots.framework.containment import REPORT, Contained, Watchdog
from bots.framework.problems import Sources
from tests.unit.plugin_host import ROOM, House, house, plugin

SETTINGS = BreakerSettings(failures=3, window=60, pause=10, pause_max=35)


# The breaker


def test_failures_of_different_events_open_it() -> None:
    breaker = Breaker(SETTINGS)
    assert not breaker.failed("$1", 0)
    assert not breaker.failed("$1", 1), "another attempt of the same event"
    assert not breaker.failed("$2", 2)
    assert breaker.admits(2)
    assert breaker.failed("$3", 3)
    assert (breaker.state, breaker.until) == (State.OPEN, 13)
    assert not breaker.admits(12.9)
    assert not breaker.failed("$4", 5), "it is open already"


def test_old_failures_are_forgotten() -> None:
    breaker = Breaker(SETTINGS)
    breaker.failed("$1", 0)
    breaker.failed("$2", 0)
    assert not breaker.failed("$3", 61)
    assert not breaker.failed("$4", 62)
    assert breaker.failed("$5", 63)


def test_a_few_poisoned_messages_among_many_good_ones_do_not_open_it() -> None:
    breaker = Breaker(SETTINGS)
    for number in range(50):
        breaker.succeeded(f"$good{number}", 1)
    assert not any(breaker.failed(f"$bad{number}", 2) for number in range(20))
    assert breaker.state is State.CLOSED


def test_one_event_decides_after_a_pause_and_pauses_grow() -> None:
    breaker = Breaker(SETTINGS)
    assert breaker.failed("$1", 0, at_once=True)
    assert breaker.admits(10)
    assert not breaker.admits(10), "one at a time"
    assert breaker.failed("$2", 11)
    assert breaker.until == 31
    assert breaker.admits(31)
    assert breaker.failed("$3", 31)
    assert breaker.until == 66, "35 at most"
    assert breaker.admits(66)
    breaker.passed()
    assert breaker.admits(66), "that one said nothing"
    assert breaker.succeeded("$4", 67)
    assert breaker.state is State.CLOSED
    assert not breaker.failed("$5", 68)
    breaker.failed("$6", 68, at_once=True)
    assert breaker.until == 78, "well in between: the pause is short again"


# The consumer

PLUGIN = plugin(
    "moody",
    """
@command("fail", help="Fail")
async def fail(self, ctx: Context) -> None:
    raise ValueError("no")
@command("fine", help="Say something")
async def fine(self, ctx: Context) -> None:
    ctx.say("fine")
@command("hang", help="Hang")
async def hang(self, ctx: Context) -> None:
    await asyncio.sleep(3600)
@command("flood", help="Flood")
async def flood(self, ctx: Context, count: int = 100) -> None:
    for number in range(count):
        ctx.say(str(number))
@command("hidden-flood", help="Flood and hide it")
async def hidden(self, ctx: Context) -> None:
    for number in range(100):
        try:
            ctx.say(str(number))
        except Exception:
            pass
@command("away", help="The homeserver is away")
async def away(self, ctx: Context) -> None:
    raise HomeserverError(503, "BUSY", "later")
@command("forbidden", help="The homeserver refuses")
async def forbidden(self, ctx: Context) -> None:
    raise HomeserverError(403, "M_FORBIDDEN", "no")
@every(timedelta(hours=1))
async def tick(self, ctx: Context) -> None:
    ctx.say("tick")
""",
    "import asyncio\nfrom datetime import timedelta\nfrom appservice.homeserver import HomeserverError\n",
)
CONFIG = """\
bots:
  - {plugin: moody, localpart: moody, display_name: Moody}
  - {plugin: echo, localpart: echo, display_name: Echo}
plugins: {failures: 3, pause: 10, effects: 20, effects_per_minute: 50}
operators: {room: "!operators:world"}
"""


class Clock:
    """Seconds that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def moody(tmp_path: Path) -> AsyncIterator[House]:
    found = await house(tmp_path, CONFIG, {"moody.py": PLUGIN})
    await found.host.start()
    yield found
    await found.host.stop()
    await found.database.stop()


def clock_of(moody: House) -> Clock:
    """Give the plugin a clock of its own."""
    instance = moody.host.instance("moody")
    assert instance is not None
    clock = Clock()
    instance.contained._clock = clock
    return clock


async def fail(moody: House, count: int) -> None:
    for _ in range(count):
        with pytest.raises(ValueError, match="no"):
            await moody.say("moody", "fail")


async def test_it_is_a_consumer(moody: House) -> None:
    consumer: Consumer = moody.host.consumers[0]
    assert (consumer.name, consumer.user_id) == ("moody:@moody:world", "@moody:world")


async def test_failures_pause_it_and_each_room_hears_so_once(moody: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = clock_of(moody)
    await fail(moody, 3)
    assert moody.metric("rialto_plugin_failures_total", plugin="moody", kind="error") == 3
    assert moody.metric("rialto_plugin_pauses_total", plugin="moody") == 1
    assert moody.metric("rialto_plugin_paused", plugin="moody") == 1
    (word,) = await moody.say("moody", "fine")
    assert "cannot answer" in word and "try again" in word
    assert await moody.say("moody", "fine") == []
    assert len(await moody.say("moody", "fine", room="!other:world")) == 1
    assert await moody.say("echo", "hello") == ["hello"], "others do not notice"
    assert [info.paused for info in moody.host.switchboard.instances()] == [True, False]
    clock.now += 10
    assert await moody.say("moody", "fine") == ["fine"]
    assert await moody.say("moody", "fine") == ["fine"]
    assert moody.metric("rialto_plugin_paused", plugin="moody") == 0
    await asyncio.sleep(0)
    assert "plugin moody: It fails again and again (last: error, ValueError) and is paused for 10 s." in caplog.text
    assert "plugin moody: It works again." in caplog.text


async def test_operators_are_told_in_their_room(moody: House) -> None:
    await fail(moody, 3)
    for _ in range(20):
        await asyncio.sleep(0)
    (report,) = moody.raised
    assert (report.room_id, report.consumer, report.type) == ("!operators:world", "moody:@moody:world", REPORT)
    event = Event(report.event_id, report.room_id, "", report.type, report.content, 1, consumer=report.consumer)
    (word,) = await moody.hand("moody", event)
    assert word.startswith("moody: It fails again and again")


async def test_a_message_nobody_meant_for_it_is_not_answered_while_it_is_paused(moody: House) -> None:
    await fail(moody, 3)
    joined = Event("$j", ROOM, "@moody:world", "m.room.member", {"membership": "join"}, 1, "@moody:world")
    assert await moody.hand("moody", joined) == []
    reaction = Event("$r", ROOM, "@alice:world", "m.reaction", {"m.relates_to": {"rel_type": "m.annotation"}}, 1)
    assert await moody.hand("moody", reaction) == []


async def test_events_of_our_own_reach_it_also_while_it_is_paused(moody: House) -> None:
    await fail(moody, 3)
    name = "moody:@moody:world"
    content = {"schedule": "handler:tick", "data": {"name": "tick"}}
    event = Event("~tick", "plugin:moody", "", "rialto.schedule", content, 1, consumer=name)
    assert await moody.hand("moody", event) == ["tick"]


async def test_a_handler_that_hangs_is_ended_in_its_own_time(tmp_path: Path) -> None:
    config = CONFIG.replace("display_name: Moody}", "display_name: Moody, handler_timeout: 0.05}")
    moody = await house(tmp_path, config, {"moody.py": PLUGIN})
    await moody.host.start()
    with pytest.raises(TimeoutError):
        await moody.say("moody", "hang")
    assert moody.metric("rialto_plugin_failures_total", plugin="moody", kind="timeout") == 1
    await moody.host.stop()


async def test_floods(moody: House) -> None:
    assert len(await moody.say("moody", "flood 20")) == 20
    for text in ("flood 21", "hidden-flood"):
        with pytest.raises(TooManyEffects):
            await moody.say("moody", text)
    assert len(await moody.say("moody", "flood 20")) == 20
    with pytest.raises(TooManyEffects, match="a minute"):
        await moody.say("moody", "flood 20")
    assert moody.metric("rialto_plugin_failures_total", plugin="moody", kind="flood") == 3
    assert "cannot answer" in (await moody.say("moody", "fine"))[0], "a flood pauses it at once"


async def test_what_is_not_its_fault_is_not_counted(moody: House) -> None:
    for _ in range(5):
        with pytest.raises(HomeserverError):
            await moody.say("moody", "away")
    assert moody.metric("rialto_plugin_failures_total", plugin="moody", kind="error") == 0
    for _ in range(3):
        with pytest.raises(HomeserverError):
            await moody.say("moody", "forbidden")
    assert moody.metric("rialto_plugin_failures_total", plugin="moody", kind="error") == 3
    assert "cannot answer" in (await moody.say("moody", "fine"))[0]


def test_a_unit_stops_at_its_limit() -> None:
    unit = UnitOfWork("$1", "x", "@x:world")
    unit.limit = 2
    unit.send(ROOM, {})
    unit.send(ROOM, {})
    with pytest.raises(TooManyEffects):
        unit.send(ROOM, {})
    assert len(unit.messages) == 2
    assert json.loads(unit.messages[0].content) == {}


# The watchdog


async def test_who_keeps_the_event_loop_is_named(
    tmp_path: Path, moody: House, caplog: pytest.LogCaptureFixture
) -> None:
    source = plugin(
        "busy",
        """
@command("spin", help="Spin")
async def spin(self, ctx: Context) -> None:
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        pass
""",
        "import time\n",
    )
    config = "bots:\n  - {plugin: busy, localpart: busy, display_name: Busy}\n"
    folder = tmp_path / "busy"
    folder.mkdir()
    busy = await house(folder, config, {"busy.py": source})
    await busy.host.start()
    seen: list[str] = []
    watchdog = Watchdog(lambda: busy.host.sources, seen.append, limit=0.15)
    watchdog.start()
    with caplog.at_level(logging.ERROR):
        await busy.say("busy", "spin")
    watchdog.stop()
    await asyncio.sleep(0)
    assert seen == ["busy"]
    (record,) = [record for record in caplog.records if "stood still" in record.message]
    file = folder / "plugins" / "busy.py"
    assert f"plugin busy keeps it at {file}:" in record.message
    line = int(record.message.rpartition(":")[2])
    assert "while" in file.read_text().split("\n")[line - 1] or "pass" in file.read_text().split("\n")[line - 1]
    busy.host._blocked("busy")
    assert busy.metric("rialto_plugin_failures_total", plugin="busy", kind="blocked") == 1
    await busy.host.stop()


async def test_a_loop_that_turns_is_left_alone() -> None:
    seen: list[str] = []
    watchdog = Watchdog(Sources, seen.append, limit=0.2)
    watchdog.start()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        await asyncio.sleep(0.01)
    watchdog.stop()
    assert seen == []
    assert Contained.handle.__code__.co_name == "handle"
