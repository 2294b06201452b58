"""What drivers earn: today, this week, trip by trip, with a picture; and the tokens of their apps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Final

from bots.commerce.desk.chart import draw
from bots.domain.drivers import Driver
from bots.domain.money import Money
from bots.domain.trips import Trip
from bots.framework import Context, RateLimit, command
from bots.framework.i18n import _
from bots.rides.driving import texts
from bots.rides.driving.telling import Telling

__all__ = ["Earnings"]

LISTED: Final = 10
"""Trips in one list."""
SUMMED: Final = 1_000
"""Trips that are looked at for a week."""
DAYS: Final = 7
PICTURES: Final = RateLimit(20, per=3600)
TOKENS: Final = RateLimit(5, per=3600)


class Earnings(Telling):
    """Earnings and apps, for the plugin to inherit."""

    @command("earnings", help=_("Drivers: what you have earned"), aliases=("payouts",), limit=PICTURES, hidden=True)
    async def show_earnings(self, ctx: Context) -> None:
        """What you have earned today and this week, your last trips, and what is not paid yet. It goes to your wallet
        by itself."""
        driver = await self.as_driver(ctx)
        if driver is None:
            return
        now = await self.driver_now(ctx, driver.person)
        since = datetime.combine(now.date() - timedelta(days=DAYS - 1), time(), now.tzinfo)
        week = await self.fleet.trips.of_driver(ctx, driver.person, since=since, limit=SUMMED)
        last = week[:LISTED] or await self.fleet.trips.of_driver(ctx, driver.person, limit=LISTED)
        if not last:
            ctx.say(ctx.t("You have earned nothing yet."))
            return
        await self._picture(ctx, week, now)
        ctx.say("\n".join(self._earned_lines(ctx, week, last, now)))

    def _earned_lines(self, ctx: Context, week: Sequence[Trip], last: Sequence[Trip], now: datetime) -> list[str]:
        today = [trip for trip in week if _day(trip, now) == now.date()]
        lines = [
            ctx.t("Today: {amounts}", amounts=texts.sums(today)) if today else ctx.t("Today: nothing yet"),
            ctx.n("Seven days, {count} trip: {amounts}", "Seven days, {count} trips: {amounts}", len(week),
                  amounts=texts.sums(week)) if week else ctx.t("Seven days: nothing"),
        ]  # fmt: skip
        tips = [trip.tip for trip in week if trip.tip]
        if tips:
            lines.append(ctx.t("Tips of it: {amount}", amount=sum(tips, Money.zero(tips[0].currency))))
        lines += [texts.summary(ctx.translator, trip) for trip in last]
        owed = [trip for trip in (*week, *(each for each in last if each not in week)) if trip.owed]
        if owed:
            words = _("Not paid yet: {amounts}. It is tried again by itself, once your wallet can take it.")
            lines.append(ctx.t(words, amounts=texts.sums(owed)))
        return lines

    async def _picture(self, ctx: Context, week: Sequence[Trip], now: datetime) -> None:
        """A chart of seven days, in the currency in which most was earned."""
        amounts = texts.sums(week)
        if not amounts:
            return
        currency = max(amounts, key=lambda each: each.minor).currency
        days = [now.date() - timedelta(days=back) for back in reversed(range(DAYS))]
        by_day = dict.fromkeys(days, Money.zero(currency))
        for trip in week:
            day, amount = _day(trip, now), texts.earned(trip)
            if day in by_day and amount.currency == currency:
                by_day[day] += amount
        bars = [(f"{day.day}.{day.month}.", amount) for day, amount in by_day.items()]
        drawn = await asyncio.to_thread(draw, bars, currency)
        caption = ctx.t("Seven days: {amounts}", amounts=amounts)
        await ctx.send_image(drawn, "earnings.png", caption=caption)

    # Apps

    @command("app token", help=_("Drivers: connect an app that says where you are"), limit=TOKENS, hidden=True)
    async def app_token(self, ctx: Context) -> None:
        """Make a token for an app that says where you are. It is shown once; a new one ends the one before."""
        driver = await self._with_app(ctx)
        if driver is None or self.tokens is None:
            return
        before = await self.tokens.has(ctx, driver.person)
        token = self.tokens.make(ctx, driver.person)
        lines = [
            ctx.t("The token of your app, which I show only now: {token}", token=token),
            ctx.t("It sends positions to {url}. “app revoke” ends it.", url=self.app_url),
        ]
        if before:
            lines.append(ctx.t("The token before does not count any more."))
        ctx.say("\n".join(lines))

    @command("app revoke", help=_("Drivers: end the token of your app"), hidden=True)
    async def app_revoke(self, ctx: Context) -> None:
        """Have the token of your app count no more."""
        driver = await self._with_app(ctx)
        if driver is None or self.tokens is None:
            return
        if not await self.tokens.has(ctx, driver.person):
            ctx.say(ctx.t("You have no token."))
            return
        self.tokens.revoke(ctx, driver.person)
        ctx.say(ctx.t("The token does not count any more."))

    async def _with_app(self, ctx: Context) -> Driver | None:
        driver = await self.as_driver(ctx)
        if driver is not None and self.tokens is None:
            ctx.say(ctx.t("There are no apps here: share your live location with me."))
            return None
        return driver


def _day(trip: Trip, now: datetime) -> date:
    return (trip.ended_at or trip.updated_at).astimezone(now.tzinfo).date()
