"""Fleets as a part of all that is held about a person (:mod:`bridge.rights`): handed out and erased with the rest.

Trips stay, for the books of who drove and who was paid: where from and to, who rode and what they wrote goes out of
them. Stars stay and count; their words go. Who drove is a pseudonym afterwards, and nothing else of them stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from appservice.sealing import SealBroken
from bots.commerce.trade import Trade
from bots.domain.places import Place, Point
from bots.domain.rights import Obstacle
from bots.domain.trips import ENDED, Trip, TripState
from bots.fleet import book, cases, drivers
from bots.store import fleet_rights as store
from bots.store.trips import TripRow
from bridge.domain import rights as bridge_rights

__all__ = ["FleetPart"]

OVER: Final = frozenset(each.value for each in ENDED)
GOING: Final = frozenset(each.value for each in TripState if each not in ENDED)
"""Of what has ended nobody knows any more who was not to be asked for it."""
UNREADABLE: Final = "(does not open: was encryption.pickle_key changed?)"
NOBODY: Final = "–"
NOWHERE: Final = (Place(NOBODY, Point(0, 0)), Place(NOBODY, Point(0, 1)))
"""A trip goes from a place to another one."""


class FleetPart:
    """The part."""

    name = "fleet"

    def __init__(self, trade: Trade) -> None:
        self._trade = trade

    # A copy

    def export(self, connection: Connection, person: str) -> Iterator[tuple[str, Any]]:
        """All of it, opened. Times in ms."""
        for name in ("steps", "offers", "surges"):
            yield f"fleet/{name}.json", store.PEOPLE.rows_of(connection, name, person)
        yield "fleet/apps.json", [_outside(row, "digest") for row in store.PEOPLE.rows_of(connection, "apps", person)]
        yield (
            "fleet/trips.json",
            # Where a driver went is other people's address.
            [
                self._opened(row, book.TRIP, row["id"]) if row["rider"] == person else _outside(row)
                for row in store.PEOPLE.rows_of(connection, "trips", person)
            ],
        )
        yield (
            "fleet/driver.json",
            [
                self._opened(row, book.DRIVER, f"{row['bot']} {row['person']}")
                for row in store.PEOPLE.rows_of(connection, "drivers", person)
            ],
        )
        yield (
            "fleet/positions.json",
            [
                self._opened(row, book.POSITION, f"{row['bot']} {row['person']}")
                for row in store.PEOPLE.rows_of(connection, "positions", person)
            ],
        )
        yield (
            "fleet/ratings.json",
            [
                self._opened(row, drivers.RATING, f"{row['trip_id']} {row['rated']}")
                if row["person"] == person
                else _outside(row, "person")
                for row in store.PEOPLE.rows_of(connection, "ratings", person)
            ],
        )
        yield (
            "fleet/cases.json",
            [self._opened(row, cases.SEAL, row["id"]) for row in store.PEOPLE.rows_of(connection, "cases", person)],
        )

    def _opened(self, row: Mapping[str, Any], kind: str, place: str) -> dict[str, Any]:
        try:
            held: Any = self._trade.open(kind, place, bytes(row["sealed"])) if row["sealed"] else {}
        except SealBroken:
            held = UNREADABLE
        return {**_outside(row), "held": held}

    # To be forgotten

    def blocked(self, connection: Connection, person: str) -> Sequence[bridge_rights.Obstacle]:
        """Trips under way, as a rider or as a driver; what a driver is still to be paid for."""
        counts = {
            "rights.open_rides": store.count_open(connection, person, "rider", OVER),
            "rights.open_drives": store.count_open(connection, person, "driver", OVER)
            + store.count_owed(connection, person),
        }
        found = [Obstacle.of(code, count=count) for code, count in counts.items() if count]
        return [bridge_rights.Obstacle(each.code, each.human) for each in found]

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """What is theirs alone goes; what others need stays without them."""
        for row in store.PEOPLE.rows_of(connection, "trips", person):
            mine = row["rider"] == person
            self._trip(connection, row, lambda trip, mine=mine: _without(trip, person, pseudonym, mine=mine))  # type: ignore[misc]
        for row in store.in_states(connection, GOING):
            self._trip(
                connection,
                row,
                lambda trip: replace(trip, declined=tuple(each for each in trip.declined if each != person)),
            )
        for row in store.PEOPLE.rows_of(connection, "cases", person):
            held = self._opened(row, cases.SEAL, row["id"])["held"]
            blank = {**held, "text": NOBODY, "person": pseudonym} if isinstance(held, dict) else {}
            store.PEOPLE.write(connection, "cases", {**row, "sealed": self._trade.seal(cases.SEAL, row["id"], blank)})
        for row in store.PEOPLE.rows_of(connection, "ratings", person):
            rated = pseudonym if row["rated"] == person else row["rated"]
            place, words = f"{row['trip_id']} {rated}", ""
            if row["person"] != person:  # what somebody else has written stays, in its new place
                held = self._opened(row, drivers.RATING, f"{row['trip_id']} {row['rated']}")["held"]
                words = held.get("text", "") if isinstance(held, dict) else ""
            sealed = self._trade.seal(drivers.RATING, place, {"text": words})
            store.PEOPLE.write(connection, "ratings", {**row, "sealed": sealed})
        for name in ("drivers", "positions", "apps"):
            store.PEOPLE.forget(connection, name, person)
        for name in ("trips", "steps", "offers", "ratings", "cases", "surges"):
            store.PEOPLE.rename(connection, name, person, pseudonym)

    def _trip(self, connection: Connection, row: Mapping[str, Any], change: Callable[[Trip], Trip]) -> None:
        """Rewrite what lies sealed in a trip; nothing stays of what does not open."""
        kept = book.Book(self._trade, row["bot"])
        try:
            before = kept.trip(TripRow(**{**row, "sealed": bytes(row["sealed"])}))
            after = change(before)
            if after == before:
                return
            sealed, room_id = kept.trip_row(after, settled=bool(row["settled"])).sealed, after.room_id
        except SealBroken:
            sealed = b""
            room_id = row["room_id"]
        store.PEOPLE.write(connection, "trips", {**row, "room_id": room_id, "sealed": sealed})


def _without(trip: Trip, person: str, pseudonym: str, *, mine: bool) -> Trip:
    """A trip without somebody: all that was theirs as a rider, or only their name as a driver."""
    driver = pseudonym if trip.driver == person else trip.driver
    declined = tuple(each for each in trip.declined if each != person)
    if not mine:
        return replace(trip, driver=driver, declined=declined)
    return replace(
        trip,
        rider=pseudonym,
        driver=driver,
        declined=declined,
        room_id="",
        pickup=NOWHERE[0],
        dropoff=NOWHERE[1],
        stops=(),
        proposed=None,
        passenger="",
        note="",
        reason="",
        proof="",
        pin="",
        dropoff_pin="",
        memo=trip.number,
    )


def _outside(row: Mapping[str, Any], *also: str) -> dict[str, Any]:
    """What lies in clear."""
    return {name: value for name, value in row.items() if name != "sealed" and name not in also}
