"""The engine on a real database, with a homeserver, rooms, keys and consumers that do what a test says."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from pydantic import SecretStr
from sqlalchemy import Connection, Table, select

from appservice.config import Config
from appservice.config.models import AppService, Encryption
from appservice.config.models import Engine as EngineConfig
from appservice.consumer import Dispatch
from appservice.database import Database, DatabaseError
from appservice.e2ee.errors import DecryptionFailed, KeyMissing
from appservice.events import Event, Transaction
from appservice.homeserver import Homeserver, HomeserverError
from appservice.inbox import Inbox, InboxItem
from appservice.metrics import Metrics
from appservice.outbox import Outbox
from appservice.rooms import Rooms
from appservice.store.tables import inbox, outbox
from appservice.unit import UnitOfWork
from appservice.worker import Worker
from appservice.writer import Writer

T = TypeVar("T")

BOT = "@bot:localhost"
OTHER = "@other:localhost"
ALICE = "@alice:localhost"
ROOM = "!room:localhost"
TIMEOUT = 15.0


async def until(condition: Callable[[], object], what: str = "", timeout: float = TIMEOUT) -> None:
    """Wait until a condition holds; AssertionError when it does not in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"did not happen in {timeout:g} s: {what}"
        await asyncio.sleep(0.002)


def config(
    *,
    attempts: int = 3,
    backoff: float = 0.01,
    backoff_max: float = 0.02,
    handler_timeout: float = 5,
    concurrency: int = 8,
    sends_per_bot: int = 64,
    shards: int = 1,
    key_wait: float = 0.05,
    give_up_after: float = 60,
    send_give_up: float = 86_400,
    pickle_key: str = "a pickle key for tests",
) -> Config:
    """A configuration with short times."""
    return Config(
        appservice=AppService(as_token=SecretStr("as" * 20), hs_token=SecretStr("hs" * 20)),
        encryption=Encryption(pickle_key=SecretStr(pickle_key), key_wait=key_wait, give_up_after=give_up_after),
        engine=EngineConfig(
            attempts=attempts,
            backoff=backoff,
            backoff_max=backoff_max,
            handler_timeout=handler_timeout,
            concurrency=concurrency,
            sends_per_bot=sends_per_bot,
            shards=shards,
            send_give_up=send_give_up,
        ),
    )


class FlakyDatabase(Database):
    """A database whose writes fail when a test says so: before anything happened, or after the commit was done."""

    def __init__(self, inner: Database) -> None:
        self.inner = inner
        self.dialect = inner.dialect
        self.fault: Callable[[], str | None] = lambda: None
        """Asked at each write: None, "before", "after", or "late": the commit happens before the next write only."""
        self.writes = 0
        self._late: Callable[[Connection], Any] | None = None

    async def start(self) -> None:
        """The inner one is started by its fixture."""

    async def stop(self) -> None:
        """And stopped there."""

    @property
    def sync_url(self) -> str:
        return self.inner.sync_url

    async def write(self, work: Callable[[Connection], T]) -> T:
        self.writes += 1
        fault = self.fault()
        if fault == "before":
            raise DatabaseError("the database is gone (test)")
        if fault == "late":
            self._late = work
            raise DatabaseError("no answer to the commit in time (test)")
        if self._late is not None:
            late, self._late = self._late, None
            await self.inner.write(late)
        result = await self.inner.write(work)
        if fault == "after":
            raise DatabaseError("the connection broke during the commit (test)")
        return result

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self.inner.read(work)

    def fail(self, *faults: str | None) -> None:
        """The next writes meet these faults, then all is well."""
        left = list(faults)
        self.fault = lambda: left.pop(0) if left else None


@dataclass(frozen=True, slots=True)
class Sent:
    """One request of the outbox."""

    kind: str
    user_id: str
    device_id: str | None
    room_id: str
    event_type: str
    txn_id: str
    content: Any
    event_id: str


