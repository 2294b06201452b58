"""Spans of time as people say them: “90s”, “1h30m”, “2 days”, “an hour”, “half an hour”, ISO 8601 “PT1H”."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from bots.domain.numerals import NumeralError, read_number
from bots.framework.arguments.environment import ParseEnv
from bots.framework.arguments.errors import InvalidValue, Text, shorten
from bots.framework.arguments.words import fold

EXPECTED: Final = Text("a duration such as 90s, 1h30m or 2 days")
LONGEST: Final = timedelta(days=36_525)
"""A hundred years."""

UNITS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "second": "second|seconds|sec|secs|s",
        "minute": "minute|minutes|min|mins|m",
        "hour": "hour|hours|hr|hrs|h",
        "day": "day|days|d",
        "week": "week|weeks|wk|wks|w",
        "month": "month|months|mo",
        "year": "year|years|yr|yrs|y",
    }
)
NUMBERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "½": "half|½",
        "1": "one|a|an",
        "2": "two",
        "3": "three",
        "4": "four",
        "5": "five",
        "6": "six",
        "7": "seven",
        "8": "eight",
        "9": "nine",
        "10": "ten",
        "11": "eleven",
        "12": "twelve",
    }
)
JOINERS: Final = MappingProxyType({"and": "and|&|,"})
_TERMS: Final = MappingProxyType({**UNITS, **NUMBERS, **JOINERS})
_SECONDS: Final = MappingProxyType({"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800})
_ISO: Final = re.compile(
    r"P(?:(?P<year>\d+)Y)?(?:(?P<month>\d+)M)?(?:(?P<week>\d+(?:[.,]\d+)?)W)?(?:(?P<day>\d+(?:[.,]\d+)?)D)?"
    r"(?P<time>T(?:(?P<hour>\d+(?:[.,]\d+)?)H)?(?:(?P<minute>\d+(?:[.,]\d+)?)M)?(?:(?P<second>\d+(?:[.,]\d+)?)S)?)?",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"[\d٠-٩۰-۹]+(?:[.,٫][\d٠-٩۰-۹]+)?|½|&|,|[^\W\d_]+\.?")


def duration_parts(text: str, env: ParseEnv) -> dict[str, Decimal] | None:
    """The amounts by unit (``second`` to ``year``), None when the text is no duration."""
    if (match := _ISO.fullmatch(text.strip())) is not None:
        parts = {unit: Decimal(match[unit].replace(",", ".")) for unit in UNITS if match[unit]}
        return parts if parts and match["time"] not in {"T", "t"} else None
    folded = fold(text)
    words = _WORD.findall(folded)
    if not words or "".join(words) != folded.replace(" ", ""):
        return None
    vocabulary = env.vocabulary(_TERMS)
    return _read(vocabulary.names([word.rstrip(".") for word in words]))


def _read(names: list[str]) -> dict[str, Decimal] | None:
    """Amounts and units by turns, each unit once, with "and" between them."""
    parts: dict[str, Decimal] = {}
    rest = list(names)
    while rest:
        if parts and rest[0] == "and":
            rest.pop(0)
        amount = _amount(rest)
        if amount is None or not rest or rest[0] not in UNITS or rest[0] in parts:
            return None
        parts[rest.pop(0)] = amount
    return parts


def _amount(rest: list[str]) -> Decimal | None:
    if not rest:
        return None
    word = rest.pop(0)
    if word == "½":
        if rest[:1] == ["1"]:
            rest.pop(0)
        return Decimal("0.5")
    try:
        # A unit follows, so that a mark in the number is a decimal one: “1,125 h” is no thousand hours.
        return read_number(word.replace(",", ".").replace("٫", "."), "en")
    except NumeralError:
        return None


def to_timedelta(parts: Mapping[str, Decimal], given: str) -> timedelta:
    """The exact length. Raises :class:`InvalidValue` for months and years, which have none, and for more than a
    hundred years."""
    if "month" in parts or "year" in parts:
        raise InvalidValue(
            "argument.inexact", "Months and years differ in length: say it in weeks or days.", clear=True
        )
    micros = sum((amount * _SECONDS[unit] * 1_000_000 for unit, amount in parts.items()), Decimal(0))
    if micros > LONGEST // timedelta(microseconds=1):
        raise InvalidValue(
            "argument.too_long", "“{given}” is longer than a hundred years.", clear=True, given=shorten(given)
        )
    return timedelta(microseconds=int(micros))


def duration(text: str, env: ParseEnv) -> timedelta:
    """The length that a text tells: “90s”, “1h30m”, “2 days”, “an hour”, “PT1H”. Raises :class:`InvalidValue`."""
    parts = duration_parts(text, env)
    if parts is None:
        raise InvalidValue.of(text, EXPECTED)
    return to_timedelta(parts, text)
