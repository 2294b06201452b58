"""Appeals: a decision is looked at again by another moderator, and undone when it was wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection

from appservice.events import InternalEvent
from appservice.homeserver import HomeserverError
from bridge.actor import SYSTEM, Actor
from bridge.chats.service import read_cursor
from bridge.domain.moderation import UNDONE, Action, AppealState, AppealStep, State, advance_appeal
from bridge.domain.pages import USUAL, Page, bounded, cursor
from bridge.errors import Conflict, NotAllowed, NotFound, Refused
from bridge.moderation import cases
from bridge.moderation.base import DAY_MS, RETRY_MS, Base
from bridge.moderation.cases import Appealed, Decision
from bridge.moderation.words import prose
from bridge.store import moderation as store
from bridge.store.moderation import Appeal, Report

log = logging.getLogger(__name__)

MOST_DECISIONS: Final = 100


class Appealing(Base):
    """Shows people what was decided about them, and takes their appeals."""

    async def decisions(self, user_id: str) -> list[Decision]:
        """What was decided about a person, the newest first."""

        def read(connection: Connection) -> list[Decision]:
            found = store.against(connection, user_id, MOST_DECISIONS)
            return [cases.decision_of(connection, self._book, each) for each in found]

        return await self._database.read(read)

    async def decision_of(self, token: str) -> tuple[str, Decision]:
        """Whom a link for an appeal is about, and the decision.

        Raises:
            NotFound: it is no such link (any more).
        """
        report_id = self._appeal_links.read(token)

        def read(connection: Connection) -> tuple[str, Decision] | None:
            report = None if report_id is None else store.get(connection, report_id)
            if report is None or report.state is not State.DONE or report.action in {None, Action.DISMISS}:
                return None
            return report.subject, cases.decision_of(connection, self._book, report)

        found = await self._database.read(read)
        if found is None or not found[0].startswith("@"):
            raise NotFound("no_such_decision", "There is no such decision.")
        return found

    async def appeal(self, user_id: str, report_id: str, text: str) -> Decision:
        """Ask for a decision about oneself to be looked at again, by another moderator. Once for each.

        Raises:
            NotFound: there is no such decision about them.
            Refused: it is too long ago, or says nothing.
            Conflict: it was appealed already.
        """
        text = prose(text)
        if not text:
            raise Refused("reason_missing", "Say why the decision was wrong.")
        report = await self._find(report_id)
        if report.subject != user_id or report.state is not State.DONE or report.action in {None, Action.DISMISS}:
            raise NotFound("no_such_decision", "There is no such decision about you.")
        now = self._clock.now_ms()
        if now - (report.decided_at or 0) > self._limits.appeal_days * DAY_MS:
            raise Refused("appeal_late", f"A decision is appealed within {self._limits.appeal_days} days.")
        words = self._book.seal_text(text, f"appeal:{report.id}") or b""

        def work(connection: Connection) -> Iterable[InternalEvent]:
            if not store.add_appeal(connection, Appeal(report.id, user_id, words, AppealState.OPEN, now)):
                raise Conflict("appealed", "This decision was appealed already.")
            self._note(connection, user_id, "appeal.make", report, "open")
            return self._desk.tell(f"{report.id} appeal", "appeal", report.id)

        await self._raise_events(work)
        return await self._database.read(lambda connection: cases.decision_of(connection, self._book, report))

    async def appeals(self, actor: Actor, *, after: str | None = None, limit: int = USUAL) -> Page[Appealed]:
        """A page of appeals that wait, the oldest decision first.

        Raises:
            NotAllowed: only moderators see them.
        """
        self._authority.require(actor)
        place, limit = read_cursor(after, str), bounded(limit)

        def read(connection: Connection) -> list[Appealed]:
            start = None if place is None else place[0]
            found = store.appeals_page(connection, AppealState.OPEN, start, limit + 1)
            pairs = [(each, store.get(connection, each.report_id)) for each in found]
            return [cases.appealed_of(connection, self._book, each, it) for each, it in pairs if it is not None]

        found = await self._database.read(read)
        items = found[:limit]
        return Page(items, cursor(items[-1].case.id) if len(found) > limit else None)

    async def answer_appeal(self, actor: Actor, report_id: str, grant: bool, reason: str = "") -> Appealed:
        """Decide about an appeal. What is granted is undone: a mute, a ban, a suspension.

        Raises:
            NotAllowed: not by who made the decision, where there is another moderator.
            Conflict: there is no appeal that waits.
        """
        self._authority.require(actor)
        note = prose(reason)
        report = await self._find(report_id)
        if actor.user_id and actor.user_id in {report.decided_by, report.subject} and self._others(actor.user_id):
            raise NotAllowed("another_moderator", "Somebody else than who decided looks at an appeal.")
        now = self._clock.now_ms()
        state = advance_appeal(AppealState.OPEN, AppealStep.GRANT if grant else AppealStep.REFUSE)
        values = {
            "note": self._book.seal_text(note, f"answer:{report.id}"),
            "due_at": now if grant else None,
            "decided_by": actor.name,
            "decided_at": now,
        }

        def work(connection: Connection) -> Iterable[InternalEvent]:
            if not store.change_appeal(connection, report.id, AppealState.OPEN, state=state, **values):
                raise Conflict("no_appeal", "No appeal against this decision waits.")
            self._note(connection, actor.name, "appeal.decide", report, "granted" if grant else "refused")
            return () if grant else self._answered(report, "appeal.refused", note)

        async with self.lock(report.id):
            await self._raise_events(work)
            if grant:
                await self._undo(report, note)
        return await self._appealed(report)

    def _others(self, user_id: str) -> bool:
        return any(each != user_id for each in self._authority.moderators)

    def _answered(self, report: Report, code: str, note: str) -> list[InternalEvent]:
        values = {"report": report.id[-cases.SHORT :], "reason": note}
        told = self._notices.event(f"{code} {report.id}", report.subject, code, values)
        return told + self._desk.tell(f"{report.id} {code}", "answered", report.id)

    async def _appealed(self, report: Report) -> Appealed:
        def read(connection: Connection) -> Appealed | None:
            found = store.appeal(connection, report.id)
            return None if found is None else cases.appealed_of(connection, self._book, found, report)

        found = await self._database.read(read)
        if found is None:
            raise NotFound("no_appeal", "There is no such appeal.")
        return found

    async def _undo(self, report: Report, note: str) -> bool:
        """Undo a decision; False when it is tried again later."""
        try:
            if report.action in UNDONE:
                await self._actions.undo(report)
        except HomeserverError as error:
            if error.temporary:
                due_at = self._clock.now_ms() + RETRY_MS
                await self._database.write(
                    lambda it: store.change_appeal(it, report.id, AppealState.UNDOING, due_at=due_at)
                )
                self.wake()
                return False
            log.warning("a decision could not be undone: %s", error, extra={"report": report.id})
        except Refused as error:
            log.warning("a decision could not be undone: %s", error.code, extra={"report": report.id})

        def work(connection: Connection) -> Iterable[InternalEvent]:
            finished = advance_appeal(AppealState.UNDOING, AppealStep.FINISH)
            if not store.change_appeal(connection, report.id, AppealState.UNDOING, state=finished, due_at=None):
                return ()
            self._note(connection, SYSTEM.name, "appeal.undo", report, "done")
            return self._answered(report, "appeal.granted", note)

        await self._raise_events(work)
        return True

    async def _undo_again(self, appeal: Appeal, now: int) -> int:
        def read(connection: Connection) -> tuple[Appeal | None, Report | None]:
            return store.appeal(connection, appeal.report_id), store.get(connection, appeal.report_id)

        again, report = await self._database.read(read)
        if again is None or report is None or again.state is not AppealState.UNDOING or (again.due_at or 0) > now:
            return 0
        return await self._undo(report, self._book.open_text(again.note, f"answer:{report.id}"))
