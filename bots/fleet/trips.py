"""Trips: requested, moved from state to state, their money brought after them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bots.commerce.hand import Reader
from bots.domain.drivers import Driver
from bots.domain.money import Money
from bots.domain.places import Place
from bots.domain.trips import Trip, TripAction, TripKind, TripState, Way
from bots.fleet.news import TripHook
from bots.framework import Context

__all__ = ["Charge", "Step", "Trips", "Wanted"]


@dataclass(frozen=True, slots=True)
class Charge:
    """What is due for a trip that does not take place: of the rider, and of that for the driver."""

    due: Money
    earning: Money


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to a trip. ``action``: of :class:`bots.domain.trips.TripAction`, or ``request``."""

    action: str
    state: TripState
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Wanted:
    """A trip that somebody wants.

    Attributes:
        cause: what it is ordered by: the same cause is the same trip, however often it is requested. A ULID made in a
            step of the rider's dialog, the id of an order.
        hold: what is held for it; the quote unless told (waiting minutes may come on top).
        pin: whether the driver has to be told a PIN at the pickup; ``dropoff_pin``: at the drop-off.
        wanted, ready_at, latest: as of :class:`bots.domain.trips.Trip`.
        never: user ids of drivers who are not asked.
        driver: of a return: who has it already, and brings it back: it begins under way.
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
    of: str = ""
    driver: str = ""


class Trips:
    """The trips of a fleet. Writes happen in the commit of the handler at hand, and are compare-and-set: who was slower
    finds that in the commit (TradeBusy), and the handler is run again on how things stand then.

    Raises TripRefused for what does not follow on where a trip stands.
    """

    hooks: list[TripHook]
    """Told of everything, in order: see :mod:`bots.fleet.news`."""

    # Reading

    async def get(self, reader: Reader, trip_id: str) -> Trip | None:
        """A trip by its id."""
        raise NotImplementedError

    async def by_number(self, reader: Reader, number: str, *, rider: str = "", driver: str = "") -> Trip | None:
        """A trip by its number as people type it, of a rider or of a driver, or anybody's."""
        raise NotImplementedError

    async def of_rider(self, reader: Reader, person: str, *, before: str = "", limit: int = 10) -> list[Trip]:
        """A rider's trips, the newest first. ``before``: the id of the last one of the page before."""
        raise NotImplementedError

    async def open_of_rider(self, reader: Reader, person: str) -> list[Trip]:
        """A rider's trips that have not ended, the newest first."""
        raise NotImplementedError

    async def of_driver(
        self, reader: Reader, person: str, *, since: datetime | None = None, before: str = "", limit: int = 10
    ) -> list[Trip]:
        """A driver's trips that have ended, the newest first: what they have earned."""
        raise NotImplementedError

    async def current_of_driver(self, reader: Reader, person: str) -> list[Trip]:
        """What a driver is bound to now: none, one, or two that are brought in one go."""
        raise NotImplementedError

    async def of_reference(self, reader: Reader, client: str, reference: str) -> Trip | None:
        """The newest trip of a client's order, returns included."""
        raise NotImplementedError

    async def in_states(self, reader: Reader, states: Collection[TripState], limit: int = 200) -> list[Trip]:
        """Everybody's trips in these states, what waits longest first."""
        raise NotImplementedError

    async def counts(self, reader: Reader) -> dict[TripState, int]:
        """How many trips are in each state that is not an end."""
        raise NotImplementedError

    async def steps(self, reader: Reader, trip_id: str) -> list[Step]:
        """What happened to a trip, in order."""
        raise NotImplementedError

    # Requesting

    async def request(self, ctx: Context, wanted: Wanted) -> Trip:
        """Order a trip. The same cause again is the same trip, as it stands by now.

        A rider's trip waits for its payment (AUTHORISING: the wallet asks them), a client's is searched for at once;
        what is wanted later than ``terms.ahead`` from now is SCHEDULED, and woken in time.
        """
        raise NotImplementedError

    # Moving on

    async def act(
        self,
        ctx: Context,
        trip: Trip,
        action: TripAction,
        *,
        by: str = "",
        within: timedelta | None = None,
        **changes: Any,
    ) -> Trip:
        """Have something happen to a trip: state, driver, offers, listeners, deadlines and the order to move its money,
        in the commit of the handler at hand. Use the methods below where there is one.

        Args:
            by: user id of who does it. Empty: it happens by itself.
            within: when the new state ends by itself; what the terms say unless told.
            changes: fields of the trip that change with it.
        """
        raise NotImplementedError

    async def arrive(self, ctx: Context, trip: Trip, by: str) -> Trip:
        """The driver is at the pickup."""
        raise NotImplementedError

    async def start(self, ctx: Context, trip: Trip, pin: str, by: str) -> Trip | None:
        """The driver has typed the PIN of the pickup. None: it is wrong, which counts. Raises TripRefused (locked)."""
        raise NotImplementedError

    async def leave_stop(self, ctx: Context, trip: Trip, by: str) -> Trip:
        """The driver goes on from the next stop on the way."""
        raise NotImplementedError

    async def complete(
        self, ctx: Context, trip: Trip, by: str, *, pin: str = "", proof: str = "", charge: Charge | None = None
    ) -> Trip | None:
        """The end. None: the PIN of the drop-off is wrong, which counts.

        Args:
            pin: of the drop-off, where one is asked for; ``proof``: the event id of a photo instead of it.
            charge: what is due, and earned; unless told the quote and the earning as agreed. Never more than is held.
        """
        raise NotImplementedError

    async def fail(self, ctx: Context, trip: Trip, by: str, reason: str) -> Trip:
        """What is brought cannot be handed over: the trip back that its driver is on now."""
        raise NotImplementedError

    async def lose_driver(self, ctx: Context, trip: Trip, by: str, reason: str) -> Trip:
        """The driver cannot come (or was suspended): it is matched again, first in line."""
        raise NotImplementedError

    async def cancel(self, ctx: Context, trip: Trip, by: str, reason: str, charge: Charge | None = None) -> Trip:
        """By the rider, or by a client. ``charge``: the fee that was shown before; without one it costs nothing."""
        raise NotImplementedError

    async def miss(self, ctx: Context, trip: Trip, by: str, charge: Charge) -> Trip:
        """The rider did not come. Raises TripRefused before :meth:`missed_at`."""
        raise NotImplementedError

    def missed_at(self, trip: Trip) -> datetime | None:
        """From when on a driver who waits may say that nobody came; None: they do not wait."""
        raise NotImplementedError

    async def stop(self, ctx: Context, trip: Trip, by: str, reason: str, charge: Charge | None = None) -> Trip:
        """By the operator. Everything goes back unless a charge says otherwise."""
        raise NotImplementedError

    async def assign(self, ctx: Context, trip: Trip, driver: Driver, by: str, pickup_seconds: int) -> Trip:
        """By the operator: this driver has it, asked or not. Raises DriverError: they are not free."""
        raise NotImplementedError

    # Changing

    async def propose(self, ctx: Context, trip: Trip, way: Way, by: str) -> Trip:
        """The rider has confirmed another way. Where it costs more than is held, the difference is asked for first
        (CHANGE_ASKED, and MOVED with CHANGE or CHANGE_DROPPED follow); otherwise it is the trip's at once.
        """
        raise NotImplementedError

    async def drop_change(self, ctx: Context, trip: Trip, by: str) -> Trip:
        """The rider wants the old way after all."""
        raise NotImplementedError

    # Money

    async def tip(self, ctx: Context, trip: Trip, amount: Money) -> Trip:
        """The rider gives a tip: a payment of its own, all of which is the driver's. Raises TripRefused: once only."""
        raise NotImplementedError

    async def give_back(self, ctx: Context, trip: Trip, amount: Money, by: str, reason: str) -> Trip:
        """By the operator: of what is due so much less, taken or not. Raises TripRefused: more than there is."""
        raise NotImplementedError

    async def paid_by_client(self, ctx: Context, trip: Trip) -> Trip:
        """The client has paid the driver of its trip (:attr:`Trip.owed`)."""
        raise NotImplementedError
