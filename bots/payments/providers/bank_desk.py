"""What the operator does with account statements and orders for the bank: imports, decisions, exports.

A file is imported as a whole or not at all, and each line once. A line belongs to a top-up or a payout when its
reference says so. Nothing is guessed: the other lines are listed, and the operator decides.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection

from appservice.database import Database
from appservice.errors import RialtoError
from appservice.sealing import Sealer
from bots.domain import camt053, mt940, pain001
from bots.domain.epc import SepaError, iban, reference, references_in
from bots.domain.funding import LineState, PayoutState, TopUpState
from bots.domain.money import Money
from bots.domain.statements import Entry, Statement, StatementError, entry_ids, same_account
from bots.framework.clock import Clock, from_ms
from bots.payments.providers.bank import NAME, TTL_S, BankAccount, reference_for, short_id
from bots.payments.providers.xml import read_tree
from bots.store import bank as bank_sql
from bots.store import funding as sql
from bots.store.bank import BatchRow, LineRow
from bots.store.funding_rows import PayoutRow, TopUpRow

MAX_FILE: Final = 32 * 1024 * 1024


class BankRefused(RialtoError):
    """The operator asked for what cannot be done with a line or a payout."""

    code = "bank_refused"


class StatementRefused(RialtoError):
    """A statement is not imported. ``fields``: line, reason."""

    code = "statement_refused"

    def __init__(self, error: StatementError, file: str = "") -> None:
        where = f"{file}:{error.line}" if file else f"line {error.line}"
        super().__init__(f"{where}: {error.reason}. Nothing was imported.", line=error.line, reason=error.reason)


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file. ``known``: lines that were there already; ``repeated``: the whole file was."""

    statements: int
    lines: int
    matched: int
    unmatched: int
    known: int
    repeated: bool = False


