"""Trips: a ride, or something that is brought, from the question for a driver to its end, and the table of what
follows on what. Pure.

What happens to a trip is an action on a state; anything that is not in :data:`NEXT` is refused and changes nothing, so
that events that come twice or out of order do no harm. The money follows from the state (:data:`MONEY`): the state is
stored first, with what people are told; then the payment is brought where the state says, however often that is tried.

A trip has one driver at most, and a driver has one trip at most that they are bound to, but for two things brought in
one go, which share a ``batch``.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final

from bots.domain.errors import DomainError
from bots.domain.fares import Quote
from bots.domain.money import Money
from bots.domain.places import Place, distance_m

__all__ = [
    "ENDED",
    "HAS_DRIVER",
    "MESSAGES",
    "MONEY",
    "NEXT",
    "Hold",
    "Stop",
    "Trip",
    "TripAction",
    "TripKind",
    "TripMoney",
    "TripRefused",
    "TripState",
    "Way",
    "advance",
    "dropped",
    "tried",
]

PIN_DIGITS: Final = 4
TRIES_MAX: Final = 5
"""Wrong PINs at one stage; afterwards the operator helps, or a photo where something is brought."""
STOPS_MAX: Final = 5
"""Places between pickup and drop-off."""
NEAREST_M: Final = 30
"""Two places that are nearer than this are the same place: nobody is driven from one to the other."""
TEXT_MAX: Final = 500


class TripKind(StrEnum):
    """What is driven."""

    RIDE = "ride"
    """Somebody."""
    COURIER = "courier"
    """Something: a parcel, a meal, a purchase."""
    RETURN = "return"
    """Something that could not be handed over, back to where it came from."""


class TripState(StrEnum):
    """Where a trip stands."""

    SCHEDULED = "scheduled"
    """Ordered for later: the search has not begun. A ride's money is not held yet."""
    AUTHORISING = "authorising"
    """The rider is asked to confirm the payment."""
    SEARCHING = "searching"
    """Drivers are asked. Which, and until when each of them has time, stands in their offers."""
    MATCHED = "matched"
    """A driver is on the way to the pickup."""
    ARRIVED = "arrived"
    """The driver waits at the pickup."""
    UNDER_WAY = "under_way"
    """The rider is in the car; what is brought is with the courier."""
    COMPLETED = "completed"
    FAILED = "failed"
    """What was brought could not be handed over; a trip back follows."""
    UNSERVED = "unserved"
    """No driver was found in time."""
    UNPAID = "unpaid"
    """The rider did not confirm the payment, or could not pay."""
    CANCELLED = "cancelled"
    """By the rider, or by whoever wanted it brought, without a fee."""
    CANCELLED_LATE = "cancelled_late"
    """By the rider when a driver was on the way already: the fee that was shown before is due."""
    NO_SHOW = "no_show"
    """The rider did not come in time: a fee is due."""
    STOPPED = "stopped"
    """By the operator."""


class TripAction(StrEnum):
    """What happens to a trip."""

    ASK_PAYMENT = "ask_payment"
    SEARCH = "search"
    """The money is held, or none is asked for: drivers are asked."""
    DECLINE_PAYMENT = "decline_payment"
    MATCH = "match"
    """A driver has accepted, or the operator has assigned one."""
    LOSE_DRIVER = "lose_driver"
    """The driver cannot come: it is matched again, first in line."""
    ARRIVE = "arrive"
    START = "start"
    """With the rider's PIN, or the sender's code."""
    CHANGE = "change"
    """A stop or another destination, confirmed by the rider: the quote is another one."""
    COMPLETE = "complete"
    FAIL = "fail"
    GIVE_UP = "give_up"
    """Nobody was found in time."""
    CANCEL = "cancel"
    CANCEL_LATE = "cancel_late"
    MISS = "miss"
    """The rider did not come within the grace time."""
    STOP = "stop"
    """By the operator."""


