"""Removes the files of messages that are gone from the homeserver's disk.

Anybody can refer to any file in a message. So a file goes only if who sent the message has uploaded it, and if no
other message that is known here refers to it. This needs the homeserver's admin API (``homeserver.admin_token``).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Protocol

from appservice.administration import NoAdministration
from appservice.clock import Clock
from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.background import Background
from bridge.domain.timers import split_mxc
from bridge.store import timers as store
from bridge.store.timers import FileRemoval

log = logging.getLogger(__name__)

BATCH: Final = 50
FIRST_PAUSE_MS: Final = 10_000
LONGEST_PAUSE_MS: Final = 3_600_000
MOST_ATTEMPTS: Final = 1_000


class Files(Protocol):
    """The homeserver's administrator, as far as files go (:class:`appservice.administration.Administration`)."""

    available: bool

    def media_of(self, user_id: str) -> AsyncIterator[dict[str, Any]]:
        """The files that an account has uploaded: their ``media_id``."""

    async def delete_media(self, server: str, media_id: str) -> bool:
        """Remove a file; False when there is none such."""


class FileRemover:
    """The background work."""

    def __init__(self, files: Files, database: Database, clock: Clock, server_name: str) -> None:
        self._files = files
        self._database = database
        self._clock = clock
        self._server_name = server_name
        self.background = Background("files", clock, self.run_due, self._upcoming)

    async def run_due(self) -> int:
        """Remove what is due, a batch of it; how many were tried."""
        now = self._clock.now_ms()
        found = await self._database.read(lambda connection: store.files_due(connection, now, BATCH))
        for sender in dict.fromkeys(each.sender for each in found):
            await self._of(sender, [each for each in found if each.sender == sender])
        return len(found)

    async def _upcoming(self) -> int | None:
        return await self._database.read(store.next_file)

    async def _of(self, sender: str, removals: Sequence[FileRemoval]) -> None:
        """Remove files of one sender, or find that they are to stay."""
        to_check = []
        for removal in removals:
            # Another server's file: a copy of it here goes when nobody looks at it any more (media_retention).
            theirs = split_mxc(removal.media)[0] == sender.partition(":")[2] == self._server_name
            if theirs and not await self._database.read(lambda it, media=removal.media: store.still_used(it, media)):  # type: ignore[misc]
                to_check.append(removal)
            else:
                await self._done(removal)
        if not to_check:
            return
        try:
            uploaded = {str(raw.get("media_id")) async for raw in self._files.media_of(sender)}
        except (HomeserverError, NoAdministration) as error:
            for removal in to_check:
                await self._failed(removal, error)
            return
        for removal in to_check:
            server, media_id = split_mxc(removal.media)
            try:
                if media_id in uploaded:
                    await self._files.delete_media(server, media_id)
            except (HomeserverError, NoAdministration) as error:
                await self._failed(removal, error)
            else:
                await self._done(removal)

    async def _done(self, removal: FileRemoval) -> None:
        await self._database.write(lambda connection: store.file_gone(connection, removal))

    async def _failed(self, removal: FileRemoval, error: HomeserverError | NoAdministration) -> None:
        if isinstance(error, NoAdministration) or error.temporary:
            await self._later(removal, getattr(error, "retry_after", None))
            return
        if error.status != 404:
            log.warning("a file stays: %s", error, extra={"room_id": removal.room_id})
        await self._done(removal)

    async def _later(self, removal: FileRemoval, retry_after: float | None) -> None:
        if removal.attempts >= MOST_ATTEMPTS:
            await self._done(removal)
            return
        pause = min(FIRST_PAUSE_MS * 2 ** min(removal.attempts, 20), LONGEST_PAUSE_MS)
        due_at = self._clock.now_ms() + max(pause, int((retry_after or 0) * 1000))
        await self._database.write(lambda connection: store.file_later(connection, removal, due_at))
