"""Paying: what is refused before a code is shown, who is told what, and what a group sees."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from appservice.homeserver import HomeserverError
from bots.domain.money import Money
from bots.domain.payments import PaymentState
from bots.framework.testing import Person
from tests.support.money import MoneyWorld, code_in


@pytest.fixture
async def world() -> AsyncIterator[MoneyWorld]:
    """A world with money."""
    made = MoneyWorld()
    yield made
    await made.stop()


async def said(person: Person, text: str) -> str:
    """What the wallet says to somebody alone."""
    await person.says(text)
    return "\n".join(each.body for each in await person.hears_all())


async def pay(person: Person, text: str) -> str:
    """Pay, with the code; what the payer hears then."""
    await person.says(text)
    return await said(person, code_in(*await person.hears_all()))


async def test_a_wallet_opens_at_its_first_use(world: MoneyWorld) -> None:
    alice = world.user("alice")
    await world.direct(alice)
    assert "I keep your money" in (await alice.hears()).body
    assert not await world.bank.is_open(alice.user_id)
    heard = await said(alice, "balance")
    assert "Your wallet is open." in heard
    assert "• One payment: €1,000.00" in heard
    assert "€0.00" in heard
    assert await world.bank.is_open(alice.user_id)
    assert await world.bank.is_open("@bob:world") is False
    assert "open" not in await said(alice, "balance"), "once"


async def test_limits_come_from_the_configuration(world: MoneyWorld) -> None:
    small = MoneyWorld(money={"tiers": [{"per_transfer": {"EUR": "7.00"}, "per_day": {"EUR": "9.00"}}]})
    alice = await small.opened("alice", "100")
    small.user("bob")
    assert "€7.00" in await said(alice, "limits")
    assert "One payment is €7.00 at most" in await said(alice, "pay @bob 7.01 EUR")
    await small.owner("bob")
    await pay(alice, "pay @bob 6 EUR")
    refused = await said(alice, "pay @bob 4 EUR")
    assert "€9.00 at most: €3.00 are left until Jan 2, 2026" in refused
    assert "€3.00 left until Jan 2, 2026" in await said(alice, "limits")
    await small.pass_time(days=1)
    assert "To confirm" in await said(alice, "pay @bob 4 EUR")
    await small.stop()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pay", "Whom should I pay?"),
        ("pay @bob", "How much?"),
        ("pay 20 EUR", "Whom should I pay?"),
        ("pay @alice 5 EUR", "That is you yourself."),
        ("pay @wallet 5 EUR", "Whom should I pay?"),
        ("pay @nobody 5 EUR", "There is nobody called @nobody:world."),
        ("pay @bob:nowhere.example 5 EUR", "There is nobody called @bob:nowhere.example."),
        ("pay @bob 5 GBP", "Wallets here hold EUR and USD, and not GBP."),
        ("pay @bob 5 EUX", "Did you mean EUR?"),
        ("pay @bob -5", "less than nothing"),
        ("pay @bob 0", "more than nothing"),
        ("pay @bob 1e9", "not an amount"),
        ("pay @bob 12.345", "at most 2 decimals"),
        ("pay @bob 99999999999999999999", "too large"),
        ("pay @bob @carol 5 EUR", "One payment goes to one person."),
        ("pay @bob 100.01 EUR", "€0.01 is missing"),
        ("pay @bob 1000.01 EUR", "One payment is €1,000.00 at most"),
        ("pay 7", "no request 7"),
        ("confirm", "six digits"),
        ("confirm 12345", "six digits"),
        ("123456", "Nothing waits for a code."),
        ("decline", "Nothing waits for you."),
        ("decline 3", "no request 3"),
        ("decline lunch", "Write its number"),
        ("cancel", "Nothing waits for you."),
        ("payy @bob 5", "Did you mean “pay”?"),
    ],
)
async def test_what_is_refused(world: MoneyWorld, text: str, why: str) -> None:
    await world.owner("bob")
    world.user("carol")
    alice = await world.opened("alice", "100")
    assert why in await said(alice, text)
    assert await world.bank.history(alice.user_id) == [], "nothing is begun"
    assert await world.has(alice) == Money.of(100, "EUR")
    world.check()


async def test_whether_somebody_exists_is_asked_again_when_it_is_unknown(world: MoneyWorld) -> None:
    alice = await world.opened("alice", "100")
    real, failures = world.homeserver.request, [HomeserverError(502, "M_UNKNOWN", "away")]

    async def request(method: str, path: str, **given: object) -> object:
        if "profile" in path and failures:
            raise failures.pop()
        return await real(method, path, **given)  # type: ignore[arg-type]

    world.homeserver.request = request  # type: ignore[method-assign]
    world.user("bob")
    assert "To confirm" in await said(alice, "pay @bob 5 EUR")


async def test_both_are_told_once(world: MoneyWorld) -> None:
    alice, bob = await world.opened("alice", "100"), await world.opened("bob")
    heard = await pay(alice, "pay @bob 20 EUR for lunch")
    payment = await world.payment_of(alice)
    assert heard == f"✅ Paid: €20.00 to Bob (@bob:world).\nFor: lunch\nReceipt: {payment.id}\nYou now have €80.00."
    (told,) = await bob.hears_all()
    assert told.body.startswith("✅ Alice (@alice:world) has paid you €20.00.")
    assert "You now have €20.00." in told.body
    assert told.content["msgtype"] == "m.text", "it rings"
    await world.restart()
    await world.pass_time(days=1)
    await alice.hears_nothing()
    await bob.hears_nothing()
    world.check()


async def test_somebody_without_a_wallet(world: MoneyWorld) -> None:
    alice, carol = await world.opened("alice", "100"), world.user("carol")
    heard = await pay(alice, "pay @carol 20 EUR for the ticket")
    assert "they have no wallet yet" in heard
    assert await world.has(alice) == Money.of(80, "EUR")
    room = world.homeserver.rooms["!carol-wallet:world"]
    assert "sends you €20.00" in (await carol.hears(room)).body
    await carol.says("hi", room=room)
    told = "\n".join(each.body for each in await carol.hears_all(room))
    assert "Your wallet is open." in told
    assert "Alice (@alice:world) has paid you €20.00." in told
    assert await world.has(carol) == Money.of(20, "EUR")
    assert "✅ Paid: €20.00 to Carol (@carol:world)." in (await alice.hears()).body
    await alice.hears_nothing()
    world.check()


async def test_it_comes_back_when_nobody_takes_it(world: MoneyWorld) -> None:
    alice, carol = await world.opened("alice", "100"), world.user("carol")
    await pay(alice, "pay @carol 20 EUR")
    await carol.hears_all(world.homeserver.rooms["!carol-wallet:world"])
    await world.pass_time(hours=24, seconds=1)
    assert "€20.00 for Carol (@carol:world) is yours again" in (await alice.hears()).body
    assert "gone back" in (await carol.hears(world.homeserver.rooms["!carol-wallet:world"])).body
    assert await world.has(alice) == Money.of(100, "EUR")
    await carol.says("hi", room=world.homeserver.rooms["!carol-wallet:world"])
    assert await world.has(carol) == Money.of(0, "EUR")
    assert (await world.payment_of(alice)).state is PaymentState.VOIDED
    world.check()


async def test_who_accepts_the_invitation_has_a_wallet(world: MoneyWorld) -> None:
    alice, carol = await world.opened("alice", "100"), world.user("carol")
    await pay(alice, "pay @carol 20 EUR")
    room = world.homeserver.rooms["!carol-wallet:world"]
    await world.change_member(room, carol.user_id, "invite")
    await carol.joins(room)
    assert await world.has(carol) == Money.of(20, "EUR")
    world.check()


async def test_a_group_sees_only_what_it_must(world: MoneyWorld) -> None:
    alice, bob = await world.opened("alice", "100"), await world.opened("bob")
    room = await world.room("flat", alice, bob)
    await world.quiet(room, alice, bob)
    await alice.says("!pay @bob 20 EUR for lunch", room=room)
    assert [each.body for each in await bob.hears_all(room)] == ["✓ I have asked you in our own chat."]
    question = await alice.hears()
    assert question.content["m.mentions"] == {"user_ids": ["@alice:world"]}, "it rings"
    await alice.says(code_in(question))
    assert "✅ Paid" in (await alice.hears()).body
    assert [each.body for each in await bob.hears_all(room)] == ["✓ Alice (@alice:world) has paid Bob (@bob:world)."]
    await alice.says("!balance", room=room)
    assert [each.body for each in await bob.hears_all(room)] == ["✓ I have answered you in our own chat."]
    assert "€80.00" in (await alice.hears()).body
    await alice.says("!pay @bob 500 EUR", room=room)
    assert [each.body for each in await bob.hears_all(room)] == ["✓ I have answered you in our own chat."]
    assert "€420.00 is missing" in (await alice.hears()).body
    everything = "\n".join(world.transcript(room))
    assert code_in(question) not in everything
    assert "80.00" not in everything
    world.check()


async def test_a_payment_begun_aside_is_not_told_to_a_group(world: MoneyWorld) -> None:
    alice, bob = await world.opened("alice", "100"), await world.opened("bob")
    room = await world.room("flat", alice, bob)
    await world.quiet(room, alice, bob)
    await pay(alice, "pay @bob 20 EUR")
    await alice.hears_nothing(room)


async def test_trust_spares_a_warning_and_no_code(world: MoneyWorld) -> None:
    alice = await world.opened("alice", "100")
    await world.owner("bob")
    assert "no more warnings" in await said(alice, "trust @bob")
    question = await said(alice, "pay @bob 5 EUR")
    assert "You have marked them as trusted." in question
    assert "⚠️" not in question
    assert "type this code" in question
    await said(alice, "untrust @bob")
    assert "⚠️ You have never paid them before." in await said(alice, "pay @bob 5 EUR")
    world.check()


async def test_saved_payees(world: MoneyWorld) -> None:
    alice = await world.opened("alice", "100")
    await world.owner("bob")
    assert await said(alice, "save @bob as Bobby") == "Saved: Bobby is @bob:world."
    assert "Bob (@bob:world)" in await said(alice, "pay bobby 5 EUR")
    await said(alice, "trust Bobby")
    assert "• Bobby – @bob:world ★" in await said(alice, "payees")
    world.user("carol")
    assert "somebody else already" in await said(alice, "save @carol as bobby")
    assert "without numbers" in await said(alice, "save @carol as 20")
    assert "nobody called @nobody:world" in await said(alice, "save @nobody as X")
    assert await said(alice, "save @carol") == "Saved: Carol is @carol:world."
    assert await said(alice, "forget Bobby") == "Forgotten: @bob:world."
    assert "saved nobody called Bobby" in await said(alice, "forget Bobby")
    assert "do not understand “bobby”" in await said(alice, "pay bobby 5 EUR")
    world.check()


async def test_several_currencies(world: MoneyWorld) -> None:
    alice = await world.opened("alice", "100")
    await world.give(alice, "50", "USD")
    await world.owner("bob")
    assert "✅ Paid: $20.00" in await pay(alice, "pay @bob 20 USD")
    assert await said(alice, "balance") == "You have:\n€100.00\n$30.00"
    assert await world.has("@bob:world", "USD") == Money.of(20, "USD")
    assert "$30.00 to spend" in await said(alice, "pay @bob 31 USD")
    world.check()


async def test_what_a_frozen_wallet_pays(world: MoneyWorld) -> None:
    alice = await world.opened("alice", "100")
    await world.owner("bob")
    await alice.says("pay @bob 5 EUR")
    code = code_in(await alice.hears())
    await said(alice, "freeze")
    assert "Your wallet is frozen" in await said(alice, code)
    assert "Your wallet is frozen" in await said(alice, "pay @bob 5 EUR")
    assert await world.has(alice) == Money.of(100, "EUR")
    world.check()


async def test_money_cannot_be_called_back(world: MoneyWorld) -> None:
    alice = await world.opened("alice", "100")
    await world.owner("bob")
    await pay(alice, "pay @bob 5 EUR")
    heard = await said(alice, "undo")
    assert "cannot be called back" in heard
    assert "request 5.00 EUR from @bob:world" in heard
    world.check()


async def test_the_money_is_gone_between_question_and_code(world: MoneyWorld) -> None:
    alice = await world.opened("alice", "100")
    await world.owner("bob")
    await alice.says("pay @bob 40 EUR for one")
    one = code_in(await alice.hears())
    for _ in range(2):
        await pay(alice, "pay @bob 35 EUR")
    heard = await said(alice, one)
    assert heard == "Your wallet has €30.00 to spend, and this is €40.00. Nothing was paid."
    assert await world.has(alice) == Money.of(30, "EUR")
    world.check()
