"""Drivers and couriers: who drives, what with, and the tables of what follows on what. Pure.

An **offer** asks one driver whether they take one trip (or two, brought in one go). A driver has one open offer at
most, and so has a trip, unless a wave asks several: the first who accepts has it, and the others are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from bots.domain.errors import DomainError
from bots.domain.money import Money
from bots.domain.places import Point

__all__ = [
    "DRIVER_NEXT",
    "MESSAGES",
    "OFFER_NEXT",
    "Document",
    "Driver",
    "DriverAction",
    "DriverError",
    "DriverState",
    "Offer",
    "OfferAction",
    "OfferState",
    "Position",
    "Vehicle",
    "advance_driver",
    "advance_offer",
]

NAME_MAX: Final = 60
TEXT_MAX: Final = 60
SEATS_MAX: Final = 60


class DriverState(StrEnum):
    """Whether somebody drives."""

    APPLIED = "applied"
    """The operator is asked."""
    REJECTED = "rejected"
    OFFLINE = "offline"
    ONLINE = "online"
    """Trips are offered to them."""
    BREAK = "break"
    """Online, and not to be asked just now."""
    SUSPENDED = "suspended"


class DriverAction(StrEnum):
    """What happens to a driver."""

    APPROVE = "approve"
    REJECT = "reject"
    APPLY_AGAIN = "apply_again"
    GO_ONLINE = "go_online"
    TAKE_BREAK = "take_break"
    GO_OFFLINE = "go_offline"
    """By themselves, or because nothing was heard of them for long."""
    SUSPEND = "suspend"
    REINSTATE = "reinstate"


D, B = DriverState, DriverAction
DRIVER_NEXT: Final[Mapping[tuple[DriverState, DriverAction], DriverState]] = MappingProxyType(
    {
        (D.APPLIED, B.APPROVE): D.OFFLINE,
        (D.APPLIED, B.REJECT): D.REJECTED,
        (D.REJECTED, B.APPROVE): D.OFFLINE,
        (D.REJECTED, B.APPLY_AGAIN): D.APPLIED,
        (D.OFFLINE, B.GO_ONLINE): D.ONLINE,
        (D.BREAK, B.GO_ONLINE): D.ONLINE,
        (D.ONLINE, B.TAKE_BREAK): D.BREAK,
        (D.ONLINE, B.GO_OFFLINE): D.OFFLINE,
        (D.BREAK, B.GO_OFFLINE): D.OFFLINE,
        (D.OFFLINE, B.SUSPEND): D.SUSPENDED,
        (D.ONLINE, B.SUSPEND): D.SUSPENDED,
        (D.BREAK, B.SUSPEND): D.SUSPENDED,
        (D.SUSPENDED, B.REINSTATE): D.OFFLINE,
    }
)
"""What follows on what; anything else is refused. Who is suspended ends the trip that they have."""


class OfferState(StrEnum):
    """Where an offer stands."""

    OPEN = "open"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    LAPSED = "lapsed"
    """The driver has not answered in time."""
    LOST = "lost"
    """Another driver was faster, or nobody needs it any more."""


class OfferAction(StrEnum):
    """What happens to an offer."""

    ACCEPT = "accept"
    DECLINE = "decline"
    LAPSE = "lapse"
    LOSE = "lose"


P, C = OfferState, OfferAction
OFFER_NEXT: Final[Mapping[tuple[OfferState, OfferAction], OfferState]] = MappingProxyType(
    {
        (P.OPEN, C.ACCEPT): P.ACCEPTED,
        (P.OPEN, C.DECLINE): P.DECLINED,
        (P.OPEN, C.LAPSE): P.LAPSED,
        (P.OPEN, C.LOSE): P.LOST,
    }
)
"""What follows on what; anything else is refused."""

WORDS: Final[Mapping[DriverState, str]] = MappingProxyType(
    {
        D.APPLIED: "waiting for approval",
        D.REJECTED: "rejected",
        D.OFFLINE: "offline",
        D.ONLINE: "online",
        D.BREAK: "on a break",
        D.SUSPENDED: "suspended by the operator",
    }
)
"""The state as people read it: English, for the translator."""
OFFER_WORDS: Final[Mapping[OfferState, str]] = MappingProxyType(
    {
        P.OPEN: "open",
        P.ACCEPTED: "accepted",
        P.DECLINED: "declined",
        P.LAPSED: "not answered in time",
        P.LOST: "taken by somebody else, or not needed any more",
    }
)
"""The same of offers."""
VOCABULARIES: Final = (WORDS, OFFER_WORDS)

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "driver.refused": "That is not possible: you are {state}.",
        "driver.name": "A name has 1 to {most} letters.",
        "driver.vehicle": "Make, colour and plate have 1 to {most} letters each.",
        "driver.seats": "A car has 1 to {most} seats for others; what only brings things has none.",
        "driver.services": "Say for which classes you drive.",
        "driver.document": "Each document has a name and a picture, and is valid for some time yet.",
        "driver.busy": "You have a trip already: finish it first.",
        "driver.position": "That position cannot be.",
        "driver.nowhere": "I do not know where you are: share your live location, or send a location, and try again.",
        "driver.stars": "Stars are 1 to 5.",
        "driver.unfit": "They do not drive for this class, or are not free.",
        "offer.gone": "This offer is {state}.",
        "offer.none": "No trip is offered to you just now.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class DriverError(DomainError):
    """Something that cannot be done with a driver or an offer.

    A value named ``state`` is one of :data:`WORDS` or :data:`OFFER_WORDS`, to be translated.
    """

    messages = MESSAGES


def _short(text: str, most: int) -> bool:
    return bool(text.strip()) and len(text) <= most and text.isprintable()


@dataclass(frozen=True, slots=True)
class Vehicle:
    """What somebody drives, as a rider recognises it.

    Attributes:
        make: "Toyota Prius", "cargo bike".
        seats: for passengers; 0: it brings things only.
    """

    make: str
    colour: str
    plate: str
    seats: int

    def __post_init__(self) -> None:
        if not all(_short(each, TEXT_MAX) for each in (self.make, self.colour, self.plate)):
            raise DriverError("driver.vehicle", most=TEXT_MAX)
        if not 0 <= self.seats <= SEATS_MAX:
            raise DriverError("driver.seats", most=SEATS_MAX)


@dataclass(frozen=True, slots=True)
class Document:
    """A licence, an insurance: what the operator looks at.

    Attributes:
        kind: as the operator's settings name it.
        content: the fields of the message that held the picture, keys included: who can read it, may see it.
        expires: the last day on which it is valid; None: it does not end.
    """

    kind: str
    content: Mapping[str, object] = field(repr=False)
    expires: date | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a driver is.

    Attributes:
        at: when they were there (aware), by the clock of who measured it, never later than when it was heard.
        accuracy_m: it may be wrong by so many metres; None: not said.
        heading: degrees clockwise from north, 0 to 360; ``speed``: metres a second; None: not said.
    """

    point: Point
    at: datetime
    accuracy_m: float | None = None
    heading: float | None = None
    speed: float | None = None


