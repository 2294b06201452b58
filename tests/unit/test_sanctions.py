"""Sanction lists over HTTP: a clear word, a hit, and everything else is unknown. The server is a real one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from bots.framework.clock import ManualClock
from bots.framework.http import HttpClient
from bots.payments import sanctions as module
from bots.payments.sanctions import CLEAR_FOR_MS, HttpSanctions, NoSanctions, Verdict, sanctions_of

ALICE, BOB = "@alice:localhost", "@bob:localhost"


class Lists:
    """A service that answers as a test says."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.answer: Any = {"verdict": "clear"}
        self.status = 200
        self.hangs = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        if self.hangs:
            await asyncio.Event().wait()
        if isinstance(self.answer, bytes):
            return web.Response(body=self.answer, status=self.status)
        return web.json_response(self.answer, status=self.status)


class Desk:
    def __init__(self, url: str, http: HttpClient, lists: Lists) -> None:
        self.lists = lists
        self.clock = ManualClock()
        self.sanctions = HttpSanctions(url, http, self.clock, timeout=0.3)

    async def ask(self, person: str = ALICE, counterpart: str = BOB) -> Verdict:
        return await self.sanctions.ask(person, counterpart)


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    lists = Lists()
    app = web.Application()
    app.router.add_post("/ask", lists.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    http = HttpClient()
    await http.start()
    yield Desk(f"http://127.0.0.1:{port}/ask", http, lists)
    await http.stop()
    await runner.cleanup()


async def test_both_people_are_asked_about_and_the_word_counts(desk: Desk) -> None:
    assert await desk.ask() is Verdict.CLEAR
    assert desk.lists.asked == [{"person": ALICE, "counterpart": BOB}]
    for word in ("hit", "unknown"):
        desk.lists.answer = {"verdict": word}
        assert await desk.ask(BOB, ALICE) is Verdict(word)


async def test_a_clear_answer_is_kept_for_a_while_and_no_other(desk: Desk) -> None:
    assert [await desk.ask() for _ in range(3)] == [Verdict.CLEAR] * 3
    assert len(desk.lists.asked) == 1
    desk.clock.advance(milliseconds=CLEAR_FOR_MS - 1)
    await desk.ask()
    assert len(desk.lists.asked) == 1
    desk.lists.answer = {"verdict": "hit"}
    desk.clock.advance(milliseconds=1)
    assert [await desk.ask() for _ in range(2)] == [Verdict.HIT] * 2
    assert len(desk.lists.asked) == 3
    desk.lists.answer = {"verdict": "clear"}
    assert await desk.ask() is Verdict.CLEAR


async def test_what_is_kept_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHED", 2)
    for number in range(4):
        await desk.ask(f"@p{number}:localhost")
    await desk.ask("@p3:localhost")
    assert len(desk.lists.asked) == 4
    await desk.ask("@p0:localhost")
    assert len(desk.lists.asked) == 5


@pytest.mark.parametrize(
    "answer",
    [{"verdict": "yes"}, {"verdict": None}, {"verdict": ["clear"]}, {}, [], "clear", None, b"clear", b"", b"\xff"],
)
async def test_what_cannot_be_understood_is_unknown(desk: Desk, answer: Any) -> None:
    desk.lists.answer = answer
    assert await desk.ask() is Verdict.UNKNOWN


@pytest.mark.parametrize("status", [201, 204, 302, 400, 401, 404, 429, 500, 503])
async def test_another_status_is_unknown(desk: Desk, status: int) -> None:
    desk.lists.status = status
    assert await desk.ask() is Verdict.UNKNOWN


async def test_no_answer_is_unknown_and_the_log_names_nobody(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.lists.hangs = True
    with caplog.at_level(logging.INFO):
        assert await desk.ask() is Verdict.UNKNOWN
    (record,) = caplog.records
    assert "could not be asked" in record.message
    assert ALICE not in str(record.__dict__) and BOB not in str(record.__dict__)
    desk.lists.hangs = False
    assert await desk.ask() is Verdict.CLEAR


async def test_without_an_address_nobody_is_asked(desk: Desk) -> None:
    chosen = sanctions_of("", desk.sanctions._http, desk.clock)
    assert isinstance(chosen, NoSanctions)
    assert await chosen.ask(ALICE, BOB) is Verdict.CLEAR
    assert isinstance(sanctions_of("http://127.0.0.1:1/", desk.sanctions._http, desk.clock), HttpSanctions)
