"""Rooms that Rialto did not make become chats, and the hub goes again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridge.domain.kinds import Kind
from tests.support.hub import HubWorld, Talk
from tests.support.messenger import HUB, STEWARD


@pytest.fixture
async def world() -> AsyncIterator[HubWorld]:
    async with HubWorld() as found:
        yield found


async def a_room(world: HubWorld, *, hub_power: int = 0, **body: Any) -> str:
    """Alice's room with Bob in it, and @rialto invited."""
    alice, bob = world.person("alice"), world.person("bob")
    users = {alice.user_id: 100, HUB: hub_power}
    room_id = await alice.makes_room(
        name="Old room",
        preset="private_chat",
        room_version="10",
        power_level_content_override={"users": users},
        invite=[bob.user_id],
        **body,
    )
    await bob.joins(room_id)
    await bob.says(room_id, "it was always so")
    return room_id


async def test_invited_with_power_it_takes_the_room_over(world: HubWorld) -> None:
    room_id = await a_room(world, hub_power=100)
    alice = world.person("alice")
    there = world.talk_in(alice, room_id)
    before = len(world.room(room_id).timeline)
    await alice.invites(room_id, HUB)
    said = "\n".join(there.hears())
    assert "“Old room” is one of Rialto's chats now" in said
    assert "Shall I stay here" in said
    chat = world.messenger.registry.get(room_id)
    assert chat is not None
    assert (chat.kind, chat.adopted, chat.created_by) == (Kind.GROUP, True, "@alice:world")
    room = world.room(room_id)
    assert room.membership(STEWARD) == "join"
    assert (room.power(STEWARD), room.power(HUB), room.power("@alice:world")) == (100, 0, 100)
    assert [event["event_id"] for event in room.timeline[:before]]
    assert "Then I go" in await there.says("no")
    assert room.membership(HUB) == "leave"
    assert room.membership(STEWARD) == "join"
    await world.messenger.member_feature.run_due()
    own = await world.talk(alice)
    assert "1. Old room – group" in await own.says("chats")
    assert "is called “New room” now" in await own.says("rename New room")


async def test_it_stays_when_it_is_wanted(world: HubWorld) -> None:
    room_id = await a_room(world, hub_power=100)
    there = world.talk_in(world.person("alice"), room_id)
    await world.person("alice").invites(room_id, HUB)
    assert "I stay" in await there.says("yes")
    await world.hours_pass(2)
    assert world.room(room_id).membership(HUB) == "join"
    await world.messenger.member_feature.run_due()
    assert "“Old room” has 3 members" in await there.says("!members")


async def test_it_goes_when_nobody_answers(world: HubWorld) -> None:
    room_id = await a_room(world, hub_power=100)
    await world.person("alice").invites(room_id, HUB)
    await world.hours_pass(0.5)
    assert world.room(room_id).membership(HUB) == "join"
    await world.hours_pass(1)
    assert world.room(room_id).membership(HUB) == "leave"


async def test_without_power_it_says_what_it_needs(world: HubWorld) -> None:
    room_id = await a_room(world)
    alice = world.person("alice")
    there = world.talk_in(alice, room_id)
    await alice.invites(room_id, HUB)
    assert "Give me the power 100" in "".join(there.hears())
    assert "Give me the power 100 (admin) first" in await there.says("!adopt")
    levels = dict(world.room(room_id).content("m.room.power_levels"))
    await alice.sets(room_id, "m.room.power_levels", {**levels, "users": {**levels["users"], HUB: 100}})
    bob = Talk(world, world.person("bob"), room_id)
    assert "Only who is owner" in await bob.says("!adopt")
    assert room_id not in world.messenger.registry
    there.hears()
    assert "is one of Rialto's chats now" in await there.says("!adopt")
    assert room_id in world.messenger.registry


async def test_a_crash_in_the_middle_is_no_harm(world: HubWorld) -> None:
    room_id = await a_room(world, hub_power=100)
    alice = world.person("alice")
    world.held = True
    await alice.invites(room_id, HUB)
    await world.restart(kill=True)
    world.held = False
    await world.settle()
    assert room_id in world.messenger.registry
    assert world.room(room_id).membership(STEWARD) == "join"


async def test_our_own_chat_is_not_adopted(world: HubWorld) -> None:
    own = await world.talk(world.person("alice"))
    assert "Invite me into the room" in await own.says("adopt")
