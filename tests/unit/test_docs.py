"""What the documents point at is there: links, anchors, files, configuration keys, metrics, commands."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from appservice.cli import parser
from appservice.config import Config
from appservice.config.schema import leaves
from appservice.metrics import Metrics
from bots.framework.scopes import SCOPES

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("**/*.md"))]
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
SECTIONS = set(Config.model_fields)
OPERATIONS = {"media.download", "media.upload"}
"""Of the protocol of plugins outside the process."""
KEYS = {".".join(path) for path, _ in leaves(Config)}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    """The text without code blocks."""
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The names of the headings, as renderers make them."""
    headings = re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def quoted(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(page))


@each_page
def test_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+://", target):
            assert target.startswith("https://"), target
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name} links to {name}, which is not there"
        assert file.is_relative_to(ROOT)
        if anchor:
            assert anchor in anchors(file), f"{page.name} links to #{anchor}, which {file.name} does not have"


@each_page
def test_named_files_exist(page: Path) -> None:
    """A path in backquotes that begins with a folder of this repository."""
    folders = {each.name for each in ROOT.iterdir() if each.is_dir() and not each.name.startswith(".")} - {"data"}
    for text in quoted(page):
        path = text.split()[0].rstrip("/").removeprefix("./")
        if path.partition("/")[0] in folders and "/" in text and re.fullmatch(r"[\w./-]+", path):
            assert (ROOT / path).exists(), f"{page.name} names {path}, which is not there"


@each_page
def test_named_configuration_keys_exist(page: Path) -> None:
    for text in quoted(page):
        section, dot, key = text.split(":")[0].partition(".")
        other = text in {*SCOPES, *OPERATIONS} or (ROOT / section / key).is_dir()
        if dot and section in SECTIONS and not other and key not in {"*", "yaml"} and re.fullmatch(r"[a-z_]+", key):
            assert f"{section}.{key}" in KEYS, f"{page.name} names {text}, which is no key"


@each_page
def test_named_metrics_exist(page: Path) -> None:
    known = {sample.name for family in Metrics().registry.collect() for sample in family.samples}
    known |= {family.name for family in Metrics().registry.collect()}
    known |= {f"{family.name}_total" for family in Metrics().registry.collect() if family.type == "counter"}
    known |= {"rialto_synapse"}  # a module, and no metric
    for name in re.findall(r"\brialto_[a-z_]+\b", page.read_text()):
        assert name in known, f"{page.name} names {name}, which is no metric"


@each_page
def test_named_commands_exist(page: Path) -> None:
    """``rialto NAME`` anywhere, code blocks included."""
    (action,) = (each for each in parser()._actions if isinstance(each, argparse._SubParsersAction))
    for name in re.findall(r"(?:^|[`/\s])rialto ([a-z]+)\b(?=[^\n]*`|[^\n]*$)", page.read_text(), re.MULTILINE):
        if re.search(rf"`[^`\n]*rialto {name}\b|^(\.venv/bin/)?rialto {name}\b", page.read_text(), re.MULTILINE):
            assert name in action.choices, f"{page.name} names `rialto {name}`, which is no command"


def test_every_metric_of_ours_stands_in_the_operating_page() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    for family in Metrics().registry.collect():
        if family.name.startswith("rialto_"):
            assert family.name in text, f"docs/operating.md does not speak of {family.name}"


def test_the_error_examples_are_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from appservice.config import ConfigError, load_config

    page = (ROOT / "docs" / "configuration.md").read_text()
    example = re.search(r"^```\n(config\.yaml:.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert example is not None
    monkeypatch.chdir(tmp_path)
    text = "# mine\nhomeserver:\n  url: matrix.org\n  conections: 5\nappservice:\n  as_token: 0123456789a\n"
    Path("config.yaml").write_text(text + "  hs_token: a9876543210\nencryption: {}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(Path("config.yaml"), {"RIALTO__DATABASE__POOL_SIZE": "many"})
    assert str(caught.value).splitlines() == example[1].splitlines()


def test_pages_have_no_machine_of_ours_in_them() -> None:
    for page in PAGES:
        assert not re.search(r"/(root|work|tmp)/", page.read_text()), page.name
