"""The shop: the buyers' side and the merchants' side on one bot."""

from __future__ import annotations

from typing import Final

from bots.commerce.buying.browsing import FOUND, MERCHANTS, SHELVES, Where
from bots.commerce.couriers.bringing import Bringing
from bots.commerce.couriers.pool import Pool
from bots.commerce.engines.settings import engine_of
from bots.commerce.selling import SCOPES, Selling
from bots.framework import Context, Key, Rest, Setup, command, joined, message, own_chat
from bots.framework.http import HttpClient
from bots.framework.i18n import _
from bots.shop.settings import Settings

LAST: Final = Key("last list", str, default="", secret=True)
"""What a person has searched for last; empty: they looked round."""
SEARCH_MAX: Final = 200


class Shop(Bringing, Selling):
    """Sells what merchants offer, and lets people become merchants."""

    name = "shop"
    summary = _("Shops to look round in: order, pay by your wallet, have it brought; or sell things yourself.")
    Settings = Settings
    scopes = SCOPES | {"http", "fleet"}

    def __init__(self, setup: Setup) -> None:
        settings: Settings = setup.settings or Settings()
        http = setup.service(HttpClient) if settings.vendure else None
        engine = engine_of(setup.instance, settings.vendure, http)
        self.open_shop(setup, settings, "shop", engine=engine)
        self.least = {}
        trade = self.market.trade
        if settings.couriers == "fleet":
            # Only where it is wanted: the libraries of dispatch take time and memory at every start.
            from bots.fleet.dispatcher import FleetCouriers

            self.pool = FleetCouriers.of(setup, settings, trade, self.trip_moved)
            self.keeping.hooks.append(self.bring_order)
        else:
            self.pool = Pool(trade, setup.instance, self.trip_moved)  # of nobody: merchants bring it themselves

    @joined
    async def hello(self, ctx: Context) -> None:
        """Say what it is for, to whom it is talking with alone."""
        if len(await ctx.humans()) > 1 or await self.desk_of(ctx) is not None:
            return
        await own_chat.met(ctx)
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

    @message
    async def other(self, ctx: Context) -> None:
        """Whatever else: help, unless it is said among the staff."""
        if not await self.at_the_desk(ctx) and ctx.addressed:
            ctx.decline()
