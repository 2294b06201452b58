"""``rialto plugin``: a project that passes its own tests, a check that finds what is wrong, and switches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appservice.cli import main
from appservice.commands.common import UsageError
from appservice.config import load_config
from bots.framework.tools.check import check
from bots.framework.tools.dev import settings_of, with_plugin
from bots.framework.tools.new import create
from tests.unit.plugin_host import KEYS, plugin

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path) -> int:
    """``rialto …``; its exit code."""
    return main([str(each) for each in arguments])


def output(capsys: pytest.CaptureFixture[str]) -> Any:
    """What was written as JSON."""
    return json.loads(capsys.readouterr().out)


# new


@pytest.mark.parametrize("name", ["coffee", "coffee-shop"])
def test_a_new_project_passes_its_own_tests_and_checks(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("plugin", "new", name, "--dir", tmp_path, "--json") == 0
    made = output(capsys)
    project = Path(made["project"])
    assert project == tmp_path / name
    assert all(Path(file).is_file() for file in made["files"])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    assert run("plugin", "check", project, "--json") == 0
    (report,) = output(capsys)["plugins"]
    assert (report["plugin"], report["ok"], report["problems"]) == (name, True, [])
    assert [setting["name"] for setting in report["settings"]] == ["greeting"]


def test_a_new_project_is_typed_and_tidy(tmp_path: Path) -> None:
    project, _ = create("tidy", tmp_path)
    for command in (
        ["mypy", "--strict", "--explicit-package-bases", "tidy", "tests"],
        ["ruff", "check", "--isolated", "--line-length", "120", "."],
        ["ruff", "format", "--isolated", "--line-length", "120", "--check", "."],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=project,
            env={**os.environ, "MYPYPATH": f"{ROOT}:{project}", "MYPY_CACHE_DIR": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["Coffee", "1x", "a b", "json", "class", "hub", "x" * 41, "", "a--b", "../x"])
def test_names_that_cannot_be(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plugin", "new", name, "--dir", tmp_path) == 2
    assert capsys.readouterr().err.startswith("rialto: ")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    create("coffee", tmp_path)
    with pytest.raises(UsageError, match="is there already"):
        create("coffee", tmp_path)


# check


def test_a_check_finds_everything_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project, _ = create("coffee", tmp_path)
    file = project / "coffee" / "plugin.py"
    text = (
        file.read_text()
        .replace("frozenset()", 'frozenset({"htp", "http"})')
        .replace("import Enum", "import Enum\nimport random")
    )
    text = text.replace('await d.ask(d.t("For whom is it?"))', 'random.choice(["a"])').replace(
        'd.t("Then not.")', 'd.t("Or not.")'
    )
    file.write_text(text)
    assert run("plugin", "check", project) == 1
    out = capsys.readouterr().out
    assert f"{file}:" in out and "'htp' is no scope, did you mean 'http'?" in out
    assert "Or not." in out and "de" in out
    file.write_text(text.replace('"htp", ', ""))
    assert run("plugin", "check", project) == 1
    out = capsys.readouterr().out
    assert "random.choice is another thing on every replay: use await d.random()" in out
    assert "scope http: may call other services over the network (the operator grants it)" in out
    assert "setting greeting (str, optional) How it greets." in out


def test_a_check_of_what_is_no_plugin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plugin", "check", tmp_path / "gone") == 1
    assert "does not exist" in capsys.readouterr().out
    assert run("plugin", "check", tmp_path, "--json") == 1
    assert "is no plugin" in output(capsys)["plugins"][0]["problems"][0]["reason"]
    (tmp_path / "broken.py").write_text("def oops(:")
    (report,) = check(tmp_path)
    assert (report.ok, report.found) == (False, None)
    assert report.problems[0].line == 1


def test_the_built_in_plugins_pass_the_check() -> None:
    for name in ("hub", "echo"):
        (report,) = check(ROOT / "bots" / name)
        assert [str(problem) for problem in report.problems] == []


# list, enable, disable


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "coffee.py").write_text(plugin("coffee", "summary = 'Makes coffee.'"))
    (tmp_path / "plugins" / "broken.py").write_text("\n\ndef oops(:")
    path = tmp_path / "config.yaml"
    path.write_text(
        KEYS
        + """\
