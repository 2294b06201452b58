"""Statements: all that moved in a person's wallet in a month, for the chat, as CSV, and for beancount."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from babel.dates import format_skeleton
from sqlalchemy import Connection

from appservice.database import Database
from appservice.errors import RialtoError
from appservice.sealing import Sealer
from bots.domain.ledger import AccountKind
from bots.domain.money import Money
from bots.domain.receipts import MESSAGES
from bots.framework.clock import from_ms, to_ms
from bots.framework.i18n import fold
from bots.framework.i18n.tags import locale_of
from bots.payments.ledger import Account, Ledger, Line
from bots.payments.receipts import Words
from bots.payments.records import payment_of
from bots.store import receipts as store

__all__ = [
    "Form",
    "Month",
    "Statement",
    "StatementError",
    "StatementLine",
    "Statements",
    "Wanted",
    "harmless",
    "read_wanted",
    "statement_beancount",
    "statement_csv",
    "statement_text",
]

PAGE: Final = 500
LINES_MAX: Final = 20_000
SHOWN: Final = 30
"""Lines in the chat."""
_DANGEROUS: Final = "=+-@\t\r＝＋－＠"
"""What a spreadsheet may take for the beginning of a formula (OWASP, CSV injection)."""
HEADINGS: Final = (
    "Time",
    "Kind",
    "Counterpart",
    "Description",
    "Amount",
    "Currency",
    "Balance",
    "Payment",
    "Transfer",
)


class StatementError(RialtoError):
    """A statement that cannot be. ``msgid`` with ``values`` is the sentence for people."""

    code = "no_statement"

    def __init__(self, code: str, **values: Any) -> None:
        self.msgid = MESSAGES[code]
        self.values = values
        super().__init__(self.msgid.format(**values), reason=code)


class Form(StrEnum):
    """How a statement is given."""

    TEXT = "text"
    CSV = "csv"
    BEANCOUNT = "beancount"


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month, in somebody's time zone."""

    year: int
    month: int

    @classmethod
    def at(cls, moment: dt.datetime) -> Month:
        """The one of a point in time."""
        return cls(moment.year, moment.month)

    @property
    def following(self) -> Month:
        """The next one."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def first(self) -> dt.date:
        """Its first day."""
        return dt.date(self.year, self.month, 1)

    def begins(self, zone: dt.tzinfo) -> int:
        """Its first moment in a zone, ms since the epoch."""
        return to_ms(dt.datetime(self.year, self.month, 1, tzinfo=zone))

    def written(self, words: Words) -> str:
        """``March 2026`` in the reader's language."""
        return _skeleton("yMMMM", self.first, words)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asked for."""

    month: Month
    form: Form = Form.TEXT


@dataclass(frozen=True, slots=True)
class StatementLine:
    """A movement: ``amount`` is above nought when it came in, ``description`` is what people wrote."""

    at: int
    kind: str
    counterpart: str
    description: str
    amount: Money
    balance: Money
    payment: str
    transfer: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A month of one account, the first movement first. ``opening`` and all amounts make ``closing``."""

    owner: str
    month: Month
    opening: Money
    closing: Money
    lines: tuple[StatementLine, ...]

    def __post_init__(self) -> None:
        balance = self.opening
        for line in self.lines:
            balance += line.amount
            if balance != line.balance:
                raise ValueError("the movements of a statement add up to its balances")
        if balance != self.closing:
            raise ValueError("the movements of a statement add up to its balances")

    @property
    def currency(self) -> str:
        """Of all its amounts."""
        return self.opening.currency

    def total(self, *, coming: bool) -> Money:
        """What came in, or went out, in all."""
        nothing = Money.zero(self.currency)
        return sum((abs(line.amount) for line in self.lines if (line.amount.minor > 0) == coming), nothing)


