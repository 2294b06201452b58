"""The address book in conversation: where something goes is picked from it, or said and kept in it."""

from __future__ import annotations

from typing import Final

from bots.commerce.addresses import Address, AddressRefused
from bots.commerce.buying.base import OFFERED, ROUNDS, Buyer
from bots.commerce.buying.places import read_address
from bots.commerce.buying.words import explain, joined, sentence, short
from bots.commerce.hand import Reader
from bots.domain.places import TEXT_MAX, Place, PlaceError
from bots.framework import Context, Dialog, Option, command, dialog
from bots.framework.i18n import _

ANOTHER: Final = "another"
NOTHING: Final = "-"


class Addressing(Buyer):
    """Addresses, for the plugin to inherit."""

    # Where to

    async def choose_place(self, d: Dialog, question: str, *, point: bool = False) -> Place:
        """Where to: a saved address, or one that is told now, and kept if they like.

        Args:
            question: what is asked.
            point: whether it has to be known where that is on the earth.
        """
        known = await self.look(d, "addresses", self._known, d.person)
        if point:
            known = [each for each in known if each.place.point is not None]
        if known:
            options = [Option(each.id, each.name, short(each.place.text, 150)) for each in known]
            options.append(Option(ANOTHER, d.t("Another address")))
            picked = (await d.choose(question, options)).value
            if picked != ANOTHER:
                return next(each.place for each in known if each.id == picked)
        place = await self._told_place(d, question, point=point)
        options = [Option("keep", d.t("Keep this address"), key="💾"), Option("once", d.t("Only this time"))]
        if (await d.choose(short(place.text, 300), options)).value == "keep":
            await self._keep(d, place)
        return place

    async def _known(self, reader: Reader, person: str) -> list[Address]:
        return await self.market.addresses.list(reader, person)

    async def _told_place(self, d: Dialog, question: str, *, point: bool) -> Place:
        while True:
            how = d.t("Share a location, or write the address.")
            if point:
                how = d.t("Please share its location, or write its coordinates.")
            place = await d.ask(joined([question, how], " "), parse=read_address)
            if place.point is None and point:
                continue
            if place.point is None:
                return place
            words = await d.ask(
                d.t("How is it found: street, number, floor, name on the door? “-” means nothing of that."),
                parse=_door,
            )
            return Place(words, place.point) if words else place

    async def _keep(self, d: Dialog, place: Place) -> None:
        while True:
            name = await d.ask(d.t("Under which name?"), parse=_name)
            refusal = await d.do("keep", self._add_address, name, place)
            if not refusal:
                return
            await d.say(refusal)

    async def _add_address(self, ctx: Context, name: str, place: Place) -> str:
        try:
            await self.market.addresses.add(ctx, ctx.sender, name, place)
        except AddressRefused as error:
            return sentence(ctx.translator, error)
        return ""

    # The book

    @command("addresses", help=_("Show and change your addresses"), aliases=("address",))
    async def address_book(self, ctx: Context) -> None:
        """Show the addresses that I keep for you: add one, rename it, make it the usual one, or have it forgotten."""
        if await self.private(ctx):
            ctx.start(self.addresses_at_hand)

    @dialog(timeout=OFFERED)
    async def addresses_at_hand(self, d: Dialog) -> None:
        """The book, and what to do about an address."""
        for _round in range(ROUNDS):
            await self.stored(d)
            known = await d.do("addresses", self._own)
            options = [Option(each.id, each.name, short(each.place.text, 150)) for each in known]
            options.append(Option(ANOTHER, d.t("Add an address")))
            question = d.t("Your addresses:") if known else d.t("I keep no address for you yet.")
            picked = (await d.choose(question, options)).value
            if picked == ANOTHER:
                await self._keep(d, await self._told_place(d, d.t("Where is it?"), point=False))
                await d.say(d.t("Kept."))
                continue
            await self._change_address(d, next(each for each in known if each.id == picked))
        await d.end()

    async def _own(self, ctx: Context) -> list[Address]:
        return await self.market.addresses.list(ctx, ctx.sender)

    async def _change_address(self, d: Dialog, address: Address) -> None:
        options = [Option("rename", d.t("Rename it"))]
        if not address.usual:
            options.append(Option("usual", d.t("Make it the usual one"), key="⭐"))
        options += [Option("drop", d.t("Forget it"), key="🗑️"), Option("back", d.t("Back to the list"), key="⬅️")]
        what = (await d.choose(joined([address.name, short(address.place.text, 400)], "\n"), options)).value
        name = await d.ask(d.t("Under which name?"), parse=_name) if what == "rename" else ""
        if what != "back":
            await d.say(await d.do(what, self._do_address, address.id, what, name))

    async def _do_address(self, ctx: Context, address_id: str, what: str, name: str) -> str:
        address = next((each for each in await self._own(ctx) if each.id == address_id), None)
        if address is None:
            return ctx.t("I do not keep this address any more.")
        try:
            if what == "rename":
                await self.market.addresses.rename(ctx, address, name)
            elif what == "usual":
                await self.market.addresses.make_usual(ctx, address)
            else:
                self.market.addresses.drop(ctx, address)
        except AddressRefused as error:
            return sentence(ctx.translator, error)
        return ctx.t("Forgotten.") if what == "drop" else ctx.t("Changed.")


def _name(text: str) -> str:
    return " ".join(text.split())


def _door(text: str) -> str:
    words = " ".join(text.split())
    if len(words) > TEXT_MAX:
        raise explain(PlaceError("place.text", most=TEXT_MAX))
    return "" if words == NOTHING else words
