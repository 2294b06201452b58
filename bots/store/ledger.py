"""SQL of the ledger: what changes it. Every change writes to the journal, under the lock of its head.

The lock is held to the end of the transaction, so a caller takes its own locks before, and always in that order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, func, insert, select, update

from appservice.errors import RialtoError
from bots.domain.ledger import (
    FLOORS,
    Account,
    AccountKind,
    Book,
    Command,
    Conflict,
    InvariantBroken,
    Outcome,
    Pending,
    Transfer,
    check_batch,
    decide,
    root,
    settings,
)
from bots.domain.ledger import expire as expire_one
from bots.domain.ledger_journal import GENESIS, EntryType, Head, owner_hash
from bots.store import ledger_sql as sql
from bots.store.ledger_tables import ledger_accounts, ledger_pending

__all__ = [
    "AccountRefused",
    "apply",
    "change",
    "count",
    "expire",
    "find",
    "get",
    "head",
    "open_account",
    "owned",
    "rename_owner",
]


class AccountRefused(RialtoError):
    """An account cannot be changed so. ``fields``: account, reason (unknown, not_empty, below_floor)."""

    code = "account_refused"


def apply(
    connection: Connection, chains: Sequence[Sequence[Command]], now: int
) -> list[tuple[Outcome, ...] | Conflict]:
    """Take linked chains, one after the other; each is done or refused for itself."""
    book = _load(connection, [command for chain in chains for command in chain])
    before = _snapshot(book)
    outcomes = [decide(book, chain, now) for chain in chains]
    _keep(connection, before, book)
    return outcomes


def expire(connection: Connection, now: int, limit: int) -> list[str]:
    """Release up to ``limit`` pending transfers whose time is over; their ids."""
    due = select(ledger_pending).where(ledger_pending.c.expires_at <= now)
    due = due.order_by(ledger_pending.c.expires_at, ledger_pending.c.id).limit(limit)
    if connection.execute(due.with_only_columns(ledger_pending.c.id).limit(1)).first() is None:
        return []
    book = Book(head(connection))
    found = [Pending(*row) for row in connection.execute(due)]
    book.pendings = {each.id: each for each in found}
    book.accounts = sql.accounts(connection, {id_ for each in found for id_ in (each.debit, each.credit)})
    before = _snapshot(book)
    for each in found:
        expire_one(book, each, now)
    _keep(connection, before, book)
    return [each.id for each in found]


def head(connection: Connection) -> Head:
    """The end of the journal, locked."""
    found = sql.lock_head(connection)
    if found is None:
        sql.new_head(connection, GENESIS)
        found = sql.lock_head(connection)
        assert found is not None
    return found


def find(connection: Connection, owner: str, currency: str, kind: AccountKind) -> Account | None:
    """The account of an owner."""
    row = connection.execute(
        select(*_ACCOUNT).where(
            ledger_accounts.c.owner == owner, ledger_accounts.c.currency == currency, ledger_accounts.c.kind == kind
        )
    ).one_or_none()
    return None if row is None else sql.account_of(row)


def get(connection: Connection, account_id: str) -> Account | None:
    """The account of an id."""
    return sql.accounts(connection, [account_id]).get(account_id)


def owned(connection: Connection, owner: str) -> list[Account]:
    """The accounts of an owner, the first opened first."""
    query = select(*_ACCOUNT).where(ledger_accounts.c.owner == owner)
    rows = connection.execute(query.order_by(ledger_accounts.c.opened_at, ledger_accounts.c.id))
    return [sql.account_of(row) for row in rows]


def open_account(
    connection: Connection, account_id: str, salt: bytes, owner: str, currency: str, kind: AccountKind, now: int
) -> Account:
    """The account of an owner: the one there is, or a new one with this id."""
    found = find(connection, owner, currency, kind)
    if found is not None:
        return found
    book = Book(head(connection))
    found = find(connection, owner, currency, kind)  # somebody may have been quicker
    if found is not None:
        return found
    account = Account(account_id, kind, owner, currency, FLOORS[kind], None, False, False, 0, 0, 0, 0, 0, now)
    values = {name: getattr(account, name) for name in Account.__slots__}
    values |= {"kind": kind.value, "frozen": 0, "closed": 0, "salt": salt}
    connection.execute(insert(ledger_accounts), values)
    terms = settings(account, owner_hash(salt, owner))
    before = _snapshot(book)
    book.write(now, EntryType.OPENED, subject=account.id, currency=currency, details=terms)
    _keep(connection, before, book)
    return account


def change(
    connection: Connection,
    account_id: str,
    now: int,
    *,
    frozen: bool | None = None,
    closed: bool | None = None,
    limits: tuple[int | None, int | None] | None = None,
) -> Account:
    """Change what is given of an account; ``limits`` are its floor and its ceiling.

    Raises:
        AccountRefused: there is none; it would be closed with money in it or on its way; its new floor would lie
            above what is available. A ceiling may lie below the balance: nothing comes in then.
    """
    book = Book(head(connection))
    account = get(connection, account_id)
    if account is None:
        raise AccountRefused("There is no such account.", account=account_id, reason="unknown")
    new = replace(
        account,
        frozen=account.frozen if frozen is None else frozen,
        closed=account.closed if closed is None else closed,
        floor=account.floor if limits is None else limits[0],
        ceiling=account.ceiling if limits is None else limits[1],
    )
    if new.closed and (new.net or new.pending_debits or new.pending_credits):
        raise AccountRefused("There is money in the account or on its way.", account=account_id, reason="not_empty")
    if new.floor is not None and new.net - new.pending_debits < new.floor:
        raise AccountRefused("The account holds less than that.", account=account_id, reason="below_floor")
    if new != account:
        _change(connection, book, new, now)
    return new


def rename_owner(connection: Connection, owner: str, pseudonym: str, salts: Iterable[bytes], now: int) -> list[Account]:
    """Put another name on all accounts of an owner. The journal never held the name: only a salted hash of it, whose
    salt is replaced too.

    Raises:
        AccountRefused: the other name has such an account already.
    """
    book = Book(head(connection))
    renamed = [replace(account, owner=pseudonym) for account in owned(connection, owner)]
    for account, salt in zip(renamed, salts, strict=False):
        if find(connection, pseudonym, account.currency, account.kind) is not None:
            raise AccountRefused("That name has accounts.", account=account.id, reason="name_taken")
        _change(connection, book, account, now, salt)
        book = Book(head(connection))
    return renamed


def _change(connection: Connection, book: Book, account: Account, now: int, salt: bytes | None = None) -> None:
    row = ledger_accounts.c.id == account.id
    if salt is None:
        salt = bytes(connection.execute(select(ledger_accounts.c.salt).where(row)).scalar_one())
    values = {"floor": account.floor, "ceiling": account.ceiling, "owner": account.owner, "salt": salt}
    values |= {"frozen": int(account.frozen), "closed": int(account.closed)}
    connection.execute(update(ledger_accounts).where(row).values(values))
    before = _snapshot(book)
    terms = settings(account, owner_hash(salt, account.owner))
    book.write(now, EntryType.CHANGED, subject=account.id, currency=account.currency, details=terms)
    _keep(connection, before, book)


def _load(connection: Connection, commands: Sequence[Command]) -> Book:
    """All that the decision of commands needs, in a few queries."""
    book = Book(head(connection))
    ids: set[str] = set()
    named: set[str] = set()
    held: set[str] = set()
    reversing: set[str] = set()
    for command in commands:
        ids.add(command.id)
        if isinstance(command, Transfer):
            named.update((command.debit, command.credit))
            if command.reverses is not None:
                reversing.add(command.reverses)
        else:
            held.add(command.pending_id)
    book.known, book.accounts = sql.load(connection, ids | held | reversing, named)
    if held:
        book.pendings = sql.pendings(connection, held)
        theirs = {id_ for each in book.pendings.values() for id_ in (each.debit, each.credit)}
        if more := theirs - named:
            book.accounts |= sql.accounts(connection, more)
    over = {
        each
        for each in held | reversing
        if (known := book.known.get(each)) is not None and known.type == EntryType.PENDING and each not in book.pendings
    }
    if over:
        for each, (type_, amount) in sql.resolutions(connection, over).items():
            posted = amount if type_ == EntryType.POST else 0
            book.known[each] = book.known[each]._replace(resolution=type_, posted=posted)
    if reversing:
        book.reversed = sql.reversals(connection, {root(book, each) for each in reversing})
    return book


def _snapshot(book: Book) -> Book:
    """What :func:`check_batch` and :func:`_keep` compare with: accounts and pendings are not changed in place."""
    return Book(book.head, dict(book.accounts), dict(book.pendings))


def _keep(connection: Connection, before: Book, after: Book) -> None:
    """Write down what a batch did, when it keeps the invariants."""
    if not after.entries:
        return
    check_batch(before, after)
    changed = [account for id_, account in after.accounts.items() if account is not before.accounts[id_]]
    opened = [each for id_, each in after.pendings.items() if id_ not in before.pendings]
    resolved = [id_ for id_ in before.pendings if id_ not in after.pendings]
    if not sql.advance(connection, before.head, after.head, after.entries, changed, opened, resolved):
        raise InvariantBroken("the ledger changed under its lock")


def count(connection: Connection) -> int:
    """How many accounts there are."""
    return int(connection.execute(select(func.count()).select_from(ledger_accounts)).scalar_one())


_ACCOUNT = tuple(ledger_accounts.c[name] for name in sql.ACCOUNT.split(", "))
