"""Orders: what was bought of one merchant, and the table of what follows on what.

A cart of several merchants becomes several orders, with one ``checkout`` in common. What happens to an order is an
action on a state; anything that is not in :data:`NEXT` is refused and changes nothing, so that events that come twice
or out of order do no harm. The money follows from the state (:data:`MONEY`): the state is stored first, in one commit
with what people are told; then the payment is brought where the state says, however often that is tried.

An amendment is a new revision of the order: what was held for the old one goes back, and the buyer confirms the new
one as they confirmed the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from bots.domain.catalogue import Choice
from bots.domain.errors import DomainError
from bots.domain.invoices import Invoice, Line
from bots.domain.money import Money
from bots.domain.places import Place

__all__ = [
    "ENDED",
    "MESSAGES",
    "MONEY",
    "NEXT",
    "Action",
    "Delivery",
    "Fulfilment",
    "MoneyGoal",
    "Order",
    "OrderLine",
    "OrderRefused",
    "OrderState",
    "advance",
    "amended",
]

LINES_MAX: Final = 100
QUANTITY_MAX: Final = 1_000_000
TEXT_MAX: Final = 500
PIN_TRIES: Final = 5
"""So many wrong PINs at the counter, and none counts any more."""


class OrderState(StrEnum):
    """Where an order stands."""

    PLACED = "placed"
    """The buyer is asked to pay; the stock is held."""
    PAID = "paid"
    """The money is held; the merchant is asked."""
    AMENDED = "amended"
    """The merchant cannot do it all, and the buyer is asked whether they want what is left."""
    ACCEPTED = "accepted"
    READY = "ready"
    """Cooked, or packed: it waits for the courier, the parcel service or the buyer."""
    DISPATCHED = "dispatched"
    FAILED = "failed"
    """It could not be handed over, and is with the courier or on its way back."""
    DELIVERED = "delivered"
    CONCLUDED = "concluded"
    """The time for complaints is over."""
    UNPAID = "unpaid"
    """The buyer did not pay: declined, or too late."""
    REJECTED = "rejected"
    """By the merchant."""
    TIMED_OUT = "timed_out"
    """The merchant did not answer in time, or the buyer did not answer an amendment."""
    CANCELLED = "cancelled"
    RETURNED = "returned"
    """It came back, all of it."""


class Action(StrEnum):
    """What happens to an order."""

    PAY = "pay"
    LAPSE = "lapse"
    CANCEL = "cancel"
    """By the buyer, before the merchant has accepted."""
    ACCEPT = "accept"
    REJECT = "reject"
    TIME_OUT = "time_out"
    AMEND = "amend"
    AGREE = "agree"
    MAKE_READY = "make_ready"
    DISPATCH = "dispatch"
    DELIVER = "deliver"
    FAIL = "fail"
    TRY_AGAIN = "try_again"
    BRING_BACK = "bring_back"
    CONCLUDE = "conclude"
    CALL_OFF = "call_off"
    """After acceptance: by the merchant, or by the buyer with the merchant's consent."""
    TAKE_BACK = "take_back"
    """All of a delivered order was returned."""


