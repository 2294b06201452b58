"""A round of dispatch: which waiting trips are offered to which free drivers. Pure.

A round has two halves, between which whoever runs it asks the router:

>>> pool = prepare(requests, drivers, now, policy)                     # who could come at all: a prefilter by H3 cells
>>> legs = await router.legs(pool.origins, pool.destinations, at)      # how long each of them would take
>>> plan = assign(pool, legs.seconds, legs.metres, seed=7)             # who is asked

Who comes is a minimum-cost assignment. What is minimised is seconds of driving to the pickups, from which a request's
waiting time and a driver's idle time are subtracted with weights (:class:`Policy`), so that nobody waits for ever
because somebody else is always a little nearer. As many requests as possible get a driver, those of higher priority
first. The same input with the same seed gives the same plan, whatever the order of the input.

Times are seconds on one clock (the epoch's), distances are metres.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from bots.domain import dispatch_batching as batching
from bots.domain.dispatch_batching import Batch
from bots.domain.dispatch_matching import solve
from bots.domain.dispatch_prefilter import Prefilter, bounded
from bots.domain.dispatch_terms import (
    DEFAULT,
    FreeDriver,
    Match,
    Plan,
    Policy,
    Request,
    Why,
    offer_deadline,
    request_of,
    search_from,
    search_over,
    wave_size,
)
from bots.domain.places import Point

__all__ = [
    "DEFAULT",
    "FreeDriver",
    "Match",
    "Plan",
    "Policy",
    "Pool",
    "Request",
    "Why",
    "assign",
    "offer_deadline",
    "prepare",
    "request_of",
    "search_from",
    "search_over",
    "wave_size",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

EARLY: Final = 0.8
"""How much of the time that a driver would wait at a pickup counts as driving: they could drive elsewhere meanwhile."""


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """A prepared round.

    Attributes:
        origins, destinations: from where to where the router is to be asked, leg by leg: equally many.
        requests: those for whom somebody may come; ``drivers``: all.
        of_request, of_driver: of each pair of them, the numbers; their legs come first.
        pairs: numbers of requests that may be brought in one go; their legs follow.
        unmatched: of those for whom nobody can come, why.
    """

    origins: Sequence[Point]
    destinations: Sequence[Point]
    requests: tuple[Request, ...]
    drivers: tuple[FreeDriver, ...]
    of_request: Ints
    of_driver: Ints
    pairs: tuple[tuple[int, int], ...]
    unmatched: Mapping[str, Why]
    now: float
    policy: Policy


def prepare(
    requests: Collection[Request], drivers: Collection[FreeDriver], now: float, policy: Policy = DEFAULT
) -> Pool:
    """The first half of a round: who could come for whom, by class, earlier refusals and distance.

    Args:
        requests: all that wait, without those that have an open offer.
        drivers: all that are free, without those that have an open offer.
        now: the time.

    Raises:
        ValueError: two requests have one id, or two drivers.
    """
    # Of drivers in one place who waits longest is nearest; ids make it the same whatever the order of the input.
    those = sorted(drivers, key=lambda each: (each.idle_since, each.person))
    waiting = sorted(requests, key=lambda each: each.id)
    if len({each.person for each in those}) < len(those) or len({each.id for each in waiting}) < len(waiting):
        raise ValueError("a request and a driver take part in a round once")
    why: dict[str, Why] = {}
    open_ones = []
    for each in waiting:
        if search_over(each, now, policy):
            why[each.id] = Why.TIME_OVER
        elif not those:
            why[each.id] = Why.NOBODY
        else:
            open_ones.append(each)
    of_request = of_driver = np.zeros(0, dtype=np.intp)
    if open_ones:
        of_request, of_driver = Prefilter(open_ones, those, now, policy).run(why)
    has = np.bincount(of_request, minlength=len(open_ones)) > 0
    kept = [each for each, some in zip(open_ones, has.tolist(), strict=True) if some]
    of_request = (np.cumsum(has) - 1)[of_request]
    origins = [those[driver].point for driver in of_driver.tolist()]
    destinations = [kept[request].pickup for request in of_request.tolist()]
    pairs = batching.pairs(kept, policy)
    for one, other in pairs:
        begins, ends = batching.legs_of(kept[one], kept[other])
        origins += begins
        destinations += ends
    return Pool(origins, destinations, tuple(kept), tuple(those), of_request, of_driver, tuple(pairs), why, now, policy)


def assign(
    pool: Pool, seconds: Floats, metres: Floats, *, seed: int = 0, clock: Callable[[], float] | None = None
) -> Plan:
    """The second half of a round: who is asked.

    Args:
        seconds: of each leg of the pool; infinite or not a number: there is no way. ``metres``: likewise.
        seed: breaks ties.
        clock: seconds of a monotonic clock, against the policy's budget; None: only the estimate of the work counts.

    Raises:
        ValueError: not as many as the pool has legs.
    """
    if not len(seconds) == len(metres) == len(pool.origins):
        raise ValueError(f"the pool has {len(pool.origins)} legs")
    return _Round(pool, np.asarray(seconds, dtype=np.float64), np.asarray(metres, dtype=np.float64), seed, clock).plan()


class _Round:
    """The second half of a round, as it is worked out."""

    def __init__(
        self, pool: Pool, seconds: Floats, metres: Floats, seed: int, clock: Callable[[], float] | None
    ) -> None:
        self._pool = pool
        self._policy = policy = pool.policy
        count = len(pool.of_request)
        free_in = np.array([max(each.free_in, 0.0) for each in pool.drivers])
        self._seconds = seconds[:count] + free_in[pool.of_driver]
        self._metres = metres[:count]
        self._pair_seconds = seconds[count:].reshape(-1, batching.LEGS)
        self._clock = clock
        self._began = clock() if clock is not None else 0.0
        self._keys = [_key(seed, each.id) for each in pool.requests]
        self._rank_requests = _ranks([(key, each.id) for key, each in zip(self._keys, pool.requests, strict=True)])
        self._rank_drivers = _driver_ranks(pool, seed)
        # Not a number is not within the cap either.
        self._usable = (self._seconds >= 0) & (self._seconds <= policy.pickup_cap)
        self._price = self._prices()
        self._worth = self._worths()
        self._free = np.ones(len(pool.drivers), dtype=bool)
        self._greedy = self._components = 0
        self._matches: dict[str, list[Match]] = {}

    def _prices(self) -> Floats:
        """Of each pair, what it costs: driving, less what the driver's idleness outweighs."""
        pool, policy = self._pool, self._policy
        idle = np.array([pool.now - each.idle_since for each in pool.drivers])
        bonus = bounded(idle, policy.idle_most) * policy.idle_weight
        ready = np.array([0.0 if each.ready is None else each.ready - pool.now for each in pool.requests])
        early = np.maximum(ready[pool.of_request] - self._seconds, 0.0)
        return np.asarray(self._seconds + EARLY * early - bonus[pool.of_driver])

    def _worths(self) -> Floats:
        """Of each request, what it is worth to serve it."""
        policy = self._policy
        waited = np.array([self._pool.now - each.since for each in self._pool.requests])
        priority = np.array([max(each.priority, 0) for each in self._pool.requests])
        # Beyond some times it makes no difference, and sums stay exact.
        lifted = np.minimum(priority, 8) * policy.first
        worth = policy.unserved + lifted + bounded(waited, policy.waiting_most) * policy.waiting_weight
        return np.asarray(worth)

    def plan(self) -> Plan:
        pool = self._pool
        chosen = batching.batches(
            pool.pairs, pool.requests, self._pair_seconds, pool.now, self._policy, self._rank_requests.tolist()
        )
        paired = {number for batch in chosen for number in batch.pickups}
        alone = np.array([number not in paired for number in range(len(pool.requests))], dtype=bool)
        self._main(alone, chosen)
        if chosen:  # two for whom nobody comes in one go may still be brought one by one
            left = np.array([number in paired and not self._has(number) for number in range(len(pool.requests))])
            self._main(left, [])
        self._backups()
        matches = [each for _, those in sorted(self._matches.items()) for each in those]
        served = {request for each in matches for request in each.requests}
        why = dict(pool.unmatched)
        for number, each in enumerate(pool.requests):
            if each.id not in served:
                near = bool(self._usable[pool.of_request == number].any())
                why[each.id] = Why.TAKEN if near else Why.TOO_FAR
        return Plan(tuple(matches), why, self._greedy, len(pool.of_request), self._components)

    def _has(self, number: int) -> bool:
        return self._pool.requests[number].id in self._matches

    def _main(self, alone: npt.NDArray[np.bool_], chosen: Sequence[Batch]) -> None:
        """Match requests that go alone, and batches, with drivers who are still free."""
        pool = self._pool
        count = len(pool.requests)
        good = np.flatnonzero(self._usable & self._free[pool.of_driver] & alone[pool.of_request])
        edges, rows = [good], [self._rank_requests[pool.of_request[good]]]
        costs = [self._price[good] - self._worth[pool.of_request[good]]]
        for number, batch in enumerate(chosen):
            of_batch = self._edges_of(batch)
            worth = float(self._worth[list(batch.pickups)].sum())
            edges.append(of_batch)
            rows.append(np.full(len(of_batch), count + number))
            costs.append(self._price[of_batch] - worth)
        found = self._solve(np.concatenate(edges), np.concatenate(rows), np.concatenate(costs), count + len(chosen))
        unranked = np.argsort(self._rank_requests)
        for row, edge in found.items():
            if row < count:
                self._matched((int(unranked[row]),), (int(unranked[row]),), edge)
            else:
                self._matched(chosen[row - count].pickups, chosen[row - count].dropoffs, edge)

    def _edges_of(self, batch: Batch) -> Ints:
        """The pairs of its first pickup with drivers who may bring the second one too, and come early enough."""
        pool = self._pool
        second = pool.requests[batch.pickups[1]]
        edges = np.flatnonzero((pool.of_request == batch.pickups[0]) & self._usable & (self._seconds <= batch.slack))
        fits = []
        for edge in edges.tolist():
            driver = pool.drivers[pool.of_driver[edge]]
            fits.append(not driver.services.isdisjoint(second.services) and driver.person not in second.declined)
        return np.asarray(edges[np.array(fits, dtype=bool)], dtype=np.intp)

    def _backups(self) -> None:
        """Who is asked besides the best one, in waves of several."""
        pool, policy = self._pool, self._policy
        if max(policy.wave_sizes) == 1:
            return
        size = np.array([wave_size(policy, each.waves) if self._single(each) else 0 for each in pool.requests])
        for further in range(1, max(policy.wave_sizes)):
            asks = size > further
            good = np.flatnonzero(self._usable & self._free[pool.of_driver] & asks[pool.of_request])
            rows = self._rank_requests[pool.of_request[good]]
            costs = self._price[good] - self._worth[pool.of_request[good]]
            unranked = np.argsort(self._rank_requests)
            for row, edge in self._solve(good, rows, costs, len(pool.requests)).items():
                self._matched((int(unranked[row]),), (int(unranked[row]),), edge, backup=True)

    def _single(self, request: Request) -> bool:
        """Whether it is matched by itself: what is brought in one go has one courier to wait for."""
        those = self._matches.get(request.id, [])
        return bool(those) and len(those[0].requests) == 1

    def _solve(self, edges: Ints, rows: Ints, costs: Floats, count: int) -> dict[int, int]:
        """Of each row that gets a driver, the edge."""
        columns = self._rank_drivers[self._pool.of_driver[edges]]
        order = np.lexsort((columns, rows))
        edges, rows, columns, costs = edges[order], rows[order], columns[order], costs[order]
        left = self._policy.budget - ((self._clock() - self._began) if self._clock is not None else 0.0)
        shape = (count, len(self._pool.drivers))
        solution = solve(rows, columns, costs, shape, budget=left, clock=self._clock)
        self._greedy += solution.greedy
        self._components += solution.components
        hits = np.flatnonzero(solution.columns[rows] == columns)
        return dict(zip(rows[hits].tolist(), edges[hits].tolist(), strict=True))

    def _matched(self, pickups: tuple[int, ...], dropoffs: tuple[int, ...], edge: int, *, backup: bool = False) -> None:
        pool = self._pool
        driver = int(pool.of_driver[edge])
        self._free[driver] = False
        requests = tuple(pool.requests[each].id for each in pickups)
        ends = tuple(pool.requests[each].id for each in dropoffs)
        match = Match(
            requests, pool.drivers[driver].person, float(self._seconds[edge]), float(self._metres[edge]), ends, backup
        )
        for each in requests:
            self._matches.setdefault(each, [])
        self._matches[requests[0]].append(match)


def _key(seed: int, name: str) -> int:
    """A number that has nothing to do with the name's place in the alphabet, another one for each seed."""
    return zlib.crc32(name.encode(), seed & 0xFFFFFFFF)


def _ranks(keys: Sequence[tuple[int, str]]) -> Ints:
    """Of each key, its place in their order."""
    ranks = np.empty(len(keys), dtype=np.intp)
    ranks[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return ranks


def _driver_ranks(pool: Pool, seed: int) -> Ints:
    """Of each driver of the pool's pairs a place in an order that the seed makes; of the others none that matters."""
    ranks = np.full(len(pool.drivers), -1, dtype=np.intp)
    used = np.unique(pool.of_driver)
    names = [pool.drivers[number].person for number in used.tolist()]
    ranks[used] = _ranks([(_key(seed, name), name) for name in names])
    return ranks
