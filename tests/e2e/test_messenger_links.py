"""Invite links, join requests and channels on a real homeserver, with people who use matrix-nio and a browser's HTTP.

Rialto runs in the test's own process, so that its services can be called; its web listener is real.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientSession, CookieJar

from appservice.config.loader import load_config
from appservice.main import Rialto, build
from appservice.terminal.client import ClientError
from bridge.actor import Actor
from bridge.channels.discussions import DISCUSSION
from bridge.channels.feature import POST
from bridge.domain.kinds import Kind
from bridge.errors import Refused
from bridge.messenger import Messenger
from bridge.store.chats import Chat
from tests.support.fixtures import NewHuman, StartRialto
from tests.support.human import Human

pytestmark = pytest.mark.timeout(180)
CSRF = re.compile('name="csrf" value="([0-9a-f]{64})"')
TITLE = re.compile("<h1>(.*?)</h1>", re.DOTALL)


class World:
    """A Rialto that can be started again."""

    def __init__(self, config_path: Any) -> None:
        self._config = load_config(config_path)
        self.rialto: Rialto

    async def start(self) -> None:
        self.rialto = build(self._config)
        await self.rialto.start()

    @property
    def messenger(self) -> Messenger:
        return self.rialto.messenger

    async def until(self, condition: Callable[[], Awaitable[object]], what: str, timeout: float = 20) -> None:
        deadline = time.monotonic() + timeout
        while not await condition():
            assert time.monotonic() < deadline, f"did not happen in {timeout:g} s: {what}"
            await asyncio.sleep(0.1)


@pytest.fixture
async def world(rialto: StartRialto) -> AsyncIterator[World]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    web = {"enabled": True, "listen": address, "public_url": f"http://{address}"}
    process = await rialto(bots=("hub",), start=False, overrides={"web": web})
    made = World(process.config_path)
    await made.start()
    yield made
    with suppress(Exception):
        await made.rialto.stop()


def actor(human: Human) -> Actor:
    return Actor.person(human.id)


async def group(world: World, owner: Human, kind: Kind = Kind.GROUP, name: str = "Tea", **given: Any) -> Chat:
    chat = await world.messenger.chats.create(actor(owner), kind, name=name, key=name, **given)
    await owner.until(lambda: chat.room_id in owner.nio.invited_rooms, what="an invitation")
    await owner.join(chat.room_id)
    return chat


async def knock(human: Human, room_id: str, reason: str) -> None:
    await human.request("POST", f"/_matrix/client/v3/knock/{quote(room_id)}", body={"reason": reason})


async def invited(human: Human, room_id: str) -> None:
    await human.until(lambda: room_id in human.nio.invited_rooms, what="an invitation")
    await human.join(room_id)


async def test_somebody_who_never_saw_rialto_joins_an_encrypted_group_by_its_link(
    world: World, alice: Human, bob: Human
) -> None:
    links = world.messenger.links
    chat = await group(world, alice)
    link = await links.create(actor(alice), chat, uses=1, expires_in=3600)
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as browser:
        async with browser.get(links.url(link)) as response:
            text = await response.text()
            assert response.status == 200
        form = CSRF.search(text)
        assert form is not None and "Join “Tea”" in text and link.token in text
        data = {"csrf": form[1], "action": "join", "person": bob.id}
        async with browser.post(links.url(link), data=data) as response:
            title = TITLE.search(await response.text())
            assert (response.status, title and title[1]) == (200, "You are invited")
    assert await bob.expect_invite() == chat.room_id
    await bob.join(chat.room_id)

    async def both() -> bool:
        return await world.messenger.members.count(chat) == 2

    await world.until(both, "the new member")
    for human in (alice, bob):
        await human.until(lambda human=human: human.rooms[chat.room_id].encrypted, what="encryption")  # type: ignore[misc]
    heard = bob.expect(chat.room_id, sender=alice.id)
    await alice.say(chat.room_id, "Welcome")
    assert (await heard).body == "Welcome"
    heard = alice.expect(chat.room_id, sender=bob.id)
    await bob.say(chat.room_id, "Hello")
    assert (await heard).body == "Hello"
    with pytest.raises(Refused, match="As many people"):
        await links.look(link.token)


async def test_knocks_with_a_code_without_one_and_with_one_that_is_used_up(
    world: World, alice: Human, bob: Human, new_human: NewHuman
) -> None:
    links = world.messenger.links
    carol = await new_human("carol")
    chat = await group(world, alice)
    link = await links.create(actor(alice), chat, uses=1)
    # The last place, twice at once: one comes in, the other waits for somebody.
    await asyncio.gather(*(knock(human, chat.room_id, f"Please: {link.token}") for human in (bob, carol)))
    people = {human.id: human for human in (bob, carol)}

    async def one() -> bool:
        return len(await links.requests(actor(alice), chat)) == 1 and any(
            chat.room_id in human.nio.invited_rooms for human in people.values()
        )

    await world.until(one, "one is invited, the other waits")
    [request] = await links.requests(actor(alice), chat)
    waiting = people.pop(request.user_id)
    [first] = people.values()
    await first.join(chat.room_id)
    assert request.reason == ""  # the code is nobody's to read

    await links.answer(actor(alice), chat, waiting.id, False)

    async def declined() -> bool:
        return await world.messenger.steward.membership(chat.room_id, waiting.id) == "leave"

    await world.until(declined, "the knock is declined")
    await knock(waiting, chat.room_id, "It is me")

    async def again() -> bool:
        return [each.reason for each in await links.requests(actor(alice), chat)] == ["It is me"]

    await world.until(again, "the second knock")
    await links.answer(actor(alice), chat, waiting.id, True)
    await invited(waiting, chat.room_id)
    assert await links.requests(actor(alice), chat) == []


async def test_a_channel_with_its_discussion_group(world: World, alice: Human, bob: Human) -> None:
    channels = world.messenger.channels
    channel = await group(world, alice, Kind.CHANNEL, "News", public=True)
    talk = await group(world, alice, Kind.GROUP, "Talk")
    await channels.link_discussion(actor(alice), channel, talk)
    assert (await alice.state(channel.room_id, DISCUSSION) or {})["room_id"] == talk.room_id
    with pytest.raises(ClientError):
        await bob.join(talk.room_id)  # it is for those who are in the channel
    await bob.join(channel.room_id)
    await bob.join(talk.room_id)
    await bob.until(lambda: bob.rooms[talk.room_id].encrypted, what="encryption")

    announced = bob.expect(talk.room_id, sender=world.messenger.steward.user_id)
    post = await alice.say(channel.room_id, "Something has happened")
    seen = await announced
    assert seen.content[POST] == {"room_id": channel.room_id, "event_id": post}
    comment = {"rel_type": "m.thread", "event_id": seen.event_id, "m.in_reply_to": {"event_id": seen.event_id}}
    said = await bob.say(talk.room_id, "Really?", **{"m.relates_to": comment})  # encrypted; its relation is not
    await bob.react(channel.room_id, post, "👍")
    receipt = f"/_matrix/client/v3/rooms/{quote(channel.room_id)}/receipt/m.read/{quote(post)}"
    await bob.request("POST", receipt, body={})

    async def counted() -> bool:
        found = await channels.post_statistics(actor(alice), channel, post)
        return (found.reach, found.reactions, found.comments) == (1, 1, 1)

    await world.until(counted, "the figures of the post")
    page = await channels.comments(actor(bob), channel, post)
    assert [(each.event_id, each.sender, each.room_id) for each in page.items] == [(said, bob.id, talk.room_id)]
    await world.messenger.privacy.change(bob.id, receipts="nobody")
    assert (await channels.post_statistics(actor(alice), channel, post)).reach == 0

    gone = bob.expect(talk.room_id, sender=world.messenger.steward.user_id, type="m.room.redaction")
    await alice.redact(channel.room_id, post)
    await gone
    await channels.link_discussion(actor(alice), channel, None)
    assert await alice.state(talk.room_id, "m.room.join_rules") == {"join_rule": "knock"}
