"""Pages over a real listener: links, forms, headers, languages; and what nobody learns."""

from __future__ import annotations

import base64
import gzip
import logging
import re
from collections.abc import AsyncIterator
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, CookieJar

from appservice.database import DatabaseError
from bots.framework.people import Person
from bots.pages import Button, Fact, Field, FieldKind, Form, HostedPage, Mark, Page, Visit
from bots.pages.app import LOOKS, SENDS
from bots.pages.forms import MAX_BODY
from tests.support.pages import ALICE, CSRF, TITLE, Site, running_site

EVIL = '<script>alert(1)</script>" onload="x'


class Greeting(HostedPage):
    """Wants to be told "hello"."""

    purpose = "greet"

    def __init__(self, site: Site) -> None:
        self.site = site
        self.greeted: list[str] = []
        self.problem: BaseException | None = None

    async def show(self, visit: Visit) -> Page:
        return self._page(visit)

    async def submit(self, visit: Visit, form: Form) -> Page:
        if self.problem is not None:
            raise self.problem
        if form["word"] != "hello":
            return self._page(visit, "Say hello.", form["word"])
        await self.site.database.write(visit.redeem)
        self.greeted.append(visit.subject)
        return Page("Thank you", mark=Mark.DONE)

    async def over(self, visit: Visit) -> Page | None:
        return Page("You have greeted me")

    @staticmethod
    def _page(visit: Visit, error: str = "", value: str = "") -> Page:
        return Page(
            f"Hello {visit.person}",
            facts=[Fact("From", EVIL, EVIL)],
            fields=[Field("word", "A word", FieldKind.TEXT, error=error, value=value)],
            buttons=[Button("go", "Go")],
            status=422 if error else 200,
        )


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path) as made:
        made.greeting = Greeting(made)  # type: ignore[attr-defined]
        made.add(made.greeting)  # type: ignore[attr-defined]
        yield made


@pytest.fixture
async def browser() -> AsyncIterator[ClientSession]:
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        yield session


async def opened(session: ClientSession, url: str) -> dict[str, str]:
    """The page's form."""
    async with session.get(url) as response:
        found = CSRF.search(await response.text())
        assert response.status == 200 and found is not None
        return {"csrf": found[1], "action": "go"}


async def title(response: ClientResponse) -> str:
    found = TITLE.search(await response.text())
    assert found is not None
    return unescape(found[1])


async def send(session: ClientSession, url: str, form: Any, **headers: str) -> tuple[int, str]:
    async with session.post(url, data=form, headers=headers) as response:
        return response.status, await title(response)


# --- links


async def test_looking_at_a_link_uses_nothing_up_and_sending_does_once(site: Site, browser: ClientSession) -> None:
    url = await site.link("greet", subject="s1")
    async with ClientSession() as preview:
        for _ in range(10):
            async with preview.get(url) as looked, preview.head(url) as headed:
                assert looked.status == headed.status == 200
                assert await headed.read() == b""
    form = await opened(browser, url)
    assert await send(browser, url, form | {"word": "hello"}) == (200, "Thank you")
    assert site.greeting.greeted == ["s1"]  # type: ignore[attr-defined]
    # A second click hears how it ended; somebody who has only the link does not.
    assert await send(browser, url, form | {"word": "hello"}) == (200, "You have greeted me")
    async with browser.get(url) as again:
        assert (again.status, await title(again)) == (410, "This link has been used")
    assert site.greeting.greeted == ["s1"]  # type: ignore[attr-defined]


async def test_a_form_that_is_not_right_uses_nothing_up(site: Site, browser: ClientSession) -> None:
    url = await site.link("greet")
    form = await opened(browser, url)
    async with browser.post(url, data=form | {"word": EVIL}) as response:
        text = await response.text()
    assert response.status == 422
    assert EVIL not in text and "&lt;script&gt;" in text
    assert '<a href="#word">Say hello.</a>' in text and "<title>Error: Hello" in text
    assert await send(browser, url, form | {"word": " hello "}) == (200, "Thank you")


async def test_an_expired_link(site: Site, browser: ClientSession) -> None:
    url = await site.link("greet", ttl_s=60)
    form = await opened(browser, url)
    site.clock.advance(seconds=59)
    await opened(browser, url)
    site.clock.advance(seconds=1)
    async with browser.get(url) as response:
        assert (response.status, await title(response)) == (410, "This link has expired")
    assert await send(browser, url, form | {"word": "hello"}) == (410, "This link has expired")
    assert site.greeting.greeted == []  # type: ignore[attr-defined]


