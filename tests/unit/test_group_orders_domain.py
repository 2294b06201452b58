"""The orders of groups, pure: shares that add up to the last minor unit, whatever people do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bots.domain import group_orders as groups
from bots.domain.group_orders import (
    GroupAction,
    GroupError,
    GroupOrder,
    GroupState,
    ShareAction,
    ShareState,
    advance,
    asked,
    dropped,
    goal_of,
    share_moved,
    shares_of,
    taken_over,
)
from bots.domain.invoices import Invoice, Line
from bots.domain.money import Money
from bots.domain.orders import MoneyGoal, OrderLine

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
WITHIN = timedelta(minutes=10)
PEOPLE = [f"@{name}:world" for name in ("alice", "bob", "carol", "dan", "eve")]


def euros(minor: int) -> Money:
    return Money(minor, "EUR")


def line(person: str, minor: int, quantity: int = 1) -> OrderLine:
    return OrderLine("soup", "soup", "Soup", quantity, euros(minor), person=person)


def a_group(**changes: object) -> GroupOrder:
    group = GroupOrder("g", "!room:world", "m", PEOPLE[0], GroupState.OPEN, NOW, NOW)
    return replace(group, **changes)  # type: ignore[arg-type]


def test_shares_add_up_and_the_rest_goes_to_the_first() -> None:
    lines = [line(PEOPLE[1], 500), line(PEOPLE[0], 700), line(PEOPLE[2], 100, 3)]
    shares = shares_of(lines, euros(100), euros(10), PEOPLE[0])
    assert [(each.payer, each.goods.minor, each.fee.minor, each.tip.minor) for each in shares] == [
        (PEOPLE[0], 700, 34, 4),
        (PEOPLE[1], 500, 33, 3),
        (PEOPLE[2], 300, 33, 3),
    ]


def test_a_line_of_nobody_is_the_hosts() -> None:
    shares = shares_of([line("", 500)], euros(0), None, PEOPLE[0])
    assert [(each.payer, each.amount.minor) for each in shares] == [(PEOPLE[0], 500)]


def test_nothing_cannot_be_shared() -> None:
    with pytest.raises(GroupError, match=r"group\.empty"):
        shares_of([], euros(100), None, PEOPLE[0])


def test_a_share_of_nothing_is_held() -> None:
    shares = shares_of([line(PEOPLE[1], 0), line(PEOPLE[0], 5)], euros(0), None, PEOPLE[0])
    assert [each.state for each in shares] == [ShareState.ASKED, ShareState.HELD]


lines_of_people = st.lists(
    st.builds(line, st.sampled_from(["", *PEOPLE]), st.integers(0, 100_000), st.integers(1, 9)), min_size=1, max_size=20
)


@given(lines_of_people, st.integers(0, 10_000), st.none() | st.integers(0, 10_000), st.integers(0, 100))
def test_shares_come_to_what_the_order_costs(lines: list[OrderLine], fee: int, tip: int | None, part: int) -> None:
    off = sum(each.total.minor for each in lines) * part // 100
    shares = shares_of(lines, euros(fee), None if tip is None else euros(tip), PEOPLE[0], euros(off))
    total = sum(each.total.minor for each in lines) - off + fee + (tip or 0)
    assert all(each.discount is None or each.discount <= each.goods for each in shares)
    assert sum(each.amount.minor for each in shares) == total
    assert len({each.payer for each in shares}) == len(shares) == len({each.person or PEOPLE[0] for each in lines})
    fees = [each.fee.minor for each in shares]
    assert max(fees) - min(fees) <= 1
    assert fees == sorted(fees, reverse=True), "what is left over goes to the first"


def test_a_coupon_is_shared_as_the_invoice_of_the_order_shares_it() -> None:
    lines = [line(PEOPLE[1], 333), line(PEOPLE[0], 333), line(PEOPLE[1], 334)]
    shares = shares_of(lines, euros(100), None, PEOPLE[0], euros(100))
    rows = (*(Line(each.name, each.price, each.quantity) for each in lines), Line("By courier", euros(100), full=True))
    discounted = Invoice(rows, discount=euros(100)).discounted
    assert shares[0].amount == discounted[1] + euros(50)
    assert shares[1].amount == discounted[0] + discounted[2] + euros(50)


def test_everything_that_does_not_follow_is_refused() -> None:
    for state in GroupState:
        for action in GroupAction:
            group = a_group(state=state)
            if (state, action) in groups.NEXT:
                assert advance(group, action, NOW).state is groups.NEXT[state, action]
            else:
                with pytest.raises(GroupError, match=r"group\.refused"):
                    advance(group, action, NOW)


def test_done_and_adding() -> None:
    group = a_group().finished(PEOPLE[1], NOW)
    assert group.all_done([PEOPLE[1]])
    assert not group.all_done(PEOPLE[:2])
    assert not group.all_done([])
    assert not group.adding(PEOPLE[1], NOW, PEOPLE[:2]).all_done([PEOPLE[1]])
    with pytest.raises(GroupError, match=r"group\.people"):
        group.adding("@frank:world", NOW, [str(number) for number in range(groups.PEOPLE_MAX)])
    with pytest.raises(GroupError, match=r"group\.refused"):
        advance(group, GroupAction.CLOSE, NOW).adding(PEOPLE[1], NOW)
    with pytest.raises(GroupError, match=r"group\.not_host"):
        group.by_host(PEOPLE[1])


def paying(*amounts: int, fee: int = 90) -> GroupOrder:
    lines = [line(person, amount) for person, amount in zip(PEOPLE, amounts, strict=False)]
    closed = advance(a_group(), GroupAction.CLOSE, NOW)
    return asked(closed, "o", 0, shares_of(lines, euros(fee), None, PEOPLE[0]), NOW, WITHIN)


def test_paid_once_every_share_is_held() -> None:
    group = paying(500, 600)
    group = share_moved(group, 1, ShareAction.HOLD, NOW, payment="p1")
    assert group.state is GroupState.PAYING
    group = share_moved(group, 2, ShareAction.HOLD, NOW, payment="p2")
    assert group.state is GroupState.ORDERED
    assert group.deadline is None
    with pytest.raises(GroupError, match=r"group\.share_refused"):
        share_moved(group, 2, ShareAction.HOLD, NOW)


def test_the_host_takes_over() -> None:
    group = share_moved(paying(500, 600), 2, ShareAction.MISS, NOW)
    assert group.state is GroupState.STUCK
    group = taken_over(group, 2, NOW, WITHIN)
    assert group.state is GroupState.PAYING
    assert [(each.payer, each.person, each.amount.minor) for each in group.counting] == [
        (PEOPLE[0], PEOPLE[0], 545),
        (PEOPLE[0], PEOPLE[1], 645),
    ]
    for number in (1, 3):
        group = share_moved(group, number, ShareAction.HOLD, NOW)
    assert group.state is GroupState.ORDERED


def test_items_are_dropped_and_nobody_else_pays_more_but_the_host() -> None:
    group = share_moved(paying(500, 600, 700), 2, ShareAction.MISS, NOW)
    group = dropped(group, 2, NOW, WITHIN)
    assert [(each.payer, each.amount.minor) for each in group.counting] == [
        (PEOPLE[0], 530),
        (PEOPLE[2], 730),
        (PEOPLE[0], 30),
    ]
    with pytest.raises(GroupError, match=r"group\.refused"):
        dropped(group, 2, NOW, WITHIN)
    stuck = share_moved(group, 4, ShareAction.MISS, NOW)
    with pytest.raises(GroupError, match=r"group\.nothing_to_drop"):
        dropped(stuck, 4, NOW, WITHIN)


def test_the_last_ones_items_are_not_dropped() -> None:
    group = share_moved(paying(0, 600), 2, ShareAction.MISS, NOW)
    with pytest.raises(GroupError, match=r"group\.alone"):
        dropped(group, 2, NOW, WITHIN)


def test_a_changed_order_asks_everybody_again() -> None:
    group = paying(500, 600)
    for number in (1, 2):
        group = share_moved(group, number, ShareAction.HOLD, NOW, payment=f"p{number}")
    shares = shares_of([line(PEOPLE[0], 500)], euros(90), None, PEOPLE[0])
    group = asked(group, "o", 1, shares, NOW, WITHIN)
    assert [(each.number, each.state, each.revision) for each in group.shares] == [
        (1, ShareState.OLD, 0),
        (2, ShareState.OLD, 0),
        (3, ShareState.ASKED, 1),
    ]
    assert group.total == euros(590)


def test_money_follows_the_order_and_never_half_of_it() -> None:
    group = share_moved(paying(500, 600), 1, ShareAction.HOLD, NOW)
    held, waiting = group.shares
    for goal in MoneyGoal:
        assert goal_of(held, goal, GroupState.CANCELLED) is MoneyGoal.BACK
    assert goal_of(held, MoneyGoal.ASKED, GroupState.PAYING) is MoneyGoal.HELD
    assert goal_of(held, MoneyGoal.TAKEN, GroupState.PAYING) is MoneyGoal.HELD
    assert goal_of(held, MoneyGoal.TAKEN, GroupState.ORDERED) is MoneyGoal.TAKEN
    assert goal_of(held, MoneyGoal.BACK, GroupState.ORDERED) is MoneyGoal.BACK
    assert goal_of(waiting, MoneyGoal.ASKED, GroupState.PAYING) is MoneyGoal.ASKED
    for state in (ShareState.MISSING, ShareState.TAKEN_OVER, ShareState.DROPPED, ShareState.OLD):
        assert goal_of(replace(held, state=state), MoneyGoal.TAKEN, GroupState.ORDERED) is MoneyGoal.BACK


class Sharing(RuleBasedStateMachine):
    """A split order, whatever its people and its host do; the model keeps the lines."""

    @initialize(
        lines=lines_of_people, fee=st.integers(0, 500), tip=st.integers(0, 500), part=st.sampled_from([0, 15, 100])
    )
    def begin(self, lines: list[OrderLine], fee: int, tip: int, part: int) -> None:
        self.host = PEOPLE[0]
        self.lines = [replace(each, person=each.person or self.host) for each in lines]
        self.discount = sum(each.total.minor for each in lines) * part // 100
        self.extra = fee + tip
        closed = advance(a_group(), GroupAction.CLOSE, NOW)
        shares = shares_of(self.lines, euros(fee), euros(tip), self.host, euros(self.discount))
        self.group = asked(closed, "o", 0, shares, NOW, WITHIN)
        self.confirmed = {each.number: each.amount for each in self.group.shares}

    @rule(data=st.data(), action=st.sampled_from([ShareAction.HOLD, ShareAction.MISS]))
    def moves(self, data: st.DataObject, action: ShareAction) -> None:
        number = data.draw(st.sampled_from([each.number for each in self.group.shares]))
        before = self.group
        try:
            self.group = share_moved(before, number, action, NOW)
        except GroupError:
            share = before.share(number)
            assert (share.state, action) not in groups.SHARE_NEXT or not share.amount

    @precondition(lambda self: self.group.state is GroupState.STUCK)
    @rule(data=st.data(), drop=st.booleans())
    def decides(self, data: st.DataObject, drop: bool) -> None:
        share = data.draw(st.sampled_from(self.group.missing))
        if not drop:
            self.group = taken_over(self.group, share.number, NOW, WITHIN)
        else:
            try:
                self.group = dropped(self.group, share.number, NOW, WITHIN)
            except GroupError:
                return
            self.lines = [each for each in self.lines if each.person != share.person]
            self.discount -= 0 if share.discount is None else share.discount.minor

    @invariant()
    def adds_up(self) -> None:
        assert self.group.total.minor == sum(each.total.minor for each in self.lines) - self.discount + self.extra

    @invariant()
    def nobody_is_asked_for_another_amount(self) -> None:
        for share in self.group.shares:
            assert self.confirmed.setdefault(share.number, share.amount) == share.amount
            assert share.payer in {share.person, self.host}

    @invariant()
    def the_state_follows(self) -> None:
        states = {each.state for each in self.group.counting}
        if self.group.state is GroupState.ORDERED:
            assert states <= {ShareState.HELD, ShareState.MISSING}
        elif ShareState.MISSING in states:
            assert self.group.state is GroupState.STUCK
        else:
            assert self.group.state is GroupState.PAYING
            assert ShareState.ASKED in states


TestSharing = Sharing.TestCase
