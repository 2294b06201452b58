"""How long a round of dispatch takes, and how good it is: 2,000 requests and 2,000 free drivers at once.

In the same run, on the same travel times: the optimum of all pairs (an assignment problem over the whole matrix, with
nothing left out), the nearest pair of all first, and the nearest driver for each request in turn. A round is all of it:
the prefilter by H3 cells, the estimate of the travel times that it asks for, and the assignment.

The city is 20 km wide; requests and drivers are spread evenly, or as in a city: most of the requests in the middle, the
drivers more at its edges.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from benchmarks.common import deviation, finish, median, parser, progress, run, table
from bots.domain.dispatch import FreeDriver, Policy, Request, assign, prepare
from bots.domain.places import Point
from bots.routing.estimate import Estimate, Speeds

AT = datetime(2026, 5, 6, 12, 30, tzinfo=UTC)
NOW = AT.timestamp()
SIDE = 0.18  # degrees of latitude: 20 km
LONGER = 1.6  # a degree of longitude is so much shorter there
STANDARD = frozenset({"standard"})
ROUND_LIMIT_S = 1.0
UNDER_GREEDY = 0.25
OVER_OPTIMUM = 0.02
POLICY = Policy(pickup_cap=3600)
"""Everybody is within the cap, so that all candidates match equally many."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Quality:
    """A way to match on one layout: medians of the runs. ``of_optimum``: its mean pickup time against the optimum's;
    ``wall_s``: how long it takes, ``cpu_s``: the work in it."""

    layout: str
    name: str
    matched: int
    pickup_s: float
    of_optimum: float
    wall_s: float
    cpu_s: float
    mad: float