async def test_a_token_that_is_not_ours_never_reaches_the_database(
    site: Site, browser: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await site.link("greet")
    path, _, token = url.rpartition("/")
    other = await site.link("pin")

    async def asked(work: object) -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(site.database, "read", asked)
    monkeypatch.setattr(site.database, "write", asked)
    last = "A" if token[-1] != "A" else "B"
    wrong = [
        f"{path}/{token[:-1]}{last}",
        f"{path}/{'A' * 64}",
        f"{path}/{token}x",
        f"{path}/short",
        f"{path}/{token[:-1]}é",
        f"{path}/{other.rpartition('/')[2]}",  # of another page
        url.replace("/greet/", "/nowhere/"),
    ]
    for each in wrong:
        async with browser.get(each) as response:
            assert (response.status, await title(response)) == (404, "This link does not exist"), each
        assert await send(browser, each, {"csrf": "0" * 64}) == (404, "This link does not exist"), each


async def test_a_link_that_was_forgotten_is_expired(site: Site, browser: ClientSession) -> None:
    url = await site.link("greet")
    from bots.store import pages as sql

    await site.database.write(lambda connection: sql.purge_links(connection, site.clock.now_ms() + 10**9))
    async with browser.get(url) as response:
        assert (response.status, await title(response)) == (410, "This link has expired")


# --- forms


async def test_a_form_needs_the_cookie_of_the_browser_that_opened_it(site: Site, browser: ClientSession) -> None:
    url = await site.link("greet")
    form = await opened(browser, url) | {"word": "hello"}
    async with ClientSession() as blocked:
        assert await send(blocked, url, form) == (403, "Your browser did not send its cookie")
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as other:
        await opened(other, url)
        assert await send(other, url, form) == (403, "That could not be taken")
    assert site.greeting.greeted == []  # type: ignore[attr-defined]
    assert await send(browser, url, form) == (200, "Thank you")


async def test_the_secret_of_a_form_is_good_for_its_link_only(site: Site, browser: ClientSession) -> None:
    first, second = await site.link("greet"), await site.link("greet")
    form = await opened(browser, first) | {"word": "hello"}
    await opened(browser, second)
    assert await send(browser, second, form) == (403, "That could not be taken")
    for wrong in ({"word": "hello"}, {"csrf": "", "word": "hello"}, {"csrf": "é", "word": "hello"}):
        assert await send(browser, first, wrong) == (403, "That could not be taken")
    assert await send(browser, first, form) == (200, "Thank you")


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
        ({"Origin": "OURS", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "OURS"}, True),
        ({}, True),
    ],
)
async def test_a_form_of_another_site_is_not_taken(
    site: Site, browser: ClientSession, headers: dict[str, str], taken: bool
) -> None:
    url = await site.link("greet")
    form = await opened(browser, url) | {"word": "hello"}
    headers = {name: site.local if value == "OURS" else value for name, value in headers.items()}
    expected = (200, "Thank you") if taken else (403, "That could not be taken")
    assert await send(browser, url, form, **headers) == expected


async def test_bodies_that_are_no_form(site: Site, browser: ClientSession) -> None:
    url = await site.link("greet")
    form = await opened(browser, url)
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    refused = "That could not be taken"
    assert await send(browser, url, b"{}", **{"Content-Type": "application/json"}) == (415, refused)
    assert await send(browser, url, gzip.compress(b"a=1"), **kind, **{"Content-Encoding": "gzip"}) == (415, refused)
    assert await send(browser, url, b"a=" + b"x" * MAX_BODY, **kind) == (413, refused)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"a" * 1024

    assert await send(browser, url, endless(), **kind) == (413, refused)
    assert await send(browser, url, b"a=%FF", **kind) == (400, refused)
    assert await send(browser, url, b"a=\xff", **kind) == (400, refused)
    assert await send(browser, url, b"&".join(b"f%d=1" % each for each in range(41)), **kind) == (400, refused)
    site.seconds += 60
    assert await send(browser, url, f"csrf={form['csrf']}&word=a&word=hello".encode(), **kind) == (400, refused)
    assert await send(browser, url, f"csrf={form['csrf']}&word=hello%00".encode(), **kind) == (400, refused)
    assert await send(browser, url, form | {"word": "hello"}) == (200, "Thank you")


async def test_one_link_is_used_so_often_only(site: Site, browser: ClientSession) -> None:
    url, other = await site.link("greet"), await site.link("greet")
    form = await opened(browser, url)
    for _ in range(SENDS.count):
        assert (await send(browser, url, form | {"word": "no"}))[0] == 422
    async with browser.post(url, data=form | {"word": "hello"}) as response:
        assert (response.status, await title(response)) == (429, "Too many attempts")
        assert response.headers["Retry-After"] == "6"
    site.seconds += 6
    assert await send(browser, url, form | {"word": "hello"}) == (200, "Thank you")
    for _ in range(LOOKS.count):
        await opened(browser, other)
    async with browser.get(other) as response:
        assert response.status == 429