S, A = TripState, TripAction
NEXT: Final[Mapping[tuple[TripState, TripAction], TripState]] = MappingProxyType(
    {
        (S.SCHEDULED, A.ASK_PAYMENT): S.AUTHORISING,
        (S.SCHEDULED, A.SEARCH): S.SEARCHING,
        (S.SCHEDULED, A.CANCEL): S.CANCELLED,
        (S.SCHEDULED, A.STOP): S.STOPPED,
        (S.AUTHORISING, A.SEARCH): S.SEARCHING,
        (S.AUTHORISING, A.DECLINE_PAYMENT): S.UNPAID,
        (S.AUTHORISING, A.CANCEL): S.CANCELLED,
        (S.AUTHORISING, A.STOP): S.STOPPED,
        (S.SEARCHING, A.MATCH): S.MATCHED,
        (S.SEARCHING, A.CHANGE): S.SEARCHING,
        (S.SEARCHING, A.GIVE_UP): S.UNSERVED,
        (S.SEARCHING, A.CANCEL): S.CANCELLED,
        (S.SEARCHING, A.STOP): S.STOPPED,
        (S.MATCHED, A.LOSE_DRIVER): S.SEARCHING,
        (S.MATCHED, A.CHANGE): S.MATCHED,
        (S.MATCHED, A.ARRIVE): S.ARRIVED,
        (S.MATCHED, A.CANCEL): S.CANCELLED,
        (S.MATCHED, A.CANCEL_LATE): S.CANCELLED_LATE,
        (S.MATCHED, A.STOP): S.STOPPED,
        (S.ARRIVED, A.LOSE_DRIVER): S.SEARCHING,
        (S.ARRIVED, A.CHANGE): S.ARRIVED,
        (S.ARRIVED, A.START): S.UNDER_WAY,
        (S.ARRIVED, A.MISS): S.NO_SHOW,
        (S.ARRIVED, A.CANCEL): S.CANCELLED,
        (S.ARRIVED, A.CANCEL_LATE): S.CANCELLED_LATE,
        (S.ARRIVED, A.STOP): S.STOPPED,
        (S.UNDER_WAY, A.CHANGE): S.UNDER_WAY,
        (S.UNDER_WAY, A.COMPLETE): S.COMPLETED,
        (S.UNDER_WAY, A.FAIL): S.FAILED,
        (S.UNDER_WAY, A.STOP): S.STOPPED,
    }
)
"""What follows on what; anything else is refused."""

ENDED: Final = frozenset(
    {S.COMPLETED, S.FAILED, S.UNSERVED, S.UNPAID, S.CANCELLED, S.CANCELLED_LATE, S.NO_SHOW, S.STOPPED}
)
"""Nothing happens to it any more."""
HAS_DRIVER: Final = frozenset({S.MATCHED, S.ARRIVED, S.UNDER_WAY})
"""A driver is bound to it."""
DRIVEN: Final = HAS_DRIVER | {S.COMPLETED, S.FAILED, S.CANCELLED_LATE, S.NO_SHOW}
"""It has a driver, or had one when it ended."""


class TripMoney(StrEnum):
    """Where a ride's payment belongs."""

    NONE = "none"
    ASKED = "asked"
    HELD = "held"
    TAKEN = "taken"
    """What is due (:attr:`Trip.due`), and the rest of the hold goes back."""
    BACK = "back"
    """Voided if it is held, refunded if it was taken."""


MONEY: Final[Mapping[TripState, TripMoney]] = MappingProxyType(
    {
        S.SCHEDULED: TripMoney.NONE,
        S.AUTHORISING: TripMoney.ASKED,
        S.SEARCHING: TripMoney.HELD,
        S.MATCHED: TripMoney.HELD,
        S.ARRIVED: TripMoney.HELD,
        S.UNDER_WAY: TripMoney.HELD,
        S.COMPLETED: TripMoney.TAKEN,
        S.FAILED: TripMoney.TAKEN,
        S.CANCELLED_LATE: TripMoney.TAKEN,
        S.NO_SHOW: TripMoney.TAKEN,
        S.UNSERVED: TripMoney.BACK,
        S.UNPAID: TripMoney.BACK,
        S.CANCELLED: TripMoney.BACK,
        S.STOPPED: TripMoney.BACK,
    }
)
"""Of every state, where a trip is paid through ``@rides`` (:attr:`Trip.client` is empty)."""