S, A = OrderState, Action
NEXT: Final[Mapping[tuple[OrderState, Action], OrderState]] = MappingProxyType(
    {
        (S.PLACED, A.PAY): S.PAID,
        (S.PLACED, A.LAPSE): S.UNPAID,
        (S.PLACED, A.CANCEL): S.CANCELLED,
        (S.PAID, A.ACCEPT): S.ACCEPTED,
        (S.PAID, A.REJECT): S.REJECTED,
        (S.PAID, A.TIME_OUT): S.TIMED_OUT,
        (S.PAID, A.CANCEL): S.CANCELLED,
        (S.PAID, A.AMEND): S.AMENDED,
        (S.AMENDED, A.AGREE): S.PLACED,
        (S.AMENDED, A.CANCEL): S.CANCELLED,
        (S.AMENDED, A.TIME_OUT): S.TIMED_OUT,
        (S.ACCEPTED, A.MAKE_READY): S.READY,
        (S.ACCEPTED, A.DISPATCH): S.DISPATCHED,
        (S.ACCEPTED, A.CALL_OFF): S.CANCELLED,
        (S.READY, A.DISPATCH): S.DISPATCHED,
        (S.READY, A.DELIVER): S.DELIVERED,
        (S.READY, A.CALL_OFF): S.CANCELLED,
        (S.DISPATCHED, A.DELIVER): S.DELIVERED,
        (S.DISPATCHED, A.FAIL): S.FAILED,
        (S.FAILED, A.TRY_AGAIN): S.READY,
        (S.FAILED, A.DELIVER): S.DELIVERED,
        (S.FAILED, A.BRING_BACK): S.RETURNED,
        (S.DELIVERED, A.CONCLUDE): S.CONCLUDED,
        (S.DELIVERED, A.TAKE_BACK): S.RETURNED,
        (S.CONCLUDED, A.TAKE_BACK): S.RETURNED,
    }
)
"""What follows on what; anything else is refused."""

ENDED: Final = frozenset({S.UNPAID, S.REJECTED, S.TIMED_OUT, S.CANCELLED, S.RETURNED, S.CONCLUDED})
"""Nothing happens to it by itself any more."""


class MoneyGoal(StrEnum):
    """Where an order's payment belongs."""

    ASKED = "asked"
    HELD = "held"
    TAKEN = "taken"
    BACK = "back"
    """Voided if it is held, refunded if it was taken: all that is left of it."""


MONEY: Final[Mapping[OrderState, MoneyGoal]] = MappingProxyType(
    {
        S.PLACED: MoneyGoal.ASKED,
        S.PAID: MoneyGoal.HELD,
        S.AMENDED: MoneyGoal.HELD,
        S.ACCEPTED: MoneyGoal.TAKEN,
        S.READY: MoneyGoal.TAKEN,
        S.DISPATCHED: MoneyGoal.TAKEN,
        S.FAILED: MoneyGoal.TAKEN,
        S.DELIVERED: MoneyGoal.TAKEN,
        S.CONCLUDED: MoneyGoal.TAKEN,
        S.UNPAID: MoneyGoal.BACK,
        S.REJECTED: MoneyGoal.BACK,
        S.TIMED_OUT: MoneyGoal.BACK,
        S.CANCELLED: MoneyGoal.BACK,
        S.RETURNED: MoneyGoal.BACK,
    }
)
"""Of every state."""

STOCK_HELD: Final = frozenset({S.PLACED})
"""The stock is promised."""
STOCK_SOLD: Final = frozenset(
    {S.PAID, S.AMENDED, S.ACCEPTED, S.READY, S.DISPATCHED, S.FAILED, S.DELIVERED, S.CONCLUDED}
)
"""It has left the shelf. In all other states it is back there, except where a merchant says that it is spoilt."""

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "order.refused": "That is not possible any more: the order is {state}.",
        "order.lines": "An order has 1 to {most} lines.",
        "order.text": "A message has at most {most} characters.",
        "order.quantity": "A quantity is a whole number from 1 to {most}.",
        "order.currency": "All amounts of an order are in {currency}.",
        "order.amounts": "Fees, discounts and tips are not below nought, and a discount is not more than the goods.",
        "order.no_line": "The order has no line {number}.",
        "order.nothing_left": "Nothing would be left of the order: reject it instead.",
        "order.pin_locked": "Too many wrong PINs for order {number}. A manager can hand it over without one.",
        "order.unchanged": "The order stays as it is: say what is missing.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""

