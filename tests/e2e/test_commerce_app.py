"""The mini app on a real Synapse: by a link from an encrypted chat, and as a widget that Synapse vouches for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from tests.e2e.test_commerce_shop import Talk, opens, talk
from tests.support.fixtures import NewHuman, StartRialto
from tests.support.human import Human
from tests.support.mini_app import HIDDEN
from tests.support.purse import with_money
from tests.support.servers import RialtoProcess

LINK = re.compile(r"http://\S+/app/shop/enter/\S+")


@pytest.fixture
async def operator(new_human: NewHuman) -> Human:
    """Who approves merchants."""
    return await new_human("operator")


@pytest.fixture
async def service(rialto: StartRialto, operator: Human) -> AsyncIterator[RialtoProcess]:
    overrides = {**with_money(), "permissions": {"roles": {"operator": [operator.id]}}}
    overrides["web"]["widget_clients"] = ["https://app.element.io"]
    process = await rialto(("wallet", "shop"), overrides=overrides)
    yield process
    await process.stop()


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


async def sent(browser: aiohttp.ClientSession, url: str, base: str, **fields: str) -> str:
    """Fill in the form of a page and send it."""
    async with browser.get(url) as answer:
        assert answer.status == 200
        hidden = dict(HIDDEN.findall(await answer.text()))
    headers = {"Origin": base, "Sec-Fetch-Site": "same-origin"}
    async with browser.post(url, data={**hidden, **fields}, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.text()


async def vouched(human: Human) -> dict[str, Any]:
    """What a client asks the homeserver for when a widget wants to know who the person is."""
    path = f"/_matrix/client/v3/user/{quote(human.id, safe='')}/openid/request_token"
    answer: dict[str, Any] = await human.request("POST", path, body={})
    return answer


async def test_link_and_widget(
    service: RialtoProcess, operator: Human, alice: Human, bob: Human, browser: aiohttp.ClientSession
) -> None:
    shop = service.bot("shop")
    await opens(bob, await talk(operator, shop), "Spades", ("Spade", "30", "5"))
    base = service.config["web"]["public_url"]
    chat = await talk(alice, shop)
    found = LINK.search(await chat.says(("app", "Open this page within 10 minutes")))
    assert found is not None
    page = await sent(browser, found[0], base, action="open")
    assert "Spades" in page
    told = chat.hears("You have changed your cart on the page.")
    await sent(browser, f"{base}/app/shop/m/spades/p/spade", base, variant="one", quantity="2")
    assert "2 × Spade" in await told
    asked = chat.hears("Order for €60.00")
    await sent(browser, f"{base}/app/shop/cart", base, action="checkout")
    await asked

    # The same cart, in a widget of her client.
    await in_a_widget(chat, base, browser)


async def in_a_widget(chat: Talk, base: str, browser: aiohttp.ClientSession) -> None:
    """A client that vouches with a token of the real homeserver; one that Synapse does not know opens nothing."""
    token = await vouched(chat.human)
    body = {name: token[name] for name in ("access_token", "matrix_server_name")}
    headers = {"Origin": base, "Sec-Fetch-Site": "same-origin"}
    browser.cookie_jar.clear()
    for wrong in ({"access_token": "made-up"}, {"room_id": "!elsewhere:localhost"}):
        sending = {**body, "room_id": chat.room, **wrong}
        async with browser.post(f"{base}/app/shop/openid", json=sending, headers=headers) as answer:
            assert answer.status == 403
    async with browser.post(f"{base}/app/shop/openid", json={**body, "room_id": chat.room}, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
    async with browser.get(f"{base}/app/shop/cart") as answer:
        assert "€60.00" in await answer.text()
        assert "frame-ancestors https://app.element.io" in answer.headers["Content-Security-Policy"]
