"""Payments between people from proposal to receipt, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appservice.database import Database
from appservice.unit import UnitOfWork
from bots.domain.money import Money
from bots.domain.payments import Payment, PaymentKind, PaymentRefused, PaymentState
from bots.framework.dialogs.payments import OUTCOME
from bots.framework.dialogs.payments import Payment as DialogPayment
from bots.payments.deadlines import Deadlines
from bots.payments.outcomes import ConfirmOutcome
from bots.payments.sanctions import Verdict
from bots.payments.service import IdConflict
from tests.store.payments_world import ALICE, BOB, BOB_ROOM, CAROL, DAY, SHOP, SHOP_CONSUMER, World, eur

GROUP = "!group:example.org"


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


async def test_one_payment_for_a_key(world: World) -> None:
    payment = await world.payments.propose(world.proposal())
    world.clock.advance(hours=1)
    assert await world.payments.propose(world.proposal()) == payment
    for other in (world.proposal(1001), world.proposal(payee=CAROL), world.proposal(memo="other")):
        with pytest.raises(IdConflict):
            await world.payments.propose(other)
    await world.pays(payment)
    again = await world.payments.propose(world.proposal())
    assert (again.id, again.state) == (payment.id, PaymentState.PAID)
    assert len(world.told_of(payment, BOB)) == 2


async def test_what_is_refused_is_in_the_audit_log(world: World) -> None:
    with pytest.raises(PaymentRefused, match=r"payments\.expired_before"):
        await world.payments.propose(world.proposal(expires_at=1))
    with pytest.raises(PaymentRefused, match=r"payments\.unknown"):
        await world.payments.decline("01NONE", ALICE)
    with pytest.raises(PaymentRefused, match=r"payments\.currency_not_offered"):
        await world.payments.propose(replace(world.proposal(), amount=Money(1, "GBP")))
    assert [(entry.action, entry.outcome) for entry in await world.audit.list(actor=ALICE, limit=3)] == [
        ("payment.propose", "refused:payments.currency_not_offered"),
        ("payment.decline", "refused:payments.unknown"),
        ("payment.propose", "refused:payments.expired_before"),
    ]


async def test_somebody_without_a_wallet_gets_it_when_they_open_one(world: World) -> None:
    payment = await world.payments.propose(world.proposal(payee=CAROL))
    held = await world.pays(payment)
    assert held.outcome is ConfirmOutcome.HELD
    assert held.payment is not None
    assert held.payment.accept_by == world.clock.now_ms() + world.settings.unclaimed_ttl
    assert await world.available(ALICE) == 9_000
    assert not await world.payments.is_open(CAROL)
    assert await world.payments.open_wallet(CAROL)
    assert not await world.payments.open_wallet(CAROL)
    assert await world.payments.is_open(CAROL)
    assert await world.balance(CAROL) == 1_000
    assert world.told_of(payment, CAROL) == ["proposed", "held", "paid"]
    await world.sound()


async def test_what_nobody_claims_goes_back_by_itself(world: World) -> None:
    payment = await world.payments.propose(world.proposal(payee=CAROL))
    await world.pays(payment)
    deadlines = Deadlines(world.payments)
    world.clock.advance(milliseconds=world.settings.unclaimed_ttl - 1)
    assert await deadlines.run_due() == 0
    assert await deadlines.next_due() == world.clock.now_ms() + 1
    world.clock.advance(milliseconds=1)
    assert await deadlines.run_due() == 1
    assert await world.available(ALICE) == 10_000
    found = await world.payments.get(payment.id)
    assert found is not None
    assert (found.state, found.reason) == (PaymentState.VOIDED, "unclaimed")
    await world.payments.open_wallet(CAROL)
    assert await world.balance(CAROL) == 0
    await world.sound()


async def test_a_request_is_answered_by_the_payer_alone(world: World) -> None:
    request = await world.payments.propose(world.proposal(initiator=BOB, origin_room=GROUP))
    assert [each.id for each in await world.payments.open_for(ALICE)] == [request.id]
    assert [each.id for each in await world.payments.requested_by(BOB)] == [request.id]
    for who, end in ((BOB, world.payments.decline), (ALICE, world.payments.cancel), (CAROL, world.payments.decline)):
        with pytest.raises(PaymentRefused, match=r"payments\.not_yours"):
            await end(request.id, who)
    declined = await world.payments.decline(request.id, ALICE)
    assert declined.state is PaymentState.DECLINED
    assert await world.payments.decline(request.id, ALICE) == declined
    assert await world.payments.open_for(ALICE) == []
    paid = await world.payments.propose(world.proposal(initiator=BOB, origin_room=GROUP, key="k2"))
    await world.pays(paid)
    with pytest.raises(PaymentRefused, match=r"payments\.wrong_state"):
        await world.payments.cancel(paid.id, BOB)


async def test_open_requests_are_counted(database: Database) -> None:
    world = World(database, requests_open=2)
    for number in (1, 2):
        await world.payments.propose(world.proposal(initiator=BOB, origin_room=GROUP, key=f"k{number}"))
    third = world.proposal(initiator=BOB, origin_room=GROUP, key="k3")
    with pytest.raises(PaymentRefused, match=r"payments\.too_many_requests"):
        await world.payments.propose(third)
    with pytest.raises(PaymentRefused, match=r"payments\.too_many_requests"):
        await world.payments.propose(world.proposal(payer="", initiator=BOB, key="qr"))
    # What is there already is no new one, and payments of one's own are no requests.
    await world.payments.propose(world.proposal(initiator=BOB, origin_room=GROUP, key="k2"))
    await world.payments.propose(world.proposal(payer=BOB, payee=ALICE, initiator=BOB, key="own"))
    (first, _) = await world.payments.requested_by(BOB)
    await world.payments.cancel(first.id, BOB)
    assert (await world.payments.propose(third)).state is PaymentState.PROPOSED


async def test_nobody_is_asked_again_and_again(world: World) -> None:
    async def ask(key: str, payer: str = ALICE) -> Payment:
        return await world.payments.propose(world.proposal(payer=payer, initiator=BOB, origin_room=GROUP, key=key))

    for number in range(5):
        made = await ask(f"k{number}")
        if number % 2:
            await world.payments.cancel(made.id, BOB)
        else:
            await world.payments.decline(made.id, ALICE)
    with pytest.raises(PaymentRefused, match=r"payments\.asked_often") as refused:
        await ask("k5")
    assert refused.value.human == f"You have asked {ALICE} often enough: ask again tomorrow."
    with pytest.raises(PaymentRefused, match=r"payments\.asked_often"):
        await world.payments.split(
            payee=BOB, people=[CAROL, ALICE], total=eur(300), memo="", key="s", origin_room=GROUP
        )
    assert (await ask("k4")).state is PaymentState.DECLINED
    assert (await ask("c", CAROL)).state is PaymentState.PROPOSED
    await world.payments.propose(world.proposal(payer="", initiator=BOB, key="qr"))
    world.clock.advance(days=1, seconds=1)
    assert (await ask("k6")).state is PaymentState.PROPOSED


async def test_a_split_adds_up_and_is_asked_for_at_once_or_not_at_all(database: Database) -> None:
    world = World(database, requests_open=3)

    async def split(key: str, *people: str) -> object:
        return await world.payments.split(
            payee=BOB, people=people, total=eur(10_000), memo="dinner", key=key, origin_room=GROUP
        )

    made = await world.payments.split(
        payee=BOB, people=[ALICE, CAROL, ALICE, BOB], total=eur(10_000), memo="dinner", key="s", origin_room=GROUP
    )
    assert made.own == eur(3_334)
    assert [(each.payer, each.amount) for each in made.payments] == [(ALICE, eur(3_333)), (CAROL, eur(3_333))]
    assert [each.id for each in await world.payments.group(made.group)] == sorted(each.id for each in made.payments)
    assert await split("s", ALICE, CAROL) == made
    with pytest.raises(PaymentRefused, match=r"payments\.too_many_requests"):
        await split("t", ALICE, CAROL)
    assert len(await world.payments.open_for(CAROL)) == 1
    with pytest.raises(PaymentRefused, match=r"payments\.bad_payer"):
        await split("u", BOB)


async def test_an_open_request_is_claimed_once_and_paid_once(world: World) -> None:
    request = await world.payments.propose(world.proposal(payer="", initiator=BOB))
    with pytest.raises(PaymentRefused, match=r"payments\.self"):
        await world.payments.claim(request.id, BOB)
    claimed = await world.payments.claim(request.id, ALICE)
    assert (claimed.payer, claimed.paid_before) == (ALICE, False)
    assert await world.payments.claim(request.id, ALICE) == claimed
    with pytest.raises(PaymentRefused, match=r"payments\.claimed"):
        await world.payments.claim(request.id, CAROL)
    assert (await world.pays(claimed)).outcome is ConfirmOutcome.PAID
    for scanner in (ALICE, CAROL):
        receipt = await world.payments.claim(request.id, scanner)
        assert (receipt.state, receipt.payer) == (PaymentState.PAID, ALICE)
    assert (await world.payments.propose(world.proposal(payer="", initiator=BOB))).id == request.id
    assert await world.balance(BOB) == 1_000


async def test_a_request_expires_by_itself(world: World) -> None:
    request = await world.payments.propose(world.proposal(initiator=BOB, origin_room=GROUP))
    world.clock.advance(milliseconds=DAY)
    assert await world.payments.open_for(ALICE) == []
    await Deadlines(world.payments).run_due()
    assert world.told_of(request, BOB) == ["proposed", "expired"]
    with pytest.raises(PaymentRefused, match=r"payments\.wrong_state"):
        await world.payments.cancel(request.id, BOB)


async def test_history(world: World) -> None:
    for number, memo in enumerate(("Pizza", "taxi", "pizza again")):
        await world.payments.propose(world.proposal(key=f"k{number}", memo=memo))
        world.clock.advance(hours=1)
    begin = world.clock.now_ms() - 3 * 3_600_000

    async def memos(**more: object) -> list[str]:
        return [each.memo for each in await world.payments.history(BOB, **more)]  # type: ignore[arg-type]

    assert await memos() == ["pizza again", "taxi", "Pizza"]
    assert await memos(text="PIZZA") == ["pizza again", "Pizza"]
    assert await memos(text="alice") == ["pizza again", "taxi", "Pizza"]
    assert await memos(since=begin + 1) == ["pizza again", "taxi"]
    assert await memos(until=begin + 1) == ["Pizza"]
    (latest,) = await world.payments.history(BOB, limit=1)
    assert await memos(before=latest.id) == ["taxi", "Pizza"]
    assert await world.payments.history(CAROL) == []


# d.pay


def asked(to: str = SHOP, key: str = "dialog-key") -> DialogPayment:
    return DialogPayment(key, ALICE, eur(1_000), to, "coffee", SHOP_CONSUMER, "!shop:example.org", "01DIALOG")


async def in_unit(world: World, do: str, *arguments: object, consumer: str = SHOP_CONSUMER) -> None:
    unit = UnitOfWork("$event", consumer, "@shop:example.org")
    await getattr(world.payments, do)(*arguments, unit)

    def work(connection: object) -> list[object]:
        for operation in unit.operations:
            operation(connection)  # type: ignore[arg-type]
        return list(unit.events)

    await world.raise_events(work)  # type: ignore[arg-type]


def outcomes(world: World) -> list[object]:
    return [event.content for event in world.told.values() if event.type == OUTCOME]


async def test_a_dialog_is_paid(world: World) -> None:
    for _ in range(2):
        await in_unit(world, "request", asked())
    (payment,) = await world.payments.open_for(ALICE)
    assert (payment.kind, payment.payee, payment.memo) == (PaymentKind.INVOICE, SHOP, "coffee")
    assert world.told_of(payment, ALICE) == ["proposed"]
    await world.pays(payment)
    assert outcomes(world) == [{"dialog": "01DIALOG", "key": "dialog-key", "paid": True}]
    assert await world.balance(SHOP) == 1_000


async def test_a_dialog_hears_of_a_payment_that_is_declined(world: World) -> None:
    await in_unit(world, "request", asked(to=BOB))
    (payment,) = await world.payments.open_for(ALICE)
    assert payment.kind is PaymentKind.TRANSFER
    await world.payments.decline(payment.id, ALICE)
    assert outcomes(world) == [{"dialog": "01DIALOG", "key": "dialog-key", "paid": False}]


async def test_a_dialog_is_paid_into_no_other_bots_account(world: World) -> None:
    for to in ("bot:other", "bot:shopper", "bot:other/shop"):
        with pytest.raises(PaymentRefused, match=r"payments\.bad_payee"):
            await in_unit(world, "request", asked(to=to))
    await in_unit(world, "request", asked(to=f"{SHOP}/mary"))
    assert [each.payee for each in await world.payments.open_for(ALICE)] == [f"{SHOP}/mary"]


async def test_a_payment_that_is_withdrawn_cannot_be_made(world: World) -> None:
    await in_unit(world, "request", asked())
    (payment,) = await world.payments.open_for(ALICE)
    code = (await world.payments.challenge(payment.id, ALICE, BOB_ROOM)).code
    assert code is not None
    await in_unit(world, "withdraw", "dialog-key", consumer="other:@other:example.org")
    assert len(await world.payments.open_for(ALICE)) == 1  # another consumer's is another one
    await in_unit(world, "withdraw", "dialog-key")
    assert await world.payments.open_for(ALICE) == []
    late = await world.payments.confirm(payer=ALICE, code=code, room_id=BOB_ROOM, event_id="$late")
    assert late.outcome is ConfirmOutcome.ENDED
    await Deadlines(world.payments).run_due()
    assert world.told_of(payment, ALICE)[-1] == "cancelled"
    assert await world.balance(ALICE) == 10_000


async def test_a_payment_that_was_made_when_it_is_withdrawn_is_refunded(world: World) -> None:
    await in_unit(world, "request", asked())
    (payment,) = await world.payments.open_for(ALICE)
    await world.pays(payment)
    await in_unit(world, "withdraw", "dialog-key")
    await Deadlines(world.payments).run_due()
    assert world.told_of(payment, ALICE) == ["proposed", "paid", "refunded"]
    assert await world.balance(ALICE) == 10_000
    assert len(outcomes(world)) == 1
    await world.sound()


async def test_sanction_lists_are_asked_before_the_commit(database: Database) -> None:
    world = World(database)
    verdicts, questions = [Verdict.UNKNOWN, Verdict.CLEAR], []

    class Lists:
        async def ask(self, person: str, counterpart: str) -> Verdict:
            questions.append((person, counterpart))
            return verdicts[len(questions) - 1]

    world.payments.till._sanctions = Lists()
    await world.give(ALICE, eur(10_000))
    await world.payments.open_wallet(BOB)
    payment = await world.payments.propose(world.proposal())
    assert questions == []
    answer = await world.pays(payment)
    assert answer.refusal is not None
    assert answer.refusal.code == "guard.sanctions_unknown"
    assert (await world.pays(payment, "$again")).outcome is ConfirmOutcome.PAID
    assert questions == [(ALICE, BOB), (ALICE, BOB)]
