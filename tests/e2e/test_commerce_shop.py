"""The shop on a real Synapse: a buyer, two merchants and an operator, each with matrix-nio in encrypted chats."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from tests.e2e.test_cli_homeserver import rialto_json
from tests.support.fixtures import NewHuman, StartRialto
from tests.support.history import answers
from tests.support.human import Human
from tests.support.purse import PATIENCE, Purse, with_money
from tests.support.servers import RialtoProcess

pytestmark = pytest.mark.timeout(300)

GIFT = "For the brightest of gardeners"


@pytest.fixture
async def operator(new_human: NewHuman) -> Human:
    """Who approves merchants."""
    return await new_human("operator")


@pytest.fixture
async def service(rialto: StartRialto, operator: Human) -> AsyncIterator[RialtoProcess]:
    """Rialto with a wallet and the shop; at the end the books balance."""
    overrides = {**with_money(), "permissions": {"roles": {"operator": [operator.id]}}}
    process = await rialto(("wallet", "shop"), overrides=overrides)
    yield process
    await process.stop()
    code, report = await rialto_json("ledger", "verify", "-c", str(process.config_path))
    assert code == 0, report


class Talk:
    """Somebody's chat with the shop."""

    def __init__(self, human: Human, room: str, shop: str) -> None:
        self.human = human
        self.room = room
        self.shop = shop

    def hears(self, contains: str) -> asyncio.Future[str]:
        """Listen from now on for a message of the shop that holds something."""
        heard = self.human.expect(self.room, sender=self.shop, contains=contains, timeout=PATIENCE)

        async def body() -> str:
            seen = await heard
            assert seen.encrypted
            return str(seen.body)

        return asyncio.ensure_future(body())

    async def says(self, *turns: tuple[str, str]) -> str:
        """Say something and hear an answer that holds something, in turns; the last answer."""
        said = ""
        for text, contains in turns:
            heard = self.hears(contains)
            await self.human.say(self.room, text)
            said = await heard
        return said


async def talk(human: Human, shop: str) -> Talk:
    """A chat with the shop, which has greeted."""
    room = await human.create_room(None, encrypted=True, direct=True)
    greeted = human.expect(room, sender=shop, contains="browse")
    await human.invite(room, shop)
    await greeted
    return Talk(human, room, shop)


async def opens(human: Human, operator: Talk, name: str, *products: tuple[str, str, str]) -> Talk:
    """Somebody becomes a merchant and fills their shelves; their staff room."""
    chat = await talk(human, operator.shop)
    await chat.says(
        ("sell", "What is the name"),
        (name, "short name"),
        ("1", "What do you sell?"),
        ("tools", "currency"),
        ("EUR", "time zone"),
        ("Europe/Berlin", "Where are you?"),
        ("52.52, 13.405", "When are you open?"),
        ("24/7", "How do things get to your customers?"),
        ("4", "minutes"),
        ("20", f"Short name: {name.lower()}"),
        ("yes", "An operator looks at it"),
    )
    told = chat.hears("may sell now!")
    await operator.says((f"merchants approve {name.lower()}", f"{name} may sell."))
    await told
    room = await human.expect_invite(operator.shop)
    await human.join(room)
    staff = Talk(human, room, operator.shop)
    for product, price, stock in products:
        await staff.says(
            ("!add product", "What is it called?"),
            (product, "What is it?"),
            ("-", "What does it cost"),
            (price, "tax rate"),
            ("19", "How many are there?"),
            (stock, product),
        )
    return staff