WORDS: Final[Mapping[OrderState, str]] = MappingProxyType(
    {
        S.PLACED: "waiting for payment",
        S.PAID: "waiting for the merchant",
        S.AMENDED: "changed, waiting for the buyer",
        S.ACCEPTED: "accepted",
        S.READY: "ready",
        S.DISPATCHED: "on its way",
        S.FAILED: "not handed over",
        S.DELIVERED: "delivered",
        S.CONCLUDED: "concluded",
        S.UNPAID: "not paid",
        S.REJECTED: "rejected by the merchant",
        S.TIMED_OUT: "not answered in time",
        S.CANCELLED: "cancelled",
        S.RETURNED: "returned",
    }
)
"""The state as people read it: English, for the translator."""
VOCABULARIES: Final = (WORDS,)


class OrderRefused(DomainError):
    """Something that cannot be done with an order.

    A value named ``state`` is one of :data:`WORDS`, to be translated.
    """

    messages = MESSAGES


class Fulfilment(StrEnum):
    """How it gets to the buyer."""

    COURIER = "courier"
    """By a courier, now or at a time, with a PIN."""
    PARCEL = "parcel"
    """By a parcel service, with a tracking number."""
    PICKUP = "pickup"
    """The buyer comes, with a PIN."""
    DIGITAL = "digital"
    """By message."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How, where to and when.

    Attributes:
        fee: what it costs; taxed like the goods' first line.
        place: where to; None for who comes themselves.
        wanted: when it is wanted (aware); None: as soon as possible.
        option: the name of the way, as the buyer chose it ("Standard parcel").
    """

    kind: Fulfilment
    fee: Money
    place: Place | None = None
    wanted: datetime | None = None
    option: str = ""


@dataclass(frozen=True, slots=True)
class OrderLine:
    """So many of something, as it was bought: later changes of the catalogue do not reach it.

    Attributes:
        price: of one, extras included.
        person: who wants it, in an order of a group; empty: the buyer.
        slot: of stock by slots; empty: none.
        price_list: the one of the buyer's that made it cheaper; empty: the price was everybody's.
    """

    product: str
    variant: str
    name: str
    quantity: int
    price: Money
    tax: Decimal = Decimal(0)
    choices: tuple[Choice, ...] = ()
    extras: tuple[str, ...] = ()
    person: str = ""
    note: str = ""
    slot: str = ""
    price_list: str = ""

    def __post_init__(self) -> None:
        if type(self.quantity) is not int or not 1 <= self.quantity <= QUANTITY_MAX:
            raise OrderRefused("order.quantity", most=QUANTITY_MAX)
        if self.price.minor < 0:
            raise OrderRefused("order.amounts")
        if len(self.note) > TEXT_MAX:
            raise OrderRefused("order.text", most=TEXT_MAX)

    @property
    def total(self) -> Money:
        """Of the line."""
        return self.price * self.quantity

    @property
    def label(self) -> str:
        """With its extras, as an invoice names it: in so many characters as an invoice has room for."""
        whole = self.name if not self.extras else f"{self.name} ({', '.join(self.extras)})"
        return whole if len(whole) <= TEXT_MAX else f"{whole[: TEXT_MAX - 1]}…"


