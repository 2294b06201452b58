"""Files that come in pieces: bounded, one for each call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from bots.framework.remote.protocol import Refusal


@dataclass(slots=True)
class Incoming:
    """A file that is being received."""

    size: int
    data: bytearray = field(default_factory=bytearray)
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    async def whole(self) -> bytes:
        """The file, once it is here."""
        await self.complete.wait()
        return bytes(self.data)


class Receiving:
    """The files of one connection that are being received."""

    def __init__(self, most: int) -> None:
        """
        Args:
            most: bytes of all of them together.
        """
        self._most = most
        self._files: dict[int, Incoming] = {}
        self._reserved = 0

    def expect(self, call: int, size: int) -> Incoming:
        """A file of ``size`` bytes comes for a call.

        Raises:
            Refusal: that would be too much, or one comes for it already.
        """
        if call in self._files:
            raise Refusal("malformed", "every call has a number of its own", fatal=True)
        if self._reserved + size > self._most:
            raise Refusal("too_much", f"files of {self._most} bytes are received at the same time at most", fatal=True)
        incoming = self._files[call] = Incoming(size)
        self._reserved += size
        if size == 0:
            incoming.complete.set()
        return incoming

    def take(self, call: int, data: bytes) -> None:
        """A piece. One of a call that is over is dropped.

        Raises:
            Refusal: it is more than was said.
        """
        incoming = self._files.get(call)
        if incoming is None:
            return
        if len(incoming.data) + len(data) > incoming.size:
            raise Refusal("too_much", "a file is larger than was said", fatal=True)
        incoming.data += data
        if len(incoming.data) == incoming.size:
            incoming.complete.set()

    def forget(self, call: int) -> None:
        """Its call is over."""
        incoming = self._files.pop(call, None)
        if incoming is not None:
            self._reserved -= incoming.size
