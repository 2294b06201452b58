"""What is sold: products with variants, modifiers, tax and stock, in categories. Pure.

A product has at least one variant, which is what is bought and what stock is of: a shirt in M, a pizza of 30 cm. Where
there is one variant, people do not see it. Modifiers change one line: extra cheese, no onions, engraved.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from bots.domain.errors import DomainError
from bots.domain.money import Money

__all__ = [
    "MESSAGES",
    "CatalogueError",
    "Category",
    "Choice",
    "Modifier",
    "ModifierGroup",
    "PriceRule",
    "Product",
    "Stock",
    "StockKind",
    "Variant",
    "below",
    "chosen_price",
    "price_at",
    "price_list_name",
]

NAME_MAX: Final = 120
DESCRIPTION_MAX: Final = 4_000
VARIANTS_MAX: Final = 100
GROUPS_MAX: Final = 20
OPTIONS_MAX: Final = 50
IMAGES_MAX: Final = 10
STOCK_MAX: Final = 1_000_000_000
PRICE_LIST_MAX: Final = 40
KEY: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""Of categories, products, variants, groups and modifiers: chosen by the merchant, or made from the name."""

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "catalogue.key": "A key is 1 to 64 small letters, digits, dots, dashes and underscores, not “{key}”.",
        "catalogue.name": "A name has 1 to {most} characters.",
        "catalogue.description": "A description has at most {most} characters.",
        "catalogue.variants": "A product has 1 to {most} variants, each with a key of its own.",
        "catalogue.groups": "A product has at most {most} groups of extras, each with a key of its own.",
        "catalogue.options": "A group has 1 to {most} extras, each with a key of its own.",
        "catalogue.images": "A product has at most {most} images.",
        "catalogue.price": "A price is not below nought, and all prices of a product are in one currency.",
        "catalogue.tax": "A tax rate is a part of one, from 0 to below 10, with six decimals at most.",
        "catalogue.range": "“{group}”: at least {least} and at most {most} of {count} cannot be chosen.",
        "catalogue.stock": "A stock is a whole number from 0 to {most}.",
        "catalogue.parent": "A category cannot lie in itself.",
        "catalogue.too_few": "Please choose at least {least} of “{group}”.",
        "catalogue.too_many": "Please choose at most {most} of “{group}”.",
        "catalogue.no_such_variant": "Please choose one of those that are offered.",
        "catalogue.no_such_modifier": "“{modifier}” is not offered with this.",
        "catalogue.modifier_gone": "“{modifier}” is not available at the moment.",
        "catalogue.price_list": "A price list's name has 1 to {most} letters, digits, blanks and dashes.",
        "catalogue.negative": "Extras cannot make the price fall below nought.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class CatalogueError(DomainError):
    """Something that cannot be sold so."""

    messages = MESSAGES


def _checked(key: str, name: str) -> None:
    if not KEY.fullmatch(key):
        raise CatalogueError("catalogue.key", key=key[:70])
    if not name.strip() or len(name) > NAME_MAX:
        raise CatalogueError("catalogue.name", most=NAME_MAX)


def _different(keys: Sequence[str]) -> bool:
    return len(set(keys)) == len(keys)


@dataclass(frozen=True, slots=True)
class Category:
    """A shelf. ``parent``: the key of the one it lies in; empty: none."""

    key: str
    name: str
    parent: str = ""
    position: int = 0

    def __post_init__(self) -> None:
        _checked(self.key, self.name)
        if self.parent == self.key:
            raise CatalogueError("catalogue.parent")


class StockKind(StrEnum):
    """How much there is of something."""

    UNLIMITED = "unlimited"
    FINITE = "finite"
    BY_SLOT = "by_slot"
    """So many for each time slot: of places on a course, of pizzas in half an hour."""


