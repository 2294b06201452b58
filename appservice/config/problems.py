"""What is wrong with a configuration: each problem with its place, all of them in one error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appservice.errors import RialtoError


@dataclass(frozen=True)
class Problem:
    """``place`` is ``file:line`` or an environment variable, ``key`` the dotted key (may be empty), ``reason`` plain words."""

    place: str
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {f'{self.key} ' if self.key else ''}{self.reason}"


class ConfigError(RialtoError):
    """The configuration cannot be used. ``problems`` holds everything found, in the order of the file."""

    code = "config_error"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)), problems=len(problems))
        self.problems = tuple(problems)
