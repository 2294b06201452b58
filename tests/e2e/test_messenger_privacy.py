"""Privacy on a real homeserver that has Rialto's module: invitations, requests, blocks, receipts, presence, devices.

People's settings stand in Rialto's database before it starts: what they say to ``@rialto`` is tested elsewhere.
"""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from appservice.administration import Administration, NoAdministration
from appservice.homeserver import Homeserver
from appservice.synapse_module import ENFORCED, SynapseModule
from tests.support.fixtures import StartRialto
from tests.support.servers import RialtoProcess, Server, running_synapse

pytestmark = pytest.mark.timeout(180)
FRESH = itertools.count()
"""Synapse keeps its answer to a sync for two minutes, and gives it again for the same question."""
CLIENT = "/_matrix/client/v3"
DIRECT: dict[str, Any] = {"is_direct": True, "preset": "trusted_private_chat"}


@dataclass(frozen=True)
class Person:
    """Somebody with plain HTTP, as any client speaks."""

    server: Server
    session: aiohttp.ClientSession
    user_id: str
    password: str
    token: str
    device_id: str

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.session.request(method, self.server.url + path, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def must(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        status, answer = await self.ask(method, path, body)
        assert status == 200, answer
        return answer

    async def invite(self, other: Person, **more: Any) -> tuple[int, dict[str, Any]]:
        """Make a room and invite somebody into it, as clients begin a chat."""
        room = await self.must("POST", f"{CLIENT}/createRoom", {"preset": "private_chat", **more})
        room_id = room["room_id"]
        status, answer = await self.ask("POST", f"{CLIENT}/rooms/{quote(room_id)}/invite", {"user_id": other.user_id})
        return status, {**answer, "room_id": room_id}

    async def sync(self, since: str = "", **query: str) -> dict[str, Any]:
        extra = "".join(f"&{name}={quote(value)}" for name, value in query.items())
        empty: dict[str, Any] = {"rooms": {}}  # left out when there is none
        return empty | await self.must(
            "GET", f"{CLIENT}/sync?timeout={next(FRESH)}{f'&since={since}' if since else ''}{extra}"
        )

    async def join(self, room_id: str) -> None:
        await self.must("POST", f"{CLIENT}/join/{quote(room_id)}", {})

    async def say(self, room_id: str, body: str) -> str:
        content = {"msgtype": "m.text", "body": body}
        path = f"{CLIENT}/rooms/{quote(room_id)}/send/m.room.message/t{time.time_ns()}"
        answer = await self.must("PUT", path, content)
        return str(answer["event_id"])


class World:
    """A Rialto, its homeserver, and people."""

    def __init__(self, server: Server, rialto: RialtoProcess, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.rialto = rialto
        self.session = session

    async def person(self, name: str) -> Person:
        account = await self.server.new_account(name)
        return await self.log_in(account.user_id, account.password)

    async def log_in(self, user_id: str, password: str) -> Person:
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user_id},
            "password": password,
            "initial_device_display_name": "A phone",
        }
        async with self.session.post(f"{self.server.url}{CLIENT}/login", json=body) as response:
            answer = await response.json()
        return Person(self.server, self.session, user_id, password, answer["access_token"], answer["device_id"])

    def write(self, *statements: tuple[str, tuple[Any, ...]]) -> None:
        """Write into Rialto's database."""
        with closing(sqlite3.connect(self.rialto.folder / "rialto.db", timeout=20)) as connection:
            for statement, values in statements:
                connection.execute(statement, values)
            connection.commit()

    def read(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.rialto.folder / "rialto.db", timeout=20)) as connection:
            return connection.execute(query, values).fetchall()

    def sets(self, person: Person, **settings: str) -> None:
        """What a person has set."""
        statement = "INSERT OR REPLACE INTO privacy_settings (user_id, what, audience) VALUES (?, ?, ?)"
        self.write(*((statement, (person.user_id, what, audience)) for what, audience in settings.items()))


