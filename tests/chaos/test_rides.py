"""``kill -9`` in the middle of rides, on a real Synapse, in encrypted chats: a rider, two drivers, money that is held.

The books balance, every cent is where receipts and fees say, each ride had one driver at a time and has come to a legal
end, nothing is held any more, and everybody was told each step once. ``RIALTO_CHAOS_SEED`` repeats a run,
``RIALTO_RIDE_KILLS`` sets the number of kills.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Any, Final

import pytest

from appservice.local.yaml import to_yaml
from bots.domain.trips import ENDED, NEXT, TripAction, TripState
from tests.chaos.test_money import Killer
from tests.e2e.test_cli_homeserver import rialto_json
from tests.e2e.test_rides import BOTS, HARBOUR, MARKET, PIN, City, Talk, sign_up, tariff
from tests.support.fixtures import NewHuman, StartRialto
from tests.support.history import UNREADABLE, answers
from tests.support.human import Expectation, Human, Seen
from tests.support.purse import PATIENCE, Purse, nothing, with_money
from tests.support.servers import RialtoProcess

KILLS = int(os.environ.get("RIALTO_RIDE_KILLS", "50"))
MONEY: Final = 60_000
"""What the rider has at the beginning, in cents."""
SEARCH_SECONDS: Final = 90
"""Longer than the service is ever away while somebody is looked for."""
SETTINGS: Final = {
    "search_seconds": SEARCH_SECONDS,
    "offer_seconds": 300,
    "round_seconds": 1,
    "capture_minutes": 0,
    "silent_minutes": 60,
    "stale_seconds": 3_600,
    "tariff_file": "tariff.yaml",
    "riding": {"follow_seconds": 5},
    # A kill takes the positions of the last second with it: nobody is asked whether they really are where they say.
    "driving": {"documents": [{"name": "licence"}], "arrived_metres": 10_000, "ended_metres": 100_000},
}
OFFERED: Final = "A ride is offered to you"
ON_THE_WAY: Final = (52.5105, 13.3702)
EARNED: Final = re.compile(r"[Yy]ou (?:have )?earn(?:ed)? €(\d+\.\d\d)")
RECEIPT: Final = re.compile(r"(?:Total|Cancellation fee): €(\d+\.\d\d)")
PAID: Final = re.compile(r"has paid you €(\d+\.\d\d)")


@dataclass
class Often(Killer):
    """Kills not always, and at times when the service goes on by itself: it asks a driver, it moves money."""

    async def strike(self) -> None:
        if self.kills < self.left and self.dice.random() < 0.75:
            await asyncio.sleep(self.dice.uniform(0, 0.8))
            await super().strike()


@dataclass
class StruckTalk(Talk):
    """A chat in which the service is killed a moment after something that somebody says."""

    after: Callable[[], Awaitable[None]] = nothing

    @classmethod
    def of(cls, calm: Talk, after: Callable[[], Awaitable[None]]) -> StruckTalk:
        """The same chat, less calm."""
        return cls(calm.human, calm.bot, calm.room, calm.shared, after)

    def hears(self, contains: str, *, predicate: Callable[[Seen], bool] = lambda _seen: True, **more: Any) -> Any:
        """New messages alone: how a search goes is told by edits."""
        return super().hears(contains, predicate=lambda seen: not edited(seen.body) and predicate(seen), **more)

    async def says(self, text: str, contains: str) -> Seen:
        answer = self.hears(contains)
        await self.acts(text)
        seen: Seen = await answer
        return seen

    async def acts(self, text: str) -> None:
        """Say something whose answer is heard elsewhere."""
        await self.human.say(self.room, text)
        await self.after()


@dataclass
class Driver:
    """Somebody who drives, and the cents that they were told they have earned."""

    talk: StruckTalk
    purse: Purse
    earned: int = 0

    def earns(self, said: str) -> None:
        """As it was said to them."""
        self.earned += cents(EARNED, said)


@dataclass
class Story:
    """A rider and two drivers; what must have become of each trip, what was paid, and what each must have been told,
    once."""

    city: City
    rider: StruckTalk
    bob: Driver
    carol: Driver
    dice: random.Random
    states: dict[str, str] = field(default_factory=dict)
    paid: dict[str, int] = field(default_factory=dict)
    """Cents, by the receipts."""
    tips: int = 0
    told: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By room and text."""
    waiting: dict[str, Expectation] = field(default_factory=dict)
    """Rides for which nobody is found, and who hears so."""
    numbers: Any = field(default_factory=lambda: count(1))

    def tells(self, talk: Talk, *texts: str) -> None:
        """Somebody hears something once more."""
        self.told.update((talk.room, text) for text in texts)

    # Parts of stories

    async def asked(self) -> tuple[str, Driver, Driver]:
        """Alice orders a ride; its number, the driver who is asked, and the one who is not."""
        near, far = self.dice.sample([self.bob, self.carol], 2)
        await near.talk.is_at(MARKET)
        await far.talk.is_at(HARBOUR)
        # A kill takes the positions of the last second with it, so the one who is farther may be asked.
        cards = {driver.talk.room: driver.talk.hears(OFFERED) for driver in (near, far)}
        number = await self.city.orders()
        self.tells(self.rider, f"Ride {number}: I am looking for a driver …")
        room = await first(cards)
        asked, other = (near, far) if room == near.talk.room else (far, near)
        self.tells(asked.talk, OFFERED)
        return number, asked, other

    async def declines(self, driver: Driver, other: Driver) -> None:
        """Somebody does not want it, and the other one is asked."""
        card = other.talk.hears(OFFERED)
        await driver.talk.says("2", "I ask somebody else.")
        await card
        self.tells(driver.talk, "I ask somebody else.")
        self.tells(other.talk, OFFERED)

    async def takes(self, driver: Driver, number: str) -> str:
        """Somebody takes it; the rider's PIN."""
        card = self.rider.hears("A driver is on the way.")
        await driver.talk.says("1", f"Ride {number}: pick up")
        pin = PIN.search((await card).body)
        assert pin is not None
        self.tells(self.rider, "A driver is on the way.")
        self.tells(driver.talk, f"Ride {number}: pick up")
        return pin[1]

    async def drives(self, driver: Driver, number: str, pin: str) -> None:
        """From the pickup to the destination, with a wrong PIN first."""
        talk, rider = driver.talk, self.rider
        there = rider.hears("Your driver is there.")
        await talk.acts("arrived")
        await there
        await talk.says("start", "Which four digits")
        await talk.says("0000" if pin != "0000" else "1111", "That is not it. 4 tries are left.")
        under_way = rider.hears("You are on the way.")
        await talk.acts(pin)
        await under_way
        arrived, rated = rider.hears("You have arrived."), rider.hears("How was the ride")
        receipt, wage = rider.hears(f"Receipt for Ride {number}"), driver.purse.hears("has paid you")
        ended = await talk.says("end", f"Ride {number} is done, thank you.")
        await arrived
        await rated
        await wage
        self.paid[number] = cents(RECEIPT, (await receipt).body)
        driver.earns(ended.body)
        self.tells(rider, "Your driver is there.", "You are on the way.", "You have arrived.", "How was the ride with")
        self.tells(rider, f"Receipt for Ride {number}")
        self.tells(talk, "That is not it. 4 tries are left.", f"Ride {number} is done, thank you.")
        self.states[number] = "completed"

    # Stories

    async def driven(self) -> None:
        """The whole way, with live positions, words to the driver, and a tip."""
        number, driver, _other = await self.asked()
        pin = await self.takes(driver, number)
        words = f"I stand at gate {next(self.numbers)}."
        told = driver.talk.hears(words)
        await self.rider.acts(f"to driver: {words}")
        await told
        self.tells(driver.talk, words)
        await driver.talk.is_at(ON_THE_WAY)
        await self.rider.after()
        await driver.talk.is_seen_at(self.rider, (52.5301, 13.3901))
        await self.drives(driver, number, pin)
        await self._tips(driver)

    async def _tips(self, driver: Driver) -> None:
        await self.rider.says("5", "Would you like to give a tip?")
        asked, thanked = self.city.purse.hears("To confirm"), self.rider.hears("Your tip is paid")
        got = driver.purse.hears("has paid you")
        told = driver.talk.hears("a tip of €")
        await self.rider.says("1", "Please confirm")
        await self.city.purse.confirms(await asked, "Paid: €")
        await thanked
        await told
        tip = cents(PAID, (await got).body)
        self.tips += tip
        driver.earned += tip
        self.tells(self.rider, "Your tip is paid")
        self.tells(driver.talk, "a tip of €")

    async def declined(self) -> None:
        """One does not want it, and the other one comes."""
        number, driver, other = await self.asked()
        await self.declines(driver, other)
        await self.drives(other, number, await self.takes(other, number))
        await self.rider.acts("Not now")

    async def given_up(self) -> None:
        """One has it, and cannot come: it is matched again."""
        number, driver, other = await self.asked()
        await self.takes(driver, number)
        lost, card = self.rider.hears("The driver cannot come after all."), other.talk.hears(OFFERED)
        await driver.talk.says("give up", "Why can you not do it?")
        await driver.talk.says("1", "I look for somebody else.")
        await lost
        await card
        self.tells(self.rider, "The driver cannot come after all.")
        self.tells(driver.talk, "I look for somebody else.")
        self.tells(other.talk, OFFERED)
        await self.drives(other, number, await self.takes(other, number))
        await self.rider.acts("Not now")

    async def cancelled_late(self) -> None:
        """She cancels when somebody is on the way: the fee is shown first, and taken."""
        number, driver, _other = await self.asked()
        await self.takes(driver, number)
        await self.rider.says(f"cancel ride {number}", "Cancelling costs €")
        await self._pays_fee(number, driver)

    async def _pays_fee(self, number: str, driver: Driver) -> None:
        """She agrees to what it costs."""
        gone, wage = driver.talk.hears(f"Ride {number} was cancelled."), driver.purse.hears("has paid you")
        receipt = self.rider.hears(f"Receipt for Ride {number}")
        await self.rider.says("yes", f"Ride {number} is cancelled.")
        self.paid[number] = cents(RECEIPT, (await receipt).body)
        driver.earns((await gone).body)
        await wage
        self.tells(self.rider, f"Ride {number} is cancelled.", f"Receipt for Ride {number}")
        self.tells(driver.talk, f"Ride {number} was cancelled.")
        self.states[number] = "cancelled_late"

    async def raced(self) -> None:
        """She cancels for nothing in the moment in which somebody takes it: one of them was first, and the other hears
        how it stands."""
        number, driver, _other = await self.asked()
        await self.rider.says(f"cancel ride {number}", "Cancelling costs nothing now.")
        free = self.rider.hears(f"Ride {number} is cancelled. What was held goes back.")
        dear, fee = self.rider.hears("It costs something else by now."), self.rider.hears("Cancelling costs €")
        back = self.city.purse.hears("is yours again")
        both = [self.rider.human.say(self.rider.room, "yes"), driver.talk.human.say(driver.talk.room, "1")]
        self.dice.shuffle(both)
        await asyncio.gather(*both)
        await self.rider.after()
        if await first({"free": free, "dear": dear}) == "free":
            await back
            self.tells(self.rider, f"Ride {number} is cancelled.")
            self.states[number] = "cancelled"
            return
        await fee
        self.tells(self.rider, "A driver is on the way.", "It costs something else by now.")
        self.tells(driver.talk, f"Ride {number}: pick up")
        await self._pays_fee(number, driver)

    async def called_off(self) -> None:
        """She cancels while somebody is looked for: nobody has it, and it costs nothing."""
        number, driver, other = await self.asked()
        await self.declines(driver, other)
        back = self.city.purse.hears("is yours again")
        await self.rider.says(f"cancel ride {number}", "Cancelling costs nothing now.")
        await self.rider.says("yes", f"Ride {number} is cancelled. What was held goes back.")
        await back
        self.tells(self.rider, f"Ride {number} is cancelled.")
        self.states[number] = "cancelled"

    async def not_found(self) -> None:
        """Neither wants it: nobody is found, while other things go on."""
        number, driver, other = await self.asked()
        missed = self.rider.human.expect(
            self.rider.room, sender=self.rider.bot, contains="No driver was found.", timeout=SEARCH_SECONDS + PATIENCE
        )
        await self.declines(driver, other)
        await other.talk.says("2", "I ask somebody else.")
        self.tells(other.talk, "I ask somebody else.")
        self.tells(self.rider, "No driver was found.")
        self.waiting[number] = missed
        self.states[number] = "unserved"

    # What must be in the end

    async def told_once(self) -> None:
        """Each step stands once in the history of the room, as the homeserver has it."""
        talks = {talk.room: talk for talk in (self.rider, self.bob.talk, self.carol.talk)}
        for room, talk in talks.items():
            said = await answers(talk.human, room, talk.bot)
            assert UNREADABLE not in said, [each[:40] for each in said]
            # A search that takes long is told of again, by an edit or anew.
            said = [each for each in said if not edited(each) and "I go on until" not in each]
            for text in {text for _room, text in self.told}:
                assert sum(text in each for each in said) == self.told[room, text], (talk.human.id, text)

    def balances(self) -> dict[str, str]:
        """What everybody has, by what they were told."""
        return {
            "alice": shown(MONEY - sum(self.paid.values()) - self.tips),
            "bob": shown(self.bob.earned),
            "carol": shown(self.carol.earned),
        }

    def kept(self) -> str:
        """What the bot has: of what was paid, all that is not the drivers'."""
        left = sum(self.paid.values()) + self.tips - self.bob.earned - self.carol.earned
        return f"{left / 100:.2f}"

    async def has(self) -> dict[str, str]:
        """What everybody has, by their wallets."""
        purses = {"alice": self.city.purse, "bob": self.bob.purse, "carol": self.carol.purse}
        return {name: await purse.balance() for name, purse in purses.items()}


