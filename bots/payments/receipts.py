"""Receipts in a person's language: the rows of one, its short form for the chat, and where they come from."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from appservice.database import Database
from appservice.errors import RialtoError
from appservice.sealing import Sealer
from bots.domain.money import Money
from bots.domain.receipts import KINDS, MESSAGES, Party, Receipt, RefundLine, receipt_of
from bots.framework.clock import from_ms
from bots.framework.i18n import English, Formats, Translator
from bots.payments.records import payment_of
from bots.store import payments as payments_store
from bots.store import receipts as store

__all__ = ["Item", "NoReceipt", "Receipts", "Row", "Sheet", "Words", "receipt_text", "sheet_of"]


class NoReceipt(RialtoError):
    """There is no such receipt for this person. ``msgid`` is the sentence for people."""

    code = "no_receipt"

    def __init__(self, code: str) -> None:
        self.msgid = MESSAGES[code]
        super().__init__(English().t(self.msgid), reason=code)


class Receipts:
    """The receipts of what was paid, for the two who paid and were paid."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        """
        Args:
            sealer: with the purpose ``payments``.
        """
        self._database = database
        self._sealer = sealer

    async def get(self, number: str, person: str, names: Mapping[str, str] | None = None) -> Receipt:
        """The receipt of a payment by its number, for its payer or its payee (who reads of the fee too).

        Args:
            number: the payment's id, in any case.
            person: a user id, or a merchant's account: ``bot:INSTANCE[/SUB]``.
            names: what people call themselves, by id.

        Raises:
            NoReceipt: there is none, it is not theirs, or nothing was paid.
        """
        wanted = number.strip().upper()
        return await self._database.read(lambda connection: self._read(connection, wanted, person, names or {}))

    async def latest(self, person: str, names: Mapping[str, str] | None = None) -> Receipt:
        """The receipt of the last payment that a person made or got.

        Raises:
            NoReceipt: there was none.
        """

        def work(connection: Connection) -> Receipt:
            payment_id = store.last_paid(connection, person)
            if payment_id is None:
                raise NoReceipt("receipt.nothing_paid")
            return self._read(connection, payment_id, person, names or {})

        return await self._database.read(work)

    async def pdf(self, receipt: Receipt, words: Words) -> bytes:
        """The receipt as a file, ``application/pdf``."""
        from bots.payments.receipt_pdf import receipt_pdf  # which imports this module

        return await asyncio.to_thread(receipt_pdf, sheet_of(receipt, words), words)

    def _read(self, connection: Connection, payment_id: str, person: str, names: Mapping[str, str]) -> Receipt:
        row = payments_store.get(connection, payment_id)
        if row is None or person not in {row["payer"], row["payee"]}:
            raise NoReceipt("receipt.none")
        payment = payment_of(dict(row), self._sealer)
        if not payment.captured:
            raise NoReceipt("receipt.nothing_paid")
        currency = payment.amount.currency
        rows = payments_store.refunds(connection, payment.id)
        refunds = tuple(RefundLine(each.at, Money(each.amount, currency)) for each in rows)
        moved = store.moved_at(connection, payment.moved)
        return receipt_of(
            payment,
            at=moved if moved is not None else payment.updated_at,
            audience="payee" if person == payment.payee and person != payment.payer else "payer",
            names=names,
            refunds=refunds,
        )


@dataclass(frozen=True, slots=True)
class Words:
    """How a reader's language says it: texts by ``translator``, amounts and dates by ``formats``."""

    translator: Translator
    formats: Formats

    @classmethod
    def of(cls, translator: Translator) -> Words:
        """With the translator's own formats (:class:`bots.framework.i18n.Translation` has them)."""
        formats = getattr(translator, "formats", None)
        return cls(translator, formats if isinstance(formats, Formats) else Formats(translator.language))

    def __call__(self, code: str, **values: Any) -> str:
        """The text of a message. Amounts, dates and rates among the values are written as the language does."""
        return self.translator.t(MESSAGES[code], **{key: self.written(value) for key, value in values.items()})

    def written(self, value: Any) -> str:
        """An amount, a date or a number."""
        return self.formats.money(value) if isinstance(value, Money) else self.formats.value(value)

    def kind(self, kind: str) -> str:
        """What sort of payment or transfer it is."""
        return self(KINDS.get(kind, "kind.other"))

    def moment(self, at: int) -> str:
        """A point in time (ms since the epoch), in the reader's zone."""
        return self.formats.datetime(from_ms(at))

    def zone(self, at: int) -> str:
        """What the reader's zone is called then: ``UTC``, ``CET``."""
        return from_ms(at).astimezone(self.formats.zone).tzname() or "UTC"