WORDS: Final[Mapping[TripState, str]] = MappingProxyType(
    {
        S.SCHEDULED: "ordered for later",
        S.AUTHORISING: "waiting for the payment",
        S.SEARCHING: "looking for a driver",
        S.MATCHED: "a driver is on the way",
        S.ARRIVED: "the driver is there",
        S.UNDER_WAY: "under way",
        S.COMPLETED: "completed",
        S.FAILED: "not handed over",
        S.UNSERVED: "no driver found",
        S.UNPAID: "not paid",
        S.CANCELLED: "cancelled",
        S.CANCELLED_LATE: "cancelled with a fee",
        S.NO_SHOW: "missed",
        S.STOPPED: "stopped by the operator",
    }
)
"""The state as people read it: English, for the translator."""
VOCABULARIES: Final = (WORDS,)

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "trip.refused": "That is not possible any more: the trip is {state}.",
        "trip.same_place": "Pickup and destination are the same place.",
        "trip.no_point": "I do not know where that is: share a location, or write coordinates.",
        "trip.stops": "A trip has at most {most} stops.",
        "trip.pin": "A PIN has four digits.",
        "trip.locked": "Too many wrong PINs. The operator can help.",
        "trip.text": "That is longer than {most} characters.",
        "trip.not_yours": "This trip is not yours.",
        "trip.wait": "Please wait until {until}: until then the rider may still come.",
        "trip.tipped": "You have given a tip already. Thank you!",
        "trip.no_tip": "A tip can be given after the trip.",
        "trip.no_driver": "Nobody drives this trip.",
        "trip.too_much": "Only {left} of it can be given back.",
        "trip.unpaid": "Nothing is due for this trip.",
        "trip.decided": "That is decided already.",
        "trip.proof": "The PIN is needed, or a photo of where it was left.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class TripRefused(DomainError):
    """Something that cannot be done with a trip.

    A value named ``state`` is one of :data:`WORDS`, to be translated.
    """

    messages = MESSAGES


