"""Plugins outside stand in the host like those inside: schedules, webhooks, containment, what operators see."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from pydantic import BaseModel, SecretStr

from appservice.cli import main
from appservice.config import ConfigError
from appservice.errors import RialtoError
from appservice.events import Event
from appservice.processor import Wait
from appservice.unit import TooManyEffects, UnitOfWork
from bots.framework import Context, Plugin, Setup, WebhookCall, at, command, cron, every, message, webhook
from bots.framework.bot import BotUser
from bots.framework.consumer import SCHEDULE_FIRED, PluginConsumer
from bots.framework.containment import PluginFlood
from bots.framework.discovery import Found
from bots.framework.publishing import Appearance, Publisher
from bots.framework.recurrence import Every
from bots.framework.remote import RemoteGateway, ServeError, Server
from bots.framework.remote.outside import Outside
from bots.framework.remote.standing import Standing
from tests.store.harness import until
from tests.unit.plugin_host import KEYS, ROOM, House, house

TOKEN = "a-token-of-the-instance-for-tests-only"
SECRET = "a-secret-of-sixteen-and-more"
CONFIG = """\
web: {enabled: true}
engine: {handler_timeout: 20}
plugins: {failures: 2, pause: 30, effects_per_minute: 5, effects: 4}
bots:
  - {plugin: hub, localpart: rialto, display_name: Rialto}
  - {plugin: bell, localpart: bell, display_name: Bell, remote_token_file: token, settings: {key: {file: secret}}}
