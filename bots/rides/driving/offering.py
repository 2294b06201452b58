"""Offers: shown to a driver, taken or not, and over."""

from __future__ import annotations

from collections.abc import Sequence

from bots.domain.drivers import OFFER_WORDS, Driver, DriverError, Offer, OfferAction, OfferState
from bots.domain.trips import Trip, TripRefused
from bots.fleet.news import OfferNews
from bots.framework import Context, Option, command
from bots.framework.i18n import Translator, _
from bots.rides.driving.cards import OFFER, Cards
from bots.rides.driving.texts import offer_over, offer_words
from bots.rides.riding.texts import sentence

__all__ = ["Offering"]


class Offering(Cards):
    """Offers, for the plugin to inherit."""

    async def offer_told(self, ctx: Context, news: OfferNews) -> None:
        """A hook of the fleet's offers."""
        driver, offer = news.driver, news.offer
        if news.action is None:
            await self._offer_made(ctx, news)
            return
        if news.action is OfferAction.ACCEPT:
            return  # who has taken it sees the trip
        say = await self.driver_words(ctx, driver.person)
        words = offer_over(say, say.t(OFFER_WORDS[offer.state]), offer.earning)
        self.close_card(ctx, driver, ctx.reference(_key(offer)), words)
        if news.broke:
            words = say.n(
                "You have let {count} offer pass, so you are on a break. “online” when you want trips again.",
                "You have let {count} offers in a row pass, so you are on a break. “online” when you want trips again.",
                max(driver.lapses, self.fleet.terms.lapses),
            )
            ctx.say(words, room_id=driver.room_id, notice=False)

    async def _offer_made(self, ctx: Context, news: OfferNews) -> None:
        await self.show_offer(ctx, news.driver, news.offer, news.trips, key=_key(news.offer))

    async def show_offer(
        self, ctx: Context, driver: Driver, offer: Offer, trips: Sequence[Trip], *, key: str = ""
    ) -> None:
        """Show an offer that is open; otherwise nothing.

        Args:
            key: of the card's message: of the first one, which is put right when the offer is over.
        """
        seconds = int((offer.deadline - ctx.now()).total_seconds())
        if offer.state is not OfferState.OPEN or seconds <= 0 or not trips:
            return
        say = await self.driver_words(ctx, driver.person)
        known = self.fleet.tariff.classes.get(trips[0].service)
        label = trips[0].service if known is None else known.label
        lines = [offer_words(say, offer, trips, seconds, label)]
        rated = await self._rider_stars(ctx, trips[0])
        if rated:
            lines.append(say.t("Rider: {stars}", stars=rated))
        await self.show_card(ctx, driver, (OFFER, offer.id), "\n".join(lines), self.offer_options(say), key=key)

    async def _rider_stars(self, ctx: Context, trip: Trip) -> str:
        if not trip.rider:
            return ""
        known = await self.fleet.drivers.stars_of(ctx, trip.rider)
        return "" if known is None else f"★ {known:.1f}"

    def offer_options(self, say: Translator) -> list[Option]:
        """What can be answered to an offer."""
        return [
            Option("accept", say.t("Accept"), key="✅", aliases=("accept", "yes", "👍")),
            Option("decline", say.t("Decline"), key="❌", aliases=("decline", "no", "👎")),
        ]

    # Answers

    @command("accept", help=_("Take the trip that is offered to you"), hidden=True)
    async def accept_offer(self, ctx: Context) -> None:
        """Take the trip that is offered to you."""
        driver = await self.as_driver(ctx)
        if driver is not None:
            await self.answer_offer(ctx, driver, driver.offer, taken=True)

    @command("decline", help=_("Let the trip that is offered to you pass"), hidden=True)
    async def decline_offer(self, ctx: Context) -> None:
        """Let the trip that is offered to you pass; somebody else is asked."""
        driver = await self.as_driver(ctx)
        if driver is not None:
            await self.answer_offer(ctx, driver, driver.offer, taken=False)

    async def answer_offer(self, ctx: Context, driver: Driver, offer_id: str, *, taken: bool) -> None:
        """Take an offer or not: of two who take one trip, one has it, and the other hears so."""
        if not offer_id:
            ctx.say(ctx.t("No trip is offered to you just now."))
            return
        try:
            if not taken:
                await self.fleet.offers.decline(ctx, driver.person, offer_id)
                ctx.say(ctx.t("I ask somebody else."))
                return
            accepted = await self.fleet.offers.accept(ctx, driver.person, offer_id)
        except (DriverError, TripRefused) as error:
            ctx.discard()
            ctx.say(sentence(ctx.translator, error))
            return
        offer = await self.fleet.offers.get(ctx, offer_id)
        if offer is not None:
            words = ctx.t("You have taken this offer of {amount}.", amount=offer.earning)
            self.close_card(ctx, driver, ctx.reference(_key(offer)), words)
        await self.job_taken(ctx, driver, accepted)

    async def job_taken(self, ctx: Context, driver: Driver, accepted: list[Trip]) -> None:
        """Somebody has a trip now: show them the way."""
        raise NotImplementedError


def _key(offer: Offer) -> str:
    """Of the card's message."""
    return f"offer/{offer.id}"
