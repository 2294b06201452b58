"""The outbox: messages that are committed and not sent yet, sent in order per room, each exactly once.

A queue in memory, backed by its rows. The transaction id of a message never changes, and it is always sent as the same
device, so that the homeserver recognises a resend; in an encrypted room the ciphertext is stored before it is sent, so
that a resend is the same event. Beyond the homeserver's memory of transaction ids (about a day) the room itself is
asked whether the message is there.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Connection, RowMapping, Select, delete, func, select

from appservice import json
from appservice import log as logs
from appservice.config import Config
from appservice.database import INFRASTRUCTURE, Database
from appservice.e2ee.errors import CryptoNotReady
from appservice.errors import RialtoError
from appservice.events import shard_of
from appservice.homeserver import Homeserver, HomeserverError, path
from appservice.inbox import PURGE_SPAN, now_ms
from appservice.metrics import Metrics
from appservice.patience import Patience, Refusals
from appservice.recorder import Recorder
from appservice.sealing import SealBroken, Sealer
from appservice.store.bulk import OUTBOX_CIPHERTEXT, OUTBOX_FINISH, OUTBOX_INSERT, Bulk, Row
from appservice.store.tables import OutboxKind, OutboxState, outbox
from appservice.unit import UNSENT, Message
from appservice.writer import Job, Writer

log = logging.getLogger(__name__)

MAX_IN_MEMORY = 20_000
REMEMBERED_IDS = 4_000
LOAD_AT_ONCE = 50
TRY_LATER: tuple[type[BaseException], ...] = (HomeserverError, CryptoNotReady, *INFRASTRUCTURE)
# Synapse forgets transaction ids after about a day; be well below.
TXN_MEMORY_MS = 20 * 3600 * 1000
# Clients send reactions in the clear, for the homeserver aggregates them; an encrypted one is shown by nobody.
NEVER_ENCRYPTED = frozenset({"m.reaction"})


class Encryptor(Protocol):
    """What the outbox needs of :class:`appservice.e2ee.Crypto`."""

    def device_id(self, user_id: str) -> str: ...

    async def encrypt(
        self, user_id: str, room_id: str, event_type: str, content: Mapping[str, Any]
    ) -> dict[str, Any]: ...


class RoomFacts(Protocol):
    """What the outbox needs of :class:`appservice.rooms.Rooms`."""

    async def is_encrypted(self, room_id: str) -> bool: ...


@dataclass(slots=True)
class Outgoing:
    """A row of the outbox on its way."""

    shard: int
    seq: int
    message: Message
    sealed: bool
    created_at: int
    ciphertext: bytes | None = None
    loaded: bool = True
    gone: bool = False
    """Its row is finished, or was never made: the message is another row's."""
    attempts: int = 0
    refusals: Refusals = field(default_factory=Refusals)

    @property
    def context(self) -> str:
        """What a sealed content is bound to."""
        return self.message.txn_id


class NeverSent(RialtoError):
    """A message refers to one that was never sent."""

    code = "reference_never_sent"


