"""Buying in the database, on SQLite and PostgreSQL: nothing is sold twice and nothing is charged twice, whoever is
faster and whenever the service dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy import Connection, select

from appservice.database import Database, DatabaseError
from appservice.sealing import SealBroken
from bots.commerce import records
from bots.commerce.addresses import AddressBook, AddressRefused
from bots.commerce.baskets import Baskets
from bots.commerce.cashier import Cashier
from bots.commerce.coupons import Coupons
from bots.commerce.order_book import OrderBook
from bots.commerce.ratings import Ratings
from bots.commerce.trade import Trade
from bots.domain.carts import Cart, CartLine
from bots.domain.catalogue import Choice
from bots.domain.coupons import Coupon, CouponError
from bots.domain.ledger import AccountKind
from bots.domain.merchants import Merchant, MerchantState
from bots.domain.money import Money
from bots.domain.opening import Hours
from bots.domain.orders import Action, Delivery, Fulfilment, Order, OrderLine, OrderState, advance
from bots.domain.places import Place, Point
from bots.domain.stock import HoldState, OutOfStock, StockLevel
from bots.framework import Context, Setup
from bots.framework.i18n.translator import English
from bots.payments.merchants import Merchants
from bots.store import cases as cases_sql
from bots.store import coupons as coupon_sql
from bots.store import orders as sql
from bots.store import stock
from bots.store import wishes as wishes_sql
from bots.store.busy import StockGone, TradeBusy
from bots.store.cases import CaseRow
from bots.store.order_tables import addresses, carts, order_cases, orders, ratings
from bots.store.orders import StepRow
from bots.store.stock import Claim, StockKey
from bots.store.wishes import WishRow
from tests.store.payments_world import ALICE, World, eur

SALAD, BREAD = StockKey("m1", "salad", "one"), StockKey("m1", "bread", "one")
HOME = Place("Linden Street 7", Point(52.5, 13.4))


def order(index: int, **more: Any) -> Order:
    """An order of one salad."""
    at = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    values: dict[str, Any] = {
        "id": f"01ORDER{index:019}",
        "number": f"N{index}",
        "checkout": "c1",
        "merchant": "m1",
        "buyer": ALICE,
        "room_id": "!a:example.org",
        "state": OrderState.PLACED,
        "lines": (OrderLine("salad", "one", "Salad", 1, eur(600)),),
        "delivery": Delivery(Fulfilment.COURIER, eur(250), HOME),
        "placed_at": at,
        "updated_at": at,
        "version": 1,
    }
    return Order(**(values | more))


def row_of(trade: Trade, one: Order) -> tuple[sql.OrderRow, StepRow]:
    row = records.order_row(trade, "shop", one, settled=False)
    return row, StepRow(one.id, one.version, "place", one.state.value, one.buyer, 1)


@pytest.fixture
def trade(database: Database) -> Trade:
    world = World(database)
    return Trade("a pickle key", database, world.raise_events, world.clock)


class Writer:
    """A hand with a commit of its own for each thing that is written."""

    def __init__(self, trade: Trade) -> None:
        self.trade = trade
        self.operations: list[Callable[[Connection], object]] = []

    async def query(self, work: Callable[[Connection], Any]) -> Any:
        return await self.trade.database.read(work)

    def now(self) -> datetime:
        return self.trade.clock.now()

    def now_ms(self) -> int:
        return self.trade.clock.now_ms()

    def store(self, operation: Callable[[Connection], object]) -> None:
        self.operations.append(operation)

    async def commit(self) -> None:
        def work(connection: Connection) -> None:
            for operation in self.operations:
                operation(connection)

        await self.trade.database.write(work)


async def all_at_once(works: Sequence[Awaitable[Any]]) -> list[BaseException | None]:
    """What each came to: None, or TradeBusy. Anything else is raised."""

    async def one(work: Awaitable[Any]) -> BaseException | None:
        try:
            await work
        except TradeBusy as error:
            return error
        return None

    return await asyncio.gather(*(one(work) for work in works))


# Stock


async def test_200_buyers_10_salads(database: Database, trade: Trade) -> None:
    await database.write(lambda c: stock.count(c, SALAD, 10, 1))

    def buying(number: int) -> Callable[[Connection], None]:
        row, step = row_of(trade, order(number, buyer=f"@buyer{number}:example.org"))

        def work(connection: Connection) -> None:
            assert sql.add(connection, row, step)
            stock.hold(connection, {row.id: [Claim(SALAD, 1)]}, 1)

        return work

    done = await all_at_once([database.write(buying(number)) for number in range(200)])
    assert sum(each is None for each in done) == 10
    assert {type(each) for each in done} == {type(None), StockGone}
    levels = await database.read(lambda c: stock.levels(c, [SALAD]))
    assert levels == {SALAD: StockLevel(10, 10)}
    placed = await database.read(lambda c: sql.of_merchant(c, "shop", "m1", ["placed"], 500))
    assert len(placed) == 10, "of the others nothing was kept"
    # Half of them pay; the others do not, and ten more come.
    for row in placed[:5]:
        await database.write(lambda c, row=row: stock.sell(c, row.id, 2))  # type: ignore[misc]
    for row in placed[5:]:
        await database.write(lambda c, row=row: stock.give_back(c, row.id, 2))  # type: ignore[misc]
    done = await all_at_once([database.write(buying(number)) for number in range(200, 220)])
    assert sum(each is None for each in done) == 5
    levels = await database.read(lambda c: stock.levels(c, [SALAD]))
    assert levels == {SALAD: StockLevel(5, 5)}


async def test_orders_of_several_things_do_not_wait_for_each_other(database: Database) -> None:
    for key in (SALAD, BREAD):
        await database.write(lambda c, key=key: stock.count(c, key, 1_000, 1))  # type: ignore[misc]

    def buying(number: int) -> Callable[[Connection], None]:
        both = [Claim(SALAD, 1), Claim(BREAD, 2)]
        return lambda c: stock.hold(c, {f"o{number}": both if number % 2 else both[::-1]}, 1)

    assert await all_at_once([database.write(buying(number)) for number in range(60)]) == [None] * 60
    levels = await database.read(lambda c: stock.levels(c, [SALAD, BREAD]))
    assert levels == {SALAD: StockLevel(1_000, 60), BREAD: StockLevel(1_000, 120)}


async def test_all_of_it_or_nothing(database: Database) -> None:
    await database.write(lambda c: stock.count(c, SALAD, 5, 1))
    await database.write(lambda c: stock.count(c, BREAD, 1, 1))
    with pytest.raises(StockGone) as gone:
        await database.write(lambda c: stock.hold(c, {"o1": [Claim(SALAD, 5), Claim(BREAD, 2)]}, 1))
    assert gone.value.keys == (BREAD.parts,)
    levels = await database.read(lambda c: stock.levels(c, [SALAD, BREAD]))
    assert levels == {SALAD: StockLevel(5, 0), BREAD: StockLevel(1, 0)}
    assert await database.read(lambda c: stock.of_order(c, "o1")) == {}
    # The same thing on two lines is one claim.
    with pytest.raises(StockGone):
        await database.write(lambda c: stock.hold(c, {"o2": [Claim(SALAD, 3), Claim(SALAD, 3)]}, 1))


STEPS: dict[str, Callable[[Connection], None]] = {
    "sell": lambda c: stock.sell(c, "o1", 2),
    "unsell": lambda c: stock.unsell(c, "o1", 2),
    "give_back": lambda c: stock.give_back(c, "o1", 2),
    "spoil": lambda c: stock.spoil(c, "o1", 2),
}


@pytest.mark.parametrize(
    ("path", "count", "held", "state"),
    [
        (["sell"], 7, 0, HoldState.SOLD),
        (["give_back"], 10, 0, HoldState.RELEASED),
        (["sell", "give_back"], 10, 0, HoldState.RESTOCKED),
        (["sell", "unsell"], 10, 3, HoldState.HELD),
        (["sell", "unsell", "sell"], 7, 0, HoldState.SOLD),
        (["sell", "spoil", "give_back"], 7, 0, HoldState.RELEASED),
        (["give_back", "sell"], 10, 0, HoldState.RELEASED),
    ],
)
async def test_each_step_counts_once(
    database: Database, path: list[str], count: int, held: int, state: HoldState
) -> None:
    await database.write(lambda c: stock.count(c, SALAD, 10, 1))
    await database.write(lambda c: stock.hold(c, {"o1": [Claim(SALAD, 3)]}, 1))
    for name in path:
        await asyncio.gather(*(database.write(STEPS[name]) for _time in range(4)))
    levels = await database.read(lambda c: stock.levels(c, [SALAD]))
    assert levels == {SALAD: StockLevel(count, held)}
    assert await database.read(lambda c: stock.of_order(c, "o1")) == {SALAD: (3, state)}


async def test_only_some_of_it_was_there(database: Database) -> None:
    await database.write(lambda c: stock.count(c, SALAD, 10, 1))
    await database.write(lambda c: stock.hold(c, {"o1": [Claim(SALAD, 3), Claim(BREAD, 1)]}, 1))
    await database.write(STEPS["sell"])
    for _time in range(2):
        await database.write(lambda c: stock.lessen(c, "o1", [Claim(SALAD, 1)], 2))
    assert await database.read(lambda c: stock.of_order(c, "o1")) == {SALAD: (1, HoldState.SOLD)}
    await database.write(STEPS["give_back"])
    assert await database.read(lambda c: stock.levels(c, [SALAD])) == {SALAD: StockLevel(8, 0)}


async def test_counting_does_not_break_promises(database: Database) -> None:
    assert await database.read(lambda c: stock.levels(c, [SALAD])) == {}, "without end"
    await database.write(lambda c: stock.hold(c, {"o1": [Claim(SALAD, 3)]}, 1))
    with pytest.raises(OutOfStock):
        await database.write(lambda c: stock.count(c, SALAD, 2, 1))
    await database.write(lambda c: stock.count(c, SALAD, 5, 1))
    assert await database.read(lambda c: stock.levels(c, [SALAD])) == {SALAD: StockLevel(5, 3)}
    with pytest.raises(OutOfStock):
        await database.write(lambda c: stock.count(c, SALAD, 2, 1))
    await database.write(lambda c: stock.count(c, SALAD, 3, 1))
    await database.write(STEPS["sell"])
    assert await database.read(lambda c: stock.levels(c, [SALAD])) == {SALAD: StockLevel(0, 0)}
    await database.write(lambda c: stock.count(c, SALAD, None, 1))
    await database.write(STEPS["give_back"])
    assert await database.read(lambda c: stock.of_product(c, "m1", "salad")) == {}


async def test_a_slot_begins_with_the_first_who_wants_it(database: Database) -> None:
    noon = replace(SALAD, slot="2026-01-01T12:00:00+00:00")

    def buying(number: int) -> Callable[[Connection], None]:
        return lambda c: stock.hold(c, {f"o{number}": [Claim(noon, 1, each_slot=3)]}, 1)

    done = await all_at_once([database.write(buying(number)) for number in range(12)])
    assert sum(each is None for each in done) == 3
    assert await database.read(lambda c: stock.of_product(c, "m1", "salad")) == {("one", noon.slot): StockLevel(3, 3)}
    await database.write(lambda c: stock.drop(c, "m1", "salad", "one"))
    assert await database.read(lambda c: stock.of_products(c, [("m1", "salad")])) == {}


# Orders


async def test_an_order_goes_in_and_comes_out(database: Database, trade: Trade) -> None:
    at = datetime.fromisoformat("2026-01-01T10:00:00+00:00")
    whole = order(
        1,
        lines=(
            OrderLine("pizza", "big", "Pizza, big", 2, eur(950), choices=(Choice("a", "b"),), extras=("Cheese",),
                      person="@bob:example.org", note="hot", slot="s"),
        ),
        was=(OrderLine("pizza", "big", "Pizza, big", 3, eur(950)),),
        delivery=Delivery(Fulfilment.PICKUP, eur(0), None, at, "At the door"),
        discount=eur(100), coupon="TEN", tip=eur(50), gift="For you", note="Second bell", revision=2, payment="p1",
        deadline=at, prepared_at=at, tracking="T1", courier="@carol:example.org", reason="why", split="g1",
    )  # fmt: skip
    row, step = row_of(trade, whole)
    assert await database.write(lambda c: sql.add(c, row, step))
    assert not await database.write(lambda c: sql.add(c, row, step)), "twice is once"
    found = await database.read(lambda c: sql.get(c, "shop", whole.id))
    assert found is not None
    assert records.order_of(trade, found) == whole
    assert await database.read(lambda c: sql.get(c, "food", whole.id)) is None
    lies = await database.read(lambda c: str([tuple(each) for each in c.execute(select(orders))]))
    for secret in ("Pizza", "Cheese", "hot", "For you", "Second bell", "T1", "why", "At the door"):
        assert secret not in lies
    with pytest.raises(SealBroken):
        records.order_of(trade, replace(found, id="another"))


async def test_two_who_change_an_order_at_once(database: Database, trade: Trade) -> None:
    paid = order(1, state=OrderState.PAID)
    row, step = row_of(trade, paid)
    await database.write(lambda c: sql.add(c, row, step))

    def acting(action: Action) -> Callable[[Connection], None]:
        after = advance(paid, action, paid.updated_at, version=2)
        done = StepRow(after.id, 2, action.value, after.state.value, "@carla:example.org", 2)
        changed = records.order_row(trade, "shop", after, settled=False)
        return lambda c: sql.change(c, changed, 1, done, unsettled=True)

    actions = [Action.ACCEPT, Action.REJECT, Action.CANCEL, Action.TIME_OUT] * 3
    done = await all_at_once([database.write(acting(action)) for action in actions])
    assert sum(each is None for each in done) == 1
    steps = await database.read(lambda c: sql.steps(c, paid.id))
    assert [each.version for each in steps] == [1, 2]
    found = await database.read(lambda c: sql.get(c, "shop", paid.id))
    assert found is not None
    assert (found.state, found.version) == (steps[1].state, 2)
    assert steps[1].action == actions[done.index(None)].value


async def test_numbers_are_a_merchants_own(database: Database, trade: Trade) -> None:
    one, other = order(1, number="SAME"), order(2, number="SAME")
    rows = [row_of(trade, each) for each in (one, other)]
    done = await all_at_once([database.write(lambda c, r=r, s=s: sql.add(c, r, s)) for r, s in rows])  # type: ignore[misc]
    assert sum(each is None for each in done) == 1
    row, step = row_of(trade, order(3, number="SAME", merchant="m2"))
    assert await database.write(lambda c: sql.add(c, row, step))
    assert await database.read(lambda c: sql.numbers_taken(c, "m1", ["SAME", "OTHER"])) == {"SAME"}


async def test_what_is_late_is_found(database: Database, trade: Trade) -> None:
    at = order(1).updated_at
    for number, deadline in ((1, at), (2, at + timedelta(hours=1)), (3, None)):
        row, step = row_of(trade, order(number, deadline=deadline, checkout=f"c{number}"))
        await database.write(lambda c, r=row, s=step: sql.add(c, r, s))  # type: ignore[misc]
    now = int(at.timestamp() * 1000)
    for number in (1, 2):
        await database.write(lambda c, n=number: sql.settled(c, order(n).id, 1))  # type: ignore[misc]
    late = await database.read(lambda c: sql.late(c, "shop", now + 60_000, now - 1, 10))
    assert [each.number for each in late] == ["N1"]
    late = await database.read(lambda c: sql.late(c, "shop", now - 1, now + 1, 10))
    assert [each.number for each in late] == ["N3"], "its money is not where it belongs"
    await database.write(lambda c: sql.settled(c, order(3).id, 7))
    assert await database.read(lambda c: sql.late(c, "shop", now - 1, now + 1, 10)), "of another version"
    await database.write(lambda c: sql.unsettled(c, order(1).id))
    assert len(await database.read(lambda c: sql.late(c, "shop", now - 1, now + 1, 10))) == 2


async def test_lists(database: Database, trade: Trade) -> None:
    for number in range(7):
        row, step = row_of(trade, order(number, placed_at=order(0).placed_at + timedelta(minutes=number)))
        await database.write(lambda c, r=row, s=step: sql.add(c, r, s))  # type: ignore[misc]
    book, hand = OrderBook(trade, "shop"), Writer(trade)
    first = await book.of_buyer(hand, ALICE, limit=4)
    rest = await book.of_buyer(hand, ALICE, before=first[-1].id, limit=4)
    assert [each.number for each in (*first, *rest)] == [f"N{number}" for number in range(6, -1, -1)]
    assert [each.number for each in await book.of_merchant(hand, "m1", [OrderState.PLACED], 2)] == ["N0", "N1"]
    assert [each.number for each in await book.of_merchant(hand, "m1", limit=2)] == ["N6", "N5"]
    begin = order(0).placed_at
    some = await book.placed_between(hand, "m1", begin + timedelta(minutes=2), begin + timedelta(minutes=4))
    assert [each.number for each in some] == ["N2", "N3"]
    assert await database.read(lambda c: sql.by_state(c, "shop", ["placed", "paid"])) == {"placed": 7}
    assert await database.read(lambda c: sql.had(c, "m1", ALICE, ["unpaid"])) == 7
    assert await database.read(lambda c: sql.had(c, "m1", ALICE, ["placed"])) == 0


# Carts, coupons, cases, addresses, wishes, ratings


async def test_two_hands_in_one_cart(database: Database, trade: Trade) -> None:
    baskets = Baskets(trade, "shop", cast(Any, None))
    reading = Writer(trade)
    assert await baskets.get(reading, ALICE) == Cart()

    async def adding(key: str, before: Cart) -> None:
        hand = Writer(trade)
        line = CartLine("m1", key, "one", 1, (Choice("a", "b"),), "@bob:example.org", "secret note", eur(5))
        baskets.put(hand, ALICE, before, before.add(line))
        await hand.commit()

    for keys in (["a", "b", "c"], ["d", "e"]):
        before = await baskets.get(reading, ALICE)
        done = await all_at_once([adding(key, before) for key in keys])
        assert sum(each is None for each in done) == 1
    cart = await baskets.get(reading, ALICE)
    assert (len(cart.lines), cart.version) == (2, 2)
    assert cart.lines[0].note == "secret note"
    assert "secret" not in await database.read(lambda c: str([tuple(each) for each in c.execute(select(carts))]))
    cast(Any, trade.clock).advance(days=91)
    hand = Writer(trade)
    baskets.purge(hand)
    await hand.commit()
    assert await baskets.get(reading, ALICE) == Cart()


async def test_a_coupon_is_not_used_more_often_than_it_counts(database: Database, trade: Trade) -> None:
    coupons, hand = Coupons(trade), Writer(trade)
    coupons.put(hand, "m1", Coupon("TEN", percent=10, uses=5))
    await hand.commit()

    def using(number: int, person: str) -> Callable[[Connection], None]:
        return lambda c: coupon_sql.use(c, "m1", "TEN", f"o{number}", person, 1)

    done = await all_at_once([database.write(using(n, "@same:example.org")) for n in range(5)])
    assert sum(each is None for each in done) == 1, "one for each person"
    done = await all_at_once([database.write(using(n, f"@{n}:example.org")) for n in range(10, 40)])
    assert sum(each is None for each in done) == 4, "five in all"
    used = await database.read(lambda c: coupon_sql.get(c, "m1", "TEN"))
    assert used is not None
    assert used.used == 5
    with pytest.raises(CouponError, match=r"coupon\.gone"):
        await coupons.check(hand, "m1", "ten", eur(1000), "@new:example.org")
    for _time in range(3):
        await database.write(lambda c: coupon_sql.give_back(c, "o10"))
        await database.write(lambda c: coupon_sql.give_back(c, "o11"))
        await database.write(lambda c: coupon_sql.give_back(c, "o12"))
    with pytest.raises(CouponError, match=r"coupon\.unknown"):
        await coupons.check(hand, "m2", "ten", eur(1000), "@new:example.org")
    assert await coupons.get(hand, "m1", "?") is None


async def test_one_case_of_a_kind_at_a_time(database: Database, trade: Trade) -> None:
    row, step = row_of(trade, order(1, state=OrderState.DELIVERED))
    await database.write(lambda c: sql.add(c, row, step))

    def opening(number: int) -> Callable[[Connection], None]:
        case = CaseRow(
            f"case{number}", "shop", row.id, "m1", ALICE, "complaint", "open", "EUR", None, 1, 5, 1, 1, 1, b"sealed"
        )
        return lambda c: cases_sql.add(c, case, 1)

    done = await all_at_once([database.write(opening(number)) for number in range(6)])
    assert sum(each is None for each in done) == 1
    (case,) = await database.read(lambda c: cases_sql.of_order(c, row.id))
    closing = [database.write(lambda c: cases_sql.change(c, replace(case, state="settled", amount=5, version=2), 1))
               for _time in range(3)]  # fmt: skip
    done = await all_at_once(closing)
    assert sum(each is None for each in done) == 1
    assert await database.read(lambda c: cases_sql.given_back(c, "m1", 0, 10)) == [(row.id, "EUR", 5, 1)]
    assert [each.id for each in await database.read(lambda c: cases_sql.late(c, "shop", 10, 0, 5))] == [case.id]
    assert await database.read(lambda c: len(c.execute(select(order_cases)).all())) == 1


async def test_addresses(database: Database, trade: Trade) -> None:
    book = AddressBook(trade)

    async def adds(name: str, text: str) -> None:
        hand = Writer(trade)
        await book.add(hand, ALICE, name, Place(text, Point(52.5, 13.4)), hint="ring twice")
        await hand.commit()

    await adds("Home", "Linden Street 7")
    await adds("Work", "Market Square 1")
    reading = Writer(trade)
    with pytest.raises(AddressRefused, match=r"address\.taken"):
        await adds(" HOME ", "elsewhere")
    home, work = await book.list(reading, ALICE)
    assert (home.name, home.usual, work.usual) == ("Home", True, False)
    hand = Writer(trade)
    await book.make_usual(hand, work)
    await hand.commit()
    assert [each.name for each in await book.list(reading, ALICE)] == ["Work", "Home"]
    assert await book.find(reading, ALICE, "2") == await book.find(reading, ALICE, "hOmE")
    home = (await book.list(reading, ALICE))[1]
    with pytest.raises(AddressRefused, match=r"address\.taken"):
        await book.rename(Writer(trade), home, "work")

    hands = [Writer(trade), Writer(trade)]
    for hand, name in zip(hands, ("Flat", "House"), strict=True):
        await book.rename(hand, home, name)
    done = await all_at_once([hand.commit() for hand in hands])
    assert sum(each is None for each in done) == 1
    lies = await database.read(lambda c: str([tuple(each) for each in c.execute(select(addresses))]))
    for secret in ("Home", "Flat", "House", "Linden", "52.5", "ring"):
        assert secret not in lies
    hand = Writer(trade)
    book.drop(hand, work)
    await hand.commit()
    assert len(await book.list(reading, ALICE)) == 1
    assert await book.list(reading, "@bob:example.org") == []


async def test_wishes_go_by_in_pages(database: Database) -> None:
    def wish(person: str, key: str, at: int = 1) -> WishRow:
        return WishRow("shop", person, "m1", key, "one", "!r", "EUR", 500, 1, at)

    for number in range(5):
        await database.write(lambda c, n=number: wishes_sql.put(c, wish(f"@{n % 2}", f"k{n}", n), 10))  # type: ignore[misc]
    seen: list[str] = []
    after: tuple[str, ...] = ()
    while page := await database.read(lambda c, a=after: wishes_sql.page(c, "shop", a, 2)):  # type: ignore[misc]
        seen += [row.product for row in page]
        after = (page[-1].person, page[-1].merchant, page[-1].product, page[-1].variant)
    assert seen == ["k0", "k2", "k4", "k1", "k3"]
    row = wish("@0", "k0", 0)
    told = await asyncio.gather(*(database.write(lambda c: wishes_sql.heard(c, row, "EUR", 400, 1)) for _n in range(3)))
    assert sorted(told) == [False, False, True]
    for number in range(3):
        await database.write(lambda c, n=number: wishes_sql.put(c, wish("@0", f"n{n}", 10 + n), 3))  # type: ignore[misc]
    left = await database.read(lambda c: wishes_sql.of_person(c, "shop", "@0"))
    assert [each.product for each in left] == ["n0", "n1", "n2"], "the oldest have gone"


async def test_ratings_add_up(database: Database, trade: Trade) -> None:
    rating = Ratings(trade)

    async def rates(number: int, stars: int) -> None:
        hand = Writer(trade)
        rating.rate(hand, order(number, buyer=f"@{number}:example.org"), stars, "Secret words", ["mxc://a/b"])
        await hand.commit()

    reading = Writer(trade)
    assert await rating.average(reading, "m1") == (None, 0)
    await asyncio.gather(*(rates(number, 1 + number % 5) for number in range(10)))
    assert await rating.average(reading, "m1") == (3.0, 10)
    await asyncio.gather(*(rates(number, 5) for number in range(10)))
    assert await rating.averages(reading, [("m1", ""), ("m1", "salad"), ("m1", "bread")]) == {
        ("m1", ""): (5.0, 10), ("m1", "salad"): (5.0, 10), ("m1", "bread"): (None, 0),
    }  # fmt: skip
    found = await rating.of_order(reading, order(3).id)
    assert found is not None
    assert (found.text, found.photos, found.stars) == ("Secret words", ("mxc://a/b",), 5)
    assert len(await rating.newest(reading, "m1", 4)) == 4
    assert "Secret" not in await database.read(lambda c: str([tuple(each) for each in c.execute(select(ratings))]))
    with pytest.raises(ValueError, match="5 stars"):
        rating.rate(reading, order(1), 6)


# The money of an order, whenever the service dies


@dataclass
class Caller:
    """What the cashier uses of a handler's context."""

    world: World
    instance: str = "shop"
    consumer: str = "shop:@shop:example.org"

    def now(self) -> datetime:
        return self.world.clock.now()

    def t(self, text: str, /, **values: Any) -> str:
        return English().t(text, **values)


