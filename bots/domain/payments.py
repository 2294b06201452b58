"""Payments: what they are, and how they go from one state to the next. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

from bots.domain.invoices import Invoice, Line
from bots.domain.money import Money

__all__ = [
    "ENDED",
    "MESSAGES",
    "NEXT",
    "Action",
    "Capture",
    "Line",
    "Payment",
    "PaymentKind",
    "PaymentRefused",
    "PaymentState",
    "Proposal",
    "Refusal",
    "advance",
    "is_person",
]

MEMO_MAX: Final = 500
KEY_MAX: Final = 500

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        # Why something cannot be proposed or done
        "payments.not_positive": "An amount to pay is more than nothing.",
        "payments.self": "You cannot pay yourself.",
        "payments.currency_not_offered": "There are no wallets in {currency} here.",
        "payments.bad_payer": "Only a person can be asked for money.",
        "payments.bad_payee": "There is nobody of that name to pay.",
        "payments.memo_too_long": "What it is for has {most} characters at most.",
        "payments.expired_before": "It would have expired before it was asked for.",
        "payments.too_many_requests": "You have {most} open requests already: wait for an answer, or cancel one.",
        "payments.asked_often": "You have asked {person} often enough: ask again tomorrow.",
        "payments.no_shared_room": "Money can only be asked of somebody you share a chat with.",
        "payments.unknown": "There is no such payment.",
        "payments.not_yours": "This payment is not yours to change.",
        "payments.wrong_state": "That is not possible with this payment any more.",
        "payments.claimed": "Somebody else is paying this already.",
        "payments.exceeds_hold": "Only {most} were confirmed.",
        "payments.exceeds_paid": "Only {left} of what was paid can still be given back.",
        "payments.exceeds_mandate": "Only {most} at a time were agreed.",
        "payments.withdrawn": "This payment was withdrawn before.",
        "payments.locked": "There were too many wrong codes: confirming by code is possible again at {until}.",
        "payments.too_late": "The time for this is over.",
        # Why money does not move, although somebody has confirmed
        "payments.exceeds_balance": "Your wallet has {available} to spend, and this is {amount}.",
        "payments.exceeds_balance_payee": "There is not enough in the account that this would come from.",
        "payments.exceeds_ceiling": "The wallet that this goes to has no room for this amount.",
        "payments.account_closed": "The account that this goes to is closed.",
        "payments.account_frozen": "An account that takes part is frozen. Please contact the operator.",
        "payments.not_possible": "This payment is not possible. Please contact the operator.",
        "payments.pin_required": "This amount needs your PIN, on the page that the wallet shows you.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class PaymentKind(StrEnum):
    """What a payment is."""

    TRANSFER = "transfer"
    """From person to person."""
    INVOICE = "invoice"
    """To a merchant: the account of a bot."""
    CASH_OUT = "cash_out"
    """To a provider, which pays it out."""
    EXCHANGE = "exchange"
    """From one currency of a person to another one."""
    MANDATE = "mandate"
    """Moves nothing itself: once confirmed, a merchant may charge up to ``amount`` at a time until it is voided."""
    PAYOUT = "payout"
    """From a merchant to a person, on the merchant's word."""


class PaymentState(StrEnum):
    """Where a payment stands."""

    PROPOSED = "proposed"
    """Waits for the payer's confirmation."""
    HELD = "held"
    """Confirmed, the money is held: the merchant, the provider or the payee's wallet is outstanding. Of a mandate: in
    force."""
    PAID = "paid"
    DECLINED = "declined"
    """By the payer."""
    CANCELLED = "cancelled"
    """By whoever asked, before it was confirmed."""
    EXPIRED = "expired"
    """Nobody confirmed it in time."""
    VOIDED = "voided"
    """What was held went back. Of a mandate: ended."""
    REFUSED = "refused"
    """Confirmed, and it can never be made."""
    PARTLY_REFUNDED = "partly_refunded"
    REFUNDED = "refunded"


class Action(StrEnum):
    """What happens to a payment."""

    HOLD = "hold"
    PAY = "pay"
    DECLINE = "decline"
    CANCEL = "cancel"
    EXPIRE = "expire"
    VOID = "void"
    REFUSE = "refuse"
    REFUND_PART = "refund_part"
    REFUND = "refund"


