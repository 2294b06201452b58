"""Rooms that Rialto makes: one for each purpose, whatever happened in between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import pytest

from appservice.database import Database, open_database
from appservice.homeserver import Homeserver, HomeserverError
from appservice.store.tables import metadata
from bridge.chats import Chats

STEWARD = "@_rialto:localhost"
ALICE = "@alice:localhost"
BOT = "@echo:localhost"


class FakeHomeserver:
    """Rooms, aliases and members as a homeserver keeps them."""

    def __init__(self) -> None:
        self.rooms: dict[str, dict[str, str]] = {}
        self.aliases: dict[str, str] = {}
        self.bodies: list[Mapping[str, Any]] = []
        self.states: list[tuple[str, str, str, str]] = []
        self.invitations: list[tuple[str, str, str]] = []
        self.error: HomeserverError | None = None

    async def request(
        self, method: str, path: str, *, user_id: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        parts = [unquote(part) for part in path.split("/")[4:]]
        if parts[0] == "createRoom":
            assert body is not None
            return self._create(user_id, body)
        if parts[0] == "directory":
            if parts[2] not in self.aliases:
                raise HomeserverError(404, "M_NOT_FOUND", "no such alias")
            return {"room_id": self.aliases[parts[2]]}
        members = self.rooms[parts[1]]
        if members.get(user_id) != "join":
            raise HomeserverError(403, "M_FORBIDDEN", "not in the room")
        if parts[2] == "state":
            if parts[4] not in members:
                raise HomeserverError(404, "M_NOT_FOUND", "never was there")
            return {"membership": members[parts[4]]}
        assert parts[2] == "invite" and body is not None
        if members.get(body["user_id"]) == "ban":
            raise HomeserverError(403, "M_FORBIDDEN", "banned")
        members[body["user_id"]] = "invite"
        self.invitations.append((parts[1], user_id, body["user_id"]))
        return {}

    def _create(self, user_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        alias = f"#{body['room_alias_name']}:localhost"
        if alias in self.aliases:
            raise HomeserverError(400, "M_ROOM_IN_USE", "alias taken")
        room_id = f"!room{len(self.rooms)}:localhost"
        self.rooms[room_id] = {user_id: "join"} | dict.fromkeys(body["invite"], "invite")
        self.aliases[alias] = room_id
        self.bodies.append(body)
        return {"room_id": room_id}

    async def send_state(
        self, user_id: str, room_id: str, event_type: str, state_key: str, content: Mapping[str, Any]
    ) -> str:
        assert content["via"] == ["localhost"]
        self.states.append((user_id, room_id, event_type, state_key))
        return "$state"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A database with the table of rooms."""
    made = open_database(f"sqlite:///{tmp_path / 'rialto.db'}")
    await made.start()
    await made.write(metadata.create_all)
    yield made
    await made.stop()


@pytest.fixture
def homeserver() -> FakeHomeserver:
    """A homeserver without rooms."""
    return FakeHomeserver()


@pytest.fixture
def chats(homeserver: FakeHomeserver, database: Database) -> Chats:
    """What is tested."""
    return Chats(cast(Homeserver, homeserver), database, STEWARD, "localhost")


class ForgetfulDatabase:
    """The crash between the room and the note of it: nothing that is remembered stays."""

    def __init__(self, inner: Database) -> None:
        self.inner = inner

    async def read(self, work: Any) -> Any:
        return await self.inner.read(work)

    async def write(self, _work: Any) -> None:
        raise RuntimeError("killed")


async def test_a_direct_chat_is_made_once_encrypted_and_with_an_invitation(
    chats: Chats, homeserver: FakeHomeserver
) -> None:
    room_id = await chats.direct(ALICE, BOT, "Echo")
    assert await chats.direct(ALICE, BOT, "Echo") == room_id
    (body,) = homeserver.bodies
    assert body["is_direct"] is True
    assert body["invite"] == [ALICE]
    assert {"m.room.encryption"} == {state["type"] for state in body["initial_state"]}
    assert body["room_alias_name"].startswith("_rialto_")
    assert ALICE.strip("@") not in body["room_alias_name"]
    assert homeserver.rooms[room_id] == {BOT: "join", ALICE: "invite"}


async def test_each_person_bot_and_purpose_has_a_room_of_its_own(chats: Chats, homeserver: FakeHomeserver) -> None:
    rooms = {
        await chats.direct(ALICE, BOT, "Echo"),
        await chats.direct("@bob:localhost", BOT, "Echo"),
        await chats.direct(ALICE, "@shop:localhost", "Shop"),
        await chats.space(ALICE, []),
    }
    assert len(rooms) == 4
    assert len(homeserver.aliases) == 4


