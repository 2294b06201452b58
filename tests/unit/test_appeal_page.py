"""The page of an appeal, over a real listener."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator
from html import unescape

import pytest
from aiohttp import ClientSession, CookieJar

from appservice.config.models import Web
from bots.framework.i18n import Catalogues
from bots.framework.web import WebServer
from bots.hub.appeal_page import SENDS, AppealPage
from bridge.actor import Actor
from bridge.domain.moderation import AppealState
from bridge.moderation.appeal_links import PREFIX, AppealLinks
from tests.support.messenger import PICKLE_KEY
from tests.support.moderation import MIA, MO, ModerationWorld

CSRF = re.compile('name="csrf" value="([0-9a-f]{64})"')
TITLE = re.compile("<h1>(.*?)</h1>", re.DOTALL)
EVIL = '<script>alert(1)</script>" onload="x'


@pytest.fixture
async def world() -> AsyncIterator[ModerationWorld]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    async with ModerationWorld(web={"enabled": True, "public_url": url}) as made:
        # What the world calls the listener outside is this one.
        made.moderation._appeal_links = AppealLinks(PICKLE_KEY, lambda path: url + path)
        web = WebServer(Web(enabled=True, listen=f"127.0.0.1:{port}", public_url=url))
        page = AppealPage(made.moderation, Catalogues(), pickle_key=PICKLE_KEY, public_url=url, monotonic=lambda: 0.0)
        web.mount(PREFIX, page.app())
        await web.start()
        yield made
        await web.stop()


@pytest.fixture
async def browser() -> AsyncIterator[ClientSession]:
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        yield session


async def suspended(world: ModerationWorld) -> str:
    """Bob's account is suspended; the link that he is told."""
    case = await world.moderation.report("@alice:world", "", "@bob:world", "scam")
    await world.moderation.act(Actor.person(MO), case.id, "suspend", reason=f"Enough. {EVIL}")
    await world.settle()
    (told,) = world.told_to("@bob:world")
    return str(told.values["link"])


async def look(browser: ClientSession, url: str) -> tuple[int, str, str]:
    async with browser.get(url) as response:
        text = await response.text()
    found = TITLE.search(text)
    return response.status, unescape(found[1]).strip() if found else "", text


async def send(browser: ClientSession, url: str, why: str, **form: str) -> tuple[int, str, str]:
    _, _, text = await look(browser, url)
    found = CSRF.search(text)
    async with browser.post(
        url, data={"csrf": found[1] if found else "", "action": "appeal", "why": why} | form
    ) as response:
        text = await response.text()
    title = TITLE.search(text)
    return response.status, unescape(title[1]).strip() if title else "", text


async def test_who_is_suspended_is_heard(world: ModerationWorld, browser: ClientSession) -> None:
    url = await suspended(world)
    status, title, text = await look(browser, url)
    assert (status, title) == (200, "Appeal a decision")
    assert "<script>" not in text and "Enough." in text and "@alice" not in text and MO not in text
    assert (await send(browser, url, "  "))[0] == 422
    assert (await send(browser, url, "x" * 1_001))[0] == 422
    status, title, _ = await send(browser, url, f"It was not me. {EVIL}")
    assert (status, title) == (200, "Your appeal waits for a moderator")
    (waiting,) = (await world.moderation.appeals(Actor.person(MIA))).items
    assert waiting.user_id == "@bob:world" and waiting.text == f"It was not me. {EVIL}"
    answered = await world.moderation.answer_appeal(Actor.person(MIA), waiting.case.id, True, "Sorry.")
    assert answered.state is AppealState.GRANTED and not world.administration.suspended
    status, title, text = await look(browser, url)
    assert title == "Your appeal was granted" and "Sorry." in text


async def test_one_appeal_for_each_decision(world: ModerationWorld, browser: ClientSession) -> None:
    url = await suspended(world)
    _, _, text = await look(browser, url)
    found = CSRF.search(text)
    assert found is not None
    form = {"csrf": found[1], "action": "appeal", "why": "once"}
    async with browser.post(url, data=form) as response:
        assert response.status == 200
    async with browser.post(url, data=form) as response:
        assert response.status == 409


async def test_what_is_no_link(world: ModerationWorld, browser: ClientSession) -> None:
    url = await suspended(world)
    other = await world.moderation.report("@alice:world", "", "@carol:world", "scam")
    for token in (
        "x",
        url.rpartition("/")[2][:-1] + ("A" if url[-1] != "A" else "B"),
        f"{other.id}.{url.rpartition('.')[2]}",
        AppealLinks(PICKLE_KEY, str).make(other.id).rpartition("/")[2],  # not decided
        AppealLinks("another key", str).make(other.id).rpartition("/")[2],
    ):
        assert (await look(browser, f"{url.rpartition('/')[0]}/{token}"))[0] == 404
    await world.pass_time(days=31)
    assert (await send(browser, url, "late"))[0] == 410


async def test_a_foreign_form_is_refused(world: ModerationWorld, browser: ClientSession) -> None:
    url = await suspended(world)
    assert (await send(browser, url, "hm", csrf="0" * 64))[0] == 403
    async with browser.post(url, data={"why": "x"}, headers={"Origin": "https://evil.example"}) as response:
        assert response.status == 403
    assert not (await world.moderation.appeals(Actor.person(MIA))).items


async def test_not_too_often(world: ModerationWorld, browser: ClientSession) -> None:
    url = await suspended(world)
    for _ in range(SENDS.count):
        async with browser.post(url, data={"why": "x"}) as response:
            assert response.status in {400, 403}
    async with browser.post(url, data={"why": "x"}) as response:
        assert response.status == 429