def edited(body: str) -> bool:
    """Whether a message takes the place of an earlier one."""
    return body.startswith("* ")


def cents(pattern: re.Pattern[str], text: str) -> int:
    """An amount in a text."""
    found = pattern.search(text)
    assert found is not None, text
    return int(found[1].replace(".", ""))


def shown(amount: int) -> str:
    """As the wallet writes it."""
    return f"€{amount // 100:,}.{amount % 100:02d}"


async def first(awaited: dict[str, Expectation]) -> str:
    """Which of some messages comes."""

    async def came(message: Expectation) -> Seen:
        return await message

    tasks = {asyncio.ensure_future(came(message)): name for name, message in awaited.items()}
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()  # or what came instead
    assert len(done) == 1, "one of them comes, and not both"
    return tasks[done.pop()]


def rows(service: RialtoProcess, query: str) -> list[dict[str, Any]]:
    """What lies in the database of a service that does not run."""
    path = service.config_path.parent / service.config["database"]["url"].removeprefix("sqlite:///")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as found:
        found.row_factory = sqlite3.Row
        return [dict(each) for each in found.execute(query)]


def legal(service: RialtoProcess) -> None:
    """Each trip went from state to state as the table says, with one driver at a time, who had accepted it."""
    taken: Counter[str] = Counter()
    states: dict[str, TripState] = {}
    for step in rows(service, "SELECT trip_id, action, state FROM trip_steps ORDER BY trip_id, revision"):
        trip, state = step["trip_id"], TripState(step["state"])
        if trip in states and step["action"] in set(TripAction):
            assert NEXT.get((states[trip], TripAction(step["action"]))) is state, step
        else:
            assert states.get(trip, state) is state, step
        states[trip] = state
        taken[trip] += step["action"] == TripAction.MATCH.value
    assert set(states.values()) <= ENDED
    offers = rows(service, "SELECT trip_id, driver, state FROM trip_offers")
    assert {each["state"] for each in offers} <= {"accepted", "declined", "lost"}
    accepted = Counter(each["trip_id"] for each in offers if each["state"] == "accepted")
    assert accepted == +taken
    assert len({(each["trip_id"], each["driver"]) for each in offers}) == len(offers), "nobody was asked twice"


