"""SQL of the bills. What a bill means, and its seal, is the bot's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, RowMapping, delete, func, select, update

from appservice.database import insert_ignore
from appservice.errors import RialtoError
from bots.store.bill_tables import bill_accounts, bill_claims, bill_notices, bills


class BillBusy(RialtoError):
    """Somebody else was faster: nothing of the unit happens, and the handler is run again."""

    code = "bill_busy"


@dataclass(frozen=True, slots=True)
class BillRow:
    """One bill as it is stored. Times: ms since the epoch."""

    id: str
    bot: str
    person: str
    room_id: str
    biller: str
    origin: str
    saved_id: str
    account: str
    claim: str
    sealed: bytes
    state: str
    reason: str
    currency: str
    amount: int
    minimum: int | None
    paying: int
    due_on: str | None
    payment_id: str | None
    attempts: int
    asked_at: int
    created_at: int
    updated_at: int
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """Whose a bill is to pay. ``settled``: nobody's any more."""

    bill_id: str
    settled: bool
    at: int


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One saved account as it is stored."""

    id: str
    bot: str
    person: str
    room_id: str
    biller: str
    account: str
    nickname: str
    sealed: bytes
    remind_days: int | None
    cap: int | None
    currency: str
    mandate: str | None
    mandate_id: str | None
    created_at: int
    revision: int = 0


# Bills


def add(connection: Connection, row: BillRow) -> bool:
    """Store a bill; whether it is new."""
    return connection.execute(insert_ignore(connection, bills, "id"), asdict(row)).rowcount == 1


def get(connection: Connection, bot: str, bill_id: str) -> BillRow | None:
    """A bill by its id."""
    row = connection.execute(select(bills).where(bills.c.bot == bot, bills.c.id == bill_id)).mappings().one_or_none()
    return None if row is None else _bill(row)


def of_payment(connection: Connection, bot: str, payment_id: str) -> BillRow | None:
    """The bill that a payment of the wallet is for."""
    query = select(bills).where(bills.c.bot == bot, bills.c.payment_id == payment_id).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _bill(row)


def change(connection: Connection, before: BillRow, after: BillRow) -> None:
    """Write a bill that is still as it was read.

    Raises:
        BillBusy: it is not.
    """
    where = (bills.c.id == before.id, bills.c.revision == before.revision)
    values = {name: value for name, value in asdict(after).items() if name not in {"id", "bot", "created_at"}}
    values["revision"] = before.revision + 1
    if connection.execute(update(bills).where(*where).values(values)).rowcount != 1:
        raise BillBusy("a bill was changed meanwhile", bill=before.id)


def drop(connection: Connection, row: BillRow) -> None:
    """Forget a bill that is still as it was read.

    Raises:
        BillBusy: it is not.
    """
    where = (bills.c.id == row.id, bills.c.revision == row.revision)
    if connection.execute(delete(bills).where(*where)).rowcount != 1:
        raise BillBusy("a bill was changed meanwhile", bill=row.id)


def purge(connection: Connection, bot: str, states: Collection[str], before: int, limit: int) -> int:
    """Forget up to ``limit`` bills in these states that nobody wanted to pay and that are that old; how many."""
    old = select(bills.c.id).where(
        bills.c.bot == bot, bills.c.state.in_(states), bills.c.paying == 0, bills.c.updated_at < before
    )
    return connection.execute(delete(bills).where(bills.c.id.in_(old.limit(limit)))).rowcount


def of_person(
    connection: Connection, bot: str, person: str, states: Collection[str], limit: int, *, account: str = ""
) -> list[BillRow]:
    """A person's bills in these states, the newest first."""
    query = select(bills).where(bills.c.bot == bot, bills.c.person == person, bills.c.state.in_(states))
    if account:
        query = query.where(bills.c.account == account)
    rows = connection.execute(query.order_by(bills.c.created_at.desc(), bills.c.id).limit(limit))
    return [_bill(row) for row in rows.mappings()]


def in_state(connection: Connection, bot: str, state: str, limit: int) -> list[BillRow]:
    """Everybody's bills in a state, the oldest question first."""
    query = select(bills).where(bills.c.bot == bot, bills.c.state == state)
    return [_bill(row) for row in connection.execute(query.order_by(bills.c.asked_at).limit(limit)).mappings()]


def count_in(connection: Connection, bot: str, state: str) -> int:
    """How many bills are in a state."""
    query = select(func.count()).select_from(bills).where(bills.c.bot == bot, bills.c.state == state)
    return int(connection.execute(query).scalar_one())


def paid_of(connection: Connection, bot: str, claim: str, state: str) -> Sequence[tuple[str, int]]:
    """Currency and amount of every payment of one bill that is in ``state``."""
    query = select(bills.c.currency, bills.c.paying).where(
        bills.c.bot == bot, bills.c.claim == claim, bills.c.state == state
    )
    return [(str(row.currency), int(row.paying)) for row in connection.execute(query)]


# Whose a bill is to pay


