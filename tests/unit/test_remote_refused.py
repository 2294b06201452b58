"""What a plugin outside must not do is refused with words that name why, and Rialto goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from appservice import json
from appservice.sealing import Sealer
from bots.framework.bot import BotUser
from bots.framework.remote import (
    API,
    Limits,
    Manifest,
    RemoteConsumer,
    RemoteGateway,
    RemoteTokenError,
    consumer,
    protocol,
)
from bots.framework.remote.session import ServeError, Server
from bots.framework.testing.memory import MemoryDatabase
from bots.store import dialogs as dialogs_sql
from bots.store.dialogs import Change, DialogRow
from bots.store.tables import DialogState
from tests.store.harness import ALICE, BOT, OTHER, ROOM, until
from tests.support.remote import PICKLE, TOKEN, Rialto, served

FOREIGN = "!foreign:localhost"
APOLOGY = "Sorry, something went wrong on my side and I could not answer. The operator knows."


@pytest.fixture
async def database() -> AsyncIterator[MemoryDatabase]:
    """In memory."""
    made = MemoryDatabase()
    await made.start()
    yield made
    await made.stop()


@asynccontextmanager
async def running(database: MemoryDatabase, **options: Any) -> AsyncIterator[Rialto]:
    """A Rialto with options."""
    one = await Rialto(database, **options).start()
    try:
        yield one
    finally:
        await one.stop()


@pytest.fixture
async def rialto(database: MemoryDatabase) -> AsyncIterator[Rialto]:
    """A Rialto that bounds what it takes a little tighter."""
    async with running(database, limits=Limits(calls=4, frames_per_s=1, burst=200, refusals=5)) as one:
        yield one


class Raw:
    """The plugin's end of a connection, as somebody may write it who means harm."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.calls = 0

    async def send(self, frame: Any) -> None:
        """A frame, as text."""
        await self.socket.send_str(frame if isinstance(frame, str) else json.dumps(frame).decode())

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next frame of a type; the others are passed over."""
        while True:
            message = await self.socket.receive(10)
            assert message.type is aiohttp.WSMsgType.TEXT, f"{message.type} {self.socket.close_code}"
            frame: dict[str, Any] = json.loads(message.data)
            if frame["type"] == kind:
                return frame

    async def ended(self) -> int | None:
        """Wait for the end of the connection; the code that it was closed with."""
        while not self.socket.closed:
            await self.socket.receive(10)
        return self.socket.close_code

    async def call(self, op: str, **args: Any) -> dict[str, Any]:
        """A call, and the frame that answers it."""
        self.calls += 1
        await self.send({"type": "call", "id": self.calls, "op": op, "args": args, "event": None})
        return await self.hear("result")

    async def greet(self, **changes: Any) -> None:
        """Say hello, with something changed."""
        plugin = {**Manifest.of(served().plugin).out(), **changes.pop("plugin", {})}
        await self.send({"type": "hello", "protocols": [1], "api": API, "plugin": plugin, **changes})

    async def join(self, **plugin: Any) -> None:
        """Become ready."""
        await self.greet(plugin=plugin)
        await self.hear("welcome")
        await self.send({"type": "ready"})


@asynccontextmanager
async def raw(rialto: Rialto, token: str = TOKEN) -> AsyncIterator[Raw]:
    """A connection without a framework."""
    async with aiohttp.ClientSession() as client:
        headers = {"Authorization": f"Bearer {token}"}
        async with client.ws_connect(
            rialto.url, headers=headers, timeout=aiohttp.ClientWSTimeout(ws_close=1)
        ) as socket:
            yield Raw(socket)


async def still_works(rialto: Rialto) -> None:
    """A plugin that behaves is served as if nothing had been."""
    server = Server(served(), rialto.url, TOKEN, backoff=0.01, backoff_max=0.05)
    task = asyncio.create_task(server.run())
    await until(lambda: server.ready.is_set() or task.done(), "a good plugin connects")
    await rialto.says("well?")
    assert rialto.bodies()[-1] == "re: well?"
    server.stop()
    await task


# Who they are


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ÿ"])
async def test_unknown_token(rialto: Rialto, header: str) -> None:
    """401, and nothing else."""
    async with aiohttp.ClientSession() as client:
        url = rialto.url.replace("ws:", "http:")
        async with client.get(url, headers={"Authorization": header}) as answer:
            assert answer.status == 401
            assert await answer.json() == {"error": "unknown_token", "message": "this token is of no plugin"}
        assert rialto.gateway.refused == 1


async def test_no_websocket(rialto: Rialto) -> None:
    """A request with the token and without an upgrade."""
    async with aiohttp.ClientSession() as client:
        url = rialto.url.replace("ws:", "http:")
        async with client.get(url, headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            assert answer.status == 426


async def test_tokens(rialto: Rialto) -> None:
    """Short ones and shared ones are refused when they are configured."""
    gateway = RemoteGateway()
    other = RemoteConsumer("other", "other", BotUser(OTHER, "Other"), rialto.consumer.services, bots_in=lambda _: ())
    with pytest.raises(RemoteTokenError, match="32 characters"):
        gateway.add(other, "short")
    gateway.add(rialto.consumer, TOKEN)
    with pytest.raises(RemoteTokenError, match="same token"):
        gateway.add(other, TOKEN)
    assert TOKEN not in repr(vars(gateway))


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"protocols": [2, 3]}, "protocol_version", "version 1 of the protocol, and the plugin's side 2, 3"),
        ({"protocols": []}, "protocol_version", "none"),
        ({"api": "2.0"}, "api_version", "plugin API"),
        ({"plugin": {"plugin": "other"}}, "wrong_plugin", "'served'"),
        ({"plugin": {"scopes": ["payments.charge"]}}, "scope_missing", "payments.charge"),
        ({"plugin": {"scopes": ["everything"]}}, "unknown_scope", "everything"),
    ],
)
async def test_hello_that_does_not_fit(rialto: Rialto, changes: dict[str, Any], code: str, words: str) -> None:
    """Said in an error frame that names why, and that trying again would not help."""
    async with raw(rialto) as plugin:
        await plugin.greet(**changes)
        error = await plugin.hear("error")
        assert (error["code"], error["again"]) == (code, False)
        assert words in error["human"]
        assert await plugin.ended() == protocol.Close.REFUSED
    assert rialto.consumer.counts == {code: 1}
    assert not rialto.consumer.connected


@pytest.mark.parametrize(
    "first",
    [
        "",
        "{",
        "[]",
        "null",
        '{"type": 1}',
        '{"type": "done", "event": 1}',
        '{"type": "hello"}',
        '{"type": "hello", "protocols": "1", "api": "1.0"}',
        '{"type": "hello", "protocols": [1], "api": "1.0", "plugin": []}',
        '{"type": "hello", "protocols": [1], "api": "1.0", "plugin": {"plugin": 1}}',
        '{"type": "hello", "x": ' + "[" * 100 + "]" * 100 + "}",
        '{"type": "hello", "x": ' + "[" * 200_000 + "]" * 200_000 + "}",
    ],
)
async def test_first_frame_that_is_no_hello(rialto: Rialto, first: str) -> None:
    """Malformed in many ways."""
    async with raw(rialto) as plugin:
        await plugin.send(first)
        assert (await plugin.hear("error"))["code"] in {"malformed", "protocol_version"}
        assert await plugin.ended() == protocol.Close.REFUSED
    await still_works(rialto)


async def test_silence(rialto: Rialto, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who says nothing is sent away."""
    monkeypatch.setattr(protocol, "HANDSHAKE_S", 0.05)
    async with raw(rialto) as plugin:
        assert (await plugin.hear("error"))["code"] == "slow"
        assert await plugin.ended() == protocol.Close.REFUSED


