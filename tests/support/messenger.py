"""A world in which the messenger runs: the real engine, services and features on a real database, and a homeserver of
memory that checks who may do what.

    async with MessengerWorld(database) as world:
        alice, bob = world.person("alice"), world.person("bob")
        chat = await world.chats.create(Actor.person(alice.user_id), Kind.GROUP, name="Tea", key="1")
        await alice.joins(chat.room_id)
        await world.settle()
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Self, cast

from pydantic import SecretStr
from sqlalchemy import Connection

from appservice.clock import ManualClock
from appservice.config import Config
from appservice.config.models import AppService, Encryption, Engine
from appservice.config.models import Homeserver as HomeserverSection
from appservice.consumer import Consumer, Dispatch
from appservice.database import Database
from appservice.events import Event, InternalEvent, Transaction
from appservice.homeserver import Homeserver
from appservice.inbox import Inbox
from appservice.metrics import Metrics
from appservice.outbox import Outbox
from appservice.rooms import Rooms
from appservice.sealing import Sealer
from appservice.unit import UnitOfWork
from appservice.worker import Worker
from appservice.writer import Writer
from bots.framework.testing.memory import MemoryDatabase
from bridge.chats import Chats
from bridge.messenger import Ground, Messenger
from bridge.notices import NOTICE
from tests.support.fake_rooms import MEMBER, RawEvent, Room
from tests.support.fake_rooms_api import FakeRoomServer

if TYPE_CHECKING:
    from bridge.chats.members import MemberService
    from bridge.chats.service import ChatService

SERVER: Final = "world"
STEWARD: Final = f"@_rialto:{SERVER}"
HUB: Final = f"@rialto:{SERVER}"
HUB_CONSUMER: Final = f"hub:{HUB}"
PICKLE_KEY: Final = "the pickle key of a world"
MEGOLM: Final = "m.megolm.v1.aes-sha2"
PATIENCE_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Told:
    """A notice that ``@rialto`` was asked to tell a person."""

    person: str
    code: str
    values: Mapping[str, Any]


class Person:
    """Somebody with a client. What they do goes through the homeserver's checks: ``HomeserverError`` says no.

    Everything that happens because of it has happened when a call returns.
    """

    def __init__(self, world: MessengerWorld, user_id: str) -> None:
        self._world = world
        self._numbers = itertools.count(1)
        self.user_id = user_id

    def __str__(self) -> str:
        return self.user_id

    async def says(self, room_id: str, body: str, **content: Any) -> str:
        """Send a text; in an encrypted room nobody but its members can read it. The event id."""
        return await self.sends(room_id, "m.room.message", {"msgtype": "m.text", "body": body, **content})

    async def sends(self, room_id: str, event_type: str, content: Mapping[str, Any]) -> str:
        """Send an event, encrypted where the room is (but reactions and redactions); its id."""
        if self._world.is_encrypted(room_id) and event_type not in {"m.reaction", "m.room.redaction"}:
            # As clients do: relations and Rialto's own marks stay readable outside of the ciphertext.
            clear = {key: value for key, value in content.items() if key == "m.relates_to" or key.startswith("chat.")}
            event_type, content = "m.room.encrypted", {
                "algorithm": MEGOLM, "ciphertext": f"secret {next(self._numbers)}", "session_id": "s", **clear,
            }  # fmt: skip
        txn = f"{self.user_id} {next(self._numbers)}"
        event_id = await self._world.homeserver.send_event(self.user_id, "D", room_id, event_type, txn, content)
        await self._world.settle()
        return event_id

    async def reacts(self, room_id: str, event_id: str, key: str) -> str:
        """React to an event."""
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
        return await self.sends(room_id, "m.reaction", {"m.relates_to": relation})

    async def redacts(self, room_id: str, event_id: str, reason: str | None = None) -> str:
        """Redact an event."""
        txn = f"{self.user_id} {next(self._numbers)}"
        found = await self._world.homeserver.redact(self.user_id, "D", room_id, event_id, txn, reason)
        await self._world.settle()
        return found

    async def reads(self, room_id: str, event_id: str) -> None:
        """Send a read receipt."""
        await self.asks("POST", f"/_matrix/client/v3/rooms/{room_id}/receipt/m.read/{event_id}", {})

    async def joins(self, room: str) -> str:
        """Join a room by id or alias; its id."""
        answer = await self.asks("POST", f"/_matrix/client/v3/join/{_quoted(room)}", {})
        return str(answer["room_id"])

    async def knocks(self, room: str, reason: str = "") -> None:
        """Ask to be let in."""
        await self.asks("POST", f"/_matrix/client/v3/knock/{_quoted(room)}", {"reason": reason} if reason else {})

    async def leaves(self, room_id: str) -> None:
        """Leave."""
        await self.asks("POST", f"/_matrix/client/v3/rooms/{room_id}/leave", {})

    async def invites(self, room_id: str, other: Person | str, reason: str = "") -> None:
        """Invite somebody."""
        await self._act(room_id, "invite", other, reason)

    async def kicks(self, room_id: str, other: Person | str, reason: str = "") -> None:
        """Remove somebody."""
        await self._act(room_id, "kick", other, reason)

    async def bans(self, room_id: str, other: Person | str, reason: str = "") -> None:
        """Ban somebody."""
        await self._act(room_id, "ban", other, reason)

    async def sets(self, room_id: str, event_type: str, content: Mapping[str, Any], state_key: str = "") -> str:
        """Set state; the event's id."""
        event_id = await self._world.homeserver.send_state(self.user_id, room_id, event_type, state_key, content)
        await self._world.settle()
        return event_id

    async def makes_room(self, **body: Any) -> str:
        """Make a room without the messenger; its id."""
        answer = await self.asks("POST", "/_matrix/client/v3/createRoom", body)
        return str(answer["room_id"])

    async def asks(self, method: str, path: str, body: Any = None) -> Any:
        """Any other request."""
        answer = await self._world.homeserver.request(method, path, user_id=self.user_id, body=body)
        await self._world.settle()
        return answer

    async def _act(self, room_id: str, verb: str, other: Person | str, reason: str) -> None:
        body = {"user_id": str(other)} | ({"reason": reason} if reason else {})
        await self.asks("POST", f"/_matrix/client/v3/rooms/{room_id}/{verb}", body)


