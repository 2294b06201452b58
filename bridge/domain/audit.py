"""The hash chain of the audit log: what an entry's digest covers, and what a broken chain looks like.

An entry's digest covers the digest before it. Of names it covers a *mark*, SHA-256 of the name with a salt of that
person, and of details the SHA-256 of their sealed bytes. So a person can be erased (the name becomes a pseudonym, the
salt and the details go) and the chain stays whole, while a name, or details, that somebody merely changed still show.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

__all__ = ["FIRST", "PSEUDONYM", "Anchor", "Entry", "Fault", "Problem", "check", "digest_of", "mark_of", "people_in"]

FIRST: Final = bytes(32)
"""What stands before the first entry."""

PSEUDONYM: Final = "erased:"
"""How the name of somebody who was erased begins."""


class Fault(StrEnum):
    """What is wrong at a place of the chain."""

    MISSING = "missing"
    """Entries between the one before and this one are not there."""
    BROKEN = "broken"
    """The entry does not follow the one before it: something was put in, taken out or exchanged."""
    CHANGED = "changed"
    """The entry is not what it was."""
    ACTOR = "actor"
    """The actor's name is another one."""
    SUBJECT = "subject"
    """The subject's name is another one."""
    DETAILS = "details"
    """The details are other ones, or are gone though nobody was erased."""
    ERASURE = "erasure"
    """A pseudonym stands there that no erasure gave."""
    HEAD = "head"
    """The log ends before, or otherwise than, it should."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One place that is not as it should be."""

    seq: int
    fault: Fault


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place of the chain that somebody noted elsewhere: who can write to the database cannot change that note."""

    seq: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the log. ``sealed``: the details as stored. Salts are those of the names; None: they have none.

    ``excused``: somebody whom the details name was erased, so that their absence is right.
    """

    seq: int
    at: int
    actor: str
    actor_mark: bytes
    action: str
    subject: str
    subject_mark: bytes
    outcome: str
    sealed: bytes | None
    details_mark: bytes
    previous: bytes
    digest: bytes
    actor_salt: bytes | None = None
    subject_salt: bytes | None = None
    excused: bool = False


def mark_of(name: str, salt: bytes | None) -> bytes:
    """What stands for a name in the digest. People's names have a salt; those of services and payments need none."""
    return hashlib.sha256((salt or b"") + b"\0" + name.encode()).digest()


def digest_of(entry: Entry) -> bytes:
    """SHA-256 of the entry's canonical form: a JSON list, UTF-8, without spaces, bytes in hexadecimal."""
    content = [
        "rialto audit 1",
        entry.seq,
        entry.at,
        entry.actor_mark.hex(),
        entry.action,
        entry.subject_mark.hex(),
        entry.outcome,
        entry.details_mark.hex(),
        entry.previous.hex(),
    ]
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).digest()


def check(entries: Iterable[Entry], after: Anchor) -> Iterable[Problem]:
    """What is wrong with entries that should follow ``after``, in their order."""
    last = after
    for entry in entries:
        if entry.seq != last.seq + 1:
            yield Problem(entry.seq, Fault.MISSING)
        if entry.previous != last.digest:
            yield Problem(entry.seq, Fault.BROKEN)
        if digest_of(entry) != entry.digest:
            yield Problem(entry.seq, Fault.CHANGED)
        if not _is(entry.actor, entry.actor_salt, entry.actor_mark):
            yield Problem(entry.seq, Fault.ACTOR)
        if not _is(entry.subject, entry.subject_salt, entry.subject_mark):
            yield Problem(entry.seq, Fault.SUBJECT)
        if entry.sealed is None:
            erased = entry.actor.startswith(PSEUDONYM) or entry.subject.startswith(PSEUDONYM) or entry.excused
            if not erased:
                yield Problem(entry.seq, Fault.DETAILS)
        elif hashlib.sha256(entry.sealed).digest() != entry.details_mark:
            yield Problem(entry.seq, Fault.DETAILS)
        last = Anchor(entry.seq, entry.digest)


def is_person(name: str) -> bool:
    """Whether a name is that of a person or a bot: a Matrix user id."""
    return name.startswith("@") and ":" in name


def people_in(value: Any) -> frozenset[str]:
    """The Matrix user ids anywhere in a JSON value, as values of their own."""
    if isinstance(value, str):
        return frozenset({value}) if is_person(value) else frozenset()
    if isinstance(value, Mapping):
        return frozenset().union(*map(people_in, value.values()))
    if isinstance(value, (list, tuple)):
        return frozenset().union(*map(people_in, value))
    return frozenset()


def _is(name: str, salt: bytes | None, mark: bytes) -> bool:
    """Whether a mark is that of a name. A pseudonym's cannot be told: its salt is gone."""
    if name.startswith(PSEUDONYM) and salt is None:
        return True
    if is_person(name) and salt is None:
        return False
    return mark_of(name, salt) == mark
