"""Surge: how many wait and how many are free, place by place, and what the price is multiplied by there.

Counted is in cells of H3 (resolution 7: about 5 km²), each together with its neighbours, so that a border between two
cells makes no border of prices; a zone of the tariff is one cell of its own. What was counted is smoothed
(``smoothing`` of the tariff's rules) and counts for two minutes: where nobody counts any more there is no surge. An
operator can set a zone's multiplier instead, up to the rules' cap and with an end; that is stored, and what is counted
is not: after a restart it is counted anew.

The multiplier that a quote was made with stands in it, with how many waited and were free
(:class:`bots.domain.fares.Surge`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import h3

from bots.commerce.hand import Hand, Reader
from bots.domain.fares import NO_SURGE, Surge, multiplier, ratio_of, smoothed
from bots.domain.places import Point
from bots.domain.tariffs import SurgeRules, Tariff
from bots.framework.clock import from_ms, to_ms
from bots.store import surges as sql

__all__ = ["Override", "SurgeBeyond", "Surges", "ZoneSurge"]

RESOLUTION: Final = 7
EVERY: Final = timedelta(seconds=15)
"""Counted is not more often: what is smoothed would follow every breath otherwise."""
FRESH: Final = timedelta(minutes=2)
READ_EVERY: Final = timedelta(seconds=5)
LONGEST: Final = timedelta(hours=24)
"""An operator's surge ends by then."""


class SurgeBeyond(ValueError):
    """An operator wants more than the tariff's cap (``cap``, in hundredths), or for too long (``cap`` 0)."""

    def __init__(self, cap: int = 0) -> None:
        super().__init__("surge beyond its cap")
        self.cap = cap


@dataclass(frozen=True, slots=True)
class Override:
    """What an operator has set for a zone ("" is everywhere else); ``until`` is aware."""

    zone: str
    multiplier: int
    until: datetime
    by: str


@dataclass(frozen=True, slots=True)
class ZoneSurge:
    """How a zone stands: the dearest of its cells, and what an operator has set."""

    zone: str
    surge: Surge
    cap: int
    override: Override | None


_Named = tuple[str, str]
"""A cell's name, and the name of its zone."""


@dataclass(slots=True)
class _Cell:
    zone: str
    ratio: int
    waiting: int
    free: int
    at: datetime


