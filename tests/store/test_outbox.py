"""The outbox: order per room, one event for each message whatever happens, sealed in encrypted rooms."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from appservice import log as logs
from appservice import outbox as outbox_module
from appservice import patience as patience_module
from appservice.database import Database, DatabaseError
from appservice.e2ee.errors import CryptoNotReady
from appservice.inbox import now_ms
from appservice.store.tables import OutboxState, outbox
from appservice.unit import UnitOfWork
from appservice.writer import Job
from tests.store.conftest import MakeEngine
from tests.store.harness import (
    BOT,
    OTHER,
    ROOM,
    Engine,
    FakeCrypto,
    FakeHomeserver,
    FakeRooms,
    FlakyDatabase,
    Sent,
    config,
    opened,
    outbox_rows,
    refusal,
    until,
)

ROOM2 = "!second:localhost"
TEXT = "nobody may read this in a file"


async def commit(one: Engine, unit: UnitOfWork) -> None:
    """What the processor does with a unit."""
    outgoing, rows = await one.outbox.rows(unit.messages)
    await one.writer.submit(Job(rows=rows))
    one.outbox.enqueue(outgoing)


def unit_of(event_id: str = "$cause", user_id: str = BOT) -> UnitOfWork:
    """A unit of one consumer."""
    return UnitOfWork(event_id, "bot:" + user_id, user_id)


async def say(one: Engine, *texts: str, room_id: str = ROOM, cause: str = "$cause", user_id: str = BOT) -> UnitOfWork:
    """Commit messages."""
    unit = unit_of(cause, user_id)
    for text in texts:
        unit.send(room_id, {"msgtype": "m.notice", "body": text})
    await commit(one, unit)
    return unit


async def sent(one: Engine) -> None:
    """Wait until the outbox is empty, and written so."""
    await until(lambda: one.outbox.pending == 0, "everything sent")
    task = one.outbox._recorder._task
    if task is not None:
        await asyncio.wait([task], timeout=5)


async def test_messages_of_a_room_are_sent_in_order_one_at_a_time(engine: MakeEngine) -> None:
    one = await engine(worker=False)
    await say(one, *(f"m{number}" for number in range(60)))
    await sent(one)
    assert one.homeserver.bodies() == [f"m{number}" for number in range(60)]
    assert one.homeserver.most == 1
    assert {event.device_id for event in one.homeserver.events} == {"DEVICEBOT"}
    assert {event.user_id for event in one.homeserver.events} == {BOT}


async def test_rooms_go_on_side_by_side(engine: MakeEngine) -> None:
    one = await engine(worker=False)
    gate = asyncio.Event()

    async def wait(message: Sent) -> None:
        if message.room_id == ROOM:
            await gate.wait()

    one.homeserver.gate = wait
    await say(one, "held")
    await say(one, "a", "b", room_id=ROOM2, cause="$2")
    await until(lambda: one.homeserver.bodies() == ["a", "b"])
    gate.set()
    await sent(one)
    assert one.homeserver.bodies() == ["a", "b", "held"]


async def test_a_sent_message_keeps_no_content(engine: MakeEngine, database: Database) -> None:
    one = await engine(worker=False)
    await say(one, TEXT)
    await sent(one)
    (row,) = await outbox_rows(database)
    assert (row["state"], bytes(row["content"]), row["event_id"]) == (OutboxState.SENT, b"", "$sent0")
    assert row["finished_at"] is not None


@pytest.mark.parametrize(
    "problem",
    [
        refusal(500),
        refusal(502, "NOT_JSON"),
        refusal(429, "M_LIMIT_EXCEEDED", 0.01),
        refusal(0, "TIMEOUT"),
        refusal(401, "M_UNKNOWN_TOKEN"),
        CryptoNotReady("no device yet"),
        DatabaseError("gone"),
    ],
    ids=lambda each: f"{type(each).__name__}-{getattr(each, 'status', '')}",
)
async def test_what_may_pass_is_tried_again_for_as_long_as_it_takes(engine: MakeEngine, problem: Exception) -> None:
    left = [problem] * 12
    homeserver = FakeHomeserver(problem=lambda _sent: left.pop() if left else None)
    one = await engine(config(attempts=2, backoff=0.001, backoff_max=0.002), worker=False, homeserver=homeserver)
    await say(one, "a", "b")
    await sent(one)
    assert homeserver.bodies() == ["a", "b"]
    assert len({request.txn_id for request in homeserver.requests}) == 2


async def test_a_room_that_is_limited_waits_as_long_as_it_was_asked_to_and_others_go_on(engine: MakeEngine) -> None:
    problems = [refusal(429, "M_LIMIT_EXCEEDED", 0.3)]
    times: list[float] = []

    def problem(message: Sent) -> Exception | None:
        if message.room_id == ROOM:
            times.append(time.monotonic())
            return problems.pop() if problems else None
        return None

    one = await engine(worker=False, homeserver=FakeHomeserver(problem=problem))
    await say(one, "a")
    await say(one, "b", room_id=ROOM2, cause="$2")
    await sent(one)
    assert one.homeserver.bodies() == ["b", "a"]
    assert times[1] - times[0] >= 0.3


@pytest.mark.parametrize("status", [400, 403, 404, 413])
async def test_a_refused_message_is_failed_with_its_reason_and_the_next_goes_on(
    engine: MakeEngine, database: Database, status: int
) -> None:
    homeserver = FakeHomeserver(problem=lambda s: refusal(status, "M_NO") if s.content["body"] == "a" else None)
    one = await engine(worker=False, homeserver=homeserver)
    await say(one, "a", "b")
    await sent(one)
    assert homeserver.bodies() == ["b"]
    first, second = await outbox_rows(database)
    assert (first["state"], first["event_id"]) == (OutboxState.FAILED, None)
    assert "M_NO" in first["error"]
    assert second["state"] == OutboxState.SENT
    assert [request.content["body"] for request in homeserver.requests] == ["a", "b"]


HOUR = 3600.0


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in its one element, which moves on by an hour with every send (see :func:`hourly`)."""
    now = [0.0]
    monkeypatch.setattr(patience_module, "monotonic", lambda: now[0])
    return now


