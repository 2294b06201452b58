"""The states of payments, and what can be proposed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bots.domain.money import Money
from bots.domain.payments import (
    ENDED,
    MESSAGES,
    NEXT,
    Action,
    Capture,
    Line,
    Payment,
    PaymentKind,
    PaymentRefused,
    PaymentState,
    Proposal,
    Refusal,
    advance,
    proposed,
)

S, A = PaymentState, Action
FOLLOWS = {
    S.PROPOSED: {
        A.HOLD: S.HELD,
        A.PAY: S.PAID,
        A.DECLINE: S.DECLINED,
        A.CANCEL: S.CANCELLED,
        A.EXPIRE: S.EXPIRED,
        A.REFUSE: S.REFUSED,
    },
    S.HELD: {A.PAY: S.PAID, A.VOID: S.VOIDED},
    S.PAID: {A.REFUND_PART: S.PARTLY_REFUNDED, A.REFUND: S.REFUNDED},
    S.PARTLY_REFUNDED: {A.REFUND_PART: S.PARTLY_REFUNDED, A.REFUND: S.REFUNDED},
}
"""Written down a second time: a change of the table must be meant."""
ALICE, BOB = "@alice:example.org", "@bob:example.org"


def proposal(**changes: Any) -> Proposal:
    values: dict[str, Any] = {
        "kind": PaymentKind.TRANSFER,
        "payer": ALICE,
        "payee": BOB,
        "amount": Money(1000, "EUR"),
        "memo": "lunch",
        "key": "k",
        "initiator": ALICE,
        "expires_at": 2000,
    }
    return Proposal(**(values | changes))


def payment(state: PaymentState = S.PROPOSED) -> Payment:
    return replace(proposed(proposal(), "01P", 1000, paid_before=None), state=state)


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("state", PaymentState)
def test_every_action_in_every_state(state: PaymentState, action: Action) -> None:
    before = payment(state)
    wanted = FOLLOWS.get(state, {}).get(action)
    if wanted is None:
        with pytest.raises(PaymentRefused) as caught:
            advance(before, action)
        assert caught.value.code == "payments.wrong_state"
        assert caught.value.values == {"state": state.value}
        return
    after = advance(before, action, reason="why")
    assert after == replace(before, state=wanted, changes=before.changes + 1, reason="why")


def test_what_is_over_stays_so() -> None:
    """No money moves any more once a payment has ended without it, and none is given back twice."""
    leads = {state for state, _ in NEXT}
    assert leads.isdisjoint(ENDED | {S.REFUNDED})
    assert not any(after in {S.PAID, S.HELD} for (state, _), after in NEXT.items() if state not in {S.PROPOSED, S.HELD})


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": Money(0, "EUR")}, "payments.not_positive"),
        ({"amount": Money(-5, "EUR")}, "payments.not_positive"),
        ({"payee": ALICE}, "payments.self"),
        ({"payee": "bob"}, "payments.bad_payee"),
        ({"payee": "bot:shop"}, "payments.bad_payee"),
        ({"payer": "bot:shop"}, "payments.bad_payer"),
        ({"payer": ""}, "payments.bad_payer"),
        ({"payer": "", "kind": PaymentKind.INVOICE, "payee": "bot:shop"}, "payments.bad_payer"),
        ({"kind": PaymentKind.INVOICE}, "payments.bad_payee"),
        ({"kind": PaymentKind.INVOICE, "payee": "bot:"}, "payments.bad_payee"),
        ({"kind": PaymentKind.MANDATE}, "payments.bad_payee"),
        ({"kind": PaymentKind.CASH_OUT, "capture": Capture.BY_MERCHANT}, "payments.bad_payee"),
        ({"kind": PaymentKind.EXCHANGE, "received": Money(1, "USD")}, "payments.bad_payee"),
        ({"kind": PaymentKind.PAYOUT}, "payments.bad_payer"),
        ({"initiator": BOB}, "payments.no_shared_room"),
        ({"memo": "x" * 501}, "payments.memo_too_long"),
    ],
)
def test_what_cannot_be_proposed(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(PaymentRefused) as caught:
        proposal(**changes).check()
    assert caught.value.code == code
    assert caught.value.human


@pytest.mark.parametrize(
    "changes",
    [
        {"initiator": BOB, "origin_room": "!room:example.org"},
        {"payer": "", "initiator": BOB},
        {"kind": PaymentKind.INVOICE, "payee": "bot:shop/mary", "initiator": "bot:shop"},
        {"kind": PaymentKind.MANDATE, "payee": "bot:shop", "initiator": "bot:shop"},
        {"kind": PaymentKind.CASH_OUT, "payee": "provider:bank", "capture": Capture.BY_MERCHANT},
        {"kind": PaymentKind.EXCHANGE, "payee": ALICE, "received": Money(1100, "USD")},
        {"kind": PaymentKind.PAYOUT, "payer": "bot:shop", "initiator": "bot:shop"},
    ],
)
def test_what_can_be(changes: dict[str, Any]) -> None:
    proposal(**changes).check()


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": PaymentKind.EXCHANGE, "payee": ALICE},
        {"received": Money(1, "USD")},
        {"kind": PaymentKind.CASH_OUT, "payee": "provider:bank"},
        {"capture": Capture.BY_MERCHANT, "accept_within": 1000},
        {"accept_within": 1000},
        {"kind": PaymentKind.INVOICE, "payee": "bot:shop", "capture": Capture.BY_MERCHANT},
        {"key": ""},
        {
            "kind": PaymentKind.INVOICE,
            "payee": "bot:shop",
            "lines": (Line("Tea", Money(999, "EUR")),),
        },
    ],
)
def test_what_only_a_programmer_gets_wrong(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        proposal(**changes).check()


@pytest.mark.parametrize(
    "changes",
    [
        {"payer": "@carol:example.org"},
        {"payee": "@carol:example.org"},
        {"amount": Money(1001, "EUR")},
        {"amount": Money(1000, "USD")},
        {"memo": "dinner"},
        {"group": "g"},
        {"capture": Capture.BY_MERCHANT},
        {"tip": Money(1, "EUR")},
        {"consumer": "x"},
        {"mandate": "01M"},
    ],
)
def test_another_proposal_has_another_fingerprint(changes: dict[str, Any]) -> None:
    assert proposal(**changes).fingerprint != proposal().fingerprint


def test_the_same_proposal_later_is_the_same() -> None:
    assert proposal(expires_at=9_000).fingerprint == proposal().fingerprint


def test_every_refusal_can_be_said() -> None:
    class Anything(dict[str, str]):
        def __missing__(self, key: str) -> str:
            return key

    for code, sentence in MESSAGES.items():
        assert code.startswith("payments.")
        assert sentence.format_map(Anything()).endswith(".")
    refusal = Refusal.of("payments.exceeds_balance", available=Money(5, "EUR"), amount=Money(7, "EUR"))
    assert refusal.human == "Your wallet has 0.05 EUR to spend, and this is 0.07 EUR."
