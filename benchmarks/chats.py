"""What chats cost: making them, and a chat of 10,000 members.

    python -m benchmarks.chats [--chats 200] [--members 10000] [--database postgresql://USER@HOST:PORT/postgres]
    python -m benchmarks.chats --synapse [--chats 40]

The first measures Rialto's own part: the homeserver is of memory, in the same process, and answers at once. With
``--synapse`` a real one answers, and the bare request for such a room, invitations included, is measured beside.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from appservice.config.loader import load_config
from appservice.database import Database, open_database
from appservice.main import build
from benchmarks.common import finish, parser, percentile, progress, run, table
from benchmarks.ledger import scratch
from bots.store.tables import metadata
from bridge.actor import SYSTEM, Actor
from bridge.chats.plans import NewChat
from bridge.domain.kinds import Kind
from bridge.domain.roles import Role
from tests.support.messenger import STEWARD, MessengerWorld
from tests.support.servers import RialtoProcess, running_synapse

SHOP = Actor.of_product("shop")
PEOPLE = 3


async def timed(count: int, concurrency: int, one: Callable[[int], Awaitable[object]]) -> tuple[float, list[float]]:
    """Seconds for all, and milliseconds for each."""
    times: list[float] = []
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            begin = time.perf_counter()
            await one(number)
            times.append((time.perf_counter() - begin) * 1000)

    begin = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return time.perf_counter() - begin, times


@dataclass(frozen=True, slots=True)
class Line:
    """What was done, how often in a second, and the milliseconds that each took."""

    what: str
    per_second: float
    p50: float | None = None
    p95: float | None = None

    @property
    def cells(self) -> list[str]:
        """As the table shows it."""
        return [
            self.what,
            f"{self.per_second:,.0f}",
            *("" if ms is None else f"{ms:.2f}" for ms in (self.p50, self.p95)),
        ]


def row(what: str, count: int, seconds: float, times: list[float]) -> Line:
    """A line of the table."""
    return Line(what, count / seconds, percentile(times, 0.5), percentile(times, 0.95))


@contextlib.asynccontextmanager
async def database_at(url: str | None, folder: Path) -> AsyncIterator[Database]:
    """A scratch database."""
    async with contextlib.AsyncExitStack() as stack:
        where = f"sqlite:///{folder / 'chats.db'}" if url is None else await stack.enter_async_context(scratch(url))
        database = open_database(where, pool_size=4)
        await database.start()
        await database.write(metadata.create_all)
        yield database
        await database.stop()


async def own_part(url: str | None, folder: Path, chats: int, members: int) -> list[Line]:
    """Rialto's own part of it."""
    rows: list[Line] = []
    async with database_at(url, folder) as database, MessengerWorld(database) as world:
        world.homeserver.requests = _Nothing()  # it would remember each
        service = world.chats

        async def make(number: int) -> None:
            people = [f"@p{number}-{each}:world" for each in range(PEOPLE)]
            await service.create(SHOP, Kind.GROUP, name=f"Order {number}", members=people, key=str(number))

        for concurrency in (1, 16):
            offset = chats * concurrency
            seconds, times = await timed(chats, concurrency, lambda number, offset=offset: make(offset + number))  # type: ignore[misc]
            rows.append(row(f"make a group of {PEOPLE}, {concurrency} at a time", chats, seconds, times))
            await world.settle()
        progress("a large chat")
        alice = world.person("alice")
        room_id = await alice.makes_room(preset="public_chat", invite=[STEWARD], name="Large")
        levels = dict(world.room(room_id).content("m.room.power_levels"))
        await alice.sets(room_id, "m.room.power_levels", {**levels, "users": {**levels["users"], STEWARD: 100}})
        world.homeserver.fill(world.room(room_id), [f"@m{number}:world" for number in range(members)])
        chat = await service.adopt(SYSTEM, room_id)
        begin = time.perf_counter()
        await world.messenger.member_feature.run_due()
        rows.append(Line(f"read {members:,} members once", members / (time.perf_counter() - begin)))
        actor = Actor.person(alice.user_id)
        page = world.members.page
        seconds, times = await timed(200, 1, lambda _: page(actor, chat))
        rows.append(row("the first page of its members", 200, seconds, times))
        seconds, times = await timed(200, 1, lambda number: page(actor, chat, query=f"m{number}"))
        rows.append(row("look for a name in it", 200, seconds, times))
        rank = world.members.set_role
        seconds, times = await timed(100, 1, lambda number: rank(actor, chat, f"@m{number}:world", Role.MODERATOR))
        rows.append(row("promote a member", 100, seconds, times))
        await world.settle()
        for number in range(2_000):
            world.homeserver.join(world.room(room_id), f"@late{number}:world")
        begin = time.perf_counter()
        await world.settle()
        rows.append(Line("people who join it, through the engine", 2_000 / (time.perf_counter() - begin)))
    return rows


class _Nothing(list[tuple[str, str, str]]):
    """Remembers nothing."""

    def append(self, item: tuple[str, str, str]) -> None:
        """Not kept."""


async def with_synapse(folder: Path, chats: int) -> list[Line]:
    """Chats on a real homeserver, and the bare request beside."""
    rows: list[Line] = []
    async with running_synapse(folder / "homeserver", slots=1) as server:
        process = RialtoProcess(
            server, server.take_slot(), folder / "rialto", ["echo"], overrides={"logging": {"level": "warning"}}
        )
        people = [(await server.new_account("person")).user_id for _ in range(PEOPLE)]
        rialto = build(load_config(process.config_path))
        await rialto.start()
        try:
            service, steward = rialto.messenger.chats, rialto.messenger.steward.user_id
            body = NewChat.of(Kind.GROUP, name="Order", members=people).request(steward) | {"invite": people}

            async def bare(_number: int) -> None:
                await rialto.service.homeserver.request(
                    "POST", "/_matrix/client/v3/createRoom", user_id=steward, body=body
                )

            for concurrency in (1, 8):

                async def make(number: int, concurrency: int = concurrency) -> None:
                    key = f"{concurrency}-{number}"
                    await service.create(SHOP, Kind.GROUP, name="Order", members=people, key=key)

                for name, one in (("the bare request", bare), ("Rialto", make)):
                    seconds, times = await timed(chats, concurrency, one)
                    rows.append(row(f"{name}, {concurrency} at a time", chats, seconds, times))
        finally:
            await rialto.stop()
    return rows


async def main(options: argparse.Namespace) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="rialto-chats-") as name:
        if options.synapse:
            title, lines = "Chats, with Synapse", await with_synapse(Path(name), options.chats)
        else:
            title = f"Chats, {'PostgreSQL' if options.database else 'SQLite'}"
            lines = await own_part(options.database, Path(name), options.chats, options.members)
    head = ("what", "a second", "ms p50", "ms p95")
    finish(options.json, lines, table(title, head, [line.cells for line in lines]))


if __name__ == "__main__":
    arguments = parser(__doc__, 1)
    arguments.add_argument("--chats", type=int, default=200)
    arguments.add_argument("--members", type=int, default=10_000)
    arguments.add_argument("--database", help="a PostgreSQL server, in which a scratch database is made")
    arguments.add_argument("--synapse", action="store_true", help="on a real homeserver")
    run(main(arguments.parse_args()))