class Capture(StrEnum):
    """When the money of a confirmed payment moves."""

    AT_ONCE = "at_once"
    BY_MERCHANT = "by_merchant"
    """It is held until the merchant (or the provider) accepts."""


S, A = PaymentState, Action
NEXT: Final[Mapping[tuple[PaymentState, Action], PaymentState]] = MappingProxyType(
    {
        (S.PROPOSED, A.HOLD): S.HELD,
        (S.PROPOSED, A.PAY): S.PAID,
        (S.PROPOSED, A.DECLINE): S.DECLINED,
        (S.PROPOSED, A.CANCEL): S.CANCELLED,
        (S.PROPOSED, A.EXPIRE): S.EXPIRED,
        (S.PROPOSED, A.REFUSE): S.REFUSED,
        (S.HELD, A.PAY): S.PAID,
        (S.HELD, A.VOID): S.VOIDED,
        (S.PAID, A.REFUND_PART): S.PARTLY_REFUNDED,
        (S.PAID, A.REFUND): S.REFUNDED,
        (S.PARTLY_REFUNDED, A.REFUND_PART): S.PARTLY_REFUNDED,
        (S.PARTLY_REFUNDED, A.REFUND): S.REFUNDED,
    }
)
"""What follows on what; anything else is refused."""

ENDED: Final = frozenset({S.DECLINED, S.CANCELLED, S.EXPIRED, S.VOIDED, S.REFUSED})
"""States in which nothing was paid and nothing will be."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why money does not move. ``msgid`` with ``values`` is the sentence for people; ``code`` is for logs.

    ``values`` hold amounts and points in time as such, for whoever writes them in a language. ``final``: trying again
    later does not help.
    """

    code: str
    msgid: str
    values: Mapping[str, Any] = field(default_factory=dict)
    final: bool = False

    @classmethod
    def of(cls, code: str, *, final: bool = False, **values: Any) -> Refusal:
        """One of :data:`MESSAGES`."""
        return cls(code, MESSAGES[code], values, final)

    @property
    def human(self) -> str:
        """The sentence in English."""
        return self.msgid.format(**self.values)


class PaymentRefused(ValueError):
    """Something that cannot be done with a payment. ``refusal`` says why, to people and to logs."""

    def __init__(self, why: str | Refusal, **values: Any) -> None:
        """
        Args:
            why: a refusal, or the code of one, which ``values`` fill in.
        """
        self.refusal = why if isinstance(why, Refusal) else Refusal.of(why, **values)
        super().__init__(self.refusal.code)

    @property
    def code(self) -> str:
        """For logs and programs."""
        return self.refusal.code

    @property
    def msgid(self) -> str:
        """The sentence, to be translated and filled in."""
        return self.refusal.msgid

    @property
    def values(self) -> Mapping[str, Any]:
        """What the sentence is filled in with."""
        return self.refusal.values

    @property
    def human(self) -> str:
        """The sentence in English."""
        return self.refusal.human


def is_person(owner: str) -> bool:
    """Whether an account's owner is a person: "@alice:server"."""
    return owner.startswith("@") and ":" in owner


def is_merchant(owner: str) -> bool:
    """Whether an account's owner is a bot: "bot:INSTANCE" or "bot:INSTANCE/SUB"."""
    return owner.startswith("bot:") and len(owner) > 4


