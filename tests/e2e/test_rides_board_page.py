"""The operators' board in a real Chromium: desk and phone, light and dark, with and without scripts."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.support.board import BoardSite, running_board

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
SHOTS = os.environ.get("RIALTO_TEST_SCREENSHOTS", "")
"""A folder for pictures of the pages, to be looked at."""
OpenTab = Callable[..., Awaitable[Page]]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[BoardSite]:
    async with running_board(tmp_path) as made:
        yield made


@pytest.fixture
async def tab(chromium: Browser, site: BoardSite) -> AsyncIterator[OpenTab]:
    """Opens the board in a browser context of its own; what a page complains about, or asks of others, fails it."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    async def make(viewport: dict[str, int] = DESK, **options: Any) -> Page:
        context = await chromium.new_context(viewport=viewport, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = await context.new_page()
        page.on("console", lambda said: None if "status of 4" in said.text else complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(site.url) else complaints.append(asked.url))
        await page.goto(await site.link())
        await page.get_by_role("button").click()
        await expect(page.locator("svg.map")).to_be_visible()
        return page

    yield make
    for context in contexts:
        await context.close()
    assert complaints == []


async def shot(page: Page, name: str) -> None:
    if SHOTS:
        await page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


async def fits(page: Page) -> bool:
    """Whether nothing hangs over the side."""
    return bool(await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "viewport"), [("desk", DESK), ("phone", PHONE)])
async def test_the_board_fits_and_can_be_read(tab: OpenTab, scheme: str, name: str, viewport: dict[str, int]) -> None:
    page = await tab(viewport, color_scheme=scheme)
    await shot(page, f"board-{name}-{scheme}")
    assert await fits(page)
    await expect(page.get_by_role("row")).to_have_count(4)
    await expect(page.get_by_role("img", name="3 wait")).to_be_visible()


async def test_it_brings_itself_up_to_date(site: BoardSite, tab: OpenTab) -> None:
    page = await tab()
    await expect(page.get_by_role("cell", name="4XQ7T")).to_have_count(1)
    site.less()
    await expect(page.get_by_role("cell", name="4XQ7T")).to_have_count(0, timeout=10_000)
    site.operators.clear()
    await expect(page.get_by_role("status")).to_contain_text("Your session is over", timeout=10_000)


async def test_without_a_script_it_loads_itself_again(site: BoardSite, tab: OpenTab) -> None:
    page = await tab(java_script_enabled=False)
    site.less()
    await expect(page.get_by_role("cell", name="4XQ7T")).to_have_count(0, timeout=20_000)


async def test_it_reads_from_right_to_left(tab: OpenTab) -> None:
    page = await tab(PHONE, locale="ar")
    await shot(page, "board-phone-ar")
    assert await fits(page)
