"""How many requests a key has left. Pure: the clock is the caller's."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

CAPACITY: Final = 10_000
_TOLERANCE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one more is free.

    Attributes:
        remaining: how many more are, right after this one.
        reset: seconds until all of them are.
        retry_after: seconds until one is; 0 when this one was.
    """

    allowed: bool
    limit: int
    remaining: int
    reset: float
    retry_after: float


class Buckets:
    """``count`` at once, and as many again over each ``per`` seconds, evenly; a bucket for each name.

    A bucket is one number: when it will be full again (generic cell rate algorithm, ITU-T I.371). The one that was not
    used for longest is forgotten when there are more than ``capacity``.
    """

    def __init__(self, count: int, per: float, capacity: int = CAPACITY) -> None:
        if count < 1 or not 0 < per < math.inf or capacity < 1:
            raise ValueError("a rate has a count, a time and a capacity of more than 0")
        self.count = count
        self.per = per
        self._capacity = capacity
        self._full: OrderedDict[str, float] = OrderedDict()

    def take(self, name: str, now: float) -> Verdict:
        """Take one, if one is there; what is refused takes nothing.

        Args:
            now: seconds of a clock that does not go back.
        """
        interval = self.per / self.count
        full = max(self._full.get(name, now), now)
        wait = full + interval - self.per - now
        if wait > _TOLERANCE:
            return Verdict(False, self.count, 0, full - now, wait)
        full += interval
        self._full[name] = full
        self._full.move_to_end(name)
        if len(self._full) > self._capacity:
            self._full.popitem(last=False)
        left = math.floor((self.per - (full - now)) / interval + _TOLERANCE)
        return Verdict(True, self.count, max(left, 0), full - now, 0)
