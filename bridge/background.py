"""What runs by itself: does what is due, then waits until something else is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from appservice.clock import Clock
from appservice.database import INFRASTRUCTURE
from appservice.homeserver import HomeserverError

log = logging.getLogger(__name__)

LONGEST_MS = 60_000
PAUSE_MS = 1_000
AWAY: tuple[type[BaseException], ...] = (HomeserverError, *INFRASTRUCTURE)


async def together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do several things at once, all of them to their end; then raise what the first that failed has raised."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


class Background:
    """One task. :meth:`wake` it when something new may be due."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        work: Callable[[], Awaitable[int]],
        upcoming: Callable[[], Awaitable[int | None]],
    ) -> None:
        """
        Args:
            work: does what is due, a bounded part of it; how much it has done.
            upcoming: when the next is due, in ms since the epoch; None for nothing.
        """
        self._name = name
        self._clock = clock
        self._work = work
        self._upcoming = upcoming
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Look again now."""
        self._wake.set()

    def start(self) -> None:
        """Begin; harmless when it has begun."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """End; harmless when it has not begun. What is half done is done again at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            now = self._clock.now_ms()
            try:
                if await self._work():
                    continue
                following = await self._upcoming()
            except AWAY as error:
                log.warning("%s waits: %s", self._name, error)
                following = now + PAUSE_MS
            except Exception:
                # A task that ends would end the feature until the next start, for whatever one row has in it.
                log.exception("%s failed", self._name)
                following = now + LONGEST_MS
            until = min(now + LONGEST_MS if following is None else following, now + LONGEST_MS)
            # Never at once: what is due and was not done must not be asked for without a pause.
            await self._clock.wait_until(max(until, now + 1), self._wake)
