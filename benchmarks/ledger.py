"""How many transfers a second the ledger posts, beside the barest transaction that could be called one, and how long
its queries take with a million postings.

Each transfer is durable when its caller goes on: two postings, the idempotency key and the limits checked, the journal
chained. The floor updates two rows and inserts one, through the same Database object, one transaction after the other.
Floor and ledger take turns in short bursts, so that a machine that is busy with other things is so for both: judge by
the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from sqlalchemy import Connection

from appservice.database import Database, open_database
from benchmarks.common import deviation, finish, median, parser, percentile, progress, run, table
from bots.domain.ledger import AccountKind, Transfer
from bots.domain.money import Money
from bots.framework.clock import SystemClock
from bots.payments.ledger import Ledger
from bots.store import ledger as store
from bots.store import ledger_reading as reading
from bots.store.tables import metadata

ACCOUNTS = 10_000
CALLERS = (1, 8, 64)
BURST_S = 0.1
BURSTS = 10
LIMIT_MS = 5.0
FLOOR = "floor, one by one"
NOTHING = "floor: a query of nothing"


@dataclass(frozen=True, slots=True)
class Rate:
    """Transfers a second: median of the runs, its deviation (MAD), and the ratio to the floor of the same turn."""

    database: str
    name: str
    per_second: float
    mad: float
    of_floor: float


@dataclass(frozen=True, slots=True)
class Latency:
    """A query's time in ms."""

    database: str
    name: str
    p50: float
    p95: float


@dataclass(slots=True)
class Bench:
    """A database with accounts that are full of money."""

    database: Database
    ledger: Ledger
    accounts: list[str]
    hot: str
    dice: random.Random
    made: int = 0

    def transfer(self, hot: bool) -> Transfer:
        """The next one: between two accounts, or from one to the hot one."""
        self.made += 1
        debit, credit = self.dice.sample(self.accounts, 2)
        return Transfer(f"b{self.made:09}", debit, self.hot if hot else credit, Money(1, "EUR"), "payment")


async def prepare(database: Database) -> Bench:
    """Open the accounts and give money to each, in large transactions."""

    def work(connection: Connection) -> None:
        metadata.create_all(connection)
        connection.exec_driver_sql("CREATE TABLE bare_accounts (id TEXT PRIMARY KEY, balance BIGINT NOT NULL)")
        connection.exec_driver_sql(
            "CREATE TABLE bare_transfers (id TEXT PRIMARY KEY, debit TEXT, credit TEXT, amount BIGINT)"
        )

    await database.write(work)
    ledger = Ledger(database, SystemClock())

    def fill(connection: Connection) -> Bench:
        provider = ledger.open(connection, "provider:bench", "EUR", AccountKind.PROVIDER, 1).id
        hot = ledger.open(connection, "bot:hot", "EUR", AccountKind.MERCHANT, 1).id
        ids = [
            ledger.open(connection, f"@p{number}:localhost", "EUR", AccountKind.PERSON, 1).id
            for number in range(ACCOUNTS)
        ]
        for start in range(0, ACCOUNTS, 1000):
            chains = [
                [Transfer(f"o{each}", provider, each, Money(10**9, "EUR"), "opening")]
                for each in ids[start : start + 1000]
            ]
            store.apply(connection, chains, 1)
        values = "VALUES (?, 0)" if database.dialect == "sqlite" else "VALUES ($1, 0)"
        connection.exec_driver_sql(f"INSERT INTO bare_accounts (id, balance) {values}", [(each,) for each in ids])
        return Bench(database, ledger, ids, hot, random.Random(4))

    bench = await database.write(fill)
    if database.dialect == "postgresql":
        await database.write(lambda connection: connection.exec_driver_sql("ANALYZE"))
    return bench


Burst = tuple[int, float]
"""How many transactions, in how many seconds."""


async def bare(bench: Bench, seconds: float) -> Burst:
    """The floor."""
    lite = bench.database.dialect == "sqlite"
    one, two, three, four = ("?", "?", "?", "?") if lite else ("$1", "$2", "$3", "$4")
    change = f"UPDATE bare_accounts SET balance = balance + {one} WHERE id = {two}"
    insert = f"INSERT INTO bare_transfers (id, debit, credit, amount) VALUES ({one}, {two}, {three}, {four})"
    count, end, start = 0, time.perf_counter() + seconds, time.perf_counter()
    while time.perf_counter() < end:
        transfer = bench.transfer(False)

        def work(connection: Connection, transfer: Transfer = transfer) -> None:
            amount = transfer.amount.minor
            connection.exec_driver_sql(change, (-amount, transfer.debit))
            connection.exec_driver_sql(change, (amount, transfer.credit))
            connection.exec_driver_sql(insert, (transfer.id, transfer.debit, transfer.credit, amount))

        await bench.database.write(work)
        count += 1
    return count, time.perf_counter() - start


