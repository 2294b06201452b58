"""Coupons: what is taken off an order, for whom and how often."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from bots.domain.errors import DomainError
from bots.domain.invoices import rounded
from bots.domain.money import Money

__all__ = ["MESSAGES", "Coupon", "CouponError", "Uses", "canonical_code"]

CODE: Final = re.compile(r"[A-Z0-9-]{3,32}")

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "coupon.invalid": "A coupon takes off a part from 1 to 100 percent, or an amount.",
        "coupon.code": "A coupon's code has 3 to 32 letters, digits and dashes.",
        "coupon.unknown": "There is no such coupon here.",
        "coupon.not_yet": "This coupon is valid from {date} on.",
        "coupon.over": "This coupon is not valid any more.",
        "coupon.minimum": "This coupon is for orders of {minimum} and more.",
        "coupon.used": "You have used this coupon already.",
        "coupon.gone": "This coupon has been used up.",
        "coupon.currency": "This coupon is for orders in {currency}.",
        "coupon.first": "This coupon is for a first order.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class CouponError(DomainError):
    """A coupon that cannot be, or does not count here."""

    messages = MESSAGES


def canonical_code(text: str) -> str:
    """As codes are compared. Raises CouponError."""
    code = text.strip().upper().replace("_", "-").replace(" ", "")
    if not CODE.fullmatch(code):
        raise CouponError("coupon.code")
    return code


@dataclass(frozen=True, slots=True)
class Uses:
    """How often a coupon was used: in all, by this person, and how many orders the person has had here."""

    total: int = 0
    person: int = 0
    orders: int = 0


@dataclass(frozen=True, slots=True)
class Coupon:
    """Takes ``percent`` or ``amount`` off the goods of one merchant.

    Attributes:
        most: of a percentage, no more than this.
        minimum: goods of this worth at least.
        uses: in all; None: without end.
        uses_each: by one person.
        first_order: only for who has ordered nothing here yet.
    """

    code: str
    percent: int | None = None
    amount: Money | None = None
    most: Money | None = None
    minimum: Money | None = None
    since: datetime | None = None
    until: datetime | None = None
    uses: int | None = None
    uses_each: int = 1
    first_order: bool = False

    def __post_init__(self) -> None:
        if not CODE.fullmatch(self.code):
            raise CouponError("coupon.code")
        by_percent = self.percent is not None and 1 <= self.percent <= 100
        by_amount = self.amount is not None and self.amount.minor > 0
        if by_percent == by_amount or (self.percent is not None and self.amount is not None):
            raise CouponError("coupon.invalid")
        if self.uses_each < 1 or (self.uses is not None and self.uses < 1):
            raise CouponError("coupon.invalid")
        if len({money.currency for money in (self.amount, self.most, self.minimum) if money is not None}) > 1:
            raise CouponError("coupon.invalid")

    def discount(self, goods: Money, at: datetime, uses: Uses) -> Money:
        """What it takes off goods of this worth at a moment (aware). Raises CouponError: it does not count."""
        if self.since is not None and at < self.since:
            raise CouponError("coupon.not_yet", date=self.since)
        if self.until is not None and at >= self.until:
            raise CouponError("coupon.over")
        if uses.person >= self.uses_each:
            raise CouponError("coupon.used")
        if self.uses is not None and uses.total >= self.uses:
            raise CouponError("coupon.gone")
        if self.first_order and uses.orders:
            raise CouponError("coupon.first")
        for money in (self.amount, self.minimum, self.most):
            if money is not None and money.currency != goods.currency:
                raise CouponError("coupon.currency", currency=money.currency)
        if self.minimum is not None and goods < self.minimum:
            raise CouponError("coupon.minimum", minimum=self.minimum)
        if self.amount is not None:
            return min(self.amount, goods)
        assert self.percent is not None
        off = rounded(goods, Fraction(self.percent, 100))
        return off if self.most is None else min(off, self.most)
