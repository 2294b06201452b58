"""The reminder bot."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256
from textwrap import shorten
from typing import Any, Final

from pydantic import BaseModel, Field

from bots.framework import (
    Context,
    InvalidValue,
    Key,
    Plugin,
    Rest,
    Schedule,
    Setup,
    command,
    joined,
    message,
    reaction,
    timer,
)
from bots.framework.i18n import _

from .phrases import Wish, read, rule_of

MOST: Final = 100
"""Reminders of one person."""
REMEMBERED: Final = 20
"""Of the reminders that have come, so many of each person can be snoozed."""
LATE: Final = timedelta(minutes=2)
SNOOZE: Final = "⏰"


class Said(BaseModel):
    """A reminder that has come."""

    reference: str
    number: int
    about: str


LAST: Final = Key("last", int, default=0)
SAID: Final = Key("said", list[Said], default=[], secret=True)


class Settings(BaseModel):
    """What an operator can set."""

    snooze_minutes: int = Field(10, ge=1, le=1440, description="How long a reminder is put off by a reaction.")


class Reminders(Plugin):
    """Reminds people of things: once or again and again, by their own clock."""

    name = "reminders"
    summary = "Reminds you of things when you say."
    Settings = Settings
    scopes = frozenset({"state", "schedules", "people.read"})

    def __init__(self, setup: Setup) -> None:
        self._snooze = timedelta(minutes=setup.settings.snooze_minutes)

    @joined
    async def hello(self, ctx: Context) -> None:
        """Say what it is for."""
        ctx.say(ctx.t("Hello! Try “remind me tomorrow at 9 to call Bob”, or “help”."))

    # Setting

    @command("remind", help="Remind me tomorrow at 9 to call Bob")
    async def remind(self, ctx: Context, when_and_what: Rest = "") -> None:
        """Remind you of something: tomorrow at 9, in 20 minutes, on 5 march, every monday at 8, every 2 hours."""
        try:
            found = read(when_and_what, ctx.env())
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        await self._set(ctx, found)

    @message(addressed=True)
    async def free(self, ctx: Context) -> None:
        """ "in 20 minutes: tea" needs no command; whatever else is answered with help."""
        try:
            found = read(ctx.rest, ctx.env())
        except InvalidValue:
            if not await self._put_off_by_reply(ctx):
                ctx.decline()
            return
        await self._set(ctx, found)

    async def _set(self, ctx: Context, wish: Wish) -> None:
        if isinstance(wish.rule, datetime) and wish.rule <= ctx.now():
            ctx.say(ctx.t("That time has gone by already."))
            return
        if len(await ctx.schedules.list(_prefix(ctx.sender))) >= MOST:
            ctx.say(ctx.t("You have {most} reminders, and I keep no more. “cancel 1” takes one away.", most=MOST))
            return
        await ctx.user_state.update(LAST, lambda last: last + 1)
        number = await ctx.user_state.get(LAST)
        data = {"number": number, "about": wish.about, "words": "" if isinstance(wish.rule, datetime) else wish.words}
        key = f"{_prefix(ctx.sender)}{number}"
        if isinstance(wish.rule, datetime):
            ctx.later(wish.rule, "due", data, key=key)
            text = ctx.t("{number}. {about} – {when}.", number=number, about=wish.about, when=wish.rule)
        else:
            ctx.regularly(wish.rule, "due", data, key=key)
            text = ctx.t("{number}. {about} – {words}.", number=number, about=wish.about, words=wish.words)
        if (await ctx.services.people.get(ctx.sender)).zone is None:
            text += "\n" + ctx.t("I take your clock to show {time}. If not, tell me a city: “zone Berlin”.",
                                 time=ctx.now().time())  # fmt: skip
        ctx.say(text)

    # What there is

    @command("list", help="Show your reminders", aliases=("reminders",))
    async def list(self, ctx: Context) -> None:
        """Show what you are going to be reminded of, the next first."""
        found = await ctx.schedules.list(_prefix(ctx.sender))
        lines = [self._line(ctx, each) for each in found]
        ctx.say("\n".join(lines) if lines else ctx.t("You have no reminders."))

    def _line(self, ctx: Context, schedule: Schedule) -> str:
        data = schedule.data["data"]
        words = f" ({data['words']})" if data["words"] else ""
        about, due = shorten(data["about"], 80, placeholder="…") + words, schedule.due.astimezone(ctx.now().tzinfo)
        return ctx.t("{number}. {about} – {when}.", number=data["number"], about=about, when=due)

    @command("cancel", help="Take a reminder away", aliases=("forget", "delete"))
    async def cancel(self, ctx: Context, number: int) -> None:
        """Take a reminder away by its number in the list."""
        found = [each for each in await ctx.schedules.list(_prefix(ctx.sender)) if _number(each) == number]
        if not found:
            ctx.say(ctx.t("You have no reminder {number}. “list” shows those you have.", number=number))
            return
        for each in found:  # itself, and itself put off
            ctx.schedules.cancel(each.key)
        ctx.say(ctx.t("Cancelled: {about}", about=found[0].data["data"]["about"]))

    # When the time has come

    @timer("due")
    async def due(self, ctx: Context, data: dict[str, Any]) -> None:
        """Say it, so that it rings."""
        about, due = data["about"], ctx.due
        text = f"{SNOOZE} {about}"
        if due is not None and ctx.late > LATE:
            text += "\n" + ctx.t("I am late, I am sorry: this was for {when}.", when=due)
        mentions = {"user_ids": [ctx.sender]}
        reference = ctx.send({"msgtype": "m.text", "body": text, "m.mentions": mentions})
        ctx.react(SNOOZE, reference)
        said = Said(reference=reference, number=data["number"], about=about)
        await ctx.user_state.update(SAID, lambda before: [*before, said][-REMEMBERED:])

    # Putting off

    @reaction
    async def reacted(self, ctx: Context, key: str, event_id: str) -> None:
        """The alarm clock under a reminder puts it off."""
        if key.rstrip("\ufe0f") == SNOOZE and (said := await self._said(ctx, event_id)) is not None:
            self._put_off(ctx, said, ctx.now() + self._snooze)

    @command("snooze", help="Put the last reminder off")
    async def snooze(self, ctx: Context, until: Rest = "") -> None:
        """Put a reminder off: the one you reply to, or the last one. “snooze”, “snooze 20 minutes”, “snooze monday”."""
        said = await self._said(ctx, ctx.reply_to)
        if said is None:
            ctx.say(ctx.t("There is nothing to put off."))
            return
        try:
            moment = _until(until, ctx) if until else ctx.now() + self._snooze
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        self._put_off(ctx, said, moment)

    async def _put_off_by_reply(self, ctx: Context) -> bool:
        """Whether the message was a time in reply to a reminder."""
        said = await self._said(ctx, ctx.reply_to) if ctx.reply_to else None
        if said is None:
            return False
        try:
            moment = _until(ctx.rest, ctx)
        except InvalidValue:
            return False
        self._put_off(ctx, said, moment)
        return True

    async def _said(self, ctx: Context, event_id: str) -> Said | None:
        """The reminder that a message was; without a message the last one."""
        said = await ctx.user_state.get(SAID)
        if not event_id:
            return said[-1] if said else None
        ids = await ctx.event_ids(each.reference for each in said)
        return next((each for each in said if ids.get(each.reference) == event_id), None)

    def _put_off(self, ctx: Context, said: Said, moment: datetime) -> None:
        if moment <= ctx.now():
            ctx.say(ctx.t("That time has gone by already."))
            return
        data = {"number": said.number, "about": said.about, "words": ""}
        ctx.later(moment, "due", data, key=f"{_prefix(ctx.sender)}{said.number}/later")
        ctx.say(ctx.t("Put off: {about} – {when}.", about=said.about, when=moment))


def _until(words: str, ctx: Context) -> datetime:
    """The moment of "20 minutes", "in 20 minutes", "tomorrow at 9". Raises InvalidValue."""
    try:
        rule = rule_of(words, ctx.env())
    except InvalidValue:
        rule = rule_of("in " + words, ctx.env())
    if not isinstance(rule, datetime):
        raise InvalidValue("reminders.not_once", _("Say when, such as “in 20 minutes” or “tomorrow at 9”."))
    return rule


def _prefix(person: str) -> str:
    """What the keys of a person's schedules begin with; user ids may be too long for it."""
    return sha256(person.encode()).hexdigest()[:20] + "/"


def _number(schedule: Schedule) -> int:
    return int(schedule.data["data"]["number"])
