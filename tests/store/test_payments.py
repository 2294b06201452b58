"""Payments from proposal to receipt, on both databases."""

from __future__ import annotations

import pytest

from appservice.database import Database
from bots.domain.payments import PaymentRefused, PaymentState
from bots.payments.outcomes import ConfirmOutcome
from bots.payments.service import IdConflict
from tests.store.payments_world import ALICE, BOB, CAROL, ROOM, World, eur


@pytest.fixture
async def world(database: Database) -> World:
    """Alice has 100 EUR; Bob's wallet is open."""
    made = World(database)
    await made.give(ALICE, eur(10_000))
    await made.payments.open_wallet(BOB)
    return made


async def test_alice_pays_bob(world: World) -> None:
    payment = await world.payments.propose(world.proposal())
    assert payment.state is PaymentState.PROPOSED
    assert payment.paid_before is False
    confirmed = await world.pays(payment)
    assert confirmed.outcome is ConfirmOutcome.PAID
    assert confirmed.payment is not None
    assert confirmed.payment.state is PaymentState.PAID
    assert await world.balance(ALICE) == 9_000
    assert await world.balance(BOB) == 1_000
    assert world.told_of(payment, ALICE) == world.told_of(payment, BOB) == ["proposed", "paid"]
    assert await world.audited(payment) == [
        "payment.propose proposed",
        "payment.challenge code",
        "payment.confirm paid",
    ]
    second = await world.payments.propose(world.proposal(key="k2"))
    assert second.paid_before is True
    await world.sound()
