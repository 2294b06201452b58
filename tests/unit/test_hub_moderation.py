"""Reports in two taps, decisions, appeals; one's own data."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator

import pytest

from bridge.actor import Actor
from bridge.domain.kinds import Kind
from bridge.store.chats import Chat
from tests.support.hub import HubWorld, Talk

ALICE = Actor.person("@alice:world")


@pytest.fixture
async def world() -> AsyncIterator[HubWorld]:
    async with HubWorld(messenger={"moderation": {"moderators": ["@mod:world", "@mod2:world"]}}) as found:
        yield found


@pytest.fixture
async def chat(world: HubWorld) -> Chat:
    """Alice's group with Bob."""
    made = await world.chats.create(ALICE, Kind.GROUP, name="Tea", members=["@bob:world"], key="1")
    for name in ("alice", "bob"):
        await world.person(name).joins(made.room_id)
    await world.settle()
    return made


@pytest.fixture
async def alice(world: HubWorld, chat: Chat) -> Talk:
    return await world.talk(world.person("alice"))


@pytest.fixture
async def mod(world: HubWorld) -> Talk:
    return await world.talk(world.person("mod"))


async def test_a_flag_is_a_report_and_asked_about_in_ones_own_chat(
    world: HubWorld, chat: Chat, alice: Talk, mod: Talk
) -> None:
    bob = await world.talk(world.person("bob"))
    insult = await world.person("bob").says(chat.room_id, "an insult")
    await alice.person.reacts(chat.room_id, insult, "🚩")
    (question,) = alice.hears()
    assert "You report a message. Why?" in question
    assert "Paste here what they shall read" in await alice.says("Insults or harassment")
    assert "Thank you" in await alice.says("You are a teapot!")
    case = (await world.messenger.moderation.queue(Actor.person("@mod:world"))).items[0]
    assert case.subject == "@bob:world"
    assert case.reasons == ("abuse",)
    assert [each.body for each in case.evidence] == ["You are a teapot!"]

    said = await mod.says("reports")
    assert "a message of @bob:world in “Tea”" in said
    assert "Why: Insults or harassment" in said
    assert "It says, by the reporter: You are a teapot!" in said
    assert "For how long?" in await mod.says("Let the person not write for a time")
    assert "A word to the person" in await mod.says("1 day")
    assert "Done: report" in await mod.says("Be kind.")
    assert any("done something about it" in each for each in alice.hears())
    told = "\n".join(bob.hears())
    assert "you do not write in “Tea” for 1 day" in told
    assert "They write: Be kind." in told
    assert "No report waits" in await mod.says("reports")

    # And the appeal, which the other moderator looks at.
    assert "Let the person not write for a time" in await bob.says("appeal")
    assert "Why was it wrong?" in await bob.says("1")
    assert "Another moderator looks at it" in await bob.says("I was quoting.")
    assert "appealed" in await bob.says("appeal")
    await bob.says("None of them")
    other = await world.talk(world.person("mod2"))
    assert "@bob:world writes: I was quoting." in await other.says("appeals")
    await other.says("Undo the decision")
    assert "That is all" in await other.says("no")
    assert any("was granted" in each for each in bob.hears())


async def test_report_as_a_reply_where_the_hub_is(world: HubWorld, chat: Chat, alice: Talk) -> None:
    await alice.says("come")
    await alice.says("yes")
    insult = await world.person("bob").says(chat.room_id, "an insult")
    there = world.talk_in(alice.person, chat.room_id)
    assert await there.says("report", reply_to=insult) == ""
    assert "You report a message. Why?" in "".join(alice.hears())
    await alice.says("Spam or a scam")
    assert "Thank you" in await alice.says("no")
    case = (await world.messenger.moderation.queue(Actor.person("@mod:world"))).items[0]
    assert (case.reasons, case.evidence) == (("spam",), ())


async def test_a_person_is_reported(world: HubWorld, alice: Talk) -> None:
    assert "You report @bob:world. Why?" in await alice.says("report @bob")
    assert "Thank you" in await alice.says("Something else")
    assert "What do you want to report?" in await alice.says("report")
    await alice.says("report @alice")
    assert "That is yourself" in await alice.says("Something else")


async def test_of_an_open_chat_nothing_need_be_shared(world: HubWorld, alice: Talk, mod: Talk) -> None:
    news = await world.chats.create(ALICE, Kind.CHANNEL, name="News", public=True, key="2")
    await alice.person.joins(news.room_id)
    bob = await world.talk(world.person("bob"))
    await world.person("bob").joins(news.room_id)
    post = await alice.person.says(news.room_id, "a lie")
    await bob.says(f"report https://matrix.to/#/{news.room_id}/{post}")
    assert "Thank you" in await bob.says("Something illegal")
    said = await mod.says("reports")
    assert "It says: a lie" in said
    await mod.says("Remove the message")
    assert "Done" in await mod.says("no")
    event = world.room(news.room_id).event(post)
    assert event is not None
    assert event["content"] == {}


async def test_only_moderators_decide(alice: Talk) -> None:
    assert "Only moderators do this" in await alice.says("reports")
    assert "Only moderators do this" in await alice.says("appeals")
    assert "Nothing was decided about you" in await alice.says("appeal")


async def test_moderators_are_told_in_their_room(world: HubWorld, chat: Chat, alice: Talk, mod: Talk) -> None:
    insult = await world.person("bob").says(chat.room_id, "an insult")
    await alice.person.reacts(chat.room_id, insult, "🚩")
    room = world.room_named("Moderation")
    assert any("🚩 Report" in body and "@bob:world" in body for body in room.bodies())


async def test_a_copy_of_ones_data(world: HubWorld, alice: Talk) -> None:
    assert "send it here as a file" in await alice.says("export my data")
    await world.messenger.rights.run_due()
    await world.settle()
    files = [e for e in world.room(alice.room_id).timeline if e["content"].get("msgtype") == "m.file"]
    assert len(files) == 1
    assert "All that is held about you" in files[0]["content"]["body"]
    request = await world.messenger.rights.status("@alice:world")
    assert request is not None
    archive = zipfile.ZipFile(io.BytesIO(await world.messenger.rights.archive("@alice:world", request.id)))
    assert archive.namelist()


async def test_erasing_asks_twice(world: HubWorld, alice: Talk) -> None:
    assert "no way back" in await alice.says("erase my data")
    assert "Nothing was erased" in await alice.says("no")
    await alice.says("erase my data")
    assert "write “erase”" in await alice.says("yes")
    assert "Nothing was erased" in await alice.says("yes")
    await alice.says("erase my data")
    await alice.says("yes")
    assert "Farewell" in await alice.says("erase")
