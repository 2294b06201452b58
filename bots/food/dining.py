"""Restaurants that deliver to where somebody is, their menus, and food for later."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from bots.commerce.buying.base import OFFERED, PAGE, ROUNDS
from bots.commerce.buying.browsing import SHELVES as MENU
from bots.commerce.buying.browsing import Browsing, Where
from bots.commerce.buying.checkout import CheckingOut, Quote, Wishes
from bots.commerce.buying.words import Speaking, further, joined, short, stars_of
from bots.commerce.hand import Hand, Reader
from bots.commerce.records import place_in, place_out
from bots.domain.merchants import Merchant, MerchantState
from bots.domain.money import Money
from bots.domain.places import Place
from bots.food.scheduling import Scheduling
from bots.framework import Context, Dialog, Key, Option, Rest, command, dialog
from bots.framework.i18n import Translator, _

__all__ = ["Dining"]

PLACE: Final = Key("place", list, default=[], secret=True)
"""Where a person wants to eat, as they said last."""
SEARCHED: Final = Key("searched", str, default="", secret=True)
SEARCH_MAX: Final = 100
MORE: Final = "--more"
ELSEWHERE: Final = "--elsewhere"


@dataclass(frozen=True, slots=True)
class Restaurant:
    """One in a list, as a dialog keeps it. ``opens_at``: None: it is open."""

    id: str
    name: str
    tags: tuple[str, ...]
    fee: Money
    minimum: Money | None
    metres: float
    opens_at: datetime | None
    stars: float | None
    ratings: int


class Dining(Browsing, CheckingOut, Scheduling):
    """For the plugin to inherit."""

    browse_word = "food"

    @command("food", help=_("Restaurants that deliver to you: food pizza"), aliases=("restaurants", "eat", "hungry"))
    async def find_food(self, ctx: Context, words: Rest = "") -> None:
        """Restaurants that deliver to you and are open now, the nearest first; with words only those that have that."""
        if await self.private(ctx):
            ctx.user_state.set(SEARCHED, words.strip()[:SEARCH_MAX])
            await self.show_restaurants(ctx, words.strip()[:SEARCH_MAX])

    @command("menu", help=_("The menu of a restaurant: menu roma"))
    async def menu(self, ctx: Context, restaurant: Rest) -> None:
        """The menu of a restaurant, by its name."""
        if not await self.private(ctx):
            return
        slug = "-".join(restaurant.casefold().split())
        merchant = await self.market.sellers.by_slug(ctx, slug)
        if merchant is None:
            listed = await self.market.sellers.list(ctx, [MerchantState.ACTIVE], limit=500)
            merchant = next((each for each in listed if restaurant.casefold() in each.name.casefold()), None)
        if merchant is None:
            ctx.say(ctx.t("I know no restaurant “{name}”.", name=restaurant[:60]))
            return
        ctx.start(self.browsing, Where(MENU, merchant.id, language=ctx.translator.language), ctx.sender)

    @command("where", help=_("Say where you want to eat"), aliases=("elsewhere",))
    async def say_place(self, ctx: Context) -> None:
        """Say where you want to eat; then I show you who delivers there."""
        if await self.private(ctx):
            ctx.user_state.set(PLACE, [])
            ctx.start(self.restaurants, None, "")

    async def show_restaurants(self, ctx: Context, text: str) -> None:
        """Show who delivers to where the person was last."""
        ctx.start(self.restaurants, place_in(await ctx.user_state.get(PLACE) or None), text)

    # The list

    @dialog(timeout=OFFERED)
    async def restaurants(self, d: Dialog, place: Place | None, text: str) -> None:
        """Who delivers to a place, page by page, until one is chosen.

        Args:
            place: None: they are asked.
            text: what they are searched for; empty: all.
        """
        after = 0
        for _round in range(ROUNDS):
            if place is None or place.point is None:
                place = await self.choose_place(d, d.t("Where would you like to eat?"), point=True)
                await d.do("remember", self._remember_eating, place)
            found = await self.look(d, "near", self._restaurants_near, place, text, after)
            more = len(found) > PAGE
            options = [self._restaurant_option(d, each) for each in found[:PAGE]]
            if more:
                options.append(further(d, MORE))
            options.append(Option(ELSEWHERE, d.t("Somewhere else"), key="📍"))
            picked = (
                await d.choose(self._restaurants_heading(d, place, text, bool(found)), options, page_size=PAGE + 2)
            ).value
            if picked == MORE:
                after += PAGE
            elif picked == ELSEWHERE:
                place, after = None, 0
            else:
                await d.do("menu", self._open_menu, picked)
                return

    def _restaurants_heading(self, d: Dialog, place: Place, text: str, there: bool) -> str:
        where = short(place.text, 80)
        if not there and text:
            return d.t("Nobody who delivers to {place} has “{text}”.", place=where, text=short(text, 60))
        if not there:
            return d.t("Nobody delivers to {place} yet.", place=where)
        return d.t("Restaurants that deliver to {place}:", place=where)

    def _restaurant_option(self, d: Dialog, each: Restaurant) -> Option:
        fee = d.t("delivery {fee}", fee=each.fee) if each.fee else d.t("free delivery")
        about = [
            d.t("opens {time}", time=each.opens_at) if each.opens_at is not None else "",
            fee,
            d.t("from {minimum}", minimum=each.minimum) if each.minimum else "",
            d.t("{km} km", km=round(each.metres / 1000, 1)) if each.metres else "",
            ", ".join(each.tags[:3]),
            stars_of(Speaking(d), each.stars, each.ratings),
        ]
        return Option(each.id, short(each.name, 80), short(joined(about), 200))

    async def _restaurants_near(self, reader: Hand, place: Place, text: str, after: int) -> list[Restaurant]:
        """A page of restaurants and one more, if there are more."""
        assert place.point is not None
        now = reader.now()
        near = await self.market.sellers.near(reader, place.point, now, text=text, after=after, limit=PAGE + 1)
        found = []
        for each in near:
            merchant, zone = each.merchant, each.zone
            stars, ratings = await self.market.ratings.average(reader, merchant.id)
            fee = zone.fee_for(Money.zero(merchant.currency), each.metres)
            found.append(
                Restaurant(merchant.id, merchant.name, merchant.tags, fee, zone.minimum or merchant.minimum,
                           each.metres, each.opens_at, stars, ratings)
            )  # fmt: skip
        return found

    async def _remember_eating(self, ctx: Context, place: Place) -> None:
        ctx.user_state.set(PLACE, place_out(place))

    async def _open_menu(self, ctx: Context, merchant_id: str) -> None:
        merchant = await self.market.sellers.get(ctx, merchant_id)
        if merchant is not None and not merchant.hours.open_at(ctx.now()):
            ctx.say(self._shut_words(ctx.translator, merchant, ctx.now()))
        ctx.start(self.browsing, Where(MENU, merchant_id, language=ctx.translator.language), ctx.sender)

    def _shut_words(self, say: Translator, merchant: Merchant, now: datetime) -> str:
        opens = merchant.hours.opens_at(now)
        if opens is None:
            return say.t("{merchant} is closed.", merchant=merchant.name)
        return say.t("{merchant} is closed, and opens {time}. You can order for later.", merchant=merchant.name,
                     time=opens)  # fmt: skip

    # Ordering

    async def begin_checkout(self, ctx: Context, person: str) -> None:
        """Begin to pay a cart: to where they said that they eat, and later where somebody is closed now."""
        wishes = Wishes(place=place_in(await ctx.user_state.get(PLACE) or None), tips=True)
        cart = await self.market.baskets.get(ctx, person)
        merchants = await self.market.sellers.many(ctx, cart.merchants)
        shut = [each for each in merchants.values() if not each.hours.open_at(ctx.now())]
        if shut:
            ctx.start(self.checkout_later, person, wishes, list(merchants))
        else:
            ctx.start(self.checkout, person, wishes)

    @dialog(timeout=timedelta(hours=12))
    async def checkout_later(self, d: Dialog, owner: str, wishes: Wishes, merchants: list[str]) -> None:
        """Ask when, first: somebody is closed now."""
        wanted = await self.ask_when(d, *merchants)
        await d.do("go on", self._checkout_then, owner, replace(wishes, wanted=wanted))

    async def _checkout_then(self, ctx: Context, owner: str, wishes: Wishes) -> None:
        ctx.start(self.checkout, owner, wishes)

    def _last_options(self, d: Dialog, quote: Quote, wishes: Wishes) -> list[Option]:
        options = super()._last_options(d, quote, wishes)
        return [*options[:1], Option("when", d.t("At another time"), key="🕒"), *options[1:]]

    async def _said(self, d: Dialog, what: str, wishes: Wishes, quote: Quote) -> Wishes:
        if what != "when":
            return await super()._said(d, what, wishes, quote)
        merchants = await self.look(d, "merchants", self._sellers_in_cart, d.person)
        return replace(wishes, wanted=await self.ask_when(d, *merchants))

    async def _sellers_in_cart(self, reader: Reader, owner: str) -> list[str]:
        return list((await self.market.baskets.get(reader, owner)).merchants)