# What they send


@pytest.mark.parametrize(
    "frame",
    [
        "nonsense",
        '{"type": "sing"}',
        '{"type": "welcome"}',
        '{"type": "call", "id": -1, "op": "state.read"}',
        '{"type": "call", "id": 1, "op": 7}',
        '{"type": "done", "event": "1"}',
        '{"type": "call", "id": 1, "op": "media.upload", "args": {"size": 99999999999}}',
    ],
)
async def test_malformed_frames(rialto: Rialto, frame: str) -> None:
    """The connection is ended with a reason."""
    async with raw(rialto) as plugin:
        await plugin.join()
        await plugin.send(frame)
        assert (await plugin.hear("error"))["code"] in {"malformed", "too_much"}
        assert await plugin.ended() == protocol.Close.REFUSED
    await until(lambda: not rialto.consumer.connected)
    await still_works(rialto)


async def test_huge_frame(rialto: Rialto) -> None:
    """Closed by its size, before it is read."""
    async with raw(rialto) as plugin:
        await plugin.join()
        with suppress(ConnectionError):
            await plugin.send(" " * (protocol.MAX_FRAME + 1))
        assert await plugin.ended() == protocol.Close.TOO_BIG
    await until(lambda: not rialto.consumer.connected)
    assert rialto.consumer.counts["too_big"] == 1
    await still_works(rialto)


