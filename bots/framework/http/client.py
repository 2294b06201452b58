"""The HTTP client that plugins use."""

from __future__ import annotations

import asyncio
import json as json_module
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from bots.framework.http.errors import (
    HttpError,
    HttpRefused,
    HttpTimedOut,
    HttpTooLarge,
    HttpUnexpected,
    HttpUnreachable,
    UnsafeUrl,
)
from bots.framework.http.guard import AddressPolicy, Lookup, SystemLookup, guarded_connector

log = logging.getLogger(__name__)

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})  # RFC 9110, section 9.2.2
RETRIED: Final = frozenset({429, 500, 502, 503, 504})
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS: Final = 5
CHUNK: Final = 65_536
GUARDED_CONNECTIONS: Final = 20
# What may go along to another origin than the one that it was meant for.
_HARMLESS: Final = frozenset({"accept", "accept-language", "user-agent"})


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole answer. ``url`` is where it came from after redirects."""

    status: int
    url: URL
    headers: CIMultiDictProxy[str]
    body: bytes
    content_type: str
    charset: str | None = None

    def text(self) -> str:
        """The body as text, by its own charset or UTF-8; what cannot be read is replaced."""
        try:
            return self.body.decode(self.charset or "utf-8", "replace")
        except LookupError:
            raise HttpUnexpected(reason="text") from None

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            HttpUnexpected: it is none.
        """
        try:
            return json_module.loads(self.body)
        except (ValueError, RecursionError):
            raise HttpUnexpected(reason="json", status=self.status) from None


@dataclass(frozen=True, slots=True)
class _Request:
    """What is to be sent, and how much is to be read."""

    method: str
    url: URL
    headers: Mapping[str, str]
    data: bytes | None
    max_bytes: int
    content_types: Collection[str] = ()
    ports: Collection[int] | None = ()
    guarded: bool = False

    def log_fields(self) -> dict[str, Any]:
        """What logs may hold: of a URL that a person named nothing."""
        return {"method": self.method} if self.guarded else {"method": self.method, "origin": str(self.url.origin())}


