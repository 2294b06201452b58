"""How payments come to be: proposed by people, by plugins, by dialogs. Inside the caller's commit."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from appservice.unit import UnitOfWork
from bots.domain.ledger import Conflict
from bots.domain.money import Money
from bots.domain.payments import (
    Payment,
    PaymentKind,
    PaymentRefused,
    PaymentState,
    Proposal,
    is_merchant,
    is_person,
    proposed,
)
from bots.framework.content import clean
from bots.framework.dialogs import payments as dialogs
from bots.payments import events
from bots.payments.ledger import IdConflict
from bots.payments.outcomes import Split
from bots.payments.till import Step, Till
from bots.store import payments as store

DIALOG_TTL: Final = 86_400_000
PEOPLE_MAX: Final = 50
DAY_MS: Final = 86_400_000
IN_VAIN: Final = frozenset({PaymentState.DECLINED.value, PaymentState.CANCELLED.value, PaymentState.EXPIRED.value})
IN_VAIN_MAX: Final = 5
"""Requests of one person to another within a day that came to nothing."""
HAS_PAID: Final = frozenset({PaymentState.PAID, PaymentState.PARTLY_REFUNDED, PaymentState.REFUNDED})


class Proposals:
    """Stores what is proposed, once for each key."""

    def __init__(self, till: Till) -> None:
        self._till = till

    def check(self, proposal: Proposal) -> None:
        """Whether it can be at all.

        Raises:
            PaymentRefused, InvoiceError: it cannot.
        """
        proposal.check()
        for money in (proposal.amount, proposal.received):
            if money is not None and money.currency not in self._till.settings.currencies:
                raise PaymentRefused("payments.currency_not_offered", currency=money.currency)

    def enter(self, step: Step, proposal: Proposal, *, tell: bool = True) -> Payment:
        """Store what is proposed, or find what was under its key.

        Args:
            tell: whether its people are told; not where it is confirmed in the same commit.

        Raises:
            PaymentRefused, InvoiceError: it cannot be.
            IdConflict: the key stands for something else.
        """
        proposal = readable(proposal)
        self.check(proposal)
        known = self._known(step, proposal)
        if known is not None:
            return known
        if proposal.expires_at <= step.now:
            raise PaymentRefused("payments.expired_before")
        self._room_for(step, proposal.initiator, [proposal])
        before = None
        if proposal.payer:
            before = store.paid_before(step.connection, proposal.payer, proposal.payee, HAS_PAID)
        payment = proposed(proposal, self._till.new_id(step.now), step.now, paid_before=before)
        payment = replace(payment, fingerprint=self._fingerprint(proposal))
        if self._stored(step, payment, tell=tell):
            return payment
        known = self._known(step, proposal)  # somebody was quicker
        assert known is not None
        return known

    def _known(self, step: Step, proposal: Proposal) -> Payment | None:
        """What was proposed under a key before."""
        row = store.by_key(step.connection, proposal.key)
        if row is None:
            return None
        payment = self._till.opened(row)
        if payment.fingerprint != self._fingerprint(proposal):
            raise IdConflict(Conflict(proposal.key, "another payment was proposed under this key"))
        return payment

    def _stored(self, step: Step, payment: Payment, *, tell: bool) -> bool:
        if not self._till.add(step, payment, payment.initiator, tell=tell):
            return False
        facts = {"kind": payment.kind.value, "payer": payment.payer, "payee": payment.payee}
        step.note(payment.initiator, "payment.propose", payment.id, "proposed", amount=str(payment.amount), **facts)
        return True

    def _fingerprint(self, proposal: Proposal) -> str:
        return self._till.digest("proposal", proposal.fingerprint)

    def _room_for(self, step: Step, initiator: str, proposals: Collection[Proposal]) -> None:
        """Whether a person may ask others for so much more."""
        asked = [each for each in proposals if each.kind is PaymentKind.TRANSFER and each.initiator == each.payee]
        new = [each for each in asked if store.by_key(step.connection, each.key) is None]
        if not new:
            return
        store.lock_person(step.connection, initiator)
        there = store.requests_of(step.connection, initiator, PaymentState.PROPOSED.value)
        most = self._till.settings.requests_open
        if there + len(new) > most:
            raise PaymentRefused("payments.too_many_requests", most=most)
        # To ask and take it back, again and again, is no way to write to somebody.
        for person in sorted({each.payer for each in new if each.payer}):
            vain = store.asked_in_vain(step.connection, initiator, person, IN_VAIN, step.now - DAY_MS)
            if vain >= IN_VAIN_MAX:
                raise PaymentRefused("payments.asked_often", person=person)

    # Several at once

    def shares(self, payee: str, people: Sequence[str], total: Money, *, own_share: bool) -> list[tuple[str, Money]]:
        """Who pays how much of a total; the payee's own share is the first, when they have one.

        Raises:
            PaymentRefused: there is nobody to ask, or not a unit for each.
        """
        asked = [person for person in dict.fromkeys(people) if person != payee]
        if not asked or len(asked) > PEOPLE_MAX:
            raise PaymentRefused("payments.bad_payer")
        whole = [payee, *asked] if own_share else asked
        if total.minor < len(whole):
            raise PaymentRefused("payments.not_positive")
        return list(zip(whole, total.split(len(whole)), strict=True))

    def ask_all(
        self,
        step: Step,
        shares: Sequence[tuple[str, Money]],
        payee: str,
        memo: str,
        key: str,
        origin_room: str,
        expires_at: int,
    ) -> Split:
        """Ask everybody for their share: all of them, or nobody."""
        group = self._till.digest("split", key)[:26]
        own = next((share for person, share in shares if person == payee), Money.zero(shares[0][1].currency))
        proposals = [
            Proposal(
                kind=PaymentKind.TRANSFER,
                payer=person,
                payee=payee,
                amount=share,
                memo=memo,
                # Not by name: keys stay when a person is erased.
                key=f"{key}:{self._till.digest('split', key, person)[:20]}",
                initiator=payee,
                group=group,
                origin_room=origin_room,
                expires_at=expires_at,
            )
            for person, share in shares
            if person != payee
        ]
        self._room_for(step, payee, proposals)
        return Split(group, own, tuple(self.enter(step, proposal) for proposal in proposals))

    # Dialogs

    def of_dialog(self, payment: dialogs.Payment) -> Proposal:
        """What ``d.pay`` proposes: to a person, or as an invoice of a bot that is captured at once.

        Raises:
            PaymentRefused: it cannot be, or the account is another bot's: who asks can take what was paid back.
        """
        kind = PaymentKind.TRANSFER if is_person(payment.to) else PaymentKind.INVOICE
        own = f"bot:{payment.consumer.partition(':')[0]}"
        if is_merchant(payment.to) and payment.to != own and not payment.to.startswith(f"{own}/"):
            raise PaymentRefused("payments.bad_payee")
        given = Proposal(
            kind=kind,
            payer=payment.payer,
            payee=payment.to,
            amount=payment.amount,
            memo=payment.memo,
            key=events.dialog_key(payment.consumer, payment.key),
            initiator=payment.payer if kind is PaymentKind.TRANSFER else payment.to,
            expires_at=self._till.clock.now_ms() + DIALOG_TTL,
            consumer=payment.consumer,
            dialog=payment.dialog,
            reply_room=payment.room_id,
        )
        proposal = readable(given)
        self.check(proposal)
        return proposal

    def ask_later(self, proposal: Proposal, paid_before: bool, unit: UnitOfWork) -> None:
        """Propose it in the commit of a unit."""
        till = self._till
        now = till.clock.now_ms()
        payment = proposed(proposal, till.new_id(now), now, paid_before=paid_before)
        payment = replace(payment, fingerprint=self._fingerprint(proposal))

        def operation(connection: Connection) -> None:
            step = Step(connection, now, None)
            if not self._stored(step, payment, tell=False):
                raise store.PaymentChanged(payment.id)  # the unit is tried again, and finds it
            till.write_notes(step)

        unit.store(operation)
        for event in events.changed(payment, till.wallet, proposal.initiator):
            unit.emit(event)
        unit.after_commit(till.due.set)


def readable(proposal: Proposal) -> Proposal:
    """A proposal whose words stay within their line: a payer decides on what they read, and words of others must not
    look like the wallet's own."""
    lines = tuple(replace(line, name=_one_line(line.name)) for line in proposal.lines)
    return replace(proposal, memo=_one_line(proposal.memo), lines=lines)


def _one_line(text: str) -> str:
    return " ".join(clean(text).split())
