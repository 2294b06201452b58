"""Accounts that a product suspends: those that were made for it, as the people are the product's to answer for.

Decided in a transaction, with a word in the audit log, and carried out after it; again until it is done, after a crash
or when the homeserver is back. An account stays suspended as long as somebody says so: a product, or moderators by a
decision about a report, which no product lifts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final
from weakref import WeakValueDictionary

from sqlalchemy import Connection

from appservice.administration import NoAdministration
from appservice.clock import Clock
from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.actor import Actor
from bridge.audit import Audit
from bridge.background import Background
from bridge.domain.moderation import NEXT_SUSPENSION, SuspensionState, SuspensionStep
from bridge.errors import NotAllowed, NotFound, Refused
from bridge.moderation.actions import Accounts
from bridge.moderation.words import Book, prose
from bridge.store import suspensions as store
from bridge.store.suspensions import Suspension

log = logging.getLogger(__name__)

RETRY_MS: Final = 15_000
LONGEST_RETRY_MS: Final = 3_600_000
BATCH: Final = 20


@dataclass(frozen=True, slots=True)
class Suspended:
    """A suspension as it is shown. Times in ms."""

    state: SuspensionState
    reason: str
    since: int


class Suspensions:
    """Suspends and lifts."""

    def __init__(self, database: Database, accounts: Accounts, audit: Audit, book: Book, clock: Clock) -> None:
        self._database = database
        self._accounts = accounts
        self._audit = audit
        self._book = book
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.background = Background("suspensions", clock, self.run_due, self._upcoming)

    async def get(self, product: str, user_id: str) -> Suspended | None:
        """A product's suspension of somebody."""
        found = await self._database.read(lambda connection: store.find(connection, product, user_id))
        return None if found is None else self._shown(found)

    async def suspend(self, product: str, user_id: str, reason: str) -> Suspended:
        """Let an account read and leave, and nothing else. Nothing happens to one that the product has suspended.

        Args:
            reason: for the audit log, and for the person's copy of what is held about them.

        Raises:
            Refused: there is no such account, or the homeserver refuses.
            NotAllowed: the operator has not let Rialto administer accounts.
        """
        reason = prose(reason)
        self._require_accounts()
        now = self._clock.now_ms()
        sealed = self._book.seal_text(reason, _place(product, user_id, now))

        def work(connection: Connection) -> Suspension:
            before = store.find(connection, product, user_id)
            after = NEXT_SUSPENSION.get((None if before is None else before.state, SuspensionStep.SUSPEND))
            if before is not None and after is None:
                return before
            made = Suspension(product, user_id, after or SuspensionState.SUSPENDING, sealed, now, due_at=now)
            store.put(connection, made)
            self._note(connection, made, "decided", {"reason": reason})
            return made

        made = await self._database.write(work)
        return self._shown(await self._carry_out(made) or made)

    async def lift(
        self, product: str, user_id: str, also: Callable[[Connection], None] = lambda _connection: None
    ) -> None:
        """Let an account do everything again, unless somebody else has suspended it too.

        Args:
            also: done in the transaction that decides it.

        Raises:
            NotFound: the product has not suspended it.
            Refused: the homeserver refuses.
            NotAllowed: the operator has not let Rialto administer accounts.
        """
        self._require_accounts()
        now = self._clock.now_ms()

        def work(connection: Connection) -> Suspension:
            before = store.find(connection, product, user_id)
            if before is None:
                raise NotFound("not_suspended", "The product has not suspended them.")
            after = NEXT_SUSPENSION.get((before.state, SuspensionStep.LIFT))
            if after is not None:
                changed = replace(before, state=after, attempts=0, due_at=now)
                store.put(connection, changed)
                before = changed
                also(connection)
                self._note(connection, changed, "decided")
            return before

        await self._carry_out(await self._database.write(work))

    async def run_due(self) -> int:
        """Tell the homeserver what it does not know yet; of how many."""
        now = self._clock.now_ms()
        found = await self._database.read(lambda connection: store.due(connection, now, BATCH))
        for each in found:
            try:
                await self._carry_out(each)
            except Refused as error:
                log.warning("a suspension cannot be carried out: %s", error.code)
        return len(found)

    async def _upcoming(self) -> int | None:
        return await self._database.read(store.next_due)

    async def _carry_out(self, suspension: Suspension) -> Suspension | None:
        """Do what was decided; the suspension as it is then."""
        product, user_id = suspension.product, suspension.user_id
        async with self._lock(user_id):
            found = await self._database.read(lambda connection: store.find(connection, product, user_id))
            if found is None or found.due_at is None:
                return found
            try:
                await self._tell(found)
            except HomeserverError as error:
                if error.temporary:
                    return await self._later(found)
                await self._failed(found)
                if error.status == 404:
                    raise Refused("no_such_account", "There is no such account.") from error
                raise Refused("homeserver_refused", "The homeserver refuses that.", errcode=error.errcode) from error
            except NoAdministration as error:
                await self._failed(found)
                raise _no_administration() from error
            return await self._done(found)

    async def _tell(self, suspension: Suspension) -> None:
        user_id = suspension.user_id
        if suspension.state is SuspensionState.SUSPENDING:
            await self._accounts.suspend(user_id, True)
            return

        def read(connection: Connection) -> bool:
            return store.by_moderators(connection, user_id) or store.by_product(connection, user_id, suspension.product)

        if not await self._database.read(read):
            await self._accounts.suspend(user_id, False)

    async def _done(self, suspension: Suspension) -> Suspension | None:
        after = NEXT_SUSPENSION[suspension.state, SuspensionStep.FINISH]

        def work(connection: Connection) -> Suspension | None:
            if after is None:
                changed = store.remove(connection, suspension)
            else:
                changed = store.change(connection, suspension, state=after, due_at=None, attempts=0)
            if changed:
                self._note(connection, suspension, "done")
            return store.find(connection, suspension.product, suspension.user_id)

        return await self._database.write(work)

    async def _failed(self, suspension: Suspension) -> None:
        """It cannot be: an account that cannot be suspended is not, one that cannot be released still is."""

        def work(connection: Connection) -> None:
            if suspension.state is SuspensionState.SUSPENDING:
                changed = store.remove(connection, suspension)
            else:
                changed = store.change(connection, suspension, state=SuspensionState.SUSPENDED, due_at=None)
            if changed:
                self._note(connection, suspension, "failed")

        await self._database.write(work)

    async def _later(self, suspension: Suspension) -> Suspension:
        pause = min(RETRY_MS * 2 ** min(suspension.attempts, 10), LONGEST_RETRY_MS)
        due_at, attempts = self._clock.now_ms() + pause, suspension.attempts + 1
        await self._database.write(lambda it: store.change(it, suspension, due_at=due_at, attempts=attempts))
        self.background.wake()
        return replace(suspension, due_at=due_at, attempts=attempts)

    def _lock(self, user_id: str) -> asyncio.Lock:
        """One at a time tells the homeserver of an account."""
        lock = self._locks.get(user_id)
        if lock is None:
            lock = self._locks[user_id] = asyncio.Lock()
        return lock

    def _require_accounts(self) -> None:
        if not self._accounts.available:
            raise _no_administration()

    def _shown(self, suspension: Suspension) -> Suspended:
        return Suspended(suspension.state, reason_of(self._book, suspension), suspension.since)

    def _note(
        self, connection: Connection, suspension: Suspension, outcome: str, details: dict[str, Any] | None = None
    ) -> None:
        lifting = suspension.state is SuspensionState.LIFTING
        self._audit.append(
            connection,
            at=self._clock.now_ms(),
            actor=Actor.of_product(suspension.product).name,
            action="person.unsuspend" if lifting else "person.suspend",
            subject=suspension.user_id,
            outcome=outcome,
            details=details,
        )


def reason_of(book: Book, suspension: Suspension) -> str:
    """Why an account was suspended."""
    return book.open_text(suspension.reason, _place(suspension.product, suspension.user_id, suspension.since))


def _place(product: str, user_id: str, since: int) -> str:
    return f"suspension:{product}:{user_id}:{since}"


def _no_administration() -> NotAllowed:
    return NotAllowed("no_administration", "The operator has not let Rialto administer accounts.")