class Statements:
    """Makes statements of people's wallets."""

    def __init__(self, database: Database, ledger: Ledger, sealer: Sealer) -> None:
        """
        Args:
            sealer: with the purpose ``payments``.
        """
        self._database = database
        self._ledger = ledger
        self._sealer = sealer

    async def month(self, person: str, month: Month, zone: dt.tzinfo) -> tuple[Statement, ...]:
        """A month of all accounts of a person in which there is or moved something, by currency.

        Raises:
            StatementError: more moved than is kept in memory for it.
        """
        accounts = [each for each in await self._ledger.accounts(person) if each.kind is AccountKind.PERSON]
        made = [await self._statement(account, month, zone) for account in sorted(accounts, key=lambda a: a.currency)]
        return tuple(each for each in made if each.lines or each.opening)

    async def _statement(self, account: Account, month: Month, zone: dt.tzinfo) -> Statement:
        since, until = month.begins(zone), month.following.begins(zone)
        lines: list[Line] = []
        while True:
            before = lines[-1].seq if lines else None
            page = await self._ledger.statement(account.id, since=since, until=until, before_seq=before, limit=PAGE)
            lines += page
            if len(page) < PAGE:
                break
            if len(lines) >= LINES_MAX:
                raise StatementError("statement.too_long", period=f"{month.year}-{month.month:02}", most=LINES_MAX)
        lines.reverse()
        if lines:
            opening, closing = lines[0].balance - lines[0].amount, lines[-1].balance
        else:
            opening = closing = await self._ledger.balance_at(account.id, since - 1)
        memos = await self._database.read(lambda connection: self._memos(connection, lines))
        return Statement(account.owner, month, opening, closing, tuple(_line(line, memos) for line in lines))

    def _memos(self, connection: Connection, lines: Sequence[Line]) -> Mapping[str, str]:
        """What people wrote, by the id of the payment."""
        ids = sorted({line.reference for line in lines if line.reference})
        found: dict[str, str] = {}
        for start in range(0, len(ids), PAGE):
            for row in store.payments_by_id(connection, ids[start : start + PAGE]):
                payment = payment_of(dict(row), self._sealer)
                found[payment.id] = payment.memo or ", ".join(line.name for line in payment.lines)
        return found


def _line(line: Line, memos: Mapping[str, str]) -> StatementLine:
    return StatementLine(
        line.at,
        line.kind,
        line.counterpart_owner,
        memos.get(line.reference, ""),
        line.amount,
        line.balance,
        line.reference,
        line.transfer_id,
    )


# --- what people ask for


def read_wanted(text: str, words: Words, now: int) -> Wanted:
    """What was written behind ``statement``: “march”, “march 2025 csv”, “2026-03”, “3/2026”; nothing: this month.

    Month names are those of the reader's language and English, whole or shortened, digits those of any script. A month
    without a year is the last one of that name that has begun.

    Raises:
        StatementError: it is no month, or it has not begun.
    """
    here = from_ms(now).astimezone(words.formats.zone)
    parts = [each for each in re.split(r"[\s,]+", _digits(text)) if each]
    form = Form.TEXT
    for each in Form:
        if fold_plain(each.value) in {fold_plain(part) for part in parts}:
            form = each
            parts = [part for part in parts if fold_plain(part) != each.value]
    month = _month(parts, words, Month.at(here)) if parts else Month.at(here)
    if month is None:
        this = Month.at(here)
        raise StatementError(
            "statement.not_a_month",
            given=text.strip()[:50],
            month=str(locale_of(words.formats.language).months["stand-alone"]["wide"][this.month]),
            number=f"{this.year}-{this.month:02}",
        )
    if month.first > here.date():
        raise StatementError("statement.in_the_future", period=month.written(words))
    return Wanted(month, form)


def _month(parts: Sequence[str], words: Words, this: Month) -> Month | None:
    text = " ".join(parts)
    if found := re.fullmatch(r"(\d{4})[-/. ](\d{1,2})", text):
        return _valid(int(found[1]), int(found[2]))
    if found := re.fullmatch(r"(\d{1,2})[-/. ](\d{4})", text):
        return _valid(int(found[2]), int(found[1]))
    if found := re.fullmatch(r"\d{1,2}", text):
        return _latest(int(text), this)
    years = [part for part in parts if re.fullmatch(r"\d{4}", part)]
    names = [part for part in parts if part not in years]
    number = _named(" ".join(names), words.translator.language) if names and len(years) <= 1 else None
    if number is None:
        return None
    return _valid(int(years[0]), number) if years else _latest(number, this)


def _latest(number: int, this: Month) -> Month | None:
    return _valid(this.year if number <= this.month else this.year - 1, number)


def _valid(year: int, number: int) -> Month | None:
    return Month(year, number) if 2000 <= year <= 9000 and 1 <= number <= 12 else None


def _named(name: str, language: str) -> int | None:
    """The number of a month by its name, or by the beginning that it alone has."""
    wanted = fold_plain(name).rstrip(".")
    for tag in (language, "en"):
        names: dict[str, int] = {}
        for context in ("format", "stand-alone"):
            for width in ("wide", "abbreviated"):
                for number, each in locale_of(tag).months[context][width].items():
                    names.setdefault(fold_plain(str(each)).rstrip("."), number)
        if wanted in names:
            return names[wanted]
        begin = {number for each, number in names.items() if len(wanted) >= 3 and each.startswith(wanted)}
        if len(begin) == 1:
            return begin.pop()
    return None


def fold_plain(text: str) -> str:
    """Folded, and without accents: “Marz” is “März”."""
    return "".join(char for char in unicodedata.normalize("NFD", fold(text)) if not unicodedata.combining(char))


def _digits(text: str) -> str:
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)


