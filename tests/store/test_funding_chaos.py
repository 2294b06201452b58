"""Money comes and goes while commits fail, or come true and nobody hears of it: at random points, again and again.

In the end each movement is in the ledger once, and the ledger and the providers agree.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import pytest

from appservice.database import DatabaseError
from bots.domain.funding import TopUpState
from bots.domain.payments import PaymentState
from bots.payments.providers.base import Provider
from bots.store import funding as sql
from tests.store.funding_world import FundingWorld
from tests.store.harness import FlakyDatabase
from tests.store.payments_world import ALICE, eur
from tests.support.bank_samples import camt_of
from tests.support.fake_stripe import FakeStripe

T = TypeVar("T")


class Chaos:
    """A world in which every write may fail, every answer of Stripe may be lost, and the service may be killed."""

    def __init__(self, database: FlakyDatabase, fake: FakeStripe, seed: int) -> None:
        self.random = random.Random(seed)
        self.database = database
        self.fake = fake
        self.world = FundingWorld(database, stripe=fake)
        self.faults = 0
        fake.now = self.world.clock.now_ms() // 1000
        database.fault = self.fault

    def fault(self) -> str | None:
        found = self.random.choices([None, "before", "after", "late"], [6, 1, 1, 1])[0]
        self.faults += found is not None
        return found

    async def stubborn(self, work: Callable[[], Awaitable[T]]) -> T:
        """Try until it works, with a service that may be a new one each time."""
        for _ in range(200):
            self.fake.faults = self.random.choices(["", "drop", "lost", "500"], [5, 1, 1, 1])
            try:
                return await work()
            except DatabaseError:
                if self.random.random() < 0.5:
                    self.world.restart()
        raise AssertionError("it did not work in 200 attempts")

    async def top_up(self, minor: int, provider: str, key: str) -> str:
        return (await self.stubborn(lambda: self.world.funding.top_up(ALICE, eur(minor), provider, key))).id

    async def goes_on(self, times: int = 6) -> None:
        """Time passes, and the service does what is due."""
        for _ in range(times):
            await self.stubborn(self.world.funding.run_once)
            self.world.clock.advance(minutes=self.random.randint(1, 90))

    async def provider_id(self, top_up: str) -> str:
        """The provider's id, when it is known at last."""
        for _ in range(20):
            row = await self.database.read(lambda connection: sql.top_up(connection, self.world.sealer, top_up))
            assert row is not None
            if row.provider_id is not None:
                return row.provider_id
            self.world.clock.advance(minutes=1)
            await self.stubborn(self.world.funding.run_once)
        raise AssertionError("the provider never answered")


@asynccontextmanager
async def running(provider: Provider) -> AsyncIterator[None]:
    await provider.start()
    try:
        yield
    finally:
        await provider.stop()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


@pytest.fixture
async def fake() -> AsyncIterator[FakeStripe]:
    made = await FakeStripe().start()
    yield made
    await made.stop()


@pytest.mark.parametrize("seed", range(6))
async def test_nothing_is_lost_and_nothing_happens_twice(
    flaky: FlakyDatabase, fake: FakeStripe, stack: AsyncExitStack, seed: int
) -> None:
    chaos = Chaos(flaky, fake, seed)
    world = chaos.world
    await stack.enter_async_context(running(world.providers["stripe"]))
    try:
        by_stripe = await chaos.top_up(1000, "stripe", "k1")
        by_sandbox = await chaos.top_up(2000, "sandbox", "k2")
        by_bank = await chaos.top_up(4000, "bank", "k3")
        fake.pay(await chaos.provider_id(by_stripe))
        payment = await chaos.provider_id(by_sandbox)
        await chaos.stubborn(lambda: world.sandbox.settle(payment, "success"))
        statement = camt_of(("40.00", "B1", "", await chaos.provider_id(by_bank)))
        await chaos.stubborn(lambda: world.desk.import_statement(statement))
        await chaos.goes_on()
        await chaos.stubborn(lambda: world.funding.refund(by_stripe, eur(300), "r1"))
        out = await chaos.stubborn(lambda: world.cash_out(500, "bank", "o1"))
        other = await chaos.stubborn(lambda: world.cash_out(613, "sandbox", "o2"))
        await chaos.goes_on()
        await chaos.stubborn(lambda: world.desk.export("BATCH"))
        paid = camt_of(("-5.00", "B2", out.id, ""), number="S2")
        await chaos.stubborn(lambda: world.desk.import_statement(paid))
        await chaos.goes_on()
    finally:
        flaky.fault = lambda: None
        fake.faults = []
    for _ in range(4):
        await world.settle_all()
        world.clock.advance(hours=2)
    assert chaos.faults > 10
    for top_up, minor in ((by_stripe, 1000), (by_sandbox, 2000), (by_bank, 4000)):
        shown = await world.funding.get(top_up)
        assert (shown.state, shown.credited) == (TopUpState.SUCCEEDED, eur(minor))
    assert (await world.found(out)).state is PaymentState.PAID
    assert (await world.found(other)).state is PaymentState.VOIDED
    assert await world.balance(ALICE) == await world.available(ALICE) == 7000 - 300 - 500
    assert (len(fake.sessions), len(fake.refunds)) == (1, 1)
    result = await world.reconciliation().run()
    assert (result.differences, result.failed) == ([], {})
    await world.sound()
