"""Which pairs of a request and a driver are looked at more closely: the nearest, and as many as it takes. Pure.

Each request is compared with its nearest drivers. Where many requests want the same few while others stand idle, that
is not enough: then those who would go without are compared with the nearest of those who are left, these with their
nearest requests, and everybody with some drivers farther away, so that others can move up.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from bots.domain.dispatch_near import Near, cell_of, metres_between, vectors
from bots.domain.dispatch_terms import FreeDriver, Policy, Request, Why
from bots.domain.places import EARTH_M

__all__ = ["Prefilter", "bounded"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]

TYPICAL: Final = 6.0
"""Metres a second as the crow flies, by which idle time and nearness are compared before the router is asked."""
ALL_PAIRS: Final = 40_000
"""So many pairs are looked at one by one; cells are for more."""
BACK: Final = 16
"""Requests with which a driver who is left is compared, where others would go without."""
SOME: Final = 0.15
"""Share of the drivers who are just beyond the nearest, that are compared too where others would go without."""
CHUNK: Final = 256
TINY: Final = 1e-16
TURNS: Final = 6
"""How many times it is looked farther for those who would go without."""


def bounded(seconds: Floats, most: float) -> Floats:
    """Times that count: somebody's clock may be ahead of ours, and nobody has waited for less than no time."""
    return np.asarray(np.clip(seconds, 0.0, most))


class _Edges:
    """Pairs of a request and a driver, each once."""

    def __init__(self, requests: int, drivers: int) -> None:
        self._shape = (requests, drivers)
        self._found: list[Ints] = []

    def add(self, requests: Ints, drivers: Ints) -> None:
        self._found.append(requests * self._shape[1] + drivers)

    def all(self) -> tuple[Ints, Ints]:
        """In the order of the requests, then of the drivers."""
        if not self._found:
            nothing = np.zeros(0, dtype=np.intp)
            return nothing, nothing
        both = np.sort(np.concatenate(self._found))
        first = np.ones(len(both), dtype=bool)
        first[1:] = both[1:] != both[:-1]
        both = both[first]
        self._found = [both]
        return both // self._shape[1], both % self._shape[1]

    def unmatched(self) -> tuple[Bools, Bools]:
        """Of each request whether it would go without, and of each driver whether they are left, if as many as possible
        are matched. Of those with whom nobody is compared the latter means nothing."""
        rows, columns = self.all()
        count = np.bincount(rows, minlength=self._shape[0])
        if count.min(initial=self._shape[0]) >= self._shape[0]:  # whoever comes last still finds somebody
            return np.zeros(self._shape[0], dtype=bool), np.zeros(self._shape[1], dtype=bool)
        graph = csr_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=self._shape)
        of_rows = maximum_bipartite_matching(graph, perm_type="column")
        left = np.ones(self._shape[1], dtype=bool)
        left[of_rows[of_rows >= 0]] = False
        return np.asarray(of_rows < 0), left


