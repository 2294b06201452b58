"""The mini app and the conversation beside it: one cart, told once, paid in the chat."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from appservice.config.models import Web
from appservice.local.files import free_port
from appservice.sealing import Sealer
from bots.commerce.baskets import Baskets
from bots.commerce.page.access import Access
from bots.commerce.page.app import PREFIX, MiniApp
from bots.commerce.page.apps import MiniApps
from bots.commerce.page.door import AppDoor
from bots.commerce.page.rendering import Renderer
from bots.commerce.page.visits import Bot
from bots.commerce.sellers import Sellers
from bots.commerce.shelf import Shelf
from bots.framework.i18n import Catalogues
from bots.framework.testing import Person, Room
from bots.framework.web import WebServer
from bots.pages.forms import Origin
from bots.pages.links import Links
from bots.shop import Shop
from bridge.audit import Audit
from tests.support.commerce import CommerceWorld
from tests.support.mini_app import HIDDEN, FakeServer, Rooms
from tests.support.money import MoneyWorld
from tests.support.pages import KEY, FakePeople


class PagedWorld(CommerceWorld):
    """A world with the shop and its pages, on one database."""

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.web: WebServer | None = None
        self.apps: MiniApps | None = None
        super().__init__(Shop, services=self.door)

    def door(self, world: MoneyWorld) -> Mapping[type, Any]:
        """What the composition root hands over."""
        links, people = Links(KEY), FakePeople()

        def make(bot: Bot, sellers: Sellers, shelf: Shelf, baskets: Baskets) -> MiniApp:
            access = Access(
                world.database,
                FakeServer().owner,
                world.clock,
                server_name="world",
                pickle_key=KEY,
                public_url=self.url,
            )
            return MiniApp(
                bot,
                access,
                links,
                sellers,
                shelf,
                baskets,
                Renderer(Catalogues(), self.url),
                Origin(KEY, self.url),
                database=world.database,
                raise_events=world.raise_events,
                people=people,
                rooms=Rooms({}),
                thumbnails=no_picture,
                clock=world.clock,
            )

        self.apps = MiniApps(make, {"shop": "Market"})
        return {AppDoor: AppDoor(links, self.url, self.apps), Audit: Audit(world.database, Sealer(KEY, "audit"))}

    async def serve(self) -> None:
        """Listen."""
        await self._ensure()
        assert self.apps is not None
        self.web = WebServer(Web(enabled=True, listen=self.url.removeprefix("http://"), public_url=self.url))
        self.web.mount(PREFIX, self.apps.app())
        await self.web.start()

    async def stop(self) -> None:
        if self.web is not None:
            await self.web.stop()
        await super().stop()


async def no_picture(url: str) -> tuple[bytes, str]:
    raise AssertionError(url)


@pytest.fixture
async def world() -> AsyncIterator[PagedWorld]:
    async with PagedWorld() as made:
        await made.merchant("pizzeria")
        await made.serve()
        yield made


class Browser:
    """Alice's."""

    def __init__(self, world: PagedWorld, session: aiohttp.ClientSession) -> None:
        self.world = world
        self.session = session

    async def post(self, url: str, **fields: str) -> str:
        """Fill in the form of a page."""
        full = url if url.startswith("http") else f"{self.world.url}{PREFIX}/shop{url}"
        async with self.session.get(full) as answer:
            hidden = dict(HIDDEN.findall(await answer.text()))
        headers = {"Origin": self.world.url, "Sec-Fetch-Site": "same-origin"}
        async with self.session.post(full, data={**hidden, **fields}, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            text = await answer.text()
        await self.world.settle()
        return text


@pytest.fixture
async def browser(world: PagedWorld) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Browser(world, session)


async def opened(world: PagedWorld, browser: Browser) -> tuple[Person, Room]:
    """Alice asks for the page, and opens it."""
    alice = await world.buyer("alice")
    chat = await world.chat(alice)
    await alice.says("app", room=chat)
    link = (await alice.hears(chat)).body.splitlines()[-1]
    await browser.post(link, action="open")
    return alice, chat


async def test_what_is_chosen_on_the_page_is_told_once_and_paid_in_the_chat(
    world: PagedWorld, browser: Browser
) -> None:
    alice, chat = await opened(world, browser)
    await browser.post("/m/pizzeria/p/margherita", variant="one", quantity="1")
    await browser.post("/m/pizzeria/p/lemonade", variant="large", quantity="2")
    await alice.hears_nothing(chat)  # more may come
    world.clock.advance(timedelta(seconds=5))
    await world.settle()
    (told,) = [message.body for message in await alice.hears_all(chat)]
    assert "You have changed your cart on the page." in told
    assert "Margherita" in told and "Lemonade, Large" in told
    page = await browser.post("/cart", action="checkout")
    assert "Market has written to you there." in page
    said = "\n".join(message.body for message in await alice.hears_all(chat))
    assert "address" in said.casefold() or "deliver" in said.casefold(), said


async def test_what_is_changed_in_the_chat_is_on_the_page(world: PagedWorld, browser: Browser) -> None:
    alice, chat = await opened(world, browser)
    await browser.post("/m/pizzeria/p/margherita", variant="one", quantity="1")
    for text, there in (("cart quantity 1 3", "€27.00"), ("cart empty", "The cart is empty."), ("cart undo", "€27.00")):
        await alice.says(text, room=chat)
        async with browser.session.get(f"{world.url}{PREFIX}/shop/cart") as answer:
            assert there in await answer.text(), text


async def test_a_new_link_ends_the_one_before(world: PagedWorld, browser: Browser) -> None:
    alice = await world.buyer("alice")
    chat = await world.chat(alice)
    links = []
    for _ in range(2):
        await alice.says("app", room=chat)
        links.append((await alice.hears(chat)).body.splitlines()[-1])
    async with browser.session.get(links[0]) as answer:
        assert answer.status == 410
    async with browser.session.get(links[1]) as answer:
        assert answer.status == 200


async def test_a_group_gets_no_link(world: PagedWorld) -> None:
    alice, bob = await world.buyer("alice"), world.user("bob")
    group = await world.room("friends", alice, bob)
    await alice.says(f"{world.seller} app", room=group)
    said = [message.body for message in await alice.hears_all(group)]
    assert not any("http" in each for each in said) and any("our own chat" in each for each in said)
