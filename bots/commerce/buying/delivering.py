"""How each merchant's part gets to the buyer: the ways there are with their prices, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bots.commerce.buying.addressing import Addressing
from bots.commerce.buying.words import QUESTION_MAX, Speaking, joined, sentence, short
from bots.commerce.hand import Reader
from bots.commerce.telling import WAYS
from bots.domain.merchants import Merchant, Offer
from bots.domain.money import Money
from bots.domain.orders import Delivery, Fulfilment
from bots.domain.places import Place
from bots.framework import Dialog, Option

TO_A_PLACE: Final = frozenset({Fulfilment.COURIER, Fulfilment.PARCEL})
SKIP: Final = "skip"
ELSEWHERE: Final = "elsewhere"
STOP: Final = "stop"


@dataclass(frozen=True, slots=True)
class Way:
    """One way of one merchant, as a dialog keeps it. ``msgid`` with ``values``: why not; empty: it is possible."""

    kind: Fulfilment
    option: str
    fee: Money
    msgid: str = ""
    values: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, offer: Offer) -> Way:
        """Of an offer of the merchant."""
        why = offer.refusal
        return cls(offer.kind, offer.option, offer.fee) if why is None else cls(
            offer.kind, offer.option, offer.fee, why.msgid, dict(why.values)
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """What is bought of one merchant. ``kinds``: the ways in which they deliver at all."""

    merchant: str
    name: str
    goods: Money
    kinds: tuple[Fulfilment, ...] = ()


@dataclass(frozen=True, slots=True)
class Ways:
    """What was chosen.

    Attributes:
        place: where to; None for who fetches everything.
        chosen: by merchant; those without are not ordered now.
    """

    place: Place | None
    chosen: Mapping[str, Way]

    def delivery(self, merchant: str, wanted: datetime | None) -> Delivery:
        """Of one merchant's order."""
        way = self.chosen[merchant]
        place = self.place if way.kind in TO_A_PLACE else None
        return Delivery(way.kind, way.fee, place, wanted, way.option)


def kinds_of(merchant: Merchant) -> tuple[Fulfilment, ...]:
    """The ways in which a merchant delivers at all."""
    zones = (Fulfilment.COURIER,) if merchant.zones else ()
    return tuple(dict.fromkeys((*zones, *(way.kind for way in merchant.ways))))


class Delivering(Addressing):
    """The choice of ways, for the plugin to inherit."""

    async def choose_ways(self, d: Dialog, parts: Sequence[Part], place: Place | None = None) -> Ways:
        """Have a way chosen for each part; the dialog ends when nothing is left of it.

        Args:
            place: where to, if that is known already.
        """
        if place is None and await self._delivered(d, parts):
            place = await self.choose_place(d, d.t("Where to?"))
        while True:
            found = await self._ways_to(d, parts, place)
            if found is not None:
                if not found:
                    await d.end(d.t("Nothing was ordered. Your cart stays as it is."))
                return Ways(place, found)
            place = await self.choose_place(d, d.t("Where to?"))

    async def _delivered(self, d: Dialog, parts: Sequence[Part]) -> bool:
        """Whether the buyer has to say where to: unless nobody delivers, or they fetch everything."""
        if not any(TO_A_PLACE.intersection(part.kinds) for part in parts):
            return False
        if not all(Fulfilment.PICKUP in part.kinds for part in parts):
            return True
        options = [Option("bring", d.t("Have it delivered"), key="🚚"), Option("fetch", d.t("Fetch it"), key="🏬")]
        return (await d.choose(d.t("How do you want it?"), options)).value == "bring"

    async def _ways_to(self, d: Dialog, parts: Sequence[Part], place: Place | None) -> dict[str, Way] | None:
        """A way for each part; None: to another place, please."""
        chosen = {}
        for part in parts:
            ways = await self.look(d, "ways", self._read_ways, part, place)
            way = await self._way(d, part, ways, place, several=len(parts) > 1)
            if way == ELSEWHERE:
                return None
            if way == STOP:
                return {}
            if isinstance(way, Way):
                chosen[part.merchant] = way
        return chosen

    async def _read_ways(self, reader: Reader, part: Part, place: Place | None) -> list[Way]:
        merchant = await self.market.sellers.get(reader, part.merchant)
        if merchant is None:
            return []
        offers = merchant.offers(part.goods, place)
        if place is None:
            offers = [each for each in offers if each.kind not in TO_A_PLACE]
        elif any(each.refusal is None and each.kind in TO_A_PLACE for each in offers):
            # They want it brought: that it could be fetched too is no answer to that.
            offers = [each for each in offers if each.kind in TO_A_PLACE]
        return [Way.of(each) for each in offers]

    async def _way(
        self, d: Dialog, part: Part, ways: Sequence[Way], place: Place | None, *, several: bool
    ) -> Way | str:
        possible = [way for way in ways if not way.msgid]
        reasons = [d.t(way.msgid, **(way.values or {})) for way in ways if way.msgid]
        if len(possible) == 1 and not reasons:
            return possible[0]
        options = [Option(f"way-{number}", *self._label(d, way)) for number, way in enumerate(possible)]
        if place is not None:
            options.append(Option(ELSEWHERE, d.t("Another address")))
        if several:
            options.append(Option(SKIP, d.t("Leave this merchant out for now")))
        options.append(Option(STOP, d.t("Not now")))
        question = d.t("How should {merchant} deliver?", merchant=part.name)
        if not possible:
            question = d.t("{merchant} cannot deliver this.", merchant=part.name)
        picked = (await d.choose(short(joined([*reasons, question], "\n"), QUESTION_MAX), options)).value
        return possible[int(picked.removeprefix("way-"))] if picked.startswith("way-") else picked

    def _label(self, d: Dialog, way: Way) -> tuple[str, str]:
        name = way.option or d.t(WAYS[way.kind])
        price = d.t("{price}", price=way.fee) if way.fee.minor else d.t("free of charge")
        return short(name, 100), joined([price, d.t(WAYS[way.kind]) if way.option else ""])


def refusal_of(d: Dialog, error: Any) -> str:
    """A refusal of the domain in the person's language."""
    return sentence(Speaking(d), error)