async def test_binary_frames(rialto: Rialto) -> None:
    """Pieces of no file are dropped, too short ones are an error, too many bytes too."""
    async with raw(rialto) as plugin:
        await plugin.join()
        await plugin.socket.send_bytes(protocol.piece(77, b"nobody asked"))
        assert "value" in await plugin.call("room.humans", room_id=ROOM)
        await plugin.socket.send_bytes(b"1234")
        assert (await plugin.hear("error"))["code"] == "malformed"
        assert await plugin.ended() == protocol.Close.REFUSED
    async with raw(rialto) as plugin:
        await plugin.join()
        args = {"kind": "file", "size": 3, "encrypted": False}
        await plugin.send({"type": "call", "id": 1, "op": "media.upload", "args": args})
        await plugin.socket.send_bytes(protocol.piece(1, b"four"))
        assert (await plugin.hear("error"))["code"] == "too_much"
    await still_works(rialto)


async def test_flood_of_frames(rialto: Rialto) -> None:
    """More than its rate, beyond what it may send at once."""
    async with raw(rialto) as plugin:
        await plugin.join()
        with suppress(ConnectionError):
            for _ in range(400):
                await plugin.send({"type": "done", "event": 4_711})
        with suppress(AssertionError, ConnectionError):
            assert (await plugin.hear("error"))["code"] == "flood"
        await plugin.ended()
    await until(lambda: not rialto.consumer.connected)
    assert rialto.consumer.counts == {"flood": 1}
    await still_works(rialto)


async def test_flood_of_calls(rialto: Rialto) -> None:
    """More calls at the same time than it may."""
    async with raw(rialto) as plugin:
        await plugin.join()
        args = {"kind": "file", "size": 3, "encrypted": False}
        for number in range(6):
            await plugin.send({"type": "call", "id": number, "op": "media.upload", "args": args})
        assert (await plugin.hear("error"))["code"] == "flood"
        assert await plugin.ended() == protocol.Close.REFUSED


async def test_too_much_that_is_refused(rialto: Rialto) -> None:
    """A plugin that tries again and again is sent away."""
    async with raw(rialto) as plugin:
        await plugin.join()
        for _ in range(5):
            assert (await plugin.call("database.drop"))["error"]["code"] == "unknown_operation"
        assert await plugin.ended() == protocol.Close.REFUSED
    assert rialto.consumer.counts == {"unknown_operation": 5}


