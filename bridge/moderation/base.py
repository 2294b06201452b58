"""What reporting, deciding and appealing share."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakValueDictionary

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.events import InternalEvent
from appservice.metrics import Metrics
from bridge.audit import Audit, Scribe
from bridge.errors import NotFound
from bridge.moderation import cases
from bridge.moderation.actions import Actions
from bridge.moderation.appeal_links import AppealLinks
from bridge.moderation.authority import Authority
from bridge.moderation.cases import Case
from bridge.moderation.desk import Desk
from bridge.moderation.words import Book
from bridge.notices import Notices
from bridge.registry import Registry
from bridge.steward import Steward
from bridge.store import moderation as store
from bridge.store.moderation import Report

DAY_MS: Final = 86_400_000
RETRY_MS: Final = 15_000

RaiseEvents = Callable[[Callable[[Connection], Iterable[InternalEvent]]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the configuration says.

    Attributes:
        reports_per_day: of one person.
        evidence_days: how long the words of a report are kept after its decision.
        appeal_days: how long after a decision it can be appealed.
    """

    reports_per_day: int = 30
    evidence_days: int = 90
    appeal_days: int = 30


@dataclass(frozen=True, slots=True)
class Ground:
    """What moderation stands on.

    Attributes:
        server_name: of our own homeserver: its accounts can be suspended.
        service_users: the bots and the steward; nobody reports them, and nothing is done to them.
        look: who of them can look into a room that is no chat of ours.
    """

    steward: Steward
    database: Database
    registry: Registry
    actions: Actions
    authority: Authority
    desk: Desk
    notices: Notices
    raise_events: RaiseEvents
    audit: Audit
    book: Book
    clock: Clock
    metrics: Metrics
    server_name: str
    service_users: frozenset[str]
    look: Callable[[str], Steward | None]
    appeal_links: AppealLinks


class Base:
    """Where reports are found, noted, and decided by one at a time."""

    def __init__(
        self, ground: Ground, limits: Limits | None = None, random: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._steward = ground.steward
        self._database = ground.database
        self._registry = ground.registry
        self._actions = ground.actions
        self._authority = ground.authority
        self._desk = ground.desk
        self._notices = ground.notices
        self._raise_events = ground.raise_events
        self._scribe = Scribe(ground.audit, ground.clock)
        self._book = ground.book
        self._clock = ground.clock
        self._metrics = ground.metrics
        self._server_name = ground.server_name
        self._service_users = ground.service_users
        self._look = ground.look
        self._appeal_links = ground.appeal_links
        self._limits = limits or Limits()
        self._random = random
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def wake(self) -> None:
        """Something is to be done later."""

    def is_moderator(self, user_id: str) -> bool:
        """Whether a person decides about reports."""
        return self._authority.is_moderator(user_id)

    async def _find(self, word: str) -> Report:
        word = word.strip().lstrip("#").upper()

        def read(connection: Connection) -> Report | None:
            found = store.by_word(connection, word, cases.SHORT)
            return None if found is None else self._leader(connection, found)

        report = await self._database.read(read) if word.isalnum() and word.isascii() else None
        if report is None:
            raise NotFound("no_such_report", "There is no such report.")
        return report

    async def _case(self, report_id: str) -> Case:
        def read(connection: Connection) -> Case | None:
            found = store.get(connection, report_id)
            return None if found is None else cases.case_of(connection, self._book, self._leader(connection, found))

        case = await self._database.read(read)
        if case is None:
            raise NotFound("no_such_report", "There is no such report.")
        return case

    @staticmethod
    def _leader(connection: Connection, report: Report) -> Report:
        return (store.get(connection, report.leader) if report.leader else None) or report

    async def count_open(self) -> None:
        """Say how many cases wait, in the metric."""
        self._metrics.reports_open.set(await self._database.read(store.count_open))

    def lock(self, name: str) -> asyncio.Lock:
        """One at a time decides about a report."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    def _note(
        self,
        connection: Connection,
        actor: str,
        action: str,
        report: Report,
        outcome: str,
        details: dict[str, Any] | None = None,
    ) -> None:
        """An entry about a report, as the transaction's last write."""
        subject = report.subject or f"report:{report.id}"
        self._scribe(connection, actor, action, subject, outcome, details or {"report": report.id})
