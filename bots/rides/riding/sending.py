"""Parcels: a courier fetches something here and hands it over there, for a person and not for a bot that sells."""

from __future__ import annotations

from dataclasses import replace

from bots.domain.trips import Trip, TripKind
from bots.framework import Context, Dialog, InvalidValue, command, dialog
from bots.framework.i18n import _
from bots.rides.pages.share import Exact
from bots.rides.riding.ordering import NAME_MAX, ORDER_WITHIN, Draft, Ordering, read_note
from bots.rides.riding.sharing import Sharing
from bots.rides.riding.texts import pin_words

__all__ = ["Sending"]


class Sending(Ordering, Sharing):
    """Parcels, for the plugin to inherit."""

    @command("send", help=_("Have something brought: send"), aliases=("parcel", "courier for me"))
    async def send_parcel(self, ctx: Context) -> None:
        """Have a courier bring something from one place to another. You get a PIN for the pickup, one for who receives
        it, and a link on which they see where it is."""
        if not await self.private(ctx) or not await self.may_order(ctx):
            return
        if not any(each.courier for each in self.fleet.tariff.classes.values()):
            ctx.say(ctx.t("Nobody brings parcels here."))
            return
        ctx.start(self.sending, Draft(TripKind.COURIER))

    @dialog(timeout=ORDER_WITHIN)
    async def sending(self, d: Dialog, draft: Draft) -> None:
        """From what to bring to the order."""
        draft = replace(draft, pickup=await self.ask_place(d, d.t("Where is it fetched?")))
        draft = replace(draft, dropoff=await self.ask_place(d, d.t("Where is it brought?"), draft.pickup))
        name = await d.ask(d.t("Who receives it? The courier asks for this name."), parse=recipient)
        question = d.t("What is it, and how is the door found? “-” means nothing of that.")
        draft = replace(draft, passenger=name, note=await d.ask(question, parse=read_note))
        await self.price_and_order(d, draft)

    async def ordered(self, ctx: Context, trip: Trip) -> None:
        """Tell the sender of a parcel its PINs, and the link for who receives it."""
        await super().ordered(ctx, trip)
        if trip.kind is not TripKind.COURIER:
            return
        lines = [pin_words(ctx.translator, trip)] if trip.pin else []
        if trip.dropoff_pin:
            lines.append(
                ctx.t(
                    "{name} tells the courier this PIN when it is handed over: {pin}. Please pass it on.",
                    name=trip.passenger,
                    pin=trip.dropoff_pin,
                )
            )
        if self.door is not None:
            url = self.link_to(ctx, trip, Exact.DROPOFF)
            lines.append(ctx.t("Where it is, for {name}: {link}", name=trip.passenger, link=url))
        if lines:
            ctx.say("\n".join(lines))


def recipient(text: str) -> str:
    """The name of who receives something. Raises InvalidValue."""
    name = " ".join(text.split())
    if not 1 <= len(name) <= NAME_MAX or not name.isprintable() or not any(each.isalpha() for each in name):
        raise InvalidValue("riding.recipient", _("A name has 1 to {most} letters."), clear=True, most=NAME_MAX)
    return name
