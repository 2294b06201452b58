"""Two at once: exactly one wins, on both databases. On PostgreSQL the commits overlap."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from appservice.database import Database
from bots.domain.payments import Payment, PaymentRefused, PaymentState
from bots.payments.deadlines import Deadlines
from bots.payments.merchants import Merchants, Refund
from bots.payments.outcomes import Confirmed, ConfirmOutcome
from bots.store.payment_tables import payments
from tests.store.payments_world import ALICE, BOB, CAROL, HOUR, ROOM, SHOP, SHOP_CONSUMER, World, eur

CTX = SimpleNamespace(instance="shop", consumer=SHOP_CONSUMER)
ROUNDS = 4


@pytest.fixture
async def world(database: Database) -> World:
    made = World(database)
    await made.give(ALICE, eur(10_000))
    await made.payments.open_wallet(BOB)
    return made


async def at_once(*calls: Awaitable[Any]) -> list[Any]:
    """What came of calls that began together; a refusal is one of the answers, anything else is a failure."""
    answers = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 60)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, PaymentRefused):
            raise answer
    return answers


async def code_of(world: World, payment: Payment) -> str:
    code = (await world.payments.challenge(payment.id, ALICE, ROOM)).code
    assert code is not None
    return code


def confirming(world: World, code: str, event: str) -> Awaitable[Confirmed]:
    return world.payments.confirm(payer=ALICE, code=code, room_id=ROOM, event_id=event)


async def state_of(world: World, payment: Payment) -> PaymentState:
    found = await world.payments.get(payment.id)
    assert found is not None
    return found.state


async def test_one_proposal(world: World) -> None:
    answers = await at_once(*(world.payments.propose(world.proposal()) for _ in range(4)))
    assert len({answer.id for answer in answers}) == 1


async def test_two_confirm_at_once(world: World) -> None:
    for number in range(ROUNDS):
        payment = await world.payments.propose(world.proposal(100, key=f"k{number}"))
        code = await code_of(world, payment)
        answers = await at_once(*(confirming(world, code, f"${number}.{each}") for each in range(3)))
        assert sorted(answer.outcome for answer in answers) == ["already", "already", "paid"]
        assert await world.balance(BOB) == 100 * (number + 1)
    await world.sound()


async def test_the_same_message_twice_at_once(world: World) -> None:
    for number in range(ROUNDS):
        payment = await world.payments.propose(world.proposal(100, key=f"k{number}"))
        code = await code_of(world, payment)
        answers = await at_once(*(confirming(world, code, f"${number}") for _ in range(3)))
        assert [answer.outcome for answer in answers] == [ConfirmOutcome.PAID] * 3
        assert sorted(answer.repeated for answer in answers) == [False, True, True]


async def test_confirm_and_cancel(world: World) -> None:
    for number in range(ROUNDS):
        payment = await world.payments.propose(world.proposal(100, key=f"k{number}"))
        code = await code_of(world, payment)
        before = await world.balance(BOB)
        confirmed, cancelled = await at_once(
            confirming(world, code, f"${number}"), world.payments.cancel(payment.id, ALICE)
        )
        if await state_of(world, payment) is PaymentState.PAID:
            assert confirmed.outcome is ConfirmOutcome.PAID
            assert isinstance(cancelled, PaymentRefused)
            assert await world.balance(BOB) == before + 100
        else:
            assert confirmed.outcome is ConfirmOutcome.ENDED
            assert cancelled.state is PaymentState.CANCELLED
            assert await world.balance(BOB) == before
    await world.sound()


async def test_capture_and_void(world: World) -> None:
    merchants = Merchants(world.payments)
    for number in range(ROUNDS):
        payment = await world.payments.propose(world.invoice(100, key=f"k{number}", held=True))
        await world.pays(payment)
        before = await world.balance(SHOP)
        captured, voided = await at_once(merchants.capture(CTX, payment.id), merchants.void(CTX, payment.id, "x"))
        paid = await state_of(world, payment) is PaymentState.PAID
        assert isinstance(voided if paid else captured, PaymentRefused)
        assert isinstance(captured if paid else voided, Payment)
        assert await world.balance(SHOP) == before + (100 if paid else 0)
        account = await world.ledger.account(ALICE, "EUR")
        assert account.pending_debits == 0
    await world.sound()


async def test_capture_and_its_deadline(world: World) -> None:
    merchants, deadlines = Merchants(world.payments), Deadlines(world.payments)
    payment = await world.payments.propose(world.invoice(100, held=True))
    await world.pays(payment)
    world.clock.advance(milliseconds=HOUR)
    captured, _ = await at_once(merchants.capture(CTX, payment.id), deadlines.run_due())
    assert isinstance(captured, PaymentRefused)
    assert await state_of(world, payment) is PaymentState.VOIDED
    assert await world.available(ALICE) == 10_000


async def test_refunds_of_everything(world: World) -> None:
    merchants = Merchants(world.payments)
    payment = await world.payments.propose(world.invoice(1_000))
    await world.pays(payment)
    answers = await at_once(
        *(merchants.refund(CTX, payment.id, reason="x", key=f"r{number}") for number in range(3)),
        *(merchants.refund(CTX, payment.id, reason="x", key="r0") for _ in range(2)),
    )
    made = [answer for answer in answers if isinstance(answer, Refund) and not answer.already]
    assert len(made) == 1
    assert await world.balance(ALICE) == 10_000
    await world.sound()


async def test_two_scan_one_code(world: World) -> None:
    for number in range(ROUNDS):
        request = await world.payments.propose(world.proposal(100, payer="", initiator=BOB, key=f"qr{number}"))
        answers = await at_once(world.payments.claim(request.id, ALICE), world.payments.claim(request.id, CAROL))
        assert sorted(isinstance(answer, PaymentRefused) for answer in answers) == [False, True]


async def test_a_wallet_opens_while_it_is_paid(world: World) -> None:
    """Whichever is first, the money arrives and nothing stays held."""
    for number in range(ROUNDS):
        person = f"@new{number}:example.org"
        payment = await world.payments.propose(world.proposal(100, payee=person, key=f"k{number}"))
        code = await code_of(world, payment)
        await at_once(confirming(world, code, f"${number}"), world.payments.open_wallet(person))
        await Deadlines(world.payments).run_due()
        assert await world.balance(person) == 100
    await world.sound()


async def test_a_drain(world: World) -> None:
    """More is confirmed at once than there is: what is there is paid, and no more."""
    codes = []
    for number in range(6):
        payment = await world.payments.propose(world.proposal(3_000, key=f"k{number}"))
        codes.append(await code_of(world, payment))
    answers = await at_once(*(confirming(world, code, f"${code}") for code in codes))
    assert sorted(answer.outcome for answer in answers) == ["paid"] * 3 + ["refused"] * 3
    assert await world.balance(ALICE) == 1_000
    await world.sound()


async def test_to_and_fro(world: World) -> None:
    """Two who pay each other do not wait for each other for ever."""
    await world.give(BOB, eur(10_000))
    calls = []
    for number in range(ROUNDS):
        there = await world.payments.propose(world.proposal(100, key=f"a{number}"))
        back = await world.payments.propose(
            world.proposal(100, payer=BOB, payee=ALICE, initiator=BOB, key=f"b{number}")
        )
        calls += [world.pays(there, "$there"), world.pays(back, "$back", "!bob:example.org")]
    answers = await at_once(*calls)
    assert {answer.outcome for answer in answers} == {ConfirmOutcome.PAID}
    assert await world.balance(ALICE) == await world.balance(BOB) == 10_000
    await world.sound()


async def test_wrong_codes_at_once_count_each(world: World) -> None:
    payment = await world.payments.propose(world.proposal())
    await code_of(world, payment)
    answers = await at_once(*(confirming(world, "000000", f"${number}") for number in range(5)))
    outcomes = sorted(answer.outcome for answer in answers)
    assert outcomes == ["locked", "locked", "wrong_code", "wrong_code", "wrong_code"]


async def test_two_services_do_what_is_due_once(world: World) -> None:
    payment = await world.payments.propose(world.invoice(100, held=True))
    await world.pays(payment)
    world.clock.advance(milliseconds=HOUR)
    await at_once(Deadlines(world.payments).run_due(), Deadlines(world.again()).run_due())
    assert world.told_of(payment, ALICE) == ["proposed", "held", "voided"]
    assert (await world.audited(payment)).count("payment.void voided") == 1


@pytest.mark.parametrize("wrong", [{"captured": 1_001}, {"captured": -1}, {"refunded": 1_001}, {"refunded": -1}])
async def test_the_database_keeps_no_more_taken_or_given_back(world: World, wrong: dict[str, int]) -> None:
    """Whatever the code does."""
    payment = await world.payments.propose(world.proposal())
    await world.pays(payment)
    change = update(payments).where(payments.c.id == payment.id).values(**wrong)
    with pytest.raises(IntegrityError):
        await world.database.write(lambda connection: connection.execute(change))
