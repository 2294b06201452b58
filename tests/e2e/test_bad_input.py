"""Bad input from whoever reaches the listener: a 4xx with a Matrix error code, or a stored dead letter.

Never a crash, and never a 200 for something that is not stored: after each answer the test looks into the inbox.
Status and codes: application service API, "Authorization" (403 M_FORBIDDEN for a wrong token) and "Unknown routes"
(404 and 405, M_UNRECOGNIZED); client-server API, "Standard error response" (M_NOT_JSON, M_BAD_JSON, M_TOO_LARGE).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appservice import json as matrix_json
from tests.chaos.world import BOT, HUMAN, World, world
from tests.conftest import scratch_postgres
from tests.support.fake_http import HttpClient
from tests.support.service_process import PICKLE_KEY

QUICK_KEYS: dict[str, Any] = {"pickle_key": PICKLE_KEY, "key_wait": 0.1, "give_up_after": 0.5}
ATTACKED = "!attacked:localhost"
TRANSACTIONS = "/_matrix/app/v1/transactions/"


@dataclass(slots=True)
class Target:
    """A running service, a client that speaks raw HTTP to it, and eyes in its inbox."""

    place: World
    database_url: str
    client: HttpClient
    _numbers: itertools.count[int]

    @property
    def token(self) -> str:
        """The right hs_token."""
        return self.place.homeserver.hs_token

    def txn_id(self) -> str:
        """A transaction id that nobody used."""
        return f"bad-{next(self._numbers)}"

    async def put(self, body: bytes, txn_id: str | None = None, token: str | None = "right") -> tuple[int, Any]:
        """Send a transaction; the status and the JSON answer. An answer that is not JSON fails the test."""
        path = TRANSACTIONS + quote(txn_id or self.txn_id(), safe="")
        return await self.send("PUT", path, body, self.token if token == "right" else token)

    async def send(self, method: str, path: str, body: bytes, token: str | None) -> tuple[int, Any]:
        """Any request."""
        status, answer = await self.client.request(method, path, body, token, 30)
        return status, json.loads(answer)

    async def rows(self) -> dict[str, bytes]:
        """The inbox: event id to the stored event (empty once it is done)."""
        query = "SELECT event_id, payload FROM inbox"
        if self.database_url.startswith("sqlite"):
            with contextlib.closing(sqlite3.connect(self.place.folder / "rialto.db", timeout=10)) as file:
                return dict(file.execute(query).fetchall())
        database = await asyncpg.connect(self.database_url)
        try:
            return {row[0]: row[1] for row in await database.fetch(query)}
        finally:
            await database.close()

    async def still_answers(self) -> None:
        """An ordinary message is still echoed."""
        assert self.place.service.running
        self.place.say(1)
        await self.place.homeserver.wait_all(20)


@contextlib.asynccontextmanager
async def _target(folder: Path, url: str) -> AsyncIterator[Target]:
    sections: dict[str, dict[str, Any]] = {
        "engine": {"attempts": 2, "backoff": 0.02, "backoff_max": 0.05},
        "encryption": QUICK_KEYS,
    }
    async with world(folder, rooms=2, database=url, sections=sections) as place:
        place.homeserver.add_room([HUMAN, BOT], ATTACKED)
        client = HttpClient(place.homeserver.appservice_port)
        try:
            yield Target(place, url, client, itertools.count())
        finally:
            client.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
async def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    """The service under attack, once on each database."""
    folder = tmp_path_factory.mktemp("bad_input")
    async with contextlib.AsyncExitStack() as stack:
        url = f"sqlite:///{folder / 'rialto.db'}"
        if request.param == "postgresql":
            url = await stack.enter_async_context(scratch_postgres())
        yield await stack.enter_async_context(_target(folder, url))


def event(**changes: Any) -> dict[str, Any]:
    """A text message; a change to None removes the key."""
    whole: dict[str, Any] = {
        "event_id": "$bad",
        "room_id": "!room0:localhost",
        "sender": HUMAN,
        "type": "m.room.message",
        "content": {"msgtype": "m.text", "body": "x"},
        "origin_server_ts": 1,
        "unsigned": {"age": 1},
    }
    whole.update(changes)
    return {key: value for key, value in whole.items() if value is not None}


def foreign(rows: Mapping[str, bytes]) -> set[str]:
    """The events that the homeserver did not number itself: its own come while bots publish their commands."""
    return {event_id for event_id in rows if not event_id.startswith("$" + "0" * 20)}


def transaction(*events: Any, **more: Any) -> bytes:
    """A transaction's body."""
    return json.dumps({"events": events, **more}).encode()


