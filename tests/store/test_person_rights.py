"""A copy of all that is held about a person, and their erasure: seen in the databases, on both of them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection, LargeBinary, select

from appservice.administration import Device
from appservice.database import Database
from appservice.homeserver import HomeserverError
from appservice.unit import UnitOfWork
from bots.framework.rights import BotsPart
from bots.store.tables import metadata
from bots.store.tables import people as people_table
from bridge.actor import SYSTEM, Actor
from bridge.domain.audit import PSEUDONYM
from bridge.domain.kinds import Kind
from bridge.domain.rights import Kind as Asked
from bridge.domain.rights import Obstacle, State
from bridge.errors import NotFound, Refused, TooMany
from bridge.rights.service import ErasureRefused
from bridge.store.chats import Chat
from tests.support.messenger import PICKLE_KEY, STEWARD
from tests.support.moderation import MO, FakeAdministration, ModerationWorld

ALICE, BOB = "@alice:world", "@bob:world"
AWAY = HomeserverError(503, "M_UNKNOWN", "away (test)")


class FakeAccounts(FakeAdministration):
    """Accounts and their files too."""

    def __init__(self) -> None:
        super().__init__()
        self.closed: list[tuple[str, bool]] = []
        self.media = {f"file{number}": ALICE for number in range(3)} | {"bobs": BOB}

    async def user(self, user_id: str) -> dict[str, Any] | None:
        return {"name": user_id, "displayname": "Alice", "password_hash": "$2b$", "threepids": []}

    async def devices(self, user_id: str) -> list[Device]:
        return [Device("PHONE", "phone", 5, "203.0.113.7", "Element")]

    async def media_of(self, user_id: str) -> AsyncIterator[dict[str, Any]]:
        for media_id in [name for name, owner in self.media.items() if owner == user_id]:
            yield {"media_id": media_id, "media_length": 5}

    async def delete_media(self, server: str, media_id: str) -> bool:
        if self.error is not None:
            raise self.error
        return self.media.pop(media_id, None) is not None

    async def deactivate(self, user_id: str, erase: bool = False) -> None:
        self.closed.append((user_id, erase))


class RightsWorld(ModerationWorld):
    """A world in which Alice has left traces everywhere."""

    async def start(self) -> RightsWorld:
        await super().start()
        self.accounts = FakeAccounts()
        self.rights = self.messenger.rights
        self.rights.register(BotsPart(PICKLE_KEY))
        source: Any = self.rights._sources["homeserver"]
        source._accounts = self.accounts
        return self

    async def traces(self) -> tuple[Chat, Chat]:
        """Alice in a group and in a public channel of hers, with all that comes of it."""
        group = await self.group("bob", "alice", "carol")
        channel = await self.group("alice", "bob", kind=Kind.CHANNEL, public=True, key="2")
        alice = self.person("alice")
        said = await alice.says(channel.room_id, "my own words")
        await self.person("bob").reads(channel.room_id, said)
        secret = await alice.says(group.room_id, "my secret words")
        await alice.reacts(group.room_id, secret, "👍")
        await self.moderation.report(BOB, group, secret, "alice was rude")
        carols = await self.person("carol").says(group.room_id, "hello")
        await alice.reacts(group.room_id, carols, "🚩")
        decided = await self.moderation.report(BOB, "", ALICE, "alice again")
        await self.moderation.act(Actor.person(MO), decided.id, "warn", reason="dear alice")
        await self.moderation.appeal(ALICE, decided.id, "I, alice, was right")
        await self.messenger.privacy.change(ALICE, write="contacts")
        await self.messenger.privacy.block(ALICE, "@eve:world")
        await self.members.mute(SYSTEM, group, ALICE, 60)
        await self.messenger.links.create(Actor.person(ALICE), channel, title="for friends")
        await self.messenger.timers.set(Actor.person(ALICE), channel, 86_400)
        await alice.says(channel.room_id, "gone tomorrow")

        def more(connection: Connection) -> None:
            row = {"user_id": ALICE, "language": "de", "zone": "Europe/Berlin", "changed_at": 1}
            connection.execute(people_table.insert(), row)

        await self.database.write(more)
        await self.settle()
        return group, channel

    async def finish(self) -> None:
        """Everything that was asked for is done, late sweeps too."""
        for _ in range(6):
            await self.rights.run_due()
            await self.settle()
            await self.pass_time(days=1)
            await self.rights.run_due()


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RightsWorld]:
    async with RightsWorld(database) as made:
        yield made


async def rows_with(database: Database, *words: str) -> dict[str, list[str]]:
    """By table: the columns in which one of these words stands, in any row, sealed ones excepted."""

    def read(connection: Connection) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)).mappings():
                for column, value in row.items():
                    kind = table.c[str(column)].type
                    text = (
                        bytes(value).decode("utf-8", "replace")
                        if isinstance(kind, LargeBinary) and value
                        else str(value)
                    )
                    if any(word in text for word in words):
                        found.setdefault(table.name, []).append(str(column))
        return found

    return await database.read(read)


def opened(archive: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        assert file.testzip() is None
        return {name: json.loads(file.read(name)) for name in file.namelist() if name.endswith(".json")}


# A copy


async def test_everything_is_in_the_archive(world: RightsWorld) -> None:
    group, channel = await world.traces()
    steps: list[tuple[int, int, str]] = []
    files = opened(await world.rights.export(ALICE, lambda *step: steps.append(step)))
    assert files["contents.json"]["person"] == ALICE
    assert set(files["contents.json"]["files"]) == set(files) - {"contents.json"}
    folders = {name.partition("/")[0] for name in files} - {"contents.json"}
    assert folders == {
        "audit", "bots", "channels", "chats", "delivery", "engine", "homeserver", "links", "moderation", "privacy",
        "products", "retention", "rights", "search", "timers",
    }  # fmt: skip
    assert {each["room_id"] for each in files["chats/memberships.json"]} == {group.room_id, channel.room_id}
    assert files["bots/settings.json"]["language"] == "de"
    assert files["homeserver/account.json"] == {"name": ALICE, "displayname": "Alice", "threepids": []}
    assert [each["device_id"] for each in files["homeserver/devices.json"]] == ["PHONE"]
    said = files[f"homeserver/said/{channel.id}-0001.json"]
    assert "my own words" in [each["content"].get("body") for each in said]
    (appeal,) = files["moderation/appeals.json"]
    assert appeal["text"] == "I, alice, was right"
    (decision,) = files["moderation/decisions.json"]
    assert decision["action"] == "warn" and decision["note"] == "dear alice"
    (mine,) = files["moderation/reported.json"]
    assert mine["subject"] == "@carol:world"
    # Who reported her is not hers to know.
    shown = json.dumps([files["moderation/decisions.json"], files["moderation/appeals.json"]])
    assert BOB not in shown and "rude" not in shown
    assert [done for done, _, _ in steps] == list(range(len(steps))) and steps[-1][0] == steps[-1][1]


async def test_somebody_of_whom_nothing_is_held(world: RightsWorld) -> None:
    files = opened(await world.rights.export("@nobody:elsewhere"))
    assert not any(content for name, content in files.items() if name != "contents.json")
    for nobody in (STEWARD, "nonsense"):
        with pytest.raises(Refused):
            await world.rights.export(nobody)


async def test_an_archive_is_made_in_the_background(world: RightsWorld) -> None:
    await world.traces()
    asked = await world.rights.start_export(ALICE)
    assert (await world.rights.start_export(ALICE)).id == asked.id
    with pytest.raises(NotFound):
        await world.rights.archive(ALICE, asked.id)
    assert await world.rights.run_due() == 1
    await world.settle()
    done = await world.rights.status(ALICE)
    assert done is not None and done.state is State.DONE and done.done == done.total > 10 and done.size
    (told,) = [each for each in world.told_to(ALICE) if each.code == "export.ready"]
    assert told.values["request"] == asked.id
    archive = await world.rights.archive(ALICE, asked.id)
    assert len(archive) == done.size and "my own words" in json.dumps(opened(archive))
    with pytest.raises(NotFound):
        await world.rights.archive(BOB, asked.id)
    # Four bytes, the signature of a ZIP file: two would come about by chance in what lies sealed.
    assert "rights_files" not in await rows_with(world.database, "PK\x03\x04", "contents.json")
    await world.pass_time(days=8)
    await world.rights.run_due()
    with pytest.raises(NotFound):
        await world.rights.archive(ALICE, asked.id)
    assert not await world.database.read(lambda it: it.execute(select(metadata.tables["rights_files"])).all())


async def test_an_archive_survives_a_crash_and_an_absent_homeserver(world: RightsWorld) -> None:
    await world.traces()
    await world.rights.start_export(ALICE)
    world.homeserver.fault = lambda method, path: AWAY if path.endswith("/messages") else None
    await world.rights.run_due()
    state = await world.rights.status(ALICE)
    assert state is not None and state.state is State.RUNNING
    await world.restart(kill=True)
    world.homeserver.fault = lambda _method, _path: None
    await world.pass_time(minutes=1)
    await world.rights.run_due()
    state = await world.rights.status(ALICE)
    assert state is not None and state.state is State.DONE


async def test_not_more_than_some_a_day(world: RightsWorld) -> None:
    for _ in range(3):
        await world.rights.start_export(BOB)
        await world.rights.run_due()
        await world.pass_time(seconds=1)
    with pytest.raises(TooMany):
        await world.rights.start_export(BOB)
    await world.pass_time(days=1)
    await world.rights.start_export(BOB)


# To be forgotten


async def test_nothing_of_an_erased_person_is_left(world: RightsWorld) -> None:
    group, channel = await world.traces()
    assert len(await rows_with(world.database, ALICE)) > 10
    await world.rights.start_export(ALICE)
    await world.rights.run_due()
    await world.rights.erase(ALICE)
    assert await world.rights.run_due() == 0  # whoever was asked still says farewell
    await world.pass_time(seconds=16)
    await world.rights.run_due()
    await world.settle()
    await world.finish()
    assert await rows_with(world.database, "alice", "Alice", "my own words", "gone tomorrow") == {}
    # At the homeserver: her words, her name, her files, her account.
    for room in (world.room(group.room_id), world.room(channel.room_id)):
        assert room.membership(ALICE) == "leave"
        for event in room.timeline:
            if event["sender"] == ALICE and event["type"] != "m.room.redaction" and "state_key" not in event:
                assert "redacted_because" in event["unsigned"], event
            if event["type"] == "m.room.member" and event["sender"] == ALICE:
                assert not {"displayname", "avatar_url"} & set(event["content"])
    assert world.accounts.media == {"bobs": BOB} and (ALICE, True) in world.accounts.closed
    # What is others' is whole.
    assert "@carol:world" in await members(world, group)
    report = await world.messenger.audit.verify()
    assert report.whole, report.problems
    (erased,) = [each for each in await world.messenger.audit.list(limit=500) if each.action == "rights.erase"]
    assert erased.subject.startswith(PSEUDONYM) and erased.actor == erased.subject
    state = await world.database.read(lambda it: it.execute(select(metadata.tables["rights_requests"])).all())
    assert [(row.kind, row.state, row.sealed) for row in state] == [("erase", "done", None)]


async def members(world: RightsWorld, chat: Chat) -> set[str]:
    page = await world.members.page(SYSTEM, chat)
    return {each.user_id for each in page.items}


async def test_an_erasure_goes_on_after_a_crash(world: RightsWorld) -> None:
    group, _ = await world.traces()
    await world.rights.erase(ALICE)
    await world.pass_time(seconds=16)
    count = 0

    def sometimes(method: str, path: str) -> HomeserverError | None:
        nonlocal count
        count += "/redact/" in path or path.endswith("/kick")
        return AWAY if count == 3 else None

    world.homeserver.fault = sometimes
    await world.rights.run_due()
    assert await rows_with(world.database, ALICE)
    state = await world.rights.status(ALICE, Asked.ERASE)
    assert state is not None and state.state is State.RUNNING
    await world.restart(kill=True)
    world.homeserver.fault = lambda _method, _path: None
    await world.pass_time(minutes=2)
    await world.rights.run_due()
    await world.settle()
    await world.finish()
    assert await rows_with(world.database, "alice") == {}
    redacted = [event["redacts"] for event in world.room(group.room_id).timeline if event.get("redacts")]
    assert len(redacted) == len(set(redacted))


async def test_what_comes_late_is_swept_away(world: RightsWorld) -> None:
    await world.traces()
    await world.rights.erase(ALICE)
    await world.pass_time(seconds=16)
    world.held = True  # the homeserver tells of her departure only later
    await world.rights.run_due()
    world.held = False
    await world.settle()
    assert await rows_with(world.database, ALICE)
    await world.pass_time(minutes=11)
    await world.rights.run_due()
    await world.settle()
    await world.finish()
    assert await rows_with(world.database, "alice") == {}
    assert (await world.messenger.audit.verify()).whole


async def test_a_legal_hold_and_other_obstacles(world: RightsWorld) -> None:
    group, _ = await world.traces()
    await world.messenger.retention.hold(SYSTEM, group, "a case")
    with pytest.raises(ErasureRefused) as caught:
        await world.rights.erase(ALICE)
    assert [each.code for each in caught.value.obstacles] == ["legal_hold"]
    await world.messenger.retention.release(SYSTEM, group)
    await world.rights.erase(ALICE)
    # It comes back before the erasure begins: nothing happens, and she is told.
    world.rights.add_obstacle(lambda _connection, who: [Obstacle("money", "There is money.")] if who == ALICE else [])
    await world.pass_time(seconds=16)
    await world.rights.run_due()
    await world.settle()
    state = await world.rights.status(ALICE, Asked.ERASE)
    assert state is not None and state.state is State.FAILED and state.problem == "money"
    assert world.room(group.room_id).membership(ALICE) == "join"
    assert "erase.refused" in world.codes(ALICE)


async def test_who_has_an_account_elsewhere_keeps_it(world: RightsWorld) -> None:
    chat = await world.group("bob")
    eve = world.person("eve", "far.example")
    await world.person("bob").invites(chat.room_id, eve)
    await eve.joins(chat.room_id)
    await eve.says(chat.room_id, "hello")
    await world.rights.erase(str(eve))
    await world.pass_time(seconds=16)
    await world.rights.run_due()
    await world.settle()
    await world.finish()
    assert world.room(chat.room_id).membership(str(eve)) == "leave" and not world.accounts.closed
    assert await rows_with(world.database, "eve:far") == {}


async def test_erased_once_however_often_it_is_asked_for(world: RightsWorld) -> None:
    await world.traces()
    first = await world.rights.erase(ALICE)
    assert (await world.rights.erase(ALICE, SYSTEM)).id == first.id
    await world.pass_time(seconds=16)
    await world.rights.run_due()
    await world.settle()
    await world.finish()
    await world.rights.erase(ALICE, SYSTEM)
    await world.pass_time(seconds=16)
    await world.rights.run_due()
    await world.finish()
    assert await rows_with(world.database, "alice") == {}


async def test_events_that_wait_are_dropped(world: RightsWorld) -> None:
    group, _ = await world.traces()

    class Fails:
        name, user_id = "test:fails", STEWARD

        def wants(self, event: Any) -> bool:
            return bool(event.content.get("chat.test"))

        async def handle(self, event: Any, unit: UnitOfWork) -> None:
            raise ValueError("always")

        async def unreadable(self, event: Any, unit: UnitOfWork, reason: str) -> None: ...
        async def gave_up(self, event: Any, unit: UnitOfWork) -> None: ...
        async def ephemeral(self, event: Any) -> None: ...

    world.dispatch.add_everywhere(Fails())
    await world.person("carol").sends(group.room_id, "m.reaction", {"chat.test": "carol's"})
    await world.members.unmute(SYSTEM, group, ALICE)
    await world.person("alice").sends(group.room_id, "m.reaction", {"chat.test": "a dead letter of hers"})
    assert "inbox" in await rows_with(world.database, "a dead letter of hers")
    await world.rights.erase(ALICE)
    await world.pass_time(seconds=16)
    await world.rights.run_due()
    await world.settle()
    await world.finish()
    assert "inbox" not in await rows_with(world.database, "alice", "a dead letter of hers")
    assert "inbox" in await rows_with(world.database, "carol's")