class _Watch:
    """Seconds since it was made: of the clock on the wall, and of the processor."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._wall, time.process_time() - self._cpu


@dataclass(frozen=True, slots=True)
class _Turn:
    matched: int
    pickup_s: float
    wall_s: float
    cpu_s: float


def _even(chance: random.Random) -> Point:
    return Point(52.40 + chance.random() * SIDE, 13.20 + chance.random() * SIDE * LONGER)


def _middle(chance: random.Random) -> Point:
    """Two thirds near the middle, the rest anywhere."""
    if chance.random() < 1 / 3:
        return _even(chance)
    spread = SIDE / 10
    return Point(52.40 + SIDE / 2 + chance.gauss(0, spread), 13.20 + (SIDE / 2 + chance.gauss(0, spread)) * LONGER)


def _made(count: int, seed: int, layout: str) -> tuple[list[Request], list[FreeDriver]]:
    chance = random.Random(seed)
    pickup = _even if layout == "even" else _middle
    stands: Callable[[random.Random], Point] = _even
    requests = [Request(f"r{n:05}", pickup(chance), _even(chance), STANDARD, NOW) for n in range(count)]
    # As in life some drivers have just brought somebody to the middle.
    drivers = [FreeDriver(f"@d{n:05}:x", (pickup if n % 2 else stands)(chance), STANDARD, NOW) for n in range(count)]
    return requests, drivers


async def _round(requests: list[Request], drivers: list[FreeDriver], router: Estimate, policy: Policy) -> _Turn:
    watch = _Watch()
    pool = prepare(requests, drivers, NOW, policy)
    legs = await router.legs(pool.origins, pool.destinations, AT)
    plan = assign(pool, legs.seconds, legs.metres, seed=1)
    took = watch.read()
    return _Turn(len(plan.matches), float(np.mean([each.seconds for each in plan.matches])), *took)


def _nearest_pair_first(seconds: Floats) -> Floats:
    """The nearest of all pairs, then the nearest of what is left."""
    rows, columns = np.zeros(seconds.shape[0], dtype=bool), np.zeros(seconds.shape[1], dtype=bool)
    taken = []
    for pair in np.argsort(seconds, axis=None, kind="stable").tolist():
        row, column = divmod(pair, seconds.shape[1])
        if not rows[row] and not columns[column]:
            rows[row] = columns[column] = True
            taken.append(seconds[row, column])
            if len(taken) == min(seconds.shape):
                break
    return np.array(taken)


def _one_after_the_other(seconds: Floats) -> Floats:
    """For each request in the order in which they came the nearest driver who is left."""
    left = seconds.copy()
    taken = []
    for row in range(len(left)):
        column = int(left[row].argmin())
        taken.append(left[row, column])
        left[:, column] = np.inf
    return np.array(taken)


def _optimum(seconds: Floats) -> Floats:
    return np.asarray(seconds[linear_sum_assignment(seconds)])


async def _measured(count: int, runs: int, layout: str) -> list[Quality]:
    router = Estimate(Speeds(UTC))
    turns: dict[str, list[_Turn]] = {}
    for number in range(runs):
        progress(f"{layout}, {count:,} by {count:,}, run {number + 1} of {runs}")
        requests, drivers = _made(count, number, layout)
        for name, policy in (("round", POLICY), ("round without time", replace(POLICY, budget=1e-9))):
            turns.setdefault(name, []).append(await _round(requests, drivers, router, policy))
        points = [each.point for each in drivers]
        watch = _Watch()
        whole = (await router.table([each.pickup for each in requests], points, AT)).seconds
        tabled = watch.read()
        others = {
            "optimum of all pairs": _optimum,
            "nearest pair first": _nearest_pair_first,
            "nearest driver, one after the other": _one_after_the_other,
        }
        for name, match in others.items():
            watch = _Watch()
            taken = match(whole)
            wall, cpu = watch.read()
            turn = _Turn(len(taken), float(taken.mean()), tabled[0] + wall, tabled[1] + cpu)
            turns.setdefault(name, []).append(turn)
    best = median([each.pickup_s for each in turns["optimum of all pairs"]])
    return [
        Quality(
            layout,
            name,
            round(median([each.matched for each in those])),
            median([each.pickup_s for each in those]),
            median([each.pickup_s for each in those]) / best,
            median([each.wall_s for each in those]),
            median([each.cpu_s for each in those]),
            deviation([each.cpu_s for each in those]),
        )
        for name, those in turns.items()
    ]


def _aims(results: list[Quality]) -> str:
    lines = []
    for layout in dict.fromkeys(each.layout for each in results):
        by = {each.name: each for each in results if each.layout == layout}
        ours, greedy = by["round"], by["nearest pair first"]
        under = 1 - ours.pickup_s / greedy.pickup_s
        said = [
            (f"a round within {ROUND_LIMIT_S:.0f} s of work", ours.cpu_s <= ROUND_LIMIT_S, f"{ours.cpu_s:.2f} s"),
            (
                f"within {OVER_OPTIMUM:.0%} of the optimum",
                ours.of_optimum <= 1 + OVER_OPTIMUM,
                f"{ours.of_optimum - 1:.2%}",
            ),
            ("as many are matched", ours.matched == by["optimum of all pairs"].matched, f"{ours.matched:,}"),
        ]
        if layout == "even":  # where one side is elsewhere than the other, the optimum itself saves less
            said.append((f"{UNDER_GREEDY:.0%} under the nearest pair first", under >= UNDER_GREEDY, f"{under:.1%}"))
        lines += [f"{layout}: {aim}: {'yes' if held else 'NO'} ({value})" for aim, held, value in said]
    return "\n".join(lines)


async def main() -> None:
    """Measure, and print a table."""
    options = parser(__doc__, 5)
    options.add_argument("--count", type=int, default=2000, help="requests, and drivers (2000)")
    chosen = options.parse_args()
    results: list[Quality] = []
    for layout in ("even", "city"):
        if not chosen.only or chosen.only in layout:
            results += await _measured(chosen.count, chosen.runs, layout)
        await asyncio.sleep(0)
    rows = [
        (
            f"{each.layout}: {each.name}",
            f"{each.matched:,}",
            f"{each.pickup_s:.1f}",
            f"{each.of_optimum:.3f}",
            f"{each.wall_s:.2f}",
            f"{each.cpu_s:.2f}",
            f"{each.mad:.2f}",
        )
        for each in results
    ]
    head = ("", "matched", "mean pickup s", "of the optimum", "wall s", "work s", "MAD")
    title = f"{chosen.count:,} requests and {chosen.count:,} free drivers, medians of {chosen.runs} runs"
    finish(chosen.json, results, table(title, head, rows) + "\n\n" + _aims(results))


if __name__ == "__main__":
    run(main())
