"""Ordering together on a real Synapse: three friends with matrix-nio in an encrypted room, each with a wallet. Each
adds their own; one pays, or everybody pays their share; somebody does not; the host leaves."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import aiohttp
import pytest
from yarl import URL

from appservice.local.yaml import to_yaml
from tests.e2e.test_cli_homeserver import rialto_json
from tests.e2e.test_commerce_food import BOTS, NUMBER, Talk, sign_up
from tests.support.fixtures import NewHuman, StartRialto
from tests.support.human import Human
from tests.support.purse import HIDDEN, PATIENCE, Purse, with_money
from tests.support.servers import RialtoProcess

HOME = "52.525, 13.41"
LINK = re.compile(r"https?://\S+/enter/\S+")
FEE = "2.50"
SHARE_MINUTES = 1


@dataclass
class Friend:
    """One of the three: in the room, alone with the bot, and with the wallet."""

    human: Human
    table: Talk
    alone: Talk
    purse: Purse

    async def adds(self, dish: str) -> None:
        """Put a dish into their part, in the room where everybody sees it."""
        await self.table.says("!add", "Margherita")
        await self.table.says(dish, "Into the cart")
        await self.table.says("1", f"In the cart: 1 × {dish}")

    async def adds_on_page(self, dish: str, friend: Friend) -> None:
        """Open the page of the room by the link that the bot sends them alone, and put a dish into their part there;
        everybody else reads of it in the room."""
        sent, told = self.alone.hears("as a page"), friend.table.hears("has changed it on the page.")
        await self.table.says("!app", "I have sent you a link")
        link = LINK.search((await sent).body)
        assert link is not None
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            page = await self._posts(browser, link[0], action="open")
            where = re.search(rf'href="([^"]+/p/{dish.lower()})"', page)
            assert where is not None, page
            page = await self._posts(browser, urljoin(link[0], where[1]), quantity="1", action="add")
            assert "What you order together" in page and dish in page
        assert f"1 × {dish}" in (await told).body

    async def _posts(self, browser: aiohttp.ClientSession, url: str, **fields: str) -> str:
        """Send a form with what is hidden in its page; the page that it leads to."""
        async with browser.get(url) as answer:
            hidden = dict(HIDDEN.findall(await answer.text()))
        headers = {"Origin": str(URL(url).origin()), "Sec-Fetch-Site": "same-origin"}
        async with browser.post(url, data={**hidden, **fields}, headers=headers) as answer:
            assert answer.status == 200, (answer.status, await answer.text())
            return await answer.text()

    async def pays(self, asked: Any) -> None:
        """Type the code that the wallet shows."""
        await self.purse.confirms(await asked, "is set aside")


@dataclass
class Table:
    """Everybody."""

    service: RialtoProcess
    staff: Talk
    alice: Friend
    carol: Friend
    dave: Friend

    async def orders_together(self, host: Friend, *dishes: tuple[Friend, str]) -> None:
        """Begin an order of the group, and have each add their own."""
        await host.table.says("!group order roma", "How long can everybody add?")
        await host.table.says("30 minutes", "We order together at Roma")
        for friend, dish in dishes:
            await friend.adds(dish)

    async def closes(self, host: Friend, quote: str) -> str:
        """Close it; the host alone is asked where to. What they are asked last."""
        asked = host.alone.hears("How do you want it?")
        await host.table.says("!close", "Nobody can add any more.")
        await asked
        await host.alone.says("Have it delivered", "Where to?")
        await host.alone.says(HOME, "How is it found")
        await host.alone.says("Linden Street 7", "Only this time")
        return str((await host.alone.says("Only this time", quote)).body)

    async def balances(self) -> list[str]:
        """What each has."""
        return [await each.purse.balance() for each in (self.alice, self.carol, self.dave)]


@pytest.fixture
async def table(rialto: StartRialto, alice: Human, bob: Human, new_human: NewHuman) -> AsyncIterator[Table]:
    """Rialto with wallet and food, a restaurant, and three friends with money; at the end the books balance."""
    olga, carol, dave = await new_human("olga"), await new_human("carol"), await new_human("dave")
    overrides = with_money() | {"permissions": {"roles": {"operator": olga.id}}}
    overrides["payments"]["pin_above"] = {"EUR": "1000.00"}
    service = await rialto(BOTS, overrides=overrides, start=False)
    for bot in service.config["bots"]:
        if bot["plugin"] == "food":
            bot["settings"] = {"share_minutes": SHARE_MINUTES}
    service.config_path.write_text(to_yaml(service.config))
    await service.start()
    food, wallet = service.bot("food"), service.bot("wallet")
    operator = await Talk.begin(olga, food)
    await operator.says("merchants pending", "There are none.")
    staff = await sign_up(bob, food, operator)
    room = await alice.create_room("Lunch", encrypted=True)
    for human in (carol, dave):
        await alice.invite(room, human.id)
        await human.join(room)
    greeted = alice.expect(room, sender=food, contains="!group order", timeout=PATIENCE)
    await alice.invite(room, food)
    await greeted
    friends = []
    for human in (alice, carol, dave):
        purse = await Purse.open(human, wallet)
        await purse.tops_up("50 EUR")
        friends.append(Friend(human, Talk(human, food, room), await Talk.begin(human, food), purse))
    yield Table(service, staff, *friends)
    await service.stop()
    code, report = await rialto_json("ledger", "verify", "-c", str(service.config_path))
    assert code == 0, report


@pytest.mark.timeout(600)
async def test_three_order_together(table: Table) -> None:
    alice, carol, dave, staff = table.alice, table.carol, table.dave, table.staff

    # Each adds their own, Carol on the page; one pays.
    await table.orders_together(alice, (alice, "Margherita"), (dave, "Margherita"))
    await carol.adds_on_page("Calzone", dave)
    shown = (await dave.table.says("!group", "Group order at Roma")).body
    assert re.search(r"1 × Calzone", shown) and "Together: €29.00" in shown
    await dave.table.says("!close", "Only")
    quote = await table.closes(alice, "I pay €31.50")
    assert "€9.84" in quote and "€11.83" in quote and "€9.83" in quote
    asked, came = alice.purse.hears("To confirm"), staff.hears("A new order has come in.")
    told = carol.table.hears("orders and pays")
    await alice.alone.says("I pay €31.50", "waits for its payment")
    await told
    told = carol.table.hears("The group order is paid: Roma is asked now.")
    await alice.pays(asked)
    await told
    number = NUMBER.search((await came).body)
    assert number is not None
    told = dave.table.hears("Roma has accepted the group order.")
    await staff.says(f"accept {number[1]} 20", "accepted")
    await told
    # Called off after all: who has paid has it back.
    back = alice.purse.hears("€31.50")
    await staff.says(f"call off {number[1]} the oven is broken", "cancelled")
    await back
    assert await table.balances() == ["€50.00"] * 3

    # Everybody pays their share, by their own wallet.
    await table.orders_together(alice, (alice, "Margherita"), (carol, "Calzone"), (dave, "Margherita"))
    await table.closes(alice, "I pay €31.50")
    asks = [each.purse.hears("To confirm") for each in (alice, carol, dave)]
    came = staff.hears("A new order has come in.")
    told = dave.table.hears("Everybody pays their share: the wallet asks each of you in its own chat.")
    await alice.alone.says("Everybody pays their share", "waits for its payment")
    await told
    for friend, asked in zip((alice, carol, dave), asks, strict=True):
        await friend.pays(asked)
    number = NUMBER.search((await came).body)
    assert number is not None
    told = carol.table.hears("Roma has accepted the group order.")
    await staff.says(f"accept {number[1]} 20", "accepted")
    await told
    assert await table.balances() == ["€40.16", "€38.17", "€40.17"], "9.84, 11.83 and 9.83"

    # One does not pay in time: the host has their items left out, and pays their part of the delivery.
    await table.orders_together(carol, (carol, "Calzone"), (dave, "Margherita"))
    await table.closes(carol, "I pay €22.50")
    asked, came = carol.purse.hears("To confirm"), staff.hears("A new order has come in.")
    stuck = carol.human.expect(
        carol.alone.room,
        sender=carol.alone.bot,
        contains="does not pay €10.25. What shall I do?",
        timeout=60 * SHARE_MINUTES + PATIENCE,
    )
    await carol.alone.says("Everybody pays their share", "waits for its payment")
    await carol.pays(asked)
    await stuck
    rest, told = carol.purse.hears("To confirm"), alice.table.hears("is left out.")
    await carol.alone.says("Leave their items out", "It is left out.")
    await told
    await carol.pays(rest)
    card = (await came).body
    assert "Calzone" in card and "Margherita" not in card
    number = NUMBER.search(card)
    assert number is not None
    told = alice.table.hears("Roma cannot do the group order.")
    back = carol.purse.hears("is yours again")
    await staff.says(f"reject {number[1]} no dough", "rejected")
    await told
    await back
    assert await table.balances() == ["€40.16", "€38.17", "€40.17"]

    # The host leaves: who has wanted something first decides. Nothing was said of an address in the room.
    await table.orders_together(alice, (alice, "Margherita"), (dave, "Calzone"))
    told = carol.table.hears("has left: what they wanted is taken out.")
    await alice.human.leave(alice.table.room)
    assert "decides about the group order now." in (await told).body
    await table.closes(dave, "I pay €13.50")
    await dave.alone.says("Cancel the group order", "The group order is cancelled.")
    assert (await dave.table.says("!group", "There is no group order here")).encrypted
    written = table.service.everything_written() + table.service.server.everything_written()  # type: ignore[attr-defined]
    for word in (b"Linden Street", b"Calzone to", b"the oven is broken"):
        assert word not in written
