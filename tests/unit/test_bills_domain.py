"""Bills as such: fields, phones, periods, the table of states, reminders, what is paid by itself."""

from __future__ import annotations

from datetime import date
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.domain.bills import (
    ENDED,
    MOVING,
    NEXT,
    PHONE_PLANS,
    Action,
    Bill,
    BillerInfo,
    BillError,
    Category,
    Decision,
    Field,
    State,
    TopUp,
    advance,
    ask_again_ms,
    canonical,
    decide,
    fetch_again_ms,
    identity,
    pay_on,
    to_remind,
)
from bots.domain.money import Money

DE = PHONE_PLANS["DE"]
EUR10, EUR80 = Money(1000, "EUR"), Money(8000, "EUR")


def code_of(error: pytest.ExceptionInfo[BillError]) -> str:
    return error.value.code


# Fields

CONTRACT = Field("contract", "Contract number", "[A-Z]{2}[0-9]{6}", "SN204151")


@pytest.mark.parametrize(
    "text", ["SN204151", "sn204151", " sn 204 151 ", "SN-204-151", "ＳＮ２０４１５１", "SN٢٠٤١٥١", "sn/204.151"]
)
def test_a_field_is_read_however_it_is_written(text: str) -> None:
    assert CONTRACT.read(text) == "SN204151"


@pytest.mark.parametrize("text", ["", "204151", "SN20415", "SN2041511", "SN204151\nSN204151", "SN204151" * 20, "💡"])
def test_what_does_not_fit_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BillError) as error:
        CONTRACT.read(text)
    assert error.value.values == {"label": "Contract number", "example": "SN204151"}
    assert text not in str(error.value) or not text


@pytest.mark.parametrize(
    ("key", "label", "pattern", "example"),
    [
        ("Key", "x", "a", "a"),
        ("key", " ", "a", "a"),
        ("key", "x", "(", "a"),
        ("key", "x", "a", "b"),
        ("", "x", "a", "a"),
    ],
)
def test_a_field_that_cannot_be(key: str, label: str, pattern: str, example: str) -> None:
    with pytest.raises(ValueError):
        Field(key, label, pattern, example)


# Phones


@pytest.mark.parametrize(
    "text",
    [
        "+4915112345678",
        "0049 151 12345678",
        "0151 / 1234-5678",
        "+49 (0) 151 12345678",
        "٠١٥١١٢٣٤٥٦٧٨",
        "(0151)12345678",
    ],
)
def test_a_number_becomes_e164(text: str) -> None:
    assert DE.read(text) == "+4915112345678"


@pytest.mark.parametrize(
    "text", ["", "+", "030 1234567", "+33612345678", "00", "0151", "0151123456789012", "0151 CALL ME", "151+12345678"]
)
def test_a_number_that_is_none(text: str) -> None:
    with pytest.raises(BillError) as error:
        DE.read(text)
    assert code_of(error) == "bills.phone"


@pytest.mark.parametrize("plan", PHONE_PLANS.values(), ids=lambda plan: plan.country)
def test_every_country_reads_its_example(plan: object) -> None:
    assert plan.read(plan.example) == plan.example  # type: ignore[attr-defined]
    national = plan.example[1 + len(plan.code) :]  # type: ignore[attr-defined]
    assert plan.read(plan.trunk + national) == plan.example  # type: ignore[attr-defined]
    assert plan.read(f"00{plan.code} {national}") == plan.example  # type: ignore[attr-defined]


# What is sold


def test_amounts_and_ranges() -> None:
    fixed = TopUp(DE, (EUR10,))
    fixed.check(EUR10)
    ranged = TopUp(DE, (Money(300, "EUR"),), Money(500, "EUR"), EUR80)
    ranged.check(Money(300, "EUR"))
    ranged.check(Money(501, "EUR"))
    for sold, amount, code in (
        (fixed, Money(1001, "EUR"), "bills.not_sold"),
        (fixed, Money(1000, "USD"), "bills.not_sold"),
        (ranged, Money(499, "EUR"), "bills.out_of_range"),
        (ranged, Money(8001, "EUR"), "bills.out_of_range"),
        (ranged, Money(5000, "PLN"), "bills.out_of_range"),
        (ranged, Money(-1, "EUR"), "bills.out_of_range"),
    ):
        with pytest.raises(BillError) as error:
            sold.check(amount)
        assert code_of(error) == code