# --- how they are given


def statement_text(statement: Statement, words: Words) -> str:
    """For the chat: the balances, and the last movements."""
    period = statement.month.written(words)
    left_out = max(len(statement.lines) - SHOWN, 0)
    lines = [words("statement.title", period=period, currency=statement.currency)]
    lines.append(f"{words('statement.opening')}: {words.written(statement.opening)}")
    for line in statement.lines[left_out:]:
        day = _skeleton("MMMd", from_ms(line.at).astimezone(words.formats.zone).date(), words)
        who = line.counterpart if line.counterpart.startswith(("@", "bot:")) else ""
        parts = (words.kind(line.kind), " ".join(who.split()), " ".join(line.description.split())[:80])
        lines.append(f"• {day}: {words.written(line.amount)} · " + " · ".join(part for part in parts if part))
    if left_out:
        lines.append(words("statement.more", count=left_out))
    if not statement.lines:
        lines.append(words("statement.nothing", period=period))
    for code, coming in (("statement.in", True), ("statement.out", False)):
        lines.append(f"{words(code)}: {words.written(statement.total(coming=coming))}")
    lines.append(f"{words('statement.closing')}: {words.written(statement.closing)}")
    return "\n".join(lines)


def statement_csv(statements: Sequence[Statement], zone: dt.tzinfo) -> bytes:
    """RFC 4180, UTF-8 with a byte order mark (spreadsheets need it), times in ISO 8601, decimals with a point.

    Text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(HEADINGS)
    for statement in statements:
        for line in statement.lines:
            texts = (line.kind, line.counterpart, line.description)
            writer.writerow(
                [
                    from_ms(line.at).astimezone(zone).isoformat(timespec="milliseconds"),
                    *map(harmless, texts),
                    f"{line.amount.amount:f}",
                    statement.currency,
                    f"{line.balance.amount:f}",
                    harmless(line.payment),
                    harmless(line.transfer),
                ]
            )
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "replace")


def harmless(text: str) -> str:
    """Text for a cell: no formula, no control characters."""
    clean = "".join(char for char in text if char in "\n\t" or unicodedata.category(char) != "Cc")
    return f"'{clean}" if clean.lstrip(" \u00a0\n")[:1] and clean.lstrip(" \u00a0\n")[0] in _DANGEROUS else clean


def statement_beancount(statements: Sequence[Statement], zone: dt.tzinfo, now: int) -> bytes:
    """A month for beancount (plain-text accounting), with its balances as assertions.

    Args:
        now: a month that is not over ends with today.
    """
    out = ["; Rialto: movements of a wallet", ""]
    for statement in statements:
        out += _beancount(statement, zone, now)
    return "\n".join([*out, ""]).encode("utf-8", "replace")


def _beancount(statement: Statement, zone: dt.tzinfo, now: int) -> list[str]:
    currency, first = statement.currency, statement.month.first
    today = from_ms(now).astimezone(zone).date()
    last = min(statement.month.following.first, today + dt.timedelta(days=1))
    wallet, before = f"Assets:Wallet:{currency}", first - dt.timedelta(days=1)
    others = sorted({_beancount_account(line) for line in statement.lines})
    out = [
        f"{before} open {account} {currency}" for account in (wallet, f"Equity:Opening-Balances:{currency}", *others)
    ]
    out += [f"{before} pad {wallet} Equity:Opening-Balances:{currency}"] if statement.opening else []
    out.append(f"{first} balance {wallet} {statement.opening.amount:f} {currency}")
    for line in statement.lines:
        day = from_ms(line.at).astimezone(zone).date()
        out += [
            "",
            f'{day} * "{_quoted(line.counterpart)}" "{_quoted(line.description)}"',
            f'  transfer: "{_quoted(line.transfer)}"',
            f"  {wallet}  {line.amount.amount:f} {currency}",
            f"  {_beancount_account(line)}  {(-line.amount).amount:f} {currency}",
        ]
    return [*out, "", f"{last} balance {wallet} {statement.closing.amount:f} {currency}", ""]


def _beancount_account(line: StatementLine) -> str:
    """Where the other side of a movement goes: names of accounts are ASCII letters and digits, so a hash tells apart
    those that would be the same."""
    kind = "Income" if line.amount.minor > 0 else "Expenses"
    plain = re.sub(r"[^A-Za-z0-9]+", "-", line.counterpart).strip("-")
    digest = hashlib.sha256(line.counterpart.encode("utf-8", "replace")).hexdigest()[:6]
    return f"{kind}:Wallet:{line.amount.currency}:X{plain[:40]}-{digest}"


def _quoted(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')


def _skeleton(skeleton: str, day: dt.date, words: Words) -> str:
    return str(format_skeleton(skeleton, day, locale=locale_of(words.formats.language)))
