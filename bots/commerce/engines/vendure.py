"""Vendure (https://www.vendure.io) as a catalogue, over its Shop GraphQL API: read only.

What Vendure says is taken as it is: its search (which forgives less than the built-in one), prices with tax, and of
its stock what it shows: by default only whether there is some. Orders are Rialto's and are not put into Vendure, and it
holds nothing for them: what it shows is looked at when an order is quoted and once more when it is placed.

Its pictures lie on the web. They are fetched by Rialto, never by people's clients, who would tell Vendure who looks:
from the operator's own Vendure wherever that is, from anywhere else only at public addresses.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import urlsplit

from bots.commerce.engines.base import EngineFailed, Listed, Page
from bots.commerce.hand import Reader
from bots.domain.catalogue import (
    DESCRIPTION_MAX,
    KEY,
    NAME_MAX,
    VARIANTS_MAX,
    CatalogueError,
    Category,
    Product,
    Stock,
    StockKind,
    Variant,
)
from bots.domain.money import Money, MoneyError
from bots.framework.http import HttpClient, HttpError

__all__ = ["PRECISION", "Vendure"]

log = logging.getLogger(__name__)

PRECISION: Final = 2
"""Decimals of Vendure's whole numbers, whatever the currency has (its ``DefaultMoneyStrategy``)."""
TIMEOUT_S: Final = 10.0
ANSWER_MAX: Final = 4 * 1024 * 1024
PICTURE_MAX: Final = 8 * 1024 * 1024
URL_MAX: Final = 2_000
COLLECTIONS_MAX: Final = 100
AT_ONCE: Final = 50
"""Products of one question: Vendure answers at most 100 of them by default."""

PRODUCT: Final = """
fragment P on Product {
  id name description languageCode
  collections { slug }
  featuredAsset { preview }
  variantList(options: {take: 100}) {
    items { id name priceWithTax currencyCode stockLevel taxRateApplied { value } options { name } }
  }
}
"""
BY_ID: Final = PRODUCT + (
    "query Products($ids: [String!]!, $take: Int!) "
    "{ products(options: {take: $take, filter: {id: {in: $ids}}}) { items { ...P } } }"
)
ALL: Final = PRODUCT + (
    "query All($take: Int!, $skip: Int!) "
    "{ products(options: {take: $take, skip: $skip, sort: {id: ASC}}) { totalItems items { ...P } } }"
)
SEARCH: Final = "query Search($input: SearchInput!) { search(input: $input) { totalItems items { productId } } }"
COLLECTIONS: Final = (
    "query Collections($take: Int!) "
    "{ collections(options: {take: $take}) { items { slug name position parent { slug } } } }"
)


