"""Whether the ledger is whole: the journal is replayed page by page, while the service goes on writing to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import Connection

from appservice.database import Database
from bots.domain.ledger import Account, Pending
from bots.domain.ledger_replay import Problem, Replay
from bots.store import ledger_reading as reading

__all__ = ["Progress", "Report", "check"]

PAGE = 1000

Progress: TypeAlias = Callable[[int, int], None]
"""Is told how many entries were replayed, and how many there are."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a replay of the journal found.

    Attributes:
        entries: how many the journal has. ``head``: the hash of the last one, hexadecimal.
        counts: how many of each type.
        accounts, pending: how many accounts and open pending transfers there are.
        totals: the sum of all balances by currency: nought each.
        found: how many problems there are; ``problems`` holds the first 100.
    """

    entries: int
    head: str
    counts: dict[str, int]
    accounts: int
    pending: int
    totals: dict[str, int]
    found: int
    problems: tuple[Problem, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return self.found == 0


async def check(
    database: Database, progress: Progress | None = None, anchor: tuple[int, bytes] | None = None
) -> Report:
    """Replay the journal, and compare. ``anchor``: an entry's number and hash that an earlier report gave."""
    replay = Replay()
    last = (await database.read(reading.head)).seq
    while True:
        after = replay.head.seq
        page = await database.read(lambda connection, after=after: reading.entries_page(connection, after, PAGE))  # type: ignore[misc]
        await asyncio.to_thread(replay.take, page)
        if progress is not None:
            progress(replay.head.seq, max(last, replay.head.seq))
        if len(page) < PAGE:
            break
    return await database.read(lambda connection: _compare(connection, replay, anchor))


def _compare(connection: Connection, replay: Replay, anchor: tuple[int, bytes] | None) -> Report:
    """What was written meanwhile, and what it all adds up to, as one view of the database."""
    reading.freeze_view(connection)
    head = reading.head(connection)
    while page := reading.entries_page(connection, replay.head.seq, PAGE):
        replay.take(page)
    replay.compare_head(head)
    accounts = pending = 0
    for some in _accounts(connection):
        accounts += len(some)
        replay.compare_accounts(some)
    for held in _pendings(connection):
        pending += len(held)
        replay.compare_pendings(held)
    totals = reading.totals(connection)
    replay.finish(totals)
    replay.over_reversed(reading.over_reversed(connection, PAGE))
    if anchor is not None and reading.entry_hash(connection, anchor[0]) != anchor[1]:
        replay.missing(f"entry {anchor[0]}", "it is not the one that was there")
    return Report(
        entries=head.seq,
        head=head.hash.hex(),
        counts=dict(replay.counts),
        accounts=accounts,
        pending=pending,
        totals=totals,
        found=replay.found,
        problems=tuple(replay.problems),
    )


def _accounts(connection: Connection) -> Iterator[list[tuple[Account, bytes]]]:
    after = ""
    while page := reading.accounts_page(connection, after, PAGE):
        yield page
        after = page[-1][0].id


def _pendings(connection: Connection) -> Iterator[list[Pending]]:
    after = ""
    while page := reading.pendings_page(connection, after, PAGE):
        yield page
        after = page[-1].id
