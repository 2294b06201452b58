"""The lunch picker, without a homeserver."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from lunch_picker import LunchPicker
from lunch_picker.ballot import cleaned, ranking, winners

from bots.framework.content import POLL_END
from bots.framework.testing import Message, Person, World


class Team:
    """A room with three people and the bot."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.alice, self.bob, self.carol = (world.user(name) for name in ("alice", "bob", "carol"))

    async def start(self, *, places: bool = True) -> Team:
        self.room = await self.world.room("team", self.alice, self.bob, self.carol)
        if places:
            await self.says(self.alice, "!lunch add Soup, Pizza, Noodles")
        await self.hears()
        return self

    async def says(self, person: Person, text: str) -> Message:
        return await person.says(text, room=self.room)

    async def votes(self, person: Person, place: str, poll: Message) -> None:
        await person.votes(place, poll=poll, room=self.room)

    async def hears(self) -> list[str]:
        return [message.body for message in await self.alice.hears_all(self.room)]

    async def poll(self) -> Message:
        await self.says(self.alice, "!lunch")
        return await self.alice.hears(self.room)


async def team(*, places: bool = True) -> Team:
    return await Team(World(LunchPicker)).start(places=places)


async def test_the_most_votes_win_when_all_have_voted() -> None:
    it = await team()
    poll = await it.poll()
    assert "1. Noodles" in poll.body
    await it.votes(it.alice, "Pizza", poll)
    await it.votes(it.bob, "Soup", poll)
    assert await it.hears() == []
    await it.votes(it.carol, "Pizza", poll)
    assert await it.hears() == ["Today it is Pizza. (Pizza 2, Soup 1)"]
    ends = [each for each in it.room.timeline if each.type == POLL_END]
    assert [each.content["m.relates_to"]["event_id"] for each in ends] == [poll.event_id]
    it.world.check()


async def test_a_vote_can_be_changed_and_given_in_words() -> None:
    it = await team()
    poll = await it.poll()
    await it.votes(it.alice, "Pizza", poll)
    await it.votes(it.alice, "Soup", poll)
    await it.says(it.bob, "2")
    await it.says(it.bob, "soup")
    await it.says(it.carol, "noodles")
    assert (await it.hears())[-1] == "Today it is Soup. (Soup 2, Noodles 1)"
    it.world.check()


async def test_a_tie_is_drawn_once_whatever_happens() -> None:
    it = await team()
    poll = await it.poll()
    for person, place in ((it.alice, "Soup"), (it.bob, "Pizza"), (it.carol, "Noodles")):
        it.world.kill_after(1)
        await it.votes(person, place, poll)
    heard = await it.hears()
    assert len(heard) == 1
    assert heard[0].startswith("A tie: Noodles / Pizza / Soup. I drew ")
    assert await chosen(it) == 1
    it.world.check()


async def chosen(it: Team) -> int:
    await it.says(it.alice, "!lunch places")
    return sum(int(line.split("– ")[1].rstrip("×")) for line in (await it.hears())[-1].splitlines()[1:])


async def test_the_time_is_over() -> None:
    it = await team()
    poll = await it.poll()
    await it.votes(it.alice, "Pizza", poll)
    it.world.clock.advance(minutes=29)
    assert await it.hears() == []
    await it.world.restart()
    it.world.clock.advance(minutes=2)
    assert await it.hears() == ["Today it is Pizza. (Pizza 1)"]
    await it.votes(it.bob, "Soup", poll)
    assert await it.hears() == [], "the vote is over"
    it.world.check()


async def test_nobody_voted() -> None:
    it = await team()
    await it.poll()
    it.world.clock.advance(hours=1)
    assert await it.hears() == ["Nobody voted, so everybody eats where they like."]
    assert await chosen(it) == 0
    it.world.check()


async def test_it_is_cancelled_and_begun_again() -> None:
    it = await team()
    await it.poll()
    await it.says(it.bob, "!lunch")
    assert await it.hears() == ["A vote is open already."]
    await it.says(it.bob, "!cancel")
    assert await it.hears() == ["Cancelled."]
    it.world.clock.advance(hours=1)
    assert await it.hears() == []
    assert "Soup" in (await it.poll()).body
    it.world.check()


