"""PINs: what people confirm large payments with, on a page and never in a chat.

What is stored is Argon2id (RFC 9106) of an HMAC of the PIN: whoever has the database but not the pickle key cannot try
a million PINs, and a hash that is moved to another person's row opens nothing there. An attempt is counted before it is
looked at, in one statement, so that attempts at the same time are no more than one after the other.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal, Protocol, TypeAlias

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection

from appservice.database import Database
from appservice.errors import RialtoError
from appservice.events import InternalEvent
from appservice.sealing import derived_key
from bots.framework.clock import Clock
from bots.framework.context import TIMER_FIRED
from bots.pages.links import Links
from bots.payments.outcomes import Also
from bots.payments.pin_rules import checked, digits_of
from bots.store import pages as sql
from bots.store.pages import Lockout

HASHES: Final = 2
"""Hashes that are made at the same time: each takes a core and 46 MiB."""
WAITING: Final = 32
"""People who wait for their turn; more are asked to come again."""
SET_TTL_S: Final = 15 * 60
CONFIRM_TTL_S: Final = 10 * 60
SET_PURPOSE: Final = "pin"
APPROVE_PURPOSE: Final = "approve"
CONFIRM_PURPOSE: Final = "confirm"
LOCKOUT: Final = Lockout()

RaiseEvents: TypeAlias = Callable[[Callable[[Connection], Iterable[InternalEvent]]], Awaitable[object]]
Change: TypeAlias = Literal["set", "changed", "forgotten", "locked"]
Tell: TypeAlias = Callable[[str, Change, int], Iterable[InternalEvent]]
"""Makes events of a person, what has changed, and the time (ms)."""


class PinsBusy(RialtoError):
    """Too many PINs are being looked at. Nothing was counted; again in a moment."""

    code = "pins_busy"


class PinState(StrEnum):
    """What came of an attempt."""

    OK = "ok"
    WRONG = "wrong"
    LOCKED = "locked"
    NOT_SET = "not_set"


@dataclass(frozen=True, slots=True)
class PinOutcome:
    """What came of an attempt.

    Attributes:
        left: of a wrong one: how many more until it locks.
        until: of a locked one: ms since the epoch.
    """

    state: PinState
    left: int = 0
    until: int = 0

    @property
    def ok(self) -> bool:
        """Whether it was the PIN."""
        return self.state is PinState.OK


class AuditAppend(Protocol):
    """Adds an entry to the log of decisions: :meth:`bridge.audit.Audit.append`."""

    def __call__(
        self,
        connection: Connection,
        *,
        at: int,
        actor: str,
        action: str,
        subject: str,
        outcome: str,
        details: Mapping[str, Any],
    ) -> object: ...


def nobody(person: str, change: Change, now: int) -> Iterable[InternalEvent]:
    """Tells nobody."""
    return ()


def telling(consumer: str) -> Tell:
    """Have a plugin's handler ``@timer("pin")`` called with ``{"person": …, "change": …, "at": ms}``."""

    def tell(person: str, change: Change, now: int) -> Iterable[InternalEvent]:
        data = {"name": "pin", "data": {"person": person, "change": change, "at": now}}
        return (
            InternalEvent(
                key=f"pin:{person}:{change}:{now}",
                consumer=consumer,
                room_id=f"pin:{person}",
                type=TIMER_FIRED,
                content={"schedule": "pin", "due": now, "data": data},
                sender=person,
            ),
        )

    return tell


