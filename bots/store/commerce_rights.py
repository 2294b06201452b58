"""SQL of what people may ask for of commerce: the rows that name them, and taking their name out of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, func, or_, select

from bots.store.app_tables import app_sessions
from bots.store.catalogue_tables import merchant_staff, merchants
from bots.store.courier_tables import courier_jobs, couriers, group_orders
from bots.store.naming import Naming, Row
from bots.store.order_tables import (
    addresses,
    carts,
    coupon_uses,
    order_cases,
    order_steps,
    orders,
    price_list_buyers,
    ratings,
    wishes,
)

__all__ = [
    "GROUP",
    "PEOPLE",
    "count_open",
    "group_carts",
    "groups_of",
    "jobs_of_orders",
    "open_jobs",
    "orders_of_groups",
]

PEOPLE: Final = Naming(
    {
        "orders": (orders, ("buyer", "courier")),
        "steps": (order_steps, ("person",)),
        "cases": (order_cases, ("person",)),
        "addresses": (addresses, ("person",)),
        "carts": (carts, ("owner",)),
        "coupons": (coupon_uses, ("person",)),
        "wishes": (wishes, ("person",)),
        "price_lists": (price_list_buyers, ("person",)),
        "ratings": (ratings, ("person",)),
        "merchants": (merchants, ("owner",)),
        "staff": (merchant_staff, ("person",)),
        "couriers": (couriers, ("person",)),
        "trips": (courier_jobs, ("courier",)),
        "group_orders": (group_orders, ("host",)),
        "pages": (app_sessions, ("person",)),
    }
)
"""The tables with people in them, and the columns that name them."""
GROUP = "group:"
"""What the owner of a group's cart begins with."""


def count_open(connection: Connection, name: str, person: str, states: Collection[str], column: str = "") -> int:
    """How many rows that name a person are in one of some states. ``column``: only where this one names them."""
    table = PEOPLE.table(name)
    mine = table.c[column] == person if column else PEOPLE.mine(name, person)
    query = select(func.count()).select_from(table).where(mine, table.c.state.in_(sorted(states)))
    return int(connection.execute(query).scalar_one())


def group_carts(connection: Connection) -> list[Row]:
    """The carts of groups: who has put something into them lies sealed."""
    query = select(carts).where(carts.c.owner.startswith(GROUP, autoescape=True))
    return [dict(row) for row in connection.execute(query).mappings()]


def groups_of(connection: Connection, person: str) -> list[Row]:
    """The orders of groups that a person took part in."""
    query = select(group_orders).where(
        or_(group_orders.c.host == person, group_orders.c.body.contains(person, autoescape=True))
    )
    return [dict(row) for row in connection.execute(query.order_by(group_orders.c.id)).mappings()]


def orders_of_groups(connection: Connection, ids: Sequence[str]) -> list[Row]:
    """Orders by their ids."""
    return _by(connection, orders, orders.c.id, ids)


def jobs_of_orders(connection: Connection, ids: Sequence[str]) -> list[Row]:
    """The trips of orders."""
    return _by(connection, courier_jobs, courier_jobs.c.order_id, ids)


def open_jobs(connection: Connection, states: Collection[str]) -> list[Row]:
    """The trips in some states: who was asked to bring them lies sealed."""
    query = select(courier_jobs).where(courier_jobs.c.state.in_(sorted(states))).order_by(courier_jobs.c.id)
    return [dict(row) for row in connection.execute(query).mappings()]


def _by(connection: Connection, table: Table, column: ColumnElement[Any], values: Sequence[str]) -> list[Row]:
    found: list[Row] = []
    for begin in range(0, len(values), 400):
        query = select(table).where(column.in_(values[begin : begin + 400]))
        found += [dict(row) for row in connection.execute(query).mappings()]
    return found
