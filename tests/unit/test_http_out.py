"""HTTP to the outside: timeouts, bounds, retries, and the guard. The servers are real ones, on loopback."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from bots.framework.http import (
    AddressPolicy,
    HttpClient,
    HttpError,
    HttpRefused,
    HttpTimedOut,
    HttpTooLarge,
    HttpUnexpected,
    HttpUnreachable,
    UnsafeUrl,
)
from bots.framework.http.client import _Request
from bots.framework.http.guard import GuardedResolver, SystemLookup, guarded_connector

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
NAME = "shop.example.org"


class Service:
    """A server that does as it is told and remembers what it was asked."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.port = 0
        self.asked: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.answers: list[Handler | web.Response] = []

    def says(self, status: int = 200, body: bytes = b"", times: int = 1, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers += [web.Response(status=status, body=body, headers=named) for _ in range(times)]

    def does(self, handler: Handler) -> None:
        self.answers.append(handler)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        self.bodies.append(await request.read())
        answer = self.answers.pop(0) if self.answers else web.Response(body=b"fine")
        return answer if isinstance(answer, web.Response) else await answer(request)

    async def start(self) -> web.AppRunner:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, self.host, 0)
        await site.start()
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        return runner

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


class Pauses:
    """Sleeps that end at once."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


class Names:
    """A name server whose answers change."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    made = Service("127.0.0.1")
    runner = await made.start()
    yield made
    await runner.cleanup()


@pytest_asyncio.fixture
async def inner() -> AsyncIterator[Service]:
    """A server at an address that the guard must keep people from."""
    made = Service("127.0.0.2")
    runner = await made.start()
    yield made
    await runner.cleanup()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest_asyncio.fixture
async def client(pauses: Pauses) -> AsyncIterator[HttpClient]:
    made = HttpClient(
        timeout=20,
        sleep=pauses,
        jitter=lambda: 1.0,
        max_bytes=1_000,
        policy=AddressPolicy.of(allowed=["127.0.0.1/32"]),
        lookup=Names(["127.0.0.1"]),
        now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
    )
    await made.start()
    yield made
    await made.stop()


def guarded(lookup: Names, **more: Any) -> HttpClient:
    return HttpClient(timeout=20, policy=AddressPolicy.of(allowed=["127.0.0.1/32"]), lookup=lookup, **more)


async def failed(awaitable: Awaitable[Any]) -> Any:
    with pytest.raises(HttpError) as caught:
        await awaitable
    assert caught.value.human
    return caught.value


async def test_json_there_and_back(client: HttpClient, service: Service) -> None:
    service.says(200, b'{"ok": true}', Content_Type="application/json")
    assert await client.post_json(service.url + "/a", {"n": "ü"}, params={"q": "1 2"}, headers={"X-Key": "k"}) == {
        "ok": True
    }
    request = service.asked[0]
    assert (request.method, request.path, request.query["q"]) == ("POST", "/a", "1 2")
    assert (request.headers["Content-Type"], request.headers["Accept"]) == ("application/json", "application/json")
    assert (request.headers["X-Key"], request.headers["User-Agent"]) == ("k", "Rialto")
    assert service.bodies == ['{"n": "ü"}'.encode()]


async def test_text_and_what_is_no_json(client: HttpClient, service: Service) -> None:
    service.says(200, "grün".encode("latin-1"), Content_Type="text/plain; charset=latin-1")
    response = await client.get(service.url)
    assert (response.text(), response.content_type, response.status) == ("grün", "text/plain", 200)
    for body in (b"<html>", b"", b"[" * 500 + b"\xff"):
        service.says(200, body)
        error = await failed(client.get_json(service.url))
        assert isinstance(error, HttpUnexpected) and error.fields["reason"] == "json"
    service.says(200, b"x", Content_Type="text/plain; charset=martian")
    with pytest.raises(HttpUnexpected):
        (await client.get(service.url)).text()


