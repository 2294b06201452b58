"""Fifteen invariants of the ledger, each under concurrency: several ledgers with connections of their own.

Each test runs twice: as it is, and with a defect planted, which it must notice. With a defect planted the production
code's own assertions are off, so that it is the test that notices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, text

from appservice.database import Database
from bots.domain import ledger as rules
from bots.domain.ledger import Account, AccountKind, Book, Known, Outcome, Post, Result, Void
from bots.domain.ledger_journal import MOVES, Entry, EntryType, Head, chained
from bots.store import ledger_sql as sql
from tests.store.ledger_world import World, around, both, eur, holds, ledgers_on, some_people


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with ledgers_on(database) as made:
        yield made


# --- 1


@both
async def test_debits_and_credits_of_a_currency_are_equal(
    world: World, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    async def check(world: World) -> None:
        euros = [await world.person(f"p{number}", 1000) for number in range(4)]
        yens = [await world.person(f"p{number}", 1000, "JPY") for number in range(4)]
        await world.all_at_once(around(world, euros, 30, 1) + around(world, yens, 30, 2))
        totals: Counter[str] = Counter()
        for account in [*euros, *yens, await world.provider(), await world.provider("JPY")]:
            totals[account.currency] += (await world.fresh(account)).net
        assert totals == {"EUR": 0, "JPY": 0}

    def plant(patch: pytest.MonkeyPatch) -> None:
        move = rules._move

        def short(book: Book, debit: str, credit: str, amount: int) -> dict[str, Any]:
            fields = move(book, debit, credit, amount)
            if book.accounts[credit].currency == "JPY":
                book.accounts[credit] = replace(book.accounts[credit], credits=book.accounts[credit].credits - 1)
            return fields

        patch.setattr(rules, "_move", short)

    await holds(world, monkeypatch, planted, plant, check)


# --- 2


@both
async def test_the_journal_only_grows(world: World, monkeypatch: pytest.MonkeyPatch, planted: bool) -> None:
    async def check(world: World) -> None:
        alice, bob = await some_people([1000, 1000])(world)
        seen = await world.entries()
        for turn in range(3):
            holds_ = [world.pay(alice, bob, 10, f"h{turn}-{number}", pending=True) for number in range(6)]
            await world.all_at_once([[each] for each in holds_])
            ends = [
                Void(f"v{each.id}", each.id) if number % 2 else Post(f"p{each.id}", each.id)
                for number, each in enumerate(holds_)
            ]
            await world.all_at_once([[each] for each in ends])
            now = await world.entries()
            assert len(now) == len(seen) + 12
            assert now[: len(seen)] == seen
            seen = now

    def plant(patch: pytest.MonkeyPatch) -> None:
        advance = sql.advance

        def tidy(connection: Connection, old: Head, new: Head, entries: Sequence[Entry], *rest: Any) -> bool:
            for entry in entries:
                if entry.type == EntryType.VOID:  # what came to nothing need not be kept, one might think
                    delete = text("DELETE FROM ledger_journal WHERE id = :id AND type = 'pending'")
                    connection.execute(delete, {"id": entry.subject})
            return advance(connection, old, new, entries, *rest)

        patch.setattr(sql, "advance", tidy)

    await holds(world, monkeypatch, planted, plant, check)


# --- 3


@both
async def test_the_chain_of_hashes_is_intact(world: World, monkeypatch: pytest.MonkeyPatch, planted: bool) -> None:
    async def check(world: World) -> None:
        people = await some_people([1000] * 4)(world)
        await world.all_at_once(around(world, people, 40, 3))
        entries = await world.entries()
        previous = bytes(32)
        for number, entry in enumerate(entries, 1):
            assert entry.seq == number
            assert entry.hash == chained(previous, entry)
            previous = entry.hash

    def plant(patch: pytest.MonkeyPatch) -> None:
        # Each entry has a hash, but they do not hang together.
        patch.setattr(rules, "chained", lambda previous, entry: chained(bytes(32), entry))

    await holds(world, monkeypatch, planted, plant, check)


# --- 4 and 5


def forgets(patch: pytest.MonkeyPatch) -> None:
    """Ids are not looked up, and nothing else keeps them apart."""
    write = Book.write

    def without_id(book: Book, now: int, type_: EntryType, chain: int | None = None, **fields: Any) -> Entry:
        return write(book, now, type_, chain, **(fields | {"id": None}))

    patch.setattr(rules, "_known", lambda book, chain, prints: None)
    patch.setattr(Book, "write", without_id)


@both
async def test_a_duplicate_does_nothing(world: World, monkeypatch: pytest.MonkeyPatch, planted: bool) -> None:
    async def check(world: World) -> None:
        people = await some_people([10_000] * 4)(world)
        chains = around(world, people, 20, 4)
        first = await world.all_at_once(chains)
        before = [await world.fresh(each) for each in people], await world.entries()
        again = await world.all_at_once(chains[::-1])  # by another ledger than before
        assert ([await world.fresh(each) for each in people], await world.entries()) == before
        for (was,), (is_,) in zip(first, again[::-1], strict=True):
            assert was.result is Result.CREATED
            assert is_ == Outcome(was.id, Result.EXISTS, None, was.seq)

    await holds(world, monkeypatch, planted, forgets, check)


@both
async def test_concurrent_duplicates_collapse_to_one(
    world: World, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    async def check(world: World) -> None:
        alice, bob = await some_people([1000, 0])(world)
        for number in range(3):
            transfer = world.pay(alice, bob, 100, f"same{number}")
            outcomes = [outcome for (outcome,) in await world.all_at_once([[transfer]] * 18)]
            assert Counter(each.result for each in outcomes) == {Result.CREATED: 1, Result.EXISTS: 17}
            assert len({each.seq for each in outcomes}) == 1
        assert (await world.fresh(bob)).credits == 300

    def plant(patch: pytest.MonkeyPatch) -> None:
        load, last = sql.load, {"seq": 0}

        def stale(connection: Connection, ids: Any, named: Any) -> tuple[dict[str, Known], dict[str, Account]]:
            """As if ids were read before the lock was had: what the last transaction wrote is not seen."""
            found, accounts = load(connection, ids, named)
            limit, last["seq"] = last["seq"], max([each.seq for each in found.values()], default=last["seq"])
            return {id_: each for id_, each in found.items() if each.seq < limit}, accounts

        patch.setattr(sql, "load", stale)

    await holds(world, monkeypatch, planted, plant, check)


# --- 6


def old_accounts(patch: pytest.MonkeyPatch) -> None:
    """Each ledger's accounts are read once, and remembered."""
    load = sql.load
    remembered: dict[tuple[int, str], Account] = {}

    def cached(connection: Connection, ids: Any, named: Any) -> tuple[dict[str, Known], dict[str, Account]]:
        known, accounts = load(connection, ids, named)
        mine = id(connection.engine)
        return known, {id_: remembered.setdefault((mine, id_), account) for id_, account in accounts.items()}

    patch.setattr(sql, "load", cached)


