"""What people may ask for: all that money's parts know of them, and to be forgotten.

Every part that keeps tables with people in them registers how it gives them out and how it forgets. Ledger, guard and
audit log are registered from the start. Nothing of the books is deleted: a random pseudonym takes the person's place,
what they wrote goes, and all chains of hashes stay whole.
"""

from __future__ import annotations

import asyncio
import csv
import io
import re
import secrets
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Connection

from appservice import json
from appservice.database import Database
from appservice.errors import RialtoError
from bots.domain.money import Money
from bots.domain.rights import Obstacle
from bots.framework.clock import Clock, from_ms
from bots.payments.guard import Guard
from bots.payments.ledger import Account, Ledger
from bots.payments.statements import harmless
from bots.store import guard as guard_store
from bots.store import ledger as ledger_store
from bots.store import ledger_reading
from bots.store import rights as rights_store
from bridge import audit as audits
from bridge.audit import ERASED, Audit

__all__ = ["ErasureRefused", "ExportTooLarge", "Obstacle", "Rights", "Table"]

Table = Iterable[Mapping[str, Any]]
"""Rows of plain JSON values."""
Export = Callable[[Connection, str], Mapping[str, Table]]
"""The tables of a part that name a person, by their names."""
Erase = Callable[[Connection, str, str, int], None]
"""Puts a pseudonym in a person's place and drops what they wrote: connection, person, pseudonym, now (ms)."""
Blocked = Callable[[Connection, str], Sequence[Obstacle]]
"""What has to end before a person can be erased."""

MOST_BYTES: Final = 64 * 1024 * 1024
"""Of an export, before it is compressed."""
PAGE: Final = 500
_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


class ExportTooLarge(RialtoError):
    """There is more of a person than an export in memory holds."""

    code = "export_too_large"


class ErasureRefused(RialtoError):
    """Somebody cannot be erased now; ``obstacles`` say why."""

    code = "erasure_refused"

    def __init__(self, obstacles: Sequence[Obstacle]) -> None:
        self.obstacles = tuple(obstacles)
        super().__init__(
            "\n".join(each.human for each in obstacles), obstacles=",".join(each.code for each in obstacles)
        )


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    export: Export
    erase: Erase
    blocked: Blocked


