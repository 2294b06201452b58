"""Reports: made by people and their clients, decided by moderators, done at the homeserver, appealed."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from weakref import WeakValueDictionary

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.events import InternalEvent
from appservice.homeserver import HomeserverError
from appservice.metrics import Metrics
from bridge.actor import SYSTEM, Actor
from bridge.audit import Audit
from bridge.background import Background
from bridge.chats.plans import checked
from bridge.chats.service import read_cursor
from bridge.domain import texts
from bridge.domain.moderation import LONGEST_MUTE_S, UNDONE, Action, AppealState, State, possible, target_of
from bridge.domain.pages import USUAL, Page, bounded, cursor
from bridge.domain.ulids import ENTROPY_BYTES, ulid
from bridge.errors import Conflict, NotAllowed, NotFound, Refused, TooMany
from bridge.moderation import cases
from bridge.moderation.actions import Actions
from bridge.moderation.authority import Authority
from bridge.moderation.cases import Appealed, Case, Decision
from bridge.moderation.desk import Desk
from bridge.moderation.words import Book, Evidence, Words, prose
from bridge.notices import Notices
from bridge.registry import Registry
from bridge.steward import Steward
from bridge.store import moderation as store
from bridge.store.chats import Chat
from bridge.store.moderation import Appeal, Report

log = logging.getLogger(__name__)

DAY_MS: Final = 86_400_000
RETRY_MS: Final = 15_000
LONGEST_RETRY_MS: Final = 3_600_000
TIDY_MS: Final = 3_600_000
BATCH: Final = 20
USUAL_MUTE_S: Final = 86_400
MOST_DECISIONS: Final = 100

RaiseEvents = Callable[[Callable[[Connection], Iterable[InternalEvent]]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the configuration says.

    Attributes:
        reports_per_day: of one person.
        evidence_days: how long the words of a report are kept after its decision.
        appeal_days: how long after a decision it can be appealed.
    """

    reports_per_day: int = 30
    evidence_days: int = 90
    appeal_days: int = 30


@dataclass(frozen=True, slots=True)
class Target:
    """What a report is about."""

    room_id: str
    event_id: str
    subject: str
    workspace: str
    seen: str = ""
    """What the message says, where the server may read it."""

    @property
    def key(self) -> str:
        """Reports of the same are decided together."""
        return target_of(self.room_id, self.event_id, self.subject)


