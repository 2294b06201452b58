"""Carts: what somebody wants to buy, of one or several merchants. Versioned, so that two hands do not undo each other.

A cart remembers the price that was shown for each line. What is bought is priced anew (:func:`priced`); where a price
has changed, or something is gone, the buyer sees the order again before it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from bots.domain.catalogue import CatalogueError, Choice, Product, chosen_price, price_at
from bots.domain.errors import DomainError
from bots.domain.money import Money

__all__ = ["MESSAGES", "Cart", "CartError", "CartLine", "Change", "Priced", "priced"]

LINES_MAX: Final = 100
QUANTITY_MAX: Final = 999
NOTE_MAX: Final = 300

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cart.changed": "The cart was changed meanwhile. This is how it stands now.",
        "cart.full": "A cart has at most {most} lines.",
        "cart.quantity": "A quantity is a whole number from 1 to {most}.",
        "cart.note": "A note has at most {most} characters.",
        "cart.no_line": "The cart has no line {number}.",
        "cart.empty": "The cart is empty.",
        "cart.elsewhere": "You order together at another merchant.",
        "cart.not_yours": "That is somebody else's: only they can change it.",
        "cart.gone": "“{name}” cannot be had any more.",
        "cart.unknown": "Something in the cart cannot be had any more.",
        "cart.price": "“{name}” costs {price} now.",
        "cart.stock": "Of “{name}” there are only {left} left.",
        "cart.sold_out": "“{name}” is sold out.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class CartError(DomainError):
    """Something that cannot be done with a cart."""

    messages = MESSAGES


@dataclass(frozen=True, slots=True)
class CartLine:
    """So many of a variant with the same extras.

    Attributes:
        merchant: id.
        product: key.
        variant: key.
        person: who added it, in the cart of a group; empty: the owner of the cart.
        note: to the merchant.
        shown: the price of one, extras included, as the person saw it last.
    """

    merchant: str
    product: str
    variant: str
    quantity: int
    choices: tuple[Choice, ...] = ()
    person: str = ""
    note: str = ""
    shown: Money | None = None

    def __post_init__(self) -> None:
        if type(self.quantity) is not int or not 1 <= self.quantity <= QUANTITY_MAX:
            raise CartError("cart.quantity", most=QUANTITY_MAX)
        if len(self.note) > NOTE_MAX:
            raise CartError("cart.note", most=NOTE_MAX)
        object.__setattr__(self, "choices", tuple(sorted(self.choices)))

    @property
    def same(self) -> tuple[Any, ...]:
        """Equal for lines that are one line with more of it."""
        return self.merchant, self.product, self.variant, self.choices, self.person, self.note


@dataclass(frozen=True, slots=True)
class Cart:
    """What is wanted. Every change is a new version; :meth:`at` refuses a change to one that was not seen."""

    lines: tuple[CartLine, ...] = ()
    version: int = 0

    def __post_init__(self) -> None:
        if len(self.lines) > LINES_MAX:
            raise CartError("cart.full", most=LINES_MAX)

    def at(self, version: int) -> Cart:
        """This cart, if it is of that version. Raises CartError."""
        if version != self.version:
            raise CartError("cart.changed")
        return self

    def add(self, line: CartLine) -> Cart:
        """With one more line, or more of one that is there; the price shown last counts. Raises CartError."""
        for index, there in enumerate(self.lines):
            if there.same == line.same:
                more = replace(there, quantity=there.quantity + line.quantity, shown=line.shown)
                return self._with(index, more)
        return Cart((*self.lines, line), self.version + 1)

    def set_quantity(self, number: int, quantity: int) -> Cart:
        """So many of a line (from 1); nought takes it out. Raises CartError."""
        line = self.line(number)
        if quantity == 0:
            return self.remove(number)
        return self._with(number - 1, replace(line, quantity=quantity))

    def remove(self, number: int) -> Cart:
        """Without a line (from 1). Raises CartError."""
        self.line(number)
        return Cart(self.lines[: number - 1] + self.lines[number:], self.version + 1)

    def without(self, merchant: str, person: str | None = None) -> Cart:
        """Without the lines of a merchant, or of one person's."""
        left = tuple(
            line for line in self.lines if line.merchant != merchant or (person is not None and line.person != person)
        )
        return self if left == self.lines else Cart(left, self.version + 1)

    def seen(self, prices: Mapping[int, Money]) -> Cart:
        """With the prices that were shown, by the index of the line: no new version, nothing else changes."""
        lines = tuple(
            replace(line, shown=prices[index]) if index in prices else line for index, line in enumerate(self.lines)
        )
        return replace(self, lines=lines)

    def line(self, number: int) -> CartLine:
        """A line by its number, from 1. Raises CartError."""
        if not 1 <= number <= len(self.lines):
            raise CartError("cart.no_line", number=number)
        return self.lines[number - 1]

    @property
    def merchants(self) -> tuple[str, ...]:
        """Whose lines they are, in the order in which they came."""
        return tuple(dict.fromkeys(line.merchant for line in self.lines))

    def _with(self, index: int, line: CartLine) -> Cart:
        return Cart((*self.lines[:index], line, *self.lines[index + 1 :]), self.version + 1)


