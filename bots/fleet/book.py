"""Rows of fleets with their seals open."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from appservice.clock import from_ms, to_ms
from bots.commerce.trade import Trade
from bots.domain.drivers import Driver, DriverState, Offer, OfferState, Position
from bots.domain.money import Money
from bots.domain.trips import ENDED, Trip
from bots.fleet.plain import into, out
from bots.store.drivers import DriverRow
from bots.store.offers import OfferRow
from bots.store.positions import PositionRow
from bots.store.trips import TripRow

__all__ = ["Book"]

TRIP: Final = "trips"
DRIVER: Final = "drivers"
POSITION: Final = "driver_positions"


class Book:
    """Seals and opens; of one fleet."""

    def __init__(self, trade: Trade, bot: str) -> None:
        self.trade = trade
        self.bot = bot

    @staticmethod
    def moment(ms: int) -> datetime:
        """A time as it is stored, as a time (UTC)."""
        return from_ms(ms)

    # Trips

    def trip(self, row: TripRow) -> Trip:
        """A row as a trip. Raises SealBroken."""
        held = self.trade.open(TRIP, row.id, row.sealed)
        held |= {"revision": row.revision, "waves": row.waves, "payment": row.payment}
        return into(Trip, held)

    def trip_row(self, trip: Trip, *, settled: bool) -> TripRow:
        """A trip as a row."""
        active = f"{trip.client} {trip.reference}" if trip.client and trip.state not in ENDED else None
        return TripRow(
            id=trip.id,
            bot=self.bot,
            number=trip.number,
            kind=trip.kind.value,
            state=trip.state.value,
            client=trip.client,
            reference=trip.reference,
            active=active,
            rider=trip.rider,
            room_id=trip.room_id,
            service=trip.service,
            driver=trip.driver,
            batch=trip.batch,
            of_trip=trip.of,
            payment=trip.payment,
            currency=trip.quoted.currency,
            quoted=trip.quoted.minor,
            earning=trip.earning.minor,
            due=_minor(trip.due),
            tip=_minor(trip.tip),
            surge=trip.surge,
            waves=trip.waves,
            priority=trip.priority,
            disputed=int(trip.disputed),
            owed=int(trip.owed),
            settled=int(settled),
            deadline=_ms(trip.deadline),
            opened_at=to_ms(trip.opened_at),
            updated_at=to_ms(trip.updated_at),
            ended_at=_ms(trip.ended_at),
            sealed=self.trade.seal(TRIP, trip.id, out(trip)),
            revision=trip.revision,
        )

    # Drivers

    def driver(self, row: DriverRow) -> Driver:
        """A row as a driver. Raises SealBroken."""
        made = into(Driver, self.trade.open(DRIVER, f"{row.bot} {row.person}", row.sealed))
        # What is also written by itself stands in the columns.
        return replace(
            made,
            state=DriverState(row.state),
            offer=row.offer,
            online_until=None if row.online_until is None else from_ms(row.online_until),
            ratings=row.ratings,
            stars=row.stars,
            revision=row.revision,
        )

    def driver_row(self, driver: Driver) -> DriverRow:
        """A driver as a row."""
        return DriverRow(
            bot=self.bot,
            person=driver.person,
            state=driver.state.value,
            room_id=driver.room_id,
            trip=driver.trip,
            batched=driver.batched,
            offer=driver.offer,
            applied_at=to_ms(driver.applied_at),
            idle_since=to_ms(driver.idle_since),
            online_until=_ms(driver.online_until),
            lapses=driver.lapses,
            ratings=driver.ratings,
            stars=driver.stars,
            sealed=self.trade.seal(DRIVER, f"{self.bot} {driver.person}", out(driver)),
            revision=driver.revision,
        )

    # Offers

    def offer(self, row: OfferRow) -> Offer:
        """A row as an offer."""
        return Offer(
            id=row.id,
            driver=row.driver,
            trips=(row.trip_id, row.second_id) if row.second_id else (row.trip_id,),
            state=OfferState(row.state),
            wave=row.wave,
            pickup_seconds=row.pickup_seconds,
            pickup_metres=row.pickup_metres,
            earning=Money(row.earning, row.currency),
            made_at=from_ms(row.made_at),
            deadline=from_ms(row.deadline),
            revision=row.revision,
        )

    def offer_row(self, offer: Offer) -> OfferRow:
        """An offer as a row."""
        return OfferRow(
            id=offer.id,
            bot=self.bot,
            driver=offer.driver,
            open_for=offer.driver if offer.state is OfferState.OPEN else None,
            trip_id=offer.trips[0],
            second_id=offer.trips[1] if len(offer.trips) > 1 else "",
            state=offer.state.value,
            wave=offer.wave,
            pickup_seconds=offer.pickup_seconds,
            pickup_metres=offer.pickup_metres,
            currency=offer.earning.currency,
            earning=offer.earning.minor,
            made_at=to_ms(offer.made_at),
            deadline=to_ms(offer.deadline),
            revision=offer.revision,
        )

    # Positions

    def position(self, row: PositionRow) -> Position:
        """A row as a position. Raises SealBroken."""
        return into(Position, self.trade.open(POSITION, f"{row.bot} {row.person}", row.sealed))

    def position_row(self, person: str, position: Position, heard_at: int) -> PositionRow:
        """A position as a row."""
        point = position.point
        held = {
            "point": {"latitude": point.latitude, "longitude": point.longitude},
            "at": to_ms(position.at),
            "accuracy_m": position.accuracy_m,
            "heading": position.heading,
            "speed": position.speed,
        }
        return PositionRow(self.bot, person, heard_at, self.trade.seal(POSITION, f"{self.bot} {person}", held))


def _minor(money: Money | None) -> int | None:
    return None if money is None else money.minor


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)
