"""The page of a shared trip in a real Chromium: desk and phone, light and dark, from left and from right; and that it
loads itself again, and asks nobody else for anything."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from bots.domain.drivers import Position
from bots.domain.places import Point
from bots.domain.trips import TripState
from bots.rides.pages.share import Exact
from tests.unit.test_rides_share import TRIP, Site, running, shown

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
SHOTS = os.environ.get("RIALTO_TEST_SCREENSHOTS", "")
"""A folder for pictures of the pages, to be looked at."""
OpenTab = Callable[..., Awaitable[Page]]
WORDS = {"en": "The ride is under way", "de": "Die Fahrt läuft", "ar": "الرحلة جارية"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running(tmp_path) as made:
        made.trips["rides", TRIP] = shown(
            state=TripState.UNDER_WAY,
            stops=(Point(52.5201, 13.39),),
            position=Position(Point(52.5195, 13.398), made.clock.now(), heading=250.0),
            arrives=made.clock.now() + timedelta(minutes=7),
        )
        yield made


@pytest.fixture
async def tab(chromium: Browser, site: Site) -> AsyncIterator[OpenTab]:
    """Opens a shared trip in a browser context of its own; what a page complains about, or asks of others, fails it."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    async def make(*, how: Exact = Exact.ROUGH, viewport: dict[str, int] = DESK, **options: Any) -> Page:
        context = await chromium.new_context(viewport=viewport, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = await context.new_page()
        url = await site.link(how)
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: None if asked.url == url else complaints.append(asked.url))
        await page.goto(url)
        await expect(page.locator("svg.map")).to_be_visible()
        return page

    yield make
    for context in contexts:
        await context.close()
    assert complaints == []


async def shot(page: Page, name: str) -> None:
    if SHOTS:
        await page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "viewport"), [("desk", DESK), ("phone", PHONE)])
@pytest.mark.parametrize("language", ["en", "ar"])
async def test_it_fits_and_can_be_read(
    tab: OpenTab, scheme: str, name: str, viewport: dict[str, int], language: str
) -> None:
    page = await tab(
        viewport=viewport, color_scheme=scheme, locale=language, how=Exact.EXACT if name == "desk" else Exact.ROUGH
    )
    await shot(page, f"trip-{name}-{scheme}-{language}")
    await expect(page.get_by_role("heading", level=1)).to_have_text(WORDS[language])
    width = await page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert width[0] <= width[1], "something hangs over the side"
    await expect(page.get_by_text("B-RI 123")).to_be_visible()
    await expect(page.get_by_role("img")).to_have_count(1)


async def test_what_is_on_the_map_is_named(tab: OpenTab) -> None:
    """Who does not see the map hears what it is; who points at a spot reads what it is."""
    page = await tab(how=Exact.EXACT)
    await expect(page.get_by_role("img", name="A map of the trip.")).to_be_visible()
    assert await page.locator("svg.map title").all_text_contents() == ["Pickup", "Destination", "Car"]


async def test_it_brings_itself_up_to_date(site: Site, tab: OpenTab) -> None:
    """Without a script and without anybody's doing; with the trip it ends, and stays so."""
    page = await tab(java_script_enabled=False)
    site.trips["rides", TRIP] = shown(state=TripState.COMPLETED)
    await expect(page.get_by_role("heading", level=1)).to_have_text("This trip has arrived", timeout=25_000)
    assert await page.locator("svg.map").count() == 0
    assert "Bob" not in await page.content()


async def test_it_is_loaded_by_hand_too(site: Site, tab: OpenTab) -> None:
    page = await tab(locale="de")
    site.trips["rides", TRIP] = shown(state=TripState.ARRIVED)
    await page.get_by_role("link", name="Jetzt neu laden").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Der Fahrer ist am Abholort")
