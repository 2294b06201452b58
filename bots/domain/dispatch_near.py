"""Who is near whom: the prefilter by H3 cells. Pure arithmetic.

Drivers lie in the cells of a hexagonal grid. Around a pickup the rings of cells are looked through outwards until there
are enough drivers, and a ring further, because the nearest of the next ring may be nearer than the farthest of this
one. Distances are of unit vectors in space, so that neither poles nor the date line are special.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from h3.api import basic_int as h3

from bots.domain.places import EARTH_M, Point

__all__ = ["Near", "cell_of", "metres_between", "vectors"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

REMEMBERED: Final = 65_536
RINGS_REMEMBERED: Final = 8_192


@lru_cache(maxsize=REMEMBERED)
def _cell(latitude: float, longitude: float, resolution: int) -> int:
    return int(h3.latlng_to_cell(latitude, longitude, resolution))


def cell_of(point: Point, resolution: int) -> int:
    """The H3 cell that a point lies in."""
    return _cell(point.latitude, point.longitude, resolution)


@lru_cache(maxsize=RINGS_REMEMBERED)
def _ring(cell: int, distance: int) -> tuple[int, ...]:
    """The cells that are so many steps away. By discs, which pentagons do not disturb."""
    if distance == 0:
        return (cell,)
    return tuple(set(h3.grid_disk(cell, distance)).difference(h3.grid_disk(cell, distance - 1)))


def vectors(points: Sequence[Point]) -> Floats:
    """Points as unit vectors: an array of (points, 3)."""
    count = len(points)
    latitude = np.radians(np.fromiter((each.latitude for each in points), dtype=np.float64, count=count))
    longitude = np.radians(np.fromiter((each.longitude for each in points), dtype=np.float64, count=count))
    across = np.cos(latitude)
    return np.column_stack((across * np.cos(longitude), across * np.sin(longitude), np.sin(latitude)))


def metres_between(one: Floats, other: Floats) -> Floats:
    """Metres along the great circle between unit vectors: arrays of (…, 3) that broadcast."""
    chord = np.sqrt(np.square(one - other).sum(axis=-1))
    return np.asarray(2 * EARTH_M * np.arcsin(np.minimum(chord / 2, 1.0)))


class Near:
    """Points in the cells of a grid."""

    def __init__(self, points: Sequence[Point], resolution: int) -> None:
        self._resolution = resolution
        self.vectors = vectors(points)
        cells: defaultdict[int, list[int]] = defaultdict(list)
        for index, point in enumerate(points):
            cells[_cell(point.latitude, point.longitude, resolution)].append(index)
        self._cells = dict(cells)
        self._all: Ints = np.arange(len(points))

    def around(self, cell: int, wanted: npt.NDArray[np.bool_], least: int) -> Ints:
        """Indices of points around a cell, in order: the nearest so many of those wanted are among them.

        Args:
            wanted: of each point whether it counts.
            least: how many are enough.
        """
        found: list[int] = []
        enough = False
        distance = 0
        while True:
            # Where the rings have more cells than there are cells with points, all points are looked at instead.
            if 3 * distance * (distance + 1) + 1 > len(self._cells):
                return np.asarray(self._all[wanted], dtype=np.intp)
            for each in _ring(cell, distance):
                here = self._cells.get(each)
                if here is not None:
                    found += here
            if enough:
                indices = np.array(sorted(found), dtype=np.intp)
                return np.asarray(indices[wanted[indices]], dtype=np.intp)
            enough = len(found) >= least and int(wanted[found].sum()) >= least
            distance += 1
