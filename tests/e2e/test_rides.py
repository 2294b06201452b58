"""Rides on a real Synapse, in encrypted chats, each person with matrix-nio: a rider, two drivers, and whoever approves
them. A whole trip with live positions, and each of the ways in which one goes wrong."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from PIL import Image

from appservice.local.yaml import to_yaml
from tests.e2e.test_cli_homeserver import rialto_json
from tests.support.fixtures import NewHuman, StartRialto
from tests.support.human import Human, Seen
from tests.support.purse import PATIENCE, Purse, with_money
from tests.support.servers import RialtoProcess

BOTS = ("wallet", "rides")
MARKET, OFFICE, AIRPORT = (52.52, 13.405), (52.501, 13.3402), (52.3667, 13.5033)
HARBOUR = (52.5405, 13.372)
PIN = re.compile(r"PIN: (\d{4})\b")
NUMBER = re.compile(r"\bRide ([23456789CFGHJMPQRVWX]{6})\b")
LINK = re.compile(r"http://127\.0\.0\.1:\d+/trips/[A-Za-z0-9_-]{64}")
INFO, BEACON = "org.matrix.msc3672.beacon_info", "org.matrix.msc3672.beacon"
SEARCH_SECONDS = 30
LOST_SECONDS = 20


def geo(place: tuple[float, float]) -> str:
    """A place as a geo URI."""
    return f"geo:{place[0]},{place[1]}"


@dataclass
class Talk:
    """A person's chat with the bot of rides."""

    human: Human
    bot: str
    room: str
    shared: str = ""

    @classmethod
    async def begin(cls, human: Human, bot: str) -> Talk:
        """An encrypted chat that the bot has greeted in, begun as clients begin one: both have all power in it."""
        greeted = human.expect(None, sender=bot, contains="Hello", timeout=PATIENCE)
        room = await human.create_room(None, encrypted=True, direct=True, invite=(bot,))
        seen = await greeted
        assert seen.encrypted and seen.room_id == room
        return cls(human, bot, room)

    def hears(self, contains: str, **more: Any) -> Any:
        """Listen for what the bot says, from now on."""
        return self.human.expect(self.room, sender=self.bot, contains=contains, timeout=PATIENCE, **more)

    async def says(self, text: str, contains: str) -> Seen:
        """Say something, and wait for the answer that holds something."""
        answer = self.hears(contains)
        await self.human.say(self.room, text)
        seen: Seen = await answer
        assert seen.encrypted
        return seen

    async def shares(self, place: tuple[float, float], name: str, contains: str) -> Seen:
        """Share a place, and wait for the answer that holds something."""
        answer = self.hears(contains)
        content = {
            "msgtype": "m.location",
            "body": f"{name} ({geo(place)})",
            "geo_uri": geo(place),
            "org.matrix.msc3488.location": {"uri": geo(place), "description": name},
        }
        await self.human.send(self.room, "m.room.message", content)
        seen: Seen = await answer
        return seen

    # Drivers

    async def goes_live(self, place: tuple[float, float]) -> None:
        """Begin to share where they are, and say where that is."""
        content = {
            "description": "Me",
            "live": True,
            "timeout": 3_600_000,
            "org.matrix.msc3488.ts": round(datetime.now(UTC).timestamp() * 1000),
            "org.matrix.msc3488.asset": {"type": "m.self"},
        }
        answer = await self.human.nio.room_put_state(self.room, INFO, content, self.human.id)
        self.shared = str(answer.event_id)
        await self.is_at(place)

    async def is_at(self, place: tuple[float, float]) -> None:
        """Live positions. Nobody drives as fast as this test: a jump is believed when the next one says the same."""
        for _time in range(2):
            content = {
                "m.relates_to": {"rel_type": "m.reference", "event_id": self.shared},
                "org.matrix.msc3488.location": {"uri": f"{geo(place)};u=8"},
                "org.matrix.msc3488.ts": round(datetime.now(UTC).timestamp() * 1000),
            }
            await self.human.send(self.room, BEACON, content)

    async def is_seen_at(self, rider: Talk, place: tuple[float, float]) -> Seen:
        """A live position, until the rider's client has it too."""

        def there(seen: Seen) -> bool:
            uri = seen.content.get("org.matrix.msc3488.location", {}).get("uri", "")
            return str(uri).startswith(geo(place))

        came = rider.human.expect(rider.room, sender=rider.bot, type=BEACON, predicate=there, timeout=PATIENCE)
        await self.is_at(place)
        seen: Seen = await came
        assert seen.encrypted
        return seen


