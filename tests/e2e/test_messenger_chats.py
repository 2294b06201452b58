"""Chats and members on a real homeserver, with people who use matrix-nio.

Rialto runs in the test's own process, so that its services can be called.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from appservice.config.loader import load_config
from appservice.main import Rialto, build
from appservice.terminal.client import ClientError
from bridge.actor import Actor
from bridge.domain.kinds import CHAT_STATE, Kind
from bridge.domain.roles import Role
from bridge.errors import NotFound
from bridge.messenger import Messenger
from bridge.store.chats import Chat
from tests.support.fixtures import NewHuman, StartRialto
from tests.support.human import Human

pytestmark = pytest.mark.timeout(180)
SHOP = Actor.of_product("shop")


class World:
    """A Rialto that can be started again."""

    def __init__(self, config_path: Any) -> None:
        self._config = load_config(config_path)
        self.rialto: Rialto

    async def start(self) -> None:
        self.rialto = build(self._config)
        await self.rialto.start()

    async def restart(self) -> None:
        await self.rialto.stop()
        await self.start()

    @property
    def messenger(self) -> Messenger:
        return self.rialto.messenger

    async def until(self, condition: Callable[[], Awaitable[object]], what: str, timeout: float = 20) -> None:
        deadline = time.monotonic() + timeout
        while not await condition():
            assert time.monotonic() < deadline, f"did not happen in {timeout:g} s: {what}"
            await asyncio.sleep(0.1)

    async def members(self, chat: Chat, count: int) -> list[str]:
        """The members as the read model has them, once there are so many."""

        async def there() -> bool:
            return await self.messenger.members.count(chat) == count

        await self.until(there, f"{count} members")
        page = await self.messenger.members.page(Actor(), chat)
        return [member.user_id for member in page.items]


@pytest.fixture
async def world(rialto: StartRialto) -> AsyncIterator[World]:
    process = await rialto(bots=("echo",), start=False)
    made = World(process.config_path)
    await made.start()
    yield made
    with suppress(Exception):
        await made.rialto.stop()


def person(human: Human) -> Actor:
    return Actor.person(human.id)


async def refused(human: Human, room_id: str, text: str = "x") -> None:
    """The homeserver does not let them write."""
    with pytest.raises(ClientError) as caught:
        await human.say(room_id, text)
    assert "M_FORBIDDEN" in str(caught.value) or caught.value.fields.get("status") == 403


async def test_an_encrypted_group_from_its_beginning_to_its_end(world: World, alice: Human, bob: Human) -> None:
    chats, members = world.messenger.chats, world.messenger.members
    made = await asyncio.gather(
        *(chats.create(person(alice), Kind.GROUP, name="Tea", members=[bob.id], key="1") for _ in range(3))
    )
    assert len({chat.room_id for chat in made}) == 1
    chat = made[0]
    room = chat.room_id
    for human in (alice, bob):
        assert await human.expect_invite() == room
        await human.join(room)
    assert set(await world.members(chat, 2)) == {alice.id, bob.id}
    assert (await alice.state(room, CHAT_STATE)) == {"kind": "group", "public": False}
    assert not (await alice.state(room, "m.room.canonical_alias") or {}).get("alias")
    await alice.until(lambda: alice.rooms[room].encrypted, what="encryption")
    heard = bob.expect(room, sender=alice.id, contains="secret")
    await alice.say(room, "a secret")
    assert (await heard).body == "a secret"

    renamed = await chats.rename(person(alice), chat, "Coffee")
    assert (await bob.state(room, "m.room.name")) == {"name": "Coffee"}
    await members.mute(person(alice), renamed, bob.id, 2)
    await refused(bob, room)
    await world.restart()  # a mute is known after it
    chats, members = world.messenger.chats, world.messenger.members

    async def writes() -> bool:
        with suppress(ClientError):
            await bob.say(room, "back")
            return True
        return False

    await world.until(writes, "the mute is over")
    chat = await chats.get(person(bob), chat.id)
    assert chat.name == "Coffee"

    await members.set_role(person(alice), chat, bob.id, Role.MODERATOR)
    assert await world.messenger.permissions.role(bob.id, chat) is Role.MODERATOR
    await members.transfer(person(alice), chat, bob.id)
    levels = await alice.state(room, "m.room.power_levels") or {}
    assert (levels["users"][bob.id], levels["users"][alice.id]) == (100, 75)

    chat = await members.set_slow_mode(person(bob), chat, 60)
    await members.set_role(person(bob), chat, alice.id, Role.WRITER)
    one = await alice.say(room, "one")

    async def spoke() -> bool:
        member, _role = await world.messenger.members.get(person(bob), chat, alice.id)
        return member.spoke_at is not None

    await world.until(spoke, "it is noted when alice spoke")
    with pytest.raises(ClientError, match="This chat is slow: wait"):  # the homeserver has Rialto's module
        await alice.say(room, "two, too soon")
    await alice.edit(room, one, "ONE")
    await bob.say(room, "owners do not wait")

    archived = await chats.archive(person(bob), chat)
    for human in (alice, bob):
        await refused(human, room)
    chat = await chats.unarchive(person(bob), archived)
    post = await bob.say(room, "pinned")
    await chats.pin(person(bob), chat, post)
    assert await alice.state(room, "m.room.pinned_events") == {"pinned": [post]}

    await members.kick(person(bob), chat, alice.id, "enough")
    assert await world.members(chat, 1) == [bob.id]
    await members.add(person(bob), chat, alice.id)
    assert await alice.expect_invite() == room
    await alice.join(room)
    gone = [human.expect_member(room, human.id, "leave") for human in (alice, bob)]
    await chats.delete(person(bob), chat)
    with pytest.raises(NotFound):
        await chats.get(person(bob), chat.id)
    with suppress(TimeoutError, AssertionError):
        await asyncio.gather(*gone)

    async def out() -> bool:
        answers = [await human.request("GET", "/_matrix/client/v3/joined_rooms") for human in (alice, bob)]
        return not any(room in answer["joined_rooms"] for answer in answers)

    await world.until(out, "everybody is out")


async def test_a_public_channel_is_found_and_read_by_everybody(world: World, alice: Human, new_human: NewHuman) -> None:
    chats = world.messenger.chats
    word = f"news{time.time_ns() % 10**9}"
    chat = await chats.create(person(alice), Kind.CHANNEL, name="News", public=True, alias=word, key="1")
    assert not chat.encrypted and chat.alias.endswith(f"{word}:{world.messenger.steward.server_name}")
    await alice.expect_invite()
    await alice.join(chat.room_id)
    post = await alice.say(chat.room_id, "Hello, world")
    carol = await new_human("carol")
    found = await carol.request(
        "POST", "/_matrix/client/v3/publicRooms", body={"filter": {"generic_search_term": "News"}}
    )
    assert chat.alias in [room.get("canonical_alias") for room in found["chunk"]]
    preview = await carol.request("GET", f"/_matrix/client/v3/rooms/{chat.room_id}/messages?dir=b&limit=1")
    assert preview["chunk"][0]["content"]["body"] == "Hello, world"
    assert await carol.join(chat.alias) == chat.room_id
    await refused(carol, chat.room_id)
    await carol.react(chat.room_id, post, "👍")
    assert set(await world.members(chat, 2)) == {alice.id, carol.id}
    await world.messenger.members.ban(person(alice), chat, carol.id, "spam")
    with pytest.raises(ClientError):
        await carol.join(chat.alias)
    await world.messenger.members.unban(person(alice), chat, carol.id)
    await carol.join(chat.alias)


async def test_an_upgraded_group_goes_on_and_keeps_its_mutes(world: World, alice: Human, bob: Human) -> None:
    chats, members = world.messenger.chats, world.messenger.members
    chat = await chats.create(
        SHOP, Kind.GROUP, name="Order", owner=alice.id, members=[bob.id], external_id="7", key="1"
    )
    for human in (alice, bob):
        await human.expect_invite()
        await human.join(chat.room_id)
    await members.mute(SHOP, chat, bob.id, 3_600)
    new = await chats.upgrade(SHOP, chat)
    assert (new.id, new.external_id) == (chat.id, "7") and new.room_id != chat.room_id
    assert await chats.upgrade(SHOP, chat) == new
    stone = await alice.state(chat.room_id, "m.room.tombstone") or {}
    assert stone["replacement_room"] == new.room_id
    await alice.until(lambda: new.room_id in alice.nio.invited_rooms, what="an invitation")
    await alice.join(new.room_id)
    # Whoever was in the old room comes in without an invitation, too.
    await bob.leave(new.room_id)
    await bob.join(new.room_id)
    assert await alice.state(new.room_id, CHAT_STATE) == {"kind": "group", "public": False}
    await refused(bob, new.room_id)
    await members.unmute(SHOP, new, bob.id)
    await bob.say(new.room_id, "here I am")
    assert set(await world.members(new, 2)) == {alice.id, bob.id}


async def test_a_room_of_peoples_own_is_adopted(world: World, alice: Human, bob: Human) -> None:
    steward = world.messenger.steward.user_id
    room = await alice.create_room("Old friends", encrypted=True)
    await alice.invite(room, bob.id)
    await bob.join(room)
    said = await bob.say(room, "long ago")
    await alice.invite(room, steward)
    levels = await alice.state(room, "m.room.power_levels") or {}
    users = {**levels["users"], steward: 100}
    await alice.request(
        "PUT", f"/_matrix/client/v3/rooms/{room}/state/m.room.power_levels/", body={**levels, "users": users}
    )
    chat = await world.messenger.chats.adopt(person(alice), room)
    assert (chat.kind, chat.encrypted, chat.name, chat.adopted) == (Kind.GROUP, True, "Old friends", True)
    assert set(await world.members(chat, 2)) == {alice.id, bob.id}
    heard = alice.expect(room, sender=bob.id, contains="still")
    await bob.say(room, "still encrypted")  # the steward is there, and gets no key
    assert (await heard).body == "still encrypted"
    event = await alice.request("GET", f"/_matrix/client/v3/rooms/{room}/event/{said}")
    assert event["type"] == "m.room.encrypted" and event["content"]["ciphertext"]
    await world.messenger.members.mute(person(alice), chat, bob.id, None)
    await refused(bob, room)
    await world.messenger.chats.leave(bob.id, chat)
    assert await world.members(chat, 1) == [alice.id]
