"""Becoming a merchant: the questions, the operator's decision, the staff room."""

from __future__ import annotations

from typing import Final

import pytest

from bots.domain.merchants import MerchantState
from bots.domain.orders import Fulfilment
from tests.support.desk import ADMIN, DeskWorld

pytestmark = pytest.mark.timeout(120)

ANSWERS: Final[list[str | int]] = [
    "Pizzeria Roma", 1, "pizza, pasta", "EUR", "Europe/Berlin", "52.52, 13.405", "mon-fri 11-22, sat 12-23",
    "1, 4", "5", "2,50", "15", "20",
]  # fmt: skip


async def test_from_the_name_to_the_staff_room() -> None:
    world = DeskWorld()
    dora, admin = world.user("dora"), world.user("admin")
    assert admin.user_id == ADMIN
    said = await world.says(dora, "sell", *ANSWERS)
    assert "Short name: pizzeria-roma" in said[-1]
    assert "• Mon–Fri: 11:00–22:00\n• Sat: 12:00–23:00\n• Sun: closed" in said[-1]
    assert "• 5 km: courier for €2.50, from €15.00 on\n• Pickup" in said[-1]
    said = await world.says(dora, "yes")
    assert said == ["Thank you! An operator looks at it, and I tell you here what they say."]
    asked = await world.hears(admin)
    assert asked[-1].body.startswith("@dora:world wants to sell here:\nName: Pizzeria Roma")
    assert "merchants approve pizzeria-roma" in asked[-1].body
    merchant = await world.sellers.by_slug(world, "pizzeria-roma")
    assert merchant is not None
    assert merchant.state is MerchantState.APPLIED
    assert [way.kind for way in merchant.ways] == [Fulfilment.PICKUP]

    assert (await world.says(admin, "merchants pending"))[-1].startswith(
        "Pizzeria Roma (pizzeria-roma), of @dora:world"
    )
    assert (await world.says(admin, "merchants approve pizzeria-roma"))[-1] == "Pizzeria Roma may sell."
    merchant = await world.now(merchant)
    assert merchant.state is MerchantState.ACTIVE
    room = world.homeserver.rooms[merchant.room_id]
    assert room.encrypted
    assert room.members == {world.seller: "join", dora.user_id: "invite"}
    told = await world.hears(dora)
    assert told[-1].body.startswith("Pizzeria Roma may sell now!")
    await dora.joins(room)
    assert (await world.says(dora, "staff", room=room))[-1] == "@dora:world: owner"
    assert (await world.says(admin, "merchants approve pizzeria-roma"))[-1] == (
        "That is not possible: the merchant is open for orders."
    )
    entries = [(each.action, each.outcome, each.actor) for each in await world.audit.list()]
    assert ("merchant.approve", "done", ADMIN) in entries
    assert ("merchant.apply", "applied", dora.user_id) in entries
    world.check()