@dataclass
class City:
    """Everybody."""

    service: RialtoProcess
    rider: Talk
    purse: Purse
    bob: Talk
    bob_purse: Purse
    carol: Talk
    operator: Talk

    async def orders(self, price: str = "Standard – €") -> str:
        """Alice orders a ride and pays: a driver is looked for; its number."""
        await self.rider.says("ride", "Where shall I pick you up?")
        await self.rider.shares(MARKET, "Market Square", "Where would you like to go?")
        await self.rider.shares(OFFICE, "Office Street", price)
        await self.rider.says("1", "Total:")
        asked = self.purse.hears("To confirm")
        # Of another ride, whose search takes long, it may be said again just now.
        new = self.rider.hears("I am looking for a driver", predicate=lambda seen: "I go on until" not in seen.body)
        await self.rider.says("1", "Please confirm")
        await self.purse.confirms(await asked, "is set aside")
        found = NUMBER.search((await new).body)
        assert found is not None
        return found[1]

    async def matched(self) -> tuple[str, str]:
        """Alice has ordered, and Bob has taken it; its number and its PIN."""
        offered = self.bob.hears("Accept")
        number = await self.orders()
        card = self.rider.hears("A driver is on the way.")
        await offered
        await self.bob.says("1", number)
        told = (await card).body
        assert "blue Toyota Prius, B-BO 1" in told
        assert self.bob.human.id not in told
        pin = PIN.search(told)
        assert pin is not None
        return number, pin[1]


def tariff() -> str:
    """The demo city's, where nobody waits long: a fee is due at once, or after a minute."""
    text = (files("bots.rides.tariffs") / "default.yaml").read_text("utf-8")
    for before, after in (("free_seconds: 120", "free_seconds: 0"), ("grace_minutes: 5", "grace_minutes: 1")):
        assert before in text
        text = text.replace(before, after)
    return text


def photo() -> bytes:
    """A small picture."""
    out = BytesIO()
    Image.new("RGB", (16, 16), (90, 120, 40)).save(out, "PNG")
    return out.getvalue()


async def sign_up(human: Human, rides: str, operator: Talk, name: str, plate: str) -> Talk:
    """Somebody becomes a driver, with a photo of their licence, and the operator approves them."""
    talk = await Talk.begin(human, rides)
    await talk.says("drive", "By which name")
    await talk.says(name, "For which classes")
    await talk.says("1", "What do you drive?")
    await talk.says("Toyota Prius", "Which colour")
    await talk.says("blue", "What is on its plate?")
    await talk.says(plate, "How many seats")
    asked = talk.hears("Please send a photo")
    await human.say(talk.room, "4")
    await asked
    until = talk.hears("Until which day")
    await human.send_image(talk.room, photo())
    await until
    wants, day = operator.hears("wants to drive"), (datetime.now(UTC) + timedelta(days=400)).date()
    await talk.says(day.isoformat(), "Shall I ask whether you may drive?")
    await talk.says("yes", "I have asked.")
    await wants
    approved = talk.hears("You may drive now!")
    await human_says(operator, f"drivers approve {human.id}")
    await approved
    return talk


async def human_says(talk: Talk, text: str) -> None:
    """Say something whose answer is heard elsewhere."""
    await talk.human.say(talk.room, text)


