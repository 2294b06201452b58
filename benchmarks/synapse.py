"""Real Synapse: from a person's send to the echo seen in their /sync, plain and encrypted, at 1, 8 and 32 rooms.

    python -m benchmarks.synapse [--rooms 1,8,32] [--messages 10] [--only plain]

Beside Rialto: mautrix-python in appservice mode (in encrypted rooms with its OlmMachine, as its bridges are made), its
client, which hears by /sync, and Synapse itself: the time until one sees one's own message. In every room one message
is under way at a time. The person is matrix-nio in this process; candidates take turns on the same Synapse.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from appservice.terminal.client import Seen
from benchmarks.common import finish, median, parser, percentile, progress, run, table
from tests.support.human import Human
from tests.support.servers import RialtoProcess, Server, running_synapse
from tests.support.service_process import ServiceProcess


@dataclass(frozen=True, slots=True)
class Result:
    """One run: milliseconds from send to echo, echoes per second over all rooms."""

    name: str
    rooms: int
    encrypted: bool
    p50: float
    p95: float
    echoes: float


Opener = Callable[[Server, Path], AbstractAsyncContextManager[str | None]]
"""Starts a candidate on a Synapse and gives its bot's user id; None: no bot, one's own message is the echo."""


@contextlib.asynccontextmanager
async def rialto(server: Server, folder: Path) -> AsyncIterator[str | None]:
    """Rialto on SQLite with the echo bot."""
    overrides = {"logging": {"level": "warning"}}
    process = RialtoProcess(server, server.take_slot(), folder, ["echo"], overrides=overrides)
    try:
        await process.start()
        yield process.bot("echo")
    finally:
        await process.stop()


def mautrix_appservice(program: str) -> Opener:
    """mautrix-python's AppService."""
    return lambda server, folder: _mautrix_appservice(program, server, folder)


@contextlib.asynccontextmanager
async def _mautrix_appservice(program: str, server: Server, folder: Path) -> AsyncIterator[str | None]:
    folder.mkdir()
    slot = server.take_slot()
    arguments = [sys.executable, "-m", f"benchmarks.peers.{program}", "--homeserver", server.url]
    arguments += ["--port", str(slot.port), "--as-token", slot.as_token, "--hs-token", slot.hs_token]
    arguments += ["--localpart", f"{slot.name}_echo", "--id", f"rialto-{slot.name}", "--sender", slot.sender_localpart]
    with ServiceProcess([*arguments, "--state", str(folder / "state.json")], folder / "peer.log") as process:
        process.start()
        yield server.user_id(f"{slot.name}_echo")
        if not process.running:
            raise RuntimeError(process.log_tail())


@contextlib.asynccontextmanager
async def mautrix_client(server: Server, folder: Path) -> AsyncIterator[str | None]:
    """mautrix-python's client with its OlmMachine."""
    folder.mkdir()
    account = await server.new_account("mautrix")
    arguments = [sys.executable, "-m", "benchmarks.peers.mautrix_client_echo", "--homeserver", server.url]
    arguments += ["--user", account.user_id, "--password", account.password]
    with ServiceProcess(arguments, folder / "peer.log") as process:
        process.start()
        await process.wait_until(lambda: "ready" in process.log_text(), 30, "its login")
        try:
            yield account.user_id
        except BaseException:
            print(process.log_tail(), file=sys.stderr)
            raise


@contextlib.asynccontextmanager
async def nobody(server: Server, folder: Path) -> AsyncIterator[str | None]:
    """Synapse alone: one's own message comes back by /sync."""
    yield None


CANDIDATES: dict[bool, list[tuple[str, Opener]]] = {
    False: [("synapse alone", nobody), ("rialto", rialto), ("mautrix", mautrix_appservice("mautrix_echo"))],
    True: [
        ("synapse alone", nobody),
        ("rialto", rialto),
        ("mautrix", mautrix_appservice("mautrix_encrypted_echo")),
        ("mautrix client", mautrix_client),
    ],
}


class Echoes:
    """Waits for the echo of each body."""

    def __init__(self, human: Human, bot: str | None) -> None:
        self._wanted: dict[str, asyncio.Future[float]] = {}
        self._sender = bot or human.id
        self._human = human
        human.listeners.append(self._listen)

    def _listen(self, seen: Seen) -> None:
        if seen.sender == self._sender and seen.body in self._wanted:
            future = self._wanted.pop(seen.body)
            if not future.done():
                future.set_result(time.perf_counter())

    async def round_trip(self, room_id: str, body: str) -> float:
        """Milliseconds from before the send until the echo is seen."""
        self._wanted[body] = asyncio.get_running_loop().create_future()
        future = self._wanted[body]
        started = time.perf_counter()
        await self._human.say(room_id, body)
        async with asyncio.timeout(60):
            return (await future - started) * 1000


