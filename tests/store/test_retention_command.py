"""``rialto retention``: rules and holds on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from appservice.cli import main
from appservice.commands.common import Exit
from appservice.database import open_database
from appservice.migrate import upgrade
from bridge.domain.kinds import Kind
from bridge.store import chats as store
from bridge.store.chats import Chat

ROOM = "!room:localhost"


@pytest.fixture
async def config(tmp_path: Path) -> Path:
    """A configuration with a database that has one chat."""
    file = tmp_path / "config.yaml"
    file.write_text(
        f"appservice:\n  as_token: {'a' * 20}\n  hs_token: {'h' * 20}\n"
        f"encryption:\n  pickle_key: a pickle key for tests\ndatabase:\n  url: sqlite:///{tmp_path / 'rialto.db'}\n"
        "messenger:\n  retention:\n    days: 365\n"
    )
    database = open_database(f"sqlite:///{tmp_path / 'rialto.db'}")
    await database.start()
    await upgrade(database)
    chat = Chat(ROOM, "CHAT", Kind.GROUP, False, True, "shop", "@alice:localhost", 1)
    await database.write(lambda connection: store.add(connection, chat, 1))
    await database.stop()
    return file


@pytest.fixture
def retention(config: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs it; exit code and JSON, or what it says on standard error."""

    def run(*arguments: str) -> tuple[int, Any]:
        code = main(["retention", *arguments, "--json", "-c", str(config)])
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if code == Exit.OK else captured.err

    return run


def test_rules(retention: Any) -> None:
    assert retention("show") == (Exit.OK, {"days": 365, "own": None, "wider": 365})
    assert retention("set", "30", "--product", "shop")[1]["days"] == 30
    assert retention("set", "90", "--chat", ROOM)[1] == {"days": 30, "own": 90, "wider": 30}
    assert retention("show", "--chat", "CHAT")[1] == {"days": 30, "own": 90, "wider": 30}
    assert retention("show")[1]["own"] is None
    assert retention("set", "OFF", "--product", "shop")[1]["days"] == 365
    assert retention("show", "--chat", "CHAT")[1]["days"] == 90


@pytest.mark.parametrize("days", ["0", "36501", "99999999999999", "soon", "1.5", "²"])
def test_rules_that_cannot_be(retention: Any, days: str) -> None:
    code, _ = retention("set", days)
    assert code != Exit.OK
    assert retention("show")[1]["own"] is None


def test_holds(retention: Any) -> None:
    assert retention("holds") == (Exit.OK, [])
    assert retention("hold", "CHAT", "Case 17")[0] == Exit.OK
    (found,) = retention("holds")[1]
    assert (found["room_id"], found["product"], found["reason"], found["by"]) == (ROOM, "shop", "Case 17", "system")
    assert retention("release", ROOM)[0] == Exit.OK
    assert retention("holds")[1] == []
    code, error = retention("release", ROOM)
    assert code == Exit.FAILED and "not held" in error


def test_a_chat_that_is_none(retention: Any) -> None:
    for arguments in (("hold", "OTHER", "why"), ("release", "!other:localhost"), ("show", "--chat", "OTHER")):
        code, error = retention(*arguments)
        assert code == Exit.FAILED and "no such chat" in error
