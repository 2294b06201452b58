"""Trips, as operators see and move them; every decision is in the audit log, and who it is about is told by the
listeners of the fleet, once."""

from __future__ import annotations

from typing import Final

from bots.domain.drivers import DriverError, DriverState
from bots.domain.trips import ENDED, HAS_DRIVER, TripRefused, TripState
from bots.framework import Context, InvalidValue, Rest, UserID, command
from bots.framework.i18n import _
from bots.framework.permissions import Role
from bots.framework.state import Key
from bots.rides.office import texts
from bots.rides.office.base import PAGE, OfficeBase, one_line, read_refund
from bots.routing.base import RoutingError

__all__ = ["Trips"]

GIVEN_BACK: Final = Key("given back", str, default="", secret=True)
"""Of a trip: the amounts that went back by a command, in words."""
OPEN: Final = tuple(state for state in TripState if state not in ENDED)


class Trips(OfficeBase):
    """Commands about trips, for the office to inherit."""

    @command("board", help=_("How things stand: who waits, who drives"), permission=Role.OPERATOR)
    async def board(self, ctx: Context) -> None:
        """How things stand: how many wait and drive, who waits longest, and a link to the map."""
        if not await self.at_office(ctx):
            return
        counts, people = await self.fleet.trips.counts(ctx), await self.fleet.drivers.counts(ctx)
        waiting = await self.fleet.trips.in_states(ctx, [TripState.SEARCHING], PAGE + 1)
        driven = sum(counts.get(state, 0) for state in HAS_DRIVER)
        lines = [
            ctx.t(
                "Waiting: {waiting}. With a driver: {driven}. For later: {later}.",
                waiting=counts.get(TripState.SEARCHING, 0),
                driven=driven,
                later=counts.get(TripState.SCHEDULED, 0),
            ),
            ctx.t(
                "Drivers online: {online}. On a break: {paused}. Waiting for your approval: {applied}.",
                online=people.get(DriverState.ONLINE, 0),
                paused=people.get(DriverState.BREAK, 0),
                applied=people.get(DriverState.APPLIED, 0),
            ),
            *(texts.waiting_line(ctx.translator, trip, ctx.now()) for trip in waiting[:PAGE]),
        ]
        if len(waiting) > PAGE:
            lines.append(ctx.t("And more: “board trips” shows them all."))
        queue = await self.fleet.cases.queue(ctx)
        if queue:
            lines.append(ctx.n("{count} case waits for you: “disputes”.", "{count} cases wait for you: “disputes”.",
                               len(queue)))  # fmt: skip
        link = self.board_link(ctx)
        if link:
            lines.append(ctx.t("The map, for 10 minutes, once, and only for you:\n{link}", link=link))
        ctx.say("\n".join(lines))

    def board_link(self, ctx: Context) -> str:
        """A link that opens the live board once; empty: this installation serves no pages."""
        return ""

    @command("board trips", help=_("The trips that have not ended"), permission=Role.OPERATOR)
    async def board_trips(self, ctx: Context) -> None:
        """The trips that have not ended, what waits longest first."""
        if not await self.at_office(ctx):
            return
        found = await self.fleet.trips.in_states(ctx, OPEN, 5 * PAGE)
        lines = [texts.trip_line(ctx.translator, trip) for trip in found]
        ctx.say("\n".join(lines) if lines else ctx.t("There are none."))

    @command("board trip", help=_("All about a trip: board trip 7KD2F"), permission=Role.OPERATOR)
    async def board_trip(self, ctx: Context, number: str) -> None:
        """All about a trip, and what happened to it."""
        trip = await self.office_trip(ctx, number)
        if trip is None:
            return
        steps = await self.fleet.trips.steps(ctx, trip.id)
        driver = await self.fleet.drivers.get(ctx, trip.driver) if trip.driver else None
        ctx.say(texts.trip_card(ctx.translator, trip, steps, driver))

    @command("assign", help=_("Give a trip to a driver: assign 7KD2F @driver"), permission=Role.OPERATOR)
    async def assign_trip(self, ctx: Context, number: str, person: UserID) -> None:
        """Give a trip that waits to a driver who is free, asked or not."""
        trip = await self.office_trip(ctx, number)
        if trip is None:
            return
        driver = await self.fleet.drivers.get(ctx, str(person))
        if driver is None:
            ctx.say(ctx.t("{person} is no driver here.", person=person))
            return
        seen = self.fleet.positions.last(driver.person)
        if seen is None:
            ctx.say(ctx.t("I do not know where {name} is: they have to send their position first.", name=driver.name))
            return
        assert trip.pickup.point is not None, "a trip begins somewhere"
        try:
            way = await self.fleet.router.route([seen.position.point, trip.pickup.point], ctx.now())
            after = await self.fleet.trips.assign(ctx, trip, driver, ctx.sender, round(way.seconds))
        except (TripRefused, DriverError, RoutingError) as error:
            self.office_refused(ctx, error)
            return
        self.office_audited(ctx, "ride.assign", f"trip:{trip.id}", driver=driver.person)
        minutes = max(round(way.seconds / 60), 1)
        ctx.say(ctx.t("{number} is {name}'s now, who is there in about {minutes} min.", number=after.number,
                      name=driver.name, minutes=minutes))  # fmt: skip

    @command("stop trip", help=_("End a trip, with everything given back"), permission=Role.OPERATOR)
    async def stop_trip(self, ctx: Context, number: str, reason: Rest = "") -> None:
        """End a trip that has not ended. Everything goes back to the rider; rider and driver read the reason."""
        trip = await self.office_trip(ctx, number)
        if trip is None:
            return
        words = one_line(reason)
        if not words:
            ctx.say(ctx.t("Please say why: rider and driver are told."))
            return
        try:
            after = await self.fleet.trips.stop(ctx, trip, ctx.sender, words)
        except TripRefused as error:
            self.office_refused(ctx, error)
            return
        self.office_audited(ctx, "ride.stop", f"trip:{trip.id}", reason=words)
        ctx.say(texts.trip_line(ctx.translator, after))

    @command("refund", help=_("Give a rider money back: refund 7KD2F 5.00 and why"), permission=Role.OPERATOR)
    async def refund_trip(self, ctx: Context, number: str, words: Rest = "") -> None:
        """Give something of what a ride costs back to the rider: “refund 7KD2F 5.00 the driver got lost”, or “all” of
        it. Never more than is due; a second time for a trip only with “again” behind the amount."""
        trip = await self.office_trip(ctx, number)
        if trip is None:
            return
        if trip.client:
            ctx.say(ctx.t("Trip {number} was not paid here but with its order: refund it there.", number=trip.number))
            return
        paid = trip.quoted if trip.due is None else trip.due
        try:
            amount, again, reason = read_refund(ctx, words, paid)
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        if not reason:
            ctx.say(ctx.t("Please say why: “refund {number} 5.00 and why”. The rider is told.", number=trip.number))
            return
        kept = ctx.states.room(f"~trips/{trip.id}")
        before = await kept.get(GIVEN_BACK)
        if before and not again:
            ctx.say(ctx.t("Of trip {number} this went back already: {amounts}. For more write “again” behind the "
                          "amount.", number=trip.number, amounts=before))  # fmt: skip
            return
        try:
            after = await self.fleet.trips.give_back(ctx, trip, amount, ctx.sender, reason)
        except TripRefused as error:
            self.office_refused(ctx, error)
            return
        kept.set(GIVEN_BACK, f"{before}, {amount}" if before else str(amount))
        self.office_audited(ctx, "ride.refund", f"trip:{trip.id}", amount=str(amount), reason=reason)
        ctx.say(ctx.t("{amount} of trip {number} goes back to {person}.", amount=amount, number=after.number,
                      person=after.rider))  # fmt: skip
