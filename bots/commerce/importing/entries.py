"""What a file says, before anybody knows whether it makes sense: pieces of text with their places. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "CATEGORY_KEYS",
    "COLUMNS",
    "PRODUCT",
    "PRODUCTS_MAX",
    "VARIANT",
    "Cell",
    "Entries",
    "Entry",
    "GroupEntry",
    "OptionEntry",
]

PRODUCTS_MAX: Final = 5_000
PRODUCT: Final = (
    "key", "name", "description", "category", "extras", "tax", "language", "weight", "images", "active", "remove",
)  # fmt: skip
"""What is said of a product."""
VARIANT: Final = ("variant", "variant key", "price", "stock")
"""What is said of one of its variants."""
COLUMNS: Final = (*PRODUCT, *VARIANT)
CATEGORY_KEYS: Final = ("key", "name", "parent")


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of text, trimmed. ``column``: what people call it."""

    text: str
    line: int
    column: str


@dataclass(frozen=True, slots=True)
class OptionEntry:
    """One extra: ``name``, ``price``, ``key``, ``available``."""

    cells: Mapping[str, Cell]
    line: int


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """A group of extras: ``name``, ``choose``, ``key``."""

    cells: Mapping[str, Cell]
    options: tuple[OptionEntry, ...]
    line: int


@dataclass(slots=True)
class Entry:
    """A product. What the file has no column for is not in ``cells``.

    Attributes:
        cells: by :data:`PRODUCT`.
        variants: each by :data:`VARIANT`, and in YAML its ``rules``.
        groups: of extras; None: the file does not speak of them.
        rules: of each variant, in YAML: prices for a while; None: the file does not speak of them.
    """

    line: int
    cells: dict[str, Cell]
    variants: list[dict[str, Cell]]
    groups: list[GroupEntry] | None = None
    rules: list[list[Mapping[str, Cell]] | None] = field(default_factory=list)


@dataclass(slots=True)
class Entries:
    """All that a file says.

    Attributes:
        complete: what it does not name is not sold any more.
    """

    products: list[Entry] = field(default_factory=list)
    categories: list[Mapping[str, Cell]] = field(default_factory=list)
    complete: bool = False
