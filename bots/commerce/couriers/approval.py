"""What operators decide about couriers; every decision is in the audit log."""

from __future__ import annotations

from typing import Final

from bots.commerce.couriers.pool import Pool
from bots.commerce.desk.base import PAGE, DeskBase
from bots.domain.couriers import COURIER_WORDS, CourierAction, CourierError, CourierState
from bots.framework import Context, Rest, UserID, command
from bots.framework.i18n import Translator, _
from bots.framework.own_chat import own_chat
from bots.framework.permissions import Role

REASON_MAX: Final = 300


class CourierApproval(DeskBase):
    """The operators' commands, for the couriers' side to inherit."""

    pool: Pool

    def couriers_elsewhere(self, ctx: Context) -> bool:
        """Whether couriers talk with another bot here; then the person is told with which."""
        if self.pool.elsewhere:
            ctx.say(ctx.t("Couriers drive for {bot} here: write “drive” to it.", bot=self.pool.elsewhere))
        return bool(self.pool.elsewhere)

    async def ask_operators(self, ctx: Context, name: str, vehicle: str) -> None:
        """Tell every operator that somebody wants to bring things, in their own chats."""
        person = ctx.sender

        def asks(say: Translator) -> str:
            return say.t(
                "{person} wants to be a courier: {name}, {vehicle}. “couriers approve {person}” or “couriers reject "
                "{person}” and a reason.",
                person=person,
                name=name,
                vehicle=vehicle,
            )

        await self.desk_tell_operators(ctx, asks)

    @command("couriers", help=_("The couriers here"), permission=Role.OPERATOR)
    async def list_couriers(self, ctx: Context, after: str = "") -> None:
        """The couriers and where they stand. With a user id: those that come after it."""
        await self._list_couriers(ctx, list(CourierState), after)

    @command("couriers pending", help=_("Couriers who wait for your approval"), permission=Role.OPERATOR)
    async def pending_couriers(self, ctx: Context, after: str = "") -> None:
        """Who has applied and waits."""
        await self._list_couriers(ctx, [CourierState.APPLIED], after)

    async def _list_couriers(self, ctx: Context, states: list[CourierState], after: str) -> None:
        if self.couriers_elsewhere(ctx):
            return
        found = await self.pool.couriers(ctx, states, PAGE + 1, after)
        lines = [
            ctx.t(
                "{person}: {name}, {vehicle}: {state}",
                person=each.person,
                name=each.name,
                vehicle=each.vehicle,
                state=ctx.t(COURIER_WORDS[each.state]),
            )
            for each in found[:PAGE]
        ]
        if len(found) > PAGE:
            lines.append(ctx.t("For more: “couriers {person}”", person=found[PAGE - 1].person))
        ctx.say("\n".join(lines) if lines else ctx.t("There are none."))

    @command("couriers approve", help=_("Let somebody bring orders"), permission=Role.OPERATOR)
    async def approve_courier(self, ctx: Context, person: UserID) -> None:
        """Let somebody bring orders."""
        await self._decide_courier(ctx, str(person), CourierAction.APPROVE, "")

    @command("couriers reject", help=_("Turn somebody down who wants to bring orders"), permission=Role.OPERATOR)
    async def reject_courier(self, ctx: Context, person: UserID, reason: Rest = "") -> None:
        """Turn somebody down, with a reason that they are told."""
        await self._decide_courier(ctx, str(person), CourierAction.REJECT, reason)

    @command("couriers suspend", help=_("Have a courier bring nothing for now"), permission=Role.OPERATOR)
    async def suspend_courier(self, ctx: Context, person: UserID, reason: Rest = "") -> None:
        """Offer a courier no more trips until they are reinstated. One that they have is still theirs to bring."""
        await self._decide_courier(ctx, str(person), CourierAction.SUSPEND, reason)

    @command("couriers reinstate", help=_("Let a suspended courier bring orders again"), permission=Role.OPERATOR)
    async def reinstate_courier(self, ctx: Context, person: UserID) -> None:
        """Let a suspended courier bring orders again."""
        await self._decide_courier(ctx, str(person), CourierAction.REINSTATE, "")

    async def _decide_courier(self, ctx: Context, person: str, action: CourierAction, reason: str) -> None:
        if self.couriers_elsewhere(ctx):
            return
        courier = await self.pool.courier(ctx, person)
        if courier is None:
            ctx.say(ctx.t("{person} has not asked to be a courier.", person=person))
            return
        reason = " ".join(reason.split())[:REASON_MAX]
        if action in {CourierAction.REJECT, CourierAction.SUSPEND} and not reason:
            ctx.say(ctx.t("Please say why: they are told."))
            return
        try:
            after = self.pool.act(ctx, courier, action)
        except CourierError:
            state = ctx.t(COURIER_WORDS[courier.state])
            ctx.say(ctx.t("That is not possible: {person} is {state}.", person=person, state=state))
            return
        say = await self.desk_words_of(ctx, person)
        ctx.say(_decided(say, action, reason), room_id=await own_chat(ctx, person), notice=False)
        details = {"reason": reason} if reason else {}
        self.desk_audited(ctx, f"courier.{action.value}", f"courier:{person}", "done", **details)
        ctx.say(ctx.t("{person}: {state}", person=person, state=ctx.t(COURIER_WORDS[after.state])))


def _decided(say: Translator, action: CourierAction, reason: str) -> str:
    """What a courier hears of it."""
    if action is CourierAction.APPROVE:
        return say.t("You may bring orders now! Write “online” when you want trips.")
    if action is CourierAction.REJECT:
        return say.t("You were not accepted as a courier: {reason}", reason=reason)
    if action is CourierAction.SUSPEND:
        return say.t("You are suspended as a courier for now: {reason}", reason=reason)
    return say.t("You may bring orders again. Write “online” when you want trips.")
