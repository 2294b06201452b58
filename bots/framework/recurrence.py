"""When something happens again: once, at an interval, or by the wall clock of a time zone. Pure.

Times are milliseconds since the epoch. By the wall clock (:class:`Cron`), when the clocks change:

- A local time that is skipped happens once, at the first moment after the gap, however many fall into it.
- A local time that is repeated happens once, the first time.
- A rule for every hour (its hour field is ``*``) follows the hours that really pass: it happens in both of the repeated
  hours, and a skipped hour leaves nothing to make up for.

The expressions are read by cronsim (the syntax of Debian's cron, with ``L`` and ``#``); which moments they are is
decided here, for it walks in whole hours and passes over some where clocks change by thirty minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from appservice.errors import RialtoError
from bots.framework.clock import from_ms, to_ms

CatchUp: TypeAlias = Literal["skip", "once", "all"]
CATCH_UP: Final[tuple[CatchUp, ...]] = ("skip", "once", "all")

LATE_MS: Final = 60_000
"""How late a firing may be before the policy ``skip`` drops it."""
MAX_MISSED: Final = 100
"""Of the firings missed, the policy ``all`` makes up for so many, the newest."""
MIN_INTERVAL: Final = timedelta(seconds=1)
MAX_INTERVAL: Final = timedelta(days=3660)
MAX_EXPRESSION: Final = 200
_LAST: Final = datetime(9000, 1, 1, tzinfo=UTC)
_FIELDS: Final = ("minute", "hour", "day-of-month", "month", "day-of-week")
_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)


class RuleError(RialtoError):
    """A rule that cannot be: a broken cron expression, an unknown time zone, an interval of nothing."""

    code = "schedule_rule_invalid"


def zone_named(name: str) -> ZoneInfo:
    """The IANA time zone.

    Raises:
        RuleError: there is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # a folder of the data base ("Europe") is an OSError
        raise RuleError(f"there is no time zone {name[:60]!r}; its name is one like Europe/Berlin") from None


@dataclass(frozen=True, slots=True)
class At:
    """Once. ``when`` knows its zone; see :func:`local` for a time on a wall clock."""

    when: datetime

    def __post_init__(self) -> None:
        if self.when.tzinfo is None or self.when.utcoffset() is None:
            raise RuleError("a point in time needs its time zone")
        if self.when > _LAST:
            raise RuleError(f"a point in time must come before the year {_LAST.year}")

    def after(self, moment: int) -> int | None:
        """The first time later than ``moment``."""
        return due if (due := to_ms(self.when)) > moment else None


