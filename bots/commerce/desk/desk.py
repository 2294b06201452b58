"""The merchant's side of a bot that sells, as one piece for its plugin to inherit."""

from __future__ import annotations

from dataclasses import replace

from bots.commerce import telling
from bots.commerce.desk.approval import Approval
from bots.commerce.desk.base import Desks, DeskSettings
from bots.commerce.desk.cards import show_card
from bots.commerce.desk.crew import Crew
from bots.commerce.desk.deliveries import Deliveries
from bots.commerce.desk.extras import Extras
from bots.commerce.desk.handling import Handling
from bots.commerce.desk.importing import Importing
from bots.commerce.desk.offers import Offers
from bots.commerce.desk.payouts import Payouts
from bots.commerce.desk.pictures import Pictures
from bots.commerce.desk.price_listing import PriceListing
from bots.commerce.desk.profile import Profile
from bots.commerce.desk.reports import Reports
from bots.commerce.desk.times import Times
from bots.commerce.telling import Happened
from bots.domain.orders import Action
from bots.framework import Context, command
from bots.framework.handlers import mark_of
from bots.framework.i18n import _

__all__ = ["Desk", "DeskSettings", "Desks"]


class Desk(
    Approval, Crew, Deliveries, Extras, Handling, Importing, Offers, Payouts, Pictures, PriceListing, Profile, Reports,
    Times,
):  # fmt: skip
    """Everything that merchants, their staff and operators do in chat.

    A plugin inherits it beside the buyer's side and calls :meth:`open_desk` in its constructor. It has one handler of
    each kind that both sides need, and asks the desk first: ``if await self.at_the_desk(ctx): return`` in its
    ``@message`` and ``@media``, :meth:`reacted_at_the_desk` in its ``@reaction``, :meth:`desk_orders` and
    :meth:`desk_order` in its commands ``orders`` and ``order``, :meth:`desk_cases` in ``cases``.
    """

    def open_desk(self, desk: Desks) -> None:
        """Begin: cards of new orders go to the staff rooms."""
        self.desk = desk
        desk.orders.tell = self.desk_tell
        desk.cases.hooks.append(self.desk_case_told)

    async def desk_tell(self, ctx: Context, what: Happened) -> None:
        """Tell buyer and staff of what happened to an order; a new one comes into the staff room as a card."""
        merchant = what.merchant
        if what.action is not Action.PAY or not merchant.room_id:
            await telling.tell(ctx, what)
            return
        await telling.tell(ctx, replace(what, merchant=replace(merchant, room_id="")))
        words = telling.staff_words(ctx, merchant)
        await show_card(ctx, what.after, merchant.room_id, words, words.t(telling.TOLD[Action.PAY].staff), rings=True)

    async def at_the_desk(self, ctx: Context) -> bool:
        """Whether a message was said or sent in a staff room: then the desk has answered it, or it is talk among the
        staff that nobody need answer."""
        merchant = await self.desk_of(ctx)
        if merchant is None:
            return False
        msgtype = ctx.content.get("msgtype")
        if msgtype == "m.image":
            if not await self.desk_picture(ctx, merchant) and ctx.addressed:
                ctx.say(ctx.t("For a product's picture write its name as the caption, or first “photo” and the name."))
        elif msgtype == "m.file":
            await self.desk_file(ctx, merchant)
        elif msgtype in {"m.text", "m.emote"} and not await self.desk_said(ctx, merchant) and ctx.addressed:
            ctx.decline()
        return True

    async def reacted_at_the_desk(self, ctx: Context, key: str, event_id: str) -> bool:
        """Whether a reaction was in a staff room; the desk has answered it."""
        merchant = await self.desk_of(ctx)
        if merchant is None:
            return False
        await self.desk_reacted(ctx, merchant, key, event_id)
        return True

    @command("desk", help=_("Staff room: all that you can do here"), hidden=True)
    async def desk_help(self, ctx: Context) -> None:
        """All that the staff can do in their room."""
        if await self.at_desk(ctx) is None:
            return
        lines = [ctx.t("What you can do here. “help” and a command tells more.")]
        for name in dir(type(self)):
            mark = mark_of(getattr(type(self), name, None))
            if mark is not None and mark.kind == "command" and mark.hidden and name.startswith("desk_"):
                words = ctx.t(mark.help)
                lines.append(f"• {mark.name} — {words.partition(': ')[2] or words}")
        lines += [
            f"• orders — {ctx.t('The orders that wait for you')}",
            f"• order — {ctx.t('One order, with all that you can do')}",
            f"• cases — {ctx.t('Complaints and returns')}",
        ]
        ctx.say("\n".join([lines[0], *sorted(lines[1:])]))