async def test_after_a_crash_the_room_is_found_by_its_alias(
    chats: Chats, homeserver: FakeHomeserver, database: Database
) -> None:
    crashing = Chats(cast(Homeserver, homeserver), cast(Database, ForgetfulDatabase(database)), STEWARD, "localhost")
    with pytest.raises(RuntimeError):
        await crashing.direct(ALICE, BOT, "Echo")
    assert len(homeserver.rooms) == 1
    assert await chats.direct(ALICE, BOT, "Echo") == "!room0:localhost"
    assert len(homeserver.rooms) == 1
    homeserver.aliases.clear()  # from now on it is known without asking for the alias
    assert await chats.direct(ALICE, BOT, "Echo") == "!room0:localhost"


async def test_who_left_is_invited_again_into_the_same_room(chats: Chats, homeserver: FakeHomeserver) -> None:
    room_id = await chats.direct(ALICE, BOT, "Echo")
    homeserver.rooms[room_id][ALICE] = "leave"
    assert await chats.direct(ALICE, BOT, "Echo") == room_id
    assert homeserver.invitations == [(room_id, BOT, ALICE)]
    homeserver.rooms[room_id][ALICE] = "join"
    await chats.direct(ALICE, BOT, "Echo")
    assert len(homeserver.invitations) == 1


async def test_who_was_never_there_is_invited(chats: Chats, homeserver: FakeHomeserver) -> None:
    room_id = await chats.direct(ALICE, BOT, "Echo")
    del homeserver.rooms[room_id][ALICE]
    assert await chats.direct(ALICE, BOT, "Echo") == room_id
    assert homeserver.invitations == [(room_id, BOT, ALICE)]


@pytest.mark.parametrize("who", [ALICE, BOT])
async def test_a_room_that_cannot_be_used_any_more_is_replaced_once(
    chats: Chats, homeserver: FakeHomeserver, who: str
) -> None:
    """The person is banned there, or the bot is not in it: under the next alias a new room is made."""
    first = await chats.direct(ALICE, BOT, "Echo")
    homeserver.rooms[first][who] = "ban" if who == ALICE else "leave"
    second = await chats.direct(ALICE, BOT, "Echo")
    assert second != first
    assert await chats.direct(ALICE, BOT, "Echo") == second
    assert len(homeserver.rooms) == 2
    assert homeserver.invitations == []


async def test_a_replaced_room_is_found_after_a_crash_too(
    chats: Chats, homeserver: FakeHomeserver, database: Database
) -> None:
    first = await chats.direct(ALICE, BOT, "Echo")
    homeserver.rooms[first][ALICE] = "ban"
    second = await chats.direct(ALICE, BOT, "Echo")
    await database.write(lambda connection: connection.execute(metadata.tables["rooms"].delete()))
    assert await chats.direct(ALICE, BOT, "Echo") == second
    assert len(homeserver.rooms) == 2


@pytest.mark.parametrize("status", [0, 429, 502])
async def test_trouble_that_passes_gives_no_room_up(chats: Chats, homeserver: FakeHomeserver, status: int) -> None:
    room_id = await chats.direct(ALICE, BOT, "Echo")
    homeserver.error = HomeserverError(status, "M_UNKNOWN", "later")
    with pytest.raises(HomeserverError):
        await chats.direct(ALICE, BOT, "Echo")
    homeserver.error = None
    assert await chats.direct(ALICE, BOT, "Echo") == room_id
    assert len(homeserver.rooms) == 1


async def test_the_space_belongs_to_the_steward_and_holds_the_rooms(chats: Chats, homeserver: FakeHomeserver) -> None:
    space = await chats.space(ALICE, ["!a:localhost", "!b:localhost"])
    assert await chats.space(ALICE, ["!b:localhost"]) == space
    (body,) = homeserver.bodies
    assert body["creation_content"] == {"type": "m.space"}
    assert body["power_level_content_override"]["users"] == {STEWARD: 100, ALICE: 50}
    assert "initial_state" not in body
    assert homeserver.rooms[space] == {STEWARD: "join", ALICE: "invite"}
    assert [state[1:] for state in homeserver.states] == [
        (space, "m.space.child", "!a:localhost"),
        (space, "m.space.child", "!b:localhost"),
        (space, "m.space.child", "!b:localhost"),
    ]
    assert {state[0] for state in homeserver.states} == {STEWARD}


async def test_a_group_is_made_once_for_its_purpose_and_found_after_a_crash(
    chats: Chats, homeserver: FakeHomeserver
) -> None:
    first = await chats.group("cases", BOT, "Staff", [ALICE])
    assert await chats.group("cases", BOT, "Staff", [ALICE]) == first
    other = await chats.group("orders", BOT, "Kitchen", [ALICE], encrypted=False)
    assert other != first
