"""Rialto's end of one connection with a plugin: handshake, events out and effects back, calls, bounds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import WebSocketError, WSMsgType, web

from appservice.database import INFRASTRUCTURE, DatabaseError
from appservice.errors import RialtoError
from appservice.homeserver import HomeserverError
from appservice.processor import PASSING, Wait
from appservice.unit import UnitOfWork
from bots.framework.remote import protocol
from bots.framework.remote.effects import Effects
from bots.framework.remote.files import Incoming, Receiving
from bots.framework.remote.manifest import Manifest
from bots.framework.remote.operations import Operations
from bots.framework.remote.protocol import Close, Fields, Limits, LinkLost, Refusal
from bots.framework.remote.rights import Rights, here
from bots.framework.services import Services

log = logging.getLogger(__name__)

PAUSE_S: Final = 1.0
MAX_WAIT_MS: Final = 5_000
REFUSALS_S: Final = 60.0
"""Refusals within so many seconds are counted together."""
MAX_ANSWERS: Final = 8
"""Frames of one handler that wait to be taken; a plugin that waits for its answers never has more than one."""


class RemoteFailed(RialtoError):
    """A handler of a plugin outside this process has failed."""

    code = "remote_handler_failed"


class Deadline(Exception):
    """The other side was too slow."""


@dataclass(slots=True)
class Handling:
    """One event that the plugin works right now."""

    number: int
    event_id: str
    person: str
    room_id: str
    answers: asyncio.Queue[dict[str, Any] | None] = field(default_factory=lambda: asyncio.Queue(MAX_ANSWERS))
    excuse: float | None = None
    """Seconds to wait, when a call of its could not be answered for what is no handler's fault."""
    over: bool = False


@dataclass(frozen=True, slots=True)
class Peer:
    """Who a connection is with, and what it may: made by the consumer that it is for.

    Attributes:
        expected: the name of the plugin that the configuration wants.
        welcome: what the plugin is told of itself and of this service.
        admit: refuses what a manifest wants and cannot have.
        count: something was refused, for a reason.
        attach: the plugin is ready; what was connected before gives way.
        detach: the connection has ended.
    """

    instance: str
    expected: str
    rights: Rights
    services: Services
    limits: Limits
    welcome: Callable[[Manifest], dict[str, Any]]
    admit: Callable[[Manifest], None]
    attach: Callable[[Connection], None]
    detach: Callable[[Connection], None]
    count: Callable[[str], None]
    patience: Callable[[str], bool]
    """Whether an event may wait once more at the plugin's own wish."""