def hourly(hours: list[float], problem: Callable[[Sent], Exception | None]) -> FakeHomeserver:
    """A homeserver that takes an hour for each send."""

    def meets(message: Sent) -> Exception | None:
        hours[0] += HOUR
        return problem(message)

    return FakeHomeserver(problem=meets)


def quick(**options: Any) -> Any:
    """Retries at once."""
    return config(backoff=0.001, backoff_max=0.001, **options)


@pytest.mark.parametrize("problem", [refusal(500), refusal(502, "NOT_JSON"), refusal(0, "TIMEOUT"), refusal(401)])
async def test_a_message_refused_for_ever_by_a_homeserver_that_works_is_given_up_and_its_room_goes_on(
    engine: MakeEngine, database: Database, hours: list[float], problem: Exception
) -> None:
    homeserver = hourly(hours, lambda message: problem if message.content["body"] == "a" else None)
    one = await engine(quick(send_give_up=10 * HOUR), worker=False, homeserver=homeserver)
    await say(one, "a", "b")
    await sent(one)
    assert homeserver.bodies() == ["b"]
    refused, after = await outbox_rows(database)
    assert (refused["state"], refused["event_id"]) == (OutboxState.FAILED, None)
    assert refused["error"] == f"given up after 36000 s of refusals: {problem}"
    assert after["state"] == OutboxState.SENT
    assert [request.content["body"] for request in homeserver.requests] == ["a"] * 11 + ["b"]
    assert b"rialto_sends_given_up_total 1.0" in one.metrics.render()[0]