permissions: {roles: {operator: '@op:world'}}
"""
PAST = datetime(2001, 1, 1, tzinfo=UTC)
FUTURE = datetime(2099, 1, 1, tzinfo=UTC)


class Settings(BaseModel):
    """With the secret of the webhook."""

    key: SecretStr


class Bell(Plugin):
    """Rings by itself."""

    name = "bell"
    summary = "Rings."
    Settings = Settings
    scopes = frozenset({"schedules"})

    @every(timedelta(hours=2))
    async def tick(self, ctx: Context) -> None:
        """Into a room."""
        ctx.say("tick", room_id=ROOM)

    @cron("0 9 * * *", zone="Europe/Berlin")
    async def morning(self, ctx: Context) -> None:
        """Into a room."""
        ctx.say("morning", room_id=ROOM)

    @at(PAST)
    async def once(self, ctx: Context) -> None:
        """Into a room."""
        ctx.say("once", room_id=ROOM)

    @webhook("paid", secret="key", scheme="bearer")
    async def paid(self, ctx: Context, call: WebhookCall) -> None:
        """Into a room."""
        ctx.say(f"paid {call.json['amount']}", room_id=ROOM)

    @command("ring", help="Ring", aliases=("dong",))
    async def ring(self, ctx: Context, times: int = 1) -> None:
        """So often."""
        for _ in range(times):
            ctx.say("ring")

    @command("break", help="Fail", hidden=True)
    async def fail(self, ctx: Context) -> None:
        """Fails."""
        raise RuntimeError("broken")

    @command("hang", help="Never end", hidden=True)
    async def hang(self, ctx: Context) -> None:
        """Hangs."""
        await asyncio.Event().wait()

    @message(addressed=False)
    async def overheard(self, ctx: Context) -> None:
        """Nothing."""


class Later(Plugin):
    """The same plugin, a version later."""

    name = "bell"
    summary = "Rings and rings."
    Settings = Settings

    @every(timedelta(hours=3))
    async def tick(self, ctx: Context) -> None:
        """Another interval."""

    @at(FUTURE)
    async def once(self, ctx: Context) -> None:
        """Another moment."""

    @webhook("refunded", secret="key")
    async def refunded(self, ctx: Context, call: WebhookCall) -> None:
        """Another webhook."""

    @command("gong", help="Gong")
    async def gong(self, ctx: Context) -> None:
        """Another command."""


@dataclass
class Away:
    """A host with a plugin outside."""

    found: House
    standing: Standing
    gateway: RemoteGateway
    runner: web.AppRunner

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.runner.addresses[0][1]}/plugins/v1"

    @asynccontextmanager
    async def served(self, plugin: type[Plugin] = Bell) -> AsyncIterator[Server]:
        """The plugin is connected, and what it wants is installed."""
        found = Found("bell", plugin, "folder", Path(__file__), __name__, "a test")
        server = Server(found, self.url, TOKEN, backoff=0.01)
        task = asyncio.create_task(server.run())
        await until(lambda: self.standing.consumer.connected or task.done(), "the plugin connects")
        if task.done():
            await task
        await asyncio.wait_for(self.standing.installed(), 10)
        try:
            yield server
        finally:
            server.stop()
            await asyncio.wait_for(task, 10)
            await until(lambda: not self.standing.consumer.connected)

    async def rows(self) -> dict[str, Any]:
        """The schedules that there are."""
        unit = UnitOfWork("$x", "x", "x")
        listed = await self.found.host._services.scheduler.of("bell:@bell:world", unit, "").list()
        return {each.key: each for each in listed}

    async def hand(self, event: Event) -> list[str]:
        """As the engine does; what is sent."""
        unit = UnitOfWork(event.event_id, self.standing.contained.name, self.standing.contained.user_id)
        await self.standing.contained.handle(event, unit)
        operations = list(unit.operations)
        if operations:
            await self.found.database.write(lambda connection: [each(connection) for each in operations])
        for callback in unit.callbacks:
            callback()
        return [str(json.loads(each.content).get("body")) for each in unit.messages]

    async def say(self, text: str, **where: str) -> list[str]:
        """A person says something to the plugin."""
        return await self.hand(self.found.event(text, **where))

    async def raised(self) -> list[str]:
        """What is due is fired, and worked: what is sent."""
        await self.found.host._services.scheduler.run_due()
        return await self.work()

    async def work(self) -> list[str]:
        """The events that were raised are worked."""
        said = []
        while self.found.raised:
            raised = self.found.raised.pop(0)
            event = Event(
                raised.key, raised.room_id, raised.sender, raised.type, raised.content, 1, consumer=raised.consumer
            )
            said += await self.hand(event)
        return said


async def hosted(folder: Path, config: str = CONFIG) -> Away:
    """A host, its database new, and a gateway."""
    (folder / "token").write_text(TOKEN)
    (folder / "secret").write_text(SECRET + "\n")
    found = await house(folder, config, {})
    return await joined(found)


async def joined(found: House) -> Away:
    """A host with those outside, started."""
    host = found.host
    outside = Outside(
        found.config, host.users, host._services, lambda _room: ["@bell:world"], host.switchboard.enabled, found.metrics
    )
    host.join(outside.consumers)
    await host.start()
    standing = host.outside("bell")
    assert standing is not None
    app = web.Application()
    app.add_routes(outside.gateway.routes())
    app.add_subapp("/hooks", found.webhooks.app())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return Away(found, standing, outside.gateway, runner)


async def closed(away: Away) -> None:
    """The host and its gateway stop."""
    await away.gateway.stop()
    await away.runner.cleanup()
    await away.found.host.stop()


@pytest.fixture
async def away(tmp_path: Path) -> AsyncIterator[Away]:
    """A host whose plugin outside is not connected yet."""
    made = await hosted(tmp_path)
    yield made
    await closed(made)
    await made.found.database.stop()


async def post(away: Away, path: str, **body: Any) -> int:
    """A call of a webhook; its status."""
    url = away.url.replace("ws://", "http://").removesuffix("/plugins/v1") + path
    headers = {"Authorization": f"Bearer {SECRET}"}
    async with aiohttp.ClientSession() as client, client.post(url, json=body, headers=headers) as answer:
        return answer.status


# What happens by itself


async def test_schedules_are_installed_and_fire(away: Away) -> None:
    """Rows by the manifest, which come to the plugin's handlers."""
    async with away.served():
        rows = await away.rows()
        assert sorted(rows) == ["handler:morning", "handler:once", "handler:tick"]
        assert rows["handler:tick"].rule.interval == timedelta(hours=2)
        assert rows["handler:morning"].rule.zone == "Europe/Berlin"
        assert await away.raised() == ["once"]
        away.found.host._services.clock.advance(hours=2)  # type: ignore[attr-defined]
        assert "tick" in await away.raised()