def claimed(connection: Connection, bot: str, claim: str) -> Claim | None:
    """Whose it is, None while it is nobody's."""
    row = connection.execute(
        select(bill_claims).where(bill_claims.c.bot == bot, bill_claims.c.claim == claim)
    ).one_or_none()
    return None if row is None else Claim(row.bill_id, bool(row.settled), row.at)


def take(connection: Connection, bot: str, claim: str, bill_id: str, now: int) -> None:
    """Make it this payment's.

    Raises:
        BillBusy: it is another's.
    """
    row = {"bot": bot, "claim": claim, "bill_id": bill_id, "settled": 0, "at": now}
    if connection.execute(insert_ignore(connection, bill_claims, "bot", "claim"), row).rowcount == 1:
        return
    found = claimed(connection, bot, claim)
    if found is None or found.bill_id != bill_id:
        raise BillBusy("the same bill is being paid already", bill=bill_id)


def settle(connection: Connection, bot: str, claim: str, bill_id: str, now: int) -> None:
    """It is paid: nobody pays it any more."""
    where = (bill_claims.c.bot == bot, bill_claims.c.claim == claim, bill_claims.c.bill_id == bill_id)
    if connection.execute(update(bill_claims).where(*where).values(settled=1, at=now)).rowcount != 1:
        raise BillBusy("a bill was paid by a payment whose it is not", bill=bill_id)


def release(connection: Connection, bot: str, claim: str, bill_id: str) -> None:
    """It is nobody's again."""
    where = (bill_claims.c.bot == bot, bill_claims.c.claim == claim, bill_claims.c.bill_id == bill_id)
    connection.execute(delete(bill_claims).where(*where, bill_claims.c.settled == 0))


# Saved accounts


def save(connection: Connection, row: AccountRow) -> None:
    """Store an account.

    Raises:
        BillBusy: the person has one of this name.
    """
    made = connection.execute(insert_ignore(connection, bill_accounts, "bot", "person", "nickname"), asdict(row))
    if made.rowcount != 1:
        raise BillBusy("the person has an account of this name", account=row.id)


def accounts(connection: Connection, bot: str, person: str) -> list[AccountRow]:
    """A person's accounts, the oldest first."""
    query = select(bill_accounts).where(bill_accounts.c.bot == bot, bill_accounts.c.person == person)
    rows = connection.execute(query.order_by(bill_accounts.c.created_at, bill_accounts.c.id)).mappings()
    return [_account(row) for row in rows]


def saved(connection: Connection, bot: str, account_id: str) -> AccountRow | None:
    """An account by its id."""
    query = select(bill_accounts).where(bill_accounts.c.bot == bot, bill_accounts.c.id == account_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _account(row)


def of_mandate(connection: Connection, bot: str, key: str) -> AccountRow | None:
    """The account whose bills are paid under a mandate."""
    query = select(bill_accounts).where(bill_accounts.c.bot == bot, bill_accounts.c.mandate == key).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _account(row)


def change_saved(connection: Connection, before: AccountRow, after: AccountRow) -> None:
    """Write an account that is still as it was read.

    Raises:
        BillBusy: it is not, or the person has another of this name.
    """
    table = bill_accounts.c
    if after.nickname != before.nickname:
        taken = select(table.id).where(
            table.bot == after.bot, table.person == after.person, table.nickname == after.nickname
        )
        if connection.execute(taken).first() is not None:
            raise BillBusy("the person has an account of this name", account=before.id)
    values = {name: value for name, value in asdict(after).items() if name not in {"id", "bot", "created_at"}}
    values["revision"] = before.revision + 1
    where = (table.id == before.id, table.revision == before.revision)
    if connection.execute(update(bill_accounts).where(*where).values(values)).rowcount != 1:
        raise BillBusy("an account was changed meanwhile", account=before.id)


def forget(connection: Connection, account_id: str) -> None:
    """Forget an account and what its owner was told of its bills."""
    connection.execute(delete(bill_notices).where(bill_notices.c.account_id == account_id))
    connection.execute(delete(bill_accounts).where(bill_accounts.c.id == account_id))


# What was said and done, once for a bill


def note(connection: Connection, account_id: str, claim: str, kind: str, day: str) -> None:
    """Remember that something was said or done.

    Raises:
        BillBusy: it was already.
    """
    row = {"account_id": account_id, "claim": claim, "kind": kind, "day": day}
    made = connection.execute(insert_ignore(connection, bill_notices, "account_id", "claim", "kind"), row)
    if made.rowcount != 1:
        raise BillBusy("that was done already", account=account_id)


def notes(connection: Connection, account_id: str, claim: str) -> dict[str, str]:
    """What was said and done about a bill: the day of each kind."""
    query = select(bill_notices.c.kind, bill_notices.c.day).where(
        bill_notices.c.account_id == account_id, bill_notices.c.claim == claim
    )
    return {str(row.kind): str(row.day) for row in connection.execute(query)}


def _bill(row: RowMapping) -> BillRow:
    return BillRow(**{**row, "sealed": bytes(row["sealed"])})


def _account(row: RowMapping) -> AccountRow:
    return AccountRow(**{**row, "sealed": bytes(row["sealed"])})
