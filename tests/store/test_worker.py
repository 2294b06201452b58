"""Worker and processor: retries, dead letters, marks, keys, faults between a handler and its commit, the end."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from appservice import worker
from appservice.database import Database
from appservice.events import Event
from appservice.inbox import Inbox, replay
from appservice.store.tables import InboxState, OutboxState, inbox
from appservice.store.tables import rooms as effects
from appservice.unit import UnitOfWork
from tests.store.conftest import MakeEngine
from tests.store.harness import (
    BOT,
    OTHER,
    ROOM,
    FakeConsumer,
    FakeCrypto,
    FlakyDatabase,
    answer,
    config,
    encrypted,
    inbox_row,
    message,
    outbox_rows,
    refusal,
    rows,
    until,
)

ROOM2 = "!second:localhost"


def failing(times: int, only: str | None = None) -> Any:
    """A handler that fails so often for each event (or for one), then answers."""
    seen: Counter[str] = Counter()

    async def handle(event: Event, unit: UnitOfWork) -> None:
        seen[event.event_id] += 1
        if (only is None or event.event_id == only) and seen[event.event_id] <= times:
            unit.send(event.room_id, {"body": "never to be seen"})
            raise ValueError("a handler's error")
        await answer(event, unit)

    return handle


def note(unit: UnitOfWork, key: str) -> None:
    """An effect in the database that cannot happen twice unseen: every time it happens it makes a row."""

    def operation(connection: Connection) -> None:
        count = connection.execute(effects.select().where(effects.c.room_id == key)).all()
        row = {"shard": 0, "key": f"{key}/{len(count)}", "room_id": key, "created_at": 0}
        connection.execute(insert(effects), row)

    unit.store(operation)


async def noted(database: Database) -> list[str]:
    """The effects that happened."""
    return [row["key"] for row in await rows(database, effects)]


async def test_events_are_answered_in_order_and_forgotten(engine: MakeEngine, database: Database) -> None:
    one = await engine()
    await one.deliver(*(message(f"$e{number}") for number in range(70)))
    await one.settled()
    assert one.homeserver.bodies() == [f"re: $e{number}" for number in range(70)]
    stored = await rows(database, inbox)
    assert {row["state"] for row in stored} == {InboxState.DONE}
    assert {bytes(row["payload"]) for row in stored} == {b""}
    assert all(row["finished_at"] for row in stored)
    assert {bytes(row["content"]) for row in await outbox_rows(database)} == {b""}


async def test_a_failing_handler_is_tried_again_and_answers_once(engine: MakeEngine) -> None:
    one = await engine(consumers=[FakeConsumer(handler=failing(2))])
    await one.deliver(message("$a"), message("$b"))
    await one.settled()
    assert one.homeserver.bodies() == ["re: $a", "re: $b"]
    assert one.consumers[0].handled == ["$a"] * 3 + ["$b"] * 3


async def test_after_the_last_attempt_an_event_is_a_dead_letter_with_one_word(
    engine: MakeEngine, database: Database
) -> None:
    one = await engine(consumers=[FakeConsumer(handler=failing(99, only="$a"))])
    await one.deliver(message("$a"), message("$b"))
    await one.settled()
    assert one.homeserver.bodies() == [f"sorry for $a from bot:{BOT}", "re: $b"]
    assert one.consumers[0].handled.count("$a") == 3
    row = await inbox_row(database, "$a")
    assert row["state"] == InboxState.DEAD
    assert row["error"] == f"bot:{BOT}: ValueError"
    assert b"$a" in bytes(row["payload"])


async def test_a_poisoned_event_does_not_stop_other_rooms(engine: MakeEngine) -> None:
    one = await engine(config(backoff=5, backoff_max=5), consumers=[FakeConsumer(handler=failing(99, only="$poison"))])
    await one.deliver(message("$poison"), message("$behind"), message("$other", ROOM2))
    await until(lambda: one.homeserver.bodies() == ["re: $other"], "the other room's answer")
    assert one.consumers[0].handled == ["$poison", "$other"]


async def test_the_pause_between_attempts_grows(engine: MakeEngine) -> None:
    times: list[float] = []

    async def handle(event: Event, unit: UnitOfWork) -> None:
        times.append(asyncio.get_running_loop().time())
        raise ValueError

    one = await engine(config(attempts=4, backoff=0.05, backoff_max=0.1), consumers=[FakeConsumer(handler=handle)])
    await one.deliver(message("$a"))
    await one.settled()
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert len(pauses) == 3
    assert pauses[0] >= 0.05
    assert pauses[1] >= 0.1
    assert pauses[2] >= 0.1


async def test_a_retry_skips_consumers_that_are_done(engine: MakeEngine) -> None:
    first = FakeConsumer("a", BOT)
    second = FakeConsumer("b", OTHER, failing(2))
    one = await engine(consumers=[first, second])
    await one.deliver(message("$a"))
    await one.settled()
    assert first.handled == ["$a"]
    assert second.handled == ["$a"] * 3
    assert [sent.user_id for sent in one.homeserver.events] == [BOT, OTHER]


async def test_each_consumer_has_attempts_of_its_own(engine: MakeEngine) -> None:
    """Seen: what the first had needed was missing to the second."""
    first, second = FakeConsumer("a", BOT, failing(2)), FakeConsumer("b", OTHER, failing(2))
    one = await engine(consumers=[first, second])
    await one.deliver(message("$a"))
    await one.settled()
    assert one.homeserver.bodies() == ["re: $a", "re: $a"]


async def test_two_consumers_that_fail_for_ever_end_the_event_and_say_so_once_each(
    engine: MakeEngine, database: Database
) -> None:
    """Seen: who had given up was asked again in each attempt of the other, for ever, and the room stood still."""
    first = FakeConsumer("a", BOT, failing(99, only="$a"))
    second = FakeConsumer("b", OTHER, failing(99, only="$a"))
    one = await engine(consumers=[first, second])
    await one.deliver(message("$a"), message("$b"))
    await one.settled()
    assert first.handled.count("$a") == 3
    assert second.handled.count("$a") == 3
    assert one.homeserver.bodies() == ["sorry for $a from a", "sorry for $a from b", "re: $b", "re: $b"]
    assert (await inbox_row(database, "$a"))["state"] == InboxState.DEAD


async def test_who_gave_up_is_not_asked_again_after_a_restart(engine: MakeEngine, database: Database) -> None:
    """And the event stays a dead letter, though the other consumer ended well."""
    first = FakeConsumer("a", BOT, failing(99))
    second = FakeConsumer("b", OTHER, failing(99))
    one = await engine(config(attempts=2), consumers=[first, second])
    await one.deliver(message("$a"))
    await until(lambda: len(second.handled) >= 1)
    await one.crash()
    asked = len(first.handled)
    second.handler = answer
    again = await engine(config(attempts=2), consumers=[first, second], homeserver=one.homeserver)
    await again.settled()
    assert asked == len(first.handled) == 2
    assert again.homeserver.bodies() == ["sorry for $a from a", "re: $a"]
    assert (await inbox_row(database, "$a"))["state"] == InboxState.DEAD


async def test_a_dead_letter_is_replayed_from_its_first_attempt(engine: MakeEngine, database: Database) -> None:
    bot = FakeConsumer(handler=failing(99))
    one = await engine(consumers=[bot])
    await one.deliver(message("$a"))
    await one.settled()
    bot.handler = failing(2)
    assert await replay(database, ["$a", "$unknown"]) == 1
    await until(lambda: len(bot.handled) >= 6)
    await one.settled()
    assert bot.handled == ["$a"] * 6
    assert one.homeserver.bodies() == [f"sorry for $a from bot:{BOT}", "re: $a"]
    assert (await inbox_row(database, "$a"))["state"] == InboxState.DONE


async def test_a_replay_skips_who_was_done_and_asks_who_gave_up(engine: MakeEngine, database: Database) -> None:
    first, second = FakeConsumer("a", BOT), FakeConsumer("b", OTHER, failing(99))
    one = await engine(consumers=[first, second])
    await one.deliver(message("$a"))
    await one.settled()
    second.handler = answer
    await replay(database, ["$a"])
    await until(lambda: len(one.homeserver.events) == 3)
    assert first.handled == ["$a"]


async def test_a_replay_asked_for_before_a_start_is_worked_once(engine: MakeEngine, database: Database) -> None:
    """Seen: the start took it up, and the housekeeping took it up again every few seconds."""
    bot = FakeConsumer(handler=failing(99))
    one = await engine(consumers=[bot])
    await one.deliver(message("$a"))
    await one.settled()
    await one.stop()
    await replay(database, ["$a"])
    gate = asyncio.Event()

    async def slow(event: Event, unit: UnitOfWork) -> None:
        await gate.wait()
        await answer(event, unit)

    bot.handler, bot.handled = slow, []
    again = await engine(consumers=[bot], homeserver=one.homeserver)
    reads = 0
    original = again.inbox.replays

    async def counted() -> Any:
        nonlocal reads
        reads += 1
        return await original()

    again.inbox.replays = counted
    await until(lambda: reads > 3 and bot.handled)
    assert again.worker.pending == 1
    gate.set()
    await again.settled()
    assert bot.handled == ["$a"]


@pytest.mark.parametrize("fault", ["before", "after"])
async def test_a_replay_whose_commit_was_lost_is_worked_once(
    engine: MakeEngine, database: Database, flaky: FlakyDatabase, fault: str
) -> None:
    bot = FakeConsumer(handler=failing(99))
    one = await engine(consumers=[bot])
    await one.deliver(message("$a"))
    await one.settled()
    bot.handler, bot.handled = answer, []
    flaky.fail(fault)
    await replay(database, ["$a"])
    await until(lambda: bot.handled, "it is worked without a restart")
    await one.settled()
    assert bot.handled == ["$a"]
    assert one.homeserver.bodies() == [f"sorry for $a from bot:{BOT}", "re: $a"]
    assert (await inbox_row(database, "$a"))["state"] == InboxState.DONE


async def test_effects_and_mark_are_one_commit(engine: MakeEngine, database: Database) -> None:
    """An operation that raises leaves nothing, not the message either; when it works all is there once."""
    refusals = [ValueError("refused"), None]
    looked = asyncio.Event()

    async def handle(event: Event, unit: UnitOfWork) -> None:
        problem = refusals.pop(0)
        note(unit, event.event_id)
        if problem is None:
            await looked.wait()
        else:

            def refuse(connection: Connection) -> None:
                raise problem

            unit.store(refuse)
        await answer(event, unit)

    called: list[str] = []

    async def counted(event: Event, unit: UnitOfWork) -> None:
        unit.after_commit(lambda: called.append(event.event_id))
        await handle(event, unit)

    one = await engine(config(backoff=0.05), consumers=[FakeConsumer(handler=counted)])
    await one.deliver(message("$a"))
    await until(lambda: len(refusals) < 2)
    await until(lambda: one.metrics.events_retried._value.get() == 1)
    assert await noted(database) == []
    assert await outbox_rows(database) == []
    looked.set()
    await one.settled()
    assert await noted(database) == ["$a/0"]
    assert one.homeserver.bodies() == ["re: $a"]
    assert called == ["$a"]


async def test_an_operation_that_always_raises_ends_as_a_dead_letter(engine: MakeEngine, database: Database) -> None:
    async def handle(event: Event, unit: UnitOfWork) -> None:
        if event.event_id == "$a":

            def refuse(connection: Connection) -> None:
                raise LookupError

            unit.store(refuse)
        await answer(event, unit)

    one = await engine(consumers=[FakeConsumer(handler=handle)])
    await one.deliver(message("$a"), message("$b"))
    await one.settled()
    assert one.homeserver.bodies() == [f"sorry for $a from bot:{BOT}", "re: $b"]
    assert (await inbox_row(database, "$a"))["state"] == InboxState.DEAD


async def test_a_handler_that_takes_too_long_counts_as_failed(engine: MakeEngine, database: Database) -> None:
    async def handle(event: Event, unit: UnitOfWork) -> None:
        if event.event_id == "$slow":
            await asyncio.Event().wait()
        await answer(event, unit)

    one = await engine(config(handler_timeout=0.05, attempts=2), consumers=[FakeConsumer(handler=handle)])
    await one.deliver(message("$slow"), message("$b"))
    await one.settled()
    assert one.homeserver.bodies() == [f"sorry for $slow from bot:{BOT}", "re: $b"]
    assert (await inbox_row(database, "$slow"))["error"].endswith("TimeoutError")


async def test_an_unreachable_homeserver_costs_no_attempt_and_a_refusal_does(
    engine: MakeEngine, database: Database
) -> None:
    # 502 to 504 are what a proxy says while the homeserver behind it starts anew.
    answers = [refusal(0, "UNREACHABLE"), refusal(429, "M_LIMIT_EXCEEDED", 0.01)] * 4
    answers += [refusal(502), refusal(503, "UNKNOWN", 0.01), refusal(504)] * 2

    async def handle(event: Event, unit: UnitOfWork) -> None:
        if event.event_id == "$refused":
            raise refusal(400)
        if answers:
            raise answers.pop()
        await answer(event, unit)

    one = await engine(config(attempts=2), consumers=[FakeConsumer(handler=handle)])
    await one.deliver(message("$a"), message("$refused"))
    await one.settled()
    assert one.homeserver.bodies() == ["re: $a", f"sorry for $refused from bot:{BOT}"]
    assert (await inbox_row(database, "$a"))["attempts"] == 0


async def test_state_that_the_engine_itself_fails_on_becomes_a_dead_letter(
    engine: MakeEngine, database: Database
) -> None:
    one = await engine()
    one.rooms.problem = lambda event: ZeroDivisionError() if event.event_id == "$state" else None
    await one.deliver({**message("$state"), "state_key": ""}, message("$b"))
    await one.settled()
    assert one.homeserver.bodies() == ["re: $b"]
    row = await inbox_row(database, "$state")
    assert (row["state"], row["error"]) == (InboxState.DEAD, "engine")


async def test_state_is_applied_before_anyone_hears_of_it_and_waits_for_the_homeserver(engine: MakeEngine) -> None:
    problems = [refusal(503), refusal(0, "UNREACHABLE")]
    one = await engine()
    one.rooms.problem = lambda _event: problems.pop() if problems else None
    await one.deliver({**message("$state"), "state_key": ""})
    await one.settled()
    assert one.rooms.applied == ["$state"]
    assert one.homeserver.bodies() == ["re: $state"]


# Faults between a handler and its commit


@pytest.mark.parametrize("fault", ["before", "after"])
@pytest.mark.parametrize("with_effect", [False, True])
async def test_a_lost_commit_repeats_nothing_and_loses_nothing(
    engine: MakeEngine, flaky: FlakyDatabase, database: Database, fault: str, with_effect: bool
) -> None:
    async def handle(event: Event, unit: UnitOfWork) -> None:
        if with_effect:
            note(unit, event.event_id)
        await answer(event, unit)

    one = await engine(consumers=[FakeConsumer(handler=handle)])
    await one.deliver(message("$a"))
    await one.settled()
    flaky.fail(None, fault)  # the events are stored; the commit of what follows meets the fault
    await one.deliver(*(message(f"$b{number}") for number in range(40)), message("$c", ROOM2))
    await one.settled()
    assert one.homeserver.bodies(ROOM) == ["re: $a"] + [f"re: $b{number}" for number in range(40)]
    assert one.homeserver.bodies(ROOM2) == ["re: $c"]
    txn_ids = [sent.txn_id for sent in one.homeserver.events]
    assert len(set(txn_ids)) == len(txn_ids)
    if with_effect:
        assert sorted(await noted(database)) == sorted(["$a/0", "$c/0"] + [f"$b{number}/0" for number in range(40)])
    assert {row["state"] for row in await rows(database, inbox)} == {InboxState.DONE}


@pytest.mark.parametrize("with_effect", [False, True])
async def test_a_commit_that_happens_after_it_was_given_up_repeats_nothing(
    engine: MakeEngine, flaky: FlakyDatabase, database: Database, with_effect: bool
) -> None:
    """PostgreSQL may end a commit that its client no longer waits for, after the event was read again."""

    async def handle(event: Event, unit: UnitOfWork) -> None:
        if with_effect:
            note(unit, event.event_id)
        await answer(event, unit)

    one = await engine(consumers=[FakeConsumer(handler=handle)])
    flaky.fail(None, "late")
    await one.deliver(message("$a"), message("$b"))
    await one.settled()
    assert one.homeserver.bodies() == ["re: $a", "re: $b"]
    assert await noted(database) == (["$a/0", "$b/0"] if with_effect else [])
    assert {row["state"] for row in await outbox_rows(database)} == {OutboxState.SENT}
    assert len(await outbox_rows(database)) == 2
    assert {row["state"] for row in await rows(database, inbox)} == {InboxState.DONE}


@pytest.mark.parametrize("fault", ["before", "after"])
async def test_a_lost_commit_of_the_first_of_two_consumers(
    engine: MakeEngine, flaky: FlakyDatabase, database: Database, fault: str
) -> None:
    async def handle(event: Event, unit: UnitOfWork) -> None:
        note(unit, f"{unit.consumer}{event.event_id}")
        await answer(event, unit)

    consumers = [FakeConsumer("a", BOT, handle), FakeConsumer("b", OTHER, handle)]
    one = await engine(consumers=consumers)
    flaky.fail(None, fault)
    await one.deliver(message("$a"))
    await one.settled()
    assert [(sent.user_id, sent.content["body"]) for sent in one.homeserver.events] == [
        (BOT, "re: $a"),
        (OTHER, "re: $a"),
    ]
    assert await noted(database) == ["a$a/0", "b$a/0"]


async def test_a_dead_letter_whose_last_commit_was_lost_is_not_worked_again(
    engine: MakeEngine, flaky: FlakyDatabase, database: Database
) -> None:
    bot = FakeConsumer(handler=failing(99))
    one = await engine(config(attempts=1), consumers=[bot])
    flaky.fail(None, "after")
    await one.deliver(message("$a"))
    await one.settled()
    assert bot.handled == ["$a"]
    assert one.homeserver.bodies() == [f"sorry for $a from bot:{BOT}"]
    assert (await inbox_row(database, "$a"))["state"] == InboxState.DEAD


async def test_marks_that_waited_for_the_database_do_not_undo_newer_ones(
    engine: MakeEngine, flaky: FlakyDatabase, database: Database
) -> None:
    """Seen: "one attempt failed" was written late, over "this consumer is done"; a crash then repeated its effects."""

    async def handle(event: Event, unit: UnitOfWork) -> None:
        if len(first.handled) == 1:
            raise ValueError
        note(unit, "effect")
        await answer(event, unit)

    stuck = asyncio.Event()

    async def never(event: Event, unit: UnitOfWork) -> None:
        stuck.set()
        await asyncio.Event().wait()

    first, second = FakeConsumer("a", BOT, handle), FakeConsumer("b", OTHER, never)
    one = await engine(config(backoff=0.05, backoff_max=0.3), consumers=[first, second])
    # The mark of the failed attempt meets a database that is gone, and waits longer than the second attempt takes.
    recorder = one.worker._recorder
    recorder._backoff = 0.3
    flaky.fail(None, "before")
    await one.deliver(message("$a"))
    await stuck.wait()
    assert (await inbox_row(database, "$a"))["done_by"] == "a"
    assert recorder._task is not None
    await asyncio.wait([recorder._task], timeout=5)
    assert (await inbox_row(database, "$a"))["done_by"] == "a"


async def test_one_message_that_the_database_refuses_takes_no_other_with_it(
    engine: MakeEngine, database: Database
) -> None:
    """A text that no database takes (SQLite's driver refuses lone surrogates, PostgreSQL NUL and them)."""

    async def handle(event: Event, unit: UnitOfWork) -> None:
        kind = "bad\0\ud800" if event.event_id == "$bad" else "m.room.message"
        unit.send(event.room_id, {"body": f"re: {event.event_id}"}, event_type=kind)

    one = await engine(consumers=[FakeConsumer(handler=handle)])
    await one.deliver(message("$x"), message("$bad"), message("$y"), message("$z", ROOM2))
    await one.settled()
    assert one.homeserver.bodies(ROOM) == ["re: $x", f"sorry for $bad from bot:{BOT}", "re: $y"]
    assert one.homeserver.bodies(ROOM2) == ["re: $z"]
    assert one.consumers[0].handled.count("$y") <= 2
    assert (await inbox_row(database, "$bad"))["state"] == InboxState.DEAD


# Keys


async def test_an_event_without_its_key_waits_in_order(engine: MakeEngine) -> None:
    one = await engine(config(key_wait=10))
    await one.deliver(encrypted("$a", "S"), message("$b"))
    await until(lambda: one.worker._rooms[ROOM].timer is not None)
    assert one.homeserver.bodies() == []
    one.crypto.sessions.add((BOT, "S"))
    one.worker.session_arrived(BOT, ROOM, "S")
    await one.settled()
    assert one.homeserver.bodies() == ["re: $a", "re: $b"]


async def test_an_event_without_its_key_is_parked_and_released_in_order(engine: MakeEngine, database: Database) -> None:
    one = await engine(config(key_wait=0.02))
    await one.deliver(encrypted("$a", "S"), encrypted("$b", "S"), message("$c"))
    await until(lambda: one.homeserver.bodies() == ["re: $c"])
    await until(lambda: len(one.worker._parking) == 2)
    await one.settled()
    parked = await inbox_row(database, "$a")
    assert (parked["state"], parked["session_id"]) == (InboxState.PARKED, "S")
    one.crypto.sessions.add((BOT, "S"))
    one.worker.session_arrived(BOT, ROOM, "S")
    await one.settled()
    assert one.homeserver.bodies() == ["re: $c", "re: $a", "re: $b"]
    row = await inbox_row(database, "$a")
    assert (row["state"], row["session_id"]) == (InboxState.DONE, None)


async def test_parked_events_are_parked_again_after_a_restart(engine: MakeEngine) -> None:
    one = await engine(config(key_wait=0.02))
    await one.deliver(encrypted("$a", "S"))
    await until(lambda: len(one.worker._parking) == 1)
    await one.settled()
    await one.crash()
    again = await engine(config(key_wait=30), homeserver=one.homeserver)
    await until(lambda: len(again.worker._parking) == 1)
    again.crypto.sessions.add((BOT, "S"))
    again.worker.session_arrived(BOT, ROOM, "S")
    await again.settled()
    assert again.homeserver.bodies() == ["re: $a"]


async def test_the_sender_is_told_once_when_a_key_never_comes_and_the_key_still_helps(engine: MakeEngine) -> None:
    one = await engine(config(key_wait=0.02, give_up_after=0.1))
    await one.deliver(encrypted("$a", "S"))
    await until(lambda: one.homeserver.bodies() == ["cannot read $a"])
    await until(lambda: len(one.worker._parking) == 1)
    assert one.worker._parking.overdue() == []
    one.crypto.sessions.add((BOT, "S"))
    one.worker.session_arrived(BOT, ROOM, "S")
    await one.settled()
    assert one.homeserver.bodies() == ["cannot read $a", "re: $a"]


async def test_a_key_that_never_comes_makes_a_dead_letter_in_the_end(
    engine: MakeEngine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not wait in memory, and be asked for at every start, for ever."""
    monkeypatch.setattr(worker, "PURGE_S", 0.01)
    settings = config(key_wait=0.01)
    short = settings.model_copy(update={"engine": settings.engine.model_copy(update={"retention": 0.05})})
    one = await engine(short, crypto=FakeCrypto(withheld="m.unverified"))
    await one.deliver(encrypted("$a", "S"))
    await until(lambda: one.worker.pending == 0)
    await one.settled()
    row = await inbox_row(database, "$a")
    assert (row["state"], row["error"]) == (InboxState.DEAD, "its key never came")
    assert b"$a" in bytes(row["payload"])
    assert one.homeserver.bodies() == ["cannot read $a"]
    one.crypto.sessions.add((BOT, "S"))
    await replay(database, ["$a"])
    await until(lambda: one.homeserver.bodies() == ["cannot read $a", "re: $a"])


async def test_a_withheld_key_is_told_at_once_and_once(engine: MakeEngine) -> None:
    one = await engine(config(key_wait=30, give_up_after=60), crypto=FakeCrypto(withheld="m.blacklisted"))
    await one.deliver(encrypted("$a", "S"), message("$b"))
    await until(lambda: one.homeserver.bodies() == ["cannot read $a", "re: $b"])
    one.worker.session_arrived(BOT, ROOM, "S")  # a key that does not help: say nothing new
    await until(lambda: len(one.worker._parking) == 1)
    await one.settled()
    assert one.homeserver.bodies() == ["cannot read $a", "re: $b"]


async def test_a_word_whose_commit_outlasts_the_handler_timeout_is_said_once(
    engine: MakeEngine, flaky: FlakyDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await engine(config(handler_timeout=0.05, attempts=50), crypto=FakeCrypto(withheld="m.unverified"))
    go_on, slow, write = asyncio.Event(), asyncio.Event(), flaky.write

    async def held(work: Any) -> Any:
        result = await write(work)
        if b"cannot read" in b"".join(bytes(row["content"]) for row in await outbox_rows(flaky)):
            slow.set()
            await go_on.wait()
        return result

    await one.deliver(encrypted("$a", "s1"))
    monkeypatch.setattr(flaky, "write", held)
    await asyncio.wait_for(slow.wait(), 4)
    with pytest.raises(TimeoutError):  # the handler's time runs out meanwhile
        await asyncio.wait_for(go_on.wait(), 0.2)
    assert one.homeserver.bodies() == []
    go_on.set()
    await until(one.homeserver.bodies, "the word is sent without a restart")
    await one.settled()
    assert one.homeserver.bodies() == ["cannot read $a"]


@pytest.mark.parametrize("fault", ["before", "after"])
async def test_a_word_about_a_lost_key_whose_commit_was_lost_is_said_once(
    engine: MakeEngine, flaky: FlakyDatabase, fault: str
) -> None:
    """Seen: it was remembered as said before it was kept, and never said."""
    one = await engine(config(key_wait=30), crypto=FakeCrypto(withheld="m.blacklisted"))
    flaky.fail(None, fault)
    await one.deliver(encrypted("$a", "S"))
    await until(lambda: len(one.worker._parking) == 1)
    await one.settled()
    assert one.homeserver.bodies() == ["cannot read $a"]


async def test_what_can_never_be_read_is_told_once_and_done(engine: MakeEngine, database: Database) -> None:
    one = await engine(crypto=FakeCrypto(broken={"$a"}))
    await one.deliver(encrypted("$a", "S"), message("$b"))
    await one.settled()
    assert one.homeserver.bodies() == ["cannot read $a", "re: $b"]
    assert one.consumers[0].handled == ["$b"]
    assert (await inbox_row(database, "$a"))["state"] == InboxState.DONE


async def test_one_bot_has_the_key_and_another_gets_it_later(engine: MakeEngine) -> None:
    first, second = FakeConsumer("a", BOT), FakeConsumer("b", OTHER)
    one = await engine(config(key_wait=0.02), consumers=[first, second], crypto=FakeCrypto(sessions={(BOT, "S")}))
    await one.deliver(encrypted("$a", "S"))
    await until(lambda: len(one.worker._parking) == 1)
    assert [sent.user_id for sent in one.homeserver.events] in ([BOT], [])
    one.crypto.sessions.add((OTHER, "S"))
    one.worker.session_arrived(OTHER, ROOM, "S")
    await one.settled()
    assert [sent.user_id for sent in one.homeserver.events] == [BOT, OTHER]
    assert (first.handled, second.handled) == (["$a"], ["$a"])


async def test_a_key_that_comes_while_its_event_is_being_parked_is_not_missed(engine: MakeEngine) -> None:
    """Seen: the first bot's key came while the second bot was at work; the event slept until giving up."""
    gate, busy = asyncio.Event(), asyncio.Event()

    async def slow(event: Event, unit: UnitOfWork) -> None:
        busy.set()
        await gate.wait()
        await answer(event, unit)

    first, second = FakeConsumer("a", BOT), FakeConsumer("b", OTHER, slow)
    crypto = FakeCrypto(sessions={(OTHER, "S")})
    one = await engine(config(key_wait=0.02), consumers=[first, second], crypto=crypto)
    await one.deliver(encrypted("$a", "S"))
    await busy.wait()
    crypto.sessions.add((BOT, "S"))
    one.worker.session_arrived(BOT, ROOM, "S")
    gate.set()
    await one.settled()
    assert sorted(sent.user_id for sent in one.homeserver.events) == [BOT, OTHER]


# Beside


async def test_an_unfinished_event_is_worked_at_the_next_start(engine: MakeEngine) -> None:
    async def never(event: Event, unit: UnitOfWork) -> None:
        await asyncio.Event().wait()

    one = await engine(consumers=[FakeConsumer(handler=never)])
    await one.deliver(message("$a"), message("$b"))
    await until(lambda: one.consumers[0].handled)
    await one.crash()
    again = await engine(homeserver=one.homeserver)
    await again.settled()
    assert again.homeserver.bodies() == ["re: $a", "re: $b"]


async def test_stop_lets_a_running_handler_finish(engine: MakeEngine, database: Database) -> None:
    started, gate = asyncio.Event(), asyncio.Event()

    async def slow(event: Event, unit: UnitOfWork) -> None:
        started.set()
        await gate.wait()
        await answer(event, unit)

    one = await engine(consumers=[FakeConsumer(handler=slow)])
    await one.deliver(message("$a"), message("$b"))
    await started.wait()
    stopping = asyncio.create_task(one.stop())
    await asyncio.sleep(0)
    gate.set()
    await stopping
    assert one.homeserver.bodies() == ["re: $a"]
    assert (await inbox_row(database, "$a"))["state"] == InboxState.DONE
    assert (await inbox_row(database, "$b"))["state"] == InboxState.PENDING


async def test_stop_waits_no_longer_than_its_grace(engine: MakeEngine, caplog: pytest.LogCaptureFixture) -> None:
    async def never(event: Event, unit: UnitOfWork) -> None:
        await asyncio.Event().wait()

    one = await engine(consumers=[FakeConsumer(handler=never)])
    await one.deliver(message("$a"))
    await until(lambda: one.consumers[0].handled)
    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(5):
            await one.stop(0.05)
    assert "did not finish in time" in caplog.text
    assert one.homeserver.bodies() == []


async def test_reconcile_finds_what_a_lost_answer_stored_and_dispatches_it_once(
    engine: MakeEngine, flaky: FlakyDatabase
) -> None:
    gate = asyncio.Event()

    async def slow(event: Event, unit: UnitOfWork) -> None:
        await gate.wait()
        await answer(event, unit)

    one = await engine(consumers=[FakeConsumer(handler=slow)])
    await one.deliver(message("$known"), message("$parked-not"))
    flaky.fail("after")
    with pytest.raises(Exception, match="broke during the commit"):
        await one.deliver(message("$lost"), message("$lost2", ROOM2))
    assert one.worker.pending == 2
    await one.worker.reconcile()
    await one.worker.reconcile()
    assert one.worker.pending == 4
    gate.set()
    await one.settled()
    assert sorted(one.consumers[0].handled) == ["$known", "$lost", "$lost2", "$parked-not"]
    assert one.homeserver.bodies(ROOM) == ["re: $known", "re: $parked-not", "re: $lost"]


async def test_many_events_wait_in_the_database_not_in_memory(
    engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appservice.worker.MAX_IN_MEMORY", 3)
    monkeypatch.setattr("appservice.outbox.MAX_IN_MEMORY", 3)
    one = await engine()
    items = await one.deliver(*(message(f"$e{number}") for number in range(120)))
    assert sum(item.payload is not None for item in items) == 3
    await one.settled()
    assert one.homeserver.bodies() == [f"re: $e{number}" for number in range(120)]


async def test_ephemeral_events_reach_consumers_and_the_oldest_are_dropped(engine: MakeEngine) -> None:
    one = await engine()
    one.worker.dispatch_ephemeral({"n": number} for number in range(1_200))
    await until(lambda: one.consumers[0].ephemerals and one.consumers[0].ephemerals[-1] == {"n": 1_199})
    assert one.consumers[0].ephemerals[0] == {"n": 200}


async def test_no_event_is_begun_while_a_transaction_is_being_stored(engine: MakeEngine) -> None:
    one = await engine()
    with one.worker.hold():
        await one.deliver(message("$a"))
        for _ in range(50):
            await asyncio.sleep(0)
        assert one.consumers[0].handled == []
    await one.settled()
    assert one.consumers[0].handled == ["$a"]


async def test_housekeeping_outlives_a_database_that_is_gone(
    engine: MakeEngine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appservice.worker.PURGE_S", 0.01)
    one = await engine()
    await one.deliver(message("$old"), message("$new"))
    await one.settled()
    purged: list[int] = []
    original = Inbox.purge

    async def purge(self: Inbox, before: int) -> int:
        purged.append(before)
        if len(purged) == 1:
            raise refused
        return await original(self, before)

    from appservice.database import DatabaseError

    refused = DatabaseError("gone")
    monkeypatch.setattr(Inbox, "purge", purge)
    await until(lambda: len(purged) > 2)
