"""Cases about orders, wish lists and carts that nobody touches, in a world with the real wallet."""

from __future__ import annotations

from typing import Any

import pytest

from bots.commerce.cases import Cases, Filed, case_card
from bots.domain.carts import Cart, CartLine
from bots.domain.cases import Case, CaseAction, CaseKind, CaseRefused, CaseState
from bots.domain.catalogue import Stock, Variant
from bots.domain.money import Money
from bots.domain.orders import Action, Order, OrderState
from bots.framework import Context
from bots.framework.i18n.translator import English
from bots.framework.testing import Person
from tests.support.commerce import CommerceWorld, money

pytestmark = pytest.mark.timeout(120)


class Counter(CommerceWorld):
    """A world where cases are opened and decided."""

    @property
    def cases(self) -> Cases:
        """Those of the stall."""
        kept: Cases = self.plugin.cases
        return kept

    async def opens(
        self, person: Person, order: Order, kind: CaseKind, lines: dict[int, int] | None = None, text: str = "Cold"
    ) -> Case:
        """A buyer opens a case."""

        async def work(ctx: Context) -> Case | ValueError:
            try:
                return await self.cases.open(ctx, await self.order(order), kind, text, lines, ["mxc://a/b"])
            except ValueError as refused:
                return refused

        return self._done(await self.does(person, work))

    async def decides(self, person: Person, case: Case, action: CaseAction, **changes: Any) -> Case:
        """Somebody has something happen to a case."""

        async def work(ctx: Context) -> Case | ValueError:
            found = await self.cases.get(ctx, case.id)
            assert found is not None
            try:
                return await self.cases.act(ctx, found, action, by=person.user_id, **changes)
            except ValueError as refused:
                return refused

        return self._done(await self.does(person, work))

    def _done(self, result: Case | ValueError | None) -> Case:
        assert result is not None, self.failures
        if isinstance(result, ValueError):
            raise result
        return result

    async def delivered(self, person: Person, cart: Cart) -> Order:
        """An order that has come."""
        order = await self.paid_order(person, cart)
        carla = self.user("carla")
        for action in (Action.ACCEPT, Action.DISPATCH, Action.DELIVER):
            await self.acts(carla, order, action)
        return await self.order(order)


async def test_a_part_is_given_back() -> None:
    async with Counter() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, carla = await world.buyer("alice"), await world.buyer("carla", "")
        order = await world.delivered(alice, world.cart(pizzeria, "margherita", 2))
        await world.quiet(world.staff_room(pizzeria), carla)
        await world.quiet(await world.chat(alice), alice)
        case = await world.opens(alice, order, CaseKind.COMPLAINT, {1: 1}, "It was <b>cold</b>")
        assert await world.hears_in(carla, world.staff_room(pizzeria)) == [
            f"The buyer of order {order.number} complains.\n1. 1 × Margherita\n"
            "They say: It was <b>cold</b>\nWith 1 photo."
        ]
        with pytest.raises(CaseRefused, match=r"case\.twice"):
            await world.opens(alice, order, CaseKind.COMPLAINT)
        with pytest.raises(CaseRefused, match=r"case\.amount"):
            await world.decides(carla, case, CaseAction.SETTLE, amount=money("20.51"))
        amount = await world.cases.worth(world, order, case.lines)
        assert amount == money("9.00")
        await world.decides(carla, case, CaseAction.SETTLE, amount=amount, answer="Sorry")
        assert (await world.hears_in(alice, await world.chat(alice))) == [
            f"Pizzeria has settled your case about order {order.number}.\nThey say: Sorry",
            f"You get €9.00 back for order {order.number}.",
        ]
        assert await world.has(alice) == money("88.50")
        with pytest.raises(CaseRefused, match=r"case\.refused"):
            await world.decides(carla, case, CaseAction.SETTLE, amount=amount)
        # A second case, for more than is left: what is left comes back.
        other = await world.opens(alice, order, CaseKind.COMPLAINT)
        await world.decides(carla, other, CaseAction.SETTLE, amount=money("20.50"))
        assert await world.has(alice) == money("100")
        assert (await world.merchant_has(pizzeria)).minor == 0
        begin, end = order.placed_at, world.clock.now()
        assert await world.cases.given_back(world, pizzeria.id, begin, end) == [money("9.00")]
        found = await world.cases.of_buyer(world, alice.user_id)
        assert [each.id for each in found] == [other.id, case.id]
        world.check()


