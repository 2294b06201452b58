"""Marking texts for translation, and the words that people answer with."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from bots.framework.i18n.translator import Translator

PREFIX = "words:"
_BETWEEN = re.compile(r"[,،、，;؛]")


def _(text: str) -> str:
    """Mark a text that is translated later, by ``translator.t(text)``. Gives the text itself."""
    return text


WORDS: Mapping[str, str] = MappingProxyType(
    {
        "yes": _("words: yes, y, yeah, yep, sure, ok, okay"),
        "no": _("words: no, n, nope"),
        "cancel": _("words: cancel, stop, quit, abort"),
        "back": _("words: back, undo, go back"),
        "help": _("words: help, ?"),
        "more": _("words: more, next"),
        "done": _("words: done, finished, ready, that is all"),
        "all": _("words: all, everything"),
        "none": _("words: none, nothing"),
        "skip": _("words: skip, pass"),
    }
)
"""What the framework understands as an answer. A translation begins with ``words:`` too and lists the synonyms of its
language, with commas between them."""


def words(translator: Translator, key: str) -> frozenset[str]:
    """What means ``key`` in the person's language and in English, folded by ``fold``.

    Raises:
        KeyError: ``key`` is not one of ``WORDS``.
    """
    source = WORDS[key]
    return split_words(source) | split_words(translator.t(source))


@lru_cache(512)
def split_words(text: str) -> frozenset[str]:
    """The words of a ``words: a, b`` text, folded; empty when it is not one."""
    head, colon, rest = text.partition(":")
    if f"{head.strip().casefold()}{colon}" != PREFIX:
        return frozenset()
    return frozenset(folded for each in _BETWEEN.split(rest) if (folded := fold(each)))


def fold(text: str) -> str:
    """How words are compared: compatibility form, without case, direction controls and space around (Unicode NFKC)."""
    if text.isascii():
        return " ".join(text.lower().split())
    visible = "".join(each for each in text if unicodedata.category(each) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold()).split())
