"""The ledger as a service: transfers, accounts, statements, on SQLite and PostgreSQL.

What must commit with other things (a payment's state, an event) goes by :meth:`Ledger.apply` inside the caller's
transaction. What stands alone goes by :meth:`Ledger.execute`: callers that come while a transaction commits are taken
together by the next one.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from appservice.database import Database, DatabaseError
from appservice.errors import RialtoError
from bots.domain.ledger import (
    CHAIN_MAX,
    Account,
    AccountKind,
    Command,
    Conflict,
    InvariantBroken,
    Line,
    Outcome,
    Post,
    Refusal,
    Result,
    Transfer,
    Void,
)
from bots.domain.money import Money
from bots.framework.clock import Clock
from bots.payments.ledger_check import Progress, Report, check
from bots.store import ledger as store
from bots.store import ledger_reading as reading
from bots.store.ledger import AccountRefused
from bridge.domain.ulids import ENTROPY_BYTES, ulid

__all__ = [
    "Account",
    "AccountKind",
    "AccountRefused",
    "Command",
    "IdConflict",
    "InvariantBroken",
    "Ledger",
    "Line",
    "Outcome",
    "Post",
    "Refusal",
    "Report",
    "Result",
    "Transfer",
    "Void",
]

log = logging.getLogger(__name__)

BATCH_MAX = 256
"""Chains of one transaction."""
WAITING_MAX = 10_000
SALT_BYTES = 16


class IdConflict(RialtoError):
    """The id of a command is in use for other content. ``fields``: id, reason. Nothing was done."""

    code = "id_conflict"

    def __init__(self, conflict: Conflict) -> None:
        super().__init__(
            "This was asked for before, and it was something else.", id=conflict.id, reason=conflict.reason
        )


@dataclass(slots=True)
class _Waiting:
    chain: tuple[Command, ...]
    done: asyncio.Future[tuple[Outcome, ...]]


class Ledger:
    """Accounts and transfers. Several of them, in several processes, may work on one PostgreSQL database."""

    def __init__(
        self, database: Database, clock: Clock, *, randomness: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._database = database
        self._clock = clock
        self._randomness = randomness
        self._waiting: list[_Waiting] = []
        self._room = asyncio.Semaphore(WAITING_MAX)
        self._busy = False
        self._writing: asyncio.Task[None] | None = None

    # --- moving money

    def apply(self, connection: Connection, commands: Sequence[Command], now: int) -> tuple[Outcome, ...]:
        """Take one linked chain inside the caller's transaction: all of it is done, or none and all ids are burned.

        From here to the end of the transaction nobody else writes to the ledger: rows that the caller locks, it locks
        before.

        Raises:
            IdConflict: an id is in use for other content; nothing was done.
            InvariantBroken: the books would not be right; the transaction must not be kept.
        """
        (outcome,) = store.apply(connection, [commands], now)
        return _unless_conflict(outcome)

    async def execute(self, commands: Sequence[Command]) -> tuple[Outcome, ...]:
        """Take one linked chain in a transaction that is this one's and that of whoever else comes now.

        Raises:
            IdConflict: an id is in use for other content; nothing was done.
            DatabaseError: nothing was kept, or the outcome is unknown: the same commands again tell.
        """
        chain = tuple(commands)
        if not 1 <= len(chain) <= CHAIN_MAX:
            raise ValueError(f"a chain has 1 to {CHAIN_MAX} commands")
        if self._busy:
            async with self._room:
                waiting = _Waiting(chain, asyncio.get_running_loop().create_future())
                self._waiting.append(waiting)
                return await waiting.done
        self._busy = True
        try:
            (outcome,) = await self._write([chain])
        finally:
            self._go_on()
        return _unless_conflict(outcome)

    def _go_on(self) -> None:
        """Whoever waits is next."""
        self._busy = bool(self._waiting)
        if self._waiting:
            self._writing = asyncio.create_task(self._write_waiting(), name="ledger")

    async def _write_waiting(self) -> None:
        """Write until nobody waits."""
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
                await self._write_batch(batch)
        finally:
            for waiting in self._waiting:  # the task was cancelled
                waiting.done.cancel()
            self._waiting = []
            self._busy, self._writing = False, None

    async def _write_batch(self, batch: Sequence[_Waiting]) -> None:
        try:
            outcomes = await self._write([waiting.chain for waiting in batch])
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.done.cancel()
            raise
        except Exception as error:  # whatever it is, the waiting callers must hear of it
            if not isinstance(error, DatabaseError) and len(batch) > 1:
                # One of them is to blame: each for itself, so that only that one fails.
                log.exception("%d chains of the ledger failed together and are tried one by one", len(batch))
                for waiting in batch:
                    await self._write_batch([waiting])
                return
            for waiting in batch:
                if not waiting.done.done():
                    waiting.done.set_exception(error)
            return
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.done.done():  # its caller was cancelled
                continue
            if isinstance(outcome, Conflict):
                waiting.done.set_exception(IdConflict(outcome))
            else:
                waiting.done.set_result(outcome)

    async def _write(self, chains: Sequence[Sequence[Command]]) -> list[tuple[Outcome, ...] | Conflict]:
        now = self._clock.now_ms()
        return await self._database.write(lambda connection: store.apply(connection, chains, now))

    def expire(self, connection: Connection, now: int, limit: int = 500) -> list[str]:
        """Release pending transfers whose time is over; their ids. Fewer than ``limit``: there are no more."""
        return store.expire(connection, now, limit)

    # --- accounts

    def open(self, connection: Connection, owner: str, currency: str, kind: AccountKind, now: int) -> Account:
        """The account of an owner, opened when there is none."""
        Money.zero(currency)  # raises MoneyError for what is no currency
        account_id = ulid(now, self._randomness(ENTROPY_BYTES))
        salt = self._randomness(SALT_BYTES)
        return store.open_account(connection, account_id, salt, owner, currency, kind, now)

    def find(self, connection: Connection, owner: str, currency: str, kind: AccountKind) -> Account | None:
        """The account of an owner, if there is one."""
        return store.find(connection, owner, currency, kind)

    async def account(self, owner: str, currency: str, kind: AccountKind = AccountKind.PERSON) -> Account:
        """The account of an owner; opened at first use."""
        found = await self._database.read(lambda connection: store.find(connection, owner, currency, kind))
        if found is not None:
            return found
        now = self._clock.now_ms()
        return await self._database.write(lambda connection: self.open(connection, owner, currency, kind, now))

    async def accounts(self, owner: str) -> list[Account]:
        """All accounts of an owner, the first opened first."""
        return await self._database.read(lambda connection: store.owned(connection, owner))

    async def get(self, account_id: str) -> Account | None:
        """The account of an id."""
        return await self._database.read(lambda connection: store.get(connection, account_id))

    def set_frozen(self, connection: Connection, account_id: str, frozen: bool, now: int) -> Account:
        """Freeze an account, or thaw it. What is pending already is still posted, voided and expired."""
        return store.change(connection, account_id, now, frozen=frozen)

    def set_closed(self, connection: Connection, account_id: str, closed: bool, now: int) -> Account:
        """Close an account, or open it again.

        Raises:
            AccountRefused: there is money in it, or on its way.
        """
        return store.change(connection, account_id, now, closed=closed)

    def set_limits(
        self, connection: Connection, account_id: str, floor: int | None, ceiling: int | None, now: int
    ) -> Account:
        """Set the floor and the ceiling of an account, in minor units; None: no limit.

        Raises:
            AccountRefused: it holds less than the floor.
        """
        return store.change(connection, account_id, now, limits=(floor, ceiling))

    def rename_owner(self, connection: Connection, owner: str, pseudonym: str, now: int | None = None) -> list[Account]:
        """Put a pseudonym in place of an owner's name: the ledger stays whole, and no longer knows who it was."""
        count = len(store.owned(connection, owner))
        salts = [self._randomness(SALT_BYTES) for _ in range(count)]
        moment = self._clock.now_ms() if now is None else now
        return store.rename_owner(connection, owner, pseudonym, salts, moment)

    # --- looking back

    async def balance_at(self, account_id: str, at_ms: int) -> Money:
        """The balance at a time, what was posted in that millisecond included; nought before it was opened.

        Raises:
            AccountRefused: there is no such account.
        """
        found = await self._database.read(lambda connection: reading.balance_at(connection, account_id, at_ms))
        if found is None:
            raise _unknown(account_id)
        return Money(found[1], found[0].currency)

    async def statement(
        self,
        account_id: str,
        *,
        since: int | None = None,
        until: int | None = None,
        before_seq: int | None = None,
        limit: int = 100,
        kind: str | None = None,
    ) -> list[Line]:
        """What moved in an account, the newest first, from ``since`` on and before ``until`` (ms).

        Args:
            before_seq: only what came before this entry: of the last line, for the next page.

        Raises:
            AccountRefused: there is no such account.
        """
        which = reading.Since(since, until, before_seq, kind, limit)
        found = await self._database.read(lambda connection: reading.statement(connection, account_id, which))
        if found is None:
            raise _unknown(account_id)
        return found[1]

    async def verify(self, progress: Progress | None = None, anchor: tuple[int, bytes] | None = None) -> Report:
        """Replay the whole journal, and compare what it adds up to with the accounts.

        Args:
            progress: is told how many entries were replayed, and of how many.
            anchor: the number and the hash of an entry as an earlier report gave them: it must still be there.
        """
        return await check(self._database, progress, anchor)


def _unless_conflict(outcome: tuple[Outcome, ...] | Conflict) -> tuple[Outcome, ...]:
    if isinstance(outcome, Conflict):
        raise IdConflict(outcome)
    return outcome


def _unknown(account_id: str) -> AccountRefused:
    return AccountRefused("There is no such account.", account=account_id, reason="unknown")
