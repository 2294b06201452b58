"""The one HTTP client to the homeserver: the client-server API with the application service's token.

``user_id`` and ``device_id`` masquerade (application service API, "Identity assertion"; device masquerading since
specification 1.17). Requests are tried once: who calls knows whether and when to try again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from appservice import json
from appservice.errors import RialtoError

log = logging.getLogger(__name__)

PROBE_FIRST_S = 0.1
PROBE_MAX_S = 5.0
MAX_RETRY_AFTER_S = 3600.0


class HomeserverError(RialtoError):
    """The homeserver refused a request, or could not be reached.

    Attributes:
        status: the HTTP status; 0 when there was no answer.
        errcode: the Matrix error code; ``UNREACHABLE`` (no connection), ``BROKEN`` (it ended) or ``TIMEOUT`` without an
            answer, ``UNKNOWN`` without a code.
        retry_after: seconds that the homeserver asks to wait, if it said so.
    """

    code = "homeserver_error"

    def __init__(self, status: int, errcode: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"homeserver: {errcode}: {message}" if status else message, status=status, errcode=errcode)
        self.status = status
        self.errcode = errcode
        self.retry_after = retry_after

    @property
    def temporary(self) -> bool:
        """Whether the same request may succeed later: no answer, 429, 5xx, or a token that was not accepted (yet)."""
        return self.status in (0, 401, 408, 429) or self.status >= 500


def path(prefix: str, *segments: str) -> str:
    """Join percent-encoded path segments to an encoded prefix."""
    return "/".join((prefix, *(quote(segment, safe="") for segment in segments)))


class Homeserver:
    """One pooled connection to one homeserver."""

    def __init__(
        self,
        url: str,
        as_token: str,
        *,
        timeout: float = 30,
        connections: int = 100,
        on_change: Callable[[bool], None] | None = None,
    ) -> None:
        """
        Args:
            url: base URL of the client-server API.
            as_token: the application service's token.
            timeout: seconds until a request is given up.
            connections: concurrent connections at most.
            on_change: called with False when the homeserver is lost, with True when it is back.
        """
        self._on_change = on_change
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._connections = connections
        self._headers = {"Authorization": f"Bearer {as_token}"}
        self._json_headers = {**self._headers, "Content-Type": "application/json"}
        self._session: aiohttp.ClientSession | None = None
        self._send_prefixes: dict[tuple[str, str], str] = {}
        self._masquerades: dict[tuple[str, str | None], str] = {}
        self._reachable = asyncio.Event()
        self._reachable.set()
        self._probe: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the connection pool."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
        )

    async def stop(self) -> None:
        """Close the connection pool."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.wait([self._probe])
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The aiohttp session, for clients that speak to the same homeserver."""
        if self._session is None:
            raise RuntimeError("the homeserver client is not started")
        return self._session

    @property
    def reachable(self) -> bool:
        """Whether the last connection to the homeserver came about."""
        return self._reachable.is_set()

    async def wait_reachable(self) -> None:
        """Wait until the homeserver can be reached. One probe serves all who wait."""
        await self._reachable.wait()

    def _lost(self, error: BaseException) -> HomeserverError:
        problem = _unreachable(error)
        # A connection that breaks says little; one that does not come about says that nobody is there.
        if problem.errcode == "UNREACHABLE" and self._reachable.is_set():
            self._reachable.clear()
            if self._on_change is not None:
                self._on_change(False)
            self._probe = asyncio.create_task(self._probe_until_reachable(), name="homeserver-probe")
        return problem

    def seen(self) -> None:
        """The homeserver has shown by itself that it is there: nobody need wait for the next probe."""
        if self._reachable.is_set():
            return
        if self._probe is not None:
            self._probe.cancel()
        log.info("the homeserver can be reached again")
        self._reachable.set()
        if self._on_change is not None:
            self._on_change(True)

    async def _probe_until_reachable(self) -> None:
        delay = PROBE_FIRST_S
        while True:
            # Jitter, so that several services do not knock together.
            await asyncio.sleep(delay * (1 + random.random() / 4))  # noqa: S311
            delay = min(delay * 2, PROBE_MAX_S)
            try:
                async with self.session.get(self.url + "/_matrix/client/versions") as response:
                    await response.read()
            except (aiohttp.ClientError, TimeoutError):
                continue
            self._probe = None
            self.seen()
            return

    async def request(
        self,
        method: str,
        path: str,
        *,
        user_id: str | None = None,
        device_id: str | None = None,
        query: Mapping[str, str] | None = None,
        body: object | None = None,
        data: bytes | None = None,
        content_type: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Make one request and return the parsed JSON answer.

        Args:
            path: percent-encoded, from ``/_matrix`` on: see :func:`path`.
            body: sent as JSON. ``data`` with ``content_type`` is sent as it is.
            timeout: seconds, when it differs from the client's own.

        Raises:
            HomeserverError: any answer but 2xx, and no answer at all.
        """
        url = self.url + path
        params = self._masquerade(user_id, device_id)
        if query:
            extra = urlencode(query)
            params = f"{params}&{extra}" if params else extra
        if params:
            url = f"{url}?{params}"
        headers = self._json_headers
        if data is not None:
            headers = {**self._headers, "Content-Type": content_type or "application/octet-stream"}
        elif body is not None:
            data = json.dumps(body)
        elif method in {"POST", "PUT"}:
            data = b"{}"
        return await self._fetch(method, url, data, headers, timeout)

    async def download(self, path: str, *, user_id: str, limit: int, query: Mapping[str, str] | None = None) -> bytes:
        """Fetch bytes (media) as ``user_id``.

        Raises:
            HomeserverError: also when there are more than ``limit`` bytes (``TOO_LARGE``).
        """
        url = f"{self.url}{path}?{self._masquerade(user_id, None)}"
        if query:
            url = f"{url}&{urlencode(query)}"
        try:
            async with self.session.get(URL(url, encoded=True), headers=self._headers) as response:
                if response.status != 200:
                    raise _error(response.status, await response.read())
                pieces, size = [], 0
                async for piece in response.content.iter_any():
                    pieces.append(piece)
                    size += len(piece)
                    if size > limit:
                        break
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._lost(error) from error
        if size > limit:
            raise HomeserverError(413, "TOO_LARGE", f"more than {limit} bytes")
        return b"".join(pieces)

    async def send_event(
        self,
        user_id: str,
        device_id: str | None,
        room_id: str,
        event_type: str,
        txn_id: str,
        content: Mapping[str, Any] | bytes,
    ) -> str:
        """Send a message event and return its event id.

        The homeserver keeps its record of ``txn_id`` per device, and a cache by path alone: ``txn_id`` must be
        unique across users.

        Args:
            content: the event's content, or the JSON of it.
        """
        prefix = self._send_prefixes.get((room_id, event_type))
        if prefix is None:
            if len(self._send_prefixes) > 20_000:
                self._send_prefixes.clear()
            prefix = self.url + path("/_matrix/client/v3/rooms", room_id, "send", event_type) + "/"
            self._send_prefixes[room_id, event_type] = prefix
        url = f"{prefix}{txn_id}?{self._masquerade(user_id, device_id)}"
        data = content if isinstance(content, bytes) else json.dumps(content)
        return _event_id(await self._fetch("PUT", url, data, self._json_headers, None))

    async def send_state(
        self, user_id: str, room_id: str, event_type: str, state_key: str, content: Mapping[str, Any] | bytes
    ) -> str:
        """Set a state event and return its event id. Setting the same content again changes nothing."""
        url = path("/_matrix/client/v3/rooms", room_id, "state", event_type, state_key)
        data = content if isinstance(content, bytes) else json.dumps(content)
        answer = await self.request("PUT", url, user_id=user_id, data=data, content_type="application/json")
        return _event_id(answer)

    async def redact(
        self,
        user_id: str,
        device_id: str | None,
        room_id: str,
        event_id: str,
        txn_id: str,
        reason: str | None,
    ) -> str:
        """Redact an event and return the redaction's event id."""
        url = path("/_matrix/client/v3/rooms", room_id, "redact", event_id, txn_id)
        body = {"reason": reason} if reason else {}
        return _event_id(await self.request("PUT", url, user_id=user_id, device_id=device_id, body=body))

    async def ping(self, appservice_id: str, transaction_id: str) -> float:
        """Ask the homeserver to ping this service; it then retries what it had queued at once.

        Returns:
            The round trip in milliseconds.
        """
        answer = await self.request(
            "POST",
            path("/_matrix/client/v1/appservice", appservice_id, "ping"),
            body={"transaction_id": transaction_id},
        )
        return float(answer.get("duration_ms", 0))

    def _masquerade(self, user_id: str | None, device_id: str | None) -> str:
        if user_id is None:
            return ""
        params = self._masquerades.get((user_id, device_id))
        if params is None:
            values = {"user_id": user_id}
            if device_id is not None:
                values["device_id"] = device_id
            params = self._masquerades[user_id, device_id] = urlencode(values)
        return params

    async def _fetch(
        self, method: str, url: str, data: bytes | None, headers: Mapping[str, str], timeout: float | None
    ) -> Any:
        options: dict[str, Any] = {}
        if timeout is not None:
            options["timeout"] = aiohttp.ClientTimeout(total=timeout)
        try:
            async with self.session.request(
                method, URL(url, encoded=True), data=data, headers=headers, **options
            ) as response:
                raw = await response.read()
                status, after = response.status, response.headers.get("Retry-After")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._lost(error) from error
        if status // 100 != 2:
            raise _error(status, raw, after)
        try:
            return json.loads(raw)
        except json.JSONError:
            raise HomeserverError(502, "NOT_JSON", "the answer is no JSON") from None


