"""Reports and appeals in the database. Plain functions on a connection."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, insert, or_, select, update
from sqlalchemy.engine import RowMapping

from appservice.database import insert_ignore
from bridge.domain.moderation import Action, AppealState, State
from bridge.store.moderation_tables import moderation_appeals as appeals
from bridge.store.moderation_tables import moderation_reports as reports

UNDECIDED: tuple[str, ...] = (State.OPEN.value, State.ACTING.value)


@dataclass(frozen=True, slots=True)
class Report:
    """A report as it is kept. ``words`` and ``note`` are sealed; times in ms."""

    id: str
    target: str
    room_id: str
    event_id: str
    subject: str
    reporter: str
    source: str
    workspace: str
    words: bytes
    state: State
    created_at: int
    leader: str | None = None
    source_id: str | None = None
    action: Action | None = None
    seconds: int | None = None
    note: bytes | None = None
    problem: str | None = None
    attempts: int = 0
    due_at: int | None = None
    decided_by: str | None = None
    decided_at: int | None = None


@dataclass(frozen=True, slots=True)
class Appeal:
    """An appeal against a decision. ``words`` and ``note`` are sealed; times in ms."""

    report_id: str
    user_id: str
    words: bytes
    state: AppealState
    created_at: int
    note: bytes | None = None
    due_at: int | None = None
    decided_by: str | None = None
    decided_at: int | None = None


# Reports


def add(connection: Connection, report: Report) -> bool:
    """Keep a report; False when one of the same source is there."""
    row = _row(report)
    if report.source_id is None:
        connection.execute(insert(reports), row)
        return True
    return connection.execute(insert_ignore(connection, reports, "source_id"), row).rowcount > 0


def get(connection: Connection, report_id: str) -> Report | None:
    """One report."""
    return _report(connection.execute(select(reports).where(reports.c.id == report_id)).mappings().first())


def by_word(connection: Connection, word: str, short: int) -> Report | None:
    """A report by its id, or by the last ``short`` characters of it: an undecided one first, then the newest."""
    if len(word) != short:
        return get(connection, word)
    query = select(reports).where(func.substr(reports.c.id, 27 - short) == word)
    query = query.order_by(reports.c.state.in_(UNDECIDED).desc(), reports.c.id.desc()).limit(1)
    return _report(connection.execute(query).mappings().first())


def leading(connection: Connection, target: str) -> Report | None:
    """The undecided report that others on the same target are decided with."""
    query = select(reports).where(
        reports.c.target == target, reports.c.leader.is_(None), reports.c.state.in_(UNDECIDED)
    )
    return _report(connection.execute(query.order_by(reports.c.id).limit(1)).mappings().first())


def of_reporter(connection: Connection, reporter: str, target: str, *, undecided: bool) -> Report | None:
    """What somebody has reported of a target already.

    Args:
        undecided: only if it is not decided yet.
    """
    query = select(reports).where(reports.c.target == target, reports.c.reporter == reporter)
    if undecided:
        query = query.where(reports.c.state.in_(UNDECIDED))
    return _report(connection.execute(query.order_by(reports.c.id.desc()).limit(1)).mappings().first())


def count_since(connection: Connection, reporter: str, since: int) -> int:
    """How much somebody has reported since a time."""
    query = select(func.count()).where(reports.c.reporter == reporter, reports.c.created_at >= since)
    return int(connection.execute(query).scalar_one())


def set_words(connection: Connection, report_id: str, words: bytes) -> None:
    """Other words of a report."""
    connection.execute(update(reports).where(reports.c.id == report_id).values(words=words))


def change(connection: Connection, report: Report, before: State, /, **values: Any) -> bool:
    """Set columns of a report and of those that are decided with it, if it is still in ``before``."""
    with_it = or_(reports.c.id == report.id, reports.c.leader == report.id)
    where = (with_it, reports.c.state == before.value)
    return connection.execute(update(reports).where(*where).values(**_plain(values))).rowcount > 0


def followers(connection: Connection, report_id: str) -> list[Report]:
    """Those that are decided with a report, the oldest first."""
    query = select(reports).where(reports.c.leader == report_id).order_by(reports.c.id)
    return [_must(row) for row in connection.execute(query).mappings()]


def count_followers(connection: Connection, report_ids: Collection[str]) -> dict[str, int]:
    """How many others each report is decided with."""
    query = (
        select(reports.c.leader, func.count()).where(reports.c.leader.in_(list(report_ids))).group_by(reports.c.leader)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def page(
    connection: Connection,
    *,
    states: Iterable[State],
    workspace: str | None = None,
    after: str | None = None,
    limit: int,
) -> list[Report]:
    """A page of leading reports, the oldest first."""
    query = select(reports).where(reports.c.state.in_([state.value for state in states]), reports.c.leader.is_(None))
    if workspace is not None:
        query = query.where(reports.c.workspace == workspace)
    if after is not None:
        query = query.where(reports.c.id > after)
    return [_must(row) for row in connection.execute(query.order_by(reports.c.id).limit(limit)).mappings()]


def due(connection: Connection, now: int, limit: int) -> list[Report]:
    """Decided reports whose action is to be done now."""
    query = select(reports).where(
        reports.c.state == State.ACTING.value, reports.c.leader.is_(None), reports.c.due_at <= now
    )
    return [_must(row) for row in connection.execute(query.order_by(reports.c.due_at).limit(limit)).mappings()]


def next_due(connection: Connection) -> int | None:
    """When the next action, or undoing of one, is to be tried."""
    acting = select(func.min(reports.c.due_at)).where(reports.c.state == State.ACTING.value)
    undoing = select(func.min(appeals.c.due_at)).where(appeals.c.state == AppealState.UNDOING.value)
    times = [connection.execute(query).scalar() for query in (acting, undoing)]
    return min((each for each in times if each is not None), default=None)


def against(connection: Connection, user_id: str, limit: int) -> list[Report]:
    """What was decided about somebody, the newest first; what was dismissed is nothing of theirs."""
    query = select(reports).where(
        reports.c.subject == user_id,
        reports.c.leader.is_(None),
        reports.c.state == State.DONE.value,
        reports.c.action != Action.DISMISS.value,
    )
    return [_must(row) for row in connection.execute(query.order_by(reports.c.id.desc()).limit(limit)).mappings()]


def count_open(connection: Connection) -> int:
    """How many targets wait for a moderator."""
    query = select(func.count()).where(reports.c.state.in_(UNDECIDED), reports.c.leader.is_(None))
    return int(connection.execute(query).scalar_one())


def forget_words(connection: Connection, before: int, limit: int) -> int:
    """Drop the words of what was decided before a time; how many reports that was."""
    old = (
        select(reports.c.id)
        .where(reports.c.state == State.DONE.value, reports.c.decided_at < before, func.length(reports.c.words) > 0)
        .limit(limit)
    )
    ids = list(connection.execute(old).scalars())
    if ids:
        connection.execute(update(reports).where(reports.c.id.in_(ids)).values(words=b"", note=None))
        finished = (AppealState.GRANTED.value, AppealState.REFUSED.value)
        where = (appeals.c.report_id.in_(ids), appeals.c.state.in_(finished))
        connection.execute(update(appeals).where(*where).values(words=b"", note=None))
    return len(ids)


# Appeals


def add_appeal(connection: Connection, appeal: Appeal) -> bool:
    """Keep an appeal; False when there is one against this decision."""
    row = {name: getattr(appeal, name) for name in Appeal.__slots__} | {"state": appeal.state.value}
    return connection.execute(insert_ignore(connection, appeals, "report_id"), row).rowcount > 0


def appeal(connection: Connection, report_id: str) -> Appeal | None:
    """The appeal against a decision."""
    row = connection.execute(select(appeals).where(appeals.c.report_id == report_id)).mappings().first()
    return None if row is None else _appeal(row)


def change_appeal(connection: Connection, report_id: str, before: AppealState, /, **values: Any) -> bool:
    """Set columns of an appeal, if it is still in ``before``."""
    where = (appeals.c.report_id == report_id, appeals.c.state == before.value)
    return connection.execute(update(appeals).where(*where).values(**_plain(values))).rowcount > 0


def appeals_page(connection: Connection, state: AppealState, after: str | None, limit: int) -> list[Appeal]:
    """A page of appeals, the oldest decision first."""
    query = select(appeals).where(appeals.c.state == state.value)
    if after is not None:
        query = query.where(appeals.c.report_id > after)
    return [_appeal(row) for row in connection.execute(query.order_by(appeals.c.report_id).limit(limit)).mappings()]


def undoing(connection: Connection, now: int, limit: int) -> list[Appeal]:
    """Appeals that are granted, of which the undoing is to be done now."""
    query = select(appeals).where(appeals.c.state == AppealState.UNDOING.value, appeals.c.due_at <= now)
    return [_appeal(row) for row in connection.execute(query.order_by(appeals.c.due_at).limit(limit)).mappings()]


# People's rights


def reports_by(connection: Connection, person: str) -> list[Report]:
    """What somebody has reported."""
    return _all(connection, reports.c.reporter == person)


def reports_about(connection: Connection, person: str) -> list[Report]:
    """What was decided about somebody. What others said of them and nobody has decided is not shown to them."""
    return _all(connection, and_(reports.c.subject == person, reports.c.state == State.DONE.value))


def appeals_of(connection: Connection, person: str) -> list[Appeal]:
    """Somebody's appeals."""
    query = select(appeals).where(appeals.c.user_id == person).order_by(appeals.c.report_id)
    return [_appeal(row) for row in connection.execute(query).mappings()]