@dataclass(frozen=True, slots=True)
class Stop:
    """A place on the way, and when the driver left it (aware); None: not yet."""

    place: Place
    left_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """Another way for a trip under way, as the rider has confirmed it: it becomes the trip's once its money is held.

    Attributes:
        quoted: what the whole trip costs by it; ``earning``: what the driver gets.
        metres, seconds: of the whole way, stops included.
        asked_at: when the rider confirmed it (aware).
        hold: all that is to be held for the trip by it; None: what is quoted.
        quote: the price with its terms.
        key: of the payment of what is to be held on top; empty: not asked for yet.
        told: the rider was told that they are asked for it.
    """

    dropoff: Place
    stops: tuple[Stop, ...]
    quoted: Money
    earning: Money
    metres: int
    seconds: int
    asked_at: datetime
    hold: Money | None = None
    quote: Quote | None = None
    key: str = ""
    told: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """What the rider is asked to have held. ``key``: of its payment, made before it is asked for."""

    key: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Trip:
    """One trip.

    Attributes:
        id: a ULID; ``number``: as people say it.
        kind: what is driven.
        client: the consumer (plugin instance and bot) that wants it brought, such as the food bot's; empty: ``@rides``
            itself, whose ``rider`` pays.
        reference: what it is to the client: the id of its order. One open trip for a client and reference.
        rider: user id of who ordered and pays; of a client's trip: empty.
        room_id: where the rider is told; of a client's trip: empty.
        service: name of the class ("standard", "xl", "courier").
        pickup, dropoff: from where, and where to; ``stops``: between them, in order.
        quoted: what it costs as agreed; the fare is capped at what is held (:attr:`holds`) unless the rider agrees to
            more.
        due: what is taken at the end; None: not known yet.
        earning: what the driver gets, without the tip; of a client's trip the client pays it.
        tip: on top, after the end.
        metres, seconds: of the way as quoted, stops included.
        surge: in hundredths: 100 is none.
        wanted: when it was ordered for (aware); None: as soon as possible.
        ready_at: when it can be picked up at the earliest (aware); None: now.
        latest: when it has to be there at the latest (aware), for what is brought; None: no matter.
        driver: user id of who has it; empty: nobody.
        batch: the same in two trips that one courier brings in one go; empty: alone.
        declined: user ids of drivers who are not asked (again): declined, cancelled, or not to be asked at all.
        waves: how many times offers went out.
        priority: counts how often a driver was lost: it is matched first in line.
        searching_since: when this search began; ``deadline``: when the state that it is in ends by itself.
        arrived_at, started_at, ended_at: aware; None: not yet.
        pin: the rider (or sender) tells it to the driver, who types it at the pickup.
        dropoff_pin: the recipient tells it at the drop-off; empty: none is asked for.
        tries: wrong PINs at this stage.
        passenger: for whom it is, as the driver calls them: a name that is no account.
        note: in the rider's words, for the driver.
        reason: of a cancellation or failure, in the words of who did it.
        proof: the event id of the photo that shows where it was left; of a client's trip the content of a message with
            it, as JSON; empty: none.
        of: the trip that failed, of a return.
        payment: id of the first of :attr:`holds`; empty: none.
        holds: what is held for it, in order, each by a payment of its own: the quote, and what later changes add to it.
        proposed: another way, whose money is asked for; None: none.
        dropped: keys of payments of ways that came to nothing: they go back.
        taken: what of :attr:`due` the rider was told is taken; None: nothing yet.
        tip_key: of the payment of the tip; ``tipped``: the driver has it.
        memo: what the payment is called, in the rider's words; stays the same, whatever language they read later.
        disputed: nothing more is taken, and the driver is not paid, until the operator has decided.
        owed: the driver is still to be paid for it.
        matched_at: when the driver took it; ``promised_at``: when they were to be at the pickup, as the rider was told;
            ``pickup_metres``: how far that was (aware; None: not yet).
        quote: the price with the terms that the end, a fee and a changed way are counted by; None: of a client's trip.
        revision: counts the changes of what is stored.
    """

    id: str
    number: str
    kind: TripKind
    state: TripState
    service: str
    pickup: Place
    dropoff: Place
    quoted: Money
    earning: Money
    opened_at: datetime
    updated_at: datetime
    metres: int
    seconds: int
    client: str = ""
    reference: str = ""
    rider: str = ""
    room_id: str = ""
    stops: tuple[Stop, ...] = ()
    due: Money | None = None
    tip: Money | None = None
    surge: int = 100
    wanted: datetime | None = None
    ready_at: datetime | None = None
    latest: datetime | None = None
    driver: str = ""
    batch: str = ""
    declined: tuple[str, ...] = ()
    waves: int = 0
    priority: int = 0
    searching_since: datetime | None = None
    deadline: datetime | None = None
    arrived_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    pin: str = field(default="", repr=False)
    dropoff_pin: str = field(default="", repr=False)
    tries: int = 0
    passenger: str = ""
    note: str = ""
    reason: str = ""
    proof: str = ""
    of: str = ""
    payment: str = ""
    holds: tuple[Hold, ...] = ()
    proposed: Way | None = None
    dropped: tuple[str, ...] = ()
    taken: Money | None = None
    tip_key: str = ""
    tipped: bool = False
    memo: str = ""
    disputed: bool = False
    owed: bool = False
    matched_at: datetime | None = None
    promised_at: datetime | None = None
    pickup_metres: int = 0
    quote: Quote | None = field(default=None, repr=False)
    revision: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        for secret in (self.pin, self.dropoff_pin):
            if secret and (len(secret) != PIN_DIGITS or not (secret.isascii() and secret.isdecimal())):
                raise TripRefused("trip.pin")
        if len(self.stops) > STOPS_MAX:
            raise TripRefused("trip.stops", most=STOPS_MAX)
        way = [self.pickup, *(stop.place for stop in self.stops), self.dropoff]
        for here, there in pairwise(way):
            if here.point is None or there.point is None:
                raise TripRefused("trip.no_point")
            if distance_m(here.point, there.point) < NEAREST_M:
                raise TripRefused("trip.same_place")
        if max(len(self.note), len(self.reason), len(self.passenger)) > TEXT_MAX:
            raise TripRefused("trip.text", most=TEXT_MAX)
        if self.quoted.minor < 0 or self.earning.minor < 0:
            raise ValueError("what a trip costs and earns is not below nought")
        if {each.currency for each in (self.quoted, self.earning, self.due, self.tip) if each} > {self.quoted.currency}:
            raise ValueError("all amounts of a trip are in one currency")
        if self.state in HAS_DRIVER and not self.driver:
            raise ValueError(f"a trip that is {self.state.value} has a driver")
        if self.driver and self.state not in DRIVEN and self.state is not S.STOPPED:
            raise ValueError(f"a trip that is {self.state.value} has no driver")

    @property
    def money(self) -> TripMoney:
        """Where its payment belongs; a client's trip has none here."""
        return TripMoney.NONE if self.client else MONEY[self.state]

    @property
    def held(self) -> Money:
        """What can be taken of the rider at most."""
        return sum((each.amount for each in self.holds), Money.zero(self.quoted.currency))

    @property
    def secret(self) -> str:
        """What the driver has to type next: the PIN of the pickup before it, of the drop-off afterwards."""
        return self.dropoff_pin if self.state is S.UNDER_WAY else self.pin

    @property
    def locked(self) -> bool:
        """Whether nothing that is typed counts any more at this stage."""
        return self.tries >= TRIES_MAX


