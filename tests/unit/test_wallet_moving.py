"""Money in, money out, and from one currency to another."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bots.domain.money import Money
from bots.domain.payments import PaymentState
from bots.framework.testing import Person
from tests.support.money import MoneyWorld

IBAN = "DE89 3704 0044 0532 0130 00"


@pytest.fixture
async def world() -> AsyncIterator[MoneyWorld]:
    """A world in which Alice has 100.00 EUR."""
    made = MoneyWorld()
    await made.opened("alice", "100")
    yield made
    await made.stop()


async def said(person: Person, text: str) -> str:
    """What the wallet says to somebody alone."""
    await person.says(text)
    return "\n".join(each.body for each in await person.hears_all())


async def heard(person: Person) -> str:
    """What somebody was told."""
    return "\n".join(each.body for each in await person.hears_all())


async def test_a_top_up(world: MoneyWorld) -> None:
    alice = world.user("alice")
    page = await said(alice, "top up 30 EUR")
    assert "Bring in €30.00 on this page of Play money: https://pages.world/pages/sandbox-pay/" in page
    assert await world.has(alice) == Money.of(100, "EUR"), "it is not there before the provider says so"
    await world.top_up_ends(alice, "success")
    assert await heard(alice) == "✅ €30.00 has come in by Play money.\nYou now have €130.00."
    await world.restart()
    await world.pass_time(days=2)
    assert await heard(alice) == ""
    assert await world.has(alice) == Money.of(130, "EUR")
    world.check()


async def test_a_top_up_that_is_declined(world: MoneyWorld) -> None:
    alice = world.user("alice")
    await said(alice, "top up 30 EUR by sandbox")
    await world.top_up_ends(alice, "decline")
    assert "✗ The top-up of €30.00 was declined" in await heard(alice)
    await world.pass_time(days=2)
    assert await heard(alice) == ""
    assert await world.has(alice) == Money.of(100, "EUR")
    world.check()


async def test_a_top_up_that_nobody_can_tell_of(world: MoneyWorld) -> None:
    alice = world.user("alice")
    await said(alice, "top up 30 EUR")
    await world.top_up_ends(alice, "unknown")
    assert "cannot say yet whether €30.00 has come" in await heard(alice)
    await world.pass_time(days=2)
    assert await heard(alice) == "", "once"
    assert await world.has(alice) == Money.of(100, "EUR")
    world.check()


async def test_a_top_up_that_nobody_pays(world: MoneyWorld) -> None:
    alice = world.user("alice")
    await said(alice, "top up 30 EUR")
    await world.pass_time(hours=3)
    assert "The time for the top-up of €30.00 has passed" in await heard(alice)
    world.check()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("top up", "How much?"),
        ("top up 5 GBP", "not GBP"),
        ("top up 5 EUR by magic", "I know no “magic”. There is: sandbox."),
        ("top up 20000 EUR", "€9,900.00 more are possible"),
        ("top up -5", "less than nothing"),
        ("cash out", "How much?"),
        ("cash out 5 EUR to somewhere", "Where to?"),
        ("cash out 500 EUR", "€400.00 is missing"),
        (f"cash out 5 EUR to {IBAN.replace('89', '88')} Bob", "check digits"),
        (f"cash out 5 EUR to {IBAN}", "Whose account is it?"),
        ("exchange 20 EUR", "into which currency"),
        ("exchange 20 to EUR", "is in EUR already"),
        ("exchange 20 EUR to EUR", "is in EUR already"),
        ("exchange 20 EUR to XYZ", "not a currency"),
        ("exchange 20 EUR to GBP", "not GBP"),
        ("exchange 0 EUR to USD", "more than nothing"),
        ("exchange 500 EUR to USD", "€400.00 is missing"),
        ("exchange lunch to USD", "not an amount"),
    ],
)
async def test_what_is_refused(world: MoneyWorld, text: str, why: str) -> None:
    alice = world.user("alice")
    assert why in await said(alice, text)
    assert await world.bank.history(alice.user_id) == []
    assert await world.has(alice) == Money.of(100, "EUR")
    world.check()


async def test_a_cash_out(world: MoneyWorld) -> None:
    alice = world.user("alice")
    question = await said(alice, "cash out 40 EUR")
    assert "You cash out €40.00, by Play money." in question
    assert await world.has(alice) == Money.of(100, "EUR")
    told = await said(alice, _code(question))
    assert "⏳ Confirmed. €40.00 is on its way out" in told
    await world.pass_time(minutes=30)
    told += await heard(alice)
    assert told.count("✅ Cashed out: €40.00.") == 1
    assert await world.has(alice) == Money.of(60, "EUR")
    assert (await world.payment_of(alice)).state is PaymentState.PAID
    await world.pass_time(days=2)
    assert await heard(alice) == ""
    world.check()


async def test_an_exchange(world: MoneyWorld) -> None:
    alice = world.user("alice")
    question = await said(alice, "exchange 20 EUR to USD")
    for part in ("€20.00 for $21.89", "1 EUR is 1.0945 USD", "mid rate is 1.1", "0.5 %", "costs you $0.11", "1 minute"):
        assert part in question
    told = await said(alice, _code(question))
    assert "✅ Exchanged: €20.00 for $21.89." in told
    assert "You now have $21.89." in told
    assert await world.has(alice) == Money.of(80, "EUR")
    assert await world.has(alice, "USD") == Money(2189, "USD")
    assert "€20.00 for $21.89" in await said(alice, "history")
    world.check()


async def test_a_quote_ends(world: MoneyWorld) -> None:
    alice = world.user("alice")
    question = await said(alice, "exchange 20 EUR into USD")
    await world.pass_time(minutes=1, seconds=1)
    assert "too old" in await said(alice, _code(question))
    assert await world.has(alice) == Money.of(100, "EUR")
    world.check()


async def test_where_money_is_not_exchanged() -> None:
    world = MoneyWorld(rates="none")
    alice = await world.opened("alice", "100")
    assert "Money is not exchanged here." in await said(alice, "exchange 20 EUR to USD")
    await world.stop()


async def test_a_bank_transfer_in_and_out() -> None:
    world = MoneyWorld(bank=True)
    alice = await world.opened("alice", "100")
    asked = await said(alice, "top up 30 EUR")
    assert "top up 30.00 EUR by sandbox – Play money" in asked
    assert "top up 30.00 EUR by bank – Bank transfer" in asked
    await alice.says("top up 30 EUR by bank")
    picture, words = await alice.hears_all()
    assert picture.content["msgtype"] == "m.image"
    assert "IBAN: DE89 3704 0044 0532 0130 00" in words.body
    assert "Reference: RF" in words.body
    question = await said(alice, f"cash out 20 EUR to {IBAN} Alice Example")
    assert "To: Alice Example, " in question
    assert "3000" in question
    assert "DE89370400440532013000" not in question.replace(" ", ""), "masked"
    assert "⏳ Confirmed" in await said(alice, _code(question))
    assert await world.has(alice) == Money.of(80, "EUR")
    again = await said(alice, "cash out 10 EUR by bank")
    assert "To: Alice Example, " in again, "where the money went last"
    world.check()
    await world.stop()


def _code(text: str) -> str:
    code = text.partition("type this code here: ")[2][:6]
    assert code.isdigit(), text
    return code
