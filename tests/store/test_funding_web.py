"""What the outside sees: the sandbox's page, the address of messages, where to come back to; and the loop behind it."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, CookieJar
from sqlalchemy import select

from appservice.config.models import Web
from appservice.database import Database
from bots.domain.funding import TopUpState
from bots.framework.i18n import Catalogues
from bots.framework.people import Person
from bots.framework.web import WebServer
from bots.pages import PREFIX, Links, Pages
from bots.payments import funding
from bots.payments.funding_web import PREFIX as PROVIDERS
from bots.payments.funding_web import FundingWeb
from bots.payments.providers.sandbox import SandboxPage, SandboxProvider
from bots.store.funding_tables import sandbox_payments
from tests.store.funding_world import FundingWorld
from tests.store.harness import FlakyDatabase, until
from tests.store.payments_world import ALICE, eur
from tests.support.bank_samples import camt_of
from tests.support.fake_stripe import FakeStripe

CSRF = re.compile('name="csrf" value="([0-9a-f]{64})"')


class People:
    async def get(self, user_id: str) -> Person:
        return Person()


class Site:
    """A world with its listener."""

    def __init__(self, database: Database, fake: FakeStripe) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.world = world = FundingWorld(database, stripe=fake)
        links, catalogues = Links("pickle"), Catalogues()
        self.web = WebServer(Web(enabled=True, listen=f"127.0.0.1:{port}", public_url=self.url))
        sandbox = SandboxProvider(database, world.clock, links, self.web.url, "pickle", world.random)
        world.sandbox = world.providers["sandbox"] = sandbox
        world.restart()
        pages = Pages(links, database, People(), catalogues, world.clock, pickle_key="pickle", public_url=self.url)
        pages.add(SandboxPage(sandbox))
        self.web.mount(PREFIX, pages.app())
        self.web.mount(PROVIDERS, FundingWeb(world.funding, catalogues, self.url).app())


@pytest.fixture
async def fake() -> AsyncIterator[FakeStripe]:
    made = await FakeStripe().start()
    yield made
    await made.stop()


@pytest.fixture
async def site(flaky: FlakyDatabase, fake: FakeStripe) -> AsyncIterator[Site]:
    made = Site(flaky, fake)
    await made.world.providers["stripe"].start()
    await made.web.start()
    yield made
    await made.web.stop()
    await made.world.funding.stop()


@pytest.fixture
async def browser() -> AsyncIterator[ClientSession]:
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        yield session


async def opened(browser: ClientSession, link: str) -> tuple[str, str]:
    """The page, and the secret of its form."""
    async with browser.get(link) as response:
        text = await response.text()
        assert response.status == 200
        found = CSRF.search(text)
        return text, "" if found is None else found[1]


async def chosen(browser: ClientSession, link: str, secret: str, ending: str) -> str:
    form = {"csrf": secret, "action": "pay", "ending": ending}
    async with browser.post(link, data=form) as response:
        return await response.text()


async def test_paying_on_the_page(site: Site, browser: ClientSession) -> None:
    world = site.world
    top_up = await world.funding.top_up(ALICE, eur(2000), "sandbox", "k")
    text, secret = await opened(browser, top_up.link)
    assert "No money moves" in text
    assert "20.00" in text
    assert "Please choose" in await chosen(browser, top_up.link, secret, "nonsense")
    assert "That is settled" in await chosen(browser, top_up.link, secret, "success")
    assert "has ended" in await chosen(browser, top_up.link, secret, "decline")
    await world.settle_all()
    assert await world.balance(ALICE) == 2000
    assert world.told_states(top_up.id) == ["succeeded"]


async def test_looking_at_the_page_changes_nothing(site: Site, browser: ClientSession) -> None:
    top_up = await site.world.funding.top_up(ALICE, eur(2000), "sandbox", "k")
    for _ in range(3):
        await opened(browser, top_up.link)
    await site.world.settle_all()
    assert (await site.world.funding.get(top_up.id)).state is TopUpState.PENDING


async def posted(browser: ClientSession, url: str, body: bytes, headers: Any) -> int:
    async with browser.post(url, data=body, headers=headers) as response:
        await response.read()
        return response.status


async def test_messages_of_stripe(site: Site, fake: FakeStripe, browser: ClientSession, flaky: FlakyDatabase) -> None:
    world = site.world
    top_up = await world.funding.top_up(ALICE, eur(2000), "stripe", "k")
    (session,) = fake.sessions.values()
    fake.pay(session["id"])
    url = f"{site.url}/providers/stripe/webhook"
    body, headers = fake.event("checkout.session.completed", session, event_id="evt_1")
    assert await posted(browser, url, body + b" ", headers) == 400
    assert await posted(browser, url, body, {}) == 400
    flaky.fail("before")
    assert await posted(browser, url, body, headers) == 503
    assert await posted(browser, url, body, headers) == 200
    assert await posted(browser, url, body, headers) == 200
    assert await posted(browser, url, b"x" * 300_000, headers) == 413
    await world.settle_all()
    assert await world.balance(ALICE) == 2000
    assert world.told_states(top_up.id) == ["succeeded"]


async def test_what_is_not_there(site: Site, browser: ClientSession) -> None:
    for provider in ("nowhere", "sandbox"):  # the sandbox tells itself
        assert await posted(browser, f"{site.url}/providers/{provider}/webhook", b"{}", {}) == 404
    assert await posted(browser, f"{site.url}/providers/bank/webhook", b"{}", {}) == 400
    for how, status in (("done", 200), ("cancelled", 200), ("elsewhere", 404)):
        async with browser.get(f"{site.url}/providers/return/{how}") as response:
            assert response.status == status
            if status == 200:
                assert "go back to your chat" in await response.text()
                assert "default-src 'none'" in response.headers["Content-Security-Policy"]


async def test_the_service_goes_on_by_itself(site: Site, fake: FakeStripe, browser: ClientSession) -> None:
    world = site.world
    await world.funding.start()
    top_up = await world.funding.top_up(ALICE, eur(2000), "stripe", "k")
    (session,) = fake.sessions.values()
    fake.pay(session["id"])
    body, headers = fake.event("checkout.session.completed", session)
    assert await posted(browser, f"{site.url}/providers/stripe/webhook", body, headers) == 200
    await until(lambda: world.told_states(top_up.id) == ["succeeded"], "credited after a message")
    other = await world.funding.top_up(ALICE, eur(100), "sandbox", "k2")
    _, secret = await opened(browser, other.link)
    await chosen(browser, other.link, secret, "late")
    world.clock.advance(minutes=3)
    await until(lambda: world.told_states(other.id) == ["succeeded"], "credited by itself, late")


async def test_a_database_that_is_away_for_a_while(
    site: Site, flaky: FlakyDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(funding, "PAUSE_S", 0.01)
    world = site.world
    top_up = await world.funding.top_up(ALICE, eur(2000), "sandbox", "k")
    (row,) = await flaky.read(_rows)
    await world.sandbox.settle(row, "success")
    flaky.fail("before", "before", "before")
    await world.funding.start()
    await until(lambda: world.told_states(top_up.id) == ["succeeded"], "credited in the end")
    assert await world.balance(ALICE) == 2000
    await world.sound()


def _rows(connection: Any) -> list[str]:
    return list(connection.execute(select(sandbox_payments.c.id)).scalars())


async def test_the_comparison_runs_by_itself(site: Site) -> None:
    world = site.world
    await world.desk.import_statement(camt_of(("5.00", "B1", "", "who")))
    world.clock.advance(hours=1)
    comparison = world.reconciliation()
    await comparison.start()

    async def found() -> int:
        return len(await comparison.differences())

    for _ in range(200):
        if await found():
            break
        await asyncio.sleep(0.01)
    await comparison.stop()
    assert await found() == 1
