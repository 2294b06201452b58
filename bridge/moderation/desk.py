"""The moderators' queue: an encrypted room of ``@rialto``, in which it tells them of reports as they come.

What is told holds what reporters chose to share, so it goes by the hub, which has a device, and never by the steward.
The room is made when there is something to tell, or at the start; who is in it is who moderates by the configuration.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final, Protocol

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.events import InternalEvent
from appservice.homeserver import HomeserverError
from appservice.unit import UnitOfWork
from bridge.actor import SYSTEM
from bridge.audit import Audit, Scribe
from bridge.background import Background
from bridge.domain.moderation import MOST_EVIDENCE_TEXT
from bridge.moderation import cases
from bridge.moderation.authority import Authority
from bridge.moderation.cases import Case
from bridge.moderation.words import Book
from bridge.notices import Notices
from bridge.registry import Registry
from bridge.steward import Steward
from bridge.store import moderation as store

log = logging.getLogger(__name__)

TELL: Final = "rialto.messenger.moderation"
"""The internal event: ``{"what": …, "report": id}``, to be told in the queue's room."""
CONSUMER: Final = "bridge:moderation"
PURPOSE: Final = "moderation"
NAME: Final = "Moderation"
TOPIC: Final = "Reports of people, as they come. What stands here is confidential."
EVERY_MS: Final = 3_600_000
CODES: Final = {
    "new": "queue.report",
    "more": "queue.more",
    "done": "queue.done",
    "failed": "queue.failed",
    "appeal": "queue.appeal",
    "answered": "queue.answered",
    "bans": "queue.bans",
}


class Maker(Protocol):
    """What is needed of :class:`bridge.chats.Chats`."""

    async def group(
        self, purpose: str, maker: str, name: str, people: Iterable[str], *, topic: str = "", encrypted: bool = True
    ) -> str: ...


class Desk:
    """Knows the room, keeps the moderators in it, and has things told there."""

    def __init__(
        self,
        maker: Maker,
        hand: Steward,
        authority: Authority,
        database: Database,
        registry: Registry,
        notices: Notices,
        audit: Audit,
        book: Book,
        clock: Clock,
    ) -> None:
        """
        Args:
            hand: acts as ``@rialto``; its ``user_id`` is '' where there is none: then nothing is told.
        """
        self._maker = maker
        self._hand = hand
        self._authority = authority
        self._database = database
        self._registry = registry
        self._notices = notices
        self._note = Scribe(audit, clock)
        self._book = book
        self._clock = clock
        self._next_at = 0
        self.room_id = ""
        """The room, once it is known."""
        self.background = Background("moderation-room", clock, self.run_due, self._upcoming)

    @property
    def open(self) -> bool:
        """Whether anybody is told."""
        return bool(self._hand.user_id and self._authority.moderators)

    def tell(self, key: str, what: str, report_id: str, values: dict[str, Any] | None = None) -> list[InternalEvent]:
        """The events to be raised so that moderators are told; once for a key."""
        if not self.open:
            return []
        content = {"what": what, "report": report_id, "values": values or {}}
        return [InternalEvent(f"queue:{what}:{key}", CONSUMER, "moderation:queue", TELL, content)]

    async def handle(self, content: dict[str, Any], unit: UnitOfWork) -> None:
        """Tell what an event of :meth:`tell` says."""
        room_id = await self.room()
        if not room_id:
            return
        what, report_id = str(content.get("what")), str(content.get("report"))
        values = content.get("values")
        shown: dict[str, Any] = values if isinstance(values, dict) else {}
        if report_id:
            found = await self._database.read(lambda connection: self._values(connection, report_id))
            if found is None:
                return
            shown = found | shown
        for event in self._notices.in_room(f"{unit.event_id} queue", room_id, CODES.get(what, what), shown):
            unit.emit(event)

    async def room(self) -> str:
        """The room; made when there is none. '' when nobody is to be told.

        Raises:
            HomeserverError: it could not be made now.
        """
        if not self.open:
            return ""
        if not self.room_id:
            people = self._authority.moderators
            self.room_id = await self._maker.group(PURPOSE, self._hand.user_id, NAME, people, topic=TOPIC)
        return self.room_id

    async def run_due(self) -> int:
        """Have exactly the moderators in the room."""
        now = self._clock.now_ms()
        if not self.open or now < self._next_at:
            return 0
        room_id = await self.room()
        try:
            await self._gather(room_id)
        except HomeserverError as error:
            if error.temporary:
                raise
            log.warning("the moderators' room cannot be kept: %s", error)
            self.room_id = ""  # it is made anew when there is something to tell
        self._next_at = now + EVERY_MS
        return 0

    async def _gather(self, room_id: str) -> None:
        wanted = set(self._authority.moderators)
        there: dict[str, str] = {}
        for raw in await self._hand.member_events(room_id):
            there[str(raw.get("state_key"))] = str(raw.get("content", {}).get("membership"))
        for user_id in sorted(wanted):
            if there.get(user_id, "leave") == "leave":
                await self._one(self._hand.invite(room_id, user_id), user_id)
        for user_id, membership in sorted(there.items()):
            if membership in {"join", "invite"} and user_id not in wanted | {self._hand.user_id}:
                # Somebody who moderates no more reads no more.
                await self._one(self._hand.kick(room_id, user_id, "no moderator any more"), user_id)
                await self._database.write(
                    lambda it, who=user_id: self._note(it, SYSTEM.name, "moderators.remove", who)  # type: ignore[misc]
                )

    @staticmethod
    async def _one(change: Any, user_id: str) -> None:
        try:
            await change
        except HomeserverError as error:
            if error.temporary:
                raise
            log.warning("the moderators' room: %s", error, extra={"person": user_id})

    async def _upcoming(self) -> int | None:
        return self._next_at if self.open else None

    def _values(self, connection: Connection, report_id: str) -> dict[str, Any] | None:
        report = store.get(connection, report_id)
        if report is None:
            return None
        case = cases.case_of(connection, self._book, report)
        appeal = store.appeal(connection, report_id)
        values = self._shown(case)
        if appeal is not None:
            values["appeal"] = self._book.open_text(appeal.words, f"appeal:{report_id}")
            values["answer"] = appeal.state.value
        return values

    def _shown(self, case: Case) -> dict[str, Any]:
        """What stands in the sentences of the queue. Never more than a message holds."""
        chat = self._registry.get(case.room_id)
        evidence = " | ".join(f"“{each.body}”" + ("" if each.seen else " (not verified)") for each in case.evidence)
        return {
            "report": case.short,
            "subject": case.subject or "?",
            "chat": (chat.name or chat.room_id) if chat is not None else case.room_id or "-",
            "message": case.event_id or "-",
            "reporters": ", ".join(case.reporters[:5]),
            "count": len(case.reporters),
            "reason": "; ".join(dict.fromkeys(case.reasons)) or "-",
            "evidence": evidence[:MOST_EVIDENCE_TEXT] or "-",
            "action": "" if case.action is None else case.action.value,
            "by": case.decided_by or "",
            "problem": case.problem or "",
            "appeal": "",
            "answer": "",
        }
