"""Bills in conversation, with the real wallet: looked up, shown, confirmed, paid; and whatever else may happen."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy import delete, select

from appservice.events import InternalEvent
from bots.bills.book import Book
from bots.domain.money import Money
from bots.framework.consumer import SCHEDULE_FIRED
from bots.framework.testing.world import PICKLE_KEY
from bots.store.bill_tables import bills
from bots.store.tables import schedules
from tests.support.bills import BILLS, BillsWorld, amount_in, receipt_in
from tests.support.money import WALLET

pytestmark = pytest.mark.timeout(120)


async def test_from_the_category_to_the_receipt() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    said = await world.says(alice, "pay")
    assert said[0].startswith("What would you like to pay?\n\n1. Electricity\n2. Water")
    said = await world.says(alice, 1)
    assert "1. Example Power\n2. Sample Grid" in said[0]
    said = await world.says(alice, "example power")
    assert said == ["Customer number, please. It looks like this: 20415871"]
    said = await world.says(alice, "2041")
    assert "Customer number: that does not fit. It looks like this: 20415871" in said[0]
    said = await world.says(alice, "2041-5871")
    assert said[0] == "I ask Example Power for the bill."
    lines = said[1].splitlines()
    assert lines[0] == "Example Power, account 20415871"
    assert lines[2:4] == ["For: 2026-01", "Due on Jan 28, 2026"]
    said = await world.says(alice, 1)
    assert "in your chat with the wallet" in said[0]
    before = await world.has(alice)
    await world.confirms(alice)
    said = await world.hears(alice)
    receipt = receipt_in(said)
    paid = before - await world.has(alice)
    assert paid.minor > 0
    assert await world.biller_has() == paid
    said = await world.says(alice, "receipts")
    assert receipt in said[0]
    said = await world.says(alice, "history")
    assert said[0].endswith("Example Power: paid")
    world.check()


async def test_the_same_bill_is_not_paid_twice() -> None:
    world = BillsWorld()
    alice, bob = await world.begins("alice"), await world.begins("bob")
    await world.shown(alice, 1)
    await world.shown(bob, 1)
    await world.says(alice, 1)
    assert await world.says(bob, 1) == ["This bill is being paid just now."]
    assert "This bill is being paid just now." in (await world.shown(bob, 1))[-1]
    await world.confirms(alice)
    receipt_in(await world.hears(alice))
    said = await world.shown(bob, 1)
    assert "paid already" in said[-1]
    assert await world.has(bob) == Money(50000, "EUR")
    # Another account at the same biller is another bill.
    assert "1. Pay" in (await world.shown(bob, 0))[-1]
    world.check()


async def test_the_same_bill_waits_in_the_wallet() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    await world.shown(alice, 1)
    await world.says(alice, 1)
    assert "waits in your chat with the wallet" in (await world.shown(alice, 1))[-1]
    await world.confirms(alice)
    receipt_in(await world.hears(alice))
    world.check()


async def test_two_who_say_yes_at_once() -> None:
    """Both saw the bill as nobody's; one of them pays it."""
    world = BillsWorld()
    alice, bob = await world.begins("alice"), await world.begins("bob")
    await world.shown(alice, 1)
    await world.shown(bob, 1)
    rooms = [await world.chat(alice), await world.chat(bob)]
    await asyncio.gather(alice.says("1", room=rooms[0]), bob.says("1", room=rooms[1]))
    said = sorted(each.partition(" ")[0] for each in [(await world.hears(who))[-1] for who in (alice, bob)])
    assert said == ["Please", "This"]
    world.check()


async def test_the_wallet_says_no() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    await world.shown(alice, 1)
    await world.says(alice, 1)
    wallet = await world.direct(alice, WALLET)
    await alice.says("decline", room=wallet)
    assert await world.hears(alice) == ["Nothing was paid to Example Power."]
    assert "1. Pay" in (await world.shown(alice, 1))[-1], "the bill is free again"
    await world.says(alice, 1)
    await world.pass_time(days=4)
    assert (await world.hears(alice))[-1] == "Nothing was paid to Example Power."
    assert await world.has(alice) == Money(50000, "EUR")
    world.check()


async def test_not_now() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    await world.shown(alice, 1)
    assert await world.says(alice, "not now") == ["Nothing was paid."]
    assert await world.says(alice, "history") == ["You have paid nothing here yet."]
    world.check()


async def test_a_payment_that_fails_comes_back() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    await world.shown(alice, 2)
    await world.says(alice, 1)
    await world.confirms(alice)
    said = await world.hears(alice)
    assert "did not take the payment" in said[-1]
    assert await world.has(alice) == Money(50000, "EUR")
    assert not await world.biller_has()
    assert (await world.says(alice, "history"))[0].endswith("not taken, your money came back")
    assert "1. Pay" in (await world.shown(alice, 2))[-1]
    world.check()


