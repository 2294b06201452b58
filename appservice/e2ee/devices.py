"""Which devices people have: one directory for all bots of the process.

mautrix's device tables carry no account, so bots that fetch on their own disagree about which devices are new. Here one
lock guards every fetch, a change ends the outbound sessions of all bots, and users whose list may be out of date are
remembered durably until they have been fetched again.

A list is kept current by the homeserver only while a bot shares a room with the user: whoever starts to share one is
marked stale, whatever was known before.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mautrix.types import DeviceID, DeviceIdentity, UserID
from mautrix.util.async_db import Database

if TYPE_CHECKING:
    from appservice.e2ee.machine import BotMachine

log = logging.getLogger(__name__)

QUERY_USERS = 100
RETRY_S = 30.0
UNKNOWN_DEVICE_S = 10.0
REMEMBERED = 10_000


class DeviceDirectory:
    """Devices of all users that bots share encrypted rooms with."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.lock = asyncio.Lock()
        self._stale: dict[str, int] = {}
        self._versions: dict[str, int] = {}
        self._failed: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._clock = 0

    async def load(self) -> None:
        """Read which users were marked stale before the last stop."""
        for row in await self._db.fetch("SELECT user_id FROM e2ee_stale_user"):
            self._stale[row["user_id"]] = self._tick()

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    @property
    def stale(self) -> frozenset[str]:
        """Users whose list must be fetched before it is used again."""
        return frozenset(self._stale)

    def versions(self, users: Iterable[str]) -> tuple[int, ...]:
        """Changes whenever the devices of one of ``users`` changed."""
        return tuple(max(self._versions.get(user, 0), self._stale.get(user, 0)) for user in users)

    async def mark_stale(self, users: Iterable[str]) -> None:
        """Fetch these users again before they are used. Users that were never fetched need no mark."""
        named = list(users)
        # Whoever is being fetched for the first time right now may have been answered for before the change.
        marked = named if self.lock.locked() else await self._tracked(named)
        for user in marked:
            q = "INSERT INTO e2ee_stale_user (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING"
            await self._db.execute(q, user)
            self._stale[user] = self._tick()

    async def mark_room_stale(self, room_id: str) -> None:
        """Fetch every member of a room again before it is used: a bot has just come in."""
        q = """
        SELECT user_id FROM mx_user_profile WHERE room_id=$1
        AND user_id IN (SELECT user_id FROM crypto_tracked_user)
        """
        rows = await self._db.fetch(q, room_id)
        await self.mark_stale([row["user_id"] for row in rows])

    async def bring_up_to_date(self, machine: BotMachine, users: Iterable[str]) -> None:
        """Fetch those of ``users`` that are stale or were never fetched.

        Raises:
            MatrixError: the homeserver did not answer.
        """
        wanted = list(users)
        if not await self._outdated(wanted):
            return
        async with self.lock:
            outdated = await self._outdated(wanted)
            for start in range(0, len(outdated), QUERY_USERS):
                await self._fetch(machine, outdated[start : start + QUERY_USERS])

    async def _outdated(self, users: list[str]) -> list[str]:
        now = time.monotonic()
        candidates = [user for user in users if self._failed.get(user, 0.0) <= now]
        tracked = await self._tracked(candidates)
        return [user for user in candidates if user in self._stale or user not in tracked]

    async def _tracked(self, users: list[str]) -> set[str]:
        """Those of ``users`` whose devices were fetched once."""
        tracked: set[str] = set()
        for start in range(0, len(users), 500):
            part = users[start : start + 500]
            query = "SELECT user_id FROM crypto_tracked_user WHERE user_id IN ({})"
            places = ", ".join(f"${number}" for number in range(1, len(part) + 1))
            tracked.update(row["user_id"] for row in await self._db.fetch(query.format(places), *part))
        return tracked

    async def _fetch(self, machine: BotMachine, users: list[str]) -> None:
        marks = {user: self._stale.get(user) for user in users}
        found = await machine.fetch_devices([UserID(user) for user in users])
        now = time.monotonic()
        for user in users:
            if user not in found:  # Asked again later, by whoever wants to write to them then.
                self._failed[user] = now + RETRY_S
                self._stale.setdefault(user, self._tick())
                q = "INSERT INTO e2ee_stale_user (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING"
                await self._db.execute(q, user)
                continue
            self._failed.pop(user, None)
            if self._stale.get(user) == marks[user]:
                self._stale.pop(user, None)
                await self._db.execute("DELETE FROM e2ee_stale_user WHERE user_id=$1", user)
        _trim(self._failed)

    async def find(
        self, machine: BotMachine, user_id: str, *, device_id: str | None = None, key: str | None = None
    ) -> DeviceIdentity | None:
        """A device by id or identity key, asking the homeserver (every ten seconds at most) when it is not known."""
        device = await self._known(machine, user_id, device_id, key)
        if device is not None:
            return device
        async with self.lock:
            device = await self._known(machine, user_id, device_id, key)
            now = time.monotonic()
            if device is not None or now - self._asked.get(user_id, -UNKNOWN_DEVICE_S) < UNKNOWN_DEVICE_S:
                return device
            self._asked[user_id] = now
            _trim(self._asked)
            await self._fetch(machine, [user_id])
        return await self._known(machine, user_id, device_id, key)

    async def _known(
        self, machine: BotMachine, user_id: str, device_id: str | None, key: str | None
    ) -> DeviceIdentity | None:
        for device in (await machine.crypto_store.get_devices(UserID(user_id)) or {}).values():
            if device.deleted:
                continue
            if device_id is not None and device.device_id == DeviceID(device_id):
                return device
            if key is not None and device.identity_key == key:
                return device
        return None

    async def changed(self, user_id: str) -> None:
        """A device of ``user_id`` came or went: no bot uses a session any more that was shared before."""
        self._versions[user_id] = self._tick()
        q = """
        DELETE FROM crypto_megolm_outbound_session
        WHERE room_id IN (SELECT room_id FROM mx_user_profile WHERE user_id=$1)
        """
        await self._db.execute(q, user_id)


def _trim(memory: dict[str, float]) -> None:
    while len(memory) > REMEMBERED:
        del memory[next(iter(memory))]