class Pins:
    """Sets PINs, compares them, locks them; and makes links to the pages that ask for them."""

    def __init__(
        self,
        database: Database,
        links: Links,
        audit: AuditAppend,
        clock: Clock,
        *,
        raise_events: RaiseEvents,
        pickle_key: str,
        url: Callable[[str], str],
        tell: Tell = nobody,
        hasher: PasswordHasher | None = None,
        lockout: Lockout = LOCKOUT,
    ) -> None:
        """
        Args:
            audit: of decisions about money: :meth:`bridge.audit.Audit.append`.
            raise_events: runs the writes: ``Service.raise_events``.
            url: makes an address of a path: :meth:`WebServer.url`.
            tell: events by which a person hears of a change: :func:`telling`.
            hasher: Argon2id with its parameters; hashes made by others are made anew at the next right PIN.
        """
        self._database = database
        self._links = links
        self._audit = audit
        self._clock = clock
        self._url = url
        self._raise_events = raise_events
        self._tell = tell
        self._key = derived_key(pickle_key, "pins")
        self._hasher = hasher or PasswordHasher(time_cost=3, memory_cost=46 * 1024, parallelism=1)
        self._lockout = lockout
        self._turns = asyncio.Semaphore(HASHES)
        self._waiting = 0
        self._nobody: str | None = None
        """A hash of no PIN, for people who have none: an answer takes them as long as others."""

    async def has(self, person: str) -> bool:
        """Whether a person has a PIN."""
        return await self._database.read(lambda connection: sql.pin_exists(connection, person))

    def check(self, person: str, pin: str) -> None:
        """Whether it can be a person's PIN. Raises PinRefused when not."""
        checked(pin, person)

    async def set(self, person: str, pin: str, also: Also | None = None) -> None:
        """Set a person's PIN, whatever it was; nothing is locked any more.

        Args:
            also: runs in the same commit; what it raises undoes it.

        Raises:
            PinRefused: it is too short or easy to guess.
            PinsBusy: again in a moment.
        """
        digits = checked(pin, person)
        async with self._turn():
            hashed = await asyncio.to_thread(self._hasher.hash, self._pepper(person, digits))

        def work(connection: Connection) -> Iterable[InternalEvent]:
            if also is not None:
                also(connection)
            now = self._clock.now_ms()
            change: Change = "changed" if sql.pin_exists(connection, person) else "set"
            sql.write_pin(connection, person, hashed, now)
            self._note(connection, person, person, "pin.set", change, now)
            return self._tell(person, change, now)

        await self._raise_events(work)

    async def verify(self, person: str, pin: str) -> PinOutcome:
        """Compare, and count: a wrong one brings the lock nearer, a right one takes all that was counted away.

        Raises:
            PinsBusy: nothing was counted; again in a moment.
        """
        async with self._turn():
            return await self._verify(person, pin)

    async def _verify(self, person: str, pin: str) -> PinOutcome:
        if self._nobody is None:
            self._nobody = await asyncio.to_thread(self._hasher.hash, b"")
        secret = self._pepper(person, digits_of(pin))
        attempt = await self._database.write(lambda connection: self._begin(connection, person))
        if attempt is None:
            await asyncio.to_thread(self._right, self._nobody, secret)
            return PinOutcome(PinState.NOT_SET)
        hashed = attempt.hash
        if hashed is None:
            return PinOutcome(PinState.LOCKED, until=attempt.locked_until or 0)
        right = await asyncio.to_thread(self._right, hashed, secret)
        renewed = None
        if right and self._hasher.check_needs_rehash(hashed):
            renewed = await asyncio.to_thread(self._hasher.hash, secret)
        missed = PinOutcome(PinState.WRONG, left=attempt.left)
        if attempt.locked_until is not None:
            missed = PinOutcome(PinState.LOCKED, until=attempt.locked_until)
        outcome = missed

        def end(connection: Connection) -> Iterable[InternalEvent]:
            nonlocal outcome
            now = self._clock.now_ms()
            settled = right and sql.settle_attempt(connection, person, hashed, renewed)
            outcome = PinOutcome(PinState.OK) if settled else missed
            self._note(connection, person, person, "pin.verify", outcome.state, now, left=attempt.left)
            return self._tell(person, "locked", now) if outcome.state is PinState.LOCKED else ()

        await self._raise_events(end)
        return outcome

    def _begin(self, connection: Connection, person: str) -> sql.Attempt | None:
        now = self._clock.now_ms()
        attempt = sql.begin_attempt(connection, person, self._lockout, now)
        if attempt is None or attempt.hash is None:
            state = PinState.NOT_SET if attempt is None else PinState.LOCKED
            self._note(connection, person, person, "pin.verify", state, now)
        return attempt

    async def forget(self, person: str, by: str) -> bool:
        """Take a person's PIN away, for one who has forgotten it: they set a new one. Whether there was one.

        Args:
            by: who does it, for the log of decisions: an operator who has made sure who asks.
        """
        had = False

        def work(connection: Connection) -> Iterable[InternalEvent]:
            nonlocal had
            now = self._clock.now_ms()
            had = sql.delete_pin(connection, person)
            self._note(connection, by, person, "pin.forget", "done" if had else "none", now)
            return self._tell(person, "forgotten", now) if had else ()

        await self._raise_events(work)
        return had

    # Links

    async def set_link(self, person: str) -> str:
        """The address of the page that sets the person's PIN, for :data:`SET_TTL_S` seconds; older ones end."""
        return await self._link(SET_PURPOSE, person, "", SET_TTL_S)

    def withdraw_set_links(self, connection: Connection, person: str) -> None:
        """Let the links that set the person's PIN end, in a commit."""
        now = self._clock.now_ms()
        self._links.withdraw(connection, purpose=SET_PURPOSE, person=person, subject="", now=now)

    async def approval_link(self, payment_id: str, person: str, ttl_s: float) -> str:
        """The address of the page on which a person approves a payment with the PIN; older ones end."""
        return await self._link(APPROVE_PURPOSE, person, payment_id, ttl_s)

    async def confirm_link(self, action: str, person: str, ttl_s: float = CONFIRM_TTL_S) -> str:
        """The address of the page on which a person confirms something else with the PIN; older ones end."""
        return await self._link(CONFIRM_PURPOSE, person, action, ttl_s)

    async def _link(self, purpose: str, person: str, subject: str, ttl_s: float) -> str:
        def work(connection: Connection) -> str:
            now = self._clock.now_ms()
            self._links.withdraw(connection, purpose=purpose, person=person, subject=subject, now=now)
            return self._links.issue(connection, purpose=purpose, person=person, subject=subject, ttl_s=ttl_s, now=now)

        return self._url(await self._database.write(work))

    # How it is done

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= WAITING:
            raise PinsBusy("too many PINs are being looked at")
        self._waiting += 1
        try:
            async with self._turns:
                yield
        finally:
            self._waiting -= 1

    def _pepper(self, person: str, digits: str) -> bytes:
        return hmac.digest(self._key, f"{person}\0{digits}".encode("utf-8", "surrogatepass"), "sha256")

    def _right(self, hashed: str, secret: bytes) -> bool:
        try:
            return self._hasher.verify(hashed, secret)
        except (VerificationError, InvalidHashError):
            return False

    def _note(
        self, connection: Connection, actor: str, person: str, action: str, outcome: str, now: int, **details: Any
    ) -> None:
        """Last in a commit: it holds the end of the log."""
        self._audit(
            connection, at=now, actor=actor, action=action, subject=person, outcome=str(outcome), details=details
        )
