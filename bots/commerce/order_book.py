"""Orders as they are read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from appservice.clock import from_ms, to_ms
from bots.commerce import records
from bots.commerce.hand import Reader
from bots.commerce.trade import Trade
from bots.domain.orders import Order, OrderState
from bots.store import orders as sql
from bots.store.orders import OrderRow

__all__ = ["OrderBook", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to an order. ``action``: of :class:`bots.domain.orders.Action`, or ``place``; ``by``: a
    user id, or empty."""

    action: str
    state: OrderState
    by: str
    at: datetime


class OrderBook:
    """The orders of one plugin instance."""

    def __init__(self, trade: Trade, bot: str) -> None:
        self.bot = bot
        self._trade = trade

    async def get(self, reader: Reader, order_id: str) -> Order | None:
        """An order by its id."""
        return self._opened(await reader.query(lambda connection: sql.get(connection, self.bot, order_id)))

    async def by_number(self, reader: Reader, number: str, *, buyer: str = "", merchant_id: str = "") -> Order | None:
        """An order by its number as people type it, of a buyer or of a merchant."""
        wanted = number.strip().lstrip("#").upper()[:40]

        def read(connection: Connection) -> OrderRow | None:
            return sql.of_number(connection, self.bot, wanted, buyer=buyer, merchant=merchant_id)

        return self._opened(await reader.query(read))

    async def of_buyer(self, reader: Reader, person: str, *, before: str = "", limit: int = 10) -> list[Order]:
        """A person's orders, the newest first. ``before``: the id of the last one of the page before."""
        return self._all(await reader.query(lambda c: sql.of_buyer(c, self.bot, person, before, limit)))

    async def of_merchant(
        self, reader: Reader, merchant_id: str, states: Collection[OrderState] = (), limit: int = 50
    ) -> list[Order]:
        """A merchant's orders in some states, the oldest first; without states the newest ones first."""
        wanted = [each.value for each in states]
        return self._all(await reader.query(lambda c: sql.of_merchant(c, self.bot, merchant_id, wanted, limit)))

    async def placed_between(
        self, reader: Reader, merchant_id: str, since: datetime, until: datetime, limit: int = 5_000
    ) -> list[Order]:
        """A merchant's orders that were placed from a moment on and before another, the oldest first."""
        begin, end = to_ms(since), to_ms(until)
        return self._all(await reader.query(lambda c: sql.placed_between(c, self.bot, merchant_id, begin, end, limit)))

    async def of_checkout(self, reader: Reader, checkout: str) -> list[Order]:
        """The orders of one cart."""
        return self._all(await reader.query(lambda connection: sql.of_checkout(connection, self.bot, checkout)))

    async def steps(self, reader: Reader, order_id: str) -> list[Step]:
        """What happened to an order, in order."""
        rows = await reader.query(lambda connection: sql.steps(connection, order_id))
        return [Step(row.action, OrderState(row.state), row.person, from_ms(row.at)) for row in rows]

    def _opened(self, row: OrderRow | None) -> Order | None:
        return None if row is None else records.order_of(self._trade, row)

    def _all(self, rows: Sequence[OrderRow]) -> list[Order]:
        return [records.order_of(self._trade, row) for row in rows]