def test_a_top_up_that_cannot_be() -> None:
    for arguments in ((DE,), (DE, (Money(0, "EUR"),)), (DE, (EUR10, Money(5, "PLN"))), (DE, (), EUR10)):
        with pytest.raises(ValueError):
            TopUp(*arguments)
    with pytest.raises(ValueError):
        TopUp(DE, (), EUR80, EUR10)


def test_a_biller_that_cannot_be() -> None:
    field = Field("a", "A", "a", "a")
    for arguments in (
        ("Bad Id", "Name", Category.WATER, (field,)),
        ("ok", " ", Category.WATER, (field,)),
        ("ok", "Name", Category.WATER),
        ("ok", "Name", Category.WATER, (field, field)),
        ("ok", "Name", Category.TOP_UP),
        ("ok", "Name", Category.WATER, (field,), TopUp(DE, (EUR10,))),
    ):
        with pytest.raises(ValueError):
            BillerInfo(*arguments)


# Bills


def test_parts_of_a_bill() -> None:
    whole = Bill("2026-11", EUR80)
    parts = Bill("2026-11", EUR80, minimum=EUR10)
    whole.check(EUR80)
    for amount in (EUR80, EUR10, Money(1001, "EUR")):
        parts.check(amount)
    for bill, amount, code in (
        (whole, Money(7999, "EUR"), "bills.whole_only"),
        (whole, Money(8000, "USD"), "bills.currency"),
        (parts, Money(999, "EUR"), "bills.part"),
        (parts, Money(8001, "EUR"), "bills.part"),
    ):
        with pytest.raises(BillError) as error:
            bill.check(amount)
        assert code_of(error) == code


