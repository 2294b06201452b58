"""How long messages stay: timers that remove each after a time, and how long a chat keeps anything at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from bots.framework import Context, Dialog, ParseEnv, Rest, command, dialog
from bots.framework.i18n import _
from bots.hub import words
from bots.hub.area import EVERY, PEOPLES, Area, lengths
from bridge.actor import Actor
from bridge.store.chats import Chat

OFF: Final = 0
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Wanted:
    """A timer that somebody writes down: seconds, 0 for none, and from when it counts."""

    seconds: int
    start: str = "sent"


class Timers(Area):
    """Timers and retention."""

    @command("timer", help=_("Have messages disappear: timer 1 day, timer 1 hour after reading, timer off"))
    async def timer(self, ctx: Context, how_long: Rest = "") -> None:
        """New messages disappear for everybody after that time, 5 seconds to a year, from sending or from the first
        reading. Without a time I show what holds, and ask."""
        chat, rest = await self.named(ctx, how_long)
        ctx.start(self.set_timer, chat, wanted(rest, ctx.env()) if rest else None)

    @dialog
    async def set_timer(self, d: Dialog, chat: str, want: Wanted | None = None) -> None:
        """Ask how long, unless it was said."""
        found = await self.which(d, chat, EVERY)
        if want is None:
            now: Wanted | None = await self.on(d, "timer", self._timer, found)
            want = await self._ask_timer(d, found.title, now)
        if not want.seconds:
            await self.on(d, "set timer", self._messenger.timers.set, found, None)
            await d.end(d.t("Messages in “{chat}” stay: the timer is off.", chat=found.title))
        await self.on(d, "set timer", self._messenger.timers.set, found, want.seconds, start=want.start)
        after = words.length(want.seconds)
        if want.start == "read":
            await d.say(
                d.t(
                    "New messages in “{chat}” disappear {after} after the first reading.", chat=found.title, after=after
                )
            )
        else:
            await d.say(
                d.t("New messages in “{chat}” disappear {after} after they were sent.", chat=found.title, after=after)
            )

    async def _ask_timer(self, d: Dialog, title: str, now: Wanted | None) -> Wanted:
        if now is None:
            holds = d.t("Messages in “{chat}” stay: no timer is on.", chat=title)
        elif now.start == "read":
            holds = d.t(
                "Messages in “{chat}” disappear {after} after the first reading.",
                chat=title,
                after=words.length(now.seconds),
            )
        else:
            holds = d.t(
                "Messages in “{chat}” disappear {after} after they were sent.",
                chat=title,
                after=words.length(now.seconds),
            )
        options = {
            **lengths(d, 30, 300, 3_600, DAY_S, 7 * DAY_S),
            d.t("Another time"): -1,
            d.t("Off"): OFF,
        }
        seconds = await d.choose(f"{holds}\n{d.t('When shall new messages disappear?')}", options)
        if seconds < 0:
            seconds = await d.ask(
                d.t("After which time? From 5 seconds to a year, such as 90s, 2 days."), parse=words.seconds
            )
        if not seconds:
            return Wanted(OFF)
        start = await d.choose(d.t("Counted from when?"), {d.t("Sending"): "sent", d.t("The first reading"): "read"})
        return Wanted(seconds, start)

    async def _timer(self, actor: Actor, chat: Chat) -> Wanted | None:
        timer: Any = await self._messenger.timers.get(chat)
        return None if timer is None or not timer.seconds else Wanted(timer.seconds, str(timer.start))

    @command("retention", help=_("How long a chat keeps messages: retention 90 days, retention off"))
    async def retention(self, ctx: Context, how_long: Rest = "") -> None:
        """Everything older is removed, also what was written before. Without a time I show what holds, and ask."""
        chat, rest = await self.named(ctx, how_long)
        days = None
        if rest:
            seconds = words.seconds_or_off(rest, ctx.env())
            days = OFF if seconds is None else max(1, round(seconds / DAY_S))
        ctx.start(self.set_retention, chat, days)

    @dialog
    async def set_retention(self, d: Dialog, chat: str, days: int | None = None) -> None:
        """Ask how long, unless it was said."""
        found = await self.which(d, chat, PEOPLES)
        if days is None:
            now: int | None = await self.on(d, "policy", self._policy, found)
            holds = d.t("“{chat}” keeps its messages until somebody removes them.", chat=found.title)
            if now is not None:
                holds = d.n(
                    "“{chat}” keeps messages for {count} day.",
                    "“{chat}” keeps messages for {count} days.",
                    now,
                    chat=found.title,
                )
            offered = lengths(d, 30 * DAY_S, 90 * DAY_S, 365 * DAY_S)
            options = {label: whole // DAY_S for label, whole in offered.items()}
            options[d.t("For ever")] = OFF
            days = await d.choose(f"{holds}\n{d.t('How long shall it keep them?')}", options)
        await self.on(d, "set policy", self._set_policy, found, days or None)
        if days:
            await d.say(
                d.n(
                    "“{chat}” keeps messages for {count} day from now on; what is older goes.",
                    "“{chat}” keeps messages for {count} days from now on; what is older goes.",
                    days,
                    chat=found.title,
                )
            )
        else:
            await d.say(d.t("“{chat}” keeps its messages until somebody removes them.", chat=found.title))

    async def _policy(self, actor: Actor, chat: Chat) -> int | None:
        return (await self._messenger.retention.policy(actor, chat)).days

    async def _set_policy(self, actor: Actor, chat: Chat, days: int | None) -> None:
        await self._messenger.retention.set_policy(actor, chat=chat, days=days)


def wanted(text: str, env: ParseEnv) -> Wanted:
    """“1 day”, “off”, “1 hour after reading”.

    Raises:
        InvalidValue: it is none of them.
    """
    if words.is_word("off", text, env):
        return Wanted(OFF)
    length, rest = words.leading_seconds(text, env)
    if length is None:
        return Wanted(words.seconds(text, env))
    behind = [env.vocabulary(words.PLAIN).get(each.lower()) for each in rest.split()]
    if rest and "read" not in behind:
        return Wanted(words.seconds(text, env))  # raises, with the whole of what was written
    return Wanted(length, "read" if rest else "sent")
