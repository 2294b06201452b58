"""Days and times as people say them, in the person's time zone.

Read are ISO 8601 and the natural forms: “today”, “tomorrow at 9”, “monday 18:30”, “in 2 hours”, “5 march”, “3 pm”,
“noon”. English is always
understood, and the person's language through :class:`~bots.framework.arguments.words.Vocabulary`.

- A weekday is the next one after today; a date without a year and a time without a date are the next to come.
- A day without a time is that day in the morning (``ParseEnv.morning``).
- A time that the clocks skip in spring becomes the one that they show instead, later by the length of the gap, and
  one that comes twice in autumn
  is the first of the two that is still to come (RFC 5545, section 3.3.5).
- “in 2 hours” counts hours that pass; “in 2 days” is the same time of day two days on.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from bots.framework.arguments.durations import duration_parts, to_timedelta
from bots.framework.arguments.environment import ParseEnv
from bots.framework.arguments.errors import InvalidValue, Text, shorten
from bots.framework.arguments.words import fold

DATE: Final = Text("a day such as 2026-05-31, 31 May, monday or tomorrow")
TIME: Final = Text("a time of day such as 18:30 or 6 pm")
WHEN: Final = Text("a time such as tomorrow at 9, monday 18:30, in 2 hours or 2026-05-31 18:30")

_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS: Final = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)

TERMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "now": "now",
        "today": "today",
        "tomorrow": "tomorrow|tmr",
        "overmorrow": "day after tomorrow|the day after tomorrow",
        "yesterday": "yesterday",
        "tonight": "tonight|this evening",
        "in": "in",
        "ago": "ago",
        "at": "at|@",
        "on": "on|next|this|the",
        "of": "of",
        "noon": "noon|midday",
        "midnight": "midnight",
        "morning": "morning|in the morning",
        "afternoon": "afternoon|in the afternoon",
        "evening": "evening|in the evening",
        "am": "am|a.m.",
        "pm": "pm|p.m.",
        "oclock": "o'clock|oclock",
        "monday": "monday|mon",
        "tuesday": "tuesday|tue|tues",
        "wednesday": "wednesday|wed",
        "thursday": "thursday|thu|thur|thurs",
        "friday": "friday|fri",
        "saturday": "saturday|sat",
        "sunday": "sunday|sun",
        "january": "january|jan",
        "february": "february|feb",
        "march": "march|mar",
        "april": "april|apr",
        "may": "may",
        "june": "june|jun",
        "july": "july|jul",
        "august": "august|aug",
        "september": "september|sep|sept",
        "october": "october|oct",
        "november": "november|nov",
        "december": "december|dec",
    }
)
"""The words of days and times: a msgid lists them with ``|`` between."""

_IN: Final = MappingProxyType({"in": TERMS["in"]})
_PARTS: Final = MappingProxyType({"noon": time(12), "morning": time(9), "afternoon": time(15), "evening": time(19)})
_DOTTED: Final = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")
_WORD: Final = re.compile(
    r"\d{4}-\d\d-\d\d|\d{1,2}\.\d{1,2}\.\d{4}|\d{1,2}[:.]\d\d(?:[:.]\d\d)?|\d+\.?|[^\W\d_][^\s\d,]*|@"
)
_HALVES: Final = frozenset({"am", "pm", "oclock", "morning", "afternoon", "evening"})
_CLOCK: Final = re.compile(r"([01]?\d|2[0-4])[:.]([0-5]\d)(?:[:.]([0-5]\d))?")
_ISO_WEEK: Final = re.compile(r"\d{4}-?W\d\d(?:-?\d)?")


def resolve(day: date, clock: time, env: ParseEnv) -> datetime:
    """The moment of a wall clock time in the person's zone; see the module for clocks that change."""
    first = datetime.combine(day, clock.replace(fold=0), env.zone)
    settled = first.astimezone(UTC).astimezone(env.zone)
    if settled.replace(tzinfo=None) != first.replace(tzinfo=None):
        return settled
    second = first.replace(fold=1)
    return second if first.astimezone(UTC) < env.now.astimezone(UTC) <= second.astimezone(UTC) else first


