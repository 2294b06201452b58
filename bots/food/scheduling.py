"""Wanted later: a time within the opening hours, by number or in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bots.commerce.buying.base import Buyer
from bots.commerce.hand import Reader
from bots.domain.opening import Hours
from bots.domain.slots import AHEAD, open_then, slots_of
from bots.framework import Dialog, Option
from bots.framework.i18n import _

__all__ = ["Scheduling"]

STEP: Final = timedelta(minutes=30)
OFFERED: Final = 8
"""Times in one list; any other can be written."""
SOON: Final = "soon"
OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Times:
    """What can be chosen, as a dialog keeps it. ``open``: whether it can be had as soon as possible."""

    open: bool
    slots: tuple[datetime, ...]


class Scheduling(Buyer):
    """The choice of a time, for the plugin to inherit."""

    async def ask_when(self, d: Dialog, *merchants: str) -> datetime | None:
        """When something is wanted of these merchants (by id), aware; None: as soon as possible."""
        now = await d.now()
        times = await self.look(d, "times", self._times, list(merchants), now)
        options = [Option(SOON, d.t("As soon as possible"), key="🏃")] if times.open else []
        options += [Option(f"at-{number}", d.t("{time}", time=at)) for number, at in enumerate(times.slots)]
        options.append(Option(OTHER, d.t("Another time"), key="🕒"))
        picked = (await d.choose(d.t("When would you like it?"), options, page_size=OFFERED + 2)).value
        if picked == SOON:
            return None
        if picked != OTHER:
            return times.slots[int(picked.removeprefix("at-"))]
        while True:
            at = await d.ask(d.t("At what time? For example: tomorrow 12:30"), parse=datetime)
            refusal = await self.look(d, "fits", self._misfit, list(merchants), at, now)
            if not refusal:
                return at
            await d.say(d.t(refusal, days=AHEAD.days))

    async def _times(self, reader: Reader, merchants: list[str], now: datetime) -> Times:
        found = await self.market.sellers.many(reader, merchants)
        hours = tuple(each.hours for each in found.values())
        lead = timedelta(minutes=max((each.prepare for each in found.values()), default=0))
        slots = slots_of(hours, now, lead=lead, step=STEP, limit=OFFERED)
        return Times(open_then(hours, now), tuple(slots))

    async def _misfit(self, reader: Reader, merchants: list[str], at: datetime, now: datetime) -> str:
        """Why it cannot be had then, in English; nothing when it can."""
        found = await self.market.sellers.many(reader, merchants)
        return misfit([each.hours for each in found.values()], at, now)


def misfit(hours: Sequence[Hours], at: datetime, now: datetime) -> str:
    """Why something cannot be wanted at a time, for the translator; nothing when it can."""
    if at <= now:
        return _("That time is over.")
    if at > now + AHEAD:
        return _("At most {days} days ahead, please.")
    return "" if open_then(hours, at) else _("It is closed then.")
