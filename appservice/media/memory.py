"""A bound on memory that many share: who wants bytes waits in line until so many are free."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Memory:
    """A semaphore that counts bytes, first come, first served: many small ones never starve a large one."""

    def __init__(self, size: int) -> None:
        """
        Args:
            size: bytes that may be taken at the same time.
        """
        if size < 1:
            raise ValueError(f"a memory holds at least one byte, got {size}")
        self._size = size
        self._free = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def free(self) -> int:
        """Bytes that nobody has taken."""
        return self._free

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    @asynccontextmanager
    async def take(self, wanted: int) -> AsyncIterator[None]:
        """Have ``wanted`` bytes for a while. Who wants more than there are gets all of them, alone.

        Taking again while holding can wait for ever: take once, for all that is needed.
        """
        taken = max(0, min(wanted, self._size))
        await self._acquire(taken)
        try:
            yield
        finally:
            self._release(taken)

    async def _acquire(self, taken: int) -> None:
        if not self._waiting and taken <= self._free:
            self._free -= taken
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (taken, turn)
        self._waiting.append(place)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(taken)  # it was our turn just now: give it to the next
            else:
                self._waiting.remove(place)
                self._wake()
            raise

    def _release(self, taken: int) -> None:
        self._free += taken
        assert self._free <= self._size
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            taken, turn = self._waiting.popleft()
            self._free -= taken
            turn.set_result(None)
