"""What happens to payments by themselves, and subscriptions, on both databases."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from appservice.database import Database
from bots.domain.intervals import Interval, Unit
from bots.domain.ledger import AccountKind, Transfer
from bots.domain.payments import Capture, Payment, PaymentKind, PaymentRefused, PaymentState
from bots.framework.clock import from_ms
from bots.payments.deadlines import PAUSE_MS, Deadlines
from bots.payments.merchants import Merchants
from bots.payments.outcomes import ConfirmOutcome
from bots.payments.subscriptions import SubscriptionState
from tests.store.payments_world import ALICE, BOB, DAY, HOUR, ROOM, SHOP, SHOP_CONSUMER, World, eur

CTX = SimpleNamespace(instance="shop", consumer=SHOP_CONSUMER)
MONTHLY, DAILY = Interval(1, Unit.MONTH), Interval(1, Unit.DAY)


@pytest.fixture
async def world(database: Database) -> World:
    """Alice has 100 EUR. It is January 1."""
    made = World(database)
    await made.give(ALICE, eur(10_000))
    await made.payments.open_wallet(BOB)
    return made


async def subscribed(world: World, every: Interval | None = MONTHLY, **more: Any) -> Payment:
    """Alice has agreed to 10 EUR a month."""
    values: dict[str, Any] = {"key": "sub", "memo": "paper", "every": every, "remind": timedelta(days=3)}
    mandate = await Merchants(world.payments).subscribe(CTX, ALICE, eur(1_000), **(values | more))
    confirmed = await world.pays(mandate)
    assert confirmed.outcome is ConfirmOutcome.HELD
    return mandate


async def until(world: World, ms: int) -> None:
    """Let time pass; what is due is done when it is."""
    deadlines = Deadlines(world.payments)
    end = world.clock.now_ms() + ms
    while (due := await deadlines.next_due()) is not None and due <= end:
        world.clock.set(max(due, world.clock.now_ms()))
        await deadlines.run_due()
    world.clock.set(end)
    await deadlines.run_due()


def heard(world: World, mandate: Payment, about: str) -> list[tuple[str, str]]:
    """What Alice was told: the state, and when it was due."""
    found = []
    for event in world.told.values():
        content = event.content
        if content.get("payment") == mandate.id and content["about"] == about and event.key.endswith(ALICE):
            due = "" if content.get("due") is None else f"{from_ms(content['due']):%m-%d}"
            found.append((str(content["state"]), due))
    return found


async def charges(world: World, mandate: Payment) -> list[tuple[str, str]]:
    """Day and state of each charge, the first first."""
    found = [each for each in await world.payments.history(ALICE) if each.mandate == mandate.id]
    return [(f"{from_ms(each.confirmed_at or 0):%m-%d}", each.state.value) for each in reversed(found)]


# Subscriptions


async def test_a_subscription_is_charged_by_the_calendar_with_reminders(world: World) -> None:
    world.clock.advance(days=30)  # January 31
    mandate = await subscribed(world)
    assert await world.balance(ALICE) == 10_000
    await until(world, 89 * DAY)
    assert await charges(world, mandate) == [
        ("01-31", "paid"),
        ("02-28", "paid"),
        ("03-31", "paid"),
        ("04-30", "paid"),
    ]
    assert heard(world, mandate, "reminder") == [("active", "02-28"), ("active", "03-31"), ("active", "04-30")]
    assert await world.balance(SHOP) == 4_000
    await world.sound()


async def test_a_mandate_is_confirmed_like_a_payment_of_its_cap(world: World) -> None:
    merchants = Merchants(world.payments)
    mandate = await merchants.subscribe(CTX, ALICE, eur(1_000), key="s", memo="", every=MONTHLY, cap=eur(6_000))
    assert (await world.payments.challenge(mandate.id, ALICE, ROOM)).link is not None
    assert (await world.payments.approve(mandate.id, ALICE)).outcome is ConfirmOutcome.HELD
    with pytest.raises(PaymentRefused, match=r"payments\.exceeds_mandate"):
        await merchants.subscribe(CTX, ALICE, eur(6_001), key="t", memo="", every=MONTHLY, cap=eur(6_000))


async def test_what_nobody_has_confirmed_is_not_charged(world: World) -> None:
    merchants = Merchants(world.payments)
    mandate = await merchants.subscribe(CTX, ALICE, eur(1_000), key="s", memo="", every=DAILY)
    with pytest.raises(PaymentRefused, match=r"payments\.wrong_state"):
        await merchants.charge(CTX, mandate.id, eur(1), key="c")
    await until(world, 5 * DAY)
    assert await world.balance(ALICE) == 10_000
    assert await world.payments.subscriptions.of(ALICE) == []


async def test_it_ends_at_any_time(world: World) -> None:
    mandate = await subscribed(world)
    await until(world, HOUR)
    with pytest.raises(PaymentRefused, match=r"payments\.not_yours"):
        await world.payments.revoke(mandate.id, BOB)
    ended = await world.payments.revoke(mandate.id, ALICE)
    assert ended.state is PaymentState.VOIDED
    assert await world.payments.revoke(mandate.id, ALICE) == ended
    await until(world, 60 * DAY)
    assert len(await charges(world, mandate)) == 1
    assert heard(world, mandate, "subscription") == [("ended", "")]
    with pytest.raises(PaymentRefused, match=r"payments\.wrong_state"):
        await Merchants(world.payments).charge(CTX, mandate.id, eur(1), key="c")
    with pytest.raises(PaymentRefused, match=r"payments\.wrong_state"):
        await world.payments.subscriptions.resume(mandate.id, ALICE)


async def test_a_charge_that_fails_is_tried_again_and_made_once(world: World) -> None:
    mandate = await subscribed(world)
    await until(world, 20 * DAY)
    await world.pays(await world.payments.propose(world.proposal(4_500, key="a")))
    await world.pays(await world.payments.propose(world.proposal(4_400, key="b")))
    assert await world.available(ALICE) == 100
    await until(world, 13 * DAY)  # February 1 has failed, and the 2nd
    assert heard(world, mandate, "subscription") == [("failed", "02-02"), ("failed", "02-04")]
    await world.give(ALICE, eur(5_000))
    await until(world, 20 * DAY)
    assert await charges(world, mandate) == [("01-01", "paid"), ("02-04", "paid")]
    (subscription,) = await world.payments.subscriptions.of(ALICE)
    assert (subscription.state, subscription.failures, subscription.period) == (SubscriptionState.ACTIVE, 0, 2)
    assert f"{from_ms(subscription.next_at):%m-%d}" == "03-01"
    await world.sound()


async def test_the_payer_may_pay_a_failed_charge_by_hand(world: World) -> None:
    mandate = await subscribed(world)
    await until(world, DAY)
    await world.pays(await world.payments.propose(world.proposal(4_500, key="a")))
    await world.pays(await world.payments.propose(world.proposal(4_400, key="b")))
    await until(world, 30 * DAY + HOUR)
    (charge,) = await world.payments.open_for(ALICE)
    assert charge.mandate == mandate.id
    await world.give(ALICE, eur(1_000))
    assert (await world.pays(charge)).outcome is ConfirmOutcome.PAID
    await until(world, 20 * DAY)
    assert [state for _, state in await charges(world, mandate)] == ["paid", "paid"]
    assert await world.available(ALICE) == 100


async def test_after_the_last_attempt_it_is_paused_and_can_be_resumed(world: World) -> None:
    mandate = await subscribed(world)
    await until(world, DAY)
    await world.pays(await world.payments.propose(world.proposal(4_500, key="a")))
    await world.pays(await world.payments.propose(world.proposal(4_400, key="b")))
    await until(world, 45 * DAY)
    assert heard(world, mandate, "subscription") == [
        ("failed", "02-02"),
        ("failed", "02-04"),
        ("failed", "02-08"),
        ("paused", ""),
    ]
    assert [state for _, state in await charges(world, mandate)] == ["paid", "expired"]
    await world.give(ALICE, eur(5_000))
    await until(world, 45 * DAY)  # nothing is charged while it is paused: it is April 1
    assert await world.available(ALICE) == 5_100
    with pytest.raises(PaymentRefused, match=r"payments\.not_yours"):
        await world.payments.subscriptions.resume(mandate.id, BOB)
    resumed = await world.payments.subscriptions.resume(mandate.id, ALICE)
    assert resumed.state is SubscriptionState.ACTIVE
    assert f"{from_ms(resumed.next_at):%m-%d}" == "05-01"
    assert (await world.payments.subscriptions.resume(mandate.id, ALICE)) == resumed
    await until(world, 31 * DAY)
    assert await world.available(ALICE) == 4_100
    await world.sound()


async def test_a_charge_is_not_tried_again_once_the_next_is_due(world: World) -> None:
    mandate = await subscribed(world, DAILY, remind=timedelta())
    await until(world, HOUR)
    await world.pays(await world.payments.propose(world.proposal(4_500, key="a")))
    await world.pays(await world.payments.propose(world.proposal(4_400, key="b")))
    await until(world, 10 * DAY)
    assert heard(world, mandate, "subscription") == [("paused", "")]
    assert [state for _, state in await charges(world, mandate)] == ["paid", "expired"]


async def test_what_has_passed_while_nothing_ran_is_charged_once_and_after_a_reminder(world: World) -> None:
    mandate = await subscribed(world)
    await until(world, HOUR)
    world.clock.advance(days=100)  # until April 11
    deadlines = Deadlines(world.payments)
    await deadlines.run_due()
    assert heard(world, mandate, "reminder") == [("active", "04-12")]
    assert len(await charges(world, mandate)) == 1
    world.clock.advance(days=1)
    await deadlines.run_due()
    assert await charges(world, mandate) == [("01-01", "paid"), ("04-12", "paid")]
    (subscription,) = await world.payments.subscriptions.of(ALICE)
    assert f"{from_ms(subscription.next_at):%m-%d}" == "05-01"


async def test_without_reminders_every_day(world: World) -> None:
    mandate = await subscribed(world, DAILY, remind=timedelta())
    await until(world, 4 * DAY)
    assert [day for day, _ in await charges(world, mandate)] == ["01-01", "01-02", "01-03", "01-04", "01-05"]


async def test_reminders_of_what_comes_every_day(world: World) -> None:
    mandate = await subscribed(world, DAILY)
    await until(world, 3 * DAY)
    assert [due for _, due in heard(world, mandate, "reminder")] == ["01-02", "01-03", "01-04", "01-05"]
    assert len(await charges(world, mandate)) == 4


async def test_it_begins_when_it_is_to(world: World) -> None:
    mandate = await subscribed(world, start=from_ms(world.clock.now_ms() + 10 * DAY))
    await until(world, 30 * DAY)
    assert [due for _, due in heard(world, mandate, "reminder")] == ["01-11"]
    assert [day for day, _ in await charges(world, mandate)] == ["01-11"]


async def test_charges_on_the_merchants_word(world: World) -> None:
    merchants = Merchants(world.payments)
    mandate = await subscribed(world, None, cap=eur(2_000))
    await until(world, 60 * DAY)
    assert await charges(world, mandate) == []
    paid = await merchants.charge(CTX, mandate.id, eur(2_000), key="march", memo="March")
    assert paid.state is PaymentState.PAID
    assert await merchants.charge(CTX, mandate.id, eur(2_000), key="march", memo="March") == paid
    with pytest.raises(PaymentRefused, match=r"payments\.exceeds_mandate"):
        await merchants.charge(CTX, mandate.id, eur(2_001), key="april")
    held = await merchants.charge(CTX, mandate.id, eur(500), key="may", accept_within=timedelta(hours=1))
    assert held.state is PaymentState.HELD
    await merchants.void(CTX, held.id, "failed")
    await world.pays(await world.payments.propose(world.proposal(4_900, key="a")))
    await world.pays(await world.payments.propose(world.proposal(2_900, key="b")))
    refused = await merchants.charge(CTX, mandate.id, eur(2_000), key="june")
    assert (refused.state, refused.reason) == (PaymentState.REFUSED, "payments.exceeds_balance")
    await world.give(ALICE, eur(5_000))
    assert (await merchants.charge(CTX, mandate.id, eur(2_000), key="june")).state is PaymentState.REFUSED
    assert await world.payments.open_for(ALICE) == []
    await world.sound()


async def test_what_was_agreed_for_a_period_is_not_charged_again_within_it(world: World) -> None:
    merchants = Merchants(world.payments)
    mandate = await subscribed(world, cap=eur(2_000))
    await until(world, DAY)
    assert [state for _, state in await charges(world, mandate)] == ["paid"]
    assert (await merchants.charge(CTX, mandate.id, eur(1_500), key="a")).state is PaymentState.PAID
    held = await merchants.charge(CTX, mandate.id, eur(500), key="b", accept_within=timedelta(hours=1))
    with pytest.raises(PaymentRefused, match=r"payments\.exceeds_mandate"):
        await merchants.charge(CTX, mandate.id, eur(1), key="c")
    assert (await merchants.charge(CTX, mandate.id, eur(1_500), key="a")).state is PaymentState.PAID
    await merchants.void(CTX, held.id, "sold_out")
    assert (await merchants.charge(CTX, mandate.id, eur(500), key="d")).state is PaymentState.PAID
    await until(world, 31 * DAY)
    assert (await merchants.charge(CTX, mandate.id, eur(2_000), key="e")).state is PaymentState.PAID
    with pytest.raises(PaymentRefused, match=r"payments\.exceeds_mandate"):
        await merchants.charge(CTX, mandate.id, eur(1), key="f")
    await world.sound()


# By themselves


async def test_a_cash_out_is_begun_until_its_provider_has_it(world: World) -> None:
    begun: list[str] = []
    fails = 2

    async def begin(payment: Payment) -> None:
        begun.append(payment.id)
        if len(begun) <= fails:
            raise RuntimeError("the provider is away")

    proposal = world.proposal(kind=PaymentKind.CASH_OUT, payee="provider:bank", capture=Capture.BY_MERCHANT)
    payment = await world.payments.propose(proposal)
    await world.pays(payment)
    deadlines = Deadlines(world.payments)
    assert await deadlines.run_due() == 0  # nobody is there who pays out
    world.payments.cash_outs = begin
    await deadlines.run_due()
    assert begun == []  # not before the pause is over
    for times in range(1, 4):
        world.clock.advance(milliseconds=PAUSE_MS << times)
        await deadlines.run_due()
    assert begun == [payment.id] * 3
    assert await deadlines.next_due() is None
    failed = await world.payments.fail(payment.id, "returned")
    assert (failed.state, failed.reason) == (PaymentState.VOIDED, "returned")
    assert await world.payments.fail(payment.id, "returned") == failed
    assert await world.available(ALICE) == 10_000


async def test_one_that_cannot_be_done_does_not_keep_the_others(world: World) -> None:
    first = await world.payments.propose(world.proposal(key="a"))
    second = await world.payments.propose(world.proposal(key="b"))
    world.clock.advance(days=1)
    lock = world.payments.till.lock

    def broken(step: Any, payment_id: str) -> Payment:
        if payment_id == first.id:
            raise RuntimeError("whatever")
        return lock(step, payment_id)

    world.payments.till.lock = broken  # type: ignore[method-assign]
    deadlines = Deadlines(world.payments)
    assert await deadlines.run_due() == 1
    assert world.told_of(second, ALICE) == ["proposed", "expired"]
    world.payments.till.lock = lock  # type: ignore[method-assign]
    assert await deadlines.run_due() == 0
    world.clock.advance(milliseconds=PAUSE_MS)
    assert await deadlines.run_due() == 1


async def test_a_hold_that_the_ledger_has_released_first_is_given_up_all_the_same(world: World) -> None:
    """Its time came between the look at the payments and the ledger's own."""
    held = await world.payments.propose(world.invoice(2_000, held=True))
    assert (await world.pays(held)).outcome is ConfirmOutcome.HELD
    world.clock.advance(milliseconds=HOUR)
    await world.database.write(lambda connection: world.ledger.expire(connection, world.clock.now_ms()))
    assert await world.available(ALICE) == 10_000
    await Deadlines(world.payments).run_due()
    after = await world.payments.get(held.id)
    assert after is not None
    assert after.state is PaymentState.VOIDED
    assert world.told_of(held, ALICE)[-1] == "voided"
    assert await Deadlines(world.payments).next_due() is None
    await world.sound()