@both
async def test_no_update_of_a_hot_account_is_lost(world: World, monkeypatch: pytest.MonkeyPatch, planted: bool) -> None:
    async def check(world: World) -> None:
        people = await some_people([100] * 5)(world)
        hot = await world.ledger.account("bot:shop", "EUR", AccountKind.MERCHANT)
        chains = [[world.pay(people[number % 5], hot, 1)] for number in range(100)]
        await world.all_at_once(chains)
        now = await world.fresh(hot)
        assert (now.credits, now.debits, now.postings) == (100, 0, 100)
        assert sum([(await world.fresh(each)).net for each in people]) == 400

    await holds(world, monkeypatch, planted, old_accounts, check)


# --- 7


@both
async def test_value_is_conserved(world: World, monkeypatch: pytest.MonkeyPatch, planted: bool) -> None:
    async def check(world: World) -> None:
        people = await some_people([500] * 6)(world)

        async def total() -> int:
            return sum([(await world.fresh(each)).net for each in people])

        for seed in range(3):
            chains = [
                [a, b]
                for (a,), (b,) in zip(
                    around(world, people, 20, seed), around(world, people, 20, seed + 10), strict=True
                )
            ]
            await world.all_at_once(chains)
            assert await total() == 3000

    def plant(patch: pytest.MonkeyPatch) -> None:
        advance = sql.advance

        def hasty(
            connection: Connection,
            old: Head,
            new: Head,
            entries: Sequence[Entry],
            changed: Sequence[Account],
            *rest: Any,
        ) -> bool:
            return advance(
                connection, old, new, entries, changed[:2], *rest
            )  # a transfer has two accounts, has it not?

        patch.setattr(sql, "advance", hasty)

    await holds(world, monkeypatch, planted, plant, check)


# --- 8


@both
async def test_a_balance_is_the_sum_of_the_journal(
    world: World, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    async def check(world: World) -> None:
        people = await some_people([1000] * 3)(world)
        held = [
            world.pay(people[number % 3], people[(number + 1) % 3], 50, f"h{number}", pending=True)
            for number in range(12)
        ]
        await world.all_at_once([[each] for each in held])
        await world.all_at_once([[Post(f"p{number}", f"h{number}", eur(20 + number))] for number in range(9)])
        sums: Counter[str | None] = Counter()
        for entry in await world.entries():
            if entry.type in MOVES:
                sums[entry.debit] -= entry.amount
                sums[entry.credit] += entry.amount
        for account in [*people, await world.provider()]:
            assert (await world.fresh(account)).net == sums[account.id]

    def plant(patch: pytest.MonkeyPatch) -> None:
        resolved = rules._resolved

        def whole(*arguments: Any, **fields: Any) -> Entry:
            return resolved(*arguments, **{name: value for name, value in fields.items() if name != "amount"})

        patch.setattr(rules, "_resolved", whole)  # the journal says that all of the pending amount moved

    await holds(world, monkeypatch, planted, plant, check)
