"""The plugins of a configuration that run outside this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from appservice import log as logs
from appservice.config import Config, ConfigError, Problem
from appservice.config.models import Bot
from appservice.config.problems import KeyPath, dotted
from appservice.config.secrets import read_secret
from appservice.metrics import Metrics
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
        metrics: Metrics,
    ) -> None:
        """
        Args:
            users: the bots by their localpart.
            bots_in: the bots that are joined to a room.
            enabled: whether an instance answers in a room, and people of a server.

        Raises:
            ConfigError: a token does not do, an instance has no bot of its own, or nothing listens.
        """
        self.gateway = RemoteGateway(metrics=metrics)
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
            settings, problems = _settings(config, ("bots", str(index), "settings"), bot.settings)
            if problems:
                raise ConfigError(problems)
            consumer = _consumer(config, bot, settings, users[bot.localpart], services, bots_in, enabled, metrics)
            try:
                self.gateway.add(consumer, token)
            except RemoteTokenError as error:
                raise bad("remote_token_file", error.human) from None
            self.consumers.append(consumer)


def _settings(config: Config, path: KeyPath, data: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """The settings with their secrets read. The plugin's model, which says what is secret, is on the other side: here
    everything written ``{file: PATH}`` is.
    """
    problems: list[Problem] = []

    def read(value: Any, where: KeyPath) -> Any:
        if isinstance(value, list):
            return [read(each, (*where, str(at))) for at, each in enumerate(value)]
        if not isinstance(value, Mapping):
            return value
        if set(value) != {"file"} or not isinstance(value["file"], str):
            return {name: read(each, (*where, str(name))) for name, each in value.items()}
        text, problem = read_secret(config.folder / value["file"])
        if text is None:
            words = f"is to be read from {value['file']!r}, which {problem}"
            problems.append(Problem(config.place_of(where), dotted(where), words))
            return ""
        logs.register_secret(text)
        return text

    return {name: read(each, (*path, name)) for name, each in data.items()}, problems


def _consumer(
    config: Config,
    bot: Bot,
    settings: Mapping[str, Any],
    user: BotUser,
    services: Services,
    bots_in: Callable[[str], Iterable[str]],
    enabled: Callable[[str, str, str], bool],
    metrics: Metrics,
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
        settings=settings,
        enabled=answers,
        metrics=metrics,
    )
