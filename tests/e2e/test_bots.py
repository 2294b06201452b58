"""Conversations with the hub and the echo bot on a real Synapse, each person with matrix-nio."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from PIL import Image

from tests.support.fixtures import NewHuman, StartRialto
from tests.support.human import Human, Seen
from tests.support.servers import RialtoProcess, Server

SECRET = "the-secret-sits-under-the-third-arch"


@pytest.fixture
async def service(rialto: StartRialto) -> AsyncIterator[RialtoProcess]:
    """Rialto with the hub and the echo bot, on SQLite."""
    yield await rialto(("hub", "echo"))


def picture() -> bytes:
    """A small PNG that no other test makes."""
    image = Image.effect_noise((64, 48), 80)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


async def rooms_of(service: RialtoProcess, bot: str) -> list[str]:
    """The rooms that a bot is joined to, as the homeserver says."""
    url = f"{service.server.url}/_matrix/client/v3/joined_rooms"
    headers = {"Authorization": f"Bearer {service.slot.as_token}"}
    async with aiohttp.ClientSession() as session, session.get(url, params={"user_id": bot}, headers=headers) as answer:
        rooms: list[str] = (await answer.json())["joined_rooms"]
        return rooms


def record(human: Human, room: str, sender: str) -> list[Seen]:
    """Every message of ``sender`` from now on, in the order in which ``human`` sees them."""
    heard: list[Seen] = []

    def listen(seen: Seen) -> None:
        if seen.room_id == room and seen.sender == sender and seen.type == "m.room.message":
            heard.append(seen)

    human.listeners.append(listen)
    return heard


async def session_of(human: Human, room: str, seen: Seen) -> str:
    """The Megolm session that an event is encrypted with."""
    place = f"/_matrix/client/v3/rooms/{quote(room)}/event/{quote(seen.event_id)}"
    raw = await human.request("GET", place)
    assert raw["type"] == "m.room.encrypted"
    return str(raw["content"]["session_id"])


def sessions(human: Human, room: str) -> set[str]:
    """The Megolm sessions of a room that a person's device holds."""
    return {session.id for session in human.nio.olm.inbound_group_store if session.room_id == room}


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
async def test_echo_answers_in_order(service: RialtoProcess, alice: Human, encrypted: bool) -> None:
    echo = service.bot("echo")
    room = await alice.chat_with(echo, encrypted=encrypted)
    words = [f"word {number}" for number in range(12)]
    heard = record(alice, room, echo)
    last = alice.expect(room, sender=echo, body=words[-1])
    for word in words:
        await alice.say(room, word)
    await last
    assert [seen.body for seen in heard] == words
    assert all(seen.encrypted is encrypted for seen in heard)


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
async def test_echo_returns_the_same_image(service: RialtoProcess, alice: Human, encrypted: bool) -> None:
    echo = service.bot("echo")
    room = await alice.chat_with(echo, encrypted=encrypted)
    data = picture()
    reply = alice.expect(room, sender=echo)
    sent = await alice.send_image(room, data)
    seen = await reply
    assert seen.msgtype == "m.image"
    assert ("file" in seen.content) is encrypted
    assert await alice.download(seen.content) == data
    assert sent not in str(seen.content), "the echo has media of its own"


async def test_edits_and_redactions_are_followed(service: RialtoProcess, alice: Human) -> None:
    echo = service.bot("echo")
    room = await alice.chat_with(echo)
    reply = alice.expect(room, sender=echo)
    event_id = await alice.say(room, "frist")
    answer = await reply
    edited = alice.expect(room, sender=echo, predicate=lambda seen: seen.replaces is not None)
    await alice.edit(room, event_id, "first")
    change = await edited
    assert change.replaces == answer.event_id
    assert change.content["m.new_content"]["body"] == "first"
    gone = alice.expect(room, sender=echo, type="m.room.redaction")
    await alice.redact(room, event_id)
    redaction = await gone
    assert answer.event_id in str(redaction.content) or answer.event_id == getattr(redaction, "redacts", None)


async def test_nothing_readable_of_an_encrypted_chat_is_stored(
    service: RialtoProcess, synapse: Server, alice: Human
) -> None:
    echo = service.bot("echo")
    room = await alice.chat_with(echo)
    assert (await alice.ask(room, SECRET, of=echo)).body == SECRET
    plain_room = await alice.chat_with(echo, encrypted=False)
    control = hashlib.sha256(room.encode()).hexdigest()
    assert (await alice.ask(plain_room, control, of=echo)).body == control
    assert await service.stop() == 0
    assert control.encode() in synapse.everything_written(), "the search finds what is stored in the clear"
    assert SECRET.encode() not in synapse.everything_written()
    assert SECRET.encode() not in service.everything_written()
    assert control.encode() not in b"".join(path.read_bytes() for path in service.folder.glob("*.log")), (
        "logs hold no message"
    )


