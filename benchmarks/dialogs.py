"""Suspended dialogs: what 100,000 conversations that wait cost in memory and time, beside none.

    python -m benchmarks.dialogs [--dialogs 100000] [--group 1000] [--events 600]

The store is filled by the code that stores dialogs, a few thousand to a commit. Then a plugin's process starts on it,
a fresh one for each candidate: its memory is measured after the start, and the CPU of an answer to a waiting dialog
and of an ordinary command. ``--group``: so many of the dialogs wait in one and the same room, and their people's
commands are measured too.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection

from appservice import json as fast
from appservice.database import open_database
from appservice.sealing import Sealer
from benchmarks.common import finish, median, parser, progress, run, table
from benchmarks.stage import BOT, KEY, Rooms, services
from bots.framework import Context, Dialog, Plugin, command, dialog
from bots.framework.bot import BotUser
from bots.framework.consumer import PluginConsumer
from bots.framework.dialogs import codec
from bots.store import dialogs as sql
from bots.store.dialogs import Change, DialogRow, EntryRow
from bots.store.tables import DialogState, metadata
from tests.store.harness import Engine, config, message

CONSUMER = f"shop:{BOT}"
AT_ONCE = 2_000
MEASURED = 20
"""Rooms that commands and answers come from."""


@dataclass(frozen=True, slots=True)
class Result:
    """One candidate: resident memory after the start (MB), milliseconds of CPU for one answer and for one command."""

    name: str
    memory: float
    answer: float
    command: float
    group_command: float


class Shop(Plugin):
    """Asks for ever."""

    @command("order", help="Order")
    async def order(self, ctx: Context) -> None:
        ctx.start(self.ask)

    @command("hours", help="When we are open")
    async def hours(self, ctx: Context) -> None:
        ctx.say("always")

    @dialog
    async def ask(self, d: Dialog) -> None:
        await d.ask("Which drink?")
        await d.ask("Where to?")
        while True:
            await d.ask("What else?")


def waiting(number: int, room_id: str, person: str, entries: int = 2) -> Change:
    """A dialog that waits for its third answer."""
    row = DialogRow(
        id=f"{number:026d}",
        consumer=CONSUMER,
        room_id=room_id,
        owner=person,
        name="ask",
        version="",
        arguments=codec.dumps([[], {}]),
        state=DialogState.WAITING,
        cause=f"$cause{number}",
        started_at=number,
        updated_at=number,
        people=(person,),
        prompt=f"rialto-txn:r{number}",
        waiting=fast.dumps({"shown": 1, "key": f"{number:026d}/0/2"}),
        entries=entries,
        size=100,
    )
    said = ["a flat white", "Main Street 5"][:entries]
    return Change(
        row, 0, tuple(EntryRow("ask", f"{index:016d}", codec.dumps(text), None, 0) for index, text in enumerate(said))
    )


async def fill(path: Path, count: int, group: int) -> None:
    """Make a store with so many waiting dialogs."""
    database = open_database(f"sqlite:///{path}")
    await database.start()
    await database.write(metadata.create_all)
    sealer = Sealer(KEY, "dialogs")

    def some(first: int, last: int) -> Any:
        def work(connection: Connection) -> None:
            for number in range(first, last):
                in_group = number < group
                room_id = "!group:localhost" if in_group else f"!d{number - group}:localhost"
                person = f"@p{number}:localhost" if in_group else "@alice:localhost"
                sql.save(connection, sealer, waiting(number, room_id, person))

        return work

    for first in range(0, count, AT_ONCE):
        await database.write(some(first, min(first + AT_ONCE, count)))
        if first % 20_000 == 0:
            progress(f"{first} dialogs are stored")
    await database.stop()


async def serve(path: Path, events: int, full: bool) -> Result:
    """Start on a store and measure."""
    database = open_database(f"sqlite:///{path}")
    await database.start()
    rooms = Rooms([BOT])
    bot = BotUser(BOT, "Shop")
    consumer = PluginConsumer("shop", Shop(), bot, services(database, rooms))
    bot.consumers.append(consumer)
    bot.rebuild()
    engine = await Engine(database, config(concurrency=32), [cast(Any, consumer)], rooms=rooms).start()
    numbers = iter(range(1_000_000_000))

    async def say(text: str, count: int, room: str, people: int = 0) -> float:
        """Milliseconds of CPU for each."""
        before = time.process_time()
        for _ in range(count // MEASURED):
            raws = []
            for index in range(MEASURED):
                number = next(numbers)
                sender = f"@p{number % people}:localhost" if people else "@alice:localhost"
                raws.append(message(f"$m{number}", room.format(index), text, sender))
            await engine.deliver(*raws)
            await engine.settled(60)
        return (time.process_time() - before) / count * 1000

    await say("hours", 2 * MEASURED, "!warm{}:localhost")
    if not full:  # the same number of dialogs to answer, of one's own
        await say("order", MEASURED, "!d{}:localhost")
        for text in ("a flat white", "Main Street 5"):
            await say(text, MEASURED, "!d{}:localhost")
    gc.collect()
    memory = resident()
    command_ms = await say("!hours", events, "!c{}:localhost")
    answer_ms = await say("and a cake", min(events, 400), "!d{}:localhost")
    group_ms = await say("!hours", events, "!group:localhost", people=1_000)
    sent = len(engine.homeserver.events)
    assert sent >= 2 * events, f"every event was answered: {sent} of {2 * events}"
    await engine.stop()
    await database.stop()
    return Result("full" if full else "empty", memory, answer_ms, command_ms, group_ms)


def resident() -> float:
    """The resident memory of this process (MB), by the kernel."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1_000


