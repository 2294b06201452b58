"""What plugins do with money: each on its own account, and with its own payments only.

A plugin asks its :class:`bots.framework.Setup` for what its scopes give it: :class:`Merchants` (``payments.charge``),
:class:`MerchantAccounts` (``payments.read``), :class:`MerchantPayouts` (``payments.send``). Every call takes the
handler's ``ctx``: the instance that it runs for is whose money it is. The account of the instance ``shop`` is
``bot:shop``, with parts of it (one for each seller, say) as ``bot:shop/SUB``.

Calls are commits of their own, not part of the handler's. They may be repeated: give each a ``key`` that the retry of
a handler makes again, such as ``ctx.event.event_id``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from bots.domain.intervals import Interval
from bots.domain.invoices import Invoice, Line
from bots.domain.ledger import AccountKind
from bots.domain.ledger import Line as StatementLine
from bots.domain.money import Money
from bots.domain.payments import Capture, Payment, PaymentKind, PaymentRefused, Proposal
from bots.framework.clock import to_ms
from bots.payments.invoices import Refund
from bots.payments.service import Payments
from bots.payments.subscriptions import Subscription, Terms

__all__ = [
    "Invoice",
    "Line",
    "MerchantAccounts",
    "MerchantPayouts",
    "Merchants",
    "Payment",
    "PaymentRefused",
    "Refund",
    "Subscription",
    "account_of",
]

EXPIRES: Final = timedelta(minutes=15)
ACCEPT_WITHIN: Final = timedelta(days=7)
REMIND: Final = timedelta(days=3)
MANDATE_EXPIRES: Final = timedelta(days=1)
_SUB: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Caller(Protocol):
    """What is used of a handler's context: :class:`bots.framework.Context`."""

    @property
    def instance(self) -> str: ...

    @property
    def consumer(self) -> str: ...


def account_of(ctx: Caller, sub: str = "") -> str:
    """The account of a plugin instance, or a part of it: what ``d.pay(…, to=…)`` takes too.

    Raises:
        ValueError: ``sub`` is more than letters, digits, ``.``, ``_`` and ``-``, or longer than 64.
    """
    if sub and not _SUB.fullmatch(sub):
        raise ValueError(f"a part of an account is named by 1 to 64 letters, digits, . _ and -, not {sub[:70]!r}")
    return f"bot:{ctx.instance}/{sub}" if sub else f"bot:{ctx.instance}"


def _is_own(ctx: Caller, owner: str) -> bool:
    whole = account_of(ctx)
    return owner == whole or owner.startswith(f"{whole}/")


class _Bound:
    """Keys and payments of one plugin instance."""

    def __init__(self, payments: Payments) -> None:
        self._payments = payments

    def _key(self, ctx: Caller, key: str) -> str:
        if not 0 < len(key) <= 255:
            raise ValueError("a key has 1 to 255 characters")
        return f"bot:{ctx.instance}:{key}"

    def _later(self, by: timedelta) -> int:
        return self._payments.till.clock.now_ms() + _ms(by)