async def test_connecting_again_begins_nothing_anew(away: Away) -> None:
    """An interval goes on from where it began, and a moment that has passed does not come back."""
    async with away.served():
        assert await away.raised() == ["once"]
        first = await away.rows()
    away.found.host._services.clock.advance(hours=1)  # type: ignore[attr-defined]
    async with away.served():
        assert await away.rows() == first


async def test_what_is_due_while_it_is_away_catches_up(away: Away) -> None:
    """Nothing piles up: an interval that has passed many times is one firing."""
    async with away.served():
        assert await away.raised() == ["once"]
    away.found.host._services.clock.advance(hours=23)  # type: ignore[attr-defined]
    assert await away.raised() == []
    wake = away.found.host._services.scheduler._wake
    wake.clear()
    async with away.served():
        assert wake.is_set()
        assert sorted(await away.raised()) == ["morning", "tick"]


async def test_another_manifest_replaces(away: Away) -> None:
    """Schedules, webhooks and commands are those of the plugin that is connected now."""
    async with away.served():
        assert ("bell", "paid") in away.found.webhooks._hooks
    async with away.served(Later):
        rows = await away.rows()
        assert sorted(rows) == ["handler:once", "handler:tick"]
        assert rows["handler:once"].rule.when == FUTURE
        assert cast(Every, rows["handler:tick"].rule).interval == timedelta(hours=3)
        assert list(away.found.webhooks._hooks) == [("bell", "refunded")]
        names = {each["command"] for each in away.found.host.users["bell"].commands.descriptions()}
        assert "gong" in names and "ring" not in names


async def test_webhooks(away: Away) -> None:
    """Called with the secret of Rialto's configuration, worked by the plugin; taken also while it is away."""
    assert await post(away, "/hooks/bell/paid", amount=1) == 401
    async with away.served():
        assert await post(away, "/hooks/bell/paid", amount=5) == 202
        assert await away.work() == ["paid 5"]
    assert await post(away, "/hooks/bell/paid", amount=6) == 202
    event = away.found.raised[0]
    with pytest.raises(Wait):
        await away.hand(Event(event.key, event.room_id, "", event.type, event.content, 1, consumer=event.consumer))
    async with away.served():
        assert await away.work() == ["paid 6"]


async def test_what_it_wants_is_remembered(tmp_path: Path) -> None:
    """After Rialto's restart, before the plugin is back."""
    away = await hosted(tmp_path)
    async with away.served():
        pass
    await closed(away)
    again = await house(tmp_path, CONFIG, {}, away.found.database)
    back = await joined(again)
    assert not back.standing.consumer.connected
    assert ("bell", "paid") in again.webhooks._hooks
    assert "Bell" in [entry.name for entry in again.host.directory.entries()]
    await closed(back)
    await away.found.database.stop()


def manifested(**marks: Any) -> type[Plugin]:
    """A plugin with these members."""
    return type("Odd", (Plugin,), {"name": "bell", "Settings": Settings, **marks})


def hook(name: str, secret: str) -> Any:
    """A handler of a webhook."""

    async def handler(self: Any, ctx: Context, call: WebhookCall) -> None: ...

    return webhook(name, secret=secret)(handler)


