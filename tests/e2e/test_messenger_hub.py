"""Chats managed by talking with ``@rialto`` in an encrypted chat, on a real homeserver."""

from __future__ import annotations

import asyncio
import io
import re
import time
import zipfile
from urllib.parse import quote

import pytest

from appservice.terminal.client import ClientError
from tests.support.fixtures import NewHuman, StartRialto
from tests.support.human import Human

pytestmark = pytest.mark.timeout(240)
CONTENT = "chat.rialto.timer"


async def joined(human: Human) -> str:
    """Take the invitation that waits."""
    room_id = await human.expect_invite()
    await human.join(room_id)
    await human.until(lambda: room_id in human.rooms, what="the chat")
    return room_id


async def gone_for(human: Human, room_id: str) -> None:
    """Wait until somebody is not in a room any more, whichever way they went."""
    deadline = time.monotonic() + 30
    while True:
        rooms = (await human.request("GET", "/_matrix/client/v3/joined_rooms"))["joined_rooms"]
        if room_id not in rooms:
            return
        assert time.monotonic() < deadline, "they are still in it"
        await asyncio.sleep(0.2)


def unzipped(data: bytes) -> list[bytes]:
    """The files in an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [archive.read(name) for name in archive.namelist()]


async def test_a_group_from_its_beginning_to_a_report(rialto: StartRialto, alice: Human, bob: Human) -> None:
    process = await rialto(bots=("hub",))
    hub = process.bot("hub")
    own, bobs = await alice.chat_with(hub), await bob.chat_with(hub)

    async def ask(text: str, contains: str = "") -> str:
        heard = alice.expect(own, sender=hub, contains=contains)
        await alice.say(own, text)
        return (await heard).body

    # Made by a dialog.
    await ask("new group", "called")
    await ask("Tea", "Whom shall I invite?")
    await ask("nobody", "“Tea” is ready, an encrypted group")
    tea = await joined(alice)
    await alice.until(lambda: alice.rooms[tea].encrypted, what="encryption")

    # Bob comes by a link, after a kill in between.
    picture = alice.expect(own, sender=hub, predicate=lambda seen: seen.msgtype == "m.image")
    said = await ask("invite link 1 day 5 uses", "Or they write to me: join ")
    assert (await alice.download((await picture).content)).startswith(b"\x89PNG")
    code = re.search(r"join ([0-9a-z]{24})", said)
    assert code is not None
    await process.restart(kill=True)
    heard = bob.expect(bobs, sender=hub, contains="You are invited to “Tea”", timeout=40)
    await bob.say(bobs, f"join {code[1]}")
    await heard
    assert await joined(bob) == tea

    # A timer, which the room's state says.
    await ask("timer #Tea 1 hour after reading", "1 hour after the first reading")
    assert (await bob.state(tea, CONTENT) or {}).get("seconds") == 3_600

    # Roles; and what somebody may not do they are told.
    await ask(f"promote {bob.id} to admin", f"{bob.id} is now: admin")
    levels = await alice.state(tea, "m.room.power_levels") or {}
    assert levels["users"][bob.id] == 75
    assert "has 2 members" in await ask("members")
    heard = bob.expect(bobs, sender=hub, contains="Only who is owner")
    await bob.say(bobs, "retention 30 days")
    await heard

    # What happens to Bob he hears in his own chat.
    told = bob.expect(bobs, sender=hub, contains="You cannot write in “Tea” until")
    await ask(f"mute {bob.id} 1 hour", "cannot write in “Tea”")
    await told
    with pytest.raises(ClientError):
        await bob.say(tea, "hello?")
    await ask(f"unmute {bob.id}", "can write in “Tea” again")

    # A flag is a report, and nobody in the chat sees who made it.
    insult = await bob.say(tea, "an insult")
    question = alice.expect(own, sender=hub, contains="You report a message. Why?")
    gone = bob.expect(tea, type="m.room.redaction")
    await alice.react(tea, insult, "🚩")
    await question
    await gone
    await ask("Insults or harassment", "Paste here")
    await ask("no", "Thank you")

    # Bob's language is his own.
    heard = bob.expect(bobs, sender=hub)
    await bob.say(bobs, "language de")
    await heard
    told = bob.expect(bobs, sender=hub, contains="Sie wurden aus „Tea“ entfernt.")
    await ask(f"kick {bob.id}", "Remove")
    await ask("yes", "is out of “Tea”")
    await told

    await ask("delete chat #Tea", "write its name")
    await ask("Tea", "“Tea” is deleted.")
    await gone_for(alice, tea)
    assert b"an insult" not in process.everything_written()


async def test_an_old_room_is_adopted_and_the_hub_goes(rialto: StartRialto, alice: Human, bob: Human) -> None:
    process = await rialto(bots=("hub",))
    hub = process.bot("hub")
    own = await alice.chat_with(hub)
    old = await alice.create_room("Old room", encrypted=True)
    await alice.invite(old, bob.id)
    assert await joined(bob) == old
    first = await alice.say(old, "it was always so")
    levels = await alice.state(old, "m.room.power_levels") or {}
    levels["users"][hub] = 100
    await alice.request("PUT", f"/_matrix/client/v3/rooms/{quote(old)}/state/m.room.power_levels/", body=levels)

    question = alice.expect(old, sender=hub, contains="Shall I stay here")
    await alice.invite(old, hub)
    assert "“Old room” is one of Rialto's chats now" in (await question).body
    gone = alice.expect_member(old, hub, "leave")
    await alice.say(old, "no")
    await gone
    levels = await alice.state(old, "m.room.power_levels") or {}
    assert levels["users"].get(hub, 0) == 0
    reply = await alice.ask(own, "chats", of=hub)
    assert "1. Old room – group" in reply.body
    reply = await alice.ask(own, "rename #1 New room", of=hub)
    assert "is called “New room” now" in reply.body
    assert (await bob.state(old, "m.room.name")) == {"name": "New room"}
    event = await bob.request("GET", f"/_matrix/client/v3/rooms/{quote(old)}/event/{quote(first)}")
    assert "redacted_because" not in event.get("unsigned", {})


async def test_two_people_a_stranger_and_ones_own_data(
    rialto: StartRialto, alice: Human, bob: Human, new_human: NewHuman
) -> None:
    process = await rialto(bots=("hub",))
    hub = process.bot("hub")
    own = await alice.chat_with(hub)
    heard = alice.expect(own, sender=hub, contains=f"The chat with {bob.id} is ready")
    await alice.say(own, f"new chat {bob.id}")
    await heard
    room = await joined(alice)
    assert await joined(bob) == room
    stranger = await new_human("stranger")
    theirs = await stranger.chat_with(hub)
    heard = stranger.expect(theirs, sender=hub, contains="I find no such chat of yours")
    await stranger.say(theirs, f"pin https://matrix.to/#/{room}/$x")
    await heard

    # All that is held about somebody comes as a file, encrypted like everything in this chat.
    file = alice.expect(own, sender=hub, predicate=lambda seen: seen.msgtype == "m.file")
    await alice.say(own, "export my data")
    data = await alice.download((await file).content)
    assert any(bob.id.encode() in archive for archive in unzipped(data))
