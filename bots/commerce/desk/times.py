"""When a merchant is open: hours of the week, days that are different, and pauses."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from bots.commerce.desk.base import DeskBase, clear, env_of, here, refused
from bots.commerce.desk.notation import read_span_list, read_week, said_spans, said_week
from bots.domain.merchants import WORDS, Merchant, MerchantAction, MerchantError, MerchantState, Staff
from bots.domain.opening import Hours, HoursError, Span
from bots.framework import Context, InvalidValue, Rest, command, timer
from bots.framework.arguments import ParseEnv, date_, duration
from bots.framework.context import TIMER_FIRED
from bots.framework.i18n import _

SHOWN_DAYS = 30
LONGEST_PAUSE = timedelta(days=30)


class Times(DeskBase):
    """The commands about hours and pauses, for the plugin to inherit."""

    @command("hours", help=_("Staff room: opening hours: hours mon-fri 9-18, sat 10-14"), hidden=True)
    async def desk_hours(self, ctx: Context, text: Rest = "") -> None:
        """Show the opening hours, or set those of some days: “hours mon-fri 9-18, sat 10-14”, “hours sun closed”."""
        merchant = await self.at_desk(ctx, Staff.MANAGER if text else Staff.CLERK)
        if merchant is None:
            return
        if not text:
            ctx.say("\n".join(self._desk_shown(ctx, merchant)))
            return
        try:
            week = read_week(text, env_of(ctx, merchant), merchant.hours.week)
            after = replace(merchant, hours=replace(merchant.hours, week=week))
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        self.desk.sellers.change(ctx, merchant, after)
        ctx.say("\n".join([ctx.t("These are the opening hours now:"), *self._desk_shown(ctx, after)]))

    @command("closed", help=_("Staff room: be closed on a day: closed 24 dec"), hidden=True)
    async def desk_closed(self, ctx: Context, day: Rest) -> None:
        """Be closed on a day that is open otherwise: “closed 24 dec”, “closed tomorrow”."""
        await self._desk_different(ctx, day, ())

    @command("open", help=_("Staff room: other hours on a day: open 31 dec 10-14"), hidden=True)
    async def desk_open(self, ctx: Context, day: Rest) -> None:
        """Have other hours on one day: “open 31 dec 10-14”. “open 31 dec as usual” takes it back."""
        await self._desk_different(ctx, day, None)

    async def _desk_different(self, ctx: Context, text: str, spans: tuple[Span, ...] | None) -> None:
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        env = env_of(ctx, merchant)
        try:
            day, rest = read_day(text, env)
            if spans is None and not usual(rest, env):
                spans = read_span_list(rest, env)
            elif spans is not None and rest:
                raise InvalidValue("desk.day", _("“{given}” is no day."), given=text[:40])
            if day < here(ctx, merchant).date():
                raise InvalidValue("desk.past", _("{date} is over."), date=day)
            after = with_day(merchant, day, spans, here(ctx, merchant).date())
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        self.desk.sellers.change(ctx, merchant, after)
        words = said_spans(after.hours.on(day), ctx.translator)
        ctx.say(ctx.t("{date}: {hours}", date=day, hours=words))

    def _desk_shown(self, ctx: Context, merchant: Merchant) -> list[str]:
        lines = said_week(merchant.hours, ctx.translator)
        today = here(ctx, merchant).date()
        days = sorted(day for day in merchant.hours.exceptions if day >= today)
        for day in days[:SHOWN_DAYS]:
            words = said_spans(merchant.hours.exceptions[day], ctx.translator)
            lines.append(ctx.t("{date}: {hours}", date=day, hours=words))
        lines.append(ctx.t("Time zone: {zone}", zone=merchant.hours.zone))
        lines.append(ctx.t(WORDS[merchant.state]))
        return lines

    # Pauses

    @command("pause", help=_("Staff room: take no orders for a while: pause 30 min"), hidden=True)
    async def desk_pause(self, ctx: Context, text: Rest = "") -> None:
        """Take no new orders, until “resume” or for a while: “pause 30 min”. Orders that are there go on."""
        merchant = await self.at_desk(ctx)
        if merchant is None:
            return
        try:
            length = None if not text else read_length(text, env_of(ctx, merchant))
            after = merchant
            if merchant.state is not MerchantState.PAUSED:
                after = self.desk.sellers.act(ctx, merchant, MerchantAction.PAUSE)
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        except MerchantError as error:
            ctx.say(refused(error, ctx))
            return
        key = f"desk/resume/{after.id}"
        if length is None:
            ctx.schedules.cancel(key)
            ctx.say(ctx.t("Paused: nobody can order until you write “resume”."))
            return
        until = ctx.now() + length
        data = {"name": "desk resume", "data": {"merchant": after.id}}
        ctx.schedules.at(until, TIMER_FIRED, data, key=key, room=after.room_id, person=after.owner)
        ctx.say(ctx.t("Paused: nobody can order until {time}.", time=until.astimezone(here(ctx, after).tzinfo).time()))

    @command("resume", help=_("Staff room: take orders again"), hidden=True)
    async def desk_resume(self, ctx: Context) -> None:
        """Take orders again after a pause."""
        merchant = await self.at_desk(ctx)
        if merchant is None:
            return
        try:
            self.desk.sellers.act(ctx, merchant, MerchantAction.RESUME)
        except MerchantError as error:
            ctx.say(refused(error, ctx))
            return
        ctx.schedules.cancel(f"desk/resume/{merchant.id}")
        ctx.say(ctx.t("You take orders again."))

    @timer("desk resume")
    async def desk_pause_over(self, ctx: Context, data: dict[str, Any]) -> None:
        """A pause is over."""
        merchant = await self.desk.sellers.get(ctx, data["merchant"])
        if merchant is not None and merchant.state is MerchantState.PAUSED:
            self.desk.sellers.act(ctx, merchant, MerchantAction.RESUME)
            say = self.desk_words_for(ctx, merchant)
            ctx.say(say.t("The pause is over: you take orders again."), room_id=merchant.room_id)


def read_day(text: str, env: ParseEnv) -> tuple[date, str]:
    """The day that a text begins with, and what follows it. Raises InvalidValue."""
    words = text.split()
    problem: InvalidValue | None = None
    for count in range(min(len(words), 5), 0, -1):
        try:
            return date_(" ".join(words[:count]), env), " ".join(words[count:])
        except InvalidValue as error:
            if error.clear:
                raise
            problem = error
    raise problem or InvalidValue("desk.day", _("“{given}” is no day."), given=text[:40])


def usual(text: str, env: ParseEnv) -> bool:
    """Whether a day is to be like any other of its kind."""
    plain = " ".join(text.split()).casefold()
    return plain in {"", "as usual", "usual", env.translator.t("as usual").casefold()}


def with_day(merchant: Merchant, day: date, spans: tuple[Span, ...] | None, today: date) -> Merchant:
    """The merchant with other hours on a day; None: those of its weekday. What is over is forgotten.

    Raises:
        InvalidValue: there are too many such days, or the hours overlap.
    """
    exceptions = {each: hours for each, hours in merchant.hours.exceptions.items() if each >= today and each != day}
    if spans is not None:
        exceptions[day] = spans
    try:
        return replace(merchant, hours=Hours(merchant.hours.zone, merchant.hours.week, exceptions))
    except HoursError as error:
        raise clear(error) from None


def read_length(text: str, env: ParseEnv) -> timedelta:
    """How long: “30”, “30 min”, “2 hours”. Raises InvalidValue."""
    digits = text.strip()
    length = timedelta(minutes=int(digits)) if digits.isdecimal() and len(digits) < 6 else duration(text, env)
    if not timedelta(minutes=1) <= length <= LONGEST_PAUSE:
        raise InvalidValue("desk.pause", _("A pause is from a minute to {most} days."), clear=True,
                           most=LONGEST_PAUSE.days)  # fmt: skip
    return length
