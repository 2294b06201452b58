"""What bots send: whatever people write to them, nobody is mentioned by it, and no header is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from appservice import json
from appservice.events import Event
from appservice.homeserver import Homeserver
from appservice.media import Media, MediaError
from appservice.rooms import Rooms
from appservice.unit import UnitOfWork
from bots.echo import Echo
from bots.framework import BotConsumer

BOT = "@echo:localhost"


class FakeRooms:
    """A room in the clear."""

    async def is_encrypted(self, room_id: str) -> bool:
        return False

    async def humans(self, room_id: str) -> list[str]:
        return ["@alice:localhost"]


class FakeHomeserver:
    """Stores any media and gives three bytes for any other."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.types: list[str | None] = []

    async def download(self, path: str, *, user_id: str, limit: int) -> bytes:
        self.paths.append(path)
        return b"123"

    async def request(self, method: str, path: str, *, user_id: str, data: bytes, content_type: str) -> Any:
        self.types.append(content_type)
        return {"content_uri": "mxc://localhost/made"}


@pytest.fixture
def homeserver() -> FakeHomeserver:
    """The homeserver behind the bot's media."""
    return FakeHomeserver()


@pytest.fixture
def bot(homeserver: FakeHomeserver) -> BotConsumer:
    """The echo bot."""
    return BotConsumer(Echo(), BOT, "Echo", cast(Rooms, FakeRooms()), Media(cast(Homeserver, homeserver)))


def event(content: Mapping[str, Any]) -> Event:
    """A message of alice's."""
    return Event("$e", "!r:localhost", "@alice:localhost", "m.room.message", content, 1)


def sent(unit: UnitOfWork) -> dict[str, Any]:
    """The content of the one message of a unit."""
    (message,) = unit.messages
    content: dict[str, Any] = json.loads(message.content)
    return content


@pytest.mark.parametrize(
    "content",
    [
        {"msgtype": "m.text", "body": "@room alice: look"},
        {"msgtype": "m.text", "body": "@room", "m.mentions": {"room": True, "user_ids": ["@bob:localhost"]}},
        {
            "msgtype": "m.text",
            "body": "* @room",
            "m.new_content": {"msgtype": "m.text", "body": "@room", "m.mentions": {"room": True}},
            "m.relates_to": {"rel_type": "m.replace", "event_id": "$old"},
        },
        {"msgtype": "m.image", "body": "@room", "url": "mxc://localhost/x", "m.mentions": {"room": True}},
    ],
    ids=["text", "mention", "edit", "media"],
)
async def test_an_answer_mentions_nobody(bot: BotConsumer, content: dict[str, Any]) -> None:
    # Without m.mentions, clients look for names and @room in the body.
    # https://spec.matrix.org/v1.16/client-server-api/#user-and-room-mentions
    unit = UnitOfWork("$e", bot.name, BOT)
    await bot.handle(event(content), unit)
    answer = sent(unit)
    assert answer["m.mentions"] == {}
    assert answer.get("m.new_content", answer)["m.mentions"] == {}


async def test_excuses_mention_nobody(bot: BotConsumer) -> None:
    for say in (bot.gave_up, lambda event, unit: bot.unreadable(event, unit, "no key")):
        unit = UnitOfWork("$e", bot.name, BOT)
        await say(event({}), unit)
        assert sent(unit)["m.mentions"] == {}
        assert sent(unit)["msgtype"] == "m.notice"


@pytest.mark.parametrize("mimetype", ["text/html\r\nX-Evil: 1", "image/png; x=\0", "ümläut/x", "a" * 5000, 7, ""])
async def test_an_odd_type_of_media_becomes_no_header(
    bot: BotConsumer, homeserver: FakeHomeserver, mimetype: object
) -> None:
    unit = UnitOfWork("$e", bot.name, BOT)
    info = {"mimetype": mimetype}
    await bot.handle(event({"msgtype": "m.image", "body": "x", "url": "mxc://localhost/x", "info": info}), unit)
    assert homeserver.types == ["application/octet-stream"]


async def test_a_known_type_of_media_is_kept(bot: BotConsumer, homeserver: FakeHomeserver) -> None:
    unit = UnitOfWork("$e", bot.name, BOT)
    info = {"mimetype": "image/svg+xml"}
    await bot.handle(event({"msgtype": "m.image", "body": "x", "url": "mxc://localhost/x", "info": info}), unit)
    assert homeserver.types == ["image/svg+xml"]


@pytest.mark.parametrize(
    "url", ["mxc://../x", "mxc://./x", "mxc://a/../b", "mxc://a/b\n", "https://localhost/x", "", 5]
)
async def test_only_media_of_a_server_are_fetched(homeserver: FakeHomeserver, url: object) -> None:
    with pytest.raises(MediaError):
        await Media(cast(Homeserver, homeserver)).download(BOT, {"url": url})
    assert homeserver.paths == []
