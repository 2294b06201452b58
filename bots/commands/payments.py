"""``rialto payments``: statements of the bank, orders for it, and what the ledger and the providers do not agree about.

What is decided here is stored; the running service goes on with it within seconds, or at its next start.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from appservice.commands.common import Exit, UsageError, add_config, add_data, add_json, load, print_json, say, warn

if TYPE_CHECKING:
    from appservice.config import Config
    from appservice.database import Database
    from appservice.sealing import Sealer
    from bots.payments.funding import Funding
    from bots.payments.providers.bank_desk import BankDesk
    from bots.payments.reconciliation import Reconciliation
    from bots.store.bank import BatchRow, LineRow
    from bots.store.differences import DifferenceRow

T = TypeVar("T")
ENDINGS = ("success", "decline", "unknown")


def add(commands: Any) -> None:
    """Add the parsers."""
    parser = commands.add_parser("payments", help="money from banks and providers", description=__doc__)
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    _add_bank(actions)
    _add_books(actions)
    for action in actions.choices.values():
        add_config(action)
        add_data(action)
        add_json(action)


def _add_bank(actions: Any) -> None:
    importing = actions.add_parser("import", help="import account statements", description=_import.__doc__)
    importing.add_argument("files", nargs="+", type=Path, metavar="FILE", help="camt.053 or MT940")
    importing.set_defaults(handler=_import)
    unmatched = actions.add_parser("unmatched", help="lines without a reference", description=_unmatched.__doc__)
    unmatched.set_defaults(handler=_unmatched)
    assign = actions.add_parser("assign", help="say whose line it is", description=_assign.__doc__)
    assign.add_argument("line", help="its id, or the beginning of it")
    assign.add_argument("target", help="a top-up or its reference, a payout, or a person (@name:server)")
    assign.set_defaults(handler=_assign)
    for name, words in (
        ("return", "send a line's money back to whom it came from"),
        ("book", "book a line against the suspense account: a bank's fee"),
        ("dismiss", "say that a line was imported twice and is no movement of its own"),
    ):
        deciding = actions.add_parser(name, help=words, description=_decide.__doc__)
        deciding.add_argument("line", help="its id, or the beginning of it")
        deciding.add_argument("--reason", default="operator", help="a word to remember it by")
        deciding.set_defaults(handler=_decide)
    export = actions.add_parser("export-payouts", help="write a file of orders", description=_export.__doc__)
    export.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to; standard output unless told")
    export.add_argument("--batch", metavar="ID", help="one that was exported, once more: the same bytes")
    export.set_defaults(handler=_export)
    batches = actions.add_parser("batches", help="the files that were exported", description=_batches.__doc__)
    batches.set_defaults(handler=_batches)
    fail = actions.add_parser("fail", help="the bank did not carry out a payout", description=_fail.__doc__)
    fail.add_argument("payout")
    fail.set_defaults(handler=_fail)


def _add_books(actions: Any) -> None:
    reconcile = actions.add_parser("reconcile", help="compare with the providers now", description=_reconcile.__doc__)
    reconcile.set_defaults(handler=_reconcile)
    differences = actions.add_parser("differences", help="what differs", description=_differences.__doc__)
    differences.set_defaults(handler=_differences)
    suspended = actions.add_parser(
        "suspended", help="top-ups that a wallet must not have", description=_suspended.__doc__
    )
    suspended.set_defaults(handler=_suspended)
    release = actions.add_parser("release", help="move such money to its wallet", description=_release.__doc__)
    release.add_argument("top_up")
    release.set_defaults(handler=_release)
    refund = actions.add_parser("refund", help="give back money of a top-up", description=_refund.__doc__)
    refund.add_argument("top_up")
    refund.add_argument("amount", help='such as "12.50 EUR"')
    refund.add_argument("--key", help="the same key is the same refund; made of top-up and amount unless told")
    refund.set_defaults(handler=_refund)
    sandbox = actions.add_parser("sandbox", help="say how a payment in play money ends", description=_sandbox.__doc__)
    sandbox.add_argument("top_up")
    sandbox.add_argument("ending", choices=ENDINGS)
    sandbox.set_defaults(handler=_sandbox)


# What the commands work with


@dataclass(frozen=True, slots=True)
class _Desk:
    config: Config
    database: Database
    sealer: Sealer

    def bank(self) -> BankDesk:
        """Raises UsageError when there is no bank account."""
        from bots.framework.clock import SystemClock
        from bots.payments.providers import bank_account
        from bots.payments.providers.bank_desk import BankDesk

        account = bank_account(self.config.payments)
        if account is None:
            raise UsageError("payments.providers.bank.iban is not set: there is no account to do this with")
        return BankDesk(account, self.database, self.sealer, SystemClock())

    def funding(self) -> tuple[Funding, Reconciliation]:
        """As the service has them; what the wallet is to be told, the service tells it."""
        import secrets

        from bots.framework.clock import SystemClock
        from bots.framework.web import WebServer
        from bots.pages import Links
        from bots.payments.funding import Funding
        from bots.payments.funding_books import Books
        from bots.payments.guard import Guard
        from bots.payments.ledger import Ledger
        from bots.payments.providers import make_providers
        from bots.payments.reconciliation import Reconciliation
        from bots.payments.sanctions import NoSanctions
        from bridge.audit import Audit

        config, database, clock = self.config, self.database, SystemClock()
        key = config.encryption.pickle_key.get_secret_value()
        ledger, guard = Ledger(database, clock), Guard.of(config.payments)
        providers = make_providers(
            config.payments,
            database=database,
            sealer=self.sealer,
            clock=clock,
            links=Links(key),
            url=WebServer(config.web).url,
            pickle_key=key,
        )
        funding = Funding(
            database=database,
            raise_events=self._tell_later,
            ledger=ledger,
            guard=guard,
            books=Books(ledger, guard, Audit(database, self.sealer)),
            sealer=self.sealer,
            clock=clock,
            randomness=secrets.token_bytes,
            providers=providers,
            consumer="",
            sanctions=NoSanctions(),
        )
        every = config.payments.providers.reconcile_every
        return funding, Reconciliation(database, ledger, self.sealer, clock, providers, every)

    async def _tell_later(self, work: Callable[[Any], Any]) -> None:
        """Commit ``work``; its events are raised by the service, which alone can have them answered."""
        from bots.store import funding as sql

        def run(connection: Any) -> None:
            for event in work(connection):
                sql.untell(connection, event.content["id"])

        await self.database.write(run)


def _with_desk(arguments: argparse.Namespace, work: Callable[[_Desk], Awaitable[T]]) -> T:
    from appservice.database import open_database
    from appservice.sealing import Sealer

    _, config = load(arguments)

    async def run() -> T:
        database = open_database(config.database.url, pool_size=2)
        await database.start()
        try:
            return await work(
                _Desk(config, database, Sealer(config.encryption.pickle_key.get_secret_value(), "payments"))
            )
        finally:
            await database.stop()

    return asyncio.run(run())


# The bank


def _import(arguments: argparse.Namespace) -> int:
    """Import account statements (camt.053, MT940). A file is imported as a whole or not at all; lines that are there
    already stay as they are. Lines with the reference of a top-up, or of a payout, are matched; the others are listed
    by "rialto payments unmatched"."""

    async def work(desk: _Desk) -> list[dict[str, Any]]:
        done = []
        for file in arguments.files:
            try:
                data = file.read_bytes()
            except OSError as error:
                raise UsageError(f"{file}: {(error.strerror or str(error)).lower()}") from None
            found = await desk.bank().import_statement(data, str(file))
            done.append(
                {
                    "file": str(file),
                    "statements": found.statements,
                    "lines": found.lines,
                    "matched": found.matched,
                    "unmatched": found.unmatched,
                    "known": found.known,
                    "repeated": found.repeated,
                }
            )
            if not arguments.json:
                words = "imported before, nothing is new" if found.repeated else f"{found.lines} new lines"
                say(f"{file}: {words}, {found.known} known; {found.matched} matched, {found.unmatched} unmatched")
        return done

    done = _with_desk(arguments, work)
    if arguments.json:
        print_json(done)
    return Exit.OK


def _unmatched(arguments: argparse.Namespace) -> int:
    """List the lines of statements that belong to no top-up and no payout by their reference, with what the bank says
    of them. Decide about each: assign, return, book or dismiss."""
    lines = _with_desk(arguments, lambda desk: desk.bank().unmatched())
    if arguments.json:
        print_json([_line(line) for line in lines])
        return Exit.OK
    for line in lines:
        details = "  ".join(line.details[key] for key in ("name", "iban", "reference", "text") if key in line.details)
        say(f"{line.id[:12]}  {line.booked_on}  {line.amount!s:>16}  {line.reason:<18}  {details}".rstrip())
    if not lines:
        say("no unmatched lines")
    return Exit.OK


def _line(line: LineRow) -> dict[str, Any]:
    return {
        "id": line.id,
        "booked_on": line.booked_on,
        "amount": str(line.amount.amount),
        "currency": line.amount.currency,
        "reason": line.reason,
        "reversal": line.reversal,
        "end_to_end": line.end_to_end,
        **line.details,
    }


def _assign(arguments: argparse.Namespace) -> int:
    """Say that a line belongs to a top-up, a payout, or a person, for whom a top-up is made."""
    import secrets

    from bots.framework.clock import SystemClock
    from bridge.domain.ulids import ENTROPY_BYTES, ulid

    made = ulid(SystemClock().now_ms(), secrets.token_bytes(ENTROPY_BYTES))
    target = _with_desk(arguments, lambda desk: desk.bank().assign(arguments.line, arguments.target, made))
    _done(arguments, {"line": arguments.line, "target": target}, f"the line belongs to {target}")
    return Exit.OK


def _decide(arguments: argparse.Namespace) -> int:
    """Say what becomes of a line that belongs to nobody."""
    from bots.domain.funding import LineState

    states = {"return": LineState.RETURN, "book": LineState.BOOKED, "dismiss": LineState.DISMISSED}
    state = states[arguments.action]
    _with_desk(arguments, lambda desk: desk.bank().decide(arguments.line, state, arguments.reason))
    _done(arguments, {"line": arguments.line, "state": state.value}, f"the line is noted as: {state.value}")
    return Exit.OK


def _export(arguments: argparse.Namespace) -> int:
    """Write the payouts that wait into a file for the bank (pain.001.001.03). Each payout is in one file, once; with
    --batch a file is written again, byte for byte."""
    import secrets

    from bots.framework.clock import SystemClock
    from bridge.domain.ulids import ENTROPY_BYTES, ulid

    async def work(desk: _Desk) -> BatchRow | None:
        bank = desk.bank()
        if arguments.batch is not None:
            found = await bank.batch(arguments.batch)
            if found is None:
                raise UsageError(f"there is no batch {arguments.batch}")
            return found
        return await bank.export(ulid(SystemClock().now_ms(), secrets.token_bytes(ENTROPY_BYTES)))

    batch = _with_desk(arguments, work)
    if batch is None:
        _done(arguments, {"batch": None}, "no payouts wait")
        return Exit.OK
    if arguments.output is None and not arguments.json:
        say(batch.content.decode().rstrip())
        warn(f"batch {batch.id}: {batch.orders} payouts, {batch.total}")
        return Exit.OK
    if arguments.output is not None:
        try:
            arguments.output.write_bytes(batch.content)
        except OSError as error:
            again = f"rialto payments export-payouts --batch {batch.id} -o FILE"
            raise UsageError(f"{arguments.output}: {(error.strerror or str(error)).lower()}; again: {again}") from None
    _done(arguments, _batch(batch), f"batch {batch.id}: {batch.orders} payouts, {batch.total}")
    return Exit.OK


def _batch(batch: BatchRow) -> dict[str, Any]:
    return {
        "batch": batch.id,
        "payouts": batch.orders,
        "total": str(batch.total),
        "created_at": _when(batch.created_at),
    }


def _batches(arguments: argparse.Namespace) -> int:
    """List the files of orders that were exported, the newest first."""
    batches = _with_desk(arguments, lambda desk: desk.bank().batches())
    if arguments.json:
        print_json([_batch(batch) for batch in batches])
        return Exit.OK
    for batch in batches:
        say(f"{batch.id}  {_when(batch.created_at)}  {batch.orders} payouts  {batch.total}")
    if not batches:
        say("no batches")
    return Exit.OK


def _fail(arguments: argparse.Namespace) -> int:
    """Say that the bank did not carry out a payout: its money goes back to the wallet. Only when that is certain."""
    _with_desk(arguments, lambda desk: desk.bank().fail(arguments.payout))
    _done(arguments, {"payout": arguments.payout, "state": "failed"}, "the payout has failed")
    return Exit.OK


# The books


def _reconcile(arguments: argparse.Namespace) -> int:
    """Compare the ledger with every provider now, and list what differs. Exit code 1 when something does."""

    async def work(desk: _Desk) -> tuple[list[DifferenceRow], dict[str, str]]:
        funding, reconciliation = desk.funding()
        try:
            for provider in funding.providers.values():
                await provider.start()
            found = await reconciliation.run()
        finally:
            await funding.stop()
        return list(found.differences), dict(found.failed)

    differences, failed = _with_desk(arguments, work)
    for name, why in failed.items():
        warn(f"{name} could not be compared: {why}")
    _list_differences(arguments, differences)
    return Exit.FAILED if differences or failed else Exit.OK


def _differences(arguments: argparse.Namespace) -> int:
    """List what the last comparison found."""
    from bots.store import differences as store

    _list_differences(arguments, _with_desk(arguments, lambda desk: desk.database.read(store.open_of)))
    return Exit.OK


def _list_differences(arguments: argparse.Namespace, found: list[DifferenceRow]) -> None:
    if arguments.json:
        print_json([_difference(row) for row in found])
        return
    for row in found:
        line = _difference(row)
        ours, theirs = line["ours"] or "-", line["theirs"] or "-"
        say(
            f"{row.provider:<8}  {row.kind.value:<14}  ours {ours:>14}  theirs {theirs:>14}"
            f"  {row.currency}  {_when(row.at)}  {row.subject}  {row.detail}".rstrip()
        )
    if not found:
        say("no differences")


def _difference(row: DifferenceRow) -> dict[str, Any]:
    from bots.domain.money import Money

    def written(minor: int | None) -> str | None:
        return None if minor is None else str(Money(minor, row.currency).amount)

    return {
        "provider": row.provider,
        "kind": row.kind.value,
        "subject": row.subject,
        "currency": row.currency,
        "ours": written(row.ours),
        "theirs": written(row.theirs),
        "detail": row.detail,
        "at": _when(row.at),
        "first_seen": _when(row.first_seen),
    }


def _suspended(arguments: argparse.Namespace) -> int:
    """List the top-ups whose money came in and lies on the suspense account, because the wallet must not have it."""
    found = _with_desk(arguments, lambda desk: desk.funding()[0].suspended())
    if arguments.json:
        print_json(
            [
                {"top_up": one.id, "person": one.person, "suspended": str(one.suspended), "reason": one.reason}
                for one in found
            ]
        )
        return Exit.OK
    for one in found:
        say(f"{one.id}  {one.suspended!s:>16}  {one.provider:<8}  {one.person}  {one.reason}".rstrip())
    if not found:
        say("nothing is suspended")
    return Exit.OK


def _release(arguments: argparse.Namespace) -> int:
    """Have money of a top-up moved from the suspense account to its wallet. Where the wallet still must not have it, it
    stays."""
    count = _with_desk(arguments, lambda desk: desk.funding()[0].release(arguments.top_up))
    _done(arguments, {"top_up": arguments.top_up, "movements": count}, f"{count} movements are to be released")
    return Exit.OK if count else Exit.FAILED


def _refund(arguments: argparse.Namespace) -> int:
    """Give back money of a top-up to where it came from: from the suspense account where it lies there, else from the
    wallet."""
    from bots.domain.money import Money, MoneyError

    try:
        amount = Money.parse(arguments.amount, language="en")
    except MoneyError as error:
        raise UsageError(error.human) from None
    key = arguments.key or f"operator:{arguments.top_up}:{amount}"

    async def work(desk: _Desk) -> Any:
        funding, _ = desk.funding()
        try:
            for provider in funding.providers.values():
                await provider.start()
            return await funding.refund(arguments.top_up, amount, key)
        finally:
            await funding.stop()

    refund = _with_desk(arguments, work)
    fields = {"refund": refund.id, "state": refund.state.value, "amount": str(refund.amount)}
    _done(arguments, fields, f"refund {refund.id} of {refund.amount}: {refund.state.value}")
    return Exit.OK


def _sandbox(arguments: argparse.Namespace) -> int:
    """Say how a payment in play money ends that nobody has ended on its page, or that was left unknown."""

    async def work(desk: _Desk) -> bool:
        from bots.payments.providers.sandbox import SandboxProvider
        from bots.store import sandbox as sql

        funding, _ = desk.funding()
        provider = funding.providers.get("sandbox")
        if not isinstance(provider, SandboxProvider):
            raise UsageError("payments.providers.sandbox.enabled is not set")
        found = await desk.database.read(lambda connection: sql.of_reference(connection, arguments.top_up, "payment"))
        return bool(found) and await provider.settle(found[0].id, arguments.ending)

    changed = _with_desk(arguments, work)
    words = f"it ends with: {arguments.ending}" if changed else "there is none that is open"
    _done(arguments, {"top_up": arguments.top_up, "changed": changed}, words)
    return Exit.OK if changed else Exit.FAILED


def _done(arguments: argparse.Namespace, fields: dict[str, Any], words: str) -> None:
    if arguments.json:
        print_json(fields)
    else:
        say(words)


def _when(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
