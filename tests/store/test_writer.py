"""Group commit: many jobs, one transaction; what fails fails alone, and a room's jobs keep their order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from appservice.database import Database, DatabaseError
from appservice.metrics import Metrics
from appservice.recorder import Recorder
from appservice.store.bulk import INBOX_FINISH, INBOX_INSERT, INBOX_PROGRESS, OUTBOX_FINISH, OUTBOX_INSERT
from appservice.store.tables import InboxState, OutboxState, inbox, outbox
from appservice.store.tables import rooms as effects
from appservice.writer import MAX_BATCH, Job, Writer
from tests.store.harness import FlakyDatabase, rows, until
from tests.store.test_bulk import inbox_row, outbox_row


@pytest.fixture
async def writer(flaky: FlakyDatabase) -> AsyncIterator[Writer]:
    """A started writer."""
    made = Writer(flaky, Metrics())
    await made.start()
    yield made
    flaky.fault = lambda: None
    await made.stop()


def note(key: str, then: Exception | None = None) -> Callable[[Connection], str]:
    """Work that leaves a row, and raises then."""

    def work(connection: Connection) -> str:
        connection.execute(insert(effects), {"shard": 0, "key": key, "room_id": key, "created_at": 0})
        if then is not None:
            raise then
        return key

    return work


async def noted(database: Database) -> list[str]:
    """The rows that work left."""
    return [row["key"] for row in await rows(database, effects)]


async def test_jobs_that_are_ready_are_one_transaction(writer: Writer, flaky: FlakyDatabase) -> None:
    before = flaky.writes
    futures = [writer.submit(Job(work=note(f"k{number:03}"))) for number in range(MAX_BATCH + 5)]
    assert await asyncio.gather(*futures) == [f"k{number:03}" for number in range(MAX_BATCH + 5)]
    assert flaky.writes - before == 2
    assert len(await noted(flaky)) == MAX_BATCH + 5


async def test_a_failing_job_takes_no_other_with_it(writer: Writer, database: Database) -> None:
    jobs = [
        Job(work=note("a"), rows=[(INBOX_INSERT, inbox_row(1))]),
        Job(work=note("b", ValueError("refused")), rows=[(INBOX_INSERT, inbox_row(2))]),
        Job(work=note("c"), rows=[(INBOX_INSERT, inbox_row(3))]),
    ]
    outcomes = await asyncio.gather(*(writer.submit(job) for job in jobs), return_exceptions=True)
    assert outcomes[0] == "a"
    assert isinstance(outcomes[1], ValueError)
    assert outcomes[2] == "c"
    assert await noted(database) == ["a", "c"]
    assert [row["seq"] for row in await rows(database, inbox) if row["seq"]] in ([3, 1], [1, 3])


@pytest.mark.parametrize("state", ["40P01", "40001", "55P03", "53200", "57014"])
async def test_a_deadlock_is_not_the_fault_of_a_job(writer: Writer, database: Database, state: str) -> None:
    """Nothing of it is kept, it can be tried again, and the others go on."""
    if database.dialect == "sqlite":
        pytest.skip("it has one writer, and ends the whole transaction when a disk is full")

    def stuck(connection: Connection) -> None:
        note("b")(connection)
        connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION 'stuck' USING ERRCODE = '{state}'; END $$")

    jobs = [Job(work=note("a")), Job(work=stuck), Job(work=note("c"))]
    outcomes = await asyncio.gather(*(writer.submit(job) for job in jobs), return_exceptions=True)
    assert isinstance(outcomes[1], DatabaseError), outcomes
    assert outcomes == ["a", outcomes[1], "c"]
    assert await noted(database) == ["a", "c"]


async def test_a_refused_row_takes_no_other_with_it(writer: Writer, database: Database) -> None:
    await writer.submit(Job(rows=[(INBOX_INSERT, inbox_row(1))]))
    jobs = [
        Job(work=note("a"), rows=[(INBOX_INSERT, inbox_row(2))]),
        Job(work=note("b"), rows=[(INBOX_INSERT, inbox_row(4, event_id="$e1"))]),
        Job(work=note("c"), rows=[(INBOX_INSERT, inbox_row(6)), (INBOX_FINISH, {"shard": 0, "seq": 2} | DONE)]),
    ]
    outcomes = await asyncio.gather(*(writer.submit(job) for job in jobs), return_exceptions=True)
    assert (outcomes[0], outcomes[2]) == ("a", "c")
    assert isinstance(outcomes[1], Exception)
    assert not isinstance(outcomes[1], DatabaseError)
    assert await noted(database) == ["a", "c"]
    assert {row["seq"]: row["state"] for row in await rows(database, inbox)} == {1: 1, 2: InboxState.DONE, 6: 0}


DONE = {"state": int(InboxState.DONE), "finished_at": 7}


@pytest.mark.parametrize("text", ["\0\ud800", "\ud800"])
async def test_text_that_no_database_takes_is_refused_and_not_a_lost_database(writer: Writer, text: str) -> None:
    good = writer.submit(Job(rows=[(INBOX_INSERT, inbox_row(2))]))
    bad = writer.submit(Job(rows=[(INBOX_INSERT, inbox_row(4, event_id=text))]))
    await good
    with pytest.raises(Exception) as caught:
        await bad
    assert not isinstance(caught.value, DatabaseError)
    assert "\ud800" not in str(caught.value) or isinstance(caught.value, UnicodeError)


@pytest.mark.parametrize("refusal", ["work", "row"])
async def test_behind_a_failed_job_the_lane_fails_until_it_is_mended(
    writer: Writer, database: Database, refusal: str
) -> None:
    """Also in one batch, also in later ones, and whatever the failure was; other lanes go on."""
    await writer.submit(Job(rows=[(INBOX_INSERT, inbox_row(1))]))
    broken = (
        Job(work=note("first", ValueError()), lane="room")
        if refusal == "work"
        else Job(rows=[(INBOX_INSERT, inbox_row(3, event_id="$e1"))], lane="room")
    )
    jobs = [
        Job(work=note("before"), lane="room"),
        broken,
        Job(work=note("same batch"), lane="room"),
        Job(work=note("other"), lane="other"),
        Job(work=note("none")),
    ]
    outcomes = await asyncio.gather(*(writer.submit(job) for job in jobs), return_exceptions=True)
    assert outcomes[0] == "before"
    assert isinstance(outcomes[1], Exception)
    assert not isinstance(outcomes[1], DatabaseError)
    assert isinstance(outcomes[2], DatabaseError)
    assert outcomes[3:] == ["other", "none"]
    with pytest.raises(DatabaseError, match="earlier commit"):
        await writer.submit(Job(work=note("next batch"), lane="room"))
    assert await writer.submit(Job(work=note("other again"), lane="other")) == "other again"
    writer.mend("room")
    assert await writer.submit(Job(work=note("mended"), lane="room")) == "mended"
    assert await noted(database) == ["before", "mended", "none", "other", "other again"]


@pytest.mark.parametrize("fault", ["before", "after"])
async def test_a_database_failure_reaches_everyone_who_waits(writer: Writer, flaky: FlakyDatabase, fault: str) -> None:
    flaky.fail(fault)
    jobs = [Job(work=note("a"), lane="room"), Job(rows=[(INBOX_INSERT, inbox_row(1))]), Job()]
    outcomes = await asyncio.gather(*(writer.submit(job) for job in jobs), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DatabaseError] * 3
    with pytest.raises(DatabaseError):
        await writer.submit(Job(lane="room"))
    assert await noted(flaky) == (["a"] if fault == "after" else [])


async def test_a_database_failure_while_the_jobs_are_tried_one_by_one(writer: Writer, flaky: FlakyDatabase) -> None:
    """The group is refused, and the second round meets a database that is gone."""
    await writer.submit(Job(rows=[(INBOX_INSERT, inbox_row(1))]))
    flaky.fail(None, "before")
    jobs = [Job(work=note("a")), Job(rows=[(INBOX_INSERT, inbox_row(3, event_id="$e1"))])]
    outcomes = await asyncio.gather(*(writer.submit(job) for job in jobs), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DatabaseError] * 2
    assert await noted(flaky) == []


async def test_urgent_jobs_come_first_and_the_others_in_order(writer: Writer, database: Database) -> None:
    order: list[str] = []

    def mark(name: str) -> Callable[[Connection], None]:
        return lambda _connection: order.append(name)

    futures = [writer.submit(Job(work=mark(f"n{number}"))) for number in range(3)]
    futures.append(writer.submit(Job(work=mark("urgent")), urgent=True))
    futures.append(writer.submit(Job(work=mark("urgent2")), urgent=True))
    await asyncio.gather(*futures)
    assert order == ["urgent", "urgent2", "n0", "n1", "n2"]


async def test_a_cancelled_caller_does_not_stop_the_others(writer: Writer, database: Database) -> None:
    first, second = writer.submit(Job(work=note("a"))), writer.submit(Job(work=note("b")))
    first.cancel()
    assert await second == "b"
    assert await noted(database) == ["a", "b"]


async def test_stop_writes_what_was_submitted_and_takes_nothing_more(flaky: FlakyDatabase) -> None:
    writer = Writer(flaky, Metrics())
    await writer.start()
    futures = [writer.submit(Job(work=note(f"k{number:03}"))) for number in range(MAX_BATCH * 2)]
    await writer.stop()
    assert all(future.done() for future in futures)
    assert len(await noted(flaky)) == MAX_BATCH * 2
    with pytest.raises(DatabaseError, match="stopping"):
        await writer.submit(Job())


async def test_rows_are_inserted_before_they_are_finished_whatever_the_order_of_the_jobs(
    writer: Writer, database: Database
) -> None:
    finish = {"shard": 1, "seq": 1, "state": int(OutboxState.SENT), "event_id": "$x", "error": None, "finished_at": 1}
    await asyncio.gather(
        writer.submit(Job(rows=[(OUTBOX_FINISH, finish)])), writer.submit(Job(rows=[(OUTBOX_INSERT, outbox_row(1))]))
    )
    assert [(row["state"], row["event_id"]) for row in await rows(database, outbox)] == [(1, "$x")]


async def test_work_sees_what_earlier_jobs_of_its_batch_did(writer: Writer) -> None:
    def count(connection: Connection) -> int:
        return len(connection.execute(select(effects)).all())

    writer.submit(Job(work=note("a")))
    assert await writer.submit(Job(work=count)) == 1


# The recorder


def progress(seq: int, **changes: Any) -> dict[str, Any]:
    """Parameters of INBOX_PROGRESS."""
    row: dict[str, Any] = {"shard": seq % 2, "seq": seq, "state": 0, "attempts": 0, "done_by": ""}
    return row | {"session_id": None, "error": None} | changes


async def test_marks_are_kept_while_the_database_is_gone_and_the_last_word_counts(
    writer: Writer, flaky: FlakyDatabase
) -> None:
    await writer.submit(Job(rows=[(INBOX_INSERT, inbox_row(seq)) for seq in range(3)]))
    recorder = Recorder(writer, 0.01, 0.02)
    flaky.fail("before", "before", "after")
    recorder.record(INBOX_PROGRESS, progress(0, attempts=1))
    recorder.record(INBOX_PROGRESS, progress(1, attempts=1))
    await until(lambda: flaky.writes >= 3)
    recorder.record(INBOX_PROGRESS, progress(0, attempts=2))
    assert recorder._task is not None
    await asyncio.wait_for(asyncio.shield(recorder._task), 5)
    await until(lambda: recorder._task is not None and recorder._task.done())
    assert {row["seq"]: row["attempts"] for row in await rows(flaky, inbox)} == {0: 2, 1: 1, 2: 0}


async def test_a_mark_that_is_superseded_is_not_written_later(writer: Writer, flaky: FlakyDatabase) -> None:
    await writer.submit(Job(rows=[(INBOX_INSERT, inbox_row(seq, state=0)) for seq in range(2)]))
    recorder = Recorder(writer, 0.05, 0.05)
    flaky.fail("before")
    recorder.record(INBOX_PROGRESS, progress(0, attempts=1))
    recorder.record(INBOX_PROGRESS, progress(1, attempts=1))
    await until(lambda: flaky.writes >= 2)
    recorder.supersede(INBOX_FINISH, {"shard": 0, "seq": 0})
    await writer.submit(Job(rows=[(INBOX_FINISH, {"shard": 0, "seq": 0} | DONE)]))
    assert recorder._task is not None
    await asyncio.wait_for(asyncio.shield(recorder._task), 5)
    found = {row["seq"]: (row["state"], row["attempts"]) for row in await rows(flaky, inbox)}
    assert found == {0: (InboxState.DONE, 0), 1: (0, 1)}


async def test_a_mark_that_is_refused_takes_no_other_with_it(
    writer: Writer, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await writer.submit(Job(rows=[(INBOX_INSERT, inbox_row(seq)) for seq in range(3)]))
    recorder = Recorder(writer, 0.01, 0.02)
    for seq, error in enumerate(["a", "\0\ud800", "c"]):
        recorder.record(INBOX_PROGRESS, progress(seq, error=error))
    assert recorder._task is not None
    await asyncio.wait_for(recorder._task, 5)
    assert {row["seq"]: row["error"] for row in await rows(database, inbox)} == {0: "a", 1: None, 2: "c"}
    assert "refused" in caplog.text


async def test_a_recorder_that_stops_while_the_database_is_gone_says_what_it_leaves(
    writer: Writer, flaky: FlakyDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(writer, 5, 5)
    flaky.fault = lambda: "before"
    recorder.record(INBOX_PROGRESS, progress(0))
    await until(lambda: flaky.writes >= 1 and "marks wait" in caplog.text)
    await recorder.stop(0.01)
    assert "1 marks could not be written" in caplog.text
