"""Message timers on both databases: what goes, when, in which order, once, whatever fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, select

from appservice.administration import NoAdministration
from appservice.database import Database
from appservice.e2ee.errors import KeyMissing
from appservice.events import Event
from appservice.homeserver import HomeserverError
from appservice.unit import UnitOfWork
from bridge.actor import SYSTEM, Actor
from bridge.domain.kinds import Kind
from bridge.domain.roles import Role
from bridge.domain.timers import MEDIA, TIMER, Start, Timer
from bridge.errors import NotAllowed, NotFound, Refused
from bridge.reading import Reading
from bridge.store import timers as store
from bridge.store.chats import Chat
from bridge.store.timer_tables import chat_timers, media_removals, message_files, timed_messages
from bridge.store.timers import Timed
from bridge.timers import drain as drain_module
from bridge.timers.files import FileRemover
from bridge.timers.rights import Part
from bridge.timers.service_files import ServiceFiles
from tests.support.messenger import HUB, STEWARD, MessengerWorld, Person

FAST = {"timers": {"per_second": 10_000}}
MXC = "mxc://world/picture"
Pair = tuple[MessengerWorld, Person, Person, Chat]


@asynccontextmanager
async def pair(database: Database, kind: Kind = Kind.GROUP, *, public: bool = False) -> AsyncIterator[Pair]:
    """Alice's chat with Bob, both inside."""
    async with MessengerWorld(database, messenger=FAST) as world:
        alice, bob = world.person("alice"), world.person("bob")
        name = "" if kind is Kind.DIRECT else "Tea"
        chat = await world.chats.create(
            Actor.person(alice.user_id), kind, name=name, public=public, members=[bob.user_id], key="1"
        )
        await alice.joins(chat.room_id)
        await bob.joins(chat.room_id)
        await world.settle()
        yield world, alice, bob, chat


async def drained(world: MessengerWorld) -> None:
    """Everything that is due is removed; time passes as the pace asks for."""
    while await once(world):
        await world.settle()


async def once(world: MessengerWorld) -> int:
    """A batch of it."""
    work = asyncio.create_task(world.messenger.timing.drain.run_due())
    while not work.done():
        await asyncio.wait([work], timeout=0.002)
        if world.clock.waiting:
            world.clock.set(min(world.clock._waiting.values()))
    return await work


async def later(world: MessengerWorld, seconds: float) -> None:
    """So much later, what was due is removed."""
    await world.pass_time(seconds=seconds)
    await drained(world)


def gone(world: MessengerWorld, chat: Chat, event_id: str) -> bool:
    """Whether a message is redacted. Its content is empty then, and it was not redacted more than once."""
    redactions = Counter(
        raw["redacts"] for raw in world.room(chat.room_id).timeline if raw["type"] == "m.room.redaction"
    )
    event = world.room(chat.room_id).event(event_id)
    assert event is not None
    assert redactions[event_id] <= 1
    assert (redactions[event_id] == 1) == (event["content"] == {})
    return redactions[event_id] == 1


def order(world: MessengerWorld, chat: Chat) -> list[str]:
    """What was redacted, in order."""
    return [raw["redacts"] for raw in world.room(chat.room_id).timeline if raw["type"] == "m.room.redaction"]


async def rows(database: Database) -> list[Timed]:
    query = select(timed_messages).order_by(timed_messages.c.due_at, timed_messages.c.seq)
    found = await database.read(lambda connection: connection.execute(query).mappings().all())
    return [Timed(**{name: row[name] for name in Timed.__slots__}) for row in found]


async def set_timer(world: MessengerWorld, who: Person, chat: Chat, seconds: int | None, start: str = "sent") -> None:
    await world.messenger.timers.set(Actor.person(who.user_id), chat, seconds, start)
    await world.settle()


# --- setting