def money_is_where_it_belongs(service: RialtoProcess, story: Story) -> None:
    """What lies of trips, payments and drivers, against what people were told."""
    trips = rows(service, "SELECT * FROM trips")
    assert {each["number"]: each["state"] for each in trips} == story.states
    assert {each["number"]: each["due"] for each in trips if each["due"]} == story.paid
    assert all((each["settled"], each["owed"], each["disputed"]) == (1, 0, 0) for each in trips), trips
    for driver in (story.bob, story.carol):
        mine = [each for each in trips if each["driver"] == driver.talk.human.id]
        assert sum(each["earning"] + (each["tip"] or 0) for each in mine) == driver.earned
    bound = "SELECT person FROM drivers WHERE trip != '' OR batched != '' OR offer != ''"
    assert not rows(service, bound)
    assert not rows(service, "SELECT id FROM ledger_pending")
    assert not rows(service, "SELECT id FROM payments WHERE state IN ('proposed', 'held')")


@pytest.mark.timeout(900)
async def test_rides_come_through_kills(rialto: StartRialto, alice: Human, bob: Human, new_human: NewHuman) -> None:
    seed = int(os.environ.get("RIALTO_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
    print(f"RIALTO_CHAOS_SEED={seed}")
    olga, carol = await new_human("olga"), await new_human("carol")
    overrides = with_money() | {"permissions": {"roles": {"operator": olga.id}}}
    overrides["payments"] |= {"tiers": [{"transfers_per_hour": 500}], "pin_above": {"EUR": "2000.00"}}
    service = await rialto(BOTS, overrides=overrides, start=False)
    (service.config_path.parent / "tariff.yaml").write_text(tariff(), "utf-8")
    for bot in service.config["bots"]:
        if bot["plugin"] == "rides":
            bot["settings"] = SETTINGS
    service.config_path.write_text(to_yaml(service.config))
    await service.start()
    dice = random.Random(seed)
    killer = Often(service, dice, 0)  # not while they move in
    story = await furnished(service, killer, (alice, bob, carol, olga))
    killer.left = KILLS
    acts = [story.driven, story.declined, story.given_up, story.cancelled_late, story.called_off, story.raced]
    dice.shuffle(acts)  # the kills may be over before the last of them
    await story.not_found()
    for act in cycle(acts):
        if killer.kills >= KILLS and len(story.states) > len(acts):
            break
        await act()
        print(f"{killer.kills} kills: {act.__name__}, {[*story.states.values()][-1]}")
    for missed in story.waiting.values():
        await missed
    until = time.monotonic() + PATIENCE
    while await story.has() != story.balances() and time.monotonic() < until:
        await asyncio.sleep(1)  # what is held goes back by itself
    assert await story.has() == story.balances()
    await story.told_once()
    await service.stop()
    logged = service.log.read_text("utf-8")
    assert '"level":"error"' not in logged and '"level":"critical"' not in logged
    legal(service)
    money_is_where_it_belongs(service, story)
    code, report = await rialto_json("ledger", "verify", "-c", str(service.config_path))
    assert code == 0, report
    code, accounts = await rialto_json("ledger", "accounts", "--owner", "bot:rides", "-c", str(service.config_path))
    assert code == 0 and [each["balance"] for each in accounts] == [story.kept()], accounts
    print(f"{killer.kills} kills, {len(story.states)} rides")


async def furnished(service: RialtoProcess, killer: Killer, people: tuple[Human, Human, Human, Human]) -> Story:
    """Two drivers who are online, and somebody with money who wants to be driven."""
    alice, bob, carol, olga = people
    rides, wallet, strike = service.bot("rides"), service.bot("wallet"), killer.strike
    operator = await Talk.begin(olga, rides)
    await operator.says("board", "")
    drivers = []
    for human, name, plate in ((bob, "Bob", "B-BO 1"), (carol, "Carol", "B-CA 2")):
        talk = await sign_up(human, rides, operator, name, plate)
        await talk.says("online", "Where are you?")
        online = talk.hears("You are online.")
        await talk.goes_live(HARBOUR)
        await online
        drivers.append(Driver(StruckTalk.of(talk, strike), await Purse.open(human, wallet)))
    purse = await Purse.open(alice, wallet)
    for _ in range(MONEY // 20_000):
        await purse.tops_up("200 EUR")
    rider = StruckTalk.of(await Talk.begin(alice, rides), strike)
    for each in (purse, *(driver.purse for driver in drivers)):
        each.after = strike
    first_driver, second = drivers
    city = City(service, rider, purse, first_driver.talk, first_driver.purse, second.talk, operator)
    return Story(city, rider, first_driver, second, killer.dice)
