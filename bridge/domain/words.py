"""Words of a text as search sees them: the same on every database, whatever its own ideas of words are. Pure.

Case, accents and compatible forms do not count (Unicode NFKD, casefold). Scripts without blanks between words (Chinese,
Japanese, Thai, …) are cut into overlapping pairs of characters: a word of them is found by the pairs it is made of.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

LONGEST_WORD: Final = 40
MOST_WORDS: Final = 300
"""Different words of one message that are found. What comes after them is not."""
MOST_TEXT: Final = 16_000
"""Characters of one message that are looked at."""
_UNSPACED: Final = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3400, 0x4DBF),  # CJK extension A
    (0x4E00, 0x9FFF),  # CJK
    (0xF900, 0xFAFF),  # CJK compatibility
    (0x20000, 0x3FFFF),  # CJK extensions
)


@dataclass(frozen=True, slots=True)
class Word:
    """A word and where in the text it stands."""

    text: str
    start: int
    end: int


def words(text: str) -> list[str]:
    """The different words by which a text is found, in the order in which they first come; MOST_WORDS at most."""
    return _different(located(text[:MOST_TEXT]), MOST_WORDS)


def wanted(text: str, most: int) -> list[str]:
    """The different words that somebody looks for: a text that has all of them is found. ``most`` at most."""
    return _different(located(text[:MOST_TEXT], looking=True), most)


def located(text: str, *, looking: bool = False) -> Iterator[Word]:
    """Every word of a text, with its place.

    Args:
        looking: of a script without blanks the pairs only, where there are any; otherwise each character too.
    """
    letters: list[str] = []
    run: list[Word] = []
    start = end = 0
    for place, char in enumerate(text):
        plain = _folded(char)
        unspaced = bool(plain) and _unspaced(plain[0])
        if not plain and _mark(char):
            end = place + 1
            continue
        if letters and (unspaced or not plain):
            yield Word("".join(letters)[:LONGEST_WORD], start, end)
            letters = []
        if run and not unspaced:
            yield from _of_run(run, looking)
            run = []
        if unspaced:
            run.append(Word(plain, place, place + 1))
        elif plain:
            start = start if letters else place
            letters.append(plain)
            end = place + 1
    if letters:
        yield Word("".join(letters)[:LONGEST_WORD], start, end)
    yield from _of_run(run, looking)


def _of_run(run: list[Word], looking: bool) -> Iterator[Word]:
    if not looking or len(run) == 1:
        yield from run
    for one, other in pairwise(run):
        yield Word(one.text + other.text, one.start, other.end)


def _different(found: Iterable[Word], most: int) -> list[str]:
    texts: dict[str, None] = {}
    for word in found:
        texts[word.text] = None
        if len(texts) >= most:
            break
    return list(texts)


def excerpt(text: str, looked_for: frozenset[str], most: int = 200) -> tuple[str, list[tuple[int, int]]]:
    """A part of a text around the first words that were looked for, and where in it they stand.

    Args:
        most: characters at most, beside the dots that stand for what is left out.
    """
    text = text[:MOST_TEXT]
    hits = sorted((word for word in located(text) if word.text in looked_for), key=lambda word: (word.start, word.end))
    begin = 0
    if hits and hits[0].end > most:
        begin = max(0, hits[0].start - most // 3)
        blank = text.find(" ", begin, hits[0].start)
        begin = begin if blank < 0 else blank + 1
    finish = min(len(text), begin + most)
    left, right = "…" if begin else "", "…" if finish < len(text) else ""
    shift = len(left) - begin
    marks: list[tuple[int, int]] = []
    for word in hits:
        if word.start < begin or word.end > finish:
            continue
        if marks and word.start + shift <= marks[-1][1]:
            marks[-1] = (marks[-1][0], max(marks[-1][1], word.end + shift))
        else:
            marks.append((word.start + shift, word.end + shift))
    return left + text[begin:finish] + right, marks


_CACHE: Final[dict[str, str]] = {}


def _folded(char: str) -> str:
    """A letter or digit without case and accents; '' for everything else."""
    if char.isascii():
        return char.lower() if char.isalnum() else ""
    found = _CACHE.get(char)
    if found is None:
        found = "".join(
            part
            for part in unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())
            if unicodedata.category(part)[0] in "LN"
        )
        if len(_CACHE) < 20_000:
            _CACHE[char] = found
    return found


def _mark(char: str) -> bool:
    """Whether it only changes the letter before it."""
    return not char.isascii() and unicodedata.category(char)[0] == "M"


def _unspaced(char: str) -> bool:
    code = ord(char)
    return code >= 0x0E00 and any(first <= code <= last for first, last in _UNSPACED)
