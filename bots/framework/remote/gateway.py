"""The place where plugins outside this process connect: ``/plugins/v1`` on the bots' web listener.

A token says which instance a plugin is. Tokens are kept as digests; whoever shows none that is known hears 401 and
nothing else. TLS is the reverse proxy's.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from hashlib import sha256

from aiohttp import web

from appservice.errors import RialtoError
from appservice.metrics import Metrics
from bots.framework.remote import protocol
from bots.framework.remote.connection import Connection
from bots.framework.remote.consumer import RemoteConsumer

log = logging.getLogger(__name__)

MIN_TOKEN = 32
MAX_HANDSHAKES = 32
"""Connections before their handshake is done."""


class RemoteTokenError(RialtoError):
    """A token that cannot be: too short, or of two instances."""

    code = "config_remote_token"


class RemoteGateway:
    """Takes connections of plugins. ``server.mount("/plugins", gateway.app())``."""

    def __init__(self, *, heartbeat: float = protocol.HEARTBEAT_S, metrics: Metrics | None = None) -> None:
        """
        Args:
            heartbeat: seconds between two pings.
        """
        self._heartbeat = heartbeat
        self._metrics = metrics
        self._plugins: dict[bytes, RemoteConsumer] = {}
        self._connections: set[Connection] = set()
        self._nobody = sha256(b"").digest()
        self._stopping = False
        self.refused = 0
        """Connections without a token that is known."""

    def add(self, consumer: RemoteConsumer, token: str) -> None:
        """Let the plugin of a consumer connect with a token.

        Raises:
            RemoteTokenError: it is too short to be secret, or another instance's.
        """
        if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable():
            raise RemoteTokenError(
                f"the token of {consumer.instance} needs {MIN_TOKEN} characters or more; "
                "make one with: openssl rand -hex 32",
                plugin=consumer.instance,
            )
        digest = sha256(token.encode()).digest()
        if digest in self._plugins:
            raise RemoteTokenError(
                f"{consumer.instance} and {self._plugins[digest].instance} have the same token; each needs its own",
                plugin=consumer.instance,
            )
        self._plugins[digest] = consumer

    def remove(self, consumer: RemoteConsumer) -> None:
        """Its token is not known any more."""
        self._plugins = {digest: each for digest, each in self._plugins.items() if each is not consumer}

    def app(self) -> web.Application:
        """For ``WebServer.mount("/plugins", …)``."""
        app = web.Application()
        app.add_routes([web.get("/v1", self.connect)])
        return app

    def routes(self) -> list[web.RouteDef]:
        """For an application of one's own."""
        return [web.get(protocol.PATH, self.connect)]

    async def stop(self) -> None:
        """End every connection and take none; before the web listener stops."""
        self._stopping = True
        consumers = list(self._plugins.values())
        await asyncio.gather(*(consumer.disconnect() for consumer in consumers))
        await asyncio.gather(
            *(each.close(protocol.Close.GOING_AWAY, "Rialto stops") for each in list(self._connections))
        )

    def _who(self, request: web.Request) -> RemoteConsumer | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        shown = sha256(token.strip().encode(errors="replace")).digest()
        found = None
        for digest, consumer in self._plugins.items():
            # All are compared, each in constant time.
            if hmac.compare_digest(digest, shown):
                found = consumer
        return found if scheme.lower() == "bearer" else None

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """``GET /plugins/v1``, upgraded to a WebSocket."""
        consumer = self._who(request)
        if consumer is None:
            self.refused += 1
            if self._metrics is not None:
                self._metrics.plugin_refusals.labels("", "unknown_token").inc()
            body = {"error": "unknown_token", "message": "this token is of no plugin"}
            return web.json_response(body, status=401, headers={"WWW-Authenticate": "Bearer"})
        waiting = sum(each.manifest is None for each in self._connections)
        if self._stopping or waiting >= MAX_HANDSHAKES:
            body = {"error": "busy", "message": "try again later"}
            return web.json_response(body, status=503, headers={"Retry-After": "5"})
        socket = web.WebSocketResponse(heartbeat=self._heartbeat, max_msg_size=protocol.MAX_FRAME, compress=False)
        if not socket.can_prepare(request).ok:
            body = {"error": "no_websocket", "message": "plugins connect here by a WebSocket"}
            return web.json_response(body, status=426, headers={"Upgrade": "websocket"})
        await socket.prepare(request)
        connection = Connection(socket, consumer.peer())
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
        return socket
