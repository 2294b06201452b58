"""Ledgers for tests: several on one database, each with connections and a clock of its own."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from appservice.database import Database, SQLiteDatabase, open_database
from bots.domain.ledger_journal import Entry
from bots.domain.money import Money
from bots.framework.clock import ManualClock
from bots.payments.ledger import Account, AccountKind, Command, Ledger, Outcome, Report, Transfer
from bots.store import ledger as store
from bots.store.ledger_tables import ledger_journal

T = TypeVar("T")
NOW = 1_767_225_600_000


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def again(database: Database) -> Database:
    """Another Database on the same data, with connections of its own; not started."""
    url = f"sqlite:///{database.file}" if isinstance(database, SQLiteDatabase) else database.sync_url
    return open_database(url, pool_size=4)


@dataclass
class World:
    """Several ledgers on one database. The first one's clock is ``clock``."""

    databases: Sequence[Database]
    ledgers: Sequence[Ledger]
    clocks: Sequence[ManualClock]
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def ledger(self) -> Ledger:
        return self.ledgers[0]

    @property
    def clock(self) -> ManualClock:
        return self.clocks[0]

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self.databases[0].write(work)

    async def person(self, name: str, minor: int = 0, currency: str = "EUR") -> Account:
        """A person's account with so much money in it."""
        account = await self.ledger.account(f"@{name}:localhost", currency)
        if minor:
            provider = await self.provider(currency)
            await self.done(Transfer(f"open:{account.id}", provider.id, account.id, Money(minor, currency), "opening"))
        return await self.fresh(account)

    async def provider(self, currency: str = "EUR") -> Account:
        return await self.ledger.account("provider:sandbox", currency, AccountKind.PROVIDER)

    async def fresh(self, account: Account) -> Account:
        found = await self.ledger.get(account.id)
        assert found is not None
        return found

    async def done(self, *chain: Command) -> tuple[Outcome, ...]:
        """Take a chain that must be done."""
        outcomes = await self.ledger.execute(chain)
        assert all(outcome.done for outcome in outcomes), outcomes
        return outcomes

    def pay(self, debit: Account, credit: Account, minor: int, id_: str | None = None, **rest: object) -> Transfer:
        """A payment with an id of its own, unless told."""
        money = Money(minor, debit.currency)
        return Transfer(id_ or f"t{next(self.numbers)}", debit.id, credit.id, money, "payment", **rest)  # type: ignore[arg-type]

    async def all_at_once(self, chains: Iterable[Sequence[Command]]) -> list[tuple[Outcome, ...]]:
        """Take chains at once: by all ledgers in turn, half of them in batches, half in transactions of their own."""

        def take(index: int, chain: Sequence[Command]) -> Awaitable[tuple[Outcome, ...]]:
            which = index % len(self.ledgers)
            ledger = self.ledgers[which]
            if index // len(self.ledgers) % 2:
                return ledger.execute(chain)
            now = self.clocks[which].now_ms()
            return self.databases[which].write(lambda connection: ledger.apply(connection, chain, now))

        return list(await asyncio.gather(*(take(index, chain) for index, chain in enumerate(chains))))

    async def entries(self) -> list[Entry]:
        """The whole journal."""
        query = select(ledger_journal).order_by(ledger_journal.c.seq)
        return await self.databases[0].read(lambda connection: [Entry(*row) for row in connection.execute(query)])

    async def verified(self) -> Report:
        """The report on a ledger that must be whole."""
        report = await self.ledger.verify()
        assert report.whole, report.problems
        return report


@asynccontextmanager
async def ledgers_on(database: Database, count: int = 3) -> AsyncIterator[World]:
    """A world of so many ledgers on one database."""
    databases = [database, *(again(database) for _ in range(count - 1))]
    for each in databases[1:]:
        await each.start()
    clocks = [ManualClock(NOW) for _ in databases]
    try:
        yield World(databases, [Ledger(*pair) for pair in zip(databases, clocks, strict=True)], clocks)
    finally:
        for each in databases[1:]:
            await each.stop()


NOTICED = (AssertionError, IntegrityError)
Plant = Callable[[pytest.MonkeyPatch], None]
Check = Callable[[World], Any]


async def holds(world: World, monkeypatch: pytest.MonkeyPatch, planted: bool, plant: Plant, check: Check) -> None:
    """Whether a check passes as things are, and fails with the defect."""
    if not planted:
        await check(world)
        return
    monkeypatch.setattr(store, "check_batch", lambda before, after: None)
    plant(monkeypatch)
    with pytest.raises(NOTICED):
        await check(world)


both = pytest.mark.parametrize("planted", [False, True], ids=["as it is", "with a defect"])


def some_people(amounts: Sequence[int]) -> Callable[[World], Any]:
    async def make(world: World) -> list[Account]:
        return [await world.person(f"p{number}", minor) for number, minor in enumerate(amounts)]

    return make


def around(world: World, people: Sequence[Account], count: int, seed: int) -> list[list[Transfer]]:
    """Payments between people at random."""
    dice = random.Random(seed)
    pairs = [dice.sample(list(people), 2) for _ in range(count)]
    return [[world.pay(debit, credit, dice.randint(1, 300))] for debit, credit in pairs]
