"""``kill -9`` in the middle of orders that a courier brings and that a group splits, on a real Synapse, in encrypted
chats: codes, PINs and ways back, shares that are paid and shares that are not.

The books balance, every euro is where it belongs, the stock is right, every order is where it was brought, and each was
told each step once. ``RIALTO_CHAOS_SEED`` repeats a run, ``RIALTO_ORDER_KILLS`` sets the number of kills.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import pytest

from appservice.local.yaml import to_yaml
from tests.chaos.test_commerce import KILLS, lies, plain
from tests.chaos.test_money import Killer
from tests.e2e.test_cli_homeserver import rialto_json
from tests.e2e.test_commerce_food import BOTS, NUMBER, PIN, City, Talk, sign_up
from tests.e2e.test_commerce_groups import HOME
from tests.support.fixtures import NewHuman, StartRialto
from tests.support.history import UNREADABLE, answers
from tests.support.human import Human, Seen
from tests.support.purse import PATIENCE, Purse, with_money
from tests.support.servers import RialtoProcess

STOCK: Final = 60
MONEY: Final = 400
ORDER: Final = 3_150
"""Two pizzas at 9.00, one at 11.00, 2.50 for the delivery, in cents."""
FEE: Final = 250
SHARE_OF_HOST: Final = 900 + 125
SHARE_OF_FRIEND: Final = 1_100 + 125
SETTINGS: Final = {"answer_seconds": 900, "offer_seconds": 300}
"""Longer than the service is ever away."""


@dataclass
class StruckTalk(Talk):
    """A chat in which the service is killed a moment after each thing that somebody says."""

    after: Callable[[], Awaitable[None]]

    @classmethod
    def of(cls, calm: Talk, after: Callable[[], Awaitable[None]]) -> StruckTalk:
        """The same chat, less calm."""
        return cls(calm.human, calm.bot, calm.room, after)

    async def says(self, text: str, contains: str) -> Seen:
        answer = self.human.expect(self.room, sender=self.bot, contains=contains, timeout=PATIENCE)
        await self.human.say(self.room, text)
        await self.after()
        seen: Seen = await answer
        return seen


@dataclass
class Story:
    """A restaurant, a courier, and two who eat; what must have become of each order, and what each must have been told,
    once."""

    city: City
    table: StruckTalk
    friends_table: StruckTalk
    friends_purse: Purse
    states: dict[str, str] = field(default_factory=dict)
    told: list[tuple[Talk, str]] = field(default_factory=list)
    spent: Counter[str] = field(default_factory=Counter)
    """Cents, by what they were spent on: ``alice``, ``dave``; and what ``carol`` has earned."""
    margheritas: int = 0

    def _codes(self, talk: Talk, said: Seen) -> str:
        found = PIN.search(said.body)
        assert found is not None, said.body
        return found[1]

    async def _fetched(self) -> tuple[str, str]:
        """An order that the courier has; its number, and the buyer's PIN."""
        city = self.city
        number = await city.accepted()
        pins, codes = city.eater.hears("tell them this PIN"), city.staff.hears("tell them this code")
        await city.courier.says("I take it", f"Fetch order {number} of Roma")
        pin, code = self._codes(city.eater, await pins), self._codes(city.staff, await codes)
        on_its_way = city.eater.hears(f"Order {number} is on its way.")
        await city.courier.says("I have it", "Which four digits")
        await city.courier.says(code, "Linden Street 7")
        await on_its_way
        self.told += [
            (city.eater, f"Order {number} is paid"),
            (city.staff, f"A new order has come in.\n\nOrder {number} for"),
            (city.eater, f"Roma has accepted order {number}"),
            (city.eater, f"brings order {number}"),
            (city.staff, f"fetches order {number}"),
            (city.eater, f"Order {number} is on its way."),
        ]
        return number, pin

    async def brought(self) -> None:
        """To the door, after a wrong PIN."""
        city = self.city
        number, pin = await self._fetched()
        delivered, earned = city.eater.hears(f"Order {number} is delivered."), city.courier_purse.hears("has paid you")
        await city.courier.says("They tell me the PIN", "Which four digits")
        await city.courier.says("0000" if pin != "0000" else "1111", "That is not it.")
        await city.courier.says("They tell me the PIN", "Which four digits")
        await city.courier.says(pin, "Done, thank you. You have earned €2.50.")
        await delivered
        await earned
        self.told.append((city.eater, f"Order {number} is delivered."))
        self.states[number] = "delivered"
        self.margheritas += 2
        self.spent["alice"] += ORDER
        self.spent["carol"] += FEE

    async def brought_back(self) -> None:
        """Nobody opens: it goes back, and all of the money too."""
        city = self.city
        number, _pin = await self._fetched()
        failed, codes = city.eater.hears("could not be handed over"), city.staff.hears("comes back to you")
        await city.courier.says("I cannot hand it over", "What is the matter?")
        await city.courier.says("Nobody opens", f"Bring order {number} back to Roma")
        await failed
        code = self._codes(city.staff, await codes)
        back = city.eater.hears(f"Order {number} has gone back to Roma")
        money = city.purse.hears("€31.50")
        await city.courier.says("I have brought it back", "Which four digits")
        await city.courier.says(code, "Done, thank you.")
        await back
        await money
        self.told += [
            (city.eater, f"Order {number} could not be handed over."),
            (city.staff, f"Order {number} comes back to you."),
            (city.eater, f"Order {number} has gone back to Roma"),
        ]
        self.states[number] = "returned"

    async def _split(self) -> None:
        """Alice and Dave have ordered together, and are asked for their shares."""
        host = self.city.eater
        await self.table.says("!group order roma", "How long can everybody add?")
        await self.table.says("60 minutes", "We order together at Roma")
        for talk, dish in ((self.table, "Margherita"), (self.friends_table, "Calzone")):
            await talk.says("!add", "Margherita")
            await talk.says(dish, "Into the cart")
            await talk.says("1", f"In the cart: 1 × {dish}")
        asked = host.hears("How do you want it?")
        await self.table.says("!close", "Nobody can add any more.")
        await asked
        await host.says("Have it delivered", "Where to?")
        await host.says(HOME, "How is it found")
        await host.says("Linden Street 7", "Only this time")
        await host.says("Only this time", "I pay €22.50")

    async def shared(self) -> None:
        """Everybody pays their share, and the restaurant brings it itself."""
        await self._split()
        city = self.city
        asks = [purse.hears("To confirm") for purse in (city.purse, self.friends_purse)]
        paid, came = self.table.hears("The group order is paid: Roma is asked now."), city.staff.hears("A new order")
        await city.eater.says("Everybody pays their share", "waits for its payment")
        for purse, asked in zip((city.purse, self.friends_purse), asks, strict=True):
            await purse.confirms(await asked, "is set aside")
        await paid
        number = self._number(await came)
        for word, staff, told in (
            (f"accept {number} 120", "accepted", "Roma has accepted the group order."),
            (f"dispatch {number}", "on its way", "The group order is on its way."),
            (f"delivered {number}", "delivered", "The group order is here. Enjoy!"),
        ):
            heard = self.table.hears(told)
            await city.staff.says(word, staff)
            await heard
        self.told += [
            (self.table, "Everybody pays their share: the wallet asks each of you in its own chat."),
            (self.table, "The group order is paid: Roma is asked now."),
            (self.table, "Roma has accepted the group order."),
            (self.table, "The group order is on its way."),
            (self.table, "The group order is here. Enjoy!"),
        ]
        self.states[number] = "delivered"
        self.margheritas += 1
        self.spent["alice"] += SHARE_OF_HOST
        self.spent["dave"] += SHARE_OF_FRIEND

    async def not_shared(self) -> None:
        """Dave does not pay, Alice pays his share too; the restaurant cannot, and all of it comes back."""
        await self._split()
        city = self.city
        mine, his = city.purse.hears("To confirm"), self.friends_purse.hears("To confirm")
        came = city.staff.hears("A new order has come in.")
        await city.eater.says("Everybody pays their share", "waits for its payment")
        await his
        stuck = city.eater.hears("does not pay €12.25. What shall I do?")
        await self.friends_purse.says("decline", "Declined")
        await city.purse.confirms(await mine, "is set aside")
        await stuck
        more, paid = city.purse.hears("To confirm"), self.table.hears("The group order is paid: Roma is asked now.")
        await city.eater.says("I pay it too", "The wallet asks you for it.")
        await city.purse.confirms(await more, "is set aside")
        await paid
        number = self._number(await came)
        off = self.table.hears("Roma cannot do the group order.")
        await city.staff.says(f"reject {number} no dough", "rejected")
        await off
        self.told += [
            (self.table, "Everybody pays their share: the wallet asks each of you in its own chat."),
            (self.table, "The group order is paid: Roma is asked now."),
            (self.table, "Roma cannot do the group order."),
            (city.eater, "does not pay €12.25. What shall I do?"),
        ]
        self.states[number] = "rejected"

    def _number(self, card: Seen) -> str:
        found = NUMBER.search(card.body)
        assert found is not None, card.body
        return found[1]

    async def told_once(self) -> None:
        """Each step stands once in the history of the room, as the homeserver has it."""
        said: dict[str, list[str]] = {}
        for (room, text), times in Counter((talk.room, text) for talk, text in self.told).items():
            talk = next(each for each, _text in self.told if each.room == room)
            if room not in said:
                said[room] = await answers(talk.human, room, talk.bot)
                assert UNREADABLE not in said[room], [each[:40] for each in said[room]]
            assert sum(plain(text) in plain(each) for each in said[room]) == times, text