async def test_sends_that_work_show_that_the_homeserver_does_and_nothing_else_is_asked(
    engine: MakeEngine, hours: list[float]
) -> None:
    numbers = itertools.count()
    one: Engine

    async def another_room_goes_on(message: Sent) -> None:
        if message.room_id == ROOM:
            number = next(numbers)
            await say(one, f"b{number}", room_id=ROOM2, cause=f"$b{number}")
            await until(lambda: f"b{number}" in one.homeserver.bodies())

    homeserver = hourly(hours, lambda message: refusal(500) if message.content["body"] == "a" else None)
    homeserver.gate = another_room_goes_on
    one = await engine(quick(send_give_up=10 * HOUR), worker=False, homeserver=homeserver)
    await say(one, "a", "c")
    await sent(one)
    assert homeserver.bodies(ROOM) == ["c"]
    # Two hours go by from one refusal to the next.
    assert [request.content["body"] for request in homeserver.requests if request.room_id == ROOM] == ["a"] * 6 + ["c"]
    assert homeserver.asked == 0


@pytest.mark.parametrize("how", ["everything is refused", "unreachable", "limited"])
async def test_an_outage_does_not_count_towards_giving_up(
    engine: MakeEngine, database: Database, hours: list[float], how: str
) -> None:
    problem = {
        "everything is refused": refusal(502),
        "unreachable": refusal(0, "UNREACHABLE"),
        "limited": refusal(429, "M_LIMIT_EXCEEDED", 0.001),
    }[how]
    left = [problem] * 50
    homeserver = hourly(hours, lambda _: left.pop() if left else None)
    homeserver.back.set()
    if how == "everything is refused":
        homeserver.answer = lambda: refusal(502)
    one = await engine(quick(send_give_up=10 * HOUR), worker=False, homeserver=homeserver)
    await say(one, "a", "b")
    await sent(one)
    assert homeserver.bodies() == ["a", "b"]
    assert {row["state"] for row in await outbox_rows(database)} == {OutboxState.SENT}
    assert b"rialto_sends_given_up_total 0.0" in one.metrics.render()[0]


async def test_the_time_of_an_outage_between_refusals_does_not_count(
    engine: MakeEngine, database: Database, hours: list[float]
) -> None:
    meets = [refusal(500), refusal(0, "UNREACHABLE")] * 30
    homeserver = hourly(hours, lambda message: meets.pop() if meets else None)
    homeserver.back.set()
    one = await engine(quick(send_give_up=2 * HOUR), worker=False, homeserver=homeserver)
    await say(one, "a")
    await sent(one)
    assert homeserver.bodies() == ["a"]


async def test_every_line_about_a_send_names_it(engine: MakeEngine) -> None:
    seen: list[tuple[Any, Any, str]] = []

    def note(request: Sent) -> None:
        fields = logs.current()
        seen.append((fields.get("txn_id"), fields.get("room_id"), request.txn_id))

    one = await engine(worker=False, homeserver=FakeHomeserver(problem=note))
    with logs.bound(event_id="$cause"):
        await say(one, "a", "b")
    await sent(one)
    assert len({txn_id for txn_id, _, _ in seen}) == 2
    assert seen == [(txn_id, ROOM, txn_id) for _, _, txn_id in seen]


async def test_nothing_is_sent_while_the_homeserver_cannot_be_reached(engine: MakeEngine) -> None:
    down = True
    homeserver = FakeHomeserver(problem=lambda _sent: refusal(0, "UNREACHABLE") if down else None)
    one = await engine(worker=False, homeserver=homeserver)
    await say(one, "a", "b")
    await until(lambda: len(homeserver.requests) == 1)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(homeserver.requests) == 1
    down = False
    homeserver.back.set()
    await sent(one)
    assert homeserver.bodies() == ["a", "b"]


async def test_an_error_of_the_encryption_ends_one_message_after_some_attempts(
    engine: MakeEngine, database: Database
) -> None:
    crypto = FakeCrypto(problem=ZeroDivisionError())
    one = await engine(config(attempts=3), worker=False, rooms=FakeRooms(encrypted={ROOM}), crypto=crypto)
    await say(one, "a")
    await say(one, "plain", room_id=ROOM2, cause="$2")
    await sent(one)
    assert [row["error"] for row in await outbox_rows(database)] == ["ZeroDivisionError", None]
    crypto.problem = None
    await say(one, "b", cause="$3")
    await sent(one)
    assert opened(one.homeserver.events[-1])["body"] == "b"