class Merchants(_Bound):
    """Asks people for money, takes what they have confirmed, gives it back. Scope ``payments.charge``.

    Calls raise PaymentRefused for what cannot be (``refusal`` says why, to people too), InvoiceError for lines that
    cannot be, IdConflict where a key stands for something else.
    """

    async def invoice(
        self,
        ctx: Caller,
        payer: str,
        lines: Sequence[Line],
        *,
        key: str,
        memo: str = "",
        inclusive: bool = True,
        discount: Money | None = None,
        tip: Money | None = None,
        expires: timedelta = EXPIRES,
        accept_within: timedelta | None = None,
        sub: str = "",
    ) -> Payment:
        """Show a person an invoice, in their chat with the wallet. What becomes of it comes by ``@payment_changed``.

        Args:
            ctx: the handler's.
            payer: their user id.
            lines: what it is for, with prices and tax rates.
            key: one invoice for a key, however often it is asked for.
            memo: a line above it.
            inclusive: whether the prices hold their tax; otherwise it is added.
            discount: taken off the lines.
            tip: on top; the platform takes no fee of it.
            expires: how long it can be confirmed.
            accept_within: the money is held once it is confirmed, until :meth:`capture`; after so long it goes back by
                itself. None: it is taken at once.
            sub: a part of the account.
        """
        invoice = Invoice(tuple(lines), inclusive, discount, tip)
        proposal = Proposal(
            kind=PaymentKind.INVOICE,
            payer=payer,
            payee=account_of(ctx, sub),
            amount=invoice.total,
            memo=memo,
            key=self._key(ctx, key),
            initiator=account_of(ctx),
            expires_at=self._later(expires),
            capture=Capture.AT_ONCE if accept_within is None else Capture.BY_MERCHANT,
            lines=invoice.lines,
            inclusive=inclusive,
            discount=discount,
            tip=tip,
            accept_within=None if accept_within is None else _ms(accept_within),
            consumer=ctx.consumer,
        )
        return await self._payments.propose(proposal)

    async def hold(
        self,
        ctx: Caller,
        payer: str,
        lines: Sequence[Line],
        *,
        key: str,
        memo: str = "",
        inclusive: bool = True,
        discount: Money | None = None,
        tip: Money | None = None,
        expires: timedelta = EXPIRES,
        accept_within: timedelta = ACCEPT_WITHIN,
        sub: str = "",
    ) -> Payment:
        """An invoice whose money is held once it is confirmed: :meth:`invoice` with ``accept_within``."""
        return await self.invoice(
            ctx,
            payer,
            lines,
            key=key,
            memo=memo,
            inclusive=inclusive,
            discount=discount,
            tip=tip,
            expires=expires,
            accept_within=accept_within,
            sub=sub,
        )

    async def capture(self, ctx: Caller, payment_id: str, amount: Money | None = None) -> Payment:
        """Take what is held: all, or a part, and the rest goes back. The same again changes nothing.

        Raises:
            PaymentRefused: it is not held, no longer, or was withdrawn.
        """
        return await self._payments.invoices.capture(payment_id, amount, account_of(ctx), self._allowed(ctx))

    async def void(self, ctx: Caller, payment_id: str, reason: str) -> Payment:
        """Give up an invoice: what is held goes back, what nobody has confirmed can no longer be. Twice is as once.

        When a price has changed: give the invoice up, and make another one, under another key.

        Args:
            ctx: the handler's.
            payment_id: of the invoice, or of a mandate, which ends by it.
            reason: a word for programs.

        Raises:
            PaymentRefused: it is paid: refund it.
        """
        return await self._payments.invoices.void(payment_id, account_of(ctx), reason, self._allowed(ctx))

    async def refund(
        self,
        ctx: Caller,
        payment_id: str,
        amount: Money | None = None,
        *,
        lines: Mapping[int, int] | None = None,
        reason: str,
        key: str,
    ) -> Refund:
        """Give money back: an amount, so many of some lines, or all that is left. Never more than was paid.

        The platform gives its fee back in proportion. The same key again is ``already`` refunded, and changes nothing.

        Args:
            ctx: the handler's.
            payment_id: of the invoice.
            amount: so much.
            lines: how many, by the number of the line (from 0): with their part of discount and tax.
            reason: as people may read it.
            key: one refund for a key.

        Raises:
            PaymentRefused: more than what is left of it, or the account has not so much.
        """
        return await self._payments.invoices.refund(
            payment_id, amount, lines, account_of(ctx), key, reason, self._allowed(ctx)
        )

    async def payment(self, ctx: Caller, payment_id: str) -> Payment | None:
        """One of the plugin's own payments; None for any other."""
        found = await self._payments.get(payment_id)
        return found if found is not None and _is_own(ctx, found.payee) else None

    async def by_key(self, ctx: Caller, key: str) -> Payment | None:
        """The plugin's payment of a key."""
        return await self._payments.by_key(self._key(ctx, key))

    async def subscribe(
        self,
        ctx: Caller,
        payer: str,
        amount: Money,
        *,
        key: str,
        memo: str,
        every: Interval | None,
        cap: Money | None = None,
        start: datetime | None = None,
        remind: timedelta = REMIND,
        expires: timedelta = MANDATE_EXPIRES,
        sub: str = "",
    ) -> Payment:
        """Ask a person to agree to be charged again and again. They confirm once, and can end it at any time.

        Args:
            ctx: the handler's.
            payer: their user id.
            amount: of each charge.
            key: one subscription for a key.
            memo: what it is for.
            every: how often; None: only by :meth:`charge`.
            cap: of one charge at most, by :meth:`charge`, and of all of them in a period; the amount unless told. The
                person confirms the cap.
            start: of the first charge; when it is confirmed unless told.
            remind: so long before each charge the wallet reminds the payer; nothing: it does not.
            expires: how long it can be confirmed.
            sub: a part of the account.

        Returns:
            The mandate: HELD while it is in force, VOIDED once it is ended.
        """
        proposal = Proposal(
            kind=PaymentKind.MANDATE,
            payer=payer,
            payee=account_of(ctx, sub),
            amount=amount if cap is None else cap,
            memo=memo,
            key=self._key(ctx, key),
            initiator=account_of(ctx),
            expires_at=self._later(expires),
            consumer=ctx.consumer,
        )
        terms = Terms(amount, every, 0 if start is None else to_ms(start), _ms(remind))
        return await self._payments.subscriptions.propose(proposal, terms)

    async def subscription(self, ctx: Caller, mandate_id: str) -> Subscription | None:
        """One of the plugin's own subscriptions; None for any other."""
        found = await self._payments.subscriptions.get(mandate_id)
        return found if found is not None and _is_own(ctx, found.payee) else None

    async def charge(
        self,
        ctx: Caller,
        mandate_id: str,
        amount: Money,
        *,
        key: str,
        memo: str = "",
        accept_within: timedelta | None = None,
    ) -> Payment:
        """Charge under a mandate, up to its cap, without asking again: PAID or HELD, or REFUSED with its ``reason``.

        Args:
            ctx: the handler's.
            mandate_id: of the subscription.
            amount: how much.
            key: one charge for a key: the same key again is the same charge, also a refused one.
            memo: what it is for.
            accept_within: as of :meth:`invoice`.

        Raises:
            PaymentRefused: the mandate is not in force, or does not cover so much.
        """
        mandate = await self.payment(ctx, mandate_id)
        if mandate is None:
            raise PaymentRefused("payments.unknown")
        proposal = Proposal(
            kind=PaymentKind.INVOICE,
            payer=mandate.payer,
            payee=mandate.payee,
            amount=amount,
            memo=memo,
            key=self._key(ctx, key),
            initiator=account_of(ctx),
            expires_at=self._later(EXPIRES),
            capture=Capture.AT_ONCE if accept_within is None else Capture.BY_MERCHANT,
            accept_within=None if accept_within is None else _ms(accept_within),
            consumer=ctx.consumer,
            mandate=mandate_id,
        )
        return await self._payments.subscriptions.charge(mandate_id, proposal, self._allowed(ctx))

    def _allowed(self, ctx: Caller) -> _Allowed:
        return _Allowed(ctx)


