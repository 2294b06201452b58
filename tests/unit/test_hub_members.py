"""Members by talking with the hub, in one's own chat with it and in the chat itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from appservice.homeserver import HomeserverError
from bridge.actor import Actor
from bridge.domain.kinds import Kind
from bridge.domain.roles import Role
from bridge.store.chats import Chat
from tests.support.hub import HubWorld, Talk
from tests.support.messenger import HUB


@pytest.fixture
async def world() -> AsyncIterator[HubWorld]:
    async with HubWorld() as found:
        yield found


@pytest.fixture
async def chat(world: HubWorld) -> Chat:
    """Alice's group with Bob and Carol in it."""
    people = [world.person(name) for name in ("alice", "bob", "carol")]
    ids = [each.user_id for each in people]
    made = await world.chats.create(Actor.person(ids[0]), Kind.GROUP, name="Tea", members=ids[1:], key="1")
    for each in people:
        await each.joins(made.room_id)
    await world.settle()
    return made


@pytest.fixture
async def alice(world: HubWorld, chat: Chat) -> Talk:
    return await world.talk(world.person("alice"))


async def role(world: HubWorld, chat: Chat, name: str) -> Role | None:
    return await world.messenger.permissions.role(f"@{name}:world", chat)


async def test_members_are_listed_without_the_steward(alice: Talk) -> None:
    said = await alice.says("members")
    assert "“Tea” has 3 members:" in said
    assert "Alice (@alice:world) – owner" in said
    assert "Bob (@bob:world) – writer" in said
    assert "_rialto" not in said
    assert "Nobody is found" in await alice.says("members zebra")


async def test_promote_and_demote(world: HubWorld, chat: Chat, alice: Talk) -> None:
    assert "@bob:world is now: moderator" in await alice.says("promote @bob")
    assert await role(world, chat, "bob") is Role.MODERATOR
    assert "@bob:world is now: admin" in await alice.says("promote @bob to admin")
    assert "“hand over” makes" in await alice.says("promote @bob")
    assert "@bob:world is now: moderator" in await alice.says("demote @bob")
    assert "@bob:world is now: reader" in await alice.says("demote @bob:world to reader")
    assert "Roles are reader, writer" in await alice.says("promote @bob to emperor")
    assert await role(world, chat, "bob") is Role.READER


async def test_whom_is_asked_for(world: HubWorld, chat: Chat, alice: Talk) -> None:
    assert "Whom?" in await alice.says("promote")
    assert "such as @bob:example.org" in await alice.says("bob")
    assert "@bob:world is now: moderator" in await alice.says("@bob")


async def test_mute_for_a_time(world: HubWorld, chat: Chat, alice: Talk) -> None:
    said = await alice.says("mute @bob 1 hour")
    assert "@bob:world cannot write in “Tea” until" in said
    with pytest.raises(HomeserverError, match="M_FORBIDDEN"):
        await world.person("bob").says(chat.room_id, "hello")
    assert "cannot write until" in await alice.says("members bob")
    assert "can write in “Tea” again" in await alice.says("unmute @bob")
    await world.person("bob").says(chat.room_id, "hello")
    assert "For how long?" in await alice.says("mute @carol")
    assert "until you lift it" in await alice.says("Until I lift it")
    assert "is not a duration" in await alice.says("mute @bob some hours")


async def test_slow_mode(world: HubWorld, chat: Chat, alice: Talk) -> None:
    assert "wait 30 seconds" in await alice.says("slow mode 30 s")
    assert (await world.chats.get(Actor.person("@alice:world"), chat.id)).slow_mode == 30
    assert "whenever they like" in await alice.says("slow mode off")
    assert "How long shall members wait" in await alice.says("slow mode")
    assert "wait 1 minute" in await alice.says("1 minute")


async def test_kick_ban_and_back(world: HubWorld, chat: Chat, alice: Talk) -> None:
    assert "Remove @bob:world from “Tea”?" in await alice.says("kick @bob")
    assert "stays as it is" in await alice.says("no")
    assert world.room(chat.room_id).membership("@bob:world") == "join"
    await alice.says("kick @bob")
    assert "@bob:world is out" in await alice.says("yes")
    await alice.says("ban @carol")
    assert "is banned" in await alice.says("yes")
    assert world.room(chat.room_id).membership("@carol:world") == "ban"
    assert "may come to “Tea” again" in await alice.says("unban @carol")
    assert "Invited to “Tea”: @bob:world and @carol:world" in await alice.says("add @bob, @carol")
    assert world.room(chat.room_id).membership("@carol:world") == "invite"


async def test_handing_over(world: HubWorld, chat: Chat, alice: Talk) -> None:
    assert "You stay as an admin" in await alice.says("hand over @bob")
    assert "“Tea” belongs to @bob:world now." in await alice.says("yes")
    assert await role(world, chat, "bob") is Role.OWNER
    assert await role(world, chat, "alice") is Role.ADMIN
    assert "Only who is owner" in await alice.says("hand over @carol") + await alice.says("yes")


async def test_nobody_reaches_above_themselves(world: HubWorld, chat: Chat) -> None:
    bob = await world.talk(world.person("bob"))
    assert "Only who is" in await bob.says("mute @alice 1 hour")
    assert "Only who is" in await bob.says("kick @alice") + await bob.says("yes")
    assert "Only who is" in await bob.says("promote @bob to admin")
    assert await role(world, chat, "bob") is Role.WRITER


async def test_in_the_chat_itself(world: HubWorld, chat: Chat, alice: Talk) -> None:
    assert "can read what is written" in await alice.says("come")
    assert "I am coming" in await alice.says("yes")
    assert world.room(chat.room_id).membership(HUB) == "join"
    there, bob = world.talk_in(alice.person, chat.room_id), world.talk_in(world.person("bob"), chat.room_id)
    assert await there.says("good morning") == ""
    assert "@bob:world is now: moderator" in await there.says("!promote @bob")
    assert "@bob:world is now: writer" in await there.says("rialto: demote @bob")
    # Bob's no to somebody else's question is his own affair.
    assert "Remove @bob:world" in await there.says("!kick @bob")
    bob.hears()
    assert await bob.says("no") == ""
    assert "is out" in await there.says("yes")
    assert "between you and me" in await there.says("!privacy")
    assert "That is for chats" in await alice.says("go away")
    assert "I go" in await there.says("!go away")
    assert world.room(chat.room_id).membership(HUB) == "leave"


async def test_channels_keep_their_readers_to_themselves(world: HubWorld, chat: Chat, alice: Talk) -> None:
    news = await world.chats.create(
        Actor.person("@alice:world"), Kind.CHANNEL, name="News", members=["@bob:world"], key="2"
    )
    for name in ("alice", "bob"):
        await world.person(name).joins(news.room_id)
    bob = await world.talk(world.person("bob"))
    assert "Only who is moderator" in await bob.says("members #News")
    assert "– reader" in await alice.says("members #News")