async def test_two_bots_in_one_encrypted_room(service: RialtoProcess, alice: Human) -> None:
    echo, hub = service.bot("echo"), service.bot("hub")
    room = await alice.chat_with(echo)
    greeting = alice.expect(room, sender=hub, contains="Rialto")
    await alice.invite(room, hub)
    assert (await greeting).encrypted
    both = alice.expect(room, sender=hub, contains="help"), alice.expect(room, sender=echo, body="help")
    await alice.say(room, "help")
    for expectation in both:
        await expectation


async def test_a_second_device_reads_on(service: RialtoProcess, alice: Human, tmp_path: Path) -> None:
    echo = service.bot("echo")
    room = await alice.chat_with(echo)
    assert (await alice.ask(room, "before", of=echo)).body == "before"
    other = await alice.second_device(tmp_path / "second")
    try:
        reply = other.expect(room, sender=echo, body="from the second device")
        await other.say(room, "from the second device")
        assert (await reply).encrypted
        reply = other.expect(room, sender=echo, body="from the first")
        await alice.say(room, "from the first")
        await reply
    finally:
        await other.close()


async def test_who_leaves_cannot_read_on(service: RialtoProcess, alice: Human, bob: Human) -> None:
    echo = service.bot("echo")
    room = await alice.chat_with(echo)
    await alice.invite(room, bob.id)
    joined = alice.expect_member(room, bob.id)
    await bob.join(room)
    await joined
    reply = bob.expect(room, sender=echo, body="with bob")
    await alice.say(room, "with bob")
    shared = await session_of(alice, room, await reply)
    assert shared in sessions(bob, room)
    left = alice.expect_member(room, bob.id, "leave")
    await bob.leave(room)
    await left
    answer = await alice.ask(room, "without bob", of=echo)
    session = await session_of(alice, room, answer)
    assert session != shared
    assert session in sessions(alice, room)
    assert session not in sessions(bob, room)


async def test_the_hub_greets_lists_and_opens(service: RialtoProcess, alice: Human) -> None:
    hub, echo = service.bot("hub"), service.bot("echo")
    room = await alice.create_room(None, encrypted=True, direct=True)
    greeting = alice.expect(room, sender=hub, contains="1. Echo")
    await alice.invite(room, hub)
    assert (await greeting).encrypted
    assert "open" in (await alice.ask(room, "help", of=hub)).body
    assert "1. Echo" in (await alice.ask(room, "services", of=hub)).body
    assert "Did you mean “!services”" in (await alice.ask(room, "!servces", of=hub)).body
    assert "no “7”" in (await alice.ask(room, "open 7", of=hub)).body

    said = await alice.ask(room, "open 1", of=hub)
    chat = await alice.expect_invite(echo)
    assert chat in said.body
    await alice.join(chat)
    assert (await alice.ask(chat, "here we are", of=echo)).encrypted
    again = await alice.ask(room, "1", of=hub)
    assert chat in again.body, "one chat for one service, however often it is opened"

    space = await alice.expect_invite()
    await alice.join(space)
    created = await alice.state(space, "m.room.create")
    assert created is not None
    assert created["type"] == "m.space"
    assert await alice.state(space, "m.space.child", chat)
    assert space in (await alice.ask(room, "space", of=hub)).body


async def test_a_bot_leaves_when_it_is_alone(service: RialtoProcess, alice: Human, bob: Human) -> None:
    echo = service.bot("echo")
    room = await alice.chat_with(echo, encrypted=False)
    await alice.invite(room, bob.id)
    await bob.join(room)
    gone = bob.expect_member(room, alice.id, "leave")
    await alice.leave(room)
    await gone
    assert (await bob.ask(room, "still there?", of=echo)).body == "still there?"
    assert room in await rooms_of(service, echo)
    await bob.leave(room)
    async with asyncio.timeout(20):
        while room in await rooms_of(service, echo):
            await asyncio.sleep(0.05)


async def test_postgresql_keeps_a_conversation_through_kills(rialto: StartRialto, alice: Human) -> None:
    service = await rialto(("echo",), database="postgresql")
    echo = service.bot("echo")
    room = await alice.chat_with(echo)
    heard = record(alice, room, echo)
    words = [f"word {number}" for number in range(6)]
    for number, word in enumerate(words):
        reply = alice.expect(room, sender=echo, body=word, timeout=40)
        await alice.say(room, word)
        if number % 2:
            await service.restart(kill=True)
        assert (await reply).encrypted
    assert [seen.body for seen in heard] == words


async def test_greets_once_even_when_killed(rialto: StartRialto, new_human: NewHuman) -> None:
    service = await rialto(("hub",))
    alice = await new_human("alice")
    hub = service.bot("hub")
    room = await alice.create_room(None, encrypted=True, direct=True)
    heard = record(alice, room, hub)
    greeted = alice.expect(room, sender=hub, contains="Hello")
    await alice.invite(room, hub)
    await greeted
    await service.restart(kill=True)
    assert "No services" in (await alice.ask(room, "services", of=hub)).body
    assert [seen.body.startswith("Hello") for seen in heard] == [True, False]
