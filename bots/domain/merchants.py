"""Merchants: who sells, who works for them, and how they deliver."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from bots.domain.errors import DomainError
from bots.domain.money import Money
from bots.domain.opening import Hours
from bots.domain.orders import Fulfilment
from bots.domain.places import Place, Point, Zone, distance_m

__all__ = [
    "MESSAGES",
    "NEXT",
    "Merchant",
    "MerchantAction",
    "MerchantError",
    "MerchantState",
    "Offer",
    "Staff",
    "Way",
    "advance",
]

NAME_MAX: Final = 80
TEXT_MAX: Final = 2_000
ZONES_MAX: Final = 20
WAYS_MAX: Final = 10
SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


class MerchantState(StrEnum):
    """Whether somebody sells."""

    APPLIED = "applied"
    """The operator is asked."""
    ACTIVE = "active"
    PAUSED = "paused"
    """By the merchant: nothing can be ordered until they go on."""
    SUSPENDED = "suspended"
    """By the operator."""
    REJECTED = "rejected"
    CLOSED = "closed"


class MerchantAction(StrEnum):
    """What happens to a merchant."""

    APPROVE = "approve"
    REJECT = "reject"
    PAUSE = "pause"
    RESUME = "resume"
    SUSPEND = "suspend"
    REINSTATE = "reinstate"
    CLOSE = "close"


S, A = MerchantState, MerchantAction
NEXT: Final[Mapping[tuple[MerchantState, MerchantAction], MerchantState]] = MappingProxyType(
    {
        (S.APPLIED, A.APPROVE): S.ACTIVE,
        (S.APPLIED, A.REJECT): S.REJECTED,
        (S.APPLIED, A.CLOSE): S.CLOSED,
        (S.REJECTED, A.APPROVE): S.ACTIVE,
        (S.ACTIVE, A.PAUSE): S.PAUSED,
        (S.PAUSED, A.RESUME): S.ACTIVE,
        (S.ACTIVE, A.SUSPEND): S.SUSPENDED,
        (S.PAUSED, A.SUSPEND): S.SUSPENDED,
        (S.SUSPENDED, A.REINSTATE): S.ACTIVE,
        (S.ACTIVE, A.CLOSE): S.CLOSED,
        (S.PAUSED, A.CLOSE): S.CLOSED,
    }
)
"""What follows on what; anything else is refused."""

WORDS: Final[Mapping[MerchantState, str]] = MappingProxyType(
    {
        S.APPLIED: "waiting for approval",
        S.ACTIVE: "open for orders",
        S.PAUSED: "paused",
        S.SUSPENDED: "suspended by the operator",
        S.REJECTED: "rejected",
        S.CLOSED: "closed",
    }
)
"""The state as people read it: English, for the translator."""
VOCABULARIES: Final = (WORDS,)

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "merchant.refused": "That is not possible: the merchant is {state}.",
        "merchant.slug": "A short name has 1 to 40 small letters, digits and dashes, not at its ends.",
        "merchant.name": "A name has 1 to {most} characters.",
        "merchant.description": "A description has at most {most} characters.",
        "merchant.zones": "A merchant has at most {most} zones, each with a name of its own.",
        "merchant.ways": "A merchant has at most {most} ways of delivery, each with a name of its own.",
        "merchant.minutes": "Minutes are from 1 to 1440.",
        "merchant.currency": "All amounts of a merchant are in {currency}.",
        "delivery.none": "{merchant} does not deliver there.",
        "delivery.no_point": "To know whether {merchant} delivers there, I need the place: please share its location.",
        "delivery.minimum": "{merchant} delivers there from {minimum} on; {missing} are missing.",
        "delivery.no_way": "{merchant} offers no way of delivery at the moment.",
        "delivery.fee": "The delivery by {merchant} costs {fee} now.",
        "delivery.no_place": "{merchant} needs to know where to deliver to.",
        "merchant.gone": "This merchant does not sell here any more.",
        "merchant.closed": "{merchant} is closed then. It opens again at {opens}.",
        "merchant.shut": "{merchant} is closed then.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class MerchantError(DomainError):
    """Something that cannot be done with a merchant.

    A value named ``state`` is one of :data:`WORDS`, to be translated.
    """

    messages = MESSAGES


class Staff(StrEnum):
    """What somebody does for a merchant; each may do what those after it may."""

    OWNER = "owner"
    """Also gets the money."""
    MANAGER = "manager"
    """Also changes catalogue, hours and refunds."""
    CLERK = "clerk"
    """Handles orders."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way of delivery that is not by zones: a parcel, or to be picked up."""

    name: str
    kind: Fulfilment
    fee: Money
    free_from: Money | None = None
    countries: tuple[str, ...] = ()
    days: tuple[int, int] = (1, 3)

    def fee_for(self, goods: Money) -> Money:
        """What it costs for goods of this worth."""
        free = self.free_from is not None and goods >= self.free_from
        return Money.zero(self.fee.currency) if free else self.fee


