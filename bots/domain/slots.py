"""When something can be wanted: the times of a merchant's opening hours that are offered. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from bots.domain.opening import Hours

__all__ = ["AHEAD", "LOOKED_AT", "open_then", "slots_of"]

AHEAD: Final = timedelta(days=7)
"""Further ahead nothing is ordered."""
LOOKED_AT: Final = 2_000
"""Steps until the search is given up: hours that hardly overlap."""


def open_then(hours: Sequence[Hours], at: datetime) -> bool:
    """Whether all are open at a moment (aware)."""
    return all(each.open_at(at) for each in hours)


def slots_of(hours: Sequence[Hours], now: datetime, *, lead: timedelta, step: timedelta, limit: int) -> list[datetime]:
    """The next times at which all are open.

    Args:
        hours: of every merchant who is to deliver then.
        now: aware.
        lead: so long from now at least: it has to be made.
        step: between two of them; they lie on its multiples, counted from midnight UTC.
        limit: so many at most.

    Returns:
        In order, UTC.
    """
    first, size = now + lead, step // timedelta(seconds=1)
    seconds = -(-int(first.timestamp() * 1000) // (size * 1000)) * size
    at = datetime.fromtimestamp(seconds, UTC)
    found: list[datetime] = []
    for _each in range(LOOKED_AT):
        if len(found) >= limit or at > now + AHEAD:
            break
        if open_then(hours, at):
            found.append(at)
        at += step
    return found
