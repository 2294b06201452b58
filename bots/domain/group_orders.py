"""Orders of a group: everybody in a room adds their own, one pays or each pays a share. Pure.

The shares add up to the order to the last minor unit: everybody pays their own items, less what the coupon takes off
them; fee and tip are split equally (:meth:`bots.domain.money.Money.split`: what is left over goes to the first). An
order that is split is paid once every share is held. Who does not pay is taken over by the host, or their items are
dropped; the part of fee and tip that they would have paid is the host's then, so that nobody who has confirmed an
amount is asked for another one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from bots.domain.errors import DomainError
from bots.domain.money import Money
from bots.domain.orders import MoneyGoal, OrderLine

__all__ = [
    "ENDED",
    "MESSAGES",
    "NEXT",
    "SHARE_NEXT",
    "GroupAction",
    "GroupError",
    "GroupOrder",
    "GroupState",
    "Share",
    "ShareAction",
    "ShareState",
    "advance",
    "asked",
    "dropped",
    "goal_of",
    "share_moved",
    "shares_of",
    "taken_over",
]

PEOPLE_MAX: Final = 50


class GroupState(StrEnum):
    """Where the order of a group stands."""

    OPEN = "open"
    """Everybody adds."""
    CLOSED = "closed"
    """Nobody adds any more; the host decides where to, when and who pays."""
    PAYING = "paying"
    """Each is asked for their share."""
    STUCK = "stuck"
    """Somebody does not pay, and the host is asked what to do."""
    ORDERED = "ordered"
    """The order goes its way."""
    CANCELLED = "cancelled"


class GroupAction(StrEnum):
    """What happens to it."""

    CLOSE = "close"
    REOPEN = "reopen"
    ORDER = "order"
    """One pays all."""
    SPLIT = "split"
    STICK = "stick"
    GO_ON = "go_on"
    COMPLETE = "complete"
    """Every share is held."""
    CANCEL = "cancel"


S, A = GroupState, GroupAction
NEXT: Final[Mapping[tuple[GroupState, GroupAction], GroupState]] = MappingProxyType(
    {
        (S.OPEN, A.CLOSE): S.CLOSED,
        (S.OPEN, A.CANCEL): S.CANCELLED,
        (S.CLOSED, A.REOPEN): S.OPEN,
        (S.CLOSED, A.ORDER): S.ORDERED,
        (S.CLOSED, A.SPLIT): S.PAYING,
        (S.CLOSED, A.CANCEL): S.CANCELLED,
        (S.PAYING, A.STICK): S.STUCK,
        (S.PAYING, A.COMPLETE): S.ORDERED,
        (S.PAYING, A.CANCEL): S.CANCELLED,
        (S.STUCK, A.GO_ON): S.PAYING,
        (S.STUCK, A.COMPLETE): S.ORDERED,
        (S.STUCK, A.CANCEL): S.CANCELLED,
        # The restaurant could not do it all, and the host agreed to what is left: everybody confirms their new share.
        (S.ORDERED, A.SPLIT): S.PAYING,
        (S.ORDERED, A.CANCEL): S.CANCELLED,
    }
)
"""What follows on what; anything else is refused."""

ENDED: Final = frozenset({S.ORDERED, S.CANCELLED})
"""The room can begin another one."""
ACTIVE: Final = frozenset({S.OPEN, S.CLOSED, S.PAYING, S.STUCK})
"""The room has this one."""


class ShareState(StrEnum):
    """Where a share stands."""

    ASKED = "asked"
    HELD = "held"
    MISSING = "missing"
    """Declined, refused, or not confirmed in time."""
    TAKEN_OVER = "taken_over"
    """The host pays it, by a share of their own."""
    DROPPED = "dropped"
    """What it was for is not ordered."""
    OLD = "old"
    """Of an order that was changed since: another share counts."""


class ShareAction(StrEnum):
    """What happens to a share."""

    HOLD = "hold"
    MISS = "miss"
    TAKE_OVER = "take_over"
    DROP = "drop"
    SUPERSEDE = "supersede"


T, B = ShareState, ShareAction
SHARE_NEXT: Final[Mapping[tuple[ShareState, ShareAction], ShareState]] = MappingProxyType(
    {
        (T.ASKED, B.HOLD): T.HELD,
        (T.ASKED, B.MISS): T.MISSING,
        (T.HELD, B.MISS): T.MISSING,  # the wallet gave it back by itself
        (T.MISSING, B.TAKE_OVER): T.TAKEN_OVER,
        (T.MISSING, B.DROP): T.DROPPED,
        (T.ASKED, B.SUPERSEDE): T.OLD,
        (T.HELD, B.SUPERSEDE): T.OLD,
        (T.MISSING, B.SUPERSEDE): T.OLD,
        (T.TAKEN_OVER, B.SUPERSEDE): T.OLD,
        (T.DROPPED, B.SUPERSEDE): T.OLD,
    }
)
"""What follows on what; anything else is refused."""

COUNTING: Final = frozenset({T.ASKED, T.HELD, T.MISSING})
"""Together they are what the order costs."""

WORDS: Final[Mapping[GroupState, str]] = MappingProxyType(
    {
        S.OPEN: "open",
        S.CLOSED: "closed",
        S.PAYING: "being paid",
        S.STUCK: "waiting for the host",
        S.ORDERED: "ordered",
        S.CANCELLED: "cancelled",
    }
)
"""The state as people read it: English, for the translator."""

VOCABULARIES: Final = (WORDS,)
"""Tables whose values are translated."""

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "group.refused": "That is not possible any more: the group order is {state}.",
        "group.share_refused": "This share is settled already.",
        "group.not_host": "Only {host} can do that: they began the group order.",
        "group.people": "At most {most} people can order together.",
        "group.empty": "Nobody has added anything yet.",
        "group.alone": "Nothing would be left of the order.",
        "group.no_share": "There is no such share.",
        "group.nothing_to_drop": "There is nothing to drop: this is a part of the fee and the tip.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class GroupError(DomainError):
    """Something that cannot be done with the order of a group.

    A value named ``state`` is one of :data:`WORDS`, to be translated.
    """

    messages = MESSAGES


@dataclass(frozen=True, slots=True)
class Share:
    """What one person pays.

    Attributes:
        number: from 1, never used again within a group order.
        payer: user id.
        person: whose items these are; the host pays others' too.
        goods, fee, tip: their items, and their part of fee and tip.
        discount: what the coupon takes off their items; None: nothing.
        revision: of the order that it is a share of.
        payment: the id of the payment; empty: none yet.
    """

    number: int
    payer: str
    person: str
    goods: Money
    fee: Money
    tip: Money
    state: ShareState = ShareState.ASKED
    revision: int = 0
    payment: str = ""
    discount: Money | None = None

    def __post_init__(self) -> None:
        off = 0 if self.discount is None else self.discount.minor
        if min(self.goods.minor - off, off, self.fee.minor, self.tip.minor) < 0:
            raise ValueError("a share is not below nought, and no discount more than the goods")

    @property
    def amount(self) -> Money:
        """What is to be paid."""
        whole = self.goods + self.fee + self.tip
        return whole if self.discount is None else whole - self.discount


@dataclass(frozen=True, slots=True)
class GroupOrder:
    """The order of a group.

    Attributes:
        id: ULID.
        room_id: the group's.
        merchant: id.
        host: user id of who began it.
        opened_at, updated_at: aware.
        deadline: until when people add, or pay; None: none.
        done: who has said that they have all they want.
        order: id, once there is one.
        shares: of a split order, also those that do not count any more.
    """

    id: str
    room_id: str
    merchant: str
    host: str
    state: GroupState
    opened_at: datetime
    updated_at: datetime
    deadline: datetime | None = None
    done: tuple[str, ...] = ()
    order: str = ""
    shares: tuple[Share, ...] = ()

    @property
    def counting(self) -> tuple[Share, ...]:
        """The shares that make up the order."""
        return tuple(each for each in self.shares if each.state in COUNTING)

    @property
    def missing(self) -> tuple[Share, ...]:
        """Those that somebody does not pay."""
        return tuple(each for each in self.shares if each.state is ShareState.MISSING)

    @property
    def total(self) -> Money:
        """What the shares come to; of an order that is split."""
        counting = self.counting
        return sum((each.amount for each in counting), Money.zero(self.shares[0].goods.currency))

    def share(self, number: int) -> Share:
        """A share by its number. Raises GroupError."""
        found = next((each for each in self.shares if each.number == number), None)
        if found is None:
            raise GroupError("group.no_share")
        return found

    def by_host(self, person: str) -> GroupOrder:
        """This order, if it is theirs to decide. Raises GroupError."""
        if person != self.host:
            raise GroupError("group.not_host", host=self.host)
        return self

    def finished(self, person: str, at: datetime) -> GroupOrder:
        """Somebody has all they want. Raises GroupError: it is not open."""
        self._open()
        return self if person in self.done else replace(self, done=(*self.done, person), updated_at=at)

    def adding(self, person: str, at: datetime, others: Collection[str] = ()) -> GroupOrder:
        """Somebody wants something (more).

        Args:
            others: who has something in it.

        Raises:
            GroupError: it is not open, or there are too many.
        """
        self._open()
        if person not in others and len(others) >= PEOPLE_MAX:
            raise GroupError("group.people", most=PEOPLE_MAX)
        left = tuple(each for each in self.done if each != person)
        return self if left == self.done else replace(self, done=left, updated_at=at)

    def without(self, person: str, heir: str, at: datetime) -> GroupOrder:
        """Somebody has left the room: they order nothing here.

        Args:
            heir: who decides when it was theirs to.

        Raises:
            GroupError: it is ordered already: who left pays their share or does not.
        """
        if self.state not in {GroupState.OPEN, GroupState.CLOSED}:
            raise GroupError("group.refused", state=WORDS[self.state])
        left = tuple(each for each in self.done if each != person)
        host = heir if person == self.host else self.host
        return self if (left, host) == (self.done, self.host) else replace(self, done=left, host=host, updated_at=at)

    def all_done(self, people: Collection[str]) -> bool:
        """Whether everybody who has something in it has said so."""
        return bool(people) and set(people) <= set(self.done)

    def _open(self) -> None:
        if self.state is not GroupState.OPEN:
            raise GroupError("group.refused", state=WORDS[self.state])

    def _with(self, share: Share) -> GroupOrder:
        shares = tuple(share if each.number == share.number else each for each in self.shares)
        return replace(self, shares=shares)


def advance(
    group: GroupOrder, action: GroupAction, at: datetime, *, within: timedelta | None = None, **changes: Any
) -> GroupOrder:
    """The order of a group after an action.

    Args:
        at: now (aware).
        within: how long the new state waits; None: without end.
        changes: other fields that change with it.

    Raises:
        GroupError: it does not follow on the state.
    """
    state = NEXT.get((group.state, action))
    if state is None:
        raise GroupError("group.refused", state=WORDS[group.state], action=action.value)
    deadline = None if within is None else at + within
    return replace(group, state=state, updated_at=at, deadline=deadline, **changes)


def shares_of(
    lines: Sequence[OrderLine], fee: Money, tip: Money | None, host: str, discount: Money | None = None
) -> tuple[Share, ...]:
    """What each pays: their items, and an equal part of fee and tip.

    Args:
        lines: of the order; a line of nobody in particular is the host's.
        discount: taken off the lines in proportion, as in the order's invoice.

    Returns:
        The host's share first, if they have one, then in the order of the lines. Together they are what the order
        costs. A share of nothing is held already.

    Raises:
        GroupError: there is nothing.
    """
    if not lines:
        raise GroupError("group.empty")
    nothing = Money.zero(fee.currency)
    parts = discount.allocate([line.total.minor for line in lines]) if discount else [nothing] * len(lines)
    goods: dict[str, Money] = {}
    off: dict[str, Money] = {}
    for line, part in zip(lines, parts, strict=True):
        person = line.person or host
        goods[person] = goods.get(person, nothing) + line.total
        off[person] = off.get(person, nothing) + part
    people = sorted(goods, key=lambda person: person != host)
    tips = (tip or nothing).split(len(people))
    shares = []
    for number, (person, fees, part) in enumerate(zip(people, fee.split(len(people)), tips, strict=True), 1):
        share = Share(number, person, person, goods[person], fees, part, discount=off[person] or None)
        shares.append(share if share.amount else replace(share, state=ShareState.HELD))
    return tuple(shares)


def asked(
    group: GroupOrder, order: str, revision: int, shares: Sequence[Share], at: datetime, within: timedelta
) -> GroupOrder:
    """Everybody is asked for their share of an order; shares of an earlier revision of it count no more.

    Raises:
        GroupError: it does not follow on the state.
    """
    first = max((each.number for each in group.shares), default=0)
    old = tuple(_share(each, ShareAction.SUPERSEDE) if each.state is not ShareState.OLD else each
                for each in group.shares)  # fmt: skip
    new = tuple(replace(each, number=first + index, revision=revision) for index, each in enumerate(shares, 1))
    after = advance(group, GroupAction.SPLIT, at, within=within, order=order, shares=(*old, *new))
    return _settled(after, at)


def share_moved(group: GroupOrder, number: int, action: ShareAction, at: datetime, **changes: Any) -> GroupOrder:
    """A share is held, or is not going to be; the order of the group follows.

    Raises:
        GroupError: it does not follow on the share's state.
    """
    share = group.share(number)
    if not share.amount and action is ShareAction.MISS:  # nobody has to pay it
        raise GroupError("group.share_refused", share=number, action=action.value)
    moved = replace(_share(share, action), **changes)
    return _settled(group._with(moved), at)


def taken_over(group: GroupOrder, number: int, at: datetime, within: timedelta) -> GroupOrder:
    """The host pays what somebody does not: by a share of their own. Raises GroupError."""
    _stuck(group)
    share = _share(group.share(number), ShareAction.TAKE_OVER)
    more = replace(group.share(number), number=_next(group), payer=group.host, state=ShareState.ASKED, payment="")
    after = group._with(share)
    return _settled(replace(after, shares=(*after.shares, more)), at, within)


def dropped(group: GroupOrder, number: int, at: datetime, within: timedelta) -> GroupOrder:
    """What somebody does not pay is not ordered; their part of fee and tip is the host's. The lines of the order are
    the caller's to drop: those of the share's ``person``, if it has goods.

    Raises:
        GroupError: nothing would be left, or it does not follow on the share's state.
    """
    _stuck(group)
    share = group.share(number)
    gone = _share(share, ShareAction.DROP)
    if not share.goods:  # the part of fee and tip that is left of somebody's who was dropped
        raise GroupError("group.nothing_to_drop")
    if not any(each.goods for each in group.counting if each.number != number and each.person != share.person):
        raise GroupError("group.alone")
    after = group._with(gone)
    rest = replace(
        share,
        number=_next(group),
        payer=group.host,
        goods=Money.zero(share.goods.currency),
        discount=None,
        state=ShareState.ASKED,
        payment="",
    )
    if rest.amount:
        after = replace(after, shares=(*after.shares, rest))
    return _settled(after, at, within)


def goal_of(share: Share, order: MoneyGoal, group: GroupState) -> MoneyGoal:
    """Where the payment of a share belongs.

    Args:
        order: where the money of the order belongs (:data:`bots.domain.orders.MONEY`).
        group: where the order of the group stands.
    """
    if share.state not in {ShareState.ASKED, ShareState.HELD} or group is GroupState.CANCELLED:
        return MoneyGoal.BACK
    if order is MoneyGoal.BACK:
        return MoneyGoal.BACK
    if share.state is ShareState.ASKED:
        return MoneyGoal.ASKED
    # What is held is taken with the order, and not before everybody's is held.
    return MoneyGoal.TAKEN if order is MoneyGoal.TAKEN and group is GroupState.ORDERED else MoneyGoal.HELD


def _stuck(group: GroupOrder) -> None:
    if group.state is not GroupState.STUCK:
        raise GroupError("group.refused", state=WORDS[group.state])


def _next(group: GroupOrder) -> int:
    return max(each.number for each in group.shares) + 1


def _share(share: Share, action: ShareAction) -> Share:
    state = SHARE_NEXT.get((share.state, action))
    if state is None:
        raise GroupError("group.share_refused", share=share.number, action=action.value)
    return replace(share, state=state)


def _settled(group: GroupOrder, at: datetime, within: timedelta | None = None) -> GroupOrder:
    """The group's state as its shares have it."""
    states = {each.state for each in group.counting}
    if group.state not in {GroupState.PAYING, GroupState.STUCK}:
        return replace(group, updated_at=at)
    if states == {ShareState.HELD}:
        return advance(group, GroupAction.COMPLETE, at)
    wants = GroupState.STUCK if ShareState.MISSING in states else GroupState.PAYING
    if wants is group.state:
        deadline = group.deadline if within is None else at + within
        return replace(group, updated_at=at, deadline=deadline)
    action = GroupAction.STICK if wants is GroupState.STUCK else GroupAction.GO_ON
    left = within if within is not None or group.deadline is None else max(group.deadline - at, timedelta())
    return advance(group, action, at, within=left)
