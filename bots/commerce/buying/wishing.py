"""The wish list: kept from a card, shown, and told of when a price falls or something is there again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bots.domain.money import Money

SHOWN_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Wished:
    """Something on a wish list, as a dialog keeps it."""

    merchant: str
    product: str
    variant: str
    name: str
    price: Money
