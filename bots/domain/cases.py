"""Cases: what a buyer wants after an order was accepted. To cancel it, to give it back, or that something is put right.

A case is decided by the merchant, or by the operator when it was escalated; money that is given back is a refund of the
order's payment under the key of the case, which makes it one however often it is tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from bots.domain.errors import DomainError
from bots.domain.invoices import line_refund
from bots.domain.money import Money
from bots.domain.orders import WORDS as ORDER_WORDS
from bots.domain.orders import Order, OrderState

__all__ = [
    "CLOSED",
    "MESSAGES",
    "NEXT",
    "POSSIBLE",
    "Case",
    "CaseAction",
    "CaseKind",
    "CaseRefused",
    "CaseState",
    "advance",
    "begin",
    "worth",
]

TEXT_MAX: Final = 2_000
PHOTOS_MAX: Final = 5


class CaseKind(StrEnum):
    """What is wanted."""

    CANCELLATION = "cancellation"
    RETURN = "return"
    COMPLAINT = "complaint"


class CaseState(StrEnum):
    """Where it stands."""

    OPEN = "open"
    """The merchant is asked."""
    APPROVED = "approved"
    """A return may come; nothing is given back before it has."""
    SETTLED = "settled"
    """Cancelled, given back or put right."""
    REFUSED = "refused"
    """The buyer may escalate it."""
    ESCALATED = "escalated"
    """The operator decides."""
    WITHDRAWN = "withdrawn"
    CLOSED = "closed"
    """Refused in the end."""


class CaseAction(StrEnum):
    """What happens to a case."""

    APPROVE = "approve"
    SETTLE = "settle"
    REFUSE = "refuse"
    ESCALATE = "escalate"
    WITHDRAW = "withdraw"
    CLOSE = "close"


S, A = CaseState, CaseAction
NEXT: Final[Mapping[tuple[CaseState, CaseAction], CaseState]] = MappingProxyType(
    {
        (S.OPEN, A.APPROVE): S.APPROVED,
        (S.OPEN, A.SETTLE): S.SETTLED,
        (S.OPEN, A.REFUSE): S.REFUSED,
        (S.OPEN, A.ESCALATE): S.ESCALATED,
        (S.OPEN, A.WITHDRAW): S.WITHDRAWN,
        (S.APPROVED, A.SETTLE): S.SETTLED,
        (S.APPROVED, A.WITHDRAW): S.WITHDRAWN,
        (S.APPROVED, A.CLOSE): S.CLOSED,
        (S.REFUSED, A.ESCALATE): S.ESCALATED,
        (S.REFUSED, A.SETTLE): S.SETTLED,
        (S.REFUSED, A.CLOSE): S.CLOSED,
        (S.ESCALATED, A.SETTLE): S.SETTLED,
        (S.ESCALATED, A.APPROVE): S.APPROVED,
        (S.ESCALATED, A.CLOSE): S.CLOSED,
        (S.ESCALATED, A.WITHDRAW): S.WITHDRAWN,
    }
)
"""What follows on what; anything else is refused."""

CLOSED: Final = frozenset({S.SETTLED, S.WITHDRAWN, S.CLOSED})
"""Nothing happens to it any more."""

WORDS: Final[Mapping[CaseState, str]] = MappingProxyType(
    {
        S.OPEN: "waiting for the merchant",
        S.APPROVED: "approved, waiting for the goods",
        S.SETTLED: "settled",
        S.REFUSED: "refused by the merchant",
        S.ESCALATED: "waiting for the operator",
        S.WITHDRAWN: "withdrawn",
        S.CLOSED: "closed",
    }
)
"""The state as people read it: English, for the translator."""
VOCABULARIES: Final = (WORDS,)

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "case.refused": "That is not possible any more: the case is {state}.",
        "case.text": "Please say in 1 to {most} characters what is the matter.",
        "case.photos": "At most {most} photos, please.",
        "case.amount": "The amount is above nought and not more than what was paid.",
        "case.not_now": "That is not possible now: the order is {state}.",
        "case.twice": "You have asked that already, and it is not decided yet.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


POSSIBLE: Final[Mapping[CaseKind, frozenset[OrderState]]] = MappingProxyType(
    {
        CaseKind.CANCELLATION: frozenset({OrderState.ACCEPTED, OrderState.READY}),
        CaseKind.RETURN: frozenset({OrderState.DELIVERED}),
        CaseKind.COMPLAINT: frozenset(
            {OrderState.ACCEPTED, OrderState.READY, OrderState.DISPATCHED, OrderState.FAILED, OrderState.DELIVERED}
        ),
    }
)
"""When something can be wanted. Before an order is accepted its buyer cancels it alone; a concluded one is over."""


class CaseRefused(DomainError):
    """Something that cannot be done with a case.

    A value named ``state`` is one of :data:`WORDS`, to be translated.
    """

    messages = MESSAGES


@dataclass(frozen=True, slots=True)
class Case:
    """What a buyer wants.

    Attributes:
        id: ULID; also the key of its refund.
        order: id.
        lines: how many of which lines of the order (by number, from 1) it is about; empty: the whole order.
        text: in the buyer's words.
        photos: ``mxc://`` addresses with what opens them, as JSON of an EncryptedFile or a bare address.
        amount: what is, or was, given back; None: nothing, or not yet known.
        answer: the merchant's or operator's words.
        version: counts the changes, for whoever stores them: compare-and-set.
    """

    id: str
    order: str
    kind: CaseKind
    state: CaseState
    text: str
    opened_at: datetime
    updated_at: datetime
    lines: Mapping[int, int] = field(default_factory=dict)
    photos: tuple[str, ...] = ()
    amount: Money | None = None
    answer: str = ""
    deadline: datetime | None = None
    version: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if not self.text.strip() or len(self.text) > TEXT_MAX or len(self.answer) > TEXT_MAX:
            raise CaseRefused("case.text", most=TEXT_MAX)
        if len(self.photos) > PHOTOS_MAX:
            raise CaseRefused("case.photos", most=PHOTOS_MAX)
        if self.amount is not None and self.amount.minor <= 0:
            raise CaseRefused("case.amount")
        object.__setattr__(self, "lines", MappingProxyType(dict(self.lines)))


def begin(case: Case, order: Order, others: Iterable[Case]) -> Case:
    """The case, if it can be opened.

    Args:
        others: all that there are about the order.

    Raises:
        CaseRefused: not as the order stands, or one like it is open.
    """
    if order.state not in POSSIBLE[case.kind]:
        raise CaseRefused("case.not_now", state=ORDER_WORDS[order.state])
    if any(each.kind is case.kind and each.state not in CLOSED for each in others):
        raise CaseRefused("case.twice")
    for number in case.lines:
        order.line(number)
    return case


def worth(order: Order, lines: Mapping[int, int], others: Iterable[Case] = ()) -> Money:
    """What so many of some lines were paid with: their part of the discount taken off, tax included.

    Args:
        lines: how many, by number, from 1; more than was bought counts as all of it. Empty: all that was paid.
        others: cases about the order: what was given back for them decides where a cent goes that cannot be divided, so
            that one piece after the other gives back what all of them cost.

    Raises:
        OrderRefused: there is no such line.
    """
    if not lines:
        return order.total
    if not order.total:
        return Money.zero(order.currency)
    wanted = {number - 1: min(quantity, order.line(number).quantity) for number, quantity in lines.items()}
    wanted = {index: many for index, many in wanted.items() if many > 0}
    gone: dict[int, int] = {}
    for case in others:
        if case.state is CaseState.SETTLED and case.amount is not None:
            for number, many in case.lines.items():
                gone[number - 1] = gone.get(number - 1, 0) + many
    before = {index: min(gone.get(index, 0), order.lines[index].quantity - many) for index, many in wanted.items()}
    return line_refund(order.invoice("-"), wanted, before)


def advance(case: Case, action: CaseAction, at: datetime, *, within: timedelta | None = None, **changes: Any) -> Case:
    """The case after an action at a moment (aware). Raises CaseRefused: it does not follow on the state."""
    state = NEXT.get((case.state, action))
    if state is None:
        raise CaseRefused("case.refused", case=case.id, state=WORDS[case.state], action=action.value)
    deadline = None if within is None else at + within
    return replace(case, state=state, updated_at=at, deadline=deadline, **changes)
