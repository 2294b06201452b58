"""SQL of what people may ask for: the rows that name them, and taking their name out of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, exists, func, or_, select, update

from bots.store.bill_tables import bill_accounts, bill_notices, bills
from bots.store.funding_tables import funding_payouts, funding_top_ups
from bots.store.guard_tables import guard_people
from bots.store.ledger_tables import ledger_accounts
from bots.store.naming import Naming
from bots.store.page_tables import pins
from bots.store.payment_tables import payment_people, payment_refunds, payments, subscriptions, wallets
from bots.store.tables import plugin_state

__all__ = [
    "PEOPLE",
    "blank",
    "forget_bills",
    "forget_notes",
    "in_books",
    "in_state",
    "notes_of",
    "refunds_of",
    "rows_of",
]

PEOPLE: Final = Naming(
    {
        "payments": (payments, ("payer", "payee", "initiator")),
        "subscriptions": (subscriptions, ("payer",)),
        "wallet": (wallets, ("person",)),
        "confirming": (payment_people, ("person",)),
        "pins": (pins, ("person",)),
        "top_ups": (funding_top_ups, ("person",)),
        "cash_outs": (funding_payouts, ("person",)),
        "bills": (bills, ("person",)),
        "accounts": (bill_accounts, ("person",)),
    }
)
"""The tables with people in them, and the columns that name them."""


def rows_of(connection: Connection, name: str, person: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Some columns of the rows that name a person, in the order of the table's key."""
    table = PEOPLE.table(name)
    query = select(*(table.c[column] for column in columns)).where(PEOPLE.mine(name, person))
    # All at once: whoever goes through them may change them.
    for row in connection.execute(query.order_by(*table.primary_key.columns)).mappings().all():
        yield dict(row)


def refunds_of(connection: Connection, person: str) -> Iterator[dict[str, Any]]:
    """The refunds of payments that a person took part in."""
    mine = select(payments.c.id).where(or_(payments.c.payer == person, payments.c.payee == person))
    columns = (payment_refunds.c.payment_id, payment_refunds.c.amount, payment_refunds.c.at)
    query = select(*columns).where(payment_refunds.c.payment_id.in_(mine)).order_by(payment_refunds.c.at)
    for row in connection.execute(query).mappings():
        yield dict(row)


def in_state(connection: Connection, name: str, person: str, states: Collection[str]) -> int:
    """How many rows that name a person are in one of some states."""
    table = PEOPLE.table(name)
    query = select(func.count()).select_from(table)
    query = query.where(PEOPLE.mine(name, person), table.c.state.in_(sorted(states)))
    return int(connection.execute(query).scalar_one())


def blank(connection: Connection, name: str, row_id: str, **values: Any) -> None:
    """Put other values into a row: what a person wrote goes."""
    table = PEOPLE.table(name)
    connection.execute(update(table).where(table.c.id == row_id).values(**values))


def forget_bills(connection: Connection, person: str, pseudonym: str) -> None:
    """Put a pseudonym in a person's place, drop what they entered, and forget their saved accounts."""
    mine = select(bill_accounts.c.id).where(bill_accounts.c.person == person)
    connection.execute(delete(bill_notices).where(bill_notices.c.account_id.in_(mine)))
    connection.execute(delete(bill_accounts).where(bill_accounts.c.person == person))
    shown = (bills.c.person == person, bills.c.state == "shown")
    connection.execute(update(bills).where(*shown).values(state="cancelled", revision=bills.c.revision + 1))
    values = {"person": pseudonym, "room_id": "", "sealed": b"", "revision": bills.c.revision + 1}
    connection.execute(update(bills).where(bills.c.person == person).values(**values))


def in_books(connection: Connection, person: str) -> bool:
    """Whether the ledger or the guard know somebody."""
    mine = exists().where(ledger_accounts.c.owner == person)
    known = exists().where(guard_people.c.person == person)
    return bool(connection.execute(select(or_(mine, known))).scalar())


def notes_of(connection: Connection, bots: Sequence[str], person: str) -> Sequence[Mapping[str, Any]]:
    """What plugin instances have noted of a person."""
    query = select(plugin_state).where(plugin_state.c.plugin.in_(bots), plugin_state.c.scope == f"user:{person}")
    return [dict(row) for row in connection.execute(query.order_by(*plugin_state.primary_key.columns)).mappings()]


def forget_notes(connection: Connection, bots: Sequence[str], person: str) -> None:
    """Forget what plugin instances have noted of a person."""
    mine = (plugin_state.c.plugin.in_(bots), plugin_state.c.scope == f"user:{person}")
    connection.execute(delete(plugin_state).where(*mine))
