"""The ledger: accounts, transfers between two of one currency, and the rules that decide them.

Pure: a :class:`Book` holds what a batch of commands needs to know of the accounts and the journal; :func:`decide`
takes linked chains of commands one after the other, changes the book and writes entries. The store loads a book and
keeps what became of it, in one transaction.

A command's id is its idempotency key, and has three outcomes: created; exists (the same command again, which does
nothing); burned (it was refused, and stays refused, also when it would fit now). The same id with other content is a
:class:`Conflict`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final, NamedTuple

from bots.domain.ledger_accounts import (
    FLOORS,
    ID_MAX,
    Account,
    AccountKind,
    Command,
    Line,
    Outcome,
    Post,
    Refusal,
    Result,
    Transfer,
    Void,
)
from bots.domain.ledger_journal import Entry, EntryType, Head, chained, fingerprint
from bots.domain.money import LARGEST, Money

__all__ = [
    "CHAIN_MAX",
    "FLOORS",
    "ID_MAX",
    "Account",
    "AccountKind",
    "Book",
    "Command",
    "Conflict",
    "InvariantBroken",
    "Known",
    "Line",
    "Outcome",
    "Pending",
    "Post",
    "Refusal",
    "Result",
    "Transfer",
    "Void",
    "check_batch",
    "decide",
    "expire",
    "root",
    "settings",
]

CHAIN_MAX: Final = 100


class Pending(NamedTuple):
    """A pending transfer that nothing has resolved."""

    id: str
    debit: str
    credit: str
    amount: int
    currency: str
    kind: str
    reference: str
    expires_at: int | None


class Known(NamedTuple):
    """What the journal says of an id. ``resolution`` and ``posted`` are those of a pending transfer."""

    seq: int
    type: str
    fingerprint: bytes
    refusal: str | None
    subject: str | None
    debit: str | None
    credit: str | None
    amount: int
    currency: str
    resolution: str | None = None
    posted: int = 0


@dataclass(frozen=True, slots=True)
class Conflict:
    """An id is in use for something else, or a chain mixes ids that are known with ids that are not."""

    id: str
    reason: str


class InvariantBroken(AssertionError):
    """The books would not be right: nothing of it may be kept."""


@dataclass(slots=True)
class Book:
    """What a batch of commands knows, and what became of it.

    Attributes:
        head: the end of the journal, ``entries`` included.
        accounts: every account that the batch names, by id.
        pendings: the open ones of those that it names.
        known: the ids of the batch, of what it resolves and of what it reverses that the journal knows.
        reversed: how much of a transfer has been reversed, by the id of the transfer.
        entries: what the batch wrote.
    """

    head: Head
    accounts: dict[str, Account] = field(default_factory=dict)
    pendings: dict[str, Pending] = field(default_factory=dict)
    known: dict[str, Known] = field(default_factory=dict)
    reversed: dict[str, int] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    def write(self, now: int, type_: EntryType, chain: int | None = None, **fields: Any) -> Entry:
        """Put the next entry at the end of the journal."""
        seq, at = self.head.seq + 1, max(now, self.head.at)
        draft = Entry(seq, at, type_.value, seq if chain is None else chain, **fields)
        entry = draft._replace(hash=chained(self.head.hash, draft))
        self.head = Head(seq, at, entry.hash)
        self.entries.append(entry)
        if entry.id is not None:
            self.known[entry.id] = Known(
                seq,
                entry.type,
                entry.fingerprint,
                entry.refusal,
                entry.subject,
                entry.debit,
                entry.credit,
                entry.amount,
                entry.currency,
            )
        return entry


def decide(book: Book, chain: Sequence[Command], now: int) -> tuple[Outcome, ...] | Conflict:
    """Take a linked chain: all of it is done, or none, and then all its ids are burned."""
    if not 1 <= len(chain) <= CHAIN_MAX:
        raise ValueError(f"a chain has 1 to {CHAIN_MAX} commands")
    prints = [fingerprint(command.content) for command in chain]
    before = _known(book, chain, prints)
    if before is not None:
        return before
    spare = None if len(chain) == 1 else _copy(book)
    first = book.head.seq + 1
    for index, command in enumerate(chain):
        refusal = _refusal(book, command, now)
        if refusal is not None:
            if spare is not None:
                _restore(book, spare)
            return _burn(book, chain, prints, (index, refusal), now)
        _carry_out(book, command, prints[index], (now, first))
    return tuple(Outcome(each.id, Result.CREATED, None, first + index) for index, each in enumerate(chain))


def expire(book: Book, pending: Pending, now: int) -> Entry:
    """Release a pending transfer whose time is over."""
    if pending.expires_at is None or pending.expires_at > now:
        raise InvariantBroken("its time is not over")
    _release(book, pending)
    return _resolved(book, EntryType.EXPIRE, pending, now)


def settings(account: Account, owner: str) -> str:
    """An account's terms as the journal holds them, JSON. ``owner``: the hash of its name."""
    terms = {
        "kind": account.kind.value,
        "currency": account.currency,
        "floor": account.floor,
        "ceiling": account.ceiling,
        "frozen": account.frozen,
        "closed": account.closed,
        "owner": owner,
    }
    return json.dumps(terms, separators=(",", ":"))


