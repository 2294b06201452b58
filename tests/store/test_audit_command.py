"""``rialto audit`` on a database with decisions in it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection

from appservice.cli import main
from appservice.database import open_database
from appservice.migrate import upgrade
from appservice.sealing import Sealer
from bridge.audit import Audit

KEY = "a pickle key for tests"
SECRET = "under the third arch"
DAY = 86_400_000
FIRST = 1_767_225_600_000  # 2026-01-01


@pytest.fixture
async def config(tmp_path: Path) -> Path:
    """A configuration, and a database with an entry on each of three days."""
    file = tmp_path / "config.yaml"
    file.write_text(
        f"appservice:\n  as_token: {'a' * 20}\n  hs_token: {'h' * 20}\n"
        f"encryption:\n  pickle_key: {KEY}\ndatabase:\n  url: sqlite:///{tmp_path / 'rialto.db'}\n"
    )
    database = open_database(f"sqlite:///{tmp_path / 'rialto.db'}")
    await database.start()
    await upgrade(database)
    audit = Audit(database, Sealer(KEY, "payments"))

    def work(connection: Connection) -> None:
        for day, actor in enumerate(("@alice:localhost", "@bob:localhost", "operator")):
            audit.append(
                connection,
                at=FIRST + day * DAY,
                actor=actor,
                action="payment.confirm",
                subject=f"payment:{day}",
                outcome="paid",
                details={"memo": SECRET},
            )

    await database.write(work)
    await database.stop()
    return file


def run(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str) -> tuple[int, str]:
    """The exit code and what was written."""
    code = main(["audit", *arguments, "-c", str(config)])
    return code, capsys.readouterr().out


def test_list(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, config, "list")
    assert code == 0 and SECRET not in out
    assert [line.split()[0] for line in out.splitlines()] == ["3", "2", "1"]
    assert "operator → payment:2" in out
    assert SECRET in run(capsys, config, "list", "--details")[1]
    code, out = run(capsys, config, "list", "--json", "--since", "2026-01-02", "--until", "2026-01-02")
    (entry,) = json.loads(out)
    assert (entry["seq"], entry["at"], entry["actor"]) == (2, "2026-01-02 00:00:00Z", "@bob:localhost")
    assert "details" not in entry
    assert run(capsys, config, "list", "--actor", "@nobody:localhost") == (0, "no entries\n")
    assert "payment:0" in run(capsys, config, "list", "--subject", "payment:0", "-n", "1")[1]
    assert [each["seq"] for each in json.loads(run(capsys, config, "list", "--json", "--before", "2")[1])] == [1]
    assert run(capsys, config, "list", "--since", "yesterday")[0] == 2
    assert run(capsys, config, "list", "-n", "0")[0] == 2


def test_export(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, config, "export", "--until", "2026-01-02T00:00")
    (line,) = out.splitlines()
    assert code == 0 and json.loads(line)["details"] == {"memo": SECRET}
    whole = json.loads(run(capsys, config, "export", "--json")[1])
    assert [each["seq"] for each in whole] == [1, 2, 3]
    assert json.loads(run(capsys, config, "export", "--json", "--since", "2030-01-01")[1]) == []


def test_verify(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, config, "verify", "--json")
    report = json.loads(out)
    assert code == 0 and report["whole"] and report["entries"] == 3
    noted = report["head"]
    assert noted.startswith("3:")
    assert run(capsys, config, "verify", "--noted", noted)[0] == 0
    assert run(capsys, config, "verify", "--noted", "3:" + "0" * 64)[0] == 1
    assert run(capsys, config, "verify", "--noted", "three")[0] == 2


def test_verify_finds_what_was_done_behind_its_back(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(config.parent / "rialto.db") as connection:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute("UPDATE audit_log SET outcome = 'refused' WHERE seq = 2")
        connection.execute("DROP TRIGGER audit_log_unchanged")
        connection.execute("UPDATE audit_log SET outcome = 'refused' WHERE seq = 2")
    connection.close()
    code, out = run(capsys, config, "verify")
    assert code == 1
    assert out.splitlines()[0] == "entry 2: it was changed"
    assert out.splitlines()[1].startswith("3 entries, 1 problems; the end is 3:")