@dataclass(frozen=True, slots=True)
class _Allowed:
    """Whether a payment is a plugin's own. That of another one is as unknown to it as none."""

    ctx: Caller

    def __call__(self, payment: Payment) -> None:
        if not _is_own(self.ctx, payment.payee) or payment.kind not in {PaymentKind.INVOICE, PaymentKind.MANDATE}:
            raise PaymentRefused("payments.unknown")


class MerchantAccounts(_Bound):
    """Looks at the plugin's own accounts. Scope ``payments.read``."""

    async def balance(self, ctx: Caller, currency: str, *, sub: str = "") -> Money:
        """What an account can pay out now."""
        ledger = self._payments.till.ledger
        return (await ledger.account(account_of(ctx, sub), currency, AccountKind.MERCHANT)).available

    async def statement(
        self,
        ctx: Caller,
        currency: str,
        *,
        sub: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        before_seq: int | None = None,
        limit: int = 100,
    ) -> list[StatementLine]:
        """What moved in an account, the newest first; ``reference`` is the id of the payment.

        Args:
            ctx: the handler's.
            currency: of the account.
            sub: a part of the account.
            since: from then on.
            until: before then.
            before_seq: ``seq`` of the last line of the page before.
            limit: so many at most.
        """
        ledger = self._payments.till.ledger
        account = await ledger.account(account_of(ctx, sub), currency, AccountKind.MERCHANT)
        return await ledger.statement(
            account.id,
            since=None if since is None else to_ms(since),
            until=None if until is None else to_ms(until),
            before_seq=before_seq,
            limit=limit,
        )


class MerchantPayouts(_Bound):
    """Pays people out of the plugin's own account. Scope ``payments.send``."""

    async def pay(self, ctx: Caller, person: str, amount: Money, *, key: str, memo: str = "", sub: str = "") -> Payment:
        """Pay a person: PAID, or HELD until they have a wallet (it comes back when they do not open one in time).

        Args:
            ctx: the handler's.
            person: their user id.
            amount: how much.
            key: one payment for a key. The same key again tries again what was refused, and is the same payment
                otherwise.
            memo: what it is for, as the person reads it.
            sub: a part of the account.

        Raises:
            PaymentRefused: it cannot be, or not now: the account has not so much, the wallet has no room.
        """
        proposal = Proposal(
            kind=PaymentKind.PAYOUT,
            payer=account_of(ctx, sub),
            payee=person,
            amount=amount,
            memo=memo,
            key=self._key(ctx, key),
            initiator=account_of(ctx),
            expires_at=self._later(timedelta(days=1)),
            consumer=ctx.consumer,
        )
        return await self._payments.pay_out(proposal)


def _ms(duration: timedelta) -> int:
    if duration < timedelta():
        raise ValueError("a duration is not below nought")
    return duration // timedelta(milliseconds=1)
