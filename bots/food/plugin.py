"""The food bot: diners, groups, restaurants and couriers on one bot."""

from __future__ import annotations

from datetime import timedelta

from bots.commerce.addresses import AddressBook
from bots.commerce.baskets import Baskets
from bots.commerce.buying import Buying, Market
from bots.commerce.cases import Cases
from bots.commerce.coupons import Coupons
from bots.commerce.couriers import Pool
from bots.commerce.desk import Desk, Desks
from bots.commerce.orders import Orders
from bots.commerce.orders_handlers import OrderKeeping
from bots.commerce.page.door import Paged
from bots.commerce.ratings import Ratings
from bots.commerce.seed import Demo
from bots.commerce.sellers import Sellers
from bots.commerce.shelf import Shelf
from bots.commerce.trade import Trade
from bots.commerce.wishes import WishList
from bots.food.bringing import Bringing
from bots.food.dining import SEARCHED, Dining
from bots.food.groups import GroupBook, Grouping, GroupPurse
from bots.food.groups.service import Groups
from bots.food.settings import Settings
from bots.framework import Context, Rest, Setup, command, joined, media, message, reaction
from bots.framework.i18n import _
from bots.payments.merchants import MerchantAccounts, MerchantPayouts
from bridge.audit import Audit

__all__ = ["Food"]


class Food(Dining, Grouping, Bringing, Buying, Desk, OrderKeeping, Paged, Demo):
    """Brings food from restaurants: to one, or to a group; and lets people cook and bring."""

    name = "food"
    summary = _("Food from restaurants near you, alone or with friends; or sell what you cook, and bring orders.")
    Settings = Settings
    scopes = frozenset(
        {
            "state",
            "schedules",
            "media",
            "people.read",
            "location.read",
            "rooms.create",
            "payments.charge",
            "payments.read",
            "payments.send",
            "commerce.trade",
        }
    )

    def __init__(self, setup: Setup) -> None:
        settings: Settings = setup.settings or Settings()
        trade, bot = setup.service(Trade), setup.instance
        sellers, shelf = Sellers(trade, bot), Shelf(trade, bot)
        self.keeping = Orders(trade, setup, sellers, shelf, settings.terms())
        cases, coupons = Cases(trade, self.keeping), Coupons(trade)
        self.case_keeping = cases
        self.cart_keeping = Baskets(trade, bot, shelf)
        self.wish_keeping = WishList(trade, bot, shelf)
        self.open_market(
            Market(
                trade,
                sellers,
                shelf,
                self.cart_keeping,
                self.keeping,
                cases,
                coupons,
                AddressBook(trade),
                self.wish_keeping,
                Ratings(trade),
                when_open=True,
            )
        )
        self.open_demo(settings.demo, trade, bot, "food")
        self.open_page(setup, sellers, shelf, self.cart_keeping)
        self.open_desk(
            Desks(
                trade,
                sellers,
                shelf,
                self.keeping,
                cases,
                coupons,
                setup.service(MerchantAccounts),
                setup.service(MerchantPayouts),
                setup.service(Audit),
                settings.desk,
            )
        )
        book = GroupBook(bot)
        self.groups = Groups(self.market, self.keeping, book, settings.group_terms())
        self.keeping.split = GroupPurse(book, self.keeping.cashier, cases, self.groups.shares_moved)
        self.least, self.offered_for = settings.least(), timedelta(seconds=settings.offer_seconds)
        pause = timedelta(seconds=settings.search_pause_seconds)
        self.pool = Pool(trade, bot, self.trip_moved, offered_for=self.offered_for, pause=pause)
        self.keeping.hooks += [self.groups.order_moved, self.bring_order]

    @joined
    async def hello(self, ctx: Context) -> None:
        """Say what it is for."""
        if await self.desk_of(ctx) is not None:
            return
        if len(await ctx.humans()) > 1:
            ctx.say(ctx.t("Hello! “!group order” and a restaurant begins an order of all of you."))
            return
        ctx.say(
            ctx.t(
                "Hello! Type “food” to see who delivers to you, “food pizza” for who has that, or “cart”. In a group "
                "you can order together: “group order”. “sell” if you cook, “courier” if you bring. “help” shows "
                "everything else."
            )
        )

    # What several sides say

    @command("orders", help=_("Show your orders"), aliases=("my orders",))
    async def show_orders(self, ctx: Context, text: Rest = "") -> None:
        """Show what you have ordered, the newest first; in a staff room the orders that wait."""
        if not await self.desk_orders(ctx, text):
            await self.my_orders(ctx)

    @command("order", help=_("Show an order: order 7KD2F"))
    async def show_order(self, ctx: Context, number: str) -> None:
        """Show one of your orders, where it is, and what you can do about it; in a staff room one of the merchant's."""
        if not await self.desk_order(ctx, number):
            await self.my_order(ctx, number)

    @command("cases", help=_("Show your complaints and returns"))
    async def show_cases(self, ctx: Context) -> None:
        """Show your complaints and returns that are open; in a staff room those of your buyers."""
        if not await self.desk_cases(ctx):
            await self.my_cases(ctx)

    @message(regex=r"^\s*#?\d{1,4}[.)]?\s*$", addressed=True)
    async def stale_number(self, ctx: Context) -> None:
        """A number that no question waits for: of a list that is not open any more, which is shown again."""
        if await self.at_the_desk(ctx) or not await self.private(ctx):
            return
        ctx.say(ctx.t("That list is not open any more. Here it is again:"))
        await self.show_restaurants(ctx, await ctx.user_state.get(SEARCHED))

    @message
    async def other(self, ctx: Context) -> None:
        """Whatever else: help, unless it is said among the staff."""
        if not await self.at_the_desk(ctx) and ctx.addressed:
            ctx.decline()

    @media
    async def sent(self, ctx: Context) -> None:
        """A file or a picture: of the staff."""
        await self.at_the_desk(ctx)

    @reaction
    async def reacted(self, ctx: Context, key: str, event_id: str) -> None:
        """A reaction: of the staff, to a card."""
        await self.reacted_at_the_desk(ctx, key, event_id)
