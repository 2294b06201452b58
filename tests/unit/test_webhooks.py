"""Webhooks over a real listener: who may call, what is stored, and what nobody learns."""

from __future__ import annotations

import asyncio
import gzip
import hmac
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from hashlib import sha256
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, web
from sqlalchemy import Connection

from appservice.config.models import Web
from appservice.database import DatabaseError
from appservice.events import InternalEvent
from bots.framework import web as web_module
from bots.framework.clock import ManualClock
from bots.framework.limits import RateLimit
from bots.framework.web import WebListenError, WebServer
from bots.framework.webhooks import MIN_SECRET, WINDOW_S, Hook, HookError, Webhooks

SECRET = "a secret for the tests"
JSON = {"Content-Type": "application/json"}


class Site:
    """A listener with webhooks, whose events are kept as the inbox does: one for a key."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.seconds = 0.0
        self.stored: dict[str, InternalEvent] = {}
        self.problem: BaseException | None = None
        self.hooks = Webhooks(self.raise_events, self.clock.now_ms, lambda: self.seconds)
        self.server = WebServer(Web(enabled=True, listen="127.0.0.1:0", max_body=64 * 1024))
        self.server.mount("/hooks", self.hooks.app())

    async def raise_events(self, work: Callable[[Connection], Iterable[InternalEvent]]) -> None:
        if self.problem is not None:
            raise self.problem
        for event in work(None):  # type: ignore[arg-type]
            self.stored.setdefault(event.event_id, event)

    def signed(self, body: bytes, secret: str = SECRET, *, age: int = 0) -> dict[str, str]:
        moment = self.clock.now_ms() // 1000 - age
        signature = hmac.new(secret.encode(), b"%d." % moment + body, sha256).hexdigest()
        return {"X-Rialto-Signature": f"t={moment},v1={signature}", **JSON}

    @property
    def event(self) -> InternalEvent:
        (event,) = self.stored.values()
        return event


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    made.hooks.add(Hook("coffee", "orders", "bot:coffee", SECRET))
    made.hooks.add(Hook("coffee", "git", "bot:coffee", SECRET, scheme="github"))
    made.hooks.add(Hook("coffee", "simple", "bot:coffee", SECRET, scheme="bearer", room_id="!r:localhost", kind="x.y"))
    await made.server.start()
    yield made
    await made.server.stop()


Post = Callable[..., Any]


@pytest.fixture
async def post(site: Site) -> AsyncIterator[Post]:
    async with ClientSession() as session:

        async def send(
            path: str, body: Any = b"{}", headers: dict[str, str] | None = None, method: str = "POST"
        ) -> Any:
            url = f"http://127.0.0.1:{site.server.port}{path}"
            async with session.request(method, url, data=body, headers=headers) as response:
                text = await response.read()
                return response, json.loads(text) if text else None

        yield send


def hub(body: bytes, secret: str = SECRET, **headers: str) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest(), **JSON, **headers}


# --- what is stored


async def test_a_signed_call_becomes_an_event(site: Site, post: Post) -> None:
    body = b'{"order": 5}'
    headers = {**site.signed(body), "User-Agent": "shop/1", "Cookie": "session=1", "X-Other": "no"}
    response, answer = await post("/hooks/coffee/orders", body, headers)
    assert response.status == 202
    event = site.event
    assert answer == {"status": "accepted", "id": event.key.rpartition(":")[2]}
    assert (event.consumer, event.type, event.room_id) == ("bot:coffee", "rialto.webhook", "hook:coffee/orders")
    assert event.event_id.startswith("~hook:bot:coffee:coffee/orders:")
    assert event.content == {
        "bot": "coffee",
        "hook": "orders",
        "method": "POST",
        "headers": {"content-type": "application/json", "user-agent": "shop/1"},
        "content_type": "application/json",
        "json": {"order": 5},
    }


async def test_the_same_again_is_answered_alike_and_stored_once(site: Site, post: Post) -> None:
    body, headers = b"{}", site.signed(b"{}")
    first = await post("/hooks/coffee/orders", body, headers)
    site.clock.advance(seconds=WINDOW_S)
    second = await post("/hooks/coffee/orders", body, headers)
    assert first[0].status == second[0].status == 202
    assert first[1] == second[1]
    assert len(site.stored) == 1
    site.clock.advance(seconds=1)
    assert (await post("/hooks/coffee/orders", body, headers))[0].status == 401
    assert (await post("/hooks/coffee/orders", body, site.signed(body)))[0].status == 202
    assert len(site.stored) == 2


async def test_github(site: Site, post: Post) -> None:
    body = b'{"zen": "x"}'
    headers = hub(body, **{"X-GitHub-Delivery": "d1", "X-GitHub-Event": "push"})
    assert (await post("/hooks/coffee/git", body, headers))[0].status == 202
    assert (await post("/hooks/coffee/git", body, headers))[0].status == 202
    assert site.event.content["headers"]["x-github-event"] == "push"
    assert (await post("/hooks/coffee/git", body, headers | {"X-GitHub-Delivery": "d2"}))[0].status == 202
    assert len(site.stored) == 2
    assert (await post("/hooks/coffee/git", b"other", headers))[0].status == 401


async def test_bearer(site: Site, post: Post) -> None:
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "text/plain; charset=iso-8859-1"}
    assert (await post("/hooks/coffee/simple", b"caf\xe9", headers | {"Idempotency-Key": "k"}))[0].status == 202
    assert (await post("/hooks/coffee/simple", b"caf\xe9", headers | {"Idempotency-Key": "k"}))[0].status == 202
    assert site.event.content["text"] == "café"
    assert "authorization" not in site.event.content["headers"]
    assert (site.event.room_id, site.event.type) == ("!r:localhost", "x.y")
    for _ in range(2):  # without an id each is one of its own
        assert (await post("/hooks/coffee/simple", b"caf\xe9", headers))[0].status == 202
    assert len(site.stored) == 3


async def test_a_form(site: Site, post: Post) -> None:
    body = b"a=1&b=2"
    headers = site.signed(body) | {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await post("/hooks/coffee/orders", body, headers))[0].status == 202
    assert site.event.content["text"] == "a=1&b=2"


async def test_a_secret_that_is_being_changed(site: Site, post: Post) -> None:
    new, old = "the new secret of the tests", "the old secret of the tests"
    site.hooks.add(Hook("tea", "orders", "bot:tea", new, old_secrets=(old,)))
    assert (await post("/hooks/tea/orders", b"{}", site.signed(b"{}", old)))[0].status == 202
    assert (await post("/hooks/tea/orders", b"{}", site.signed(b"{}", new)))[0].status == 202
    assert len(site.stored) == 1  # the same call
    both = site.signed(b"{}", "somebody else's secret")["X-Rialto-Signature"]
    both += "," + site.signed(b"{}", new)["X-Rialto-Signature"].partition(",")[2]
    headers = JSON | {"X-Rialto-Signature": both}
    assert (await post("/hooks/tea/orders", b"{}", headers))[0].status == 202


# --- who may, and what nobody learns


def unproven(site: Site) -> list[dict[str, str]]:
    good = site.signed(b"{}")["X-Rialto-Signature"]
    moment, signature = good.split(",")
    return [
        {},
        {"X-Rialto-Signature": ""},
        {"X-Rialto-Signature": "t=,v1="},
        {"X-Rialto-Signature": signature},
        {"X-Rialto-Signature": moment},
        {"X-Rialto-Signature": f"{moment},{moment},{signature}"},
        {"X-Rialto-Signature": f"t=-1,{signature}"},
        {"X-Rialto-Signature": f"t=99999999999999999999,{signature}"},
        {"X-Rialto-Signature": f"t=١٢٣,{signature}".encode().decode("latin-1")},
        {"X-Rialto-Signature": good[:-1] + ("0" if good[-1] != "0" else "1")},
        {"X-Rialto-Signature": good.upper()},
        site.signed(b"{} "),
        site.signed(b"{}", "another secret of the tests"),
        site.signed(b"{}", age=WINDOW_S + 1),
        site.signed(b"{}", age=-WINDOW_S - 1),
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {SECRET}"},
        {"X-Hub-Signature-256": "sha256="},
        {"X-Hub-Signature-256": "sha1=" + "0" * 64},
        hub(b"{}", "another secret of the tests"),
    ]


async def test_whoever_does_not_prove_it_hears_the_same_of_every_path(site: Site, post: Post) -> None:
    heard = []
    for headers in unproven(site):
        for path in ("/hooks/coffee/orders", "/hooks/coffee/git", "/hooks/coffee/simple", "/hooks/no/such"):
            response, answer = await post(path, b"{}", headers)
            names = {
                name: value for name, value in response.headers.items() if name.lower() not in {"x-request-id", "date"}
            }
            heard.append((response.status, answer, names))
            assert heard[-1] == heard[0], (path, headers)
    assert heard[0][0] == 401
    assert site.stored == {}


@pytest.mark.parametrize("path", ["/hooks/coffee/orders", "/hooks/coffee/git", "/hooks/no/such"])
async def test_without_a_proof_no_body_is_read_and_with_one_it_is_everywhere(site: Site, path: str) -> None:
    """A caller who keeps the body back cannot tell the paths apart."""
    good = site.signed(b"{}")["X-Rialto-Signature"]
    for proof, answered in (("", True), (f"X-Rialto-Signature: {good}\r\n", False)):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n{proof}\r\n".encode())
        answer = asyncio.create_task(reader.readline())
        if answered:
            async with asyncio.timeout(5):
                assert b"401" in await answer
        else:
            assert not (await asyncio.wait({answer}, timeout=0.05))[0]
            writer.write(b"{}")
            async with asyncio.timeout(5):
                assert (b"415" if path.endswith("orders") else b"401") in await answer
        writer.close()


async def test_a_proof_of_one_scheme_is_none_of_another(site: Site, post: Post) -> None:
    bearer = {"Authorization": f"Bearer {SECRET}", **JSON}
    assert (await post("/hooks/coffee/orders", b"{}", bearer))[0].status == 401
    assert (await post("/hooks/coffee/git", b"{}", bearer))[0].status == 401
    assert (await post("/hooks/coffee/simple", b"{}", hub(b"{}")))[0].status == 401
    assert (await post("/hooks/coffee/git", b"{}", site.signed(b"{}")))[0].status == 401


async def test_a_hook_that_was_removed_is_unknown(site: Site, post: Post) -> None:
    hook = Hook("tea", "orders", "bot:tea", SECRET)
    site.hooks.add(hook)
    assert (await post("/hooks/tea/orders", b"{}", site.signed(b"{}")))[0].status == 202
    with pytest.raises(HookError, match="two webhooks /hooks/tea/orders"):
        site.hooks.add(hook)
    site.hooks.remove(hook)
    site.hooks.remove(hook)
    assert (await post("/hooks/tea/orders", b"{}", site.signed(b"{}")))[0].status == 401


async def test_a_wrong_secret_is_logged_once_in_a_while_and_no_secret_ever(
    site: Site, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for _ in range(5):
        await post("/hooks/coffee/orders", b"words of Alice", site.signed(b"{}"))
    assert [each.message for each in caplog.records if each.levelno >= logging.WARNING] == [
        "a webhook is called without its secret"
    ]
    site.seconds += 60
    await post("/hooks/coffee/orders", b"{}", site.signed(b"{}", "another secret of the tests"))
    assert len([each for each in caplog.records if each.levelno >= logging.WARNING]) == 2
    assert not any(word in caplog.text for word in (SECRET, "Alice", "v1="))
    assert SECRET not in repr(Hook("a", "b", "c", SECRET, old_secrets=(SECRET,)))


# --- what is refused


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"", {}, 400),
        (b"[" * 60_000, {}, 400),
        (b'"\xff"', {}, 400),
        (b"NaN", {}, 400),
        (b"\xff", {"Content-Type": "text/plain"}, 400),
        (b"{}", {"Content-Type": "image/png"}, 415),
        (b"{}", {"Content-Type": "application/octet-stream"}, 415),
        (b"{}", {"Content-Type": "text/plain; charset=punycode"}, 415),
        (b"x" * 64 * 1024 + b"x", {}, 413),
    ],
)
async def test_a_body_that_cannot_be_taken(
    site: Site, post: Post, body: bytes, headers: dict[str, str], status: int
) -> None:
    response, answer = await post("/hooks/coffee/orders", body, site.signed(body) | headers)
    assert (response.status, set(answer)) == (status, {"error", "message"})
    assert site.stored == {}


async def test_a_compressed_body_is_not_taken(site: Site, post: Post) -> None:
    body = gzip.compress(b"0" * 10**6)
    headers = site.signed(body) | {"Content-Encoding": "gzip"}
    for path in ("/hooks/coffee/orders", "/hooks/no/such"):
        assert (await post(path, body, headers))[0].status == 415


async def test_a_hook_has_a_size_of_its_own(site: Site, post: Post) -> None:
    site.hooks.add(Hook("tea", "small", "bot:tea", SECRET, max_body=10))
    assert (await post("/hooks/tea/small", b'"45678901"', site.signed(b'"45678901"')))[0].status == 202
    response, answer = await post("/hooks/tea/small", b'"456789012"', site.signed(b'"456789012"'))
    assert (response.status, answer["message"]) == (413, "the body has more than 10 bytes")
    assert (await post("/hooks/tea/small", b'"456789012"', {}))[0].status == 401


async def test_a_database_that_fails_is_503_and_the_same_again_is_taken(site: Site, post: Post) -> None:
    headers = site.signed(b"{}")
    site.problem = DatabaseError("gone")
    response, answer = await post("/hooks/coffee/orders", b"{}", headers)
    assert (response.status, answer["error"], response.headers["Retry-After"]) == (503, "not_stored", "5")
    site.problem = None
    assert (await post("/hooks/coffee/orders", b"{}", headers))[0].status == 202
    site.problem = RuntimeError("a defect that quotes Alice")
    response, answer = await post("/hooks/coffee/orders", b"{}", headers)
    assert (response.status, answer) == (500, {"error": "internal", "message": "something went wrong here"})


async def test_a_flood_is_slowed_down_and_the_others_are_not(site: Site, post: Post) -> None:
    site.hooks.add(Hook("tea", "busy", "bot:tea", SECRET, rate=RateLimit(5, 10)))

    async def call(number: int, path: str = "/hooks/tea/busy", secret: str = SECRET) -> ClientResponse:
        body = b"%d" % number
        response, _ = await post(path, body, site.signed(body, secret))
        return response  # type: ignore[no-any-return]

    # Who cannot prove to be the caller uses nothing up.
    assert [(await call(each, secret="another secret of the tests")).status for each in range(10)] == [401] * 10
    answers = [await call(each) for each in range(20)]
    assert [each.status for each in answers] == [202] * 5 + [429] * 15
    assert answers[-1].headers["Retry-After"] == "2"
    assert (await call(1, "/hooks/coffee/orders")).status == 202
    site.seconds += 2
    assert [(await call(each)).status for each in (30, 31)] == [202, 429]
    assert len(site.stored) == 7


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "x" * (MIN_SECRET - 1)},
        {"old_secrets": ("short",)},
        {"name": "Orders"},
        {"name": "a/b"},
        {"name": ""},
        {"bot": "é"},
        {"scheme": "sha1"},
        {"headers": frozenset({"authorization"})},
        {"headers": frozenset({"User-Agent"})},
    ],
)
def test_a_hook_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(HookError) as caught:
        Hook(**{"bot": "coffee", "name": "orders", "consumer": "c", "secret": SECRET} | wrong)
    assert SECRET not in str(caught.value)


# --- the listener


@pytest.mark.parametrize(
    "path", ["/", "/hooks", "/hooks/", "/hooks/a", "/hooks/a/b/c", "/metrics", "/hooks/../x", "//"]
)
async def test_there_is_nothing_else(post: Post, path: str) -> None:
    response, answer = await post(path)
    assert (response.status, answer["error"]) == (404, "not_found")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_post(post: Post, method: str) -> None:
    for path in ("/hooks/coffee/orders", "/hooks/no/such"):
        response, answer = await post(path, None, method=method)
        assert (response.status, answer["error"], response.headers["Allow"]) == (405, "wrong_method", "POST")


async def test_security_headers_and_a_request_id(post: Post) -> None:
    first, _ = await post("/", headers={"X-Request-Id": "forged"})
    second, _ = await post("/hooks/coffee/orders")
    for response in (first, second):
        assert response.headers["Server"] == "Rialto"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in response.headers
    assert len({first.headers["X-Request-Id"], second.headers["X-Request-Id"], "forged"}) == 3


async def test_what_is_mounted_may_say_otherwise_and_fails_by_itself(post: Post) -> None:
    server = WebServer(Web(enabled=True, listen="127.0.0.1:0", public_url="https://bots.example.org/"))

    async def page(request: web.Request) -> web.StreamResponse:
        if "broken" in request.query:
            raise ValueError("what Alice wrote")
        if "moved" in request.query:
            raise web.HTTPFound("/pages/x")
        return web.Response(text="hello", headers={"Content-Security-Policy": "default-src 'self'"})

    app = web.Application()
    app.router.add_get("/x", page)
    server.mount("/pages", app)
    for prefix in ("pages", "/pages/", "/pages", "/pages/more", "/"):
        with pytest.raises(ValueError, match=r"prefix|taken"):
            server.mount(prefix, web.Application())
    await server.start()
    try:
        with pytest.raises(RuntimeError, match="before the start"):
            server.mount("/late", web.Application())
        assert server.url("/pages/x") == "https://bots.example.org/pages/x"
        url = f"http://127.0.0.1:{server.port}/pages/x"
        async with ClientSession() as session:
            async with session.get(url) as response:
                assert await response.text() == "hello"
                assert response.headers["Content-Security-Policy"] == "default-src 'self'"
                assert response.headers["Strict-Transport-Security"] == "max-age=31536000"
            async with session.get(url, params={"broken": "1"}) as response:
                assert (response.status, "Alice" in await response.text()) == (500, False)
            async with session.get(url, params={"moved": "1"}, allow_redirects=False) as response:
                assert (response.status, response.headers["Location"]) == (302, "/pages/x")
    finally:
        await server.stop()


async def test_too_much_at_once_is_sent_away(site: Site, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_module, "IN_FLIGHT", 0)
    response, answer = await post("/hooks/coffee/orders", b"{}", site.signed(b"{}"))
    assert (response.status, answer["error"], response.headers["Retry-After"]) == (503, "busy", "1")


async def test_an_address_in_use_is_told(site: Site) -> None:
    other = WebServer(Web(enabled=True, listen=f"127.0.0.1:{site.server.port}"))
    with pytest.raises(
        WebListenError, match=r"^web.listen: cannot listen on 127\.0\.0\.1:\d+: address already in use$"
    ):
        await other.start()
    await other.stop()
    with pytest.raises(RuntimeError, match="not started"):
        _ = other.port


async def test_it_listens_only_when_it_is_enabled() -> None:
    server = WebServer(Web())
    await server.start()
    with pytest.raises(RuntimeError, match="not started"):
        _ = server.port
