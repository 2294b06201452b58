"""The built-in catalogue, and shops that run elsewhere beside it: each merchant's products from where they are kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import zip_longest

from bots.commerce.engines.base import CatalogueEngine, EngineFailed, Listed, Page
from bots.commerce.hand import Reader
from bots.domain.catalogue import Category, Product
from bots.domain.merchants import Merchant
from bots.store import merchants

__all__ = ["Joined", "MakeEngine"]

MakeEngine = Callable[[Merchant], CatalogueEngine]

log = logging.getLogger(__name__)


class Joined:
    """Asks the engine of each merchant."""

    def __init__(self, instance: str, builtin: CatalogueEngine, others: Mapping[str, MakeEngine]) -> None:
        """
        Args:
            builtin: of every merchant who has no other.
            others: what makes the engine of a merchant, by their short name.
        """
        self._instance = instance
        self._builtin = builtin
        self._makers = dict(others)
        self._others: dict[str, CatalogueEngine] = {}

    async def product(self, reader: Reader, merchant_id: str, key: str) -> Product | None:
        """A product by its key."""
        return await (await self._of(reader, merchant_id)).product(reader, merchant_id, key)

    async def products(self, reader: Reader, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Product]:
        """Products by merchant and key."""
        await self._known(reader)
        found: dict[tuple[str, str], Product] = {}
        elsewhere = {each for each in keys if each[0] in self._others}
        found.update(await self._builtin.products(reader, [each for each in keys if each not in elsewhere]))
        for merchant_id in sorted({merchant_id for merchant_id, _ in elsewhere}):
            own = [each for each in elsewhere if each[0] == merchant_id]
            found.update(await self._others[merchant_id].products(reader, own))
        return found

    async def categories(self, reader: Reader, merchant_id: str) -> list[Category]:
        """A merchant's categories."""
        return await (await self._of(reader, merchant_id)).categories(reader, merchant_id)

    async def browse(
        self, reader: Reader, merchant_id: str, category: str = "", after: str = "", limit: int = 10
    ) -> Page:
        """What a merchant sells."""
        return await (await self._of(reader, merchant_id)).browse(reader, merchant_id, category, after, limit)

    async def picture(self, reader: Reader, merchant_id: str, key: str) -> bytes | None:
        """The picture of a product that does not lie on the homeserver."""
        return await (await self._of(reader, merchant_id)).picture(reader, merchant_id, key)

    async def left(self, reader: Reader, merchant_id: str, key: str) -> dict[str, int | None]:
        """How much of each variant can still be bought."""
        return await (await self._of(reader, merchant_id)).left(reader, merchant_id, key)

    async def search(
        self,
        reader: Reader,
        text: str,
        *,
        merchant_id: str = "",
        language: str = "",
        after: str = "",
        limit: int = 10,
    ) -> Page:
        """What answers a search; of all merchants, the engines' answers in turn. One that fails is left out."""
        if merchant_id:
            engine = await self._of(reader, merchant_id)
            return await engine.search(
                reader, text, merchant_id=merchant_id, language=language, after=after, limit=limit
            )
        await self._known(reader)
        engines = [self._builtin, *(self._others[each] for each in sorted(self._others))]
        skips = _skips(after, len(engines))
        asked = [self._asked(*each, reader, text, language, limit) for each in zip(engines, skips, strict=True)]
        pages = await asyncio.gather(*asked)
        shown: list[Listed] = []
        taken = [0] * len(engines)
        for place, item in _in_turn(pages):
            if len(shown) == limit:
                break
            shown.append(item)
            taken[place] += 1
        left = [
            None if skip is None or (count == len(page.items) and not page.next) else skip + count
            for skip, count, page in zip(skips, taken, pages, strict=True)
        ]
        more = any(each is not None for each in left)
        return Page(tuple(shown), "/".join("-" if each is None else str(each) for each in left) if more else "")

    async def _asked(
        self, engine: CatalogueEngine, skip: int | None, reader: Reader, text: str, language: str, limit: int
    ) -> Page:
        if skip is None:
            return Page()
        try:
            return await engine.search(reader, text, language=language, after=str(skip), limit=limit)
        except EngineFailed as error:
            log.warning("a catalogue that is kept elsewhere is left out of a search: %s", error)
            return Page()

    async def _of(self, reader: Reader, merchant_id: str) -> CatalogueEngine:
        await self._known(reader)
        return self._others.get(merchant_id, self._builtin)

    async def _known(self, reader: Reader) -> None:
        """Find out whose the other engines are, as far as those merchants have signed up."""
        for slug, make in list(self._makers.items()):
            found = await reader.query(partial(merchants.by_slug, bot=self._instance, slug=slug))
            if found is not None:
                self._others.setdefault(found.id, make(found))
                self._makers.pop(slug, None)


def _skips(cursor: str, count: int) -> list[int | None]:
    """How many of each engine's answers were shown already; None: all of them."""
    parts = cursor.split("/") if cursor else ["0"] * count
    if len(parts) != count or not all(each == "-" or (each.isascii() and each.isdecimal()) for each in parts):
        return [0] * count
    return [None if each == "-" else int(each[:6]) for each in parts]


def _in_turn(pages: Sequence[Page]) -> Iterator[tuple[int, Listed]]:
    """The first of each, then the second of each, with the number of the page."""
    for row in zip_longest(*(page.items for page in pages)):
        yield from ((place, item) for place, item in enumerate(row) if item is not None)
