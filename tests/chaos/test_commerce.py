"""``kill -9`` in the middle of orders, on a real Synapse, in encrypted chats: from the shelf to the door, and back.

The books balance, every euro is where it belongs, the stock is right, every order is where it was brought, and buyer
and merchant were told each step once. ``RIALTO_CHAOS_SEED`` repeats a run, ``RIALTO_ORDER_KILLS`` sets the number of
kills.
"""

from __future__ import annotations

import os
import random
import re
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import pytest

from tests.chaos.test_money import Killer
from tests.e2e.test_cli_homeserver import rialto_json
from tests.e2e.test_commerce_shop import Talk, opens, talk
from tests.support.fixtures import NewHuman, StartRialto
from tests.support.history import UNREADABLE, answers
from tests.support.human import Human
from tests.support.purse import Purse, with_money
from tests.support.servers import RialtoProcess

KILLS = int(os.environ.get("RIALTO_ORDER_KILLS", "50"))
STOCK: Final = 40
PRICE: Final = 30
MONEY: Final = 1_000
NUMBER: Final = re.compile(r"Order (\w+) waits for your payment")


PIN: Final = re.compile(r"this PIN: (\d{4})")


class StruckTalk(Talk):
    """A chat in which the service is killed a moment after each thing that somebody says."""

    after: Callable[[], Awaitable[None]]

    @classmethod
    def of(cls, calm: Talk, after: Callable[[], Awaitable[None]]) -> StruckTalk:
        """The same chat, less calm."""
        made = cls(calm.human, calm.room, calm.shop)
        made.after = after
        return made

    async def says(self, *turns: tuple[str, str]) -> str:
        said = ""
        for text, contains in turns:
            heard = self.hears(contains)
            await self.human.say(self.room, text)
            await self.after()
            said = await heard
        return said


@dataclass
class Story:
    """A buyer and a merchant; what must have become of each order, and what both must have been told, once."""

    chat: StruckTalk
    staff: StruckTalk
    purse: Purse
    states: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    staff_told: list[str] = field(default_factory=list)

    async def order(self) -> str:
        """Alice buys a spade and pays; the number of the order."""
        asked = self.purse.hears("To confirm")
        said = await self.chat.says(
            ("browse spades", "1. Spade"),
            ("1", " left"),
            ("into the cart", "1 × Spade"),
            ("check out", f"Order for €{PRICE}.00"),
            ("1", "waits for your payment"),
        )
        found = NUMBER.search(said)
        assert found is not None, said
        number = found[1]
        paid = self.chat.hears(f"Order {number} is paid")
        new = self.staff.hears(number)
        await self.purse.confirms(await asked, f"€{PRICE}.00")
        await paid
        await new
        self.told.append(f"Order {number} is paid")
        self.staff_told.append(f"A new order has come in.\n\nOrder {number} for")
        return number

    async def step(self, number: str, word: str, staff: str, buyer: str, why: str = "") -> None:
        """The staff does something, and the buyer hears of it."""
        told = self.chat.hears(buyer)
        await self.staff.says((f"!{word} {number} {why}".strip(), staff))
        await told
        self.told.append(buyer)

    async def delivered(self) -> None:
        """The whole way."""
        number = await self.order()
        await self.step(number, "accept", f"Order {number}: accepted", f"Spades has accepted order {number}")
        told = self.chat.hears("Tell them this PIN")
        await self.step(number, "ready", f"Order {number}: ready", f"Order {number} is ready")
        pin = PIN.search(await told)
        assert pin is not None
        done = f"Order {number} is delivered"
        await self.step(number, "delivered", f"Order {number}: delivered", done, pin[1])
        self.states[number] = "delivered"

    async def rejected(self) -> None:
        """The merchant cannot."""
        number = await self.order()
        await self.step(number, "reject", f"Order {number}: rejected", f"Spades cannot do order {number}", "rust")
        self.states[number] = "rejected"

    async def called_off(self) -> None:
        """The merchant has accepted, and cannot after all: the money was taken, and goes back."""
        number = await self.order()
        await self.step(number, "accept", f"Order {number}: accepted", f"Spades has accepted order {number}")
        await self.step(number, "call off", f"Order {number}: cancelled", f"Order {number} is called off", "rust")
        self.states[number] = "cancelled"

    async def told_once(self) -> None:
        """Each step stands once in the history of the room, as the homeserver has it."""
        for talked, texts in ((self.chat, self.told), (self.staff, self.staff_told)):
            said = await answers(talked.human, talked.room, talked.shop)
            assert UNREADABLE not in said, [(index, each[:40]) for index, each in enumerate(said)]
            for text, times in Counter(texts).items():
                assert sum(plain(text) in plain(each) for each in said) == times, text


def plain(text: str) -> str:
    """Without what only lays out."""
    return " ".join(re.sub(r"[^\w€. ]+", " ", text).split())


def lies(service: RialtoProcess) -> tuple[dict[str, str], tuple[int, int]]:
    """What lies in the database of a service that does not run: the states of the orders, and the stock of spades."""
    path = service.config_path.parent / service.config["database"]["url"].removeprefix("sqlite:///")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as found:
        states = dict(found.execute("SELECT number, state FROM orders").fetchall())
        (stock,) = found.execute("SELECT count, held FROM stock").fetchall()
    return states, stock


@pytest.mark.timeout(600)
async def test_orders_come_through_kills(rialto: StartRialto, alice: Human, bob: Human, new_human: NewHuman) -> None:
    seed = int(os.environ.get("RIALTO_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
    print(f"RIALTO_CHAOS_SEED={seed}")
    operator = await new_human("operator")
    overrides = {**with_money(), "permissions": {"roles": {"operator": [operator.id]}}}
    overrides["payments"] |= {"tiers": [{"transfers_per_hour": 500}], "pin_above": {"EUR": "2000.00"}}
    service = await rialto(("wallet", "shop"), overrides=overrides)
    killer = Killer(service, random.Random(seed), KILLS)
    shop = service.bot("shop")
    spades = await opens(bob, await talk(operator, shop), "Spades", ("Spade", str(PRICE), str(STOCK)))
    purse = await Purse.open(alice, service.bot("wallet"))
    for _ in range(MONEY // 200):
        await purse.tops_up("200 EUR")
    purse.after = killer.strike
    story = Story(StruckTalk.of(await talk(alice, shop), killer.strike), StruckTalk.of(spades, killer.strike), purse)
    acts = [story.delivered, story.rejected, story.called_off]
    while not story.states or killer.kills < KILLS:
        for act in acts:
            await act()
    paid = sum(state == "delivered" for state in story.states.values())
    # The last refund follows its order: the balance says when it is there.
    assert await purse.balance() == f"€{MONEY - paid * PRICE:,.2f}"
    await story.told_once()
    await service.stop()
    states, stock = lies(service)
    assert states == story.states
    assert stock == (STOCK - paid, 0)
    code, report = await rialto_json("ledger", "verify", "-c", str(service.config_path))
    assert code == 0, report
    print(f"{killer.kills} kills, {len(states)} orders")
