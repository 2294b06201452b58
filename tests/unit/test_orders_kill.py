"""The service is killed between its commits: where money and stock are, and what people were told, stays the same."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bots.commerce.cases import Cases
from bots.domain.cases import CaseAction, CaseKind
from bots.domain.orders import Action, OrderState
from bots.framework import Context
from tests.support.commerce import CommerceWorld

pytestmark = pytest.mark.timeout(300)

VARIABLE = re.compile(r"\b\d{6}\b|\b[0-9A-HJKMNP-TV-Z]{26}\b|\b[2-9C-XD-W]{5}\b")


async def once(world: CommerceWorld, order_id: str, action: Action, person: Any) -> None:
    """What somebody does who looks again where nothing has come back: it is done once."""
    order = await world.order(order_id)
    if order.state is not _BEFORE[action]:
        return
    await world.acts(person, order, action)


_BEFORE = {
    Action.ACCEPT: OrderState.PAID,
    Action.REJECT: OrderState.PAID,
    Action.DISPATCH: OrderState.ACCEPTED,
    Action.DELIVER: OrderState.DISPATCHED,
    Action.CALL_OFF: OrderState.ACCEPTED,
}


async def lives(world: CommerceWorld, actions: list[Action], commits: int | None) -> tuple[Any, ...]:
    """An order from the cart to its end; what people were told, the state, where money and stock are."""
    pizzeria = await world.merchant("pizzeria")
    alice, carla = await world.buyer("alice"), await world.buyer("carla", "")
    checkout = world.trade.new_id()
    if commits is not None:
        world.kill_after(commits)
    (order,) = await world.places(alice, world.cart(pizzeria, "salad", 2), checkout=checkout)
    await world.pays(alice)
    for action in actions:
        await once(world, order.id, action, carla)
    await world.settle()
    await world.pass_minutes(11)
    end = await world.order(order)
    chat = [VARIABLE.sub("…", each) for each in world.transcript(await world.chat(alice)) if "stall" in each]
    staff = [VARIABLE.sub("…", each) for each in world.transcript(world.staff_room(pizzeria)) if "stall" in each]
    level = await world.stock(pizzeria, "salad")
    steps = [each.action for each in await world.orders.steps(world, order.id)]
    report = await world.ledger.verify()
    assert not report.problems
    return (
        end.state, steps, chat, staff, await world.has(alice), await world.merchant_has(pizzeria),
        (level.count, level.held),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("actions", "first"),
    [
        ([Action.ACCEPT, Action.DISPATCH, Action.DELIVER], 1),
        ([Action.REJECT], 4),
        ([Action.ACCEPT, Action.CALL_OFF], 7),
    ],
    ids=["delivered", "rejected", "called off"],
)
async def test_a_kill_between_any_two_commits(actions: list[Action], first: int) -> None:
    """Every eighth commit, beginning at another one for each way: together they are killed everywhere."""
    async with CommerceWorld() as calm:
        expected = await lives(calm, actions, None)
    killed = 0
    for commits in range(first, 300, 8):
        async with CommerceWorld() as world:
            assert await lives(world, actions, commits) == expected, f"killed after {commits} commits"
        if world.restarts == 0:
            break
        killed += 1
    assert killed >= 3


async def test_settled_again_and_again() -> None:
    """However often the money is brought: it moves once."""
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, carla = await world.buyer("alice"), await world.buyer("carla", "")

        async def settles(_ctx: Context) -> None:
            await world.orders.settle(_ctx, order.id)

        (order,) = await world.places(alice, world.cart(pizzeria, "margherita"))
        for _time in range(3):
            await world.does(alice, settles)
        await world.pays(alice)
        for action, left in ((Action.ACCEPT, "88.50"), (Action.CALL_OFF, "100.00")):
            for _time in range(2):
                await world.does(alice, settles)
            await world.acts(carla, order, action)
            for _time in range(3):
                await world.does(alice, settles)
            assert str(await world.has(alice)) == f"{left} EUR"
        assert (await world.merchant_has(pizzeria)).minor == 0
        assert len(await world.bank.history(alice.user_id, limit=10)) == 1
        assert not (await world.ledger.verify()).problems
        world.check()


async def refunds(world: CommerceWorld, commits: int | None) -> tuple[Any, ...]:
    """A part of an order is given back."""
    pizzeria = await world.merchant("pizzeria")
    alice, carla = await world.buyer("alice"), await world.buyer("carla", "")
    order = await world.paid_order(alice, world.cart(pizzeria, "salad", 2))
    for action in (Action.ACCEPT, Action.DISPATCH, Action.DELIVER):
        await world.acts(carla, order, action)
    if commits is not None:
        world.kill_after(commits)

    def cases() -> Cases:
        kept: Cases = world.plugin.cases
        return kept

    async def opens(ctx: Context) -> None:
        if not await cases().of_order(world, order.id):
            at_hand = await world.order(order)
            await cases().open(ctx, at_hand, CaseKind.COMPLAINT, "It was cold", {1: 1})

    async def decides(ctx: Context) -> None:
        (case,) = await cases().of_order(world, order.id)
        if not case.amount:
            at_hand = await world.order(order)
            amount = await cases().worth(ctx, at_hand, case.lines)
            await cases().act(ctx, case, CaseAction.SETTLE, amount=amount, answer="Sorry", by=carla.user_id)

    await world.does(alice, opens)
    await world.does(carla, decides)
    await world.settle()
    await world.pass_minutes(11)
    await world.ticks("sweep_orders")
    chat = [VARIABLE.sub("…", each) for each in world.transcript(await world.chat(alice)) if "stall" in each]
    (case,) = await cases().of_order(world, order.id)
    return case.state, case.amount, chat, await world.has(alice), await world.merchant_has(pizzeria)


async def test_a_kill_while_money_is_given_back() -> None:
    async with CommerceWorld() as calm:
        expected = await refunds(calm, None)
    assert str(expected[1]) == "6.00 EUR"
    assert sum("You get €6.00 back" in line for line in expected[2]) == 1
    for commits in range(1, 200, 5):
        async with CommerceWorld() as world:
            assert await refunds(world, commits) == expected, f"killed after {commits} commits"
        if world.restarts == 0:
            break
