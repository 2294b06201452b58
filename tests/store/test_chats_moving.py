"""Upgrades, adoptions, and the read model of large chats."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.actor import SYSTEM, Actor
from bridge.chats.rights import Part
from bridge.domain.kinds import CHAT_STATE, Kind
from bridge.domain.roles import Role
from bridge.errors import BridgeError, Conflict, NotAllowed, NotFound, Refused
from bridge.store import chat_jobs
from bridge.store import chats as store
from bridge.store.chats import Chat
from tests.support.messenger import STEWARD, MessengerWorld, Person

LEVELS = "m.room.power_levels"


@pytest.fixture
async def world(database: Database) -> AsyncIterator[MessengerWorld]:
    async with MessengerWorld(database) as made:
        yield made


def actor(person: Person) -> Actor:
    return Actor.person(person.user_id)


@asynccontextmanager
async def refused(code: str, kind: type[BridgeError] = Refused) -> AsyncIterator[None]:
    with pytest.raises(kind) as caught:
        yield
    assert caught.value.code == code


async def names(world: MessengerWorld, chat: Chat, membership: str = "join") -> list[str]:
    found = await world.database.read(
        lambda it: store.members(it, chat.room_id, memberships=(membership,), limit=20_000)
    )
    return [each.user_id for each in found]


# Upgrades


async def made(world: MessengerWorld, **given: Any) -> Chat:
    alice, bob = world.person("alice"), world.person("bob")
    kind = given.pop("kind", Kind.GROUP)
    chat = await world.chats.create(actor(alice), kind, name="Tea", members=[bob.user_id], key="1", **given)
    for person in (alice, bob):
        await person.joins(chat.room_id)
    return chat


async def test_an_upgraded_chat_goes_on_in_a_new_room(world: MessengerWorld) -> None:
    chat = await made(world)
    alice, bob = world.person("alice"), world.person("bob")
    await world.members.mute(actor(alice), chat, bob.user_id, 60)
    await world.members.set_slow_mode(actor(alice), chat, 30)
    moved: list[tuple[str, str]] = []
    world.chats.moved.append(lambda _connection, old, new: moved.append((old.room_id, new.room_id)))
    async with refused("role_too_low", NotAllowed):
        await world.chats.upgrade(actor(bob), chat)
    new = await world.chats.upgrade(actor(alice), await world.chats.get(actor(alice), chat.id))
    await world.settle()
    assert new.id == chat.id and new.room_id != chat.room_id and moved == [(chat.room_id, new.room_id)]
    old_room, room = world.room(chat.room_id), world.room(new.room_id)
    assert old_room.content("m.room.tombstone")["replacement_room"] == new.room_id
    assert room.content("m.room.create")["predecessor"]["room_id"] == chat.room_id
    assert room.content(CHAT_STATE) == {"kind": "group", "public": False}
    assert room.content("chat.rialto.slow_mode") == {"seconds": 30}
    assert world.is_encrypted(new.room_id)
    assert room.membership(alice.user_id) == room.membership(bob.user_id) == "invite"
    for person in (alice, bob):
        await person.joins(new.room_id)
    assert await world.chats.get(actor(alice), chat.id) == new
    async with refused("no_such_chat", NotFound):
        await world.chats.get(actor(alice), chat.room_id)
    assert await world.chats.create(actor(alice), Kind.GROUP, name="Tea", key="1") == new
    with pytest.raises(HomeserverError):
        await bob.says(new.room_id, "still muted")
    world.clock.advance(seconds=60)
    assert await world.members.run_due() >= 1
    await bob.says(new.room_id, "x")
    assert await world.chats.upgrade(SYSTEM, chat) == new  # asked for again, about the old room


async def test_the_group_of_a_channel_goes_on_with_its_new_room(world: MessengerWorld) -> None:
    channel = await made(world, kind=Kind.CHANNEL)
    alice = world.person("alice")
    group = await world.chats.create(actor(alice), Kind.GROUP, name="Comments", parent=channel, key="2")
    new = await world.chats.upgrade(actor(alice), channel)
    assert (await world.chats.get(SYSTEM, group.id)).parent == new.room_id != channel.room_id


@pytest.mark.parametrize("at", range(1, 12))
async def test_a_crash_while_upgrading_makes_one_new_room(world: MessengerWorld, at: int) -> None:
    chat = await made(world, kind=Kind.CHANNEL, public=True, alias="news")
    count = 0

    def lost(method: str, path: str) -> HomeserverError | None:
        nonlocal count
        count += 1
        return HomeserverError(0, "UNREACHABLE", "gone") if count == at else None

    world.homeserver.lost = lost
    try:
        await world.chats.upgrade(SYSTEM, chat)
    except HomeserverError:
        pass
    finally:
        world.homeserver.lost = lambda _method, _path: None
    await world.restart(kill=True)
    new = await world.chats.upgrade(SYSTEM, chat)
    world.clock.advance(minutes=1)
    await world.messenger.jobs.run_due()
    assert len(world.homeserver.rooms) == 2
    room = world.room(new.room_id)
    assert room.content("m.room.canonical_alias") == {"alias": "#_rialto_news:world"}
    assert world.homeserver.aliases["#_rialto_news:world"] == new.room_id and room.listed
    assert room.membership("@alice:world") == room.membership("@bob:world") == "invite"


# Adoptions


async def own_room(world: MessengerWorld, *, power: int | None = 100, **given: Any) -> str:
    alice = world.person("alice")
    room_id = await alice.makes_room(name="Old", topic="Times", invite=[STEWARD, "@bob:world"], **given)
    await world.person("bob").joins(room_id)
    if power is not None:
        levels = dict(world.room(room_id).content(LEVELS))
        await alice.sets(room_id, LEVELS, {**levels, "users": {**levels["users"], STEWARD: power}})
    return room_id


async def test_a_room_is_adopted_as_it_is(world: MessengerWorld) -> None:
    room_id = await own_room(world)
    alice, bob = world.person("alice"), world.person("bob")
    said = await bob.says(room_id, "long ago")
    before = {event["event_id"] for event in world.room(room_id).timeline}
    chat = await world.chats.adopt(actor(alice), room_id)
    assert (chat.kind, chat.public, chat.encrypted, chat.adopted) == (Kind.GROUP, False, False, True)
    assert (chat.name, chat.topic, chat.workspace) == ("Old", "Times", "")
    assert before < {event["event_id"] for event in world.room(room_id).timeline}
    assert world.room(room_id).bodies() == ["bob: long ago"] and world.room(room_id).event(said)
    assert await world.messenger.member_feature.run_due() == 1
    assert await names(world, chat) == [alice.user_id, bob.user_id]
    assert await world.chats.adopt(actor(alice), room_id) == chat
    await world.members.kick(actor(alice), chat, bob.user_id)
    await world.settle()
    assert await names(world, chat) == [alice.user_id]


async def test_a_room_is_adopted_by_its_owner_only(world: MessengerWorld) -> None:
    room_id = await own_room(world)
    async with refused("role_too_low", NotAllowed):
        await world.chats.adopt(actor(world.person("bob")), room_id)
    async with refused("no_such_chat", NotFound):
        await world.chats.adopt(actor(world.person("mallory")), room_id)
    async with refused("products_adopt_nothing", NotAllowed):
        await world.chats.adopt(Actor.of_product("shop"), room_id)
    async with refused("room_invalid"):
        await world.chats.adopt(SYSTEM, "#alias:world")
    async with refused("steward_not_invited"):
        await world.chats.adopt(SYSTEM, "!none:world")
    assert not len(world.messenger.registry)


async def test_the_steward_needs_power(world: MessengerWorld) -> None:
    alice = actor(world.person("alice"))
    for power in (None, 0, 50, 99):
        async with refused("steward_power", NotAllowed):
            await world.chats.adopt(alice, await own_room(world, power=power))
    space = await own_room(world, creation_content={"type": "m.space"})
    async with refused("no_chat_room"):
        await world.chats.adopt(alice, space)
    new = await own_room(world, room_version="12")
    async with refused("room_version"):
        await world.chats.adopt(alice, new)


async def test_adopted_channels_and_public_rooms(world: MessengerWorld) -> None:
    alice = actor(world.person("alice"))
    room_id = await own_room(world, preset="public_chat")
    levels = dict(world.room(room_id).content(LEVELS))
    await world.person("alice").sets(room_id, LEVELS, {**levels, "events_default": 50})
    chat = await world.chats.adopt(alice, room_id)
    assert (chat.kind, chat.public) == (Kind.CHANNEL, True)
    archived = await world.chats.archive(alice, chat)
    await world.chats.unarchive(alice, archived)
    assert world.room(room_id).content(LEVELS)["events_default"] == 50


async def test_a_steward_that_is_removed_gives_the_chat_up(world: MessengerWorld) -> None:
    chat = await world.chats.adopt(actor(world.person("alice")), await own_room(world))
    levels = dict(world.room(chat.room_id).content(LEVELS))
    await world.person("alice").sets(chat.room_id, LEVELS, {**levels, "users": {"@alice:world": 100, STEWARD: 100}})
    await world.homeserver.request("POST", f"/_matrix/client/v3/rooms/{chat.room_id}/leave", user_id=STEWARD)
    await world.settle()
    assert chat.room_id not in world.messenger.registry
    async with refused("no_such_chat", NotFound):
        await world.chats.get(SYSTEM, chat.id)
    assert await world.chats.list_for("@alice:world") == []


async def test_an_upgraded_room_is_not_adopted_again(world: MessengerWorld) -> None:
    chat = await made(world)
    await world.chats.upgrade(SYSTEM, chat)
    async with refused("was_upgraded", Conflict):
        await world.chats.adopt(SYSTEM, chat.room_id)


# Large chats


async def test_ten_thousand_members(world: MessengerWorld) -> None:
    room_id = await own_room(world, preset="public_chat")
    everybody = [f"@p{number:05}:world" for number in range(10_000)]
    world.homeserver.fill(world.room(room_id), everybody)
    chat = await world.chats.adopt(actor(world.person("alice")), room_id)
    await world.messenger.member_feature.run_due()
    alice = actor(world.person("alice"))
    assert await world.members.count(chat) == 10_002
    world.homeserver.requests.clear()
    begin = time.perf_counter()
    page = await world.members.page(alice, chat)
    page = await world.members.page(alice, chat, after=page.next, query="P0999")
    assert len(page.items) == 10
    await world.members.set_role(alice, chat, "@p05000:world", Role.MODERATOR)
    await world.members.mute(alice, chat, "@p00001:world", 60)
    await world.members.kick(alice, chat, "@p00002:world")
    late = world.person("late")
    await late.joins(room_id)
    await late.says(room_id, "hello")
    assert time.perf_counter() - begin < 5, "a large chat is slow"
    assert not [
        path for _, path, _ in world.homeserver.requests if path.endswith(("/members", "/joined_members", "/state"))
    ]
    assert (await world.members.page(alice, chat)).items[1].user_id == "@p05000:world"
    await world.members.count(chat)
    new = await world.chats.upgrade(alice, chat)
    # So many are not invited one by one: whoever was in the old room may join the new one.
    assert await world.database.read(lambda it: chat_jobs.of_room(it, new.room_id)) == []


async def test_who_comes_and_goes_while_members_are_read(world: MessengerWorld) -> None:
    room_id = await own_room(world, preset="public_chat")
    world.homeserver.fill(world.room(room_id), [f"@p{number}:world" for number in range(2_000)])
    chat = await world.chats.adopt(actor(world.person("alice")), room_id)
    feature = world.messenger.member_feature
    hand, real = world.messenger.steward, world.messenger.steward.member_events

    async def slowly(room: str) -> list[dict[str, Any]]:
        found = await real(room)
        await world.person("p7").leaves(room_id)
        await world.person("bob").leaves(room_id)
        await world.person("new").joins(room_id)
        return found

    hand.member_events = slowly  # type: ignore[assignment, method-assign]
    await feature.run_due()
    found = await names(world, chat)
    assert "@p7:world" not in found and "@bob:world" not in found and "@new:world" in found
    assert sorted(found) == sorted(set(world.room(room_id).members()) - {STEWARD})


async def test_reading_members_goes_on_after_a_crash(world: MessengerWorld) -> None:
    room_id = await own_room(world)
    chat = await world.chats.adopt(actor(world.person("alice")), room_id)
    world.homeserver.fault = lambda _method, path: (
        HomeserverError(0, "UNREACHABLE", "gone") if path.endswith("/members") else None
    )
    with pytest.raises(HomeserverError):
        await world.messenger.member_feature.run_due()
    world.homeserver.fault = lambda _method, _path: None
    await world.restart(kill=True)
    assert await world.messenger.member_feature.run_due() == 1
    assert await world.messenger.member_feature.run_due() == 0
    assert len(await names(world, chat)) == 2


async def test_odd_members_stop_nothing(world: MessengerWorld) -> None:
    chat = await made(world)
    alice = world.person("alice")
    await alice.sets(chat.room_id, "m.room.member", {"membership": "join", "displayname": "x\x00" * 500}, alice.user_id)
    await alice.sets(chat.room_id, "m.room.member", {"membership": "join", "displayname": {"a": 1}}, alice.user_id)
    levels = dict(world.room(chat.room_id).content(LEVELS))
    users = {**levels["users"], alice.user_id: 100, "@x:world": 75}
    await alice.sets(chat.room_id, LEVELS, {**levels, "users": users, "notifications": "odd", "extra": "\x00"})
    assert sorted(await names(world, chat)) == ["@alice:world", "@bob:world"]
    assert (await world.members.get(actor(alice), chat, alice.user_id))[1] is Role.OWNER


# Rights


async def test_what_is_held_about_a_person(world: MessengerWorld) -> None:
    chat = await made(world)
    await world.chats.create(Actor.person("@alice:world"), Kind.DIRECT, name="", members=["@bob:world"], key="2")
    part = Part()

    files = await world.database.read(lambda it: dict(part.export(it, "@alice:world")))
    assert chat.id in {row["id"] for row in files["chats/made.json"]}
    assert chat.room_id in {row["room_id"] for row in files["chats/memberships.json"]}
    assert len(files["chats/rooms.json"]) == 2
    await world.database.write(lambda it: part.erase(it, "@alice:world", "erased:abc"))
    files = await world.database.read(lambda it: dict(part.export(it, "@alice:world")))
    assert not any(files.values())
    files = await world.database.read(lambda it: dict(part.export(it, "@bob:world")))
    assert files["chats/memberships.json"] and not files["chats/rooms.json"]
