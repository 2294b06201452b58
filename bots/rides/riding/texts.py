"""What riders read of trips, drivers, ways and prices. Everything is plain text."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from bots.domain import drivers, trips
from bots.domain.drivers import Driver
from bots.domain.errors import DomainError
from bots.domain.fares import Line, Surge
from bots.domain.places import Place
from bots.domain.trips import ENDED, HAS_DRIVER, Trip, TripKind, TripState
from bots.framework import Dialog, InvalidValue
from bots.framework.arguments import Text
from bots.framework.i18n import Translator, _

__all__ = [
    "QUESTION_MAX",
    "Speaking",
    "about",
    "car",
    "driver_line",
    "explain",
    "fare_lines",
    "hour",
    "joined",
    "kilometres",
    "minutes",
    "place_words",
    "price_line",
    "sentence",
    "short",
    "trip_card",
    "way_lines",
]

QUESTION_MAX: Final = 950
"""A question of a choice has 1,000 characters at most."""
STATES: Final = frozenset({*trips.WORDS.values(), *drivers.WORDS.values(), *drivers.OFFER_WORDS.values()})
"""What the field ``state`` of a refusal holds: English words that are translated before they are put in."""
NEAR: Final = timedelta(hours=12)
"""Times that are nearer are said without their day."""


class Speaking:
    """A dialog's texts as a translator."""

    language = ""

    def __init__(self, d: Dialog) -> None:
        self.t: Callable[..., str] = d.t
        self.n: Callable[..., str] = d.n


def sentence(say: Translator, error: DomainError) -> str:
    """A refusal of the domain in the person's language."""
    values = {key: say.t(value) if _is_state(value) else value for key, value in error.values.items()}
    return say.t(error.msgid, **values)


def explain(error: DomainError) -> InvalidValue:
    """The same as a question says it, before it is asked again."""
    values: dict[str, Any] = {key: Text(value) if _is_state(value) else value for key, value in error.values.items()}
    return InvalidValue(error.code, error.msgid, clear=True, **values)


def _is_state(value: object) -> bool:
    return isinstance(value, str) and value in STATES


def short(text: str, most: int) -> str:
    """A text of so many characters at most, on one line, cut between words where there are some."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    cut = line[: most - 1]
    return (cut.rpartition(" ")[0] if " " in cut[most // 2 :] else cut).rstrip() + "…"


def joined(parts: Iterable[str], between: str = " · ") -> str:
    """Those of the parts that say something."""
    return between.join(part for part in parts if part)


# Times and distances


def minutes(say: Translator, seconds: float) -> str:
    """How long, in whole minutes: one at least."""
    return say.n("{count} minute", "{count} minutes", max(math.ceil(seconds / 60), 1))


def kilometres(say: Translator, metres: float) -> str:
    """How far."""
    if metres < 950:
        return say.t("{metres} m", metres=max(round(metres / 50) * 50, 50))
    return say.t("{km} km", km=round(metres / 1000, 1))


def hour(at: datetime, zone: dt.tzinfo) -> dt.time:
    """The time of day that clocks in a zone show: it is written without its day."""
    return at.astimezone(zone).time().replace(second=0, microsecond=0)


def about(say: Translator, at: datetime, now: datetime) -> str:
    """When something is, near now: how long from now, and at what time. ``now``: in the person's time zone."""
    left = minutes(say, (at - now).total_seconds())
    return say.t("in about {minutes}, at {time}", minutes=left, time=hour(at, now.tzinfo or dt.UTC))


def moment(say: Translator, at: datetime, now: datetime) -> str:
    """A moment: the time of day alone where it is near."""
    if abs(at - now) < NEAR:
        return say.t("{time}", time=hour(at, now.tzinfo or dt.UTC))
    return say.t("{time}", time=at)


# Prices


def price_line(say: Translator, label: str, amount: Any) -> str:
    """One line of a bill."""
    return say.t("{label}: {amount}", label=label, amount=amount)


def fare_lines(say: Translator, lines: Sequence[Line], total: Any) -> list[str]:
    """The lines of a breakdown, and the total."""
    found = [price_line(say, say.t(line.label, **line.values), line.amount) for line in lines]
    return [*found, price_line(say, say.t("Total"), total)]


