"""What a plugin is told of a payment that changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from appservice.events import Event

PAYMENT_CHANGED: Final = "rialto.payment.changed"
"""The internal event: ``{"payment": id, "kind": …, "state": …, "change": n, "about": …, "by": …, "due": ms}``."""


@dataclass(frozen=True, slots=True)
class PaymentChange:
    """A payment has changed, or something is about to happen to it.

    Attributes:
        payment: its id.
        kind: ``transfer``, ``invoice``, ``cash_out``, ``exchange``, ``mandate``, ``payout``.
        state: what it is now: ``proposed``, ``held``, ``paid``, ``declined``, ``cancelled``, ``expired``, ``voided``,
            ``refused``, ``partly_refunded``, ``refunded``. By the time it is handled there may be a later one.
        change: counts the changes of the payment.
        person: whom it is told for: ``ctx.sender``.
        about: ``state``: it has changed; ``reminder``: a subscription is charged soon; ``subscription``: a
            subscription was paused, resumed or ended, and ``state`` is its own.
        by: who has caused it: a user id, ``merchant``, ``provider``, or ``deadline`` for what happens by itself.
        due: of a reminder: when it is charged (ms since the epoch).
    """

    payment: str
    kind: str
    state: str
    change: int
    person: str = ""
    about: Literal["state", "reminder", "subscription"] = "state"
    by: str = ""
    due: int | None = None

    @classmethod
    def of(cls, event: Event) -> PaymentChange:
        """What an internal event says."""
        content: Mapping[str, Any] = event.content
        about = content.get("about")
        due = content.get("due")
        return cls(
            payment=str(content.get("payment", "")),
            kind=str(content.get("kind", "")),
            state=str(content.get("state", "")),
            change=int(content.get("change", 0)),
            person=event.sender,
            about=about if about in {"reminder", "subscription"} else "state",
            by=str(content.get("by", "")),
            due=due if isinstance(due, int) else None,
        )
