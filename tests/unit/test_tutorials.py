"""The code that the tutorials show is the code of the examples."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from bots.framework.discovery import discover

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a language."""
    return [code for name, code in BLOCK.findall(page.read_text()) if name == language]


def sources(page: Path) -> str:
    """Everything that the page's example consists of, each line without its indentation."""
    folder = ROOT / "examples" / page.stem.replace("-", "_")
    files = [*sorted(folder.rglob("*.py")), folder / "pyproject.toml"]
    return "\n".join(bare(file.read_text()) for file in files)


def bare(code: str) -> str:
    return "\n".join(line.strip() for line in textwrap.dedent(code).strip().splitlines())


def pieces(code: str) -> Iterator[str]:
    """A block may show several functions, which stand apart in the file."""
    yield from (bare(piece) for piece in re.split(r"\n\n(?=@|async def |def |class )", code.strip("\n")))


@each_page
def test_shown_code_is_there(page: Path) -> None:
    source = sources(page)
    shown = [piece for language in ("python", "toml") for code in blocks(page, language) for piece in pieces(code)]
    assert len(shown) > 5
    for piece in shown:
        assert piece in source, f"{page.name} shows what is not in the example:\n{piece}"


@each_page
def test_the_configuration_names_a_plugin_that_is_there(page: Path) -> None:
    (text,) = blocks(page, "yaml")
    config = YAML(typ="safe").load(text)
    found = discover([ROOT / folder for folder in config["plugins"]["folders"]], wanted=())
    assert found.problems == ()
    (bot,) = config["bots"]
    plugin = found.plugins[bot["plugin"]].plugin
    assert plugin.Settings is not None
    settings = {key: "x" * 20 if isinstance(value, dict) else value for key, value in bot["settings"].items()}
    plugin.Settings.model_validate(settings)
