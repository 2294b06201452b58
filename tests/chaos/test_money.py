"""``kill -9`` in the middle of everything that moves money, on a real Synapse, in encrypted chats.

The books balance, no step has happened twice, no money is missing, and both people were told once.
``RIALTO_CHAOS_SEED`` repeats a run, ``RIALTO_MONEY_KILLS`` sets the number of kills.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import pytest

from bots.domain.money import Money
from tests.e2e.test_cli_homeserver import rialto_json
from tests.e2e.test_money import BOTS, chat
from tests.support.fixtures import NewHuman, StartRialto
from tests.support.history import UNREADABLE, answers
from tests.support.human import Human, Seen
from tests.support.purse import PATIENCE, Purse, granted, with_money
from tests.support.servers import RialtoProcess

AMOUNT: Final = re.compile(r"You pay €(\d+\.\d\d)")
KILLS = int(os.environ.get("RIALTO_MONEY_KILLS", "50"))


@dataclass
class Killer:
    """Kills the service a moment after somebody has done something, and starts it again."""

    service: RialtoProcess
    dice: random.Random
    left: int
    kills: int = 0

    async def strike(self) -> None:
        """Kill it, unless it was killed often enough."""
        if self.kills < self.left:
            self.kills += 1
            # An answer takes a few tenths of a second: some kills come before its commit, some between it and the send.
            await asyncio.sleep(self.dice.uniform(0, 0.6))
            self.service.kill()
            await self.service.start()


@dataclass
class Story:
    """Three people and a kiosk; what everybody must have in the end, and what they must have been told, once."""

    killer: Killer
    alice: Purse
    bob: Purse
    carol: Purse
    kiosk: str
    stall: str
    bills: str
    desk: str
    has: Counter[str] = field(default_factory=Counter)
    told: list[tuple[Purse, str]] = field(default_factory=list)
    cents: int = 0
    bills_paid: int = 0

    def amount(self) -> Money:
        """Another one each time, so that messages can be told apart."""
        self.cents += 1
        return Money(100 + self.cents, "EUR")

    def moves(self, amount: Money, payer: Purse, payee: Purse) -> None:
        """Money goes from one to another, and both hear so once."""
        self.has[payer.human.id] -= amount.minor
        self.has[payee.human.id] += amount.minor
        self.told += [(payer, f"Paid: {shown(amount)}"), (payee, f"has paid you {shown(amount)}")]

    async def top_up(self) -> None:
        """Alice brings money in."""
        amount = self.amount()
        await self.alice.tops_up(str(amount))
        self.has[self.alice.human.id] += amount.minor
        self.told.append((self.alice, f"{shown(amount)} has come in"))

    async def pay(self) -> None:
        """Alice pays Bob."""
        amount = self.amount()
        told = self.bob.hears(f"has paid you {shown(amount)}")
        asked = await self.alice.says(f"pay {self.bob.human.id} {amount} for bread", "To confirm")
        await self.alice.confirms(asked, f"Paid: {shown(amount)}")
        await told
        self.moves(amount, self.alice, self.bob)

    async def request(self) -> None:
        """Bob asks Alice, and she pays."""
        amount = self.amount()
        asked = self.alice.hears(f"asks you for {shown(amount)}")
        await self.bob.says(f"request {amount} from {self.alice.human.id} for milk", "Asked for")
        await self._answers(self.alice, (await asked).body, amount, self.bob)

    async def split(self) -> None:
        """Alice shares with the others: three equal parts."""
        part = self.amount()
        shares = [purse.hears(f"asks you for {shown(part)}") for purse in (self.bob, self.carol)]
        people = f"{self.bob.human.id} {self.carol.human.id}"
        await self.alice.says(f"split {part * 3} with {people} for dinner", "Asked for")
        for purse, share in zip((self.bob, self.carol), shares, strict=True):
            await self._answers(purse, (await share).body, part, self.alice)

    async def _answers(self, payer: Purse, request: str, amount: Money, payee: Purse) -> None:
        number = request.partition(".")[0]
        told = payee.hears(f"has paid you {shown(amount)}")
        await payer.confirms(await payer.says(f"pay {number}", "To confirm"), f"Paid: {shown(amount)}")
        await told
        self.moves(amount, payer, payee)

    async def bill(self) -> None:
        """Carol pays a bill; the next one is of another account."""
        self.bills_paid += 1
        for text, answer in (("pay", "What would you like"), ("1", "To whom"), ("1", "Customer number")):
            await self._told(text, answer)
        shown = await self._told(f"{2041587 + self.bills_paid}1", "To pay")
        assert "1. Pay" in shown.body
        listening = self.carol.hears("You pay €")
        await self.carol.human.say(self.desk, "1")
        await self.killer.strike()
        asked = await listening
        amount = AMOUNT.search(asked.body)
        assert amount is not None
        paid = self._hears(f"Paid: €{amount[1]} to ")
        await self.carol.confirms(asked, f"€{amount[1]}")
        assert "Receipt number" in (await paid).body
        self.has[self.carol.human.id] -= int(Decimal(amount[1]) * 100)

    def _hears(self, contains: str) -> Any:
        return self.carol.human.expect(self.desk, sender=self.bills, contains=contains, timeout=PATIENCE)

    async def _told(self, text: str, contains: str) -> Seen:
        answer = self._hears(contains)
        await self.carol.human.say(self.desk, text)
        await self.killer.strike()
        seen: Seen = await answer
        return seen

    async def buy(self) -> None:
        """Carol orders a book, pays it, and gives it back."""
        asked = self.carol.hears("To confirm")
        await self.carol.human.say(self.stall, "book")
        await self.killer.strike()
        taken = self.carol.hears("✅ Paid: €10.70")
        await self.carol.confirms(await asked, "€10.70")
        await taken
        back = self.carol.hears("€10.70")
        await self.carol.human.say(self.stall, "back")
        await self.killer.strike()
        await back


def shown(amount: Money) -> str:
    """As the wallet writes it."""
    return f"€{amount.amount:.2f}"


async def begin(service: RialtoProcess, killer: Killer, people: tuple[Human, Human, Human]) -> Story:
    """Three wallets with money, and a room that all share."""
    alice, bob, carol = people
    wallet = service.bot("wallet")
    hers, his, carols = [await Purse.open(human, wallet) for human in people]
    purses = (hers, his, carols)
    for purse in purses:
        await purse.tops_up("120 EUR")
    for _ in range(5):  # bills are dear
        await carols.tops_up("200 EUR")
    room = await alice.create_room("friends", encrypted=True)
    for human in (bob, carol):
        await alice.invite(room, human.id)
        await human.join(room)
    joined = alice.expect_member(room, wallet)
    await alice.invite(room, wallet)
    await joined
    kiosk = service.bot("kiosk")
    bills = service.bot("bills")
    story = Story(killer, hers, his, carols, kiosk, await chat(carol, kiosk), bills, await chat(carol, bills))
    for purse in purses:
        purse.after = killer.strike
        story.has[purse.human.id] = 12_000
    story.has[carol.id] += 100_000
    return story


@pytest.mark.timeout(600)
async def test_nothing_is_paid_twice_or_lost_by_kills(
    rialto: StartRialto, alice: Human, bob: Human, new_human: NewHuman
) -> None:
    seed = int(os.environ.get("RIALTO_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
    print(f"RIALTO_CHAOS_SEED={seed}")
    overrides = with_money()
    overrides["payments"] |= {"tiers": [{"transfers_per_hour": 500}], "pin_above": {"EUR": "1000.00"}}
    service = await rialto(BOTS, overrides=overrides, start=False)
    granted(service, "kiosk", "payments.charge")
    await service.start()
    killer = Killer(service, random.Random(seed), KILLS)
    story = await begin(service, killer, (alice, bob, await new_human("carol")))
    acts = [story.top_up, story.pay, story.request, story.split, story.bill, story.buy]
    books = 0
    while not books or killer.kills < KILLS:
        for act in acts:
            await act()
            books += act == story.buy
    purses = (story.alice, story.bob, story.carol)
    for purse in purses:
        expected = Money(story.has[purse.human.id], "EUR")
        assert await purse.balance() == shown(expected), purse.human.id
    await told_once(story, books)
    await service.stop()
    code, report = await rialto_json("ledger", "verify", "-c", str(service.config_path))
    assert code == 0, report
    print(f"{killer.kills} kills, {story.cents} payments")


async def told_once(story: Story, books: int) -> None:
    """Each message stands as often in the history of its room, as the homeserver has it, as it has happened."""
    purses = (story.alice, story.bob, story.carol)
    said = {purse.room: await answers(purse.human, purse.room, purse.wallet) for purse in purses}
    assert not any(UNREADABLE in texts for texts in said.values())
    for (room, text), times in Counter((purse.room, text) for purse, text in story.told).items():
        assert sum(text in each for each in said[room]) == times, text
    taken = [each for each in said[story.carol.room] if "✅ Paid: €10.70" in each]
    assert len(taken) == books
    receipts = [each for each in await answers(story.carol.human, story.desk, story.bills) if "Receipt number" in each]
    assert len(receipts) == len(set(receipts)) == story.bills_paid