@dataclass(frozen=True, slots=True)
class Priced:
    """A line as it is now.

    Attributes:
        index: of the line in the cart.
        name: what it is, extras included.
        price: of one, extras included; None: it cannot be had.
        problem: why not, or None.
        extras: the names of the extras.
        price_list: the one that makes it cheaper for this buyer; empty: the price is everybody's.
        usual: what others pay for one, extras included, where a price list makes it cheaper.
    """

    index: int
    line: CartLine
    name: str
    price: Money | None
    problem: CatalogueError | None = None
    extras: tuple[str, ...] = ()
    tax: Any = None
    price_list: str = ""
    usual: Money | None = None

    @property
    def total(self) -> Money | None:
        """Of the line."""
        return None if self.price is None else self.price * self.line.quantity

    @property
    def change(self) -> Change | None:
        """What is not as the person saw it."""
        if self.price is None:
            return Change(self, "gone")
        shown = self.line.shown
        if shown is None or shown == self.price:
            return None
        # In another currency nothing is known to be cheaper.
        cheaper = shown.currency == self.price.currency and self.price < shown
        return Change(self, "cheaper" if cheaper else "dearer")


@dataclass(frozen=True, slots=True)
class Change:
    """Something that the buyer must see before it counts. ``kind``: gone, dearer or cheaper."""

    priced: Priced
    kind: str


def priced(
    cart: Cart, find: Callable[[str, str], Product | None], at: datetime, *, tier: Callable[[str], str] = lambda _: ""
) -> list[Priced]:
    """The lines of a cart with their prices now.

    Args:
        find: the product of a merchant by its key, None when it is gone; what is not active counts as gone.
        at: now (aware).
        tier: the price list that the buyer is on with a merchant.
    """
    found = []
    for index, line in enumerate(cart.lines):
        product = find(line.merchant, line.product)
        variant = None if product is None else product.variant(line.variant)
        if product is None or variant is None or not product.active:
            found.append(Priced(index, line, "" if product is None else product.name, None))
            continue
        of_variant = sum(
            each.quantity
            for each in cart.lines
            if (each.merchant, each.product, each.variant) == (line.merchant, line.product, line.variant)
        )
        listed = tier(line.merchant)
        base = price_at(variant, at, tier=listed, quantity=of_variant)
        usual = price_at(variant, at, quantity=of_variant)
        name = product.label(variant)
        try:
            price, extras = chosen_price(product, base, line.choices)
        except CatalogueError as problem:
            found.append(Priced(index, line, name, None, problem))
            continue
        names = tuple(extra.name for extra in extras)
        own = base < usual
        found.append(
            Priced(
                index, line, name, price, None, names, product.tax, listed if own else "",
                price + (usual - base) if own else None,
            )
        )  # fmt: skip
    return found