async def test_a_message_goes_on_time(database: Database) -> None:
    async with pair(database) as (world, alice, bob, chat):
        before = await alice.says(chat.room_id, "before the timer")
        await set_timer(world, alice, chat, 60)
        assert await world.messenger.timers.get(chat) == Timer(60)
        first = await bob.says(chat.room_id, "hello")
        await world.pass_time(seconds=30)
        second = await alice.says(chat.room_id, "hello too")
        await later(world, 29)
        assert not gone(world, chat, first)
        await later(world, 1)
        assert gone(world, chat, first) and not gone(world, chat, second)
        await later(world, 30)
        assert gone(world, chat, second) and not gone(world, chat, before)
        assert order(world, chat)[-1] == second
        redaction = world.room(chat.room_id).timeline[-1]
        assert redaction["sender"] == STEWARD and redaction["content"]["reason"] == "message timer"


async def test_off_means_that_new_messages_stay(database: Database) -> None:
    async with pair(database) as (world, alice, bob, chat):
        await set_timer(world, alice, chat, 60)
        timed = await bob.says(chat.room_id, "goes")
        await set_timer(world, alice, chat, None)
        assert await world.messenger.timers.get(chat) is None
        stays = await bob.says(chat.room_id, "stays")
        await later(world, 3_600)
        assert gone(world, chat, timed) and not gone(world, chat, stays)


async def test_the_order_of_the_timeline_decides(database: Database) -> None:
    """Messages that were sent before the timer, and are worked after it was set, have no timer."""
    async with pair(database) as (world, alice, bob, chat):
        world.held = True
        before = await bob.says(chat.room_id, "before")
        await world.messenger.timers.set(Actor.person(alice.user_id), chat, 60)
        after = await bob.says(chat.room_id, "after")
        world.held = False
        await world.settle()
        await later(world, 61)
        assert gone(world, chat, after) and not gone(world, chat, before)


async def test_state_stays_and_everything_else_goes(database: Database) -> None:
    async with pair(database, Kind.CHANNEL, public=True) as (world, alice, _, chat):
        await set_timer(world, alice, chat, 60)
        post = await alice.says(chat.room_id, "a post")
        poll = await alice.sends(chat.room_id, "m.poll.start", {"m.poll": {}})
        own = await alice.sends(chat.room_id, "com.example.move", {"to": "e4"})
        reaction = await alice.reacts(chat.room_id, post, "👍")
        state = await alice.sets(chat.room_id, "m.room.topic", {"topic": "news"})
        await later(world, 61)
        assert all(gone(world, chat, each) for each in (post, poll, own, reaction))
        assert not gone(world, chat, state)
        assert await rows(database) == []


async def test_who_may_set_it(database: Database) -> None:
    async with pair(database) as (world, alice, bob, chat):
        timers = world.messenger.timers
        for who, error in ((bob.user_id, NotAllowed), ("@eve:world", NotFound)):
            with pytest.raises(error):
                await timers.set(Actor.person(who), chat, 60)
        with pytest.raises(NotFound):
            await timers.set(Actor.of_product("shop"), chat, 60)
        await world.members.set_role(Actor.person(alice.user_id), chat, bob.user_id, Role.ADMIN)
        await timers.set(Actor.person(bob.user_id), chat, 60)
        assert await timers.get(chat) == Timer(60)


async def test_both_people_of_a_direct_chat_may(database: Database) -> None:
    async with pair(database, Kind.DIRECT) as (world, alice, bob, chat):
        await set_timer(world, bob, chat, 5, "read")
        await set_timer(world, alice, chat, 10)
        assert await world.messenger.timers.get(chat) == Timer(10)


@pytest.mark.parametrize("seconds", [4, 0, -5, 365 * 86_400 + 1, True])
async def test_times_have_bounds(database: Database, seconds: int) -> None:
    async with pair(database) as (world, alice, _, chat):
        with pytest.raises(Refused) as caught:
            await world.messenger.timers.set(Actor.person(alice.user_id), chat, seconds)
        assert caught.value.code == "timer_range"
        with pytest.raises(Refused) as caught:
            await world.messenger.timers.set(Actor.person(alice.user_id), chat, 60, "tomorrow")
        assert caught.value.code == "timer_start"


