"""Wanted later: a time within the opening hours, by number or in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bots.commerce.buying.base import Buyer
from bots.commerce.hand import Reader
from bots.domain.opening import Hours
from bots.domain.slots import AHEAD, open_then, slots_of
from bots.framework import Dialog, InvalidValue, Option
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
    hours: tuple[Hours, ...]


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

        def fits(at: datetime) -> None:
            check_time(times.hours, at, now)

        return await d.ask(d.t("At what time? For example: tomorrow 12:30"), parse=datetime, validate=fits)

    async def _times(self, reader: Reader, merchants: list[str], now: datetime) -> Times:
        found = await self.market.sellers.many(reader, merchants)
        hours = tuple(each.hours for each in found.values())
        lead = timedelta(minutes=max((each.prepare for each in found.values()), default=0))
        slots = slots_of(hours, now, lead=lead, step=STEP, limit=OFFERED)
        return Times(open_then(hours, now), tuple(slots), hours)


def check_time(hours: tuple[Hours, ...], at: datetime, now: datetime) -> None:
    """Raises InvalidValue for a time at which it cannot be had."""
    if at <= now:
        raise InvalidValue("food.past", _("That time is over."), clear=True)
    if at > now + AHEAD:
        raise InvalidValue("food.far", _("At most {days} days ahead, please."), clear=True, days=AHEAD.days)
    if not open_then(hours, at):
        raise InvalidValue("food.closed", _("It is closed then."), clear=True)