def scheduled(mark: Any) -> Any:
    """A handler of a schedule."""

    async def handler(self: Any, ctx: Context) -> None: ...

    return mark(handler)


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (hook("paid", "other"), "needs its secret: the setting 'other' of bell"),
        (hook("Not This", "key"), "a webhook is named in lower-case letters"),
        (scheduled(every(timedelta(milliseconds=1))), "an interval is between 1 second"),
        (scheduled(cron("99 * * * *")), "'99' is no minute"),
        (scheduled(cron("0 * * * *", zone="Nowhere/At")), "no time zone 'Nowhere/At'"),
    ],
)
async def test_what_cannot_be_is_refused(away: Away, handler: Any, words: str) -> None:
    """When it connects, with the reason; and nothing of it is installed."""
    with pytest.raises(ServeError) as caught:
        async with away.served(manifested(odd=handler)):
            pass
    assert words in caught.value.human
    assert await away.rows() == {}
    assert away.found.webhooks._hooks == {}


# Contained


async def test_failing_pauses_it(away: Away) -> None:
    """Failures are counted; then it is paused, operators and people hear so, and it goes on when it is well."""
    clock = [0.0]
    away.standing.contained._clock = lambda: clock[0]
    async with away.served():
        for _ in range(2):
            with pytest.raises(RialtoError):
                await away.say("break")
        assert away.standing.contained.paused
        assert await away.say("ring") == [
            "I have a problem right now and cannot answer. Please try again in a few minutes."
        ]
        assert await away.say("ring") == [], "once in a room"
        assert away.found.metric("rialto_plugin_failures_total", plugin="bell", kind="error") == 2
        assert away.found.metric("rialto_plugin_paused", plugin="bell") == 1
        assert "paused" in (await away.found.say("hub", "plugins", sender="@op:world"))[0]
        clock[0] += 31
        assert await away.say("ring") == ["ring"]
        assert away.found.metric("rialto_plugin_paused", plugin="bell") == 0


async def test_waiting_for_it_is_no_failure(away: Away) -> None:
    """However often an event finds it away."""
    for _ in range(5):
        with pytest.raises(Wait):
            await away.say("ring")
    assert not away.standing.contained.paused


async def test_a_handler_that_hangs(tmp_path: Path) -> None:
    """Its own time limit counts, and the plugin is told to let it be."""
    config = CONFIG.replace("{file: secret}}}", "{file: secret}}, handler_timeout: 0.2}")
    away = await hosted(tmp_path, config)
    async with away.served():
        with pytest.raises(TimeoutError):
            await away.say("hang")
        assert away.found.metric("rialto_plugin_failures_total", plugin="bell", kind="timeout") == 1
    await closed(away)
    await away.found.database.stop()


async def test_floods(away: Away) -> None:
    """Too much in answer to one event, and too much within a minute."""
    async with away.served():
        with pytest.raises(TooManyEffects):
            await away.say("ring 5")
        for number in range(5):
            assert await away.hand(ticked(number)) == ["tick"]
        with pytest.raises(PluginFlood):
            await away.hand(ticked(5))
    assert away.found.metric("rialto_plugin_failures_total", plugin="bell", kind="flood") == 2


def ticked(number: int) -> Event:
    """The schedule has fired."""
    content = {"schedule": "handler:tick", "due": number, "data": {"name": "tick"}}
    return Event(f"~tick{number}", "plugin:bell", "", SCHEDULE_FIRED, content, 1, consumer="bell:@bell:world")


# What operators and people see


async def test_operators_see_and_switch_it(away: Away) -> None:
    """On the hub, like those inside."""
    operator = {"sender": "@op:world"}
    assert "bell (bell, @bell:world): is not connected" in (await away.found.say("hub", "plugins", **operator))[0]
    async with away.served():
        assert "• bell (bell, @bell:world): runs" in (await away.found.say("hub", "plugins", **operator))[0]
        assert await away.found.say("hub", "plugin disable bell here", **operator) == [f"Disabled: bell ({ROOM})."]
        assert await away.say("ring") == []
        assert await away.say("ring", room="!other:world") == ["ring"]
        assert await away.found.say("hub", "plugin enable bell here", **operator) == [f"Enabled: bell ({ROOM})."]
        assert await away.say("ring") == ["ring"]