class Vendure:
    """One channel of a Vendure, as the catalogue of one merchant."""

    def __init__(
        self,
        http: HttpClient,
        url: str,
        merchant_id: str,
        *,
        currency: str,
        channel: str = "",
        language: str = "en",
        precision: int = PRECISION,
    ) -> None:
        """
        Args:
            url: of the Shop API, such as ``https://shop.example.org/shop-api``.
            merchant_id: whose catalogue it is.
            currency: of the merchant; the channel has to sell in it.
            channel: its token; empty: the default channel.
            language: of names and descriptions (BCP 47).
            precision: decimals of its whole numbers.
        """
        self._http = http
        self._url = url
        self._merchant = merchant_id
        self._currency = currency
        self._headers = {"vendure-token": channel} if channel else {}
        self._language = language
        self._precision = precision

    async def product(self, reader: Reader, merchant_id: str, key: str) -> Product | None:
        """A product by its id at Vendure."""
        return (await self.products(reader, [(merchant_id, key)])).get((merchant_id, key))

    async def products(self, reader: Reader, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Product]:
        """Products by merchant and id."""
        ids = sorted({key for merchant_id, key in keys if merchant_id == self._merchant})
        found: dict[tuple[str, str], Product] = {}
        for first in range(0, len(ids), AT_ONCE):
            part = ids[first : first + AT_ONCE]
            answer = await self._ask(BY_ID, {"ids": part, "take": len(part)}, "products")
            for product in self._read(answer):
                found[self._merchant, product.key] = product
        return found

    async def categories(self, reader: Reader, merchant_id: str) -> list[Category]:
        """Its collections."""
        if merchant_id != self._merchant:
            return []
        answer = await self._ask(COLLECTIONS, {"take": COLLECTIONS_MAX}, "collections")
        found: dict[str, Category] = {}
        for item in _items(answer):
            parent = item.get("parent")
            above = str(parent.get("slug", "")) if isinstance(parent, Mapping) else ""
            try:
                category = Category(str(item.get("slug")), str(item.get("name"))[:NAME_MAX], above, len(found))
            except CatalogueError as error:
                log.info("a collection of Vendure is left out", extra={"code": error.code})
                continue
            found[category.key] = category
        # Above the highest stands one that Vendure keeps to itself.
        return [
            each if each.parent in found else Category(each.key, each.name, "", each.position)
            for each in found.values()
        ]

    async def browse(
        self, reader: Reader, merchant_id: str, category: str = "", after: str = "", limit: int = 10
    ) -> Page:
        """What is sold: in a collection, by name; or everything, the oldest first."""
        if merchant_id != self._merchant:
            return Page()
        skip = _number(after)
        if category:
            wanted = {"collectionSlug": category, "sort": {"name": "ASC"}}
            return await self._searched(reader, wanted, skip, limit)
        answer = await self._ask(ALL, {"take": limit, "skip": skip}, "products")
        return self._page(self._read(answer), answer, skip, limit)

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
        """What Vendure's own search finds."""
        if merchant_id not in {"", self._merchant} or not text.strip():
            return Page()
        return await self._searched(reader, {"term": text.strip()[:200]}, _number(after), limit)

    async def picture(self, reader: Reader, merchant_id: str, key: str) -> bytes | None:
        """The preview of a product's picture. Vendure's answers name its address, so that only the operator's own
        server is asked without looking where it stands."""
        product = await self.product(reader, merchant_id, key)
        if product is None or not product.picture:
            return None
        try:
            if _origin(product.picture) == _origin(self._url):
                response = await self._http.get(
                    product.picture, headers={"Accept": "image/*"}, timeout=TIMEOUT_S, max_bytes=PICTURE_MAX
                )
            else:
                response = await self._http.fetch_untrusted(
                    product.picture, content_types=("image/*",), timeout=TIMEOUT_S, max_bytes=PICTURE_MAX
                )
        except HttpError as error:
            log.info("a picture of Vendure cannot be had", extra={"reason": error.code, "merchant": self._merchant})
            return None
        return response.body if response.status == 200 else None

    async def left(self, reader: Reader, merchant_id: str, key: str) -> dict[str, int | None]:
        """How much of each variant there is, as far as Vendure tells."""
        product = await self.product(reader, merchant_id, key)
        return {} if product is None else _left(product)

    # Asking

    async def _searched(self, reader: Reader, wanted: Mapping[str, Any], skip: int, limit: int) -> Page:
        asked = {**wanted, "groupByProduct": True, "take": limit, "skip": skip}
        answer = await self._ask(SEARCH, {"input": asked}, "search")
        ids = [str(item.get("productId")) for item in _items(answer)]
        held = await self.products(reader, [(self._merchant, each) for each in ids])
        products = [held[self._merchant, each] for each in ids if (self._merchant, each) in held]
        return self._page(products, answer, skip, limit)

    def _page(self, products: Sequence[Product], answer: Mapping[str, Any], skip: int, limit: int) -> Page:
        total = answer.get("totalItems")
        more = isinstance(total, int) and total > skip + limit
        return Page(tuple(self._listed(each) for each in products), str(skip + limit) if more else "")

    def _listed(self, product: Product) -> Listed:
        counts = _left(product).values()
        return Listed(self._merchant, product, None if None in counts else sum(each or 0 for each in counts))

    async def _ask(self, query: str, variables: Mapping[str, Any], field: str) -> Mapping[str, Any]:
        """One question; the field of its answer. Raises EngineFailed."""
        body = {"query": query, "variables": dict(variables)}
        try:
            response = await self._http.post(
                self._url,
                params={"languageCode": self._language, "currencyCode": self._currency},
                headers={"Accept": "application/json", **self._headers},
                json=body,
                timeout=TIMEOUT_S,
                max_bytes=ANSWER_MAX,
            )
            answer = response.json()
        except HttpError as error:
            raise EngineFailed("Vendure gives no answer", reason=error.code, merchant=self._merchant) from error
        data = answer.get("data") if isinstance(answer, Mapping) else None
        found = data.get(field) if isinstance(data, Mapping) else None
        if not isinstance(found, Mapping) or answer.get("errors"):
            raise EngineFailed("Vendure refuses a question", field=field, merchant=self._merchant)
        return found

    # Understanding

    def _read(self, answer: Mapping[str, Any]) -> list[Product]:
        """The products of an answer, without those that cannot be sold here."""
        found = []
        for item in _items(answer):
            try:
                found.append(self._product(item))
            except (CatalogueError, MoneyError, ArithmeticError, KeyError, TypeError, ValueError) as error:
                log.info("a product of Vendure is left out", extra={"reason": getattr(error, "code", "shape")})
        return found

    def _product(self, item: Mapping[str, Any]) -> Product:
        name = str(item["name"]).strip()[:NAME_MAX]
        told = item["variantList"]["items"][:VARIANTS_MAX]
        rates = {Decimal(str(each["taxRateApplied"]["value"])) / 100 for each in told}
        return Product(
            key=str(item["id"]),
            name=name,
            variants=tuple(self._variant(each, name, alone=len(told) == 1) for each in told),
            description=_plain(str(item.get("description") or ""))[:DESCRIPTION_MAX],
            categories=tuple(
                slug for slug in (str(each["slug"]) for each in item.get("collections") or ()) if KEY.fullmatch(slug)
            ),
            # A product has one rate here. Vendure has one for each variant, and they seldom differ.
            tax=max(rates),
            language=str(item.get("languageCode") or ""),
            picture=_preview(item.get("featuredAsset")),
        )

    def _variant(self, item: Mapping[str, Any], product: str, *, alone: bool) -> Variant:
        currency, price = str(item["currencyCode"]), item["priceWithTax"]
        if currency != self._currency or type(price) is not int:
            raise ValueError("another currency, or no whole number")
        options = " / ".join(str(each["name"]) for each in item.get("options") or ())
        label = product if alone else options or str(item["name"])
        money = Money.of(Decimal(price).scaleb(-self._precision), currency)
        return Variant(str(item["id"]), label.strip()[:NAME_MAX], money, _stock(str(item["stockLevel"])))


