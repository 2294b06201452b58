"""User ids that people take for one another. Pure.

A payee whom one has never paid, and whose id looks like that of somebody one has, is what an impostor would be. What
looks alike: Unicode Technical Standard 39, of which the letters matter here that user ids (printable ASCII) and
international domain names can hold.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from bots.framework.arguments.words import distance

_LETTERS: Final = MappingProxyType(
    str.maketrans(
        {
            # Digits and marks that stand for letters.
            "0": "o", "1": "l", "|": "l", "!": "l", "i": "l", "5": "s", "$": "s", "2": "z", "6": "b", "8": "b",
            "9": "g", "q": "g", "3": "e",
            # Cyrillic.
            "а": "a", "е": "e", "о": "o", "р": "p", "с": "c", "х": "x", "у": "y", "к": "k", "в": "b", "н": "h",
            "м": "m", "т": "t", "г": "r", "ѕ": "s", "і": "l", "ј": "j", "ԁ": "d", "ԛ": "g", "ԝ": "w", "һ": "h",
            "ь": "b", "п": "n", "д": "a", "з": "e", "ӏ": "l", "ӓ": "a", "ё": "e",
            # Greek.
            "α": "a", "β": "b", "γ": "y", "ε": "e", "η": "n", "ι": "l", "κ": "k", "ν": "v", "ο": "o", "ρ": "p",
            "τ": "t", "υ": "u", "χ": "x", "ω": "w",
            # Latin beyond ASCII that no decomposition reaches.
            "ı": "l", "ł": "l", "ø": "o", "đ": "d", "ɡ": "g", "ƅ": "b", "ᴀ": "a", "ɑ": "a", "ɩ": "l",
        }
    )
)  # fmt: skip
_PAIRS: Final = (("rn", "m"), ("vv", "w"), ("cl", "d"), ("nn", "m"))
_SILENT: Final = frozenset("-_.=/+~'`^")
_SHORT: Final = 5
"""Names of fewer letters differ by one so often that it says nothing."""


def skeleton(text: str) -> str:
    """What is left of a name when one does not look closely: two names that look alike have one skeleton."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    letters = "".join(char for char in plain if not unicodedata.combining(char) and char not in _SILENT)
    letters = letters.translate(_LETTERS)
    for pair, one in _PAIRS:
        letters = letters.replace(pair, one)
    return letters


def alike(one: str, other: str) -> bool:
    """Whether two different user ids could be mixed up: the same name on another server, letters that look the same,
    or one slip in a longer name."""
    if one == other:
        return False
    name, server = _parts(one)
    other_name, other_server = _parts(other)
    shape, other_shape = skeleton(name), skeleton(other_name)
    if shape == other_shape:
        return True
    near_server = server == other_server or skeleton(_unicode(server)) == skeleton(_unicode(other_server))
    return near_server and min(len(name), len(other_name)) >= _SHORT and distance(shape, other_shape) <= 1


def lookalikes(user_id: str, known: Iterable[str]) -> list[str]:
    """Of the people that somebody knows those whose ids this one looks like; none when it is one of them itself."""
    people = dict.fromkeys(known)
    return [] if user_id in people else [each for each in people if alike(user_id, each)]


def _parts(user_id: str) -> tuple[str, str]:
    name, _, server = user_id.removeprefix("@").partition(":")
    return name.lower(), server.lower()


def _unicode(server: str) -> str:
    """An international domain name as people see it (RFC 3492)."""
    labels = []
    for label in server.split("."):
        try:
            labels.append(label[4:].encode("ascii").decode("punycode") if label.startswith("xn--") else label)
        except UnicodeError:
            labels.append(label)
    return ".".join(labels)