@pytest.mark.parametrize(
    ("op", "args", "code"),
    [
        ("room.humans", {"room_id": FOREIGN}, "foreign_room"),
        ("room.members", {"room_id": FOREIGN}, "foreign_room"),
        ("room.encrypted", {"room_id": FOREIGN}, "foreign_room"),
        ("room.display_name", {"room_id": FOREIGN, "user_id": ALICE}, "foreign_room"),
        ("room.sender_of", {"room_id": FOREIGN, "event_id": "$1"}, "foreign_room"),
        ("room.typing", {"room_id": FOREIGN, "on": True}, "foreign_room"),
        ("room.read", {"room_id": FOREIGN, "event_id": "$1"}, "foreign_room"),
        ("room.direct", {"person": ALICE}, "scope_missing"),
        ("people.get", {"user_id": ALICE}, "scope_missing"),
        ("profile", {"user_id": "../../admin"}, "malformed"),
        ("state.read", {"scope": {"kind": "database"}, "key": "a"}, "malformed"),
        ("state.read", {"scope": {"kind": "plugin"}, "key": "\0"}, "malformed"),
        ("state.read", {"scope": {"kind": "room", "room_id": "!a b"}, "key": "a"}, "state_invalid"),
        ("dialog.event_ids", {"txn_ids": ["x"] * 3_000}, "malformed"),
        ("media.download", {"content": {"url": "https://localhost/"}}, "media_unusable"),
    ],
)
async def test_calls_that_are_refused(rialto: Rialto, op: str, args: dict[str, Any], code: str) -> None:
    """Rooms of others, scopes it does not have, what is no argument."""
    async with raw(rialto) as plugin:
        await plugin.join()
        assert (await plugin.call(op, **args))["error"]["code"] == code
        assert (await plugin.call("room.humans", room_id=ROOM))["value"] == [ALICE]
    assert rialto.homeserver.events == []


# What they want to happen


def text(room_id: str = ROOM, **changes: Any) -> dict[str, Any]:
    """A message as it stands in effects."""
    content = {"msgtype": "m.notice", "body": "psst"}
    message = {"kind": "event", "room_id": room_id, "user_id": BOT, "type": "m.room.message", "target": None}
    return {**message, "content": content, "ordinal": 0, **changes}


def row(**changes: Any) -> dict[str, Any]:
    """A dialog's row."""
    whole = {
        "id": "0" * 26,
        "room_id": ROOM,
        "owner": ALICE,
        "name": "ordering",
        "version": "",
        "arguments": "[[],{}]",
        "state": 1,
        "cause": "$1",
        "started_at": 1,
        "updated_at": 1,
        "people": [ALICE],
        "prompt": None,
        "waiting": None,
        "epoch": 0,
        "entries": 0,
        "size": 0,
        "revision": 0,
        "error": None,
        "expires_at": None,
    }
    return {**whole, **changes}


def save(**changes: Any) -> dict[str, Any]:
    """A change of a dialog."""
    return {"op": "dialog.save", "row": row(**changes), "first": 0, "entries": [], "cut": False}


def timer(**changes: Any) -> dict[str, Any]:
    """A schedule."""
    whole = {"key": "k", "kind": "rialto.timer", "rule": {"at": 1}, "catch_up": "once", "room_id": ROOM}
    return {"op": "schedule.put", **whole, "person": ALICE, "data": "null", "incarnation": "i", **changes}


MEMBER: dict[str, Any] = {
    "kind": "state",
    "type": "m.room.member",
    "target": OTHER,
    "content": {"membership": "invite"},
}