async def posted(bench: Bench, seconds: float, callers: int, hot: bool) -> Burst:
    """So many callers post, each one transfer after the other."""
    count, end, start = 0, time.perf_counter() + seconds, time.perf_counter()

    async def call() -> None:
        nonlocal count
        while time.perf_counter() < end:
            (outcome,) = await bench.ledger.execute([bench.transfer(hot)])
            assert outcome.done, outcome
            count += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(call())
    return count, time.perf_counter() - start


async def beside(bench: Bench, case: Callable[[float], Awaitable[Burst]]) -> tuple[float, float]:
    """The rates of a case and of the floor, in short bursts in turn: what else the machine does slows both."""
    sums = [0.0] * 4
    for _ in range(BURSTS):
        bursts = (*await case(BURST_S), *await bare(bench, BURST_S))
        sums = [old + new for old, new in zip(sums, bursts, strict=True)]
    return sums[0] / sums[1], sums[2] / sums[3]


async def rates(bench: Bench, runs: int, label: str) -> list[Rate]:
    """Floor and ledger in turns."""
    cases: dict[str, Callable[[float], Awaitable[Burst]]] = {}
    for hot in (False, True):
        for callers in CALLERS:
            who = "caller" if callers == 1 else "callers"
            name = f"ledger, {callers} {who}, {'one hot account' if hot else '10,000 accounts'}"
            cases[name] = lambda seconds, callers=callers, hot=hot: posted(bench, seconds, callers, hot)  # type: ignore[misc]
            await cases[name](0.2)  # caches fill
    await bare(bench, 0.2)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for turn in range(runs):
        progress(f"{label}: turn {turn + 1} of {runs}")
        for name, case in cases.items():
            found[name].append(await beside(bench, case))
    floors = [floor for pairs in found.values() for _, floor in pairs]
    made = [Rate(label, FLOOR, median(floors), deviation(floors), 1.0)]
    for name, pairs in found.items():
        values = [rate for rate, _ in pairs]
        ratio = median([rate / floor for rate, floor in pairs])
        made.append(Rate(label, name, median(values), deviation(values), ratio))
    return made


async def grow(bench: Bench, postings: int) -> None:
    """Post until there are so many postings; every fourth transfer goes to the hot account."""
    missing = postings // 2 - ACCOUNTS - bench.made
    size = 2000
    now = SystemClock().now_ms()
    for done in range(0, missing, size):
        chains = [[bench.transfer(number % 4 == 0)] for number in range(min(size, missing - done))]
        await bench.database.write(
            lambda connection, chains=chains, at=now + done: store.apply(connection, chains, at)  # type: ignore[misc]
        )
        if done % 100_000 == 0:
            progress(f"{done:,} of {missing:,} transfers")
    if bench.database.dialect == "postgresql":
        await bench.database.write(lambda connection: connection.exec_driver_sql("ANALYZE"))


async def latencies(bench: Bench, label: str, count: int) -> list[Latency]:
    """Queries on accounts at random, and on the hot one."""
    ledger, dice = bench.ledger, bench.dice
    end = (await bench.database.read(reading.head)).seq

    async def timed(name: str, query: Callable[[], Awaitable[object]]) -> Latency:
        times = []
        for _ in range(count):
            start = time.perf_counter()
            await query()
            times.append((time.perf_counter() - start) * 1000)
        return Latency(label, name, median(times), percentile(times, 0.95))

    last = (await ledger.statement(bench.hot, limit=1))[0].at
    first = last - (end - ACCOUNTS * 2)  # the journal grew by an entry a millisecond

    def some() -> str:
        return dice.choice(bench.accounts)

    def seq() -> int:
        return dice.randrange(ACCOUNTS * 2, end)

    def at() -> int:
        return dice.randrange(first, last + 1)

    def nothing(connection: Connection) -> object:
        return connection.exec_driver_sql("SELECT 1").scalar()

    return [
        await timed(NOTHING, lambda: bench.database.read(nothing)),
        await timed("balance", lambda: ledger.get(some())),
        await timed("balance at a past time", lambda: ledger.balance_at(some(), at())),
        await timed("balance at a past time, hot account", lambda: ledger.balance_at(bench.hot, at())),
        await timed("statement, 50 lines", lambda: ledger.statement(some(), limit=50)),
        await timed("statement, 50 lines, hot account", lambda: ledger.statement(bench.hot, limit=50)),
        await timed(
            "statement, a page in the middle, hot account",
            lambda: ledger.statement(bench.hot, limit=50, before_seq=seq()),
        ),
        await timed(
            "statement of a time, hot account", lambda: ledger.statement(bench.hot, limit=50, since=first, until=at())
        ),
    ]