def date_(text: str, env: ParseEnv) -> date:
    """The day that a text names. Raises :class:`InvalidValue`."""
    plain = text.strip()
    if (iso := _iso_date(plain)) is not None:
        return iso
    if (days := _offset(text, env)) is not None:
        return days.date()
    names = _names(plain, env)
    day = _take_day(names, env, text)
    if day is None or names:
        raise InvalidValue.of(text, DATE)
    return day


def time_(text: str, env: ParseEnv) -> time:
    """The time of day that a text names, without a zone. Raises :class:`InvalidValue`."""
    plain = text.strip()
    with suppress(ValueError):
        if re.fullmatch(r"T?\d\d:\d\d(:\d\d(\.\d+)?)?", plain):
            return time.fromisoformat(plain)
    names = _names(plain, env)
    if names[:1] == ["midnight"] and len(names) == 1:
        return time(0)
    clock, late = _take_time(names, bare=True)
    if clock is None or names:
        raise InvalidValue.of(text, TIME)
    return time(0) if late else clock


def when(text: str, env: ParseEnv) -> datetime:
    """The moment that a text names, aware and in the person's zone. Raises :class:`InvalidValue`."""
    plain = text.strip()
    if (iso := _iso_datetime(plain, env)) is not None:
        return iso
    if (later := _offset(text, env)) is not None:
        return later
    names = _names(plain, env)
    if names == ["now"]:
        return env.now.astimezone(env.zone)
    clock, late = _take_time(names)
    day = _take_day(names, env, text)
    if clock is None and names:
        clock, late = _take_time(names)
    if names or (day is None and clock is None):
        raise InvalidValue.of(text, WHEN)
    return _moment(day, clock, late, env)


def _moment(day: date | None, clock: time | None, late: bool, env: ParseEnv) -> datetime:
    here = env.now.astimezone(env.zone)
    if clock is None:
        assert day is not None
        # “today” means before the day is over: the morning, or at once when that has gone by.
        return max(resolve(day, env.morning, env), here) if day == here.date() else resolve(day, env.morning, env)
    if day is not None:
        return resolve(day + timedelta(days=late), clock, env)
    moment = resolve(here.date() + timedelta(days=late), clock, env)
    return moment if moment > here else resolve(here.date() + timedelta(days=1 + late), clock, env)


def _names(text: str, env: ParseEnv) -> list[str]:
    folded = fold(text)
    words = _WORD.findall(folded)
    if "".join(words) != re.sub(r"[\s,]", "", folded):
        return ["?"]
    names = env.vocabulary(TERMS).names([word.rstrip(".") for word in words])
    return [name for name in names if name != "of"]


def _take_day(names: list[str], env: ParseEnv, given: str) -> date | None:
    """The day that the words begin with, and take those words away."""
    here = env.now.astimezone(env.zone).date()
    if names[:1] == ["on"]:
        names.pop(0)
    if not names:
        return None
    first = names[0]
    near = {"today": 0, "tomorrow": 1, "overmorrow": 2, "yesterday": -1}
    if first in near:
        names.pop(0)
        return here + timedelta(days=near[first])
    if first == "tonight":
        names[:1] = [] if len(names) > 1 else ["evening"]
        return here
    if first in _DAYS:
        names.pop(0)
        return here + timedelta(days=(_DAYS.index(first) - here.weekday() - 1) % 7 + 1)
    if re.fullmatch(r"\d{4}-\d\d-\d\d", first):
        names.pop(0)
        return _iso_date(first) or _no_such_day(given)
    if match := _DOTTED.fullmatch(first):
        # With dots the day comes first everywhere; with slashes it depends on the country, and they are not read.
        names.pop(0)
        return _day(int(match[3]), int(match[2]), int(match[1])) or _no_such_day(given)
    return _take_calendar_day(names, here, given)


def _take_calendar_day(names: list[str], here: date, given: str) -> date | None:
    """“31 may”, “may 31”, “31st may 2027”, and take the words away."""
    words = [name for name in names[:3] if name not in {"st", "nd", "rd", "th"}]
    if len(words) < 2:
        return None
    number, month = (words[0], words[1]) if words[1] in _MONTHS else (words[1], words[0])
    if month not in _MONTHS or not re.fullmatch(r"\d{1,2}", number):
        return None
    used = names.index(words[1]) + 1 if words[1] != words[0] else 2
    while names[used : used + 1] and names[used] in {"st", "nd", "rd", "th"}:
        used += 1
    year = None
    if names[used : used + 1] and re.fullmatch(r"\d{4}", names[used]):
        year, used = int(names[used]), used + 1
    del names[:used]
    index, day = _MONTHS.index(month) + 1, int(number)
    if year is not None:
        return _day(year, index, day) or _no_such_day(given)
    # 29 February is up to eight years away.
    found = (_day(here.year + years, index, day) for years in range(9))
    return next((date for date in found if date is not None and date >= here), None) or _no_such_day(given)