class Outbox:
    """Sends what units of work committed."""

    def __init__(
        self,
        config: Config,
        database: Database,
        writer: Writer,
        homeserver: Homeserver,
        rooms: RoomFacts,
        crypto: Encryptor,
        metrics: Metrics,
    ) -> None:
        self._config = config.engine
        self._database = database
        self._writer = writer
        self._homeserver = homeserver
        self._rooms = rooms
        self._crypto = crypto
        self._metrics = metrics
        self._patience = Patience(homeserver, config.engine.send_give_up)
        self._sealer = Sealer(config.encryption.pickle_key.get_secret_value(), "outbox")
        self._seq: dict[int, int] = {}
        self._queues: dict[str, deque[Outgoing]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._limits: dict[str, asyncio.Semaphore] = {}
        self._sent_ids: OrderedDict[str, str | None] = OrderedDict()
        self._waiting: set[str] = set()
        self._recorder = Recorder(writer, config.engine.backoff, config.engine.backoff_max)
        self._pending = 0
        self._stopping = asyncio.Event()
        # It has no device: what it says is not encrypted, and holds nothing that the homeserver does not know anyway.
        self._steward = f"@{config.appservice.sender_localpart}:{config.homeserver.server_name}"

    @property
    def pending(self) -> int:
        """Messages committed and not sent."""
        return self._pending

    async def start(self) -> None:
        """Load what is not sent and go on sending it."""

        def read(connection: Connection) -> tuple[dict[int, int], list[RowMapping]]:
            newest = connection.execute(select(outbox.c.shard, func.max(outbox.c.seq)).group_by(outbox.c.shard))
            seq = {row[0]: row[1] for row in newest}
            columns = [column for column in outbox.c if column.name not in {"content", "ciphertext"}]
            query = select(*columns).where(outbox.c.state == int(OutboxState.PENDING))
            return seq, list(connection.execute(query.order_by(outbox.c.shard, outbox.c.seq)).mappings())

        self._seq, rows = await self._database.read(read)
        self.enqueue([_outgoing(row) for row in rows])

    async def recover(self) -> None:
        """Send what is committed and unknown here: after a commit whose outcome was unknown."""
        columns = [column for column in outbox.c if column.name not in {"content", "ciphertext"}]
        query = select(*columns).where(outbox.c.state == int(OutboxState.PENDING)).order_by(outbox.c.seq)
        rows = await self._database.read(lambda connection: list(connection.execute(query).mappings()))
        self.enqueue([_outgoing(row) for row in rows])

    async def stop(self, grace: float) -> None:
        """Send for ``grace`` seconds more, then leave the rest to the next start."""
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=grace)
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._recorder.stop(max(grace, 1))

    async def rows(self, messages: Sequence[Message]) -> tuple[list[Outgoing], list[tuple[Bulk, Row]]]:
        """Give messages their place in the order: what to :meth:`enqueue` after the commit, and the rows for it."""
        now = now_ms()
        outgoing: list[Outgoing] = []
        rows: list[tuple[Bulk, Row]] = []
        for message in messages:
            sealed = (
                message.kind == OutboxKind.EVENT
                and message.user_id != self._steward
                and await self._rooms.is_encrypted(message.room_id)
            )
            shard = shard_of(message.room_id, self._config.shards)
            seq = self._seq[shard] = self._seq.get(shard, 0) + 1
            item = Outgoing(shard, seq, message, sealed, now)
            outgoing.append(item)
            rows.append((OUTBOX_INSERT, self._row(item)))
        return outgoing, rows

    def _row(self, item: Outgoing) -> Row:
        message = item.message
        content = message.content
        return {
            "shard": item.shard,
            "seq": item.seq,
            "txn_id": message.txn_id,
            "room_id": message.room_id,
            "user_id": message.user_id,
            "kind": int(message.kind),
            "event_type": message.event_type,
            "target": message.target,
            "content": self._sealer.seal(content, item.context) if item.sealed else content,
            "sealed": int(item.sealed),
            "state": int(OutboxState.PENDING),
            "created_at": item.created_at,
        }

    def enqueue(self, items: Sequence[Outgoing]) -> None:
        """Send these, which are committed, after what waits in their rooms already; what is known is passed over."""
        for item in items:
            txn_id = item.message.txn_id
            if txn_id in self._waiting or txn_id in self._sent_ids:
                continue
            self._waiting.add(txn_id)
            self._pending += 1
            if self._pending > MAX_IN_MEMORY:
                item.loaded = False
                item.message = _without_content(item.message)
            room_id = item.message.room_id
            queue = self._queues.get(room_id)
            if queue is None:
                queue = self._queues[room_id] = deque()
            queue.append(item)
            if room_id not in self._tasks:
                # A context of its own: what is bound to the event that caused it is not true of the next message.
                self._tasks[room_id] = asyncio.create_task(
                    self._drain(room_id, queue), name="outbox", context=contextvars.Context()
                )
        self._metrics.outbox_pending.set(self._pending)

    async def _drain(self, room_id: str, queue: deque[Outgoing]) -> None:
        """Send one room's messages in order until there are none."""
        try:
            while queue:
                item = queue[0]
                logs.bind(room_id=room_id, txn_id=item.message.txn_id)  # the context is this task's own
                try:
                    if not item.loaded:
                        await self._load(queue)
                    if item.gone:
                        queue.popleft()
                        self._forget(item)
                        continue
                    event_id, error = await self._send(item), None
                except Exception as problem:  # noqa: BLE001 - nothing may stop the room for ever
                    event_id, error = None, await self._final(item, problem)
                    if error is None:
                        await self._back_off(item, problem)
                        continue
                queue.popleft()
                self._finish(item, event_id, error)
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
        finally:
            del self._tasks[room_id]
            if not queue:
                del self._queues[room_id]

    async def _final(self, item: Outgoing, problem: Exception) -> str | None:
        """Why a message that met ``problem`` is never sent; None when it is to be tried again."""
        if isinstance(problem, (SealBroken, NeverSent)) or (
            isinstance(problem, HomeserverError) and not problem.temporary
        ):
            return str(problem)
        if isinstance(problem, TRY_LATER):
            if not await self._patience.over(item.refusals, item.message.user_id, problem):
                return None
            self._metrics.sends_given_up.inc()
            return f"given up after {item.refusals.seconds:.0f} s of refusals: {problem}"
        log.error("a message could not be sent", exc_info=problem)  # an error of the encryption, say
        return type(problem).__name__ if item.attempts + 1 >= self._config.attempts else None

    async def _back_off(self, item: Outgoing, problem: BaseException) -> None:
        item.attempts += 1
        self._metrics.sends_total.labels("retried").inc()
        if isinstance(problem, HomeserverError) and not self._homeserver.reachable:
            await self._unless_stopping(self._homeserver.wait_reachable())
            return
        delay = min(self._config.backoff * 2 ** min(item.attempts - 1, 20), self._config.backoff_max)
        if isinstance(problem, HomeserverError) and problem.retry_after is not None:
            delay = problem.retry_after
        else:
            log.warning("a send failed and is tried again: %s", problem)
        # Jitter, so that rooms that failed together do not come back together.
        await self._unless_stopping(asyncio.sleep(delay * (1 + random.random() / 4)))  # noqa: S311

    async def _unless_stopping(self, pause: Coroutine[Any, Any, None]) -> None:
        """Wait; a stop does not wait for who waits already, and leaves their messages to the next start."""
        waits = [asyncio.ensure_future(pause), asyncio.ensure_future(self._stopping.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._stopping.is_set():
            raise asyncio.CancelledError

    async def _send(self, item: Outgoing) -> str:
        message = item.message
        limit = self._limits.get(message.user_id)
        if limit is None:
            limit = self._limits[message.user_id] = asyncio.Semaphore(self._config.sends_per_bot)
        async with limit:
            if now_ms() - item.created_at > TXN_MEMORY_MS:
                found = await self._find(item)
                if found is not None:
                    return found
            start = time.perf_counter()
            event_id = await self._put(item)
            self._metrics.send_seconds.observe(time.perf_counter() - start)
            self._patience.sent()
            return event_id

    async def _put(self, item: Outgoing) -> str:
        message = item.message
        if message.kind == OutboxKind.STATE:
            return await self._homeserver.send_state(
                message.user_id, message.room_id, message.event_type, message.target or "", message.content
            )
        device_id = None if message.user_id == self._steward else self._crypto.device_id(message.user_id)
        if message.kind == OutboxKind.REDACTION:
            target = await self._event_id(message.target or "")
            reason = json.loads(message.content).get("reason")
            return await self._homeserver.redact(
                message.user_id, device_id, message.room_id, target, message.txn_id, reason
            )
        event_type, content = message.event_type, message.content
        plain = event_type in NEVER_ENCRYPTED or message.user_id == self._steward
        if not plain and (
            item.ciphertext is not None or item.sealed or await self._rooms.is_encrypted(message.room_id)
        ):
            event_type = "m.room.encrypted"
            content = item.ciphertext if item.ciphertext is not None else await self._encrypt(item)
        elif UNSENT.encode() in content:
            content = json.dumps(await self._resolve(json.loads(content)))
        return await self._homeserver.send_event(
            message.user_id, device_id, message.room_id, event_type, message.txn_id, content
        )

    async def _encrypt(self, item: Outgoing) -> bytes:
        """Encrypt once and store the ciphertext: from now on this is the message."""
        message = item.message
        content = await self._resolve(json.loads(message.content))
        encrypted = await self._crypto.encrypt(message.user_id, message.room_id, message.event_type, content)
        ciphertext = json.dumps(encrypted)
        row = {"shard": item.shard, "seq": item.seq, "ciphertext": ciphertext}
        await self._writer.submit(Job(rows=[(OUTBOX_CIPHERTEXT, row)]))
        item.ciphertext = ciphertext
        return ciphertext

    async def _resolve(self, content: dict[str, Any]) -> dict[str, Any]:
        """Put event ids where references to messages of ours stand."""
        relation = content.get("m.relates_to")
        if not isinstance(relation, dict):
            return content
        relation = dict(relation)
        if isinstance(relation.get("event_id"), str):
            relation["event_id"] = await self._event_id(relation["event_id"])
        reply = relation.get("m.in_reply_to")
        if isinstance(reply, dict) and isinstance(reply.get("event_id"), str):
            relation["m.in_reply_to"] = {**reply, "event_id": await self._event_id(reply["event_id"])}
        return {**content, "m.relates_to": relation}

    async def _event_id(self, reference: str) -> str:
        if not reference.startswith(UNSENT):
            return reference
        txn_id = reference.removeprefix(UNSENT)
        if txn_id in self._sent_ids:
            event_id = self._sent_ids[txn_id]
        else:
            query = select(outbox.c.event_id).where(outbox.c.txn_id == txn_id)
            event_id = await self._database.read(lambda connection: connection.execute(query).scalar_one_or_none())
        if event_id is None:
            raise NeverSent("the message it refers to was never sent", txn_id=txn_id)
        return event_id

    async def _find(self, item: Outgoing) -> str | None:
        """Look in the room for a message whose answer may have been lost longer ago than the homeserver remembers."""
        message = item.message
        if message.kind != OutboxKind.EVENT:
            return None
        if item.ciphertext is not None:
            mine = json.loads(item.ciphertext)
        else:
            mine = await self._resolve(json.loads(message.content))
        answer = await self._homeserver.request(
            "GET",
            path("/_matrix/client/v3/rooms", message.room_id, "messages"),
            user_id=message.user_id,
            query={"dir": "b", "limit": "200"},
        )
        for raw in answer.get("chunk", []):
            if raw.get("sender") != message.user_id or raw.get("content") != mine:
                continue
            if raw.get("origin_server_ts", 0) < item.created_at - 60_000:
                break
            event_id: str = raw["event_id"]
            if event_id in self._sent_ids.values():
                continue
            query = select(outbox.c.seq).where(outbox.c.event_id == event_id, outbox.c.room_id == message.room_id)
            if await self._database.read(_first(query)) is None:
                return event_id
        return None

    async def _load(self, queue: deque[Outgoing]) -> None:
        """Fetch the contents of the next messages of a room."""
        items = {(item.shard, item.seq): item for item in list(queue)[:LOAD_AT_ONCE] if not item.loaded}
        shard = queue[0].shard

        def read(connection: Connection) -> list[RowMapping]:
            seqs = [seq for _, seq in items]
            query = select(outbox.c.seq, outbox.c.txn_id, outbox.c.content, outbox.c.ciphertext).where(
                outbox.c.shard == shard, outbox.c.seq.in_(seqs), outbox.c.state == int(OutboxState.PENDING)
            )
            return list(connection.execute(query).mappings())

        rows = {row["seq"]: row for row in await self._database.read(read)}
        for item in items.values():
            row = rows.get(item.seq)
            if row is None or row["txn_id"] != item.message.txn_id:
                item.gone = True
                continue
            content = bytes(row["content"])
            if item.sealed and content:
                try:
                    content = self._sealer.open(content, item.context)
                except SealBroken:
                    if item is queue[0]:
                        raise
                    continue  # its own turn comes
            item.message = _with_content(item.message, content)
            item.ciphertext = row["ciphertext"]
            item.loaded = True

    def _forget(self, item: Outgoing) -> None:
        self._waiting.discard(item.message.txn_id)
        self._pending -= 1
        self._metrics.outbox_pending.set(self._pending)

    def _finish(self, item: Outgoing, event_id: str | None, error: str | None) -> None:
        self._forget(item)
        state = OutboxState.SENT if event_id is not None else OutboxState.FAILED
        self._metrics.sends_total.labels(state.name.lower()).inc()
        if error is not None:
            log.warning("a message was refused: %s", error)
        txn_id = item.message.txn_id
        self._sent_ids[txn_id] = event_id
        if len(self._sent_ids) > REMEMBERED_IDS:
            self._sent_ids.popitem(last=False)
        row = {
            "shard": item.shard,
            "seq": item.seq,
            "state": int(state),
            "event_id": event_id,
            "error": error,
            "finished_at": now_ms(),
        }
        self._recorder.record(OUTBOX_FINISH, row)

    async def purge(self, before: int) -> None:
        """Forget messages that were finished before ``before`` (ms)."""
        finished = (outbox.c.state != int(OutboxState.PENDING), outbox.c.created_at < before)

        def work(connection: Connection) -> None:
            for shard, newest in self._seq.items():
                mine = (outbox.c.shard == shard, *finished)
                low = connection.execute(select(outbox.c.seq).where(*mine).order_by(outbox.c.seq).limit(1)).scalar()
                if low is not None:
                    # The oldest span only; the newest row stays, for the sequence goes on from it.
                    span = outbox.c.seq.between(low, min(low + PURGE_SPAN, newest - 1))
                    connection.execute(delete(outbox).where(*mine, span))

        await self._database.write(work)


def _first(query: Select[Any]) -> Callable[[Connection], Any]:
    return lambda connection: connection.execute(query).first()


def _outgoing(row: RowMapping) -> Outgoing:
    message = Message(
        txn_id=row["txn_id"],
        room_id=row["room_id"],
        user_id=row["user_id"],
        kind=OutboxKind(row["kind"]),
        event_type=row["event_type"],
        target=row["target"],
        content=b"",
    )
    return Outgoing(row["shard"], row["seq"], message, bool(row["sealed"]), row["created_at"], loaded=False)


def _with_content(message: Message, content: bytes) -> Message:
    return Message(
        message.txn_id,
        message.room_id,
        message.user_id,
        message.kind,
        message.event_type,
        message.target,
        content,
    )


def _without_content(message: Message) -> Message:
    return _with_content(message, b"")
