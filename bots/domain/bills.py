"""Bills: who sends them, what they ask for, how one is paid, reminded of and paid by itself. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from bots.domain.money import Money

LONGEST: Final = 64
"""Characters of what a person writes into a field."""
_KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


class BillError(ValueError):
    """What cannot be paid as it was said. ``code`` is stable; its sentence for people is the bot's.

    ``values`` hold nothing that a person wrote.
    """

    def __init__(self, code: str, **values: Any) -> None:
        super().__init__(code)
        self.code = code
        self.values = values


class Category(StrEnum):
    """What a bill is for."""

    ELECTRICITY = "electricity"
    WATER = "water"
    GAS = "gas"
    INTERNET = "internet"
    PHONE = "phone"
    TAXES = "taxes"
    RENT = "rent"
    INSURANCE = "insurance"
    TOP_UP = "top_up"
    """Credit for a mobile phone: no bill is looked up, the person says how much."""


# Who sends bills, and what they need to know


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that a biller needs to know to find a bill.

    Attributes:
        key: what the biller calls it.
        label: what people call it.
        pattern: a regular expression that the whole value matches.
        example: a value that does.
    """

    key: str
    label: str
    pattern: str
    example: str

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key) or not self.label.strip() or len(self.label) > 80:
            raise ValueError(f"a field needs a key in small letters and a label, got {self.key[:40]!r}")
        try:
            fits = re.fullmatch(self.pattern, self.example)
        except re.error as error:
            raise ValueError(f"the pattern of {self.key} is no regular expression: {error}") from None
        if fits is None or len(self.example) > LONGEST:
            raise ValueError(f"the example of {self.key} does not match its pattern")

    def read(self, text: str) -> str:
        """The value that a person wrote: with or without blanks and dashes, in any script's digits.

        Raises:
            BillError: it does not match.
        """
        plain = " ".join(_western(text).split())
        if len(plain) <= LONGEST:
            compact = re.sub(r"[\s\-‐-―./]", "", plain)
            for candidate in (plain, plain.upper(), compact, compact.upper()):
                if re.fullmatch(self.pattern, candidate):
                    return candidate
        raise BillError("bills.field", label=self.label, example=self.example)


@dataclass(frozen=True, slots=True)
class PhonePlan:
    """The mobile numbers of a country (ITU-T E.164).

    Attributes:
        country: ISO 3166-1.
        code: the country code.
        pattern: of the national number, without the trunk prefix.
        trunk: what is dialled before it inside the country.
        example: a whole number, with ``+``.
    """

    country: str
    code: str
    pattern: str
    trunk: str
    example: str

    def read(self, text: str) -> str:
        """The number as E.164: ``+4915112345678``; national ones are taken for numbers of the country.

        Raises:
            BillError: it is none of this country's mobile numbers.
        """
        digits = re.sub(r"[\s\-‐-―./()]", "", _western(text))
        if digits.startswith("+"):
            national = digits[1:].removeprefix(self.code) if digits[1:].startswith(self.code) else ""
        elif digits.startswith("00"):
            national = digits[2:].removeprefix(self.code) if digits[2:].startswith(self.code) else ""
        else:
            national = digits.removeprefix(self.trunk) if self.trunk else digits
        if self.trunk and national.startswith(self.trunk):
            national = national.removeprefix(self.trunk)  # “+49 (0) 151 …”
        number = f"+{self.code}{national}"
        if len(number) > 16 or not re.fullmatch(self.pattern, national):
            raise BillError("bills.phone", country=self.country, example=self.example)
        return number


