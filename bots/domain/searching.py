"""How products are found by words: forgiving, in every script, and the best first. Pure.

Words are folded (:mod:`bridge.domain.words`: no case, no accents, pairs of characters where a script has no blanks).
What people write in two ways is one: ``ü`` and ``ue``, Arabic letters that only look different, Arabic with its article
and without. Chinese is not turned from traditional to simplified characters.

A misspelt word is found by *spellings*: what is left of a word when letters are taken out of it. Two words that differ
by a letter or two have a spelling in common, so that a few look-ups find all that can be meant, and the true distance
is reckoned for those only (the idea of SymSpell, https://github.com/wolfgarbe/SymSpell).
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from bots.domain.catalogue import Product
from bridge.domain.words import Word, located

__all__ = [
    "ALTERNATIVES_MAX",
    "Found",
    "closeness",
    "distance",
    "indexed",
    "score",
    "spellings",
    "terms",
    "typos",
    "wanted",
]

ASKED_MAX: Final = 8
"""Words of one search that count."""
TEXT_MAX: Final = 200
"""Characters of one search that are read."""
DESCRIPTION_WORDS: Final = 60
"""Different words of a description that a product is found by."""
WORDS_MAX: Final = 200
ALTERNATIVES_MAX: Final = 6
"""Words that one misspelt word is taken for at most."""
STEM: Final = 7
"""Letters of the beginning of a word that its spellings are made of."""
BEGINNING: Final = range(4, STEM)
"""Letters of a beginning that a longer word is found by."""

RANK_NAME: Final = 1
"""To 9: one for each word of the name, so that short names come first."""
RANK_VARIANT: Final = 10
RANK_CATEGORY: Final = 12
RANK_DESCRIPTION: Final = 20

WEIGHTS: Final = tuple(1 / (1 + math.log(max(rank, 1))) for rank in range(RANK_DESCRIPTION + 1))
"""What a word of each rank counts."""

_GERMAN: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "ae", "Ö": "oe", "Ü": "ue"})
_ALIKE: Final = str.maketrans({"ى": "ي", "ة": "ه", "ـ": None, "ک": "ك", "ی": "ي", "ı": "i"})
"""Arabic letters that are written for each other, the stroke that only stretches a word, and the dotless i."""
_ARTICLE: Final = "ال"


def terms(text: str) -> list[tuple[str, ...]]:
    """The words of a text in order, each with the forms that it is found by; its usual one first."""
    return [_forms(plain, word) for plain, word in _located(text, looking=False)]


def wanted(text: str) -> list[tuple[str, ...]]:
    """The different words that somebody looks for, each with its forms; the first eight."""
    found = dict.fromkeys(_forms(plain, word) for plain, word in _located(text[:TEXT_MAX], looking=True))
    return list(found)[:ASKED_MAX]


def _located(text: str, *, looking: bool) -> Iterable[tuple[str, Word]]:
    plain = unicodedata.normalize("NFC", text).translate(_ALIKE)
    return ((plain, word) for word in located(plain, looking=looking))


def _forms(plain: str, word: Word) -> tuple[str, ...]:
    forms = [word.text]
    written = plain[word.start : word.end]
    german = written.translate(_GERMAN)
    if german != written:
        forms += [each.text for each in located(german)]
    if word.text.startswith(_ARTICLE) and len(word.text) > 4:
        forms.append(word.text.removeprefix(_ARTICLE))
    return tuple(dict.fromkeys(forms))


def indexed(product: Product, categories: Sequence[str] = ()) -> dict[str, int]:
    """The words that a product is found by, with their ranks: the lower, the more they say of it.

    Args:
        categories: the names of those that it stands in.
    """
    ranks: dict[str, int] = {}

    def add(words: Iterable[tuple[str, ...]], rank: int) -> None:
        for forms in words:
            for form in forms:
                if len(ranks) < WORDS_MAX or form in ranks:
                    ranks[form] = min(rank, ranks.get(form, rank))

    name = terms(product.name)
    add(name, min(RANK_NAME + max(len(name) - 1, 0), 9))
    if len(product.variants) > 1:
        add((word for variant in product.variants for word in terms(variant.name)), RANK_VARIANT)
    add((word for category in categories for word in terms(category)), RANK_CATEGORY)
    add(list(dict.fromkeys(terms(product.description)))[:DESCRIPTION_WORDS], RANK_DESCRIPTION)
    return ranks


def typos(word: str) -> int:
    """How many letters of a word may be wrong: none of three, one of seven, two of more."""
    if not _spelt(word) or len(word) < 4:
        return 0
    return 1 if len(word) <= STEM else 2


def _spelt(word: str) -> bool:
    """Whether it is of a script whose words are spelt: pairs of Chinese characters are not, nor are numbers."""
    return word.isalpha() and ord(max(word)) < 0x0E00


def spellings(word: str, *, looking: bool = False) -> set[str]:
    """What a word is found by when it is misspelt, or only begun; empty for what is not spelt.

    Args:
        looking: of a word that somebody wrote; otherwise of one that stands in the catalogue.
    """
    if not _spelt(word) or len(word) < 3:
        return set()
    stem = word[:STEM]
    found = {"".join(left) for out in range(typos(word) + 1) for left in combinations(stem, max(len(stem) - out, 1))}
    if looking:
        return found | ({f"^{word}"} if len(word) in BEGINNING else set())
    return found | {f"^{word[:length]}" for length in BEGINNING if length < len(word)}


def distance(one: str, other: str, most: int) -> int:
    """How many letters are wrong: put in, left out, changed, or swapped with the next; ``most + 1`` for more than
    ``most`` (optimal string alignment)."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, right in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (left != right))
            if i > 1 and j > 1 and left == other[j - 2] and one[i - 2] == right:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)


def closeness(asked: str, word: str) -> float:
    """How well a word of the catalogue fits one that was asked for, from 0 (it does not) to 1 (it is the same)."""
    if asked == word:
        return 1.0
    allowed = typos(asked)
    wrong = distance(asked, word, allowed) if allowed else 1
    if wrong <= allowed:
        return 0.7 if wrong == 1 else 0.4
    return 0.5 if _spelt(asked) and len(asked) in BEGINNING and word.startswith(asked) else 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """A product that has words of a search: all that its place in the list depends on.

    Attributes:
        ranks: the words that it is found by, with their ranks.
        stars: from 1 to 5; None: nobody has rated it.
    """

    name: str
    language: str
    ranks: Mapping[str, int]
    stars: float | None = None
    ratings: int = 0


def score(found: Found, asked: Sequence[Mapping[str, float]], language: str = "") -> float:
    """How well a product answers a search; the most comes first.

    What counts most is how many of the words it has, how exactly, and where; then the person's language, then what
    others think of it: an average of few ratings counts less.

    Args:
        asked: for each word of the search what it may mean, and how close that is.
        language: of the person (BCP 47); empty: it does not matter.
    """
    total, met = 0.0, 0
    ranks = found.ranks
    for meanings in asked:
        best = 0.0
        for word, close in meanings.items():
            rank = ranks.get(word)
            if rank is not None:
                best = max(best, close * WEIGHTS[rank])
        total += best
        met += best > 0
    if met == 0:
        return 0.0
    total *= (met / len(asked)) ** 2
    if language and found.language:
        total *= 1.0 if found.language.partition("-")[0] == language.partition("-")[0] else 0.6
    if found.stars is not None and found.ratings > 0:
        total *= 1 + 0.05 * (found.stars - 3) * (1 - 1 / math.sqrt(1 + found.ratings))
    return total
