"""Commerce as a part of all that is held about a person (:mod:`bridge.rights`): handed out and erased with the rest.

Orders stay, for the merchants' books: who bought, where to and what they wrote goes out of them. Stars stay and count;
their words and photos go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from appservice import json
from appservice.sealing import SealBroken
from bots.commerce import records
from bots.commerce.trade import Trade
from bots.domain import couriers as trips
from bots.domain.merchants import MerchantState
from bots.domain.orders import ENDED, Order, OrderLine, OrderState
from bots.domain.places import Place
from bots.domain.rights import Obstacle
from bots.store import commerce_rights as store
from bots.store import merchants as merchants_sql
from bots.store.couriers import JobRow
from bots.store.orders import OrderRow
from bridge.domain import rights as bridge_rights

__all__ = ["CommercePart"]

OPEN_ORDERS: Final = frozenset(each.value for each in OrderState if each not in {*ENDED, OrderState.DELIVERED})
SELLING: Final = frozenset(
    each.value for each in MerchantState if each not in {MerchantState.CLOSED, MerchantState.REJECTED}
)
OPEN_TRIPS: Final = frozenset(each.value for each in trips.JobState if each not in trips.ENDED)
UNREADABLE: Final = "(does not open: was encryption.pickle_key changed?)"
NOBODY: Final = "–"
PLAIN: Final = ("steps", "coupons", "wishes", "price_lists", "staff", "group_orders")
"""Tables of which nothing lies sealed."""


class CommercePart:
    """The part."""

    name = "commerce"

    def __init__(self, trade: Trade) -> None:
        self._trade = trade

    # A copy

    def export(self, connection: Connection, person: str) -> Iterator[tuple[str, Any]]:
        """All of it, opened. Times in ms."""
        for name in PLAIN:
            yield f"commerce/{name}.json", store.PEOPLE.rows_of(connection, name, person)
        yield (
            "commerce/orders.json",
            [
                self._opened(row, records.ORDERS, row["id"]) if row["buyer"] == person else _outside(row)
                for row in store.PEOPLE.rows_of(connection, "orders", person)
            ],
        )
        yield (
            "commerce/cases.json",
            [self._opened(row, "order_cases", row["id"]) for row in store.PEOPLE.rows_of(connection, "cases", person)],
        )
        yield (
            "commerce/addresses.json",
            [
                self._opened(row, "addresses", row["id"])
                for row in store.PEOPLE.rows_of(connection, "addresses", person)
            ],
        )
        yield (
            "commerce/carts.json",
            [
                self._opened(row, records.CARTS, f"{row['bot']}:{row['owner']}")
                for row in store.PEOPLE.rows_of(connection, "carts", person)
            ],
        )
        yield (
            "commerce/ratings.json",
            [
                self._opened(row, "ratings", f"{row['order_id']}:{row['product']}")
                for row in store.PEOPLE.rows_of(connection, "ratings", person)
            ],
        )
        yield (
            "commerce/courier.json",
            [
                self._opened(row, "couriers", f"{row['bot']} {row['person']}")
                for row in store.PEOPLE.rows_of(connection, "couriers", person)
            ],
        )
        # Where the courier went is other people's address.
        yield "commerce/trips.json", [_outside(row) for row in store.PEOPLE.rows_of(connection, "trips", person)]
        yield (
            "commerce/merchants.json",
            [
                {**_outside(row, "document"), "merchant": json.loads(bytes(row["document"]))}
                for row in store.PEOPLE.rows_of(connection, "merchants", person)
            ],
        )

    def _opened(self, row: Mapping[str, Any], kind: str, place: str) -> dict[str, Any]:
        return {**_outside(row), "held": self._held(bytes(row["sealed"]), kind, place)}

    def _held(self, sealed: bytes, kind: str, place: str) -> Any:
        try:
            return self._trade.open(kind, place, sealed) if sealed else {}
        except SealBroken:
            return UNREADABLE

    # To be forgotten

    def blocked(self, connection: Connection, person: str) -> Sequence[bridge_rights.Obstacle]:
        """Orders under way, merchants that sell, trips as a courier."""
        counts = {
            "rights.open_orders": store.count_open(connection, "orders", person, OPEN_ORDERS, "buyer"),
            "rights.merchant": store.count_open(connection, "merchants", person, SELLING),
            "rights.open_trips": store.count_open(connection, "trips", person, OPEN_TRIPS),
        }
        found = [Obstacle.of(code, count=count) for code, count in counts.items() if count]
        return [bridge_rights.Obstacle(each.code, each.human) for each in found]

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """What is theirs alone goes; what others need stays without them."""
        self._orders(connection, person, pseudonym)
        self._groups(connection, person, pseudonym)
        self._cases_and_ratings(connection, person)
        self._trips(connection, person, pseudonym)
        for row in store.PEOPLE.rows_of(connection, "merchants", person):
            merchant = merchants_sql.get(connection, row["bot"], row["id"])
            if merchant is not None:
                merchants_sql.change(connection, merchant, replace(merchant, owner=pseudonym), row["updated_at"])
        for name in ("addresses", "carts", "wishes", "price_lists", "staff", "couriers", "pages"):
            store.PEOPLE.forget(connection, name, person)
        for name in ("orders", "steps", "cases", "coupons", "ratings", "trips", "group_orders"):
            store.PEOPLE.rename(connection, name, person, pseudonym)

    def _orders(self, connection: Connection, person: str, pseudonym: str) -> None:
        """What they wrote, where they live and who ate what goes out of their orders, and out of the trips of these."""
        mine = [row for row in store.PEOPLE.rows_of(connection, "orders", person) if row["buyer"] == person]
        for row in mine:
            sealed = self._without(row, lambda order: _nobodys(_unnamed(order, person, pseudonym)))
            store.PEOPLE.write(connection, "orders", {**row, "sealed": sealed, "room_id": ""})
        for row in store.jobs_of_orders(connection, [row["id"] for row in mine]):
            self._trip(connection, row, dropoff=Place(NOBODY), buyer=NOBODY, note="", failure="", never=())

    def _without(self, row: Mapping[str, Any], change: Callable[[Order], Order]) -> bytes:
        """What lies sealed in an order's row after a change; nothing where it does not open: nobody reads it then."""
        try:
            order = change(records.order_of(self._trade, OrderRow(**{**row, "sealed": bytes(row["sealed"])})))
        except SealBroken:
            return b""
        return records.order_row(self._trade, row["bot"], order, settled=True).sealed

    def _groups(self, connection: Connection, person: str, pseudonym: str) -> None:
        """Their name goes out of the orders of groups, and their lines out of carts that were not ordered."""
        groups = store.groups_of(connection, person)
        for row in groups:
            body = row["body"].replace(_quoted(person), _quoted(pseudonym))
            store.PEOPLE.write(connection, "group_orders", {**row, "body": body})
        for row in store.orders_of_groups(connection, [row["order_id"] for row in groups if row["order_id"]]):
            sealed = self._without(row, lambda order: _unnamed(order, person, pseudonym))
            store.PEOPLE.write(connection, "orders", {**row, "sealed": sealed})
        for row in store.group_carts(connection):
            place = f"{row['bot']}:{row['owner']}"
            held = self._held(bytes(row["sealed"]), records.CARTS, place)
            lines = held["lines"] if isinstance(held, dict) and held else []
            left = [line for line in lines if line["person"] != person]
            if left != lines:
                sealed = self._trade.seal(records.CARTS, place, {"lines": left})
                store.PEOPLE.write(connection, "carts", {**row, "sealed": sealed, "version": row["version"] + 1})

    def _cases_and_ratings(self, connection: Connection, person: str) -> None:
        for row in store.PEOPLE.rows_of(connection, "cases", person):
            held = self._held(bytes(row["sealed"]), "order_cases", row["id"])
            lines = held.get("lines", []) if isinstance(held, dict) else []
            left = {"text": NOBODY, "lines": lines, "photos": [], "answer": ""}
            sealed = self._trade.seal("order_cases", row["id"], left)
            store.PEOPLE.write(connection, "cases", {**row, "sealed": sealed})
        for row in store.PEOPLE.rows_of(connection, "ratings", person):
            store.PEOPLE.write(connection, "ratings", {**row, "sealed": b""})

    def _trips(self, connection: Connection, person: str, pseudonym: str) -> None:
        """Trips of theirs as a courier stay for the books of who paid them. Who was asked to bring one is known until
        it is picked up: their name goes out of those that look for somebody else."""
        for row in store.PEOPLE.rows_of(connection, "trips", person):
            self._trip(connection, row, courier=pseudonym, asked=(), failure="")
        for row in store.open_jobs(connection, [state.value for state in trips.BEFORE_PICKUP]):
            held = self._held(bytes(row["sealed"]), "courier_jobs", row["id"])
            asked = held.get("asked", []) if isinstance(held, dict) else []
            if person in asked:
                self._trip(connection, row, asked=tuple(each for each in asked if each != person))

    def _trip(self, connection: Connection, row: Mapping[str, Any], **changes: Any) -> None:
        # Only where there are trips: this part is there at every start.
        from bots.commerce.couriers.book import Book

        book = Book(self._trade, row["bot"])
        try:
            job = book.job(JobRow(**{**row, "owed": bool(row["owed"]), "sealed": bytes(row["sealed"])}))
            sealed = book.job_row(replace(job, **changes)).sealed
        except SealBroken:
            sealed = b""
        # Who looks for a courier just now has read the trip as it was: they are run again.
        store.PEOPLE.write(connection, "trips", {**row, "sealed": sealed, "revision": row["revision"] + 1})


def _outside(row: Mapping[str, Any], *also: str) -> dict[str, Any]:
    """What lies in clear."""
    return {name: value for name, value in row.items() if name != "sealed" and name not in also}


def _quoted(text: str) -> str:
    return json.dumps(text).decode()


def _unnamed(order: Order, person: str, pseudonym: str) -> Order:
    """The order with a pseudonym for one of those who eat together, and without what they wrote."""

    def renamed(lines: tuple[OrderLine, ...]) -> tuple[OrderLine, ...]:
        return tuple(replace(line, person=pseudonym, note="") if line.person == person else line for line in lines)

    return replace(order, lines=renamed(order.lines), was=renamed(order.was))


def _nobodys(order: Order) -> Order:
    """The order without where it went and what its buyer wrote."""
    lines = tuple(replace(line, note="") if not line.person else line for line in order.lines)
    was = tuple(replace(line, note="") if not line.person else line for line in order.was)
    delivery = replace(order.delivery, place=None)
    return replace(order, lines=lines, was=was, delivery=delivery, gift="", note="", tracking="", reason="")
