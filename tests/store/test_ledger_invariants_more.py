"""The other of the fifteen invariants of the ledger: see test_ledger_invariants.

Each test runs twice: as it is, and with a defect planted, which it must notice. With a defect planted the production
code's own assertions are off, so that it is the test that notices.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from appservice.database import Database
from bots.domain import ledger as rules
from bots.domain.ledger import Book, Outcome, Post, Refusal, Result, Transfer, Void
from bots.domain.ledger_journal import Entry
from bots.domain.ledger_replay import Replay
from bots.domain.money import Money
from bots.store import ledger as store
from bots.store import ledger_sql as sql
from tests.store.ledger_world import World, around, both, eur, holds, ledgers_on, some_people


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with ledgers_on(database) as made:
        yield made


# --- 9


@both
async def test_nobody_overdraws_in_a_concurrent_drain(
    world: World, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    async def check(world: World) -> None:
        alice, bob, carol = await some_people([100, 0, 0])(world)
        held = [[world.pay(alice, (bob, carol)[number % 2], 10, pending=True)] for number in range(6)]
        drain = [[world.pay(alice, (bob, carol)[number % 2], 10, pending=number % 3 == 0)] for number in range(30)]
        assert all(outcome.done for (outcome,) in await world.all_at_once(held))
        outcomes = [outcome for (outcome,) in await world.all_at_once(drain)]
        assert Counter(each.refusal for each in outcomes) == {None: 4, Refusal.EXCEEDS_BALANCE: 26}
        now = await world.fresh(alice)
        assert now.available == eur(0)
        assert now.net - now.pending_debits == 0

    def plant(patch: pytest.MonkeyPatch) -> None:
        # What is pending does not count.
        patch.setattr(
            rules, "_covered", lambda account, amount: account.floor is None or account.net - amount >= account.floor
        )

    await holds(world, monkeypatch, planted, plant, check)


# --- 10


@both
async def test_many_small_movements_do_not_drift(world: World, monkeypatch: pytest.MonkeyPatch, planted: bool) -> None:
    async def check(world: World) -> None:
        alice, bob = await some_people([10_000, 10_000])(world)
        there = [[world.pay(alice, bob, 7) for _ in range(25)] for _ in range(20)]
        back = [[world.pay(bob, alice, 7) for _ in range(25)] for _ in range(20)]
        await world.all_at_once([chain for pair in zip(there, back, strict=True) for chain in pair])
        assert [(await world.fresh(each)).net for each in (alice, bob)] == [10_000, 10_000]
        assert [(await world.fresh(each)).postings for each in (alice, bob)] == [1001, 1001]

    def plant(patch: pytest.MonkeyPatch) -> None:
        move = rules._move

        def binary(book: Book, debit: str, credit: str, amount: int) -> dict[str, Any]:
            fields = move(book, debit, credit, amount)
            account = book.accounts[credit]
            euros = (account.credits - amount) / 100 + amount / 100
            book.accounts[credit] = replace(account, credits=int(euros * 100))
            return fields

        patch.setattr(rules, "_move", binary)

    await holds(world, monkeypatch, planted, plant, check)


# --- 11


@both
async def test_currencies_are_never_mixed(world: World, monkeypatch: pytest.MonkeyPatch, planted: bool) -> None:
    async def check(world: World) -> None:
        alice, bob = await some_people([1000, 1000])(world)
        yen = await world.person("carol", 1000, "JPY")
        chains = []
        for number in range(15):
            good = world.pay(alice, bob, 1)
            bad = Transfer(f"bad{number}", (alice, yen)[number % 2].id, (yen, bob)[number % 2].id, eur(1), "payment")
            worse = Transfer(f"worse{number}", alice.id, bob.id, Money(1, "JPY"), "payment")
            chains += [[good], [bad], [worse]]
        outcomes = [outcome for (outcome,) in await world.all_at_once(chains)]
        assert {each.refusal for each in outcomes if each.id.startswith("t")} == {None}
        assert {each.refusal for each in outcomes if not each.id.startswith("t")} == {Refusal.CURRENCY_MISMATCH}
        report = await world.verified()
        assert report.totals == {"EUR": 0, "JPY": 0}

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(rules, "_one_currency", lambda debit, credit, amount: True)

    await holds(world, monkeypatch, planted, plant, check)


# --- 12


@both
async def test_a_reversal_compensates_and_never_more(
    world: World, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    async def check(world: World) -> None:
        alice, bob = await some_people([1000, 1000])(world)
        await world.done(world.pay(alice, bob, 100, "original"))
        (original,) = [each for each in await world.entries() if each.id == "original"]
        outcomes: list[Outcome] = []
        for turn in range(3):
            back = [[world.pay(bob, alice, 25, f"back{turn}-{n}", reverses="original")] for n in range(6)]
            outcomes += [outcome for (outcome,) in await world.all_at_once(back)]
        assert Counter(each.refusal for each in outcomes) == {None: 4, Refusal.ALREADY_REVERSED: 14}
        assert (await world.fresh(alice)).net == (await world.fresh(bob)).net == 1000
        assert original in await world.entries()

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(sql, "reversals", lambda connection, ids: {})  # those of other transactions are not counted

    await holds(world, monkeypatch, planted, plant, check)


# --- 13


@both
async def test_the_state_can_be_made_from_the_journal(
    world: World, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    async def check(world: World) -> None:
        people = await some_people([1000] * 4)(world)
        held = [
            world.pay(
                people[n % 4],
                people[(n + 1) % 4],
                10,
                f"h{n}",
                pending=True,
                expires_at=world.clock.now_ms() + 1 + n % 3,
            )
            for n in range(12)
        ]
        await world.all_at_once([[each] for each in held])
        world.clock.advance(milliseconds=2)
        ends = [[Post(f"e{n}", f"h{n}", eur(5)) if n % 2 else Void(f"e{n}", f"h{n}")] for n in range(4)]
        ledger, now = world.ledger, world.clock.now_ms()
        await asyncio.gather(
            world.all_at_once([*ends, *around(world, people, 12, 13)]),
            world.write(lambda connection: ledger.expire(connection, now)),
            world.write(lambda connection: ledger.set_frozen(connection, people[0].id, True, now)),
            world.write(lambda connection: ledger.set_limits(connection, people[1].id, -50, 5000, now)),
        )
        replay = Replay()
        replay.take(await world.entries())
        for account in [*people, await world.provider()]:
            sums = replay._accounts[account.id]
            is_ = await world.fresh(account)
            for name in (
                "debits",
                "credits",
                "pending_debits",
                "pending_credits",
                "postings",
                "floor",
                "ceiling",
                "frozen",
                "closed",
            ):
                assert getattr(is_, name) == getattr(sums, name), name
        await world.verified()

    def plant(patch: pytest.MonkeyPatch) -> None:
        terms = rules.settings
        # Who is frozen stands in the table only.
        patch.setattr(store, "settings", lambda account, owner: terms(replace(account, frozen=False), owner))

    await holds(world, monkeypatch, planted, plant, check)


# --- 14


@both
async def test_an_account_s_order_is_monotonic(world: World, monkeypatch: pytest.MonkeyPatch, planted: bool) -> None:
    async def check(world: World) -> None:
        people = await some_people([1000] * 4)(world)
        world.clocks[1].advance(hours=1)  # the machines' clocks differ
        for seed in (14, 15):
            await world.all_at_once(around(world, people, 30, seed))
        for account in people:
            lines = (await world.ledger.statement(account.id, limit=1000))[::-1]
            assert [line.number for line in lines] == list(range(1, (await world.fresh(account)).postings + 1))
            assert [line.seq for line in lines] == sorted(line.seq for line in lines)
            assert [line.at for line in lines] == sorted(line.at for line in lines)
            balance = 0
            for line in lines:
                balance += line.amount.minor
                assert line.balance == eur(balance)

    def plant(patch: pytest.MonkeyPatch) -> None:
        write = Book.write

        def by_the_clock(book: Book, now: int, *rest: Any, **fields: Any) -> Entry:
            book.head = book.head._replace(at=0)
            return write(book, now, *rest, **fields)

        patch.setattr(Book, "write", by_the_clock)

    await holds(world, monkeypatch, planted, plant, check)


# --- 15


@both
async def test_a_duplicate_of_a_refused_transfer_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    async def check(world: World) -> None:
        alice, bob = await some_people([100, 0])(world)
        single = [world.pay(alice, bob, 150, "too much")]
        chain = [world.pay(alice, bob, 50, "fits"), world.pay(alice, bob, 51, "fits not")]
        first = await world.all_at_once([single, chain] * 6)
        await world.done(Transfer("rain", (await world.provider()).id, alice.id, eur(1000), "top_up"))
        again = await world.all_at_once([single, chain] * 6)
        for outcomes in (first, again):
            for outcome in outcomes[::2]:
                assert [(each.result, each.refusal) for each in outcome] == [(Result.REFUSED, Refusal.EXCEEDS_BALANCE)]
            for outcome in outcomes[1::2]:
                assert [each.result for each in outcome] == [Result.REFUSED] * 2
                assert [each.refusal for each in outcome] == [Refusal.LINKED_FAILED, Refusal.EXCEEDS_BALANCE]
        assert (await world.fresh(alice)).net == 1100
        assert (await world.fresh(bob)).postings == 0

    def plant(patch: pytest.MonkeyPatch) -> None:
        known = rules._known

        def kind(book: Book, *rest: Any) -> Any:
            found = known(book, *rest)
            if isinstance(found, tuple):  # it was seen before, so it is done, one might think
                return tuple(replace(each, result=Result.EXISTS, refusal=None) for each in found)
            return found

        patch.setattr(rules, "_known", kind)

    await holds(world, monkeypatch, planted, plant, check)
