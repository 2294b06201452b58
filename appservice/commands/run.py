"""``rialto run`` and ``rialto migrate``."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING, Any

from appservice.commands.common import Exit, add_config, add_data, load, say

if TYPE_CHECKING:
    from appservice.config import Config


def add(commands: Any) -> None:
    """Add the parsers."""
    run = commands.add_parser("run", help="run the service in the foreground", description=_run.__doc__)
    add_config(run)
    add_data(run)
    run.set_defaults(handler=_run)
    migrate = commands.add_parser("migrate", help="bring the database to this version", description=_migrate.__doc__)
    add_config(migrate)
    add_data(migrate)
    migrate.set_defaults(handler=_migrate)


def _run(arguments: argparse.Namespace) -> int:
    """Run the service until SIGTERM or Ctrl-C; running handlers finish within engine.grace seconds."""
    import uvloop

    from appservice import log
    from appservice.main import run

    _, config = load(arguments)
    log.setup(config.logging.level, config.logging.format.value, show_errors=config.logging.error_messages)

    code: int = uvloop.run(run(config))
    return code


def _migrate(arguments: argparse.Namespace) -> int:
    """Bring the database of the configuration to this version's tables. Does nothing when it is there already."""
    path, config = load(arguments)
    before, after = asyncio.run(_upgrade(config))
    if before == after:
        say(f"the database of {path} is at {after} already")
    else:
        say(f"the database of {path} went from {before or 'empty'} to {after}")
    return Exit.OK


async def _upgrade(config: Config) -> tuple[str | None, str]:
    from appservice.database import open_database
    from appservice.migrate import upgrade

    database = open_database(config.database.url, pool_size=1)
    await database.start()
    try:
        return await upgrade(database)
    finally:
        await database.stop()
