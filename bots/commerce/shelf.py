"""The catalogue, as the bots that sell see it: reads through an engine, writes to the built-in one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import Literal

from sqlalchemy import Connection

from bots.commerce.engines import BuiltIn, CatalogueEngine, Page
from bots.commerce.hand import Hand, Reader
from bots.commerce.importing import ImportPlan, as_csv, as_yaml, planned, undone
from bots.commerce.trade import Trade
from bots.domain.catalogue import Category, Choice, Product, Stock, StockKind
from bots.domain.merchants import Merchant
from bots.store import catalogue as sql
from bots.store import catalogue_search, imports, merchants
from bots.store.stock import StockKey

__all__ = ["Shelf"]


class Shelf:
    """What the merchants of one bot sell."""

    def __init__(self, trade: Trade, instance: str, engine: CatalogueEngine | None = None) -> None:
        """
        Args:
            instance: the plugin instance that they sell through.
            engine: where products are read from; the built-in one unless told.
        """
        self.trade = trade
        self.instance = instance
        self.engine = engine or BuiltIn(instance)

    # Reading, through the engine

    async def product(self, ctx: Reader, merchant_id: str, key: str) -> Product | None:
        """A product by its key, also one that is not sold at the moment."""
        return await self.engine.product(ctx, merchant_id, key)

    async def products(self, ctx: Reader, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Product]:
        """Products by merchant and key; those that are not there are missing."""
        return await self.engine.products(ctx, keys)

    async def categories(self, ctx: Reader, merchant_id: str) -> list[Category]:
        """A merchant's categories in their order."""
        return await self.engine.categories(ctx, merchant_id)

    async def browse(self, ctx: Reader, merchant_id: str, category: str = "", after: str = "", limit: int = 10) -> Page:
        """What a merchant sells, in their order: in a category and all that lies in it, or everything."""
        return await self.engine.browse(ctx, merchant_id, category, after, limit)

    async def search(
        self,
        ctx: Reader,
        text: str,
        *,
        merchant_id: str = "",
        language: str = "",
        after: str = "",
        limit: int = 10,
    ) -> Page:
        """What answers a search, the best first: of one merchant, or of all who can be ordered from."""
        return await self.engine.search(ctx, text, merchant_id=merchant_id, language=language, after=after, limit=limit)

    async def left(self, ctx: Reader, merchant_id: str, product_key: str) -> dict[str, int | None]:
        """How much of each variant can still be bought; None: without end, or so much in each slot of time."""
        return await self.engine.left(ctx, merchant_id, product_key)

    # Reading, for those who sell

    async def all(self, ctx: Reader, merchant_id: str, after: str = "", limit: int = 10) -> tuple[list[Product], str]:
        """A merchant's products in their order, also those that are not sold, and what ``after`` is for more; empty:
        there are none."""
        placed = await ctx.query(
            lambda connection: sql.page(connection, merchant_id, (), after, limit + 1, hidden=True)
        )
        shown = placed[:limit]
        return [each.product for each in shown], shown[-1].cursor if len(placed) > limit else ""

    async def find(self, ctx: Reader, merchant_id: str, words: str, limit: int = 10) -> list[Product]:
        """A merchant's products that somebody may mean, the likeliest first, also those that are not sold: the one
        whose key this is, or what a search finds."""

        def read(connection: Connection) -> list[Product]:
            exact = sql.get(connection, merchant_id, words.strip())
            if exact is not None:
                return [exact]
            hits = catalogue_search.search(
                connection, self.instance, words, merchant_id=merchant_id, hidden=True, limit=limit
            )
            named = [hit.product for hit in hits if hit.product.name.casefold() == words.strip().casefold()]
            return named if len(named) == 1 else [hit.product for hit in hits]

        return await ctx.query(read)

    # Writing to the built-in engine, in the commit of what is at hand

    def put(self, ctx: Hand, merchant_id: str, product: Product, *, before: Product | None = None) -> None:
        """Store a product, new or changed. What is on the shelf is counted anew only where the product says something
        else than before.

        Args:
            before: as it was read; in the commit TradeBusy when it has changed since.
        """
        now = ctx.now_ms()
        ctx.store(lambda connection: sql.put(connection, merchant_id, product, now, before=before))

    def drop(self, ctx: Hand, merchant_id: str, key: str) -> None:
        """Remove a product. Carts that hold it say so when they are looked at."""
        ctx.store(lambda connection: sql.drop(connection, merchant_id, [key]))

    def put_category(self, ctx: Hand, merchant_id: str, category: Category) -> None:
        """Store a category, new or changed. In the commit CatalogueError: it would lie in itself."""
        now = ctx.now_ms()
        ctx.store(lambda connection: sql.put_category(connection, merchant_id, category, now))

    def drop_category(self, ctx: Hand, merchant_id: str, key: str) -> None:
        """Remove a category: what stands in it stays, and what lies in it comes to lie where it lay."""
        now = ctx.now_ms()
        ctx.store(lambda connection: sql.drop_category(connection, merchant_id, key, now))

    def set_available(self, ctx: Hand, merchant_id: str, product_key: str, part: str | Choice, available: bool) -> None:
        """Say that something is out, or there again.

        Args:
            part: a variant's key; an extra; empty: the whole product. A variant that is out has a stock of nought, and
                one that is there again after that is there without end until somebody counts.
        """

        def change(product: Product) -> Product:
            if isinstance(part, Choice):
                return _offered(product, part, available)
            if not part:
                return replace(product, active=available)
            return _counted(product, part, None if available else 0)

        self._rewrite(ctx, merchant_id, product_key, change, part if isinstance(part, str) else "")

    def count(
        self, ctx: Hand, merchant_id: str, product_key: str, variant_key: str, count: int | None, slot: str = ""
    ) -> None:
        """So many are there now; None: without end. What is promised to orders stays promised: never less than that.

        Args:
            slot: its beginning, for what there is so much of in each slot of time; empty: all of it.
        """
        if slot:
            now = ctx.now_ms()
            key = StockKey(merchant_id, product_key, variant_key, slot)
            ctx.store(lambda connection: sql.counted_anew(connection, key, count, now))
            return
        self._rewrite(ctx, merchant_id, product_key, lambda product: _counted(product, variant_key, count), variant_key)

    # Files

    async def plan_import(
        self, ctx: Reader, merchant_id: str, data: bytes, name: str, *, complete: bool = False
    ) -> ImportPlan:
        """What a CSV or YAML file would do to a merchant's catalogue; nothing happens.

        Args:
            name: of the file: its end says what it is.
            complete: what the file does not name goes.
        """

        merchant, products, categories = await self._whole(ctx, merchant_id)
        plan = partial(planned, currency=merchant.currency, language=merchant.language, complete=complete)
        # A large file takes seconds, in which everybody else goes on.
        return await asyncio.to_thread(plan, data, name, products, categories)

    async def apply_import(self, ctx: Hand, merchant_id: str, plan: ImportPlan) -> str:
        """Do what a plan says, in the commit of what is at hand: all of it or nothing. Its id.

        In the commit TradeBusy: the catalogue is not as it was planned for. The handler is run again: make the plan in
        the one that applies it.

        Raises:
            ValueError: the file has errors.
        """
        if plan.errors:
            raise ValueError("a plan with errors is not applied")
        change = await self._change(ctx, merchant_id, plan)
        now = ctx.now_ms()
        ctx.store(lambda connection: imports.apply(connection, merchant_id, change, now))
        return self.trade.new_id()

    async def undo_import(self, ctx: Hand, merchant_id: str) -> ImportPlan | None:
        """Take the last import back, in the commit of what is at hand; what was done, None: there is nothing to undo.

        What has been changed since by other means stays as it is: the plan names it in ``kept``. What was sold since is
        not put back on the shelf.
        """
        plan = await self.plan_undo(ctx, merchant_id)
        if plan is None:
            return None
        change = await self._change(ctx, merchant_id, plan)
        now = ctx.now_ms()
        ctx.store(lambda connection: imports.apply(connection, merchant_id, change, now, undoable=False))
        return plan

    async def plan_undo(self, ctx: Reader, merchant_id: str) -> ImportPlan | None:
        """What taking the last import back would do; None: there is nothing to undo."""

        def read(connection: Connection) -> ImportPlan | None:
            undo = imports.last(connection, merchant_id)
            if undo is None:
                return None
            return undone(undo, imports.live(connection, merchant_id), sql.categories(connection, merchant_id))

        return await ctx.query(read)

    async def export(self, ctx: Reader, merchant_id: str, kind: Literal["csv", "yaml"]) -> bytes:
        """A merchant's whole catalogue as a file, which an import reads back to the same."""

        merchant, products, categories = await self._whole(ctx, merchant_id)
        if kind == "csv":
            return as_csv(products, categories)
        return await asyncio.to_thread(as_yaml, products, categories, merchant.currency)

    async def _whole(self, ctx: Reader, merchant_id: str) -> tuple[Merchant, list[Product], list[Category]]:
        def read(connection: Connection) -> tuple[Merchant | None, list[Product], list[Category]]:
            merchant = merchants.get(connection, self.instance, merchant_id)
            return merchant, imports.live(connection, merchant_id), sql.categories(connection, merchant_id)

        merchant, products, categories = await ctx.query(read)
        if merchant is None:
            raise LookupError(f"there is no merchant {merchant_id}")
        return merchant, products, categories

    async def _change(self, ctx: Reader, merchant_id: str, plan: ImportPlan) -> imports.Change:
        shelves = {each.key: each for each in await ctx.query(lambda c: sql.categories(c, merchant_id))}
        products: dict[str, tuple[Product | None, Product | None]] = {}
        products.update({each.key: (None, each) for each in plan.added})
        products.update({each.after.key: (each.before, each.after) for each in plan.changed})
        products.update({each.key: (each, None) for each in plan.removed})
        categories: dict[str, tuple[Category | None, Category | None]] = {}
        categories.update({each.key: (shelves.get(each.key), each) for each in plan.categories})
        categories.update({key: (shelves.get(key), None) for key in plan.no_categories})
        return imports.Change(products, categories, plan.counted, plan.order)

    def _rewrite(
        self, ctx: Hand, merchant_id: str, key: str, change: Callable[[Product], Product], counted: str
    ) -> None:
        now = ctx.now_ms()
        ctx.store(lambda connection: sql.rewrite(connection, merchant_id, key, change, now, counted))


def _counted(product: Product, variant_key: str, count: int | None) -> Product:
    return replace(
        product,
        variants=tuple(
            replace(each, stock=_stock(each.stock, count)) if each.key == variant_key else each
            for each in product.variants
        ),
    )


def _stock(before: Stock, count: int | None) -> Stock:
    """What there is in each slot stays so: it is counted slot by slot, or for all slots."""
    if before.kind is StockKind.BY_SLOT and count is not None:
        return replace(before, count=count)
    return before if before.kind is StockKind.BY_SLOT else Stock.of(count)


def _offered(product: Product, part: Choice, available: bool) -> Product:
    return replace(
        product,
        groups=tuple(
            replace(
                group,
                options=tuple(
                    replace(each, available=available) if each.key == part.modifier else each for each in group.options
                ),
            )
            if group.key == part.group
            else group
            for group in product.groups
        ),
    )
