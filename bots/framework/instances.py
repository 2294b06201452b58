"""From the configuration to what is to run: plugin, settings and scopes of every instance, or why it does not.

Nothing here starts anything: ``rialto check`` and the service ask the same functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from appservice.config import Config, ConfigError, Problem
from appservice.config.models import Bot
from appservice.config.problems import KeyPath, dotted
from bots.framework.commands import CommandTable
from bots.framework.discovery import Discovery, Found, discover
from bots.framework.permissions import Permissions
from bots.framework.problems import PluginProblem, of_exception
from bots.framework.scopes import granted, unknown
from bots.framework.settings import no_settings, read_settings
from bots.framework.table import HandlerTable


@dataclass(frozen=True, slots=True)
class Wanted:
    """An instance that can be made."""

    bot: Bot
    index: int
    user: Bot
    """The entry whose Matrix user it answers as: its own, or the one that it joins."""
    found: Found
    settings: Any
    scopes: frozenset[str]

    @property
    def instance(self) -> str:
        """Its name."""
        return self.bot.instance

    @property
    def path(self) -> KeyPath:
        """Where it stands in the configuration."""
        return ("bots", str(self.index))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to run, and what is wrong."""

    wanted: tuple[Wanted, ...]
    problems: tuple[PluginProblem, ...]
    discovery: Discovery


def plan(config: Config, *, every: bool = False) -> Plan:
    """Find the plugins of a configuration, and check each instance.

    Args:
        every: look at the installed plugins too that the configuration does not name.
    """
    names = None if every else {bot.plugin for bot in config.bots if bot.enabled and not bot.remote_token_file}
    discovery = discover(config.plugins.folders, names)
    problems = list(discovery.problems)
    wanted: list[Wanted] = []
    for index, bot in enumerate(config.bots):
        if not bot.enabled or bot.remote_token_file:
            continue
        found, bad = _wanted(config, discovery, bot, index)
        problems += bad
        if found is not None:
            wanted.append(found)
            problems += found.found.warnings
    kept = list(_without_conflicts(wanted, problems))
    return Plan(tuple(kept), tuple(dict.fromkeys(problems)), discovery)


def read_permissions(config: Config) -> Permissions:
    """Who may do what.

    Raises:
        ConfigError: what stands there cannot be used. Without it nothing starts.
    """
    permissions, problems = read_settings(Permissions, config.permissions, config, ("permissions",))
    if permissions is None:
        raise ConfigError(problems)
    return permissions


def _wanted(config: Config, discovery: Discovery, bot: Bot, index: int) -> tuple[Wanted | None, list[PluginProblem]]:
    path: KeyPath = ("bots", str(index))
    found = discovery.plugins.get(bot.plugin)
    problems: list[PluginProblem] = []
    if found is None:
        reason = discovery.why_not(bot.plugin)
        problems.append(_problem(config, bot, (*path, "plugin"), reason, "plugin_unknown"))
    user = _user_of(config, bot)
    if user is None:
        reason = f"joins {bot.joins!r}, which is not enabled"
        problems.append(_problem(config, bot, (*path, "joins"), reason, "plugin_joins"))
    for number, grant in enumerate(bot.scopes):
        if (why := unknown(grant, pattern=True)) is not None:
            where = (*path, "scopes", str(number))
            problems.append(_problem(config, bot, where, f"is wrong: {why}", "plugin_unknown_scope"))
    if found is None:
        return None, problems
    scopes, lacks = granted(found.plugin.scopes, bot.scopes, trusted=found.trusted)
    if lacks:
        reason = f"lacks {', '.join(lacks)}, which {bot.plugin} needs: add it here, or remove the bot"
        problems.append(_problem(config, bot, (*path, "scopes"), reason, "plugin_scope_not_granted"))
    model = found.plugin.Settings
    if model is None:
        settings, wrong = None, no_settings(bot.settings, config, (*path, "settings"))
    else:
        settings, wrong = read_settings(model, bot.settings, config, (*path, "settings"))
    problems += [_of_config(bot, each, "plugin_settings") for each in wrong]
    if problems or user is None:
        return None, problems
    return Wanted(bot, index, user, found, settings, scopes), []


def _user_of(config: Config, bot: Bot) -> Bot | None:
    if not bot.joins:
        return bot
    return next((other for other in config.users if other.localpart == bot.joins and other.enabled), None)


def _without_conflicts(wanted: Iterable[Wanted], problems: list[PluginProblem]) -> Iterable[Wanted]:
    """Those whose commands do not clash with those of an earlier plugin on the same bot."""
    entries: dict[str, list[Any]] = {}
    for each in wanted:
        there = entries.setdefault(each.user.localpart, [])
        try:
            own = HandlerTable(object.__new__(each.found.plugin), each.instance).commands
            CommandTable([*there, *own])
        except Exception as error:  # noqa: BLE001 - a plugin's class may do anything
            problems.append(of_exception(each.instance, error, each.found.root, "its commands cannot be read"))
            continue
        there += own
        yield each


def _problem(config: Config, bot: Bot, path: KeyPath, reason: str, code: str) -> PluginProblem:
    return _of_config(bot, Problem(config.place_of(path), dotted(path), reason), code)


def _of_config(bot: Bot, problem: Problem, code: str) -> PluginProblem:
    reason = f"{problem.key} {problem.reason}" if problem.key else problem.reason
    return PluginProblem(bot.instance, reason, code, problem.place.source, problem.place.line)


def nearest_instance(name: str, config: Config) -> str | None:
    """The instance whose name a wrong one was probably meant to be."""
    near = get_close_matches(name, [bot.instance for bot in config.bots], 1)
    return near[0] if near else None
