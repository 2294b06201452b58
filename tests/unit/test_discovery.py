"""Plugins are found wherever they are, and what is wrong with one is told with its file and line."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from bots.framework.analysis import FORBIDDEN
from bots.framework.discovery import Discovery, candidates, discover, private_name
from bots.framework.problems import PluginError, PluginProblem
from bots.framework.scopes import SCOPES, granted, unknown

HEAD = """\
from bots.framework import Context, Dialog, Plugin, Setup, command, dialog, message, location, webhook
"""
GOOD = (
    HEAD
    + "class Coffee(Plugin):\n"
    + "    @command('coffee', help='Coffee')\n"
    + "    async def coffee(self, ctx: Context) -> None: ...\n"
)


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text))
    return file


def find(folder: Path) -> Discovery:
    return discover([folder], wanted=())


def only(folder: Path) -> PluginProblem:
    """The one thing that is wrong."""
    found = find(folder)
    assert len(found.problems) == 1, [str(problem) for problem in found.problems]
    return found.problems[0]


def body(text: str) -> str:
    """A plugin class with these members."""
    return HEAD + "class Coffee(Plugin):\n" + "".join(f"    {line}\n" for line in dedent(text).strip().split("\n"))


def test_a_file_a_package_and_a_project(tmp_path: Path) -> None:
    write(tmp_path / "coffee.py", GOOD)
    write(tmp_path / "tea" / "__init__.py", "from .leaves import Tea")
    write(tmp_path / "tea" / "leaves.py", GOOD.replace("Coffee", "Tea"))
    write(tmp_path / "milk" / "pyproject.toml", '[project.entry-points."rialto.plugins"]\nmilk = "cow.parts:Milk"\n')
    write(tmp_path / "milk" / "src" / "cow" / "__init__.py", "")
    write(tmp_path / "milk" / "src" / "cow" / "parts.py", GOOD.replace("Coffee", "Milk"))
    write(tmp_path / "_private.py", "raise SystemExit")
    write(tmp_path / "test_coffee.py", "raise SystemExit")
    write(tmp_path / "notes.txt", "")
    found = find(tmp_path)
    assert found.problems == ()
    assert sorted(found.plugins) == ["coffee", "milk", "tea"]
    assert found.plugins["tea"].plugin.__name__ == "Tea"
    assert found.sources.plugin_of(str(tmp_path / "tea" / "leaves.py")) == "tea"
    assert found.sources.plugin_of(str(tmp_path / "teapot.py")) is None
    for path in (tmp_path / "coffee.py", tmp_path / "tea", tmp_path / "milk"):
        assert len(candidates(path)) == 1


def test_the_built_in_ones_are_there_and_are_trusted() -> None:
    found = discover()
    assert {"hub", "echo"} <= found.plugins.keys()
    assert found.plugins["hub"].trusted
    assert [str(problem) for problem in found.problems] == []
    assert sorted(discover(wanted={"echo"}).plugins) == ["echo"]


def test_installed_ones_come_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "espresso_bot.py", GOOD.replace("Coffee", "Espresso"))
    write(tmp_path / "broken_bot.py", "1 / 0\n")
    info = tmp_path / "espresso-1.2.dist-info"
    write(info / "METADATA", "Metadata-Version: 2.1\nName: espresso\nVersion: 1.2\n")
    write(
        info / "entry_points.txt",
        "[rialto.plugins]\nespresso = espresso_bot:Espresso\nother = espresso_bot:Espresso\nbroken = broken_bot:B\n"
        "nothing = espresso_bot:command\n",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = discover(wanted={"espresso", "other", "broken", "nothing"})
    assert found.plugins["espresso"].source == "espresso 1.2"
    assert not found.plugins["espresso"].trusted
    words = {problem.plugin: problem for problem in found.problems}
    assert "make them agree" in words["other"].reason
    assert (words["broken"].file, words["broken"].line) == (str(tmp_path / "broken_bot.py"), 1)
    assert "ZeroDivisionError" in words["broken"].reason
    assert "is no Plugin class" in words["nothing"].reason
    for name in ("espresso_bot", "broken_bot"):
        sys.modules.pop(name, None)


def test_a_private_name_shadows_nothing(tmp_path: Path) -> None:
    write(tmp_path / "json.py", GOOD.replace("Coffee", "Json"))
    import json

    found = find(tmp_path)
    assert found.plugins["json"].module == private_name(tmp_path / "json.py") != "json"
    assert sys.modules["json"] is json
    assert not list(tmp_path.rglob("*.pyc"))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("def oops(:\n", 1, "cannot be imported: "),
        ("import os\nimport nonsense_that_is_not_there\n", 2, "No module named 'nonsense_that_is_not_there'"),
        ("x = 1\n\nraise ValueError('bad day')\n", 3, "cannot be imported: ValueError: bad day"),
        ("import sys\nsys.exit(3)\n", 2, "cannot be imported: SystemExit: 3"),
        ("x = 1\n", 1, "has no Plugin class"),
        (
            GOOD + "class Tea(Plugin): ...\n",
            5,
            "several Plugin classes, and needs to be one: Coffee (coffee.py:2), Tea",
        ),
        (body("scopes = frozenset({'htp'})"), 2, "declares a scope that there is not: 'htp' is no scope, did you mean"),
        (body("scopes = 'http'"), 2, "its scopes need to be a set of names"),
        (body("name = 'Ünsinn'"), 2, "its name 'Ünsinn' needs lower-case letters"),
        (body("Settings = dict"), 2, "its Settings need to be a class of pydantic's BaseModel"),
        (
            body("def __init__(self, one, two): ..."),
            2,
            "its constructor takes one, two; it is given a Setup, or nothing",
        ),
        (
            body("@command('x', help='x')\nasync def x(self, ctx: Context, thing: object) -> None: ..."),
            3,
            "parameter 'thing'",
        ),
        (body("@command('x', help='x')\ndef x(self, ctx: Context) -> None: ..."), 3, "async def"),
        (body("@message\nasync def x(self) -> None: ..."), 3, "it is called with"),
        (body("@dialog\ndef x(self, d: Dialog) -> None: ..."), 3, "needs “async def”: a dialog waits"),
        (body("@dialog\nasync def x(self, d: Dialog) -> None:\n    print('hello')"), 3, "never awaits its dialog"),
        (
            body("@dialog\nasync def x(self, d: Dialog) -> None:\n    await d.say('a')\n    d.say('b')"),
            6,
            "d.say(…) is not awaited: it does nothing",
        ),
        (
            body("@location\nasync def x(self, ctx: Context, place: object) -> None: ..."),
            2,
            "does not declare the scope location.read",
        ),
        (
            body("@webhook('in', secret='key')\nasync def x(self, ctx: Context, call: object) -> None: ..."),
            2,
            "its webhook 'in' needs a setting 'key', which is a SecretStr",
        ),
    ],
)
def test_what_is_wrong_names_plugin_file_and_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    file = write(tmp_path / "coffee.py", text)
    problem = only(tmp_path)
    assert words in problem.reason
    assert (problem.file, problem.line) == (str(file), line)
    assert problem.fatal
    assert str(problem).startswith(f"{file}:{line}: plugin ")
    assert find(tmp_path).plugins == {}


def test_the_others_are_found_beside_broken_ones(tmp_path: Path) -> None:
    write(tmp_path / "a.py", "def oops(:")
    write(tmp_path / "coffee.py", GOOD)
    write(tmp_path / "deep" / "__init__.py", "from .inner import nothing")
    write(tmp_path / "deep" / "inner.py", "x = (\n")
    write(tmp_path / "own" / "__init__.py", "import own.parts")
    found = find(tmp_path)
    assert list(found.plugins) == ["coffee"]
    assert [Path(problem.file).name for problem in found.problems] == ["a.py", "inner.py", "__init__.py"]
    assert "write “from .module import name”" in found.problems[2].reason
    assert not [name for name in sys.modules if name.startswith(("rialto_plugin_a_", "rialto_plugin_deep"))]


def test_two_plugins_with_one_name(tmp_path: Path) -> None:
    write(tmp_path / "a.py", GOOD)
    write(tmp_path / "b.py", GOOD)
    write(tmp_path / "c.py", GOOD.replace("class Coffee(Plugin):", "class Coffee(Plugin):\n    name = 'echo'"))
    found = discover([tmp_path], wanted={"echo"})
    assert found.plugins["coffee"].root == tmp_path / "a.py"
    assert found.plugins["echo"].trusted
    assert [(Path(problem.file).name, problem.line, problem.code) for problem in found.problems] == [
        ("b.py", 2, "plugin_name_taken"),
        ("c.py", 2, "plugin_name_taken"),
    ]
    assert f"{tmp_path / 'a.py'} too, which is used" in found.problems[0].reason


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    assert "does not exist" in str(only(tmp_path / "nowhere"))
    write(tmp_path / "p" / "pyproject.toml", "[project\n")
    assert "pyproject.toml cannot be read" in str(only(tmp_path))
    write(tmp_path / "p" / "pyproject.toml", '[project.entry-points."rialto.plugins"]\nx = "gone:X"\n')
    assert "there is no gone beside it" in str(only(tmp_path))
    with pytest.raises(PluginError):
        candidates(tmp_path / "p")


def test_the_base_of_another_plugin_is_no_second_one(tmp_path: Path) -> None:
    write(tmp_path / "coffee.py", GOOD + "class Better(Coffee):\n    name = 'better'\n")
    assert list(find(tmp_path).plugins) == ["better"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("x = datetime.now()", "dialog_nondeterministic"),
        ("x = dt.datetime.now()", "dialog_nondeterministic"),
        ("x = time.time()", "dialog_nondeterministic"),
        ("x = choice([1, 2])", "dialog_nondeterministic"),
        ("x = random.random()", "dialog_nondeterministic"),
        ("x = uuid.uuid4()", "dialog_nondeterministic"),
        ("x = os.environ['X']", "dialog_nondeterministic"),
        ("x = os.environ.get('X')", "dialog_nondeterministic"),
        ("x = open('file')", "dialog_nondeterministic"),
        ("await asyncio.sleep(1)", "dialog_nondeterministic"),
        ("await self.other(1)", "dialog_foreign_await"),
        ("await d.say(str(random.random()))", "dialog_nondeterministic"),
        ("await d.step('a', other, time.time())", "dialog_nondeterministic"),
        ("await self.helper(d)", "dialog_nondeterministic"),
        ("async with self.lock: pass", "dialog_foreign_await"),
        ("for x in {1, 2}: pass", "dialog_order"),
    ],
)
def test_what_a_replay_would_do_differently(tmp_path: Path, line: str, code: str) -> None:
    imports = "import asyncio, os, random, time, uuid\nimport datetime as dt\n"
    imports += "from datetime import datetime\nfrom random import choice\n"
    text = f"""
        @dialog
        async def x(self, d: Dialog) -> None:
            await d.say("hello")
            {line}
        async def helper(self, talk: Dialog) -> None:
            await talk.say(random.choice(["a", "b"]))
        async def other(self, x: int) -> None:
            await asyncio.sleep(1)
    """
    file = write(tmp_path / "coffee.py", imports + body(text))
    found = find(tmp_path)
    assert list(found.plugins) == ["coffee"], "it may run: only a check is strict"
    (problem,) = found.plugins["coffee"].warnings
    assert problem.code == code
    expected = file.read_text().split("\n").index(f"        {line}") + 1
    if "helper" in line:
        expected += 2
    assert (problem.file, problem.line, problem.fatal) == (str(file), expected, False)


@pytest.mark.parametrize(
    "line",
    [
        "x = await d.now()",
        "x = await d.step('quote', self.kitchen.quote, 1)",
        "x = await d.step('dice', random.choice, [1, 2])",
        "x = await d.step('dice', lambda: random.random())",
        "x = datetime(2026, 1, 1) + timedelta(days=1)",
        "await ask_twice(d)",
        "await self.other(d, 3)",
        "def inner():\n    return random.random()\nawait d.step('dice', inner)",
    ],
)
def test_what_a_dialog_may_do(tmp_path: Path, line: str) -> None:
    imports = "import random\nfrom datetime import datetime, timedelta\n"
    lines = [
        "@dialog",
        "async def x(self, d: Dialog) -> None:",
        '    await d.say("hello")',
        *(f"    {each}" for each in line.split("\n")),
        "async def other(self, d: Dialog, count: int) -> None:",
        '    await d.say("again")',
    ]
    helper = "\nasync def ask_twice(d: Dialog) -> None:\n    await d.ask('a?')\n"
    write(tmp_path / "coffee.py", imports + body("\n".join(lines)) + helper)
    found = find(tmp_path)
    assert found.problems == ()
    assert [str(each) for each in found.plugins["coffee"].warnings] == []


def test_a_dialog_that_only_a_helper_awaits_is_one(tmp_path: Path) -> None:
    text = """
        @dialog
        async def x(self, d: Dialog) -> None:
            await self.helper(d)
        async def helper(self, d: Dialog) -> None:
            await d.say("hello")
    """
    write(tmp_path / "coffee.py", body(text))
    assert list(find(tmp_path).plugins) == ["coffee"]
    write(tmp_path / "coffee.py", body(text.replace('await d.say("hello")', "pass")))
    assert only(tmp_path).code == "dialog_never_awaits"


def test_every_advice_names_something_to_do() -> None:
    assert all(advice and advice[-1] not in ".!" for advice in FORBIDDEN.values())


def test_scopes() -> None:
    assert unknown("http") is None
    assert unknown("payments.*", pattern=True) is None
    assert "no scope" in str(unknown("payments.*"))
    assert "no scope" in str(unknown("pay.*", pattern=True))
    declared = ["http", "payments.charge", "schedules"]
    assert granted(declared, []) == (frozenset({"schedules"}), ["http", "payments.charge"])
    assert granted(declared, ["http", "payments.*"]) == (frozenset(declared), [])
    assert granted(declared, [], trusted=True) == (frozenset(declared), [])
    assert granted(["payments.wallet"], ["payments.wallet", "payments.*"]) == (frozenset(), ["payments.wallet"])
    assert granted(["payments.wallet"], [], trusted=True) == (frozenset({"payments.wallet"}), [])
    dangerous = {name for name, scope in SCOPES.items() if not scope.harmless}
    assert {"http", "rooms.create", "location.read", "payments.charge", "payments.send"} <= dangerous