@dataclass(frozen=True, slots=True)
class Proposal:
    """A payment that somebody is to be asked for.

    Attributes:
        payer: empty for an open request: whoever claims it first (a QR code).
        payee: a person, "bot:INSTANCE[/SUB]" for INVOICE and MANDATE, "provider:NAME" for CASH_OUT, the payer for
            EXCHANGE. Of a PAYOUT the payer is the bot.
        key: one payment for a key, however often it is proposed.
        initiator: who asks. The payee of a TRANSFER: a request for money, which needs ``origin_room``.
        origin_room: where it was asked for: a chat that payer and payee share. The caller has checked that.
        expires_at: ms since the epoch; until then it can be confirmed.
        received: of an EXCHANGE: what the payer gets.
        lines, inclusive, discount, tip: of an INVOICE, see :class:`bots.domain.invoices.Invoice`.
        accept_within: ms from the confirmation until the merchant must have accepted; with ``BY_MERCHANT``.
        consumer, dialog, reply_room: who hears of it beside the wallet.
        mandate: the payment that this one is a charge under.
    """

    kind: PaymentKind
    payer: str
    payee: str
    amount: Money
    memo: str
    key: str
    initiator: str
    expires_at: int
    group: str = ""
    origin_room: str = ""
    capture: Capture = Capture.AT_ONCE
    lines: tuple[Line, ...] = ()
    inclusive: bool = True
    discount: Money | None = None
    tip: Money | None = None
    received: Money | None = None
    accept_within: int | None = None
    consumer: str = ""
    dialog: str = ""
    reply_room: str = ""
    mandate: str = ""

    def check(self) -> None:
        """Whether it can be at all.

        Raises:
            PaymentRefused: it cannot.
            InvoiceError: its lines cannot.
        """
        if self.amount.minor <= 0 or (self.received is not None and self.received.minor <= 0):
            raise PaymentRefused("payments.not_positive")
        if len(self.memo) > MEMO_MAX:
            raise PaymentRefused("payments.memo_too_long", most=MEMO_MAX)
        if not 0 < len(self.key) <= KEY_MAX:
            raise ValueError(f"a key has 1 to {KEY_MAX} characters")
        self._check_people()
        if self.lines and self.invoice.total != self.amount:
            raise ValueError("the lines of an invoice add up to its amount")
        if (self.kind is PaymentKind.EXCHANGE) != (self.received is not None):
            raise ValueError("an exchange says what is received, and nothing else does")
        if self.kind is PaymentKind.CASH_OUT and self.capture is not Capture.BY_MERCHANT:
            raise ValueError("a cash-out is held until its provider has paid")
        if self.capture is Capture.BY_MERCHANT and self.kind not in {PaymentKind.INVOICE, PaymentKind.CASH_OUT}:
            raise ValueError("only an invoice or a cash-out is held until somebody accepts it")
        if (self.kind is PaymentKind.INVOICE and self.capture is Capture.BY_MERCHANT) != (
            self.accept_within is not None
        ):
            raise ValueError("an invoice that is held says for how long, and nothing else does")

    def _check_people(self) -> None:
        payout = self.kind is PaymentKind.PAYOUT
        if self.payer and not (is_merchant(self.payer) if payout else is_person(self.payer)):
            raise PaymentRefused("payments.bad_payer")
        if not self.payer and (self.kind is not PaymentKind.TRANSFER or self.initiator != self.payee):
            raise PaymentRefused("payments.bad_payer")
        fits = {
            PaymentKind.TRANSFER: is_person(self.payee),
            PaymentKind.INVOICE: is_merchant(self.payee),
            PaymentKind.MANDATE: is_merchant(self.payee),
            PaymentKind.CASH_OUT: self.payee.startswith("provider:"),
            PaymentKind.EXCHANGE: self.payee == self.payer,
            PaymentKind.PAYOUT: is_person(self.payee),
        }
        if not fits[self.kind]:
            raise PaymentRefused("payments.bad_payee")
        if self.kind is PaymentKind.TRANSFER:
            if self.payer == self.payee:
                raise PaymentRefused("payments.self")
            if self.initiator == self.payee and self.payer and not self.origin_room:
                raise PaymentRefused("payments.no_shared_room")

    @property
    def invoice(self) -> Invoice:
        """Of a payment with lines."""
        return Invoice(self.lines, self.inclusive, self.discount, self.tip)

    @property
    def fingerprint(self) -> str:
        """What makes it this proposal and no other; its times are not part of it, for they are those of an attempt."""
        content = [
            self.kind.value,
            self.payer,
            self.payee,
            _plain(self.amount),
            self.memo,
            self.initiator,
            self.group,
            self.origin_room,
            self.capture.value,
            [[line.name, _plain(line.price), line.quantity, str(line.tax)] for line in self.lines],
            self.inclusive,
            _plain(self.discount),
            _plain(self.tip),
            _plain(self.received),
            self.accept_within,
            self.consumer,
            self.dialog,
            self.mandate,
        ]
        return sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()


