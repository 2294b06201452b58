"""A trip that is shared by a link, until it ends."""

from __future__ import annotations

from datetime import timedelta

from bots.domain.trips import ENDED, Trip
from bots.framework import Context, Dialog, Option, Rest, command, dialog
from bots.framework.i18n import _
from bots.rides.pages.share import Exact
from bots.rides.riding.base import OFFERED, Rider
from bots.rides.riding.texts import trip_name

__all__ = ["Sharing"]


class Sharing(Rider):
    """Links to trips, for the plugin to inherit."""

    @command("share", help=_("Show somebody where you are: share"), aliases=("share trip",))
    async def share_trip(self, ctx: Context, number: Rest = "") -> None:
        """Get a link on which others see where your trip is until it ends; no account, no price, no PIN."""
        trip = await self.trip_named(ctx, number, ended=False)
        if trip is None:
            return
        if self.door is None:
            ctx.say(ctx.t("This installation has no pages: a trip cannot be shared by a link."))
            return
        ctx.start(self.sharing, trip.id)

    @dialog(timeout=OFFERED)
    async def sharing(self, d: Dialog, trip_id: str) -> None:
        """How exactly, and the link."""
        options = [
            Option(Exact.ROUGH.value, d.t("Roughly"), d.t("not exactly where it begins and ends")),
            Option(Exact.EXACT.value, d.t("Exactly")),
        ]
        picked = (await d.choose(d.t("How exactly may others see where it begins and ends?"), options)).value
        await d.say(await d.do("share", self._share, trip_id, Exact(picked)))

    async def _share(self, ctx: Context, trip_id: str, how: Exact) -> str:
        trip = await self.own_trip(ctx, trip_id)
        if trip is None or trip.state in ENDED or self.door is None:
            return ctx.t("This trip is over.")
        url = self.link_to(ctx, trip, how)
        return ctx.t(
            "Whoever has this link sees where {trip} is, until it ends:\n{link}\n“stop sharing” ends it before.",
            trip=trip_name(ctx.translator, trip),
            link=url,
        )

    def link_to(self, ctx: Context, trip: Trip, how: Exact) -> str:
        """A link to a trip that has not ended; it counts from the commit on."""
        assert self.door is not None
        ahead = timedelta() if trip.wanted is None else max(trip.wanted - ctx.now(), timedelta())
        lasts = timedelta(hours=self.riding.share_hours) + ahead
        url, keep = self.door.draft(ctx.instance, trip.id, ctx.sender, how=how, lasts=lasts, now=ctx.now_ms())
        ctx.store(keep)
        return url

    @command("stop sharing", help=_("End the links to your trip"), aliases=("unshare",))
    async def stop_sharing(self, ctx: Context, number: Rest = "") -> None:
        """End all links to your trip: nobody sees any more where it is."""
        trip = await self.trip_named(ctx, number, ended=False)
        if trip is None:
            return
        if self.door is not None:
            ctx.store(self.door.withdraw(ctx.instance, trip.id, ctx.sender, ctx.now_ms()))
        ctx.say(ctx.t("Nobody sees any more where {trip} is.", trip=trip_name(ctx.translator, trip)))
