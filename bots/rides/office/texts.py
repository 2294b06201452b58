"""What operators read of trips and drivers. Everything is plain text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from bots.domain import drivers, trips
from bots.domain.drivers import Driver
from bots.domain.trips import Trip, TripKind
from bots.fleet.surge import ZoneSurge
from bots.fleet.trips import Step
from bots.framework.i18n import Translator, _

__all__ = [
    "KINDS",
    "driver_card",
    "driver_line",
    "minutes_since",
    "surge_line",
    "trip_card",
    "trip_line",
    "waiting_line",
]

KINDS = {TripKind.RIDE: _("ride"), TripKind.COURIER: _("courier"), TripKind.RETURN: _("return")}
"""As people read them."""


def minutes_since(moment: datetime, now: datetime) -> int:
    """Whole minutes, begun ones not."""
    return max(math.floor((now - moment) / timedelta(minutes=1)), 0)


def waiting_line(say: Translator, trip: Trip, now: datetime) -> str:
    """Somebody who waits for a driver."""
    since = trip.searching_since or trip.opened_at
    return say.t(
        "{number}: {service}, waiting for {minutes} min, from {place}",
        number=trip.number,
        service=trip.service,
        minutes=minutes_since(since, now),
        place=trip.pickup.text,
    )


def trip_line(say: Translator, trip: Trip) -> str:
    """A trip in a list."""
    return say.t(
        "{number}: {kind} ({service}), {state}, {amount}",
        number=trip.number,
        kind=say.t(KINDS[trip.kind]),
        service=trip.service,
        state=say.t(trips.WORDS[trip.state]),
        amount=trip.quoted if trip.due is None else trip.due,
    )


def trip_card(say: Translator, trip: Trip, steps: Sequence[Step], driver: Driver | None) -> str:
    """All that an operator sees of a trip; its PINs are not theirs to know."""
    lines = [trip_line(say, trip), say.t("From {place}", place=trip.pickup.text)]
    lines += [say.t("Stop: {place}", place=stop.place.text) for stop in trip.stops]
    lines.append(say.t("To {place}", place=trip.dropoff.text))
    if trip.wanted is not None:
        lines.append(say.t("Ordered for {time}", time=trip.wanted))
    if trip.rider:
        lines.append(say.t("Rider: {person}", person=trip.rider))
    if trip.passenger:
        lines.append(say.t("For {name}", name=trip.passenger))
    if trip.driver:
        lines.append(say.t("Driver: {person} ({name}, {plate})", person=trip.driver,
                           name="" if driver is None else driver.name,
                           plate="" if driver is None else driver.vehicle.plate))  # fmt: skip
    lines.append(say.t("Quoted {quoted}, of it {earning} for who drives", quoted=trip.quoted, earning=trip.earning))
    if trip.due is not None:
        lines.append(say.t("Due: {due}", due=trip.due))
    if trip.tip is not None:
        lines.append(say.t("Tip: {tip}", tip=trip.tip))
    if trip.disputed:
        lines.append(say.t("Disputed: its money waits for your decision (“disputes”)."))
    if trip.reason:
        lines.append(say.t("Reason: {reason}", reason=trip.reason))
    lines += [
        say.t("{time}: {state}", time=step.at, state=say.t(trips.WORDS[step.state]))
        + (f" ({step.by})" if step.by else "")
        for step in steps
    ]
    return "\n".join(lines)


def driver_line(say: Translator, driver: Driver) -> str:
    """A driver in a list."""
    return say.t(
        "{person}: {name}, {vehicle} ({plate}): {state}",
        person=driver.person,
        name=driver.name,
        vehicle=f"{driver.vehicle.colour} {driver.vehicle.make}",
        plate=driver.vehicle.plate,
        state=say.t(drivers.WORDS[driver.state]),
    )


def driver_card(say: Translator, driver: Driver) -> str:
    """All that an operator sees of a driver."""
    lines = [
        driver_line(say, driver),
        say.n("{count} seat", "{count} seats", driver.vehicle.seats),
        say.t("Drives for: {services}", services=", ".join(sorted(driver.services))),
    ]
    if driver.rating is not None:
        lines.append(say.n("{stars} stars by {count} rider", "{stars} stars by {count} riders", driver.ratings,
                           stars=round(driver.rating, 1)))  # fmt: skip
    if driver.reason:
        lines.append(say.t("Reason: {reason}", reason=driver.reason))
    for document in driver.documents:
        if document.expires is None:
            lines.append(say.t("Document: {kind}", kind=document.kind))
        else:
            lines.append(say.t("Document: {kind}, valid until {date}", kind=document.kind, date=document.expires))
    return "\n".join(lines)


def surge_line(say: Translator, zone: ZoneSurge) -> str:
    """How a zone stands."""
    name = zone.zone or say.t("everywhere else")
    line = say.t(
        "{zone}: × {times}: {waiting} wait, {free} are free; at most {cap} %",
        zone=name,
        times=zone.surge.times,
        waiting=zone.surge.waiting,
        free=zone.surge.free,
        cap=zone.cap,
    )
    if zone.override is None:
        return line
    set_by = say.t("set to {percent} % by {person} until {time}", percent=zone.override.multiplier,
                   person=zone.override.by, time=zone.override.until)  # fmt: skip
    return f"{line} ({set_by})"