async def test_a_status_that_is_no_answer(client: HttpClient, service: Service) -> None:
    service.says(404, b"gone", times=2)
    error = await failed(client.get(service.url + "/x?token=s3cret"))
    assert isinstance(error, HttpRefused)
    assert (error.code, error.status, error.response.body, error.retry_after) == ("http_refused", 404, b"gone", None)
    assert error.fields == {"status": 404, "method": "GET", "origin": service.url}
    assert (await client.get(service.url, expect={200, 404})).status == 404


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_tried_again(client: HttpClient, service: Service, pauses: Pauses, status: int) -> None:
    service.says(status, times=2)
    assert (await client.get(service.url)).body == b"fine"
    assert pauses.seconds == [0.5, 1.0]


async def test_given_up_after_three_attempts(client: HttpClient, service: Service) -> None:
    service.says(503, times=9)
    assert (await failed(client.get(service.url))).status == 503
    assert len(service.asked) == 3


@pytest.mark.parametrize(
    ("method", "key", "asked"),
    [
        ("POST", None, 1),
        ("PATCH", None, 1),
        ("POST", "k-1", 2),
        ("PUT", None, 2),
        ("DELETE", None, 2),
        ("get", None, 2),
    ],
)
async def test_only_what_is_idempotent(
    client: HttpClient, service: Service, method: str, key: str | None, asked: int
) -> None:
    service.says(503)
    call = client.request(method, service.url, data=b"body", idempotency_key=key)
    if asked == 1:
        assert (await failed(call)).status == 503
    else:
        assert (await call).status == 200
    assert [request.headers.get("Idempotency-Key") for request in service.asked] == [key] * asked
    assert service.bodies == [b"body"] * asked


async def test_statuses_that_trying_again_does_not_change(client: HttpClient, service: Service) -> None:
    for status in (400, 401, 404, 409, 501, 505):
        service.says(status)
        assert (await failed(client.get(service.url))).status == status
    assert len(service.asked) == 6


@pytest.mark.parametrize(
    ("value", "pause"),
    [
        ("7", 7.5),
        ("Thu, 01 Jan 2026 00:00:05 GMT", 5.5),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.5),
        ("soon", 0.5),
        ("-3", 0.5),
        ("", 0.5),
        ("٣", 0.5),
    ],
)
async def test_retry_after(client: HttpClient, service: Service, pauses: Pauses, value: str, pause: float) -> None:
    service.says(429, Retry_After=value)
    assert (await client.get(service.url)).status == 200
    assert pauses.seconds == [pause]


@pytest.mark.parametrize("value", ["3600", "Fri, 02 Jan 2026 00:00:00 GMT", "999999999"])
async def test_a_pause_beyond_the_timeout_is_not_begun(
    client: HttpClient, service: Service, pauses: Pauses, value: str
) -> None:
    service.says(429, Retry_After=value)
    error = await failed(client.get(service.url))
    assert isinstance(error, HttpRefused) and error.retry_after is not None and error.retry_after >= 3_600
    assert pauses.seconds == []


async def test_broken_connections(client: HttpClient, service: Service, pauses: Pauses) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    service.does(cut)
    assert (await client.get(service.url)).status == 200
    for _ in range(3):
        service.does(cut)
    error = await failed(client.post(service.url))
    assert isinstance(error, HttpUnreachable) and error.fields["origin"] == service.url


async def test_nobody_there(client: HttpClient, pauses: Pauses) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        error = await failed(client.get(f"http://127.0.0.1:{taken.getsockname()[1]}/?token=s3cret"))
    assert isinstance(error, HttpUnreachable)
    assert len(pauses.seconds) == 2
    assert "s3cret" not in repr(error.fields) + str(error)


async def test_timeouts(client: HttpClient, service: Service) -> None:
    never = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x")
        await never.wait()
        return response

    for handler in (hang, drip):
        service.does(handler)
        error = await failed(client.get(service.url, timeout=0.1))
        assert isinstance(error, HttpTimedOut) and error.fields["seconds"] == 0.1
        service.does(handler)
        error = await failed(client.fetch_untrusted(service.url, ports=[service.port], timeout=0.1))
        assert isinstance(error, HttpTimedOut)
    never.set()


