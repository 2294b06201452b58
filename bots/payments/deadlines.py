"""What happens to payments by themselves when their time has come. It survives restarts: what is due lies in the
database, and what was missed is done at the next start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from appservice.database import DatabaseError
from bots.domain.payments import Action, Payment, PaymentKind, PaymentState, advance
from bots.payments.invoices import WITHDRAWN
from bots.payments.moving import paid
from bots.payments.service import Payments
from bots.payments.till import Step
from bots.store import payments as store
from bots.store import subscriptions as subscription_store

log = logging.getLogger(__name__)

BATCH: Final = 100
LOOK_MS: Final = 15_000
"""How long it sleeps at most: a commit whose answer was lost brings what nobody has told it of."""
PAUSE_MS: Final = 60_000
"""Until what failed is tried again; each time twice as long, up to an hour."""
PAUSE_MAX_MS: Final = 3_600_000
KEEP_MS: Final = 30 * 86_400_000
"""How long codes and what messages were answered are kept; the inbox keeps messages for less."""
PURGED_MAX: Final = 10_000
"""Movements of the guard that are forgotten at once."""
DEADLINE: Final = "deadline"


class Deadlines:
    """Runs beside the service: expires what nobody confirms, gives back what is held for too long, posts what has been
    claimed, begins cash-outs, refunds what was paid for nothing, charges subscriptions."""

    def __init__(self, payments: Payments) -> None:
        self._payments = payments
        self._subscriptions = payments.subscriptions
        self._till = payments.till
        self._task: asyncio.Task[None] | None = None
        self._failed: dict[str, tuple[int, int]] = {}
        """What could not be done, by id: how often, and when it is tried again."""
        self._purged = 0

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="payment-deadlines")

    async def stop(self) -> None:
        """End. What is due stays in the database."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def next_due(self) -> int | None:
        """When something is to be done next (ms); None: nothing is."""
        till = self._till
        both = await till.read(lambda c: (store.next_due(c), subscription_store.next_due(c)))
        return min((each for each in both if each is not None), default=None)

    async def run_due(self) -> int:
        """Do everything that is due now; how many things that were.

        Raises:
            DatabaseError: some are left, or that is unknown. To do it again does no harm.
        """
        done = 0
        for person in await self._till.read(lambda connection: store.behind(connection, BATCH)):
            await self._payments.wallet_opened(person)
        while found := await self._due_now():
            for item, work in found:
                done += await self._each(item, work)
        now = self._till.clock.now_ms()
        # After the payments: what belongs to one has been given back with it.
        while len(await self._till.commit(lambda step: self._till.ledger.expire(step.connection, step.now))) >= 500:
            continue
        if now - self._purged > KEEP_MS // 30:
            await self._till.commit(lambda step: store.purge(step.connection, step.now - KEEP_MS))
            await self._till.commit(lambda step: self._till.guard.purge(step.connection, step.now, PURGED_MAX))
            self._purged = now
        return done

    async def _due_now(self) -> list[tuple[str, Callable[[Step], None]]]:
        now, many = self._till.clock.now_ms(), BATCH + len(self._failed)
        payments, subscriptions = await self._till.read(
            lambda c: (store.due(c, now, many), subscription_store.due(c, now, many))
        )
        found: list[tuple[str, Callable[[Step], None]]] = []
        for payment_id in payments:
            found.append((payment_id, lambda step, item=payment_id: self._payment(step, item)))  # type: ignore[misc]
        for item in subscriptions:
            found.append((f"subscription:{item}", lambda step, item=item: self._subscriptions.work_due(step, item)))  # type: ignore[misc]
        return [each for each in found if self._failed.get(each[0], (0, 0))[1] <= now]

    async def _each(self, item: str, work: Callable[[Step], None]) -> int:
        """Do one thing; what cannot be done now does not keep the others."""
        try:
            payment = None if item.startswith("subscription:") else await self._payments.get(item)
            if payment is not None and _waits_for_provider(payment):
                await self._begin(payment)
            await self._till.commit(work)
        except DatabaseError:
            raise
        except Exception:  # whatever it is, the others must not be lost for it
            log.exception("something that was due about a payment could not be done", extra={"payment": item})
            times = self._failed.get(item, (0, 0))[0]
            pause = min(PAUSE_MS << min(times, 10), PAUSE_MAX_MS)
            self._failed[item] = (times + 1, self._till.clock.now_ms() + pause)
            return 0
        self._failed.pop(item, None)
        return 1

    async def _begin(self, payment: Payment) -> None:
        begin = self._payments.cash_outs
        if begin is None:
            raise RuntimeError("there is nobody who pays out")
        await begin(payment)

    def _payment(self, step: Step, payment_id: str) -> None:
        """Do what is due about a payment, inside a commit."""
        payment = self._till.lock(step, payment_id)
        if payment.due_at is None or payment.due_at > step.now:
            return
        if payment.withdrawn_at is not None:
            self._withdrawn(step, payment)
        elif payment.state is PaymentState.PROPOSED and payment.expires_at <= step.now:
            self._till.save(step, advance(payment, Action.EXPIRE, reason=DEADLINE, due_at=None), DEADLINE)
            step.note("system", "payment.expire", payment.id, "expired")
        elif payment.state is PaymentState.HELD and payment.accept_by is not None and payment.accept_by <= step.now:
            unclaimed = payment.kind in {PaymentKind.TRANSFER, PaymentKind.PAYOUT}
            reason = "unclaimed" if unclaimed else DEADLINE
            self._payments.mover.void(step, payment, DEADLINE, reason)
            step.note("system", "payment.void", payment.id, "voided", reason=reason)
        else:
            self._payments.post_unclaimed(step, payment_id)
            self._later(step, payment_id)

    def _later(self, step: Step, payment_id: str) -> None:
        """Nothing more is to be done about a payment now."""
        payment = self._till.lock(step, payment_id)
        due = None
        if payment.state is PaymentState.PROPOSED:
            due = payment.expires_at
        elif payment.state is PaymentState.HELD:
            due = payment.accept_by
        if payment.due_at != due:
            self._till.save(step, replace(payment, due_at=due), DEADLINE, tell=False)

    def _withdrawn(self, step: Step, payment: Payment) -> None:
        """Nobody waits for a payment any more: it is cancelled, given back or refunded, wherever it stands."""
        actor, reason = "system", "withdrawn"
        if payment.state is PaymentState.PROPOSED:
            self._till.save(step, advance(payment, Action.CANCEL, reason=reason, due_at=None), reason)
            step.note(actor, "payment.withdraw", payment.id, "cancelled")
        elif payment.state is PaymentState.HELD:
            self._payments.mover.void(step, payment, reason, reason)
            step.note(actor, "payment.withdraw", payment.id, "voided")
        elif paid(payment) and payment.kind is PaymentKind.INVOICE and payment.refundable:
            self._payments.invoices.give_back(
                step, payment, payment.refundable, by=reason, key=WITHDRAWN, asked=reason, reason=reason
            )
            if step.refused is not None:
                # The merchant has not so much now: it is owed, and tried until it is there.
                step.refused = None
                again = replace(self._till.lock(step, payment.id), due_at=step.now + PAUSE_MAX_MS)
                self._till.save(step, again, reason, tell=False)
        else:
            self._till.save(step, replace(payment, due_at=None), reason, tell=False)

    async def _run(self) -> None:
        clock = self._till.clock
        while True:
            self._till.due.clear()
            try:
                await self.run_due()
                due = await self.next_due()
            except DatabaseError as error:
                log.warning("payments' deadlines wait for the database: %s", error)
                await asyncio.sleep(1)
                continue
            except Exception:  # whatever it is, later deadlines must not be lost for it
                log.exception("payments' deadlines could not be looked at")
                await asyncio.sleep(1)
                continue
            latest = clock.now_ms() + LOOK_MS
            # What could not be done is due all the same: it does not make a busy loop.
            until = latest if due is None or due <= clock.now_ms() else min(due, latest)
            await clock.wait_until(until, self._till.due)


def _waits_for_provider(payment: Payment) -> bool:
    return payment.kind is PaymentKind.CASH_OUT and payment.state is PaymentState.HELD and payment.withdrawn_at is None
