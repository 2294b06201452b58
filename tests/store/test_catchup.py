"""Fetching what the homeserver failed to push, on both databases, with a homeserver that answers as told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest

from appservice.catchup import MAX_PAGES, CatchUp
from appservice.database import Database
from appservice.events import Transaction, defect
from appservice.homeserver import Homeserver, HomeserverError
from appservice.store import checkpoints

BOT = "@echo:localhost"
STEWARD = "@_rialto:localhost"


class FakeHomeserver:
    """Answers /sync and /messages; ``pings`` counts."""

    def __init__(self) -> None:
        self.rooms: dict[str, Any] = {}
        self.pages: list[dict[str, Any]] = []
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.problems: list[HomeserverError] = []
        self.pings = 0

    async def wait_reachable(self) -> None:
        """It is there."""

    async def ping(self, _appservice_id: str, _transaction_id: str) -> float:
        self.pings += 1
        return 1.0

    async def request(self, _method: str, path: str, *, query: Mapping[str, str], **_more: Any) -> Any:
        self.asked.append((path, query))
        if self.problems:
            raise self.problems.pop(0)
        return {"rooms": self.rooms} if path.endswith("/sync") else self.pages.pop(0)


class Door:
    """Remembers what was stored, and whether it was open then."""

    def __init__(self) -> None:
        self.refused, self.accepted = asyncio.Event(), asyncio.Event()
        self.opened = asyncio.Event()
        self.stored: list[Transaction] = []

    def close(self) -> None:
        self.opened.clear()

    def open(self) -> None:
        self.opened.set()

    async def store(self, transaction: Transaction) -> None:
        assert not self.opened.is_set(), "older events come before the door is open"
        self.stored.append(transaction)

    @property
    def ids(self) -> list[str]:
        return [event["event_id"] for transaction in self.stored for event in transaction.events]


def text(event_id: str) -> dict[str, Any]:
    return {"event_id": event_id, "sender": "@alice:localhost", "type": "m.room.message", "content": {"body": event_id}}


def member(event_id: str, membership: str, before: str | None = None) -> dict[str, Any]:
    unsigned = {"prev_content": {"membership": before}} if before else {}
    return {
        "event_id": event_id,
        "sender": BOT,
        "type": "m.room.member",
        "state_key": BOT,
        "content": {"membership": membership},
        "unsigned": unsigned,
    }


async def position(_user_id: str) -> str | None:
    return "s1"


async def caught_up(database: Database, homeserver: FakeHomeserver) -> Door:
    """One round, from closing the door to opening it."""
    await database.write(lambda connection: checkpoints.save(connection, {BOT: "s0"}, (), 1))
    door = Door()
    catch_up = CatchUp(cast(Homeserver, homeserver), database, door, "rialto", STEWARD, [BOT], position)
    running = asyncio.create_task(catch_up.run())
    catch_up.ask()
    try:
        async with asyncio.timeout(20):
            await door.opened.wait()
            while not homeserver.pings:
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.wait([running])
    return door


async def test_what_was_never_pushed_is_stored_before_the_door_opens(database: Database) -> None:
    homeserver = FakeHomeserver()
    homeserver.rooms = {"join": {"!r": {"timeline": {"events": [text("$1"), text("$2")], "limited": False}}}}
    door = await caught_up(database, homeserver)
    assert door.ids == ["$1", "$2"]
    assert [event["room_id"] for event in door.stored[0].events] == ["!r", "!r"]
    assert homeserver.asked[0][1]["since"] == "s0"
    assert homeserver.pings == 1


async def test_nobody_is_answered_from_a_cache(database: Database) -> None:
    """Synapse keeps what it has answered for two minutes, and knows by the whole request that it is the same."""

    class Caching(FakeHomeserver):
        def __init__(self) -> None:
            super().__init__()
            self.known: dict[str, Any] = {}

        async def request(self, _method: str, path: str, *, query: Mapping[str, str], **_more: Any) -> Any:
            return self.known.setdefault(f"{path} {sorted(query.items())}", {"rooms": self.rooms})

    homeserver = Caching()
    homeserver.rooms = {"join": {"!r": {"timeline": {"events": [text("$1")]}}}}
    assert (await caught_up(database, homeserver)).ids == ["$1"]
    homeserver.rooms = {"join": {"!r": {"timeline": {"events": [text("$1"), text("$2")]}}}}
    assert (await caught_up(database, homeserver)).ids == ["$1", "$2"]


async def test_what_is_said_while_the_homeserver_begins_to_push_again_is_not_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Synapse stores it as a transaction, and does not send it as long as all goes well."""
    monkeypatch.setattr("appservice.catchup.LOOK_AGAIN_S", 0.05)
    homeserver = FakeHomeserver()
    homeserver.rooms = {"join": {"!r": {"timeline": {"events": [text("$1")]}}}}
    await database.write(lambda connection: checkpoints.save(connection, {BOT: "s0"}, (), 1))
    stored, looked = [], asyncio.Event()

    class Open(Door):
        async def store(self, transaction: Transaction) -> None:
            stored.append([event["event_id"] for event in transaction.events])
            if self.opened.is_set():
                looked.set()

        def open(self) -> None:
            super().open()
            homeserver.rooms = {"join": {"!r": {"timeline": {"events": [text("$1"), text("$2")]}}}}

    catch_up = CatchUp(cast(Homeserver, homeserver), database, Open(), "rialto", STEWARD, [BOT], position)
    running = asyncio.create_task(catch_up.run())
    catch_up.ask()
    try:
        async with asyncio.timeout(20):
            await looked.wait()
    finally:
        running.cancel()
        await asyncio.wait([running])
    assert stored == [["$1"], ["$1", "$2"]]


