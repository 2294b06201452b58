"""The listener for machines that watch Rialto: ``/metrics``, ``/health/live`` and ``/health/ready``.

It has an address of its own (``metrics.listen``), so that it never stands in the open beside the homeserver's endpoint.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiohttp import web

from appservice.errors import RialtoError
from appservice.metrics import Metrics

__all__ = ["HealthListenError", "HealthServer", "Readiness"]

log = logging.getLogger(__name__)
_NO_STORE: Final = {"Cache-Control": "no-store"}


class HealthListenError(RialtoError):
    """The address of ``metrics.listen`` cannot be used."""

    code = "health_listen_failed"


@dataclass(frozen=True)
class Readiness:
    """Whether Rialto can do its work, and what is in the way: ``problems`` maps a part to words for people."""

    ready: bool
    problems: dict[str, str] = field(default_factory=dict)


def _json(status: int, body: dict[str, Any]) -> web.Response:
    return web.Response(
        status=status, body=orjson.dumps(body) + b"\n", content_type="application/json", headers=_NO_STORE
    )


@web.middleware
async def _plain_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """404 and 405 as JSON, like everything else here."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        response = _json(405, {"error": "only GET and HEAD"})
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        return response
    except web.HTTPNotFound:
        return _json(404, {"error": "no such page", "pages": ["/metrics", "/health/live", "/health/ready"]})


class HealthServer:
    """Serves the metrics and the health of this process while it runs.

    ``listen`` is ``host:port`` (an IPv6 host in brackets; port 0 takes a free one, see :attr:`port`). ``ready`` is
    asked anew for each request and must not block.
    """

    def __init__(self, listen: str, metrics: Metrics, ready: Callable[[], Readiness]) -> None:
        host, _, port = listen.rpartition(":")
        self._host = host.strip("[]")
        self._wanted_port = int(port)
        self._metrics = metrics
        self._ready = ready
        self._started = time.monotonic()
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port that is listened on. Raises RuntimeError before :meth:`start`."""
        if self._runner is None or not self._runner.addresses:
            raise RuntimeError("the health listener is not started")
        return int(self._runner.addresses[0][1])

    async def start(self) -> None:
        """Listen. Raises HealthListenError when the address is taken or not this machine's."""
        app = web.Application(middlewares=[_plain_errors], client_max_size=1024)
        app.router.add_get("/metrics", self._get_metrics)
        app.router.add_get("/health/live", self._get_live)
        app.router.add_get("/health/ready", self._get_ready)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._wanted_port).start()
        except OSError as error:
            await runner.cleanup()
            # asyncio's own words repeat the address
            why = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else str(error)
            raise HealthListenError(
                f"metrics.listen: cannot listen on {self._host}:{self._wanted_port}: {why.lower()}", errno=error.errno
            ) from error
        self._runner = runner

    async def stop(self) -> None:
        """Stop listening; harmless when not started."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _get_metrics(self, _: web.Request) -> web.Response:
        body, content_type = self._metrics.render()
        return web.Response(body=body, headers={"Content-Type": content_type, **_NO_STORE})

    async def _get_live(self, _: web.Request) -> web.Response:
        return _json(200, {"status": "live", "uptime_seconds": round(time.monotonic() - self._started, 3)})

    async def _get_ready(self, _: web.Request) -> web.Response:
        try:
            readiness = self._ready()
        except Exception as error:
            # whatever is broken in a part that is asked, the answer is "not ready", not a page of aiohttp's
            log.exception("The readiness check failed")
            readiness = Readiness(False, {"health": f"the check failed: {type(error).__name__}"})
        if readiness.ready:
            return _json(200, {"status": "ready", "problems": readiness.problems})
        return _json(503, {"status": "not ready", "problems": readiness.problems})
