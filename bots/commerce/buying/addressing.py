"""The address book in conversation: where something goes is picked from it, or said and kept in it."""

from __future__ import annotations

from typing import Final

from bots.commerce.addresses import Address
from bots.commerce.buying.base import Buyer
from bots.commerce.buying.words import short
from bots.commerce.hand import Hand
from bots.domain.places import Place
from bots.framework import Dialog, Option

ANOTHER: Final = "another"


class Addressing(Buyer):
    """Addresses, for the plugin to inherit."""

    async def choose_place(self, d: Dialog, question: str, *, point: bool = False) -> Place:
        """Where to: a saved address, or one that is told now, and kept if they like.

        Args:
            question: what is asked.
            point: whether it has to be known where that is on the earth.
        """
        known = await self.look(d, "addresses", self._known, d.person)
        if point:
            known = [each for each in known if each.place.point is not None]
        if known:
            options = [Option(each.id, each.name, short(each.place.text, 150)) for each in known]
            options.append(Option(ANOTHER, d.t("Another address")))
            picked = (await d.choose(question, options)).value
            if picked != ANOTHER:
                return next(each.place for each in known if each.id == picked)
        return await self._told_place(d, point=point)

    async def _known(self, hand: Hand, person: str) -> list[Address]:
        return await self.market.addresses.list(hand, person)
