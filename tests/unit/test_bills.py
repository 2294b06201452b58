"""Bills in conversation, with the real wallet: looked up, shown, confirmed, paid; and whatever else may happen."""

from __future__ import annotations

import pytest

from bots.domain.money import Money
from tests.support.bills import BillsWorld, receipt_in

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
    assert "That is no Customer number. One looks like this: 20415871" in said[0]
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
