"""HTTP/1.1 by hand, for the fake homeserver: it must cost less than what it measures.

The server hands each request to one function, which answers by calling :meth:`Request.respond`, now or later. The
client keeps one connection to the application service and sends one request at a time, as Synapse's sender does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import orjson

_REASONS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_JSON_HEAD = b"Content-Type: application/json\r\nContent-Length: "


@dataclass(slots=True)
class Request:
    """One request. ``path`` is still percent-encoded; ``token`` is the access token, empty when missing."""

    method: str
    path: str
    query_string: str
    token: str
    body: bytes
    connection: Connection

    @property
    def query(self) -> dict[str, str]:
        """The decoded query parameters."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    def json(self) -> Any:
        """The body as JSON; an empty body is an empty object."""
        return orjson.loads(self.body) if self.body else {}

    def respond(self, status: int, payload: Any, content_type: str | None = None) -> None:
        """Answer with JSON (or with bytes as they are). Does nothing when the peer has gone."""
        body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        self.connection.answer(status, body, content_type)

    def drop(self) -> None:
        """Close the connection instead of answering: the peer cannot know whether the request was worked."""
        self.connection.abort()


@dataclass(slots=True, eq=False)
class Connection(asyncio.Protocol):
    """One connection of a client: requests are answered in the order they came in."""

    handler: Callable[[Request], None]
    open_connections: set[Connection]
    transport: asyncio.Transport | None = None
    _buffer: bytes = b""
    _busy: bool = False
    _closing: bool = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]  # uvloop's transport is not a subclass
        self.open_connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.open_connections.discard(self)

    def abort(self) -> None:
        """Close without flushing."""
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._busy:
            self._next()

    def answer(self, status: int, body: bytes, content_type: str | None) -> None:
        """Write the response of the request at hand, then take the next one."""
        if self.transport is None:
            return
        head = _JSON_HEAD
        if content_type is not None:
            head = f"Content-Type: {content_type}\r\nContent-Length: ".encode()
        self.transport.write(b"%b%b%d\r\n\r\n%b" % (_REASONS[status], head, len(body), body))
        self._busy = False
        if self._closing:
            self.transport.close()
        elif self._buffer:
            self._next()

    def _next(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        length, token, chunked = 0, "", False
        request_line, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        for line in lines:
            name, _, value = line.partition(":")
            name = name.lower()
            if name == "content-length":
                length = int(value)
            elif name == "authorization":
                token = value.strip().removeprefix("Bearer ")
            elif name == "transfer-encoding" and "chunked" in value:
                chunked = True
            elif name == "connection" and "close" in value.lower():
                self._closing = True
        body, rest = self._body(end + 4, length, chunked)
        if body is None:
            return
        self._buffer = rest
        self._busy = True
        method, target, _ = request_line.split(" ", 2)
        path, _, query = target.partition("?")
        self.handler(Request(method, path, query, token, body, self))

    def _body(self, start: int, length: int, chunked: bool) -> tuple[bytes | None, bytes]:
        buffer = self._buffer
        if not chunked:
            stop = start + length
            return (buffer[start:stop], buffer[stop:]) if len(buffer) >= stop else (None, buffer)
        parts: list[bytes] = []
        while (line_end := buffer.find(b"\r\n", start)) >= 0:
            size = int(buffer[start:line_end].split(b";")[0], 16)
            stop = line_end + 2 + size
            if len(buffer) < stop + 2:
                break
            if size == 0:
                return b"".join(parts), buffer[stop + 2 :]
            parts.append(buffer[line_end + 2 : stop])
            start = stop + 2
        return None, buffer


@dataclass(slots=True)
class HttpServer:
    """Listens on 127.0.0.1. Port 0 asks the kernel, and the same port is kept when it opens again."""

    handler: Callable[[Request], None]
    port: int = 0
    connections: set[Connection] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self.handler, self.connections), "127.0.0.1", self.port, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and cut every connection, as a killed server does."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self.connections):
            connection.abort()
        await asyncio.sleep(0)


@dataclass(slots=True)
class HttpClient:
    """One kept-alive connection to 127.0.0.1:port; one request at a time."""

    port: int
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = None

    async def request(
        self, method: str, path: str, body: bytes, token: str | None, seconds: float = 60
    ) -> tuple[int, bytes]:
        """Status and body. Raises ``OSError`` (``TimeoutError`` too) or ``EOFError`` when there is no answer."""
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(method, path, body, token)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _exchange(self, method: str, path: str, body: bytes, token: str | None) -> tuple[int, bytes]:
        if self._reader is None or self._writer is None or self._reader.at_eof():
            self.close()
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
        reader, writer = self._reader, self._writer
        authorization = "" if token is None else f"Authorization: Bearer {token}\r\n"
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{authorization}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding", "") == "chunked":
            payload = await self._chunks(reader)
        else:
            payload = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(status_line.split(" ", 2)[1]), payload

    @staticmethod
    async def _chunks(reader: asyncio.StreamReader) -> bytes:
        parts: list[bytes] = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            parts.append((await reader.readexactly(size + 2))[:-2])
        await reader.readexactly(2)
        return b"".join(parts)