def _day(year: int, month: int, day: int) -> date | None:
    return (
        date(year, month, day)
        if 1 <= year <= 9998 and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]
        else None
    )


def _no_such_day(given: str) -> date:
    raise InvalidValue("argument.no_such_day", "There is no such day as “{given}”.", clear=True, given=shorten(given))


def _take_time(names: list[str], *, bare: bool = False) -> tuple[time | None, bool]:
    """The time that the words begin with, and whether it is at the end of the day; takes those words away."""
    rest = list(names)
    at = rest[:1] == ["at"]
    if at:
        rest.pop(0)
    if not rest:
        return None, False
    first = rest.pop(0)
    clock: time | None = None
    if first in _PARTS:
        clock = _PARTS[first]
    elif first == "midnight":
        names[:] = rest
        return time(0), True
    elif match := _CLOCK.fullmatch(first):
        clock = _half_of_day(int(match[1]), int(match[2]), int(match[3] or 0), rest)
        bare = True
    elif re.fullmatch(r"\d{1,2}", first) and int(first) <= 24:
        marked = at or bare or (rest[:1] and rest[0] in _HALVES)
        clock = _half_of_day(int(first), 0, 0, rest) if marked else None
    if clock is None:
        return None, False
    names[:] = rest
    return clock, first in {"24", "24:00"}


def _half_of_day(hour: int, minute: int, second: int, rest: list[str]) -> time | None:
    """The time with its “am”, “pm”, “o'clock”, “in the evening”, which are taken away."""
    half = rest[0] if rest[:1] and rest[0] in _HALVES else None
    if half is not None:
        rest.pop(0)
    if half in {"am", "pm"} and not 1 <= hour <= 12:
        return None
    if half in {"pm", "afternoon", "evening"} and hour < 12:
        hour += 12
    elif half == "am" and hour == 12:
        hour = 0
    return time(hour % 24, minute, second) if hour < 24 or not (minute or second) else None


def _offset(text: str, env: ParseEnv) -> datetime | None:
    """“in 2 hours”, “in 3 days”, “in a month”: from now on."""
    names = env.vocabulary(_IN)
    first, _, rest = text.strip().partition(" ")
    if names.get(first) != "in":
        return None
    parts = duration_parts(rest, env)
    if parts is None or any(parts[unit] != int(parts[unit]) for unit in ("month", "year") if unit in parts):
        return None
    here = env.now.astimezone(env.zone)
    whole = {unit: int(parts[unit]) for unit in ("day", "week") if unit in parts and parts[unit] == int(parts[unit])}
    exact: dict[str, Decimal] = {
        unit: amount for unit, amount in parts.items() if unit not in {*whole, "month", "year"}
    }
    months = int(parts.get("month", 0)) + 12 * int(parts.get("year", 0))
    try:
        year, month = divmod(here.year * 12 + here.month - 1 + months, 12)
        day = date(year, month + 1, min(here.day, monthrange(year, month + 1)[1]))
        day += timedelta(days=whole.get("day", 0) + 7 * whole.get("week", 0))
        start = resolve(day, here.time(), env) if day != here.date() else here
        return (start.astimezone(UTC) + to_timedelta(exact, text)).astimezone(env.zone)
    except (OverflowError, ValueError) as error:
        if isinstance(error, InvalidValue):
            raise
        raise InvalidValue(
            "argument.too_long", "“{given}” is longer than a hundred years.", clear=True, given=shorten(text)
        ) from None


def _iso_date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) or _ISO_WEEK.fullmatch(text) else None
    except ValueError:
        _no_such_day(text)
        return None


def _iso_datetime(text: str, env: ParseEnv) -> datetime | None:
    if not re.match(r"\d{4}-\d\d-\d\d[T ]\d", text):
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" Z", "Z"))
    except ValueError:
        return None
    return moment.astimezone(env.zone) if moment.tzinfo is not None else resolve(moment.date(), moment.time(), env)
