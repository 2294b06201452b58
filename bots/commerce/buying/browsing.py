"""Looking round: merchants, their categories, what they sell, page by page, and what a search finds.

Each screen is read anew when it is shown, and what is picked from it once more: a number that stands for something
that is gone by then shows the list again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from bots.commerce.buying.base import OFFERED, PAGE, ROUNDS
from bots.commerce.buying.choosing import OPEN_TO_BUYERS, Choosing
from bots.commerce.buying.words import QUESTION_MAX, Speaking, further, joined, left_of, price_of, short, stars_of
from bots.commerce.engines.base import Listed, Page
from bots.commerce.hand import Glance, Reader
from bots.domain.catalogue import price_at
from bots.domain.merchants import Merchant, MerchantState
from bots.domain.money import Money
from bots.framework import Context, Dialog, Option, dialog
from bots.framework.i18n import Translator, fold

MERCHANTS: Final = "merchants"
SHELVES: Final = "shelves"
GOODS: Final = "goods"
FOUND: Final = "found"
CARD: Final = "card"
MORE: Final = "--more"
ALL: Final = "--all"
"""Values of options; that of a category is a dash and its key."""
LOOKED_AT: Final = 500
"""Merchants among whom a name is looked for."""
FEW: Final = 5
"""So few of something that is worth saying."""


@dataclass(frozen=True, slots=True)
class Where:
    """A screen.

    Attributes:
        kind: merchants, the shelves of one, goods of one category (or of all), what a search found, or a card.
        after: where the page begins, as the one before has said.
        came_from: of a card: the screen that it was picked from.
        language: of a search (BCP 47).
    """

    kind: str
    merchant: str = ""
    category: str = ""
    text: str = ""
    after: str = ""
    product: str = ""
    came_from: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing in a list, as a dialog keeps it.

    Attributes:
        key: of a product or a category, or a merchant's id.
        about: a line of the merchant's own words.
        seller: the merchant's name, where a list has several.
        own: whether the prices are this buyer's own.
    """

    key: str
    name: str
    about: str = ""
    prices: tuple[Money, ...] = ()
    left: int | None = None
    stars: float | None = None
    ratings: int = 0
    merchant: str = ""
    seller: str = ""
    own: bool = False


@dataclass(frozen=True, slots=True)
class Screen:
    """A page of a list.

    Attributes:
        title: the merchant's name; empty in a list of several.
        shelves: the categories that are offered with it.
        next: where the following page begins; empty: there is none.
    """

    title: str = ""
    about: str = ""
    shelves: tuple[Row, ...] = ()
    rows: tuple[Row, ...] = ()
    next: str = ""
    stars: float | None = None
    ratings: int = 0
    paused: bool = False


