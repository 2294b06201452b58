"""Where rates come from: the configuration, or a service that answers, fails, lies, or has nothing new."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web

from appservice.config.money import Rates as Settings
from appservice.database import Database
from bots.domain.exchange import ExchangeError
from bots.domain.money import Money
from bots.domain.statements import StatementError
from bots.framework.clock import ManualClock
from bots.framework.http.client import HttpClient
from bots.payments.providers.xml import read_tree
from bots.payments.rates import Rates, RatesConfig, read_ecb

ECB = """<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"
  xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
\t<gesmes:subject>Reference rates</gesmes:subject>
\t<gesmes:Sender><gesmes:name>European Central Bank</gesmes:name></gesmes:Sender>
\t<Cube>
\t\t<Cube time='{day}'>
\t\t\t<Cube currency='USD' rate='{usd}'/>
\t\t\t<Cube currency='JPY' rate='163.25'/>
\t\t\t<Cube currency='XXY' rate='9.9'/>
\t\t</Cube>
\t</Cube>
</gesmes:Envelope>
"""


class Bank:
    """Serves the ECB's file."""

    def __init__(self) -> None:
        self.body = ECB.format(day="2026-11-27", usd="1.0842")
        self.status = 200
        self.asked = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(status=self.status, text=self.body, content_type="application/xml")


@pytest.fixture
async def bank() -> AsyncIterator[Bank]:
    made = Bank()
    app = web.Application()
    app.router.add_get("/rates.xml", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/rates.xml"
    yield made
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient(attempts=1)
    await client.start()
    yield client
    await client.stop()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 28, 12, tzinfo=UTC))


def rates(bank: Bank, http: HttpClient, database: Database, clock: ManualClock, **settings: object) -> Rates:
    return Rates(Settings.model_validate({"source": "http", "url": bank.url, **settings}), http, database, clock)


async def test_a_quote_by_the_reference_rates(
    bank: Bank, http: HttpClient, database: Database, clock: ManualClock
) -> None:
    quote = await rates(bank, http, database, clock).quote(Money(10_000, "EUR"), "USD")
    assert (quote.takes, quote.cost, str(quote.spread)) == (Money(10_787, "USD"), Money(55, "USD"), "0.005")
    assert (quote.day.isoformat(), quote.source) == ("2026-11-27", bank.url)
    assert quote.valid(clock.now_ms() + 59_999)
    assert not quote.valid(clock.now_ms() + 60_000)


async def test_rates_are_kept_for_a_while_and_over_a_start(
    bank: Bank, http: HttpClient, database: Database, clock: ManualClock
) -> None:
    first = rates(bank, http, database, clock)
    for _ in range(3):
        await first.quote(Money(100, "USD"), "JPY")
    assert bank.asked == 1
    bank.status = 500
    again = rates(bank, http, database, clock)
    assert (await again.quote(Money(100, "EUR"), "USD")).takes == Money(107, "USD")
    assert bank.asked == 1
    clock.advance(hours=2)
    assert (await again.quote(Money(100, "EUR"), "USD")).takes == Money(107, "USD")
    assert bank.asked == 2
    await again.quote(Money(100, "EUR"), "USD")
    assert bank.asked == 2  # not again within a minute of a failure
    clock.advance(minutes=2)
    bank.status, bank.body = 200, ECB.format(day="2026-11-28", usd="2")
    assert (await again.quote(Money(100, "EUR"), "USD")).takes == Money(199, "USD")


async def test_old_rates_are_refused(bank: Bank, http: HttpClient, database: Database, clock: ManualClock) -> None:
    made = rates(bank, http, database, clock)
    clock.set(datetime(2026, 12, 1, 23, 59, tzinfo=UTC))  # the Tuesday after
    await made.quote(Money(100, "EUR"), "USD")
    clock.set(datetime(2026, 12, 2, 0, 0, tzinfo=UTC))
    with pytest.raises(ExchangeError) as caught:
        await made.quote(Money(100, "EUR"), "USD")
    assert (caught.value.code, caught.value.values) == ("exchange.stale", {"day": "2026-11-27"})


@pytest.mark.parametrize(
    "body", ["", "<a/>", "hello", ECB.format(day="today", usd="1"), ECB.format(day="2026-11-27", usd="-1")]
)
async def test_a_service_that_talks_nonsense(
    bank: Bank, http: HttpClient, database: Database, clock: ManualClock, body: str
) -> None:
    bank.body = body
    with pytest.raises(ExchangeError, match="unavailable"):
        await rates(bank, http, database, clock).quote(Money(100, "EUR"), "USD")


async def test_rates_of_the_configuration(http: HttpClient, database: Database, clock: ManualClock) -> None:
    settings = Settings.model_validate({"source": "fixed", "fixed": {"EUR/USD": "1.10"}, "spread": "0.01"})
    made = Rates(settings, http, database, clock)
    assert (await made.quote(Money(1000, "EUR"), "USD")).takes == Money(1089, "USD")
    assert (await made.quote(Money(1100, "USD"), "EUR")).takes == Money(990, "EUR")
    with pytest.raises(ExchangeError, match="unknown_pair"):
        await made.quote(Money(1000, "EUR"), "CHF")
    none = Rates(Settings(), http, database, clock)
    assert (none.offered, made.offered) == (False, True)
    with pytest.raises(ExchangeError, match="no_source"):
        await none.quote(Money(1000, "EUR"), "USD")


@pytest.mark.parametrize("settings", [{"fixed": {"EUR/XXY": "1"}}, {"fixed": {"EUR/EUR": "1"}}])
async def test_a_configuration_that_cannot_be(
    http: HttpClient, database: Database, clock: ManualClock, settings: dict[str, object]
) -> None:
    with pytest.raises(RatesConfig, match=r"payments\.rates\."):
        Rates(Settings.model_validate({"source": "fixed", **settings}), http, database, clock)


def test_errors_name_the_line() -> None:
    broken = ECB.format(day="2026-11-27", usd="1.1").replace("163.25", "one")
    with pytest.raises(StatementError) as caught:
        read_ecb(read_tree(broken.encode()))
    assert caught.value.line == 9
    twice = ECB.format(day="2026-11-27", usd="1.1").replace("XXY", "USD")
    with pytest.raises(StatementError, match="two rates"):
        read_ecb(read_tree(twice.encode()))
