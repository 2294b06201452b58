"""SQL of who is on which price list of a merchant."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, func, select

from appservice.store.upsert import upsert
from bots.store.order_tables import price_list_buyers


@dataclass(frozen=True, slots=True)
class ListedRow:
    """A buyer on a price list, as it is stored."""

    merchant: str
    person: str
    name: str
    added_at: int


def put(connection: Connection, row: ListedRow) -> None:
    """Put a buyer on a list; they leave the merchant's list that they were on."""
    upsert(connection, price_list_buyers, asdict(row), {"name": row.name, "added_at": row.added_at})


def drop(connection: Connection, merchant: str, person: str) -> None:
    """Take a buyer off the merchant's list."""
    c = price_list_buyers.c
    connection.execute(delete(price_list_buyers).where(c.merchant == merchant, c.person == person))


def of_person(connection: Connection, person: str, merchants: Collection[str]) -> dict[str, str]:
    """The list of each of these merchants that a person is on, by the merchant's id."""
    c = price_list_buyers.c
    query = select(c.merchant, c.name).where(c.person == person, c.merchant.in_(sorted(merchants)))
    return {str(merchant): str(name) for merchant, name in connection.execute(query)}


def all_of_person(connection: Connection, person: str, limit: int) -> list[ListedRow]:
    """Every list that a person is on, the newest first."""
    c = price_list_buyers.c
    query = select(price_list_buyers).where(c.person == person).order_by(c.added_at.desc(), c.merchant).limit(limit)
    return [ListedRow(**row) for row in connection.execute(query).mappings()]


def counts(connection: Connection, merchant: str) -> dict[str, int]:
    """How many buyers are on each list of a merchant."""
    c = price_list_buyers.c
    query = select(c.name, func.count()).where(c.merchant == merchant).group_by(c.name)
    return {name: int(count) for name, count in connection.execute(query)}


def buyers(connection: Connection, merchant: str, name: str, after: str, limit: int) -> list[str]:
    """Who is on a list, by their user ids, from behind ``after``."""
    c = price_list_buyers.c
    query = select(c.person).where(c.merchant == merchant, c.name == name, c.person > after)
    return [str(person) for person in connection.execute(query.order_by(c.person).limit(limit)).scalars()]
