"""The ledger on both databases: what is written is read again, and decided upon, whoever asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from appservice.database import Database, DatabaseError
from bots.domain.ledger import CHAIN_MAX, InvariantBroken
from bots.domain.money import LARGEST, Money, MoneyError
from bots.payments.ledger import (
    Account,
    AccountKind,
    AccountRefused,
    IdConflict,
    Ledger,
    Outcome,
    Post,
    Refusal,
    Result,
    Transfer,
    Void,
)
from bots.store import ledger as store
from bots.store import ledger_reading as reading
from bots.store import ledger_sql as sql
from tests.store.harness import FlakyDatabase
from tests.store.ledger_world import NOW, World, eur, ledgers_on


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with ledgers_on(database, 2) as made:
        yield made


async def refusals(ledger: Ledger, *chain: Any) -> list[Refusal | None]:
    return [outcome.refusal for outcome in await ledger.execute(chain)]


# --- transfers


async def test_what_one_ledger_writes_another_knows(world: World) -> None:
    alice, bob = await world.person("alice", 1000), await world.person("bob")
    one, two = world.ledgers
    expires = NOW + 1000
    assert await refusals(one, world.pay(alice, bob, 600, "h", pending=True, expires_at=expires)) == [None]
    assert await refusals(two, world.pay(alice, bob, 401, "x")) == [Refusal.EXCEEDS_BALANCE]
    assert await refusals(two, Post("p", "h", eur(500)), world.pay(bob, alice, 20, "fee")) == [None, None]
    assert await refusals(one, Void("v", "h")) == [Refusal.PENDING_RESOLVED]
    assert await refusals(one, world.pay(bob, alice, 100, "r", reverses="h")) == [None]
    assert await refusals(two, world.pay(bob, alice, 400, "r2", reverses="p")) == [Refusal.EXCEEDS_BALANCE]
    assert await refusals(two, world.pay(bob, alice, 401, "r3", reverses="p")) == [Refusal.EXCEEDS_ORIGINAL]
    assert [each.result for each in await one.execute([world.pay(alice, bob, 401, "x")])] == [Result.REFUSED]
    with pytest.raises(IdConflict) as error:
        await one.execute([world.pay(alice, bob, 402, "x")])
    assert error.value.fields == {"id": "x", "reason": "used with other content"}
    assert (await world.fresh(alice)).balance == eur(620)
    assert (await world.verified()).counts["refusal"] == 4


async def test_apply_commits_with_the_caller(world: World) -> None:
    alice, bob = await world.person("alice", 1000), await world.person("bob")
    ledger = world.ledger
    chain = [world.pay(alice, bob, 600, "a")]

    def fails(connection: Connection) -> None:
        assert ledger.apply(connection, chain, NOW)[0].done
        raise RuntimeError("the rest could not be done")

    with pytest.raises(RuntimeError):
        await world.write(fails)
    assert (await world.fresh(bob)).credits == 0
    outcomes = await world.write(lambda connection: ledger.apply(connection, chain, NOW))
    assert outcomes[0].result is Result.CREATED

    def twice(connection: Connection) -> tuple[Outcome, ...]:
        first = ledger.apply(connection, [world.pay(alice, bob, 300, "b")], NOW)
        return first + ledger.apply(connection, [world.pay(alice, bob, 300, "c")], NOW)

    assert [outcome.refusal for outcome in await world.write(twice)] == [None, Refusal.EXCEEDS_BALANCE]
    with pytest.raises(IdConflict):
        await world.write(lambda connection: ledger.apply(connection, [world.pay(alice, bob, 1, "a")], NOW))
    await world.verified()


async def test_one_conflict_in_a_batch_is_its_own(world: World) -> None:
    alice, bob = await world.person("alice", 1000), await world.person("bob")
    await world.done(world.pay(alice, bob, 1, "taken"))
    chains = [world.pay(alice, bob, 2, "taken" if number % 5 == 4 else f"b{number}") for number in range(10)]
    results = await asyncio.gather(*(world.ledger.execute([each]) for each in chains), return_exceptions=True)
    assert [isinstance(each, IdConflict) for each in results] == [number % 5 == 4 for number in range(10)]
    assert (await world.fresh(bob)).credits == 17


async def test_large_amounts_and_many_accounts_in_a_chain(world: World) -> None:
    people = [await world.person(f"p{number}") for number in range(40)]
    provider = await world.provider()
    fill = [Transfer(f"f{each.id}", provider.id, each.id, eur(1), "top_up") for each in people]
    assert await refusals(world.ledger, *fill) == [None] * 40
    half = LARGEST // 2
    rich = await world.person("rich", half)
    assert (await world.fresh(rich)).balance == eur(half)
    much = Transfer("much", provider.id, rich.id, eur(LARGEST - half), "top_up")
    assert await refusals(world.ledger, much) == [Refusal.OVERFLOW]  # the provider has paid 40 already
    with pytest.raises(ValueError, match="1 to"):
        await world.ledger.execute([world.pay(rich, people[0], 1) for _ in range(CHAIN_MAX + 1)])
    with pytest.raises(ValueError, match="1 to"):
        await world.ledger.execute([])
    await world.verified()


@pytest.mark.parametrize("id_", ["123", "a'b\"c\\", "ümläut 💶 日本", "%_", "x" * 255])
async def test_ids_may_be_any_text(world: World, id_: str) -> None:
    alice, bob = await world.person("alice", 1000), await world.person("bob")
    for _ in range(2):
        await world.done(world.pay(alice, bob, 5, id_, pending=True, reference=id_))
    await world.done(Post(f"{id_[:250]}post", id_))
    await world.done(world.pay(bob, alice, 5, f"{id_[:250]}back", reverses=id_))
    lines = await world.ledger.statement(bob.id)
    assert [(line.transfer_id, line.reference) for line in lines[1:]] == [(id_, id_)]
    await world.verified()


# --- faults


async def test_a_fault_keeps_nothing_and_the_same_ids_tell(world: World, database: Database) -> None:
    alice, bob = await world.person("alice", 1000), await world.person("bob")
    flaky = FlakyDatabase(database)
    ledger = Ledger(flaky, world.clock)
    faults = iter(["before", "after", "after"])
    flaky.fault = lambda: next(faults, None)
    chains = [world.pay(alice, bob, 10, f"b{number}") for number in range(6)]
    results = await asyncio.gather(*(ledger.execute([each]) for each in chains), return_exceptions=True)
    assert all(isinstance(each, DatabaseError) for each in results)
    assert (await world.fresh(bob)).credits == 50  # the others were done, and nobody was told
    again = [(await ledger.execute([each]))[0].result for each in chains]
    assert again == [Result.CREATED] + [Result.EXISTS] * 5
    assert (await world.fresh(bob)).credits == 60


async def test_a_caller_that_is_cancelled_does_not_take_the_others_with_it(world: World) -> None:
    alice, bob = await world.person("alice", 1000), await world.person("bob")
    tasks = [asyncio.create_task(world.ledger.execute([world.pay(alice, bob, 1, f"c{n}")])) for n in range(10)]
    await asyncio.sleep(0)
    for task in (tasks[0], tasks[3]):
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in results] == [n in (0, 3) for n in range(10)]
    assert all(each[0].done for each in results if not isinstance(each, BaseException))
    # What became of the two is told by their ids.
    for number in range(10):
        await world.done(world.pay(alice, bob, 1, f"c{number}"))
    assert (await world.fresh(bob)).credits == 10
    await world.verified()


async def test_what_breaks_an_invariant_is_not_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = await world.person("alice", 1000), await world.person("bob")
    before = await world.entries()
    monkeypatch.setattr("bots.domain.ledger._covered", lambda account, amount: True)
    with pytest.raises(InvariantBroken, match="below its floor"):
        await world.ledger.execute([world.pay(alice, bob, 1001)])
    monkeypatch.undo()
    monkeypatch.setattr(sql, "lock_head", lambda connection, real=sql.lock_head: real(connection)._replace(seq=2))
    with pytest.raises((InvariantBroken, DBAPIError)):
        await world.ledger.execute([world.pay(alice, bob, 1)])
    monkeypatch.undo()
    assert await world.entries() == before


# --- accounts


async def test_an_account_is_opened_once(world: World) -> None:
    made = await asyncio.gather(*(ledger.account("@alice:x", "EUR") for ledger in world.ledgers for _ in range(5)))
    assert len({each.id for each in made}) == 1
    assert made[0].floor == 0
    assert made[0].ceiling is None
    assert len(made[0].id) == 26
    merchant = await world.ledger.account("@alice:x", "EUR", AccountKind.MERCHANT)
    yen = await world.ledger.account("@alice:x", "JPY")
    assert [each.id for each in await world.ledger.accounts("@alice:x")] == [
        each.id for each in sorted([made[0], merchant, yen], key=lambda each: (each.opened_at, each.id))
    ]
    assert (await world.provider()).floor is None
    with pytest.raises(MoneyError):
        await world.ledger.account("@alice:x", "EURO")
    assert await world.ledger.get("nobody") is None
    assert (await world.verified()).counts == {"opened": 4}


async def test_frozen_accounts_neither_pay_nor_receive(world: World) -> None:
    alice, bob = await world.person("alice", 1000), await world.person("bob", 1000)
    ledger = world.ledger
    await world.done(world.pay(alice, bob, 100, "h1", pending=True), world.pay(bob, alice, 100, "h2", pending=True))
    assert (await world.write(lambda c: ledger.set_frozen(c, alice.id, True, NOW))).frozen
    assert await refusals(ledger, world.pay(alice, bob, 1)) == [Refusal.ACCOUNT_FROZEN]
    assert await refusals(ledger, world.pay(bob, alice, 1)) == [Refusal.ACCOUNT_FROZEN]
    assert await refusals(ledger, Post("p", "h1")) == [None]
    assert await refusals(ledger, Void("v", "h2")) == [None]
    await world.write(lambda c: ledger.set_frozen(c, alice.id, True, NOW))  # again changes nothing
    assert not (await world.write(lambda c: ledger.set_frozen(c, alice.id, False, NOW))).frozen
    assert await refusals(ledger, world.pay(alice, bob, 1)) == [None]
    assert (await world.verified()).counts["changed"] == 2


async def test_only_an_empty_account_is_closed(world: World) -> None:
    alice, bob = await world.person("alice", 1000), await world.person("bob")
    ledger = world.ledger

    async def close(account: Account, closed: bool = True) -> Account:
        return await world.write(lambda c: ledger.set_closed(c, account.id, closed, NOW))

    with pytest.raises(AccountRefused) as error:
        await close(alice)
    assert error.value.fields == {"account": alice.id, "reason": "not_empty"}
    await world.done(world.pay(alice, bob, 1000, "h", pending=True))
    with pytest.raises(AccountRefused, match="on its way"):
        await close(bob)
    await world.done(Post("p", "h"))
    assert (await close(alice)).closed
    assert await refusals(ledger, world.pay(bob, alice, 1)) == [Refusal.ACCOUNT_CLOSED]
    assert not (await close(alice, False)).closed
    assert await refusals(ledger, world.pay(bob, alice, 1)) == [None]
    with pytest.raises(AccountRefused) as error:
        await world.write(lambda c: ledger.set_closed(c, "nobody", True, NOW))
    assert error.value.fields["reason"] == "unknown"
    await world.verified()


async def test_limits_hold_from_then_on(world: World) -> None:
    alice, bob = await world.person("alice", 1000), await world.person("bob")
    ledger = world.ledger
    await world.write(lambda c: ledger.set_limits(c, alice.id, -500, None, NOW))
    await world.write(lambda c: ledger.set_limits(c, bob.id, 0, 1200, NOW))
    assert await refusals(ledger, world.pay(alice, bob, 1201)) == [Refusal.EXCEEDS_CEILING]
    assert await refusals(ledger, world.pay(alice, bob, 1100)) == [None]
    with pytest.raises(AccountRefused) as error:
        await world.write(lambda c: ledger.set_limits(c, alice.id, 0, None, NOW))
    assert error.value.fields["reason"] == "below_floor"
    # A ceiling below the balance lets nothing in; what is there may go out.
    await world.write(lambda c: ledger.set_limits(c, bob.id, 0, 100, NOW))
    assert await refusals(ledger, world.pay(alice, bob, 1)) == [Refusal.EXCEEDS_CEILING]
    assert await refusals(ledger, world.pay(bob, alice, 500)) == [None]
    await world.verified()


async def test_a_person_is_forgotten_and_the_ledger_stays_whole(world: World) -> None:
    alice, bob = await world.person("alice", 1000), await world.person("bob")
    await world.ledger.account("@alice:localhost", "JPY")
    await world.done(world.pay(alice, bob, 10))
    ledger = world.ledger
    renamed = await world.write(lambda c: ledger.rename_owner(c, "@alice:localhost", "erased:7f", NOW))
    assert {each.owner for each in renamed} == {"erased:7f"}
    assert len(renamed) == 2
    assert await ledger.accounts("@alice:localhost") == []
    assert [line.counterpart_owner for line in await ledger.statement(bob.id)] == ["erased:7f"]
    await world.verified()

    def everything(connection: Connection) -> str:
        tables = ("ledger_accounts", "ledger_journal", "ledger_pending", "ledger_head")
        return repr([connection.execute(text(f"SELECT * FROM {name}")).all() for name in tables])

    assert "alice" not in await world.databases[0].read(everything)
    taken = lambda c: ledger.rename_owner(c, "@bob:localhost", "erased:7f", NOW)  # noqa: E731
    with pytest.raises(AccountRefused):
        await world.write(taken)
    await world.verified()


# --- expiry


async def test_what_is_over_is_released(world: World) -> None:
    alice, bob = await world.person("alice", 1000), await world.person("bob")
    ledger = world.ledger
    for number in range(5):
        await world.done(world.pay(alice, bob, 10, f"h{number}", pending=True, expires_at=NOW + 10 + number))
    await world.done(world.pay(alice, bob, 10, "stays", pending=True))

    async def expire(now: int, limit: int = 500) -> list[str]:
        return await world.write(lambda connection: ledger.expire(connection, now, limit))

    assert await expire(NOW + 9) == []
    assert await expire(NOW + 12, 2) == ["h0", "h1"]
    assert await refusals(ledger, Post("p0", "h0")) == [Refusal.PENDING_EXPIRED]
    assert await refusals(ledger, Void("v2", "h2")) == [None]
    pairs = [*zip(world.databases, world.ledgers, strict=True)] * 2
    racing = await asyncio.gather(
        *(database.write(lambda c, one=one: one.expire(c, NOW + 99)) for database, one in pairs)  # type: ignore[misc]
    )
    assert sorted(id_ for each in racing for id_ in each) == ["h3", "h4"]
    assert (await world.fresh(alice)).pending_debits == 10
    assert (await world.verified()).pending == 1


# --- looking back


async def test_a_statement_in_pages(world: World) -> None:
    alice, bob = await world.person("alice", 10_000), await world.person("bob")
    ledger = world.ledger
    for number in range(12):
        world.clock.advance(seconds=1)
        kind, memo = "tip" if number % 3 else "payment", b"m%d" % number
        await world.done(Transfer(f"n{number}", alice.id, bob.id, eur(10 + number), kind, f"r{number}", memo=memo))
    await world.done(world.pay(alice, bob, 100, "h", pending=True, memo=b"held", reference="order"))
    await world.done(Post("p", "h", eur(30)))
    lines = await ledger.statement(bob.id)
    assert [line.number for line in lines] == list(range(13, 0, -1))
    newest = lines[0]
    assert (newest.transfer_id, newest.amount, newest.memo, newest.reference) == ("h", eur(30), b"held", "order")
    assert newest.balance == (await world.fresh(bob)).balance
    assert (newest.counterpart, newest.counterpart_owner) == (alice.id, "@alice:localhost")
    assert [(line.memo, line.reference) for line in lines[1:]] == [(b"m%d" % n, f"r{n}") for n in range(11, -1, -1)]
    assert [line.amount.minor for line in await ledger.statement(alice.id, limit=2)] == [-30, -21]

    pages, before = [], None
    while page := await ledger.statement(bob.id, limit=5, before_seq=before):
        pages.append(len(page))
        assert page == lines[sum(pages) - len(page) : sum(pages)]
        before = page[-1].seq
    assert pages == [5, 5, 3]
    assert await ledger.statement(bob.id, before_seq=0) == []
    assert await ledger.statement(bob.id, before_seq=10**9) == lines
    since, until = NOW + 3000, NOW + 6000
    assert [line.number for line in await ledger.statement(bob.id, since=since, until=until)] == [5, 4, 3]
    assert [line.number for line in await ledger.statement(bob.id, kind="payment", limit=3)] == [13, 10, 7]
    both = await ledger.statement(bob.id, since=since, before_seq=lines[8].seq, kind="tip")
    assert [line.number for line in both] == [3]
    with pytest.raises(AccountRefused):
        await ledger.statement("nobody")


async def test_the_balance_at_a_past_time(world: World) -> None:
    alice, bob = await world.person("alice", 1000), await world.person("bob")
    world.clock.advance(seconds=1)
    await world.done(world.pay(alice, bob, 100))
    world.clock.advance(seconds=1)
    await world.done(world.pay(bob, alice, 30), world.pay(bob, alice, 20, "h", pending=True))
    world.clock.advance(seconds=1)
    await world.done(Post("p", "h"))

    async def at(account: Account, ms: int) -> int:
        return (await world.ledger.balance_at(account.id, NOW + ms)).minor

    moments = (-1, 0, 999, 1000, 1999, 2000, 2999, 3000, 10**9)
    assert [await at(bob, ms) for ms in moments] == [0, 0, 0, 100, 100, 70, 70, 50, 50]
    assert [await at(alice, ms) for ms in moments] == [0, 1000, 1000, 900, 900, 930, 930, 950, 950]
    with pytest.raises(AccountRefused):
        await world.ledger.balance_at("nobody", NOW)
    assert await world.databases[0].read(reading.totals) == {"EUR": 0}
    assert await world.databases[0].read(store.count) == 3
    assert (await world.ledger.balance_at((await world.provider()).id, NOW)) == Money(-1000, "EUR")
