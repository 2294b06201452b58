"""The support desk, without a homeserver."""

from __future__ import annotations

import pytest
from support_desk import SupportDesk
from support_desk.cases import Case, relayed, stays_inside

from bots.framework.testing import Message, Person, Room, World

# “the picture” as clients send it into an encrypted room (specification, "Sending encrypted attachments").
CIPHERTEXT = bytes.fromhex("e8afee6f1a90709ead6420")
ENCRYPTED = {
    "v": "v2",
    "url": "mxc://world/encrypted",
    "key": {
        "kty": "oct",
        "key_ops": ["encrypt", "decrypt"],
        "alg": "A256CTR",
        "k": "dK7S-D0-uW2mB1OZP5QLNjHlQ9NvJVGpW8CIncWUXaw",
        "ext": True,
    },
    "iv": "2GjlPBDxC3MAAAAAAAAAAA",
    "hashes": {"sha256": "tLLTnbuTQCspXQJldWJu4UDwOqfZwFvR6NKvcnxkFlE"},
}
SETTINGS = {"room": "#desk:world", "secret": "a secret of the tests"}


class Desk:
    """Alice, who asks, and Dave and Erin, who answer."""

    def __init__(self) -> None:
        self.world = World(SupportDesk, settings=SETTINGS)
        self.alice, self.dave, self.erin = (self.world.user(name) for name in ("alice", "dave", "erin"))

    async def start(self) -> Desk:
        self.world.homeserver.aliases["#desk:world"] = "!staff:world"
        self.staff = await self.world.room("staff", self.dave, self.erin)
        await self.dave.hears_all(self.staff)
        await self.alice_hears()
        return self

    async def alice_hears(self) -> list[str]:
        return [message.body for message in await self.alice.hears_all()]

    async def staff_hears(self) -> list[Message]:
        return await self.dave.hears_all(self.staff)

    async def opens(self, *parts: str) -> Message:
        """Alice opens a case; its first message in the staff room."""
        await self.alice.says(parts[0])
        await self.alice.picks("An order")
        for part in parts[1:]:
            await self.alice.says(part)
        await self.alice.says("done")
        await self.alice_hears()
        return (await self.staff_hears())[0]

    async def answers(self, who: Person, text: str, root: Message) -> Message:
        return await who.says(text, room=self.staff, thread=root)


async def desk() -> Desk:
    return await Desk().start()


def root_of(message: Message) -> str:
    relation = message.content.get("m.relates_to", {})
    return str(relation.get("event_id")) if relation.get("rel_type") == "m.thread" else ""


async def test_from_the_first_word_to_the_end() -> None:
    it = await desk()
    await it.alice.says("My order has not come.")
    await it.alice.picks("An order")
    await it.world.restart()
    await it.alice.sends_photo(name="receipt.png")
    await it.alice.says("It was number 7.")
    assert await it.staff_hears() == [], "not before she is done"
    await it.alice.says("done")
    assert "case #1" in (await it.alice_hears())[-1]
    root, *parts = await it.staff_hears()
    assert root.body == "#1 An order – Alice [open]"
    assert [part.body for part in parts] == ["My order has not come.", "receipt.png", "It was number 7."]
    assert {root_of(part) for part in parts} == {root.event_id}
    assert parts[1].content["url"].startswith("mxc://")
    said = await it.answers(it.dave, "It is on its way.", root)
    assert await it.alice_hears() == ["It is on its way."]
    assert set(said.reactions) == {"📨"}
    await it.alice.says("Thank you!")
    assert [(each.body, root_of(each)) for each in await it.staff_hears()] == [("Thank you!", root.event_id)]
    await it.answers(it.dave, "!close", root)
    assert "closed" in (await it.alice_hears())[0]
    assert (await it.staff_hears())[-1].body == "Closed."
    assert root.body == "#1 An order – Alice [closed]"
    await it.answers(it.dave, "Too late.", root)
    assert (await it.staff_hears())[-1].body == "#1 is closed."
    assert await it.alice_hears() == []
    await it.alice.says("Hello again")
    assert "What is it about?" in (await it.alice_hears())[0]
    it.world.check()


async def test_the_staff_have_no_names() -> None:
    it = await desk()
    root = await it.opens("Help!")
    content = {
        "format": "org.matrix.custom.html",
        "formatted_body": '<a href="https://matrix.to/#/@erin:world">Erin</a>',
        "m.mentions": {"user_ids": ["@erin:world"]},
        "com.example": "@dave:world",
    }
    await it.dave.says("Ask @erin:world", room=it.staff, thread=root, content=content)
    heard = await it.alice.hears()
    assert heard.body == "Ask a colleague"
    for secret in ("dave", "erin"):
        assert secret not in str(heard.content).lower()
    it.world.check()


