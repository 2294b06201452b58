"""Vendure as a catalogue: against what a real one has answered, and against a real one where the environment names it.

``RIALTO_TEST_VENDURE``: the URL of the Shop API of the shop in ``tests/support/vendure``. ``RIALTO_RECORD_VENDURE=1``
with it: write its answers down anew.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
from aiohttp import web
from PIL import Image
from pydantic import ValidationError

from bots.commerce.engines import BuiltIn, EngineFailed, Joined, Vendure, VendureSettings, engine_of
from bots.commerce.shelf import Shelf
from bots.domain.catalogue import Category, Stock, Variant
from bots.domain.money import Money
from bots.framework.http import HttpClient
from bots.framework.testing.memory import MemoryDatabase
from bots.store import merchants
from tests.store.commerce_world import BOT, NOW, At, merchant, product
from tests.support import vendure
from tests.support.shop import ShopWorld

REAL = os.environ.get("RIALTO_TEST_VENDURE", "")
RECORD = bool(os.environ.get("RIALTO_RECORD_VENDURE"))
READER: Any = None
"""A shop that runs elsewhere needs no database."""


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient(attempts=1)
    await client.start()
    yield client
    await client.stop()


@pytest.fixture(
    params=["recorded", pytest.param("real", marks=pytest.mark.skipif(not REAL, reason="RIALTO_TEST_VENDURE"))]
)
async def engine(request: pytest.FixtureRequest, http: HttpClient) -> AsyncIterator[Vendure]:
    async with AsyncExitStack() as stack:
        url = REAL
        if request.param == "recorded":
            url = await stack.enter_async_context(vendure.recording(REAL) if REAL and RECORD else vendure.replayed())
        yield Vendure(http, url, "m", currency="USD")


async def test_the_contract(engine: Vendure) -> None:
    shelves = await engine.categories(READER, "m")
    assert {(each.key, each.name, each.parent) for each in shelves} == {
        ("electronics", "Electronics", ""),
        ("computers", "Computers", "electronics"),
        ("home-garden", "Home & Garden", ""),
    }
    assert await engine.categories(READER, "else") == []

    found = await engine.search(READER, "lap")
    (laptop,) = found.items
    assert (laptop.merchant_id, laptop.product.name, found.next) == ("m", "Laptop", "")
    assert (await engine.search(READER, "lap", limit=2)).items == found.items
    made = laptop.product
    assert made.description == "Now equipped with seventh-generation processors.\nFast & light"
    assert made.tax == Decimal("0.2")
    assert set(made.categories) == {"electronics", "computers"}
    assert made.language == "en"
    names = {each.name: each for each in made.variants}
    assert set(names) == {"13 inch / 8GB", "13 inch / 16GB", "15 inch / 8GB"} or len(names) == 3
    prices = sorted(each.price.minor for each in made.variants)
    assert prices == [155880, 167880, 167880], "with tax"
    assert [each.stock for each in made.variants].count(Stock.of(0)) == 1
    assert laptop.left is None

    assert await engine.product(READER, "m", made.key) == made
    assert await engine.product(READER, "m", "no such id") is None
    assert await engine.product(READER, "else", made.key) is None
    left = await engine.left(READER, "m", made.key)
    assert sorted(left.values(), key=str) == [0, None, None]

    first = await engine.browse(READER, "m", limit=10)
    assert len(first.items) == 10 and first.next == "10"
    second = await engine.browse(READER, "m", after=first.next, limit=10)
    keys = [each.product.key for each in (*first.items, *second.items)]
    assert len(set(keys)) == 18 and second.next == ""
    garden = await engine.browse(READER, "m", "home-garden", limit=5)
    assert len(garden.items) == 5 and garden.next == "5"
    teapot = (await engine.search(READER, "teapot")).items[0].product
    assert teapot.variants == (Variant(teapot.variants[0].key, "Teapot", Money(1740, "USD")),)
    assert (await engine.search(READER, "nothing of the kind")).items == ()
    assert (await engine.search(READER, "lap", merchant_id="else")).items == ()


def laptop(**changes: Any) -> dict[str, Any]:
    variant = {
        "id": "7",
        "name": "Laptop 13",
        "priceWithTax": 1000,
        "currencyCode": "EUR",
        "stockLevel": "12",
        "taxRateApplied": {"value": 19},
        "options": [],
    }
    variant |= {key: value for key, value in changes.items() if key in variant}
    whole = {"id": "1", "name": "Laptop", "description": "", "languageCode": "en", "collections": []}
    whole |= {key: value for key, value in changes.items() if key in whole and key not in variant}
    return {**whole, "variantList": {"items": [variant]}}


def listing(item: Any) -> dict[str, Any]:
    return {"data": {"products": {"totalItems": 1, "items": [item]}}}


async def answering(http: HttpClient, answer: Any, **options: Any) -> Any:
    """What the engine makes of one answer."""

    async def handle(request: web.Request) -> web.StreamResponse:
        assert request.headers["vendure-token"] == "token"
        if isinstance(answer, web.Response):
            return web.Response(status=answer.status, body=answer.body)
        return web.json_response(answer)

    async with vendure.serving(handle) as url:
        engine = Vendure(http, url, "m", currency="EUR", channel="token", **options)
        return await engine.browse(READER, "m")


async def test_numbers_of_stock_and_other_decimals(http: HttpClient) -> None:
    page = await answering(http, listing(laptop()))
    assert page.items[0].left == 12
    assert page.items[0].product.variants[0].price == Money(1000, "EUR")
    page = await answering(
        http, {"data": {"products": {"totalItems": 1, "items": [laptop(priceWithTax=10000)]}}}, precision=3
    )
    assert page.items[0].product.variants[0].price == Money(1000, "EUR")


async def test_what_cannot_be_sold_is_left_out(http: HttpClient) -> None:
    items: list[Any] = [
        laptop(currencyCode="USD"),
        laptop(priceWithTax=10.5),
        laptop(priceWithTax=-1),
        laptop(taxRateApplied=None),
        {"id": "5"},
        "nonsense",
        laptop(stockLevel="IN_STOCK"),
    ]
    page = await answering(http, {"data": {"products": {"totalItems": 700, "items": items}}})
    assert [each.left for each in page.items] == [None]
    assert page.next == "10"
    evil = "<p>Good</p><script>alert(1)</script><style>x</style>&lt;b&gt; <li>one</li>"
    whole = {**laptop(), "description": evil}
    page = await answering(http, listing(whole))
    assert page.items[0].product.description == "Good\n<b>\none"


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=500),
        web.Response(status=404, body=b"no"),
        web.Response(body=b"<html>"),
        web.Response(body=b"x" * 5_000_000),
        {"errors": [{"message": "x"}], "data": None},
        {"data": {"products": None}},
        {"data": []},
        [],
        None,
    ],
)
async def test_no_answer_is_an_error_of_its_own(http: HttpClient, answer: Any) -> None:
    with pytest.raises(EngineFailed):
        await answering(http, answer)


# --- pictures


def png() -> bytes:
    """A small picture."""
    out = BytesIO()
    Image.linear_gradient("L").resize((80, 60)).convert("RGB").save(out, "PNG")
    return out.getvalue()


@asynccontextmanager
async def pictured(preview: Any) -> AsyncIterator[tuple[str, list[str]]]:
    """A shop with one product whose preview lies there (``{base}``: at the shop), and what was asked for of it."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        if "Collections" in (await request.json())["query"]:
            return web.json_response({"data": {"collections": {"items": []}}})
        base = str(request.url.origin())
        asset = {"preview": preview.format(base=base)} if isinstance(preview, str) else preview
        return web.json_response(listing({**laptop(), "featuredAsset": asset}))

    async def picture(request: web.Request) -> web.StreamResponse:
        asked.append(request.match_info["name"])
        if request.match_info["name"] == "moved.png":
            raise web.HTTPFound(request.query["to"])
        if request.match_info["name"] != "laptop.png":
            raise web.HTTPNotFound
        return web.Response(body=png(), content_type="image/png")

    async with vendure.serving(answer, picture) as url:
        yield url, asked


