"""Coupons that a merchant gives out."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from bots.commerce.coupons import Listed
from bots.commerce.desk.base import DeskBase, clear, env_of, read_money, refused
from bots.commerce.desk.times import read_day
from bots.domain.coupons import Coupon, CouponError, canonical_code
from bots.domain.merchants import Staff
from bots.framework import Context, InvalidValue, Rest, command
from bots.framework.arguments import ParseEnv
from bots.framework.i18n import Translator, _

PARTS: Final = re.compile(r"\b(from|minimum|until|up to|first order|each|uses)\b", re.IGNORECASE)
WRITTEN: Final = _("A coupon is written like this: coupon add SUMMER 10% minimum 20 until 31 aug uses 100")
COUPONS_MAX: Final = 200


class Offers(DeskBase):
    """The commands about coupons, for the plugin to inherit."""

    @command("coupons", help=_("Staff room: your coupons"), hidden=True)
    async def desk_coupons(self, ctx: Context) -> None:
        """The coupons that you have given out, and how often they were used."""
        merchant = await self.at_desk(ctx)
        if merchant is None:
            return
        found = await self.desk.coupons.list(ctx, merchant.id)
        zone = ZoneInfo(merchant.hours.zone)
        lines = [said_coupon(each, ctx.translator, zone) for each in found[:50]]
        ctx.say("\n".join(lines) if lines else ctx.t("There are no coupons. “coupon add SUMMER 10%” makes one."))

    @command("coupon add", help=_("Staff room: a coupon: coupon add SUMMER 10% minimum 20 until 31 aug"), hidden=True)
    async def desk_coupon_add(self, ctx: Context, code: str, terms: Rest) -> None:
        """Give a coupon out. “coupon add SUMMER 10%” takes a tenth off the goods, “coupon add HELLO 5 EUR” an amount.
        Behind that: “up to 8” (of a percentage), “minimum 20”, “from 1 jun”, “until 31 aug”, “uses 100” (in all),
        “each 2” (of one person; otherwise once), “first order”."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        try:
            coupon = read_coupon(code, terms, merchant.currency, env_of(ctx, merchant))
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        except CouponError as error:
            ctx.say(refused(error, ctx))
            return
        if len(await self.desk.coupons.list(ctx, merchant.id)) >= COUPONS_MAX:
            ctx.say(ctx.t("That is not possible."))
            return
        self.desk.coupons.put(ctx, merchant.id, coupon)
        self.desk_audited(ctx, "merchant.coupon", f"merchant:{merchant.id}", "added", code=coupon.code)
        ctx.say(said_coupon(Listed(coupon, 0, True), ctx.translator, ZoneInfo(merchant.hours.zone)))

    @command("coupon stop", help=_("Staff room: a coupon counts no longer"), aliases=("coupon remove",), hidden=True)
    async def desk_coupon_stop(self, ctx: Context, code: str) -> None:
        """A coupon counts no longer. Orders that have used it stay as they are."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        coupon = await self.desk.coupons.get(ctx, merchant.id, code)
        if coupon is None:
            ctx.say(ctx.t("There is no such coupon here."))
            return
        self.desk.coupons.drop(ctx, merchant.id, coupon.code)
        self.desk_audited(ctx, "merchant.coupon", f"merchant:{merchant.id}", "stopped", code=coupon.code)
        ctx.say(ctx.t("{code} counts no longer.", code=coupon.code))


def read_coupon(code: str, terms: str, currency: str, env: ParseEnv) -> Coupon:
    """A coupon as it is written. Raises InvalidValue, CouponError."""
    pieces = PARTS.split(terms)
    given: dict[str, Any] = {}
    read = read_money(currency)
    first = pieces[0].strip()
    if match := re.fullmatch(r"(\d{1,3})\s*[%٪]", first):
        given["percent"] = int(match[1])
    elif first:
        given["amount"] = read(first, env)
    else:
        raise InvalidValue("desk.coupon", WRITTEN, clear=True)
    for name, words in zip((each.lower() for each in pieces[1::2]), pieces[2::2], strict=True):
        if name == "first order":
            given["first_order"] = True
        elif name in {"minimum", "up to"}:
            given["minimum" if name == "minimum" else "most"] = read(words, env)
        elif name in {"from", "until"}:
            moment = _midnight(words, env)
            given["since" if name == "from" else "until"] = moment if name == "from" else moment + timedelta(days=1)
        else:
            given["uses" if name == "uses" else "uses_each"] = _count(words)
    return Coupon(canonical_code(code), **given)


def _midnight(text: str, env: ParseEnv) -> datetime:
    day, rest = read_day(text, env)
    if rest:
        raise InvalidValue("desk.coupon", WRITTEN, clear=True)
    return datetime.combine(day, time(), env.zone)


def _count(text: str) -> int:
    digits = text.strip()
    if not digits.isdecimal() or not 1 <= len(digits) <= 9 or int(digits) < 1:
        raise clear(CouponError("coupon.invalid"))
    return int(digits)


def said_coupon(listed: Listed, say: Translator, zone: tzinfo) -> str:
    """A coupon in a line."""
    coupon = listed.coupon
    if coupon.percent is not None:
        words = say.t("{code}: {percent} % off", code=coupon.code, percent=coupon.percent)
        if coupon.most is not None:
            words += ", " + say.t("up to {amount}", amount=coupon.most)
    else:
        words = say.t("{code}: {amount} off", code=coupon.code, amount=coupon.amount)
    if coupon.minimum is not None:
        words += ", " + say.t("from {minimum} on", minimum=coupon.minimum)
    if coupon.since is not None:
        words += ", " + say.t("valid from {date} on", date=coupon.since.astimezone(zone).date())
    if coupon.until is not None:
        words += ", " + say.t("until {date}", date=(coupon.until - timedelta(minutes=1)).astimezone(zone).date())
    if coupon.first_order:
        words += ", " + say.t("for a first order")
    words += "; " + say.n("used {count} time", "used {count} times", listed.used)
    if coupon.uses is not None:
        words += " " + say.t("of {most}", most=coupon.uses)
    return words if listed.active else say.t("{coupon} (stopped)", coupon=words)
