"""Calm: the time from an event's push to its echo at 40 events/s, with a homeserver that answers at once.

    python -m benchmarks.calm [--rate 40] [--seconds 10] [--database postgresql://…]

The time runs from the moment the homeserver queues the event to the moment the echo's PUT arrives there.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.common import (
    Candidate,
    chosen,
    deviation,
    finish,
    median,
    parser,
    peer_option,
    peers,
    percentile,
    progress,
    rialto,
    run,
    stage,
    table,
)
from tests.support.service_process import usage


@dataclass(frozen=True, slots=True)
class Result:
    """One run: milliseconds from event to echo, CPU in seconds per 1,000 events."""

    name: str
    p50: float
    p95: float
    p99: float
    lost: int
    cpu: float


async def one_run(candidate: Candidate, options: argparse.Namespace) -> Result:
    """Push at a steady rate and take the times."""
    with stage(candidate, options.rooms) as (homeserver, process, room_ids):
        await homeserver.start()
        try:
            await process.start_ready(homeserver, 60)
            for index in range(5 * len(room_ids)):
                homeserver.say(room_ids[index % len(room_ids)], f"warm up {index}")
                await homeserver.wait_all(30)
            homeserver.record.latencies.clear()
            before = usage(process.pid).cpu
            loop = asyncio.get_running_loop()
            count = int(options.rate * options.seconds)
            started = loop.time()
            for number in range(count):
                await asyncio.sleep(started + number / options.rate - loop.time())
                homeserver.say(room_ids[number % len(room_ids)], f"calm {number}")
            await homeserver.wait_all(10)
            times = [latency * 1000 for latency in homeserver.record.latencies]
            spent = usage(process.pid).cpu - before
            return Result(
                candidate.name,
                percentile(times, 0.5),
                percentile(times, 0.95),
                percentile(times, 0.99),
                homeserver.report().lost,
                spent / count * 1000,
            )
        finally:
            await homeserver.stop()


def show(results: Sequence[Result], title: str) -> str:
    """A table of medians, with the ratio to mautrix."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.name, []).append(result)
    reference = median([r.p50 for r in groups["mautrix"]]) if "mautrix" in groups else None
    rows = []
    for name, group in groups.items():
        middles = [result.p50 for result in group]
        rows.append(
            [
                name,
                f"{median(middles):.2f} ±{deviation(middles):.2f}",
                f"{median([r.p95 for r in group]):.2f}",
                f"{median([r.p99 for r in group]):.2f}",
                f"{median(middles) / reference:.2f}x" if reference else "-",
                max(r.lost for r in group),
                f"{median([r.cpu for r in group]):.3f}",
            ]
        )
    return table(title, ["", "p50 ms", "p95 ms", "p99 ms", "ratio", "lost", "CPU s/1,000"], rows)


async def _main(options: argparse.Namespace) -> None:
    candidates = [rialto()]
    if options.database:
        candidates.append(rialto("rialto postgresql", options.database))
    candidates = chosen([*candidates, *peers(options.peers)], options.only)
    results: list[Result] = []
    for number in range(options.runs):
        for candidate in candidates:
            progress(f"run {number + 1} of {options.runs}: {candidate.name}")
            results.append(await one_run(candidate, options))
    title = f"calm: {options.rate:g} events/s for {options.seconds:g} s over {options.rooms} rooms, {options.runs} runs"
    finish(options.json, results, show(results, title))


def main() -> None:
    """Entry point."""
    options = parser(__doc__, runs=3)
    peer_option(options)
    options.add_argument("--rate", type=float, default=40, help="events a second")
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--rooms", type=int, default=20)
    options.add_argument("--database", help="postgresql://… of an empty database, for one more candidate")
    run(_main(options.parse_args()))


if __name__ == "__main__":
    main()
