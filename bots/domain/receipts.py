"""Receipts and statements as facts: what moved, between whom, with which tax. How they look is elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from bots.domain.invoices import Line, TaxLine
from bots.domain.money import Money
from bots.domain.payments import Payment, PaymentKind

__all__ = ["KINDS", "MESSAGES", "Audience", "Party", "Receipt", "RefundLine", "receipt_of"]

Audience = Literal["payer", "payee"]

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "receipt.title": "Receipt",
        "receipt.number": "Receipt {id}",
        "receipt.paid": "Paid {at} ({zone})",
        "receipt.refunded": "Refunded in full",
        "receipt.partly_refunded": "Refunded in part",
        "receipt.from": "From",
        "receipt.to": "To",
        "receipt.for": "For",
        "receipt.kind": "Kind",
        "receipt.id": "Number",
        "receipt.quantity": "{count} × {price}",
        "receipt.subtotal": "Subtotal",
        "receipt.discount": "Discount",
        "receipt.tax": "Tax {rate} on {net}",
        "receipt.tax_included": "Includes {rate} tax on {net}",
        "receipt.tip": "Tip",
        "receipt.total": "Total",
        "receipt.received": "Received",
        "receipt.refund": "Refund of {at}",
        "receipt.after_refunds": "Total after refunds",
        "receipt.fee": "Fee",
        "receipt.after_fee": "Total after fee",
        "receipt.page": "Page {page} of {pages}",
        "kind.transfer": "Payment between people",
        "kind.invoice": "Purchase",
        "kind.cash_out": "Cash-out",
        "kind.exchange": "Exchange",
        "kind.payout": "Payout",
        "kind.top_up": "Top-up",
        "kind.refund": "Refund",
        "kind.fee": "Fee",
        "kind.tip": "Tip",
        "kind.other": "Movement",
        "receipt.none": "There is no receipt of that number for you.",
        "receipt.nothing_paid": "Nothing has been paid yet, so there is no receipt.",
        "statement.title": "Statement of {period} in {currency}",
        "statement.opening": "Balance before",
        "statement.closing": "Balance after",
        "statement.in": "In",
        "statement.out": "Out",
        "statement.nothing": "Nothing moved in {period}.",
        "statement.more": "{count} more are in the file: write “csv” behind the month.",
        "statement.not_a_month": "“{given}” is not a month. Write for example “{month}” or “{number}”.",
        "statement.in_the_future": "{period} has not begun yet.",
        "statement.too_long": "{period} has more than {most} movements. Please ask the operator for it.",
    }
)
"""The words of receipts and statements: English texts with named fields, for the translator."""

KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {key.removeprefix("kind."): key for key in MESSAGES if key.startswith("kind.")}
    | {
        "payment": "kind.transfer",
        "hold": "kind.transfer",
        "capture": "kind.invoice",
        "reversal": "kind.refund",
        "opening": "kind.other",
    }
)
"""The message of a kind of payment, and of a kind of transfer in the ledger."""


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody who pays or is paid. ``name``: as they call themselves; it proves nothing, ``id`` does."""

    id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class RefundLine:
    """What was given back. ``at``: ms since the epoch."""

    at: int
    amount: Money


@dataclass(frozen=True, slots=True)
class Receipt:
    """A payment that was made. Never changes, but for refunds that come to it.

    Attributes:
        id: the payment's, and the receipt's number.
        at: when the money moved, ms since the epoch.
        kind: a key of :data:`KINDS`.
        total: what the payer paid, with everything.
        inclusive: the lines' prices hold their tax.
        fee: what the platform took of it from the payee; None: not this reader's affair, or nothing.
        received: of an exchange: what came for it.
        reference: what the payer wrote.
    """

    id: str
    at: int
    kind: str
    payer: Party
    payee: Party
    total: Money
    lines: tuple[Line, ...] = ()
    taxes: tuple[TaxLine, ...] = ()
    inclusive: bool = True
    discount: Money | None = None
    tip: Money | None = None
    fee: Money | None = None
    received: Money | None = None
    refunds: tuple[RefundLine, ...] = ()
    reference: str = ""

    def __post_init__(self) -> None:
        parts = [line.amount for line in self.lines] + [refund.amount for refund in self.refunds]
        parts += [money for money in (self.discount, self.tip, self.fee) if money is not None]
        if any(part.currency != self.total.currency or part.minor < 0 for part in parts):
            raise ValueError("the amounts of a receipt are of one currency and not below nought")
        if self.total.minor <= 0 or self.refunded > self.total or self.kind not in KINDS:
            raise ValueError("a receipt is of something that was paid, and no more than that was given back")

    @property
    def refunded(self) -> Money:
        """What was given back in all."""
        return sum((refund.amount for refund in self.refunds), Money.zero(self.total.currency))

    @property
    def remaining(self) -> Money:
        """What was paid and not given back."""
        return self.total - self.refunded


def receipt_of(
    payment: Payment,
    *,
    at: int,
    audience: Audience = "payer",
    names: Mapping[str, str] | None = None,
    refunds: tuple[RefundLine, ...] | None = None,
) -> Receipt:
    """The receipt of a payment of which something was captured.

    Args:
        payment: as it stands.
        at: when it was captured, ms since the epoch.
        audience: only the payee reads of the platform's fee.
        names: what people call themselves, by id.
        refunds: each of them; one of all that was given back, at the payment's last change, if None.

    Raises:
        ValueError: nothing was captured.
    """
    names = names or {}
    whole = payment.invoice if payment.captured == payment.amount else None
    if refunds is None:
        refunds = (RefundLine(payment.updated_at, payment.refunded),) if payment.refunded else ()
    return Receipt(
        id=payment.id,
        at=at,
        kind=payment.kind.value,
        payer=Party(payment.payer, names.get(payment.payer, "")),
        payee=Party(payment.payee, names.get(payment.payee, "")),
        total=payment.captured,
        # Of a hold that was captured in part nobody knows which lines it was for.
        lines=payment.lines if whole else (),
        taxes=tuple(each for each in whole.taxes if each.rate) if whole else (),
        inclusive=payment.inclusive,
        discount=(payment.discount or None) if whole else None,
        tip=(payment.tip or None) if whole else None,
        fee=(payment.fee or None) if audience == "payee" else None,
        received=payment.received if payment.kind is PaymentKind.EXCHANGE else None,
        refunds=refunds,
        reference=payment.memo,
    )
