"""Periods of subscriptions: every so many days, weeks, months or years, counted from an anchor. Pure; all in UTC."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

__all__ = ["Interval", "Unit"]

COUNT_MAX: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9999, 1, 1, tzinfo=UTC)


class Unit(StrEnum):
    """What periods are counted in."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class Interval:
    """``count`` units.

    Periods of months and years are counted from the anchor, not from the period before: what began on January 31 falls
    on February 28 and on March 31 again.
    """

    count: int
    unit: Unit

    def __post_init__(self) -> None:
        if type(self.count) is not int or not 1 <= self.count <= COUNT_MAX:
            raise ValueError(f"an interval has 1 to {COUNT_MAX} units")

    def at(self, anchor: int, number: int) -> int:
        """When period ``number`` begins (0 begins at the anchor), in ms since the epoch like the anchor."""
        begin = _EPOCH + timedelta(milliseconds=anchor)
        steps = self.count * number
        if self.unit in {Unit.DAY, Unit.WEEK}:
            days = steps * (7 if self.unit is Unit.WEEK else 1)
            return anchor + days * 86_400_000
        months = begin.year * 12 + begin.month - 1 + steps * (12 if self.unit is Unit.YEAR else 1)
        year, month = divmod(months, 12)
        if year >= _LAST.year:
            raise OverflowError("a period lies beyond the year 9998")
        day = min(begin.day, monthrange(year, month + 1)[1])
        return (begin.replace(year=year, month=month + 1, day=day) - _EPOCH) // timedelta(milliseconds=1)

    def latest(self, anchor: int, now: int, number: int) -> int:
        """The last period from ``number`` on that has begun by ``now``; ``number`` itself when none has."""
        low, high = number, number + 1
        while self.at(anchor, high) <= now:
            low, high = high, high + (high - number)
        while high - low > 1:
            middle = (low + high) // 2
            if self.at(anchor, middle) <= now:
                low = middle
            else:
                high = middle
        return low