def surge_words(say: Translator, surge: Surge, most: int) -> str:
    """Why it costs more just now, and how far that can go. ``most``: in hundredths."""
    words = say.t("Prices are × {times} just now, and never more than × {cap}.", times=surge.times,
                  cap=Surge(max(most, 100)).times)  # fmt: skip
    return joined([words, say.t(surge.reason, waiting=surge.waiting, free=surge.free) if surge.reason else ""], " ")


# People and cars


def car(driver: Driver) -> str:
    """What to look out for: "blue Toyota Prius, B-RI 123"."""
    return f"{driver.vehicle.colour} {driver.vehicle.make}, {driver.vehicle.plate}"


def driver_line(say: Translator, driver: Driver) -> str:
    """Who comes, and in what."""
    stars = "" if driver.rating is None else f" ★ {driver.rating:.1f}"
    return say.t("{driver}: {car}", driver=f"{driver.name}{stars}", car=car(driver))


# Trips

KINDS: Final = {TripKind.RIDE: _("Ride {number}"), TripKind.COURIER: _("Parcel {number}"),
                TripKind.RETURN: _("Parcel {number}, on its way back")}  # fmt: skip


def trip_name(say: Translator, trip: Trip) -> str:
    """A trip as people call it."""
    return say.t(KINDS[trip.kind], number=trip.number)


def place_words(place: Place) -> str:
    """A place on one line."""
    return short(place.text, 120)


def way_lines(say: Translator, pickup: Place, stops: Sequence[Place], dropoff: Place) -> list[str]:
    """From where, over where, to where."""
    lines = [say.t("From: {place}", place=place_words(pickup))]
    lines += [say.t("Stop {number}: {place}", number=number, place=place_words(each))
              for number, each in enumerate(stops, 1)]  # fmt: skip
    return [*lines, say.t("To: {place}", place=place_words(dropoff))]


def trip_card(say: Translator, trip: Trip, driver: Driver | None, now: datetime, label: str = "") -> str:
    """A trip as its rider sees it.

    Args:
        now: in the rider's time zone.
        label: of the class.
    """
    head = say.t("{trip}: {state}", trip=trip_name(say, trip), state=say.t(trips.WORDS[trip.state]))
    lines = [head, *way_lines(say, trip.pickup, [each.place for each in trip.stops], trip.dropoff)]
    if trip.wanted is not None and trip.state not in ENDED:
        lines.append(say.t("Wanted at {time}", time=moment(say, trip.wanted, now)))
    if trip.passenger and trip.kind is not TripKind.RIDE:
        lines.append(say.t("For {name}", name=trip.passenger))
    lines.append(price_line(say, label or say.t("Price"), trip.quoted if trip.due is None else trip.due))
    if trip.tip:
        lines.append(price_line(say, say.t("Tip"), trip.tip))
    if driver is not None:
        lines.append(driver_line(say, driver))
    lines += _waited_for(say, trip, now)
    if trip.reason and trip.state in ENDED:
        lines.append(say.t("Reason: {reason}", reason=short(trip.reason, 300)))
    return "\n".join(lines)


def _waited_for(say: Translator, trip: Trip, now: datetime) -> list[str]:
    """What a rider needs while it is under way."""
    lines = []
    if trip.state is TripState.MATCHED and trip.promised_at is not None:
        lines.append(say.t("At the pickup {when}.", when=about(say, trip.promised_at, now)))
    if trip.state in HAS_DRIVER - {TripState.UNDER_WAY} and trip.pin:
        lines.append(pin_words(say, trip))
    if trip.dropoff_pin and trip.state not in ENDED:
        back = trip.kind is TripKind.RETURN
        text = _("Tell the courier this PIN when you have it back: {pin}") if back else RECEIVER_PIN
        lines.append(say.t(text, pin=trip.dropoff_pin))
    return lines


RECEIVER_PIN: Final = _("The PIN for who receives it: {pin}")


def pin_words(say: Translator, trip: Trip) -> str:
    """What the PIN of the pickup is for."""
    if trip.kind is TripKind.RIDE:
        return say.t("Your PIN: {pin}. Tell it to the driver when you get in.", pin=trip.pin)
    return say.t("The PIN for the pickup: {pin}. Tell it to the courier when you hand it over.", pin=trip.pin)
