"""When somebody is open: hours of the week, and days that are different.

Hours are local times of a time zone (IANA). A span that ends at or before its beginning ends on the next day. Where a
clock is put forward, a time that does not exist is the moment of the change; where it is put back, what begins begins
at the first of the two, and what ends ends at the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from bots.domain.errors import DomainError

__all__ = ["MESSAGES", "Hours", "HoursError", "Span"]

SPANS_MAX: Final = 8
EXCEPTIONS_MAX: Final = 400
LOOK_AHEAD_DAYS: Final = 400

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "hours.overlap": "The opening hours of {day} overlap.",
        "hours.too_many": "A day has at most {most} opening hours.",
        "hours.exceptions": "There are at most {most} days that are different.",
        "hours.zone": "There is no time zone “{zone}”.",
        "hours.minutes": "Opening hours are whole minutes without a time zone of their own.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class HoursError(DomainError):
    """Hours that cannot be."""

    messages = MESSAGES


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """From ``opens`` until just before ``closes``. The same time twice: the whole day and night."""

    opens: time
    closes: time

    def __post_init__(self) -> None:
        for each in (self.opens, self.closes):
            if each.tzinfo is not None or each.second or each.microsecond:
                raise HoursError("hours.minutes")

    @property
    def minutes(self) -> tuple[int, int]:
        """Beginning and end in minutes from midnight; the end may lie beyond 1440."""
        begin, end = (each.hour * 60 + each.minute for each in (self.opens, self.closes))
        return begin, end if end > begin else end + 1440


@dataclass(frozen=True, slots=True)
class Hours:
    """The opening hours of one merchant.

    Attributes:
        zone: an IANA time zone, such as "Europe/Berlin".
        week: seven days from Monday, each with its spans; an empty one is closed.
        exceptions: days that are different, with their spans.
    """

    zone: str
    week: tuple[tuple[Span, ...], ...] = ((),) * 7
    exceptions: Mapping[date, tuple[Span, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError):
            raise HoursError("hours.zone", zone=self.zone[:60]) from None
        if len(self.week) != 7:
            raise ValueError("a week has seven days")
        if len(self.exceptions) > EXCEPTIONS_MAX:
            raise HoursError("hours.exceptions", most=EXCEPTIONS_MAX)
        days = [(str(index), spans) for index, spans in enumerate(self.week)]
        for day, spans in [*days, *((day.isoformat(), spans) for day, spans in self.exceptions.items())]:
            if len(spans) > SPANS_MAX:
                raise HoursError("hours.too_many", most=SPANS_MAX)
            ordered = sorted(span.minutes for span in spans)
            if any(before[1] > after[0] for before, after in pairwise(ordered)):
                raise HoursError("hours.overlap", day=day)
        object.__setattr__(self, "exceptions", MappingProxyType(dict(self.exceptions)))

    @classmethod
    def always(cls, zone: str = "UTC") -> Hours:
        """Day and night."""
        return cls(zone, ((Span(time(0), time(0)),),) * 7)

    def on(self, day: date) -> tuple[Span, ...]:
        """The spans that begin on a day."""
        return self.exceptions.get(day, self.week[day.weekday()])

    def open_at(self, at: datetime) -> bool:
        """Whether it is open at a moment (aware)."""
        return self.closes_at(at) is not None

    def closes_at(self, at: datetime) -> datetime | None:
        """When it closes, if it is open: the end of the span that holds the moment; UTC."""
        local = at.astimezone(ZoneInfo(self.zone)).date()
        for day in (local - timedelta(days=1), local):
            for begin, end in self._moments(day):
                if begin <= at < end:
                    return end
        return None

    def opens_at(self, at: datetime) -> datetime | None:
        """When it opens next, not before a moment, which itself counts where it is open; UTC. None: not within
        400 days."""
        if self.open_at(at):
            return at.astimezone(UTC)
        local = at.astimezone(ZoneInfo(self.zone)).date()
        for ahead in range(LOOK_AHEAD_DAYS):
            begins = [begin for begin, _ in self._moments(local + timedelta(days=ahead)) if begin >= at]
            if begins:
                return min(begins)
        return None

    def _moments(self, day: date) -> list[tuple[datetime, datetime]]:
        return [(self._moment(day, begin, 0), self._moment(day, end, 1)) for begin, end in self._minutes(day)]

    def _minutes(self, day: date) -> list[tuple[int, int]]:
        return sorted(span.minutes for span in self.on(day))

    def _moment(self, day: date, minutes: int, fold: int) -> datetime:
        days, rest = divmod(minutes, 1440)
        naive = datetime.combine(day + timedelta(days=days), time(rest // 60, rest % 60))
        zone = ZoneInfo(self.zone)
        local = naive.replace(tzinfo=zone, fold=fold)
        there = local.astimezone(UTC)
        if there.astimezone(zone).replace(tzinfo=None) != naive:  # in the hour that is left out
            there = _change(naive, zone)
        return there


def _change(naive: datetime, zone: ZoneInfo) -> datetime:
    """The moment at which a clock that leaves out ``naive`` is put forward."""
    low = naive.replace(tzinfo=zone, fold=1).astimezone(UTC)
    high = naive.replace(tzinfo=zone, fold=0).astimezone(UTC)
    offset = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)
