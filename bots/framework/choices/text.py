"""Words of people and plugins: made safe to show, and made equal for comparing."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from bots.framework.i18n.marks import _, split_words
from bots.framework.i18n.translator import Translator

ELLIPSIS: Final = "…"
SHORT: Final = 200
"""Characters: what is longer is not remembered."""
REMEMBERED: Final = 4_096
"""Texts of each kind. A conversation shows and compares the same labels again with every answer."""

PREVIOUS: Final = _("words: back, previous")  # pages; the dialogs' own "back" takes an answer back
AND: Final = _("words: and, plus")
NUMBER: Final = _("words: number, no., no, nr., nr, option")

# Invisible, and able to change how the text around them is read: soft hyphen, direction marks, embeddings, overrides
# and isolates (UAX #9), zero-width space, word joiner, byte order mark, interlinear annotations, tags. The joiners
# U+200C and U+200D stay: Persian and emoji need them.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_JOINING: Final = re.compile(r"[\u200c\u200d\ufe0e\ufe0f\u20e3]+")
# Accents that people leave out: of Latin, Greek and Cyrillic, the points of Hebrew, the vowel signs of Arabic. The
# marks of other scripts are letters to those who write them.
_ACCENTS: Final = re.compile(
    "[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u065f\u0670]"
)
_LETTERS: Final = str.maketrans({"ı": "i", "ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th"})
_BETWEEN: Final = re.compile(r"[,،、，;؛]")
_SYMBOLS: Final = re.compile("[^0-9A-Za-z]+")
_SKIN_TONES: Final = re.compile("[\U0001f3fb-\U0001f3ff]")


def clean(text: str, limit: int, *, lines: bool = False) -> str:
    """Text that stays within its own place: no control or direction characters, at most ``limit`` characters.

    Line breaks and runs of blanks become one blank; with ``lines`` the breaks stay.
    """
    if text.isascii() and text.isprintable():  # nothing to take out: most of what is said
        text = " ".join(text[: limit * 8].split())
        return text if len(text) <= limit else _cut(text, limit)
    return _remembered(text, limit, lines) if len(text) <= SHORT else _cleaned(text, limit, lines)


def _cleaned(text: str, limit: int, lines: bool) -> str:
    # Cut before the work, so that a huge text costs no more than a long one.
    text = _INVISIBLE.sub("", text[: limit * 8])
    if lines:
        rows = (_one_line(row) for row in re.split(r"\r\n|[\n\r\u2028\u2029]", text))
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(rows)).strip()
    else:
        text = _one_line(text)
    return text if len(text) <= limit else _cut(text, limit)


_remembered = lru_cache(REMEMBERED)(_cleaned)


def _one_line(text: str) -> str:
    text = "".join(" " if unicodedata.category(char) in {"Cc", "Zl", "Zp"} else char for char in text)
    # A lone surrogate cannot be sent as UTF-8.
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)
    return " ".join(unicodedata.normalize("NFC", text).split())


def _cut(text: str, limit: int) -> str:
    end = limit - len(ELLIPSIS)
    # Not between a character and the marks or joiners that belong to it.
    while end > 0 and (unicodedata.combining(text[end]) or _JOINING.match(text[end]) or text[end - 1] == "\u200d"):
        end -= 1
    return text[:end].rstrip() + ELLIPSIS


def fold(text: str) -> str:
    """The text without the differences of case, of compatibility forms (full width) and of the script of digits."""
    if text.isascii():
        return " ".join(text.lower().split())
    return _fold_remembered(text) if len(text) <= SHORT else _folded(text)


def _folded(text: str) -> str:
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    text = "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)
    return " ".join(_JOINING.sub("", text).split())


_fold_remembered = lru_cache(REMEMBERED)(_folded)


def fold_accents(text: str) -> str:
    """What :func:`fold` gives, without accents; ``crème`` and ``creme`` become the same."""
    if text.isascii():
        return fold(text)
    text = _ACCENTS.sub("", unicodedata.normalize("NFKD", fold(text)))
    return unicodedata.normalize("NFKC", text).translate(_LETTERS)


def fold_symbols(text: str) -> str:
    """What :func:`fold_accents` gives, letters and digits only: an emoji before a label need not be typed."""
    text = fold_accents(text)
    if text.isascii():
        return " ".join(_SYMBOLS.sub(" ", text).split())
    return " ".join("".join(char if char.isalnum() or unicodedata.combining(char) else " " for char in text).split())


def fold_key(key: str) -> str:
    """A reaction key without variation selectors, which clients add and leave out, and without skin tones."""
    if key.isascii():
        return key.strip()
    return _key_remembered(key) if len(key) <= SHORT else _key(key)


def _key(key: str) -> str:
    return re.sub("[\ufe0e\ufe0f]", "", _SKIN_TONES.sub("", key)).strip()


_key_remembered = lru_cache(REMEMBERED)(_key)


def words(translator: Translator, source: str) -> tuple[str, ...]:
    """The words of a ``words: a, b`` text: those of the person's language first, then the English ones.

    Where a word is shown it is the first one.
    """
    return _words_of(translator.t(source), source)


@lru_cache(512)
def _words_of(own: str, source: str) -> tuple[str, ...]:
    texts = (text.partition(":")[2] for text in (own, source) if split_words(text))
    found = (" ".join(word.split()) for text in texts for word in _BETWEEN.split(text))
    return tuple(dict.fromkeys(word for word in found if word))
