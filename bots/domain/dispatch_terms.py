"""What a round of dispatch speaks of: requests, free drivers, how it is weighed, and what comes of it. Pure.

Times are seconds on one clock (the epoch's), distances are metres.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from bots.domain.places import Point
from bots.domain.trips import Trip, TripKind

__all__ = [
    "DEFAULT",
    "FreeDriver",
    "Match",
    "Plan",
    "Policy",
    "Request",
    "Why",
    "offer_deadline",
    "request_of",
    "search_from",
    "search_over",
    "wave_size",
]

RESOLUTION_MAX: Final = 15


@dataclass(frozen=True, slots=True)
class Request:
    """A trip that waits for a driver.

    Attributes:
        id: of the trip.
        services: names of the classes any of which will do; a driver has to drive for one of them.
        since: when its search began.
        priority: higher is first in line: how often it has lost a driver already.
        declined: user ids of drivers who are not asked.
        waves: how many waves of offers it has had.
        ready: when it can be picked up at the earliest; None: now.
        latest: when it has to be there, of what is brought; None: no matter.
        batchable: whether it may be brought together with another one.
    """

    id: str
    pickup: Point
    dropoff: Point
    services: frozenset[str]
    since: float
    priority: int = 0
    declined: frozenset[str] = frozenset()
    waves: int = 0
    ready: float | None = None
    latest: float | None = None
    batchable: bool = False


@dataclass(frozen=True, slots=True)
class FreeDriver:
    """Somebody to whom a trip can be offered.

    Attributes:
        person: user id.
        services: names of the classes that they drive for.
        idle_since: since when they have had no trip.
        free_in: seconds until they are done with what they do now, at ``point`` then; 0: they are free.
    """

    person: str
    point: Point
    services: frozenset[str]
    idle_since: float
    free_in: float = 0.0


@dataclass(frozen=True, slots=True)
class Policy:
    """How it is weighed. All times are seconds.

    Attributes:
        pickup_cap: nobody is asked who needs longer than this to the pickup.
        fastest: metres a second as the crow flies that nobody exceeds: limits how far is looked.
        resolution: of the H3 cells of the prefilter; 8: cells of 0.7 km², some 0.9 km from one to the next.
        candidates: drivers that a request is compared with at least, if there are so many: the nearest.
        waiting_weight: seconds of driving that a second of the request's waiting outweighs …
        waiting_most: … counted up to this many seconds of waiting.
        idle_weight: seconds of driving that a second of the driver's idleness outweighs …
        idle_most: … counted up to this many seconds of idleness.
        offer_seconds: a driver has so long to answer.
        search_seconds: a request is given up after so long, all its waves together.
        offer_least: no offer is made that has less time than this.
        wave_sizes: how many drivers are asked at once in the first wave, the second, …; the last one goes on.
        margin: a scheduled ride's search begins so long before the driver has to leave.
        batch_reach: metres between two pickups that are brought together at most.
        batch_saving: seconds of driving that bringing two together saves at least.
        batch_detour: seconds that neither of the two is with the courier longer than alone, at most.
        stop_seconds: that a pickup or a hand-over takes, in a batch.
        unserved: seconds of driving that it is worth to serve one more request in this round …
        first: … and more by this for each time that it has lost a driver: it is first in line.
        budget: seconds that a round may compute: beyond, the rest is matched nearest first.
    """

    pickup_cap: float = 900.0
    fastest: float = 25.0
    resolution: int = 8
    candidates: int = 32
    waiting_weight: float = 0.5
    waiting_most: float = 600.0
    idle_weight: float = 0.05
    idle_most: float = 1800.0
    offer_seconds: float = 25.0
    search_seconds: float = 120.0
    offer_least: float = 5.0
    wave_sizes: tuple[int, ...] = (1,)
    margin: float = 300.0
    batch_reach: float = 600.0
    batch_saving: float = 120.0
    batch_detour: float = 600.0
    stop_seconds: float = 120.0
    unserved: float = 7_200.0
    first: float = 100_000.0
    budget: float = 2.0

    def __post_init__(self) -> None:
        numbers = (self.pickup_cap, self.fastest, self.candidates, self.offer_seconds, self.search_seconds)
        if min(*numbers, self.unserved) <= 0 or not self.wave_sizes or min(self.wave_sizes) < 1:
            raise ValueError("a policy needs a cap, a speed, candidates, times and waves of more than 0")
        if not 0 <= self.resolution <= RESOLUTION_MAX:
            raise ValueError(f"H3 has resolutions from 0 to {RESOLUTION_MAX}")
        gained = self.waiting_weight * self.waiting_most + self.idle_weight * self.idle_most
        if min(self.waiting_weight, self.waiting_most, self.idle_weight, self.idle_most, self.first) < 0 or (
            self.unserved <= self.pickup_cap or self.first <= self.unserved + gained
        ):
            raise ValueError("serving somebody is worth more than any way to them, and who is first in line more yet")


DEFAULT: Final = Policy()


class Why(StrEnum):
    """Why a request is offered to nobody in this round."""

    NOBODY = "nobody"
    """No driver is free at all."""
    NO_CLASS = "no_class"
    """None who drives for its class is free."""
    TOO_FAR = "too_far"
    """None is near enough to be there within the cap, or there is no way."""
    DECLINED = "declined"
    """Those who are near enough are not to be asked (again)."""
    TAKEN = "taken"
    """Those who are near enough are offered something else in this round."""
    TIME_OVER = "time_over"
    """Its search has come to its end: :func:`search_over`, or no time is left for a further offer."""


@dataclass(frozen=True, slots=True)
class Match:
    """Whom to ask.

    Attributes:
        requests: id of the trip; of two that are brought in one go both, in the order of their pickups.
        driver: user id.
        seconds: that the driver needs to the (first) pickup; ``metres``: how far that is.
        dropoffs: the ids in the order of their drop-offs.
        backup: asked besides the best one, in a wave of several.
    """

    requests: tuple[str, ...]
    driver: str
    seconds: float
    metres: float
    dropoffs: tuple[str, ...]
    backup: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a round comes to.

    Attributes:
        matches: in the order of their first requests' ids.
        unmatched: of every other request, why.
        greedy: how many requests were matched nearest first, because there was no time for better.
        pairs: how many pairs of a request and a driver were compared; ``components``: in how many separate problems.
    """

    matches: tuple[Match, ...]
    unmatched: Mapping[str, Why]
    greedy: int = 0
    pairs: int = 0
    components: int = 0