# Once


async def test_transaction_ids_are_the_same_after_a_restart_and_make_no_second_event(engine: MakeEngine) -> None:
    homeserver = FakeHomeserver(lost_answer=lambda _sent: refusal(0, "UNREACHABLE"))
    one = await engine(worker=False, homeserver=homeserver)
    await say(one, "a", "b")
    await until(lambda: len(homeserver.events) == 1)
    await one.crash()
    homeserver.lost_answer = lambda _sent: None
    again = await engine(worker=False, homeserver=homeserver)
    await sent(again)
    assert homeserver.bodies() == ["a", "b"]
    assert [request.txn_id for request in homeserver.requests][:2] == [homeserver.events[0].txn_id] * 2


async def test_the_ciphertext_is_stored_before_it_is_sent_and_sent_again_as_it_is(
    engine: MakeEngine, database: Database
) -> None:
    homeserver = FakeHomeserver(problem=lambda _sent: refusal(0, "UNREACHABLE"))
    rooms, crypto = FakeRooms(encrypted={ROOM}), FakeCrypto()
    one = await engine(worker=False, homeserver=homeserver, rooms=rooms, crypto=crypto)
    await say(one, TEXT)
    await until(lambda: len(homeserver.requests) == 1)
    (row,) = await outbox_rows(database)
    assert bytes(row["content"]) == b""
    assert b"ciphertext" in bytes(row["ciphertext"])
    await one.crash()
    homeserver.problem = lambda _sent: None
    again = await engine(worker=False, homeserver=homeserver, rooms=rooms, crypto=crypto)
    await sent(again)
    assert homeserver.requests[0].content == homeserver.requests[1].content
    assert crypto.encryptions == 1
    (row,) = await outbox_rows(database)
    assert row["ciphertext"] is None


async def test_a_ciphertext_that_could_not_be_stored_is_not_sent(engine: MakeEngine, flaky: FlakyDatabase) -> None:
    one = await engine(worker=False, rooms=FakeRooms(encrypted={ROOM}))
    flaky.fail(None, "before", "after")
    await say(one, "a")
    await sent(one)
    assert len(one.homeserver.requests) == 1
    assert one.homeserver.requests[0].content["index"] == one.crypto.encryptions == 3


async def test_plaintext_of_an_encrypted_room_is_never_in_the_database(
    engine: MakeEngine, database: Database, tmp_path: Path
) -> None:
    homeserver = FakeHomeserver(problem=lambda _sent: refusal(0, "UNREACHABLE"))
    one = await engine(worker=False, homeserver=homeserver, rooms=FakeRooms(encrypted={ROOM, ROOM2}))
    one.crypto.problem = CryptoNotReady("not yet")
    unit = await say(one, TEXT)
    (row,) = await outbox_rows(database)
    assert row["sealed"] == 1
    assert TEXT.encode() not in bytes(row["content"])
    one.crypto.problem = None
    await until(lambda: homeserver.requests)
    homeserver.problem = lambda _sent: None
    homeserver.back.set()
    await sent(one)
    assert opened(homeserver.events[0])["body"] == TEXT
    if database.dialect == "sqlite":
        await one.stop()
        everything = b"".join(file.read_bytes() for file in tmp_path.glob("rialto.db*"))
        assert unit.messages[0].txn_id.encode() in everything
        assert TEXT.encode() not in everything


async def test_a_sealed_message_is_opened_after_a_restart(engine: MakeEngine) -> None:
    crypto, homeserver = FakeCrypto(problem=CryptoNotReady("not yet")), FakeHomeserver()
    rooms = FakeRooms(encrypted={ROOM})
    one = await engine(worker=False, homeserver=homeserver, rooms=rooms, crypto=crypto)
    await say(one, "a", "b")
    await one.crash()
    crypto.problem = None
    again = await engine(worker=False, homeserver=homeserver, rooms=rooms, crypto=crypto)
    await sent(again)
    assert [opened(event)["body"] for event in homeserver.events] == ["a", "b"]