async def furnished(
    service: RialtoProcess, killer: Killer, alice: Human, bob: Human, new_human: NewHuman, operator: Human
) -> Story:
    """A restaurant with a courier, and two friends with money in a room of theirs."""
    carol, dave = await new_human("carol"), await new_human("dave")
    food, wallet, strike = service.bot("food"), service.bot("wallet"), killer.strike
    desk = await Talk.begin(operator, food)
    await desk.says("merchants pending", "There are none.")
    staff = await sign_up(bob, food, desk)
    await staff.says(f"stock Margherita {STOCK}", f"{STOCK} there")
    courier = await Talk.begin(carol, food)
    await courier.says("courier", "By which name")
    await courier.says("Carol", "What do you go by?")
    await courier.says("red bicycle", "Shall I ask")
    await courier.says("yes", "I have asked")
    approved = courier.hears("You may bring orders now!")
    await desk.says(f"couriers approve {carol.id}", "offline")
    await approved
    await courier.says("online", "You are online.")
    purses = [await Purse.open(human, wallet) for human in (alice, carol, dave)]
    for purse in (purses[0], purses[2]):
        for _ in range(MONEY // 200):
            await purse.tops_up("200 EUR")
    eater = await Talk.begin(alice, food)
    await Talk.begin(dave, food)
    room = await alice.create_room("Lunch", encrypted=True)
    await alice.invite(room, dave.id)
    await dave.join(room)
    greeted = alice.expect(room, sender=food, contains="!group order", timeout=PATIENCE)
    await alice.invite(room, food)
    await greeted
    for purse in purses:
        purse.after = strike
    city = City(
        service, StruckTalk.of(eater, strike), purses[0], StruckTalk.of(staff, strike), StruckTalk.of(courier, strike),
        purses[1],
    )  # fmt: skip
    hers, his = (StruckTalk.of(Talk(human, food, room), strike) for human in (alice, dave))
    return Story(city, hers, his, purses[2])


@pytest.mark.timeout(900)
async def test_couriers_and_groups_come_through_kills(
    rialto: StartRialto, alice: Human, bob: Human, new_human: NewHuman
) -> None:
    seed = int(os.environ.get("RIALTO_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
    print(f"RIALTO_CHAOS_SEED={seed}")
    operator = await new_human("operator")
    overrides = with_money() | {"permissions": {"roles": {"operator": [operator.id]}}}
    overrides["payments"] |= {"tiers": [{"transfers_per_hour": 500}], "pin_above": {"EUR": "2000.00"}}
    service = await rialto(BOTS, overrides=overrides, start=False)
    for bot in service.config["bots"]:
        if bot["plugin"] == "food":
            bot["settings"] = SETTINGS
    service.config_path.write_text(to_yaml(service.config))
    await service.start()
    dice = random.Random(seed)
    killer = Killer(service, dice, 0)  # not while they move in
    story = await furnished(service, killer, alice, bob, new_human, operator)
    killer.left = KILLS
    acts = [story.brought, story.brought_back, story.shared, story.not_shared]
    dice.shuffle(acts)  # the kills may be over before the last of them
    while not story.states or killer.kills < KILLS:
        for act in acts:
            print(f"{killer.kills} kills: {act.__name__}")
            await act()
    balances = {
        "alice": await story.city.purse.balance(),
        "dave": await story.friends_purse.balance(),
        "carol": await story.city.courier_purse.balance(),
    }
    assert balances == {
        "alice": shown(MONEY * 100 - story.spent["alice"]),
        "dave": shown(MONEY * 100 - story.spent["dave"]),
        "carol": shown(story.spent["carol"]),
    }
    await story.told_once()
    await service.stop()
    states, stock = lies(service)
    assert states == story.states
    assert stock == (STOCK - story.margheritas, 0)
    code, report = await rialto_json("ledger", "verify", "-c", str(service.config_path))
    assert code == 0, report
    print(f"{killer.kills} kills, {len(states)} orders")


def shown(cents: int) -> str:
    """As the wallet writes it."""
    return f"€{cents // 100:,}.{cents % 100:02d}"
