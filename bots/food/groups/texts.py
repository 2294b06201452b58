"""What people read of the orders of groups. Names and items, never an address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bots.commerce.buying.words import short
from bots.domain import group_orders
from bots.domain.carts import Priced
from bots.domain.group_orders import GroupError, GroupOrder, GroupState, ShareState
from bots.domain.merchants import Merchant
from bots.domain.money import Money
from bots.domain.orders import Action
from bots.framework.i18n import Translator, _

__all__ = ["TOLD", "card", "items_of", "progress", "sentence"]

TOLD: Final[Mapping[Action, str]] = {
    Action.PAY: _("The group order is paid: {merchant} is asked now."),
    Action.ACCEPT: _("{merchant} has accepted the group order."),
    Action.DISPATCH: _("The group order is on its way."),
    Action.DELIVER: _("The group order is here. Enjoy!"),
    Action.REJECT: _("{merchant} cannot do the group order."),
    Action.TIME_OUT: _("The group order was not answered in time."),
    Action.CANCEL: _("The group order is cancelled."),
    Action.CALL_OFF: _("The group order is called off."),
    Action.LAPSE: _("The group order was not paid in time: it is off."),
    Action.AMEND: _("{merchant} cannot do all of the group order: the host decides."),
    Action.AGREE: _("Some of the group order is not there. What is left is to be paid anew."),
}
"""What a group hears of its order."""


def sentence(say: Translator, error: GroupError, names: Mapping[str, str] | None = None) -> str:
    """A refusal in the person's language. ``names``: of people, by user id."""
    values = dict(error.values)
    if "state" in values:
        values["state"] = say.t(values["state"])
    if "host" in values:
        values["host"] = (names or {}).get(values["host"], values["host"])
    return say.t(error.msgid, **values)


def items_of(say: Translator, lines: Sequence[Priced], person: str) -> str:
    """What one person has chosen, on one line."""
    mine = [each for each in lines if each.line.person == person]
    parts = []
    for each in mine:
        name = each.name or say.t("Something that is not sold any more")
        extras = f" ({', '.join(each.extras)})" if each.extras else ""
        parts.append(say.t("{count} × {name}", count=each.line.quantity, name=short(f"{name}{extras}", 120)))
    return ", ".join(parts)


def card(
    say: Translator, group: GroupOrder, merchant: Merchant, lines: Sequence[Priced], names: Mapping[str, str]
) -> str:
    """The order of a group as its room sees it."""
    head = say.t(
        "Group order at {merchant} by {host}: {state}",
        merchant=merchant.name,
        host=names[group.host],
        state=say.t(group_orders.WORDS[group.state]),
    )
    found = [head]
    for person in dict.fromkeys(each.line.person for each in lines):
        mark = "✓ " if person in group.done else ""
        found.append(f"{mark}{names[person]}: {items_of(say, lines, person)}")
    totals = [each.total for each in lines if each.total is not None]
    if totals:
        found.append(say.t("Together: {amount}", amount=sum(totals, Money.zero(totals[0].currency))))
    if group.state is GroupState.OPEN and group.deadline is not None:
        found.append(say.t("Everybody can add until {time}.", time=group.deadline))
    if group.state in {GroupState.PAYING, GroupState.STUCK}:
        found.append(progress(say, group))
    return "\n".join(found)


def progress(say: Translator, group: GroupOrder) -> str:
    """How many have paid."""
    counting = group.counting
    held = sum(each.state is ShareState.HELD for each in counting)
    return say.n("{held} of {count} share is paid.", "{held} of {count} shares are paid.", len(counting), held=held)
