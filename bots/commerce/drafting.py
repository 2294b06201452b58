"""Orders made of a cart: priced now, and refused with a sentence where something is not as the buyer saw it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from bots.commerce.baskets import Baskets
from bots.commerce.coupons import Coupons
from bots.commerce.hand import Reader
from bots.commerce.sellers import Sellers
from bots.commerce.shelf import Shelf
from bots.commerce.trade import Trade
from bots.domain.carts import Cart, CartError, Priced
from bots.domain.catalogue import Product, Stock, StockKind
from bots.domain.merchants import WORDS, Merchant, MerchantError, MerchantState
from bots.domain.money import Money
from bots.domain.orders import Delivery, Fulfilment, Order, OrderLine, OrderState
from bots.store import orders as sql
from bots.store import stock as stock_sql
from bots.store.stock import Claim, StockKey

__all__ = ["Drafting"]

LETTERS: Final = "23456789CDFGHJKLMNPQRTVWX"
"""Of an order's number: no two are alike, and no words come of them."""
LENGTH: Final = 5
TRIES: Final = 8


class Drafting:
    """One for a plugin."""

    def __init__(self, trade: Trade, bot: str, sellers: Sellers, shelf: Shelf) -> None:
        """
        Args:
            bot: the plugin instance.
        """
        self._trade = trade
        self._sellers = sellers
        self._shelf = shelf
        self._baskets = Baskets(trade, bot, shelf)
        self._coupons = Coupons(trade)

    async def draft(
        self,
        reader: Reader,
        cart: Cart,
        buyer: str,
        room_id: str,
        deliveries: Mapping[str, Delivery],
        *,
        checkout: str,
        coupons: Mapping[str, str],
        tip: Money | None,
        gift: str,
        note: str,
        split: str,
        needs_open: bool,
    ) -> list[Order]:
        """See :meth:`bots.commerce.orders.Orders.draft`."""
        if not cart.lines:
            raise CartError("cart.empty")
        if tip is not None and len(cart.merchants) != 1:
            raise ValueError("a tip is for one merchant")
        found = await self._baskets.priced(reader, cart, buyer)
        for each in found:
            _as_it_was_seen(each)
        now = self._trade.clock.now()
        merchants = {each: await self._merchant(reader, each) for each in cart.merchants}
        moments = {each: deliveries[each].wanted or now for each in merchants}
        if needs_open:
            for merchant_id, merchant in merchants.items():
                _open_then(merchant, moments[merchant_id])
        slots = await self.slots(reader, found, moments)
        await self._enough(reader, found, slots)
        orders = []
        for merchant_id, merchant in merchants.items():
            lines = tuple(_line(each, slots[each.index][0]) for each in found if each.line.merchant == merchant_id)
            goods = sum((line.total for line in lines), Money.zero(lines[0].price.currency))
            delivery = deliveries[merchant_id]
            _delivered(merchant, goods, delivery)
            code = coupons.get(merchant_id, "")
            discount = await self._coupons.check(reader, merchant_id, code, goods, buyer) if code else None
            order_id = self._trade.id_for(checkout, "order", merchant_id)
            orders.append(
                Order(
                    id=order_id,
                    number=await self._number(reader, merchant_id, order_id),
                    checkout=checkout,
                    merchant=merchant_id,
                    buyer=buyer,
                    room_id=room_id,
                    state=OrderState.PLACED,
                    lines=lines,
                    delivery=delivery,
                    placed_at=now,
                    updated_at=now,
                    discount=discount or None,
                    coupon=code.strip().upper() if discount else "",
                    tip=tip or None,
                    gift=gift,
                    note=note,
                    split=split,
                )
            )
        return orders

    async def claims(self, reader: Reader, order: Order) -> list[Claim]:
        """What an order takes of the stock. What is not in the catalogue any more has none."""
        keys = {(order.merchant, line.product) for line in order.lines if line.slot}
        products = await self._shelf.products(reader, keys) if keys else {}
        found = []
        for line in order.lines:
            stock = _stock_of(products.get((order.merchant, line.product)), line.variant)
            each_slot = stock.count if line.slot and stock.kind is StockKind.BY_SLOT else None
            found.append(
                Claim(StockKey(order.merchant, line.product, line.variant, line.slot), line.quantity, each_slot)
            )
        return found

    async def slots(
        self, reader: Reader, lines: Collection[Priced], moments: Mapping[str, datetime]
    ) -> dict[int, tuple[str, int | None]]:
        """The slot of each line, by its index, and how many that has until somebody counts it."""
        keys = {(each.line.merchant, each.line.product) for each in lines}
        products = await self._shelf.products(reader, keys)
        found: dict[int, tuple[str, int | None]] = {}
        for each in lines:
            stock = _stock_of(products.get((each.line.merchant, each.line.product)), each.line.variant)
            slot = stock.slot_of(moments[each.line.merchant])
            found[each.index] = (slot, stock.count if slot else None)
        return found

    async def _merchant(self, reader: Reader, merchant_id: str) -> Merchant:
        merchant = await self._sellers.get(reader, merchant_id)
        if merchant is None:
            raise MerchantError("merchant.gone")
        if merchant.state is not MerchantState.ACTIVE:
            raise MerchantError("merchant.refused", state=WORDS[merchant.state])
        return merchant

    async def _enough(
        self, reader: Reader, lines: Sequence[Priced], slots: Mapping[int, tuple[str, int | None]]
    ) -> None:
        """Whether there is so much of everything now. Raises CartError."""
        wanted: dict[StockKey, list[Priced]] = {}
        for each in lines:
            key = StockKey(each.line.merchant, each.line.product, each.line.variant, slots[each.index][0])
            wanted.setdefault(key, []).append(each)
        levels = await reader.query(lambda connection: stock_sql.levels(connection, list(wanted)))
        for key, of_it in wanted.items():
            level = levels.get(key)
            free = slots[of_it[0].index][1] if level is None else level.free
            if free is None or sum(each.line.quantity for each in of_it) <= free:
                continue
            if free <= 0:
                raise CartError("cart.sold_out", name=of_it[0].name)
            raise CartError("cart.stock", name=of_it[0].name, left=free)

    async def _number(self, reader: Reader, merchant_id: str, order_id: str) -> str:
        """A short number that no order of the merchant has. Should two be placed at once with the same, the commit of
        one fails, and it gets another one."""
        names = [_letters(self._trade.digest("number", order_id, str(attempt))) for attempt in range(TRIES)]

        taken = await reader.query(lambda connection: sql.numbers_taken(connection, merchant_id, names))
        return next((each for each in names if each not in taken), order_id)


