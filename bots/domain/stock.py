"""How much there is of something, and who has a claim to it. Pure; the store makes each step one guarded statement.

What is ordered is held first, sold when it is paid, and released when it is not. What is sold and then cancelled comes
back. ``count`` is what lies on the shelf, held or not: ``count - held`` can still be bought.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

__all__ = ["HoldState", "OutOfStock", "StockLevel"]


class OutOfStock(ValueError):
    """There is not so much. ``left``: how much there is."""

    code = "stock.out"

    def __init__(self, left: int) -> None:
        super().__init__(self.code)
        self.left = left


class HoldState(StrEnum):
    """What became of a claim; each is made once."""

    HELD = "held"
    SOLD = "sold"
    RELEASED = "released"
    RESTOCKED = "restocked"


@dataclass(frozen=True, slots=True)
class StockLevel:
    """``count`` on the shelf, of which ``held`` are promised."""

    count: int
    held: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.held <= self.count:
            raise ValueError(f"held {self.held} of {self.count}")

    @property
    def free(self) -> int:
        """What can still be bought."""
        return self.count - self.held

    def hold(self, quantity: int) -> StockLevel:
        """Promise so many. Raises OutOfStock."""
        if quantity > self.free:
            raise OutOfStock(self.free)
        return replace(self, held=self.held + quantity)

    def release(self, quantity: int) -> StockLevel:
        """Take a promise back."""
        return replace(self, held=self.held - quantity)

    def sell(self, quantity: int) -> StockLevel:
        """Keep a promise: it leaves the shelf."""
        return StockLevel(self.count - quantity, self.held - quantity)

    def restock(self, quantity: int) -> StockLevel:
        """So many more: what came back, or a delivery."""
        return replace(self, count=self.count + quantity)

    def counted(self, count: int) -> StockLevel:
        """The merchant has counted; what is promised stays so, also when less is there. Raises OutOfStock."""
        if count < self.held:
            raise OutOfStock(self.held)
        return replace(self, count=count)