def _event_id(answer: Any) -> str:
    event_id = answer.get("event_id") if isinstance(answer, dict) else None
    if not isinstance(event_id, str):
        raise HomeserverError(502, "NO_EVENT_ID", "the answer holds no event id")
    return event_id


def _unreachable(error: BaseException) -> HomeserverError:
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return HomeserverError(0, "TIMEOUT", "the homeserver did not answer in time")
    if isinstance(error, aiohttp.ClientConnectorError):
        return HomeserverError(0, "UNREACHABLE", f"the homeserver cannot be reached: {type(error).__name__}")
    return HomeserverError(0, "BROKEN", f"the connection to the homeserver broke: {type(error).__name__}")


def _error(status: int, raw: bytes, after_header: str | None = None) -> HomeserverError:
    """``retry_after_ms`` is deprecated for ``Retry-After`` (specification 1.10, "Rate limiting"), but finer: it counts
    where both are there.
    """
    errcode, message, retry_after = "UNKNOWN", f"HTTP {status}", None
    try:
        body = json.loads(raw)
    except json.JSONError:
        body = None
    if isinstance(body, dict):
        errcode = str(body.get("errcode", errcode))
        message = str(body.get("error", message))[:500]
        after = body.get("retry_after_ms")
        if isinstance(after, (int, float)) and after >= 0:
            retry_after = min(after, MAX_RETRY_AFTER_S * 1000) / 1000
    if retry_after is None and after_header is not None and after_header.isdecimal():
        retry_after = min(float(after_header), MAX_RETRY_AFTER_S)
    return HomeserverError(status, errcode, message, retry_after)
