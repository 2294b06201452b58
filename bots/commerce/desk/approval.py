"""What operators decide about merchants; every decision is in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bots.commerce.desk.base import PAGE, DeskBase, refused
from bots.commerce.desk.signup import described
from bots.domain.merchants import WORDS, Merchant, MerchantAction, MerchantError, MerchantState, advance
from bots.framework import Context, Rest, command
from bots.framework.i18n import Translator, _
from bots.framework.own_chat import own_chat
from bots.framework.permissions import Role

REASON_MAX = 300


class Approval(DeskBase):
    """The operators' commands, for the plugin to inherit."""

    @command("merchants", help=_("The merchants here"), permission=Role.OPERATOR)
    async def desk_merchants(self, ctx: Context, after: str = "") -> None:
        """The merchants and where they stand. With a short name: those that come after it."""
        await self._desk_list(ctx, list(MerchantState), after)

    @command("merchants pending", help=_("Merchants that wait for your approval"), permission=Role.OPERATOR)
    async def desk_pending(self, ctx: Context, after: str = "") -> None:
        """Who has applied and waits."""
        await self._desk_list(ctx, [MerchantState.APPLIED], after)

    async def _desk_list(self, ctx: Context, states: list[MerchantState], after: str) -> None:
        last = await self.desk.sellers.by_slug(ctx, after.strip().lower()) if after else None
        found = await self.desk.sellers.list(ctx, states, after="" if last is None else last.id, limit=PAGE + 1)
        lines = [
            ctx.t(
                "{name} ({slug}), of {owner}: {state}",
                name=merchant.name,
                slug=merchant.slug,
                owner=merchant.owner,
                state=ctx.t(WORDS[merchant.state]),
            )
            for merchant in found[:PAGE]
        ]
        if len(found) > PAGE:
            lines.append(ctx.t("For more: “merchants {slug}”", slug=found[PAGE - 1].slug))
        ctx.say("\n".join(lines) if lines else ctx.t("There are none."))

    @command("merchants show", help=_("What a merchant is"), permission=Role.OPERATOR)
    async def desk_show_merchant(self, ctx: Context, slug: str) -> None:
        """All that a merchant has told of themselves."""
        merchant = await self._desk_named(ctx, slug)
        if merchant is not None:
            lines = [*described(merchant, ctx.translator), ctx.t("Owner: {person}", person=merchant.owner)]
            ctx.say("\n".join([*lines, ctx.t(WORDS[merchant.state])]))

    @command("merchants approve", help=_("Let a merchant sell"), permission=Role.OPERATOR)
    async def desk_approve_merchant(self, ctx: Context, slug: str) -> None:
        """Let a merchant sell. They get an encrypted room for their staff."""
        merchant = await self._desk_named(ctx, slug)
        if merchant is None:
            return
        try:
            after = advance(merchant, MerchantAction.APPROVE)
        except MerchantError as error:
            ctx.say(refused(error, ctx))
            return
        room_id = after.room_id or await ctx.create_room(
            merchant.name, [merchant.owner], purpose=f"staff/{merchant.id}", topic=ctx.t("Orders and catalogue")
        )
        after = replace(after, room_id=room_id)
        self.desk.sellers.change(ctx, merchant, after)
        say = self.desk_words_for(ctx, after)
        ctx.say(welcome(after, say), room_id=room_id)
        await self._desk_tell_owner(ctx, merchant, lambda say: say.t(
            "{merchant} may sell now! Orders and everything else are in the room “{merchant}”, to which I have invited "
            "you.", merchant=merchant.name))  # fmt: skip
        self._desk_decided(ctx, merchant, "approve")
        ctx.say(ctx.t("{merchant} may sell.", merchant=merchant.name))

    @command("merchants reject", help=_("Turn an applicant down"), permission=Role.OPERATOR)
    async def desk_reject_merchant(self, ctx: Context, slug: str, reason: Rest = "") -> None:
        """Turn an applicant down, with a reason that they are told."""
        await self._desk_decide(ctx, slug, MerchantAction.REJECT, reason)

    @command("merchants suspend", help=_("Have a merchant sell nothing for now"), permission=Role.OPERATOR)
    async def desk_suspend_merchant(self, ctx: Context, slug: str, reason: Rest = "") -> None:
        """Have a merchant sell nothing until they are reinstated. What was ordered is still theirs to deliver."""
        await self._desk_decide(ctx, slug, MerchantAction.SUSPEND, reason)

    @command("merchants reinstate", help=_("Let a suspended merchant sell again"), permission=Role.OPERATOR)
    async def desk_reinstate_merchant(self, ctx: Context, slug: str) -> None:
        """Let a suspended merchant sell again."""
        await self._desk_decide(ctx, slug, MerchantAction.REINSTATE, "")

    async def _desk_decide(self, ctx: Context, slug: str, action: MerchantAction, reason: str) -> None:
        merchant = await self._desk_named(ctx, slug)
        if merchant is None:
            return
        reason = " ".join(reason.split())[:REASON_MAX]
        if action in {MerchantAction.REJECT, MerchantAction.SUSPEND} and not reason:
            ctx.say(ctx.t("Please say why: the merchant is told."))
            return
        try:
            after = self.desk.sellers.act(ctx, merchant, action)
        except MerchantError as error:
            ctx.say(refused(error, ctx))
            return

        def sentence(say: Translator) -> str:
            if action is MerchantAction.REJECT:
                return say.t("{merchant} was not accepted: {reason}", merchant=merchant.name, reason=reason)
            if action is MerchantAction.SUSPEND:
                return say.t(
                    "{merchant} is suspended by the operator and sells nothing for now: {reason}",
                    merchant=merchant.name,
                    reason=reason,
                )
            return say.t("{merchant} may sell again.", merchant=merchant.name)

        await self._desk_tell_owner(ctx, merchant, sentence)
        if merchant.room_id:
            ctx.say(sentence(self.desk_words_for(ctx, merchant)), room_id=merchant.room_id, notice=False)
        self._desk_decided(ctx, merchant, action.value, reason=reason)
        ctx.say(ctx.t("{merchant}: {state}", merchant=merchant.name, state=ctx.t(WORDS[after.state])))

    async def _desk_tell_owner(self, ctx: Context, merchant: Merchant, sentence: Callable[[Translator], str]) -> None:
        """Tell the owner, in their own chat and language."""
        words = sentence(await self.desk_words_of(ctx, merchant.owner))
        ctx.say(words, room_id=await own_chat(ctx, merchant.owner), notice=False)

    def _desk_decided(self, ctx: Context, merchant: Merchant, action: str, **details: str) -> None:
        self.desk_audited(
            ctx, f"merchant.{action}", f"merchant:{merchant.id}", "done", slug=merchant.slug, owner=merchant.owner,
            **details,
        )  # fmt: skip

    async def _desk_named(self, ctx: Context, slug: str) -> Merchant | None:
        merchant = await self.desk.sellers.by_slug(ctx, slug.strip().lower())
        if merchant is None:
            ctx.say(ctx.t("There is no merchant “{slug}”.", slug=slug[:40]))
        return merchant


def welcome(merchant: Merchant, say: Translator) -> str:
    """What stands at the beginning of a staff room."""
    return say.t(
        "This is the staff room of {merchant}. Orders arrive here as cards: react, reply with a number, or write a "
        "command. Among several people begin commands with “!”. Begin with “add product”, or send a CSV or YAML file "
        "with your catalogue. “desk” shows all that you can do here, “staff add @somebody manager” brings in others.",
        merchant=merchant.name,
    )
