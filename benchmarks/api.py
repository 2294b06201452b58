"""How many requests a second the API for embedding products answers, and how long one takes.

The API in one process on SQLite (or PostgreSQL), with a homeserver of memory behind it that answers at once; a product
in another, which asks with 1 and with 16 requests under way. Each write has a new idempotency key and is durable when
it is answered: claimed, done, its answer kept. The floor is the same HTTP server with a handler that does nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from sqlalchemy import insert

from appservice.database import open_database
from benchmarks.common import finish, median, parser, percentile, progress, run, table
from bots.store.tables import metadata
from bridge.store.chat_tables import chat_members
from tests.support.api import ApiWorld

MEMBERS = 10_000
CALLERS = (1, 16)
RATES = {"reads_per_minute": 1_000_000, "writes_per_minute": 1_000_000}


@dataclass(frozen=True, slots=True)
class Result:
    """Requests of one kind. ``rate``: a second; times in ms."""

    what: str
    callers: int
    rate: float
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Ask:
    """A kind of request. ``{n}`` in path and body is a new number each time."""

    what: str
    method: str
    path: str
    body: str = ""


ASKS = (
    Ask("floor: an empty handler", "GET", "/floor"),
    Ask("read: the product", "GET", "/api/v1/product"),
    Ask("read: a chat", "GET", "/api/v1/chats/{chat}"),
    Ask("read: 50 of 10,000 members", "GET", "/api/v1/chats/{chat}/members?limit=50"),
    Ask("write: a person", "POST", "/api/v1/people", '{"external_id": "p{n}"}'),
    Ask("write: a notice", "POST", "/api/v1/chats/{chat}/messages", '{"text": "Notice {n}"}'),
    Ask("write: a chat", "POST", "/api/v1/chats", '{"kind": "group", "name": "Group {n}"}'),
)


async def load(url: str, key: str, chat: str, seconds: float) -> list[Result]:
    """Ask, each kind for some seconds."""
    results = []
    number = 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100)) as session:
        for ask in ASKS:
            for callers in CALLERS:
                times: list[float] = []
                end = time.perf_counter() + seconds

                async def caller(ask: Ask = ask, end: float = end, times: list[float] = times) -> None:
                    nonlocal number
                    while time.perf_counter() < end:
                        number += 1
                        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
                        if ask.method == "POST":
                            headers["Idempotency-Key"] = f"n{number}"
                        path = ask.path.replace("{chat}", chat)
                        body = ask.body.replace("{n}", str(number)) or None
                        begun = time.perf_counter()
                        async with session.request(ask.method, url + path, data=body, headers=headers) as response:
                            raw = await response.read()
                            if response.status >= 300:
                                raise RuntimeError(f"{ask.what}: {response.status} {raw[:200]!r}")
                        times.append(time.perf_counter() - begun)

                begun = time.perf_counter()
                await asyncio.gather(*(caller() for _ in range(callers)))
                rate = len(times) / (time.perf_counter() - begun)
                shares = [1000 * percentile(times, share) for share in (0.5, 0.95)]
                results.append(Result(ask.what, callers, rate, *shares))
    return results


async def serve(database_url: str | None, seconds: float) -> list[Result]:
    """Serve, and have another process ask."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = open_database(database_url or f"sqlite:///{folder / 'rialto.db'}")
        await database.start()
        stack.push_async_callback(database.stop)
        await database.write(metadata.create_all)
        world = await stack.enter_async_context(ApiWorld(database, api=RATES, running=True))
        shop = await world.product()
        chat = await shop.client.chats.create("channel", "News", public=True)
        rows = [
            {
                "room_id": chat.room_id,
                "user_id": f"@member{number:05}:world",
                "membership": "join",
                "power": -10,
                "display_name": f"Member {number}",
                "folded": f"member {number}",
                "since": 0,
            }
            for number in range(MEMBERS)
        ]
        await database.write(lambda connection: connection.execute(insert(chat_members), rows))
        floor = web.Application()

        async def nothing(_request: web.Request) -> web.Response:
            return web.json_response({})

        floor.router.add_get("/floor", nothing)
        floor.add_subapp("/api/v1", world.embedding.app())
        runner = web.AppRunner(floor, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"

        async def tick() -> None:
            while True:
                await asyncio.sleep(0.05)
                world.clock.advance(milliseconds=50)

        ticking = asyncio.create_task(tick())
        arguments = ["-m", "benchmarks.api", "--load", url, shop.key, chat.id, "--seconds", str(seconds)]
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        ticking.cancel()
        await world.kill()  # notices that are still to be sent are not what is measured
        if process.returncode:
            raise SystemExit("the product failed")
        return [Result(**raw) for raw in json.loads(out)]


async def main(options: argparse.Namespace) -> None:
    """Run it, several times."""
    if options.load:
        url, key, chat = options.load
        found = await load(url, key, chat, options.seconds)
        print(json.dumps([asdict(each) for each in found]))
        return
    runs: list[list[Result]] = []
    for number in range(options.runs):
        progress(f"run {number + 1} of {options.runs}")
        runs.append(await serve(options.database, options.seconds))
    results = []
    for same in zip(*runs, strict=True):
        values: dict[str, Any] = {
            name: median([getattr(each, name) for each in same]) for name in ("rate", "p50", "p95")
        }
        results.append(Result(same[0].what, same[0].callers, **values))
    rows = [(each.what, each.callers, f"{each.rate:,.0f}", f"{each.p50:.1f}", f"{each.p95:.1f}") for each in results]
    head = ("request", "at once", "a second", "p50 ms", "p95 ms")
    finish(options.json, results, table("The API for embedding products", head, rows))


if __name__ == "__main__":
    made = parser(__doc__, runs=3)
    made.add_argument("--database", help="postgresql://… of an empty database, in the place of SQLite")
    made.add_argument("--seconds", type=float, default=4, help="of each kind of request (4)")
    made.add_argument("--load", nargs=3, metavar=("URL", "KEY", "CHAT"), help=argparse.SUPPRESS)
    run(main(made.parse_args()))
