"""Opening hours, zones and corners as people write and read them. Pure.

“mon-fri 9-18, sat 10-14”, “daily 11-23”, “mon, wed 9-12 13-18; sun closed”, “24/7”. Days are read in English and in
the person's language, digits in any script.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import time
from types import MappingProxyType
from typing import Final

from babel.dates import get_day_names

from bots.domain.opening import Hours, HoursError, Span
from bots.domain.places import PlaceError, Point
from bots.framework.arguments import InvalidValue, ParseEnv, fold
from bots.framework.arguments.errors import shorten
from bots.framework.arguments.times import TERMS
from bots.framework.i18n import Translator, _
from bots.framework.i18n.tags import locale_of

__all__ = ["DAYS", "read_corners", "read_span_list", "read_week", "said_day", "said_spans", "said_week"]

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
EXPECTED: Final = _("“{given}” are no opening hours such as: mon-fri 9-18, sat 10-14")
CORNERS: Final = _("“{given}” are no corners such as: 52.51,13.38 52.53,13.38 52.53,13.42")
_WORDS: Final = MappingProxyType(
    {
        **{day: TERMS[day] for day in DAYS},
        "closed": _("closed|off|none"),
        "daily": _("daily|every day|everyday|always"),
        "to": _("to|until|till"),
        "and": _("and"),
    }
)
_LENGTH_MAX: Final = 1_000
_TOKEN: Final = re.compile(
    r"(?P<always>24\s*/\s*7)|(?P<time>\d{1,2}(?:[:.]\d{2})?(?:\s*(?:am|pm|a\.m\.|p\.m\.))?)"
    r"|(?P<dash>[-‐‒–—−~])|(?P<stop>[,;،；、\n&]+)|(?P<space>\s+|(?<=[\d ])(?:h|uhr)\b)|(?P<word>[^\W\d_]+\.?)"
    r"|(?P<other>.)",
    re.IGNORECASE,
)
_CLOCK: Final = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?\s*(am|pm|a\.m\.|p\.m\.)?", re.IGNORECASE)
_PAIR: Final = re.compile(r"([+-]?\d{1,3}(?:\.\d{1,12})?)\s*[,، ]\s*([+-]?\d{1,3}(?:\.\d{1,12})?)")

Week = tuple[tuple[Span, ...], ...]
_Token = tuple[str, str]


def read_week(text: str, env: ParseEnv, before: Week = ((),) * 7) -> Week:
    """The hours of a week. Days that are not named stay as they were.

    Raises:
        InvalidValue: that is no such text, or the hours overlap.
    """
    tokens = _tokens(text, env)
    if [kind for kind, _value in tokens] == ["always"]:
        return ((Span(time(0), time(0)),),) * 7
    week = list(before)
    days: list[int] = []
    spans: list[Span] = []
    closed, at = False, 0
    while at < len(tokens):
        kind, value = tokens[at]
        if kind == "day":
            if spans or closed:
                _put(week, days, spans, text)
                days, spans, closed = [], [], False
            found, at = _days(tokens, at)
            days += found
        elif kind == "time":
            span, at = _span(tokens, at, text)
            spans.append(span)
        elif kind == "closed":
            closed, at = True, at + 1
        elif kind == "stop":
            at += 1
        else:
            raise _no(text, value)
    if not days or not (spans or closed) or (spans and closed):
        raise _no(text)
    _put(week, days, spans, text)
    return tuple(week)


def read_span_list(text: str, env: ParseEnv) -> tuple[Span, ...]:
    """The hours of one day: “9-12, 14-18”, or none for “closed”. Raises InvalidValue."""
    tokens = [token for token in _tokens(text, env) if token[0] != "stop"]
    if [kind for kind, _value in tokens] == ["closed"]:
        return ()
    if [kind for kind, _value in tokens] == ["always"]:
        return (Span(time(0), time(0)),)
    spans: list[Span] = []
    at = 0
    while at < len(tokens):
        if tokens[at][0] != "time":
            raise _no(text, tokens[at][1])
        span, at = _span(tokens, at, text)
        spans.append(span)
    if not spans:
        raise _no(text)
    _check(tuple(spans))
    return tuple(spans)


def read_corners(text: str) -> tuple[Point, ...]:
    """The corners of an area: pairs of latitude and longitude. Raises InvalidValue, PlaceError."""
    if len(text) > 10_000:
        raise InvalidValue("desk.corners", CORNERS, clear=True, given=shorten(text, 40))
    plain = text.replace("−", "-").strip()
    found = [(match[1], match[2]) for match in _PAIR.finditer(plain)]
    rest = _PAIR.sub("", plain)
    if not found or re.sub(r"[\s;,|،()\[\]]", "", rest):
        raise InvalidValue("desk.corners", CORNERS, clear=True, given=shorten(text, 40))
    return tuple(Point(float(latitude), float(longitude)) for latitude, longitude in found)


def said_week(hours: Hours, translator: Translator) -> list[str]:
    """A line for each run of days with the same hours: “Mon–Fri 09:00–18:00”."""
    names = get_day_names("abbreviated", "stand-alone", locale_of(translator.language))
    lines, first = [], 0
    for day in range(1, 8):
        if day == 7 or hours.week[day] != hours.week[first]:
            name = str(names[first]) if day - first == 1 else f"{names[first]}–{names[day - 1]}"
            lines.append(f"{name}: {said_spans(hours.week[first], translator)}")
            first = day
    return lines


def said_day(index: int, translator: Translator) -> str:
    """The name of a weekday, 0 for Monday."""
    return str(get_day_names("wide", "stand-alone", locale_of(translator.language))[index])


def said_spans(spans: Sequence[Span], translator: Translator) -> str:
    """The hours of one day."""
    if not spans:
        return translator.t("closed")
    if any(span.opens == span.closes for span in spans):
        return translator.t("day and night")
    return ", ".join(f"{span.opens:%H:%M}–{span.closes:%H:%M}" for span in sorted(spans))


def _tokens(text: str, env: ParseEnv) -> list[_Token]:
    if len(text) > _LENGTH_MAX:
        raise _no(text)
    vocabulary = env.vocabulary(_WORDS)
    found: list[_Token] = []
    words: list[str] = []

    def flush() -> None:
        for name in vocabulary.names(words):
            if name in DAYS:
                found.append(("day", name))
            elif name == "daily":
                found.extend([("day", DAYS[0]), ("dash", "-"), ("day", DAYS[6])])
            elif name in {"closed", "to", "and"}:
                found.append(({"closed": "closed", "to": "dash", "and": "stop"}[name], name))
            else:
                raise _no(text, name)
        words.clear()

    for match in _TOKEN.finditer(text.strip()):
        kind = str(match.lastgroup)
        if kind == "word":
            words.append(fold(match[0].rstrip(".")))
            continue
        if kind == "space":
            continue
        flush()
        if kind == "other":
            raise _no(text, match[0])
        found.append((kind, match[0]))
    flush()
    return found


def _days(tokens: Sequence[_Token], at: int) -> tuple[list[int], int]:
    first = DAYS.index(tokens[at][1])
    if [kind for kind, _value in tokens[at + 1 : at + 3]] == ["dash", "day"]:
        last = DAYS.index(tokens[at + 2][1])
        count = (last - first) % 7 + 1
        return [(first + step) % 7 for step in range(count)], at + 3
    return [first], at + 1


def _span(tokens: Sequence[_Token], at: int, text: str) -> tuple[Span, int]:
    if [kind for kind, _value in tokens[at : at + 3]] != ["time", "dash", "time"]:
        raise _no(text, tokens[at][1])
    return Span(_clock(tokens[at][1], text), _clock(tokens[at + 2][1], text)), at + 3


def _clock(given: str, text: str) -> time:
    match = _CLOCK.fullmatch(given.strip())
    assert match is not None, "the token is one"
    hour, minute, half = int(match[1]), int(match[2] or 0), (match[3] or "").lower()[:1]
    if half and not 1 <= hour <= 12:
        raise _no(text, given)
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    if hour == 24 and minute == 0:
        hour = 0
    if hour > 23 or minute > 59:
        raise _no(text, given)
    return time(hour, minute)


def _put(week: list[tuple[Span, ...]], days: Sequence[int], spans: Sequence[Span], text: str) -> None:
    if not days:
        raise _no(text)
    _check(tuple(spans))
    for day in days:
        week[day] = tuple(sorted(spans))


def _check(spans: tuple[Span, ...]) -> None:
    try:
        Hours("UTC", (spans, *((),) * 6))
    except HoursError as error:
        if error.code != "hours.overlap":
            raise InvalidValue(error.code, error.msgid, clear=True, **error.values) from None
        raise InvalidValue("desk.overlap", _("These opening hours overlap."), clear=True) from None


def _no(text: str, part: str = "") -> InvalidValue:
    return InvalidValue("desk.hours", EXPECTED, clear=True, given=shorten(part or text, 40))


def said_place(error: PlaceError) -> InvalidValue:
    """What is wrong with a place or an area, for a question."""
    return InvalidValue(error.code, error.msgid, clear=True, **error.values)
