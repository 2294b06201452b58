"""A world with merchants, what they sell, and people with money: for every bot that sells.

```python
async with CommerceWorld() as world:
    pizzeria = await world.merchant("pizzeria")
    alice = await world.buyer("alice", "100")
    (order,) = await world.places(alice, world.cart(pizzeria, "margherita", 2))
    await world.pays(alice)
    assert (await world.order(order)).state is OrderState.PAID
```
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from appservice.events import InternalEvent
from appservice.metrics import Metrics
from bots.commerce.baskets import Baskets
from bots.commerce.cases import Cases
from bots.commerce.cashier import Cashier
from bots.commerce.orders import Orders, Terms
from bots.commerce.orders_handlers import OrderKeeping
from bots.commerce.sellers import Sellers
from bots.commerce.shelf import Shelf
from bots.commerce.trade import Trade
from bots.commerce.wishes import WishList
from bots.domain.carts import Cart, CartLine
from bots.domain.catalogue import Modifier, ModifierGroup, Product, Stock, Variant
from bots.domain.ledger import AccountKind
from bots.domain.merchants import Merchant, MerchantState, Way
from bots.domain.money import Money
from bots.domain.opening import Hours
from bots.domain.orders import Action, Delivery, Fulfilment, Order
from bots.domain.places import Circle, Place, Point, Zone
from bots.domain.stock import StockLevel
from bots.framework import Context, Plugin, Setup, command
from bots.framework.consumer import SCHEDULE_FIRED
from bots.framework.testing import Message, Person, Room
from bots.framework.testing.world import BOT_SERVER, PICKLE_KEY, PluginType
from bots.payments.merchants import MerchantAccounts, MerchantPayouts, Merchants
from bots.store import stock as stock_sql
from bots.store.stock import StockKey
from tests.support.money import WALLET, MoneyWorld, code_in

__all__ = ["CENTRE", "HOME", "CommerceWorld", "Doing", "Jobs", "Stall", "menu", "money", "product"]

T = TypeVar("T")

CENTRE: Final = Place("Market Square 1", Point(52.52, 13.405))
"""Where merchants are."""
HOME: Final = Place("Linden Street 7", Point(52.525, 13.41))
"""Where people live: in everybody's zone."""


def money(amount: str, currency: str = "EUR") -> Money:
    """So much."""
    return Money.of(amount, currency)


def product(key: str, price: str, *, stock: int | None = None, **more: Any) -> Product:
    """A product with one variant, called as its key."""
    variant = Variant("one", key.capitalize(), money(price), Stock.of(stock))
    return Product(key, key.capitalize(), (variant,), **more)


def menu() -> list[Product]:
    """Something to eat: without end, with extras, of which there is little, and in sizes."""
    cheese = Modifier("cheese", "Extra cheese", money("1.50"))
    extras = ModifierGroup("extras", "Extras", (cheese, Modifier("olives", "Olives", money("1.00"))), 0, 2)
    sizes = (Variant("small", "Small", money("3.00")), Variant("large", "Large", money("4.00")))
    return [
        product("margherita", "9.00", groups=(extras,)),
        product("salad", "6.00", stock=3),
        Product("lemonade", "Lemonade", sizes),
    ]


class Jobs:
    """What a test has a plugin do inside a handler; it outlives restarts of the service."""

    def __init__(self) -> None:
        self.work: list[Callable[[Context], Awaitable[Any]]] = []
        self.results: dict[int, Any] = {}


class Doing(Plugin):
    """For a test's plugin to inherit: does what a test says."""

    jobs: Jobs

    @command("do", help="Do what the test says", hidden=True)
    async def do(self, ctx: Context, number: int) -> None:
        """Do it."""
        self.jobs.results[number] = await self.jobs.work[number](ctx)