def request_of(trip: Trip) -> Request:
    """A trip that is searching, as a request. What is brought for a client may be brought together with another."""
    assert trip.pickup.point is not None
    assert trip.dropoff.point is not None, "a trip goes from a point to a point"
    since = trip.searching_since or trip.opened_at
    return Request(
        id=trip.id,
        pickup=trip.pickup.point,
        dropoff=trip.dropoff.point,
        services=frozenset({trip.service}),
        since=since.timestamp(),
        priority=trip.priority,
        declined=frozenset(trip.declined),
        waves=trip.waves,
        ready=None if trip.ready_at is None else trip.ready_at.timestamp(),
        latest=None if trip.latest is None else trip.latest.timestamp(),
        batchable=trip.kind is TripKind.COURIER and not trip.stops,
    )


def wave_size(policy: Policy, waves: int) -> int:
    """How many drivers the next wave asks after so many waves."""
    return policy.wave_sizes[min(waves, len(policy.wave_sizes) - 1)]


def offer_deadline(request: Request, now: float, policy: Policy = DEFAULT) -> float:
    """Until when a driver who is asked now can answer: never longer than the search lasts."""
    return min(now + policy.offer_seconds, request.since + policy.search_seconds)


def search_over(request: Request, now: float, policy: Policy = DEFAULT) -> bool:
    """Whether no further driver is asked: there is no time left for an answer. An offer that is open is waited for."""
    return request.since + policy.search_seconds - now < policy.offer_least


def search_from(wanted: datetime, pickup_seconds: float, policy: Policy = DEFAULT) -> datetime:
    """When the search of a scheduled trip begins, if drivers need about so long to its pickup.

    The whole search and the policy's margin are allowed for: the driver who is found last can still be there in time.
    """
    pickup = min(max(pickup_seconds, 0.0), policy.pickup_cap)
    return wanted - timedelta(seconds=pickup + policy.search_seconds + policy.margin)
