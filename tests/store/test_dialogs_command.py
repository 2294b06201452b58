"""``rialto dialogs`` on a database with a conversation in it."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from appservice.cli import main
from appservice.database import open_database
from appservice.migrate import upgrade
from appservice.sealing import Sealer
from bots.framework.dialogs import codec
from bots.store import dialogs as store
from bots.store.dialogs import Change, DialogRow, EntryRow
from bots.store.tables import DialogState

KEY = "a pickle key for tests"
SECRET = "under the third arch"
TRAP = """\
from dataclasses import dataclass
from pathlib import Path

Path({sprung!r}).touch()


@dataclass
class Trap:
    text: str
"""


@pytest.fixture
async def config(tmp_path: Path) -> Path:
    """A configuration, and a database with one dialog that waits."""
    file = tmp_path / "config.yaml"
    file.write_text(
        f"appservice:\n  as_token: {'a' * 20}\n  hs_token: {'h' * 20}\n"
        f"encryption:\n  pickle_key: {KEY}\ndatabase:\n  url: sqlite:///{tmp_path / 'rialto.db'}\n"
    )
    database = open_database(f"sqlite:///{tmp_path / 'rialto.db'}")
    await database.start()
    await upgrade(database)
    row = DialogRow(
        id="01JD",
        consumer="coffee:@coffee:localhost",
        room_id="!room:localhost",
        owner="@alice:localhost",
        name="order",
        version="",
        arguments=b"[[], {}]",
        state=DialogState.WAITING,
        cause="$event",
        started_at=1_700_000_000_000,
        updated_at=1_700_000_000_000,
        people=("@alice:localhost",),
        entries=1,
    )
    entry = EntryRow("ask", "digest", json.dumps(SECRET).encode(), None, 1_700_000_000_000)
    await database.write(lambda connection: store.save(connection, Sealer(KEY, "dialogs"), Change(row, 0, (entry,))))
    await database.stop()
    assert SECRET.encode() not in (tmp_path / "rialto.db").read_bytes()
    return file


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code and what was written."""
    code = main(["dialogs", *arguments])
    return code, capsys.readouterr().out


def test_list_show_and_end(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("-c", str(config))
    code, out = run(capsys, "list", "--json", *place)
    assert code == 0 and [each["id"] for each in json.loads(out)] == ["01JD"]
    code, out = run(capsys, "show", "01JD", *place)
    assert code == 0 and "ask" in out and SECRET not in out
    code, out = run(capsys, "show", "01JD", "--content", *place)
    assert SECRET in out
    assert run(capsys, "end", "01JD", *place) == (0, "ended 1 of 1\n")
    assert run(capsys, "end", "01JD", *place)[0] == 1
    assert run(capsys, "list", *place) == (0, "no dialogs\n")
    code, out = run(capsys, "list", "--ended", "--json", *place)
    assert json.loads(out)[0]["error"] == "ended by the operator"
    assert main(["dialogs", "show", "nothing", *place]) == 2


def test_a_journal_that_names_a_class_makes_nothing_of_it(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wrote the journal chose the names, a plugin outside perhaps: they are shown, and never looked up."""
    (tmp_path / "trap.py").write_text(TRAP.format(sprung=str(tmp_path / "sprung")))
    monkeypatch.syspath_prepend(str(tmp_path))
    named = json.dumps({"$": "object", "t": "trap:Trap", "v": {"text": SECRET}}).encode()
    entry = EntryRow("do", "book", named, None, 1_700_000_000_000)
    asyncio.run(append(tmp_path, entry, arguments=b"[[" + named + b"], {}]"))
    for flags in ((), ("--content",), ("--json",), ("--content", "--json")):
        code, out = run(capsys, "show", "01JD", *flags, "-c", str(config))
        assert code == 0
        assert ("trap:Trap" in out) is ("--content" in flags)
    assert run(capsys, "list", "-c", str(config))[0] == 0
    assert run(capsys, "end", "01JD", "-c", str(config))[0] == 0
    assert "trap" not in sys.modules
    assert not (tmp_path / "sprung").exists()
    # The trap is one: what reads a journal to go on with its dialog does spring it.
    codec.loads(named)
    assert (tmp_path / "sprung").exists()
    del sys.modules["trap"]


async def append(folder: Path, entry: EntryRow, *, arguments: bytes) -> None:
    """The dialog has one entry more, and other arguments."""
    database, sealer = open_database(f"sqlite:///{folder / 'rialto.db'}"), Sealer(KEY, "dialogs")
    await database.start()
    row = await database.read(lambda connection: store.get(connection, sealer, "01JD"))
    assert row is not None
    change = Change(replace(row, arguments=arguments, entries=2), 1, (entry,))
    await database.write(lambda connection: store.save(connection, sealer, change))
    await database.stop()