def check_batch(before: Book, after: Book) -> None:
    """Whether what a batch did keeps the invariants. Raises :class:`InvariantBroken`: nothing of it may be kept.

    ``before`` holds the head and the accounts as they were loaded.
    """
    count = len(after.entries)
    if after.head.seq != before.head.seq + count or after.head.at < before.head.at:
        raise InvariantBroken("the head did not advance by the number of entries")
    moved: dict[str, int] = {}
    held: dict[str, int] = {}
    postings = 0
    for account_id, account in after.accounts.items():
        old = before.accounts[account_id]
        if old is account:
            continue
        if account.currency != old.currency:
            raise InvariantBroken("an account changed its currency")
        code = account.currency
        moved[code] = moved.get(code, 0) + account.net - old.net
        held[code] = held.get(code, 0) + account.pending_credits - old.pending_credits
        held[code] -= account.pending_debits - old.pending_debits
        postings += account.postings - old.postings
        if account.debits < old.debits or account.credits < old.credits:
            raise InvariantBroken("what was posted became less")
        if min(account.pending_debits, account.pending_credits) < 0:
            raise InvariantBroken("less than nothing is pending")
        if account.floor is not None and account.net - account.pending_debits < account.floor:
            raise InvariantBroken("an account is below its floor")
    if any(moved.values()) or any(held.values()):
        raise InvariantBroken("debits and credits of a currency differ")
    if postings != 2 * sum(entry.debit_posting is not None for entry in after.entries):
        raise InvariantBroken("the accounts' postings are not those of the journal")


def _known(book: Book, chain: Sequence[Command], prints: Sequence[bytes]) -> tuple[Outcome, ...] | Conflict | None:
    """What became of a chain that was taken before; None when it is new."""
    found: list[Outcome] = []
    ids: set[str] = set()
    for command, print_ in zip(chain, prints, strict=True):
        if command.id in ids:
            return Conflict(command.id, "twice in one chain")
        ids.add(command.id)
        known = book.known.get(command.id)
        if known is None:
            continue
        if known.fingerprint != print_:
            return Conflict(command.id, "used with other content")
        refusal = None if known.refusal is None else Refusal(known.refusal)
        found.append(Outcome(command.id, Result.EXISTS if refusal is None else Result.REFUSED, refusal, known.seq))
    if not found:
        return None
    if len(found) < len(chain):
        # Otherwise a chain could end half done: what was done with another one is not undone.
        return Conflict(found[0].id, "used in another chain")
    return tuple(found)


def _refusal(book: Book, command: Command, now: int) -> Refusal | None:
    """Why a command cannot be carried out."""
    if isinstance(command, Transfer):
        return _transfer_refusal(book, command, now)
    pending = book.pendings.get(command.pending_id)
    if pending is None:
        known = book.known.get(command.pending_id)
        if known is None or known.type != EntryType.PENDING:
            return Refusal.PENDING_UNKNOWN
        return Refusal.PENDING_EXPIRED if known.resolution == EntryType.EXPIRE else Refusal.PENDING_RESOLVED
    if isinstance(command, Void):
        return None
    if pending.expires_at is not None and pending.expires_at <= now:
        return Refusal.PENDING_EXPIRED
    if command.amount is not None:
        if command.amount.currency != pending.currency:
            return Refusal.CURRENCY_MISMATCH
        if command.amount.minor <= 0:
            return Refusal.NOT_POSITIVE
        if command.amount.minor > pending.amount:
            return Refusal.EXCEEDS_PENDING
    return None


