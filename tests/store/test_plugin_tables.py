"""Tables of plugins: each with its own history, and none of them touches another's."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, text

from appservice.database import Database
from bots.framework.plugin_tables import PluginTables, PluginTablesError, current, upgrade

FIRST = '''
"""Orders."""
import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.create_table("lunch_orders", sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("dish", sa.Text))
    op.create_index("ix_lunch_orders_dish", "lunch_orders", ["dish"])
    op.execute("INSERT INTO lunch_orders (id, dish) VALUES (1, 'soup')")
'''
SECOND = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    with op.batch_alter_table("lunch_orders") as table:
        table.alter_column("dish", existing_type=sa.Text, nullable=False)
        table.add_column(sa.Column("price", sa.BigInteger, server_default="0", nullable=False))
    op.create_table("lunch_votes", sa.Column("id", sa.BigInteger, primary_key=True))
"""


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, source in files.items():
        (folder / f"{name.removeprefix('_')}.py").write_text(source)
    return folder


def one(body: str) -> str:
    """A first revision that does something."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    head = 'import sqlalchemy as sa\nfrom alembic import op\nrevision = "0001"\ndown_revision = None\n'
    return f"{head}def upgrade():\n{lines}\n"


@pytest.fixture(autouse=True)
async def _clean(database: Database) -> None:
    """PostgreSQL's database is the same for all tests."""

    def work(connection: Connection) -> None:
        for name in inspect(connection).get_table_names():
            if name.startswith(("lunch", "my_lunch", "alembic_version_", "tea")):
                connection.execute(text(f'DROP TABLE "{name}"'))

    await database.write(work)


async def tables(database: Database) -> set[str]:
    names = await database.read(lambda connection: inspect(connection).get_table_names())
    return {name for name in names if name.startswith(("lunch", "my_lunch", "alembic_version", "votes", "tea"))}


async def test_from_nothing_to_the_newest_and_on(database: Database, tmp_path: Path) -> None:
    lunch = PluginTables("lunch", write(tmp_path / "lunch", _0001_orders=FIRST))
    assert await current(database, lunch) is None
    assert await upgrade(database, lunch) == (None, "0001")
    assert await tables(database) == {"lunch_orders", "alembic_version_lunch"}
    assert await upgrade(database, lunch) == ("0001", "0001")
    write(tmp_path / "lunch", _0002_votes=SECOND)
    assert await upgrade(database, lunch) == ("0001", "0002")
    assert await current(database, lunch) == "0002"
    row = await database.read(lambda connection: connection.execute(text("SELECT * FROM lunch_orders")).one())
    assert tuple(row) == (1, "soup", 0)
    assert await tables(database) == {"lunch_orders", "lunch_votes", "alembic_version_lunch"}


async def test_both_at_once(database: Database, tmp_path: Path) -> None:
    lunch = PluginTables("lunch", write(tmp_path / "lunch", _0001_orders=FIRST, _0002_votes=SECOND))
    assert await upgrade(database, lunch) == (None, "0002")


async def test_two_plugins_have_histories_of_their_own(database: Database, tmp_path: Path) -> None:
    """The same revision ids, and one that is not there any more does not stop the other."""
    lunch = PluginTables("lunch", write(tmp_path / "lunch", _0001_orders=FIRST))
    mine = PluginTables(
        "my-lunch", write(tmp_path / "mine", _0001_a=one('op.create_table("my_lunch", sa.Column("id", sa.Integer))'))
    )
    assert await upgrade(database, lunch) == (None, "0001")
    assert await upgrade(database, mine) == (None, "0001")
    assert await tables(database) == {"lunch_orders", "my_lunch", "alembic_version_lunch", "alembic_version_my_lunch"}
    for file in (tmp_path / "lunch").glob("*"):
        if file.is_file():
            file.unlink()
    assert await upgrade(database, mine) == ("0001", "0001")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('op.create_table("votes", sa.Column("id", sa.Integer))', "changes the table votes"),
        ('op.create_table("inbox", sa.Column("id", sa.Integer))', "changes the table inbox"),
        ('op.create_table("lunchtime", sa.Column("id", sa.Integer))', "changes the table lunchtime"),
        ('op.execute("CREATE TABLE IF NOT EXISTS votes (id INTEGER)")', "changes the table votes"),
        ('op.drop_table("rooms")', "changes the table rooms"),
        ('op.add_column("outbox", sa.Column("x", sa.Integer))', "changes the table outbox"),
        ('op.execute("DELETE FROM people")', "changes the table people"),
        ('op.execute("update schedules set due_at = 0")', "changes the table schedules"),
        ('op.create_index("ix_x", "inbox", ["room_id"])', "changes the table inbox"),
        (
            'op.create_table("lunch_a", sa.Column("id", sa.Integer))\nop.rename_table("lunch_a", "votes")',
            "votes",
        ),
        ('op.execute("CREATE VIEW x AS SELECT 1")\nraise ValueError("broken")', "failed: ValueError: broken"),
        ('op.execute("CREATE TABLE lunch_x (")', "failed: "),
    ],
)
async def test_a_migration_that_goes_wrong_names_its_file_and_changes_nothing(
    database: Database, tmp_path: Path, body: str, words: str
) -> None:
    folder = write(tmp_path / "lunch", _0001_x=one('op.create_table("lunch_ok", sa.Column("id", sa.Integer))\n' + body))
    with pytest.raises(PluginTablesError) as caught:
        await upgrade(database, PluginTables("lunch", folder))
    assert str(caught.value).startswith(f"plugin lunch: {folder / '0001_x.py'} ")
    assert words in str(caught.value)
    assert await tables(database) == set()


