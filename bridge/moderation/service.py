"""Reports decided by moderators, and done at the homeserver."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from appservice.events import InternalEvent
from appservice.homeserver import HomeserverError
from bridge.actor import SYSTEM, Actor
from bridge.background import Background
from bridge.chats.service import read_cursor
from bridge.domain.moderation import LONGEST_MUTE_S, Action, Impossible, State, Step, advance, possible
from bridge.domain.pages import USUAL, Page, bounded, cursor
from bridge.errors import Conflict, NotAllowed, Refused
from bridge.moderation import cases
from bridge.moderation.appealing import Appealing
from bridge.moderation.base import DAY_MS, RETRY_MS, Ground, Limits, RaiseEvents
from bridge.moderation.cases import Case
from bridge.moderation.reporting import Reporting
from bridge.moderation.words import prose
from bridge.store import moderation as store
from bridge.store.moderation import Report

__all__ = ["Ground", "Limits", "ModerationService", "RaiseEvents"]

LONGEST_RETRY_MS: Final = 3_600_000
TIDY_MS: Final = 3_600_000
BATCH: Final = 20
USUAL_MUTE_S: Final = 86_400


class ModerationService(Reporting, Appealing):
    """Takes reports and has them decided."""

    def __init__(self, ground: Ground, limits: Limits | None = None) -> None:
        super().__init__(ground, limits)
        self._tidied_at = 0
        self.background = Background("moderation", self._clock, self.run_due, self._upcoming)

    def wake(self) -> None:
        """Something is to be done later."""
        self.background.wake()

    # Looking

    async def queue(
        self,
        actor: Actor,
        *,
        state: str = "open",
        after: str | None = None,
        limit: int = USUAL,
    ) -> Page[Case]:
        """A page of cases, the oldest first.

        Args:
            state: ``open`` (not decided, or not done yet) or ``done``.

        Raises:
            NotAllowed: only moderators see them.
            Refused: the cursor or the state cannot be.
        """
        workspace = self._authority.workspace(actor)
        states = {"open": (State.OPEN, State.ACTING), "done": (State.DONE,)}.get(state)
        if states is None:
            raise Refused("state_invalid", "Reports are open or done.")
        place, limit = read_cursor(after, str), bounded(limit)

        def read(connection: Connection) -> list[Case]:
            found = store.page(
                connection,
                states=states,
                workspace=workspace,
                after=None if place is None else place[0],
                limit=limit + 1,
            )
            return [cases.case_of(connection, self._book, each) for each in found]

        found = await self._database.read(read)
        items = found[:limit]
        return Page(items, cursor(items[-1].id) if len(found) > limit else None)

    async def get(self, actor: Actor, report_id: str) -> Case:
        """A case, by the id of one of its reports, or by the last characters of it.

        Raises:
            NotFound: there is none, or it is another's.
        """
        report = await self._find(report_id)
        self._authority.over(actor, report.workspace)
        return await self._case(report.id)

    # Deciding

    async def act(
        self,
        actor: Actor,
        report_id: str,
        action: Action | str,
        *,
        seconds: int | None = None,
        reason: str = "",
    ) -> Case:
        """Decide about a case, and do it. When the homeserver is away it is done later: the case is ``acting`` until
        then. The reporters and the person are told.

        Args:
            seconds: of a mute: a day unless said.
            reason: a word to the person.

        Raises:
            NotAllowed: not by this one, or Rialto may not do that.
            Conflict: it is decided already, or what it is about is gone.
            Refused: this action cannot be about this target.
        """
        wanted = _action(action)
        note = prose(reason)
        if wanted is Action.MUTE:
            seconds = USUAL_MUTE_S if seconds is None else seconds
            if not 1 <= seconds <= LONGEST_MUTE_S:
                raise Refused("time_invalid", "A mute lasts from a second to a year.", most=LONGEST_MUTE_S)
        else:
            seconds = None
        report = await self._find(report_id)
        self._authority.over(actor, report.workspace)
        async with self.lock(report.id):
            report = await self._decide(actor, await self._find(report.id), wanted, seconds, note)
            refused = await self._carry_out(report)
        if refused is not None:
            raise refused
        return await self._case(report.id)

    async def _decide(self, actor: Actor, report: Report, action: Action, seconds: int | None, note: str) -> Report:
        try:
            after = advance(report.state, Step.DECIDE)
        except Impossible:
            raise Conflict("decided", "This report is decided already.", state=report.state.value) from None
        if report.subject == actor.user_id and actor.user_id:
            raise NotAllowed("about_you", "This report is about you: somebody else decides.")
        local = report.subject.partition(":")[2] == self._server_name
        chat = report.room_id in self._registry
        if not possible(action, chat=chat, event=bool(report.event_id), local=local and bool(report.subject)):
            raise Refused("action_impossible", "That cannot be done about this report.", action=action.value)
        if action is Action.SUSPEND and (actor.product or not self._actions.suspends):
            if actor.product:
                raise NotAllowed("not_a_moderator", "Only moderators suspend accounts.")
            raise NotAllowed("no_administration", "The operator has not let Rialto administer accounts.")
        now = self._clock.now_ms()
        values: dict[str, Any] = {
            "action": action,
            "seconds": seconds,
            "note": self._book.seal_text(note, f"note:{report.id}"),
            "problem": None,
            "attempts": 0,
            "due_at": now,
            "decided_by": actor.name,
            "decided_at": now,
        }

        def work(connection: Connection) -> Report:
            if not store.change(connection, report, report.state, state=after, **values):
                raise Conflict("decided", "This report is decided already.")
            details = {"report": report.id, "action": action.value, "seconds": seconds, "reporter": report.reporter}
            self._note(connection, actor.name, "report.decide", report, action.value, details)
            return replace(report, state=after, **values)

        return await self._database.write(work)

    async def _carry_out(self, report: Report) -> Refused | None:
        """Do what was decided; why it cannot be done. It is tried again later while the homeserver is away."""
        note = self._book.open_text(report.note, f"note:{report.id}")
        try:
            await self._actions.do(report, note)
        except Refused as error:
            await self._failed(report, error.code)
            return error
        except HomeserverError as error:
            if error.temporary:
                await self._later(report)
                return None
            await self._failed(report, "homeserver_refused")
            return Refused("homeserver_refused", "The homeserver refuses that.", errcode=error.errcode)
        await self._done(report, note)
        return None

    async def _done(self, report: Report, note: str) -> None:
        now = self._clock.now_ms()
        action = report.action or Action.DISMISS
        chat = self._registry.get(report.room_id)
        values = {
            "report": report.id[-cases.SHORT :],
            "chat": "" if chat is None else chat.name or chat.room_id,
            "reason": note,
            "seconds": report.seconds or 0,
            "days": self._limits.appeal_days,
        }

        def work(connection: Connection) -> Iterable[InternalEvent]:
            if not store.change(
                connection, report, report.state, state=advance(report.state, Step.FINISH), due_at=None
            ):
                return []
            told: list[InternalEvent] = []
            people = [each.reporter for each in (report, *store.followers(connection, report.id))]
            for person in dict.fromkeys(people):
                if person.startswith("@"):
                    code = "report.dismissed" if action is Action.DISMISS else "report.acted"
                    told += self._notices.event(f"report {report.id} {person}", person, code, values)
            if action is not Action.DISMISS and report.subject:
                code = f"moderation.{action.value}"
                # Who is suspended can write to nobody: a page takes their appeal.
                link = self._appeal_links.make(report.id) if action is Action.SUSPEND else ""
                told += self._notices.event(f"decision {report.id}", report.subject, code, values | {"link": link})
            told += self._desk.tell(f"{report.id} {report.attempts} done", "done", report.id)
            self._note(connection, report.decided_by or SYSTEM.name, "report.act", report, action.value)
            return told

        await self._raise_events(work)
        self._metrics.moderation_actions.labels(action.value).inc()
        decided = report.decided_at if report.decided_at is not None else now
        self._metrics.report_seconds.observe(max(decided - report.created_at, 0) / 1000)
        await self.count_open()

    async def _failed(self, report: Report, code: str) -> None:
        def work(connection: Connection) -> Iterable[InternalEvent]:
            values = {"action": None, "seconds": None, "note": None, "decided_by": None, "decided_at": None}
            again = advance(report.state, Step.FAIL)
            if not store.change(connection, report, report.state, state=again, problem=code, due_at=None, **values):
                return []
            details = {"report": report.id, "problem": code}
            self._note(connection, report.decided_by or SYSTEM.name, "report.act", report, "failed", details)
            return self._desk.tell(f"{report.id} {report.decided_at} {report.action}", "failed", report.id)

        await self._raise_events(work)

    async def _later(self, report: Report) -> None:
        pause = min(RETRY_MS * 2 ** min(report.attempts, 10), LONGEST_RETRY_MS)
        due_at, attempts = self._clock.now_ms() + pause, report.attempts + 1
        await self._database.write(
            lambda connection: store.change(connection, report, State.ACTING, due_at=due_at, attempts=attempts)
        )
        self.background.wake()

    # What goes on by itself

    async def run_due(self) -> int:
        """Do what was decided and could not be done at once; forget words that are old. How much was done."""
        now = self._clock.now_ms()
        done = 0
        for report in await self._database.read(lambda connection: store.due(connection, now, BATCH)):
            async with self.lock(report.id):
                again = await self._database.read(lambda connection, it=report: store.get(connection, it.id))  # type: ignore[misc]
                if again is not None and again.state is State.ACTING and (again.due_at or 0) <= now:
                    await self._carry_out(again)
                    done += 1
        for appeal in await self._database.read(lambda connection: store.undoing(connection, now, BATCH)):
            async with self.lock(appeal.report_id):
                done += await self._undo_again(appeal, now)
        if now - self._tidied_at >= TIDY_MS:
            before = now - self._limits.evidence_days * DAY_MS
            if await self._database.write(lambda connection: store.forget_words(connection, before, 500)) < 500:
                self._tidied_at = now
        return done

    async def _upcoming(self) -> int | None:
        return await self._database.read(store.next_due)


def _action(word: Action | str) -> Action:
    try:
        return Action(word)
    except ValueError:
        raise Refused("no_such_action", "Moderators dismiss, warn, mute, remove, ban and suspend.") from None
