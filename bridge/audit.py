"""The audit log: every decision about money, append-only, each entry chained to the one before.

Details are sealed. Names and details of a person can be erased without breaking the chain (:mod:`bridge.domain.audit`).
Entries are made within the transaction whose decision they tell of, as its last write: the end of the log is locked
from then on.
"""

from __future__ import annotations

import builtins
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection

from appservice import json
from appservice.clock import Clock
from appservice.database import Database
from appservice.errors import RialtoError
from appservice.sealing import SealBroken, Sealer
from bridge.domain import audit as chain
from bridge.domain.audit import FIRST, PSEUDONYM, Anchor, Entry, Fault, Problem
from bridge.store import audit as store
from bridge.store.audit import Filter

__all__ = ["ERASED", "Anchor", "Audit", "AuditEntry", "AuditError", "Report", "Scribe", "pseudonym"]

MOST_DETAILS: Final = 16_384
"""Bytes of details as JSON."""
SALT_BYTES: Final = 16
BATCH: Final = 1_000
MOST_PROBLEMS: Final = 1_000
ERASED: Final = "rights.erase"
"""The action whose subject is the pseudonym that was given."""
_WORD: Final = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}\Z")


class AuditError(RialtoError):
    """An entry that cannot be: names, actions and outcomes are short words, details are JSON of a bounded size."""

    code = "audit_entry"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An entry as it is read. ``details``: None when they were dropped as a person was erased."""

    seq: int
    at: int
    actor: str
    action: str
    subject: str
    outcome: str
    details: Mapping[str, Any] | None
    digest: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a check of the whole log found. ``head``: to be noted where nobody writes who writes the database."""

    entries: int
    head: Anchor
    problems: Sequence[Problem]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class Audit:
    """The log."""

    def __init__(
        self, database: Database, sealer: Sealer, *, random: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._random = random

    def append(
        self,
        connection: Connection,
        *,
        at: int,
        actor: str,
        action: str,
        subject: str,
        outcome: str,
        details: Mapping[str, Any] | None = None,
    ) -> int:
        """Add an entry to the end of the log; its number. The transaction's last write: it locks the end of the log.

        Args:
            connection: the transaction whose decision this is.
            at: ms since the epoch.
            actor: who decided: a user id, ``bot:…``, ``operator``, ``system``.
            action: what, as a dotted word: ``payment.confirm``.
            subject: whom or what it is about: a user id, ``payment:ID``.
            outcome: how it ended, as a word: ``paid``, ``refused:per_day``.
            details: JSON, sealed. Never PINs, codes, card numbers. User ids among the values are found, and the details
                are dropped when one of these people is erased.

        Raises:
            AuditError: it is not of that form.
        """
        details = details or {}
        if not (_WORD.match(action) and _WORD.match(outcome) and 0 < len(actor) <= 512 and 0 < len(subject) <= 512):
            raise AuditError("an entry has an actor, an action, a subject and an outcome, all short", action=action)
        try:
            content = json.dumps(dict(details))
        except json.JSONError:
            raise AuditError("details are JSON", action=action) from None
        if len(content) > MOST_DETAILS:
            raise AuditError("details are short", action=action, bytes=len(content))
        salts = {name: self._salt(connection, name) for name in sorted({actor, subject})}
        last = store.lock_head(connection)
        seq = last.seq + 1
        sealed = self._sealer.seal(content, _context(seq))
        entry = Entry(
            seq=seq,
            at=at,
            actor=actor,
            actor_mark=chain.mark_of(actor, salts[actor]),
            action=action,
            subject=subject,
            subject_mark=chain.mark_of(subject, salts[subject]),
            outcome=outcome,
            sealed=sealed,
            details_mark=hashlib.sha256(sealed).digest(),
            previous=last.digest,
            digest=b"",
        )
        entry = replace(entry, digest=chain.digest_of(entry))
        store.add(connection, entry, chain.people_in(details))
        return seq

    def erase(self, connection: Connection, person: str, name: str) -> None:
        """Put the pseudonym ``name`` in a person's place and drop what was said of them; the chain stays whole."""
        if not name.startswith(PSEUDONYM):
            raise ValueError(f"a pseudonym begins with {PSEUDONYM}")
        store.erase(connection, person, name)

    async def head(self) -> Anchor:
        """The end of the log."""
        return await self._database.read(store.head)

    async def verify(self, *, anchor: Anchor | None = None, progress: Callable[[int], None] | None = None) -> Report:
        """Go through the whole log.

        Args:
            anchor: an end of the log that was noted before, and must still be in it: a log that was made anew as a
                whole shows by nothing else.
            progress: is told how many entries were looked at.
        """
        head = await self.head()
        problems: list[Problem] = []
        last, count = Anchor(0, FIRST), 0
        found = anchor is None or anchor == last
        async for batch in self._batches(Filter(before=head.seq + 1)):
            if len(problems) < MOST_PROBLEMS:
                problems += chain.check(batch, last)
            found = found or any(Anchor(entry.seq, entry.digest) == anchor for entry in batch)
            last, count = Anchor(batch[-1].seq, batch[-1].digest), count + len(batch)
            if progress is not None:
                progress(count)
        if last != head:
            problems.append(Problem(head.seq, Fault.HEAD))
        if anchor is not None and not found:
            problems.append(Problem(anchor.seq, Fault.HEAD))
        unexplained = await self._database.read(lambda connection: store.unexplained(connection, ERASED))
        problems += [Problem(seq, Fault.ERASURE) for seq in unexplained]
        return Report(count, head, tuple(problems[:MOST_PROBLEMS]))

    async def list(
        self,
        *,
        subject: str | None = None,
        actor: str | None = None,
        since: int | None = None,
        until: int | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[AuditEntry]:
        """Entries, the last first. Times in ms, ``before``: the number of the last entry of the page before."""
        which = Filter(subject, actor, since, until, before)
        rows = await self._database.read(lambda connection: store.listed(connection, which, limit))
        return [self._opened(row) for row in rows]

    async def export(self, *, since: int | None = None, until: int | None = None) -> AsyncIterator[bytes]:
        """Entries as JSON lines, the first first."""
        async for batch in self._batches(Filter(since=since, until=until)):
            for row in batch:
                yield json.dumps(fields(self._opened(row))) + b"\n"

    def about(self, connection: Connection, person: str) -> Sequence[AuditEntry]:
        """All entries that a person made, is the subject of, or is named in; the first first."""
        found: builtins.list[AuditEntry] = []
        while True:
            batch = store.about(connection, person, found[-1].seq if found else 0, BATCH)
            found += [self._opened(row) for row in batch]
            if len(batch) < BATCH:
                return found

    async def _batches(self, which: Filter) -> AsyncIterator[Sequence[Entry]]:
        after = 0
        while True:
            page = replace(which, after=after)
            batch = await self._database.read(lambda connection, page=page: store.following(connection, page, BATCH))  # type: ignore[misc]
            if batch:
                yield batch
            if len(batch) < BATCH:
                return
            after = batch[-1].seq

    def _salt(self, connection: Connection, name: str) -> bytes | None:
        return store.salt_of(connection, name, self._random(SALT_BYTES)) if chain.is_person(name) else None

    def _opened(self, row: Entry) -> AuditEntry:
        details: Mapping[str, Any] | None = None
        if row.sealed is not None:
            try:
                details = json.loads(self._sealer.open(row.sealed, _context(row.seq)))
            except SealBroken:
                # The rest of the log must stay readable, and verify says what is wrong with this entry.
                details = {"error": "the details do not open"}
        return AuditEntry(row.seq, row.at, row.actor, row.action, row.subject, row.outcome, details, row.digest.hex())


class Scribe:
    """Notes what is decided now: the log and the clock in one, for services that note much."""

    def __init__(self, audit: Audit, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock

    def __call__(
        self,
        connection: Connection,
        actor: str,
        action: str,
        subject: str,
        outcome: str = "done",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an entry of this moment; see :meth:`Audit.append`."""
        self._audit.append(
            connection,
            at=self._clock.now_ms(),
            actor=actor,
            action=action,
            subject=subject,
            outcome=outcome,
            details=details,
        )


def fields(entry: AuditEntry) -> dict[str, Any]:
    """An entry as JSON has it."""
    return {name: getattr(entry, name) for name in AuditEntry.__slots__}


def pseudonym(random: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A new name for somebody who is erased."""
    return PSEUDONYM + random(10).hex()


def _context(seq: int) -> str:
    return f"audit_log:{seq}"
