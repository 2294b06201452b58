"""What buyers think of what they had: stars for the order, which count for its merchant and its products too."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from appservice.clock import from_ms
from bots.commerce.hand import Hand, Reader
from bots.commerce.trade import Trade
from bots.domain.orders import Order
from bots.store import ratings as sql
from bots.store.ratings import RatingRow

__all__ = ["Average", "Rating", "Ratings"]

PLACE: Final = "ratings"
TEXT_MAX: Final = 2_000
PHOTOS_MAX: Final = 5

Average = tuple[float | None, int]
"""Stars on average, None where nobody has rated; and how many have."""


@dataclass(frozen=True, slots=True)
class Rating:
    """What somebody said of an order."""

    order: str
    person: str
    stars: int
    text: str
    photos: tuple[str, ...]
    at: datetime


class Ratings:
    """One for a plugin."""

    def __init__(self, trade: Trade) -> None:
        self._trade = trade

    def rate(self, hand: Hand, order: Order, stars: int, text: str = "", photos: Sequence[str] = ()) -> None:
        """Store what the buyer of an order thinks of it; said again, it takes the place of what was said before.

        Args:
            stars: 1 to 5.
            photos: as of a case: :class:`bots.domain.cases.Case`.

        Raises:
            ValueError: not so many stars, or too long.
        """
        if type(stars) is not int or not 1 <= stars <= 5:
            raise ValueError("a rating has 1 to 5 stars")
        if len(text) > TEXT_MAX or len(photos) > PHOTOS_MAX:
            raise ValueError("a rating has so many characters and photos at most")
        rows = []
        for product in ("", *sorted({line.product for line in order.lines})):
            held = {"text": text, "photos": list(photos)} if not product else {}
            sealed = self._trade.seal(PLACE, f"{order.id}:{product}", held)
            rows.append(RatingRow(order.id, product, order.merchant, order.buyer, stars, sealed, hand.now_ms()))
        hand.store(lambda connection: sql.put(connection, rows))

    async def rated(self, reader: Reader, order_id: str) -> bool:
        """Whether an order has been rated."""
        return bool(await reader.query(lambda connection: sql.of_order(connection, order_id)))

    async def of_order(self, reader: Reader, order_id: str) -> Rating | None:
        """What its buyer said of an order."""
        rows = await reader.query(lambda connection: sql.of_order(connection, order_id))
        return next((self._rating(row) for row in rows if not row.product), None)

    async def newest(self, reader: Reader, merchant_id: str, limit: int = 10) -> list[Rating]:
        """What people said last of a merchant."""
        return [self._rating(r) for r in await reader.query(lambda c: sql.newest(c, merchant_id, "", limit))]

    async def average(self, reader: Reader, merchant_id: str, product_key: str = "") -> Average:
        """The average of a product, or of a merchant."""
        key = (merchant_id, product_key)
        return (await self.averages(reader, [key]))[key]

    async def averages(self, reader: Reader, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Average]:
        """The averages of products and merchants, by the merchant's id and the product's key (empty: the merchant)."""
        found = await reader.query(lambda connection: sql.sums(connection, keys))
        averages: dict[tuple[str, str], Average] = {}
        for key in keys:
            stars, number = found.get(key, (0, 0))
            averages[key] = (stars / number if number else None, number)
        return averages

    def _rating(self, row: RatingRow) -> Rating:
        held = self._trade.open(PLACE, f"{row.order_id}:{row.product}", row.sealed) if row.sealed else {}
        text, photos = held.get("text", ""), tuple(held.get("photos", ()))
        return Rating(row.order_id, row.person, row.stars, text, photos, from_ms(row.at))
