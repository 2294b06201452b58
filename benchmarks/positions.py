"""How many positions of drivers a fleet takes in a second: kept in memory, and written down in bulk each second.

2,000 drivers drive about, each position some metres from the one before. They are taken as fast as that goes, some
hundreds at a time, as requests bring them; beside it what has changed is written to the database once a second.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from benchmarks.common import deviation, finish, median, parser, progress, run, table
from benchmarks.search import opened
from bots.commerce.trade import Trade
from bots.domain.drivers import Position
from bots.domain.places import Point
from bots.fleet import Fleet
from bots.fleet.positions import Heard
from bots.framework.clock import ManualClock

DRIVERS = 2_000
MOMENTS = 30
AT_ONCE = 200
AIM = 5_000.0


@dataclass(frozen=True, slots=True)
class Rate:
    """Positions a second: medians of the runs. ``lag_ms``: how late the loop was at worst while writing."""

    database: str
    name: str
    per_second: float
    mad: float
    lag_ms: float


def _drives(chance: random.Random, moments: int) -> list[list[tuple[str, Point]]]:
    """For each moment where everybody is: 10 m/s, turning now and then."""
    people = [f"@driver{number}:example.org" for number in range(DRIVERS)]
    at = [(52.4 + chance.random() * 0.2, 13.2 + chance.random() * 0.3) for _ in people]
    ways = [chance.random() * math.tau for _ in people]
    made = []
    for _ in range(moments):
        moment = []
        for number, person in enumerate(people):
            if chance.random() < 0.05:
                ways[number] += chance.choice((-1, 1)) * math.pi / 2
            latitude, longitude = at[number]
            at[number] = (latitude + 9e-5 * math.cos(ways[number]), longitude + 1.5e-4 * math.sin(ways[number]))
            moment.append((person, Point(*at[number])))
        made.append(moment)
    return made


def _take(fleet: Fleet, moment: Sequence[tuple[str, Point]], at: datetime) -> None:
    for person, point in moment:
        if fleet.positions.update(person, Position(point, at, 8.0)) is not Heard.TAKEN:
            raise AssertionError("every position of the benchmark is to be believed")


async def _run(fleet: Fleet, clock: ManualClock, seconds: float, writes: bool, seed: int) -> tuple[float, float]:
    """Positions a second, and how late the loop was at worst."""
    moments = _drives(random.Random(seed), MOMENTS)
    late = 0.0

    async def watch() -> None:
        nonlocal late
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.01)
            late = max(late, time.perf_counter() - before - 0.01)

    async def write() -> None:
        while writes:
            await asyncio.sleep(1)
            await fleet.positions.write()

    tasks = [asyncio.create_task(watch()), asyncio.create_task(write())]
    began, taken, number = time.perf_counter(), 0, 0
    while time.perf_counter() - began < seconds:
        # To the end, and back again.
        turn = number % (2 * MOMENTS - 2)
        moment = moments[turn if turn < MOMENTS else 2 * MOMENTS - 2 - turn]
        number += 1
        clock.advance(seconds=1)
        at = clock.now() - timedelta(milliseconds=300)
        for first in range(0, len(moment), AT_ONCE):
            _take(fleet, moment[first : first + AT_ONCE], at)
            await asyncio.sleep(0)
        taken += len(moment)
    took = time.perf_counter() - began
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return taken / took, late * 1000


async def _measured(url: str, runs: int, seconds: float) -> list[Rate]:
    async def nothing(_work: Callable[[Connection], Any]) -> None:
        raise AssertionError("no event is raised by a position")

    rates: list[Rate] = []
    async with opened(url) as (name, database):
        for what, writes in (("in memory", False), ("written down each second", True)):
            turns, lates = [], []
            for number in range(runs):
                progress(f"{name}, {what}, run {number + 1} of {runs}")
                clock = ManualClock()
                fleet = Fleet(Trade("a key of the benchmark", database, nothing, clock), "rides", "rides:@rides:x")
                speed, late = await _run(fleet, clock, seconds, writes, number)
                turns.append(speed)
                lates.append(late)
            rates.append(Rate(name, what, median(turns), deviation(turns), max(lates)))
    return rates


async def main(options: argparse.Namespace) -> None:
    """Measure on SQLite, and on PostgreSQL when it is named."""
    rates: list[Rate] = []
    for url in options.database or [""]:
        rates += await _measured(url, options.runs, options.seconds)
    rows = [
        (f"{each.database}: {each.name}", f"{each.per_second:,.0f}", f"{each.mad:,.0f}", f"{each.lag_ms:.0f}")
        for each in rates
    ]
    held = all(each.per_second >= AIM for each in rates)
    text = table(f"{DRIVERS:,} drivers", ("", "positions a second", "MAD", "loop late at worst, ms"), rows)
    finish(options.json, rates, f"{text}\n\nat least {AIM:,.0f} a second: {'yes' if held else 'NO'}")


if __name__ == "__main__":
    made = parser(__doc__, 3)
    made.add_argument("--database", action="append", help="URL of a PostgreSQL server, or '' for SQLite; repeatable")
    made.add_argument("--seconds", type=float, default=6, help="of each run (6)")
    run(main(made.parse_args()))
