"""Rialto with a plugin outside: the engine on a real database, the gateway on a real port, both restartable."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from aiohttp import web

from appservice.database import Database
from appservice.homeserver import Homeserver
from appservice.media import Media
from appservice.sealing import Sealer
from bots.framework.bot import BotUser
from bots.framework.clock import SystemClock
from bots.framework.discovery import Found, candidates, load_candidate
from bots.framework.i18n import Catalogues
from bots.framework.people import People
from bots.framework.permissions import Permissions
from bots.framework.remote import Limits, RemoteConsumer, RemoteGateway
from bots.framework.schedules import Scheduler
from bots.framework.services import Services
from bots.framework.state import Store
from tests.store.harness import ALICE, BOT, ROOM, Engine, FakeHomeserver, FakeRooms, config, message, until

TOKEN = "a token of the instance, for tests only"
PICKLE = "a pickle key for tests"
PLUGIN = Path(__file__).with_name("served_plugin.py")
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Files(FakeHomeserver):
    """A homeserver with media, and profiles."""

    media: dict[str, bytes] = field(default_factory=dict)

    async def request(self, method: str, path: str, **options: Any) -> Any:
        if path == "/_matrix/media/v3/upload":
            name = f"file{len(self.media)}"
            self.media[name] = options["data"]
            return {"content_uri": f"mxc://localhost/{name}"}
        if "/profile/" in path:
            return {"displayname": "Alice"}
        if "/typing/" in path or "/receipt/" in path:
            return {}
        return await super().request(method, path, **options)

    async def download(self, path: str, *, user_id: str, limit: int) -> bytes:
        return self.media[path.rpartition("/")[2]]


class Rooms(FakeRooms):
    """Everybody knows Alice."""

    def __init__(self) -> None:
        super().__init__([BOT])
        self.rooms = {ROOM, "!second:localhost", "!third:localhost"}

    def bots_in(self, room_id: str) -> Iterable[str]:
        return self.everywhere if room_id in self.rooms else ()

    async def humans(self, room_id: str) -> Sequence[str]:
        return [ALICE]

    async def members(self, room_id: str) -> Mapping[str, str]:
        return {ALICE: "join", BOT: "join"}

    async def display_name(self, room_id: str, user_id: str) -> str | None:
        return "Alice"

    async def sender_of(self, room_id: str, event_id: str, user_id: str) -> str | None:
        return ALICE


class Rialto:
    """One running Rialto; :meth:`crash` and :meth:`start` again on the same port and database."""

    def __init__(self, database: Database, *, handler_timeout: float = 5, **options: Any) -> None:
        self.database = database
        self.homeserver = Files()
        self.rooms = Rooms()
        self.port = 0
        self.options = options
        self.handler_timeout = handler_timeout
        self.connects = 0
        """How often a plugin was ready."""
        self.numbers = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/plugins/v1"

    async def start(self) -> Rialto:
        """Everything between the fake homeserver and the socket."""
        clock = SystemClock()
        consumers: list[Any] = []

        async def raise_events(work: Any) -> None:
            self.engine.worker.dispatch(await self.engine.inbox.raise_events(work))

        self.scheduler = Scheduler(
            self.database, raise_events, Sealer(PICKLE, "schedules"), clock, lambda: [each.name for each in consumers]
        )
        services = Services(
            database=self.database,
            rooms=self.rooms,
            media=Media(cast(Homeserver, self.homeserver)),
            homeserver=cast(Homeserver, self.homeserver),
            sealer=Sealer(PICKLE, "dialogs"),
            clock=clock,
            people=People(self.database, clock, self.scheduler),
            catalogues=Catalogues(),
            permissions=Permissions(),
            scheduler=self.scheduler,
            store=Store(self.database, Sealer(PICKLE, "state"), clock.now_ms),
            server_name="localhost",
            strict=True,
        )

        def ready(_consumer: RemoteConsumer) -> None:
            self.connects += 1

        self.consumer = RemoteConsumer(
            "served",
            "served",
            BotUser(BOT, "Served"),
            services,
            bots_in=self.rooms.bots_in,
            pause=0.01,
            on_ready=ready,
            **{"limits": Limits(), **self.options},
        )
        consumers.append(self.consumer)
        settings = config(attempts=2, handler_timeout=self.handler_timeout)
        self.engine = Engine(self.database, settings, consumers=consumers, homeserver=self.homeserver, rooms=self.rooms)
        await self.engine.start()
        self.gateway = RemoteGateway(heartbeat=5)
        self.gateway.add(self.consumer, TOKEN)
        app = web.Application()
        app.add_routes(self.gateway.routes())
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self.runner.addresses[0][1]
        await self.scheduler.start()
        return self

    async def stop(self) -> None:
        """In order."""
        await self.gateway.stop()
        await self.runner.cleanup()
        await self.scheduler.stop()
        await self.engine.stop(1)

    async def crash(self) -> None:
        """As near to ``kill -9`` as one process comes."""
        for connection in list(self.gateway._connections):
            transport = connection._socket._req.transport if connection._socket._req is not None else None
            if transport is not None:
                transport.abort()
        await self.scheduler.stop()
        await self.engine.crash()
        await self.runner.cleanup()

    async def says(self, text: str, room: str = ROOM) -> None:
        """Alice writes, and everything that comes of it has come."""
        await self.hears(text, room)
        await self.engine.settled()

    async def hears(self, text: str, room: str = ROOM) -> str:
        """Alice writes; the event's id."""
        self.numbers += 1
        event_id = f"$alice{self.numbers}"
        await self.engine.deliver(message(event_id, room, text))
        return event_id

    def transcript(self, room: str = ROOM) -> list[tuple[str, str]]:
        """What the bot has sent into a room: the type, and what it shows."""
        return [
            (sent.event_type, sent.content.get("body") or sent.content.get("m.relates_to", {}).get("key", ""))
            for sent in self.homeserver.in_room(room)
        ]

    def bodies(self, room: str = ROOM) -> list[str]:
        """The texts alone."""
        return [shown for kind, shown in self.transcript(room) if kind == "m.room.message"]


def served(path: Path = PLUGIN) -> Found:
    """The plugin, loaded as ``rialto plugin serve`` does."""
    return load_candidate(candidates(path)[0])


class Process:
    """``rialto plugin serve`` in a process of its own."""

    def __init__(self, rialto: Rialto, folder: Path) -> None:
        self._rialto = rialto
        self._token = folder / "token"
        self._token.write_text(TOKEN)
        self.log = folder / "serve.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> Process:
        """Returns when the plugin is ready."""
        before = self._rialto.connects
        command = ("-m", "appservice", "plugin", "serve", str(PLUGIN), "--url", self._rialto.url)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                "--token-file",
                str(self._token),
                cwd=REPOSITORY,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            )
        await until(lambda: self._rialto.connects > before or self.ended, "the plugin connects", 30)
        assert not self.ended, self.log.read_text()
        return self

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process is not None and self._process.returncode is not None

    async def kill(self) -> None:
        """``kill -9``."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def terminate(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.terminate()
        return await asyncio.wait_for(self._process.wait(), 20)


Conversation = Callable[[Rialto], Awaitable[None]]
