"""What people say: "tomorrow at 9 to call Bob" is a time and a thing. Pure: now and the zone come in ``env``.

Days, times and spans are read by the framework, in English and in the person's language; here is only how they stand in
a sentence, and "every".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final, TypeVar

from bots.framework import InvalidValue, ParseEnv
from bots.framework.arguments import duration, fold, time_, when
from bots.framework.arguments.durations import UNITS
from bots.framework.arguments.times import TERMS
from bots.framework.i18n import _

T = TypeVar("T")

WORDS: Final[Mapping[str, str]] = {
    "me": _("me"),
    "every": _("every|each"),
    "weekday": _("weekday|weekdays|workday|workdays"),
    "to": _("to|that|about|of"),
    "and": _("and|&"),
}
DAYS: Final = {
    name: name[:3] for name in ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
}
MUCH: Final = 1_000
"""Characters of what is to be said at most."""
LONGEST: Final = 10
"""Words of a time at most."""
SHORTEST: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be said, and when: at a moment, by a cron line, or at an interval."""

    rule: datetime | str | timedelta
    about: str
    words: str
    """The time as the person said it."""


def read(text: str, env: ParseEnv) -> Wish:
    """The wish in a sentence.

    Raises:
        InvalidValue: there is no time in it, or nothing to be reminded of.
    """
    words = text.split()
    if words and _is(words[0], "me", env):
        words = words[1:]
    found = _split(words, lambda part: rule_of(part, env))
    if found is None:
        raise InvalidValue("reminders.no_time", _("I see no time in that. Try: remind me tomorrow at 9 to call Bob"))
    rule, before, after = found
    about = before or after
    if about and _is(about[0], "to", env):
        about = about[1:]
    if about and isinstance(rule, timedelta) and env.vocabulary(TERMS).get(about[0]) == "at":
        # “every 2 days at 8” must not become “at 8”, every two days.
        reason = _("I repeat every so many hours or days from now on, or on days of the week at a time.")
        raise InvalidValue("reminders.interval", reason)
    if not about:
        raise InvalidValue("reminders.nothing", _("And of what? Try: remind me tomorrow at 9 to call Bob"))
    if len(" ".join(about)) > MUCH:
        raise InvalidValue("reminders.too_long", _("That is more than I can remember. Put it into fewer words."))
    said = words[len(before) : len(words) - len(after)]
    return Wish(rule, " ".join(about), " ".join(said).rstrip(",:"))


def rule_of(text: str, env: ParseEnv) -> datetime | str | timedelta:
    """When it is: "tomorrow at 9", "in 20 minutes", "every monday at 8", "every 2 hours". Raises InvalidValue."""
    words = fold(text).replace(",", " ").split()
    if words and _is(words[0], "every", env):
        return _recurring(words[1:], env)
    return when(text, env)


def _split(words: list[str], parse: Callable[[str], T]) -> tuple[T, list[str], list[str]] | None:
    """The longest time at the beginning or at the end: what it is, and the words before and behind it."""
    for length in range(min(LONGEST, len(words)), 0, -1):
        for start in dict.fromkeys((0, len(words) - length)):
            said = " ".join(words[start : start + length]).rstrip(",:")
            try:
                return parse(said), words[:start], words[start + length :]
            except InvalidValue:
                continue
    return None


def _recurring(words: list[str], env: ParseEnv) -> str | timedelta:
    for cut in range(len(words), 0, -1):
        days = _days(words[:cut], env)
        if days is None:
            continue
        at = env.morning if cut == len(words) else _time(" ".join(words[cut:]), env)
        if at is not None:
            return f"{at.minute} {at.hour} * * {days}"
    text = " ".join(words)
    try:
        interval = duration(text, env)
    except InvalidValue:
        interval = duration("1 " + text, env)
    if interval < SHORTEST:
        raise InvalidValue("reminders.too_often", _("That is too often for me: once a minute at most."))
    return interval


def _days(words: list[str], env: ParseEnv) -> str | None:
    """The days of a cron line: "monday and thursday", "day", "weekday"."""
    if len(words) == 1:
        if env.vocabulary(UNITS).get(words[0]) == "day":
            return "*"
        if _is(words[0], "weekday", env):
            return "mon-fri"
    names = [name for name in env.vocabulary(TERMS).names(words) if not _is(name, "and", env)]
    return ",".join(DAYS[name] for name in names) if names and set(names) <= set(DAYS) else None


def _time(text: str, env: ParseEnv) -> time | None:
    try:
        return time_(text, env)
    except InvalidValue:
        return None


def _is(word: str, name: str, env: ParseEnv) -> bool:
    return env.vocabulary(WORDS).get(word.strip(",:")) == name
