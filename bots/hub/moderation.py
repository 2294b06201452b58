"""Reports: made in two taps, decided by moderators, appealed.

Who flags a message with 🚩, or replies “report” to it, is asked why in their own chat, and what moderators may see of
it: a message of an encrypted chat is theirs to share or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bots.framework import Context, Dialog, InvalidValue, Option, Rest, command, dialog, message, reaction
from bots.framework.i18n import _
from bots.hub import asides, words
from bots.hub.area import Area

FLAG: Final = "🚩"
ASK: Final = "report.ask"
"""The notice that somebody has flagged a message where the hub is not: they are to be asked why."""
MOST_EVIDENCE: Final = 4_000
REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "spam": _("Spam or a scam"),
        "abuse": _("Insults or harassment"),
        "violence": _("Violence or threats"),
        "sexual": _("Sexual content"),
        "child_safety": _("It endangers a child"),
        "illegal": _("Something illegal"),
        "other": _("Something else"),
    }
)


class Moderation(Area):
    """Reports, from both sides."""

    # Reporting

    @command("report", help=_("Report a message or a person: reply with report, or report @bob"))
    async def report(self, ctx: Context, what: Rest = "") -> None:
        """Reply to a message with “report”, write its link, or name a person. I ask why, in our own chat."""
        where = self.message_of(ctx, what)
        person = None
        if where is None and what.strip():
            person = words.person(what, ctx.env())
        if where is None and person is None:
            raise InvalidValue(
                "hub.report",
                _("What do you want to report? Reply to the message, write its link, or name a person: report @bob."),
                clear=True,
            )
        if where is None:
            await self._ask_why(ctx, "", "", str(person))
        else:
            await self._ask_why(ctx, where.room_id, where.event_id, "")

    @message(text="report", addressed=False, reply=None)
    async def report_overheard(self, ctx: Context) -> None:
        """A reply that says “report” is one, though it is not said to the hub."""
        if ctx.reply_to:
            await self._ask_why(ctx, ctx.room_id, ctx.reply_to, "")

    @reaction(keys=(FLAG,))
    async def flagged(self, ctx: Context, key: str, event_id: str) -> None:
        """A flag is a report. In chats the messenger hears of it by itself, whether the hub is there or not."""
        if ctx.room_id not in self._messenger.registry:
            await self._ask_why(ctx, ctx.room_id, event_id, "")

    async def _ask_why(self, ctx: Context, room_id: str, event_id: str, person: str) -> None:
        """Ask in the person's own chat: nobody else sees that they report something."""
        if self.here(ctx.room_id) is None and len(await ctx.humans()) <= 1:
            ctx.start(self.report_what, room_id, event_id, person)
            return
        own = await asides.own_chat(ctx, ctx.sender)
        asides.begin(ctx, own, self.report_what, room_id, event_id, person)

    @dialog
    async def report_what(self, d: Dialog, room_id: str, event_id: str, person: str) -> None:
        """Why, and what moderators may see; then it is theirs."""
        question = d.t("You report a message. Why?")
        if not event_id:
            question = d.t("You report {person}. Why?", person=person)
        reason = (await d.choose(question, [Option(value, d.t(text)) for value, text in REASONS.items()])).value
        evidence = ""
        if event_id:
            evidence = await d.ask(
                d.t(
                    "Moderators see who sent it and when, and of an encrypted chat not what it says. Paste here what "
                    "they shall read, or write “no”."
                )
            )
            evidence = "" if words.says_no(evidence) else evidence[:MOST_EVIDENCE]
        await self.try_step(d, "report", self._report, d.person, room_id, event_id, person, reason, evidence)
        await d.say(d.t("Thank you. Moderators decide, and you hear of it. “block” keeps somebody away from you."))

    async def _report(
        self, reporter: str, room_id: str, event_id: str, person: str, reason: str, evidence: str
    ) -> None:
        await self._messenger.moderation.report(reporter, room_id, event_id or person, reason, evidence)

    # Deciding

    @command("reports", help=_("Show the reports that wait for you as a moderator"))
    async def reports(self, ctx: Context) -> None:
        """One after the other: dismiss, warn, mute, remove the message, ban."""
        if await self.aside(ctx):
            ctx.start(self.decide_reports)

    @dialog
    async def decide_reports(self, d: Dialog) -> None:
        """Each with what is known, and what can be done."""
        await d.end(d.t("No report waits for you."))

    # Appealing

    @command("appeal", help=_("Have a decision about you looked at again"))
    async def appeal(self, ctx: Context, why: Rest = "") -> None:
        """Say in your own words why it was wrong. Another moderator looks at it."""
        if await self.aside(ctx):
            ctx.start(self.appeal_decision, why.strip())

    @dialog
    async def appeal_decision(self, d: Dialog, why: str = "") -> None:
        """Which decision, and why it was wrong."""
        await d.end(d.t("There is no decision about you."))

    @dialog
    async def show_reports(self, d: Dialog) -> None:
        """What was decided about the person, to be appealed."""
        await self.appeal_decision(d)

