"""What the bot asks of the wallet: to hold, take and give back money, and to be allowed to charge."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from bots.bills.book import StoredBill
from bots.domain.money import Money
from bots.domain.payments import ENDED, Line, Payment, PaymentRefused, PaymentState
from bots.framework import Context, Setup
from bots.framework.i18n import _
from bots.payments.merchants import Merchants

log = logging.getLogger(__name__)

ACCEPT_WITHIN: Final = timedelta(days=365)
"""Money whose biller does not say whether it has it stays held: nothing gives it back before somebody knows."""
NOT_TAKEN: Final = "biller"
"""Why money went back, as the payment keeps it: its biller did not take it."""
NOT_ENOUGH: Final = _("there is not enough in your wallet")
NOT_NOW: Final = _("the wallet does not allow it")


class Refused(Exception):
    """The wallet does not do it. ``msgid`` with ``values`` is the sentence for people; ``code`` is for logs."""

    def __init__(self, code: str, msgid: str, values: Mapping[str, Any]) -> None:
        super().__init__(code)
        self.code = code
        self.msgid = msgid
        self.values = values

    @classmethod
    def of(cls, error: PaymentRefused) -> Refused:
        """Why the wallet does not."""
        return cls(error.code, error.msgid, error.values)

    def say(self, ctx: Context) -> str:
        """The sentence in the person's language."""
        return ctx.translator.t(self.msgid, **self.values)


class Cashier:
    """One for a plugin."""

    def __init__(self, setup: Setup, confirm: timedelta) -> None:
        """
        Args:
            confirm: how long a payment waits for its confirmation.
        """
        self._merchants = setup.service(Merchants)
        self._keys = f"bot:{setup.instance}:"
        self._confirm = confirm

    async def payment(self, ctx: Context, payment_id: str) -> Payment | None:
        """A payment of the bot's as it stands."""
        return await self._merchants.payment(ctx, payment_id)

    def key_of(self, payment: Payment) -> str:
        """What it was asked for under: the id of a bill, or the key of a mandate."""
        return payment.key.removeprefix(self._keys)

    # A bill

    async def propose(self, ctx: Context, stored: StoredBill, biller: str) -> str:
        """Have the payer asked by the wallet; the payment's id. Raises Refused."""
        words = _words(stored, biller)
        try:
            payment = await self._merchants.hold(
                ctx,
                stored.row.person,
                [Line(words, stored.paying)],
                key=stored.id,
                memo=words,
                expires=self._confirm,
                accept_within=ACCEPT_WITHIN,
                sub=stored.row.biller,
            )
        except PaymentRefused as error:
            raise Refused.of(error) from None
        return payment.id

    async def holds(self, ctx: Context, stored: StoredBill) -> bool:
        """Whether the money of a bill is still there for its biller: without it none is told to take it."""
        payment = await self._merchants.payment(ctx, _payment_of(stored))
        return payment is not None and payment.state not in ENDED

    async def capture(self, ctx: Context, stored: StoredBill) -> None:
        """Take what is held. Twice is the same as once. Raises Refused."""
        try:
            await self._merchants.capture(ctx, _payment_of(stored))
        except PaymentRefused as error:
            raise Refused.of(error) from None

    async def void(self, ctx: Context, stored: StoredBill) -> None:
        """Give back what is held. Twice is the same as once. Raises Refused."""
        try:
            await self._merchants.void(ctx, _payment_of(stored), NOT_TAKEN)
        except PaymentRefused as error:
            raise Refused.of(error) from None

    # What is paid by itself

    async def mandate(self, ctx: Context, person: str, cap: Money, key: str, *, biller: str, name: str) -> None:
        """Have a person asked by the wallet to allow charges up to ``cap`` each. Raises Refused.

        Args:
            biller: whose account gets the money.
            name: of the saved account, as the person reads it.
        """
        try:
            await self._merchants.subscribe(
                ctx, person, cap, key=key, memo=name, every=None, expires=self._confirm, sub=biller
            )
        except PaymentRefused as error:
            raise Refused.of(error) from None

    async def give_up(self, ctx: Context, payment_id: str) -> None:
        """End a mandate, or a payment that nobody wants any more. Twice is the same as once."""
        try:
            await self._merchants.void(ctx, payment_id, "merchant")
        except PaymentRefused as error:
            log.info("a payment was over already", extra={"payment": payment_id, "reason": error.code})

    async def charge(self, ctx: Context, stored: StoredBill, mandate_id: str, biller: str) -> str:
        """Hold the money of a bill under a mandate; the payment's id. Raises Refused."""
        try:
            payment = await self._merchants.charge(
                ctx,
                mandate_id,
                stored.paying,
                key=stored.id,
                memo=_words(stored, biller),
                accept_within=ACCEPT_WITHIN,
            )
        except PaymentRefused as error:
            raise Refused.of(error) from None
        if payment.state is PaymentState.REFUSED:
            words = NOT_ENOUGH if payment.reason == "payments.exceeds_balance" else NOT_NOW
            raise Refused(payment.reason, words, {})
        return payment.id


def _words(stored: StoredBill, biller: str) -> str:
    """What the payment is for. Not in anybody's language: it is the same when it is asked for again."""
    return biller if stored.row.origin == "top_up" else f"{biller} {stored.period}"


def _payment_of(stored: StoredBill) -> str:
    assert stored.row.payment_id is not None, "a bill whose money is held has its payment"
    return stored.row.payment_id