async def test_several_answer_at_once_and_one_takes_it() -> None:
    it = await desk()
    root = await it.opens("Help!")
    await it.answers(it.dave, "I look.", root)
    await it.answers(it.erin, "Me too.", root)
    assert await it.alice_hears() == ["I look.", "Me too."]
    await it.answers(it.erin, "!assign", root)
    assert root.body == "#1 An order – Alice [for Erin]"
    await it.dave.says("!assign @dave:world case=1", room=it.staff)
    assert root.body == "#1 An order – Alice [for Dave]"
    await it.dave.says("!assign @mallory:world case=1", room=it.staff)
    assert "not in this room" in (await it.staff_hears())[-1].body
    await it.dave.says("!cases", room=it.staff)
    assert (await it.staff_hears())[-1].body == "#1 An order – Alice [for Dave]"
    assert await it.alice_hears() == []
    it.world.check()


async def test_notes_commands_and_talk_stay_inside() -> None:
    it = await desk()
    root = await it.opens("Help!")
    await it.answers(it.dave, "// she is right", root)
    await it.answers(it.dave, "!clsoe", root)
    assert "Did you mean" in (await it.staff_hears())[-1].body
    await it.dave.says("Lunch?", room=it.staff)
    await it.dave.says("Pizza?", room=it.staff, reply_to=await it.erin.says("Yes", room=it.staff))
    assert await it.alice_hears() == []
    await it.alice.says("cases")
    assert await it.alice_hears() == ["That is for the staff."]
    it.world.check()


async def test_a_reply_without_a_thread_goes_to_whom_it_is_for() -> None:
    it = await desk()
    root = await it.opens("Help!")
    bob = it.world.user("bob")
    for text in ("Something of mine", "2", "done"):
        await bob.says(text)
    _, of_bob = await it.staff_hears()
    await bob.hears_all()
    await it.dave.says("to Bob", room=it.staff, reply_to=of_bob)
    await it.erin.says("to Alice", room=it.staff, reply_to=root)
    assert await it.alice_hears() == ["to Alice"]
    assert [message.body for message in await bob.hears_all()] == ["to Bob"]
    it.world.check()


async def test_edits_and_redactions_are_followed_both_ways() -> None:
    it = await desk()
    root = await it.opens("Help!")
    said = await it.answers(it.dave, "Tomorow", root)
    heard = await it.alice.hears()
    await it.dave.edits(said, "Tomorrow, says @erin:world")
    assert heard.body == "Tomorrow, says a colleague"
    await it.dave.edits(said, "// not yet")
    assert heard.redacted
    asked = await it.alice.says("My numbre is 7")
    copy = (await it.staff_hears())[-1]
    await it.world.restart()
    await it.alice.edits(asked, "My number is 7")
    assert copy.body == "My number is 7"
    await it.erin.edits(asked, "I am somebody else")
    assert copy.body == "My number is 7"
    await it.alice.redacts(asked)
    assert copy.redacted
    it.world.check()


async def test_a_thread_lasts_longer_than_references() -> None:
    it = await desk()
    root = await it.opens("Help!")
    it.world.clock.advance(hours=2)
    await it.world.settle()
    for number in range(110):
        await it.alice.says(f"more {number}")
    await it.answers(it.dave, "I read it all.", root)
    assert await it.alice_hears() == ["I read it all."]
    it.world.check()


async def test_groups_and_the_end_by_the_person() -> None:
    it = await desk()
    room = await it.world.room("group", it.alice, it.erin)
    await it.alice.says("talk", room=room)
    await it.alice.says("!new", room=room)
    heard = [message.body for message in await it.alice.hears_all(room)]
    assert heard[-1] == "Please write to me in a chat of our own."
    root = await it.opens("Help!")
    await it.alice.says("new")
    assert "a case already" in (await it.alice_hears())[0]
    await it.alice.says("close")
    assert "closed" in (await it.alice_hears())[0]
    assert "[closed]" in root.body
    await it.alice.says("close")
    assert await it.alice_hears() == ["You have no open case."]
    it.world.check()


async def test_the_website_opens_a_case_and_another_service_tells_news() -> None:
    it = await desk()
    form = {"name": "Zoe", "topic": "A payment", "text": "Paid twice", "contact": "zoe@example.org"}
    await it.world.call_webhook("case", form)
    root, words = await it.staff_hears()
    assert root.body == "#1 A payment – Zoe <zoe@example.org> [open]"
    assert (words.body, root_of(words)) == ("Paid twice", root.event_id)
    await it.answers(it.dave, "Sorry!", root)
    assert (await it.staff_hears())[-1].body == "There is no chat: write to zoe@example.org."
    await it.world.call_webhook("case", {**form, "user": it.alice.user_id, "name": "Alice"})
    assert "case #2" in (await it.alice_hears())[-1]
    second = (await it.staff_hears())[0]
    await it.answers(it.dave, "Hello Alice", second)
    assert await it.alice_hears() == ["Hello Alice"]
    await it.alice.says("Hello")
    assert root_of((await it.staff_hears())[-1]) == second.event_id
    await it.world.call_webhook("news", {"text": "Parcel sent", "case": 2, "person": True})
    assert await it.alice_hears() == ["Parcel sent"]
    await it.world.call_webhook("news", {"text": "The site is down"})
    heard = await it.staff_hears()
    assert [(each.body, root_of(each)) for each in heard] == [
        ("Parcel sent", second.event_id),
        ("The site is down", ""),
    ]
    await it.world.call_webhook("case", {"name": "x"})
    await it.world.call_webhook("news", [])
    await it.world.call_webhook("news", {"text": "x" * 70_000})
    assert ["cannot read" in each.body for each in await it.staff_hears()] == [True] * 3
    for _ in range(35):
        await it.world.call_webhook("case", form)
    await it.staff_hears()
    await it.dave.says("!cases", room=it.staff)
    assert (await it.staff_hears())[-1].body.endswith("#30 A payment – Zoe <zoe@example.org> [open]\n… and 7 more")
    it.world.check()


