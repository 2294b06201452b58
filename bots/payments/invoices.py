"""What merchants do with payments: accept what is held, give it up, give money back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from bots.domain.invoices import line_refund
from bots.domain.ledger import Conflict
from bots.domain.money import Money
from bots.domain.payments import Action, Payment, PaymentKind, PaymentRefused, PaymentState, advance
from bots.payments.ledger import IdConflict
from bots.payments.moving import Mover, paid
from bots.payments.till import Step, Till
from bots.store import payments as store
from bots.store.payments import RefundRow

KEY_MAX: Final = 255
REASON_MAX: Final = 500
WITHDRAWN: Final = "\x7fwithdrawn"
"""The key of the refund of what was paid for nothing; no merchant's key is like it."""

Allowed = Callable[[Payment], None]
"""Raises PaymentRefused when a payment is not the caller's."""


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund. ``already``: it was made before under this key, and nothing was done now."""

    payment: Payment
    amount: Money
    transfer: str
    already: bool


class Invoices:
    """Captures, voids and refunds, each in a commit of its own."""

    def __init__(self, till: Till, mover: Mover) -> None:
        self._till = till
        self._mover = mover

    async def capture(self, payment_id: str, amount: Money | None, by: str, allowed: Allowed) -> Payment:
        """Take what is held, or a part of it; the rest goes back. The same again changes nothing.

        Raises:
            PaymentRefused: it is not held, or not for so much, or no longer.
        """

        def work(step: Step) -> Payment:
            payment = self._till.lock(step, payment_id)
            allowed(payment)
            wanted = payment.amount if amount is None else amount
            if paid(payment) and payment.captured == wanted:
                return payment
            if payment.state is not PaymentState.HELD or payment.kind is PaymentKind.MANDATE:
                raise PaymentRefused("payments.wrong_state", state=payment.state.value)
            if payment.withdrawn_at is not None:
                raise PaymentRefused("payments.withdrawn")
            if wanted.currency != payment.amount.currency or wanted.minor <= 0:
                raise PaymentRefused("payments.not_positive")
            if wanted > payment.amount:
                raise PaymentRefused("payments.exceeds_hold", most=payment.amount)
            if payment.accept_by is not None and payment.accept_by <= step.now:
                # Too late: what is held goes back now, and does not wait for whoever looks at deadlines.
                payment = self._mover.void(step, payment, "deadline", "deadline")
                step.refused = PaymentRefused("payments.too_late")
                step.note(by, "payment.capture", payment.id, "refused:payments.too_late")
                return payment
            payment, refusal = self._mover.capture(step, payment, wanted, by)
            if refusal is not None:
                step.refused = PaymentRefused(refusal)
            word = "captured" if refusal is None else f"refused:{refusal.code}"
            step.note(by, "payment.capture", payment.id, word, amount=str(wanted))
            return payment

        return await self._till.commit(work, _noting(by, "payment.capture", payment_id))

    async def void(self, payment_id: str, by: str, reason: str, allowed: Allowed) -> Payment:
        """Give up a payment: what is held goes back, what is only proposed is cancelled. Twice is the same as once.

        Raises:
            PaymentRefused: it is paid, or ended otherwise.
        """

        def work(step: Step) -> Payment:
            payment = self._till.lock(step, payment_id)
            allowed(payment)
            if payment.state in {PaymentState.VOIDED, PaymentState.CANCELLED}:
                return payment
            if payment.state is PaymentState.PROPOSED:
                payment = self._till.save(step, advance(payment, Action.CANCEL, reason=reason, due_at=None), by)
            elif payment.state is PaymentState.HELD:
                payment = self._mover.void(step, payment, by, reason)
            else:
                raise PaymentRefused("payments.wrong_state", state=payment.state.value)
            step.note(by, "payment.void", payment.id, payment.state.value, reason=reason)
            return payment

        return await self._till.commit(work, _noting(by, "payment.void", payment_id))

    async def refund(
        self,
        payment_id: str,
        amount: Money | None,
        lines: Mapping[int, int] | None,
        by: str,
        key: str,
        reason: str,
        allowed: Allowed,
    ) -> Refund:
        """Give back a part, some lines, or all that is left. The same key again answers with what was done for it.

        Raises:
            PaymentRefused: more than was paid, or the merchant's account has not so much.
            InvoiceError: not so many are left of a line.
            IdConflict: the key was used for another refund.
        """
        if amount is not None and lines is not None:
            raise ValueError("a refund is of an amount or of lines")
        if not 0 < len(key) <= KEY_MAX or not key.isprintable():
            raise ValueError(f"a key has 1 to {KEY_MAX} printable characters")

        def work(step: Step) -> Refund:
            payment = self._till.lock(step, payment_id)
            allowed(payment)
            asked = self._till.digest("refund", payment_id, key, amount, sorted((lines or {}).items()))
            before = store.refund(step.connection, payment_id, key)
            if before is not None:
                if before.asked != asked:
                    raise IdConflict(Conflict(key, "another refund was made under this key"))
                done = Money(before.amount, payment.amount.currency)
                return Refund(payment, done, before.transfer, already=True)
            wanted, counts = _wanted(payment, amount, lines)
            return self.give_back(step, payment, wanted, by=by, key=key, asked=asked, reason=reason, counts=counts)

        return await self._till.commit(work, _noting(by, "payment.refund", payment_id))

    def give_back(
        self,
        step: Step,
        payment: Payment,
        amount: Money,
        *,
        by: str,
        key: str,
        asked: str,
        reason: str,
        counts: Mapping[int, int] | None = None,
    ) -> Refund:
        """Refund a payment that is locked, inside a commit. What speaks against it is in ``step.refused``.

        ``counts``: how many of each line are refunded then.
        """
        found = self._mover.refund(step, payment, amount, by)
        if found.refusal is not None:
            step.refused = PaymentRefused(found.refusal)
            step.note(by, "payment.refund", payment.id, f"refused:{found.refusal.code}", amount=str(amount))
            return Refund(found.payment, amount, "", already=False)
        counts = payment.lines_refunded if counts is None else counts
        payment = self._till.save(step, replace(found.payment, lines_refunded=counts), by)
        sealed = self._till.sealer.seal(reason[:REASON_MAX].encode(), f"payment_refunds:{payment.id}:{key}")
        row = RefundRow(payment.id, key, amount.minor, found.fee.minor, asked, found.transfer, sealed, step.now)
        store.add_refund(step.connection, row)
        step.note(by, "payment.refund", payment.id, payment.state.value, amount=str(amount))
        return Refund(payment, amount, found.transfer, already=False)


def _wanted(payment: Payment, amount: Money | None, lines: Mapping[int, int] | None) -> tuple[Money, Mapping[int, int]]:
    """How much is to be given back, and how many of each line are then.

    Raises:
        PaymentRefused, InvoiceError: so much cannot be.
    """
    if payment.kind is not PaymentKind.INVOICE or not paid(payment):
        raise PaymentRefused("payments.wrong_state", state=payment.state.value)
    invoice, counts = payment.invoice, dict(payment.lines_refunded)
    if lines is not None:
        if invoice is None or payment.captured != payment.amount:
            raise PaymentRefused("payments.wrong_state", state=payment.state.value)
        amount = line_refund(invoice, lines, payment.lines_refunded)
        for index, quantity in lines.items():
            counts[index] = counts.get(index, 0) + quantity
    wanted = payment.refundable if amount is None else amount
    if wanted.currency != payment.amount.currency:
        raise PaymentRefused("payments.exceeds_paid", left=payment.refundable)
    if wanted > payment.refundable or not payment.refundable:
        raise PaymentRefused("payments.exceeds_paid", left=payment.refundable)
    if wanted.minor <= 0:
        raise PaymentRefused("payments.not_positive")
    return wanted, counts


def _noting(actor: str, action: str, payment_id: str) -> Callable[[Step, str], None]:
    """Has the audit log keep that something was refused."""
    return lambda step, code: step.note(actor, action, payment_id, f"refused:{code}")