async def test_two_merchants_one_buyer(
    service: RialtoProcess, operator: Human, alice: Human, bob: Human, new_human: NewHuman
) -> None:
    shop, wallet = service.bot("shop"), service.bot("wallet")
    carol = await new_human("carol")
    desk = await talk(operator, shop)
    spades = await opens(bob, desk, "Spades", ("Spade", "30", "2"))
    seeds = await opens(carol, desk, "Seeds", ("Poppy seeds", "4.50", "unlimited"))
    purse = await Purse.open(alice, wallet)
    await purse.tops_up("100 EUR")

    chat = await talk(alice, shop)
    await chat.says(
        ("browse", "1. Spades"),
        ("1", "Spade – €30.00 · 2 left"),
        ("1", "€30.00 · 2 left"),
        ("into the cart", "In the cart: 1 × Spade"),
        ("search popy", "Poppy seeds – €4.50 · Seeds"),
        ("1", "From Seeds"),
        ("several of it", "How many?"),
        ("2", "In the cart: 2 × Poppy seeds"),
        ("check out", "Spades:\n1. 1 × Spade: €30.00"),
        ("put a message with it", "Which words"),
        (GIFT, f"With these words: {GIFT}"),
    )
    first, second = purse.hears("€30.00"), purse.hears("€9.00")
    placed = await chat.says(("1", "wait for your payment"))
    numbers = placed.split("Orders ")[1].split(" wait")[0].split(" and ")
    new = [spades.hears(GIFT), seeds.hears("2 × Poppy seeds: €9.00")]
    paid = chat.hears(f"Order {numbers[0]} is paid")
    await purse.confirms(await first, "€30.00")
    await paid
    paid = chat.hears(f"Order {numbers[1]} is paid")
    await purse.confirms(await second, "€9.00")
    await paid
    await asyncio.gather(*new)
    assert (await purse.balance()).startswith("€61.00 (€39.00 more")

    # One accepts and hands over, the other rejects: that money is back.
    told = chat.hears(f"Spades has accepted order {numbers[0]}.")
    await spades.says((f"!accept {numbers[0]}", "accepted"))
    await told
    told = chat.hears("Seeds cannot do order")
    await seeds.says((f"!reject {numbers[1]} the birds", "rejected"))
    assert "the birds" in await told
    assert await purse.balance() == "€70.00"
    told = chat.hears("Tell them this PIN")
    await spades.says((f"!ready {numbers[0]}", "ready"))
    pin = re.search(r"this PIN: (\d{4})", await told)
    assert pin is not None
    told = chat.hears("How was it?")
    await spades.says((f"!delivered {numbers[0]} {pin[1]}", "delivered"))
    await told

    # A complaint, and a part of the money back; the service is killed in between.
    asked = spades.hears("It is bent")
    await chat.says(
        (f"complain {numbers[0]}", "What is the matter?"), ("It is bent", "photo"), ("done", "The merchant is asked.")
    )
    await asked
    await service.restart(kill=True)
    back = chat.hears("€5.00")
    await spades.says((f"!refund {numbers[0]} 5.00", "€5.00"))
    await back
    assert await purse.balance() == "€75.00"
    await chat.says((f"rate {numbers[0]}", "How many stars?"), ("4", "What would you tell"), ("skip", "photo"),
                    ("skip", "Thank you for rating"))  # fmt: skip

    said = await answers(alice, chat.room, shop)
    for words in ("has accepted order", "cannot do order", "How was it?"):
        assert sum(words in each for each in said) == 1, words
    written = service.everything_written() + service.server.everything_written()  # type: ignore[attr-defined]
    for words in (GIFT, "It is bent", "the birds"):
        assert words.encode() not in written


async def test_one_spade_two_buyers(
    service: RialtoProcess, operator: Human, alice: Human, bob: Human, new_human: NewHuman
) -> None:
    shop, wallet = service.bot("shop"), service.bot("wallet")
    desk = await talk(operator, shop)
    spades = await opens(bob, desk, "Spades", ("Spade", "30", "1"))
    carol = await new_human("carol")
    talks, purses = [], []
    for human in (alice, carol):
        purse = await Purse.open(human, wallet)
        await purse.tops_up("50 EUR")
        purses.append(purse)
        chat = await talk(human, shop)
        await chat.says(
            ("browse spades", "1. Spade"), ("1", "1 left"), ("into the cart", "1 × Spade"), ("check out", "Order for")
        )
        talks.append(chat)
    heard = [chat.human.expect(chat.room, sender=shop, timeout=PATIENCE) for chat in talks]
    await asyncio.gather(*(chat.human.say(chat.room, "1") for chat in talks))
    bodies = [(await each).body for each in heard]
    assert sum("waits for your payment" in each for each in bodies) == 1, bodies
    winner = next(index for index, each in enumerate(bodies) if "waits for your payment" in each)
    assert "“Spade” is sold out." in bodies[1 - winner]
    # The winner declines: it can be had again.
    off = talks[winner].hears("was not paid: it is off.")
    await purses[winner].human.say(purses[winner].room, "decline")
    await off
    loser = talks[1 - winner]
    asked = purses[1 - winner].hears("To confirm")
    await loser.says(("check out", "Order for €30.00"), ("1", "waits for your payment"))
    paid = loser.hears("is paid")
    await purses[1 - winner].confirms(await asked, "€30.00")
    await paid
    assert (await purses[1 - winner].balance()).startswith("€20.00 (€30.00 more")
    number = (await spades.says(("!orders", "waiting for the merchant"))).partition(":")[0]
    told = loser.hears("cannot do order")
    await spades.says((f"!reject {number} no more iron", "rejected"))
    await told
    assert await purses[1 - winner].balance() == "€50.00"