def advance(trip: Trip, action: TripAction, at: datetime, *, within: timedelta | None = None, **changes: Any) -> Trip:
    """The trip after an action.

    Args:
        at: now (aware).
        within: when the new state ends by itself, from now; None: it does not.
        changes: other fields that change with it.

    Raises:
        TripRefused: it does not follow on the state.
    """
    state = NEXT.get((trip.state, action))
    if state is None:
        raise TripRefused("trip.refused", trip=trip.id, state=WORDS[trip.state], action=action.value)
    moved: dict[str, Any] = {"deadline": None if within is None else at + within}
    if state is S.SEARCHING and trip.state is not S.SEARCHING:
        moved["searching_since"] = at
    if action is A.LOSE_DRIVER:
        moved |= {
            "driver": "",
            "batch": "",
            "arrived_at": None,
            "matched_at": None,
            "promised_at": None,
            "pickup_metres": 0,
            "declined": (*trip.declined, trip.driver),
            "priority": trip.priority + 1,
        }
    if action is A.CHANGE:
        moved["deadline"] = trip.deadline if within is None else at + within
    if action is A.MATCH:
        moved["matched_at"] = at
    if action is A.ARRIVE:
        moved["arrived_at"] = at
    if action is A.START:
        moved["started_at"] = at
    if state in ENDED:
        moved |= {"ended_at": at, **dropped(trip)}
    if state in {S.CANCELLED, S.UNSERVED, S.UNPAID}:
        moved |= {"driver": "", "batch": ""}
    if state is not trip.state:
        moved["tries"] = 0
    return replace(trip, state=state, updated_at=at, **(moved | changes))


def dropped(trip: Trip) -> dict[str, Any]:
    """What changes in a trip whose other way comes to nothing."""
    if trip.proposed is None:
        return {}
    key = trip.proposed.key
    return {"proposed": None, "dropped": (*trip.dropped, key) if key else trip.dropped}


def tried(trip: Trip, said: str) -> tuple[Trip, bool]:
    """What was typed, against the PIN: the trip with its tries counted, and whether it was right.

    Raises:
        TripRefused: there were too many wrong ones before.
    """
    if trip.locked:
        raise TripRefused("trip.locked")
    # compare_digest takes the same time for each wrong one; without a secret nothing is right.
    right = hmac.compare_digest(said.encode(errors="replace"), trip.secret.encode()) and bool(trip.secret)
    return (trip, True) if right else (replace(trip, tries=trip.tries + 1), False)
