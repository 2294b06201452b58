"""Serves a plugin from outside Rialto's process: connects, works what Rialto hands it, connects again."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from pydantic import ValidationError

from appservice.database import DatabaseError
from appservice.errors import RialtoError
from appservice.homeserver import HomeserverError
from appservice.processor import Wait
from bots.framework.bot import BotUser
from bots.framework.consumer import PluginConsumer
from bots.framework.discovery import Found
from bots.framework.http import HttpClient
from bots.framework.i18n import Catalogues
from bots.framework.plugin import Plugin, Setup
from bots.framework.remote import protocol
from bots.framework.remote.link import Link, RemoteRefused, current
from bots.framework.remote.manifest import Manifest
from bots.framework.remote.protocol import Close, LinkLost
from bots.framework.remote.services import Remote
from bots.framework.remote.unit import RemoteUnit
from bots.framework.remote.values import event_in

log = logging.getLogger(__name__)

STEADY_S: Final = 30.0
"""A connection that has held so long was a good one: the next one is tried at once."""
START_S: Final = 60.0
STOP_S: Final = 10.0
_LOCAL: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class ServeError(RialtoError):
    """The plugin cannot be served, and trying again would not help."""

    code = "remote_serve"


class Server:
    """Serves one plugin."""

    def __init__(
        self,
        found: Found,
        url: str,
        token: str,
        *,
        backoff: float = 0.5,
        backoff_max: float = 30.0,
        heartbeat: float = protocol.HEARTBEAT_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        Args:
            url: ``wss://…/plugins/v1``; without TLS to this machine only.
            token: of the instance.
            backoff: seconds before the second attempt at most; doubles with each.
            backoff_max: seconds of a pause at most.

        Raises:
            ServeError: the address is none.
        """
        self.found = found
        self.plugin: Plugin | None = None
        """The plugin, once Rialto has said what it is set up with."""
        self._url = _checked(url)
        self._token = token
        self._backoff = backoff
        self._backoff_max = backoff_max
        self._heartbeat = heartbeat
        self._sleep = sleep
        self._jitter = jitter
        self._manifest = Manifest.of(found.plugin)
        self._set_up_with: Any = None
        self._http: HttpClient | None = None
        self._stopping = asyncio.Event()
        self._session: _Session | None = None
        self.ready = asyncio.Event()
        """Set while Rialto hands events on."""

    async def run(self) -> None:
        """Serve until :meth:`stop`.

        Raises:
            ServeError: Rialto does not take this plugin, and why.
        """
        attempt = 0
        try:
            async with aiohttp.ClientSession(trust_env=False) as client:
                while not self._stopping.is_set():
                    began = time.monotonic()
                    try:
                        await self._connect(client)
                        words = "the connection with Rialto has ended"
                    except ServeError:
                        raise
                    except (aiohttp.ClientError, OSError, TimeoutError, RialtoError) as error:
                        words = _why(error)
                    if self._stopping.is_set():
                        break
                    attempt = 0 if time.monotonic() - began > STEADY_S else attempt + 1
                    # Full jitter: plugins that lost Rialto together do not come back together.
                    limit = min(self._backoff * 2 ** min(attempt, 20), self._backoff_max)
                    pause = limit * self._jitter()
                    log.warning("%s; trying again in %.1f s", words, pause)
                    await self._rest(pause)
        finally:
            await self._put_away()

    def stop(self) -> None:
        """Take nothing more, finish what runs, and end."""
        self._stopping.set()

    async def _rest(self, pause: float) -> None:
        sleeping = asyncio.ensure_future(self._sleep(pause))
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait((sleeping, stopping), return_when=asyncio.FIRST_COMPLETED)
        for task in (sleeping, stopping):
            task.cancel()

    async def _connect(self, client: aiohttp.ClientSession) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            socket = await client.ws_connect(
                self._url,
                headers=headers,
                heartbeat=self._heartbeat,
                max_msg_size=protocol.MAX_ANSWER,
                timeout=aiohttp.ClientWSTimeout(ws_close=5),
            )
        except aiohttp.WSServerHandshakeError as error:
            if error.status in {401, 403}:
                raise ServeError("Rialto does not know this token", status=error.status) from None
            raise
        async with socket:
            session = _Session(self, socket)
            try:
                await session.run(self._stopping)
            finally:
                self.ready.clear()

    async def set_up(self, welcome: Mapping[str, Any]) -> Plugin:
        """The plugin, made and started; the one there is, as long as it is set up with the same.

        Raises:
            ServeError: its settings do not do, or it does not start.
        """
        wanted = {key: welcome[key] for key in ("instance", "user_id", "settings", "scopes")}
        if self.plugin is not None and wanted == self._set_up_with:
            return self.plugin
        await self._put_away()
        services: dict[type, Any] = {}
        if "http" in welcome["scopes"]:
            self._http = HttpClient()
            await self._http.start()
            services[HttpClient] = self._http
        settings = self._settings(welcome["settings"])
        setup = Setup(welcome["instance"], welcome["user_id"], settings, services)
        try:
            async with asyncio.timeout(START_S):
                plugin = self.found.plugin.create(setup)
                await plugin.start()
        except Exception as error:
            log.exception("the plugin does not start")
            raise ServeError(f"{self.found.name} does not start: {type(error).__name__}") from error
        self.plugin, self._set_up_with = plugin, wanted
        return plugin

    def _settings(self, data: Mapping[str, Any]) -> Any:
        model, name = self.found.plugin.Settings, self.found.name
        if model is None:
            if data:
                raise ServeError(f"{name} takes no settings; Rialto's configuration has {', '.join(sorted(data))}")
            return None
        try:
            return model.model_validate(data)
        except ValidationError as error:
            # Where and what kind; never the values, which may be secret.
            found = error.errors(include_input=False, include_url=False)
            wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['type']}" for each in found)
            raise ServeError(f"the settings of {name} in Rialto's configuration do not do: {wrong}") from None

    async def _put_away(self) -> None:
        plugin, self.plugin = self.plugin, None
        if plugin is not None:
            try:
                async with asyncio.timeout(STOP_S):
                    await plugin.stop()
            except Exception:  # it is over anyway
                log.exception("the plugin does not stop")
        if self._http is not None:
            await self._http.stop()
            self._http = None

    @property
    def hello(self) -> dict[str, Any]:
        """The first frame."""
        return {
            "type": "hello",
            "protocols": list(protocol.PROTOCOLS),
            "api": protocol.API,
            "plugin": self._manifest.out(),
        }


