"""What a merchant says of themselves, and closing down."""

from __future__ import annotations

from dataclasses import replace

from bots.commerce.desk.base import DeskBase, refused
from bots.commerce.desk.signup import described, read_minutes, read_tags
from bots.domain.merchants import Merchant, MerchantAction, MerchantError, Staff
from bots.framework import Context, Dialog, InvalidValue, Rest, command, dialog
from bots.framework.i18n import _


class Profile(DeskBase):
    """The commands about a merchant themselves, for the plugin to inherit."""

    @command("about", help=_("Staff room: what you say of yourselves: about Family-run since 1980"), hidden=True)
    async def desk_about(self, ctx: Context, words: Rest = "") -> None:
        """Show what you are to customers, or say it in a line or two; “about -” takes it away."""
        merchant = await self.at_desk(ctx, Staff.MANAGER if words else Staff.CLERK)
        if merchant is None:
            return
        if not words:
            lines = described(merchant, ctx.translator)
            ctx.say("\n".join([*lines, *([merchant.description] if merchant.description else [])]))
            return
        try:
            after = replace(merchant, description="" if words.strip() == "-" else words.strip())
        except MerchantError as error:
            ctx.say(refused(error, ctx))
            return
        self._desk_changed(ctx, merchant, after)

    @command("tags", help=_("Staff room: what you sell, in words that people search: tags pizza, pasta"), hidden=True)
    async def desk_tags(self, ctx: Context, words: Rest) -> None:
        """What you sell, in a few words with commas: people find you by them."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        try:
            after = replace(merchant, tags=read_tags(words))
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        self._desk_changed(ctx, merchant, after)

    @command("minutes", help=_("Staff room: how long an order usually takes: minutes 25"), hidden=True)
    async def desk_minutes(self, ctx: Context, words: Rest) -> None:
        """How many minutes it usually takes until an order is ready: what “accept” says where you say nothing else."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        try:
            after = replace(merchant, prepare=read_minutes(words))
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        self._desk_changed(ctx, merchant, after)

    def _desk_changed(self, ctx: Context, before: Merchant, after: Merchant) -> None:
        self.desk.sellers.change(ctx, before, after)
        ctx.say(ctx.t("Changed: {name}", name=after.name))

    @command("close down", help=_("Staff room: sell nothing here any more, for good"), hidden=True)
    async def desk_close_down(self, ctx: Context) -> None:
        """Sell nothing here any more, for good. Orders that are there go on, and what you have can be paid out."""
        merchant = await self.at_desk(ctx, Staff.OWNER)
        if merchant is not None:
            ctx.start(self.desk_closing_down, merchant.id, merchant.name)

    @dialog
    async def desk_closing_down(self, d: Dialog, merchant_id: str, name: str) -> None:
        """Whether that is meant."""
        if not await d.confirm(d.t("Close {merchant} down for good? “pause” would do for a while.", merchant=name)):
            await d.end(d.t("{merchant} stays.", merchant=name))
        await d.end(await d.do("close", self._desk_close, merchant_id))

    async def _desk_close(self, ctx: Context, merchant_id: str) -> str:
        merchant = await self.desk.sellers.get(ctx, merchant_id)
        if merchant is None or not await self.desk_may(ctx, merchant, ctx.sender, Staff.OWNER):
            return ctx.t("There is no such merchant any more.")
        try:
            self.desk.sellers.act(ctx, merchant, MerchantAction.CLOSE)
        except MerchantError as error:
            return refused(error, ctx)
        self.desk_audited(ctx, "merchant.close", f"merchant:{merchant.id}", "done", slug=merchant.slug)
        return ctx.t("{merchant} is closed. Thank you for all that you have sold.", merchant=merchant.name)