class Stall(OrderKeeping, Doing):
    """The least that sells: orders, and nobody to talk with."""

    name = "stall"
    summary = "Sells."
    scopes = frozenset({"state", "schedules", "people.read", "payments.charge", "payments.send", "commerce.trade"})

    def __init__(self, setup: Setup) -> None:
        trade = setup.service(Trade)
        self.jobs = setup.service(Jobs)
        self.sellers = Sellers(trade, setup.instance)
        self.shelf = Shelf(trade, setup.instance)
        self.baskets = Baskets(trade, setup.instance, self.shelf)
        self.keeping = Orders(trade, setup, self.sellers, self.shelf, setup.service(Terms))
        self.cases = self.case_keeping = Cases(trade, self.keeping)
        self.wishes = self.wish_keeping = WishList(trade, setup.instance, self.shelf)
        self.cart_keeping = self.baskets


class CommerceWorld(MoneyWorld):
    """A world with a bot that sells, beside the real wallet."""

    def __init__(
        self,
        *plugins: PluginType,
        services: Callable[[MoneyWorld], Mapping[type, Any]] | None = None,
        terms: Terms | None = None,
        **given: Any,
    ) -> None:
        """
        Args:
            plugins: that sell; the first is meant where none is named. The :class:`Stall` unless told.
            services: further ones, made at each start.
            terms: of the stall.
        """
        self.jobs = Jobs()
        self._ticks = 0
        self.metrics = Metrics()
        self.trade: Trade
        """Made at each start of the service."""
        sellers = plugins or (Stall,)

        def more(world: MoneyWorld) -> Mapping[type, Any]:
            self.trade = Trade(
                PICKLE_KEY, world.database, world.raise_events, world.clock, self.metrics, randomness=self._bytes
            )
            return {
                Merchants: Merchants(world.bank),
                MerchantAccounts: MerchantAccounts(world.bank),
                MerchantPayouts: MerchantPayouts(world.bank),
                Trade: self.trade,
                Jobs: self.jobs,
                Terms: terms or Terms(),
                **({} if services is None else services(world)),
            }

        # Codes throughout: the PIN is the wallet's affair.
        given.setdefault("money", {"pin_above": {"EUR": "900.00"}})
        super().__init__(*sellers, more=more, **given)
        self.instance = self._made[1][0]
        """The name of the bot that sells."""

    # What there is

    async def query(self, work: Callable[[Connection], T]) -> T:
        """Read from the database, as a handler would: the world is what services read through."""
        await self._ensure()
        return await self.database.read(work)

    @property
    def seller(self) -> str:
        """The user id of the bot that sells."""
        return f"@{self.instance}:{BOT_SERVER}"

    @property
    def plugin(self) -> Any:
        """The plugin that sells, as it was made at the last start."""
        return self.plugins[1]

    @property
    def sellers(self) -> Sellers:
        """The merchants of the bot."""
        return Sellers(self.trade, self.instance)

    @property
    def shelf(self) -> Shelf:
        """What they sell."""
        return Shelf(self.trade, self.instance)

    @property
    def orders(self) -> Orders:
        """The orders of the bot, to be read; what is to be done goes through :meth:`does`."""
        kept: Orders = self.plugin.keeping
        return kept

    async def order(self, order: Order | str) -> Order:
        """An order as it stands."""
        found = await self.orders.get(self, order if isinstance(order, str) else order.id)
        assert found is not None
        return found

    async def stock(self, merchant: Merchant, key: str, variant: str = "one", slot: str = "") -> StockLevel:
        """How much there is of something."""
        wanted = StockKey(merchant.id, key, variant, slot)
        return (await self.query(lambda connection: stock_sql.levels(connection, [wanted])))[wanted]

    async def merchant_has(self, merchant: Merchant) -> Money:
        """What a merchant can pay out."""
        owner = f"bot:{self.instance}/{merchant.slug}"
        return (await self.ledger.account(owner, merchant.currency, AccountKind.MERCHANT)).available

    # Who there is

    async def chat(self, person: Person) -> Room:
        """A person's chat with the bot that sells."""
        return await self.direct(person, self.seller)

    async def buyer(self, name: str, amount: str = "100") -> Person:
        """A person with money, who has met wallet and bot, and has heard all that was said."""
        person = await self.opened(name, amount)
        await person.hears_all(await self.chat(person))
        return person

    async def merchant(
        self, slug: str, products: Sequence[Product] | None = None, *, owner: str = "carla", **changes: Any
    ) -> Merchant:
        """A merchant who is open day and night, delivers around :data:`CENTRE` for 2.50 EUR, sends parcels for 4.90 EUR
        and lets people come; with an encrypted staff room that the owner is in.

        Args:
            products: what they sell; :func:`menu` unless told.
            changes: of the merchant.
        """
        await self._ensure()
        boss = self.user(owner)
        room = await self.room(f"staff-{slug}", boss)
        values: dict[str, Any] = {
            "id": self.trade.new_id(),
            "slug": slug,
            "bot": self.instance,
            "owner": boss.user_id,
            "name": slug.capitalize(),
            "currency": "EUR",
            "state": MerchantState.ACTIVE,
            "hours": Hours.always("Europe/Berlin"),
            "room_id": room.room_id,
            "where": CENTRE,
            "zones": (Zone("Centre", Circle(Point(52.52, 13.405), 5_000), money("2.50")),),
            "ways": (
                Way("Parcel", Fulfilment.PARCEL, money("4.90")),
                Way("Pickup", Fulfilment.PICKUP, money("0.00")),
            ),
        }
        made = Merchant(**(values | changes))
        hand = _Hand(self)
        self.sellers.apply(hand, made)
        for each in menu() if products is None else products:
            self.shelf.put(hand, made.id, each)
        await hand.commit()
        await self.quiet(room, boss)
        found = await self.sellers.get(self, made.id)
        assert found is not None
        return found

    def staff_room(self, merchant: Merchant) -> Room:
        """Where the staff is told."""
        return self.homeserver.rooms[merchant.room_id]

    async def hears_in(self, person: Person, room: Room) -> list[str]:
        """What bots have said in a room since this person listened last."""
        return [message.body for message in await person.hears_all(room)]

    # What they do

    async def does(
        self, person: Person, work: Callable[[Context], Awaitable[T]], *, room: Room | None = None
    ) -> T | None:
        """Have the plugin do something in answer to a person, in their chat unless another room is named; its result,
        None when it failed. The plugin inherits :class:`Doing`."""
        number = len(self.jobs.work)
        self.jobs.work.append(work)
        place = room or await self.chat(person)
        await person.says(f"do {number}" if room is None else f"{self.seller} do {number}", room=place)
        result: T | None = self.jobs.results.pop(number, None)
        return result

    def cart(self, merchant: Merchant, key: str, quantity: int = 1, variant: str = "one", **more: Any) -> Cart:
        """A cart with one line."""
        return Cart().add(CartLine(merchant.id, key, variant, quantity, **more))

    def delivery(self, merchant: Merchant, kind: Fulfilment = Fulfilment.COURIER, **more: Any) -> Delivery:
        """One of the ways of :meth:`merchant`."""
        if kind is Fulfilment.COURIER:
            zone = merchant.zones[0]
            return Delivery(kind, zone.fee, HOME, option=zone.name, **more)
        way = next(each for each in merchant.ways if each.kind is kind)
        return Delivery(kind, way.fee, HOME if kind is Fulfilment.PARCEL else None, option=way.name, **more)

    async def places(
        self,
        person: Person,
        cart: Cart,
        kind: Fulfilment = Fulfilment.COURIER,
        *,
        deliveries: Mapping[str, Delivery] | None = None,
        checkout: str = "",
        **more: Any,
    ) -> list[Order]:
        """A person orders what is in a cart: drafted and placed in one handler. What the domain refuses is raised."""
        checkout = checkout or self.trade.new_id()
        room = await self.chat(person)
        if deliveries is None:
            found = await self.sellers.many(self, cart.merchants)
            deliveries = {each: self.delivery(found[each], kind) for each in cart.merchants}
        ways = deliveries

        async def work(ctx: Context) -> list[Order] | ValueError:
            try:
                drafts = await self.orders.draft(
                    ctx, cart, person.user_id, room.room_id, ways, checkout=checkout, **more
                )
            except ValueError as refused:  # every error of the domain is one
                return refused
            return await self.orders.place(ctx, drafts)

        placed = await self.does(person, work)
        assert placed is not None, self.failures
        if isinstance(placed, ValueError):
            raise placed
        return [await self.order(each) for each in placed]

    async def acts(self, person: Person, order: Order | str, action: Action, **changes: Any) -> Order:
        """Somebody has something happen to an order."""
        order_id = order if isinstance(order, str) else order.id

        async def work(ctx: Context) -> Order | ValueError:
            try:
                return await self.orders.act(ctx, await self.order(order_id), action, by=person.user_id, **changes)
            except ValueError as refused:
                return refused

        done = await self.does(person, work)
        assert done is not None, self.failures
        if isinstance(done, ValueError):
            raise done
        return await self.order(order_id)

    async def pays(self, person: Person) -> list[Message]:
        """A person types the code that the wallet has shown last; what the wallet says then."""
        room = await self.direct(person, WALLET)
        shown = await person.hears_all(room)
        await person.says(code_in(*shown), room=room)
        return await person.hears_all(room)

    async def declines(self, person: Person) -> None:
        """A person declines what the wallet asks for."""
        await person.says("decline", room=await self.direct(person, WALLET))

    async def paid_order(self, person: Person, cart: Cart, **more: Any) -> Order:
        """An order that is placed and paid."""
        (order,) = await self.places(person, cart, **more)
        await self.pays(person)
        return await self.order(order)

    async def changes_product(self, merchant: Merchant, key: str, **changes: Any) -> Product:
        """The merchant changes a product."""
        before = await self.shelf.product(self, merchant.id, key)
        assert before is not None
        after = replace(before, **changes)
        hand = _Hand(self)
        self.shelf.put(hand, merchant.id, after)
        await hand.commit()
        return after

    async def write(self, work: Callable[[_Hand], object]) -> None:
        """Write by a service of commerce, outside of any handler: ``await world.write(lambda hand: sellers.apply(hand,
        …))``."""
        await self._ensure()
        hand = _Hand(self)
        work(hand)
        await hand.commit()

    async def ticks(self, handler: str) -> None:
        """An ``@every`` handler of the bot runs: the world's clock does not bring these by itself."""
        self._ticks += 1
        content = {"schedule": f"handler:{handler}", "due": self.clock.now_ms(), "data": {"name": handler}}
        consumer = f"{self.instance}:{self.seller}"
        event = InternalEvent(
            f"tick:{handler}:{self._ticks}", consumer, f"plugin:{self.instance}", SCHEDULE_FIRED, content
        )
        await self.raise_events(lambda _connection: [event])
        await self.settle()

    async def pass_minutes(self, minutes: float) -> None:
        """Time passes."""
        self.clock.advance(timedelta(minutes=minutes))
        await self.settle()

    def cashier(self) -> Cashier:
        """Where the money of orders is."""
        return self.orders.cashier


class _Hand:
    """Writes by the services of commerce, in a commit of its own."""

    def __init__(self, world: CommerceWorld) -> None:
        self._world = world
        self._operations: list[Callable[[Connection], object]] = []

    async def query(self, work: Callable[[Connection], T]) -> T:
        return await self._world.database.read(work)

    def now(self) -> Any:
        return self._world.clock.now()

    def now_ms(self) -> int:
        return self._world.clock.now_ms()

    def store(self, operation: Callable[[Connection], object]) -> None:
        self._operations.append(operation)

    async def commit(self) -> None:
        def work(connection: Connection) -> None:
            for operation in self._operations:
                operation(connection)

        await self._world.database.write(work)
