"""A plugin outside among those of the host: its manifest is remembered, its schedules and webhooks are installed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from appservice.config.models import Bot
from appservice.database import DatabaseError
from appservice.errors import RialtoError
from appservice.unit import UnitOfWork
from bots.framework.containment import Contained
from bots.framework.installing import Installer
from bots.framework.remote.consumer import RemoteConsumer
from bots.framework.remote.manifest import Manifest
from bots.framework.remote.protocol import Fields
from bots.framework.state import Key, Store
from bots.framework.webhooks import Hook

log = logging.getLogger(__name__)

REMEMBERED: Final = "rialto:outside"
"""Whose values are the manifests, by their instances; no instance has such a name."""
RETRY_S: Final = 1.0


class Standing:
    """One instance. :meth:`recall` it when the database is there, :meth:`stop` it before."""

    def __init__(
        self,
        bot: Bot,
        consumer: RemoteConsumer,
        contained: Contained,
        installer: Installer,
        store: Store,
        changed: Callable[[Standing], None],
    ) -> None:
        """
        Args:
            bot: as the configuration has it.
            changed: called when what people see of it may have changed.
        """
        self.bot = bot
        self.consumer = consumer
        self.contained = contained
        self.hooks: list[Hook] = []
        self._installer = installer
        self._store = store
        self._changed = changed
        self._key: Key[Any] = Key(consumer.instance, Any)
        self._ready = asyncio.Event()
        self._installed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._shown: Manifest | None = None

    async def recall(self) -> None:
        """Take up what the plugin said when it was connected last: between Rialto's start and the plugin's webhooks
        are taken, commands are known, and schedules go on.

        Raises:
            DatabaseError: it cannot be read now.
        """
        consumer = self.consumer
        unit = UnitOfWork(f"~outside:{consumer.name}", consumer.name, consumer.user_id)
        stored = await self._store.open(REMEMBERED, unit).plugin.get(self._key)
        if stored is not None:
            try:
                manifest = Manifest.read(Fields(stored, "the manifest"))
                consumer.take(manifest, consumer.own_of(manifest))
                self._take_hooks()
            except RialtoError as error:  # the configuration has changed, or the version
                log.warning("what a plugin outside wanted is not taken: %s", error, extra={"plugin": consumer.instance})
        self._shown = consumer.manifest
        consumer.on_ready = self._is_ready
        self._task = asyncio.create_task(self._keep(), name=f"outside-{consumer.instance}")

    async def stop(self) -> None:
        """Install nothing more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def installed(self) -> None:
        """Wait until everything stands that the plugin wanted when it became ready."""
        await self._installed.wait()

    def _is_ready(self, _consumer: RemoteConsumer) -> None:
        self._installed.clear()
        self._ready.set()
        self._take_hooks()
        if self.consumer.manifest != self._shown:
            self._shown = self.consumer.manifest
            self._changed(self)

    def _take_hooks(self) -> None:
        if self.hooks != list(self.consumer.own.hooks):
            self.hooks = self._installer.hooks(self.consumer.own.hooks, self.hooks)

    async def _keep(self) -> None:
        while True:
            await self._ready.wait()
            self._ready.clear()
            manifest = self.consumer.manifest
            assert manifest is not None

            def remember(unit: UnitOfWork, manifest: Manifest = manifest) -> None:
                self._store.open(REMEMBERED, unit).plugin.set(self._key, manifest.out())

            try:
                await self._installer.schedules(self.consumer, self.consumer.own.schedules, remember)
            except DatabaseError as error:
                log.warning("a plugin's schedules wait for the database: %s", error)
                self._ready.set()
                await asyncio.sleep(RETRY_S)
                continue
            except Exception:  # whatever it is, the next manifest is to be installed
                log.exception("a plugin's schedules are not stored", extra={"plugin": self.consumer.instance})
            if not self._ready.is_set():
                self._installed.set()