def _plain(money: Money | None) -> Any:
    return None if money is None else [money.minor, money.currency]


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as it stands. Times: ms since the epoch.

    Attributes:
        id: a ULID; on receipts.
        payer: empty while an open request waits for somebody to claim it.
        fee: what the platform took of it when it was captured; with a refund a part of that goes back.
        received: of an exchange: what the payer gets.
        expires_at: until when it can be confirmed.
        accept_by: of a held one: when it goes back by itself.
        captured, refunded: what has moved, and what of it has moved back.
        changes: counts the changes.
        paid_before: whether the payer had paid this payee before; None while there is no payer.
        reason: a word that says why it ended, for programs: ``payer``, ``merchant``, ``deadline``, ….
        lines_refunded: how many of each line were refunded, by index.
        attempts: how often the ledger was asked.
        hold, moved, fee_moved: the ids of its transfers in the ledger.
        withdrawn_at: since when nobody wants it any more.
        due_at: when something is to be done about it by itself.
        fingerprint, revision: what the store compares.
    """

    id: str
    kind: PaymentKind
    state: PaymentState
    payer: str
    payee: str
    amount: Money
    fee: Money
    received: Money | None
    memo: str
    lines: tuple[Line, ...]
    key: str
    initiator: str
    group: str
    origin_room: str
    consumer: str
    dialog: str
    created_at: int
    expires_at: int
    accept_by: int | None
    captured: Money
    refunded: Money
    changes: int
    paid_before: bool | None
    capture: Capture = Capture.AT_ONCE
    accept_within: int | None = None
    inclusive: bool = True
    discount: Money | None = None
    tip: Money | None = None
    reply_room: str = ""
    mandate: str = ""
    reason: str = ""
    lines_refunded: Mapping[int, int] = field(default_factory=dict)
    attempts: int = 0
    hold: str = ""
    moved: str = ""
    fee_moved: str = ""
    withdrawn_at: int | None = None
    due_at: int | None = None
    confirmed_at: int | None = None
    updated_at: int = 0
    fingerprint: str = ""
    revision: int = 0

    @property
    def invoice(self) -> Invoice | None:
        """Its lines with their arithmetic; None when it has none."""
        return Invoice(self.lines, self.inclusive, self.discount, self.tip) if self.lines else None

    @property
    def refundable(self) -> Money:
        """What can still be given back."""
        return self.captured - self.refunded

    @property
    def open(self) -> bool:
        """Whether it waits for the payer."""
        return self.state is PaymentState.PROPOSED


def advance(payment: Payment, action: Action, **changes: Any) -> Payment:
    """The payment after ``action``, with what else changes.

    Raises:
        PaymentRefused: that does not follow on its state.
    """
    state = NEXT.get((payment.state, action))
    if state is None:
        raise PaymentRefused("payments.wrong_state", state=payment.state.value)
    return replace(payment, state=state, changes=payment.changes + 1, **changes)


def proposed(proposal: Proposal, payment_id: str, now: int, *, paid_before: bool | None) -> Payment:
    """The payment that a proposal begins as."""
    nothing = Money.zero(proposal.amount.currency)
    return Payment(
        id=payment_id,
        kind=proposal.kind,
        state=PaymentState.PROPOSED,
        payer=proposal.payer,
        payee=proposal.payee,
        amount=proposal.amount,
        fee=nothing,
        received=proposal.received,
        memo=proposal.memo,
        lines=proposal.lines,
        key=proposal.key,
        initiator=proposal.initiator,
        group=proposal.group,
        origin_room=proposal.origin_room,
        consumer=proposal.consumer,
        dialog=proposal.dialog,
        created_at=now,
        expires_at=proposal.expires_at,
        accept_by=None,
        captured=nothing,
        refunded=nothing,
        changes=1,
        paid_before=paid_before,
        capture=proposal.capture,
        accept_within=proposal.accept_within,
        inclusive=proposal.inclusive,
        discount=proposal.discount,
        tip=proposal.tip,
        reply_room=proposal.reply_room,
        mandate=proposal.mandate,
        due_at=proposal.expires_at,
        updated_at=now,
    )
