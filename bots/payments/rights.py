"""What people may ask for: all that money's parts know of them, and to be forgotten.

Every part that keeps tables with people in them registers how it gives them out and how it forgets. Ledger and guard
are registered from the start. All of it is a part of :mod:`bridge.rights`, whose the audit log is. Nothing of the books
is deleted: a random pseudonym takes the person's place, what they wrote goes, and all chains of hashes stay whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Connection

from appservice.errors import RialtoError
from bots.domain.money import Money
from bots.domain.rights import Obstacle
from bots.framework.clock import Clock, from_ms
from bots.payments.guard import Guard
from bots.payments.ledger import Account, Ledger
from bots.store import guard as guard_store
from bots.store import ledger as ledger_store
from bots.store import ledger_reading
from bots.store import rights as rights_store

__all__ = ["ErasureRefused", "Obstacle", "Rights", "Table"]

Table = Iterable[Mapping[str, Any]]
"""Rows of plain JSON values."""
Export = Callable[[Connection, str], Mapping[str, Table]]
"""The tables of a part that name a person, by their names."""
Erase = Callable[[Connection, str, str, int], None]
"""Puts a pseudonym in a person's place and drops what they wrote: connection, person, pseudonym, now (ms)."""
Blocked = Callable[[Connection, str], Sequence[Obstacle]]
"""What has to end before a person can be erased."""

PAGE: Final = 500


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

    def __init__(self, clock: Clock, ledger: Ledger, guard: Guard) -> None:
        self._clock = clock
        self._guard = guard
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
        if name in {part.name for part in self._parts}:
            raise ValueError(f"{name} is registered already")
        self._others.append(_Part(name, export, erase, blocked or (lambda _connection, _person: ())))

    def tables(self, connection: Connection, person: str) -> Iterator[tuple[str, Table]]:
        """All tables of money that name a person, by part and name, without the audit log."""
        for part in self._parts:
            for name, rows in part.export(connection, person).items():
                yield f"{part.name}/{name}", rows

    def blocked(self, connection: Connection, person: str) -> tuple[Obstacle, ...]:
        """What has to end before a person can be erased."""
        return tuple(obstacle for part in self._parts for obstacle in part.blocked(connection, person))

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
        if obstacles := self.blocked(connection, person):
            raise ErasureRefused(obstacles)
        for part in self._others:
            part.erase(connection, person, name, now)
        if not rights_store.in_books(connection, person):
            return
        self._guard.lock(connection, (person,), now)
        # Once more: from here on nothing moves.
        if obstacles := self.blocked(connection, person):
            raise ErasureRefused(obstacles)
        for part in self._books:
            part.erase(connection, person, name, now)

    @property
    def _parts(self) -> tuple[_Part, ...]:
        return (*self._others, *self._books)


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
