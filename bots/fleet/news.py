"""What happens to trips, offers and drivers, as whoever listens is told of it: in the commit in which it happens, or in
the next one.

A plugin of rides registers hooks (``fleet.trips.hooks``, ``fleet.offers.hooks``, ``fleet.drivers.hooks``): what they do
through the context is in one commit with what they are told. Where the change was made by somebody else (a round, the
food bot), they are told in a commit of their own, which comes exactly once: ``ctx.room_id`` is then the driver's chat
for offers, and no room at all for trips. So a hook always names the room that it speaks in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bots.domain.drivers import Driver, DriverAction, Offer, OfferAction
from bots.domain.money import Money
from bots.domain.trips import Trip, TripAction
from bots.framework import Context

__all__ = ["DriverHook", "DriverNews", "News", "OfferHook", "OfferNews", "TripHook", "TripNews"]


class News(StrEnum):
    """What a trip's listeners are told."""

    REQUESTED = "requested"
    """It is there: searching, waiting for its payment or for its time; or a trip back, under way already (``after``;
    ``before`` is then the trip that failed)."""
    MOVED = "moved"
    """An action has happened to it (``action``); ``after.state`` may be the same as before (a changed way)."""
    PAYMENT_ASKED = "payment_asked"
    """The rider was asked in the wallet: for the trip, or for a changed way (``after.proposed``)."""
    PAYMENT_REFUSED = "payment_refused"
    """The wallet says why not (``refused``); what follows of it comes as a MOVED or CHANGE_DROPPED."""
    CHANGE_ASKED = "change_asked"
    """The rider wants another way that costs more, and is about to be asked for the difference."""
    CHANGE_DROPPED = "change_dropped"
    """They have not paid it: the old way stands."""
    LEFT_STOP = "left_stop"
    """The driver goes on from a stop."""
    TAKEN = "taken"
    """The money of an ended ride is taken (``amount``): time for the receipt."""
    GIVEN_BACK = "given_back"
    """Something of what was taken went back (``amount``)."""
    TIPPED = "tipped"
    """A tip was paid (``amount``), and goes to the driver."""
    PAID_OUT = "paid_out"
    """The driver has it in the wallet (``amount``)."""
    DISPUTED = "disputed"
    LOST_ITEM = "lost_item"
    """Something was left behind; the operator is told."""
    DECIDED = "decided"
    """A dispute was decided by the operator."""


@dataclass(frozen=True, slots=True)
class TripNews:
    """Something about a trip.

    Attributes:
        action: of MOVED; None otherwise.
        before: as it was; of REQUESTED the same as ``after``. Who has lost it is ``before.driver``.
        by: user id of who did it; empty: it happened by itself.
        amount: of money that moved.
        refused: msgid of the wallet's sentence; ``values``: what it is filled in with.
    """

    news: News
    before: Trip
    after: Trip
    action: TripAction | None = None
    by: str = ""
    amount: Money | None = None
    refused: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OfferNews:
    """Something about an offer.

    Attributes:
        action: None: it was made just now, and its driver is to be asked.
        trips: those that it is for, as they are; ``driver``: as they are.
        broke: the driver was set on a break by it, having let too many lapse.
    """

    offer: Offer
    trips: tuple[Trip, ...]
    driver: Driver
    action: OfferAction | None = None
    broke: bool = False


@dataclass(frozen=True, slots=True)
class DriverNews:
    """Something about a driver.

    Attributes:
        action: None: they have applied.
        by: user id of who did it; empty: it happened by itself (nothing was heard of them).
    """

    before: Driver
    after: Driver
    action: DriverAction | None = None
    by: str = ""


TripHook = Callable[[Context, TripNews], Awaitable[None]]
OfferHook = Callable[[Context, OfferNews], Awaitable[None]]
DriverHook = Callable[[Context, DriverNews], Awaitable[None]]