async def page(url: str) -> str:
    """A page as a browser loads it."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.text()


@pytest.fixture
async def city(
    rialto: StartRialto, alice: Human, bob: Human, new_human: NewHuman, request: pytest.FixtureRequest
) -> AsyncIterator[City]:
    """Rialto with wallet and rides, two drivers, and somebody who wants to be driven; at the end the books balance.

    A parameter is further settings of the bot.
    """
    olga, carol = await new_human("olga"), await new_human("carol")
    overrides = with_money() | {"permissions": {"roles": {"operator": olga.id}}}
    overrides["payments"]["pin_above"] = {"EUR": "1000.00"}
    service = await rialto(BOTS, overrides=overrides, start=False)
    (service.config_path.parent / "tariff.yaml").write_text(tariff(), "utf-8")
    for bot in service.config["bots"]:
        if bot["plugin"] == "rides":
            bot["settings"] = {
                "search_seconds": SEARCH_SECONDS,
                "round_seconds": 1,
                "capture_minutes": 0,
                "tariff_file": "tariff.yaml",
                "riding": {"follow_seconds": 5},
                "driving": {"documents": [{"name": "licence", "label": "driving licence"}]},
            } | getattr(request, "param", {})
    service.config_path.write_text(to_yaml(service.config))
    await service.start()
    rides, wallet = service.bot("rides"), service.bot("wallet")
    operator = await Talk.begin(olga, rides)
    await operator.says("board", "")
    drivers = [
        await sign_up(bob, rides, operator, "Bob", "B-BO 1"),
        await sign_up(carol, rides, operator, "Carol", "B-CA 2"),
    ]
    bob_purse = await Purse.open(bob, wallet)
    purse = await Purse.open(alice, wallet)
    await purse.tops_up("300 EUR")
    yield City(service, await Talk.begin(alice, rides), purse, drivers[0], bob_purse, drivers[1], operator)
    await service.stop()
    code, report = await rialto_json("ledger", "verify", "-c", str(service.config_path))
    assert code == 0, report


@pytest.mark.timeout(900)
async def test_a_whole_trip_and_what_goes_wrong(city: City) -> None:
    rider, bob, carol, purse = city.rider, city.bob, city.carol, city.purse

    # Nobody drives: nobody is found, and the money is hers again.
    number = await city.orders("nobody is near")
    back = purse.hears("is yours again")
    await rider.hears("No driver was found.")
    await back
    assert await purse.balance() == "€300.00"

    # Bob comes online by sharing where he is, live.
    await bob.says("online", "Where are you?")
    online = bob.hears("You are online.")
    await bob.goes_live(HARBOUR)
    await online

    # A whole trip, with live positions on her map and on a page that she shares.
    number, pin = await city.matched()
    near = rider.hears("Your driver is almost there.")
    await bob.is_seen_at(rider, (52.5301, 13.3901))
    await rider.says("share", "How exactly")
    link = LINK.search((await rider.says("Roughly", "Whoever has this link")).body)
    assert link is not None
    shown = await page(link[0])
    assert "The driver is on the way to the pickup" in shown and "B-BO 1" in shown
    assert rider.human.id not in shown and bob.human.id not in shown and number not in shown and pin not in shown
    await bob.is_seen_at(rider, (52.5203, 13.4048))
    await near
    told = bob.hears("I stand beside the fountain")
    await human_says(rider, "to driver: I stand beside the fountain")
    assert rider.human.id not in (await told).body
    there = rider.hears("Your driver is there.")
    await human_says(bob, "arrived")
    await there
    await bob.says("start", "Which four digits")
    await bob.says("0000" if pin != "0000" else "1111", "That is not it.")
    under_way = rider.hears("You are on the way.")
    await human_says(bob, pin)
    await under_way
    assert "The ride is under way" in await page(link[0])
    await bob.is_seen_at(rider, (52.5105, 13.3702))
    await bob.is_at(OFFICE)
    arrived, rated, receipt = (
        rider.hears("You have arrived."),
        rider.hears("How was the ride"),
        rider.hears("Receipt for"),
    )
    picture = rider.human.expect(rider.room, sender=rider.bot, timeout=PATIENCE,
                                 predicate=lambda seen: seen.content.get("msgtype") == "m.image")  # fmt: skip
    earned = city.bob_purse.hears("has paid you")
    await human_says(bob, "end")
    await arrived
    await rated
    fare = re.search(r"Total: (€\d+\.\d\d)", (await receipt).body)
    assert fare is not None
    assert "file" in (await picture).content, "the picture of the way is encrypted"
    await earned
    assert "This trip has arrived" in await page(link[0])
    left = 300 - float(fare[1][1:])
    assert await purse.balance() == f"€{left:.2f}"
    await rider.says("5", "Would you like to give a tip?")
    await rider.says("No tip", "No tip.")

    # Bob declines, Carol comes; then she cannot, and Bob is asked after all? He has declined: nobody is.
    await carol.says("online", "Where are you?")
    online = carol.hears("You are online.")
    await carol.goes_live(HARBOUR)
    await online
    await bob.is_at(MARKET)
    offered, asked_next = bob.hears("Accept"), carol.hears("Accept")
    number = await city.orders()
    await offered
    await bob.says("2", "I ask somebody else.")
    await asked_next
    card = rider.hears("Carol: blue Toyota Prius, B-CA 2")
    await carol.says("1", number)
    await card
    lost = rider.hears("The driver cannot come after all.")
    await carol.says("give up", "Why can you not do it?")
    await human_says(carol, "1")
    await lost
    back = purse.hears("is yours again")
    await rider.hears("No driver was found.")
    await back
    assert await purse.balance() == f"€{left:.2f}"
    await carol.says("offline", "You are offline.")

    # She cancels when Bob is on the way: the fee is shown first, and taken.
    await bob.is_at(HARBOUR)
    number, pin = await city.matched()
    await rider.says("cancel ride", "Cancelling costs €")
    gone = bob.hears(number)
    receipt = rider.hears("Receipt for")
    await rider.says("yes", "is taken, the rest goes back.")
    await gone
    fee = re.search(r"Cancellation fee: €(\d+\.\d\d)", (await receipt).body)
    assert fee is not None
    left -= float(fee[1])
    assert await purse.balance() == f"€{left:.2f}"

    # She does not come: Bob waits, and a fee is due.
    await bob.is_at(MARKET)
    number, pin = await city.matched()
    there = rider.hears("Your driver is there.")
    waited = bob.human.expect(bob.room, sender=bob.bot, contains="You have waited long enough.", timeout=100)
    await human_says(bob, "arrived")
    await there
    await waited
    missed, receipt = rider.hears("nobody came"), rider.hears("Fee for not coming: €6.00")
    await bob.says("no-show", "Nobody came, and you do not wait any longer?")
    await human_says(bob, "yes")
    assert "The fee is €6.00" in (await missed).body
    await receipt
    left -= 6
    assert await purse.balance() == f"€{left:.2f}"

    # Nothing of it stands anywhere in clear.
    written = city.service.everything_written() + city.service.server.everything_written()  # type: ignore[attr-defined]
    for word in (b"Market Square", b"Office Street", b"beside the fountain", b"Toyota", b"B-BO 1"):
        assert word not in written


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "city",
    [
        {
            "dispatch": {"wave_sizes": [2]},
            "capture_minutes": 1,
            "riding": {"follow_seconds": 5, "lost_after_seconds": LOST_SECONDS},
        }
    ],
    indirect=True,
)
async def test_two_at_once_lost_from_sight_and_disputed(city: City) -> None:
    rider, bob, carol, purse, operator = city.rider, city.bob, city.carol, city.purse, city.operator
    for driver in (bob, carol):
        await driver.says("online", "Where are you?")
        online = driver.hears("You are online.")
        await driver.goes_live(HARBOUR)
        await online

    # Both are asked at once, and both accept: one has it, the other is told.
    offered = [driver.hears("Accept") for driver in (bob, carol)]
    number = await city.orders()
    for each in offered:
        await each
    card = rider.hears("A driver is on the way.")
    told = carol.hears("taken by somebody else, or not needed any more")
    await bob.says("1", number)
    assert "B-BO 1" in (await card).body
    await human_says(carol, "1")
    await told

    # Nothing is heard of him for a while: she reads where he was last.
    lost = rider.hears("Nothing is heard of the driver's position just now. Last seen")
    await lost
    await bob.is_at(MARKET)
    there = rider.hears("Your driver is there.")
    await human_says(bob, "arrived")
    await there
    pin = PIN.search((await rider.says("trip", "PIN: ")).body)
    assert pin is not None
    await bob.says("start", "Which four digits")
    under_way = rider.hears("You are on the way.")
    await human_says(bob, pin[1])
    await under_way
    await bob.is_at(OFFICE)
    rated, arrived = rider.hears("How was the ride"), rider.hears("You have arrived.")
    await human_says(bob, "end")
    await arrived
    await rated
    await human_says(rider, "Not now")

    # A dispute leaves the money held; the operator decides, and she has some of it again.
    held = await purse.balance()
    waits = operator.hears("A case waits for you")
    await rider.says("dispute", "What was wrong?")
    await rider.says("He drove in circles", "What is held stays held until then.")
    await waits
    assert number in (await operator.says("disputes", number)).body
    answered = rider.hears("that was a detour")
    # Nothing is taken before a minute after the end.
    receipt = rider.human.expect(rider.room, sender=rider.bot, contains="Receipt for", timeout=60 + PATIENCE)
    earned = city.bob_purse.hears("has paid you")
    await operator.says(f"disputes settle {number} 2.00 that was a detour", "Decided.")
    await answered
    due = re.search(r"(?:Fare|Total): €(\d+\.\d\d)", (await receipt).body)
    await earned
    assert due is not None
    assert held != await purse.balance() == f"€{300 - float(due[1]):.2f}"
