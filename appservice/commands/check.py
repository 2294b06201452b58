"""``rialto check``: configuration, registration and homeserver against each other."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appservice.commands.common import add_config, add_data, add_json, load

if TYPE_CHECKING:
    from appservice.commands.checks import Check
    from appservice.config import Config


def add(commands: Any) -> None:
    """Add the parser."""
    parser = commands.add_parser(
        "check", help="configuration, registration and homeserver against each other", description=_check.__doc__
    )
    add_config(parser)
    add_data(parser)
    parser.add_argument(
        "-r", "--registration", type=Path, metavar="PATH", help="default: registration.yaml beside the configuration"
    )
    parser.add_argument("--offline", action="store_true", help="do not ask the homeserver")
    add_json(parser)
    parser.set_defaults(handler=_check)


def _check(arguments: argparse.Namespace) -> int:
    """Check the configuration, its plugins, the registration against it, and both against the homeserver.

    Exit code 0: all fits; 1: something does not; 2: the configuration is wrong; 3: the homeserver does not answer.
    """
    from appservice.commands.checks import (
        check_money,
        check_plugins,
        check_registration,
        default_registration,
        ok,
        report,
    )

    path, config = load(arguments)
    registration = arguments.registration or default_registration(path)
    checks = [
        ok("configuration", f"{path} is valid"),
        *check_plugins(config),
        *check_money(config),
        *check_registration(config, path, registration),
    ]
    if not arguments.offline:
        checks.extend(asyncio.run(_ask(config)))
    return report(checks, as_json=arguments.json)


async def _ask(config: Config) -> list[Check]:
    from appservice.commands.checks import check_homeserver
    from appservice.homeserver import Homeserver

    homeserver = Homeserver(config.homeserver.url, config.appservice.as_token.get_secret_value(), timeout=10)
    await homeserver.start()
    try:
        return await check_homeserver(config, homeserver)
    finally:
        await homeserver.stop()
