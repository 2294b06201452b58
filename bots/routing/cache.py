"""What a router said lately is not asked again: by rounded coordinates and time bucket, so many answers at most."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np

from bots.domain.places import Point
from bots.routing.base import Legs, Route, Router, Table

__all__ = ["Cached"]

PLACES: Final = 4
"""Decimal places of degrees by which two places are one: some 11 m from north to south."""

_Leg = tuple[float, float, float, float, int]


class Cached:
    """A router that remembers. Routes are remembered for their whole way, tables leg by leg."""

    def __init__(self, router: Router, *, entries: int = 50_000, routes: int = 500, seconds: int = 600) -> None:
        """
        Args:
            entries: legs at most, ``routes``: routes at most; what was not needed for longest goes.
            seconds: of a time bucket: an answer holds until it ends.
        """
        if min(entries, routes, seconds) < 1:
            raise ValueError("a cache holds something, for some time")
        self._router = router
        self._entries, self._routes, self._seconds = entries, routes, seconds
        self._legs: OrderedDict[_Leg, tuple[float, float]] = OrderedDict()
        self._ways: OrderedDict[tuple[tuple[Point, ...], int], Route] = OrderedDict()
        self.name = router.name
        self.hits = self.misses = 0

    async def table(self, origins: Sequence[Point], destinations: Sequence[Point], at: datetime) -> Table:
        """From everywhere to everywhere."""
        begins = [begin for begin in origins for _ in destinations]
        ends = list(destinations) * len(origins)
        keys = self._keys(begins, ends, at)
        if all(key in self._legs for key in keys):
            legs = await self.legs(begins, ends, at)
            shape = (len(origins), len(destinations))
            return Table(legs.seconds.reshape(shape), legs.metres.reshape(shape), legs.source)
        self.misses += len(keys)
        table = await self._router.table(origins, destinations, at)
        self._keep(keys, table.seconds.ravel().tolist(), table.metres.ravel().tolist())
        return table

    async def legs(self, origins: Sequence[Point], destinations: Sequence[Point], at: datetime) -> Legs:
        """From each origin to the destination of the same number; the router is asked for those that are missing."""
        keys = self._keys(origins, destinations, at)
        found: list[tuple[float, float] | None] = []
        for key in keys:
            known = self._legs.get(key)
            if known is not None:
                self._legs.move_to_end(key)
            found.append(known)
        missing = [number for number, known in enumerate(found) if known is None]
        self.hits += len(keys) - len(missing)
        self.misses += len(missing)
        if missing:
            fresh = await self._router.legs(
                [origins[each] for each in missing], [destinations[each] for each in missing], at
            )
            seconds, metres = fresh.seconds.tolist(), fresh.metres.tolist()
            self._keep([keys[each] for each in missing], seconds, metres)
            for number, each in enumerate(missing):
                found[each] = (seconds[number], metres[number])
        whole = np.array(found, dtype=np.float64).reshape(-1, 2)
        return Legs(whole[:, 0], whole[:, 1], self.name)

    async def route(self, points: Sequence[Point], at: datetime) -> Route:
        """The way through places."""
        key = (tuple(points), self._bucket(at))
        known = self._ways.get(key)
        if known is None:
            self.misses += 1
            known = self._ways[key] = await self._router.route(points, at)
            while len(self._ways) > self._routes:
                self._ways.popitem(last=False)
        else:
            self.hits += 1
            self._ways.move_to_end(key)
        return known

    def _bucket(self, at: datetime) -> int:
        return int(at.timestamp()) // self._seconds

    def _keys(self, origins: Sequence[Point], destinations: Sequence[Point], at: datetime) -> list[_Leg]:
        bucket = self._bucket(at)
        return [
            (
                round(begin.latitude, PLACES),
                round(begin.longitude, PLACES),
                round(end.latitude, PLACES),
                round(end.longitude, PLACES),
                bucket,
            )
            for begin, end in zip(origins, destinations, strict=True)
        ]

    def _keep(self, keys: Sequence[_Leg], seconds: Sequence[float], metres: Sequence[float]) -> None:
        self._legs.update(zip(keys, zip(seconds, metres, strict=True), strict=True))
        while len(self._legs) > self._entries:
            self._legs.popitem(last=False)
