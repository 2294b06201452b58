"""Numbers, delivery states and search on a real homeserver, with people who use matrix-nio.

Rialto runs in the test's own process, so that its services can be called.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from urllib.parse import quote

import pytest

from appservice.config.loader import load_config
from appservice.main import Rialto, build
from bridge.actor import SYSTEM, Actor
from bridge.domain.delivery import State
from bridge.domain.kinds import Kind
from bridge.messenger import Messenger
from bridge.store.chats import Chat
from tests.support.fixtures import StartRialto
from tests.support.human import Human
from tests.support.servers import RialtoProcess

pytestmark = pytest.mark.timeout(180)


class World:
    """A Rialto that can be started again."""

    def __init__(self, process: RialtoProcess) -> None:
        self.process = process
        self._config = load_config(process.config_path)
        self.rialto: Rialto

    async def start(self) -> None:
        self.rialto = build(self._config)
        await self.rialto.start()

    @property
    def messenger(self) -> Messenger:
        return self.rialto.messenger

    async def until(
        self,
        condition: Callable[[], Awaitable[object]],
        what: str,
        timeout: float = 20,
        instead: Callable[[], object] = str,
    ) -> None:
        deadline = time.monotonic() + timeout
        while not await condition():
            assert time.monotonic() < deadline, f"did not happen in {timeout:g} s: {what}; {instead()}"
            await asyncio.sleep(0.1)

    async def state(self, chat: Chat, event_id: str, wanted: State) -> None:
        """Wait until a message has come so far."""

        async def there() -> bool:
            with suppress(Exception):
                return (await self.messenger.delivery.status(SYSTEM, chat, event_id)).state is wanted
            return False

        await self.until(there, wanted.word)

    async def found(self, human: Human, words: str, count: int, chat: Chat | None = None) -> list[str]:
        """What is found, once it is so much."""
        texts: list[str] = []

        async def there() -> bool:
            page = await self.messenger.search.search(Actor.person(human.id), words, chat=chat)
            texts[:] = [hit.text for hit in page.items]
            return len(texts) == count

        await self.until(there, f"{count} found", instead=lambda: texts)
        return texts


@pytest.fixture
async def world(rialto: StartRialto) -> AsyncIterator[World]:
    made = World(await rialto(bots=("echo",), start=False))
    await made.start()
    yield made
    with suppress(Exception):
        await made.rialto.stop()


async def reads(human: Human, room_id: str, event_id: str) -> None:
    """Send a read receipt."""
    path = f"/_matrix/client/v3/rooms/{quote(room_id)}/receipt/m.read/{quote(event_id)}"
    await human.request("POST", path, body={})


async def joined(human: Human, chat: Chat) -> None:
    assert await human.expect_invite() == chat.room_id
    await human.join(chat.room_id)


async def test_an_encrypted_group_is_numbered_and_its_messages_arrive(world: World, alice: Human, bob: Human) -> None:
    actor = Actor.person(alice.id)
    chat = await world.messenger.chats.create(actor, Kind.GROUP, name="Tea", members=[bob.id], key="1")
    for human in (alice, bob):
        await joined(human, chat)
    await alice.until(lambda: alice.rooms[chat.room_id].encrypted, what="encryption")
    heard = bob.expect(chat.room_id, sender=alice.id)
    said = await alice.say(chat.room_id, "a secret")
    await heard
    await world.state(chat, said, State.SENT)
    await world.messenger.delivery.acknowledge(bob.id, chat, said)
    await world.state(chat, said, State.DELIVERED)
    await reads(bob, chat.room_id, said)
    await world.state(chat, said, State.READ)

    # While it is down, somebody writes and somebody reads: both are known afterwards.
    await world.rialto.stop()
    heard = bob.expect(chat.room_id, sender=alice.id)
    missed = await alice.say(chat.room_id, "another")
    await heard
    await reads(bob, chat.room_id, missed)
    await world.start()
    await world.state(chat, missed, State.READ)

    new = await world.messenger.chats.upgrade(actor, chat)
    await joined(alice, new)
    await alice.until(lambda: alice.rooms[new.room_id].encrypted, what="encryption")
    last = await alice.say(new.room_id, "in the new room")
    await world.state(new, last, State.SENT)

    items = (await world.messenger.delivery.changes(SYSTEM, new, limit=200)).items
    assert [each.numbered.seq for each in items] == list(range(1, len(items) + 1))
    assert items[0].numbered.entry.type == "m.room.create"
    numbered = [each.numbered.entry.event_id for each in items]
    for room in (chat, new):
        events = [raw["event_id"] async for raw in world.messenger.steward.timeline(room.room_id)][::-1]
        if room is new:
            assert events == [each for each in numbered if each in set(events)]
        else:
            # What happens in the old room once it is replaced has no number.
            known = [each for each in events if each in set(numbered)]
            assert known == events[: len(known)]
            assert {said, missed} <= set(known)


async def test_what_is_said_in_public_is_found_until_it_is_taken_back(world: World, alice: Human, bob: Human) -> None:
    actor = Actor.person(alice.id)
    chat = await world.messenger.chats.create(actor, Kind.CHANNEL, name="News", public=True, key="1")
    await joined(alice, chat)
    said = await alice.say(chat.room_id, "Crème brûlée at noon")
    assert await world.found(bob, "CREME noon", 1, chat) == ["Crème brûlée at noon"]
    await alice.edit(chat.room_id, said, "Tiramisu at noon")
    assert await world.found(bob, "tiramisu", 1, chat) == ["Tiramisu at noon"]
    assert await world.found(bob, "brulee", 0, chat) == []
    await alice.redact(chat.room_id, said)
    assert await world.found(bob, "noon", 0, chat) == []


async def test_a_chat_with_a_service_is_found_by_its_person_and_stands_nowhere(world: World, alice: Human) -> None:
    bot = world.process.bot("echo")
    room_id = await world.rialto.messenger.ground.chats.direct(alice.id, bot, "Echo")
    chat = world.messenger.registry.get(room_id)
    assert chat is not None
    await joined(alice, chat)
    await alice.until(lambda: alice.rooms[room_id].encrypted, what="encryption")
    await world.messenger.search.allow(alice.id, chat)
    said = await alice.say(room_id, "saffronpassword is my secret")
    # One's own words, and the service's answer.
    texts = await world.found(alice, "saffronpassword", 2)
    assert all("saffronpassword" in text for text in texts)
    await world.state(chat, said, State.DELIVERED)
    assert b"saffron" not in world.process.everything_written()
    await alice.redact(room_id, said)
    # The echo takes its answer back together with what it answers.
    assert await world.found(alice, "saffronpassword", 0) == []
    await alice.say(room_id, "saffronpassword again")
    await world.found(alice, "saffronpassword", 2)
    await world.messenger.search.disallow(alice.id, chat)
    assert await world.found(alice, "saffronpassword", 0) == []