async def test_the_merchant_agrees_to_cancel() -> None:
    async with Counter() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, carla = await world.buyer("alice"), await world.buyer("carla", "")
        order = await world.paid_order(alice, world.cart(pizzeria, "salad", 2))
        with pytest.raises(CaseRefused, match=r"case\.not_now"):
            await world.opens(alice, order, CaseKind.CANCELLATION)
        await world.acts(carla, order, Action.ACCEPT)
        case = await world.opens(alice, order, CaseKind.CANCELLATION)
        await world.decides(carla, case, CaseAction.SETTLE, answer="Of course")
        order = await world.order(order)
        assert (order.state, order.reason) == (OrderState.CANCELLED, "Of course")
        assert await world.has(alice) == money("100")
        assert (await world.stock(pizzeria, "salad")).free == 3
        (found,) = await world.cases.of_order(world, order.id)
        assert (found.state, found.amount) == (CaseState.SETTLED, None), "the money came back with the order"
        world.check()


async def test_it_is_on_its_way_already() -> None:
    """What was asked for cannot be any more: then the merchant may give back an amount."""
    async with Counter() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, carla = await world.buyer("alice"), await world.buyer("carla", "")
        order = await world.paid_order(alice, world.cart(pizzeria, "salad", 2))
        await world.acts(carla, order, Action.ACCEPT)
        case = await world.opens(alice, order, CaseKind.CANCELLATION)
        await world.acts(carla, order, Action.DISPATCH)
        await world.decides(carla, case, CaseAction.SETTLE, amount=money("5.00"))
        assert (await world.order(order)).state is OrderState.DISPATCHED
        assert await world.has(alice) == money("90.50")
        world.check()


async def test_it_comes_back() -> None:
    async with Counter() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, carla = await world.buyer("alice"), await world.buyer("carla", "")
        order = await world.delivered(alice, world.cart(pizzeria, "salad", 2))
        case = await world.opens(alice, order, CaseKind.RETURN)
        await world.decides(carla, case, CaseAction.APPROVE)
        assert await world.has(alice) == money("85.50"), "nothing comes back before the goods have"
        await world.pass_time(days=15)
        assert (await world.order(order)).state is OrderState.CONCLUDED
        await world.decides(carla, case, CaseAction.SETTLE)
        assert (await world.order(order)).state is OrderState.RETURNED
        assert await world.has(alice) == money("100")
        assert (await world.stock(pizzeria, "salad")).free == 3
        world.check()


async def test_who_is_refused_asks_the_operator() -> None:
    async with Counter() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, carla, olga = await world.buyer("alice"), await world.buyer("carla", ""), await world.buyer("olga", "")
        seen: list[str] = []

        async def hook(_ctx: Context, filed: Filed) -> None:
            seen.append(f"{filed.after.state} {filed.by}")

        world.cases.hooks.append(hook)
        order = await world.delivered(alice, world.cart(pizzeria, "margherita"))
        case = await world.opens(alice, order, CaseKind.COMPLAINT)
        await world.decides(carla, case, CaseAction.REFUSE, answer="It was hot")
        await world.decides(alice, case, CaseAction.ESCALATE)
        assert [each.id for each in await world.cases.escalated(world)] == [case.id]
        await world.decides(olga, case, CaseAction.SETTLE, amount=money("4.00"))
        assert await world.has(alice) == money("92.50")
        assert seen == [
            f"open {alice.user_id}",
            f"refused {carla.user_id}",
            f"escalated {alice.user_id}",
            f"settled {olga.user_id}",
        ]
        world.check()


async def test_what_nobody_answers_goes_on_by_itself() -> None:
    async with Counter() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, carla = await world.buyer("alice"), await world.buyer("carla", "")
        order = await world.delivered(alice, world.cart(pizzeria, "margherita"))
        case = await world.opens(alice, order, CaseKind.COMPLAINT)
        refused = await world.opens(alice, order, CaseKind.RETURN)
        await world.decides(carla, refused, CaseAction.REFUSE)
        await world.pass_time(days=3, hours=1)
        await world.ticks("sweep_orders")
        states = {each.id: each.state for each in await world.cases.of_order(world, order.id)}
        assert states == {case.id: CaseState.ESCALATED, refused.id: CaseState.REFUSED}
        await world.pass_time(days=12)
        await world.ticks("sweep_orders")
        states = {each.id: each.state for each in await world.cases.of_order(world, order.id)}
        assert states == {case.id: CaseState.ESCALATED, refused.id: CaseState.CLOSED}
        world.check()


