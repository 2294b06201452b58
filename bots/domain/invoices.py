"""The arithmetic of invoices: lines, discount, tax per rate, tip, the platform's fee, what a refund gives back.

Whole minor units throughout, and sums always add up: what is split is split by largest remainder
(:meth:`bots.domain.money.Money.allocate`), what is a part of something is rounded half up once, and the rest is the
difference. Rates are parts of one: ``Decimal("0.19")`` is 19 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from types import MappingProxyType
from typing import Final

from bots.domain.errors import DomainError
from bots.domain.money import Money

__all__ = [
    "MESSAGES",
    "Invoice",
    "InvoiceError",
    "Line",
    "TaxLine",
    "fee_back",
    "fee_of",
    "line_refund",
    "rounded",
    "tip_in",
]

QUANTITY_MAX: Final = 1_000_000
LINES_MAX: Final = 500
TEXT_MAX: Final = 500

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "invoice.no_lines": "An invoice has at least one line.",
        "invoice.too_many_lines": "An invoice has {most} lines at most.",
        "invoice.bad_line": "A line needs a name, a quantity of one or more and a price that is not below nought.",
        "invoice.bad_tax": "A tax rate is a part of one, from 0 to below 10, with six decimals at most.",
        "invoice.mixed_currencies": "All amounts of an invoice are in one currency.",
        "invoice.discount_too_large": "The discount is larger than what it is taken off.",
        "invoice.negative": "Discounts and tips are not below nought.",
        "invoice.nothing_to_pay": "There is nothing to pay.",
        "invoice.no_such_line": "The invoice has no line {line}.",
        "invoice.line_refunded": "Of “{name}” only {left} can still be refunded.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class InvoiceError(DomainError):
    """An invoice that cannot be."""

    messages = MESSAGES


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an invoice: ``quantity`` times something at ``price`` each.

    Attributes:
        name: what it is, as the payer reads it.
        price: of one; with its tax where the invoice says so, see :class:`Invoice`.
        tax: the rate, a part of one.
        full: no discount reaches it: what a delivery costs, where a coupon takes off the goods.
    """

    name: str
    price: Money
    quantity: int = 1
    tax: Decimal = Decimal(0)
    full: bool = False

    def __post_init__(self) -> None:
        good = bool(self.name.strip()) and len(self.name) <= TEXT_MAX and self.price.minor >= 0
        if not good or type(self.quantity) is not int or not 1 <= self.quantity <= QUANTITY_MAX:
            raise InvoiceError("invoice.bad_line")
        tax = self.tax
        if not isinstance(tax, Decimal) or not tax.is_finite() or not 0 <= tax < 10:
            raise InvoiceError("invoice.bad_tax")
        if int(tax.as_tuple().exponent) < -6:
            raise InvoiceError("invoice.bad_tax")

    @property
    def amount(self) -> Money:
        """Quantity times price."""
        return self.price * self.quantity


@dataclass(frozen=True, slots=True)
class TaxLine:
    """What is taxed at one rate: ``gross`` is ``net`` and ``tax``."""

    rate: Decimal
    net: Money
    tax: Money
    gross: Money


