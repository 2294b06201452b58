"""The one listener of the bots for the outside: webhooks of other services, and pages. Everything else is 404.

It is meant to stand behind a reverse proxy that ends TLS and that waits for slow clients. What is not asked for by a
path that was mounted does not exist; answers are JSON unless a mounted part says otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from appservice import json
from appservice import log as logs
from appservice.config.models import Web
from appservice.errors import RialtoError

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

IN_FLIGHT: Final = 128
"""Requests at the same time; more are sent away."""
SHUTDOWN_S: Final = 5.0
_REQUEST_ID: Final = web.RequestKey("request_id", str)
_SECURITY: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class WebListenError(RialtoError):
    """The address of ``web.listen`` cannot be used."""

    code = "web_listen_failed"


def json_answer(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer in JSON."""
    return web.Response(
        status=status, body=json.dumps(dict(body)) + b"\n", content_type="application/json", headers=headers
    )


def json_error(status: int, code: str, words: str, *, retry_after: int | None = None) -> web.Response:
    """An error: ``{"error": code, "message": words}``; ``retry_after`` in seconds."""
    headers = None if retry_after is None else {"Retry-After": str(retry_after)}
    return json_answer(status, {"error": code, "message": words}, headers)


class WebServer:
    """Listens on ``web.listen`` and hands requests to the parts that were mounted before its start."""

    def __init__(self, settings: Web) -> None:
        self._settings = settings
        self._mounts: dict[str, web.Application] = {}
        self._runner: web.AppRunner | None = None
        self._in_flight = 0
        self._headers = dict(_SECURITY)
        if settings.public_url.startswith("https://"):
            self._headers["Strict-Transport-Security"] = "max-age=31536000"

    def mount(self, prefix: str, app: web.Application) -> None:
        """Hand requests below ``prefix`` (``/hooks``) to ``app``, whose routes begin after it.

        A header that it sets itself stays as it is.

        Raises:
            ValueError: the prefix is none, or taken.
            RuntimeError: the listener runs already.
        """
        if self._runner is not None:
            raise RuntimeError("mount before the start")
        if not prefix.startswith("/") or prefix.endswith("/") or not prefix.isascii():
            raise ValueError(f"a prefix is like /hooks, got {prefix!r}")
        if any(f"{one}/".startswith(f"{prefix}/") or f"{prefix}/".startswith(f"{one}/") for one in self._mounts):
            raise ValueError(f"{prefix} is taken")
        self._mounts[prefix] = app

    def url(self, path: str) -> str:
        """The address of a path as the outside sees it (``web.public_url``)."""
        return self._settings.public_url + path

    @property
    def port(self) -> int:
        """The port that is listened on. Raises RuntimeError before :meth:`start`."""
        if self._runner is None or not self._runner.addresses:
            raise RuntimeError("the web listener is not started")
        return int(self._runner.addresses[0][1])

    async def start(self) -> None:
        """Listen, if ``web.enabled`` says so.

        Raises:
            WebListenError: the address is taken or not this machine's.
        """
        if not self._settings.enabled:
            return
        app = web.Application(middlewares=[self._around], client_max_size=self._settings.max_body)
        app.on_response_prepare.append(self._prepare)
        for prefix, part in self._mounts.items():
            app.add_subapp(prefix, part)
        runner = web.AppRunner(
            app, access_log=None, handle_signals=False, handler_cancellation=False, shutdown_timeout=SHUTDOWN_S
        )
        await runner.setup()
        host, _, port = self._settings.listen.rpartition(":")
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port), reuse_address=True).start()
        except OSError as error:
            await runner.cleanup()
            why = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else str(error)
            raise WebListenError(f"web.listen: cannot listen on {self._settings.listen}: {why.lower()}") from error
        self._runner = runner

    async def stop(self) -> None:
        """Accept nothing more, and answer what is under way; harmless when not started."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _prepare(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        for name, value in self._headers.items():
            response.headers.setdefault(name, value)
        response.headers["Server"] = "Rialto"
        if (request_id := request.get(_REQUEST_ID)) is not None:
            response.headers["X-Request-Id"] = request_id

    @web.middleware
    async def _around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A request id on every log line, a bound on what is under way, errors as JSON."""
        request[_REQUEST_ID] = request_id = secrets.token_hex(8)
        start = time.perf_counter()
        with logs.bound(request_id=request_id):
            if self._in_flight >= IN_FLIGHT:
                log.debug("too much is under way")
                return json_error(503, "busy", "too many requests are under way", retry_after=1)
            self._in_flight += 1
            try:
                response = await self._answer(request, handler)
            finally:
                self._in_flight -= 1
            taken = time.perf_counter() - start
            log.debug("%s answered %d in %.4f s", request.method, response.status, taken)
            return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPRequestEntityTooLarge:
            return json_error(413, "too_large", "the body is larger than this service takes")
        except web.HTTPMethodNotAllowed as error:
            response = json_error(405, "wrong_method", "this method is not for this path")
            response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
            return response
        except web.HTTPNotFound:
            return json_error(404, "not_found", "there is nothing here")
        except web.HTTPException as error:
            if error.status < 400:  # a redirect that a page raised
                raise
            return json_error(error.status, "refused", error.reason)
        except (ConnectionError, asyncio.IncompleteReadError, web.RequestPayloadError):
            return json_error(400, "broken_off", "the body broke off")
        except Exception:  # a defect of ours, or of a page's: the outside hears no more of it than that
            log.exception("a request failed")
            return json_error(500, "internal", "something went wrong here")
