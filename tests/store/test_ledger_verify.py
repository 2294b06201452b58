"""Whoever changes the ledger behind its back is found: a row changed, taken out or put in, a balance changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select, text, update

from appservice.database import Database
from bots.domain.ledger_journal import Entry, EntryType, canonical, chained
from bots.domain.ledger_replay import PROBLEMS_MAX, Problem
from bots.payments import ledger_check
from bots.payments.ledger import AccountKind, Command, Post, Report, Transfer, Void
from bots.store.ledger_tables import ledger_accounts, ledger_head, ledger_journal, ledger_pending
from tests.store.ledger_world import NOW, World, eur, ledgers_on

J, A, P = ledger_journal.c, ledger_accounts.c, ledger_pending.c


def build(world: World, connection: Connection) -> None:
    """Every type of entry, in one transaction: the fixture of many tests."""
    ledger, pay = world.ledger, world.pay
    person, far = AccountKind.PERSON, NOW + 9000
    alice, bob = (ledger.open(connection, f"@{name}:localhost", "EUR", person, NOW) for name in ("alice", "bob"))
    ledger.open(connection, "@carol:localhost", "JPY", person, NOW)
    provider = ledger.open(connection, "provider:sandbox", "EUR", AccountKind.PROVIDER, NOW)
    chains: list[list[Command]] = [
        [pay(provider, alice, 1000, "opening")],
        [pay(alice, bob, 100, "plain", memo=b"sealed", reference="order-1")],
        [pay(alice, bob, 50, "posted", pending=True, expires_at=far)],
        [pay(alice, bob, 50, "voided", pending=True, expires_at=far)],
        [pay(alice, bob, 50, "over", pending=True, expires_at=NOW + 1000)],
        [pay(alice, bob, 50, "open", pending=True, expires_at=far)],
        [Post("post", "posted", eur(40)), pay(bob, alice, 1, "fee")],
        [Void("void", "voided")],
        [pay(bob, alice, 30, "back", reverses="plain")],
        [pay(alice, bob, 5, "fits"), pay(alice, bob, 9999, "refused")],
    ]
    for chain in chains:
        ledger.apply(connection, chain, NOW)
    assert ledger.expire(connection, NOW + 1000) == ["over"]
    ledger.set_frozen(connection, alice.id, True, NOW)


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    """A ledger with every type of entry in it."""
    async with ledgers_on(database, 2) as made:
        await made.write(lambda connection: build(made, connection))
        yield made


def entry(connection: Connection, id_: str) -> Entry:
    return Entry(*connection.execute(select(ledger_journal).where(J.id == id_)).one())


def change(id_: str, **values: Any) -> Callable[[Connection], Any]:
    return lambda connection: connection.execute(update(ledger_journal).where(J.id == id_).values(values))


def account(name: str, **values: Any) -> Callable[[Connection], Any]:
    return lambda c: c.execute(
        update(ledger_accounts).where(A.owner == f"@{name}:localhost", A.currency == "EUR").values(values)
    )


def take_out(id_: str) -> Callable[[Connection], Any]:
    return lambda connection: connection.execute(delete(ledger_journal).where(J.id == id_))


def take_out_the_last(connection: Connection) -> None:
    last = connection.execute(select(J.seq).order_by(J.seq.desc()).limit(1)).scalar_one()
    connection.execute(delete(ledger_journal).where(J.seq == last))


def put_in(connection: Connection) -> None:
    """A well-formed transfer at the end, its hash as it should be, and the head left."""
    last = Entry(*connection.execute(select(ledger_journal).order_by(J.seq.desc()).limit(1)).one())
    old = entry(connection, "plain")
    new = old._replace(seq=last.seq + 1, at=last.at, chain=last.seq + 1, id="forged")
    connection.execute(insert(ledger_journal), new._replace(hash=chained(last.hash, new))._asdict())


def put_in_the_middle(connection: Connection) -> None:
    """A transfer under a number that a deleted refusal had."""
    old = entry(connection, "refused")
    connection.execute(delete(ledger_journal).where(J.id == "refused"))
    plain = entry(connection, "plain")
    new = plain._replace(seq=old.seq, at=old.at, chain=old.seq, id="refused", hash=old.hash)
    connection.execute(insert(ledger_journal), new._asdict())


def swap(connection: Connection) -> None:
    """Two entries change places."""
    one, two = entry(connection, "fee"), entry(connection, "void")
    for id_, seq in (("fee", 10_000), ("void", one.seq), ("fee", two.seq)):
        change(id_, seq=seq)(connection)


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (change("plain", amount=101), "hash"),
        (change("plain", reference="order-2"), "hash"),
        (change("plain", kind="tip"), "hash"),
        (change("plain", fingerprint=b"x"), "hash"),
        (change("plain", hash=bytes(32)), "hash"),
        (change("plain", at=1), "time"),
        (change("plain", memo=b"other"), "memo"),
        (change("plain", memo=b""), "memo"),
        (change("plain", debit=None), "account"),
        (change("posted", expires_at=None), "hash"),
        (change("refused", refusal="exceeds_ceiling"), "hash"),
        (change("refused", refusal=None, type="transfer"), "chain"),
        (change("post", subject="open"), "hash"),
        (lambda c: c.execute(update(ledger_journal).where(J.seq == 1).values(details="{")), "account"),
        (take_out("plain"), "gap"),
        (take_out("refused"), "gap"),
        (take_out_the_last, "head"),
        (put_in, "head"),
        (put_in_the_middle, "hash"),
        (swap, "hash"),
        (account("bob", credits=10_000), "balance"),
        (account("bob", pending_credits=0), "balance"),
        (account("bob", postings=0), "balance"),
        (account("bob", floor=-1000), "terms"),
        (account("alice", frozen=0), "terms"),
        (account("alice", owner="@mallory:localhost"), "owner"),
        (lambda c: c.execute(delete(ledger_accounts).where(A.owner == "@bob:localhost")), "account"),
        (lambda c: c.execute(delete(ledger_pending).where(P.id == "open")), "pending"),
        (lambda c: c.execute(update(ledger_pending).values(amount=5)), "pending"),
        (lambda c: c.execute(update(ledger_head).values(seq=3)), "head"),
        (lambda c: c.execute(update(ledger_head).values(hash=bytes(32))), "head"),
    ],
)
async def test_what_was_changed_is_found(world: World, tamper: Callable[[Connection], Any], code: str) -> None:
    await world.write(tamper)
    report = await world.ledger.verify()
    assert not report.whole
    assert code in {each.code for each in report.problems}
    assert all(each.where and each.text for each in report.problems)


async def test_an_account_that_nobody_opened_is_found(world: World) -> None:
    def work(connection: Connection) -> None:
        row = connection.execute(select(ledger_accounts).where(A.owner == "@bob:localhost")).one()._asdict()
        connection.execute(insert(ledger_accounts), row | {"id": "FORGED", "owner": "@mallory:localhost"})

    await world.write(work)
    report = await world.ledger.verify()
    assert {(each.code, each.where) for each in report.problems} >= {("account", "account FORGED"), ("total", "EUR")}


async def forge(world: World, **values: Any) -> Report:
    """Change a transfer, and write the chain anew from there on, as somebody could who has the whole database."""

    def work(connection: Connection) -> None:
        change("plain", **values)(connection)
        previous = bytes(32)
        for row in connection.execute(select(ledger_journal).order_by(J.seq)).all():
            here = Entry(*row)
            previous = sha256(previous + canonical(here)).digest()
            connection.execute(update(ledger_journal).where(J.seq == here.seq).values(hash=previous))
        connection.execute(update(ledger_head).values(hash=previous))

    await world.write(work)
    return await world.ledger.verify()


async def test_a_chain_written_anew_still_has_to_add_up(world: World) -> None:
    codes = {each.code for each in (await forge(world, amount=20_000)).problems}
    assert codes == {"balance", "floor"}


async def test_a_chain_written_anew_is_found_by_an_earlier_report(world: World) -> None:
    """Only what lies outside the database can tell: the number and the hash that an earlier report gave."""
    before = await world.verified()
    anchor = (before.entries, bytes.fromhex(before.head))
    await world.done(Transfer("later", (await world.provider()).id, (await world.person("bob")).id, eur(1), "top_up"))
    assert (await world.ledger.verify(anchor=anchor)).whole
    assert (await forge(world, reference="order-2")).whole
    report = await world.ledger.verify(anchor=anchor)
    assert [each.code for each in report.problems] == ["anchor"]


async def test_a_memo_may_be_erased(world: World) -> None:
    await world.write(change("plain", memo=None))
    await world.verified()
    lines = await world.ledger.statement((await world.person("bob")).id)
    assert lines[-1].transfer_id == "plain"
    assert lines[-1].memo == b""


async def test_more_reversed_than_moved_is_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = await world.person("alice"), await world.person("bob")
    await world.write(lambda c: world.ledger.set_frozen(c, alice.id, False, NOW))
    monkeypatch.setattr("bots.store.ledger_sql.reversals", lambda connection, ids: {})
    await world.done(world.pay(bob, alice, 80, "again", reverses="plain"))
    report = await world.ledger.verify()
    assert report.problems == (Problem("reversal", "transfer plain", "of 100 that it moved 110 were reversed"),)


async def test_problems_are_counted_and_the_first_are_named(world: World) -> None:
    people = [await world.person(f"p{number}") for number in range(PROBLEMS_MAX + 5)]
    assert len(people) == PROBLEMS_MAX + 5
    await world.write(lambda c: c.execute(update(ledger_accounts).values(closed=1)))
    report = await world.ledger.verify()
    assert len(report.problems) == PROBLEMS_MAX
    assert report.found > PROBLEMS_MAX + 5


async def test_it_is_whole_in_pages_while_others_write(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_check, "PAGE", 7)
    provider, bob = await world.provider(), await world.person("bob")
    stop = asyncio.Event()
    other = world.ledgers[1]

    written = 0

    async def go_on() -> None:
        nonlocal written
        while not stop.is_set():
            one = Transfer(f"w{written}", provider.id, bob.id, eur(1), "top_up", pending=written % 5 == 4)
            await other.execute([one])
            written += 1

    writing = asyncio.create_task(go_on())
    told: list[tuple[int, int]] = []
    looks = 0
    try:
        while looks < 4 or written < 5:  # whoever is faster: some of them looked while something was written
            report = await world.ledger.verify(lambda done, of: told.append((done, of)))
            assert report.whole, report.problems
            looks += 1
    finally:
        stop.set()
        await writing
    assert told[0] == (7, told[0][1])
    assert all(done <= of for done, of in told)
    assert (await world.verified()).entries >= report.entries


async def test_an_empty_ledger_is_whole(database: Database) -> None:
    async with ledgers_on(database, 1) as made:
        report = await made.verified()
    assert (report.entries, report.accounts, report.totals) == (0, 0, {})
    assert set(EntryType) > set(report.counts)


async def test_plain_sql_is_what_the_tests_tamper_with(world: World) -> None:
    """The counts of the fixture, so that the cases above are about entries that there are."""
    counts = (await world.verified()).counts
    assert set(counts) == {each.value for each in EntryType}
    found = await world.databases[0].read(lambda c: c.execute(text("SELECT count(*) FROM ledger_journal")).scalar_one())
    assert found == sum(counts.values())
