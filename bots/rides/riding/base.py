"""What all parts of the rider's side stand on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from bots.commerce.addresses import AddressBook
from bots.commerce.hand import Glance, Looking
from bots.domain.errors import DomainError
from bots.domain.places import PlaceError
from bots.domain.tariffs import TariffError
from bots.domain.trips import ENDED, HAS_DRIVER, Trip, TripRefused
from bots.fleet.fleet import Fleet
from bots.framework import Context, Dialog, Plugin
from bots.framework.i18n import Translation
from bots.rides.pages.share import ShareDoor
from bots.rides.riding.settings import RidingSettings
from bots.rides.riding.texts import Speaking, sentence
from bots.routing.base import Geocoder, RoutingError

__all__ = ["DOMAIN", "OFFERED", "PAGE", "ROUNDS", "Glance", "Looking", "Rider"]

T = TypeVar("T")

DOMAIN: Final = "rides"
"""Of the texts."""
OFFERED: Final = timedelta(days=2)
"""How long a list or a card can be answered."""
PAGE: Final = 8
ROUNDS: Final = 25
"""Screens of one dialog: no journal outgrows its bounds."""
REFUSALS: Final = (TariffError, RoutingError, TripRefused, PlaceError)
"""What a place or a way can be refused with."""


class Rider(Plugin):
    """For the parts of the rider's side to inherit; :meth:`bots.rides.riding.Riding.open_riding` sets what they need.

    Attributes:
        geocoder: looks addresses up; None: only places that are shared, saved or told by coordinates are known.
        door: makes links to a shared trip; None: this installation serves no pages.
    """

    fleet: Fleet
    riding: RidingSettings
    addresses: AddressBook
    geocoder: Geocoder | None = None
    door: ShareDoor | None = None

    # Who is there

    async def private(self, ctx: Context) -> bool:
        """Whether the person is alone with the bot; otherwise they are told that this is nobody else's affair."""
        if len(await ctx.humans()) <= 1:
            return True
        ctx.say(ctx.t("Where you go is nobody else's affair: please write to me in a chat of our own."), reply=True)
        return False

    async def words_of(self, ctx: Context, person: str) -> Translation:
        """Texts in the language and the time zone of somebody."""
        known = await ctx.services.people.get(person)
        return ctx.services.catalogues.translator(known.language, DOMAIN, ZoneInfo(known.zone or "UTC"))

    # Reading

    async def look(self, d: Dialog, name: str, read: Callable[..., Awaitable[T]], *given: Any) -> T:
        """What ``read(reader, …)`` finds, recorded. It changes nothing, so ``back`` goes behind it.

        Raises one of :data:`REFUSALS` where it does.
        """
        reader: Glance = Looking(self.fleet.trade)
        return await d.step(name, read, reader, *given, raises=REFUSALS)

    async def stored(self, d: Dialog) -> None:
        """What happened until here is in the database: what is read from now on shows it."""
        await d.step("stored", _nothing)

    def refusal(self, d: Dialog, error: DomainError) -> str:
        """A refusal in the person's language."""
        return sentence(Speaking(d), error)

    async def current(self, ctx: Context, person: str) -> Trip | None:
        """The trip that somebody means when they name none: the one with a driver, or the newest that has not ended."""
        found = await self.fleet.trips.open_of_rider(ctx, person)
        driven = [each for each in found if each.state in HAS_DRIVER]
        return next(iter(driven or found), None)

    async def trip_named(self, ctx: Context, number: str, *, ended: bool = True) -> Trip | None:
        """One of the person's trips by its number; without, the current one, or the last one. None: they are told that
        there is none.

        Args:
            ended: whether one that has ended is meant too.
        """
        if not await self.private(ctx):
            return None
        if number.strip():
            found = await self.fleet.trips.by_number(ctx, number, rider=ctx.sender)
        else:
            found = await self.current(ctx, ctx.sender)
            if found is None and ended:
                found = next(iter(await self.fleet.trips.of_rider(ctx, ctx.sender, limit=1)), None)
        if found is None or (not ended and found.state in ENDED):
            ctx.say(ctx.t("You have no such trip. “trips” shows those you have."))
            return None
        return found

    async def own_trip(self, ctx: Context, trip_id: str) -> Trip | None:
        """A trip of the person's."""
        trip = await self.fleet.trips.get(ctx, trip_id)
        return trip if trip is not None and trip.rider == ctx.sender else None

    # Doing

    def soon(self, ctx: Context, name: str, trip: Trip, *, at: datetime | None = None, **data: Any) -> None:
        """Have ``@timer(name)`` called about a trip, in the order of its rider's chat and in their language."""
        given: Mapping[str, Any] = {"trip": trip.id, **data}
        self.fleet.call(ctx, name, given, room=trip.room_id, person=trip.rider, key=f"{name}/{trip.id}", at=at)


async def _nothing() -> None:
    """A step commits what was done before it."""
