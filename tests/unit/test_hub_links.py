"""Invite links, requests to join, and channels by talking with the hub."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from bridge.actor import Actor
from bridge.domain.kinds import Kind
from bridge.store.chats import Chat
from tests.support.hub import HubWorld, Talk

ALICE = Actor.person("@alice:world")


@pytest.fixture
async def world() -> AsyncIterator[HubWorld]:
    async with HubWorld() as found:
        yield found


@pytest.fixture
async def chat(world: HubWorld) -> Chat:
    """Alice's group."""
    made = await world.chats.create(ALICE, Kind.GROUP, name="Tea", key="1")
    await world.person("alice").joins(made.room_id)
    await world.settle()
    return made


@pytest.fixture
async def alice(world: HubWorld, chat: Chat) -> Talk:
    return await world.talk(world.person("alice"))


def code_in(said: str) -> str:
    found = re.search(r"join ([0-9a-z]{24})", said)
    assert found is not None, said
    return found[1]


async def test_a_link_in_one_line_lets_somebody_in(world: HubWorld, chat: Chat, alice: Talk) -> None:
    said = await alice.says("invite link 7 days 1 use")
    assert "Whoever has this link can come to “Tea”" in said
    assert "1 person may use it" in said
    code = code_in(said)
    images = [e for e in world.room(alice.room_id).timeline if e["content"].get("msgtype") == "m.image"]
    assert len(images) == 1
    bob = await world.talk(world.person("bob"))
    assert "You are invited to “Tea”" in await bob.says(f"join {code}")
    assert world.room(chat.room_id).membership("@bob:world") == "invite"
    carol = await world.talk(world.person("carol"))
    assert "As many people as this invite link is for" in await carol.says(code.upper())
    assert "no such invite link" in await carol.says("join me please")


async def test_a_link_is_asked_for(world: HubWorld, alice: Talk) -> None:
    assert "How long" in await alice.says("invite link")
    assert "How many" in await alice.says("Until I end it")
    assert "approve" in await alice.says("Any number")
    said = await alice.says("yes")
    assert "can ask to come to “Tea”" in said
    assert "works until you end it, with approval" in said


async def test_links_are_shown_and_ended(world: HubWorld, alice: Talk) -> None:
    assert "has no invite link" in await alice.says("links")
    code = code_in(await alice.says("invite link 1 day"))
    assert "Which one shall end?" in await alice.says("links")
    assert "lets nobody in any more" in await alice.says("1")
    bob = await world.talk(world.person("bob"))
    assert "was ended" in await bob.says(f"join {code}")


async def test_whoever_asks_is_let_in_or_not(world: HubWorld, chat: Chat, alice: Talk) -> None:
    code = code_in(await alice.says("invite link 1 day approval"))
    people = [await world.talk(world.person(name)) for name in ("bob", "carol")]
    for talk in people:
        assert "I have asked for you" in await talk.says(f"join {code}")
    assert any("would like to come to “Tea”" in said for said in alice.hears())
    assert "@bob:world would like to come" in await alice.says("join requests")
    assert "@carol:world would like to come" in await alice.says("Let them in")
    assert "That is all" in await alice.says("Decline")
    room = world.room(chat.room_id)
    assert (room.membership("@bob:world"), room.membership("@carol:world")) == ("invite", "leave")
    assert "You may come to “Tea”" in "".join(people[0].hears())
    assert "was declined" in "".join(people[1].hears())
    assert "Nobody waits" in await alice.says("join requests")


async def test_only_admins_make_links(world: HubWorld, chat: Chat) -> None:
    await world.chats.consent.may("@alice:world", "@bob:world", "add")
    await world.members.add(ALICE, chat, "@bob:world")
    await world.person("bob").joins(chat.room_id)
    bob = await world.talk(world.person("bob"))
    assert "Only who is admin" in await bob.says("invite link 1 day")


async def test_a_channel_gets_a_discussion_group(world: HubWorld, chat: Chat, alice: Talk) -> None:
    news = await world.chats.create(ALICE, Kind.CHANNEL, name="News", public=True, key="2")
    await alice.person.joins(news.room_id)
    assert "In which of your groups" in await alice.says("discussion")
    assert "discussed in “Tea” now" in await alice.says("Tea")
    assert (await world.messenger.channels.discussion(ALICE, news)).id == chat.id  # type: ignore[union-attr]
    await alice.says("discussion")
    assert "no discussion group now" in await alice.says("No group")


async def test_statistics_of_a_post(world: HubWorld, alice: Talk) -> None:
    news = await world.chats.create(ALICE, Kind.CHANNEL, name="News", public=True, members=["@bob:world"], key="2")
    for name in ("alice", "bob"):
        await world.person(name).joins(news.room_id)
    post = await alice.person.says(news.room_id, "fresh tea")
    await world.person("bob").reacts(news.room_id, post, "👍")
    said = await alice.says(f"statistics https://matrix.to/#/{news.room_id}/{post}")
    assert "1 reaction." in said
    assert "0 comments." in said
    assert "Which message?" in await alice.says("statistics")
    assert "There is no such post." in await alice.says(f"statistics https://matrix.to/#/{news.room_id}/$none")


async def test_pins(world: HubWorld, chat: Chat, alice: Talk) -> None:
    event_id = await alice.person.says(chat.room_id, "remember")
    link = f"https://matrix.to/#/{chat.room_id}/{event_id}?via=world"
    assert await alice.says(f"pin {link}") == "Pinned."
    assert world.room(chat.room_id).content("m.room.pinned_events") == {"pinned": [event_id]}
    assert "Not pinned" in await alice.says(f"unpin {link}")
    bob = await world.talk(world.person("bob"))
    assert "no such chat" in await bob.says(f"pin {link}")
    await alice.says("come")
    await alice.says("yes")
    there = world.talk_in(alice.person, chat.room_id)
    assert await there.says("!pin", reply_to=event_id) == "Pinned."