PHONE_PLANS: Final[Mapping[str, PhonePlan]] = MappingProxyType(
    {
        plan.country: plan
        for plan in (
            PhonePlan("AE", "971", r"5[024568][0-9]{7}", "0", "+971501234567"),
            PhonePlan("AT", "43", r"6[5-9][0-9]{7,11}", "0", "+436641234567"),
            PhonePlan("BE", "32", r"4[5-9][0-9]{7}", "0", "+32470123456"),
            PhonePlan("CH", "41", r"7[4-9][0-9]{7}", "0", "+41781234567"),
            PhonePlan("DE", "49", r"1[5-7][0-9]{8,9}", "0", "+4915112345678"),
            PhonePlan("EG", "20", r"1[0125][0-9]{8}", "0", "+201001234567"),
            PhonePlan("ES", "34", r"[67][0-9]{8}", "", "+34612345678"),
            PhonePlan("FR", "33", r"[67][0-9]{8}", "0", "+33612345678"),
            PhonePlan("GB", "44", r"7[1-9][0-9]{8}", "0", "+447400123456"),
            PhonePlan("IT", "39", r"3[0-9]{8,9}", "", "+393123456789"),
            PhonePlan("MA", "212", r"[67][0-9]{8}", "0", "+212650123456"),
            PhonePlan("NL", "31", r"6[0-9]{8}", "0", "+31612345678"),
            PhonePlan("PL", "48", r"(?:45|5[0-7]|6[069]|7[2389]|88)[0-9]{7}", "", "+48512345678"),
            PhonePlan("PT", "351", r"9[1236][0-9]{7}", "", "+351912345678"),
            PhonePlan("SA", "966", r"5[0-9]{8}", "0", "+966512345678"),
            PhonePlan("US", "1", r"[2-9][0-9]{2}[2-9][0-9]{6}", "1", "+12015550123"),
        )
    }
)
"""The mobile numbers of some countries, by their code."""


@dataclass(frozen=True, slots=True)
class TopUp:
    """What an operator sells credit of: these amounts, or any in a range."""

    plan: PhonePlan
    amounts: tuple[Money, ...] = ()
    least: Money | None = None
    most: Money | None = None

    def __post_init__(self) -> None:
        everything = [*self.amounts, *(each for each in (self.least, self.most) if each is not None)]
        if not everything or any(each.minor <= 0 for each in everything):
            raise ValueError("a top-up needs amounts above nought, or a range")
        if len({each.currency for each in everything}) > 1 or (self.least is None) != (self.most is None):
            raise ValueError("a top-up has one currency, and a range a least and a most")
        if self.least is not None and self.most is not None and self.most < self.least:
            raise ValueError("the most of a top-up is less than its least")

    @property
    def currency(self) -> str:
        """Of what is sold."""
        return self.amounts[0].currency if self.amounts else self.least.currency  # type: ignore[union-attr]

    def check(self, amount: Money) -> None:
        """Raises BillError when the operator does not sell this."""
        if amount in self.amounts:
            return
        if self.least is None or self.most is None:
            raise BillError("bills.not_sold", amounts=self.amounts)
        if amount.currency != self.currency or not self.least <= amount <= self.most:
            raise BillError("bills.out_of_range", least=self.least, most=self.most)


@dataclass(frozen=True, slots=True)
class BillerInfo:
    """Who sends bills, as people see it."""

    id: str
    name: str
    category: Category
    fields: tuple[Field, ...] = ()
    top_up: TopUp | None = None

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id) or not self.name.strip() or len(self.name) > 60:
            raise ValueError(f"a biller needs an id in small letters and a name, got {self.id[:40]!r}")
        if (self.category is Category.TOP_UP) != (self.top_up is not None):
            raise ValueError(f"the biller {self.id} needs amounts exactly when it sells top-ups")
        if self.top_up is None and not 1 <= len(self.fields) <= 6:
            raise ValueError(f"the biller {self.id} needs 1 to 6 fields")
        if len({field.key for field in self.fields}) != len(self.fields):
            raise ValueError(f"the biller {self.id} has a field twice")


# Bills


