"""What happens to one event: taken into the room's state, decrypted, handed to each consumer, committed."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from sqlalchemy import Connection, bindparam, select

from appservice.config import Config
from appservice.consumer import Consumer, Dispatch
from appservice.database import INFRASTRUCTURE, DatabaseError
from appservice.e2ee.errors import CryptoNotReady, DecryptionFailed, KeyMissing
from appservice.events import Event
from appservice.homeserver import HomeserverError
from appservice.inbox import GAVE_UP, Inbox, InboxItem, now_ms
from appservice.metrics import Metrics
from appservice.outbox import Outbox
from appservice.parking import TOLD
from appservice.recorder import Recorder
from appservice.rooms import Rooms
from appservice.store.bulk import INBOX_FINISH, INBOX_PROGRESS, Bulk, Row
from appservice.store.tables import InboxState, inbox
from appservice.unit import UnitOfWork
from appservice.writer import Job, Writer

log = logging.getLogger(__name__)

INFRASTRUCTURE_PAUSE_S = 1.0
MAX_ERROR = 300
MAX_TOLD = 10_000
# No answer, a limit, and what a proxy says of a homeserver that is being started: no handler's fault.
PASSING = frozenset({0, 429, 502, 503, 504})
TRY_LATER: tuple[type[BaseException], ...] = (HomeserverError, CryptoNotReady, *INFRASTRUCTURE)

# Made once: to put one together takes longer than to run it.
_PROGRESS = select(inbox.c.state, inbox.c.done_by).where(
    inbox.c.shard == bindparam("shard"), inbox.c.seq == bindparam("seq")
)


class Decryptor(Protocol):
    """What is needed of :class:`appservice.e2ee.Crypto`."""

    async def decrypt(self, user_id: str, event: Mapping[str, Any]) -> dict[str, Any]: ...

    async def room_changed(self, event: Mapping[str, Any]) -> None: ...

    def event_came(self, user_id: str) -> None: ...


class Wait(Exception):
    """The room waits ``seconds`` at most, then goes on with the same event."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Parked(Exception):
    """The event is set aside; the room goes on."""


class AlreadyDone(Exception):
    """The consumer's effects are in the database already."""


Commit = asyncio.Future[Any]
"""A commit under way: done when it is durable."""


