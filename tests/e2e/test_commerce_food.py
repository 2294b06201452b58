"""Food on a real Synapse, in encrypted chats, each person with matrix-nio: who cooks, who brings, who eats, and whoever
approves them. Orders that go well, and those that do not."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from appservice.local.yaml import to_yaml
from tests.e2e.test_cli_homeserver import rialto_json
from tests.support.fixtures import NewHuman, StartRialto
from tests.support.human import Human, Seen
from tests.support.purse import PATIENCE, Purse, with_money
from tests.support.servers import RialtoProcess

BOTS = ("wallet", "food")
ANSWER_SECONDS = 25
SIGN_UP = [
    "Roma", "1", "pizza", "EUR", "Europe/Berlin", "52.52, 13.405", "24/7", "1, 4", "5", "2.50", "5", "20",
]  # fmt: skip
HOME = "52.525, 13.41"
PIN = re.compile(r": (\d{4})\b")
NUMBER = re.compile(r"[Oo]rder ([2-9CDFGHJKLMNPQRTVWX]{5})\b")


@dataclass
class Talk:
    """A person's chat with the food bot, or their staff room with it."""

    human: Human
    bot: str
    room: str

    @classmethod
    async def begin(cls, human: Human, bot: str) -> Talk:
        """An encrypted chat that the bot has greeted in."""
        room = await human.create_room(None, encrypted=True, direct=True)
        greeted = human.expect(room, sender=bot, contains="Hello", timeout=PATIENCE)
        await human.invite(room, bot)
        assert (await greeted).encrypted
        return cls(human, bot, room)

    def hears(self, contains: str) -> Any:
        """Listen for what the bot says, from now on."""
        return self.human.expect(self.room, sender=self.bot, contains=contains, timeout=PATIENCE)

    async def says(self, text: str, contains: str) -> Seen:
        """Say something, and wait for the answer that holds something."""
        answer = self.human.expect(self.room, sender=self.bot, contains=contains, timeout=PATIENCE)
        await self.human.say(self.room, text)
        seen = await answer
        assert seen.encrypted
        return seen


@dataclass
class City:
    """Everybody."""

    service: RialtoProcess
    eater: Talk
    purse: Purse
    staff: Talk
    courier: Talk
    courier_purse: Purse
    first: str = field(default="", init=False)
    """The number of the first order; those after it are the same again."""

    async def orders(self) -> str:
        """Alice orders two pizzas of one kind and one of another and pays; the number of the order."""
        came = self.staff.hears("A new order has come in.")
        if self.first:
            await self.eater.says(f"reorder {self.first}", "Your cart:")
        else:
            await self._choose()
        quote = await self.eater.says("checkout", "Order for €31.50")
        assert "Linden Street 7" in quote.body
        asked = self.purse.hears("To confirm")
        await self.eater.says("1", "waits for your payment")
        await self.purse.confirms(await asked, "is set aside")
        card = await came
        found = NUMBER.search(card.body)
        assert found is not None, card.body
        self.first = self.first or found[1]
        return found[1]

    async def _choose(self) -> None:
        await self.eater.says("food", "Where would you like to eat?")
        await self.eater.says(HOME, "How is it found")
        await self.eater.says("Linden Street 7", "Only this time")
        await self.eater.says("2", "Roma")
        await self.eater.says("1", "Margherita")
        await self.eater.says("Margherita", "Into the cart")
        await self.eater.says("Several of it", "How many?")
        await self.eater.says("2", "In the cart: 2 × Margherita")
        await self.eater.says("Go on", "Calzone")
        await self.eater.says("Calzone", "Into the cart")
        await self.eater.says("1", "In the cart: 1 × Calzone")

    async def accepted(self) -> str:
        """An order that the restaurant has accepted, ready in a minute, and that the courier has taken."""
        number = await self.orders()
        offered = self.courier.hears("A trip from Roma")
        heard = self.eater.hears("Roma has accepted")
        await self.staff.says(f"accept {number} 1", "accepted")
        await heard
        await offered
        return number


async def sign_up(bob: Human, food: str, operator: Talk) -> Talk:
    """Bob opens a restaurant, and has two pizzas on its menu; his staff room."""
    talk = await Talk.begin(bob, food)
    wants = operator.hears("wants to sell here")
    await talk.says("sell", "")
    for answer in SIGN_UP[:-1]:
        await talk.says(answer, "")
    await talk.says(SIGN_UP[-1], "Short name: roma")
    await talk.says("yes", "Thank you!")
    await wants
    told = talk.hears("Roma may sell now!")
    await operator.says("merchants approve roma", "Roma may sell.")
    await told
    room = await bob.expect_invite(food, PATIENCE)
    await bob.join(room)
    staff = Talk(bob, food, room)
    for name, price in (("Margherita", "9"), ("Calzone", "11")):
        await staff.says("add product", "What is it called?")
        for answer, asks in (
            (name, "What is it?"),
            ("-", "What does it cost"),
            (price, "Which tax"),
            ("7", "How many"),
        ):
            await staff.says(answer, asks)
        await staff.says("unlimited", f"{name} is sold now")
    return staff


