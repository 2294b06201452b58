"""Which option an answer means. Nothing is ever chosen that is no option, and nothing near is taken for the thing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from bots.framework.choices.options import MAX_KEY, MAX_LABEL, MAX_OPTIONS, ChoicePrompt, Option
from bots.framework.choices.outcomes import (
    Ambiguous,
    Match,
    NoMatch,
    Page,
    Picked,
    Stale,
    Ticked,
    TooFew,
    TooMany,
)
from bots.framework.choices.text import AND, NUMBER, PREVIOUS, clean, fold, fold_accents, fold_key, fold_symbols, words
from bots.framework.i18n.marks import WORDS
from bots.framework.i18n.translator import Translator

CHOICE: Final = "app.rialto.choice"
MAX_TEXT: Final = 4_000
MAX_JOINED: Final = 8  # a label may itself hold so many commas and "and"s, less one
NEAREST: Final = 3

_RANGE: Final = re.compile(r"(\d{1,6})\s*(?:[-‐‒–—−~]|\.{2,3})\s*(\d{1,6})")
_NUMBERS: Final = re.compile(r"\d{1,6}[.)]?(?: \d{1,6}[.)]?)+")
_MARKS: Final = r"[,;，、،؛；\n&+]"
_QUOTES: Final = ('""', "''", "“”", "„“", "‘’", "«»", "「」")
_ENDING: Final = " .!?…。！？"
_FOLDS: Final[tuple[Callable[[str], str], ...]] = (fold, fold_accents, fold_symbols)


def match_text(prompt: ChoicePrompt, text: str, translator: Translator) -> Match:
    """What a written answer means.

    In this order: the words that turn pages (``back`` only after the first page); a label in full or a number, where
    ``#2``, ``2.`` and ``no 2`` are numbers even if a label is ``2``, and a label in quotation marks is a label even if
    it is ``more``; ``all``, ``none`` and ``done``; several of them with commas, ``and`` and ranges, if several may be
    chosen; the beginning of a label if it is that of one label only. Case, accents, width and the script of digits do
    not matter. Words count in the person's language and in English.

    ``done`` picks what is ticked; an answer that names options is the whole answer, whatever is ticked.
    """
    if len(text) > MAX_TEXT:
        return NoMatch()
    text = clean(text, MAX_TEXT, lines=True)
    labels = _Labels(prompt, words(translator, NUMBER))
    word = fold(text.strip(_ENDING))
    page = _turned(prompt, word, translator)
    if page is not None:
        return page
    found = labels.exact(text)
    if found:
        return _one(prompt, found)
    several = _by_word(prompt, word, translator)
    if several is not None:
        return several
    if prompt.multiple:
        return _several(prompt, labels, text, translator)
    found = labels.beginning(text)
    return _one(prompt, found) if found else NoMatch(labels.nearest(text))


def match_reaction(prompt: ChoicePrompt, key: str, *, removed: bool = False) -> Match:
    """What a reaction means; ``removed`` when the person took it back.

    If several may be chosen a reaction ticks and its removal unticks, until the one that says done
    (:attr:`ChoicePrompt.done_key`).
    """
    option = None if len(key) > MAX_KEY else _by_key(prompt, fold_key(key))
    if prompt.multiple:
        done = prompt.done_key
        if done is not None and fold_key(key) == fold_key(done):
            return Ticked(prompt.chosen) if removed else _counted(prompt, prompt.chosen)
        if isinstance(option, Option):
            rest = [value for value in prompt.chosen if value != option.value]
            return Ticked(prompt.in_order(rest if removed else [*rest, option.value]))
    if option is None or removed:
        return NoMatch()
    return option if isinstance(option, Ambiguous) else Picked((option.value,))


def match_poll(prompt: ChoicePrompt, answers: Sequence[str]) -> Match:
    """What a vote in the prompt's poll means; ``answers`` are the ids of the response.

    Answers over the number of selections are cut off, and an unknown one spoils the vote (MSC3381, "Tallying").
    """
    answers = answers[: prompt.most]
    values = prompt.by_value
    if any(answer not in values for answer in answers):
        return NoMatch()
    return _counted(prompt, answers)


def match_structured(prompt: ChoicePrompt, content: Mapping[str, Any]) -> Match | None:
    """What a message of Rialto's own clients means; None when its content has no ``app.rialto.choice``.

    ``{"app.rialto.choice": {"prompt": id, "values": [value, …]}}``, or ``"page": number`` in place of the values.
    """
    if CHOICE not in content:
        return None
    answer = content[CHOICE]
    if not isinstance(answer, Mapping) or not isinstance(answer.get("prompt"), str):
        return NoMatch()
    if answer["prompt"] != prompt.id:
        return Stale(clean(answer["prompt"], MAX_LABEL))
    values, page = answer.get("values"), answer.get("page")
    if values is None and isinstance(page, int) and not isinstance(page, bool):
        return Page(page) if 1 <= page <= prompt.pages else NoMatch()
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) > MAX_OPTIONS:
        return NoMatch()
    known = prompt.by_value
    if any(not isinstance(value, str) or value not in known for value in values):
        return NoMatch()
    return _counted(prompt, values)


class _Labels:
    """The labels of a prompt, to be found by what a person wrote."""

    def __init__(self, prompt: ChoicePrompt, number_words: Iterable[str] = ()) -> None:
        self._options = prompt.options
        self._prefixes = ("#", *sorted(map(fold, number_words), key=len, reverse=True))
        self._known: dict[Callable[[str], str], dict[str, list[Option]]] = {}

    def _by(self, folded: Callable[[str], str]) -> dict[str, list[Option]]:
        """The options by their labels and aliases as ``folded`` writes them; made when it is first asked for."""
        known = self._known.get(folded)
        if known is None:
            known = self._known[folded] = {}
            for option in self._options:
                for word in {folded(each) for each in (option.label, *option.aliases)}:
                    if word:
                        known.setdefault(word, []).append(option)
        return known

    def exact(self, text: str) -> list[Option]:
        """The options that ``text`` names in full, by label or number."""
        text = clean(text, MAX_TEXT)
        number, explicit = self._number(text)
        # "#2" is not to mean the label "2": that is what it is there for.
        found = self.named(text, symbols=not explicit)
        if not found and len(text) > 2 and text[0] + text[-1] in _QUOTES:
            return self.named(text[1:-1])
        if number is not None:
            found = [*found, *(option for option in self.numbered([number]) or () if option not in found)]
        return found

    def named(self, text: str, *, symbols: bool = True) -> list[Option]:
        """The options with this label."""
        text = clean(text, MAX_LABEL)
        for folded in _FOLDS:
            if folded is fold_symbols and not symbols:
                break
            found = self._by(folded).get(folded(text))
            if found:
                return list(found)
        return []

    def numbered(self, numbers: Iterable[int]) -> list[Option] | None:
        """The options with these numbers; None when one is out of range."""
        found = []
        for number in numbers:
            if not 1 <= number <= len(self._options):
                return None
            found.append(self._options[number - 1])
        return found

    def _number(self, text: str) -> tuple[int | None, bool]:
        """The number that a text is, and whether it can be nothing else."""
        text = fold(text)
        rest = text
        for prefix in self._prefixes:
            if prefix and text.startswith(prefix):
                rest = text[len(prefix) :].lstrip(" .:")
                break
        digits = re.fullmatch(r"(\d{1,6})\s*([.)]?)", rest)
        if digits is None:
            return None, False
        return int(digits[1]), rest != text or bool(digits[2])

    def beginning(self, text: str) -> list[Option]:
        """The options whose label begins so."""
        text = clean(text, MAX_TEXT)
        for folded in (fold, fold_accents):
            start = folded(text)
            if any(char.isalnum() for char in start):
                found = [option for option in self._options if folded(option.label).startswith(start)]
                if found:
                    return found
        return []

    def nearest(self, text: str) -> tuple[Option, ...]:
        """The options that may be meant."""
        wanted = fold_symbols(clean(text, MAX_LABEL))
        known = self._by(fold_symbols)
        found: list[Option] = []
        if len(wanted) >= 3:
            spaced = f" {wanted} "
            within = [key for key in known if f" {key} " in spaced or f" {wanted}" in f" {key}"]
            for key in (*within[:NEAREST], *get_close_matches(wanted, known, NEAREST, 0.6)):
                found += [option for option in known[key] if option not in found]
        return tuple(found[:NEAREST])


def _turned(prompt: ChoicePrompt, word: str, translator: Translator) -> Page | None:
    if prompt.pages == 1:
        return None
    if word in map(fold, words(translator, WORDS["more"])):
        return Page(min(prompt.page + 1, prompt.pages))
    # On the first page "back" is not about pages.
    if prompt.page > 1 and word in map(fold, words(translator, PREVIOUS)):
        return Page(prompt.page - 1)
    return None


def _by_word(prompt: ChoicePrompt, word: str, translator: Translator) -> Match | None:
    if (prompt.multiple or prompt.minimum == 0) and word in map(fold, words(translator, WORDS["none"])):
        return _counted(prompt, ())
    if prompt.multiple and word in map(fold, words(translator, WORDS["all"])):
        return _counted(prompt, [option.value for option in prompt.options])
    if prompt.multiple and word in map(fold, words(translator, WORDS["done"])):
        return _counted(prompt, prompt.chosen)
    return None


def _several(prompt: ChoicePrompt, labels: _Labels, text: str, translator: Translator) -> Match:
    conjunctions = "|".join(re.escape(word) for word in words(translator, AND))
    # A conjunction stands alone or next to digits ("1和3"), not inside a word.
    separators = re.compile(rf"{_MARKS}|(?<![^\W\d_])(?:{conjunctions})(?![^\W\d_])", re.IGNORECASE)
    spans, start = [], 0
    for mark in (*separators.finditer(text), None):
        end = len(text) if mark is None else mark.start()
        if text[start:end].strip():
            spans.append((start, end))
        start = end if mark is None else mark.end()
    values: list[str] = []
    at = 0
    while at < len(spans):
        found, taken = _longest(labels, text, spans[at : at + MAX_JOINED])
        if len(found) > 1 and taken:
            return Ambiguous(tuple(found))
        if not taken:
            piece = text[slice(*spans[at])].strip()
            numbers = _numbers(labels, piece)
            found = numbers or labels.beginning(piece)
            if not found:
                return NoMatch(labels.nearest(piece))
            if len(found) > 1 and not numbers:
                return Ambiguous(tuple(found))
        values += [option.value for option in found]
        at += max(taken, 1)
    return _counted(prompt, values) if values else NoMatch()


def _longest(labels: _Labels, text: str, spans: Sequence[tuple[int, int]]) -> tuple[list[Option], int]:
    """The options named by the longest piece that is a name, and how many spans it takes: a label may have commas."""
    for count in range(len(spans), 1, -1):
        found = labels.named(text[spans[0][0] : spans[count - 1][1]], symbols=False)
        if found:
            return found, count
    found = labels.exact(text[slice(*spans[0])])
    return found, 1 if found else 0


def _numbers(labels: _Labels, piece: str) -> list[Option]:
    """The options of ``1-3`` or ``1 2 3``; none when one of the numbers is out of range."""
    piece = fold(piece)
    reach = _RANGE.fullmatch(piece)
    if reach is not None:
        low, high = sorted((int(reach[1]), int(reach[2])))
        return labels.numbered(range(low, high + 1)) or []
    if _NUMBERS.fullmatch(piece):
        return labels.numbered(int(number.rstrip(".)")) for number in piece.split()) or []
    return []


def _by_key(prompt: ChoicePrompt, key: str) -> Option | Ambiguous | None:
    option = prompt.keys.get(key)
    if option is not None:
        return option
    capped = 10 if key == "🔟" else int(key[0]) if re.fullmatch("[0-9]\u20e3", key) else None
    if capped is not None:
        return prompt.options[capped - 1] if 1 <= capped <= len(prompt.options) else None
    # A client can react with any text.
    found = _Labels(prompt).exact(key)
    if len(found) > 1:
        return Ambiguous(tuple(found))
    return found[0] if found else None


def _one(prompt: ChoicePrompt, found: Sequence[Option]) -> Match:
    return Ambiguous(tuple(found)) if len(found) > 1 else _counted(prompt, [found[0].value])


def _counted(prompt: ChoicePrompt, values: Iterable[str]) -> Match:
    """The answer, if it is neither too short nor too long."""
    picked = prompt.in_order(values)
    if len(picked) < prompt.minimum:
        return TooFew(len(picked), prompt.minimum)
    if len(picked) > prompt.most:
        return TooMany(len(picked), prompt.most)
    return Picked(picked)
