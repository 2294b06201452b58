"""The service is killed between its commits: what people see, and where the money is, stays the same."""

from __future__ import annotations

import re

import pytest

from bots.domain.money import Money
from bots.framework.testing import Person
from tests.support.bills import BillsWorld
from tests.support.money import WALLET

pytestmark = pytest.mark.timeout(180)

VARIABLE = re.compile(r"\b\d{6}\b|\b[0-9A-HJKMNP-TV-Z]{26}\b|SIM-[0-9A-F]{8}")


async def pays(world: BillsWorld, last: int, commits: int | None) -> tuple[list[str], Money, Money]:
    """Somebody pays a bill; what the bot has said, what is left to them, what the biller has."""
    alice: Person = await world.begins("alice")
    if commits is not None:
        world.kill_after(commits)
    await world.shown(alice, last)
    await world.says(alice, 1)
    wallet = await world.direct(alice, WALLET)
    shown = await alice.hears_all(wallet)
    code = re.findall(r"\b\d{6}\b", "\n".join(each.body for each in shown))[-1]
    await alice.says(code, room=wallet)
    await world.pass_time(seconds=16)
    await world.pass_time(seconds=80)
    await world.settle()
    said = [VARIABLE.sub("…", each) for each in world.transcript(await world.chat(alice))]
    return said, await world.has(alice), await world.biller_has()


@pytest.mark.parametrize(
    ("last", "first"), [(1, 1), (2, 3), (3, 5), (9, 2)], ids=["paid", "failed", "unknown", "changed"]
)
async def test_a_kill_between_any_two_commits(last: int, first: int) -> None:
    """Every eighth commit, beginning at another one for each outcome: together they are killed everywhere."""
    async with BillsWorld() as calm:
        expected = await pays(calm, last, None)
    assert sum("Paid: " in line for line in expected[0]) == (last in {1, 3})
    assert (expected[2].minor > 0) == (last in {1, 3})
    killed = 0
    for commits in range(first, 200, 8):
        async with BillsWorld() as world:
            assert await pays(world, last, commits) == expected, f"killed after {commits} commits"
        if world.restarts == 0:
            break
        killed += 1
    assert killed >= 3


async def by_itself(world: BillsWorld, commits: int | None) -> tuple[list[str], Money, Money]:
    """A bill is paid by itself; what the bot has said, what is left to the person, what the biller has."""
    alice = await world.begins("alice")
    await world.shown(alice, 1)
    await world.says(alice, "Save it under a name", "home", "Not now", "autopay home 200 EUR", "yes")
    await world.confirms(alice)
    await world.pass_time(days=24, hours=8)
    if commits is not None:
        world.kill_after(commits)
    for _day in range(4):
        await world.pass_time(hours=12)
        await world.pass_time(hours=12)
    said = [VARIABLE.sub("…", each) for each in world.transcript(await world.chat(alice))]
    return said, await world.has(alice), await world.biller_has()


async def test_a_kill_while_a_bill_is_paid_by_itself() -> None:
    async with BillsWorld() as calm:
        expected = await by_itself(calm, None)
    assert sum("Paid: " in line for line in expected[0]) == 1
    killed = 0
    for commits in range(1, 200, 5):
        async with BillsWorld() as world:
            assert await by_itself(world, commits) == expected, f"killed after {commits} commits"
        if world.restarts == 0:
            break
        killed += 1
    assert killed >= 3
