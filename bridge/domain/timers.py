"""Message timers: how long messages stay, from when on, and how people write it. Pure; times are milliseconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Self

TIMER: Final = "chat.rialto.timer"
"""State event of a chat (``{"seconds": 86400, "start": "sent", "by": …}``; ``seconds`` null: off), and field of a
message's content, outside of what is encrypted (``{"seconds": 5, "start": "read"}``).
"""
MEDIA: Final = "chat.rialto.media"
"""Field of an encrypted message's content, outside of what is encrypted: its ``mxc://`` addresses, so that the files
can go with it.
"""
SHORTEST: Final = 5
LONGEST: Final = 365 * 86_400
MOST_MEDIA: Final = 20
_MXC: Final = re.compile(r"mxc://[A-Za-z0-9.:\[\]-]{1,230}/[A-Za-z0-9_-]{1,200}\Z")


class BadDuration(ValueError):
    """This is no time that messages can stay. ``code`` is stable; the text is a sentence for people."""

    def __init__(self, code: str, human: str) -> None:
        super().__init__(human)
        self.code = code
        self.human = human


class Start(StrEnum):
    """From when on a message's time runs."""

    SENT = "sent"
    READ = "read"
    """From the first reading by somebody other than its sender. One that nobody is known to have read stays."""


@dataclass(frozen=True, slots=True)
class Timer:
    """How long a message stays.

    Raises:
        BadDuration: less than 5 s, or more than a year.
    """

    seconds: int
    start: Start = Start.SENT

    def __post_init__(self) -> None:
        if isinstance(self.seconds, bool) or not SHORTEST <= self.seconds <= LONGEST:
            raise BadDuration("timer_range", "A message can stay from 5 seconds to a year.")

    @classmethod
    def of(cls, content: object) -> Self | None:
        """Read the content of the state event, or the field of a message; None for none and for what makes no sense."""
        if not isinstance(content, Mapping):
            return None
        seconds, start = content.get("seconds"), content.get("start", Start.SENT.value)
        if not isinstance(seconds, int) or isinstance(seconds, bool) or start not in (Start.SENT, Start.READ):
            return None
        if not SHORTEST <= seconds <= LONGEST:
            return None
        return cls(seconds, Start(start))


def state_content(timer: Timer | None, by: str) -> dict[str, Any]:
    """The content of the state event that sets a chat's timer, or turns it off."""
    found = timer or Timer(SHORTEST)
    return {"seconds": None if timer is None else timer.seconds, "start": found.start.value, "by": by}


def message_timer(content: Mapping[str, Any], chat: Timer | None) -> Timer | None:
    """The timer that a message carries itself; its time starts as the chat's does unless it says so."""
    own = content.get(TIMER)
    if isinstance(own, Mapping) and "start" not in own and chat is not None:
        own = {**own, "start": chat.start.value}
    return Timer.of(own)


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a message goes: at ``due_at`` (ms) at the latest, and ``read_seconds`` after its first reading. None: not
    by that.
    """

    due_at: int | None = None
    read_seconds: int | None = None

    def __bool__(self) -> bool:
        return self.due_at is not None or self.read_seconds is not None


def deadline(sent_at: int, *timers: Timer | None) -> Deadline:
    """When a message goes under several timers: whichever says so first."""
    given = [timer for timer in timers if timer is not None]
    sent = [timer.seconds for timer in given if timer.start is Start.SENT]
    read = [timer.seconds for timer in given if timer.start is Start.READ]
    return Deadline(sent_at + min(sent) * 1000 if sent else None, min(read) if read else None)


def moment_sent(timestamp: int, now: int) -> int:
    """When a message was sent, by its server's word, which is not believed when it lies in the future: a sender would
    make a message stay by it.
    """
    return max(0, min(timestamp, now))


# How people write it

_UNITS: Final[Mapping[str, int]] = MappingProxyType(
    {
        unit: seconds
        for units, seconds in (
            ("s sec secs second seconds", 1),
            ("m min mins minute minutes", 60),
            ("h hr hrs hour hours", 3_600),
            ("d day days", 86_400),
            ("w wk wks week weeks", 604_800),
            ("mo month months", 30 * 86_400),
            ("y yr yrs year years", LONGEST),
        )
        for unit in units.split()
    }
)
_PART: Final = re.compile(r"(\d{1,9}|an?|one)\s*([a-z]+)(?:\s*(?:,|and)?\s*)")
_OFF: Final = frozenset({"off", "none", "never", "no", "0", "forever"})
LONGEST_TEXT: Final = 60


def parse_duration(text: str) -> int | None:
    """Seconds of ``1 day``, ``90 s``, ``1h 30m``, ``a week``, ``2 weeks and 3 days``; None for ``off``.

    A month is 30 days and a year 365.

    Raises:
        BadDuration: ``duration_unclear``; ``timer_range`` when messages cannot stay for so long.
    """
    unclear = BadDuration("duration_unclear", "Write a time like “30 seconds”, “1 day” or “2 weeks”, or “off”.")
    words = " ".join(text.casefold().split())
    if words in _OFF:
        return None
    if not words or len(words) > LONGEST_TEXT:
        raise unclear
    seconds, place = 0, 0
    while place < len(words):
        part = _PART.match(words, place)
        if part is None or part[2] not in _UNITS:
            raise unclear
        seconds += (int(part[1]) if part[1].isdecimal() else 1) * _UNITS[part[2]]
        place = part.end()
    return Timer(seconds).seconds


def in_words(seconds: int) -> str:
    """A length of time in English, exact: ``1 day``, ``1 hour 30 minutes``."""
    parts = []
    for name, size in (("week", 604_800), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        if name == "week" and seconds % size:
            continue  # "10 days", not "1 week 3 days"
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}" + ("" if count == 1 else "s"))
    return " ".join(parts) or "0 seconds"


# Media


def media_of(content: Mapping[str, Any]) -> tuple[str, ...]:
    """The files that a message refers to: of a media message, its thumbnail and its edit, and those that an encrypted
    one names in the clear. Without duplicates, :data:`MOST_MEDIA` at most.
    """
    found: dict[str, None] = {}
    for part in (content, content.get("m.new_content")):
        if not isinstance(part, Mapping):
            continue
        info = part.get("info")
        named = part.get(MEDIA)
        candidates: list[object] = [part.get("url"), _url(part.get("file"))]
        if isinstance(info, Mapping):
            candidates += [info.get("thumbnail_url"), _url(info.get("thumbnail_file"))]
        if isinstance(named, list):
            candidates += named[:MOST_MEDIA]
        found |= {each: None for each in candidates if isinstance(each, str) and _MXC.match(each)}
    return tuple(found)[:MOST_MEDIA]


def split_mxc(address: str) -> tuple[str, str]:
    """Server and media id of an ``mxc://`` address."""
    server, _, media_id = address.removeprefix("mxc://").partition("/")
    return server, media_id


def _url(file: object) -> object:
    return file.get("url") if isinstance(file, Mapping) else None
