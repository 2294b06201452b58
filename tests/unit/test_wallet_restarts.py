"""A kill at any moment: the same is said, once, and the same is paid, once."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import pytest

from bots.domain.money import Money
from bots.framework.testing import Person
from tests.support.money import MoneyWorld, code_in

Conversation = Callable[[MoneyWorld], Awaitable[None]]


def told(world: MoneyWorld) -> dict[str, list[str]]:
    """What was said in each room, without what chance has made: codes, ids, links."""
    found = {}
    for room in world.homeserver.rooms.values():
        lines = "\n".join(world.transcript(room))
        lines = re.sub(r"\b[0-9A-HJKMNP-TV-Z]{26}\b", "ID", lines)
        lines = re.sub(r"(pages/[a-z-]+)/\S+", r"\1", lines)
        found[room.room_id] = re.sub(r"\b\d{6}\b", "CODE", lines).splitlines()
    return found


async def shown(person: Person) -> str:
    """The code that somebody was shown last."""
    return code_in(*await person.hears_all())


async def paid(world: MoneyWorld) -> None:
    """Alice pays Bob."""
    alice = world.user("alice")
    await alice.says("pay @bob 20 EUR for lunch")
    await alice.says(await shown(alice))


async def held(world: MoneyWorld) -> None:
    """Alice pays Dave, who has no wallet yet."""
    alice, dave = world.user("alice"), world.user("dave")
    await alice.says("pay @dave 20 EUR")
    await alice.says(await shown(alice))
    await dave.says("hello", room=await world.direct(dave))


async def shared(world: MoneyWorld) -> None:
    """Alice splits a bill with Bob and Carol: he pays, she does not."""
    alice, bob, carol = (world.user(name) for name in ("alice", "bob", "carol"))
    await alice.says("!split 90 EUR for dinner", room=await world.room("flat"))
    await bob.says("pay 1")
    await bob.says(await shown(bob))
    await carol.says("decline 1")


async def topped_up(world: MoneyWorld) -> None:
    """Alice brings money in, and takes some out."""
    alice = world.user("alice")
    await alice.says("top up 30 EUR")
    await world.top_up_ends(alice, "success")
    await alice.says("cash out 10 EUR")
    await alice.says(await shown(alice))
    await world.pass_time(minutes=10)


async def run(conversation: Conversation, kill: int = 0) -> tuple[dict[str, list[str]], list[Money], MoneyWorld]:
    """The conversation, the service killed after so many commits of it."""
    world = MoneyWorld()
    alice = await world.opened("alice", "100")
    bob, carol = await world.opened("bob", "50"), await world.opened("carol", "50")
    world.user("dave")
    await world.room("flat", alice, bob, carol)
    if kill:
        world.kill_after(kill)
    await conversation(world)
    await world.settle()
    amounts = [await world.has(f"@{name}:world") for name in ("alice", "bob", "carol", "dave")]
    report = await world.ledger.verify()
    assert not report.problems, report
    await world.stop()
    return told(world), amounts, world


CALM: dict[str, tuple[dict[str, list[str]], list[Money]]] = {}


async def calm(conversation: Conversation) -> tuple[dict[str, list[str]], list[Money]]:
    """The same without a kill."""
    if conversation.__name__ not in CALM:
        said, amounts, world = await run(conversation)
        world.check()
        CALM[conversation.__name__] = said, amounts
    return CALM[conversation.__name__]


@pytest.mark.parametrize("kill", range(1, 16, 2))
@pytest.mark.parametrize("conversation", [paid, held, shared, topped_up], ids=lambda each: each.__name__)
async def test_a_kill_changes_nothing(conversation: Conversation, kill: int) -> None:
    expected, balances = await calm(conversation)
    said, amounts, world = await run(conversation, kill)
    assert amounts == balances
    assert {room: sorted(lines) for room, lines in said.items()} == {
        room: sorted(lines) for room, lines in expected.items()
    }
    assert world.restarts, "it was killed"


async def test_a_restart_in_the_middle() -> None:
    expected, balances = await calm(paid)
    world = MoneyWorld()
    alice = await world.opened("alice", "100")
    await world.opened("bob", "50")
    await world.restart()
    await alice.says("pay @bob 20 EUR for lunch")
    await world.restart()
    await alice.says(await shown(alice))
    await world.restart()
    assert "✅ Paid" in (await alice.hears_all())[-1].body
    assert [await world.has("@alice:world"), await world.has("@bob:world")] == balances[:2]
    assert sorted(told(world)["!bob-wallet:world"]) == sorted(expected["!bob-wallet:world"])
    await world.stop()