async def make_rooms(human: Human, bot: str | None, count: int, encrypted: bool) -> list[str]:
    """Rooms with the bot in them, each warmed up by the measurement's first messages."""
    if bot is None:
        return [await human.create_room(encrypted=encrypted) for _ in range(count)]
    return [await human.chat_with(bot, encrypted=encrypted) for _ in range(count)]


async def measure(human: Human, bot: str | None, name: str, rooms: list[str], encrypted: bool, messages: int) -> Result:
    """All rooms at once, one message under way in each."""
    echoes = Echoes(human, bot)
    tag = f"{name} {len(rooms)}"

    async def one_room(index: int, room_id: str, count: int, kind: str) -> list[float]:
        return [await echoes.round_trip(room_id, f"{tag} {kind} {index} {number}") for number in range(count)]

    await asyncio.gather(*(one_room(index, room_id, 2, "warm") for index, room_id in enumerate(rooms)))
    started = time.perf_counter()
    taken = await asyncio.gather(*(one_room(index, room_id, messages, "hot") for index, room_id in enumerate(rooms)))
    seconds = time.perf_counter() - started
    times = [value for values in taken for value in values]
    return Result(name, len(rooms), encrypted, percentile(times, 0.5), percentile(times, 0.95), len(times) / seconds)


async def one_candidate(
    server: Server, name: str, opener: Opener, encrypted: bool, options: argparse.Namespace
) -> list[Result]:
    """One candidate at every number of rooms, with a fresh person."""
    results = []
    with tempfile.TemporaryDirectory(prefix="rialto-benchmark-") as folder:
        async with opener(server, Path(folder) / "service") as bot:
            human = await server.human("bench", Path(folder) / "human")
            try:
                rooms = await make_rooms(human, bot, max(options.rooms), encrypted)
                for count in options.rooms:
                    messages = options.messages * 3 if count == 1 else options.messages
                    results.append(await measure(human, bot, name, rooms[:count], encrypted, messages))
            finally:
                await human.close()
    return results


def show(results: Sequence[Result], title: str) -> str:
    """A table of medians; the ratio is to the mautrix peer's p50."""
    groups: dict[tuple[bool, int, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.encrypted, result.rooms, result.name), []).append(result)
    rows = []
    for (encrypted, count, name), group in sorted(groups.items()):
        peer = groups.get((encrypted, count, "mautrix"))
        middle = median([r.p50 for r in group])
        ratio = f"{middle / median([r.p50 for r in peer]):.2f}x" if peer else "-"
        rows.append(
            [
                f"{name}, {'encrypted' if encrypted else 'plain'}",
                count,
                f"{middle:.0f}",
                f"{median([r.p95 for r in group]):.0f}",
                ratio,
                f"{median([r.echoes for r in group]):.1f}",
            ]
        )
    return table(title, ["", "rooms", "p50 ms", "p95 ms", "ratio", "echoes/s"], rows)


async def _main(options: argparse.Namespace) -> None:
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="rialto-benchmark-") as folder:
        async with running_synapse(Path(folder)) as server:
            for number in range(options.runs):
                for encrypted, candidates in CANDIDATES.items():
                    kind = "encrypted" if encrypted else "plain"
                    for name, opener in candidates:
                        if options.only and options.only not in f"{name} {kind}":
                            continue
                        progress(f"run {number + 1} of {options.runs}: {name}, {kind}")
                        try:
                            results.extend(await one_candidate(server, name, opener, encrypted, options))
                        except (AssertionError, TimeoutError, RuntimeError) as failure:
                            progress(f"{name}, {kind} gave up: {failure}")  # the others are measured all the same
    finish(options.json, results, show(results, f"real Synapse: send to echo, {options.runs} runs, medians"))


def main() -> None:
    """Entry point."""
    options = parser(__doc__, runs=1)
    options.add_argument("--rooms", type=lambda text: [int(part) for part in text.split(",")], default=[1, 8, 32])
    options.add_argument("--messages", type=int, default=10, help="messages in a room (three times that if alone)")
    run(_main(options.parse_args()))


if __name__ == "__main__":
    main()
