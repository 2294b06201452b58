"""Brings the database to the newest revision. The migrations lie in ``alembic/``, in a wheel beside this module.

Revisions are linear, and a file begins with the id of its revision (``0001_engine.py``): so a start that finds nothing
to do need not load the migration tool.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from appservice.database import Database, open_database
from appservice.errors import RialtoError

if TYPE_CHECKING:
    from alembic.config import Config as AlembicConfig


class MigrationError(RialtoError):
    """The database is of a revision that this version does not know, or could not be migrated."""

    code = "migration_unknown_revision"


def migrations() -> Path:
    """The folder of the migrations: package data of an installed Rialto, ``alembic/`` of a checkout."""
    here = Path(__file__).parent
    installed = here / "migrations"
    return installed if installed.is_dir() else here.parent / "alembic"


def revisions() -> list[str]:
    """The revisions this version knows, oldest first."""
    return sorted(file.name.partition("_")[0] for file in (migrations() / "versions").glob("[0-9]*_*.py"))


def head() -> str:
    """The newest revision."""
    return revisions()[-1]


def alembic_config() -> AlembicConfig:
    """The configuration for alembic's own commands; ``attributes["connection"]`` is the connection to work on."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations()).replace("%", "%%"))
    return config


async def current(database: Database) -> str | None:
    """The revision the database is at; None when it is empty."""

    def read(connection: Connection) -> str | None:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()

    return await database.read(read)


async def upgrade(database: Database) -> tuple[str | None, str]:
    """Migrate to the newest revision, all in one transaction; the revisions before and after.

    Raises:
        MigrationError: the database was made by a newer version.
    """
    before, newest = await current(database), head()
    if before == newest:
        return before, newest
    if before is not None and before not in revisions():
        raise MigrationError(
            f"the database is at revision {before}, which this version does not know: it was made by a newer one",
            revision=before,
        )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from alembic import command

    def work(connection: Connection) -> None:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    await database.write(work)
    return before, newest


async def upgrade_apart(url: str, database: Database) -> tuple[str | None, str]:
    """The same in a process of its own, when there is anything to do: the tool takes ten megabytes, and a service that
    runs for months would keep them.

    Args:
        url: of ``database``, as the configuration has it.

    Raises:
        MigrationError: the database was made by a newer version, or the migration failed.
    """
    before, newest = await current(database), head()
    if before == newest or before not in {None, *revisions()}:
        return await upgrade(database)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "appservice.migrate",
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate(url.encode())  # not an argument: it may hold a password
    if process.returncode != 0:
        reason = said.decode(errors="replace").strip().rpartition("\n")[2][:300]
        raise MigrationError(f"the database could not be migrated: {reason}", revision=before)
    return before, newest


async def _main(url: str) -> None:
    database = open_database(url, pool_size=1)
    await database.start()
    try:
        await upgrade(database)
    finally:
        await database.stop()


if __name__ == "__main__":
    asyncio.run(_main(sys.stdin.read()))
