"""``rialto run`` and ``rialto migrate``."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import uvloop

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

    return uvloop.run(run(config))


def _migrate(arguments: argparse.Namespace) -> int:
    """Bring the database of the configuration to this version's tables. Does nothing when it is there already."""
    from appservice.database import open_database
    from appservice.migrate import upgrade

    async def migrate(url: str) -> tuple[str | None, str]:
        database = open_database(url)
        await database.start()
        try:
            return await upgrade(database)
        finally:
            await database.stop()

    path, config = load(arguments)
    before, after = asyncio.run(migrate(config.database.url))
    said = "was at" if before == after else f"went from {before or 'empty'} to"
    say(f"the database of {path} {said} revision {after}")
    return 0
