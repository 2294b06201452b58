"""Errors of the API as problem details (RFC 9457): ``application/problem+json``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from appservice import json
from appservice.database import DatabaseError
from appservice.errors import RialtoError
from appservice.homeserver import HomeserverError
from bridge.errors import Conflict, NotAllowed, NotFound, TooMany

CONTENT_TYPE: Final = "application/problem+json"
TYPE: Final = "urn:rialto:problem:"
"""Begins the ``type`` of a problem; its code follows."""


class Problem(RialtoError):
    """What an endpoint refuses, and with which status.

    Attributes:
        errors: what is wrong with each part of a request: ``{"pointer": "/name", "detail": …}``.
        retry_after: seconds; None when waiting does not help.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(detail, **fields)
        self.status = status
        self.code = code
        self.errors = errors
        self.retry_after = retry_after
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The problem as JSON has it."""
        body: dict[str, Any] = {
            "type": TYPE + self.code,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.human,
            "code": self.code,
        }
        if self.errors:
            body["errors"] = [dict(each) for each in self.errors]
        return body

    def response(self) -> web.Response:
        """The answer."""
        headers = dict(self.headers)
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after)))
        return web.Response(
            status=self.status, body=json.dumps(self.body()) + b"\n", content_type=CONTENT_TYPE, headers=headers
        )


def of(error: RialtoError) -> Problem:
    """The problem that an error of ours is."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, NotFound):
        return Problem(404, error.code, error.human)
    if isinstance(error, NotAllowed):
        return Problem(403, error.code, error.human)
    if isinstance(error, Conflict):
        return Problem(409, error.code, error.human)
    if isinstance(error, TooMany):
        if not error.retry_after:  # waiting does not help
            return Problem(422, error.code, error.human)
        return Problem(429, error.code, error.human, retry_after=error.retry_after)
    if isinstance(error, DatabaseError):
        return Problem(503, error.code, "Nothing was stored; try again.", retry_after=5)
    if isinstance(error, HomeserverError):
        return _homeserver(error)
    if error.code == "bad_cursor":
        return Problem(400, error.code, error.human)
    return Problem(422, error.code, error.human)


def _homeserver(error: HomeserverError) -> Problem:
    if error.temporary:
        return Problem(
            503,
            "homeserver_unavailable",
            "The homeserver does not answer; try again.",
            retry_after=error.retry_after or 5,
        )
    # What it refuses is the state of its rooms and users: the same request will be refused again until that changes.
    return Problem(409, "homeserver_refused", f"The homeserver refuses this ({error.errcode[:60]}).")
