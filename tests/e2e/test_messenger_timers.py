"""Message timers and retention on a real homeserver, in encrypted chats, through kills and downtime.

RIALTO_DOWNTIME says how many seconds Rialto is away in the tests of that; a few unless told.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from typing import Any
from urllib.parse import quote

import pytest

from appservice.config.loader import load_config
from appservice.main import build
from bridge.actor import SYSTEM, Actor
from bridge.domain.kinds import Kind
from bridge.domain.timers import TIMER
from bridge.messenger import Messenger
from bridge.store import timers as store
from bridge.store.chats import Chat
from tests.support.fixtures import StartRialto
from tests.support.human import ClientError, Expectation, Human, Seen
from tests.support.servers import RialtoProcess

DOWNTIME_S = float(os.environ.get("RIALTO_DOWNTIME", "6"))
SECONDS = 5
REDACTION = "m.room.redaction"
pytestmark = pytest.mark.timeout(240 + DOWNTIME_S)
ROOMS = "/_matrix/client/v3/rooms"


@asynccontextmanager
async def inside(process: RialtoProcess) -> AsyncIterator[Messenger]:
    """The messenger in the test's own process, so that its services can be called; stopped at the end."""
    rialto = build(load_config(process.config_path))
    await rialto.start()
    try:
        yield rialto.messenger
    finally:
        await rialto.stop()


