"""Top-ups and cash-outs with the sandbox: every way in which one ends, and a crash between any two steps."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from appservice.database import Database, DatabaseError
from bots.domain.funding import PayoutState, RefundState, TopUpState
from bots.domain.ledger import AccountKind
from bots.domain.payments import PaymentState
from bots.payments.funding_values import FundingRefused
from bots.payments.providers.base import WebhookRefused
from bots.payments.sanctions import Verdict
from bots.store import funding as sql
from bots.store import sandbox as sandbox_sql
from bots.store.funding_tables import funding_top_ups, sandbox_payments
from tests.store.funding_world import FundingWorld, room_for
from tests.store.harness import rows
from tests.store.payments_world import ALICE, BOB, WALLET, eur


@pytest.fixture
def world(database: Database) -> FundingWorld:
    return FundingWorld(database)


async def begun(world: FundingWorld, minor: int = 2000, key: str = "k") -> tuple[str, str]:
    """A top-up: our id, and the sandbox's."""
    top_up = await world.funding.top_up(ALICE, eur(minor), "sandbox", key)
    row = await world.database.read(lambda connection: sql.top_up(connection, world.sealer, top_up.id))
    assert row is not None
    assert row.provider_id is not None
    return top_up.id, row.provider_id


async def test_success_is_credited_once_and_told_once(world: FundingWorld) -> None:
    top_up, payment = await begun(world)
    shown = await world.funding.get(top_up)
    assert (shown.state, shown.link.startswith("https://rialto.example/pages/sandbox-pay/")) == (
        TopUpState.PENDING,
        True,
    )
    assert await world.sandbox.settle(payment, "success")
    await world.settle_all()
    done = await world.funding.get(top_up)
    assert (done.state, done.credited, done.link) == (TopUpState.SUCCEEDED, eur(2000), "")
    assert await world.balance(ALICE) == 2000
    assert await world.provider_balance("sandbox") == -2000
    (event,) = [event for event in world.told.values() if event.content.get("id") == top_up]
    assert (event.consumer, event.type, event.sender) == (WALLET, "rialto.funding.changed", ALICE)
    assert event.content == {"id": top_up, "kind": "top_up", "person": ALICE, "state": "succeeded", "change": 2}
    await world.sound()


@pytest.mark.parametrize(
    ("ending", "state", "balance"),
    [
        ("decline", TopUpState.DECLINED, 0),
        ("reserve", TopUpState.SUCCEEDED, 2000),
        ("repeated", TopUpState.SUCCEEDED, 2000),
        ("unknown", TopUpState.UNKNOWN, 0),
    ],
)
async def test_the_other_endings(world: FundingWorld, ending: str, state: TopUpState, balance: int) -> None:
    top_up, payment = await begun(world)
    await world.sandbox.settle(payment, ending)
    await world.settle_all()
    assert (await world.funding.get(top_up)).state is state
    assert await world.balance(ALICE) == balance
    assert world.told_states(top_up) == [state.value]


@pytest.mark.parametrize(("ending", "state"), [("late", "succeeded"), ("late_decline", "declined")])
async def test_what_comes_late_comes_also_after_a_restart(world: FundingWorld, ending: str, state: str) -> None:
    top_up, payment = await begun(world)
    await world.sandbox.settle(payment, ending)
    await world.settle_all()
    assert (await world.funding.get(top_up)).state is TopUpState.PENDING
    world.clock.advance(minutes=3)
    world.restart()
    await world.settle_all()
    assert (await world.funding.get(top_up)).state.value == state
    assert world.told_states(top_up) == [state]


async def test_who_is_not_told_asks(world: FundingWorld) -> None:
    top_up, payment = await begun(world)
    await world.sandbox.settle(payment, "silent")
    await world.settle_all()
    assert await world.balance(ALICE) == 0
    world.clock.advance(seconds=20)
    await world.settle_all()
    assert await world.balance(ALICE) == 2000
    assert world.told_states(top_up) == ["succeeded"]


async def test_unknown_is_asked_again_until_somebody_knows(world: FundingWorld) -> None:
    top_up, payment = await begun(world)
    await world.sandbox.settle(payment, "unknown")
    for _ in range(5):
        await world.settle_all()
        world.clock.advance(hours=2)
    assert world.told_states(top_up) == ["unknown"]
    await world.sandbox.settle(payment, "success")
    world.clock.advance(hours=2)
    await world.settle_all()
    assert await world.balance(ALICE) == 2000
    assert world.told_states(top_up) == ["unknown", "succeeded"]


