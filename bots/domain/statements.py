"""Account statements of banks, whatever format they came in. A statement is right as a whole or it is none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from typing import Final

from bots.domain.money import Money

_NO_REFERENCE: Final = frozenset({"", "NONREF", "NOTPROVIDED", "NONE", "0"})


class StatementError(ValueError):
    """A statement that cannot be used: ``line`` of the file (from 1) and ``reason``, in words without its content."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Node:
    """An element of an XML file, its namespace left out. ``line`` is where it begins."""

    name: str
    line: int
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its own text without space around it."""
        return "".join(self.pieces).strip()

    def all(self, path: str) -> list[Node]:
        """The elements at ``A/B/C`` below it."""
        found = [self]
        for name in path.split("/"):
            found = [child for node in found for child in node.children if child.name == name]
        return found

    def first(self, *paths: str) -> Node | None:
        """The first element at the first of the paths that leads to one."""
        for path in paths:
            found = self.all(path)
            if found:
                return found[0]
        return None

    def words(self, *paths: str) -> str:
        """The text of :meth:`first`, or nothing."""
        node = self.first(*paths)
        return "" if node is None else node.text


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement on the account that is booked."""

    line: int
    booked_on: date
    amount: Money
    """Above nought when money came in."""
    bank_reference: str = ""
    """The bank's own, or nothing when it gave none that tells entries apart."""
    end_to_end: str = ""
    """What the payer gave along."""
    batch: str = ""
    """Of a booking for a whole file of payments: the id of the file's payment information."""
    reference: str = ""
    """A structured creditor reference, as it was sent."""
    text: str = ""
    name: str = ""
    """Of the other side."""
    iban: str = ""
    reversal: bool = False
    """It takes an earlier entry back."""


@dataclass(frozen=True, slots=True)
class Statement:
    """The entries between two balances."""

    line: int
    account: str
    """IBAN, or the number that the bank writes in its place."""
    number: str
    opening: Money
    closing: Money
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        if any(entry.amount.currency != self.opening.currency for entry in self.entries):
            raise StatementError(self.line, "an entry is in another currency than the account")
        if self.closing.currency != self.opening.currency:
            raise StatementError(self.line, "the balances are in different currencies")
        moved = sum(entry.amount.minor for entry in self.entries)
        if self.opening.minor + moved != self.closing.minor:
            raise StatementError(
                self.line,
                f"the balances do not fit: opening and entries make {Money(self.opening.minor + moved, self.currency)},"
                f" the closing balance is {self.closing}",
            )

    @property
    def currency(self) -> str:
        """Of the account."""
        return self.opening.currency


def known_reference(text: str) -> str:
    """A reference that tells entries apart, or nothing."""
    given = text.strip()
    return "" if given.upper() in _NO_REFERENCE else given


def entry_ids(account: str, entries: Sequence[Entry]) -> list[tuple[str, bool]]:
    """An id for each entry that is the same in every file that has it, and whether the bank's reference is in it.

    Entries that nothing tells apart are counted: the second of two equal ones is another one.
    """
    seen: Counter[str] = Counter()
    made = []
    for entry in entries:
        what = [account, entry.booked_on.isoformat(), str(entry.amount.minor), entry.amount.currency]
        if entry.bank_reference:
            what += ["ref", entry.bank_reference, entry.end_to_end]
        else:
            what += ["content", entry.end_to_end, entry.reference, _plain(entry.text), _plain(entry.name), entry.iban]
        text = "\x1f".join(what)
        number = seen[text]
        seen[text] += 1
        made.append((sha256(f"{text}\x1f{number}".encode()).hexdigest()[:32], bool(entry.bank_reference)))
    return made


def same_account(written: str, iban: str) -> bool:
    """Whether what a statement calls its account is the account with this IBAN.

    Many banks write bank code and number, or the number alone, in place of the IBAN (MT940, field 25).
    """
    found = "".join(written.split()).upper()
    if found == iban or found.startswith(iban):
        return True
    number = re.sub(r"[A-Z]{3}$", "", found)
    if "/" in number:
        bank, _, account = number.rpartition("/")
        digits = account.lstrip("0")
        return bool(bank) and len(digits) >= 4 and iban[4:].startswith(bank) and iban.endswith(digits)
    return number.isdigit() and len(number.lstrip("0")) >= 6 and iban.endswith(number.lstrip("0"))


def chained(statements: Iterable[Statement]) -> None:
    """Check that pages of one account in one file follow each other. Raises :class:`StatementError`."""
    last: dict[str, Money] = {}
    for statement in statements:
        before = last.get(statement.account)
        if before is not None and before != statement.opening:
            raise StatementError(
                statement.line, f"it opens with {statement.opening}, the statement before closed with {before}"
            )
        last[statement.account] = statement.closing


def _plain(text: str) -> str:
    return "".join(text.split()).casefold()