@pytest.mark.parametrize(
    ("token", "status", "errcode"),
    [("wrong", 403, "M_FORBIDDEN"), ("", 401, "M_MISSING_TOKEN"), (None, 401, "M_MISSING_TOKEN")],
)
@pytest.mark.parametrize(
    "path", [TRANSACTIONS + "t", "/transactions/t", "/_matrix/app/v1/ping", "/_matrix/app/v1/users/x"]
)
async def test_token(target: Target, token: str | None, status: int, errcode: str, path: str) -> None:
    method = "POST" if path.endswith("ping") else "GET" if "users" in path else "PUT"
    before = await target.rows()
    got, answer = await target.send(method, path, transaction(event(event_id="$stranger")), token)
    assert (got, answer["errcode"]) == (status, errcode)
    assert foreign(await target.rows()) == foreign(before)


async def test_token_in_the_query(target: Target) -> None:
    """The old way, which the specification still asks for."""
    body = transaction()
    right = f"{TRANSACTIONS}{target.txn_id()}?access_token={target.token}"
    assert (await target.send("PUT", right, body, None))[0] == 200
    status, answer = await target.send("PUT", f"{TRANSACTIONS}x?access_token=wrong", body, None)
    assert (status, answer["errcode"]) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        (b"", "M_NOT_JSON"),
        (b"hello", "M_NOT_JSON"),
        (b'{"events": [', "M_NOT_JSON"),
        (b'{"events": [\xff\xfe"\xc3\x28"]}', "M_NOT_JSON"),
        (b'{"events": [NaN]}', "M_NOT_JSON"),
        (b"\x00\x01\x02", "M_NOT_JSON"),
        (b"[" * 100_000, "M_NOT_JSON"),
        (b"[]", "M_BAD_JSON"),
        (b"null", "M_BAD_JSON"),
        (b"7", "M_BAD_JSON"),
        (b'"events"', "M_BAD_JSON"),
        (b"{}", "M_BAD_JSON"),
        (b'{"events": null}', "M_BAD_JSON"),
        (b'{"events": {}}', "M_BAD_JSON"),
        (b'{"events": "$x"}', "M_BAD_JSON"),
        (b'{"event": []}', "M_BAD_JSON"),
    ],
    ids=lambda value: repr(value)[:24],
)
async def test_body_that_is_no_transaction(target: Target, body: bytes, errcode: str) -> None:
    before = await target.rows()
    status, answer = await target.put(body)
    assert (status, answer["errcode"]) == (400, errcode)
    assert answer["error"]
    assert foreign(await target.rows()) == foreign(before)
    await target.still_answers()


async def test_body_of_20_megabytes(target: Target) -> None:
    before = await target.rows()
    body = transaction(event(content={"body": "x" * 20_000_000}))
    status, answer = await target.put(body)
    assert (status, answer["errcode"]) == (413, "M_TOO_LARGE")
    target.client.close()
    assert foreign(await target.rows()) == foreign(before)
    await target.still_answers()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", TRANSACTIONS + "1", 405),
        ("POST", TRANSACTIONS + "1", 405),
        ("DELETE", TRANSACTIONS + "1", 405),
        ("GET", "/_matrix/app/v1/ping", 405),
        ("PUT", "/_matrix/app/v1/nothing", 404),
        ("GET", "/_matrix/app/v9/users/x", 404),
        ("GET", "/", 404),
        ("GET", "/../../etc/passwd", 404),
    ],
)
async def test_unknown_route(target: Target, method: str, path: str, status: int) -> None:
    got, answer = await target.send(method, path, b"{}", target.token)
    assert (got, answer["errcode"]) == (status, "M_UNRECOGNIZED")


