"""What the ledger is about: accounts, the commands that move money between them, and what becomes of a command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from bots.domain.money import LARGEST, Money

__all__ = [
    "FLOORS",
    "ID_MAX",
    "MEMO_MAX",
    "Account",
    "AccountKind",
    "Command",
    "Line",
    "Outcome",
    "Post",
    "Refusal",
    "Result",
    "Transfer",
    "Void",
]

ID_MAX: Final = 255
MEMO_MAX: Final = 4096


class AccountKind(StrEnum):
    """Whose money an account holds."""

    PERSON = "person"
    MERCHANT = "merchant"
    ESCROW = "escrow"
    FEES = "fees"
    PROVIDER = "provider"
    """What a payment provider owes us, or we it: money from outside comes out of it, so it may be below nought."""
    SUSPENSE = "suspense"
    EXCHANGE = "exchange"


FLOORS: Final[Mapping[AccountKind, int | None]] = MappingProxyType(
    dict.fromkeys((AccountKind.PERSON, AccountKind.MERCHANT, AccountKind.ESCROW, AccountKind.FEES), 0)
    | dict.fromkeys((AccountKind.PROVIDER, AccountKind.SUSPENSE, AccountKind.EXCHANGE))
)
"""The floor that an account of a kind is opened with."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account. ``id`` is an opaque ULID; ``owner`` is "@alice:server", "bot:INSTANCE[/SUB]", "provider:NAME", ….

    Attributes:
        floor: balance - pending debits never goes below it; None: no limit.
        ceiling: balance + pending credits never rises above it by a transfer; None: no limit.
        frozen: no new transfer, pending or not, takes from it or gives to it, a reversal neither. What is pending
            already is still posted, voided and expired: it was promised before.
        closed: as frozen; its balance is nought, nothing is pending.
        debits, credits: minor units ever posted. ``pending_debits``, ``pending_credits``: held now.
        postings: how many it has had: the number of the last one.
    """

    id: str
    kind: AccountKind
    owner: str
    currency: str
    floor: int | None
    ceiling: int | None
    frozen: bool
    closed: bool
    debits: int
    credits: int
    pending_debits: int
    pending_credits: int
    postings: int
    opened_at: int

    @property
    def net(self) -> int:
        """The balance in minor units."""
        return self.credits - self.debits

    @property
    def balance(self) -> Money:
        """What is posted: pending transfers are still in it."""
        return Money(self.credits - self.debits, self.currency)

    @property
    def available(self) -> Money:
        """What could be paid now; of an account without a floor the balance without what is held."""
        return Money(self.credits - self.debits - self.pending_debits - (self.floor or 0), self.currency)


class Refusal(StrEnum):
    """Why a command is refused."""

    EXCEEDS_BALANCE = "exceeds_balance"
    EXCEEDS_CEILING = "exceeds_ceiling"
    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_CLOSED = "account_closed"
    ACCOUNT_FROZEN = "account_frozen"
    CURRENCY_MISMATCH = "currency_mismatch"
    SAME_ACCOUNT = "same_account"
    NOT_POSITIVE = "not_positive"
    PENDING_UNKNOWN = "pending_unknown"
    PENDING_RESOLVED = "pending_resolved"
    PENDING_EXPIRED = "pending_expired"
    EXCEEDS_PENDING = "exceeds_pending"
    LINKED_FAILED = "linked_failed"
    """Another command of its chain was refused."""
    ALREADY_REVERSED = "already_reversed"
    EXCEEDS_ORIGINAL = "exceeds_original"
    ORIGINAL_UNKNOWN = "original_unknown"
    """What it reverses never moved money."""
    ORIGINAL_MISMATCH = "original_mismatch"
    """A reversal goes the way back: it debits what was credited and credits what was debited."""
    OVERFLOW = "overflow"


class Result(StrEnum):
    """What became of a command."""

    CREATED = "created"
    EXISTS = "exists"
    """It was created before; nothing was done now."""
    REFUSED = "refused"
    """Now or before: its id is burned."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command. ``seq``: its entry in the journal."""

    id: str
    result: Result
    refusal: Refusal | None
    seq: int | None

    @property
    def done(self) -> bool:
        """Whether the ledger holds what was commanded, by now or from before."""
        return self.refusal is None


