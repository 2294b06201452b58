"""What is wrong with a file: each fault with its line, its column and a sentence. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

__all__ = ["COLLECTED_MAX", "MESSAGES", "SHOWN_MAX", "FileRefused", "Problem", "Problems"]

SHOWN_MAX: Final = 50
"""Faults that are told; of the others only how many there are."""
COLLECTED_MAX: Final = 1_000
"""Where reading stops: somebody has sent another kind of file."""
QUOTED_MAX: Final = 60

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "import.empty": "The file is empty.",
        "import.too_large": "The file is larger than {most} kB. Split it: what is imported twice is only changed.",
        "import.kind": "This is no CSV and no YAML: name the file something.csv or something.yaml.",
        "import.binary": "This is no text but another kind of file, such as a spreadsheet. Save it as CSV.",
        "import.encoding": "The file is not in UTF-8: a character here cannot be read. Save it as “CSV UTF-8”.",
        "import.control": "There is a character here that cannot be shown: {character}.",
        "import.too_many": "A file has at most {most} products.",
        "import.gave_up": "There are too many faults to go on reading.",
        "import.quotes": "A quotation mark is not closed, or text stands behind one.",
        "import.cells": "There are {found} values in this line, and {wanted} columns.",
        "import.no_header": "The first line names no column that I know, such as: {columns}.",
        "import.unknown": "“{name}” is not known here. Known are: {columns}.",
        "import.unknown_near": "“{name}” is not known here. Did you mean “{near}”?",
        "import.column_twice": "This is there twice.",
        "import.missing": "This is missing.",
        "import.twice": "“{name}” is there twice, first in line {first}.",
        "import.same_variant": "Two variants of “{name}” are called the same.",
        "import.same_extra": "Two extras of “{group}” are called the same.",
        "import.product_differs": "This says something else than line {first}, which is about the same product.",
        "import.yaml": "This is no YAML that can be read: look at colons, brackets and indentation here.",
        "import.yaml_alias": "References within a file (& and *) are not taken: write it out.",
        "import.yaml_tag": "Kinds of values (!…) and merges (<<) are not taken: write it plainly.",
        "import.yaml_deep": "This is nested too deeply.",
        "import.yaml_list": "Here should stand a list.",
        "import.yaml_value": "Here should stand one value.",
        "import.yaml_keys": "Here should stand something with keys, such as: {columns}.",
        "import.currency": "Your prices are in {currency}, and this is in {other}.",
        "import.tax": "Write a tax rate in percent, such as 19%.",
        "import.stock": "Write how many there are, “unlimited”, or so many for a time: 20 per 30 min.",
        "import.weight": "Write a weight such as 500 g or 1.2 kg.",
        "import.yes_no": "Write yes or no.",
        "import.number": "Write a whole number from {least} to {most}.",
        "import.choose": "Write how many are chosen, such as 1, 0-3 or 2+.",
        "import.extras": "Extras are written like this: Size [1]: Small | Large +2.00; Toppings [0-3]: Ham +1.50",
        "import.group_empty": "The group “{group}” has no extras to choose from.",
        "import.image": "Images are mxc:// addresses here: send photos to this chat instead.",
        "import.language": "Write a language such as en, de or zh-Hant.",
        "import.date": "Write a date such as 2026-12-31, or a time such as 2026-12-31T18:00+01:00.",
        "import.category_loop": "“{name}” lies in itself.",
        "import.no_category": "There is no category “{name}”.",
        "import.no_product": "There is no product “{name}” to remove.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault.

    Attributes:
        line: from 1; 0: of the file as a whole.
        column: its name, in YAML the key; empty: of the whole line.
        msgid: the sentence, for the translator; with ``values``.
    """

    line: int
    column: str
    msgid: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """The sentence in English."""
        return self.msgid.format(**self.values)


class FileRefused(Exception):
    """Nothing of a file can be read."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.msgid)
        self.problem = problem


class Problems:
    """Collects faults, in the order of their lines at the end."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, line: int, column: str, code: str, **values: Any) -> None:
        """One more, by its code."""
        self.say(line, column, MESSAGES[code], **values)

    def say(self, line: int, column: str, msgid: str, **values: Any) -> None:
        """One more, in the words of the domain. Raises FileRefused: there are too many."""
        short = {key: _short(value) if key != "columns" else value for key, value in values.items()}
        self.found.append(Problem(line, column, msgid, short))
        if len(self.found) >= COLLECTED_MAX:
            raise FileRefused(Problem(line, "", MESSAGES["import.gave_up"]))

    def ordered(self) -> list[Problem]:
        """All of them by line, each once."""
        seen: dict[tuple[int, str, str], Problem] = {}
        for each in self.found:
            seen.setdefault((each.line, each.column, each.message), each)
        return sorted(seen.values(), key=lambda each: each.line)


def _short(value: Any) -> Any:
    """What people wrote is quoted, and not repeated at length."""
    return f"{value[:QUOTED_MAX]}…" if isinstance(value, str) and len(value) > QUOTED_MAX else value