DEEP = json.loads("[" * 900 + "]" * 900)
STRANGE: dict[str, Any] = {
    "unknown type": event(type="org.example.never.seen", content={"a": [1, {"b": None}]}),
    "unknown state": event(type="org.example.state", state_key="k", content={}),
    "no event_id": event(event_id=None),
    "no room_id": event(room_id=None),
    "no sender": event(sender=None),
    "no type": event(type=None),
    "no content": event(content=None),
    "no timestamp": event(origin_server_ts=None),
    "nothing at all": {},
    "a number": 7,
    "a text": "event",
    "null": None,
    "a list": [[]],
    "numbers for texts": event(event_id=1, room_id=2, sender=3, type=4),
    "content a text": event(content="hello"),
    "content a list": event(content=[]),
    "state_key a number": event(state_key=5),
    "body a number": event(content={"msgtype": "m.text", "body": 7}),
    "body missing": event(content={"msgtype": "m.text"}),
    "body null": event(content={"msgtype": "m.text", "body": None}),
    "msgtype an object": event(content={"msgtype": {}, "body": "x"}),
    "relation a text": event(content={"msgtype": "m.text", "body": "x", "m.relates_to": "y"}),
    "relation a list": event(content={"msgtype": "m.text", "body": "x", "m.relates_to": ["y"]}),
    "a million characters": event(content={"msgtype": "m.text", "body": "y" * 1_000_000}),
    "deeply nested": event(content={"msgtype": "m.text", "body": "x", "deep": DEEP}),
    "NUL in ids": event(event_id="$a\0b", room_id="!a\0:localhost", sender="@\0:localhost", type="m.\0"),
    "NUL in a body": event(content={"msgtype": "m.text", "body": "a\0b"}),
    "lone surrogate": event(content={"msgtype": "m.text", "body": "\ud800"}),
    "lone surrogate in an id": event(event_id="$\ud800"),
    "id of a million": event(event_id="$" + "z" * 1_000_000),
    "room of a million": event(room_id="!" + "z" * 1_000_000),
    "number beyond 64 bits": event(origin_server_ts=10**40),
    "timestamp a float": event(origin_server_ts=1.5),
    "timestamp negative": event(origin_server_ts=-(2**63)),
    "unsigned a list": event(unsigned=[1]),
    "redaction of nothing": event(type="m.room.redaction", content={}),
    "redacts a list": event(type="m.room.redaction", redacts=["$a"], content={"redacts": 5}),
    "member without membership": event(type="m.room.member", state_key=BOT, content={}),
    "membership a list": event(type="m.room.member", state_key=BOT, content={"membership": []}),
    "member of nobody": event(type="m.room.member", state_key="", content={"membership": "join"}),
    "member with NUL name": event(
        type="m.room.member", state_key="@nul:localhost", content={"membership": "join", "displayname": "a\0b"}
    ),
    "member with a list as name": event(
        type="m.room.member", state_key="@list:localhost", content={"membership": "join", "displayname": [1]}
    ),
    "invite to an unknown room": event(
        type="m.room.member", room_id="!no:where", state_key=BOT, content={"membership": "invite"}
    ),
    "power levels a text": event(type="m.room.power_levels", state_key="", content={"users": "all"}),
    "power level a text": event(type="m.room.power_levels", state_key="", content={"users": {BOT: "x"}}),
    "encryption a number": event(type="m.room.encryption", state_key="", content={"algorithm": 1}, room_id="!room1:x"),
    "encrypted with nothing": event(type="m.room.encrypted", content={}),
    "encrypted with rubbish": event(
        type="m.room.encrypted",
        content={
            "algorithm": "m.megolm.v1.aes-sha2",
            "ciphertext": "AAAA",
            "session_id": "s" * 300,
            "sender_key": 5,
            "device_id": None,
        },
    ),
    "sender is no user": event(sender="nobody"),
    "sender is the bot": event(sender=BOT),
    "image without url": event(content={"msgtype": "m.image", "body": "x"}),
    "image with a bad url": event(content={"msgtype": "m.image", "body": "x", "url": "file:///etc/passwd"}),
    "image with a bad file": event(content={"msgtype": "m.image", "body": "x", "file": {"url": 1, "key": []}}),
}


def malformed_id(entry: Any) -> str:
    """The id under which an event without a usable one is kept: made of its content as the service writes it."""
    written = matrix_json.dumps(matrix_json.loads(json.dumps(entry)))
    return f"!malformed:{hashlib.sha256(written).hexdigest()[:40]}"


