"""SQL of the ledger: what reads it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, func, or_, select, text

from bots.domain.ledger import Account, Pending
from bots.domain.ledger_accounts import Line
from bots.domain.ledger_journal import GENESIS, Entry, Head
from bots.domain.money import LARGEST, Money
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


def balance_at(connection: Connection, account_id: str, at: int) -> tuple[Account, int] | None:
    """An account, and its balance at a time (ms), what was posted in that millisecond included; None: no account."""
    found = sql.accounts(connection, [account_id]).get(account_id)
    if found is None:
        return None
    sides = " UNION ALL ".join(
        f"SELECT * FROM (SELECT seq, {side}_after AS net FROM ledger_journal WHERE {side} = :1 "  # noqa: S608
        f"AND {side}_posting IS NOT NULL AND at <= :2 ORDER BY at DESC, seq DESC LIMIT 1) AS {side}"
        for side in ("debit", "credit")
    )
    query = f"SELECT net FROM ({sides}) AS both_sides ORDER BY seq DESC LIMIT 1"  # noqa: S608
    rows, _ = sql.run(connection, _marked(connection, query), (account_id, at))
    return found, rows[0][0] if rows else 0


@dataclass(frozen=True, slots=True)
class Since:
    """Which lines of a statement: from ``since`` on and before ``until`` (ms), and before the entry ``before_seq``."""

    since: int | None = None
    until: int | None = None
    before_seq: int | None = None
    kind: str | None = None
    limit: int = 100


def statement(connection: Connection, account_id: str, which: Since) -> tuple[Account, list[Line]] | None:
    """An account, and lines of it, the newest first; None: there is no such account."""
    found = sql.accounts(connection, [account_id]).get(account_id)
    if found is None:
        return None
    parameters: list[Any] = [account_id, which.limit]
    conditions = []

    def condition(text: str, *values: Any) -> None:
        conditions.append(" AND " + text.format(*(f":{len(parameters) + n}" for n in range(1, len(values) + 1))))
        parameters.extend(values)

    if which.since is not None:
        condition("at >= {}", which.since)
    if which.until is not None:
        condition("at < {}", which.until)
    if which.before_seq is not None:
        # An entry's time never goes back, so its place in the index of (account, time, seq) is known.
        moment = "COALESCE((SELECT m.at FROM ledger_journal AS m WHERE m.seq = {0}), {1})"
        condition(f"seq < {{0}} AND (at, seq) < ({moment}, {{0}})", which.before_seq, LARGEST)
    if which.kind is not None:
        condition("kind = {}", which.kind)
    query = _marked(connection, _statement_sql("".join(conditions)))
    rows, _ = sql.run(connection, query, tuple(parameters))
    return found, [_line(found.currency, row) for row in rows]


@lru_cache(maxsize=32)
def _statement_sql(conditions: str) -> str:
    """The newest lines where the account was debited and those where it was credited, and of both the newest."""
    sides = " UNION ALL ".join(
        f"SELECT * FROM (SELECT seq, at, id, subject, kind, reference, {other} AS counterpart, {sign}amount AS amount, "  # noqa: S608
        f"{side}_after AS net, {side}_posting AS number, memo FROM ledger_journal WHERE {side} = :1 "
        f"AND {side}_posting IS NOT NULL{conditions} ORDER BY at DESC, seq DESC LIMIT :2) AS {side}"
        for side, other, sign in (("debit", "credit", "-"), ("credit", "debit", ""))
    )
    return (
        "SELECT l.seq, l.at, l.id, l.subject, l.kind, l.reference, l.counterpart, l.amount, l.net, l.number, "  # noqa: S608
        "COALESCE(origin.memo, l.memo), other.owner "
        f"FROM (SELECT * FROM ({sides}) AS both_sides ORDER BY seq DESC LIMIT :2) AS l "
        "LEFT JOIN ledger_accounts AS other ON other.id = l.counterpart "
        "LEFT JOIN ledger_journal AS origin ON origin.id = l.subject ORDER BY l.seq DESC"
    )


def _marked(connection: Connection, query: str) -> str:
    """A query with the dialect's marks for its parameters."""
    return query.replace(":", "?" if connection.dialect.name == "sqlite" else "$")


def _line(currency: str, row: Any) -> Line:
    seq, at, id_, subject, kind, reference, counterpart, amount, net, number, memo, owner = row
    return Line(
        seq=seq,
        at=at,
        transfer_id=subject or id_,
        kind=kind,
        reference=reference,
        counterpart=counterpart,
        counterpart_owner=owner or "",
        amount=Money(amount, currency),
        balance=Money(net, currency),
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