class MessengerWorld:
    """The messenger, its engine, and people. ``async with`` starts and stops it."""

    def __init__(
        self,
        database: Database | None = None,
        *,
        messenger: Mapping[str, Any] | None = None,
        consumers: Callable[[MessengerWorld], Iterable[Consumer]] = lambda _world: (),
        hub: bool | Callable[[MessengerWorld], Consumer] = True,
        running: bool = False,
        clock: ManualClock | None = None,
        homeserver: FakeRoomServer | None = None,
        **sections: Any,
    ) -> None:
        """
        Args:
            database: started and empty, as the fixture ``database`` of the store tests gives it; one in memory unless
                told.
            messenger: what the section ``messenger`` of the configuration says.
            consumers: more consumers (bots), made at each start of the service.
            hub: whether there is ``@rialto``, who tells people; :attr:`told` is what it was asked to tell.
                One that is made by a function takes its place, and nothing is noted.
            running: whether what runs by itself runs (``Messenger.run``). Tests mostly call a service's ``run_due``.
            homeserver: another world's, to live on with its rooms.
            sections: other sections of the configuration.
        """
        self.clock = clock or ManualClock()
        self._own_database = MemoryDatabase() if database is None else None
        self.database: Database = database or cast(Database, self._own_database)
        self.homeserver = homeserver or FakeRoomServer(SERVER, self.clock.now_ms, self._happened, self._passed, STEWARD)
        self.config = Config.model_validate(
            {
                "homeserver": HomeserverSection(server_name=SERVER),
                "appservice": AppService(as_token=SecretStr("as" * 20), hs_token=SecretStr("hs" * 20)),
                "encryption": Encryption(pickle_key=SecretStr(PICKLE_KEY)),
                "engine": Engine(attempts=3, backoff=0.001, backoff_max=0.001, concurrency=4, handler_timeout=10),
                "messenger": dict(messenger or {}),
                **sections,
            }
        )
        self.told: list[Told] = []
        self.failures: list[BaseException] = []
        """What features raised, in order. :meth:`stop` raises the first, unless a test has cleared them."""
        self.people: dict[str, Person] = {}
        self.restarts = 0
        self.held = False
        """While True, events wait at the homeserver: the service is down for them."""
        self._hub = hub
        self._run = running
        self._make = consumers
        self._waiting: list[RawEvent] = []
        self._ephemeral: list[dict[str, Any]] = []
        self._txns = itertools.count(1)
        self._running = False
        self._ever = False

    # Who is there

    def person(self, name: str, server: str = SERVER) -> Person:
        """Somebody, the same for the same name; ``server`` for people of other homeservers."""
        user_id = f"@{name}:{server}"
        self.homeserver.profiles.setdefault(user_id, {"displayname": name.capitalize()})
        return self.people.setdefault(user_id, Person(self, user_id))

    def room(self, room_id: str) -> Room:
        """A room as the homeserver has it."""
        return self.homeserver.rooms[room_id]

    def is_encrypted(self, room_id: str) -> bool:
        """Whether a room is end-to-end encrypted."""
        return ("m.room.encryption", "") in self.room(room_id).state

    def told_to(self, person: Person | str) -> list[Told]:
        """What a person was told."""
        return [told for told in self.told if told.person == str(person)]

    def codes(self, person: Person | str) -> list[str]:
        """The codes of it."""
        return [told.code for told in self.told_to(person)]

    @property
    def chats(self) -> ChatService:
        """Chats."""
        return self.messenger.chats

    @property
    def members(self) -> MemberService:
        """Members."""
        return self.messenger.members

    # What happens

    def _happened(self, event: RawEvent) -> None:
        """The homeserver pushes what concerns the service's users."""
        room = self.homeserver.rooms[event["room_id"]]
        ours = {STEWARD, *self._bots}
        concerned = event["type"] == MEMBER and event.get("state_key") in ours
        if concerned or event["sender"] in ours or any(room.membership(user_id) == "join" for user_id in ours):
            self._waiting.append(deepcopy(event))

    def _passed(self, edu: dict[str, Any]) -> None:
        room = self.homeserver.rooms[edu["room_id"]]
        if any(room.membership(user_id) == "join" for user_id in {STEWARD, *self._bots}):
            self._ephemeral.append(edu)

    @property
    def _bots(self) -> set[str]:
        return {HUB} if self._hub else set()

    async def settle(self) -> None:
        """Wait until everything that is to happen now has happened: events are worked, messages are sent."""
        if not self._running:
            return
        while not self.held:
            waiting, self._waiting = self._waiting, []
            passing, self._ephemeral = self._ephemeral, []
            if waiting:
                # Synapse: at most 100 events in a transaction.
                for begin in range(0, len(waiting), 100):
                    part = tuple(waiting[begin : begin + 100])
                    items, _ = await self.inbox.store(Transaction(f"txn{next(self._txns)}", part))
                    self.worker.dispatch(items)
            for edu in passing:
                for consumer in self.dispatch.all():
                    await consumer.ephemeral(deepcopy(edu))
            await self._rest()
            if not self._waiting and not self._ephemeral:
                return
        await self._rest()

    async def _rest(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        turns, left = 0, 0
        while self.worker.pending or self.outbox.pending:
            await asyncio.sleep(0 if turns < 20 else 0.001)
            turns += 1
            before, left = left, self.worker.pending + self.outbox.pending
            if left < before:
                deadline = time.monotonic() + PATIENCE_S
            if time.monotonic() > deadline:
                raise AssertionError(f"the world does not come to rest: {self.failures[-3:]}")

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Let things happen until a condition holds; AssertionError when it does not in time."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"did not happen: {what or condition}"
            await asyncio.sleep(0.001)
            await self.settle()

    async def pass_time(self, **delta: float) -> None:
        """Time passes. Who waits on the clock goes on; what they then do is waited for with :meth:`until`."""
        self.clock.advance(timedelta(**delta))
        await asyncio.sleep(0)
        await self.settle()

    async def raise_events(self, work: Callable[[Connection], Iterable[InternalEvent]]) -> None:
        """As the service does."""
        self.worker.dispatch(await self.inbox.raise_events(work))

    # The service

    async def start(self) -> Self:
        """Start the service."""
        if not self._ever and self._own_database is not None:
            await self._own_database.start()
        self._ever = True
        self.homeserver.dead = False
        homeserver = cast(Homeserver, self.homeserver)
        self.metrics = Metrics()
        self.rooms = KnownRooms(self.homeserver, self._bots)
        crypto = _NoCrypto()
        self.writer = Writer(self.database, self.metrics)
        self.inbox = Inbox(self.database, self.writer, 1, Sealer(PICKLE_KEY, "inbox"))
        readable = cast(Rooms, _Readable(self.homeserver, self._bots))
        self.outbox = Outbox(
            self.config, self.database, self.writer, homeserver, readable, cast(Any, crypto), self.metrics
        )
        self.dispatch = Dispatch([STEWARD, *self._bots])
        self.worker = Worker(
            self.config, self.inbox, self.outbox, self.writer, readable, crypto, self.dispatch, self.metrics
        )
        self.purposes = Chats(homeserver, self.database, STEWARD, SERVER)
        self.messenger = Messenger(
            Ground(
                config=self.config,
                database=self.database,
                homeserver=homeserver,
                rooms=cast(Rooms, self.rooms),
                raise_events=self.raise_events,
                clock=self.clock,
                metrics=self.metrics,
                chats=self.purposes,
                steward=STEWARD,
                hub=HUB if self._hub else "",
                hub_consumer=HUB_CONSUMER if self._hub else "",
                bots=frozenset(self._bots),
                url=lambda path: f"https://pages.world{path}",
                decrypt=crypto.decrypt,
            )
        )
        await self.writer.start()
        await self.inbox.start()
        await self.messenger.start()
        for feature in self.messenger.features:
            self.dispatch.add_everywhere(_Watched(feature, self.failures))
        if self._hub:
            self.dispatch.add_bot(self._hub(self) if callable(self._hub) else _Teller(self.told))
        for consumer in self._make(self):
            (self.dispatch.add_bot if consumer.user_id in self._bots else self.dispatch.add_everywhere)(consumer)
        await self.outbox.start()
        await self.worker.start()
        self._running = True
        if self._run:
            await self.messenger.run()
        return self

    async def stop(self) -> None:
        """Stop the service in its order."""
        if self._running:
            await self.settle()
            await self.messenger.stop()
            await self.worker.stop(5)
            await self.outbox.stop(5)
            await self.writer.stop()
            self._running = False
        if self.failures:
            raise AssertionError("a feature failed") from self.failures[0]

    async def kill(self) -> None:
        """End without finishing anything, as near to ``kill -9`` as one process comes. :meth:`start` goes on."""
        self.homeserver.dead = True
        self._running = False
        tasks = [*self.worker._tasks, *self.outbox._tasks.values()]
        tasks += [
            task for task in (self.worker._recorder._task, self.outbox._recorder._task, self.writer._task) if task
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.messenger.stop()
        # SQLite's thread ends what it has begun; the next service must not start before.
        await self.database.write(lambda _connection: None)

    async def restart(self, *, kill: bool = False) -> None:
        """Stop (or kill) the service and start it again; what is not in the database is lost."""
        await (self.kill() if kill else self.stop())
        self.restarts += 1
        await self.start()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.failures.clear()  # the test's own failure says more
        await self.stop()
        if self._own_database is not None:
            await self._own_database.stop()


class KnownRooms:
    """What the service knows of rooms, as :class:`appservice.rooms.Rooms` says it."""

    def __init__(self, homeserver: FakeRoomServer, bots: Iterable[str]) -> None:
        self._homeserver = homeserver
        self.service_users = frozenset({STEWARD, *bots})

    def bots_in(self, room_id: str) -> Sequence[str]:
        """The bots and the steward that are joined."""
        room = self._homeserver.rooms.get(room_id)
        return [] if room is None else [user for user in self.service_users if room.membership(user) == "join"]

    async def is_encrypted(self, room_id: str) -> bool:
        """Whether it is."""
        return ("m.room.encryption", "") in self._homeserver.rooms[room_id].state

    async def members(self, room_id: str) -> Mapping[str, str]:
        """Who is joined or invited."""
        room = self._homeserver.rooms[room_id]
        return {user: how for how in ("join", "invite") for user in room.members(how)}

    async def humans(self, room_id: str) -> Sequence[str]:
        """Those who are not the service's."""
        return [user_id for user_id in await self.members(room_id) if user_id not in self.service_users]

    async def shared(self, one: str, other: str, bot: str) -> str | None:
        """A room that all three have joined."""
        for room in self._homeserver.rooms.values():
            if all(room.membership(each) == "join" for each in (one, other, bot)):
                return room.room_id
        return None

    async def display_name(self, room_id: str, user_id: str) -> str | None:
        """A member's name."""
        return self._homeserver.rooms[room_id].content(MEMBER, user_id).get("displayname")

    async def sender_of(self, room_id: str, event_id: str, user_id: str) -> str | None:
        """Who sent an event."""
        event = self._homeserver.rooms[room_id].event(event_id)
        return None if event is None else str(event["sender"])

    async def apply(self, event: Event, raw: Mapping[str, Any]) -> None:
        """The homeserver has applied it already."""


class _Readable(KnownRooms):
    """What the engine knows of rooms: tests read in plain text what bots send."""

    async def is_encrypted(self, room_id: str) -> bool:
        return False


class _NoCrypto:
    """Only people encrypt here, and nobody of the service can read it: as for the steward, who has no device."""

    def device_id(self, user_id: str) -> str:
        return "WORLD"

    async def encrypt(self, user_id: str, room_id: str, event_type: str, content: Mapping[str, Any]) -> dict[str, Any]:
        raise AssertionError("nobody encrypts here")

    async def decrypt(self, user_id: str, event: Mapping[str, Any]) -> dict[str, Any]:
        if user_id == STEWARD:
            raise AssertionError("the steward has no device")
        content = event["content"]
        relation = {key: content[key] for key in ("m.relates_to",) if key in content}
        return {"type": "m.room.message", "content": {"msgtype": "m.text", "body": content["ciphertext"], **relation}}

    async def room_changed(self, event: Mapping[str, Any]) -> None:
        """Nothing to do."""

    def event_came(self, user_id: str) -> None:
        """Nothing to do."""


class _Watched:
    """A consumer whose failures a test sees."""

    def __init__(self, inner: Consumer, failures: list[BaseException]) -> None:
        self._inner = inner
        self._failures = failures
        self.name, self.user_id = inner.name, inner.user_id
        self.wants, self.unreadable = inner.wants, inner.unreadable
        self.gave_up, self.ephemeral = inner.gave_up, inner.ephemeral

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        try:
            await self._inner.handle(event, unit)
        except Exception as error:
            self._failures.append(error)
            raise


class _Teller:
    """``@rialto``, as far as it tells people what the messenger has for them."""

    name = HUB_CONSUMER
    user_id = HUB

    def __init__(self, told: list[Told]) -> None:
        self._told = told

    def wants(self, event: Event) -> bool:
        return False

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        if event.type == NOTICE:
            told = Told(event.sender, str(event.content["code"]), event.content["values"])
            unit.after_commit(lambda: self._told.append(told))

    async def unreadable(self, event: Event, unit: UnitOfWork, reason: str) -> None:
        """Never."""

    async def gave_up(self, event: Event, unit: UnitOfWork) -> None:
        """Never."""

    async def ephemeral(self, event: Mapping[str, Any]) -> None:
        """Never."""


def _quoted(room: str) -> str:
    return room.replace("#", "%23").replace("!", "%21")