async def test_it_is_said_and_audited_once(database: Database) -> None:
    async with pair(database) as (world, alice, _, chat):
        await set_timer(world, alice, chat, 86_400, "read")
        await set_timer(world, alice, chat, 86_400, "read")
        await alice.sets(chat.room_id, TIMER, {"seconds": 60, "start": "sent", "by": "@bob:world"})
        said = [body for body in world.room(chat.room_id).bodies() if "Message timer" in body]
        assert said == [
            "_rialto: Message timer: new messages disappear 1 day after they were first read.",
            "_rialto: Message timer: new messages disappear 1 minute after they were sent.",
        ]
        entries = [each for each in await world.messenger.audit.list() if each.action == "chat.timer"]
        # A client that sets it says nothing about who did: the homeserver knows.
        assert [(each.actor, each.details) for each in entries] == [
            (alice.user_id, {"seconds": 60, "start": "sent"}),
            (alice.user_id, {"seconds": 86_400, "start": "read"}),
        ]
        state = world.room(chat.room_id).content(TIMER)
        assert state == {"seconds": 60, "start": "sent", "by": "@bob:world"}


async def test_a_timer_of_nonsense_is_off(database: Database) -> None:
    async with pair(database) as (world, alice, _, chat):
        await set_timer(world, alice, chat, 60)
        await alice.sets(chat.room_id, TIMER, {"seconds": "1 OR 1=1", "start": {"$gt": ""}})
        stays = await alice.says(chat.room_id, "stays")
        await later(world, 3_600)
        assert not gone(world, chat, stays)


# --- of a message


async def test_a_message_carries_a_timer_of_its_own(database: Database) -> None:
    async with pair(database) as (world, alice, bob, chat):
        short = await bob.says(chat.room_id, "goes", **{TIMER: {"seconds": 5}})
        other = await bob.says(chat.room_id, "stays", **{TIMER: {"seconds": 1}})
        await later(world, 5)
        assert gone(world, chat, short) and not gone(world, chat, other)
        await set_timer(world, alice, chat, 60)
        long = await bob.says(chat.room_id, "not longer than the chat's", **{TIMER: {"seconds": 3_600}})
        await later(world, 60)
        assert gone(world, chat, long)


async def test_edits_and_reactions_go_with_their_message(database: Database) -> None:
    async with pair(database) as (world, alice, bob, chat):
        message = await alice.says(chat.room_id, "one", **{TIMER: {"seconds": 60}})
        await world.pass_time(seconds=50)
        relation = {"rel_type": "m.replace", "event_id": message}
        edit = await alice.says(chat.room_id, "* two", **{"m.relates_to": relation})
        reaction = await bob.reacts(chat.room_id, message, "👍")
        elsewhere = await bob.reacts(chat.room_id, "$unknown", "👍")
        await later(world, 10)
        assert gone(world, chat, message) and gone(world, chat, edit) and gone(world, chat, reaction)
        assert not gone(world, chat, elsewhere)
        assert await rows(database) == []


async def test_an_edit_does_not_prolong(database: Database) -> None:
    async with pair(database) as (world, alice, _, chat):
        await set_timer(world, alice, chat, 60)
        message = await alice.says(chat.room_id, "one")
        await world.pass_time(seconds=50)
        edit = await alice.says(
            chat.room_id, "* two", **{"m.relates_to": {"rel_type": "m.replace", "event_id": message}}
        )
        await later(world, 10)
        assert gone(world, chat, message) and gone(world, chat, edit)


async def test_what_somebody_else_removed_is_left_alone(database: Database) -> None:
    async with pair(database) as (world, alice, bob, chat):
        await set_timer(world, alice, chat, 60)
        message = await bob.says(chat.room_id, "oh")
        edit = await bob.says(chat.room_id, "* ah", **{"m.relates_to": {"rel_type": "m.replace", "event_id": message}})
        await bob.redacts(chat.room_id, message)
        await drained(world)
        assert gone(world, chat, message) and gone(world, chat, edit)  # the edit goes with it, at once
        await later(world, 60)
        assert order(world, chat).count(message) == 1