def assert_kept(status: int, answer: Any, body: Any, rows: dict[str, bytes]) -> None:
    """Either refused with a Matrix error code, or every event of the body is a row of the inbox: by its id, or whole
    as a dead letter."""
    if status != 200:
        assert 400 <= status < 500, (status, answer)
        assert answer["errcode"].startswith("M_"), answer
        return
    dead = [json.loads(payload) for event_id, payload in rows.items() if event_id.startswith("!malformed:")]
    for entry in body["events"]:
        event_id = entry.get("event_id") if isinstance(entry, dict) else None
        kept = (isinstance(event_id, str) and event_id in rows) or entry in dead
        assert kept, f"200, but not stored: {str(entry)[:200]}"


@pytest.mark.parametrize("name", STRANGE)
async def test_strange_event_is_refused_or_kept(target: Target, name: str) -> None:
    """Beside an ordinary event in the same transaction, which must not suffer."""
    txn_id = target.txn_id()
    strange = STRANGE[name]
    if isinstance(strange, dict) and strange.get("event_id") == "$bad":
        strange = strange | {"event_id": f"$strange-{txn_id}"}
    body = {"events": [event(event_id=f"$fine-{txn_id}", content={"msgtype": "m.notice", "body": "-"}), strange]}
    status, answer = await target.put(json.dumps(body).encode(), txn_id)
    assert_kept(status, answer, body, await target.rows())
    again = await target.put(json.dumps(body).encode(), txn_id)
    assert again[0] == status, "the same transaction again must be answered alike"
    await target.still_answers()


@pytest.mark.parametrize("txn_id", ["a/b", "ä ö", "..", "x" * 3000, "a\0b", "%2F", "' OR 1=1 --", "\U0001f600"])
async def test_strange_transaction_ids(target: Target, txn_id: str) -> None:
    body = {"events": [7, event(event_id=f"$id-{target.txn_id()}")]}
    status, answer = await target.put(json.dumps(body).encode(), txn_id)
    if status == 200:
        rows = await target.rows()
        assert body["events"][1]["event_id"] in rows  # type: ignore[index]
        assert any(row.startswith("!malformed:") for row in rows)
    else:
        assert 400 <= status < 500, answer
        assert answer["errcode"].startswith("M_")
    await target.still_answers()


async def test_connection_cut_in_the_middle_of_a_body(target: Target) -> None:
    before = await target.rows()
    _, writer = await asyncio.open_connection("127.0.0.1", target.client.port)
    head = (
        f"PUT {TRANSACTIONS}cut HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {target.token}\r\nContent-Length: 500\r\n"
    )
    writer.write(head.encode() + b'\r\n{"events": []')
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await target.still_answers()
    assert set(before) <= set(await target.rows())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
TYPES = ("m.room.message", "m.room.member", "m.room.encrypted", "m.room.encryption", "m.room.redaction", "m.reaction")
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "event_id": st.text(max_size=20).map(lambda text: "$h" + text) | JSON,
        "room_id": st.sampled_from([ATTACKED, "!else:where", ""]) | JSON,
        "sender": st.sampled_from([HUMAN, BOT, "@_rialto:localhost", "x"]) | JSON,
        "type": st.sampled_from(TYPES) | JSON,
        "state_key": st.sampled_from(["", BOT, HUMAN]) | JSON,
        "content": st.dictionaries(
            st.sampled_from(["body", "msgtype", "membership", "algorithm", "m.relates_to", "url", "file", "users"]),
            st.sampled_from(["m.text", "m.image", "invite", "leave", "m.megolm.v1.aes-sha2"]) | JSON,
        )
        | JSON,
        "origin_server_ts": JSON,
        "unsigned": JSON,
        "redacts": JSON,
    },
)
BODIES = st.one_of(
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {"events": st.lists(EVENTS | JSON, max_size=5) | JSON},
        optional={"ephemeral": st.lists(EVENTS, max_size=3) | JSON, "de.sorunome.msc2409.to_device": JSON},
    ).map(lambda value: json.dumps(value).encode()),
)


@pytest.mark.timeout(300)
@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(body=BODIES)
async def test_any_body_is_refused_or_kept(target: Target, body: bytes) -> None:
    txn_id = target.txn_id()
    status, answer = await target.put(body, txn_id)
    parsed: Any = None
    with contextlib.suppress(ValueError):
        parsed = json.loads(body)
    if status == 200:
        assert isinstance(parsed, dict), f"200 for {body!r}"
        assert isinstance(parsed["events"], list), f"200 for {body!r}"
    assert_kept(status, answer, parsed, await target.rows())
    await target.still_answers()
