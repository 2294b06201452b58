"""Bills in the database, on SQLite and PostgreSQL: nobody pays twice, whoever is faster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, select

from appservice.database import Database
from appservice.sealing import SealBroken
from bots.bills.book import Book, StoredBill, made_of
from bots.domain.bills import Bill, State
from bots.domain.money import Money
from bots.store import bills as sql
from bots.store.bill_tables import bill_accounts, bills
from bots.store.bills import AccountRow, BillBusy, BillRow

BOOK = Book("a pickle key")
FIELDS = {"customer": "20415871"}


def row(bill_id: str = "one", **more: Any) -> BillRow:
    values: dict[str, Any] = {
        "id": bill_id,
        "bot": "bills",
        "person": "@alice:example.org",
        "room_id": "!a:example.org",
        "biller": "power",
        "origin": "person",
        "saved_id": "",
        "account": BOOK.account_of("power", FIELDS),
        "claim": "c1",
        "sealed": BOOK.sealed(bill_id, FIELDS),
        "state": State.FETCHING.value,
        "reason": "",
        "currency": "",
        "amount": 0,
        "minimum": None,
        "paying": 0,
        "due_on": None,
        "payment_id": None,
        "attempts": 0,
        "asked_at": 1,
        "created_at": 1,
        "updated_at": 1,
    }
    return BillRow(**(values | more))


def account(account_id: str = "a1", name: str = "home", **more: Any) -> AccountRow:
    values: dict[str, Any] = {
        "id": account_id,
        "bot": "bills",
        "person": "@alice:example.org",
        "room_id": "!a:example.org",
        "biller": "power",
        "account": "x",
        "nickname": "",
        "sealed": b"",
        "remind_days": None,
        "cap": None,
        "currency": "",
        "mandate": None,
        "mandate_id": None,
        "created_at": 1,
    }
    return BOOK.named(AccountRow(**(values | more)), name, FIELDS)


def adding(stored: BillRow) -> Callable[[Connection], bool]:
    return lambda connection: sql.add(connection, stored)


def getting(bill_id: str) -> Callable[[Connection], BillRow | None]:
    return lambda connection: sql.get(connection, "bills", bill_id)


def saving(saved: AccountRow) -> Callable[[Connection], None]:
    return lambda connection: sql.save(connection, saved)


def taking(claim: str, bill_id: str) -> Callable[[Connection], None]:
    return lambda connection: sql.take(connection, "bills", claim, bill_id, 1)


async def test_a_bill_goes_in_and_comes_out(database: Database) -> None:
    stored = row()
    assert await database.write(lambda c: sql.add(c, stored))
    assert not await database.write(lambda c: sql.add(c, replace(stored, amount=5)))
    found = await database.read(lambda c: sql.get(c, "bills", "one"))
    assert found == stored
    assert await database.read(lambda c: sql.get(c, "other", "one")) is None
    bill = Bill("2026-11", Money(4250, "EUR"), minimum=Money(500, "EUR"), reference="R-1")
    after = BOOK.found(BOOK.bill(stored), bill)
    await database.write(lambda c: sql.change(c, stored, replace(after.row, state="shown", payment_id="p1")))
    read = await database.read(lambda c: sql.of_payment(c, "bills", "p1"))
    assert read is not None
    opened = BOOK.bill(read)
    assert (opened.bill, opened.state, opened.row.revision) == (bill, State.SHOWN, 1)
    assert opened.fields == FIELDS


async def test_what_people_wrote_is_not_readable(database: Database) -> None:
    stored = BOOK.receipted(
        BOOK.found(BOOK.bill(row()), Bill("INV-77123", Money(4250, "EUR"), reference="REF-9")), "RC-5"
    )
    await database.write(adding(stored.row))
    await database.write(saving(account(name="The secret flat")))

    def everything(connection: Connection) -> str:
        return "\n".join(
            str(tuple(each)) for table in (bills, bill_accounts) for each in connection.execute(select(table))
        )

    lies = await database.read(everything)
    for secret in ("20415871", "INV-77123", "inv77123", "REF-9", "RC-5", "secret", "flat"):
        assert secret not in lies
    moved = replace(stored.row, id="two")
    with pytest.raises(SealBroken):
        BOOK.bill(moved)
    with pytest.raises(SealBroken):
        Book("another key").bill(stored.row)


async def test_a_bill_that_was_changed_meanwhile(database: Database) -> None:
    stored = row()
    await database.write(lambda c: sql.add(c, stored))
    await database.write(lambda c: sql.change(c, stored, replace(stored, attempts=1)))
    with pytest.raises(BillBusy):
        await database.write(lambda c: sql.change(c, stored, replace(stored, attempts=2)))
    found = await database.read(lambda c: sql.get(c, "bills", "one"))
    assert found is not None
    assert (found.attempts, found.revision) == (1, 1)


async def all_at_once(database: Database, works: Sequence[Callable[[Connection], Any]]) -> list[BaseException | None]:
    async def one(work: Callable[[Connection], Any]) -> BaseException | None:
        try:
            await database.write(work)
        except BillBusy as error:
            return error
        return None

    return await asyncio.gather(*(one(work) for work in works))


async def test_of_many_who_pay_one_bill_one_does(database: Database) -> None:
    outcomes = await all_at_once(database, [taking("c1", f"b{number}") for number in range(12)])
    assert outcomes.count(None) == 1
    winner = f"b{outcomes.index(None)}"
    claim = await database.read(lambda c: sql.claimed(c, "bills", "c1"))
    assert claim is not None
    assert (claim.bill_id, claim.settled) == (winner, False)
    await database.write(lambda c: sql.take(c, "bills", "c1", winner, 2))  # the same again: a retry
    await database.write(lambda c: sql.take(c, "bills", "c2", "other bill", 2))
    await database.write(lambda c: sql.take(c, "elsewhere", "c1", "other bot", 2))


async def test_what_was_given_up_is_free_and_what_is_paid_is_not(database: Database) -> None:
    await database.write(lambda c: sql.take(c, "bills", "c1", "one", 1))
    await database.write(lambda c: sql.release(c, "bills", "c1", "two"))
    with pytest.raises(BillBusy):
        await database.write(lambda c: sql.take(c, "bills", "c1", "two", 1))
    await database.write(lambda c: sql.release(c, "bills", "c1", "one"))
    await database.write(lambda c: sql.take(c, "bills", "c1", "two", 1))
    with pytest.raises(BillBusy):
        await database.write(lambda c: sql.settle(c, "bills", "c1", "one", 2))
    await database.write(lambda c: sql.settle(c, "bills", "c1", "two", 2))
    await database.write(lambda c: sql.release(c, "bills", "c1", "two"))
    claim = await database.read(lambda c: sql.claimed(c, "bills", "c1"))
    assert claim is not None
    assert claim.settled
    with pytest.raises(BillBusy):
        await database.write(lambda c: sql.take(c, "bills", "c1", "three", 3))


async def test_a_claim_and_its_bill_are_one_commit(database: Database) -> None:
    one, two = row("one"), row("two")
    await database.write(lambda c: (sql.add(c, one), sql.add(c, two)))

    def claim(stored: BillRow) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            sql.change(connection, stored, replace(stored, state=State.PROPOSED.value))
            sql.take(connection, "bills", "c1", stored.id, 1)

        return work

    outcomes = await all_at_once(database, [claim(one), claim(two)])
    assert outcomes.count(None) == 1
    rows = [await database.read(getting(each)) for each in ("one", "two")]
    assert sorted(each.state for each in rows if each) == [State.FETCHING.value, State.PROPOSED.value]


async def test_lists(database: Database) -> None:
    for number in range(5):
        state = State.PAID if number % 2 else State.UNKNOWN
        stored = row(
            f"b{number}", state=state.value, created_at=number, asked_at=10 - number, paying=100, currency="EUR"
        )
        await database.write(adding(stored))
    await database.write(lambda c: sql.add(c, row("bob's", person="@bob:example.org", state="paid", paying=7)))
    person, states = "@alice:example.org", ["paid", "unknown"]
    found = await database.read(lambda c: sql.of_person(c, "bills", person, states, 3))
    assert [each.id for each in found] == ["b4", "b3", "b2"]
    unknown = await database.read(lambda c: sql.in_state(c, "bills", "unknown", 10))
    assert [each.id for each in unknown] == ["b4", "b2", "b0"]
    assert await database.read(lambda c: sql.count_in(c, "bills", "unknown")) == 3
    assert sorted(await database.read(lambda c: sql.paid_of(c, "bills", "c1", "paid"))) == [
        ("", 7),
        ("EUR", 100),
        ("EUR", 100),
    ]


async def test_saved_accounts(database: Database) -> None:
    home = account()
    await database.write(lambda c: sql.save(c, home))
    for same in ("Home", " home ", "HO-ME"):
        with pytest.raises(BillBusy):
            await database.write(saving(account("a2", same)))
    flat = account("a2", "flat", mandate="m1")
    await database.write(lambda c: sql.save(c, flat))
    await database.write(lambda c: sql.save(c, account("a3", "home", person="@bob:example.org")))
    listed = await database.read(lambda c: sql.accounts(c, "bills", "@alice:example.org"))
    assert [BOOK.account(each).nickname for each in listed] == ["home", "flat"]
    assert await database.read(lambda c: sql.of_mandate(c, "bills", "m1")) == flat
    with pytest.raises(BillBusy):
        await database.write(lambda c: sql.change_saved(c, flat, BOOK.named(flat, "home", FIELDS)))
    await database.write(lambda c: sql.change_saved(c, flat, BOOK.named(flat, "Flat 2", FIELDS)))
    with pytest.raises(BillBusy):
        await database.write(lambda c: sql.change_saved(c, flat, replace(flat, remind_days=3)))
    await database.write(lambda c: sql.forget(c, "a1"))
    assert await database.read(lambda c: sql.saved(c, "bills", "a1")) is None


async def test_of_many_who_save_one_name_one_does(database: Database) -> None:
    outcomes = await all_at_once(database, [saving(account(f"a{number}")) for number in range(8)])
    assert outcomes.count(None) == 1


async def test_once_for_a_bill(database: Database) -> None:
    outcomes = await all_at_once(
        database, [lambda c: sql.note(c, "a1", "c1", "paid", "2026-11-27") for _each in range(6)]
    )
    assert outcomes.count(None) == 1
    await database.write(lambda c: sql.note(c, "a1", "c1", "told", "2026-11-26"))
    await database.write(lambda c: sql.note(c, "a1", "c2", "paid", "2026-12-27"))
    await database.write(lambda c: sql.note(c, "a2", "c1", "paid", "2026-11-27"))
    assert await database.read(lambda c: sql.notes(c, "a1", "c1")) == {"paid": "2026-11-27", "told": "2026-11-26"}
    await database.write(lambda c: sql.save(c, account()))
    await database.write(lambda c: sql.forget(c, "a1"))
    assert await database.read(lambda c: sql.notes(c, "a1", "c1")) == {}
    assert await database.read(lambda c: sql.notes(c, "a2", "c1")) == {"paid": "2026-11-27"}


def test_digests_need_the_key() -> None:
    assert BOOK.claim("power", FIELDS, "2026-11") == Book("a pickle key").claim(
        "power", {"customer": "2041-5871"}, "202611"
    )
    assert BOOK.claim("power", FIELDS, "2026-11") != Book("another").claim("power", FIELDS, "2026-11")
    assert made_of("a", "b") == made_of("a", "b") != made_of("ab")
    assert isinstance(BOOK.bill(row()), StoredBill)