async def until(condition: Callable[[], Any], what: str, timeout: float = 20) -> Any:
    """Wait until a condition (which may be awaited) holds; its value."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        found = await found if asyncio.iscoroutine(found) else found
        if found:
            return found
        assert time.monotonic() < deadline, f"did not happen: {what}"
        await asyncio.sleep(0.1)


@pytest.fixture
async def world(synapse: Server, rialto: StartRialto) -> AsyncIterator[World]:
    """Rialto runs and has greeted the module."""
    process = await rialto(bots=("hub",))
    async with aiohttp.ClientSession() as session:
        yield World(synapse, process, session)


async def test_strangers_are_asked_for_and_come_in_when_they_are_accepted_also_after_a_kill(world: World) -> None:
    alice, bob, carol = await world.person("alice"), await world.person("bob"), await world.person("carol")
    world.sets(bob, write="contacts", add="nobody")
    greeted = f'"rialto-{world.rialto.slot.name}"'

    async def screened() -> tuple[int, dict[str, Any]] | None:
        status, answer = await alice.invite(bob, **DIRECT)
        return (status, answer) if status != 200 else None

    status, answer = await until(screened, f"the module knows {greeted}")
    assert (status, answer["errcode"], answer["chat.rialto.code"]) == (403, "M_FORBIDDEN", "message_request")
    assert "asked" in answer["error"]
    room_id = answer["room_id"]
    assert room_id not in (await bob.sync())["rooms"].get("invite", {})

    # A group, which he takes from nobody.
    status, answer = await alice.invite(bob, name="A group")
    assert (status, answer["chat.rialto.code"]) == (403, "not_wanted")
    # He invites whom he likes, and who was invited by him may answer in kind.
    assert (await bob.invite(carol, **DIRECT))[0] == 200
    assert (await carol.invite(bob, **DIRECT))[0] == 200

    requests = world.read("SELECT id, other, state FROM privacy_requests WHERE user_id = ?", bob.user_id)
    assert [(other, state) for _, other, state in requests] == [(alice.user_id, "open")]
    world.rialto.kill()
    world.write(
        ("UPDATE privacy_requests SET state = 'accepted' WHERE id = ?", (requests[0][0],)),
        ("INSERT INTO privacy_contacts (user_id, other, since) VALUES (?, ?, 0)", (bob.user_id, alice.user_id)),
    )
    await world.rialto.start()

    async def invited() -> Any:
        return (await bob.sync())["rooms"].get("invite", {}).get(room_id)

    found = await until(invited, "the invitation is made")
    member = next(event for event in found["invite_state"]["events"] if event.get("state_key") == bob.user_id)
    assert (member["sender"], member["content"]["membership"]) == (alice.user_id, "invite")
    await bob.join(room_id)
    assert await until(
        lambda: world.read("SELECT 1 FROM privacy_requests WHERE id = ? AND state = 'done'", requests[0][0]), "done"
    )


async def test_when_rialto_is_away_people_go_on(world: World) -> None:
    alice, bob = await world.person("alice"), await world.person("bob")
    world.sets(bob, write="nobody")

    async def refused() -> bool:
        return (await alice.invite(bob, **DIRECT))[0] == 403

    await until(refused, "the module knows Rialto")
    world.rialto.kill()
    begun = time.monotonic()
    status, _ = await alice.invite(bob, **DIRECT)
    assert status == 200, "the module's when_away is allow"
    assert time.monotonic() - begun < 5


async def test_receipts_presence_and_blocks_are_the_homeservers_to_enforce(world: World) -> None:
    alice, bob = await world.person("alice"), await world.person("bob")
    world.sets(bob, receipts="nobody", presence="nobody")
    world.write(
        (
            "INSERT INTO privacy_blocks (user_id, other, blocked, synced, since) VALUES (?, ?, 1, 0, 0)",
            (alice.user_id, "@mallory:localhost"),
        ),
    )
    await world.rialto.restart(kill=True)
    homeserver = Homeserver(world.server.url, world.rialto.slot.as_token)
    await homeserver.start()
    try:
        module = SynapseModule(homeserver)
        hello = await module.hello()
        assert hello is not None
        assert set(hello.enforces) == ENFORCED
        await module.forget([alice.user_id, bob.user_id])
        token = await module.login_token(bob.user_id, 60_000)
        ignored = f"{CLIENT}/user/{quote(alice.user_id)}/account_data/m.ignored_user_list"

        async def ignores() -> bool:
            _, answer = await alice.ask("GET", ignored)
            return "@mallory:localhost" in answer.get("ignored_users", {})

        await until(ignores, "the block stands in the ignore list")
        await module.ignore(alice.user_id, "@eve:localhost", True)
        await module.ignore(alice.user_id, "@mallory:localhost", False)
        assert (await alice.must("GET", ignored))["ignored_users"] == {"@eve:localhost": {}}
    finally:
        await homeserver.stop()

    # A login token is for one device, once.
    body = {"type": "m.login.token", "token": token}
    async with world.session.post(f"{world.server.url}{CLIENT}/login", json=body) as response:
        assert (await response.json())["user_id"] == bob.user_id
    async with world.session.post(f"{world.server.url}{CLIENT}/login", json=body) as response:
        assert response.status == 403

    _, made = await alice.invite(bob, **DIRECT)
    room_id = made["room_id"]
    await bob.join(room_id)
    event_id = await alice.say(room_id, "hello")
    await bob.sync(set_presence="online")
    await alice.sync(set_presence="online")
    for person in (alice, bob):
        await person.must("POST", f"{CLIENT}/rooms/{quote(room_id)}/receipt/m.read/{quote(event_id)}", {})

    def receipts(sync: dict[str, Any]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for event in sync["rooms"]["join"][room_id]["ephemeral"]["events"]:
            for kinds in event["content"].values() if event["type"] == "m.receipt" else ():
                for kind, people in kinds.items():
                    found.setdefault(kind, set()).update(people)
        return found

    seen_by_alice, seen_by_bob = await alice.sync(), await bob.sync()
    assert receipts(seen_by_alice) == {"m.read": {alice.user_id}}
    assert receipts(seen_by_bob) == {"m.read": {alice.user_id}, "m.read.private": {bob.user_id}}

    def present(sync: dict[str, Any]) -> set[str]:
        return {event["sender"] for event in sync.get("presence", {}).get("events", [])}

    assert bob.user_id not in present(seen_by_alice)
    assert {alice.user_id, bob.user_id} <= present(seen_by_bob)
    status, _ = await alice.ask("GET", f"{CLIENT}/presence/{quote(bob.user_id)}/status")
    assert status == 403
    status, _ = await bob.ask("GET", f"{CLIENT}/presence/{quote(alice.user_id)}/status")
    assert status == 200


async def test_calls_that_are_not_encrypted_are_screened(world: World) -> None:
    alice, bob = await world.person("alice"), await world.person("bob")
    world.sets(bob, call="nobody")
    _, made = await alice.invite(bob, **DIRECT)
    room_id = made["room_id"]
    await bob.join(room_id)
    call = {"call_id": "1", "party_id": "1", "version": "1", "lifetime": 60_000, "offer": {"type": "offer", "sdp": ""}}

    async def refused() -> dict[str, Any] | None:
        path = f"{CLIENT}/rooms/{quote(room_id)}/send/m.call.invite/{time.time_ns()}"
        status, answer = await alice.ask("PUT", path, call)
        return answer if status == 403 else None

    answer = await until(refused, "the call is refused")
    assert answer["chat.rialto.code"] == "call_not_wanted"
    path = f"{CLIENT}/rooms/{quote(room_id)}/send/m.call.invite/{time.time_ns()}"
    assert (await bob.ask("PUT", path, call))[0] == 200


async def test_a_screenshot_is_told_to_the_chat_once(world: World) -> None:
    alice, bob = await world.person("alice"), await world.person("bob")
    steward = f"@{world.rialto.slot.sender_localpart}:localhost"
    homeserver = Homeserver(world.server.url, world.rialto.slot.as_token)
    await homeserver.start()
    body = {"preset": "private_chat", "invite": [alice.user_id, bob.user_id]}
    made = await homeserver.request("POST", f"{CLIENT}/createRoom", user_id=steward, body=body)
    room_id = made["room_id"]
    await homeserver.stop()
    for person in (alice, bob):
        await person.join(room_id)
    world.write(
        (
            "INSERT INTO chats (room_id, shard, id, kind, public, encrypted, workspace, created_by, created_at) "
            "VALUES (?, 0, 'chat', 'direct', 0, 0, '', ?, 0)",
            (room_id, alice.user_id),
        )
    )
    await world.rialto.restart()
    since = (await bob.sync())["next_batch"]
    for number in range(3):
        path = f"{CLIENT}/rooms/{quote(room_id)}/send/chat.rialto.screenshot/{number}"
        await alice.must("PUT", path, {})
    last = await alice.say(room_id, "that was funny")

    async def told() -> list[str] | None:
        timeline = (await bob.sync(since))["rooms"].get("join", {}).get(room_id, {}).get("timeline", {})
        events = timeline.get("events", [])
        said = [event["content"].get("body", "") for event in events if event["sender"] == steward]
        return said if said and any(event["event_id"] == last for event in events) else None

    assert await until(told, "the chat is told") == [f"{alice.user_id} has made a screenshot of this chat."]
    await asyncio.sleep(0.5)
    assert await told() == [f"{alice.user_id} has made a screenshot of this chat."]


async def test_one_device_is_signed_out_and_the_others_go_on(world: World) -> None:
    first = await world.person("alice")
    second = await world.log_in(first.user_id, first.password)
    administration = Administration(world.server.url, world.server.admin_token)
    await administration.start()
    try:
        assert await administration.whoami() == "@administrator:localhost"
        devices = {device.device_id: device for device in await administration.devices(first.user_id)}
        assert set(devices) == {first.device_id, second.device_id}
        assert devices[first.device_id].name == "A phone"
        await administration.delete_device(first.user_id, first.device_id)
        await administration.delete_device(first.user_id, first.device_id)
        assert [each.device_id for each in await administration.devices(first.user_id)] == [second.device_id]
        await administration.suspend(first.user_id, True)
        assert (await administration.user(first.user_id) or {})["suspended"] is True
        await administration.deactivate(first.user_id, True)
        assert (await administration.user(first.user_id) or {})["deactivated"] is True
        assert await administration.user("@nobody-of-that-name:localhost") is None
        assert await administration.delete_media("localhost", "none") is False
    finally:
        await administration.stop()
    assert (await first.ask("GET", f"{CLIENT}/account/whoami"))[0] == 401

    # Whoever is no administrator administrates nothing, and no token is none.
    third = await world.person("carol")
    for token in (third.token, "syt_nonsense", ""):
        administration = Administration(world.server.url, token)
        await administration.start()
        with pytest.raises(NoAdministration):
            await administration.devices(third.user_id)
        await administration.stop()


async def test_what_is_deleted_is_nowhere_as_the_documentation_says(tmp_path: Path) -> None:
    """docs/privacy.md, "Of a message that is deleted", in Synapse's own database, files and log."""
    async with running_synapse(tmp_path, slots=1, redaction_retention_period="1s") as server:
        async with aiohttp.ClientSession() as session:
            account = await server.new_account("alice")
            body = {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": account.user_id},
                "password": account.password,
            }
            async with session.post(f"{server.url}{CLIENT}/login", json=body) as response:
                answer = await response.json()
            alice = Person(
                server, session, account.user_id, account.password, answer["access_token"], answer["device_id"]
            )
            room_id = (await alice.must("POST", f"{CLIENT}/createRoom", {"name": "public"}))["room_id"]
            gone = await alice.say(room_id, "zebrafinch at noon")
            await alice.say(room_id, "quokkalight at dusk")
            headers = {"Authorization": f"Bearer {alice.token}"}
            async with session.post(
                f"{server.url}/_matrix/media/v3/upload", data=b"marmotwhistle" * 9, headers=headers
            ) as response:
                media = (await response.json())["content_uri"].removeprefix("mxc://")
            stored = [path for path in (server.settings.folder / "media").rglob("*") if path.is_file()]
            assert [path.read_bytes()[:13] for path in stored] == [b"marmotwhistle"]

            assert kept(server, "zebrafinch") == {"event_json"}, "and in no index"
            await alice.must("PUT", f"{CLIENT}/rooms/{quote(room_id)}/redact/{quote(gone)}/r", {})
            # Without the module Synapse looks every five minutes.
            await until(lambda: not kept(server, "zebrafinch"), "the content is emptied", timeout=30)
            assert kept(server, "quokkalight") == {"event_json"}

            administration = Administration(server.url, server.admin_token)
            await administration.start()
            try:
                assert await administration.delete_media(*media.split("/"))
                assert not await administration.delete_media(*media.split("/"))
                assert not [path for path in (server.settings.folder / "media").rglob("*") if path.is_file()]
                await administration.delete_room(room_id)
                await until(lambda: not kept(server, "quokkalight"), "the room is purged", timeout=30)
            finally:
                await administration.stop()
        await server.stop()
        written = server.everything_written() + server.log.read_bytes()
        for word in (b"zebrafinch", b"quokkalight", b"marmotwhistle"):
            assert word not in written


def kept(server: Server, word: str) -> set[str]:
    """The tables of Synapse that hold a word in any of their columns."""
    found = set()
    with closing(sqlite3.connect(f"file:{server.database}?mode=ro", uri=True, timeout=20)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type='table' AND sql NOT LIKE '%VIRTUAL%'")
        for (table,) in tables.fetchall():
            columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
            where = " OR ".join(f"instr(CAST(\"{column}\" AS TEXT), '{word}') > 0" for column in columns)
            if connection.execute(f'SELECT 1 FROM "{table}" WHERE {where} LIMIT 1').fetchone():
                found.add(table)
    return found