@dataclass(frozen=True, slots=True)
class Stock:
    """How much there is of a variant: ``count`` in all, or in each slot of ``slot_minutes``."""

    kind: StockKind = StockKind.UNLIMITED
    count: int = 0
    slot_minutes: int = 0

    def __post_init__(self) -> None:
        if type(self.count) is not int or not 0 <= self.count <= STOCK_MAX:
            raise CatalogueError("catalogue.stock", most=STOCK_MAX)
        if (self.kind is StockKind.BY_SLOT) != (0 < self.slot_minutes <= 1440):
            raise CatalogueError("catalogue.stock", most=STOCK_MAX)

    @classmethod
    def of(cls, count: int | None) -> Stock:
        """So many; None: without end."""
        return cls() if count is None else cls(StockKind.FINITE, count)

    def slot_of(self, at: datetime) -> str:
        """The slot that a moment lies in: its beginning, ISO 8601 in UTC; empty where stock has none."""
        if self.kind is not StockKind.BY_SLOT:
            return ""
        seconds = self.slot_minutes * 60
        begin = int(at.timestamp()) // seconds * seconds
        return datetime.fromtimestamp(begin, UTC).isoformat()


def price_list_name(text: str) -> str:
    """The name of a price list as names are compared: in small letters. Raises CatalogueError."""
    name = " ".join(text.casefold().split())
    if not 1 <= len(name) <= PRICE_LIST_MAX or not all(each.isalnum() or each in " -_.&" for each in name):
        raise CatalogueError("catalogue.price_list", most=PRICE_LIST_MAX)
    return name


@dataclass(frozen=True, slots=True)
class PriceRule:
    """Another price for a while, or for a kind of buyer (a price list).

    Attributes:
        price: instead of the variant's; the lowest that applies counts.
        since: from then on (aware); None: always.
        until: before then.
        tier: the price list that a buyer must be on, by its name (:func:`price_list_name`); empty: everybody.
        least: from so many of the variant on.
    """

    price: Money
    since: datetime | None = None
    until: datetime | None = None
    tier: str = ""
    least: int = 1

    def __post_init__(self) -> None:
        if self.price.minor < 0 or self.least < 1:
            raise CatalogueError("catalogue.price")
        if self.tier:
            object.__setattr__(self, "tier", price_list_name(self.tier))


@dataclass(frozen=True, slots=True)
class Variant:
    """What is bought."""

    key: str
    name: str
    price: Money
    stock: Stock = Stock()
    rules: tuple[PriceRule, ...] = ()

    def __post_init__(self) -> None:
        _checked(self.key, self.name)
        if self.price.minor < 0 or any(rule.price.currency != self.price.currency for rule in self.rules):
            raise CatalogueError("catalogue.price")


@dataclass(frozen=True, slots=True)
class Modifier:
    """One extra; ``price`` is added for each of the line, and may be below nought."""

    key: str
    name: str
    price: Money
    available: bool = True

    def __post_init__(self) -> None:
        _checked(self.key, self.name)


@dataclass(frozen=True, slots=True)
class ModifierGroup:
    """Extras of which ``least`` to ``most`` are chosen: required when ``least`` is one or more."""

    key: str
    name: str
    options: tuple[Modifier, ...]
    least: int = 0
    most: int = 1

    def __post_init__(self) -> None:
        _checked(self.key, self.name)
        if not 1 <= len(self.options) <= OPTIONS_MAX or not _different([option.key for option in self.options]):
            raise CatalogueError("catalogue.options", most=OPTIONS_MAX)
        if not 0 <= self.least <= self.most <= len(self.options) or self.most < 1:
            raise CatalogueError(
                "catalogue.range", group=self.name, least=self.least, most=self.most, count=len(self.options)
            )


