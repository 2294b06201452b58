"""Numbers, money, dates and lists as a language writes them (CLDR, through Babel)."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import Any, Literal, Protocol, runtime_checkable

from babel import Locale, dates, lists, numbers, units
from babel.numbers import NumberPattern

from bots.domain.currencies import CURRENCIES
from bots.domain.money import Money
from bots.framework.i18n.tags import SOURCE, is_right_to_left, locale_of
from bots.framework.i18n.templates import isolate

Length = Literal["short", "medium", "long", "full"]
_DIGITS = 28
"""The digits that Babel's decimal arithmetic keeps; longer numbers are written out plainly."""
_ITEMS = 100
_STEPS: tuple[tuple[str, int], ...] = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


@runtime_checkable
class Amount(Protocol):
    """What money looks like: ``minor`` units of a currency (ISO 4217)."""

    @property
    def minor(self) -> int:
        """Minor units: cents of a euro."""

    @property
    def currency(self) -> Any:
        """The currency's letters."""


@dataclass(frozen=True, slots=True)
class Formats:
    """How one language writes numbers, money, dates and lists, in one time zone.

    Digits are 0 to 9 in every language, so that people can copy what they read into an answer.

    Args:
        language: a BCP 47 tag; one that CLDR does not know is written as its nearest, at last as English.
        zone: where points in time are shown. Ones without a zone are shown as they stand.
    """

    language: str = SOURCE
    zone: dt.tzinfo = dt.UTC
    _locale: Locale = field(init=False, repr=False, compare=False)
    _right_to_left: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_locale", locale_of(self.language))
        object.__setattr__(self, "_right_to_left", is_right_to_left(self.language))

    def number(self, value: float | Decimal) -> str:
        """``1,234.5`` with all the decimals that it has."""
        if isinstance(value, int) and 0 <= value < 1000:
            return str(int(value))  # no language groups these, and nearly every count is one of them
        exact = _decimal(value)
        if exact is None:
            return _plain(value)
        return numbers.format_decimal(exact, locale=self._locale, decimal_quantization=False)

    def percent(self, ratio: float | Decimal) -> str:
        """``0.5`` is ``50%``, with all the decimals that it has."""
        exact = _decimal(ratio)
        if exact is None:
            return _plain(ratio)
        return numbers.format_percent(exact, locale=self._locale, decimal_quantization=False)

    def money(self, amount: Amount | int, currency: str | None = None) -> str:
        """``€12.50``, as ``money(Money(...))`` or ``money(1250, "EUR")``: minor units, decimals by ISO 4217."""
        minor = amount if isinstance(amount, int) else amount.minor
        code = (currency or "XXX") if isinstance(amount, int) else _letters(amount.currency)
        return _money(self._locale, minor, code)

    def date(self, value: dt.date, length: Length = "medium") -> str:
        """``Jan 2, 2026``; of a point in time, the day in the zone."""
        if isinstance(value, dt.datetime):
            value = self._here(value)
        return dates.format_date(value, format=length, locale=self._locale)

    def time(self, value: dt.time | dt.datetime, length: Length = "short") -> str:
        """``3:04 PM``; of a point in time, the time in the zone. A time alone has no day to move it by: it stays."""
        if isinstance(value, dt.datetime):
            value = self._here(value)
        return dates.format_time(value.replace(tzinfo=None), format=length, tzinfo=dt.UTC, locale=self._locale)

    def datetime(self, value: dt.datetime, length: Length = "medium") -> str:
        """``Jan 2, 2026, 3:04 PM`` in the zone; seconds only when they are not zero."""
        here = self._here(value).replace(tzinfo=None)
        clock = "medium" if here.second and length != "short" else "short"
        pattern = self._locale.datetime_formats[length]
        return (
            str(pattern)
            .replace("'", "")
            .replace("{0}", dates.format_time(here, format=clock, tzinfo=dt.UTC, locale=self._locale))
            .replace("{1}", dates.format_date(here, format=length, locale=self._locale))
        )

    def relative(self, delta: dt.timedelta) -> str:
        """``in 2 hours``, ``3 days ago``: roughly how far a point in time is away from now."""
        return dates.format_timedelta(delta, add_direction=True, locale=self._locale)

    def duration(self, delta: dt.timedelta, parts: int = 2) -> str:
        """``1 hour, 30 minutes``: how long something takes, in its ``parts`` biggest units, the last rounded down."""
        left = abs(int(delta.total_seconds()))
        pieces: list[str] = []
        for name, seconds in _STEPS:
            count, left = divmod(left, seconds)
            if count or (name == "second" and not pieces):
                pieces.append(units.format_unit(count, f"duration-{name}", length="long", locale=self._locale))
            if len(pieces) == parts:
                break
        text = lists.format_list(pieces, style="unit", locale=self._locale) if len(pieces) > 1 else pieces[0]
        return f"−{text}" if delta < dt.timedelta(0) else text

    def list(self, items: Iterable[str], style: Literal["standard", "or"] = "standard") -> str:
        """``a, b and c``, or ``a, b or c``."""
        texts = [isolate(each, self._right_to_left) for each in items]
        return lists.format_list(texts, style=style, locale=self._locale) if texts else ""

    def value(self, value: Any, counted: bool = False) -> str:
        """Any value as it stands in a sentence; never raises.

        Money, decimals, floats, dates, times and durations are written as the language does. A whole number is
        grouped only where it is ``counted``: most others are numbers of orders and lines, that people type back.
        """
        try:
            return self._written(value, counted)
        except Exception:  # noqa: BLE001 - whatever a value does when it is written, the sentence is said
            return _plain(value)

    def _written(self, value: Any, counted: bool) -> str:
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, bool):
            return str(value)
        if isinstance(value, int):
            return self.number(int(value)) if counted else _plain(int(value))
        if isinstance(value, (float, Decimal)):
            return self.number(value)
        return self._written_otherwise(value)

    def _written_otherwise(self, value: Any) -> str:
        if isinstance(value, Money):
            return self.money(value)
        if isinstance(value, dt.datetime):
            return self.datetime(value)
        if isinstance(value, dt.date):
            return self.date(value)
        if isinstance(value, dt.time):
            return self.time(value)
        if isinstance(value, dt.timedelta):
            return self.duration(value)
        if isinstance(value, Amount):
            return self.money(value)
        if isinstance(value, (Sequence, frozenset, set)) and not isinstance(value, (bytes, bytearray)):
            shown = [self.value(each) for each in islice(value, _ITEMS)]
            return self.list(shown if len(value) <= _ITEMS else [*shown, "…"])
        return str(value)

    def _here(self, value: dt.datetime) -> dt.datetime:
        if value.tzinfo is None:
            return value
        try:
            return value.astimezone(self.zone)
        except OverflowError:  # the first or last day of the calendar, in a zone beyond it
            return value


