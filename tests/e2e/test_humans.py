"""The test client itself: two people of a real Synapse talk, encrypted and not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.human import Human
from tests.support.servers import Server

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8


async def together(alice: Human, bob: Human, *, encrypted: bool) -> str:
    """A room with both in it."""
    room = await alice.create_room("together", encrypted=encrypted)
    joined = alice.expect_member(room, bob.id)
    await alice.invite(room, bob.id)
    assert await bob.expect_invite(alice.id) == room
    await bob.join(room)
    await joined
    return room


@pytest.mark.parametrize("encrypted", [False, True])
async def test_text_goes_both_ways(alice: Human, bob: Human, encrypted: bool) -> None:
    room = await together(alice, bob, encrypted=encrypted)
    heard = bob.expect(room, sender=alice.id)
    await alice.say(room, "hello")
    seen = await heard
    assert (seen.body, seen.encrypted) == ("hello", encrypted)
    answer = await alice_hears(alice, bob, room, "hi there")
    assert answer == "hi there"


async def alice_hears(alice: Human, bob: Human, room: str, text: str) -> str:
    """What alice reads when bob says ``text``."""
    heard = alice.expect(room, sender=bob.id)
    await bob.say(room, text)
    return (await heard).body


async def test_edits_reactions_and_redactions_arrive(alice: Human, bob: Human) -> None:
    room = await together(alice, bob, encrypted=True)
    heard = bob.expect(room, body="frist")
    event = await alice.say(room, "frist")
    await heard
    edited = bob.expect(room, body="first")
    await alice.edit(room, event, "first")
    assert (await edited).replaces == event
    reacted = bob.expect(room, type="m.reaction")
    await alice.react(room, event, "👍")
    assert (await reacted).relation["key"] == "👍"
    redacted = bob.expect(room, type="m.room.redaction")
    await alice.redact(room, event)
    assert (await redacted).redacts == event


@pytest.mark.parametrize("encrypted", [False, True])
async def test_images_arrive_whole(alice: Human, bob: Human, synapse: Server, encrypted: bool) -> None:
    room = await together(alice, bob, encrypted=encrypted)
    heard = bob.expect(room, predicate=lambda seen: seen.msgtype == "m.image")
    await alice.send_image(room, PNG, "dot.png")
    seen = await heard
    assert ("file" in seen.content) == encrypted
    assert await bob.download(seen.content) == PNG


async def test_a_second_device_reads_what_comes_after_it(alice: Human, bob: Human, tmp_path: Path) -> None:
    room = await together(alice, bob, encrypted=True)
    assert await alice_hears(alice, bob, room, "before") == "before"
    phone = await alice.second_device(tmp_path / "phone")
    try:
        assert phone.device_id != alice.device_id
        on_phone = phone.expect(room, sender=bob.id, body="after")
        await bob.until(lambda: bob.knows_device(alice.id, phone.device_id), what="the phone's keys")
        assert await alice_hears(alice, bob, room, "after") == "after"
        await on_phone
    finally:
        await phone.close()


async def test_an_expectation_that_fails_says_what_came(alice: Human, bob: Human) -> None:
    room = await together(alice, bob, encrypted=True)
    heard = bob.expect(room, body="something else", timeout=1)
    came = bob.expect(room, body="hello")
    await alice.say(room, "hello")
    await came
    with pytest.raises(AssertionError, match="'hello'"):
        await heard