@dataclass(frozen=True, slots=True)
class Offer:
    """One way in which an order can be delivered, with its price, or the reason why it cannot.

    ``refusal``: why not; the fee then means nothing.
    """

    kind: Fulfilment
    option: str
    fee: Money
    refusal: MerchantError | None = None


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who sells.

    Attributes:
        id: ULID.
        slug: the part of the bot's account that is theirs (``bot:shop/SLUG``), and how people name them.
        bot: the plugin instance that they sell through.
        owner: user id.
        room_id: of the staff; empty: not made yet.
        language: BCP 47, of the staff room and the catalogue.
        where: from where is delivered; None: nobody needs to know.
        zones: by courier; the first that holds a place counts.
        ways: other ways of delivery.
        prepare: minutes that an order takes, unless the staff says otherwise.
        accept_within: minutes in which an order is to be answered.
        tags: kinds of kitchen or of goods, for search ("pizza").
        auto_accept: orders are accepted, made and brought by themselves: of a demo, where nobody sits behind it.
        revision: counts the changes of what is stored; no part of what the merchant is.
    """

    id: str
    slug: str
    bot: str
    owner: str
    name: str
    currency: str
    state: MerchantState
    hours: Hours
    description: str = ""
    room_id: str = ""
    language: str = "en"
    where: Place | None = None
    zones: tuple[Zone, ...] = ()
    ways: tuple[Way, ...] = ()
    minimum: Money | None = None
    prepare: int = 20
    accept_within: int = 8
    tags: tuple[str, ...] = ()
    image: str = ""
    auto_accept: bool = False
    revision: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if not SLUG.fullmatch(self.slug):
            raise MerchantError("merchant.slug")
        if not self.name.strip() or len(self.name) > NAME_MAX:
            raise MerchantError("merchant.name", most=NAME_MAX)
        if len(self.description) > TEXT_MAX:
            raise MerchantError("merchant.description", most=TEXT_MAX)
        if len(self.zones) > ZONES_MAX or len({zone.name for zone in self.zones}) != len(self.zones):
            raise MerchantError("merchant.zones", most=ZONES_MAX)
        if len(self.ways) > WAYS_MAX or len({way.name for way in self.ways}) != len(self.ways):
            raise MerchantError("merchant.ways", most=WAYS_MAX)
        if not (1 <= self.prepare <= 1440 and 1 <= self.accept_within <= 1440):
            raise MerchantError("merchant.minutes")
        monies = [self.minimum, *(zone.fee for zone in self.zones), *(way.fee for way in self.ways)]
        if any(money is not None and money.currency != self.currency for money in monies):
            raise MerchantError("merchant.currency", currency=self.currency)

    @property
    def answer_time(self) -> timedelta:
        """In which an order is to be answered."""
        return timedelta(minutes=self.accept_within)

    def zone_of(self, point: Point) -> Zone | None:
        """The zone that a place lies in."""
        return next((zone for zone in self.zones if zone.shape.holds(point)), None)

    def offers(self, goods: Money, place: Place | None) -> list[Offer]:
        """Every way in which goods of this worth can get to a place, and the reasons of those that cannot."""
        found = [self._by_courier(goods, place)] if self.zones else []
        for way in self.ways:
            if way.kind is not Fulfilment.PARCEL or place is not None:
                found.append(Offer(way.kind, way.name, way.fee_for(goods)))
        if not found:
            found.append(self._refused(MerchantError("delivery.no_way", merchant=self.name)))
        return found

    def _by_courier(self, goods: Money, place: Place | None) -> Offer:
        if place is None or place.point is None:
            return self._refused(MerchantError("delivery.no_point", merchant=self.name))
        zone = self.zone_of(place.point)
        if zone is None:
            return self._refused(MerchantError("delivery.none", merchant=self.name))
        least = zone.minimum or self.minimum
        if least is not None and goods < least:
            return self._refused(
                MerchantError("delivery.minimum", merchant=self.name, minimum=least, missing=least - goods)
            )
        begin = None if self.where is None else self.where.point
        metres = 0.0 if begin is None else distance_m(begin, place.point)
        return Offer(Fulfilment.COURIER, zone.name, zone.fee_for(goods, metres))

    def _refused(self, why: MerchantError) -> Offer:
        return Offer(Fulfilment.COURIER, "", Money.zero(self.currency), why)


def advance(merchant: Merchant, action: MerchantAction) -> Merchant:
    """The merchant after an action. Raises MerchantError: it does not follow on the state."""
    state = NEXT.get((merchant.state, action))
    if state is None:
        raise MerchantError("merchant.refused", state=WORDS[merchant.state])
    return replace(merchant, state=state)
