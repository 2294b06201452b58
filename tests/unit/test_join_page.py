"""The page of an invite link, over a real listener."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from html import unescape

import pytest
from aiohttp import ClientSession, CookieJar

from appservice.config.models import Web
from appservice.database import DatabaseError
from appservice.homeserver import HomeserverError
from bots.framework.i18n import Catalogues
from bots.framework.web import WebServer
from bots.hub.join_page import PEOPLE, SENDS, JoinPage
from bridge.actor import Actor
from bridge.domain.kinds import Kind
from bridge.domain.links import Link
from bridge.links.wiring import PREFIX
from bridge.store.chats import Chat
from tests.support.messenger import HUB, PICKLE_KEY, SERVER, MessengerWorld

CSRF = re.compile('name="csrf" value="([0-9a-f]{64})"')
TITLE = re.compile("<h1>(.*?)</h1>", re.DOTALL)
EVIL = '<script>alert(1)</script>" onload="x'


class Site:
    """A world with pages."""

    def __init__(self, world: MessengerWorld, web: WebServer, url: str) -> None:
        self.world = world
        self.web = web
        self.url = url
        self.now = 0.0

    async def group(self, name: str = "Tea", **given: object) -> Chat:
        alice = self.world.person("alice")
        kind = given.pop("kind", Kind.GROUP)
        assert isinstance(kind, Kind)
        chat = await self.world.chats.create(Actor.person(alice.user_id), kind, name=name, key=name, **given)  # type: ignore[arg-type]
        await alice.joins(chat.room_id)
        return chat

    async def link(self, chat: Chat, **given: object) -> Link:
        alice = Actor.person(self.world.person("alice").user_id)
        return await self.world.messenger.links.create(alice, chat, **given)  # type: ignore[arg-type]

    def page(self, link: Link) -> str:
        return f"{self.url}{PREFIX}/{link.token}"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    async with MessengerWorld(web={"enabled": True, "public_url": url}) as world:
        web = WebServer(Web(enabled=True, listen=f"127.0.0.1:{port}", public_url=url))
        made = Site(world, web, url)
        page = JoinPage(
            world.messenger.links,
            Catalogues(),
            world.clock,
            pickle_key=PICKLE_KEY,
            public_url=url,
            server_name=SERVER,
            hub=HUB,
            monotonic=lambda: made.now,
        )
        web.mount(PREFIX, page.app())
        await web.start()
        yield made
        await web.stop()


@pytest.fixture
async def browser() -> AsyncIterator[ClientSession]:
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        yield session


async def look(browser: ClientSession, url: str, **headers: str) -> tuple[int, str, str]:
    """Status, title, and the whole page."""
    async with browser.get(url, headers=headers) as response:
        text = await response.text()
        found = TITLE.search(text)
        return response.status, unescape(found[1]) if found else "", text


async def send(browser: ClientSession, url: str, person: str, **form: str) -> tuple[int, str, str]:
    """Open the page, fill its form in and send it."""
    _, _, text = await look(browser, url)
    found = CSRF.search(text)
    form = {"csrf": found[1] if found else "", "action": "join", "person": person} | form
    async with browser.post(url, data=form) as response:
        text = await response.text()
        title = TITLE.search(text)
        return response.status, unescape(title[1]) if title else "", text


async def test_somebody_joins_by_the_page(site: Site, browser: ClientSession) -> None:
    chat = await site.group(f"Tea {EVIL}", topic=f"All of it. {EVIL}")
    link = await site.link(chat, expires_in=3600, uses=2)
    url = site.page(link)
    assert site.world.messenger.links.url(link) == f"https://pages.world{PREFIX}/{link.token}"
    async with browser.get(url) as response:
        text = await response.text()
        policy = response.headers["Content-Security-Policy"]
    assert response.status == 200
    assert "script-src" not in policy and "default-src 'none'" in policy
    assert "<script" not in text and EVIL not in text and unescape(text).count(EVIL) >= 2
    assert "<svg" in text and link.token in text and f"matrix.to/#/{chat.room_id}?via={SERVER}" in unescape(text)
    assert "style=" not in text  # the policy would not let it count
    eve = site.world.person("eve", "elsewhere.example.org")
    status, title, text = await send(browser, url, eve.user_id)
    assert (status, title) == (200, "You are invited")
    assert site.world.room(chat.room_id).membership(eve.user_id) == "invite"
    await eve.joins(chat.room_id)
    status, title, _ = await send(browser, url, eve.user_id)
    assert (status, title) == (200, "You are invited")  # a second time is no harm


async def test_looking_uses_nothing_up(site: Site, browser: ClientSession) -> None:
    chat = await site.group()
    link = await site.link(chat, uses=1)
    for _ in range(10):
        assert (await look(browser, site.page(link)))[0] == 200
    found = await site.world.messenger.links.by_token(link.token)
    assert found is not None and found.used == 0


@pytest.mark.parametrize("written", ["", "alice", "@alice", "a b", "@a:b c", EVIL, "@alice:example.org\0", "x" * 600])
async def test_what_is_no_matrix_id_is_said_so(site: Site, browser: ClientSession, written: str) -> None:
    chat = await site.group()
    url = site.page(await site.link(chat))
    status, _, text = await send(browser, url, written)
    assert status in {400, 422}
    assert EVIL not in text
    if status == 422:
        assert "A Matrix id looks like @alice:example.org." in text
    assert site.world.room(chat.room_id).members("invite") == []


async def test_the_first_letter_may_be_left_out(site: Site, browser: ClientSession) -> None:
    chat = await site.group()
    assert (await send(browser, site.page(await site.link(chat)), " eve:world "))[1] == "You are invited"
    assert site.world.room(chat.room_id).membership("@eve:world") == "invite"


async def test_a_request_by_the_page(site: Site, browser: ClientSession) -> None:
    chat = await site.group(kind=Kind.CHANNEL)
    status, title, _ = await send(browser, site.page(await site.link(chat, approval=True)), "@eve:world")
    assert (status, title) == (200, "You have asked to join")
    alice = Actor.person(site.world.person("alice").user_id)
    assert [each.user_id for each in await site.world.messenger.links.requests(alice, chat)] == ["@eve:world"]


async def test_links_that_have_ended_and_links_that_never_were(site: Site, browser: ClientSession) -> None:
    chat = await site.group()
    alice = Actor.person(site.world.person("alice").user_id)
    expired, revoked, once = await site.link(chat, expires_in=60), await site.link(chat), await site.link(chat, uses=1)
    await site.world.messenger.links.revoke(alice, chat, revoked.id)
    await site.world.messenger.links.redeem("@bob:world", once.token)
    site.world.clock.advance(timedelta(seconds=60))
    for link, title in (
        (expired, "This invite link has expired"),
        (revoked, "This invite link was ended"),
        (once, "This invite link is used up"),
    ):
        assert (await look(browser, site.page(link)))[:2] == (410, title)
        assert (await send(browser, site.page(link), "@eve:world"))[0] in {403, 410}
    wrong = once.token[:-1] + ("0" if once.token[-1] != "0" else "1")
    for word in (wrong, "x", "..%2f..", "%00", "A" * 5_000):
        status, title, _ = await look(browser, f"{site.url}{PREFIX}/{word}")
        assert status in {400, 404}
        assert title in {"There is no such invite link", ""}
    assert site.world.room(chat.room_id).membership("@eve:world") == "leave"


async def test_nobody_learns_how_somebody_else_stands_with_the_chat(site: Site, browser: ClientSession) -> None:
    chat = await site.group()
    alice, banned, private = (site.world.person(name) for name in ("alice", "banned", "private"))
    await site.world.members.ban(Actor.person(alice.user_id), chat, banned.user_id)
    await site.world.messenger.privacy.change(private.user_id, add="nobody")
    url = site.page(await site.link(chat))
    answers = [await send(browser, url, person.user_id) for person in (banned, private)]
    pages = {text.replace(person.user_id, "X") for (_, _, text), person in zip(answers, (banned, private), strict=True)}
    assert {answer[:2] for answer in answers} == {(409, "This person cannot be invited here")}
    assert len({CSRF.sub("", page) for page in pages}) == 1
    assert site.world.room(chat.room_id).membership(private.user_id) == "leave"


async def test_a_form_of_another_site_is_not_taken(site: Site, browser: ClientSession) -> None:
    chat = await site.group()
    url = site.page(await site.link(chat))
    status, _, _ = await send(browser, url, "@eve:world", csrf="0" * 64)
    assert status == 403
    async with ClientSession() as other:
        _, _, text = await look(browser, url)
        found = CSRF.search(text)
        assert found is not None
        async with other.post(url, data={"csrf": found[1], "person": "@eve:world"}) as response:
            assert response.status == 403
    async with browser.post(url, data={"person": "@eve:world"}, headers={"Origin": "https://evil.example"}) as response:
        assert response.status == 403
    assert site.world.room(chat.room_id).members("invite") == []


async def test_nobody_is_named_without_end(site: Site, browser: ClientSession) -> None:
    chat = await site.group()
    url = site.page(await site.link(chat))
    for _ in range(PEOPLE.count):
        assert (await send(browser, url, "@eve:world"))[0] == 200
    status, title, _ = await send(browser, url, "@eve:world")
    assert (status, title) == (429, "Too many attempts")
    for number in range(SENDS.count):
        status, _, _ = await send(browser, url, f"@p{number}:world")
    assert status == 429
    site.now += 60
    assert (await send(browser, url, "@fay:world"))[0] == 200


async def test_when_a_server_does_not_answer(site: Site, browser: ClientSession) -> None:
    chat = await site.group()
    url = site.page(await site.link(chat))
    away = HomeserverError(502, "M_UNKNOWN", "away")
    site.world.homeserver.fault = lambda _, path: away if "/invite" in path else None
    assert (await send(browser, url, "@eve:world"))[1] == "Your invitation is on its way"
    site.world.homeserver.fault = lambda _, path: None
    site.world.clock.advance(timedelta(seconds=11))
    await site.world.messenger.links.run_due()
    assert site.world.room(chat.room_id).membership("@eve:world") == "invite"


async def test_when_the_database_does_not_answer(
    site: Site, browser: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = await site.group()
    url = site.page(await site.link(chat))

    async def away(_token: str) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(site.world.messenger.links, "look", away)
    assert (await look(browser, url))[:2] == (503, "Not available right now")


async def test_other_methods_and_paths(site: Site, browser: ClientSession) -> None:
    chat = await site.group()
    url = site.page(await site.link(chat))
    async with browser.put(url) as response:
        assert response.status == 405
    async with browser.get(f"{url}/more") as response:
        assert response.status == 404
    async with browser.head(url) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("accepted", "title", "direction"),
    [
        ("de-AT,en;q=0.5", "„Tea“ beitreten", "ltr"),
        ("ar", "انضم إلى «\u2068Tea\u2069»", "rtl"),
        ("xx", "Join “Tea”", "ltr"),
    ],
)
async def test_the_page_is_in_the_readers_language(
    site: Site, browser: ClientSession, accepted: str, title: str, direction: str
) -> None:
    chat = await site.group()
    url = site.page(await site.link(chat, expires_in=3600))
    _, found, text = await look(browser, url, **{"Accept-Language": accepted})
    assert found == title
    assert f'dir="{direction}"' in text
