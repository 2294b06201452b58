"""A real biller over HTTP behind the bot: every fault, and still each step happens once and the money follows it."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest
from aiohttp import ClientSession
from pydantic import SecretStr

from appservice.config.models import Web
from bots.bills.settings import Settings
from bots.domain.money import Money
from bots.framework.http import HttpClient
from bots.framework.installing import hooks_of
from bots.framework.testing import Person
from bots.framework.web import WebServer
from bots.framework.webhooks import Webhooks
from tests.support.bills import BillsWorld, receipt_in
from tests.support.fake_biller import TOKEN, Account, FakeBiller, fake_biller

pytestmark = pytest.mark.timeout(120)

AMOUNT = Money(4250, "EUR")
FULL = Money(50000, "EUR")
SECRET = "a secret of the tests"


@pytest.fixture
async def server() -> AsyncIterator[FakeBiller]:
    async with fake_biller() as running:
        running.accounts["A100"] = Account()
        yield running


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    async def at_once(_seconds: float) -> None: ...

    client = HttpClient(attempts=2, sleep=at_once, jitter=lambda: 0.0)
    await client.start()
    yield client
    await client.stop()


@pytest.fixture
def world(server: FakeBiller, http: HttpClient) -> BillsWorld:
    field = {"key": "contract", "label": "Contract number", "pattern": "[A-Z][0-9]{3}", "example": "A100"}
    acme: dict[str, Any] = {
        "id": "acme",
        "name": "Acme Water",
        "category": "water",
        "url": server.url,
        "secret": TOKEN,
        "timeout": 0.5,
        "fields": [field],
    }
    return BillsWorld({"simulated": False, "billers": [acme]}, {HttpClient: http})


async def looked_up(world: BillsWorld, name: str = "alice") -> Person:
    person = await world.begins(name)
    said = await world.says(person, "pay", "Water", "Acme Water", "A100")
    assert "To pay: €42.50" in said[-1]
    return person


async def confirmed(world: BillsWorld) -> Person:
    person = await looked_up(world)
    await world.says(person, 1)
    await world.confirms(person)
    return person


async def paid_once(world: BillsWorld, server: FakeBiller, person: Person) -> None:
    """The biller has it, once, and so do the books."""
    assert len(server.taken) == 1
    assert len(set(server.keys)) == 1
    assert await world.has(person) == FULL - AMOUNT
    assert await world.biller_has("acme") == AMOUNT
    world.check()


async def test_paid(world: BillsWorld, server: FakeBiller) -> None:
    alice = await confirmed(world)
    assert receipt_in(await world.hears(alice)).startswith("R-24-")
    await paid_once(world, server, alice)


@pytest.mark.parametrize("fault", ["drop", "500", "garbage", "amount", "other", "pending", "late"])
async def test_unclear_after_having_been_paid(world: BillsWorld, server: FakeBiller, fault: str) -> None:
    server.faults["/pay"] = [fault, fault]
    server.faults["/status"] = [fault, "404"]
    alice = await confirmed(world)
    said = await world.hears(alice)
    assert "has not confirmed yet" in said[-1]
    assert not await world.biller_has("acme")
    assert await world.has(alice) == FULL - AMOUNT, "held"
    await world.pass_time(seconds=16)
    await world.restart(kill=True)
    await world.pass_time(seconds=31)
    assert await world.hears(alice) == []
    await world.pass_time(seconds=61)
    receipt_in(await world.hears(alice))
    assert server.count("/pay") <= 2
    await paid_once(world, server, alice)


async def test_it_never_arrived(world: BillsWorld, server: FakeBiller) -> None:
    server.faults["/pay"] = ["deaf", "deaf"]
    alice = await confirmed(world)
    assert server.taken == {}
    await world.pass_time(seconds=16)
    receipt_in((await world.hears(alice))[1:])
    await paid_once(world, server, alice)


async def test_nothing_is_paid_of_which_the_money_went_back(world: BillsWorld, server: FakeBiller) -> None:
    """The operator gave it back while the biller was away, or nobody could say for a year."""
    server.faults["/pay"] = ["deaf", "deaf"]
    alice = await confirmed(world)
    payment = await world.payment_of(alice)
    await world.bank.invoices.void(payment.id, "operator", "operator", lambda _payment: None)
    await world.pass_time(seconds=16)
    await world.pass_time(minutes=10)
    assert server.taken == {}
    assert await world.has(alice) == FULL
    assert "is back in your wallet" in (await world.hears(alice))[-1]
    said = await world.says(alice, "pay", "Water", "Acme Water", "A100")
    assert "To pay: €42.50" in said[-1], "it can be paid again"
    world.check()


async def test_not_taken(world: BillsWorld, server: FakeBiller) -> None:
    server.faults["/pay"] = ["failed"]
    alice = await confirmed(world)
    assert "is back in your wallet" in (await world.hears(alice))[-1]
    assert await world.has(alice) == FULL
    assert not server.taken
    world.check()


async def test_another_amount_meanwhile(world: BillsWorld, server: FakeBiller) -> None:
    alice = await looked_up(world)
    server.accounts["A100"].amount = "60.00"
    await world.says(alice, 1)
    await world.confirms(alice)
    said = await world.hears(alice)
    assert "To pay: €60.00" in said[-1]
    assert await world.has(alice) == FULL
    await world.says(alice, 1)
    await world.confirms(alice)
    receipt_in(await world.hears(alice))
    assert await world.has(alice) == FULL - Money(6000, "EUR")
    assert len(server.taken) == 1
    world.check()


async def test_a_call_brings_the_answer_at_once(world: BillsWorld, server: FakeBiller) -> None:
    server.faults["/pay"] = ["pending"]
    alice = await confirmed(world)
    key = next(iter(server.taken))
    await world.hears(alice)
    nothing: tuple[Any, ...] = (None, [], "x", {"payment": 5}, {"payment": "x" * 200}, {"payment": "another"}, {})
    for nonsense in nothing:
        await world.call_webhook("confirmed", nonsense, bot=1)
    assert server.count("/status") == 0
    await world.call_webhook("confirmed", {"payment": key, "status": "failed"}, bot=1)
    receipt_in(await world.hears(alice))
    assert server.count("/status") == 1, "what counts is what the biller answers when it is asked"
    await world.call_webhook("confirmed", {"payment": key}, bot=1)
    await world.call_webhook("confirmed", {"payment": key}, bot=1)
    assert await world.hears(alice) == []
    assert server.count("/status") == 1
    await paid_once(world, server, alice)


async def test_a_signed_call_over_the_listener(world: BillsWorld, server: FakeBiller) -> None:
    """Signed by the secret, once; whoever has not got it, is late or repeats himself changes nothing."""
    server.faults["/pay"] = ["pending"]
    server.faults["/status"] = ["pending", "pending"]
    alice = await confirmed(world)
    body = json.dumps({"payment": next(iter(server.taken))}).encode()
    hooks = Webhooks(world.raise_events, world.clock.now_ms)
    consumer = next(each for each in world._consumers if each.instance == "bills")
    for hook in hooks_of(consumer, "bills", Settings(webhook_secret=SecretStr(SECRET))):
        hooks.add(hook)
    listener = WebServer(Web(enabled=True, listen="127.0.0.1:0"))
    listener.mount("/hooks", hooks.app())
    await listener.start()

    def headers(secret: str = SECRET, age: int = 0) -> dict[str, str]:
        moment = world.clock.now_ms() // 1000 - age
        signature = hmac.new(secret.encode(), b"%d." % moment + body, sha256).hexdigest()
        return {"X-Rialto-Signature": f"t={moment},v1={signature}", "Content-Type": "application/json"}

    async with ClientSession() as session:

        async def call(headers: dict[str, str], data: bytes = body) -> int:
            url = f"http://127.0.0.1:{listener.port}/hooks/bills/confirmed"
            async with session.post(url, data=data, headers=headers) as response:
                status = response.status
            await world.settle()
            return status

        good = headers()
        for bad in ({}, headers("another secret than this"), headers(age=400)):
            assert await call(bad) == 401
        assert await call(good, body + b" ") == 401
        assert server.count("/status") == 0
        assert await call(good) == 202
        assert await call(good) == 202, "the same again is answered the same"
        assert server.count("/status") == 1, "and asks nobody"
        world.clock.advance(seconds=1)
        assert await call(headers()) == 202
        assert server.count("/status") == 2
        world.clock.advance(seconds=1)
        assert await call(headers()) == 202
    await listener.stop()
    receipt_in((await world.hears(alice))[1:])
    await paid_once(world, server, alice)


async def test_a_biller_that_is_down(world: BillsWorld, server: FakeBiller) -> None:
    server.faults["/fetch"] = ["500"] * 3
    alice = await world.begins("alice")
    await world.says(alice, "pay", "Water", "Acme Water", "A100")
    await world.pass_time(seconds=4)
    assert await world.hears(alice) == []
    await world.pass_time(seconds=6)
    await world.pass_time(seconds=10)
    said = await world.hears(alice)
    assert said[0].startswith("Still checking.")
    assert "To pay: €42.50" in said[-1]
    server.faults["/fetch"] = ["garbage"] * 100
    await world.says(alice, "Not now")
    await world.says(alice, "pay", "Water", "Acme Water", "A100")
    for _minute in range(12):
        await world.pass_time(minutes=1)
    said = await world.hears(alice)
    assert said[-1] == "Acme Water does not answer now. Please try again later."
    world.check()


async def test_an_account_that_it_does_not_know(world: BillsWorld) -> None:
    alice = await world.begins("alice")
    said = await world.says(alice, "pay", "Water", "Acme Water", "B200")
    assert said[-1] == "Acme Water does not know the account B200."
    world.check()


async def test_a_biller_that_is_gone_from_the_configuration(world: BillsWorld, server: FakeBiller) -> None:
    server.faults["/pay"] = ["pending"]
    alice = await confirmed(world)
    await world.hears(alice)
    world._settings = {"simulated": True}
    await world.restart()
    await world.pass_time(minutes=5)
    assert await world.has(alice) == FULL - AMOUNT, "nobody guesses"
    assert "not confirmed yet" in (await world.says(alice, "history"))[0]
    world.check()
