"""``rialto run`` and ``rialto migrate``."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from appservice.commands.common import add_config, load, say


def add(commands: Any) -> None:
    """Add the parsers."""
    run = commands.add_parser("run", help="run the service in the foreground", description=_run.__doc__)
    add_config(run)
    run.set_defaults(handler=_run)
    migrate = commands.add_parser("migrate", help="bring the database to this version", description=_migrate.__doc__)
    add_config(migrate)
    migrate.set_defaults(handler=_migrate)


def _run(arguments: argparse.Namespace) -> int:
    """Run the service until SIGTERM or Ctrl-C; running handlers finish within engine.grace seconds."""
    from appservice import log

    _, config = load(arguments)
    log.setup(config.logging.level, config.logging.format.value)
    from appservice.main import run

    return asyncio.run(run(config))


def _migrate(arguments: argparse.Namespace) -> int:
    """Bring the database of the configuration to this version's tables. Does nothing when it is there already."""
    from appservice.store.migrate import upgrade

    path, config = load(arguments)
    asyncio.run(upgrade(config.database.url))
    say(f"the database of {path} has this version's tables")
    return 0
