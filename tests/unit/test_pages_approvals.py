"""What the approval page says of each kind of payment, and of each state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from bots.domain.money import Money
from bots.domain.payments import Capture, PaymentKind, PaymentState
from bots.payments.approvals import ConfirmAction
from bots.payments.pins import CONFIRM_PURPOSE
from tests.support.pages import ALICE, BOB, TITLE, Site, running_site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path) as made:
        await made.pins.set(ALICE, "274913")
        yield made


async def shown(url: str) -> tuple[str, str]:
    """The title of a page, and all of it."""
    async with ClientSession() as session, session.get(url) as response:
        text = unescape(await response.text())
    found = TITLE.search(text)
    assert found is not None
    return found[1], text


KINDS: list[tuple[dict[str, Any], str, list[str]]] = [
    ({}, "Approve this payment?", ["Pay €85.50", "Bob Marley", BOB, "never paid them before", "Rent for June"]),
    ({"kind": PaymentKind.INVOICE, "payee": "bot:shop"}, "Approve this payment?", ["Pay €85.50", "bot:shop"]),
    (
        {"kind": PaymentKind.EXCHANGE, "payee": ALICE, "received": Money(9200, "USD")},
        "Approve this exchange?",
        ["Exchange €85.50", "You get", "$92.00"],
    ),
    (
        {"kind": PaymentKind.MANDATE, "payee": "bot:shop"},
        "Agree to be charged?",
        ["Agree", "Up to this amount each time, until you end it."],
    ),
    (
        {"kind": PaymentKind.CASH_OUT, "payee": "provider:bank", "capture": Capture.BY_MERCHANT},
        "Approve this payment?",
        ["provider:bank"],
    ),
]


@pytest.mark.parametrize(
    ("changes", "title", "words"), KINDS, ids=["transfer", "invoice", "exchange", "mandate", "out"]
)
async def test_every_kind_of_payment(site: Site, changes: dict[str, Any], title: str, words: list[str]) -> None:
    said, text = await shown(await site.approval(site.payments.propose(**changes)))
    assert said == title
    assert all(word in text for word in words)
    assert ("never paid them" in text) is (not changes)


async def test_a_name_looks_like_no_id_and_turns_nothing_around(site: Site) -> None:
    site.names[BOB] = "@carol:example.org\n\u202egro.elpmaxe " + "x" * 100
    _, text = await shown(await site.approval(site.payments.propose()))
    assert f"carol:example.org gro.elpmaxe {'x' * 29}…" in text
    assert "@carol" not in text
    assert "\u202e" not in text
    assert BOB in text


async def test_whoever_was_paid_before_is_no_stranger(site: Site) -> None:
    payment = site.payments.propose()
    site.payments.payments[payment.id] = replace(payment, paid_before=True)
    _, text = await shown(await site.approval(payment))
    assert "Paid before" in text and "never paid them" not in text


@pytest.mark.parametrize("state", [state for state in PaymentState if state is not PaymentState.PROPOSED])
async def test_every_state_has_words_and_no_form(site: Site, state: PaymentState) -> None:
    payment = site.payments.propose()
    site.payments.payments[payment.id] = replace(payment, state=state)
    title, text = await shown(await site.approval(payment))
    assert title not in {"", "Approve this payment?", "Not paid yet"}
    assert "<form" not in text and "€85.50" in text


async def test_an_agreement_holds_no_money(site: Site) -> None:
    payment = site.payments.propose(kind=PaymentKind.MANDATE, payee="bot:shop")
    site.payments.payments[payment.id] = replace(payment, state=PaymentState.HELD)
    title, text = await shown(await site.approval(payment))
    assert title == "Agreed" and "set aside" not in text


async def test_an_action_that_is_not_there_any_more(site: Site) -> None:
    title, _ = await shown(await site.link(CONFIRM_PURPOSE, subject="fly"))
    assert title == "This link has expired"
    assert ConfirmAction.purpose == CONFIRM_PURPOSE