class Processor:
    """Works one event. The caller sees to order."""

    def __init__(
        self,
        config: Config,
        outbox: Outbox,
        writer: Writer,
        rooms: Rooms,
        crypto: Decryptor,
        dispatch: Dispatch,
        metrics: Metrics,
        recorder: Recorder,
        inbox: Inbox,
        accept: Callable[[Iterable[InboxItem]], None],
        reconcile: Callable[[], Awaitable[None]],
    ) -> None:
        """
        Args:
            recorder: for marks that a crash may lose without harm.
            accept: has internal events worked that a unit has brought.
            reconcile: has those worked whose commit was taken for lost.
        """
        self._inbox = inbox
        self._accept = accept
        self._reconcile = reconcile
        self._engine = config.engine
        self._encryption = config.encryption
        # The steward has no device: what is encrypted comes to its consumers as it is.
        self._blind = frozenset({"", f"@{config.appservice.sender_localpart}:{config.homeserver.server_name}"})
        self._outbox = outbox
        self._writer = writer
        self._rooms = rooms
        self._crypto = crypto
        self._dispatch = dispatch
        self._metrics = metrics
        self._recorder = recorder
        self._record = recorder.record
        self._told: set[tuple[str, str]] = set()

    async def work(self, item: InboxItem, waited: float) -> Commit | None:
        """Bring an event to its end.

        Messages alone are committed while the room goes on: no later handler can read what they change, and the
        writer keeps a room's commits in order. What writes to the database is waited for.

        Args:
            waited: seconds that the room has waited for this event's key.

        Returns:
            The commit that ends the event, when it is still under way.

        Raises:
            Wait, Parked: it is not at its end.
            DatabaseError: nothing of the last consumer's effects was kept, or the outcome is unknown.
        """
        assert item.payload is not None
        event, raw = self._inbox.read(item.payload)
        if event.state_key is not None:
            await self._take_in(event, raw)
        consumers = [
            consumer
            for consumer in self._dispatch.consumers(event, self._rooms.bots_in(event.room_id))
            if consumer.name not in item.done_by and consumer.name + GAVE_UP not in item.done_by
        ]
        parked = False
        closed: bool | Commit = False
        for index, consumer in enumerate(consumers):
            last = index == len(consumers) - 1 and not parked
            try:
                closed = await self._attempt(item, event, raw, consumer, waited, last=last)
            except Parked:
                parked = True
        if parked:
            raise Parked
        if not closed:
            # Nothing but the mark is left to write, and a crash before it only means to find that out again.
            self._record(*_closing(item, item.done_by))
        return None if isinstance(closed, bool) else closed

    async def _take_in(self, event: Event, raw: Mapping[str, Any]) -> None:
        """State events change what is known of the room before anyone hears of them."""
        try:
            await self._rooms.apply(event, raw)
            if event.type in {"m.room.member", "m.room.encryption"}:
                await self._crypto.room_changed(raw)
        except TRY_LATER:
            raise Wait(INFRASTRUCTURE_PAUSE_S) from None

    async def _attempt(
        self, item: InboxItem, event: Event, raw: Mapping[str, Any], consumer: Consumer, waited: float, *, last: bool
    ) -> bool | Commit:
        """Run one consumer once and commit what it did; whether (or the commit that) ended the event."""
        start = time.perf_counter()
        unit = UnitOfWork(item.event_id, consumer.name, consumer.user_id, lambda unit: self._checkpoint(item, unit))
        try:
            try:
                async with asyncio.timeout(self._engine.handler_timeout):
                    plain = await self._decrypt(event, raw, consumer, unit)
                    if plain is not None and (plain is event or consumer.wants(plain)):
                        await consumer.handle(plain, unit)
            except KeyMissing as missing:
                await self._key_missing(item, event, consumer, missing, waited)
                raise Parked from None
            return await self._commit(item, unit, done=consumer.name, last=last)
        except (Wait, Parked, DatabaseError):
            raise
        except HomeserverError as error:
            if error.status in PASSING:
                raise Wait(self._pause(item, error.retry_after)) from None
            return await self._failed(item, event, consumer, error, last=last)
        except TRY_LATER as error:
            log.warning("an event waits: %s", type(error).__name__)
            raise Wait(INFRASTRUCTURE_PAUSE_S) from None
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is contained here
            return await self._failed(item, event, consumer, error, last=last)
        finally:
            self._metrics.handler_seconds.labels(consumer.name).observe(time.perf_counter() - start)

    # Encrypted events

    async def _decrypt(
        self, event: Event, raw: Mapping[str, Any], consumer: Consumer, unit: UnitOfWork
    ) -> Event | None:
        """The event in plaintext for this consumer; None when it can never be read. Raises KeyMissing."""
        if event.type != "m.room.encrypted" or consumer.user_id in self._blind:
            self._crypto.event_came(consumer.user_id)
            return event
        try:
            plain = await self._crypto.decrypt(consumer.user_id, raw)
        except DecryptionFailed as failed:
            log.warning("an event cannot be read: %s", failed, extra={"reason": failed.reason})
            await consumer.unreadable(event, unit, failed.human)
            return None
        event_type, content = plain.get("type"), plain.get("content")
        if not isinstance(content, dict) or not isinstance(event_type, str):
            return None
        return replace(event, type=event_type, content=content, encrypted=True)

    async def _key_missing(
        self, item: InboxItem, event: Event, consumer: Consumer, missing: KeyMissing, waited: float
    ) -> None:
        """Returns when the event is to be parked; raises Wait when its key may still come at any moment."""
        told = consumer.name + TOLD
        late = now_ms() - item.received_at > self._encryption.give_up_after * 1000
        if item.state is not InboxState.PARKED and not late and missing.withheld is None:
            left = self._encryption.key_wait - waited
            if left > 0:
                raise Wait(left)
        if item.state is not InboxState.PARKED:
            self._metrics.events_parked.inc()
        item.state = InboxState.PARKED
        item.session_id = missing.session_id
        if (late or missing.withheld is not None) and told not in item.done_by:
            unit = UnitOfWork(item.event_id, told, consumer.user_id)
            # One word for all that one lost key has locked.
            if (consumer.name, missing.session_id) not in self._told:
                async with asyncio.timeout(self._engine.handler_timeout):
                    await consumer.unreadable(event, unit, missing.human)
                unit.after_commit(lambda: self._remember_told(consumer.name, missing.session_id))
            marked = item.done_by | {told}
            mark = (INBOX_PROGRESS, item.progress(done_by=_lines(marked)))
            await self._settled(item, await self._submit(item, unit, [mark]))
            item.done_by = marked
        else:
            self._record(INBOX_PROGRESS, item.progress())

    def _remember_told(self, consumer: str, session_id: str) -> None:
        if len(self._told) >= MAX_TOLD:
            self._told.clear()
        self._told.add((consumer, session_id))

    # Failures

    async def _failed(
        self, item: InboxItem, event: Event, consumer: Consumer, error: Exception, *, last: bool
    ) -> bool | Commit:
        """Raises Wait for one more attempt; after the last one the sender hears of it."""
        item.attempts += 1
        item.error = f"{consumer.name}: {type(error).__name__}"[:MAX_ERROR]
        log.warning(
            "a handler failed (attempt %d of %d)",
            item.attempts,
            self._engine.attempts,
            exc_info=error,
            extra={"consumer": consumer.name},
        )
        if item.attempts < self._engine.attempts:
            self._metrics.events_retried.inc()
            self._record(INBOX_PROGRESS, item.progress())
            raise Wait(self._pause(item, None))
        self._metrics.events_dead.labels(consumer.name).inc()
        item.attempts = 0  # the next consumer has attempts of its own
        given_up = consumer.name + GAVE_UP
        unit = UnitOfWork(item.event_id, given_up, consumer.user_id)
        try:
            await consumer.gave_up(event, unit)
            return await self._commit(item, unit, done=given_up, last=last)
        except DatabaseError:
            raise
        except Exception:  # a plugin's apology may be broken like the plugin
            log.exception("a handler's last word failed", extra={"consumer": consumer.name})
            item.done_by |= {given_up}
            return False

    def _pause(self, item: InboxItem, retry_after: float | None) -> float:
        if retry_after is not None:
            return retry_after
        delay = min(self._engine.backoff * 2 ** min(max(item.attempts - 1, 0), 20), self._engine.backoff_max)
        jitter = random.random() / 4  # noqa: S311 - rooms that failed together must not come back together
        return float(delay * (1 + jitter))

    # Commits

    async def _commit(self, item: InboxItem, unit: UnitOfWork, *, done: str, last: bool) -> bool | Commit:
        """Commit a unit with the mark that ``done`` is done; whether (or the commit that) ended the event."""
        if unit.broken is not None:
            # A handler may have caught it; what it did since then builds on what may not be there.
            if isinstance(unit.broken, Exception):
                raise unit.broken
            raise DatabaseError("a checkpoint was cut off")
        marked = item.done_by | {done}
        if unit.empty:
            item.done_by, item.attempts = marked, 0  # the next consumer has attempts of its own
            return False
        progress = item.progress(done_by=_lines(marked), attempts=0)
        mark = _closing(item, marked) if last else (INBOX_PROGRESS, progress)
        commit = await self._submit(item, unit, [mark])
        if last and not (unit.operations or unit.events or item.careful):
            return commit
        try:
            await self._settled(item, commit)
        except AlreadyDone:
            await self._outbox.recover()
            await self._reconcile()
        item.done_by, item.attempts = marked, 0
        return last

    async def _checkpoint(self, item: InboxItem, unit: UnitOfWork) -> None:
        """Commit what a unit holds, and go on with it."""
        await self._settled(item, await self._submit(item, unit, []))
        unit.cleared()

    async def _submit(self, item: InboxItem, unit: UnitOfWork, marks: list[tuple[Bulk, Row]]) -> Commit:
        outgoing, rows = await self._outbox.rows(unit.messages)
        after = unit.callbacks
        work = self._guarded(item, unit) if unit.operations or unit.events or item.careful else None
        for mark in marks:
            self._recorder.supersede(*mark)
        commit = self._writer.submit(Job(rows=[*rows, *marks], work=work, lane=item.room_id))

        def committed(commit: Commit) -> None:
            if commit.cancelled() or commit.exception() is not None:
                return
            self._outbox.enqueue(outgoing)
            if brought := commit.result():
                self._accept(brought)
            for callback in after:
                callback()

        commit.add_done_callback(committed)
        return commit

    def _guarded(self, item: InboxItem, unit: UnitOfWork) -> Callable[[Connection], list[InboxItem]]:
        """The unit's own writes, unless they are there already: a commit that was given up may have happened since."""
        operations, events = list(unit.operations), list(unit.events)

        def work(connection: Connection) -> list[InboxItem]:
            row = connection.execute(_PROGRESS, {"shard": item.shard, "seq": item.seq}).one_or_none()
            if row is None or row.state == InboxState.DONE or unit.consumer in row.done_by.split("\n"):
                raise AlreadyDone
            for operation in operations:
                operation(connection)
            return self._inbox.insert_internal(connection, events)

        return work

    async def _settled(self, item: InboxItem, commit: Commit) -> None:
        """Wait for a commit. It goes on when the waiting handler is cut off: its messages are sent if it is kept."""
        try:
            await asyncio.shield(commit)
        except DatabaseError:
            raise
        except Exception:
            # It was refused for what it is, and everything before it was kept: the room's commits go on.
            self._writer.mend(item.room_id)
            if item.careful:
                # Perhaps by a commit that was taken for lost and has come true since: its messages are to be sent.
                await self._outbox.recover()
            raise


def _closing(item: InboxItem, done_by: frozenset[str]) -> tuple[Bulk, Row]:
    """The row that ends an event: done, or a dead letter when a consumer gave up."""
    if any(name.endswith(GAVE_UP) for name in done_by):
        return INBOX_PROGRESS, item.progress(state=int(InboxState.DEAD), done_by=_lines(done_by))
    return INBOX_FINISH, item.finish()


def _lines(names: frozenset[str]) -> str:
    return "\n".join(sorted(names))