def _text(value: str, what: str, *, empty: bool = False) -> None:
    if len(value) > ID_MAX or (not value and not empty) or "\0" in value:
        raise ValueError(f"{what} is text of {0 if empty else 1} to {ID_MAX} characters without NUL")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} is no valid Unicode") from None


@dataclass(frozen=True, slots=True)
class Transfer:
    """Move ``amount`` from ``debit`` to ``credit`` (ids of accounts of one currency). Raises ValueError for what no
    journal could hold.

    All fields are its content: who repeats the command repeats them, ``expires_at`` and the sealed ``memo`` too (a seal
    made anew differs).

    Attributes:
        id: the idempotency key: any stable text of 1 to 255 characters, made before the first attempt.
        kind: payment, hold, capture, refund, fee, top_up, cash_out, exchange, tip, reversal, opening.
        reference: what the caller finds it by; plain, so nothing that a person wrote.
        pending: hold the money until it is posted, voided, or ``expires_at`` (ms; None: never) is there.
        reverses: the transfer (its id, or that of the pending one, or of the post) that this one takes back, the same
            way in the other direction; all reversals of one together are never more than it.
        memo: sealed by the caller.
    """

    id: str
    debit: str
    credit: str
    amount: Money
    kind: str
    reference: str = ""
    pending: bool = False
    expires_at: int | None = None
    reverses: str | None = None
    memo: bytes = b""

    def __post_init__(self) -> None:
        for value, what in ((self.id, "an id"), (self.debit, "an account"), (self.credit, "an account")):
            _text(value, what)
        _text(self.kind, "a kind")
        _text(self.reference, "a reference", empty=True)
        if self.reverses is not None:
            _text(self.reverses, "an id")
            if self.pending:
                raise ValueError("a reversal is not pending")
        if len(self.memo) > MEMO_MAX:
            raise ValueError(f"a memo has {MEMO_MAX} bytes at most")
        if self.expires_at is not None and not (self.pending and 0 < self.expires_at <= LARGEST):
            raise ValueError("only a pending transfer expires, at a time after 1970")

    @property
    def content(self) -> list[Any]:
        """What makes it this command and no other."""
        memo = sha256(self.memo).hexdigest() if self.memo else None
        money = [self.amount.minor, self.amount.currency]
        rest = [self.kind, self.reference, self.pending, self.expires_at, self.reverses, memo]
        return ["transfer", self.debit, self.credit, *money, *rest]


@dataclass(frozen=True, slots=True)
class Post:
    """Move the money of a pending transfer: all of it, or ``amount``, and the rest is released."""

    id: str
    pending_id: str
    amount: Money | None = None

    def __post_init__(self) -> None:
        _text(self.id, "an id")
        _text(self.pending_id, "an id")

    @property
    def content(self) -> list[Any]:
        """What makes it this command and no other."""
        amount = None if self.amount is None else [self.amount.minor, self.amount.currency]
        return ["post", self.pending_id, amount]


@dataclass(frozen=True, slots=True)
class Void:
    """Release the money of a pending transfer, also of one whose time is over and that was not expired yet."""

    id: str
    pending_id: str

    def __post_init__(self) -> None:
        _text(self.id, "an id")
        _text(self.pending_id, "an id")

    @property
    def content(self) -> list[Any]:
        """What makes it this command and no other."""
        return ["void", self.pending_id]


Command: TypeAlias = Transfer | Post | Void


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a statement: one posting of the account.

    Attributes:
        seq: of the entry, for the next page.
        transfer_id: of the transfer; of a posted one that was pending, of that one.
        counterpart, counterpart_owner: the account on the other side.
        amount: above nought when it came in.
        balance: after it.
        number: of the posting in the account: 1, 2, 3, …
        memo: as it was given; empty when it was erased.
    """

    seq: int
    at: int
    transfer_id: str
    kind: str
    reference: str
    counterpart: str
    counterpart_owner: str
    amount: Money
    balance: Money
    number: int
    memo: bytes
