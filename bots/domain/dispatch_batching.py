"""Two orders that one courier brings in one go, when both stay in time. Pure.

Both are picked up first, in either order, and then handed over in either order. A pair is worth it when the way is
shorter by the policy's saving than the two ways alone, neither is with the courier much longer than alone, and both
arrive in time; the time that is left over is what a courier may need to the first pickup.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from bots.domain.dispatch_near import metres_between, vectors
from bots.domain.dispatch_terms import Policy, Request
from bots.domain.places import Point

__all__ = ["LEGS", "Batch", "batches", "legs_of", "pairs"]

Floats = npt.NDArray[np.float64]

LEGS: Final = 8
"""Of a pair, the ways that are asked for: :func:`legs_of`."""
PARTNERS: Final = 6
"""A request is tried with so many others: those with whom it saves most as the crow flies."""
_P1, _P2, _D1, _D2 = range(4)
_WAYS: Final = (
    (_P1, _P2), (_P2, _P1), (_P1, _D1), (_P1, _D2), (_P2, _D1), (_P2, _D2), (_D1, _D2), (_D2, _D1),
)  # fmt: skip
_NUMBER: Final = {way: number for number, way in enumerate(_WAYS)}
_ORDERS: Final = tuple(
    (first, second, drop, last) for first, second in ((0, 1), (1, 0)) for drop, last in ((0, 1), (1, 0))
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Two requests in one go: their numbers in the order of the pickups and of the drop-offs.

    Attributes:
        slack: seconds that the courier may need to the first pickup.
        saving: seconds of driving less than one by one.
    """

    pickups: tuple[int, int]
    dropoffs: tuple[int, int]
    slack: float
    saving: float


def pairs(requests: Sequence[Request], policy: Policy) -> list[tuple[int, int]]:
    """Which of the requests are worth a closer look together: numbers, the smaller one first."""
    able = [number for number, each in enumerate(requests) if each.batchable]
    if len(able) < 2:
        return []
    pickups, dropoffs = vectors([requests[n].pickup for n in able]), vectors([requests[n].dropoff for n in able])
    alone = metres_between(pickups, dropoffs)
    apart = metres_between(pickups[:, None], pickups[None])
    drops = metres_between(dropoffs[:, None], dropoffs[None])
    across = metres_between(pickups[:, None], dropoffs[None])  # from the pickup of one to the drop-off of another
    # From the second pickup to its own drop-off and on to the other one, or the other way round.
    rest = drops + np.minimum(alone[None, :], across.T)
    saving = alone[:, None] + alone[None, :] - apart - rest
    saving = np.maximum(saving, saving.T)
    saving[apart > policy.batch_reach] = -math.inf
    np.fill_diagonal(saving, -math.inf)
    found: set[tuple[int, int]] = set()
    for one, row in enumerate(saving):
        for other in np.argsort(-row, kind="stable")[:PARTNERS].tolist():
            if row[other] <= 0:
                break
            first, second = sorted((able[one], able[other]))
            if not requests[first].services.isdisjoint(requests[second].services):
                found.add((first, second))
    return sorted(found)


def legs_of(one: Request, other: Request) -> tuple[list[Point], list[Point]]:
    """From where and to where the ways of a pair are asked for: :data:`LEGS` of them."""
    places = (one.pickup, other.pickup, one.dropoff, other.dropoff)
    return [places[begin] for begin, _ in _WAYS], [places[end] for _, end in _WAYS]


def batches(
    found: Sequence[tuple[int, int]],
    requests: Sequence[Request],
    seconds: Floats,
    now: float,
    policy: Policy,
    keys: Sequence[int],
) -> list[Batch]:
    """The pairs that are brought together: each request in one at most, those first that save most.

    Args:
        found: of :func:`pairs`.
        seconds: of the legs of each pair: an array of (pairs, LEGS).
        keys: of each request, for ties.
    """
    good: list[tuple[float, int, int, Batch]] = []
    for pair, ways in zip(found, seconds.tolist(), strict=True):
        batch = _best(pair, requests, ways, now, policy)
        if batch is not None:
            good.append((-batch.saving, keys[pair[0]], keys[pair[1]], batch))
    good.sort(key=lambda each: each[:3])
    used: set[int] = set()
    chosen = []
    for *_, batch in good:
        if used.isdisjoint(batch.pickups):
            used.update(batch.pickups)
            chosen.append(batch)
    return chosen


def _best(
    pair: tuple[int, int], requests: Sequence[Request], ways: Sequence[float], now: float, policy: Policy
) -> Batch | None:
    """The order of a pair that saves most and leaves everybody in time; None: there is none."""
    best: Batch | None = None
    for first, second, drop, last in _ORDERS:
        between = ways[_NUMBER[first, second]]
        to_drop, to_last = ways[_NUMBER[second, 2 + drop]], ways[_NUMBER[2 + drop, 2 + last]]
        alone = [ways[_NUMBER[_P1, _D1]], ways[_NUMBER[_P2, _D2]]]
        saving = sum(alone) - between - to_drop - to_last
        # Not a number, or infinite, is no way: it fulfils neither.
        if not (saving >= policy.batch_saving and math.isfinite(saving)) or (best and saving <= best.saving):
            continue
        x, y = requests[pair[first]], requests[pair[second]]
        leaves_x = max(now, x.ready or now) + policy.stop_seconds
        leaves_y = max(leaves_x + between, y.ready or now) + policy.stop_seconds
        dropped = {drop: leaves_y + to_drop, last: leaves_y + to_drop + policy.stop_seconds + to_last}
        longest = max(dropped[first] - leaves_x - alone[first], dropped[second] - leaves_y - alone[second])
        slack = _slack(pair, requests, (first, second, drop, last), (between, to_drop, to_last), policy) - now
        if longest > policy.batch_detour or slack < 0:
            continue
        best = Batch((pair[first], pair[second]), (pair[drop], pair[last]), slack, saving)
    return best


def _slack(
    pair: tuple[int, int],
    requests: Sequence[Request],
    order: tuple[int, int, int, int],
    ways: tuple[float, float, float],
    policy: Policy,
) -> float:
    """When the courier has to be at the first pickup at the latest; −infinite: it cannot be done in time."""
    first, second, drop, last = (requests[pair[each]] for each in order)
    between, to_drop, to_last = ways
    leave = min(
        math.inf if drop.latest is None else drop.latest - to_drop,
        math.inf if last.latest is None else last.latest - to_drop - policy.stop_seconds - to_last,
    )
    leave -= policy.stop_seconds
    if second.ready is not None and second.ready > leave:
        return -math.inf
    leave -= between + policy.stop_seconds
    if first.ready is not None and first.ready > leave:
        return -math.inf
    return leave
