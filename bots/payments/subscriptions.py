"""What a person has agreed to be charged again and again: confirmed once, with a cap, cancelled at any time.

A subscription is a payment of the kind MANDATE, whose amount is the cap, and what follows on it. Each charge is a
payment of its own under the key of its period, so that no period is ever charged twice. A charge that fails is tried
again after 1, 3 and 7 days, as long as the next one is not due by then; after that the subscription is paused, until
the payer resumes it. Periods that have passed while it was paused, or while the service did not run, are not charged
later: only the one that has begun last is, and that not before a reminder, where reminders were agreed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from bots.domain.intervals import Interval, Unit
from bots.domain.money import Money
from bots.domain.payments import (
    Action,
    Capture,
    Payment,
    PaymentKind,
    PaymentRefused,
    PaymentState,
    Proposal,
    Refusal,
    advance,
)
from bots.payments import events
from bots.payments.invoices import Allowed
from bots.payments.moving import Mover, paid
from bots.payments.proposals import Proposals
from bots.payments.till import Step, Till
from bots.store import payments as payment_store
from bots.store import subscriptions as store
from bots.store.subscriptions import SubscriptionRow

DAY_MS: Final = 86_400_000
RETRIES_MS: Final = (DAY_MS, 3 * DAY_MS, 7 * DAY_MS)
"""After the first attempt."""
CHARGE_TTL: Final = RETRIES_MS[-1] + DAY_MS
CHARGES: Final = "subscription:"
"""The keys of charges that come by themselves begin so."""
MANDATE: Final = "mandate"
"""Who causes a charge."""


class SubscriptionState(StrEnum):
    """Where a subscription stands."""

    PROPOSED = "proposed"
    """The payer has not confirmed it, or never will."""
    ACTIVE = "active"
    PAUSED = "paused"
    """A charge has failed for good; the payer may resume it."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as it stands. Times: ms since the epoch.

    Attributes:
        id: that of the payment which is its mandate.
        amount: of each charge.
        interval: None: charged on the merchant's word only.
        next_at: when it is charged next; 0 where it is not.
        failures: of the charge at hand.
    """

    id: str
    state: SubscriptionState
    payer: str
    payee: str
    amount: Money
    interval: Interval | None
    memo: str
    next_at: int
    failures: int
    period: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What is agreed beside the mandate.

    Attributes:
        amount: of each charge; the mandate's amount is what it may be at most.
        start: of the first charge, ms since the epoch; 0: when it is confirmed.
        remind_before: ms before each charge that the payer is reminded; 0: never.
    """

    amount: Money
    interval: Interval | None
    start: int
    remind_before: int


