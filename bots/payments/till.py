"""What everything that changes a payment shares: one commit that holds all of it, or nothing.

Within a commit locks are taken in one order, so that no two commits wait for each other: the person, the payment, the
payee's wallet, the guard's people, the ledger, the audit log.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, RowMapping

from appservice.database import Database
from appservice.events import InternalEvent
from appservice.sealing import Sealer
from bots.domain.invoices import InvoiceError
from bots.domain.ledger import Account, AccountKind
from bots.domain.payments import Payment, PaymentRefused, is_merchant, is_person
from bots.framework.clock import Clock
from bots.framework.schedules import RaiseEvents
from bots.payments import events
from bots.payments.guard import Guard
from bots.payments.ledger import Ledger
from bots.payments.records import payment_of, row_of
from bots.payments.sanctions import Sanctions, Verdict
from bots.payments.settings import PaymentSettings
from bots.store import payments as store
from bridge.audit import Audit
from bridge.domain.ulids import ENTROPY_BYTES, ulid

T = TypeVar("T")
SUBJECT_MAX: Final = 200


@dataclass(slots=True)
class Step:
    """One commit on its way.

    Attributes:
        now: ms since the epoch; the same for all of it.
        events: what is told, in this commit.
        notes: what the audit log gets, as the commit's last writes.
        refused: raised after the commit: what was written stays.
    """

    connection: Connection
    now: int
    verdicts: Mapping[tuple[str, str], Verdict] | None
    events: list[InternalEvent] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    refused: PaymentRefused | None = None
    wakes: bool = False

    def note(self, actor: str, action: str, payment_id: str, outcome: str, **details: Any) -> None:
        """Have the audit log keep a decision about a payment."""
        subject = f"payment:{payment_id}"[:SUBJECT_MAX]
        note = {"actor": actor, "action": action, "subject": subject, "outcome": outcome, "details": details}
        self.notes.append(note)

    def verdict(self, person: str, counterpart: str) -> Verdict | None:
        """What sanction lists say of two people; None when nobody is asked.

        Raises:
            VerdictNeeded: that has not been asked; it cannot be within the commit.
        """
        if self.verdicts is None:
            return None
        found = self.verdicts.get((person, counterpart))
        if found is None:
            raise VerdictNeeded(person, counterpart)
        return found


class VerdictNeeded(Exception):
    """Somebody is to be asked before the commit can be made: it begins again with the answer."""

    def __init__(self, person: str, counterpart: str) -> None:
        super().__init__(person, counterpart)
        self.pair = (person, counterpart)


class Till:
    """Ledger, guard, audit log and store, in one commit."""

    def __init__(
        self,
        database: Database,
        raise_events: RaiseEvents,
        ledger: Ledger,
        guard: Guard,
        audit: Audit,
        sealer: Sealer,
        clock: Clock,
        settings: PaymentSettings,
        *,
        secret: bytes,
        wallet: str,
        sanctions: Sanctions | None = None,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """
        Args:
            raise_events: ``Service.raise_events``.
            sealer: with the purpose ``payments``.
            secret: of keyed hashes.
            wallet: the name of the wallet's consumer.
            sanctions: who is asked about both people before money moves; None: nobody.
        """
        self.database = database
        self.ledger = ledger
        self.guard = guard
        self.sealer = sealer
        self.clock = clock
        self.settings = settings
        self.wallet = wallet
        self.due = asyncio.Event()
        """Set when something has been stored that is due by itself."""
        self._raise_events = raise_events
        self._audit = audit
        self._secret = secret
        self._sanctions = sanctions
        self._randomness = randomness

    async def commit(self, work: Callable[[Step], T], refusal: Callable[[Step, str], None] | None = None) -> T:
        """Run ``work`` in one commit, with the events and the audit entries that it leaves; its result.

        Args:
            work: may run several times before one of them is kept. It raises PaymentRefused or InvoiceError before it
                has written anything; what is refused after that it puts into ``step.refused``.
            refusal: notes for the audit log that it was refused, by the code.

        Raises:
            DatabaseError: nothing was kept, or the outcome is unknown: the same call again tells.
            PaymentRefused, InvoiceError: it cannot be done; the audit log has it.
        """
        verdicts: dict[tuple[str, str], Verdict] = {}
        while True:
            done: list[tuple[Step, T | PaymentRefused | InvoiceError]] = []

            def run(connection: Connection, done: list[Any] = done) -> list[InternalEvent]:
                step = Step(connection, self.clock.now_ms(), None if self._sanctions is None else verdicts)
                result: T | PaymentRefused | InvoiceError
                try:
                    result = work(step)
                except (PaymentRefused, InvoiceError) as error:
                    result = error
                    if refusal is not None:
                        refusal(step, error.code)
                self.write_notes(step)
                done[:] = [(step, result)]  # it may run twice, and the last counts
                return step.events

            try:
                await self._raise_events(run)
            except VerdictNeeded as needed:
                assert self._sanctions is not None
                verdicts[needed.pair] = await self._sanctions.ask(*needed.pair)
                continue
            step, result = done[0]
            if step.wakes:
                self.due.set()
            if step.refused is not None:
                raise step.refused
            if isinstance(result, (PaymentRefused, InvoiceError)):
                raise result
            return result

    def write_notes(self, step: Step) -> None:
        """Give the audit log what a commit leaves for it, as its last writes."""
        for note in step.notes:
            self._audit.append(step.connection, at=step.now, **note)

    # Payments

    def new_id(self, now: int) -> str:
        """A ULID."""
        return ulid(now, self._randomness(ENTROPY_BYTES))

    def digest(self, *parts: object) -> str:
        """A keyed hash: what is compared, and cannot be guessed by who reads the database."""
        return self.mac(*parts).hex()

    def mac(self, *parts: object) -> bytes:
        """The same as bytes."""
        return hmac.digest(self._secret, "\0".join(map(str, parts)).encode(), sha256)

    def opened(self, row: RowMapping) -> Payment:
        """The payment of a row."""
        return payment_of(dict(row), self.sealer)

    def lock(self, step: Step, payment_id: str) -> Payment:
        """A payment that nobody else changes until the commit.

        Raises:
            PaymentRefused: there is none.
        """
        row = store.get(step.connection, payment_id, lock=True)
        if row is None:
            raise PaymentRefused("payments.unknown")
        return self.opened(row)

    def add(self, step: Step, payment: Payment, by: str, *, tell: bool = True) -> bool:
        """Store a new payment, and tell of it; False when there is one of its key by now."""
        if not store.add(step.connection, row_of(payment, self.sealer)):
            return False
        if tell:
            step.events += events.changed(payment, self.wallet, by)
        step.wakes = True
        return True

    def save(self, step: Step, payment: Payment, by: str, *, tell: bool = True) -> Payment:
        """Store a changed payment, and tell of it; the payment as it is stored."""
        payment = replace(payment, updated_at=step.now)
        row = row_of(payment, self.sealer)
        del row["id"], row["revision"]
        store.change(step.connection, payment.id, payment.revision, row)
        if tell:
            step.events += events.changed(payment, self.wallet, by)
        step.wakes = step.wakes or payment.due_at is not None
        return replace(payment, revision=payment.revision + 1)

    async def read(self, read: Callable[[Connection], T]) -> T:
        """Look something up."""
        return await self.database.read(read)

    # Accounts

    def account(self, step: Step, owner: str, currency: str) -> Account:
        """The account of a person, a bot, a provider or the house; opened when there is none."""
        return self.ledger.open(step.connection, owner, currency, kind_of(owner), step.now)

    def held_by(self, connection: Connection, person: str, currency: str) -> Account | None:
        """A person's account, if there is one."""
        return self.ledger.find(connection, person, currency, AccountKind.PERSON)


def kind_of(owner: str) -> AccountKind:
    """The kind of an owner's account."""
    if is_person(owner):
        return AccountKind.PERSON
    if is_merchant(owner):
        return AccountKind.MERCHANT
    if owner.startswith("provider:"):
        return AccountKind.PROVIDER
    return AccountKind(owner)
