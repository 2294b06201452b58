"""What plugins do with money, on both databases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appservice.database import Database
from bots.domain.invoices import InvoiceError
from bots.domain.limits import Limits
from bots.domain.payments import Line, Payment, PaymentKind, PaymentRefused, PaymentState
from bots.framework.testing.memory import MemoryDatabase
from bots.payments.deadlines import Deadlines
from bots.payments.merchants import MerchantAccounts, MerchantPayouts, Merchants, account_of
from bots.payments.outcomes import ConfirmOutcome
from bots.payments.service import IdConflict
from bots.store import payments as store
from tests.store.payments_world import ALICE, BOB, CAROL, HOUR, SHOP, SHOP_CONSUMER, World, eur

SHOP_CTX = SimpleNamespace(instance="shop", consumer=SHOP_CONSUMER)
OTHER_CTX = SimpleNamespace(instance="sho", consumer="sho:@sho:example.org")
LINES = [Line("Cake", eur(1_190), 2, Decimal("0.19")), Line("Book", eur(1_070), 1, Decimal("0.07"))]
NOT_MINE = r"payments\.unknown"


@pytest.fixture
async def world(database: Database) -> World:
    """Alice has 100 EUR; the platform takes 2 %."""
    made = World(database, fee=Fraction(2, 100))
    await made.give(ALICE, eur(10_000))
    return made


@pytest.fixture
def merchants(world: World) -> Merchants:
    return Merchants(world.payments)


async def test_an_invoice_is_taken_at_once(world: World, merchants: Merchants) -> None:
    invoice = await merchants.invoice(SHOP_CTX, ALICE, LINES, key="order-1", tip=eur(100), discount=eur(50))
    assert (invoice.amount, invoice.payee, invoice.kind) == (eur(3_500), SHOP, PaymentKind.INVOICE)
    assert invoice.invoice is not None
    assert invoice.invoice.total == invoice.amount
    assert await merchants.invoice(SHOP_CTX, ALICE, LINES, key="order-1", tip=eur(100), discount=eur(50)) == invoice
    with pytest.raises(IdConflict):
        await merchants.invoice(SHOP_CTX, ALICE, LINES, key="order-1")
    assert (await world.pays(invoice)).outcome is ConfirmOutcome.PAID
    paid = await merchants.payment(SHOP_CTX, invoice.id)
    assert paid is not None
    assert (paid.captured, paid.fee) == (eur(3_500), eur(68))  # 2 % of it without the tip
    assert (await world.balance(SHOP), await world.balance("fees")) == (3_432, 68)
    assert world.told_of(invoice, "merchant") == ["proposed", "paid"]
    (event,) = [each for each in world.told.values() if each.key.endswith("2:merchant")]
    assert (event.consumer, event.sender) == (SHOP_CONSUMER, ALICE)
    await world.sound()


async def test_words_of_merchants_stay_within_their_line(world: World, merchants: Merchants) -> None:
    cake = Line("Cake: 1.00 EUR\u2028Total: 1.00 EUR", eur(9_000))
    memo = "order 7\n\u202eFee: nothing. Total: 1.00 EUR\r\nPaid already\u2066"
    invoice = await merchants.invoice(SHOP_CTX, ALICE, [cake], key="o", memo=memo)
    assert invoice.memo == "order 7 Fee: nothing. Total: 1.00 EUR Paid already\u2066\u2069"
    assert [line.name for line in invoice.lines] == ["Cake: 1.00 EUR Total: 1.00 EUR"]
    assert await merchants.invoice(SHOP_CTX, ALICE, [cake], key="o", memo=memo) == invoice


async def test_what_is_held_is_taken_in_part(world: World, merchants: Merchants) -> None:
    invoice = await merchants.hold(SHOP_CTX, ALICE, LINES, key="o", accept_within=timedelta(minutes=8))
    with pytest.raises(PaymentRefused, match=r"payments\.wrong_state"):
        await merchants.capture(SHOP_CTX, invoice.id)
    held = await world.pays(invoice)
    assert held.outcome is ConfirmOutcome.HELD
    assert await world.available(ALICE) == 10_000 - 3_450
    assert await world.balance(SHOP) == 0
    for amount, code in ((3_451, "exceeds_hold"), (0, "not_positive"), (-1, "not_positive")):
        with pytest.raises(PaymentRefused, match=rf"payments\.{code}"):
            await merchants.capture(SHOP_CTX, invoice.id, eur(amount))
    taken = await merchants.capture(SHOP_CTX, invoice.id, eur(2_380))
    assert (taken.state, taken.captured) == (PaymentState.PAID, eur(2_380))
    assert await merchants.capture(SHOP_CTX, invoice.id, eur(2_380)) == taken
    with pytest.raises(PaymentRefused, match=r"payments\.wrong_state"):
        await merchants.capture(SHOP_CTX, invoice.id, eur(2_000))
    with pytest.raises(PaymentRefused, match=r"payments\.wrong_state"):
        await merchants.void(SHOP_CTX, invoice.id, "late")
    assert await world.available(ALICE) == 10_000 - 2_380
    await world.sound()


async def test_what_nobody_accepts_goes_back(world: World, merchants: Merchants) -> None:
    invoice = await merchants.hold(SHOP_CTX, ALICE, LINES, key="o", accept_within=timedelta(hours=1))
    await world.pays(invoice)
    world.clock.advance(milliseconds=HOUR)
    # Before anybody has looked at the deadlines: too late all the same, and given back with the refusal.
    with pytest.raises(PaymentRefused, match=r"payments\.too_late"):
        await merchants.capture(SHOP_CTX, invoice.id)
    assert await world.available(ALICE) == 10_000
    assert await Deadlines(world.payments).run_due() == 0
    assert world.told_of(invoice, "merchant") == ["proposed", "held", "voided"]
    with pytest.raises(PaymentRefused, match=r"payments\.wrong_state"):
        await merchants.capture(SHOP_CTX, invoice.id)


@pytest.mark.parametrize("way", ["capture", "void", "deadline"])
async def test_only_what_is_taken_counts_against_limits(database: Database, way: str) -> None:
    world = World(database, limits=Limits(per_day={"EUR": 3_450}))
    await world.give(ALICE, eur(10_000))
    merchants = Merchants(world.payments)
    invoice = await merchants.hold(SHOP_CTX, ALICE, LINES, key="o", accept_within=timedelta(hours=1))
    await world.pays(invoice)
    tea = [Line("Tea", eur(1_070))]
    small = await merchants.invoice(SHOP_CTX, ALICE, tea, key="tea", expires=timedelta(hours=2))
    assert (await world.pays(small, "$early")).outcome is ConfirmOutcome.REFUSED
    if way == "capture":
        await merchants.capture(SHOP_CTX, invoice.id, eur(2_380))
    elif way == "void":
        await merchants.void(SHOP_CTX, invoice.id, "sold_out")
    else:
        world.clock.advance(milliseconds=HOUR)
        await Deadlines(world.payments).run_due()
    assert (await world.pays(small, "$late")).outcome is ConfirmOutcome.PAID


async def test_what_is_withdrawn_is_not_taken_any_more(world: World, merchants: Merchants) -> None:
    invoice = await merchants.hold(SHOP_CTX, ALICE, LINES, key="o")
    await world.pays(invoice)
    now = world.clock.now_ms()
    assert await world.database.write(lambda c: store.withdraw(c, invoice.key, SHOP_CONSUMER, now))
    with pytest.raises(PaymentRefused, match=r"payments\.withdrawn"):
        await merchants.capture(SHOP_CTX, invoice.id)
    await Deadlines(world.payments).run_due()
    assert world.told_of(invoice, ALICE)[-1] == "voided"
    assert await world.available(ALICE) == 10_000


async def test_a_price_has_changed(world: World, merchants: Merchants) -> None:
    invoice = await merchants.invoice(SHOP_CTX, ALICE, LINES, key="o-1")
    challenge = await world.payments.challenge(invoice.id, ALICE, "!room:example.org")
    given_up = await merchants.void(SHOP_CTX, invoice.id, "price")
    assert (given_up.state, given_up.reason) == (PaymentState.CANCELLED, "price")
    assert await merchants.void(SHOP_CTX, invoice.id, "price") == given_up
    assert challenge.code is not None
    late = await world.payments.confirm(payer=ALICE, code=challenge.code, room_id="!room:example.org", event_id="$late")
    assert late.outcome is ConfirmOutcome.ENDED
    dearer = await merchants.invoice(SHOP_CTX, ALICE, [Line("Cake", eur(1_250))], key="o-2")
    assert (await world.pays(dearer)).outcome is ConfirmOutcome.PAID


async def test_refunds(world: World, merchants: Merchants) -> None:
    invoice = await merchants.invoice(SHOP_CTX, ALICE, LINES, key="o")
    with pytest.raises(PaymentRefused, match=r"payments\.wrong_state"):
        await merchants.refund(SHOP_CTX, invoice.id, reason="", key="early")
    await world.pays(invoice)

    async def refund(key: str, amount: int | None = None, **more: Any) -> tuple[str, int, bool]:
        money = None if amount is None else eur(amount)
        found = await merchants.refund(SHOP_CTX, invoice.id, money, reason="broken", key=key, **more)
        return found.payment.state.value, found.amount.minor, found.already

    assert await refund("one", lines={0: 1}) == ("partly_refunded", 1_190, False)
    assert await refund("one", lines={0: 1}) == ("partly_refunded", 1_190, True)
    with pytest.raises(IdConflict):
        await refund("one", 5)
    with pytest.raises(InvoiceError, match=r"invoice\.line_refunded"):
        await refund("two", lines={0: 2})
    for amount, code in ((2_261, "exceeds_paid"), (0, "not_positive"), (-1, "not_positive")):
        with pytest.raises(PaymentRefused, match=rf"payments\.{code}"):
            await refund("three", amount)
    assert await refund("four") == ("refunded", 2_260, False)
    assert await refund("four") == ("refunded", 2_260, True)
    with pytest.raises(PaymentRefused, match=r"payments\.exceeds_paid"):
        await refund("five")
    assert [await world.balance(who) for who in (ALICE, SHOP, "fees")] == [10_000, 0, 0]
    assert world.told_of(invoice, ALICE) == ["proposed", "paid", "partly_refunded", "refunded"]
    assert (await world.audited(invoice))[-1] == "payment.refund refused:payments.exceeds_paid"
    await world.sound()


async def test_a_refund_that_the_account_cannot_pay_is_made_later_under_the_same_key(
    world: World, merchants: Merchants
) -> None:
    invoice = await merchants.invoice(SHOP_CTX, ALICE, LINES, key="o")
    await world.pays(invoice)
    await world.payments.open_wallet(BOB)
    payout = await MerchantPayouts(world.payments).pay(SHOP_CTX, BOB, eur(3_000), key="p")
    assert payout.state is PaymentState.PAID
    for _ in range(2):
        with pytest.raises(PaymentRefused, match=r"payments\.exceeds_balance_payee"):
            await merchants.refund(SHOP_CTX, invoice.id, lines={0: 2}, reason="x", key="r")
    found = await merchants.payment(SHOP_CTX, invoice.id)
    assert found is not None
    assert (found.state, found.lines_refunded) == (PaymentState.PAID, {})
    another = await merchants.invoice(SHOP_CTX, ALICE, LINES, key="o2")
    await world.pays(another)
    made = await merchants.refund(SHOP_CTX, invoice.id, lines={0: 2}, reason="x", key="r")
    assert (made.amount, made.already) == (eur(2_380), False)
    await world.sound()


async def test_a_plugin_touches_its_own_only(world: World, merchants: Merchants) -> None:
    """Also not that of an instance whose name begins with its own."""
    invoice = await merchants.hold(SHOP_CTX, ALICE, LINES, key="o")
    await world.pays(invoice)
    mandate = await merchants.subscribe(SHOP_CTX, ALICE, eur(5), key="m", memo="", every=None)
    assert await merchants.payment(OTHER_CTX, invoice.id) is None
    assert await merchants.subscription(OTHER_CTX, mandate.id) is None
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: merchants.capture(OTHER_CTX, invoice.id),
        lambda: merchants.void(OTHER_CTX, invoice.id, "x"),
        lambda: merchants.refund(OTHER_CTX, invoice.id, reason="x", key="x"),
        lambda: merchants.charge(OTHER_CTX, mandate.id, eur(1), key="x"),
        lambda: merchants.void(OTHER_CTX, mandate.id, "x"),
    ]
    for attempt in attempts:
        with pytest.raises(PaymentRefused, match=NOT_MINE):
            await attempt()
    # One key of two plugins is two payments.
    other = await merchants.invoice(OTHER_CTX, ALICE, LINES, key="o")
    assert other.id != invoice.id
    # Payments between people are no plugin's.
    private = await world.payments.propose(world.proposal())
    for attempt in (lambda: merchants.void(SHOP_CTX, private.id, "x"), lambda: merchants.capture(SHOP_CTX, private.id)):
        with pytest.raises(PaymentRefused, match=NOT_MINE):
            await attempt()


async def test_parts_of_an_account(world: World, merchants: Merchants) -> None:
    invoice = await merchants.invoice(SHOP_CTX, ALICE, [Line("Tea", eur(500))], key="o", sub="mary")
    await world.pays(invoice)
    accounts = MerchantAccounts(world.payments)
    assert await accounts.balance(SHOP_CTX, "EUR", sub="mary") == eur(490)
    assert await accounts.balance(SHOP_CTX, "EUR") == eur(0)
    lines = await accounts.statement(SHOP_CTX, "EUR", sub="mary")
    assert [(line.kind, line.amount, line.reference) for line in lines] == [
        ("fee", eur(-10), invoice.id),
        ("payment", eur(500), invoice.id),
    ]
    for wrong in ("a/b", "../x", "", "x" * 65):
        if wrong:
            with pytest.raises(ValueError, match="part of an account"):
                account_of(SHOP_CTX, wrong)


async def test_pay_outs(world: World, merchants: Merchants) -> None:
    await world.pays(await merchants.invoice(SHOP_CTX, ALICE, LINES, key="o"))
    payouts = MerchantPayouts(world.payments)
    with pytest.raises(PaymentRefused, match=r"payments\.exceeds_balance_payee"):
        await payouts.pay(SHOP_CTX, CAROL, eur(3_382), key="much")
    held = await payouts.pay(SHOP_CTX, CAROL, eur(1_000), key="wages", memo="November")
    assert held.state is PaymentState.HELD
    assert await payouts.pay(SHOP_CTX, CAROL, eur(1_000), key="wages", memo="November") == held
    assert world.told_of(held, CAROL) == ["held"]
    await world.payments.open_wallet(CAROL)
    assert (await world.balance(CAROL), await world.balance(SHOP)) == (1_000, 2_381)
    with pytest.raises(PaymentRefused, match=r"payments\.bad_payee"):
        await payouts.pay(SHOP_CTX, "bot:other", eur(1), key="x")
    await world.sound()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5_000), st.integers(1, 4)), min_size=1, max_size=4),
    st.integers(0, 300),
    st.fractions(0, Fraction(1, 4), max_denominator=200),
    st.data(),
)
async def test_whatever_is_refunded_the_books_add_up(
    lines: list[tuple[int, int]], tip: int, fee: Fraction, data: st.DataObject
) -> None:
    """Refunds in any order and size never give back more than was paid; all of it back leaves nobody with anything."""
    database = MemoryDatabase()
    await database.start()
    world = World(database, fee=fee, pin_above={})
    merchants = Merchants(world.payments)
    await world.give(ALICE, eur(100_000))
    goods = [Line("thing", eur(price), count, Decimal("0.19")) for price, count in lines]
    payment: Payment = await merchants.invoice(SHOP_CTX, ALICE, goods, key="o", tip=eur(tip))
    await world.pays(payment)
    for number in range(4):
        found = await merchants.payment(SHOP_CTX, payment.id)
        assert found is not None
        left = found.refundable.minor
        amount = data.draw(st.integers(1, left + 1))
        try:
            await merchants.refund(SHOP_CTX, payment.id, eur(amount), reason="", key=str(number))
        except PaymentRefused as refused:
            assert refused.code == "payments.exceeds_paid"
            assert amount == left + 1
        if amount == left:
            break
    else:
        await merchants.refund(SHOP_CTX, payment.id, reason="", key="rest")
    assert [await world.balance(who) for who in (ALICE, SHOP, "fees")] == [100_000, 0, 0]
    await world.sound()
    await database.stop()