class Browsing(Choosing):
    """The lists, for the plugin to inherit."""

    @dialog(timeout=OFFERED)
    async def browsing(self, d: Dialog, where: Where, owner: str, person: str = "") -> None:
        """From screen to screen, until somebody goes to their cart or does not answer any more.

        Args:
            where: the first screen.
            owner: whose cart things go into: a user id or ``group:ROOM``.
            person: who wants them, in the cart of a group.
        """
        for _round in range(ROUNDS):
            following = await self._screen(d, where, owner, person)
            if following is None:
                return
            where = following
        await d.do("go on", self._browse_on, where, owner, person)

    async def _browse_on(self, ctx: Context, where: Where, owner: str, person: str) -> None:
        ctx.start(self.browsing, where, owner, person)

    async def _screen(self, d: Dialog, where: Where, owner: str, person: str) -> Where | None:
        if where.kind == CARD:
            done = await self.card(d, where.merchant, where.product, owner, person)
            return None if done or not where.came_from else replace(where, kind=where.came_from, product="")
        screen = await self.look(d, where.kind, self._read_screen, where, owner)
        if screen is None:
            await d.say(d.t("This merchant does not sell here any more."))
            return Where(MERCHANTS, language=where.language)
        if where.kind == SHELVES and not screen.shelves:
            return replace(where, kind=GOODS)
        if not screen.rows and not screen.shelves:
            await d.say(_nothing(Speaking(d), where, screen))
            return None
        return await self._pick(d, where, screen)

    async def _pick(self, d: Dialog, where: Where, screen: Screen) -> Where:
        say = Speaking(d)
        options = [
            Option(f"-{each.key}", d.t("▸ {category}", category=short(each.name, 90))) for each in screen.shelves
        ]
        if where.kind == SHELVES:
            options.append(Option(ALL, d.t("Everything")))
        options += [
            Option(f"{number}.", short(each.name, 100), _about(say, each)) for number, each in enumerate(screen.rows)
        ]
        if screen.next:
            options.append(further(d, MORE))
        picked = (await d.choose(_title(say, where, screen), options, page_size=20)).value
        if picked == MORE:
            return replace(where, after=screen.next)
        if picked == ALL:
            return replace(where, kind=GOODS, category="", after="")
        shelf = next((each for each in screen.shelves if f"-{each.key}" == picked), None)
        if shelf is not None:
            return replace(where, kind=GOODS, category=shelf.key, after="")
        row = screen.rows[int(picked.removesuffix("."))]
        if where.kind == MERCHANTS:
            return Where(SHELVES, row.key, language=where.language)
        return replace(where, kind=CARD, merchant=row.merchant, product=row.key, came_from=where.kind)

    async def merchant_called(self, reader: Reader, text: str) -> Merchant | None:
        """A merchant by their short name or their name, as people type it."""
        wanted = fold(text)
        found = await self.market.sellers.by_slug(reader, wanted)
        if found is not None and found.state in OPEN_TO_BUYERS:
            return found
        some = await self.market.sellers.list(reader, OPEN_TO_BUYERS, limit=LOOKED_AT)
        return next((each for each in some if fold(each.name) == wanted), None)

    # Reading

    async def _read_screen(self, reader: Glance, where: Where, owner: str) -> Screen | None:
        if where.kind == MERCHANTS:
            return await self._read_merchants(reader, where)
        if where.kind == FOUND:
            return await self._read_found(reader, where, owner)
        merchant = await self.market.sellers.get(reader, where.merchant)
        if merchant is None or merchant.state not in OPEN_TO_BUYERS:
            return None
        shelves = await self._read_shelves(reader, merchant, where)
        stars, ratings = await self.market.ratings.average(reader, merchant.id)
        screen = Screen(
            merchant.name, merchant.description, shelves, stars=stars, ratings=ratings,
            paused=merchant.state is MerchantState.PAUSED,
        )  # fmt: skip
        if where.kind == SHELVES:
            return screen
        page = await self.market.shelf.browse(reader, merchant.id, where.category, where.after, PAGE)
        lists = await self.lists_of(reader, owner, page)
        return replace(screen, rows=tuple(_row(reader, each, lists) for each in page.items), next=page.next)

    async def lists_of(self, reader: Glance, owner: str, page: Page) -> Mapping[str, str]:
        """The price list of each merchant of a page that the owner of a cart is on."""
        products = {(each.merchant_id, each.product.key): each.product for each in page.items}
        return await self.market.price_lists.of_products(reader, owner, products)

    async def _read_shelves(self, reader: Glance, merchant: Merchant, where: Where) -> tuple[Row, ...]:
        """The categories that lie in the one at hand; on further pages they are not shown again."""
        if where.after or (where.kind == GOODS and not where.category):
            return ()
        found = await self.market.shelf.categories(reader, merchant.id)
        inner = sorted((each for each in found if each.parent == where.category), key=lambda x: (x.position, x.name))
        return tuple(Row(each.key, each.name) for each in inner[:PAGE])

    async def _read_merchants(self, reader: Glance, where: Where) -> Screen:
        found = await self.market.sellers.list(reader, OPEN_TO_BUYERS, where.after, PAGE + 1)
        averages = await self.market.ratings.averages(reader, [(each.id, "") for each in found[:PAGE]])
        rows = []
        for merchant in found[:PAGE]:
            stars, ratings = averages[merchant.id, ""]
            about = joined([", ".join(merchant.tags), short(merchant.description, 120)])
            rows.append(Row(merchant.id, merchant.name, about, stars=stars, ratings=ratings))
        return Screen(rows=tuple(rows), next=found[PAGE - 1].id if len(found) > PAGE else "")

    async def _read_found(self, reader: Glance, where: Where, owner: str) -> Screen:
        page = await self.market.shelf.search(
            reader, where.text, merchant_id=where.merchant, language=where.language, after=where.after, limit=PAGE
        )
        names = await self.names(reader, [each.merchant_id for each in page.items])
        lists = await self.lists_of(reader, owner, page)
        rows = tuple(_row(reader, each, lists, names[each.merchant_id]) for each in page.items)
        return Screen(rows=rows, next=page.next)


def _row(reader: Glance, listed: Listed, lists: Mapping[str, str], seller: str = "") -> Row:
    product, tier, now = listed.product, lists.get(listed.merchant_id, ""), reader.now()
    prices = {price_at(each, now, tier=tier) for each in product.variants}
    return Row(
        product.key,
        product.name,
        prices=tuple(sorted(prices)),
        own=bool(tier) and prices != {price_at(each, now) for each in product.variants},
        left=listed.left,
        stars=listed.stars,
        ratings=listed.ratings,
        merchant=listed.merchant_id,
        seller=seller,
    )


def _about(say: Translator, row: Row) -> str:
    price = price_of(say, row.prices) if row.prices else ""
    few = left_of(say, row.left) if row.left is not None and row.left <= FEW else ""
    own = say.t("your price") if row.own else ""
    return short(joined([price, own, few, stars_of(say, row.stars, row.ratings), row.seller, row.about]), 200)


def _title(say: Translator, where: Where, screen: Screen) -> str:
    if where.kind == MERCHANTS:
        return say.t("Who sells here:")
    if where.kind == FOUND:
        return say.t("Found for “{text}”:", text=short(where.text, 60))
    paused = say.t("{merchant} takes no orders at the moment.", merchant=screen.title) if screen.paused else ""
    lines = [screen.title, stars_of(say, screen.stars, screen.ratings), paused]
    if where.kind == SHELVES:
        lines.append(screen.about)
    return short(joined(lines, "\n"), QUESTION_MAX)


def _nothing(say: Translator, where: Where, screen: Screen) -> str:
    if where.kind == MERCHANTS:
        return say.t("Nobody sells here yet.")
    if where.kind == FOUND:
        return say.t("I have found nothing for “{text}”. Try other words.", text=short(where.text, 60))
    return say.t("{merchant} has nothing here at the moment.", merchant=screen.title)
