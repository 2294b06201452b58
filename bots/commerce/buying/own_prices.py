"""Where a buyer has prices of their own."""

from __future__ import annotations

from bots.commerce.buying.base import Buyer
from bots.framework import Context, command
from bots.framework.i18n import _


class OwnPrices(Buyer):
    """For the plugin to inherit."""

    @command("my prices", help=_("Where you have prices of your own"))
    async def my_prices(self, ctx: Context) -> None:
        """Which merchants have put you on a price list. Its prices are marked as yours; they are never higher than
        what others pay."""
        if not await self.private(ctx):
            return
        mine = await self.market.price_lists.mine(ctx, ctx.sender)
        sellers = await self.market.sellers.many(ctx, [each.merchant for each in mine])
        lines = [
            ctx.t("{merchant}: price list “{name}”", merchant=sellers[each.merchant].name, name=each.name)
            for each in mine
            if each.merchant in sellers
        ]
        ctx.say("\n".join(lines) if lines else ctx.t("You have no prices of your own with anybody here."))
