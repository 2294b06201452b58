"""What comes of challenges and confirmations, and what the payments service needs of its neighbours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol, TypeAlias

from sqlalchemy import Connection

from bots.domain.intervals import Interval
from bots.domain.money import Money
from bots.domain.payments import Payment, Refusal

Also: TypeAlias = Callable[[Connection], None]
"""What belongs into the same commit; what it raises undoes the commit."""


class ConfirmOutcome(StrEnum):
    """What came of a confirmation."""

    PAID = "paid"
    HELD = "held"
    """Confirmed: the merchant, the provider or the payee's wallet is outstanding. Of a mandate: in force."""
    ALREADY = "already"
    """It was confirmed before, by this person: ``payment`` is the receipt."""
    WRONG_CODE = "wrong_code"
    """``left`` more until confirming locks; when none are left, ``until`` says how long it is locked."""
    LOCKED = "locked"
    """Too many wrong codes: nothing is looked at before ``until``."""
    EXPIRED = "expired"
    """The code is too old, or the payment is."""
    REPLACED = "replaced"
    """An older code of a payment that has a newer one."""
    WRONG_ROOM = "wrong_room"
    """The right code in another room than the one it was shown in."""
    OTHER_PAYMENT = "other_payment"
    """The right code of another payment than the one that was named."""
    NOT_YOURS = "not_yours"
    """Somebody else's code, in their room."""
    NOTHING_OPEN = "nothing_open"
    """The person has no payment that waits for a code."""
    ENDED = "ended"
    """The payment was declined, cancelled or withdrawn meanwhile."""
    REFUSED = "refused"
    """Confirmed, and not made: ``refusal`` says why. Unless that is final, a new code can confirm it again."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What came of a confirmation.

    Attributes:
        payment: the one that was confirmed, where it is clear which; as it was then, when ``repeated``.
        left: wrong codes that may still follow.
        until: ms since the epoch; how long confirming is locked.
        repeated: the same event again: what was said for it before.
    """

    outcome: ConfirmOutcome
    payment: Payment | None = None
    left: int | None = None
    until: int | None = None
    refusal: Refusal | None = None
    repeated: bool = False


ApprovalOutcome: TypeAlias = Confirmed
"""What comes of an approval by the PIN page: PAID, HELD, ALREADY, EXPIRED, NOT_YOURS, NOTHING_OPEN, ENDED, REFUSED."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a payer is shown to confirm a payment.

    Attributes:
        code: to be typed in the room that was named; None where a PIN is needed.
        link: the page that asks for the PIN; None where a code does.
        expires_at: ms since the epoch; until when either can be used.
        interval: of a mandate: how often is charged; None: when the merchant says so.
        each: of a mandate: what is charged each time.
    """

    payment: Payment
    code: str | None
    link: str | None
    expires_at: int
    interval: Interval | None = None
    each: Money | None = None


@dataclass(frozen=True, slots=True)
class Movement:
    """Money of a person that is about to move, as the guard is asked about it."""

    id: str
    person: str
    direction: Literal["out", "in"]
    amount: Money
    counterpart: str
    kind: str
    """payment, invoice, cash_out, top_up, exchange or bill."""


class GuardAnswer(Protocol):
    """Why the guard refuses."""

    @property
    def code(self) -> str: ...

    @property
    def msgid(self) -> str: ...

    @property
    def values(self) -> Mapping[str, Any]: ...


class GuardView(Protocol):
    """Limits, freezes and lists: :class:`bots.payments.guard.Guard`."""

    def check(self, connection: Connection, movement: Any, now: int) -> GuardAnswer | None: ...

    def record(self, connection: Connection, movement: Any, now: int) -> None: ...

    def release(self, connection: Connection, movement_id: str) -> None: ...


class AuditView(Protocol):
    """The log of every decision: :class:`bridge.audit.Audit`."""

    def append(
        self,
        connection: Connection,
        *,
        at: int,
        actor: str,
        action: str,
        subject: str,
        outcome: str,
        details: Mapping[str, Any],
    ) -> Any: ...


class PinLinks(Protocol):
    """Makes links to the page that asks for the PIN: :class:`bots.payments.pins.Pins`."""

    async def approval_link(self, payment_id: str, person: str, ttl_s: int) -> str: ...


CashOuts: TypeAlias = Callable[[Payment], Awaitable[object]]
"""Begins a confirmed cash-out at its provider. Called again until it returns: it must know the payment's id."""


@dataclass(frozen=True, slots=True)
class Split:
    """The requests that a split has made, in the order of the people."""

    group: str
    own: Money
    """What is left for whoever asked."""
    payments: tuple[Payment, ...] = field(default_factory=tuple)