async def test_a_sealed_message_that_does_not_open_fails_alone(engine: MakeEngine, database: Database) -> None:
    """Seen: the messages before a broken one failed in its place, for they are opened together."""
    crypto, homeserver = FakeCrypto(problem=CryptoNotReady("not yet")), FakeHomeserver()
    rooms = FakeRooms(encrypted={ROOM})
    one = await engine(worker=False, homeserver=homeserver, rooms=rooms, crypto=crypto)
    await say(one, "a", "b", "c")
    await one.crash()

    def spoil(connection: Connection) -> None:
        connection.execute(update(outbox).where(outbox.c.seq == 2).values(content=b"x" * 40))

    await database.write(spoil)
    crypto.problem = None
    again = await engine(worker=False, homeserver=homeserver, rooms=rooms, crypto=crypto)
    await sent(again)
    assert [opened(event)["body"] for event in homeserver.events] == ["a", "c"]
    assert [row["state"] for row in await outbox_rows(database)] == [1, 2, 1]
    assert "pickle_key" in (await outbox_rows(database))[1]["error"]


async def test_another_pickle_key_fails_what_it_cannot_open(engine: MakeEngine, database: Database) -> None:
    rooms, crypto = FakeRooms(encrypted={ROOM}), FakeCrypto(problem=CryptoNotReady("not yet"))
    one = await engine(worker=False, rooms=rooms, crypto=crypto)
    await say(one, "a")
    await one.crash()
    again = await engine(config(pickle_key="another pickle key!"), worker=False, rooms=rooms)
    await sent(again)
    assert again.homeserver.events == []
    assert [row["state"] for row in await outbox_rows(database)] == [OutboxState.FAILED]


async def test_a_room_that_became_encrypted_since_gets_nothing_in_the_clear(engine: MakeEngine) -> None:
    homeserver = FakeHomeserver(problem=lambda _sent: refusal(0, "UNREACHABLE"))
    rooms = FakeRooms()
    one = await engine(worker=False, homeserver=homeserver, rooms=rooms)
    await say(one, "a", "b")
    await until(lambda: homeserver.requests)
    rooms.encrypted.add(ROOM)
    homeserver.problem = lambda _sent: None
    homeserver.back.set()
    await sent(one)
    assert [event.event_type for event in homeserver.events] == ["m.room.encrypted"] * 2


async def test_reactions_and_state_go_in_the_clear_and_redactions_by_their_endpoint(engine: MakeEngine) -> None:
    one = await engine(worker=False, rooms=FakeRooms(encrypted={ROOM}))
    unit = unit_of()
    unit.react(ROOM, "$theirs", "👍")
    unit.set_state(ROOM, "m.room.topic", {"topic": "t"}, state_key="k")
    unit.redact(ROOM, "$theirs", reason="why")
    unit.redact(ROOM, "$other")
    await commit(one, unit)
    await sent(one)
    assert [(event.kind, event.event_type) for event in one.homeserver.events] == [
        ("event", "m.reaction"),
        ("state", "m.room.topic"),
        ("redaction", "m.room.redaction"),
        ("redaction", "m.room.redaction"),
    ]
    assert one.homeserver.events[0].content["m.relates_to"]["event_id"] == "$theirs"
    assert one.homeserver.events[1].txn_id == "k"
    assert one.homeserver.events[2].content == {"redacts": "$theirs", "reason": "why"}
    assert one.homeserver.events[3].content == {"redacts": "$other", "reason": None}


# References