@pytest.mark.parametrize(
    ("effects", "code"),
    [
        (None, "malformed"),
        ({"messages": [text(FOREIGN)]}, "foreign_room"),
        ({"messages": [text(user_id=OTHER)]}, "foreign_user"),
        ({"messages": [text(), text(FOREIGN, ordinal=1)]}, "foreign_room"),
        ({"messages": [text(type="m.room.encrypted")]}, "not_allowed"),
        ({"messages": [text(**MEMBER)]}, "scope_missing"),
        ({"messages": [text(kind="presence")]}, "malformed"),
        ({"messages": [text(ordinal=-1)]}, "malformed"),
        ({"messages": [text(content="psst")]}, "malformed"),
        ({"messages": [text()] * 1_001}, "malformed"),
        ({"messages": [text()], "operations": [{"op": "sql", "text": "DROP TABLE outbox"}]}, "unknown_operation"),
        ({"messages": [text()], "operations": [save(id="../other")]}, "malformed"),
        ({"messages": [text()], "operations": [save(room_id=FOREIGN)]}, "foreign_room"),
        ({"messages": [text()], "operations": [save(arguments="{")]}, "malformed"),
        ({"messages": [text()], "operations": [save(waiting="[]")]}, "malformed"),
        ({"messages": [text()], "operations": [timer(room_id=FOREIGN)]}, "foreign_room"),
        ({"messages": [text()], "operations": [timer(kind="rialto.report")]}, "not_allowed"),
        ({"messages": [text()], "operations": [timer(catch_up="never")]}, "malformed"),
        (
            {"messages": [text()], "operations": [{"op": "people.language", "user_id": OTHER, "language": "de"}]},
            "foreign_person",
        ),
        (
            {
                "messages": [text()],
                "operations": [
                    {"op": "payment.request", "key": "k", "payer": ALICE, "minor": 1, "currency": "EUR", "to": "me"}
                ],
            },
            "scope_missing",
        ),
    ],
)
async def test_effects_that_are_refused(rialto: Rialto, effects: Any, code: str) -> None:
    """Nothing of the whole happens; the handler has failed, and the sender hears of it in the end."""
    async with raw(rialto) as plugin:
        await plugin.join()
        event_id = await rialto.hears("hello")
        for _ in range(2):  # attempts
            event = await plugin.hear("event")
            assert event["event"]["event_id"] == event_id
            await plugin.send({"type": "done", "event": event["id"], "effects": effects})
            error = await plugin.hear("error")
            assert (error["code"], error["event"]) == (code, event["id"])
        await rialto.engine.settled()
    assert [sent.content["body"] for sent in rialto.homeserver.events] == [APOLOGY]
    assert rialto.consumer.counts == {code: 2}
    await still_works(rialto)


async def test_dialog_of_another_plugin(rialto: Rialto, database: MemoryDatabase) -> None:
    """Cannot be read, and cannot be changed."""
    sealer = Sealer(PICKLE, "dialogs")
    mine = DialogRow(
        id="1" * 26,
        consumer=f"other:{BOT}",
        room_id=ROOM,
        owner=ALICE,
        name="secret",
        version="",
        arguments=b"[[],{}]",
        state=DialogState.WAITING,
        cause="$0",
        started_at=1,
        updated_at=1,
        people=(ALICE,),
    )
    await database.write(lambda connection: dialogs_sql.save(connection, sealer, Change(mine, 0)))
    async with raw(rialto) as plugin:
        await plugin.join()
        assert (await plugin.call("dialog.get", id=mine.id))["value"] is None
        assert (await plugin.call("dialog.journal", id=mine.id))["value"] == []
        assert (await plugin.call("dialog.active", room_id=ROOM, person=None))["value"] == []
        await rialto.hears("hello")
        for _ in range(2):
            event = await plugin.hear("event")
            effects = {"messages": [text()], "operations": [save(id=mine.id, revision=1, state=4)]}
            await plugin.send({"type": "done", "event": event["id"], "effects": effects})
        await rialto.engine.settled()
    found = await database.read(lambda connection: dialogs_sql.get(connection, sealer, mine.id))
    assert found is not None
    assert (found.state, found.consumer) == (DialogState.WAITING, mine.consumer)
    assert [sent.content["body"] for sent in rialto.homeserver.events] == [APOLOGY]


async def test_later_without_a_reason(rialto: Rialto) -> None:
    """A plugin cannot hold up a room by saying “later” for ever."""
    async with raw(rialto) as plugin:
        await plugin.join()
        await rialto.hears("hello")
        for _ in range(2):
            event = await plugin.hear("event")
            await plugin.send({"type": "failed", "event": event["id"], "error": "DatabaseError", "later": True})
        await rialto.engine.settled()
    assert rialto.bodies() == [APOLOGY]


