"""The time, as something that is handed in: the machine's, or one that a test moves."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch of a point in time that knows its zone."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def from_ms(moment: int) -> datetime:
    """The point in time, in UTC, of milliseconds since the epoch."""
    return EPOCH + timedelta(milliseconds=moment)


class Clock(ABC):
    """What time it is, and waiting for a time."""

    @abstractmethod
    def now_ms(self) -> int:
        """Milliseconds since the epoch."""

    @abstractmethod
    async def wait_until(self, moment: int, wake: asyncio.Event | None = None) -> None:
        """Return when it is ``moment`` (ms since the epoch) or ``wake`` is set, whichever comes first."""

    def now(self) -> datetime:
        """The point in time, in UTC."""
        return from_ms(self.now_ms())


class SystemClock(Clock):
    """The machine's clock. A wait is measured on the monotonic one, so a moved clock is noticed after it only."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def wait_until(self, moment: int, wake: asyncio.Event | None = None) -> None:
        seconds = (moment - self.now_ms()) / 1000
        if wake is None:
            await asyncio.sleep(max(seconds, 0))
            return
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await wake.wait()
        except TimeoutError:
            return


class ManualClock(Clock):
    """A clock that stands still until it is moved. Times never go back."""

    def __init__(self, start: datetime | int = 1_767_225_600_000) -> None:
        """
        Args:
            start: a point in time with its zone, or ms since the epoch; 2026-01-01T00:00Z unless told.
        """
        self._now = start if isinstance(start, int) else to_ms(start)
        self._waiting: dict[asyncio.Future[None], int] = {}

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self._now

    def set(self, moment: datetime | int) -> None:
        """Make it ``moment``: everyone who waits for it, or for an earlier one, goes on.

        Raises:
            ValueError: that would be back in time.
        """
        now = moment if isinstance(moment, int) else to_ms(moment)
        if now < self._now:
            raise ValueError("a clock does not go back")
        self._now = now
        for future, due in list(self._waiting.items()):
            if due <= now and not future.done():
                future.set_result(None)

    def advance(self, by: timedelta | None = None, **parts: float) -> None:
        """Let time pass: ``advance(timedelta(…))`` or ``advance(hours=2, minutes=5)``."""
        self.set(self._now + (by or timedelta(**parts)) // timedelta(milliseconds=1))

    @property
    def waiting(self) -> int:
        """How many wait for a time."""
        return len(self._waiting)

    async def wait_until(self, moment: int, wake: asyncio.Event | None = None) -> None:
        if moment <= self._now:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = moment
        woken = asyncio.create_task((wake or asyncio.Event()).wait())
        try:
            await asyncio.wait((future, woken), return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._waiting[future]
            woken.cancel()
