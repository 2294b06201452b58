"""Where drivers are: in memory, written down in bulk each second.

A position from the future is taken as of now: clocks of telephones go wrong. One that is older than what is known is
left out. One that nobody could have driven to (500 km in a second) is not believed, but kept: when the next one says
the same, it was the earlier ones that were wrong.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from appservice.clock import from_ms
from bots.domain.drivers import DriverState, Position
from bots.domain.places import distance_m
from bots.store import drivers as driver_sql
from bots.store import positions as sql
from bots.store.positions import PositionRow

if TYPE_CHECKING:
    from bots.fleet.fleet import Fleet

__all__ = ["Heard", "Positions", "Seen"]

log = logging.getLogger(__name__)

FASTEST: Final = 70.0
"""Metres a second that no car exceeds for long (252 km/h)."""
BLUR_M: Final = 500.0
"""So far a position is off every now and then, however sure of itself it is."""
TRAIL_MOST: Final = 120
TRAIL_M: Final = 30.0
TRAIL_MS: Final = 15_000
"""A trail has a point for each so many metres, or so much time."""
KEPT: Final = timedelta(hours=12)
"""Of whom nothing was heard for so long is forgotten."""
PURGE_MS: Final = 60_000


class Heard(StrEnum):
    """What became of a position."""

    TAKEN = "taken"
    OLD = "old"
    """It is older than what is known already."""
    JUMPED = "jumped"
    """Nobody gets there so fast: it is believed when the next one says the same."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Where somebody is.

    Attributes:
        position: the last one that is believed.
        heard_at: ms, by our clock.
        doubtful: a later one was not believed.
    """

    position: Position
    heard_at: int
    doubtful: bool = False


@dataclass(slots=True)
class _Track:
    seen: Seen
    doubted: Position | None = None
    trail: deque[Position] = field(default_factory=lambda: deque(maxlen=TRAIL_MOST))
    extended_at: int = 0
    """When it was written that they are online still (ms)."""


class Positions:
    """The positions of a fleet. No handler is needed: it may be called from anywhere in the loop."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._tracks: dict[str, _Track] = {}
        self._dirty: set[str] = set()
        self._gone: set[str] = set()
        self._purged_at = 0

    def update(self, person: str, position: Position) -> Heard:
        """A position was heard, measured at ``position.at``: one from the future is taken as of now."""
        now_ms = self.fleet.trade.clock.now_ms()
        now = from_ms(now_ms)
        if position.at > now:
            position = replace(position, at=now)
        track = self._tracks.get(person)
        if track is None:
            track = self._tracks[person] = _Track(Seen(position, now_ms))
            track.trail.append(position)
            self._gone.discard(person)
            self._dirty.add(person)
            return Heard.TAKEN
        last = track.seen.position
        if position.at <= last.at:
            return Heard.OLD
        if not _within_reach(last, position) and not (
            track.doubted is not None and position.at > track.doubted.at and _within_reach(track.doubted, position)
        ):
            track.doubted = position
            track.seen = replace(track.seen, heard_at=now_ms, doubtful=True)
            self._dirty.add(person)
            return Heard.JUMPED
        track.doubted = None
        track.seen = Seen(position, now_ms)
        trail = track.trail
        if (
            not trail
            or (position.at - trail[-1].at) // timedelta(milliseconds=1) >= TRAIL_MS
            or distance_m(trail[-1].point, position.point) >= TRAIL_M
        ):
            trail.append(position)
        self._dirty.add(person)
        return Heard.TAKEN

    def last(self, person: str) -> Seen | None:
        """Where somebody is, or was last seen; None: that is not known."""
        track = self._tracks.get(person)
        return None if track is None else track.seen

    def forget(self, person: str) -> None:
        """They want to be known no more."""
        if self._tracks.pop(person, None) is not None:
            self._dirty.discard(person)
            self._gone.add(person)

    def trail(self, person: str) -> list[Position]:
        """Where they were in the last minutes, the oldest first, thinned."""
        track = self._tracks.get(person)
        return [] if track is None else list(track.trail)

    def everybody(self) -> Iterable[tuple[str, Seen]]:
        """All that are known, for the board."""
        return [(person, track.seen) for person, track in self._tracks.items()]

    # By the fleet, in the background

    async def load(self) -> None:
        """What was known before a restart.

        Raises:
            DatabaseError: it cannot be read now.
        """
        since = self.fleet.trade.clock.now_ms() - KEPT // timedelta(milliseconds=1)
        rows = await self.fleet.trade.database.read(lambda connection: sql.load(connection, self.fleet.name, since))
        for row in rows:
            if row.person not in self._tracks and row.person not in self._gone:
                position = self.fleet.book.position(row)
                track = self._tracks[row.person] = _Track(Seen(position, row.heard_at))
                track.trail.append(position)

    async def write(self) -> int:
        """Write down what has changed; how many positions. What fails is tried again with the next.

        Raises:
            DatabaseError: it cannot be written now.
        """
        self._purge()
        dirty, gone = self._dirty, self._gone
        if not dirty and not gone:
            return 0
        self._dirty, self._gone = set(), set()
        seen = [(person, track.seen) for person in dirty if (track := self._tracks.get(person)) is not None]
        online = self._online(dirty)
        until = self.fleet.trade.clock.now_ms() + self.fleet.terms.silent // timedelta(milliseconds=1)
        states = [DriverState.ONLINE.value, DriverState.BREAK.value]
        name = self.fleet.name
        try:
            # Thousands of seals take a while: not in the loop.
            rows = await asyncio.to_thread(self._rows, seen)

            def store(connection: Connection) -> None:
                sql.put(connection, rows)
                sql.forget(connection, name, sorted(gone))
                driver_sql.heard(connection, name, online, states, until)

            await self.fleet.trade.database.write(store)
        except BaseException:
            self._dirty |= dirty & self._tracks.keys()
            self._gone |= gone - self._tracks.keys()
            for person in online:
                if person in self._tracks:
                    self._tracks[person].extended_at = 0
            raise
        return len(rows)

    def _rows(self, seen: list[tuple[str, Seen]]) -> list[PositionRow]:
        make = self.fleet.book.position_row
        # In one order: two that write the same rows do not wait for each other for ever.
        return [make(person, each.position, each.heard_at) for person, each in sorted(seen, key=lambda each: each[0])]

    def _online(self, dirty: set[str]) -> list[str]:
        """Who is to stay online: written now and then, not each second."""
        now, every = self.fleet.trade.clock.now_ms(), self.fleet.terms.silent // timedelta(milliseconds=4)
        found = []
        for person in sorted(dirty):
            track = self._tracks.get(person)
            if track is not None and now - track.extended_at >= every:
                track.extended_at = now
                found.append(person)
        return found

    def _purge(self) -> None:
        now = self.fleet.trade.clock.now_ms()
        if now - self._purged_at < PURGE_MS:
            return
        self._purged_at = now
        before = now - KEPT // timedelta(milliseconds=1)
        for person in [each for each, track in self._tracks.items() if track.seen.heard_at < before]:
            self.forget(person)


def _within_reach(here: Position, there: Position) -> bool:
    """Whether somebody could have driven from one place to another in the time between."""
    metres = distance_m(here.point, there.point) - BLUR_M - (here.accuracy_m or 0.0) - (there.accuracy_m or 0.0)
    return metres <= FASTEST * (there.at - here.at).total_seconds()
