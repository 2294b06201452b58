"""A mini app behind a real listener: a database of the test's own, two merchants with a catalogue, a clock to move."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, time
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import aiohttp
from PIL import Image
from sqlalchemy import Connection

from appservice.config.models import Web
from appservice.database import Database, open_database
from appservice.events import InternalEvent
from appservice.homeserver import HomeserverError
from appservice.local.files import free_port
from bots.commerce.baskets import Baskets
from bots.commerce.page.access import Access
from bots.commerce.page.app import PREFIX, PURPOSE, MiniApp, link_subject
from bots.commerce.page.apps import MiniApps
from bots.commerce.page.rendering import Renderer
from bots.commerce.page.visits import Bot, PageHand
from bots.commerce.sellers import Sellers
from bots.commerce.shelf import Shelf
from bots.commerce.trade import Trade
from bots.domain.carts import Cart
from bots.domain.catalogue import Category, Modifier, ModifierGroup, Product, Stock, Variant
from bots.domain.merchants import Merchant, MerchantState
from bots.domain.money import Money
from bots.domain.opening import Hours, Span
from bots.framework.clock import ManualClock
from bots.framework.i18n import Catalogues
from bots.framework.web import WebServer
from bots.pages.forms import Origin
from bots.pages.links import Links
from bots.store.app_tables import app_sessions
from bots.store.tables import metadata
from tests.support.pages import ALICE, KEY, FakePeople

ROOM: Final = "!chat:example.org"
BOT: Final = Bot("shop", "shop:@shop:example.org", "@shop:example.org", "Market")
HIDDEN: Final = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
NEEDED: Final = ("price_list_buyers", "app_sessions", "carts", "catalogue", "merchant", "page_links", "rating", "stock")
TABLES: Final = [table for table in metadata.sorted_tables if table.name.startswith(NEEDED)]
assert app_sessions in TABLES


def euros(cents: int) -> Money:
    """So many cents."""
    return Money(cents, "EUR")


def picture() -> bytes:
    """A small picture."""
    out = BytesIO()
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(out, "PNG")
    return out.getvalue()


WORKDAYS: Final = Hours("UTC", ((Span(time(9), time(18)),),) * 7)
BAKERY: Final = Merchant(
    "01J00000000000000000000001", "bakery", "shop", "@bob:example.org", "Bob’s bakery", "EUR", MerchantState.ACTIVE,
    WORKDAYS, description="Bread since this morning",
)  # fmt: skip
BOOKS: Final = Merchant(
    "01J00000000000000000000002", "books", "shop", "@carol:example.org", "كتب ومجلات", "EUR", MerchantState.PAUSED,
    Hours.always(),
)  # fmt: skip
BREAD: Final = Product(
    "bread",
    "Rye bread",
    (Variant("small", "500 g", euros(320)), Variant("large", "1 kg", euros(540), Stock.of(3))),
    description="Sourdough <b>baked</b> at night",
    categories=("fresh",),
    groups=(
        ModifierGroup(
            "cut", "Sliced?", (Modifier("whole", "Whole", euros(0)), Modifier("thin", "Thin", euros(0))), 1, 1
        ),
        ModifierGroup(
            "extra", "With", (Modifier("seeds", "Seeds", euros(40)), Modifier("nuts", "Nuts", euros(60), False)), 0, 2
        ),
    ),
    images=("mxc://example.org/bread",),
    tax=Decimal("0.07"),
)
ROLL: Final = Product(
    "roll", "Poppy seed roll", (Variant("one", "One", euros(60), Stock.of(0)),), categories=("fresh",)
)
ATLAS: Final = Product("atlas", "أطلس العالم", (Variant("one", "One", euros(2450)),), description="世界地图")


class FakeServer:
    """What the homeserver says of OpenID tokens."""

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}

    async def owner(self, token: str) -> str | None:
        """The user id of a token's owner."""
        return self.tokens.get(token)


class Rooms:
    """Who is in which room."""

    def __init__(self, members: Mapping[str, Mapping[str, str]]) -> None:
        self._members = members

    async def members(self, room_id: str) -> Mapping[str, str]:
        return self._members.get(room_id, {})

    async def display_name(self, room_id: str, user_id: str) -> str | None:
        return user_id[1:].partition(":")[0].capitalize()


