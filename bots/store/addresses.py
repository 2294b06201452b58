"""SQL of address books."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, select, update

from appservice.database import insert_ignore
from bots.store.busy import TradeBusy
from bots.store.order_tables import addresses


@dataclass(frozen=True, slots=True)
class AddressRow:
    """One address as it is stored. ``name``: a keyed digest; ``usual``: 1: offered first."""

    id: str
    person: str
    name: str
    usual: int
    sealed: bytes
    created_at: int
    version: int = 0


def of_person(connection: Connection, person: str) -> list[AddressRow]:
    """A person's addresses: the usual one, then the oldest first."""
    query = select(addresses).where(addresses.c.person == person)
    rows = connection.execute(query.order_by(addresses.c.usual.desc(), addresses.c.id)).mappings()
    return [AddressRow(**{**row, "sealed": bytes(row["sealed"])}) for row in rows]


def add(connection: Connection, row: AddressRow) -> None:
    """Store an address.

    Raises:
        TradeBusy: the person has one of this name.
    """
    if connection.execute(insert_ignore(connection, addresses, "person", "name"), asdict(row)).rowcount != 1:
        raise TradeBusy("the person has an address of this name")


def change(connection: Connection, before: AddressRow, after: AddressRow) -> None:
    """Write an address that is still as it was read.

    Raises:
        TradeBusy: it is not, or the person has another of this name.
    """
    c = addresses.c
    if after.name != before.name:
        taken = select(c.id).where(c.person == after.person, c.name == after.name)
        if connection.execute(taken).first() is not None:
            raise TradeBusy("the person has an address of this name")
    values = {"name": after.name, "usual": after.usual, "sealed": after.sealed, "version": before.version + 1}
    where = (c.id == before.id, c.version == before.version)
    if connection.execute(update(addresses).where(*where).values(values)).rowcount != 1:
        raise TradeBusy("an address was changed meanwhile")


def make_usual(connection: Connection, person: str, address_id: str) -> None:
    """Offer an address first, and no other."""
    c = addresses.c
    connection.execute(update(addresses).where(c.person == person, c.id != address_id).values(usual=0))
    connection.execute(update(addresses).where(c.person == person, c.id == address_id).values(usual=1))


def drop(connection: Connection, person: str, address_id: str) -> None:
    """Forget an address."""
    connection.execute(delete(addresses).where(addresses.c.person == person, addresses.c.id == address_id))
