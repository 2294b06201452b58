"""Requests, their retries, and what is raised."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
from pydantic import BaseModel, ValidationError
from yarl import URL

from bridge.api.models.common import Page

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

PREFIX: Final = "/api/v1"
RETRIED: Final = frozenset({429, 503})
IN_PROGRESS: Final = "request_in_progress"


class ApiError(Exception):
    """The API refused a request, or could not be reached.

    Attributes:
        status: the HTTP status; 0: there was no answer.
        code: stable, for programs: ``no_such_chat``, ``unreachable``.
        detail: a sentence for people.
        errors: what is wrong with each part of the request: ``{"pointer": …, "detail": …}``.
    """

    def __init__(self, status: int, code: str, detail: str, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)


class Transport:
    """One connection pool to one Rialto, with one key."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float,
        attempts: int,
        session: aiohttp.ClientSession | None,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._url = url.rstrip("/") + PREFIX
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._attempts = attempts
        self._own = session is None
        self._session = session
        self._sleep = sleep

    async def start(self) -> None:
        """Open the pool, unless a session was handed in."""
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())

    async def stop(self) -> None:
        """Close the pool, if it is ours."""
        if self._own and self._session is not None:
            await self._session.close()
            self._session = None

    async def one(
        self,
        answer: type[M],
        method: str,
        path: str,
        body: BaseModel | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> M:
        """Make a request and read its answer."""
        raw = await self.request(method, path, body, query=query, key=key)
        try:
            return answer.model_validate_json(raw)
        except ValidationError as error:
            raise ApiError(0, "unexpected", "The answer is not as documented.") from error

    async def none(
        self,
        method: str,
        path: str,
        body: BaseModel | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> None:
        """Make a request whose answer says nothing."""
        await self.request(method, path, body, query=query, key=key)

    async def pages(self, answer: type[Page[T]], path: str, query: Mapping[str, Any]) -> AsyncIterator[T]:
        """The items of all pages of a list."""
        after: str | None = None
        while True:
            page = await self.one(answer, "GET", path, query={**query, "after": after})
            for item in page.items:
                yield item
            after = page.next
            if after is None:
                return

    async def request(
        self,
        method: str,
        path: str,
        body: BaseModel | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        key: str | None = None,
        accept: str = "application/json",
    ) -> bytes:
        """Make a request; again, with the same idempotency key, when it may come through later.

        Args:
            path: below ``/api/v1``: see :func:`path_of`.
            query: what is None is left out.
            key: the idempotency key of a write; a new one unless told. Tell one that you have stored when the request
                must not happen twice even if your own process dies.
            accept: the content type that is wanted.

        Raises:
            ApiError: it was refused, or did not come through.
        """
        if self._session is None:
            raise RuntimeError("the client is not started: use `async with`")
        url = self._url + path
        wanted = {name: _written(value) for name, value in (query or {}).items() if value is not None}
        if wanted:
            url += "?" + urlencode(wanted, quote_via=quote)
        headers = self._headers | {"Accept": accept}
        if method != "GET":
            headers["Idempotency-Key"] = key or secrets.token_urlsafe(24)
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = body.model_dump_json(exclude_unset=True).encode()
        problem = ApiError(0, "unreachable", "Rialto cannot be reached.")
        for attempt in range(1, self._attempts + 1):
            pause = 0.25 * 2.0**attempt
            try:
                async with self._session.request(
                    method, URL(url, encoded=True), data=data, headers=headers, timeout=self._timeout
                ) as response:
                    raw = await response.read()
                    if response.status < 300:
                        return raw
                    problem = _error(response.status, raw)
                    after = response.headers.get("Retry-After", "")
                    pause = float(after) if after.isdecimal() else pause
            except (aiohttp.ClientError, TimeoutError) as error:
                problem = ApiError(0, "unreachable", f"Rialto cannot be reached: {type(error).__name__}.")
            passing = problem.status == 0 or problem.status in RETRIED or problem.code == IN_PROGRESS
            if not passing or attempt == self._attempts:
                break
            await self._sleep(pause)
        raise problem


def path_of(*segments: str) -> str:
    """The path of percent-encoded segments."""
    return "".join("/" + quote(segment, safe="") for segment in segments)


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _error(status: int, raw: bytes) -> ApiError:
    try:
        found = json.loads(raw)
    except ValueError:
        found = {}
    if not isinstance(found, dict):
        found = {}
    errors = found.get("errors")
    code = found.get("code") or found.get("error") or "unknown"
    detail = found.get("detail") or found.get("message") or f"HTTP {status}"
    return ApiError(status, str(code), str(detail), errors if isinstance(errors, list) else ())


async def pause(seconds: float) -> None:
    """Wait, between two attempts."""
    await asyncio.sleep(seconds)