def _preview(asset: Any) -> str:
    """Where the picture lies; empty: nowhere that can be asked."""
    found = asset.get("preview") if isinstance(asset, Mapping) else None
    if not isinstance(found, str) or len(found) > URL_MAX:
        return ""
    try:
        return found if all(_origin(found)) else ""
    except ValueError:
        return ""


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises ValueError."""
    parts = urlsplit(url)
    scheme = parts.scheme if parts.scheme in {"http", "https"} and not parts.username else ""
    return scheme, parts.hostname or "", parts.port or (443 if scheme == "https" else 80)


def _stock(level: str) -> Stock:
    """``IN_STOCK``, ``LOW_STOCK`` and ``OUT_OF_STOCK`` of the default strategy; a number where a shop shows it."""
    if level.isascii() and level.isdecimal() and len(level) < 10:
        return Stock.of(int(level))
    return Stock.of(0) if level == "OUT_OF_STOCK" else Stock()


def _left(product: Product) -> dict[str, int | None]:
    return {each.key: each.stock.count if each.stock.kind is StockKind.FINITE else None for each in product.variants}


def _items(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    items = answer.get("items")
    return [each for each in items if isinstance(each, Mapping)] if isinstance(items, list) else []


def _number(cursor: str) -> int:
    return int(cursor) if cursor.isascii() and cursor.isdecimal() and len(cursor) < 8 else 0


class _Text(HTMLParser):
    """Descriptions are HTML."""

    BLOCKS: Final = frozenset({"p", "br", "li", "div", "h1", "h2", "h3", "h4", "tr"})
    SILENT: Final = frozenset({"script", "style"})

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in self.SILENT
        if tag in self.BLOCKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in self.SILENT and self._silent > 0
        if tag in self.BLOCKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.pieces.append(re.sub(r"\s+", " ", data))


def _plain(source: str) -> str:
    reader = _Text()
    reader.feed(source)
    reader.close()
    lines = ("".join(reader.pieces)).split("\n")
    return "\n".join(line.strip() for line in lines if line.strip())
