"""Invoice arithmetic: whatever the lines, sums add up to the unit."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.domain.invoices import Invoice, InvoiceError, Line, fee_back, fee_of, line_refund, rounded, tip_in
from bots.domain.money import Money

RATES = [Decimal(rate) for rate in ("0", "0.05", "0.07", "0.077", "0.19", "0.20", "0.25", "0.08875")]


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def lines() -> st.SearchStrategy[tuple[Line, ...]]:
    line = st.builds(
        Line,
        st.just("thing"),
        st.integers(1, 100_000).map(eur),
        st.integers(1, 50),
        st.sampled_from(RATES),
    )
    return st.lists(line, min_size=1, max_size=8).map(tuple)


@st.composite
def invoices(draw: st.DrawFn) -> Invoice:
    made = draw(lines())
    subtotal = sum(line.amount.minor for line in made)
    # All of it away leaves nothing to pay: another test.
    discount = draw(st.none() | st.integers(0, subtotal - 1).map(eur))
    tip = draw(st.none() | st.integers(0, 10_000).map(eur))
    return Invoice(made, draw(st.booleans()), discount, tip)


def test_prices_that_hold_their_tax() -> None:
    invoice = Invoice((Line("Cake", eur(1190), 2, Decimal("0.19")), Line("Book", eur(1070), 1, Decimal("0.07"))))
    assert invoice.total == eur(3450)
    assert [(each.rate, each.net, each.tax, each.gross) for each in invoice.taxes] == [
        (Decimal("0.19"), eur(2000), eur(380), eur(2380)),
        (Decimal("0.07"), eur(1000), eur(70), eur(1070)),
    ]
    assert invoice.tax == eur(450)


def test_tax_that_is_added_and_a_tip_that_is_not_taxed() -> None:
    invoice = Invoice((Line("Meal", eur(1000), 3, Decimal("0.0825")),), inclusive=False, tip=eur(500))
    assert invoice.tax == eur(248)  # 247.5, half up
    assert invoice.total == eur(3748)


def test_a_discount_is_taken_off_each_line_in_proportion_before_tax() -> None:
    invoice = Invoice(
        (Line("A", eur(1000), 1, Decimal("0.19")), Line("B", eur(500), 1, Decimal("0.07"))), discount=eur(100)
    )
    assert invoice.discounted == (eur(933), eur(467))
    assert invoice.total == eur(1400)


@pytest.mark.parametrize("text", ["0.19", "0.190", "0.1900"])
def test_a_rate_is_the_same_however_it_is_written(text: str) -> None:
    invoice = Invoice((Line("A", eur(100), 1, Decimal("0.19")), Line("B", eur(100), 1, Decimal(text))))
    assert len(invoice.taxes) == 1
    assert invoice.gross == (eur(100), eur(100))


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: Invoice(()), "invoice.no_lines"),
        (lambda: Invoice((Line("A", eur(0)),)), "invoice.nothing_to_pay"),
        (lambda: Invoice((Line("A", eur(5)),), discount=eur(5)), "invoice.nothing_to_pay"),
        (lambda: Invoice((Line("A", eur(5)),), discount=eur(6)), "invoice.discount_too_large"),
        (lambda: Invoice((Line("A", eur(5)),), discount=eur(-1)), "invoice.negative"),
        (lambda: Invoice((Line("A", eur(5)),), tip=eur(-1)), "invoice.negative"),
        (lambda: Invoice((Line("A", eur(5)), Line("B", Money(5, "USD")))), "invoice.mixed_currencies"),
        (lambda: Invoice((Line("A", eur(5)),), tip=Money(5, "USD")), "invoice.mixed_currencies"),
        (lambda: Invoice((Line("A", eur(5)),) * 501), "invoice.too_many_lines"),
        (lambda: Line(" ", eur(5)), "invoice.bad_line"),
        (lambda: Line("A", eur(-5)), "invoice.bad_line"),
        (lambda: Line("A", eur(5), 0), "invoice.bad_line"),
        (lambda: Line("A", eur(5), True), "invoice.bad_line"),
        (lambda: Line("A", eur(5), 1, Decimal("-0.1")), "invoice.bad_tax"),
        (lambda: Line("A", eur(5), 1, Decimal("NaN")), "invoice.bad_tax"),
        (lambda: Line("A", eur(5), 1, Decimal("0.0000001")), "invoice.bad_tax"),
        (lambda: Line("A", eur(5), 1, 0.19), "invoice.bad_tax"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be(make: Any, code: str) -> None:
    with pytest.raises(InvoiceError) as caught:
        make()
    assert caught.value.code == code
    assert caught.value.human


@given(invoices())
def test_sums_add_up(invoice: Invoice) -> None:
    tip = invoice.tip or eur(0)
    discount = invoice.discount or eur(0)
    assert sum(invoice.discounted, eur(0)) == invoice.subtotal - discount
    assert sum(invoice.gross, eur(0)) + tip == invoice.total
    assert sum((each.gross for each in invoice.taxes), eur(0)) + tip == invoice.total
    for each in invoice.taxes:
        assert each.net + each.tax == each.gross
        base = each.gross if invoice.inclusive else each.net
        part = Fraction(each.rate) / (1 + Fraction(each.rate)) if invoice.inclusive else Fraction(each.rate)
        assert abs(Fraction(each.tax.minor) - base.minor * part) <= Fraction(1, 2)
    assert all(part.minor >= 0 for part in (*invoice.discounted, *invoice.gross))


@given(invoices(), st.data())
def test_refunded_one_by_one_lines_give_back_what_they_cost(invoice: Invoice, data: st.DataObject) -> None:
    total, before = eur(0), dict[int, int]()
    for index, line in enumerate(invoice.lines):
        left = line.quantity
        while left:
            some = data.draw(st.integers(1, left))
            total += line_refund(invoice, {index: some}, before)
            before[index] = before.get(index, 0) + some
            left -= some
        assert line_refund(invoice, {index: line.quantity}, {}) == invoice.gross[index]
    assert total == sum(invoice.gross, eur(0))
    with pytest.raises(InvoiceError, match=r"invoice\.line_refunded"):
        line_refund(invoice, {0: 1}, before)


def test_a_line_that_is_not_there() -> None:
    invoice = Invoice((Line("A", eur(5)),))
    for index in (-1, 1):
        with pytest.raises(InvoiceError, match=r"invoice\.no_such_line"):
            line_refund(invoice, {index: 1}, {})


@given(
    st.integers(1, 10**9), st.integers(0, 10**6), st.fractions(0, Fraction(99, 100), max_denominator=1000), st.data()
)
def test_fees(total: int, tip: int, rate: Fraction, data: st.DataObject) -> None:
    """Merchant and platform together get what was captured; all refunds together give all of the fee back."""
    tip = min(tip, total - 1)
    captured = data.draw(st.integers(1, total))
    fee = fee_of(eur(captured), eur(total), eur(tip), rate)
    share = tip_in(eur(captured), eur(total), eur(tip))
    assert eur(0) <= share <= min(eur(tip), eur(captured))
    assert eur(0) <= fee <= eur(captured) - share
    refunded, back = 0, eur(0)
    while refunded < captured:
        piece = data.draw(st.integers(1, captured - refunded))
        before = fee_back(fee, eur(captured), eur(refunded))
        refunded += piece
        after = fee_back(fee, eur(captured), eur(refunded))
        assert eur(0) <= after - before <= eur(piece)
        back += after - before
        if data.draw(st.booleans()):
            break
    assert back <= fee
    if refunded == captured:
        assert back == fee


def test_fees_leave_tips_alone() -> None:
    assert fee_of(eur(1100), eur(1100), eur(100), Fraction(3, 100)) == eur(30)
    assert fee_of(eur(550), eur(1100), eur(100), Fraction(3, 100)) == eur(15)
    assert fee_of(eur(1000), eur(1000), None, Fraction(0)) == eur(0)


@pytest.mark.parametrize(("minor", "part", "wanted"), [(5, "1/2", 3), (4, "1/2", 2), (1, "1/3", 0), (2, "1/3", 1)])
def test_half_up(minor: int, part: str, wanted: int) -> None:
    assert rounded(eur(minor), Fraction(part)) == eur(wanted)
