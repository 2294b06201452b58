"""SQL of stock: each step is one guarded statement, and each claim takes each step once.

What there is without end has no row: whatever is done about it changes nothing. Who takes several rows takes them in
the order of their keys, so that two of them never wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, bindparam, delete, func, select, update

from appservice.database import insert_ignore
from bots.domain.stock import HoldState, StockLevel
from bots.store.among import among
from bots.store.busy import StockGone, TradeBusy
from bots.store.order_tables import stock, stock_holds

# Made once: to put one together takes longer than to run it.
_OF_PRODUCT = (
    select(stock)
    .where(stock.c.merchant == bindparam("of"), stock.c.product == bindparam("what"))
    .order_by(stock.c.variant, stock.c.slot)
)


@dataclass(frozen=True, slots=True, order=True)
class StockKey:
    """What there is so much of. ``slot``: its beginning; empty where stock has none."""

    merchant: str
    product: str
    variant: str
    slot: str = ""

    @property
    def parts(self) -> tuple[str, str, str, str]:
        """All of it."""
        return self.merchant, self.product, self.variant, self.slot


@dataclass(frozen=True, slots=True)
class Claim:
    """So many of something. ``each_slot``: how many each slot has until somebody counts it; None: there are none."""

    key: StockKey
    quantity: int
    each_slot: int | None = None


def levels(connection: Connection, keys: Collection[StockKey]) -> dict[StockKey, StockLevel]:
    """How much there is of some things; what is not in it has no end, or is a slot that nobody has touched."""
    found = {}
    wanted = sorted({key.parts for key in keys})
    for begin in range(0, len(wanted), 200):
        part = set(wanted[begin : begin + 200])
        those = among(stock.c.merchant, stock.c.product, [parts[:2] for parts in part])
        query = select(stock).where(those, stock.c.slot.in_(sorted({parts[3] for parts in part})))
        for row in connection.execute(query).mappings():
            key = StockKey(row["merchant"], row["product"], row["variant"], row["slot"])
            if key.parts in part:
                found[key] = StockLevel(row["count"], row["held"])
    return found


def of_product(connection: Connection, merchant: str, product: str) -> dict[tuple[str, str], StockLevel]:
    """How much there is of a product's variants, by variant and slot; what is not in it has no end."""
    rows = connection.execute(_OF_PRODUCT, {"of": merchant, "what": product}).mappings()
    return {(row["variant"], row["slot"]): StockLevel(row["count"], row["held"]) for row in rows}


def of_products(connection: Connection, products: Iterable[tuple[str, str]]) -> dict[tuple[str, str, str], StockLevel]:
    """How much there is of some products' variants, without slots, by merchant, product and variant."""
    wanted = sorted(set(products))
    found = {}
    for begin in range(0, len(wanted), 200):
        those = among(stock.c.merchant, stock.c.product, wanted[begin : begin + 200])
        query = select(stock).where(those, stock.c.slot == "")
        for row in connection.execute(query).mappings():
            found[row["merchant"], row["product"], row["variant"]] = StockLevel(row["count"], row["held"])
    return found


def count(connection: Connection, key: StockKey, number: int | None, at: int) -> None:
    """The merchant has counted; None: there is no end of it. What is promised stays so.

    Raises:
        OutOfStock: more are promised than there are.
    """
    if number is None:
        connection.execute(delete(stock).where(_is(key)))
        return
    values = {"count": number, "changed_at": at}
    changed = connection.execute(update(stock).where(_is(key), stock.c.held <= number).values(values))
    if changed.rowcount == 1:
        return
    row = connection.execute(select(stock.c.held).where(_is(key))).one_or_none()
    # What was ordered while there was no end of it is promised all the same.
    held = _held(connection, key) if row is None else int(row.held)
    StockLevel(max(held, number), held).counted(number)
    if row is not None or not _begin(connection, key, number, held, at):
        raise TradeBusy("a stock was changed meanwhile", product=key.product)


def drop(connection: Connection, merchant: str, product: str, variant: str | None = None) -> None:
    """Forget the stock of a product, or of one variant: it is not sold any more."""
    where = [stock.c.merchant == merchant, stock.c.product == product]
    if variant is not None:
        where.append(stock.c.variant == variant)
    connection.execute(delete(stock).where(*where))


# What orders do


def hold(connection: Connection, claims: Mapping[str, Sequence[Claim]], at: int) -> None:
    """Promise what orders want, all of it or nothing.

    Args:
        claims: by the id of the order.

    Raises:
        StockGone: of something there is not so much.
        TradeBusy: an order has its claims already.
    """
    whole = [(claim.key, order_id, claim) for order_id, each in claims.items() for claim in together(each)]
    gone = []
    for key, order_id, claim in sorted(whole, key=lambda each: (each[0], each[1])):
        if not _take(connection, claim, at):
            gone.append(key.parts)
        made = connection.execute(
            insert_ignore(connection, stock_holds, "order_id", "product", "variant", "slot"),
            {
                **_columns(key),
                "order_id": order_id,
                "quantity": claim.quantity,
                "state": HoldState.HELD.value,
                "at": at,
            },
        )
        if made.rowcount != 1:
            raise TradeBusy("an order has its claims already", order=order_id)
    if gone:
        raise StockGone(tuple(gone))


def sell(connection: Connection, order_id: str, at: int) -> None:
    """It is paid: what was promised leaves the shelf. Twice is the same as once."""
    for key, quantity in _step(connection, order_id, HoldState.HELD, HoldState.SOLD, at):
        left = {"count": stock.c.count - quantity, "held": stock.c.held - quantity, "changed_at": at}
        connection.execute(update(stock).where(_is(key), stock.c.held >= quantity).values(left))


