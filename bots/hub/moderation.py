"""Reports: made in two taps, decided by moderators, appealed.

Who flags a message with 🚩, or replies “report” to it, is asked why in their own chat, and what moderators may see of
it: a message of an encrypted chat is theirs to share or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from bots.framework import Context, Dialog, InvalidValue, Option, Rest, command, dialog, message, own_chat, reaction
from bots.framework.i18n import _
from bots.hub import asides, words
from bots.hub.area import Area, lengths
from bridge.actor import Actor
from bridge.domain.moderation import Action, AppealState, State, possible
from bridge.errors import BridgeError

if TYPE_CHECKING:
    from bridge.moderation.cases import Case

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


MOST_CASES: Final = 20
LATER: Final = "later"
ACTIONS: Final[Mapping[Action, str]] = MappingProxyType(
    {
        Action.DISMISS: _("Nothing is wrong"),
        Action.WARN: _("Warn the person"),
        Action.MUTE: _("Let the person not write for a time"),
        Action.REMOVE: _("Remove the message"),
        Action.BAN: _("Ban the person from the chat"),
        Action.SUSPEND: _("Suspend the account"),
    }
)
APPEALS: Final[Mapping[AppealState, str]] = MappingProxyType(
    {
        AppealState.OPEN: _("appealed"),
        AppealState.UNDOING: _("appealed: granted"),
        AppealState.GRANTED: _("appealed: granted"),
        AppealState.REFUSED: _("appealed: refused"),
    }
)


@dataclass(frozen=True, slots=True)
class Reported:
    """A case, as a dialog records it."""

    id: str
    short: str
    subject: str
    chat: str
    message: bool
    reporters: int
    reasons: tuple[str, ...]
    evidence: tuple[tuple[str, bool], ...]
    can: tuple[str, ...]
    waits: bool


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
        own = await own_chat.own_chat(ctx, ctx.sender)
        asides.begin(ctx, own, self.report_what, room_id, event_id, person)

    @dialog
    async def report_what(self, d: Dialog, room_id: str, event_id: str, person: str) -> None:
        """Why, and what moderators may see; then it is theirs."""
        question = d.t("You report a message. Why?")
        if not event_id:
            question = d.t("You report {person}. Why?", person=person)
        reason = (await d.choose(question, [Option(value, d.t(text)) for value, text in REASONS.items()])).value
        evidence = ""
        sealed: bool = bool(event_id) and await d.look("sealed", self._sealed, room_id)
        if sealed:
            evidence = await d.ask(
                d.t(
                    "Moderators see who sent it and when, and of an encrypted chat not what it says. Paste here what "
                    "they shall read, or write “no”."
                )
            )
            evidence = "" if words.says_no(evidence) else evidence[:MOST_EVIDENCE]
        await self.try_step(d, "report", self._report, d.person, room_id, event_id, person, reason, evidence)
        await d.say(d.t("Thank you. Moderators decide, and you hear of it. “block” keeps somebody away from you."))

    async def _sealed(self, room_id: str) -> bool:
        """Whether moderators see only what is shared with them."""
        chat = self._messenger.registry.get(room_id)
        return chat is None or chat.encrypted

    async def _report(
        self, reporter: str, room_id: str, event_id: str, person: str, reason: str, evidence: str
    ) -> None:
        await self._messenger.moderation.report(reporter, room_id, event_id or person, reason, evidence)

    # Deciding

    @command("reports", help=_("Decide about reports, as a moderator: reports, reports ABC123"))
    async def reports(self, ctx: Context, which: Rest = "") -> None:
        """One after the other, or the one that is named: dismiss, warn, mute, remove the message, ban, suspend."""
        if await self.aside(ctx):
            ctx.start(self.decide_reports, which.strip())

    @dialog
    async def decide_reports(self, d: Dialog, which: str = "") -> None:
        """Each with what is known, and what can be done."""
        waiting: list[Reported] = await self.try_step(d, "queue", self._queue, d.person, which)
        if not waiting:
            await d.end(d.t("No report waits for you."))
        for case in waiting:
            if not await self._decide(d, case):
                return
        await d.say(d.t("That is all."))

    async def _queue(self, person: str, which: str) -> list[Reported]:
        actor, service = Actor.person(person), self._messenger.moderation
        if which:
            return [self._reported(await service.get(actor, which))]
        page = await service.queue(actor, limit=MOST_CASES)
        return [self._reported(each) for each in page.items if each.state is State.OPEN]

    def _reported(self, case: Case) -> Reported:
        chat = self._messenger.registry.get(case.room_id)
        local = case.subject.partition(":")[2] == self._messenger.steward.server_name
        can = [
            each.value
            for each in Action
            if possible(each, chat=chat is not None, event=bool(case.event_id), local=local and bool(case.subject))
        ]
        return Reported(
            case.id,
            case.short,
            case.subject,
            "" if chat is None else words.one_line(chat.name or chat.room_id),
            bool(case.event_id),
            len(case.reporters),
            tuple(words.one_line(each, 300) for each in case.reasons),
            tuple((words.one_line(each.body, 500), each.seen) for each in case.evidence),
            tuple(can),
            case.state is State.OPEN,
        )

    async def _decide(self, d: Dialog, case: Reported) -> bool:
        """Decide about one; whether to go on with the next."""
        if not case.waits:
            await d.say(d.t("Report {report} is decided already.", report=case.short))
            return True
        options = [Option(each, d.t(ACTIONS[Action(each)])) for each in case.can] + [Option(LATER, d.t("Later"))]
        await d.say(_shown(d, case))
        picked = (await d.choose(d.t("What do you decide?"), options)).value
        if picked == LATER:
            return False
        seconds = None
        if picked == Action.MUTE:
            seconds = await d.choose(
                d.t("For how long?"),
                lengths(d, 3_600, 86_400, 7 * 86_400, 30 * 86_400),
            )
        note = ""
        if picked != Action.DISMISS:
            note = await d.ask(d.t("A word to the person, in their language if you can? Or “no”."))
            note = "" if words.says_no(note) else note
        try:
            await d.step("act", self._act, d.person, case.id, picked, seconds, note, raises=(BridgeError,))
        except BridgeError as refused:
            # The next one may be decided all the same.
            await d.say(self.reason(d, refused))
        else:
            await d.say(d.t("Done: report {report}.", report=case.short))
        return True

    async def _act(self, person: str, report: str, action: str, seconds: int | None, note: str) -> None:
        service = self._messenger.moderation
        await self._careful(lambda: service.act(Actor.person(person), report, action, seconds=seconds, reason=note))

    @command("appeals", help=_("Look at appeals again, as a moderator"))
    async def appeals(self, ctx: Context) -> None:
        """One after the other: grant it, and what was done is undone, or refuse it."""
        if await self.aside(ctx):
            ctx.start(self.decide_appeals)

    @dialog
    async def decide_appeals(self, d: Dialog) -> None:
        """Each with what was decided, and why it was wrong."""
        waiting: list[tuple[Reported, str, str]] = await self.try_step(d, "appeals", self._appeals, d.person)
        if not waiting:
            await d.end(d.t("No appeal waits for you."))
        for case, decided, text in waiting:
            decision = d.t(ACTIONS[Action(decided)])
            said = d.t(
                "Decided: {decision}. {person} writes: {text}", decision=decision, person=case.subject, text=text
            )
            await d.say(f"{_shown(d, case)}\n{said}")
            answer = await d.choose(
                d.t("What do you decide?"),
                {d.t("Undo the decision"): "yes", d.t("The decision stays"): "no", d.t("Later"): LATER},
            )
            if answer == LATER:
                return
            note = await d.ask(d.t("A word to the person, in their language if you can? Or “no”."))
            note = "" if words.says_no(note) else note
            await self.try_step(d, "answer", self._answer_appeal, d.person, case.id, answer == "yes", note)
        await d.say(d.t("That is all."))

    async def _appeals(self, person: str) -> list[tuple[Reported, str, str]]:
        page = await self._messenger.moderation.appeals(Actor.person(person), limit=MOST_CASES)
        return [
            (self._reported(each.case), each.case.action.value, words.one_line(each.text, 500))
            for each in page.items
            if each.case.action is not None
        ]

    async def _answer_appeal(self, person: str, report: str, grant: bool, note: str) -> None:
        await self._messenger.moderation.answer_appeal(Actor.person(person), report, grant, note)

    # Appealing

    @command("appeal", help=_("Have a decision about you looked at again"), aliases=("decisions",))
    async def appeal(self, ctx: Context) -> None:
        """What was decided about you. Say in your own words why it was wrong: another moderator looks at it."""
        if await self.aside(ctx):
            ctx.start(self.appeal_decision)

    @dialog
    async def appeal_decision(self, d: Dialog) -> None:
        """Which decision, and why it was wrong."""
        found: list[tuple[str, str, int, str, str]] = await self.try_step(d, "decisions", self._decisions, d.person)
        if not found:
            await d.end(d.t("Nothing was decided about you."))
        options = []
        for report, action, at, note, appealed in found:
            about = [d.t("decided on {time}", time=datetime.fromtimestamp(at / 1000, UTC))]
            if note:
                about.append(note)
            if appealed:
                about.append(d.t(APPEALS[AppealState(appealed)]))
            options.append(Option(report, d.t(ACTIONS[Action(action)]), ", ".join(about)))
        options.append(Option(LATER, d.t("None of them")))
        picked = (await d.choose(d.t("What was decided about you. Which decision was wrong?"), options)).value
        if picked == LATER:
            await d.end(d.t("Everything stays as it is."))
        why = await d.ask(d.t("Why was it wrong? Another moderator reads it."))
        await self.try_step(d, "appeal", self._appeal, d.person, picked, why)
        await d.say(d.t("Another moderator looks at it. You hear of it here."))

    async def _decisions(self, person: str) -> list[tuple[str, str, int, str, str]]:
        found = await self._messenger.moderation.decisions(person)
        return [
            (each.id, each.action.value, each.decided_at, words.one_line(each.note, 120), each.appealed or "")
            for each in found[:MOST_CASES]
        ]

    async def _appeal(self, person: str, report: str, why: str) -> None:
        await self._messenger.moderation.appeal(person, report, why)


def _shown(d: Dialog, case: Reported) -> str:
    """A case, as moderators read it."""
    where = case.chat or d.t("no chat of ours")
    about = d.t("Report {report}: {person}, in “{chat}”.", report=case.short, person=case.subject, chat=where)
    if case.message:
        about = d.t(
            "Report {report}: a message of {person} in “{chat}”.", report=case.short, person=case.subject, chat=where
        )
    lines = [about, d.n("Reported by {count} person.", "Reported by {count} people.", case.reporters)]
    lines += [d.t("Why: {reason}", reason=d.t(REASONS[each]) if each in REASONS else each) for each in case.reasons]
    for body, seen in case.evidence:
        lines.append(d.t("It says: {text}", text=body) if seen else d.t("It says, by the reporter: {text}", text=body))
    return "\n".join(lines)