MERCHANT = Merchant(
    "m1", "pizzeria", "shop", "@carla:example.org", "Pizzeria", "EUR", MerchantState.ACTIVE, Hours.always()
)


class Till:
    """The cashier over a world whose service may die: each call is tried until it is through."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tries = 0

    async def bring(self, one: Order, die: str = "") -> Any:
        if die:
            setattr(self.world, f"fail_{die}", 1)
        while True:
            setup = Setup("shop", "@shop:example.org", None, {Merchants: Merchants(self.world.payments)})
            self.tries += 1
            try:
                return await Cashier(setup).bring(cast(Context, Caller(self.world)), one, MERCHANT)
            except DatabaseError:
                self.world.payments = self.world.again()

    async def pay(self, payment_id: str) -> None:
        payment = await self.world.payments.get(payment_id)
        assert payment is not None
        await self.world.pays(payment)


@pytest.mark.parametrize("die", ["", "before", "after"])
async def test_the_money_of_an_order_moves_once(database: Database, die: str) -> None:
    world = World(database)
    await world.give(ALICE, eur(10_000))
    till, one = Till(world), order(1, deadline=world.clock.now() + timedelta(minutes=15))
    asked = await till.bring(one, die)
    assert (await till.bring(one)).payment == asked.payment, "asked for once"
    await till.pay(asked.payment)
    brought = await till.bring(one, die)
    assert brought.action is Action.PAY
    assert await world.available(ALICE) == 10_000 - 850
    accepted = replace(one, state=OrderState.ACCEPTED)
    for _time in range(3):
        assert (await till.bring(accepted, die)).done
    assert await world.balance("bot:shop/pizzeria") == 850
    off = replace(one, state=OrderState.CANCELLED)
    for _time in range(3):
        assert (await till.bring(off, die)).done
    assert await world.available(ALICE) == 10_000
    assert await world.balance("bot:shop/pizzeria") == 0
    assert len(await world.payments.history(ALICE)) == 1
    await world.sound()


@pytest.mark.parametrize("die", ["", "before", "after"])
async def test_an_amended_order_is_paid_anew(database: Database, die: str) -> None:
    world = World(database)
    await world.give(ALICE, eur(1_000))
    till = Till(world)
    one = order(1, deadline=world.clock.now() + timedelta(minutes=15), tip=eur(100))
    asked = await till.bring(one, die)
    await till.pay(asked.payment)
    assert await world.available(ALICE) == 50
    assert (await till.bring(replace(one, state=OrderState.AMENDED), die)).done
    assert await world.available(ALICE) == 50, "held until the buyer agrees"
    again = replace(one, revision=1, tip=None)
    new = await till.bring(again, die)
    assert new.payment != asked.payment
    assert await world.available(ALICE) == 1_000
    await till.pay(new.payment)
    assert (await till.bring(again, die)).action is Action.PAY
    assert (await till.bring(replace(again, state=OrderState.ACCEPTED), die)).done
    assert await world.balance("bot:shop/pizzeria") == 850
    await world.sound()


async def test_ten_settle_the_same_at_once(database: Database) -> None:
    world = World(database)
    await world.give(ALICE, eur(10_000))
    till, one = Till(world), order(1, deadline=world.clock.now() + timedelta(minutes=15))
    asked = await till.bring(one)
    await till.pay(asked.payment)
    accepted, off = replace(one, state=OrderState.ACCEPTED), replace(one, state=OrderState.CANCELLED)
    await asyncio.gather(*(till.bring(accepted) for _time in range(10)))
    assert await world.balance("bot:shop/pizzeria") == 850
    await asyncio.gather(*(till.bring(off) for _time in range(10)))
    assert await world.available(ALICE) == 10_000
    await world.sound()


async def test_parts_that_are_given_back(database: Database) -> None:
    world = World(database)
    await world.give(ALICE, eur(10_000))
    till, one = Till(world), order(1, deadline=world.clock.now() + timedelta(minutes=15))
    asked = await till.bring(one)
    await till.pay(asked.payment)
    accepted = replace(one, state=OrderState.ACCEPTED)
    setup = Setup("shop", "@shop:example.org", None, {Merchants: Merchants(world.payments)})
    cashier, caller = Cashier(setup), cast(Context, Caller(world))
    assert not (await cashier.give(caller, accepted, eur(300), "case1", "cold")).done, "nothing was taken yet"
    await till.bring(accepted)
    for _time in range(2):
        assert (await cashier.give(caller, accepted, eur(300), "case1", "cold")).done
    assert await world.available(ALICE) == 10_000 - 550
    for _time in range(2):  # more than is left: what is left
        assert (await cashier.give(caller, accepted, eur(800), "case2", "bad")).done
    assert await world.available(ALICE) == 10_000
    assert (await till.bring(replace(one, state=OrderState.RETURNED))).done
    account = await world.ledger.account("bot:shop/pizzeria", "EUR", AccountKind.MERCHANT)
    assert account.balance == Money(0, "EUR")
    await world.sound()
