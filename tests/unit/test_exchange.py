"""Exchange: exact rates, one rounding, nothing beyond what was shown."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.domain.currencies import CURRENCIES
from bots.domain.exchange import ExchangeError, Sheet, convert, mid_rate, rate_of, sheet
from bots.domain.money import Money

DAY = date(2026, 11, 27)
ECB = sheet(DAY, "EUR", [("USD", "1.0842"), ("JPY", "163.25"), ("GBP", "0.83"), ("KWD", "0.3335")], "the ECB")
HALF_PERCENT = Fraction("0.005")


def test_direct_turned_and_across() -> None:
    assert mid_rate(ECB, "EUR", "USD") == Fraction("1.0842")
    assert mid_rate(ECB, "USD", "EUR") == 1 / Fraction("1.0842")
    assert mid_rate(ECB, "GBP", "JPY") == Fraction("163.25") / Fraction("0.83")
    with pytest.raises(ExchangeError, match="unknown_pair"):
        mid_rate(ECB, "EUR", "CHF")
    with pytest.raises(ExchangeError, match="same_currency"):
        mid_rate(ECB, "EUR", "EUR")


def test_across_another_currency_than_the_euro() -> None:
    fixed = Sheet(DAY, {("USD", "CHF"): Fraction("0.8"), ("USD", "GBP"): Fraction("0.75")}, "the operator")
    assert mid_rate(fixed, "CHF", "GBP") == Fraction("0.75") / Fraction("0.8")


def test_worked_examples() -> None:
    made = convert(Money(10_000, "EUR"), "USD", Fraction("1.0842"), HALF_PERCENT)
    # 100 EUR at 1.0842 are 108.42 USD; less half a percent 107.8779, rounded down.
    assert (made.takes, made.cost) == (Money(10_787, "USD"), Money(55, "USD"))
    assert (made.mid, made.rate) == (Decimal("1.0842"), Decimal("1.078779"))
    to_yen = convert(Money(1, "EUR"), "JPY", Fraction("163.25"), HALF_PERCENT)
    assert to_yen.takes == Money(1, "JPY")
    to_dinar = convert(Money(100, "JPY"), "KWD", mid_rate(ECB, "JPY", "KWD"), Fraction(0))
    assert to_dinar.takes == Money(204, "KWD")


def test_too_little_and_nothing() -> None:
    with pytest.raises(ExchangeError) as caught:
        convert(Money(1, "JPY"), "EUR", mid_rate(ECB, "JPY", "EUR"), HALF_PERCENT)
    assert caught.value.human == "1 JPY is too little: it is worth less than the smallest amount in EUR."
    for minor in (0, -5):
        with pytest.raises(ExchangeError, match="not_positive"):
            convert(Money(minor, "EUR"), "USD", Fraction(1), HALF_PERCENT)
    with pytest.raises(ExchangeError, match="too_large"):
        convert(Money(2**62, "JPY"), "KWD", Fraction(1), Fraction(0))


codes = st.sampled_from(sorted(CURRENCIES))
rates = st.fractions(Fraction(1, 100_000), 100_000, max_denominator=1_000_000)
spreads = st.fractions(0, Fraction(1, 2), max_denominator=10_000)


@given(st.integers(1, 10**12), codes, codes, rates, spreads)
def test_never_more_than_shown_and_less_than_one_unit_below(
    minor: int, source: str, target: str, mid: Fraction, spread: Fraction
) -> None:
    gives = Money(minor, source)
    try:
        made = convert(gives, target, mid, spread)
    except ExchangeError as error:
        assert error.code in {"exchange.too_small", "exchange.too_large"}
        return
    scale = Fraction(10) ** (CURRENCIES[target].exponent - CURRENCIES[source].exponent)
    exact, fair = minor * mid * (1 - spread) * scale, minor * mid * scale
    assert exact - 1 < made.takes.minor <= exact
    # What it costs is never more than what is said that it costs.
    assert fair - made.takes.minor <= made.cost.minor < fair - made.takes.minor + 1
    assert made.rate <= Fraction(made.mid) or spread == 0


@given(st.integers(1, 10**9), rates, spreads)
def test_there_and_back_gains_nothing(minor: int, mid: Fraction, spread: Fraction) -> None:
    try:
        there = convert(Money(minor, "EUR"), "USD", mid, spread)
        back = convert(there.takes, "EUR", 1 / mid, spread)
    except ExchangeError:
        return
    assert back.takes.minor <= minor


@pytest.mark.parametrize("text", ["", "0", "-1", "1e3", "1,5", "nan", "1.", "٣", "1" * 20])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="a rate"):
        rate_of(text)


def test_a_sheet_needs_rates() -> None:
    with pytest.raises(ValueError, match="has rates"):
        sheet(DAY, "EUR", [("XYZ", "1.5")], "nobody")