async def test_a_picture_comes_from_the_operators_own_shop_wherever_that_is(http: HttpClient) -> None:
    async with pictured("{base}/assets/laptop.png") as (url, asked):
        engine = Vendure(http, url, "m", currency="EUR")
        made = await engine.product(READER, "m", "1")
        assert made is not None and made.picture.endswith("/assets/laptop.png") and not made.images
        assert await engine.picture(READER, "m", "1") == png()
        assert asked == ["laptop.png"]
        assert await engine.picture(READER, "else", "1") is None


@pytest.mark.parametrize(
    "preview",
    [
        "http://127.0.0.1:1/assets/laptop.png",
        "http://localhost/assets/laptop.png",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/x.png",
        "{base}/assets/moved.png?to=http://127.0.0.1:1/secret",
        "{base}/assets/moved.png?to=http://169.254.169.254/",
        "{base}/assets/gone.png",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://a:b@127.0.0.1/x.png",
        "http://[/",
        "x" * 3000,
        None,
        7,
        {"preview": None},
    ],
)
async def test_a_picture_that_lies_elsewhere_leads_to_no_private_address(http: HttpClient, preview: Any) -> None:
    async with pictured(preview) as (url, _asked):
        engine = Vendure(http, url, "m", currency="EUR")
        assert (await engine.product(READER, "m", "1")) is not None, "the product is sold all the same"
        assert await engine.picture(READER, "m", "1") is None