class Surges:
    """The surge of one fleet."""

    def __init__(self, bot: str, tariff: Tariff) -> None:
        """
        Args:
            bot: the plugin instance of rides.
        """
        self._bot = bot
        self._tariff = tariff
        self._cells: dict[str, _Cell] = {}
        self._counted_at: datetime | None = None
        self._overrides: dict[str, Override] = {}
        self._read_at: datetime | None = None

    # Counting

    def count(self, waiting: Iterable[Point], free: Iterable[Point], at: datetime) -> None:
        """Count who waits (pickups of trips that are searched for) and who is free (positions). Each round may: what
        comes too soon after the last count is left out.

        Args:
            at: now (aware).
        """
        if self._counted_at is not None and at - self._counted_at < EVERY:
            return
        self._counted_at = at
        wait, idle = Counter(map(self._cell, waiting)), Counter(map(self._cell, free))
        cells = {(name, cell.zone) for name, cell in self._cells.items()}
        for cell in wait:
            cells |= set(_near(cell))
        for name, zone in cells:
            near = _near((name, zone))
            self._measure(name, zone, sum(wait[each] for each in near), sum(idle[each] for each in near), at)

    def _cell(self, point: Point) -> _Named:
        """The name of the cell that a point is counted in, and its zone."""
        zone = self._tariff.zone_at(point)
        return (f"~{zone}" if zone else h3.latlng_to_cell(point.latitude, point.longitude, RESOLUTION)), zone

    def _measure(self, name: str, zone: str, waiting: int, free: int, at: datetime) -> None:
        rules, there = self._tariff.surge_at(zone), self._cells.get(name)
        before = 0 if there is None or at - there.at > FRESH else there.ratio
        ratio = smoothed(before, ratio_of(waiting, free), rules.smoothing)
        if not ratio and not waiting:
            self._cells.pop(name, None)
        else:
            self._cells[name] = _Cell(zone, ratio, waiting, free, at)

    # Reading

    async def at(self, reader: Reader, point: Point, now: datetime) -> Surge:
        """What counts for a pickup at a point."""
        await self._read(reader, now)
        return self.now(point, now)

    def now(self, point: Point | None, now: datetime) -> Surge:
        """The same by what operators had set when that was read last; without a point there is none."""
        if point is None:
            return NO_SURGE
        name, zone = self._cell(point)
        return self._of(name, zone, now)

    async def zones(self, reader: Reader, now: datetime) -> list[ZoneSurge]:
        """How each zone stands, in the order of the tariff; the last one, without a name, is everywhere else."""
        await self._read(reader, now)
        found = []
        for zone in [*(area.name for area in self._tariff.zones), ""]:
            names = [name for name, cell in self._cells.items() if cell.zone == zone] or [f"~{zone}"]
            surge = max((self._of(name, zone, now) for name in names), key=lambda each: each.multiplier)
            found.append(ZoneSurge(zone, surge, self._rules(zone).cap, self._override(zone, now)))
        return found

    def _of(self, name: str, zone: str, now: datetime) -> Surge:
        cell, rules, override = self._cells.get(name), self._rules(zone), self._override(zone, now)
        waiting, free = (0, 0) if cell is None else (cell.waiting, cell.free)
        if override is not None:
            # The tariff may have another cap since.
            number = min(override.multiplier, rules.cap)
            return Surge(number, "operator", waiting, free) if number > 100 else NO_SURGE
        if cell is None or now - cell.at > FRESH:
            return NO_SURGE
        number = multiplier(rules, cell.ratio, waiting)
        return Surge(number, "busy", waiting, free) if number > 100 else NO_SURGE

    def _rules(self, zone: str) -> SurgeRules:
        return self._tariff.surge_at(zone)

    def _override(self, zone: str, now: datetime) -> Override | None:
        found = self._overrides.get(zone)
        return found if found is not None and found.until > now else None

    async def _read(self, reader: Reader, now: datetime) -> None:
        """What operators have set, a few seconds old at most: another process may have stored it."""
        if self._read_at is not None and timedelta(0) <= now - self._read_at < READ_EVERY:
            return
        rows = await reader.query(lambda connection: sql.of_bot(connection, self._bot, to_ms(now)))
        self._overrides = {row.zone: Override(row.zone, row.multiplier, from_ms(row.until), row.person) for row in rows}
        self._read_at = now

    # Operators

    def set(self, hand: Hand, zone: str, number: int, until: datetime, by: str) -> Override:
        """An operator sets a zone's multiplier, in the commit at hand; it counts some seconds later.

        Args:
            zone: of the tariff; "" is everywhere else.
            number: in hundredths: 100 is no surge.
            until: aware.

        Raises:
            SurgeBeyond: above the cap of the zone's rules, below 100, or with an end that lies in the past or beyond a
                day.
        """
        cap = self._rules(zone).cap
        if not 100 <= number <= cap:
            raise SurgeBeyond(cap)
        if not timedelta(0) < until - hand.now() <= LONGEST:
            raise SurgeBeyond
        row = sql.OverrideRow(self._bot, zone, number, to_ms(until), by, hand.now_ms())
        hand.store(lambda connection: sql.put(connection, row))
        self._read_at = None
        return Override(zone, number, until, by)

    def release(self, hand: Hand, zone: str) -> None:
        """What is counted counts again."""
        hand.store(lambda connection: sql.drop(connection, self._bot, zone))
        self._read_at = None


def _near(cell: _Named) -> list[_Named]:
    """A cell and its neighbours; a zone has none."""
    name, zone = cell
    return [cell] if zone else [(each, "") for each in h3.grid_disk(name, 1)]