async def test_an_encrypted_file_does_not_go_with_its_key_into_a_room_that_is_not() -> None:
    it = await desk()
    root = await it.opens("Help!")
    (await it.world.direct(it.alice)).encrypted = False
    it.world.homeserver.media["encrypted"] = CIPHERTEXT
    content = {"msgtype": "m.image", "filename": "a.png", "info": {"mimetype": "image/png"}, "file": ENCRYPTED}
    await it.dave.says("a.png", room=it.staff, thread=root, content=content)
    heard = await it.alice.hears()
    assert "file" not in heard.content
    assert await it.alice.downloads(heard) == b"the picture"
    it.world.check()


async def test_files_go_both_ways() -> None:
    it = await desk()
    root = await it.opens("Help!")
    await it.dave.sends_file(b"the form", "form.pdf", "application/pdf", room=it.staff, thread=root)
    heard = await it.alice.hears()
    assert (heard.body, heard.content["info"]["mimetype"]) == ("form.pdf", "application/pdf")
    assert await it.alice.downloads(heard) == b"the form"
    await it.alice.sends_file(b"the form, filled in", "filled.pdf", "application/pdf")
    came = (await it.staff_hears())[-1]
    assert (came.body, root_of(came)) == ("filled.pdf", root.event_id)
    assert await it.dave.downloads(came) == b"the form, filled in"
    it.world.check()


async def test_without_a_staff_room_nothing_is_lost_in_silence() -> None:
    it = Desk()
    for text in ("Help!", "new"):
        await it.alice.says(text)
        assert "Nobody can read you" in (await it.alice_hears())[-1]
    await it.start()
    assert (await it.opens("Help!")).body.startswith("#1")
    it.world.check()


async def play(it: Desk) -> list[str]:
    root = await it.opens("Help!", "It is broken")
    await it.answers(it.dave, "How?", root)
    await it.answers(it.erin, "Where?", root)
    asked = await it.alice.says("Here")
    await it.alice.edits(asked, "There")
    await it.answers(it.dave, "!assign", root)
    await it.answers(it.dave, "!close", root)
    chat: Room = await it.world.direct(it.alice)
    return [*it.world.transcript(chat), "–", *it.world.transcript(it.staff)]


@pytest.fixture(scope="module")
async def calm() -> list[str]:
    """What is said when nothing goes wrong."""
    return await play(await desk())


@pytest.mark.parametrize("commits", range(1, 31))
async def test_a_kill_at_any_commit_relays_nothing_twice(calm: list[str], commits: int) -> None:
    it = await desk()
    it.world.kill_after(commits)
    assert await play(it) == calm
    assert it.world.restarts == 1


def test_what_is_relayed() -> None:
    content = {"msgtype": "m.text", "body": "> <@dave:x> old\n\nnew", "formatted_body": "x", "m.relates_to": {}}
    assert relayed(content) == {"msgtype": "m.text", "body": "new", "m.mentions": {}}
    assert relayed({"msgtype": "m.text", "body": 3})["body"] == ""
    assert stays_inside(" // note")
    assert not stays_inside("http://x")
    assert Case(number=3, topic="T", name="N").card() == "#3 T – N [open]"


@pytest.mark.parametrize(
    ("language", "done"),
    [("de", "fertig"), ("fr", "terminé"), ("es", "listo"), ("pl", "gotowe"), ("ar", "تم"), ("fr", "done")],
)
async def test_the_word_that_ends_a_question_is_understood_in_every_language(language: str, done: str) -> None:
    it = await desk()
    await it.alice.says(f"language {language}")
    await it.alice.says("Hi")
    await it.alice.picks("A payment")
    asked = (await it.alice_hears())[-1]
    assert done == "done" or done in asked
    await it.alice.says(done)
    assert "#" in (await it.alice_hears())[-1]
    assert [each.body for each in await it.staff_hears()] == ["#1 A payment – Alice [open]", "Hi"]
    it.world.check()
