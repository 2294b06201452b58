"""What is known of rooms, on SQLite and PostgreSQL: whatever strangers write into state, keys go to nobody who left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from appservice.events import Event
from appservice.homeserver import Homeserver, HomeserverError
from appservice.mautrix_store import MautrixDatabase
from appservice.rooms import Rooms

ROOM = "!room:localhost"
BOT = "@bot:localhost"
EVE = "@eve:localhost"
ODD: list[dict[str, Any]] = [
    {"displayname": {"a": 1}},
    {"displayname": ["Eve"]},
    {"displayname": "nul \0"},
    {"displayname": "\ud800"},
    {"avatar_url": ["mxc://x/y"]},
    {"avatar_url": "mxc://x/\0"},
    {"is_direct": {}, "third_party_invite": 5, "reason": []},
]


class FakeHomeserver:
    """Answers ``/state`` with what a test says, after ``asked`` was called."""

    def __init__(self) -> None:
        self.state: list[dict[str, Any]] = []
        self.asked: Callable[[], Any] | None = None

    async def request(self, method: str, path: str, *, user_id: str | None = None) -> Any:
        if path.endswith("/joined_rooms"):
            return {"joined_rooms": [ROOM]}
        snapshot = list(self.state)
        if self.asked is not None:
            await self.asked()
        if not path.endswith("/state"):
            kind = path.rpartition("/state/")[2].rstrip("/")
            found = [raw["content"] for raw in snapshot if (raw["type"], raw["state_key"]) == (kind, "")]
            if not found:
                raise HomeserverError(404, "M_NOT_FOUND", "no such state")
            return found[0]
        return snapshot


def state(event_type: str, content: dict[str, Any], key: str = "", sender: str = EVE) -> dict[str, Any]:
    """A state event."""
    return {
        "event_id": "$1",
        "room_id": ROOM,
        "sender": sender,
        "type": event_type,
        "state_key": key,
        "content": content,
    }


def member(content: dict[str, Any], user_id: str = EVE) -> dict[str, Any]:
    """A membership."""
    return state("m.room.member", content, user_id)


ENCRYPTION = state("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})


@pytest.fixture
async def data(database_url: str) -> AsyncIterator[MautrixDatabase]:
    """A started database."""
    database = MautrixDatabase(database_url)
    await database.start()
    yield database
    await database.stop()


@pytest.fixture
def homeserver() -> FakeHomeserver:
    """A homeserver with an empty room."""
    return FakeHomeserver()


@pytest.fixture
async def rooms(data: MautrixDatabase, homeserver: FakeHomeserver) -> Rooms:
    """Rooms on it; the bot is in the room."""
    made = Rooms(data.state_store, cast(Homeserver, homeserver), [BOT], "@steward:localhost")
    await made.start()
    return made


async def apply(rooms: Rooms, raw: dict[str, Any]) -> None:
    """One state event of the homeserver's."""
    await rooms.apply(Event.parse(raw), raw)


@pytest.mark.parametrize("odd", ODD, ids=str)
async def test_who_leaves_with_odd_content_has_left(rooms: Rooms, homeserver: FakeHomeserver, odd: Any) -> None:
    homeserver.state = [member({"membership": "join"}, BOT), member({"membership": "join", "displayname": "Eve"})]
    assert EVE in await rooms.members(ROOM)
    await apply(rooms, member({"membership": "leave", **odd}))
    assert await rooms.members(ROOM) == {BOT: "join"}


@pytest.mark.parametrize("odd", ODD, ids=str)
async def test_a_member_with_odd_content_spoils_no_room(rooms: Rooms, homeserver: FakeHomeserver, odd: Any) -> None:
    homeserver.state = [ENCRYPTION, member({"membership": "join"}, BOT), member({"membership": "join", **odd})]
    assert await rooms.is_encrypted(ROOM)
    assert await rooms.members(ROOM) == {BOT: "join", EVE: "join"}


