"""What is wrong with a plugin, said so that its author or the operator finds the place at once."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from appservice.errors import RialtoError

# How errors of the framework name a place: "file:12: …" or "… (file:12)".
_PLACE: Final = re.compile(r"(?:^|\()(?P<file>/[^():\n]+|[^\s():]+\.py):(?P<line>\d+)(?:\)|: )")


@dataclass(frozen=True, slots=True)
class PluginProblem:
    """One thing that is wrong.

    Attributes:
        plugin: the plugin or its instance, or the file when no more is known.
        reason: a sentence.
        code: stable, for logs and programs.
        file, line: where; the line is 0 when the whole file is meant.
        fatal: the plugin does not run because of it.
    """

    plugin: str
    reason: str
    code: str = "plugin_broken"
    file: str = ""
    line: int = 0
    fatal: bool = True

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        return f"{place}plugin {self.plugin}: {self.reason}"

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {name: getattr(self, name) for name in ("plugin", "reason", "code", "file", "line", "fatal")}


class PluginError(RialtoError):
    """A plugin that cannot be used; ``problems`` are all there is to say."""

    code = "plugin_broken"

    def __init__(self, problems: Iterable[PluginProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)), problems=len(self.problems))


@dataclass(frozen=True, slots=True)
class Sources:
    """Which files belong to which plugin: the folder of a package, or a single file."""

    roots: Mapping[str, str] = field(default_factory=dict)
    """Plugin by folder or file."""

    def plugin_of(self, file: str) -> str | None:
        """The plugin that a file belongs to."""
        for root, plugin in self.roots.items():
            if file == root or file.startswith(root.rstrip("/") + "/"):
                return plugin
        return None


def of_exception(plugin: str, error: BaseException, root: Path, words: str) -> PluginProblem:
    """The problem that an exception is: at the place in the plugin's own code that is nearest to it.

    Args:
        root: the plugin's folder or file.
        words: what was going on: ``cannot be imported``.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return PluginProblem(plugin, f"{words}: {error.msg}", "plugin_syntax", error.filename, error.lineno or 0)
    file, line = place_in(error, root)
    if isinstance(error, RialtoError):
        found = _PLACE.search(error.human)
        if found is not None:
            file, line = found["file"], int(found["line"])
        return PluginProblem(plugin, error.human, error.code, file, line)
    said = str(error).partition("\n")[0][:300]
    return PluginProblem(plugin, f"{words}: {type(error).__name__}{f': {said}' if said else ''}", file=file, line=line)


def place_in(error: BaseException, root: Path) -> tuple[str, int]:
    """The last line of the plugin's own code that an exception came through; the file alone when there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if Path(frame.filename) == root or Path(frame.filename).is_relative_to(root):
            return frame.filename, frame.lineno or 0
    return str(root), 0
