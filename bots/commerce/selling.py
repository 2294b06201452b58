"""A bot that sells: buyers, merchants, orders, pages and the demo city on one plugin. What it is about is the bot's."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from bots.commerce.addresses import AddressBook
from bots.commerce.baskets import Baskets
from bots.commerce.buying import Buying, Market
from bots.commerce.cases import Cases
from bots.commerce.coupons import Coupons
from bots.commerce.desk import Desk, Desks, DeskSettings
from bots.commerce.engines import CatalogueEngine
from bots.commerce.orders import Orders, Terms
from bots.commerce.orders_handlers import OrderKeeping
from bots.commerce.page.door import Paged
from bots.commerce.price_lists import PriceLists
from bots.commerce.ratings import Ratings
from bots.commerce.seed.demo import Demo, DemoSettings
from bots.commerce.sellers import Sellers
from bots.commerce.shelf import Shelf
from bots.commerce.trade import Trade
from bots.commerce.wishes import WishList
from bots.framework import Context, Rest, Setup, command, media, reaction
from bots.framework.i18n import _
from bots.payments.merchants import MerchantAccounts, MerchantPayouts
from bridge.audit import Audit

__all__ = ["SCOPES", "Selling", "SellingSettings"]

SCOPES = frozenset(
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
"""What a bot that sells needs."""


class SellingSettings(BaseModel):
    """What an operator can set for every such bot."""

    model_config = ConfigDict(extra="forbid")

    pay_minutes: int = Field(15, ge=1, le=1440, description="Minutes that a buyer has to confirm the payment.")
    agree_minutes: int = Field(
        60, ge=1, le=10_080, description="Minutes that a buyer has to say whether they want what is left of an order."
    )
    conclude_days: int = Field(14, ge=1, le=365, description="Days after the delivery in which a buyer can complain.")
    desk: DeskSettings = Field(default_factory=DeskSettings, description="The merchants' side.")
    demo: DemoSettings = Field(default_factory=DemoSettings, description="Merchants to try things out with.")

    def terms(self) -> Terms:
        """How long orders wait."""
        return Terms(
            timedelta(minutes=self.pay_minutes),
            timedelta(minutes=self.agree_minutes),
            timedelta(days=self.conclude_days),
        )


class Selling(Desk, Buying, OrderKeeping, Paged, Demo):
    """For a bot that sells to inherit; its constructor calls :meth:`open_shop`."""

    def open_shop(
        self,
        setup: Setup,
        settings: SellingSettings,
        kind: str,
        *,
        engine: CatalogueEngine | None = None,
        when_open: bool = False,
    ) -> None:
        """Put the parts together.

        Args:
            kind: of the merchants of the demo city.
            engine: where products are read from; the built-in one unless told.
            when_open: things are made when they are ordered: merchants have to be open then.
        """
        trade, bot = setup.service(Trade), setup.instance
        sellers, shelf = Sellers(trade, bot), Shelf(trade, bot, engine)
        self.keeping = orders = Orders(trade, setup, sellers, shelf, settings.terms())
        self.case_keeping = cases = Cases(trade, orders)
        self.wish_keeping = wishes = WishList(trade, bot, shelf)
        self.cart_keeping = baskets = Baskets(trade, bot, shelf)
        coupons, addresses, ratings, lists = Coupons(trade), AddressBook(trade), Ratings(trade), PriceLists(trade)
        self.open_market(
            Market(trade, sellers, shelf, baskets, orders, cases, coupons, addresses, wishes, ratings, lists, when_open)
        )
        accounts, payouts = setup.service(MerchantAccounts), setup.service(MerchantPayouts)
        audit = setup.service(Audit)
        self.open_desk(
            Desks(trade, sellers, shelf, orders, cases, coupons, lists, accounts, payouts, audit, settings.desk)
        )
        self.open_page(setup, sellers, shelf, baskets)
        self.open_demo(settings.demo, trade, bot, kind)

    # What buyers and merchants both say

    @command("orders", help=_("Show your orders"), aliases=("my orders",))
    async def show_orders(self, ctx: Context, text: Rest = "") -> None:
        """Show what you have ordered, the newest first; in a staff room the orders that wait."""
        if not await self.desk_orders(ctx, text):
            await self.my_orders(ctx)

    @command("order", help=_("Show an order: order 7KD2F"))
    async def show_order(self, ctx: Context, number: str) -> None:
        """Show how an order stands, and what you can do about it; in a staff room one of the merchant's."""
        if not await self.desk_order(ctx, number):
            await self.my_order(ctx, number)

    @command("cases", help=_("Show your complaints and returns"))
    async def show_cases(self, ctx: Context) -> None:
        """Show your complaints and returns that are open; in a staff room those of your buyers."""
        if not await self.desk_cases(ctx):
            await self.my_cases(ctx)

    @media
    async def sent(self, ctx: Context) -> None:
        """A file or a picture: of the staff."""
        await self.at_the_desk(ctx)

    @reaction
    async def reacted(self, ctx: Context, key: str, event_id: str) -> None:
        """A reaction: of the staff, to a card."""
        await self.reacted_at_the_desk(ctx, key, event_id)
