"""What people are told when a payment has changed: each once, in their own chat, and the group where it began, if it
did, only what was said there before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from appservice.homeserver import HomeserverError
from bots.domain.money import Money
from bots.domain.payments import Payment, PaymentKind, PaymentState
from bots.framework import Context
from bots.framework.payment_changes import PaymentChange
from bots.wallet import numbers, sentences
from bots.wallet.chats import Hearer, hearer
from bots.wallet.means import Means
from bots.wallet.paying import SHOWN_AT_ONCE, Paying
from bots.wallet.requesting import ANNOUNCED, Requesting

_LIVE: Final = frozenset({PaymentKind.INVOICE, PaymentKind.MANDATE})
"""What a payer has just asked a merchant for: the code is shown at once."""


@dataclass(frozen=True, slots=True)
class Case:
    """A payment, who is told of it, and whether they are the one who pays."""

    payment: Payment
    change: PaymentChange
    to: Hearer
    other: str
    """The other side, as people read it."""

    @property
    def paying(self) -> bool:
        """Whether the person is the payer."""
        return self.to.person == self.payment.payer

    @property
    def asked(self) -> bool:
        """Whether somebody else has asked the payer for it."""
        return self.payment.initiator != self.payment.payer


class Notices:
    """Tells people."""

    def __init__(self, means: Means, paying: Paying, requesting: Requesting) -> None:
        self._means = means
        self._paying = paying
        self._requesting = requesting
        self._texts: dict[str, Callable[[Case], str]] = {
            "held": _held,
            "declined": _declined,
            "cancelled": _cancelled,
            "expired": _expired,
            "voided": _voided,
            "refused": _refused,
        }

    async def changed(self, ctx: Context, change: PaymentChange) -> None:
        """A payment is something else than before."""
        payment = await self._means.payments.get(change.payment)
        if payment is None or change.person not in {payment.payer, payment.payee}:
            return
        to = await hearer(ctx, change.person)
        other = payment.payee if change.person == payment.payer else payment.payer
        case = Case(payment, change, to, await self._means.full(ctx, other) if other else "")
        if change.about != "state":
            self._tell(ctx, case, _subscription(case))
        elif change.state == PaymentState.PROPOSED:
            await self._proposed(ctx, case)
        elif change.state == PaymentState.PAID:
            await self._paid(ctx, case)
        elif change.state in {PaymentState.PARTLY_REFUNDED, PaymentState.REFUNDED}:
            self._tell(ctx, case, await self._with_balance(case, _refunded(case)))
        elif change.state in self._texts:
            self._tell(ctx, case, self._texts[change.state](case))

    def _tell(self, ctx: Context, case: Case, text: str, *, ring: bool = False) -> None:
        if text:
            change = case.change
            key = f"payment {change.payment} {change.about} {change.state} {change.change} {change.due} {change.person}"
            if change.about == "subscription":  # paused and resumed more than once, while the mandate stays as it is
                key = f"{key} {ctx.event.event_id}"
            case.to.tell(ctx, text, key=key, ring=ring)

    # Asked

    async def _proposed(self, ctx: Context, case: Case) -> None:
        """A payer hears that somebody wants money of them."""
        payment, to = case.payment, case.to
        if not case.paying or payment.state is not PaymentState.PROPOSED or payment.key.startswith(SHOWN_AT_ONCE):
            return
        number = await numbers.number(ctx.states.user(to.person), payment.id)
        if payment.kind in _LIVE or payment.dialog:
            again = to.t("When the code is too old, “pay {number}” gives you a new one.", number=number)
            await self._paying.ask(ctx, payment, to, [again])
            return
        lines = [
            to.t("{number}. {person} asks you for {amount}.", number=number, person=case.other, amount=payment.amount)
        ]
        if payment.memo:
            lines.append(to.t("For: {memo}", memo=payment.memo))
        lines += await self._paying.warnings(ctx, to, payment)
        how = to.t("“pay {number}” pays it, “decline {number}” does not. It ends by {time}.", number=number,
                   time=sentences.at(payment.expires_at))  # fmt: skip
        self._tell(ctx, case, "\n".join([*lines, how]), ring=True)
        self._requesting.remind_later(ctx, payment)

    # Paid

    async def _paid(self, ctx: Context, case: Case) -> None:
        text = _paid_to(case) if case.paying else _paid_by(case)
        receipt = case.to.t("Receipt: {receipt}", receipt=case.payment.id)
        memo = [case.to.t("For: {memo}", memo=case.payment.memo)] if _says_memo(case.payment) else []
        whole = await self._with_balance(case, "\n".join([text, *memo, receipt]))
        self._tell(ctx, case, whole, ring=not case.paying)
        if case.paying:
            await self._announce(ctx, case)

    async def _announce(self, ctx: Context, case: Case) -> None:
        """The group where somebody wrote down what was to be paid hears that it is; no amount, no balance."""
        payment = case.payment
        if payment.kind is not PaymentKind.TRANSFER or not await self._is_group(ctx, payment):
            return
        payer = await self._means.full(ctx, payment.payer)
        payee = await self._means.full(ctx, payment.payee)
        texts = ctx.services.catalogues.translator(None, "wallet")
        text = texts.t("✓ {payer} has paid {payee}.", payer=payer, payee=payee)
        content = {"msgtype": "m.notice", "body": text}
        ctx.send(content, room_id=payment.origin_room, key=f"payment {payment.id} group")

    async def _is_group(self, ctx: Context, payment: Payment) -> bool:
        """Whether it was announced among several people, and both of them and the wallet are still there."""
        if not payment.origin_room or not payment.key.startswith(ANNOUNCED):
            return False
        try:
            members = await ctx.members(payment.origin_room)
        except HomeserverError as error:
            if error.temporary:
                raise
            return False
        return all(members.get(each) == "join" for each in (payment.payer, payment.payee, ctx.user_id))

    async def _with_balance(self, case: Case, text: str) -> str:
        """The text, and what is in the wallet now."""
        if not text:
            return ""
        money = case.payment.received if _takes_received(case) and case.payment.received else case.payment.amount
        account = await self._means.ledger.account(case.to.person, money.currency)
        return text + "\n" + case.to.t("You now have {balance}.", balance=account.available)


def _takes_received(case: Case) -> bool:
    return case.payment.kind is PaymentKind.EXCHANGE


def _says_memo(payment: Payment) -> bool:
    return bool(payment.memo) and payment.kind in {PaymentKind.TRANSFER, PaymentKind.INVOICE, PaymentKind.PAYOUT}


def _paid_to(case: Case) -> str:
    to, payment = case.to, case.payment
    if payment.kind is PaymentKind.EXCHANGE:
        return to.t("✅ Exchanged: {amount} for {received}.", amount=payment.amount, received=payment.received)
    if payment.kind is PaymentKind.CASH_OUT:
        return to.t("✅ Cashed out: {amount}.", amount=payment.amount)
    return to.t("✅ Paid: {amount} to {person}.", amount=payment.captured, person=case.other)


def _paid_by(case: Case) -> str:
    return case.to.t("✅ {person} has paid you {amount}.", person=case.other, amount=case.payment.captured)


def _held(case: Case) -> str:
    to, payment = case.to, case.payment
    until = sentences.at(payment.accept_by) if payment.accept_by is not None else None
    if payment.kind is PaymentKind.TRANSFER:
        if case.paying:
            return to.t(
                "⏳ {amount} for {person} is set aside: they have no wallet yet. I have told them. It comes back to "
                "you if they open none until {time}.",
                amount=payment.amount, person=case.other, time=until or "",
            )  # fmt: skip
        return to.t(
            "🎁 {person} sends you {amount}. Write anything to me here until {time}, and it is yours. If not, it goes "
            "back.",
            person=case.other, amount=payment.amount, time=until or "",
        )  # fmt: skip
    if not case.paying:
        return ""
    if payment.kind is PaymentKind.CASH_OUT:
        return to.t("⏳ Confirmed. {amount} is on its way out; I tell you when it is done.", amount=payment.amount)
    if payment.kind is PaymentKind.MANDATE:
        return to.t("✅ Agreed. {person} can charge you up to {amount} at a time, until you end it.",
                    person=case.other, amount=payment.amount)  # fmt: skip
    if until is not None:
        return to.t("⏳ Confirmed. {amount} is set aside until {person} accepts, by {time} at the latest.",
                    amount=payment.amount, person=case.other, time=until)  # fmt: skip
    return to.t("⏳ Confirmed. {amount} is set aside until {person} accepts.", amount=payment.amount, person=case.other)


def _declined(case: Case) -> str:
    """Who declines has heard it; who asked hears it here."""
    if case.paying or not case.asked:
        return ""
    return case.to.t("✗ {person} has declined to pay {amount}.", person=case.other, amount=case.payment.amount)


def _cancelled(case: Case) -> str:
    if not case.paying or not case.asked:
        return ""
    return case.to.t("{person} does not ask you for {amount} any more.", person=case.other, amount=case.payment.amount)


def _expired(case: Case) -> str:
    """What one began oneself and did not confirm is no news."""
    if not case.asked:
        return ""
    if case.paying:
        return case.to.t("The time to pay {amount} to {person} has passed. Nothing was paid.",
                         amount=case.payment.amount, person=case.other)  # fmt: skip
    if not case.payment.payer:
        return case.to.t("Nobody has scanned your code for {amount} in time.", amount=case.payment.amount)
    return case.to.t("{person} has not paid {amount} in time.", person=case.other, amount=case.payment.amount)


def _voided(case: Case) -> str:
    to, payment = case.to, case.payment
    if payment.kind is PaymentKind.MANDATE:
        return to.t("{person} can charge you no more.", person=case.other) if case.paying else ""
    if case.paying:
        if payment.kind is PaymentKind.CASH_OUT:
            return to.t("↩️ The cash-out of {amount} did not work: the money is in your wallet.", amount=payment.amount)
        return to.t("↩️ {amount} for {person} is yours again: it was not paid.", amount=payment.amount,
                    person=case.other)  # fmt: skip
    if payment.kind is PaymentKind.TRANSFER:
        return to.t("{amount} of {person} has gone back: it was not taken in time.", amount=payment.amount,
                    person=case.other)  # fmt: skip
    return ""


def _refused(case: Case) -> str:
    if case.paying:
        return case.to.t("✗ The payment of {amount} to {person} is not possible. Nothing was paid.",
                         amount=case.payment.amount, person=case.other)  # fmt: skip
    return case.to.t("✗ {person} could not pay {amount}.", person=case.other, amount=case.payment.amount)


def _refunded(case: Case) -> str:
    to, payment = case.to, case.payment
    if payment.refunded == payment.captured:
        mine = to.t("↩️ {person} has given {amount} back to you.", person=case.other, amount=payment.refunded)
        theirs = to.t("↩️ {amount} has gone back to {person}.", person=case.other, amount=payment.refunded)
    else:
        left = Money(payment.captured.minor - payment.refunded.minor, payment.captured.currency)
        mine = to.t("↩️ {person} has given you back {amount} so far; {left} stays paid.", person=case.other,
                    amount=payment.refunded, left=left)  # fmt: skip
        theirs = to.t("↩️ {amount} so far has gone back to {person}.", person=case.other, amount=payment.refunded)
    return (mine if case.paying else theirs) + "\n" + to.t("Receipt: {receipt}", receipt=payment.id)


def _subscription(case: Case) -> str:
    to, change = case.to, case.change
    if not case.paying:
        return ""
    if change.about == "reminder" and change.due is not None:
        return to.t("{person} charges you {amount} on {time}. “subscriptions” shows it and ends it.",
                    person=case.other, amount=case.payment.amount, time=sentences.at(change.due))  # fmt: skip
    return {
        "paused": to.t("Your subscription with {person} is paused: the last charge did not work.", person=case.other),
        "active": to.t("Your subscription with {person} goes on.", person=case.other),
        "ended": to.t("Your subscription with {person} has ended.", person=case.other),
    }.get(change.state, "")
