"""The plugin's end of one connection with Rialto: calls and their answers, files, and the errors that answers are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

import aiohttp

from appservice.database import DatabaseError
from appservice.errors import RialtoError
from appservice.homeserver import HomeserverError
from appservice.media import MediaChanged, MediaError, MediaMissing, MediaTooLarge
from bots.framework.remote import protocol
from bots.framework.remote.files import Incoming, Receiving
from bots.framework.remote.protocol import LinkLost

log = logging.getLogger(__name__)

CALLS: Final = 32
"""Calls at the same time; Rialto takes some more."""
FILES: Final = 2**40
"""Bytes of files: Rialto bounds what it sends."""

current: ContextVar[int | None] = ContextVar("rialto_remote_event", default=None)
"""The event that is worked in this task."""


class RemoteRefused(RialtoError):
    """Rialto refuses what the plugin wants. ``reason`` says why."""

    code = "remote_refused"

    def __init__(self, reason: str, human: str) -> None:
        super().__init__(human, reason=reason)
        self.reason = reason


class Link:
    """One connection."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._receiving = Receiving(FILES)
        self._number = 0
        self._slots = asyncio.Semaphore(CALLS)
        self.over = False

    async def send(self, frame: Mapping[str, Any]) -> None:
        """Send a frame.

        Raises:
            LinkLost: the connection has ended.
            RemoteRefused: it is larger than Rialto takes.
        """
        text = protocol.encode(frame)
        if len(text) > protocol.MAX_FRAME // 4 and len(text.encode()) > protocol.MAX_FRAME:
            raise RemoteRefused("too_big", f"a frame has {protocol.MAX_FRAME} bytes at most: do less in one handler")
        await self._put(self._socket.send_str(text))

    async def _put(self, sending: Any) -> None:
        if self.over:
            sending.close()
            raise LinkLost("the connection with Rialto has ended")
        try:
            async with asyncio.timeout(protocol.SEND_S):
                await sending
        except (ConnectionError, RuntimeError, TimeoutError) as error:
            raise LinkLost("the connection with Rialto has ended", cause=type(error).__name__) from None

    async def call(self, op: str, args: Mapping[str, Any], data: bytes | None = None) -> Any:
        """Ask Rialto.

        Args:
            data: the file that goes with it.

        Raises:
            LinkLost: the connection ended before the answer came.
            RemoteRefused, DatabaseError, HomeserverError, MediaError: what the answer says.
        """
        async with self._slots:
            number, answer = self._expect()
            try:
                await self.send({"type": "call", "id": number, "op": op, "args": args, "event": current.get()})
                for at in range(0, len(data or b""), protocol.CHUNK):
                    if answer.done():
                        break  # it was refused
                    piece = protocol.piece(number, (data or b"")[at : at + protocol.CHUNK])
                    await self._put(self._socket.send_bytes(piece))
                return await answer
            finally:
                self._waiting.pop(number, None)

    async def download(self, args: Mapping[str, Any]) -> bytes:
        """A file. Raises as :meth:`call`."""
        async with self._slots:
            number, answer = self._expect()
            try:
                await self.send(
                    {"type": "call", "id": number, "op": "media.download", "args": args, "event": current.get()}
                )
                incoming: Incoming = await answer
                whole = asyncio.ensure_future(incoming.whole())
                lost = self._waiting[number] = asyncio.get_running_loop().create_future()
                try:
                    await asyncio.wait((whole, lost), return_when=asyncio.FIRST_COMPLETED)
                    return whole.result() if whole.done() else await lost
                finally:
                    whole.cancel()
            finally:
                self._waiting.pop(number, None)
                self._receiving.forget(number)

    async def checkpoint(self, effects: Mapping[str, Any]) -> None:
        """Have effects committed; returns when they are.

        Raises:
            LinkLost: they were, or were not.
        """
        number, answer = self._expect()
        try:
            await self.send({"type": "checkpoint", "id": number, "event": current.get(), "effects": effects})
            await answer
        finally:
            self._waiting.pop(number, None)

    def _expect(self) -> tuple[int, asyncio.Future[Any]]:
        self._number += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[self._number] = future
        return self._number, future

    # What comes

    def result(self, frame: Mapping[str, Any]) -> None:
        """The answer to a call."""
        number = frame["id"]
        waiting = self._waiting.get(number)
        if waiting is None or waiting.done():
            return
        if "error" in frame:
            waiting.set_exception(error_of(frame["error"]))
            return
        value = frame.get("value")
        if isinstance(value, dict) and set(value) == {"size"}:
            value = self._receiving.expect(number, value["size"])
        waiting.set_result(value)

    def piece(self, data: bytes) -> None:
        """A piece of a file."""
        self._receiving.take(*protocol.unpiece(data))

    def lost(self) -> None:
        """The connection has ended: nobody waits any more."""
        self.over = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(LinkLost("the connection with Rialto has ended"))
                waiting.exception()  # nobody may be left to hear it


_MEDIA: Final = {kind.code: kind for kind in (MediaError, MediaTooLarge, MediaMissing, MediaChanged)}


def error_of(data: Mapping[str, Any]) -> RialtoError:
    """The error that an answer is."""
    code, human = str(data.get("code")), str(data.get("human"))
    if code == HomeserverError.code:
        return HomeserverError(data["status"], data["errcode"], human, data.get("retry_after"))
    if code == DatabaseError.code:
        return DatabaseError(human)
    if code in _MEDIA:
        return _MEDIA[code](human)
    return RemoteRefused(code, human)
