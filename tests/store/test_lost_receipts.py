"""Receipts that were not pushed are asked for at a start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.actor import SYSTEM, Actor
from bridge.delivery import receipts as module
from bridge.domain.delivery import State
from bridge.domain.kinds import Kind
from bridge.store.chats import Chat
from tests.support.messenger import MessengerWorld, Person


class Rooms:
    """Stands before a world's homeserver: rooms tell of their receipts (``initialSync``)."""

    def __init__(self, world: MessengerWorld) -> None:
        self._real = world.homeserver.request
        self.receipts: dict[str, Any] = {}
        self.asked: list[tuple[str, str]] = []
        self.problem: HomeserverError | None = None
        world.homeserver.request = self.request  # type: ignore[method-assign]

    async def request(self, method: str, path: str, **options: Any) -> Any:
        if not path.endswith("/initialSync"):
            return await self._real(method, path, **options)
        if self.problem is not None:
            raise self.problem
        room_id = path.split("/")[-2].replace("%21", "!").replace("%3A", ":")
        self.asked.append((room_id, options["user_id"]))
        return {"room_id": room_id, "state": [], "receipts": self.receipts.get(room_id, [])}


def receipt(event_id: str, person: Person) -> Mapping[str, Any]:
    return {"type": "m.receipt", "content": {event_id: {"m.read": {person.user_id: {"ts": 5}}}}}


async def group(world: MessengerWorld, *people: Person) -> Chat:
    names = [person.user_id for person in people]
    chat = await world.chats.create(Actor.person(names[0]), Kind.GROUP, name="Tea", members=names[1:], key="tea")
    for person in people:
        await person.joins(chat.room_id)
    await world.settle()
    return chat


async def test_what_was_read_while_nobody_listened_is_found(database: Database) -> None:
    async with MessengerWorld(database, hub=False) as world:
        alice, bob = world.person("alice"), world.person("bob")
        chat = await group(world, alice, bob)
        said = await alice.says(chat.room_id, "hello")
        rooms, lost = Rooms(world), world.messenger.delivering.lost
        rooms.receipts[chat.room_id] = [receipt(said, bob), {"type": "m.typing"}, 5]
        lost.pause_s = 0
        assert (await world.messenger.delivery.status(SYSTEM, chat, said)).state is State.SENT
        assert await lost.ask() == 1
        assert rooms.asked == [(chat.room_id, world.messenger.ground.steward)]
        assert (await world.messenger.delivery.status(SYSTEM, chat, said)).state is State.READ


@pytest.mark.parametrize("receipts", [None, 5, [], [5], [{"type": "m.receipt", "content": 5}], [{"type": "m.receipt"}]])
async def test_odd_answers_do_no_harm(database: Database, receipts: object) -> None:
    async with MessengerWorld(database, hub=False) as world:
        alice = world.person("alice")
        chat = await group(world, alice)
        rooms, lost = Rooms(world), world.messenger.delivering.lost
        rooms.receipts[chat.room_id] = receipts
        lost.pause_s = 0
        assert await lost.ask() == 1


async def test_large_and_quiet_chats_are_not_asked(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async with MessengerWorld(database, hub=False) as world:
        alice, bob = world.person("alice"), world.person("bob")
        await group(world, alice, bob)
        rooms, lost = Rooms(world), world.messenger.delivering.lost
        lost.pause_s = 0
        monkeypatch.setattr(module, "MOST_MEMBERS", 1)
        assert await lost.ask() == 0
        monkeypatch.undo()
        assert await lost.ask() == 1
        await world.pass_time(days=8)
        assert await lost.ask() == 0
        assert len(rooms.asked) == 1


async def test_a_homeserver_that_refuses_or_is_away(database: Database) -> None:
    async with MessengerWorld(database, hub=False) as world:
        alice = world.person("alice")
        await group(world, alice)
        rooms, lost = Rooms(world), world.messenger.delivering.lost
        lost.pause_s = 0
        rooms.problem = HomeserverError(404, "M_UNRECOGNIZED", "not here")
        assert await lost.ask() == 1
        rooms.problem = HomeserverError(0, "UNREACHABLE", "down")
        with pytest.raises(HomeserverError):
            await lost.ask()


async def test_pushed_receipts_are_written_by_themselves(database: Database) -> None:
    async with MessengerWorld(database, hub=False, running=True) as world:
        alice, bob = world.person("alice"), world.person("bob")
        chat = await group(world, alice, bob)
        said = await alice.says(chat.room_id, "hello")
        await bob.reads(chat.room_id, said)
        await world.until(lambda: not world.messenger.delivery._waiting, "receipts are written")
        assert (await world.messenger.delivery.status(SYSTEM, chat, said)).state is State.READ