@pytest.mark.parametrize(("last", "paid"), [(3, True), (4, False)])
async def test_nobody_knows_and_then_somebody_does(last: int, paid: bool) -> None:
    world = BillsWorld(permissions={"roles": {"operator": ["@dave:world"]}})
    alice, dave = await world.begins("alice"), await world.begins("dave", "")
    await world.shown(alice, last)
    await world.says(alice, 1)
    await world.confirms(alice)
    said = await world.hears(alice)
    assert len(said) == 1
    assert "has not confirmed yet" in said[0]
    held = Money(50000, "EUR") - await world.has(alice)
    assert held.minor > 0, "what nobody knows of stays held"
    assert not await world.biller_has()
    listed = await world.says(dave, "bills unknown")
    assert "to example-power of @alice:world" in listed[0]
    assert f"2041587{last}" not in listed[0], "operators see no account numbers"
    bill_id = listed[0].partition(":")[0]
    await world.says(dave, f"bills ask {bill_id}")
    await world.restart()
    await world.pass_time(seconds=60)
    assert await world.hears(alice) == [], "who was told once waits"
    assert "is being paid just now" in (await world.shown(alice, last))[-1]
    await world.pass_time(seconds=60)
    said = await world.hears(alice)
    if paid:
        receipt_in(said)
        assert await world.biller_has() == held
    else:
        assert "is back in your wallet" in said[-1]
        assert await world.has(alice) == Money(50000, "EUR")
    assert await world.says(dave, "bills unknown") == ["Every biller has answered."]
    assert "may not" in (await world.says(alice, "bills unknown"))[0]
    world.check()


async def test_a_slow_biller() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    assert await world.shown(alice, 5) == ["I ask Example Power for the bill."]
    await world.pass_time(seconds=6)
    assert await world.hears(alice) == []
    await world.restart(kill=True)
    await world.pass_time(seconds=5)
    assert await world.hears(alice) == ["Still checking. I show you the bill as soon as Example Power answers."]
    assert (await world.says(alice, "accounts"))[0].startswith("You have saved no accounts"), "nobody is kept waiting"
    await world.pass_time(seconds=10)
    said = await world.hears(alice)
    assert len(said) == 1
    assert "1. Pay" in said[0]
    world.check()


@pytest.mark.parametrize(("last", "words"), [(6, "There is nothing to pay"), (7, "Everything is paid already")])
async def test_no_bill(last: int, words: str) -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    said = await world.shown(alice, last)
    assert said[-1].startswith(words)
    await world.pass_time(minutes=1)
    assert await world.hears(alice) == []
    world.check()


async def test_parts() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    said = await world.shown(alice, 8)
    assert "Parts are taken from €5.00 on." in said[-1]
    whole = amount_in(said[-1])
    said = await world.says(alice, "pay a part", "4.99")
    assert said[0].startswith("You can pay from €5.00 to")
    said = await world.says(alice, "10,00 USD")
    assert said[0].startswith("This is paid in EUR.")
    await world.says(alice, "10")
    await world.confirms(alice)
    receipt_in(await world.hears(alice))
    assert await world.has(alice) == Money(49000, "EUR")
    said = await world.shown(alice, 8)
    assert "Paid of it here by now: €10.00" in said[-1]
    assert amount_in(said[-1]) == whole - Money(1000, "EUR")
    await world.says(alice, 1)
    await world.confirms(alice)
    receipt_in(await world.hears(alice))
    assert await world.has(alice) == Money(50000, "EUR") - whole
    assert (await world.shown(alice, 8))[-1].startswith("Everything is paid already")
    world.check()


async def test_an_amount_that_changes_is_confirmed_again() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    first = amount_in((await world.shown(alice, 9))[-1])
    await world.says(alice, 1)
    await world.confirms(alice)
    said = await world.hears(alice)
    assert said[-1].startswith("Example Power asks for another amount now, so nothing was paid.")
    second = amount_in(said[-1])
    assert second == first + Money(500, "EUR")
    assert await world.has(alice) == Money(50000, "EUR"), "nothing is held for the old amount"
    await world.says(alice, 1)
    assert await world.has(alice) == Money(50000, "EUR"), "nothing moves before the second confirmation"
    await world.confirms(alice)
    receipt_in(await world.hears(alice))
    assert await world.has(alice) == Money(50000, "EUR") - second
    world.check()


async def test_back_takes_an_answer_back() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    await world.says(alice, "pay", "Gas", 1, "4410257381")
    said = await world.says(alice, "back")
    assert "Meter number" in said[-1]
    await world.says(alice, "back", "back", "Water", 1)
    said = await world.says(alice, "w204 151")
    assert said[-1].startswith("Example Waterworks, account W204151")
    world.check()


async def test_bills_are_private() -> None:
    world = BillsWorld()
    alice, bob = await world.begins("alice"), await world.begins("bob")
    room = await world.room("flat", alice, bob)
    await alice.hears_all(room)
    await alice.says("!autopay home off", room=room)
    said = [each.body for each in await alice.hears_all(room)]
    assert said == ["Bills are private: please write to me in a chat of our own."]
    await bob.says("lunch?", room=room)
    await alice.hears_nothing(room)
    world.check()


