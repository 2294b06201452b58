"""SQL of ratings. The sums of each product and merchant are kept beside: nobody counts them at each look."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, RowMapping, bindparam, select

from appservice.store.upsert import upsert
from bots.store.among import among
from bots.store.order_tables import rating_sums, ratings


@dataclass(frozen=True, slots=True)
class RatingRow:
    """One rating as it is stored. ``product``: its key; empty: of the order as a whole."""

    order_id: str
    product: str
    merchant: str
    person: str
    stars: int
    sealed: bytes
    at: int


def put(connection: Connection, rows: Sequence[RatingRow]) -> None:
    """Store ratings; those of the same order and product take the place of what was said before."""
    for row in sorted(rows, key=lambda each: (each.merchant, each.product)):
        # The sum first: whoever rates the same waits here, and what is read after it stays so.
        key = {"merchant": row.merchant, "product": row.product}
        c = rating_sums.c
        upsert(connection, rating_sums, {**key, "stars": 0, "ratings": 0}, {"stars": c.stars, "ratings": c.ratings})
        where = (ratings.c.order_id == row.order_id, ratings.c.product == row.product)
        before = connection.execute(select(ratings.c.stars).where(*where)).scalar_one_or_none()
        upsert(connection, ratings, asdict(row))
        more, new = (row.stars, 1) if before is None else (row.stars - before, 0)
        changes = {"stars": c.stars + more, "ratings": c.ratings + new}
        upsert(connection, rating_sums, {**key, "stars": more, "ratings": new}, changes)


def of_order(connection: Connection, order_id: str) -> list[RatingRow]:
    """The ratings of an order."""
    query = select(ratings).where(ratings.c.order_id == order_id).order_by(ratings.c.product)
    return [_rating(row) for row in connection.execute(query).mappings()]


def newest(connection: Connection, merchant: str, product: str, limit: int) -> list[RatingRow]:
    """What people said last of a product, or of a merchant."""
    query = select(ratings).where(ratings.c.merchant == merchant, ratings.c.product == product)
    query = query.order_by(ratings.c.at.desc(), ratings.c.order_id).limit(limit)
    return [_rating(row) for row in connection.execute(query).mappings()]


def sums(connection: Connection, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], tuple[int, int]]:
    """Stars and how many, by merchant and product (empty: the merchant); nothing where nobody has rated."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    wanted = sorted(set(keys))
    if len(wanted) == 1:
        row = connection.execute(_SUM, {"of": wanted[0][0], "what": wanted[0][1]}).mappings().one_or_none()
        return {} if row is None else {wanted[0]: (row["stars"], row["ratings"])}
    for begin in range(0, len(wanted), 400):
        those = among(rating_sums.c.merchant, rating_sums.c.product, wanted[begin : begin + 400])
        query = select(rating_sums).where(those)
        for row in connection.execute(query).mappings():
            found[row["merchant"], row["product"]] = (row["stars"], row["ratings"])
    return found


# Made once: to put one together takes longer than to run it.
_SUM = select(rating_sums).where(rating_sums.c.merchant == bindparam("of"), rating_sums.c.product == bindparam("what"))


def _rating(row: RowMapping) -> RatingRow:
    return RatingRow(**{**row, "sealed": bytes(row["sealed"])})