class BankDesk:
    """What the operator does with statements and orders. It needs the database only: the running service goes on with
    what becomes of it."""

    def __init__(self, account: BankAccount, database: Database, sealer: Sealer, clock: Clock) -> None:
        self._account = account
        self._database = database
        self._sealer = sealer
        self._clock = clock

    async def import_statement(self, data: bytes, file: str = "") -> Imported:
        """Import a file in camt.053 or MT940: the whole of it or nothing; lines that are there stay as they are.

        Raises:
            StatementRefused: it cannot be read, does not add up, or is of another account.
        """
        try:
            form, statements = read_statements(data)
            for statement in statements:
                if not same_account(statement.account, self._account.iban):
                    raise StatementError(statement.line, "the statement is of another account")
        except StatementError as error:
            raise StatementRefused(error, file) from None
        digest = sha256(data).hexdigest()
        now = self._clock.now_ms()
        return await self._database.write(lambda connection: self._store(connection, digest, form, statements, now))

    def _store(
        self, connection: Connection, file: str, form: str, statements: Sequence[Statement], now: int
    ) -> Imported:
        entries = [(statement, entry) for statement in statements for entry in statement.entries]
        fresh = bank_sql.add_statement(
            connection, file, format=form, statements=len(statements), entries=len(entries), now=now
        )
        if not fresh:
            return Imported(len(statements), 0, 0, 0, len(entries), repeated=True)
        ids = entry_ids(self._account.iban, [entry for _, entry in entries])
        lines = matched = known = 0
        for (statement, entry), (line_id, certain) in zip(entries, ids, strict=True):
            row = self._line(line_id, file, statement, entry, now)
            earlier = bank_sql.line(connection, self._sealer, line_id)
            if earlier is not None and not certain and earlier.statement != row.statement:
                # Equal in all that is known, in a statement of its own: the same again, or another one like it.
                row = self._line(short_id("D", f"{line_id}:{row.statement}").lower(), file, statement, entry, now)
                row = _unmatched(row, "like_another")
            else:
                row = self._matched(connection, row, entry, now)
            if bank_sql.add_line(connection, self._sealer, row):
                lines += 1
                matched += row.state is LineState.MATCHED
            else:
                known += 1
        return Imported(len(statements), lines, matched, lines - matched, known)

    def _line(self, line_id: str, file: str, statement: Statement, entry: Entry, now: int) -> LineRow:
        found = {"name": entry.name, "iban": entry.iban, "text": entry.text, "reference": entry.reference}
        return LineRow(
            id=line_id,
            file=file,
            line=entry.line,
            statement=statement.number,
            booked_on=entry.booked_on.isoformat(),
            amount=entry.amount,
            end_to_end=entry.end_to_end,
            batch=entry.batch,
            reversal=entry.reversal,
            state=LineState.UNMATCHED,
            matched_to=None,
            reason="no_reference",
            booked=False,
            details={key: value for key, value in found.items() if value},
            imported_at=now,
        )

    def _matched(self, connection: Connection, row: LineRow, entry: Entry, now: int) -> LineRow:
        """The line with what it belongs to, when its reference says so."""
        if bank_sql.line(connection, self._sealer, row.id) is not None:
            return row
        if row.reversal:
            return _unmatched(row, "reversal")
        if row.amount.minor > 0:
            return self._top_up(connection, row, entry, now)
        return self._order(connection, row, now)

    def _top_up(self, connection: Connection, row: LineRow, entry: Entry, now: int) -> LineRow:
        written = {*references_in(entry.text), *references_in(entry.reference), *references_in(entry.end_to_end)}
        if entry.reference:
            with contextlib.suppress(SepaError):
                written.add(reference(entry.reference))
        found = [
            top_up
            for one in sorted(written)
            if (top_up := sql.top_up_at(connection, self._sealer, NAME, one)) is not None
        ]
        if len(found) != 1:
            return _unmatched(row, "several_references" if found else "no_reference")
        return self._to_top_up(connection, row, found[0], now)

    def _to_top_up(
        self, connection: Connection, row: LineRow, top_up: TopUpRow, now: int, *, again: bool = False
    ) -> LineRow:
        if top_up.amount.currency != row.amount.currency:
            return _unmatched(row, "currency")
        if not again and bank_sql.lines_of(connection, self._sealer, top_up.id):
            return _unmatched(row, "paid_already")
        sql.wake_top_up(connection, NAME, top_up_id=top_up.id, now=now)
        return _matched_to(row, top_up.id)

    def _order(self, connection: Connection, row: LineRow, now: int) -> LineRow:
        payout = sql.payout(connection, self._sealer, row.end_to_end, lock=True) if row.end_to_end else None
        if payout is not None and payout.provider == NAME:
            return self._to_payout(connection, row, payout, now)
        batch = bank_sql.batch(connection, self._sealer, row.batch) if row.batch else None
        if batch is None:
            return row
        if -row.amount != batch.total:
            return _unmatched(row, "amount")
        if bank_sql.lines_of(connection, self._sealer, batch.id):
            return _unmatched(row, "paid_already")
        for one in sql.payouts_in(connection, self._sealer, NAME, batch=batch.id):
            _wake(connection, one, now)
        return _matched_to(row, batch.id)

    def _to_payout(self, connection: Connection, row: LineRow, payout: PayoutRow, now: int) -> LineRow:
        if -row.amount != payout.amount:
            return _unmatched(row, "amount")
        if payout.batch is None or payout.state is PayoutState.FAILED:
            return _unmatched(row, "not_ordered")
        if bank_sql.lines_of(connection, self._sealer, payout.id):
            return _unmatched(row, "paid_already")
        _wake(connection, payout, now)
        return _matched_to(row, payout.id)

    # What the operator decides

    async def unmatched(self) -> list[LineRow]:
        """The lines that nobody knows the meaning of."""
        return await self._database.read(
            lambda connection: bank_sql.lines_in(connection, self._sealer, [LineState.UNMATCHED])
        )

    async def assign(self, line_id: str, target: str, top_up_id: str = "") -> str:
        """Give a line to a top-up (its id or reference), to a payout (its id), or to a person; the id of what has it.

        Args:
            top_up_id: of the top-up that is made when ``target`` is a person.

        Raises:
            BankRefused: the line is none, or is decided about already, or the target does not fit.
        """
        now = self._clock.now_ms()

        def work(connection: Connection) -> str:
            line = self._open_line(connection, line_id)
            if target.startswith("@"):
                self._made_for(connection, line, target, top_up_id, now)
                changed = _matched_to(line, top_up_id)
            else:
                changed = self._assigned(connection, line, target, now)
            if changed.matched_to is None:
                raise BankRefused(f"the line does not fit to {target}: {changed.reason}", reason=changed.reason)
            self._save(connection, changed)
            return changed.matched_to

        return await self._database.write(work)

    def _assigned(self, connection: Connection, line: LineRow, target: str, now: int) -> LineRow:
        top_up = sql.top_up(connection, self._sealer, target) or sql.top_up_at(
            connection, self._sealer, NAME, "".join(target.split()).upper()
        )
        if top_up is not None and top_up.provider == NAME and line.amount.minor > 0:
            return self._to_top_up(connection, line, top_up, now, again=True)
        payout = sql.payout(connection, self._sealer, target, lock=True)
        if payout is not None and payout.provider == NAME and line.amount.minor < 0:
            return self._to_payout(connection, line, payout, now)
        raise BankRefused(f"there is no top-up and no payout {target} that this line could belong to")

    def _made_for(self, connection: Connection, line: LineRow, person: str, top_up_id: str, now: int) -> None:
        if line.amount.minor <= 0:
            raise BankRefused("money that went out cannot be given to a person")
        nothing = Money.zero(line.amount.currency)
        row = TopUpRow(
            id=top_up_id,
            key=f"line:{line.id}",
            person=person,
            provider=NAME,
            amount=line.amount,
            state=TopUpState.PENDING,
            idempotency_key=f"line:{line.id}",
            provider_id=reference_for(top_up_id),
            link="",
            credited=nothing,
            suspended=nothing,
            refunded=nothing,
            returned=nothing,
            reason="",
            attempts=0,
            next_at=now,
            expires_at=now + TTL_S * 1000,
            created_at=now,
            changed_at=now,
            changes=0,
            told=0,
        )
        if not sql.add_top_up(connection, self._sealer, row):
            raise BankRefused("this line was given to somebody before")

    async def decide(self, line_id: str, state: LineState, reason: str) -> None:
        """Say what becomes of a line.

        It goes back (``RETURN``), is booked against the suspense account (``BOOKED``), or is no movement of its own
        (``DISMISSED``).

        Raises:
            BankRefused: the line is none, is decided about already, or cannot go back.
        """

        def work(connection: Connection) -> None:
            line = self._open_line(connection, line_id)
            if state is LineState.RETURN:
                self._can_return(line)
            bank_sql.change_line(connection, line.id, state=state.value, reason=reason)

        await self._database.write(work)

    def _can_return(self, line: LineRow) -> None:
        try:
            iban(line.details.get("iban", ""))
        except SepaError:
            raise BankRefused("the statement does not say which account it came from") from None
        if line.amount.minor <= 0 or line.amount.currency != "EUR":
            raise BankRefused("only money in EUR that came in can go back")

    def _open_line(self, connection: Connection, line_id: str) -> LineRow:
        line = bank_sql.line(connection, self._sealer, line_id, lock=True)
        if line is None:
            raise BankRefused(f"there is no line {line_id}, or several begin so")
        if line.state is not LineState.UNMATCHED:
            raise BankRefused(f"the line is {line.state.value} already")
        return line

    def _save(self, connection: Connection, line: LineRow) -> None:
        bank_sql.change_line(
            connection, line.id, state=line.state.value, matched_to=line.matched_to, reason=line.reason
        )

    async def fail(self, payout_id: str) -> None:
        """Say that the bank did not carry out a payout: the money goes back to the wallet.

        Raises:
            BankRefused: there is none that could fail, or a statement says that it was paid.
        """
        now = self._clock.now_ms()

        def work(connection: Connection) -> None:
            row = sql.payout(connection, self._sealer, payout_id, lock=True)
            if row is None or row.provider != NAME or row.state not in {PayoutState.SENT, PayoutState.READY}:
                raise BankRefused(f"there is no payout {payout_id} that is under way")
            if bank_sql.lines_of(connection, self._sealer, payout_id):
                raise BankRefused("a statement says that it was paid")
            sql.change_payout(
                connection,
                row.id,
                state=PayoutState.FAILED.value,
                reason="not_executed",
                next_at=None,
                changed_at=now,
                changes=row.changes + 1,
            )
            if row.kind == "refund":
                sql.wake_refund(connection, NAME, provider_id=row.id, now=now)

        await self._database.write(work)

    # Orders

    async def export(self, batch_id: str, limit: int = pain001.MAX_ORDERS) -> BatchRow | None:
        """Put the payouts that wait into a file for the bank; None: there are none. Each is in one file, once."""
        now = self._clock.now_ms()

        def work(connection: Connection) -> BatchRow | None:
            sent = sql.payouts_in(connection, self._sealer, NAME, states=[PayoutState.SENT])
            waiting = [row for row in sent if row.batch is None][:limit]
            if not waiting:
                return None
            made = from_ms(now)
            batch = pain001.Batch(
                id=batch_id,
                created_at=made,
                execute_on=made.date(),
                name=self._account.name,
                iban=self._account.iban,
                bic=self._account.bic,
                orders=tuple(_order_of(row) for row in waiting),
            )
            row = BatchRow(batch_id, NAME, batch.total, len(waiting), pain001.write(batch), now)
            bank_sql.add_batch(connection, self._sealer, row)
            for one in waiting:
                sql.change_payout(connection, one.id, batch=batch_id, changed_at=now)
            return row

        return await self._database.write(work)

    async def batch(self, batch_id: str) -> BatchRow | None:
        """A file as it was exported."""
        return await self._database.read(lambda connection: bank_sql.batch(connection, self._sealer, batch_id))

    async def batches(self) -> list[BatchRow]:
        """The files, the newest first."""
        return await self._database.read(lambda connection: bank_sql.batches(connection, self._sealer))


