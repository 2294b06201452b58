"""Payments: proposed, confirmed by their payers, held, paid, given back. The one way by which people's money moves.

Each call is one commit: the payment, the ledger, the guard, the audit log, the code that was used and the events that
tell of it. A crash before leaves nothing of it; after it the same call (the same key, the same event) gives the same
answer, and nothing happens twice. Calls raise :class:`PaymentRefused` for what cannot be, and DatabaseError when
nothing was kept or the outcome is unknown: call again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from appservice.unit import UnitOfWork
from bots.domain.money import Money
from bots.domain.payments import (
    Action,
    Capture,
    Payment,
    PaymentKind,
    PaymentRefused,
    PaymentState,
    Proposal,
    advance,
)
from bots.framework.dialogs import payments as dialogs
from bots.payments import events
from bots.payments.confirmations import Attempt, Confirmations
from bots.payments.invoices import Invoices
from bots.payments.ledger import IdConflict
from bots.payments.moving import Mover
from bots.payments.outcomes import (
    Also,
    ApprovalOutcome,
    CashOuts,
    Challenge,
    Confirmed,
    ConfirmOutcome,
    PinLinks,
    Split,
)
from bots.payments.proposals import HAS_PAID, Proposals
from bots.payments.subscriptions import Subscriptions
from bots.payments.till import Step, Till
from bots.store import payments as store

__all__ = [
    "ApprovalOutcome",
    "Capture",
    "Challenge",
    "ConfirmOutcome",
    "Confirmed",
    "IdConflict",
    "Payment",
    "PaymentKind",
    "PaymentRefused",
    "PaymentState",
    "Payments",
    "Proposal",
    "Split",
]

HISTORY_MAX: Final = 500
SEARCHED_MAX: Final = 5_000
"""Payments that a search by text opens at most."""
LISTED: Final = frozenset({PaymentState.PROPOSED})


class Payments:
    """What the wallet, the providers and dialogs do with payments. Plugins get :class:`bots.payments.merchants`."""

    def __init__(
        self,
        till: Till,
        *,
        pins: PinLinks | None = None,
        randbelow: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        """
        Args:
            pins: makes links to the page that asks for the PIN; without it no payment that needs one can be confirmed.
            randbelow: where codes come from.
        """
        self.till = till
        self.mover = Mover(till)
        self.invoices = Invoices(till, self.mover)
        self.pins = pins
        self.cash_outs: CashOuts | None = None
        """Begins confirmed cash-outs: ``Funding.begin``. They wait while there is none."""
        self.proposals = Proposals(till)
        self.subscriptions = Subscriptions(till, self.mover, self.proposals)
        self._confirmations = Confirmations(till, self.mover, randbelow)

    # Proposing

    async def propose(self, proposal: Proposal) -> Payment:
        """Ask the payer, by the wallet. The same key again is the same payment, as it stands.

        Raises:
            PaymentRefused, InvoiceError: it cannot be.
            IdConflict: the key stands for something else.
        """
        return await self.till.commit(
            lambda step: self.proposals.enter(step, proposal),
            lambda step, code: step.note(proposal.initiator, "payment.propose", "-", f"refused:{code}"),
        )

    async def split(
        self,
        *,
        payee: str,
        people: Sequence[str],
        total: Money,
        memo: str,
        key: str,
        origin_room: str,
        expires_at: int | None = None,
        own_share: bool = True,
    ) -> Split:
        """Ask several people for equal shares, in one commit. The shares add up; what is left over pays the first.

        Args:
            payee: who asks. With ``own_share`` the first share is theirs, and nobody is asked for it.
            people: whom to ask, all of them in ``origin_room`` with the payee: the caller has checked that.
            expires_at: ms since the epoch; as configured unless told.

        Raises:
            PaymentRefused: it cannot be; then nobody is asked.
            IdConflict: the key stands for something else.
        """
        until = self.till.clock.now_ms() + self.till.settings.request_ttl if expires_at is None else expires_at
        split = self.proposals.shares(payee, people, total, own_share=own_share)
        return await self.till.commit(
            lambda step: self.proposals.ask_all(step, split, payee, memo, key, origin_room, until),
            lambda step, code: step.note(payee, "payment.split", "-", f"refused:{code}"),
        )

    async def claim(self, payment_id: str, payer: str) -> Payment:
        """Let somebody be the payer of an open request (a QR code): once. One that is over is given back as it is: the
        wallet says “already paid”.

        Raises:
            PaymentRefused: it is their own, or somebody else has claimed it and has not paid yet.
        """

        def work(step: Step) -> Payment:
            payment = self.till.lock(step, payment_id)
            if payment.payer == payer or not payment.open:
                return payment
            if payment.payer:
                raise PaymentRefused("payments.claimed")
            if payment.payee == payer:
                raise PaymentRefused("payments.self")
            if payment.withdrawn_at is not None:
                raise PaymentRefused("payments.withdrawn")
            if payment.expires_at <= step.now:
                raise PaymentRefused("payments.too_late")
            before = store.paid_before(step.connection, payer, payment.payee, HAS_PAID)
            payment = replace(payment, payer=payer, paid_before=before, changes=payment.changes + 1)
            payment = self.till.save(step, payment, payer)
            step.note(payer, "payment.claim", payment.id, "claimed")
            return payment

        return await self.till.commit(work, _noting(payer, "payment.claim", payment_id))

    # Confirming

    async def challenge(self, payment_id: str, payer: str, room_id: str) -> Challenge:
        """A new one-time code for the payer's direct chat with the wallet, or the link to the page that asks for the
        PIN. What they were given for it before is good no more.

        Args:
            room_id: the room that the code is going to be shown in, and must be typed in.

        Raises:
            PaymentRefused: there is nothing for this person to confirm, or too many codes were wrong.
        """
        shown = await self.till.commit(
            lambda step: self._confirmations.challenge(step, payment_id, payer, room_id),
            _noting(payer, "payment.challenge", payment_id),
        )
        link = None
        if shown.code is None:
            if self.pins is None:
                raise PaymentRefused("payments.not_possible")
            seconds = max((shown.expires_at - self.till.clock.now_ms()) // 1000, 1)
            link = await self.pins.approval_link(payment_id, payer, seconds)
        agreed = None
        if shown.payment.kind is PaymentKind.MANDATE:
            agreed = await self.subscriptions.get(payment_id)
        if agreed is None:
            return Challenge(shown.payment, shown.code, link, shown.expires_at)
        return Challenge(shown.payment, shown.code, link, shown.expires_at, agreed.interval, agreed.amount)

    async def confirm(
        self, *, payer: str, code: str, room_id: str, event_id: str, payment_id: str | None = None
    ) -> Confirmed:
        """Take a code that a person has typed.

        Args:
            event_id: of the message: the same again is answered the same, ``repeated``, and changes nothing.
            payment_id: the payment that they named, where they did: another one's code does not pay it.
        """
        attempt = Attempt(payer, code, room_id, event_id, payment_id)
        return await self.till.commit(lambda step: self._confirmations.confirm(step, attempt))

    async def approve(self, payment_id: str, payer: str, also: Also | None = None) -> ApprovalOutcome:
        """The page says that the payer has given their PIN. Only what :meth:`challenge` sent there can be approved.

        Args:
            also: runs in the commit that takes the page's word; what it raises undoes it.
        """
        return await self.till.commit(lambda step: self._confirmations.approve(step, payment_id, payer, also))

    # Ending

    async def decline(self, payment_id: str, payer: str, also: Also | None = None) -> Payment:
        """The payer does not want to pay. Twice is the same as once.

        Args:
            also: runs in the commit that declines; what it raises undoes it.

        Raises:
            PaymentRefused: it is not theirs, or confirmed already.
        """
        return await self._end(payment_id, payer, Action.DECLINE, lambda payment: payment.payer == payer, also)

    async def cancel(self, payment_id: str, initiator: str) -> Payment:
        """Whoever asked for it takes it back, before it is confirmed. Twice is the same as once.

        Raises:
            PaymentRefused: it is not theirs, or confirmed already.
        """
        return await self._end(payment_id, initiator, Action.CANCEL, lambda payment: payment.initiator == initiator)

    async def _end(
        self,
        payment_id: str,
        by: str,
        action: Action,
        allowed: Callable[[Payment], bool],
        also: Also | None = None,
    ) -> Payment:
        word = f"payment.{action.value}"

        def work(step: Step) -> Payment:
            payment = self.till.lock(step, payment_id)
            if not allowed(payment):
                raise PaymentRefused("payments.not_yours")
            if payment.state in {PaymentState.DECLINED, PaymentState.CANCELLED}:
                return payment
            payment = self.till.save(step, advance(payment, action, reason=action.value, due_at=None), by)
            if also is not None:
                also(step.connection)
            step.note(by, word, payment.id, payment.state.value)
            return payment

        return await self.till.commit(work, _noting(by, word, payment_id))

    async def revoke(self, mandate_id: str, payer: str) -> Payment:
        """The payer ends a mandate: nothing is charged under it any more. Twice is the same as once.

        Raises:
            PaymentRefused: there is none of theirs.
        """

        def allowed(payment: Payment) -> None:
            if payment.payer != payer or payment.kind is not PaymentKind.MANDATE:
                raise PaymentRefused("payments.not_yours")

        return await self.invoices.void(mandate_id, payer, "payer", allowed)

    # Providers

    async def settle(self, payment_id: str) -> Payment:
        """The provider has paid out: what is held is its. Twice is the same as once.

        Raises:
            PaymentRefused: it is no confirmed cash-out.
        """
        return await self.invoices.capture(payment_id, None, "provider", _is_cash_out)

    async def fail(self, payment_id: str, reason: str) -> Payment:
        """The provider will not pay out: what is held goes back. Twice is the same as once.

        Args:
            reason: a word for programs.

        Raises:
            PaymentRefused: it is no confirmed cash-out.
        """
        return await self.invoices.void(payment_id, "provider", reason, _is_cash_out)

    async def pay_out(self, proposal: Proposal) -> Payment:
        """Pay a person out of a merchant's account, on the merchant's word. The same key again is the same payment, and
        tries again what was refused for now.

        Raises:
            PaymentRefused: it cannot be, or not now.
            IdConflict: the key stands for something else.
        """

        def work(step: Step) -> Payment:
            payment = self.proposals.enter(step, proposal, tell=False)
            payment = self.till.lock(step, payment.id)
            if not payment.open:
                return payment
            payment, refusal = self.mover.confirm(step, payment, proposal.payer)
            if refusal is not None:
                step.refused = PaymentRefused(refusal)
            word = payment.state.value if refusal is None else f"refused:{refusal.code}"
            step.note(proposal.payer, "payment.pay_out", payment.id, word)
            return payment

        return await self.till.commit(
            work, lambda step, code: step.note(proposal.payer, "payment.pay_out", "-", f"refused:{code}")
        )

    # Wallets

    async def open_wallet(self, person: str) -> bool:
        """Open a person's wallet, and give them what was held for them; whether it was not open before."""

        def work(step: Step) -> bool:
            if store.lock_wallet(step.connection, person):
                return False
            # A crash before everything is posted leaves it to the deadlines.
            store.open_wallet(step.connection, person, step.now)
            step.note(person, "wallet.open", "-", "opened", person=person)
            return True

        opened = await self.till.commit(work)
        await self.wallet_opened(person)
        return opened

    async def is_open(self, person: str) -> bool:
        """Whether a person has a wallet."""
        return await self.till.read(lambda connection: store.is_open(connection, person))

    async def wallet_opened(self, person: str) -> None:
        """Post what is held for somebody who has a wallet now."""
        for payment_id in await self.till.read(lambda connection: self._held_for(connection, person)):
            await self.till.commit(lambda step, payment_id=payment_id: self.post_unclaimed(step, payment_id))  # type: ignore[misc]
        await self.till.commit(lambda step: store.caught_up(step.connection, person))

    def _held_for(self, connection: Connection, person: str) -> list[str]:
        held = PaymentState.HELD.value
        kinds = (PaymentKind.TRANSFER, PaymentKind.PAYOUT)
        return [each for kind in kinds for each in store.held_for(connection, person, kind.value, held)]

    def post_unclaimed(self, step: Step, payment_id: str) -> None:
        """Post a payment whose payee has a wallet by now, inside a commit; otherwise do nothing."""
        payment = self.till.lock(step, payment_id)
        unclaimed = payment.kind in {PaymentKind.TRANSFER, PaymentKind.PAYOUT} and payment.state is PaymentState.HELD
        if not unclaimed or payment.withdrawn_at is not None or (payment.accept_by or step.now) <= step.now:
            return
        if not store.lock_wallet(step.connection, payment.payee):
            return
        payment, refusal = self.mover.capture(step, payment, payment.amount, payment.payee)
        word = "paid" if refusal is None else f"refused:{refusal.code}"
        step.note(payment.payee, "payment.claimed", payment.id, word)

    # Looking

    async def get(self, payment_id: str) -> Payment | None:
        """A payment as it stands."""
        row = await self.till.read(lambda connection: store.get(connection, payment_id))
        return None if row is None else self.till.opened(row)

    async def by_key(self, key: str) -> Payment | None:
        """The payment of a key."""
        row = await self.till.read(lambda connection: store.by_key(connection, key))
        return None if row is None else self.till.opened(row)

    async def open_for(self, payer: str) -> list[Payment]:
        """What waits for a person's confirmation, the oldest first."""
        now = self.till.clock.now_ms()
        rows = await self.till.read(lambda connection: store.open_of(connection, payer, LISTED))
        found = [self.till.opened(row) for row in rows]
        return [each for each in found if each.expires_at > now and each.withdrawn_at is None]

    async def requested_by(self, initiator: str) -> list[Payment]:
        """What a person has asked others for and is not paid yet, the oldest first."""
        state = PaymentState.PROPOSED.value
        rows = await self.till.read(lambda connection: store.asked_by(connection, initiator, state))
        return [self.till.opened(row) for row in rows]

    async def group(self, group: str) -> list[Payment]:
        """The shares of a split."""
        rows = await self.till.read(lambda connection: store.of_group(connection, group))
        return [self.till.opened(row) for row in rows]

    async def paid_before(self, payer: str, payee: str) -> bool:
        """Whether a person has paid somebody."""
        return await self.till.read(lambda connection: store.paid_before(connection, payer, payee, HAS_PAID))

    async def history(
        self,
        person: str,
        *,
        text: str | None = None,
        since: int | None = None,
        until: int | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[Payment]:
        """Payments that a person takes part in, the latest first.

        Args:
            text: stands in the memo, a line, or the other one's id, whatever the case. The latest 5,000 are searched.
            since, until: ms since the epoch, by when they were proposed; ``until`` itself is not in it.
            before: the id of the last one of the page before.
        """
        limit = min(limit, HISTORY_MAX)
        wanted, found, seen = (text or "").casefold().strip(), list[Payment](), 0
        while len(found) < limit and seen < SEARCHED_MAX:
            size = limit if not wanted else HISTORY_MAX
            rows = await self.till.read(
                lambda connection, before=before, size=size: store.page(  # type: ignore[misc]
                    connection, person, since=since, until=until, before=before, limit=size
                )
            )
            page = [self.till.opened(row) for row in rows]
            found += [each for each in page if not wanted or _says(each, person, wanted)]
            seen += len(page)
            if len(page) < size:
                break
            before = page[-1].id
        return found[:limit]

    # Dialogs: the protocol of bots.framework.dialogs.payments

    async def request(self, payment: dialogs.Payment, unit: UnitOfWork) -> None:
        """``d.pay``: propose it in the commit of the dialog's unit. The same key again is the same payment."""
        proposal = self.proposals.of_dialog(payment)
        if await self.by_key(proposal.key) is not None:
            await self.propose(proposal)  # says whether it is the same
            return
        before = await self.paid_before(payment.payer, payment.to)
        self.proposals.ask_later(proposal, before, unit)

    async def withdraw(self, key: str, unit: UnitOfWork) -> None:
        """The dialog does not want its payment any more: from the unit's commit on it cannot be confirmed. What is held
        by then goes back, what was paid to a merchant is refunded, by the deadlines at once."""
        whole = events.dialog_key(unit.consumer, key)
        now = self.till.clock.now_ms()
        unit.store(lambda connection: store.withdraw(connection, whole, unit.consumer, now))
        unit.after_commit(self.till.due.set)


def _is_cash_out(payment: Payment) -> None:
    if payment.kind is not PaymentKind.CASH_OUT:
        raise PaymentRefused("payments.not_yours")


def _says(payment: Payment, person: str, wanted: str) -> bool:
    other = payment.payee if payment.payer == person else payment.payer
    texts = (payment.memo, other, payment.id, *(line.name for line in payment.lines))
    return any(wanted in text.casefold() for text in texts)


def _noting(actor: str, action: str, payment_id: str) -> Callable[[Step, str], None]:
    return lambda step, code: step.note(actor, action, payment_id, f"refused:{code}")
