"""What is wrong with a configuration: each problem with its place, all of them in one error."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
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


class ConfigError(RialtoError):
    """The configuration cannot be used. ``problems`` holds everything found, in the order of the file."""

    code = "config_error"

    def __init__(self, problems: Iterable[Problem]) -> None:
        unique = dict.fromkeys(problems)
        self.problems = tuple(
            sorted(unique, key=lambda each: (each.place.variable, each.place.source, each.place.line))
        )
        super().__init__("\n".join(map(str, self.problems)), problems=len(self.problems))