async def test_nobody_pays_and_then_somebody_does(world: FundingWorld) -> None:
    top_up, payment = await begun(world)
    world.clock.advance(minutes=61)
    await world.settle_all()
    assert (await world.funding.get(top_up)).state is TopUpState.EXPIRED
    world.clock.advance(days=30)
    await world.sandbox.settle(payment, "success")
    await world.settle_all()
    assert (await world.funding.get(top_up)).state is TopUpState.SUCCEEDED
    assert await world.balance(ALICE) == 2000


async def test_the_same_key_is_the_same_top_up(world: FundingWorld) -> None:
    first = await world.funding.top_up(ALICE, eur(2000), "sandbox", "k")
    both = await asyncio.gather(*(world.funding.top_up(ALICE, eur(2000), "sandbox", "k") for _ in range(4)))
    assert {one.id for one in both} == {first.id}
    assert len(await rows(world.database, sandbox_payments)) == 1
    for other in ((BOB, eur(2000)), (ALICE, eur(2001))):
        with pytest.raises(FundingRefused) as caught:
            await world.funding.top_up(*other, "sandbox", "k")
        assert caught.value.code == "funding.conflict"


async def test_what_cannot_be_topped_up(world: FundingWorld) -> None:
    for amount, provider, code in (
        (eur(0), "sandbox", "funding.not_positive"),
        (eur(-5), "sandbox", "funding.not_positive"),
        (eur(100), "nowhere", "funding.no_provider"),
        (eur(100_000_000_000), "bank", "funding.largest"),
    ):
        with pytest.raises(FundingRefused) as caught:
            await world.funding.top_up(ALICE, amount, provider, "k")
        assert caught.value.code == code
        assert caught.value.human
    assert await rows(world.database, funding_top_ups) == []


async def test_a_link_does_not_lie_readable_in_the_database(world: FundingWorld) -> None:
    top_up, _ = await begun(world)
    link = (await world.funding.get(top_up)).link
    (row,) = await rows(world.database, funding_top_ups)
    assert link.rpartition("/")[2].encode() not in bytes(row["link"])


# --- no room in the wallet


async def test_a_wallet_without_room_is_refused_before_anything_is_paid(database: Database) -> None:
    world = FundingWorld(database, limits=room_for(1500))
    with pytest.raises(FundingRefused) as caught:
        await world.funding.top_up(ALICE, eur(2000), "sandbox", "k")
    assert caught.value.code == "guard.balance_own"


async def test_money_that_comes_when_there_is_no_room_any_more_waits_for_the_operator(database: Database) -> None:
    world = FundingWorld(database, limits=room_for(2500))
    top_up, payment = await begun(world)
    await world.give(ALICE, eur(1000))
    await world.sandbox.settle(payment, "success")
    await world.settle_all()
    held = await world.funding.get(top_up)
    assert (held.state, held.credited, held.suspended) == (TopUpState.SUCCEEDED, eur(0), eur(2000))
    assert held.reason == "guard.balance_own"
    assert (await world.balance(ALICE), await world.suspense()) == (1000, 2000)
    assert world.told_states(top_up) == ["succeeded"]
    assert [one.id for one in await world.funding.suspended()] == [top_up]

    alarms = (await world.reconciliation().run()).differences
    assert [(one.subject, one.detail) for one in alarms] == [(top_up, "top_up suspended guard.balance_own")]
    await world.funding.release(top_up)
    await world.settle_all()
    assert (await world.balance(ALICE), await world.suspense()) == (1000, 2000)
    await world.payments.open_wallet(BOB)
    await world.pays(await world.payments.propose(world.proposal(900)))
    await world.funding.release(top_up)
    await world.settle_all()
    assert (await world.balance(ALICE), await world.suspense()) == (2100, 0)
    assert await world.funding.release(top_up) == 0
    await world.settle_all()
    assert (await world.reconciliation().run()).differences == []
    assert world.told_states(top_up) == ["succeeded", "succeeded"]
    await world.sound()


async def test_suspended_money_goes_back_and_cannot_be_released_too(database: Database) -> None:
    world = FundingWorld(database, limits=room_for(2000))
    top_up, payment = await begun(world)
    await world.give(ALICE, eur(1000))
    await world.sandbox.settle(payment, "success")
    await world.settle_all()
    refund = await world.funding.refund(top_up, eur(2000), "r")
    assert (refund.state, refund.suspense) == (RefundState.DONE, True)
    assert await world.funding.release(top_up) == 0
    assert (await world.balance(ALICE), await world.suspense()) == (1000, 0)
    assert await world.provider_balance("sandbox") == 0
    with pytest.raises(FundingRefused):
        await world.funding.refund(top_up, eur(1), "r2")
    await world.sound()


