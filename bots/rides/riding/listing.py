"""Trips before and after this one: the list, what is ordered for later, the same again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bots.commerce.hand import Glance
from bots.domain.money import Money
from bots.domain.trips import ENDED, WORDS, Trip, TripKind, TripState
from bots.framework import Context, Dialog, Option, Rest, command, dialog
from bots.framework.i18n import _
from bots.rides.riding.afterwards import Afterwards
from bots.rides.riding.base import OFFERED, PAGE, ROUNDS
from bots.rides.riding.ordering import Draft
from bots.rides.riding.sending import Sending
from bots.rides.riding.texts import joined, place_words

__all__ = ["Listing"]

MORE: Final = "more"


@dataclass(frozen=True, slots=True)
class Row:
    """A trip in a list. ``state``: English, of the domain's words."""

    id: str
    number: str
    to: str
    state: str
    price: Money
    at: datetime


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of trips. ``next``: the id of the last one, when there are more."""

    rows: tuple[Row, ...]
    next: str = ""


class Listing(Sending, Afterwards):
    """Lists of trips, for the plugin to inherit."""

    @command("trips", help=_("Show your trips"), aliases=("my trips", "history"))
    async def show_trips(self, ctx: Context) -> None:
        """Show your trips, the newest first: pick one for its receipt, a complaint, or to order it again."""
        if await self.private(ctx):
            ctx.start(self.trip_list, "")

    @command("scheduled", help=_("Show what you have ordered for later"))
    async def show_scheduled(self, ctx: Context) -> None:
        """Show the trips that you have ordered for later; pick one to cancel it."""
        if await self.private(ctx):
            ctx.start(self.scheduled_list)

    @command("rebook", help=_("Order a trip again: rebook 7KD2F"), aliases=("again", "ride again"))
    async def rebook(self, ctx: Context, number: Rest = "") -> None:
        """Order a trip again that you have had (by its number, or the last one), at the price of now."""
        trip = await self.trip_named(ctx, number)
        if trip is not None and await self.may_order(ctx):
            self.rebook_trip(ctx, trip)

    def rebook_trip(self, ctx: Context, trip: Trip) -> None:
        """Begin to order the same trip again."""
        kind = TripKind.RIDE if trip.kind is TripKind.RIDE else TripKind.COURIER
        stops = tuple(stop.place for stop in trip.stops)
        passenger = "" if kind is TripKind.RIDE else trip.passenger
        ctx.start(self.again, Draft(kind, trip.pickup, trip.dropoff, stops, passenger, trip.note))

    @dialog(timeout=OFFERED)
    async def again(self, d: Dialog, draft: Draft) -> None:
        """The same places, at the price of now."""
        await self.price_and_order(d, draft)

    @dialog(timeout=OFFERED)
    async def trip_list(self, d: Dialog, before: str) -> None:
        """The trips, page by page."""
        for _round in range(ROUNDS):
            page = await self.look(d, "trips", self._read_trips, d.person, before)
            if not page.rows:
                await d.end(d.t("You have had no trip yet. “ride” orders one."))
            options = [self._row(d, row) for row in page.rows]
            if page.next:
                options.append(Option(MORE, d.t("Show more"), aliases=("more", d.t("more"))))
            picked = (await d.choose(d.t("Your trips:"), options, page_size=PAGE + 1)).value
            if picked != MORE:
                await d.do("open", self._open_trip, picked)
                return
            before = page.next
        await d.end()

    @dialog(timeout=OFFERED)
    async def scheduled_list(self, d: Dialog) -> None:
        """What is ordered for later."""
        page = await self.look(d, "scheduled", self._read_scheduled, d.person)
        if not page.rows:
            await d.end(d.t("You have ordered nothing for later. “ride tomorrow 8:00” does."))
        options = [self._row(d, row) for row in page.rows]
        picked = (await d.choose(d.t("Ordered for later:"), options, page_size=20)).value
        await d.do("open", self._open_trip, picked)

    async def _open_trip(self, ctx: Context, trip_id: str) -> None:
        ctx.start(self.trip_at_hand, trip_id)

    def _row(self, d: Dialog, row: Row) -> Option:
        label = d.t("{number} to {place}", number=row.number, place=row.to)
        about = joined([d.t("{time}", time=row.at), d.t(row.state), d.t("{amount}", amount=row.price)])
        return Option(row.id, label, about, aliases=(row.number,))

    async def _read_trips(self, reader: Glance, person: str, before: str) -> Rows:
        found = await self.fleet.trips.of_rider(reader, person, before=before, limit=PAGE + 1)
        rows = tuple(_row_of(each) for each in found[:PAGE])
        return Rows(rows, rows[-1].id if len(found) > PAGE else "")

    async def _read_scheduled(self, reader: Glance, person: str) -> Rows:
        found = [each for each in await self.fleet.trips.open_of_rider(reader, person)
                 if each.state is TripState.SCHEDULED]  # fmt: skip
        found.sort(key=lambda each: each.wanted or each.opened_at)
        return Rows(tuple(_row_of(each) for each in found[:20]))


def _row_of(trip: Trip) -> Row:
    price = trip.due if trip.due is not None and trip.state in ENDED else trip.quoted
    return Row(trip.id, trip.number, place_words(trip.dropoff), WORDS[trip.state], price, trip.wanted or trip.opened_at)