@pytest.mark.parametrize("secret", [False, True])
@pytest.mark.parametrize("forgotten", [False, True])
async def test_references_to_messages_of_ours_become_their_event_ids(
    engine: MakeEngine, secret: bool, forgotten: bool
) -> None:
    one = await engine(worker=False, rooms=FakeRooms(encrypted={ROOM} if secret else set()))
    unit = unit_of()
    first = unit.send(ROOM, {"body": "a"})
    if forgotten:
        await commit(one, unit)
        await sent(one)
        one.outbox._sent_ids.clear()
        unit = unit_of("$later")
    unit.edit(ROOM, first, {"body": "b"})
    unit.react(ROOM, first, "👍")
    unit.send(ROOM, {"body": "c", "m.relates_to": {"m.in_reply_to": {"event_id": first}, "event_id": "$x"}})
    unit.redact(ROOM, first)
    await commit(one, unit)
    await sent(one)
    made = one.homeserver.events
    contents: list[Mapping[str, Any]] = [
        opened(event) if event.event_type == "m.room.encrypted" else event.content for event in made
    ]
    assert contents[1]["m.relates_to"] == {"rel_type": "m.replace", "event_id": "$sent0"}
    assert contents[2]["m.relates_to"]["event_id"] == "$sent0"
    assert contents[3]["m.relates_to"] == {"m.in_reply_to": {"event_id": "$sent0"}, "event_id": "$x"}
    assert contents[4]["redacts"] == "$sent0"


@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_reference_to_a_message_that_was_never_sent_fails(
    engine: MakeEngine, database: Database, forgotten: bool
) -> None:
    homeserver = FakeHomeserver(problem=lambda s: refusal(403) if s.content.get("body") == "a" else None)
    one = await engine(worker=False, homeserver=homeserver)
    unit = unit_of()
    first = unit.send(ROOM, {"body": "a"})
    await commit(one, unit)
    await sent(one)
    if forgotten:
        one.outbox._sent_ids.clear()
    unit = unit_of("$2")
    unit.edit(ROOM, first, {"body": "b"})
    unit.redact(ROOM, "rialto-txn:unknown")
    unit.send(ROOM, {"body": "c"})
    await commit(one, unit)
    await sent(one)
    assert homeserver.bodies() == ["c"]
    assert [row["state"] for row in await outbox_rows(database)] == [2, 2, 2, 1]


async def test_what_people_write_is_never_taken_for_a_reference(engine: MakeEngine) -> None:
    one = await engine(worker=False)
    await say(one, "rialto-txn:abc")
    await sent(one)
    assert one.homeserver.bodies() == ["rialto-txn:abc"]


# Limits, unknown outcomes, age, the end


async def test_one_bot_sends_no_more_at_once_than_its_limit_and_others_go_on(engine: MakeEngine) -> None:
    gate = asyncio.Event()
    homeserver = FakeHomeserver()

    async def hold(message: Sent) -> None:
        if message.user_id == BOT:
            await gate.wait()

    homeserver.gate = hold
    one = await engine(config(sends_per_bot=3), worker=False, homeserver=homeserver)
    for number in range(10):
        await say(one, f"m{number}", room_id=f"!r{number}:localhost", cause=f"$c{number}")
    await say(one, "other", room_id="!o:localhost", cause="$o", user_id=OTHER)
    await until(lambda: homeserver.bodies() == ["other"])
    assert len(homeserver.requests) == 4
    gate.set()
    await sent(one)
    assert len(homeserver.events) == 11


async def test_recover_sends_what_is_committed_and_unknown_here_once(engine: MakeEngine) -> None:
    gate, homeserver = asyncio.Event(), FakeHomeserver()

    async def hold(_sent: Sent) -> None:
        await gate.wait()

    homeserver.gate = hold
    one = await engine(worker=False, homeserver=homeserver)
    await say(one, "waiting")
    unit = unit_of("$lost")
    unit.send(ROOM, {"body": "lost"})
    unit.send(ROOM2, {"body": "lost too"})
    _, rows = await one.outbox.rows(unit.messages)
    await one.writer.submit(Job(rows=rows))  # and the answer of the commit was lost
    await one.outbox.recover()
    await one.outbox.recover()
    assert one.outbox.pending == 3
    gate.set()
    await sent(one)
    await one.outbox.recover()
    assert one.outbox.pending == 0
    assert homeserver.bodies(ROOM) == ["waiting", "lost"]
    assert homeserver.bodies(ROOM2) == ["lost too"]
    assert len(homeserver.requests) == 3


