"""Money: exact, one currency at a time, never rounded, never guessed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.domain.currencies import CURRENCIES, SYMBOLS
from bots.domain.money import LARGEST, MESSAGES, Money, MoneyError
from bots.domain.numerals import NumeralError, read_number

CODES = st.sampled_from(sorted(CURRENCIES))
MINOR = st.integers(-(10**15), 10**15)
MONEY = st.builds(Money, MINOR, CODES)


def test_currencies_are_those_of_the_standard() -> None:
    by_exponent = {n: {c.code for c in CURRENCIES.values() if c.exponent == n} for n in (0, 2, 3, 4)}
    zero = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
    assert by_exponent[0] == set(zero.split())
    assert by_exponent[3] == {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}
    assert by_exponent[4] == {"CLF", "UYW"}
    assert sum(map(len, by_exponent.values())) == len(CURRENCIES) == 165
    assert {"XCG", "ZWG", "SLE", "VED", "XAD"} <= set(CURRENCIES)
    assert not {"BGN", "HRK", "ANG", "CUC", "SLL", "ZWL", "XAU", "XXX"} & set(CURRENCIES)
    assert len({c.numeric for c in CURRENCIES.values()}) == len(CURRENCIES)
    assert all(len(c.numeric) == 3 and c.numeric.isdigit() and c.name for c in CURRENCIES.values())
    assert all(code in CURRENCIES for codes in SYMBOLS.values() for code in codes)


@pytest.mark.parametrize(
    ("text", "default", "language", "expected"),
    [
        ("12,50 EUR", None, None, "12.50 EUR"),
        ("EUR 12.50", None, None, "12.50 EUR"),
        ("€5", None, None, "5.00 EUR"),
        ("5€", None, None, "5.00 EUR"),
        ("1 234.50 EUR", None, None, "1234.50 EUR"),
        ("1\u202f234,50 €", None, None, "1234.50 EUR"),
        ("1.234,50 EUR", None, None, "1234.50 EUR"),
        ("1,234.50 usd", None, None, "1234.50 USD"),
        ("1'234.50 CHF", None, None, "1234.50 CHF"),
        ("Fr. 12.50", None, None, "12.50 CHF"),
        ("1,23,456.50 ₹", None, None, "123456.50 INR"),
        ("1,234,567 JPY", None, None, "1234567 JPY"),
        ("¥500", "JPY", None, "500 JPY"),
        ("$5", "CAD", None, "5.00 CAD"),
        ("$5 USD", None, None, "5.00 USD"),
        ("US$ 5", None, None, "5.00 USD"),
        ("£3.2", None, None, "3.20 GBP"),
        ("1.234 KWD", None, "en", "1.234 KWD"),
        ("1,234 EUR", None, "en", "1234.00 EUR"),
        ("1.234 EUR", None, "de", "1234.00 EUR"),
        ("1.234 EUR", None, "de-DE", "1234.00 EUR"),
        ("0,5", "EUR", None, "0.50 EUR"),
        ("7", "EUR", None, "7.00 EUR"),
        ("١٢٫٥٠ EUR", None, "ar", "12.50 EUR"),
        ("１２．５０ EUR", None, None, "12.50 EUR"),
        ("5 euros", None, None, "5.00 EUR"),
    ],
)
def test_what_people_write(text: str, default: str | None, language: str | None, expected: str) -> None:
    assert str(Money.parse(text, default, language)) == expected


@pytest.mark.parametrize(
    ("text", "language", "code"),
    [
        ("", None, "money.not_an_amount"),
        ("five", None, "money.not_an_amount"),
        ("5", None, "money.missing_currency"),
        ("5 apples", None, "money.unknown_currency"),
        ("5 EUX", None, "money.unknown_currency_near"),
        ("$5", None, "money.ambiguous_currency"),
        ("5 kr", None, "money.ambiguous_currency"),
        ("1,234 EUR", None, "money.ambiguous_number"),
        ("1.234 EUR", "xx", "money.ambiguous_number"),
        ("1.234 EUR", "en", "money.too_many_decimals"),
        ("1,234 EUR", "de", "money.too_many_decimals"),
        ("12.505 EUR", None, "money.ambiguous_number"),
        ("12.5055 EUR", None, "money.too_many_decimals"),
        ("5.5 JPY", None, "money.too_many_decimals"),
        ("-5 EUR", None, "money.negative"),
        ("€-5", None, "money.negative"),
        ("−5 EUR", None, "money.negative"),
        ("1,23.45,6 EUR", None, "money.not_an_amount"),
        ("12 34 EUR", None, "money.not_an_amount"),
        ("0 500 EUR", None, "money.not_an_amount"),
        ("5 EUR 3", None, "money.not_an_amount"),
        ("€5 USD", None, "money.not_an_amount"),
        ("1e5 EUR", None, "money.not_an_amount"),
        ("5² EUR", None, "money.not_an_amount"),
        ("5①0 EUR", None, "money.not_an_amount"),
        ("1½ EUR", None, "money.not_an_amount"),
        ("9" * 30 + " EUR", None, "money.out_of_range"),
        ("9" * 31 + " EUR", None, "money.not_an_amount"),
    ],
)
def test_what_is_unclear_is_refused_and_never_rounded(text: str, language: str | None, code: str) -> None:
    with pytest.raises(MoneyError) as caught:
        Money.parse(text, language=language)
    assert caught.value.code == code
    assert caught.value.msgid == MESSAGES[code]
    assert caught.value.human
    assert "given" not in caught.value.fields


def test_the_error_says_what_is_wrong_to_people_and_nothing_personal_to_logs() -> None:
    with pytest.raises(MoneyError) as caught:
        Money.parse("5.12345 EUR")
    assert caught.value.human == "EUR has at most 2 decimals, and “5.12345 EUR” has 5."
    assert "5.12345" not in str(caught.value)
    with pytest.raises(MoneyError) as caught:
        Money.parse("5 EUX")
    assert caught.value.human == "“EUX” is not a currency that I know. Did you mean EUR?"


def test_signed_where_it_is_asked_for() -> None:
    assert Money.parse("-5 EUR", signed=True) == Money(-500, "EUR")
    assert str(Money(-5, "EUR")) == "-0.05 EUR"


@pytest.mark.parametrize("minor", [True, 1.0, "1", None, LARGEST + 1, -LARGEST - 1])
def test_no_money_but_of_whole_units(minor: object) -> None:
    with pytest.raises(MoneyError):
        Money(minor, "EUR")  # type: ignore[arg-type]


def test_no_money_of_no_currency() -> None:
    for code in ("eur", "XXX", "EURO", ""):
        with pytest.raises(MoneyError):
            Money(1, code)


@pytest.mark.parametrize("amount", ["12.505", Decimal("0.001"), "NaN", "Infinity", "1e9999", "x", "1e-9999"])
def test_of_is_exact(amount: str | Decimal) -> None:
    with pytest.raises(MoneyError):
        Money.of(amount, "EUR")


@given(MONEY)
def test_written_and_read_back(money: Money) -> None:
    assert Money.parse(str(money), signed=True, language="en") == money
    assert Money.of(money.amount, money.currency) == money


@given(MINOR, MINOR, CODES)
def test_arithmetic_is_that_of_the_units(left: int, right: int, code: str) -> None:
    a, b = Money(left, code), Money(right, code)
    assert a + b - b == a
    assert (a + b).minor == left + right
    assert a * 3 == a + a + a == 3 * a
    assert -a + a == Money.zero(code)
    assert (a < b, a <= b, a > b, a >= b) == (left < right, left <= right, left > right, left >= right)
    assert bool(a) is (left != 0)
    assert abs(a).minor == abs(left)


def test_currencies_do_not_mix() -> None:
    euro, dollar = Money(1, "EUR"), Money(1, "USD")
    for mix in (lambda: euro + dollar, lambda: euro - dollar, lambda: euro < dollar, lambda: euro >= dollar):
        with pytest.raises(MoneyError, match=r"money\.currency_mismatch"):
            mix()
    assert euro != dollar
    with pytest.raises(TypeError):
        euro * 1.5  # type: ignore[operator]
    with pytest.raises(TypeError):
        euro + 1  # type: ignore[operator]


@given(MONEY, st.lists(st.integers(0, 10**6), min_size=1, max_size=20).filter(any))
def test_allocation_loses_nothing(money: Money, weights: list[int]) -> None:
    shares = money.allocate(weights)
    assert sum(share.minor for share in shares) == money.minor
    total = sum(weights)
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share.minor * total - money.minor * weight) < total
        assert weight or not share
    assert [-share for share in shares] == (-money).allocate(weights)


def test_allocation_gives_what_is_left_to_the_largest_remainders() -> None:
    assert [share.minor for share in Money(100, "EUR").split(3)] == [34, 33, 33]
    assert [share.minor for share in Money(10, "EUR").allocate([1, 5, 5])] == [1, 5, 4]
    for weights in ([], [0, 0], [1, -1, 3]):
        with pytest.raises(MoneyError):
            Money(1, "EUR").allocate(weights)


@pytest.mark.parametrize("text", ["", ".", "1,", "1..2", "1.2,3.4", "--1", "1 2", "1,2,3", "½", "0x10"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(NumeralError):
        read_number(text, "en")


@given(st.decimals(-(10**15), 10**15, places=4), st.sampled_from(["en", "de", "fr"]))
def test_numbers_are_read_as_they_are_written_in_a_language(number: Decimal, language: str) -> None:
    group, mark = {"en": (",", "."), "de": (".", ","), "fr": ("\u202f", ",")}[language]
    text = f"{number:,.4f}".replace(",", "_").replace(".", mark).replace("_", group)
    assert read_number(text, language) == number
