"""A world with the food bot: restaurants, diners, couriers, groups, and the real wallet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from bots.domain.couriers import Courier, CourierState
from bots.domain.merchants import Merchant
from bots.domain.orders import Order
from bots.food import Food
from bots.framework import Plugin, Setup
from bots.framework.testing import Message, Person, Room
from bots.framework.testing.world import BOT_SERVER
from bridge.audit import Audit
from tests.support.commerce import CommerceWorld, Doing, Jobs
from tests.support.money import WALLET

__all__ = ["FOOD", "OPERATOR", "FoodWorld", "number_in", "pin_in"]

FOOD: Final = f"@food:{BOT_SERVER}"
OPERATOR: Final = f"@olga:{BOT_SERVER}"


class TestedFood(Food, Doing):
    """The food bot, which does what a test says too."""

    name = "food"

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.jobs = setup.service(Jobs)


class FoodWorld(CommerceWorld):
    """The food bot is what people talk with here; the wallet is where they confirm."""

    def __init__(self, *plugins: type[Plugin], settings: Mapping[str, Any] | None = None, **given: Any) -> None:
        def more(world: Any) -> Mapping[type, Any]:
            return {Audit: world.audit}

        given.setdefault("permissions", {"roles": {"operator": OPERATOR}})
        super().__init__(*(plugins or (TestedFood,)), settings=settings, services=more, **given)

    # Talking

    async def says(self, person: Person, *texts: str | int, room: Room | None = None) -> list[str]:
        """A person says something to the food bot; what it answers to the last, in the same room."""
        place = room or await self.chat(person)
        for text in texts:
            await person.hears_all(place)
            await person.says(str(text), room=place)
        return await self.hears_in(person, place)

    async def hears(self, person: Person) -> list[str]:
        """What the food bot has said to a person since, in their own chat."""
        return await self.hears_in(person, await self.chat(person))

    async def staff_says(self, merchant: Merchant, text: str, who: str = "carla") -> list[str]:
        """Somebody of the staff says something in their room; what they hear then."""
        boss, room = self.user(who), self.staff_room(merchant)
        await boss.hears_all(room)
        await boss.says(text, room=room)
        return await self.hears_in(boss, room)

    async def staff_hears(self, merchant: Merchant, who: str = "carla") -> list[str]:
        """What was said in the staff room since."""
        return await self.hears_in(self.user(who), self.staff_room(merchant))

    async def answers(self, person: Person, text: str) -> list[Message]:
        """A person says something to the wallet; what it says then."""
        room = await self.direct(person, WALLET)
        await person.hears_all(room)
        await person.says(text, room=room)
        return await person.hears_all(room)

    # Couriers

    async def courier(self, name: str, vehicle: str = "red bicycle", *, online: bool = True) -> Person:
        """A courier who was approved, and is online."""
        person = await self.owner(name)
        room = await self.chat(person)
        now = self.clock.now()
        made = Courier(person.user_id, name.capitalize(), vehicle, room.room_id, CourierState.OFFLINE, now, now)
        await self.write(lambda hand: self.plugin.pool.apply(hand, made))
        await person.hears_all(room)
        if online:
            await self.says(person, "online")
        self.clock.advance(seconds=1)
        return person

    async def trip(self, order: Order) -> Any:
        """The newest trip of an order."""
        return await self.plugin.pool.of_order(self, order.id)

    # Groups

    async def group(self, *people: Person, name: str = "friends") -> Room:
        """A group with these people and the food bot, and no other one."""
        await self._ensure()
        room = Room(f"!{name}:{BOT_SERVER}", {person.user_id: "join" for person in people})
        self.homeserver.rooms[room.room_id] = room
        await self.change_member(room, FOOD, "join")
        for person in people:
            await person.hears_all(room)
        return room

    async def adds(self, room: Room, person: Person, *answers: str | int) -> list[str]:
        """Somebody adds to the group order, in the room: the dish, and what they answer to its questions."""
        return await self.says(person, "!add", *answers, room=room)

    async def closes(self, room: Room, host: Person) -> list[str]:
        """The host closes it, and says where to; what they are asked then."""
        chat = await self.chat(host)
        await host.hears_all(chat)
        await self.says(host, "!close", room=room)
        await self.says(host, "Have it delivered")
        await host.shares_place(52.525, 13.41, "Linden Street 7", room=chat)
        await self.hears(host)
        return await self.says(host, "Linden Street 7", "only this time", "Centre")

    async def has_group(self, room: Room, host: Person, *others: Person) -> None:
        """A group order at the restaurant "roma": salad for the host, margherita for everybody else."""
        await self.says(host, "!group order roma", "30 minutes", room=room)
        await self.adds(room, host, "Salad", "Into the cart")
        for person in others:
            await self.adds(room, person, "Margherita", "Into the cart", "none")

    async def group_by_order(self, order: Order) -> Any:
        """The group order that has become an order."""
        stored = await self.plugin.groups.book.of_order(self, order.id)
        return None if stored is None else stored.group

    async def last_order(self, person: Person) -> Order:
        """What somebody has ordered last."""
        return (await self.orders.of_buyer(self, person.user_id, limit=1))[0]

    async def group_of(self, room: Room) -> Any:
        """The group order that a room has now."""
        stored = await self.plugin.groups.book.of_room(self, room.room_id)
        return None if stored is None else stored.group


def pin_in(texts: list[str]) -> str:
    """The PIN or the code that was told last."""
    found = re.findall(r"(?:PIN|code)[^:]*: (\d{4})\b", "\n".join(texts))
    assert found, texts
    return str(found[-1])


def number_in(texts: list[str]) -> str:
    """The number of the order that was told last."""
    found = re.findall(r"[Oo]rder ([23456789CDFGHJKLMNPQRTVWX]{5})\b", "\n".join(texts))
    assert found, texts
    return str(found[-1])
