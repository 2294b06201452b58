"""What is wrong with a configuration: each problem with its place, all of them in one error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from appservice.errors import RialtoError

KeyPath: TypeAlias = tuple[str, ...]


def dotted(path: KeyPath) -> str:
    """``bots[0].localpart``."""
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", ".".join(path))


@dataclass(frozen=True)
class Place:
    """Where a value stands: a line of a file (from 1; 0 is the whole file), or an environment variable."""

    source: str
    line: int = 0
    variable: bool = False

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass(frozen=True)
class Problem:
    """``key`` is the dotted key (may be empty), ``reason`` continues the sentence that it begins."""

    place: Place
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {f'{self.key} ' if self.key else ''}{self.reason}"


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where the keys of a configuration stand. Any two are equal: the place of a value is no part of what it is.

    Attributes:
        known: place by path, ``("bots", "0", "localpart")``.
        folder: where relative paths start.
    """

    known: Mapping[KeyPath, Place] = field(default_factory=dict)
    folder: Path = Path()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Places)

    def __hash__(self) -> int:
        return hash(Places)

    def of(self, path: KeyPath) -> Place:
        """Where the key stands, or else the section that it belongs to."""
        while path and path not in self.known:
            path = path[:-1]
        return self.known.get(path, Place("configuration"))


class ConfigError(RialtoError):
    """The configuration cannot be used. ``problems`` holds everything found, in the order of the file."""

    code = "config_error"

    def __init__(self, problems: Iterable[Problem]) -> None:
        unique = dict.fromkeys(problems)
        self.problems = tuple(
            sorted(unique, key=lambda each: (each.place.variable, each.place.source, each.place.line))
        )
        super().__init__("\n".join(map(str, self.problems)), problems=len(self.problems))
