"""What whoever brings things is to the rest: a dispatcher of trips. The pool of :mod:`bots.commerce.couriers.pool` is
one; one that knows where drivers are can take its place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from bots.domain.couriers import CourierJob, JobAction, JobKind, JobState
from bots.domain.money import Money
from bots.domain.places import Place
from bots.framework import Context

__all__ = ["NEWS", "Dispatcher", "Moved", "Trip", "job_of"]

NEWS: Final = "fleet_client"
"""The timer by which a dispatcher that is somebody else's (a fleet) tells a plugin what happened to its trips."""


@dataclass(frozen=True, slots=True)
class Trip:
    """Something that is to be brought.

    Attributes:
        order: id; ``number``: as people say it.
        merchant: id; ``seller``: their name; ``account``: the part of the bot's account that pays the courier.
        buyer: how the courier knows who gets it: a name that is no account.
        never: user ids of those who do not bring it.
        fee: what the courier gets; ``tip``: on top, once it is handed over.
        ready_at: when it can be picked up (aware).
        note: how to find the door.
    """

    order: str
    number: str
    merchant: str
    seller: str
    account: str
    pickup: Place
    dropoff: Place
    buyer: str
    never: tuple[str, ...]
    fee: Money
    ready_at: datetime
    tip: Money | None = None
    note: str = ""


def job_of(trip: Trip, id: str, at: datetime, *, pickup_code: str = "", pin: str = "") -> CourierJob:
    """The job that begins with a trip: nobody has it yet.

    Args:
        at: now (aware).
        pickup_code, pin: where the dispatcher makes them itself.
    """
    return CourierJob(
        id=id,
        order=trip.order,
        number=trip.number,
        merchant=trip.merchant,
        seller=trip.seller,
        account=trip.account,
        kind=JobKind.DELIVERY,
        state=JobState.SEARCHING,
        pickup=trip.pickup,
        dropoff=trip.dropoff,
        buyer=trip.buyer,
        never=trip.never,
        fee=trip.fee,
        tip=trip.tip,
        note=trip.note,
        ready_at=trip.ready_at,
        opened_at=at,
        updated_at=at,
        pickup_code=pickup_code,
        pin=pin,
    )


@dataclass(frozen=True, slots=True)
class Moved:
    """Something happened to a trip.

    Attributes:
        by: user id of the courier who did it; empty: nobody of them.
        after: as it is now; ``back``: the trip that brings it back, when it failed.
        stopped: the operator has ended it, and nobody else is asked.
        photo: content of a message that shows where it was left, where the dispatcher has got it; None: it has not.
    """

    action: JobAction
    before: CourierJob
    after: CourierJob
    by: str = ""
    back: CourierJob | None = None
    photo: Mapping[str, Any] | None = None
    stopped: bool = False


Listener = Callable[[Context, Moved], Awaitable[None]]
"""Is told of everything that happens to trips, in the commit in which it does."""


class Dispatcher(Protocol):
    """Finds somebody who brings things, and follows them. Writes happen in the commit of the handler at hand.

    Raises CourierError for what does not follow on where a trip stands.
    """

    async def request(self, ctx: Context, trip: Trip, again: str = "") -> CourierJob:
        """Have something brought; for an order that has a trip already, that one is the answer.

        Args:
            again: the id of the trip before, which has come to its end: there is to be another one.
        """
        ...

    async def ready(self, ctx: Context, job_id: str, at: datetime) -> None:
        """It can be picked up at another time than was said."""
        ...

    async def withdraw(self, ctx: Context, job_id: str, reason: str) -> None:
        """It need not be brought any more. Twice is as once, and of a trip that has ended it means nothing."""
        ...

    async def leave_at_door(self, ctx: Context, job_id: str, wanted: bool) -> bool:
        """The buyer wants it left at the door, or handed over after all; whether that can still be."""
        ...

    async def picked_up(self, ctx: Context, job_id: str) -> None:
        """The merchant says that the courier has it."""
        ...

    async def handed_over(self, ctx: Context, job_id: str) -> None:
        """The merchant says that it is where it belongs."""
        ...

    async def failed(self, ctx: Context, job_id: str, why: str) -> None:
        """The merchant says that it cannot be handed over."""
        ...

    async def job(self, ctx: Context, job_id: str) -> CourierJob | None:
        """A trip by its id."""
        ...

    async def of_order(self, ctx: Context, order_id: str) -> CourierJob | None:
        """The newest trip of an order."""
        ...
