"""The command line: exit codes, errors on one line, JSON; without a homeserver."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from ruamel.yaml import YAML

from appservice import __version__
from appservice.cli import exit_code, main, parser
from appservice.commands.checks import fail, ok, report, warn
from appservice.commands.common import Exit, Unreachable, UsageError
from appservice.config import ConfigError, load_config
from appservice.database import DatabaseError, open_database
from appservice.homeserver import HomeserverError
from appservice.local.accounts import Administration
from appservice.local.files import write_private
from appservice.local.prepare import PORTS, config_values
from appservice.local.yaml import to_yaml
from appservice.store.tables import InboxState, inbox

COMMANDS = ["up", "down", "status", "logs", "chat", "run", "migrate", "check", "doctor", "register", "user", "inbox"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory and no variables of ours."""
    for name in list(os.environ):
        if name.startswith("RIALTO_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield tmp_path


@pytest.fixture
def config(folder: Path) -> Path:
    """A valid configuration whose homeserver does not run."""
    values = config_values(PORTS, "k" * 32)
    values["homeserver"]["url"] = "http://127.0.0.1:9"
    values["metrics"]["listen"] = "127.0.0.1:9"
    path = folder / "config.yaml"
    write_private(path, to_yaml(values))
    return path


def outcome(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run a command in this process: exit code, output, errors."""
    try:
        code = main(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(capsys, "--version") == (0, f"rialto {__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, _ = outcome(capsys, command, "--help")
    assert code == 0
    assert len(out.splitlines()) > 5
    assert command in parser().format_help()


def test_it_also_runs_as_a_module() -> None:
    root = Path(__file__).parents[2]
    for module in ("appservice", "appservice.cli"):
        done = subprocess.run(
            [sys.executable, "-m", module, "--version"], cwd=root, capture_output=True, text=True, check=True
        )
        assert done.stdout == f"rialto {__version__}\n"


def test_the_parser_loads_no_heavy_module() -> None:
    """``rialto status`` in a shell prompt must not wait for mautrix, nio or SQLAlchemy."""
    heavy = "('mautrix', 'nio', 'sqlalchemy', 'aiohttp')"
    code = f"import appservice.cli, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n", done


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["user"], ["inbox"], ["inbox", "replay"], ["check", "--what"]])
def test_wrong_arguments_are_exit_code_2(
    capsys: pytest.CaptureFixture[str], config: Path, arguments: list[str]
) -> None:
    code, out, err = outcome(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), Exit.USAGE),
        (ConfigError([]), Exit.USAGE),
        (Unreachable("x"), Exit.UNREACHABLE),
        (HomeserverError(0, "UNREACHABLE", "x"), Exit.UNREACHABLE),
        (HomeserverError(403, "M_FORBIDDEN", "x"), Exit.FAILED),
        (DatabaseError("x"), Exit.UNREACHABLE),
    ],
)
def test_errors_have_meaning_for_scripts(error: Any, code: Exit) -> None:
    assert exit_code(error) is code


@pytest.mark.parametrize("command", [["check"], ["doctor"], ["migrate"], ["run"], ["inbox", "list"], ["register"]])
def test_a_missing_or_broken_configuration_is_exit_code_2_without_a_traceback(
    capsys: pytest.CaptureFixture[str], folder: Path, command: list[str]
) -> None:
    code, _, err = outcome(capsys, *command)
    assert code == 2
    assert err.startswith("rialto: no configuration")
    (folder / "config.yaml").write_text("appservise: {}\n")
    code, _, err = outcome(capsys, *command)
    assert code == 2
    assert "config.yaml:1" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", [["user", "list"], ["user", "add", "x"], ["chat"]])
def test_without_a_stack_the_local_commands_are_exit_code_3(
    capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    code, _, err = outcome(capsys, *command)
    assert code == 3
    assert "rialto up" in err


def test_status_and_down_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = outcome(capsys, "status", "--json")
    assert code == 3
    assert json.loads(out)["phase"] == "absent"
    assert outcome(capsys, "down")[0] == 0
    assert not Path("data").exists(), "looking makes no folder"


def test_register_writes_a_registration_that_check_accepts(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    code, out, _ = outcome(capsys, "register")
    assert code == 0
    assert "app_service_config_files" in out
    registration = config.parent / "registration.yaml"
    assert stat.S_IMODE(registration.stat().st_mode) == 0o600
    assert outcome(capsys, "check", "--offline")[0] == 0
    text = registration.read_text().replace("rate_limited: false", "rate_limited: true")
    registration.write_text(text)
    code, out, _ = outcome(capsys, "check", "--offline")
    assert code == 1
    assert "rate_limited" in out
    assert str(registration) in out
    assert "config.yaml" in out


def test_a_new_registration_makes_the_configuration_too(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, _, err = outcome(
        capsys,
        "register",
        "--new",
        "-c",
        "made.yaml",
        "--homeserver",
        "https://m.example.org",
        "--server-name",
        "example.org",
    )
    assert code == 0, err
    made = load_config(folder / "made.yaml")
    assert (made.homeserver.url, made.homeserver.server_name) == ("https://m.example.org", "example.org")
    assert stat.S_IMODE((folder / "made.yaml").stat().st_mode) == 0o600
    assert outcome(capsys, "check", "-c", "made.yaml", "--offline")[0] == 0


def test_new_tokens_leave_the_rest_of_the_configuration_alone(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    before = load_config(config)
    config.write_text(config.read_text() + "# a comment\n")
    assert outcome(capsys, "register", "--new", "-c", str(config))[0] == 0
    after = load_config(config)
    assert after.appservice.as_token != before.appservice.as_token
    assert after.appservice.hs_token != before.appservice.hs_token
    assert after.encryption.pickle_key == before.encryption.pickle_key
    assert "# a comment" in config.read_text()


def test_tokens_in_files_of_their_own_are_not_touched(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    values = YAML(typ="safe").load(config.read_text())
    values["appservice"]["as_token"] = {"file": "as_token.txt"}
    config.write_text(to_yaml(values))
    code, _, err = outcome(capsys, "register", "--new", "-c", str(config))
    assert code == 2
    assert "file of its own" in err


def test_check_says_what_money_lacks(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    assert outcome(capsys, "register", "-c", str(config))[0] == 0
    arguments = ("check", "--offline", "--json", "-c", str(config))

    def money() -> list[tuple[str, str]]:
        checks = json.loads(outcome(capsys, *arguments)[1])["checks"]
        return [(check["verdict"], check["text"]) for check in checks if check["name"] == "money"]

    assert money() == []
    values = YAML(typ="safe").load(config.read_text())
    wallet = next(bot for bot in values["bots"] if bot["plugin"] == "wallet")
    wallet["enabled"] = True
    write_private(config, to_yaml(values))
    assert [verdict for verdict, _ in money()] == ["warn", "warn"]
    values["web"] = {"enabled": True}
    values["payments"] = {"providers": {"sandbox": {"enabled": True}}}
    write_private(config, to_yaml(values))
    assert money() == [("ok", "the wallet has what it needs")]
    values["homeserver"]["server_name"] = "example.org"
    write_private(config, to_yaml(values))
    ((verdict, text),) = money()
    assert verdict == "warn"
    assert "play money" in text
    values["payments"]["default_currency"] = "XXQ"
    write_private(config, to_yaml(values))
    code, _, error = outcome(capsys, *arguments)
    assert code == 2
    assert "payments.default_currency" in error


def test_check_and_doctor_say_that_the_homeserver_does_not_answer(
    capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    outcome(capsys, "register")
    code, out, _ = outcome(capsys, "check")
    assert code == 3
    assert "http://127.0.0.1:9" in out
    code, out, _ = outcome(capsys, "doctor", "--json")
    assert code == 3
    answer = json.loads(out)
    verdicts = {check["name"]: check["verdict"] for check in answer["checks"]}
    assert answer["ok"] is False
    assert verdicts["homeserver"] == "fail"
    assert verdicts["database"] == "warn", "no database yet"
    assert verdicts["disk"] == "ok"
    assert not (config.parent / "rialto.db").exists(), "an examination makes nothing"


def test_doctor_sees_open_permissions_and_the_database(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    assert outcome(capsys, "migrate")[0] == 0
    code, out, _ = outcome(capsys, "migrate")
    assert code == 0
    assert "already" in out
    config.parent.chmod(0o755)
    config.chmod(0o644)
    _, out, _ = outcome(capsys, "doctor", "--json")
    checks = {check["name"]: check for check in json.loads(out)["checks"]}
    assert checks["permissions"]["verdict"] == "warn"
    assert checks["permissions"]["advice"].startswith("chmod 600")
    assert (checks["database"]["verdict"], checks["migrations"]["verdict"]) == ("ok", "ok")


def test_doctor_sees_a_database_that_cannot_be_opened(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    (config.parent / "rialto.db").write_text("this is no database, and long enough to be seen as none" * 40)
    _, out, err = outcome(capsys, "doctor", "--json")
    checks = {check["name"]: check for check in json.loads(out)["checks"]}
    assert checks["database"]["verdict"] == "fail"
    assert "Traceback" not in err


def test_reports_speak_to_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert report([ok("a", "fine"), warn("b", "hm", "look")], as_json=False) is Exit.OK
    assert "→ look" in capsys.readouterr().out
    assert report([ok("a", "fine"), fail("b", "bad", "mend it")], as_json=False) is Exit.FAILED
    assert report([fail("b", "gone", "start it", unreachable=True)], as_json=True) is Exit.UNREACHABLE
    _, _, last = capsys.readouterr().out.rpartition("mend it\n")
    assert json.loads(last)["checks"][0]["text"] == "gone"


# ------------------------------------------------------------------- inbox


def put_letters(config: Path, *letters: tuple[str, InboxState]) -> None:
    """Put events into the inbox of the configured database."""

    async def work() -> None:
        database = open_database(load_config(config).database.url)
        await database.start()
        try:
            await database.write(insert)
        finally:
            await database.stop()

    def insert(connection: sa.Connection) -> None:
        for seq, (event_id, state) in enumerate(letters, start=1):
            connection.execute(
                inbox.insert().values(
                    shard=0,
                    seq=seq,
                    room_id="!room:x",
                    event_id=event_id,
                    state=int(state),
                    attempts=5,
                    done_by="",
                    error="bot:@rialto:x: ValueError",
                    received_at=1_700_000_000_000,
                    payload=json.dumps({"type": "m.room.message", "event_id": event_id}).encode(),
                )
            )

    asyncio.run(work())


def test_names_of_people_do_not_write_on_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def users(_: Administration) -> list[dict[str, Any]]:
        return [{"name": "@eve:localhost", "displayname": "\x1b[2JEve\n@root:localhost\u202e  admin"}]

    monkeypatch.setattr(Administration, "users", users)
    monkeypatch.setenv("RIALTO_ADMIN_TOKEN", "a token")
    code, out, _ = outcome(capsys, "user", "list", "--homeserver", "http://127.0.0.1:1")
    assert code == Exit.OK
    (line,) = out.splitlines()
    assert line.split() == ["@eve:localhost", "Eve", "@root:localhost", "admin"]


def test_dead_letters_are_listed_shown_replayed_and_dropped(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    assert outcome(capsys, "migrate")[0] == 0
    assert outcome(capsys, "inbox", "list")[1] == "no dead letters\n"
    put_letters(
        config, ("$a", InboxState.DEAD), ("$b", InboxState.DEAD), ("$c", InboxState.PARKED), ("$d", InboxState.DONE)
    )
    listed = json.loads(outcome(capsys, "inbox", "list", "--json")[1])
    assert [letter["event_id"] for letter in listed] == ["$a", "$b"]
    assert "payload" not in listed[0]
    assert "$c" in outcome(capsys, "inbox", "list", "--parked")[1]
    _, out, _ = outcome(capsys, "inbox", "show", "$a", "--json")
    assert json.loads(out)["event"]["event_id"] == "$a"
    assert outcome(capsys, "inbox", "show", "$nothing")[0] == 2

    assert outcome(capsys, "inbox", "drop", "$a")[:2] == (0, "dropped 1 of 1\n")
    assert outcome(capsys, "inbox", "drop", "$a")[:2] == (1, "dropped 0 of 1\n"), "it is no dead letter any more"
    replayed = json.loads(outcome(capsys, "inbox", "replay", "--all", "--json")[1])
    assert replayed == {"replayed": 1, "asked": 1}
    assert outcome(capsys, "inbox", "list")[1] == "no dead letters\n"


def test_the_inbox_of_an_unreachable_database_is_exit_code_3(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    values = YAML(typ="safe").load(config.read_text())
    values["database"] = {"url": "postgresql://nobody@127.0.0.1:9/none"}
    config.write_text(to_yaml(values))
    code, _, err = outcome(capsys, "inbox", "list")
    assert code == 3, err
    assert "Traceback" not in err