async def test_a_long_gap_is_filled_in_order_or_left_to_the_homeserver(database: Database) -> None:
    homeserver = FakeHomeserver()
    timeline = {"events": [text("$5")], "limited": True, "prev_batch": "p"}
    homeserver.rooms = {"join": {"!r": {"timeline": timeline}}}
    homeserver.pages = [{"chunk": [text("$4"), text("$3")], "end": "q"}, {"chunk": [text("$2")]}]
    assert (await caught_up(database, homeserver)).ids == ["$2", "$3", "$4", "$5"]

    homeserver.pages = [{"chunk": [text(f"${page}x")], "end": "q"} for page in range(MAX_PAGES + 1)]
    assert (await caught_up(database, homeserver)).ids == []


async def test_what_was_said_before_the_bot_came_is_left_out(database: Database) -> None:
    homeserver = FakeHomeserver()
    events = [text("$before"), member("$invite", "invite"), member("$join", "join", "invite"), text("$after")]
    homeserver.rooms = {"join": {"!r": {"timeline": {"events": events, "limited": False}}}}
    assert (await caught_up(database, homeserver)).ids == ["$join", "$after"]

    events = [text("$1"), member("$renamed", "join", "join"), text("$2")]
    homeserver.rooms = {"join": {"!r": {"timeline": {"events": events, "limited": False}}}}
    assert (await caught_up(database, homeserver)).ids == ["$1", "$renamed", "$2"]


async def test_an_invitation_becomes_an_event(database: Database) -> None:
    homeserver = FakeHomeserver()
    stripped = {key: value for key, value in member("", "invite").items() if key not in {"event_id", "unsigned"}}
    homeserver.rooms = {"invite": {"!r": {"invite_state": {"events": [stripped]}}}}
    first, second = await caught_up(database, homeserver), await caught_up(database, homeserver)
    assert first.ids == second.ids
    assert defect(first.stored[0].events[0]) is None
    assert first.stored[0].events[0]["room_id"] == "!r"


async def test_a_failure_is_tried_again_and_a_strange_token_is_given_up(database: Database) -> None:
    homeserver = FakeHomeserver()
    homeserver.rooms = {"join": {"!r": {"timeline": {"events": [text("$1")]}}}}
    homeserver.problems = [HomeserverError(500, "M_UNKNOWN", "not now")]
    assert (await caught_up(database, homeserver)).ids == ["$1"]
    homeserver.problems = [HomeserverError(400, "M_UNKNOWN", "what token?")]
    assert (await caught_up(database, homeserver)).ids == []


async def test_checkpoints_lag_behind_and_forget_bots_that_are_gone(database: Database) -> None:
    tokens = iter(["s1", "s2", "s3"])

    async def moving(_user_id: str) -> str | None:
        return next(tokens)

    await database.write(lambda connection: checkpoints.save(connection, {"@gone:localhost": "s0"}, (), 1))
    catch_up = CatchUp(cast(Homeserver, FakeHomeserver()), database, Door(), "rialto", STEWARD, [BOT], moving)
    seen = []
    for _ in range(3):
        await catch_up.checkpoint()
        seen.append(await database.read(checkpoints.load))
    assert seen == [{BOT: "s1"}, {BOT: "s1"}, {BOT: "s2"}]
