"""Ordering together: what people say in the room, or alone with the bot."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from bots.commerce.buying.browsing import SHELVES, Where
from bots.commerce.buying.carts import Added, Edit
from bots.commerce.page.door import Paged
from bots.domain.carts import CartLine
from bots.domain.group_orders import ACTIVE, GroupError, GroupState
from bots.domain.merchants import MerchantState
from bots.domain.orders import OrderRefused
from bots.food.groups import texts
from bots.food.groups.book import Stored
from bots.food.groups.checkout import GroupCheckout
from bots.food.groups.service import DEADLINE, owner_of
from bots.framework import Context, Dialog, Rest, command, dialog, every, member, payment_changed, timer
from bots.framework.i18n import _
from bots.framework.payment_changes import PaymentChange

__all__ = ["Grouping"]

MINUTES: Final = (15, 30, 60, 120)
"""How long everybody can add, as the host chooses."""
GROUP: Final = "group:"


class Grouping(GroupCheckout, Paged):
    """For the plugin to inherit. Its constructor sets :attr:`groups` and :attr:`market`."""

    # Beginning

    @command("group order", help=_("Order together in this room: group order RESTAURANT"))
    async def group_order(self, ctx: Context, restaurant: Rest = "") -> None:
        """Begin an order of everybody in this room at one restaurant. Each adds their own; then one pays, or each pays
        their share."""
        if await self._group_alone(ctx):
            ctx.say(ctx.t("Please write that in a group in which you and I are: everybody there can order with you."))
            return
        stored = await self.groups.book.of_room(ctx, ctx.room_id)
        if stored is not None:
            ctx.say(
                ctx.t("There is a group order already:")
                + "\n"
                + await self.groups.card(ctx, stored.group, ctx.translator)
            )
            return
        found = await self._group_restaurants(ctx, restaurant)
        if not found:
            ctx.say(ctx.t("I know no restaurant “{name}” that is open for orders.", name=restaurant[:60]))
            return
        ctx.start(self.begin_group, found)

    async def _group_alone(self, ctx: Context) -> bool:
        return len(await ctx.humans()) <= 1

    async def _group_restaurants(self, ctx: Context, name: str) -> dict[str, str]:
        """Names and ids of those that may be meant."""
        wanted = " ".join(name.casefold().split())
        exact = await self.market.sellers.by_slug(ctx, wanted.replace(" ", "-")) if wanted else None
        if exact is not None and exact.state is MerchantState.ACTIVE:
            return {exact.name: exact.id}
        listed = await self.market.sellers.list(ctx, [MerchantState.ACTIVE], limit=500)
        return {each.name: each.id for each in listed if wanted in each.name.casefold()}

    @dialog
    async def begin_group(self, d: Dialog, found: dict[str, str]) -> None:
        """Which restaurant, and until when."""
        merchant_id = next(iter(found.values()))
        if len(found) > 1:
            merchant_id = await d.choose(d.t("Which restaurant?"), found)
        labels = {d.n("{count} minute", "{count} minutes", each): each for each in MINUTES}
        minutes = await d.choose(d.t("How long can everybody add?"), labels)
        await d.do("begin", self._group_begins, merchant_id, minutes)

    async def _group_begins(self, ctx: Context, merchant_id: str, minutes: int) -> None:
        if await self.groups.book.of_room(ctx, ctx.room_id) is not None:
            ctx.say(ctx.t("There is a group order already: “!group” shows it."))
            return
        merchant = await self.market.sellers.get(ctx, merchant_id)
        if merchant is None or merchant.state is not MerchantState.ACTIVE:
            ctx.say(ctx.t("This restaurant takes no orders now."))
            return
        until = ctx.now() + timedelta(minutes=minutes)
        await self.groups.begin(ctx, ctx.room_id, merchant, ctx.sender, until)
        ctx.say(
            ctx.t(
                "We order together at {merchant}, until {time}. “!add” shows the menu, “!mine” what you have, “!done” "
                "says that you have all you want. Each can also write “add” to me alone. {host} closes it by “!close”.",
                merchant=merchant.name,
                time=until,
                host=await ctx.display_name(),
            )
        )

    # Adding

    @command("add", help=_("Add to the group order"))
    async def group_add(self, ctx: Context) -> None:
        """See the menu of the group order, and put something of it into your part."""
        stored = await self._group_of(ctx)
        if stored is not None:
            where = Where(SHELVES, stored.group.merchant)
            ctx.start(self.browsing, where, owner_of(stored.group.room_id), ctx.sender)

    @command("mine", help=_("See and change what you have in the group order"))
    async def group_mine(self, ctx: Context) -> None:
        """See what you have in the group order; pick a line to change it."""
        stored = await self._group_of(ctx)
        if stored is not None:
            ctx.start(self.cart_at_hand, owner_of(stored.group.room_id), ctx.sender)

    @command("done", help=_("You have all you want of the group order"))
    async def group_done(self, ctx: Context) -> None:
        """Say that you have all you want; the host sees it."""
        stored = await self._group_of(ctx)
        if stored is None:
            return
        group = stored.group
        try:
            everybody = await self.groups.finished(ctx, stored, ctx.sender)
        except GroupError as error:
            ctx.say(texts.sentence(ctx.translator, error))
            return
        names = await self.groups.names(ctx, group, [ctx.sender, group.host])
        say = await self.groups.words(ctx, group)
        lines = [say.t("{person} has all they want.", person=names[ctx.sender])]
        if everybody:
            lines.append(say.t("Everybody has. {host}, “!close” orders it.", host=names[group.host]))
        ctx.say("\n".join(lines), room_id=group.room_id)
        if ctx.room_id != group.room_id:
            ctx.say(ctx.t("Noted."))

    async def _group_of(self, ctx: Context) -> Stored | None:
        """The open group order that somebody means: of this room, or alone with the bot of one that they are in."""
        if not await self._group_alone(ctx):
            stored = await self.groups.book.of_room(ctx, ctx.room_id)
            if stored is None:
                ctx.say(ctx.t("There is no group order here. “!group order” and a restaurant begins one."))
            return stored
        found = await self.groups.of_person(ctx, ctx.sender)
        if not found:
            ctx.say(ctx.t("There is no open group order in a room that you and I are in."))
            return None
        return found[-1]

    async def put_in(self, ctx: Context, owner: str, lines: Sequence[CartLine]) -> Added:
        """Put lines into a cart; into that of a group only while it is open, and of its restaurant."""
        if not owner.startswith(GROUP):
            return await super().put_in(ctx, owner, lines)
        refusal, stored = await self._group_cart(ctx, owner)
        if stored is None:
            return Added((refusal,))
        if any(line.merchant != stored.group.merchant for line in lines):
            return Added((ctx.t("The group orders at another restaurant."),))
        added = await super().put_in(ctx, owner, lines)
        if added.labels and ctx.room_id != stored.group.room_id:
            say = await self.groups.words(ctx, stored.group)
            names = await self.groups.names(ctx, stored.group, [ctx.sender])
            text = say.t("{person} has added: {what}", person=names[ctx.sender], what=list(added.labels))
            ctx.say(text, room_id=stored.group.room_id)
        return added

    async def _apply(self, ctx: Context, owner: str, version: int, edit: Edit) -> str:
        if owner.startswith(GROUP):
            refusal, stored = await self._group_cart(ctx, owner)
            if stored is None:
                return refusal
        return await super()._apply(ctx, owner, version, edit)

    async def _take_back(self, ctx: Context, owner: str) -> str:
        if owner.startswith(GROUP):
            refusal, stored = await self._group_cart(ctx, owner)
            if stored is None:
                return refusal
        return await super()._take_back(ctx, owner)

    async def _group_cart(self, ctx: Context, owner: str) -> tuple[str, Stored | None]:
        """The open order whose cart it is; otherwise why nothing of it changes."""
        stored = await self.groups.book.of_room(ctx, owner.removeprefix(GROUP))
        if stored is None:
            return ctx.t("This group order is over."), None
        try:
            await self.groups.adding(ctx, stored, ctx.sender)
        except GroupError as error:
            return texts.sentence(ctx.translator, error), None
        return "", stored

    async def page_changed(self, ctx: Context, owner: str) -> None:
        """The room sees what it orders once somebody has changed it on the page."""
        if not owner.startswith(GROUP):
            await super().page_changed(ctx, owner)
            return
        stored = await self.groups.book.of_room(ctx, owner.removeprefix(GROUP))
        if stored is not None:
            say = await self.groups.words(ctx, stored.group)
            names = await self.groups.names(ctx, stored.group, [ctx.sender])
            lead = say.t("{person} has changed it on the page.", person=names[ctx.sender])
            ctx.say(f"{lead}\n{await self.groups.card(ctx, stored.group, say)}", room_id=stored.group.room_id)

    # Closing

    @command("group", help=_("Show the group order"))
    async def group_show(self, ctx: Context) -> None:
        """Show who has what in the group order of this room."""
        stored = await self._group_of(ctx)
        if stored is not None:
            ctx.say(await self.groups.card(ctx, stored.group, ctx.translator))

    @command("close", help=_("Close the group order, and order it"), aliases=("group close",))
    async def group_close(self, ctx: Context) -> None:
        """Close the group order that you have begun: I ask you alone where to, when and who pays."""
        stored = await self._group_hosted(ctx)
        if stored is None:
            return
        try:
            if stored.group.state is GroupState.CLOSED:
                await self.groups.ask_again(ctx, stored.group)
            else:
                await self.groups.close(ctx, stored)
        except GroupError as error:
            ctx.say(texts.sentence(ctx.translator, error))
            return
        ctx.say(ctx.t("Nobody can add any more. I ask {host} for the rest in our own chat.",
                      host=await ctx.display_name(stored.group.host)))  # fmt: skip

    @command("group cancel", help=_("Call the group order off"))
    async def group_cancel(self, ctx: Context) -> None:
        """Call off the group order that you have begun. What anybody has paid goes back."""
        stored = await self._group_hosted(ctx)
        if stored is None:
            return
        try:
            await self.groups.cancel(ctx, stored, ctx.sender)
        except GroupError as error:
            ctx.say(texts.sentence(ctx.translator, error))
        except OrderRefused as error:
            ctx.say(ctx.t(error.msgid, **{**error.values, "state": ctx.t(str(error.values.get("state", "")))}))

    async def _group_hosted(self, ctx: Context) -> Stored | None:
        """The room's group order, if the person may decide of it; otherwise None, and they are told."""
        if await self._group_alone(ctx):
            mine = await self.groups.book.in_states(ctx, ACTIVE, 100)
            stored = next((each for each in mine if each.group.host == ctx.sender), None)
        else:
            stored = await self.groups.book.of_room(ctx, ctx.room_id)
        if stored is None:
            ctx.say(ctx.t("There is no group order here. “!group order” and a restaurant begins one."))
            return None
        try:
            stored.group.by_host(ctx.sender)
        except GroupError as error:
            names = await self.groups.names(ctx, stored.group, [stored.group.host])
            ctx.say(texts.sentence(ctx.translator, error, names))
            return None
        return stored

    @member
    async def group_member(self, ctx: Context, user_id: str, membership: str) -> None:
        """Somebody has left a room that orders together."""
        if membership in {"leave", "ban"}:
            stored = await self.groups.book.of_room(ctx, ctx.room_id)
            if stored is not None:
                await self.groups.left(ctx, stored, user_id)

    # By itself

    @timer(DEADLINE)
    async def group_deadline(self, ctx: Context, data: dict[str, Any]) -> None:
        """The time to add, or to order what was closed, is over."""
        stored = await self.groups.book.get(ctx, data["group"])
        if stored is not None:
            await self.groups.deadline(ctx, stored)

    @payment_changed
    async def share_changed(self, ctx: Context, change: PaymentChange) -> None:
        """The payment of a share has changed in the wallet: its order is looked at."""
        if change.about == "state":
            await self.groups.payment_changed(ctx, change.payment)

    @every(timedelta(minutes=1))
    async def sweep_groups(self, ctx: Context) -> None:
        """Find deadlines that were forgotten."""
        await self.groups.sweep(ctx)
