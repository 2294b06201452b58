"""The composition root: puts the service, the messenger and the bots together and runs them."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable

from appservice.config import Config
from appservice.config.models import Bot
from appservice.consumer import Consumer
from appservice.e2ee import BotIdentity
from appservice.errors import RialtoError
from appservice.media import Media
from appservice.service import Service
from bots.echo import Echo
from bots.framework import BotConsumer, Plugin
from bots.hub import Hub, ServiceEntry
from bridge.chats import Chats
from bridge.membership import Membership

log = logging.getLogger(__name__)

SWITCH_INTERVAL_S = 0.001


class UnknownPlugin(RialtoError):
    """The configuration names a plugin that is not installed."""

    code = "config_unknown_plugin"


def build(config: Config) -> tuple[Service, Callable[[], list[Consumer]], Callable[[], list[Consumer]]]:
    """The service, its bots, and the consumers that see every event.

    Raises:
        UnknownPlugin: the configuration names a plugin that is not there.
    """
    server = config.homeserver.server_name
    bots = [bot for bot in config.bots if bot.enabled]
    identities = [BotIdentity(f"@{bot.localpart}:{server}", bot.display_name) for bot in bots]
    service = Service(config, identities)
    chats = Chats(service.homeserver, service.database, service.steward, server)
    media = Media(service.homeserver, config.media.max_bytes, config.media.memory)
    summaries = {"echo": Echo.summary, "hub": Hub.summary}

    def plugin(bot: Bot) -> Plugin:
        if bot.plugin == "echo":
            return Echo()
        if bot.plugin == "hub":
            return Hub(
                chats,
                [
                    ServiceEntry(f"@{other.localpart}:{server}", other.display_name, summaries[other.plugin])
                    for other in bots
                    if other.plugin != "hub"
                ],
            )
        raise UnknownPlugin(f"bots: there is no plugin {bot.plugin!r}; installed are {', '.join(sorted(summaries))}")

    for bot in bots:
        if bot.plugin not in summaries:
            plugin(bot)

    def consumers() -> list[Consumer]:
        return [
            BotConsumer(plugin(bot), identity.user_id, bot.display_name, service.rooms, media)
            for bot, identity in zip(bots, identities, strict=True)
        ]

    def everywhere() -> list[Consumer]:
        users = [identity.user_id for identity in identities]
        return [Membership(service.homeserver, service.rooms, users, server, config.invites.allow_servers)]

    return service, consumers, everywhere


async def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT; the exit code.

    Raises:
        RialtoError: it cannot start, and why.
    """
    # The database's thread gives the interpreter lock away at every statement and asks for it back: with the default
    # of 5 ms a busy event loop would keep it waiting longer than the disk does.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    service, consumers, everywhere = build(config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    starting = asyncio.create_task(service.start(consumers(), everywhere()), name="start")
    stopping = asyncio.create_task(stop.wait(), name="stop-signal")
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            await stopping
    finally:
        for task in (starting, stopping):
            task.cancel()
        await asyncio.wait([starting, stopping])
        # A second signal ends the process at once.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        await service.stop()
    return 0
