"""Chats by talking with the hub: made, listed, changed, left, deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bridge.actor import Actor
from bridge.domain.kinds import Kind
from bridge.store.chats import Chat
from tests.support.hub import HubWorld, Talk


@pytest.fixture
async def world() -> AsyncIterator[HubWorld]:
    async with HubWorld() as found:
        yield found


@pytest.fixture
async def alice(world: HubWorld) -> Talk:
    return await world.talk(world.person("alice"))


async def groups(world: HubWorld, person: str) -> list[Chat]:
    return [chat for chat in await world.chats.list_for(person) if chat.kind is not Kind.SERVICE]


async def test_a_group_is_made_in_one_line(world: HubWorld, alice: Talk) -> None:
    said = await alice.says("new group Tea with @bob:world")
    assert "“Tea” is ready, an encrypted group" in said
    room = world.room_named("Tea")
    assert room.membership("@alice:world") == "invite"
    assert room.membership("@bob:world") == "invite"
    assert f"https://matrix.to/#/{room.room_id}" in said
    (chat,) = await groups(world, "@alice:world")
    assert (chat.kind, chat.encrypted, chat.created_by) == (Kind.GROUP, True, "@alice:world")


async def test_what_is_left_out_is_asked_for(world: HubWorld, alice: Talk) -> None:
    assert "called" in await alice.says("new group")
    assert "A name is one line" in await alice.says("x" * 300)
    assert "Whom shall I invite" in await alice.says("Tea time")
    assert "Write their id" in await alice.says("my friends")
    assert "is ready" in await alice.says("@bob:world, @carol:world")
    room = world.room_named("Tea time")
    assert {room.membership(each) for each in ("@bob:world", "@carol:world")} == {"invite"}


async def test_a_channel_is_private_or_public(world: HubWorld, alice: Talk) -> None:
    assert "Who may read it?" in await alice.says("new channel News")
    assert "Which address" in await alice.says("2")
    assert "2 to 50" in await alice.says("Not an address!")
    said = await alice.says("news")
    assert "public channel. It is not encrypted" in said
    assert "#_rialto_news:world" in said
    await alice.says("new channel Inside")
    assert "private, encrypted channel" in await alice.says("private")


async def test_chats_are_listed_and_managed_by_number(world: HubWorld, alice: Talk) -> None:
    assert "in no chat" in await alice.says("chats")
    await alice.says("new group Tea")
    await alice.person.joins(world.room_named("Tea").room_id)
    await alice.says("new group Coffee")
    await alice.person.joins(world.room_named("Coffee").room_id)
    world.clock.advance(seconds=1)
    said = await alice.says("chats")
    assert "Tea – group" in said
    number = 1 if "1. Tea" in said else 2
    menu = await alice.says(str(number))
    assert "“Tea”: group. You are owner there." in menu
    assert "Delete it for everybody" in menu
    assert "What is “Tea” to be called?" in await alice.says("Another name")
    assert "“Tea” is called “Green tea” now." in await alice.says("Green tea")
    assert world.room_named("Green tea")
    assert "is called “Tea” now" in await alice.says(f"rename #{number} Tea")


async def test_a_number_chooses_from_what_was_listed_last(world: HubWorld, alice: Talk) -> None:
    await alice.says("new group Tea")
    await alice.person.joins(world.room_named("Tea").room_id)
    await alice.says("services")
    assert "Echo" in await alice.says("1")
    await alice.says("chats")
    assert "“Tea”" in await alice.says("1")


async def test_who_has_one_chat_is_not_asked_which(world: HubWorld, alice: Talk) -> None:
    await alice.says("new group Tea")
    await alice.person.joins(world.room_named("Tea").room_id)
    assert "has another description" in await alice.says("describe All about tea")
    assert world.room_named("Tea").content("m.room.topic")["topic"] == "All about tea"


async def test_who_has_several_is_asked(world: HubWorld, alice: Talk) -> None:
    for name in ("Tea", "Coffee"):
        await alice.says(f"new group {name}")
        await alice.person.joins(world.room_named(name).room_id)
    assert "Which chat?" in await alice.says("archive")
    assert "“Coffee” is archived" in await alice.says("Coffee")
    assert "“Coffee” is open again" in await alice.says("unarchive #Coffee")
    assert "You have no chat #Cocoa" in await alice.says("archive #Cocoa")


async def test_deleting_asks_for_the_name(world: HubWorld, alice: Talk) -> None:
    await alice.says("new group Tea")
    room = world.room_named("Tea")
    await alice.person.joins(room.room_id)
    assert "write its name" in await alice.says("delete chat")
    assert "Nothing was deleted" in await alice.says("yes")
    await alice.says("delete chat")
    assert "“Tea” is deleted." in await alice.says("tea")
    await world.messenger.jobs.run_due()
    assert room.membership("@alice:world") == "leave"
    assert await groups(world, "@alice:world") == []


async def test_whoever_may_not_is_told_so(world: HubWorld, alice: Talk) -> None:
    chat = await world.chats.create(
        Actor.person("@bob:world"), Kind.GROUP, name="Tea", members=["@alice:world"], key="1"
    )
    await alice.person.joins(chat.room_id)
    await world.person("bob").joins(chat.room_id)
    assert "Only who is admin there, or more" in await alice.says("rename Coffee")
    assert "Only who is owner" in "".join([await alice.says("delete chat"), await alice.says("Tea")])
    assert "Leave “Tea”?" in await alice.says("leave")
    assert "You have left “Tea”" in await alice.says("yes")
    assert world.room(chat.room_id).membership("@alice:world") == "leave"


async def test_others_chats_do_not_exist(world: HubWorld, alice: Talk) -> None:
    chat = await world.chats.create(Actor.person("@bob:world"), Kind.GROUP, name="Secret", key="1")
    for text in (f"rename #{chat.id} Mine", f"rename #{chat.room_id} Mine", "chat Secret"):
        assert "You have no chat" in await alice.says(text)


async def test_a_direct_chat_is_called_by_the_other(world: HubWorld, alice: Talk) -> None:
    assert "The chat with @bob:world is ready" in await alice.says("new chat @bob")
    room = next(each for each in world.homeserver.rooms.values() if each.membership("@bob:world") == "invite")
    await alice.person.joins(room.room_id)
    await world.person("bob").joins(room.room_id)
    assert "1. Bob – direct chat" in await alice.says("chats")
    menu = await alice.says("1")
    assert "Have messages disappear" in menu
    assert "Members" not in menu


async def test_everything_is_in_the_menu(world: HubWorld, alice: Talk) -> None:
    said = await alice.says("menu")
    for line in ("My chats", "A new group", "Join by a code", "My privacy", "My devices", "My data"):
        assert line in said
    assert "called" in await alice.says("A new group")


async def test_a_crash_makes_no_second_chat(world: HubWorld, alice: Talk) -> None:
    await alice.says("new group")
    await alice.says("Tea")
    await world.restart(kill=True)
    await alice.says("nobody")
    assert sum(room.content("m.room.name").get("name") == "Tea" for room in world.homeserver.rooms.values()) == 1
