"""After a trip: the receipt with a picture of the way, stars, a tip, lost items, complaints."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Any, Final

from bots.domain.drivers import DriverError
from bots.domain.fares import LABELS, Fare, Part
from bots.domain.money import Money, MoneyError
from bots.domain.places import Point
from bots.domain.trips import DRIVEN, ENDED, HAS_DRIVER, TEXT_MAX, Trip, TripKind, TripRefused, TripState
from bots.fleet.cases import TripCase, TripCaseKind, TripCaseState
from bots.framework import Context, Dialog, InvalidValue, Option, ParseEnv, Rest, command, dialog, timer
from bots.framework.i18n import Translator, _
from bots.rides.pages.map import Drawing, Line, Sign, Spot, fit, png
from bots.rides.riding.base import OFFERED
from bots.rides.riding.changing import GONE, Changing
from bots.rides.riding.talking import Talking
from bots.rides.riding.telling import CASE_DECIDED, ENDED_TIMER, RECEIPT
from bots.rides.riding.texts import (
    driver_line,
    explain,
    fare_lines,
    kilometres,
    minutes,
    price_line,
    sentence,
    short,
    trip_name,
    way_lines,
)
from bots.routing.base import RoutingError

__all__ = ["Afterwards", "receipt_text", "route_picture"]

log = logging.getLogger(__name__)

S = TripState
WIDTH, HEIGHT = 800, 480
NOT_NOW: Final = "none"
OTHER: Final = "other"
NOTHING: Final = "-"
TIP_MOST: Final = 5
"""Times the fare: no tip is larger."""
RATED_WITHIN: Final = timedelta(days=30)
HEAD: Final = {
    TripKind.RIDE: _("How was the ride with {driver}?"),
    TripKind.COURIER: _("How was it with {driver}?"),
    TripKind.RETURN: _("How was it with {driver}?"),
}


class Afterwards(Changing, Talking):
    """What comes after a trip, for the plugin to inherit."""

    async def actions_of(self, ctx: Context, trip: Trip) -> list[str]:
        """What can be done about a trip as it stands."""
        if trip.state not in ENDED:
            return await super().actions_of(ctx, trip)
        found = []
        if trip.state is S.COMPLETED:
            found += ["rate"] if ctx.now() - (trip.ended_at or ctx.now()) < RATED_WITHIN else []
            found += ["tip"] if trip.tip is None else []
        if trip.due is not None:
            found.append("receipt")
        if trip.state in DRIVEN:
            found += ["lost"] if self._still(ctx, trip) else []
            found.append("dispute")
        return [*found, "rebook"] if trip.kind is not TripKind.RETURN else found

    def _still(self, ctx: Context, trip: Trip) -> bool:
        """Whether rider and driver can still write to each other."""
        return trip.state in HAS_DRIVER or (trip.ended_at or trip.updated_at) + self.riding.lost > ctx.now()

    async def act_afterwards(self, ctx: Context, trip_id: str, what: str) -> None:
        """What is done about a trip that has ended."""
        trip = await self.own_trip(ctx, trip_id)
        if trip is None:
            ctx.say(ctx.t(GONE))
        elif what == "receipt":
            await self._give_receipt(ctx, trip)
        elif what == "rebook":
            self.rebook_trip(ctx, trip)
        else:
            steps = {"rate": self.rating, "tip": self.tipping, "lost": self.losing, "dispute": self.disputing}
            ctx.start(steps[what], trip.id)

    def rebook_trip(self, ctx: Context, trip: Trip) -> None:
        """Begin to order the same trip again."""
        raise NotImplementedError

    # Receipts

    @timer(RECEIPT)
    async def receipt_due(self, ctx: Context, data: dict[str, Any]) -> None:
        """The money is taken: give the receipt."""
        trip = await self.fleet.trips.get(ctx, data["trip"])
        if trip is not None and trip.due is not None:
            await self._give_receipt(ctx, trip)

    @command("receipt", help=_("Show the receipt of a trip: receipt 7KD2F"))
    async def receipt(self, ctx: Context, number: Rest = "") -> None:
        """Show the receipt of a trip by its number, or of the last one."""
        trip = await self._last_trip(ctx, number)
        if trip is None:
            return
        if trip.due is None:
            ctx.say(ctx.t("Nothing was charged for {trip}.", trip=trip_name(ctx.translator, trip)))
        else:
            await self._give_receipt(ctx, trip)

    async def _give_receipt(self, ctx: Context, trip: Trip) -> None:
        driver = await self.fleet.drivers.get(ctx, trip.driver) if trip.driver else None
        who = "" if driver is None else driver_line(ctx.translator, driver)
        ctx.say(receipt_text(ctx.translator, trip, who, self._fare_of(trip)))
        if trip.state not in {S.COMPLETED, S.FAILED}:
            return
        line = await self.line_of(trip, ctx.now())
        picture = await asyncio.to_thread(route_picture, trip, line)
        caption = ctx.t("The way of {trip}", trip=trip_name(ctx.translator, trip))
        await ctx.send_image(picture, f"{trip.number}.png", caption=caption)

    def _fare_of(self, trip: Trip) -> Fare | None:
        fare = self.fleet.quotes.final_fare(trip) if trip.state is S.COMPLETED else None
        return fare if fare is not None and fare.total == trip.due else None

    async def line_of(self, trip: Trip, at: datetime) -> tuple[Point, ...]:
        """The way of a trip, from place to place where the router cannot say more."""
        points = [
            each.point for each in (trip.pickup, *(stop.place for stop in trip.stops), trip.dropoff) if each.point
        ]
        try:
            return (await self.fleet.router.route(points, trip.started_at or at)).line
        except RoutingError:
            return tuple(points)

    async def _last_trip(self, ctx: Context, number: str) -> Trip | None:
        """A trip by its number; without, the last one that has ended."""
        if number.strip():
            return await self.trip_named(ctx, number)
        if not await self.private(ctx):
            return None
        found = await self.fleet.trips.of_rider(ctx, ctx.sender, limit=10)
        trip = next((each for each in found if each.state in ENDED and each.state in DRIVEN), None)
        if trip is None:
            ctx.say(ctx.t("You have no such trip. “trips” shows those you have."))
        return trip

    # Stars and tips

    @timer(ENDED_TIMER)
    async def ride_has_ended(self, ctx: Context, data: dict[str, Any]) -> None:
        """Ask how it was."""
        trip = await self.fleet.trips.get(ctx, data["trip"])
        if trip is not None and trip.state is S.COMPLETED and trip.driver:
            ctx.start(self.rating, trip.id)

    @command("rate", help=_("Rate your last ride: rate"), aliases=("stars",))
    async def rate_ride(self, ctx: Context, number: Rest = "") -> None:
        """Say how a ride was, from one star to five."""
        trip = await self._last_trip(ctx, number)
        if trip is not None:
            ctx.start(self.rating, trip.id)

    @command("tip", help=_("Give your driver a tip"))
    async def give_tip(self, ctx: Context, number: Rest = "") -> None:
        """Give the driver of your last ride a tip. All of it is theirs."""
        trip = await self._last_trip(ctx, number)
        if trip is not None:
            ctx.start(self.tipping, trip.id)

    @dialog(timeout=OFFERED)
    async def rating(self, d: Dialog, trip_id: str) -> None:
        """Stars, words about few of them, a tip."""
        question = await d.do("question", self._rating_question, trip_id)
        if not question:
            await d.end(d.t("This trip cannot be rated."))
        options = [Option(str(count), "★" * count, key=f"{count}\ufe0f\u20e3") for count in range(5, 0, -1)]
        options = [*reversed(options), Option(NOT_NOW, d.t("Not now"), key="❌")]
        picked = (await d.choose(question, options)).value
        if picked == NOT_NOW:
            await d.end()
        text = ""
        if int(picked) <= 3:
            text = await d.ask(d.t("What was not good? “-” means that you would rather not say."), parse=_opinion)
        await d.say(await d.do("rate", self._rate, trip_id, int(picked), text))
        if int(picked) > 3:
            await self._ask_tip(d, trip_id)

    async def _rating_question(self, ctx: Context, trip_id: str) -> str:
        trip = await self.own_trip(ctx, trip_id)
        driver = None if trip is None or not trip.driver else await self.fleet.drivers.get(ctx, trip.driver)
        if trip is None or driver is None or trip.state is not S.COMPLETED:
            return ""
        return ctx.t(HEAD[trip.kind], driver=driver.name)

    async def _rate(self, ctx: Context, trip_id: str, stars: int, text: str) -> str:
        trip = await self.own_trip(ctx, trip_id)
        if trip is None or not trip.driver or trip.state is not S.COMPLETED:
            return ctx.t("This trip cannot be rated.")
        try:
            counts = await self.fleet.drivers.rate(ctx, trip.driver, trip.id, stars, text)
        except DriverError as error:
            return sentence(ctx.translator, error)
        return ctx.t("Thank you.") if counts else ctx.t("You have rated this trip already.")

    @dialog(timeout=OFFERED)
    async def tipping(self, d: Dialog, trip_id: str) -> None:
        """How much."""
        await self._ask_tip(d, trip_id)

    async def _ask_tip(self, d: Dialog, trip_id: str) -> None:
        fare = await d.do("fare", self._fare_to_tip, trip_id)
        if fare is None:
            return
        amounts = [Money(max(fare.minor * part // 100, 1), fare.currency) for part in self.riding.tips]
        options = [Option(f"tip-{number}", d.t("{amount}", amount=each))
                   for number, each in enumerate(dict.fromkeys(amounts))]  # fmt: skip
        options += [Option(OTHER, d.t("Another amount")), Option(NOT_NOW, d.t("No tip"), key="❌")]
        picked = (await d.choose(d.t("Would you like to give a tip? All of it is the driver's."), options)).value
        if picked == NOT_NOW:
            await d.end(d.t("No tip."))
        if picked == OTHER:
            amount = await d.ask(d.t("How much?"), parse=_amount(fare))
        else:
            amount = list(dict.fromkeys(amounts))[int(picked.removeprefix("tip-"))]
        await d.say(await d.do("tip", self._tip, trip_id, amount))

    async def _fare_to_tip(self, ctx: Context, trip_id: str) -> Money | None:
        trip = await self.own_trip(ctx, trip_id)
        if trip is None or trip.state is not S.COMPLETED:
            ctx.say(ctx.t("A tip can be given after a ride."))
            return None
        if trip.tip is not None:
            return None
        return trip.due or trip.quoted

    async def _tip(self, ctx: Context, trip_id: str, amount: Money) -> str:
        trip = await self.own_trip(ctx, trip_id)
        if trip is None:
            return ctx.t(GONE)
        try:
            await self.fleet.trips.tip(ctx, trip, amount)
        except TripRefused as error:
            return sentence(ctx.translator, error)
        return ctx.t("Please confirm {amount} in your chat with the wallet.", amount=amount)

    # Lost items and complaints

    @command("lost", help=_("Something was left in the car"), aliases=("lost item",))
    async def lost_something(self, ctx: Context, number: Rest = "") -> None:
        """Tell the driver, and the operator, that you have left something in the car."""
        trip = await self._last_trip(ctx, number)
        if trip is not None:
            ctx.start(self.losing, trip.id)

    @command("dispute", help=_("Complain about a trip: dispute 7KD2F"), aliases=("complain", "complaint"))
    async def dispute(self, ctx: Context, number: Rest = "") -> None:
        """Say what was wrong with a trip: the operator looks at it, and nothing more is taken until then."""
        trip = await self._last_trip(ctx, number)
        if trip is not None:
            ctx.start(self.disputing, trip.id)

    @dialog(timeout=OFFERED)
    async def losing(self, d: Dialog, trip_id: str) -> None:
        """What was left, told to the driver."""
        text = await d.ask(d.t("What was left, and where in the car?"), parse=_reason)
        await d.say(await d.do("lost", self._lose, trip_id, text))

    async def _lose(self, ctx: Context, trip_id: str, text: str) -> str:
        trip = await self.own_trip(ctx, trip_id)
        if trip is None or not trip.driver:
            return ctx.t("Nobody drove this trip.")
        await self.fleet.cases.open(ctx, trip, TripCaseKind.LOST_ITEM, ctx.sender, text)
        driver = await self.fleet.drivers.get(ctx, trip.driver)
        if driver is None or not self._still(ctx, trip):
            return ctx.t("The operator is told, and answers you here.")
        say = await self.words_of(ctx, driver.person)
        name = trip.passenger or say.t("Rider")
        lines = [say.t("{trip}, {name}: something was left in your car.", trip=trip_name(say, trip), name=name), text,
                 say.t("Answer with “to rider: …”.")]  # fmt: skip
        ctx.say("\n".join(lines), room_id=driver.room_id, notice=False)
        return ctx.t("The driver is told, and so is the operator. They can write to you for {count} hours; “to driver: "
                     "…” writes to them.", count=self.riding.lost_hours)  # fmt: skip

    @dialog(timeout=OFFERED)
    async def disputing(self, d: Dialog, trip_id: str) -> None:
        """What was wrong, for the operator."""
        text = await d.ask(d.t("What was wrong?"), parse=_reason)
        await d.say(await d.do("dispute", self._dispute, trip_id, text))

    async def _dispute(self, ctx: Context, trip_id: str, text: str) -> str:
        trip = await self.own_trip(ctx, trip_id)
        if trip is None or trip.state not in DRIVEN:
            return ctx.t("There is nothing to complain about: this trip did not take place.")
        there = [each for each in await self.fleet.cases.of_trip(ctx, trip.id)
                 if each.kind is TripCaseKind.DISPUTE and each.state is TripCaseState.OPEN]  # fmt: skip
        if there:
            return ctx.t("The operator is looking at it already, and answers you here.")
        try:
            await self.fleet.cases.open(ctx, trip, TripCaseKind.DISPUTE, ctx.sender, text)
        except TripRefused as error:
            return sentence(ctx.translator, error)
        return ctx.t("The operator looks at it and answers you here. What is held stays held until then.")

    @timer(CASE_DECIDED)
    async def case_decided(self, ctx: Context, data: dict[str, Any]) -> None:
        """The operator has answered: say what."""
        trip = await self.fleet.trips.get(ctx, data["trip"])
        if trip is None:
            return
        decided = [each for each in await self.fleet.cases.of_trip(ctx, trip.id)
                   if each.state is TripCaseState.DECIDED and each.person == trip.rider]  # fmt: skip
        if decided:
            newest = max(decided, key=lambda each: each.updated_at)
            ctx.say(decided_text(ctx.translator, trip, newest), notice=False)


def decided_text(say: Translator, trip: Trip, case: TripCase) -> str:
    """What the operator has decided, as the rider reads it."""
    lines = [say.t("The operator has answered about {trip}:", trip=trip_name(say, trip)), short(case.answer, 900)]
    if case.back:
        lines.append(say.t("You get {amount} back.", amount=case.back))
    return "\n".join(lines)


SINGLE: Final = {S.CANCELLED_LATE: Part.CANCEL, S.NO_SHOW: Part.MISS}


def receipt_text(say: Translator, trip: Trip, driver: str, fare: Fare | None) -> str:
    """A receipt: what, from where to where, with whom, what for, and the tax in it.

    Args:
        fare: its lines, where they add up to what was due; None: it was another sum (a fee, the operator's decision).
    """
    assert trip.due is not None
    ended = (trip.ended_at or trip.updated_at).replace(second=0, microsecond=0)
    lines = [say.t("Receipt for {trip}, {time}", trip=trip_name(say, trip), time=ended)]
    lines += way_lines(say, trip.pickup, [each.place for each in trip.stops], trip.dropoff)
    if driver:
        lines.append(driver)
    if trip.state in {S.COMPLETED, S.FAILED}:
        lines.append(f"{kilometres(say, trip.metres)}, {minutes(say, trip.seconds)}")
    if fare is not None:
        lines += fare_lines(say, fare.lines, fare.total)
    else:
        part = SINGLE.get(trip.state)
        lines.append(price_line(say, say.t("Fare") if part is None else say.t(LABELS[part]), trip.due))
    tax = None if trip.quote is None else trip.quote.terms.tax
    if tax is not None and tax.rate and trip.due:
        part_of = trip.due.minor * tax.rate
        included = Money((2 * part_of + 10_000 + tax.rate) // (2 * (10_000 + tax.rate)), trip.due.currency)
        percent = round(tax.rate / 100, 2)
        lines.append(say.t("Of this {tax} ({percent} %): {amount}", tax=tax.name, percent=percent,
                           amount=included if fare is None else fare.tax))  # fmt: skip
    if trip.tip:
        lines.append(price_line(say, say.t("Tip"), trip.tip))
    return "\n".join(lines)


def route_picture(trip: Trip, line: tuple[Point, ...]) -> bytes:
    """The way of a trip as a PNG. Slow enough for a thread."""
    assert trip.pickup.point is not None and trip.dropoff.point is not None
    spots = [Spot(stop.place.point, Sign.STOP, str(number))
             for number, stop in enumerate(trip.stops, 1) if stop.place.point is not None]  # fmt: skip
    spots += [Spot(trip.pickup.point, Sign.PICKUP, "A"), Spot(trip.dropoff.point, Sign.DROPOFF, "B")]
    drawn = Drawing("", spots, [Line(line)])
    return png(drawn, fit(drawn.points(), WIDTH, HEIGHT))


def _opinion(text: str) -> str:
    words = text.strip()
    if len(words) > TEXT_MAX:
        raise explain(TripRefused("trip.text", most=TEXT_MAX))
    return "" if words == NOTHING else words


def _reason(text: str) -> str:
    words = text.strip()
    if not words or words == NOTHING:
        raise InvalidValue("riding.reason", _("Please say it in your own words."), clear=True)
    if len(words) > TEXT_MAX:
        raise explain(TripRefused("trip.text", most=TEXT_MAX))
    return words


def _amount(fare: Money) -> Any:
    """A parser of tips: in the currency of the fare, and no more than some times as much."""

    def read(text: str, env: ParseEnv) -> Money:
        try:
            amount = Money.parse(text, fare.currency, env.translator.language)
        except MoneyError as error:
            raise InvalidValue.of_money(error) from None
        most = fare * TIP_MOST
        if amount.currency != fare.currency or not 0 < amount.minor <= most.minor:
            raise InvalidValue(
                "riding.tip", _("A tip is more than nothing, and {most} at most."), clear=True, most=most
            )
        return amount

    return read
