"""What staff write about goods: a name with an amount behind it, groups of extras. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from bots.commerce.desk.base import clear, read_money
from bots.commerce.importing.entries import Cell
from bots.commerce.importing.problems import Problems
from bots.commerce.importing.values import Values, key_of, notation
from bots.domain.catalogue import (
    STOCK_MAX,
    CatalogueError,
    Modifier,
    ModifierGroup,
    Product,
    Variant,
)
from bots.domain.money import Money
from bots.domain.numerals import NumeralError, read_number
from bots.framework import InvalidValue, ParseEnv
from bots.framework.arguments import fold
from bots.framework.i18n import _

__all__ = ["Found", "find", "key_of", "read_group", "read_stock", "read_tax", "with_amount", "with_stock"]

UNLIMITED: Final = frozenset({"unlimited", "endless", "∞", "-", "off"})
NEAR_MAX: Final = 5
WRITTEN: Final = _("Extras are written like this: Toppings 0-3: Cheese 1.00, Olives 0.50")


@dataclass(frozen=True, slots=True)
class Found:
    """What a name means: one product, perhaps one variant of it, or the names that may be meant."""

    product: Product | None = None
    variant: Variant | None = None
    near: tuple[str, ...] = ()


def find(products: Sequence[Product], text: str) -> Found:
    """The product that a name or key means; “Name, Variant” and “Name Variant” mean one of its variants.

    ``products``: those that may be meant, the likeliest first.

    A whole name comes before the beginning of one, which counts only where it is that of one product.
    """
    wanted = fold(text)
    if not wanted:
        return Found()
    for product in products:
        if wanted in {fold(product.name), product.key}:
            return Found(product, product.variants[0] if len(product.variants) == 1 else None)
    for product in products:
        for variant in product.variants:
            names = {f"{name}{between}{fold(part)}" for name in (fold(product.name), product.key)
                     for between in (", ", " ", "/") for part in (variant.name, variant.key)}  # fmt: skip
            if wanted in names:
                return Found(product, variant)
    begun = [product for product in products if fold(product.name).startswith(wanted)]
    if len(begun) == 1:
        return Found(begun[0], begun[0].variants[0] if len(begun[0].variants) == 1 else None)
    return Found(near=tuple(product.name for product in (begun or products))[:NEAR_MAX])


def with_amount(text: str, currency: str, env: ParseEnv) -> tuple[str, Money]:
    """A name and the amount behind it: “Pizza Margherita 9.50 EUR”, “Pizza: 9,50”. Raises InvalidValue."""
    words = text.split()
    read = read_money(currency)
    problem: InvalidValue | None = None
    for count in (2, 1):
        if len(words) <= count:
            continue
        try:
            return " ".join(words[:-count]).rstrip(" :,="), read(" ".join(words[-count:]), env)
        except InvalidValue as error:
            # What was understood and is wrong says most.
            if problem is None or (error.clear and not problem.clear):
                problem = error
    raise problem or InvalidValue("desk.amount", _("Write a name and an amount, such as: Margherita 9.50"), clear=True)


def with_stock(text: str, env: ParseEnv) -> tuple[str, int | None]:
    """A name and how many there are: “Pizza 20”, “Pizza unlimited”. Raises InvalidValue."""
    words = text.split()
    if len(words) < 2:
        raise InvalidValue("desk.stock", _("Write a name and how many there are: Margherita 20, or: Margherita "
                                           "unlimited"), clear=True)  # fmt: skip
    return " ".join(words[:-1]).rstrip(" :,="), read_stock(words[-1], env)


def read_stock(text: str, env: ParseEnv) -> int | None:
    """How many there are; None: without end. Raises InvalidValue."""
    plain = text.strip().casefold()
    if plain in UNLIMITED or plain == env.translator.t("unlimited").casefold():
        return None
    if not plain.isdecimal() or len(plain) > 12 or int(plain) > STOCK_MAX:
        raise clear(CatalogueError("catalogue.stock", most=STOCK_MAX))
    return int(plain)


def read_tax(text: str, env: ParseEnv) -> Decimal:
    """A tax rate in percent as a part of one: “7” gives 0.07. Raises InvalidValue."""
    try:
        percent = read_number(text.strip().rstrip("%").strip(), env.translator.language)
        rate = (percent / 100).normalize()
    except (NumeralError, InvalidOperation):
        raise InvalidValue("desk.tax", _("“{given}” is no tax rate, such as 7 or 19."), clear=True,
                           given=text[:20]) from None  # fmt: skip
    if not 0 <= rate < 10 or int(rate.as_tuple().exponent) < -6:
        raise clear(CatalogueError("catalogue.tax"))
    return rate + Decimal(0)


def read_group(text: str, currency: str, env: ParseEnv) -> ModifierGroup:
    """A group of extras, in the notation of files: “Toppings 0-3: Cheese 1.00, Olives 0.50”. Raises InvalidValue."""
    problems = Problems()
    values = Values(problems, currency, env.translator.language)
    entries = notation(Cell(text.strip(), 0, ""), problems) or []
    if len(entries) != 1:
        raise InvalidValue("desk.extras", WRITTEN, clear=True)
    entry = entries[0]
    try:
        options: list[Modifier] = []
        for option in entry.options:
            cells, name = option.cells, option.cells["name"].text
            price = values.price(cells["price"], signed=True) if "price" in cells else None
            key = key_of(name, [each.key for each in options])
            options.append(Modifier(key, name, price or Money.zero(currency), "available" not in cells))
        choose = values.choose(entry.cells["choose"], len(options)) if "choose" in entry.cells else None
        least, most = choose or (0, 1)
        if problems.found:
            found = problems.found[0]
            raise InvalidValue("desk.extras", found.msgid, clear=True, **found.values)
        name = entry.cells["name"].text
        return ModifierGroup(key_of(name), name, tuple(options), least, most)
    except CatalogueError as error:
        raise clear(error) from None
