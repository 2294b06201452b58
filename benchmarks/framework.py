"""The plugin framework: CPU of a command's round trip through router, context, unit of work, database and outbox.

    python -m benchmarks.framework [--events 1500] [--rooms 20] [--peers aiogram] [--profile]

In one process, on a SQLite file, with a homeserver that answers at once: transactions go in by the inbox, echoes come
out of the outbox. The bare engine (a consumer that echoes) runs the same events; what a command costs above it is the
framework's. Beside them, on request, aiogram's dispatcher with a command handler, which stores nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import pstats
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from appservice.database import open_database
from appservice.events import Event
from appservice.unit import UnitOfWork
from benchmarks.common import PEER_PROGRAMS, deviation, finish, median, parser, progress, run, table
from benchmarks.peers import scratch
from benchmarks.stage import BOT, Rooms, services
from bots.framework import Context, Dialog, Plugin, Rest, command, dialog
from bots.framework.bot import BotUser
from bots.framework.consumer import PluginConsumer
from bots.store.tables import metadata
from tests.store.harness import Engine, FakeConsumer, config, message

BATCH = 50
"""Events of one transaction; Synapse pushes up to 100."""


@dataclass(frozen=True, slots=True)
class Result:
    """One candidate: milliseconds of CPU for one round trip, in each run."""

    name: str
    milliseconds: float
    deviation: float


class Shop(Plugin):
    """Has some commands, as plugins do."""

    @command("buy", help="Buy something", aliases=("get",))
    async def buy(self, ctx: Context, count: int, what: Rest = "") -> None:
        ctx.say(f"{count} {what}")

    @command("order", help="Order")
    async def order(self, ctx: Context) -> None:
        ctx.start(self.ask)

    @command("cancel order", help="Cancel an order")
    async def cancel(self, ctx: Context, number: int) -> None:
        ctx.say(f"cancelled {number}")

    @command("opening hours", help="When we are open")
    async def hours(self, ctx: Context) -> None:
        ctx.say("always")

    @dialog
    async def ask(self, d: Dialog) -> None:
        await d.ask("What?")


async def echo(event: Event, unit: UnitOfWork) -> None:
    """What the command does, without the framework."""
    unit.send(event.room_id, {"msgtype": "m.notice", "body": event.content["body"], "m.mentions": {}})


async def measure(name: str, text: str, options: argparse.Namespace) -> float:
    """Milliseconds of CPU for each event."""
    with tempfile.TemporaryDirectory(prefix="rialto-benchmark-") as folder:
        database = open_database(f"sqlite:///{folder}/rialto.db")
        await database.start()
        await database.write(metadata.create_all)
        rooms = Rooms([BOT])
        if name == "engine":
            consumer: Any = FakeConsumer("echo:" + BOT, BOT, echo)
        else:
            bot = BotUser(BOT, "Shop")
            consumer = PluginConsumer("shop", Shop(), bot, services(database, rooms))
            bot.consumers.append(consumer)
            bot.rebuild()
        engine = await Engine(database, config(concurrency=32), [cast(Any, consumer)], rooms=rooms).start()
        numbers = iter(range(1_000_000_000))

        async def batch() -> None:
            events = []
            for _ in range(BATCH):
                number = next(numbers)
                events.append(message(f"$e{number}", f"!r{number % options.rooms}:localhost", text))
            await engine.deliver(*events)
            await engine.settled(60)

        for _ in range(4):
            await batch()
        sent = len(engine.homeserver.events)
        profile = cProfile.Profile() if options.profile and name != "engine" else None
        if profile is not None:
            profile.enable()
        before = time.process_time()
        for _ in range(options.events // BATCH):
            await batch()
        spent = time.process_time() - before
        if profile is not None:
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        count = int(options.events) // BATCH * BATCH
        assert len(engine.homeserver.events) - sent == count, "every event has one answer"
        await engine.stop()
        await database.stop()
        return float(spent / count * 1000)


async def aiogram(options: argparse.Namespace) -> float:
    """aiogram's dispatcher, in its own environment."""
    program = [str(scratch.aiogram_python()), str(PEER_PROGRAMS / "aiogram_dispatch.py"), str(options.events)]
    done = await asyncio.to_thread(subprocess.run, program, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)["milliseconds"])


CANDIDATES: dict[str, Callable[[argparse.Namespace], Awaitable[float]]] = {
    "engine": lambda options: measure("engine", "buy 2 tea", options),
    "framework": lambda options: measure("framework", "buy 2 tea", options),
}


async def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print."""
    options = parser(__doc__, 3)
    options.add_argument("--events", type=int, default=1_500, help="events of each run (1500)")
    options.add_argument("--rooms", type=int, default=20, help="rooms that they come from (20)")
    options.add_argument("--peers", default="", help="beside Rialto: aiogram")
    options.add_argument("--profile", action="store_true", help="print where the framework's time goes")
    chosen = options.parse_args(arguments)
    candidates = dict(CANDIDATES)
    if chosen.peers == "aiogram":
        candidates["aiogram (stores nothing)"] = aiogram
    elif chosen.peers:
        raise SystemExit(f"--peers: there is no {chosen.peers}; there is aiogram")
    times: dict[str, list[float]] = {name: [] for name in candidates if not chosen.only or chosen.only in name}
    for number in range(chosen.runs):
        for name in times:
            progress(f"{name}, run {number + 1}")
            times[name].append(await candidates[name](chosen))
    results = [Result(name, median(each), deviation(each)) for name, each in times.items()]
    rows = [[each.name, f"{each.milliseconds:.3f}", f"{each.deviation:.3f}"] for each in results]
    title = f"CPU of one command, {chosen.events} events in {chosen.rooms} rooms, {chosen.runs} runs"
    finish(chosen.json, results, table(title, ["", "ms", "MAD"], rows))


if __name__ == "__main__":
    run(main())
