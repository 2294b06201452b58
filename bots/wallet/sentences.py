"""How payments are put into words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from bots.domain.intervals import Unit
from bots.domain.money import Money
from bots.domain.payments import Payment, PaymentKind
from bots.payments.outcomes import Challenge
from bots.wallet.chats import Hearer

LINES: int = 20
"""Lines of an invoice that are shown; the rest is in its receipt."""


def at(ms: int) -> datetime:
    """A point in time, for texts: they write it in the person's zone."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def question(hearer: Hearer, challenge: Challenge, payee: str, warnings: Sequence[str], now: int) -> str:
    """What a payer reads before they confirm: whom, how much, what for, until when; the code last."""
    payment = challenge.payment
    lines = [*_what(hearer, payment, payee), *_how_often(hearer, challenge, payee), *_cost(hearer, payment), *warnings]
    left = timedelta(milliseconds=max(challenge.expires_at - now, 0))
    lines.append(hearer.t("Good for {duration}, until {time}.", duration=left, time=at(challenge.expires_at)))
    lines.append("")
    if challenge.code is not None:
        lines.append(hearer.t("To confirm, type this code here: {code}", code=challenge.code))
    else:
        lines.append(hearer.t("To confirm, enter your PIN on this page: {link}", link=challenge.link or ""))
    lines.append(hearer.t("Nothing else confirms it. “decline” drops it."))
    return "\n".join(lines)


def _what(hearer: Hearer, payment: Payment, payee: str) -> list[str]:
    amount = payment.amount
    if payment.kind is PaymentKind.EXCHANGE and payment.received is not None:
        return [hearer.t("You exchange {amount} for {received}.", amount=amount, received=payment.received)]
    if payment.kind is PaymentKind.CASH_OUT:
        lines = [hearer.t("You cash out {amount}, by {provider}.", amount=amount, provider=payee)]
        return [*lines, hearer.t("To: {account}", account=payment.memo)] if payment.memo else lines
    if payment.kind is PaymentKind.MANDATE:
        text = hearer.t("You allow {payee} to charge you up to {amount} at a time.", payee=payee, amount=amount)
        return [text, *_memo(hearer, payment), hearer.t("You can end this at any time.")]
    return [
        hearer.t("You pay {amount} to {payee}.", amount=amount, payee=payee),
        *_memo(hearer, payment),
        *invoice(hearer, payment),
    ]


def _how_often(hearer: Hearer, challenge: Challenge, payee: str) -> list[str]:
    """What a mandate leads to, as was agreed with the merchant."""
    if challenge.each is None:
        return []
    if challenge.interval is None:
        return [hearer.t("{payee} decides when you are charged.", payee=payee)]
    count, each = challenge.interval.count, challenge.each
    match challenge.interval.unit:
        case Unit.DAY:
            text = hearer.n("Every day {each} is charged.", "Every {count} days {each} is charged.", count, each=each)
        case Unit.WEEK:
            text = hearer.n("Every week {each} is charged.", "Every {count} weeks {each} is charged.", count, each=each)
        case Unit.MONTH:
            text = hearer.n(
                "Every month {each} is charged.", "Every {count} months {each} is charged.", count, each=each
            )
        case Unit.YEAR:
            text = hearer.n("Every year {each} is charged.", "Every {count} years {each} is charged.", count, each=each)
    return [text]


def _memo(hearer: Hearer, payment: Payment) -> list[str]:
    return [hearer.t("For: {memo}", memo=payment.memo)] if payment.memo else []


def _cost(hearer: Hearer, payment: Payment) -> list[str]:
    if payment.kind is PaymentKind.MANDATE:
        return []
    nothing = Money.zero(payment.amount.currency)
    return [hearer.t("Fee: {fee}. Total: {total}.", fee=nothing, total=payment.amount)]


def invoice(hearer: Hearer, payment: Payment) -> list[str]:
    """The lines of an invoice with what is added and taken off."""
    made = payment.invoice
    if made is None:
        return []
    lines = [
        hearer.t("• {count} × {name}: {price}", count=line.quantity, name=line.name, price=line.amount)
        for line in made.lines[:LINES]
    ]
    if len(made.lines) > LINES:
        more = len(made.lines) - LINES
        lines.append(hearer.n("… and one line more", "… and {count} lines more", more))
    if made.discount:
        lines.append(hearer.t("Discount: {amount}", amount=-made.discount))
    for tax in made.taxes:
        rate = f"{(tax.rate * 100).normalize():f}"
        if tax.tax and made.inclusive:
            lines.append(hearer.t("Tax included, {rate} %: {amount}", rate=rate, amount=tax.tax))
        elif tax.tax:
            lines.append(hearer.t("Tax, {rate} %: {amount}", rate=rate, amount=tax.tax))
    if made.tip:
        lines.append(hearer.t("Tip: {amount}", amount=made.tip))
    return lines


def acquaintance(hearer: Hearer, paid_before: bool | None, alike: Sequence[str]) -> list[str]:
    """Whether the payee is known, and whom they could be mistaken for."""
    lines = []
    if paid_before:
        lines.append(hearer.t("You have paid them before."))
    elif paid_before is False:
        lines.append(hearer.t("⚠️ You have never paid them before."))
    lines += [
        hearer.t("⚠️ Look closely: this is not {other}, whose name looks nearly the same.", other=each)
        for each in alike[:3]
    ]
    return lines