@pytest.mark.parametrize(
    "bad",
    [
        {"period": ""},
        {"period": "--"},
        {"period": "x" * 65},
        {"period": "a\nb"},
        {"amount": Money(0, "EUR")},
        {"amount": Money(-1, "EUR")},
        {"minimum": Money(0, "EUR")},
        {"minimum": Money(8001, "EUR")},
        {"minimum": Money(1, "USD")},
        {"reference": "x" * 101},
    ],
)
def test_a_bill_that_cannot_be(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Bill(**({"period": "2026-11", "amount": EUR80} | bad))  # type: ignore[arg-type]


def test_one_bill_however_it_is_written() -> None:
    one = identity("water", {"contract": "W-204 151", "postcode": "10115"}, "2026-11")
    assert one == identity("water", {"postcode": "10115", "contract": "w204151"}, "2026/11")
    assert one != identity("water", {"contract": "W204152", "postcode": "10115"}, "2026-11")
    assert one != identity("water", {"contract": "W204151", "postcode": "10115"}, "2026-12")
    assert one != identity("gas", {"contract": "W204151", "postcode": "10115"}, "2026-11")
    assert one != identity("water", {"contract": "W204151", "postcode": "10115"})


@given(st.text(max_size=20), st.text(max_size=20))
def test_fields_do_not_run_into_each_other(one: str, two: str) -> None:
    """Moving characters from one field to the next is another account."""
    left, right = canonical(one), canonical(two)
    if left:
        assert identity("x", {"a": left, "b": right}) != identity("x", {"a": left[:-1], "b": left[-1:] + right})


# The table of states


def test_what_may_follow() -> None:
    for state, action in product(State, Action):
        if (state, action) in NEXT:
            assert advance(state, action) is NEXT[state, action]
        else:
            with pytest.raises(BillError):
                advance(state, action)


def test_an_end_is_an_end_and_money_is_never_in_the_air() -> None:
    assert not {state for state, _action in NEXT} & ENDED
    # Held money leaves its state by paying, by going back, or by staying unclear: nobody cancels it.
    for state in (State.HELD, State.UNKNOWN):
        assert {NEXT[state, action] for action in Action if (state, action) in NEXT} == {
            State.PAID,
            State.FAILED,
            State.CHANGED,
            State.UNKNOWN,
        }
    assert all(NEXT[state, action] in MOVING | ENDED for state, action in NEXT if state in MOVING)
    reachable, edge = {State.FETCHING}, [State.FETCHING]
    while edge:
        at = edge.pop()
        for (state, _action), after in NEXT.items():
            if state is at and after not in reachable:
                reachable.add(after)
                edge.append(after)
    assert reachable == set(State)


def test_asking_again_slows_down_and_never_stops() -> None:
    pauses = [ask_again_ms(attempt) for attempt in range(1, 40)]
    assert pauses == sorted(pauses)
    assert pauses[0] == 15_000
    assert pauses[-1] == 6 * 3_600_000
    fetches = [fetch_again_ms(attempt) for attempt in range(20)]
    assert fetches == sorted(fetches)
    assert fetches[-1] == 60_000


# Reminders, and what is paid by itself

DUE = date(2026, 11, 28)


@pytest.mark.parametrize(("day", "due"), [(24, False), (25, True), (27, True), (28, True), (29, True)], ids=str)
def test_when_to_remind(day: int, due: bool) -> None:
    assert to_remind(DUE, date(2026, 11, day), 3) is due


def test_nobody_is_reminded_of_what_is_long_past_or_never_due() -> None:
    assert not to_remind(DUE, date(2026, 12, 29), 3)
    assert to_remind(DUE, date(2026, 12, 28), 3)
    assert not to_remind(None, DUE, 3)


@pytest.mark.parametrize(
    ("today", "told", "decision"),
    [
        (date(2026, 11, 25), None, Decision.WAIT),
        (date(2026, 11, 26), None, Decision.TELL),
        (date(2026, 11, 26), date(2026, 11, 26), Decision.WAIT),
        (date(2026, 11, 27), date(2026, 11, 26), Decision.PAY),
        # Found late: a day to say no all the same.
        (date(2026, 11, 28), None, Decision.TELL),
        (date(2026, 11, 28), date(2026, 11, 28), Decision.WAIT),
        (date(2026, 11, 29), date(2026, 11, 28), Decision.PAY),
        # The service did not run on the day.
        (date(2026, 12, 3), date(2026, 11, 26), Decision.PAY),
    ],
)
def test_what_is_paid_by_itself(today: date, told: date | None, decision: Decision) -> None:
    assert decide(EUR80, Bill("2026-11", EUR80, DUE), today, told) is decision


def test_the_cap_holds_whatever_was_told() -> None:
    dearer = Bill("2026-11", Money(8001, "EUR"), DUE)
    assert decide(EUR80, dearer, date(2026, 11, 26), None) is Decision.ASK
    assert decide(EUR80, dearer, date(2026, 11, 27), date(2026, 11, 26)) is Decision.ASK
    assert decide(EUR80, Bill("2026-11", Money(1, "USD"), DUE), DUE, None) is Decision.ASK


def test_a_bill_without_a_date_is_paid_the_day_after() -> None:
    bill = Bill("2026-11", EUR10)
    assert decide(EUR80, bill, DUE, None) is Decision.TELL
    assert pay_on(bill, DUE) == date(2026, 11, 29)
    assert decide(EUR80, bill, DUE, DUE) is Decision.WAIT
    assert decide(EUR80, bill, date(2026, 11, 29), DUE) is Decision.PAY


@given(
    st.dates(date(2026, 1, 1), date(2026, 12, 31)),
    st.dates(date(2026, 1, 1), date(2026, 12, 31)),
    st.none() | st.dates(date(2026, 1, 1), date(2026, 12, 31)),
    st.integers(1, 20_000),
)
def test_nothing_is_paid_untold_too_early_or_above_the_cap(
    due: date, today: date, told: date | None, minor: int
) -> None:
    bill = Bill("x1", Money(minor, "EUR"), due)
    if decide(EUR80, bill, today, told) is Decision.PAY:
        assert told is not None
        assert told < today
        assert (due - today).days <= 1
        assert minor <= 8000
