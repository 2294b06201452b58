"""Looking back: balances, history, receipts, statements."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final
from zoneinfo import ZoneInfo

from bots.domain.payments import Payment, PaymentKind, PaymentState
from bots.framework import Context
from bots.framework.i18n import Formats
from bots.payments.receipts import Words, receipt_text
from bots.payments.statements import Form, read_wanted, statement_beancount, statement_csv, statement_text
from bots.wallet import sentences
from bots.wallet.chats import Hearer, aside
from bots.wallet.means import Means

SHOWN: Final = 10
SEARCHED: Final = 500
_DONE: Final = frozenset({PaymentState.PAID, PaymentState.PARTLY_REFUNDED, PaymentState.REFUNDED})


class Looking:
    """What was, and what is."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def balance(self, ctx: Context) -> None:
        """What is in the wallet, a line for each currency; what is set aside is named."""
        accounts = {each.currency: each for each in await self._means.ledger.accounts(ctx.sender)}
        usual = self._means.settings.default_currency
        if usual not in accounts:
            accounts[usual] = await self._means.ledger.account(ctx.sender, usual)
        to = await aside(ctx)
        lines = []
        for currency in sorted(accounts, key=lambda each: (each != usual, each)):
            account = accounts[currency]
            if currency != usual and not account.balance and not account.pending_debits:
                continue
            held = account.balance - account.available
            if held:
                lines.append(to.t("{available} ({held} more is set aside)", available=account.available, held=held))
            else:
                lines.append(to.t("{available}", available=account.available))
        to.tell(ctx, "\n".join([to.t("You have:"), *lines]))

    async def history(self, ctx: Context, wanted: str) -> None:
        """The latest payments, or those that words are found in: names, ids, memos, amounts."""
        to = await aside(ctx)
        found = await self._means.payments.history(ctx.sender, text=wanted.strip() or None, limit=SHOWN)
        lines = [await self._line(ctx, to, each) for each in found]
        if not lines:
            lines = [to.t("Nothing was found.") if wanted.strip() else to.t("Nothing has moved yet.")]
        elif len(found) == SHOWN:
            lines.append(to.t("“history” and a name or a word finds older ones, “statement” has all of a month."))
        to.tell(ctx, "\n".join(lines))

    async def _line(self, ctx: Context, to: Hearer, payment: Payment) -> str:
        date = sentences.at(payment.created_at).date()
        amount = payment.captured if payment.captured else payment.amount
        out = payment.payer == ctx.sender
        other = payment.payee if out else payment.payer
        if payment.kind is PaymentKind.EXCHANGE:
            line = to.t("{date}: {amount} for {received}", date=date, amount=amount, received=payment.received)
        elif payment.kind is PaymentKind.CASH_OUT:
            line = to.t("{date}: {amount} cashed out", date=date, amount=amount)
        else:
            name = await self._means.full(ctx, other) if other else to.t("whoever scans the code")
            line = to.t("{date}: {amount} from {person}", date=date, amount=amount, person=name)
            if out:
                line = to.t("{date}: {amount} to {person}", date=date, amount=amount, person=name)
        parts = [line, payment.memo, _state(to, payment), payment.id if payment.state in _DONE else ""]
        return "• " + " · ".join(part for part in parts if part)

    async def receipt(self, ctx: Context, wanted: str) -> None:
        """The receipt of a payment by its number, or of the latest; as text and as a PDF."""
        receipts = self._means.receipts
        found = await (receipts.get(wanted, ctx.sender) if wanted.strip() else receipts.latest(ctx.sender))
        to = await aside(ctx)
        payer, payee = [replace(each, name=await self._means.name(ctx, each.id)) for each in (found.payer, found.payee)]
        receipt, words = replace(found, payer=payer, payee=payee), _words(ctx, to)
        to.tell(ctx, receipt_text(receipt, words))
        file = await receipts.pdf(receipt, words)
        await ctx.send_file(file, f"receipt-{receipt.id}.pdf", "application/pdf", room_id=to.room_id)

    async def statement(self, ctx: Context, wanted: str) -> None:
        """All that moved in a month: as text, as CSV, or for beancount."""
        to = await aside(ctx)
        words, now = _words(ctx, to), ctx.now_ms()
        asked = read_wanted(wanted, words, now)
        zone = words.formats.zone
        found = await self._means.statements.month(ctx.sender, asked.month, zone)
        if not found:
            to.tell(ctx, to.t("Nothing moved in {month}.", month=asked.month.written(words)))
            return
        name = f"statement-{asked.month.year}-{asked.month.month:02}"
        if asked.form is Form.CSV:
            data = await asyncio.to_thread(statement_csv, found, zone)
            await ctx.send_file(data, f"{name}.csv", "text/csv", room_id=to.room_id)
        elif asked.form is Form.BEANCOUNT:
            data = await asyncio.to_thread(statement_beancount, found, zone, now)
            await ctx.send_file(data, f"{name}.beancount", "text/plain", room_id=to.room_id)
        else:
            to.tell(ctx, "\n\n".join(statement_text(each, words) for each in found))

    async def undo(self, ctx: Context) -> None:
        """What was paid cannot be called back: say so, and what helps."""
        to = await aside(ctx)
        lines = [to.t("Money that was paid cannot be called back: it is theirs. You can ask them for it.")]
        found = await self._means.payments.history(ctx.sender, limit=SHOWN)
        last = next((each for each in found if each.payer == ctx.sender and each.state in _DONE), None)
        if last is not None and last.kind is PaymentKind.TRANSFER:
            example = f"request {last.captured} from {last.payee}"
            lines.append(to.t("For your last payment: {example}", example=example))
        lines.append(to.t("What waits for your code is not paid yet: “cancel” drops it."))
        to.tell(ctx, "\n".join(lines))


def _words(ctx: Context, to: Hearer) -> Words:
    return Words(to.texts, Formats(to.texts.language, ZoneInfo(ctx.zone)))


def _state(to: Hearer, payment: Payment) -> str:
    """A word on a payment that is not simply paid."""
    return {
        PaymentState.PROPOSED: to.t("open"),
        PaymentState.HELD: to.t("set aside"),
        PaymentState.DECLINED: to.t("declined"),
        PaymentState.CANCELLED: to.t("taken back"),
        PaymentState.EXPIRED: to.t("out of time"),
        PaymentState.VOIDED: to.t("gone back"),
        PaymentState.REFUSED: to.t("not possible"),
        PaymentState.PARTLY_REFUNDED: to.t("partly given back"),
        PaymentState.REFUNDED: to.t("given back"),
    }.get(payment.state, "")
