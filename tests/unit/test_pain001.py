"""Orders for the bank: what is written is what is read back, and it is the same bytes each time."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bots.domain.money import Money
from bots.domain.pain001 import NAMESPACE, Batch, Order, plain, write
from bots.payments.providers.xml import read_tree

MADE = datetime(2026, 11, 28, 12, 0, 5, tzinfo=UTC)
IBANS = ["DE89370400440532013000", "GB29NWBK60161331926819", "FR1420041010050500013M02606"]


def batch(*orders: Order, **fields: Any) -> Batch:
    whole: dict[str, Any] = {"id": "01J", "created_at": MADE, "execute_on": date(2026, 11, 28), "name": "Rialto e.V."}
    return Batch(**{**whole, "iban": IBANS[0], "bic": "", "orders": orders, **fields})


names = st.text(min_size=1, max_size=90).filter(lambda text: bool(plain(text, 70)))
orders = st.lists(
    st.tuples(names, st.sampled_from(IBANS), st.integers(1, 99_999_999_999), st.text(max_size=160)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(orders)
def test_what_is_written_is_read(found: list[tuple[str, str, int, str]]) -> None:
    made = batch(
        *(
            Order(f"ID{number}", name, iban, Money(minor, "EUR"), text)
            for number, (name, iban, minor, text) in enumerate(found)
        )
    )
    data = write(made)
    assert data == write(made)
    root = read_tree(data)
    head, info = root.first("CstmrCdtTrfInitn/GrpHdr"), root.first("CstmrCdtTrfInitn/PmtInf")
    assert head is not None
    assert info is not None
    total = str(Money(sum(minor for _, _, minor, _ in found), "EUR").amount)
    for node in (head, info):
        assert (node.words("NbOfTxs"), node.words("CtrlSum")) == (str(len(found)), total)
    assert (head.words("MsgId"), head.words("CreDtTm")) == ("01J", "2026-11-28T12:00:05Z")
    assert (info.words("DbtrAcct/Id/IBAN"), info.words("ReqdExctnDt")) == (IBANS[0], "2026-11-28")
    read = [
        (
            node.words("PmtId/EndToEndId"),
            node.words("Cdtr/Nm"),
            node.words("CdtrAcct/Id/IBAN"),
            node.words("Amt/InstdAmt"),
            node.words("RmtInf/Ustrd"),
        )
        for node in info.all("CdtTrfTxInf")
    ]
    assert read == [
        (f"ID{number}", plain(name, 70), iban, str(Money(minor, "EUR").amount), plain(text, 140))
        for number, (name, iban, minor, text) in enumerate(found)
    ]


def test_the_order_of_elements_is_that_of_the_schema() -> None:
    text = write(batch(Order("A", "Bob", IBANS[1], Money(1250, "EUR"), "Lunch"), bic="COBADEFF")).decode()
    assert f'<Document xmlns="{NAMESPACE}">' in text
    places = [
        text.index(f"<{name}>")
        for name in (
            *("GrpHdr", "MsgId", "CreDtTm", "InitgPty", "PmtInf", "PmtInfId", "PmtMtd", "BtchBookg", "PmtTpInf"),
            *(
                "ReqdExctnDt",
                "Dbtr",
                "DbtrAcct",
                "DbtrAgt",
                "ChrgBr",
                "CdtTrfTxInf",
                "PmtId",
                "Amt",
                "Cdtr",
                "CdtrAcct",
            ),
            "RmtInf",
        )
    ]
    assert places == sorted(places)
    assert "<BIC>COBADEFF</BIC>" in text
    assert '<InstdAmt Ccy="EUR">12.50</InstdAmt>' in text


@pytest.mark.parametrize(
    ("given_text", "written"),
    [
        ("Müller & Söhne", "Mueller + Soehne"),
        ("Łukasz Żółć", "Lukasz Zolc"),
        ("Жанна", "....."),
        ("  two\n lines ", "two lines"),
        ("<script>", ".script."),
    ],
)
def test_text_that_every_bank_takes(given_text: str, written: str) -> None:
    assert plain(given_text, 70) == written


def test_batches_that_cannot_be() -> None:
    order = Order("A", "Bob", IBANS[1], Money(1, "EUR"))
    for wrong in (
        batch,
        lambda: batch(order, order),
        lambda: batch(order, id="ü"),
        lambda: batch(order, id="x" * 36),
        lambda: batch(order, name=""),
        lambda: batch(order, bic="nobic"),
        lambda: Order("A", "Bob", IBANS[1], Money(0, "EUR")),
        lambda: Order("A", "Bob", IBANS[1], Money(1, "USD")),
        lambda: Order("A", " ", IBANS[1], Money(1, "EUR")),
        lambda: Order("A", "Bob", "DE00370400440532013000", Money(1, "EUR")),
    ):
        with pytest.raises(ValueError):
            wrong()
