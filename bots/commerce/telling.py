"""What people are told when something happens to an order: one table, and the cards that show an order.

Everything is plain text: what people wrote is read, and never obeyed. Nobody is told what they have just done
themselves; whoever handles that answers them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from bots.domain.merchants import Merchant
from bots.domain.money import Money
from bots.domain.orders import MONEY, WORDS, Action, Fulfilment, MoneyGoal, Order, OrderLine, OrderState
from bots.framework import Context
from bots.framework.i18n import Translator, _

__all__ = [
    "DOMAIN",
    "Happened",
    "buyer_card",
    "buyer_words",
    "line_text",
    "lines_text",
    "sentence",
    "staff_card",
    "staff_words",
    "tell",
]

DOMAIN: Final = "commerce"
"""The catalogues of everything that sells: ``bots/commerce/locales``."""


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that happened to an order.

    Attributes:
        by: the user id of who did it; empty: it happened by itself.
        pin: what the buyer says when they fetch it; empty: it is not fetched.
    """

    before: Order
    after: Order
    action: Action
    merchant: Merchant
    by: str = ""
    pin: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Told:
    """The sentences of an action; an empty one is not said. ``ring``: clients ring for the buyer's."""

    buyer: str = ""
    staff: str = ""
    ring: bool = False


TOLD: Final[Mapping[Action, Told]] = MappingProxyType(
    {
        Action.PAY: Told(_("Order {number} is paid. {merchant} is asked now."), _("A new order has come in.")),
        Action.LAPSE: Told(_("Order {number} was not paid: it is off.")),
        Action.CANCEL: Told(_("Order {number} is cancelled."), _("Order {number} was cancelled by the buyer.")),
        Action.ACCEPT: Told(_("{merchant} has accepted order {number}."), _("Order {number} is accepted."), True),
        Action.REJECT: Told(_("{merchant} cannot do order {number}."), _("Order {number} is rejected."), True),
        Action.TIME_OUT: Told(
            _("Order {number} was not answered in time: it is off."),
            _("Order {number} was not answered in time: it is off."),
            True,
        ),
        Action.AMEND: Told(
            _("{merchant} cannot do all of order {number}. This is what is left of it:"),
            _("The buyer is asked whether they want what is left of order {number}."),
            True,
        ),
        Action.AGREE: Told(
            _("You are asked to pay what is left of order {number}."),
            _("The buyer wants what is left of order {number}, and is asked to pay it."),
        ),
        Action.MAKE_READY: Told(_("Order {number} is ready."), _("Order {number} is ready."), True),
        Action.DISPATCH: Told(_("Order {number} is on its way."), _("Order {number} is on its way."), True),
        Action.DELIVER: Told(_("Order {number} is delivered."), _("Order {number} is delivered."), True),
        Action.FAIL: Told(
            _("Order {number} could not be handed over."), _("Order {number} could not be handed over."), True
        ),
        Action.TRY_AGAIN: Told(_("Order {number} is brought once more."), _("Order {number} is brought once more.")),
        Action.BRING_BACK: Told(
            _("Order {number} has gone back to {merchant}."), _("Order {number} has come back."), True
        ),
        Action.CONCLUDE: Told(),
        Action.CALL_OFF: Told(_("Order {number} is called off."), _("Order {number} is called off."), True),
        Action.TAKE_BACK: Told(
            _("{merchant} has taken order {number} back."), _("Order {number} is taken back."), True
        ),
    }
)
"""Of every action."""


async def buyer_words(ctx: Context, order: Order) -> Translator:
    """Texts in the language and the time zone of an order's buyer."""
    known = await ctx.services.people.get(order.buyer)
    return ctx.services.catalogues.translator(known.language, DOMAIN, ZoneInfo(known.zone or "UTC"))


def staff_words(ctx: Context, merchant: Merchant) -> Translator:
    """Texts in the language and the time zone of a merchant."""
    return ctx.services.catalogues.translator(merchant.language, DOMAIN, ZoneInfo(merchant.hours.zone))


async def tell(ctx: Context, what: Happened) -> None:
    """Tell the buyer and the staff room, in the commit of what happened."""
    told, order, merchant = TOLD[what.action], what.after, what.merchant
    if told.buyer and what.by != order.buyer:
        words = await buyer_words(ctx, order)
        ctx.say(sentence(what, words), room_id=order.room_id, notice=not told.ring)
    heard = what.before.state is not OrderState.PLACED or what.action is Action.PAY or what.before.revision > 0
    if told.staff and heard and merchant.room_id and ctx.room_id != merchant.room_id:
        words = staff_words(ctx, merchant)
        text = words.t(told.staff, number=order.number)
        if what.action is Action.PAY:
            text = f"{text}\n\n{staff_card(order, words)}"
        elif order.reason and what.action in _REASONED:
            text = f"{text}\n{words.t('Reason: {reason}', reason=order.reason)}"
        ctx.say(text, room_id=merchant.room_id, notice=what.action not in {Action.PAY, Action.CANCEL, Action.FAIL})


