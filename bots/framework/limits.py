"""How often one person may do something: token buckets. Pure: the clock is the caller's."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from bots.framework.i18n.translator import Translator

CAPACITY: Final = 10_000
_TOLERANCE: Final = 1e-6
"""Seconds. Sums of binary fractions are not exact: who waits as told is not to be told to wait a billionth more."""

Scope: TypeAlias = Literal["user", "room"]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """``count`` times at once, and so many again over each ``per`` seconds, evenly.

    ``scope`` says whose times are counted together: those of one person, or of everybody in one room.
    """

    count: int
    per: float
    scope: Scope = "user"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"a rate limit needs a count of at least 1, got {self.count}")
        if not (0 < self.per < math.inf):
            raise ValueError(f"a rate limit needs a time of more than 0 seconds, got {self.per}")

    @property
    def interval(self) -> float:
        """Seconds until one more is free."""
        return self.per / self.count


@dataclass(frozen=True, slots=True)
class Allowed:
    """Go on."""


@dataclass(frozen=True, slots=True)
class Limited:
    """Not now; in ``retry_after`` seconds. ``tell`` the person: true once until the bucket has been full again."""

    retry_after: float
    tell: bool

    def explain(self, translator: Translator) -> str:
        """What to tell the person."""
        seconds = math.ceil(self.retry_after)
        if seconds < 120:
            return translator.n(
                "That was too often. Please try again in {count} second.",
                "That was too often. Please try again in {count} seconds.",
                seconds,
            )
        minutes = math.ceil(seconds / 60)
        if minutes < 120:
            return translator.n(
                "That was too often. Please try again in {count} minute.",
                "That was too often. Please try again in {count} minutes.",
                minutes,
            )
        return translator.n(
            "That was too often. Please try again in {count} hour.",
            "That was too often. Please try again in {count} hours.",
            math.ceil(minutes / 60),
        )


Verdict: TypeAlias = Allowed | Limited
_ALLOWED: Final = Allowed()


class RateLimiter:
    """The buckets of one limit.

    A bucket is one number, the time at which it will be full again (the generic cell rate algorithm, ITU-T I.371). At
    most ``capacity`` are kept; the one longest unused is forgotten first, which forgives what was left of it.
    """

    def __init__(self, limit: RateLimit, *, capacity: int = CAPACITY) -> None:
        if capacity < 1:
            raise ValueError(f"a rate limiter needs room for at least 1, got {capacity}")
        self.limit = limit
        self._capacity = capacity
        self._buckets: OrderedDict[str, tuple[float, bool]] = OrderedDict()
        self._now = -math.inf

    def __len__(self) -> int:
        return len(self._buckets)

    def check(self, user: str, now: float) -> Verdict:
        """Take one from the bucket of ``user`` (a user id, or a room id) at ``now``, in seconds of a monotonic clock.

        An earlier ``now`` than before counts as the latest one. What is limited takes nothing from the bucket.
        """
        now = self._now = max(self._now, now)
        full_at, told = self._buckets.get(user, (now, False))
        if full_at <= now:
            full_at, told = now, False
        # It can be filled up to `per` ahead; one more must still fit.
        wait = full_at + self.limit.interval - self.limit.per - now
        if wait > _TOLERANCE:
            self._keep(user, full_at, True)
            return Limited(wait, tell=not told)
        self._keep(user, full_at + self.limit.interval, told)
        return _ALLOWED

    def _keep(self, user: str, full_at: float, told: bool) -> None:
        self._buckets[user] = (full_at, told)
        self._buckets.move_to_end(user)
        if len(self._buckets) > self._capacity:
            self._buckets.popitem(last=False)
