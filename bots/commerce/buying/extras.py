"""Extras of one line: asked for group by group, the required ones always."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bots.commerce.buying.words import short
from bots.domain.catalogue import Choice, ModifierGroup
from bots.domain.money import Money
from bots.framework import Dialog, Option

NOTHING = "-nothing"
"""The value of the option that chooses none: no key begins with a dash."""


@dataclass(frozen=True, slots=True)
class Extras:
    """What can be chosen of one group now, as a dialog keeps it: what is not available is left out."""

    key: str
    name: str
    least: int
    most: int
    keys: list[str]
    names: list[str]
    minors: list[int]
    currency: str

    @classmethod
    def of(cls, group: ModifierGroup) -> Extras:
        """What is left of a group."""
        there = [each for each in group.options if each.available]
        return cls(
            group.key,
            group.name,
            group.least,
            min(group.most, len(there)),
            [each.key for each in there],
            [each.name for each in there],
            [each.price.minor for each in there],
            group.options[0].price.currency,
        )

    @property
    def impossible(self) -> bool:
        """Whether fewer are left than have to be chosen."""
        return len(self.keys) < self.least


async def choose_extras(d: Dialog, groups: Sequence[Extras]) -> tuple[Choice, ...]:
    """Have the extras of one line chosen. Call it only when no group is ``impossible``."""
    chosen: list[Choice] = []
    for group in groups:
        if not group.keys:
            continue
        chosen += [Choice(group.key, key) for key in await _chosen(d, group)]
    return tuple(chosen)


async def _chosen(d: Dialog, group: Extras) -> list[str]:
    options = [
        Option(key, _label(d, name, Money(minor, group.currency)))
        for key, name, minor in zip(group.keys, group.names, group.minors, strict=True)
    ]
    if group.most == 1:
        if not group.least:
            options.append(Option(NOTHING, d.t("Nothing of it"), aliases=("none", d.t("none"))))
        question = d.t("{group}: which one?", group=group.name)
        picked = await d.choose(question, options)
        return [] if picked.value == NOTHING else [picked.value]
    question = d.t("{group}: which ones?", group=group.name)
    several = await d.choose_many(question, options, minimum=group.least, maximum=group.most)
    return [each.value for each in several]


def _label(d: Dialog, name: str, price: Money) -> str:
    if not price.minor:
        return short(name, 100)
    if price.minor > 0:
        return d.t("{name} (+{price})", name=short(name, 80), price=price)
    return d.t("{name} (−{price})", name=short(name, 80), price=-price)
