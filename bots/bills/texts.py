"""What people read of bills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from bots.bills.billers.base import Answered, Changed, Failed, Paid
from bots.bills.book import StoredBill
from bots.domain.bills import Bill, BillerInfo, BillError, Category, Field, PhonePlan, State, TopUp
from bots.domain.money import Money, MoneyError
from bots.framework import InvalidValue, ParseEnv
from bots.framework.arguments import Text
from bots.framework.i18n import Translator, _

CATEGORIES: Final[Mapping[Category, str]] = {
    Category.ELECTRICITY: _("Electricity"),
    Category.WATER: _("Water"),
    Category.GAS: _("Gas"),
    Category.INTERNET: _("Internet"),
    Category.PHONE: _("Phone"),
    Category.TAXES: _("Taxes"),
    Category.RENT: _("Rent"),
    Category.INSURANCE: _("Insurance"),
    Category.TOP_UP: _("Mobile top-up"),
}
STATES: Final[Mapping[State, str]] = {
    State.PROPOSED: _("waits for your confirmation"),
    State.HELD: _("on its way"),
    State.UNKNOWN: _("not confirmed yet"),
    State.PAID: _("paid"),
    State.FAILED: _("not taken, your money came back"),
    State.CHANGED: _("not paid, the amount had changed"),
    State.CANCELLED: _("not paid"),
}
"""Those that a history shows."""
ERRORS: Final[Mapping[str, str]] = {
    "bills.field": _("{label}: that does not fit. It looks like this: {example}"),
    "bills.phone": _("That is no mobile number of this operator's country. One looks like this: {example}"),
    "bills.whole_only": _("This bill is paid as a whole: {amount}."),
    "bills.part": _("You can pay from {least} to {most} of it."),
    "bills.currency": _("This is paid in {currency}."),
    "bills.not_sold": _("The operator does not sell this amount."),
    "bills.out_of_range": _("The operator sells from {least} to {most}."),
}


@dataclass(frozen=True, slots=True)
class View:
    """A bill as it is shown: what a dialog keeps of it."""

    id: str
    biller: str
    account: str
    amount: Money
    period: str = ""
    due: date | None = None
    minimum: Money | None = None
    paid: Money | None = None
    phone: str = ""
    """Of a top-up: the number that gets it."""
    saved: bool = False


def view_of(stored: StoredBill, info: BillerInfo | None, paid: Money | None) -> View:
    """What is shown of a bill."""
    name = info.name if info is not None else stored.row.biller
    bill = stored.bill
    phone = stored.fields.get("phone", "") if stored.row.origin == "top_up" else ""
    return View(
        stored.id,
        name,
        ", ".join(stored.fields.values()),
        bill.amount,
        "" if phone else bill.period,
        bill.due,
        bill.minimum,
        paid if paid is not None and paid.minor > 0 else None,
        phone,
        bool(stored.row.saved_id),
    )


def typed(name: str) -> str:
    """A name as it is written in a command: in quotation marks where it has blanks."""
    return f'"{name}"' if " " in name else name


def card(view: View, say: Translator) -> str:
    """A bill, as text."""
    if view.phone:
        return say.t("{amount} for {phone} at {operator}", amount=view.amount, phone=view.phone, operator=view.biller)
    lines = [
        say.t("{biller}, account {account}", biller=view.biller, account=view.account),
        say.t("To pay: {amount}", amount=view.amount),
        say.t("For: {period}", period=view.period),
    ]
    if view.due is not None:
        lines.append(say.t("Due on {date}", date=view.due))
    if view.minimum is not None and view.minimum < view.amount:
        lines.append(say.t("Parts are taken from {amount} on.", amount=view.minimum))
    if view.paid is not None:
        lines.append(say.t("Paid of it here by now: {amount}", amount=view.paid))
    return "\n".join(lines)


def closed(stored: StoredBill, biller: str, say: Translator) -> str:
    """Why there is no bill to show."""
    account = ", ".join(stored.fields.values())
    if stored.row.reason == "none":
        return say.t("There is nothing to pay at {biller} for account {account}.", biller=biller, account=account)
    if stored.row.reason == "paid":
        return say.t("Everything is paid already at {biller} for account {account}.", biller=biller, account=account)
    if stored.row.reason == "account":
        return say.t("{biller} does not know the account {account}.", biller=biller, account=account)
    return say.t("{biller} does not answer now. Please try again later.", biller=biller)


def settled(stored: StoredBill, biller: str, answer: Answered, say: Translator, *, first: bool) -> str:
    """What a person hears when a biller has said what became of a payment; nothing, when they have heard it."""
    amount = stored.paying
    if isinstance(answer, Paid):
        if stored.row.origin == "top_up":
            return say.t(
                "Done: {phone} has {amount} more. Receipt number: {receipt}",
                phone=stored.fields.get("phone", ""),
                amount=amount,
                receipt=answer.receipt,
            )
        return say.t(
            "Paid: {amount} to {biller}. Receipt number: {receipt}",
            amount=amount,
            biller=biller,
            receipt=answer.receipt,
        )
    if isinstance(answer, Failed):
        return say.t(
            "{biller} did not take the payment. Your {amount} is back in your wallet.", biller=biller, amount=amount
        )
    if isinstance(answer, Changed) or not first:
        return ""  # the bill is shown again; who was told once waits
    return say.t(
        "{biller} has not confirmed yet. Your {amount} stays set aside: I ask again, and tell you.",
        biller=biller,
        amount=amount,
    )


def explain(error: BillError) -> InvalidValue:
    """The error as something that a question or a command says."""
    values: dict[str, Any] = {key: Text(value) if key == "label" else value for key, value in error.values.items()}
    return InvalidValue(error.code, ERRORS[error.code], clear=True, **values)


def read_field(field: Field, text: str) -> str:
    """The value of a field. Raises InvalidValue."""
    try:
        return field.read(text)
    except BillError as error:
        raise explain(error) from None


def read_phone(plan: PhonePlan, text: str) -> str:
    """A mobile number. Raises InvalidValue."""
    try:
        return plan.read(text)
    except BillError as error:
        raise explain(error) from None


def read_money(text: str, currency: str, env: ParseEnv) -> Money:
    """An amount, in this currency where none is named. Raises InvalidValue."""
    try:
        return Money.parse(text, currency, env.translator.language)
    except MoneyError as error:
        raise InvalidValue.of_money(error) from None


def check_top_up(sold: TopUp, amount: Money) -> None:
    """Raises InvalidValue for what is not sold."""
    try:
        sold.check(amount)
    except BillError as error:
        raise explain(error) from None


def check_part(view: View, amount: Money) -> None:
    """Raises InvalidValue for an amount that the bill cannot be paid by."""
    try:
        Bill(view.period, view.amount, view.due, view.minimum).check(amount)
    except BillError as error:
        raise explain(error) from None
