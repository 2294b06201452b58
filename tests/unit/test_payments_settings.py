"""Periods of subscriptions, and what the configuration says of payments."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appservice.config.money import Payments, Tier
from bots.domain.intervals import Interval, Unit
from bots.domain.money import Money
from bots.framework.clock import from_ms, to_ms
from bots.payments.settings import settings_of

PLAY: dict[str, Any] = {"sandbox": {"enabled": True}}


def ms(text: str) -> int:
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("interval", "anchor", "wanted"),
    [
        (Interval(1, Unit.DAY), "2026-01-30T09:00", ["2026-01-31T09:00", "2026-02-01T09:00"]),
        (Interval(2, Unit.WEEK), "2026-12-20T09:00", ["2027-01-03T09:00", "2027-01-17T09:00"]),
        (Interval(1, Unit.MONTH), "2026-01-31T09:00", ["2026-02-28T09:00", "2026-03-31T09:00", "2026-04-30T09:00"]),
        (Interval(1, Unit.MONTH), "2028-01-30T09:00", ["2028-02-29T09:00", "2028-03-30T09:00"]),
        (Interval(3, Unit.MONTH), "2026-11-30T09:00", ["2027-02-28T09:00", "2027-05-30T09:00"]),
        (Interval(1, Unit.YEAR), "2028-02-29T09:00", ["2029-02-28T09:00", "2030-02-28T09:00"]),
        (Interval(4, Unit.YEAR), "2028-02-29T09:00", ["2032-02-29T09:00"]),
    ],
)
def test_periods(interval: Interval, anchor: str, wanted: list[str]) -> None:
    found = [from_ms(interval.at(ms(anchor), number)) for number in range(1, len(wanted) + 1)]
    assert [f"{each:%Y-%m-%dT%H:%M}" for each in found] == wanted
    assert interval.at(ms(anchor), 0) == ms(anchor)


@given(st.integers(0, 2_000_000_000_000), st.integers(1, 12), st.sampled_from(Unit), st.integers(0, 200))
def test_periods_follow_one_another(anchor: int, count: int, unit: Unit, number: int) -> None:
    interval = Interval(count, unit)
    begins, follows = interval.at(anchor, number), interval.at(anchor, number + 1)
    assert begins < follows
    for now in (begins, follows - 1):
        assert interval.latest(anchor, now, 0) == number
    assert interval.latest(anchor, anchor - 1, number) == number


@pytest.mark.parametrize("count", [0, -1, 1001, True])
def test_intervals_that_cannot_be(count: int) -> None:
    with pytest.raises(ValueError):
        Interval(count, Unit.DAY)


def test_what_is_configured() -> None:
    settings, wrong = settings_of(
        Payments(currencies=("EUR", "JPY"), pin_above={"EUR": "50.00", "JPY": "8000"}, fee="0.015", code_ttl=60)
    )
    assert wrong == []
    assert settings is not None
    assert settings.fee == Fraction(15, 1000)
    assert settings.code_ttl == 60_000
    assert settings.pin_above["JPY"] == Money(8000, "JPY")
    assert settings.needs_pin(Money(5000, "EUR"))
    assert not settings.needs_pin(Money(4999, "EUR"))


def test_a_currency_without_an_amount_for_the_pin_always_needs_it() -> None:
    """Otherwise it would be the way around it."""
    settings, _ = settings_of(Payments(currencies=("EUR", "USD"), pin_above={"EUR": "50.00"}))
    assert settings is not None
    assert settings.needs_pin(Money(1, "USD"))
    without, _ = settings_of(Payments(pin_above={}))
    assert without is not None
    assert not without.needs_pin(Money(10**9, "EUR"))


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"default_currency": "EUX"}, ("default_currency",)),
        ({"currencies": ("EUR", "ABC")}, ("currencies", "1")),
        ({"currencies": ()}, ("currencies",)),
        ({"default_currency": "USD"}, ("default_currency",)),
        ({"pin_above": {"EUR": "1.001"}}, ("pin_above", "EUR")),
        ({"pin_above": {"XQQ": "1.00"}}, ("pin_above", "XQQ")),
        ({"tiers": (Tier(per_day={"JPY": "1.5"}),)}, ("tiers", "0", "per_day", "JPY")),
        ({"providers": {**PLAY, "bank": {"iban": "DE89370400440532013000"}}}, ("providers", "sandbox", "enabled")),
        ({"providers": {**PLAY, "stripe": {"secret_key": "sk_live_x"}}}, ("providers", "sandbox", "enabled")),
        ({"providers": {**PLAY, "stripe": {"secret_key": "rk_live_x"}}}, ("providers", "sandbox", "enabled")),
    ],
)
def test_what_cannot_be_configured(values: dict[str, Any], path: tuple[str, ...]) -> None:
    settings, wrong = settings_of(Payments(**values))
    assert settings is None
    assert [where for where, _ in wrong] == [path]


def test_play_money_beside_a_test_key() -> None:
    given: dict[str, Any] = {"providers": {**PLAY, "stripe": {"secret_key": "sk_test_x"}}}
    assert settings_of(Payments(**given))[1] == []
