"""Receipts: the facts of a payment, in the reader's language, as text and as a file."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from bots.domain.invoices import Invoice, Line
from bots.domain.money import Money
from bots.domain.payments import Capture, Payment, PaymentKind, PaymentState, Proposal, proposed
from bots.domain.receipts import KINDS, MESSAGES, Party, Receipt, RefundLine, receipt_of
from bots.framework.clock import to_ms
from bots.framework.i18n import English, Formats
from bots.payments.receipt_pdf import receipt_pdf
from bots.payments.receipts import Words, receipt_text, sheet_of

AT = to_ms(datetime(2026, 11, 28, 18, 20, tzinfo=UTC))
NUMBER = "01KB5XH3Q2Z7M8N4V6T9R0S1W2"
ALICE, COFFEE = Party("@alice:example.org", "Alice"), Party("bot:coffee", "Arch Coffee")


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


INVOICE = Invoice(
    (
        Line("Flat white", eur(350), 2, Decimal("0.19")),
        Line("Croissant", eur(320), 1, Decimal("0.07")),
    ),
    discount=eur(100),
    tip=eur(200),
)
PURCHASE = Receipt(
    id=NUMBER,
    at=AT,
    kind="invoice",
    payer=ALICE,
    payee=COFFEE,
    total=INVOICE.total,
    lines=INVOICE.lines,
    taxes=INVOICE.taxes,
    discount=INVOICE.discount,
    tip=INVOICE.tip,
    reference="Table 4",
)
SIMPLE = Receipt(id=NUMBER, at=AT, kind="transfer", payer=ALICE, payee=Party("@bob:example.org"), total=eur(2000))


class Speaks:
    """The English texts, as a language of a given tag."""

    def __init__(self, language: str = "en", texts: dict[str, str] | None = None) -> None:
        self.language = language
        self._texts = {MESSAGES[code]: text for code, text in (texts or {}).items()}

    def t(self, text: str, /, **values: Any) -> str:
        return self._texts.get(text, text).format(**values)

    n = English().n


def words(language: str = "en", zone: str = "UTC", texts: dict[str, str] | None = None) -> Words:
    return Words(Speaks(language, texts), Formats(language, ZoneInfo(zone)))


def test_the_text_of_a_purchase() -> None:
    receipt = replace(PURCHASE, refunds=(RefundLine(AT + 86_400_000, eur(350)),), fee=eur(20))
    assert receipt_text(receipt, words(zone="Europe/Berlin")).splitlines() == [
        f"Receipt {NUMBER}",
        "Paid Nov 28, 2026, 7:20\u202fPM (CET)",
        "Kind: Purchase",
        "From: Alice (@alice:example.org)",
        "To: Arch Coffee (bot:coffee)",
        "For: Table 4",
        "• Flat white, 2 × €3.50: €7.00",
        "• Croissant: €3.20",
        "Subtotal: €10.20",
        "Discount: -€1.00",
        "Tip: €2.00",
        "Total: €11.20",
        "Includes 19% tax on €5.30: €1.01",
        "Includes 7% tax on €2.70: €0.19",
        "Refund of Nov 29, 2026: -€3.50",
        "Total after refunds: €7.70",
        "Fee: -€0.20",
        "Total after fee: €7.50",
        "Refunded in part",
    ]


def test_the_text_of_a_simple_payment_is_short() -> None:
    assert receipt_text(SIMPLE, words("de")).splitlines()[1:] == [
        "Paid 28.11.2026, 18:20 (UTC)",
        "Kind: Payment between people",
        "From: Alice (@alice:example.org)",
        "To: @bob:example.org",
        "Total: 20,00\u00a0€",
    ]


def test_an_id_of_another_server_stays_within_its_line() -> None:
    crooked = replace(SIMPLE, payee=Party("@bob\nTotal: 1:evil.example"))
    lines = receipt_text(crooked, words()).splitlines()
    assert len(lines) == len(receipt_text(SIMPLE, words()).splitlines())
    assert "To: @bob Total: 1:evil.example" in lines


def test_tax_that_is_added_stands_above_the_total() -> None:
    invoice = Invoice((Line("Desk", eur(10_000), 1, Decimal("0.19")),), inclusive=False)
    receipt = replace(
        PURCHASE,
        total=invoice.total,
        lines=invoice.lines,
        taxes=invoice.taxes,
        inclusive=False,
        discount=None,
        tip=None,
    )
    rows = [(row.label, row.value) for row in sheet_of(receipt, words()).sums]
    assert rows == [("Subtotal", "€100.00"), ("Tax 19% on €100.00", "€19.00"), ("Total", "€119.00")]


def test_an_exchange_says_what_came() -> None:
    receipt = replace(SIMPLE, kind="exchange", received=Money(2150, "USD"))
    assert ("Received", "$21.50") in [(row.label, row.value) for row in sheet_of(receipt, words()).sums]


@pytest.mark.parametrize(
    "wrong",
    [
        {"total": eur(0)},
        {"tip": eur(-1)},
        {"discount": Money(1, "USD")},
        {"refunds": (RefundLine(AT, eur(2001)),)},
        {"kind": "gift"},
    ],
)
def test_what_cannot_be_a_receipt(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="receipt"):
        replace(SIMPLE, **wrong)


def paid(**changes: Any) -> Payment:
    proposal = Proposal(
        kind=PaymentKind.INVOICE,
        payer=ALICE.id,
        payee=COFFEE.id,
        amount=INVOICE.total,
        memo="Table 4",
        key="k",
        initiator=COFFEE.id,
        expires_at=AT + 1,
        capture=Capture.BY_MERCHANT,
        lines=INVOICE.lines,
        discount=INVOICE.discount,
        tip=INVOICE.tip,
    )
    payment = proposed(proposal, NUMBER, AT, paid_before=None)
    return replace(payment, state=PaymentState.PAID, captured=INVOICE.total, fee=eur(20), **changes)


def test_a_receipt_is_made_of_a_payment() -> None:
    names = {ALICE.id: "Alice", COFFEE.id: "Arch Coffee"}
    assert receipt_of(paid(), at=AT, names=names) == PURCHASE
    assert receipt_of(paid(), at=AT, audience="payee", names=names) == replace(PURCHASE, fee=eur(20))
    refunded = receipt_of(paid(refunded=eur(100), updated_at=AT + 5), at=AT)
    assert refunded.refunds == (RefundLine(AT + 5, eur(100)),)
    with pytest.raises(ValueError, match="something that was paid"):
        receipt_of(replace(paid(), captured=eur(0)), at=AT)


def test_of_what_was_captured_in_part_no_lines_are_claimed() -> None:
    receipt = receipt_of(replace(paid(), captured=eur(500)), at=AT)
    assert (receipt.total, receipt.lines, receipt.taxes, receipt.tip) == (eur(500), (), (), None)


def test_every_kind_has_a_word() -> None:
    kinds = {
        "payment",
        "hold",
        "capture",
        "refund",
        "fee",
        "top_up",
        "cash_out",
        "exchange",
        "tip",
        "reversal",
        "opening",
    }
    assert kinds | {kind.value for kind in PaymentKind} - {"mandate"} <= set(KINDS)
    assert all(code in MESSAGES for code in KINDS.values())
    assert words().kind("something new") == "Movement"


# --- the file


def made(receipt: Receipt, said: Words | None = None) -> bytes:
    said = said or words()
    return receipt_pdf(sheet_of(receipt, said), said)


def pages(file: bytes) -> int:
    return len(re.findall(rb"/Type /Page\b", file))


def glyphs(file: bytes) -> int:
    """How many glyphs the embedded fonts have together."""
    streams = re.findall(rb"stream\n(.*?)\nendstream", file, re.DOTALL)
    plain = [zlib.decompress(each) for each in streams if each[:1] == b"\x78"]
    fonts = [TTFont(BytesIO(each)) for each in plain if each[:4] == b"\0\1\0\0"]
    return sum(font["maxp"].numGlyphs for font in fonts)


def test_the_same_receipt_gives_the_same_bytes() -> None:
    file = made(PURCHASE)
    assert file.startswith(b"%PDF-") and file == made(PURCHASE)
    assert file != made(replace(PURCHASE, reference="Table 5"))
    assert b"20261128182000" in file


def test_it_is_one_page_with_a_title_and_a_language() -> None:
    file = made(PURCHASE, words("de"))
    assert pages(file) == 1
    assert b"/Lang (de)" in file
    assert NUMBER.encode("utf-16-be") in file or NUMBER.encode() in file
    assert len(file) < 100_000


def test_a_long_receipt_goes_on_over_pages() -> None:
    lines = tuple(Line(f"Thing {number}", eur(100)) for number in range(60))
    receipt = replace(PURCHASE, lines=lines, total=eur(6000), taxes=(), discount=None, tip=None)
    assert pages(made(receipt)) == 3


def test_arabic_is_joined_and_other_letters_are_there() -> None:
    texts = {"receipt.total": "الإجمالي", "receipt.title": "إيصال"}
    alone = made(replace(PURCHASE, reference="ه"), words("ar", texts=texts))
    joined = made(replace(PURCHASE, reference="ههه"), words("ar", texts=texts))
    # The same letter three times: one form at the beginning, in the middle and at the end each.
    assert glyphs(joined) == glyphs(alone) + 2
    assert b"/Lang (ar)" in joined
    assert glyphs(made(replace(SIMPLE, reference="Привет, Ελλάδα, Łódź"))) > glyphs(made(SIMPLE)) + 10


def test_what_the_font_lacks_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    receipt = replace(SIMPLE, payee=Party("@ming:example.org", "小明 🍜"), reference="午餐\n\x00\u2067x")
    assert pages(made(receipt)) == 1
    assert not caplog.records


@settings(max_examples=8, deadline=None)
@given(st.text(max_size=400), st.text(max_size=120), st.sampled_from(["en", "ar", "he", "de"]))
def test_any_text_can_be_printed(reference: str, name: str, language: str) -> None:
    line = Line(name if name.strip() else "x", eur(2000), 1)
    receipt = replace(SIMPLE, kind="invoice", reference=reference, lines=(line,), payee=Party("bot:x", name))
    assert made(receipt, words(language)).startswith(b"%PDF-")


def test_long_words_break_within() -> None:
    receipt = replace(SIMPLE, payee=Party(f"@{'a' * 240}:example.org"), reference="y" * 500)
    assert pages(made(receipt)) == 1
