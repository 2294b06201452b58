"""Where plugins are enabled and where not: kept in the database, known in memory.

Another process (``rialto plugin disable``) writes the table; the running service reads it every
:data:`POLL_S` seconds, a query of a small table by its key, so a change counts within that time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from appservice.database import Database, DatabaseError
from appservice.errors import RialtoError
from appservice.unit import UnitOfWork
from bots.store import switches as sql
from bots.store.switches import EVERYWHERE, Switch, room_scope, server_scope

log = logging.getLogger(__name__)

POLL_S: Final = 2.0


def decide(connection: Connection, switch: Switch) -> None:
    """Write a decision. One that only says what holds without it takes an earlier one back instead: a room in which a
    plugin was disabled and enabled again is a room like any other, also for what is decided for servers later.
    """
    stored = {each.scope: each.enabled for each in sql.load(connection, switch.plugin)}
    if _is_default(switch, everywhere=stored.get(EVERYWHERE, True)):
        sql.remove(connection, switch.plugin, switch.scope)
    else:
        sql.put(connection, switch)


def _is_default(switch: Switch, *, everywhere: bool) -> bool:
    return switch.enabled and (switch.scope == EVERYWHERE or everywhere)


class UnknownInstance(RialtoError):
    """There is no plugin instance of this name."""

    code = "plugin_unknown"


@dataclass(frozen=True, slots=True)
class InstanceInfo:
    """What operators see of an instance."""

    name: str
    plugin: str
    user_id: str
    paused: bool
    problem: str = ""
    away: bool = False
    """It runs outside this process, and is not connected now."""


class Switchboard:
    """What operators have decided. The narrowest decision counts: a room, then a server, then everywhere."""

    def __init__(
        self,
        database: Database,
        instances: Callable[[], Sequence[InstanceInfo]],
        now_ms: Callable[[], int],
        *,
        poll: float = POLL_S,
    ) -> None:
        """
        Args:
            instances: those there are.
            poll: seconds between two looks at the database.
        """
        self._database = database
        self._instances = instances
        self._now_ms = now_ms
        self._poll = poll
        self._known: Mapping[str, Mapping[str, bool]] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read what was decided, and follow it."""
        await self.refresh()
        self._task = asyncio.create_task(self._follow(), name="plugin-switches")

    async def stop(self) -> None:
        """Follow it no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def refresh(self) -> None:
        """Read the table now.

        Raises:
            DatabaseError: what was known before stays.
        """
        known: dict[str, dict[str, bool]] = {}
        for switch in await self._database.read(sql.load):
            known.setdefault(switch.plugin, {})[switch.scope] = switch.enabled
        if known != self._known:
            self._known = known
            log.info("where plugins are enabled has changed")

    def enabled(self, instance: str, room_id: str = "", server: str = "") -> bool:
        """Whether an instance answers in a room, and people of a server."""
        known = self._known.get(instance)
        if not known:
            return True
        for scope in (room_scope(room_id), server_scope(server), EVERYWHERE):
            if scope in known:
                return known[scope]
        return True

    def instances(self) -> list[InstanceInfo]:
        """The instances there are."""
        return list(self._instances())

    async def switches(self) -> list[Switch]:
        """Every decision that stands."""
        return await self._database.read(sql.load)

    def set(
        self, unit: UnitOfWork, instance: str, enabled: bool, *, scope: str = EVERYWHERE, by: str, reason: str = ""
    ) -> None:
        """Decide, in the commit of a unit; it counts at once then.

        Args:
            scope: ``room_scope(…)``, ``server_scope(…)`` or everywhere.
            by: the user id of the operator.

        Raises:
            UnknownInstance: there is no such instance.
        """
        if instance not in {each.name for each in self._instances()}:
            raise UnknownInstance(f"there is no plugin {instance!r}", plugin=instance)
        switch = Switch(instance, scope, enabled, reason, by, self._now_ms())
        unit.store(lambda connection: decide(connection, switch))
        unit.after_commit(lambda: self._decided(switch))

    def _decided(self, switch: Switch) -> None:
        known: dict[str, dict[str, bool]] = {name: dict(scopes) for name, scopes in self._known.items()}
        mine = known.setdefault(switch.plugin, {})
        if _is_default(switch, everywhere=mine.get(EVERYWHERE, True)):
            mine.pop(switch.scope, None)
        else:
            mine[switch.scope] = switch.enabled
        self._known = known

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll)
            try:
                await self.refresh()
            except DatabaseError as error:
                log.debug("the switches of plugins are read later: %s", error)
