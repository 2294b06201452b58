"""Asking for money: each who is asked confirms alone, and nothing that was asked confirms itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bots.domain.money import Money
from bots.framework.testing import Person
from bots.framework.testing.homeserver import Room
from tests.support.money import MoneyWorld, code_in


@pytest.fixture
async def world() -> AsyncIterator[MoneyWorld]:
    """A world with money."""
    made = MoneyWorld()
    yield made
    await made.stop()


@pytest.fixture
async def flat(world: MoneyWorld) -> Room:
    """Where Alice, Bob and Carol live."""
    alice = await world.opened("alice", "100")
    bob, carol = await world.opened("bob", "100"), await world.opened("carol", "100")
    room = await world.room("flat", alice, bob, carol)
    await world.quiet(room, alice, bob, carol)
    return room


async def said(person: Person, text: str, room: Room | None = None) -> str:
    """What the wallet answers in that room."""
    await person.says(text, room=room)
    return "\n".join(each.body for each in await person.hears_all(room))


async def heard(person: Person) -> str:
    """What somebody was told in their own chat."""
    return "\n".join(each.body for each in await person.hears_all())


async def test_a_request_is_paid(world: MoneyWorld, flat: Room) -> None:
    alice, bob = world.user("alice"), world.user("bob")
    answer = await said(alice, "request 12 EUR from @bob for pizza")
    assert "1. €12.00 from Bob (@bob:world)" in answer
    assert "For: pizza" in answer
    await alice.hears_nothing(flat)
    asked = await heard(bob)
    assert "1. Alice (@alice:world) asks you for €12.00." in asked
    assert "For: pizza" in asked
    assert "never paid them" in asked
    assert not any(part.isdigit() and len(part) == 6 for part in asked.split()), "no code yet"
    question = await said(bob, "pay 1")
    await bob.says(code_in(bob.last["!bob-wallet:world"]))
    assert "You pay €12.00 to Alice (@alice:world)." in question
    assert "✅ Paid: €12.00 to Alice" in await heard(bob)
    assert "✅ Bob (@bob:world) has paid you €12.00." in await heard(alice)
    await alice.hears_nothing(flat)
    assert await said(bob, "pay 1") == (
        f"This has been paid already: €12.00 to Alice (@alice:world). Receipt: {(await world.payment_of(bob)).id}"
    )
    world.check()


async def test_who_looks_like_somebody_known_is_flagged(world: MoneyWorld, flat: Room) -> None:
    alice, impostor = world.user("alice"), await world.opened("b0b")
    await alice.says("pay @bob 1 EUR")
    await said(alice, code_in(*await alice.hears_all()))
    await world.change_member(flat, impostor.user_id, "join")
    await said(impostor, "request 12 EUR from @alice for the usual")
    asked = await heard(alice)
    assert "B0b (@b0b:world) asks you for €12.00." in asked
    assert "Look closely: this is not @bob:world" in asked
    world.check()


async def test_several_are_each_asked_for_the_amount(world: MoneyWorld, flat: Room) -> None:
    alice, bob, carol = (world.user(name) for name in ("alice", "bob", "carol"))
    answer = await said(alice, "request 12 EUR from @bob @carol")
    assert "1. €12.00 from Bob" in answer
    assert "2. €12.00 from Carol" in answer
    assert "€12.00" in await heard(bob)
    assert "€12.00" in await heard(carol)
    world.check()


async def test_a_split_in_a_group(world: MoneyWorld, flat: Room) -> None:
    alice, bob, carol = (world.user(name) for name in ("alice", "bob", "carol"))
    shown = await said(alice, "!split 100 EUR for dinner", flat)
    assert shown == "✓ I have asked Bob (@bob:world) and Carol (@carol:world) in private."
    aside = await heard(alice)
    assert "€33.33 from Bob" in aside
    assert "€33.33 from Carol" in aside
    assert "Your own share: €33.34" in aside
    assert "asks you for €33.33" in await heard(bob)
    await heard(carol)
    await bob.says("pay 1")
    await bob.says(code_in(*await bob.hears_all()))
    assert await said(carol, "decline 1") == "Declined. Nothing was paid."
    assert "Carol (@carol:world) has declined to pay €33.33." in await heard(alice)
    told = [each.body for each in await carol.hears_all(flat)]
    assert told == [shown, "✓ Bob (@bob:world) has paid Alice (@alice:world)."], "nobody hears who has declined"
    assert "33" not in "\n".join(world.transcript(flat)).replace("100", "")
    assert await world.has(alice) == Money(13_333, "EUR")
    world.check()


@pytest.mark.parametrize(
    ("text", "own", "share"),
    [
        ("split 90 EUR with @bob @carol", "€30.00", "€30.00"),
        ("split 100 EUR with @bob @carol", "€33.34", "€33.33"),
        ("split 0.04 EUR with @bob @carol", "€0.02", "€0.01"),
        ("split 90 EUR between @bob and @carol", "", "€45.00"),
        ("split 90 EUR between @alice @bob @carol", "€30.00", "€30.00"),
    ],
)
async def test_shares_add_up(world: MoneyWorld, flat: Room, text: str, own: str, share: str) -> None:
    answer = await said(world.user("alice"), text)
    assert ("Your own share: " + own in answer) if own else ("share" not in answer)
    assert f"{share} from Carol" in answer
    assert share in await heard(world.user("carol"))
    world.check()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("request 12 EUR", "Whom should I ask?"),
        ("request from @bob", "How much?"),
        ("request 12 EUR from @alice", "That is you yourself."),
        ("request 12 EUR from @wallet", "Whom should I ask?"),
        ("request 12 EUR from @nobody", "There is nobody called"),
        ("request 12 EUR from @bob @nobody", "There is nobody called"),
        ("request 12 EUR from @dave", "I see none with @dave:world"),
        ("request 12 GBP from @bob", "not GBP"),
        ("split 90 EUR", "With whom?"),
        ("split with @bob", "How much?"),
        ("split 0.02 EUR with @bob @carol", "less than one coin"),
        ("remind", "Which one?"),
        ("remind 9", "no request 9"),
    ],
)
async def test_what_is_refused(world: MoneyWorld, flat: Room, text: str, why: str) -> None:
    world.user("dave")
    alice = world.user("alice")
    assert why in await said(alice, text)
    assert await world.bank.history(alice.user_id) == [], "nobody was asked"
    await world.user("bob").hears_nothing()
    world.check()


async def test_at_most_so_many_are_open(flat: Room, world: MoneyWorld) -> None:
    alice = world.user("alice")
    for number in range(20):
        await world.bank.split(
            payee=alice.user_id,
            people=["@bob:world"],
            total=Money(100, "EUR"),
            memo="",
            key=f"test:{number}",
            origin_room=flat.room_id,
            own_share=False,
        )
    await heard(world.user("bob"))
    assert "You have 20 open requests already" in await said(alice, "request 1 EUR from @bob")
    assert "You have 20 open requests already" in await said(alice, "split 30 EUR with @bob @carol")
    assert await heard(world.user("bob")) == "", "all are asked, or nobody"
    world.check()


async def test_what_is_open_is_listed(world: MoneyWorld, flat: Room) -> None:
    alice, bob = world.user("alice"), world.user("bob")
    assert await said(alice, "requests") == "No request is open."
    await said(alice, "request 12 EUR from @bob for pizza")
    await heard(bob)
    await said(bob, "request 3 EUR from @alice")
    await heard(alice)
    listed = await said(alice, "requests")
    assert "You are asked for:\n2. €3.00 to Bob (@bob:world)" in listed
    assert "You have asked for:\n1. €12.00 from Bob (@bob:world) · pizza" in listed
    assert await said(alice, "cancel 1") == "Taken back. Nobody pays it any more."
    assert "does not ask you for €12.00 any more" in await heard(bob)
    assert "taken back or declined" in await said(bob, "pay 1")
    assert "1." not in await said(alice, "requests")
    assert "is your own: others pay it" in await said(bob, "pay 2")
    assert "“cancel” takes it back" in await said(bob, "decline 2")
    world.check()


async def test_the_one_who_is_asked_cannot_cancel_it_for_the_other(world: MoneyWorld, flat: Room) -> None:
    bob = world.user("bob")
    await said(world.user("alice"), "request 12 EUR from @bob")
    await heard(bob)
    assert await said(bob, "cancel 1") == "Declined. Nothing was paid."
    world.check()


async def test_numbers_of_others_mean_nothing(world: MoneyWorld, flat: Room) -> None:
    await said(world.user("alice"), "request 12 EUR from @bob")
    carol = world.user("carol")
    assert "no request 1" in (await said(carol, "pay 1"))
    payment = await world.payment_of(world.user("alice"))
    assert "leads to no request" in await said(carol, f"pay {payment.id}")
    assert "no receipt of that number" in await said(carol, f"receipt {payment.id}")
    world.check()


async def test_reminders_and_the_end(world: MoneyWorld, flat: Room) -> None:
    alice, bob = world.user("alice"), world.user("bob")
    await said(alice, "request 12 EUR from @bob for pizza")
    await heard(bob)
    assert await said(alice, "remind 1") == "They have heard of it today already."
    await world.pass_time(days=1, seconds=1)
    reminder = await heard(bob)
    assert "A reminder: Alice (@alice:world) has asked you for €12.00." in reminder
    assert "For: pizza" in reminder
    await world.restart()
    assert await said(alice, "remind 1") == "I have reminded them."
    assert "A reminder" in await heard(bob)
    assert await said(alice, "remind 1") == "They have heard of it today already."
    assert "Only who asks for money reminds" in await said(bob, "remind 1")
    await world.pass_time(days=5)
    assert "A reminder" in await heard(bob)
    await world.pass_time(days=1, seconds=2)
    assert "Nothing was paid." in await heard(bob)
    assert "Bob (@bob:world) has not paid €12.00 in time." in await heard(alice)
    await world.pass_time(days=30)
    assert await heard(bob) == await heard(alice) == ""
    world.check()


async def test_who_has_paid_is_not_reminded(world: MoneyWorld, flat: Room) -> None:
    bob = world.user("bob")
    await said(world.user("alice"), "request 12 EUR from @bob")
    await heard(bob)
    await bob.says("pay 1")
    await bob.says(code_in(*await bob.hears_all()))
    assert "✅" in await heard(bob)
    await world.pass_time(days=8)
    assert await heard(bob) == ""
    world.check()


async def test_a_request_is_seen_in_the_payer_s_language(world: MoneyWorld, flat: Room) -> None:
    bob = world.user("bob")
    await said(bob, "language deutsch")
    await said(world.user("alice"), "request 12 EUR from @bob")
    assert "12,00" in await heard(bob)
    world.check()


async def test_a_group_one_has_left_hears_nothing(world: MoneyWorld, flat: Room) -> None:
    alice, bob, carol = (world.user(name) for name in ("alice", "bob", "carol"))
    await said(alice, "!request 12 EUR from @bob", flat)
    await heard(bob)
    await world.quiet(flat, carol)
    await bob.leaves(flat)
    await bob.says("pay 1")
    await bob.says(code_in(*await bob.hears_all()))
    assert "✅" in await heard(bob)
    await carol.hears_nothing(flat)
    world.check()