class HttpClient:
    """HTTP to other services, shared by all plugins.

    :meth:`request` and its short forms are for services that the plugin or the operator named,
    :meth:`fetch_untrusted` for URLs that people named. Both: bounded in time and size, no cookies, no proxies from the
    environment, certificates checked.
    """

    def __init__(
        self,
        *,
        timeout: float = 30,
        connect_timeout: float = 10,
        max_bytes: int = 8 * 1024 * 1024,
        attempts: int = 3,
        backoff: float = 0.5,
        backoff_max: float = 10,
        connections: int = 100,
        policy: AddressPolicy | None = None,
        lookup: Lookup | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        user_agent: str = "Rialto",
    ) -> None:
        """
        Args:
            timeout: seconds for a request, with all its attempts, pauses and redirects.
            connect_timeout: seconds until a connection stands.
            max_bytes: of an answer, unpacked.
            attempts: of an idempotent request, the first one included.
            backoff: seconds before the second attempt at most; doubles with each.
            backoff_max: seconds of a pause at most, unless the service asks for more.
            connections: at once, to services that plugins named.
            policy: the addresses that URLs of people may lead to.
            lookup: gives the addresses of names for these; that of the machine if None.
            sleep: waits between attempts.
            jitter: a number from 0 to 1.
            now: the time of day, for dates in ``Retry-After``.
            user_agent: what the client calls itself.
        """
        if attempts < 1 or timeout <= 0 or connect_timeout <= 0 or max_bytes < 1:
            raise ValueError("an HTTP client needs timeouts, attempts and a size of more than 0")
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._max_bytes = max_bytes
        self._attempts = attempts
        self._backoff = backoff
        self._backoff_max = backoff_max
        self._connections = connections
        self._policy = policy or AddressPolicy()
        self._lookup = lookup
        self._system_lookup: SystemLookup | None = None
        self._sleep = sleep
        self._jitter = jitter
        self._now = now
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None
        self._guarded: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the connection pools."""
        if self._session is not None:
            return
        lookup = self._lookup
        if lookup is None:
            lookup = self._system_lookup = SystemLookup()
        self._session = self._opened(aiohttp.TCPConnector(limit=self._connections))
        self._guarded = self._opened(guarded_connector(self._policy, lookup, connections=GUARDED_CONNECTIONS))

    def _opened(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._user_agent},
            trust_env=False,
        )

    async def stop(self) -> None:
        """Close the connection pools."""
        sessions, self._session, self._guarded = (self._session, self._guarded), None, None
        for session in sessions:
            if session is not None:
                await session.close()
        if self._system_lookup is not None:
            self._system_lookup.close()
            self._system_lookup = None

    async def request(
        self,
        method: str,
        url: str | URL,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: bytes | None = None,
        idempotency_key: str | None = None,
        expect: Collection[int] | None = None,
        timeout: float | None = None,
        max_bytes: int | None = None,
    ) -> HttpResponse:
        """Ask a service that the plugin named.

        GET, HEAD, OPTIONS, PUT and DELETE, and whatever has an idempotency key, are tried again after 429, 500, 502,
        503 and 504 and when the connection fails, with growing pauses or after the seconds of ``Retry-After``, as long
        as the timeout lasts. Redirects to another origin lose body and headers and lead to public addresses only; none
        leads from https to http.

        Args:
            method: the HTTP method.
            url: an absolute http or https one.
            params: are added to its query.
            headers: of the request.
            json: the body, sent as JSON.
            data: the body, if it is not JSON.
            idempotency_key: sent as ``Idempotency-Key`` (IETF draft of that name), the same one with each attempt.
            expect: statuses that are answers; all under 400 if None.
            timeout: seconds, in place of the client's.
            max_bytes: of the answer, in place of the client's.

        Raises:
            HttpRefused: another status.
            HttpError: no answer, or one that cannot be used; see :mod:`bots.framework.http.errors`.
        """
        method = method.upper()
        parsed = _named(url)
        sent = dict(headers or {})
        if json is not None:
            data = json_module.dumps(json, ensure_ascii=False, allow_nan=False).encode()
            sent.setdefault("Content-Type", "application/json")
        if idempotency_key is not None:
            sent["Idempotency-Key"] = idempotency_key
        request = _Request(
            method,
            parsed.update_query(params) if params else parsed,
            sent,
            data,
            max_bytes or self._max_bytes,
            ports=None,
        )
        again = method in IDEMPOTENT or idempotency_key is not None
        response = await self._timed(request, timeout, self._attempts if again else 1)
        accepted = response.status in expect if expect is not None else response.status < 400
        if not accepted:
            raise HttpRefused(response, self._asked_to_wait(response), **request.log_fields())
        return response

    async def get(self, url: str | URL, **options: Any) -> HttpResponse:
        """:meth:`request` with GET."""
        return await self.request("GET", url, **options)

    async def post(self, url: str | URL, **options: Any) -> HttpResponse:
        """:meth:`request` with POST; it is sent once, unless it has an idempotency key."""
        return await self.request("POST", url, **options)

    async def get_json(self, url: str | URL, **options: Any) -> Any:
        """The JSON that a GET gives."""
        return (await self._json("GET", url, options)).json()

    async def post_json(self, url: str | URL, json: Any, **options: Any) -> Any:
        """The JSON that a POST of JSON gives."""
        return (await self._json("POST", url, {**options, "json": json})).json()

    async def _json(self, method: str, url: str | URL, options: Mapping[str, Any]) -> HttpResponse:
        headers = {"Accept": "application/json", **(options.get("headers") or {})}
        return await self.request(method, url, **{**options, "headers": headers})

    async def fetch_untrusted(
        self,
        url: str,
        *,
        content_types: Collection[str] = (),
        ports: Collection[int] = (),
        timeout: float | None = None,
        max_bytes: int | None = None,
    ) -> HttpResponse:
        """GET a URL that a person named; once, without anything that says who asks.

        Only http and https, default ports or ``ports``, no user names; the name must resolve to public addresses (or
        those of the client's policy), and the connection goes to the very address that was checked. The same holds for
        every redirect.

        Args:
            url: what the person wrote.
            content_types: kinds of content that are wanted, ``text/html`` or ``image/*``; checked before the body is
                read. All if empty.
            ports: allowed besides 80 for http and 443 for https.
            timeout: seconds, in place of the client's.
            max_bytes: of the answer, in place of the client's.

        Raises:
            UnsafeUrl: it is not followed.
            HttpRefused: a status that is not 2xx.
            HttpError: no answer, or one that cannot be used.
        """
        checked = self._policy.check(url, ports=ports)
        headers = {"Accept": ", ".join(content_types)} if content_types else {}
        limit = max_bytes or self._max_bytes
        request = _Request("GET", checked, headers, None, limit, content_types, ports, guarded=True)
        response = await self._timed(request, timeout, 1)
        if not 200 <= response.status < 300:
            raise HttpRefused(response, self._asked_to_wait(response), **request.log_fields())
        return response

    async def _timed(self, request: _Request, timeout: float | None, attempts: int) -> HttpResponse:
        seconds = timeout or self._timeout
        try:
            async with asyncio.timeout(seconds) as limit:
                return await self._tried(request, limit.when() or 0.0, attempts)
        except TimeoutError:
            raise HttpTimedOut(**request.log_fields(), seconds=seconds) from None

    async def _tried(self, request: _Request, deadline: float, attempts: int) -> HttpResponse:
        """Try until there is an answer that is worth keeping, or no time for a further attempt."""
        attempt = 1
        while True:
            asked: float | None = None
            status = 0
            failure: HttpError | None = None
            response: HttpResponse | None = None
            try:
                response = await self._followed(request)
                if response.status not in RETRIED:
                    return response
                status, asked = response.status, self._asked_to_wait(response)
            except HttpUnreachable as error:
                failure = error
            pause = (asked or 0.0) + self._jitter() * min(self._backoff_max, self._backoff * 2 ** (attempt - 1))
            if attempt >= attempts or asyncio.get_running_loop().time() + pause >= deadline:
                if response is not None:
                    return response
                assert failure is not None
                raise failure
            fields = {**request.log_fields(), "status": status, "attempt": attempt, "pause": round(pause, 3)}
            log.info("another service did not answer as it should; it is asked again", extra=fields)
            await self._sleep(pause)
            attempt += 1

    async def _followed(self, request: _Request) -> HttpResponse:
        """The answer at the end of all redirects."""
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._exchanged(request)
            location = response.headers.get("Location")
            if response.status not in REDIRECTS or location is None:
                return response
            request = self._redirected(request, response.status, location)
        raise HttpUnexpected(reason="redirect", **request.log_fields())

    def _redirected(self, request: _Request, status: int, location: str) -> _Request:
        """The next request (RFC 9110, section 15.4)."""
        try:
            target = request.url.join(URL(location))
        except ValueError:
            raise HttpUnexpected(reason="redirect", **request.log_fields()) from None
        if target.scheme not in {"http", "https"} or (request.url.scheme, target.scheme) == ("https", "http"):
            raise UnsafeUrl("scheme", **request.log_fields())
        becomes_get = request.method == "POST" if status in {301, 302} else status == 303 and request.method != "HEAD"
        if becomes_get:
            kept = {name: value for name, value in request.headers.items() if not name.lower().startswith("content-")}
            request = replace(request, method="GET", data=None, headers=kept)
        elsewhere = target.origin() != request.url.origin()
        if elsewhere:
            if request.data is not None:
                raise HttpUnexpected(reason="redirect", **request.log_fields())
            kept = {name: value for name, value in request.headers.items() if name.lower() in _HARMLESS}
            request = replace(request, headers=kept)
        if elsewhere or request.guarded:
            target = self._policy.check(target, ports=request.ports)
        return replace(request, url=target, guarded=request.guarded or elsewhere)

    async def _exchanged(self, request: _Request) -> HttpResponse:
        """One request, one answer."""
        session = self._guarded if request.guarded else self._session
        if session is None:
            raise RuntimeError("the HTTP client is not started")
        try:
            async with session.request(
                request.method, request.url, headers=request.headers, data=request.data, allow_redirects=False
            ) as answer:
                body = b"" if answer.status in REDIRECTS else await _read(request, answer)
                return HttpResponse(
                    answer.status, request.url, answer.headers, body, answer.content_type, answer.charset
                )
        except aiohttp.InvalidURL:
            raise UnsafeUrl("url", **request.log_fields()) from None
        # The messages of these errors can hold the URL; their names are enough.
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
                raise
            raise HttpUnreachable(**request.log_fields(), kind=type(error).__name__) from None

    def _asked_to_wait(self, response: HttpResponse) -> float | None:
        """The seconds of ``Retry-After`` (RFC 9110, section 10.2.3)."""
        value = response.headers.get("Retry-After", "").strip()
        if value.isascii() and value.isdigit() and len(value) < 10:
            return float(value)
        try:
            when = parsedate_to_datetime(value)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return max(0.0, (when - self._now()).total_seconds())


def _named(url: str | URL) -> URL:
    """The URL that a plugin named; its addresses are the plugin's affair."""
    try:
        parsed = URL(url)
    except (ValueError, TypeError):
        raise UnsafeUrl("url") from None
    if parsed.scheme not in {"http", "https"}:
        raise UnsafeUrl("scheme")
    if not parsed.host:
        raise UnsafeUrl("host")
    return parsed


async def _read(request: _Request, answer: aiohttp.ClientResponse) -> bytes:
    """The body, if it is of a wanted kind and not too large."""
    if 200 <= answer.status < 300 and request.content_types and not _is_one_of(answer, request.content_types):
        raise HttpUnexpected(reason="content_type", **request.log_fields())
    if request.method != "HEAD" and (answer.content_length or 0) > request.max_bytes:
        raise HttpTooLarge(**request.log_fields(), limit=request.max_bytes)
    body = bytearray()
    async for chunk in answer.content.iter_chunked(CHUNK):
        body += chunk
        if len(body) > request.max_bytes:
            raise HttpTooLarge(**request.log_fields(), limit=request.max_bytes)
    return bytes(body)


def _is_one_of(answer: aiohttp.ClientResponse, wanted: Collection[str]) -> bool:
    kind = answer.content_type.lower()
    return any(kind == each.lower() or (each.endswith("/*") and kind.startswith(each[:-1].lower())) for each in wanted)