class Rights:
    """Gives out what is known of a person, and forgets who they were."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ledger: Ledger,
        guard: Guard,
        audit: Audit,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._database = database
        self._clock = clock
        self._guard = guard
        self._audit = audit
        self._random = random
        self._others: list[_Part] = []
        # Their rows are locked in this order everywhere, after those of the other parts.
        self._books = (
            _Part("guard", _guard_export, lambda c, who, name, _: guard_store.rename(c, who, name), _guard_blocked),
            _Part("ledger", _ledger_export, _ledger_erase(ledger), _ledger_blocked),
        )

    def register(self, name: str, export: Export, erase: Erase, blocked: Blocked | None = None) -> None:
        """Add a part.

        Args:
            name: a word, unique; a folder of the export.
            export: gives the part's tables with a person in them. Secrets (hashes of PINs, codes) stay out.
            erase: forgets the person; runs in the commit that all parts erase in.
            blocked: says what has to end before; nothing if None.
        """
        if name in {part.name for part in self._parts} | {"audit"}:
            raise ValueError(f"{name} is registered already")
        self._others.append(_Part(name, export, erase, blocked or (lambda _connection, _person: ())))

    async def export(self, person: str) -> bytes:
        """All that is known of a person: a zip file with each table as JSON and as CSV, and a table of contents.

        Each part is read in a transaction of its own: what moves meanwhile may be in one and not yet in another.

        Raises:
            ExportTooLarge: it does not fit into memory.
        """
        found: dict[str, list[Mapping[str, Any]]] = {}
        size = 0
        exports = [(part.name, part.export) for part in self._parts] + [("audit", self._audit_export)]
        for name, give in exports:
            size = await self._database.read(
                lambda connection, name=name, give=give, size=size: _collect(  # type: ignore[misc]
                    name, give(connection, person), found, size
                )
            )
        return await asyncio.to_thread(_zipped, person, found, self._clock.now_ms())

    def tables(self, connection: Connection, person: str) -> Iterator[tuple[str, Table]]:
        """All tables of money that name a person, by part and name, without the audit log."""
        for part in self._parts:
            for name, rows in part.export(connection, person).items():
                yield f"{part.name}/{name}", rows

    def blocked(self, connection: Connection, person: str) -> tuple[Obstacle, ...]:
        """As :meth:`obstacles`, in a transaction that is there."""
        return self._obstacles(connection, person)

    def forget(self, connection: Connection, person: str, name: str) -> None:
        """Forget who somebody was, in a commit that forgets more than money; the audit log is the caller's. Once the
        pseudonym is in the books nothing happens any more.

        Args:
            name: the pseudonym that takes their place.

        Raises:
            ErasureRefused: there is money in the wallet or on its way, or another part objects.
        """
        now = self._clock.now_ms()
        if rights_store.in_books(connection, name):
            return
        if obstacles := self._obstacles(connection, person):
            raise ErasureRefused(obstacles)
        for part in self._others:
            part.erase(connection, person, name, now)
        if not rights_store.in_books(connection, person):
            return
        self._guard.lock(connection, (person,), now)
        # Once more: from here on nothing moves.
        if obstacles := self._obstacles(connection, person):
            raise ErasureRefused(obstacles)
        for part in self._books:
            part.erase(connection, person, name, now)

    async def obstacles(self, person: str) -> tuple[Obstacle, ...]:
        """What has to end before a person can be erased."""
        return await self._database.read(lambda connection: self._obstacles(connection, person))

    async def erase(self, person: str, by: str) -> str:
        """Forget who somebody was, in one commit; the pseudonym that stands in their place.

        Args:
            person: a user id.
            by: who asked for it, for the audit log: the person, or ``operator``.

        Raises:
            ErasureRefused: there is money in the wallet or on its way, or another part objects.
        """
        name, now = audits.pseudonym(self._random), self._clock.now_ms()

        def work(connection: Connection) -> None:
            self.forget(connection, person, name)
            self._audit.erase(connection, person, name)
            actor = name if by == person else by
            self._audit.append(connection, at=now, actor=actor, action=ERASED, subject=name, outcome="done")

        await self._database.write(work)
        return name

    @property
    def _parts(self) -> tuple[_Part, ...]:
        return (*self._others, *self._books)

    def _obstacles(self, connection: Connection, person: str) -> tuple[Obstacle, ...]:
        return tuple(obstacle for part in self._parts for obstacle in part.blocked(connection, person))

    def _audit_export(self, connection: Connection, person: str) -> Mapping[str, Table]:
        return {"entries": map(audits.fields, self._audit.about(connection, person))}


# --- the books


def _guard_export(connection: Connection, person: str) -> Mapping[str, Table]:
    row = guard_store.person(connection, person)
    return {
        "person": [{"tier": row.tier, "frozen_at": row.frozen_at, "held_at": row.held_at, "held_by": row.held_by}],
        "usage": [
            {"currency": currency, "span": span, "spent": _amount(spent, currency)}
            for currency, span, spent in guard_store.usage(connection, person)
        ],
        "movements": [
            {
                **asdict(each),
                "amount": _amount(each.amount, each.currency),
                "counted": _amount(each.counted, each.currency),
            }
            for each in guard_store.movements(connection, person)
        ],
    }


def _guard_blocked(connection: Connection, person: str) -> Sequence[Obstacle]:
    return () if guard_store.person(connection, person).held_at is None else (Obstacle.of("rights.held"),)


def _ledger_export(connection: Connection, person: str) -> Mapping[str, Table]:
    accounts = ledger_store.owned(connection, person)
    return {
        "accounts": [_account(each) for each in accounts],
        "statement": (line for account in accounts for line in _statement(connection, account)),
    }


def _account(account: Account) -> Mapping[str, Any]:
    held, coming = account.pending_debits, account.pending_credits
    return {
        "id": account.id,
        "kind": account.kind.value,
        "currency": account.currency,
        "balance": f"{account.balance.amount:f}",
        "set_aside": _amount(held, account.currency),
        "coming": _amount(coming, account.currency),
        "frozen": account.frozen,
        "closed": account.closed,
        "opened_at": _time(account.opened_at),
    }


def _statement(connection: Connection, account: Account) -> Iterator[Mapping[str, Any]]:
    """All lines of an account, the newest first."""
    before: int | None = None
    while True:
        found = ledger_reading.statement(connection, account.id, ledger_reading.Since(before_seq=before, limit=PAGE))
        page = [] if found is None else found[1]
        for line in page:
            yield {
                "account": account.id,
                "at": _time(line.at),
                "transfer": line.transfer_id,
                "kind": line.kind,
                "reference": line.reference,
                "counterpart": line.counterpart_owner,
                "amount": f"{line.amount.amount:f}",
                "currency": account.currency,
                "balance": f"{line.balance.amount:f}",
            }
        if len(page) < PAGE:
            return
        before = page[-1].seq


def _ledger_blocked(connection: Connection, person: str) -> Sequence[Obstacle]:
    found: list[Obstacle] = []
    for account in ledger_store.owned(connection, person):
        if account.balance:
            found.append(Obstacle.of("rights.balance", amount=account.balance))
        if pending := account.pending_debits + account.pending_credits:
            found.append(Obstacle.of("rights.pending", amount=Money(pending, account.currency)))
    return found


def _ledger_erase(ledger: Ledger) -> Erase:
    def erase(connection: Connection, person: str, name: str, now: int) -> None:
        for account in ledger.rename_owner(connection, person, name, now):
            if not account.closed:
                ledger.set_closed(connection, account.id, True, now)

    return erase


def _amount(minor: int, currency: str) -> str:
    return f"{Money(minor, currency).amount:f}"


def _time(at: int) -> str:
    return from_ms(at).isoformat(timespec="milliseconds")


# --- the file


def _collect(part: str, tables: Mapping[str, Table], found: dict[str, list[Mapping[str, Any]]], size: int) -> int:
    """Read the tables of a part; how many bytes all that was found has by now as JSON."""
    for name, rows in tables.items():
        kept = found[f"{part}/{name}"] = []
        for row in rows:
            size += len(json.dumps(row))
            if size > MOST_BYTES:
                raise ExportTooLarge("there is more than an export holds", part=part, bytes=MOST_BYTES)
            kept.append(row)
    return size


def _zipped(person: str, found: Mapping[str, Sequence[Mapping[str, Any]]], now: int) -> bytes:
    out = io.BytesIO()
    moment = from_ms(now)
    contents = {
        "person": person,
        "made_at": _time(now),
        "tables": {name: len(rows) for name, rows in found.items()},
    }
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, data: bytes) -> None:
            info = zipfile.ZipInfo(name, moment.timetuple()[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)

        add("contents.json", json.dumps(contents))
        for name, rows in found.items():
            add(f"{name}.json", b"[\n" + b",\n".join(json.dumps(row) for row in rows) + b"\n]\n")
            add(f"{name}.csv", _csv(rows))
    return out.getvalue()


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in columns])
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "replace")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        # An amount may begin with a sign; nothing else may.
        return value if _NUMBER.fullmatch(value) else harmless(value)
    return json.dumps(value).decode()
