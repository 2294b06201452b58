"""Online, offline, on a break; where it is busy; and where drivers are, as far as the chat hears of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from appservice.clock import from_ms
from bots.domain.drivers import Driver, DriverAction, DriverError, DriverState, Position
from bots.domain.places import Place as Address
from bots.domain.places import Point
from bots.domain.trips import TripState
from bots.fleet.news import DriverNews
from bots.framework import Beacon, Context, Dialog, Key, Option, Place, beacon, command, dialog, every
from bots.framework.i18n import Translator, _
from bots.framework.own_chat import alone
from bots.rides.driving.base import APPROVED, utc
from bots.rides.driving.steps import Steps

__all__ = ["Duty", "expired"]

EVERYWHERE: Final = "*"
WANTS: Final = Key("driving.wants", bool, default=False, ttl=timedelta(minutes=15))
"""Somebody wants to be online as soon as it is known where they are."""
WATCHED: Final = Key("driving.watched", int, default=0)
"""When it was looked last who has fallen silent (ms)."""
WATCH_MS: Final = 60_000
UNSEEN: Final = _(
    "I do not know where you are any more, so I offer you nothing. Share your live location, or send a location."
)
WATCHED_MAX: Final = 500
LATEST: Final = timedelta(minutes=5)
"""A place that was shared longer ago than this says where somebody was."""


@dataclass(frozen=True, slots=True)
class Busy:
    """A zone, how many wait there, and how many hundredths of the price a trip costs."""

    name: str
    waiting: int
    surge: int


def expired(driver: Driver, today: datetime) -> list[str]:
    """The documents of a driver that are not valid any more, by their names."""
    return [each.kind for each in driver.documents if each.expires is not None and each.expires < today.date()]


class Duty(Steps):
    """Online and offline, for the plugin to inherit."""

    # Online and offline

    @command("online", help=_("Drivers: be offered trips"), hidden=True)
    async def go_online(self, ctx: Context) -> None:
        """Be offered trips from now on. I need to know where you are: share your location, live if you can."""
        driver = await self.as_driver(ctx)
        if driver is not None:
            await self._driver_online(ctx, driver)

    async def _driver_online(self, ctx: Context, driver: Driver) -> None:
        gone = expired(driver, ctx.now())
        if gone and driver.state in APPROVED:
            names = ", ".join(self.document_words(ctx.translator, each) for each in gone)
            ctx.say(ctx.t("This is not valid any more: {documents}. “documents” shows me the new one.",
                          documents=names))  # fmt: skip
            return
        if driver.state is DriverState.ONLINE:
            ctx.say(ctx.t("You are online already."))
            return
        seen = self.fleet.positions.last(driver.person)
        if driver.state in APPROVED and (seen is None or self.stale(ctx, seen.heard_at)):
            ctx.user_state.set(WANTS, True)
            ctx.say(
                ctx.t("Where are you? Share your location, live if you can, or use your app and type “online” again.")
            )
            return
        await self._turn_online(ctx, driver)

    async def _turn_online(self, ctx: Context, driver: Driver) -> None:
        ctx.user_state.delete(WANTS)
        try:
            if driver.room_id != ctx.room_id and driver.state in APPROVED:
                driver = await self.fleet.drivers.change(ctx, driver, room_id=ctx.room_id)
            await self.fleet.drivers.go_online(ctx, driver, zones=driver.zones)
        except DriverError as error:
            self.refuse(ctx, error)
            return
        ctx.say(ctx.t("You are online. I offer you trips here. Share your live location with me, or use an app "
                      "(“app token”), so that I know where you are."))  # fmt: skip

    @command("offline", help=_("Drivers: be offered no more trips"), hidden=True)
    async def go_offline(self, ctx: Context) -> None:
        """Be offered no more trips, and be known no more: where you were is forgotten."""
        driver = await self.as_driver(ctx)
        if driver is None:
            return
        try:
            if driver.state is not DriverState.OFFLINE:
                await self.fleet.drivers.go_offline(ctx, driver)
        except DriverError as error:
            self.refuse(ctx, error)
            return
        ctx.say(ctx.t("You are offline."))

    @command("break", help=_("Drivers: have a break"), aliases=("pause",), hidden=True)
    async def have_break(self, ctx: Context) -> None:
        """Be asked for nothing until you are “online” again."""
        driver = await self.as_driver(ctx)
        if driver is None:
            return
        try:
            if driver.state is not DriverState.BREAK:
                await self.fleet.drivers.take_break(ctx, driver)
        except DriverError as error:
            self.refuse(ctx, error)
            return
        ctx.say(ctx.t("You are on a break. “online” when you want trips again."))

    async def driver_told(self, ctx: Context, news: DriverNews) -> None:
        """A hook of the fleet's drivers: what they have not done themselves they are told."""
        driver = news.after
        if news.action is DriverAction.GO_OFFLINE or (news.action is DriverAction.SUSPEND and not driver.trip):
            ctx.unit.after_commit(lambda: self.fleet.positions.forget(driver.person))
        if news.by == driver.person or news.action is None:
            return
        reason = driver.reason
        if news.action is DriverAction.GO_OFFLINE:
            minutes = int(self.fleet.terms.silent / timedelta(minutes=1))

            def silent(say: Translator) -> str:
                return say.n(
                    "I have not heard of you for {count} minute, so you are offline. “online” when you are back.",
                    "I have not heard of you for {count} minutes, so you are offline. “online” when you are back.",
                    minutes,
                )

            await self.tell_driver(ctx, driver, silent)
        elif news.action is DriverAction.APPROVE:
            await self.tell_driver(ctx, driver, lambda say: say.t("You may drive now! Write “online” when you want "
                                                                  "trips."))  # fmt: skip
        elif news.action is DriverAction.REJECT:
            words = _("You were not accepted as a driver: {reason}. “drive” applies again.")
            await self.tell_driver(ctx, driver, lambda say: say.t(words, reason=reason))
        elif news.action is DriverAction.SUSPEND:
            await self.tell_driver(ctx, driver, lambda say: say.t("You are suspended as a driver for now: {reason}",
                                                                  reason=reason))  # fmt: skip
        elif news.action is DriverAction.REINSTATE:
            await self.tell_driver(ctx, driver, lambda say: say.t("You may drive again. “online” when you want trips."))

    # Zones

    @command("busy", help=_("Drivers: where is it busy?"), aliases=("where is it busy", "hotspots"), hidden=True)
    async def where_busy(self, ctx: Context) -> None:
        """The zones where most people wait, or prices are higher."""
        driver = await self.as_driver(ctx)
        if driver is None:
            return
        found = await self._busy(ctx)
        if not found:
            ctx.say(ctx.t("It is quiet everywhere just now."))
            return
        lines = []
        for each in found[: self.driving.busy_most]:
            zone = each.name or ctx.t("elsewhere")
            line = ctx.n("{zone}: {count} waits", "{zone}: {count} wait", each.waiting, zone=zone)
            if each.surge > 100:
                line = ctx.t("{line}, surge × {times}", line=line, times=f"{each.surge / 100:g}")
            lines.append(line)
        ctx.say("\n".join(lines))

    async def _busy(self, ctx: Context) -> list[Busy]:
        areas = self.fleet.tariff.zones
        trips = await self.fleet.trips.in_states(ctx, {TripState.SEARCHING})
        counts = Counter(
            next((area.name for area in areas if area.shape.holds(trip.pickup.point)), "")
            for trip in trips
            if trip.pickup.point is not None
        )
        found = []
        for area in areas:
            centre = middle(area.shape)
            surge = self.fleet.quotes.surge(Address(area.name or "-", centre))
            if counts[area.name] or surge > 100:
                found.append(Busy(area.name, counts[area.name], surge))
        if counts[""]:
            found.append(Busy("", counts[""], 100))
        return sorted(found, key=lambda each: (-each.waiting, -each.surge, each.name))

    @command("areas", help=_("Drivers: choose the zones in which you want trips"), aliases=("my zones",), hidden=True)
    async def choose_areas(self, ctx: Context) -> None:
        """Choose the zones in which you want to be offered trips."""
        driver = await self.as_driver(ctx)
        if driver is None:
            return
        names = [area.name for area in self.fleet.tariff.zones]
        if not names:
            ctx.say(ctx.t("There are no zones here: you are asked everywhere."))
            return
        ctx.start(self.choosing_areas, names)

    @dialog
    async def choosing_areas(self, d: Dialog, names: list[str]) -> None:
        """Which zones."""
        options = [Option(EVERYWHERE, d.t("Everywhere")), *(Option(name, name) for name in names)]
        chosen = await d.choose_many(d.t("In which zones do you want trips?"), options)
        wanted = [] if any(each.value == EVERYWHERE for each in chosen) else [each.value for each in chosen]
        await d.do("areas", self._keep_areas, wanted)

    async def _keep_areas(self, ctx: Context, names: list[str]) -> None:
        driver = await self.fleet.drivers.get(ctx, ctx.sender)
        if driver is None:
            return
        await self.fleet.drivers.change(ctx, driver, zones=frozenset(names))
        where = ", ".join(names)
        ctx.say(ctx.t("You are asked in: {zones}.", zones=where) if names else ctx.t("You are asked everywhere."))

    # Where they are

    @beacon
    async def driver_moves(self, ctx: Context, beacon: Beacon) -> None:
        """A live position, or its end."""
        driver = await self.fleet.drivers.get(ctx, ctx.sender)
        if driver is None or driver.state not in APPROVED or not await alone(ctx):
            return
        if beacon.place is not None:
            await self._driver_at(ctx, driver, beacon.place, beacon.at, beacon.accuracy)
        elif not beacon.live and (driver.trip or driver.state is DriverState.ONLINE):
            ctx.say(ctx.t("You do not share your live location any more. Without it I soon do not know where you are."))

    @every(timedelta(minutes=1))
    async def watch_positions(self, ctx: Context) -> None:
        """Tell who is on duty, once, that it is not known any more where they are: they are offered nothing."""
        now, stale = ctx.now_ms(), self.fleet.terms.stale // timedelta(milliseconds=1)
        before = await ctx.plugin_state.get(WATCHED) or now - WATCH_MS
        ctx.plugin_state.set(WATCHED, now)
        silent = [person for person, seen in self.fleet.positions.everybody() if before < seen.heard_at + stale <= now]
        for person in silent[:WATCHED_MAX]:
            driver = await self.fleet.drivers.get(ctx, person)
            if driver is not None and (driver.state is DriverState.ONLINE or driver.trip):
                await self.tell_driver(ctx, driver, lambda say: say.t(UNSEEN))

    async def driver_is_at(self, ctx: Context, place: Place) -> bool:
        """Whether a shared place was a driver's own, who is on duty; it is done then."""
        driver = await self.driver_here(ctx)
        if driver is None or driver.state not in APPROVED:
            return False
        if driver.state is DriverState.OFFLINE and not await ctx.user_state.get(WANTS):
            return False
        await self._driver_at(ctx, driver, place, self._shared_at(ctx), None)
        ctx.react("👍")
        return True

    async def _driver_at(
        self, ctx: Context, driver: Driver, place: Place, at: datetime, accuracy: float | None
    ) -> None:
        """Note where a driver is. Who has wanted to be online is now."""
        position = Position(Point(place.latitude, place.longitude), min(at.astimezone(UTC), utc(ctx)), accuracy)
        self.fleet.positions.update(driver.person, position)
        if driver.state is DriverState.OFFLINE and await ctx.user_state.get(WANTS):
            await self._turn_online(ctx, driver)
        elif driver.state is not DriverState.OFFLINE:
            await self.fleet.drivers.heard(ctx, driver.person)

    def _shared_at(self, ctx: Context) -> datetime:
        """When somebody was where they say: when they said it, by our clock where theirs cannot be."""
        at, now = from_ms(max(ctx.event.timestamp, 0)), utc(ctx)
        return at if now - LATEST <= at <= now else now

    def document_words(self, say: Translator, kind: str) -> str:
        """A document as people read it."""
        known = next((each for each in self.driving.documents if each.name == kind), None)
        return say.t(known.words) if known is not None else kind


def middle(shape: Any) -> Point:
    """A point of a shape: its centre, or the middle of its corners."""
    if hasattr(shape, "centre"):
        centre: Point = shape.centre
        return centre
    corners = shape.corners
    return Point(
        sum(each.latitude for each in corners) / len(corners), sum(each.longitude for each in corners) / len(corners)
    )
