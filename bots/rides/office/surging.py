"""Surge, as operators see and set it: up to the tariff's cap, with an end; every change is in the audit log."""

from __future__ import annotations

from typing import Final

from bots.fleet.surge import SurgeBeyond
from bots.framework import Context, InvalidValue, Rest, command
from bots.framework.arguments import duration, nearest
from bots.framework.i18n import _
from bots.framework.permissions import Role
from bots.rides.office import texts
from bots.rides.office.base import OfficeBase

__all__ = ["Surging"]

ELSEWHERE: Final = "elsewhere"
"""How operators name what is no zone."""


class Surging(OfficeBase):
    """Commands about surge, for the office to inherit."""

    @command("surge", help=_("How much more it costs just now, by zone"), permission=Role.OPERATOR)
    async def show_surge(self, ctx: Context) -> None:
        """How much more it costs just now in each zone, why, and what was set by hand."""
        if not await self.at_office(ctx):
            return
        zones = await self.fleet.surges.zones(ctx, ctx.now())
        lines = [texts.surge_line(ctx.translator, zone) for zone in zones]
        lines.append(ctx.t("“surge set ZONE 130 1 hour” sets it (elsewhere: what is no zone), “surge free ZONE” has it "
                           "counted again."))  # fmt: skip
        ctx.say("\n".join(lines))

    @command("surge set", help=_("Set the surge of a zone: surge set airport 130 1 hour"), permission=Role.OPERATOR)
    async def set_surge(self, ctx: Context, zone: str, percent: int, lasts: Rest = "") -> None:
        """Set what the price is multiplied by in a zone, in percent (100: no surge), for so long: a day at most. What
        was ordered keeps its price."""
        name = await self._zone(ctx, zone)
        if name is None:
            return
        try:
            until = ctx.now() + duration(lasts, ctx.env())
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        try:
            found = self.fleet.surges.set(ctx, name, percent, until, ctx.sender)
        except SurgeBeyond as error:
            if error.cap:
                ctx.say(ctx.t("The tariff allows 100 to {cap} % there.", cap=error.cap))
            else:
                ctx.say(ctx.t("It lasts a day at most: write for example “surge set {zone} {percent} 1 hour”.",
                              zone=zone, percent=percent))  # fmt: skip
            return
        self.office_audited(ctx, "surge.set", f"zone:{name or ELSEWHERE}", percent=percent, until=until.isoformat())
        ctx.say(ctx.t("{zone}: {percent} % until {time}.", zone=name or ELSEWHERE, percent=found.multiplier,
                      time=found.until))  # fmt: skip

    @command("surge free", help=_("Have the surge of a zone counted again"), permission=Role.OPERATOR)
    async def free_surge(self, ctx: Context, zone: str) -> None:
        """Have the surge of a zone counted again."""
        name = await self._zone(ctx, zone)
        if name is None:
            return
        self.fleet.surges.release(ctx, name)
        self.office_audited(ctx, "surge.free", f"zone:{name or ELSEWHERE}")
        ctx.say(ctx.t("{zone}: what is counted counts again.", zone=name or ELSEWHERE))

    async def _zone(self, ctx: Context, told: str) -> str | None:
        """The zone of a name ("" is everywhere else); None: they are told that there is none."""
        if not await self.at_office(ctx):
            return None
        names = [area.name for area in self.fleet.tariff.zones]
        if told in names:
            return told
        if told.casefold() in {ELSEWHERE, ctx.t("elsewhere").casefold()}:
            return ""
        near = nearest(told, [*names, ELSEWHERE])
        if near:
            ctx.say(ctx.t("There is no zone “{zone}”. Did you mean “{near}”?", zone=told[:40], near=near))
        else:
            ctx.say(ctx.t("There is no zone “{zone}”. There are: {zones}", zone=told[:40],
                          zones=", ".join([*names, ELSEWHERE])))  # fmt: skip
        return None
