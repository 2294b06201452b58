"""Lines of a cart as people read them, and what is not as they saw it last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bots.commerce.buying.words import joined, own_price, sentence, short
from bots.domain.carts import Priced
from bots.domain.money import Money
from bots.framework.i18n import Translator


@dataclass(frozen=True, slots=True)
class ShownLine:
    """A line of a cart in the person's words. ``number``: in the cart, from 1."""

    number: int
    label: str
    about: str


def shown_line(say: Translator, each: Priced, merchant: str) -> ShownLine:
    """A line of a cart in words."""
    line = each.line
    name = each.name or say.t("Something that is not sold any more")
    label = say.t("{count} × {name}", count=line.quantity, name=short(name, 85))
    total = each.total
    cost = say.t("cannot be had now") if total is None else say.t("{price}", price=total)
    if each.problem is not None:
        cost = sentence(say, each.problem)
    note = say.t("note: {note}", note=line.note) if line.note else ""
    own = own_price(say, each.usual)
    return ShownLine(each.index + 1, label, short(joined([cost, own, ", ".join(each.extras), note, merchant]), 200))


def changes_of(say: Translator, lines: Sequence[Priced]) -> list[str]:
    """What is not as the person saw it last."""
    found = []
    for each in lines:
        change = each.change
        if change is None:
            continue
        name = each.name or say.t("Something that is not sold any more")
        if change.kind == "gone":
            found.append(say.t("⚠️ {name} cannot be had now.", name=name))
        else:
            found.append(say.t("⚠️ {name} costs {price} now, not {before}.", name=name, price=each.price,
                               before=each.line.shown))  # fmt: skip
    return found


def totals_of(say: Translator, lines: Sequence[Priced], names: Mapping[str, str]) -> list[str]:
    """What the goods of each merchant come to."""
    sums: dict[tuple[str, str], Money] = {}
    for each in lines:
        total = each.total
        if total is not None:
            key = (each.line.merchant, total.currency)
            sums[key] = sums.get(key, Money.zero(total.currency)) + total
    return [
        say.t("{merchant}: {total}", merchant=names[merchant], total=total) for (merchant, _), total in sums.items()
    ]


def not_had(say: Translator, each: Priced) -> str:
    """Why a line cannot be had."""
    if each.problem is not None:
        return sentence(say, each.problem)
    if each.name:
        return say.t("{name} cannot be had now.", name=each.name)
    return say.t("One of the things is not sold any more.")
