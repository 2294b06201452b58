"""Brings the database to the newest revision. The migrations lie in ``alembic/``, in a wheel beside this module.

Revisions are linear, and a file begins with the id of its revision (``0001_engine.py``): so a start that finds nothing
to do need not load the migration tool.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from appservice.database import Database
from appservice.errors import RialtoError

if TYPE_CHECKING:
    from alembic.config import Config as AlembicConfig


class MigrationError(RialtoError):
    """The database is of a revision that this version does not know."""

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
