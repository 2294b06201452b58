"""What happens to orders by itself: for every plugin that has orders to inherit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from bots.commerce.baskets import Baskets
from bots.commerce.cases import Cases
from bots.commerce.orders import Orders
from bots.commerce.wishes import WishList
from bots.framework import Context, PaymentChange, Plugin, every, middleware, own_chat, payment_changed, timer

__all__ = ["OrderKeeping"]


class OrderKeeping(Plugin):
    """Timers, deadlines and payments of orders and cases. The plugin's constructor sets :attr:`keeping`, and the others
    where there are such."""

    locales = "bots.commerce"
    keeping: Orders
    case_keeping: Cases | None = None
    wish_keeping: WishList | None = None
    cart_keeping: Baskets | None = None

    @middleware
    async def note_own_chat(self, ctx: Context, call_next: Any) -> None:
        """Note where people talk with the bot alone: what is theirs only is said there."""
        if ctx.incoming is not None and ctx.incoming.kind == "text" and ctx.addressed:
            await own_chat.remember(ctx)
        await call_next()

    @timer("settle")
    async def settle_order(self, ctx: Context, data: dict[str, Any]) -> None:
        """Bring the money of an order where it belongs."""
        await self.keeping.settle(ctx, data["order"])

    @timer("order_deadline")
    async def order_deadline(self, ctx: Context, data: dict[str, Any]) -> None:
        """The time of an order's state is over."""
        await self.keeping.deadline(ctx, data["order"])

    @timer("order_by_itself")
    async def order_by_itself(self, ctx: Context, data: dict[str, Any]) -> None:
        """The next thing that happens to an order of a demo."""
        await self.keeping.by_itself(ctx, data["order"])

    @payment_changed
    async def order_payment_changed(self, ctx: Context, change: PaymentChange) -> None:
        """A payment has changed in the wallet."""
        await self.keeping.payment_changed(ctx, change)

    @every(timedelta(minutes=1))
    async def sweep_orders(self, ctx: Context) -> None:
        """Find what was forgotten."""
        await self.keeping.sweep(ctx)
        if self.case_keeping is not None:
            await self.case_keeping.sweep(ctx)

    @every(timedelta(hours=1))
    async def hourly_keeping(self, ctx: Context) -> None:
        """Tell people of their wishes; forget what nobody has touched for long."""
        if self.wish_keeping is not None:
            await self.wish_keeping.hourly(ctx)
        if self.cart_keeping is not None:
            self.cart_keeping.purge(ctx)

    @timer("wish_look")
    async def look_at_wishes(self, ctx: Context, data: dict[str, Any]) -> None:
        """Go on to tell people of their wishes."""
        if self.wish_keeping is not None:
            await self.wish_keeping.look(ctx, data["after"])

    @timer("case_settle")
    async def settle_case(self, ctx: Context, data: dict[str, Any]) -> None:
        """Give back what a case says."""
        if self.case_keeping is not None:
            await self.case_keeping.settle(ctx, data["case"])
