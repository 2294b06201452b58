"""Receipts and statements of real movements, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection

from appservice.database import Database
from appservice.sealing import Sealer
from bots.domain.ledger import AccountKind
from bots.domain.money import Money
from bots.domain.payments import Capture, Line, Payment, PaymentKind, PaymentState, Proposal, proposed
from bots.framework.clock import ManualClock
from bots.framework.i18n import English
from bots.payments import statements as module
from bots.payments.ledger import Ledger, Post, Transfer
from bots.payments.receipts import NoReceipt, Receipts, Words, receipt_text
from bots.payments.records import row_of
from bots.payments.statements import Month, Statements, statement_text
from bots.store import payments as store
from bots.store.payments import RefundRow

ALICE, BOB, SHOP = "@alice:localhost", "@bob:localhost", "bot:shop"
JANUARY, FEBRUARY = Month(2026, 1), Month(2026, 2)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


class Desk:
    """A ledger with money in it, and payments beside it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.sealer = Sealer("a pickle key for tests", "payments")
        self.clock = ManualClock()
        self.ledger = Ledger(database, self.clock)
        self.receipts = Receipts(database, self.sealer)
        self.statements = Statements(database, self.ledger, self.sealer)

    async def begin(self) -> None:
        """Alice has 100 euros."""
        provider = await self.ledger.account("provider:test", "EUR", AccountKind.PROVIDER)
        alice = await self.ledger.account(ALICE, "EUR")
        await self.ledger.execute([Transfer("top_up", provider.id, alice.id, eur(100_00), "top_up")])

    async def move(self, name: str, minor: int, *, to: str = BOB, reference: str = "", **more: Any) -> None:
        kind = AccountKind.MERCHANT if to.startswith("bot:") else AccountKind.PERSON
        alice, other = await self.ledger.account(ALICE, "EUR"), await self.ledger.account(to, "EUR", kind)
        (outcome,) = await self.ledger.execute(
            [Transfer(name, alice.id, other.id, eur(minor), "payment", reference, **more)]
        )
        assert outcome.done

    async def keep(self, payment: Payment) -> None:
        await self.database.write(lambda connection: store.add(connection, row_of(payment, self.sealer)))

    def payment(self, number: str, **changes: Any) -> Payment:
        proposal = Proposal(
            kind=PaymentKind.INVOICE,
            payer=ALICE,
            payee=SHOP,
            amount=eur(11_90),
            memo="for the desk",
            key=number,
            initiator=SHOP,
            expires_at=self.clock.now_ms() + 1,
            capture=Capture.BY_MERCHANT,
            lines=(Line("Lamp", eur(11_90), 1, Decimal("0.19")),),
        )
        made = proposed(proposal, number, self.clock.now_ms(), paid_before=False)
        return replace(made, state=PaymentState.PAID, **changes)


@pytest.fixture
async def desk(database: Database) -> Desk:
    desk = Desk(database)
    await desk.begin()
    return desk


def said() -> Words:
    return Words.of(English())


async def test_a_receipt_says_when_the_money_moved(desk: Desk) -> None:
    await desk.move("P1:1", 11_90, to=SHOP, reference="P1", pending=True)
    desk.clock.advance(days=1)
    await desk.ledger.execute([Post("P1:2", "P1:1")])
    moved = desk.clock.now_ms()
    desk.clock.advance(days=1)
    await desk.keep(desk.payment("P1", captured=eur(11_90), fee=eur(20), refunded=eur(5_00), moved="P1:1"))

    def refund(connection: Connection) -> None:
        store.add_refund(connection, RefundRow("P1", "r", eur(5_00).minor, 0, "", "P1:3", b"", desk.clock.now_ms()))

    await desk.database.write(refund)
    receipt = await desk.receipts.get(" p1 ", ALICE, {SHOP: "The shop"})
    assert (receipt.at, receipt.total, receipt.fee, receipt.reference) == (moved, eur(11_90), None, "for the desk")
    assert [(each.at, each.amount) for each in receipt.refunds] == [(desk.clock.now_ms(), eur(5_00))]
    assert "To: The shop (bot:shop)" in receipt_text(receipt, said())
    assert (await desk.receipts.get("P1", SHOP)).fee == eur(20)
    assert (await desk.receipts.pdf(receipt, said())).startswith(b"%PDF-")


async def test_others_and_what_is_not_paid_have_no_receipt(desk: Desk) -> None:
    await desk.keep(desk.payment("P1", captured=eur(11_90)))
    await desk.keep(desk.payment("P2"))
    for number, person in (("P1", BOB), ("P9", ALICE), ("", ALICE)):
        with pytest.raises(NoReceipt, match="no receipt of that number for you"):
            await desk.receipts.get(number, person)
    with pytest.raises(NoReceipt, match="Nothing has been paid"):
        await desk.receipts.get("P2", ALICE)
    assert (await desk.receipts.latest(ALICE)).id == "P1"
    with pytest.raises(NoReceipt, match="Nothing has been paid"):
        await desk.receipts.latest(BOB)


async def test_a_statement_of_a_month(desk: Desk) -> None:
    await desk.keep(desk.payment("P1", captured=eur(11_90)))
    await desk.move("P1:1", 11_90, to=SHOP, reference="P1")
    desk.clock.advance(days=31)
    await desk.move("P2:1", 8_10, reference="P2")
    (january,) = await desk.statements.month(ALICE, JANUARY, UTC)
    assert (january.opening, january.closing) == (eur(0), eur(88_10))
    assert [(each.kind, each.amount, each.description) for each in january.lines] == [
        ("top_up", eur(100_00), ""),
        ("payment", eur(-11_90), "for the desk"),
    ]
    (february,) = await desk.statements.month(ALICE, FEBRUARY, UTC)
    assert (february.opening, february.closing, len(february.lines)) == (eur(88_10), eur(80_00), 1)
    assert february.lines[0].counterpart == BOB
    (march,) = await desk.statements.month(ALICE, Month(2026, 3), UTC)
    assert (march.opening, march.closing, march.lines) == (eur(80_00), eur(80_00), ())
    assert "Nothing moved in March 2026." in statement_text(march, said())
    assert await desk.statements.month(BOB, JANUARY, UTC) == ()


async def test_a_statement_is_read_page_by_page(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    for number in range(8):
        await desk.move(f"P{number}:1", number + 1)
    (made,) = await desk.statements.month(ALICE, JANUARY, UTC)
    assert [each.amount.minor for each in made.lines] == [100_00, *(-number - 1 for number in range(8))]
    monkeypatch.setattr(module, "LINES_MAX", 6)
    with pytest.raises(module.StatementError, match="more than 6 movements"):
        await desk.statements.month(ALICE, JANUARY, UTC)


async def test_a_month_begins_and_ends_where_the_person_is(desk: Desk) -> None:
    desk.clock.set(datetime(2026, 1, 31, 23, 30, tzinfo=UTC))
    await desk.move("P1:1", 1_00)
    zone = timezone(timedelta(hours=1))
    (january,) = await desk.statements.month(ALICE, JANUARY, zone)
    (february,) = await desk.statements.month(ALICE, FEBRUARY, zone)
    assert [len(each.lines) for each in (january, february)] == [1, 1]
    (there,) = await desk.statements.month(ALICE, JANUARY, UTC)
    assert len(there.lines) == 2
