"""Where and how a merchant delivers, and for what."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final, TypeVar

from bots.commerce.desk.base import env_of, read_money, refused
from bots.commerce.desk.signup import Basis, SignUp, deliveries, kinds, read_where
from bots.domain.merchants import Merchant, MerchantError, Staff, Way
from bots.domain.places import Place, PlaceError, Zone
from bots.framework import Context, Dialog, InvalidValue, ParseEnv, Rest, command, dialog
from bots.framework.i18n import _

T = TypeVar("T")
FIELDS: Final = {"freefrom": "free_from", "minimum": "minimum", "perkm": "per_km"}
FIELD: Final = re.compile(r"\b(free\s+from|minimum|per\s+km)\b", re.IGNORECASE)


class Deliveries(SignUp):
    """The commands about delivery, for the plugin to inherit."""

    @command("zones", help=_("Staff room: where and how you deliver"), hidden=True)
    async def desk_zones(self, ctx: Context) -> None:
        """Show where and how you deliver, with fees."""
        merchant = await self.at_desk(ctx)
        if merchant is not None:
            ctx.say("\n".join(self._desk_ways(ctx, merchant)))

    def _desk_ways(self, ctx: Context, merchant: Merchant) -> list[str]:
        lines = [f"{number}. {line}" for number, line in enumerate(deliveries(merchant, ctx.translator), 1)]
        if merchant.where is not None:
            lines.append(ctx.t("From: {place}", place=merchant.where.text))
        return lines

    @command("zone add", help=_("Staff room: deliver to more places, or in another way"), hidden=True)
    async def desk_zone_add(self, ctx: Context) -> None:
        """Add a zone by distance or by corners, a parcel service, or pickup. I ask for what I need."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is not None:
            ctx.start(self.desk_new_zone, merchant.id)

    @dialog
    async def desk_new_zone(self, d: Dialog, merchant_id: str) -> None:
        """One more zone or way."""
        basis = await d.do("basis", self._desk_basis, merchant_id)
        if basis is None:
            await d.end(d.t("There is no such merchant any more."))
        kind = await d.choose(d.t("How do things get there?"), kinds(d))
        found, basis = await self.desk_ask_delivery(d, basis, kind)
        refusal = await d.do("add", self._desk_add_delivery, merchant_id, found, basis.where)
        await d.end(refusal or d.t("Done. “zones” shows all of them."))

    async def _desk_basis(self, ctx: Context, merchant_id: str) -> Basis | None:
        merchant = await self.desk.sellers.get(ctx, merchant_id)
        if merchant is None:
            return None
        names = (*(zone.name for zone in merchant.zones), *(way.name for way in merchant.ways))
        return Basis(merchant.currency, merchant.where, names)

    async def _desk_add_delivery(self, ctx: Context, merchant_id: str, found: Zone | Way, where: Place | None) -> str:
        """Add it; why it cannot be, or nothing."""
        merchant = await self.desk.sellers.get(ctx, merchant_id)
        if merchant is None or not await self.desk_may(ctx, merchant, ctx.sender, Staff.MANAGER):
            return ctx.t("There is no such merchant any more.")
        try:
            if isinstance(found, Zone):
                after = replace(merchant, zones=(*merchant.zones, found), where=where)
            else:
                after = replace(merchant, ways=(*merchant.ways, found))
        except MerchantError as error:
            return refused(error, ctx)
        self.desk.sellers.change(ctx, merchant, after)
        return ""

    @command("zone remove", help=_("Staff room: deliver somewhere no longer: zone remove 2"), hidden=True)
    async def desk_zone_remove(self, ctx: Context, number: int) -> None:
        """Take a zone or a way of delivery away, by its number in “zones”."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        count = len(merchant.zones)
        if not 1 <= number <= count + len(merchant.ways):
            ctx.say(
                "\n".join([ctx.t("There is no number {number} here.", number=number), *self._desk_ways(ctx, merchant)])
            )
            return
        if number <= count:
            after = replace(merchant, zones=without(merchant.zones, number))
        else:
            after = replace(merchant, ways=without(merchant.ways, number - count))
        self.desk.sellers.change(ctx, merchant, after)
        ctx.say("\n".join([ctx.t("Removed."), *self._desk_ways(ctx, after)]))

    @command("zone fee", help=_("Staff room: another fee: zone fee 1 3.50 free from 40"), hidden=True)
    async def desk_zone_fee(self, ctx: Context, number: int, amounts: Rest) -> None:
        """Change what a delivery costs: “zone fee 1 3.50”, “zone fee 1 3.50 free from 40”, “zone fee 1 2 minimum 15”,
        “zone fee 1 2 per km 0.50”."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        count = len(merchant.zones)
        try:
            fees = read_fees(amounts, merchant.currency, env_of(ctx, merchant))
            if 1 <= number <= count:
                zone = replace(merchant.zones[number - 1], **fees)
                after = replace(merchant, zones=changed(merchant.zones, number, zone))
            elif count < number <= count + len(merchant.ways) and not fees.keys() & {"per_km", "minimum"}:
                way = replace(merchant.ways[number - count - 1], **fees)
                after = replace(merchant, ways=changed(merchant.ways, number - count, way))
            else:
                ctx.say(ctx.t("There is no number {number} here.", number=number))
                return
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        except (MerchantError, PlaceError) as error:
            ctx.say(refused(error, ctx))
            return
        self.desk.sellers.change(ctx, merchant, after)
        ctx.say("\n".join(self._desk_ways(ctx, after)))

    @command("minimum", help=_("Staff room: the least that an order is worth: minimum 15"), hidden=True)
    async def desk_minimum(self, ctx: Context, amount: Rest) -> None:
        """The least that is delivered, where a zone has no minimum of its own; “minimum 0” for none."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        try:
            least = read_money(merchant.currency)(amount, env_of(ctx, merchant))
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        self.desk.sellers.change(ctx, merchant, replace(merchant, minimum=least or None))
        ctx.say(ctx.t("Deliveries from {minimum} on.", minimum=least))

    @command("place", help=_("Staff room: where you are"), hidden=True)
    async def desk_place(self, ctx: Context) -> None:
        """Say where you are: distances are counted from there."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is not None:
            ctx.start(self.desk_new_place, merchant.id)

    @dialog
    async def desk_new_place(self, d: Dialog, merchant_id: str) -> None:
        """Where the merchant is."""
        where = await d.ask(d.t("Where are you? Share your location, or write your address."), parse=read_where)
        await d.do("place", self._desk_put_place, merchant_id, where)
        await d.end(d.t("Place: {place}", place=where.text))

    async def _desk_put_place(self, ctx: Context, merchant_id: str, where: Place) -> None:
        merchant = await self.desk.sellers.get(ctx, merchant_id)
        if merchant is not None and await self.desk_may(ctx, merchant, ctx.sender, Staff.MANAGER):
            self.desk.sellers.change(ctx, merchant, replace(merchant, where=where))


def without(items: tuple[T, ...], number: int) -> tuple[T, ...]:
    """All but one, by its number from 1."""
    return items[: number - 1] + items[number:]


def changed(items: tuple[T, ...], number: int, item: T) -> tuple[T, ...]:
    """With another one at a number, from 1."""
    return (*items[: number - 1], item, *items[number:])


def read_fees(text: str, currency: str, env: ParseEnv) -> dict[str, Any]:
    """The fields of a zone or a way that “3.50 free from 40 minimum 15 per km 0.50” sets. Raises InvalidValue."""
    parts = FIELD.split(text.strip())
    read = read_money(currency)
    fees: dict[str, Any] = {}
    if parts[0].strip():
        fees["fee"] = read(parts[0], env)
    for name, amount in zip(parts[1::2], parts[2::2], strict=True):
        fees[FIELDS["".join(name.split()).lower()]] = read(amount, env) or None
    return fees
