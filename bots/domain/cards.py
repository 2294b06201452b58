"""Payment card numbers in what people write: found, so that they are warned, and masked, so that nothing keeps them.

A number counts as a card's when its length belongs to a range of issuers (ISO/IEC 7812), its check digit is right
(Luhn) and its digits stand together or in groups as on a card. Digits of any script count. What is part of a valid
IBAN, a telephone number with ``+``, a link, a decimal number, a product's bar code or an identifier with letters does
not. One in ten numbers that look like a card's in all other ways has the right check digit by chance: this warns, it
never blocks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["CardNumber", "find", "luhn", "mask"]

DOT: Final = "•"
SHOWN: Final = 4
"""Digits at the end that stay readable, by which people recognise a card."""

_INVISIBLE: Final = "\u200b-\u200f\u2060-\u2064\ufeff\u00ad"
_SEPARATOR: Final = (
    f"(?:[{_INVISIBLE}]*[ \\-._·\u00a0\u2000-\u200a\u202f\u3000\u2010-\u2015\u2212][{_INVISIBLE}]*|[{_INVISIBLE}]+)"
)
_RUN: Final = re.compile(rf"\d+(?:{_SEPARATOR}\d+)*")
_GROUP: Final = re.compile(r"\d+")
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[ -]?[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_IBAN_LENGTHS: Final = range(15, 35)
_LONGEST: Final = 19
_SHORTEST: Final = 13
_PART_BEFORE: Final = re.compile(r"(?:[^\W_]|[+#@/=&%$€£¥]|[^\W_][-_]|\d\.)\Z")
_PART_AFTER: Final = re.compile(r"[^\W_]|[@%€$£¥]|[-_=&][^\W\d_]|\.\d{1,2}(?!\d)")
"""A letter or an identifier's hyphen beside it; a decimal mark; signs of links, telephone numbers and amounts."""


@dataclass(frozen=True, slots=True)
class _Range:
    """Issuers whose numbers begin with ``first`` to ``last`` (of equal length)."""

    brand: str
    first: str
    last: str
    lengths: range | tuple[int, ...]


_RANGES: Final = (
    _Range("Visa", "4", "4", (13, 16, 19)),
    _Range("Mastercard", "51", "55", (16,)),
    _Range("Mastercard", "2221", "2720", (16,)),
    _Range("American Express", "34", "34", (15,)),
    _Range("American Express", "37", "37", (15,)),
    _Range("Diners Club", "300", "305", range(14, 20)),
    _Range("Diners Club", "3095", "3095", range(14, 20)),
    _Range("Diners Club", "36", "36", range(14, 20)),
    _Range("Diners Club", "38", "39", range(14, 20)),
    _Range("JCB", "3528", "3589", range(16, 20)),
    _Range("Discover", "6011", "6011", range(16, 20)),
    _Range("Discover", "644", "659", range(16, 20)),
    _Range("UnionPay", "62", "62", range(16, 20)),
    _Range("UnionPay", "81", "81", range(16, 20)),
    _Range("RuPay", "60", "60", (16,)),
    _Range("RuPay", "82", "82", (16,)),
    _Range("RuPay", "508", "508", (16,)),
    _Range("Mir", "2200", "2204", range(16, 20)),
    _Range("Troy", "9792", "9792", (16,)),
    _Range("Verve", "5060", "5061", range(16, 20)),
    _Range("Maestro", "5018", "5018", range(13, 20)),
    _Range("Maestro", "5020", "5020", range(13, 20)),
    _Range("Maestro", "5038", "5038", range(13, 20)),
    _Range("Maestro", "5893", "5893", range(13, 20)),
    _Range("Maestro", "6304", "6304", range(13, 20)),
    _Range("Maestro", "6759", "6759", range(13, 20)),
    _Range("Maestro", "6761", "6763", range(13, 20)),
)


@dataclass(frozen=True, slots=True)
class CardNumber:
    """Where a card's number stands in a text, from ``start`` to before ``end``, and whose it is. Not the number."""

    start: int
    end: int
    brand: str


