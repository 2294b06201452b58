"""The worker: takes events out of the inbox, each room in order, many rooms side by side.

A failing consumer is tried again after a growing pause, in which its room waits and all others go on; after the last
attempt the event becomes a dead letter and the room goes on too. An event whose key has not come holds its room for a
moment, for the key usually follows at once, and is parked then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from appservice import log as logs
from appservice.config import Config
from appservice.consumer import Dispatch
from appservice.database import DatabaseError
from appservice.inbox import Inbox, InboxItem, now_ms
from appservice.metrics import Metrics
from appservice.outbox import Outbox
from appservice.parking import Parking
from appservice.processor import INFRASTRUCTURE_PAUSE_S, Commit, Decryptor, Parked, Processor, Wait
from appservice.recorder import Recorder
from appservice.rooms import Rooms
from appservice.store.bulk import INBOX_PROGRESS
from appservice.store.tables import InboxState
from appservice.writer import Job, Writer

log = logging.getLogger(__name__)

MAX_IN_MEMORY = 10_000
LOAD_AT_ONCE = 50
TURN = 32
"""Events of one room before another room has its turn."""
HOLD_UP_TO = 20_000
JANITOR_S = 2.0
PURGE_S = 60.0


@dataclass(slots=True)
class _Room:
    room_id: str
    queue: deque[InboxItem] = field(default_factory=deque)
    flying: list[tuple[InboxItem, Commit]] = field(default_factory=list)
    """Worked, their commits under way, in order."""
    timer: asyncio.TimerHandle | None = None
    running: bool = False
    nudged: bool = False
    """A key came while the room was being worked."""
    waiting_since: float = 0.0
    """When the event at the head began to wait (monotonic seconds), or 0."""


class Worker:
    """Runs the consumers on what the inbox holds."""

    def __init__(
        self,
        config: Config,
        inbox: Inbox,
        outbox: Outbox,
        writer: Writer,
        rooms: Rooms,
        crypto: Decryptor,
        dispatch: Dispatch,
        metrics: Metrics,
    ) -> None:
        self._config = config.engine
        self._inbox = inbox
        self._outbox = outbox
        self._writer = writer
        self._dispatch = dispatch
        self._metrics = metrics
        self._recorder = Recorder(writer, config.engine.backoff, config.engine.backoff_max)
        self._processor = Processor(
            config,
            outbox,
            writer,
            rooms,
            crypto,
            dispatch,
            metrics,
            self._recorder,
            inbox,
            self.dispatch,
            self.reconcile,
        )
        self._parking = Parking(config.encryption.give_up_after, metrics)
        self._rooms: dict[str, _Room] = {}
        self._ready: asyncio.Queue[_Room] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._ephemeral: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(1_000)
        self._pending = 0
        self._stopping = False
        self._idle = asyncio.Event()
        self._renewed: list[InboxItem] = []
        """Replays whose commit failed, or seemed to."""
        self._held = 0
        self._free = asyncio.Event()

    @property
    def pending(self) -> int:
        """Events stored and not finished, the parked ones included."""
        return self._pending

    async def start(self) -> None:
        """Take up what the last run left, and begin."""
        self.dispatch(await self._inbox.unfinished())
        for number in range(self._config.concurrency):
            self._own(self._run(), f"worker-{number}")
        self._own(self._run_ephemeral(), "worker-ephemeral")
        self._own(self._run_janitor(), "worker-janitor")

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))

    async def stop(self, grace: float) -> None:
        """Let running handlers finish for ``grace`` seconds. What is not done is done at the next start."""
        self._stopping = True
        for room in self._rooms.values():
            if room.timer is not None:
                room.timer.cancel()
        deadline = time.monotonic() + grace
        while any(room.running for room in self._rooms.values()):
            self._idle.clear()
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await self._idle.wait()
            except TimeoutError:
                log.warning("handlers did not finish in time; their events are worked at the next start")
                break
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._recorder.stop(max(deadline - time.monotonic(), 1))

    def dispatch(self, items: Iterable[InboxItem]) -> None:
        """Work these, which are stored, after what waits in their rooms already."""
        for item in items:
            self._pending += 1
            if self._pending > MAX_IN_MEMORY:
                item.payload = None
            room = self._room(item.room_id)
            item.room_id = room.room_id  # one text for all events of a room
            room.queue.append(item)
        self._metrics.inbox_pending.set(self._pending)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Start no event meanwhile: the homeserver waits for its 200, and stops sending to who is slow.

        Not when too much waits already: then events that are here come before new ones.
        """
        if self._pending > HOLD_UP_TO:
            yield
            return
        self._held += 1
        self._free.clear()
        try:
            yield
        finally:
            self._held -= 1
            if not self._held:
                self._free.set()

    def _room(self, room_id: str) -> _Room:
        room = self._rooms.get(room_id)
        if room is None:
            room = self._rooms[room_id] = _Room(room_id)
            self._ready.put_nowait(room)
        return room

    async def reconcile(self) -> None:
        """Dispatch what is pending in the database and unknown here: after a commit whose outcome was unknown."""
        known = self._known()
        found = await self._inbox.unfinished()
        known |= self._known()  # what was dispatched during the read
        self.dispatch(item for item in found if (item.shard, item.seq) not in known)

    def _known(self) -> set[tuple[int, int]]:
        known = {(item.shard, item.seq) for room in self._rooms.values() for item in room.queue}
        known |= {(item.shard, item.seq) for room in self._rooms.values() for item, _ in room.flying}
        return known | {(item.shard, item.seq) for item in self._parking.items()}

    def dispatch_ephemeral(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Hand these on when there is time; the oldest are dropped when there is none."""
        for event in events:
            if self._ephemeral.full():
                self._ephemeral.get_nowait()
            self._ephemeral.put_nowait(event)

    def session_arrived(self, _user_id: str, room_id: str, session_id: str) -> None:
        """A Megolm session is here: what waited for it goes on, before anything newer in its room."""
        released = self._parking.release(session_id)
        if released:
            self._release(room_id, released)
        room = self._rooms.get(room_id)
        if room is None:
            return
        if room.timer is not None:
            room.timer.cancel()
            self._wake(room)
        else:
            room.nudged = room.running

    def _release(self, room_id: str, items: Iterable[InboxItem]) -> None:
        room = self._room(room_id)
        ordered = sorted(items, key=lambda item: item.seq)
        if room.running and room.queue:
            # The event at the head is being worked: behind it is as early as can be.
            head = room.queue.popleft()
            room.queue.extendleft(reversed(ordered))
            room.queue.appendleft(head)
        else:
            room.queue.extendleft(reversed(ordered))
            room.waiting_since = 0.0

    # Scheduling

    async def _run(self) -> None:
        while True:
            room = await self._ready.get()
            if self._stopping:
                return
            room.running, room.nudged = True, False
            try:
                pause = await self._turn(room)
            finally:
                room.running = False
                self._idle.set()
            if not room.queue:
                del self._rooms[room.room_id]
            elif pause > 0 and not room.nudged:
                room.timer = asyncio.get_running_loop().call_later(pause, self._wake, room)
            else:
                self._ready.put_nowait(room)

    def _wake(self, room: _Room) -> None:
        room.timer = None
        self._ready.put_nowait(room)

    async def _turn(self, room: _Room) -> float:
        """Work some events of a room; how many seconds it wants to pause then."""
        pause = 0.0
        for _ in range(TURN):
            if not room.queue or self._stopping:
                break
            item = room.queue[0]
            await asyncio.sleep(0)  # a handler may never wait: other rooms and new events have their turn
            if self._held:
                await self._free.wait()
            try:
                commit = await self._work(room, item)
            except Wait as wait:
                room.waiting_since = room.waiting_since or time.monotonic()
                pause = wait.seconds
                break
            except Parked:
                if room.nudged:  # a key came between the attempt and now: it may have been this one
                    room.nudged = False
                    continue
                room.queue.popleft()
                room.waiting_since = 0.0
                self._parking.add(item)
            except DatabaseError as error:
                log.warning("an event waits for the database: %s", error, extra={"event_id": item.event_id})
                _doubt(item)
                pause = INFRASTRUCTURE_PAUSE_S
                break
            except Exception:  # noqa: BLE001 - a defect of ours must stop neither the room nor the runner
                pause = self._defect(room, item)
                if pause:
                    break
            else:
                room.queue.popleft()
                room.waiting_since = 0.0
                if commit is None:
                    self._done()
                else:
                    room.flying.append((item, commit))
        return max(pause, await self._land(room))

    async def _work(self, room: _Room, item: InboxItem) -> Commit | None:
        if item.payload is None:
            await self._load(room)
        if item.payload is None:  # it was finished after all
            return None
        with logs.bound(event_id=item.event_id, room_id=item.room_id):
            waited = time.monotonic() - room.waiting_since if room.waiting_since else 0.0
            return await self._processor.work(item, waited)

    async def _land(self, room: _Room) -> float:
        """Wait for the commits under way. From the first that failed on, the events go back to the head of the room."""
        failed = 0
        flying = room.flying
        for index, (_, commit) in enumerate(flying):
            try:
                await commit
            except Exception as error:  # noqa: BLE001 - whatever it is, the event is worked again
                if not failed:
                    log.warning("events wait for the database: %s", error, extra={"room_id": room.room_id})
                    failed = len(flying) - index
            else:
                self._done()
        for item, _ in reversed(flying[len(flying) - failed :] if failed else []):
            _doubt(item)
            room.queue.appendleft(item)
        room.flying = []
        self._writer.mend(room.room_id)
        return INFRASTRUCTURE_PAUSE_S if failed else 0.0

    def _defect(self, room: _Room, item: InboxItem) -> float:
        """An event that the engine itself fails on: a few more attempts, then a dead letter. Seconds to pause."""
        log.exception("an event could not be worked", extra={"event_id": item.event_id})
        item.attempts += 1
        if item.attempts < self._config.attempts:
            return float(self._config.backoff * 2**item.attempts)
        room.queue.popleft()
        self._bury(item, "engine", "engine")
        return 0.0

    def _bury(self, item: InboxItem, label: str, error: str) -> None:
        """Make a dead letter of an event that no consumer has given up."""
        item.state, item.error = InboxState.DEAD, error
        self._metrics.events_dead.labels(label).inc()
        self._recorder.record(INBOX_PROGRESS, item.progress())
        self._done()

    async def _load(self, room: _Room) -> None:
        """Fetch the next events of a room that are not in memory, and how far they have come."""
        items = [item for item in list(room.queue)[:LOAD_AT_ONCE] if item.payload is None]
        await self._inbox.load(items)
        if any(item.uncertain for item in items):
            await self._outbox.recover()
            for item in items:
                item.uncertain = False

    def _done(self) -> None:
        self._pending -= 1
        self._metrics.events_done.inc()
        self._metrics.inbox_pending.set(self._pending)

    # Beside the rooms

    async def _run_ephemeral(self) -> None:
        while True:
            event = await self._ephemeral.get()
            for consumer in self._dispatch.all():
                try:
                    async with asyncio.timeout(self._config.handler_timeout):
                        await consumer.ephemeral(event)
                except Exception:  # whatever a handler raises is contained here
                    log.exception("an ephemeral handler failed", extra={"consumer": consumer.name})

    async def _run_janitor(self) -> None:
        purged = time.monotonic()
        while True:
            await asyncio.sleep(JANITOR_S)
            try:
                for item in self._parking.overdue():
                    self._release(item.room_id, [item])
                await self._replay()
                if time.monotonic() - purged > PURGE_S:
                    purged = time.monotonic()
                    before = now_ms() - int(self._config.retention * 1000)
                    for item in self._parking.expired(before):
                        self._bury(item, "key", "its key never came")
                    await self._inbox.purge(before)
                    await self._outbox.purge(before)
            except DatabaseError as error:
                log.warning("housekeeping waits for the database: %s", error)

    async def _replay(self) -> None:
        if self._renewed:
            await self._inbox.load(self._renewed)
            self.dispatch(item for item in self._renewed if item.state is InboxState.PENDING)
            self._renewed = []
        for item in await self._inbox.replays():
            item.renew()
            try:
                await self._writer.submit(Job(rows=[(INBOX_PROGRESS, item.progress())]))
            except DatabaseError:
                self._renewed.append(item)
                raise
            self.dispatch([item])


def _doubt(item: InboxItem) -> None:
    """The outcome of its commit may be unknown: what the database says counts, not what is in memory."""
    item.payload, item.uncertain, item.careful = None, True, True
