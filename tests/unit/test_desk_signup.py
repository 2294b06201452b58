"""Becoming a merchant: the questions, the operator's decision, the staff room."""

from __future__ import annotations

from typing import Final

import pytest

from bots.domain.merchants import MerchantState, Staff
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


async def test_answers_that_will_not_do() -> None:
    """Each is asked for again; a place can be shared, an area have corners, a name be of any script."""
    world = DeskWorld()
    dora = world.user("dora")
    room = await world.chat(dora)
    await world.says(dora, "sell")
    for text in ("", "\u202eevil", "x" * 81, "🍕"):
        if text:
            assert (await world.says(dora, text))[-1] == "A name has 1 to 80 characters.", text
    said = await world.says(dora, "مطعم <i>الشام</i>")
    assert said[-1] == "Which short name?", "no short name can be made of that"
    assert (await world.says(dora, "Al Sham"))[-1].startswith("A short name has 1 to 40 small letters")
    said = await world.says(dora, "al-sham")
    assert said[-1].startswith("What do you sell?")
    assert "1 to 10 words" in (await world.says(dora, ",,"))[-1]
    await world.says(dora, "شاورما، مشاوي")
    assert "is not a currency that I know" in (await world.says(dora, "XXQ"))[-1]
    await world.says(dora, "usd")
    assert (await world.says(dora, "Mars/Olympus"))[-1] == "There is no time zone “Mars/Olympus”."
    await world.says(dora, "mine")
    await dora.shares_place(33.51, 36.29, "Bab Touma", room=room)
    assert (await world.hears(dora))[-1].body.startswith("When are you open?")
    assert (await world.says(dora, "whenever"))[-1].endswith("are no opening hours such as: mon-fri 9-18, sat 10-14")
    await world.says(dora, "24/7", "2, 3, 4")
    said = await world.says(dora, "33,36 34,37 34,36 33,37")
    assert said[-1].startswith("The border of the area crosses itself between corner")
    await world.says(dora, "33.0,36.0 34.0,36.0 34.0,37.0", "City", "3.123")
    assert (await world.says(dora, "3.12345"))[-1] == "USD has at most 2 decimals, and “3.12345” has 5."
    said = await world.says(dora, "3", "0", "5", "0", "30")
    assert "Place: Bab Touma" in said[-1]
    assert "• City: courier for $3.00\n• Parcel: $5.00\n• Pickup" in said[-1]
    await world.says(dora, "yes")
    merchant = await world.sellers.by_slug(world, "al-sham")
    assert merchant is not None
    assert merchant.tags == ("شاورما", "مشاوي")
    assert merchant.currency == "USD"
    assert merchant.hours.zone == "UTC"
    world.check()


async def test_what_operators_decide() -> None:
    world = DeskWorld()
    dora, admin = world.user("dora"), world.user("admin")
    await world.says(dora, "sell", *ANSWERS, "yes")
    slug = "pizzeria-roma"
    assert (await world.says(dora, f"merchants approve {slug}"))[-1].startswith("You may not use")
    assert (await world.says(admin, "merchants approve nobody"))[-1] == "There is no merchant “nobody”."
    assert (await world.says(admin, f"merchants reject {slug}"))[-1] == "Please say why: the merchant is told."
    assert (await world.says(admin, f"merchants reject {slug} No papers"))[-1] == "Pizzeria Roma: rejected"
    assert (await world.hears(dora))[-1].body == "Pizzeria Roma was not accepted: No papers"
    assert "Owner: @dora:world" in (await world.says(admin, f"merchants show {slug}"))[-1]
    world.kill_after(1)
    await admin.says(f"merchants approve {slug}", room=await world.chat(admin))
    await world.settle()
    merchant = await world.sellers.by_slug(world, slug)
    assert merchant is not None
    assert merchant.state is MerchantState.ACTIVE
    rooms = [room for room in world.homeserver.rooms.values() if room.state.get(("m.room.name", ""))]
    assert [room.room_id for room in rooms] == [merchant.room_id], "one, however often it was tried"
    assert len([each for each in await world.hears(dora) if "may sell now" in each.body]) == 1
    room = rooms[0]
    await dora.joins(room)
    await world.quiet(room, dora)
    assert (await world.says(admin, f"merchants suspend {slug} Rats"))[-1].endswith("suspended by the operator")
    assert "Rats" in (await world.hears(dora, room))[-1].body
    assert (await world.says(dora, "resume", room=room))[-1].startswith("That is not possible: the merchant is susp")
    await world.says(admin, f"merchants reinstate {slug}")
    assert (await world.hears(dora, room))[-1].body == "Pizzeria Roma may sell again."
    mallory = world.user("mallory")
    await mallory.joins(room)
    assert (await world.hears(dora, room))[-1].body.startswith("@mallory:world is in this room and does not work here")
    entries = [each.action for each in await world.audit.list()]
    for action in ("reject", "approve", "suspend", "reinstate"):
        assert entries.count(f"merchant.{action}") == 1, action
    listed = (await world.says(dora, "!desk", room=room))[-1]
    assert "• accept — accept an order: accept 17 30" in listed
    assert "• undo import — take the last import back" in listed


async def test_a_short_name_is_one_merchant_s() -> None:
    world = DeskWorld()
    dora, emil = world.user("dora"), world.user("emil")
    await world.says(dora, "sell", *ANSWERS)
    await world.says(emil, "sell", *ANSWERS)
    await world.says(dora, "yes")
    said = await world.says(emil, "yes")
    assert said[-1].startswith("Somebody else has taken the short name “pizzeria-roma” meanwhile.")
    await world.says(emil, "sell", "Pizzeria Roma")
    assert (await world.says(emil, 1))[0] == "“pizzeria-roma” is taken."
    assert await world.sellers.of_person(world, emil.user_id) == []
    group = await world.room("group", dora, emil)
    assert (await world.says(dora, "!sell", room=group))[-1].startswith(
        "Please write “sell” to me in an encrypted chat"
    )
    (merchant, role), *_ = await world.sellers.of_person(world, dora.user_id)
    assert role is Staff.OWNER, merchant
    world.check()