def pgbench(url: str) -> list[Rate]:
    """TPC-B as PostgreSQL's own benchmark has it, in a database of its own: transactions a second."""
    found = [shutil.which("pgbench"), *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/pgbench")))[::-1]]
    program = next((each for each in found if each), None)
    if program is None:
        progress("no pgbench here")
        return []
    subprocess.run([program, "-i", "-q", "-s", "1", url], check=True, capture_output=True, timeout=120)
    rates = []
    for clients in CALLERS:
        arguments = [program, "-n", "-c", str(clients), "-j", "1", "-T", "5", "-M", "prepared", url]
        printed = subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=60).stdout
        tps = re.search(r"tps = ([0-9.]+)", printed)
        assert tps is not None, printed
        plural = "s" if clients > 1 else ""
        rates.append(Rate("PostgreSQL", f"pgbench TPC-B, {clients} client{plural}", float(tps.group(1)), 0.0, 0.0))
    return rates


@contextlib.asynccontextmanager
async def scratch(server: str) -> AsyncIterator[str]:
    """The URL of a new database on a server, dropped at the end."""
    connection = await asyncpg.connect(server, timeout=10)
    name = f"rialto_benchmark_{secrets.token_hex(6)}"
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
        yield server.rpartition("/")[0] + f"/{name}"
    finally:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await connection.close()


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Bench]:
    """A bench on an empty database."""
    database = open_database(url)
    await database.start()
    try:
        yield await prepare(database)
    finally:
        await database.stop()


async def measure(url: str, label: str, options: argparse.Namespace) -> tuple[list[Rate], list[Latency]]:
    """Rates, then latencies, on one database."""
    async with opened(url) as bench:
        found = await rates(bench, options.runs, label) if options.runs else []
        if not options.postings:
            return found, []
        progress(f"{label}: {options.postings:,} postings are made")
        await grow(bench, options.postings)
        waits = await latencies(bench, label, options.queries)
        if options.verify:
            start = time.perf_counter()
            report = await bench.ledger.verify()
            assert report.whole, report
            progress(f"{label}: {report.entries:,} entries verified in {time.perf_counter() - start:.1f} s")
        return found, waits


def report(rated: list[Rate], waits: list[Latency]) -> str:
    """The tables, and whether the targets are met."""
    lines = [
        table(
            "Transfers a second",
            ("", "database", "a second", "MAD", "of the floor"),
            [
                (each.name, each.database, f"{each.per_second:,.0f}", f"{each.mad:,.0f}", f"{each.of_floor:.0%}")
                for each in rated
            ],
        )
    ]
    if waits:
        rows = [(each.name, each.database, f"{each.p50:.2f}", f"{each.p95:.2f}") for each in waits]
        lines.append(table("Queries, ms", ("", "database", "p50", "p95"), rows))
        slow = [each for each in waits if each.p95 > LIMIT_MS]
        lines.append(f"p95 of every query within {LIMIT_MS:g} ms: {'no' if slow else 'yes'}")
    return "\n\n".join(lines)


async def main(options: argparse.Namespace) -> None:
    """Measure on SQLite, and on PostgreSQL when it is named."""
    rated: list[Rate] = []
    waits: list[Latency] = []
    if options.only in (None, "sqlite"):
        with tempfile.TemporaryDirectory(prefix="rialto-benchmark-") as folder:
            found = await measure(f"sqlite:///{folder}/ledger.db", "SQLite", options)
            rated, waits = rated + found[0], waits + found[1]
    if options.database and options.only in (None, "postgresql"):
        async with scratch(options.database) as url:
            found = await measure(url, "PostgreSQL", options)
            rated, waits = rated + found[0], waits + found[1]
        if options.runs:
            async with scratch(options.database) as url:
                rated += await asyncio.to_thread(pgbench, url)
    finish(options.json, [*rated, *waits], report(rated, waits))


if __name__ == "__main__":
    arguments = parser(__doc__, runs=5)
    arguments.add_argument("--database", metavar="URL", help="a PostgreSQL server to measure on too: postgresql://…")
    arguments.add_argument("--postings", type=int, default=1_000_000, help="for the queries; 0: leaves them out")
    arguments.add_argument("--queries", type=int, default=500, help="of each kind (500)")
    arguments.add_argument(
        "--verify", action="store_true", help="replay the journal at the end, and say how long it took"
    )
    run(main(arguments.parse_args()))
