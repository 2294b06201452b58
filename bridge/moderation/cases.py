"""Reports as moderators see them: what is about the same target is one case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from bridge.domain.moderation import Action, AppealState, State
from bridge.moderation.words import Book, Evidence, Words
from bridge.store import moderation as store
from bridge.store.moderation import Appeal, Report

SHORT: int = 6
"""Characters of a report's id, its last ones, that people call it by."""


@dataclass(frozen=True, slots=True)
class Case:
    """A report with those that are decided with it. Times in ms.

    Attributes:
        short: what moderators type.
        reporters: the first one first.
        reasons: one for each reporter who said one.
        reason: the first of them.
        workspace: the product whose chat it is in; '' for people's own.
        note: the moderator's word to the person.
        problem: the code of why what was decided could not be done.
        appealed: where the appeal stands; None without one.
    """

    id: str
    room_id: str
    event_id: str
    subject: str
    workspace: str
    reporters: tuple[str, ...]
    reasons: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    state: State
    created_at: int
    action: Action | None = None
    seconds: int | None = None
    note: str = ""
    problem: str | None = None
    decided_by: str | None = None
    decided_at: int | None = None
    appealed: AppealState | None = None

    @property
    def short(self) -> str:
        """Its id, as short as people type it."""
        return self.id[-SHORT:]

    @property
    def reason(self) -> str:
        """Why it was reported, in the first reporter's words."""
        return self.reasons[0] if self.reasons else ""


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that was decided about a person, as it is shown to them: neither who reported nor who decided."""

    id: str
    action: Action
    room_id: str
    event_id: str
    note: str
    decided_at: int
    seconds: int | None = None
    appealed: AppealState | None = None
    answer: str = ""

    @property
    def short(self) -> str:
        """Its id, as short as people type it."""
        return self.id[-SHORT:]


@dataclass(frozen=True, slots=True)
class Appealed:
    """An appeal, and the case that it is about."""

    case: Case
    user_id: str
    text: str
    state: AppealState
    created_at: int
    answer: str = ""


def case_of(connection: Connection, book: Book, report: Report) -> Case:
    """A case, by the report that leads it."""
    all_of = [report, *store.followers(connection, report.id)]
    said: Sequence[Words] = [book.open(each.words, each.id) for each in all_of]
    appeal = store.appeal(connection, report.id)
    evidence = tuple(dict.fromkeys(item for words in said for item in words.evidence))
    return Case(
        id=report.id,
        room_id=report.room_id,
        event_id=report.event_id,
        subject=report.subject,
        workspace=report.workspace,
        reporters=tuple(dict.fromkeys(each.reporter for each in all_of)),
        reasons=tuple(words.reason for words in said if words.reason),
        evidence=evidence,
        state=report.state,
        created_at=report.created_at,
        action=report.action,
        seconds=report.seconds,
        note=book.open_text(report.note, f"note:{report.id}"),
        problem=report.problem,
        decided_by=report.decided_by,
        decided_at=report.decided_at,
        appealed=None if appeal is None else appeal.state,
    )


def decision_of(connection: Connection, book: Book, report: Report) -> Decision:
    """What a person is shown of a decision about them."""
    if report.action is None or report.decided_at is None:
        raise ValueError("it is not decided")
    appeal = store.appeal(connection, report.id)
    return Decision(
        id=report.id,
        action=report.action,
        room_id=report.room_id,
        event_id=report.event_id,
        note=book.open_text(report.note, f"note:{report.id}"),
        decided_at=report.decided_at,
        seconds=report.seconds,
        appealed=None if appeal is None else appeal.state,
        answer="" if appeal is None else book.open_text(appeal.note, f"answer:{report.id}"),
    )


def appealed_of(connection: Connection, book: Book, appeal: Appeal, report: Report) -> Appealed:
    """An appeal as moderators see it."""
    return Appealed(
        case=case_of(connection, book, report),
        user_id=appeal.user_id,
        text=book.open_text(appeal.words, f"appeal:{report.id}"),
        state=appeal.state,
        created_at=appeal.created_at,
        answer=book.open_text(appeal.note, f"answer:{report.id}"),
    )
