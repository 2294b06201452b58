"""Comparing words the way people mean them: without case, accents and small slips."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from bots.framework.i18n import Translator

_LETTERS = MappingProxyType(
    str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})
)


def fold(text: str) -> str:
    """The text without case and accents, with single spaces: two texts that people hold for the same fold to the
    same."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(char))
    return " ".join(plain.translate(_LETTERS).split())


def distance(left: str, right: str) -> int:
    """How many slips lie between two words: a letter too many, missing, wrong, or two neighbours swapped."""
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        before, last, row = row, before, [i]
        for j, b in enumerate(right, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and b == left[i - 2]:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice a person probably meant: few slips, or the beginning of exactly one. None when none is near."""
    wanted = fold(word)[:60]
    if not wanted:
        return None
    ranked = sorted(
        (distance(wanted, fold(choice)), index, choice) for index, choice in enumerate(dict.fromkeys(choices))
    )
    if ranked and ranked[0][0] <= max(1, min(len(wanted), len(fold(ranked[0][2]))) // 3) and ranked[0][0] < len(wanted):
        return ranked[0][2]
    begun = [choice for _, _, choice in ranked if len(wanted) >= 3 and fold(choice).startswith(wanted)]
    return begun[0] if len(begun) == 1 else None


class Vocabulary:
    """Words that stand for something, in English and in a person's language.

    ``terms`` maps a name to a msgid that lists the words with ``|`` between them. A translation lists the words of
    its own
    language the same way, as many as it needs: “hour|hours|hr|hrs|h” becomes “Stunde|Stunden|Std|h”.
    """

    def __init__(self, terms: Mapping[str, str], translator: Translator) -> None:
        self._names: dict[str, str] = {}
        own = {name: translator.t(msgid) for name, msgid in terms.items()}
        translated = {name: words for name, words in own.items() if words != terms[name]}
        for listed in (terms, translated):
            for name, words in listed.items():
                for word in words.split("|"):
                    if folded := fold(word):
                        self._names[folded] = name
        # English stays understood where the person's own language does not use the word for something else.
        self._longest = max((len(word.split()) for word in self._names), default=1)

    def get(self, word: str) -> str | None:
        """The name that a word stands for."""
        return self._names.get(fold(word))

    def names(self, words: list[str]) -> list[str]:
        """The words with each known one, or known run of several, replaced by its name; longest runs first."""
        found: list[str] = []
        index = 0
        while index < len(words):
            for count in range(min(self._longest, len(words) - index), 0, -1):
                name = self._names.get(" ".join(words[index : index + count]))
                if name is not None:
                    break
            else:
                count, name = 1, words[index]
            found.append(name)
            index += count
        return found
