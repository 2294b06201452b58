"""How long things of a fleet wait, and how much of everything there may be: what an operator sets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from bots.domain.money import Money

__all__ = ["Charge", "Terms"]


@dataclass(frozen=True, slots=True)
class Charge:
    """What is due for a trip at its end: of the rider, and of that for the driver."""

    due: Money
    earning: Money


@dataclass(frozen=True, slots=True)
class Terms:
    """How long things wait.

    Attributes:
        every: between two rounds while trips wait.
        pay: for the rider's confirmation in the wallet.
        change: for the rider's confirmation of what another way costs more.
        search: for a driver, all waves together; of what a client has brought ``client_search``.
        offered: a driver has so long to answer.
        grace: a driver waits so long at the pickup; then the rider has missed it.
        ahead: so long before it is wanted, a trip that is ordered for later is woken; ``client_ahead``: a courier is
            looked for before it is ready.
        approach: so much more than twice what was promised a driver of whom nothing is heard has to be at the pickup;
            then another one is looked for.
        longest: a driver who waits, or drives, has done so by mistake after so long: the trip ends, and costs nothing.
        capture: so long after its end the money of a ride is taken: until then a dispute leaves it held.
        silent: a driver of whom nothing is heard for so long is offline.
        stale: a driver whose position is older is asked for nothing.
        lapses: a driver who lets so many offers in a row lapse is set on a break; 0: never.
        drivers_most: drivers who are looked at in a round; ``trips_most``: trips.
    """

    every: timedelta = timedelta(seconds=3)
    pay: timedelta = timedelta(minutes=5)
    change: timedelta = timedelta(minutes=3)
    search: timedelta = timedelta(seconds=120)
    client_search: timedelta = timedelta(minutes=30)
    offered: timedelta = timedelta(seconds=25)
    grace: timedelta = timedelta(minutes=5)
    ahead: timedelta = timedelta(minutes=20)
    client_ahead: timedelta = timedelta(minutes=10)
    approach: timedelta = timedelta(minutes=10)
    longest: timedelta = timedelta(hours=12)
    capture: timedelta = timedelta(minutes=10)
    silent: timedelta = timedelta(minutes=15)
    stale: timedelta = timedelta(minutes=3)
    lapses: int = 3
    drivers_most: int = 10_000
    trips_most: int = 5_000