def read_statements(data: bytes) -> tuple[str, list[Statement]]:
    """The format of a file, and its statements. Raises :class:`StatementError`."""
    if len(data) > MAX_FILE:
        raise StatementError(1, f"the file has more than {MAX_FILE} bytes")
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:5]
    if start.startswith((b"<", b"\xff\xfe", b"\xfe\xff")):
        return "camt.053", camt053.read(read_tree(data))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return "mt940", mt940.read(text)


def _order_of(row: PayoutRow) -> pain001.Order:
    text = "Rialto " + ("cash-out" if row.kind == "cash_out" else "return")
    return pain001.Order(row.id, row.destination["name"], iban(row.destination["iban"]), row.amount, text)


def _wake(connection: Connection, payout: PayoutRow, now: int) -> None:
    if payout.kind == "refund":
        sql.change_payout(connection, payout.id, state=PayoutState.PAID.value, changed_at=now)
        sql.wake_refund(connection, NAME, provider_id=payout.id, now=now)
    else:
        sql.wake_payout(connection, NAME, payout_id=payout.id, now=now)


def _unmatched(row: LineRow, reason: str) -> LineRow:
    return replace(row, state=LineState.UNMATCHED, matched_to=None, reason=reason)


def _matched_to(row: LineRow, target: str) -> LineRow:
    return replace(row, state=LineState.MATCHED, matched_to=target, reason="")