class AppSite:
    """The listener with the mini app of one bot."""

    def __init__(self, database: Database, *, clients: tuple[str, ...] = ()) -> None:
        port = free_port()
        self.database = database
        self.clients = clients
        self.url = f"http://127.0.0.1:{port}"
        self.clock = ManualClock(datetime(2026, 6, 1, 12, 0, tzinfo=UTC))
        self.seconds = 0.0
        self.people = FakePeople()
        self.events: list[InternalEvent] = []
        self.server = FakeServer()
        self.members_in: dict[str, dict[str, str]] = {ROOM: {ALICE: "join", BOT.user_id: "join"}}
        self.links = Links(KEY)
        self.trade = Trade(KEY, database, self.raise_events, self.clock)
        self.shelf = Shelf(self.trade, BOT.instance)
        self.baskets = Baskets(self.trade, BOT.instance, self.shelf)
        self.sellers = Sellers(self.trade, BOT.instance)
        self.web = WebServer(Web(enabled=True, listen=f"127.0.0.1:{port}", public_url=self.url))
        self.apps = MiniApps(self.make, {BOT.instance: BOT.name})
        self.app = self.apps.add(BOT.instance, BOT.user_id, self.sellers, self.shelf, self.baskets)
        self.web.mount(PREFIX, self.apps.app())

    def make(self, bot: Bot, sellers: Sellers, shelf: Shelf, baskets: Baskets) -> MiniApp:
        """The app of a bot."""
        whose = self.server.owner
        access = Access(
            self.database, whose, self.clock, server_name="example.org", pickle_key=KEY, public_url=self.url
        )
        return MiniApp(
            bot,
            access,
            self.links,
            sellers,
            shelf,
            baskets,
            Renderer(Catalogues(), self.url, self.clients),
            Origin(KEY, self.url),
            database=self.database,
            raise_events=self.raise_events,
            people=self.people,
            rooms=Rooms(self.members_in),
            thumbnails=self.thumbnail,
            clock=self.clock,
            monotonic=lambda: self.seconds,
        )

    async def raise_events(self, work: Callable[[Connection], Iterable[InternalEvent]]) -> None:
        """Commit, and note what the bot would be told."""
        self.events += await self.database.write(lambda connection: list(work(connection)))

    async def thumbnail(self, url: str) -> tuple[bytes, str]:
        """A picture of a product."""
        if url != BREAD.images[0]:
            raise HomeserverError(404, "M_NOT_FOUND", "no such file")
        return picture(), "image/png"

    def hand(self) -> PageHand:
        """Somebody who reads and writes."""
        return PageHand(self.database, self.clock.now_ms())

    async def write(self, change: Callable[[PageHand], None]) -> None:
        """Change something, as the bot would from the chat."""
        hand = self.hand()
        change(hand)
        await self.database.write(lambda connection: [write(connection) for write in hand.writes])

    async def cart(self, person: str = ALICE) -> Cart:
        """A person's cart as it stands."""
        return await self.baskets.get(self.hand(), person)

    async def put(self, before: Cart, after: Cart, person: str = ALICE) -> None:
        """Change a cart, as the bot would from the chat."""
        await self.write(lambda hand: self.baskets.put(hand, person, before, after))

    async def link(self, person: str = ALICE, room_id: str = ROOM, ttl_s: float = 600) -> str:
        """The address that the bot gives to a person."""
        subject, now = link_subject(BOT.instance, room_id), self.clock.now_ms()
        path = await self.database.write(
            lambda connection: self.links.issue(
                connection, purpose=PURPOSE, person=person, subject=subject, ttl_s=ttl_s, now=now
            )
        )
        return f"{self.url}{self.app.prefix}/enter/{path.rsplit('/', 1)[1]}"

    async def fill(self) -> None:
        """Merchants and what they sell."""

        def sell(hand: PageHand) -> None:
            for merchant in (BAKERY, BOOKS):
                self.sellers.apply(hand, merchant)
            self.shelf.put_category(hand, BAKERY.id, Category("fresh", "Fresh today"))
            self.shelf.put_category(hand, BAKERY.id, Category("old", "From yesterday"))
            for product in (BREAD, ROLL):
                self.shelf.put(hand, BAKERY.id, product)
            self.shelf.put(hand, BOOKS.id, ATLAS)

        await self.write(sell)

    async def reprice(self, cents: int) -> None:
        """The small bread costs something else."""
        small = replace(BREAD.variants[0], price=euros(cents))
        product = replace(BREAD, variants=(small, BREAD.variants[1]))
        await self.write(lambda hand: self.shelf.put(hand, BAKERY.id, product))


class Visitor:
    """A browser without a screen."""

    def __init__(self, site: AppSite, session: aiohttp.ClientSession) -> None:
        self.site = site
        self.session = session
        self.headers = {"Origin": site.url, "Sec-Fetch-Site": "same-origin"}

    async def get(self, path: str) -> tuple[int, str]:
        """Look at a page of the app."""
        async with self.session.get(self._url(path)) as answer:
            return answer.status, await answer.text()

    async def post(self, path: str, **fields: str) -> tuple[int, str]:
        """Send a form, with what is hidden in the page it stands on, unless told otherwise."""
        _, page = await self.get(path)
        return await self.send(path, {**dict(HIDDEN.findall(page)), **fields})

    async def send(self, path: str, fields: Mapping[str, str], **headers: str) -> tuple[int, str]:
        """Send a form as it is told."""
        sent = {**self.headers, **headers}
        async with self.session.post(self._url(path), data=dict(fields), headers=sent) as answer:
            return answer.status, await answer.text()

    async def enter(self, link: str) -> tuple[int, str]:
        """Open a link and press the button."""
        return await self.post(link, action="open")

    def _url(self, path: str) -> str:
        return path if path.startswith("http") else f"{self.site.url}{self.site.app.prefix}{path}"


@asynccontextmanager
async def running_app(folder: Path, **options: Any) -> AsyncIterator[AppSite]:
    """A mini app on a new SQLite database, filled."""
    database = open_database(f"sqlite:///{folder / 'app.db'}")
    await database.start()
    await database.write(lambda connection: metadata.create_all(connection, TABLES))
    site = AppSite(database, **options)
    await site.fill()
    await site.web.start()
    try:
        yield site
    finally:
        await site.web.stop()
        await database.stop()


@asynccontextmanager
async def visitor(site: AppSite) -> AsyncIterator[Visitor]:
    """A browser with a cookie jar of its own."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Visitor(site, session)
