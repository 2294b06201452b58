"""The migrations: from nothing to the newest revision, equal to the tables, on SQLite and PostgreSQL."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.engine.reflection import Inspector

from appservice import migrate
from appservice.database import Database, open_database
from bots.store.tables import metadata
from bridge.store.search_tables import CREATE_FTS, FTS

ROOT = Path(__file__).parents[2]
VERSION_TABLE = "alembic_version"


def alembic_config(**options: str) -> AlembicConfig:
    config = AlembicConfig(output_buffer=io.StringIO())
    config.set_main_option("script_location", str(migrate.migrations()))
    for name, value in options.items():
        config.set_main_option(name.replace("_", ".", 1), value)
    return config


def revisions() -> list[Script]:
    """From the first to the newest."""
    return list(ScriptDirectory.from_config(alembic_config()).walk_revisions())[::-1]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = open_database(database_url)
    await opened.start()
    yield opened
    await opened.stop()


async def tables(database: Database) -> set[str]:
    return ours(await database.read(lambda connection: sa.inspect(connection).get_table_names()))


def ours(names: list[str]) -> set[str]:
    """Without the full-text index of SQLite, which is some tables, and none that the metadata knows."""
    return {name for name in names if not name.startswith(FTS)}


def named(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or name is None or bool(ours([name]))


async def run(database: Database, action: Any, revision: str) -> None:
    def work(connection: Connection) -> None:
        config = alembic_config()
        config.attributes["connection"] = connection
        action(config, revision)

    await database.write(work)


# --- from nothing to the newest


async def test_empty_to_head(database: Database) -> None:
    assert await tables(database) == set()
    assert await migrate.current(database) is None
    assert await migrate.upgrade(database) == (None, migrate.head())
    assert await migrate.current(database) == migrate.head()
    assert await tables(database) == {VERSION_TABLE, *metadata.tables}


async def test_again_changes_nothing(database: Database) -> None:
    await migrate.upgrade(database)
    row = {"shard": 0, "txn_id": "t1", "received_at": 1}
    await database.write(lambda connection: connection.execute(metadata.tables["transactions"].insert(), row))
    assert await migrate.upgrade(database) == (migrate.head(), migrate.head())
    count = sa.select(sa.func.count()).select_from(metadata.tables["transactions"])
    assert await database.read(lambda connection: connection.execute(count).scalar_one()) == 1


async def test_head_is_what_the_tables_say(database: Database) -> None:
    await migrate.upgrade(database)

    def differences(connection: Connection) -> list[Any]:
        options = {"compare_type": True, "compare_server_default": True, "include_name": named}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    assert await database.read(differences) == []


def shape(inspector: Inspector) -> dict[str, Any]:
    """All that the database says of the tables: more than compare_metadata looks at (partial indexes, keys, order)."""
    found: dict[str, Any] = {}
    for name in sorted(metadata.tables):
        columns = [
            (each["name"], str(each["type"]), each["nullable"], each["default"], each.get("comment"))
            for each in inspector.get_columns(name)
        ]
        indexes = sorted(
            (
                str(each["name"]),
                tuple(each["column_names"]),
                bool(each["unique"]),
                str(each.get("dialect_options", {}).get(f"{inspector.dialect.name}_where")),
            )
            for each in inspector.get_indexes(name)
        )
        found[name] = {
            "columns": sorted(columns),
            "primary key": inspector.get_pk_constraint(name),
            "unique": inspector.get_unique_constraints(name),
            "foreign keys": inspector.get_foreign_keys(name),
            "checks": inspector.get_check_constraints(name),
            "indexes": indexes,
        }
    return found


async def test_migrated_tables_are_those_that_metadata_would_make(database: Database) -> None:
    await migrate.upgrade(database)
    migrated = await database.read(lambda connection: shape(sa.inspect(connection)))

    def made(connection: Connection) -> dict[str, Any]:
        metadata.drop_all(connection)
        metadata.create_all(connection)
        return shape(sa.inspect(connection))

    assert migrated == await database.write(made)
    assert any(each[3] != "None" for table in migrated.values() for each in table["indexes"])  # partial ones are seen


async def test_a_change_of_the_tables_would_be_noticed(database: Database) -> None:
    await migrate.upgrade(database)

    def differences(connection: Connection) -> list[Any]:
        changed = sa.MetaData(naming_convention=metadata.naming_convention)
        for table in metadata.tables.values():
            table.to_metadata(changed)
        changed.tables["rooms"].append_column(sa.Column("extra", sa.Text))
        sa.Index("ix_rooms_extra", changed.tables["rooms"].c.room_id)
        options = {"include_name": named}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), changed))

    kinds = sorted(each[0] for each in await database.read(differences))
    assert kinds == ["add_column", "add_index"]


async def test_each_revision_can_be_the_starting_point(database: Database) -> None:
    for revision in revisions():
        await run(database, command.upgrade, revision.revision)
        assert await migrate.current(database) == revision.revision
    assert await migrate.upgrade(database) == (migrate.head(), migrate.head())


async def test_down_to_nothing_and_up_again(database: Database) -> None:
    """For development; operators go back by restoring a backup (docs/operating.md)."""
    await migrate.upgrade(database)
    await run(database, command.downgrade, "base")
    assert await tables(database) == {VERSION_TABLE}
    assert await migrate.upgrade(database) == (None, migrate.head())


async def test_the_full_text_index_comes_and_goes_with_its_table(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'rialto.db'}")
    await database.start()

    def made(connection: Connection) -> list[str]:
        query = sa.text("SELECT sql FROM sqlite_master WHERE name LIKE :name AND sql LIKE 'CREATE VIRTUAL%'")
        return list(connection.execute(query, {"name": f"{FTS}%"}).scalars())

    await migrate.upgrade(database)
    assert await database.read(made) == [CREATE_FTS]
    await database.write(metadata.drop_all)
    assert await database.read(made) == []
    await database.write(metadata.create_all)
    assert await database.read(made) == [CREATE_FTS]
    await run(database, command.downgrade, "base")
    assert await database.read(lambda connection: sa.inspect(connection).get_table_names()) == [VERSION_TABLE]
    await database.stop()


async def test_a_migration_that_fails_leaves_nothing_behind(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "upgrade", _failing(command.upgrade))
    with pytest.raises(RuntimeError, match="the power went"):
        await migrate.upgrade(database)
    monkeypatch.undo()
    assert await tables(database) == set()
    assert await migrate.upgrade(database) == (None, migrate.head())


def _failing(upgrade: Any) -> Any:
    def then_fail(config: AlembicConfig, revision: str) -> None:
        upgrade(config, revision)
        raise RuntimeError("the power went")

    return then_fail


async def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    await migrate.upgrade(database)
    newer = sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    await database.write(lambda connection: connection.execute(newer))
    with pytest.raises(migrate.MigrationError, match="revision 9999, which this version does not know"):
        await migrate.upgrade(database)
    assert await migrate.current(database) == "9999"


# --- the history


def test_the_history_is_a_line_with_one_head() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    assert script.get_heads() == [migrate.head()]
    assert len(script.get_bases()) == 1
    line = revisions()
    assert [each.revision for each in line] == [f"{number:04}" for number in range(1, len(line) + 1)]
    assert [each.down_revision for each in line] == [None, *(each.revision for each in line[:-1])]
    assert all(not each.branch_labels and not each.dependencies for each in line)


def test_every_revision_is_documented_and_can_be_undone() -> None:
    for each in revisions():
        title = each.doc.strip()
        assert len(title) >= 10, f"{each.revision} does not say what it changes"
        assert "Revision ID" not in title
        assert Path(each.path).name.startswith(f"{each.revision}_")
        source = Path(each.path).read_text()
        assert re.search(r"^def upgrade\(\) -> None:\n    (?!pass\b)", source, re.MULTILINE)
        assert re.search(r"^def downgrade\(\) -> None:\n    (?!pass\b)", source, re.MULTILINE)


def test_revisions_do_not_import_rialto() -> None:
    """A revision stays what it was, whatever becomes of the code."""
    for each in revisions():
        assert not re.search(r"^\s*(from|import) (appservice|bridge|bots)\b", Path(each.path).read_text(), re.MULTILINE)


def test_the_folder_is_no_package() -> None:
    assert not (ROOT / "alembic" / "__init__.py").exists()


def test_the_policy_of_downgrades_is_stated() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    assert re.search(r"^#+ .*[Gg]oing back", text, re.MULTILINE)
    assert "restore" in text.lower()


@pytest.mark.parametrize("url", ["sqlite:///offline.db", "postgresql://rialto@db/rialto"])
def test_sql_can_be_printed_without_a_database(url: str) -> None:
    config = alembic_config(sqlalchemy_url=url)
    command.upgrade(config, "head", sql=True)
    output = config.output_buffer
    assert isinstance(output, io.StringIO)
    sql = output.getvalue()
    for name in metadata.tables:
        assert re.search(rf"CREATE TABLE {name}\b", sql), name
    for table in metadata.tables.values():
        for index in table.indexes:
            assert f"INDEX {index.name} ON {table.name}" in sql
    assert f"INSERT INTO {VERSION_TABLE}" in sql


# --- an installed Rialto


def test_a_wheel_brings_its_migrations(tmp_path: Path) -> None:
    """Built, unpacked away from the checkout, and run there against a new SQLite database."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "dist").glob("rialto_messenger-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"appservice", "bridge", "bots"}
    shipped = {Path(name).name for name in names if name.startswith("appservice/migrations/versions/")}
    assert shipped == {Path(each.path).name for each in revisions()}

    program = """
import asyncio, json, sys
from appservice import migrate
from appservice.database import open_database

async def main():
    database = open_database("sqlite:///" + sys.argv[1])
    await database.start()
    result = await migrate.upgrade(database)
    await database.stop()
    print(json.dumps([str(migrate.migrations()), *result]))

asyncio.run(main())
"""
    environ = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "new.db")],
        cwd=tmp_path / "dist",
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    folder = str(tmp_path / "site" / "appservice" / "migrations")
    assert json.loads(ran.stdout) == [folder, None, migrate.head()]
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'new.db'}")
    with engine.connect() as connection:
        assert ours(sa.inspect(connection).get_table_names()) == {VERSION_TABLE, *metadata.tables}
    engine.dispose()


async def test_a_service_has_it_done_in_a_process_of_its_own(database: Database, database_url: str) -> None:
    assert await migrate.upgrade_apart(database_url, database) == (None, migrate.head())
    assert await migrate.current(database) == migrate.head()
    assert await migrate.upgrade_apart(database_url, database) == (migrate.head(), migrate.head())


async def test_a_migration_that_fails_says_why(database: Database, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(migrate.MigrationError, match="could not be migrated"):
        await migrate.upgrade_apart(f"sqlite:///{tmp_path}/file/is/no/folder.db", database)