class Connection:
    """One connection, from its handshake to its end."""

    def __init__(self, socket: web.WebSocketResponse, peer: Peer, clock: Callable[[], float] = time.monotonic) -> None:
        self.manifest: Manifest | None = None
        self.ready = False
        """Whether the plugin takes events."""
        self._socket = socket
        self._peer = peer
        self._clock = clock
        self._limits = peer.limits
        self._operations = Operations(peer.rights, peer.services)
        self._effects = Effects(peer.rights, peer.services, peer.limits)
        self._receiving = Receiving(peer.limits.file_bytes)
        self._handlings: dict[int, Handling] = {}
        self._slots = asyncio.Semaphore(peer.limits.handlings)
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls = 0
        self._number = 0
        self._refusals = 0
        self._refused_at = clock()
        self._allowance = float(peer.limits.burst)
        self._filled = clock()
        self._ended = False

    # The life of a connection

    async def run(self) -> None:
        """Serve until the connection ends."""
        try:
            await self._shake_hands()
            async for message in self._socket:
                self._throttle()
                if message.type is WSMsgType.TEXT:
                    self._frame(protocol.decode(message.data))
                elif message.type is WSMsgType.BINARY:
                    self._receiving.take(*protocol.unpiece(message.data))
                else:
                    if isinstance(message.data, WebSocketError) and message.data.code == Close.TOO_BIG:
                        self._count(Refusal("too_big", f"a frame has {protocol.MAX_FRAME} bytes at most"))
                    break
        except Refusal as refusal:
            await self._turn_away(refusal)
        except (LinkLost, Deadline):
            pass
        except Exception:  # a defect of ours ends this connection and nothing else
            log.exception("a connection with a plugin failed", extra={"plugin": self._peer.instance})
        finally:
            await self._end()

    async def _end(self) -> None:
        self._ended, self.ready = True, False
        self._peer.detach(self)
        for handling in list(self._handlings.values()):
            self._give_up(handling)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(Exception):
            async with asyncio.timeout(5):
                await self._socket.close(code=Close.GOING_AWAY)

    async def close(self, code: Close, words: str) -> None:
        """End the connection from our side."""
        self.ready = False
        with suppress(Exception):
            async with asyncio.timeout(5):
                await self._socket.close(code=code, message=words.encode()[:120])

    async def _shake_hands(self) -> None:
        try:
            async with asyncio.timeout(protocol.HANDSHAKE_S):
                message = await self._socket.receive()
        except TimeoutError:
            raise Refusal("slow", "the first frame did not come in time", fatal=True) from None
        if message.type is not WSMsgType.TEXT:
            if message.type in {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED}:
                raise LinkLost("the connection ended before its first frame")
            raise Refusal("malformed", "the first frame is a hello", fatal=True)
        hello = Fields(protocol.decode(message.data), "the hello")
        if hello.text("type") != "hello":
            raise Refusal("malformed", "the first frame is a hello", fatal=True)
        version = _version(hello)
        manifest = Manifest.read(hello.inner("plugin"))
        if manifest.plugin != self._peer.expected:
            words = f"the token is for the plugin {self._peer.expected!r}, and this is {manifest.plugin!r}"
            raise Refusal("wrong_plugin", words, fatal=True, again=False)
        self._peer.rights.declare(manifest.scopes)
        self._peer.admit(manifest)
        self.manifest = manifest
        limits = {"frame": protocol.MAX_FRAME, "calls": self._limits.calls, "messages": self._limits.messages}
        welcome = self._peer.welcome(manifest)
        await self.send({"type": "welcome", "protocol": version, "api": protocol.API, "limits": limits, **welcome})

    # Sending

    async def send(self, frame: Mapping[str, Any]) -> None:
        """Send a frame.

        Raises:
            LinkLost: it could not be sent.
        """
        await self._put(self._socket.send_str, protocol.encode(frame))

    async def _put(self, send: Callable[[Any], Coroutine[Any, Any, None]], data: Any) -> None:
        try:
            async with asyncio.timeout(protocol.SEND_S):
                await send(data)
        except (ConnectionError, RuntimeError, TimeoutError) as error:
            self.ready = False
            raise LinkLost("the plugin cannot be reached", cause=type(error).__name__) from None

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self, frame: Mapping[str, Any]) -> None:
        """Send a frame when its turn comes; of no consequence when it is lost."""

        async def work() -> None:
            with suppress(LinkLost):
                await self.send(frame)

        if not self._ended:
            self._spawn(work(), "remote-tell")

    # What is refused

    def _count(self, refusal: Refusal) -> None:
        now = self._clock()
        if now - self._refused_at > REFUSALS_S:
            self._refusals = 0
        self._refusals, self._refused_at = self._refusals + 1, now
        self._peer.count(refusal.reason)
        log.warning(
            "a plugin outside is refused: %s",
            refusal.human,
            extra={"plugin": self._peer.instance, "reason": refusal.reason},
        )

    def refused(self, refusal: Refusal, event: int | None = None) -> None:
        """Note what the plugin must not do, and tell it why; too much of it ends the connection."""
        self._count(refusal)
        self._tell(_error(refusal, event))
        if self._refusals >= self._limits.refusals:
            self._spawn(self.close(Close.REFUSED, "too much was refused"), "remote-close")

    async def _turn_away(self, refusal: Refusal) -> None:
        self._count(refusal)
        with suppress(LinkLost):
            await self.send(_error(refusal, None))
        await self.close(Close.REFUSED, refusal.reason)

    def _throttle(self) -> None:
        now = self._clock()
        self._allowance += (now - self._filled) * self._limits.frames_per_s
        self._allowance, self._filled = min(self._allowance, float(self._limits.burst)) - 1, now
        if self._allowance < 0:
            words = f"a plugin sends {self._limits.frames_per_s:g} frames a second at most"
            raise Refusal("flood", words, fatal=True)

    # Receiving

    def _frame(self, frame: dict[str, Any]) -> None:
        kind = frame["type"]
        if kind == "call":
            self._call(frame)
        elif kind in {"done", "failed", "checkpoint"}:
            self._answer(frame)
        elif kind == "ready":
            if not self.ready:
                self.ready = True
                self._peer.attach(self)
        elif kind == "leaving":
            self.ready = False
        elif kind == "unready":
            fields = Fields(frame, "the frame")
            words = fields.text("human", most=1_000, default="")
            log.error("a plugin outside does not start: %s", words, extra={"plugin": self._peer.instance})
            self._peer.count("unready")
        else:
            raise Refusal("malformed", f"there is no frame {kind[:60]!r}", fatal=True)

    def _answer(self, frame: dict[str, Any]) -> None:
        number = Fields(frame, "the frame").number("event")
        handling = self._handlings.get(number)
        if handling is None:
            return  # its event was given up meanwhile
        try:
            handling.answers.put_nowait(frame)
        except asyncio.QueueFull:
            raise Refusal(
                "flood", "a handler waits for the answer to a checkpoint before the next", fatal=True
            ) from None

    def _call(self, frame: dict[str, Any]) -> None:
        fields = Fields(frame, "the call")
        number, name = fields.number("id"), fields.text("op")
        event = fields.number_or_none("event")
        if self._calls >= self._limits.calls:
            raise Refusal("flood", f"a plugin makes {self._limits.calls} calls at the same time at most", fatal=True)
        incoming = None
        if name == "media.upload":
            size = Fields(fields.raw("args"), "the arguments of media.upload").number("size")
            incoming = self._receiving.expect(number, size)
        self._calls += 1
        self._spawn(self._answer_call(number, name, fields.raw("args"), event, incoming), "remote-call")

    async def _answer_call(
        self, number: int, name: str, args: Any, event: int | None, incoming: Incoming | None
    ) -> None:
        handling = self._handlings.get(event) if event is not None else None
        if handling is not None:
            here.set(handling.room_id)  # of this task alone
        try:
            async with asyncio.timeout(protocol.CALL_S):
                if name == "media.download":
                    await self._download(number, args)
                    return
                value = await (
                    self._operations.answer(name, args) if incoming is None else self._upload(args, incoming)
                )
            await self.send({"type": "result", "id": number, "value": value})
        except LinkLost:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the plugin must hear that there is no answer
            with suppress(LinkLost):
                await self.send({"type": "result", "id": number, "error": self._problem(error, event)})
        finally:
            self._calls -= 1
            if incoming is not None:
                self._receiving.forget(number)

    def _problem(self, error: Exception, event: int | None) -> dict[str, Any]:
        """What the plugin is told of an error, and what it means for the event that it works."""
        handling = self._handlings.get(event) if event is not None else None
        if isinstance(error, Refusal):
            self._count(error)
            if self._refusals >= self._limits.refusals:
                self._spawn(self.close(Close.REFUSED, "too much was refused"), "remote-close")
            return {"code": error.reason, "human": error.human}
        if isinstance(error, HomeserverError):
            if handling is not None and error.status in PASSING:
                handling.excuse = error.retry_after or PAUSE_S
            return {
                "code": error.code,
                "human": error.human,
                "status": error.status,
                "errcode": error.errcode,
                "retry_after": error.retry_after,
            }
        if isinstance(error, INFRASTRUCTURE):
            if handling is not None:
                handling.excuse = PAUSE_S
            return {"code": DatabaseError.code, "human": "the database does not answer now"}
        if isinstance(error, RialtoError):
            return {"code": error.code, "human": error.human}
        if isinstance(error, TimeoutError):
            return {"code": "timeout", "human": "this took too long"}
        log.error("a call of a plugin failed", exc_info=error, extra={"plugin": self._peer.instance})
        return {"code": "internal", "human": "something went wrong in Rialto"}

    # Files

    async def _download(self, number: int, args: Any) -> None:
        fields = Fields(args, "the arguments of media.download")
        services, me = self._peer.services, self._peer.rights.user_id
        data = await services.media.download(me, fields.mapping("content"), limit=fields.number_or_none("limit"))
        await self.send({"type": "result", "id": number, "value": {"size": len(data)}})
        for at in range(0, len(data), protocol.CHUNK):
            await self._put(self._socket.send_bytes, protocol.piece(number, data[at : at + protocol.CHUNK]))

    async def _upload(self, args: Any, incoming: Incoming) -> Any:
        fields = Fields(args, "the arguments of media.upload")
        kind, encrypted = fields.text("kind"), fields.flag("encrypted")
        media, me = self._peer.services.media, self._peer.rights.user_id
        data = await incoming.whole()
        if kind == "image":
            return await media.upload_image(me, data, encrypted=encrypted)
        if kind == "audio":
            return await media.upload_audio(me, data, encrypted=encrypted)
        mimetype = fields.text("mimetype", default="application/octet-stream")
        if kind == "file":
            return await media.upload_file(me, data, mimetype, encrypted=encrypted)
        if kind == "plain":
            return dict((await media.upload(me, data, mimetype, encrypted=encrypted)).content)
        raise Refusal("malformed", "an upload is one of image, audio, file, plain")

    # Events

    async def handle(self, frame: Mapping[str, Any], unit: UnitOfWork) -> None:
        """Have the plugin work an event, and put what it wants into the unit.

        Raises:
            LinkLost: the connection ended before the handler did.
            Wait: what the handler needed was away: no handler's fault either.
            Refusal, RemoteFailed, …: it is.
            DatabaseError: a checkpoint could not be committed.
        """
        async with self._slots:
            if not self.ready:
                raise LinkLost("the plugin takes no events")
            self._number += 1
            event = frame["event"]
            handling = Handling(self._number, event["event_id"], event["sender"], event["room_id"])
            self._handlings[handling.number] = handling
            try:
                await self.send({"type": "event", "id": handling.number, "unit": unit.event_id, **frame})
                await self._converse(handling, unit)
            finally:
                del self._handlings[handling.number]
                if not handling.over:
                    self._tell({"type": "cancel", "event": handling.number})

    async def _converse(self, handling: Handling, unit: UnitOfWork) -> None:
        while True:
            answer = await handling.answers.get()
            if answer is None:
                raise LinkLost("the connection ended")
            if answer["type"] == "failed":
                handling.over = True
                self._failed(handling, Fields(answer, "the failure"))
            token = here.set(handling.room_id)
            try:
                await self._effects.apply(answer.get("effects"), unit, handling.person)
            except Refusal as refusal:
                self.refused(refusal, handling.number)
                raise
            finally:
                here.reset(token)
            if answer["type"] == "done":
                handling.over = True
                return
            # While the commit is under way the connection may end: then the plugin works the event again, and finds
            # what was committed.
            await unit.checkpoint()
            await self.send({"type": "result", "id": Fields(answer, "the checkpoint").number("id"), "value": None})

    def _failed(self, handling: Handling, fields: Fields) -> None:
        if fields.flag("later") and handling.excuse is not None:
            raise Wait(handling.excuse)
        pause = fields.number_or_none("wait", most=MAX_WAIT_MS)
        if pause is not None and self._peer.patience(handling.event_id):
            raise Wait(pause / 1000)
        kind = fields.text("error", most=100, default="")
        raise RemoteFailed(f"a handler of {self._peer.instance} failed: {kind}", plugin=self._peer.instance, error=kind)

    def _give_up(self, handling: Handling) -> None:
        handling.over = True
        while True:
            try:
                handling.answers.put_nowait(None)
            except asyncio.QueueFull:
                handling.answers.get_nowait()
            else:
                return


def _version(hello: Fields) -> int:
    """The newest version of the protocol that both speak. Raises Refusal."""
    offered = [each for each in hello.items("protocols", most=100) if isinstance(each, int)]
    common = [each for each in offered if each in protocol.PROTOCOLS]
    if not common:
        ours = ", ".join(map(str, protocol.PROTOCOLS))
        theirs = ", ".join(map(str, offered)) or "none"
        words = f"Rialto speaks version {ours} of the protocol, and the plugin's side {theirs}: bring them together"
        raise Refusal("protocol_version", words, fatal=True, again=False)
    api = hello.text("api", most=20)
    if api.partition(".")[0] != protocol.API.partition(".")[0]:
        words = f"Rialto has version {protocol.API} of the plugin API, and the plugin's side {api or 'none'}"
        raise Refusal("api_version", words, fatal=True, again=False)
    return max(common)


def _error(refusal: Refusal, event: int | None) -> dict[str, Any]:
    frame: dict[str, Any] = {"type": "error", "code": refusal.reason, "human": refusal.human, "again": refusal.again}
    return frame if event is None else {**frame, "event": event}
