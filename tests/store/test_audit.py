"""The audit log: what is changed, deleted or put in shows, and an erasure does not break it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, text, update
from sqlalchemy.exc import IntegrityError

from appservice import migrate
from appservice.database import Database, open_database
from appservice.sealing import Sealer
from bridge import audit as module
from bridge.audit import ERASED, Audit, AuditEntry, AuditError, pseudonym
from bridge.domain import audit as chain
from bridge.domain.audit import Anchor, Entry, Fault, people_in
from bridge.store import audit as store
from bridge.store.audit import Filter
from bridge.store.audit_tables import audit_head, audit_log, audit_people
from tests.store.harness import rows

ALICE, BOB = "@alice:localhost", "@bob:localhost"
KEY = "a pickle key for tests"
SECRET = "under the third arch"


@pytest.fixture
def audit(database: Database) -> Audit:
    return Audit(database, Sealer(KEY, "payments"))


async def fill(database: Database, audit: Audit, count: int = 6) -> None:
    """Entries of two people in turn, about payments and each other."""

    def work(connection: Connection) -> None:
        for number in range(count):
            actor, other = (ALICE, BOB) if number % 2 else (BOB, ALICE)
            audit.append(
                connection,
                at=1_000 + number,
                actor=actor,
                action="payment.confirm",
                subject=other if number == 3 else f"payment:{number}",
                outcome="paid",
                details={"memo": SECRET, "to": [other] if number == 2 else []},
            )

    await database.write(work)


async def faults(audit: Audit) -> list[tuple[int, Fault]]:
    return [(problem.seq, problem.fault) for problem in (await audit.verify()).problems]


async def test_entries_follow_each_other_and_are_found(database: Database, audit: Audit) -> None:
    assert await faults(audit) == []
    await fill(database, audit)
    report = await audit.verify()
    assert report.whole and report.entries == 6 and report.head.seq == 6
    found = await audit.list()
    assert [entry.seq for entry in found] == [6, 5, 4, 3, 2, 1]
    assert found[0] == AuditEntry(
        6, 1_005, ALICE, "payment.confirm", "payment:5", "paid", {"memo": SECRET, "to": []}, report.head.digest.hex()
    )
    assert [entry.seq for entry in await audit.list(actor=ALICE, limit=2)] == [6, 4]
    assert [entry.seq for entry in await audit.list(actor=ALICE, before=6)] == [4, 2]
    assert [entry.seq for entry in await audit.list(subject="payment:1")] == [2]
    assert [entry.seq for entry in await audit.list(since=1_002, until=1_004)] == [4, 3]
    lines = [json.loads(line) async for line in audit.export(since=1_004)]
    assert [(line["seq"], line["details"]["memo"]) for line in lines] == [(5, SECRET), (6, SECRET)]


async def test_nothing_of_the_details_lies_readable(database: Database, audit: Audit) -> None:
    await fill(database, audit)
    assert all(SECRET.encode() not in row["details"] for row in await rows(database, audit_log))


async def test_an_entry_that_is_rolled_back_leaves_no_gap(database: Database, audit: Audit) -> None:
    await fill(database, audit, 2)

    def work(connection: Connection) -> None:
        audit.append(connection, at=1, actor=ALICE, action="pin.set", subject=ALICE, outcome="ok")
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(work)
    await fill(database, audit, 2)
    assert await faults(audit) == []
    assert [row["seq"] for row in await rows(database, audit_log)] == [1, 2, 3, 4]


async def test_many_at_once_make_one_chain(database: Database, audit: Audit) -> None:
    await asyncio.gather(*(fill(database, audit, 2) for _ in range(12)))
    report = await audit.verify()
    assert report.whole and report.entries == 24


def of(seq: int) -> Any:
    return audit_log.c.seq == seq


Tamper = Callable[[Connection], Any]


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (lambda c: c.execute(update(audit_log).where(of(3)).values(outcome="refused")), [(3, Fault.CHANGED)]),
        (lambda c: c.execute(update(audit_log).where(of(3)).values(at=5)), [(3, Fault.CHANGED)]),
        (lambda c: c.execute(update(audit_log).where(of(3)).values(actor=ALICE)), [(3, Fault.ACTOR)]),
        (lambda c: c.execute(update(audit_log).where(of(3)).values(actor="operator")), [(3, Fault.ACTOR)]),
        (lambda c: c.execute(update(audit_log).where(of(3)).values(subject="payment:7")), [(3, Fault.SUBJECT)]),
        (lambda c: c.execute(update(audit_log).where(of(2)).values(details=None)), [(2, Fault.DETAILS)]),
        (lambda c: c.execute(update(audit_log).where(of(2)).values(details=b"x" * 40)), [(2, Fault.DETAILS)]),
        (lambda c: c.execute(update(audit_log).where(of(3)).values(actor="erased:1")), [(3, Fault.ERASURE)]),
        (lambda c: c.execute(delete(audit_log).where(of(3))), [(4, Fault.MISSING), (4, Fault.BROKEN)]),
        (lambda c: c.execute(delete(audit_log).where(of(6))), [(6, Fault.HEAD)]),
        (lambda c: c.execute(delete(audit_log)), [(6, Fault.HEAD)]),
        (lambda c: c.execute(update(audit_head).values(seq=5)), [(5, Fault.HEAD)]),
        (lambda c: c.execute(delete(audit_people).where(audit_people.c.person == BOB)), [(1, Fault.ACTOR)]),
    ],
)
async def test_what_was_done_to_the_log_shows(
    database: Database, audit: Audit, tamper: Tamper, expected: list[tuple[int, Fault]]
) -> None:
    await fill(database, audit)
    await database.write(tamper)
    assert (await faults(audit))[: len(expected)] == expected


def forged(connection: Connection, original: int, /, **changes: Any) -> Entry:
    """A row that is right in itself."""
    (row,) = store.listed(connection, Filter(before=original + 1, after=original - 1), 1)
    made = replace(row, **changes)
    return replace(made, digest=chain.digest_of(made))


async def test_an_entry_that_is_exchanged_or_put_in_shows(database: Database, audit: Audit) -> None:
    await fill(database, audit)

    def exchange(connection: Connection) -> None:
        made = forged(connection, 3, outcome="refused")
        connection.execute(update(audit_log).where(of(3)).values(outcome=made.outcome, digest=made.digest))

    await database.write(exchange)
    assert await faults(audit) == [(4, Fault.BROKEN)]

    def put_in(connection: Connection) -> None:
        row = dict(connection.execute(audit_log.select().where(of(6))).mappings().one())
        made = forged(connection, 6, seq=7, outcome="refused")
        connection.execute(insert(audit_log), {**row, "seq": 7, "outcome": made.outcome, "digest": made.digest})

    await database.write(put_in)
    await fill_after(database)
    assert (7, Fault.BROKEN) in await faults(audit)


async def fill_after(database: Database) -> None:
    """The head says that the entry that was put in is the last."""
    await database.write(
        lambda connection: connection.execute(
            update(audit_head).values(seq=7, digest=connection.execute(audit_log.select().where(of(7))).one().digest)
        )
    )


async def test_a_log_that_was_made_anew_shows_by_a_noted_end(database: Database, audit: Audit) -> None:
    await fill(database, audit)
    noted = (await audit.verify()).head
    assert (await audit.verify(anchor=noted)).whole
    await fill(database, audit)
    assert (await audit.verify(anchor=noted)).whole
    await database.write(lambda c: [c.execute(delete(table)) for table in (audit_log, audit_head)])
    await fill(database, audit, 8)
    assert (await audit.verify()).whole
    report = await audit.verify(anchor=noted)
    assert [(each.seq, each.fault) for each in report.problems] == [(6, Fault.HEAD)]
    assert (await audit.verify(anchor=Anchor(99, b""))).problems


async def test_somebody_who_is_erased_is_gone_and_the_chain_is_whole(database: Database, audit: Audit) -> None:
    await fill(database, audit)
    name = pseudonym()

    def erase(connection: Connection) -> None:
        audit.erase(connection, ALICE, name)
        audit.append(connection, at=9, actor="system", action=ERASED, subject=name, outcome="done")

    await database.write(erase)
    assert await faults(audit) == []
    dump = repr(await rows(database, audit_log)) + repr(await rows(database, audit_people))
    assert ALICE not in dump and name in dump
    entries = {entry.seq: entry for entry in await audit.list()}
    # 2, 4, 6 are hers; 3 names her in its details. 4 is about Bob all the same.
    assert [seq for seq, entry in entries.items() if entry.details is None] == [6, 4, 3, 2]
    assert (entries[4].actor, entries[4].subject, entries[3].actor) == (name, BOB, BOB)
    # No mark leads back to her: without the salt, guessing her name finds nothing.
    marks = {row["actor_mark"] for row in await rows(database, audit_log)}
    assert hashlib.sha256(b"\0" + ALICE.encode()).digest() not in marks
    # When she comes back, nothing ties her to what was.
    await fill(database, audit)
    assert await faults(audit) == []
    assert [entry.seq for entry in await audit.list(actor=ALICE)] == [13, 11, 9]


async def test_what_a_person_is_named_in_is_found_page_by_page(
    database: Database, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    await fill(database, audit)
    found = await database.read(lambda connection: audit.about(connection, ALICE))
    assert [entry.seq for entry in found] == [2, 3, 4, 6]
    assert (await audit.verify()).entries == 6


async def test_another_key_reads_no_details_and_still_verifies(database: Database, audit: Audit) -> None:
    await fill(database, audit, 1)
    other = Audit(database, Sealer("another pickle key", "payments"))
    assert (await other.verify()).whole
    assert (await other.list())[0].details == {"error": "the details do not open"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "Pay Bob"},
        {"outcome": "paid to my friend"},
        {"actor": ""},
        {"subject": "x" * 513},
        {"details": {"x": "y" * 20_000}},
        {"details": {"x": object()}},
    ],
)
async def test_entries_are_short(database: Database, audit: Audit, wrong: dict[str, Any]) -> None:
    right: dict[str, Any] = {"at": 1, "actor": ALICE, "action": "pay", "subject": ALICE, "outcome": "ok"}
    with pytest.raises(AuditError):
        await database.write(lambda connection: audit.append(connection, **{**right, **wrong}))
    assert await rows(database, audit_log) == []


def test_people_are_found_in_details() -> None:
    details = {"a": [{"b": ALICE}, 5, None], "c": "to @x:y maybe", BOB: True}
    assert people_in(details) == {ALICE}


# --- the database's own help, which the migration brings


@pytest.fixture
async def migrated(database_url: str) -> AsyncIterator[Database]:
    opened = open_database(database_url)
    await opened.start()
    await migrate.upgrade(opened)
    yield opened
    await opened.stop()


async def test_the_database_refuses_to_change_the_log(migrated: Database) -> None:
    audit = Audit(migrated, Sealer(KEY, "payments"))
    await fill(migrated, audit)
    statements = [
        "DELETE FROM audit_log",
        "DELETE FROM audit_log WHERE seq = 6",
        "UPDATE audit_log SET outcome = 'refused' WHERE seq = 1",
        "UPDATE audit_log SET actor = '@bob:localhost' WHERE seq = 2",
        "UPDATE audit_log SET details = previous WHERE seq = 2",
        *(["TRUNCATE audit_log"] if migrated.dialect == "postgresql" else []),
    ]
    for statement in statements:
        with pytest.raises(IntegrityError, match="append-only"):
            await migrated.write(lambda connection, statement=statement: connection.execute(text(statement)))  # type: ignore[misc]

    def erase(connection: Connection) -> None:
        audit.erase(connection, ALICE, "erased:1")
        audit.append(connection, at=9, actor="system", action=ERASED, subject="erased:1", outcome="done")

    await migrated.write(erase)
    assert await faults(audit) == []
