"""What top-ups, returns and refunds do in the ledger: inside the caller's commit, each with ids of its own making.

The order within a transaction: our own rows, the guard's locks, the ledger, our rows again, the audit log last.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from appservice.errors import RialtoError
from bots.domain.funding import credit_transfer, release_transfer, suspense_transfer
from bots.domain.ledger import Account, AccountKind, Post, Transfer, Void
from bots.domain.money import Money
from bots.payments.guard import Guard, Movement
from bots.payments.ledger import Ledger
from bots.payments.providers.base import Received
from bots.payments.sanctions import Verdict
from bots.store import funding as sql
from bots.store.bank import LineRow
from bots.store.funding_rows import CreditRow, PayoutRow, RefundRow, TopUpRow
from bridge.audit import Audit

log = logging.getLogger(__name__)

SUSPENSE: Final = "suspense"


class BooksRefused(RialtoError):
    """The ledger does not take what it must take: an account of ours is closed or frozen. Nothing was kept."""

    code = "funding_books"


@dataclass(frozen=True, slots=True)
class Credited:
    """Where money that came in went. ``why``: a code, when it is on the suspense account."""

    amount: Money
    held: bool
    why: str = ""


class Books:
    """The ledger's side of funding."""

    def __init__(self, ledger: Ledger, guard: Guard, audit: Audit) -> None:
        self._ledger = ledger
        self._guard = guard
        self._audit = audit

    # Money that comes in

    def credit(
        self, connection: Connection, row: TopUpRow, received: Received, now: int, verdict: Verdict | None
    ) -> Credited | None:
        """Put money that came in into the wallet, or on the suspense account when the wallet must not have it.

        None: it is there already.

        Raises:
            BooksRefused: neither was possible.
        """
        known = sql.credit(connection, row.provider, received.id)
        if known is not None:
            return None
        transfer = credit_transfer(row.provider, received.id)
        source = self.provider(connection, row.provider, received.amount.currency, now)
        why = self._to_wallet(connection, row, received.amount, transfer, source, now, verdict)
        if why:
            transfer = suspense_transfer(row.provider, received.id)
            held = self.suspense(connection, received.amount.currency, now)
            self._must(connection, Transfer(transfer, source.id, held.id, received.amount, "top_up", row.id), now)
            log.error(
                "money came in that a wallet must not have: it is on the suspense account",
                extra={"top_up": row.id, "reason": why},
            )
        made = CreditRow(row.provider, received.id, row.id, received.amount, transfer, bool(why), 0, now)
        sql.add_credit(connection, made)
        return Credited(received.amount, bool(why), why)

    def _to_wallet(
        self,
        connection: Connection,
        row: TopUpRow,
        amount: Money,
        transfer: str,
        source: Account,
        now: int,
        verdict: Verdict | None,
    ) -> str:
        """Move money to the wallet; why not, as a code, when that must not be."""
        movement = Movement(transfer, row.person, "in", amount, source.owner, "top_up")
        self._guard.lock(connection, (row.person,), now)
        wallet = self._ledger.open(connection, row.person, amount.currency, AccountKind.PERSON, now)
        balance = Money(wallet.net + wallet.pending_credits, amount.currency)
        refusal = self._guard.check(connection, movement, now, balance=balance, verdict=verdict)
        if refusal is not None:
            return refusal.code
        (outcome,) = self._ledger.apply(
            connection, [Transfer(transfer, source.id, wallet.id, amount, "top_up", row.id)], now
        )
        if outcome.refusal is not None:
            return f"ledger.{outcome.refusal.value}"
        self._guard.record(connection, movement, now)
        return ""

    def release(
        self, connection: Connection, row: TopUpRow, credit: CreditRow, now: int, verdict: Verdict | None
    ) -> str:
        """Move money from the suspense account to its wallet; why not, as a code."""
        transfer = release_transfer(credit.provider, credit.movement, credit.releases + 1)
        source = self.suspense(connection, credit.amount.currency, now)
        why = self._to_wallet(connection, row, credit.amount, transfer, source, now, verdict)
        changes = {"release": 0, "releases": credit.releases + 1}
        if not why:
            changes["held"] = 0
        sql.change_credit(connection, credit, **changes)
        return why

    # Lines of statements that the operator has decided about

    def book_line(self, connection: Connection, line: LineRow, provider: str, now: int) -> None:
        """Have a line of a statement in the ledger, against the suspense account."""
        amount = abs(line.amount)
        ours = self.provider(connection, provider, amount.currency, now)
        other = self.suspense(connection, amount.currency, now)
        debit, credit = (ours, other) if line.amount.minor > 0 else (other, ours)
        self._must(
            connection,
            Transfer(line_transfer(provider, line.id), debit.id, credit.id, amount, "transfer", line.id),
            now,
        )

    def hold_return(self, connection: Connection, payout: PayoutRow, now: int) -> None:
        """Hold money on the suspense account that goes back to whom it came from."""
        source = self.suspense(connection, payout.amount.currency, now)
        target = self.provider(connection, payout.provider, payout.amount.currency, now)
        hold = Transfer(
            return_transfer(payout.id), source.id, target.id, payout.amount, "cash_out", payout.id, pending=True
        )
        self._must(connection, hold, now)

    def settle_return(self, connection: Connection, payout: PayoutRow, paid: bool, now: int) -> None:
        """Say how it ended."""
        hold = return_transfer(payout.id)
        self._must(connection, Post(f"{hold}:post", hold) if paid else Void(f"{hold}:void", hold), now)

    # Refunds

    def hold_refund(self, connection: Connection, row: TopUpRow, refund: RefundRow, now: int) -> str:
        """Hold money that goes back to where it came from; why not, as a code."""
        currency = refund.amount.currency
        if refund.suspense:
            source = self.suspense(connection, currency, now)
        else:
            source = self._ledger.open(connection, row.person, currency, AccountKind.PERSON, now)
        target = self.provider(connection, row.provider, currency, now)
        hold = refund_transfer(refund.id)
        (outcome,) = self._ledger.apply(
            connection,
            [Transfer(hold, source.id, target.id, refund.amount, "refund", row.id, pending=True)],
            now,
        )
        return "" if outcome.refusal is None else f"ledger.{outcome.refusal.value}"

    def settle_refund(self, connection: Connection, refund: RefundRow, done: bool, now: int) -> None:
        """Say how it ended."""
        hold = refund_transfer(refund.id)
        self._must(connection, Post(f"{hold}:post", hold) if done else Void(f"{hold}:void", hold), now)

    # Accounts, and the log

    def provider(self, connection: Connection, name: str, currency: str, now: int) -> Account:
        """What a provider owes us."""
        return self._ledger.open(connection, provider_owner(name), currency, AccountKind.PROVIDER, now)

    def suspense(self, connection: Connection, currency: str, now: int) -> Account:
        """Money of which somebody has to decide whose it is."""
        return self._ledger.open(connection, SUSPENSE, currency, AccountKind.SUSPENSE, now)

    def note(
        self,
        connection: Connection,
        now: int,
        action: str,
        subject: str,
        outcome: str,
        actor: str = "system",
        **fields: str,
    ) -> None:
        """Write to the audit log; the last thing in a transaction."""
        self._audit.append(
            connection, at=now, actor=actor, action=action, subject=subject, outcome=outcome, details=fields
        )

    def _must(self, connection: Connection, command: Transfer | Post | Void, now: int) -> None:
        (outcome,) = self._ledger.apply(connection, [command], now)
        if outcome.refusal is not None:
            raise BooksRefused(
                f"the ledger refuses {command.id}: {outcome.refusal.value}", reason=outcome.refusal.value
            )


def provider_owner(name: str) -> str:
    """The owner of a provider's account."""
    return f"provider:{name}"


def line_transfer(provider: str, line: str) -> str:
    """The ledger's id for a line that the operator has booked."""
    return f"line:{provider}:{line}"


def return_transfer(payout: str) -> str:
    """The ledger's id for money that goes back to whom it came from."""
    return f"return:{payout}"


def refund_transfer(refund: str) -> str:
    """The ledger's id for a refund."""
    return f"top_up_refund:{refund}"
