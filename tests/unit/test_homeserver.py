"""The client to the homeserver, against a small server: what is asked, what an error becomes, reachable or not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from appservice import homeserver as module
from appservice.homeserver import Homeserver, HomeserverError, path

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
BOT = "@bot:localhost"


class Server:
    """Answers everything by a function, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Handler = self._empty
        self.asked: list[tuple[str, str, dict[str, str], bytes, str | None]] = []
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def _empty(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({})

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked = (request.method, request.raw_path.partition("?")[0], dict(request.query), body)
        self.asked.append((*asked, request.headers.get("Authorization")))
        return await self.answer(request)

    async def start(self) -> None:
        """On the same port as before, if there was one."""
        app = web.Application()
        app.router.add_route("*", "/{anything:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def says(
        self, status: int, body: Any = None, headers: dict[str, str] | None = None, raw: bytes | None = None
    ) -> None:
        """Answer this from now on."""

        async def answer(_request: web.Request) -> web.StreamResponse:
            data = raw if raw is not None else json.dumps(body).encode()
            return web.Response(status=status, body=data, headers=headers)

        self.answer = answer


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server that runs."""
    made = Server()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def client(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Homeserver]:
    """A client of it, with short times."""
    monkeypatch.setattr(module, "PROBE_FIRST_S", 0.01)
    monkeypatch.setattr(module, "PROBE_MAX_S", 0.02)
    made = Homeserver(f"http://127.0.0.1:{server.port}/", "the-as-token", timeout=5)
    await made.start()
    yield made
    await made.stop()


async def failed(call: Awaitable[Any]) -> HomeserverError:
    """The error of a call that must fail."""
    with pytest.raises(HomeserverError) as caught:
        await call
    return caught.value


def test_path_segments_are_percent_encoded() -> None:
    assert path("/x", "!a:b", "#c/d", "e f", "ü", "..") == "/x/%21a%3Ab/%23c%2Fd/e%20f/%C3%BC/.."


async def test_requests_carry_token_masquerade_query_and_body(client: Homeserver, server: Server) -> None:
    server.says(200, {"ok": 1})
    answer = await client.request(
        "POST", path("/p", "!r:x/y"), user_id=BOT, device_id="D 1", query={"a": "b c"}, body={"k": "ü"}
    )
    assert answer == {"ok": 1}
    method, asked_path, query, body, token = server.asked[0]
    assert (method, asked_path) == ("POST", "/p/%21r%3Ax%2Fy")
    assert query == {"user_id": BOT, "device_id": "D 1", "a": "b c"}
    assert json.loads(body) == {"k": "ü"}
    assert token == "Bearer the-as-token"


async def test_a_request_without_a_body(client: Homeserver, server: Server) -> None:
    await client.request("POST", "/p")
    await client.request("GET", "/p")
    await client.request("PUT", "/p", data=b"raw", content_type="image/png")
    assert [asked[3] for asked in server.asked] == [b"{}", b"", b"raw"]
    assert server.asked[0][2] == {}


async def test_events_states_and_redactions(client: Homeserver, server: Server) -> None:
    server.says(200, {"event_id": "$e"})
    room = "!r:localhost"
    assert await client.send_event(BOT, "D", room, "m.room.message", "txn1", {"body": "x"}) == "$e"
    assert await client.send_event(BOT, "D", room, "m.room.message", "txn2", b'{"body":"y"}') == "$e"
    assert await client.send_state(BOT, room, "m.room.topic", "", {"topic": "t"}) == "$e"
    assert await client.redact(BOT, "D", room, "$x", "txn3", "why") == "$e"
    assert await client.redact(BOT, "D", room, "$x", "txn4", None) == "$e"
    prefix = "/_matrix/client/v3/rooms/%21r%3Alocalhost"
    assert [(asked[0], asked[1]) for asked in server.asked] == [
        ("PUT", prefix + "/send/m.room.message/txn1"),
        ("PUT", prefix + "/send/m.room.message/txn2"),
        ("PUT", prefix + "/state/m.room.topic/"),
        ("PUT", prefix + "/redact/%24x/txn3"),
        ("PUT", prefix + "/redact/%24x/txn4"),
    ]
    assert [json.loads(asked[3]) for asked in server.asked] == [
        {"body": "x"},
        {"body": "y"},
        {"topic": "t"},
        {"reason": "why"},
        {},
    ]
    assert [asked[2].get("device_id") for asked in server.asked] == ["D", "D", None, "D", "D"]


@pytest.mark.parametrize("answer", [{}, {"event_id": 3}, [], None])
async def test_an_answer_without_an_event_id_is_temporary(client: Homeserver, server: Server, answer: Any) -> None:
    server.says(200, answer)
    error = await failed(client.send_event(BOT, "D", "!r:x", "t", "1", {}))
    assert error.errcode == "NO_EVENT_ID"
    assert error.temporary


@pytest.mark.parametrize(
    ("status", "body", "errcode", "temporary"),
    [
        (403, {"errcode": "M_FORBIDDEN", "error": "no"}, "M_FORBIDDEN", False),
        (404, {}, "UNKNOWN", False),
        (400, ["x"], "UNKNOWN", False),
        (401, {"errcode": "M_UNKNOWN_TOKEN"}, "M_UNKNOWN_TOKEN", True),
        (408, {}, "UNKNOWN", True),
        (429, {"errcode": "M_LIMIT_EXCEEDED"}, "M_LIMIT_EXCEEDED", True),
        (500, {"errcode": 3}, "3", True),
        (502, None, "UNKNOWN", True),
        (304, None, "UNKNOWN", False),
    ],
)
async def test_errors(
    client: Homeserver, server: Server, status: int, body: Any, errcode: str, temporary: bool
) -> None:
    server.says(status, body)
    error = await failed(client.request("GET", "/x"))
    assert (error.status, error.errcode, error.temporary) == (status, errcode, temporary)
    assert client.reachable


async def test_an_error_page_is_no_json(client: Homeserver, server: Server) -> None:
    server.says(502, raw=b"<html>Bad gateway</html>")
    assert (await failed(client.request("GET", "/x"))).errcode == "UNKNOWN"
    server.says(200, raw=b"<html>hello</html>")
    error = await failed(client.request("GET", "/x"))
    assert (error.status, error.errcode, error.temporary) == (502, "NOT_JSON", True)


@pytest.mark.parametrize(
    ("body", "header", "seconds"),
    [
        ({"retry_after_ms": 1500}, None, 1.5),
        ({"retry_after_ms": 0}, "7", 0.0),
        ({"retry_after_ms": 1500}, "7", 1.5),
        ({}, "7", 7.0),
        ({}, "soon", None),
        ({}, None, None),
        ({"retry_after_ms": -1}, None, None),
        ({"retry_after_ms": "5"}, None, None),
        ({"retry_after_ms": 10**15}, None, 3600.0),
        ({"retry_after_ms": 10**400}, None, 3600.0),
        ({}, "9" * 400, 3600.0),
        ([], "3", 3.0),
    ],
)
async def test_how_long_to_wait(
    client: Homeserver, server: Server, body: Any, header: str | None, seconds: float | None
) -> None:
    server.says(429, body, {"Retry-After": header} if header else {})
    assert (await failed(client.request("GET", "/x"))).retry_after == seconds


async def test_a_slow_answer_is_a_timeout_and_says_nothing_about_being_reachable(
    client: Homeserver, server: Server
) -> None:
    gate = asyncio.Event()

    async def slow(_request: web.Request) -> web.StreamResponse:
        await gate.wait()
        return web.json_response({})

    server.answer = slow
    error = await failed(client.request("GET", "/x", timeout=0.05))
    gate.set()
    assert (error.status, error.errcode, error.temporary) == (0, "TIMEOUT", True)
    assert client.reachable


async def test_a_homeserver_that_is_away_is_probed_until_it_is_back(client: Homeserver, server: Server) -> None:
    await server.stop()
    error = await failed(client.request("GET", "/x"))
    assert (error.status, error.errcode, error.temporary) == (0, "UNREACHABLE", True)
    assert not client.reachable
    waiting = asyncio.create_task(client.wait_reachable())
    await failed(client.request("GET", "/x"))
    assert not waiting.done()
    await server.start()
    async with asyncio.timeout(5):
        await waiting
    assert client.reachable
    probes = [asked[1] for asked in server.asked]
    assert probes == ["/_matrix/client/versions"]
    assert await client.request("GET", "/x") == {}


async def test_a_connection_that_breaks_off_is_no_outage(client: Homeserver, server: Server) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    server.answer = cut
    error = await failed(client.request("GET", "/x"))
    assert (error.status, error.errcode, error.temporary) == (0, "BROKEN", True)
    assert client.reachable


async def test_a_stop_ends_the_probe(server: Server) -> None:
    client = Homeserver(f"http://127.0.0.1:{server.port}", "t")
    await client.start()
    await server.stop()
    await failed(client.request("GET", "/x"))
    async with asyncio.timeout(5):
        await client.stop()
        await client.stop()
    with pytest.raises(RuntimeError):
        await client.request("GET", "/x")


@pytest.mark.parametrize(
    ("size", "limit", "fits"), [(0, 10, True), (10, 10, True), (11, 10, False), (300_000, 10, False)]
)
async def test_downloads_have_a_limit(client: Homeserver, server: Server, size: int, limit: int, fits: bool) -> None:
    server.says(200, raw=b"x" * size)
    if fits:
        assert await client.download("/m", user_id=BOT, limit=limit) == b"x" * size
    else:
        error = await failed(client.download("/m", user_id=BOT, limit=limit))
        assert (error.status, error.errcode, error.temporary) == (413, "TOO_LARGE", False)
    assert server.asked[0][2] == {"user_id": BOT}


async def test_a_large_download_in_many_pieces_is_whole(client: Homeserver, server: Server) -> None:
    data = bytes(range(256)) * 4_000
    server.says(200, raw=data)
    assert await client.download("/m", user_id=BOT, limit=len(data)) == data


async def test_a_download_that_is_refused_or_cut(client: Homeserver, server: Server) -> None:
    server.says(404, {"errcode": "M_NOT_FOUND"})
    assert (await failed(client.download("/m", user_id=BOT, limit=10))).errcode == "M_NOT_FOUND"
    await server.stop()
    assert (await failed(client.download("/m", user_id=BOT, limit=10))).errcode == "UNREACHABLE"


async def test_ping(client: Homeserver, server: Server) -> None:
    server.says(200, {"duration_ms": 12})
    assert await client.ping("rialto", "t1") == 12.0
    assert server.asked[0][1] == "/_matrix/client/v1/appservice/rialto/ping"
    assert json.loads(server.asked[0][3]) == {"transaction_id": "t1"}


async def test_errors_do_not_hold_the_token(client: Homeserver, server: Server) -> None:
    server.says(403, {"errcode": "M_FORBIDDEN", "error": "no " + "x" * 10_000})
    error = await failed(client.request("GET", "/x"))
    assert "the-as-token" not in str(error)
    assert len(str(error)) < 700
