"""The public plugin API: documented, recorded, and no version promises what it does not hold."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from bots.framework import API_VERSION
from bots.framework.tools.reference import __main__ as tool
from bots.framework.tools.reference import changes, checks
from bots.framework.tools.reference.changes import Level, Record, demanded
from bots.framework.tools.reference.model import Code, Entry
from bots.framework.tools.reference.names import PUBLIC

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def code() -> Code:
    """The code, read."""
    return Code(ROOT)


@pytest.fixture(scope="module")
def public(code: Code) -> dict[str, Entry]:
    """The public names."""
    return code.public()


# What holds for the API as it is


def test_everything_public_is_documented(code: Code, public: dict[str, Entry]) -> None:
    assert checks.problems(code, public) == []


def test_the_pages_are_up_to_date(code: Code) -> None:
    assert tool.outdated(code) == []


def test_nothing_has_changed_unannounced(code: Code) -> None:
    assert tool.unrecorded(code) == []


def test_public_names_are_there_at_run_time(public: dict[str, Entry]) -> None:
    """What the reader of the code found is what a plugin imports."""
    for path in public:
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name), path


def test_all_of_the_framework_is_public() -> None:
    for module, names in PUBLIC.items():
        exported = set(getattr(importlib.import_module(module), "__all__", ()))
        assert names is None or set(names) <= exported, module


# What the check finds

_PACKAGE = '''
"""A package."""

from typing import Any


class Box:
    """Holds things: see :meth:`Box.put` and {reference}."""

    def __init__(self, size: int) -> None:
        """
        Args:
            size: of it.
        """
        self.size = size
        """How many go in."""

    def put(self, thing: str, twice: bool = False) -> None:
        """Put something in.

        Args:
            thing: what.
{twice}        """

    def undocumented(self) -> None:
{doc}        pass
'''


def entry_of(folder: Path, *, doc: str, reference: str, twice: str) -> tuple[Code, dict[str, Entry]]:
    """A package with one class, read like the real one."""
    for package in ("appservice", "bots"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text('"""A package."""\n')
    text = _PACKAGE.format(doc=doc, reference=reference, twice=twice)
    (folder / "bots" / "box.py").write_text(text)
    code = Code(folder)
    item = code.find("bots.box.Box")
    assert item is not None
    return code, {"bots.framework.Box": code._entry("bots.framework.Box", item)}


def found_in(folder: Path, **parts: str) -> list[str]:
    """What is said of the class."""
    code, public = entry_of(folder, **parts)
    return list(checks._of(code, public, public["bots.framework.Box"]))


DOC, REFERENCE, TWICE = '        """Nothing."""\n', ":class:`Box`", "            twice: two of it.\n"


def test_what_is_documented_is_fine(tmp_path: Path) -> None:
    assert found_in(tmp_path, doc=DOC, reference=REFERENCE, twice=TWICE) == []


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"doc": ""}, "bots.framework.Box.undocumented has no docstring"),
        ({"twice": ""}, "bots.framework.Box.put says nothing of its parameter twice"),
        ({"twice": TWICE + "            thrice: three.\n"}, "speaks of a parameter thrice, which it does not have"),
        ({"reference": ":class:`Bag`"}, "refers to Bag, which is not there"),
    ],
)
def test_what_is_missing_is_named_with_its_place(tmp_path: Path, parts: dict[str, str], words: str) -> None:
    (found,) = found_in(tmp_path, **{"doc": DOC, "reference": REFERENCE, "twice": TWICE, **parts})
    assert words in found
    assert found.startswith("bots/box.py:")


# What counts as which change


def function(signature: str, **more: Any) -> Record:
    """A recorded function."""
    return {"kind": "function", "signatures": [signature], **more}


@pytest.mark.parametrize(
    ("old", "new", "level"),
    [
        ("(a: int) -> str", "(a: int) -> str", Level.NONE),
        ("(a: int) -> str", "(a: int, b: int = 0) -> str", Level.MINOR),
        ("(a: int) -> str", "(a: int, *, b: int = 0) -> str", Level.MINOR),
        ("(a: int) -> str", "(a: int, **rest: int) -> str", Level.MINOR),
        ("(a: int) -> str", "(a: int | str) -> str", Level.MINOR),
        ("(a: int) -> str", "(a: Any) -> str", Level.MINOR),
        ("(a: int) -> str", "(a: int = 3) -> str", Level.MINOR),
        ("(a: int) -> str | None", "(a: int) -> str", Level.MINOR),
        ("(a: int, /) -> str", "(a: int) -> str", Level.MINOR),
        ("(*, a: int) -> str", "(a: int) -> str", Level.MINOR),
        ("(a: int) -> str", "(a: int, b: int) -> str", Level.MAJOR),
        ("(a: int) -> str", "(a: int, *, b: int) -> str", Level.MAJOR),
        ("(a: int) -> str", "() -> str", Level.MAJOR),
        ("(a: int) -> str", "(b: int) -> str", Level.MAJOR),
        ("(a: int, b: int) -> str", "(b: int, a: int) -> str", Level.MAJOR),
        ("(a: int) -> str", "(*, a: int) -> str", Level.MAJOR),
        ("(a: int) -> str", "(a: int, /) -> str", Level.MAJOR),
        ("(a: int = 1) -> str", "(a: int = 2) -> str", Level.MAJOR),
        ("(a: int = 1) -> str", "(a: int) -> str", Level.MAJOR),
        ("(a: int | str) -> str", "(a: int) -> str", Level.MAJOR),
        ("(a: int) -> str", "(a: int) -> str | None", Level.MAJOR),
        ("(a: int) -> str", "(a: int) -> bytes", Level.MAJOR),
    ],
)
def test_signatures(old: str, new: str, level: Level) -> None:
    found = changes.changes({"f": function(old)}, {"f": function(new)})
    assert max((change.level for change in found), default=Level.NONE) is level, found


def kind_of(members: dict[str, Record], **more: Any) -> dict[str, Record]:
    """A recorded class."""
    return {"C": {"kind": "class", "members": members, **more}}


@pytest.mark.parametrize(
    ("old", "new", "level"),
    [
        ({}, {"f": function("()")}, Level.MINOR),
        ({"f": function("()")}, {}, Level.MAJOR),
        ({"f": function("()")}, {"f": {"kind": "value", "type": "int"}}, Level.MAJOR),
        ({"f": function("()")}, {"f": function("()", labels=["async"])}, Level.MAJOR),
        ({"f": {"same_as": "g"}}, {"f": {"same_as": "h"}}, Level.MAJOR),
        ({"f": {"kind": "value", "type": "int"}}, {"f": {"kind": "value", "type": "str"}}, Level.MAJOR),
        ({"f": {"kind": "value", "value": "1"}}, {"f": {"kind": "value", "value": "2"}}, Level.MAJOR),
        (kind_of({}), kind_of({"f": function("()")}), Level.MINOR),
        (kind_of({"f": function("()")}), kind_of({}), Level.MAJOR),
        (kind_of({}, labels=["protocol"]), kind_of({"f": function("()")}, labels=["protocol"]), Level.MAJOR),
        (kind_of({}, bases=["A"]), kind_of({}), Level.MAJOR),
        (kind_of({}), kind_of({}, bases=["A"]), Level.MINOR),
        (
            {"f": function("(a: int) -> int")},
            {"f": {"kind": "function", "signatures": ["(a: int) -> int", "(a: str) -> str"]}},
            Level.MINOR,
        ),
        (
            {"f": {"kind": "function", "signatures": ["(a: int) -> int", "(a: str) -> str"]}},
            {"f": function("(a: int) -> int")},
            Level.MAJOR,
        ),
    ],
)
def test_names(old: dict[str, Record], new: dict[str, Record], level: Level) -> None:
    found = changes.changes(old, new)
    assert max(change.level for change in found) is level, found


def test_the_version_that_changes_ask_for() -> None:
    added = changes.changes({}, {"f": function("()")})
    removed = changes.changes({"f": function("()")}, {})
    assert demanded("1.4", []) == "1.4"
    assert demanded("1.4", added) == "1.5"
    assert demanded("1.4", [*added, *removed]) == "2.0"
    with pytest.raises(ValueError, match="two numbers"):
        changes.version("1")


def test_a_record_is_refused_when_the_version_is_too_low(
    code: Code,
    public: dict[str, Entry],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Since a version that had everything and one name more, and one that had a name less."""
    now = changes.record(public)
    (tmp_path / tool.RECORD.parent).mkdir(parents=True)
    released = tmp_path / tool.RELEASED

    released.write_text(json.dumps({"version": "1.0", "names": {**now, "bots.framework.gone": function("()")}}))
    assert tool.write_record(code, "1.1", tmp_path) == 1
    assert "bots.framework.gone is gone" in capsys.readouterr().err
    assert not (tmp_path / tool.RECORD).exists()
    assert tool.write_record(code, "2.0", tmp_path) == 0

    less = {path: each for path, each in now.items() if path != "bots.framework.Context"}
    released.write_text(json.dumps({"version": "1.0", "names": less}))
    assert tool.write_record(code, "1.0", tmp_path) == 1
    assert "asks for API_VERSION 1.1" in capsys.readouterr().err
    assert tool.write_record(code, "1.1", tmp_path) == 0
    assert tool.unrecorded(code, "1.1", tmp_path) == []
    assert tool.release(tmp_path) == 0
    assert tool.write_record(code, "1.1", tmp_path) == 0


def test_the_recorded_version_is_the_one_in_the_code() -> None:
    assert json.loads((ROOT / tool.RECORD).read_text())["version"] == API_VERSION
    changes.version(API_VERSION)