async def test_recover_and_the_end_of_a_commit_do_not_send_a_message_twice(
    engine: MakeEngine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen: a commit ended while recover read the table; its messages were sent twice, and a second time as failed."""
    one = await engine(worker=False, rooms=FakeRooms(encrypted={ROOM}))
    unit = unit_of()
    unit.send(ROOM, {"body": "a"})
    outgoing, rows = await one.outbox.rows(unit.messages)
    await one.writer.submit(Job(rows=rows))
    original = one.database.read

    async def read(work: Any) -> Any:
        result = await original(work)
        one.outbox.enqueue(outgoing)  # the commit's callback runs between the read and what follows it
        return result

    monkeypatch.setattr(one.database, "read", read)
    await one.outbox.recover()
    monkeypatch.setattr(one.database, "read", original)
    one.outbox.enqueue(outgoing)
    await sent(one)
    one.outbox.enqueue(outgoing)
    await sent(one)
    assert len(one.homeserver.requests) == 1
    (row,) = await outbox_rows(database)
    assert (row["state"], row["event_id"]) == (OutboxState.SENT, "$sent0")


async def test_a_message_whose_row_is_finished_or_was_never_made_is_not_sent_empty(
    engine: MakeEngine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "MAX_IN_MEMORY", 0)
    one = await engine(worker=False)
    await say(one, "a")
    await sent(one)
    one.outbox._sent_ids.clear()
    await say(one, "a")  # the same cause again: its row is ignored
    await say(one, "b", cause="$2")
    await sent(one)
    assert one.homeserver.bodies() == ["a", "b"]
    assert len(one.homeserver.requests) == 2
    assert [row["event_id"] for row in await outbox_rows(database)] == ["$sent0", "$sent1"]
    assert one.metrics.sends_total.labels("failed")._value.get() == 0


async def grow_old(database: Database) -> None:
    """Everything in the outbox was written before the homeserver's memory begins."""
    long_ago = now_ms() - outbox_module.TXN_MEMORY_MS - 60_000

    def work(connection: Connection) -> None:
        connection.execute(update(outbox).values(created_at=long_ago))

    await database.write(work)


def in_room(body: Mapping[str, Any], event_id: str, sender: str = BOT) -> dict[str, Any]:
    """An event as ``/messages`` shows it."""
    return {"event_id": event_id, "sender": sender, "content": dict(body), "origin_server_ts": now_ms()}


async def old_rows(engine: MakeEngine, database: Database, unit: UnitOfWork) -> FakeHomeserver:
    """Rows that are long committed and not known to be sent."""
    one = await engine(worker=False)
    _, rows = await one.outbox.rows(unit.messages)
    await one.writer.submit(Job(rows=rows))
    await one.crash()
    await grow_old(database)
    return FakeHomeserver()


async def test_an_old_message_that_the_room_has_is_not_sent_again(engine: MakeEngine, database: Database) -> None:
    unit = unit_of()
    content = {"msgtype": "m.notice", "body": "a"}
    unit.send(ROOM, content)
    unit.send(ROOM, {"msgtype": "m.notice", "body": "b"})
    homeserver = await old_rows(engine, database, unit)
    homeserver.messages = [in_room(content, "$theirs", "@eve:localhost"), in_room(content, "$mine")]
    one = await engine(worker=False, homeserver=homeserver)
    await sent(one)
    assert homeserver.bodies() == ["b"]
    assert [row["event_id"] for row in await outbox_rows(database)] == ["$mine", "$sent0"]


async def test_an_old_message_is_found_once_for_two_that_are_alike(engine: MakeEngine, database: Database) -> None:
    """Seen: the second was taken for the first before the first's mark was written; it was lost."""
    unit = unit_of()
    content = {"msgtype": "m.notice", "body": "again"}
    unit.send(ROOM, content)
    unit.send(ROOM, content)
    homeserver = await old_rows(engine, database, unit)
    homeserver.messages = [in_room(content, "$mine")]
    one = await engine(worker=False, homeserver=homeserver)
    await sent(one)
    assert homeserver.bodies() == ["again"]
    assert [row["event_id"] for row in await outbox_rows(database)] == ["$mine", "$sent0"]


async def test_an_old_reply_to_a_message_of_ours_is_found(engine: MakeEngine, database: Database) -> None:
    """Seen: it was looked for with the reference in it, and sent a second time."""
    unit = unit_of()
    reference = unit.send(ROOM, {"body": "a"})
    unit.edit(ROOM, reference, {"body": "b"})
    homeserver = await old_rows(engine, database, unit)
    edit = {"body": "* b", "m.new_content": {"body": "b"}, "m.relates_to": {"rel_type": "m.replace", "event_id": "$1"}}
    homeserver.messages = [in_room({"body": "a"}, "$1"), in_room(edit, "$2")]
    one = await engine(worker=False, homeserver=homeserver)
    await sent(one)
    assert homeserver.requests == []
    assert [row["event_id"] for row in await outbox_rows(database)] == ["$1", "$2"]


async def test_a_stop_sends_what_waits_within_its_grace(engine: MakeEngine) -> None:
    one = await engine(worker=False)
    await say(one, *(f"m{number}" for number in range(30)))
    await one.outbox.stop(5)
    assert len(one.homeserver.events) == 30


@pytest.mark.parametrize("problem", [refusal(0, "UNREACHABLE"), refusal(429, "M_LIMIT_EXCEEDED", 60)])
async def test_a_stop_does_not_wait_for_a_homeserver_that_is_away(
    engine: MakeEngine, database: Database, problem: Exception
) -> None:
    """Seen: it took the whole grace period, longer than a container is given."""
    homeserver = FakeHomeserver(problem=lambda _sent: problem)
    one = await engine(worker=False, homeserver=homeserver)
    await say(one, "a")
    await until(lambda: homeserver.requests)
    begin = time.monotonic()
    await one.outbox.stop(20)
    assert time.monotonic() - begin < 3
    assert [row["state"] for row in await outbox_rows(database)] == [OutboxState.PENDING]


async def test_a_stop_waits_no_longer_than_its_grace_for_a_send(engine: MakeEngine) -> None:
    homeserver = FakeHomeserver()

    async def never(_sent: Sent) -> None:
        await asyncio.Event().wait()

    homeserver.gate = never
    one = await engine(worker=False, homeserver=homeserver)
    await say(one, "a")
    await until(lambda: homeserver.requests)
    async with asyncio.timeout(5):
        await one.outbox.stop(0.05)


async def test_purge_forgets_what_is_finished_and_old_and_never_the_newest(
    engine: MakeEngine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    homeserver = FakeHomeserver(problem=lambda s: refusal(0, "UNREACHABLE") if s.room_id == ROOM2 else None)
    one = await engine(worker=False, homeserver=homeserver)
    await say(one, "waits", room_id=ROOM2, cause="$w")
    await say(one, *(f"m{number}" for number in range(20)))
    await until(lambda: one.outbox.pending == 1)
    assert one.outbox._recorder._task is not None
    await asyncio.wait([one.outbox._recorder._task], timeout=5)
    await one.outbox.purge(0)
    assert len(await outbox_rows(database)) == 21
    # A span at a time, and a message that waits long does not keep the others.
    monkeypatch.setattr(outbox_module, "PURGE_SPAN", 4)
    for _ in range(6):
        await one.outbox.purge(now_ms() + 1_000)
    assert [row["seq"] for row in await outbox_rows(database)] == [1, 21]


async def test_the_order_goes_on_after_a_restart(engine: MakeEngine, database: Database) -> None:
    one = await engine(worker=False)
    await say(one, "a", "b")
    await sent(one)
    await one.crash()
    again = await engine(worker=False)
    await say(again, "c", cause="$2")
    await sent(again)

    def read(connection: Connection) -> list[int]:
        return list(connection.execute(select(outbox.c.seq).order_by(outbox.c.seq)).scalars())

    assert await database.read(read) == [1, 2, 3]


def test_sqlite_is_new_enough_for_update_from() -> None:
    assert sqlite3.sqlite_version_info >= (3, 33)
