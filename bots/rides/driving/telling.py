"""What drivers are told of their trips when somebody else has done it: the rider, the operator, a client, time."""

from __future__ import annotations

from typing import Any, Final

from bots.domain.drivers import Driver
from bots.domain.money import Money
from bots.domain.trips import HAS_DRIVER, Trip, TripAction, TripState
from bots.fleet.news import News, TripNews
from bots.framework import Context, command, timer
from bots.framework.i18n import Translator, _
from bots.rides.driving.signup import SignUp
from bots.rides.driving.steps import GRACE
from bots.rides.riding.texts import trip_name

__all__ = ["Telling"]

A = TripAction
STARS_MOST: Final = 5


class Telling(SignUp):
    """The hook of trips, and ratings of riders, for the plugin to inherit."""

    async def job_told(self, ctx: Context, news: TripNews) -> None:
        """A hook of the fleet's trips."""
        person = news.before.driver or news.after.driver
        if not person or news.by == person:
            return
        driver = await self.fleet.drivers.get(ctx, person)
        if driver is None:
            return
        if news.news is News.MOVED:
            await self._job_moved(ctx, driver, news)
        elif news.news is News.TIPPED and news.amount is not None:
            await self._say_amount(ctx, driver, news.after, _("{trip}: a tip of {amount}. Thank you!"), news.amount)
        elif news.news is News.DISPUTED:
            words = _("{trip}: the rider complains. You are paid when the operator has decided.")
            await self.tell_driver(ctx, driver, lambda say: say.t(words, trip=trip_name(say, news.after)))

    async def _say_amount(self, ctx: Context, driver: Driver, trip: Trip, words: str, amount: Money) -> None:
        await self.tell_driver(ctx, driver, lambda say: say.t(words, trip=trip_name(say, trip), amount=amount))

    async def _job_moved(self, ctx: Context, driver: Driver, news: TripNews) -> None:
        before, after = news.before, news.after
        if news.action is A.MATCH:
            await self.tell_driver(ctx, driver, lambda say: say.t("The operator has given you a trip."))
            await self.show_job(ctx, driver, after)
        elif news.action is A.CHANGE and after.state in HAS_DRIVER:
            words = _("{trip}: the way has changed. You earn {amount} now.")
            await self._say_amount(ctx, driver, after, words, after.earning)
            await self.show_job(ctx, driver, after)
        elif after.driver == driver.person and after.state in HAS_DRIVER:
            await self.show_job(ctx, driver, after)  # a client, or the operator, has moved it on
        elif before.state in HAS_DRIVER:
            await self._job_gone(ctx, driver, news)

    async def _job_gone(self, ctx: Context, driver: Driver, news: TripNews) -> None:
        """A trip that they had is theirs no more."""
        after = news.after

        def words(say: Translator) -> str:
            name = trip_name(say, after)
            if news.action is A.LOSE_DRIVER:
                return say.t("{trip} goes to somebody else.", trip=name)
            if after.state is TripState.STOPPED:
                said = say.t("{trip} was stopped by the operator.", trip=name)
            elif after.state is TripState.COMPLETED:
                said = say.t("{trip} is done.", trip=name)
            else:
                said = say.t("{trip} was cancelled. You need not go on.", trip=name)
            if after.owed and after.earning.minor:
                said += " " + say.t("You earn {amount}.", amount=after.earning)
            return said

        await self.tell_driver(ctx, driver, words)
        await self._next_of_batch(ctx, driver, news.before)

    async def job_taken(self, ctx: Context, driver: Driver, accepted: list[Trip]) -> None:
        """Somebody has a trip now: show them the way."""
        first = await self.current_job(ctx, driver.person)
        await self.show_job(ctx, driver, first or accepted[0])

    @timer(GRACE)
    async def waited_long_enough(self, ctx: Context, data: dict[str, Any]) -> None:
        """The rider did not come in time: say what can be done, and what it earns."""
        trip = await self.fleet.trips.get(ctx, data["trip"])
        driver = await self.fleet.drivers.get(ctx, ctx.sender)
        if trip is None or driver is None or trip.driver != driver.person or trip.state is not TripState.ARRIVED:
            return
        earning = self.fleet.quotes.miss_charge(trip, ctx.now()).earning
        ctx.say(ctx.t("You have waited long enough. If nobody came: “no-show” ends it, and you earn {amount}.",
                      amount=earning), notice=False)  # fmt: skip
        await self.show_job(ctx, driver, trip)

    # Ratings

    @command("rate rider", help=_("Rate whom you drove last: rate rider 5"), aliases=("rate passenger",), hidden=True)
    async def rate_rider(self, ctx: Context, stars: int) -> None:
        """Say how it was to drive somebody, from one star to five; once for a trip."""
        driver = await self.as_driver(ctx)
        if driver is None:
            return
        trip = next((each for each in await self.fleet.trips.of_driver(ctx, driver.person) if each.rider), None)
        if trip is None:
            ctx.say(ctx.t("You have driven nobody yet."))
        elif not 1 <= stars <= STARS_MOST:
            ctx.say(ctx.t("Stars are 1 to 5."))
        elif await self.fleet.drivers.rate(ctx, trip.rider, trip.id, stars):
            ctx.say(ctx.t("Thank you."))
        else:
            ctx.say(ctx.t("You have rated this trip already."))
