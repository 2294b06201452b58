"""A homeserver that behaves like Synapse towards one application service, and remembers everything.

Measured with Synapse 1.163.2, and kept here:
- at most 100 events in a transaction, one transaction in flight, the same id and body again after a failure, with
  a growing backoff that a ping of the service ends at once;
- a send is recognised by (user, device, room, transaction id) for ever, and by (path) as long as the process lives,
  so two bots with one transaction id in one room collide, and a send without a device is repeated after a restart;
- a device must exist before the service can act as it; a user must be in a room to send there.

As a process: ``python -m tests.support.fake_homeserver --help``.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any
from urllib.parse import unquote

import orjson

from tests.support.fake_client_api import ClientApi, Device, error
from tests.support.fake_http import HttpClient, HttpServer, Request
from tests.support.fake_record import Faults, Record, Report, Room, Sent, now_ms

Batch = tuple[int, bytes, int]  # a stored transaction: id, body, number of events
MAX_EVENTS = 100
"""Events in one transaction (Synapse: MAX_PERSISTENT_EVENTS_PER_TRANSACTION)."""


class FakeHomeserver:
    """One homeserver with one application service. Everything runs in the event loop that calls :meth:`start`."""

    def __init__(
        self,
        *,
        appservice_port: int,
        as_token: str = "as-token-of-the-tests",
        hs_token: str = "hs-token-of-the-tests",
        server_name: str = "localhost",
        service_id: str = "rialto",
        sender_localpart: str = "_rialto",
        port: int = 0,
        loopback: bool = False,
        backoff: float = 0.25,
        backoff_max: float = 2.0,
    ) -> None:
        """``loopback``: the service's own messages come back to it in transactions, as Synapse sends them.
        ``backoff`` in seconds (Synapse: 1, doubled up to 512)."""
        self.as_token, self.hs_token = as_token, hs_token
        self.server_name, self.service_id = server_name, service_id
        self.sender = f"@{sender_localpart}:{server_name}"
        self.appservice_port = appservice_port
        self.loopback = loopback
        self.backoff, self.backoff_max = backoff, backoff_max
        self.faults = Faults()
        self.rooms: dict[str, Room] = {}
        self.record = Record()
        self.api = ClientApi(self)
        self.on_put: Callable[[int], None] | None = None
        self.on_transaction: Callable[[int], None] | None = None
        self.accepted = self.transactions = self.redelivered = self.pings = 0
        self.refused = 0
        """Requests answered with ``faults.status``."""
        self.accepted_first = self.accepted_last = 0.0
        self._server = HttpServer(self._handle, port)
        self._client, self._ping_client = HttpClient(appservice_port), HttpClient(appservice_port)
        self._queue: deque[dict[str, Any]] = deque()
        self._unsent: list[Batch] = []
        self._marked_down = False
        self._txn_ids, self._event_ids = itertools.count(1), itertools.count(1)
        self._by_device: dict[tuple[str, str, str, str], str] = {}
        self._by_path: dict[str, tuple[str, str]] = {}
        self._abandoned: set[int] = set()
        self.history: list[dict[str, Any]] = []
        """Every event pushed, in order: what /sync knows."""
        self._wake, self._kick, self._up = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._decoded: dict[str, str] = {}
        self._sends = 0

    @property
    def port(self) -> int:
        """The port of the client-server API, known after :meth:`start`."""
        return self._server.port

    @property
    def url(self) -> str:
        """Where the client-server API is reached."""
        return f"http://127.0.0.1:{self.port}"

    # Life

    async def start(self) -> None:
        """Listen and begin to push."""
        self.api.account(self.sender)
        await self._server.open()
        self._up.set()
        self._own(self._pump())

    async def stop(self) -> None:
        """End everything; the record stays."""
        self.api.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.close()
        self._client.close()
        self._ping_client.close()

    async def go_down(self, *, abandon: bool = False, forget: bool = False) -> None:
        """As a stopped homeserver: nothing is pushed, connections are refused.

        ``abandon``: it had just stored a transaction with what was queued, and is stopped before it sends it. Synapse
        sends such a one (with all later ones, in order) only after the next delivery that fails.
        ``forget``: what was queued, and in no transaction yet, is never pushed. Synapse queues in memory, and writes
        down before that how far it has come.
        """
        self._up.clear()
        if abandon and self._queue and not self._unsent:
            self._unsent.append(self._next_batch())
            self._abandoned.add(self._unsent[0][0])
        if forget:
            self._queue.clear()
        self.api.close()
        await self._server.close()

    async def come_back(self) -> None:
        """Listen on the same port again, with the cache of the old process gone and the stored record kept."""
        self._by_path.clear()
        await self._server.open()
        self._up.set()
        self._kick.set()

    def _own(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Rooms and events

    def add_room(self, members: Iterable[str], room_id: str | None = None) -> Room:
        """A room whose members are joined; the first one made it. Nothing is pushed."""
        room = Room(room_id or f"!room{len(self.rooms)}:{self.server_name}")
        self.rooms[room.room_id] = room
        users = list(members)
        creator = users[0]
        facts: list[tuple[str, str, dict[str, Any]]] = [
            ("m.room.create", "", {"room_version": "11"}),
            *(("m.room.member", user, {"membership": "join", "displayname": user[1:5]}) for user in users),
            ("m.room.power_levels", "", {"users": {creator: 100}}),
            ("m.room.join_rules", "", {"join_rule": "invite"}),
            ("m.room.history_visibility", "", {"history_visibility": "shared"}),
        ]
        for event_type, key, content in facts:
            sender = key if event_type == "m.room.member" else creator
            room.state[event_type, key] = self.event(room.room_id, sender, event_type, content, key)
        for user in users:
            self.api.account(user)
        return room

    def rooms_of(self, user_id: str) -> list[str]:
        """The rooms this user is joined to."""
        return [room.room_id for room in self.rooms.values() if room.is_joined(user_id)]

    def set_state(
        self, room: Room, sender: str, event_type: str, state_key: str, content: dict[str, Any]
    ) -> dict[str, Any]:
        """Change the state of a room and push the event."""
        event = self.event(room.room_id, sender, event_type, content, state_key)
        before = room.state.get((event_type, state_key))
        if before is not None:
            event["unsigned"] |= {"prev_content": before["content"], "replaces_state": before["event_id"]}
        room.state[event_type, state_key] = event
        self.push([event])
        return event

    def event(
        self, room_id: str, sender: str, event_type: str, content: dict[str, Any], state_key: str | None = None
    ) -> dict[str, Any]:
        """An event as Synapse shows it to an application service (client format with the old keys)."""
        event: dict[str, Any] = {
            "type": event_type,
            "room_id": room_id,
            "sender": sender,
            "user_id": sender,
            "content": content,
            "origin_server_ts": now_ms(),
            "event_id": f"${next(self._event_ids):043d}",
            "unsigned": {"age": 17},
            "age": 17,
        }
        if state_key is not None:
            event["state_key"] = state_key
        return event

    def say(self, room_id: str, body: str, sender: str = "@alice:localhost") -> None:
        """Push a text message that wants exactly one answer with the same body."""
        self.record.expect(room_id, body)
        self.push([self.event(room_id, sender, "m.room.message", {"msgtype": "m.text", "body": body})])

    def push(self, events: Iterable[dict[str, Any]]) -> None:
        """Queue events for the service."""
        new = list(events)
        self.history.extend(new)
        self._queue.extend(new)
        self._wake.set()

    # Waiting and counting

    async def wait_for(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until the condition holds; it is tested after each request of the service and each transaction.
        Raises ``TimeoutError`` with the counts."""
        if condition():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = (condition, future)
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            raise TimeoutError(f"after {seconds:g} s not yet: {what}; {self.report()}") from None
        finally:
            self._waiters.remove(waiter)

    async def wait_answers(self, count: int, seconds: float) -> None:
        """Wait until this many messages are answered."""
        await self.wait_for(lambda: self.record.answered >= count, seconds, f"{count} answers")

    async def wait_all(self, seconds: float) -> None:
        """Wait until every message so far is answered and every transaction is accepted."""
        wanted = len(self.record.expected)
        await self.wait_for(
            lambda: (
                self.record.answered >= wanted
                and not self._queue
                and all(batch[0] in self._abandoned for batch in self._unsent)
            ),
            seconds,
            f"{wanted} answers and no transaction left",
        )

    def report(self) -> Report:
        """The counts so far."""
        record = self.record
        pushed = len(record.expected)
        return Report(
            pushed=pushed,
            accepted=self.accepted,
            answered=record.answered,
            lost=pushed - record.answered,
            repeated=record.repeated,
            out_of_order=record.out_of_order,
            recognised_resends=record.recognised_resends,
            collisions=record.collisions,
            other=record.other,
            transactions=self.transactions,
            redelivered=self.redelivered,
            pings=self.pings,
        )

    def _progress(self) -> None:
        for condition, future in self._waiters:
            if not future.done() and condition():
                future.set_result(None)

    # Transactions

    def _next_batch(self) -> Batch:
        events = [self._queue.popleft() for _ in range(min(MAX_EVENTS, len(self._queue)))]
        body = orjson.dumps({"events": events, "ephemeral": [], "de.sorunome.msc2409.to_device": []})
        return next(self._txn_ids), body, len(events)

    async def _pump(self) -> None:
        """Deliver new transactions, and after a failure everything unsent from the oldest on (Synapse's recoverer)."""
        failures = 0
        while True:
            await self._up.wait()
            if not self._marked_down:
                if not self._queue:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                batch = self._next_batch()
                self._unsent.append(batch)
            else:
                batch = self._unsent[0]
            self._kick.clear()
            if await self._deliver(*batch):
                failures = 0
                self._unsent.remove(batch)
                self._marked_down = self._marked_down and bool(self._unsent)
                self._progress()
                continue
            self._marked_down = True
            failures += 1
            self.redelivered += 1
            self._progress()
            pause = min(self.backoff * 2 ** (failures - 1), self.backoff_max)
            try:
                async with asyncio.timeout(pause):
                    await self._kick.wait()
            except TimeoutError:
                pass  # the backoff is over

    async def _deliver(self, txn_id: int, body: bytes, count: int) -> bool:
        path = f"/_matrix/app/v1/transactions/{txn_id}"
        self.accepted_first = self.accepted_first or time.perf_counter()
        try:
            status, _ = await self._client.request("PUT", path, body, self.hs_token)
        except (OSError, EOFError):
            return False
        if status != 200:
            return False
        self.transactions += 1
        if self.on_transaction is not None:
            self.on_transaction(self.transactions)
        if self.faults.drop_ack_every and self.transactions % self.faults.drop_ack_every == 0:
            return False
        self.accepted += count
        self.accepted_last = time.perf_counter()
        return True

    async def _ping(self, request: Request) -> None:
        body = orjson.dumps({"transaction_id": request.json().get("transaction_id")})
        started = time.perf_counter()
        try:
            status, answer = await self._ping_client.request("POST", "/_matrix/app/v1/ping", body, self.hs_token)
        except (OSError, EOFError) as failure:
            request.respond(*error(502, "M_CONNECTION_FAILED", str(failure)))
            return
        if status != 200:
            more = {"status": status, "body": answer.decode(errors="replace")}
            request.respond(*error(502, "M_BAD_STATUS", f"HTTP {status}", **more))
            return
        self.pings += 1
        self._kick.set()
        request.respond(200, {"duration_ms": int((time.perf_counter() - started) * 1000)})
        self._progress()

    # Requests of the service

    def _handle(self, request: Request) -> None:
        try:
            self._route(request)
        except orjson.JSONDecodeError as failure:
            request.respond(*error(400, "M_NOT_JSON", f"Content not JSON: {failure}"))

    def _route(self, request: Request) -> None:
        if self.faults.status:
            request.respond(*error(self.faults.status, "M_UNKNOWN", "Internal server error"))
            self.refused += 1
            self._progress()
            return
        path = request.path
        if path == "/_matrix/client/versions":
            request.respond(200, {"versions": [f"v1.{n}" for n in range(1, 14)], "unstable_features": {}})
            return
        query = request.query
        token = request.token or query.get("access_token", "")
        if path.startswith("/_fake/"):
            self._control(request)
            return
        if token != self.as_token:
            request.respond(*error(401, "M_UNKNOWN_TOKEN", "Invalid access token passed."))
            return
        user_id = query.get("user_id", self.sender)
        device_id = query.get("device_id")
        if device_id is not None and device_id not in self.api.account(user_id).devices:
            request.respond(*error(400, "M_UNKNOWN_DEVICE", f"no device {device_id} of {user_id}"))
            return
        parts = path.split("/")
        if request.method == "PUT" and len(parts) == 9 and parts[6] in {"send", "redact"}:
            self._send(request, user_id, device_id, parts[5], parts[7], parts[8])
        elif path == f"/_matrix/client/v1/appservice/{self.service_id}/ping":
            self._own(self._ping(request))
        else:
            self.api.handle(request, user_id, device_id)
            self._progress()

    def _decode(self, text: str) -> str:
        found = self._decoded.get(text)
        if found is None:
            found = self._decoded[text] = unquote(text)
        return found

    def _send(
        self, request: Request, user_id: str, device_id: str | None, room_part: str, kind: str, txn_part: str
    ) -> None:
        faults = self.faults
        self._sends += 1
        if faults.limit_every and self._sends % faults.limit_every == 0:
            request.respond(*error(429, "M_LIMIT_EXCEEDED", "Too Many Requests", retry_after_ms=faults.retry_after_ms))
            return
        if faults.fail_every and self._sends % faults.fail_every == 0:
            request.respond(*error(502, "M_UNKNOWN", "Bad gateway"))
            return
        room_id, event_type, txn_id = self._decode(room_part), self._decode(kind), unquote(txn_part)
        room = self.rooms.get(room_id)
        if room is None or not room.is_joined(user_id):
            request.respond(*error(403, "M_FORBIDDEN", f"User {user_id} not in room {room_id}"))
            return
        event_id = self._store(request, user_id, device_id, room_id, event_type, txn_id)
        if faults.lose_every and self._sends % faults.lose_every == 0:
            request.drop()
            return
        answer = b'{"event_id":"%b"}' % event_id.encode()
        if faults.send_delay:
            asyncio.get_running_loop().call_later(faults.send_delay, request.respond, 200, answer)
        else:
            request.respond(200, answer)

    def _store(
        self, request: Request, user_id: str, device_id: str | None, room_id: str, event_type: str, txn_id: str
    ) -> str:
        cached = self._by_path.get(request.path)
        if cached is not None:
            if cached[1] == user_id:
                self.record.recognised_resends += 1
            else:
                self.record.collisions += 1
            return cached[0]
        key = (user_id, device_id, room_id, txn_id) if device_id is not None else None
        event_id = self._by_device.get(key) if key is not None else None
        if event_id is not None:
            self.record.recognised_resends += 1
            self._by_path[request.path] = (event_id, user_id)
            return event_id
        content = request.json()
        event = self.event(room_id, user_id, event_type, content)
        event_id = str(event["event_id"])
        self._by_path[request.path] = (event_id, user_id)
        if key is not None:
            self._by_device[key] = event_id
        record = self.record
        record.puts += 1
        record.add(Sent(event_id, room_id, user_id, device_id, event_type, txn_id, content, time.perf_counter()))
        if self.loopback:
            self.push([event])
        self._progress()
        if self.on_put is not None:
            self.on_put(record.puts)
        return event_id

    # As a process

    def _control(self, request: Request) -> None:
        if request.path == "/_fake/faults" and request.method == "POST":
            self.faults = Faults(**request.json())
        elif request.path == "/_fake/say" and request.method == "POST":
            for room_id, body in request.json():
                self.say(room_id, body)
        elif request.path != "/_fake/report":
            request.respond(*error(404, "M_UNRECOGNIZED", "report, faults or say"))
            return
        request.respond(200, asdict(self.report()))


