"""What ``rialto plugin …`` does."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appservice.commands.common import Exit, UsageError, load, print_json, say, warn
from appservice.config import Config
from appservice.database import open_database
from appservice.errors import RialtoError
from bots.framework.instances import Plan, nearest_instance, plan
from bots.framework.problems import PluginError
from bots.framework.switchboard import decide
from bots.framework.tools.check import Report, check, scopes_of, settings_of
from bots.framework.tools.new import create
from bots.store.switches import EVERYWHERE, Switch, room_scope, server_scope
from bots.store.switches import load as load_switches


def run(arguments: argparse.Namespace) -> int:
    """Run one action but ``dev``; its exit code.

    Raises:
        RialtoError: it could not be done, and why.
    """
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "new": _new,
        "check": _check,
        "list": _list,
        "enable": _switch,
        "disable": _switch,
    }
    return actions[arguments.action](arguments)


def _new(arguments: argparse.Namespace) -> int:
    project, files = create(arguments.name, arguments.dir)
    if arguments.json:
        print_json({"project": str(project), "files": [str(file) for file in files]})
        return Exit.OK
    for file in files:
        say(str(file))
    say(f"\nnext: cd {project}; python -m pytest; rialto plugin dev .")
    return Exit.OK


def _check(arguments: argparse.Namespace) -> int:
    path: Path = arguments.path
    try:
        reports = check(path)
    except PluginError as error:
        reports = [Report(path.name, None, error.problems)]
    if arguments.json:
        print_json({"ok": all(report.ok for report in reports), "plugins": [each.as_json() for each in reports]})
    else:
        for report in reports:
            _show(report)
    return Exit.OK if all(report.ok for report in reports) else Exit.FAILED


def _show(report: Report) -> None:
    found = report.found
    say(f"{'ok  ' if report.ok else 'fail'}  {report.label}" + (f"  {found.source}" if found is not None else ""))
    if found is not None:
        for scope in scopes_of(found):
            say(f"      scope {scope}")
        for setting in settings_of(found):
            need = "required" if setting["required"] else "optional"
            say(f"      setting {setting['name']} ({setting['type']}, {need}) {setting['description']}".rstrip())
    for problem in report.problems:
        say(f"      {problem}")


def _list(arguments: argparse.Namespace) -> int:
    _, config = load(arguments)
    found = plan(config, every=True)
    try:
        switches, unread = asyncio.run(_switches(config)), ""
    except RialtoError as error:
        switches, unread = [], error.human
    if arguments.json:
        print_json(_as_json(config, found, switches, unread))
    else:
        _show_plan(config, found, switches, unread)
    return Exit.FAILED if any(problem.fatal for problem in found.problems) else Exit.OK


def _as_json(config: Config, found: Plan, switches: list[Switch], unread: str) -> dict[str, Any]:
    running = {wanted.instance: wanted for wanted in found.wanted}
    return {
        "plugins": [
            {
                "name": each.name,
                "origin": each.origin,
                "source": each.source,
                "summary": each.plugin.summary,
                "scopes": sorted(each.plugin.scopes),
                "settings": settings_of(each),
            }
            for each in found.discovery.plugins.values()
        ],
        "instances": [
            {
                "name": bot.instance,
                "plugin": bot.plugin,
                "user": f"@{bot.localpart or bot.joins}:{config.homeserver.server_name}",
                "enabled": bot.enabled,
                "outside": bool(bot.remote_token_file),
                "usable": bot.instance in running or (bot.enabled and bool(bot.remote_token_file)),
                "scopes": sorted(running[bot.instance].scopes) if bot.instance in running else [],
                "switches": [
                    {"scope": switch.scope, "enabled": switch.enabled, "by": switch.changed_by, "reason": switch.reason}
                    for switch in switches
                    if switch.plugin == bot.instance
                ],
            }
            for bot in config.bots
        ],
        "switches_unread": unread,
        "problems": [problem.as_json() for problem in found.problems],
    }


def _show_plan(config: Config, found: Plan, switches: list[Switch], unread: str) -> None:
    say("plugins")
    for each in sorted(found.discovery.plugins.values(), key=lambda each: each.name):
        scopes = f"  scopes: {', '.join(sorted(each.plugin.scopes))}" if each.plugin.scopes else ""
        say(f"  {each.name:<16} {each.source:<24} {each.plugin.summary}{scopes}")
    say("instances")
    usable = {wanted.instance for wanted in found.wanted}
    for bot in config.bots:
        state = "ok" if bot.instance in usable else "broken" if bot.enabled else "not enabled in the configuration"
        if bot.enabled and bot.remote_token_file:
            state = "outside this process: its metric and `plugins`, said to the hub, tell whether it is connected"
        say(f"  {bot.instance:<16} {bot.plugin:<16} @{bot.localpart or bot.joins}  {state}")
        for switch in switches:
            if switch.plugin == bot.instance:
                decided = "enabled" if switch.enabled else "disabled"
                say(f"    {decided}: {switch.scope or 'everywhere'} (by {switch.changed_by}) {switch.reason}".rstrip())
    if unread:
        warn(f"where they are disabled is not known: {unread}")
    for problem in found.problems:
        warn(str(problem))


async def _switches(config: Config) -> list[Switch]:
    database = open_database(config.database.url, pool_size=1)
    await database.start()
    try:
        return await database.read(load_switches)
    except Exception as error:
        if isinstance(error, RialtoError):
            raise
        raise RialtoError("the database has no plugins yet: `rialto migrate`, or start the service once") from error
    finally:
        await database.stop()


def _switch(arguments: argparse.Namespace) -> int:
    _, config = load(arguments)
    name, enabled = arguments.name, arguments.action == "enable"
    if name not in {bot.instance for bot in config.bots}:
        near = nearest_instance(name, config)
        raise UsageError(f"there is no plugin instance {name!r}" + (f", did you mean {near!r}?" if near else ""))
    scope = EVERYWHERE
    if arguments.room:
        if not arguments.room.startswith("!"):
            raise UsageError(f"a room is named by its id, like !abc:example.org, not {arguments.room!r}")
        scope = room_scope(arguments.room)
    elif arguments.server:
        scope = server_scope(arguments.server)
    switch = Switch(name, scope, enabled, arguments.reason, "operator", time.time_ns() // 1_000_000)
    asyncio.run(_put(config, switch))
    if arguments.json:
        print_json({"plugin": name, "scope": scope, "enabled": enabled})
    else:
        place = arguments.room or arguments.server or "everywhere"
        say(f"{name} is {'enabled' if enabled else 'disabled'}: {place}")
    return Exit.OK


async def _put(config: Config, switch: Switch) -> None:
    from appservice.migrate import upgrade

    database = open_database(config.database.url, pool_size=1)
    await database.start()
    try:
        await upgrade(database)
        await database.write(lambda connection: decide(connection, switch))
    finally:
        await database.stop()