@pytest.fixture
async def city(rialto: StartRialto, alice: Human, bob: Human, new_human: NewHuman) -> AsyncIterator[City]:
    """Rialto with wallet and food, a restaurant, a courier, and somebody hungry; at the end the books balance."""
    olga, carol = await new_human("olga"), await new_human("carol")
    overrides = with_money() | {"permissions": {"roles": {"operator": olga.id}}}
    overrides["payments"]["pin_above"] = {"EUR": "1000.00"}
    service = await rialto(BOTS, overrides=overrides, start=False)
    for bot in service.config["bots"]:
        if bot["plugin"] == "food":
            bot["settings"] = {
                "answer_seconds": ANSWER_SECONDS, "offer_seconds": 60, "courier_least": {"EUR": "3.00"},
            }  # fmt: skip
    service.config_path.write_text(to_yaml(service.config))
    await service.start()
    food, wallet = service.bot("food"), service.bot("wallet")
    operator = await Talk.begin(olga, food)
    await operator.says("merchants pending", "There are none.")
    staff = await sign_up(bob, food, operator)
    courier = await Talk.begin(carol, food)
    await courier.says("courier", "By which name")
    await courier.says("Carol", "What do you go by?")
    await courier.says("red bicycle", "Shall I ask")
    await courier.says("yes", "I have asked")
    approved = courier.hears("You may bring orders now!")
    await operator.says(f"couriers approve {carol.id}", "offline")
    await approved
    await courier.says("online", "You are online.")
    courier_purse = await Purse.open(carol, wallet)
    purse = await Purse.open(alice, wallet)
    await purse.tops_up("300 EUR")
    yield City(service, await Talk.begin(alice, food), purse, staff, courier, courier_purse)
    await service.stop()
    code, report = await rialto_json("ledger", "verify", "-c", str(service.config_path))
    assert code == 0, report


@pytest.mark.timeout(600)
async def test_from_hunger_to_the_door_and_what_goes_wrong(city: City) -> None:
    eater, staff, courier, purse = city.eater, city.staff, city.courier, city.purse

    # All goes well.
    number = await city.accepted()
    pins, codes = eater.hears("tell them this PIN"), staff.hears("tell them this code")
    await courier.says("1", f"Fetch order {number} of Roma")
    pin, code = PIN.search((await pins).body), PIN.search((await codes).body)
    assert pin and code
    on_its_way = eater.hears(f"Order {number} is on its way.")
    await courier.says("1", "Which four digits")
    await courier.says(code[1], "Linden Street 7")
    await on_its_way
    assert f"Your PIN, for when you have it in your hands: {pin[1]}" in (await eater.says("track", "Courier:")).body
    delivered, earned = eater.hears(f"Order {number} is delivered."), city.courier_purse.hears("has paid you €3.00")
    await courier.says("1", "Which four digits")
    await courier.says("0000" if pin[1] != "0000" else "1111", "That is not it.")
    await courier.says("1", "Which four digits")
    await courier.says(pin[1], "Done, thank you. You have earned €3.00.")
    await delivered
    await earned
    assert await purse.balance() == "€268.50"  # 2 × 9.00 + 11.00 + 2.50

    # One of the dishes was cold: what it cost comes back.
    await eater.says(f"complain {number}", "What is it about?")
    await eater.says("Calzone", "What is the matter?")
    await eater.says("it was cold", "You can send a photo")
    complaint = staff.hears("it was cold")
    await eater.says("done", "The merchant is asked.")
    await complaint
    back = purse.hears("€11.00")
    await staff.says(f"refund {number} 11", "€11.00")
    await back
    assert await purse.balance() == "€279.50"

    # Nobody answers in time.
    number = await city.orders()
    off = eater.hears(f"Order {number} was not answered in time")
    back = purse.hears("is yours again")
    await off
    await back
    assert await purse.balance() == "€279.50"

    # Something is gone: what is left is confirmed again.
    number = await city.orders()
    asked = eater.hears("Yes, I want what is left")
    await staff.says(f"amend {number} 2:0", "")
    await asked
    confirm = purse.hears("To confirm")
    again = staff.hears("A new order has come in.")
    await eater.says("1", "")
    await purse.confirms(await confirm, "is set aside")
    await again
    offered = courier.hears("A trip from Roma")
    await staff.says(f"accept {number} 1", "accepted")
    await offered

    # It cannot be handed over, and goes back: all of the money too.
    codes = staff.hears("tell them this code")
    await courier.says("1", f"Fetch order {number}")
    code = PIN.search((await codes).body)
    assert code
    await courier.says("1", "Which four digits")
    await courier.says(code[1], "Linden Street 7")
    failed, codes = eater.hears("could not be handed over"), staff.hears("comes back to you")
    await courier.says("I cannot hand it over", "What is the matter?")
    await courier.says("1", f"Bring order {number} back to Roma")
    await failed
    code = PIN.search((await codes).body)
    assert code
    back = purse.hears("€20.50")
    await courier.says("1", "Which four digits")
    await courier.says(code[1], "Done, thank you.")
    await back
    assert await purse.balance() == "€279.50"

    written = city.service.everything_written() + city.service.server.everything_written()  # type: ignore[attr-defined]
    for word in (b"Linden Street", b"red bicycle", b"Nobody opens"):
        assert word not in written
