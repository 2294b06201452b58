"""``rialto plugin new``: a project that passes its own tests."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

from appservice.commands.common import UsageError

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_TAKEN: Final = frozenset({"hub", "echo", "bots", "bridge", "appservice", "alembic", "framework", "tests"})
_FILES: Final = {
    "pyproject.toml.in": "pyproject.toml",
    "README.md.in": "README.md",
    "gitignore.in": ".gitignore",
    "package/__init__.py.in": "$package/__init__.py",
    "package/plugin.py.in": "$package/plugin.py",
    "tests/test_plugin.py.in": "tests/test_$package.py",
    "locales/de.po.in": "$package/locales/de/LC_MESSAGES/$package.po",
}


def create(name: str, folder: Path) -> tuple[Path, list[Path]]:
    """Write the project ``name`` into a new folder of that name in ``folder``; where, and its files.

    Raises:
        UsageError: the name cannot be one, or the folder is there and not empty.
    """
    package = name.replace("-", "_")
    if not _NAME.fullmatch(name) or len(name) > 40:
        raise UsageError(f"a plugin's name is like coffee or coffee-shop, in lower case, not {name!r}")
    if keyword.iskeyword(package) or package in _TAKEN or package in sys.stdlib_module_names:
        raise UsageError(f"{name!r} is the name of something else already: choose another one")
    project = folder / name
    if project.exists() and (not project.is_dir() or any(project.iterdir())):
        raise UsageError(f"{project} is there already")
    words = package.split("_")
    values = {
        "name": name,
        "package": package,
        "class_name": "".join(word.capitalize() for word in words),
        "title": " ".join(words).capitalize(),
    }
    templates = files("bots.framework.tools") / "templates"
    written = []
    for source, target in _FILES.items():
        file = project / Template(target).substitute(values)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(Template((templates / source).read_text(encoding="utf-8")).substitute(values), encoding="utf-8")
        written.append(file)
    return project, written
