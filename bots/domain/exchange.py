"""Exchange between currencies: exact fractions, one rounding, shown before anybody agrees.

A rate is how many units of the second currency one unit of the first is worth. What is given is rounded down to the
minor unit: never more than the rate less the spread gives, and less than one minor unit below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_DOWN, Context, Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from bots.domain.currencies import CURRENCIES
from bots.domain.money import Money

DIGITS: Final = 10
"""Significant digits of a rate that is shown. Amounts are worked out with the exact one."""
_RATE: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")
_SHOWN: Final = Context(prec=DIGITS, rounding=ROUND_DOWN)

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "exchange.no_source": "Money is not exchanged here.",
        "exchange.unknown_pair": "There is no rate from {source} to {target}.",
        "exchange.same_currency": "The amount is in {source} already.",
        "exchange.not_positive": "An amount to exchange is above nought.",
        "exchange.too_small": "{amount} is too little: it is worth less than the smallest amount in {target}.",
        "exchange.stale": "The last rates are from {day}: too old to exchange by them. Please try again later.",
        "exchange.unavailable": "The rates cannot be had right now. Please try again later.",
        "exchange.too_large": "The amount is too large to exchange.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class ExchangeError(ValueError):
    """Money that is not exchanged. ``msgid`` with ``values`` is the sentence for people."""

    def __init__(self, code: str, **values: str) -> None:
        super().__init__(code)
        self.code = code
        self.msgid = MESSAGES[code]
        self.values = values

    @property
    def human(self) -> str:
        """The sentence in English."""
        return self.msgid.format(**self.values)


@dataclass(frozen=True, slots=True)
class Sheet:
    """The rates of a day."""

    day: date
    pairs: Mapping[tuple[str, str], Fraction]
    """``("EUR", "USD")``: how many USD one EUR is worth."""
    source: str
    """Who says so, in words."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What one amount becomes."""

    gives: Money
    takes: Money
    mid: Decimal
    """The rate without spread, shortened for display."""
    rate: Decimal
    """The rate that is applied, shortened for display."""
    cost: Money
    """In the currency that is taken: what the mid rate would give more. What it really is is never above this."""


def rate_of(text: str) -> Fraction:
    """The exact rate that a text writes, such as ``1.0842``. Raises ValueError."""
    if not _RATE.fullmatch(text):
        raise ValueError("a rate is a decimal number above nought")
    rate = Fraction(text)
    if rate <= 0:
        raise ValueError("a rate is a decimal number above nought")
    return rate


def sheet(day: date, base: str, rates: Iterable[tuple[str, str]], source: str) -> Sheet:
    """The sheet that gives the rates of one currency. Those of currencies that nobody knows are left out.

    Raises:
        ValueError: a rate is none, or there are none at all.
    """
    pairs = {(base, code): rate_of(text) for code, text in rates if code in CURRENCIES and code != base}
    if base not in CURRENCIES or not pairs:
        raise ValueError("a sheet of rates has rates")
    return Sheet(day, pairs, source)


def mid_rate(rates: Sheet, source: str, target: str) -> Fraction:
    """The rate between two currencies: as given, turned round, or across one currency that both have a rate with.

    Raises:
        ExchangeError: there is none.
    """
    if source == target:
        raise ExchangeError("exchange.same_currency", source=source)
    direct = _one(rates, source, target)
    if direct is not None:
        return direct
    # Sorted: with several ways across the answer must not depend on how the sheet was read. EUR goes first.
    for middle in sorted({code for pair in rates.pairs for code in pair}, key=lambda code: (code != "EUR", code)):
        first, second = _one(rates, source, middle), _one(rates, middle, target)
        if first is not None and second is not None:
            return first * second
    raise ExchangeError("exchange.unknown_pair", source=source, target=target)


def _one(rates: Sheet, source: str, target: str) -> Fraction | None:
    found = rates.pairs.get((source, target))
    if found is not None:
        return found
    turned = rates.pairs.get((target, source))
    return None if turned is None else 1 / turned


def convert(gives: Money, target: str, mid: Fraction, spread: Fraction) -> Conversion:
    """What ``gives`` becomes at the mid rate less the spread (a part of one).

    Raises:
        ExchangeError: nothing would be left of it, or it is not above nought.
    """
    if not 0 <= spread < 1 or mid <= 0:
        raise ValueError("a spread is a part of one, a rate above nought")
    if gives.minor <= 0:
        raise ExchangeError("exchange.not_positive")
    units = Fraction(10) ** (CURRENCIES[target].exponent - gives.info.exponent)
    applied = mid * (1 - spread)
    minor = gives.minor * applied * units // 1
    fair = gives.minor * mid * units
    if minor < 1:
        raise ExchangeError("exchange.too_small", amount=str(gives), target=target)
    if fair > 2**62:
        raise ExchangeError("exchange.too_large")
    takes = Money(int(minor), target)
    return Conversion(
        gives, takes, mid=_shown(mid), rate=_shown(applied), cost=Money(-int(-fair // 1) - takes.minor, target)
    )


def _shown(rate: Fraction) -> Decimal:
    return _SHOWN.divide(Decimal(rate.numerator), Decimal(rate.denominator)).normalize(_SHOWN)
