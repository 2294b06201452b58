"""The example of docs/payments.md, on the real service."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mypy import api as mypy
from sqlalchemy import Connection

from appservice.events import InternalEvent
from appservice.sealing import Sealer
from bots.domain.ledger import AccountKind, Transfer
from bots.domain.limits import Limits
from bots.domain.money import Money
from bots.framework import Setup
from bots.framework.testing import World
from bots.payments.deadlines import Deadlines
from bots.payments.guard import Guard
from bots.payments.ledger import Ledger
from bots.payments.merchants import Merchants
from bots.payments.outcomes import ConfirmOutcome
from bots.payments.service import Payments
from bots.payments.settings import PaymentSettings
from bots.payments.till import Till
from bridge.audit import Audit
from tests.support.doc_blocks import doc_module

ROOT = Path(__file__).parents[2]
PAGE = doc_module(ROOT / "docs" / "payments.md")
ROOM = "!wallet:world"


class Bank:
    """The service of payments in a world."""

    def __init__(self) -> None:
        assert PAGE is not None
        bakery = PAGE.load().__dict__["Bakery"]
        self.world = World(lambda setup: bakery(self._given(setup)))
        self.ledger = Ledger(self.world.database, self.world.clock)
        sealer = Sealer("pickle", "payments")
        till = Till(
            self.world.database,
            self._raise_events,
            self.ledger,
            Guard([Limits()]),
            Audit(self.world.database, sealer),
            sealer,
            self.world.clock,
            PaymentSettings(),
            secret=b"secret" * 6,
            wallet="wallet",
        )
        self.payments = Payments(till)

    def _given(self, setup: Setup) -> Setup:
        return Setup(setup.instance, setup.user_id, services={Merchants: Merchants(self.payments)})

    async def _raise_events(self, work: Callable[[Connection], Iterable[InternalEvent]]) -> None:
        # The wallet's own events have nobody here who hears them.
        await self.world.raise_events(
            lambda connection: [event for event in work(connection) if event.consumer != "wallet"]
        )

    async def give(self, person: str, amount: Money) -> None:
        source = await self.ledger.account("provider:test", amount.currency, AccountKind.PROVIDER)
        wallet = await self.ledger.account(person, amount.currency)
        await self.ledger.execute([Transfer(f"give:{person}", source.id, wallet.id, amount, "top_up")])

    async def confirm(self, person: str) -> Any:
        (payment,) = await self.payments.open_for(person)
        challenge = await self.payments.challenge(payment.id, person, ROOM)
        assert challenge.code is not None
        answer = await self.payments.confirm(payer=person, code=challenge.code, room_id=ROOM, event_id=payment.id)
        await self.world.settle()
        return answer


async def test_a_cake_is_ordered_taken_and_given_back() -> None:
    bank = Bank()
    async with bank.world as world:
        alice = world.user("alice")
        await bank.give(alice.user_id, Money(5_000, "EUR"))
        await alice.says("cake")
        assert "confirm" in (await alice.hears()).body
        answer = await bank.confirm(alice.user_id)
        assert answer.outcome is ConfirmOutcome.HELD
        assert (await alice.hears()).body == "It is in the oven."
        for words in ("23.80 EUR are on their way back.", "You had it back already."):
            await alice.says(f"burnt {answer.payment.id}")
            assert (await alice.hears()).body == words
        assert (await bank.ledger.account(alice.user_id, "EUR")).balance == Money(5_000, "EUR")
        world.check()


async def test_nobody_was_at_the_oven() -> None:
    bank = Bank()
    async with bank.world as world:
        alice = world.user("alice")
        await bank.give(alice.user_id, Money(5_000, "EUR"))
        await alice.says("cake")
        await alice.hears()
        (payment,) = await bank.payments.open_for(alice.user_id)
        world.clock.advance(minutes=15)
        await Deadlines(bank.payments).run_due()
        await world.settle()
        assert (await bank.payments.get(payment.id)).state == "expired"  # type: ignore[union-attr]
        await alice.hears_nothing()


def test_a_type_checker_agrees(tmp_path: Path) -> None:
    assert PAGE is not None
    file = tmp_path / f"{PAGE.name}.py"
    file.write_text(PAGE.source, encoding="utf-8")
    said, errors, code = mypy.run(["--config-file", str(ROOT / "pyproject.toml"), str(file)])
    assert code == 0, said + errors
