"""Who works for a merchant."""

from __future__ import annotations

from bots.commerce.desk.base import RANKS, ROLES, DeskBase
from bots.domain.merchants import Merchant, Staff
from bots.framework import Context, UserID, command, member
from bots.framework.i18n import _

MOST = 50
"""People who work for one merchant."""


class Crew(DeskBase):
    """The commands about staff, for the plugin to inherit."""

    @command("staff", help=_("Staff room: who works here"), hidden=True)
    async def desk_staff(self, ctx: Context) -> None:
        """Who works for the merchant, and as what."""
        merchant = await self.at_desk(ctx)
        if merchant is None:
            return
        people = await self.desk.sellers.staff(ctx, merchant.id)
        lines = [
            ctx.t("{person}: {role}", person=person, role=ctx.t(ROLES[role]))
            for person, role in sorted(people.items(), key=lambda each: (RANKS.index(each[1]), each[0]))
        ]
        ctx.say("\n".join(lines))

    @command("staff add", help=_("Staff room: have somebody work here: staff add @bob manager"), hidden=True)
    async def desk_hire(self, ctx: Context, person: UserID, role: Staff = Staff.CLERK) -> None:
        """Have somebody work here, as clerk (handles orders), manager (also catalogue, hours, refunds) or owner (also
        gets the money). They are invited into this room. Managers add clerks; owners add anybody."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        who = str(person)
        people = await self.desk.sellers.staff(ctx, merchant.id)
        if not self._desk_over(people[ctx.sender], role, people.get(who)):
            ctx.say(ctx.t("Only an owner may do that."))
        elif who == ctx.user_id or len(people) >= MOST:
            ctx.say(ctx.t("That is not possible."))
        elif people.get(who) is role:
            ctx.say(ctx.t("{person} is {role} already.", person=who, role=ctx.t(ROLES[role])))
        elif self._desk_last_owner(people, who):
            ctx.say(ctx.t("A merchant has an owner: make somebody else one first."))
        else:
            self.desk.sellers.hire(ctx, merchant.id, who, role)
            if (await ctx.members()).get(who) not in {"join", "invite"}:
                ctx.invite(who)
            self._desk_noted(ctx, merchant, "hire", who, role=role.value)
            ctx.say(ctx.t("{person} works here now, as {role}.", person=who, role=ctx.t(ROLES[role])))

    @command("staff remove", help=_("Staff room: have somebody work here no longer"), hidden=True)
    async def desk_dismiss(self, ctx: Context, person: UserID) -> None:
        """Have somebody work here no longer; they are taken out of this room."""
        merchant = await self.at_desk(ctx)
        if merchant is None:
            return
        who = str(person)
        people = await self.desk.sellers.staff(ctx, merchant.id)
        role = people.get(who)
        if role is None:
            ctx.say(ctx.t("{person} does not work here.", person=who))
        elif who != ctx.sender and not self._desk_over(people[ctx.sender], role, role):
            ctx.say(ctx.t("Only who is {role} or above may do that here.", role=ctx.t(ROLES[Staff.MANAGER])))
        elif self._desk_last_owner(people, who):
            ctx.say(ctx.t("A merchant has an owner: make somebody else one first."))
        else:
            self.desk.sellers.dismiss(ctx, merchant.id, who)
            if (await ctx.members()).get(who) in {"join", "invite"}:
                ctx.set_state("m.room.member", {"membership": "leave"}, who)
            self._desk_noted(ctx, merchant, "dismiss", who)
            ctx.say(ctx.t("{person} works here no longer.", person=who))

    @member
    async def desk_member(self, ctx: Context, user_id: str, membership: str) -> None:
        """Somebody is in the staff room who does not work here: they read what stands there, so the staff is told."""
        if membership != "join":
            return
        merchant = await self.desk_of(ctx)
        if merchant is None or user_id not in await ctx.humans():
            return
        if user_id not in await self.desk.sellers.staff(ctx, merchant.id):
            words = self.desk_words_for(ctx, merchant)
            ctx.say(
                words.t(
                    "{person} is in this room and does not work here: they can read your orders. “staff add” makes "
                    "them one of yours.",
                    person=user_id,
                )
            )

    def _desk_over(self, mine: Staff, wanted: Staff, there: Staff | None) -> bool:
        """Whether somebody of a role may give and take another: managers have a say over clerks only."""
        if mine is Staff.OWNER:
            return True
        return mine is Staff.MANAGER and wanted is Staff.CLERK and there in {None, Staff.CLERK}

    def _desk_last_owner(self, people: dict[str, Staff], who: str) -> bool:
        return people.get(who) is Staff.OWNER and sum(role is Staff.OWNER for role in people.values()) == 1

    def _desk_noted(self, ctx: Context, merchant: Merchant, action: str, who: str, **details: str) -> None:
        self.desk_audited(ctx, f"merchant.{action}", who, "done", merchant=merchant.id, **details)
