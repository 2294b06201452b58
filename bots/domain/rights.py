"""What people may ask for their data: why an erasure has to wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

__all__ = ["MESSAGES", "Obstacle"]

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "rights.balance": "There is {amount} in the wallet: it has to be paid out first.",
        "rights.pending": "{amount} is set aside or on its way: that has to end first.",
        "rights.open_payments": "Open payments, requests and agreements have to end first: {count}.",
        "rights.open_funding": "Top-ups and cash-outs under way have to end first: {count}.",
        "rights.open_bills": "Open bills have to be paid or closed first: {count}.",
        "rights.open_orders": "Open orders have to end first: {count}.",
        "rights.merchant": "Merchants of theirs have to be closed first: {count}.",
        "rights.open_trips": "Trips as a courier have to end first: {count}.",
        "rights.open_rides": "Rides have to end first: {count}.",
        "rights.open_drives": "Trips as a driver have to end, and to be paid, first: {count}.",
        "rights.held": "The wallet is held by the operator: nothing of it can be erased.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why somebody cannot be erased now. ``msgid`` with ``values`` is the sentence for people."""

    code: str
    msgid: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, code: str, **values: Any) -> Obstacle:
        """One of :data:`MESSAGES`."""
        return cls(code, MESSAGES[code], values)

    @property
    def human(self) -> str:
        """The sentence in English."""
        return self.msgid.format(**self.values)
