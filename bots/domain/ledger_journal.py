"""The ledger's journal: entries that follow each other in an unbroken chain of hashes, never changed, never deleted."""

from __future__ import annotations

import json
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final, NamedTuple

__all__ = ["GENESIS", "Entry", "EntryType", "Head", "canonical", "chained", "fingerprint", "owner_hash"]


class EntryType(StrEnum):
    """What an entry tells."""

    OPENED = "opened"
    """An account was opened."""
    CHANGED = "changed"
    """An account's limits or state changed, or its owner's name."""
    TRANSFER = "transfer"
    """Money moved."""
    PENDING = "pending"
    """Money is held for a transfer that is resolved later."""
    POST = "post"
    """A pending transfer moved its money, or a part of it."""
    VOID = "void"
    EXPIRE = "expire"
    REFUSAL = "refusal"
    """A command was refused: its id is burned."""


MOVES: Final = frozenset({EntryType.TRANSFER, EntryType.POST})
"""The entries that move money: each is two postings."""

RESOLUTIONS: Final = frozenset({EntryType.POST, EntryType.VOID, EntryType.EXPIRE})
"""The entries that resolve a pending transfer."""


class Head(NamedTuple):
    """The end of the journal. ``at`` never goes back, whatever a clock says."""

    seq: int
    at: int
    hash: bytes


GENESIS: Final = Head(0, 0, bytes(32))


class Entry(NamedTuple):
    """One entry, in the order of the table's columns. Times are ms since the epoch, amounts minor units.

    Attributes:
        seq: 1, 2, 3, … without a gap.
        type: :class:`EntryType`.
        chain: the ``seq`` of the first entry of the linked chain that this one belongs to.
        id: of the command; null for what nobody commanded by an id (accounts, expiry).
        subject: what a post, void or expire resolves; the account that was opened or changed.
        debit, credit: the accounts of a transfer, also of the pending one that is resolved.
        amount: of a transfer, pending or posted; of a void or expire what was released.
        debit_posting, credit_posting: the number of the posting in its account, where money moved.
        debit_after, credit_after: the account's balance after it.
        fingerprint: of the command's content.
        memo: as it was given, or null: erased. ``memo_hash`` stays; it is null where there never was a memo.
        details: JSON, of an account that was opened or changed.
    """

    seq: int
    at: int
    type: str
    chain: int
    id: str | None = None
    subject: str | None = None
    debit: str | None = None
    credit: str | None = None
    amount: int = 0
    currency: str = ""
    kind: str = ""
    reference: str = ""
    reverses: str | None = None
    expires_at: int | None = None
    refusal: str | None = None
    debit_posting: int | None = None
    credit_posting: int | None = None
    debit_after: int | None = None
    credit_after: int | None = None
    details: str = ""
    fingerprint: bytes = b""
    memo_hash: bytes | None = None
    memo: bytes | None = b""
    hash: bytes = b""


_JSON: Final = json.JSONEncoder(separators=(",", ":"))
_HASHED: Final = Entry._fields.index("fingerprint")


def canonical(entry: Entry) -> bytes:
    """The bytes of an entry that its hash covers: all of it but the memo, of which it covers the hash."""
    memo = entry.memo_hash
    content = [*entry[:_HASHED], entry.fingerprint.hex(), None if memo is None else memo.hex()]
    return _JSON.encode(content).encode()


def chained(previous: bytes, entry: Entry) -> bytes:
    """The hash of an entry that follows the one with the hash ``previous``: SHA-256 over that hash and the entry."""
    return sha256(previous + canonical(entry)).digest()


def fingerprint(content: list[Any]) -> bytes:
    """What tells whether two commands with one id are the same command."""
    return sha256(_JSON.encode(content).encode()).digest()


def owner_hash(salt: bytes, owner: str) -> str:
    """What the journal knows of an owner. The salt lies beside the name: when both are replaced, nothing is left to
    guess by."""
    return sha256(salt + owner.encode()).hexdigest()
