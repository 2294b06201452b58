"""Amounts of money: whole numbers of minor units with a currency of ISO 4217, never a binary fraction, never
rounded."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from bots.domain.currencies import CURRENCIES, SYMBOLS, Currency
from bots.domain.numerals import NUMBER, NumeralError, read_number

__all__ = ["LARGEST", "MESSAGES", "Currency", "Money", "MoneyError"]

LARGEST: Final = 2**63 - 1
"""The most minor units that an amount holds: what a 64-bit column holds."""

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "money.not_an_amount": "“{given}” is not an amount of money such as 12.50 EUR.",
        "money.missing_currency": "“{given}” names no currency: write for example {given} EUR.",
        "money.unknown_currency": "“{given}” is not a currency that I know.",
        "money.unknown_currency_near": "“{given}” is not a currency that I know. Did you mean {suggestion}?",
        "money.ambiguous_currency": "“{given}” can stand for several currencies: write {choices}.",
        "money.ambiguous_number": "“{given}” can be read in two ways: write it without a mark between the thousands.",
        "money.too_many_decimals": "{currency} has at most {decimals} decimals, and “{given}” has {found}.",
        "money.negative": "“{given}” is less than nothing.",
        "money.out_of_range": "The amount is too large.",
        "money.currency_mismatch": "{left} and {right} are different currencies.",
        "money.invalid": "An amount is a whole number of minor units of a currency of ISO 4217.",
        "money.not_exact": "{currency} has at most {decimals} decimals.",
        "money.bad_weights": "Shares are whole numbers, none below nought and not all of them nought.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class MoneyError(ValueError):
    """Money that cannot be. ``msgid`` with ``values`` is the sentence for people; ``code`` and ``fields`` are for logs.

    ``values`` may quote the person (``given``); ``fields`` and ``str()`` never do.
    """

    def __init__(self, code: str, **values: Any) -> None:
        super().__init__(code)
        self.code = code
        self.msgid = MESSAGES[code]
        self.values = values

    @property
    def fields(self) -> dict[str, Any]:
        """The values without what the person wrote."""
        return {key: value for key, value in self.values.items() if key != "given"}

    @property
    def human(self) -> str:
        """The sentence in English."""
        return self.msgid.format(**self.values)

    def __str__(self) -> str:
        return " ".join([self.code, *(f"{key}={value}" for key, value in self.fields.items())])


@dataclass(frozen=True, slots=True)
class Money:
    """``minor`` units of ``currency``: ``Money(1250, "EUR")`` is 12.50 EUR. Raises :class:`MoneyError` for what is no
    money."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int or self.currency not in CURRENCIES:
            raise MoneyError("money.invalid")
        if abs(self.minor) > LARGEST:
            raise MoneyError("money.out_of_range")

    @classmethod
    def of(cls, amount: Decimal | int | str, currency: str) -> Money:
        """The amount in major units: ``Money.of("12.50", "EUR")``. Exact or :class:`MoneyError`."""
        if currency not in CURRENCIES:
            raise MoneyError("money.invalid")
        exponent = CURRENCIES[currency].exponent
        try:
            number = Decimal(amount)
        except ArithmeticError:
            raise MoneyError("money.invalid") from None
        if not number.is_finite() or isinstance(amount, float):
            raise MoneyError("money.invalid")
        if abs(number.adjusted()) > 1000 or number.adjusted() > 20:
            raise MoneyError("money.out_of_range")
        sign, digits, exp = number.as_tuple()
        assert isinstance(exp, int)
        shift = exp + exponent
        minor, rest = divmod(int("".join(map(str, digits))) * 10 ** max(shift, 0), 10 ** max(-shift, 0))
        if rest:
            raise MoneyError("money.not_exact", currency=currency, decimals=exponent)
        return cls(-minor if sign else minor, currency)

    @classmethod
    def zero(cls, currency: str) -> Money:
        """Nothing, in a currency."""
        return cls(0, currency)

    @classmethod
    def parse(
        cls, text: str, default_currency: str | None = None, language: str | None = None, *, signed: bool = False
    ) -> Money:
        """The amount that a person wrote: “12,50 EUR”, “EUR 12.50”, “€5”, “1 234.50 EUR”.

        ``language`` (BCP 47) decides what “1,234” means; ``default_currency`` is taken where none is named and
        decides what
        “$” means. Raises :class:`MoneyError` for anything that is unclear, has more decimals than the currency, or is
        negative unless ``signed``. Nothing is ever rounded.
        """
        given = text.strip()
        if any(unicodedata.category(char) == "No" for char in given):
            raise MoneyError("money.not_an_amount", given=given)  # “5²” would become 52
        normal = unicodedata.normalize("NFKC", given).replace("−", "-")
        found = re.search(NUMBER, normal)
        if found is None:
            raise MoneyError("money.not_an_amount", given=given)
        before, sign_before = _sign(normal[: found.start()])
        after = normal[found.end() :].strip()
        currency = _currency(before, after, given, default_currency)
        try:
            number = read_number(found.group(), language)
        except NumeralError as error:
            code = "money.ambiguous_number" if error.code == "ambiguous" else "money.not_an_amount"
            raise MoneyError(code, given=given) from None
        exponent = CURRENCIES[currency].exponent
        written = -int(number.as_tuple().exponent)
        if written > exponent:
            raise MoneyError(
                "money.too_many_decimals", given=given, currency=currency, decimals=exponent, found=written
            )
        if sign_before == "-" and not signed:
            raise MoneyError("money.negative", given=given)
        return cls.of(number.copy_negate() if sign_before == "-" else number, currency)

    @property
    def info(self) -> Currency:
        """The currency with its exponent and name."""
        return CURRENCIES[self.currency]

    @property
    def amount(self) -> Decimal:
        """The amount in major units, with all its decimals."""
        return Decimal(self.minor).scaleb(-self.info.exponent)

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"

    def __bool__(self) -> bool:
        return self.minor != 0

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def __abs__(self) -> Money:
        return Money(abs(self.minor), self.currency)

    def __add__(self, other: Money) -> Money:
        return Money(self.minor + self._same(other), self.currency) if isinstance(other, Money) else NotImplemented

    def __sub__(self, other: Money) -> Money:
        return Money(self.minor - self._same(other), self.currency) if isinstance(other, Money) else NotImplemented

    def __mul__(self, times: int) -> Money:
        return Money(self.minor * times, self.currency) if type(times) is int else NotImplemented

    __rmul__ = __mul__

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._same(other) if isinstance(other, Money) else NotImplemented

    def __le__(self, other: Money) -> bool:
        return self.minor <= self._same(other) if isinstance(other, Money) else NotImplemented

    def __gt__(self, other: Money) -> bool:
        return self.minor > self._same(other) if isinstance(other, Money) else NotImplemented

    def __ge__(self, other: Money) -> bool:
        return self.minor >= self._same(other) if isinstance(other, Money) else NotImplemented

    def allocate(self, weights: Sequence[int]) -> list[Money]:
        """Split in proportion to ``weights`` without losing a unit: by largest remainder, of equal ones the first."""
        total = sum(weights)
        if any(type(weight) is not int or weight < 0 for weight in weights) or total <= 0:
            raise MoneyError("money.bad_weights")
        sign, size = (-1 if self.minor < 0 else 1), abs(self.minor)
        shares = [size * weight // total for weight in weights]
        by_remainder = sorted(range(len(weights)), key=lambda index: -(size * weights[index] % total))
        for index in by_remainder[: size - sum(shares)]:
            shares[index] += 1
        return [Money(sign * share, self.currency) for share in shares]

    def split(self, ways: int) -> list[Money]:
        """Split into as equal parts as there are units for."""
        return self.allocate([1] * ways)

    def _same(self, other: Money) -> int:
        if other.currency != self.currency:
            raise MoneyError("money.currency_mismatch", left=self.currency, right=other.currency)
        return other.minor


def _sign(before: str) -> tuple[str, str]:
    """What stands before the number without its sign, and the sign."""
    bare = before.strip()
    for sign in ("-", "+"):
        if bare.startswith(sign) or bare.endswith(sign):
            return (bare[1:] if bare.startswith(sign) else bare[:-1]).strip(), sign
    return bare, ""


def _currency(before: str, after: str, given: str, default: str | None) -> str:
    if not before and not after:
        if default is None:
            raise MoneyError("money.missing_currency", given=given)
        return default
    if any(char.isdigit() for char in before + after):
        raise MoneyError("money.not_an_amount", given=given)
    choices = [_meant(word) for word in (before, after) if word]
    if len(choices) == 2:
        both = tuple(code for code in choices[0] if code in choices[1])
        if not both:
            raise MoneyError("money.not_an_amount", given=given)
        choices = [both]
    codes = choices[0]
    if default in codes:
        return default
    if not codes:
        word = before or after
        if len(word) == 3 and (near := _nearest(word.upper())) is not None:
            raise MoneyError("money.unknown_currency_near", given=word, suggestion=near)
        raise MoneyError("money.unknown_currency", given=word)
    if len(codes) > 1:
        raise MoneyError("money.ambiguous_currency", given=before or after, choices=", ".join(codes[:4]))
    return codes[0]


def _meant(word: str) -> tuple[str, ...]:
    code = word.upper()
    return (code,) if code in CURRENCIES and word.isascii() else SYMBOLS.get(word.casefold(), ())


def _nearest(code: str) -> str | None:
    """A currency with two of the three letters; the most used ones before the others."""
    often = ("EUR", "USD", "GBP", "CHF", "JPY", "CNY", *CURRENCIES)
    return next((other for other in often if sum(a == b for a, b in zip(code, other, strict=True)) == 2), None)
