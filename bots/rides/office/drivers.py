"""What operators decide about drivers; every decision is in the audit log. Drivers are told by the driver's side, which
hears of everything that happens to them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from bots.domain.drivers import WORDS as STATES
from bots.domain.drivers import Driver, DriverAction, DriverError, DriverState
from bots.fleet.news import DriverNews
from bots.framework import Context, Rest, UserID, command
from bots.framework.i18n import Translator, _
from bots.framework.permissions import Role
from bots.rides.office import texts
from bots.rides.office.base import PAGE, OfficeBase, one_line

__all__ = ["Drivers"]

WITH_REASON: Final = frozenset({DriverAction.REJECT, DriverAction.SUSPEND})


class Drivers(OfficeBase):
    """Commands about drivers, for the office to inherit."""

    @command("drivers", help=_("The drivers here"), permission=Role.OPERATOR)
    async def office_drivers(self, ctx: Context, after: str = "") -> None:
        """The drivers and where they stand. With a user id: those that come after it."""
        await self._list_drivers(ctx, list(DriverState), after)

    @command("drivers pending", help=_("Drivers who wait for your approval"), permission=Role.OPERATOR)
    async def pending_drivers(self, ctx: Context, after: str = "") -> None:
        """Who has applied and waits."""
        await self._list_drivers(ctx, [DriverState.APPLIED], after)

    async def _list_drivers(self, ctx: Context, states: Collection[DriverState], after: str) -> None:
        if not await self.at_office(ctx):
            return
        found = await self.fleet.drivers.in_states(ctx, states, PAGE + 1, after)
        lines = [texts.driver_line(ctx.translator, driver) for driver in found[:PAGE]]
        if len(found) > PAGE:
            lines.append(ctx.t("For more: “drivers {person}”", person=found[PAGE - 1].person))
        ctx.say("\n".join(lines) if lines else ctx.t("There are none."))

    @command("drivers show", help=_("All about a driver, with their documents"), permission=Role.OPERATOR)
    async def show_driver(self, ctx: Context, person: UserID) -> None:
        """All that a driver has told of themselves, and the pictures of their documents."""
        driver = await self._driver(ctx, str(person))
        if driver is None:
            return
        ctx.say(texts.driver_card(ctx.translator, driver))
        for document in driver.documents:
            # No words and no relation of the driver's: the picture alone.
            kept = {key: document.content[key] for key in ("url", "file", "info") if key in document.content}
            ctx.send({"msgtype": "m.image", "body": document.kind, **kept})
        if driver.documents:
            self.office_audited(ctx, "driver.looked_at", f"driver:{driver.person}")

    @command("drivers approve", help=_("Let somebody drive"), permission=Role.OPERATOR)
    async def approve_driver(self, ctx: Context, person: UserID) -> None:
        """Let somebody drive who has applied."""
        await self._decide_driver(ctx, str(person), DriverAction.APPROVE, "")

    @command("drivers reject", help=_("Turn somebody down who wants to drive"), permission=Role.OPERATOR)
    async def reject_driver(self, ctx: Context, person: UserID, reason: Rest = "") -> None:
        """Turn somebody down, with a reason that they are told."""
        await self._decide_driver(ctx, str(person), DriverAction.REJECT, reason)

    @command(
        "suspend", help=_("Have a driver drive no more: suspend @driver and why"), permission=Role.OPERATOR,
        aliases=("drivers suspend",),
    )  # fmt: skip
    async def suspend_driver(self, ctx: Context, person: UserID, reason: Rest = "") -> None:
        """Have a driver drive no more until they are reinstated. A trip that they are on the way to goes to somebody
        else, first in line; one that is under way they bring to its end (“stop trip” ends it)."""
        await self._decide_driver(ctx, str(person), DriverAction.SUSPEND, reason)

    @command(
        "reinstate", help=_("Let a suspended driver drive again"), permission=Role.OPERATOR,
        aliases=("drivers reinstate",),
    )  # fmt: skip
    async def reinstate_driver(self, ctx: Context, person: UserID) -> None:
        """Let a suspended driver drive again."""
        await self._decide_driver(ctx, str(person), DriverAction.REINSTATE, "")

    async def _driver(self, ctx: Context, person: str) -> Driver | None:
        if not await self.at_office(ctx):
            return None
        driver = await self.fleet.drivers.get(ctx, person)
        if driver is None:
            ctx.say(ctx.t("{person} is no driver here.", person=person))
        return driver

    async def _decide_driver(self, ctx: Context, person: str, action: DriverAction, words: str) -> None:
        driver = await self._driver(ctx, person)
        if driver is None:
            return
        reason = one_line(words)
        if action in WITH_REASON and not reason:
            ctx.say(ctx.t("Please say why: they are told."))
            return
        fleet, by = self.fleet.drivers, ctx.sender
        try:
            if action is DriverAction.APPROVE:
                after = await fleet.approve(ctx, driver, by)
            elif action is DriverAction.REJECT:
                after = await fleet.reject(ctx, driver, by, reason)
            elif action is DriverAction.SUSPEND:
                after = await fleet.suspend(ctx, driver, by, reason)
            else:
                after = await fleet.reinstate(ctx, driver, by)
        except DriverError:
            ctx.discard()
            state = ctx.t(STATES[driver.state])
            ctx.say(ctx.t("That is not possible: {person} is {state}.", person=person, state=state))
            return
        details = {"reason": reason} if reason else {}
        self.office_audited(ctx, f"driver.{action.value}", f"driver:{person}", **details)
        ctx.say(ctx.t("{person}: {state}", person=person, state=ctx.t(STATES[after.state])))

    async def driver_told_office(self, ctx: Context, news: DriverNews) -> None:
        """Tell operators that somebody wants to drive. A hook of the drivers."""
        if news.action is not None and news.action is not DriverAction.APPLY_AGAIN:
            return
        driver = news.after

        def sentence(say: Translator) -> str:
            asked = say.t(
                "{person} wants to drive. “drivers show {person}” shows who they are; “drivers approve {person}” or "
                "“drivers reject {person}” and a reason.",
                person=driver.person,
            )
            return "\n".join([asked, texts.driver_line(say, driver)])

        await self.tell_office(ctx, sentence)
