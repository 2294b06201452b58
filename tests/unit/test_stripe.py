"""Stripe by its own library, against a stand-in for its API: amounts, keys, answers that get lost, signed messages."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bots.domain.funding import Seen
from bots.domain.money import Money
from bots.payments.providers.base import (
    CreateRequest,
    ProviderEvent,
    ProviderMissing,
    ProviderRefused,
    ProviderUnknown,
    Received,
    WebhookRefused,
)
from bots.payments.providers.stripe import StripeProvider, from_stripe, to_stripe
from tests.support.fake_stripe import SECRET_KEY, WEBHOOK_SECRET, FakeStripe

NOW = 1_796_000_000_000
REQUEST = CreateRequest("TOPUP", "key-1", "@alice:here", Money(2050, "EUR"), NOW, NOW + 3_600_000)


def url(path: str) -> str:
    return f"https://rialto.example{path}"


@pytest.fixture
async def fake() -> AsyncIterator[FakeStripe]:
    made = await FakeStripe().start()
    yield made
    await made.stop()


@pytest.fixture
async def provider(fake: FakeStripe) -> AsyncIterator[StripeProvider]:
    made = StripeProvider(SECRET_KEY, WEBHOOK_SECRET, fake.url + "/", url, retries=0)
    await made.start()
    yield made
    await made.stop()


@pytest.mark.parametrize(
    ("money", "value"),
    [
        (Money(1050, "EUR"), 1050),
        (Money(500, "JPY"), 500),
        (Money(500, "KRW"), 500),
        (Money(500, "ISK"), 50_000),
        (Money(7, "UGX"), 700),
        (Money(1500, "MGA"), 15),
        (Money(5120, "KWD"), 5120),
        (Money(1, "HUF"), 1),
    ],
)
def test_amounts_as_stripe_counts_them(money: Money, value: int) -> None:
    assert to_stripe(money) == value
    assert from_stripe(value, money.currency.lower()) == money


@pytest.mark.parametrize(
    ("money", "reason"),
    [
        (Money(5125, "KWD"), "amount"),
        (Money(1510, "MGA"), "amount"),
        (Money(1000, "IQD"), "currency"),
        (Money(1, "CLF"), "currency"),
    ],
)
def test_amounts_that_stripe_cannot_express(money: Money, reason: str) -> None:
    with pytest.raises(ProviderRefused) as caught:
        to_stripe(money)
    assert caught.value.fields["reason"] == reason
    for value, currency in ((1, "isk"), (100, "xxx")):
        with pytest.raises(ProviderUnknown):
            from_stripe(value, currency)


async def test_a_payment_from_begin_to_end(fake: FakeStripe, provider: StripeProvider) -> None:
    made = await provider.create(REQUEST)
    assert made.link == fake.sessions[made.id]["url"]
    ((_, path, params, key),) = fake.requests
    assert (path, key) == ("/v1/checkout/sessions", "key-1")
    price = params["line_items"]["0"]
    assert (price["price_data"]["currency"], price["price_data"]["unit_amount"]) == ("eur", "2050")
    assert (params["client_reference_id"], params["mode"]) == ("TOPUP", "payment")
    assert params["payment_intent_data"] == {"metadata": {"top_up": "TOPUP"}}
    assert params["success_url"] == "https://rialto.example/providers/return/done"
    assert params["expires_at"] == str(REQUEST.expires_at // 1000)

    assert (await provider.fetch(made.id, "TOPUP")).seen is Seen.PENDING
    fake.pay(made.id)
    paid = await provider.fetch(made.id, "TOPUP")
    intent = fake.sessions[made.id]["payment_intent"]
    assert (paid.seen, paid.received) == (Seen.SUCCEEDED, (Received(intent, Money(2050, "EUR")),))


async def test_the_same_key_is_the_same_payment(fake: FakeStripe, provider: StripeProvider) -> None:
    first = await provider.create(REQUEST)
    assert await provider.create(REQUEST) == first
    assert len(fake.sessions) == 1
    with pytest.raises(ProviderRefused) as caught:
        await provider.create(replace(REQUEST, amount=Money(9999, "EUR")))
    assert caught.value.fields["reason"] == "key_reused"
    assert len(fake.sessions) == 1


@pytest.mark.parametrize("fault", ["drop", "lost", "500", "429"])
async def test_no_answer_is_not_known_and_asking_again_helps(
    fake: FakeStripe, provider: StripeProvider, fault: str
) -> None:
    fake.faults = [fault]
    with pytest.raises(ProviderUnknown):
        await provider.create(REQUEST)
    made = await provider.create(REQUEST)
    assert list(fake.sessions) == [made.id]


async def test_the_library_tries_again_with_the_same_key(fake: FakeStripe) -> None:
    provider = StripeProvider(SECRET_KEY, WEBHOOK_SECRET, fake.url, url, retries=1)
    await provider.start()
    fake.faults = ["lost"]
    try:
        made = await provider.create(REQUEST)
    finally:
        await provider.stop()
    assert list(fake.sessions) == [made.id]
    assert [key for _, _, _, key in fake.requests] == ["key-1", "key-1"]


async def test_what_stripe_refuses(fake: FakeStripe, provider: StripeProvider) -> None:
    with pytest.raises(ProviderRefused) as caught:
        await provider.create(replace(REQUEST, amount=Money(10, "EUR")))
    assert caught.value.fields["reason"] == "amount_too_small"
    with pytest.raises(ProviderRefused) as caught:
        await provider.fetch("cs_test_nothing", "TOPUP")
    assert caught.value.fields["reason"] == "resource_missing"
    wrong = StripeProvider("sk_test_wrong", WEBHOOK_SECRET, fake.url, url, retries=0)
    await wrong.start()
    with pytest.raises(ProviderUnknown):  # nothing was done, and with the right key it will be
        await wrong.create(REQUEST)
    await wrong.stop()


async def test_a_payment_of_somebody_else_is_not_taken(fake: FakeStripe, provider: StripeProvider) -> None:
    made = await provider.create(REQUEST)
    fake.pay(made.id)
    found = await provider.fetch(made.id, "ANOTHER")
    assert (found.seen, found.received) == (Seen.UNKNOWN, ())


async def test_the_other_ends_of_a_payment(fake: FakeStripe, provider: StripeProvider) -> None:
    async def made(number: int) -> str:
        return (await provider.create(replace(REQUEST, key=f"key-{number}"))).id

    late, failed, expired = await made(10), await made(11), await made(12)
    for session in (late, failed):
        fake.pay(session, later=True)
        assert (await provider.fetch(session, "TOPUP")).seen is Seen.PENDING
    fake.settle(late, succeeds=True)
    fake.settle(failed, succeeds=False)
    fake.expire(expired)
    seen = [(await provider.fetch(session, "TOPUP")).seen for session in (late, failed, expired)]
    assert seen == [Seen.SUCCEEDED, Seen.DECLINED, Seen.EXPIRED]


async def test_money_that_is_reserved_is_captured_once(fake: FakeStripe, provider: StripeProvider) -> None:
    fake.manual = True
    made = await provider.create(REQUEST)
    with pytest.raises(ProviderRefused):
        await provider.capture(made.id, "key-2")
    fake.pay(made.id)
    assert (await provider.fetch(made.id, "TOPUP")).seen is Seen.AUTHORISED
    for _ in range(2):
        assert (await provider.capture(made.id, "key-3")).seen is Seen.SUCCEEDED
    assert len(fake.balance) == 1


async def test_refunds(fake: FakeStripe, provider: StripeProvider) -> None:
    made = await provider.create(REQUEST)
    fake.pay(made.id)
    intent = fake.sessions[made.id]["payment_intent"]
    fake.refund_status = "pending"
    first = await provider.refund(made.id, intent, Money(1000, "EUR"), "key-r")
    assert await provider.refund(made.id, intent, Money(1000, "EUR"), "key-r") == first
    assert (first.seen, len(fake.refunds)) == (Seen.PENDING, 1)
    assert first.id is not None
    fake.refunds[first.id]["status"] = "succeeded"
    assert (await provider.fetch_refund(first.id)).seen is Seen.SUCCEEDED
    with pytest.raises(ProviderRefused):
        await provider.refund(made.id, intent, Money(1051, "EUR"), "key-s")


async def test_messages_name_what_to_ask_about(fake: FakeStripe, provider: StripeProvider) -> None:
    made = await provider.create(REQUEST)
    session = fake.sessions[made.id]
    body, headers = fake.event("checkout.session.completed", session, event_id="evt_1")
    assert await provider.webhook(body, headers) == [ProviderEvent("evt_1", "top_up", "TOPUP", made.id)]
    refund = {"id": "re_1", "object": "refund"}
    body, headers = fake.event("refund.updated", refund, event_id="evt_2")
    assert await provider.webhook(body, headers) == [ProviderEvent("evt_2", "refund", "", "re_1")]
    assert await provider.webhook(*fake.event("customer.created", {"id": "cus_1"})) == []


async def test_messages_that_are_not_proven(fake: FakeStripe, provider: StripeProvider) -> None:
    body, headers = fake.event("checkout.session.completed", {"id": "cs_1"})
    old, old_headers = fake.event("checkout.session.completed", {"id": "cs_1"}, at=int(time.time()) - 301)
    forged = fake.signed(body.decode(), secret="whsec_other")
    for wrong_body, wrong_headers in (
        (body + b" ", headers),
        (body.replace(b"cs_1", b"cs_2"), headers),
        (body, {}),
        (body, {"Stripe-Signature": "t=,v1="}),
        (body, {"Stripe-Signature": headers["Stripe-Signature"].replace("v1=", "v0=")}),
        (old, old_headers),
        forged,
        fake.signed("not json"),
        fake.signed("[]"),
        fake.signed('{"id": 1}'),
        (b"\xff", headers),
    ):
        with pytest.raises(WebhookRefused):
            await provider.webhook(wrong_body, wrong_headers)
    recent = fake.event("checkout.session.completed", {"id": "cs_1"}, at=int(time.time()) - 290)
    assert len(await provider.webhook(*recent)) == 1


async def test_without_a_secret_no_message_is_taken(fake: FakeStripe) -> None:
    provider = StripeProvider(SECRET_KEY, "", fake.url, url)
    body, headers = fake.event("checkout.session.completed", {"id": "cs_1"})
    with pytest.raises(WebhookRefused):
        await provider.webhook(body, headers)


async def test_movements_page_by_page(fake: FakeStripe, provider: StripeProvider) -> None:
    made = await provider.create(REQUEST)
    fake.pay(made.id)
    intent = fake.sessions[made.id]["payment_intent"]
    await provider.refund(made.id, intent, Money(50, "EUR"), "key-r")
    fake.moved("payout", None, -500, "eur")
    fake.moved("adjustment", "dp_1", -2000, "eur")
    for number in range(230):
        fake.moved("charge", {"amount_captured": 1, "currency": "jpy", "payment_intent": f"pi_{number}"}, 1, "jpy")
    found = await provider.movements((fake.now - 10) * 1000, (fake.now + 10) * 1000)
    kinds = [(one.kind, one.key, one.amount) for one in found]
    assert ("top_up", intent, Money(2050, "EUR")) in kinds
    assert ("refund", next(iter(fake.refunds)), Money(-50, "EUR")) in kinds
    assert [one.detail for one in found if one.kind == "other"] == ["adjustment"]
    assert len(found) == 233
    assert len({one.key for one in found}) == 233
    assert await provider.movements((fake.now + 1) * 1000, (fake.now + 10) * 1000) == []


async def test_stripe_pays_nobody_out(provider: StripeProvider) -> None:
    from bots.payments.providers.base import PayoutRequest

    assert provider.pays_out is False
    with pytest.raises(ProviderRefused):
        await provider.payout(PayoutRequest("P", "key", Money(100, "EUR"), {}))


def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stripe", None)
    with pytest.raises(ProviderMissing, match=r"rialto-messenger\[stripe\]"):
        StripeProvider(SECRET_KEY, WEBHOOK_SECRET, "https://api.stripe.com", url)