def exponent(currency: str) -> int:
    """How many decimals a currency has by ISO 4217 (which counts otherwise than CLDR: IQD has three); 2 if unknown."""
    known = CURRENCIES.get(currency)
    return known.exponent if known is not None else 2


@lru_cache(maxsize=4096)
def _money(locale: Locale, minor: int, code: str) -> str:
    """An amount as a language writes it. A list that is shown again has the same prices."""
    places = exponent(code)
    if abs(minor) >= 10**_DIGITS:
        return f"{_plain(minor)}E-{places} {code}"
    pattern = _money_pattern(locale, places, numbers.get_currency_symbol(code, locale))
    return str(pattern.apply(Decimal(minor).scaleb(-places), locale, currency=code, currency_digits=False))


@lru_cache(maxsize=512)
def _money_pattern(locale: Locale, places: int, symbol: str) -> NumberPattern:
    """The language's pattern with a currency's decimals, and with a space between letters and digits (CLDR,
    currencySpacing: ``€5`` but ``KWD 5``), which Babel leaves out.
    """
    pattern: NumberPattern = copy.copy(locale.currency_formats["standard"])
    pattern.frac_prec = (places, places)
    plus, minus = pattern.prefix
    if symbol[-1:].isalpha() and plus.endswith("¤"):
        pattern.prefix = (f"{plus}\xa0", f"{minus}\xa0")
    plus, minus = pattern.suffix
    if symbol[:1].isalpha() and plus.startswith("¤"):
        pattern.suffix = (f"\xa0{plus}", f"\xa0{minus}")
    return pattern


def _letters(currency: Any) -> str:
    return currency if isinstance(currency, str) else str(getattr(currency, "code", currency))


def _decimal(value: float | Decimal) -> Decimal | None:
    """The number exactly, or ``None`` when it is none or too long to be written by the rules of a language."""
    exact = value if isinstance(value, Decimal) else Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    if not exact.is_finite():
        return None
    whole, decimals = max(exact.adjusted() + 1, 1), max(-int(exact.as_tuple().exponent), 3)
    # Two to spare: a percentage is moved by two places.
    return exact if whole + decimals + 2 <= _DIGITS and len(exact.as_tuple().digits) <= _DIGITS else None


def _plain(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - an int of thousands of digits, or a class whose own text fails
        return f"({type(value).__name__})"
