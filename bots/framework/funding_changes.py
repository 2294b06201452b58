"""What the wallet is told of money that comes from outside and goes there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from appservice.events import Event

FUNDING_CHANGED: Final = "rialto.funding.changed"
"""The internal event: ``{"id": …, "kind": …, "person": …, "state": …, "change": n}``."""


@dataclass(frozen=True, slots=True)
class FundingChange:
    """A top-up, a cash-out or a refund of a top-up has changed.

    Attributes:
        id: its id.
        kind: ``top_up``, ``cash_out``, ``refund``.
        person: whom it is told for: ``ctx.sender``.
        state: what it is now; by the time it is handled there may be a later one.
        change: counts the changes.
    """

    id: str
    kind: str
    person: str
    state: str
    change: int

    @classmethod
    def of(cls, event: Event) -> FundingChange:
        """What an internal event says."""
        content: Mapping[str, Any] = event.content
        return cls(
            id=str(content.get("id", "")),
            kind=str(content.get("kind", "")),
            person=str(content.get("person", "")),
            state=str(content.get("state", "")),
            change=int(content.get("change", 0)),
        )
