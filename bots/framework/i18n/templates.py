"""Texts with ``{named}`` fields: what a field may be, and how values get in without ever being read as a text."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

ISOLATE = "\u2068"
"""FIRST STRONG ISOLATE: what follows has its own direction (Unicode Standard Annex 9)."""
POP = "\u2069"
_OPENERS = frozenset("\u2066\u2067\u2068")
_FROM_THE_RIGHT = frozenset({"R", "AL", "AN", "RLE", "RLO", "RLI", "LRE", "LRO", "LRI", "FSI", "PDF", "PDI"})


class BadField(ValueError):
    """A text has a field that is not a plain ``{name}``."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text cut into its parts.

    ``parts`` are pairs of the words before a field and the field's name; the name is ``None`` at the end.
    """

    text: str
    parts: tuple[tuple[str, str | None], ...]

    @property
    def fields(self) -> frozenset[str]:
        """The names of the fields."""
        return frozenset(name for _, name in self.parts if name is not None)

    def fill(self, values: Mapping[str, Any], write: Callable[[str, Any], str]) -> str:
        """The text with its fields filled in.

        Without values it is the text as it stands, as with ``English``. A field without a value stays as it is
        written: a sentence with a gap is better than no answer.

        Args:
            write: gives the text of a value; it gets the field's name too.
        """
        if not values:
            return self.text
        pieces: list[str] = []
        for words, name in self.parts:
            pieces.append(words)
            if name is not None:
                pieces.append(write(name, values[name]) if name in values else f"{{{name}}}")
        return "".join(pieces)


def parse(text: str) -> Template:
    """Cut a text at its fields.

    Raises:
        BadField: a brace stands alone, or a field is more than a name: ``{0}``, ``{a.b}``, ``{a[0]}``, ``{a!r}``,
            ``{a:>9}``. The first three would let a catalogue read what it was not given, the last belongs to formats.
    """
    parts: list[tuple[str, str | None]] = []
    try:
        for words, name, spec, conversion in string.Formatter().parse(text):
            if name is not None and (spec or conversion or not (name.isascii() and name.isidentifier())):
                raise BadField(f"the field {{{name}}} is more than a name")
            parts.append((words, name))
    except BadField:
        raise
    except ValueError as error:
        raise BadField(f"a brace stands alone ({error}); {{{{ and }}}} write braces") from None
    return Template(text, tuple(parts))


@lru_cache(maxsize=2048)
def of_source(text: str) -> Template:
    """The template of a text in the code. One that is malformed is a text without fields; ``check`` reports it."""
    try:
        return parse(text)
    except BadField:
        return Template(text, ((text, None),))


def isolate(value: str, right_to_left: bool) -> str:
    """A value that cannot turn the words around it.

    In a right-to-left text every value stands between U+2068 and U+2069; in a left-to-right text only one that
    has right-to-left letters or direction controls. A web address in ASCII stays bare, or what is clicked on and what
    links are made of would have the closing control in it. Isolates that the value leaves open are closed, and
    closings that it did not open are dropped (UAX 9, BD9 and X6a: closing an isolate ends everything inside it).
    """
    if value.isascii():
        if not right_to_left or not value or _is_address(value):
            return value
        return f"{ISOLATE}{value}{POP}"
    if not right_to_left and not any(unicodedata.bidirectional(each) in _FROM_THE_RIGHT for each in value):
        return value
    return f"{ISOLATE}{balanced(value)}{POP}"


def balanced(value: str) -> str:
    """The value with every isolate in it opened and closed once."""
    if POP not in value and _OPENERS.isdisjoint(value):
        return value
    depth = 0
    kept: list[str] = []
    for each in value:
        if each in _OPENERS:
            depth += 1
        elif each == POP:
            if not depth:
                continue
            depth -= 1
        kept.append(each)
    return "".join(kept) + POP * depth


def _is_address(value: str) -> bool:
    return value.startswith(("https://", "http://", "matrix:", "mailto:")) and " " not in value
