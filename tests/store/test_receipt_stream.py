"""Receipts that were not pushed are found in the stream."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from appservice.clock import ManualClock
from appservice.database import Database, DatabaseError
from appservice.homeserver import Homeserver, HomeserverError
from bridge.actor import SYSTEM, Actor
from bridge.delivery.receipts import ReceiptStream
from bridge.domain.delivery import State
from bridge.domain.kinds import Kind
from bridge.store import delivery as store
from tests.support.messenger import STEWARD, MessengerWorld


class Syncing:
    """A homeserver that answers ``/sync`` alone: with the receipts behind a token."""

    def __init__(self) -> None:
        self.receipts: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[tuple[str | None, dict[str, Any]]] = []
        self.forgot = False
        self.down = False

    async def request(self, method: str, path: str, *, query: Mapping[str, str], **_: object) -> Any:
        assert (method, path) == ("GET", "/_matrix/client/v3/sync")
        if self.down:
            raise HomeserverError(0, "UNREACHABLE", "down")
        since, wanted = query.get("since"), json.loads(query["filter"])
        self.asked.append((since, wanted))
        if since is not None and self.forgot:
            raise HomeserverError(400, "M_INVALID_PARAM", "what token?")
        join: dict[str, Any] = {}
        if wanted["room"].get("rooms") != []:
            for room_id, content in self.receipts[int(since or 0) :]:
                events = join.setdefault(room_id, {"ephemeral": {"events": []}})["ephemeral"]["events"]
                events.append({"type": "m.receipt", "content": content})
        return {"next_batch": str(len(self.receipts)), "rooms": {"join": join}}


async def test_it_begins_with_now_and_misses_nothing(database: Database) -> None:
    server = Syncing()
    taken: list[Any] = []
    server.receipts.append(("!a", {"$old": {}}))
    stream = ReceiptStream(cast(Homeserver, server), database, ManualClock())

    async def take(events: Sequence[Mapping[str, Any]]) -> None:
        taken.extend((event["room_id"], next(iter(event["content"]))) for event in events)

    stream.takers.append(take)
    await stream.catch_up([STEWARD])
    assert taken == []
    server.receipts += [("!a", {"$1": {}}), ("!b", {"$2": {}})]
    again = ReceiptStream(cast(Homeserver, server), database, ManualClock())  # after a restart
    again.takers.append(take)
    await again.catch_up([STEWARD])
    await again.catch_up([STEWARD])
    assert taken == [("!a", "$1"), ("!b", "$2")]
    assert [since for since, _ in server.asked] == [None, "1", "3"]


async def test_what_is_not_kept_comes_again(database: Database) -> None:
    server = Syncing()
    taken: list[Any] = []
    stream = ReceiptStream(cast(Homeserver, server), database, ManualClock())

    async def take(events: Sequence[Mapping[str, Any]]) -> None:
        taken.append(len(events))
        if len(taken) == 1:
            raise DatabaseError("gone")

    stream.takers.append(take)
    await stream.catch_up([STEWARD])
    server.receipts.append(("!a", {"$1": {}}))
    with pytest.raises(DatabaseError):
        await stream.catch_up([STEWARD])
    await stream.catch_up([STEWARD])
    assert taken == [1, 1]


async def test_a_homeserver_that_is_away_or_forgot_its_tokens(database: Database) -> None:
    server = Syncing()
    stream = ReceiptStream(cast(Homeserver, server), database, ManualClock())
    server.down = True
    await stream.catch_up([STEWARD])
    server.down = False
    await stream.catch_up([STEWARD])
    server.receipts.append(("!a", {"$1": {}}))
    server.forgot = True
    await stream.catch_up([STEWARD])
    assert await database.read(lambda connection: store.position(connection, STEWARD)) == "1"


async def test_receipts_from_while_the_service_was_down(database: Database) -> None:
    async with MessengerWorld(database, hub=False) as world:
        alice, bob = world.person("alice"), world.person("bob")
        chat = await world.chats.create(
            Actor.person(alice.user_id), Kind.GROUP, name="Tea", members=[bob.user_id], key="1"
        )
        await alice.joins(chat.room_id)
        await bob.joins(chat.room_id)
        said = await alice.says(chat.room_id, "hello")
        server = Syncing()
        stream = ReceiptStream(cast(Homeserver, server), database, world.clock)
        delivery = world.messenger.delivery
        stream.takers.append(world.messenger.delivering._tasks._take)
        await stream.catch_up([STEWARD])
        server.receipts.append((chat.room_id, {said: {"m.read": {bob.user_id: {"ts": 5}}}}))
        assert (await delivery.status(SYSTEM, chat, said)).state is State.SENT
        await stream.catch_up([STEWARD])
        assert (await delivery.status(SYSTEM, chat, said)).state is State.READ


async def test_pushed_receipts_are_written_by_themselves(database: Database) -> None:
    async with MessengerWorld(database, hub=False, running=True) as world:
        world.failures.clear()
        alice, bob = world.person("alice"), world.person("bob")
        chat = await world.chats.create(
            Actor.person(alice.user_id), Kind.GROUP, name="Tea", members=[bob.user_id], key="1"
        )
        await alice.joins(chat.room_id)
        await bob.joins(chat.room_id)
        said = await alice.says(chat.room_id, "hello")
        await bob.reads(chat.room_id, said)

        def waits() -> bool:
            return not world.messenger.delivery._waiting

        await world.until(waits, "receipts are written")
        assert (await world.messenger.delivery.status(SYSTEM, chat, said)).state is State.READ
