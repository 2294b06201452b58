"""Timers: thousands of messages that are due at once, beside people who write to a bot.

A fake homeserver answers each redaction after some milliseconds and sends it back to Rialto, as Synapse does; all
rooms are chats of the messenger. First people write alone, then Rialto is killed, and started again with everything
due; they go on to write while it is removed.

    python -m benchmarks.timers [--due 100000] [--pace 10000] [--rate 40] [--delay 10] [--database postgresql://…]

The pace that is allowed is far above what is possible, to see that; ``--pace 50`` is what Rialto keeps to unless told.
With ``--window`` it ends so many seconds after the start instead of when all is removed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from appservice.database import open_database
from benchmarks.common import BOT, HUMAN, finish, parser, percentile, progress, rialto, run, table
from benchmarks.ledger import scratch
from bridge.domain.kinds import Kind
from bridge.store import chats as chat_store
from bridge.store import timers as store
from bridge.store.chats import Chat
from bridge.store.timers import Timed
from tests.support.fake_client_api import Device
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.service_process import ServiceProcess, free_port, usage

BATCH = 5_000
PATIENCE_S = 3_600
EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Result:
    """One run: removals a second, ms from a message to its echo without removals and beside them, MB."""

    database: str
    removed: int
    per_second: float
    twice: int
    out_of_order: int
    alone_p50: float
    alone_p95: float
    beside_p50: float
    beside_p95: float
    memory: float


class Writers:
    """People who write to the bot at a steady rate."""

    def __init__(self, homeserver: FakeHomeserver, rooms: Sequence[str], rate: float) -> None:
        self._homeserver = homeserver
        self._rooms = rooms
        self._rate = rate
        self._number = 0

    async def write(self, seconds: float) -> None:
        """For so long."""
        loop = asyncio.get_running_loop()
        started, first = loop.time(), self._number
        while loop.time() - started < seconds:
            await asyncio.sleep(started + (self._number - first) / self._rate - loop.time())
            self._homeserver.say(self._rooms[self._number % len(self._rooms)], f"live {self._number}")
            self._number += 1

    async def times(self) -> list[float]:
        """The ms of all echoes since the last time, once all have come."""
        await self._homeserver.wait_all(60)
        latencies = self._homeserver.record.latencies
        found = [latency * 1000 for latency in latencies]
        latencies.clear()
        return found


def due(rooms: Sequence[str], count: int, now: int) -> list[Timed]:
    """Messages over the rooms in turn, all of them due since an hour at most."""
    step = max(count // 3_600_000, 1)
    first = now - 3_600_000
    return [
        Timed(
            f"$due{number:039d}", rooms[number % len(rooms)], HUMAN, first, first + number // step * 3_600_000 // count
        )
        for number in range(count)
    ]


async def fill(url: str, rooms: Sequence[str], messages: Sequence[Timed]) -> None:
    """Make the rooms chats, and put the messages there."""
    database = open_database(url, pool_size=1)
    await database.start()

    def chats(connection: Connection) -> None:
        for number, room_id in enumerate(rooms):
            chat_store.add(connection, Chat(room_id, f"chat{number}", Kind.GROUP, False, False, "", HUMAN, 1), 1)
            chat_store.change(connection, room_id, filled_at=1)

    await database.write(chats)
    for begin in range(0, len(messages), BATCH):
        part = messages[begin : begin + BATCH]
        await database.write(lambda connection, part=part: store.add(connection, part))  # type: ignore[misc]
    await database.stop()


class Echoes:
    """Sends redactions back, as a homeserver does, and looks at their order."""

    def __init__(self, homeserver: FakeHomeserver) -> None:
        self._homeserver = homeserver
        self._seen = 0
        self._highest: dict[str, str] = {}
        self._redacted: set[str] = set()
        self.twice = self.out_of_order = 0
        self.last_at = 0.0

    @property
    def count(self) -> int:
        """How many were redacted."""
        return len(self._redacted)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            self.look()

    def look(self) -> None:
        """What has come since the last time."""
        homeserver, sent = self._homeserver, self._homeserver.record.sent
        new = [each for each in sent[self._seen :] if each.event_type.startswith("$due")]
        self._seen = len(sent)
        for each in new:
            self.twice += each.event_type in self._redacted
            self.out_of_order += each.event_type < self._highest.get(each.room_id, "")
            self._redacted.add(each.event_type)
            self._highest[each.room_id] = each.event_type
            self.last_at = each.at
        homeserver.push(
            homeserver.event(
                each.room_id, each.user_id, "m.room.redaction", {**each.content, "redacts": each.event_type}
            )
            for each in new
        )


async def one_run(name: str, url: str | None, options: argparse.Namespace) -> Result:
    """Write alone, then beside everything that is due."""
    settings = {"timers": {"per_second": options.pace, "concurrency": options.concurrency}}
    with tempfile.TemporaryDirectory(prefix="rialto-benchmark-") as folder:
        homeserver = FakeHomeserver(appservice_port=free_port(), port=free_port())
        homeserver.api.account(BOT).devices["PEER"] = Device("PEER")
        rooms = [homeserver.add_room([HUMAN, BOT, homeserver.sender]).room_id for _ in range(options.chats)]
        candidate = rialto(name, url, messenger=settings)
        with candidate.make(homeserver, Path(folder)) as process:
            await homeserver.start()
            homeserver.faults.send_delay = options.delay / 1000
            try:
                return await _measure(name, url or f"sqlite:///{folder}/rialto.db", homeserver, process, rooms, options)
            except BaseException:
                print(process.log_tail())
                raise
            finally:
                await homeserver.stop()


async def _measure(
    name: str,
    url: str,
    homeserver: FakeHomeserver,
    process: ServiceProcess,
    rooms: Sequence[str],
    options: argparse.Namespace,
) -> Result:
    writers = Writers(homeserver, rooms, options.rate)
    await fill(url, rooms, [])
    await process.start_ready(homeserver, 60)
    await writers.write(3)
    await writers.times()
    await writers.write(options.seconds)
    alone = await writers.times()
    process.kill()
    progress(f"{name}: {options.due:,} are due")
    await fill(url, rooms, due(rooms, options.due, int(time.time() * 1000)))
    echoes = Echoes(homeserver)
    looking = asyncio.create_task(echoes.run())
    await process.start_ready(homeserver, 60)
    started = time.perf_counter()
    times: list[float] = []
    while echoes.count < options.due and time.perf_counter() - started < (options.window or PATIENCE_S):
        await writers.write(5)
        times += await writers.times()
        progress(f"{name}: {echoes.count:,} removed, echoes in {percentile(times, 0.5):.0f} ms")
    looking.cancel()
    echoes.look()
    return Result(
        name,
        echoes.count,
        echoes.count / (echoes.last_at - started),
        echoes.twice,
        echoes.out_of_order,
        percentile(alone, 0.5),
        percentile(alone, 0.95),
        percentile(times, 0.5),
        percentile(times, 0.95),
        usage(process.pid).peak_rss / 1e6,
    )


def show(results: Sequence[Result], title: str) -> str:
    """A table."""
    head = ["", "removed", "a second", "twice", "disordered", "echo alone p50", "p95", "beside p50", "p95", "MB"]
    rows = [
        [
            result.database,
            f"{result.removed:,}",
            f"{result.per_second:,.0f}",
            result.twice,
            result.out_of_order,
            f"{result.alone_p50:.1f}",
            f"{result.alone_p95:.1f}",
            f"{result.beside_p50:.1f}",
            f"{result.beside_p95:.1f}",
            f"{result.memory:.0f}",
        ]
        for result in results
    ]
    return table(title, head, rows)


async def _main(options: argparse.Namespace) -> None:
    results = []
    async with contextlib.AsyncExitStack() as stack:
        databases: list[tuple[str, str | None]] = [("SQLite", None)]
        if options.database:
            databases.append(("PostgreSQL", await stack.enter_async_context(scratch(options.database))))
        for name, url in databases:
            if not options.only or options.only in name:
                results.append(await one_run(name, url, options))
    title = (
        f"timers: {options.due:,} due in {options.chats} chats, {options.pace:g}/s allowed, {options.concurrency} at a "
        f"time, {options.delay:g} ms each at the homeserver; {options.rate:g} messages/s beside them"
    )
    finish(options.json, results, show(results, title))


def main() -> None:
    """Entry point."""
    options = parser(__doc__, runs=1)
    options.add_argument("--due", type=int, default=100_000, help="messages that are due")
    options.add_argument("--chats", type=int, default=200)
    options.add_argument("--pace", type=float, default=10_000, help="messenger.timers.per_second")
    options.add_argument("--concurrency", type=int, default=4, help="messenger.timers.concurrency")
    options.add_argument("--rate", type=float, default=40, help="messages that people write in a second")
    options.add_argument("--seconds", type=float, default=10, help="how long they write alone")
    options.add_argument("--delay", type=float, default=10, help="ms that a send takes at the homeserver")
    options.add_argument("--window", type=float, help="seconds after which it ends")
    options.add_argument("--database", help="postgresql://… of a server, for a scratch database")
    run(_main(options.parse_args()))


if __name__ == "__main__":
    main()