@dataclass(frozen=True, slots=True)
class Order:
    """One order of one merchant.

    Attributes:
        id: ULID.
        number: short, as people say it: unique for a merchant.
        checkout: the same for all orders of one cart.
        merchant: id.
        buyer: user id of who pays.
        room_id: where the buyer is told.
        lines: what.
        discount: taken off the goods, by ``coupon``.
        tip: for the courier or the house.
        gift: words that go with it.
        revision: of what was ordered; an amendment counts it up.
        payment: the id of the payment of this revision; empty: none yet.
        placed_at, updated_at: aware.
        deadline: until when the state wants an answer; None: none.
        prepared_at: when the merchant says that it will be ready.
        reason: why it ended, in the merchant's or the buyer's words.
        was: the lines before the last amendment; empty: there was none.
        pin_tries: wrong PINs of who came to fetch it.
        split: the group whose people pay their shares of it; empty: the buyer pays all.
        version: counts the changes, for whoever stores them: compare-and-set.
    """

    id: str
    number: str
    checkout: str
    merchant: str
    buyer: str
    room_id: str
    state: OrderState
    lines: tuple[OrderLine, ...]
    delivery: Delivery
    placed_at: datetime
    updated_at: datetime
    discount: Money | None = None
    coupon: str = ""
    tip: Money | None = None
    gift: str = ""
    note: str = ""
    revision: int = 0
    payment: str = ""
    deadline: datetime | None = None
    prepared_at: datetime | None = None
    tracking: str = ""
    courier: str = ""
    reason: str = ""
    was: tuple[OrderLine, ...] = ()
    split: str = ""
    pin_tries: int = 0
    version: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.lines) <= LINES_MAX:
            raise OrderRefused("order.lines", most=LINES_MAX)
        if max(len(self.gift), len(self.note), len(self.reason), len(self.tracking)) > TEXT_MAX:
            raise OrderRefused("order.text", most=TEXT_MAX)
        extras = [money for money in (self.delivery.fee, self.discount, self.tip) if money is not None]
        if {money.currency for money in (*(line.price for line in self.lines), *extras)} != {self.currency}:
            raise OrderRefused("order.currency", currency=self.currency)
        if any(money.minor < 0 for money in extras) or (self.discount is not None and self.discount > self.goods):
            raise OrderRefused("order.amounts")

    @property
    def currency(self) -> str:
        """Of all its amounts."""
        return self.lines[0].price.currency

    @property
    def goods(self) -> Money:
        """The lines together, before discount."""
        return sum((line.total for line in self.lines), Money.zero(self.currency))

    def invoice(self, delivery: str) -> Invoice:
        """What the buyer pays. ``delivery``: how the line of the fee is called. Raises InvoiceError."""
        lines = [Line(line.label, line.price, line.quantity, line.tax) for line in self.lines]
        if self.delivery.fee.minor:
            # A coupon takes off the goods: what the delivery costs is paid in full, and no line is refunded with it.
            lines.append(Line(delivery, self.delivery.fee, 1, self.lines[0].tax, full=True))
        return Invoice(tuple(lines), True, self.discount, self.tip)

    @property
    def total(self) -> Money:
        """What is to be paid: the total of its invoice, or nothing, of which there is no invoice."""
        total = self.goods + self.delivery.fee
        for extra, sign in ((self.discount, -1), (self.tip, 1)):
            total += Money.zero(self.currency) if extra is None else extra * sign
        return total

    @property
    def payment_key(self) -> str:
        """Under which the payment of this revision is asked for: stable, made before the first attempt."""
        return f"{self.id}/{self.revision}"

    def line(self, number: int) -> OrderLine:
        """A line by its number, from 1. Raises OrderRefused."""
        if not 1 <= number <= len(self.lines):
            raise OrderRefused("order.no_line", number=number)
        return self.lines[number - 1]


def advance(order: Order, action: Action, at: datetime, *, within: timedelta | None = None, **changes: Any) -> Order:
    """The order after an action.

    Args:
        at: now (aware).
        within: how long the new state waits for an answer; None: it waits for none.
        changes: other fields that change with it.

    Raises:
        OrderRefused: it does not follow on the state.
    """
    state = NEXT.get((order.state, action))
    if state is None:
        raise OrderRefused("order.refused", order=order.id, state=WORDS[order.state], action=action.value)
    deadline = None if within is None else at + within
    return replace(order, state=state, updated_at=at, deadline=deadline, **changes)


def amended(order: Order, quantities: Mapping[int, int]) -> tuple[OrderLine, ...]:
    """The lines that are left when of some, by their numbers from 1, there are only so many.

    Raises:
        OrderRefused: nothing is left, or nothing changes.
    """
    left = []
    for number in quantities:
        order.line(number)
    for number, line in enumerate(order.lines, 1):
        quantity = min(quantities.get(number, line.quantity), line.quantity)
        if quantity > 0:
            left.append(replace(line, quantity=quantity))
    if not left:
        raise OrderRefused("order.nothing_left")
    if tuple(left) == order.lines:
        raise OrderRefused("order.unchanged")
    return tuple(left)