_REASONED: Final = frozenset({Action.CANCEL, Action.REJECT, Action.FAIL, Action.CALL_OFF, Action.BRING_BACK})


def sentence(what: Happened, words: Translator) -> str:
    """What the buyer is told, with all that belongs to it."""
    order, merchant, action = what.after, what.merchant, what.action
    lines = [words.t(TOLD[action].buyer, number=order.number, merchant=merchant.name)]
    if action is Action.PAY and order.deadline is not None:
        lines.append(words.t("They answer until {time}.", time=order.deadline))
    if action is Action.ACCEPT and order.prepared_at is not None:
        lines.append(words.t("It is ready at {time}.", time=order.prepared_at))
    if action is Action.AMEND:
        lines += ["", buyer_card(order, merchant, words)]
        if order.deadline is not None:
            lines += ["", words.t("Please say until {time} whether you want that.", time=order.deadline)]
    if action is Action.MAKE_READY and order.delivery.kind is Fulfilment.PICKUP:
        lines.append(words.t("You can come and get it. Tell them this PIN: {pin}", pin=what.pin))
    if action is Action.DISPATCH and order.tracking:
        lines.append(words.t("Tracking: {tracking}", tracking=order.tracking))
    if order.reason and action in _REASONED:
        lines.append(words.t("Reason: {reason}", reason=order.reason))
    if MONEY[order.state] is MoneyGoal.BACK and MONEY[what.before.state] is not MoneyGoal.ASKED and order.total:
        lines.append(words.t("Your money comes back: {amount}.", amount=order.total))
    return "\n".join(lines)


def line_text(number: int, line: OrderLine, words: Translator) -> str:
    """A line of an order, with its number."""
    text = words.t(
        "{number}. {quantity} × {name}: {total}",
        number=str(number),
        quantity=line.quantity,
        name=line.label,
        total=line.total,
    )
    if line.price_list:
        text = f"{text}\n   {words.t('Price list: {name}', name=line.price_list)}"
    return f"{text}\n   {words.t('Note: {note}', note=line.note)}" if line.note else text


def lines_text(order: Order, words: Translator) -> list[str]:
    """The lines of an order, and what is added to them and taken off."""
    lines = [line_text(number, line, words) for number, line in enumerate(order.lines, 1)]
    if order.discount:
        lines.append(words.t("Discount ({code}): {amount}", code=order.coupon or "–", amount=-order.discount))
    if order.delivery.fee:
        lines.append(words.t("Delivery ({way}): {amount}", way=order.delivery.option or "–", amount=order.delivery.fee))
    if order.tip:
        lines.append(words.t("Tip: {amount}", amount=order.tip))
    lines.append(words.t("Total: {amount}", amount=order.total))
    return lines


def buyer_card(order: Order, merchant: Merchant | None, words: Translator) -> str:
    """An order as its buyer sees it."""
    head = words.t(
        "Order {number} from {merchant}: {state}",
        number=order.number,
        merchant=merchant.name if merchant is not None else "–",
        state=words.t(WORDS[order.state]),
    )
    return "\n".join([head, *lines_text(order, words), *_details(order, words)])


def staff_card(order: Order, words: Translator) -> str:
    """An order as the staff sees it: for whom, what, how and when."""
    head = words.t(
        "Order {number} for {buyer}: {state}",
        number=order.number,
        buyer=order.buyer[1:].partition(":")[0],
        state=words.t(WORDS[order.state]),
    )
    lines = [head, *lines_text(order, words), *_details(order, words)]
    if order.state is OrderState.PAID and order.deadline is not None:
        lines.append(words.t("To be answered until {time}", time=order.deadline))
    return "\n".join(lines)


WAYS: Final[Mapping[Fulfilment, str]] = MappingProxyType(
    {
        Fulfilment.COURIER: _("By courier"),
        Fulfilment.PARCEL: _("By parcel"),
        Fulfilment.PICKUP: _("To be fetched"),
        Fulfilment.DIGITAL: _("By message"),
    }
)
"""How an order gets to its buyer, as people read it."""


def _details(order: Order, words: Translator) -> list[str]:
    delivery = order.delivery
    way = words.t(WAYS[delivery.kind])
    lines = [way if delivery.place is None else words.t("{way} to: {place}", way=way, place=delivery.place.text)]
    for text, value in (
        (_("Wanted at {value}"), delivery.wanted),
        (_("Ready at {value}"), order.prepared_at),
        (_("Tracking: {value}"), order.tracking),
        (_("With these words: {value}"), order.gift),
        (_("Note: {value}"), order.note),
        (_("Reason: {value}"), order.reason),
    ):
        if value:
            lines.append(words.t(text, value=value))
    return lines


def refund_text(amount: Money, order: Order, words: Translator) -> str:
    """What a buyer is told of money that comes back."""
    return words.t("You get {amount} back for order {number}.", amount=amount, number=order.number)
