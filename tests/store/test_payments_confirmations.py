"""Confirmations and those who try to get around them, on both databases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from appservice.database import Database
from bots.domain.limits import Limits
from bots.domain.payments import Capture, Payment, PaymentKind, PaymentRefused, PaymentState
from bots.payments.outcomes import Confirmed
from bots.payments.outcomes import ConfirmOutcome as O
from bots.store import payments as store
from bots.store.payment_tables import payment_codes, payment_confirmations, payments
from tests.store.payments_world import ALICE, BOB, BOB_ROOM, CAROL, DAY, HOUR, ROOM, World, eur


@pytest.fixture
async def world(database: Database) -> World:
    """Alice and Bob have 100 EUR each."""
    made = World(database)
    await made.give(ALICE, eur(10_000))
    await made.give(BOB, eur(10_000))
    return made


async def proposed(world: World, **more: Any) -> Payment:
    return await world.payments.propose(world.proposal(**more))


async def code_of(world: World, payment: Payment, room: str = ROOM) -> str:
    code = (await world.payments.challenge(payment.id, payment.payer, room)).code
    assert code is not None
    return code


async def types(world: World, code: str, *, payer: str = ALICE, room: str = ROOM, **more: Any) -> Confirmed:
    """Somebody types a code; each time it is another message."""
    types.messages += 1  # type: ignore[attr-defined]
    event = more.pop("event_id", f"$typed{types.messages}")  # type: ignore[attr-defined]
    return await world.payments.confirm(payer=payer, code=code, room_id=room, event_id=event, **more)


types.messages = 0  # type: ignore[attr-defined]


async def nothing_moved(world: World, payment: Payment) -> None:
    assert await world.balance(ALICE) == 10_000
    assert await world.balance(BOB) == 10_000
    found = await world.payments.get(payment.id)
    assert found is not None
    assert found.state is PaymentState.PROPOSED


async def test_the_same_message_again_is_answered_the_same(world: World) -> None:
    payment = await proposed(world)
    code = await code_of(world, payment)
    first = await types(world, code, event_id="$one")
    again = await types(world, code, event_id="$one")
    assert first.outcome is again.outcome is O.PAID
    assert (first.repeated, again.repeated) == (False, True)
    assert again.payment == first.payment
    assert await world.balance(BOB) == 11_000


async def test_a_wrong_answer_is_repeated_too_and_counts_once(world: World) -> None:
    payment = await proposed(world)
    await code_of(world, payment)
    first = await types(world, "000000", event_id="$one")
    again = await types(world, "000000", event_id="$one")
    assert (first.outcome, first.left) == (again.outcome, again.left) == (O.WRONG_CODE, 2)
    assert (await types(world, "000000")).left == 1
    await nothing_moved(world, payment)


async def test_a_message_is_its_senders_alone(world: World) -> None:
    code = await code_of(world, await proposed(world))
    await types(world, code, event_id="$one")
    stolen = await types(world, code, payer=BOB, event_id="$one")
    assert (stolen.outcome, stolen.payment) == (O.NOT_YOURS, None)


async def test_a_code_counts_once(world: World) -> None:
    payment = await proposed(world)
    code = await code_of(world, payment)
    assert (await types(world, code)).outcome is O.PAID
    again = await types(world, code)
    assert again.outcome is O.ALREADY
    assert again.payment is not None
    assert again.payment.id == payment.id
    assert await world.balance(ALICE) == 9_000


async def test_a_newer_code_ends_the_older_one(world: World) -> None:
    payment = await proposed(world)
    old, new = await code_of(world, payment), await code_of(world, payment)
    assert (await types(world, old)).outcome is O.REPLACED
    await nothing_moved(world, payment)
    assert (await types(world, new)).outcome is O.PAID


async def test_an_expired_code(world: World) -> None:
    payment = await proposed(world)
    code = await code_of(world, payment)
    world.clock.advance(milliseconds=world.settings.code_ttl)
    assert (await types(world, code)).outcome is O.EXPIRED
    await nothing_moved(world, payment)
    assert (await types(world, await code_of(world, payment))).outcome is O.PAID


async def test_a_code_does_not_outlive_its_payment(world: World) -> None:
    payment = await proposed(world, expires_at=world.clock.now_ms() + 60_000)
    challenge = await world.payments.challenge(payment.id, ALICE, ROOM)
    assert challenge.expires_at == payment.expires_at
    world.clock.advance(milliseconds=60_000)
    assert challenge.code is not None
    assert (await types(world, challenge.code)).outcome is O.EXPIRED
    await nothing_moved(world, payment)
    with pytest.raises(PaymentRefused, match=r"payments\.too_late"):
        await code_of(world, payment)


async def test_the_right_code_in_another_room(world: World) -> None:
    payment = await proposed(world)
    code = await code_of(world, payment)
    elsewhere = await types(world, code, room="!group:example.org")
    assert (elsewhere.outcome, elsewhere.left) == (O.WRONG_ROOM, 2)
    await nothing_moved(world, payment)
    assert (await types(world, code)).outcome is O.PAID


async def test_a_code_pays_its_own_payment_only(world: World) -> None:
    small, large = await proposed(world, amount=100), await proposed(world, amount=4_000, key="k2")
    code_small, code_large = await code_of(world, small), await code_of(world, large)
    assert code_small != code_large
    wrong = await types(world, code_large, payment_id=small.id)
    assert (wrong.outcome, wrong.left) == (O.OTHER_PAYMENT, 2)
    assert await world.balance(ALICE) == 10_000
    right = await types(world, code_small)
    assert right.payment is not None
    assert right.payment.id == small.id
    assert await world.balance(ALICE) == 9_900


async def test_another_persons_code(world: World) -> None:
    payment = await proposed(world)
    code = await code_of(world, payment)
    # In their own chat it is a wrong code like any other, and in Alice's it is not theirs: neither pays.
    assert (await types(world, code, payer=BOB, room=BOB_ROOM)).outcome is O.NOTHING_OPEN
    mine = await proposed(world, payer=BOB, payee=CAROL, initiator=BOB, key="bob")
    await world.payments.challenge(mine.id, BOB, BOB_ROOM)
    assert (await types(world, code, payer=BOB, room=BOB_ROOM)).outcome is O.WRONG_CODE
    assert (await types(world, code, payer=BOB, room=ROOM)).outcome is O.NOT_YOURS
    await nothing_moved(world, payment)
    with pytest.raises(PaymentRefused, match=r"payments\.not_yours"):
        await world.payments.challenge(payment.id, BOB, BOB_ROOM)


async def test_who_changes_the_amount_or_the_payee_in_the_database_has_no_code_for_it(world: World) -> None:
    payment = await proposed(world)
    code = await code_of(world, payment)
    for change in ({"amount": 4_999}, {"amount": 1000, "payee": CAROL}):
        await world.database.write(lambda c, change=change: c.execute(payments.update().values(**change)))  # type: ignore[misc]
        assert (await types(world, code)).outcome is O.WRONG_CODE
    assert await world.balance(ALICE) == 10_000


async def test_a_code_that_is_moved_to_another_payment_is_none(world: World) -> None:
    first, second = await proposed(world), await proposed(world, key="k2")
    code = await code_of(world, first)
    await world.database.write(lambda c: c.execute(payment_codes.update().values(payment_id=second.id)))
    assert (await types(world, code)).outcome is O.WRONG_CODE


async def test_nothing_is_open(world: World) -> None:
    assert (await types(world, "123456")).outcome is O.NOTHING_OPEN


async def test_wrong_codes_lock_whichever_payment_they_are_for(world: World) -> None:
    first, second = await proposed(world), await proposed(world, key="k2")
    await code_of(world, first)
    assert (await types(world, "000000")).left == 2
    code = await code_of(world, second)
    assert (await types(world, "000000")).left == 1
    last = await types(world, "000000")
    assert (last.outcome, last.left, last.until) == (O.WRONG_CODE, 0, world.clock.now_ms() + world.settings.code_lock)
    # The right one is not even looked at, by whichever message, and no new one is to be had.
    locked = await types(world, code)
    assert (locked.outcome, locked.until) == (O.LOCKED, last.until)
    with pytest.raises(PaymentRefused, match=r"payments\.locked"):
        await code_of(world, second)
    world.clock.advance(milliseconds=world.settings.code_lock)
    assert (await types(world, code)).outcome is not O.PAID  # the codes there were have ended with the lock
    await nothing_moved(world, second)
    assert (await types(world, await code_of(world, second))).outcome is O.PAID


async def test_no_code_outlives_a_lock(database: Database) -> None:
    world = World(database, code_ttl=HOUR, code_lock=60_000)
    await world.give(ALICE, eur(10_000))
    first, second = await proposed(world), await proposed(world, key="k2")
    codes = [await code_of(world, first), await code_of(world, second)]
    for _ in range(3):
        await types(world, "000000")
    world.clock.advance(milliseconds=60_000)
    for code in codes:
        assert (await types(world, code)).outcome is O.REPLACED
    assert await world.balance(ALICE) == 10_000


async def test_locks_grow_and_a_quiet_day_ends_that(world: World) -> None:
    payment = await proposed(world, expires_at=world.clock.now_ms() + 30 * DAY)

    async def lock() -> int:
        await code_of(world, payment)
        for _ in range(world.settings.code_attempts):
            answer = await types(world, "000000")
        assert answer.until is not None
        lasts = answer.until - world.clock.now_ms()
        world.clock.advance(milliseconds=lasts)
        return lasts

    first = world.settings.code_lock
    assert [await lock() for _ in range(3)] == [first, 2 * first, 4 * first]
    world.clock.advance(milliseconds=DAY)
    assert await lock() == first


async def test_one_person_does_not_lock_another(world: World) -> None:
    await code_of(world, await proposed(world))
    for _ in range(3):
        await types(world, "000000")
    mine = await proposed(world, payer=BOB, payee=ALICE, initiator=BOB, key="bob")
    code = await code_of(world, mine, BOB_ROOM)
    assert (await types(world, code, payer=BOB, room=BOB_ROOM)).outcome is O.PAID


async def test_ended_payments_are_not_paid(world: World) -> None:
    ends: list[Callable[[str, str], Awaitable[Payment]]] = [world.payments.decline, world.payments.cancel]
    for number, end in enumerate(ends):
        payment = await proposed(world, key=f"k{number}")
        code = await code_of(world, payment)
        await end(payment.id, ALICE)
        assert (await types(world, code)).outcome is O.ENDED
    assert await world.balance(ALICE) == 10_000


@pytest.mark.parametrize("typed", ["100 001", "100-001", " 100001 ", "١٠٠٠٠١"])
async def test_codes_as_people_type_them(world: World, typed: str) -> None:
    payment = await proposed(world)
    await code_of(world, payment)
    assert world.drawn == 100_001
    assert (await types(world, typed)).outcome is O.PAID


@pytest.mark.parametrize("typed", ["", "1", "100001 0", "1000011", "yes", "👍", "²00001", "0x186A1"])
async def test_what_is_no_code(world: World, typed: str) -> None:
    payment = await proposed(world)
    await code_of(world, payment)
    assert (await types(world, typed)).outcome is O.WRONG_CODE
    await nothing_moved(world, payment)


async def test_large_amounts_need_the_page(world: World) -> None:
    payment = await proposed(world, amount=5_000)
    challenge = await world.payments.challenge(payment.id, ALICE, ROOM)
    assert challenge.code is None
    assert challenge.link == "https://pay.example.org/approve/1"
    assert world.links.made == [(payment.id, ALICE, 300)]
    assert (await types(world, "100001")).outcome is O.NOTHING_OPEN
    assert (await world.payments.approve(payment.id, BOB)).outcome is O.NOT_YOURS
    approved = await world.payments.approve(payment.id, ALICE)
    assert approved.outcome is O.PAID
    assert (await world.payments.approve(payment.id, ALICE)).outcome is O.ALREADY
    assert await world.balance(BOB) == 15_000
    assert (await world.audited(payment))[-2:] == ["payment.approve paid", "payment.approve already"]


async def test_nothing_is_approved_that_was_not_sent_to_the_page(world: World) -> None:
    payment = await proposed(world, amount=5_000)
    assert (await world.payments.approve(payment.id, ALICE)).outcome is O.NOTHING_OPEN
    small = await proposed(world, key="k2")
    await code_of(world, small)
    assert (await world.payments.approve(small.id, ALICE)).outcome is O.NOTHING_OPEN
    assert (await world.payments.approve("01NONE", ALICE)).outcome is O.NOTHING_OPEN
    await world.payments.challenge(payment.id, ALICE, ROOM)
    world.clock.advance(milliseconds=world.settings.code_ttl)
    assert (await world.payments.approve(payment.id, ALICE)).outcome is O.EXPIRED
    await nothing_moved(world, payment)


async def test_a_code_from_before_the_limit_was_lowered_does_not_do(database: Database) -> None:
    world = World(database, pin_above={"EUR": eur(20_000)})
    await world.give(ALICE, eur(10_000))
    payment = await proposed(world, amount=6_000)
    code = await code_of(world, payment)
    world.settings = World(database).settings
    world.payments = world.again()
    answer = await types(world, code)
    assert answer.outcome is O.REFUSED
    assert answer.refusal is not None
    assert answer.refusal.code == "payments.pin_required"
    assert await world.balance(ALICE) == 10_000


async def test_not_enough_money_and_then_enough(world: World) -> None:
    payment = await proposed(world, amount=4_000)
    await world.pays(await proposed(world, amount=4_000, key="k2"))
    await world.pays(await proposed(world, amount=3_000, key="k3"))
    code = await code_of(world, payment)
    answer = await types(world, code)
    assert answer.outcome is O.REFUSED
    assert answer.refusal is not None
    assert answer.refusal.human == "Your wallet has 30.00 EUR to spend, and this is 40.00 EUR."
    assert answer.payment is not None
    assert answer.payment.state is PaymentState.PROPOSED
    # The code is used up all the same.
    assert (await types(world, code)).outcome is O.EXPIRED
    await world.give(ALICE, eur(1_000))
    assert (await types(world, await code_of(world, payment))).outcome is O.PAID
    assert await world.balance(ALICE) == 0
    await world.sound()


async def test_limits_and_freezes_are_asked_in_the_same_commit(database: Database) -> None:
    world = World(database, limits=Limits(per_day={"EUR": 1_500}, balance={"EUR": 50_000}))
    await world.give(ALICE, eur(10_000))
    await world.payments.open_wallet(BOB)
    assert (await world.pays(await proposed(world))).outcome is O.PAID
    answer = await world.pays(await proposed(world, key="k2"))
    assert answer.refusal is not None
    assert answer.refusal.code == "guard.per_day"
    assert answer.refusal.values["left"] == eur(500)
    again = await world.payments.confirm(
        payer=ALICE, code="1", room_id=ROOM, event_id=f"$pays:{(await world.payments.open_for(ALICE))[0].id}"
    )
    assert again.refusal == answer.refusal  # what people were told, with its amounts and times, is told again
    await world.database.write(lambda c: world.guard.freeze(c, ALICE, ALICE, world.clock.now_ms()))
    frozen = await world.pays(await proposed(world, amount=100, key="k3"))
    assert frozen.refusal is not None
    assert frozen.refusal.code == "guard.frozen"
    await world.sound()


async def test_a_payees_full_wallet(database: Database) -> None:
    world = World(database, limits=Limits(balance={"EUR": 1_500}))
    await world.give(ALICE, eur(10_000))
    assert (await world.pays(await proposed(world))).outcome is O.HELD  # Bob has no wallet: what is held counts too
    answer = await world.pays(await proposed(world, key="k2"))
    assert answer.refusal is not None
    assert answer.refusal.code == "guard.balance"


async def test_no_code_lies_readable(world: World) -> None:
    payment = await proposed(world)
    code = await code_of(world, payment)
    await types(world, code)

    def read(connection: Any) -> str:
        rows = [*connection.execute(payment_codes.select()), *connection.execute(payment_confirmations.select())]
        rows += [*connection.execute(payments.select())]
        return repr([tuple(row) for row in rows])

    found = await world.database.read(read)
    assert code not in found
    assert "lunch" not in found
    entries = await world.audit.list()
    assert code not in repr(entries)


async def test_what_messages_were_answered_is_forgotten_in_the_end(world: World) -> None:
    payment = await proposed(world)
    await types(world, await code_of(world, payment), event_id="$one")
    later = world.clock.now_ms() + 31 * DAY
    assert await world.database.write(lambda c: store.purge(c, later)) == 2


async def test_a_cash_out_is_held_and_an_exchange_is_made(world: World) -> None:
    out = await proposed(
        world, kind=PaymentKind.CASH_OUT, payee="provider:bank", capture=Capture.BY_MERCHANT, amount=2_000
    )
    assert (await world.pays(out)).outcome is O.HELD
    assert await world.available(ALICE) == 8_000
    settled = await world.payments.settle(out.id)
    assert settled.state is PaymentState.PAID
    assert await world.payments.settle(out.id) == settled
    with pytest.raises(PaymentRefused, match=r"payments\.wrong_state"):
        await world.payments.fail(out.id, "returned")
    usd = eur(1_080).__class__(1_080, "USD")
    exchange = await proposed(world, kind=PaymentKind.EXCHANGE, payee=ALICE, received=usd, key="x")
    assert (await world.pays(exchange)).outcome is O.PAID
    assert await world.balance(ALICE) == 7_000
    assert await world.balance(ALICE, "USD") == 1_080
    assert await world.balance("exchange") == 1_000
    assert await world.balance("exchange", "USD") == -1_080
    await world.sound()
