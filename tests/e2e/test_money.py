"""Money on a real Synapse, in encrypted chats, each person with matrix-nio: in, from one to another, and back."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from tests.e2e.test_cli_homeserver import rialto_json
from tests.support.fixtures import NewHuman, StartRialto
from tests.support.history import answers
from tests.support.human import Human
from tests.support.purse import Purse, finish_page, granted, with_money
from tests.support.servers import RialtoProcess

BOTS = ("wallet", "bills", "kiosk")


@pytest.fixture
async def service(rialto: StartRialto) -> AsyncIterator[RialtoProcess]:
    """Rialto with a wallet, bills, and a kiosk; at the end the books balance."""
    process = await rialto(BOTS, overrides=with_money(), start=False)
    granted(process, "kiosk", "payments.charge")
    await process.start()
    yield process
    await process.stop()
    code, report = await rialto_json("ledger", "verify", "-c", str(process.config_path))
    assert code == 0, report


async def chat(human: Human, bot: str) -> str:
    """An encrypted chat with a bot that has greeted."""
    room = await human.create_room(None, encrypted=True, direct=True)
    greeted = human.expect(room, sender=bot, contains="Hello")
    await human.invite(room, bot)
    assert (await greeted).encrypted
    return room


async def test_money_comes_in_and_goes_from_one_to_another(
    service: RialtoProcess, alice: Human, bob: Human, new_human: NewHuman
) -> None:
    wallet = service.bot("wallet")
    carol = await new_human("carol")
    hers, his, carols = [await Purse.open(human, wallet) for human in (alice, bob, carol)]
    for purse in (hers, his, carols):
        await purse.tops_up("100 EUR")
    assert await hers.balance() == "€100.00"

    told = his.hears("has paid you €20.00")
    asked = await hers.says(f"pay {bob.id} 20 EUR for lunch", "To confirm")
    assert asked.encrypted
    assert bob.id in asked.body
    await hers.confirms(asked, "Paid: €20.00")
    assert "lunch" in (await told).body

    # Whoever asks each other for money shares a room.
    room = await alice.create_room("friends", encrypted=True)
    for human in (bob, carol):
        await alice.invite(room, human.id)
        await human.join(room)
    joined = alice.expect_member(room, wallet)
    await alice.invite(room, wallet)
    await joined

    requested = his.hears("asks you for €12.00")
    await hers.says(f"request 12 EUR from {bob.id} for pizza", "Asked for")
    number = (await requested).body.partition(".")[0]
    paid = hers.hears("has paid you €12.00")
    await his.confirms(await his.says(f"pay {number}", "To confirm"), "Paid: €12.00")
    await paid

    shares = [purse.hears("asks you for €30.00") for purse in (his, carols)]
    await hers.says(f"split 90 EUR with {bob.id} {carol.id} for dinner", "Asked for")
    for purse, share in zip((his, carols), shares, strict=True):
        number = (await share).body.partition(".")[0]
        paid = hers.hears("has paid you €30.00")
        await purse.confirms(await purse.says(f"pay {number}", "To confirm"), "Paid: €30.00")
        await paid
    assert [await each.balance() for each in (hers, his, carols)] == ["€152.00", "€78.00", "€70.00"]

    await service.restart(kill=True)
    assert [await each.balance() for each in (hers, his, carols)] == ["€152.00", "€78.00", "€70.00"]
    written = service.everything_written() + service.server.everything_written()  # type: ignore[attr-defined]
    for word in (b"pizza", b"dinner", b"for lunch"):
        assert word not in written


async def test_a_shop_is_paid_and_gives_back(service: RialtoProcess, alice: Human) -> None:
    kiosk = service.bot("kiosk")
    purse = await Purse.open(alice, service.bot("wallet"))
    await purse.tops_up("50 EUR")
    room = await chat(alice, kiosk)
    question = purse.hears("To confirm")
    await alice.say(room, "paper")
    sold = alice.expect(room, sender=kiosk, contains="Here is your newspaper")
    await purse.confirms(await question, "Paid: €3.00")
    await sold
    question = purse.hears("To confirm")
    await alice.say(room, "book")
    paid = purse.hears("✅ Paid: €10.70")
    asked = await question
    assert "A book" in asked.body
    await purse.confirms(asked, "€10.70")
    await paid
    assert await purse.balance() == "€36.30"
    back = purse.hears("€10.70")
    await alice.say(room, "back")
    await back
    assert await purse.balance() == "€47.00"


@pytest.mark.parametrize("pin", [False, True], ids=["code", "PIN"])
async def test_a_bill_is_paid(rialto: StartRialto, alice: Human, pin: bool) -> None:
    # What a bill comes to changes with the month: either every amount asks for the PIN, or none does.
    overrides = with_money()
    overrides["payments"]["pin_above"] = {"EUR": "1.00" if pin else "1000.00"}
    service = await rialto(BOTS, overrides=overrides)
    bills = service.bot("bills")
    purse = await Purse.open(alice, service.bot("wallet"))
    await purse.tops_up("150 EUR")
    if pin:
        await purse.sets_pin("749318")
    room = await chat(alice, bills)
    for text, answer in (("pay", "What would you like"), ("1", "To whom"), ("1", "Customer number")):
        heard = alice.expect(room, sender=bills, contains=answer)
        await alice.say(room, text)
        await heard
    shown = alice.expect(room, sender=bills, contains="To pay")
    await alice.say(room, "20415871")
    assert "1. Pay" in (await shown).body
    listening = purse.hears("You pay €")
    await alice.say(room, "1")
    asked = await listening
    amount = re.search(r"You pay €(\d+\.\d\d)", asked.body)
    assert amount is not None
    paid = alice.expect(room, sender=bills, contains=f"Paid: €{amount[1]} to ", timeout=60)
    if pin:
        await purse.approves(asked, "749318")
    else:
        await purse.confirms(asked, f"€{amount[1]}")
    assert "Receipt number: SIM-" in (await paid).body
    assert await purse.balance() == f"€{Decimal(150) - Decimal(amount[1])}"
    said = await answers(alice, room, bills)
    assert sum("Receipt number" in each for each in said) == 1
    await service.stop()
    code, report = await rialto_json("ledger", "verify", "-c", str(service.config_path))
    assert code == 0, report


async def test_top_ups_end_as_the_page_says(service: RialtoProcess, alice: Human) -> None:
    purse = await Purse.open(alice, service.bot("wallet"))
    declined = purse.hears("declined")
    await finish_page(await purse.asks_for_page("10 EUR"), "decline")
    await declined
    assert await purse.balance() == "€0.00"
    await purse.tops_up("10 EUR", "repeated")
    assert await purse.balance() == "€10.00"
    await purse.tops_up("10 EUR", "silent")
    assert await purse.balance() == "€20.00"
