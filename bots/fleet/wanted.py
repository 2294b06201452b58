"""What somebody wants who orders a trip."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bots.domain.fares import Quote
from bots.domain.money import Money
from bots.domain.places import Place
from bots.domain.trips import TripKind

__all__ = ["Wanted"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A trip that somebody wants.

    Attributes:
        cause: a ULID that it is ordered by: the same cause is the same trip, however often it is requested. Made in a
            step of the rider's dialog (``fleet.trade.new_id()``), or by ``fleet.trade.id_for`` of the id of an order.
        quote: that it is ordered by; the fees and the end are counted by its terms. None: of a client's trip.
        hold: what is held for it; the quote's unless told.
        pin: whether the driver has to be told a PIN at the pickup; ``dropoff_pin``: at the drop-off.
        wanted, ready_at, latest: as of :class:`bots.domain.trips.Trip`.
        never: user ids of drivers who are not asked; the rider is not asked anyway.
        memo: what the payment is called, in the rider's words; the trip's number unless told.
    """

    cause: str
    kind: TripKind
    service: str
    pickup: Place
    dropoff: Place
    quoted: Money
    earning: Money
    metres: int
    seconds: int
    stops: tuple[Place, ...] = ()
    quote: Quote | None = None
    hold: Money | None = None
    rider: str = ""
    room_id: str = ""
    client: str = ""
    reference: str = ""
    surge: int = 100
    wanted: datetime | None = None
    ready_at: datetime | None = None
    latest: datetime | None = None
    passenger: str = ""
    note: str = ""
    never: tuple[str, ...] = ()
    pin: bool = True
    dropoff_pin: bool = False
    memo: str = ""
