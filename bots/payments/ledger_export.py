"""The ledger for other programs: beancount (plain-text double-entry accounting) and CSV.

Written line by line from pages of the journal: no file is too large for memory. Memos stay sealed and are left out.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any, Final

from appservice.database import Database
from bots.domain.ledger import Account, AccountKind
from bots.domain.ledger_journal import MOVES, Entry, EntryType
from bots.domain.money import Money
from bots.framework.clock import from_ms
from bots.store import ledger_reading as reading

__all__ = ["COLUMNS", "beancount", "csv_lines"]

PAGE: Final = 1000
COLUMNS: Final = (
    *("seq", "at", "type", "chain", "id", "subject", "kind", "reference", "debit", "debit_owner", "credit"),
    *("credit_owner", "amount", "currency", "reverses", "expires_at", "refusal", "debit_after", "credit_after", "hash"),
)
_USER_ID: Final = re.compile(r"@[a-z0-9._=/+-]+:[A-Za-z0-9.:\[\]-]+")
ROOTS: Final = {
    AccountKind.PERSON: "Liabilities:Person",
    AccountKind.MERCHANT: "Liabilities:Merchant",
    AccountKind.ESCROW: "Liabilities:Escrow",
    AccountKind.FEES: "Income:Fees",
    AccountKind.PROVIDER: "Assets:Provider",
    AccountKind.SUSPENSE: "Assets:Suspense",
    AccountKind.EXCHANGE: "Equity:Exchange",
}
"""What people hold with us is what we owe them."""


async def beancount(database: Database) -> AsyncIterator[str]:
    """The lines of a beancount file: accounts, transfers that moved money, and what the balances must be at the end.

    The signs are beancount's: a debit is above nought, so what we owe a person stands below it.
    """
    yield ";; Written by Rialto. Days are UTC; memos are left out.\n"
    yield 'option "title" "Rialto"\n'
    last = (await database.read(reading.head)).seq
    accounts = await _accounts(database)
    opened: set[str] = set()
    nets: dict[str, int] = {}
    day = ""
    async for entry in _entries(database, last):
        day = max(day, _day(entry.at))
        if entry.type == EntryType.OPENED and entry.subject in accounts:
            account = accounts[entry.subject]
            yield f"\n{_day(entry.at)} open {_name(account)} {account.currency}\n  owner: {_quoted(account.owner)}\n"
            opened.add(account.id)
        elif entry.type in MOVES and {entry.debit, entry.credit} <= opened:
            for line in _transaction(entry, accounts):
                yield line
            for id_, sign in ((str(entry.debit), 1), (str(entry.credit), -1)):
                nets[id_] = nets.get(id_, 0) + sign * entry.amount
    yield "\n"
    if day:
        after = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
        for id_, net in nets.items():  # beancount means the beginning of the day
            yield f"{after} balance {_name(accounts[id_])} {_amount(net, accounts[id_].currency)}\n"


async def csv_lines(database: Database) -> AsyncIterator[str]:
    """The whole journal as CSV (RFC 4180), refusals included; amounts in major units, times in ISO 8601.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    yield _row(COLUMNS)
    last = (await database.read(reading.head)).seq
    accounts = await _accounts(database)
    async for entry in _entries(database, last):
        sides = [accounts.get(side or "") for side in (entry.debit, entry.credit)]
        owners = ["" if side is None else side.owner for side in sides]
        yield _row(
            [
                *(entry.seq, _time(entry.at), entry.type, entry.chain, _harmless(entry.id), _harmless(entry.subject)),
                *(_harmless(entry.kind), _harmless(entry.reference)),
                *(_harmless(entry.debit), _harmless(owners[0]), _harmless(entry.credit), _harmless(owners[1])),
                *(_major(entry.amount if entry.amount else None, entry.currency), entry.currency),
                *(_harmless(entry.reverses), _time(entry.expires_at), entry.refusal or ""),
                *(_major(entry.debit_after, entry.currency), _major(entry.credit_after, entry.currency)),
                entry.hash.hex(),
            ]
        )


def _transaction(entry: Entry, accounts: dict[str, Account]) -> list[str]:
    debit, credit = accounts[str(entry.debit)], accounts[str(entry.credit)]
    lines = [f"\n{_day(entry.at)} * {_quoted(entry.kind)}\n"]
    lines += [f"  seq: {entry.seq}\n", f"  at: {_quoted(_time(entry.at))}\n"]
    texts = {"id": entry.id, "transfer": entry.subject, "reference": entry.reference, "reverses": entry.reverses}
    lines += [f"  {key}: {_quoted(value)}\n" for key, value in texts.items() if value]
    lines.append(f"  {_name(debit)}  {_amount(entry.amount, entry.currency)}\n")
    lines.append(f"  {_name(credit)}  {_amount(-entry.amount, entry.currency)}\n")
    return lines


async def _accounts(database: Database) -> dict[str, Account]:
    found: dict[str, Account] = {}
    after = ""
    while page := await database.read(lambda c, after=after: reading.accounts_page(c, after, PAGE)):  # type: ignore[misc]
        found |= {account.id: account for account, _ in page}
        after = page[-1][0].id
    return found


async def _entries(database: Database, last: int) -> AsyncIterator[Entry]:
    after = 0
    while after < last:
        limit = min(PAGE, last - after)
        page = await database.read(lambda c, after=after, limit=limit: reading.entries_page(c, after, limit))  # type: ignore[misc]
        for entry in page:
            yield entry
        if not page:
            return
        after = page[-1].seq


def _name(account: Account) -> str:
    """A name that beancount takes: letters and digits of an account's id, below its kind."""
    return f"{ROOTS[account.kind]}:{account.id}"


def _quoted(text: str) -> str:
    """A string of beancount's: on one line, with quotes and backslashes escaped."""
    flat = "".join(char if char.isprintable() else " " for char in text)
    return '"' + flat.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _amount(minor: int, currency: str) -> str:
    return str(Money(minor, currency))


def _major(minor: int | None, currency: str) -> str:
    return "" if minor is None or not currency else f"{Money(minor, currency).amount:f}"


def _harmless(text: str | None) -> str:
    value = text or ""
    formula = value[:1] in {"=", "+", "-", "@", "\t", "\r"} and _USER_ID.fullmatch(value) is None
    return f"'{value}" if formula else value


def _row(values: Any) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(values)
    return out.getvalue()


def _day(moment: int) -> str:
    return from_ms(moment).date().isoformat()


def _time(moment: int | None) -> str:
    return "" if moment is None else from_ms(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")