@dataclass
class FakeHomeserver:
    """Remembers transaction ids per device as Synapse does; ``problem`` decides what each send meets."""

    problem: Callable[[Sent], BaseException | None] = lambda _sent: None
    lost_answer: Callable[[Sent], BaseException | None] = lambda _sent: None
    """Asked after the event was made: the answer that does not arrive."""
    requests: list[Sent] = field(default_factory=list)
    events: list[Sent] = field(default_factory=list)
    known: dict[tuple[str, str | None, str, str], str] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    back: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by a test when the homeserver can be reached again."""
    reachable: bool = True
    asked: int = 0
    answer: Callable[[], BaseException | None] = lambda: None
    """What a request meets that is no send."""
    gate: Callable[[Sent], Awaitable[None]] | None = None
    flying: int = 0
    most: int = 0

    async def wait_reachable(self) -> None:
        await self.back.wait()
        self.reachable = True

    async def send_event(
        self, user_id: str, device_id: str | None, room_id: str, event_type: str, txn_id: str, content: Any
    ) -> str:
        content = json.loads(content) if isinstance(content, bytes) else content
        return await self._accept("event", user_id, device_id, room_id, event_type, txn_id, content)

    async def send_state(self, user_id: str, room_id: str, event_type: str, state_key: str, content: bytes) -> str:
        return await self._accept("state", user_id, None, room_id, event_type, state_key, json.loads(content))

    async def redact(
        self, user_id: str, device_id: str | None, room_id: str, event_id: str, txn_id: str, reason: str | None
    ) -> str:
        content = {"redacts": event_id, "reason": reason}
        return await self._accept("redaction", user_id, device_id, room_id, "m.room.redaction", txn_id, content)

    async def request(
        self, method: str, path: str, *, user_id: str, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Any:
        self.asked += 1
        error = self.answer()
        if error is not None:
            raise error
        if (method, path.rpartition("/")[2]) == ("POST", "filter"):
            return {"filter_id": "0"}
        assert method == "GET" and path.endswith("/messages")
        return {"chunk": list(reversed(self.messages))}

    async def _accept(
        self, kind: str, user_id: str, device_id: str | None, room: str, event_type: str, txn_id: str, content: Any
    ) -> str:
        key = (user_id, device_id, room, f"{kind}/{txn_id}")
        fresh = key not in self.known
        event_id = self.known.get(key, f"$sent{len(self.events)}")
        sent = Sent(kind, user_id, device_id, room, event_type, txn_id, content, event_id)
        self.requests.append(sent)
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            if self.gate is not None:
                await self.gate(sent)
            else:
                await asyncio.sleep(0)
        finally:
            self.flying -= 1
        error = self.problem(sent)
        if error is not None:
            self.reachable = not (isinstance(error, HomeserverError) and error.errcode == "UNREACHABLE")
            raise error
        if fresh and key not in self.known:
            event_id = f"$sent{len(self.events)}"
            self.known[key] = event_id
            self.events.append(Sent(kind, user_id, device_id, room, event_type, txn_id, content, event_id))
        error = self.lost_answer(sent)
        if error is not None:
            raise error
        return self.known.get(key, event_id)

    def bodies(self, room_id: str | None = None) -> list[str]:
        """The texts that the rooms got, in order."""
        return [
            sent.content.get("body", "")
            for sent in self.events
            if sent.kind == "event" and room_id in {None, sent.room_id}
        ]

    def in_room(self, room_id: str) -> list[Sent]:
        """What a room got, in order."""
        return [sent for sent in self.events if sent.room_id == room_id]


@dataclass
class FakeRooms:
    """Who is where, and what is encrypted, as a test says."""

    everywhere: list[str] = field(default_factory=lambda: [BOT])
    encrypted: set[str] = field(default_factory=set)
    applied: list[str] = field(default_factory=list)
    problem: Callable[[Event], BaseException | None] = lambda _event: None

    def bots_in(self, room_id: str) -> Iterable[str]:
        return self.everywhere

    async def is_encrypted(self, room_id: str) -> bool:
        return room_id in self.encrypted

    async def apply(self, event: Event, raw: Mapping[str, Any]) -> None:
        error = self.problem(event)
        if error is not None:
            raise error
        self.applied.append(event.event_id)


@dataclass
class FakeCrypto:
    """Megolm sessions that are there or not; encrypting counts up, so that encrypting twice shows."""

    sessions: set[tuple[str, str]] = field(default_factory=set)
    withheld: str | None = None
    broken: set[str] = field(default_factory=set)
    encryptions: int = 0
    problem: BaseException | None = None
    before_missing: Callable[[str, str], Awaitable[None]] | None = None

    def device_id(self, user_id: str) -> str:
        return "DEVICE" + user_id[1:4].upper()

    async def encrypt(self, user_id: str, room_id: str, event_type: str, content: Mapping[str, Any]) -> dict[str, Any]:
        if self.problem is not None:
            raise self.problem
        self.encryptions += 1
        hidden = json.dumps({"type": event_type, "content": content}).encode().hex()
        return {"algorithm": "test", "ciphertext": hidden, "index": self.encryptions}

    async def decrypt(self, user_id: str, event: Mapping[str, Any]) -> dict[str, Any]:
        session = event["content"]["session_id"]
        if event["event_id"] in self.broken:
            raise DecryptionFailed("bad_message", "this can never be read")
        if (user_id, session) not in self.sessions:
            if self.before_missing is not None:
                await self.before_missing(user_id, session)
            raise KeyMissing(session, event["room_id"], event["sender"], self.withheld)
        return {"type": "m.room.message", "content": event["content"]["hidden"]}

    async def room_changed(self, event: Mapping[str, Any]) -> None:
        """Nothing to do."""

    def event_came(self, user_id: str) -> None:
        """Nothing to do."""


def opened(sent: Sent) -> dict[str, Any]:
    """The content of what :class:`FakeCrypto` encrypted."""
    whole = json.loads(bytes.fromhex(sent.content["ciphertext"]))
    return cast(dict[str, Any], whole["content"])


Handler = Callable[[Event, UnitOfWork], Awaitable[None]]


async def answer(event: Event, unit: UnitOfWork) -> None:
    """Say "re: " and the text."""
    unit.send(event.room_id, {"msgtype": "m.notice", "body": f"re: {event.content.get('body')}"})


@dataclass
class FakeConsumer:
    """A consumer that runs a test's handler and remembers what it was handed."""

    name: str = "bot:" + BOT
    user_id: str = BOT
    handler: Handler = answer
    handled: list[str] = field(default_factory=list)
    ephemerals: list[Mapping[str, Any]] = field(default_factory=list)

    def wants(self, event: Event) -> bool:
        return event.type in {"m.room.message", "m.room.encrypted"}

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        self.handled.append(event.event_id)
        await self.handler(event, unit)

    async def unreadable(self, event: Event, unit: UnitOfWork, reason: str) -> None:
        unit.send(event.room_id, {"msgtype": "m.notice", "body": f"cannot read {event.event_id}"})

    async def gave_up(self, event: Event, unit: UnitOfWork) -> None:
        unit.send(event.room_id, {"msgtype": "m.notice", "body": f"sorry for {event.event_id} from {self.name}"})

    async def ephemeral(self, event: Mapping[str, Any]) -> None:
        self.ephemerals.append(event)