async def until(condition: Callable[[], Awaitable[object]], what: str, timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while not await condition():
        assert time.monotonic() < deadline, f"did not happen in {timeout:g} s: {what}"
        await asyncio.sleep(0.2)


async def come_together(messenger: Messenger, kind: Kind, *humans: Human, public: bool = False) -> Chat:
    """A chat that all of them are in, and whose encryption their clients know."""
    first = Actor.person(humans[0].id)
    name = "" if kind is Kind.DIRECT else "Tea"
    members = [human.id for human in humans[1:]]
    chat = await messenger.chats.create(first, kind, name=name, members=members, public=public, key="1")
    for human in humans:
        assert await human.expect_invite() == chat.room_id
        await human.join(chat.room_id)
    for human in humans:
        await knows(human, chat, len(humans) + 1)
    return chat


async def knows(human: Human, chat: Chat, members: int) -> None:
    """Wait until a client knows who is there, and that it is to encrypt."""
    if chat.encrypted:
        await human.until(lambda: human.rooms[chat.room_id].encrypted, what="encryption")
        await human.until(lambda: len(human.rooms[chat.room_id].users) >= members, what="the others")


async def event(human: Human, room_id: str, event_id: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = await human.request("GET", f"{ROOMS}/{quote(room_id)}/event/{quote(event_id)}")
    return found


async def timeline(human: Human, room_id: str) -> list[Mapping[str, Any]]:
    """A room as somebody sees it, the oldest first."""
    answer = await human.request("GET", f"{ROOMS}/{quote(room_id)}/messages?dir=b&limit=1000")
    return list(reversed(answer["chunk"]))


def redacted(events: list[Mapping[str, Any]]) -> list[str]:
    """What was redacted, in order, each as often as it was."""
    return [raw.get("redacts") or raw["content"].get("redacts") for raw in events if raw["type"] == REDACTION]


async def reads(human: Human, room_id: str, event_id: str) -> None:
    path = f"{ROOMS}/{quote(room_id)}/receipt/m.read/{quote(event_id)}"
    await human.request("POST", path, body={})


def disappears(human: Human, room_id: str, event_id: str) -> Expectation:
    """Listens for the redaction of a message."""

    def its(seen: Seen) -> bool:
        return event_id in {seen.redacts, seen.content.get("redacts")}

    return human.expect(room_id, type=REDACTION, predicate=its, timeout=SECONDS + 20)


async def test_five_seconds_in_an_encrypted_chat(rialto: StartRialto, alice: Human, bob: Human) -> None:
    process = await rialto(bots=("hub",), start=False)
    async with inside(process) as messenger:
        chat = await come_together(messenger, Kind.DIRECT, alice, bob)
        room_id = chat.room_id
        before = await alice.say(room_id, "before the timer")
        told = alice.expect(room_id, contains="disappear 5 seconds after they were sent")
        await messenger.timers.set(Actor.person(bob.id), chat, SECONDS)
        await told
        assert (await alice.state(room_id, TIMER) or {})["seconds"] == SECONDS

        heard = bob.expect(room_id, sender=alice.id)
        said = await alice.say(room_id, "a secret of five seconds")
        begun = time.time()
        gone = [disappears(human, room_id, said) for human in (alice, bob)]
        assert (await heard).body == "a secret of five seconds"
        sealed = await event(bob, room_id, said)
        assert sealed["type"] == "m.room.encrypted" and sealed["content"]["ciphertext"]
        for each in gone:
            await each
        assert time.time() - sealed["origin_server_ts"] / 1000 >= SECONDS
        assert time.time() - begun < SECONDS + 10
        for human in (alice, bob):
            assert (await event(human, room_id, said))["content"] == {}
            assert (await event(human, room_id, before))["content"] != {}
        assert redacted(await timeline(bob, room_id)) == [said]

        # A message that carries its own, in a chat whose timer is off again.
        await messenger.timers.set(Actor.person(alice.id), chat, None)
        stays = await alice.say(room_id, "stays")
        own = await send_sealed(alice, room_id, "goes", {TIMER: {"seconds": SECONDS}})
        await disappears(bob, room_id, own)
        assert (await event(bob, room_id, stays))["content"] != {}


async def send_sealed(human: Human, room_id: str, text: str, clear: Mapping[str, Any]) -> str:
    """Say something encrypted, with fields outside of what is encrypted, as Rialto's own clients do."""
    content = {"msgtype": "m.text", "body": text}
    kind, sealed = human.nio.encrypt(room_id, "m.room.message", content)
    assert kind == "m.room.encrypted"
    path = f"{ROOMS}/{quote(room_id)}/send/{kind}/own{time.monotonic_ns()}"
    answer = await human.request("PUT", path, body={**sealed, **clear})
    return str(answer["event_id"])


async def test_from_reading_though_rialto_was_away(rialto: StartRialto, alice: Human, bob: Human) -> None:
    process = await rialto(bots=("hub",), start=False)
    async with inside(process) as messenger:
        chat = await come_together(messenger, Kind.DIRECT, alice, bob)
        room_id = chat.room_id
        told = alice.expect(room_id, contains="after they were first read")
        await messenger.timers.set(Actor.person(alice.id), chat, SECONDS, "read")
        await told
        first = await alice.say(room_id, "one")
        await disappears(bob, room_id, first).never(SECONDS + 2)
        gone = disappears(bob, room_id, first)
        await reads(bob, room_id, first)
        await gone
    process.child.start()
    await process.wait_ready()
    second = await alice.say(room_id, "two")
    third = await bob.say(room_id, "three")  # so that it has read "two", whoever asks later

    async def known() -> bool:
        return second in redacted(await timeline(bob, room_id))

    await until(known, "who answers has read")
    fourth = await alice.say(room_id, "four")

    async def noted() -> bool:
        with closing(sqlite3.connect(process.folder / "rialto.db", timeout=20)) as connection:
            return bool(connection.execute("SELECT 1 FROM timed_messages WHERE event_id=?", (fourth,)).fetchall())

    await until(noted, "the service to know of the last message")
    process.kill()
    await reads(bob, room_id, fourth)
    await asyncio.sleep(DOWNTIME_S)
    await process.start()

    async def gone_too() -> bool:
        return {third, fourth} <= set(redacted(await timeline(bob, room_id)))

    await until(gone_too, "a reading while nobody was there", timeout=90)
    order = redacted(await timeline(bob, room_id))
    assert sorted(order) == sorted([first, second, third, fourth])


async def test_killed_while_it_removes(rialto: StartRialto, alice: Human, bob: Human) -> None:
    """Due messages, a kill in the midst of them, messages meanwhile, a downtime: each goes once, in order."""
    overrides = {"messenger": {"timers": {"per_second": 4}}}
    process = await rialto(bots=("hub",), start=False, overrides=overrides)
    async with inside(process) as messenger:
        chat = await come_together(messenger, Kind.GROUP, alice, bob)
        room_id = chat.room_id
        told = alice.expect(room_id, contains="disappear")
        await messenger.timers.set(Actor.person(alice.id), chat, SECONDS)
        await told
    await process.start()
    messages = [await alice.say(room_id, f"message {number}") for number in range(20)]

    async def some() -> bool:
        return len(redacted(await timeline(bob, room_id))) >= 5

    await until(some, "it has begun")
    process.kill()
    before = len(redacted(await timeline(bob, room_id)))
    assert 5 <= before < len(messages)
    messages += [await bob.say(room_id, f"meanwhile {number}") for number in range(5)]
    await asyncio.sleep(DOWNTIME_S)
    await process.start()

    async def all_of_them() -> bool:
        return set(messages) <= set(redacted(await timeline(bob, room_id)))

    await until(all_of_them, "all are gone", timeout=60)
    assert redacted(await timeline(bob, room_id)) == messages
    process.kill()
    await process.start()
    await asyncio.sleep(3)
    assert redacted(await timeline(bob, room_id)) == messages  # once, whatever is started how often


async def test_files_retention_and_holds(rialto: StartRialto, alice: Human, bob: Human) -> None:
    process = await rialto(bots=("hub",), start=False)
    async with inside(process) as messenger:
        chat = await come_together(messenger, Kind.CHANNEL, alice, bob, public=True)
        room_id, owner = chat.room_id, Actor.person(alice.id)
        bobs = await bob.upload(b"bob's", "text/plain")
        await messenger.timers.set(owner, chat, SECONDS)
        posted = await alice.send_image(room_id, b"\x89PNG a picture")
        picture = (await event(alice, room_id, posted))["content"]["url"]
        theirs = await alice.send(room_id, "m.room.message", {"msgtype": "m.file", "body": "x", "url": bobs})
        assert await bob.download_mxc(picture) == b"\x89PNG a picture"

        async def file_gone() -> bool:
            try:
                await bob.download_mxc(picture)
            except ClientError:
                return True
            return False

        async def both_gone() -> bool:
            return {posted, theirs} <= set(redacted(await timeline(bob, room_id)))

        async def no_more_files() -> bool:
            return await messenger.ground.database.read(store.next_file) is None

        await until(file_gone, "the file went with its message")
        await until(both_gone, "both messages are gone")
        await until(no_more_files, "every file was looked at")
        assert await bob.download_mxc(bobs) == b"bob's"  # nobody removes the files of others

        # Held: neither a timer nor its author removes it.
        await messenger.retention.hold(SYSTEM, chat, "Case 17")
        held = await alice.say(room_id, "evidence")
        with pytest.raises(ClientError):
            await alice.redact(room_id, held)
        await disappears(bob, room_id, held).never(SECONDS + 3)
        gone = disappears(bob, room_id, held)
        await messenger.retention.release(SYSTEM, chat)
        await gone
        assert (await event(bob, room_id, held))["content"] == {}

        # Retention goes through what is older than the day that it is told; here nothing is yet.
        await messenger.timers.set(owner, chat, None)
        young = await alice.say(room_id, "young")
        await messenger.retention.set_policy(owner, chat=chat, days=1)
        before = len(redacted(await timeline(bob, room_id)))
        await asyncio.sleep(3)
        assert len(redacted(await timeline(bob, room_id))) == before
        assert (await event(bob, room_id, young))["content"] != {}
