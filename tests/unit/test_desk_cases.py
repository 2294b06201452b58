"""Complaints, returns and cancellations in the staff room, and what operators decide."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from bots.domain.cases import Case, CaseAction, CaseKind, CaseState
from bots.domain.merchants import Staff
from bots.domain.orders import Action, Order, OrderState
from bots.framework import Context
from bots.framework.testing import Person
from tests.support.commerce import money
from tests.support.desk import DeskWorld
from tests.unit.test_desk_orders import card_in

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[DeskWorld]:
    """One for all: each test has a merchant and a buyer of its own."""
    async with DeskWorld() as world:
        yield world


async def accepted(world: DeskWorld, slug: str, *, delivered: bool = True) -> tuple[Person, Order]:
    """A buyer with an order that a merchant has taken."""
    merchant, carla, room = await world.desk(slug)
    alice = await world.buyer(f"buyer-{slug}")
    order = await world.paid_order(alice, world.cart(merchant, "margherita", 2))
    await world.acts(carla, order, Action.ACCEPT)
    if delivered:
        for action in (Action.MAKE_READY, Action.DISPATCH, Action.DELIVER):
            await world.acts(carla, order, action)
    await world.quiet(room, carla)
    await world.quiet(await world.chat(alice), alice)
    return alice, await world.order(order)


async def opens(
    world: DeskWorld, person: Person, order: Order, kind: CaseKind, lines: Mapping[int, int] | None = None
) -> Case:
    """A buyer wants something."""

    async def work(ctx: Context) -> Case:
        photo = '{"url": "mxc://world/photo", "key": {}}'
        return await world.plugin.desk.cases.open(ctx, order, kind, "Cold <b>pizza</b>", lines, [photo])  # type: ignore[no-any-return]

    case = await world.does(person, work)
    assert case is not None, world.failures
    return case


async def case_now(world: DeskWorld, case: Case) -> Case:
    """A case as it stands."""
    found = await world.plugin.desk.cases.get(world, case.id)
    assert isinstance(found, Case)
    return found


async def test_a_complaint_is_settled_with_money(world: DeskWorld) -> None:
    alice, order = await accepted(world, "money")
    carla, room = world.user("carla"), world.homeserver.rooms["!staff-money:world"]
    case = await opens(world, alice, order, CaseKind.COMPLAINT, {1: 1})
    heard = await world.hears(carla, room)
    assert "1. 1 × Margherita" in heard[0].body
    assert "Cold <b>pizza</b>" in heard[0].body
    assert heard[1].content["msgtype"] == "m.image"
    assert heard[1].content["file"]["url"] == "mxc://world/photo"
    card = card_in(heard)
    assert "1. Approve\n2. Give money back\n3. Refuse" in card.body
    await carla.reacts("💶", card, room=room)
    asked = (await world.hears(carla, room))[-1].body
    assert asked.startswith(f"How much goes back to the buyer of order {order.number}?\n\n1. €9.00\n2. €20.50 (all)")
    assert (await world.says(carla, "another amount", "99", room=room))[-1].startswith("The amount is above nought")
    before = await world.has(alice)
    said = await world.says(carla, f"refund {order.number} lines 1:1", room=room)
    assert said[-1] == f"Order {order.number}: settled €9.00 goes back to the buyer."
    await world.settle()
    assert await world.has(alice) - before == money("9")
    assert any("You get €9.00 back" in each.body for each in await world.hears(alice))
    # It is settled once, by whomever and however often.
    for text in (f"refund {order.number} 5", f"approve {order.number}", f"refuse {order.number} no"):
        assert (await world.says(carla, text, room=room))[-1] == ("That is not possible any more: the case is settled.")
    await carla.reacts("✅", card, room=room)
    assert (await world.hears(carla, room))[-1].body.startswith("That is not possible any more")
    assert await world.has(alice) - before == money("9")
    assert (await case_now(world, case)).amount == money("9")
    world.check()


async def test_a_cancellation_is_approved(world: DeskWorld) -> None:
    alice, order = await accepted(world, "cancel", delivered=False)
    carla, room = world.user("carla"), world.homeserver.rooms["!staff-cancel:world"]
    await opens(world, alice, order, CaseKind.CANCELLATION)
    card = card_in(await world.hears(carla, room))
    assert "1. Approve\n2. Refuse" in card.body
    await carla.says("1", room=room, reply_to=card)
    await world.settle()
    assert (await world.order(order)).state is OrderState.CANCELLED
    assert await world.has(alice) == money("100")
    world.check()


async def test_a_return_comes_back_first(world: DeskWorld) -> None:
    alice, order = await accepted(world, "return")
    carla, room = world.user("carla"), world.homeserver.rooms["!staff-return:world"]
    case = await opens(world, alice, order, CaseKind.RETURN)
    said = await world.says(carla, f"approve {order.number}", room=room)
    assert any(each.startswith(f"Order {order.number}: approved, waiting for the goods") for each in said), said
    assert (await case_now(world, case)).state is CaseState.APPROVED
    assert await world.has(alice) == money("79.50")
    await world.says(carla, f"approve {order.number}", room=room)
    await world.settle()
    assert (await world.order(order)).state is OrderState.RETURNED
    assert await world.has(alice) == money("100")
    world.check()


async def test_refused_and_escalated(world: DeskWorld) -> None:
    alice, order = await accepted(world, "refuse")
    carla, room = world.user("carla"), world.homeserver.rooms["!staff-refuse:world"]
    admin = world.user("admin")
    case = await opens(world, alice, order, CaseKind.COMPLAINT)
    assert (await world.says(carla, "cases", room=room))[-1] == f"{order.number}: waiting for the merchant"
    said = await world.says(carla, f"refuse {order.number}", room=room)
    assert said[-1].startswith("Why do you refuse it?")
    await world.says(carla, "It was hot when it left", room=room)
    assert (await case_now(world, case)).state is CaseState.REFUSED
    assert any("It was hot when it left" in each.body for each in await world.hears(alice))

    async def escalate(ctx: Context) -> None:
        cases = world.plugin.desk.cases
        await cases.act(ctx, await cases.get(ctx, case.id), CaseAction.ESCALATE, by=alice.user_id)

    await world.does(alice, escalate)
    asked = (await world.hears(admin))[-1].body
    assert asked.startswith("A case waits for you:\nRefuse, €20.50")
    assert f"“disputes settle {case.id} AMOUNT”" in asked
    assert (await world.says(carla, f"refund {order.number} 5", room=room))[-1].startswith("That is not possible")
    assert (await world.says(carla, f"disputes settle {case.id} all"))[-1].startswith("You may not use")
    assert case.id in (await world.says(admin, "disputes"))[-1]
    assert (await world.says(admin, f"disputes settle {case.id} 99"))[-1].startswith("The amount is above nought")
    before = await world.has(alice)
    assert "€5.00 goes back" in (await world.says(admin, f"disputes settle {case.id} 5"))[-1]
    await world.settle()
    assert await world.has(alice) - before == money("5")
    assert (await world.says(admin, "disputes")) == ["There are none."]
    assert (await world.says(admin, f"disputes close {case.id} no")) == ["There is no such case that waits for you."]
    assert ("case.settle", "done") in [(each.action, each.outcome) for each in await world.audit.list()]
    world.check()


async def test_clerks_see_and_managers_decide(world: DeskWorld) -> None:
    alice, order = await accepted(world, "clerks")
    carla, room = world.user("carla"), world.homeserver.rooms["!staff-clerks:world"]
    clerk = world.user("clerk")
    await world.write(lambda hand: world.sellers.hire(hand, order.merchant, clerk.user_id, Staff.CLERK))
    await clerk.joins(room)
    case = await opens(world, alice, order, CaseKind.COMPLAINT)
    card = card_in(await world.hears(carla, room))
    await world.quiet(room, clerk)
    await clerk.reacts("✅", card, room=room)
    assert [each.body for each in await world.hears(clerk, room)] == ["Only who is manager or above may do that here."]
    assert (await world.says(clerk, f"!refund {order.number} all", room=room)) == [
        "Only who is manager or above may do that here."
    ]
    assert (await case_now(world, case)).state is CaseState.OPEN
    assert len(await world.says(clerk, f"!case {order.number}", room=room)) == 3
    world.check()


async def test_two_decide_at_once(world: DeskWorld) -> None:
    """One decision counts; the other one is told how the case stands, and the money goes back once."""
    alice, order = await accepted(world, "atonce")
    carla, room = world.user("carla"), world.homeserver.rooms["!staff-atonce:world"]
    dan = world.user("dan")
    await world.write(lambda hand: world.sellers.hire(hand, order.merchant, dan.user_id, Staff.MANAGER))
    await dan.joins(room)
    case = await opens(world, alice, order, CaseKind.COMPLAINT)
    await world.quiet(room, carla, dan)
    before = await world.has(alice)
    await asyncio.gather(
        carla.says(f"!refund {order.number} 5", room=room), dan.says(f"!refund {order.number} 7", room=room)
    )
    await world.settle()
    heard = [each.body for each in await world.hears(carla, room)]
    assert sum("goes back to the buyer" in each for each in heard) == 1, heard
    assert sum(each.startswith("That is not possible any more: the case is settled") for each in heard) == 1, heard
    assert await world.has(alice) - before == (await case_now(world, case)).amount
    world.check()
