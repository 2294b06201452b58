"""SQL of the ledger: what reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, literal, or_, select, text, tuple_, union_all

from bots.domain.ledger import Account, Pending
from bots.domain.ledger_accounts import Line
from bots.domain.ledger_journal import GENESIS, Entry, Head
from bots.domain.money import Money
from bots.store import ledger_sql as sql
from bots.store.ledger_tables import ledger_accounts, ledger_head, ledger_journal, ledger_pending

__all__ = [
    "Since",
    "accounts_page",
    "balance_at",
    "entries_page",
    "entry_hash",
    "freeze_view",
    "head",
    "over_reversed",
    "pendings_page",
    "statement",
    "totals",
]

_J = ledger_journal.c


def head(connection: Connection) -> Head:
    """The end of the journal, not locked."""
    row = connection.execute(select(ledger_head.c.seq, ledger_head.c.at, ledger_head.c.hash)).one_or_none()
    return GENESIS if row is None else Head(row[0], row[1], bytes(row[2]))


def freeze_view(connection: Connection) -> None:
    """From here on the transaction sees the database as it is now. It must be its first statement."""
    if connection.dialect.name != "sqlite":  # where a reading transaction always does
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))


def balance_at(connection: Connection, account_id: str, at: int) -> int | None:
    """An account's balance at a time (ms), what was posted in that millisecond included; None before it was opened."""
    account = ledger_accounts.c
    opened = connection.execute(select(account.opened_at).where(account.id == account_id)).scalar_one_or_none()
    if opened is None:
        return None
    row = connection.execute(_BALANCE_AT, {"account": account_id, "moment": at}).first()
    if row is None:
        return 0 if opened <= at else None
    return int(row[0])


@dataclass(frozen=True, slots=True)
class Since:
    """Which lines of a statement: from ``since`` on and before ``until`` (ms), and before the entry ``before_seq``."""

    since: int | None = None
    until: int | None = None
    before_seq: int | None = None
    kind: str | None = None
    limit: int = 100


def statement(connection: Connection, account: Account, which: Since) -> list[Line]:
    """The lines of an account, the newest first."""
    before = which.before_seq
    moment = None
    if before is not None:
        # An entry's time never goes back, so the place in the index of (account, time, seq) is known.
        moment = connection.execute(select(_J.at).where(_J.seq == before)).scalar_one_or_none()
    sides = [_side(which, moment, True), _side(which, moment, False)]
    both = union_all(*(select(each.subquery()) for each in sides)).subquery()
    origin = ledger_journal.alias("origin")
    other = ledger_accounts.alias("other")
    query = (
        select(both, other.c.owner, func.coalesce(origin.c.memo, both.c.memo))
        .select_from(both)
        .outerjoin(other, other.c.id == both.c.counterpart)
        .outerjoin(origin, origin.c.id == both.c.subject)
        .order_by(both.c.seq.desc())
        .limit(which.limit)
    )
    rows = connection.execute(query, _parameters(account.id, which, moment))
    return [_line(account.currency, row) for row in rows]


def _side(which: Since, moment: int | None, debit: bool) -> Any:
    """The newest lines where the account was debited, or credited."""
    if debit:
        account, other, number, after, sign = _J.debit, _J.credit, _J.debit_posting, _J.debit_after, -1
    else:
        account, other, number, after, sign = _J.credit, _J.debit, _J.credit_posting, _J.credit_after, 1
    query = select(
        *(_J.seq, _J.at, _J.id, _J.subject, _J.kind, _J.reference, other.label("counterpart")),
        *((_J.amount * literal(sign)).label("amount"), after.label("after"), number.label("number"), _J.memo),
    ).where(account == bindparam("account"), number.is_not(None))
    if which.since is not None:
        query = query.where(_J.at >= bindparam("since"))
    if which.until is not None:
        query = query.where(_J.at < bindparam("until"))
    if moment is not None:
        query = query.where(tuple_(_J.at, _J.seq) < tuple_(bindparam("moment"), bindparam("before")))
    if which.kind is not None:
        query = query.where(_J.kind == bindparam("kind"))
    return query.order_by(_J.at.desc(), _J.seq.desc()).limit(which.limit)