async def test_lists_that_do_not_answer_keep_money_at_the_provider(world: FundingWorld) -> None:
    top_up, payment = await begun(world)
    world.verdicts.verdict = Verdict.UNKNOWN
    await world.sandbox.settle(payment, "success")
    await world.settle_all()
    assert (await world.funding.get(top_up)).state is TopUpState.PENDING
    world.verdicts.verdict = Verdict.HIT
    world.clock.advance(hours=2)
    await world.settle_all()
    assert (await world.balance(ALICE), await world.suspense()) == (0, 2000)


# --- refunds


async def test_a_refund_is_one_and_never_more_than_came_in(world: FundingWorld) -> None:
    top_up, payment = await begun(world)
    await world.sandbox.settle(payment, "success")
    await world.settle_all()
    first = await world.funding.refund(top_up, eur(500), "r1")
    assert (await world.funding.refund(top_up, eur(500), "r1")).id == first.id
    with pytest.raises(FundingRefused, match="already, with another"):
        await world.funding.refund(top_up, eur(501), "r1")
    with pytest.raises(FundingRefused) as caught:
        await world.funding.refund(top_up, eur(1501), "r2")
    assert caught.value.values == {"left": eur(1500)}
    await world.payments.open_wallet(BOB)
    await world.pays(await world.payments.propose(world.proposal(1400)))
    with pytest.raises(FundingRefused):  # it is spent
        await world.funding.refund(top_up, eur(1000), "r3")
    assert (await world.balance(ALICE), await world.provider_balance("sandbox")) == (100, -1500)
    await world.sound()


async def test_a_ledger_that_does_not_take_it_keeps_only_that(world: FundingWorld) -> None:
    top_up, payment = await begun(world)
    account = await world.ledger.account("provider:sandbox", "EUR", AccountKind.PROVIDER)
    now = world.clock.now_ms()
    await world.database.write(lambda connection: world.ledger.set_frozen(connection, account.id, True, now))
    await world.sandbox.settle(payment, "success")
    await world.settle_all()
    assert (await world.funding.get(top_up)).state is TopUpState.PENDING
    assert await world.suspense() == 0
    await world.database.write(lambda connection: world.ledger.set_frozen(connection, account.id, False, now))
    world.clock.advance(hours=2)
    await world.settle_all()
    assert await world.balance(ALICE) == 2000
    assert world.told_states(top_up) == ["succeeded"]


# --- messages


async def test_messages_that_are_forged_or_repeated(world: FundingWorld) -> None:
    sent: list[tuple[bytes, dict[str, str]]] = []

    async def keep(body: bytes, headers: object) -> None:
        sent.append((body, dict(headers)))  # type: ignore[call-overload]

    top_up, payment = await begun(world)
    world.sandbox.deliver = keep
    await world.sandbox.settle(payment, "success")
    ((body, headers),) = sent
    with pytest.raises(WebhookRefused):
        await world.funding.webhook("sandbox", body.replace(b"succeeded", b"declined!"), headers)
    assert await world.funding.webhook("sandbox", body, headers) == 1
    assert await world.funding.webhook("sandbox", body, headers) == 0
    await world.settle_all()
    assert await world.balance(ALICE) == 2000
    with pytest.raises(WebhookRefused):
        await world.funding.webhook("nowhere", b"", {})
    with pytest.raises(WebhookRefused):
        await world.funding.webhook("bank", b"", {})
    assert world.told_states(top_up) == ["succeeded"]


# --- crashes


@pytest.mark.parametrize("kept", [False, True])
async def test_a_crash_while_it_is_credited(world: FundingWorld, kept: bool) -> None:
    top_up, payment = await begun(world)
    await world.sandbox.settle(payment, "success")
    if kept:
        world.fail_after = 1
    else:
        world.fail_before = 1
    with pytest.raises(DatabaseError):
        await world.settle_all()
    assert await world.balance(ALICE) == (2000 if kept else 0)
    world.restart()
    for _ in range(3):
        await world.settle_all()
        world.clock.advance(hours=2)
    assert await world.balance(ALICE) == 2000
    assert world.told_states(top_up) == ["succeeded"]
    await world.sound()