async def test_not_enough_money() -> None:
    world = BillsWorld()
    alice = await world.begins("alice", "1")
    await world.shown(alice, 1)
    await world.says(alice, 1)
    await world.confirms(alice)
    assert await world.hears(alice) == []
    assert await world.has(alice) == Money(100, "EUR")
    assert not await world.biller_has()
    world.check()


# Mobile phones


async def test_a_phone_is_topped_up() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    said = await world.says(alice, "topup")
    assert said[0].startswith("Which operator?\n\n1. Example Mobile")
    said = await world.says(alice, 1)
    assert said == ["Which mobile number? It looks like this: +4915112345678"]
    said = await world.says(alice, "030 123456")
    assert said[0].startswith("That is no mobile number of this operator's country.")
    said = await world.says(alice, "0151 / 123 456 71")
    assert said[0].startswith("How much?\n\n1. €10.00\n2. €15.00")
    said = await world.says(alice, "€15.00")
    assert said[0].startswith("€15.00 for +4915112345671 at Example Mobile")
    await world.says(alice, 1)
    await world.confirms(alice)
    said = await world.hears(alice)
    assert said[0].startswith("Done: +4915112345671 has €15.00 more. Receipt number: ")
    assert await world.biller_has("example-mobile") == Money(1500, "EUR")
    # The same again is wanted: nobody takes it for the bill of before.
    await world.says(alice, "topup", 1, "+4915112345671", 1, 1)
    await world.confirms(alice)
    receipt_in(await world.hears(alice))
    assert await world.biller_has("example-mobile") == Money(2500, "EUR")
    world.check()


async def test_a_range_and_a_failed_top_up() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    said = await world.says(alice, "top up", "Sample Mobile", "+4915112345672")
    assert said == ["How much, from €5.00 to €100.00?"]
    for wrong in ("4", "100.01", "20 PLN", "much"):
        assert len(await world.says(alice, wrong)) == 1
    await world.says(alice, "20", 1)
    await world.confirms(alice)
    assert "is back in your wallet" in (await world.hears(alice))[-1]
    assert await world.has(alice) == Money(50000, "EUR")
    said = await world.says(alice, "topup", "Placeholder Mobile", "612 345 671", "another amount")
    assert said == ["How much, from €5.00 to €50.00?"]
    world.check()


async def test_in_another_language() -> None:
    world = BillsWorld(language="de")
    alice = await world.begins("alice")
    said = await world.says(alice, "pay")
    assert said[0].startswith("Was möchten Sie bezahlen?\n\n1. Strom")
    said = await world.says(alice, "Strom", 1)
    assert said == ["Kundennummer, bitte. Sie sieht so aus: 20415871"]
    said = await world.says(alice, "x")
    assert said[0].startswith("Kundennummer: Das passt nicht.")
    said = await world.says(alice, "20415871")
    assert "Zu bezahlen: 51,53" in said[-1]
    assert "Fällig am 28.01.2026" in said[-1]
    world.check()


# What was forgotten


async def test_what_was_lost_is_asked_again_and_counted() -> None:
    """A handler that was given up leaves a bill without a schedule: the look-round finds it."""
    registry = CollectorRegistry()
    gauge = Gauge("unknown", "x", ["plugin"], registry=registry)
    world = BillsWorld(services={Book: Book(PICKLE_KEY, gauge)})
    alice = await world.begins("alice")
    await world.shown(alice, 3)
    await world.says(alice, 1)
    await world.confirms(alice)
    await world.hears(alice)
    await world.database.write(lambda connection: connection.execute(delete(schedules)))
    await world.pass_time(minutes=5)
    await look_round(world, 1)
    await world.pass_time(seconds=1)
    assert await world.hears(alice) == [], "not before it is late"
    assert registry.get_sample_value("unknown", {"plugin": "bills"}) == 1
    await world.pass_time(minutes=6)
    await look_round(world, 2)
    receipt_in(await world.hears(alice))
    await look_round(world, 3)
    assert registry.get_sample_value("unknown", {"plugin": "bills"}) == 0
    world.check()


async def test_what_nobody_wanted_is_forgotten() -> None:
    world = BillsWorld()
    alice = await world.begins("alice")
    await world.shown(alice, 1)
    await world.says(alice, "Not now")
    await world.shown(alice, 0)
    await world.says(alice, 1)
    await world.confirms(alice)
    await world.pass_time(days=31)
    await look_round(world, 1)
    left = await world.database.read(lambda connection: connection.execute(select(bills.c.state)).scalars().all())
    assert left == ["paid"]
    world.check()


async def look_round(world: BillsWorld, number: int) -> None:
    """What the bot does every minute."""
    consumer = f"bills:{BILLS}"
    content = {"schedule": "handler:wake", "due": world.clock.now_ms(), "data": {"name": "wake"}}
    event = InternalEvent(f"wake:{number}", consumer, "plugin:bills", SCHEDULE_FIRED, content)
    await world.raise_events(lambda _connection: [event])
    await world.settle()
