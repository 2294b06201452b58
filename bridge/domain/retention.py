"""How long messages are kept at the most: the shortest of all rules that apply. Pure; times are milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

DAY_MS: Final = 86_400_000
MOST_DAYS: Final = 36_500
SOONEST_MS: Final = 3_600_000
"""A chat is gone through once an hour at most."""
LATEST_MS: Final = DAY_MS


@dataclass(frozen=True, slots=True)
class Policy:
    """For how many days messages are kept; None: for good.

    Attributes:
        own: the chat's rule, or the workspace's when it was asked for that.
        wider: what holds without it.
    """

    own: int | None = None
    wider: int | None = None

    @property
    def days(self) -> int | None:
        """What applies."""
        return shortest(self.own, self.wider)


def shortest(*days: int | None) -> int | None:
    """The rule that applies among several: none of them keeps a message longer than another allows."""
    given = [each for each in days if each is not None]
    return min(given) if given else None


def valid_days(days: object) -> bool:
    """Whether that is a number of days that messages can be kept for."""
    return isinstance(days, int) and not isinstance(days, bool) and 1 <= days <= MOST_DAYS


def expired(timestamps: Sequence[int], before: int) -> int:
    """How many of a timeline's events, from its beginning, are older than ``before``.

    The order of a timeline says more than the times in it, which senders' servers make up: all that stands before an
    event that is old is old.

    Args:
        timestamps: of a part of it, the oldest first.
    """
    return next((place for place in range(len(timestamps), 0, -1) if timestamps[place - 1] < before), 0)


def next_look(first_kept: int | None, days: int, now: int) -> int:
    """When to go through a chat again.

    Args:
        first_kept: when the oldest message that is still kept was sent; None when there is none.
    """
    due = now + LATEST_MS if first_kept is None else first_kept + days * DAY_MS
    return min(max(due, now + SOONEST_MS), now + LATEST_MS)
