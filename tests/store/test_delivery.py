"""Numbers without gaps, and who has what: on both databases, through crashes and refusals."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from appservice.database import Database
from appservice.homeserver import HomeserverError
from appservice.store.tables import InboxState, OutboxState, inbox, outbox
from appservice.unit import UNSENT
from bridge.actor import SYSTEM, Actor
from bridge.delivery import feature as feature_module
from bridge.delivery.rights import Part
from bridge.domain.delivery import Entry, Mark, State
from bridge.domain.kinds import Kind
from bridge.errors import Conflict, NotFound, Refused
from bridge.store import delivery as store
from bridge.store.chats import Chat
from bridge.store.delivery_tables import chat_timeline
from tests.support.messenger import HUB, MessengerWorld, Person

CHAT = "01CHAT"
ROOM = "!room:world"


def entry(number: int, room_id: str = ROOM, **more: Any) -> Entry:
    return replace(Entry(f"${number}", room_id, "m.room.message", "@alice:world", number), **more)


async def numbered(database: Database, entries: Sequence[Entry], room_id: str = ROOM, now: int = 1) -> list[int]:
    made = await database.write(lambda connection: store.number(connection, CHAT, room_id, entries, now))
    return [each.seq for each in made]


async def kept(database: Database, after: int = 0) -> list[tuple[int, str]]:
    rows = await database.read(lambda connection: store.changes(connection, CHAT, after, 1_000))
    return [(each.numbered.seq, each.numbered.entry.event_id) for each in rows]


# --- the store


async def test_numbers_count_up_from_one(database: Database) -> None:
    assert await numbered(database, [entry(1), entry(2)]) == [1, 2]
    assert await numbered(database, [entry(3)]) == [3]
    assert await kept(database) == [(1, "$1"), (2, "$2"), (3, "$3")]
    assert await kept(database, after=2) == [(3, "$3")]
    assert await database.read(lambda connection: store.head(connection, CHAT)) == store.Head(ROOM, 1, 3)


async def test_an_event_has_one_number(database: Database) -> None:
    assert await numbered(database, [entry(1), entry(1)]) == [1]
    assert await numbered(database, [entry(1), entry(2), entry(1)]) == [2]
    assert await numbered(database, [entry(2)]) == []
    assert await kept(database) == [(1, "$1"), (2, "$2")]


async def test_what_is_undone_leaves_no_gap(database: Database) -> None:
    await numbered(database, [entry(1)])

    def fail(connection: Connection) -> None:
        store.number(connection, CHAT, ROOM, [entry(2)], 1)
        raise RuntimeError("the power went")

    with pytest.raises(RuntimeError, match="power"):
        await database.write(fail)

    def refused_inside(connection: Connection) -> None:
        savepoint = connection.begin_nested()
        store.number(connection, CHAT, ROOM, [entry(3)], 1)
        savepoint.rollback()
        store.number(connection, CHAT, ROOM, [entry(4)], 1)

    await database.write(refused_inside)
    assert await kept(database) == [(1, "$1"), (2, "$4")]


async def test_many_at_once_leave_no_gap_and_no_number_twice(database: Database) -> None:
    """Both rooms of an upgrade, and whoever else: the row of the head is locked until the commit."""
    dice = random.Random(3)

    async def one(number: int) -> None:
        def work(connection: Connection) -> None:
            store.number(connection, CHAT, f"!{number % 2}:world", [entry(number), entry(1_000 + number)], number)
            if fails:
                raise RuntimeError("refused")

        fails = dice.random() < 0.3
        try:
            await database.write(work)
        except RuntimeError:
            fails = False
            await database.write(work)

    await asyncio.gather(*(one(number) for number in range(40)))
    found = await kept(database)
    assert [seq for seq, _ in found] == list(range(1, 81))
    assert len({event_id for _, event_id in found}) == 80


async def test_a_redaction_marks_what_it_redacts(database: Database) -> None:
    await numbered(database, [entry(1)])
    await numbered(database, [entry(2, type="m.room.redaction", relation="redacts", target="$1")])
    rows = await database.read(lambda connection: store.changes(connection, CHAT, 0, 10))
    assert [each.redacted for each in rows] == [True, False]


async def test_old_entries_go_and_numbers_go_on(database: Database) -> None:
    await numbered(database, [entry(number) for number in range(1, 11)], now=100)
    await numbered(database, [entry(11)], now=200)
    due = await database.read(lambda connection: store.due(connection, 150, 10))
    assert due == [CHAT]
    assert await database.write(lambda connection: store.forget_before(connection, CHAT, 150, 4)) == 4
    assert await database.read(lambda connection: store.head(connection, CHAT)) == store.Head(ROOM, 5, 11)
    assert await database.write(lambda connection: store.forget_before(connection, CHAT, 150, 100)) == 6
    assert await database.write(lambda connection: store.forget_before(connection, CHAT, 150, 100)) == 0
    assert await database.read(lambda connection: store.due(connection, 150, 10)) == []
    assert await kept(database) == [(11, "$11")]
    assert await numbered(database, [entry(12)], now=300) == [12]


async def test_a_forgotten_chat_keeps_its_head(database: Database) -> None:
    await numbered(database, [entry(1), entry(2)])
    await database.write(lambda connection: store.mark(connection, CHAT, "@bob:world", delivered=2, at=1))
    await database.write(lambda connection: store.forget_chat(connection, CHAT))
    assert await kept(database) == []
    assert await database.read(lambda connection: store.marks(connection, CHAT, 1)) == []
    assert await numbered(database, [entry(3)]) == [3]


async def test_marks_do_not_go_back(database: Database) -> None:
    def mark(**values: int) -> Mark:
        return Mark("@bob:world", **values)

    async def put(delivered: int, read: int, at: int) -> Mark:
        return await database.write(
            lambda connection: store.mark(connection, CHAT, "@bob:world", delivered=delivered, read=read, at=at)
        )

    assert await put(3, 0, 10) == mark(delivered=3, delivered_at=10)
    assert await put(1, 0, 20) == mark(delivered=3, delivered_at=10)
    assert await put(0, 5, 30) == mark(delivered=5, delivered_at=30, read=5, read_at=30)
    assert await database.read(lambda connection: store.mark_of(connection, CHAT, "@bob:world")) == await put(0, 0, 40)
    await database.write(lambda connection: store.hide_reads(connection, "@bob:world"))
    assert await put(0, 0, 50) == mark(delivered=5, delivered_at=30)


# --- in chats


async def channel(world: MessengerWorld, *people: Person) -> Chat:
    owner = Actor.person(people[0].user_id)
    chat = await world.chats.create(owner, Kind.CHANNEL, name="News", public=True, key="news")
    for person in people:
        await person.joins(chat.room_id)
    await world.settle()
    return chat


async def group(world: MessengerWorld, *people: Person) -> Chat:
    names = [person.user_id for person in people]
    chat = await world.chats.create(Actor.person(names[0]), Kind.GROUP, name="Tea", members=names[1:], key="tea")
    for person in people:
        await person.joins(chat.room_id)
    await world.settle()
    return chat


async def whole(world: MessengerWorld, chat: Chat, actor: Actor = SYSTEM) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    more, after = True, 0
    while more:
        page = await world.messenger.delivery.changes(actor, chat, after, limit=7)
        found += [(each.numbered.seq, each.numbered.entry.event_id) for each in page.items]
        more, after = page.more, page.next
    return found


def timeline(world: MessengerWorld, *rooms: str) -> list[str]:
    return [raw["event_id"] for room_id in rooms for raw in world.room(room_id).timeline]


async def test_every_event_of_a_chat_has_its_number_from_the_creation_on(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice, bob = world.person("alice"), world.person("bob")
        chat = await group(world, alice, bob)
        first = await alice.says(chat.room_id, "hello")
        await bob.reacts(chat.room_id, first, "👍")
        await alice.redacts(chat.room_id, first)
        found = await whole(world, chat)
        assert found == list(enumerate(timeline(world, chat.room_id), 1))
        assert await world.messenger.delivery.head(chat) == len(found)
        last = await world.messenger.delivery.changes(SYSTEM, chat, len(found) - 3)
        kinds = [(each.numbered.entry.type, each.numbered.entry.relation, each.redacted) for each in last.items]
        assert kinds == [
            ("m.room.encrypted", "", True),
            ("m.reaction", "m.annotation", False),
            ("m.room.redaction", "redacts", False),
        ]


async def test_numbers_survive_kills(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        chat = await channel(world, alice)
        for number in range(4):
            world.held = True
            for part in range(5):
                await alice.says(chat.room_id, f"{number} {part}")
            world.held = False
            settling = asyncio.create_task(world.settle())
            for _ in range(number * 7):
                await asyncio.sleep(0)
            settling.cancel()
            await asyncio.wait([settling])
            await world.restart(kill=True)
            await world.settle()
        await alice.says(chat.room_id, "the end")
        known = timeline(world, chat.room_id)
        found = await whole(world, chat)
        assert [seq for seq, _ in found] == list(range(1, len(found) + 1))
        # What a killed service was never handed, the homeserver of memory does not send again; what it was, in order.
        assert [event_id for _, event_id in found] == [each for each in known if each in {name for _, name in found}]
        assert found[-1][1] == known[-1]


async def test_an_upgraded_chat_goes_on_with_its_numbers(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        chat = await channel(world, alice)
        await alice.says(chat.room_id, "before")
        before = await world.messenger.delivery.head(chat)
        new = await world.chats.upgrade(Actor.person(alice.user_id), chat)
        await alice.joins(new.room_id)
        said = await alice.says(new.room_id, "after")
        await world.settle()
        found = await whole(world, new)
        assert [seq for seq, _ in found] == list(range(1, len(found) + 1))
        assert new.id == chat.id
        assert new.room_id != chat.room_id
        assert found[-1][1] == said
        assert len(found) > before
        there = [event_id for _, event_id in found]
        assert set(timeline(world, new.room_id)) <= set(there)
        assert [each for each in there if each in set(timeline(world, new.room_id))] == timeline(world, new.room_id)


async def test_an_adopted_room_is_numbered_from_the_adoption_on(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        room = world.homeserver.create(alice.user_id, {"name": "Old", "preset": "private_chat"})
        for number in range(5):
            await alice.says(room.room_id, f"old {number}")
        levels = {**room.content("m.room.power_levels"), "users": {alice.user_id: 100, "@_rialto:world": 100}}
        world.homeserver.put_state(room, alice.user_id, "m.room.power_levels", "", levels)
        await alice.invites(room.room_id, "@_rialto:world")
        chat = await world.chats.adopt(Actor.person(alice.user_id), room.room_id)
        await world.settle()
        said = await alice.says(room.room_id, "new")
        found = await whole(world, chat)
        assert [seq for seq, _ in found] == list(range(1, len(found) + 1))
        assert found[-1][1] == said
        assert len(found) < len(room.timeline) - 5
        assert [event_id for _, event_id in found] == timeline(world, room.room_id)[-len(found) :]


async def test_a_chat_with_a_long_past_begins_with_now(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_module, "MOST_HISTORY", 3)
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        world.held = True
        chat = await world.chats.create(Actor.person(alice.user_id), Kind.CHANNEL, name="News", public=True, key="news")
        world.held = False
        await alice.joins(chat.room_id)
        found = await whole(world, chat)
        assert found
        assert [seq for seq, _ in found] == list(range(1, len(found) + 1))


async def test_a_homeserver_that_is_away_only_delays_numbers(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        asked = 0
        real = feature_module.DeliveryFeature._messages

        async def away(self: feature_module.DeliveryFeature, room_id: str, start: str) -> object:
            nonlocal asked
            asked += 1
            if asked < 3:
                raise HomeserverError(503, "M_UNKNOWN", "down", retry_after=0.001)
            return await real(self, room_id, start)

        monkeypatch.setattr(feature_module.DeliveryFeature, "_messages", away)
        chat = await channel(world, alice)
        await alice.says(chat.room_id, "hello")
        world.failures.clear()
        assert await whole(world, chat) == list(enumerate(timeline(world, chat.room_id), 1))
        assert asked >= 3


async def test_odd_events_have_numbers_too(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        chat = await channel(world, alice)
        await alice.sends(chat.room_id, "org.example\u00e9", {"m.relates_to": {"rel_type": 5, "event_id": ["x"]}})
        room = world.room(chat.room_id)
        world.homeserver.put_state(room, "@_rialto:world", "org.example", "a\0b" * 200, {})
        room_event = world.homeserver.send(room, alice.user_id, "m.room.message", {"body": "\ud800"})
        room_event["origin_server_ts"] = 2**70
        await world.settle()
        assert await whole(world, chat) == list(enumerate(timeline(world, chat.room_id), 1))


# --- who may ask what


async def test_changes_page_and_bounds(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice, eve = world.person("alice"), world.person("eve")
        chat = await group(world, alice)
        delivery, actor = world.messenger.delivery, Actor.person(alice.user_id)
        head = await delivery.head(chat)
        page = await delivery.changes(actor, chat, 2, limit=2)
        assert [each.numbered.seq for each in page.items] == [3, 4]
        assert (page.head, page.next, page.more) == (head, 4, True)
        assert (await delivery.changes(actor, chat, head)).items == []
        for wrong in (head + 1, -1, 2**80):
            with pytest.raises(Refused, match="not given"):
                await delivery.changes(actor, chat, wrong)
        for stranger in (Actor.person(eve.user_id), Actor.of_product("shop")):
            with pytest.raises(NotFound):
                await delivery.changes(stranger, chat)


async def test_who_comes_late_sees_what_comes_then(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice, bob = world.person("alice"), world.person("bob")
        chat = await group(world, alice)
        secret = await alice.says(chat.room_id, "before")
        await world.pass_time(minutes=5)
        await alice.invites(chat.room_id, bob)
        await bob.joins(chat.room_id)
        said = await alice.says(chat.room_id, "after")
        delivery, actor = world.messenger.delivery, Actor.person(bob.user_id)
        seen = [event_id for _, event_id in await whole(world, chat, actor)]
        assert secret not in seen
        assert said in seen
        with pytest.raises(NotFound):
            await delivery.status(actor, chat, secret)
        assert (await delivery.status(actor, chat, said)).seq == await delivery.head(chat)


async def test_what_is_not_kept_any_more_is_said_so(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        chat = await channel(world, alice)
        await world.pass_time(days=400)
        said = await alice.says(chat.room_id, "new")
        head = await world.messenger.delivery.head(chat)
        await world.messenger.delivering._tasks.forget()
        with pytest.raises(Conflict) as error:
            await world.messenger.delivery.changes(SYSTEM, chat)
        assert error.value.code == "changes_gone"
        page = await world.messenger.delivery.changes(SYSTEM, chat, head - 1)
        assert [each.numbered.entry.event_id for each in page.items] == [said]


async def test_deleted_chats_are_forgotten(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        chat = await channel(world, alice)
        await world.chats.delete(Actor.person(alice.user_id), chat)
        await world.messenger.delivering._tasks.forget()
        assert await database.read(lambda connection: store.changes(connection, chat.id, 0, 10)) == []


async def test_waiting_for_changes(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        chat = await channel(world, alice)
        delivery = world.messenger.delivery
        head = await delivery.head(chat)
        waiting = asyncio.create_task(delivery.changes(SYSTEM, chat, head, wait=30))
        while not delivery._listeners:
            await asyncio.sleep(0.001)
        said = await alice.says(chat.room_id, "news")
        page = await waiting
        assert [each.numbered.entry.event_id for each in page.items] == [said]
        assert not delivery._listeners
        assert (await delivery.changes(SYSTEM, chat, head + 1, wait=0.01)).items == []


# --- states


async def test_sent_delivered_read(database: Database) -> None:
    async with MessengerWorld(database, hub=False) as world:
        alice, bob, carol = world.person("alice"), world.person("bob"), world.person("carol")
        chat = await group(world, alice, bob, carol)
        said = await alice.says(chat.room_id, "hello")
        delivery, actor = world.messenger.delivery, Actor.person(alice.user_id)

        async def state() -> tuple[State, int, int, int]:
            await delivery.flush()
            found = await delivery.status(actor, chat, said)
            return found.state, found.recipients, found.delivered, found.read

        assert await state() == (State.SENT, 2, 0, 0)
        assert await delivery.acknowledge(bob.user_id, chat, said) == await delivery.head(chat)
        assert await state() == (State.DELIVERED, 2, 1, 0)
        await alice.reads(chat.room_id, said)  # one's own does not count
        assert await state() == (State.DELIVERED, 2, 1, 0)
        await carol.reads(chat.room_id, said)
        assert await state() == (State.READ, 2, 2, 1)
        await carol.leaves(chat.room_id)
        later = await alice.says(chat.room_id, "and?")
        assert (await delivery.status(actor, chat, later)).state is State.SENT
        people = await delivery.recipients(actor, chat, said)
        assert [(mark.user_id, mark.read > 0) for mark in people.items] == [(bob.user_id, False), (carol.user_id, True)]
        first = await delivery.recipients(actor, chat, said, limit=1)
        assert first.next is not None
        rest = await delivery.recipients(actor, chat, said, after=first.next, limit=1)
        assert [mark.user_id for mark in [*first.items, *rest.items]] in (
            [bob.user_id, carol.user_id],
            [bob.user_id],
        )
        with pytest.raises(Refused, match="cursor"):
            await delivery.recipients(actor, chat, said, after="nonsense")


async def test_acknowledging_is_for_members_and_real_events(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice, eve = world.person("alice"), world.person("eve")
        chat = await group(world, alice)
        said = await alice.says(chat.room_id, "hello")
        with pytest.raises(NotFound):
            await world.messenger.delivery.acknowledge(eve.user_id, chat, said)
        with pytest.raises(NotFound):
            await world.messenger.delivery.acknowledge(alice.user_id, chat, "$nothing")


async def test_a_receipt_that_comes_before_its_event(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice, bob = world.person("alice"), world.person("bob")
        chat = await group(world, alice, bob)
        world.held = True
        said = await alice.says(chat.room_id, "hello")
        delivery = world.messenger.delivery
        delivery.receipts(
            {"room_id": chat.room_id, "content": {said: {"m.read": {bob.user_id: {"ts": 1}}, "m.read.private": {}}}}
        )
        await delivery.flush()
        world.held = False
        await world.settle()
        await delivery.flush()
        assert (await delivery.status(SYSTEM, chat, said)).state is State.READ


@pytest.mark.parametrize(
    "content", [None, [], {"$x": None}, {"$x": {"m.read": []}}, {"$x": {"m.read": {"@b:world": None}}}]
)
async def test_odd_receipts_do_no_harm(database: Database, content: object) -> None:
    async with MessengerWorld(database) as world:
        chat = await channel(world, world.person("alice"))
        world.messenger.delivery.receipts({"room_id": chat.room_id, "content": content})
        world.messenger.delivery.receipts({"room_id": ["x"], "content": {}})
        await world.messenger.delivery.flush()
        await world.pass_time(minutes=2)
        await world.messenger.delivery.flush()
        assert not world.messenger.delivery._waiting


async def test_who_opted_out_of_receipts_has_read_nothing(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice, bob = world.person("alice"), world.person("bob")
        chat = await group(world, alice, bob)
        said = await alice.says(chat.room_id, "hello")
        await world.messenger.privacy.change(bob.user_id, receipts="nobody")
        await bob.reads(chat.room_id, said)
        await world.messenger.delivery.flush()
        found = await world.messenger.delivery.status(SYSTEM, chat, said)
        assert (found.state, found.delivered, found.read) == (State.DELIVERED, 1, 0)


async def test_hooks_run_in_the_commit(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice, bob = world.person("alice"), world.person("bob")
        chat = await group(world, alice, bob)
        delivery = world.messenger.delivery
        numbers: list[int] = []
        marks: list[tuple[int, int]] = []
        delivery.numbered.append(lambda _connection, _chat, new: numbers.extend(each.seq for each in new))
        delivery.marked.append(lambda _connection, _chat, before, after: marks.append((before.read, after.read)))
        said = await alice.says(chat.room_id, "hello")
        await bob.reads(chat.room_id, said)
        await delivery.flush()
        await bob.reads(chat.room_id, said)
        await delivery.flush()
        head = await delivery.head(chat)
        assert numbers == [head]
        assert marks == [(0, head)]


async def test_a_bot_has_what_it_has_answered(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        room_id = await world.purposes.direct(alice.user_id, HUB, "Rialto")
        await alice.joins(room_id)
        chat = world.messenger.registry.get(room_id)
        assert chat is not None
        await world.messenger.member_feature.run_due()
        said = await alice.says(room_id, "hello")
        delivery = world.messenger.delivery
        found = await delivery.status(SYSTEM, chat, said)
        assert (found.state, found.recipients, found.delivered) == (State.DELIVERED, 1, 1)

        async def event_is(state: InboxState, done_by: str) -> None:
            query = update(inbox).where(inbox.c.event_id == said).values(state=int(state), done_by=done_by)
            await database.write(lambda connection: connection.execute(query))

        await event_is(InboxState.PARKED, "bridge:delivery")
        assert (await delivery.status(SYSTEM, chat, said)).state is State.SENT
        await event_is(InboxState.DEAD, f"bridge:delivery\nhub:{HUB}!gave-up")
        found = await delivery.status(SYSTEM, chat, said)
        assert found.state is State.FAILED
        assert found.reason
        await event_is(InboxState.DEAD, f"bridge:search!gave-up\nhub:{HUB}")
        assert (await delivery.status(SYSTEM, chat, said)).state is State.DELIVERED


async def test_a_message_of_ours_from_before_it_is_sent(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice = world.person("alice")
        chat = await channel(world, alice)
        other = await group(world, alice)
        delivery = world.messenger.delivery
        row = {
            "shard": 0, "seq": 900, "txn_id": "r1", "room_id": chat.room_id, "user_id": HUB, "kind": 0, "sealed": 0,
            "event_type": "m.room.message", "content": b"", "created_at": 1, "state": int(OutboxState.PENDING),
        }  # fmt: skip
        await database.write(lambda connection: connection.execute(outbox.insert(), row))

        async def sent(**values: object) -> None:
            query = update(outbox).where(outbox.c.txn_id == "r1").values(**values)
            await database.write(lambda connection: connection.execute(query))

        assert (await delivery.status(SYSTEM, chat, UNSENT + "r1")).state is State.SENDING
        with pytest.raises(NotFound):
            await delivery.status(SYSTEM, other, UNSENT + "r1")
        with pytest.raises(NotFound):
            await delivery.status(SYSTEM, chat, UNSENT + "r2")
        await sent(state=int(OutboxState.FAILED), error="403: banned")
        found = await delivery.status(SYSTEM, chat, UNSENT + "r1")
        assert (found.state, found.reason) == (State.FAILED, "403: banned")
        await sent(state=int(OutboxState.SENT), error=None, event_id="$unseen")
        assert await delivery.status(SYSTEM, chat, UNSENT + "r1") == replace(
            found, state=State.SENT, event_id="$unseen", reason=None
        )
        said = await alice.says(chat.room_id, "hello")
        await sent(event_id=said)
        assert (await delivery.status(SYSTEM, chat, UNSENT + "r1")).seq == await delivery.head(chat)


# --- rights


async def test_a_person_is_handed_out_and_erased(database: Database) -> None:
    async with MessengerWorld(database) as world:
        alice, bob = world.person("alice"), world.person("bob")
        chat = await group(world, alice, bob)
        said = await alice.says(chat.room_id, "hello")
        await world.messenger.delivery.acknowledge(alice.user_id, chat, said)
        part = Part()
        files = dict(await database.read(lambda connection: list(part.export(connection, alice.user_id))))
        assert files["delivery/marks.json"][0]["chat"] == chat.id
        assert said in {row["event_id"] for row in files["delivery/events-0001.json"]}
        before = await whole(world, chat)
        await database.write(lambda connection: part.erase(connection, alice.user_id, "erased:x"))
        assert await whole(world, chat) == before
        rows = await database.read(lambda connection: list(connection.execute(select(chat_timeline)).mappings()))
        assert alice.user_id not in str(rows)
        assert bob.user_id in str(rows)
        assert dict(await database.read(lambda connection: list(part.export(connection, alice.user_id)))) == {
            "delivery/marks.json": []
        }