class ModerationService:
    """Takes reports and has them decided."""

    def __init__(
        self,
        steward: Steward,
        database: Database,
        registry: Registry,
        actions: Actions,
        authority: Authority,
        desk: Desk,
        notices: Notices,
        raise_events: RaiseEvents,
        audit: Audit,
        book: Book,
        clock: Clock,
        metrics: Metrics,
        *,
        server_name: str,
        service_users: Collection[str],
        readers: Callable[[str], Iterable[str]],
        limits: Limits | None = None,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """
        Args:
            service_users: the bots and the steward; nobody reports them, and nothing is done to them.
            readers: who of them is in a room that is no chat of ours.
        """
        self._steward = steward
        self._database = database
        self._registry = registry
        self._actions = actions
        self._authority = authority
        self._desk = desk
        self._notices = notices
        self._raise_events = raise_events
        self._audit = audit
        self._book = book
        self._clock = clock
        self._metrics = metrics
        self._server_name = server_name
        self._service_users = frozenset(service_users)
        self._readers = readers
        self._limits = limits or Limits()
        self._random = random
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tidied_at = 0
        self.background = Background("moderation", clock, self.run_due, self._upcoming)

    # Reporting

    async def report(
        self,
        reporter: str,
        where: Chat | str,
        what: str,
        reason: str = "",
        evidence: str | Sequence[str | Evidence] = (),
    ) -> Case:
        """Report a message or a person. The same again adds to what was said before, until it is decided.

        Args:
            where: the chat, or the room of a message; '' for a person as such.
            what: the event id of a message, or a user id.
            evidence: what moderators may read of it. Of a chat that is not encrypted they see the message anyway.

        Raises:
            NotFound: there is no such message, or the reporter is not where it is.
            Refused: nobody reports themselves, or Rialto.
            TooMany: more than somebody reports in a day.
        """
        words = Words.of(reason, evidence)
        room_id = where if isinstance(where, str) else where.room_id
        target = await self._target(reporter, room_id, what)
        if target.subject == reporter:
            raise Refused("report_yourself", "That is yourself; a message of your own you can remove.")
        if target.subject in self._service_users:
            raise Refused("report_rialto", "That is Rialto itself. Tell the operator of this server.")
        if target.seen:
            words = words.and_also(Words(evidence=(Evidence(target.seen, target.event_id, seen=True),)))
        case, new = await self._keep(reporter, target, words, "person", None)
        if new:
            await self._count_open()
        return case

    async def report_of_client(
        self, number: int, reporter: str, room_id: str, event_id: str, subject: str, reason: str
    ) -> bool:
        """A report that somebody's client has made to the homeserver; whether it was not known yet.

        Args:
            number: the homeserver's own of it.
            subject: who sent the message; '' when the homeserver does not know.
            reason: anything: clients are not checked.
        """
        chat = self._registry.get(room_id)
        if subject == reporter or subject in self._service_users:
            return False
        seen = ""
        if chat is not None and event_id:
            event = await self._steward.of(chat).event(chat.room_id, event_id)
            subject, seen = (subject, "") if event is None else (str(event.get("sender", subject)), _said(event))
        target = Target(room_id, event_id, subject, "" if chat is None else chat.workspace, seen)
        words = Words(_shortened(reason))
        if seen:
            words = words.and_also(Words(evidence=(Evidence(seen, event_id, seen=True),)))
        kind = "event" if event_id else "user"
        _, new = await self._keep(reporter, target, words, "client", f"{kind}:{number}")
        if new:
            await self._count_open()
        return new

    async def report_by_limit(self, subject: str, chat: Chat | None, reason: str, key: str) -> None:
        """Rialto's own limits have found somebody.

        Args:
            key: of the cause: there is one report for it.
        """
        target = Target("" if chat is None else chat.room_id, "", subject, "" if chat is None else chat.workspace)
        await self._keep(SYSTEM.name, target, Words(reason), "limit", f"limit:{key}")
        await self._count_open()

    async def _target(self, reporter: str, room_id: str, what: str) -> Target:
        chat = self._registry.get(room_id) if room_id else None
        workspace = "" if chat is None else chat.workspace
        if what.startswith("@"):
            with checked():
                subject = texts.user_id(what)
            if room_id and chat is None:
                room_id = ""
            if chat is not None:
                await self._there(self._steward.of(chat), chat.room_id, reporter, public=chat.public)
            return Target(room_id, "", subject, workspace)
        if not what.startswith("$") or len(what.encode(errors="replace")) > texts.MOST_ID or not what.isprintable():
            raise _no_message()
        hand = self._hand(room_id, chat)
        if hand is None:
            raise _no_message()
        await self._there(hand, room_id, reporter, public=chat is not None and chat.public)
        event = await hand.event(room_id, what)
        if event is None:
            raise _no_message()
        return Target(room_id, what, str(event.get("sender", "")), workspace, _said(event))

    def _hand(self, room_id: str, chat: Chat | None) -> Steward | None:
        """Who of us can look into a room."""
        if chat is not None:
            return self._steward.of(chat)
        reader = next(iter(sorted(self._readers(room_id))), None) if room_id.startswith("!") else None
        return None if reader is None else self._steward.as_user(reader)

    async def _there(self, hand: Steward, room_id: str, reporter: str, *, public: bool) -> None:
        """Only who is or was in a room reports what is in it: event ids are no secret."""
        try:
            known = public or await hand.state(room_id, "m.room.member", reporter) is not None
        except HomeserverError as error:
            if error.temporary:
                raise
            known = False
        if not known:
            raise _no_message()

    async def _keep(
        self, reporter: str, target: Target, words: Words, source: str, source_id: str | None
    ) -> tuple[Case, bool]:
        now = self._clock.now_ms()
        report_id = ulid(now, self._random(ENTROPY_BYTES))
        outcome: list[tuple[Case, bool]] = []

        def work(connection: Connection) -> Iterable[InternalEvent]:
            outcome.clear()
            known = store.of_reporter(connection, reporter, target.key, undecided=not target.event_id)
            if known is not None:
                said = self._book.open(known.words, known.id)
                more = said.and_also(words)
                added = more != said and known.state is not State.DONE
                if added:
                    store.set_words(connection, known.id, self._book.seal(more, known.id))
                leader = self._leader(connection, known)
                outcome.append((cases.case_of(connection, self._book, leader), False))
                # What was shared only now is to be seen too.
                told = added and bool(set(more.evidence) - set(said.evidence))
                return self._desk.tell(f"{known.id} {len(more.evidence)}", "more", leader.id) if told else ()
            since = now - DAY_MS
            if source == "person" and store.count_since(connection, reporter, since) >= self._limits.reports_per_day:
                raise TooMany("too_many_reports", "You have reported much today. Go on tomorrow.", retry_after=3_600)
            leader_now = store.leading(connection, target.key)
            report = Report(
                id=report_id,
                leader=None if leader_now is None else leader_now.id,
                target=target.key,
                room_id=target.room_id,
                event_id=target.event_id,
                subject=target.subject,
                reporter=reporter,
                source=source,
                source_id=source_id,
                workspace=target.workspace,
                words=self._book.seal(words, report_id),
                state=State.OPEN if leader_now is None else leader_now.state,
                created_at=now,
                due_at=None if leader_now is None else leader_now.due_at,
                action=None if leader_now is None else leader_now.action,
            )
            if not store.add(connection, report):
                raise Conflict("reported", "It was reported already.")
            leading = leader_now or report
            outcome.append((cases.case_of(connection, self._book, leading), True))
            self._note(connection, SYSTEM.name if source == "limit" else reporter, "report.make", report, "open")
            code = "new" if leader_now is None else "more"
            return self._desk.tell(report_id, code, leading.id)

        async with self.lock(f"report {reporter} {target.key}"):
            try:
                await self._raise_events(work)
            except Conflict:
                found = await self._database.read(lambda it: store.of_reporter(it, reporter, target.key, undecided=False))
                if found is None:
                    raise
                return await self._case(found.id), False
        case, new = outcome[-1]
        if new:
            self._metrics.reports.labels(source).inc()
        return case, new

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

    async def _find(self, word: str) -> Report:
        word = word.strip().lstrip("#").upper()

        def read(connection: Connection) -> Report | None:
            found = store.by_word(connection, word, cases.SHORT)
            return None if found is None else self._leader(connection, found)

        report = await self._database.read(read) if word.isalnum() and word.isascii() else None
        if report is None:
            raise NotFound("no_such_report", "There is no such report.")
        return report

    async def _case(self, report_id: str) -> Case:
        def read(connection: Connection) -> Case | None:
            found = store.get(connection, report_id)
            return None if found is None else cases.case_of(connection, self._book, self._leader(connection, found))

        case = await self._database.read(read)
        if case is None:
            raise NotFound("no_such_report", "There is no such report.")
        return case

    @staticmethod
    def _leader(connection: Connection, report: Report) -> Report:
        return (store.get(connection, report.leader) if report.leader else None) or report

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
        if report.state is not State.OPEN:
            raise Conflict("decided", "This report is decided already.", state=report.state.value)
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
            if not store.change(connection, report, State.OPEN, state=State.ACTING, **values):
                raise Conflict("decided", "This report is decided already.")
            details = {"report": report.id, "action": action.value, "seconds": seconds, "reporter": report.reporter}
            self._note(connection, actor.name, "report.decide", report, action.value, details)
            return replace(report, state=State.ACTING, **values)

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
            "report": report.id[-cases.SHORT:],
            "chat": "" if chat is None else chat.name or chat.room_id,
            "reason": note,
            "seconds": report.seconds or 0,
            "days": self._limits.appeal_days,
        }

        def work(connection: Connection) -> Iterable[InternalEvent]:
            if not store.change(connection, report, State.ACTING, state=State.DONE, due_at=None):
                return []
            told: list[InternalEvent] = []
            people = [each.reporter for each in (report, *store.followers(connection, report.id))]
            for person in dict.fromkeys(people):
                if person.startswith("@"):
                    code = "report.dismissed" if action is Action.DISMISS else "report.acted"
                    told += self._notices.event(f"report {report.id} {person}", person, code, values)
            if action is not Action.DISMISS and report.subject:
                code = f"moderation.{action.value}"
                told += self._notices.event(f"decision {report.id}", report.subject, code, values)
            told += self._desk.tell(f"{report.id} {report.attempts} done", "done", report.id)
            self._note(connection, report.decided_by or SYSTEM.name, "report.act", report, action.value)
            return told

        await self._raise_events(work)
        self._metrics.moderation_actions.labels(action.value).inc()
        decided = report.decided_at if report.decided_at is not None else now
        self._metrics.report_seconds.observe(max(decided - report.created_at, 0) / 1000)
        await self._count_open()

    async def _failed(self, report: Report, code: str) -> None:
        def work(connection: Connection) -> Iterable[InternalEvent]:
            values = {"action": None, "seconds": None, "note": None, "decided_by": None, "decided_at": None}
            if not store.change(
                connection, report, State.ACTING, state=State.OPEN, problem=code, due_at=None, **values
            ):
                return []
            details = {"report": report.id, "problem": code}
            self._note(connection, report.decided_by or SYSTEM.name, "report.act", report, "failed", details)
            return self._desk.tell(f"{report.id} {report.decided_at} failed", "failed", report.id)

        await self._raise_events(work)

    async def _later(self, report: Report) -> None:
        pause = min(RETRY_MS * 2 ** min(report.attempts, 10), LONGEST_RETRY_MS)
        due_at, attempts = self._clock.now_ms() + pause, report.attempts + 1
        await self._database.write(
            lambda connection: store.change(connection, report, State.ACTING, due_at=due_at, attempts=attempts)
        )
        self.background.wake()

    # Appeals

    async def decisions(self, user_id: str) -> list[Decision]:
        """What was decided about a person, the newest first."""

        def read(connection: Connection) -> list[Decision]:
            found = store.against(connection, user_id, MOST_DECISIONS)
            return [cases.decision_of(connection, self._book, each) for each in found]

        return await self._database.read(read)

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
        state = AppealState.UNDOING if grant else AppealState.REFUSED
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
        values = {"report": report.id[-cases.SHORT:], "reason": note}
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
                self.background.wake()
                return False
            log.warning("a decision could not be undone: %s", error, extra={"report": report.id})
        except Refused as error:
            log.warning("a decision could not be undone: %s", error.code, extra={"report": report.id})

        def work(connection: Connection) -> Iterable[InternalEvent]:
            if not store.change_appeal(
                connection, report.id, AppealState.UNDOING, state=AppealState.GRANTED, due_at=None
            ):
                return ()
            self._note(connection, SYSTEM.name, "appeal.undo", report, "done")
            return self._answered(report, "appeal.granted", note)

        await self._raise_events(work)
        return True

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

    async def _undo_again(self, appeal: Appeal, now: int) -> int:
        def read(connection: Connection) -> tuple[Appeal | None, Report | None]:
            return store.appeal(connection, appeal.report_id), store.get(connection, appeal.report_id)

        again, report = await self._database.read(read)
        if again is None or report is None or again.state is not AppealState.UNDOING or (again.due_at or 0) > now:
            return 0
        return await self._undo(report, self._book.open_text(again.note, f"answer:{report.id}"))

    async def _upcoming(self) -> int | None:
        return await self._database.read(store.next_due)

    async def _count_open(self) -> None:
        self._metrics.reports_open.set(await self._database.read(store.count_open))

    def lock(self, name: str) -> asyncio.Lock:
        """One at a time decides about a report."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    def _note(
        self,
        connection: Connection,
        actor: str,
        action: str,
        report: Report,
        outcome: str,
        details: dict[str, Any] | None = None,
    ) -> None:
        """An entry about a report, as the transaction's last write."""
        self._audit.append(
            connection,
            at=self._clock.now_ms(),
            actor=actor,
            action=action,
            subject=report.subject or f"report:{report.id}",
            outcome=outcome,
            details=details or {"report": report.id},
        )


def _action(word: Action | str) -> Action:
    try:
        return Action(word)
    except ValueError:
        raise Refused("no_such_action", "Moderators dismiss, warn, mute, remove, ban and suspend.") from None


def _no_message() -> NotFound:
    return NotFound("no_such_message", "There is no such message.")


def _said(event: dict[str, Any]) -> str:
    """What a message says, where the server may read it."""
    content = event.get("content")
    if event.get("type") != "m.room.message" or not isinstance(content, dict):
        return ""
    body, url = content.get("body"), content.get("url")
    parts = [each for each in (body, url) if isinstance(each, str) and each]
    return _shortened("\n".join(parts), 4_000)


def _shortened(text: object, most: int = 1_000) -> str:
    """A stranger's text as databases hold it and people may see it."""
    if not isinstance(text, str):
        return ""
    return "".join(each for each in text if each.isprintable() or each in "\n\t")[:most]
