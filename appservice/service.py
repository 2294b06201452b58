"""The engine in one piece: everything between the homeserver and the consumers, started and stopped in order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from sqlalchemy import Connection

from appservice.catchup import CatchUp
from appservice.claim import Claim
from appservice.config import Config
from appservice.consumer import Consumer, Dispatch
from appservice.database import DatabaseError, open_database
from appservice.e2ee import BotIdentity, Crypto
from appservice.events import InternalEvent
from appservice.health import HealthServer, Readiness
from appservice.homeserver import Homeserver
from appservice.inbox import Inbox
from appservice.mautrix_store import MautrixDatabase
from appservice.metrics import Metrics
from appservice.migrate import upgrade_apart
from appservice.outbox import Outbox
from appservice.rooms import Rooms
from appservice.sealing import Sealer
from appservice.transactions import Listener
from appservice.worker import Worker
from appservice.writer import Job, Writer

log = logging.getLogger(__name__)


class Service:
    """One running Rialto. ``start`` it once, ``stop`` it once."""

    def __init__(self, config: Config, identities: Iterable[BotIdentity]) -> None:
        """
        Args:
            identities: the bots, each of which becomes a user with a device.
        """
        self.config = config
        self.identities = list(identities)
        server = config.homeserver.server_name
        self.steward = f"@{config.appservice.sender_localpart}:{server}"
        self.metrics = Metrics()
        self.database = open_database(config.database.url, pool_size=config.database.pool_size)
        self.claim = Claim(config.database.url)
        self.data = MautrixDatabase(config.database.url)
        self.homeserver = Homeserver(
            config.homeserver.url,
            config.appservice.as_token.get_secret_value(),
            timeout=config.homeserver.timeout,
            connections=config.homeserver.connections,
            on_change=self._homeserver_changed,
        )
        bots = [identity.user_id for identity in self.identities]
        self.dispatch = Dispatch([*bots, self.steward])
        self.rooms = Rooms(self.data.state_store, self.homeserver, bots, self.steward)
        self.writer = Writer(self.database, self.metrics)
        sealer = Sealer(config.encryption.pickle_key.get_secret_value(), "inbox")
        self.inbox = Inbox(self.database, self.writer, config.engine.shards, sealer)
        self.crypto = Crypto(
            config,
            self.data,
            self.homeserver,
            self.rooms,
            self._session_arrived,
            self.metrics,
            on_change=self._homeserver_changed,
        )
        self.outbox = Outbox(config, self.database, self.writer, self.homeserver, self.rooms, self.crypto, self.metrics)
        self.worker = Worker(
            config, self.inbox, self.outbox, self.writer, self.rooms, self.crypto, self.dispatch, self.metrics
        )
        self.listener = Listener(config, self.inbox, self.worker, self, self.metrics)
        self.catch_up = CatchUp(
            self.homeserver,
            self.database,
            self.listener,
            config.appservice.id,
            self.steward,
            bots,
            self.crypto.position,
        )
        self.health = HealthServer(config.metrics.listen, self.metrics, self.readiness)
        self._problems: dict[str, str] = {"service": "starting"}
        self._tasks: list[asyncio.Task[None]] = []

    def has_user(self, user_id: str) -> bool:
        """Whether a user of our namespaces exists."""
        return user_id in self.dispatch.service_users

    def homeserver_seen(self) -> None:
        """The homeserver has called, so it is there."""
        self.homeserver.seen()
        self.crypto.homeserver_seen()

    async def raise_events(self, work: Callable[[Connection], Iterable[InternalEvent]]) -> None:
        """Run ``work`` and have the internal events answered that it returns, all in one commit.

        Raises:
            DatabaseError: nothing was kept, or the outcome is unknown.
        """
        try:
            self.worker.dispatch(await self.inbox.raise_events(work))
        except (DatabaseError, asyncio.CancelledError):  # the commit of who is cut off goes on
            self._tasks.append(asyncio.create_task(self._reconcile_later(), name="reconcile"))
            raise

    async def _reconcile_later(self) -> None:
        """What was stored after all must not wait for the next start."""
        while True:
            await asyncio.sleep(1)
            try:
                # A commit may come true after its answer was given up; behind another one it has, or never will.
                await self.writer.submit(Job())
                await self.worker.reconcile()
            except DatabaseError:
                continue
            return

    def readiness(self) -> Readiness:
        """Whether work is done, and what is in the way."""
        problems = dict(self._problems)
        if not self.homeserver.reachable:
            problems["homeserver"] = "cannot be reached"
        problems.update({f"encryption {bot}": words for bot, words in self.crypto.healthy().items()})
        return Readiness(not problems, problems)

    async def start(
        self,
        consumers: Iterable[Consumer],
        everywhere: Iterable[Consumer] = (),
        *,
        prepare: Callable[[], Awaitable[None]] | None = None,
        complete: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Open everything, take up what the last run left, and ask the homeserver for what it has queued.

        Args:
            consumers: of the identities; looked at after ``prepare``.
            everywhere: consumers that see every event.
            prepare: runs when the database is there, before any event.
            complete: opens what else must be there before anybody is told that the service is ready.
        """
        begin = time.perf_counter()
        if self.config.metrics.enabled:
            await self.health.start()
        self._secure_files()
        await self.database.start()
        await self.claim.take()
        await upgrade_apart(self.config.database.url, self.database)
        await self.data.start()
        await self.homeserver.start()
        await self.writer.start()
        await self.inbox.start()
        if prepare is not None:
            await prepare()
        for consumer in everywhere:
            self.dispatch.add_everywhere(consumer)
        for consumer in consumers:
            self.dispatch.add_bot(consumer)
        await self.crypto.start(self.identities)
        await self.rooms.start()
        await self.outbox.start()
        await self.worker.start()
        self.catch_up.ask()
        await self.listener.start()
        for work in (self.catch_up.run(), self.catch_up.watch(), self.catch_up.keep_checkpoints()):
            self._tasks.append(asyncio.create_task(work, name="catch-up"))
        if complete is not None:
            await complete()
        self._problems.clear()
        log.info(
            "ready in %.2f s: %d bots, %d rooms", time.perf_counter() - begin, len(self.identities), self.rooms.known
        )

    def _secure_files(self) -> None:
        """Nobody but the owner reads the database."""
        url = self.config.database.url
        if url.startswith("sqlite:///"):
            file = Path(url.removeprefix("sqlite:///"))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)

    def _homeserver_changed(self, reachable: bool) -> None:
        """The homeserver was lost, or is back: what it had stored when it went must not lie there."""
        if not self._tasks:
            return  # not started yet
        if reachable:
            self.catch_up.ask()
        else:
            self.catch_up.lost()

    def _session_arrived(self, user_id: str, room_id: str, session_id: str) -> None:
        self.worker.session_arrived(user_id, room_id, session_id)

    async def stop(self, between: Callable[[], Awaitable[None]] | None = None) -> None:
        """Accept nothing more, finish what runs within the grace period, flush, close.

        Args:
            between: runs when no handler runs any more, and the database is still there.
        """
        self._problems["service"] = "stopping"
        grace = self.config.engine.grace
        deadline = time.monotonic() + grace
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.listener.stop()
        await self.worker.stop(max(deadline - time.monotonic(), 1))
        if between is not None:
            await between()
        await self.outbox.stop(max(deadline - time.monotonic(), 0.5))
        await self.crypto.stop()
        await self.writer.stop(max(deadline - time.monotonic(), 2))
        await self.homeserver.stop()
        await self.data.stop()
        await self.database.stop()
        await self.claim.release()
        await self.health.stop()
        log.info("stopped")