def flood(homeserver: FakeHomeserver, rooms: list[str], events: int, tag: str = "m") -> None:
    """Queue ``events`` messages over the rooms in turn."""
    for number in range(events):
        homeserver.say(rooms[number % len(rooms)], f"{tag} {number}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.fake_homeserver", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--appservice-port", type=int, required=True)
    parser.add_argument("--as-token", required=True)
    parser.add_argument("--hs-token", required=True)
    parser.add_argument("--bot", default="echo", help="localpart of the bot that is in every room")
    parser.add_argument("--device", action="append", default=[], help="a device that the bot already has")
    parser.add_argument("--rooms", type=int, default=20)
    parser.add_argument("--events", type=int, default=0, help="messages to push at once; more by POST /_fake/say")
    parser.add_argument("--send-delay", type=float, default=0, help="seconds until a send is answered")
    parser.add_argument("--loopback", action="store_true", help="the bot's messages come back to the service")
    return parser.parse_args()


async def _main(options: argparse.Namespace) -> None:
    homeserver = FakeHomeserver(
        appservice_port=options.appservice_port,
        as_token=options.as_token,
        hs_token=options.hs_token,
        port=options.port,
        loopback=options.loopback,
    )
    homeserver.faults.send_delay = options.send_delay
    bot = f"@{options.bot}:{homeserver.server_name}"
    rooms = [homeserver.add_room([f"@alice:{homeserver.server_name}", bot]).room_id for _ in range(options.rooms)]
    for device_id in options.device:
        homeserver.api.account(bot).devices[device_id] = Device(device_id)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await homeserver.start()
    print(json.dumps({"url": homeserver.url, "rooms": rooms}), flush=True)
    flood(homeserver, rooms, options.events)
    await stop.wait()
    await homeserver.stop()
    print(json.dumps(asdict(homeserver.report())), flush=True)


if __name__ == "__main__":
    import uvloop

    uvloop.run(_main(_arguments()))
