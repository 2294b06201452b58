"""The inbox: stored once, in order, malformed events as dead letters; restarts, replays, housekeeping."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from appservice import inbox as inbox_module
from appservice import json
from appservice.database import Database, DatabaseError
from appservice.events import MAX_ID, Transaction, shard_of
from appservice.inbox import Inbox, InboxItem, drop, letters, now_ms, replay, show
from appservice.store.bulk import INBOX_FINISH, INBOX_PROGRESS
from appservice.store.tables import InboxState, inbox, transactions
from appservice.writer import Job
from tests.store.conftest import MakeEngine
from tests.store.harness import ROOM, Engine, FlakyDatabase, inbox_row, message, rows

ROOM2 = "!second:localhost"


async def store(one: Engine, *events: Any, txn_id: str = "t1") -> tuple[list[InboxItem], bool]:
    """One transaction."""
    return await one.inbox.store(Transaction(txn_id, events))


async def finish(one: Engine, *items: InboxItem) -> None:
    """Mark as done."""
    await one.writer.submit(Job(rows=[(INBOX_FINISH, item.finish()) for item in items]))


async def die(one: Engine, *items: InboxItem) -> None:
    """Mark as dead letters."""
    dead = [(INBOX_PROGRESS, item.progress(state=int(InboxState.DEAD), attempts=5, error="x")) for item in items]
    await one.writer.submit(Job(rows=dead))


async def test_events_are_stored_as_they_came_and_in_order(engine: MakeEngine, database: Database) -> None:
    one = await engine(worker=False)
    items, fresh = await store(one, message("$a"), message("$b", ROOM2), message("$c"))
    assert fresh
    assert [(item.seq, item.event_id, item.room_id) for item in items] == [
        (1, "$a", ROOM),
        (2, "$b", ROOM2),
        (3, "$c", ROOM),
    ]
    stored = await rows(database, inbox)
    assert [json.loads(bytes(row["payload"])) for row in stored] == [
        message("$a"),
        message("$b", ROOM2),
        message("$c"),
    ]
    assert {row["state"] for row in stored} == {InboxState.PENDING}


async def test_the_same_event_twice_is_one(engine: MakeEngine, database: Database) -> None:
    """In one transaction, in another one, and after it was done."""
    one = await engine(worker=False)
    items, _ = await store(one, message("$a"), message("$a", body="other"))
    assert [item.event_id for item in items] == ["$a"]
    await finish(one, *items)
    again, fresh = await store(one, message("$a"), message("$b"), txn_id="t2")
    assert fresh
    assert [item.event_id for item in again] == ["$b"]
    assert len(await rows(database, inbox)) == 2
    assert (await inbox_row(database, "$a"))["state"] == InboxState.DONE


async def test_a_repeated_transaction_brings_nothing_and_says_so(engine: MakeEngine, database: Database) -> None:
    one = await engine(worker=False)
    await store(one, message("$a"))
    assert await store(one, message("$a")) == ([], False)
    assert len(await rows(database, transactions)) == 1


async def test_an_old_transaction_id_with_new_events_stores_them(engine: MakeEngine) -> None:
    """The homeserver was restored from a backup and counts anew: nothing it says may be lost."""
    one = await engine(worker=False)
    await store(one, message("$a"))
    items, fresh = await store(one, message("$new"))
    assert [item.event_id for item in items] == ["$new"]
    assert not fresh


async def test_an_empty_transaction_is_remembered(engine: MakeEngine) -> None:
    one = await engine(worker=False)
    assert await store(one) == ([], True)
    assert await store(one) == ([], False)


async def test_two_deliveries_at_once_store_each_event_once(engine: MakeEngine, database: Database) -> None:
    one = await engine(worker=False)
    events = [message(f"$e{number}") for number in range(50)]
    results = await asyncio.gather(*(store(one, *events, txn_id=f"t{number % 2}") for number in range(6)))
    assert sum(len(items) for items, _ in results) == 50
    assert sum(fresh for _, fresh in results) == 2
    assert [row["seq"] for row in await rows(database, inbox)] == list(range(1, 51))


@pytest.mark.parametrize(
    "bad",
    [
        7,
        None,
        [],
        "text",
        {},
        {**message("$x"), "content": []},
        {**message("$x"), "event_id": "$" + "x" * MAX_ID},
        {**message("$x"), "room_id": "a\0b"},
        {**message("$x"), "sender": "\ud800"},
        {**message("$x"), "type": None},
        {**message("$x"), "state_key": 3},
    ],
    ids=repr,
)
async def test_a_malformed_event_is_a_dead_letter_and_stops_nothing(
    engine: MakeEngine, database: Database, bad: Any
) -> None:
    one = await engine(worker=False)
    items, _ = await store(one, message("$a"), bad, message("$b"))
    assert [item.event_id for item in items] == ["$a", "$b"]
    (letter,) = [row for row in await rows(database, inbox) if row["event_id"].startswith("!malformed:")]
    assert letter["state"] == InboxState.DEAD
    assert letter["error"].startswith("malformed: ")
    assert letter["room_id"] == ""
    assert json.loads(bytes(letter["payload"])) == bad
    assert await store(one, message("$a"), bad, message("$b")) == ([], False)
    assert len(await rows(database, inbox)) == 3


def nested(levels: int) -> Any:
    """A list in a list in a list …"""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


async def test_an_event_that_cannot_be_written_again_is_a_dead_letter_too(
    engine: MakeEngine, database: Database
) -> None:
    """Seen: it was read, but too deep to be written; its transaction was refused for ever, and every later one."""
    one = await engine(worker=False)
    deep = {**message("$deep"), "content": {"body": nested(1_015)}}
    with pytest.raises(json.JSONError):
        json.dumps(deep)
    items, _ = await store(one, message("$a"), deep, message("$b"))
    assert [item.event_id for item in items] == ["$a", "$b"]
    letter = await inbox_row(database, "$deep")
    assert (letter["state"], letter["error"]) == (InboxState.DEAD, "malformed: it is nested too deeply to be stored")
    assert await replay(database, ["$deep"]) == 0
    assert await store(one, message("$a"), deep, {"deep": nested(1_015)}, txn_id="t2") == ([], True)
    assert len(await rows(database, inbox)) == 4


async def test_very_many_events_at_once_are_stored(engine: MakeEngine, database: Database) -> None:
    """More than a database takes as parameters of one statement (32,766 on SQLite, 32,767 on PostgreSQL)."""
    one = await engine(worker=False)
    items, _ = await store(one, *(message(f"$e{number}") for number in range(33_000)))
    assert len(items) == 33_000
    again, _ = await store(one, *(message(f"$e{number}") for number in range(33_001)), txn_id="t2")
    assert [item.event_id for item in again] == ["$e33000"]


async def test_nothing_is_kept_when_the_commit_fails_and_all_is_when_only_its_answer_is_lost(
    engine: MakeEngine, flaky: FlakyDatabase
) -> None:
    one = await engine(worker=False)
    flaky.fail("before", "after")
    with pytest.raises(DatabaseError):
        await store(one, message("$a"))
    assert await rows(flaky, inbox) == []
    assert await rows(flaky, transactions) == []
    with pytest.raises(DatabaseError):
        await store(one, message("$a"))
    assert await store(one, message("$a")) == ([], False)
    assert len(await rows(flaky, inbox)) == 1


async def test_the_sequence_goes_on_after_a_restart_even_when_all_was_purged(
    engine: MakeEngine, database: Database
) -> None:
    one = await engine(worker=False)
    items, _ = await store(one, *(message(f"$e{number}") for number in range(5)))
    await finish(one, *items)
    assert await one.inbox.purge(now_ms() + 1_000) == 4
    assert await one.inbox.purge(now_ms() + 1_000) == 0
    await one.crash()
    again = await engine(worker=False)
    items, _ = await store(again, message("$new"), txn_id="t9")
    assert [item.seq for item in items] == [6]
    assert [row["seq"] for row in await rows(database, inbox)] == [5, 6]


async def test_unfinished_gives_what_is_pending_or_parked_in_order_without_the_events(engine: MakeEngine) -> None:
    one = await engine(worker=False)
    items, _ = await store(one, *(message(f"$e{number}") for number in range(6)))
    await finish(one, items[0])
    await die(one, items[1])
    parked = items[2].progress(state=int(InboxState.PARKED), session_id="S", done_by="a\nb", attempts=2)
    await one.writer.submit(Job(rows=[(INBOX_PROGRESS, parked)]))
    found = await one.inbox.unfinished()
    assert [item.event_id for item in found] == ["$e2", "$e3", "$e4", "$e5"]
    assert {item.payload for item in found} == {None}
    first = found[0]
    assert (first.state, first.session_id, first.attempts) == (InboxState.PARKED, "S", 2)
    assert first.done_by == {"a", "b"}
    await one.inbox.load(found)
    assert json.loads(found[1].payload or b"") == message("$e3")


async def test_load_says_how_far_each_event_has_come(engine: MakeEngine) -> None:
    one = await engine(config_with_shards(), worker=False)
    items, _ = await store(one, message("$a"), message("$b", ROOM2), message("$c", ROOM2))
    await finish(one, items[0])
    await one.writer.submit(Job(rows=[(INBOX_PROGRESS, items[2].progress(done_by="x"))]))
    for item in items:
        item.payload = None
    await one.inbox.load(items)
    assert items[0].payload is None
    assert items[0].state == InboxState.DONE
    assert json.loads(items[1].payload or b"") == message("$b", ROOM2)
    assert items[2].done_by == {"x"}


def config_with_shards() -> Any:
    """Two shards."""
    from tests.store.harness import config

    return config(shards=2)


async def test_each_shard_counts_for_itself(engine: MakeEngine, database: Database) -> None:
    one = await engine(config_with_shards(), worker=False)
    rooms = [f"!r{number}:localhost" for number in range(10)]
    items, _ = await store(one, *(message(f"$e{number}", room) for number, room in enumerate(rooms)))
    assert {item.shard for item in items} == {0, 1}
    for shard in (0, 1):
        mine = [item for item in items if item.shard == shard]
        assert [item.seq for item in mine] == list(range(1, len(mine) + 1))
        assert all(shard_of(item.room_id, 2) == shard for item in mine)


async def test_replay_and_drop_touch_dead_letters_only(engine: MakeEngine, database: Database) -> None:
    one = await engine(worker=False)
    items, _ = await store(one, *(message(f"$e{number}") for number in range(4)), 7)
    await die(one, items[0], items[1])
    await finish(one, items[2])
    malformed = next(row["event_id"] for row in await rows(database, inbox) if row["event_id"].startswith("!"))
    everything = [f"$e{number}" for number in range(4)] + [malformed]
    assert await drop(database, ["$e1", "$e2", "$e3"]) == 1
    dropped = await inbox_row(database, "$e1")
    assert (dropped["state"], bytes(dropped["payload"])) == (InboxState.DROPPED, b"")
    assert dropped["finished_at"] is not None
    assert await replay(database, everything) == 1
    assert [item.event_id for item in await one.inbox.replays()] == ["$e0"]
    assert (await inbox_row(database, "$e0"))["attempts"] == 0
    assert (await inbox_row(database, malformed))["state"] == InboxState.DEAD
    assert await drop(database, [malformed]) == 1


async def test_a_renewed_event_forgets_who_gave_up_and_remembers_who_was_done() -> None:
    item = InboxItem(0, 1, ROOM, "$a", None, 0, 4, frozenset({"a", "b!gave-up"}), InboxState.REPLAY, None, "x")
    item.renew()
    assert (item.state, item.attempts, item.error, item.done_by) == (InboxState.PENDING, 0, None, frozenset({"a"}))


async def test_letters_and_show_are_what_the_operator_sees(engine: MakeEngine, database: Database) -> None:
    one = await engine(worker=False)
    items, _ = await store(one, message("$a"), message("$b"), 7)
    await die(one, items[0])
    found = await letters(database, [InboxState.DEAD])
    assert [(letter.event_id[:11], letter.state, letter.payload) for letter in found] == [
        ("$a", "dead", b""),
        ("!malformed:", "dead", b""),
    ]
    assert (found[0].attempts, found[0].error, found[0].room_id) == (5, "x", ROOM)
    assert len(await letters(database, [InboxState.DEAD], limit=1)) == 1
    shown = await show(database, "$b")
    assert shown is not None
    assert (shown.state, json.loads(shown.payload)) == ("pending", message("$b"))
    assert await show(database, "$unknown") is None


async def test_purge_removes_what_is_finished_and_old_and_nothing_else(
    engine: MakeEngine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "PURGE_SPAN", 3)
    one = await engine(worker=False)
    items, _ = await store(one, *(message(f"$e{number}") for number in range(12)))
    await die(one, items[0], items[4])
    await finish(one, *items[1:4], *items[6:])
    assert await one.inbox.purge(0) == 0
    removed = [await one.inbox.purge(now_ms() + 1_000) for _ in range(8)]
    assert sum(removed) == 8
    left = [row["event_id"] for row in await rows(database, inbox)]
    assert left == ["$e0", "$e4", "$e5", "$e11"]
    assert await rows(database, transactions) == []


async def test_purge_before_anything_was_stored_does_nothing(database: Database, engine: MakeEngine) -> None:
    one = await engine(worker=False)
    assert await one.inbox.purge(now_ms()) == 0


async def test_two_inboxes_on_one_database_lose_nothing_silently(engine: MakeEngine, flaky: FlakyDatabase) -> None:
    """Two services on one database are a mistake; the second hears an error and the homeserver sends again."""
    one = await engine(worker=False)
    other = Inbox(flaky, one.writer)
    await other.start()
    await store(one, message("$a"))
    with pytest.raises(Exception, match=r"(?i)unique"):
        await other.store(Transaction("t2", (message("$b"),)))
    assert [row["event_id"] for row in await rows(flaky, inbox)] == ["$a"]