def _transfer_refusal(book: Book, transfer: Transfer, now: int) -> Refusal | None:
    amount = transfer.amount.minor
    if amount <= 0:
        return Refusal.NOT_POSITIVE
    if transfer.debit == transfer.credit:
        return Refusal.SAME_ACCOUNT
    debit, credit = book.accounts.get(transfer.debit), book.accounts.get(transfer.credit)
    if debit is None or credit is None:
        return Refusal.ACCOUNT_UNKNOWN
    if debit.closed or credit.closed:
        return Refusal.ACCOUNT_CLOSED
    if debit.frozen or credit.frozen:
        return Refusal.ACCOUNT_FROZEN
    if not _one_currency(debit, credit, transfer.amount):
        return Refusal.CURRENCY_MISMATCH
    if transfer.expires_at is not None and transfer.expires_at <= now:
        return Refusal.PENDING_EXPIRED
    if transfer.reverses is not None and (refusal := _reversal_refusal(book, transfer)) is not None:
        return refusal
    if not _covered(debit, amount):
        return Refusal.EXCEEDS_BALANCE
    if not _has_room(credit, amount):
        return Refusal.EXCEEDS_CEILING
    if max(debit.debits + debit.pending_debits, credit.credits + credit.pending_credits) > LARGEST - amount:
        return Refusal.OVERFLOW
    return None


def _one_currency(debit: Account, credit: Account, amount: Money) -> bool:
    return debit.currency == amount.currency == credit.currency


def _covered(account: Account, amount: int) -> bool:
    """Whether an account can pay: what is pending counts as if it were gone."""
    return account.floor is None or account.net - account.pending_debits - amount >= account.floor


def _has_room(account: Account, amount: int) -> bool:
    """Whether an account can receive: what is pending counts as if it were there."""
    return account.ceiling is None or account.net + account.pending_credits + amount <= account.ceiling


def _reversal_refusal(book: Book, transfer: Transfer) -> Refusal | None:
    assert transfer.reverses is not None
    original = book.known.get(transfer.reverses)
    if original is None or original.refusal is not None:
        return Refusal.ORIGINAL_UNKNOWN
    moved = original.posted if original.type == EntryType.PENDING else original.amount
    if original.type == EntryType.VOID or moved == 0:
        return Refusal.ORIGINAL_UNKNOWN
    if (original.debit, original.credit) != (transfer.credit, transfer.debit):
        return Refusal.ORIGINAL_MISMATCH
    left = moved - book.reversed.get(root(book, transfer.reverses), 0)
    if left <= 0:
        return Refusal.ALREADY_REVERSED
    return Refusal.EXCEEDS_ORIGINAL if transfer.amount.minor > left else None


def root(book: Book, transfer_id: str) -> str:
    """The transfer that an id stands for: a post stands for the pending transfer that it posts."""
    known = book.known.get(transfer_id)
    return known.subject if known is not None and known.type == EntryType.POST and known.subject else transfer_id


def _carry_out(book: Book, command: Command, print_: bytes, moment: tuple[int, int]) -> None:
    """Do what nothing speaks against. ``moment``: now, and the first entry of the chain."""
    now, chain = moment
    if isinstance(command, Void):
        pending = book.pendings[command.pending_id]
        _release(book, pending)
        _resolved(book, EntryType.VOID, pending, now, chain=chain, id=command.id, fingerprint=print_)
    elif isinstance(command, Post):
        pending = book.pendings[command.pending_id]
        amount = pending.amount if command.amount is None else command.amount.minor
        _release(book, pending)
        fields = _move(book, pending.debit, pending.credit, amount)
        fields |= {"chain": chain, "id": command.id, "fingerprint": print_, "amount": amount}
        _resolved(book, EntryType.POST, pending, now, **fields)
    else:
        _transfer(book, command, print_, moment)


