"""The page on which a person approves a payment with the PIN, and the one that confirms anything else with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from bots.domain.payments import Payment, PaymentKind, PaymentRefused, PaymentState, Refusal
from bots.framework.content import clean
from bots.framework.i18n import _
from bots.pages import Button, Fact, Form, HostedPage, LinkInvalid, Mark, Page, Visit, Weight
from bots.payments.outcomes import Also, Confirmed, ConfirmOutcome
from bots.payments.pin_page import ask, no_pin_page, pin_field
from bots.payments.pins import APPROVE_PURPOSE, CONFIRM_PURPOSE, Pins

NAME_MAX: Final = 60

Names = Callable[[str], Awaitable[str]]
"""The name that people know a person ("@bob:server") or an account ("bot:shop") by; "" when there is none."""


class Approver(Protocol):
    """Who makes payments: :class:`bots.payments.service.Payments`."""

    async def get(self, payment_id: str) -> Payment | None: ...

    async def approve(self, payment_id: str, payer: str, also: Also) -> Confirmed:
        """The payer has shown the PIN. ``also`` runs in the commit in which the payment goes on."""

    async def decline(self, payment_id: str, payer: str, also: Also) -> Payment:
        """The payer does not want it. ``also`` runs in the same commit. Raises PaymentRefused."""


class ApprovePayment(HostedPage):
    """Shows a payment; pays it with the PIN, or declines it."""

    purpose = APPROVE_PURPOSE

    def __init__(self, pins: Pins, payments: Approver, names: Names) -> None:
        self._pins = pins
        self._payments = payments
        self._names = names

    async def show(self, visit: Visit) -> Page:
        payment = await self._mine(visit)
        if payment is None or not payment.open or payment.expires_at <= visit.now:
            return _ended(visit, payment)
        if not await self._pins.has(visit.person):
            return no_pin_page(visit)
        return await self._form(visit, payment)

    async def submit(self, visit: Visit, form: Form) -> Page:
        payment = await self._mine(visit)
        if payment is None or not payment.open or payment.expires_at <= visit.now:
            return _ended(visit, payment)
        if form.action == "decline":
            try:
                return _ended(visit, await self._payments.decline(payment.id, visit.person, visit.redeem))
            except PaymentRefused:
                return _ended(visit, await self._mine(visit))
        answer = await ask(self._pins, visit, form)
        if answer is not None:
            return answer if isinstance(answer, Page) else await self._form(visit, payment, answer)
        confirmed = await self._payments.approve(payment.id, visit.person, visit.redeem)
        if confirmed.outcome is ConfirmOutcome.REFUSED and confirmed.refusal is not None:
            return _refused(visit, confirmed.refusal)
        return _ended(visit, confirmed.payment or await self._mine(visit))

    async def over(self, visit: Visit) -> Page | None:
        return _ended(visit, await self._mine(visit))

    async def _mine(self, visit: Visit) -> Payment | None:
        payment = await self._payments.get(visit.subject)
        return payment if payment is not None and payment.payer == visit.person else None

    async def _form(self, visit: Visit, payment: Payment, error: str = "") -> Page:
        amount = visit.formats.money(payment.amount)
        title, button = visit.t("Approve this payment?"), visit.t("Pay {amount}", amount=amount)
        if payment.kind is PaymentKind.MANDATE:
            title, button = visit.t("Agree to be charged?"), visit.t("Agree")
        if payment.kind is PaymentKind.EXCHANGE:
            title, button = visit.t("Approve this exchange?"), visit.t("Exchange {amount}", amount=amount)
        caution = ""
        if payment.kind is PaymentKind.TRANSFER and payment.paid_before is False:
            caution = visit.t("You have never paid them before. Check the full id: anybody can take the same name.")
        return Page(
            title,
            amount=amount,
            facts=await self._facts(visit, payment),
            caution=caution,
            fields=[pin_field(visit, error)],
            buttons=[Button("approve", button), Button("decline", visit.t("Decline"), Weight.SECONDARY)],
            status=422 if error else 200,
        )

    async def _facts(self, visit: Visit, payment: Payment) -> list[Fact]:
        """What the payer decides on."""
        facts = []
        if payment.kind is PaymentKind.EXCHANGE and payment.received is not None:
            facts.append(Fact(visit.t("You get"), visit.formats.money(payment.received)))
        else:
            name = _name(await self._names(payment.payee))
            facts.append(Fact(visit.t("To"), name or payment.payee, payment.payee if name else ""))
        if payment.kind is PaymentKind.TRANSFER and payment.paid_before:
            facts.append(Fact(visit.t("Paid before"), visit.t("Yes")))
        if payment.memo:
            facts.append(Fact(visit.t("For"), payment.memo))
        if payment.kind is PaymentKind.MANDATE:
            how = visit.t("Up to this amount each time, until you end it.")
            facts.append(Fact(visit.t("How often"), how))
        facts.append(Fact(visit.t("Until"), visit.moment(min(payment.expires_at, visit.expires_at))))
        return facts


def _name(text: str) -> str:
    """A name as people gave it to themselves: one line that turns nothing around, and none that looks like an id."""
    line = " ".join(clean(text).replace("@", "").split())
    return line if len(line) <= NAME_MAX else line[: NAME_MAX - 1] + "…"


def _refused(visit: Visit, refusal: Refusal) -> Page:
    closing = visit.t("Your chat with the wallet says more.")
    if not refusal.final:
        closing = visit.t("Nothing has moved. To try again, ask the wallet for a new link.")
    why = visit.t(refusal.msgid, **refusal.values)
    return Page(visit.t("Not paid"), why, mark=Mark.STOPPED, closing=closing, status=409)


def _ended(visit: Visit, payment: Payment | None) -> Page:
    """How a payment stands that is not waiting for the payer."""
    back = visit.t("You can close this page and go back to your chat.")
    if payment is None:
        lead = visit.t("There is no payment of yours behind this link.")
        return Page(visit.t("Nothing to approve"), lead, mark=Mark.STOPPED, closing=back, status=404)
    amount = visit.formats.money(payment.amount)
    late = payment.open and payment.expires_at <= visit.now
    state = PaymentState.EXPIRED if late else payment.state
    title, lead, mark = _ENDS[state]
    if payment.kind is PaymentKind.MANDATE and state is PaymentState.HELD:
        title, lead = _("Agreed"), _("They can charge you as agreed. You can end it in your chat with the wallet.")
    return Page(visit.t(title), visit.t(lead), amount=amount, mark=mark, closing=back)


_ENDS: Mapping[PaymentState, tuple[str, str, Mark]] = {
    PaymentState.PROPOSED: (
        _("Not paid yet"),
        _("The payment still waits for you. Ask the wallet for a new link."),
        Mark.WAITING,
    ),
    PaymentState.HELD: (_("Approved"), _("The money is set aside until the other side accepts it."), Mark.DONE),
    PaymentState.PAID: (_("Paid"), _("The receipt is in your chat."), Mark.DONE),
    PaymentState.DECLINED: (_("Declined"), _("Nothing was paid."), Mark.STOPPED),
    PaymentState.CANCELLED: (_("Cancelled"), _("Whoever asked for it does not want it any more."), Mark.STOPPED),
    PaymentState.EXPIRED: (
        _("Too late"),
        _("The time to approve this payment is over. Nothing was paid."),
        Mark.STOPPED,
    ),
    PaymentState.VOIDED: (_("Given back"), _("What was set aside for it is yours again."), Mark.STOPPED),
    PaymentState.REFUSED: (_("Not paid"), _("The payment was not possible."), Mark.STOPPED),
    PaymentState.PARTLY_REFUNDED: (_("Paid"), _("A part of it was given back since."), Mark.DONE),
    PaymentState.REFUNDED: (_("Given back"), _("It was paid, and given back since."), Mark.DONE),
}


# Anything else that needs the PIN


@dataclass(frozen=True, slots=True)
class Confirmable:
    """Something that a person confirms with the PIN. The texts are msgids of ``pages``.

    Attributes:
        perform: does it, for a person; ``also`` runs in the same commit.
    """

    title: str
    lead: str
    button: str
    done: str
    perform: Callable[[str, Also], Awaitable[None]]


class ConfirmAction(HostedPage):
    """Asks for the PIN and does what the link is for; its subject is the name of the action."""

    purpose = CONFIRM_PURPOSE

    def __init__(self, pins: Pins, actions: Mapping[str, Confirmable]) -> None:
        self._pins = pins
        self._actions = actions

    async def show(self, visit: Visit) -> Page:
        if not await self._pins.has(visit.person):
            return no_pin_page(visit)
        return self._form(visit, self._action(visit))

    async def submit(self, visit: Visit, form: Form) -> Page:
        action = self._action(visit)
        answer = await ask(self._pins, visit, form)
        if answer is not None:
            return answer if isinstance(answer, Page) else self._form(visit, action, answer)
        await action.perform(visit.person, visit.redeem)
        return self._done(visit, action)

    async def over(self, visit: Visit) -> Page | None:
        return self._done(visit, self._action(visit))

    def _action(self, visit: Visit) -> Confirmable:
        action = self._actions.get(visit.subject)
        if action is None:  # of a link that was made before this version
            raise LinkInvalid("expired")
        return action

    @staticmethod
    def _form(visit: Visit, action: Confirmable, error: str = "") -> Page:
        return Page(
            visit.t(action.title),
            visit.t(action.lead),
            fields=[pin_field(visit, error)],
            buttons=[Button("confirm", visit.t(action.button))],
            closing=visit.t(
                "For {person}. This page is open until {time}.",
                person=visit.person,
                time=visit.moment(visit.expires_at),
            ),
            status=422 if error else 200,
        )

    @staticmethod
    def _done(visit: Visit, action: Confirmable) -> Page:
        back = visit.t("You can close this page and go back to your chat.")
        return Page(visit.t(action.done), mark=Mark.DONE, closing=back)


def unfreezing(unfreeze: Callable[[str, Also], Awaitable[None]]) -> Confirmable:
    """Makes a frozen wallet usable again."""
    return Confirmable(
        _("Use your wallet again?"),
        _("You have frozen it: nothing can be paid with it now."),
        _("Unfreeze wallet"),
        _("Your wallet can be used again"),
        unfreeze,
    )
