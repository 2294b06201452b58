"""Flood: how many events a second are accepted and echoed, and what is lost, repeated or out of order.

A fake homeserver pushes messages over rooms in transactions of 100, one in flight, as Synapse does, and counts the
echoes. Every candidate is a process of its own; candidates take turns, and the figures are medians of the runs.

    python -m benchmarks.flood                                  durable Rialto on SQLite beside mautrix-python
    python -m benchmarks.flood --database postgresql://…        Rialto on PostgreSQL too
    python -m benchmarks.flood --send-delay 20                  every send takes 20 ms at the homeserver
    python -m benchmarks.flood --kill                           kill -9 in the middle, start again
    python -m benchmarks.flood --peers mautrix,maubot,matrix-bot-sdk
                                                more peers, installed outside the repository when they are asked for
    python -m benchmarks.flood --loopback                       the bot's messages come back, as with a real homeserver

A room whose messages go out in order sends one after the other, so with a delay d per send R rooms give at most R/d
echoes/s: 20 rooms and 20 ms are 1,000/s, whatever the software. That variant therefore runs with 20 and 100 rooms.
"""

from __future__ import annotations

import argparse
import asyncio
import time
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
    progress,
    rialto,
    run,
    stage,
    table,
)
from tests.support.fake_homeserver import FakeHomeserver, flood
from tests.support.service_process import ServiceProcess, usage

QUIET = 3.0
"""Seconds without a new echo after which the rest of a peer's echoes counts as lost."""


@dataclass(frozen=True, slots=True)
class Result:
    """One run. Rates per second, CPU in seconds per 1,000 events, memory in MB."""

    name: str
    rooms: int
    accepted: float
    echoes: float
    lost: int
    repeated: int
    out_of_order: int
    cpu: float
    memory: float


async def _until_quiet(homeserver: FakeHomeserver, seconds: float) -> None:
    """Wait for all answers, or until none has come for QUIET seconds after the last transaction."""
    async with asyncio.timeout(seconds):
        while homeserver.report().lost:
            before = homeserver.record.answered
            try:
                await homeserver.wait_all(QUIET)
            except TimeoutError:
                if homeserver.record.answered == before:
                    return


async def _kill_in_the_middle(homeserver: FakeHomeserver, process: ServiceProcess, events: int) -> float:
    """Kill in the middle of a transaction; returns the CPU seconds of the killed process."""
    await homeserver.wait_answers(events // 2 + 37, 120)
    spent = usage(process.pid).cpu
    process.kill()
    await process.start_ready(homeserver, 60)
    return spent


async def one_run(candidate: Candidate, rooms: int, options: argparse.Namespace) -> Result:
    """Flood one candidate once."""
    with stage(candidate, rooms, loopback=options.loopback) as (homeserver, process, room_ids):
        homeserver.faults.send_delay = options.send_delay / 1000
        await homeserver.start()
        try:
            await process.start_ready(homeserver, 60)
            for index, room_id in enumerate(room_ids):
                homeserver.say(room_id, f"warm up {index}")
            await homeserver.wait_all(30)
            before = usage(process.pid).cpu
            homeserver.accepted = 0
            homeserver.record.first_answer_at = 0
            answered_before = homeserver.record.answered
            started = time.perf_counter()
            flood(homeserver, room_ids, options.events)
            if options.kill:
                before -= await _kill_in_the_middle(homeserver, process, options.events)
            wanted = options.events
            await homeserver.wait_for(lambda: homeserver.accepted >= wanted, 300, "all events accepted")
            accepted_in = homeserver.accepted_last - started
            await _until_quiet(homeserver, 600)
            after = usage(process.pid)
            report = homeserver.report()
            echoed_in = homeserver.record.last_answer_at - started
            return Result(
                name=candidate.name,
                rooms=rooms,
                accepted=options.events / accepted_in,
                echoes=(report.answered - answered_before) / echoed_in,
                lost=report.lost,
                repeated=report.repeated,
                out_of_order=report.out_of_order,
                cpu=(after.cpu - before) / options.events * 1000,
                memory=after.peak_rss / 1e6,
            )
        finally:
            await homeserver.stop()


def show(results: Sequence[Result], title: str) -> str:
    """A table of medians, with the ratio to the first peer."""
    groups: dict[tuple[str, int], list[Result]] = {}
    for result in results:
        groups.setdefault((result.name, result.rooms), []).append(result)
    reference = {rooms: median([r.echoes for r in g]) for (name, rooms), g in groups.items() if name == "mautrix"}
    rows = []
    for (name, rooms), group in groups.items():
        echoes = [result.echoes for result in group]
        ratio = f"{median(echoes) / reference[rooms]:.2f}x" if rooms in reference else "-"
        rows.append(
            [
                name,
                rooms,
                f"{median([r.accepted for r in group]):,.0f}",
                f"{median(echoes):,.0f} ±{deviation(echoes):,.0f}",
                ratio,
                max(r.lost for r in group),
                max(r.repeated for r in group),
                max(r.out_of_order for r in group),
                f"{median([r.cpu for r in group]):.3f}",
                f"{max(r.memory for r in group):.0f}",
            ]
        )
    head = ["", "rooms", "accepted/s", "echoes/s", "ratio", "lost", "repeated", "disorder", "CPU s/1,000", "peak MB"]
    return table(title, head, rows)


async def _main(options: argparse.Namespace) -> None:
    candidates = [rialto()]
    if options.database:
        candidates.append(rialto("rialto postgresql", options.database))
    candidates = chosen([*candidates, *peers(options.peers)], options.only)
    room_counts = [options.rooms] if not options.send_delay else sorted({options.rooms, 100})
    results: list[Result] = []
    for number in range(options.runs):
        for rooms in room_counts:
            for candidate in candidates:
                progress(f"run {number + 1} of {options.runs}: {candidate.name}, {rooms} rooms")
                results.append(await one_run(candidate, rooms, options))
    title = f"flood: {options.events:,} events, {options.send_delay:g} ms per send, {options.runs} runs, medians"
    text = show(results, title)
    if options.send_delay:
        bounds = ", ".join(f"{n} rooms {n / options.send_delay * 1000:,.0f}/s" for n in room_counts)
        text += f"\nBound of in-order sends, by arithmetic: {bounds}."
    finish(options.json, results, text)


def main() -> None:
    """Entry point."""
    options = parser(__doc__, runs=3)
    peer_option(options)
    options.add_argument("--events", type=int, default=10_000)
    options.add_argument("--rooms", type=int, default=20)
    options.add_argument("--send-delay", type=lambda text: float(text.removesuffix("ms")), default=0, metavar="MS")
    options.add_argument("--database", help="postgresql://… of an empty database, for one more candidate")
    options.add_argument("--kill", action="store_true", help="kill -9 in the middle and start again")
    options.add_argument("--loopback", action="store_true", help="the bot's own messages come back to it")
    run(_main(options.parse_args()))


if __name__ == "__main__":
    main()
