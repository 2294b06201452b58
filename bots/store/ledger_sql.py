"""The ledger's hot statements, in both dialects: few of them, and of few texts, so that the drivers know them already.

PostgreSQL is handed arrays; SQLite is handed JSON for lists of ids, and lists of VALUES of a few lengths for rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from bots.domain.ledger import Account, Known, Pending
from bots.domain.ledger_accounts import AccountKind
from bots.domain.ledger_journal import Entry, Head

__all__ = [
    "ACCOUNT",
    "JOURNAL",
    "account_of",
    "accounts",
    "advance",
    "load",
    "lock_head",
    "new_head",
    "pendings",
    "resolutions",
    "reversals",
    "run",
]

CHUNKS: Final = (128, 64, 32, 16, 8, 4, 2, 1)
FEW: Final = 4
"""So few are worth statements of their own."""
ACCOUNT: Final = (
    "id, kind, owner, currency, floor, ceiling, frozen, closed, debits, credits, pending_debits, pending_credits, "
    "postings, opened_at"
)
JOURNAL: Final = ", ".join(Entry._fields)
KNOWN: Final = "id, seq, type, fingerprint, refusal, subject, debit, credit, amount, currency"
TYPES: Final = {
    **dict.fromkeys(("fingerprint", "memo_hash", "memo", "hash"), "bytea"),
    **dict.fromkeys(("seq", "at", "chain", "amount", "expires_at"), "bigint"),
    **dict.fromkeys(("debits", "credits", "pending_debits", "pending_credits", "postings"), "bigint"),
    **dict.fromkeys(("debit_posting", "credit_posting", "debit_after", "credit_after"), "bigint"),
}
MOVING: Final = ("debits", "credits", "pending_debits", "pending_credits", "postings")
"""What transfers change of an account."""


def lock_head(connection: Connection) -> Head | None:
    """The end of the journal; nobody else writes to the ledger until this transaction ends."""
    sql = "SELECT seq, at, hash FROM ledger_head WHERE id = 1"
    if connection.dialect.name != "sqlite":  # SQLite has one writer
        sql += " FOR UPDATE"
    rows, _ = run(connection, sql)
    return Head(*rows[0]) if rows else None


def new_head(connection: Connection, head: Head) -> None:
    """Begin the journal, unless somebody else just did."""
    values = "?, ?, ?" if connection.dialect.name == "sqlite" else "$1, $2, $3"
    sql = f"INSERT INTO ledger_head (id, seq, at, hash) VALUES (1, {values}) ON CONFLICT (id) DO NOTHING"  # noqa: S608
    run(connection, sql, tuple(head))


def accounts(connection: Connection, ids: Iterable[str]) -> dict[str, Account]:
    """Those of the accounts that there are, by id."""
    rows = _by_ids(connection, f"SELECT {ACCOUNT} FROM ledger_accounts WHERE id", ids)  # noqa: S608
    return {row[0]: account_of(row) for row in rows}


def account_of(row: Sequence[Any]) -> Account:
    """An account of a row of :data:`ACCOUNT`."""
    return Account(row[0], AccountKind(row[1]), row[2], row[3], row[4], row[5], bool(row[6]), bool(row[7]), *row[8:14])


def load(
    connection: Connection, ids: Iterable[str], account_ids: Iterable[str]
) -> tuple[dict[str, Known], dict[str, Account]]:
    """What the journal says of ids, and accounts."""
    if connection.dialect.name == "sqlite":
        rows = _by_ids(connection, f"SELECT {KNOWN} FROM ledger_journal WHERE id", ids)  # noqa: S608
        return _known(rows), accounts(connection, account_ids)
    both, _ = run(connection, _LOAD, (list(ids), list(account_ids)))
    return _known(both[0][0]), {row[0]: account_of(row) for row in both[0][1]}


_LOAD: Final = (
    f"SELECT ARRAY(SELECT ROW({KNOWN}) FROM ledger_journal WHERE id = ANY($1::text[])), "  # noqa: S608
    f"ARRAY(SELECT ROW({ACCOUNT}) FROM ledger_accounts WHERE id = ANY($2::text[]))"
)
"""Both at once: on PostgreSQL it is the round trips that cost."""


def _known(rows: Iterable[Sequence[Any]]) -> dict[str, Known]:
    return {row[0]: Known(*row[1:]) for row in rows}


def pendings(connection: Connection, ids: Iterable[str]) -> dict[str, Pending]:
    """Those of the pending transfers that are open."""
    rows = _by_ids(
        connection,
        "SELECT id, debit, credit, amount, currency, kind, reference, expires_at FROM ledger_pending WHERE id",
        ids,
    )
    return {row[0]: Pending(*row) for row in rows}


def resolutions(connection: Connection, ids: Iterable[str]) -> dict[str, tuple[str, int]]:
    """How pending transfers were resolved: the type of the entry and its amount."""
    rows = _by_ids(
        connection,
        "SELECT subject, type, amount FROM ledger_journal "
        "WHERE type IN ('post', 'void', 'expire') AND subject IS NOT NULL AND subject",
        ids,
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def reversals(connection: Connection, ids: Iterable[str]) -> dict[str, int]:
    """How much of transfers was reversed."""
    rows = _by_ids(
        connection,
        "SELECT reverses, SUM(amount) FROM ledger_journal "
        "WHERE type = 'transfer' AND reverses IS NOT NULL AND reverses",
        ids,
        " GROUP BY reverses",
    )
    return {row[0]: int(row[1]) for row in rows}


def advance(
    connection: Connection,
    old: Head,
    new: Head,
    entries: Sequence[Entry],
    changed: Sequence[Account],
    opened: Sequence[Pending],
    resolved: Sequence[str],
) -> bool:
    """Keep what a batch did; False when something was not as it had been read."""
    if opened:
        _insert(connection, "ledger_pending", Pending._fields, opened)
    if resolved:
        _by_ids(connection, "DELETE FROM ledger_pending WHERE id", resolved)
    rows = [
        (each.id, each.debits, each.credits, each.pending_debits, each.pending_credits, each.postings)
        for each in changed
    ]
    if connection.dialect.name != "sqlite":
        return _advance_at_once(connection, old, new, entries, rows)
    _insert(connection, "ledger_journal", Entry._fields, entries)
    if len(rows) <= FEW:
        moved = sum(run(connection, _UPDATE_ONE, (*row[1:], row[0]))[1] for row in rows)
    else:
        moved = sum(
            run(connection, _update_sql(len(chunk)), tuple(value for row in chunk for value in row))[1]
            for chunk in _chunks(rows)
        )
    sql = "UPDATE ledger_head SET seq = ?, at = ?, hash = ? WHERE id = 1 AND seq = ? AND hash = ?"
    advanced = run(connection, sql, (*new, old.seq, old.hash))[1]
    return moved == len(rows) and advanced == 1


def _advance_at_once(
    connection: Connection, old: Head, new: Head, entries: Sequence[Entry], rows: Sequence[tuple[Any, ...]]
) -> bool:
    """One statement for all of it."""
    columns = [list(column) for column in zip(*entries, strict=True)]
    values = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(len(MOVING) + 1)]
    parameters = (*columns, *values, *new, old.seq, old.hash)
    found, _ = run(connection, _at_once_sql(), parameters)
    return len(found) == 1 and found[0][0] == len(rows)


@lru_cache(maxsize=1)
def _at_once_sql() -> str:
    arrays = [f"${n}::{TYPES.get(name, 'text')}[]" for n, name in enumerate(Entry._fields, 1)]
    first = len(arrays) + 1
    changes = [f"${n}::{TYPES.get(name, 'text')}[]" for n, name in enumerate(("id", *MOVING), first)]
    last = first + len(changes)
    sets = ", ".join(f"{name} = v.{name}" for name in MOVING)
    return (
        f"WITH entered AS (INSERT INTO ledger_journal ({JOURNAL}) SELECT * FROM unnest({', '.join(arrays)})), "  # noqa: S608
        f"moved AS (UPDATE ledger_accounts AS a SET {sets} "
        f"FROM unnest({', '.join(changes)}) AS v(id, {', '.join(MOVING)}) WHERE a.id = v.id RETURNING 1) "
        f"UPDATE ledger_head SET seq = ${last}, at = ${last + 1}, hash = ${last + 2} "
        f"WHERE id = 1 AND seq = ${last + 3} AND hash = ${last + 4} RETURNING (SELECT count(*) FROM moved)"
    )


_UPDATE_ONE: Final = f"UPDATE ledger_accounts SET {', '.join(name + ' = ?' for name in MOVING)} WHERE id = ?"  # noqa: S608


@lru_cache(maxsize=16)
def _update_sql(length: int) -> str:
    one = "(" + ", ".join("?" * (len(MOVING) + 1)) + ")"
    # SQLite calls the columns of VALUES so. Not in a WITH: the driver counts the rows of an UPDATE only.
    sets = ", ".join(f"{name} = v.column{n}" for n, name in enumerate(MOVING, 2))
    values = ", ".join([one] * length)
    return f"UPDATE ledger_accounts SET {sets} FROM (VALUES {values}) AS v WHERE ledger_accounts.id = v.column1"  # noqa: S608


def _insert(connection: Connection, table: str, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    if connection.dialect.name != "sqlite":
        arrays = ", ".join(f"${n}::{TYPES.get(name, 'text')}[]" for n, name in enumerate(columns, 1))
        sql = f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({arrays})"  # noqa: S608
        run(connection, sql, tuple(list(column) for column in zip(*rows, strict=True)))
        return
    for chunk in _chunks(rows):
        run(connection, _insert_sql(table, columns, len(chunk)), tuple(value for row in chunk for value in row))


@lru_cache(maxsize=64)
def _insert_sql(table: str, columns: tuple[str, ...], length: int) -> str:
    one = "(" + ", ".join("?" * len(columns)) + ")"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([one] * length)}"  # noqa: S608


def _by_ids(connection: Connection, sql: str, ids: Iterable[str], after: str = "") -> Sequence[Any]:
    wanted = tuple(ids)
    if connection.dialect.name != "sqlite":
        return run(connection, f"{sql} = ANY($1::text[]){after}", (list(wanted),))[0]
    if len(wanted) <= FEW:
        return run(connection, f"{sql} IN ({', '.join('?' * len(wanted))}){after}", wanted)[0]
    return run(connection, f"{sql} IN (SELECT value FROM json_each(?)){after}", (json.dumps(wanted),))[0]  # noqa: S608


def run(connection: Connection, sql: str, parameters: tuple[Any, ...] = ()) -> tuple[Sequence[Any], int]:
    """The rows of a statement, and how many it changed.

    By the driver's own cursor: SQLAlchemy's is made for results of every shape, and takes longer to describe that of a
    statement like these than SQLite takes to run it. An error becomes the one that SQLAlchemy would have raised.
    """
    dialect = connection.dialect
    raw = connection.connection
    cursor = raw.cursor()
    try:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else (), cursor.rowcount
    except dialect.loaded_dbapi.Error as error:
        if dialect.is_disconnect(error, raw, cursor):
            connection.invalidate(error)
        raised = DBAPIError.instance(sql, None, error, dialect.loaded_dbapi.Error, True, dialect=dialect)
        raise raised from error
    except BaseException as error:
        if not isinstance(error, Exception):  # cancelled in the middle: nobody knows what the connection is at
            connection.invalidate(error)
        raise
    finally:
        cursor.close()


def _chunks(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    start = 0
    while start < len(rows):
        size = next(size for size in CHUNKS if size <= len(rows) - start)
        yield rows[start : start + size]
        start += size
