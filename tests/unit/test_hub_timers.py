"""Timers, retention and search by talking with the hub."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bridge.actor import Actor
from bridge.domain.kinds import Kind
from bridge.domain.timers import Start, Timer
from bridge.store.chats import Chat
from tests.support.hub import HubWorld, Talk

ALICE = Actor.person("@alice:world")


@pytest.fixture
async def world() -> AsyncIterator[HubWorld]:
    async with HubWorld() as found:
        yield found


@pytest.fixture
async def chat(world: HubWorld) -> Chat:
    """Alice's group, with Bob."""
    made = await world.chats.create(ALICE, Kind.GROUP, name="Tea", members=["@bob:world"], key="1")
    for name in ("alice", "bob"):
        await world.person(name).joins(made.room_id)
    await world.settle()
    return made


@pytest.fixture
async def alice(world: HubWorld, chat: Chat) -> Talk:
    return await world.talk(world.person("alice"))


async def test_a_timer_in_one_line(world: HubWorld, chat: Chat, alice: Talk) -> None:
    said = await alice.says("timer #Tea 1 day")
    assert said == "New messages in “Tea” disappear 1 day after they were sent."
    assert await world.messenger.timers.get(chat) == Timer(86_400)
    assert "1 hour after the first reading" in await alice.says("timer #Tea 1 hour after reading")
    assert await world.messenger.timers.get(chat) == Timer(3_600, Start.READ)
    assert "the timer is off" in await alice.says("timer #Tea off")
    assert await world.messenger.timers.get(chat) is None


async def test_a_timer_is_asked_for(world: HubWorld, chat: Chat, alice: Talk) -> None:
    await alice.says("timer #Tea 1 week")
    said = await alice.says("timer #Tea")
    assert "Messages in “Tea” disappear 7 days after they were sent." in said.replace("1 week", "7 days")
    assert "After which time?" in await alice.says("Another time")
    assert "is not a duration" in await alice.says("a while")
    assert "Counted from when?" in await alice.says("2 days")
    assert "disappear 2 days after the first reading" in await alice.says("The first reading")
    assert await world.messenger.timers.get(chat) == Timer(2 * 86_400, Start.READ)


@pytest.mark.parametrize("text", ["timer #Tea 1 s", "timer #Tea 2 years"])
async def test_too_short_and_too_long(text: str, alice: Talk) -> None:
    assert "after 5 seconds to a year" in await alice.says(text)


async def test_the_own_chat_with_the_hub_has_a_timer_too(world: HubWorld, alice: Talk) -> None:
    question = await alice.says("timer 1 day")
    assert "Which chat?" in question
    assert "Rialto" in question
    assert "disappear 1 day after they were sent" in await alice.says("Rialto")


async def test_who_may_not_set_it(world: HubWorld, chat: Chat) -> None:
    bob = await world.talk(world.person("bob"))
    assert "Only who is admin there" in await bob.says("timer #Tea 1 day")


async def test_in_the_chat_itself(world: HubWorld, chat: Chat, alice: Talk) -> None:
    await alice.says("come")
    await alice.says("yes")
    there = world.talk_in(alice.person, chat.room_id)
    assert "disappear 1 day" in await there.says("!timer 1 day")
    assert await world.messenger.timers.get(chat) == Timer(86_400)


async def test_retention(world: HubWorld, chat: Chat, alice: Talk) -> None:
    assert "keeps messages for 30 days from now on" in await alice.says("retention 30 days")
    assert (await world.messenger.retention.policy(ALICE, chat)).own == 30
    assert "keeps messages for 30 days." in await alice.says("retention")
    assert "until somebody removes them" in await alice.says("For ever")
    assert (await world.messenger.retention.policy(ALICE, chat)).own is None
    bob = await world.talk(world.person("bob"))
    assert "Only who is owner" in await bob.says("retention 1 day")


async def test_search_finds_what_the_server_may_read(world: HubWorld, alice: Talk) -> None:
    news = await world.chats.create(ALICE, Kind.CHANNEL, name="News", public=True, key="2")
    await alice.person.joins(news.room_id)
    event_id = await alice.person.says(news.room_id, "green tea is in")
    said = await alice.says("search tea")
    assert "@alice:world in “News”" in said
    assert f"https://matrix.to/#/{news.room_id}/{event_id}" in said
    assert "Nothing is found" in await alice.says("search coffee")
    assert "green tea" in await alice.says("search green from @alice")
    assert "Nothing is found" in await alice.says("search green from @bob")
    assert "For what?" in await alice.says("search")


async def test_private_chats_are_not_searched(alice: Talk) -> None:
    assert "end-to-end encrypted" in await alice.says("search #Tea tea")


async def test_search_goes_page_after_page(world: HubWorld, alice: Talk) -> None:
    news = await world.chats.create(ALICE, Kind.CHANNEL, name="News", public=True, key="2")
    await alice.person.joins(news.room_id)
    for number in range(12):
        await alice.person.says(news.room_id, f"tea number {number}")
    first = await alice.says("search tea")
    assert first.count("• ") == 10
    assert "Show more?" in first
    assert (await alice.says("yes")).count("• ") == 2


async def test_leave_to_search_services(world: HubWorld, alice: Talk) -> None:
    assert "1 chat with a service" in await alice.says("searchable on")
    await alice.says("describe none")
    assert "not kept to be found any more" in await alice.says("searchable off")
