"""The PIN pages in a real Chromium: phones and large screens, no JavaScript, the dark, from right to left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Response, expect

from bots.domain.payments import PaymentState, Refusal
from bots.framework.people import Person
from tests.support.pages import ALICE, BOB, Site, running_site

PIN = "274913"
PHONE = {"width": 390, "height": 844}
SMALL = {"width": 320, "height": 568}
DESK = {"width": 1280, "height": 800}
OpenTab = Callable[..., Awaitable[Page]]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path) as made:
        yield made


@pytest.fixture
async def tab(chromium: Browser) -> AsyncIterator[OpenTab]:
    """Opens a tab in a browser context of its own; what a page complains about, or loads from elsewhere, fails it."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    async def make(viewport: dict[str, int] = PHONE, **options: Any) -> Page:
        context = await chromium.new_context(viewport=viewport, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = await context.new_page()
        # Answers of 4xx are told on the console too: they are what these tests are about.
        page.on("console", lambda said: None if "status of 4" in said.text else complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda asked: None if "/pages/" in asked.url or "favicon" in asked.url else complaints.append(asked.url),
        )
        return page

    yield make
    for context in contexts:
        await context.close()
    assert complaints == []


async def go(page: Page, url: str) -> int:
    """Open a page; its status."""
    answer = await page.goto(url)
    assert answer is not None
    return answer.status


async def press(page: Page, name: str) -> int:
    """Press a button; the status of what follows."""
    async with page.expect_navigation() as waiting:
        await page.get_by_role("button", name=name).click()
    answer: Response | None = await waiting.value
    assert answer is not None
    return answer.status


async def title(page: Page) -> str:
    return await page.get_by_role("heading", level=1).inner_text()


async def fits(page: Page) -> bool:
    """Nothing stands out to the side."""
    return bool(await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


# --- setting a PIN


async def test_a_pin_is_chosen_on_a_phone_and_changed_later(site: Site, tab: OpenTab) -> None:
    page = await tab(PHONE, has_touch=True, is_mobile=True)
    assert await go(page, await site.pins.set_link(ALICE)) == 200
    assert await title(page) == "Choose your PIN" and await page.title() == "Choose your PIN – Rialto"
    assert await fits(page)
    assert await page.get_by_label("New PIN").get_attribute("inputmode") == "numeric"

    await page.get_by_label("New PIN").fill("123456")
    await page.get_by_label("The same again").fill("123456")
    assert await press(page, "Set PIN") == 422
    alert = page.get_by_role("alert")
    await expect(alert.get_by_role("link", name="This PIN is too easy to guess: it follows a pattern.")).to_be_visible()
    await expect(page.get_by_label("New PIN")).to_be_focused()
    await expect(page.get_by_label("New PIN")).to_have_value("")
    await expect(page.get_by_label("New PIN")).to_have_accessible_description(
        "6 to 12 digits, and none that others would try first. This PIN is too easy to guess: it follows a pattern."
    )
    assert (await page.title()).startswith("Error: ")

    await page.get_by_label("New PIN").fill(PIN)
    await page.get_by_label("The same again").fill(PIN[:-1] + "4")
    assert await press(page, "Set PIN") == 422
    await expect(page.get_by_label("The same again")).to_have_attribute("aria-invalid", "true")

    await page.get_by_label("New PIN").fill(PIN)
    await page.get_by_label("The same again").fill(PIN)
    assert await press(page, "Set PIN") == 200
    assert await title(page) == "Your PIN is set"
    assert (await site.pins.verify(ALICE, PIN)).ok

    assert await go(page, await site.pins.set_link(ALICE)) == 200
    assert await title(page) == "Change your PIN"
    for old, status in (("", 422), ("000000", 422), (PIN, 200)):
        await page.get_by_label("Your PIN until now").fill(old)
        await page.get_by_label("New PIN").fill("830264")
        await page.get_by_label("The same again").fill("830264")
        assert await press(page, "Change PIN") == status
    assert (await site.pins.verify(ALICE, "830264")).ok
    assert site.log.outcomes.count("wrong") == 1  # what was left empty cost nothing


# --- approving


async def test_a_payment_is_approved_after_two_wrong_pins(site: Site, tab: OpenTab) -> None:
    await site.pins.set(ALICE, PIN)
    payment = site.payments.propose(memo="Rent for June\n<b>flat 3</b>")
    url = await site.approval(payment)
    page = await tab(PHONE, has_touch=True, is_mobile=True)
    assert await go(page, url) == 200
    main = page.get_by_role("main")
    for text in ("€85.50", "Bob Marley", BOB, "Rent for June", "<b>flat 3</b>", "12:05\u202fAM UTC"):
        await expect(main.get_by_text(text).first).to_be_visible()
    await expect(main.get_by_role("note")).to_contain_text("never paid them before")

    for left in (4, 3):
        await page.get_by_label("Your PIN").fill("000000")
        assert await press(page, "Pay €85.50") == 422
        error = f"This is not your PIN. {left} attempts are left."
        await expect(page.get_by_role("alert")).to_contain_text(error)
        await expect(page.get_by_label("Your PIN")).to_be_focused()
    assert site.payments.paid == 0
    # The link is still good, in a second tab too.
    assert await go(await tab(), url) == 200

    await page.get_by_label("Your PIN").fill(PIN)
    await page.keyboard.press("Enter")  # what it does is the first button
    await expect(page.get_by_role("heading", level=1)).to_have_text("Paid")
    await expect(page.get_by_text("€85.50")).to_be_visible()
    assert site.payments.paid == 1 and site.log.outcomes[-1] == "ok"

    # Once more, as a second click or by reload: the same answer, and nothing happens.
    await page.reload()
    assert await title(page) == "Paid"
    assert site.payments.paid == 1
    # Whoever only has the link learns nothing.
    other = await tab()
    assert await go(other, url) == 410
    assert await title(other) == "This link has been used"
    assert "85.50" not in await other.content()


async def test_a_link_that_was_looked_at_many_times_still_works(site: Site, tab: OpenTab) -> None:
    await site.pins.set(ALICE, PIN)
    url = await site.approval(site.payments.propose())
    preview = await tab()
    for _ in range(10):
        answer = await preview.request.get(url)
        headed = await preview.request.head(url)
        assert answer.status == headed.status == 200
    page = await tab()
    await go(page, url)
    await page.get_by_label("Your PIN").fill(PIN)
    assert await press(page, "Pay €85.50") == 200
    assert site.payments.paid == 1


async def test_a_payment_is_declined_without_a_pin(site: Site, tab: OpenTab) -> None:
    await site.pins.set(ALICE, PIN)
    payment = site.payments.propose()
    url = await site.approval(payment)
    page = await tab()
    await go(page, url)
    assert await press(page, "Decline") == 200
    assert await title(page) == "Declined"
    assert site.payments.payments[payment.id].state is PaymentState.DECLINED
    assert await go(page, url) == 410


async def test_too_many_wrong_pins_lock_and_the_page_says_until_when(site: Site, tab: OpenTab) -> None:
    await site.pins.set(ALICE, PIN)
    url = await site.approval(site.payments.propose())
    page = await tab()
    await go(page, url)
    for status in (422, 422, 422, 422, 429):
        await page.get_by_label("Your PIN").fill("000000")
        assert await press(page, "Pay €85.50") == status
    assert await title(page) == "Your PIN is locked"
    await expect(page.get_by_text("You can try again at 12:15\u202fAM UTC.")).to_be_visible()
    await go(page, url)
    await page.get_by_label("Your PIN").fill(PIN)
    assert await press(page, "Pay €85.50") == 429
    assert site.payments.paid == 0


async def test_a_payment_that_is_refused_says_why(site: Site, tab: OpenTab) -> None:
    await site.pins.set(ALICE, PIN)
    payment = site.payments.propose()
    site.payments.refusal = Refusal.of("payments.exceeds_balance", available=payment.amount, amount=payment.amount)
    page = await tab()
    await go(page, await site.approval(payment))
    await page.get_by_label("Your PIN").fill(PIN)
    assert await press(page, "Pay €85.50") == 409
    assert await title(page) == "Not paid"
    await expect(page.get_by_text("Your wallet has €85.50 to spend, and this is €85.50.")).to_be_visible()


async def test_without_a_pin_the_page_says_where_to_get_one_and_stays_good(site: Site, tab: OpenTab) -> None:
    url = await site.approval(site.payments.propose())
    page = await tab()
    assert await go(page, url) == 409
    assert await title(page) == "You have no PIN yet"
    await site.pins.set(ALICE, PIN)
    await go(page, url)
    await page.get_by_label("Your PIN").fill(PIN)
    assert await press(page, "Pay €85.50") == 200


async def test_expired_links_and_payments(site: Site, tab: OpenTab) -> None:
    await site.pins.set(ALICE, PIN)
    page = await tab()
    open_one = await site.approval(site.payments.propose(), ttl_s=300)
    await go(page, open_one)
    site.clock.advance(minutes=5)
    await page.get_by_label("Your PIN").fill(PIN)
    assert await press(page, "Pay €85.50") == 410
    assert await title(page) == "This link has expired"
    assert await go(page, open_one) == 410

    late = await site.approval(site.payments.propose(), ttl_s=86_400)
    site.clock.advance(minutes=10)
    await go(page, late)
    assert await title(page) == "Too late"
    assert site.payments.paid == 0 and site.log.outcomes == ["set"]


async def test_somebody_elses_payment_is_nobodys(site: Site, tab: OpenTab) -> None:
    await site.pins.set(ALICE, PIN)
    page = await tab()
    assert await go(page, await site.approval(site.payments.propose(payer="@carol:example.org"))) == 404
    assert await title(page) == "Nothing to approve"


async def test_a_wallet_is_unfrozen_with_the_pin(site: Site, tab: OpenTab) -> None:
    await site.pins.set(ALICE, PIN)
    page = await tab()
    await go(page, await site.pins.confirm_link("unfreeze", ALICE))
    await page.get_by_label("Your PIN").fill("000000")
    assert await press(page, "Unfreeze wallet") == 422
    assert site.unfrozen == []
    await page.get_by_label("Your PIN").fill(PIN)
    assert await press(page, "Unfreeze wallet") == 200
    assert await title(page) == "Your wallet can be used again"
    await page.reload()
    assert site.unfrozen == [ALICE]


# --- every browser


async def test_it_works_without_javascript(site: Site, tab: OpenTab) -> None:
    page = await tab(java_script_enabled=False)
    await go(page, await site.pins.set_link(ALICE))
    await page.get_by_label("New PIN").fill(PIN)
    await page.get_by_label("The same again").fill(PIN)
    assert await press(page, "Set PIN") == 200
    await go(page, await site.approval(site.payments.propose()))
    await page.get_by_label("Your PIN").fill(PIN)
    assert await press(page, "Pay €85.50") == 200
    assert site.payments.paid == 1


async def test_a_browser_that_blocks_cookies_is_told(site: Site, tab: OpenTab) -> None:
    await site.pins.set(ALICE, PIN)
    page = await tab()
    await go(page, await site.approval(site.payments.propose()))
    await page.context.clear_cookies()
    await page.get_by_label("Your PIN").fill(PIN)
    assert await press(page, "Pay €85.50") == 403
    assert await title(page) == "Your browser did not send its cookie"
    assert site.payments.paid == 0 and site.log.outcomes == ["set"]


async def test_another_site_cannot_send_the_form(site: Site, tab: OpenTab) -> None:
    """A page elsewhere with a form to our address, as its owner would make one who knows the link."""
    await site.pins.set(ALICE, PIN)
    url = await site.approval(site.payments.propose())
    page = await tab()
    await go(page, url)
    secret = await page.locator("input[name=csrf]").input_value()
    await page.route(
        "http://evil.example/pages/",
        lambda route: route.fulfill(
            content_type="text/html",
            body=f'<form method="post" action="{url}"><input name="csrf" value="{secret}">'
            f'<input name="pin" value="{PIN}"><button name="action" value="approve">Win</button></form>',
        ),
    )
    await page.goto("http://evil.example/pages/")
    assert await press(page, "Win") == 403
    assert site.payments.paid == 0


async def test_opening_from_a_chat_on_another_site_works(site: Site, tab: OpenTab) -> None:
    await site.pins.set(ALICE, PIN)
    url = await site.approval(site.payments.propose())
    page = await tab()
    await page.route(
        "http://chat.example/pages/",
        lambda route: route.fulfill(content_type="text/html", body=f'<a href="{url}">Open</a>'),
    )
    await page.goto("http://chat.example/pages/")
    await page.get_by_role("link", name="Open").click()
    await page.get_by_label("Your PIN").fill(PIN)
    assert await press(page, "Pay €85.50") == 200
    assert site.payments.paid == 1


# --- how it looks


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [SMALL, PHONE, DESK], ids=["small", "phone", "desk"])
async def test_it_fits_and_can_be_read(site: Site, tab: OpenTab, scheme: str, viewport: dict[str, int]) -> None:
    await site.pins.set(ALICE, PIN)
    page = await tab(viewport, color_scheme=scheme)
    payment = site.payments.propose(99_999_999_999, memo="x" * 200, payee=f"@{'long' * 40}:example.org")
    await go(page, await site.approval(payment))
    await page.get_by_label("Your PIN").fill("1")
    await press(page, "Pay")
    assert await fits(page)
    body = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert body == {"light": "rgb(238, 242, 240)", "dark": "rgb(13, 20, 19)"}[scheme]
    # Targets are large enough for a thumb (WCAG 2.2, 2.5.5).
    for control in await page.locator("button, input:not([type=hidden])").all():
        box = await control.bounding_box()
        assert box is not None and box["height"] >= 44
    size = await page.evaluate("parseFloat(getComputedStyle(document.querySelector('.amount')).fontSize)")
    assert size >= 32
    # Phones zoom in on fields with smaller letters.
    assert await page.evaluate("parseFloat(getComputedStyle(document.querySelector('#pin')).fontSize)") >= 16


async def test_the_keyboard_reaches_everything_and_shows_where_it_is(site: Site, tab: OpenTab) -> None:
    await site.pins.set(ALICE, PIN)
    page = await tab(DESK)
    await go(page, await site.approval(site.payments.propose()))
    seen = []
    for _ in range(3):
        await page.keyboard.press("Tab")
        seen.append(
            await page.evaluate(
                "[document.activeElement.value || document.activeElement.id,"
                " getComputedStyle(document.activeElement).outlineStyle]"
            )
        )
    assert seen == [["pin", "solid"], ["approve", "solid"], ["decline", "solid"]]


async def test_arabic_is_read_from_right_to_left(site: Site, tab: OpenTab) -> None:
    site.people.known[ALICE] = Person("ar", "Europe/Berlin")
    await site.pins.set(ALICE, PIN)
    page = await tab()
    await go(page, await site.approval(site.payments.propose()))
    html = page.locator("html")
    await expect(html).to_have_attribute("lang", "ar")
    await expect(html).to_have_attribute("dir", "rtl")
    assert await title(page) == "هل توافق على هذا الدفع؟"
    assert await fits(page)
    label, value = await page.locator("dt").first.bounding_box(), await page.locator("dd").first.bounding_box()
    assert label is not None and value is not None and label["x"] > value["x"]
    await expect(page.locator(".detail bdi").first).to_have_attribute("dir", "ltr")
    await page.locator("#pin").fill("٢٧٤٩١٣")
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    assert await title(page) == "تم الدفع"
    assert site.payments.paid == 1