class Engine:
    """Writer, inbox, outbox and worker on one database. ``start`` and ``stop`` like the service does."""

    def __init__(
        self,
        database: Database,
        settings: Config | None = None,
        consumers: Sequence[FakeConsumer] = (),
        homeserver: FakeHomeserver | None = None,
        rooms: FakeRooms | None = None,
        crypto: FakeCrypto | None = None,
    ) -> None:
        self.config = settings or config()
        self.database = database
        self.homeserver = homeserver or FakeHomeserver()
        self.consumers = list(consumers) or [FakeConsumer()]
        self.rooms = rooms or FakeRooms([each.user_id for each in self.consumers])
        self.crypto = crypto or FakeCrypto()
        self.metrics = Metrics()
        self.writer = Writer(database, self.metrics)
        self.inbox = Inbox(database, self.writer, self.config.engine.shards)
        self.outbox = Outbox(
            self.config,
            database,
            self.writer,
            cast(Homeserver, self.homeserver),
            self.rooms,
            self.crypto,
            self.metrics,
        )
        self.dispatch = Dispatch([BOT, OTHER])
        for consumer in self.consumers:
            self.dispatch.add_bot(consumer)
        self.worker = Worker(
            self.config,
            self.inbox,
            self.outbox,
            self.writer,
            cast(Rooms, self.rooms),
            self.crypto,
            self.dispatch,
            self.metrics,
        )
        self._numbers: defaultdict[str, int] = defaultdict(int)

    async def start(self, *, worker: bool = True) -> Engine:
        """Take up what is there."""
        await self.writer.start()
        await self.inbox.start()
        await self.outbox.start()
        if worker:
            await self.worker.start()
        return self

    async def stop(self, grace: float = 5) -> None:
        """In the service's order."""
        await self.worker.stop(grace)
        await self.outbox.stop(grace)
        await self.writer.stop()

    async def crash(self) -> None:
        """End without finishing anything, as near to ``kill -9`` as one process comes."""
        tasks = [*self.worker._tasks, *self.outbox._tasks.values()]
        tasks += [
            task for task in (self.worker._recorder._task, self.outbox._recorder._task, self.writer._task) if task
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # SQLite's thread ends what it has begun; the next engine must not start before.
        await getattr(self.database, "inner", self.database).write(lambda _connection: None)

    async def deliver(self, *events: Mapping[str, Any], txn_id: str | None = None) -> list[InboxItem]:
        """One transaction of the homeserver."""
        self._numbers["txn"] += 1
        transaction = Transaction(txn_id or f"txn{id(self)}-{self._numbers['txn']}", tuple(events))
        items, _ = await self.inbox.store(transaction)
        self.worker.dispatch(items)
        return items

    async def settled(self, timeout: float = TIMEOUT) -> None:
        """Wait until nothing but parked events is pending in the inbox and the outbox, and it is written so."""
        await until(
            lambda: self.worker.pending == len(self.worker._parking) and self.outbox.pending == 0,
            f"settled: {self.worker.pending} events, {self.outbox.pending} messages left",
            timeout,
        )
        for recorder in (self.worker._recorder, self.outbox._recorder):
            if recorder._task is not None:
                await asyncio.wait([recorder._task], timeout=timeout)


def message(event_id: str, room_id: str = ROOM, body: str | None = None, sender: str = ALICE) -> dict[str, Any]:
    """A text message."""
    return {
        "event_id": event_id,
        "room_id": room_id,
        "sender": sender,
        "type": "m.room.message",
        "content": {"msgtype": "m.text", "body": event_id if body is None else body},
        "origin_server_ts": 1,
    }


def encrypted(event_id: str, session_id: str, room_id: str = ROOM) -> dict[str, Any]:
    """An encrypted text message."""
    hidden = {"msgtype": "m.text", "body": event_id}
    content = {"algorithm": "test", "session_id": session_id, "hidden": hidden}
    return {**message(event_id, room_id), "type": "m.room.encrypted", "content": content}


def refusal(status: int, errcode: str = "M_UNKNOWN", retry_after: float | None = None) -> HomeserverError:
    """An error answer."""
    return HomeserverError(status, errcode, "no", retry_after)


async def rows(database: Database, table: Table) -> list[dict[str, Any]]:
    """Every row of a table, in order."""

    def read(connection: Connection) -> list[dict[str, Any]]:
        found = connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
        return [dict(row) for row in found]

    return await database.read(read)


async def inbox_row(database: Database, event_id: str) -> dict[str, Any]:
    """One event's row."""
    return next(row for row in await rows(database, inbox) if row["event_id"] == event_id)


async def outbox_rows(database: Database) -> list[dict[str, Any]]:
    """The outbox."""
    return await rows(database, outbox)
