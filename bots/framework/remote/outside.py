"""The plugins of a configuration that run outside this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from appservice import log as logs
from appservice.config import Config, ConfigError, Problem
from appservice.config.models import Bot
from appservice.config.secrets import read_secret
from bots.framework.bot import BotUser
from bots.framework.remote.consumer import RemoteConsumer
from bots.framework.remote.gateway import RemoteGateway, RemoteTokenError
from bots.framework.services import Services


class Outside:
    """Their consumers, and the gateway that they connect with."""

    def __init__(
        self,
        config: Config,
        users: Mapping[str, BotUser],
        services: Services,
        bots_in: Callable[[str], Iterable[str]],
        enabled: Callable[[str, str, str], bool],
    ) -> None:
        """
        Args:
            users: the bots by their localpart.
            bots_in: the bots that are joined to a room.
            enabled: whether an instance answers in a room, and people of a server.

        Raises:
            ConfigError: a token does not do, an instance has no bot of its own, or nothing listens.
        """
        self.gateway = RemoteGateway()
        self.consumers: list[RemoteConsumer] = []
        for index, bot in enumerate(config.bots):
            if not bot.enabled or not bot.remote_token_file:
                continue

            def bad(key: str, words: str, index: int = index) -> ConfigError:
                path = ("bots", str(index), key)
                return ConfigError([Problem(config.place_of(path), f"bots.{index}.{key}", words)])

            if bot.joins or any(other.joins == bot.localpart for other in config.bots if other.enabled):
                raise bad(
                    "remote_token_file", "a plugin outside the process has a bot of its own, and shares it with none"
                )
            if not config.web.enabled:
                raise bad(
                    "remote_token_file", "plugins outside connect with the listener of web.listen: set web.enabled"
                )
            token, problem = read_secret(config.folder / bot.remote_token_file)
            if token is None:
                raise bad("remote_token_file", f"{bot.remote_token_file!r} {problem}")
            logs.register_secret(token)
            consumer = _consumer(config, bot, users[bot.localpart], services, bots_in, enabled)
            try:
                self.gateway.add(consumer, token)
            except RemoteTokenError as error:
                raise bad("remote_token_file", error.human) from None
            self.consumers.append(consumer)

    @property
    def names(self) -> list[str]:
        """The names of the consumers."""
        return [consumer.name for consumer in self.consumers]


def _consumer(
    config: Config,
    bot: Bot,
    user: BotUser,
    services: Services,
    bots_in: Callable[[str], Iterable[str]],
    enabled: Callable[[str, str, str], bool],
) -> RemoteConsumer:
    rooms, servers = frozenset(bot.rooms), frozenset(bot.servers)

    def answers(room_id: str, server: str) -> bool:
        return (
            (not rooms or room_id in rooms)
            and (not servers or server in servers)
            and enabled(bot.instance, room_id, server)
        )

    return RemoteConsumer(
        bot.instance,
        bot.plugin,
        user,
        services,
        bots_in=bots_in,
        grants=bot.scopes,
        settings=bot.settings,
        enabled=answers,
        effects=config.plugins.effects,
    )