@dataclass(frozen=True, slots=True)
class Driver:
    """Who drives.

    Attributes:
        person: user id.
        name: as riders see it; their account stays theirs.
        services: names of the classes that they drive for ("standard", "xl", "courier").
        room_id: their own encrypted chat with the bot, where trips are offered.
        trip: id of the trip that they are bound to; ``batched``: of a second one that they bring in the same go.
        offer: id of the offer that they have before them; empty: none.
        idle_since: since when they have had no trip (aware): who waits longest goes first of equals.
        zones: names of the tariff's zones in which they want to be asked; empty: everywhere.
        lapses: offers in a row that they have not answered.
        online_until: when they go offline by themselves unless something is heard of them (aware).
        reason: of a rejection or suspension, in the operator's words.
        ratings, stars: how many, and their sum.
        revision: counts the changes of what is stored.
    """

    person: str
    name: str
    vehicle: Vehicle
    services: frozenset[str]
    room_id: str
    state: DriverState
    applied_at: datetime
    idle_since: datetime
    documents: tuple[Document, ...] = ()
    trip: str = ""
    batched: str = ""
    offer: str = ""
    zones: frozenset[str] = frozenset()
    lapses: int = 0
    online_until: datetime | None = None
    reason: str = ""
    ratings: int = 0
    stars: int = 0
    revision: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if not _short(self.name, NAME_MAX):
            raise DriverError("driver.name", most=NAME_MAX)
        if not self.services:
            raise DriverError("driver.services")
        if self.batched and not self.trip:
            raise ValueError("a second trip is brought with a first one")

    @property
    def free(self) -> bool:
        """Whether a trip can be offered to them."""
        return self.state is DriverState.ONLINE and not self.trip and not self.offer

    @property
    def rating(self) -> float | None:
        """Stars on average, 1 to 5; None: nobody has rated them."""
        return self.stars / self.ratings if self.ratings else None


@dataclass(frozen=True, slots=True)
class Offer:
    """A trip that one driver is asked to take.

    Attributes:
        id: a ULID.
        trips: ids: one, or two that are brought in one go.
        wave: the how many-th wave of the first trip it belongs to.
        pickup_seconds: how long the driver needs to the pickup, estimated; ``pickup_metres``: how far that is.
        earning: what it earns.
        revision: counts the changes of what is stored.
    """

    id: str
    driver: str
    trips: tuple[str, ...]
    state: OfferState
    wave: int
    pickup_seconds: int
    pickup_metres: int
    earning: Money
    made_at: datetime
    deadline: datetime
    revision: int = field(default=0, compare=False)


def advance_driver(driver: Driver, action: DriverAction) -> Driver:
    """The driver after an action. Raises DriverError: it does not follow on the state."""
    state = DRIVER_NEXT.get((driver.state, action))
    if state is None:
        raise DriverError("driver.refused", state=WORDS[driver.state])
    return replace(driver, state=state)


def advance_offer(offer: Offer, action: OfferAction) -> Offer:
    """The offer after an action. Raises DriverError: it does not follow on the state."""
    state = OFFER_NEXT.get((offer.state, action))
    if state is None:
        raise DriverError("offer.gone", state=OFFER_WORDS[offer.state])
    return replace(offer, state=state)
