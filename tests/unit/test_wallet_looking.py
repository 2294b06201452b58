"""Balances, history, receipts, statements."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bots.framework.testing import Person
from bots.framework.testing.homeserver import Message
from tests.support.money import MoneyWorld, code_in


@pytest.fixture
async def world() -> AsyncIterator[MoneyWorld]:
    """A world in which Alice has paid Bob for lunch, and Carol for tickets."""
    made = MoneyWorld()
    alice = await made.opened("alice", "100")
    await made.owner("bob")
    await made.owner("carol")
    for text in ("pay @bob 20 EUR for lunch", "pay @carol 5 EUR for tickets"):
        await alice.says(text)
        await alice.says(code_in(*await alice.hears_all()))
        await alice.hears_all()
    yield made
    await made.stop()


async def heard(person: Person, text: str) -> list[Message]:
    """What the wallet says to somebody alone."""
    await person.says(text)
    return await person.hears_all()


async def said(person: Person, text: str) -> str:
    """The same as text."""
    return "\n".join(each.body for each in await heard(person, text))


async def test_history_is_searched(world: MoneyWorld) -> None:
    alice = world.user("alice")
    both = await said(alice, "history")
    assert both.index("tickets") < both.index("lunch"), "the latest first"
    assert "• Jan 1, 2026: €20.00 to Bob (@bob:world) · lunch · " in both
    assert "tickets" not in await said(alice, "history lunch")
    assert "tickets" in await said(alice, "history @carol")
    assert await said(alice, "history opera") == "Nothing was found."
    assert "from Alice (@alice:world)" in await said(world.user("bob"), "history")
    world.check()


async def test_receipts(world: MoneyWorld) -> None:
    alice = world.user("alice")
    text, file = await heard(alice, "receipt")
    assert "To: Carol (@carol:world)" in text.body
    assert "Total: €5.00" in text.body
    assert file.content["info"]["mimetype"] == "application/pdf"
    assert (await alice.downloads(file)).startswith(b"%PDF-")
    lunch = (await world.bank.history(alice.user_id, text="lunch"))[0]
    assert f"Receipt {lunch.id}" in await said(alice, f"receipt {lunch.id}")
    assert f"Receipt {lunch.id}" in await said(world.user("bob"), f"receipt {lunch.id.lower()}")
    assert lunch.id not in await said(world.user("carol"), f"receipt {lunch.id}"), "it is not hers"
    assert "Receipt 0" not in await said(alice, "receipt 12")
    world.check()


async def test_statements(world: MoneyWorld) -> None:
    alice = world.user("alice")
    text = await said(alice, "statement january")
    assert "@bob:world · lunch" in text
    assert "Balance after: €75.00" in text
    (file,) = await heard(alice, "statement january csv")
    assert file.body.endswith(".csv")
    rows = (await alice.downloads(file)).decode("utf-8-sig").splitlines()
    assert rows[0].startswith("Time,Kind,Counterpart")
    assert sum("lunch" in row for row in rows) == 1
    (file,) = await heard(alice, "statement 2026-01 beancount")
    assert b"balance Assets:Wallet:EUR 75.00 EUR" in await alice.downloads(file)
    assert "not a month" in await said(alice, "statement lunch")
    assert "has not begun" in await said(alice, "statement 2026-12")
    assert await said(alice, "statement december") == "Nothing moved in December 2025."
    world.check()


async def test_what_waits_for_nobody_is_not_lost_from_history(world: MoneyWorld) -> None:
    alice = world.user("alice")
    await alice.says("pay @bob 7 EUR for nothing")
    await alice.hears_all()
    assert "· nothing · open" in await said(alice, "history")
    await said(alice, "cancel")
    assert "· nothing · taken back" in await said(alice, "history")
    world.check()


async def test_other_rooms_see_no_balance(world: MoneyWorld) -> None:
    alice = world.user("alice")
    room = await world.room("flat", alice, world.user("bob"))
    await world.quiet(room, alice)
    for command in ("balance", "history", "receipt", "statement", "limits", "payees", "requests"):
        await alice.says(f"!{command}", room=room)
        assert [each.body for each in await alice.hears_all(room)] == ["✓ I have answered you in our own chat."], (
            command
        )
    assert len(await alice.hears_all()) >= 7
    world.check()
