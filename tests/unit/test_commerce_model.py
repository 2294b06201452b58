"""Models of cart, stock and orders: whatever is done in whatever order, what must hold holds; and each model finds
what is planted against it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bots.domain import orders as domain
from bots.domain.carts import LINES_MAX, QUANTITY_MAX, Cart, CartError, CartLine
from bots.domain.catalogue import Choice
from bots.domain.money import Money
from bots.domain.orders import (
    ENDED,
    MONEY,
    NEXT,
    STOCK_HELD,
    STOCK_SOLD,
    WORDS,
    Action,
    Delivery,
    Fulfilment,
    MoneyGoal,
    Order,
    OrderLine,
    OrderRefused,
    OrderState,
    advance,
    amended,
)
from bots.domain.stock import OutOfStock, StockLevel

SETTINGS = settings(
    max_examples=40, stateful_step_count=30, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
PLANTED = settings(SETTINGS, phases=(Phase.generate,), max_examples=150)
"""It is enough to find it: nobody reads how."""
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def eur(minor: int) -> Money:
    """So many cents."""
    return Money(minor, "EUR")


# Carts

keys = st.sampled_from(["pizza", "salad", "bread"])
people = st.sampled_from(["", "@alice:example.org", "@bob:example.org"])
merchants = st.sampled_from(["m1", "m2"])
quantities = st.integers(-1, QUANTITY_MAX + 1)
choices = st.lists(st.sampled_from([Choice("a", "x"), Choice("a", "y"), Choice("b", "x")]), max_size=3, unique=True)


class CartModel(RuleBasedStateMachine):
    """A cart against a list of what is in it."""

    def __init__(self) -> None:
        super().__init__()
        self.cart = Cart()
        self.model: list[tuple[Any, int]] = []
        self.stale: list[Cart] = []

    def kept(self, after: Cart, model: list[tuple[Any, int]]) -> None:
        assert after.version == self.cart.version + (1 if after is not self.cart else 0)
        self.stale.append(self.cart)
        self.cart, self.model = after, model

    @rule(merchant=merchants, key=keys, quantity=quantities, chosen=choices, person=people)
    def add(self, merchant: str, key: str, quantity: int, chosen: list[Choice], person: str) -> None:
        same_line = (merchant, key, "one", tuple(sorted(chosen)), person, "")
        total = dict(self.model).get(same_line, 0) + quantity
        try:
            after = self.cart.add(CartLine(merchant, key, "one", quantity, tuple(chosen), person))
        except CartError as refused:
            full = refused.code == "cart.full" and len(self.model) == LINES_MAX
            assert full or not 1 <= quantity <= QUANTITY_MAX or total > QUANTITY_MAX
            return
        model = [(same, n + quantity if same == same_line else n) for same, n in self.model]
        if same_line not in dict(self.model):
            model.append((same_line, quantity))
        self.kept(after, model)

    @rule(number=st.integers(-1, 6), quantity=st.integers(0, QUANTITY_MAX + 1))
    def set_quantity(self, number: int, quantity: int) -> None:
        if not 1 <= number <= len(self.model) or quantity > QUANTITY_MAX:
            with pytest.raises(CartError):
                self.cart.set_quantity(number, quantity)
            return
        model = list(self.model)
        model[number - 1] = (model[number - 1][0], quantity)
        self.kept(self.cart.set_quantity(number, quantity), [each for each in model if each[1]])

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(1, len(self.model)))
        self.kept(self.cart.remove(number), self.model[: number - 1] + self.model[number:])

    @rule(merchant=merchants, person=st.none() | people)
    def without(self, merchant: str, person: str | None) -> None:
        left = [each for each in self.model if each[0][0] != merchant or (person is not None and each[0][4] != person)]
        self.kept(self.cart.without(merchant, person), left)

    @rule(price=st.integers(0, 1_000))
    def seen(self, price: int) -> None:
        after = self.cart.seen({index: eur(price) for index in range(0, len(self.model), 2)})
        assert after.version == self.cart.version
        self.cart = after

    @rule()
    def stale_is_refused(self) -> None:
        for old in self.stale[-3:]:
            if old.version != self.cart.version:
                with pytest.raises(CartError, match=r"cart\.changed"):
                    self.cart.at(old.version)
        assert self.cart.at(self.cart.version) is self.cart

    @invariant()
    def as_the_model_says(self) -> None:
        assert [(line.same, line.quantity) for line in self.cart.lines] == self.model
        assert list(self.cart.merchants) == list(dict.fromkeys(same[0] for same, _n in self.model))


# Stock

Claims = dict[str, tuple[int, str]]


class StockModel(RuleBasedStateMachine):
    """What is on the shelf, what is promised, what has left it: nothing is lost, and nothing comes from nowhere."""

    steps: type[StockLevel] = StockLevel

    def __init__(self) -> None:
        super().__init__()
        self.level = self.steps(0)
        self.brought = 0
        self.claims: Claims = {}

    @initialize(count=st.integers(0, 20))
    def begin(self, count: int) -> None:
        self.level = self.steps(count)
        self.brought = count

    @rule(quantity=st.integers(1, 8))
    def hold(self, quantity: int) -> None:
        free = self.brought - sum(n for n, state in self.claims.values() if state in {"held", "sold"})
        try:
            after = self.level.hold(quantity)
        except OutOfStock as out:
            assert quantity > free
            assert out.left == free
            return
        assert quantity <= free, "sold what is not there"
        self.level = after
        self.claims[str(len(self.claims))] = (quantity, "held")

    def claim(self, data: st.DataObject, state: str) -> tuple[str, int]:
        name = data.draw(st.sampled_from([key for key, each in self.claims.items() if each[1] == state]))
        return name, self.claims[name][0]

    def any_in(self, state: str) -> bool:
        return any(each[1] == state for each in self.claims.values())

    @precondition(lambda self: self.any_in("held"))
    @rule(data=st.data())
    def sell(self, data: st.DataObject) -> None:
        name, quantity = self.claim(data, "held")
        self.level = self.level.sell(quantity)
        self.claims[name] = (quantity, "sold")

    @precondition(lambda self: self.any_in("held"))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        name, quantity = self.claim(data, "held")
        self.level = self.level.release(quantity)
        self.claims[name] = (quantity, "released")

    @precondition(lambda self: self.any_in("sold"))
    @rule(data=st.data())
    def restock(self, data: st.DataObject) -> None:
        name, quantity = self.claim(data, "sold")
        self.level = self.level.restock(quantity)
        self.claims[name] = (quantity, "restocked")

    @rule(count=st.integers(0, 25))
    def counted(self, count: int) -> None:
        held = sum(n for n, state in self.claims.values() if state == "held")
        try:
            self.level = self.level.counted(count)
        except OutOfStock:
            assert count < held
            return
        assert count >= held
        sold = sum(n for n, state in self.claims.values() if state == "sold")
        self.brought = count + sold

    @invariant()
    def conserved(self) -> None:
        held = sum(n for n, state in self.claims.values() if state == "held")
        sold = sum(n for n, state in self.claims.values() if state == "sold")
        assert self.level.held == held
        assert self.level.count + sold == self.brought
        assert 0 <= self.level.held <= self.level.count


# Orders


def order(**more: Any) -> Order:
    """Of three lines."""
    values: dict[str, Any] = {
        "id": "o1", "number": "N1", "checkout": "c1", "merchant": "m1", "buyer": "@alice:example.org",
        "room_id": "!a:example.org", "state": OrderState.PLACED,
        "lines": (
            OrderLine("pizza", "one", "Pizza", 2, eur(900)),
            OrderLine("salad", "one", "Salad", 1, eur(600)),
            OrderLine("bread", "one", "Bread", 5, eur(100)),
        ),
        "delivery": Delivery(Fulfilment.COURIER, eur(250)),
        "placed_at": BEGIN,
        "updated_at": BEGIN,
    }  # fmt: skip
    return Order(**(values | more))


class OrderModel(RuleBasedStateMachine):
    """An order, its money and its stock, each moved only as the order's state says; money also by the wallet's own
    will."""

    advance: Callable[..., Order] = staticmethod(advance)
    money: Any = MONEY

    def __init__(self) -> None:
        super().__init__()
        self.order = order()
        self.at = BEGIN
        self.wallet = "asked"
        self.charged = 0
        self.shelf, self.held, self.gone = 20, 8, 0
        self.sold = 0

    @rule(action=st.sampled_from(Action), minutes=st.integers(0, 30), within=st.none() | st.integers(1, 60))
    def happens(self, action: Action, minutes: int, within: int | None) -> None:
        """Anything, whether it can happen or not."""
        self.act(action, minutes, within)

    def act(self, action: Action, minutes: int, within: int | None) -> None:
        if action is Action.AMEND:
            return
        self.at += timedelta(minutes=minutes)
        changes = {"revision": self.order.revision + 1} if action is Action.AGREE else {}
        wait = None if within is None else timedelta(minutes=within)
        before = self.order
        try:
            after = type(self).advance(before, action, self.at, within=wait, **changes)
        except OrderRefused as refused:
            assert (before.state, action) not in NEXT
            assert refused.values["state"] == WORDS[before.state]
            return
        assert (before.state, action) in NEXT, "what is not in the table happens"
        assert before.state not in ENDED or action is Action.TAKE_BACK
        self.follow(before, after, action)

    @precondition(lambda self: self.order.state not in ENDED)
    @rule(data=st.data())
    def goes_on(self, data: st.DataObject) -> None:
        """Something that can happen, so that orders get somewhere."""
        possible = [action for state, action in NEXT if state is self.order.state and action is not Action.AMEND]
        self.act(data.draw(st.sampled_from(possible)), 1, None)

    @precondition(lambda self: self.order.state is OrderState.PAID)
    @rule(number=st.integers(1, 3), left=st.integers(0, 6))
    def amend(self, number: int, left: int) -> None:
        before = self.order
        try:
            lines = amended(before, {number: left})
        except OrderRefused as refused:
            assert refused.code in {"order.nothing_left", "order.unchanged", "order.no_line"}
            return
        assert 0 < sum(line.quantity for line in lines) < sum(line.quantity for line in before.lines)
        after = type(self).advance(before, Action.AMEND, self.at, lines=lines, was=before.lines)
        assert after.total < before.total
        self.follow(before, after, Action.AMEND)

    @precondition(lambda self: self.order.state is OrderState.PLACED and self.wallet == "asked")
    @rule()
    def buyer_confirms(self) -> None:
        self.wallet = "held"

    @rule()
    def settle(self) -> None:
        """Bring the money where the state says, as often as anybody likes."""
        goal = type(self).money[self.order.state]
        if goal is MoneyGoal.TAKEN and self.wallet == "held":
            self.wallet, self.charged = "taken", self.charged + 1
        elif goal is MoneyGoal.BACK and self.wallet != "back":
            if self.wallet == "taken":
                self.charged -= 1
            self.wallet = "back"

    def follow(self, before: Order, after: Order, action: Action) -> None:
        quantity = sum(line.quantity for line in after.lines)
        if action is Action.PAY:
            if self.wallet == "asked":
                self.wallet = "held"  # nobody is paid who was not asked
            self.shelf, self.held, self.sold = self.shelf - quantity, 0, quantity
        elif action is Action.AGREE:
            self.settled_old()
            self.shelf, self.held, self.sold = self.shelf + quantity, quantity, 0
        elif action is Action.AMEND:
            self.gone += self.sold - quantity
            self.sold = quantity
        elif after.state not in STOCK_SOLD and after.state not in STOCK_HELD:
            self.shelf, self.held, self.sold = self.shelf + self.sold, 0, 0
        self.order = after

    def settled_old(self) -> None:
        assert self.wallet == "held"
        self.wallet = "asked"

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.shelf + self.sold + self.gone == 20
        assert 0 <= self.held <= self.shelf

    @invariant()
    def nothing_else_happens(self) -> None:
        """What is not in the table is refused, and changes nothing."""
        for action in Action:
            if (self.order.state, action) not in NEXT:
                try:
                    type(self).advance(self.order, action, self.at)
                except OrderRefused as refused:
                    assert refused.values["state"] == WORDS[self.order.state]
                else:
                    raise AssertionError(f"{action} of an order that is {self.order.state}")

    @invariant()
    def never_charged_twice(self) -> None:
        assert self.charged in {0, 1}

    @invariant()
    def stock_follows_the_state(self) -> None:
        assert (self.held > 0) == (self.order.state in STOCK_HELD)
        assert (self.sold > 0) == (self.order.state in STOCK_SOLD)

    @invariant()
    def ends_well(self) -> None:
        """From wherever it stands, an order can come to an end; once the money is settled there, it is right."""
        assert _ends(self.order.state)
        if self.order.state in ENDED:
            self.settle()
            back = MONEY[self.order.state] is MoneyGoal.BACK
            assert self.wallet == ("back" if back else "taken")
            assert self.charged == (0 if back else 1)


def _ends(state: OrderState) -> bool:
    seen, todo = set(), [state]
    while todo:
        at = todo.pop()
        if at in ENDED:
            return True
        if at not in seen:
            seen.add(at)
            todo += [after for (before, _action), after in NEXT.items() if before is at]
    return False


@pytest.mark.parametrize("model", [CartModel, StockModel, OrderModel])
def test_whatever_is_done_holds(model: type[RuleBasedStateMachine]) -> None:
    run_state_machine_as_test(model, settings=SETTINGS)


def test_the_table_is_whole() -> None:
    assert set(MONEY) == set(OrderState) == set(WORDS)
    assert {action for _state, action in NEXT} == set(Action)
    assert all(_ends(state) for state in OrderState)
    assert not STOCK_HELD & STOCK_SOLD
    reached, todo = {OrderState.PLACED}, [OrderState.PLACED]
    while todo:
        at = todo.pop()
        for (before, _action), after in NEXT.items():
            if before is at and after not in reached:
                reached.add(after)
                todo.append(after)
    assert reached == set(OrderState), "there is a way to every state"


@given(
    prices=st.lists(st.tuples(st.integers(0, 99_999), st.integers(1, 50)), min_size=1, max_size=6),
    fee=st.integers(0, 2_000),
    part=st.integers(0, 100),
    tip=st.none() | st.integers(0, 2_000),
)
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_the_total_is_that_of_the_invoice(prices: list[tuple[int, int]], fee: int, part: int, tip: int | None) -> None:
    lines = tuple(OrderLine("p", "one", "Thing", quantity, eur(price)) for price, quantity in prices)
    goods = sum(price * quantity for price, quantity in prices)
    one = order(
        lines=lines, delivery=Delivery(Fulfilment.PARCEL, eur(fee)), discount=eur(goods * part // 100),
        tip=None if tip is None else eur(tip),
    )  # fmt: skip
    if one.total:
        assert one.invoice("Delivery").total == one.total
    else:
        with pytest.raises(ValueError, match="nothing_to_pay"):
            one.invoice("Delivery")


# What is planted is found


class Oversold(StockLevel):
    """Promises what is promised already."""

    __slots__ = ()

    def hold(self, quantity: int) -> StockLevel:
        if quantity > self.count:
            raise OutOfStock(self.free)
        return Oversold(self.count, min(self.held + quantity, self.count))


class Lossy(StockLevel):
    """Forgets what was promised when it is sold."""

    __slots__ = ()

    def sell(self, quantity: int) -> StockLevel:
        return Lossy(self.count, self.held - quantity)


@pytest.mark.parametrize("planted", [Oversold, Lossy])
def test_a_defect_of_stock_is_found(planted: type[StockLevel]) -> None:
    class Model(StockModel):
        steps = planted

    with pytest.raises((AssertionError, ValueError, OutOfStock)):
        run_state_machine_as_test(Model, settings=PLANTED)


def test_a_defect_of_carts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that forgets to be a new version, and one that takes other lines along."""

    def quiet(self: Cart, number: int) -> Cart:
        self.line(number)
        return Cart(self.lines[: number - 1] + self.lines[number:], self.version)

    monkeypatch.setattr(Cart, "remove", quiet)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(CartModel, settings=PLANTED)
    monkeypatch.undo()
    monkeypatch.setattr(Cart, "without", lambda self, _merchant, _person=None: Cart((), self.version + 1))
    with pytest.raises(AssertionError):
        run_state_machine_as_test(CartModel, settings=PLANTED)


def _lenient(one: Order, action: Action, at: datetime, **given: Any) -> Order:
    """Accepts what has timed out already."""
    if (one.state, action) == (OrderState.TIMED_OUT, Action.ACCEPT):
        return replace(one, state=OrderState.ACCEPTED, updated_at=at)
    return advance(one, action, at, **given)


@pytest.mark.parametrize("planted", ["table", "money"])
def test_a_defect_of_orders_is_found(planted: str) -> None:
    class Model(OrderModel):
        if planted == "table":
            advance = staticmethod(_lenient)
        else:
            money = {**MONEY, OrderState.REJECTED: MoneyGoal.TAKEN}

    with pytest.raises(AssertionError):
        run_state_machine_as_test(Model, settings=PLANTED)
    assert domain.NEXT is NEXT
