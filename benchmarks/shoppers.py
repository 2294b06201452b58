"""Shoppers: how long 500 people who shop at the same time wait for each answer, on a homeserver that answers at once.

    python -m benchmarks.shoppers [--people 500] [--products 10000] [--think 10] [--rounds 2] [--database postgresql://…]

Each shopper looks for something, opens it, puts it into the cart, looks at the cart and empties it, thinking before
each word. The time runs from the moment the homeserver queues the word to the moment the first answer's PUT arrives
there. Beside it the same people ask the shop for its help: what the machinery itself takes.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from appservice.clock import SystemClock
from appservice.database import Database, open_database
from benchmarks.common import finish, median, parser, percentile, progress, run, table
from bots.commerce.sellers import Sellers
from bots.commerce.shelf import Shelf
from bots.commerce.trade import Trade
from bots.domain.catalogue import Product, Stock, Variant
from bots.domain.merchants import Merchant, MerchantState, Way
from bots.domain.money import Money
from bots.domain.opening import Hours
from bots.domain.orders import Fulfilment
from tests.support.fake_client_api import Device
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.fake_http import Request
from tests.support.service_process import PICKLE_KEY, ServiceProcess, free_port, usage

BOTS: Final = (("hub", "rialto"), ("wallet", "wallet"), ("shop", "shop"))
SHOP: Final = "@shop:localhost"
ADJECTIVES: Final = [
    "red",
    "green",
    "blue",
    "small",
    "large",
    "round",
    "flat",
    "warm",
    "cold",
    "soft",
    "dark",
    "bright",
    "plain",
    "fine",
    "old",
    "new",
    "dry",
    "sweet",
]
THINGS: Final = [
    "bread",
    "lamp",
    "chair",
    "shirt",
    "kettle",
    "pencil",
    "basket",
    "carpet",
    "mirror",
    "candle",
    "blanket",
    "bottle",
    "hammer",
    "pillow",
    "vase",
]
PATIENCE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Result:
    """One run: answers, milliseconds from word to answer, CPU in milliseconds for each answer, peak memory in MB."""

    name: str
    answers: int
    p50: float
    p95: float
    p99: float
    cpu: float
    memory: float


@dataclass
class _Hand:
    """Reads and writes outside the service."""

    database: Database
    writes: list[Callable[[Connection], object]] = field(default_factory=list)

    async def query(self, work: Callable[[Connection], Any]) -> Any:
        return await self.database.read(work)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def store(self, operation: Callable[[Connection], object]) -> None:
        self.writes.append(operation)

    async def commit(self) -> None:
        """Write what was stored."""
        writes, self.writes = self.writes, []
        await self.database.write(lambda connection: [write(connection) for write in writes])


async def fill(url: str, products: int) -> None:
    """A shop of so many products."""
    database = open_database(url)
    await database.start()

    async def nothing(_: Any) -> None:
        raise AssertionError("nothing is due")

    trade, hand = Trade(PICKLE_KEY, database, nothing, SystemClock()), _Hand(database)
    sellers, shelf = Sellers(trade, "shop"), Shelf(trade, "shop")
    merchant = Merchant(
        trade.new_id(), "market", "shop", "@carol:localhost", "Market", "EUR", MerchantState.ACTIVE, Hours.always(),
        ways=(Way("Pickup", Fulfilment.PICKUP, Money(0, "EUR")),),
    )  # fmt: skip
    sellers.apply(hand, merchant)
    dice = random.Random(7)
    for number in range(products):
        name = f"{dice.choice(ADJECTIVES)} {dice.choice(ADJECTIVES)} {dice.choice(THINGS)} {number}".capitalize()
        price = Money(dice.randrange(100, 9_000), "EUR")
        shelf.put(hand, merchant.id, Product(f"p{number}", name, (Variant("one", "One", price, Stock()),)))
        if len(hand.writes) == 500:
            await hand.commit()
    await hand.commit()
    await database.stop()


class Shopper:
    """One person in a chat with the shop."""

    def __init__(self, homeserver: FakeHomeserver, number: int, think: float, dice: random.Random) -> None:
        self.homeserver = homeserver
        self.user_id = f"@p{number}:localhost"
        self.room_id = homeserver.add_room([self.user_id, SHOP]).room_id
        self.think = think
        self.dice = dice
        self.answered: asyncio.Future[None] | None = None

    def heard(self) -> None:
        """The shop has said something."""
        if self.answered is not None and not self.answered.done():
            self.answered.set_result(None)

    async def says(self, text: str) -> float:
        """Say something; the milliseconds until the answer."""
        self.answered = asyncio.get_running_loop().create_future()
        begun = time.perf_counter()
        event = self.homeserver.event(self.room_id, self.user_id, "m.room.message", {"msgtype": "m.text", "body": text})
        self.homeserver.push([event])
        async with asyncio.timeout(PATIENCE):
            await self.answered
        return (time.perf_counter() - begun) * 1000

    async def goes(self, script: Callable[[random.Random], Sequence[str]], rounds: int) -> list[float]:
        """Follow a script some times, thinking before each word; the milliseconds of each answer."""
        times = []
        await asyncio.sleep(self.dice.uniform(0, self.think))
        for _ in range(rounds):
            for text in script(self.dice):
                times.append(await self.says(text))
                await asyncio.sleep(self.dice.uniform(0.5, 1.5) * self.think)
        return times


def shopping(dice: random.Random) -> Sequence[str]:
    """Look for something, open it, take it, look at the cart, and empty it."""
    return (f"search {dice.choice(ADJECTIVES)} {dice.choice(THINGS)}", "1", "1", "cart", "cart empty")


def asking(_: random.Random) -> Sequence[str]:
    """What the machinery alone takes."""
    return ("help",) * 5


class Requests:
    """Counts what the service asks of the homeserver beside messages and the long polls of its devices."""

    def __init__(self, homeserver: FakeHomeserver) -> None:
        self._count = 0
        handle = homeserver.api.handle

        def counted(request: Request, user_id: str, device_id: str | None) -> None:
            self._count += "/sync" not in request.path
            handle(request, user_id, device_id)

        homeserver.api.handle = counted  # type: ignore[method-assign]  # it has no hook

    async def end(self) -> None:
        """Wait until there are none for some seconds: the service has told its rooms what its bots can do, which is of
        a start and not of an answer.
        """
        async with asyncio.timeout(1_200):
            before = -1
            while before != self._count:
                before = self._count
                await asyncio.sleep(5)


async def one_run(options: argparse.Namespace, database: str | None) -> list[Result]:
    """All shoppers, with both scripts."""
    results = []
    with tempfile.TemporaryDirectory(prefix="rialto-benchmark-") as name:
        folder = Path(name)
        homeserver = FakeHomeserver(appservice_port=free_port(), port=free_port())
        for _, localpart in BOTS:
            homeserver.api.account(f"@{localpart}:localhost").devices["PEER"] = Device("PEER")
        process = ServiceProcess.rialto(folder, homeserver, bots=BOTS, database=database)
        migrate = [sys.executable, "-m", "appservice.cli", "migrate", "-c", str(folder / "config.yaml")]
        subprocess.run(migrate, check=True, stdout=subprocess.DEVNULL)
        url = database or f"sqlite:///{folder / 'rialto.db'}"
        await fill(url, options.products)
        dice = random.Random(11)
        people = [Shopper(homeserver, number, options.think, dice) for number in range(options.people)]
        by_room = {each.room_id: each for each in people}

        def put(_: int) -> None:
            sent = homeserver.record.sent[-1]
            if sent.event_type == "m.room.message" and sent.room_id in by_room:
                by_room[sent.room_id].heard()

        homeserver.on_put = put
        requests = Requests(homeserver)
        with process:
            await homeserver.start()
            try:
                await process.start_ready(homeserver, 120)
                await requests.end()
                for script in (asking, shopping):
                    before = usage(process.pid).cpu
                    times = await asyncio.gather(*(each.goes(script, options.rounds) for each in people))
                    all_of = [each for one in times for each in one]
                    after = usage(process.pid)
                    results.append(
                        Result(
                            f"{'PostgreSQL' if database else 'SQLite'}, {script.__name__}",
                            len(all_of),
                            percentile(all_of, 0.5),
                            percentile(all_of, 0.95),
                            percentile(all_of, 0.99),
                            (after.cpu - before) / len(all_of) * 1000,
                            after.peak_rss / 1_000_000,
                        )
                    )
            except BaseException:
                print(process.log_tail(), file=sys.stderr)
                raise
            finally:
                await homeserver.stop()
    return results


async def _main(options: argparse.Namespace) -> None:
    found: dict[str, list[Result]] = {}
    for number in range(options.runs):
        for database in [None, *([options.database] if options.database else [])]:
            progress(f"run {number + 1} of {options.runs}: {'PostgreSQL' if database else 'SQLite'}")
            for result in await one_run(options, database):
                found.setdefault(result.name, []).append(result)
    rows = [
        [
            name,
            sum(each.answers for each in group),
            *(f"{median([getattr(each, field_) for each in group]):.1f}" for field_ in ("p50", "p95", "p99")),
            f"{median([each.cpu for each in group]):.2f}",
            f"{max(each.memory for each in group):.0f}",
        ]
        for name, group in found.items()
    ]
    title = f"{options.people} shoppers, {options.products} products, {options.think:g} s of thought between two words"
    head = ["", "answers", "p50 ms", "p95 ms", "p99 ms", "CPU ms", "peak MB"]
    finish(options.json, [each for group in found.values() for each in group], table(title, head, rows))


def main() -> None:
    """Entry point."""
    options = parser(__doc__, runs=1)
    options.add_argument("--people", type=int, default=500)
    options.add_argument("--products", type=int, default=10_000)
    options.add_argument("--think", type=float, default=10, help="seconds between two words")
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--database", help="postgresql://… of an empty database, for one more run")
    run(_main(options.parse_args()))


if __name__ == "__main__":
    main()