@dataclass(frozen=True)
class Invoice:
    """What somebody is to pay for.

    Attributes:
        inclusive: prices hold their tax; otherwise it is added to them.
        discount: taken off the lines before tax, of each in proportion; of those that are ``full`` nothing.
        tip: on top, untaxed.

    Raises:
        InvoiceError: it cannot be.
    """

    lines: tuple[Line, ...]
    inclusive: bool = True
    discount: Money | None = None
    tip: Money | None = None

    def __post_init__(self) -> None:
        if not self.lines:
            raise InvoiceError("invoice.no_lines")
        if len(self.lines) > LINES_MAX:
            raise InvoiceError("invoice.too_many_lines", most=LINES_MAX)
        extras = [money for money in (self.discount, self.tip) if money is not None]
        if {money.currency for money in (*(line.price for line in self.lines), *extras)} != {self.currency}:
            raise InvoiceError("invoice.mixed_currencies")
        if any(money.minor < 0 for money in extras):
            raise InvoiceError("invoice.negative")
        if self.discount is not None and self.discount.minor > sum(self._weights):
            raise InvoiceError("invoice.discount_too_large")
        if not self.total.minor:
            raise InvoiceError("invoice.nothing_to_pay")

    @property
    def currency(self) -> str:
        """The one of all amounts."""
        return self.lines[0].price.currency

    @property
    def subtotal(self) -> Money:
        """The lines as they are priced, before discount."""
        return sum((line.amount for line in self.lines), Money.zero(self.currency))

    @property
    def _weights(self) -> list[int]:
        return [0 if line.full else line.amount.minor for line in self.lines]

    @cached_property
    def discounted(self) -> tuple[Money, ...]:
        """Each line after its part of the discount."""
        amounts = [line.amount for line in self.lines]
        if not self.discount:
            return tuple(amounts)
        parts = self.discount.allocate(self._weights)
        return tuple(amount - part for amount, part in zip(amounts, parts, strict=True))

    @cached_property
    def taxes(self) -> tuple[TaxLine, ...]:
        """Net, tax and gross of each rate, in the order in which the lines bring them. Rounded once for each rate."""
        bases: dict[Decimal, Money] = {}
        for line, amount in zip(self.lines, self.discounted, strict=True):
            rate = line.tax.normalize()
            bases[rate] = bases.get(rate, Money.zero(self.currency)) + amount
        return tuple(_taxed(rate, base, self.inclusive) for rate, base in bases.items())

    @property
    def tax(self) -> Money:
        """All of it."""
        return sum((each.tax for each in self.taxes), Money.zero(self.currency))

    @cached_property
    def gross(self) -> tuple[Money, ...]:
        """What each line costs in the end, with discount and tax: together all but the tip."""
        shares: list[Money] = [Money.zero(self.currency)] * len(self.lines)
        for each in self.taxes:
            members = [index for index, line in enumerate(self.lines) if line.tax == each.rate]
            weights = [self.discounted[index].minor for index in members]
            parts = each.gross.allocate(weights) if any(weights) else [Money.zero(self.currency)] * len(members)
            for index, part in zip(members, parts, strict=True):
                shares[index] = part
        return tuple(shares)

    @cached_property
    def total(self) -> Money:
        """What is to be paid."""
        due = sum((each.gross for each in self.taxes), Money.zero(self.currency))
        return due if self.tip is None else due + self.tip


def _taxed(rate: Decimal, base: Money, inclusive: bool) -> TaxLine:
    part = Fraction(rate)
    if inclusive:
        tax = rounded(base, part / (1 + part))
        return TaxLine(rate, base - tax, tax, base)
    tax = rounded(base, part)
    return TaxLine(rate, base, tax, base + tax)


def rounded(amount: Money, part: Fraction) -> Money:
    """A part of an amount that is not below nought, to the nearest minor unit; what lies in the middle, up."""
    exact = Fraction(amount.minor) * part
    return Money((2 * exact.numerator + exact.denominator) // (2 * exact.denominator), amount.currency)


def tip_in(captured: Money, total: Money, tip: Money | None) -> Money:
    """How much of what was captured is tip, when only a part of the total was: the tip shrinks with it."""
    if not tip:
        return Money.zero(captured.currency)
    return captured.allocate([tip.minor, total.minor - tip.minor])[0] if captured != total else tip


def fee_of(captured: Money, total: Money, tip: Money | None, rate: Fraction) -> Money:
    """What the platform takes of a captured amount: a part of it, tips excluded, and never more than it."""
    base = captured - tip_in(captured, total, tip)
    return min(rounded(base, rate), base)


def fee_back(fee: Money, captured: Money, refunded: Money) -> Money:
    """How much of the fee is given back to the merchant once ``refunded`` of ``captured`` is: in proportion, rounded
    down, so that all of it is back when everything is and never before. ``refunded`` counts all refunds together."""
    return Money(fee.minor * refunded.minor // captured.minor, fee.currency)


def line_refund(invoice: Invoice, wanted: Mapping[int, int], before: Mapping[int, int]) -> Money:
    """What so many of some lines cost, in the end: their part of discount and tax included.

    Args:
        wanted: how many, by the index of the line.
        before: how many were refunded already. Refunded one by one they give back what all at once would.

    Raises:
        InvoiceError: there is no such line, or not so many are left of it.
    """
    total = Money.zero(invoice.currency)
    for index, quantity in wanted.items():
        if not 0 <= index < len(invoice.lines):
            raise InvoiceError("invoice.no_such_line", line=index + 1)
        line, gone = invoice.lines[index], before.get(index, 0)
        if type(quantity) is not int or not 1 <= quantity <= line.quantity - gone:
            raise InvoiceError("invoice.line_refunded", name=line.name, left=line.quantity - gone)
        gross = invoice.gross[index].minor
        part = gross * (gone + quantity) // line.quantity - gross * gone // line.quantity
        total += Money(part, invoice.currency)
    return total
