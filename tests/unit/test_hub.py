"""The hub: greets, lists, opens, and never leaves a person without a next step."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, cast

import pytest

from appservice.events import Event
from appservice.media import Media
from appservice.rooms import Rooms
from appservice.unit import UnitOfWork
from bots.framework import BotConsumer
from bots.hub import Hub, ServiceEntry
from bridge.chats import Chats
from tests.unit.test_framework import ALICE, FakeRooms

HUB = "@rialto:localhost"
SERVICES = (
    ServiceEntry("@echo:localhost", "Echo", "Repeats what you say."),
    ServiceEntry("@shop_bot:localhost", "Corner <Shop>", "Sells things."),
)


class FakeChats:
    """Remembers what was opened."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, ...]] = []

    async def direct(self, person: str, bot: str, name: str) -> str:
        self.opened.append(("direct", person, bot, name))
        return f"!dm-{bot[1:].partition(':')[0]}:localhost"

    async def space(self, person: str, children: Iterable[str]) -> str:
        self.opened.append(("space", person, *children))
        return "!space:localhost"


async def say(
    text: str, humans: int = 1, services: Iterable[ServiceEntry] = SERVICES
) -> tuple[list[dict[str, Any]], FakeChats]:
    """What the hub answers, and what it opened."""
    chats = FakeChats()
    bot = BotConsumer(
        Hub(cast(Chats, chats), list(services)), HUB, "Rialto", cast(Rooms, FakeRooms(humans)), cast(Media, None)
    )
    unit = UnitOfWork("$cause", bot.name, HUB)
    event = Event("$cause", "!room:localhost", ALICE, "m.room.message", {"msgtype": "m.text", "body": text}, 1)
    if text == "(joins)":
        member = {"membership": "join"}
        event = Event("$cause", "!room:localhost", HUB, "m.room.member", member, 1, HUB)
    if bot.wants(event):
        await bot.handle(event, unit)
    return [json.loads(each.content) for each in unit.messages], chats


async def test_it_greets_with_the_list() -> None:
    (said,), _ = await say("(joins)")
    assert "Hello" in said["body"]
    assert "1. Echo – Repeats what you say.\n2. Corner <Shop> – Sells things." in said["body"]
    assert "help" in said["body"]


@pytest.mark.parametrize("text", ["services", "list", "MENU", "!services"])
async def test_it_lists(text: str) -> None:
    (said,), _ = await say(text)
    assert said["body"].startswith("Services:\n1. Echo")
    assert "Type a number" in said["body"]


async def test_help_names_every_command_once_in_text_and_html() -> None:
    (said,), _ = await say("help")
    for name in ("help", "services", "open", "space"):
        assert said["body"].count(f"\n{name} – ") == 1
        assert said["formatted_body"].count(f"<code>{name}</code>") == 1
    assert "menu" not in said["body"]


@pytest.mark.parametrize("text", ["open 1", "1", "open echo", "Echo", "@echo:localhost", "open ECHO", "open 1 "])
async def test_it_opens_by_number_name_or_user(text: str) -> None:
    (said,), chats = await say(text)
    assert chats.opened == [
        ("direct", ALICE, "@echo:localhost", "Echo"),
        ("space", ALICE, "!dm-echo:localhost"),
    ]
    assert "https://matrix.to/#/!dm-echo:localhost" in said["body"]


async def test_names_are_escaped_in_html() -> None:
    (said,), _ = await say("open 2")
    assert "Corner &lt;Shop&gt;" in said["formatted_body"]
    assert "Corner <Shop>" in said["body"]


@pytest.mark.parametrize("text", ["open", "open 0", "open 3", "open 99999999999999999999", "open -1", "open nothing"])
async def test_what_is_not_in_the_list_opens_nothing_and_shows_it(text: str) -> None:
    (said,), chats = await say(text)
    assert chats.opened == []
    assert "1. Echo" in said["body"]


@pytest.mark.parametrize("text", ["0000001", "10000001", "²", "١٢٣٤٥٦٧٨٩"])
async def test_odd_numbers_do_not_raise(text: str) -> None:
    said, _ = await say(f"open {text}")
    assert len(said) == 1


async def test_the_space_holds_every_service() -> None:
    (said,), chats = await say("space")
    assert chats.opened[-1] == ("space", ALICE, "!dm-echo:localhost", "!dm-shop_bot:localhost")
    assert "2 services" in said["body"]


async def test_unknown_words_are_answered_with_the_nearest_and_the_list() -> None:
    (said,), _ = await say("servises please")
    assert "Did you mean “services”?" in said["body"]
    assert "1. Echo" in said["body"]
    (said,), _ = await say("x" * 5_000)
    assert len(said["body"]) < 300


async def test_among_several_people_it_is_silent_until_it_is_addressed() -> None:
    assert (await say("1", humans=2))[0] == []
    assert (await say("hello all", humans=2))[0] == []
    assert len((await say("Rialto: services", humans=2))[0]) == 1
    assert len((await say("!open 1", humans=2))[1].opened) == 2


async def test_without_services_it_says_so() -> None:
    (said,), chats = await say("open 1", services=[])
    assert "No services are installed" in said["body"]
    assert chats.opened == []
    (said,), chats = await say("space", services=[])
    assert "No services are installed" in said["body"]
    assert chats.opened == []
    (said,), _ = await say("services", services=[])
    assert said["body"] == "No services are installed yet."