async def child(path: str, events: int, full: bool) -> Result:
    """One measurement in a process of its own."""
    arguments = [sys.executable, "-m", "benchmarks.dialogs", "--serve", path, "--events", str(events)]
    process = await asyncio.create_subprocess_exec(
        *arguments, *(["--full"] if full else []), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(process.returncode)
    return Result(**json.loads(output))


async def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print."""
    options = parser(__doc__, 3)
    options.add_argument("--dialogs", type=int, default=100_000, help="dialogs that wait (100000)")
    options.add_argument("--group", type=int, default=1_000, help="so many of them in one room (1000)")
    options.add_argument("--events", type=int, default=600, help="events of each measurement (600)")
    options.add_argument("--serve", help=argparse.SUPPRESS)
    options.add_argument("--full", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args(arguments)
    if chosen.serve:
        print(json.dumps(asdict(await serve(Path(chosen.serve), chosen.events, chosen.full))))
        return
    measured: dict[str, list[Result]] = {"empty": [], "full": []}
    with tempfile.TemporaryDirectory(prefix="rialto-benchmark-") as folder:
        full = Path(folder) / "full.db"
        await fill(full, chosen.dialogs, chosen.group)
        for number in range(chosen.runs):
            empty = Path(folder) / f"empty{number}.db"
            await fill(empty, 0, 0)
            copy = Path(folder) / f"full{number}.db"  # a store knows the events that it was measured with
            shutil.copy(full, copy)
            for name, path in (("empty", empty), ("full", copy)):
                progress(f"{name}, run {number + 1}")
                measured[name].append(await child(str(path), chosen.events, name == "full"))
    results = [
        Result(name, *(median([getattr(each, field) for each in found]) for field in list(Result.__slots__)[1:]))
        for name, found in measured.items()
    ]
    rows = [
        [name, f"{each.memory:.1f}", f"{each.answer:.3f}", f"{each.command:.3f}", f"{each.group_command:.3f}"]
        for name, each in zip(["no dialogs", f"{chosen.dialogs} dialogs wait"], results, strict=True)
    ]
    title = f"Suspended dialogs, {chosen.group} of them in one room; medians of {chosen.runs} runs"
    head = ["", "MB", "answer, ms", "command, ms", "command in the crowded room, ms"]
    finish(chosen.json, results, table(title, head, rows))


if __name__ == "__main__":
    run(main())