async def test_a_card_shows_the_picture_that_was_brought_to_the_homeserver_once() -> None:
    http = HttpClient(attempts=1)
    await http.start()
    async with pictured("{base}/assets/laptop.png") as (url, asked):
        settings = {"vendure": [{"merchant": "store", "url": url}]}
        async with ShopWorld(settings=settings, services=lambda _world: {HttpClient: http}) as world:
            await world.two()
            for name in ("alice", "bob"):
                person = await world.buyer(name)
                room = await world.chat(person)
                await person.says("browse store", room=room)
                await person.hears_all(room)
                await person.says("Laptop", room=room)
                picture, card = await person.hears_all(room)
                assert picture.content["msgtype"] == "m.image" and picture.content["url"].startswith("mxc://")
                assert "Laptop\n€10.00" in card.body
            assert asked == ["laptop.png"], "the second one sees the file of the first"
            world.check()
    await http.stop()


# --- beside the built-in catalogue


async def test_each_merchant_from_where_their_products_are(http: HttpClient) -> None:
    database = MemoryDatabase()
    await database.start()
    at = At(database)
    mine, theirs = merchant("mine"), merchant("theirs", currency="USD", zones=())
    await database.write(lambda connection: [merchants.apply(connection, each, NOW) for each in (mine, theirs)])
    async with vendure.replayed() as url:
        engine = engine_of(
            BOT, [VendureSettings(merchant="theirs", url=url), VendureSettings(merchant="none", url=url)], http
        )
        assert isinstance(engine, Joined)
        shelf = Shelf(None, BOT, engine)  # type: ignore[arg-type]
        for number in range(3):
            shelf.put(at, mine.id, product(f"lap{number}", f"Lap blanket {number}"))
        shelf.put_category(at, mine.id, Category("soft", "Soft"))
        await at.commit()
        page = await shelf.search(at, "lap", limit=2)
        assert [each.merchant_id for each in page.items] == [mine.id, theirs.id]
        laptop = page.items[1].product
        rest = await shelf.search(at, "lap", after=page.next, limit=2)
        assert [each.merchant_id for each in rest.items] == [mine.id, mine.id] and rest.next == ""
        keys = [(mine.id, "lap1"), (theirs.id, laptop.key)]
        assert set(await shelf.products(at, keys)) == set(keys)
        assert await shelf.product(at, theirs.id, laptop.key) == laptop
        assert len(await shelf.categories(at, theirs.id)) == 3 and len(await shelf.categories(at, mine.id)) == 1
        assert len((await shelf.browse(at, theirs.id, limit=10)).items) == 10
        assert await shelf.left(at, mine.id, "lap1") == {"one": None}
        assert len((await shelf.search(at, "lap", merchant_id=theirs.id)).items) == 1
    gone = await shelf.search(at, "lap", limit=2)
    assert [each.merchant_id for each in gone.items] == [mine.id, mine.id], "who does not answer is left out"
    with pytest.raises(EngineFailed):
        await shelf.product(at, theirs.id, laptop.key)
    await database.stop()


def test_settings_are_checked(http: HttpClient) -> None:
    assert isinstance(engine_of(BOT, [], None), BuiltIn)
    one = VendureSettings(merchant="x", url="https://shop.example.org/shop-api")
    with pytest.raises(ValueError, match="HTTP client"):
        engine_of(BOT, [one], None)
    with pytest.raises(ValueError, match="one merchant"):
        engine_of(BOT, [one, one], http)
    for url in ("ftp://x", "https://", "https://user@x/", "https://x/?a=b"):
        with pytest.raises(ValidationError):
            VendureSettings(merchant="x", url=url)
