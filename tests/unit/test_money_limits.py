"""Limits: never passed in any order of payments, and new at the first moment of a day and a month of UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from string import Formatter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.domain.limits import HOUR_MS, MESSAGES, GuardRefusal, Limits, Period, Usage, Window
from bots.domain.money import Money, MoneyError

DAY_MS = 24 * HOUR_MS
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ms(*parts: int) -> int:
    return (datetime(*parts, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)  # type: ignore[misc,arg-type]


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


NOON = ms(2026, 11, 28, 12)


@pytest.mark.parametrize(
    ("period", "moment", "key", "starts", "ends"),
    [
        (Period.DAY, (2026, 11, 28, 12), "day:2026-11-28", (2026, 11, 28), (2026, 11, 29)),
        (Period.DAY, (2028, 2, 29), "day:2028-02-29", (2028, 2, 29), (2028, 3, 1)),
        (Period.MONTH, (2026, 11, 28, 12), "month:2026-11", (2026, 11, 1), (2026, 12, 1)),
        (Period.MONTH, (2026, 12, 31, 23, 59, 59), "month:2026-12", (2026, 12, 1), (2027, 1, 1)),
        (Period.MONTH, (2027, 2, 1), "month:2027-02", (2027, 2, 1), (2027, 3, 1)),
    ],
)
def test_days_and_months(
    period: Period, moment: tuple[int, ...], key: str, starts: tuple[int, ...], ends: tuple[int, ...]
) -> None:
    assert Window.at(period, ms(*moment)) == Window(period, key, ms(*starts), ms(*ends))


@given(st.sampled_from(Period), st.integers(0, ms(2200, 1, 1)))
def test_windows_lie_side_by_side(period: Period, moment: int) -> None:
    window = Window.at(period, moment)
    assert window.starts <= moment < window.ends
    assert Window.at(period, window.starts) == Window.at(period, window.ends - 1) == window
    following = Window.at(period, window.ends)
    assert following.starts == window.ends and following.key != window.key


class Person:
    """Payments as a store counts them."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.paid: list[tuple[int, int]] = []

    def usage(self, now: int) -> Usage:
        def within(period: Period) -> int:
            window = Window.at(period, now)
            return sum(minor for at, minor in self.paid if window.starts <= at < window.ends)

        recent = [at for at, _ in self.paid if now - HOUR_MS < at]
        return Usage(within(Period.DAY), within(Period.MONTH), recent[-self.limits.per_hour :])

    def pay(self, minor: int, now: int) -> GuardRefusal | None:
        refusal = self.limits.outgoing(eur(minor), self.usage(now), now)
        if refusal is None:
            self.paid.append((now, minor))
        return refusal


AMOUNTS = st.dictionaries(st.just("EUR"), st.integers(0, 500))
TIERS = st.builds(Limits, AMOUNTS, AMOUNTS, AMOUNTS, st.just({}), st.integers(1, 5))
PAYMENTS = st.lists(st.tuples(st.integers(1, 400), st.integers(0, 2 * DAY_MS)), max_size=40)


@given(TIERS, PAYMENTS)
def test_no_order_of_payments_passes_a_limit(limits: Limits, payments: list[tuple[int, int]]) -> None:
    person, now = Person(limits), ms(2026, 11, 28)
    for minor, pause in payments:
        now += pause
        refusal = person.pay(minor, now)
        if refusal is None or "resets" not in refusal.values:
            continue
        # Whoever is told when is right to come back then, and not a moment before.
        reset = (refusal.values["resets"] - EPOCH) // timedelta(milliseconds=1)
        assert now < reset
        before = limits.outgoing(eur(minor), person.usage(reset - 1), reset - 1)
        assert before is not None and before.code == refusal.code
        after = limits.outgoing(eur(minor), person.usage(reset), reset)
        largest = min(limits.per_day.get("EUR", 10**9), limits.per_month.get("EUR", 10**9))
        assert after is None or after.code != refusal.code or minor > largest
    for at, minor in person.paid:
        assert minor <= limits.per_transfer.get("EUR", 10**9)
        for period, amounts in ((Period.DAY, limits.per_day), (Period.MONTH, limits.per_month)):
            window = Window.at(period, at)
            total = sum(each for when, each in person.paid if window.starts <= when < window.ends)
            assert total <= amounts.get("EUR", 10**9)
        assert sum(at - HOUR_MS < when <= at for when, _ in person.paid) <= limits.per_hour


