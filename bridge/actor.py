"""Who asks for something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, a product by its key, or Rialto itself. Exactly one of ``user_id`` and ``product``, or neither.

    Attributes:
        user_id: a person; what they may do in a chat is by their role there.
        product: a product; it may do everything in the chats of its workspace, and nothing in any other.
    """

    user_id: str = ""
    product: str = ""

    def __post_init__(self) -> None:
        if self.user_id and self.product:
            raise ValueError("a person or a product, not both")

    @classmethod
    def person(cls, user_id: str) -> Self:
        """Somebody."""
        return cls(user_id=user_id)

    @classmethod
    def of_product(cls, name: str) -> Self:
        """An embedding product, by the name of its workspace."""
        return cls(product=name)

    @property
    def name(self) -> str:
        """For the audit log: ``@alice:server``, ``product:shop``, ``system``."""
        if self.user_id:
            return self.user_id
        return f"product:{self.product}" if self.product else "system"


SYSTEM: Final = Actor()
"""Rialto itself: timers, retention, operators on the command line."""