@pytest.mark.parametrize(
    ("size", "limit", "fits"), [(1_000, None, True), (1_001, None, False), (5, 5, True), (6, 5, False)]
)
async def test_sizes(client: HttpClient, service: Service, size: int, limit: int | None, fits: bool) -> None:
    async def chunked(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"x" * size)
        return response

    for _ in range(2):
        service.says(200, b"x" * size)
        service.does(chunked)
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: client.get(service.url, max_bytes=limit),
        lambda: client.get(service.url, max_bytes=limit),
        lambda: client.fetch_untrusted(service.url, ports=[service.port], max_bytes=limit),
        lambda: client.fetch_untrusted(service.url, ports=[service.port], max_bytes=limit),
    ]
    for call in calls:
        if fits:
            assert len((await call()).body) == size
        else:
            assert isinstance(await failed(call()), HttpTooLarge)


async def test_a_small_answer_that_unpacks_to_a_large_one(client: HttpClient, service: Service) -> None:
    packed = gzip.compress(bytes(50_000_000))
    service.says(200, packed, times=2, Content_Encoding="gzip")
    assert isinstance(await failed(client.get(service.url, max_bytes=100_000)), HttpTooLarge)
    error = await failed(client.fetch_untrusted(service.url, ports=[service.port], max_bytes=100_000))
    assert isinstance(error, HttpTooLarge)


async def test_redirects_in_the_same_place(client: HttpClient, service: Service) -> None:
    service.says(302, Location="/b?x=1")
    response = await client.post(service.url + "/a", json={"a": 1}, headers={"Authorization": "Bearer t"})
    assert (response.url.path, [request.method for request in service.asked]) == ("/b", ["POST", "GET"])
    assert service.asked[1].headers["Authorization"] == "Bearer t"
    assert "Content-Type" not in service.asked[1].headers and service.bodies[1] == b""
    service.says(307, Location="/c")
    await client.post(service.url + "/a", data=b"body")
    assert (service.asked[-1].method, service.asked[-1].path, service.bodies[-1]) == ("POST", "/c", b"body")
    service.says(303, Location="/d")
    await client.request("PUT", service.url + "/a", data=b"body")
    assert (service.asked[-1].method, service.bodies[-1]) == ("GET", b"")


async def test_redirects_have_an_end(client: HttpClient, service: Service) -> None:
    service.says(302, times=6, Location="/again")
    error = await failed(client.get(service.url))
    assert isinstance(error, HttpUnexpected) and len(service.asked) == 6


async def test_redirects_elsewhere_lose_what_was_not_meant_for_there(client: HttpClient, service: Service) -> None:
    service.says(302, Location=f"http://{NAME}:{service.port}/b")
    sent = {"Authorization": "Bearer t", "X-Api-Key": "k", "Cookie": "c=1", "Accept": "text/plain"}
    assert (await client.get(service.url, headers=sent)).body == b"fine"
    arrived = service.asked[1].headers
    assert arrived["Host"] == f"{NAME}:{service.port}" and arrived["Accept"] == "text/plain"
    assert not {"Authorization", "X-Api-Key", "Cookie"} & set(arrived)
    service.says(307, Location=f"http://{NAME}:{service.port}/b")
    error = await failed(client.post(service.url, data=b"body"))
    assert isinstance(error, HttpUnexpected) and len(service.asked) == 3


async def test_redirects_elsewhere_are_guarded(client: HttpClient, service: Service, inner: Service) -> None:
    service.says(302, Location=inner.url)
    error = await failed(client.get(service.url))
    assert isinstance(error, UnsafeUrl) and error.reason == "address"
    assert inner.asked == []
    service.says(302, Location=f"http://user:pw@{NAME}:{service.port}/")
    assert (await failed(client.get(service.url))).reason == "userinfo"


@pytest.mark.parametrize(
    "location", ["ftp://x.org/", "file:///etc/passwd", "gopher://x.org", "javascript:1", "data:,x"]
)
async def test_redirects_to_other_schemes(client: HttpClient, service: Service, location: str) -> None:
    service.says(302, times=2, Location=location)
    assert (await failed(client.get(service.url))).reason == "scheme"
    assert (await failed(client.fetch_untrusted(service.url, ports=[service.port]))).reason == "scheme"


