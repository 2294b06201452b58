"""What was sold: as text, as a file, as a picture; on demand, and every day after closing time."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Any, Final

from bots.commerce.desk.base import DeskBase, env_of, here
from bots.commerce.desk.chart import draw
from bots.commerce.desk.figures import Figures, Period, as_csv, counted
from bots.domain.merchants import Merchant, MerchantState, Staff
from bots.domain.orders import WORDS
from bots.framework import Context, InvalidValue, Rest, command, timer
from bots.framework.arguments import ParseEnv, date_
from bots.framework.context import TIMER_FIRED
from bots.framework.i18n import Translator, _

BEST: Final = 10
ORDERS_MAX: Final = 20_000
OFF: Final = frozenset({"off", "no", "never"})


class Reports(DeskBase):
    """The commands about figures, for the plugin to inherit."""

    @command("report", help=_("Staff room: what was sold: report today, yesterday, week, 24 dec"), hidden=True)
    async def desk_report(self, ctx: Context, text: Rest = "") -> None:
        """What was sold “today”, “yesterday”, in the last “week” or “month”, or on a day, in your time zone: in words,
        as a picture, and as a CSV file. “report daily” has it come every day after closing time, “report off” ends
        that."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        wanted = text.strip().casefold()
        if wanted in {"daily", "every day", ctx.t("daily").casefold()}:
            self._desk_plan(ctx, merchant)
            ctx.say(ctx.t("The report comes every day after closing time. “report off” ends that."))
        elif wanted in {*OFF, ctx.t("off").casefold()}:
            ctx.schedules.cancel(key_of(merchant))
            ctx.say(ctx.t("The report does not come by itself any more."))
        else:
            try:
                period = read_period(wanted, env_of(ctx, merchant), merchant.hours.zone)
            except InvalidValue as error:
                ctx.say(error.say(ctx.translator))
                return
            await self._desk_report(ctx, merchant, period, ctx.translator)

    async def _desk_report(self, ctx: Context, merchant: Merchant, period: Period, words: Translator) -> None:
        found = self.desk.orders
        orders = await found.placed_between(ctx, merchant.id, period.since, period.until, limit=ORDERS_MAX)
        back = await self.desk.cases.given_back(ctx, merchant.id, period.since, period.until)
        figures = counted(orders, back, period, merchant.currency)
        ctx.say("\n".join(said(figures, merchant, words)), room_id=merchant.room_id)
        if not orders:
            return
        name = f"{merchant.slug}-{period.first}" + ("" if period.days == 1 else f"-{period.last}")
        if figures.sold:
            picture = await asyncio.to_thread(draw, figures.bars, merchant.currency)
            await ctx.send_image(picture, f"{name}.png", room_id=merchant.room_id)
        data = as_csv(orders, period, {state: words.t(word) for state, word in WORDS.items()})
        await ctx.send_file(data, f"{name}.csv", "text/csv", room_id=merchant.room_id)

    def _desk_plan(self, ctx: Context, merchant: Merchant) -> None:
        """Have the next report come some minutes after the merchant closes next, or at midnight."""
        now = here(ctx, merchant)
        opens = merchant.hours.opens_at(now)
        closes = None if opens is None else merchant.hours.closes_at(opens)
        at = closes or Period(now.date(), now.date(), merchant.hours.zone).until
        if at - now > timedelta(days=7):
            at = Period(now.date(), now.date(), merchant.hours.zone).until
        at += timedelta(minutes=self.desk.settings.report_after)
        data = {
            "merchant": merchant.id,
            "day": (now if opens is None else max(now, opens)).astimezone(now.tzinfo).date().isoformat(),
        }
        call = {"name": "desk report", "data": data}
        ctx.schedules.at(at, TIMER_FIRED, call, key=key_of(merchant), room=merchant.room_id, person=merchant.owner)

    @timer("desk report")
    async def desk_daily_report(self, ctx: Context, data: dict[str, Any]) -> None:
        """The report of a day that is over, and the plan for the next one."""
        merchant = await self.desk.sellers.get(ctx, data["merchant"])
        if merchant is None or merchant.state not in {MerchantState.ACTIVE, MerchantState.PAUSED}:
            return
        day = date.fromisoformat(data["day"])
        period = Period(day, day, merchant.hours.zone)
        await self._desk_report(ctx, merchant, period, self.desk_words_for(ctx, merchant))
        self._desk_plan(ctx, merchant)


def key_of(merchant: Merchant) -> str:
    """The key of the schedule of a merchant's reports."""
    return f"desk/report/{merchant.id}"


def read_period(text: str, env: ParseEnv, zone: str) -> Period:
    """The days that a text means: nothing is today. Raises InvalidValue."""
    today = env.now.astimezone(env.zone).date()
    say = env.translator.t
    if text in {"week", say("week").casefold()}:
        return Period(today - timedelta(days=6), today, zone)
    if text in {"month", say("month").casefold()}:
        return Period(today - timedelta(days=29), today, zone)
    if not text:
        return Period(today, today, zone)
    day = date_(text, env)
    if day > today:
        # “24 dec” is the last one, not the next.
        day = past(day, today)
    return Period(day, day, zone)


def past(day: date, today: date) -> date:
    """The same day of a year before, or of the week before, that is not still to come."""
    if day - today <= timedelta(days=7):
        return day - timedelta(days=7)
    for back in range(1, 9):
        try:
            found = day.replace(year=day.year - back)
        except ValueError:
            continue
        if found <= today:
            return found
    raise InvalidValue("desk.day", _("“{given}” is no day."), given=day.isoformat())


def said(figures: Figures, merchant: Merchant, words: Translator) -> list[str]:
    """The figures in words."""
    period = figures.period
    if period.days == 1:
        head = words.t("{merchant} on {date}", merchant=merchant.name, date=period.first)
    else:
        head = words.t(
            "{merchant} from {first} to {last}", merchant=merchant.name, first=period.first, last=period.last
        )
    lines = [
        head,
        words.n("{count} order taken: {amount}", "{count} orders taken: {amount}", figures.orders, amount=figures.sold),
    ]
    if figures.orders:
        lines.append(words.t("On average: {amount}", amount=figures.average))
    for text, amount in (
        (_("Of it delivery: {amount}"), figures.fees),
        (_("Of it tips: {amount}"), figures.tips),
        (_("Given back: {amount}"), figures.back),
    ):
        if amount:
            lines.append(words.t(text, amount=amount))
    for state, count in figures.not_taken.items():
        lines.append(words.t("{state}: {count}", state=words.t(WORDS[state]), count=count))
    if figures.waiting:
        lines.append(words.n("{count} order waits", "{count} orders wait", figures.waiting))
    for each in figures.products[:BEST]:
        lines.append(
            words.t("• {quantity} × {name}: {total}", quantity=each.quantity, name=each.name, total=each.total)
        )
    return lines