class Prefilter:
    """Finds the pairs."""

    def __init__(self, requests: Sequence[Request], drivers: Sequence[FreeDriver], now: float, policy: Policy) -> None:
        self._requests, self._drivers = requests, drivers
        self._policy = policy
        self._at_pickups = vectors([each.pickup for each in requests])
        self._at_stands = vectors([each.point for each in drivers])
        self._numbers = {each.person: number for number, each in enumerate(drivers)}
        self._refused = [[self._numbers[each] for each in one.declined if each in self._numbers] for one in requests]
        idle = np.array([now - each.idle_since for each in drivers])
        self._free_in = np.array([max(each.free_in, 0.0) for each in drivers])
        # What a driver costs before a metre is driven.
        self._start = self._free_in - bounded(idle, policy.idle_most) * policy.idle_weight
        # As far as one can come in the time of the cap, as the crow flies.
        self._reach = (policy.pickup_cap - self._free_in) * policy.fastest
        self._edges = _Edges(len(requests), len(drivers))
        self._width = np.zeros(len(requests))  # how far away the last of the nearest drivers is

    @cached_property
    def _pickups(self) -> Near:
        return Near([each.pickup for each in self._requests], self._policy.resolution)

    @cached_property
    def _stands(self) -> Near:
        return Near([each.point for each in self._drivers], self._policy.resolution)

    def run(self, why: dict[str, Why]) -> tuple[Ints, Ints]:
        """The numbers of the requests and drivers of all pairs; of requests that are in none, why."""
        if len(self._requests) * len(self._drivers) <= ALL_PAIRS:
            self._all_pairs(why)
        else:
            self._forward(range(len(self._requests)), np.ones(len(self._drivers), dtype=bool), why)
        alone = np.array([each.id in why for each in self._requests])  # for whom there is nobody at all
        for turn in range(TURNS):
            without, left = self._edges.unmatched()
            numbers = np.flatnonzero(without & ~alone).tolist()
            if not numbers or not left.any():
                break
            if turn == 0:
                self._farther(np.flatnonzero(~alone).tolist())
            # Those who go without look at those who are left, and these at all requests around them.
            self._forward(numbers, left, {})
            self._backward(np.flatnonzero(left).tolist())
        return self._edges.all()

    def _all_pairs(self, why: dict[str, Why]) -> None:
        """Compare requests with their nearest drivers, by looking at all: a small round is faster without cells."""
        fitting = {
            services: _fitting(self._drivers, services) for services in {each.services for each in self._requests}
        }
        fits = np.array([fitting[each.services] for each in self._requests])
        ways = metres_between(self._at_pickups[:, None], self._at_stands[None])
        usable = fits & (ways <= self._reach)
        near: Bools = np.asarray(usable.any(axis=1))
        for number, those in enumerate(self._refused):
            if those:
                usable[number, those] = False
        price = np.where(usable, ways / TYPICAL + self._start, math.inf)
        order = np.argsort(price, axis=1, kind="stable")[:, : self._policy.candidates]
        some = np.take_along_axis(usable, order, axis=1)
        rows, columns = np.nonzero(some)
        drivers = order[rows, columns]
        self._edges.add(rows, drivers)
        np.maximum.at(self._width, rows, ways[rows, drivers])
        for number in np.flatnonzero(~some.any(axis=1)).tolist():
            refused = Why.DECLINED if near[number] else Why.TOO_FAR
            why[self._requests[number].id] = refused if fits[number].any() else Why.NO_CLASS

    def _forward(self, numbers: Sequence[int], among: Bools, why: dict[str, Why]) -> None:
        """Compare requests with the nearest of some drivers."""
        groups: defaultdict[tuple[int, frozenset[str]], list[int]] = defaultdict(list)
        for number in numbers:
            one = self._requests[number]
            groups[cell_of(one.pickup, self._policy.resolution), one.services].append(number)
        wanted: dict[frozenset[str], Bools] = {}
        for (cell, services), group in groups.items():
            if services not in wanted:
                wanted[services] = _fitting(self._drivers, services) & among
            if wanted[services].any():
                self._group(cell, group, wanted[services], why)
            else:
                why.update((self._requests[each].id, Why.NO_CLASS) for each in group)

    def _group(self, cell: int, group: list[int], wanted: Bools, why: dict[str, Why]) -> None:
        """Requests of one cell and class: they look around together."""
        refused = [self._refused[number] for number in group]
        # Where many want to leave from one place, each is compared with enough drivers for all of them.
        most = max(self._policy.candidates, 2 * len(group))
        around = self._stands.around(cell, wanted, most + max(map(len, refused)))
        ways = metres_between(self._at_pickups[group][:, None], self._at_stands[around][None])
        price = ways / TYPICAL + self._start[around]
        far = ways > self._reach[around]
        price[far] = math.inf
        for row, number in enumerate(group):
            near = not bool(far[row].all())
            if refused[row]:
                price[row, np.isin(around, refused[row])] = math.inf
            best = np.argsort(price[row], kind="stable")[:most]
            best = best[np.isfinite(price[row, best])]
            if len(best):
                self._edges.add(np.full(len(best), number), around[best])
                self._width[number] = max(self._width[number], ways[row, best].max())
            else:
                why[self._requests[number].id] = Why.DECLINED if near else Why.TOO_FAR

    def _farther(self, numbers: Sequence[int]) -> None:
        """Compare requests with some drivers farther away, the fewer the farther: so that all can move up."""
        chance = np.random.default_rng(0)  # whom, is the same every time
        wanted = {
            services: _fitting(self._drivers, services) for services in {each.services for each in self._requests}
        }
        reach = np.square(2 * np.sin(np.minimum(self._reach / (2 * EARTH_M), math.pi / 2)))
        for first in range(0, len(numbers), CHUNK):
            part = numbers[first : first + CHUNK]
            # Squares of chords: as good as distances, and one product of matrices.
            ways = 2 - 2 * self._at_pickups[part] @ self._at_stands.T
            usable = (ways <= reach) & np.array([wanted[self._requests[number].services] for number in part])
            for row, number in enumerate(part):
                usable[row, self._refused[number]] = False
            # Of twice as far there are four times as many, and a quarter of them is taken.
            share = SOME * np.square(self._width[part] / EARTH_M)[:, None] / np.maximum(ways, TINY)
            rows, drivers = np.nonzero(usable & (chance.random(ways.shape) < share))
            self._edges.add(np.array(part, dtype=np.intp)[rows], drivers)

    def _backward(self, numbers: Sequence[int]) -> None:
        """Compare drivers with their nearest requests."""
        groups: defaultdict[tuple[int, frozenset[str]], list[int]] = defaultdict(list)
        for number in numbers:
            one = self._drivers[number]
            groups[cell_of(one.point, self._policy.resolution), one.services].append(number)
        refused = {(number, driver) for number, those in enumerate(self._refused) for driver in those}
        wanted: dict[frozenset[str], Bools] = {}
        for (cell, services), group in groups.items():
            if services not in wanted:
                wanted[services] = _fitting(self._requests, services)
            around = self._pickups.around(cell, wanted[services], BACK)
            if not len(around):
                continue
            ways = metres_between(self._at_stands[group][:, None], self._at_pickups[around][None])
            nearest = np.argsort(ways, axis=1, kind="stable")[:, :BACK]
            for row, number in enumerate(group):
                best = nearest[row][ways[row, nearest[row]] <= self._reach[number]]
                requests = [each for each in around[best].tolist() if (each, number) not in refused]
                if requests:
                    self._edges.add(np.array(requests, dtype=np.intp), np.full(len(requests), number))


def _fitting(these: Sequence[FreeDriver] | Sequence[Request], services: frozenset[str]) -> Bools:
    """Of each, whether one of its classes is among these."""
    fits: dict[frozenset[str], bool] = {}
    for each in these:
        if each.services not in fits:
            fits[each.services] = not each.services.isdisjoint(services)
    return np.array([fits[each.services] for each in these])