async def test_refunds_that_were_forgotten_are_made() -> None:
    async with Counter() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, carla = await world.buyer("alice"), await world.buyer("carla", "")
        order = await world.delivered(alice, world.cart(pizzeria, "margherita"))
        case = await world.opens(alice, order, CaseKind.COMPLAINT)

        async def forgets(ctx: Context) -> None:
            found = await world.cases.get(ctx, case.id)
            assert found is not None
            await world.cases.act(ctx, found, CaseAction.SETTLE, amount=money("3.00"), by=carla.user_id)
            ctx.schedules.cancel(f"case_settle/{case.id}")

        await world.does(carla, forgets)
        assert await world.has(alice) == money("88.50")
        await world.pass_minutes(11)
        await world.ticks("sweep_orders")
        await world.ticks("sweep_orders")
        assert await world.has(alice) == money("91.50")
        world.check()


def test_a_card_is_plain_text() -> None:
    from tests.store.test_orders import order

    at = order(1).placed_at
    case = Case("k", "o", CaseKind.RETURN, CaseState.OPEN, "<script>alert(1)</script>", at, at, {1: 1})
    assert case_card(case, order(1), English()).splitlines()[1:] == [
        "1. 1 × Salad",
        "They say: <script>alert(1)</script>",
    ]


async def test_wishes_are_told_of() -> None:
    async with Counter() as world:
        pizzeria = await world.merchant("pizzeria")
        alice = await world.buyer("alice")
        wishes = world.plugin.wishes

        async def wish(ctx: Context) -> None:
            wishes.add(ctx, alice.user_id, pizzeria.id, "salad", "one", money("6.00"))
            wishes.add(ctx, alice.user_id, pizzeria.id, "margherita", "one", money("9.00"), there=False)
            wishes.add(ctx, alice.user_id, pizzeria.id, "nothing", "one", money("1.00"))

        await world.does(alice, wish)
        chat = await world.chat(alice)
        await world.quiet(chat, alice)
        for _time in range(2):
            await world.does(alice, wishes.look)
        assert await world.hears_in(alice, chat) == ["“Margherita” from your wish list can be had again: €9.00."]

        async def costs(price: str, stock: int) -> list[str]:
            variant = Variant("one", "Salad", money(price), Stock.of(stock))
            await world.changes_product(pizzeria, "salad", variants=(variant,))
            await world.does(alice, wishes.look)
            return await world.hears_in(alice, chat)

        assert await costs("6.50", 3) == []
        assert await costs("5.00", 3) == ["“Salad” from your wish list costs less now: €5.00 instead of €6.50."]
        assert await costs("5.00", 0) == []
        assert await costs("5.50", 1) == ["“Salad” from your wish list can be had again: €5.50."]
        assert len(await wishes.list(world, alice.user_id)) == 3
        await world.ticks("hourly_keeping")
        world.check()


async def test_wishes_of_very_many_are_looked_at_in_turn() -> None:
    async with Counter() as world:
        pizzeria = await world.merchant("pizzeria")
        people = [f"@p{number}:world" for number in range(45)]
        alice = await world.buyer("alice")
        wishes = world.plugin.wishes

        async def wish(ctx: Context) -> None:
            for person in people:
                wishes.add(ctx, person, pizzeria.id, "salad", "one", Money(700, "EUR"))

        await world.does(alice, wish)
        await world.quiet(await world.chat(alice), alice)
        await world.does(alice, wishes.look)
        await world.settle()
        said = await world.hears_in(alice, await world.chat(alice))
        assert len(said) == 45
        world.check()


async def test_carts_survive_and_are_forgotten_in_the_end() -> None:
    async with Counter() as world:
        pizzeria = await world.merchant("pizzeria")
        alice = await world.buyer("alice")
        baskets = world.plugin.baskets

        async def fill(ctx: Context) -> None:
            before = await baskets.get(ctx, alice.user_id)
            line = CartLine(pizzeria.id, "margherita", "one", 2, shown=money("9.00"))
            baskets.put(ctx, alice.user_id, before, before.add(line))

        await world.does(alice, fill)
        await world.restart(kill=True)
        cart = await baskets.get(world, alice.user_id)
        assert cart.version == 1
        (row,) = await baskets.priced(world, cart, alice.user_id)
        assert (row.price, row.total, row.change) == (money("9.00"), money("18.00"), None)
        await world.pass_time(days=91)
        await world.ticks("hourly_keeping")
        assert await baskets.get(world, alice.user_id) == Cart()
        world.check()
