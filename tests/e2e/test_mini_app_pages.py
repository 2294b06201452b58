"""The mini app in a real Chromium: phone and desk, without scripts, dark, from right to left, and as a widget."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, expect

from bots.commerce.page.together import Shared
from bots.domain.carts import Cart, CartLine
from bots.domain.catalogue import Choice, PriceRule
from bots.framework.people import Person
from tests.support.mini_app import BAKERY, BREAD, ROOM, AppSite, euros, running_app
from tests.support.pages import ALICE

PHONE = {"width": 390, "height": 844}
SMALL = {"width": 320, "height": 568}
DESK = {"width": 1280, "height": 900}
SHOTS = os.environ.get("RIALTO_TEST_SCREENSHOTS", "")
"""A folder for pictures of the pages, to be looked at."""
OpenTab = Callable[..., Awaitable[Page]]

CLIENT = """<!doctype html><title>A client</title>
<iframe id="widget" src="{src}" style="width:100%;height:90vh"></iframe>
<p id="said"></p>
<script>
const frame = document.getElementById("widget");
window.addEventListener("message", (event) => {{
  if (event.source !== frame.contentWindow || event.origin !== "{origin}") return;
  const message = event.data;
  if (message.api !== "fromWidget" || message.response) return;
  document.getElementById("said").textContent += message.action + " ";
  let response = {{}};
  if (message.action === "get_openid") response = {answer};
  event.source.postMessage({{ ...message, response }}, event.origin);
}});
</script>"""


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[AppSite]:
    async with running_app(tmp_path, clients=("http://127.0.0.1:*",)) as made:
        yield made


@pytest.fixture
async def tab(chromium: Browser) -> AsyncIterator[OpenTab]:
    """Opens a tab in a browser context of its own; what a page complains about fails it."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    async def make(viewport: dict[str, int] = PHONE, **options: Any) -> Page:
        context = await chromium.new_context(viewport=viewport, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = await context.new_page()
        page.on("console", lambda said: None if "status of 4" in said.text else complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield make
    for context in contexts:
        await context.close()
    assert complaints == []


async def opened(site: AppSite, page: Page) -> Page:
    """Alice opens it by her link."""
    await page.goto(await site.link())
    await page.get_by_role("button").click()
    await expect(page.locator("h1")).to_be_visible()
    return page


async def shot(page: Page, name: str) -> None:
    if SHOTS:
        await page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


async def fits(page: Page) -> None:
    """Nothing needs to be scrolled sideways, and what is touched is large enough (WCAG 2.2, 2.5.8)."""
    assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    small = await page.evaluate(
        """[...document.querySelectorAll("a, button, input:not([type=hidden])")]
        .filter((each) => each.checkVisibility() && !["radio", "checkbox"].includes(each.type))
        .map((each) => [each.outerHTML.slice(0, 80), each.getBoundingClientRect().height])
        .filter(([, height]) => height < 24)"""
    )
    assert small == []


@pytest.mark.parametrize(
    ("name", "viewport", "options"),
    [
        ("phone", PHONE, {}),
        ("small-dark", SMALL, {"color_scheme": "dark"}),
        ("desk", DESK, {}),
        ("no-script", PHONE, {"java_script_enabled": False}),
    ],
)
async def test_from_the_shelf_to_the_cart(
    site: AppSite, tab: OpenTab, name: str, viewport: dict[str, int], options: dict[str, Any]
) -> None:
    scripted = options.get("java_script_enabled", True)
    page = await opened(site, await tab(viewport, **options))

    async def look(step: str) -> None:
        await shot(page, f"{name}-{step}")
        if scripted:
            await fits(page)

    await look("1-home")
    await page.get_by_role("link", name="Bob’s bakery").click()
    await look("2-merchant")
    await page.get_by_role("link", name="Fresh today").click()
    await page.get_by_role("link", name="Rye bread").click()
    await expect(page.locator("img.big")).to_be_visible()
    await look("3-product")
    await page.get_by_label("1 kg").check()
    await page.get_by_label("Whole").check()
    await page.get_by_label("Seeds").check()
    await page.get_by_label("How many?").fill("2")
    await page.get_by_role("button", name="Add to the cart").click()
    await expect(page.get_by_role("status")).to_have_text("It is in your cart.")
    await expect(page.get_by_text("€11.60").first).to_be_visible()
    await look("4-cart")
    assert (await site.cart()).lines[0].quantity == 2
    await page.get_by_role("button", name="Go on in the chat").click()
    await expect(page.locator(".lead")).to_contain_text("has written to you there")


async def test_what_is_wrong_is_said_above_the_form(site: AppSite, tab: OpenTab) -> None:
    page = await opened(site, await tab())
    await page.goto(f"{site.url}{site.app.prefix}/m/bakery/p/bread")
    await page.get_by_label("How many?").fill("0")
    await page.get_by_role("button", name="Add to the cart").click()
    await expect(page.get_by_role("alert")).to_contain_text("at least 1 of “Sliced?”")
    await expect(page.get_by_label("How many?")).to_have_value("0")
    await shot(page, "problem")


async def test_from_right_to_left(site: AppSite, tab: OpenTab) -> None:
    site.people.known[ALICE] = Person("ar")
    page = await opened(site, await tab())
    assert await page.evaluate("document.dir") == "rtl"
    await fits(page)
    await shot(page, "arabic")


async def test_an_open_page_notices_what_was_changed_in_the_chat(site: AppSite, tab: OpenTab) -> None:
    page = await opened(site, await tab())
    await page.goto(f"{site.url}{site.app.prefix}/cart")
    line = CartLine(BAKERY.id, "bread", "small", 3, (Choice("cut", "thin"),), shown=euros(320))
    await site.put(await site.cart(), (await site.cart()).add(line))
    await expect(page.get_by_text("€9.60").first).to_be_visible(timeout=15_000)


@pytest.fixture
async def client(site: AppSite) -> AsyncIterator[Callable[[dict[str, Any]], Awaitable[str]]]:
    """A Matrix client that shows the page as a widget, on an origin of its own; it gives what it is told."""
    runner: web.AppRunner | None = None

    async def start(answer: dict[str, Any]) -> str:
        nonlocal runner
        app = web.Application()
        runner = web.AppRunner(app)

        async def show(request: web.Request) -> web.Response:
            own = f"http://{request.host}/"
            src = f"{site.url}{site.app.prefix}/widget?roomId={ROOM}&widgetId=rialto-shop&parentUrl={own}"
            text = CLIENT.format(src=src, origin=site.url, answer=json.dumps(answer))
            return web.Response(text=text, content_type="text/html")

        app.router.add_get("/", show)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}/"

    yield start
    if runner is not None:
        await runner.cleanup()


async def test_as_a_widget_beside_the_room(
    site: AppSite, tab: OpenTab, client: Callable[[dict[str, Any]], Awaitable[str]]
) -> None:
    site.server.tokens["vouched"] = ALICE
    answer = {"state": "allowed", "access_token": "vouched", "matrix_server_name": "example.org", "expires_in": 3600}
    page = await tab(DESK)
    await page.goto(await client(answer))
    inside = page.frame_locator("#widget")
    await expect(inside.locator("h1")).to_have_text("What would you like?", timeout=15_000)
    await inside.get_by_role("link", name="Bob’s bakery").click()
    await inside.get_by_role("link", name="Rye bread").click()
    await inside.get_by_label("Whole").check()
    await inside.get_by_role("button", name="Add to the cart").click()
    await expect(inside.get_by_role("status")).to_have_text("It is in your cart.")
    assert len((await site.cart()).lines) == 1
    await expect(page.locator("#said")).to_contain_text("content_loaded get_openid")
    await shot(page, "widget")


async def test_a_widget_that_is_not_allowed_says_so(
    site: AppSite, tab: OpenTab, client: Callable[[dict[str, Any]], Awaitable[str]]
) -> None:
    page = await tab(DESK)
    await page.goto(await client({"state": "blocked"}))
    await expect(page.frame_locator("#widget").get_by_role("status")).to_contain_text("You have not allowed it")


async def test_a_widget_outside_a_client_points_to_the_link(site: AppSite, tab: OpenTab) -> None:
    page = await tab()
    await page.goto(f"{site.url}{site.app.prefix}/widget")
    await expect(page.get_by_role("status")).to_contain_text("for a link")


class Lunch:
    """A room that orders together at the bakery."""

    async def of_room(self, reader: Any, room_id: str) -> Shared | None:
        return Shared(f"group:{room_id}", BAKERY.id)

    async def changing(self, hand: Any, room_id: str, person: str) -> None:
        """It is open."""


async def test_prices_of_ones_own_and_what_a_room_orders_together(site: AppSite, tab: OpenTab) -> None:
    small = replace(BREAD.variants[0], rules=(PriceRule(euros(250), tier="staff"),))
    bread = replace(BREAD, variants=(small, BREAD.variants[1]))
    await site.write(lambda hand: site.shelf.put(hand, BAKERY.id, bread))
    await site.write(lambda hand: site.baskets.lists.put(hand, BAKERY.id, ALICE, "staff"))
    page = await opened(site, await tab(SMALL))
    await page.get_by_role("link", name="Bob’s bakery").click()
    await expect(page.get_by_text("your price")).to_be_visible()
    await page.get_by_role("link", name="Rye bread").click()
    await expect(page.get_by_text("your price, others pay €3.20")).to_be_visible()
    await fits(page)
    await shot(page, "own-price")
    # The room of the page orders together from now on: its cart is everybody's.
    site.app.together = Lunch()
    both = (
        CartLine(BAKERY.id, "bread", "small", 2, (Choice("cut", "thin"),), person=ALICE),
        CartLine(BAKERY.id, "roll", "one", 4, person="@bob:example.org"),
    )
    await site.put(Cart(), Cart(both, 1), f"group:{ROOM}")
    await page.goto(f"{site.url}{site.app.prefix}/cart")
    await expect(page.get_by_text("What you order together")).to_be_visible()
    await expect(page.get_by_text("Bob", exact=True)).to_be_visible()
    await expect(page.get_by_role("button", name="Change")).to_have_count(1)
    await expect(page.get_by_role("button", name="Go on in the chat")).to_have_count(0)
    await fits(page)
    await shot(page, "together")
