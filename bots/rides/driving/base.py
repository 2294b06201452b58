"""What all parts of the driver's side stand on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from bots.domain.drivers import Driver, DriverState
from bots.domain.errors import DomainError
from bots.domain.places import Point, distance_m
from bots.domain.trips import Trip, TripKind, TripState
from bots.fleet.fleet import Fleet
from bots.framework import Context, Plugin
from bots.framework.i18n import Translation, Translator
from bots.framework.own_chat import alone, own_chat
from bots.rides.driving.app import Tokens
from bots.rides.driving.settings import DrivingSettings
from bots.rides.riding.texts import sentence

__all__ = ["APPROVED", "DOMAIN", "ON", "DrivingBase"]

DOMAIN: Final = "rides"
"""Of the texts."""
APPROVED: Final = frozenset({DriverState.OFFLINE, DriverState.ONLINE, DriverState.BREAK})
"""Who may drive, if they want to."""
ON: Final = frozenset({DriverState.ONLINE, DriverState.BREAK})
"""On duty."""
ORDER: Final = {TripState.ARRIVED: 0, TripState.MATCHED: 1, TripState.UNDER_WAY: 2}
"""What of two things that are brought in one go comes first: both are fetched, then both are handed over."""


class DrivingBase(Plugin):
    """For the parts of the driver's side to inherit; ``open_driving`` sets what they need.

    Attributes:
        tokens: of drivers' apps; None: this installation has no listener for them.
        app_url: where an app sends positions to.
    """

    fleet: Fleet
    driving: DrivingSettings
    tokens: Tokens | None = None
    app_url: str = ""

    # Who is there

    async def driver_here(self, ctx: Context) -> Driver | None:
        """The person as a driver, in their own encrypted chat; None: they are none, or somebody could listen."""
        driver = await self.fleet.drivers.get(ctx, ctx.sender)
        return driver if driver is not None and await alone(ctx) else None

    async def as_driver(self, ctx: Context) -> Driver | None:
        """The person as a driver, in their own chat; otherwise None, and they are told."""
        if not await alone(ctx):
            ctx.say(ctx.t("Drivers talk with me in an encrypted chat of our own."))
            return None
        driver = await self.fleet.drivers.get(ctx, ctx.sender)
        if driver is None:
            ctx.say(ctx.t("You are no driver yet: write “drive” to become one."))
            return None
        if driver.state in ON:  # who says something is there
            await self.fleet.drivers.heard(ctx, driver.person)
        return driver

    async def driver_words(self, ctx: Context, person: str) -> Translation:
        """Texts in the language and the time zone of somebody."""
        known = await ctx.services.people.get(person)
        return ctx.services.catalogues.translator(known.language, DOMAIN, ZoneInfo(known.zone or "UTC"))

    async def driver_now(self, ctx: Context, person: str) -> datetime:
        """Now, on the clocks of somebody."""
        known = await ctx.services.people.get(person)
        return ctx.now().astimezone(ZoneInfo(known.zone or "UTC"))

    async def tell_driver(self, ctx: Context, driver: Driver, words: Callable[[Translator], str]) -> None:
        """Tell a driver something, in their chat and language; it rings."""
        ctx.say(words(await self.driver_words(ctx, driver.person)), room_id=driver.room_id, notice=False)

    async def tell_operators(self, ctx: Context, words: Callable[[Translator], str]) -> None:
        """Tell each operator whom the configuration names, in their own chat and language."""
        roles = ctx.services.permissions.roles
        for person in dict.fromkeys((*roles.operator, *roles.admin)):
            if "*" not in person:
                say = await self.driver_words(ctx, person)
                ctx.say(words(say), room_id=await own_chat(ctx, person), notice=False)

    def refuse(self, ctx: Context, error: DomainError) -> None:
        """Say why not; nothing of what was to happen happens."""
        ctx.discard()
        ctx.say(sentence(ctx.translator, error))

    # What they have to do

    async def jobs_of(self, ctx: Context, person: str) -> list[Trip]:
        """What a driver is bound to, what is to be done first before."""
        found = await self.fleet.trips.current_of_driver(ctx, person)

        def urgency(trip: Trip) -> tuple[int, datetime, str]:
            due = trip.latest if trip.state is TripState.UNDER_WAY else trip.ready_at
            return ORDER.get(trip.state, 3), due or trip.opened_at, trip.id

        return sorted(found, key=urgency)

    def away(self, ctx: Context, person: str, place: Point | None) -> float | None:
        """How far a driver is from a place, in metres; None: that is not known, or was too long ago."""
        seen = self.fleet.positions.last(person)
        if seen is None or place is None or self.stale(ctx, seen.heard_at):
            return None
        return distance_m(seen.position.point, place)

    def stale(self, ctx: Context, heard_at: int) -> bool:
        """Whether a position that was heard then is too old to mean anything."""
        return ctx.now_ms() - heard_at > self.fleet.terms.stale / timedelta(milliseconds=1)

    def people_of(self, driver: Driver) -> bool:
        """Whether somebody drives people, and not only brings things."""
        classes = self.fleet.tariff.classes
        return any(not classes[each].courier for each in driver.services if each in classes)


def brought(trip: Trip) -> bool:
    """Whether a trip brings something, and no one."""
    return trip.kind is not TripKind.RIDE


def utc(ctx: Context) -> datetime:
    """Now (UTC)."""
    return ctx.now().astimezone(UTC)
