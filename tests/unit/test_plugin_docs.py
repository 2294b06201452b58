"""The guide for plugin authors: its examples run, its names are public, a type checker agrees."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mypy import api as mypy

from bots.framework.tools.reference import checks
from bots.framework.tools.reference.model import Code, Entry
from tests.support.doc_blocks import DocModule, doc_module

ROOT = Path(__file__).parents[2]
BORROWED = {
    "bots.framework.arguments.fold",
    "bots.framework.arguments.durations.UNITS",
    "bots.framework.arguments.times.TERMS",
}
"""What an example takes of the inside, for want of something public. Nothing is to be added."""
EXAMPLES = sorted((ROOT / "examples").glob("*/*/*.py"))
GUIDE = sorted((ROOT / "docs" / "plugins").glob("*.md"))
MODULES = {page.stem: module for page in [ROOT / "README.md", *GUIDE] if (module := doc_module(page)) is not None}


@pytest.fixture(scope="module")
def public() -> dict[str, Entry]:
    """The public API."""
    return Code(ROOT).public()


def cases() -> Iterator[Any]:
    """Every test of every page, with its parameters."""
    for stem, module in MODULES.items():
        loaded = module.load()
        for name in module.tests:
            test = getattr(loaded, name)
            marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
            if not marks:
                yield pytest.param(test, {}, id=f"{stem}-{name}")
                continue
            (mark,) = marks
            for value in mark.args[1]:
                yield pytest.param(test, {mark.args[0]: value}, id=f"{stem}-{name}-{value}")


@pytest.mark.parametrize(("test", "arguments"), list(cases()))
async def test_examples_run(test: Any, arguments: dict[str, Any]) -> None:
    result = test(**arguments)
    if inspect.isawaitable(result):
        await result


def test_most_pages_have_tests_in_them() -> None:
    tested = {stem for stem, module in MODULES.items() if module.tests}
    assert tested >= {"index", "quickstart", "handlers", "dialogs", "choices", "state", "schedules", "webhooks", "http"}


def test_a_type_checker_agrees(tmp_path: Path) -> None:
    files = []
    for module in MODULES.values():
        file = tmp_path / f"{module.name}.py"
        file.write_text(module.source, encoding="utf-8")
        files.append(str(file))
    said, errors, code = mypy.run(["--config-file", str(ROOT / "pyproject.toml"), *files])
    assert code == 0, said + errors


def imported(source: str) -> Iterator[str]:
    """What a module imports of Rialto."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in {"appservice", "bots", "bridge"}:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_examples_import_public_names(module: DocModule, public: dict[str, Entry]) -> None:
    for path in imported(module.source):
        assert path in public, f"{module.page.name} imports {path}"


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_example_plugins_import_public_names(file: Path, public: dict[str, Entry]) -> None:
    for path in imported(file.read_text(encoding="utf-8")):
        assert path in public or path in BORROWED, f"{file} imports {path}"


@pytest.mark.parametrize("page", GUIDE, ids=lambda page: page.stem)
def test_named_members_are_public(page: Path, public: dict[str, Entry]) -> None:
    """``ctx.say`` and ``d.ask`` in the prose."""
    text = page.read_text(encoding="utf-8")
    if page.stem == "stability":
        text = text.partition("## What is internal")[0]
    for code in re.findall(r"`([^`\n]+)`", text):
        for owner, name in checks.SAID.findall(code):
            assert name in checks.members(public, owner), f"{page.name} speaks of {owner}.{name}"


def test_every_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs" / "plugins" / "index.md").read_text(encoding="utf-8")
    for page in GUIDE:
        assert page.stem == "index" or f"]({page.name})" in index, page.name