def _transfer(book: Book, transfer: Transfer, print_: bytes, moment: tuple[int, int]) -> None:
    amount = transfer.amount.minor
    fields: dict[str, Any] = {
        "id": transfer.id,
        "debit": transfer.debit,
        "credit": transfer.credit,
        "amount": amount,
        "currency": transfer.amount.currency,
        "kind": transfer.kind,
        "reference": transfer.reference,
        "fingerprint": print_,
        "memo": transfer.memo,
        "memo_hash": sha256(transfer.memo).digest() if transfer.memo else None,
    }
    now, chain = moment
    if transfer.pending:
        debit, credit = book.accounts[transfer.debit], book.accounts[transfer.credit]
        book.accounts[debit.id] = replace(debit, pending_debits=debit.pending_debits + amount)
        book.accounts[credit.id] = replace(credit, pending_credits=credit.pending_credits + amount)
        book.pendings[transfer.id] = Pending(
            transfer.id,
            transfer.debit,
            transfer.credit,
            amount,
            transfer.amount.currency,
            transfer.kind,
            transfer.reference,
            transfer.expires_at,
        )
        book.write(now, EntryType.PENDING, chain, expires_at=transfer.expires_at, **fields)
        return
    if transfer.reverses is not None:
        original = root(book, transfer.reverses)
        fields["reverses"] = original
        book.reversed[original] = book.reversed.get(original, 0) + amount
    book.write(now, EntryType.TRANSFER, chain, **fields, **_move(book, transfer.debit, transfer.credit, amount))


def _move(book: Book, debit_id: str, credit_id: str, amount: int) -> dict[str, Any]:
    """Move money between two accounts; the entry's fields that say so."""
    debit, credit = book.accounts[debit_id], book.accounts[credit_id]
    debit = replace(debit, debits=debit.debits + amount, postings=debit.postings + 1)
    credit = replace(credit, credits=credit.credits + amount, postings=credit.postings + 1)
    book.accounts[debit_id], book.accounts[credit_id] = debit, credit
    numbers = {"debit_posting": debit.postings, "credit_posting": credit.postings}
    return {**numbers, "debit_after": debit.net, "credit_after": credit.net}


def _release(book: Book, pending: Pending) -> None:
    debit, credit = book.accounts[pending.debit], book.accounts[pending.credit]
    book.accounts[debit.id] = replace(debit, pending_debits=debit.pending_debits - pending.amount)
    book.accounts[credit.id] = replace(credit, pending_credits=credit.pending_credits - pending.amount)


def _resolved(book: Book, type_: EntryType, pending: Pending, now: int, **fields: Any) -> Entry:
    """Close a pending transfer, and write how."""
    del book.pendings[pending.id]
    values: dict[str, Any] = {
        "subject": pending.id,
        "debit": pending.debit,
        "credit": pending.credit,
        "amount": pending.amount,
        "currency": pending.currency,
        "kind": pending.kind,
        "reference": pending.reference,
    }
    entry = book.write(now, type_, **(values | fields))
    if (known := book.known.get(pending.id)) is not None:
        posted = entry.amount if type_ is EntryType.POST else 0
        book.known[pending.id] = known._replace(resolution=type_.value, posted=posted)
    return entry


def _burn(
    book: Book, chain: Sequence[Command], prints: Sequence[bytes], cause: tuple[int, Refusal], now: int
) -> tuple[Outcome, ...]:
    """Refuse a chain for good. ``cause``: the member that cannot be, and why."""
    first, outcomes = book.head.seq + 1, []
    for index, (command, print_) in enumerate(zip(chain, prints, strict=True)):
        refusal = cause[1] if index == cause[0] else Refusal.LINKED_FAILED
        fields: dict[str, Any] = {"id": command.id, "fingerprint": print_, "refusal": refusal.value}
        if isinstance(command, Transfer):
            fields |= {"debit": command.debit, "credit": command.credit, "kind": command.kind}
            fields |= {"reference": command.reference, "reverses": command.reverses}
            fields |= {"amount": command.amount.minor, "currency": command.amount.currency}
        else:
            fields["subject"] = command.pending_id
        entry = book.write(now, EntryType.REFUSAL, first, **fields)
        outcomes.append(Outcome(command.id, Result.REFUSED, refusal, entry.seq))
    return tuple(outcomes)


def _copy(book: Book) -> tuple[Any, ...]:
    state = (book.accounts, book.pendings, book.known, book.reversed)
    return (book.head, len(book.entries), *(dict(part) for part in state))


def _restore(book: Book, spare: tuple[Any, ...]) -> None:
    book.head, length, book.accounts, book.pendings, book.known, book.reversed = spare
    del book.entries[length:]
