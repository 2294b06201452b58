"""YAML text as a tree of values that know their place, or the problems that prevent it.

Only what a configuration needs is taken: mappings with text keys, lists and plain values. Tags, merge keys and
values that contain themselves are errors. Nothing quoted in a YAML error is repeated: part of a token may be in it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from appservice.config.problems import Place, Problem

MOST_CHARACTERS: Final = 256 * 1024
MOST_VALUES: Final = 20_000
_TAG: Final = "tag:yaml.org,2002:"
_NUMBER: Final = re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?")

# What may stay of a quotation: one character, or the name of a token ('<stream end>'). Else all from there on goes.
_QUOTED: Final = re.compile(r"""(?P<harmless>(['"])(?:<[a-z ]+>|\\?.)\2)|['"].*""", re.DOTALL)
BROKEN: Final = object()  # the data of a value that is reported already


@dataclass
class Value:
    """``data`` is None, bool, int, float, str, list[Value], BROKEN or dict[str, Value] (placed where its keys are)."""

    place: Place
    data: Any


@dataclass
class _Reader:
    """Turns nodes into values and collects what it cannot take."""

    place: Callable[[int], Place]
    problems: list[Problem] = field(default_factory=list)
    count: int = 0
    open: set[int] = field(default_factory=set)

    def add(self, line: int, reason: str) -> None:
        self.problems.append(Problem(self.place(line), "", reason))

    def read(self, node: Node, line: int) -> Value:
        self.count += 1
        if self.count > MOST_VALUES:
            raise _TooMuchError
        if id(node) in self.open:
            self.add(line, "a value contains itself")
            return Value(self.place(line), BROKEN)
        self.open.add(id(node))
        try:
            return Value(self.place(line), self._data(node, line))
        finally:
            self.open.discard(id(node))

    def _data(self, node: Node, line: int) -> Any:
        if isinstance(node, ScalarNode):
            return self._scalar(node, line)
        if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.read(each, each.start_mark.line + 1) for each in node.value]
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node)
        self.add(line, "holds a YAML tag (!…): write the value plainly")
        return BROKEN

    def _scalar(self, node: ScalarNode, line: int) -> Any:
        kind = str(node.tag).removeprefix(_TAG)
        text = str(node.value)
        if kind in {"str", "timestamp"}:
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in {"true", "yes", "on", "y"}
        if kind in {"int", "float"}:
            number = _number(text, kind)
            return text if number is None else number
        self.add(line, "holds a YAML tag or merge key (!…, <<): write the value plainly")
        return BROKEN

    def _mapping(self, node: MappingNode) -> dict[str, Value]:
        members: dict[str, Value] = {}
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            if not isinstance(name_node, ScalarNode):
                self.add(line, "a key must be plain text")
                continue
            if name_node.tag == f"{_TAG}merge":
                self.add(line, "merge keys (<<) are not taken: write the keys out")
                continue
            name = str(name_node.value)
            if name in members:
                first = members[name].place
                self.add(line, f"{show_name(name)} is there twice, first in line {first.line}")
                continue
            members[name] = self.read(value_node, line)
        return members


class _TooMuchError(Exception):
    """More values than any configuration has."""


def _number(text: str, kind: str) -> int | float | None:
    plain = text.replace("_", "")
    if len(plain) > 40:
        return None
    try:
        if kind == "float":
            return float(re.sub(r"\.(inf|nan)$", r"\1", plain, flags=re.IGNORECASE))
        return int(plain, 0) if re.match(r"[-+]?0[xobXOB]", plain) else int(plain)
    except ValueError:
        return None


def show_name(name: str) -> str:
    """``name`` if it looks like the name of a key; a token that slipped into a key's place does not."""
    if re.fullmatch(r"[A-Za-z][A-Za-z_.-]{0,39}[0-9]{0,2}", name):
        return name
    return "a key (not shown: it does not look like a name)"


def parse(text: str, place: Callable[[int], Place]) -> tuple[Value | None, list[Problem]]:
    """The document in ``text``; None when it is empty or cannot be read. ``place`` makes a line (from 1) a place."""
    if len(text) > MOST_CHARACTERS:
        return None, [Problem(place(0), "", f"is too long: {MOST_CHARACTERS} characters at most")]
    control = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    if control is not None:
        line = text.count("\n", 0, control.start()) + 1
        return None, [Problem(place(line), "", f"holds the character U+{ord(control[0]):04X}, which YAML forbids")]
    reader = _Reader(place)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they would quote the file on standard error
            node = YAML(typ="rt", pure=True).compose(text)
        if node is None:
            return None, []
        value = reader.read(node, node.start_mark.line + 1)
    except MarkedYAMLError as error:
        return None, [_syntax(error, place)]
    except RecursionError:
        return None, [Problem(place(0), "", "is nested too deeply")]
    except _TooMuchError:
        return None, [Problem(place(0), "", f"holds more than {MOST_VALUES} values")]
    except Exception:  # noqa: BLE001  the parser raises all kinds of errors on text that is no YAML; none may get out
        return None, [Problem(place(0), "", "is not YAML")]
    return value, reader.problems


def _syntax(error: MarkedYAMLError, place: Callable[[int], Place]) -> Problem:
    mark = error.problem_mark or error.context_mark
    words = [part for part in (error.context, error.problem) if part]
    reason = _QUOTED.sub(lambda match: match["harmless"] or "…", ": ".join(words)) or "cannot be read"
    return Problem(place(mark.line + 1 if mark is not None else 0), "", f"is not YAML: {reason}")