def unsell(connection: Connection, order_id: str, at: int) -> None:
    """It is to be paid anew: what had left the shelf is promised again, and nobody else gets it. Twice is as once."""
    for key, quantity in _step(connection, order_id, HoldState.SOLD, HoldState.HELD, at):
        back = {"count": stock.c.count + quantity, "held": stock.c.held + quantity, "changed_at": at}
        connection.execute(update(stock).where(_is(key)).values(back))


def give_back(connection: Connection, order_id: str, at: int) -> None:
    """The order came to nothing: what is promised is free again, what has left the shelf is back. Twice is as once."""
    for key, quantity in _step(connection, order_id, HoldState.HELD, HoldState.RELEASED, at):
        freed = {"held": stock.c.held - quantity, "changed_at": at}
        connection.execute(update(stock).where(_is(key), stock.c.held >= quantity).values(freed))
    for key, quantity in _step(connection, order_id, HoldState.SOLD, HoldState.RESTOCKED, at):
        back = {"count": stock.c.count + quantity, "changed_at": at}
        connection.execute(update(stock).where(_is(key)).values(back))


def lessen(connection: Connection, order_id: str, left: Sequence[Claim], at: int) -> None:
    """Only so many of what was sold can be delivered. The others do not come back to the shelf: they were not there."""
    keep = {claim.key: claim.quantity for claim in together(left)}
    for key, quantity in _claims(connection, order_id, HoldState.SOLD):
        where = and_(_holds(order_id, key), stock_holds.c.state == HoldState.SOLD.value)
        if key not in keep:
            connection.execute(delete(stock_holds).where(where))
        elif keep[key] < quantity:
            connection.execute(update(stock_holds).where(where).values(quantity=keep[key], at=at))


def spoil(connection: Connection, order_id: str, at: int) -> None:
    """What was sold does not come back to the shelf: it was eaten, or is broken. Twice is the same as once."""
    where = (stock_holds.c.order_id == order_id, stock_holds.c.state == HoldState.SOLD.value)
    connection.execute(update(stock_holds).where(*where).values(state=HoldState.RELEASED.value, at=at))


def of_order(connection: Connection, order_id: str) -> dict[StockKey, tuple[int, HoldState]]:
    """What became of an order's claims."""
    query = select(stock_holds).where(stock_holds.c.order_id == order_id)
    return {_key(row): (row["quantity"], HoldState(row["state"])) for row in connection.execute(query).mappings()}


def together(claims: Iterable[Claim]) -> list[Claim]:
    """One claim for each key, in their order."""
    found: dict[StockKey, Claim] = {}
    for claim in claims:
        there = found.get(claim.key)
        quantity = claim.quantity + (0 if there is None else there.quantity)
        found[claim.key] = Claim(claim.key, quantity, claim.each_slot)
    return [found[key] for key in sorted(found)]


def _take(connection: Connection, claim: Claim, at: int) -> bool:
    key, quantity = claim.key, claim.quantity
    free = stock.c.count - stock.c.held >= quantity
    taking = update(stock).where(_is(key), free).values(held=stock.c.held + quantity, changed_at=at)
    if connection.execute(taking).rowcount == 1:
        return True
    known = connection.execute(select(stock.c.count).where(_is(key))).one_or_none()
    if known is None and claim.each_slot is not None:  # the first who wants something of this slot
        _begin(connection, key, claim.each_slot, 0, at)
        return connection.execute(taking).rowcount == 1
    return known is None


def _begin(connection: Connection, key: StockKey, number: int, held: int, at: int) -> bool:
    row = {**_columns(key), "count": number, "held": held, "changed_at": at}
    made = connection.execute(insert_ignore(connection, stock, "merchant", "product", "variant", "slot"), row)
    return made.rowcount == 1


def _held(connection: Connection, key: StockKey) -> int:
    query = select(func.coalesce(func.sum(stock_holds.c.quantity), 0)).where(
        stock_holds.c.merchant == key.merchant,
        stock_holds.c.product == key.product,
        stock_holds.c.variant == key.variant,
        stock_holds.c.slot == key.slot,
        stock_holds.c.state == HoldState.HELD.value,
    )
    return int(connection.execute(query).scalar_one())


def _claims(connection: Connection, order_id: str, state: HoldState) -> list[tuple[StockKey, int]]:
    query = select(stock_holds).where(stock_holds.c.order_id == order_id, stock_holds.c.state == state.value)
    return sorted((_key(row), int(row["quantity"])) for row in connection.execute(query).mappings())


def _step(
    connection: Connection, order_id: str, before: HoldState, after: HoldState, at: int
) -> list[tuple[StockKey, int]]:
    """The claims that take a step now: those that have not taken it."""
    taken = []
    for key, quantity in _claims(connection, order_id, before):
        where = and_(_holds(order_id, key), stock_holds.c.state == before.value)
        if connection.execute(update(stock_holds).where(where).values(state=after.value, at=at)).rowcount == 1:
            taken.append((key, quantity))
    return taken


def _columns(key: StockKey) -> dict[str, str]:
    return {"merchant": key.merchant, "product": key.product, "variant": key.variant, "slot": key.slot}


def _key(row: RowMapping) -> StockKey:
    return StockKey(row["merchant"], row["product"], row["variant"], row["slot"])


def _is(key: StockKey) -> ColumnElement[bool]:
    return and_(
        stock.c.merchant == key.merchant,
        stock.c.product == key.product,
        stock.c.variant == key.variant,
        stock.c.slot == key.slot,
    )


def _holds(order_id: str, key: StockKey) -> ColumnElement[bool]:
    return and_(
        stock_holds.c.order_id == order_id,
        stock_holds.c.product == key.product,
        stock_holds.c.variant == key.variant,
        stock_holds.c.slot == key.slot,
    )