async def test_a_redaction_without_power_changes_nothing(database: Database) -> None:
    """Another homeserver passes on whatever its people send; ours does not apply it. It is no way to keep a message."""
    async with pair(database) as (world, alice, bob, chat):
        await set_timer(world, alice, chat, 60)
        message = await alice.says(chat.room_id, "one")
        room = world.room(chat.room_id)
        world.homeserver._append(room, bob.user_id, "m.room.redaction", {"redacts": message}, redacts=message)
        await world.settle()
        await later(world, 60)
        assert room.event(message)["content"] == {}  # type: ignore[index]
        other = await world.chats.create(Actor.person(bob.user_id), Kind.GROUP, name="Other", key="2")
        await bob.joins(other.room_id)
        second = await bob.says(chat.room_id, "two")
        room = world.room(other.room_id)
        world.homeserver._append(room, bob.user_id, "m.room.redaction", {"redacts": second}, redacts=second)
        await world.settle()
        await later(world, 60)
        assert gone(world, chat, second)


async def test_in_a_room_nothing_is_overtaken(database: Database) -> None:
    """What is due now waits for what is late in the same room."""
    async with pair(database) as (world, alice, _, chat):
        made = await fill(database, world, {chat.room_id: 150}, world.clock.now_ms() - 3_600_000)
        await set_timer(world, alice, chat, 5)
        message = await alice.says(chat.room_id, "now")
        world.clock.advance(seconds=5)
        await drained(world)
        assert order(world, chat) == [*(each.event_id for each in made), message]


# --- from the first reading


async def test_from_the_first_reading(database: Database) -> None:
    async with pair(database) as (world, alice, bob, chat):
        await set_timer(world, alice, chat, 60, "read")
        first = await alice.says(chat.room_id, "one")
        second = await alice.says(chat.room_id, "two")
        third = await alice.says(chat.room_id, "three")
        await alice.reads(chat.room_id, third)  # her own reading is none
        await world.messenger.delivery.flush()
        await later(world, 3_600)
        assert not gone(world, chat, first)
        await bob.reads(chat.room_id, second)
        await world.messenger.delivery.flush()
        await later(world, 59)
        assert not gone(world, chat, first)
        await later(world, 1)
        assert gone(world, chat, first) and gone(world, chat, second) and not gone(world, chat, third)
        await later(world, 3_600)
        assert not gone(world, chat, third)


async def test_who_answers_has_read(database: Database) -> None:
    async with pair(database) as (world, alice, bob, chat):
        await set_timer(world, alice, chat, 60, "read")
        message = await alice.says(chat.room_id, "one")
        await alice.says(chat.room_id, "two")
        await world.pass_time(hours=1)
        answer = await bob.says(chat.room_id, "an answer")
        await later(world, 60)
        assert gone(world, chat, message) and not gone(world, chat, answer)


async def test_readings_survive_a_restart(database: Database) -> None:
    async with pair(database) as (world, alice, bob, chat):
        await set_timer(world, alice, chat, 60, "read")
        message = await alice.says(chat.room_id, "one")
        await world.restart(kill=True)
        await bob.reads(chat.room_id, message)
        await world.messenger.delivery.flush()
        await world.restart(kill=True)
        await later(world, 60)
        assert gone(world, chat, message)


async def test_the_sooner_of_sending_and_reading(database: Database) -> None:
    async with pair(database) as (world, alice, bob, chat):
        await set_timer(world, alice, chat, 100)
        own = {TIMER: {"seconds": 10, "start": "read"}}
        read = await alice.says(chat.room_id, "read", **own)
        await bob.reads(chat.room_id, read)
        await world.messenger.delivery.flush()
        unread = await alice.says(chat.room_id, "unread", **own)
        await later(world, 10)
        assert gone(world, chat, read) and not gone(world, chat, unread)
        await later(world, 90)
        assert gone(world, chat, unread)


async def test_bots_read_nothing_among_people(database: Database) -> None:
    async with pair(database) as (world, alice, _, chat):
        await world.members.add(Actor.person(alice.user_id), chat, HUB)
        hub = Person(world, HUB)
        await hub.joins(chat.room_id)
        await set_timer(world, alice, chat, 60, "read")
        message = await alice.says(chat.room_id, "one")
        await hub.reads(chat.room_id, message)
        await world.messenger.delivery.flush()
        await hub.reacts(chat.room_id, message, "👀")
        await later(world, 3_600)
        assert not gone(world, chat, message)


# --- crashes, downtime, refusals


