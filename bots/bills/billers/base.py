"""What every biller is asked, and what it may answer. Nothing here raises for what a biller does: an answer that cannot
be used is an answer too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from bots.domain.bills import Bill, BillerInfo, Category
from bots.domain.money import Money


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What is there to pay for this account?

    Attributes:
        id: of the question, the same each time it is asked.
        asked_at: when it was asked first, ms.
        now: ms.
        paid: minor units that were paid here of the account's bills by now, by period in canonical form.
    """

    id: str
    fields: Mapping[str, str]
    asked_at: int
    now: int
    paid: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Found:
    """A bill."""

    bill: Bill


@dataclass(frozen=True, slots=True)
class NothingDue:
    """There is nothing to pay; ``receipt``: because it is paid already."""

    paid: bool = False
    receipt: str = ""


@dataclass(frozen=True, slots=True)
class NotYet:
    """It takes longer: ask again, in so many seconds if it says so."""

    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class NoSuchAccount:
    """The biller does not know the account."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """It did not answer, or not as it should. ``reason`` is a stable code for logs."""

    reason: str


Fetched: TypeAlias = Found | NothingDue | NotYet | NoSuchAccount | NoAnswer


@dataclass(frozen=True, slots=True)
class PayRequest:
    """Take this money; it is held already.

    Attributes:
        key: of the payment: the same key is taken once, however often it comes.
        asked_at: when it was asked first, ms.
        now: ms.
    """

    key: str
    fields: Mapping[str, str]
    period: str
    reference: str
    amount: Money
    asked_at: int
    now: int


@dataclass(frozen=True, slots=True)
class Paid:
    """The biller has it, and this is the number of its receipt."""

    receipt: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The biller does not have it and will not take it under this key. ``reason`` is a stable code."""

    reason: str = "declined"


@dataclass(frozen=True, slots=True)
class Changed:
    """The biller did not take it: it wants another amount now."""

    bill: Bill


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows. ``reason`` is a stable code for logs."""

    reason: str


@dataclass(frozen=True, slots=True)
class NeverHeard:
    """Asked what became of a payment: it never got there. It is sent again, under the same key."""


Answered: TypeAlias = Paid | Failed | Changed | Unknown | NeverHeard


class Biller(Protocol):
    """One biller."""

    @property
    def info(self) -> BillerInfo:
        """As people see it."""

    async def fetch(self, request: FetchRequest) -> Fetched:
        """Ask what there is to pay. Changes nothing at the biller."""

    async def pay(self, request: PayRequest) -> Answered:
        """Have it take the money, once for a key."""

    async def status(self, request: PayRequest) -> Answered:
        """Ask what became of a payment. Changes nothing at the biller."""


class Billers:
    """All of them, by id."""

    def __init__(self, billers: Iterable[Biller]) -> None:
        """Raises ValueError when two have one id."""
        self._all: dict[str, Biller] = {}
        for each in billers:
            if each.info.id in self._all:
                raise ValueError(f"there are two billers with the id {each.info.id!r}")
            self._all[each.info.id] = each

    def get(self, biller_id: str) -> Biller | None:
        """One; None when it is gone from the configuration."""
        return self._all.get(biller_id)

    def categories(self) -> list[Category]:
        """Those that have a biller, in the order that they are offered in; top-ups are a thing of their own."""
        there = {each.info.category for each in self._all.values()}
        return [each for each in Category if each in there and each is not Category.TOP_UP]

    def of(self, category: Category) -> list[BillerInfo]:
        """Those of a category."""
        return [each.info for each in self._all.values() if each.info.category is category]
