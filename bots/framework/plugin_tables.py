"""Tables of a plugin's own, with its own Alembic migrations.

A plugin brings a folder of revisions, ``0001_orders.py`` and so on: linear, each file's name begins with the id of its
revision, no ``env.py``. Their tables are named after the plugin: ``lunch_orders``.

Each plugin has a version table of its own (``alembic_version_lunch``) and not a branch, with a label, of one history:
Alembic resolves everything that a version table holds before it does anything, so that the revision of a plugin that is
not installed any more would stop every later start. So a plugin that is taken away leaves its tables alone, and takes
them up where they are when it comes back.

Alembic is loaded only when there is something to do.
"""

from __future__ import annotations

import inspect as inspect_module
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, column, event, inspect, select, table

from appservice.database import Database
from appservice.errors import RialtoError
from bots.framework.plugin import Plugin
from bots.store import tables as own

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_FILE: Final = re.compile(r"(?P<revision>[0-9]{4,})_[A-Za-z0-9_]+\.py")
_IDENTIFIER = r'(?:"?\w+"?\.)?"?(?P<table>\w+)"?'
_STATEMENTS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\s*(?:CREATE(?:\s+(?:TEMP|TEMPORARY|UNLOGGED))?|ALTER|DROP)\s+TABLE\s+(?:ONLY\s+|IF\s+(?:NOT\s+)?EXISTS\s+)?{_IDENTIFIER}",
        rf"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s.*?\sON\s+(?:ONLY\s+)?{_IDENTIFIER}",
        rf"\s*(?:INSERT\s+(?:OR\s+\w+\s+)?INTO|UPDATE|DELETE\s+FROM|TRUNCATE(?:\s+TABLE)?)\s+(?:ONLY\s+)?{_IDENTIFIER}",
    )
)
_RENAME: Final = re.compile(r"\s*ALTER\s+TABLE\s.*\sRENAME\s+TO\s+" + _IDENTIFIER, re.IGNORECASE)
_BATCH: Final = "_alembic_tmp_"
"""SQLite changes a table by making it anew under this name."""


class PluginTablesError(RialtoError):
    """A plugin's migrations cannot be run. Names the plugin and the file."""

    code = "plugin_tables_invalid"


@dataclass(frozen=True, slots=True)
class PluginTables:
    """A plugin's migrations: ``plugin`` is its name, ``folder`` holds its revisions."""

    plugin: str
    folder: Path

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.plugin):
            raise PluginTablesError(
                f"a plugin with tables is named in lower-case letters, digits, - and _, up to 40; got {self.plugin!r}",
                plugin=self.plugin,
            )

    @property
    def name(self) -> str:
        """As it begins the names of its tables."""
        return self.plugin.replace("-", "_")

    @property
    def version_table(self) -> str:
        """The table that holds the revision its tables are at."""
        return f"alembic_version_{self.name}"

    def owns(self, table_name: str) -> bool:
        """Whether a table of this name may be the plugin's."""
        plain = table_name.lower().removeprefix(_BATCH)
        if plain in own.plugin_state.metadata.tables:
            return False
        return plain == self.name or plain.startswith(f"{self.name}_")

    def files(self) -> dict[str, Path]:
        """The files by their revisions, oldest first.

        Raises:
            PluginTablesError: there is no such folder, a file is named otherwise, or two claim one revision.
        """
        if not self.folder.is_dir():
            raise self.error(f"there is no folder {self.folder}")
        found: dict[str, Path] = {}
        for file in sorted(self.folder.glob("*.py")):
            if file.name == "__init__.py":
                continue
            match = _FILE.fullmatch(file.name)
            if match is None:
                raise self.error(f"{file} must be named like 0001_orders.py, beginning with its revision")
            if match["revision"] in found:
                raise self.error(f"{file} and {found[match['revision']].name} are both revision {match['revision']}")
            found[match["revision"]] = file
        if not found:
            raise self.error(f"{self.folder} holds no migrations")
        return found

    def error(self, words: str) -> PluginTablesError:
        """An error about this plugin."""
        return PluginTablesError(f"plugin {self.plugin}: {words}", plugin=self.plugin)