@dataclass(frozen=True, slots=True)
class Product:
    """What a merchant sells.

    Attributes:
        key: of its merchant's own.
        tax: the rate, a part of one; prices hold it.
        categories: keys.
        images: ``mxc://`` addresses; the first stands on the card.
        picture: where its picture lies on the web, of a catalogue that is kept elsewhere; empty: there is none.
        language: BCP 47, of name and description; empty: unknown.
        weight_g: grams, for delivery.
        active: whether it is sold at the moment.
    """

    key: str
    name: str
    variants: tuple[Variant, ...]
    description: str = ""
    categories: tuple[str, ...] = ()
    groups: tuple[ModifierGroup, ...] = ()
    images: tuple[str, ...] = ()
    tax: Decimal = Decimal(0)
    language: str = ""
    weight_g: int = 0
    active: bool = True
    picture: str = ""

    def __post_init__(self) -> None:
        _checked(self.key, self.name)
        if len(self.description) > DESCRIPTION_MAX:
            raise CatalogueError("catalogue.description", most=DESCRIPTION_MAX)
        if not 1 <= len(self.variants) <= VARIANTS_MAX or not _different([each.key for each in self.variants]):
            raise CatalogueError("catalogue.variants", most=VARIANTS_MAX)
        if len(self.groups) > GROUPS_MAX or not _different([group.key for group in self.groups]):
            raise CatalogueError("catalogue.groups", most=GROUPS_MAX)
        if len(self.images) > IMAGES_MAX or not all(image.startswith("mxc://") for image in self.images):
            raise CatalogueError("catalogue.images", most=IMAGES_MAX)
        if not self.tax.is_finite() or not 0 <= self.tax < 10 or int(self.tax.as_tuple().exponent) < -6:
            raise CatalogueError("catalogue.tax")
        prices = [*(each.price for each in self.variants), *(o.price for group in self.groups for o in group.options)]
        if {price.currency for price in prices} != {self.currency}:
            raise CatalogueError("catalogue.price")

    @property
    def currency(self) -> str:
        """Of all its prices."""
        return self.variants[0].price.currency

    @property
    def price_lists(self) -> frozenset[str]:
        """Those that something of it has another price on."""
        return frozenset(rule.tier for each in self.variants for rule in each.rules if rule.tier)

    def variant(self, key: str) -> Variant | None:
        """One of its variants."""
        return next((each for each in self.variants if each.key == key), None)

    def group(self, key: str) -> ModifierGroup | None:
        """One of its groups of extras."""
        return next((each for each in self.groups if each.key == key), None)

    def label(self, variant: Variant) -> str:
        """As a line of a cart names it."""
        return self.name if len(self.variants) == 1 else f"{self.name}, {variant.name}"


@dataclass(frozen=True, slots=True, order=True)
class Choice:
    """One extra that was chosen: the keys of its group and of itself."""

    group: str
    modifier: str


def below(key: str, categories: Sequence[Category]) -> frozenset[str]:
    """A category's key and those of all that lies in it.

    Raises:
        CatalogueError: it lies in itself, however deep.
    """
    inside: dict[str, list[str]] = {}
    for category in categories:
        inside.setdefault(category.parent, []).append(category.key)
    found, look = {key}, [key]
    while look:
        for inner in inside.get(look.pop(), ()):
            if inner == key:
                raise CatalogueError("catalogue.parent")
            if inner not in found:
                found.add(inner)
                look.append(inner)
    return frozenset(found)


def price_at(variant: Variant, at: datetime, *, tier: str = "", quantity: int = 1) -> Money:
    """The price of one variant at a moment (aware), for a buyer of a price list, and so many of it.

    Args:
        tier: the name of the price list; empty: what everybody pays.
    """
    prices = [variant.price]
    for rule in variant.rules:
        running = (rule.since is None or rule.since <= at) and (rule.until is None or at < rule.until)
        if running and rule.tier in {"", tier} and quantity >= rule.least:
            prices.append(rule.price)
    return min(prices)


def chosen_price(product: Product, price: Money, choices: Sequence[Choice]) -> tuple[Money, tuple[Modifier, ...]]:
    """What one of a line costs with its extras, and the extras in the order of the product.

    Args:
        price: of the variant: :func:`price_at`.
        choices: in any order; none twice.

    Raises:
        CatalogueError: too few or too many of a group, or one that is not offered.
    """
    wanted = set(choices)
    known = {Choice(group.key, each.key): (group, each) for group in product.groups for each in group.options}
    strange = next((each for each in choices if each not in known), None)
    if strange is not None or len(wanted) != len(choices):
        raise CatalogueError("catalogue.no_such_modifier", modifier=(strange or choices[0]).modifier)
    total, taken = price, []
    for group in product.groups:
        chosen = [each for each in group.options if Choice(group.key, each.key) in wanted]
        if len(chosen) < group.least:
            raise CatalogueError("catalogue.too_few", group=group.name, least=group.least)
        if len(chosen) > group.most:
            raise CatalogueError("catalogue.too_many", group=group.name, most=group.most)
        for each in chosen:
            if not each.available:
                raise CatalogueError("catalogue.modifier_gone", modifier=each.name)
            total += each.price
            taken.append(each)
    if total.minor < 0:
        raise CatalogueError("catalogue.negative")
    return total, tuple(taken)
