"""The reminder bot, without a homeserver."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from reminders import Reminders
from reminders.phrases import read

from bots.framework import InvalidValue, ParseEnv
from bots.framework.testing import Person, World

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=BERLIN)  # a Thursday


@pytest.mark.parametrize(
    ("text", "rule", "about"),
    [
        ("me tomorrow at 9 to call Bob", datetime(2026, 1, 2, 9, tzinfo=BERLIN), "call Bob"),
        ("me to call Bob tomorrow at 9", datetime(2026, 1, 2, 9, tzinfo=BERLIN), "call Bob"),
        ("to water the 2 plants on friday", datetime(2026, 1, 2, 9, tzinfo=BERLIN), "water the 2 plants"),
        ("in 20 minutes: tea", NOW + timedelta(minutes=20), "tea"),
        ("in 1 hour and 30 minutes that the cake is done", NOW + timedelta(minutes=90), "the cake is done"),
        ("me at 18:30 about the news", datetime(2026, 1, 1, 18, 30, tzinfo=BERLIN), "the news"),
        ("5 march to renew the passport", datetime(2026, 3, 5, 9, tzinfo=BERLIN), "renew the passport"),
        ("the 5th of march to renew the passport", datetime(2026, 3, 5, 9, tzinfo=BERLIN), "renew the passport"),
        ("every monday at 8 to take the bins out", "0 8 * * mon", "take the bins out"),
        ("me every monday and thursday at 7:15 pm to run", "15 19 * * mon,thu", "run"),
        ("to stand up every day at 9", "0 9 * * *", "stand up"),
        ("every weekday stand up", "0 9 * * mon-fri", "stand up"),
        ("every 2 hours drink", timedelta(hours=2), "drink"),
        ("every hour to drink", timedelta(hours=1), "drink"),
    ],
)
def test_what_people_say(text: str, rule: object, about: str) -> None:
    wish = read(text, ParseEnv(now=NOW, zone=BERLIN, server_name="x"))
    assert (wish.rule, wish.about) == (rule, about)


@pytest.mark.parametrize(
    "text",
    ["", "me", "call Bob", "tomorrow at 9", "me tomorrow at 9 to", "every second blink", "every 2 days at 8 to run"],
)
def test_what_cannot_be_meant(text: str) -> None:
    with pytest.raises(InvalidValue):
        read(text, ParseEnv(now=NOW, zone=BERLIN, server_name="x"))


async def berlin() -> tuple[World, Person]:
    """Thursday, 1 January 2026, 01:00 in Berlin."""
    world = World(Reminders)
    alice = world.user("alice")
    await alice.says("zone Berlin")
    await alice.hears_all()
    return world, alice


async def said(person: Person) -> list[str]:
    return [message.body for message in await person.hears_all()]


async def test_once() -> None:
    world, alice = await berlin()
    await alice.says("remind me tomorrow at 9 to call Bob")
    assert "1. call Bob – Jan 2, 2026, 9:00" in (await said(alice))[0]
    await world.restart()
    world.clock.set(datetime(2026, 1, 2, 7, 59, 59, tzinfo=UTC))
    assert await said(alice) == []
    world.clock.set(datetime(2026, 1, 2, 8, 0, 1, tzinfo=UTC))
    reminder = await alice.hears()
    assert reminder.body == "⏰ call Bob"
    assert reminder.content["msgtype"] == "m.text", "a notice would not ring"
    assert reminder.content["m.mentions"] == {"user_ids": [alice.user_id]}
    world.clock.advance(days=3)
    assert await said(alice) == []
    await alice.says("list")
    assert await said(alice) == ["You have no reminders."]
    world.check()


async def test_without_a_command_and_without_a_zone() -> None:
    world = World(Reminders)
    alice = world.user("alice")
    await alice.says("in 20 minutes tea")
    heard = (await said(alice))[-1]
    assert "1. tea" in heard
    assert "zone Berlin" in heard
    await alice.says("what is this")
    assert "I do not know" in (await said(alice))[0]
    await alice.says("remind me to do something")
    assert "I see no time" in (await said(alice))[0]
    await alice.says("remind me yesterday to go")
    assert "gone by" in (await said(alice))[0]
    world.clock.advance(minutes=20)
    assert await said(alice) == ["⏰ tea"]
    world.check()


async def test_again_and_again_by_the_clock_of_wherever_the_person_is() -> None:
    world, alice = await berlin()
    await alice.says("remind me every monday at 8 to take the bins out")
    assert await said(alice) == ["1. take the bins out – every monday at 8."]
    world.clock.set(datetime(2026, 1, 5, 7, 0, 1, tzinfo=UTC))
    assert await said(alice) == ["⏰ take the bins out"]
    await alice.says("zone New York")
    await alice.says("list")
    assert "Jan 5, 2026, 8:00" in (await said(alice))[-1], "it is still night in New York"
    world.clock.set(datetime(2026, 1, 5, 12, 59, tzinfo=UTC))
    assert await said(alice) == []
    world.clock.set(datetime(2026, 1, 5, 13, 0, 1, tzinfo=UTC))
    assert await said(alice) == ["⏰ take the bins out"]
    world.check()


async def test_list_and_cancel() -> None:
    world, alice = await berlin()
    bob = world.user("bob")
    await alice.says("remind me in 2 hours to eat")
    await alice.says("remind me in 1 hour to cook")
    await bob.says("remind me in 1 hour to sleep")
    await said(alice)
    await alice.says("list")
    assert [line.split(" –")[0] for line in (await said(alice))[0].splitlines()] == ["2. cook", "1. eat"]
    await bob.says("cancel 2")
    assert "no reminder 2" in (await said(bob))[-1]
    await alice.says("cancel 2")
    assert await said(alice) == ["Cancelled: cook"]
    await alice.says("cancel two")
    assert "number" in (await said(alice))[0]
    world.clock.advance(hours=3)
    assert await said(alice) == ["⏰ eat\nI am late, I am sorry: this was for Jan 1, 2026, 3:00\u202fAM."]
    assert len(await said(bob)) == 1
    world.check()


async def test_what_came_due_while_nobody_was_there_is_late_and_comes_once() -> None:
    world, alice = await berlin()
    await alice.says("remind me every day at 8 to stand up")
    await alice.says("remind me in 3 hours to eat")
    await said(alice)
    world.clock.advance(days=4)
    await world.restart()
    heard = await said(alice)
    assert sorted(body.splitlines()[0] for body in heard) == ["⏰ eat", "⏰ stand up"]
    assert all("I am late" in body for body in heard)
    world.check()


async def test_put_off_by_a_reaction_and_by_a_reply() -> None:
    world, alice = await berlin()
    await alice.says("remind me in 20 minutes to drink tea")
    await said(alice)
    world.clock.advance(minutes=20)
    first = await alice.hears()
    assert set(first.reactions) == {"⏰"}
    await world.restart()
    await alice.reacts("⏰", first)
    assert "Put off: drink tea – Jan 1, 2026, 1:30" in (await said(alice))[0]
    await alice.reacts("👍", first)
    await world.restart()
    world.clock.advance(minutes=10)
    second = await alice.hears()
    assert second.body == "⏰ drink tea"
    await alice.says("2 hours", reply_to=second)
    assert "3:30" in (await said(alice))[0]
    await alice.says("snooze tomorrow at 9")
    assert "Jan 2, 2026, 9:00" in (await said(alice))[0]
    await alice.says("list")
    assert len((await said(alice))[0].splitlines()) == 1, "put off again, not twice"
    await alice.says("cancel 1")
    await said(alice)
    world.clock.advance(days=2)
    assert await said(alice) == []
    await alice.says("no idea", reply_to=second)
    assert "I do not know" in (await said(alice))[0]
    world.check()


async def test_nobody_puts_off_what_is_somebody_elses() -> None:
    world = World(Reminders)
    alice, bob = world.user("alice"), world.user("bob")
    room = await world.room("team", alice, bob)
    await alice.says("!remind me in 5 minutes to leave", room=room)
    await alice.hears_all(room)
    world.clock.advance(minutes=5)
    reminder = await alice.hears(room)
    await bob.reacts("⏰", reminder, room=room)
    await alice.hears_nothing(room)
    await alice.reacts("⏰", reminder, room=room)
    assert "Put off" in (await alice.hears(room)).body
    world.check()


async def test_there_is_a_limit() -> None:
    _, alice = await berlin()
    for number in range(100):
        await alice.says(f"in {number + 1} hours " + "äöü " * 200)
    await said(alice)
    await alice.says("in 1 hour one more")
    assert "I keep no more" in (await said(alice))[0]
    await alice.says("list")
    assert len((await said(alice))[0].encode()) < 30_000, "an event holds 65,536 bytes, encrypted"
    await alice.says("remind me in 1 hour to " + "a" * 1001)
    assert "more than I can remember" in (await said(alice))[0]


async def test_in_another_language() -> None:
    world, alice = await berlin()
    await alice.says("language Deutsch")
    await said(alice)
    await alice.says("morgen um 9 Bob anrufen")
    assert (await said(alice))[0].startswith("1. Bob anrufen – 02.01.2026")
    await alice.says("jeden Montag um 8 an den Müll denken")
    assert await said(alice) == ["2. den Müll denken – jeden Montag um 8."]
    await alice.says("in 20 minutes tea")
    assert "3. tea" in (await said(alice))[0], "English stays understood"
    world.clock.advance(minutes=30)
    assert "Ich bin spät dran" in (await said(alice))[0]
    world.check()


LANGUAGES = {
    "de": ["morgen um 9 {}", "in 20 Minuten: {}", "jeden Montag um 8 an {}", "alle 2 Stunden {}"],
    "fr": ["rappelle-moi demain à 9 de {}", "dans 20 minutes: {}", "chaque lundi à 8 {}", "chaque 2 heures {}"],
    "es": ["recuérdame mañana a las 9 {}", "en 20 minutos: {}", "cada lunes a las 8 {}", "cada 2 horas {}"],
    "pl": ["jutro o 9 {}", "za 20 minut: {}", "co poniedziałek o 8 {}", "co 2 godziny {}"],
    "ar": ["ذكرني غدا الساعة 9 {}", "بعد 20 دقيقة {}", "كل اثنين الساعة 8 {}", "كل 2 ساعة {}"],
}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_what_people_say_in_every_language(language: str) -> None:
    async def says(words: str) -> list[str]:
        await alice.says(words)
        # Of a text from right to left what is filled in is isolated (UAX #9).
        return [re.sub("[\u2066-\u2069]", "", line) for each in await said(alice) for line in each.splitlines()]

    world, alice = await berlin()
    await says(f"language {language}")
    for number, words in enumerate(LANGUAGES[language], 1):
        assert (await says(words.format("Bob")))[0].startswith(f"{number}. Bob – "), words
    # At 1:20, at 3:00, tomorrow at 9:00, on Monday at 8:00.
    assert [line.partition(" ")[0] for line in await says("list")] == ["2.", "4.", "1.", "3."]
    (hint,) = await says("remind Bob")
    assert (await says(hint.partition(":")[2]))[0].startswith("5. "), "the example that it gives is understood"
    world.check()
    await world.stop()


async def play(world: World, alice: Person) -> list[str]:
    await alice.says("remind me in 20 minutes to drink tea")
    world.clock.advance(minutes=20)
    await alice.reacts("⏰", (await alice.hears_all())[-1])
    world.clock.advance(minutes=10)
    await alice.says("list")
    return world.transcript(await world.direct(alice))


@pytest.fixture(scope="module")
async def calm() -> list[str]:
    """What is said when nothing goes wrong."""
    return await play(*await berlin())


@pytest.mark.parametrize("commits", range(1, 11))
async def test_a_kill_at_any_commit_changes_nothing(calm: list[str], commits: int) -> None:
    world, alice = await berlin()
    world.kill_after(commits)
    assert await play(world, alice) == calm
    assert world.restarts == 1
