"""Metrics and health over a real listener."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from appservice.health import HealthListenError, HealthServer, Readiness
from appservice.metrics import Metrics


class Watched:
    """A listener with a readiness that a test can change."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.readiness = Readiness(True)
        self.server = HealthServer("127.0.0.1:0", self.metrics, lambda: self.readiness)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.port}{path}"


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    each = Watched()
    await each.server.start()
    yield each
    await each.server.stop()


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def test_live_while_the_loop_runs_whatever_readiness_says(watched: Watched, http: ClientSession) -> None:
    watched.readiness = Readiness(False, {"database": "gone"})
    async with http.get(watched.url("/health/live")) as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        assert response.headers["Cache-Control"] == "no-store"
        answer = await response.json()
    assert answer["status"] == "live"
    assert answer["uptime_seconds"] >= 0


async def test_ready_follows_the_callable(watched: Watched, http: ClientSession) -> None:
    async with http.get(watched.url("/health/ready")) as response:
        assert (response.status, await response.json()) == (200, {"status": "ready", "problems": {}})
    watched.readiness = Readiness(False, {"homeserver": "unreachable", "bot @echo:x": "no device"})
    async with http.get(watched.url("/health/ready")) as response:
        assert response.status == 503
        assert await response.json() == {
            "status": "not ready",
            "problems": {"homeserver": "unreachable", "bot @echo:x": "no device"},
        }
    watched.readiness = Readiness(True, {"bot @echo:x": "slow"})
    async with http.get(watched.url("/health/ready")) as response:
        assert (response.status, (await response.json())["problems"]) == (200, {"bot @echo:x": "slow"})


async def test_a_readiness_check_that_fails_is_not_ready(watched: Watched, http: ClientSession) -> None:
    def broken() -> Readiness:
        raise ValueError("what somebody wrote")

    watched.server._ready = broken
    async with http.get(watched.url("/health/ready")) as response:
        assert response.status == 503
        assert await response.json() == {"status": "not ready", "problems": {"health": "the check failed: ValueError"}}


async def test_metrics_can_be_parsed_and_count(watched: Watched, http: ClientSession) -> None:
    watched.metrics.events_received.inc(3)
    watched.metrics.events_dead.labels("bots.echo").inc()
    watched.metrics.sends_total.labels("ok").inc()
    watched.metrics.commit_units.observe(7)
    async with http.get(watched.url("/metrics")) as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain")
        text = await response.text()
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["rialto_events_received_total",] == 3
    assert samples["rialto_events_dead_total", ("consumer", "bots.echo")] == 1
    assert samples["rialto_sends_total", ("outcome", "ok")] == 1
    assert samples["rialto_commit_units_bucket", ("le", "8.0")] == 1
    assert samples["rialto_commit_units_bucket", ("le", "4.0")] == 0
    assert samples["process_resident_memory_bytes",] > 1_000_000
    assert any(name[0] == "python_info" for name in samples)
    assert any("python_gc_" in name[0] for name in samples)


@pytest.mark.parametrize("path", ["/", "/health", "/health/", "/metrics/x", "/health/live/", "/Metrics"])
async def test_other_paths_are_404(watched: Watched, http: ClientSession, path: str) -> None:
    async with http.get(watched.url(path)) as response:
        assert response.status == 404
        assert (await response.json())["error"] == "no such page"


@pytest.mark.parametrize("path", ["/metrics", "/health/live", "/health/ready"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_get_and_head(watched: Watched, http: ClientSession, path: str, method: str) -> None:
    async with http.request(method, watched.url(path)) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET, HEAD"
    async with http.head(watched.url(path)) as response:
        assert response.status == 200
        assert await response.read() == b""


async def test_an_address_in_use_is_told_and_leaves_nothing_behind(watched: Watched) -> None:
    again = HealthServer(f"127.0.0.1:{watched.server.port}", Metrics(), lambda: Readiness(True))
    told = f"metrics.listen: cannot listen on 127.0.0.1:{watched.server.port}: address already in use"
    with pytest.raises(HealthListenError, match=f"^{told}$"):
        await again.start()
    with pytest.raises(HealthListenError, match=r"cannot listen on no-such-host\.invalid:1: "):
        await HealthServer("no-such-host.invalid:1", Metrics(), lambda: Readiness(True)).start()
    await again.stop()
    with pytest.raises(RuntimeError, match="not started"):
        _ = again.port


async def test_stop_frees_the_port_and_can_be_repeated(http: ClientSession) -> None:
    watched = Watched()
    await watched.server.start()
    port = watched.server.port
    async with http.get(watched.url("/health/live")) as response:
        assert response.status == 200
    async with asyncio.timeout(5):
        await watched.server.stop()
        await watched.server.stop()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


async def test_ipv6_addresses_have_brackets(http: ClientSession) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    server = HealthServer("[::1]:0", Metrics(), lambda: Readiness(True))
    await server.start()
    try:
        async with http.get(f"http://[::1]:{server.port}/health/live") as response:
            assert response.status == 200
    finally:
        await server.stop()


def test_two_metrics_objects_do_not_meet() -> None:
    one, other = Metrics(), Metrics()
    one.events_done.inc()
    assert b"rialto_events_done_total 1.0" in one.render()[0]
    assert b"rialto_events_done_total 0.0" in other.render()[0]


def test_every_metric_is_named_and_described() -> None:
    metrics = Metrics()
    own = [family for family in metrics.registry.collect() if family.name.startswith("rialto_")]
    assert len(own) >= 14
    assert all(family.documentation.endswith(".") for family in own)