bots:
  - {plugin: hub, localpart: rialto, display_name: Rialto}
  - {plugin: coffee, joins: rialto}
  - {plugin: broken, name: b, joins: rialto}
plugins: {folders: [plugins]}
database: {url: "sqlite:///r.db"}
"""
    )
    path.chmod(0o600)
    return path


def test_list_shows_plugins_instances_problems_and_switches(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plugin", "list", "-c", config, "--json") == 1
    found = output(capsys)
    assert {"hub", "echo", "coffee"} <= {each["name"] for each in found["plugins"]}
    assert [(each["name"], each["usable"]) for each in found["instances"]] == [
        ("hub", True), ("coffee", True), ("b", False)
    ]  # fmt: skip
    places = {(Path(each["file"]).name, each["line"]) for each in found["problems"]}
    assert places == {("broken.py", 3), ("config.yaml", 7)}
    assert found["switches_unread"]
    assert run("plugin", "disable", "coffee", "-c", config, "--room", "!a:b", "--reason", "noise", "--json") == 0
    assert output(capsys) == {"plugin": "coffee", "scope": "room:!a:b", "enabled": False}
    assert run("plugin", "list", "-c", config, "--json") == 1
    found = output(capsys)
    assert found["instances"][1]["switches"] == [
        {"scope": "room:!a:b", "enabled": False, "by": "operator", "reason": "noise"}
    ]
    assert run("plugin", "enable", "coffee", "-c", config, "--room", "!a:b") == 0
    assert run("plugin", "disable", "coffee", "-c", config) == 0
    assert run("plugin", "disable", "coffee", "-c", config, "--server", "example.org") == 0
    capsys.readouterr()
    assert run("plugin", "list", "-c", config) == 1
    captured = capsys.readouterr()
    assert "disabled: everywhere (by operator)" in captured.out
    assert "disabled: server:example.org (by operator)" in captured.out
    assert "!a:b" not in captured.out
    assert "broken.py:3: plugin broken: cannot be imported" in captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["disable", "cofee"], "there is no plugin instance 'cofee', did you mean 'coffee'?"),
        (["disable", "coffee", "--room", "#x:y"], "a room is named by its id"),
    ],
)
def test_wrong_arguments(config: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plugin", *arguments, "-c", config) == 2
    assert words in capsys.readouterr().err


def test_rialto_check_tells_of_plugins(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "-c", config, "--offline", "--json") == 1
    texts = [each["text"] for each in output(capsys)["checks"] if each["name"] == "plugins"]
    assert len(texts) == 2
    assert any("broken.py:3: plugin broken" in text for text in texts)
    assert any("config.yaml:7: plugin b: bots[2].plugin is 'broken'" in text for text in texts)


# dev


def test_dev_adds_a_bot_or_takes_the_one_that_is_there(config: Path, tmp_path: Path) -> None:
    project, _ = create("tea-pot", tmp_path)
    loaded = load_config(config, {})
    changed, name = with_plugin(loaded, project, settings_of(["greeting=Hi=there"]))
    bot = changed.bots[-1]
    assert (name, bot.instance, bot.localpart) == ("dev-tea-pot", "dev-tea-pot", "_rialto_dev_tea-pot")
    assert (bot.display_name, bot.settings) == ("Tea pot (dev)", {"greeting": "Hi=there"})
    assert str(project) in changed.plugins.folders
    again, name = with_plugin(loaded, tmp_path / "plugins" / "coffee.py", {})
    assert (name, len(again.bots)) == ("coffee", 3)
    from bots.framework.instances import plan

    assert "dev-tea-pot" in {wanted.instance for wanted in plan(changed).wanted}
    assert "coffee" in {wanted.instance for wanted in plan(again).wanted}
    with pytest.raises(UsageError, match="KEY=VALUE"):
        settings_of(["x"])
    with pytest.raises(UsageError, match="needs to be one plugin"):
        with_plugin(loaded, tmp_path / "plugins", {})


def test_every_action_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for action in ("new", "check", "dev", "list", "enable", "disable"):
        with pytest.raises(SystemExit) as caught:
            run("plugin", action, "--help")
        assert caught.value.code == 0
        assert len(capsys.readouterr().out) > 150