async def test_waiting_at_its_own_wish(rialto: Rialto, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an event refers to may not be known yet: it waits, and not for ever."""
    async with raw(rialto) as plugin:
        await plugin.join()
        first = await rialto.hears("hello")
        for _ in range(5):
            event = await plugin.hear("event")
            await plugin.send({"type": "failed", "event": event["id"], "error": "Wait", "wait": 1})
        event = await plugin.hear("event")
        assert event["event"]["event_id"] == first
        await plugin.send({"type": "done", "event": event["id"], "effects": {"messages": [text()]}})
        await rialto.engine.settled()
        monkeypatch.setattr(consumer, "WAIT_S", -1)
        await rialto.hears("hello again")
        for _ in range(2):
            event = await plugin.hear("event")
            await plugin.send({"type": "failed", "event": event["id"], "error": "Wait", "wait": 1})
        await rialto.engine.settled()
    assert rialto.bodies() == ["psst", APOLOGY]


async def test_a_plugin_that_hangs(database: MemoryDatabase) -> None:
    """Its handler has failed after its time; it is told to stop, and an answer that comes later does not count."""
    async with running(database, handler_timeout=0.1) as rialto, raw(rialto) as plugin:
        await plugin.join()
        await rialto.hears("hello")
        numbers = []
        for _ in range(2):
            numbers.append((await plugin.hear("event"))["id"])
            assert (await plugin.hear("cancel"))["event"] == numbers[-1]
        for number in numbers:
            await plugin.send({"type": "done", "event": number, "effects": {"messages": [text()]}})
        await rialto.engine.settled()
        await rialto.hears("hello again")
        event = await plugin.hear("event")
        await plugin.send({"type": "done", "event": event["id"], "effects": {"messages": [text()]}})
        await rialto.engine.settled()
        assert rialto.bodies() == [APOLOGY, "psst"]


async def test_the_room_of_the_event(rialto: Rialto) -> None:
    """A bot that has just left a room answers there all the same, as a plugin inside would: the homeserver refuses."""
    async with raw(rialto) as plugin:
        await plugin.join()
        rialto.rooms.rooms.add(FOREIGN)
        await rialto.hears("hello", FOREIGN)
        event = await plugin.hear("event")
        rialto.rooms.rooms.discard(FOREIGN)
        call = {"type": "call", "id": 99, "op": "room.humans", "args": {"room_id": FOREIGN}, "event": event["id"]}
        await plugin.send(call)
        assert (await plugin.hear("result"))["value"] == [ALICE]
        assert (await plugin.call("room.humans", room_id=FOREIGN))["error"]["code"] == "foreign_room"
        await plugin.send({"type": "done", "event": event["id"], "effects": {"messages": [text(FOREIGN)]}})
        await rialto.engine.settled()
    assert rialto.bodies(FOREIGN) == ["psst"]


async def test_transaction_ids_are_rialtos(rialto: Rialto) -> None:
    """A key of the plugin's leads to no transaction id of another consumer's."""
    async with raw(rialto) as plugin:
        await plugin.join()
        await rialto.hears("hello")
        event = await plugin.hear("event")
        key = f"$x\u0000other:{BOT}\u00000"
        await plugin.send({"type": "done", "event": event["id"], "effects": {"messages": [text(key=key)]}})
        assert (await plugin.hear("error"))["code"] == "malformed"


async def test_places_need_a_scope(rialto: Rialto) -> None:
    """Where people are is not handed on without it."""
    place = {"msgtype": "m.location", "body": "Home, geo:1,2", "geo_uri": "geo:1,2", "m.location": {"uri": "geo:1,2"}}
    raw_event = {"event_id": "$place", "room_id": ROOM, "sender": ALICE, "type": "m.room.message", "content": place}
    async with raw(rialto) as plugin:
        await plugin.join()
        await rialto.engine.deliver(raw_event)
        event = await plugin.hear("event")
        assert event["event"]["content"] == {"msgtype": "m.location", "body": ""}


# Two of them, and what cannot be served


async def test_a_newer_connection_takes_over(rialto: Rialto) -> None:
    """The older process ends, and says why; what it was working is worked by the newer one, once."""
    async with raw(rialto) as older:
        await older.join()
        await rialto.hears("hello")
        await older.hear("event")
        async with raw(rialto) as newer:
            await newer.join()
            assert await older.ended() == protocol.Close.REPLACED
            event = await newer.hear("event")
            await newer.send({"type": "done", "event": event["id"], "effects": {"messages": [text()]}})
            await rialto.engine.settled()
    assert rialto.bodies() == ["psst"]


async def test_the_older_process_does_not_fight(rialto: Rialto) -> None:
    """It ends."""
    server = Server(served(), rialto.url, TOKEN, backoff=0.01)
    task = asyncio.create_task(server.run())
    await until(lambda: rialto.consumer.connected)
    async with raw(rialto) as newer:
        await newer.join()
        with pytest.raises(ServeError, match="taken over"):
            await asyncio.wait_for(task, 10)


async def test_serving_with_a_wrong_token(rialto: Rialto) -> None:
    """It ends, for trying again would not help."""
    with pytest.raises(ServeError, match="does not know this token"):
        await Server(served(), rialto.url, "x" * 40).run()


async def test_settings_that_do_not_do(database: MemoryDatabase) -> None:
    """The plugin's own model checks them; both sides hear, and the value stands nowhere."""
    async with running(database, settings={"effects": ["secret"]}) as rialto:
        with pytest.raises(ServeError, match="effects: string_type") as caught:
            await Server(served(), rialto.url, TOKEN).run()
        assert "secret" not in str(caught.value)
        await until(lambda: rialto.consumer.counts["unready"] == 1)


@pytest.mark.parametrize("url", ["http://localhost/plugins/v1", "ws://rialto.example.org/plugins/v1", "wss://", "x"])
def test_addresses(url: str) -> None:
    """A token does not cross a network readable."""
    with pytest.raises(ServeError):
        Server(served(), url, TOKEN)


def tick(**changes: Any) -> dict[str, Any]:
    """A schedule of a manifest."""
    return {"name": "tick", "rule": {"every": 60_000}, "catch_up": "once", **changes}


def named(name: str, **changes: Any) -> dict[str, Any]:
    """A command of a manifest."""
    return {"name": name, "help": "x", "aliases": [], "hidden": False, "permission": None, **changes}


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        ({"schedules": [tick(rule={"every": 1})]}, "schedule_invalid"),
        ({"schedules": [tick(rule={"every": "often"})]}, "schedule_invalid"),
        ({"schedules": [tick(rule={"every": 2**62})]}, "schedule_invalid"),
        ({"schedules": [tick(rule={"at": 2**62})]}, "schedule_invalid"),
        ({"schedules": [tick(rule={"at": None})]}, "schedule_invalid"),
        ({"schedules": [tick(rule={"cron": ["0 * * * *"]})]}, "schedule_invalid"),
        ({"schedules": [tick(rule={"cron": "0 * * * *", "zone": "../../etc"})]}, "schedule_invalid"),
        ({"schedules": [tick(rule={})]}, "schedule_invalid"),
        ({"schedules": [tick(catch_up="never")]}, "malformed"),
        ({"schedules": [tick(name="x" * 101)]}, "malformed"),
        ({"schedules": [tick(name="a\nb")]}, "malformed"),
        ({"schedules": [tick(), tick(rule={"every": 90_000})]}, "malformed"),
        ({"webhooks": [{"name": "in", "secret": "effects", "scheme": "rialto"}]}, "webhook_invalid"),
        ({"webhooks": [{"name": "in", "secret": "key", "scheme": "none"}]}, "webhook_invalid"),
        ({"webhooks": [{"name": "../in", "secret": "key", "scheme": "rialto"}]}, "webhook_invalid"),
        ({"webhooks": [{"name": "in", "secret": "key", "scheme": "rialto"}] * 2}, "malformed"),
        ({"commands": [named("tea"), named("Tea")]}, "commands_invalid"),
        ({"commands": [named(" ")]}, "commands_invalid"),
        ({"commands": [named("tea", parameters=[{"key": "x", "schema": 1}])]}, "malformed"),
        ({"commands": [named(f"c{number}", help="x" * 900) for number in range(60)]}, "too_much"),
    ],
)
async def test_manifests_that_cannot_be(database: MemoryDatabase, manifest: dict[str, Any], code: str) -> None:
    """Refused in the handshake, and the plugin of before goes on."""
    async with running(database, settings={"key": "a-secret-of-sixteen-and-more"}) as rialto, raw(rialto) as before:
        await before.join()
        async with raw(rialto) as plugin:
            await plugin.greet(plugin=manifest)
            assert (await plugin.hear("error"))["code"] == code
            assert await plugin.ended() == 1008
        assert rialto.consumer.counts == {code: 1}
        assert rialto.consumer.connected
