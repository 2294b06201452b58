"""The shop: the buyers' side and the merchants' side on one bot."""

from __future__ import annotations

from typing import Final

from bots.commerce.addresses import AddressBook
from bots.commerce.baskets import Baskets
from bots.commerce.buying import Buying, Market
from bots.commerce.buying.browsing import FOUND, MERCHANTS, SHELVES, Where
from bots.commerce.cases import Cases
from bots.commerce.coupons import Coupons
from bots.commerce.desk import Desk, Desks
from bots.commerce.engines.settings import engine_of
from bots.commerce.orders import Orders
from bots.commerce.orders_handlers import OrderKeeping
from bots.commerce.page.door import Paged
from bots.commerce.ratings import Ratings
from bots.commerce.seed import Demo
from bots.commerce.sellers import Sellers
from bots.commerce.shelf import Shelf
from bots.commerce.trade import Trade
from bots.commerce.wishes import WishList
from bots.framework import Context, Key, Rest, Setup, command, joined, media, message, reaction
from bots.framework.http import HttpClient
from bots.framework.i18n import _
from bots.payments.merchants import MerchantAccounts, MerchantPayouts
from bots.shop.settings import Settings
from bridge.audit import Audit

LAST: Final = Key("last list", str, default="", secret=True)
"""What a person has searched for last; empty: they looked round."""
SEARCH_MAX: Final = 200


class Shop(Buying, Desk, OrderKeeping, Paged, Demo):
    """Sells what merchants offer, and lets people become merchants."""

    name = "shop"
    summary = _("Shops to look round in: order, pay by your wallet, have it brought; or sell things yourself.")
    Settings = Settings
    scopes = frozenset(
        {
            "state",
            "schedules",
            "media",
            "people.read",
            "location.read",
            "rooms.create",
            "http",
            "payments.charge",
            "payments.read",
            "payments.send",
            "commerce.trade",
        }
    )

    def __init__(self, setup: Setup) -> None:
        settings: Settings = setup.settings or Settings()
        trade = setup.service(Trade)
        http = setup.service(HttpClient) if settings.vendure else None
        engine = engine_of(setup.instance, settings.vendure, http)
        sellers, shelf = Sellers(trade, setup.instance), Shelf(trade, setup.instance, engine)
        self.keeping = Orders(trade, setup, sellers, shelf, settings.terms())
        self.case_keeping = cases = Cases(trade, self.keeping)
        self.wish_keeping = wishes = WishList(trade, setup.instance, shelf)
        self.cart_keeping = baskets = Baskets(trade, setup.instance, shelf)
        coupons = Coupons(trade)
        self.open_market(
            Market(
                trade, sellers, shelf, baskets, self.keeping, cases, coupons, AddressBook(trade), wishes, Ratings(trade)
            )
        )
        self.open_demo(settings.demo, trade, setup.instance, "shop")
        self.open_page(setup, sellers, shelf, baskets)
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

    @joined
    async def hello(self, ctx: Context) -> None:
        """Say what it is for, to whom it is talking with alone."""
        if len(await ctx.humans()) > 1 or await self.desk_of(ctx) is not None:
            return
        ctx.say(
            ctx.t(
                "Hello! Type “browse” to look round, “search” and what you want, or “cart”. “help” shows everything "
                "else; to sell things yourself type “sell”."
            )
        )

    # Looking round

    @command("browse", help=_("Look round: who sells here, and what"), aliases=("shops", "start"))
    async def browse(self, ctx: Context, shop: Rest = "") -> None:
        """Look round among the merchants; or “browse” and the name of one."""
        if not await self.private(ctx):
            return
        language = ctx.translator.language
        ctx.user_state.set(LAST, "")
        if not shop.strip():
            ctx.start(self.browsing, Where(MERCHANTS, language=language), ctx.sender)
            return
        merchant = await self.merchant_called(ctx, shop)
        if merchant is None:
            ctx.say(ctx.t("There is no merchant of that name. Type “browse” to see who sells here."))
        else:
            ctx.start(self.browsing, Where(SHELVES, merchant.id, language=language), ctx.sender)

    @command("search", help=_("Search for something: search blue shirt"), aliases=("find",))
    async def search(self, ctx: Context, words: Rest) -> None:
        """Search everything that is sold here. Small mistakes in writing do no harm."""
        if await self.private(ctx):
            text = " ".join(words.split())[:SEARCH_MAX]
            ctx.user_state.set(LAST, text)
            ctx.start(self.browsing, Where(FOUND, text=text, language=ctx.translator.language), ctx.sender)

    @message(regex=r"^\s*#?\d{1,4}[.)]?\s*$", addressed=True)
    async def stale_number(self, ctx: Context) -> None:
        """A number that no question waits for: of a list that is not open any more, which is shown again."""
        if await self.at_the_desk(ctx):
            return
        text = await ctx.user_state.get(LAST)
        ctx.say(ctx.t("That list is not open any more. Here it is again:"))
        kind = FOUND if text else MERCHANTS
        ctx.start(self.browsing, Where(kind, text=text, language=ctx.translator.language), ctx.sender)

    # What buyers and merchants both say

    @command("orders", help=_("Show your orders"), aliases=("my orders",))
    async def show_orders(self, ctx: Context, text: Rest = "") -> None:
        """Show what you have ordered, the newest first; in a staff room the orders that wait."""
        if not await self.desk_orders(ctx, text):
            await self.my_orders(ctx)

    @command("order", help=_("Show an order: order 7KD2F"))
    async def show_order(self, ctx: Context, number: str) -> None:
        """Show how an order stands, and what you can do about it."""
        if not await self.desk_order(ctx, number):
            await self.my_order(ctx, number)

    @command("cases", help=_("Show your complaints and returns"))
    async def show_cases(self, ctx: Context) -> None:
        """Show your complaints and returns that are open; in a staff room those of your buyers."""
        if not await self.desk_cases(ctx):
            await self.my_cases(ctx)

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
