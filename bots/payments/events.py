"""The internal events that tell of payments: raised in the commit that changes them, once for each who is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from appservice.events import InternalEvent
from bots.domain.payments import ENDED, Payment, PaymentState, is_person
from bots.framework.dialogs.payments import OUTCOME
from bots.framework.payment_changes import PAYMENT_CHANGED

MERCHANT = "merchant"
DIALOG_KEY = "dialog:"
SETTLED = frozenset({PaymentState.PAID, *ENDED})


def room_of(person: str) -> str:
    """The place whose order a person's payments keep in the wallet."""
    return f"~payments:{person}"


def dialog_key(consumer: str, key: str) -> str:
    """The key of a payment that a dialog asks for: another consumer's is another one."""
    return f"{DIALOG_KEY}{consumer}:{key}"


def changed(payment: Payment, wallet: str, by: str) -> list[InternalEvent]:
    """Who is told that a payment is what it is now: its people by the wallet, the plugin that asked for it, the dialog
    that waits for its end."""
    return [*_told(payment, wallet, {"about": "state", "state": payment.state.value, "by": by}, "")]


def _told(payment: Payment, wallet: str, more: dict[str, Any], mark: str) -> Iterator[InternalEvent]:
    content = {"payment": payment.id, "kind": payment.kind.value, "change": payment.changes, **more}
    people = dict.fromkeys(who for who in (payment.payer, payment.payee) if is_person(who))
    for person in people:
        yield InternalEvent(
            key=f"payment:{payment.id}:{mark}{payment.changes}:{person}",
            consumer=wallet,
            room_id=room_of(person),
            type=PAYMENT_CHANGED,
            content=content,
            sender=person,
        )
    if payment.consumer and not payment.dialog:
        yield InternalEvent(
            key=f"payment:{payment.id}:{mark}{payment.changes}:{MERCHANT}",
            consumer=payment.consumer,
            room_id=f"~{payment.consumer}",
            type=PAYMENT_CHANGED,
            content=content,
            sender=payment.payer if is_person(payment.payer) else payment.payee,
        )
    if payment.dialog and payment.state in SETTLED:
        yield outcome(payment)


def outcome(payment: Payment) -> InternalEvent:
    """Tells the dialog that waits for it how it ended: once, for the first end counts."""
    key = payment.key.removeprefix(dialog_key(payment.consumer, ""))
    return InternalEvent(
        key=f"payment:{payment.id}:outcome",
        consumer=payment.consumer,
        room_id=payment.reply_room,
        type=OUTCOME,
        content={"dialog": payment.dialog, "key": key, "paid": payment.state is PaymentState.PAID},
        sender=payment.payer,
    )


def about_subscription(
    mandate: Payment, wallet: str, *, about: str, state: str, number: str, by: str, due: int | None
) -> list[InternalEvent]:
    """A reminder, or a subscription that changes. ``number`` tells one from another of the same subscription."""
    more = {"about": about, "state": state, "by": by, "due": due}
    return list(_told(mandate, wallet, more, f"{about}:{number}:"))
