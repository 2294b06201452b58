"""What couriers read of trips."""

from __future__ import annotations

from typing import Final

from bots.domain import couriers
from bots.domain.couriers import CourierJob, JobKind, JobState
from bots.domain.money import Money
from bots.domain.places import Place, distance_m
from bots.framework.arguments.places import Place as Shared
from bots.framework.i18n import Translator, _

__all__ = ["FAILURES", "at_door", "offered", "on_the_way", "place_line", "sentence", "summary", "sums"]

FAILURES: Final = {
    "absent": _("Nobody opens"),
    "address": _("I cannot find the address"),
    "refused": _("They do not want it"),
    "damaged": _("It is damaged"),
}
"""Why it cannot be handed over."""


def sentence(say: Translator, error: couriers.CourierError) -> str:
    """A refusal in the person's language."""
    values = {key: say.t(value) if key == "state" else value for key, value in error.values.items()}
    return say.t(error.msgid, **values)


def place_line(place: Place) -> str:
    """An address, with what opens it in an app of maps (RFC 5870)."""
    if place.point is None:
        return place.text
    return f"{place.text} ({Shared(place.point.latitude, place.point.longitude).geo_uri})"


def pay_of(say: Translator, job: CourierJob) -> str:
    """What a courier gets."""
    if job.tip is not None and job.tip.minor and job.kind is JobKind.DELIVERY:
        return say.t("You get {fee}, and a tip of {tip}.", fee=job.fee, tip=job.tip)
    return say.t("You get {fee}.", fee=job.fee)


def at_door(say: Translator, *, wanted: bool) -> str:
    """What a buyer wants of who brings it, for a note."""
    return say.t("Leave it at the door, with a photo.") if wanted else say.t("Hand it over.")


def offered(say: Translator, job: CourierJob, seconds: int) -> str:
    """A trip that is offered. Where it goes to exactly is nobody's affair who does not bring it."""
    lines = [say.t("A trip from {seller}: {place}", seller=job.seller, place=job.pickup.text)]
    if job.pickup.point is not None and job.dropoff.point is not None:
        km = round(distance_m(job.pickup.point, job.dropoff.point) / 1000, 1)
        lines.append(say.t("{km} km to the buyer, as the crow flies.", km=km))
    if job.ready_at is not None:
        lines.append(say.t("Ready at {time}.", time=job.ready_at))
    lines.append(pay_of(say, job))
    lines.append(say.n("You have {count} second.", "You have {count} seconds.", seconds))
    return "\n".join(lines)


def on_the_way(say: Translator, job: CourierJob) -> str:
    """What is to be done next."""
    if job.state is JobState.TAKEN:
        lines = [
            say.t("Fetch order {number} of {seller}: {place}", number=job.number, seller=job.seller,
                  place=place_line(job.pickup)),
        ]  # fmt: skip
        if job.ready_at is not None:
            lines.append(say.t("Ready at {time}.", time=job.ready_at))
        lines.append(say.t("They tell you a code of four digits when they hand it to you."))
        return "\n".join(lines)
    if job.kind is JobKind.RETURN:
        return "\n".join([
            say.t("Bring order {number} back to {seller}: {place}", number=job.number, seller=job.seller,
                  place=place_line(job.dropoff)),
            say.t("They tell you a code of four digits when you hand it to them."),
        ])  # fmt: skip
    lines = [
        say.t("Bring order {number} to {buyer}: {place}", number=job.number, buyer=job.buyer,
              place=place_line(job.dropoff)),
    ]  # fmt: skip
    if job.note:
        lines.append(say.t("Their note: {note}", note=job.note))
    lines.append(
        say.t("They want it left at the door: send a photo of it there.")
        if job.leave
        else say.t("They tell you a PIN of four digits when you hand it to them.")
    )
    return "\n".join(lines)


def summary(say: Translator, job: CourierJob) -> str:
    """A trip in the list of earnings."""
    words = say.t("brought back") if job.kind is JobKind.RETURN else say.t(couriers.WORDS[job.state])
    return say.t(
        "{date}: {seller}, order {number}: {amount} ({state})",
        date=job.updated_at,
        seller=job.seller,
        number=job.number,
        amount=job.earned,
        state=words,
    )


def sums(jobs: list[CourierJob]) -> list[Money]:
    """What was earned, one amount for each currency."""
    found: dict[str, Money] = {}
    for job in jobs:
        earned = job.earned
        found[earned.currency] = found.get(earned.currency, Money.zero(earned.currency)) + earned
    return list(found.values())