async def test_a_long_downtime(database: Database) -> None:
    """What was due meanwhile goes at once, in its order; what was said meanwhile has its timer all the same."""
    async with pair(database) as (world, alice, bob, chat):
        await set_timer(world, alice, chat, 60)
        early = [await alice.says(chat.room_id, f"early {number}") for number in range(5)]
        await world.kill()
        world.homeserver.dead = False
        meanwhile = []
        for number in range(5):
            world.clock.advance(seconds=1)
            meanwhile.append(await bob.says(chat.room_id, f"meanwhile {number}"))
        world.clock.advance(hours=2)
        now = await bob.says(chat.room_id, "now")
        await world.start()
        await world.settle()
        await drained(world)
        assert order(world, chat)[-10:] == early + meanwhile
        assert not gone(world, chat, now)
        await later(world, 60)
        assert all(gone(world, chat, each) for each in (*early, *meanwhile, now))


@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed_while_it_redacts(database: Database, when: str) -> None:
    """The homeserver has done it, or has not, and nobody knows: it is done once."""
    async with pair(database) as (world, alice, _, chat):
        await set_timer(world, alice, chat, 60)
        messages = [await alice.says(chat.room_id, f"message {number}") for number in range(6)]
        world.clock.advance(seconds=60)
        broken = HomeserverError(0, "BROKEN", "killed")

        def third(_method: str, path: str) -> HomeserverError | None:
            return broken if "/redact/" in path and messages[2] in path else None

        setattr(world.homeserver, "lost" if when == "after" else "fault", third)
        with pytest.raises(HomeserverError):
            await once(world)
        await world.kill()
        world.homeserver.lost = world.homeserver.fault = lambda _method, _path: None
        world.homeserver._sent.clear()  # it has forgotten the transaction ids of who has no device
        await world.start()
        await drained(world)
        assert order(world, chat) == messages
        assert all(gone(world, chat, each) for each in messages)
        assert await rows(database) == []


