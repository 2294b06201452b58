"""What a merchant has sold in some days: counted from the orders, pure.

An order counts on the day on which it was placed, in the merchant's time zone. Sold is what was taken (tax and fees
included); what was given back stands beside it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bots.domain.money import Money
from bots.domain.orders import MONEY, MoneyGoal, Order, OrderState

__all__ = ["Figures", "Period", "Sold", "as_csv", "counted"]


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days of a time zone, the last one included."""

    first: date
    last: date
    zone: str

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError("a period ends after it begins")

    @property
    def since(self) -> datetime:
        """Its first moment (aware)."""
        return datetime.combine(self.first, time(), ZoneInfo(self.zone))

    @property
    def until(self) -> datetime:
        """The first moment after it (aware)."""
        return datetime.combine(self.last + timedelta(days=1), time(), ZoneInfo(self.zone))

    @property
    def days(self) -> int:
        """How many."""
        return (self.last - self.first).days + 1


@dataclass(frozen=True, slots=True)
class Sold:
    """So many of one thing."""

    name: str
    quantity: int
    total: Money


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a period.

    Attributes:
        orders: that were taken.
        sold: their totals together.
        tips, fees: of it.
        back: what was given back.
        not_taken: how many ended without being taken, by state.
        waiting: how many wait for an answer.
        products: the most sold first.
        bars: what was sold by hour of the day (one day) or by day, with its label.
    """

    period: Period
    orders: int
    sold: Money
    tips: Money
    fees: Money
    back: Money
    not_taken: Mapping[OrderState, int]
    waiting: int
    products: tuple[Sold, ...]
    bars: tuple[tuple[str, Money], ...]

    @property
    def average(self) -> Money:
        """Of an order, rounded down to a minor unit."""
        return Money(self.sold.minor // self.orders if self.orders else 0, self.sold.currency)


def counted(orders: Sequence[Order], back: Sequence[Money], period: Period, currency: str) -> Figures:
    """The figures of the orders of one merchant; those outside of the period are left out.

    Args:
        back: amounts that were given back within the period.
    """
    here = [order for order in orders if period.since <= order.placed_at < period.until]
    taken = [order for order in here if MONEY[order.state] is MoneyGoal.TAKEN]
    nothing = Money.zero(currency)
    products: dict[str, Sold] = {}
    for order in taken:
        for line in order.lines:
            there = products.get(line.name, Sold(line.name, 0, nothing))
            products[line.name] = Sold(line.name, there.quantity + line.quantity, there.total + line.total)
    lost: dict[OrderState, int] = {}
    for order in here:
        if MONEY[order.state] is MoneyGoal.BACK:
            lost[order.state] = lost.get(order.state, 0) + 1
    return Figures(
        period,
        len(taken),
        sum((order.total for order in taken), nothing),
        sum((order.tip for order in taken if order.tip is not None), nothing),
        sum((order.delivery.fee for order in taken), nothing),
        sum(back, nothing),
        lost,
        sum(order.state in {OrderState.PAID, OrderState.AMENDED} for order in here),
        tuple(sorted(products.values(), key=lambda each: (-each.quantity, -each.total.minor, each.name))),
        _bars(taken, period, nothing),
    )


def _bars(taken: Sequence[Order], period: Period, nothing: Money) -> tuple[tuple[str, Money], ...]:
    zone = ZoneInfo(period.zone)
    if period.days == 1:
        hours = [nothing] * 24
        for order in taken:
            hours[order.placed_at.astimezone(zone).hour] += order.total
        return tuple((f"{hour:02}", total) for hour, total in enumerate(hours))
    days = {period.first + timedelta(days=count): nothing for count in range(period.days)}
    for order in taken:
        days[order.placed_at.astimezone(zone).date()] += order.total
    return tuple((f"{day:%m-%d}", total) for day, total in days.items())


def as_csv(orders: Sequence[Order], period: Period, words: Mapping[OrderState, str]) -> bytes:
    """The orders of a period, a line for each line of an order, as spreadsheets read it: UTF-8 with a mark, RFC 4180.

    What a spreadsheet would take for a formula is quoted by an apostrophe (OWASP, "CSV Injection").
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(
        ["order", "placed", "state", "item", "quantity", "price", "total", "fee", "tip", "discount", "currency"]
    )
    zone = ZoneInfo(period.zone)
    for order in sorted(orders, key=lambda each: each.placed_at):
        if not period.since <= order.placed_at < period.until:
            continue
        for index, line in enumerate(order.lines):
            first = index == 0
            writer.writerow(
                [
                    order.number,
                    order.placed_at.astimezone(zone).isoformat(timespec="minutes"),
                    words[order.state],
                    _harmless(line.label),
                    line.quantity,
                    line.price.amount,
                    line.total.amount,
                    order.delivery.fee.amount if first else "",
                    order.tip.amount if first and order.tip is not None else "",
                    order.discount.amount if first and order.discount is not None else "",
                    order.currency,
                ]
            )
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _harmless(text: str) -> str:
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