async def test_not_from_https_to_http() -> None:
    client = HttpClient()
    for is_guarded in (False, True):
        request = _Request("GET", URL("https://a.org/"), {}, None, 1, guarded=is_guarded)
        with pytest.raises(UnsafeUrl):
            client._redirected(request, 302, "http://a.org/")
        onward = client._redirected(request, 302, "//b.org/x")
        assert str(onward.url) == "https://b.org/x" and onward.guarded


async def test_what_a_person_named(client: HttpClient, service: Service) -> None:
    service.says(200, b"<html>", Content_Type="text/html; charset=utf-8")
    page = await client.fetch_untrusted(
        f"http://{NAME}:{service.port}/a?b=c#d", ports=[service.port], content_types=["text/html", "image/*"]
    )
    assert page.body == b"<html>"
    assert service.asked[0].path_qs == "/a?b=c"
    assert service.asked[0].headers["Host"] == f"{NAME}:{service.port}"
    assert set(service.asked[0].headers) <= {"Host", "Accept", "Accept-Encoding", "User-Agent", "Connection"}


async def test_kinds_of_content(client: HttpClient, service: Service) -> None:
    for kind, wanted, fits in [
        ("image/png", ["image/*"], True),
        ("IMAGE/PNG", ["image/png"], True),
        ("imagex/png", ["image/*"], False),
        ("text/html", ["image/*", "text/plain"], False),
    ]:
        service.says(200, b"x", Content_Type=kind)
        call = client.fetch_untrusted(service.url, ports=[service.port], content_types=wanted)
        if fits:
            assert (await call).body == b"x"
        else:
            assert (await failed(call)).fields["reason"] == "content_type"


async def test_an_error_of_a_service_that_a_person_named_is_not_tried_again(
    client: HttpClient, service: Service
) -> None:
    service.says(503, times=2)
    error = await failed(client.fetch_untrusted(service.url, ports=[service.port]))
    assert error.fields == {"status": 503, "method": "GET"}
    assert len(service.asked) == 1


async def test_a_name_that_leads_inside(service: Service, inner: Service) -> None:
    for addresses in (["127.0.0.2"], ["::1"], ["10.0.0.1", "169.254.169.254"], ["::ffff:127.0.0.1"], ["nonsense"]):
        client = guarded(Names(addresses))
        await client.start()
        error = await failed(client.fetch_untrusted(f"http://{NAME}:{inner.port}", ports=[inner.port]))
        assert isinstance(error, UnsafeUrl) and error.reason == "address"
        await client.stop()
    assert inner.asked == []


async def test_of_several_addresses_only_the_permitted(service: Service) -> None:
    client = guarded(Names(["127.0.0.2", "127.0.0.1", "::1"]))
    await client.start()
    assert (await client.fetch_untrusted(f"http://{NAME}:{service.port}", ports=[service.port])).body == b"fine"
    await client.stop()
    assert len(service.asked) == 1


async def test_a_name_that_resolves_otherwise_the_next_time(service: Service) -> None:
    """DNS rebinding: what is connected to is what was checked, and the next hop is checked anew."""
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    client = guarded(names)
    await client.start()
    url = f"http://{NAME}:{service.port}/"
    assert (await client.fetch_untrusted(url, ports=[service.port])).body == b"fine"
    assert names.asked == [NAME]
    error = await failed(client.fetch_untrusted(url, ports=[service.port]))
    assert isinstance(error, UnsafeUrl)
    await client.stop()

    names = Names(["127.0.0.1"], ["127.0.0.2"])
    client = guarded(names)
    await client.start()
    service.says(302, Location="/next")
    assert isinstance(await failed(client.fetch_untrusted(url, ports=[service.port])), UnsafeUrl)
    assert names.asked == [NAME, NAME]
    await client.stop()


