"""What a handler may do: the content of every effect, where it goes, whom it mentions, and what it leaves undone."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from PIL import Image

from appservice.e2ee.errors import AttachmentError
from bots.framework import Context, Plugin, command, media, message
from bots.framework.testing import Message, Person, World

Act = Callable[[Context], Awaitable[Any]]


class Doer(Plugin):
    """Does what a test says."""

    act: ClassVar[Act]

    @command("do", help="Do it")
    async def do(self, ctx: Context) -> None:
        await Doer.act(ctx)

    @media
    async def file(self, ctx: Context) -> None:
        await Doer.act(ctx)

    @message
    async def other(self, ctx: Context) -> None:
        await Doer.act(ctx)


async def done(act: Act, **how: Any) -> tuple[World, Person, list[Message]]:
    """Have one handler act; what the bot sent then."""
    Doer.act = act
    world = World(Doer)
    alice = world.user("alice")
    room = await world.direct(alice)
    await alice.says("do", **how)
    world.check()
    return world, alice, [each for each in room.timeline if each.sender == world.bot and each.type != "m.room.member"]


def acting(effect: Callable[[Context], Any]) -> Act:
    """A handler made of one effect."""

    async def act(ctx: Context) -> None:
        result = effect(ctx)
        if asyncio.iscoroutine(result):
            await result

    return act


async def test_texts_mention_nobody_and_are_notices_that_no_bot_answers() -> None:
    world, _, (said,) = await done(acting(lambda ctx: ctx.say("@room hello @bob:world")))
    assert said.content == {"msgtype": "m.notice", "body": "@room hello @bob:world", "m.mentions": {}}
    _, _, (nice,) = await done(
        acting(
            lambda ctx: ctx.say("hi", html='<b onclick="x()">hi</b><script>bad()</script><a href="javascript:x">y</a>')
        )
    )
    assert nice.body == "hi"
    assert "<b>hi</b>" in nice.html
    assert not any(word in nice.html for word in ("script", "onclick"))
    _, _, (marked,) = await done(acting(lambda ctx: ctx.markdown("**bold** and _more_")))
    assert "<strong>bold</strong>" in marked.html
    assert "bold" in marked.body
    await world.stop()


async def test_a_reply_an_edit_a_reaction_and_a_redaction() -> None:
    async def act(ctx: Context) -> None:
        first = ctx.say("first", reply=True)
        ctx.edit(first, {"msgtype": "m.notice", "body": "second"})
        ctx.react("👍")
        ctx.redact(ctx.say("gone"), reason="a mistake")

    world, alice, sent = await done(act)
    first, edit, like, gone, redaction = sent
    asked = alice._world.homeserver.events
    cause = next(each for each in asked.values() if each.sender == alice.user_id and each.type == "m.room.message")
    assert first.content["m.relates_to"]["m.in_reply_to"]["event_id"] == cause.event_id
    assert first.body == "second"
    assert edit.content["m.relates_to"] == {"rel_type": "m.replace", "event_id": first.event_id}
    assert edit.content["m.new_content"]["body"] == "second"
    assert like.content["m.relates_to"] == {"rel_type": "m.annotation", "event_id": cause.event_id, "key": "👍"}
    assert gone.redacted
    assert redaction.content["redacts"] == gone.event_id
    await world.stop()


async def test_what_is_said_in_a_thread_is_answered_there_and_elsewhere_is_not() -> None:
    Doer.act = acting(lambda ctx: (ctx.say("here"), ctx.say("there", room_id="!other:world")))
    world = World(Doer)
    alice = world.user("alice")
    other = await world.room("other", alice)
    root = await alice.says("do")
    await alice.hears_all()
    await alice.says("do", thread=root)
    here = (await alice.hears_all())[-1]
    assert here.content["m.relates_to"]["rel_type"] == "m.thread"
    assert here.content["m.relates_to"]["event_id"] == root.event_id
    there = (await alice.hears_all(other))[-1]
    assert "m.relates_to" not in there.content
    world.check()
    await world.stop()


async def test_polls_and_places() -> None:
    async def act(ctx: Context) -> None:
        ctx.poll("Lunch?", ["Soup", "Pizza"], max_selections=2)
        ctx.location(52.5, 13.4, "Office")

    world, _, (poll, place) = await done(act)
    assert poll.type == "org.matrix.msc3381.poll.start"
    asked = poll.content["org.matrix.msc3381.poll.start"]
    assert asked["max_selections"] == 2
    assert [each["org.matrix.msc1767.text"] for each in asked["answers"]] == ["Soup", "Pizza"]
    assert "1. Soup" in str(poll.content.get("org.matrix.msc1767.text", poll.body))
    assert place.content["msgtype"] == "m.location"
    assert place.content["geo_uri"].startswith("geo:52.5,13.4")
    assert "Office" in place.body
    await world.stop()


def picture() -> bytes:
    """A small picture."""
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 120, 40)).save(buffer, "PNG")
    return buffer.getvalue()


async def test_files_and_pictures_go_out_and_come_in() -> None:
    got: list[bytes] = []

    async def act(ctx: Context) -> None:
        if ctx.incoming is not None and ctx.incoming.kind == "media":
            got.append(await ctx.download())
            return
        await ctx.send_image(picture(), "a.png", caption="look")
        await ctx.send_file(b"text", "notes.txt", "text/plain")

    world, alice, (image, file) = await done(act)
    assert (image.content["msgtype"], image.content["filename"], image.body) == ("m.image", "a.png", "look")
    assert (image.content["info"]["w"], image.content["info"]["h"]) == (40, 30)
    assert image.content["info"]["mimetype"] == "image/png"
    assert (file.content["msgtype"], file.body) == ("m.file", "notes.txt")
    assert file.content["info"] == {"mimetype": "text/plain", "size": 4}
    assert (await alice.downloads(image))[:4] == b"\x89PNG"
    assert await alice.downloads(file) == b"text"
    await alice.sends_file(b"from alice", "x.bin")
    assert got == [b"from alice"]
    world.check()
    await world.stop()


async def test_files_are_encrypted_in_encrypted_rooms_as_they_are_in_production() -> None:
    async def act(ctx: Context) -> None:
        await ctx.send_file(b"a secret", "notes.txt", "text/plain")
        ctx.say(f"encrypted: {await ctx.encrypted()}")

    Doer.act = act
    world = World(Doer)
    alice = world.user("alice")
    for room in (await world.room("private", alice), await world.room("public", alice, encrypted=False)):
        await alice.says("do", room=room)
        sent, words = await alice.hears_all(room)
        assert words.body == f"encrypted: {room.encrypted}", "what is said stays readable"
        assert ("file" in sent.content, "url" in sent.content) == (room.encrypted, not room.encrypted)
        assert (b"a secret" in world.homeserver.media.values()) is not room.encrypted
        assert await alice.downloads(sent) == b"a secret"
        with pytest.raises(AssertionError, match="has no media"):
            await alice.downloads(words)
    world.homeserver.media.clear()
    with pytest.raises(AssertionError, match="nothing is stored"):
        await alice.downloads(sent)
    world.check()
    await world.stop()


async def test_a_room_that_a_handler_encrypts_is() -> None:
    async def act(ctx: Context) -> None:
        if not await ctx.encrypted():
            ctx.set_state("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
        await ctx.send_file(b"a secret", "notes.txt", "text/plain")

    Doer.act = act
    world = World(Doer)
    alice = world.user("alice")
    room = await world.room("public", alice, encrypted=False)
    for encrypted in (False, True):
        await alice.says("do", room=room)
        assert ("file" in (await alice.hears(room)).content) is encrypted
    world.check()
    await world.stop()


async def test_a_file_that_is_not_what_the_message_says_is_not_downloaded() -> None:
    world, alice, (sent,) = await done(acting(lambda ctx: ctx.send_file(b"a secret", "notes.txt", "text/plain")))
    world.homeserver.media[sent.content["file"]["url"].rpartition("/")[2]] = b"another"
    with pytest.raises(AttachmentError):
        await alice.downloads(sent)
    await world.stop()


async def test_what_a_failing_handler_did_does_not_happen() -> None:
    tries: list[int] = []

    async def act(ctx: Context) -> None:
        tries.append(len(tries))
        ctx.say(f"attempt {len(tries)}")
        ctx.user_state.add("attempts")
        ctx.later(ctx.now() + timedelta(hours=1), "nothing")
        if len(tries) < 3:
            raise RuntimeError("not yet")
        ctx.say(f"count {await ctx.user_state.count('attempts')}")

    Doer.act = act
    world = World(Doer, attempts=3)
    alice = world.user("alice")
    await alice.says("do")
    assert [each.body for each in await alice.hears_all()] == ["attempt 3", "count 1"]
    await world.stop()


async def test_typing_and_receipts_are_of_no_consequence() -> None:
    async def act(ctx: Context) -> None:
        await ctx.typing()
        await ctx.read()
        await ctx.typing(False)

    world, _, sent = await done(act)
    assert sent == []
    assert [on for _, _, on in world.homeserver.typing] == [True, False]
    assert world.homeserver.receipts[0][0] == world.bot
    await world.stop()


async def test_who_is_there_and_what_they_are_called() -> None:
    seen: list[Any] = []

    async def act(ctx: Context) -> None:
        seen.extend([await ctx.humans(), await ctx.display_name(), await ctx.profile("@nobody:world"), ctx.sender])

    world, alice, _ = await done(act)
    assert seen == [[alice.user_id], "Alice", {}, alice.user_id]
    await world.stop()


@pytest.mark.parametrize("text", ["\ud800 half a character", "a" * 60_000, "\x00\x01", "🤷" * 500, "<b>&amp;</b>"])
async def test_hostile_texts_go_in_and_out(text: str) -> None:
    Doer.act = acting(lambda ctx: ctx.say(ctx.text[:1000]))
    world = World(Doer)
    alice = world.user("alice")
    await alice.says("x" + text)
    assert (await alice.hears()).body.startswith("x")
    world.check()
    await world.stop()
