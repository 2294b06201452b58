"""Reports: made by people, by their clients, and by Rialto's own limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from appservice.events import InternalEvent
from appservice.homeserver import HomeserverError
from bridge.actor import SYSTEM
from bridge.chats.plans import checked
from bridge.domain import texts
from bridge.domain.moderation import State, target_of
from bridge.domain.ulids import ENTROPY_BYTES, ulid
from bridge.errors import Conflict, NotFound, Refused, TooMany
from bridge.moderation import cases
from bridge.moderation.base import DAY_MS, Base
from bridge.moderation.cases import Case
from bridge.moderation.words import Evidence, Words
from bridge.steward import Steward
from bridge.store import moderation as store
from bridge.store.chats import Chat
from bridge.store.moderation import Report


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


class Reporting(Base):
    """Takes reports. The same again adds to what was said before."""

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
            await self.count_open()
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
            await self.count_open()
        return new

    async def report_by_limit(self, subject: str, chat: Chat | None, reason: str, key: str) -> None:
        """Rialto's own limits have found somebody.

        Args:
            key: of the cause: there is one report for it.
        """
        target = Target("" if chat is None else chat.room_id, "", subject, "" if chat is None else chat.workspace)
        await self._keep(SYSTEM.name, target, Words(reason), "limit", f"limit:{key}")
        await self.count_open()

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
        return self._look(room_id) if room_id.startswith("!") else None

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
                found = await self._database.read(
                    lambda it: store.of_reporter(it, reporter, target.key, undecided=False)
                )
                if found is None:
                    raise
                return await self._case(found.id), False
        case, new = outcome[-1]
        if new:
            self._metrics.reports.labels(source).inc()
        return case, new


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
