"""Reports that people's own clients make to the homeserver ("Report content" in Element): read from its admin API.

The homeserver keeps them; how far we have read stands in our database. A report is taken once: its number is unique.
"""

from __future__ import annotations

import logging
from typing import Any, Final, Protocol

from appservice.administration import NoAdministration
from appservice.clock import Clock
from appservice.database import Database
from bridge.background import Background
from bridge.moderation.service import ModerationService
from bridge.store import policies as store

log = logging.getLogger(__name__)

PAGE: Final = 100
EVENTS: Final = "events"
USERS: Final = "users"
REFUSED_MS: Final = 3_600_000
"""A token that the homeserver does not take is not tried again before."""


class Reports(Protocol):
    """What is needed of :class:`appservice.administration.Administration`."""

    @property
    def available(self) -> bool: ...

    async def event_reports(self, start: int = 0, limit: int = PAGE) -> tuple[list[dict[str, Any]], int | None]: ...

    async def user_reports(self, start: int = 0, limit: int = PAGE) -> tuple[list[dict[str, Any]], int | None]: ...


class HomeserverReports:
    """Looks now and then whether there are new ones."""

    def __init__(
        self, administration: Reports, service: ModerationService, database: Database, clock: Clock, every_ms: int
    ) -> None:
        """
        Args:
            every_ms: how often; 0 for never.
        """
        self._administration = administration
        self._service = service
        self._database = database
        self._clock = clock
        self._every = every_ms
        self._next_at = 0
        self.background = Background("homeserver-reports", clock, self.run_due, self._upcoming)

    async def run_due(self) -> int:
        """Take what is new; how many there were.

        Raises:
            HomeserverError: another time.
        """
        now = self._clock.now_ms()
        if not self._every or not self._administration.available or now < self._next_at:
            return 0
        try:
            taken = await self._take(EVENTS) + await self._take(USERS)
        except NoAdministration as error:
            log.warning("reports of people's clients cannot be read: %s", error)
            self._next_at = now + REFUSED_MS
            return 0
        self._next_at = now + self._every
        return taken

    async def _take(self, name: str) -> int:
        passed, last = await self._database.read(lambda connection: store.mark(connection, name))
        taken, start = 0, passed
        if last:
            # The last one that was taken stands right before, unless reports were deleted at the homeserver: then the
            # place does not hold any more, and the numbers say what is new.
            before, _ = await self._page(name, max(start - 1, 0), 1)
            if not before or _number(before[0]) != last:
                start = 0
        while True:
            found, following = await self._page(name, start, PAGE)
            for raw in found:
                start += 1
                number = _number(raw)
                if number > last:
                    taken += await self._one(name, number, raw)
                    last = number
            here = (start, last)
            await self._database.write(lambda connection, here=here: store.set_mark(connection, name, *here))  # type: ignore[misc]
            if following is None or not found:
                return taken

    async def _page(self, name: str, start: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
        ask = self._administration.event_reports if name == EVENTS else self._administration.user_reports
        return await ask(start, limit)

    async def _one(self, name: str, number: int, raw: dict[str, Any]) -> int:
        def text(key: str) -> str:
            value = raw.get(key)
            return value if isinstance(value, str) else ""

        reporter = text("user_id")
        subject = text("sender") if name == EVENTS else text("target_user_id")
        room_id, event_id = (text("room_id"), text("event_id")) if name == EVENTS else ("", "")
        if not reporter or not (event_id or subject):
            return 0
        new = await self._service.report_of_client(number, reporter, room_id, event_id, subject, text("reason"))
        return int(new)

    async def _upcoming(self) -> int | None:
        return self._next_at if self._every and self._administration.available else None


def _number(raw: dict[str, Any]) -> int:
    value = raw.get("id")
    return value if isinstance(value, int) else 0
