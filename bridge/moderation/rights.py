"""What moderation holds about a person: handed out, and erased."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from bridge.moderation.suspensions import reason_of
from bridge.moderation.words import Book
from bridge.store import moderation as store
from bridge.store import policies, suspensions


class Part:
    """Moderation's part of a person's rights. Who reported somebody is the reporter's, and not told to them."""

    name = "moderation"

    def __init__(self, book: Book) -> None:
        self._book = book

    def export(self, connection: Connection, person: str) -> Iterable[tuple[str, Any]]:
        """What they have reported, what was decided about them, their appeals, and where lists have them banned."""
        reported = []
        for each in store.reports_by(connection, person):
            words = self._book.open(each.words, each.id)
            reported.append(
                {
                    "id": each.id,
                    "room": each.room_id,
                    "event_id": each.event_id,
                    "subject": each.subject,
                    "source": each.source,
                    "reason": words.reason,
                    "evidence": [item.body for item in words.evidence],
                    "state": each.state.value,
                    "created_at": each.created_at,
                }
            )
        yield "moderation/reported.json", reported
        decided = [
            {
                "id": each.id,
                "room": each.room_id,
                "event_id": each.event_id,
                "action": None if each.action is None else each.action.value,
                "seconds": each.seconds,
                "note": self._book.open_text(each.note, f"note:{each.leader or each.id}"),
                "decided_at": each.decided_at,
            }
            for each in store.reports_about(connection, person)
        ]
        yield "moderation/decisions.json", decided
        appeals = [
            {
                "decision": each.report_id,
                "text": self._book.open_text(each.words, f"appeal:{each.report_id}"),
                "state": each.state.value,
                "answer": self._book.open_text(each.note, f"answer:{each.report_id}"),
                "created_at": each.created_at,
                "decided_at": each.decided_at,
            }
            for each in store.appeals_of(connection, person)
        ]
        yield "moderation/appeals.json", appeals
        yield "moderation/bans.json", policies.banned_in(connection, person)
        suspended = [
            {
                "product": each.product,
                "state": each.state.value,
                "reason": reason_of(self._book, each),
                "since": each.since,
            }
            for each in suspensions.about(connection, person)
        ]
        yield "moderation/suspensions.json", suspended

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """Their words go, and what was written about them; the decisions stay, about a pseudonym."""
        store.erase(connection, person, pseudonym)
        policies.erase(connection, person)
        suspensions.erase(connection, person)
