"""What a dialog asks of whoever moves the money."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from appservice.unit import UnitOfWork
from bots.domain.money import Money
from bots.framework.dialogs.errors import DialogError

OUTCOME = "rialto.payment"
"""The internal event that tells a dialog how its payment ended: ``{"dialog": id, "key": …, "paid": bool}``."""


class PaymentsMissing(DialogError):
    """A dialog wants a payment, and there is nobody who makes them."""

    code = "payments_missing"


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment that a person is asked for.

    Attributes:
        key: one payment for a key, however often it is asked for.
        payer: the user id of the person.
        to: the account that gets the money.
        memo: what it is for, as the person reads it.
        consumer, room_id, dialog: where the outcome goes.
    """

    key: str
    payer: str
    amount: Money
    to: str
    memo: str
    consumer: str
    room_id: str
    dialog: str


class Payments(Protocol):
    """Makes payments. The outcome comes as an internal event of the type ``rialto.payment``, exactly once."""

    async def request(self, payment: Payment, unit: UnitOfWork) -> None:
        """Ask the payer to confirm; what it takes goes through ``unit``. Repeatable by the key."""

    async def withdraw(self, key: str, unit: UnitOfWork) -> None:
        """The payment is not wanted any more: from the unit's commit on it cannot be made.

        One that was made before goes back by itself, as far as it can: nobody waits for it.
        """
