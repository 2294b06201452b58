"""Plugins outside Rialto's process, over a WebSocket: the same handlers and dialogs, Rialto's engine.

In Rialto: :class:`RemoteGateway` takes connections, :class:`RemoteConsumer` is the engine's side of a plugin. On the
other side :class:`Server` (``rialto plugin serve``) runs the plugin. The protocol is in ``docs/remote-plugins.md``.
"""

from bots.framework.remote.consumer import RemoteConsumer
from bots.framework.remote.gateway import RemoteGateway, RemoteTokenError
from bots.framework.remote.manifest import Manifest
from bots.framework.remote.protocol import API, PATH, PROTOCOLS, Limits, Refusal
from bots.framework.remote.session import ServeError, Server

__all__ = [
    "API",
    "PATH",
    "PROTOCOLS",
    "Limits",
    "Manifest",
    "Refusal",
    "RemoteConsumer",
    "RemoteGateway",
    "RemoteTokenError",
    "ServeError",
    "Server",
]
