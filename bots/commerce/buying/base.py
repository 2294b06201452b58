"""What all parts of the buyer's side stand on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

from bots.commerce.addresses import AddressBook
from bots.commerce.baskets import Baskets
from bots.commerce.buying.words import Speaking, sentence
from bots.commerce.cases import Cases
from bots.commerce.coupons import Coupons
from bots.commerce.engines.base import EngineFailed
from bots.commerce.hand import Glance, Looking
from bots.commerce.orders import Orders
from bots.commerce.price_lists import PriceLists
from bots.commerce.ratings import Ratings
from bots.commerce.sellers import Sellers
from bots.commerce.shelf import Shelf
from bots.commerce.trade import Trade
from bots.commerce.wishes import WishList
from bots.domain.orders import Order
from bots.framework import Context, Dialog, Plugin

T = TypeVar("T")

PAGE: Final = 10
"""Of a list."""
OFFERED: Final = timedelta(days=7)
"""How long a list or a card can be answered."""
ROUNDS: Final = 25
"""Screens of one dialog: the next one goes on in a dialog of its own, so that no journal outgrows its bounds."""


@dataclass(frozen=True)
class Market:
    """The services that the buyers' side works with; one for a plugin.

    Attributes:
        when_open: whether a merchant has to be open at the time that an order is for.
    """

    trade: Trade
    sellers: Sellers
    shelf: Shelf
    baskets: Baskets
    orders: Orders
    cases: Cases
    coupons: Coupons
    addresses: AddressBook
    wishes: WishList
    ratings: Ratings
    price_lists: PriceLists
    when_open: bool = False


class Buyer(Plugin):
    """For the parts of the buyer's side to inherit. The plugin's constructor sets :attr:`market`."""

    market: Market

    async def private(self, ctx: Context) -> bool:
        """Whether the person is alone with the bot; otherwise they are told that this is nobody else's affair."""
        if len(await ctx.humans()) <= 1 and await self.market.sellers.of_room(ctx, ctx.room_id) is None:
            return True
        ctx.say(ctx.t("What you buy is private: please write to me in a chat of our own."), reply=True)
        return False

    async def look(self, d: Dialog, name: str, read: Callable[..., Awaitable[T]], *given: Any) -> T:
        """What ``read(reader, …)`` finds, recorded. It changes nothing, so ``back`` goes behind it.

        The dialog ends with a word where a catalogue that is kept elsewhere does not answer.
        """
        reader: Glance = Looking(self.market.trade)
        try:
            return await d.look(name, read, reader, *given, raises=(EngineFailed,))
        except EngineFailed as error:
            return await d.end(sentence(Speaking(d), error))

    async def stored(self, d: Dialog) -> None:
        """What happened until here is in the database: what is read from now on shows it."""
        await d.look("stored", _nothing)

    async def order_named(self, ctx: Context, number: str) -> Order | None:
        """One of the person's orders by its number, the last one without; None: they are told that there is none."""
        if not await self.private(ctx):
            return None
        if number.strip():
            order = await self.market.orders.by_number(ctx, number, buyer=ctx.sender)
        else:
            order = next(iter(await self.market.orders.of_buyer(ctx, ctx.sender, limit=1)), None)
        if order is None:
            ctx.say(ctx.t("You have no such order. “orders” shows those you have."))
        return order

    async def show_cart(self, ctx: Context, person: str, *, lead: str = "") -> None:
        """Show a cart in the room of the event: :class:`~bots.commerce.buying.carts.CartKeeping` does.

        Args:
            person: whose: a user id, or ``group:ROOM``.
            lead: what is said first.
        """
        raise NotImplementedError

    async def begin_checkout(self, ctx: Context, person: str) -> None:
        """Begin to pay a cart in the room of the event: :class:`~bots.commerce.buying.checkout.CheckingOut` does.

        Args:
            person: whose: a user id, or ``group:ROOM``.
        """
        raise NotImplementedError


async def _nothing() -> None:
    """A look has what was done before it committed."""