async def test_a_merchant_who_is_too_late_hears_so_when_the_ledger_was_first(world: World) -> None:
    held = await world.payments.propose(world.invoice(2_000, held=True))
    await world.pays(held)
    ahead = world.clock.now_ms() + HOUR
    await world.database.write(lambda connection: world.ledger.expire(connection, ahead))
    world.clock.advance(milliseconds=HOUR - 1_000)  # the clock was set back meanwhile
    with pytest.raises(PaymentRefused, match="too_late"):
        await Merchants(world.payments).capture(CTX, held.id)
    world.clock.advance(milliseconds=1_000)
    with pytest.raises(PaymentRefused, match="too_late"):
        await Merchants(world.payments).capture(CTX, held.id)
    after = await world.payments.get(held.id)
    assert after is not None
    assert after.state is PaymentState.VOIDED
    assert await world.balance(ALICE) == 10_000
    await world.sound()


async def test_holds_of_others_expire_too(world: World) -> None:
    mine = await world.ledger.account(ALICE, "EUR")
    other = await world.ledger.account("suspense", "EUR", AccountKind.SUSPENSE)
    until = world.clock.now_ms() + HOUR
    hold = Transfer("x", mine.id, other.id, eur(500), "hold", pending=True, expires_at=until)
    await world.ledger.execute([hold])
    world.clock.advance(milliseconds=HOUR)
    await Deadlines(world.payments).run_due()
    assert await world.available(ALICE) == 10_000


async def test_the_task_wakes_for_what_comes_and_ends(world: World) -> None:
    deadlines = Deadlines(world.payments)
    await deadlines.start()
    payment = await world.payments.propose(world.proposal(expires_at=world.clock.now_ms() + 1_000))
    world.clock.advance(seconds=1)

    async def told() -> None:
        while world.told_of(payment, ALICE) != ["proposed", "expired"]:
            world.payments.till.due.set()
            await asyncio.sleep(0.01)

    await asyncio.wait_for(told(), 15)
    await deadlines.stop()
