"""The peer: an echo bot on mautrix-python's own ``AppService``, as its documentation would have one written.

``python -m benchmarks.peers.mautrix_echo --homeserver URL --port PORT [--synchronous]``
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path

from mautrix.appservice import AppService
from mautrix.appservice.state_store import FileASStateStore
from mautrix.types import (
    Event,
    EventType,
    Membership,
    MemberStateEventContent,
    MessageEvent,
    MessageType,
    StateEvent,
    UserID,
)


def arguments(description: str | None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--homeserver", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--as-token", required=True)
    parser.add_argument("--hs-token", required=True)
    parser.add_argument("--domain", default="localhost")
    parser.add_argument("--localpart", default="echo")
    parser.add_argument("--id", default="rialto")
    parser.add_argument("--sender", default="_rialto")
    parser.add_argument("--synchronous", action="store_true", help="finish each handler before the next event")
    parser.add_argument("--state", type=Path, required=True, help="file of mautrix's state store")
    return parser.parse_args()


async def running_until_told() -> None:
    """Wait for SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


async def _main(options: argparse.Namespace) -> None:
    logging.basicConfig(level=logging.WARNING)
    service = AppService(
        server=options.homeserver,
        domain=options.domain,
        as_token=options.as_token,
        hs_token=options.hs_token,
        bot_localpart=options.sender,
        id=options.id,
        state_store=FileASStateStore(path=str(options.state), binary=False),
        default_http_retry_count=4,
    )
    service.synchronous_handlers = options.synchronous
    bot = UserID(f"@{options.localpart}:{options.domain}")

    async def invited(event: StateEvent) -> None:
        content = event.content
        if isinstance(content, MemberStateEventContent) and content.membership == Membership.INVITE:
            await service.intent.user(bot).join_room(event.room_id)

    @service.matrix_event_handler
    async def echo(event: Event) -> None:
        if event.sender == bot:
            return
        intent = service.intent.user(bot)
        if isinstance(event, MessageEvent) and event.content.msgtype == MessageType.TEXT:
            await intent.send_text(event.room_id, event.content.body)
        elif isinstance(event, StateEvent) and event.type == EventType.ROOM_MEMBER and event.state_key == bot:
            await invited(event)

    await service.start("127.0.0.1", options.port)
    await service.intent.user(bot).ensure_registered()
    await service.ping_self()
    await running_until_told()
    await service.stop()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_main(arguments(__doc__)))
