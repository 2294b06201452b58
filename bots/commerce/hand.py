"""What the services of commerce ask of whoever calls them: a handler's context, or a page that somebody has open."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from appservice.clock import from_ms
from bots.commerce.trade import Trade

T = TypeVar("T")


class Reader(Protocol):
    """Reads the database: :meth:`bots.framework.Context.query`."""

    async def query(self, work: Callable[[Connection], T]) -> T: ...


class Hand(Reader, Protocol):
    """Reads, and writes in the commit of what is at hand: the part of :class:`bots.framework.Context` that services
    use."""

    def now(self) -> datetime: ...

    def now_ms(self) -> int: ...

    def store(self, operation: Callable[[Connection], object]) -> None: ...


class Glance(Reader, Protocol):
    """What a dialog's look at things gets: it reads, and knows the time."""

    def now(self) -> datetime: ...


class Looking:
    """Reads for a dialog, outside of any handler's unit of work."""

    def __init__(self, trade: Trade) -> None:
        self._trade = trade

    async def query(self, work: Callable[[Connection], T]) -> T:
        """Read."""
        return await self._trade.database.read(work)

    def now(self) -> datetime:
        """The time (UTC)."""
        return from_ms(self._trade.clock.now_ms()).astimezone(UTC)
