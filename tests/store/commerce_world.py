"""Merchants and products for the store tests of commerce."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection

from appservice.database import Database
from bots.domain.catalogue import Product, Stock, Variant
from bots.domain.merchants import Merchant, MerchantState
from bots.domain.money import Money
from bots.domain.opening import Hours
from bots.domain.places import Circle, Place, Point, Zone

T = TypeVar("T")

BOT = "shop"
NOW = 1_790_000_000_000
SQUARE = Point(52.5219, 13.4132)


class At:
    """Reads and writes as a handler does, each write in a commit of its own."""

    def __init__(self, database: Database, now: int = NOW) -> None:
        self.database = database
        self.time = now
        self._queued: list[Callable[[Connection], object]] = []

    def now_ms(self) -> int:
        return self.time

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time / 1000, UTC)

    async def query(self, work: Callable[[Connection], T]) -> T:
        return await self.database.read(work)

    def store(self, operation: Callable[[Connection], object]) -> None:
        self._queued.append(operation)

    async def commit(self) -> None:
        """All that was queued, together."""
        queued, self._queued = self._queued, []

        def work(connection: Connection) -> None:
            for operation in queued:
                operation(connection)

        await self.database.write(work)


def merchant(slug: str = "corner", **changes: Any) -> Merchant:
    """Alice's shop in Berlin."""
    made = Merchant(
        id=f"01MERCHANT{slug.upper():0<16}",
        slug=slug,
        bot=BOT,
        owner="@alice:localhost",
        name=slug.title(),
        currency="EUR",
        state=MerchantState.ACTIVE,
        hours=Hours.always("Europe/Berlin"),
        where=Place("Alexanderplatz 1", SQUARE),
        zones=(Zone("near", Circle(SQUARE, 3000), Money(250, "EUR")),),
    )
    return replace(made, **changes)


def product(key: str, name: str, price: int = 500, *, count: int | None = None, **changes: Any) -> Product:
    """Something that is sold in one variant."""
    return Product(key, name, (Variant("one", "One", Money(price, "EUR"), Stock.of(count)),), **changes)
