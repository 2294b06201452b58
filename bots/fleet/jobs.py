"""Trips of a fleet as the jobs of who has things brought: where they stand, who brings them, and what shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from appservice import json
from bots.domain.couriers import Courier, CourierJob, CourierState, JobState
from bots.domain.drivers import Driver
from bots.domain.trips import Trip as FleetTrip
from bots.domain.trips import TripState

__all__ = ["SHOWN", "UNFOUND", "as_courier", "of_trip", "photo_of"]

SHOWN: Final = {
    TripState.SCHEDULED: JobState.SEARCHING,
    TripState.AUTHORISING: JobState.SEARCHING,
    TripState.SEARCHING: JobState.SEARCHING,
    TripState.MATCHED: JobState.TAKEN,
    TripState.ARRIVED: JobState.TAKEN,
    TripState.UNDER_WAY: JobState.CARRIED,
    TripState.COMPLETED: JobState.DONE,
    TripState.FAILED: JobState.FAILED,
}
"""Where a job stands whose trip stands there; it is withdrawn where the trip has ended in any other way."""
UNFOUND: Final = frozenset({TripState.UNSERVED, TripState.CANCELLED})
"""Nobody was found in time, or who came waited in vain: another trip is asked for."""


def of_trip(job: CourierJob, trip: FleetTrip) -> CourierJob:
    """A job with what its trip was given: they are one, by the id and the PINs."""
    return replace(job, id=trip.id, pickup_code=trip.pin, pin=trip.dropoff_pin)


def photo_of(proof: str) -> Mapping[str, object] | None:
    """The photo that a trip's end is shown by, as a message; None: there is none."""
    if not proof.startswith("{"):
        return None
    found = json.loads(proof)
    return found if isinstance(found, dict) else None


def as_courier(driver: Driver) -> Courier:
    vehicle = driver.vehicle
    return Courier(
        person=driver.person,
        name=driver.name,
        vehicle=f"{vehicle.colour} {vehicle.make}, {vehicle.plate}"[:60],
        room_id=driver.room_id,
        state=CourierState.ONLINE,
        applied_at=driver.applied_at,
        asked_at=driver.idle_since,
        job=driver.trip,
        revision=driver.revision,
    )