async def test_killed_before_it_is_noted(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a batch is redacted, and the note is lost."""
    async with pair(database) as (world, alice, _, chat):
        await set_timer(world, alice, chat, 60)
        messages = [await alice.says(chat.room_id, f"message {number}") for number in range(6)]
        world.clock.advance(seconds=60)
        with monkeypatch.context() as patch:

            def lost(*_: Any) -> None:
                raise RuntimeError("the power went")

            patch.setattr(store, "gone", lost)
            with pytest.raises(RuntimeError):
                await once(world)
        world.homeserver._sent.clear()
        await world.restart(kill=True)
        await drained(world)
        assert order(world, chat) == messages


async def test_a_limit_is_honoured(database: Database) -> None:
    async with pair(database) as (world, alice, _, chat):
        await set_timer(world, alice, chat, 60)
        message = await alice.says(chat.room_id, "one")
        world.clock.advance(seconds=60)
        asked: list[int] = []

        def limited(_method: str, path: str) -> HomeserverError | None:
            if "/redact/" not in path:
                return None
            asked.append(world.clock.now_ms())
            return HomeserverError(429, "M_LIMIT_EXCEEDED", "slower", 5.0) if len(asked) == 1 else None

        world.homeserver.fault = limited
        with pytest.raises(HomeserverError):
            await once(world)
        await drained(world)
        assert gone(world, chat, message)
        assert asked[1] - asked[0] >= 5_000


async def test_without_power_it_is_tried_again(database: Database) -> None:
    async with pair(database) as (world, alice, _, chat):
        await set_timer(world, alice, chat, 60)
        message = await alice.says(chat.room_id, "one")
        world.clock.advance(seconds=60)
        world.homeserver.fault = lambda _method, path: (
            HomeserverError(403, "M_FORBIDDEN", "no power") if "/redact/" in path else None
        )
        await drained(world)
        assert not gone(world, chat, message)
        world.homeserver.fault = lambda _method, _path: None
        await drained(world)
        assert not gone(world, chat, message)  # it is not hurried
        await later(world, 60)
        assert gone(world, chat, message)


async def test_it_gives_up_some_day(database: Database) -> None:
    async with pair(database) as (world, alice, _, chat):
        await set_timer(world, alice, chat, 60)
        await alice.says(chat.room_id, "one")
        world.homeserver.fault = lambda _method, path: (
            HomeserverError(403, "M_FORBIDDEN", "no power") if "/redact/" in path else None
        )
        for _ in range(drain_module.MOST_ATTEMPTS + 1):
            await later(world, 86_400)
        assert await rows(database) == []


async def test_a_deleted_chat_has_no_timers(database: Database) -> None:
    async with pair(database, Kind.CHANNEL, public=True) as (world, alice, _, chat):
        await set_timer(world, alice, chat, 60)
        await alice.says(chat.room_id, "a picture", msgtype="m.image", url=MXC)
        await world.chats.delete(Actor.person(alice.user_id), chat)
        assert await rows(database) == []
        left = await database.read(lambda connection: connection.execute(select(chat_timers)).all())
        assert left == []
        files = await database.read(lambda connection: store.files_due(connection, world.clock.now_ms(), 10))
        assert [each.media for each in files] == [MXC]


async def test_an_upgraded_chat_keeps_its_timer(database: Database) -> None:
    async with pair(database) as (world, alice, bob, chat):
        await set_timer(world, alice, chat, 60)
        old = await bob.says(chat.room_id, "in the old room")
        new = await world.chats.upgrade(Actor.person(alice.user_id), chat)
        await alice.joins(new.room_id)
        await world.settle()
        assert await world.messenger.timers.get(new) == Timer(60)
        fresh = await alice.says(new.room_id, "in the new room")
        await world.restart(kill=True)
        again = await alice.says(new.room_id, "after a restart")
        await later(world, 60)
        assert gone(world, chat, old) and gone(world, new, fresh) and gone(world, new, again)


async def test_an_adopted_room_brings_its_timer(database: Database) -> None:
    async with MessengerWorld(database, messenger=FAST) as world:
        alice = world.person("alice")
        room_id = await alice.makes_room(preset="private_chat")
        await alice.sets(room_id, TIMER, {"seconds": 60, "start": "sent"})
        await alice.invites(room_id, STEWARD)
        levels = {**world.room(room_id).content("m.room.power_levels")}
        await alice.sets(room_id, "m.room.power_levels", {**levels, "users": {**levels["users"], STEWARD: 100}})
        chat = await world.chats.adopt(Actor.person(alice.user_id), room_id)
        message = await alice.says(room_id, "one")
        await later(world, 60)
        assert gone(world, chat, message)


# --- many


async def fill(database: Database, world: MessengerWorld, rooms: Mapping[str, int], due_at: int) -> list[Timed]:
    """Messages that are due, of rooms, put into the database and the homeserver at once."""
    made = []
    for room_id, count in rooms.items():
        room = world.room(room_id)
        for number in range(count):
            event_id = f"${room_id[1:].partition(':')[0]}-{number}"
            raw = {"event_id": event_id, "room_id": room_id, "sender": "@bob:world", "type": "m.room.message"}
            room.timeline.append({**raw, "content": {"body": "x"}, "origin_server_ts": due_at, "unsigned": {}})
            made.append(Timed(event_id, room_id, "@bob:world", due_at, due_at, number))
    await database.write(lambda connection: store.add(connection, made))
    return made


async def test_late_ones_let_go_first_what_is_due_now(database: Database) -> None:
    async with pair(database) as (world, alice, _, chat):
        made = await fill(database, world, {chat.room_id: 500}, world.clock.now_ms() - 3_600_000)
        other = await world.chats.create(Actor.person(alice.user_id), Kind.GROUP, name="Other", key="2")
        await alice.joins(other.room_id)
        await set_timer(world, alice, other, 5)
        message = await alice.says(other.room_id, "now")
        world.clock.advance(seconds=5)
        await once(world)
        assert gone(world, other, message)
        assert 0 < len(order(world, chat)) < drain_module.BATCH
        await drained(world)
        assert order(world, chat) == [each.event_id for each in made]


async def test_the_pace(database: Database) -> None:
    """So many a second, and in each room in order."""
    async with MessengerWorld(database, messenger={"timers": {"per_second": 20, "concurrency": 2}}) as world:
        alice = world.person("alice")
        chats = []
        for number in range(3):
            chats.append(await world.chats.create(Actor.person(alice.user_id), Kind.GROUP, name="x", key=str(number)))
        made = await fill(database, world, {chat.room_id: 20 for chat in chats}, world.clock.now_ms() - 1_000)
        at_work, most = 0, 0
        times: list[int] = []
        redact = world.homeserver.redact

        async def watched(*args: Any) -> str:
            nonlocal at_work, most
            at_work += 1
            most = max(most, at_work)
            times.append(world.clock.now_ms())
            try:
                return await redact(*args)
            finally:
                at_work -= 1

        world.homeserver.redact = watched  # type: ignore[method-assign, assignment]
        await drained(world)
        for chat in chats:
            own = [each.event_id for each in made if each.room_id == chat.room_id]
            assert order(world, chat) == own
        assert most <= 2
        assert times[-1] - times[0] >= 59 * 50 - 59  # a turn each 50 ms, by a clock of whole ms


async def test_it_wakes_for_a_sooner_one(database: Database) -> None:
    """The background work as it runs in the service: a timer of 5 s set while the next one known is of a day."""
    async with MessengerWorld(database, messenger=FAST, running=True) as world:
        alice = world.person("alice")
        chat = await world.chats.create(Actor.person(alice.user_id), Kind.GROUP, name="Tea", key="1")
        await alice.joins(chat.room_id)
        await set_timer(world, alice, chat, 86_400)
        long = await alice.says(chat.room_id, "long")
        await set_timer(world, alice, chat, 5)
        short = await alice.says(chat.room_id, "short")
        await world.pass_time(seconds=5)
        await world.until(lambda: gone(world, chat, short))
        assert not gone(world, chat, long)


# --- files


class Uploads:
    """The homeserver's administrator, as far as files go."""

    def __init__(self, **files: str) -> None:
        self.available = True
        self.files = dict(files)
        self.problem: Exception | None = None

    async def media_of(self, user_id: str) -> AsyncIterator[dict[str, Any]]:
        if self.problem is not None:
            raise self.problem
        for media_id, owner in self.files.items():
            if owner == user_id:
                yield {"media_id": media_id}

    async def delete_media(self, server: str, media_id: str) -> bool:
        return self.files.pop(media_id, None) is not None


async def removed(world: MessengerWorld, uploads: Uploads) -> None:
    remover = FileRemover(uploads, world.database, world.clock, "world")
    while await remover.run_due():
        pass


async def left(database: Database) -> tuple[int, int]:
    """Files of messages, and files that are to be removed."""

    def read(connection: Connection) -> tuple[int, int]:
        return len(connection.execute(select(message_files)).all()), len(
            connection.execute(select(media_removals)).all()
        )

    return await database.read(read)


async def test_files_go_with_their_message(database: Database) -> None:
    async with pair(database) as (world, alice, bob, chat):
        uploads = Uploads(picture=alice.user_id, other=bob.user_id)
        await set_timer(world, alice, chat, 60)
        message = await alice.says(chat.room_id, "secret", **{MEDIA: [MXC]})
        await later(world, 60)
        assert gone(world, chat, message)
        await removed(world, uploads)
        assert uploads.files == {"other": bob.user_id}
        assert await left(database) == (0, 0)


async def test_nobody_removes_the_files_of_others(database: Database) -> None:
    """Whoever names somebody else's file in a message does not have it removed."""
    async with pair(database) as (world, alice, bob, chat):
        uploads = Uploads(picture=bob.user_id)
        await set_timer(world, alice, chat, 60)
        await alice.says(chat.room_id, "not mine", **{MEDIA: [MXC, "mxc://elsewhere/picture"]})
        await later(world, 60)
        await removed(world, uploads)
        assert uploads.files == {"picture": bob.user_id}
        assert await left(database) == (0, 0)


async def test_a_file_that_another_message_shows_stays(database: Database) -> None:
    async with pair(database, Kind.CHANNEL, public=True) as (world, alice, _, chat):
        uploads = Uploads(picture=alice.user_id)
        first = await alice.says(chat.room_id, "a", msgtype="m.image", url=MXC)
        second = await alice.says(chat.room_id, "b", msgtype="m.image", url=MXC)
        await alice.redacts(chat.room_id, first)
        await removed(world, uploads)
        assert uploads.files == {"picture": alice.user_id}
        await alice.redacts(chat.room_id, second)
        await removed(world, uploads)
        assert uploads.files == {}


async def test_files_wait_for_an_administrator(database: Database) -> None:
    async with pair(database) as (world, alice, _, chat):
        uploads = Uploads(picture=alice.user_id)
        await set_timer(world, alice, chat, 60)
        await alice.says(chat.room_id, "secret", **{MEDIA: [MXC]})
        await later(world, 60)
        for problem in (NoAdministration("no token"), HomeserverError(0, "UNREACHABLE", "away")):
            uploads.problem = problem
            await removed(world, uploads)
            assert await left(database) == (0, 1)
            world.clock.advance(hours=1)
        uploads.problem = None
        await removed(world, uploads)
        assert uploads.files == {}


async def test_a_chat_with_a_service(database: Database) -> None:
    """The steward is not in it: the bot removes. What the bot can read tells which files go."""
    async with MessengerWorld(database, messenger=FAST) as world:
        alice = world.person("alice")
        room_id = await world.purposes.direct(alice.user_id, HUB, "Rialto")
        await alice.joins(room_id)
        chat = world.messenger.registry.get(room_id)
        assert chat is not None and chat.kind is Kind.SERVICE
        await set_timer(world, alice, chat, 60)
        keys: dict[str, Any] = {}

        async def decrypt(user_id: str, raw: Mapping[str, Any]) -> dict[str, Any]:
            assert user_id == HUB
            if raw["event_id"] not in keys:
                raise KeyMissing("s", room_id, raw["sender"])
            return {"type": "m.room.message", "content": keys[raw["event_id"]]}

        timing = world.messenger.timing
        reader = ServiceFiles(
            world.messenger.registry,
            world.clock,
            timing.feature.timed,
            Reading(lambda _: [HUB], STEWARD, decrypt),
        )
        picture = {"msgtype": "m.image", "file": {"url": MXC}}
        message = await alice.says(room_id, "a picture")
        raw = world.room(room_id).event(message)
        assert raw is not None
        event, unit = Event.parse(raw), UnitOfWork(message, reader.name, HUB)
        assert reader.wants(event)
        with pytest.raises(KeyMissing):
            await reader.handle(event, unit)
        await later(world, 60)
        assert gone(world, chat, message)
        assert world.room(room_id).timeline[-1]["sender"] == HUB
        keys[message] = picture  # too late for the message, and not for its file
        await reader.handle(event, unit)
        await database.write(lambda connection: [each(connection) for each in unit.operations])
        uploads = Uploads(picture=alice.user_id)
        await removed(world, uploads)
        assert uploads.files == {} and await left(database) == (0, 0)


# --- rights


async def test_export_and_erasure(database: Database) -> None:
    async with pair(database) as (world, alice, bob, chat):
        await set_timer(world, alice, chat, 60)
        message = await alice.says(chat.room_id, "secret", **{MEDIA: [MXC]})
        await bob.says(chat.room_id, "other")
        part = Part()
        found = dict(await database.read(lambda connection: list(part.export(connection, alice.user_id))))
        assert [each["event_id"] for each in found["timers/messages.json"]] == [message]
        assert [each["media"] for each in found["timers/files.json"]] == [MXC]
        assert [each["room_id"] for each in found["timers/set.json"]] == [chat.room_id]
        await database.write(lambda connection: part.erase(connection, alice.user_id, "erased:1"))

        def everything(connection: Connection) -> str:
            tables = (timed_messages, message_files, media_removals, chat_timers)
            return str([connection.execute(select(table)).all() for table in tables])

        assert alice.user_id not in await database.read(everything)
        await later(world, 60)
        assert gone(world, chat, message)


async def test_nothing_that_was_said_is_kept(database: Database) -> None:
    async with pair(database, Kind.CHANNEL, public=True) as (world, alice, _, chat):
        await set_timer(world, alice, chat, 60)
        await alice.says(chat.room_id, "a word that nobody keeps")
        query = select(timed_messages)
        assert "nobody keeps" not in str(await database.read(lambda connection: connection.execute(query).all()))


def test_the_system_is_nobody() -> None:
    assert SYSTEM.name == "system" and Start("read") is Start.READ
