"""Chaos with a real Synapse and end-to-end encryption: every message is answered once, in order, readable.

The truth is the room's history at the homeserver, decrypted with the person's keys. ``RIALTO_CHAOS_SEED`` repeats a
run; ``RIALTO_OUTAGE_S`` sets for how many seconds the homeserver is away (a minute is what was asked for).
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import nio
import pytest
from nio.exceptions import EncryptionError

from tests.support.fixtures import StartRialto
from tests.support.human import Human
from tests.support.servers import Server

KILLS = 12
OUTAGE_S = float(os.environ.get("RIALTO_OUTAGE_S", "4"))
UNREADABLE = "<unreadable>"


async def history(human: Human, room_id: str) -> list[dict[str, Any]]:
    """All events of a room, oldest first."""
    found: list[dict[str, Any]] = []
    start = ""
    while True:
        path = f"/_matrix/client/v3/rooms/{quote(room_id, safe='')}/messages?dir=f&limit=500{start}"
        answer = await human.request("GET", path)
        found.extend(answer["chunk"])
        if "end" not in answer or not answer["chunk"]:
            return found
        start = f"&from={quote(answer['end'], safe='')}"


def text_of(human: Human, room_id: str, raw: dict[str, Any]) -> str | None:
    """The text of a message, decrypted when need be; None for other events."""
    if raw["type"] == "m.room.encrypted":
        event = nio.Event.parse_encrypted_event(raw)
        event.room_id = room_id
        try:
            raw = human.nio.decrypt_event(event).source
        except EncryptionError:
            return UNREADABLE
    if raw["type"] != "m.room.message" or raw["content"].get("msgtype") not in {"m.text", "m.notice"}:
        return None
    return str(raw["content"]["body"])


async def answers(human: Human, room_id: str, bot: str) -> list[str]:
    """The bot's texts in a room, in the order of the homeserver."""
    texts = [text_of(human, room_id, raw) for raw in await history(human, room_id) if raw["sender"] == bot]
    return [text for text in texts if text is not None]


async def all_answered(human: Human, said: dict[str, list[str]], bot: str, seconds: float) -> None:
    """Wait until every message has an answer that can be read; then each has exactly one, in order."""
    got: dict[str, list[str]] = {}
    try:
        async with asyncio.timeout(seconds):
            while True:
                got = {room_id: await answers(human, room_id, bot) for room_id in said}
                if all(set(said[room_id]) <= set(got[room_id]) for room_id in said):
                    break
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"after {seconds:g} s said {said} but got {got}") from None
    for room_id, texts in said.items():
        assert [text for text in got[room_id] if text in set(texts) or text == UNREADABLE] == texts


async def talk(human: Human, said: dict[str, list[str]], rooms: Sequence[str], count: int) -> None:
    """Say so many numbered things, over the rooms in turn."""
    for _ in range(count):
        total = sum(map(len, said.values()))
        room_id = rooms[total % len(rooms)]
        await human.say(room_id, f"line {total}")
        said[room_id].append(f"line {total}")


@pytest.mark.timeout(300)
async def test_kills_under_encrypted_load(rialto: StartRialto, alice: Human) -> None:
    seed = int(os.environ.get("RIALTO_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
    print(f"RIALTO_CHAOS_SEED={seed}")
    dice = random.Random(seed)
    service = await rialto(["echo"])
    bot = service.bot("echo")
    rooms = [await alice.chat_with(bot, encrypted=number != 0) for number in range(4)]
    said: dict[str, list[str]] = {room_id: [] for room_id in rooms}
    for number in range(KILLS):
        talking = asyncio.create_task(talk(alice, said, rooms, 10))
        try:
            if number % 3 == 2:  # it dies while it starts
                service.kill()
                service.child.start()
                await asyncio.sleep(dice.uniform(0, 2))
            else:
                await asyncio.sleep(dice.uniform(0, 1.2))
            service.kill()
            await service.start()
        finally:
            await talking
    await all_answered(alice, said, bot, 60)


@pytest.mark.timeout(240)
async def test_homeserver_stopped_for_a_while(synapse: Server, rialto: StartRialto, alice: Human) -> None:
    service = await rialto(["echo"])
    bot = service.bot("echo")
    rooms = [await alice.chat_with(bot, encrypted=encrypted) for encrypted in (True, True, False)]
    said: dict[str, list[str]] = {room_id: [] for room_id in rooms}
    await talk(alice, said, rooms, 6)
    await synapse.stop()  # with answers on their way
    try:
        await asyncio.sleep(OUTAGE_S)
    finally:
        await synapse.start()
    await talk(alice, said, rooms, 6)
    await all_answered(alice, said, bot, 90)
    assert service.child.running


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_messages_of_a_downtime_are_decrypted_and_answered(rialto: StartRialto, alice: Human, kill: bool) -> None:
    """Their keys were shared while the service was away, in sessions that it has never seen."""
    service = await rialto(["echo"])
    bot = service.bot("echo")
    rooms = [await alice.chat_with(bot) for _ in range(2)]
    said: dict[str, list[str]] = {room_id: [] for room_id in rooms}
    await talk(alice, said, rooms, 4)
    await all_answered(alice, said, bot, 30)
    if kill:
        service.kill()
    else:
        assert await service.stop() == 0
    for room_id in rooms:
        alice.nio.invalidate_outbound_session(room_id)
    await talk(alice, said, rooms, 6)
    await service.start()
    await all_answered(alice, said, bot, 30)
