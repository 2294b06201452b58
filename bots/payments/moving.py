"""How money moves when a payment is confirmed, captured, given up or refunded: inside the caller's commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from bots.domain.invoices import fee_back, fee_of
from bots.domain.ledger import Command, Outcome, Post, Transfer, Void
from bots.domain.ledger import Refusal as LedgerRefusal
from bots.domain.money import Money
from bots.domain.payments import (
    Action,
    Capture,
    Payment,
    PaymentKind,
    PaymentState,
    Refusal,
    advance,
    is_person,
)
from bots.payments.guard import Movement
from bots.payments.till import Step, Till
from bots.store import payments as store

HOUSE_FEES: Final = "fees"
HOUSE_EXCHANGE: Final = "exchange"
GUARD_KINDS: Final = {
    PaymentKind.TRANSFER: "payment",
    PaymentKind.PAYOUT: "payment",
    PaymentKind.INVOICE: "invoice",
    PaymentKind.CASH_OUT: "cash_out",
    PaymentKind.EXCHANGE: "exchange",
}
RELEASED: Final = frozenset({LedgerRefusal.PENDING_RESOLVED, LedgerRefusal.PENDING_EXPIRED})
"""Why the ledger does not release a hold of a payment that is still held: it has."""


class Mandates(Protocol):
    """What follows on a mandate: :class:`bots.payments.subscriptions.Subscriptions`."""

    def begun(self, step: Step, mandate: Payment) -> None: ...

    def ended(self, step: Step, mandate: Payment, by: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Refunded:
    """What came of a refund: what the platform gave back of its fee, and the transfer in the ledger."""

    payment: Payment
    fee: Money
    transfer: str
    refusal: Refusal | None


class Mover:
    """Moves the money of payments. Every method runs inside a commit, on a payment that is locked."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self.mandates: Mandates | None = None

    def confirm(self, step: Step, payment: Payment, by: str) -> tuple[Payment, Refusal | None]:
        """What follows on the payer's word: the money moves, or is held.

        Refused for a reason that may pass, it stays proposed; otherwise it is refused for good.
        """
        if payment.kind is PaymentKind.MANDATE:
            payment = self._till.save(step, advance(payment, Action.HOLD, confirmed_at=step.now, due_at=None), by)
            if self.mandates is not None:
                self.mandates.begun(step, payment)
            return payment, None
        claimed = self._claimed(step, payment)
        movements = _movements(payment)
        refusal = self._checked(step, payment, movements)
        if refusal is None:
            payment = replace(payment, attempts=payment.attempts + 1, confirmed_at=step.now)
            payment, commands = self._commands(step, payment, claimed)
            outcomes = self._till.ledger.apply(step.connection, commands, step.now)
            refusal = self._refusal(step, payment, outcomes)
        if refusal is not None:
            payment = replace(payment, hold="", moved="", fee_moved="", accept_by=None, confirmed_at=None)
            if refusal.final:
                payment = advance(payment, Action.REFUSE, reason=refusal.code, due_at=None)
            return self._till.save(step, payment, by, tell=refusal.final), refusal
        for movement in movements:
            self._till.guard.record(step.connection, movement, step.now)
        if payment.hold:
            due = step.now if payment.kind is PaymentKind.CASH_OUT else payment.accept_by
            return self._till.save(step, advance(payment, Action.HOLD, due_at=due), by), None
        payment = replace(payment, captured=payment.amount, fee=self._fee(payment, payment.amount))
        return self._till.save(step, advance(payment, Action.PAY, due_at=None), by), None

    def capture(self, step: Step, payment: Payment, amount: Money, by: str) -> tuple[Payment, Refusal | None]:
        """Move what is held, or a part of it: the rest goes back to the payer."""
        fee = self._fee(payment, amount)
        payment = replace(payment, attempts=payment.attempts + 1)
        base = _base(payment)
        commands: list[Command] = [Post(f"{base}:capture", payment.hold, amount)]
        commands += self._fee_commands(step, payment, fee)
        outcomes = self._till.ledger.apply(step.connection, commands, step.now)
        refusal = self._refusal(step, payment, outcomes)
        if refusal is not None:
            return self._till.save(step, payment, by, tell=False), refusal
        if amount != payment.amount:
            self._till.guard.release(step.connection, payment.id, keep=amount)
        payment = replace(payment, captured=amount, fee=fee, moved=payment.hold, due_at=None)
        payment = replace(payment, fee_moved=f"{base}:fee" if fee else "")
        return self._till.save(step, advance(payment, Action.PAY), by), None

    def void(self, step: Step, payment: Payment, by: str, reason: str) -> Payment:
        """Give up what is held: all of it goes back."""
        if payment.hold:
            payment = replace(payment, attempts=payment.attempts + 1)
            command = Void(f"{_base(payment)}:void", payment.hold)
            (outcome,) = self._till.ledger.apply(step.connection, [command], step.now)
            # Where the ledger's own deadline was quicker, it is released already: only here it would ever be posted.
            if not outcome.done and outcome.refusal not in RELEASED:
                raise RuntimeError(f"a hold cannot be voided: {outcome.refusal}")
            self._till.guard.release(step.connection, payment.id)
        payment = self._till.save(step, advance(payment, Action.VOID, reason=reason, due_at=None), by)
        if payment.kind is PaymentKind.MANDATE and self.mandates is not None:
            self.mandates.ended(step, payment, by)
        return payment

    def refund(self, step: Step, payment: Payment, amount: Money, by: str) -> Refunded:
        """Give money back, and the merchant the fee in proportion. What is done is the caller's to save."""
        refunded = payment.refunded + amount
        before = fee_back(payment.fee, payment.captured, payment.refunded)
        fee = fee_back(payment.fee, payment.captured, refunded) - before
        payment = replace(payment, attempts=payment.attempts + 1)
        base, currency = _base(payment), payment.amount.currency
        merchant = self._till.account(step, payment.payee, currency).id
        commands: list[Command] = []
        if fee:
            fees = self._till.account(step, HOUSE_FEES, currency).id
            reverses = payment.fee_moved
            commands.append(Transfer(f"{base}:fee_back", fees, merchant, fee, "fee", payment.id, reverses=reverses))
        payer = self._till.account(step, payment.payer, currency).id
        transfer = f"{base}:refund"
        commands.append(Transfer(transfer, merchant, payer, amount, "refund", payment.id, reverses=payment.moved))
        outcomes = self._till.ledger.apply(step.connection, commands, step.now)
        refusal = self._refusal(step, payment, outcomes, refund=True)
        if refusal is not None:
            return Refunded(self._till.save(step, payment, by, tell=False), fee, "", refusal)
        action = Action.REFUND if refunded == payment.captured else Action.REFUND_PART
        payment = advance(replace(payment, refunded=refunded), action, due_at=None)
        return Refunded(payment, fee, transfer, None)

    # What a confirmation commands

    def _claimed(self, step: Step, payment: Payment) -> bool:
        """Whether the payee has a wallet; it cannot be opened meanwhile."""
        if payment.kind not in {PaymentKind.TRANSFER, PaymentKind.PAYOUT}:
            return True
        return store.lock_wallet(step.connection, payment.payee)

    def _commands(self, step: Step, payment: Payment, claimed: bool) -> tuple[Payment, list[Command]]:
        till, base, amount = self._till, _base(payment), payment.amount
        payer = till.account(step, payment.payer, amount.currency).id
        if payment.kind is PaymentKind.EXCHANGE:
            return replace(payment, moved=f"{base}:out"), self._exchange(step, payment, payer)
        payee = till.account(step, payment.payee, amount.currency).id
        kind = "cash_out" if payment.kind is PaymentKind.CASH_OUT else "payment"
        if claimed and payment.capture is Capture.AT_ONCE:
            fee = self._fee(payment, amount)
            payment = replace(payment, moved=base, fee_moved=f"{base}:fee" if fee else "")
            transfer = Transfer(base, payer, payee, amount, kind, payment.id)
            return payment, [transfer, *self._fee_commands(step, payment, fee)]
        within = payment.accept_within if claimed else till.settings.unclaimed_ttl
        until = None if within is None else step.now + within
        payment = replace(payment, hold=base, accept_by=until)
        return payment, [
            Transfer(base, payer, payee, amount, kind, payment.id, pending=True, expires_at=until),
        ]

    def _exchange(self, step: Step, payment: Payment, payer: str) -> list[Command]:
        base, received = _base(payment), payment.received
        assert received is not None
        gives = self._till.account(step, HOUSE_EXCHANGE, payment.amount.currency).id
        takes = self._till.account(step, HOUSE_EXCHANGE, received.currency).id
        own = self._till.account(step, payment.payer, received.currency).id
        return [
            Transfer(f"{base}:out", payer, gives, payment.amount, "exchange", payment.id),
            Transfer(f"{base}:in", takes, own, received, "exchange", payment.id),
        ]

    def _fee_commands(self, step: Step, payment: Payment, fee: Money) -> list[Command]:
        if not fee:
            return []
        merchant = self._till.account(step, payment.payee, fee.currency).id
        fees = self._till.account(step, HOUSE_FEES, fee.currency).id
        return [Transfer(f"{_base(payment)}:fee", merchant, fees, fee, "fee", payment.id)]

    def _fee(self, payment: Payment, amount: Money) -> Money:
        if payment.kind is not PaymentKind.INVOICE:
            return Money.zero(amount.currency)
        return fee_of(amount, payment.amount, payment.tip, self._till.settings.fee)

    # What speaks against it

    def _checked(self, step: Step, payment: Payment, movements: Sequence[Movement]) -> Refusal | None:
        guard, connection = self._till.guard, step.connection
        guard.lock(connection, {movement.person for movement in movements}, step.now)
        verdict = None
        if payment.kind is not PaymentKind.EXCHANGE and movements:
            first = movements[0]
            verdict = step.verdict(first.person, first.counterpart)
        elif step.verdicts is not None:
            verdict = step.verdict(payment.payer, payment.payer)
        for movement in movements:
            balance = None
            if movement.direction == "in":
                account = self._till.held_by(connection, movement.person, movement.amount.currency)
                balance = Money.zero(movement.amount.currency)
                if account is not None:
                    balance = account.balance + Money(account.pending_credits, account.currency)
            found = guard.check(connection, movement, step.now, balance=balance, verdict=verdict)
            if found is not None:
                return Refusal(found.code, found.msgid, found.values)
        return None

    def _refusal(
        self, step: Step, payment: Payment, outcomes: Sequence[Outcome], *, refund: bool = False
    ) -> Refusal | None:
        """Why the ledger has refused a chain, in words for people."""
        causes = [each.refusal for each in outcomes if each.refusal not in {None, LedgerRefusal.LINKED_FAILED}]
        if not causes:
            return None
        cause = causes[0]
        if cause is LedgerRefusal.EXCEEDS_BALANCE:
            if refund or not is_person(payment.payer):
                return Refusal.of("payments.exceeds_balance_payee")
            account = self._till.account(step, payment.payer, payment.amount.currency)
            return Refusal.of("payments.exceeds_balance", available=account.available, amount=payment.amount)
        if cause is LedgerRefusal.EXCEEDS_CEILING:
            return Refusal.of("payments.exceeds_ceiling")
        if cause is LedgerRefusal.ACCOUNT_FROZEN:
            return Refusal.of("payments.account_frozen")
        if cause is LedgerRefusal.ACCOUNT_CLOSED:
            return Refusal.of("payments.account_closed", final=True)
        if cause is LedgerRefusal.PENDING_EXPIRED:
            return Refusal.of("payments.too_late")
        return Refusal.of("payments.not_possible", final=True)


def _base(payment: Payment) -> str:
    """The beginning of the ids of an attempt's transfers: the same attempt has the same."""
    return f"payment:{payment.id}:{payment.attempts}"


def _movements(payment: Payment) -> list[Movement]:
    """What the guard is asked and told of: what leaves a person, and what comes to one."""
    kind = GUARD_KINDS[payment.kind]
    found = []
    if is_person(payment.payer):
        found.append(Movement(payment.id, payment.payer, "out", payment.amount, payment.payee, kind))
    if is_person(payment.payee):
        amount = payment.received or payment.amount
        found.append(Movement(payment.id, payment.payee, "in", amount, payment.payer, kind))
    return found


def paid(payment: Payment) -> bool:
    """Whether the money has moved, whatever came back later."""
    return payment.state in {PaymentState.PAID, PaymentState.PARTLY_REFUNDED, PaymentState.REFUNDED}
