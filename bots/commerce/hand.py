"""What the services of commerce ask of whoever calls them: a handler's context, or a page that somebody has open."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol, TypeVar

from sqlalchemy import Connection

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
