"""Couriers, trips and group orders in the database, on SQLite and PostgreSQL: of two who are at it, one is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, select

from appservice.clock import ManualClock
from appservice.database import Database
from appservice.sealing import SealBroken
from bots.commerce.couriers.book import Book
from bots.commerce.trade import Trade
from bots.domain.couriers import Courier, CourierJob, CourierState, JobAction, JobKind, JobState, Proof, advance
from bots.domain.group_orders import GroupOrder, GroupState, Share, ShareState
from bots.domain.money import Money
from bots.domain.places import Place, Point
from bots.food.groups.book import GroupBook, Stored
from bots.store import couriers as sql
from bots.store import group_orders as group_sql
from bots.store import stock as stock_sql
from bots.store.busy import TradeBusy
from bots.store.courier_tables import courier_jobs, couriers, group_orders
from bots.store.stock import Claim, StockKey

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def no_events(_work: object) -> None:
    """Nobody hears."""


def book(database: Database, key: str = "a pickle key") -> Book:
    return Book(Trade(key, database, no_events, ManualClock()), "food")


def job(job_id: str = "t1", **more: Any) -> CourierJob:
    values: dict[str, Any] = {
        "id": job_id,
        "order": "o1",
        "number": "7KD2F",
        "merchant": "m",
        "seller": "Roma",
        "account": "roma",
        "kind": JobKind.DELIVERY,
        "state": JobState.SEARCHING,
        "pickup": Place("Market Square 1", Point(52.52, 13.405)),
        "dropoff": Place("Linden Street 7"),
        "buyer": "Alice B.",
        "fee": Money(300, "EUR"),
        "tip": Money(100, "EUR"),
        "opened_at": NOW,
        "updated_at": NOW,
        "ready_at": NOW + timedelta(minutes=20),
        "asked": ("@eve:world",),
        "never": ("@alice:world",),
        "note": "ring twice",
        "pickup_code": "1357",
        "pin": "2468",
    }
    return CourierJob(**(values | more))


def courier(name: str, asked: int = 0, **more: Any) -> Courier:
    at = NOW + timedelta(minutes=asked)
    made = Courier(f"@{name}:world", name.capitalize(), "red bicycle", f"!{name}:world", CourierState.ONLINE, NOW, at)
    return replace(made, **more)


async def all_at_once(database: Database, works: Sequence[Callable[[Connection], Any]]) -> list[object]:
    return list(await asyncio.gather(*(database.write(work) for work in works), return_exceptions=True))


async def test_what_goes_in_comes_out(database: Database) -> None:
    kept, whole = book(database), job(state=JobState.DONE, courier="@dan:world", proof=Proof.PHOTO, tries=3, offers=2)
    row = kept.job_row(whole)
    assert row.owed
    assert await database.write(lambda c: sql.add(c, row))
    assert not await database.write(lambda c: sql.add(c, replace(row, courier="@eve:world")))
    found = await database.read(lambda c: sql.job(c, "food", "t1"))
    assert found == row
    assert found is not None
    assert kept.job(found) == whole
    assert await database.read(lambda c: sql.job(c, "shop", "t1")) is None
    later = kept.job_row(job("t2", opened_at=NOW + timedelta(minutes=1)))
    await database.write(lambda c: sql.add(c, later))
    assert [each.id for each in await database.read(lambda c: sql.of_order(c, "food", "o1"))] == ["t2", "t1"]
    assert [each.id for each in await database.read(lambda c: sql.owed(c, "food", row.updated_at + 1, 9))] == ["t1"]
    mine = await database.read(lambda c: sql.of_courier(c, "food", "@dan:world", ["done"], 9))
    assert [each.id for each in mine] == ["t1"]
    paid = kept.job_row(replace(whole, paid=True))
    await database.write(lambda c: sql.change(c, row, paid))
    assert await database.read(lambda c: sql.owed(c, "food", row.updated_at + 1, 9)) == []


async def test_what_is_private_is_not_readable(database: Database) -> None:
    kept = book(database)
    rows = kept.job_row(job()), kept.courier_row(courier("dan"))
    await database.write(lambda c: sql.add(c, rows[0]))
    await database.write(lambda c: sql.apply(c, rows[1]))

    def everything(connection: Connection) -> str:
        return "\n".join(
            str(tuple(each)) for table in (courier_jobs, couriers) for each in connection.execute(select(table))
        )

    lies = await database.read(everything)
    for secret in ("Linden", "Market", "1357", "2468", "ring twice", "red bicycle", "Roma", "Alice B."):
        assert secret not in lies
    with pytest.raises(SealBroken):
        kept.job(replace(rows[0], id="t9"))
    with pytest.raises(SealBroken):
        book(database, "another key").courier(rows[1])


async def test_who_waits_longest_comes_first(database: Database) -> None:
    kept = book(database)
    for each in (courier("dan", 5), courier("eve", 1), courier("frank", 3, job="t9"),
                 courier("gina", 0, state=CourierState.OFFLINE)):  # fmt: skip
        row = kept.courier_row(each)
        await database.write(lambda c, row=row: sql.apply(c, row))  # type: ignore[misc]
    found = await database.read(lambda c: sql.waiting(c, "food", "online", 9))
    assert [each.person for each in found] == ["@eve:world", "@dan:world"]
    listed = await database.read(lambda c: sql.couriers_in(c, "food", ["online", "offline"], 2, "@dan:world"))
    assert [each.person for each in listed] == ["@eve:world", "@frank:world"]
    with pytest.raises(TradeBusy):
        await database.write(lambda c: sql.apply(c, kept.courier_row(courier("dan"))))


async def test_of_many_who_accept_one_has_it(database: Database) -> None:
    kept, offered = book(database), job(state=JobState.OFFERED, courier="@dan:world")
    before = kept.job_row(offered)
    await database.write(lambda c: sql.add(c, before))
    people = [f"@c{number}:world" for number in range(20)]

    def accepts(person: str) -> Callable[[Connection], None]:
        after = kept.job_row(replace(advance(offered, JobAction.ACCEPT, NOW), courier=person))
        return lambda connection: sql.change(connection, before, after)

    results = await all_at_once(database, [accepts(person) for person in people])
    assert sum(result is None for result in results) == 1
    assert all(result is None or isinstance(result, TradeBusy) for result in results)
    found = await database.read(lambda c: sql.job(c, "food", "t1"))
    assert found is not None
    assert found.courier == people[results.index(None)]
    assert (found.state, found.revision) == ("taken", 1)


async def test_one_courier_takes_one_of_two_trips(database: Database) -> None:
    """Both commits take the courier as they were read: one of them comes too late."""
    kept, dan = book(database), courier("dan")
    await database.write(lambda c: sql.apply(c, kept.courier_row(dan)))
    trips = [job(f"t{number}", state=JobState.OFFERED, courier=dan.person) for number in range(2)]
    for each in trips:
        row = kept.job_row(each)
        await database.write(lambda c, row=row: sql.add(c, row))  # type: ignore[misc]

    def accepts(trip: CourierJob) -> Callable[[Connection], None]:
        rows = kept.job_row(trip), kept.job_row(advance(trip, JobAction.ACCEPT, NOW))
        people = kept.courier_row(dan), kept.courier_row(replace(dan, job=trip.id))

        def work(connection: Connection) -> None:
            sql.change(connection, *rows)
            sql.change_courier(connection, *people)

        return work

    results = await all_at_once(database, [accepts(each) for each in trips])
    assert sorted(result is None for result in results) == [False, True]
    states = [each.state for each in await database.read(lambda c: sql.of_order(c, "food", "o1"))]
    assert sorted(states) == ["offered", "taken"], "what failed has changed nothing"


class Hand:
    """Collects what is to be written."""

    def __init__(self, database: Database) -> None:
        self.query = database.read
        self.works: list[Callable[[Connection], object]] = []

    def now(self) -> datetime:
        return NOW

    def now_ms(self) -> int:
        return int(NOW.timestamp() * 1000)

    def store(self, operation: Callable[[Connection], object]) -> None:
        self.works.append(operation)

    def commit(self, connection: Connection) -> None:
        for work in self.works:
            work(connection)


def group(group_id: str = "g1", **more: Any) -> GroupOrder:
    share = Share(1, "@bob:world", "@bob:world", Money(900, "EUR"), Money(125, "EUR"), Money(0, "EUR"),
                  ShareState.HELD, 0, "p1")  # fmt: skip
    values: dict[str, Any] = {"done": ("@bob:world",), "shares": (share,), "deadline": NOW + timedelta(minutes=9)}
    return GroupOrder(group_id, "!room:world", "m", "@alice:world", GroupState.OPEN, NOW, NOW, **(values | more))


async def adds(database: Database, made: GroupOrder) -> None:
    hand = Hand(database)
    GroupBook("food").add(hand, made)
    await database.write(hand.commit)


async def read(database: Database, group_id: str = "g1") -> Stored:
    found = await GroupBook("food").get(Hand(database), group_id)
    assert found is not None
    return found


async def test_a_room_has_one_group_order(database: Database) -> None:
    await adds(database, group())
    assert (await read(database)).group == group()
    with pytest.raises(TradeBusy):
        await adds(database, group("g2"))
    stored = await read(database)
    over = Hand(database)
    GroupBook("food").write(over, stored, replace(stored.group, state=GroupState.ORDERED, order="o1"))
    await database.write(over.commit)
    await adds(database, group("g2"))
    assert (await GroupBook("food").of_room(Hand(database), "!room:world") or stored).group.id == "g2"
    assert (await GroupBook("food").of_order(Hand(database), "o1") or stored).group.id == "g1"
    lies = await database.read(lambda c: c.execute(select(group_orders.c.active)).scalars().all())
    assert sorted(each or "" for each in lies) == ["", "!room:world"]


async def test_an_end_and_a_change_at_once(database: Database) -> None:
    """What is added counts before the order is closed, or not at all."""
    await adds(database, group())
    stored = await read(database)
    closing = Hand(database)
    GroupBook("food").write(closing, stored, replace(stored.group, state=GroupState.CLOSED))
    adding = [Hand(database) for _ in range(5)]
    for hand in adding:
        GroupBook("food").require(hand, stored.group)
    results = await all_at_once(database, [*(hand.commit for hand in adding), closing.commit])
    assert results[-1] is None
    with pytest.raises(TradeBusy):
        await database.write(adding[0].commit)
    with pytest.raises(TradeBusy):
        await database.write(closing.commit)


async def test_what_is_left_out_is_free_again(database: Database) -> None:
    keys = [StockKey("m", "salad", "one", ""), StockKey("m", "soup", "one", "")]
    for key in keys:
        await database.write(lambda c, key=key: stock_sql.count(c, key, 10, 1))  # type: ignore[misc]
    claims = [Claim(keys[0], 4), Claim(keys[1], 2)]
    await database.write(lambda c: stock_sql.hold(c, {"o1": claims}, 1))
    left = {("m", "salad", "one", ""): 1}
    for _ in range(2):  # twice is as once
        await database.write(lambda c: group_sql.promise_less(c, "o1", left, 2))
        levels = await database.read(lambda c: stock_sql.levels(c, keys))
        assert [(levels[key].count, levels[key].held) for key in keys] == [(10, 1), (10, 0)]
    await database.write(lambda c: stock_sql.sell(c, "o1", 3))
    await database.write(lambda c: group_sql.promise_less(c, "o1", {}, 4))
    levels = await database.read(lambda c: stock_sql.levels(c, keys))
    assert [(levels[key].count, levels[key].held) for key in keys] == [(9, 0), (10, 0)], "what is sold stays so"