def find(text: str) -> tuple[CardNumber, ...]:
    """The card numbers in a text, in order."""
    ibans = [match.span() for match in _ibans(text)]
    found: list[CardNumber] = []
    for run in _RUN.finditer(text):
        if run.end() - run.start() >= _SHORTEST:
            found += (card for card in _in_run(text, run) if not _within(card, ibans))
    return tuple(found)


def mask(text: str) -> str:
    """The text with every card number but its last four digits made unreadable; separators stay."""
    characters = list(text)
    for card in find(text):
        places = [place for place in range(card.start, card.end) if text[place].isdecimal()]
        for place in places[:-SHOWN]:
            characters[place] = DOT
    return "".join(characters)


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the ones before (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _in_run(text: str, run: re.Match[str]) -> Iterator[CardNumber]:
    """Cards among the groups of a run: a number may be followed by the date or the code that stand on a card too."""
    groups = [(group.start() + run.start(), group.end() + run.start()) for group in _GROUP.finditer(run.group())]
    sizes = [end - start for start, end in groups]
    first = 0
    while first < len(groups):
        brand, last = _longest(text, groups, sizes, first)
        if brand:
            yield CardNumber(groups[first][0], groups[last - 1][1], brand)
            first = last
        else:
            first += 1


def _longest(text: str, groups: list[tuple[int, int]], sizes: list[int], first: int) -> tuple[str, int]:
    """The brand of the longest card that begins with a group, and the group after it."""
    total, best = 0, ("", first)
    if sizes[first] == 1 and first and sizes[first - 1] == 1:
        return best  # in the midst of digits that stand alone
    for last in range(first, len(groups)):
        total += sizes[last]
        if total > _LONGEST:
            break
        if total < _SHORTEST or not _as_on_a_card(sizes[first : last + 1]):
            continue
        start, end = groups[first][0], groups[last][1]
        if not _stands_alone(text, start, end):
            continue
        digits = "".join(str(unicodedata.decimal(char)) for char in text[start:end] if char.isdecimal())
        if brand := _brand(digits):
            best = (brand, last + 1)
    return best


def _brand(digits: str) -> str:
    if not luhn(digits) or len(set(digits)) == 1 or _is_bar_code(digits):
        return ""
    for each in _RANGES:
        if each.first <= digits[: len(each.first)] <= each.last and len(digits) in each.lengths:
            return each.brand
    return ""


def _as_on_a_card(sizes: list[int]) -> bool:
    """Together; in fours with a shorter end; 4-6-5 and 4-6-4 (American Express, Diners Club); each digit alone."""
    if len(sizes) == 1 or sizes in ([4, 6, 5], [4, 6, 4], [4, 3, 3, 3], [6, 13], [8, 8]):
        return True
    return set(sizes) == {1} or (all(size == 4 for size in sizes[:-1]) and sizes[-1] <= 4)


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether nothing before or behind makes it a part of something else: a word, a link, a decimal number."""
    return not (_PART_BEFORE.search(text[max(start - 2, 0) : start]) or _PART_AFTER.match(text[end : end + 4]))


def _is_bar_code(digits: str) -> bool:
    """Whether it is an EAN-13, which begins with 4 in Germany and Japan: old Visa numbers are as long."""
    if len(digits) != 13:
        return False
    return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits)) % 10 == 0


def _ibans(text: str) -> Iterator[re.Match[str]]:
    for match in _IBAN.finditer(text):
        plain = re.sub("[ -]", "", match.group()).upper()
        # What follows an IBAN may look like more of it.
        if any(_is_iban(plain[:length]) for length in _IBAN_LENGTHS if length <= len(plain)):
            yield match


def _is_iban(plain: str) -> bool:
    """Whether the check digits are right (ISO 13616, ISO/IEC 7064 mod 97-10)."""
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def _within(card: CardNumber, spans: Iterable[tuple[int, int]]) -> bool:
    return any(start <= card.start < end for start, end in spans)