@pytest.mark.parametrize("kind", ["m.room.power_levels", "m.room.create", "m.room.encryption"])
async def test_odd_state_stops_nothing(rooms: Rooms, homeserver: FakeHomeserver, kind: str) -> None:
    odd = {"users": {"@nul\0:x": 5}, "type": "nul \0", "algorithm": "nul \0", "room_version": "\ud800"}
    homeserver.state = [state(kind, odd), member({"membership": "join"}, BOT)]
    await apply(rooms, state(kind, odd))
    assert await rooms.members(ROOM) == {BOT: "join"}
    assert await rooms.is_encrypted(ROOM) == (kind == "m.room.encryption")


async def test_encryption_that_comes_while_the_state_is_read_stays_on(
    rooms: Rooms, homeserver: FakeHomeserver, data: MautrixDatabase
) -> None:
    homeserver.state = [member({"membership": "join"}, BOT)]
    homeserver.asked = lambda: apply(rooms, ENCRYPTION)
    async with asyncio.timeout(5):
        assert await rooms.is_encrypted(ROOM)
    assert await rooms.is_encrypted(ROOM)
    again = Rooms(data.state_store, cast(Homeserver, FakeHomeserver()), [BOT], "@steward:localhost")
    await again.start()
    assert await again.is_encrypted(ROOM), "a restart remembers it"


async def test_a_room_is_encrypted_whoever_said_so(rooms: Rooms, homeserver: FakeHomeserver) -> None:
    # Old user ids may hold any character: https://spec.matrix.org/v1.16/appendices/#historical-user-ids
    homeserver.state = [{**ENCRYPTION, "sender": "@\x01:elsewhere"}, member({"membership": "join"}, BOT)]
    assert await rooms.is_encrypted(ROOM)


async def test_a_room_that_was_not_encrypted_is_asked_for_again_after_a_restart(
    rooms: Rooms, homeserver: FakeHomeserver, data: MautrixDatabase
) -> None:
    # It became so while the service was down, or since the backup that was put back: nobody tells us again.
    homeserver.state = [member({"membership": "join"}, BOT)]
    assert not await rooms.is_encrypted(ROOM)
    again = Rooms(data.state_store, cast(Homeserver, homeserver), [BOT], "@steward:localhost")
    await again.start()
    assert not await again.is_encrypted(ROOM)
    homeserver.state.append(ENCRYPTION)
    third = Rooms(data.state_store, cast(Homeserver, homeserver), [BOT], "@steward:localhost")
    await third.start()
    assert await third.is_encrypted(ROOM)


async def test_encryption_that_comes_while_it_is_asked_for_stays_on(
    rooms: Rooms, homeserver: FakeHomeserver, data: MautrixDatabase
) -> None:
    homeserver.state = [member({"membership": "join"}, BOT)]
    assert not await rooms.is_encrypted(ROOM)
    again = Rooms(data.state_store, cast(Homeserver, homeserver), [BOT], "@steward:localhost")
    await again.start()
    homeserver.asked = lambda: apply(again, ENCRYPTION)
    assert await again.is_encrypted(ROOM)


async def test_a_room_that_two_people_share_with_a_bot(rooms: Rooms, homeserver: FakeHomeserver) -> None:
    zoe = "@zoe:localhost"
    homeserver.state = [member({"membership": "join"}, each) for each in (BOT, EVE, zoe)]
    assert await rooms.shared(EVE, zoe, BOT) is None, "nobody has looked yet"
    await rooms.members(ROOM)
    assert await rooms.shared(EVE, zoe, BOT) == ROOM
    assert await rooms.shared(EVE, zoe, "@other:localhost") is None
    assert await rooms.shared(EVE, "@nobody:localhost", BOT) is None
    await apply(rooms, member({"membership": "leave"}, zoe))
    assert await rooms.shared(EVE, zoe, BOT) is None, "it is past"


async def test_who_left_while_no_bot_was_there_is_no_member(rooms: Rooms, homeserver: FakeHomeserver) -> None:
    homeserver.state = [member({"membership": "join"}, BOT), member({"membership": "join"})]
    assert set(await rooms.members(ROOM)) == {BOT, EVE}
    await apply(rooms, member({"membership": "leave"}, "@steward:localhost"))
    await apply(rooms, member({"membership": "leave"}, BOT))
    homeserver.state = [member({"membership": "join"}, BOT)]  # Eve left, and nobody of ours was told
    await apply(rooms, member({"membership": "join"}, BOT))
    assert set(await rooms.members(ROOM)) == {BOT}