def _as_it_was_seen(each: Priced) -> None:
    """Raises CartError, CatalogueError: it is not."""
    if each.price is None:
        if each.problem is not None:
            raise each.problem
        raise CartError("cart.gone", name=each.name) if each.name else CartError("cart.unknown")
    if each.change is not None:
        raise CartError("cart.price", name=each.name, price=each.price)


def _open_then(merchant: Merchant, at: datetime) -> None:
    """Raises MerchantError: it is closed."""
    if merchant.hours.open_at(at):
        return
    opens = merchant.hours.opens_at(at)
    if opens is None:
        raise MerchantError("merchant.shut", merchant=merchant.name)
    raise MerchantError("merchant.closed", merchant=merchant.name, opens=opens)


def _delivered(merchant: Merchant, goods: Money, delivery: Delivery) -> None:
    """Whether the merchant delivers so, at this price. Raises MerchantError."""
    if delivery.kind in {Fulfilment.COURIER, Fulfilment.PARCEL} and delivery.place is None:
        raise MerchantError("delivery.no_place", merchant=merchant.name)
    offers = merchant.offers(goods, delivery.place)
    for offer in offers:
        if offer.refusal is None and (offer.kind, offer.option) == (delivery.kind, delivery.option):
            if offer.fee != delivery.fee:
                raise MerchantError("delivery.fee", merchant=merchant.name, fee=offer.fee)
            return
    refusals = [each.refusal for each in offers if each.refusal is not None and each.kind is delivery.kind]
    raise refusals[0] if refusals else MerchantError("delivery.no_way", merchant=merchant.name)


def _stock_of(product: Product | None, variant_key: str) -> Stock:
    variant = None if product is None else product.variant(variant_key)
    return Stock() if variant is None else variant.stock


def _line(each: Priced, slot: str) -> OrderLine:
    assert each.price is not None, "what cannot be had was refused"
    line = each.line
    return OrderLine(
        product=line.product,
        variant=line.variant,
        name=each.name,
        quantity=line.quantity,
        price=each.price,
        tax=each.tax,
        choices=line.choices,
        extras=each.extras,
        person=line.person,
        note=line.note,
        slot=slot,
        price_list=each.price_list,
    )


def _letters(digest: str) -> str:
    number, letters = int(digest[:16], 16), ""
    for _place in range(LENGTH):
        number, index = divmod(number, len(LETTERS))
        letters += LETTERS[index]
    return letters
