"""A world with a bot that has nothing but the merchants' side, and orders."""

from __future__ import annotations

from typing import Any, Final

from bots.commerce.baskets import Baskets
from bots.commerce.cases import Cases
from bots.commerce.coupons import Coupons
from bots.commerce.desk import Desk, Desks, DeskSettings
from bots.commerce.orders import Orders, Terms
from bots.commerce.orders_handlers import OrderKeeping
from bots.commerce.price_lists import PriceLists
from bots.commerce.sellers import Sellers
from bots.commerce.shelf import Shelf
from bots.commerce.trade import Trade
from bots.domain.merchants import Merchant
from bots.framework import Context, Rest, Setup, command, media, message, reaction
from bots.framework.testing import Message, Person, Room
from bots.payments.merchants import MerchantAccounts, MerchantPayouts
from bridge.audit import Audit
from tests.support.commerce import CommerceWorld, Doing, Jobs

ADMIN: Final = "@admin:world"


class Market(Desk, OrderKeeping, Doing):
    """The desk, and what it stands on."""

    name = "market"
    summary = "Sells."
    scopes = frozenset(
        {
            "state", "schedules", "people.read", "payments.charge", "payments.read", "payments.send", "commerce.trade",
            "media", "rooms.create", "location.read",
        }
    )  # fmt: skip

    def __init__(self, setup: Setup) -> None:
        trade = setup.service(Trade)
        self.jobs = setup.service(Jobs)
        sellers, shelf = Sellers(trade, setup.instance), Shelf(trade, setup.instance)
        self.baskets = Baskets(trade, setup.instance, shelf)
        self.keeping = Orders(trade, setup, sellers, shelf, setup.service(Terms))
        self.case_keeping = cases = Cases(trade, self.keeping)
        self.open_desk(
            Desks(
                trade,
                sellers,
                shelf,
                self.keeping,
                cases,
                Coupons(trade),
                PriceLists(trade),
                setup.service(MerchantAccounts),
                setup.service(MerchantPayouts),
                setup.service(Audit),
                DeskSettings(),
            )
        )

    @command("orders", help="Orders")
    async def orders(self, ctx: Context, text: Rest = "") -> None:
        """Orders."""
        if not await self.desk_orders(ctx, text):
            ctx.say("You have ordered nothing.")

    @command("order", help="An order")
    async def order(self, ctx: Context, number: str) -> None:
        """An order."""
        if not await self.desk_order(ctx, number):
            ctx.say("There is no such order.")

    @command("cases", help="Cases")
    async def cases(self, ctx: Context) -> None:
        """Cases."""
        if not await self.desk_cases(ctx):
            ctx.say("You have no cases.")

    @message
    async def other(self, ctx: Context) -> None:
        """Everything else."""
        if not await self.at_the_desk(ctx) and ctx.addressed:
            ctx.decline()

    @media
    async def sent(self, ctx: Context) -> None:
        """A file or a picture."""
        await self.at_the_desk(ctx)

    @reaction
    async def reacted(self, ctx: Context, key: str, event_id: str) -> None:
        """A reaction."""
        await self.reacted_at_the_desk(ctx, key, event_id)


class DeskWorld(CommerceWorld):
    """People talk with the market; carla has a staff room, and one operator is named."""

    def __init__(self, **given: Any) -> None:
        given.setdefault("permissions", {"roles": {"operator": [ADMIN]}})
        super().__init__(Market, **given)

    async def says(self, person: Person, *texts: str | int, room: Room | None = None) -> list[str]:
        """A person says something to the market, in their own chat unless another room is named; what it answers to the
        last."""
        place = room or await self.chat(person)
        for text in texts:
            await person.hears_all(place)
            await person.says(str(text), room=place)
        return [each.body for each in await self.hears(person, place)]

    async def hears(self, person: Person, room: Room | None = None) -> list[Message]:
        """What the market has said since."""
        heard = await person.hears_all(room or await self.chat(person))
        return [each for each in heard if each.sender == self.seller]

    async def desk(self, slug: str = "pizzeria", **changes: Any) -> tuple[Merchant, Person, Room]:
        """A merchant with their owner carla, alone in the staff room."""
        merchant = await self.merchant(slug, **changes)
        carla = self.user("carla")
        room = self.staff_room(merchant)
        await carla.hears_all(room)
        return merchant, carla, room

    async def now(self, merchant: Merchant) -> Merchant:
        """A merchant as they stand."""
        found = await self.sellers.get(self, merchant.id)
        assert found is not None
        return found
