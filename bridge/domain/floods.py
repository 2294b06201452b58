"""Many arrivals at once: when a chat closes for a while, and how it opens again. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any, Final

CAPACITY: Final = 10_000
PUBLIC: Final = "public"
KNOCK: Final = "knock"
INVITE: Final = "invite"

CLOSED: Final[Mapping[str, str]] = {PUBLIC: KNOCK, KNOCK: INVITE, "knock_restricted": "restricted"}
"""What a join rule becomes while a chat is flooded: who came by themselves has to ask, who asked has to be invited."""


class Window:
    """How often something happened to each of many names within the last ``span_ms``.

    It forgets at a restart, and the name that was not heard of for longest when there are too many: it is a limit, not
    an account.
    """

    def __init__(self, most: int, span_ms: int, capacity: int = CAPACITY) -> None:
        if most < 1 or span_ms < 1 or capacity < 1:
            raise ValueError("a window has a count, a time and a capacity of more than 0")
        self.most = most
        self.span_ms = span_ms
        self._capacity = capacity
        self._times: OrderedDict[str, deque[int]] = OrderedDict()

    def add(self, name: str, now: int) -> bool:
        """It happened once more; whether that was more often than it may."""
        times = self._times.get(name)
        if times is None:
            # One more than may be is enough to know.
            times = self._times[name] = deque(maxlen=self.most + 1)
        self._times.move_to_end(name)
        if len(self._times) > self._capacity:
            self._times.popitem(last=False)
        times.append(now)
        return self._over(times, now)

    def over(self, name: str, now: int) -> bool:
        """Whether once more would be more often than it may."""
        times = self._times.get(name)
        return times is not None and sum(1 for at in times if at > now - self.span_ms) >= self.most

    def forget(self, name: str) -> None:
        """Begin anew."""
        self._times.pop(name, None)

    def _over(self, times: deque[int], now: int) -> bool:
        return len(times) > self.most and times[0] > now - self.span_ms


def closed(join_rules: Mapping[str, Any]) -> dict[str, Any] | None:
    """``m.room.join_rules`` of a chat that is flooded; None when nothing is left to close."""
    rule = join_rules.get("join_rule")
    after = CLOSED.get(rule) if isinstance(rule, str) else None
    return None if after is None else {**join_rules, "join_rule": after}
