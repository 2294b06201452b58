"""What can be done about a trip that is ordered: another way, another destination, cancelling, writing, sharing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bots.commerce.hand import Glance
from bots.domain.money import Money
from bots.domain.places import Place
from bots.domain.trips import ENDED, HAS_DRIVER, STOPS_MAX, Trip, TripKind, TripRefused, TripState, Way
from bots.fleet.trips import Charge
from bots.framework import Context, Dialog, Option, Rest, command, dialog
from bots.framework.i18n import _
from bots.rides.riding.base import OFFERED, REFUSALS, ROUNDS
from bots.rides.riding.places import Placing
from bots.rides.riding.sharing import Sharing
from bots.rides.riding.texts import QUESTION_MAX, place_words, sentence, trip_card, trip_name

__all__ = ["Changing"]

S = TripState
CHANGEABLE: Final = frozenset({S.SEARCHING, S.MATCHED, S.ARRIVED, S.UNDER_WAY})
STANDS: Final = timedelta(minutes=1)
"""So long a fee stands that was shown."""
CANCELLABLE: Final = frozenset({S.SCHEDULED, S.AUTHORISING, S.SEARCHING, S.MATCHED, S.ARRIVED})
GONE: Final = _("This trip is over.")


@dataclass(frozen=True, slots=True)
class AtHand:
    """A trip as a dialog shows it: its card, and what can be done about it now."""

    text: str
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Other:
    """Another way at its price. ``stops``: all of them, those behind too."""

    way: Way
    before: Money


@dataclass(frozen=True, slots=True)
class Fee:
    """What cancelling costs, as it was shown.

    Attributes:
        charge: None: nothing.
        state: of the trip then; ``at``: when that was (aware).
    """

    charge: Charge | None
    state: TripState
    at: datetime


class Changing(Placing, Sharing):
    """Trips under way, for the plugin to inherit."""

    @command("trip", help=_("Show your trip, and what you can do about it"), aliases=("my ride", "status"))
    async def show_trip(self, ctx: Context, number: Rest = "") -> None:
        """Show the trip that you are on (or one by its number), and what you can do about it."""
        trip = await self.trip_named(ctx, number)
        if trip is not None:
            ctx.start(self.trip_at_hand, trip.id)

    @command("cancel ride", help=_("Cancel your trip"), aliases=("cancel trip", "cancel parcel"))
    async def cancel_ride(self, ctx: Context, number: Rest = "") -> None:
        """Cancel your trip (or one by its number). What that costs is shown first."""
        trip = await self.trip_named(ctx, number, ended=False)
        if trip is not None:
            ctx.start(self.cancelling, trip.id)

    @command("add stop", help=_("Add a stop to your ride"), aliases=("another stop",))
    async def add_stop(self, ctx: Context, number: Rest = "") -> None:
        """Add a stop to the ride that you are on. The new price is shown first."""
        trip = await self.trip_named(ctx, number, ended=False)
        if trip is not None:
            ctx.start(self.changing, trip.id, "stop")

    @command("destination", help=_("Go somewhere else"), aliases=("change destination", "another destination"))
    async def change_destination(self, ctx: Context, number: Rest = "") -> None:
        """Change where your ride goes. The new price is shown first."""
        trip = await self.trip_named(ctx, number, ended=False)
        if trip is not None:
            ctx.start(self.changing, trip.id, "destination")

    # The card

    @dialog(timeout=OFFERED)
    async def trip_at_hand(self, d: Dialog, trip_id: str) -> None:
        """A trip, and what to do about it."""
        shown = await d.do("trip", self._shown, trip_id)
        if shown is None:
            await d.end(d.t(GONE))
        if not shown.actions:
            await d.end(shown.text)
        labels = {
            "cancel": d.t("Cancel it"),
            "stop": d.t("Add a stop"),
            "destination": d.t("Another destination"),
            "share": d.t("Show somebody where it is"),
            "rebook": d.t("Order it again"),
            "rate": d.t("Rate it"),
            "tip": d.t("Give a tip"),
            "receipt": d.t("Show the receipt"),
            "lost": d.t("Something was left in the car"),
            "dispute": d.t("Complain"),
        }
        question = shown.text
        if len(question) > QUESTION_MAX:
            await d.say(question)
            question = d.t("What would you like to do?")
        options = [Option(action, labels[action]) for action in shown.actions]
        await d.do("act", self._act, trip_id, (await d.choose(question, options)).value)

    async def _shown(self, ctx: Context, trip_id: str) -> AtHand | None:
        trip = await self.own_trip(ctx, trip_id)
        if trip is None:
            return None
        driver = await self.fleet.drivers.get(ctx, trip.driver) if trip.driver else None
        service = self.fleet.tariff.classes.get(trip.service)
        text = trip_card(ctx.translator, trip, driver, ctx.now(), "" if service is None else service.label)
        return AtHand(text, tuple(await self.actions_of(ctx, trip)))

    async def actions_of(self, ctx: Context, trip: Trip) -> list[str]:
        """What can be done about a trip as it stands."""
        if trip.state in ENDED:
            return []
        found = ["share"] if self.door is not None else []
        if trip.state in CHANGEABLE and trip.kind is TripKind.RIDE:
            found += ["stop"] if len(trip.stops) < STOPS_MAX else []
            found.append("destination")
        return [*found, "cancel"] if trip.state in CANCELLABLE else found

    async def _act(self, ctx: Context, trip_id: str, what: str) -> None:
        if what in {"stop", "destination"}:
            ctx.start(self.changing, trip_id, what)
        elif what == "cancel":
            ctx.start(self.cancelling, trip_id)
        elif what == "share":
            ctx.start(self.sharing, trip_id)
        else:
            await self.act_afterwards(ctx, trip_id, what)

    async def act_afterwards(self, ctx: Context, trip_id: str, what: str) -> None:
        """What is done about a trip that has ended."""
        raise NotImplementedError

    # Another way

    @dialog(timeout=OFFERED)
    async def changing(self, d: Dialog, trip_id: str, what: str) -> None:
        """Another place, its price, and the change."""
        for _round in range(ROUNDS):
            pickup = await d.do("open", self._changeable, trip_id)
            if isinstance(pickup, str):
                await d.end(pickup)
            question = d.t("Where shall we stop?") if what == "stop" else d.t("Where would you like to go instead?")
            place = await self.ask_place(d, question, pickup)
            try:
                other = await self.look(d, "way", self._way, trip_id, what, place)
            except REFUSALS as error:
                await d.say(self.refusal(d, error))
                continue
            if other is None:
                await d.end(d.t(GONE))
            if not await d.confirm(self._way_question(d, what, place, other)):
                await d.end(d.t("It stays as it was."))
            words = await d.do("change", self._change, trip_id, what, place, other.way.quoted)
            if words:
                await d.say(words)
                continue
            return
        await d.end()

    async def _changeable(self, ctx: Context, trip_id: str) -> Place | str:
        trip = await self.own_trip(ctx, trip_id)
        if trip is None or trip.state not in CHANGEABLE or trip.kind is not TripKind.RIDE:
            return ctx.t("The way of this trip cannot be changed now.")
        if trip.proposed is not None:
            return ctx.t(
                "Another way waits for your payment: confirm or decline it in your chat with the wallet first."
            )
        return trip.pickup

    async def _way(self, reader: Glance, trip_id: str, what: str, place: Place) -> Other | None:
        trip = await self.fleet.trips.get(reader, trip_id)
        if trip is None or trip.state not in CHANGEABLE:
            return None
        if what == "stop":
            stops = [*(each.place for each in trip.stops), place]
            return Other(await self.fleet.quotes.way(reader, trip, stops=stops), trip.quoted)
        return Other(await self.fleet.quotes.way(reader, trip, dropoff=place), trip.quoted)

    def _way_question(self, d: Dialog, what: str, place: Place, other: Other) -> str:
        where = place_words(place)
        head = d.t("A stop at {place}.", place=where) if what == "stop" else d.t("To {place} instead.", place=where)
        price = d.t("The ride costs {price} then; until now {before}.", price=other.way.quoted, before=other.before)
        if other.way.quoted > other.before:
            price += " " + d.t("You are asked to pay the difference.")
        return f"{head}\n{price}\n{d.t('Shall I change it?')}"

    async def _change(self, ctx: Context, trip_id: str, what: str, place: Place, shown: Money) -> str:
        """Change it at the price that was shown; what to say when it cannot be, or costs something else by now."""
        trip = await self.own_trip(ctx, trip_id)
        if trip is None or trip.state not in CHANGEABLE:
            return ctx.t(GONE)
        try:
            reader: Glance = ctx
            other = await self._way(reader, trip_id, what, place)
            if other is None:
                return ctx.t(GONE)
            if other.way.quoted > shown:
                return ctx.t("It costs more by now: {price}.", price=other.way.quoted)
            after = await self.fleet.trips.propose(ctx, trip, other.way, ctx.sender)
        except REFUSALS as error:
            return sentence(ctx.translator, error)
        if after.proposed is None:
            ctx.say(ctx.t("Changed. The ride costs {price} now.", price=after.quoted))
        return ""

    # Cancelling

    @dialog(timeout=OFFERED)
    async def cancelling(self, d: Dialog, trip_id: str) -> None:
        """What it costs, and the cancellation. What it costs by then is shown again when it is more."""
        for _round in range(ROUNDS):
            fee = await d.do("fee", self._fee, trip_id)
            if isinstance(fee, str):
                await d.end(fee)
            question = d.t("Cancelling costs nothing now. Shall I cancel it?")
            if fee.charge is not None:
                question = d.t("Cancelling costs {fee} now, for the driver is on the way. Shall I cancel it?",
                               fee=fee.charge.due)  # fmt: skip
            if not await d.confirm(question):
                await d.end(d.t("It stays as it was."))
            words = await d.do("cancel", self._cancel, trip_id, fee)
            if words:
                await d.end(words)
            await d.say(d.t("It costs something else by now."))

    async def _fee(self, ctx: Context, trip_id: str) -> Fee | str:
        trip = await self.own_trip(ctx, trip_id)
        if trip is None or trip.state in ENDED:
            return ctx.t(GONE)
        if trip.state not in CANCELLABLE:
            return ctx.t("It is under way already: ask the driver to stop, or choose another destination.")
        return Fee(self._cancel_charge(trip, ctx.now()), trip.state, ctx.now())

    def _cancel_charge(self, trip: Trip, at: datetime) -> Charge | None:
        charge = self.fleet.quotes.cancel_charge(trip, at) if trip.state in HAS_DRIVER else None
        return charge if charge is not None and charge.due else None

    async def _cancel(self, ctx: Context, trip_id: str, fee: Fee) -> str:
        """Cancel it for the fee that was shown, or less; empty: it costs more by now, and is shown again.

        What was shown a moment ago stands: a fee that grows with each second could never be agreed to.
        """
        trip = await self.own_trip(ctx, trip_id)
        if trip is None:
            return ctx.t(GONE)
        charge = self._cancel_charge(trip, ctx.now())
        shown = fee.charge
        if charge is not None and (shown is None or charge.due > shown.due):
            if fee.state is not trip.state or ctx.now() > fee.at + STANDS:
                return ""
            charge = shown
        try:
            after = await self.fleet.trips.cancel(ctx, trip, ctx.sender, "", charge)
        except TripRefused as error:
            return sentence(ctx.translator, error)
        return self._cancelled(ctx, trip, after, charge)

    def _cancelled(self, ctx: Context, before: Trip, after: Trip, charge: Charge | None) -> str:
        trip = trip_name(ctx.translator, after)
        if charge is not None:
            return ctx.t("{trip} is cancelled. {fee} is taken, the rest goes back.", trip=trip, fee=charge.due)
        if before.state in {S.SCHEDULED, S.AUTHORISING}:
            return ctx.t("{trip} is cancelled. Nothing was paid.", trip=trip)
        return ctx.t("{trip} is cancelled. What was held goes back.", trip=trip)