@dataclass(frozen=True, slots=True)
class Bill:
    """What a biller says is to be paid.

    Attributes:
        period: what it is for, ``2026-11`` or the number of an invoice: the biller's own words, the same for the same
            bill. With biller and account it is what a bill is known by.
        due: until when.
        minimum: parts are taken from this amount on; None: the whole or nothing.
        reference: the biller's own.
    """

    period: str
    amount: Money
    due: date | None = None
    minimum: Money | None = None
    reference: str = ""

    def __post_init__(self) -> None:
        if not canonical(self.period) or len(self.period) > LONGEST or not self.period.isprintable():
            raise ValueError("a bill needs a period of 1 to 64 printable characters")
        if len(self.reference) > 100 or not self.reference.isprintable():
            raise ValueError("the reference of a bill has at most 100 printable characters")
        if self.amount.minor <= 0:
            raise ValueError("a bill asks for more than nothing")
        if self.minimum is not None and (
            self.minimum.currency != self.amount.currency or not 0 < self.minimum.minor <= self.amount.minor
        ):
            raise ValueError("the least part of a bill is more than nothing and at most the whole, in its currency")

    def check(self, amount: Money) -> None:
        """Raises BillError when it cannot be paid by this amount."""
        if amount.currency != self.amount.currency:
            raise BillError("bills.currency", currency=self.amount.currency)
        if amount == self.amount:
            return
        if self.minimum is None:
            raise BillError("bills.whole_only", amount=self.amount)
        if not self.minimum <= amount <= self.amount:
            raise BillError("bills.part", least=self.minimum, most=self.amount)


def canonical(text: str) -> str:
    """A number or a name without what may be written in another way: “AB-12 34” and “ab1234” are one."""
    return "".join(each for each in _western(text).casefold() if each.isalnum())


def identity(biller: str, fields: Mapping[str, str], period: str = "") -> str:
    """What tells one account, or with the period one bill, from every other: the same however it was written."""
    parts = [f"{key}={canonical(fields[key])}" for key in sorted(fields)]
    return "\0".join([biller, *parts, *([canonical(period)] if period else [])])


# How one is paid


class State(StrEnum):
    """Where a bill stands."""

    FETCHING = "fetching"
    """The biller is asked."""
    SHOWN = "shown"
    """The person sees it, and has not decided."""
    PROPOSED = "proposed"
    """The person wants to pay; the wallet waits for the confirmation."""
    HELD = "held"
    """The money is held; the biller is told."""
    UNKNOWN = "unknown"
    """Nobody knows whether the biller has it: the money stays held until somebody does."""
    PAID = "paid"
    FAILED = "failed"
    """The biller did not take it; the money went back."""
    CHANGED = "changed"
    """The biller wants another amount: the money went back, and the bill is shown anew."""
    CANCELLED = "cancelled"
    CLOSED = "closed"
    """There was nothing to pay, or nobody could say."""


class Action(StrEnum):
    """What happens to a bill."""

    FIND = "find"
    CLOSE = "close"
    CANCEL = "cancel"
    PROPOSE = "propose"
    HOLD = "hold"
    RELEASE = "release"
    PAY = "pay"
    DOUBT = "doubt"
    FAIL = "fail"
    CHANGE = "change"


NEXT: Final[Mapping[tuple[State, Action], State]] = MappingProxyType(
    {
        (State.FETCHING, Action.FIND): State.SHOWN,
        (State.FETCHING, Action.CLOSE): State.CLOSED,
        (State.FETCHING, Action.CANCEL): State.CANCELLED,
        (State.SHOWN, Action.PROPOSE): State.PROPOSED,
        (State.SHOWN, Action.CANCEL): State.CANCELLED,
        (State.PROPOSED, Action.HOLD): State.HELD,
        (State.PROPOSED, Action.RELEASE): State.CANCELLED,
        (State.HELD, Action.PAY): State.PAID,
        (State.HELD, Action.DOUBT): State.UNKNOWN,
        (State.HELD, Action.FAIL): State.FAILED,
        (State.HELD, Action.CHANGE): State.CHANGED,
        (State.UNKNOWN, Action.PAY): State.PAID,
        (State.UNKNOWN, Action.DOUBT): State.UNKNOWN,
        (State.UNKNOWN, Action.FAIL): State.FAILED,
        (State.UNKNOWN, Action.CHANGE): State.CHANGED,
    }
)
"""What may follow on what. Whatever is not here changes nothing: late, repeated and crossing news."""