def erase(connection: Connection, person: str, pseudonym: str) -> None:
    """Put a pseudonym in a person's place; what they wrote, and what was written about them, goes.

    A report on them that is not decided yet is over: there is nobody left to decide about.
    """
    mine = or_(reports.c.reporter == person, reports.c.subject == person)
    gone = {"state": State.DONE.value, "action": Action.DISMISS.value, "problem": "erased", "due_at": None}
    about = (reports.c.subject == person, reports.c.state.in_(UNDECIDED))
    connection.execute(update(reports).where(*about).values(**gone))
    query = select(reports.c.id, reports.c.target).where(reports.c.subject == person, reports.c.event_id == "")
    for row in connection.execute(query).all():
        target = row.target.replace(person, pseudonym)
        connection.execute(update(reports).where(reports.c.id == row.id).values(target=target))
    connection.execute(update(reports).where(mine).values(words=b"", note=None))
    for column in (reports.c.reporter, reports.c.subject, reports.c.decided_by):
        connection.execute(update(reports).where(column == person).values({column.name: pseudonym}))
    connection.execute(update(appeals).where(appeals.c.user_id == person).values(words=b"", note=None))
    refused = {"state": AppealState.REFUSED.value, "due_at": None}
    waiting = (appeals.c.user_id == person, appeals.c.state.in_([AppealState.OPEN.value, AppealState.UNDOING.value]))
    connection.execute(update(appeals).where(*waiting).values(**refused))
    for column in (appeals.c.user_id, appeals.c.decided_by):
        connection.execute(update(appeals).where(column == person).values({column.name: pseudonym}))


def _all(connection: Connection, where: ColumnElement[bool]) -> list[Report]:
    query: Select[Any] = select(reports).where(where).order_by(reports.c.id)
    return [_must(row) for row in connection.execute(query).mappings()]


def _report(row: RowMapping | None) -> Report | None:
    return None if row is None else _must(row)


def _must(row: RowMapping) -> Report:
    values = {name: row[name] for name in Report.__slots__}
    values |= {"state": State(row["state"]), "words": bytes(row["words"])}
    values["action"] = None if row["action"] is None else Action(row["action"])
    values["note"] = None if row["note"] is None else bytes(row["note"])
    return Report(**values)


def _appeal(row: RowMapping) -> Appeal:
    values = {name: row[name] for name in Appeal.__slots__}
    values |= {"state": AppealState(row["state"]), "words": bytes(row["words"])}
    values["note"] = None if row["note"] is None else bytes(row["note"])
    return Appeal(**values)


def _row(report: Report) -> dict[str, Any]:
    return _plain({name: getattr(report, name) for name in Report.__slots__})


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Words of enumerations as columns hold them."""
    return {
        name: value.value if isinstance(value, (State, Action, AppealState)) else value
        for name, value in values.items()
    }
