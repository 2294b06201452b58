"""Tables of a plugin's own, made before it starts and used by its handlers."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from sqlalchemy import Connection, text

from bots.framework import Context, Plugin, command
from bots.framework.testing import World

REVISION = '''
"""The list."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table("shopping_items", sa.Column("name", sa.Text(), primary_key=True))


def downgrade() -> None:
    op.drop_table("shopping_items")
'''


class Shopping(Plugin):
    """A list in a table."""

    migrations: ClassVar[str] = ""

    @command("add", help="Add something")
    async def add(self, ctx: Context, name: str) -> None:
        ctx.store(lambda connection: connection.execute(text("INSERT INTO shopping_items VALUES (:n)"), {"n": name}))
        ctx.say("Noted.")

    @command("list", help="What is on the list")
    async def list(self, ctx: Context) -> None:
        def read(connection: Connection) -> list[str]:
            return [row.name for row in connection.execute(text("SELECT name FROM shopping_items ORDER BY name"))]

        ctx.say(", ".join(await ctx.query(read)))


async def test_a_plugin_uses_its_own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "0001_items.py").write_text(REVISION)
    monkeypatch.setattr(Shopping, "migrations", str(tmp_path))
    world = World(Shopping)
    alice = world.user("alice")
    await alice.says("add milk")
    await world.restart()
    await alice.says("add bread")
    await alice.says("list")
    assert [message.body for message in await alice.hears_all()] == ["Noted.", "Noted.", "bread, milk"]
    world.check()