ENDED: Final = frozenset({State.PAID, State.FAILED, State.CHANGED, State.CANCELLED, State.CLOSED})
"""Nothing follows on these."""
MOVING: Final = frozenset({State.PROPOSED, State.HELD, State.UNKNOWN})
"""Whose bill nobody else can pay meanwhile."""


def advance(state: State, action: Action) -> State:
    """The state after an action.

    Raises:
        BillError: it does not follow.
    """
    after = NEXT.get((state, action))
    if after is None:
        raise BillError("bills.state", state=state.value, action=action.value)
    return after


# When it is asked again

FETCH_STEPS: Final[Sequence[int]] = (3, 5, 10, 15, 30, 60)
FETCH_LIMIT_MS: Final = 10 * 60_000
"""A biller that has not found a bill for so long is given up."""
STILL_MS: Final = 10_000
"""After so long without an answer the person hears that it takes longer."""
ASK_STEPS: Final[Sequence[int]] = (15, 30, 60, 120, 300, 900, 3600, 6 * 3600)


def fetch_again_ms(attempts: int) -> int:
    """How long after the ``attempts``-th answer a biller is asked for a bill again."""
    return FETCH_STEPS[min(max(attempts, 1), len(FETCH_STEPS)) - 1] * 1000


def ask_again_ms(attempts: int) -> int:
    """How long after the ``attempts``-th answer a biller is asked again what became of a payment: never given up."""
    return ASK_STEPS[min(max(attempts, 1), len(ASK_STEPS)) - 1] * 1000


# Reminders, and what is paid by itself

LATEST: Final = timedelta(days=30)
"""Nobody is reminded of what was due before that."""
ANNOUNCE_BEFORE: Final = timedelta(days=2)
PAY_BEFORE: Final = timedelta(days=1)


def to_remind(due: date | None, today: date, days: int) -> bool:
    """Whether it is time to remind of a bill: ``days`` before it is due, or later where that was missed."""
    return due is not None and due - timedelta(days=days) <= today <= due + LATEST


class Decision(StrEnum):
    """What is done today about a bill that may be paid by itself."""

    WAIT = "wait"
    TELL = "tell"
    """Say that it is paid tomorrow."""
    PAY = "pay"
    ASK = "ask"
    """It is more than the person allowed: ask, as if it were not paid by itself."""


def decide(cap: Money, bill: Bill, today: date, told: date | None) -> Decision:
    """What to do about a bill under the person's cap.

    It is paid the day before it is due, and never earlier than the day after the person was told, even where that is
    late: people who find the amount odd have a day to say no.

    Args:
        told: the day on which the person was told of this very bill; None: not yet.
    """
    if bill.due is not None and today < bill.due - ANNOUNCE_BEFORE:
        return Decision.WAIT
    if bill.amount.currency != cap.currency or bill.amount > cap:
        return Decision.ASK
    if told is None:
        return Decision.TELL
    return Decision.PAY if today >= pay_on(bill, told) else Decision.WAIT


def pay_on(bill: Bill, told: date) -> date:
    """The day on which a bill is paid by itself of which the person was told on ``told``."""
    after = told + timedelta(days=1)
    return after if bill.due is None else max(after, bill.due - PAY_BEFORE)


def _western(text: str) -> str:
    """The text with the digits 0 to 9, whatever script they were written in."""
    normal = unicodedata.normalize("NFKC", text)
    return "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in normal)
