"""What a catalogue engine does: it reads. Nothing of it writes, so that an engine can be somebody else's shop."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from appservice.errors import RialtoError
from bots.commerce.hand import Reader
from bots.domain.catalogue import Category, Product, StockKind
from bots.domain.stock import StockLevel

__all__ = ["CatalogueEngine", "EngineFailed", "Listed", "Page", "free"]


class EngineFailed(RialtoError):
    """An engine that runs elsewhere gives no answer, or none that can be understood. Nothing has happened."""

    code = "catalogue_engine_failed"


@dataclass(frozen=True, slots=True)
class Listed:
    """A product in a list.

    Attributes:
        left: how much of it can still be bought, all variants together; None: without end.
        stars: what people think of it, from 1 to 5; None: nobody has said.
        ratings: how many have.
    """

    merchant_id: str
    product: Product
    left: int | None = None
    stars: float | None = None
    ratings: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list. ``next``: what ``after`` is for the next part; empty: there is none."""

    items: tuple[Listed, ...] = ()
    next: str = ""


class CatalogueEngine(Protocol):
    """Gives products and categories of merchants. The id of a merchant is Rialto's, whoever keeps the catalogue.

    Raises:
        EngineFailed: from each of them, where the engine runs elsewhere.
    """

    async def product(self, reader: Reader, merchant_id: str, key: str) -> Product | None:
        """A product by its key, also one that is not sold at the moment."""

    async def products(self, reader: Reader, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Product]:
        """Products by merchant and key; those that are not there are missing."""

    async def categories(self, reader: Reader, merchant_id: str) -> list[Category]:
        """A merchant's categories in their order."""

    async def browse(
        self, reader: Reader, merchant_id: str, category: str = "", after: str = "", limit: int = 10
    ) -> Page:
        """What a merchant sells, in their order: in a category and all that lies in it, or everything."""

    async def search(
        self,
        reader: Reader,
        text: str,
        *,
        merchant_id: str = "",
        language: str = "",
        after: str = "",
        limit: int = 10,
    ) -> Page:
        """What answers a search, the best first: of one merchant, or of all who can be ordered from.

        Args:
            language: of the person (BCP 47): what is in it comes first.
            after: how many were shown already, as text.
        """

    async def picture(self, reader: Reader, merchant_id: str, key: str) -> bytes | None:
        """The picture of a product that does not lie on the homeserver, as it came; None: there is none, or it cannot
        be had now."""

    async def left(self, reader: Reader, merchant_id: str, key: str) -> dict[str, int | None]:
        """How much of each variant can still be bought; None: without end, or so much in each slot of time."""


def free(product: Product, levels: Mapping[str, StockLevel]) -> dict[str, int | None]:
    """How much of each variant can still be bought. ``levels``: by variant; what is not in it has no end."""
    return {
        each.key: levels[each.key].free if each.key in levels and each.stock.kind is StockKind.FINITE else None
        for each in product.variants
    }
