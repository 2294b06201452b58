"""Paying: somebody is named, or a request answered; a question with a one-time code; the code.

Only a message that a person has typed in their own chat with the wallet confirms anything. Reactions, votes and edits
have no handler here; what is quoted is cut off before anything is read; codes in other rooms are not looked at.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from bots.domain.money import Money
from bots.domain.payments import Payment, PaymentKind, PaymentState, Proposal
from bots.framework import Context, InvalidValue
from bots.framework.i18n import _
from bots.framework.own_chat import alone
from bots.payments.outcomes import Confirmed, ConfirmOutcome
from bots.wallet import numbers, payees, sentences, words
from bots.wallet.chats import Hearer, aside, hearer
from bots.wallet.limits import refuse_beyond
from bots.wallet.means import Means
from bots.wallet.problems import Discreet, discreet

CODE: Final = re.compile(r"\d{6}")
KNOWN: Final = 200
"""Payments of a person that are looked through for people they know."""
SHOWN_AT_ONCE: Final = ("pay:", "qr:", "exchange:", "cash:")
"""The keys of payments whose question is the answer to what the payer has just written begin so."""
_FORWARDED: Final = ("m.forwarded", "org.matrix.msc2723.forwarded")
_RELATED: Final = frozenset({"", "m.thread"})


class Paying:
    """Payments of people, and the confirmation of every payment."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._payments = means.payments

    # What is to be paid

    async def pay(self, ctx: Context, text: str) -> None:
        """ "@bob 20 EUR for lunch", "3" (a request), a token or a link."""
        if (token := words.token_of(text)) is not None:
            await self.scan(ctx, token)
            return
        if (wanted := words.number_of(text)) is not None:
            await self.answer_request(ctx, wanted)
            return
        order = words.order(text, self._means.env(ctx), await payees.names(ctx.user_state), ctx.user_id)
        payee, amount = self._one(order)
        await self._means.registry.check(ctx, payee)
        self._means.offered(amount)
        await refuse_beyond(ctx, self._means, amount)
        payment = await self._payments.propose(
            Proposal(
                kind=PaymentKind.TRANSFER,
                payer=ctx.sender,
                payee=payee,
                amount=amount,
                memo=order.memo,
                key=f"pay:{ctx.event.event_id}",
                initiator=ctx.sender,
                origin_room="" if await alone(ctx) else ctx.room_id,
                expires_at=ctx.now_ms() + self._means.settings.code_ttl,
            )
        )
        await self.ask(ctx, payment, await self._aside(ctx))

    def _one(self, order: words.Order) -> tuple[str, Money]:
        if len(order.people) > 1:
            raise InvalidValue("wallet.one_payee", _("One payment goes to one person."), clear=True)
        if not order.people:
            raise InvalidValue("wallet.no_payee", _("Whom should I pay? Write their id, such as @bob."), clear=True)
        if order.amount is None:
            raise InvalidValue("wallet.no_amount", _("How much? Write an amount, such as 20 EUR."), clear=True)
        return order.people[0], order.amount

    async def _aside(self, ctx: Context) -> Hearer:
        """The payer's own chat; a group hears that they were asked there, and nothing else."""
        if await alone(ctx):
            return Hearer(ctx.sender, ctx.room_id, ctx.translator)
        ctx.say(ctx.t("✓ I have asked you in our own chat."), reply=True)
        return await hearer(ctx, ctx.sender)

    async def answer_request(self, ctx: Context, wanted: int) -> None:
        """Ask for the code of a request that the person was sent."""
        payment = await self.numbered(ctx, wanted)
        if payment.payer != ctx.sender:
            raise Discreet("wallet.own_request", _("Request {number} is your own: others pay it."), number=wanted)
        await self.ask(ctx, payment, await aside(ctx))

    async def scan(self, ctx: Context, token: str) -> None:
        """A request of a QR code: whoever scans it becomes its payer, once."""
        payment = await self._payments.get(token)
        scanned = payment is not None and payment.key.startswith("qr:")
        if payment is None or not (scanned or payment.payer == ctx.sender):
            raise InvalidValue("wallet.no_such_code", _("This code leads to no request for money."), clear=True)
        if scanned and ctx.sender == payment.payee:
            raise InvalidValue("wallet.own_code", _("This is your own request: others scan it."), clear=True)
        if payment.open and not payment.payer:
            await refuse_beyond(ctx, self._means, payment.amount)
        if scanned:
            payment = await self._payments.claim(token, ctx.sender)
        if payment.payer and payment.payer != ctx.sender:
            raise InvalidValue("wallet.code_used", _("This code was used by somebody else already."), clear=True)
        await self.ask(ctx, payment, await aside(ctx))

    async def numbered(self, ctx: Context, wanted: int) -> Payment:
        """The payment that a person means by a number.

        Raises:
            InvalidValue: there is none.
        """
        payment_id = await numbers.payment(ctx.user_state, wanted)
        payment = None if payment_id is None else await self._payments.get(payment_id)
        if payment is None or ctx.sender not in {payment.payer, payment.payee, payment.initiator}:
            raise Discreet(
                "wallet.no_request",
                _("You have no request {number}. “requests” shows those you have."),
                clear=True,
                number=wanted,
            )
        return payment

    # The question

    async def ask(self, ctx: Context, payment: Payment, to: Hearer, more: Sequence[str] = ()) -> None:
        """Show what is to be paid, with a new code: older ones of it are good for nothing from now on.

        Args:
            more: lines that the payer reads before the code.
        """
        if payment.state is not PaymentState.PROPOSED:
            to.tell(ctx, await self.as_it_stands(ctx, to, payment))
            return
        if payment.expires_at <= ctx.now_ms():
            to.tell(ctx, to.t("The time for this has passed. Nothing was paid."))
            return
        challenge = await self._payments.challenge(payment.id, payment.payer, to.room_id)
        payee = await self._means.full(ctx, payment.payee)
        lines = [*more, *await self.warnings(ctx, to, payment)]
        text = sentences.question(to, challenge, payee, lines, ctx.now_ms())
        to.tell(ctx, text, ring=to.room_id != ctx.room_id)

    async def warnings(self, ctx: Context, to: Hearer, payment: Payment) -> list[str]:
        """What a payer should know of the payee: whether they were ever paid, and whom they could be taken for."""
        if payment.kind is not PaymentKind.TRANSFER:
            return []
        state = ctx.states.user(payment.payer)
        if not payment.paid_before and await payees.trusted(state, payment.payee):
            return [to.t("You have marked them as trusted.")]
        alike: list[str] = []
        if not payment.paid_before:
            known = await self.people_paid(payment.payer)
            alike = await payees.mistaken_for(ctx, payment.payer, payment.payee, known)
        return sentences.acquaintance(to, bool(payment.paid_before), alike)

    async def people_paid(self, person: str) -> list[str]:
        """Whom a person has paid or been paid by, the latest first."""
        found = await self._payments.history(person, limit=KNOWN)
        return list(
            dict.fromkeys(
                other
                for each in found
                for other in (each.payer, each.payee)
                if other.startswith("@") and other != person and each.captured
            )
        )

    async def as_it_stands(self, ctx: Context, to: Hearer, payment: Payment) -> str:
        """A payment that waits for nobody any more."""
        if payment.state in {PaymentState.PAID, PaymentState.PARTLY_REFUNDED, PaymentState.REFUNDED}:
            payee = await self._means.full(ctx, payment.payee)
            return to.t(
                "This has been paid already: {amount} to {payee}. Receipt: {receipt}",
                amount=payment.amount,
                payee=payee,
                receipt=payment.id,
            )
        if payment.state is PaymentState.HELD:
            return to.t("This has been confirmed already. I tell you when it is done. Receipt: {receipt}",
                        receipt=payment.id)  # fmt: skip
        if payment.state is PaymentState.EXPIRED:
            return to.t("The time for this has passed. Nothing was paid.")
        return to.t("This was taken back or declined. Nothing was paid.")

    # The code

    async def confirm(self, ctx: Context, text: str) -> None:
        """Take a code, where and how a code counts."""
        code = code_in(text)
        if not await alone(ctx):
            raise InvalidValue(
                "wallet.code_elsewhere", _("I take codes only in our own chat. Nothing was paid."), clear=True
            )
        if code is None:
            raise InvalidValue("wallet.no_code", _("A code is six digits. Nothing was paid."), clear=True)
        if not typed(ctx):
            raise InvalidValue(
                "wallet.code_not_typed", _("Please type the code yourself. Nothing was paid."), clear=True
            )
        confirmed = await self._payments.confirm(
            payer=ctx.sender, code=code, room_id=ctx.room_id, event_id=ctx.event.event_id
        )
        text = await self._outcome(ctx, confirmed)
        if text:
            ctx.say(text)

    async def _outcome(self, ctx: Context, confirmed: Confirmed) -> str:
        """What to say; nothing of what is told to both people when it has happened."""
        outcome, t = confirmed.outcome, ctx.t
        if outcome in {ConfirmOutcome.PAID, ConfirmOutcome.HELD}:
            return ""
        if outcome is ConfirmOutcome.ALREADY and confirmed.payment is not None:
            return await self.as_it_stands(ctx, Hearer(ctx.sender, ctx.room_id, ctx.translator), confirmed.payment)
        if outcome is ConfirmOutcome.REFUSED and confirmed.refusal is not None:
            reason = discreet(confirmed.refusal).say(ctx.translator)
            return t("{reason} Nothing was paid.", reason=reason)
        if outcome in {ConfirmOutcome.WRONG_CODE, ConfirmOutcome.NOT_YOURS} and confirmed.left:
            return ctx.n(
                "That is not the code. Nothing was paid. You have one more try.",
                "That is not the code. Nothing was paid. You have {count} more tries.",
                confirmed.left,
            )
        if confirmed.until is not None:
            until = sentences.at(confirmed.until)
            return t("Too many wrong codes: I take none before {until}. Nothing was paid.", until=until)
        return {
            ConfirmOutcome.EXPIRED: t("That code is too old. Nothing was paid. Say again what to pay, or “requests”."),
            ConfirmOutcome.REPLACED: t("There is a newer code for this: type that one. Nothing was paid."),
            ConfirmOutcome.WRONG_ROOM: t("That code counts only in the chat where I showed it. Nothing was paid."),
            ConfirmOutcome.OTHER_PAYMENT: t("That is the code of another payment. Nothing was paid."),
            ConfirmOutcome.NOTHING_OPEN: t("Nothing waits for a code."),
            ConfirmOutcome.ENDED: t("This was taken back or declined meanwhile. Nothing was paid."),
        }.get(outcome, t("That is not the code. Nothing was paid."))

    # The end without paying

    async def decline(self, ctx: Context, text: str) -> None:
        """Do not pay: the request of a number, or what was asked last."""
        payment = await self._meant(ctx, text, mine=True)
        await self._payments.decline(payment.id, ctx.sender)
        to = await aside(ctx)
        to.tell(ctx, to.t("Declined. Nothing was paid."))

    async def cancel(self, ctx: Context, text: str) -> None:
        """Take back a request of one's own, or a payment that one has not confirmed yet."""
        payment = await self._meant(ctx, text, mine=False)
        if payment.initiator == ctx.sender:
            await self._payments.cancel(payment.id, ctx.sender)
            answer = _("Taken back. Nobody pays it any more.")
        else:
            await self._payments.decline(payment.id, ctx.sender)
            answer = _("Declined. Nothing was paid.")
        to = await aside(ctx)
        to.tell(ctx, to.t(answer))

    async def _meant(self, ctx: Context, text: str, *, mine: bool) -> Payment:
        if text.strip():
            wanted = words.number_of(text)
            if wanted is None:
                raise InvalidValue(
                    "wallet.which", _("Which one? Write its number, as “requests” shows it."), clear=True
                )
            payment = await self.numbered(ctx, wanted)
        else:
            waiting: Sequence[Payment] = await self._payments.open_for(ctx.sender)
            if not waiting:
                raise Discreet("wallet.nothing_open", _("Nothing waits for you."), clear=True)
            payment = max(waiting, key=lambda each: (each.created_at, each.id))
        if mine and payment.payer != ctx.sender:
            raise Discreet("wallet.own_request", _("This is your own request. “cancel” takes it back."), clear=True)
        if payment.state is not PaymentState.PROPOSED:
            to = await aside(ctx)
            raise Discreet("wallet.over", await self.as_it_stands(ctx, to, payment), clear=True)
        return payment


def code_in(text: str) -> str | None:
    """The code that a text is: six digits of any script, with spaces or hyphens between them; nothing else."""
    plain = unicodedata.normalize("NFKC", text.strip())
    digits = "".join(str(unicodedata.decimal(each, each)) for each in plain if each not in " -‐‑\u00a0\u202f")
    return digits if CODE.fullmatch(digits) else None


def typed(ctx: Context) -> bool:
    """Whether a person has typed the message at hand: it is no edit, nothing forwarded, and no quotation."""
    content = ctx.content
    relation = content.get("m.relates_to")
    kind = relation.get("rel_type", "") if isinstance(relation, dict) else ""
    html = content.get("formatted_body")
    return (
        content.get("msgtype") == "m.text"
        and isinstance(kind, str)
        and kind in _RELATED
        and not any(each in content for each in _FORWARDED)
        and not (isinstance(html, str) and "<blockquote" in html.lower())
    )