async def test_people_see_it(away: Away) -> None:
    """It is listed with its summary, and its commands are described for clients as they are inside."""
    bot = away.found.host.users["bell"]
    assert [entry.name for entry in away.found.host.directory.entries()] == ["Rialto"]
    async with away.served():
        (entry,) = away.found.host.directory.entries(without="@rialto:world")
        assert (entry.user_id, entry.name, entry.summary) == ("@bell:world", "Bell", "Rings.")
        setup = Setup("bell", "@bell:world", Settings(key=SecretStr(SECRET)), {})
        inside = BotUser("@bell:world", "Bell")
        inside.consumers.append(PluginConsumer("bell", Bell.create(setup), inside, away.found.host._services))
        inside.rebuild()
        assert bot.commands.descriptions() == inside.commands.descriptions()
        assert away.found.host._appearance("bell").description == "Rings."


async def test_commands_are_published_when_they_are_known(away: Away) -> None:
    """A plugin that has never been here takes nothing back; when it is ready its commands are published."""
    published: list[set[str]] = []

    class Noting(Publisher):
        async def publish(self, bot: BotUser, appearance: Appearance) -> None:
            published.append({appearance.user_id, *(each["command"] for each in bot.commands.descriptions())})

    away.found.host._publisher = Noting(away.found.homeserver, None)  # type: ignore[arg-type]
    away.found.host.publish()
    await until(lambda: len(published) == 1)
    assert "@rialto:world" in published[0]
    async with away.served():
        await until(lambda: len(published) == 2)
    assert {"@bell:world", "ring"} <= published[1]
    assert "break" not in published[1]


async def test_metrics(away: Away) -> None:
    """Connections and refusals are counted."""
    metric = away.found.metric
    assert metric("rialto_plugin_connected", plugin="bell") == 0
    async with away.served():
        assert metric("rialto_plugin_connected", plugin="bell") == 1
        assert metric("rialto_plugin_connections_total", plugin="bell") == 1
    assert metric("rialto_plugin_connected", plugin="bell") == 0
    with pytest.raises(ServeError):
        async with away.served(manifested(scopes=frozenset({"http"}))):
            pass
    assert metric("rialto_plugin_refusals_total", plugin="bell", code="scope_missing") == 1
    async with aiohttp.ClientSession() as client:
        url = away.url.replace("ws://", "http://")
        assert (await client.get(url, headers={"Authorization": "Bearer nobody"})).status == 401
    assert metric("rialto_plugin_refusals_total", plugin="", code="unknown_token") == 1


async def test_secrets_of_files(tmp_path: Path) -> None:
    """Read in Rialto, handed to the plugin; one that cannot be read is said with its place."""
    away = await hosted(tmp_path)
    async with away.served() as server:
        plugin = cast(Any, server.plugin)
        assert server._set_up_with["settings"] == {"key": SECRET}
        assert plugin is not None
    await closed(away)
    await away.found.database.stop()
    with pytest.raises(ConfigError, match=r"settings\.key is to be read from 'gone', which does not exist"):
        await hosted(tmp_path, CONFIG.replace("{file: secret}", "{file: gone}"))


def test_list_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``rialto plugin list``."""
    (tmp_path / "token").write_text(TOKEN)
    path = tmp_path / "config.yaml"
    path.write_text(f"{KEYS}database: {{url: 'sqlite:///{tmp_path}/rialto.db'}}\n{CONFIG}")
    path.chmod(0o600)
    assert main(["plugin", "list", "--config", str(path)]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  bell"))
    assert "outside this process" in line
    assert main(["plugin", "disable", "bell", "--config", str(path)]) == 0
    capsys.readouterr()
    assert main(["plugin", "list", "--json", "--config", str(path)]) == 0
    listed = json.loads(capsys.readouterr().out)
    (bell,) = (each for each in listed["instances"] if each["name"] == "bell")
    assert (bell["outside"], bell["usable"]) == (True, True)
    assert [each["enabled"] for each in bell["switches"]] == [False]