async def test_without_the_database_people_are_told_to_come_again(
    site: Site, browser: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await site.link("greet")
    form = await opened(browser, url)
    site.greeting.problem = DatabaseError("gone")  # type: ignore[attr-defined]
    assert await send(browser, url, form | {"word": "hello"}) == (503, "Not available right now")
    site.greeting.problem = None  # type: ignore[attr-defined]
    assert await send(browser, url, form | {"word": "hello"}) == (200, "Thank you")


async def test_two_purposes_of_one_name_cannot_be(site: Site) -> None:
    with pytest.raises(ValueError, match="no page can be added"):
        site.add(Greeting(site))


# --- what a page is made of


async def test_the_headers_of_a_page(site: Site, browser: ClientSession) -> None:
    async with browser.get(await site.link("greet")) as response:
        text = await response.text()
        headers = response.headers
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    assert headers["Content-Security-Policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Robots-Tag"] == "noindex, nofollow"
    assert headers["X-Frame-Options"] == "DENY" and headers["X-Content-Type-Options"] == "nosniff"


async def test_a_page_loads_nothing_and_runs_nothing(site: Site, browser: ClientSession) -> None:
    async with browser.get(await site.link("greet")) as response:
        text = await response.text()
    assert "<script" not in text and "javascript:" not in text and "@import" not in text and "url(" not in text
    assert re.findall(r"<(?:img|link|iframe|object|embed|video|audio)\b", text) == []
    assert re.findall(r'\s(?:src|srcset|style|on\w+|action)="', text.replace(EVIL, "")) == []
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34; onload=" in text


@pytest.mark.parametrize(
    ("public", "name", "secure"),
    [("", "rialto-form", False), ("https://pay.example.org/rialto", "__Secure-rialto-form", True)],
)
async def test_the_cookie(tmp_path: Path, browser: ClientSession, public: str, name: str, secure: bool) -> None:
    async with running_site(tmp_path, public_url=public) as site:
        url = await site.link("pin")
        path = "/pages/" + url.partition("/pages/")[2]
        async with browser.get(site.local + path) as response:
            cookie = response.cookies[name]
        assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Strict", "")
        assert cookie["path"] == ("/rialto" if public else "") + path
        assert bool(cookie["secure"]) is secure
        headers = {"Origin": "https://pay.example.org", "Sec-Fetch-Site": "same-origin"} if public else {}
        async with browser.post(site.local + path, headers=headers, data={"csrf": "no"}) as response:
            assert response.status == 403


async def test_a_page_without_a_form_sets_no_cookie(site: Site, browser: ClientSession) -> None:
    url = await site.approval(site.payments.propose())
    async with browser.get(url) as response:
        assert (response.status, await title(response)) == (409, "You have no PIN yet")
        assert not response.cookies


# --- languages


@pytest.mark.parametrize(
    ("said", "accepted", "language", "direction"),
    [
        (None, "", "en", "ltr"),
        (None, "fr;q=0.5, de-AT, xx;q=0.9", "de-AT", "ltr"),
        (None, "tlh, *;q=0.1", "en", "ltr"),
        (None, "de;q=0, ar;q=0.1", "ar", "rtl"),
        ("pl", "de", "pl", "ltr"),
        ("tlh", "es", "es", "ltr"),
        (None, ",;q=x,=,;;" * 100, "en", "ltr"),
    ],
)
async def test_the_language_is_the_persons_then_the_browsers(
    site: Site, browser: ClientSession, said: str | None, accepted: str, language: str, direction: str
) -> None:
    site.people.known[ALICE] = Person(said, None)
    async with browser.get(await site.link("greet"), headers={"Accept-Language": accepted}) as response:
        assert f'<html lang="{language}" dir="{direction}">' in await response.text()


async def test_a_link_that_is_unknown_speaks_the_browsers_language(site: Site, browser: ClientSession) -> None:
    url = f"{site.local}/pages/greet/{'A' * 64}"
    async with browser.get(url, headers={"Accept-Language": "de"}) as response:
        assert await title(response) == "Diesen Link gibt es nicht"


async def test_logs_hold_neither_tokens_nor_what_was_typed(
    site: Site, browser: ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = await site.link("greet")
    form = await opened(browser, url)
    await send(browser, url, {"csrf": "no", "word": "hush-hush"})
    await send(browser, url, form | {"word": "hush-hush"})
    token = url.rpartition("/")[2]
    ours = [record for record in caplog.records if not record.name.startswith(("asyncio", "aiosqlite"))]
    assert any(record.name == "bots.pages.app" for record in ours)
    assert all(word not in str(vars(record)) for record in ours for word in (token, "hush-hush", form["csrf"]))
    assert "hush-hush" not in repr(Form({"word": "hush-hush"}))
