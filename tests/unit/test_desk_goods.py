"""The catalogue in the staff room: commands, pictures, files; in several scripts, and with hostile input."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import pytest
from PIL import Image

from bots.commerce.desk.photos import redrawn
from bots.domain.catalogue import Product
from bots.domain.merchants import Merchant, Staff
from bots.framework.testing import Person, Room
from tests.support.commerce import money
from tests.support.desk import DeskWorld

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[DeskWorld]:
    """One for all: each test has a merchant of its own."""
    async with DeskWorld() as world:
        yield world


def plain(text: str) -> str:
    """Without the marks that keep scripts apart."""
    return text.replace("\u2068", "").replace("\u2069", "")


async def product(world: DeskWorld, merchant: Merchant, key: str) -> Product:
    """A product as it stands."""
    found = await world.shelf.product(world, merchant.id, key)
    assert found is not None
    return found


async def test_prices_and_stock(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("prices")
    assert (await world.says(carla, "price Margherita 9.50", room=room)) == ["Margherita: €9.50"]
    assert (await product(world, merchant, "margherita")).variants[0].price == money("9.50")
    assert (await world.says(carla, "price lemonade 3", room=room)) == [
        "Which one? Lemonade, Small and Lemonade, Large"
    ]
    assert (await world.says(carla, "price Lemonade, Large 4,50 €", room=room)) == ["Lemonade, Large: €4.50"]
    assert (await world.says(carla, "price margerita 9", room=room))[0].startswith("There is no “margerita”. Did you")
    for text, told in (
        ("price Margherita 9.12345", "EUR has at most 2 decimals"),
        ("price Margherita 9 USD", "All amounts of a merchant are in EUR."),
        ("price Margherita -1", "less than nothing"),
        ("price Margherita", "Write a name and an amount"),
        ("stock Salad 1.5", "A stock is a whole number"),
        ("stock Salad 99999999999999", "A stock is a whole number"),
    ):
        said = await world.says(carla, text, room=room)
        assert told in said[0], (text, said)
    assert (await product(world, merchant, "margherita")).variants[0].price == money("9.50")
    assert (await world.says(carla, "stock Salad 20", room=room)) == ["Salad: 20 there"]
    assert (await world.stock(merchant, "salad")).free == 20
    assert (await world.says(carla, "stock Salad unlimited", room=room)) == ["Salad: as many as are wanted"]
    assert await world.shelf.left(world, merchant.id, "salad") == {"one": None}
    world.check()


async def test_stock_is_never_less_than_what_is_promised(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("promises")
    alice = await world.buyer("promised")
    await world.places(alice, world.cart(merchant, "salad", 2))
    await world.says(carla, "stock Salad 1", room=room)
    level = await world.stock(merchant, "salad")
    assert (level.count, level.held) == (2, 2)
    world.check()


async def test_a_new_product_in_any_script(world: DeskWorld) -> None:
    _merchant, carla, room = await world.desk("scripts", products=[])
    assert (await world.says(carla, "products", room=room))[0].startswith("There are no products.")
    await world.says(carla, "category add 面条", room=room)
    said = await world.says(
        carla, "add product", "牛肉面 <b>大</b>", "红烧牛肉 & 面", "12.50", "7", "unlimited", "面条", room=room
    )
    assert said[-1].startswith("牛肉面 <b>大</b> is sold now.")
    await world.says(carla, "add product", "كباب ‎مشوي", "-", "٩٫٥٠", "0", "٥", "No category", room=room)
    said = await world.says(carla, "products", room=room)
    assert plain(said[-1]) == "• 牛肉面 <b>大</b>: €12.50\n• كباب ‎مشوي: €9.50, 5 left"
    message = [each for each in room.timeline if each.sender == world.seller][-1]
    assert "formatted_body" not in message.content
    said = await world.says(carla, "product 牛肉面 <b>大</b>", room=room)
    assert "红烧牛肉 & 面" in said[-1]
    assert "Tax rate: 7 %" in said[-1]
    assert plain((await world.says(carla, "hide كباب ‎مشوي", room=room))[-1]) == "كباب ‎مشوي is not sold for now."
    assert "(hidden)" in (await world.says(carla, "products", room=room))[-1]
    assert plain((await world.says(carla, "show كباب ‎مشوي", room=room))[-1]) == "كباب ‎مشوي is sold again."
    said = await world.says(carla, "add product", "\u202egnp.exe", room=room)
    assert said[-1] == "A name has 1 to 80 characters."
    await world.says(carla, "cancel", room=room)
    world.check()


async def test_variants_words_and_removal(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("changes")
    await world.says(carla, "variant Margherita: Large 12.50", room=room)
    names = [(each.name, each.price) for each in (await product(world, merchant, "margherita")).variants]
    assert names == [("Margherita", money("9.00")), ("Large", money("12.50"))]
    await world.says(carla, "variant Margherita: Large off", room=room)
    assert len((await product(world, merchant, "margherita")).variants) == 1
    said = await world.says(carla, "variant Margherita: Margherita off", room=room)
    assert said[-1].startswith("A product has 1 to 100 variants")
    await world.says(carla, "describe Margherita: Tomato, mozzarella", "tax Margherita: 19", room=room)
    await world.says(carla, "rename product Margherita: Regina", room=room)
    after = await product(world, merchant, "margherita")
    assert (after.name, after.description, str(after.tax)) == ("Regina", "Tomato, mozzarella", "0.19")
    said = await world.says(carla, "remove Regina", room=room)
    assert said[-1].startswith("Remove Regina? “hide” would only")
    assert (await world.says(carla, "yes", room=room))[-1] == "Removed: Regina"
    assert await world.shelf.product(world, merchant.id, "margherita") is None
    world.check()


async def test_categories_and_extras(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("extras")
    await world.says(carla, "category add Drinks", "category add Red wine in Drinks", room=room)
    assert (await world.says(carla, "categories", room=room))[-1] == "• Drinks\n• Red wine (in Drinks)"
    assert (await world.says(carla, "category add drinks", room=room))[-1] == "There is a category “drinks” already."
    await world.says(carla, "category put Lemonade: Drinks", room=room)
    assert (await product(world, merchant, "lemonade")).categories == ("drinks",)
    said = await world.says(carla, "category remove Drinks", room=room)
    assert said[-1] == "Other categories lie in it: take those away first."
    said = await world.says(carla, "extras Salad add Dressing 1-1: Oil, Balsamico 0.50", room=room)
    assert said[-1] == "Changed: Salad\n• Dressing 1–1: Oil, Balsamico €0.50"
    said = await world.says(carla, "extras Salad off Balsamico", room=room)
    assert said[-1].endswith("Balsamico €0.50 (off)")
    assert (await world.says(carla, "extras Salad on Balsamico", room=room))[-1].endswith("Balsamico €0.50")
    for text, told in (
        ("extras Salad add Empty:", "A group has 1 to 50 extras"),
        ("extras Salad add nothing at all", "Extras are written like this"),
        ("extras Salad add Toppings 3-5: Cheese 1.00", "cannot be chosen"),
        ("extras Salad add Toppings: Cheese 1.12345", "EUR has at most 2 decimals"),
        ("extras Salad remove Nothing", "There is nothing to change"),
    ):
        said = await world.says(carla, text, room=room)
        assert told in said[-1], (text, said)
    await world.says(carla, "extras Salad remove Dressing", room=room)
    assert (await product(world, merchant, "salad")).groups == ()
    world.check()


async def test_clerks_count_and_managers_change(world: DeskWorld) -> None:
    merchant, _carla, room = await world.desk("roles")
    clerk = world.user("clerk")
    await world.write(lambda hand: world.sellers.hire(hand, merchant.id, clerk.user_id, Staff.CLERK))
    await clerk.joins(room)
    assert (await world.says(clerk, "!stock Salad 7", room=room)) == ["Salad: 7 there"]
    assert (await world.says(clerk, "!hide Salad", room=room)) == ["Salad is not sold for now."]
    for text in ("!price Salad 1", "!remove Salad", "!add product", "!export", "!report", "!balance"):
        assert (await world.says(clerk, text, room=room)) == ["Only who is manager or above may do that here."], text
    assert (await world.says(clerk, "!payout", room=room)) == ["Only who is owner or above may do that here."]
    world.check()


# Pictures


def drawn(kind: str, size: tuple[int, int] = (40, 30), **more: object) -> bytes:
    """A picture."""
    out = io.BytesIO()
    Image.new("RGB", size, (200, 80, 20)).save(out, kind, **more)
    return out.getvalue()


async def sends(world: DeskWorld, person: Person, room: Room, data: bytes, caption: str) -> list[str]:
    """A person sends a picture with words under it; what the bot says."""
    address = await world.homeserver.request("POST", "/_matrix/media/v3/upload", user_id=person.user_id, data=data)
    content = {
        "msgtype": "m.image", "body": caption, "filename": "photo.jpg", "url": address["content_uri"],
        "info": {"mimetype": "image/jpeg", "size": len(data)},
    }  # fmt: skip
    await world.send(room, person.user_id, "m.room.message", content)
    return [each.body for each in await world.hears(person, room)]


async def test_pictures(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("pictures")
    place = Image.Exif()
    place[0x010F] = "A camera"
    place[0x8825] = {1: "N", 2: (52.0, 31.0, 0.0)}
    said = await sends(world, carla, room, drawn("JPEG", exif=place), "Margherita")
    assert said == ["Margherita has this picture now (1 of 10). It is public; place and camera were taken out."]
    (address,) = (await product(world, merchant, "margherita")).images
    stored = world.homeserver.media[address.rpartition("/")[2]]
    with Image.open(io.BytesIO(stored)) as kept:
        assert (kept.format, kept.size) == ("JPEG", (40, 30))
        assert not kept.getexif()
    assert b"camera" not in stored
    said = await world.says(carla, "photo Salad", room=room)
    assert "public" in said[-1]
    await carla.sends_photo(drawn("PNG"), room=room)
    assert (await world.hears(carla, room))[-1].body.startswith("Salad has this picture now")
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    for data in (svg, b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\0" * 100, drawn("BMP"), b""):
        said = await sends(world, carla, room, data, "Margherita")
        assert said == ["That is no picture that everybody can see: please send a JPEG, PNG, WebP, GIF or AVIF."]
    assert len((await product(world, merchant, "margherita")).images) == 1
    assert (await world.says(carla, "photo Salad none", room=room))[-1] == "Salad has no picture now."
    assert "Did you mean" in (await sends(world, carla, room, drawn("JPEG"), "Margerita"))[-1]
    world.check()


async def test_a_picture_that_is_too_large(world: DeskWorld) -> None:
    """Whether the message says so, or says something else."""
    _merchant, carla, room = await world.desk("large")
    told = ["That picture is too large: please send one of up to 20 MB."]
    data = drawn("JPEG") + b"\0" * (50 * 1024 * 1024)
    assert await sends(world, carla, room, data, "Margherita") == told
    address = await world.homeserver.request("POST", "/_matrix/media/v3/upload", user_id=carla.user_id, data=data)
    content = {
        "msgtype": "m.image", "body": "Margherita", "filename": "a.jpg", "url": address["content_uri"],
        "info": {"size": 3},
    }  # fmt: skip
    await world.send(room, carla.user_id, "m.room.message", content)
    assert [each.body for each in await world.hears(carla, room)] == told
    world.check()


def test_a_picture_is_drawn_anew() -> None:
    data, kind = redrawn(drawn("JPEG", (4000, 3000)))
    with Image.open(io.BytesIO(data)) as kept:
        assert (kind, kept.size) == ("image/jpeg", (1600, 1200))
    out = io.BytesIO()
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(out, "PNG")
    assert redrawn(out.getvalue())[1] == "image/png"
    turned = Image.Exif()
    turned[0x0112] = 6
    with Image.open(io.BytesIO(redrawn(drawn("JPEG", (40, 30), exif=turned))[0])) as kept:
        assert kept.size == (30, 40)


# Files

GOOD = "name,price,tax,stock\nMargherita,10.00,7%,unlimited\nشاورما,6.50,7%,5\n"


async def test_a_file_is_shown_done_and_taken_back(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("files")
    await carla.sends_file(GOOD.encode(), "menu.csv", "text/csv", room=room)
    asked = (await world.hears(carla, room))[-1].body
    assert plain(asked).startswith("1 new product: شاورما\n1 changed: Margherita\n\nShall I?\n\n1. Do it\n2. Leave it")
    assert (await product(world, merchant, "margherita")).variants[0].price == money("9.00"), "nothing yet"
    assert (await world.says(carla, "1", room=room)) == ["Done. “undo import” takes it back."]
    assert (await product(world, merchant, "margherita")).variants[0].price == money("10.00")
    said = await world.says(carla, "undo import", room=room)
    assert plain(said[-1]).startswith("The last import is taken back.\n1 changed: Margherita\n1 gone: شاورما")
    assert (await product(world, merchant, "margherita")).variants[0].price == money("9.00")
    assert (await world.says(carla, "undo import", room=room)) == ["There is no import to take back."]
    await carla.sends_file(GOOD.encode(), "menu.csv", "text/csv", room=room)
    assert (await world.says(carla, "leave it", room=room)) == ["Nothing was changed."]
    world.check()


async def test_a_file_with_faults(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("faults")
    bad = "name,price,colour\nMargherita,9.12345,red\nSalad,,green\n,3,blue\n"
    await carla.sends_file(bad.encode(), "menu.csv", "text/csv", room=room)
    said = (await world.hears(carla, room))[-1].body
    assert said.startswith("The file has ")
    assert "faults, and nothing was changed:" in said
    assert "Line 2, price: EUR has at most 2 decimals" in said
    assert "Line 1" in said
    assert "colour" in said
    for data, name in ((b"\xff\xfe\x00\x01", "a.csv"), (b"a: &x [*x]", "a.yaml"), (b"PK\x03\x04" * 50, "menu.csv")):
        await carla.sends_file(data, name, room=room)
        assert "nothing was changed" in (await world.hears(carla, room))[-1].body, name
    await carla.sends_file(b"x" * 9_000_000, "menu.csv", room=room)
    assert (await world.hears(carla, room))[-1].body.startswith("That file is too large")
    await carla.sends_file(b"hello", "holiday.pdf", room=room)
    await carla.hears_nothing(room)
    assert (await product(world, merchant, "margherita")).variants[0].price == money("9.00")
    world.check()


async def test_the_catalogue_changes_while_a_file_is_looked_at(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("meanwhile")
    await carla.sends_file(GOOD.encode(), "menu.csv", "text/csv", room=room)
    await world.changes_product(merchant, "margherita", description="Other words")
    said = await world.says(carla, "do it", room=room)
    assert said[0] == "The catalogue has changed meanwhile. This is what the file would do now:"
    assert (await world.says(carla, "do it", room=room)) == ["Done. “undo import” takes it back."]
    after = await product(world, merchant, "margherita")
    assert (after.description, after.variants[0].price) == ("Other words", money("10.00"))
    world.check()


async def test_what_is_given_out_is_read_again(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("exports")
    await carla.says("export", room=room)
    table, tree = [each for each in await world.hears(carla, room) if each.content["msgtype"] == "m.file"]
    assert (table.body, tree.body) == ("exports.csv", "exports.yaml")
    for message in (table, tree):
        assert "file" in message.content, "it is encrypted"
        await carla.sends_file(await carla.downloads(message), message.body, room=room)
        said = (await world.hears(carla, room))[-1].body
        assert said == "The file says what stands in the catalogue already.", merchant.slug
    world.check()
