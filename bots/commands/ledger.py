"""``rialto ledger``: the books: whether they are whole, who has what, and for other programs."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from appservice.commands.common import (
    Exit,
    UsageError,
    add_config,
    add_data,
    add_json,
    load,
    print_json,
    say,
)

if TYPE_CHECKING:
    from appservice.database import Database
    from bots.domain.ledger import Account, Line
    from bots.payments.ledger import Ledger, Report

T = TypeVar("T")

PROGRESS_EVERY_S = 0.5


def add(commands: Any) -> None:
    """Add the parsers."""
    parser = commands.add_parser("ledger", help="the books", description=__doc__)
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    verify = actions.add_parser("verify", help="whether the books are whole", description=_verify.__doc__)
    verify.add_argument(
        "--anchor", metavar="SEQ:HASH", help="an entry that an earlier run named: it must still be there"
    )
    verify.set_defaults(handler=_verify)
    export = actions.add_parser("export", help="the journal for other programs", description=_export.__doc__)
    export.add_argument("format", choices=["beancount", "csv"])
    export.add_argument("-o", "--output", type=Path, metavar="FILE", help="write to FILE (default: standard output)")
    export.set_defaults(handler=_export)
    accounts = actions.add_parser("accounts", help="who has what", description=_accounts.__doc__)
    accounts.add_argument("--owner", metavar="NAME", help="of one owner: @USER:SERVER, bot:INSTANCE, provider:NAME")
    accounts.add_argument("--currency", metavar="CODE")
    accounts.add_argument("-n", "--limit", type=int, default=100, metavar="N", help="N of them at most (100)")
    accounts.set_defaults(handler=_accounts)
    statement = actions.add_parser("statement", help="what moved in an account", description=_statement.__doc__)
    statement.add_argument("account", metavar="ACCOUNT", help="an account's id, or an owner with one account")
    statement.add_argument("--currency", metavar="CODE", help="which of the owner's accounts")
    statement.add_argument("--since", type=_moment, metavar="DAY", help="from DAY on (UTC), such as 2026-03-01")
    statement.add_argument("--until", type=_moment, metavar="DAY", help="before DAY")
    statement.add_argument("-n", "--limit", type=int, default=100, metavar="N", help="the N newest lines (100)")
    statement.set_defaults(handler=_statement)
    for action in actions.choices.values():
        add_config(action)
        add_data(action)
    for action in (verify, accounts, statement):
        add_json(action)


def _with_ledger(arguments: argparse.Namespace, work: Callable[[Database, Ledger], Awaitable[T]]) -> T:
    from appservice.database import open_database
    from bots.framework.clock import SystemClock
    from bots.payments.ledger import Ledger

    _, config = load(arguments)

    async def run() -> T:
        database = open_database(config.database.url, pool_size=1)
        await database.start()
        try:
            return await work(database, Ledger(database, SystemClock()))
        finally:
            await database.stop()

    return asyncio.run(run())


def _verify(arguments: argparse.Namespace) -> int:
    """Replay the whole journal: its chain of hashes, every rule, and the balances that it adds up to. The service may
    go on. Exit code 1: something is wrong. Keep "entry SEQ:HASH" somewhere else: --anchor finds a journal that was
    written anew."""
    anchor = _anchor(arguments.anchor)
    report = _with_ledger(arguments, lambda _, ledger: ledger.verify(_Progress(), anchor))
    if arguments.json:
        print_json({**asdict(report), "whole": report.whole})
    else:
        _say_report(report)
    return Exit.OK if report.whole else Exit.FAILED


def _say_report(report: Report) -> None:
    say(f"{report.entries:,} entries, {report.accounts:,} accounts, {report.pending:,} pending transfers")
    for name, count in sorted(report.counts.items()):
        say(f"  {name:<10} {count:>12,}")
    say(f"the last is entry {report.entries}:{report.head}")
    for problem in report.problems:
        say(f"WRONG  {problem.where}: {problem.text} ({problem.code})")
    if report.found > len(report.problems):
        say(f"… and {report.found - len(report.problems):,} more")
    say("the books are whole" if report.whole else f"the books are NOT whole: {report.found:,} problems")


def _export(arguments: argparse.Namespace) -> int:
    """Write the journal as a beancount file, or as CSV. What people wrote with a payment is sealed, and left out."""
    from bots.payments.ledger_export import beancount, csv_lines

    lines = beancount if arguments.format == "beancount" else csv_lines

    async def work(database: Database, _: Ledger) -> None:
        if arguments.output is None:
            async for line in lines(database):
                sys.stdout.write(line)
            sys.stdout.flush()
            return
        progress, count = _Progress("lines"), 0
        with arguments.output.open("w", encoding="utf-8", newline="") as file:
            async for line in lines(database):
                file.write(line)
                count += 1
                progress(count, 0)

    try:
        _with_ledger(arguments, work)
    except OSError as error:
        if isinstance(error, BrokenPipeError) or arguments.output is None:
            raise
        raise UsageError(f"{arguments.output} cannot be written: {error.strerror}") from None
    return Exit.OK


def _accounts(arguments: argparse.Namespace) -> int:
    """List accounts with their balances and what is held."""
    from bots.store import ledger_reading as reading

    async def work(database: Database, _: Ledger) -> list[Account]:
        found = await database.read(
            lambda connection: reading.accounts_page(
                connection, "", arguments.limit, currency=arguments.currency, owner=arguments.owner
            )
        )
        return [account for account, _ in found]

    found = _with_ledger(arguments, work)
    if arguments.json:
        print_json([_account(account) for account in found])
        return Exit.OK
    for account in found:
        state = " closed" if account.closed else " frozen" if account.frozen else ""
        held = f"  held {account.pending_debits}" if account.pending_debits else ""
        say(f"{account.id}  {account.kind.value:<9}  {account.balance!s:>18}  {account.owner}{held}{state}")
    if not found:
        say("no accounts")
    return Exit.OK


def _statement(arguments: argparse.Namespace) -> int:
    """Show what moved in an account, the newest first, with the balance after each line."""

    async def work(database: Database, ledger: Ledger) -> tuple[Account, list[Line]]:
        account = await _chosen(ledger, arguments.account, arguments.currency)
        lines = await ledger.statement(account.id, since=arguments.since, until=arguments.until, limit=arguments.limit)
        return account, lines

    account, lines = _with_ledger(arguments, work)
    if arguments.json:
        print_json({"account": _account(account), "lines": [_line(line) for line in lines]})
        return Exit.OK
    say(f"{account.id}  {account.kind.value}  {account.owner}")
    for line in lines:
        amounts = f"{line.amount!s:>18}  {line.balance!s:>18}"
        say(f"{_when(line.at)}  {amounts}  {line.kind:<9} {line.counterpart_owner}  {line.transfer_id}")
    if not lines:
        say("nothing moved")
    return Exit.OK


async def _chosen(ledger: Ledger, name: str, currency: str | None) -> Account:
    found = await ledger.get(name)
    if found is not None:
        return found
    owned = [each for each in await ledger.accounts(name) if currency in (None, each.currency)]
    if not owned:
        raise UsageError(f"there is no account {name}")
    if len(owned) > 1:
        choices = ", ".join(f"{each.id} ({each.kind.value}, {each.currency})" for each in owned)
        raise UsageError(f"{name} has several accounts: {choices}")
    return owned[0]


class _Progress:
    """Says on standard error how far it is, where somebody looks at it."""

    def __init__(self, what: str = "entries") -> None:
        self._what = what
        self._next = time.monotonic() + PROGRESS_EVERY_S
        self._shown = sys.stderr.isatty()

    def __call__(self, done: int, of: int) -> None:
        now = time.monotonic()
        if not self._shown or now < self._next:
            return
        self._next = now + PROGRESS_EVERY_S
        total = f" of {of:,}" if of else ""
        sys.stderr.write(f"\r{done:,}{total} {self._what}\033[K" + ("\r\033[K" if done == of else ""))
        sys.stderr.flush()


def _anchor(text: str | None) -> tuple[int, bytes] | None:
    if text is None:
        return None
    seq, _, digest = text.partition(":")
    try:
        return int(seq), bytes.fromhex(digest)
    except ValueError:
        raise UsageError("--anchor is SEQ:HASH, as an earlier run named it") from None


def _moment(text: str) -> int:
    """A day or a time in ISO 8601, UTC unless it says otherwise, as ms."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _when(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _account(account: Account) -> dict[str, Any]:
    return {
        "id": account.id,
        "kind": account.kind.value,
        "owner": account.owner,
        "currency": account.currency,
        "balance": f"{account.balance.amount:f}",
        "available": f"{account.available.amount:f}",
        "minor": {
            name: getattr(account, name)
            for name in ("debits", "credits", "pending_debits", "pending_credits", "floor", "ceiling")
        },
        "postings": account.postings,
        "frozen": account.frozen,
        "closed": account.closed,
        "opened_at": _when(account.opened_at),
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "seq": line.seq,
        "number": line.number,
        "at": _when(line.at),
        "transfer": line.transfer_id,
        "kind": line.kind,
        "reference": line.reference,
        "counterpart": line.counterpart,
        "counterpart_owner": line.counterpart_owner,
        "amount": f"{line.amount.amount:f}",
        "balance": f"{line.balance.amount:f}",
        "currency": line.amount.currency,
    }
