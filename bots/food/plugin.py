"""The food bot: diners, groups, restaurants and couriers on one bot."""

from __future__ import annotations

from datetime import timedelta

from bots.commerce.couriers import Pool
from bots.commerce.couriers.bringing import Bringing
from bots.commerce.couriers.chat import Couriering
from bots.commerce.selling import SCOPES, Selling
from bots.food.dining import SEARCHED, Dining
from bots.food.groups import GroupBook, Grouping, GroupPurse
from bots.food.groups.pages import GroupTable
from bots.food.groups.service import Groups
from bots.food.settings import Settings
from bots.framework import Context, Setup, joined, message, own_chat
from bots.framework.i18n import _

__all__ = ["Food"]


class Food(Dining, Grouping, Bringing, Couriering, Selling):
    """Brings food from restaurants: to one, or to a group; and lets people cook and bring."""

    name = "food"
    summary = _("Food from restaurants near you, alone or with friends; or sell what you cook, and bring orders.")
    Settings = Settings
    scopes = SCOPES | {"fleet"}

    def __init__(self, setup: Setup) -> None:
        settings: Settings = setup.settings or Settings()
        self.open_shop(setup, settings, "food", when_open=True)
        trade, bot = self.market.trade, setup.instance
        book = GroupBook(bot)
        self.groups = Groups(self.market, self.keeping, book, settings.group_terms())
        self.share_page(GroupTable(self.groups))
        self.keeping.split = GroupPurse(book, self.keeping.cashier, self.market.cases, self.groups.shares_moved)
        self.least, self.offered_for = settings.least(), timedelta(seconds=settings.offer_seconds)
        pause = timedelta(seconds=settings.search_pause_seconds)
        failed = settings.pay_failed_trips
        if settings.couriers == "fleet":
            # Only where it is wanted: the libraries of dispatch take time and memory at every start.
            from bots.fleet.dispatcher import FleetCouriers

            self.pool = FleetCouriers.of(setup, settings, trade, self.trip_moved, pays_failed=failed)
        else:
            door = timedelta(minutes=settings.door_minutes)
            self.pool = Pool(
                trade, bot, self.trip_moved, offered_for=self.offered_for, pause=pause, door=door, pays_failed=failed
            )
        self.keeping.hooks += [self.groups.order_moved, self.bring_order]

    @joined
    async def hello(self, ctx: Context) -> None:
        """Say what it is for."""
        if await self.desk_of(ctx) is not None:
            return
        await own_chat.met(ctx)
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
