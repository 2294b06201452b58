"""SQL of the audit log. What the chain means is :mod:`bridge.domain.audit`'s."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Row, Select, delete, exists, insert, or_, select, update

from appservice.database import insert_ignore
from bridge.domain.audit import FIRST, PSEUDONYM, Anchor, Entry
from bridge.store.audit_tables import audit_head, audit_log, audit_mentions, audit_people

_HEAD = 1


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries: of a subject, of an actor, of times from ``since`` to before ``until`` (ms), before a number."""

    subject: str | None = None
    actor: str | None = None
    since: int | None = None
    until: int | None = None
    before: int | None = None
    after: int | None = None


def lock_head(connection: Connection) -> Anchor:
    """The end of the log; nobody else adds to it until the transaction ends."""
    query = select(audit_head.c.seq, audit_head.c.digest).where(audit_head.c.id == _HEAD).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        first = {"id": _HEAD, "seq": 0, "digest": FIRST}
        connection.execute(insert_ignore(connection, audit_head, "id"), first)
        row = connection.execute(query).one()
    return Anchor(row.seq, bytes(row.digest))


def head(connection: Connection) -> Anchor:
    """The end of the log."""
    row = connection.execute(select(audit_head.c.seq, audit_head.c.digest)).one_or_none()
    return Anchor(0, FIRST) if row is None else Anchor(row.seq, bytes(row.digest))


def add(connection: Connection, entry: Entry, mentions: Iterable[str]) -> None:
    """Put an entry at the end. The head is locked."""
    row = {
        "seq": entry.seq,
        "at": entry.at,
        "actor": entry.actor,
        "actor_mark": entry.actor_mark,
        "action": entry.action,
        "subject": entry.subject,
        "subject_mark": entry.subject_mark,
        "outcome": entry.outcome,
        "details": entry.sealed,
        "details_mark": entry.details_mark,
        "previous": entry.previous,
        "digest": entry.digest,
    }
    connection.execute(insert(audit_log), row)
    named = [{"person": person, "seq": entry.seq} for person in sorted(set(mentions))]
    if named:
        # Rows of entries that somebody deleted must not keep new ones out.
        connection.execute(insert_ignore(connection, audit_mentions, "person", "seq"), named)
    values = {"seq": entry.seq, "digest": entry.digest}
    connection.execute(update(audit_head).where(audit_head.c.id == _HEAD).values(values))


def salt_of(connection: Connection, person: str, fresh: bytes) -> bytes:
    """A person's salt; ``fresh`` when there is none yet."""
    query = select(audit_people.c.salt).where(audit_people.c.person == person)
    salt = connection.execute(query).scalar()
    if salt is None:
        connection.execute(insert_ignore(connection, audit_people, "person"), {"person": person, "salt": fresh})
        salt = connection.execute(query).scalar_one()
    return bytes(salt)


def listed(connection: Connection, which: Filter, limit: int) -> list[Entry]:
    """Entries, the last first."""
    return [_entry(row) for row in connection.execute(_chosen(which).order_by(audit_log.c.seq.desc()).limit(limit))]


def following(connection: Connection, which: Filter, limit: int) -> list[Entry]:
    """Entries, the first first."""
    return [_entry(row) for row in connection.execute(_chosen(which).order_by(audit_log.c.seq).limit(limit))]


def about(connection: Connection, person: str, after: int, limit: int) -> list[Entry]:
    """Entries that a person made, is the subject of, or is named in; after a number, the first first."""
    named = exists().where(audit_mentions.c.seq == audit_log.c.seq, audit_mentions.c.person == person)
    mine = or_(audit_log.c.actor == person, audit_log.c.subject == person, named)
    query = _entries().where(mine, audit_log.c.seq > after).order_by(audit_log.c.seq).limit(limit)
    return [_entry(row) for row in connection.execute(query)]


def erase(connection: Connection, person: str, pseudonym: str) -> None:
    """Put a pseudonym in a person's place; details that name them, and their salt, go."""
    named = select(audit_mentions.c.seq).where(audit_mentions.c.person == person)
    mine = or_(audit_log.c.actor == person, audit_log.c.subject == person, audit_log.c.seq.in_(named))
    connection.execute(update(audit_log).where(mine).values(details=None))
    for column in (audit_log.c.actor, audit_log.c.subject, audit_mentions.c.person):
        connection.execute(update(column.table).where(column == person).values({column.name: pseudonym}))
    connection.execute(delete(audit_people).where(audit_people.c.person == person))


def unexplained(connection: Connection, action: str) -> list[int]:
    """The numbers of entries with a pseudonym that is not the subject of an ``action``; a hundred at most."""
    given = select(audit_log.c.subject).where(audit_log.c.action == action)
    unknown = [
        column.startswith(PSEUDONYM) & column.not_in(given) for column in (audit_log.c.actor, audit_log.c.subject)
    ]
    return list(
        connection.execute(select(audit_log.c.seq).where(or_(*unknown)).order_by(audit_log.c.seq).limit(100)).scalars()
    )


def _entries() -> Select[tuple[object, ...]]:
    """All columns, with the salts of the names: in one statement, so that an erasure is seen whole or not at all."""
    actors, subjects = audit_people.alias("actors"), audit_people.alias("subjects")
    excused = exists().where(audit_mentions.c.seq == audit_log.c.seq, audit_mentions.c.person.startswith(PSEUDONYM))
    joined = audit_log.outerjoin(actors, actors.c.person == audit_log.c.actor)
    joined = joined.outerjoin(subjects, subjects.c.person == audit_log.c.subject)
    salts = (actors.c.salt.label("actor_salt"), subjects.c.salt.label("subject_salt"))
    return select(audit_log, *salts, excused.label("excused")).select_from(joined)


def _chosen(which: Filter) -> Select[tuple[object, ...]]:
    query = _entries()
    if which.subject is not None:
        query = query.where(audit_log.c.subject == which.subject)
    if which.actor is not None:
        query = query.where(audit_log.c.actor == which.actor)
    if which.since is not None:
        query = query.where(audit_log.c.at >= which.since)
    if which.until is not None:
        query = query.where(audit_log.c.at < which.until)
    if which.before is not None:
        query = query.where(audit_log.c.seq < which.before)
    if which.after is not None:
        query = query.where(audit_log.c.seq > which.after)
    return query


def _entry(row: Row[tuple[object, ...]]) -> Entry:
    def blob(value: bytes | None) -> bytes | None:
        return None if value is None else bytes(value)

    return Entry(
        seq=row.seq,
        at=row.at,
        actor=row.actor,
        actor_mark=bytes(row.actor_mark),
        action=row.action,
        subject=row.subject,
        subject_mark=bytes(row.subject_mark),
        outcome=row.outcome,
        sealed=blob(row.details),
        details_mark=bytes(row.details_mark),
        previous=bytes(row.previous),
        digest=bytes(row.digest),
        actor_salt=blob(row.actor_salt),
        subject_salt=blob(row.subject_salt),
        excused=bool(row.excused),
    )
