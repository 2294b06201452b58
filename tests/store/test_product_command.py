"""``rialto product``: products and their keys on the command line."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from appservice.cli import main
from appservice.commands.common import Exit
from appservice.database import open_database
from appservice.migrate import upgrade

KEY = "a pickle key for tests"


@pytest.fixture
async def config(tmp_path: Path) -> Path:
    """A configuration with an empty database."""
    file = tmp_path / "config.yaml"
    file.write_text(
        f"appservice:\n  as_token: {'a' * 20}\n  hs_token: {'h' * 20}\n"
        f"encryption:\n  pickle_key: {KEY}\ndatabase:\n  url: sqlite:///{tmp_path / 'rialto.db'}\n"
    )
    database = open_database(f"sqlite:///{tmp_path / 'rialto.db'}")
    await database.start()
    await upgrade(database)
    await database.stop()
    return file


class Command:
    """Runs it."""

    def __init__(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._config = config
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        code = main(["product", *arguments, "-c", str(self._config)])
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err

    def json(self, *arguments: str) -> Any:
        code, out, _ = self(*arguments, "--json")
        assert code == Exit.OK
        return json.loads(out)


@pytest.fixture
def product(config: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(config, capsys)


def test_a_product_is_added_and_listed(product: Command, tmp_path: Path) -> None:
    made = product.json("add", "shop", "--title", "The Shop", "--scope", "chats.*", "--scope", "people.read")
    assert made["key"].startswith(f"rialto_{made['id']}_")
    assert made["scopes"] == ["chats.read", "chats.write", "people.read"]
    code, out, _ = product("list")
    assert code == Exit.OK and "shop: The Shop" in out and made["id"] in out and "never used" in out
    assert made["key"] not in out
    with sqlite3.connect(tmp_path / "rialto.db") as database:
        stored = str(database.execute("SELECT * FROM product_keys").fetchall())
    assert made["key"] not in stored and made["key"].split("_")[2] not in stored


def test_nothing_there(product: Command) -> None:
    code, out, _ = product("list")
    assert code == Exit.OK and "rialto product add" in out and product.json("list") == []


def test_a_key_is_rotated_and_revoked(product: Command) -> None:
    first = product.json("add", "shop")
    second = product.json("rotate", first["id"], "--overlap", "2")
    assert second["scopes"] == first["scopes"] and second["key"] != first["key"]
    further = product.json("key", "shop", "--label", "reports", "--scope", "*.read")
    assert all(scope.endswith(".read") for scope in further["scopes"])
    assert product.json("revoke", second["id"]) == {"revoked": second["id"]}
    keys = {key["id"]: key for key in product.json("list")[0]["keys"]}
    assert keys[first["id"]]["expires_at"] is not None and keys[second["id"]]["revoked_at"] is not None
    assert keys[further["id"]]["label"] == "reports"
    _, out, _ = product("list")
    assert "good until" in out and "revoked" in out and "reports" in out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["add", "Shop!"], Exit.FAILED),
        (["add", "shop", "--scope", "everything"], Exit.USAGE),
        (["key", "nobody"], Exit.FAILED),
        (["rotate", "nothing"], Exit.FAILED),
        (["revoke", "nothing"], Exit.FAILED),
    ],
)
def test_what_cannot_be_says_why(product: Command, arguments: list[str], code: int) -> None:
    got, out, err = product(*arguments)
    assert got == code and out == "" and err.strip() and "Traceback" not in err


def test_a_name_is_taken_once(product: Command) -> None:
    product.json("add", "shop")
    code, _, err = product("add", "shop")
    assert code == Exit.FAILED and "already" in err