def _parameters(account_id: str, which: Since, moment: int | None) -> dict[str, Any]:
    given = {"since": which.since, "until": which.until, "kind": which.kind}
    if moment is not None:
        given |= {"moment": moment, "before": which.before_seq}
    return {"account": account_id} | {name: value for name, value in given.items() if value is not None}


def _line(currency: str, row: Any) -> Line:
    seq, at, id_, subject, kind, reference, counterpart, amount, after, number, _, owner, memo = row
    return Line(
        seq=seq,
        at=at,
        transfer_id=subject or id_,
        kind=kind,
        reference=reference,
        counterpart=counterpart,
        counterpart_owner=owner or "",
        amount=Money(amount, currency),
        balance=Money(after, currency),
        number=number,
        memo=bytes(memo or b""),
    )


def entries_page(connection: Connection, after: int, limit: int) -> list[Entry]:
    """The entries after a ``seq``, in order."""
    query = select(ledger_journal).where(_J.seq > after).order_by(_J.seq).limit(limit)
    return [Entry(*row) for row in connection.execute(query)]


def entry_hash(connection: Connection, seq: int) -> bytes | None:
    """The hash of an entry."""
    found = connection.execute(select(_J.hash).where(_J.seq == seq)).scalar_one_or_none()
    return None if found is None else bytes(found)


def accounts_page(
    connection: Connection, after: str, limit: int, *, currency: str | None = None, owner: str | None = None
) -> list[tuple[Account, bytes]]:
    """Accounts with their salts in the order of their ids, those after ``after``."""
    account = ledger_accounts.c
    query = select(*(account[name] for name in sql.ACCOUNT.split(", ")), account.salt).where(account.id > after)
    if currency is not None:
        query = query.where(account.currency == currency)
    if owner is not None:
        query = query.where(account.owner == owner)
    rows = connection.execute(query.order_by(account.id).limit(limit))
    return [(sql.account_of(row), bytes(row[-1])) for row in rows]


def pendings_page(connection: Connection, after: str, limit: int) -> list[Pending]:
    """Open pending transfers in the order of their ids."""
    pending = ledger_pending.c
    query = select(ledger_pending).where(pending.id > after).order_by(pending.id).limit(limit)
    return [Pending(*row) for row in connection.execute(query)]


def totals(connection: Connection) -> dict[str, int]:
    """The sum of all balances by currency: nought each, in a ledger that is whole."""
    account = ledger_accounts.c
    query = select(account.currency, func.sum(account.credits - account.debits)).group_by(account.currency)
    return {row[0]: int(row[1]) for row in connection.execute(query)}


def over_reversed(connection: Connection, limit: int) -> list[tuple[str, int, int]]:
    """Transfers that were reversed by more than they moved: id, moved, reversed."""
    taken = (
        select(_J.reverses.label("id"), func.sum(_J.amount).label("taken"))
        .where(_J.reverses.is_not(None), _J.type == "transfer")
        .group_by(_J.reverses)
        .subquery()
    )
    original = ledger_journal.alias("original")
    moved = (
        select(func.coalesce(func.sum(original.c.amount), 0))
        .where(
            or_(
                (original.c.id == taken.c.id) & (original.c.type == "transfer"),
                (original.c.subject == taken.c.id) & (original.c.type == "post"),
            )
        )
        .scalar_subquery()
    )
    query = select(taken.c.id, moved, taken.c.taken).where(taken.c.taken > moved).limit(limit)
    return [(row[0], int(row[1]), int(row[2])) for row in connection.execute(query)]


def _last(debit: bool) -> Any:
    account, number = (_J.debit, _J.debit_posting) if debit else (_J.credit, _J.credit_posting)
    after = (_J.debit_after if debit else _J.credit_after).label("after")
    return (
        select(after, _J.seq)
        .where(account == bindparam("account"), number.is_not(None), _J.at <= bindparam("moment"))
        .order_by(_J.at.desc(), _J.seq.desc())
        .limit(1)
    )


_LAST = union_all(select(_last(True).subquery()), select(_last(False).subquery())).subquery()
_BALANCE_AT = select(_LAST.c.after).order_by(_LAST.c.seq.desc()).limit(1)