def tables_of(plugin: type[Plugin]) -> PluginTables | None:
    """The tables that a plugin brings, if any.

    Raises:
        PluginTablesError: its name cannot begin the name of a table.
    """
    if not plugin.migrations:
        return None
    return PluginTables(plugin.plugin_name(), Path(inspect_module.getfile(plugin)).parent / plugin.migrations)


async def current(database: Database, tables: PluginTables) -> str | None:
    """The revision that a plugin's tables are at; None when it has none yet.

    Raises:
        DatabaseError: that cannot be read now.
    """
    return await database.read(lambda connection: _current(connection, tables))


async def upgrade(database: Database, tables: PluginTables) -> tuple[str | None, str]:
    """Migrate a plugin's tables to the newest revision, all in one transaction; the revisions before and after.

    Raises:
        PluginTablesError: a file is wrong, or touches a table that is not the plugin's; nothing has changed.
        DatabaseError: the database cannot be used now; nothing has changed.
    """
    files = tables.files()
    newest = list(files)[-1]
    before = await current(database, tables)
    if before == newest:
        return before, newest
    if before is not None and before not in files:
        raise tables.error(
            f"its tables are at revision {before}, which {tables.folder} does not have: a newer version made them"
        )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    script = _script(tables, files)
    todo = [revision for revision in files if before is None or revision > before]

    def work(connection: Connection) -> None:
        for revision in todo:
            _step(connection, tables, script, revision, files[revision])

    await database.write(work)
    return before, newest


def _current(connection: Connection, tables: PluginTables) -> str | None:
    if not inspect(connection).has_table(tables.version_table):
        return None
    version = table(tables.version_table, column("version_num"))
    return connection.execute(select(version.c.version_num)).scalar()


def _script(tables: PluginTables, files: dict[str, Path]) -> ScriptDirectory:
    """The revisions as Alembic reads them, checked against the names of their files."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(tables.folder), version_locations=[str(tables.folder)])
    try:
        revisions = list(script.walk_revisions())[::-1]
        heads = script.get_heads()
    except SyntaxError as error:
        raise tables.error(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except Exception as error:  # whatever a file of the plugin's does when it is loaded, or says of its order
        raise tables.error(f"the migrations in {tables.folder} cannot be read: {_said(error)}") from error
    if len(heads) != 1 or len(revisions) != len(files):
        raise tables.error(f"the migrations in {tables.folder} are not one line: each names the one before it")
    for each, (revision, file) in zip(revisions, files.items(), strict=True):
        if each.revision != revision:
            raise tables.error(f"{file}: its revision is {each.revision!r}, and its name says {revision!r}")
    return script


def _step(connection: Connection, tables: PluginTables, script: ScriptDirectory, revision: str, file: Path) -> None:
    """Run one revision, and see to it that it touches nothing else."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    context = MigrationContext.configure(connection, opts={"version_table": tables.version_table})
    before = set(inspect(connection).get_table_names())
    try:
        with _watched(connection, tables, file), Operations.context(context):
            script.get_revision(revision).module.upgrade()
            context.stamp(script, revision)
    except RialtoError:
        raise
    except Exception as error:
        raise tables.error(f"{file} failed: {_said(error)}") from error
    after = set(inspect(connection).get_table_names())
    for name in sorted(before ^ after):
        if not tables.owns(name) and name != tables.version_table:
            did = "makes" if name in after else "drops"
            raise tables.error(f"{file} {did} the table {name}; the plugin's own begin with {tables.name}_")


@contextmanager
def _watched(connection: Connection, tables: PluginTables, file: Path) -> Iterator[None]:
    """Refuse statements that change a table which is not the plugin's: a slip, for a plugin is trusted code."""

    def check(_connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        for pattern in (*_STATEMENTS, _RENAME):
            match = pattern.match(statement)
            name = match["table"] if match else tables.version_table
            if name != tables.version_table and not tables.owns(name):
                raise tables.error(f"{file} changes the table {name}; the plugin's own begin with {tables.name}_")

    listen: Callable[..., None] = event.listen
    listen(connection, "before_cursor_execute", check)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", check)


def _said(error: BaseException) -> str:
    """The first line of an error: what follows may hold a statement with its values."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