async def test_the_second_of_two_that_fails_takes_the_first_back(database: Database, tmp_path: Path) -> None:
    second = SECOND.replace('"lunch_votes"', '"votes"')
    lunch = PluginTables("lunch", write(tmp_path / "lunch", _0001_orders=FIRST, _0002_votes=second))
    with pytest.raises(PluginTablesError, match=r"0002_votes.py changes the table votes; .* begin with lunch_"):
        await upgrade(database, lunch)
    assert await tables(database) == set()
    write(tmp_path / "lunch", _0002_votes=SECOND)
    assert await upgrade(database, lunch) == (None, "0002")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "holds no migrations"),
        ({"orders": FIRST}, "orders.py must be named like 0001_orders.py"),
        ({"_0001_a": FIRST, "_0001_b": FIRST}, "are both revision 0001"),
        ({"_0001_a": "def upgrade(:"}, r"0001_a.py:1: "),
        ({"_0001_a": "import no_such_module_at_all"}, "cannot be read: ModuleNotFoundError"),
        ({"_0007_a": FIRST}, r"0007_a.py: its revision is '0001', and its name says '0007'"),
        ({"_0001_a": FIRST, "_0002_b": SECOND, "_0003_c": SECOND.replace('"0002"', '"0003"')}, "not one line"),
        ({"_0001_a": FIRST, "_0002_b": SECOND.replace('"0001"', '"0009"')}, "cannot be read|not one line"),
        ({"_0001_a": "x = 1"}, "cannot be read|0001_a"),
    ],
)
async def test_files_that_are_wrong(database: Database, tmp_path: Path, files: dict[str, str], words: str) -> None:
    lunch = PluginTables("lunch", write(tmp_path / "lunch", **files))
    with pytest.raises(PluginTablesError, match=words):
        await upgrade(database, lunch)
    assert await tables(database) == set()


async def test_tables_of_a_newer_version(database: Database, tmp_path: Path) -> None:
    lunch = PluginTables("lunch", write(tmp_path / "lunch", _0001_orders=FIRST, _0002_votes=SECOND))
    await upgrade(database, lunch)
    (tmp_path / "lunch" / "0002_votes.py").unlink()
    with pytest.raises(PluginTablesError, match=r"at revision 0002, which .* does not have: a newer version made them"):
        await upgrade(database, lunch)


def test_names(tmp_path: Path) -> None:
    for name in ("", "Lunch", "1st", "a b", "a" * 41, "é", 'x"; DROP TABLE inbox; --'):
        with pytest.raises(PluginTablesError, match="is named in lower-case letters"):
            PluginTables(name, tmp_path)
    with pytest.raises(PluginTablesError, match="there is no folder"):
        PluginTables("lunch", tmp_path / "no").files()
    lunch = PluginTables("my-lunch", tmp_path)
    assert (lunch.name, lunch.version_table) == ("my_lunch", "alembic_version_my_lunch")
    owned = ["my_lunch", "my_lunch_orders", "_alembic_tmp_my_lunch_orders", "my_lunches", "lunch_orders", "inbox"]
    assert [lunch.owns(name) for name in owned] == [True, True, True, False, False, False]
    assert not PluginTables("inbox", tmp_path).owns("inbox")
