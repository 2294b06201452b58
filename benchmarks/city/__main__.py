"""A city day through the real dispatcher and the real state machines, with a virtual clock.

Riders ask by the hour, cars have drivers who change, rest, decline, do not answer, or cancel on the way; riders lose
patience, change their minds, or do not come. Rounds of dispatch are run every few seconds while somebody waits, with
the policy that Rialto has by default; travel times are the built-in estimate's. One process on one core.

With ``--calm`` cars and riders behave as in the published simulations: nobody declines, cancels or rests. Those share
rides; here each car has one party at a time, so as many cars cannot bring as many people. The bound that is printed
says how many they could bring if not a metre were driven empty.
"""

from __future__ import annotations

import os

# Before numpy is loaded: one core is what is claimed.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections import Counter  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

from benchmarks.city.day import Day, Ended  # noqa: E402
from benchmarks.city.pictures import CANCELLED, course, map_of  # noqa: E402
from benchmarks.city.world import BEHAVIOUR, CALM, DAY, City  # noqa: E402
from benchmarks.common import finish, progress, table  # noqa: E402
from bots.domain.dispatch import DEFAULT  # noqa: E402
from bots.domain.trips import TripState  # noqa: E402

FASTER = 50.0
PUBLISHED = (
    ("Alonso-Mora 2017, shared, 2,000 cars of 10 seats", "98 %", "168", "", ""),
    ("the same, 3,000 cars of 4 seats", "98 %", "168", "", ""),
    ("open AMoD code, shared, 2,000 cars of 4 seats", "96.2 %", "147", "", ""),
    ("the same, one request after the other", "94 %", "147", "", ""),
    ("open AMoD2 code, shared, 2,000 cars of 6 seats", "92.9 %", "134", "", "90"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a day came to. Shares are from 0 to 1, times seconds, computing milliseconds.

    Attributes:
        served: of all requests, brought to their end.
        wanted: the same of those whose riders did not cancel, and came.
        bound: of all requests, as many as the cars could bring without driving empty.
        wait: from the request until the car is there; ``pickup``: the car's way there.
        busy: share of the cars' time with a rider; ``driving_empty``: to pickups.
        faster: than real time, by the processor's time; ``faster_wall``: by the clock on the wall.
    """

    name: str
    cars: int
    requests: int
    served: float
    wanted: float
    bound: float
    cancelled: float
    wait_mean: float
    wait_p50: float
    wait_p95: float
    pickup_mean: float
    pickup_p50: float
    pickup_p95: float
    way_mean: float
    offers: float
    busy: float
    driving_empty: float
    rounds: int
    round_mean_ms: float
    round_p95_ms: float
    round_max_ms: float
    greedy: int
    seconds: float
    faster: float
    faster_wall: float
    states: dict[str, int]


def _summed(day: Day, name: str, cars: int, until: float, cpu: float, wall: float) -> Result:
    ended = day.ended
    states = Counter(each.state for each in ended)
    cancelled = sum(states[each] for each in CANCELLED)
    came = [each for each in ended if each.arrived is not None]
    waits = _three([each.arrived - each.asked for each in came if each.arrived is not None])
    drives = _three([each.driven_s for each in came if each.driven_s is not None])
    rounds = np.array([took for *_, took in day.rounds] or [0.0]) * 1000
    ticks = [each for each in day.ticks if each.at <= until]
    car_ticks = max(len(ticks) * cars, 1)
    return Result(
        name=name,
        cars=cars,
        requests=len(ended),
        served=states[TripState.COMPLETED] / len(ended),
        wanted=states[TripState.COMPLETED] / max(len(ended) - cancelled, 1),
        bound=_bound(ended, cars, until),
        cancelled=cancelled / len(ended),
        wait_mean=waits[0],
        wait_p50=waits[1],
        wait_p95=waits[2],
        pickup_mean=drives[0],
        pickup_p50=drives[1],
        pickup_p95=drives[2],
        way_mean=float(np.mean([each.way_s for each in ended])),
        offers=sum(each.offers for each in ended) / max(len(came), 1),
        busy=sum(each.with_rider for each in ticks) / car_ticks,
        driving_empty=sum(each.to_pickup for each in ticks) / car_ticks,
        rounds=len(day.rounds),
        round_mean_ms=float(rounds.mean()),
        round_p95_ms=float(np.percentile(rounds, 95)),
        round_max_ms=float(rounds.max()),
        greedy=day.greedy,
        seconds=cpu,
        faster=until / cpu,
        faster_wall=until / wall,
        states={state.value: count for state, count in sorted(states.items())},
    )


def _three(values: list[float]) -> tuple[float, float, float]:
    """Mean, median, and what 95 of 100 do not exceed."""
    if not values:
        return 0.0, 0.0, 0.0
    return float(np.mean(values)), float(np.percentile(values, 50)), float(np.percentile(values, 95))


def _bound(ended: list[Ended], cars: int, until: float) -> float:
    """Hour by hour: what is asked for, or as much of it as the cars' time allows."""
    hours = Counter(int(each.asked // 3600) for each in ended)
    mean = float(np.mean([each.way_s for each in ended]))
    of_an_hour = cars * min(until, 3600.0) / mean
    return sum(min(count, of_an_hour) for count in hours.values()) / len(ended)


def _text(results: list[Result]) -> str:
    rows: list[tuple[str, ...]] = []
    for each in results:
        name = f"{each.name}, {each.cars:,} cars, {each.requests:,} requests"
        rows.append(
            (name, f"{each.served:.1%}", f"{each.wait_mean:.0f}", f"{each.bound:.1%}", f"{each.round_mean_ms:.0f}")
        )
    head = ("", "served", "mean wait s", "bound", "ms a round")
    parts = [table("Beside what is published", head, [*rows, *PUBLISHED])]
    for each in results:
        details = [
            ("completed, of all requests", f"{each.served:.1%}"),
            ("completed, of those that were not cancelled or missed", f"{each.wanted:.1%}"),
            ("could be served if nobody drove empty", f"{each.bound:.1%}"),
            ("cancelled or missed", f"{each.cancelled:.1%}"),
            ("wait until the car is there: mean, p50, p95", _seconds(each.wait_mean, each.wait_p50, each.wait_p95)),
            ("the car's way there: mean, p50, p95", _seconds(each.pickup_mean, each.pickup_p50, each.pickup_p95)),
            ("trip, on average", f"{each.way_mean:.0f} s"),
            ("offers for each trip that found a driver", f"{each.offers:.2f}"),
            ("cars with a rider, and on their way to one", f"{each.busy:.1%}, {each.driving_empty:.1%}"),
            ("rounds, of them matched nearest first", f"{each.rounds:,}, {each.greedy:,} requests"),
            (
                "computing of a round: mean, p95, most",
                f"{each.round_mean_ms:.1f}, {each.round_p95_ms:.1f}, {each.round_max_ms:.0f} ms",
            ),
            ("work for the day, all of it", f"{each.seconds:.0f} s"),
            (
                f"faster than real time (aim: {FASTER:.0f} ×)",
                f"{each.faster:,.0f} × by work, {each.faster_wall:,.0f} × by the clock",
            ),
        ]
        parts.append(table(f"{each.name}: {each.cars:,} cars, {each.requests:,} requests", ("of the day", ""), details))
    return "\n\n".join(parts)


def _seconds(*values: float) -> str:
    return ", ".join(f"{value:.0f}" for value in values) + " s"


def main() -> None:
    """Run a day, print what it came to, and draw it."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.city", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--requests", type=int, default=400_000, help="in a day (400000)")
    options.add_argument("--cars", type=int, default=2_000, help="(2000)")
    options.add_argument("--hours", type=float, default=24.0, help="from midnight (24)")
    options.add_argument("--every", type=float, default=4.0, help="seconds between two rounds (4)")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--calm", action="store_true", help="nobody declines, cancels or rests")
    options.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options.add_argument("--pictures", type=Path, help="a folder to draw into")
    chosen = options.parse_args()
    behaviour = CALM if chosen.calm else BEHAVIOUR
    until = min(chosen.hours * 3600, DAY)
    day = Day(
        City(chosen.seed),
        requests=chosen.requests,
        cars=chosen.cars,
        seed=chosen.seed,
        policy=DEFAULT,
        behaviour=behaviour,
        every=chosen.every,
        until=until,
    )
    cpu, wall = time.process_time(), time.perf_counter()
    day.run(lambda now: progress(f"{now / 3600:.0f}:00, {len(day.ended):,} trips are over"))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    result = _summed(day, "calm" if chosen.calm else "as in life", chosen.cars, until, cpu, wall)
    finish(chosen.json, [result], _text([result]))
    sys.stdout.flush()
    if chosen.pictures is not None:
        chosen.pictures.mkdir(parents=True, exist_ok=True)
        title = f"{chosen.cars:,} cars, {len(day.ended):,} requests"
        course(day, chosen.pictures / "city-day.png", f"A day in the city: {title}", chosen.cars)
        map_of(day, chosen.pictures / "city-map.png", f"The same day on the map: {title}")


if __name__ == "__main__":
    main()