class Subscriptions:
    """Mandates and their charges."""

    def __init__(self, till: Till, mover: Mover, proposals: Proposals) -> None:
        self._till = till
        self._mover = mover
        self._proposals = proposals
        mover.mandates = self

    # Agreeing and ending

    async def propose(self, proposal: Proposal, terms: Terms) -> Payment:
        """Ask a person to agree; the mandate. The same key again is the same one.

        Raises:
            PaymentRefused: it cannot be.
            IdConflict: the key stands for something else.
        """

        def work(step: Step) -> Payment:
            if terms.amount > proposal.amount:
                raise PaymentRefused("payments.exceeds_mandate", most=proposal.amount)
            mandate = self._proposals.enter(step, proposal)
            if store.get(step.connection, mandate.id) is None:
                store.add(step.connection, self._row(step, mandate, terms))
            return mandate

        return await self._till.commit(
            work, lambda step, code: step.note(proposal.initiator, "payment.propose", "-", f"refused:{code}")
        )

    def begun(self, step: Step, mandate: Payment) -> None:
        """The payer has confirmed the mandate, in this commit."""
        row = store.get(step.connection, mandate.id, lock=True)
        if row is None:
            return
        anchor = max(row.anchor_at, step.now)
        # Who has just agreed need not be reminded of what follows at once.
        reminded = 0 if anchor - row.remind_before <= step.now else -1
        row = replace(row, state=SubscriptionState.ACTIVE.value, anchor_at=anchor, next_at=anchor, reminded=reminded)
        self._save(step, row, due_at=self._due(row))

    def ended(self, step: Step, mandate: Payment, by: str) -> None:
        """The mandate is over, in this commit."""
        row = store.get(step.connection, mandate.id, lock=True)
        if row is not None:
            row = self._save(step, replace(row, state=SubscriptionState.ENDED.value), due_at=None)
            self._tell(step, mandate, row, "subscription", by=by)

    async def resume(self, subscription_id: str, payer: str) -> Subscription:
        """The payer goes on with one that was paused: the next charge is that of the next period. Twice is as once.

        Raises:
            PaymentRefused: it is not theirs, or over.
        """

        def work(step: Step) -> Subscription:
            mandate = self._till.lock(step, subscription_id)
            row = store.get(step.connection, subscription_id, lock=True)
            if row is None or mandate.payer != payer:
                raise PaymentRefused("payments.not_yours")
            if row.state == SubscriptionState.ACTIVE:
                return self._opened(row)
            if row.state != SubscriptionState.PAUSED:
                raise PaymentRefused("payments.wrong_state", state=row.state)
            interval = _interval(row)
            if interval is not None:
                period = interval.latest(row.anchor_at, step.now, row.period) + 1
                row = replace(row, period=period, next_at=interval.at(row.anchor_at, period))
            row = replace(row, state=SubscriptionState.ACTIVE.value, failures=0)
            row = self._save(step, row, due_at=self._due(row))
            self._tell(step, mandate, row, "subscription", by=payer)
            step.note(payer, "subscription.resume", subscription_id, "active")
            return self._opened(row)

        return await self._till.commit(
            work, lambda step, code: step.note(payer, "subscription.resume", subscription_id, f"refused:{code}")
        )

    # Looking

    async def get(self, subscription_id: str) -> Subscription | None:
        """One subscription."""
        row = await self._till.read(lambda connection: store.get(connection, subscription_id))
        return None if row is None else self._opened(row)

    async def of(self, payer: str) -> list[Subscription]:
        """What a person has agreed to and is in force, or paused; the oldest first."""
        states = (SubscriptionState.ACTIVE.value, SubscriptionState.PAUSED.value)
        rows = await self._till.read(lambda connection: store.of_payer(connection, payer, states))
        return [self._opened(row) for row in rows]

    # Charging

    async def charge(self, mandate_id: str, proposal: Proposal, allowed: Allowed) -> Payment:
        """Charge under a mandate on the merchant's word, by a new payment: PAID, HELD, or REFUSED. Once for a key.

        Raises:
            PaymentRefused: the mandate is not in force, or does not cover so much.
            IdConflict: the key stands for something else.
        """

        def work(step: Step) -> Payment:
            mandate = self._till.lock(step, mandate_id)
            allowed(mandate)
            known = payment_store.by_key(step.connection, proposal.key)
            if known is None:
                self._covered(step, mandate, proposal)
            payment = self._till.lock(step, self._proposals.enter(step, proposal, tell=False).id)
            if not payment.open:
                return payment
            payment, refusal = self._mover.confirm(step, payment, MANDATE)
            if refusal is not None and payment.open:
                refused = advance(payment, Action.REFUSE, reason=refusal.code, due_at=None)
                payment = self._till.save(step, refused, MANDATE)
            word = payment.state.value if refusal is None else f"refused:{refusal.code}"
            step.note(proposal.initiator, "mandate.charge", payment.id, word, mandate=mandate_id)
            return payment

        return await self._till.commit(
            work, lambda step, code: step.note(proposal.initiator, "mandate.charge", mandate_id, f"refused:{code}")
        )

    def _covered(self, step: Step, mandate: Payment, proposal: Proposal) -> None:
        if mandate.kind is not PaymentKind.MANDATE or mandate.state is not PaymentState.HELD:
            raise PaymentRefused("payments.wrong_state", state=mandate.state.value)
        if (proposal.payer, proposal.payee) != (mandate.payer, mandate.payee):
            raise PaymentRefused("payments.not_yours")
        if proposal.amount.currency != mandate.amount.currency or proposal.amount > mandate.amount:
            raise PaymentRefused("payments.exceeds_mandate", most=mandate.amount)
        row = store.get(step.connection, mandate.id, lock=True)
        interval = None if row is None else _interval(row)
        if row is None or interval is None:
            return
        # Who agreed to so much a month has not agreed to so much an hour.
        begun = interval.at(row.anchor_at, interval.latest(row.anchor_at, step.now, 0))
        since = begun if begun <= step.now else 0
        held, own = PaymentState.HELD.value, f"{CHARGES}{mandate.id}:"
        charged = payment_store.charged(step.connection, mandate.id, mandate.payer, since, but=own, held=held)
        if charged + proposal.amount.minor > mandate.amount.minor:
            left = max(mandate.amount.minor - charged, 0)
            raise PaymentRefused("payments.exceeds_mandate", most=Money(left, mandate.amount.currency))

    def work_due(self, step: Step, subscription_id: str) -> None:
        """Do what is due about a subscription, inside a commit: remind, charge, try again, or pause."""
        mandate = self._till.lock(step, subscription_id)
        row = store.get(step.connection, subscription_id, lock=True)
        if row is None or row.due_at is None or row.due_at > step.now:
            return
        interval = _interval(row)
        if row.state != SubscriptionState.ACTIVE or mandate.state is not PaymentState.HELD or interval is None:
            self._save(step, row, due_at=None)
            return
        unreminded = row.remind_before > 0 and row.reminded < row.period
        if unreminded or not row.remind_before:
            # Of several periods that have passed, only the last is charged.
            period = interval.latest(row.anchor_at, step.now, row.period) if not row.failures else row.period
            row = replace(row, period=period, next_at=interval.at(row.anchor_at, period))
        if unreminded:
            late = step.now + min(row.remind_before, DAY_MS) if step.now >= row.next_at else row.next_at
            row = self._save(step, replace(row, reminded=row.period), due_at=late)
            self._tell(step, mandate, row, "reminder", by="deadline", due=late)
            return
        self._charge_period(step, mandate, row, interval)

    def _charge_period(self, step: Step, mandate: Payment, row: SubscriptionRow, interval: Interval) -> None:
        charge = self._proposals.enter(step, self._proposal(step, mandate, row), tell=False)
        refusal: Refusal | None = None
        if charge.open:
            charge, refusal = self._mover.confirm(step, self._till.lock(step, charge.id), MANDATE)
        if paid(charge):
            step.note(row.payee, "subscription.charge", charge.id, "paid", subscription=row.id, period=row.period)
            following = interval.at(row.anchor_at, row.period + 1)
            row = replace(row, period=row.period + 1, next_at=following, failures=0)
            self._save(step, row, due_at=self._due(row))
            return
        word = f"refused:{refusal.code}" if refusal is not None else charge.state.value
        step.note(row.payee, "subscription.charge", charge.id, word, subscription=row.id, period=row.period)
        row = replace(row, failures=row.failures + 1)
        again = charge.created_at + RETRIES_MS[row.failures - 1] if row.failures <= len(RETRIES_MS) else None
        following = interval.at(row.anchor_at, row.period + 1)
        if again is None or again >= following or not charge.open:
            self._pause(step, mandate, row, charge)
            return
        row = self._save(step, row, due_at=max(again, step.now + 1))
        self._tell(step, mandate, row, "subscription", by="deadline", state="failed", due=again)

    def _pause(self, step: Step, mandate: Payment, row: SubscriptionRow, charge: Payment) -> None:
        if charge.open:
            self._till.save(step, advance(charge, Action.EXPIRE, reason="unpaid", due_at=None), "deadline")
        row = replace(row, state=SubscriptionState.PAUSED.value)
        row = self._save(step, row, due_at=None)
        self._tell(step, mandate, row, "subscription", by="deadline")
        step.note("system", "subscription.pause", row.id, "paused", failures=row.failures)

    def _proposal(self, step: Step, mandate: Payment, row: SubscriptionRow) -> Proposal:
        return Proposal(
            kind=PaymentKind.INVOICE,
            payer=row.payer,
            payee=row.payee,
            amount=Money(row.amount, row.currency),
            memo=mandate.memo,
            key=f"{CHARGES}{row.id}:{row.period}",
            initiator=row.payee,
            expires_at=step.now + CHARGE_TTL,
            capture=Capture.AT_ONCE,
            consumer=row.consumer,
            mandate=row.id,
        )

    # Rows

    def _due(self, row: SubscriptionRow) -> int | None:
        """When something is to be done about an active one."""
        if not row.every:
            return None
        reminds = row.remind_before > 0 and row.reminded < row.period
        return row.next_at - row.remind_before if reminds else row.next_at

    def _save(self, step: Step, row: SubscriptionRow, *, due_at: int | None) -> SubscriptionRow:
        row = replace(row, due_at=due_at, updated_at=step.now, changes=row.changes + 1)
        values: dict[str, Any] = {name: getattr(row, name) for name in CHANGING}
        store.change(step.connection, row.id, values)
        step.wakes = step.wakes or due_at is not None
        return row

    def _tell(
        self,
        step: Step,
        mandate: Payment,
        row: SubscriptionRow,
        about: str,
        *,
        by: str,
        state: str | None = None,
        due: int | None = None,
    ) -> None:
        step.events += events.about_subscription(
            mandate,
            self._till.wallet,
            about=about,
            state=row.state if state is None else state,
            number=str(row.changes),
            by=by,
            due=due,
        )

    def _row(self, step: Step, mandate: Payment, terms: Terms) -> SubscriptionRow:
        interval = terms.interval
        return SubscriptionRow(
            id=mandate.id,
            state=SubscriptionState.PROPOSED.value,
            payer=mandate.payer,
            payee=mandate.payee,
            currency=terms.amount.currency,
            amount=terms.amount.minor,
            every=0 if interval is None else interval.count,
            unit="" if interval is None else interval.unit.value,
            anchor_at=terms.start,
            period=0,
            next_at=0,
            remind_before=terms.remind_before,
            reminded=-1,
            failures=0,
            memo=self._till.sealer.seal(mandate.memo.encode(), f"subscriptions:{mandate.id}"),
            consumer=mandate.consumer,
            changes=0,
            due_at=None,
            created_at=step.now,
            updated_at=step.now,
        )

    def _opened(self, row: SubscriptionRow) -> Subscription:
        return Subscription(
            id=row.id,
            state=SubscriptionState(row.state),
            payer=row.payer,
            payee=row.payee,
            amount=Money(row.amount, row.currency),
            interval=_interval(row),
            memo=self._till.sealer.open(row.memo, f"subscriptions:{row.id}").decode(),
            next_at=row.next_at if row.state == SubscriptionState.ACTIVE and row.every else 0,
            failures=row.failures,
            period=row.period,
        )


CHANGING: Final = (
    "state",
    "anchor_at",
    "period",
    "next_at",
    "reminded",
    "failures",
    "changes",
    "due_at",
    "updated_at",
)


def _interval(row: SubscriptionRow) -> Interval | None:
    return Interval(row.every, Unit(row.unit)) if row.every else None
