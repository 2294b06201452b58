"""What people bought, as a part of all that is held about them: handed out and erased, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from appservice.clock import ManualClock
from appservice.database import Database
from bots.commerce import records
from bots.commerce.addresses import AddressBook
from bots.commerce.couriers.book import Book
from bots.commerce.ratings import Ratings
from bots.commerce.rights import CommercePart
from bots.commerce.trade import Trade
from bots.domain.carts import Cart, CartLine
from bots.domain.couriers import CourierJob, JobKind, JobState
from bots.domain.merchants import Merchant, MerchantState
from bots.domain.opening import Hours
from bots.domain.orders import Delivery, Fulfilment, Order, OrderLine, OrderState
from bots.domain.places import Place
from bots.store import carts as carts_sql
from bots.store import cases as cases_sql
from bots.store import couriers as couriers_sql
from bots.store import group_orders as groups_sql
from bots.store import merchants as merchants_sql
from bots.store import orders as sql
from bots.store import price_lists as price_lists_sql
from bots.store.cases import CaseRow
from bots.store.couriers import CourierRow
from bots.store.group_orders import GroupRow
from bots.store.orders import StepRow
from bots.store.price_lists import ListedRow
from bots.store.tables import metadata
from tests.store.harness import rows
from tests.store.payments_world import ALICE, BOB, CAROL, World, eur
from tests.store.test_orders import HOME, Writer, order

NAME = "erased:1"
ELSEWHERE = Place("Market Square 1")
"""Where somebody else lives."""


class House:
    """A person with everything that commerce can hold about one."""

    def __init__(self, database: Database) -> None:
        self.database = database
        world = World(database)
        self.trade = Trade("a pickle key", database, world.raise_events, ManualClock())
        self.part = CommercePart(self.trade)
        self.clock = self.trade.clock

    async def write(self, work: Callable[[Connection], object]) -> None:
        await self.database.write(work)

    async def order(self, one: Order) -> None:
        row = records.order_row(self.trade, "food", one, settled=True)
        await self.write(lambda c: sql.add(c, row, StepRow(one.id, 1, "place", one.state.value, one.buyer, 1)))

    async def order_of(self, order_id: str) -> Order:
        row = await self.database.read(lambda c: sql.get(c, "food", order_id))
        assert row is not None
        return records.order_of(self.trade, row)

    async def furnished(self) -> Order:
        """Alice bought, wrote, wished, rated; she eats with Bob, brings for Carol, and had a shop."""
        mine = order(
            1, state=OrderState.CONCLUDED, merchant="m1", gift="Love, Alice", note="Ring at A. Liddell",
            lines=(OrderLine("salad", "one", "Salad", 1, eur(600), note="No nuts, says Alice"),),
        )  # fmt: skip
        await self.order(mine)
        shared = order(
            2, buyer=BOB, state=OrderState.CONCLUDED, split="g1",
            delivery=Delivery(Fulfilment.COURIER, eur(250), ELSEWHERE),
            lines=(OrderLine("salad", "one", "Salad", 1, eur(600), person=ALICE, note="for Alice"),
                   OrderLine("bread", "one", "Bread", 1, eur(100), person=BOB, note="for Bob")),
        )  # fmt: skip
        await self.order(shared)
        case = CaseRow(
            "k1", "food", mine.id, "m1", ALICE, "complaint", "settled", "EUR", 100, 1, None, 1, 1, 1,
            self.trade.seal("order_cases", "k1", {"text": "Alice is ill", "lines": [[1, 1]], "photos": ["mxc://a/b"],
                                                  "answer": "Dear Alice"}),
        )  # fmt: skip
        await self.write(lambda c: cases_sql.add(c, case, 1))
        hand = Writer(self.trade)
        await AddressBook(self.trade).add(hand, ALICE, "Home", HOME)
        Ratings(self.trade).rate(hand, mine, 4, "Alice liked it")
        await hand.commit()
        line = CartLine("m1", "salad", "one", 1)
        own = records.cart_row(self.trade, "food", ALICE, Cart((line,), 1), 1)
        both = Cart((replace(line, person=ALICE, note="Alice"), replace(line, person=BOB, note="Bob")), 3)
        group = records.cart_row(self.trade, "food", "group:!r", both, 1)
        await self.write(lambda c: carts_sql.put(c, "food", ALICE, 0, own))
        await self.write(lambda c: carts_sql.put(c, "food", "group:!r", 0, group))
        body = '{"done": ["' + ALICE + '"], "host": "' + BOB + '"}'
        together = GroupRow("g1", "food", "!r", None, "m1", BOB, "ordered", shared.id, None, body, 1, 1)
        await self.write(lambda c: groups_sql.add(c, together))
        await self._trips(mine)
        await self.write(lambda c: price_lists_sql.put(c, ListedRow("m1", ALICE, "staff", 1)))
        shop = Merchant("m9", "alices", "food", ALICE, "Shop", "EUR", MerchantState.CLOSED, Hours.always())
        await self.write(lambda c: merchants_sql.apply(c, shop, 1))
        return mine

    async def _trips(self, mine: Order) -> None:
        book, at = Book(self.trade, "food"), self.clock.now()
        for job_id, order_id, courier in (("j1", mine.id, CAROL), ("j2", "other", ALICE)):
            job = CourierJob(
                job_id, order_id, "N1", "m1", "Shop", "shop", JobKind.DELIVERY, JobState.DONE, Place("Shop"),
                HOME if courier == CAROL else ELSEWHERE, "Alice" if courier == CAROL else "Dave", eur(250), at, at,
                courier=courier, note="Ring at Liddell" if courier == CAROL else "Ring at Dave", pickup_code="1234",
                pin="5678",
            )  # fmt: skip
            await self.write(lambda c, job=job: couriers_sql.add(c, book.job_row(job)))  # type: ignore[misc]
        looking = CourierJob(
            "j9", "another", "N2", "m1", "Shop", "shop", JobKind.DELIVERY, JobState.SEARCHING, Place("Shop"), ELSEWHERE,
            "Dave", eur(250), at, at, asked=(ALICE, CAROL), never=(BOB,),
        )  # fmt: skip
        await self.write(lambda c: couriers_sql.add(c, book.job_row(looking)))
        sealed = self.trade.seal("couriers", f"food {ALICE}", {"name": "Alice", "vehicle": "bike"})
        await self.write(lambda c: couriers_sql.apply(c, CourierRow("food", ALICE, "offline", "!a", "", 1, 1, sealed)))

    async def opened(self) -> str:
        """All that lies in the database, with what is sealed opened."""
        found = [repr(await rows(self.database, table)) for table in metadata.sorted_tables]
        for number in (1, 2):
            found.append(repr(await self.order_of(order(number).id)))
        for row in await rows(self.database, metadata.tables["order_cases"]):
            found.append(repr(self.trade.open("order_cases", row["id"], bytes(row["sealed"]))))
        for row in await rows(self.database, metadata.tables["carts"]):
            found.append(repr(self.trade.open("carts", f"{row['bot']}:{row['owner']}", bytes(row["sealed"]))))
        for row in await rows(self.database, metadata.tables["courier_jobs"]):
            found.append(repr(self.trade.open("courier_jobs", row["id"], bytes(row["sealed"]))))
        return "\n".join(found)


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


async def test_all_of_it_is_handed_out(house: House) -> None:
    await house.furnished()
    found: dict[str, Any] = dict(
        await house.database.read(lambda connection: list(house.part.export(connection, ALICE)))
    )
    (bought,) = found["commerce/orders.json"]
    assert bought["held"]["gift"] == "Love, Alice"
    assert bought["held"]["place"][0] == HOME.text
    assert found["commerce/cases.json"][0]["held"]["text"] == "Alice is ill"
    assert found["commerce/addresses.json"][0]["held"]["name"] == "Home"
    assert found["commerce/carts.json"][0]["held"]["lines"][0]["product"] == "salad"
    assert [row["held"].get("text", "") for row in found["commerce/ratings.json"]] == ["Alice liked it", ""]
    assert found["commerce/courier.json"][0]["held"] == {"name": "Alice", "vehicle": "bike"}
    assert found["commerce/merchants.json"][0]["merchant"]["name"] == "Shop"
    assert found["commerce/staff.json"][0]["role"] == "owner"
    assert [row["name"] for row in found["commerce/price_lists.json"]] == ["staff"]
    (trip,) = found["commerce/trips.json"]
    assert "sealed" not in trip, "where they went is somebody else's address"
    assert not any(bytes in {type(v) for v in row.values()} for rows_ in found.values() for row in rows_)
    nobody = dict(await house.database.read(lambda c: list(house.part.export(c, "@nobody:example.org"))))
    assert not any(nobody.values())


async def test_nothing_of_them_is_left(house: House) -> None:
    mine = await house.furnished()
    assert "Liddell" in await house.opened()
    for _time in range(2):  # it is looked again for what comes late
        await house.database.write(lambda connection: house.part.erase(connection, ALICE, NAME))
    left = await house.opened()
    for secret in (ALICE, "Alice", "Liddell", "Linden", "52.5", "No nuts", "mxc://a/b", "Home"):
        assert secret not in left, secret
    bought = await house.order_of(mine.id)
    assert (bought.buyer, bought.room_id, bought.total) == (NAME, "", mine.total), "the merchant's books stay"
    shared = await house.order_of(order(2).id)
    assert [line.person for line in shared.lines] == [NAME, BOB]
    assert shared.lines[1].note == "for Bob", "what others wrote is theirs"
    assert shared.delivery.place == ELSEWHERE
    reading = Writer(house.trade)
    assert await Ratings(house.trade).average(reading, "m1") == (4.0, 1), "stars count on"
    rating = await Ratings(house.trade).of_order(reading, mine.id)
    assert rating is not None
    assert (rating.text, rating.person) == ("", NAME)
    row = await house.database.read(lambda c: couriers_sql.job(c, "food", "j9"))
    assert row is not None
    looking = Book(house.trade, "food").job(row)
    assert (looking.asked, looking.never) == ((CAROL,), (BOB,)), "who else was asked is not asked again"
    carts = await rows(house.database, metadata.tables["carts"])
    assert [row["owner"] for row in carts] == ["group:!r"]
    assert carts[0]["version"] == 4, "who has seen the cart of before is told so"


async def test_who_has_something_under_way_waits(house: House) -> None:
    async def obstacles(person: str) -> list[str]:
        found = await house.database.read(lambda connection: house.part.blocked(connection, person))
        return [each.code for each in found]

    await house.furnished()
    assert await obstacles(ALICE) == []
    await house.order(order(3, state=OrderState.PAID))
    await house.order(order(4, state=OrderState.DELIVERED))
    shop = Merchant("m8", "more", "food", ALICE, "More", "EUR", MerchantState.PAUSED, Hours.always())
    await house.write(lambda c: merchants_sql.apply(c, shop, 1))
    at = house.clock.now()
    job = CourierJob(
        "j3", "other", "N1", "m1", "Shop", "shop", JobKind.DELIVERY, JobState.TAKEN, Place("Shop"), HOME, "Dave",
        eur(250), at, at + timedelta(minutes=1), courier=ALICE, pickup_code="1234", pin="5678",
    )  # fmt: skip
    row = Book(house.trade, "food").job_row(job)
    await house.write(lambda c: couriers_sql.add(c, row))
    assert await obstacles(ALICE) == ["rights.open_orders", "rights.merchant", "rights.open_trips"]
    assert await obstacles(BOB) == []


async def test_with_another_key_it_is_erased_all_the_same(house: House) -> None:
    mine = await house.furnished()
    other = CommercePart(Trade("another key", house.database, house.trade.raise_events, house.clock))
    found = dict(await house.database.read(lambda c: list(other.export(c, ALICE))))
    assert "pickle_key" in found["commerce/orders.json"][0]["held"]
    await house.database.write(lambda connection: other.erase(connection, ALICE, NAME))
    row = await house.database.read(lambda c: sql.get(c, "food", mine.id))
    assert row is not None
    assert (row.buyer, row.sealed) == (NAME, b"")
