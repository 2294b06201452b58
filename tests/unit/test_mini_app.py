"""The mini app over HTTP: who gets in, what is shown, and that page and chat never undo each other."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bots.commerce.page.app import CART_TIMER, CHECKOUT_TIMER
from bots.commerce.page.together import Shared
from bots.domain.carts import CartLine
from bots.domain.catalogue import Choice, PriceRule
from bots.domain.group_orders import WORDS, GroupError, GroupState
from bots.framework.people import Person
from tests.support.mini_app import BAKERY, BOOKS, BOT, BREAD, ROOM, AppSite, Visitor, euros, running_app, visitor
from tests.support.pages import ALICE

MALLORY = "@mallory:example.org"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[AppSite]:
    async with running_app(tmp_path) as made:
        yield made


@pytest.fixture
async def browser(site: AppSite) -> AsyncIterator[Visitor]:
    async with visitor(site) as made:
        yield made


@pytest.fixture
async def alice(site: AppSite, browser: Visitor) -> Visitor:
    """Alice has it open."""
    status, _ = await browser.enter(await site.link())
    assert status == 200
    return browser


BREAD_LINE = CartLine(BAKERY.id, "bread", "small", 1, (Choice("cut", "thin"),), shown=euros(320))
WHOLE = {"g.cut": "whole"}


# Getting in


async def test_a_link_opens_it_once(site: AppSite, browser: Visitor) -> None:
    link = await site.link()
    for _ in range(3):  # previews use nothing up
        assert (await browser.get(link))[0] == 200
    status, page = await browser.enter(link)
    assert status == 200 and "Bob’s bakery" in page
    async with visitor(site) as other:
        status, page = await other.get(link)
        assert status == 410 and "used already" in page
        assert (await other.get("/"))[0] == 401


async def test_a_link_is_sent_by_its_own_page_only(site: AppSite, browser: Visitor) -> None:
    link = await site.link()
    await browser.get(link)
    assert (await browser.send(link, {"action": "open", "csrf": "0" * 64}))[0] == 403
    _, page = await browser.get(link)
    secret = re.findall('name="csrf" value="([0-9a-f]{64})"', page)[0]
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    assert (await browser.send(link, {"action": "open", "csrf": secret}, **foreign))[0] == 403
    assert (await browser.send(link, {"action": "open", "csrf": secret}))[0] == 200


@pytest.mark.parametrize("token", ["x", "A" * 64, "%00", "..%2f..%2fcart"])
async def test_a_made_up_link_opens_nothing(browser: Visitor, token: str) -> None:
    assert (await browser.get(f"/enter/{token}"))[0] in {404, 410}


async def test_a_link_ends_after_its_time(site: AppSite, browser: Visitor) -> None:
    link = await site.link(ttl_s=60)
    site.clock.advance(timedelta(seconds=61))
    status, page = await browser.enter(link)
    assert status in {403, 410} and "Bob’s" not in page


async def test_a_link_for_another_bot_opens_nothing_here(site: AppSite, browser: Visitor) -> None:
    def issue(connection: Any) -> str:
        return site.links.issue(
            connection, purpose="mini-app", person=ALICE, subject=f"food {ROOM}", ttl_s=60, now=site.clock.now_ms()
        )

    token = (await site.database.write(issue)).rsplit("/", 1)[1]
    assert (await browser.enter(f"{site.url}{site.app.prefix}/enter/{token}"))[0] == 410
    assert (await browser.get("/"))[0] == 401


async def test_a_session_ends(site: AppSite, alice: Visitor) -> None:
    assert (await alice.get("/"))[0] == 200
    site.clock.advance(timedelta(hours=12, seconds=1))
    assert (await alice.get("/"))[0] == 401


async def openid(browser: Visitor, **body: Any) -> tuple[int, dict[str, Any]]:
    url = f"{browser.site.url}{browser.site.app.prefix}/openid"
    async with browser.session.post(url, json=body, headers=browser.headers) as answer:
        return answer.status, await answer.json()


async def test_a_widget_is_vouched_for_by_the_homeserver(site: AppSite, browser: Visitor) -> None:
    site.server.tokens["tok"] = ALICE
    good = {"access_token": "tok", "matrix_server_name": "example.org", "room_id": ROOM}
    assert await openid(browser, **good) == (200, {"status": "open"})
    assert (await browser.get("/"))[0] == 200


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"access_token": "other"}, 403),
        ({"access_token": "a b"}, 403),
        ({"access_token": ""}, 403),
        ({"access_token": 7}, 400),
        ({"matrix_server_name": "evil.example"}, 403),
        ({"room_id": "!other:example.org"}, 403),
        ({"room_id": "~orders/1"}, 403),
        ({"room_id": None}, 400),
    ],
)
async def test_a_widget_proves_nothing_by_itself(
    site: AppSite, browser: Visitor, wrong: dict[str, Any], status: int
) -> None:
    site.server.tokens["tok"] = ALICE
    body = {"access_token": "tok", "matrix_server_name": "example.org", "room_id": ROOM, **wrong}
    assert (await openid(browser, **body))[0] == status
    assert (await browser.get("/"))[0] == 401


@pytest.mark.parametrize("sub", ["@alice:evil.example", "alice", "", "@a b:example.org"])
async def test_who_is_not_of_this_homeserver_is_nobody(site: AppSite, browser: Visitor, sub: str) -> None:
    site.server.tokens["tok"] = sub
    assert (await openid(browser, access_token="tok", matrix_server_name="example.org", room_id=ROOM))[0] == 403


async def test_who_is_not_in_the_room_is_not_let_in(site: AppSite, browser: Visitor) -> None:
    site.server.tokens["tok"] = MALLORY
    assert (await openid(browser, access_token="tok", matrix_server_name="example.org", room_id=ROOM))[0] == 403
    site.members_in[ROOM][MALLORY] = "invite"
    assert (await openid(browser, access_token="tok", matrix_server_name="example.org", room_id=ROOM))[0] == 403


async def test_only_named_clients_may_frame_it(tmp_path: Path) -> None:
    clients = ("https://app.element.io",)
    async with running_app(tmp_path, clients=clients) as site, visitor(site) as browser:
        async with browser.session.get(f"{site.url}{site.app.prefix}/widget") as answer:
            assert "frame-ancestors https://app.element.io" in answer.headers["Content-Security-Policy"]
        await browser.enter(await site.link())
        async with browser.session.get(f"{site.url}{site.app.prefix}/") as answer:
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


# Looking


async def test_who_sells_and_whether_they_are_open(alice: Visitor) -> None:
    _, page = await alice.get("/")
    assert "Bob’s bakery" in page and "Open until" in page
    assert "كتب ومجلات" in page and "Takes no orders at the moment" in page


async def test_shelves_and_search(alice: Visitor) -> None:
    _, page = await alice.get("/m/bakery?c=fresh")
    assert "Rye bread" in page and "from €3.20" in page and "Sold out" in page
    assert "Sourdough &lt;b&gt;baked&lt;/b&gt;" in page
    assert "Rye bread" not in (await alice.get("/m/bakery?c=old"))[1]
    assert "Rye bread" in (await alice.get("/?q=rye+braed"))[1]
    assert "Nothing was found" in (await alice.get("/?q=zeppelin"))[1]
    hostile = (await alice.get("/?q=%3Cscript%3Ealert(1)%3C/script%3E"))[1]
    assert "<script>alert" not in hostile


async def test_pictures_are_those_of_products_only(site: AppSite, alice: Visitor) -> None:
    url = f"{site.url}{site.app.prefix}/m/bakery/p/bread/image"
    async with alice.session.get(url) as answer:
        assert answer.status == 200 and answer.content_type == "image/png"
    assert (await alice.get("/m/bakery/p/roll/image"))[0] == 404
    async with visitor(site) as stranger:
        assert (await stranger.get("/m/bakery/p/bread/image"))[0] == 401


async def test_what_is_not_sold_is_not_there(site: AppSite, alice: Visitor) -> None:
    await site.write(lambda hand: site.shelf.put(hand, BAKERY.id, replace(BREAD, active=False)))
    assert (await alice.get("/m/bakery/p/bread"))[0] == 404
    assert (await alice.get("/m/nobody"))[0] == 404


async def test_it_speaks_the_persons_language(site: AppSite, alice: Visitor) -> None:
    site.people.known[ALICE] = Person("ar")
    _, page = await alice.get("/cart")
    assert 'dir="rtl"' in page and "Your cart" not in page


# Choosing


async def test_what_is_added_is_in_the_cart_and_told_in_the_chat(site: AppSite, alice: Visitor) -> None:
    status, page = await alice.post(
        "/m/bakery/p/bread",
        variant="large",
        quantity="2",
        note="for 9 <o'clock>",
        **WHOLE,
        **{"o.extra.seeds": "seeds"},
    )
    assert status == 200 and "It is in your cart." in page and "€11.60" in page and "for 9 &lt;o&#39;clock&gt;" in page
    (line,) = (await site.cart()).lines
    assert (line.variant, line.quantity, line.shown) == ("large", 2, euros(580))
    assert line.choices == (Choice("cut", "whole"), Choice("extra", "seeds"))
    (event,) = site.events
    assert (event.consumer, event.room_id, event.sender) == (BOT.consumer, ROOM, ALICE)
    assert event.content["data"] == {"name": CART_TIMER, "data": {"person": ALICE}}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"quantity": "1"}, "Please choose at least 1 of “Sliced?”."),
        ({"quantity": "0", **WHOLE}, "A quantity is a whole number"),
        ({"quantity": "-1", **WHOLE}, "A quantity is a whole number"),
        ({"quantity": "1e3", **WHOLE}, "A quantity is a whole number"),
        ({"quantity": "1000", **WHOLE}, "A quantity is a whole number"),
        ({"quantity": "1", "g.cut": "gold"}, "is not offered with this"),
        ({"quantity": "1", "variant": "huge", **WHOLE}, "Please choose one of those that are offered."),
        ({"quantity": "1", "o.extra.nuts": "nuts", **WHOLE}, "is not available at the moment"),
        ({"quantity": "1", "note": "x" * 301, **WHOLE}, "A note has at most"),
    ],
)
async def test_what_cannot_be_bought_is_said_so(
    site: AppSite, alice: Visitor, fields: dict[str, str], said: str
) -> None:
    status, page = await alice.post("/m/bakery/p/bread", **{"variant": "small", **fields})
    assert status == 422 and said in page
    assert (await site.cart()).lines == () and site.events == []


async def test_page_and_chat_never_undo_each_other(site: AppSite, alice: Visitor) -> None:
    await alice.post("/m/bakery/p/bread", variant="small", quantity="1", **WHOLE)
    _, page = await alice.get("/cart")
    before = await site.cart()
    await site.put(before, before.set_quantity(1, 5))  # in the chat, while the page is open
    hidden = re.findall(r'name="(csrf|version|number)" value="([^"]*)"', page)
    status, page = await alice.send("/cart", {**dict(hidden), "action": "remove", "quantity": "1"})
    assert status == 409 and "was changed meanwhile" in page
    assert (await site.cart()).lines[0].quantity == 5
    status, _ = await alice.post("/cart", action="remove", number="1")
    assert status == 200 and (await site.cart()).lines == ()


async def test_a_race_for_the_same_version_has_one_winner(site: AppSite, alice: Visitor) -> None:
    import asyncio

    _, page = await alice.get("/m/bakery/p/bread")
    fields = {**dict(re.findall(r'name="(csrf|version)" value="([^"]*)"', page)), "variant": "small", **WHOLE}
    answers = await asyncio.gather(*(alice.send("/m/bakery/p/bread", {**fields, "quantity": "1"}) for _ in range(6)))
    won = sum(status == 200 for status, _ in answers)
    assert won + sum(status == 422 for status, _ in answers) == 6
    cart = await site.cart()
    assert cart.lines[0].quantity == won == cart.version == len(site.events) >= 1


async def test_the_cart_is_changed(site: AppSite, alice: Visitor) -> None:
    await site.put(await site.cart(), (await site.cart()).add(BREAD_LINE))
    _, page = await alice.post("/cart", action="set", number="1", quantity="3")
    assert "€9.60" in page
    assert (await alice.post("/cart", action="set", number="9", quantity="3"))[0] == 409
    assert (await alice.post("/cart", action="set", number="1", quantity="0"))[0] == 200
    assert (await site.cart()).lines == ()


async def test_prices_that_changed_and_things_that_went_are_shown(site: AppSite, alice: Visitor) -> None:
    await site.put(await site.cart(), (await site.cart()).add(BREAD_LINE))
    await site.reprice(350)
    assert "Now €3.50 each" in (await alice.get("/cart"))[1]
    await site.write(lambda hand: site.shelf.drop(hand, BAKERY.id, "bread"))
    assert "Not available any more" in (await alice.get("/cart"))[1]


async def test_paying_goes_on_in_the_chat(site: AppSite, alice: Visitor) -> None:
    _, page = await alice.get("/m/bakery/p/bread")
    hidden = dict(re.findall(r'name="(csrf|version)" value="([^"]*)"', page))
    assert "The cart is empty." in (await alice.send("/cart", {**hidden, "action": "checkout"}))[1]
    await site.put(await site.cart(), (await site.cart()).add(BREAD_LINE))
    for _ in range(2):  # a second click asks for the same
        status, page = await alice.post("/cart", action="checkout")
        assert status == 200 and "has written to you there" in page
    assert {event.content["data"]["name"] for event in site.events} == {CHECKOUT_TIMER}
    assert len({event.key for event in site.events}) == 1


async def test_a_cart_is_nobody_elses(site: AppSite, alice: Visitor) -> None:
    await site.put(await site.cart(), (await site.cart()).add(BREAD_LINE))
    async with visitor(site) as mallory:
        await mallory.enter(await site.link(MALLORY))
        assert "The cart is empty." in (await mallory.get("/cart"))[1]
        _, mine = await alice.get("/cart")
        stolen = dict(re.findall(r'name="(csrf|version|number)" value="([^"]*)"', mine))
        assert (await mallory.send("/cart", {**stolen, "action": "remove"}))[0] == 403
    assert len((await site.cart()).lines) == 1


async def test_the_page_hears_of_changes_in_the_chat(site: AppSite, alice: Visitor) -> None:
    assert json.loads((await alice.get("/cart/version"))[1]) == {"version": 0}
    await site.put(await site.cart(), (await site.cart()).add(BREAD_LINE))
    assert json.loads((await alice.get("/cart/version"))[1]) == {"version": 1}


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"x" * 20_000, "application/x-www-form-urlencoded", 413),
        (b"{}", "application/json", 415),
        (b"csrf=%ff", "application/x-www-form-urlencoded", 400),
        (b"csrf=1&csrf=2", "application/x-www-form-urlencoded", 400),
    ],
)
async def test_hostile_forms(alice: Visitor, body: bytes, kind: str, status: int) -> None:
    url = f"{alice.site.url}{alice.site.app.prefix}/cart"
    headers = {**alice.headers, "Content-Type": kind}
    async with alice.session.post(url, data=body, headers=headers) as answer:
        assert answer.status == status


async def test_too_many_requests_are_sent_away(alice: Visitor) -> None:
    statuses = [(await alice.get("/cart/version"))[0] for _ in range(245)]
    assert statuses[0] == 200 and statuses[-1] == 429


async def test_a_paused_merchant_is_still_looked_at(alice: Visitor) -> None:
    _, page = await alice.get(f"/m/{BOOKS.slug}")
    assert "أطلس العالم" in page and "世界地图" in page


async def test_who_is_on_a_price_list_sees_their_own_price(site: AppSite, alice: Visitor) -> None:
    small = replace(BREAD.variants[0], rules=(PriceRule(euros(250), tier="staff"),))
    product = replace(BREAD, variants=(small, BREAD.variants[1]))
    await site.write(lambda hand: site.shelf.put(hand, BAKERY.id, product))
    _, page = await alice.get("/m/bakery/p/bread")
    assert "your price" not in page and "€3.20" in page
    await site.write(lambda hand: site.baskets.lists.put(hand, BAKERY.id, ALICE, "staff"))
    for path in ("/m/bakery", "/?q=bread"):
        _, page = await alice.get(path)
        assert "from €2.50" in page and "your price" in page, path
    _, page = await alice.get("/m/bakery/p/bread")
    assert "€2.50" in page and "your price, others pay €3.20" in page
    await alice.post("/m/bakery/p/bread", variant="small", quantity="1", **WHOLE)
    _, page = await alice.get("/cart")
    assert "€2.50" in page and "your price, others pay €3.20" in page
    cart = await site.cart()
    assert [line.shown for line in cart.lines] == [euros(250)]


# A room that orders together

LUNCH = "!lunch:example.org"
BOB = "@bob:example.org"


class Table:
    """A room that orders together at the bakery, until it is closed."""

    def __init__(self) -> None:
        self.closed = False

    async def of_room(self, reader: Any, room_id: str) -> Shared | None:
        return Shared(f"group:{room_id}", BAKERY.id) if room_id == LUNCH else None

    async def changing(self, hand: Any, room_id: str, person: str) -> None:
        if self.closed:
            raise GroupError("group.refused", state=WORDS[GroupState.CLOSED])


async def test_a_room_that_orders_together_has_one_page(site: AppSite) -> None:
    table = site.app.together = Table()
    site.members_in[LUNCH] = {ALICE: "join", BOB: "join", BOT.user_id: "join"}
    async with visitor(site) as alice, visitor(site) as bob:
        # It begins at the merchant of the room, and finds nothing else.
        _, page = await alice.enter(await site.link(ALICE, LUNCH))
        assert "Bob’s bakery" in page and "Rye bread" in page
        _, page = await alice.get("/?q=atlas")
        assert "Nothing was found" in page
        await bob.enter(await site.link(BOB, LUNCH))
        await alice.post("/m/bakery/p/bread", variant="small", quantity="2", **WHOLE)
        await bob.post("/m/bakery/p/bread", variant="large", quantity="1", **WHOLE)
        cart = await site.cart(f"group:{LUNCH}")
        assert [(line.person, line.variant, line.quantity) for line in cart.lines] == [
            (ALICE, "small", 2), (BOB, "large", 1),
        ]  # fmt: skip
        assert not (await site.cart(ALICE)).lines, "their own cart is another one"
        # Each sees what all want, and changes their own.
        _, page = await alice.get("/cart")
        assert "Alice" in page and "Bob" in page and "What you order together" in page
        assert page.count('name="number"') == 1 and 'value="checkout"' not in page
        status, page = await alice.post("/cart", action="remove", number="2")
        assert status == 409 and "only they can change it" in page
        status, page = await alice.post("/cart", action="checkout", number="2")
        assert status == 409
        await alice.post("/cart", action="set", number="1", quantity="3")
        assert [line.quantity for line in (await site.cart(f"group:{LUNCH}")).lines] == [3, 1]
        # The room is told.
        told = [event for event in site.events if event.content["data"]["name"] == CART_TIMER]
        assert {event.room_id for event in told} == {LUNCH}
        assert {event.content["data"]["data"]["person"] for event in told} == {f"group:{LUNCH}"}
        # Elsewhere, or once it is closed, nothing is put into it.
        status, page = await alice.post("/m/books/p/atlas", quantity="1")
        assert status == 422 and "You order together at another merchant." in page
        table.closed = True
        status, page = await bob.post("/m/bakery/p/bread", variant="large", quantity="1", **WHOLE)
        assert status == 422 and "the group order is closed" in page
        status, _ = await bob.post("/cart", action="remove", number="2")
        assert status == 409 and len((await site.cart(f"group:{LUNCH}")).lines) == 2
        # Who has left the room sees their own.
        site.members_in[LUNCH] = {ALICE: "join", BOT.user_id: "join"}
        _, page = await bob.get("/cart")
        assert "The cart is empty." in page