@pytest.mark.parametrize("kept", [False, True])
async def test_a_crash_while_it_is_made(world: FundingWorld, kept: bool) -> None:
    world.fail_after, world.fail_before = (1, 0) if kept else (0, 1)
    with pytest.raises(DatabaseError):
        await world.funding.top_up(ALICE, eur(2000), "sandbox", "k")
    world.restart()
    again = await world.funding.top_up(ALICE, eur(2000), "sandbox", "k")
    assert (again.state, again.link != "") == (TopUpState.PENDING, True)
    (payment,) = await rows(world.database, sandbox_payments)
    await world.sandbox.settle(payment["id"], "success")
    await world.settle_all()
    assert await world.balance(ALICE) == 2000


async def test_two_workers_credit_once(world: FundingWorld) -> None:
    top_up, payment = await begun(world)
    await world.sandbox.settle(payment, "success")
    asking = world.funding._asking
    await asyncio.gather(*(asking.top_up(top_up) for _ in range(6)))
    assert await world.balance(ALICE) == 2000
    assert world.told_states(top_up) == ["succeeded"]
    await world.sound()


# --- cash-outs


async def test_a_cash_out_is_held_sent_and_paid(world: FundingWorld) -> None:
    await world.give(ALICE, eur(5000))
    payment = await world.cash_out(2000, "sandbox")
    await world.settle_all()
    assert (await world.balance(ALICE), await world.available(ALICE)) == (5000, 3000)
    world.clock.advance(minutes=1)
    await world.settle_all()
    assert (await world.found(payment)).state is PaymentState.PAID
    assert await world.balance(ALICE) == 3000
    assert await world.provider_balance("sandbox") == 2000
    assert world.told_states(payment.id) == ["sent", "paid"]
    row = await world.funding.payout(payment.id)
    assert row is not None
    assert row.settled
    await world.funding.begin(await world.found(payment))
    await world.settle_all()
    assert len(await rows(world.database, sandbox_payments)) == 1
    await world.sound()


async def test_a_cash_out_that_fails_goes_back(world: FundingWorld) -> None:
    await world.give(ALICE, eur(5000))
    payment = await world.cash_out(2013, "sandbox")
    await world.settle_all()
    world.clock.advance(minutes=1)
    await world.settle_all()
    assert (await world.found(payment)).state is PaymentState.VOIDED
    assert await world.available(ALICE) == 5000
    assert world.told_states(payment.id) == ["sent", "failed"]


@pytest.mark.parametrize("kept", [False, True])
async def test_a_crash_between_provider_and_ledger_pays_once(world: FundingWorld, kept: bool) -> None:
    await world.give(ALICE, eur(5000))
    payment = await world.cash_out(2000, "sandbox")
    await world.settle_all()
    world.clock.advance(minutes=1)
    await world.sandbox.run_due()
    # The payout's end is kept or not; then Payments is told, or not.
    for after, before in ((1, 0), (0, 1)) if kept else ((0, 1), (1, 0)):
        world.fail_after, world.fail_before = after, before
        with pytest.raises(DatabaseError):
            await world.settle_all()
        world.restart()
        world.clock.advance(hours=1)
    await world.settle_all()
    assert (await world.found(payment)).state is PaymentState.PAID
    assert await world.balance(ALICE) == 3000
    payouts = await world.database.read(lambda connection: sandbox_sql.of_reference(connection, payment.id, "payout"))
    assert len(payouts) == 1
    await world.sound()


async def test_cash_outs_that_cannot_be(world: FundingWorld) -> None:
    for provider, destination, code in (
        ("bank", {}, "iban.malformed"),
        ("bank", {"name": "Alice", "iban": "DE00370400440532013000"}, "iban.check"),
        ("bank", {"name": " ", "iban": "DE89370400440532013000"}, "funding.destination"),
        ("nowhere", {}, "funding.no_provider"),
    ):
        with pytest.raises(FundingRefused) as caught:
            world.funding.check_cash_out(eur(100), provider, destination)
        assert caught.value.code == code


async def test_a_bank_payout_without_a_destination_fails(world: FundingWorld) -> None:
    await world.give(ALICE, eur(5000))
    payment = await world.cash_out(1000, "sandbox")
    known = await world.found(payment)
    await world.funding.begin(replace(known, id="OTHER", payee="provider:bank"))
    await world.funding._asking.payout("OTHER")
    row = await world.funding.payout("OTHER")
    assert row is not None
    assert (row.state, row.reason) == (PayoutState.FAILED, "iban.malformed")