@dataclass(frozen=True, slots=True)
class Item:
    """A thing that was bought. ``detail``: how many at which price; empty where it says nothing new."""

    name: str
    detail: str
    amount: str


@dataclass(frozen=True, slots=True)
class Row:
    """A name and its amount or text. ``strong``: a sum to be seen."""

    label: str
    value: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """Everything that stands on a receipt, in words."""

    id: str
    made_at: datetime
    language: str
    title: str
    heading: str
    total: str
    paid: str
    notice: str
    facts: tuple[Row, ...]
    items: tuple[Item, ...]
    sums: tuple[Row, ...]


def sheet_of(receipt: Receipt, words: Words) -> Sheet:
    """A receipt in a reader's language."""
    notice = ""
    if receipt.refunds:
        notice = words("receipt.partly_refunded" if receipt.remaining else "receipt.refunded")
    return Sheet(
        id=receipt.id,
        made_at=from_ms(receipt.at),
        language=words.translator.language,
        title=words("receipt.title"),
        heading=receipt.payee.name or receipt.payee.id,
        total=words.written(receipt.total),
        paid=words("receipt.paid", at=words.moment(receipt.at), zone=words.zone(receipt.at)),
        notice=notice,
        facts=_facts(receipt, words),
        items=tuple(
            Item(
                line.name,
                words("receipt.quantity", count=line.quantity, price=line.price) if line.quantity > 1 else "",
                words.written(line.amount),
            )
            for line in receipt.lines
        ),
        sums=tuple(_sums(receipt, words)),
    )


def receipt_text(receipt: Receipt, words: Words) -> str:
    """The short form for the chat, lines of plain text."""
    sheet = sheet_of(receipt, words)
    lines = [words("receipt.number", id=receipt.id), sheet.paid]
    lines += [f"{row.label}: {row.value}" for row in sheet.facts if row.label != words("receipt.id")]
    for item in sheet.items:
        lines.append(f"• {item.name}{f', {item.detail}' if item.detail else ''}: {item.amount}")
    lines += [f"{row.label}: {row.value}" for row in sheet.sums]
    return "\n".join(lines + ([sheet.notice] if sheet.notice else []))


def _facts(receipt: Receipt, words: Words) -> tuple[Row, ...]:
    rows = [
        Row(words("receipt.kind"), words.kind(receipt.kind)),
        Row(words("receipt.from"), _party(receipt.payer)),
        Row(words("receipt.to"), _party(receipt.payee)),
    ]
    if receipt.reference:
        rows.append(Row(words("receipt.for"), receipt.reference))
    return (*rows, Row(words("receipt.id"), receipt.id))


def _sums(receipt: Receipt, words: Words) -> list[Row]:
    money = words.written
    rows: list[Row] = []
    if receipt.lines and (receipt.discount or receipt.tip or (receipt.taxes and not receipt.inclusive)):
        subtotal = sum((line.amount for line in receipt.lines), Money.zero(receipt.total.currency))
        rows.append(Row(words("receipt.subtotal"), money(subtotal)))
    if receipt.discount:
        rows.append(Row(words("receipt.discount"), money(-receipt.discount)))
    taxes = [
        Row(
            words(
                "receipt.tax_included" if receipt.inclusive else "receipt.tax", rate=_rate(tax.rate, words), net=tax.net
            ),
            money(tax.tax),
        )
        for tax in receipt.taxes
    ]
    rows += [] if receipt.inclusive else taxes
    if receipt.tip:
        rows.append(Row(words("receipt.tip"), money(receipt.tip)))
    rows.append(Row(words("receipt.total"), money(receipt.total), strong=True))
    rows += taxes if receipt.inclusive else []
    if receipt.received is not None:
        rows.append(Row(words("receipt.received"), money(receipt.received), strong=True))
    for refund in receipt.refunds:
        rows.append(Row(words("receipt.refund", at=words.formats.date(from_ms(refund.at))), money(-refund.amount)))
    if receipt.refunds:
        rows.append(Row(words("receipt.after_refunds"), money(receipt.remaining), strong=True))
    if receipt.fee:
        rows.append(Row(words("receipt.fee"), money(-receipt.fee)))
        rows.append(Row(words("receipt.after_fee"), money(receipt.remaining - receipt.fee), strong=True))
    return rows


def _rate(rate: Any, words: Words) -> str:
    return words.formats.percent(rate)


def _party(party: Party) -> str:
    # Ids of other servers may hold line breaks (specification, "Historical User IDs").
    return " ".join((f"{party.name} ({party.id})" if party.name and party.name != party.id else party.id).split())
