"""The command line of the tool; see the package."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bots.framework import API_VERSION
from bots.framework.tools.reference import changes, checks
from bots.framework.tools.reference.model import Code
from bots.framework.tools.reference.render import render

PAGES = Path("docs") / "api"
RECORD = Path("bots") / "framework" / "api.json"
RELEASED = Path("bots") / "framework" / "api-released.json"
"""The record of the last version that went out; not there before the first."""


def main(argv: Sequence[str] | None = None, *, root: Path | None = None) -> int:
    """Run it; the exit code: 0 done, 1 something is to be done first."""
    parser = argparse.ArgumentParser(prog="python -m bots.framework.tools.reference", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="change nothing; say what is missing or out of date")
    what.add_argument("--record", action="store_true", help="write down the public API")
    what.add_argument("--release", action="store_true", help="this version goes out: compare later ones with it")
    arguments = parser.parse_args(argv)
    code = Code(root or Path(__file__).resolve().parents[4])
    if arguments.release:
        return release(code.root)
    if arguments.record:
        return write_record(code)
    found = [*checks.problems(code, code.public()), *(outdated(code) if arguments.check else ())]
    if arguments.check:
        found += unrecorded(code)
    else:
        write_pages(code)
    for line in found:
        print(line, file=sys.stderr)  # noqa: T201 - a command line
    return 1 if found else 0


def write_pages(code: Code) -> None:
    """Write the pages, and remove those that there are no more."""
    folder = code.root / PAGES
    folder.mkdir(parents=True, exist_ok=True)
    files = render(code, code.public(), API_VERSION)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    for old in folder.glob("*.md"):
        if old.name not in files:
            old.unlink()


def outdated(code: Code) -> list[str]:
    """The pages that are not what the code says now."""
    folder = code.root / PAGES
    files = render(code, code.public(), API_VERSION)
    there = {each.name for each in folder.glob("*.md")}
    found = [f"{PAGES / name} is no page any more" for name in sorted(there - set(files))]
    for name, text in files.items():
        if name not in there or (folder / name).read_text(encoding="utf-8") != text:
            found.append(f"{PAGES / name} is out of date")
    return [f"{line}: run python -m bots.framework.tools.reference" for line in found]


def read(path: Path) -> dict[str, Any] | None:
    """A record, or None when there is none."""
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def unrecorded(code: Code, version: str = API_VERSION, root: Path | None = None) -> list[str]:
    """What has changed since the record was written, and whether the version is high enough for it."""
    now = changes.record(code.public())
    root = root or code.root
    known = read(root / RECORD) or {"version": "0.0", "names": {}}
    found = [f"{change}: not recorded" for change in changes.changes(known["names"], now)]
    if known["version"] != version:
        found.append(f"API_VERSION is {version}, and {known['version']} is recorded")
    if found:
        found.append("run python -m bots.framework.tools.reference --record")
    return [*found, *refused(root, now, version)]


def refused(root: Path, now: dict[str, changes.Record], version: str) -> list[str]:
    """Why the public API may not be this with this version: what the last one that went out promised."""
    released = read(root / RELEASED)
    if released is None:
        return []
    found = changes.changes(released["names"], now)
    wanted = changes.demanded(released["version"], found)
    if changes.version(version) >= changes.version(wanted):
        return []
    level = max(change.level for change in found)
    reasons = [str(change) for change in found if change.level is level]
    return [*reasons, f"since {released['version']} that asks for API_VERSION {wanted}, and it is {version}"]


def write_record(code: Code, version: str = API_VERSION, root: Path | None = None) -> int:
    """Write the record, unless the version is too low for it."""
    now = changes.record(code.public())
    root = root or code.root
    reasons = refused(root, now, version)
    for line in reasons:
        print(line, file=sys.stderr)  # noqa: T201 - a command line
    if reasons:
        return 1
    text = json.dumps({"version": version, "names": now}, indent=1, ensure_ascii=False) + "\n"
    (root / RECORD).write_text(text, encoding="utf-8")
    return 0


def release(root: Path) -> int:
    """Keep the record as that of a version that went out."""
    (root / RELEASED).write_bytes((root / RECORD).read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