@dataclass(frozen=True, slots=True)
class Every:
    """At ``start`` and after each ``interval`` again, measured in time that really passes: a day is 24 hours."""

    interval: timedelta
    start: datetime

    def __post_init__(self) -> None:
        if not MIN_INTERVAL <= self.interval <= MAX_INTERVAL:
            raise RuleError(f"an interval is between 1 second and {MAX_INTERVAL.days} days, got {self.interval}")
        if self.start.tzinfo is None or self.start.utcoffset() is None:
            raise RuleError("the start of an interval needs its time zone")
        if self.start > _LAST:
            raise RuleError(f"the start of an interval must come before the year {_LAST.year}")

    def after(self, moment: int) -> int | None:
        """The first time later than ``moment``."""
        start, step = to_ms(self.start), self.interval // timedelta(milliseconds=1)
        return start if moment < start else start + ((moment - start) // step + 1) * step


@dataclass(frozen=True, slots=True)
class Cron:
    """By the wall clock of ``zone``: minute, hour, day of the month, month, day of the week (``0 9 * * mon-fri``)."""

    expression: str
    zone: str = "UTC"

    def __post_init__(self) -> None:
        fields = self.expression.split()
        if len(self.expression) > MAX_EXPRESSION or not self.expression.isascii():
            raise RuleError(f"a cron expression has {MAX_EXPRESSION} ASCII characters at most")
        if len(fields) != len(_FIELDS):
            raise RuleError(
                f"cron {self.expression!r} needs the five fields {', '.join(_FIELDS)}; it has {len(fields)}"
            )
        zone_named(self.zone)
        try:
            CronSim(self.expression, datetime(2000, 1, 1))  # noqa: DTZ001 - a wall clock has no zone
        except CronSimError as error:
            name = str(error).removeprefix("Bad ")
            field = fields[_FIELDS.index(name)] if name in _FIELDS else ""
            raise RuleError(f"cron {self.expression!r}: {field!r} is no {name}") from None
        except (ValueError, AssertionError, TypeError):
            raise RuleError(f"cron {self.expression!r} cannot be read") from None
        if _matches(self.expression, datetime(2000, 1, 1)) is None:  # noqa: DTZ001
            raise RuleError(f"cron {self.expression!r} never happens")

    def after(self, moment: int) -> int | None:
        """The first time later than ``moment``; None when there is none for fifty years."""
        zone = zone_named(self.zone)
        if _every_hour(self.expression):
            return _elapsed(self.expression, zone, moment)
        wall = from_ms(moment).astimezone(zone).replace(tzinfo=None)
        while (found := _matches(self.expression, wall)) is not None:
            # In the second of two repeated hours the match may lie in the first: it has happened.
            if (due := to_ms(local(found, zone))) > moment:
                return due
            wall = found
        return None


Rule: TypeAlias = At | Every | Cron


def local(wall: datetime, zone: ZoneInfo) -> datetime:
    """The point in time, in UTC, at which the clocks of ``zone`` show ``wall``.

    Of two it is the first; of none, because it is skipped, the end of the gap.
    """
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == wall:
        return first
    # Skipped: read with the clock of after the gap it lies before it, with that of before it lies after it (PEP 495).
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _change(zone, before, first)


def following(rule: Rule, moment: int) -> Iterator[int]:
    """Every time later than ``moment``, in order."""
    while (due := rule.after(moment)) is not None:
        yield due
        moment = due


def latest(rule: Rule, since: int, until: int, most: int) -> list[int]:
    """The last ``most`` times of those from ``since`` to ``until``, both included, in order."""
    if isinstance(rule, Every):
        step = rule.interval // timedelta(milliseconds=1)
        since = max(since, until - (most + 1) * step)
        return _between(rule, since, until)[-most:]
    # Never all of a long outage: look back over a longer and longer span, until it holds enough.
    span = most * 60_000
    while until - span > since:
        if len(found := _between(rule, until - span, until)) >= most:
            return found[-most:]
        span *= 2
    return _between(rule, since, until)[-most:]


def _between(rule: Rule, since: int, until: int) -> list[int]:
    found = []
    for due in following(rule, since - 1):
        if due > until:
            break
        found.append(due)
    return found


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about a schedule that is due: fire for these times now, and be due again then (None: never)."""

    fire: tuple[int, ...]
    due: int | None


def plan(rule: Rule, due: int, now: int, catch_up: CatchUp, at_once: int = 10) -> Plan:
    """What to do at ``now`` about a schedule that was due at ``due``.

    ``once``: one firing for all that were missed, with the time of the newest. ``skip``: the same, but none when the
    newest is more than :data:`LATE_MS` late. ``all``: one for each, of which the :data:`MAX_MISSED` newest; at most
    ``at_once`` at a time, the schedule is then due again at once.
    """
    if catch_up == "all":
        missed = latest(rule, due, now, MAX_MISSED) or [due]
        if len(missed) > at_once:
            return Plan(tuple(missed[:at_once]), missed[at_once])
        return Plan(tuple(missed), rule.after(now))
    newest = (latest(rule, due, now, 1) or [due])[-1]
    fire = () if catch_up == "skip" and now - newest > LATE_MS else (newest,)
    return Plan(fire, rule.after(now))


def encode(rule: Rule) -> dict[str, Any]:
    """A rule as JSON."""
    if isinstance(rule, At):
        return {"at": to_ms(rule.when)}
    if isinstance(rule, Every):
        return {"every": rule.interval // timedelta(milliseconds=1), "start": to_ms(rule.start)}
    return {"cron": rule.expression, "zone": rule.zone}


def decode(raw: dict[str, Any]) -> Rule:
    """The rule that :func:`encode` wrote.

    Raises:
        RuleError: it is none.
    """
    try:
        if "at" in raw:
            return At(from_ms(raw["at"]))
        if "every" in raw:
            return Every(timedelta(milliseconds=raw["every"]), from_ms(raw["start"]))
        return Cron(raw["cron"], raw["zone"])
    except (KeyError, TypeError, AttributeError, OverflowError):
        raise RuleError("a stored schedule has no rule") from None


def _matches(expression: str, wall: datetime) -> datetime | None:
    """The next time later than ``wall`` on a clock that never changes."""
    try:
        return next(CronSim(expression, wall))
    except (StopIteration, OverflowError):
        return None


@lru_cache(maxsize=1024)
def _every_hour(expression: str) -> bool:
    return set(CronSim(expression, datetime(2000, 1, 1)).hours) == set(range(24))  # noqa: DTZ001


def _elapsed(expression: str, zone: ZoneInfo, moment: int) -> int | None:
    """The next time that the clocks show a match, whichever time it is that they show it."""
    at = from_ms(moment)
    while True:
        offset = _offset(zone, at)
        found = _matches(expression, (at + offset).replace(tzinfo=None))
        if found is None:
            return None
        candidate = (found - offset).replace(tzinfo=UTC)
        if _offset(zone, candidate) == offset:
            return to_ms(candidate)
        # The clocks change before: go on from there, by the new time, with the moment of the change itself in it.
        at = _first_change(zone, at, candidate) - _SECOND
        shown = _offset(zone, at + _SECOND)
        found = _matches(expression, (at + shown).replace(tzinfo=None))
        if found is not None and found == (at + _SECOND + shown).replace(tzinfo=None):
            return to_ms(at + _SECOND)
        at += _SECOND


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _first_change(zone: ZoneInfo, start: datetime, end: datetime) -> datetime:
    """When the offset of ``start`` ends, before ``end``."""
    before = _offset(zone, start)
    while start + _DAY < end and _offset(zone, start + _DAY) == before:
        start += _DAY
    return _change(zone, start, min(start + _DAY, end))


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The first second that has another offset than ``before``; ``after`` has."""
    offset = _offset(zone, before)
    seconds = -(-(after - before) // _SECOND)
    low, high = 0, int(seconds)
    start = before.replace(microsecond=0)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, start + middle * _SECOND) == offset:
            low = middle
        else:
            high = middle
    return start + high * _SECOND
