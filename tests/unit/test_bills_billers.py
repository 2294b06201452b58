"""Billers: the simulated ones and their outcomes, one over HTTP and everything that goes wrong on the way."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from bots.bills.billers import HttpBiller, simulated
from bots.bills.billers.base import (
    Changed,
    Failed,
    FetchRequest,
    Found,
    NeverHeard,
    NoAnswer,
    NoSuchAccount,
    NothingDue,
    NotYet,
    Paid,
    PayRequest,
    Unknown,
)
from bots.bills.settings import Settings
from bots.domain.bills import Category
from bots.domain.money import Money
from bots.framework.http import HttpClient
from tests.support.fake_biller import TOKEN, Account, FakeBiller, fake_biller

NOW = int(datetime(2026, 1, 10, 12, tzinfo=UTC).timestamp() * 1000)
AMOUNT = Money(4250, "EUR")


def setting(url: str = "https://acme.example", **more: Any) -> dict[str, Any]:
    field = {"key": "contract", "label": "Contract number", "pattern": "[A-Z][0-9]{3}", "example": "A100"}
    return {
        "id": "acme",
        "name": "Acme Water",
        "category": "water",
        "url": url,
        "secret": TOKEN,
        "timeout": 0.5,
        "fields": [field],
    } | more


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
def biller(server: FakeBiller, http: HttpClient) -> HttpBiller:
    made = Settings.model_validate({"simulated": False, "billers": [setting(server.url)]}).make(http)
    found = made.get("acme")
    assert isinstance(found, HttpBiller)
    assert made.categories() == [Category.WATER]
    return found


def question(contract: str = "A100") -> FetchRequest:
    return FetchRequest("q1", {"contract": contract}, NOW, NOW, {})


def payment(amount: Money = AMOUNT, key: str = "key-1") -> PayRequest:
    return PayRequest(key, {"contract": "A100"}, "2026-01", "R-1", amount, NOW, NOW)


# Over HTTP


async def test_a_bill_is_found(biller: HttpBiller, server: FakeBiller) -> None:
    server.accounts["A100"].minimum = "5.00"
    answer = await biller.fetch(question())
    assert isinstance(answer, Found)
    bill = answer.bill
    assert (bill.period, bill.amount, bill.due, bill.reference) == ("2026-01", AMOUNT, date(2026, 1, 28), "R-1")
    assert bill.minimum == Money(500, "EUR")
    assert server.calls == [("/fetch", {"request": "q1", "account": {"contract": "A100"}})]


async def test_no_bill_no_account(biller: HttpBiller, server: FakeBiller) -> None:
    assert await biller.fetch(question("Z999")) == NoSuchAccount()
    server.accounts["A100"].amount = "0"
    assert await biller.fetch(question()) == NothingDue(paid=True, receipt="EARLIER-1")
    server.faults["/fetch"] = ["pending"]
    assert await biller.fetch(question()) == NotYet(5)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("late", "http_timed_out"),
        ("drop", "http_unreachable"),
        ("500", "status_500"),
        ("401", "status_401"),
        ("204", "status_204"),
        ("garbage", "http_unexpected"),
        ("empty", "http_unexpected"),
        ("array", "answer"),
        ("huge", "http_too_large"),
        ("unknown", "answer"),
    ],
)
async def test_no_clear_answer_to_a_question(biller: HttpBiller, server: FakeBiller, fault: str, reason: str) -> None:
    server.faults["/fetch"] = [fault]
    assert await biller.fetch(question()) == NoAnswer(reason)


@pytest.mark.parametrize(
    "bad",
    [
        {"amount": "-1.00"},
        {"amount": "0.00"},
        {"amount": "1e3"},
        {"amount": "1.001"},
        {"amount": "1,00"},
        {"amount": 4250},
        {"amount": "99999999999999999999"},
        {"currency": "USD"},
        {"currency": "XYZ"},
        {"due": "28.01.2026"},
        {"due": "2026-02-30"},
        {"minimum": "50.00"},
        {"period": "\n"},
        {"period": "x" * 100},
    ],
)
async def test_bills_that_cannot_be(biller: HttpBiller, server: FakeBiller, bad: dict[str, Any]) -> None:
    class Odd(Account):
        def bill(self) -> dict[str, Any]:
            return {**super().bill(), **bad}

    server.accounts["A100"] = Odd()
    assert isinstance(await biller.fetch(question()), NoAnswer)


async def test_a_payment(biller: HttpBiller, server: FakeBiller) -> None:
    assert await biller.status(payment()) == NeverHeard()
    answer = await biller.pay(payment())
    assert answer == Paid("R-5-key-1")
    assert await biller.pay(payment()) == answer == await biller.status(payment())
    assert list(server.taken) == ["key-1"]
    assert server.keys == ["key-1", "key-1"]
    assert server.taken["key-1"]["amount"] == "42.50"


async def test_a_payment_that_is_not_taken(biller: HttpBiller, server: FakeBiller) -> None:
    server.faults["/pay"] = ["failed"]
    assert await biller.pay(payment()) == Failed()
    assert await biller.status(payment()) == Failed()
    server.accounts["A100"].amount = "47.50"
    answer = await biller.pay(payment(key="key-2"))
    assert isinstance(answer, Changed)
    assert answer.bill.amount == Money(4750, "EUR")
    assert server.taken == {}


@pytest.mark.parametrize(
    "fault",
    ["late", "drop", "500", "400", "404", "409", "204", "garbage", "empty", "array", "huge", "redirect", "amount",
     "float", "other", "pending", "unknown", "changed"],
)  # fmt: skip
async def test_after_having_been_paid_nothing_unclear_counts(
    biller: HttpBiller, server: FakeBiller, fault: str
) -> None:
    """Both attempts of one request; the money is there, and the next clear answer says so."""
    server.faults["/pay"] = ["", fault] if fault == "changed" else [fault, fault]
    if fault == "changed":
        assert isinstance(await biller.pay(payment()), Paid)
    assert isinstance(await biller.pay(payment()), Unknown)
    server.faults.clear()
    assert await biller.status(payment()) == Paid("R-5-key-1")
    assert list(server.taken) == ["key-1"]


@pytest.mark.parametrize("fault", ["late", "drop", "503", "garbage", "amount", "other", "pending"])
async def test_nothing_unclear_counts_when_asked(biller: HttpBiller, server: FakeBiller, fault: str) -> None:
    await biller.pay(payment())
    server.faults["/status"] = [fault]
    assert isinstance(await biller.status(payment()), Unknown)


async def test_a_request_that_never_arrived(biller: HttpBiller, server: FakeBiller) -> None:
    server.faults["/pay"] = ["deaf", "deaf"]
    assert isinstance(await biller.pay(payment()), Unknown)
    assert await biller.status(payment()) == NeverHeard()
    assert isinstance(await biller.pay(payment()), Paid)
    assert list(server.taken) == ["key-1"]


async def test_a_server_error_is_tried_again_with_the_same_key(biller: HttpBiller, server: FakeBiller) -> None:
    server.faults["/pay"] = ["500"]
    assert isinstance(await biller.pay(payment()), Paid)
    assert server.keys == ["key-1", "key-1"]
    assert list(server.taken) == ["key-1"]


# By configuration


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"url": "ftp://x"}, "needs http"),
        ({"url": "https://user@x"}, "needs http"),
        ({"category": "fish"}, "electricity"),
        ({"fields": []}, "1 to 6 fields"),
        ({"currency": "XXZ"}, "ISO 4217"),
        ({"pay": "pay"}, "begins with /"),
        ({"category": "top_up", "fields": []}, "country"),
        ({"category": "top_up", "fields": [], "country": "DE"}, "amounts"),
        ({"category": "top_up", "fields": [], "country": "DE", "amounts": ["1.001"]}, "decimals"),
        ({"header": "X Y"}, "pattern"),
        ({"surprise": 1}, "not permitted"),
    ],
)
def test_a_configuration_that_cannot_be(more: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Settings.model_validate({"billers": [setting(**more)]})


def test_two_of_one_id_and_secrets() -> None:
    one = setting()
    with pytest.raises(ValidationError, match="one id"):
        Settings.model_validate({"billers": [one, one]})
    settings = Settings.model_validate({"billers": [one]})
    assert TOKEN not in repr(settings)
    with pytest.raises(ValueError, match="HTTP client"):
        settings.make(None)
    # A hook without a secret of the operator's is closed, and not open to an empty one.
    assert len(settings.webhook_secret.get_secret_value()) >= 32
    assert Settings().webhook_secret != Settings().webhook_secret


def test_the_configuration_in_the_documents() -> None:
    page = (Path(__file__).parents[2] / "docs" / "bills.md").read_text()
    text = page.partition("```yaml\n")[2].partition("```")[0]
    text = re.sub(r"\{file: (\S+)\}", r"a secret from \1", text)
    settings = Settings.model_validate(YAML(typ="safe").load(text)["bots"][0]["settings"])
    assert [each.info().name for each in settings.billers] == ["Acme Water", "Acme Mobile"]


def test_an_operator_over_http() -> None:
    more: dict[str, Any] = {
        "category": "top_up",
        "fields": [],
        "country": "PL",
        "amounts": ["10"],
        "least": "5",
        "most": "50",
    }
    settings = Settings.model_validate({"simulated": False, "billers": [setting(**more)]})
    sold = settings.billers[0].info().top_up
    assert sold is not None
    assert sold.plan.country == "PL"
    assert sold.amounts == (Money(1000, "EUR"),)


# Simulated


def power(last: int) -> dict[str, str]:
    return {"customer": f"2041587{last}"}


async def ask(last: int, *, after: int = 0, paid: dict[str, int] | None = None) -> Any:
    request = FetchRequest("q", power(last), NOW, NOW + after, paid or {})
    return await simulated("EUR")[0].fetch(request)


async def settle(last: int, amount: Money, *, after: int = 0, status: bool = False) -> Any:
    request = PayRequest("k", power(last), "2026-01", "", amount, NOW, NOW + after)
    made = simulated("EUR")[0]
    return await (made.status(request) if status else made.pay(request))


async def test_every_simulated_outcome() -> None:
    for last in (0, 1, 2, 3, 4, 8, 9):
        found = await ask(last)
        assert isinstance(found, Found)
        assert found.bill.period == "2026-01"
        assert found.bill.due == date(2026, 1, 28)
        assert (found.bill.minimum is not None) == (last == 8)
        assert found == await ask(last), "the same each time"
    amount = found.bill.amount
    assert isinstance(await settle(1, amount), Paid)
    assert await settle(2, amount) == Failed()
    for last, end in ((3, Paid), (4, Failed)):
        assert isinstance(await settle(last, amount), Unknown)
        assert isinstance(await settle(last, amount, after=89_000, status=True), Unknown)
        assert isinstance(await settle(last, amount, after=90_000, status=True), end)
    assert await ask(5) == NotYet(5)
    assert isinstance(await ask(5, after=15_000), Found)
    assert await ask(6) == NothingDue()
    already = await ask(7)
    assert isinstance(already, NothingDue)
    assert already.paid
    changed = await settle(9, amount)
    assert isinstance(changed, Changed)
    assert changed.bill.amount == amount + Money(500, "EUR")
    assert isinstance(await settle(9, changed.bill.amount), Paid)


async def test_what_was_paid_is_taken_off() -> None:
    whole = await ask(8)
    rest = await ask(8, paid={"202601": 500})
    assert rest.bill.amount == whole.bill.amount - Money(500, "EUR")
    settled = await ask(8, paid={"202601": whole.bill.amount.minor})
    assert isinstance(settled, NothingDue)
    assert settled.paid


def test_every_category_has_a_made_up_biller() -> None:
    made = Settings().make(None)
    assert made.categories() == [each for each in Category if each is not Category.TOP_UP]
    assert len(made.of(Category.ELECTRICITY)) == 2
    assert {each.top_up.plan.country for each in made.of(Category.TOP_UP) if each.top_up} == {"DE", "FR", "ES", "PL"}


@pytest.mark.parametrize("day", [date(2026, 1, 28), date(2026, 1, 29), date(2026, 12, 31)])
async def test_the_month_goes_on(day: date) -> None:
    now = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp() * 1000)
    found = await simulated("EUR")[0].fetch(FetchRequest("q", power(1), now, now, {}))
    assert isinstance(found, Found)
    assert found.bill.due is not None
    assert 0 <= (found.bill.due - day).days <= 31
    assert found.bill.due.day == 28
