"""What drivers read of offers, trips and what they earn. Everything is plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from bots.domain import trips
from bots.domain.drivers import Offer
from bots.domain.money import Money
from bots.domain.places import Place, Point
from bots.domain.trips import Trip, TripKind, TripState
from bots.framework.arguments.places import Place as Shared
from bots.framework.i18n import Translator, _
from bots.rides.riding.texts import hour, kilometres, minutes, short, trip_name

__all__ = ["FAILURES", "REASONS", "earned", "job_words", "links", "offer_over", "offer_words", "summary", "sums"]

REASONS: Final = {
    "car": _("Something is wrong with my car"),
    "traffic": _("I cannot get there"),
    "rider": _("The rider asked me to"),
    "unsafe": _("I do not feel safe"),
    "other": _("Something else"),
}
"""Why a driver gives a trip back."""
FAILURES: Final = {
    "absent": _("Nobody opens"),
    "address": _("I cannot find the address"),
    "refused": _("They do not want it"),
    "damaged": _("It is damaged"),
}
"""Why something cannot be handed over."""


# Offers


def offer_words(say: Translator, offer: Offer, offered: Sequence[Trip], seconds: int, label: str) -> str:
    """A trip that is offered: how soon, how far, for how much. Where exactly, who takes it hears.

    Args:
        label: of the class, in the operator's words.
    """
    first = offered[0]
    head = {
        TripKind.RIDE: say.t("A ride is offered to you: {service}.", service=label),
        TripKind.COURIER: say.t("Something is to be brought."),
        TripKind.RETURN: say.t("Something is to be brought back."),
    }[first.kind]
    lines = [head if len(offered) == 1 else say.t("Two things are to be brought in one go.")]
    lines.append(
        say.t(
            "{minutes} to the pickup ({way}): {place}",
            minutes=minutes(say, offer.pickup_seconds),
            way=kilometres(say, offer.pickup_metres),
            place=_area(first.pickup),
        )
    )
    for trip in offered:
        lines.append(
            say.t("Then {way}, about {minutes}.", way=kilometres(say, trip.metres), minutes=minutes(say, trip.seconds))
        )
        if trip.stops:
            lines.append(say.n("With {count} stop.", "With {count} stops.", len(trip.stops)))
    lines.append(say.t("You earn {amount}.", amount=offer.earning))
    if any(trip.surge > 100 for trip in offered):
        lines.append(say.t("There is surge: × {times}.", times=f"{max(each.surge for each in offered) / 100:g}"))
    lines.append(say.n("You have {count} second.", "You have {count} seconds.", seconds))
    return "\n".join(lines)


def offer_over(say: Translator, state: str, earning: Money) -> str:
    """What is left of the card of an offer."""
    return say.t("This offer of {amount} is over: {state}.", amount=earning, state=state)


def _area(place: Place) -> str:
    """A place without its number: the street, the part of the town."""
    text = place.text.partition(",")[0]
    words = [word for word in text.split() if not any(each.isdigit() for each in word)]
    return short(" ".join(words) or text, 60)


# On the way


def place_line(place: Place) -> str:
    """A place in full."""
    return short(place.text, 200)


def links(point: Point, wanted: Iterable[str]) -> list[str]:
    """What opens the way to a place in an app of maps. Text only: nothing is asked of anybody by us."""
    shared = Shared(round(point.latitude, 6), round(point.longitude, 6))
    where = shared.geo_uri.removeprefix("geo:")
    made = {
        "geo": shared.geo_uri,  # RFC 5870
        "openstreetmap": f"https://www.openstreetmap.org/directions?to={where.replace(',', '%2C')}",
        "google": f"https://www.google.com/maps/dir/?api=1&destination={where.replace(',', '%2C')}",
        "apple": f"https://maps.apple.com/?daddr={where.replace(',', '%2C')}",
    }
    return [made[each] for each in wanted]


def target(trip: Trip) -> Place:
    """Where the driver has to be next."""
    if trip.state is not TripState.UNDER_WAY:
        return trip.pickup
    return next((stop.place for stop in trip.stops if stop.left_at is None), trip.dropoff)


def job_words(
    say: Translator, trip: Trip, *, now: datetime, navigation: Sequence[str], free_from: datetime | None, other: str
) -> str:
    """What is to be done next.

    Args:
        now: on the driver's clocks.
        navigation: of which apps links are made.
        free_from: from when on a rider who does not come has missed it (aware); None: that is no matter now.
        other: number of what is brought in the same go; empty: nothing.
    """
    lines = [_next_words(say, trip)]
    if trip.state is not TripState.ARRIVED:
        place = target(trip)
        lines.append(say.t("Where: {place}", place=place_line(place)))
        if place.point is not None:
            lines += links(place.point, navigation)
    lines += _more(say, trip, now)
    if free_from is not None:
        when = hour(free_from, now.tzinfo or free_from.tzinfo)  # type: ignore[arg-type]
        words = (
            say.t("Nobody came: from now on you may say so (“no-show”).")
            if free_from <= now
            else say.t("If nobody comes until {time}, you may say so (“no-show”).", time=when)
        )
        lines.append(words)
    if other:
        lines.append(say.t("In the same go: {number}.", number=other))
    return "\n".join(lines)


def _next_words(say: Translator, trip: Trip) -> str:
    name, who = trip_name(say, trip), trip.passenger
    if trip.state is TripState.MATCHED:
        if trip.kind is TripKind.RIDE:
            return say.t("{trip}: pick up {name}.", trip=name, name=who or say.t("your rider"))
        return say.t("{trip}: fetch it.", trip=name)
    if trip.state is TripState.ARRIVED:
        if trip.kind is TripKind.RIDE:
            return say.t("{trip}: you are there. {name} tells you a PIN: “start 1234”.", trip=name,
                         name=who or say.t("Your rider"))  # fmt: skip
        return say.t("{trip}: you are there. They tell you a PIN when they hand it over: “start 1234”.", trip=name)
    left = sum(1 for stop in trip.stops if stop.left_at is None)
    if left:
        return say.n("{trip}: under way, {count} stop left.", "{trip}: under way, {count} stops left.", left,
                     trip=name)  # fmt: skip
    if trip.kind is TripKind.RIDE:
        return say.t("{trip}: drive to the destination.", trip=name)
    if trip.kind is TripKind.RETURN:
        return say.t("{trip}: bring it back. They tell you a PIN: “end 1234”.", trip=name)
    if trip.dropoff_pin:
        return say.t("{trip}: bring it to {name}. They tell you a PIN: “end 1234”.", trip=name,
                     name=who or say.t("who receives it"))  # fmt: skip
    return say.t("{trip}: bring it to {name}.", trip=name, name=who or say.t("who receives it"))


def _more(say: Translator, trip: Trip, now: datetime) -> list[str]:
    """What helps on the way."""
    lines = []
    if trip.state is TripState.MATCHED and trip.ready_at is not None and trip.ready_at > now:
        lines.append(say.t("Ready at {time}.", time=trip.ready_at))
    if trip.state is TripState.UNDER_WAY and trip.latest is not None:
        lines.append(say.t("There at {time} at the latest.", time=trip.latest))
    if trip.note:
        lines.append(say.t("Their note: {note}", note=short(trip.note, 300)))
    lines.append(say.t("You earn {amount}.", amount=trip.earning))
    return lines


# What they earn


def earned(trip: Trip) -> Money:
    """What a driver gets for a trip that has ended, the tip included."""
    return trip.earning if trip.tip is None else trip.earning + trip.tip


def sums(found: Iterable[Trip]) -> list[Money]:
    """What was earned, one amount for each currency."""
    amounts: dict[str, Money] = {}
    for trip in found:
        amount = earned(trip)
        amounts[amount.currency] = amounts.get(amount.currency, Money.zero(amount.currency)) + amount
    return list(amounts.values())


def summary(say: Translator, trip: Trip) -> str:
    """A trip in the list of earnings."""
    line = say.t(
        "{date}: {trip}: {amount} ({state})",
        date=trip.ended_at or trip.updated_at,
        trip=trip_name(say, trip),
        amount=earned(trip),
        state=say.t(trips.WORDS[trip.state]),
    )
    if trip.tip:
        line = say.t("{line}, {tip} of it a tip", line=line, tip=trip.tip)
    if trip.disputed:
        return say.t("{line}; it waits for a decision of the operator", line=line)
    return say.t("{line}; not paid yet", line=line) if trip.owed else line
