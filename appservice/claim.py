"""One service for one database: two would use the same ratchets and answer every event twice."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import time
from pathlib import Path

import asyncpg

from appservice.errors import RialtoError

log = logging.getLogger(__name__)

WAIT_S = 15.0
RETRY_S = 0.2
LOCK_KEY = 0x7269616C746F
"""The advisory lock: "rialto". Advisory locks are a database's own."""


class DatabaseInUse(RialtoError):
    """Another service works on this database."""

    code = "database_in_use"


class Claim:
    """Holds a database for this process; the system lets go of it when the process ends, however it ends."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._file: int | None = None
        self._connection: asyncpg.Connection | None = None
        self._watch: asyncio.Task[None] | None = None

    async def take(self, wait: float = WAIT_S) -> None:
        """Take it, waiting a moment for one that is just ending.

        Raises:
            DatabaseInUse: another one holds it for longer.
        """
        deadline = time.monotonic() + wait
        while not await self._try():
            if time.monotonic() > deadline:
                raise DatabaseInUse("another Rialto works on this database; stop it first")
            await asyncio.sleep(RETRY_S)
        if self._connection is not None:
            self._watch = asyncio.create_task(self._keep(), name="database-claim")

    async def release(self) -> None:
        """Let go of it."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _try(self) -> bool:
        if self._url.startswith("sqlite:///"):
            return self._try_file(Path(self._url.removeprefix("sqlite:///") + ".lock"))
        return await self._try_postgres()

    def _try_file(self, path: Path) -> bool:
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._file = file
        return True

    async def _try_postgres(self) -> bool:
        connection = await asyncpg.connect(self._url, timeout=10, server_settings={"application_name": "rialto"})
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
            await connection.close()
            return False
        self._connection = connection
        return True

    async def _keep(self) -> None:
        """Take it anew when its connection is lost: the lock goes with it."""
        while True:
            await asyncio.sleep(1)
            if self._connection is not None and not self._connection.is_closed():
                continue
            try:
                if not await self._try_postgres():
                    log.error("another Rialto has taken this database while the connection was lost; stop one of them")
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.debug("the claim on the database waits: %s", type(error).__name__)
