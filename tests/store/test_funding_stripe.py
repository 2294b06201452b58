"""Top-ups by Stripe: messages that repeat, overtake each other or lie, answers that get lost; and the comparison."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from appservice.database import Database
from bots.domain.funding import DAY_MS, Difference, RefundState, TopUpState
from bots.domain.funding import Seen as Answer
from bots.domain.ledger import AccountKind, Transfer
from bots.payments.funding_values import FundingRefused
from bots.payments.providers.base import ProviderPayment
from bots.payments.reconciliation import GRACE_MS, Gauge
from bots.store.differences import DifferenceRow
from tests.store.funding_world import FundingWorld
from tests.store.payments_world import ALICE, eur
from tests.support.bank_samples import camt_of
from tests.support.fake_stripe import FakeStripe


@pytest.fixture
async def fake() -> AsyncIterator[FakeStripe]:
    made = await FakeStripe().start()
    yield made
    await made.stop()


@pytest.fixture
async def world(database: Database, fake: FakeStripe) -> AsyncIterator[FundingWorld]:
    made = FundingWorld(database, stripe=fake)
    fake.now = made.clock.now_ms() // 1000
    await made.providers["stripe"].start()
    yield made
    await made.providers["stripe"].stop()


async def begun(world: FundingWorld, fake: FakeStripe, key: str = "k") -> tuple[str, dict[str, Any]]:
    top_up = await world.funding.top_up(ALICE, eur(2000), "stripe", key)
    return top_up.id, list(fake.sessions.values())[-1]


async def heard(world: FundingWorld, fake: FakeStripe, kind: str, about: dict[str, Any], event_id: str) -> int:
    return await world.funding.webhook("stripe", *fake.event(kind, about, event_id=event_id))


async def test_paid_told_often_credited_once(world: FundingWorld, fake: FakeStripe) -> None:
    top_up, session = await begun(world, fake)
    fake.pay(session["id"])
    for event in ("evt_2", "evt_2", "evt_1", "evt_3"):
        await heard(world, fake, "checkout.session.completed", session, event)
        await world.settle_all()
    assert (await world.funding.get(top_up)).credited == eur(2000)
    assert world.told_states(top_up) == ["succeeded"]
    await world.sound()


async def test_a_message_that_comes_while_it_is_asked_is_not_forgotten(world: FundingWorld, fake: FakeStripe) -> None:
    """What was asked before is older than the message, and is kept after it."""
    begun_top_up, session = await begun(world, fake)
    provider = world.providers["stripe"]
    fetch = provider.fetch

    async def overtaken(payment_id: str, top_up: str) -> ProviderPayment:
        provider.fetch = fetch  # type: ignore[method-assign]
        fake.pay(session["id"])
        await heard(world, fake, "checkout.session.completed", session, "evt_1")
        return ProviderPayment(payment_id, Answer.EXPIRED)

    provider.fetch = overtaken  # type: ignore[method-assign]
    world.clock.advance(minutes=1)
    await world.settle_all()
    assert (await world.funding.get(begun_top_up)).credited == eur(2000)
    assert world.told_states(begun_top_up)[-1] == "succeeded"
    await world.sound()


async def test_a_message_is_not_believed(world: FundingWorld, fake: FakeStripe) -> None:
    top_up, session = await begun(world, fake)
    lie = {**session, "status": "complete", "payment_status": "paid"}
    await heard(world, fake, "checkout.session.completed", lie, "evt_1")
    await world.settle_all()
    assert (await world.funding.get(top_up)).state is TopUpState.PENDING
    assert await world.balance(ALICE) == 0


async def test_messages_in_the_wrong_order(world: FundingWorld, fake: FakeStripe) -> None:
    top_up, session = await begun(world, fake)
    fake.pay(session["id"], later=True)
    fake.settle(session["id"], succeeds=True)
    await heard(world, fake, "checkout.session.async_payment_succeeded", session, "evt_2")
    await world.settle_all()
    await heard(world, fake, "checkout.session.completed", {**session, "status": "open"}, "evt_1")
    await heard(world, fake, "checkout.session.expired", session, "evt_0")
    await world.settle_all()
    assert world.told_states(top_up) == ["succeeded"]
    assert await world.balance(ALICE) == 2000


@pytest.mark.parametrize("fault", ["drop", "lost", "500", "429"])
async def test_an_answer_that_is_lost_makes_no_second_payment(
    world: FundingWorld, fake: FakeStripe, fault: str
) -> None:
    fake.faults = [fault]
    top_up = await world.funding.top_up(ALICE, eur(2000), "stripe", "k")
    assert (top_up.state, top_up.link) == (TopUpState.CREATED, "")
    world.restart()
    world.clock.advance(minutes=2)
    await world.settle_all()
    made = await world.funding.get(top_up.id)
    assert (made.state, len(fake.sessions)) == (TopUpState.PENDING, 1)
    assert made.link == next(iter(fake.sessions.values()))["url"]
    assert world.told_states(top_up.id) == ["pending"]
    assert len({key for _, _, _, key in fake.requests if key}) == 1


async def test_paid_although_the_answer_was_lost(world: FundingWorld, fake: FakeStripe) -> None:
    fake.faults = ["lost"]
    top_up = await world.funding.top_up(ALICE, eur(2000), "stripe", "k")
    (session,) = fake.sessions.values()
    fake.pay(session["id"])
    await heard(world, fake, "checkout.session.completed", session, "evt_1")
    await world.settle_all()
    assert (await world.funding.get(top_up.id)).credited == eur(2000)


async def test_a_provider_that_is_away_is_asked_with_growing_pauses(world: FundingWorld, fake: FakeStripe) -> None:
    top_up, session = await begun(world, fake)
    fake.pay(session["id"])
    fake.faults = ["500"] * 6
    asked = 0
    for _ in range(12):
        before = len(fake.faults)
        world.clock.advance(minutes=10)
        await world.settle_all()
        asked += before != len(fake.faults)
    assert 0 < asked < 12
    world.clock.advance(hours=2)
    await world.settle_all()
    assert (await world.funding.get(top_up)).credited == eur(2000)


async def test_what_stripe_refuses_is_declined_at_once(world: FundingWorld, fake: FakeStripe) -> None:
    top_up = await world.funding.top_up(ALICE, eur(10), "stripe", "k")
    assert (top_up.state, top_up.reason) == (TopUpState.DECLINED, "amount_too_small")
    assert world.told_states(top_up.id) == []  # whoever asked was told by the answer


@pytest.mark.parametrize("amount", [2000, 700], ids=["all", "a part"])
async def test_a_refund_whose_answer_was_lost_for_days_is_made_once(
    world: FundingWorld, fake: FakeStripe, amount: int
) -> None:
    """Stripe forgets idempotency keys after a day."""
    top_up, session = await begun(world, fake)
    fake.pay(session["id"])
    await heard(world, fake, "checkout.session.completed", session, "evt_1")
    await world.settle_all()
    fake.faults = ["", "lost"]
    refund = await world.funding.refund(top_up, eur(amount), "r")
    assert refund.state is RefundState.UNKNOWN
    assert len(fake.refunds) == 1
    fake.keys.clear()
    world.clock.advance(days=2)
    await world.settle_all()
    assert len(fake.refunds) == 1
    assert await world.available(ALICE) == 2000 - amount
    assert (await world.funding.refund(top_up, eur(amount), "r")).state is RefundState.DONE
    await world.sound()


async def test_one_key_for_refunds_of_two_top_ups_at_once(world: FundingWorld, fake: FakeStripe) -> None:
    top_ups = []
    for key in ("k", "l"):
        top_up, session = await begun(world, fake, key)
        fake.pay(session["id"])
        await heard(world, fake, "checkout.session.completed", session, f"evt_{key}")
        top_ups.append(top_up)
    await world.settle_all()
    refunds = [world.funding.refund(each, eur(700), "r") for each in top_ups]
    answers = await asyncio.gather(*refunds, return_exceptions=True)
    assert sorted(type(each).__name__ for each in answers) == ["FundingRefused", "RefundRow"], answers
    assert await world.available(ALICE) == 3_300
    await world.sound()


async def test_refunds_that_take_their_time(world: FundingWorld, fake: FakeStripe) -> None:
    top_up, session = await begun(world, fake)
    fake.pay(session["id"])
    await heard(world, fake, "checkout.session.completed", session, "evt_1")
    await world.settle_all()
    fake.refund_status = "pending"
    fake.faults = ["", "lost"]
    refund = await world.funding.refund(top_up, eur(700), "r")
    assert (refund.state, await world.available(ALICE)) == (RefundState.UNKNOWN, 1300)
    world.clock.advance(minutes=1)
    await world.settle_all()
    (made,) = fake.refunds.values()
    made["status"] = "failed"
    await heard(world, fake, "refund.failed", made, "evt_2")
    await world.settle_all()
    assert await world.available(ALICE) == 2000
    fake.refund_status = "succeeded"
    assert (await world.funding.refund(top_up, eur(700), "r2")).state is RefundState.DONE
    assert (await world.balance(ALICE), await world.provider_balance("stripe")) == (1300, -1300)
    with pytest.raises(FundingRefused):
        await world.funding.refund(top_up, eur(1301), "r3")
    await world.sound()


# --- comparison


class Seen(Gauge):
    def __init__(self) -> None:
        self.values: dict[str, int] = {}

    def set(self, provider: str, differences: int) -> None:
        self.values[provider] = differences


def kinds(found: Any) -> list[tuple[str, Difference, int | None, int | None]]:
    rows: list[DifferenceRow] = list(found)
    return [(row.provider, row.kind, row.ours, row.theirs) for row in rows]


async def test_books_that_agree(world: FundingWorld, fake: FakeStripe) -> None:
    top_up, session = await begun(world, fake)
    fake.pay(session["id"])
    await heard(world, fake, "checkout.session.completed", session, "evt_1")
    await world.settle_all()
    await world.funding.refund(top_up, eur(300), "r")
    await world.cash_out(500, "sandbox")
    await world.settle_all()
    world.clock.advance(minutes=1)
    await world.settle_all()
    transfer = await world.funding.top_up(ALICE, eur(800), "bank", "b")
    await world.desk.import_statement(camt_of(("8.00", "B1", "", transfer.instructions["reference"])))
    await world.settle_all()
    out = await world.cash_out(400, "bank", "out2")
    await world.settle_all()
    await world.desk.export("BATCH1")
    await world.desk.import_statement(camt_of(("-4.00", "B2", out.id, ""), number="S2"))
    await world.settle_all()
    world.clock.advance(hours=1)
    result = await world.reconciliation().run()
    assert (result.differences, result.failed) == ([], {})


async def test_a_movement_without_ours_is_listed_until_it_has_one(world: FundingWorld, fake: FakeStripe) -> None:
    comparison = world.reconciliation()
    comparison._gauge = gauge = Seen()
    top_up, session = await begun(world, fake)
    fake.pay(session["id"])
    assert (await comparison.run()).differences == []  # too young to judge
    world.clock.advance(milliseconds=GRACE_MS + 1000)
    assert kinds((await comparison.run()).differences) == [("stripe", Difference.MISSING_HERE, None, 2000)]
    assert gauge.values == {"sandbox": 0, "bank": 0, "stripe": 1}
    await world.settle_all()
    assert (await comparison.run()).differences == []
    assert gauge.values["stripe"] == 0
    assert (await world.funding.get(top_up)).credited == eur(2000)


async def test_ours_without_a_movement_is_listed_and_stays(world: FundingWorld, fake: FakeStripe) -> None:
    source = await world.ledger.account("provider:stripe", "EUR", AccountKind.PROVIDER)
    wallet = await world.ledger.account(ALICE, "EUR")
    await world.ledger.execute([Transfer("made-up", source.id, wallet.id, eur(77), "top_up", "NOBODY")])
    world.clock.advance(hours=1)
    comparison = world.reconciliation()
    for _ in range(3):
        assert kinds((await comparison.run()).differences) == [("stripe", Difference.MISSING_THERE, 77, None)]
        world.clock.advance(days=20)  # far beyond what is looked at otherwise


async def test_another_amount_is_listed(world: FundingWorld, fake: FakeStripe) -> None:
    _, session = await begun(world, fake)
    fake.pay(session["id"])
    await heard(world, fake, "checkout.session.completed", session, "evt_1")
    await world.settle_all()
    fake.balance[0]["source"]["amount_captured"] = 1999
    world.clock.advance(hours=1)
    assert kinds(await world.reconciliation().differences()) == []
    result = await world.reconciliation().run()
    assert kinds(result.differences) == [("stripe", Difference.AMOUNT, 2000, 1999)]


async def test_unmatched_lines_and_what_is_stuck_are_differences(world: FundingWorld) -> None:
    await world.desk.import_statement(camt_of(("5.00", "B1", "", "who")))
    top_up = await world.funding.top_up(ALICE, eur(900), "sandbox", "k")
    payment = top_up.link and (await world.funding.get(top_up.id))
    assert payment
    row = await world.database.read(lambda connection: _row(connection, world, top_up.id))
    await world.sandbox.settle(row, "unknown")
    await world.settle_all()
    world.clock.advance(milliseconds=2 * DAY_MS)
    result = await world.reconciliation().run()
    assert sorted(kinds(result.differences), key=str) == [
        ("bank", Difference.MISSING_HERE, None, 500),
        ("sandbox", Difference.STATE, 900, 900),
    ]


def _row(connection: Any, world: FundingWorld, top_up: str) -> str:
    from bots.store import funding as sql

    row = sql.top_up(connection, world.sealer, top_up)
    assert row is not None
    assert row.provider_id is not None
    return row.provider_id


async def test_a_provider_that_is_away_keeps_its_differences(world: FundingWorld, fake: FakeStripe) -> None:
    _, session = await begun(world, fake)
    fake.pay(session["id"])
    world.clock.advance(hours=1)
    comparison = world.reconciliation()
    assert len((await comparison.run()).differences) == 1
    fake.faults = ["500"]
    result = await comparison.run()
    assert (len(result.differences), list(result.failed)) == (1, ["stripe"])


async def test_credited_long_after_it_was_paid(world: FundingWorld, fake: FakeStripe) -> None:
    _, session = await begun(world, fake)
    fake.pay(session["id"])
    world.clock.advance(days=12)
    await world.settle_all()
    assert await world.balance(ALICE) == 2000
    world.clock.advance(hours=1)
    assert (await world.reconciliation().run()).differences == []
