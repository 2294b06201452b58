"""Saved accounts, reminders, and bills that are paid by themselves."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bots.domain.money import Money
from bots.framework.testing import Person
from tests.support.bills import BillsWorld, amount_in, receipt_in
from tests.support.money import WALLET, code_in

pytestmark = pytest.mark.timeout(120)


async def saved(world: BillsWorld, person: Person, last: int = 1, name: str = "home") -> Money:
    """A person saves an account; what its bill of the month is."""
    said = await world.shown(person, last)
    await world.says(person, "Save it under a name", name, "Not now")
    return amount_in(said[-1])


async def allowed(world: BillsWorld, person: Person, cap: str = "200 EUR", name: str = "home") -> None:
    """A person has the bills of a saved account paid by themselves."""
    said = await world.says(person, f"autopay {name} {cap}")
    assert "the day before they are due" in said[0]
    assert (await world.says(person, "yes"))[-1] == "Please confirm it in your chat with the wallet."
    await world.confirms(person)
    said = await world.hears(person)
    assert said == [f"Bills of “{name}” up to €{cap.partition(' ')[0]}.00 are paid by themselves from now on."]


async def until(world: BillsWorld, day: int, hour: int = 12, month: int = 1) -> None:
    """The days go by, up to this hour."""
    wanted = datetime(2026, month, day, hour, tzinfo=UTC)
    while (left := (wanted - world.clock.now()).total_seconds()) > 0:
        await world.pass_time(seconds=min(left, 86_400))


# Names


async def test_saved_listed_renamed_removed() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    await world.shown(alice, 1)
    said = await world.says(alice, 2, "12")
    assert said[0].startswith("A name has up to 40 characters, not only digits.")
    said = await world.says(alice, "  My   home ")
    assert said[0].startswith("Saved as “My home”.")
    assert "Save it" not in said[1], "it is saved now"
    await world.says(alice, "Not now")
    await world.shown(alice, 0)
    assert (await world.says(alice, 2, "my HOME"))[0] == "You have one of this name already."
    await world.says(alice, "flat", "Not now")
    await world.restart(kill=True)
    said = await world.says(alice, "accounts")
    assert said == ["1. My home: Example Power, account 20415871\n2. flat: Example Power, account 20415870"]
    assert await world.says(alice, "rename 2 my-home") == ["You have one of this name already."]
    assert await world.says(alice, "rename flat Cellar") == ["Renamed: Cellar"]
    said = await world.says(alice, "pay cellar")
    assert said[0] == "I ask Example Power for the bill."
    assert "account 20415870" in said[1]
    await world.says(alice, "Not now")
    said = await world.says(alice, "pay")
    assert said[0].startswith("Which one?\n\n1. My home\n2. Cellar\n3. Another one")
    said = await world.says(alice, 1)
    assert "account 20415871" in said[1]
    await world.says(alice, "Not now")
    assert await world.says(alice, "remove 1") == ["Removed: My home"]
    assert "My home" not in (await world.says(alice, "accounts"))[0]
    assert (await world.says(alice, "remove My home"))[0].startswith("You have no saved account “My home”.")
    bob = await world.begins("bob")
    assert "no saved account" in (await world.says(bob, "pay cellar"))[0], "nobody else's"
    world.check()


async def test_a_saved_phone() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    await world.says(alice, "topup", 1, "+4915112345671", 1, "Save it under a name", "mum", "Not now")
    said = await world.says(alice, "topup")
    assert said[0].startswith("Which one?\n\n1. mum")
    said = await world.says(alice, 1, 2)
    assert said[0].startswith("€15.00 for +4915112345671 at Example Mobile")
    await world.says(alice, "Not now")
    assert await world.says(alice, "autopay mum 20 EUR") == ["That works for bills only."]
    assert "Which one?" not in (await world.says(alice, "pay"))[0], "it is no bill"
    world.check()


# Reminders


async def test_a_reminder_by_the_persons_clock_once() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    await world.says(alice, "zone Tokyo")
    await saved(world, alice)
    assert await world.says(alice, "remind home 3") == ["You will be reminded of “home” 3 days before a bill is due."]
    await until(world, 24, 23)  # nine in Tokyo is midnight UTC
    assert await world.hears(alice) == []
    await world.restart()
    await until(world, 25, 0)
    await world.pass_time(minutes=1)
    said = await world.hears(alice)
    assert len(said) == 1
    assert said[0].startswith("A bill of “home” is to be paid.\n\nExample Power, account 20415871")
    await until(world, 27)
    assert await world.hears(alice) == [], "once for a bill"
    await until(world, 25, 3, month=2)
    assert (await world.hears(alice))[-1].startswith("A bill of “home” is to be paid."), "and for the next"
    await world.says(alice, 1)
    await world.confirms(alice)
    receipt_in(await world.hears(alice))
    world.check()


async def test_no_reminder_of_what_is_paid() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    await saved(world, alice)
    await world.says(alice, "remind home")
    await world.says(alice, "pay home", 1)
    await world.confirms(alice)
    receipt_in(await world.hears(alice))
    await until(world, 28)
    assert await world.hears(alice) == []
    await until(world, 26, month=2)
    assert len(await world.hears(alice)) == 1
    world.check()


@pytest.mark.parametrize("end", ["remind home off", "remove home"])
async def test_no_reminder_any_more(end: str) -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    await saved(world, alice)
    await world.says(alice, "remind home 5", end)
    await until(world, 28)
    assert await world.hears(alice) == []
    for wrong in ("remind home 0x", "remind home 29", "remind home -1"):
        assert len(await world.says(alice, wrong)) == 1
    world.check()


# Autopay


async def test_paid_by_itself_told_the_day_before() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    amount = await saved(world, alice)
    await allowed(world, alice)
    assert "paid by itself up to €200.00" in (await world.says(alice, "accounts"))[0]
    await until(world, 25)
    assert await world.hears(alice) == []
    await until(world, 26)
    said = await world.hears(alice)
    assert said == [
        f"On Jan 27, 2026 I pay €{amount.amount} to Example Power for “home”. To stop it: “autopay home off”."
    ]
    assert await world.has(alice) == Money(50000, "EUR")
    await world.restart(kill=True)
    await until(world, 27)
    receipt_in(await world.hears(alice))
    assert await world.has(alice) == Money(50000, "EUR") - amount
    assert await world.biller_has() == amount
    await until(world, 31)
    assert await world.hears(alice) == [], "never twice for a period"
    assert await world.biller_has() == amount
    await until(world, 28, month=2)
    receipt_in([(await world.hears(alice))[-1]])
    world.check()


async def test_above_the_cap_it_asks() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    amount = await saved(world, alice)
    await allowed(world, alice, "10 EUR")
    await until(world, 26)
    said = await world.hears(alice)
    assert len(said) == 1
    assert said[0].startswith("A bill of “home” is more than the €10.00 that you allowed")
    await until(world, 28)
    assert await world.hears(alice) == []
    assert await world.has(alice) == Money(50000, "EUR")
    said = await world.says(alice, "pay home", 1)
    await world.confirms(alice)
    receipt_in(await world.hears(alice))
    assert await world.biller_has() == amount
    world.check()


@pytest.mark.parametrize("end", ["autopay home off", "remove home", "wallet"])
async def test_stopped_at_any_time(end: str) -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    await saved(world, alice)
    await allowed(world, alice)
    await until(world, 26)
    assert len(await world.hears(alice)) == 1, "told"
    if end == "wallet":
        mandate = next(each for each in await world.bank.history(alice.user_id) if each.kind == "mandate")
        await world.bank.revoke(mandate.id, alice.user_id)
        assert await world.hears(alice) == ["Nothing of “home” is paid by itself any more."]
    else:
        await world.says(alice, end)
    await until(world, 30)
    assert await world.hears(alice) == []
    assert await world.has(alice) == Money(50000, "EUR")
    world.check()


async def test_never_confirmed_in_the_wallet() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    await saved(world, alice)
    await world.says(alice, "autopay home 200 EUR", "yes")
    assert "once you confirm it in the wallet" in (await world.says(alice, "accounts"))[0]
    await world.pass_time(days=4)
    assert await world.hears(alice) == ["Nothing of “home” is paid by itself any more."]
    await until(world, 28)
    assert await world.hears(alice) == []
    world.check()


async def test_confirmed_after_it_was_not_wanted_any_more() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    await saved(world, alice)
    await world.says(alice, "autopay home 200 EUR", "yes")
    wallet = await world.direct(alice, WALLET)
    code = code_in(*await alice.hears_all(wallet))
    await world.says(alice, "autopay home off")
    await alice.says(code, room=wallet)
    mandate = next(each for each in await world.bank.history(alice.user_id) if each.kind == "mandate")
    assert mandate.state == "voided"
    await until(world, 28)
    assert await world.hears(alice) == []
    world.check()


async def test_paid_by_hand_before() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    amount = await saved(world, alice)
    await allowed(world, alice)
    await until(world, 26)
    await world.says(alice, "pay home", 1)
    await world.confirms(alice)
    receipt_in(await world.hears(alice))
    await until(world, 31)
    assert await world.hears(alice) == []
    assert await world.biller_has() == amount
    world.check()


async def test_not_enough_money_is_left_to_the_person() -> None:
    world = BillsWorld()
    alice = await world.begins("alice", "1")
    amount = await saved(world, alice)
    await allowed(world, alice)
    await until(world, 27)
    said = await world.hears(alice)
    assert said[-1] == "Example Power was not paid: there is not enough in your wallet"
    await world.give(alice, "500")
    await until(world, 28)
    assert await world.hears(alice) == [], "each bill is tried once"
    await world.says(alice, "pay home", 1)
    await world.confirms(alice)
    receipt_in(await world.hears(alice))
    assert await world.biller_has() == amount
    world.check()


async def test_a_biller_that_does_not_take_it() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    await saved(world, alice, 2)
    await allowed(world, alice)
    await until(world, 27)
    assert "is back in your wallet" in (await world.hears(alice))[-1]
    await until(world, 31)
    assert await world.hears(alice) == []
    assert await world.has(alice) == Money(50000, "EUR")
    world.check()


async def test_two_people_share_one_account() -> None:
    """Both have its bills paid by themselves: one of them pays."""
    world = BillsWorld()
    alice, bob = await world.begins("alice"), await world.begins("bob")
    for person in (alice, bob):
        amount = await saved(world, person)
        await allowed(world, person)
    await until(world, 28)
    assert await world.biller_has() == amount
    both = await world.has(alice) + await world.has(bob)
    assert both == Money(100000, "EUR") - amount
    world.check()
