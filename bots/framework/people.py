"""What people have said of themselves, to every bot alike: their language and their time zone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection

from appservice.database import Database
from appservice.errors import RialtoError
from appservice.unit import UnitOfWork
from bots.framework.clock import Clock
from bots.framework.i18n.tags import normalise
from bots.framework.recurrence import RuleError, zone_named
from bots.framework.schedules import Scheduler
from bots.store import people as sql

CAPACITY: Final = 10_000
UNSETTLED_MS: Final = 600_000
"""How long a change counts as under way whose commit was never heard of."""


class PersonError(RialtoError):
    """No language tag, or no time zone."""

    code = "person_invalid"


@dataclass(frozen=True, slots=True)
class Person:
    """``language`` is a BCP 47 tag, ``zone`` an IANA time zone; None for what they have not said."""

    language: str | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Change:
    since: int


class People:
    """Looks people up, and remembers the ones asked for last."""

    def __init__(
        self, database: Database, clock: Clock, scheduler: Scheduler | None = None, *, capacity: int = CAPACITY
    ) -> None:
        """
        Args:
            scheduler: what is scheduled by a person's wall clock follows their time zone.
        """
        self._database = database
        self._clock = clock
        self._scheduler = scheduler
        self._capacity = capacity
        self._known: OrderedDict[str, Person] = OrderedDict()
        self._changing: OrderedDict[str, _Change] = OrderedDict()
        """Who has a change under way, and since when: nothing of them is remembered meanwhile."""
        self._generation = 0

    async def get(self, user_id: str) -> Person:
        """What is known of a person; a change counts from its commit on.

        Raises:
            DatabaseError: it cannot be looked up now.
        """
        known = self._known.get(user_id)
        if known is not None:
            self._known.move_to_end(user_id)
            return known
        generation = self._generation
        row = await self._database.read(lambda connection: sql.read(connection, user_id))
        person = Person(row.language, row.zone)
        if generation == self._generation and not self._unsettled(user_id):
            self._known[user_id] = person
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
        return person

    def set_language(self, unit: UnitOfWork, user_id: str, language: str | None) -> None:
        """Remember the language that a person reads; None forgets it.

        Raises:
            PersonError: it is no BCP 47 tag.
        """
        tag = None
        if language is not None and (tag := normalise(language)) is None:
            raise PersonError("a language is named by a tag like en or pt-BR")
        now = self._clock.now_ms()
        self._change(unit, user_id, lambda connection: sql.write_language(connection, user_id, tag, now))

    def set_zone(self, unit: UnitOfWork, user_id: str, zone: str | None) -> None:
        """Remember the time zone of a person; None forgets it. What is scheduled by their wall clock moves.

        Raises:
            PersonError: there is no such IANA zone.
        """
        if zone is not None:
            try:
                zone = zone_named(zone).key
            except RuleError as error:
                raise PersonError(error.human) from None
        now, scheduler = self._clock.now_ms(), self._scheduler

        def operation(connection: Connection) -> None:
            sql.write_zone(connection, user_id, zone, now)
            if scheduler is not None:
                scheduler.follow(connection, user_id, zone)

        self._change(unit, user_id, operation)
        if scheduler is not None:
            unit.after_commit(scheduler.wake)

    def _change(self, unit: UnitOfWork, user_id: str, operation: Callable[[Connection], None]) -> None:
        self._forget(user_id)
        change = self._changing[user_id] = _Change(self._clock.now_ms())
        self._changing.move_to_end(user_id)
        if len(self._changing) > self._capacity:
            self._changing.popitem(last=False)
        unit.store(operation)
        unit.after_commit(partial(self._changed, user_id, change))

    def _changed(self, user_id: str, change: _Change) -> None:
        if self._changing.get(user_id) is change:  # else there is another one under way
            del self._changing[user_id]
        self._forget(user_id)

    def _forget(self, user_id: str) -> None:
        """Also what is being read right now must not be remembered."""
        self._generation += 1
        self._known.pop(user_id, None)

    def _unsettled(self, user_id: str) -> bool:
        change = self._changing.get(user_id)
        if change is None:
            return False
        if self._clock.now_ms() - change.since <= UNSETTLED_MS:
            return True
        del self._changing[user_id]
        return False