class _Session:
    """One connection, from hello to its end."""

    def __init__(self, server: Server, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._server = server
        self._socket = socket
        self._link = Link(socket)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._remote: Remote | None = None
        self._consumer: PluginConsumer | None = None
        self._starting: asyncio.Task[None] | None = None
        self._fatal: ServeError | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until the connection ends, or is to.

        Raises:
            ServeError: Rialto does not take this plugin.
        """
        leaving = asyncio.create_task(self._leave(stopping), name="leave")
        try:
            await self._link.send(self._server.hello)
            async for message in self._socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._frame(protocol.decode(message.data))
                elif message.type is aiohttp.WSMsgType.BINARY:
                    self._link.piece(message.data)
        finally:
            leaving.cancel()
            self._link.lost()
            # What is under way is begun again by Rialto, from its last checkpoint.
            tasks = [*self._tasks.values(), *([self._starting] if self._starting else []), leaving]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._fatal is not None:
            raise self._fatal
        if self._socket.close_code == Close.REPLACED:
            raise ServeError("another process serves this plugin with the same token, and has taken over")

    async def _leave(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        with suppress(LinkLost):
            await self._link.send({"type": "leaving"})
            if self._tasks:
                await asyncio.wait(list(self._tasks.values()), timeout=STOP_S)
        await self._socket.close(code=Close.GOING_AWAY)

    def _frame(self, frame: dict[str, Any]) -> None:
        kind = frame["type"]
        if kind == "event":
            task = asyncio.create_task(self._work(frame), name=f"event-{frame['id']}")
            self._tasks[frame["id"]] = task
            task.add_done_callback(lambda _: self._tasks.pop(frame["id"], None))
        elif kind == "result":
            self._link.result(frame)
        elif kind == "cancel":
            task_or_none = self._tasks.get(frame["event"])
            if task_or_none is not None:
                task_or_none.cancel()
        elif kind == "welcome":
            self._starting = asyncio.create_task(self._start(frame), name="start")
        elif kind == "error":
            log.error("Rialto refuses: %s (%s)", frame.get("human"), frame.get("code"))
            if frame.get("again") is False:
                self._fatal = ServeError(str(frame.get("human")), reason=frame.get("code"))

    async def _start(self, welcome: dict[str, Any]) -> None:
        server = self._server
        try:
            plugin = await server.set_up(welcome)
            catalogues = Catalogues(welcome["language"])
            locales = server.found.locales
            if locales is not None:
                catalogues.add(server.found.domain, locales)
            self._remote = Remote(self._link, welcome, catalogues)
            bot = BotUser(welcome["user_id"], welcome["display_name"])
            domain = server.found.domain if locales is not None else ""
            self._consumer = PluginConsumer(welcome["instance"], plugin, bot, self._remote.services, domain=domain)
            bot.consumers.append(self._consumer)
            bot.rebuild()
        except Exception as error:
            known = error if isinstance(error, RialtoError) else None
            human = known.human if known is not None else f"{type(error).__name__}"
            self._fatal = error if isinstance(error, ServeError) else ServeError(human)
            with suppress(LinkLost):
                await self._link.send({"type": "unready", "human": human[:1_000]})
            await self._socket.close()
            if known is None:
                raise
            return
        with suppress(LinkLost):
            await self._link.send({"type": "ready"})
            server.ready.set()
            log.info("%s is served as %s", server.found.name, welcome["user_id"])

    async def _work(self, frame: dict[str, Any]) -> None:
        assert self._remote is not None and self._consumer is not None
        remote, consumer, number = self._remote, self._consumer, frame["id"]
        current.set(number)
        remote.hear(frame)
        event = event_in(frame["event"], consumer.name)
        unit = RemoteUnit(self._link, frame["unit"], consumer.name, consumer.user_id)
        try:
            await consumer.handle(event, unit)
            await self._link.send({"type": "done", "event": number, "effects": await unit.effects()})
        except LinkLost:
            return
        except Wait as wait:
            pause = int(wait.seconds * 1000)
            with suppress(LinkLost):
                await self._link.send({"type": "failed", "event": number, "error": "Wait", "wait": pause})
        except Exception as error:
            if not isinstance(error, RemoteRefused | DatabaseError):
                log.exception("a handler failed", extra={"event_id": event.event_id})
            later = isinstance(error, DatabaseError) or (isinstance(error, HomeserverError) and error.temporary)
            failed = {"type": "failed", "event": number, "error": type(error).__name__, "later": later}
            with suppress(LinkLost):
                await self._link.send(failed)


def _checked(url: str) -> str:
    """The address, if a token may be sent there."""
    parts = urlsplit(url)
    if parts.scheme not in {"ws", "wss"} or not parts.hostname:
        raise ServeError(f"the address of Rialto is like wss://rialto.example.org{protocol.PATH}, got {url!r}")
    if parts.scheme == "ws" and parts.hostname not in _LOCAL:
        raise ServeError("the token would cross the network readable: use wss://, or ws:// to this machine only")
    return url


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return f"Rialto answers {error.status}"
    return f"Rialto cannot be reached ({type(error).__name__})"
