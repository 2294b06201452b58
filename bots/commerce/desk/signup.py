"""Becoming a merchant: what somebody who wants to sell is asked in their own chat."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from bots.commerce.desk.base import DeskBase, clear, read_money
from bots.commerce.desk.notation import Week, read_corners, read_week, said_place, said_week
from bots.commerce.whereabouts import read_spot, told
from bots.domain.currencies import CURRENCIES
from bots.domain.merchants import NAME_MAX, SLUG, Merchant, MerchantError, MerchantState, Staff, Way
from bots.domain.money import Money
from bots.domain.opening import Hours
from bots.domain.orders import Fulfilment
from bots.domain.places import Circle, Place, PlaceError, Polygon, Shape, Zone
from bots.framework import Context, Dialog, InvalidValue, ParseEnv, RateLimit, command, dialog
from bots.framework.i18n import Translator, _
from bots.framework.own_chat import alone

SIGN_UPS: Final = RateLimit(10, per=3600)
OPEN_MOST: Final = 5
"""Merchants of one person, for one plugin."""
TAGS_MAX: Final = 10
TAG_MAX: Final = 30
SPACES: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Basis:
    """What questions about delivery need to know of a merchant.

    Attributes:
        taken: names that other zones and ways have.
    """

    currency: str
    where: Place | None
    taken: tuple[str, ...] = ()


class SignUp(DeskBase):
    """The sign-up, for the plugin to inherit."""

    @command("sell", help=_("Sell here: become a merchant"), limit=SIGN_UPS)
    async def desk_sell(self, ctx: Context) -> None:
        """Become a merchant: I ask for a name, hours and delivery; then an operator looks at it."""
        if not await alone(ctx):
            ctx.say(ctx.t("Please write “sell” to me in an encrypted chat of our own."))
            return
        mine = [
            merchant
            for merchant, role in await self.desk.sellers.of_person(ctx, ctx.sender)
            if role is Staff.OWNER and merchant.state is not MerchantState.CLOSED
        ]
        if len(mine) >= OPEN_MOST:
            ctx.say(ctx.t("You have as many merchants here as one person may have."))
            return
        ctx.start(self.desk_sign_up)

    @dialog
    async def desk_sign_up(self, d: Dialog) -> None:
        """From the name to the application."""
        await d.say(d.t("Good to have you! I ask a few things; “back” takes an answer back, “cancel” ends it."))
        name = await d.ask(d.t("What is the name, as customers read it?"), parse=read_name)
        slug = await self._desk_slug(d, name)
        tags = await d.ask(
            d.t("What do you sell? A few words with commas, such as: pizza, pasta, vegan"), parse=read_tags
        )
        default = await d.do("currency", self._desk_currency)
        currency = await d.ask(
            d.t("In which currency are your prices? Write its three letters, such as {currency}.", currency=default),
            parse=read_currency,
        )
        zone = await d.ask(
            d.t("In which time zone are you? Such as Europe/Berlin, or “mine” for the one that I know of you."),
            parse=read_zone,
        )
        where = await d.ask(d.t("Where are you? Share your location, or write your address."), parse=read_where)
        week = await d.ask(d.t("When are you open? Such as: mon-fri 9-18, sat 10-14. Or “24/7”."), parse=read_hours)
        draft = Merchant(
            "-", slug, "-", d.person, name, currency, MerchantState.APPLIED, Hours(zone, week),
            language=await d.do("language", self._desk_language), where=where, tags=tags,
        )  # fmt: skip
        draft = await self._desk_delivery(d, draft)
        minutes = await d.ask(
            d.t("How many minutes does it usually take until an order is ready or packed?"), parse=read_minutes
        )
        draft = replace(draft, prepare=minutes)
        lines = await d.do("describe", self._desk_described, draft)
        summary = "\n".join([d.t("This is what I have:"), *lines, "", d.t("Shall I ask the operator?")])
        if not await d.confirm(summary):
            await d.end(d.t("Nothing was sent. “sell” begins again."))
        merchant_id = await d.step("id", self.desk.trade.new_id)
        if not await d.do("apply", self._desk_apply, replace(draft, id=merchant_id)):
            await d.end(d.t("Somebody else has taken the short name “{slug}” meanwhile. Please begin again: “sell”",
                            slug=slug))  # fmt: skip
        await d.say(d.t("Thank you! An operator looks at it, and I tell you here what they say."))

    async def _desk_slug(self, d: Dialog, name: str) -> str:
        suggestion = slug_of(name)
        question = d.t("Under which short name do people find you? Small letters, digits and dashes.")
        while True:
            slug = suggestion
            if suggestion:
                options = {suggestion: suggestion, d.t("Another one"): ""}
                slug = await d.choose(question, options)
            if not slug:
                slug = await d.ask(d.t("Which short name?"), parse=read_slug)
            if await d.do("free", self._desk_free, slug):
                return slug
            await d.say(d.t("“{slug}” is taken.", slug=slug))
            suggestion = ""

    async def _desk_delivery(self, d: Dialog, draft: Merchant) -> Merchant:
        """Ask how things get to people, until there is a way."""
        chosen = await d.choose_many(d.t("How do things get to your customers?"), kinds(d))
        basis = Basis(draft.currency, draft.where)
        for kind in chosen:
            found, basis = await self.desk_ask_delivery(d, basis, kind)
            if isinstance(found, Zone):
                draft = replace(draft, zones=(*draft.zones, found), where=basis.where)
            else:
                draft = replace(draft, ways=(*draft.ways, found))
        return draft

    async def desk_ask_delivery(self, d: Dialog, basis: Basis, kind: str) -> tuple[Zone | Way, Basis]:
        """What there is to know of one way of delivery; the basis with the place, where it had to be asked for."""
        if kind not in {"radius", "area"}:
            way = await self._desk_ask_way(d, basis, Fulfilment(kind))
            return way, replace(basis, taken=(*basis.taken, way.name))
        if kind == "radius" and (basis.where is None or basis.where.point is None):
            question = d.t("To know how far it is, I need the place itself: please share your location.")
            spot = await d.ask(question, parse=read_spot)
            text = spot.text if basis.where is None else basis.where.text
            basis = replace(basis, where=Place(text, spot.point))
        zone = await self._desk_ask_zone(d, basis, kind)
        return zone, replace(basis, taken=(*basis.taken, zone.name))

    async def _desk_ask_zone(self, d: Dialog, basis: Basis, kind: str) -> Zone:
        """A zone of deliveries by courier: ``radius`` around the merchant, or an ``area`` with corners."""
        shape: Shape
        if kind == "radius":
            kilometres = await d.ask(d.t("Within how many kilometres?"), parse=read_kilometres)
            assert basis.where is not None and basis.where.point is not None, "asked for before"
            shape = Circle(basis.where.point, float(kilometres * 1000))
            name = d.t("{count} km", count=kilometres)
        else:
            shape = await d.ask(
                d.t(
                    "Which corners does the area have? Latitude and longitude of each, in order, such as: "
                    "52.51,13.38 52.53,13.38 52.53,13.42"
                ),
                parse=read_area,
            )
            name = await d.ask(d.t("What do you call this area?"), parse=read_name)
        money = read_money(basis.currency)
        fee = await d.ask(d.t("What does a delivery there cost? “0” for nothing."), parse=money)
        least = await d.ask(d.t("From which order on do you deliver there? “0” for any."), parse=money)
        return Zone(unused(name, basis.taken), shape, fee, minimum=least or None)

    async def _desk_ask_way(self, d: Dialog, basis: Basis, kind: Fulfilment) -> Way:
        """Another way of delivery."""
        named = {Fulfilment.PARCEL: d.t("Parcel"), Fulfilment.PICKUP: d.t("Pickup"), Fulfilment.DIGITAL: d.t("Message")}
        name = unused(named[kind], basis.taken)
        if kind is not Fulfilment.PARCEL:
            return Way(name, kind, Money.zero(basis.currency))
        money = read_money(basis.currency)
        fee = await d.ask(d.t("What does a parcel cost?"), parse=money)
        free = await d.ask(d.t("From which order on is it free? “0” for never."), parse=money)
        return Way(name, kind, fee, free or None)

    async def _desk_currency(self, ctx: Context) -> str:
        return ctx.services.default_currency or "EUR"

    async def _desk_described(self, ctx: Context, draft: Merchant) -> list[str]:
        return described(draft, ctx.translator)

    async def _desk_language(self, ctx: Context) -> str:
        return ctx.translator.language

    async def _desk_free(self, ctx: Context, slug: str) -> bool:
        return await self.desk.sellers.by_slug(ctx, slug) is None

    async def _desk_apply(self, ctx: Context, draft: Merchant) -> bool:
        if await self.desk.sellers.by_slug(ctx, draft.slug) is not None:
            return False
        merchant = replace(draft, bot=ctx.instance)
        self.desk.sellers.apply(ctx, merchant)

        def asks(say: Translator) -> str:
            return "\n".join(
                [
                    say.t("{person} wants to sell here:", person=merchant.owner),
                    *described(merchant, say),
                    "",
                    say.t("“merchants approve {slug}” or “merchants reject {slug} REASON”", slug=merchant.slug),
                ]
            )

        await self.desk_tell_operators(ctx, asks)
        self.desk_audited(ctx, "merchant.apply", f"merchant:{merchant.id}", "applied", slug=merchant.slug)
        return True


def described(merchant: Merchant, say: Translator) -> list[str]:
    """What a merchant is, a line each."""
    lines = [
        say.t("Name: {name}", name=merchant.name),
        say.t("Short name: {slug}", slug=merchant.slug),
        say.t("Sells: {what}", what=", ".join(merchant.tags) or "–"),
        say.t("Currency: {currency}", currency=merchant.currency),
        say.t("Time zone: {zone}", zone=merchant.hours.zone),
    ]
    if merchant.where is not None:
        lines.append(say.t("Place: {place}", place=merchant.where.text))
    lines.append(say.t("Open:"))
    lines += [f"• {line}" for line in said_week(merchant.hours, say)]
    lines.append(say.t("Delivery:"))
    lines += [f"• {line}" for line in deliveries(merchant, say)]
    return lines


def deliveries(merchant: Merchant, say: Translator) -> list[str]:
    """Each way in which a merchant delivers."""
    lines = []
    for zone in merchant.zones:
        words = say.t("{name}: courier for {fee}", name=zone.name, fee=zone.fee)
        if zone.minimum is not None:
            words += ", " + say.t("from {minimum} on", minimum=zone.minimum)
        if zone.free_from is not None:
            words += ", " + say.t("free from {amount} on", amount=zone.free_from)
        lines.append(words)
    for way in merchant.ways:
        words = say.t("{name}: {fee}", name=way.name, fee=way.fee) if way.fee else way.name
        if way.free_from is not None:
            words += ", " + say.t("free from {amount} on", amount=way.free_from)
        lines.append(words)
    return lines or [say.t("none yet")]


def kinds(d: Dialog) -> dict[str, str]:
    """How things can get to people."""
    return {
        d.t("Courier, within some kilometres"): "radius",
        d.t("Courier, in an area with corners"): "area",
        d.t("Parcel"): "parcel",
        d.t("People pick it up"): "pickup",
        d.t("By message (vouchers, files)"): "digital",
    }


def unused(name: str, taken: Collection[str]) -> str:
    """The name, with a number where something else has it."""
    return next(each for each in (name, *(f"{name} ({count})" for count in range(2, 99))) if each not in taken)


# Reading answers


def read_name(text: str) -> str:
    """A name that people read. Raises InvalidValue."""
    name = SPACES.sub(" ", text).strip()
    shown = any(unicodedata.category(char)[0] in "LN" for char in name)
    hidden = any(
        unicodedata.category(char) in {"Cc", "Cs", "Co", "Cn"} or char in "\u202a\u202b\u202d\u202e" for char in name
    )
    if not shown or hidden or len(name) > NAME_MAX:
        raise InvalidValue(
            "merchant.name", MerchantError("merchant.name", most=NAME_MAX).msgid, clear=True, most=NAME_MAX
        )
    return name


def slug_of(name: str) -> str:
    """A short name made of a name; empty when it has letters that are no Latin ones."""
    plain = unicodedata.normalize("NFKD", name.casefold().replace("ß", "ss"))
    letters = [char for char in plain if not unicodedata.combining(char)]
    if any(char.isalnum() and not char.isascii() for char in letters):
        return ""
    made = re.sub(r"[^a-z0-9]+", "-", "".join(letters)).strip("-")[:40].strip("-")
    return made if SLUG.fullmatch(made) else ""


def read_slug(text: str) -> str:
    """A short name. Raises InvalidValue."""
    slug = text.strip().lower()
    if not SLUG.fullmatch(slug):
        raise clear(MerchantError("merchant.slug"))
    return slug


def read_tags(text: str) -> tuple[str, ...]:
    """Kinds of goods. Raises InvalidValue."""
    tags = [SPACES.sub(" ", each).strip().casefold() for each in re.split(r"[,;،、，\n]", text)]
    tags = list(dict.fromkeys(tag for tag in tags if tag))
    if not 1 <= len(tags) <= TAGS_MAX or any(len(tag) > TAG_MAX or not tag.isprintable() for tag in tags):
        raise InvalidValue(
            "desk.tags", _("Please write 1 to {most} words or short groups of words, with commas."), clear=True,
            most=TAGS_MAX,
        )  # fmt: skip
    return tuple(tags)


def read_currency(text: str) -> str:
    """A currency. Raises InvalidValue."""
    code = text.strip().upper()
    if code not in CURRENCIES:
        raise InvalidValue("money.unknown_currency", _("“{given}” is not a currency that I know."), clear=True,
                           given=code[:20])  # fmt: skip
    return code


def read_zone(text: str, env: ParseEnv) -> str:
    """A time zone. Raises InvalidValue."""
    zone = text.strip()
    own = getattr(env.zone, "key", "UTC")
    if zone.casefold() in {"mine", env.translator.t("mine").casefold()}:
        return own
    try:
        return str(ZoneInfo(zone).key)
    except (KeyError, ValueError, OSError):
        raise InvalidValue("hours.zone", _("There is no time zone “{zone}”."), clear=True, zone=zone[:60]) from None


def read_where(text: str, env: ParseEnv) -> Place:
    """An address in words, a shared location, or coordinates. Raises InvalidValue."""
    try:
        return told(text, env) or Place(SPACES.sub(" ", text).strip())
    except PlaceError as error:
        raise said_place(error) from None


def read_hours(text: str, env: ParseEnv) -> Week:
    """The hours of a week. Raises InvalidValue."""
    return read_week(text, env)


def read_area(text: str) -> Polygon:
    """An area between corners. Raises InvalidValue."""
    try:
        return Polygon(read_corners(text))
    except PlaceError as error:
        raise said_place(error) from None


def read_kilometres(text: str) -> Decimal:
    """How far: up to 200. Raises InvalidValue."""
    digits = text.strip().casefold().removesuffix("km").strip().replace(",", ".")
    if not re.fullmatch(r"\d{1,3}(?:\.\d{1,3})?", digits) or not 0 < Decimal(digits) <= 200:
        raise InvalidValue(
            "desk.kilometres", _("Please write a number of kilometres, up to {most}."), clear=True, most=200
        )
    return Decimal(digits)


def read_minutes(text: str) -> int:
    """Minutes from 1 to a day. Raises InvalidValue."""
    match = re.match(r"\s*(\d{1,4})\b", text)
    if match is None or not 1 <= int(match[1]) <= 1440:
        raise clear(MerchantError("merchant.minutes"))
    return int(match[1])
