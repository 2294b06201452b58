"""A host of plugins for tests: the real one, on a database and a homeserver in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from appservice.config import Config, load_config
from appservice.events import Event, InternalEvent
from appservice.homeserver import Homeserver
from appservice.media import Media
from appservice.metrics import Metrics
from appservice.sealing import Sealer
from appservice.unit import UnitOfWork
from bots.framework.clock import ManualClock
from bots.framework.host import Host
from bots.framework.i18n import Catalogues
from bots.framework.instances import plan, read_permissions
from bots.framework.people import People
from bots.framework.schedules import Scheduler
from bots.framework.services import Services
from bots.framework.state import Store
from bots.framework.testing.homeserver import WorldHomeserver, WorldRooms
from bots.framework.testing.memory import MemoryDatabase
from bots.framework.webhooks import Webhooks
from bridge.chats import Chats
from bridge.messenger import Messenger

KEYS = """\
homeserver: {server_name: world}
appservice: {as_token: as-token-5d41402abc4b, hs_token: hs-token-7d793037a076}
encryption: {pickle_key: pickle-key-2a79f1e0c3}
"""
ALICE = "@alice:world"
ROOM = "!room:world"
HEAD = "from bots.framework import Context, Dialog, Plugin, Setup, command, cron, dialog, every, message, webhook\n"


def plugin(name: str, body: str, before: str = "") -> str:
    """The source of a plugin with these members."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    return f"{HEAD}{before}\nclass {name.capitalize()}(Plugin):\n{lines}"


@dataclass
class House:
    """A host with what it stands on."""

    config: Config
    database: MemoryDatabase
    homeserver: WorldHomeserver
    metrics: Metrics
    host: Host
    webhooks: Webhooks
    raised: list[InternalEvent] = field(default_factory=list)
    events: int = 0

    def event(self, text: str, *, sender: str = ALICE, room: str = ROOM) -> Event:
        """A message."""
        self.events += 1
        return Event(f"$event{self.events}", room, sender, "m.room.message", {"msgtype": "m.text", "body": text}, 1)

    async def say(self, instance: str, text: str, **where: str) -> list[str]:
        """Hand a message to an instance as the engine does, and commit; what it says."""
        return await self.hand(instance, self.event(text, **where))

    async def hand(self, instance: str, event: Event) -> list[str]:
        """Hand an event to an instance."""
        found = self.host.instance(instance)
        assert found is not None, f"{instance} does not run: {[str(each) for each in self.host.problems]}"
        unit = UnitOfWork(event.event_id, found.contained.name, found.contained.user_id)
        if event.internal or found.contained.wants(event):
            await found.contained.handle(event, unit)
        operations = list(unit.operations)
        if operations:
            await self.database.write(lambda connection: [each(connection) for each in operations])
        for callback in unit.callbacks:
            callback()
        return [str(json.loads(each.content).get("body")) for each in unit.messages]

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


async def house(folder: Path, config: str, plugins: Mapping[str, str], database: MemoryDatabase | None = None) -> House:
    """A host of the plugins in ``plugins`` (file name to source); not started. A ``database`` is one that runs."""
    (folder / "plugins").mkdir(exist_ok=True)
    for name, source in plugins.items():
        (folder / "plugins" / name).write_text(source)
    path = folder / "config.yaml"
    path.write_text(KEYS + config)
    path.chmod(0o600)
    loaded = load_config(path, {})
    if not loaded.plugins.folders:
        loaded = loaded.model_copy(
            update={"plugins": loaded.plugins.model_copy(update={"folders": (str(folder / "plugins"),)})}
        )
    return await hosted(loaded, database)


async def hosted(config: Config, there: MemoryDatabase | None = None) -> House:
    """A host of a configuration; not started."""
    database, homeserver, metrics, clock = there or MemoryDatabase(), WorldHomeserver(), Metrics(), ManualClock()
    if there is None:
        await database.start()
    real = cast(Homeserver, homeserver)
    raised: list[InternalEvent] = []

    async def raise_events(work: Any) -> None:
        raised.extend(await database.write(lambda connection: list(work(connection))))

    users = [f"@{bot.localpart}:world" for bot in config.users]
    scheduler = Scheduler(database, raise_events, Sealer("a key of sixteen", "schedules"), clock, lambda: host.present)
    chats = Chats(real, database, "@_rialto:world", "world")
    services = Services(
        database=database,
        rooms=WorldRooms(homeserver, users),
        media=Media(real),
        homeserver=homeserver,
        sealer=Sealer("a key of sixteen", "dialogs"),
        clock=clock,
        people=People(database, clock, scheduler),
        catalogues=Catalogues(),
        permissions=read_permissions(config),
        scheduler=scheduler,
        store=Store(database, Sealer("a key of sixteen", "state"), clock.now_ms),
        server_name="world",
        chats=chats,
    )
    webhooks = Webhooks(raise_events, clock.now_ms)
    host = Host(
        config,
        plan(config),
        services,
        {"rooms.create": {Chats: chats}, "messenger.manage": {Messenger: _messenger()}},
        metrics=metrics,
        homeserver=real,
        media=Media(real),
        webhooks=webhooks,
        raise_events=raise_events,
    )
    return House(config, database, homeserver, metrics, host, webhooks, raised)


def _messenger() -> SimpleNamespace:
    """No chats, and no invite links."""
    return SimpleNamespace(registry={}, links=SimpleNamespace(codes=SimpleNamespace(find=lambda _text: None)))