async def test_favourites_come_first() -> None:
    it = await team()
    for _ in range(2):
        poll = await it.poll()
        for person in (it.alice, it.bob, it.carol):
            await it.votes(person, "Soup", poll)
        await it.hears()
    assert "1. Soup" in (await it.poll()).body
    await it.says(it.alice, "!cancel")
    await it.hears()
    await it.says(it.alice, "!lunch places")
    assert (await it.hears())[0].splitlines()[1:] == ["Soup – 2×", "Noodles – 0×", "Pizza – 0×"]
    it.world.check()


async def test_a_room_without_places_is_asked_for_them() -> None:
    it = await team(places=False)
    asked = await it.poll()
    assert "Which places are near?" in asked.body
    await it.says(it.bob, "see you later, all of you")
    assert await it.hears() == [], "people talk with each other, too"
    await it.bob.says("Soup", room=it.room, reply_to=asked)
    assert "two or more" in (await it.hears())[0]
    await it.bob.says("Soup, pizza; Pizza", room=it.room, reply_to=asked)
    assert "Where shall we eat?" in (await it.hears())[0]
    it.world.check()


async def test_places_are_removed() -> None:
    it = await team()
    await it.says(it.bob, "!lunch remove")
    await it.bob.picks("Pizza", room=it.room)
    assert (await it.hears())[-1] == "Removed: Pizza"
    await it.says(it.bob, "!lunch add " + ", ".join(f"Place {number}" for number in range(30)))
    assert "20 places at most" in (await it.hears())[-1]
    await it.says(it.bob, "!lunch add ,\u200b,")
    assert "Name a place" in (await it.hears())[-1]
    it.world.check()


FRIDAY = datetime(2026, 1, 2, 12, tzinfo=UTC)


async def test_every_weekday_by_the_clock_of_the_room() -> None:
    it = await team()
    it.world.clock.set(FRIDAY)
    await it.says(it.alice, "!lunch daily 11:30")
    assert await it.hears() == ["I will ask from Monday to Friday at 11:30 (UTC)."]
    await it.says(it.bob, "!lunch zone Berlin")
    assert await it.hears() == ["The time zone of this room is Europe/Berlin."]
    it.world.clock.advance(days=2)
    assert await it.hears() == [], "no vote at the weekend"
    await it.world.restart()
    it.world.clock.set(datetime(2026, 1, 5, 10, 30, tzinfo=UTC))
    assert "Where shall we eat?" in (await it.hears())[0]
    await it.says(it.carol, "!lunch stop")
    it.world.clock.set(datetime(2026, 1, 6, 10, 30, tzinfo=UTC))
    assert "Nobody voted" in (await it.hears())[-1]
    it.world.clock.advance(days=3)
    assert await it.hears() == []
    it.world.check()


async def test_a_lunch_that_was_slept_through_is_not_made_up_for() -> None:
    it = await team()
    it.world.clock.set(FRIDAY)
    await it.says(it.alice, "!lunch daily 11:30")
    await it.hears()
    it.world.clock.set(datetime(2026, 1, 5, 15, 0, tzinfo=UTC))
    assert await it.hears() == []
    it.world.clock.set(datetime(2026, 1, 6, 11, 30, 5, tzinfo=UTC))
    assert "Where shall we eat?" in (await it.hears())[0]
    it.world.check()


async def play(it: Team) -> list[str]:
    poll = await it.poll()
    await it.votes(it.alice, "Pizza", poll)
    await it.votes(it.bob, "Soup", poll)
    await it.votes(it.carol, "Soup", poll)
    await it.says(it.alice, "!lunch places")
    return it.world.transcript(it.room)


@pytest.fixture(scope="module")
async def calm() -> list[str]:
    """What is said when nothing goes wrong."""
    return await play(await team())


@pytest.mark.parametrize("commits", range(1, 12))
async def test_a_kill_at_any_commit_changes_nothing(calm: list[str], commits: int) -> None:
    it = await team()
    it.world.kill_after(commits)
    assert await play(it) == calm
    assert it.world.restarts == 1


def test_counting() -> None:
    votes = {"a": ["Soup"], "b": ["Pizza"], "c": ["Soup", "Noodles"]}
    assert ranking(votes) == [("Soup", 2), ("Noodles", 1), ("Pizza", 1)]
    assert winners(ranking(votes)) == ["Soup"]
    assert winners([("A", 1), ("B", 1), ("C", 0)]) == ["A", "B"]
    assert cleaned("\u200b, \x07,,🍕") == ["🍕"]
    assert cleaned(" Soup ,PIZZA\npizza;; Thai  food ") == ["Soup", "PIZZA", "Thai food"]
