"""The hub: greets, lists, opens, and never leaves a person without a next step."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from bots.echo import Echo
from bots.framework import Plugin
from bots.framework.directory import Directory, ServiceEntry
from bots.framework.switchboard import InstanceInfo, Switchboard
from bots.framework.testing import World
from bots.hub import Hub
from bridge.chats import Chats
from bridge.messenger import Messenger

SERVICES = [
    ServiceEntry("@echo:world", "Echo", "Repeats what you say: an example for developers.", "echo"),
    ServiceEntry("@shop_bot:world", "Corner <Shop>", "Sells things."),
]


class FakeChats:
    """Remembers what was opened."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, ...]] = []

    async def direct(self, person: str, bot: str, name: str) -> str:
        self.opened.append(("direct", person, bot, name))
        return f"!dm-{bot[1:].partition(':')[0]}:world"

    async def space(self, person: str, children: Iterable[str]) -> str:
        self.opened.append(("space", person, *children))
        return "!space:world"


class FakeRegistry(dict[str, Any]):
    """No room is a chat of the messenger's here: tests/unit/test_hub_chats.py has chats."""


class Place:
    """A world with a hub in it."""

    def __init__(self, services: list[ServiceEntry], *others: type[Plugin]) -> None:
        self.chats = FakeChats()
        me = ServiceEntry("@hub:world", "Rialto", "The hub itself.")
        board = Switchboard.__new__(Switchboard)
        board._instances = lambda: [InstanceInfo("hub", "hub", "@hub:world", False)]
        codes = SimpleNamespace(find=lambda _text: None)
        messenger = SimpleNamespace(registry=FakeRegistry(), links=SimpleNamespace(codes=codes))
        given: dict[type, Any] = {
            Chats: self.chats,
            Directory: Directory(lambda: [me, *services]),
            Switchboard: board,
            Messenger: messenger,
        }
        self.world = World(Hub, *others, services=given)
        self.alice = self.world.user("alice")

    async def say(self, text: str) -> str:
        """What the hub answers to a text in a direct chat."""
        await self.alice.hears_all()
        await self.alice.says(text)
        said = await self.alice.hears_all()
        self.world.check()
        assert len(said) == 1, [each.body for each in said]
        return said[0].body


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    found = Place(SERVICES)
    yield found
    await found.world.stop()


async def test_it_greets_with_the_list(place: Place) -> None:
    await place.world.direct(place.alice)
    said = (await place.alice.hears()).body
    assert "Hello" in said
    assert "1. Echo – Repeats what you say: an example for developers.\n2. Corner <Shop> – Sells things." in said
    assert "help" in said
    assert "The hub itself" not in said


@pytest.mark.parametrize("text", ["services", "list", "LIST", "!services"])
async def test_it_lists(place: Place, text: str) -> None:
    said = await place.say(text)
    assert said.startswith("Services:\n1. Echo")
    assert "Type a number" in said


async def test_help_names_every_command_once_and_none_of_the_operators(place: Place) -> None:
    said = await place.say("help")
    for name in ("services", "open [service]", "space", "language", "zone"):
        assert said.count(f"• {name}") == 1
    assert "plugin" not in said


@pytest.mark.parametrize("text", ["open 1", "1", "open echo", "Echo", "@echo:world", "open ECHO", "open 1 "])
async def test_it_opens_by_number_name_or_user(place: Place, text: str) -> None:
    said = await place.say(text)
    assert place.chats.opened == [
        ("direct", "@alice:world", "@echo:world", "Echo"),
        ("space", "@alice:world", "!dm-echo:world"),
    ]
    assert "https://matrix.to/#/!dm-echo:world" in said


async def test_names_are_escaped_in_html(place: Place) -> None:
    await place.alice.says("open 2")
    said = (await place.alice.hears_all())[-1]
    assert "Corner &lt;Shop&gt;" in said.html
    assert "Corner <Shop>" in said.body


@pytest.mark.parametrize("text", ["open", "open 0", "open 3", "open 99999999999999999999", "open -1", "open nothing"])
async def test_what_is_not_in_the_list_opens_nothing_and_shows_it(place: Place, text: str) -> None:
    assert "1. Echo" in await place.say(text)
    assert place.chats.opened == []


@pytest.mark.parametrize("text", ["0000001", "10000001", "²", "١٢٣٤٥٦٧٨٩"])
async def test_odd_numbers_do_not_raise(place: Place, text: str) -> None:
    await place.say(f"open {text}")


async def test_the_space_holds_every_service(place: Place) -> None:
    said = await place.say("space")
    assert place.chats.opened[-1] == ("space", "@alice:world", "!dm-echo:world", "!dm-shop_bot:world")
    assert "2 services" in said


async def test_one_service_is_not_services() -> None:
    place = Place(SERVICES[:1])
    assert "1 service." in await place.say("space")
    await place.world.stop()


async def test_unknown_words_are_answered_with_the_nearest(place: Place) -> None:
    assert "Did you mean “services”?" in await place.say("servises please")
    assert len(await place.say("x" * 5_000)) < 300


async def test_among_several_people_it_is_silent_until_it_is_addressed(place: Place) -> None:
    bob = place.world.user("bob")
    room = await place.world.room("group", place.alice, bob)
    await place.alice.hears_all(room)
    for text in ("1", "hello all"):
        await place.alice.says(text, room=room)
        await place.alice.hears_nothing(room)
    await place.alice.says("hub: services", room=room)
    assert len(await place.alice.hears_all(room)) == 1
    await place.alice.says("!open 1", room=room)
    assert len(await place.alice.hears_all(room)) == 1
    assert len(place.chats.opened) == 2


async def test_without_services_it_says_so() -> None:
    place = Place([])
    assert "No services are installed" in await place.say("open 1")
    assert "nothing for a space to hold" in await place.say("space")
    assert place.chats.opened == []
    assert await place.say("services") == "No services are installed yet."
    await place.world.stop()


@pytest.mark.parametrize("text", ["plugins", "plugin disable hub", "plugin enable hub"])
async def test_people_who_are_no_operators_may_not(place: Place, text: str) -> None:
    assert "may not" in await place.say(text)


async def test_it_speaks_the_language_of_the_person() -> None:
    place = Place(SERVICES, Echo)
    await place.say("language deutsch")
    said = await place.say("services")
    assert said.startswith("Dienste:\n1. Echo – Wiederholt, was Sie sagen")
    await place.world.stop()
