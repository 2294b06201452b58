"""The project's own scripts and front page: they run, and they name what is there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from appservice.cli import parser

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for path in (ROOT / ".ci").iterdir() if path.is_file())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_executable_strict_bash(script: Path) -> None:
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_environment_script_says_what_is_missing(tmp_path: Path) -> None:
    """Without any Python: one clear message and exit code 1."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "environment").write_bytes((ROOT / ".ci" / "environment").read_bytes())
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "dirname", "sha256sum", "cut", "cat"):
        found = subprocess.run(["/bin/sh", "-c", f"command -v {tool}"], capture_output=True, text=True, check=True)
        (tools / tool).symlink_to(found.stdout.strip())
    done = subprocess.run(
        [tools / "bash", tmp_path / ".ci" / "environment"],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Rialto needs Python 3.11 or newer" in done.stderr


def test_the_front_page_names_commands_and_targets_that_exist() -> None:
    page = (ROOT / "README.md").read_text()
    known = {name for action in parser()._subparsers._group_actions for name in action.choices or ()}  # type: ignore[union-attr]
    commands = [line for line in page.splitlines() if line.startswith("| `rialto ")]
    named = set(re.findall(r"rialto ([a-z]+)", "".join(commands)))
    assert named <= known
    inside = {"down", "status", "logs"}  # beside `rialto up`, in one row
    assert known - inside == named
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", page)) - {"and"} <= targets


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert len(text) > 11_000