@given(TIERS, PAYMENTS)
def test_what_is_left_can_be_paid_and_no_more(limits: Limits, payments: list[tuple[int, int]]) -> None:
    person, now = Person(limits), ms(2026, 11, 28)
    for minor, pause in payments:
        now += pause
        person.pay(minor, now)
    now += HOUR_MS
    left = [each.left.minor for each in limits.allowances(person.usage(now), eur(0), now)]
    if left:
        assert min(left) == 0 or limits.outgoing(eur(min(left)), person.usage(now), now) is None
        assert limits.outgoing(eur(min(left) + 1), person.usage(now), now) is not None


def test_a_limit_resets_at_the_first_moment_of_the_next_day() -> None:
    person = Person(Limits(per_day={"EUR": 100}))
    assert person.pay(100, ms(2026, 11, 28, 23, 59, 59)) is None
    last = ms(2026, 11, 29) - 1
    refusal = person.pay(1, last)
    assert refusal is not None and refusal.values["resets"] == datetime(2026, 11, 29, tzinfo=UTC)
    assert person.pay(100, last + 1) is None


def only(field: str) -> Any:
    """A tier that names euros in one field."""
    return {field: {"EUR": 1}}


def test_a_currency_beside_those_of_a_tier_is_refused_and_without_any_it_is_not() -> None:
    assert Limits().outgoing(Money(10**12, "USD"), Usage(), NOON) is None
    for field in ("per_transfer", "per_day", "per_month"):
        refusal = Limits(**only(field)).outgoing(Money(1, "USD"), Usage(), NOON)
        assert refusal is not None and refusal.code == "guard.not_offered"
    # What only bounds balances bounds no payment.
    only_balance = Limits(balance={"EUR": 1})
    assert only_balance.outgoing(Money(1, "USD"), Usage(), NOON) is None
    refusal = only_balance.incoming(Money(1, "USD"), Money(0, "USD"), own=False)
    assert refusal is not None and refusal.code == "guard.not_offered"
    assert not only_balance.offers("USD") and only_balance.offers("EUR")


def test_a_balance_may_be_above_a_ceiling_that_was_lowered() -> None:
    refusal = Limits(balance={"EUR": 100}).incoming(eur(1), eur(500), own=True)
    assert refusal is not None and refusal.values["left"] == eur(0)


def test_others_do_not_learn_what_is_in_a_wallet() -> None:
    refusal = Limits(balance={"EUR": 100}).incoming(eur(60), eur(50), own=False)
    assert refusal is not None and refusal.human == "The wallet that this goes to has no room for this amount."


@pytest.mark.parametrize("minor", [0, -1])
def test_what_is_not_more_than_nothing_is_a_mistake(minor: int) -> None:
    with pytest.raises(ValueError, match="more than nothing"):
        Limits().outgoing(eur(minor), Usage(), NOON)
    with pytest.raises(ValueError, match="more than nothing"):
        Limits().incoming(eur(minor), eur(0), own=True)


def test_limits_are_amounts_of_currencies() -> None:
    with pytest.raises(MoneyError):
        Limits(per_day={"EURO": 1})
    with pytest.raises(ValueError, match="below nought"):
        Limits(per_day={"EUR": -1})
    with pytest.raises(ValueError, match="one payment"):
        Limits(per_hour=0)
    with pytest.raises(ValueError, match="no such refusal"):
        GuardRefusal("guard.whatever")


def test_every_sentence_can_be_said() -> None:
    values = {"limit": eur(100), "left": eur(50), "amount": eur(200), "currency": "EUR", "resets": datetime.now(UTC)}
    for code, sentence in MESSAGES.items():
        fields = {name for _, name, _, _ in Formatter().parse(sentence) if name}
        assert fields <= set(values), code
        assert "{" not in GuardRefusal(code, values).human
