"""The approval page with the real payments service behind it: one link, one payment, whoever clicks how often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, CookieJar

from appservice.database import Database
from bots.domain.payments import Payment, PaymentState
from tests.store.payments_world import ALICE, BOB, ROOM, World, eur
from tests.support.pages import CSRF, TITLE, Site

PIN = "274913"


class Bank:
    """Payments, PINs and their pages on one database."""

    def __init__(self, database: Database) -> None:
        self.world = World(database, pin_above={"EUR": eur(5_000)})
        self.site = Site(database, clock=self.world.clock, payments=self.world.payments)
        self.world.payments.pins = self.site.pins

    async def asked(self, amount: int = 8550, *, key: str = "k1") -> tuple[Payment, str]:
        """A payment that needs the PIN, and the link to the page."""
        payment = await self.world.payments.propose(self.world.proposal(amount, key=key))
        challenge = await self.world.payments.challenge(payment.id, ALICE, ROOM)
        assert challenge.code is None and challenge.link is not None
        return payment, challenge.link

    async def state(self, payment: Payment) -> PaymentState:
        found = await self.world.payments.get(payment.id)
        assert found is not None
        return found.state


@pytest.fixture
async def bank(database: Database) -> AsyncIterator[Bank]:
    made = Bank(database)
    await made.world.give(ALICE, eur(10_000))
    await made.world.payments.open_wallet(BOB)
    await made.site.pins.set(ALICE, PIN)
    await made.site.web.start()
    yield made
    await made.site.web.stop()


@pytest.fixture
async def browser() -> AsyncIterator[ClientSession]:
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        yield session


async def form(browser: ClientSession, url: str) -> dict[str, str]:
    async with browser.get(url) as response:
        found = CSRF.search(await response.text())
        assert response.status == 200 and found is not None
        return {"csrf": found[1], "action": "approve", "pin": PIN}


async def send(browser: ClientSession, url: str, data: dict[str, str]) -> tuple[int, str]:
    async with browser.post(url, data=data) as response:
        found = TITLE.search(await response.text())
        assert found is not None
        return response.status, found[1]


async def test_one_link_pays_once_however_often_it_is_sent(bank: Bank, browser: ClientSession) -> None:
    payment, url = await bank.asked()
    filled = await form(browser, url)
    answers = await asyncio.gather(*(send(browser, url, filled) for _ in range(8)))
    assert set(answers) == {(200, "Paid")}
    assert await bank.state(payment) is PaymentState.PAID
    assert (await bank.world.balance(ALICE), await bank.world.balance(BOB)) == (1_450, 8_550)
    async with browser.get(url) as again:
        assert again.status == 410


async def test_a_newer_challenge_ends_the_link_before_it(bank: Bank, browser: ClientSession) -> None:
    payment, old = await bank.asked()
    filled = await form(browser, old)
    challenge = await bank.world.payments.challenge(payment.id, ALICE, ROOM)
    assert challenge.link is not None and challenge.link != old
    assert await send(browser, old, filled) == (410, "This link has expired")
    assert await send(browser, challenge.link, await form(browser, challenge.link)) == (200, "Paid")


async def test_what_cannot_be_paid_is_said_and_can_be_asked_for_anew(bank: Bank, browser: ClientSession) -> None:
    payment, url = await bank.asked(20_000)
    assert await send(browser, url, await form(browser, url)) == (409, "Not paid")
    assert await bank.state(payment) is PaymentState.PROPOSED
    await bank.world.give(ALICE, eur(10_000))
    challenge = await bank.world.payments.challenge(payment.id, ALICE, ROOM)
    assert challenge.link is not None
    assert await send(browser, challenge.link, await form(browser, challenge.link)) == (200, "Paid")
    assert await bank.world.balance(BOB) == 20_000


async def test_a_crash_before_the_commit_leaves_link_and_payment(bank: Bank, browser: ClientSession) -> None:
    payment, url = await bank.asked()
    filled = await form(browser, url)
    bank.world.fail_before = 1
    assert await send(browser, url, filled) == (503, "Not available right now")
    assert await bank.state(payment) is PaymentState.PROPOSED
    assert await send(browser, url, filled) == (200, "Paid")
    assert await bank.world.balance(BOB) == 8_550


async def test_a_crash_after_the_commit_pays_nothing_twice(bank: Bank, browser: ClientSession) -> None:
    payment, url = await bank.asked()
    filled = await form(browser, url)
    bank.world.fail_after = 1
    assert await send(browser, url, filled) == (503, "Not available right now")
    assert await bank.state(payment) is PaymentState.PAID
    assert await send(browser, url, filled) == (200, "Paid")
    assert await bank.world.balance(BOB) == 8_550


async def test_approve_and_decline_at_the_same_time_one_wins(bank: Bank, browser: ClientSession) -> None:
    for number in range(4):
        payment, url = await bank.asked(5_100, key=f"race{number}")
        await bank.world.give(ALICE, eur(5_100))
        filled = await form(browser, url)
        answers = await asyncio.gather(send(browser, url, filled), send(browser, url, filled | {"action": "decline"}))
        state = await bank.state(payment)
        assert {PaymentState.PAID: "Paid", PaymentState.DECLINED: "Declined"}[state] == answers[0][1] == answers[1][1]
    assert await bank.world.balance(ALICE) + await bank.world.balance(BOB) == 10_000 + 4 * 5_100
