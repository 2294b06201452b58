"""Start: from the command to ready with 5 bots and 10,000 known rooms; then what waited during a downtime.

    python -m benchmarks.start [--rooms 10000] [--bots 5] [--downtime 60] [--waiting 500]

The first start makes the devices and the tables; then the room state of all rooms is written into the service's own
tables, and the second start is measured. The homeserver backs off as Synapse does (1 s, doubled); only the service's
ping at its start makes it deliver at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import HUMAN, finish, median, parser, progress, run, table
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.service_process import ServiceProcess, free_port, usage


@dataclass(frozen=True, slots=True)
class Result:
    """One run: seconds and MB. ``first``: with an empty database. ``drained``: from ready to the last answer."""

    first: float
    ready: float
    cpu: float
    memory: float
    drained: float
    waited: int
    answered: int
    repeated: int


def fill(folder: Path, homeserver: FakeHomeserver) -> None:
    """Write the state of every room into the tables of mautrix's state store, as the service would."""
    with contextlib.closing(sqlite3.connect(folder / "rialto.mautrix.db")) as database:
        columns = {row[1] for row in database.execute("PRAGMA table_info(mx_room_state)")}
        assert {"room_id", "is_encrypted", "has_full_member_list"} <= columns, columns
        database.executemany(
            "INSERT OR IGNORE INTO mx_room_state (room_id, is_encrypted, has_full_member_list, power_levels)"
            " VALUES (?, false, true, ?)",
            [(room_id, json.dumps({"users": {HUMAN: 100}})) for room_id in homeserver.rooms],
        )
        database.executemany(
            "INSERT OR IGNORE INTO mx_user_profile (room_id, user_id, membership, displayname)"
            " VALUES (?, ?, 'join', ?)",
            [(room.room_id, user, user[1:6]) for room in homeserver.rooms.values() for user in room.members()],
        )
        database.commit()


async def _until_ready(process: ServiceProcess, seconds: float) -> float:
    """Start, and ask /health/ready until it says yes; the seconds that took."""
    started = time.perf_counter()
    process.start()
    await process.wait_readiness(lambda status, _: status == 200, seconds, "it is ready")
    return time.perf_counter() - started


async def one_run(options: argparse.Namespace) -> Result:
    """Start with nothing, start with everything, be away, come back."""
    bots = ["echo", *(f"echo{number}" for number in range(2, options.bots + 1))]
    with tempfile.TemporaryDirectory(prefix="rialto-benchmark-") as name:
        folder = Path(name)
        homeserver = FakeHomeserver(appservice_port=free_port(), backoff=1, backoff_max=512)
        await homeserver.start()
        echoes = [("echo", bot) for bot in bots]
        with ServiceProcess.rialto(folder, homeserver, bots=echoes, health_port=free_port()) as process:
            try:
                first = await _until_ready(process, 60)
                process.kill()
                rooms = []
                for number in range(options.rooms):
                    room = homeserver.add_room([HUMAN, f"@{bots[number % len(bots)]}:localhost"])
                    rooms.append(room.room_id)
                fill(folder, homeserver)
                ready = await _until_ready(process, 60)
                used = usage(process.pid)
                process.kill()
                for number in range(options.waiting):
                    homeserver.say(rooms[number * 7 % len(rooms)], f"waiting {number}")
                progress(f"down for {options.downtime:g} s with {options.waiting} messages waiting")
                await asyncio.sleep(options.downtime)
                await _until_ready(process, 60)
                back = time.perf_counter()
                with contextlib.suppress(TimeoutError):
                    await homeserver.wait_all(30)
                drained = time.perf_counter() - back
                report = homeserver.report()
                return Result(
                    first,
                    ready,
                    used.cpu,
                    used.peak_rss / 1e6,
                    drained,
                    options.waiting,
                    report.answered,
                    report.repeated,
                )
            except BaseException:
                print(process.log_tail())
                raise
            finally:
                await homeserver.stop()


def show(results: Sequence[Result], options: argparse.Namespace) -> str:
    """A table of medians."""
    rows: list[list[object]] = [
        ["first start, empty, s", f"{median([r.first for r in results]):.2f}", "-"],
        ["start to ready, s", f"{median([r.ready for r in results]):.2f}", "3"],
        ["CPU of the start, s", f"{median([r.cpu for r in results]):.2f}", "-"],
        ["peak memory, MB", f"{max(r.memory for r in results):.0f}", "150"],
        ["ready to all answered, s", f"{median([r.drained for r in results]):.2f}", "1"],
        ["unanswered", max(r.waited - r.answered for r in results), "0"],
        ["repeated", max(r.repeated for r in results), "0"],
    ]
    title = f"start: {options.bots} bots, {options.rooms:,} rooms, {options.downtime:g} s away, {options.runs} runs"
    return table(title, ["", "median", "at most"], rows)


async def _main(options: argparse.Namespace) -> None:
    results = []
    for number in range(options.runs):
        progress(f"run {number + 1} of {options.runs}")
        results.append(await one_run(options))
    finish(options.json, results, show(results, options))


def main() -> None:
    """Entry point."""
    options = parser(__doc__, runs=1)
    options.add_argument("--rooms", type=int, default=10_000)
    options.add_argument("--bots", type=int, default=5)
    options.add_argument("--downtime", type=float, default=60, help="seconds")
    options.add_argument("--waiting", type=int, default=500, help="messages sent during the downtime")
    run(_main(options.parse_args()))


if __name__ == "__main__":
    main()
