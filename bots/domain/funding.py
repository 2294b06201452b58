"""Money that comes from outside and goes there: what a top-up and a cash-out can become, as tables.

A provider's word is taken when it was asked (:class:`Seen`), never from a message alone. Money that has arrived has
arrived: nothing leads away from ``succeeded``, and everything leads to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

SECOND_MS: Final = 1_000
DAY_MS: Final = 86_400_000
FIRST_PAUSE_MS: Final = 15 * SECOND_MS
LONGEST_PAUSE_MS: Final = 3_600 * SECOND_MS

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "funding.no_provider": "Nobody can be paid that way here.",
        "funding.currency": "{provider} does not take {currency}.",
        "funding.not_positive": "The amount is above nought.",
        "funding.smallest": "{provider} takes {amount} or more.",
        "funding.largest": "{provider} takes {amount} at most.",
        "funding.amount": "{provider} cannot move exactly this amount.",
        "funding.no_cash_out": "{provider} pays nobody out.",
        "funding.conflict": "This was begun already, with another amount or another way.",
        "funding.unknown": "There is no such top-up or cash-out.",
        "funding.unavailable": "{provider} does not answer right now. It goes on by itself as soon as it does.",
        "funding.refused": "{provider} did not accept it.",
        "funding.beyond": "More would go back than came in: {left} is left.",
        "funding.not_arrived": "Nothing has arrived that could go back.",
        "funding.destination": "Where should the money go? An account holder and an IBAN are needed.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class Seen(StrEnum):
    """What a provider says of a payment when it is asked."""

    PENDING = "pending"
    AUTHORISED = "authorised"
    """Reserved at the payer's bank; it must be captured."""
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    """The provider cannot say what became of it."""


class TopUpState(StrEnum):
    """Where a top-up stands."""

    CREATED = "created"
    """Stored; the provider has not answered yet."""
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


_T, _S = TopUpState, Seen
_OPEN: Final = (_T.CREATED, _T.PENDING, _T.UNKNOWN)

TOP_UP: Final[Mapping[tuple[TopUpState, Seen], TopUpState]] = MappingProxyType(
    {
        **{(state, _S.PENDING): _T.PENDING for state in _OPEN},
        **{(state, _S.AUTHORISED): _T.PENDING for state in _OPEN},
        **{(state, _S.DECLINED): _T.DECLINED for state in _OPEN},
        **{(state, _S.EXPIRED): _T.EXPIRED for state in _OPEN},
        **{(state, _S.UNKNOWN): _T.UNKNOWN for state in _OPEN},
        # Money that comes late, or after all.
        **{(state, _S.SUCCEEDED): _T.SUCCEEDED for state in (*_OPEN, _T.DECLINED, _T.EXPIRED)},
        (_T.EXPIRED, _S.DECLINED): _T.DECLINED,
    }
)
"""What a top-up becomes by what is seen of it; what is not in the table changes nothing."""


class PayoutState(StrEnum):
    """Where money stands that goes out."""

    PROPOSED = "proposed"
    """The person has not confirmed."""
    READY = "ready"
    """It is held in the ledger, and the provider is to be asked."""
    SENT = "sent"
    """The provider has it."""
    UNKNOWN = "unknown"
    """The provider was asked, and nobody knows what became of it: asked again, with the same key."""
    PAID = "paid"
    FAILED = "failed"


_P = PayoutState

PAYOUT: Final[Mapping[tuple[PayoutState, Seen], PayoutState]] = MappingProxyType(
    {
        **{(state, _S.PENDING): _P.SENT for state in (_P.READY, _P.UNKNOWN)},
        **{(state, _S.SUCCEEDED): _P.PAID for state in (_P.READY, _P.SENT, _P.UNKNOWN)},
        **{(state, _S.DECLINED): _P.FAILED for state in (_P.READY, _P.SENT, _P.UNKNOWN)},
        **{(state, _S.EXPIRED): _P.FAILED for state in (_P.READY, _P.SENT, _P.UNKNOWN)},
        **{(state, _S.UNKNOWN): _P.UNKNOWN for state in (_P.READY, _P.SENT)},
    }
)
"""What a payout becomes by what is seen of it; what is not in the table changes nothing."""


class RefundState(StrEnum):
    """Where money stands that goes back to where it came from."""

    HELD = "held"
    """It is held in the ledger, and the provider is to be asked."""
    SENT = "sent"
    UNKNOWN = "unknown"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    """The ledger did not hold it: the money is not there any more. Its id is burned."""


_R = RefundState

REFUND: Final[Mapping[tuple[RefundState, Seen], RefundState]] = MappingProxyType(
    {
        **{(state, _S.PENDING): _R.SENT for state in (_R.HELD, _R.UNKNOWN)},
        **{(state, _S.SUCCEEDED): _R.DONE for state in (_R.HELD, _R.SENT, _R.UNKNOWN)},
        **{(state, _S.DECLINED): _R.FAILED for state in (_R.HELD, _R.SENT, _R.UNKNOWN)},
        **{(state, _S.UNKNOWN): _R.UNKNOWN for state in (_R.HELD, _R.SENT)},
    }
)
"""What a refund becomes by what is seen of it; what is not in the table changes nothing."""


class LineState(StrEnum):
    """What is known of a line of a bank's statement."""

    MATCHED = "matched"
    """By its reference, or by the operator."""
    UNMATCHED = "unmatched"
    RETURN = "return"
    """It goes back to whom it came from."""
    BOOKED = "booked"
    """The operator has it booked against the suspense account: a bank's fee."""
    DISMISSED = "dismissed"
    """The operator says that it is no movement of its own: it was imported twice."""


class Difference(StrEnum):
    """How the ledger and a provider can differ."""

    MISSING_HERE = "missing_here"
    """The provider has moved money, the ledger has not."""
    MISSING_THERE = "missing_there"
    AMOUNT = "amount"
    STATE = "state"


def pause_ms(attempts: int) -> int:
    """How long until a provider is asked again: 15 s, doubling, an hour at most."""
    return int(min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** min(attempts, 16)))


def credit_transfer(provider: str, movement: str) -> str:
    """The ledger's id for money that came in: the same however often it is heard of."""
    return f"top_up:{provider}:{movement}"


def suspense_transfer(provider: str, movement: str) -> str:
    """The same, when it could not go to the wallet."""
    return f"top_up:{provider}:{movement}:suspense"


def release_transfer(provider: str, movement: str, attempt: int) -> str:
    """From the suspense account to the wallet. A refused id is burned, so each attempt has its own."""
    return f"top_up:{provider}:{movement}:release:{attempt}"
