"""SQL of pages: links that work once, and PINs with their lock-out."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, case, delete, insert, or_, select, update

from appservice.store.upsert import upsert
from bots.store.page_tables import page_links, pins


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it is kept. Times are ms since the epoch."""

    purpose: str
    person: str
    subject: str
    created_at: int
    expires_at: int
    used_at: int | None = None


def add_link(connection: Connection, digest: str, link: Link) -> None:
    """Keep a new link."""
    connection.execute(
        insert(page_links),
        {
            "digest": digest,
            "purpose": link.purpose,
            "person": link.person,
            "subject": link.subject,
            "created_at": link.created_at,
            "expires_at": link.expires_at,
        },
    )


def find_link(connection: Connection, digest: str, purpose: str) -> Link | None:
    """The link of a token."""
    table = page_links.c
    row = connection.execute(
        select(table.person, table.subject, table.created_at, table.expires_at, table.used_at).where(
            table.digest == digest, table.purpose == purpose
        )
    ).one_or_none()
    if row is None:
        return None
    return Link(purpose, row.person, row.subject, row.created_at, row.expires_at, row.used_at)


def use_link(connection: Connection, digest: str, purpose: str, now: int) -> bool:
    """Use a link up; whether it could still be used. Of several at the same time one can."""
    table = page_links.c
    used = connection.execute(
        update(page_links)
        .where(table.digest == digest, table.purpose == purpose, table.used_at.is_(None), table.expires_at > now)
        .values(used_at=now)
    )
    return used.rowcount == 1


def withdraw_links(connection: Connection, purpose: str, person: str, subject: str, now: int) -> int:
    """Let the unused links to a subject expire now; how many."""
    table = page_links.c
    return connection.execute(
        update(page_links)
        .where(
            table.person == person,
            table.purpose == purpose,
            table.subject == subject,
            table.used_at.is_(None),
            table.expires_at > now,
        )
        .values(expires_at=now)
    ).rowcount


def purge_links(connection: Connection, before: int, limit: int = 1000) -> int:
    """Forget up to ``limit`` links that expired before a time; how many."""
    old = select(page_links.c.digest).where(page_links.c.expires_at < before).limit(limit)
    return connection.execute(delete(page_links).where(page_links.c.digest.in_(old))).rowcount


def forget_person(connection: Connection, person: str) -> None:
    """Forget a person's links and PIN."""
    connection.execute(delete(page_links).where(page_links.c.person == person))
    connection.execute(delete(pins).where(pins.c.person == person))


# PINs


@dataclass(frozen=True, slots=True)
class Lockout:
    """``attempts`` wrong ones lock for ``first_ms``, twice as long each further time, ``longest_ms`` at most."""

    attempts: int = 5
    first_ms: int = 15 * 60_000
    longest_ms: int = 24 * 3_600_000

    def length(self, locks: int) -> int:
        """Milliseconds of a lock after ``locks`` others."""
        return min(self.first_ms << min(locks, 32), self.longest_ms)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What an attempt may do: compare with ``hash``; ``None``: it is locked.

    ``left``: attempts after this one. ``locked_until``: when this one was the last, or is none.
    """

    hash: str | None
    left: int
    locked_until: int | None


def pin_exists(connection: Connection, person: str) -> bool:
    """Whether a person has a PIN."""
    return connection.execute(select(pins.c.person).where(pins.c.person == person)).one_or_none() is not None


def write_pin(connection: Connection, person: str, hashed: str, now: int) -> None:
    """Set a PIN, whatever was there; nothing is locked."""
    upsert(
        connection,
        pins,
        {"person": person, "hash": hashed, "failures": 0, "locks": 0, "locked_until": None, "changed_at": now},
    )


def begin_attempt(connection: Connection, person: str, rule: Lockout, now: int) -> Attempt | None:
    """Count an attempt as a wrong one before it is looked at; the last one locks. ``None``: there is no PIN."""
    table = pins.c
    # One statement: it locks the row, so that attempts at the same time count one after the other.
    row = connection.execute(
        update(pins)
        .where(table.person == person, or_(table.locked_until.is_(None), table.locked_until <= now))
        .values(
            failures=case((table.locked_until.is_(None), table.failures), else_=0) + 1,
            locked_until=None,
        )
        .returning(table.hash, table.failures, table.locks)
    ).one_or_none()
    if row is None:
        until = connection.execute(select(table.locked_until).where(table.person == person)).one_or_none()
        return None if until is None else Attempt(None, 0, until.locked_until)
    if row.failures < rule.attempts:
        return Attempt(row.hash, rule.attempts - row.failures, None)
    locked_until = now + rule.length(row.locks)
    connection.execute(
        update(pins).where(table.person == person).values(locked_until=locked_until, locks=row.locks + 1)
    )
    return Attempt(row.hash, 0, locked_until)


def settle_attempt(connection: Connection, person: str, hashed: str, renewed: str | None = None) -> bool:
    """The PIN behind ``hashed`` was right: nothing counts any more. False: it has been changed meanwhile.

    Args:
        renewed: the hash to keep from now on.
    """
    settled = connection.execute(
        update(pins)
        .where(pins.c.person == person, pins.c.hash == hashed)
        .values(failures=0, locks=0, locked_until=None, hash=renewed or hashed)
    )
    return settled.rowcount == 1


def delete_pin(connection: Connection, person: str) -> bool:
    """Forget a PIN; whether there was one."""
    return connection.execute(delete(pins).where(pins.c.person == person)).rowcount == 1