async def test_redirects_of_what_a_person_named(client: HttpClient, service: Service, inner: Service) -> None:
    for location in (
        inner.url,
        f"http://[::1]:{inner.port}/",
        f"http://u:p@{NAME}:{service.port}/",
        f"http://{NAME}:1/",
    ):
        service.says(302, Location=location)
        error = await failed(client.fetch_untrusted(service.url, ports=[service.port, inner.port]))
        assert isinstance(error, UnsafeUrl)
    assert inner.asked == []
    service.says(302, Location=f"http://{NAME}:{service.port}/next")
    assert (await client.fetch_untrusted(service.url, ports=[service.port])).url.path == "/next"


async def test_no_proxy_of_the_environment(
    client: HttpClient, service: Service, inner: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, inner.url)
    monkeypatch.delenv("no_proxy", raising=False)
    assert (await client.get(service.url)).body == b"fine"
    assert (await client.fetch_untrusted(service.url, ports=[service.port])).body == b"fine"
    assert inner.asked == []


async def test_no_cookies(client: HttpClient, service: Service) -> None:
    service.says(200, times=2, Set_Cookie="a=b; Path=/")
    for _ in range(2):
        await client.get(service.url)
        await client.fetch_untrusted(service.url, ports=[service.port])
    assert not any("Cookie" in request.headers for request in service.asked)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "url"),
        ("example.org", "url"),
        ("http:example.org", "url"),
        ("http:/example.org", "url"),
        ("//example.org", "url"),
        ("http://exa mple.org/", "url"),
        ("http://example.org/\r\nHost: x", "url"),
        ("http://example.org\\@127.0.0.1/", "url"),
        ("http://example.org/\u202e", "url"),
        ("http://example.org:99999/", "url"),
        ("http://example.org/" + "x" * 3_000, "url"),
        ("ftp://example.org/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("unix:///run/docker.sock", "scheme"),
        ("http://user@example.org/", "userinfo"),
        ("http://user:pw@example.org/", "userinfo"),
        ("http://example.org@127.0.0.1/", "userinfo"),
        ("http://example.org:22/", "port"),
        ("http://example.org:443/", "port"),
        ("https://example.org:80/", "port"),
        ("http://example.org:0/", "port"),
        ("http://localhost/", "host"),
        ("http://intranet/", "host"),
        ("http:///path", "host"),
        ("http://2130706433/", "host"),
        ("http://0x7f000001/", "host"),
        ("http://127.1/", "host"),
        ("http://0177.0.0.1/", "host"),
        ("http://127.0.0.1./", "host"),
        ("http://127.0.0.0x1/", "host"),
        ("http://x.1/", "host"),
        ("http://example..org/", "host"),
        ("http://exa%6dple.org/", "host"),
        ("http://127.0.0.1/", "address"),
        ("http://１２７.0.0.1/", "address"),
        ("http://0.0.0.0/", "address"),
        ("http://169.254.169.254/latest/meta-data/", "address"),
        ("http://[::1]/", "address"),
        ("http://[::]/", "address"),
        ("http://[::ffff:127.0.0.1]/", "address"),
        ("http://[::ffff:a9fe:a9fe]/", "address"),
        ("http://[64:ff9b::7f00:1]/", "address"),
        ("http://[2002:7f00:1::]/", "address"),
        ("http://[fe80::1%25eth0]/", "address"),
    ],
)
async def test_urls_that_are_not_followed(url: str, reason: str) -> None:
    client = HttpClient(lookup=Names(["127.0.0.1"]))
    await client.start()
    error = await failed(client.fetch_untrusted(url))
    await client.stop()
    assert isinstance(error, UnsafeUrl)
    assert error.reason == reason
    assert error.fields == {"reason": reason}


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "HTTPS://EXAMPLE.ORG:443/a?b#c",
        "http://example.org./",
        "http://münchen.de/straße",
        "http://_dmarc.example.org/",
        "http://1.example.co/",
        "http://93.184.215.14/",
        "http://[2606:4700::1111]/",
    ],
)
def test_urls_that_are_followed(url: str) -> None:
    assert AddressPolicy().check(url).fragment == ""


NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2001:10::1",
    "2002:a00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:10.0.0.1",
    "2606:4700::1%eth0",
    "4000::1",
    "x",
    "127.1",
    "0177.0.0.1",
    "1.1.1.1/32",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "192.0.1.1",
    "198.17.0.1",
    "198.20.0.1",
    "2606:4700::1111",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not AddressPolicy().permits(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_that_are_public(address: str) -> None:
    assert AddressPolicy().permits(address)


@given(st.ip_addresses())
def test_no_address_that_python_knows_as_private_is_public(address: Any) -> None:
    if AddressPolicy().permits(str(address)):
        assert address.is_global and not address.is_multicast and not address.is_reserved and not address.is_loopback


def test_what_operators_allow_and_deny() -> None:
    policy = AddressPolicy.of(allowed=["10.0.0.0/8"], denied=["10.0.0.1/32", "8.8.8.8/32"])
    assert policy.permits("10.0.0.2") and policy.permits("1.1.1.1")
    assert not policy.permits("10.0.0.1") and not policy.permits("8.8.8.8")
    with pytest.raises(ValueError, match="host bits"):
        AddressPolicy.of(allowed=["10.0.0.1/8"])


async def test_the_socket_is_the_last_to_look(inner: Service) -> None:
    """An address that comes past the resolver is refused too."""
    connector = guarded_connector(AddressPolicy(), Names(["1.1.1.1"]), connections=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(UnsafeUrl):
            await session.get(inner.url)  # an address in the URL is not given to resolvers
    assert inner.asked == []


async def test_names_of_the_machine() -> None:
    lookup = SystemLookup()
    try:
        with pytest.raises(OSError):
            await lookup("name.invalid", 80)  # RFC 6761: never resolves
    finally:
        lookup.close()
    with pytest.raises(OSError, match="no address"):
        await GuardedResolver(AddressPolicy(), Names([])).resolve(NAME)


async def test_a_name_without_an_address(service: Service) -> None:
    client = guarded(Names([]))
    await client.start()
    error = await failed(client.fetch_untrusted(f"http://{NAME}/"))
    assert isinstance(error, HttpUnreachable) and "origin" not in error.fields
    await client.stop()


async def test_nothing_of_a_url_in_logs(client: HttpClient, service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    service.says(503, times=3)
    error = await failed(
        client.get(service.url + "/hooks/s3cret-path?token=s3cret-query#s3cret", headers={"A": "s3cret"})
    )
    written = [record for record in caplog.records if record.name.startswith("bots.")]
    assert len(written) == 2 and written[0].__dict__["origin"] == service.url
    secrets = [str(error), repr(error.fields), *(repr(record.__dict__) for record in caplog.records)]
    assert not any("s3cret" in text for text in secrets)

    caplog.clear()
    for status in (404, 302):
        service.says(status, Location="http://[broken")
        error = await failed(client.fetch_untrusted(f"http://{NAME}:{service.port}/?q=s3cret", ports=[service.port]))
        texts = [str(error), repr(error.fields), *(repr(record.__dict__) for record in caplog.records)]
        assert not any("s3cret" in text or NAME in text for text in texts)
        assert error.__cause__ is None


@pytest.mark.parametrize(
    ("url", "reason"), [("nonsense", "scheme"), ("ftp://x.org", "scheme"), ("http://", "host"), ("http://[", "url")]
)
async def test_urls_of_plugins(client: HttpClient, url: str, reason: str) -> None:
    assert (await failed(client.get(url))).reason == reason


async def test_starting_and_stopping(service: Service) -> None:
    client = HttpClient()
    with pytest.raises(RuntimeError, match="not started"):
        await client.get(service.url)
    await client.start()
    await client.start()
    assert (await client.get(service.url)).status == 200
    await client.stop()
    await client.stop()
    with pytest.raises(RuntimeError, match="not started"):
        await client.get(service.url)


def test_bad_settings() -> None:
    for bad in ({"timeout": 0}, {"attempts": 0}, {"max_bytes": 0}, {"connect_timeout": -1}):
        with pytest.raises(ValueError, match="more than 0"):
            HttpClient(**bad)  # type: ignore[arg-type]
