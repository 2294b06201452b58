"""Brings the database to the newest revision. The migrations lie in ``alembic/``, in a wheel beside this module."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from appservice.database import Database
from appservice.errors import RialtoError


class MigrationError(RialtoError):
    """The database is of a revision that this version does not know."""

    code = "migration_unknown_revision"


def migrations() -> Path:
    """The folder of the migrations: package data of an installed Rialto, ``alembic/`` of a checkout."""
    here = Path(__file__).parent
    installed = here / "migrations"
    return installed if installed.is_dir() else here.parent / "alembic"


def _config() -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(migrations()).replace("%", "%%"))
    return config


def head() -> str:
    """The newest revision."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


async def current(database: Database) -> str | None:
    """The revision the database is at; None when it is empty."""
    return await database.read(lambda connection: MigrationContext.configure(connection).get_current_revision())


async def upgrade(database: Database) -> tuple[str | None, str]:
    """Migrate to the newest revision, all in one transaction; the revisions before and after.

    Raises:
        MigrationError: the database was made by a newer version.
    """
    before = await current(database)
    script = ScriptDirectory.from_config(_config())
    known = {revision.revision for revision in script.walk_revisions()}
    if before is not None and before not in known:
        raise MigrationError(
            f"the database is at revision {before}, which this version does not know: it was made by a newer one",
            revision=before,
        )
    newest = head()
    if before == newest:
        return before, newest

    logging.getLogger("alembic").setLevel(logging.WARNING)

    def work(connection: Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    await database.write(work)
    return before, newest
