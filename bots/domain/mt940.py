"""Statements in MT940 (SWIFT, "Customer Statement Message"), with or without SWIFT's envelope.

Read: 20, 25, 28C, 60F/60M, 61, 86, 62F/62M. Field 86 is free text; the two ways in which banks put structure into it
are understood: ``?20…?33`` (German banks) and ``/EREF/…/REMI/…`` (Dutch and Nordic ones). Opening balance and entries
must make the closing balance.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from bots.domain.currencies import CURRENCIES
from bots.domain.money import Money, MoneyError
from bots.domain.statements import Entry, Statement, StatementError, chained, known_reference

_TAG: Final = re.compile(r":([0-9]{2}[A-Z]?):(.*)")
_BALANCE: Final = re.compile(r"([CD])([0-9]{6})([A-Z]{3})([0-9]{1,15},[0-9]{0,4})")
_ENTRY: Final = re.compile(
    r"(?P<value>[0-9]{6})(?P<booked>[0-9]{4})?(?P<mark>RC|RD|C|D)(?P<funds>[A-Z])?"
    r"(?P<amount>[0-9]{1,15},[0-9]{0,4})(?P<type>[A-Z][A-Z0-9]{3})(?P<owner>.{0,16}?)(?://(?P<bank>.{0,34}))?"
)
_SUBFIELD: Final = re.compile(r"\?([0-9]{2})")
_GERMAN: Final = re.compile(r"(EREF|KREF|MREF|CRED|DEBT|COAM|OAMT|SVWZ|ABWA|ABWE|IBAN|BIC|PURP|RREF)\+")
_SLASHED: Final = re.compile(r"/(TRTP|EREF|REMI|NAME|IBAN|BIC|RTRN|PREF|MARF|CSID|ORDP|BENM|ISDT|SVCL|PURP)/")
_IGNORED: Final = frozenset({"13D", "21", "34F", "64", "65", "90C", "90D"})


@dataclass(slots=True)
class _Field:
    line: int
    tag: str
    lines: list[str]

    @property
    def text(self) -> str:
        return self.lines[0].strip()


@dataclass(slots=True)
class _Open:
    """A statement of which a part was read."""

    line: int
    account: str = ""
    number: str = ""
    opening: Money | None = None
    opened_on: date | None = None
    entries: list[Entry] = field(default_factory=list)
    waiting: Entry | None = None
    """The entry whose field 86 may follow."""


def read(text: str) -> list[Statement]:
    """The statements of a file. Raises :class:`StatementError`."""
    statements: list[Statement] = []
    current: _Open | None = None
    last = 1
    for one in _fields(text):
        last = one.line
        if one.tag == "20":
            if current is not None:
                raise StatementError(one.line, "a statement begins before the one before had a closing balance")
            current = _Open(one.line)
        elif current is None:
            # After the closing balance come only what it says of the days to come and the bank's words.
            if one.tag in _IGNORED or (one.tag == "86" and statements):
                continue
            raise StatementError(one.line, f"field {one.tag} stands outside of a statement")
        elif one.tag in {"62F", "62M"}:
            statements.append(_closed(current, one))
            current = None
        else:
            _take(current, one)
    if current is not None:
        raise StatementError(max(last, text.count("\n") + 1), "the file ends before the closing balance")
    if not statements:
        raise StatementError(1, "there is no statement in it")
    chained(statements)
    return statements


def _fields(text: str) -> Iterator[_Field]:
    current: _Field | None = None
    for number, raw in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        line = raw.rstrip()
        if line.startswith("{") or line in {"", "-", "-}", "\x1a"} or line.startswith("-}"):
            if current is not None:
                yield current
            current = None
            # SWIFT's envelope may open on the line of the first field.
            position = line.find("{4:")
            line = line[position + 3 :].strip() if position >= 0 else ""
            if not line:
                continue
        match = _TAG.fullmatch(line)
        if match is not None:
            if current is not None:
                yield current
            current = _Field(number, match[1], [match[2]])
        elif current is None:
            raise StatementError(number, "this is no MT940 statement: a field such as :20: is expected")
        else:
            current.lines.append(line)
    if current is not None:
        yield current


def _take(current: _Open, one: _Field) -> None:
    if one.tag == "25":
        current.account = "".join(one.text.split()).upper()
    elif one.tag in {"28C", "28"}:
        current.number = one.text
    elif one.tag in {"60F", "60M"}:
        if current.opening is not None:
            raise StatementError(one.line, "there are two opening balances")
        current.opening, current.opened_on = _balance(one)
    elif one.tag == "61":
        if current.opening is None or current.opened_on is None:
            raise StatementError(one.line, "an entry stands before the opening balance")
        _finish(current)
        current.waiting = _entry(one, current.opening.currency)
    elif one.tag == "86":
        if current.waiting is not None:
            current.entries.append(_explained(current.waiting, one))
            current.waiting = None
    elif one.tag not in _IGNORED:
        raise StatementError(one.line, f"there is no field {one.tag} in a statement")


def _finish(current: _Open) -> None:
    if current.waiting is not None:
        current.entries.append(current.waiting)
        current.waiting = None


def _closed(current: _Open, one: _Field) -> Statement:
    _finish(current)
    if not current.account:
        raise StatementError(current.line, "the statement names no account (field 25)")
    if current.opening is None:
        raise StatementError(current.line, "the statement has no opening balance (field 60)")
    closing, _ = _balance(one)
    return Statement(one.line, current.account, current.number, current.opening, closing, tuple(current.entries))


def _balance(one: _Field) -> tuple[Money, date]:
    match = _BALANCE.fullmatch(one.text)
    if match is None or match[3] not in CURRENCIES:
        raise StatementError(one.line, f"field {one.tag} is no balance")
    amount = _money(match[4], match[3], one.line)
    return (amount if match[1] == "C" else -amount), _day(match[2], one.line)


def _money(text: str, currency: str, line: int) -> Money:
    try:
        return Money.of(text.replace(",", ".").rstrip("."), currency)
    except MoneyError:
        raise StatementError(line, f"an amount has more decimals than {currency}, or is too large") from None


def _day(text: str, line: int) -> date:
    year = int(text[:2])
    try:
        return date((1900 if year >= 80 else 2000) + year, int(text[2:4]), int(text[4:6]))
    except ValueError:
        raise StatementError(line, "a date is none") from None


def _entry(one: _Field, currency: str) -> Entry:
    match = _ENTRY.fullmatch(one.text)
    if match is None:
        raise StatementError(one.line, "field 61 is no entry")
    value = _day(match["value"], one.line)
    amount = _money(match["amount"], currency, one.line)
    mark = match["mark"]
    return Entry(
        line=one.line,
        booked_on=_booked(value, match["booked"], one.line),
        # A reversed credit takes money away, a reversed debit gives it back.
        amount=amount if mark in {"C", "RD"} else -amount,
        bank_reference=known_reference(match["bank"] or ""),
        end_to_end=known_reference(match["owner"] or ""),
        text=" ".join(one.lines[1:]),
        reversal=mark in {"RC", "RD"},
    )


def _booked(value: date, text: str | None, line: int) -> date:
    """The day of booking has no year: it is the one next to the value date."""
    if not text:
        return value
    near: list[date] = []
    for year in (value.year - 1, value.year, value.year + 1):
        try:
            near.append(date(year, int(text[:2]), int(text[2:])))
        except ValueError:
            continue
    if not near:
        raise StatementError(line, "a date is none")
    return min(near, key=lambda day: abs((day - value).days))


def _explained(entry: Entry, one: _Field) -> Entry:
    """The entry with what field 86 says of it."""
    text, name, iban, end_to_end, batch = _structured(one.lines)
    return Entry(
        line=entry.line,
        booked_on=entry.booked_on,
        amount=entry.amount,
        bank_reference=entry.bank_reference,
        end_to_end=known_reference(end_to_end) or entry.end_to_end,
        batch=known_reference(batch),
        text=text,
        name=name,
        iban="".join(iban.split()).upper(),
        reversal=entry.reversal,
    )


def _structured(lines: list[str]) -> tuple[str, str, str, str, str]:
    """Text, name, IBAN, end-to-end reference and batch."""
    joined = "".join(lines)
    if _SUBFIELD.search(joined):
        pieces = _SUBFIELD.split(joined)
        found: dict[str, str] = {}
        for code, value in zip(pieces[1::2], pieces[2::2], strict=True):
            found[code] = found.get(code, "") + value
        purpose = "".join(found.get(str(code), "") for code in (*range(20, 30), *range(60, 64)))
        tagged = _tagged(_GERMAN, purpose)
        text = tagged.get("SVWZ", "" if tagged else purpose)
        name = (found.get("32", "") + found.get("33", "")).strip()
        return (
            text.strip(),
            name,
            tagged.get("IBAN", "") or found.get("31", ""),
            tagged.get("EREF", ""),
            tagged.get("KREF", ""),
        )
    tagged = _tagged(_SLASHED, joined)
    if tagged:
        values = {key: value.strip("/ ") for key, value in tagged.items()}
        return (
            values.get("REMI", ""),
            values.get("NAME", ""),
            values.get("IBAN", ""),
            values.get("EREF", ""),
            values.get("PREF", ""),
        )
    return " ".join(line.strip() for line in lines), "", "", "", ""


def _tagged(pattern: re.Pattern[str], text: str) -> dict[str, str]:
    pieces = pattern.split(text)
    return {key: value.strip() for key, value in zip(pieces[1::2], pieces[2::2], strict=True)}
